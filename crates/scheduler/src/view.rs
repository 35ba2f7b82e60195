//! [`PlanView`]: the snapshot as it would be with what is planned so far.

use std::sync::Arc;

use plerion_model::numa::NumaUse;
use plerion_model::quota::Quotas;
use plerion_model::quota_usage::QuotaUsage;
use plerion_model::sched_action::SchedAction;
use plerion_model::view::{HostSampleView, HostUsage, VmSampleView};
use plerion_model::vnet_range::LeaseUse;
use plerion_model::{Id, Kind, View};
use plerion_world::{Measurements, Snapshot, World};

use crate::hosts::HostRow;

/// The snapshot; for one host, if any, with what is planned for it.
pub(crate) struct PlanView<'a> {
    snapshot: Snapshot<'a>,
    host: Option<&'a HostRow<'a>>,
}

impl<'a> PlanView<'a> {
    pub(crate) fn new(
        world: &'a World,
        measurements: &'a Measurements,
        host: Option<&'a HostRow<'a>>,
    ) -> Self {
        Self {
            snapshot: Snapshot { world, measurements },
            host,
        }
    }

    fn planned(&self, id: Id) -> Option<&HostRow<'a>> {
        self.host.filter(|row| row.host.id == id)
    }
}

macro_rules! as_in_snapshot {
    ($($method:ident -> $type:ty;)*) => {
        $(fn $method(&self, id: Id) -> $type {
            self.snapshot.$method(id)
        })*
    };
}

impl View for PlanView<'_> {
    as_in_snapshot! {
        user_name -> &str;
        group_name -> &str;
        cluster_name -> &str;
        datastore_name -> &str;
        market_name -> &str;
        market_apps -> Vec<Id>;
        group_users -> Vec<Id>;
        cluster_hosts -> Vec<Id>;
        cluster_datastores -> Vec<Id>;
        cluster_vnets -> Vec<Id>;
        datastore_images -> Vec<Id>;
        image_vms -> Vec<Id>;
        image_clones -> Vec<Id>;
        vm_backups -> Vec<Id>;
        vm_backup_job -> Option<Id>;
        vm_lives -> bool;
        vnet_leases -> Vec<LeaseUse>;
        vnet_vms -> Vec<Id>;
        vnet_vrouters -> Vec<Id>;
        vrouter_vms -> Vec<Id>;
        secgroup_vms -> Vec<Id>;
        datastore_space -> (u64, u64, u64);
        vm_sample -> Option<Arc<VmSampleView>>;
        user_usage -> QuotaUsage;
        group_usage -> QuotaUsage;
    }

    fn pci_holder(&self, host: Id, address: &str) -> Option<Id> {
        self.snapshot.pci_holder(host, address)
    }

    fn host_numa(&self, id: Id) -> NumaUse {
        let mut used = self.snapshot.host_numa(id);
        let planned = self.planned(id).into_iter().flat_map(|row| &row.numa_planned);
        for (vm, demand) in planned {
            used.take(*vm, demand);
        }
        used
    }

    fn sched_actions(&self, kind: Kind, id: Id) -> Vec<Arc<SchedAction>> {
        self.snapshot.sched_actions(kind, id)
    }

    fn default_user_quotas(&self) -> Option<&Quotas> {
        self.snapshot.default_user_quotas()
    }

    fn default_group_quotas(&self) -> Option<&Quotas> {
        self.snapshot.default_group_quotas()
    }

    fn quota_metrics(&self) -> &[String] {
        self.snapshot.quota_metrics()
    }

    fn vmgroup_vms(&self, id: Id, role: &str) -> Vec<Id> {
        self.snapshot.vmgroup_vms(id, role)
    }

    fn host_vms(&self, id: Id) -> Vec<Id> {
        let mut vms = self.snapshot.host_vms(id);
        if let Some(row) = self.planned(id) {
            vms.extend(&row.placed_vms);
        }
        vms
    }

    fn host_usage(&self, id: Id) -> HostUsage {
        match self.planned(id) {
            Some(row) => row.usage,
            None => self.snapshot.host_usage(id),
        }
    }

    fn host_sample(&self, id: Id) -> Option<Arc<HostSampleView>> {
        match self.planned(id) {
            Some(row) => row.sample_planned().map(Arc::new),
            None => self.snapshot.host_sample(id),
        }
    }
}

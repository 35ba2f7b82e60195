//! [`Snapshot`]: a world and its measurements, as the XML forms see them.

use std::sync::Arc;

use plerion_model::numa::NumaUse;
use plerion_model::quota::Quotas;
use plerion_model::quota_usage::QuotaUsage;
use plerion_model::sched_action::SchedAction;
use plerion_model::view::{HostSampleView, HostUsage, VmSampleView};
use plerion_model::vnet_range::LeaseUse;
use plerion_model::{Id, Kind, View, group, user};

use crate::account::Account;
use crate::elsewhere::LeaseWords;
use crate::index::members;
use crate::world::World;

/// Last measurements. They are no part of the world: losing them loses nothing. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Measurements {
    /// By host.
    pub hosts: imbl::HashMap<Id, Arc<HostSampleView>>,
    /// By VM.
    pub vms: imbl::HashMap<Id, Arc<VmSampleView>>,
    /// By datastore: MiB in all, free, used.
    pub datastores: imbl::HashMap<Id, (u64, u64, u64)>,
    /// By VM: what is said of the lease of its host that does not answer.
    pub leases: LeaseWords,
}

/// A world and its measurements.
#[derive(Clone, Debug)]
pub struct Snapshot<'a> {
    /// The world.
    pub world: &'a World,
    /// The measurements.
    pub measurements: &'a Measurements,
}

impl View for Snapshot<'_> {
    fn user_name(&self, id: Id) -> &str {
        self.world.users.get(id).map_or("", |user| &user.name)
    }

    fn group_name(&self, id: Id) -> &str {
        self.world.groups.get(id).map_or("", |group| &group.name)
    }

    fn cluster_name(&self, id: Id) -> &str {
        self.world.clusters.get(id).map_or("", |cluster| &cluster.name)
    }

    fn datastore_name(&self, id: Id) -> &str {
        self.world
            .datastores
            .get(id)
            .map_or("", |datastore| &datastore.name)
    }

    fn group_users(&self, id: Id) -> Vec<Id> {
        self.world
            .users
            .values()
            .filter(|user| user.groups.contains(&id))
            .map(|user| user.id)
            .collect()
    }

    fn cluster_hosts(&self, id: Id) -> Vec<Id> {
        self.world
            .hosts
            .values()
            .filter(|host| host.cluster_id == id)
            .map(|host| host.id)
            .collect()
    }

    fn cluster_datastores(&self, id: Id) -> Vec<Id> {
        self.world
            .datastores
            .values()
            .filter(|ds| ds.clusters.contains(&id))
            .map(|ds| ds.id)
            .collect()
    }

    fn cluster_vnets(&self, id: Id) -> Vec<Id> {
        self.world
            .vnets
            .values()
            .filter(|vnet| vnet.clusters.contains(&id))
            .map(|vnet| vnet.id)
            .collect()
    }

    fn datastore_images(&self, id: Id) -> Vec<Id> {
        members(&self.world.index.datastore_images, id)
    }

    fn host_vms(&self, id: Id) -> Vec<Id> {
        members(&self.world.index.host_vms, id)
    }

    fn host_usage(&self, id: Id) -> HostUsage {
        self.world.host_usage(id)
    }

    fn host_numa(&self, id: Id) -> NumaUse {
        self.world.host_numa(id)
    }

    fn pci_holder(&self, host: Id, address: &str) -> Option<Id> {
        self.world.pci_holder(host, address)
    }

    fn image_vms(&self, id: Id) -> Vec<Id> {
        members(&self.world.index.image_vms, id)
    }

    fn image_clones(&self, id: Id) -> Vec<Id> {
        self.world.image_clones(id)
    }

    fn vm_backups(&self, id: Id) -> Vec<Id> {
        members(&self.world.index.vm_backups, id)
    }

    fn vm_backup_job(&self, id: Id) -> Option<Id> {
        self.world.backup_job_of(id)
    }

    fn vm_lives(&self, id: Id) -> bool {
        self.world.vms.get(id).is_some()
    }

    fn vnet_leases(&self, id: Id) -> Vec<LeaseUse> {
        self.world.index.vnet_leases(id)
    }

    fn vnet_vms(&self, id: Id) -> Vec<Id> {
        members(&self.world.index.vnet_vms, id)
    }

    fn vnet_vrouters(&self, id: Id) -> Vec<Id> {
        members(&self.world.index.vnet_vrouters, id)
    }

    fn vrouter_vms(&self, id: Id) -> Vec<Id> {
        members(&self.world.index.vrouter_vms, id)
    }

    fn vmgroup_vms(&self, id: Id, role: &str) -> Vec<Id> {
        self.world.vmgroup_vms(id, role).map(|vm| vm.id).collect()
    }

    fn secgroup_vms(&self, id: Id) -> Vec<Id> {
        members(&self.world.index.secgroup_vms, id)
    }

    fn market_name(&self, id: Id) -> &str {
        self.world.marketplaces.get(id).map_or("", |market| &market.name)
    }

    fn market_apps(&self, id: Id) -> Vec<Id> {
        members(&self.world.index.market_apps, id)
    }

    fn sched_actions(&self, kind: Kind, id: Id) -> Vec<Arc<SchedAction>> {
        self.world.sched_actions_of(kind, id).cloned().collect()
    }

    fn datastore_space(&self, id: Id) -> (u64, u64, u64) {
        self.measurements.datastores.get(&id).copied().unwrap_or_default()
    }

    fn host_sample(&self, id: Id) -> Option<Arc<HostSampleView>> {
        self.measurements.hosts.get(&id).cloned()
    }

    fn vm_sample(&self, id: Id) -> Option<Arc<VmSampleView>> {
        self.measurements.vms.get(&id).cloned()
    }

    fn user_usage(&self, id: Id) -> QuotaUsage {
        self.world.quota_usage(Account::User(id))
    }

    fn group_usage(&self, id: Id) -> QuotaUsage {
        self.world.quota_usage(Account::Group(id))
    }

    fn default_user_quotas(&self) -> Option<&Quotas> {
        self.world.users.get(user::ONEADMIN).map(|user| &user.quotas)
    }

    fn default_group_quotas(&self) -> Option<&Quotas> {
        self.world.groups.get(group::ONEADMIN).map(|group| &group.quotas)
    }

    fn quota_metrics(&self) -> &[String] {
        &self.world.config.quota_metrics
    }
}

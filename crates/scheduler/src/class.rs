//! [`Class`]: what VMs that ask for the same have in common, worked out once for all of them.

use std::rc::Rc;

use plerion_model::datastore::DatastoreState;
use plerion_model::numa::NumaDemand;
use plerion_model::pci::PciDemand;
use plerion_model::vm::{DiskDemand, Vm};
use plerion_model::{Id, Kind, Operation, group};
use plerion_template::{PackedTemplate, PackedValue, Rank, Requirements};
use plerion_world::{Target, World, datastores_fit, memory_binds};

use crate::limits::Limits;
use crate::owner::owner_may;
use crate::rule::HostRules;
use crate::space::Need;
use crate::stores::{StoreRow, Stores};

/// What a VM asks for. VMs of equal keys are treated alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Key<'w> {
    automatic: &'w str,
    requirements: &'w str,
    rank: &'w str,
    rank_old: &'w str,
    store_automatic: &'w str,
    store_requirements: &'w str,
    store_rank: &'w str,
    /// Hundredths of a CPU.
    pub(crate) cpu: i64,
    /// MiB.
    pub(crate) memory_mib: i64,
    /// Owner, unless it is an administrator or the VM is of the administrators' group.
    pub(crate) owner: Option<Id>,
    /// PCI devices.
    pub(crate) pci: &'w [PciDemand],
    /// Pinned CPUs, NUMA nodes and huge pages.
    pub(crate) numa: Option<&'w NumaDemand>,
    /// Image, datastore, size and whether it is a copy, of each disk; the image only as far as there is one.
    disks: Vec<(bool, Id, u64, bool)>,
    /// The VM itself where the network of a NIC is chosen with the host.
    pub(crate) auto_nics: Option<Id>,
    /// VM group, role, and the VM itself where it is on a host that it leaves.
    pub(crate) group: Option<(Id, &'w str, Id)>,
    /// Datastore and transfer driver of the last stay of a VM whose files are kept.
    last: Option<(Id, &'w str)>,
    /// Host and hypervisor driver of a VM that is to be moved. Its system datastore stays the same.
    pub(crate) leaves: Option<(Id, &'w str)>,
    /// What such a VM has that cannot go with its memory.
    pub(crate) bound_by: Option<&'static str>,
}

impl<'w> Key<'w> {
    /// Reads a VM.
    pub(crate) fn of(vm: &'w Vm) -> Self {
        let mut key = Self {
            cpu: vm.demand.cpu,
            memory_mib: vm.demand.memory_mib,
            owner: (vm.owned.uid != 0 && vm.owned.gid != group::ONEADMIN).then_some(vm.owned.uid),
            pci: &vm.demand.pci,
            numa: vm.demand.numa.as_deref(),
            disks: vm
                .demand
                .disks
                .iter()
                .map(|disk| (disk.image >= 0, disk.datastore, disk.size_mib, disk.clone))
                .collect(),
            auto_nics: vm.demand.auto_nics.then_some(vm.id),
            group: vm.demand.group.as_ref().map(|(id, role)| {
                let itself = if vm.held_host().is_some() { vm.id } else { -1 };
                (*id, &**role, itself)
            }),
            last: vm
                .last_history()
                .filter(|_| vm.files_at_front_end || vm.waits_to_leave())
                .map(|record| (record.datastore, record.tm_mad.as_str())),
            leaves: vm
                .last_history()
                .filter(|_| vm.waits_to_leave())
                .map(|record| (record.host, record.vm_mad.as_str())),
            bound_by: memory_binds(vm).filter(|_| vm.waits_to_leave()),
            ..Self::default()
        };
        for (name, text) in singles(&vm.template) {
            match name {
                "AUTOMATIC_REQUIREMENTS" => key.automatic = text,
                "AUTOMATIC_DS_REQUIREMENTS" => key.store_automatic = text,
                _ => {}
            }
        }
        for (name, text) in singles(&vm.user_template) {
            let field = match name {
                "SCHED_REQUIREMENTS" => &mut key.requirements,
                "SCHED_RANK" => &mut key.rank,
                "RANK" => &mut key.rank_old,
                "SCHED_DS_REQUIREMENTS" => &mut key.store_requirements,
                "SCHED_DS_RANK" => &mut key.store_rank,
                _ => continue,
            };
            // Of several the first one counts, as everywhere.
            if field.is_empty() {
                *field = text;
            }
        }
        key
    }

    /// Memory in KiB.
    pub(crate) fn memory_kib(&self) -> i64 {
        self.memory_mib.saturating_mul(1024)
    }

    fn rank_text(&self) -> (&'static str, &'w str) {
        if self.rank.is_empty() {
            ("RANK", self.rank_old)
        } else {
            ("SCHED_RANK", self.rank)
        }
    }
}

fn singles(template: &PackedTemplate) -> impl Iterator<Item = (&str, &str)> {
    template.iter().filter_map(|(name, value)| match value {
        PackedValue::Single(text) => Some((name, text)),
        PackedValue::Vector(_) => None,
    })
}

/// How a system datastore serves a class.
#[derive(Debug)]
pub(crate) struct StoreChoice {
    /// What the disks need with it.
    pub(crate) need: Need,
    /// Whether the requirements ask for its space, so that they are looked at for each host anew.
    pub(crate) volatile: bool,
    /// Whether the VM's files were there last.
    pub(crate) last: bool,
}

/// What VMs of one key have in common.
#[derive(Debug)]
pub(crate) struct Class {
    /// Rule of AUTOMATIC_REQUIREMENTS.
    pub(crate) automatic: usize,
    /// Rule of SCHED_REQUIREMENTS.
    pub(crate) requirements: usize,
    /// Rank of hosts; `None` is the host with the fewest VMs.
    pub(crate) rank: Option<Rank>,
    /// Requirements on system datastores.
    pub(crate) store_requirements: [Rc<Requirements>; 2],
    /// Rank of system datastores; `None` is the one with the most free space.
    pub(crate) store_rank: Option<Rank>,
    /// By system datastore: how it serves, or why it never does.
    pub(crate) stores: Vec<Result<StoreChoice, String>>,
    /// By row of a cluster: whether any of its system datastores may serve.
    pub(crate) clusters: Vec<bool>,
}

/// What classes are made of.
pub(crate) struct ClassSource<'a, 'w> {
    pub(crate) world: &'w World,
    pub(crate) stores: &'a Stores<'w>,
    pub(crate) limits: &'a Limits,
    pub(crate) hosts: usize,
}

impl Class {
    /// Works a key out.
    ///
    /// # Errors
    /// An attribute that is no expression: which, and what is wrong with it.
    pub(crate) fn new<'w>(
        source: &ClassSource<'_, 'w>,
        rules: &mut HostRules<'w>,
        key: &Key<'w>,
    ) -> Result<Self, String> {
        let Limits { expression_bytes, .. } = source.limits;
        let (rank_name, rank_text) = key.rank_text();
        for (name, text) in [
            ("SCHED_REQUIREMENTS", key.requirements),
            ("SCHED_DS_REQUIREMENTS", key.store_requirements),
            (rank_name, rank_text),
            ("SCHED_DS_RANK", key.store_rank),
        ] {
            if text.len() > *expression_bytes {
                return Err(format!(
                    "{name} has {} bytes, and at most {expression_bytes} are evaluated: group what it names, for \
                     example in clusters",
                    text.len()
                ));
            }
        }
        let mut rule = |name, text| {
            rules
                .rule_of(text, source.hosts)
                .map_err(|error| wrong(name, &error))
        };
        let automatic = rule("AUTOMATIC_REQUIREMENTS", key.automatic)?;
        let requirements = rule("SCHED_REQUIREMENTS", key.requirements)?;
        let parse = |name, text| {
            Requirements::parse(text)
                .map(Rc::new)
                .map_err(|error| wrong(name, &error.to_string()))
        };
        let mut class = Self {
            automatic,
            requirements,
            rank: rank_of(
                rank_name,
                rank_text,
                "the default host rank",
                &source.limits.host_rank,
            )?,
            store_requirements: [
                parse("AUTOMATIC_DS_REQUIREMENTS", key.store_automatic)?,
                parse("SCHED_DS_REQUIREMENTS", key.store_requirements)?,
            ],
            store_rank: rank_of(
                "SCHED_DS_RANK",
                key.store_rank,
                "the default datastore rank",
                &source.limits.datastore_rank,
            )?,
            stores: Vec::new(),
            clusters: Vec::new(),
        };
        let stores = source.stores;
        class.stores = stores
            .rows()
            .iter()
            .map(|row| class.store_choice(source, key, row))
            .collect();
        class.clusters = (0..stores.clusters())
            .map(|cluster| {
                let mut of_cluster = stores.of_cluster(cluster).iter();
                of_cluster.any(|store| matches!(class.stores.get(*store), Some(Ok(_))))
            })
            .collect();
        Ok(class)
    }

    /// How a system datastore serves, as far as that is the same for all hosts.
    fn store_choice(
        &self,
        source: &ClassSource<'_, '_>,
        key: &Key<'_>,
        row: &StoreRow<'_>,
    ) -> Result<StoreChoice, String> {
        let store = row.store;
        if store.state != DatastoreState::Ready {
            return Err("is disabled".into());
        }
        let target = || Target::owned(Kind::Datastore, store.id, &store.owned).in_clusters(&store.clusters);
        if let Some(owner) = key.owner
            && !owner_may(source.world, owner, Operation::Use, &target())
        {
            return Err(format!(
                "may not be used by the VM's owner {owner} (no right USE)"
            ));
        }
        if let Some((id, _)) = key.last.filter(|(id, _)| key.leaves.is_some() && *id != store.id) {
            return Err(format!("is not the VM's datastore {id}"));
        }
        if let Some((_, driver)) = key.last.filter(|(_, driver)| *driver != store.tm_mad) {
            return Err(format!(
                "has TM_MAD {}, and the VM's files are kept for {driver}",
                store.tm_mad
            ));
        }
        for (_, image, ..) in key
            .disks
            .iter()
            .filter(|(is_image, id, ..)| *is_image && *id >= 0)
        {
            if let Some(image) = source.world.datastores.get(*image) {
                datastores_fit(image, store).map_err(|refusal| refusal.0)?;
            }
        }
        let mut volatile = false;
        for requirements in &self.store_requirements {
            let document = source.stores.document(row, None);
            let met = requirements.matches(&document);
            volatile |= document.is_volatile();
            if !met && !document.is_volatile() {
                return Err(requirements
                    .explain_for(&document, "the datastore")
                    .unwrap_or_default());
            }
        }
        let disks: Vec<DiskDemand> = key
            .disks
            .iter()
            .map(|(is_image, datastore, size_mib, clone)| DiskDemand {
                snapshots_mib: 0,
                growth_mib: 0,
                disk: -1,
                image: if *is_image { 0 } else { -1 },
                datastore: *datastore,
                size_mib: *size_mib,
                clone: *clone,
            })
            .collect();
        let last = key.last.is_some_and(|(id, _)| id == store.id);
        let mut need = Need::of(source.world, &disks, store, key.last.is_some());
        if last && store.is_shared() {
            // The files never left it.
            need.system = 0;
        }
        Ok(StoreChoice { need, volatile, last })
    }
}

fn wrong(name: &str, error: &str) -> String {
    format!("{name} is no expression: {error}")
}

/// The rank of a VM, else the default one, else none.
fn rank_of(name: &str, text: &str, default_name: &str, default: &str) -> Result<Option<Rank>, String> {
    let (name, text) = if text.trim().is_empty() {
        (default_name, default)
    } else {
        (name, text)
    };
    if text.trim().is_empty() {
        return Ok(None);
    }
    Rank::parse(text)
        .map(Some)
        .map_err(|error| wrong(name, &error.to_string()))
}

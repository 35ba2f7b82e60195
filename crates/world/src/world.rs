//! [`World`]: the state of a cloud at one moment.

use std::sync::Arc;

use plerion_model::acl::AclRule;
use plerion_model::image::Image;
use plerion_model::numa::NumaUse;
use plerion_model::user::User;
use plerion_model::view::HostUsage;
use plerion_model::vm::Vm;
use plerion_model::vm_state::VmState;
use plerion_model::vnet::Vnet;
use plerion_model::{ApiError, Id, Kind};

use crate::change::{Change, Intent, IntentKey};
use crate::config::Config;
use crate::index::{HostLoad, Index, member_add, member_first, member_remove, members};
use crate::kinds::for_kinds;
use crate::object::Object;
use crate::pool::Pool;

macro_rules! world {
    ($($kind:ident $pool:ident ($type:ty) $getter:ident $doc:literal;)*) => {
        /// The state of a cloud: objects, outstanding intents, and what is derived from them. Cloning it is cheap.
        ///
        /// VMs that are DONE are not in it; they are in the database only.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct World {
            /// Settings.
            pub config: Arc<Config>,
            $(
                #[doc = $doc]
                pub $pool: Pool<$type>,
            )*
            /// Intents that have no committed result yet.
            pub outbox: imbl::OrdMap<IntentKey, Arc<Intent>>,
            /// Highest id handed out of each kind.
            pub last_ids: imbl::OrdMap<Kind, Id>,
            pub(crate) index: Index,
        }

        impl World {
            $(
                #[doc = concat!("An object of `", stringify!($pool), "`, or the error that says it does not exist.")]
                ///
                /// # Errors
                /// When there is none of that id.
                pub fn $getter(&self, id: Id) -> Result<&Arc<$type>, ApiError> {
                    self.$pool.get(id).ok_or_else(|| ApiError::no_exists(Kind::$kind, id))
                }
            )*

            /// An object of any kind.
            ///
            /// # Errors
            /// When there is none of that id.
            pub fn object(&self, kind: Kind, id: Id) -> Result<Object, ApiError> {
                Ok(match kind {
                    $(Kind::$kind => Object::$kind(self.$getter(id)?.clone()),)*
                })
            }

            /// Ids of all objects of a kind, ascending.
            #[must_use]
            pub fn ids(&self, kind: Kind) -> Vec<Id> {
                match kind {
                    $(Kind::$kind => self.$pool.iter().map(|(id, _)| id).collect(),)*
                }
            }

            fn pool_put(&mut self, object: &Object) {
                match object {
                    $(Object::$kind(object) => {
                        self.$pool.put(object.id, object.clone());
                    })*
                }
            }

            fn pool_remove(&mut self, kind: Kind, id: Id) {
                match kind {
                    $(Kind::$kind => {
                        self.$pool.remove(id);
                    })*
                }
            }
        }
    };
}

for_kinds!(world);

impl World {
    /// An empty world.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config: Arc::new(config),
            ..Self::default()
        }
    }

    /// Whether hosts, clusters and datastores are the very ones of another world, and the same VMs are lost: what hosts are to
    /// watch follows from these.
    #[must_use]
    pub fn same_places(&self, other: &Self) -> bool {
        self.hosts.same(&other.hosts)
            && self.clusters.same(&other.clusters)
            && self.datastores.same(&other.datastores)
            && self.index.lost == other.index.lost
    }

    /// Whether the outbox is the very one of another world. It may say no for equal ones.
    #[must_use]
    pub fn same_outbox(&self, other: &Self) -> bool {
        self.outbox.ptr_eq(&other.outbox)
    }

    /// VMs that wait for a host, by ascending id.
    pub fn pending_vms(&self) -> impl Iterator<Item = &Arc<Vm>> {
        self.index.pending.iter().filter_map(|id| self.vms.get(*id))
    }

    /// VMs that the scheduler is to move to another host, by ascending id.
    pub fn leaving_vms(&self) -> impl Iterator<Item = &Arc<Vm>> {
        self.index.leaving.iter().filter_map(|id| self.vms.get(*id))
    }

    /// Whether VMs wait for the scheduler.
    #[must_use]
    pub fn awaits_placement(&self) -> bool {
        !self.index.pending.is_empty() || !self.index.leaving.is_empty()
    }

    /// VMs that hold capacity of a host, by ascending id.
    pub fn host_vms(&self, host: Id) -> impl Iterator<Item = &Arc<Vm>> {
        self.index
            .host_vms
            .get(&host)
            .into_iter()
            .flatten()
            .filter_map(|id| self.vms.get(*id))
    }

    /// VMs of a role of a VM group, by ascending id.
    pub fn vmgroup_vms<'a>(&'a self, group: Id, role: &'a str) -> impl Iterator<Item = &'a Arc<Vm>> {
        let members = self.index.vmgroup_vms.get(&group).into_iter().flatten();
        members
            .filter_map(|id| self.vms.get(*id))
            .filter(move |vm| vm.demand.group.as_ref().is_some_and(|(_, own)| **own == *role))
    }

    /// Backup images of a VM, by ascending id.
    pub fn vm_backups(&self, vm: Id) -> impl Iterator<Item = &Arc<Image>> {
        let images = self.index.vm_backups.get(&vm).into_iter().flatten();
        images.filter_map(|id| self.images.get(*id))
    }

    /// The backup job that a VM is part of; the oldest one where there are several.
    #[must_use]
    pub fn backup_job_of(&self, vm: Id) -> Option<Id> {
        member_first(&self.index.vm_jobs, vm)
    }

    /// Access control rules for somebody, as rules name him, by ascending id.
    pub(crate) fn rules_for(&self, who: u64) -> impl Iterator<Item = &Arc<AclRule>> {
        self.index.rules_for(who).filter_map(|id| self.acls.get(id))
    }

    /// A user of a name.
    #[must_use]
    pub fn user_by_name(&self, name: &str) -> Option<&Arc<User>> {
        self.id_by_name(Kind::User, -1, name)
            .and_then(|id| self.users.get(id))
    }

    /// The object of a name among those of an owner (-1 where names are unique in the pool).
    #[must_use]
    pub fn id_by_name(&self, kind: Kind, owner: Id, name: &str) -> Option<Id> {
        self.index.names.get(&(kind, owner, Arc::from(name))).copied()
    }

    /// Capacity of a host.
    #[must_use]
    pub fn host_usage(&self, id: Id) -> HostUsage {
        let usage = self.index.host_usage.get(&id).copied().unwrap_or_default();
        let (max_cpu, max_memory_kib) = self.hosts.get(id).map_or((0, 0), |host| {
            host.capacity_max(
                self.clusters
                    .get(host.cluster_id)
                    .map(|cluster| &cluster.template),
            )
        });
        HostUsage {
            cpu: usage.cpu,
            memory_kib: usage.memory_kib,
            vms: usage.vms,
            max_cpu,
            max_memory_kib,
        }
    }

    /// What VMs have of the NUMA nodes of a host.
    #[must_use]
    pub fn host_numa(&self, id: Id) -> NumaUse {
        let mut used = NumaUse::default();
        for vm in self.host_vms_numa(id) {
            if let Some(demand) = vm.held_numa(id) {
                used.take(vm.id, demand);
            }
        }
        used
    }

    /// VMs that hold something of the NUMA nodes of a host, by ascending id.
    pub(crate) fn host_vms_numa(&self, host: Id) -> impl Iterator<Item = &Arc<Vm>> {
        let ids = self.index.host_numa.get(&host).into_iter().flatten();
        ids.filter_map(|id| self.vms.get(*id))
    }

    /// VM that has a PCI device of a host, by ADDRESS.
    #[must_use]
    pub fn pci_holder(&self, host: Id, address: &str) -> Option<Id> {
        self.index.host_pci.get(&(host, Arc::from(address))).copied()
    }

    /// What VMs hold of a host, to tell whether it has changed.
    #[must_use]
    pub fn host_load(&self, id: Id) -> HostLoad {
        self.index.host_load(id)
    }

    /// Puts a change in: the one way in which a world is made from another.
    pub fn commit(&mut self, change: &Change) {
        for object in &change.puts {
            self.put(object);
        }
        for (kind, id) in &change.deletes {
            self.remove(*kind, *id);
        }
        for key in &change.intents_over {
            self.outbox.remove(key);
        }
        for intent in &change.intents {
            self.outbox.insert(intent.key, Arc::new(intent.clone()));
        }
        for (kind, id) in &change.last_ids {
            self.last_ids.insert(*kind, *id);
        }
    }

    /// Puts an object in and keeps what is derived.
    pub fn put(&mut self, object: &Object) {
        let old = self.object(object.kind(), object.id()).ok();
        if let Some(old) = &old {
            self.derived_remove(old);
        }
        self.name_move(old.as_ref(), object);
        if let Object::Vm(vm) = object
            && vm.phase.state == VmState::Done
        {
            self.vms.remove(vm.id);
            return;
        }
        self.derived_add(object);
        self.pool_put(object);
    }

    /// Puts in what is derived from an object.
    fn derived_add(&mut self, object: &Object) {
        self.index.quota_count(object, &self.config.quota_metrics, 1);
        match object {
            Object::Vm(vm) => {
                let vnets = self.vnets.clone();
                self.index.vm_add(vm);
                self.index.leases_add(vm, |id| vnets.get(id));
            }
            Object::Vnet(vnet) => {
                if self.index.vnet_set(vnet) {
                    self.leases_again(vnet);
                }
                self.reservation_set(vnet, true);
            }
            Object::Vrouter(vrouter) => {
                let vnets = self.vnets.clone();
                self.index.vrouter_set(vrouter, true);
                self.index.floats_set(vrouter, |id| vnets.get(id), true);
            }
            Object::Image(image) => self.index.image_add(image),
            Object::BackupJob(job) => self.index.job_set(job, true),
            Object::MarketplaceApp(app) => member_add(&mut self.index.market_apps, app.market_id, app.id),
            Object::SchedAction(action) => self.index.sched_set(action, true),
            Object::Acl(rule) => self.index.rule_set(rule, true),
            _ => {}
        }
    }

    /// Takes out what was derived from an object that changes or goes. The leases of a network stay while it changes.
    fn derived_remove(&mut self, old: &Object) {
        self.index.quota_count(old, &self.config.quota_metrics, -1);
        match old {
            Object::Vm(vm) => {
                let vnets = self.vnets.clone();
                self.index.vm_remove(vm);
                self.index.leases_remove(vm, |id| vnets.get(id));
            }
            Object::Vnet(vnet) => self.reservation_set(vnet, false),
            Object::Vrouter(vrouter) => {
                let vnets = self.vnets.clone();
                self.index.vrouter_set(vrouter, false);
                self.index.floats_set(vrouter, |id| vnets.get(id), false);
            }
            Object::Image(image) => self.index.image_remove(image),
            Object::BackupJob(job) => self.index.job_set(job, false),
            Object::MarketplaceApp(app) => member_remove(&mut self.index.market_apps, app.market_id, app.id),
            Object::SchedAction(action) => self.index.sched_set(action, false),
            Object::Acl(rule) => self.index.rule_set(rule, false),
            _ => {}
        }
    }

    /// Virtual routers and VMs that outlived a range have their leases again when a range like it comes back.
    fn leases_again(&mut self, vnet: &Arc<Vnet>) {
        for id in members(&self.index.vnet_vrouters, vnet.id) {
            if let Some(vrouter) = self.vrouters.get(id).cloned() {
                self.index
                    .floats_set(&vrouter, |id| (id == vnet.id).then_some(vnet), true);
            }
        }
        let vms: Vec<Arc<Vm>> = members(&self.index.vnet_vms, vnet.id)
            .into_iter()
            .filter_map(|id| self.vms.get(id).cloned())
            .collect();
        for vm in vms {
            self.index.leases_add(&vm, |id| (id == vnet.id).then_some(vnet));
        }
    }

    /// Takes the addresses of a reservation out of its parent's, or gives them back.
    fn reservation_set(&mut self, vnet: &Vnet, take: bool) {
        if let Some(parent) = vnet.parent.and_then(|id| self.vnets.get(id)).cloned() {
            self.index.reservation_set(vnet, &parent, take);
        }
    }

    fn name_move(&mut self, old: Option<&Object>, object: &Object) {
        let same = old.is_some_and(|old| {
            old.name_owner() == object.name_owner() && old.entity().name() == object.entity().name()
        });
        if same {
            return;
        }
        if let Some(old) = old {
            self.name_forget(old);
        }
        if let Some(owner) = object.name_owner() {
            let name = Arc::from(object.entity().name());
            self.index.names.insert((object.kind(), owner, name), object.id());
        }
    }

    fn name_forget(&mut self, object: &Object) {
        if let Some(owner) = object.name_owner() {
            let name = Arc::from(object.entity().name());
            self.index.names.remove(&(object.kind(), owner, name));
        }
    }

    /// Takes an object out and keeps what is derived.
    pub fn remove(&mut self, kind: Kind, id: Id) {
        let Ok(old) = self.object(kind, id) else { return };
        self.derived_remove(&old);
        if let Object::Vnet(vnet) = &old {
            self.index.vnet_remove(vnet);
        }
        self.name_forget(&old);
        self.pool_remove(kind, id);
    }

    /// Whether what is derived equals a recount from the objects. For tests and the simulator.
    ///
    /// # Errors
    /// Says what differs.
    pub fn check(&self) -> Result<(), String> {
        let mut fresh = Self::new((*self.config).clone());
        // VMs come last: what they hold of networks is derived from those.
        let rest = Kind::ALL.iter().copied().filter(|kind| *kind != Kind::Vm);
        for kind in rest.chain([Kind::Vm]) {
            for object in self
                .ids(kind)
                .into_iter()
                .filter_map(|id| self.object(kind, id).ok())
            {
                fresh.put(&object);
            }
        }
        if fresh.index == self.index {
            return Ok(());
        }
        Err(format!(
            "derived state differs from a recount:\n kept: {:?}\n recounted: {:?}",
            self.index, fresh.index
        ))
    }
}

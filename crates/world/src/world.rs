//! [`World`]: the state of a cloud at one moment.

use std::sync::Arc;

use plerion_model::acl::AclRule;
use plerion_model::cluster::Cluster;
use plerion_model::datastore::Datastore;
use plerion_model::group::Group;
use plerion_model::host::Host;
use plerion_model::image::Image;
use plerion_model::secgroup::SecurityGroup;
use plerion_model::user::User;
use plerion_model::view::HostUsage;
use plerion_model::vm::Vm;
use plerion_model::vm_state::VmState;
use plerion_model::vmtemplate::VmTemplate;
use plerion_model::vnet::Vnet;
use plerion_model::zone::Zone;
use plerion_model::{ApiError, Id, Kind};

use crate::change::{Change, Intent, IntentKey, Object};
use crate::config::Config;
use crate::index::Index;
use crate::pool::Pool;

/// The state of a cloud: objects, outstanding intents, and what is derived from them. Cloning it is cheap.
///
/// VMs that are DONE are not in it; they are in the database only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    /// Settings.
    pub config: Arc<Config>,
    /// VMs that live.
    pub vms: Pool<Vm>,
    /// Hosts.
    pub hosts: Pool<Host>,
    /// Virtual networks.
    pub vnets: Pool<Vnet>,
    /// Images.
    pub images: Pool<Image>,
    /// Users.
    pub users: Pool<User>,
    /// VM templates.
    pub templates: Pool<VmTemplate>,
    /// Groups.
    pub groups: Pool<Group>,
    /// Access control rules.
    pub acls: Pool<AclRule>,
    /// Datastores.
    pub datastores: Pool<Datastore>,
    /// Clusters.
    pub clusters: Pool<Cluster>,
    /// Zones.
    pub zones: Pool<Zone>,
    /// Security groups.
    pub secgroups: Pool<SecurityGroup>,
    /// Intents that have no committed result yet.
    pub outbox: imbl::OrdMap<IntentKey, Arc<Intent>>,
    /// Highest id handed out of each kind.
    pub last_ids: imbl::OrdMap<Kind, Id>,
    pub(crate) index: Index,
}

macro_rules! getters {
    ($($getter:ident $pool:ident $kind:ident $type:ty;)*) => {
        $(
            #[doc = concat!("An object of `", stringify!($pool), "`, or the error that says it does not exist.")]
            ///
            /// # Errors
            /// When there is none of that id.
            pub fn $getter(&self, id: Id) -> Result<&Arc<$type>, ApiError> {
                self.$pool.get(id).ok_or_else(|| ApiError::no_exists(Kind::$kind, id))
            }
        )*
    };
}

impl World {
    /// An empty world.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config: Arc::new(config),
            ..Self::default()
        }
    }

    getters! {
        vm vms Vm Vm;
        host hosts Host Host;
        vnet vnets Vnet Vnet;
        image images Image Image;
        user users User User;
        template templates Template VmTemplate;
        group groups Group Group;
        acl acls Acl AclRule;
        datastore datastores Datastore Datastore;
        cluster clusters Cluster Cluster;
        zone zones Zone Zone;
        secgroup secgroups SecurityGroup SecurityGroup;
    }

    /// An object of any kind.
    ///
    /// # Errors
    /// When there is none of that id.
    pub fn object(&self, kind: Kind, id: Id) -> Result<Object, ApiError> {
        Ok(match kind {
            Kind::Vm => Object::Vm(self.vm(id)?.clone()),
            Kind::Host => Object::Host(self.host(id)?.clone()),
            Kind::Vnet => Object::Vnet(self.vnet(id)?.clone()),
            Kind::Image => Object::Image(self.image(id)?.clone()),
            Kind::User => Object::User(self.user(id)?.clone()),
            Kind::Template => Object::Template(self.template(id)?.clone()),
            Kind::Group => Object::Group(self.group(id)?.clone()),
            Kind::Acl => Object::Acl(self.acl(id)?.clone()),
            Kind::Datastore => Object::Datastore(self.datastore(id)?.clone()),
            Kind::Cluster => Object::Cluster(self.cluster(id)?.clone()),
            Kind::Zone => Object::Zone(self.zone(id)?.clone()),
            Kind::SecurityGroup => Object::SecurityGroup(self.secgroup(id)?.clone()),
        })
    }

    /// Whether hosts, clusters and datastores are the very ones of another world.
    #[must_use]
    pub fn same_places(&self, other: &Self) -> bool {
        self.hosts.same(&other.hosts)
            && self.clusters.same(&other.clusters)
            && self.datastores.same(&other.datastores)
    }

    /// VMs that wait for a host, by ascending id.
    pub fn pending_vms(&self) -> impl Iterator<Item = &Arc<Vm>> {
        self.index.pending.iter().filter_map(|id| self.vms.get(*id))
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
        match object {
            Object::Vm(vm) => self.vm_put(vm),
            Object::Host(host) => {
                self.name_move(
                    Kind::Host,
                    -1,
                    self.hosts.get(host.id).map(|old| (-1, old.name.clone())),
                    host.id,
                    &host.name,
                );
                self.hosts.put(host.id, host.clone());
            }
            Object::Vnet(vnet) => self.vnet_put(vnet),
            Object::Image(image) => self.image_put(image),
            Object::User(user) => {
                self.name_move(
                    Kind::User,
                    -1,
                    self.users.get(user.id).map(|old| (-1, old.name.clone())),
                    user.id,
                    &user.name,
                );
                self.users.put(user.id, user.clone());
            }
            Object::Template(template) => {
                let old = self
                    .templates
                    .get(template.id)
                    .map(|old| (old.owned.uid, old.name.clone()));
                self.name_move(
                    Kind::Template,
                    template.owned.uid,
                    old,
                    template.id,
                    &template.name,
                );
                self.templates.put(template.id, template.clone());
            }
            Object::Group(group) => {
                self.name_move(
                    Kind::Group,
                    -1,
                    self.groups.get(group.id).map(|old| (-1, old.name.clone())),
                    group.id,
                    &group.name,
                );
                self.groups.put(group.id, group.clone());
            }
            Object::Acl(rule) => {
                self.acls.put(rule.id, rule.clone());
            }
            Object::Datastore(datastore) => {
                let old = self
                    .datastores
                    .get(datastore.id)
                    .map(|old| (-1, old.name.clone()));
                self.name_move(Kind::Datastore, -1, old, datastore.id, &datastore.name);
                self.datastores.put(datastore.id, datastore.clone());
            }
            Object::Cluster(cluster) => {
                let old = self.clusters.get(cluster.id).map(|old| (-1, old.name.clone()));
                self.name_move(Kind::Cluster, -1, old, cluster.id, &cluster.name);
                self.clusters.put(cluster.id, cluster.clone());
            }
            Object::Zone(zone) => {
                self.name_move(
                    Kind::Zone,
                    -1,
                    self.zones.get(zone.id).map(|old| (-1, old.name.clone())),
                    zone.id,
                    &zone.name,
                );
                self.zones.put(zone.id, zone.clone());
            }
            Object::SecurityGroup(group) => {
                let old = self
                    .secgroups
                    .get(group.id)
                    .map(|old| (old.owned.uid, old.name.clone()));
                self.name_move(Kind::SecurityGroup, group.owned.uid, old, group.id, &group.name);
                self.secgroups.put(group.id, group.clone());
            }
        }
    }

    fn vm_put(&mut self, vm: &Arc<Vm>) {
        let vnets = self.vnets.clone();
        if let Some(old) = self.vms.get(vm.id).cloned() {
            self.index.vm_remove(&old);
            self.index.leases_remove(&old, |id| vnets.get(id));
        }
        if vm.phase.state == VmState::Done {
            self.vms.remove(vm.id);
            return;
        }
        self.index.vm_add(vm);
        self.index.leases_add(vm, |id| vnets.get(id));
        self.vms.put(vm.id, vm.clone());
    }

    fn vnet_put(&mut self, vnet: &Arc<Vnet>) {
        let old = self
            .vnets
            .get(vnet.id)
            .map(|old| (old.owned.uid, old.name.clone()));
        self.name_move(Kind::Vnet, vnet.owned.uid, old, vnet.id, &vnet.name);
        self.index.vnet_set(vnet);
        self.vnets.put(vnet.id, vnet.clone());
    }

    fn image_put(&mut self, image: &Arc<Image>) {
        let old = self
            .images
            .get(image.id)
            .map(|old| (old.owned.uid, old.name.clone()));
        self.name_move(Kind::Image, image.owned.uid, old, image.id, &image.name);
        if let Some(old) = self.images.get(image.id).cloned() {
            self.index.image_remove(old.datastore_id, old.id);
        }
        self.index.image_add(image.datastore_id, image.id);
        self.images.put(image.id, image.clone());
    }

    fn name_move(&mut self, kind: Kind, owner: Id, old: Option<(Id, String)>, id: Id, name: &str) {
        if let Some((old_owner, old_name)) = old {
            if old_owner == owner && old_name == name {
                return;
            }
            self.index.names.remove(&(kind, old_owner, Arc::from(old_name)));
        }
        self.index.names.insert((kind, owner, Arc::from(name)), id);
    }

    fn name_forget(&mut self, kind: Kind, owner: Id, name: &str) {
        self.index.names.remove(&(kind, owner, Arc::from(name)));
    }

    /// Takes an object out and keeps what is derived.
    pub fn remove(&mut self, kind: Kind, id: Id) {
        match kind {
            Kind::Vm => {
                if let Some(old) = self.vms.remove(id) {
                    let vnets = self.vnets.clone();
                    self.index.vm_remove(&old);
                    self.index.leases_remove(&old, |id| vnets.get(id));
                }
            }
            Kind::Host => {
                if let Some(old) = self.hosts.remove(id) {
                    self.name_forget(kind, -1, &old.name);
                }
            }
            Kind::Vnet => {
                if let Some(old) = self.vnets.remove(id) {
                    self.name_forget(kind, old.owned.uid, &old.name);
                    self.index.vnet_remove(&old);
                }
            }
            Kind::Image => {
                if let Some(old) = self.images.remove(id) {
                    self.name_forget(kind, old.owned.uid, &old.name);
                    self.index.image_remove(old.datastore_id, id);
                }
            }
            Kind::User => {
                if let Some(old) = self.users.remove(id) {
                    self.name_forget(kind, -1, &old.name);
                }
            }
            Kind::Template => {
                if let Some(old) = self.templates.remove(id) {
                    self.name_forget(kind, old.owned.uid, &old.name);
                }
            }
            Kind::Group => {
                if let Some(old) = self.groups.remove(id) {
                    self.name_forget(kind, -1, &old.name);
                }
            }
            Kind::Acl => {
                self.acls.remove(id);
            }
            Kind::Datastore => {
                if let Some(old) = self.datastores.remove(id) {
                    self.name_forget(kind, -1, &old.name);
                }
            }
            Kind::Cluster => {
                if let Some(old) = self.clusters.remove(id) {
                    self.name_forget(kind, -1, &old.name);
                }
            }
            Kind::Zone => {
                if let Some(old) = self.zones.remove(id) {
                    self.name_forget(kind, -1, &old.name);
                }
            }
            Kind::SecurityGroup => {
                if let Some(old) = self.secgroups.remove(id) {
                    self.name_forget(kind, old.owned.uid, &old.name);
                }
            }
        }
    }

    /// Whether what is derived equals a recount from the objects. For tests and the simulator.
    ///
    /// # Errors
    /// Says what differs.
    pub fn check(&self) -> Result<(), String> {
        let mut fresh = Self::new((*self.config).clone());
        let mut put = |object: Object| fresh.put(&object);
        self.users
            .values()
            .for_each(|object| put(Object::User(object.clone())));
        self.groups
            .values()
            .for_each(|object| put(Object::Group(object.clone())));
        self.clusters
            .values()
            .for_each(|object| put(Object::Cluster(object.clone())));
        self.zones
            .values()
            .for_each(|object| put(Object::Zone(object.clone())));
        self.hosts
            .values()
            .for_each(|object| put(Object::Host(object.clone())));
        self.datastores
            .values()
            .for_each(|object| put(Object::Datastore(object.clone())));
        self.secgroups
            .values()
            .for_each(|object| put(Object::SecurityGroup(object.clone())));
        self.templates
            .values()
            .for_each(|object| put(Object::Template(object.clone())));
        self.vnets
            .values()
            .for_each(|object| put(Object::Vnet(object.clone())));
        self.images
            .values()
            .for_each(|object| put(Object::Image(object.clone())));
        self.vms
            .values()
            .for_each(|object| put(Object::Vm(object.clone())));
        if fresh.index == self.index {
            return Ok(());
        }
        Err(format!(
            "derived state differs from a recount:\n kept: {:?}\n recounted: {:?}",
            self.index, fresh.index
        ))
    }
}

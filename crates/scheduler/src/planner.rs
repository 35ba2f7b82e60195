//! [`Planner`]: hosts and datastores while a plan is made, and what fits where.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use plerion_lifecycle::Relocation;
use plerion_model::numa::NumaDemand;
use plerion_model::numa_place::NumaChoice;
use plerion_model::pci::PciDevice;
use plerion_model::{Id, Kind, Operation, Seconds};
use plerion_world::{
    Measurements, Target, World, affinity_refusal, hosts_of, nics_refusal, numa_find, pci_find,
};

use crate::class::{Class, ClassSource, Key, StoreChoice};
use crate::host_document::{HostDocument, HostLookup};
use crate::hosts::{HostRow, host_rows, vms_starting};
use crate::limits::Limits;
use crate::owner::owner_may;
use crate::ranking::{Entry, Ranking};
use crate::reason::{Reason, cpu_text, state_text};
use crate::rule::HostRules;
use crate::stores::{StoreRow, Stores};

/// Most system datastores of which a reason tells.
const STORES_NAMED_MAX: usize = 4;

/// Why a system datastore does not serve a VM on a host.
enum StoreFault {
    /// It does on no host.
    Never,
    Requirements(usize),
    Space {
        need: u64,
        free: u64,
    },
    ImageSpace {
        datastore: Id,
        need: u64,
        free: u64,
    },
}

/// Hosts and datastores while a plan is made.
pub(crate) struct Planner<'w> {
    world: &'w World,
    pub(crate) hosts: Vec<HostRow<'w>>,
    stores: Stores<'w>,
    lookup: HostLookup<'w>,
    rules: HostRules<'w>,
    limits: &'w Limits,
    /// VMs that are starting on all hosts that are reached, with those placed so far.
    starting: usize,
    /// The hosts of all placements so far, in order.
    placed: Vec<usize>,
    /// Roles and hosts of VMs placed so far, by VM group.
    members: HashMap<Id, BTreeSet<(&'w str, Id)>>,
}

impl<'w> Planner<'w> {
    pub(crate) fn new(
        world: &'w World,
        measurements: &'w Measurements,
        now: Seconds,
        limits: &'w Limits,
    ) -> Self {
        let (mut hosts, clusters) = host_rows(world, measurements);
        let mut stores = Stores::new(
            world,
            measurements,
            &clusters,
            now.saturating_sub(limits.sample_age),
        );
        let starting = vms_starting(world);
        let mut in_all = 0_usize;
        for host in starting.iter().filter_map(|starting| starting.vm.held_host()) {
            if let Ok(at) = hosts.binary_search_by_key(&host, |row| row.host.id)
                && let Some(row) = hosts.get_mut(at)
            {
                row.starting = row.starting.saturating_add(1);
                // What hangs on a host that is lost is to hold up nobody elsewhere.
                in_all = in_all.saturating_add(usize::from(row.host.is_reached()));
            }
        }
        stores.starting_take(world, &starting, &mut hosts);
        Self {
            world,
            hosts,
            stores,
            lookup: HostLookup::new(world, measurements),
            rules: HostRules::default(),
            limits,
            starting: in_all,
            placed: Vec::new(),
            members: HashMap::new(),
        }
    }

    /// Works a key out.
    pub(crate) fn class(&mut self, key: &Key<'w>) -> Result<Class, String> {
        let source = ClassSource {
            world: self.world,
            stores: &self.stores,
            limits: self.limits,
            hosts: self.hosts.len(),
        };
        Class::new(&source, &mut self.rules, key)
    }

    /// Number of placements so far.
    pub(crate) fn placements(&self) -> usize {
        self.placed.len()
    }

    /// Whether hosts that are refused now may be fit when more has been planned.
    pub(crate) fn is_volatile(&self, class: &Class, key: &Key<'_>) -> bool {
        [class.automatic, class.requirements]
            .into_iter()
            .filter_map(|rule| self.rules.get(rule))
            .any(|rule| rule.is_volatile())
            || key.group.is_some()
            || class.stores.iter().flatten().any(|choice| choice.volatile)
    }

    /// Why a VM of a group may not be on a host, with what is placed so far.
    fn affinity_text(&self, key: &Key<'_>, host: usize) -> Option<String> {
        let (group, role, itself) = key.group?;
        let row = self.hosts.get(host)?;
        let hosts = |id: Id, role: &str| {
            let mut hosts = hosts_of(self.world, id, role, itself);
            let placed = self.members.get(&id).into_iter().flatten();
            hosts.extend(placed.filter(|(own, _)| *own == role).map(|(_, host)| *host));
            hosts
        };
        affinity_refusal(self.world, (group, role), row.host.id, &hosts)
    }

    /// Why no network serves a NIC of a VM on a host.
    fn network_text(&self, key: &Key<'_>, host: usize) -> Option<String> {
        nics_refusal(self.world, key.auto_nics?, self.hosts.get(host)?.host)
    }

    /// The devices of a host that a VM would get, with what is placed so far.
    fn pci_find(&self, key: &Key<'_>, row: &HostRow<'_>) -> Result<Vec<PciDevice>, String> {
        let planned = |address: &str| row.pci_planned.iter().any(|taken| taken == address);
        pci_find(self.world, -1, key.pci, row.host, &planned)
    }

    /// Why a host has not the PCI devices that a VM asks for.
    fn pci_text(&self, key: &Key<'_>, host: usize) -> Option<String> {
        self.pci_find(key, self.hosts.get(host)?).err()
    }

    /// Why a VM's owner may not have it on a host.
    fn rights_text(&self, key: &Key<'_>, row: &HostRow<'_>) -> Option<String> {
        let owner = key.owner?;
        let target = Target::plain(Kind::Host, row.host.id).in_clusters(&[row.host.cluster_id]);
        let may = owner_may(self.world, owner, Operation::Manage, &target);
        (!may).then(|| format!("the VM's owner {owner} may not use it (no right MANAGE on the host)"))
    }

    /// Where a VM would be on the NUMA nodes of a host, with what is placed so far.
    fn numa_find(&self, numa: &NumaDemand, row: &HostRow<'_>) -> Result<NumaChoice, String> {
        numa_find(self.world, -1, numa, row.host, &row.numa_planned)
    }

    /// Why a host has no place for a VM on its NUMA nodes.
    fn numa_text(&self, key: &Key<'_>, host: usize) -> Option<String> {
        self.numa_find(key.numa?, self.hosts.get(host)?).err()
    }

    /// What keeps a VM that is to be moved from going as it is configured.
    fn bound_by(&self, key: &Key<'_>) -> Option<&'static str> {
        match self.world.config.resched {
            Relocation::Live | Relocation::Save => key.bound_by,
            Relocation::Poweroff | Relocation::PoweroffHard => None,
        }
    }

    /// Why a host cannot take a VM, datastores set aside.
    fn host_fault(&self, class: &Class, key: &Key<'_>, host: usize) -> Option<Reason> {
        let row = self.hosts.get(host)?;
        if !row.host.accepts_vms() {
            return Some(Reason::HostState);
        }
        if self.rights_text(key, row).is_some() {
            return Some(Reason::Rights);
        }
        if key
            .leaves
            .is_some_and(|(id, driver)| id == row.host.id || driver != row.host.vm_mad)
        {
            return Some(Reason::Leaving);
        }
        if self.bound_by(key).is_some() {
            return Some(Reason::Bound);
        }
        let is_met = |rule| {
            let rule = self.rules.get(rule);
            rule.is_some_and(|rule| rule.is_met(&self.lookup, &self.hosts, host))
        };
        if !is_met(class.automatic) {
            return Some(Reason::AutomaticRequirements);
        }
        if !is_met(class.requirements) {
            return Some(Reason::Requirements);
        }
        if self.affinity_text(key, host).is_some() {
            return Some(Reason::Affinity);
        }
        if self.network_text(key, host).is_some() {
            return Some(Reason::Network);
        }
        if key.cpu > row.cpu_free() {
            return Some(Reason::Cpu);
        }
        if key.memory_kib() > row.memory_free_kib() {
            return Some(Reason::Memory);
        }
        if self.pci_text(key, host).is_some() {
            return Some(Reason::Pci);
        }
        if self.numa_text(key, host).is_some() {
            return Some(Reason::Numa);
        }
        let served = class.clusters.get(row.cluster_row).copied().unwrap_or(false);
        (!served).then_some(Reason::Datastore)
    }

    /// Why a host cannot take a VM.
    pub(crate) fn fault(&self, class: &Class, key: &Key<'_>, host: usize) -> Option<Reason> {
        self.host_fault(class, key, host).or_else(|| {
            let none = self.store_pick(class, host).is_none();
            none.then_some(Reason::Datastore)
        })
    }

    fn entry(&self, class: &Class, key: &Key<'_>, host: usize) -> Option<Entry> {
        if self.host_fault(class, key, host).is_some() {
            return None;
        }
        let row = self.hosts.get(host)?;
        let rank = match &class.rank {
            None => row.usage.vms.saturating_neg(),
            Some(rank) => rank.value(&HostDocument::new(&self.lookup, &self.hosts, host)?),
        };
        Some(Entry {
            rank,
            host: Reverse(host),
            stamp: row.stamp,
        })
    }

    /// The fit hosts of a class as they are now.
    pub(crate) fn ranking(&self, class: &Class, key: &Key<'_>) -> Ranking {
        let entries = (0..self.hosts.len())
            .filter_map(|host| self.entry(class, key, host))
            .collect();
        Ranking::new(entries, self.placed.len())
    }

    /// Takes the placements since its last use into a ranking.
    fn refresh(&self, class: &Class, key: &Key<'_>, ranking: &mut Ranking) {
        let mut changed: Vec<usize> = self.placed.get(ranking.cursor..).unwrap_or_default().to_vec();
        ranking.cursor = self.placed.len();
        changed.sort_unstable();
        changed.dedup();
        for host in changed {
            if let Some(entry) = self.entry(class, key, host) {
                ranking.push(entry);
            }
        }
    }

    /// The best host and system datastore.
    pub(crate) fn best(&self, class: &Class, key: &Key<'_>, ranking: &mut Ranking) -> Option<(usize, usize)> {
        self.refresh(class, key, ranking);
        while let Some(entry) = ranking.peek() {
            let Reverse(host) = entry.host;
            let current = self.hosts.get(host).is_some_and(|row| row.stamp == entry.stamp);
            // What was placed since may keep the VM's group away from hosts on which nothing has changed.
            let suits = key.group.is_none() || self.affinity_text(key, host).is_none();
            if current
                && suits
                && let Some(store) = self.store_pick(class, host)
            {
                return Some((host, store));
            }
            ranking.pop();
        }
        None
    }

    /// The best system datastore on a host: the one used last, else the one of the highest rank.
    fn store_pick(&self, class: &Class, host: usize) -> Option<usize> {
        let host = self.hosts.get(host)?;
        let mut best: Option<((bool, i64), usize)> = None;
        for store in self.stores.of_cluster(host.cluster_row) {
            let Some(row) = self.stores.row(*store) else {
                continue;
            };
            let Some(Ok(choice)) = class.stores.get(*store) else {
                continue;
            };
            if self.store_fault(class, choice, row, host).is_some() {
                continue;
            }
            let worth = (choice.last, self.store_rank(class, row, host));
            if best.is_none_or(|(so_far, _)| worth > so_far) {
                best = Some((worth, *store));
            }
        }
        best.map(|(_, store)| store)
    }

    fn store_rank(&self, class: &Class, row: &StoreRow<'w>, host: &HostRow<'_>) -> i64 {
        match &class.store_rank {
            Some(rank) => rank.value(&self.stores.document(row, Some(host))),
            None => {
                let free = self.stores.space(row, Some(host)).map_or(0, |space| space.free);
                i64::try_from(free).unwrap_or(i64::MAX)
            }
        }
    }

    fn store_fault(
        &self,
        class: &Class,
        choice: &StoreChoice,
        row: &StoreRow<'w>,
        host: &HostRow<'_>,
    ) -> Option<StoreFault> {
        if choice.volatile {
            let document = self.stores.document(row, Some(host));
            let unmet = |requirements: &std::rc::Rc<_>| {
                !plerion_template::Requirements::matches(requirements, &document)
            };
            if let Some(number) = class.store_requirements.iter().position(unmet) {
                return Some(StoreFault::Requirements(number));
            }
        }
        let need = choice.need.system;
        if let Some(space) = self.stores.space(row, Some(host))
            && need > space.free
        {
            return Some(StoreFault::Space {
                need,
                free: space.free,
            });
        }
        choice.need.images.iter().find_map(|(datastore, need)| {
            let free = self.stores.image_free(*datastore)?;
            (*need > free).then_some(StoreFault::ImageSpace {
                datastore: *datastore,
                need: *need,
                free,
            })
        })
    }

    /// What a VM gets of the NUMA nodes of a host, for what is planned after it.
    fn numa_promise(&self, key: &Key<'_>, row: &HostRow<'_>) -> Option<NumaDemand> {
        let mut demand = key.numa?.clone();
        let choice = self.numa_find(&demand, row).ok()?;
        for (node, place) in demand.nodes.iter_mut().zip(choice.places) {
            node.place = Some(place);
        }
        Some(demand)
    }

    /// Puts a VM on a host. `starts` is whether it may start there now.
    pub(crate) fn place(&mut self, vm: Id, class: &Class, key: &Key<'w>, at: (usize, usize), starts: bool) {
        let (host, store) = at;
        let devices = self.hosts.get(host).map(|row| self.pci_find(key, row));
        let numa = self.hosts.get(host).and_then(|row| self.numa_promise(key, row));
        let Some(row) = self.hosts.get_mut(host) else {
            return;
        };
        // The host was fit, so that there are such devices.
        let devices = devices.and_then(Result::ok).unwrap_or_default();
        if let Some(demand) = numa {
            row.numa_planned.push((vm, demand));
        }
        row.pci_planned.extend(devices.iter().map(PciDevice::address));
        row.place(vm, key.cpu, key.memory_kib());
        if let Some((group, role, _)) = key.group {
            self.members.entry(group).or_default().insert((role, row.host.id));
        }
        if starts {
            row.starting = row.starting.saturating_add(1);
            self.starting = self.starting.saturating_add(1);
        }
        if let Some(Ok(choice)) = class.stores.get(store) {
            self.stores.take(store, &choice.need, row);
        }
        self.placed.push(host);
    }

    /// Whether one more VM may start on a host now.
    pub(crate) fn may_start(&self, host: usize) -> bool {
        let starting = self.hosts.get(host).map_or(0, |row| row.starting);
        self.limits.host_starts.is_none_or(|limit| starting < limit)
            && self.limits.starts.is_none_or(|limit| self.starting < limit)
    }

    /// Id of a system datastore.
    pub(crate) fn store_id(&self, store: usize) -> Option<Id> {
        self.stores.row(store).map(|row| row.store.id)
    }

    /// Why a host cannot take a VM, in words.
    pub(crate) fn fault_text(&self, class: &Class, key: &Key<'_>, host: usize, reason: Reason) -> String {
        let Some(row) = self.hosts.get(host) else {
            return String::new();
        };
        let explain = |rule| {
            let rule = self.rules.get(rule);
            rule.map_or_else(String::new, |rule| rule.explain(&self.lookup, &self.hosts, host))
        };
        match reason {
            Reason::HostState => state_text(row.host),
            Reason::Rights => self.rights_text(key, row).unwrap_or_default(),
            Reason::Leaving => match key.leaves {
                Some((id, driver)) if id != row.host.id => {
                    format!(
                        "its hypervisor driver is {}, and the VM runs with {driver}",
                        row.host.vm_mad
                    )
                }
                _ => reason.to_string(),
            },
            Reason::Bound => format!(
                "a VM with {} is not moved with its memory: move it by onevm migrate --poff, or set COLD_MIGRATE_MODE = 1 and \
                 LIVE_RESCHEDS = 0",
                self.bound_by(key).unwrap_or_default()
            ),
            Reason::AutomaticRequirements => explain(class.automatic),
            Reason::Requirements => explain(class.requirements),
            Reason::Affinity => self.affinity_text(key, host).unwrap_or_default(),
            Reason::Network => self.network_text(key, host).unwrap_or_default(),
            Reason::Cpu => format!(
                "not enough CPU: needs {}, {} free",
                cpu_text(key.cpu),
                cpu_text(row.cpu_free().max(0))
            ),
            Reason::Memory => format!(
                "not enough memory: needs {} MB, {} free",
                key.memory_mib,
                row.memory_free_kib().max(0) / 1024
            ),
            Reason::Pci => self.pci_text(key, host).unwrap_or_default(),
            Reason::Numa => self.numa_text(key, host).unwrap_or_default(),
            Reason::Datastore => self.stores_text(class, row),
            Reason::Expression | Reason::NoHost => reason.to_string(),
        }
    }

    /// Why none of the system datastores of a host's cluster serves.
    fn stores_text(&self, class: &Class, host: &HostRow<'_>) -> String {
        let of_cluster = self.stores.of_cluster(host.cluster_row);
        if of_cluster.is_empty() {
            let name = host.cluster.map_or("", |cluster| &cluster.name);
            return format!(
                "its cluster {} ({name}) has no system datastore",
                host.host.cluster_id
            );
        }
        let mut texts: Vec<String> = of_cluster
            .iter()
            .take(STORES_NAMED_MAX)
            .filter_map(|store| {
                let row = self.stores.row(*store)?;
                let text = self.store_text(class, *store, row, host);
                Some(format!("datastore {} ({}): {text}", row.store.id, row.store.name))
            })
            .collect();
        let more = of_cluster.len().saturating_sub(STORES_NAMED_MAX);
        if more > 0 {
            texts.push(format!("and {more} more datastores will not do"));
        }
        texts.join(", ")
    }

    fn store_text(&self, class: &Class, store: usize, row: &StoreRow<'w>, host: &HostRow<'_>) -> String {
        let fault = match class.stores.get(store) {
            Some(Ok(choice)) => self.store_fault(class, choice, row, host),
            Some(Err(_)) | None => Some(StoreFault::Never),
        };
        match fault {
            Some(StoreFault::Never) => match class.stores.get(store) {
                Some(Err(text)) => text.clone(),
                Some(Ok(_)) | None => String::new(),
            },
            Some(StoreFault::Requirements(number)) => {
                let requirements = class.store_requirements.get(number);
                let document = self.stores.document(row, Some(host));
                requirements
                    .and_then(|requirements| requirements.explain_for(&document, "the datastore"))
                    .unwrap_or_default()
            }
            Some(StoreFault::Space { need, free }) => {
                format!("not enough space: needs {need} MB, {free} free")
            }
            Some(StoreFault::ImageSpace {
                datastore,
                need,
                free,
            }) => format!("image datastore {datastore} has not enough space: needs {need} MB, {free} free"),
            None => "will do".into(),
        }
    }
}

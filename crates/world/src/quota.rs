//! Quotas: what each user and group uses, derived with every change; and that no command lets it pass a limit.
//!
//! There is no list of commands that charge a quota. Whatever a command did, [`quota_enforce`] compares what the owners of
//! the changed objects use before and after: what grew must be within its limit. So no command can forget it.

use std::collections::BTreeSet;

use plerion_model::quota::{Limits, Quotas, amount_text};
use plerion_model::quota_section::PlaceUse;
use plerion_model::quota_section::Section;
use plerion_model::quota_usage::{QuotaUsage, VmUse};
use plerion_model::{ApiError, Id, Kind, Operation, group, user};
use plerion_template::{Template, Vector};

use crate::account::{Account, accounts};
use crate::auth::{Caller, Target, require};
use crate::index::Index;
use crate::object::Object;
use crate::txn::Txn;
use crate::world::World;

/// What an object uses.
#[derive(Debug, Default)]
struct Charge {
    /// By cluster; -1 wherever it is.
    vms: Vec<(Id, VmUse)>,
    places: Vec<(Section, Id, PlaceUse)>,
}

impl Charge {
    fn of(object: &Object, generic: &[String]) -> Self {
        let mut charge = Self::default();
        let one = |size_mib| PlaceUse { count: 1, size_mib };
        match object {
            Object::Vm(vm) => {
                let holds = vm.holds();
                if !holds.quota {
                    return charge;
                }
                let used = VmUse::of(vm, generic);
                if let Some(record) = vm.last_history().filter(|_| holds.host) {
                    charge.vms.push((record.cluster, used.clone()));
                }
                charge.vms.push((-1, used));
                let leases = vm.demand.leases.iter();
                charge
                    .places
                    .extend(leases.map(|lease| (Section::Network, lease.vnet, one(0))));
                let images = vm.demand.disks.iter().filter(|disk| disk.image >= 0);
                charge
                    .places
                    .extend(images.map(|disk| (Section::Image, disk.image, one(0))));
                // What the disk that is the image itself takes beyond it, until it is the image's own.
                let kept = vm
                    .demand
                    .disks
                    .iter()
                    .filter(|disk| disk.image >= 0 && !disk.clone);
                charge.places.extend(kept.filter_map(|disk| {
                    let tree = vm.disk_snapshots.get(&disk.disk);
                    let snapshots = tree.map_or(0, |tree| tree.size_mib().saturating_sub(tree.home_mib));
                    let more = snapshots.saturating_add(disk.growth_mib);
                    let size_mib = i64::try_from(more).unwrap_or(i64::MAX);
                    let used = PlaceUse { count: 0, size_mib };
                    (size_mib > 0).then_some((Section::Datastore, disk.datastore, used))
                }));
            }
            Object::Image(image) => {
                let size = image.size_mib.saturating_add(image.snapshots.size_mib());
                let size = i64::try_from(size).unwrap_or(i64::MAX);
                charge
                    .places
                    .push((Section::Datastore, image.datastore_id, one(size)));
            }
            // Reserved addresses count where they come from.
            Object::Vnet(vnet) => {
                if let Some(parent) = vnet.parent {
                    let reserved = vnet.ranges.iter().filter(|range| range.parent.is_some());
                    let count = reserved.map(|range| i64::from(range.size)).sum();
                    let used = PlaceUse { count, size_mib: 0 };
                    charge.places.push((Section::Network, parent, used));
                }
            }
            _ => {}
        }
        charge
    }
}

impl Index {
    /// Adds (1) or takes away (-1) what an object uses of the quotas of its owner and group.
    pub(crate) fn quota_count(&mut self, object: &Object, generic: &[String], sign: i64) {
        let Some(owned) = object.owned() else { return };
        let mut accounts = accounts(owned).peekable();
        if accounts.peek().is_none() {
            return;
        }
        let charge = Charge::of(object, generic);
        for account in accounts {
            for (cluster, amount) in &charge.vms {
                let used = self.quota_vms.entry((account, *cluster)).or_default();
                used.add(amount, sign);
                if *used == VmUse::default() {
                    self.quota_vms.remove(&(account, *cluster));
                }
            }
            for (section, id, amount) in &charge.places {
                let used = self.quota_places.entry((account, *section, *id)).or_default();
                used.add(*amount, sign);
                if *used == PlaceUse::default() {
                    self.quota_places.remove(&(account, *section, *id));
                }
            }
        }
    }
}

impl World {
    /// What an account uses.
    pub(crate) fn quota_usage(&self, account: Account) -> QuotaUsage {
        let first = (account, Section::Datastore, Id::MIN);
        let last = (account, Section::Image, Id::MAX);
        QuotaUsage {
            vms: self
                .index
                .quota_vms
                .range((account, Id::MIN)..=(account, Id::MAX))
                .map(|((_, cluster), used)| (*cluster, used.clone()))
                .collect(),
            places: self
                .index
                .quota_places
                .range(first..=last)
                .map(|((_, section, id), used)| ((*section, *id), *used))
                .collect(),
        }
    }

    /// The limits of an account, and the default ones.
    fn quotas_of(&self, account: Account) -> [Option<&Quotas>; 2] {
        match account {
            Account::User(id) => [id, user::ONEADMIN].map(|id| self.users.get(id).map(|user| &user.quotas)),
            Account::Group(id) => {
                [id, group::ONEADMIN].map(|id| self.groups.get(id).map(|group| &group.quotas))
            }
        }
    }
}

/// Refuses what a transaction did if something that grew by it is beyond a limit of its owner or group.
pub(crate) fn quota_enforce(before: &World, txn: &Txn<'_>, caller: &Caller) -> Result<(), ApiError> {
    let touched: BTreeSet<Account> = txn
        .puts()
        .iter()
        .filter(|object| matches!(object.kind(), Kind::Vm | Kind::Image | Kind::Vnet))
        .filter_map(Object::owned)
        .flat_map(accounts)
        .collect();
    for account in touched {
        let [own, default] = txn
            .world
            .quotas_of(account)
            .map(|quotas| quotas.filter(|quotas| !quotas.is_empty()));
        if own.is_none() && default.is_none() {
            continue;
        }
        let growth = Growth {
            account,
            before: before.quota_usage(account),
            after: txn.world.quota_usage(account),
            generic: &txn.world.config.quota_metrics,
        };
        growth
            .check(own, default)
            .map_err(|reason| ApiError::authorization(caller.uid, &reason))?;
    }
    Ok(())
}

/// What an account used before a transaction and uses after it.
struct Growth<'a> {
    account: Account,
    before: QuotaUsage,
    after: QuotaUsage,
    generic: &'a [String],
}

impl Growth<'_> {
    fn check(&self, own: Option<&Quotas>, default: Option<&Quotas>) -> Result<(), String> {
        for section in Section::ALL {
            let mut ids: BTreeSet<Id> = BTreeSet::new();
            for quotas in [own, default].into_iter().flatten() {
                ids.extend(quotas.section(section).keys());
            }
            for id in ids {
                let limits =
                    [own, default].map(|quotas| quotas.and_then(|quotas| quotas.section(section).get(&id)));
                let before = section.metrics(self.before.place(section, id));
                let after = section.metrics(self.after.place(section, id));
                let place = format!("{} with ID: {id}", section.name());
                self.within(limits, before, after, &place)?;
            }
        }
        let mut keys: BTreeSet<&String> = BTreeSet::new();
        for quotas in [own, default].into_iter().flatten() {
            keys.extend(quotas.vms.keys());
        }
        for clusters in keys {
            let limits = [own, default].map(|quotas| quotas.and_then(|quotas| quotas.vms.get(clusters)));
            let before = self.before.vms_in(clusters).metrics(self.generic);
            let after = self.after.vms_in(clusters).metrics(self.generic);
            let place = if clusters.is_empty() {
                "VM".to_owned()
            } else {
                format!("VM with CLUSTER_IDS: {clusters}")
            };
            self.within(limits, before, after, &place)?;
        }
        Ok(())
    }

    fn within<N: AsRef<str>>(
        &self,
        [own, default]: [Option<&Limits>; 2],
        before: Vec<(N, i64)>,
        after: Vec<(N, i64)>,
        place: &str,
    ) -> Result<(), String> {
        for ((name, before), (_, after)) in before.into_iter().zip(after) {
            let name = name.as_ref();
            let limit = match own.and_then(|limits| limits.get(name)) {
                Some(limit) => limit.amount(),
                None => default
                    .and_then(|limits| limits.get(name))
                    .and_then(|limit| limit.amount()),
            };
            if let Some(limit) = limit.filter(|limit| after > before && after > *limit) {
                let (what, id) = match self.account {
                    Account::User(id) => ("user", id),
                    Account::Group(id) => ("group", id),
                };
                let limit = amount_text(limit);
                return Err(format!(
                    "{what} [{id}] limit of {limit} reached for {name} quota in {place}"
                ));
            }
        }
        Ok(())
    }
}

/// What can be asked of quotas.
#[derive(Clone, Debug)]
pub enum QuotaCommand {
    /// `one.user.quota` and `one.group.quota`.
    Set {
        /// [`Kind::User`] or [`Kind::Group`].
        kind: Kind,
        /// Whose.
        id: Id,
        /// `VM`, `DATASTORE`, `NETWORK`, `IMAGE`.
        template: Template,
    },
    /// `one.userquota.update` and `one.groupquota.update`.
    SetDefault {
        /// [`Kind::User`] or [`Kind::Group`].
        kind: Kind,
        /// As above.
        template: Template,
    },
}

/// Carries a command out. Answers the id of the user or group.
pub(crate) fn quota_command(
    txn: &mut Txn<'_>,
    caller: &Caller,
    command: &QuotaCommand,
) -> Result<Id, ApiError> {
    match command {
        QuotaCommand::Set { kind, id, template } => {
            let target = Target::of(&txn.world, *kind, *id)?;
            require(&txn.world, caller, &[(Operation::Admin, target)])?;
            if *id == 0 {
                let name = kind.error_name();
                return Err(ApiError::action(format!(
                    "Cannot set quotas for the oneadmin {name}: nothing limits it"
                )));
            }
            quotas_set(txn, *kind, *id, template)?;
            Ok(*id)
        }
        QuotaCommand::SetDefault { kind, template } => {
            if caller.gid != group::ONEADMIN {
                return Err(ApiError::authorization(
                    caller.uid,
                    "The default quotas are changed by members of the oneadmin group only",
                ));
            }
            quotas_set(txn, *kind, 0, template)?;
            Ok(0)
        }
    }
}

fn quotas_set(txn: &mut Txn<'_>, kind: Kind, id: Id, template: &Template) -> Result<(), ApiError> {
    let owner = if kind == Kind::User { "UID" } else { "GID" };
    let generic = txn.world.config.quota_metrics.clone();
    let mut object = txn.world.object(kind, id)?;
    let Some(quotas) = object.quotas_mut() else {
        return Err(ApiError::action(format!("A {} has no quotas", kind.error_name())));
    };
    let mut new = quotas.clone();
    for section in Section::ALL {
        for vector in template.vectors(section.name()) {
            new.set_place(section, vector)
                .map_err(|_| bad_quota(section.name(), owner, id, vector))?;
        }
    }
    for vector in template.vectors("VM") {
        new.set_vm(vector, &generic)
            .map_err(|_| bad_quota("VM", owner, id, vector))?;
    }
    *quotas = new;
    txn.update(object);
    Ok(())
}

/// Recorded: `Negative limits or bad format in quota VM = [ UID=2,VMS=-5 ]`.
fn bad_quota(section: &str, owner: &str, id: Id, vector: &Vector) -> ApiError {
    let mut parts = vec![format!("{owner}={id}")];
    parts.extend(vector.iter().map(|(name, value)| format!("{name}={value}")));
    parts.sort();
    ApiError::action(format!(
        "Negative limits or bad format in quota {section} = [ {} ]",
        parts.join(",")
    ))
}

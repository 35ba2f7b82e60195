//! Restricted attributes: those that only administrators may set, change or take away.
//!
//! Where something is changed, what is there already may be given again: [`restricted_check_given`] looks at what is
//! asked for, [`restricted_check_kept`] at what comes of it. Vectors of one name are told apart by what they name (a
//! network, an image), not by their place.

use std::collections::BTreeMap;

use plerion_model::{ApiError, Kind};
use plerion_template::{Template, Value, Vector};

use crate::auth::Caller;
use crate::vm_right::is_right_list;
use crate::world::World;

/// What vectors of a name are known by. An attribute that one of two vectors lacks tells nothing.
const KNOWN_BY: &[(&str, &[&str])] = &[
    ("NIC", &["NIC_ID", "NETWORK_ID", "NETWORK"]),
    ("NIC_ALIAS", &["NIC_ID", "NETWORK_ID", "NETWORK"]),
    ("DISK", &["DISK_ID", "IMAGE_ID", "IMAGE"]),
    ("AR", &["AR_ID"]),
];

/// What is restricted of one attribute.
#[derive(Debug)]
struct Restricted<'a> {
    name: &'a str,
    vector: Option<&'a Vector>,
    /// By key; a single value has none.
    values: BTreeMap<&'a str, &'a str>,
}

const fn list_of(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Vm | Kind::Template | Kind::Vrouter => Some("VM_RESTRICTED_ATTR"),
        Kind::Image => Some("IMAGE_RESTRICTED_ATTR"),
        Kind::Vnet | Kind::VnTemplate => Some("VNET_RESTRICTED_ATTR"),
        Kind::User => Some("USER_RESTRICTED_ATTR"),
        Kind::Group => Some("GROUP_RESTRICTED_ATTR"),
        Kind::Host
        | Kind::Acl
        | Kind::Datastore
        | Kind::Cluster
        | Kind::Document
        | Kind::VmGroup
        | Kind::Zone
        | Kind::Marketplace
        | Kind::MarketplaceApp
        | Kind::Hook
        | Kind::HookExecution
        | Kind::BackupJob
        | Kind::SchedAction
        | Kind::Vdc
        | Kind::SecurityGroup => None,
    }
}

/// Refuses attributes that only administrators may set.
pub(crate) fn restricted_check(
    world: &World,
    caller: &Caller,
    kind: Kind,
    template: &Template,
) -> Result<(), ApiError> {
    if caller.is_admin() {
        return Ok(());
    }
    match restricted_in(world, kind, template).first() {
        Some(found) => Err(refused(caller, kind, found.first_key())),
        None => Ok(()),
    }
}

/// The same for a change: what is there already may be given again.
pub(crate) fn restricted_check_given(
    world: &World,
    caller: &Caller,
    kind: Kind,
    given: &Template,
    old: &Template,
) -> Result<(), ApiError> {
    if caller.is_admin() {
        return Ok(());
    }
    match not_among(world, kind, given, old) {
        Some(key) => Err(refused(caller, kind, &key)),
        None => Ok(()),
    }
}

/// Refuses a change that takes away what only administrators may change.
pub(crate) fn restricted_check_kept(
    world: &World,
    caller: &Caller,
    kind: Kind,
    old: &Template,
    new: &Template,
) -> Result<(), ApiError> {
    if caller.is_admin() {
        return Ok(());
    }
    match not_among(world, kind, old, new) {
        Some(key) => Err(ApiError::authorization(
            caller.uid,
            &format!(
                "The restricted attribute {key} would be taken away or changed: only administrators may; give it as it is"
            ),
        )),
        None => Ok(()),
    }
}

/// Both for attributes that are merged over those of a template. Gives what comes of it.
pub(crate) fn restricted_merge(
    world: &World,
    caller: &Caller,
    kind: Kind,
    template: &Template,
    extra: &Template,
) -> Result<Template, ApiError> {
    restricted_check_given(world, caller, kind, extra, template)?;
    let mut merged = template.clone();
    merged.merge(extra);
    restricted_check_kept(world, caller, kind, template, &merged)?;
    Ok(merged)
}

/// Whether an attribute within a vector is for administrators only.
pub(crate) fn is_restricted_key(world: &World, kind: Kind, vector: &str, key: &str) -> bool {
    list_of(kind).is_some_and(|list| {
        world.config.is_restricted(list, vector)
            || world.config.is_restricted(list, &format!("{vector}/{key}"))
    })
}

/// Recorded: the text names the attribute without its vector.
fn refused(caller: &Caller, kind: Kind, key: &str) -> ApiError {
    let what = if kind == Kind::Image {
        "Template"
    } else {
        "VM Template"
    };
    ApiError::authorization(
        caller.uid,
        &format!("{what} includes a restricted attribute {key}"),
    )
}

/// A restricted attribute of a template that another one lacks, or has another value of. Each vector of the other one
/// answers for one vector only.
fn not_among(world: &World, kind: Kind, template: &Template, other: &Template) -> Option<String> {
    let mut there = restricted_in(world, kind, other);
    for wanted in restricted_in(world, kind, template) {
        let empty = wanted.values.values().all(|value| value.is_empty());
        let found = there.iter().position(|found| wanted.is_within(found));
        match found {
            Some(place) => drop(there.remove(place)),
            // Nothing is set by it; what it takes away is seen the other way round.
            None if empty => {}
            None => return Some(wanted.first_key().to_owned()),
        }
    }
    None
}

fn restricted_in<'a>(world: &World, kind: Kind, template: &'a Template) -> Vec<Restricted<'a>> {
    let Some(list) = list_of(kind) else {
        return Vec::new();
    };
    let own = matches!(kind, Kind::User | Kind::Group);
    let mut found = Vec::new();
    for attribute in template.iter() {
        let name = attribute.name.as_str();
        let whole = world.config.is_restricted(list, name) || (own && is_right_list(name));
        let (vector, values) = match &attribute.value {
            Value::Single(text) if whole => (None, BTreeMap::from([("", text.as_str())])),
            Value::Single(_) => continue,
            Value::Vector(vector) => {
                let restricted =
                    |key: &str| whole || world.config.is_restricted(list, &format!("{name}/{key}"));
                let values = vector.iter().filter(|(key, _)| restricted(key)).collect();
                (Some(vector), values)
            }
        };
        if whole || !values.is_empty() {
            found.push(Restricted { name, vector, values });
        }
    }
    found
}

impl Restricted<'_> {
    /// What a refusal names.
    fn first_key(&self) -> &str {
        match self.values.keys().next() {
            Some(key) if !key.is_empty() && self.vector.is_some() => key,
            _ => self.name,
        }
    }

    /// Whether another one has all of it, and is about the same.
    fn is_within(&self, other: &Restricted<'_>) -> bool {
        self.name == other.name
            && self.vector.is_some() == other.vector.is_some()
            && self
                .values
                .iter()
                .filter(|(_, value)| !value.is_empty())
                .all(|(key, value)| other.values.get(key) == Some(value))
            && self.is_about(other)
    }

    fn is_about(&self, other: &Restricted<'_>) -> bool {
        let (Some(own), Some(others)) = (self.vector, other.vector) else {
            return true;
        };
        let known_by = KNOWN_BY.iter().find(|(name, _)| *name == self.name);
        let keys = known_by.map_or(&[][..], |(_, keys)| keys);
        keys.iter().all(|key| match (own.get(key), others.get(key)) {
            (Some(own), Some(others)) => own == others,
            _ => true,
        })
    }
}

#[cfg(test)]
mod tests {
    use plerion_template::Template;

    use super::*;

    fn check(old: &str, given: &str, new: &str, fits: (bool, bool)) {
        let world = World::new(crate::config::Config::default());
        let user = Caller {
            uid: 5,
            gid: 1,
            groups: vec![1],
            token: None,
        };
        let read = |text: &str| Template::parse_or_empty(text).expect("it is a template");
        let (old, given, new) = (read(old), read(given), read(new));
        let asked = restricted_check_given(&world, &user, Kind::Template, &given, &old);
        let kept = restricted_check_kept(&world, &user, Kind::Template, &old, &new);
        assert_eq!(
            (asked.is_ok(), kept.is_ok()),
            fits,
            "{old:?} {given:?} {new:?}: {asked:?} {kept:?}"
        );
    }

    #[test]
    fn vectors_of_one_name_are_told_apart() {
        let two = "NIC=[NETWORK=a,MAC=1]\nNIC=[NETWORK=b,MAC=2]";
        for (given, fits) in [
            (two, (true, true)),
            (
                "NIC=[NETWORK=b,MAC=2,MODEL=x]\nNIC=[NETWORK=a,MAC=1]",
                (true, true),
            ),
            (
                "NIC=[network=b,mac=2]\nNIC=[network=a,mac=1]\nNIC=[NETWORK=c]",
                (true, true),
            ),
            ("NIC=[NETWORK=a,MAC=2]\nNIC=[NETWORK=b,MAC=1]", (false, false)),
            ("NIC=[NETWORK=a,MAC=1]\nNIC=[NETWORK=a,MAC=1]", (false, false)),
            ("NIC=[NETWORK=a,MAC=1]\nNIC=[NETWORK=b,MAC=3]", (false, false)),
            ("NIC=[NETWORK=a,MAC=1]", (true, false)),
            (
                "NIC=[NETWORK=a,MAC=1]\nNIC=[NETWORK=b,MAC=2]\nNIC=[NETWORK=c,MAC=3]",
                (false, true),
            ),
            (
                "NIC=[NETWORK=a,MAC=1,BRIDGE=x]\nNIC=[NETWORK=b,MAC=2]",
                (false, true),
            ),
            ("NIC=[NETWORK=a,MAC=\"\"]\nNIC=[NETWORK=b,MAC=2]", (true, false)),
            (
                "<T><NIC><NETWORK>a</NETWORK><MAC>9</MAC></NIC></T>",
                (false, false),
            ),
            ("", (true, false)),
        ] {
            check(two, given, given, fits);
        }
    }

    #[test]
    fn single_ones_and_whole_vectors() {
        check("EMULATOR=/a", "EMULATOR=/a", "EMULATOR=/a", (true, true));
        check("EMULATOR=/a", "EMULATOR=/b", "EMULATOR=/b", (false, false));
        check(
            "EMULATOR=/a",
            "EMULATOR=/a\nEMULATOR=/b",
            "EMULATOR=/a\nEMULATOR=/b",
            (false, true),
        );
        check("EMULATOR=/a", "emulator=[A=1]", "EMULATOR=[A=1]", (false, false));
        check("PCI=[CLASS=1]", "PCI=[CLASS=1]", "PCI=[CLASS=1]", (true, true));
        check("PCI=[CLASS=1]", "PCI=[CLASS=2]", "PCI=[CLASS=2]", (false, false));
        check("", "A=1\nNIC=[NETWORK=a]", "A=1\nNIC=[NETWORK=a]", (true, true));
        check("", "NIC=[NETWORK=a]\nNIC=[MAC=1]", "", (false, true));
    }
}

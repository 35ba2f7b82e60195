//! Access control rules.

use plerion_template::Markup;
use serde::{Deserialize, Serialize};

use crate::{Id, Kind};

/// The id bit: one object.
pub const INDIVIDUAL: u64 = 0x1_0000_0000;
/// The id bit: a group (of users, or the objects of a group).
pub const GROUP: u64 = 0x2_0000_0000;
/// The id bit: all.
pub const ALL: u64 = 0x4_0000_0000;
/// The id bit: objects of a cluster.
pub const CLUSTER: u64 = 0x8_0000_0000;

/// Resource bits that have no kind here yet, with their names, in the order in which rules print them.
const RESOURCE_NAMES: &[(u64, &str)] = &[
    (0x10_0000_0000, "VM"),
    (0x20_0000_0000, "HOST"),
    (0x40_0000_0000, "NET"),
    (0x80_0000_0000, "IMAGE"),
    (0x100_0000_0000, "USER"),
    (0x200_0000_0000, "TEMPLATE"),
    (0x400_0000_0000, "GROUP"),
    (0x1000_0000_0000, "DATASTORE"),
    (0x2000_0000_0000, "CLUSTER"),
    (0x4000_0000_0000, "DOCUMENT"),
    (0x8000_0000_0000, "ZONE"),
    (0x1_0000_0000_0000, "SECGROUP"),
    (0x2_0000_0000_0000, "VDC"),
    (0x4_0000_0000_0000, "VROUTER"),
    (0x8_0000_0000_0000, "MARKETPLACE"),
    (0x10_0000_0000_0000, "MARKETPLACEAPP"),
    (0x20_0000_0000_0000, "VMGROUP"),
    (0x40_0000_0000_0000, "VNTEMPLATE"),
    (0x100_0000_0000_0000, "BACKUPJOB"),
];

/// The bits of rights with their names.
const RIGHT_NAMES: [(u64, &str); 4] = [(1, "USE"), (2, "MANAGE"), (4, "ADMIN"), (8, "CREATE")];

/// A rule: who may do what with which objects in which zone. The numbers are those of the wire format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclRule {
    /// Id.
    pub id: Id,
    /// Who.
    pub user: u64,
    /// Which objects.
    pub resource: u64,
    /// What.
    pub rights: u64,
    /// In which zone.
    pub zone: u64,
}

crate::entity::entity!(AclRule);

/// What a request asks of the rules: who wants what of which object.
#[derive(Clone, Copy, Debug)]
pub struct AclQuestion<'a> {
    /// The user.
    pub uid: Id,
    /// Its groups.
    pub groups: &'a [Id],
    /// Kind of the object.
    pub kind: Kind,
    /// The object; -1 for "any of the kind".
    pub oid: Id,
    /// Its group; -1 when it has none.
    pub gid: Id,
    /// Its clusters.
    pub clusters: &'a [Id],
    /// Bit of the right.
    pub right: u64,
}

impl AclQuestion<'_> {
    /// How rules name who asks: as everybody, as himself, as his groups.
    pub fn names(&self) -> impl Iterator<Item = u64> {
        let groups = self.groups.iter().map(|gid| GROUP | id_bits(*gid));
        [ALL, INDIVIDUAL | id_bits(self.uid)].into_iter().chain(groups)
    }
}

impl AclRule {
    /// Reads a rule as `one.acl.addrule` gets it: hexadecimal numbers, `0x` before them or not. Its id is -1.
    ///
    /// # Errors
    /// Says which part is wrong, and what it has to be.
    pub fn parse(user: &str, resource: &str, rights: &str, zone: &str) -> Result<Self, String> {
        let whom = INDIVIDUAL | GROUP | ALL;
        let user = number(user, "user")?;
        id_check(user, whom, "user")?;
        let zone = if zone.trim().is_empty() {
            INDIVIDUAL | id_bits(crate::zone::LOCAL)
        } else {
            number(zone, "zone")?
        };
        id_check(zone, INDIVIDUAL | ALL, "zone")?;
        let resource = number(resource, "resource")?;
        let kinds = RESOURCE_NAMES.iter().fold(0, |bits, (bit, _)| bits | bit);
        if resource & kinds == 0 {
            return Err("Wrong resource: it names no kind of object".into());
        }
        id_check(resource & !kinds, whom | CLUSTER, "resource")?;
        let rights = number(rights, "rights")?;
        if rights == 0 || rights > 0xf {
            return Err(
                "Wrong rights: they are a sum of 1 (USE), 2 (MANAGE), 4 (ADMIN) and 8 (CREATE)".into(),
            );
        }
        Ok(Self {
            id: -1,
            user,
            resource,
            rights,
            zone,
        })
    }

    /// Whether both grant the same to the same.
    #[must_use]
    pub const fn says_the_same(&self, other: &Self) -> bool {
        self.user == other.user
            && self.resource == other.resource
            && self.rights == other.rights
            && self.zone == other.zone
    }

    /// Whether it is about one object and no other.
    #[must_use]
    pub fn is_for_one(&self, kind: Kind, id: Id) -> bool {
        self.resource == kind.acl_bit() | INDIVIDUAL | id_bits(id)
    }

    /// Whether the rule grants what is asked, in the zone `zone`.
    #[must_use]
    pub fn grants(&self, question: &AclQuestion<'_>, zone: Id) -> bool {
        self.concerns(question, zone) && self.matches_resource(question)
    }

    /// Whether it grants this right to who asks, of some objects of the kind.
    #[must_use]
    pub fn concerns(&self, question: &AclQuestion<'_>, zone: Id) -> bool {
        self.rights & question.right == question.right
            && self.resource & question.kind.acl_bit() != 0
            && self.matches_zone(zone)
            && self.matches_user(question)
    }

    fn matches_zone(&self, zone: Id) -> bool {
        self.zone & ALL != 0 || self.zone == INDIVIDUAL | id_bits(zone)
    }

    fn matches_user(&self, question: &AclQuestion<'_>) -> bool {
        question.names().any(|name| self.user == name)
    }

    fn matches_resource(&self, question: &AclQuestion<'_>) -> bool {
        let id = self.resource & 0xffff_ffff;
        self.resource & ALL != 0
            || (self.resource & INDIVIDUAL != 0 && question.oid >= 0 && id == id_bits(question.oid))
            || (self.resource & GROUP != 0 && question.gid >= 0 && id == id_bits(question.gid))
            || (self.resource & CLUSTER != 0
                && question.clusters.iter().any(|cluster| id == id_bits(*cluster)))
    }

    /// The rule as text, as clients print it.
    #[must_use]
    pub fn text(&self) -> String {
        let resources = joined(
            RESOURCE_NAMES
                .iter()
                .filter(|(bit, _)| self.resource & bit != 0)
                .map(|(_, name)| *name),
        );
        let rights = joined(
            RIGHT_NAMES
                .iter()
                .filter(|(bit, _)| self.rights & bit != 0)
                .map(|(_, name)| *name),
        );
        format!(
            "{} {resources}/{} {rights} {}",
            id_text(self.user),
            id_text(self.resource),
            id_text(self.zone)
        )
    }

    /// `<ACL>`.
    pub fn render(&self, out: &mut impl Markup) {
        out.open("ACL");
        out.number("ID", i64::from(self.id));
        out.element("USER", &format!("{:x}", self.user));
        out.element("RESOURCE", &format!("{:x}", self.resource));
        out.element("RIGHTS", &format!("{:x}", self.rights));
        out.element("ZONE", &format!("{:x}", self.zone));
        out.element("STRING", &self.text());
        out.close("ACL");
    }
}

fn number(text: &str, what: &str) -> Result<u64, String> {
    let digits = text.trim();
    let digits = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
        .unwrap_or(digits);
    // from_str_radix takes a sign, which no rule has.
    if digits.starts_with('+') {
        return Err(format!("Wrong {what} \"{text}\": it is a hexadecimal number"));
    }
    u64::from_str_radix(digits, 16)
        .map_err(|_| format!("Wrong {what} \"{text}\": it is a hexadecimal number"))
}

/// That exactly one of the bits says what the id means, nothing else is set, and "all" has no id.
fn id_check(number: u64, bits: u64, what: &str) -> Result<(), String> {
    let id = number & 0xffff_ffff;
    let chosen = number & !0xffff_ffff;
    if chosen.count_ones() != 1 || chosen & bits == 0 {
        return Err(format!(
            "Wrong {what}: it needs exactly one of # (one), @ (group), * (all), % (cluster) that fits it"
        ));
    }
    if (chosen == ALL && id != 0) || Id::try_from(id).is_err() {
        return Err(format!(
            "Wrong {what}: its id is too large, or there is one beside *"
        ));
    }
    Ok(())
}

/// The rules of an administrator of a group (recorded): all about its users, use and manage its objects, make virtual
/// routers, manage the group.
#[must_use]
pub fn group_admin_rules(group: Id, user: Id) -> [AclRule; 4] {
    let rule = |resource: u64, rights| AclRule {
        id: -1,
        user: INDIVIDUAL | id_bits(user),
        resource,
        rights,
        zone: ALL,
    };
    let of_group = GROUP | id_bits(group);
    // VM, NET, IMAGE, TEMPLATE, DOCUMENT, SECGROUP, VROUTER, VMGROUP, BACKUPJOB.
    const OBJECTS: u64 = 0x125_42d0_0000_0000;
    const VROUTER: u64 = 0x4_0000_0000_0000;
    [
        rule(Kind::User.acl_bit() | of_group, 0xf),
        rule(OBJECTS | of_group, 3),
        rule(VROUTER | ALL, 8),
        rule(Kind::Group.acl_bit() | INDIVIDUAL | id_bits(group), 2),
    ]
}

/// An id as the low bits of a rule's number.
#[must_use]
pub fn id_bits(id: Id) -> u64 {
    u64::from(u32::try_from(id).unwrap_or(u32::MAX))
}

fn id_text(number: u64) -> String {
    let id = number & 0xffff_ffff;
    if number & ALL != 0 {
        "*".to_owned()
    } else if number & INDIVIDUAL != 0 {
        format!("#{id}")
    } else if number & GROUP != 0 {
        format!("@{id}")
    } else if number & CLUSTER != 0 {
        format!("%{id}")
    } else {
        "?".to_owned()
    }
}

fn joined<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join("+")
}

/// Rights as settings name them: `USE`, `MANAGE`, `ADMIN` and `CREATE`, joined by `+`; `-` or nothing is none. `None` where
/// there is something else.
#[must_use]
pub fn rights_parse(text: &str) -> Option<u64> {
    let text = text.trim();
    if text.is_empty() || text == "-" {
        return Some(0);
    }
    text.split('+').try_fold(0, |rights, word| {
        let named = RIGHT_NAMES
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(word.trim()));
        named.map(|(bit, _)| rights | bit)
    })
}

/// The rules of a new installation (recorded: ordinary users may create, everybody may use zones and marketplaces).
#[must_use]
pub fn default_rules() -> Vec<AclRule> {
    let everything = |bits: u64| bits | ALL;
    vec![
        AclRule {
            id: 0,
            user: GROUP | 1,
            resource: everything(0x121_4290_0000_0000),
            rights: 8,
            zone: ALL,
        },
        AclRule {
            id: 1,
            user: ALL,
            resource: everything(0x8000_0000_0000),
            rights: 1,
            zone: ALL,
        },
        AclRule {
            id: 2,
            user: ALL,
            resource: everything(0x18_0000_0000_0000),
            rights: 1,
            zone: ALL,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_rules_read_as_recorded() {
        let texts: Vec<String> = default_rules().iter().map(AclRule::text).collect();
        assert_eq!(
            texts,
            [
                "@1 VM+IMAGE+TEMPLATE+DOCUMENT+SECGROUP+VMGROUP+BACKUPJOB/* CREATE *",
                "* ZONE/* USE *",
                "* MARKETPLACE+MARKETPLACEAPP/* USE *",
            ]
        );
    }

    #[test]
    fn the_rules_of_group_administrators_read_as_recorded() {
        let texts: Vec<String> = group_admin_rules(100, 2).iter().map(AclRule::text).collect();
        assert_eq!(
            texts,
            [
                "#2 USER/@100 USE+MANAGE+ADMIN+CREATE *",
                "#2 VM+NET+IMAGE+TEMPLATE+DOCUMENT+SECGROUP+VROUTER+VMGROUP+BACKUPJOB/@100 USE+MANAGE *",
                "#2 VROUTER/* CREATE *",
                "#2 GROUP/#100 MANAGE *",
            ]
        );
    }

    #[test]
    fn rules_are_read_or_refused() {
        let rule = AclRule::parse("0x100000003", "0x1400000000", "0x3", "").expect("good");
        assert_eq!(rule.text(), "#3 VM/* USE+MANAGE #0");
        assert_eq!(
            AclRule::parse("200000001", "10200000064", "F", "400000000")
                .expect("good")
                .rights,
            15
        );
        for (user, resource, rights, zone) in [
            ("x", "1400000000", "1", ""),
            ("+100000003", "1400000000", "1", ""),
            ("3", "1400000000", "1", ""),
            ("300000003", "1400000000", "1", ""),
            ("800000003", "1400000000", "1", ""),
            ("400000001", "1400000000", "1", ""),
            ("180000000", "1400000000", "1", ""),
            ("100000003", "400000000", "1", ""),
            ("100000003", "1600000000", "1", ""),
            ("100000003", "8000001400000000", "1", ""),
            ("100000003", "1400000000", "0", ""),
            ("100000003", "1400000000", "10", ""),
            ("100000003", "1400000000", "1", "200000000"),
            ("100000003", "11400000000000000000", "1", ""),
        ] {
            assert!(
                AclRule::parse(user, resource, rights, zone).is_err(),
                "{user} {resource} {rights} {zone}"
            );
        }
    }

    #[test]
    fn a_rule_grants_to_its_group_only_what_it_names() {
        let rules = default_rules();
        let ask = |uid, groups: &'static [Id], kind, right| {
            let question = AclQuestion {
                uid,
                groups,
                kind,
                oid: -1,
                gid: -1,
                clusters: &[],
                right,
            };
            rules.iter().any(|rule| rule.grants(&question, 0))
        };
        assert!(ask(5, &[1], Kind::Vm, 8));
        assert!(!ask(5, &[1], Kind::Host, 8));
        assert!(!ask(5, &[100], Kind::Vm, 8));
        assert!(!ask(5, &[1], Kind::Vm, 1));
        assert!(ask(5, &[100], Kind::Zone, 1));
    }

    #[test]
    fn individual_rules_do_not_spill_to_other_ids() {
        let rule = AclRule {
            id: 9,
            user: INDIVIDUAL | 5,
            resource: Kind::Vm.acl_bit() | INDIVIDUAL | 7,
            rights: 1,
            zone: INDIVIDUAL,
        };
        let ask = |uid, oid, zone| {
            let question = AclQuestion {
                uid,
                groups: &[5],
                kind: Kind::Vm,
                oid,
                gid: 7,
                clusters: &[7],
                right: 1,
            };
            rule.grants(&question, zone)
        };
        assert!(ask(5, 7, 0));
        assert!(!ask(5, 7, 1));
        assert!(!ask(5, 8, 0));
        assert!(!ask(6, 7, 0));
        assert!(!ask(5, -1, 0));
    }
}

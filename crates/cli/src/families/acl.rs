//! `oneacl`.

use roxmltree::{Document, Node};

use super::common;
use crate::error::CliError;
use crate::family::{Context, Input, ListSpec};
use crate::kind::Kind;
use crate::list;
use crate::session::Session;
use crate::table::Column;
use crate::xml;

/// Kinds of resources, their letters and their bits, in the order of the column.
const RESOURCES: [(&str, char, u64); 19] = [
    ("VM", 'V', 1 << 36),
    ("HOST", 'H', 1 << 37),
    ("NET", 'N', 1 << 38),
    ("IMAGE", 'I', 1 << 39),
    ("USER", 'U', 1 << 40),
    ("TEMPLATE", 'T', 1 << 41),
    ("GROUP", 'G', 1 << 42),
    ("DATASTORE", 'D', 1 << 44),
    ("CLUSTER", 'C', 1 << 45),
    ("DOCUMENT", 'O', 1 << 46),
    ("ZONE", 'Z', 1 << 47),
    ("SECGROUP", 'S', 1 << 48),
    ("VDC", 'v', 1 << 49),
    ("VROUTER", 'R', 1 << 50),
    ("MARKETPLACE", 'M', 1 << 51),
    ("MARKETPLACEAPP", 'A', 1 << 52),
    ("VMGROUP", 'P', 1 << 53),
    ("VNTEMPLATE", 't', 1 << 54),
    ("BACKUPJOB", 'B', 1 << 56),
];

/// Rights, their letters and their bits.
const RIGHTS: [(&str, char, u64); 4] = [
    ("USE", 'u', 1),
    ("MANAGE", 'm', 2),
    ("ADMIN", 'a', 4),
    ("CREATE", 'c', 8),
];

/// One object.
const ONE_BIT: u64 = 1 << 32;
/// All of a group.
const GROUP_BIT: u64 = 1 << 33;
/// All there are.
const ALL_BIT: u64 = 1 << 34;
/// All of a cluster.
const CLUSTER_BIT: u64 = 1 << 35;

/// The table of rules.
pub static LIST: ListSpec = ListSpec {
    element: "ACL",
    columns: &[
        Column::right("ID", 4)
            .adjusted()
            .about("Id of the rule", "规则编号"),
        Column::right("USER", 8).about("Who it is for", "适用对象"),
        Column::right("RES_VHNIUTGDCOZSvRMAPtB", 23).about("Which kinds of objects", "资源类型"),
        Column::right("RID", 5).about("Which of those objects", "资源范围"),
        Column::right("OPE_UMAC", 8).about("What may be done to them", "允许的操作"),
        Column::right("ZONE", 5).about("In which zone", "所在区域"),
        Column::left("STRING", 60).about("The rule as it is written", "规则文本"),
    ],
    shown: &["ID", "USER", "RES_VHNIUTGDCOZSvRMAPtB", "RID", "OPE_UMAC", "ZONE"],
    cell,
    fetch: list::fetch_all,
    prepare: list::prepare_nothing,
};

fn cell(_context: &Context, rule: Node<'_, '_>, column: &str) -> String {
    let bits = |name: &str| u64::from_str_radix(&xml::text(rule, name), 16).unwrap_or(0);
    let letters = |table: &[(&str, char, u64)], bits: u64| -> String {
        table
            .iter()
            .map(|(_, letter, bit)| if bits & bit != 0 { *letter } else { '-' })
            .collect()
    };
    match column {
        "USER" | "ZONE" => scope_text(bits(column)),
        "RID" => scope_text(bits("RESOURCE")),
        "OPE_UMAC" => letters(&RIGHTS, bits("RIGHTS")),
        "ID" | "STRING" => xml::text(rule, column),
        _ => letters(&RESOURCES, bits("RESOURCE")),
    }
}

/// `#5`, `@100`, `%100` or `*`.
fn scope_text(bits: u64) -> String {
    let id = bits & 0xffff_ffff;
    if bits & ALL_BIT != 0 {
        "*".to_owned()
    } else if bits & GROUP_BIT != 0 {
        format!("@{id}")
    } else if bits & CLUSTER_BIT != 0 {
        format!("%{id}")
    } else if bits & ONE_BIT != 0 {
        format!("#{id}")
    } else {
        "-".to_owned()
    }
}

/// Rules have no `show`.
pub fn show(_session: &mut Session, _input: &Input, _document: &Document<'_>) -> Result<String, CliError> {
    Err(CliError::text(
        "A single rule cannot be shown. Use oneacl list -l ID,STRING.",
    ))
}

/// A rule as the interface takes it: four hexadecimal numbers.
#[derive(Debug, PartialEq, Eq)]
struct Rule {
    user: String,
    resource: String,
    rights: String,
    zone: String,
}

/// `create`: a rule in words, or its numbers one by one.
pub fn create(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let rule = if input.text(1).is_empty() {
        rule_parse(input.text(0))?
    } else {
        let text = |index| input.text(index).to_owned();
        Rule {
            user: text(0),
            resource: text(1),
            rights: text(2),
            zone: String::new(),
        }
    };
    let id = rule_add(session, rule)?;
    common::id_print(session, id)
}

/// Makes a rule that is given in words.
pub fn words_add(session: &mut Session, words: &str) -> Result<(), CliError> {
    rule_add(session, rule_parse(words)?).map(drop)
}

fn rule_add(session: &mut Session, rule: Rule) -> Result<i64, CliError> {
    let params = [
        rule.user.into(),
        rule.resource.into(),
        rule.rights.into(),
        rule.zone.into(),
    ];
    session.call_id("one.acl.addrule", &params)
}

fn rule_parse(text: &str) -> Result<Rule, CliError> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (user, resource, rights, zone) = match words.as_slice() {
        [user, resource, rights] => (*user, *resource, *rights, None),
        [user, resource, rights, zone] => (*user, *resource, *rights, Some(*zone)),
        _ => {
            return Err(CliError::text(
                "String needs three components: User, Resource, Rights",
            ));
        }
    };
    let Some((kinds, scope)) = resource.split_once('/') else {
        return Err(CliError::text(format!("Resource '{resource}' malformed")));
    };
    let kinds = bits_of(kinds, &RESOURCES, "Resource")?;
    let hex = |bits: u64| format!("{bits:x}");
    Ok(Rule {
        user: hex(scope_parse(user, "User")?),
        resource: hex(kinds | scope_parse(scope, "ID")?),
        rights: hex(bits_of(rights, &RIGHTS, "Right")?),
        zone: zone
            .map(|zone| scope_parse(zone, "Zone").map(hex))
            .transpose()?
            .unwrap_or_default(),
    })
}

fn bits_of(text: &str, table: &[(&str, char, u64)], what: &str) -> Result<u64, CliError> {
    text.split('+').try_fold(0, |bits, word| {
        let found = table.iter().find(|(name, ..)| name.eq_ignore_ascii_case(word));
        found
            .map(|(.., bit)| bits | bit)
            .ok_or_else(|| CliError::text(format!("{what} '{word}' does not exist")))
    })
}

fn scope_parse(text: &str, what: &str) -> Result<u64, CliError> {
    let malformed = || {
        CliError::text(format!(
            "{what} '{text}' malformed. Use #ID, @GROUP, %CLUSTER or *."
        ))
    };
    if text == "*" {
        return Ok(ALL_BIT);
    }
    let mut letters = text.chars();
    let bit = match letters.next() {
        Some('#') => ONE_BIT,
        Some('@') => GROUP_BIT,
        Some('%') => CLUSTER_BIT,
        _ => return Err(malformed()),
    };
    letters
        .as_str()
        .parse::<u32>()
        .map(|id| bit | u64::from(id))
        .map_err(|_| malformed())
}

/// `delete`.
pub fn delete(session: &mut Session, input: &Input) -> Result<(), CliError> {
    session.each(Kind::Acl, &input.ids(0), "deleted", |session, id| {
        session.call("one.acl.delrule", &[id.into()]).map(drop)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_in_words() {
        let rule = rule_parse("#3 USER/@100 USE+MANAGE+ADMIN+CREATE *").expect("good");
        let expected = ["100000003", "10200000064", "f", "400000000"].map(str::to_owned);
        assert_eq!([rule.user, rule.resource, rule.rights, rule.zone], expected);
        assert_eq!(
            rule_parse("@1 HOST/* manage").expect("good").resource,
            "2400000000"
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            (
                "nonsense",
                "String needs three components: User, Resource, Rights",
            ),
            ("#2 FOO/* USE", "Resource 'FOO' does not exist"),
            ("#2 VM/* FLY", "Right 'FLY' does not exist"),
        ] {
            assert_eq!(rule_parse(text).expect_err(text).to_string(), expected);
        }
        assert!(rule_parse("x VM/* USE").is_err());
    }

    #[test]
    fn scopes_as_text() {
        for (bits, expected) in [
            (0x1_0000_0003, "#3"),
            (0x2_0000_0064, "@100"),
            (0x8_0000_0064, "%100"),
            (ALL_BIT, "*"),
        ] {
            assert_eq!(scope_text(bits), expected);
        }
    }
}

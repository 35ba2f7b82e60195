//! Which VLANs the members of a group may name in networks. (The form of rules, their scopes and the texts of refusals are
//! those of OpenNebula 7.4.)

use std::fmt;

use plerion_template::{Markup, Template, Vector};
use serde::{Deserialize, Serialize};

use crate::Id;

/// Most rules of a group.
const RULES_MAX: usize = 1024;
/// In place of network templates: all of them, and networks that are made of none.
const ALL_TEMPLATES: &str = "-1";

/// What the numbers of a rule are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VlanScope {
    /// `VLAN_ID` of networks.
    VlanId,
    /// `OUTER_VLAN_ID` of networks.
    OuterVlanId,
    /// `CVLANS` of networks.
    Cvlan,
    /// `VLAN_TAGGED_ID` of networks.
    VlanTaggedId,
    /// Each of them.
    Any,
}

impl VlanScope {
    /// All scopes.
    pub const ALL: [Self; 5] = [
        Self::VlanId,
        Self::OuterVlanId,
        Self::Cvlan,
        Self::VlanTaggedId,
        Self::Any,
    ];

    /// Its name in rules.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VlanId => "VLAN_ID",
            Self::OuterVlanId => "OUTER_VLAN_ID",
            Self::Cvlan => "CVLAN",
            Self::VlanTaggedId => "VLAN_TAGGED_ID",
            Self::Any => "ANY",
        }
    }

    /// The scope of a name, in letters of either case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str().eq_ignore_ascii_case(name))
    }

    /// The attribute of networks whose numbers these are.
    #[must_use]
    pub const fn attribute(self) -> Option<&'static str> {
        match self {
            Self::Cvlan => Some("CVLANS"),
            Self::VlanId | Self::OuterVlanId | Self::VlanTaggedId => Some(self.as_str()),
            Self::Any => None,
        }
    }

    /// The numbers that a network names by the attribute. `None`: they cannot be read.
    #[must_use]
    pub fn numbers(self, text: &str) -> Option<Vec<(u32, u32)>> {
        match self {
            Self::VlanId | Self::OuterVlanId => number(text).map(|one| vec![(one, one)]),
            Self::Cvlan | Self::VlanTaggedId | Self::Any => ranges(text),
        }
    }
}

impl fmt::Display for VlanScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `RULE=[ ID="5,100-200", SCOPE="CVLAN", VNTEMPLATE="3" ]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VlanRule {
    /// Numbers of VLANs, as they were given.
    pub ids: String,
    /// What they are.
    pub scope: VlanScope,
    /// Network templates for whose networks it is, as they were given; `-1` for all networks.
    pub templates: String,
}

impl VlanRule {
    fn read(given: &Vector) -> Result<Self, String> {
        let text = |name: &str| given.get(name).map(str::trim).unwrap_or_default();
        let listed = |name: &str| match ranges(text(name)) {
            Some(_) => Ok(text(name).to_owned()),
            None => Err(format!(
                "Invalid {name} specification. It is numbers and ranges such as 5,100-200."
            )),
        };
        if text("ID").is_empty() {
            return Err("Missing ID in rule.".to_owned());
        }
        let ids = listed("ID")?;
        let Some(scope) = VlanScope::parse(text("SCOPE")) else {
            let names = VlanScope::ALL.map(VlanScope::as_str).join(", ");
            return Err(format!("Wrong SCOPE in rule. It is one of {names}."));
        };
        let templates = match text("VNTEMPLATE") {
            "" | ALL_TEMPLATES => ALL_TEMPLATES.to_owned(),
            _ => listed("VNTEMPLATE")?,
        };
        Ok(Self {
            ids,
            scope,
            templates,
        })
    }

    /// Whether it is about networks of a network template, or such as are made of none.
    #[must_use]
    pub fn concerns(&self, template: Option<Id>) -> bool {
        if self.templates == ALL_TEMPLATES {
            return true;
        }
        let listed = ranges(&self.templates).unwrap_or_default();
        template
            .and_then(|id| u32::try_from(id).ok())
            .is_some_and(|id| listed.iter().any(|range| holds(*range, (id, id))))
    }

    /// Whether it allows all numbers of a range.
    fn allows(&self, scope: VlanScope, wanted: (u32, u32)) -> bool {
        (self.scope == scope || self.scope == VlanScope::Any)
            && ranges(&self.ids)
                .unwrap_or_default()
                .iter()
                .any(|range| holds(*range, wanted))
    }
}

fn holds(range: (u32, u32), other: (u32, u32)) -> bool {
    range.0 <= other.0 && other.1 <= range.1
}

/// The rules of a template; other attributes mean nothing.
pub fn rules_read(template: &Template) -> Result<Vec<VlanRule>, String> {
    let given: Vec<&Vector> = template.vectors("RULE").collect();
    if given.len() > RULES_MAX {
        return Err(format!(
            "A group has at most {RULES_MAX} VLAN rules: one rule may have many ranges."
        ));
    }
    given.into_iter().map(VlanRule::read).collect()
}

/// Whether rules allow all that a network of a network template (or of none) wants: each range by one of them.
#[must_use]
pub fn rules_allow(
    rules: &[VlanRule],
    scope: VlanScope,
    wanted: &[(u32, u32)],
    template: Option<Id>,
) -> bool {
    wanted.iter().all(|range| {
        rules
            .iter()
            .any(|rule| rule.concerns(template) && rule.allows(scope, *range))
    })
}

/// `<VLAN_RULES>`.
pub(crate) fn render(out: &mut impl Markup, group: Id, rules: &[VlanRule]) {
    out.open("VLAN_RULES");
    out.cdata_element("ID", &group.to_string());
    for rule in rules {
        out.open("RULE");
        out.cdata_element("ID", &rule.ids);
        out.cdata_element("SCOPE", rule.scope.as_str());
        out.cdata_element("VNTEMPLATE", &rule.templates);
        out.close("RULE");
    }
    out.close("VLAN_RULES");
}

/// Numbers and ranges such as `5,6,100-200`, the ends of a range in either order. `None`: it is something else.
fn ranges(text: &str) -> Option<Vec<(u32, u32)>> {
    text.split(',')
        .map(|part| {
            let mut ends = part.splitn(2, '-').map(number);
            let first = ends.next()??;
            let last = ends.next().unwrap_or(Some(first))?;
            Some((first.min(last), first.max(last)))
        })
        .collect()
}

fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Result<Vec<VlanRule>, String> {
        rules_read(&Template::parse(text).expect("good"))
    }

    #[test]
    fn numbers_and_ranges() {
        assert_eq!(ranges("5,300-100,7"), Some(vec![(5, 5), (100, 300), (7, 7)]));
        for bad in ["", "5,", "a", "1-", "-1", "1-2-3", "5, 6", "+5", "99999999999"] {
            assert_eq!(ranges(bad), None, "{bad}");
        }
        assert_eq!(VlanScope::VlanId.numbers("7"), Some(vec![(7, 7)]));
        assert_eq!(VlanScope::VlanId.numbers("7-9"), None);
        assert_eq!(VlanScope::Cvlan.numbers("7-9"), Some(vec![(7, 9)]));
    }

    #[test]
    fn rules_of_a_template() {
        let read = rules(
            "RULE=[ID=\"5,9-7\",SCOPE=\"vlan_id\",TYPE=\"x\"]\nRULE=[ID=\"1\",SCOPE=\"ANY\",VNTEMPLATE=\"3-4\"]\nA=\"b\"",
        )
        .expect("good");
        let rule = |ids: &str, scope, templates: &str| VlanRule {
            ids: ids.into(),
            scope,
            templates: templates.into(),
        };
        assert_eq!(
            read,
            [
                rule("5,9-7", VlanScope::VlanId, "-1"),
                rule("1", VlanScope::Any, "3-4")
            ]
        );
        for (text, told) in [
            ("RULE=[SCOPE=\"ANY\"]", "Missing ID in rule."),
            ("RULE=[ID=\"1..2\",SCOPE=\"ANY\"]", "Invalid ID specification."),
            ("RULE=[ID=\"1\"]", "Wrong SCOPE in rule."),
            ("RULE=[ID=\"1\",SCOPE=\"CVLANS\"]", "Wrong SCOPE in rule."),
            (
                "RULE=[ID=\"1\",SCOPE=\"ANY\",VNTEMPLATE=\"x\"]",
                "Invalid VNTEMPLATE specification.",
            ),
        ] {
            assert!(rules(text).expect_err(text).starts_with(told), "{text}");
        }
        let many = "RULE=[ID=\"1\",SCOPE=\"ANY\"]\n".repeat(RULES_MAX + 1);
        assert!(rules(&many).expect_err("many").contains("at most 1024"));
    }

    #[test]
    fn each_range_needs_one_rule_that_holds_it() {
        let given = rules(
            "RULE=[ID=\"10-20,30\",SCOPE=\"CVLAN\"]\nRULE=[ID=\"40-50\",SCOPE=\"ANY\",VNTEMPLATE=\"7\"]\n\
             RULE=[ID=\"21-25\",SCOPE=\"CVLAN\"]",
        )
        .expect("good");
        let allowed =
            |scope, text: &str, template| rules_allow(&given, scope, &ranges(text).expect("good"), template);
        assert!(allowed(VlanScope::Cvlan, "10-20,30,22", None));
        // Neither rule holds all of it.
        assert!(!allowed(VlanScope::Cvlan, "15-22", None));
        assert!(!allowed(VlanScope::VlanId, "10", None));
        assert!(allowed(VlanScope::VlanId, "45", Some(7)));
        assert!(!allowed(VlanScope::VlanId, "45", Some(8)));
        assert!(!allowed(VlanScope::VlanId, "45", None));
    }
}

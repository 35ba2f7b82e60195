//! The CONTEXT of a VM: variables of its NICs, and substitution of `$` variables.

use std::cell::Cell;

use plerion_model::Id;
use plerion_template::substitute::{Resolver, substitute};
use plerion_template::{Template, Vector};

use crate::secrets::Scope;
use crate::vm_nic_mode::is_auto;
use crate::world::World;

/// Suffix of the variable, attributes of the NIC that give it (the first found counts), and whether the network's
/// template is asked, too.
const NIC_VARIABLES: &[(&str, &[&str], bool)] = &[
    ("DNS", &["DNS"], true),
    ("EXTERNAL", &["EXTERNAL"], false),
    ("GATEWAY", &["GATEWAY"], true),
    ("IP", &["IP"], false),
    ("IP6", &["IP6_GLOBAL", "IP6"], false),
    ("IP6_GATEWAY", &["GATEWAY6"], true),
    ("IP6_METHOD", &["IP6_METHOD"], true),
    ("IP6_METRIC", &["IP6_METRIC"], true),
    ("IP6_PREFIX_LENGTH", &["PREFIX_LENGTH"], true),
    ("IP6_ULA", &["IP6_ULA"], false),
    ("MAC", &["MAC"], false),
    ("MASK", &["NETWORK_MASK"], true),
    ("METHOD", &["METHOD"], true),
    ("METRIC", &["METRIC"], true),
    ("MTU", &["GUEST_MTU"], true),
    ("NETWORK", &["NETWORK_ADDRESS"], true),
    ("ROUTES", &["ROUTES"], true),
    ("SEARCH_DOMAIN", &["SEARCH_DOMAIN"], true),
    ("VLAN_ID", &["VLAN_ID"], true),
    ("VROUTER_IP", &["VROUTER_IP"], false),
    ("VROUTER_IP6", &["VROUTER_IP6_GLOBAL", "VROUTER_IP6"], false),
    ("VROUTER_MANAGEMENT", &["VROUTER_MANAGEMENT"], false),
];

/// The VM as far as substitution looks at it.
pub(crate) struct ContextOf<'a> {
    pub(crate) world: &'a World,
    pub(crate) uid: Id,
    pub(crate) gid: Id,
    pub(crate) name: &'a str,
    pub(crate) template: &'a Template,
    pub(crate) user_template: &'a Template,
    /// Whether a value that was asked for is kept encrypted.
    pub(crate) secret: Cell<bool>,
}

impl ContextOf<'_> {
    /// A value in clear; notes whether it is kept encrypted.
    fn clear(&self, scope: Scope, name: &str, key: Option<&str>, value: &str) -> String {
        match self.world.config.secrets.opened(scope, name, key, value) {
            Some(clear) => {
                self.secret.set(true);
                clear
            }
            None => value.to_owned(),
        }
    }
}

/// Completes the CONTEXT of a new VM: substitutes, adds the variables of its NICs, and takes the disk id after the last
/// DISK.
///
/// # Errors
/// When a variable cannot be parsed; the text names the attribute.
pub(crate) fn context_complete(of: &ContextOf<'_>) -> Result<Option<Vector>, String> {
    let Some(given) = of.template.vector("CONTEXT") else {
        return Ok(None);
    };
    let mut context = Vector::new();
    given_add(of, given, &Vector::new(), &mut context)?;
    network_add(of, &mut context);
    context.set("DISK_ID", of.template.vectors("DISK").count().to_string());
    Ok(Some(context))
}

/// What is given, with its variables replaced. A value that is kept encrypted, or was made of one, is encrypted again: it
/// could be in clear nowhere else either. What stays as it was has been replaced before.
fn given_add(of: &ContextOf<'_>, given: &Vector, old: &Vector, context: &mut Vector) -> Result<(), String> {
    let secrets = &of.world.config.secrets;
    for (name, value) in given.iter() {
        // Its references stand for sources already.
        if name == "FILES_DS" {
            context.set(name, value);
            continue;
        }
        of.secret.set(false);
        let clear = of.clear(Scope::Vm, "CONTEXT", Some(name), value);
        if of.secret.get() && old.get(name) == Some(value) {
            context.set(name, value);
            continue;
        }
        let text =
            substitute(&clear, of).map_err(|error| format!("Wrong variable in CONTEXT/{name}: {error}."))?;
        let sealed = (of.secret.get() || secrets.is_secret(Scope::Vm, "CONTEXT", Some(name)))
            .then(|| secrets.sealed(Scope::Vm, "CONTEXT", Some(name), &text))
            .flatten();
        context.set(name, sealed.unwrap_or(text));
    }
    Ok(())
}

/// The variables of the NICs, where NETWORK asks for them.
fn network_add(of: &ContextOf<'_>, context: &mut Vector) {
    if context
        .get("NETWORK")
        .is_some_and(|text| text.eq_ignore_ascii_case("yes"))
    {
        for nic in of.template.vectors("NIC").filter(|nic| !is_auto(nic)) {
            nic_variables(of.world, nic, &nic_prefix(nic), context);
        }
        for alias in of.template.vectors("NIC_ALIAS") {
            nic_variables(of.world, alias, &nic_prefix(alias), context);
        }
    }
    for name in [
        "VROUTER_ID",
        "VROUTER_KEEPALIVED_ID",
        "VROUTER_KEEPALIVED_PASSWORD",
    ] {
        if let Some(value) = of.template.get(name) {
            context.set(name, value);
        }
    }
}

/// The CONTEXT of a VM after a change: what is given, over the old one or instead of it; variables of NICs are made anew
/// where NETWORK asks for them.
///
/// # Errors
/// When a variable cannot be parsed; the text names the attribute.
pub(crate) fn context_update(
    of: &ContextOf<'_>,
    old: &Vector,
    given: &Vector,
    append: bool,
) -> Result<Vector, String> {
    let mut context = if append { old.clone() } else { Vector::new() };
    given_add(of, given, old, &mut context)?;
    network_add(of, &mut context);
    for key in ["DISK_ID", "TARGET"] {
        if let Some(value) = old.get(key) {
            context.set(key, value);
        }
    }
    Ok(context)
}

/// What the names of a NIC's variables begin with.
fn nic_prefix(nic: &Vector) -> String {
    let text = |name: &str| nic.get(name).unwrap_or_default();
    match nic.get("PARENT_ID") {
        Some(parent) => format!("ETH{parent}_ALIAS{}_", text("ALIAS_ID")),
        None => format!("ETH{}_", text("NIC_ID")),
    }
}

/// Puts in the variables of a NIC that came, or takes out those of one that went, with those of its aliases.
pub(crate) fn context_nic_set(world: &World, template: &mut Template, nic: &Vector, there: bool) {
    let Some(mut context) = template.vector("CONTEXT").cloned() else {
        return;
    };
    if !context
        .get("NETWORK")
        .is_some_and(|text| text.eq_ignore_ascii_case("yes"))
    {
        return;
    }
    let prefix = nic_prefix(nic);
    if there {
        nic_variables(world, nic, &prefix, &mut context);
    } else {
        context = context
            .iter()
            .filter(|(name, _)| !name.starts_with(&prefix))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
    }
    template.set_vector("CONTEXT", context);
}

/// Variables that find nothing are written empty and replace what the user gave (recorded).
fn nic_variables(world: &World, nic: &Vector, prefix: &str, context: &mut Vector) {
    let vnet = nic
        .get("NETWORK_ID")
        .and_then(|text| text.parse().ok())
        .and_then(|id| world.vnets.get(id));
    let range_id: Option<Id> = nic.get("AR_ID").and_then(|text| text.parse().ok());
    let range = vnet.and_then(|vnet| range_id.and_then(|id| vnet.range(id)));
    for (suffix, attributes, ask_network) in NIC_VARIABLES {
        let own = attributes.iter().find_map(|name| nic.get(name));
        let value = own.or_else(|| {
            attributes.iter().filter(|_| *ask_network).find_map(|name| {
                range
                    .and_then(|range| range.attribute(name))
                    .or_else(|| vnet.and_then(|vnet| vnet.template.get(name)))
            })
        });
        context.set(&format!("{prefix}{suffix}"), value.unwrap_or_default());
    }
}

impl Resolver for ContextOf<'_> {
    fn single(&self, name: &str) -> Option<String> {
        let text = match name {
            "UID" => self.uid.to_string(),
            "UNAME" => self.world.users.get(self.uid)?.name.clone(),
            "GID" => self.gid.to_string(),
            "GNAME" => self.world.groups.get(self.gid)?.name.clone(),
            "NAME" => self.name.to_owned(),
            _ => {
                let value = self.template.get(name).or_else(|| self.user_template.get(name))?;
                self.clear(Scope::Vm, name, None, value)
            }
        };
        Some(text)
    }

    fn vector(&self, name: &str, key: &str, selector: Option<(&str, &str)>) -> Option<String> {
        match name {
            "USER" => {
                let value = self.world.users.get(self.uid)?.template.get(key)?;
                Some(self.clear(Scope::User, key, None, value))
            }
            "NETWORK" => {
                let nic = self
                    .template
                    .vectors("NIC")
                    .chain(self.template.vectors("NIC_ALIAS"))
                    .find(|nic| selects(nic, selector, "NETWORK"))?;
                let id = nic.get("NETWORK_ID")?.parse().ok()?;
                let value = self.world.vnets.get(id)?.template.get(key)?;
                Some(self.clear(Scope::Vnet, key, None, value))
            }
            "IMAGE" => {
                let disk = self
                    .template
                    .vectors("DISK")
                    .find(|disk| selects(disk, selector, "IMAGE"))?;
                let id = disk.get("IMAGE_ID")?.parse().ok()?;
                let value = self.world.images.get(id)?.template.get(key)?;
                Some(self.clear(Scope::Image, key, None, value))
            }
            _ => {
                let found = |template: &Template| {
                    template
                        .vectors(name)
                        .find(|vector| selects(vector, selector, ""))
                        .and_then(|v| v.get(key))
                        .map(|value| self.clear(Scope::Vm, name, Some(key), value))
                };
                found(self.template).or_else(|| found(self.user_template))
            }
        }
    }
}

fn selects(vector: &Vector, selector: Option<(&str, &str)>, needed: &str) -> bool {
    match selector {
        Some((key, value)) => vector.get(key) == Some(value),
        None => needed.is_empty(),
    }
}

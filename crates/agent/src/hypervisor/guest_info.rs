//! What the agent in a guest says of it: addresses, host name, system. All of it is the guest's own word, and bounded.

use std::net::IpAddr;

use plerion_protocol::GuestSample;
use serde_json::Value;

use super::domain::Hypervisor;
use super::guest_agent::{GuestAgent, NoAnswer};
use crate::fault::Act;
use crate::limits::Limits;
use crate::names;

/// Addresses of one guest that are told.
const ADDRESSES_MAX: usize = 32;
/// Characters of a name that are told.
const NAME_CHARS_MAX: usize = 128;

impl Hypervisor {
    /// Asks a guest. What its agent cannot say is left out; an agent that says nothing is an error.
    pub(crate) fn guest_info(&self, uuid: &str, limits: &Limits) -> Act<GuestSample> {
        names::uuid_check(uuid)?;
        let agent = GuestAgent {
            virsh: self.virsh(),
            uuid,
        };
        let cards = agent
            .ask("guest-network-get-interfaces", &Value::Null, limits)
            .map_err(NoAnswer::into_error)?;
        // Agents before 2.10 know neither.
        let told = |question: &str| match agent.ask(question, &Value::Null, limits) {
            Ok(answer) => Ok(answer),
            Err(NoAnswer::Refused(_)) => Ok(Value::Null),
            Err(NoAnswer::Silent(error)) => Err(error),
        };
        let name = told("guest-get-host-name")?;
        let system = told("guest-get-osinfo")?;
        Ok(GuestSample {
            addresses: addresses_read(&cards),
            hostname: text_of(&name["host-name"]),
            system: system_read(&system),
        })
    }
}

/// Addresses that others can reach, IPv4 first, each group as the guest tells them.
fn addresses_read(cards: &Value) -> Vec<String> {
    let addresses = |card: &Value| card["ip-addresses"].as_array().cloned().unwrap_or_default();
    let cards = cards.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut found: Vec<IpAddr> = cards
        .iter()
        .flat_map(addresses)
        .filter_map(|address| address["ip-address"].as_str()?.parse().ok())
        .filter(is_reachable)
        .take(ADDRESSES_MAX)
        .collect();
    found.sort_by_key(IpAddr::is_ipv6);
    found.iter().map(IpAddr::to_string).collect()
}

fn is_reachable(address: &IpAddr) -> bool {
    let local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !local && !address.is_loopback() && !address.is_unspecified()
}

fn system_read(system: &Value) -> String {
    let pretty = text_of(&system["pretty-name"]);
    if pretty.is_empty() {
        text_of(&system["kernel-release"])
    } else {
        pretty
    }
}

/// A name without what would move the cursor of whoever looks at it.
fn text_of(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default().trim();
    text.chars()
        .filter(|letter| !letter.is_control())
        .take(NAME_CHARS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn addresses_that_can_be_reached_are_read() {
        let cards = json!([
            { "name": "lo", "ip-addresses": [{ "ip-address": "127.0.0.1" }, { "ip-address": "::1" }] },
            { "name": "eth0", "ip-addresses": [
                { "ip-address": "fe80::1" }, { "ip-address": "2001:db8::7" }, { "ip-address": "192.0.2.7" },
                { "ip-address": "<b>" }, {},
            ] },
            { "name": "eth1" },
        ]);
        assert_eq!(addresses_read(&cards), ["192.0.2.7", "2001:db8::7"]);
        assert!(addresses_read(&json!({ "no": "list" })).is_empty());
        let many: Vec<Value> = (0..200)
            .map(|last| json!({ "ip-address": format!("10.0.0.{last}") }))
            .collect();
        assert_eq!(
            addresses_read(&json!([{ "ip-addresses": many }])).len(),
            ADDRESSES_MAX
        );
    }

    #[test]
    fn names_are_cut_and_cleaned() {
        assert_eq!(text_of(&json!(" web\u{1b}[2J1 ")), "web[2J1");
        assert_eq!(text_of(&json!("x".repeat(1000))).len(), NAME_CHARS_MAX);
        assert_eq!(text_of(&json!(7)), "");
        assert_eq!(
            system_read(&json!({ "pretty-name": "Debian 12", "kernel-release": "6.1" })),
            "Debian 12"
        );
        assert_eq!(system_read(&json!({ "kernel-release": "6.1" })), "6.1");
        assert_eq!(system_read(&Value::Null), "");
    }
}

//! `onevm port-forward`: ports of hosts that lead to ports of guests, as NICs tell them: `EXTERNAL_PORT_RANGE`, `INTERNAL_PORT_RANGE`.
//!
//! They are written `first:last`, with more behind a `/` that is not looked at.

use std::ops::RangeInclusive;

use roxmltree::Node;

use super::vm_place::{host_of, nics_of};
use crate::error::CliError;
use crate::family::Input;
use crate::kind::Kind;
use crate::session::Session;
use crate::xml;

/// `port-forward`: where the ports of a guest are reached on its host, if its network forwards them.
pub fn port_forward(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let text = session.info(Kind::Vm, input.id(0))?;
    let document = xml::document_parse(&text)?;
    let line = line(document.root_element(), input.value("nic-id"), input.text(1))?;
    session.print(&format!("{line}\n"))
}

/// Ports of a guest that are reached on its host.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Forward {
    /// The host's name.
    pub(super) host: String,
    external: RangeInclusive<u16>,
    internal: RangeInclusive<u16>,
}

impl Forward {
    /// The port of the host that leads to a port of the guest.
    pub(super) fn outside(&self, inside: u16) -> Option<u16> {
        let step = inside.checked_sub(*self.internal.start())?;
        let port = self.external.start().checked_add(step)?;
        (self.internal.contains(&inside) && self.external.contains(&port)).then_some(port)
    }
}

/// What is forwarded to the first NIC that has such ports, or to the NIC `nic_id`; nothing where no network does so.
pub(super) fn of(vm: Node<'_, '_>, nic_id: Option<&str>) -> Result<Option<Forward>, CliError> {
    for nic in nics_of(vm, nic_id)? {
        let ranges = (
            range(&xml::text(nic, "EXTERNAL_PORT_RANGE")),
            range(&xml::text(nic, "INTERNAL_PORT_RANGE")),
        );
        if let (Some(external), Some(internal)) = ranges {
            return Ok(Some(Forward {
                host: host_of(vm)?,
                external,
                internal,
            }));
        }
    }
    Ok(None)
}

/// What is forwarded, in words: to `inside`, or to every port where that is empty.
fn line(vm: Node<'_, '_>, nic_id: Option<&str>, inside: &str) -> Result<String, CliError> {
    let id = xml::text(vm, "ID");
    let forward = of(vm, nic_id)?.ok_or_else(|| {
        CliError::text(format!(
            "No port of a host leads to VM {id}: none of its NICs has EXTERNAL_PORT_RANGE and INTERNAL_PORT_RANGE, which \
             networks of the driver nodeport give."
        ))
    })?;
    let Forward {
        host,
        external,
        internal,
    } = &forward;
    if inside.is_empty() {
        return Ok(format!(
            "{host}:{}-{} -> {}-{}",
            external.start(),
            external.end(),
            internal.start(),
            internal.end()
        ));
    }
    let port = inside
        .parse()
        .map_err(|_| CliError::text(format!("'{inside}' is no port: write a number from 1 to 65535.")))?;
    let outside = forward.outside(port).ok_or_else(|| {
        CliError::text(format!(
            "Port {port} of VM {id} is not forwarded: its ports {} to {} are.",
            internal.start(),
            internal.end()
        ))
    })?;
    Ok(format!("{host}:{outside} -> {port}"))
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (ports, _) = text.split_once('/').unwrap_or((text, ""));
    let (first, last) = ports.split_once([':', '-'])?;
    Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VM: &str = "<VM><ID>7</ID><STATE>3</STATE><TEMPLATE><NIC><NIC_ID>0</NIC_ID></NIC><NIC><NIC_ID>1</NIC_ID>\
        <EXTERNAL_PORT_RANGE>9000:9099</EXTERNAL_PORT_RANGE><INTERNAL_PORT_RANGE>1:100/tcp</INTERNAL_PORT_RANGE></NIC>\
        </TEMPLATE><HISTORY_RECORDS><HISTORY><HOSTNAME>two</HOSTNAME></HISTORY></HISTORY_RECORDS></VM>";

    fn said(nic: Option<&str>, inside: &str) -> String {
        let document = xml::document_parse(VM).expect("well-formed");
        line(document.root_element(), nic, inside).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn a_port_of_the_host_leads_to_each_port_of_the_range() {
        assert_eq!(said(None, ""), "two:9000-9099 -> 1-100");
        assert_eq!(said(Some("1"), "22"), "two:9021 -> 22");
        assert_eq!(said(None, "100"), "two:9099 -> 100");
    }

    #[test]
    fn what_is_not_forwarded_says_so() {
        assert!(said(None, "101").contains("ports 1 to 100"));
        assert!(said(None, "x").contains("no port"));
        assert!(said(Some("0"), "").contains("nodeport"));
        assert!(said(Some("5"), "").contains("no NIC 5"));
    }
}

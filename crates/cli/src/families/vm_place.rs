//! Where a VM is: its host, and its NICs.

use roxmltree::Node;

use crate::error::CliError;
use crate::xml;

/// The state of a VM that is on a host.
const STATE_ACTIVE: i64 = 3;

/// The NICs of a guest: all, or the one `nic_id`.
pub(super) fn nics_of<'a, 'i: 'a>(
    vm: Node<'a, 'i>,
    nic_id: Option<&str>,
) -> Result<Vec<Node<'a, 'i>>, CliError> {
    let nics = xml::at(vm, "TEMPLATE").into_iter().flat_map(xml::elements);
    let nics: Vec<Node<'_, '_>> = nics
        .filter(|node| node.has_tag_name("NIC") || node.has_tag_name("NIC_ALIAS"))
        .filter(|node| nic_id.is_none_or(|wanted| xml::text(*node, "NIC_ID") == wanted))
        .collect();
    match nic_id {
        Some(nic_id) if nics.is_empty() => Err(CliError::text(format!(
            "VM {} has no NIC {nic_id}.",
            xml::text(vm, "ID")
        ))),
        _ => Ok(nics),
    }
}

/// The host on which a VM is.
pub(super) fn host_of(vm: Node<'_, '_>) -> Result<String, CliError> {
    let id = xml::text(vm, "ID");
    let records = xml::at(vm, "HISTORY_RECORDS").into_iter().flat_map(xml::elements);
    let host = records.last().map(|record| xml::text(record, "HOSTNAME"));
    match host {
        Some(host) if xml::number(vm, "STATE") == STATE_ACTIVE => Ok(host),
        _ => Err(CliError::text(format!(
            "VM {id} is on no host now, so it has neither screen nor console. Look at its state with onevm show {id}."
        ))),
    }
}

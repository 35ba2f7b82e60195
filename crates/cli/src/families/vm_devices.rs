//! `onevm`: disks, NICs, PCI devices and snapshots of a VM.

use super::{vm, vm_tables};
use crate::error::CliError;
use crate::family::Input;
use crate::kind::Kind;
use crate::session::Session;
use crate::sources;
use crate::template_build::{Builder, pair};
use crate::xml;

/// Calls `method(vm, device)`.
fn device_call(session: &mut Session, input: &Input, method: &str) -> Result<(), CliError> {
    session
        .call(
            &Kind::Vm.method(method),
            &[input.id(0).into(), input.id(1).into()],
        )
        .map(drop)
}

/// Calls `method(vm, template)`.
fn template_call(session: &mut Session, input: &Input, method: &str, text: String) -> Result<(), CliError> {
    session
        .call(&Kind::Vm.method(method), &[input.id(0).into(), text.into()])
        .map(drop)
}

/// The template `name=[…]` of the options that were given.
fn vector_of(input: &Input, name: &str, options: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = options
        .iter()
        .filter_map(|(option, attribute)| input.value(option).map(|value| pair(attribute, value)))
        .collect();
    let mut builder = Builder::default();
    builder.vector(name, &pairs);
    builder.into_text()
}

/// `disk-attach`.
pub fn disk_attach(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let text = match (input.value("file"), input.has("image")) {
        (Some(path), _) => sources::file_read(path)?,
        (None, true) => vector_of(
            input,
            "DISK",
            &[
                ("image", "IMAGE_ID"),
                ("target", "TARGET"),
                ("prefix", "DEV_PREFIX"),
                ("cache", "CACHE"),
                ("discard", "DISCARD"),
            ],
        ),
        (None, false) => {
            return Err(CliError::text(
                "Provide a template or an image:\n\t--file  <file>\n\t--image <image>",
            ));
        }
    };
    template_call(session, input, "attach", text)
}

/// `disk-detach`.
pub fn disk_detach(session: &mut Session, input: &Input) -> Result<(), CliError> {
    device_call(session, input, "detach")
}

/// `disk-resize`; the new size is in MiB or has a unit.
pub fn disk_resize(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let (id, disk_id) = (input.id(0), input.id(1));
    let size = crate::parse::memory_parse(input.text(2)).ok_or_else(|| {
        CliError::text(format!(
            "'{}' is no size. Use MiB, or a number with g or t.",
            input.text(2)
        ))
    })?;
    let text = session.info(Kind::Vm, id)?;
    let document = xml::document_parse(&text)?;
    let wanted = disk_id.to_string();
    let current = xml::child(document.root_element(), "TEMPLATE")
        .and_then(|body| xml::children(body, "DISK").find(|disk| xml::text(*disk, "DISK_ID") == wanted))
        .and_then(|disk| xml::number_at(disk, "SIZE"));
    if let Some(current) = current.filter(|current| size <= *current) {
        return Err(CliError::text(format!(
            "New size '{size}' must be larger than current size '{current}'"
        )));
    }
    let params = [id.into(), disk_id.into(), size.to_string().into()];
    session.call("one.vm.diskresize", &params).map(drop)
}

/// `disk-saveas`.
pub fn disk_saveas(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let snapshot = input.value("snapshot").map_or(Ok(-1), str::parse);
    let snapshot: i32 = snapshot.map_err(|_| CliError::text("The snapshot is given by its number."))?;
    let params = [
        input.id(0).into(),
        input.id(1).into(),
        input.text(2).into(),
        input.value("type").unwrap_or_default().into(),
        snapshot.into(),
    ];
    let image = session.call_id("one.vm.disksaveas", &params)?;
    session.print(&format!("Image ID: {image}\n"))
}

/// The options of `nic-attach` besides the network, and their attributes.
const NIC_OPTIONS: [(&str, &str); 7] = [
    ("network", "NETWORK_ID"),
    ("ip", "IP"),
    ("nic_name", "NAME"),
    ("pci", "SHORT_ADDRESS"),
    ("pci_class", "CLASS"),
    ("pci_device", "DEVICE"),
    ("pci_vendor", "VENDOR"),
];

/// `nic-attach`, also of an alias.
pub fn nic_attach(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let text = match (input.value("file"), input.has("network")) {
        (Some(path), _) => sources::file_read(path)?,
        (None, true) => {
            let mut options = NIC_OPTIONS.to_vec();
            let alias = input.has("alias");
            if alias {
                options.push(("alias", "PARENT"));
            }
            vector_of(input, if alias { "NIC_ALIAS" } else { "NIC" }, &options)
        }
        (None, false) => {
            return Err(CliError::text(
                "Provide a network or a template:\n\t--file    <file>\n\t--network <network>",
            ));
        }
    };
    template_call(session, input, "attachnic", text)
}

/// `nic-detach`.
pub fn nic_detach(session: &mut Session, input: &Input) -> Result<(), CliError> {
    device_call(session, input, "detachnic")
}

/// `nic-update`.
pub fn nic_update(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let Some(text) = sources::edited(input.text(2), || Ok(String::new()))? else {
        return Ok(());
    };
    let append = i32::from(input.has("append"));
    let params = [input.id(0).into(), input.id(1).into(), text.into(), append.into()];
    session.call("one.vm.updatenic", &params).map(drop)
}

/// `sg-attach`.
pub fn secgroup_attach(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let params = [input.id(0).into(), input.id(1).into(), input.id(2).into()];
    session.call("one.vm.attachsg", &params).map(drop)
}

/// `sg-detach`.
pub fn secgroup_detach(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let params = [input.id(0).into(), input.id(1).into(), input.id(2).into()];
    session.call("one.vm.detachsg", &params).map(drop)
}

/// `pci-attach`.
pub fn pci_attach(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let options = [
        ("pci", "SHORT_ADDRESS"),
        ("pci_class", "CLASS"),
        ("pci_device", "DEVICE"),
        ("pci_vendor", "VENDOR"),
    ];
    let text = match input.value("file") {
        Some(path) => sources::file_read(path)?,
        None if options.iter().any(|(option, _)| input.has(option)) => vector_of(input, "PCI", &options),
        None => {
            return Err(CliError::text(
                "Name the device: --pci ADDRESS, --pci_vendor and --pci_device, or --file FILE.",
            ));
        }
    };
    template_call(session, input, "attachpci", text)
}

/// `pci-detach`.
pub fn pci_detach(session: &mut Session, input: &Input) -> Result<(), CliError> {
    device_call(session, input, "detachpci")
}

/// `snapshot-create`.
pub fn snapshot_create(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let name = input.text(1);
    let args: Vec<String> = if name.is_empty() {
        Vec::new()
    } else {
        vec![name.to_owned()]
    };
    vm::act_or_schedule(session, input, "snapshot-create", &args, |session, id| {
        session
            .call("one.vm.snapshotcreate", &[id.into(), name.into()])
            .map(drop)
    })
}

/// `snapshot-revert`.
pub fn snapshot_revert(session: &mut Session, input: &Input) -> Result<(), CliError> {
    snapshot_act(session, input, "snapshot-revert", "snapshotrevert")
}

/// `snapshot-delete`.
pub fn snapshot_delete(session: &mut Session, input: &Input) -> Result<(), CliError> {
    snapshot_act(session, input, "snapshot-delete", "snapshotdelete")
}

fn snapshot_act(session: &mut Session, input: &Input, name: &str, method: &str) -> Result<(), CliError> {
    let snapshot = input.id(1);
    vm::act_or_schedule(session, input, name, &[snapshot.to_string()], |session, id| {
        session
            .call(&Kind::Vm.method(method), &[id.into(), snapshot.into()])
            .map(drop)
    })
}

/// `snapshot-list`.
pub fn snapshot_list(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let text = session.info(Kind::Vm, input.id(0))?;
    let document = xml::document_parse(&text)?;
    let shown = vm_tables::snapshots(document.root_element());
    section_print(session, &shown, "No snapshots available")
}

fn section_print(session: &Session, text: &str, nothing: &str) -> Result<(), CliError> {
    let text = text.trim_end_matches('\n');
    session.print(&format!("{}\n", if text.is_empty() { nothing } else { text }))
}

/// `disk-snapshot-list`.
pub fn disk_snapshot_list(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let text = session.info(Kind::Vm, input.id(0))?;
    let document = xml::document_parse(&text)?;
    let disk = input.id(1).to_string();
    let shown = vm_tables::disk_snapshots(document.root_element(), Some(&disk));
    section_print(session, &shown, "No snapshots available in this disk")
}

/// `disk-snapshot-create`.
pub fn disk_snapshot_create(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let (disk, name) = (input.id(1), input.text(2));
    let args = [disk.to_string(), name.to_owned()];
    vm::act_or_schedule(session, input, "disk-snapshot-create", &args, |session, id| {
        session
            .call(
                "one.vm.disksnapshotcreate",
                &[id.into(), disk.into(), name.into()],
            )
            .map(drop)
    })
}

/// `disk-snapshot-revert`.
pub fn disk_snapshot_revert(session: &mut Session, input: &Input) -> Result<(), CliError> {
    disk_snapshot_act(session, input, "disk-snapshot-revert", "disksnapshotrevert")
}

/// `disk-snapshot-delete`.
pub fn disk_snapshot_delete(session: &mut Session, input: &Input) -> Result<(), CliError> {
    disk_snapshot_act(session, input, "disk-snapshot-delete", "disksnapshotdelete")
}

fn disk_snapshot_act(session: &mut Session, input: &Input, name: &str, method: &str) -> Result<(), CliError> {
    let (disk, snapshot) = (input.id(1), input.id(2));
    let args = [disk.to_string(), snapshot.to_string()];
    vm::act_or_schedule(session, input, name, &args, |session, id| {
        session
            .call(
                &Kind::Vm.method(method),
                &[id.into(), disk.into(), snapshot.into()],
            )
            .map(drop)
    })
}

/// `disk-snapshot-rename`.
pub fn disk_snapshot_rename(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let params = [
        input.id(0).into(),
        input.id(1).into(),
        input.id(2).into(),
        input.text(3).into(),
    ];
    session.call("one.vm.disksnapshotrename", &params).map(drop)
}

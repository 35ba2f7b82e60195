//! The configuration of a VM is changed: what its next start, or its context, takes from it.

use std::cell::Cell;
use std::sync::Arc;

use plerion_lifecycle::{Event, may_reconfigure};
use plerion_model::vm::{Demand, Vm};
use plerion_model::vm_state::{LcmState, Phase, VmState};
use plerion_model::{ApiError, Id, Kind};
use plerion_template::{PackedTemplate, Template, Value, Vector};

use crate::auth::{Caller, require};
use crate::restricted::{is_restricted_key, restricted_check_given, restricted_check_kept};
use crate::txn::Txn;
use crate::vm_cause::Cause;
use crate::vm_context::{ContextOf, context_update};
use crate::vm_deploy::port_set;
use crate::vm_files::files_complete;
use crate::vm_require::vm_require;
use crate::vm_right::{VmClass, vm_right};
use crate::vm_state::vm_event;

/// What a value must be.
#[derive(Clone, Copy, Debug)]
enum Rule {
    Text,
    YesNo,
    Number,
    NumberOrAuto,
    OneOf(&'static [&'static str]),
    /// `disk0,nic1`: devices that the VM has.
    Devices,
    /// `0,2`: disks that the VM has.
    Disks,
}

/// The vectors that can be changed, and their attributes. Others are left out without a word (recorded).
#[rustfmt::skip]
const ATTRIBUTES: &[(&str, &[(&str, Rule)])] = &[
    ("OS", &[
        ("ARCH", Rule::Text), ("MACHINE", Rule::Text), ("KERNEL", Rule::Text), ("KERNEL_DS", Rule::Text),
        ("INITRD", Rule::Text), ("INITRD_DS", Rule::Text), ("ROOT", Rule::Text), ("KERNEL_CMD", Rule::Text),
        ("BOOTLOADER", Rule::Text), ("BOOT", Rule::Devices), ("SD_DISK_BUS", Rule::OneOf(&["scsi", "sata"])),
        ("FIRMWARE", Rule::Text), ("FIRMWARE_SECURE", Rule::YesNo), ("FIRMWARE_FORMAT", Rule::OneOf(&["raw", "qcow2"])),
    ]),
    ("CPU_MODEL", &[("MODEL", Rule::Text), ("FEATURES", Rule::Text)]),
    ("FEATURES", &[
        ("PAE", Rule::YesNo), ("ACPI", Rule::YesNo), ("APIC", Rule::YesNo), ("LOCALTIME", Rule::YesNo),
        ("HYPERV", Rule::YesNo), ("GUEST_AGENT", Rule::YesNo), ("VIRTIO_SCSI_QUEUES", Rule::NumberOrAuto),
        ("VIRTIO_BLK_QUEUES", Rule::NumberOrAuto), ("IOTHREADS", Rule::Number), ("GIC", Rule::OneOf(&["2", "3", "host"])),
        ("RAS", Rule::YesNo), ("MIGRATE_AUTO_CONVERGE", Rule::YesNo), ("MIGRATE_COMPRESSED", Rule::YesNo),
    ]),
    ("INPUT", &[("TYPE", Rule::OneOf(&["mouse", "tablet", "keyboard"])), ("BUS", Rule::OneOf(&["usb", "ps2", "xen", "virtio"]))]),
    ("GRAPHICS", &[
        ("TYPE", Rule::OneOf(&["vnc", "spice", "sdl"])), ("LISTEN", Rule::Text), ("PASSWD", Rule::Text),
        ("KEYMAP", Rule::Text), ("COMMAND", Rule::Text),
    ]),
    ("VIDEO", &[
        ("TYPE", Rule::OneOf(&["auto", "cirrus", "none", "vga", "virtio", "qxl", "bochs", "vmvga"])), ("VRAM", Rule::Number),
        ("RESOLUTION", Rule::Text), ("IOMMU", Rule::YesNo), ("ATS", Rule::YesNo),
    ]),
    ("RAW", &[
        ("TYPE", Rule::OneOf(&["kvm", "qemu", "lxc"])), ("DATA", Rule::Text), ("DATA_VMX", Rule::Text), ("VALIDATE", Rule::YesNo),
    ]),
    ("BACKUP_CONFIG", &[
        ("KEEP_LAST", Rule::Number), ("BACKUP_VOLATILE", Rule::YesNo), ("FS_FREEZE", Rule::OneOf(&["none", "agent", "suspend"])),
        ("MODE", Rule::OneOf(&["full", "increment"])), ("INCREMENT_MODE", Rule::OneOf(&["cbt", "snapshot"])),
        ("DISK_IDS", Rule::Disks), ("INTERACTIVE", Rule::YesNo),
    ]),
];

/// Attributes that the system has written: they stay, whatever is replaced.
const COMPUTED: &[(&str, &str)] = &[("OS", "UUID"), ("GRAPHICS", "PORT")];

/// Vectors of which a VM may have several: a change names them all.
const SEVERAL: &[&str] = &["INPUT", "RAW"];

/// `one.vm.updateconf`.
pub(crate) fn vm_updateconf(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    given: &Template,
    append: bool,
) -> Result<Id, ApiError> {
    vm_require(txn, caller, id, vm_right(&txn.world, caller, VmClass::UpdateConf))?;
    let mut vm = txn.world.vm(id)?.clone();
    if !may_reconfigure(vm.phase) {
        return Err(ApiError::internal(format!(
            "configuration cannot be updated in state {}",
            vm.phase.as_str()
        )));
    }
    let old = vm.template.unpack();
    restricted_check_given(&txn.world, caller, Kind::Vm, given, &old)?;
    let mut new = old.clone();
    let mut files = Template::new();
    for (name, attributes) in ATTRIBUTES {
        let vectors = vectors_read(given, &old, name, attributes)?;
        let update = Update {
            name,
            attributes,
            append,
            admin: caller.is_admin(),
        };
        update.apply(txn, &vm, &mut new, vectors);
    }
    increments_check(&vm, &old, &new)?;
    if let Some(os) = new.vector("OS").filter(|_| given.vector("OS").is_some()) {
        files.set_vector("OS", os.clone());
    }
    context_set(txn, caller, &vm, given, &mut new, &mut files, append)?;
    console_set(txn, &vm, &mut new)?;
    restricted_check_kept(&txn.world, caller, Kind::Vm, &old, &new)?;
    let runs = vm.phase == Phase::active(LcmState::Running);
    let changed = new.vector("CONTEXT") != old.vector("CONTEXT");
    let own = Arc::make_mut(&mut vm);
    own.template = PackedTemplate::new(&new);
    own.demand = Arc::new(Demand::read(&own.template));
    txn.update(vm);
    if runs && changed {
        // The phase was just looked at, so this cannot be refused.
        let _ = vm_event(txn, id, Event::Reconfigure, &Cause::user(caller));
    }
    Ok(id)
}

/// An increment follows the disk as it is, and snapshots take it elsewhere.
fn increments_check(vm: &Vm, old: &Template, new: &Template) -> Result<(), ApiError> {
    let grows = |template: &Template| {
        let mode = template.pair("BACKUP_CONFIG", "MODE");
        mode.is_some_and(|mode| mode.trim().eq_ignore_ascii_case("increment"))
    };
    let machine = new.vectors("SNAPSHOT").next().is_some();
    let disks = vm.disk_snapshots.values().any(|tree| !tree.snapshots.is_empty());
    if grows(new) && !grows(old) && (machine || disks) {
        // Recorded.
        return Err(ApiError::internal(
            "VM cannot use backup increment mode, it has snapshots.",
        ));
    }
    Ok(())
}

/// The vectors of a name that are given, reduced to what can be changed and checked.
fn vectors_read(
    given: &Template,
    vm: &Template,
    name: &str,
    attributes: &[(&str, Rule)],
) -> Result<Vec<Vector>, ApiError> {
    if given
        .all(name)
        .any(|value| matches!(value, Value::Single(text) if !text.trim().is_empty()))
    {
        return Err(ApiError::internal(format!(
            "{name} must be a vector of attributes: {name}=[KEY=\"value\", …]"
        )));
    }
    let mut vectors = Vec::new();
    for vector in given.vectors(name) {
        let mut taken = Vector::new();
        for (key, rule) in attributes {
            let Some(value) = vector.get(key) else { continue };
            rule.check(vm, value.trim()).map_err(|text| {
                ApiError::internal(format!("Wrong value {value:?} of {name}/{key}: {text}"))
            })?;
            taken.set(key, value);
        }
        vectors.push(taken);
    }
    Ok(vectors)
}

impl Rule {
    fn check(self, vm: &Template, value: &str) -> Result<(), String> {
        let fits = match self {
            // An empty value takes the attribute away.
            _ if value.is_empty() => return Ok(()),
            Self::Text => return Ok(()),
            Self::YesNo => ["yes", "no"].iter().any(|word| value.eq_ignore_ascii_case(word)),
            Self::Number => value.parse::<u32>().is_ok(),
            Self::NumberOrAuto => value.eq_ignore_ascii_case("auto") || value.parse::<u32>().is_ok(),
            Self::OneOf(words) => words.iter().any(|word| value.eq_ignore_ascii_case(word)),
            Self::Devices => value.split(',').all(|device| has_device(vm, device.trim())),
            Self::Disks => value
                .split(',')
                .all(|disk| has(vm, "DISK", "DISK_ID", disk.trim())),
        };
        if fits {
            return Ok(());
        }
        Err(match self {
            Self::Text => String::new(),
            Self::YesNo => "it is YES or NO".into(),
            Self::Number => "it is a number".into(),
            Self::NumberOrAuto => "it is a number or auto".into(),
            Self::OneOf(words) => format!("it is one of {}", words.join(", ")),
            Self::Devices => "it is a list of devices that the VM has, such as disk0,nic1".into(),
            Self::Disks => "it is a list of ids of disks that the VM has".into(),
        })
    }
}

fn has(vm: &Template, vectors: &str, key: &str, id: &str) -> bool {
    vm.vectors(vectors).any(|vector| vector.get(key) == Some(id))
}

fn has_device(vm: &Template, device: &str) -> bool {
    if let Some(id) = device.strip_prefix("disk") {
        return has(vm, "DISK", "DISK_ID", id);
    }
    device
        .strip_prefix("nic")
        .is_some_and(|id| has(vm, "NIC", "NIC_ID", id))
}

/// How the vectors of one name change.
struct Update<'a> {
    name: &'a str,
    attributes: &'a [(&'a str, Rule)],
    append: bool,
    admin: bool,
}

impl Update<'_> {
    fn apply(&self, txn: &Txn<'_>, vm: &Vm, new: &mut Template, given: Vec<Vector>) {
        let old: Vec<Vector> = new.vectors(self.name).cloned().collect();
        if self.append && given.is_empty() {
            return;
        }
        // The console of a guest that is up stays where it is.
        if given.is_empty() && self.name == "GRAPHICS" && vm.phase.state == VmState::Active {
            return;
        }
        new.remove(self.name);
        if SEVERAL.contains(&self.name) && old.len().max(given.len()) > 1 {
            for vector in given {
                new.add_vector(self.name, vector);
            }
            return;
        }
        let old = old.into_iter().next().unwrap_or_default();
        let mut vector = if self.append {
            old.clone()
        } else {
            self.kept(txn, &old, given.is_empty())
        };
        for given in given {
            for (key, value) in given.iter() {
                if value.trim().is_empty() {
                    vector.remove(key);
                } else {
                    vector.set(key, value);
                }
            }
        }
        if vector.iter().next().is_some() {
            new.set_vector(self.name, vector);
        }
    }

    /// What stays of a vector that is replaced: what the system has written, what cannot be changed here, and what only
    /// administrators may change.
    fn kept(&self, txn: &Txn<'_>, old: &Vector, gone: bool) -> Vector {
        let mut kept = Vector::new();
        for (key, value) in old.iter() {
            let computed = COMPUTED.contains(&(self.name, key)) && !(gone && self.name == "GRAPHICS");
            let restricted = !self.admin && is_restricted_key(&txn.world, Kind::Vm, self.name, key);
            let known = self.attributes.iter().any(|(name, _)| *name == key);
            if computed || (known && restricted) {
                kept.set(key, value);
            }
        }
        kept
    }
}

/// CONTEXT as a whole; a VM without one cannot get one, it lacks the disk for it.
fn context_set(
    txn: &Txn<'_>,
    caller: &Caller,
    vm: &Vm,
    given: &Template,
    new: &mut Template,
    files: &mut Template,
    append: bool,
) -> Result<(), ApiError> {
    let mut given = given.vector("CONTEXT").cloned();
    if let Some(given) = &given {
        if new.vector("CONTEXT").is_none() {
            return Err(ApiError::internal(
                "Virtual machine does not have context, cannot add a new one.",
            ));
        }
        files.set_vector("CONTEXT", given.clone());
    }
    let rights = files_complete(&txn.world, caller, files)?;
    require(&txn.world, caller, &rights)?;
    if let Some(os) = files.vector("OS") {
        new.set_vector("OS", os.clone());
    }
    if let (Some(given), Some(completed)) = (&mut given, files.vector("CONTEXT")) {
        given.clone_from(completed);
    }
    let (Some(given), Some(old)) = (given, new.vector("CONTEXT").cloned()) else {
        return Ok(());
    };
    let user = vm.user_template.unpack();
    let of = ContextOf {
        world: &txn.world,
        uid: vm.owned.uid,
        gid: vm.owned.gid,
        name: &vm.name,
        template: new,
        user_template: &user,
        secret: Cell::default(),
    };
    let context = context_update(&of, &old, &given, append).map_err(ApiError::internal)?;
    new.set_vector("CONTEXT", context);
    Ok(())
}

/// A console that is new gets its address, and a port where the VM is on a host.
fn console_set(txn: &Txn<'_>, vm: &Vm, new: &mut Template) -> Result<(), ApiError> {
    for graphics in new.vectors_mut("GRAPHICS") {
        graphics.set_if_missing("LISTEN", "127.0.0.1");
    }
    if vm.holds().host {
        port_set(&txn.world, vm, new)?;
    }
    Ok(())
}

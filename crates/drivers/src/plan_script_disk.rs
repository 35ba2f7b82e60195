//! Disks and directories of VMs whose transfer driver is not built in.
//!
//! The lines are those of the old transfer manager: disks of images by the driver of their datastore, with the driver
//! of the system datastore as suffix; volatile disks, the CONTEXT disk and the directory by the driver of the system
//! datastore. All run on the front-end, from where the scripts reach the host by themselves.

use plerion_model::Id;
use plerion_protocol::{ContextFile, ScriptArgument, ScriptReply};
use plerion_template::Vector;

use crate::plan::{COPY_DEADLINE_S, Plan, Stay};
use crate::plan_script::{Family, Script, front_end_path, text};
use crate::transfer::{Transfer, is_volatile};

/// On which side the files of a VM are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Host,
    FrontEnd,
}

impl Side {
    /// `NAME:PATH` of what is beneath the VM's directory; `rest` begins with a slash or is empty.
    fn path(self, stay: &Stay<'_>, rest: &str) -> ScriptArgument {
        match self {
            Self::Host => text(format!("{}:{}{rest}", stay.host.name, stay.directory)),
            Self::FrontEnd => front_end_path(stay.world, &format!("{}{rest}", stay.home)),
        }
    }
}

/// A disk and the driver whose scripts handle it.
struct DiskScripts<'a> {
    driver: &'a str,
    suffix: Option<&'a str>,
    /// `/disk.N`.
    rest: String,
    /// The datastore that the scripts are told: the image's, or for a volatile disk the system's.
    datastore: String,
    disk: &'a Vector,
}

impl<'a> DiskScripts<'a> {
    /// `None` when the disk's driver is built in.
    fn of(stay: &'a Stay<'_>, disk: &'a Vector) -> Result<Option<Self>, String> {
        let Transfer::Script(driver) = Transfer::of_disk(stay, disk) else {
            return Ok(None);
        };
        let id = disk.get("DISK_ID").unwrap_or_default();
        let (suffix, datastore) = if is_volatile(disk) {
            (None, stay.system.id.to_string())
        } else {
            let datastore = disk
                .get("DATASTORE_ID")
                .ok_or_else(|| format!("disk {id} of VM {} names no DATASTORE_ID", stay.vm.id))?;
            (suffix(stay, disk, driver), datastore.to_owned())
        };
        Ok(Some(Self {
            driver,
            suffix,
            rest: format!("/disk.{id}"),
            datastore,
            disk,
        }))
    }

    /// Adds a line; the VM and the datastore end its arguments.
    fn line(&self, plan: &mut Plan, stay: &Stay<'_>, name: &str, mut arguments: Vec<ScriptArgument>) {
        arguments.extend([text(stay.vm.id), text(&self.datastore)]);
        let script = Script {
            family: Family::Transfer,
            driver: self.driver,
            name,
            suffix: self.suffix,
        };
        let action = script.action(stay.world, arguments, String::new(), ScriptReply::Nothing);
        plan.front_end(action, COPY_DEADLINE_S);
    }

    fn source(&self, stay: &Stay<'_>) -> Result<&str, String> {
        self.disk
            .get("SOURCE")
            .filter(|source| !source.is_empty())
            .ok_or_else(|| format!("{} of VM {} has no SOURCE", &self.rest[1..], stay.vm.id))
    }
}

/// TM_MAD_SYSTEM of the disk, else the driver of the system datastore where that is another one.
fn suffix<'a>(stay: &'a Stay<'_>, disk: &'a Vector, driver: &str) -> Option<&'a str> {
    disk.get("TM_MAD_SYSTEM")
        .or(Some(stay.system.tm_mad.as_str()))
        .filter(|system| !system.is_empty() && *system != driver)
}

/// Adds a line about the VM as a whole.
fn system_line(
    plan: &mut Plan,
    stay: &Stay<'_>,
    driver: &str,
    name: &str,
    mut arguments: Vec<ScriptArgument>,
) {
    arguments.extend([text(stay.vm.id), text(stay.system.id)]);
    let script = Script {
        family: Family::Transfer,
        driver,
        name,
        suffix: None,
    };
    let action = script.action(stay.world, arguments, String::new(), ScriptReply::Nothing);
    plan.front_end(action, COPY_DEADLINE_S);
}

/// Makes one disk ready on the host. Says whether scripts do that.
pub(crate) fn disk_script_prepare(plan: &mut Plan, stay: &Stay<'_>, disk: &Vector) -> Result<bool, String> {
    let Some(scripts) = DiskScripts::of(stay, disk)? else {
        return Ok(false);
    };
    let destination = Side::Host.path(stay, &scripts.rest);
    if is_volatile(disk) {
        let size = text(disk.get("SIZE").unwrap_or("0"));
        let kind = disk.get("TYPE").unwrap_or_default();
        if kind.eq_ignore_ascii_case("swap") {
            scripts.line(plan, stay, "mkswap", vec![size, destination]);
        } else {
            let format = disk.get("FORMAT").filter(|format| !format.is_empty());
            let format = text(format.unwrap_or("raw"));
            scripts.line(plan, stay, "mkimage", vec![size, format, destination]);
        }
        return Ok(true);
    }
    let source = scripts.source(stay)?;
    // What has a colon is in a form of the driver's own and not a path of the front-end.
    let source = if source.contains(':') {
        text(source)
    } else {
        front_end_path(stay.world, source)
    };
    let clone = disk
        .get("CLONE")
        .is_none_or(|clone| clone.eq_ignore_ascii_case("yes"));
    let name = if clone { "clone" } else { "ln" };
    scripts.line(plan, stay, name, vec![source, destination]);
    Ok(true)
}

/// The disks of a VM.
pub(crate) fn disks_of(stay: &Stay<'_>) -> Vec<Vector> {
    stay.vm
        .template
        .vectors("DISK")
        .map(|disk| disk.to_vector())
        .collect()
}

/// A disk of a VM.
pub(crate) fn disk_of(stay: &Stay<'_>, id: Id) -> Result<Vector, String> {
    let wanted = id.to_string();
    disks_of(stay)
        .into_iter()
        .find(|disk| disk.get("DISK_ID") == Some(&wanted))
        .ok_or_else(|| format!("VM {} has no disk {id}", stay.vm.id))
}

/// Gives the disks that are to be kept back to their datastores, and deletes the others.
pub(crate) fn disk_scripts_end(plan: &mut Plan, stay: &Stay<'_>, side: Side) -> Result<(), String> {
    for disk in &disks_of(stay) {
        disk_script_end(plan, stay, disk, side)?;
    }
    Ok(())
}

/// Gives one disk back to its datastore, or deletes it. Says whether scripts do that.
pub(crate) fn disk_script_end(
    plan: &mut Plan,
    stay: &Stay<'_>,
    disk: &Vector,
    side: Side,
) -> Result<bool, String> {
    let Some(scripts) = DiskScripts::of(stay, disk)? else {
        return Ok(false);
    };
    let there = side.path(stay, &scripts.rest);
    if disk
        .get("SAVE")
        .is_some_and(|save| save.eq_ignore_ascii_case("yes"))
    {
        let source = text(scripts.source(stay)?);
        scripts.line(plan, stay, "mvds", vec![there, source]);
    } else {
        scripts.line(plan, stay, "delete", vec![there]);
    }
    Ok(true)
}

/// Deletes all disks that scripts have made.
pub(crate) fn disk_scripts_delete(plan: &mut Plan, stay: &Stay<'_>, side: Side) -> Result<(), String> {
    for disk in &disks_of(stay) {
        if let Some(scripts) = DiskScripts::of(stay, disk)? {
            scripts.line(plan, stay, "delete", vec![side.path(stay, &scripts.rest)]);
        }
    }
    Ok(())
}

/// Moves all disks that scripts handle between the host and the front-end.
pub(crate) fn disk_scripts_move(
    plan: &mut Plan,
    stay: &Stay<'_>,
    from: Side,
    to: Side,
) -> Result<(), String> {
    for disk in &disks_of(stay) {
        if let Some(scripts) = DiskScripts::of(stay, disk)? {
            let ends = vec![from.path(stay, &scripts.rest), to.path(stay, &scripts.rest)];
            scripts.line(plan, stay, "mv", ends);
        }
    }
    Ok(())
}

/// Moves all disks that scripts handle, and the directory, from one host or system datastore to another.
pub(crate) fn files_scripts_relocate(plan: &mut Plan, from: &Stay<'_>, to: &Stay<'_>) -> Result<(), String> {
    for disk in &disks_of(to) {
        if let Some(scripts) = DiskScripts::of(to, disk)? {
            let ends = vec![
                Side::Host.path(from, &scripts.rest),
                Side::Host.path(to, &scripts.rest),
            ];
            scripts.line(plan, to, "mv", ends);
        }
    }
    if let Transfer::Script(driver) = Transfer::of(to) {
        let ends = vec![Side::Host.path(from, ""), Side::Host.path(to, "")];
        system_line(plan, to, driver, "mv", ends);
    }
    Ok(())
}

/// Deletes the VM's directory.
pub(crate) fn directory_script_delete(plan: &mut Plan, stay: &Stay<'_>, driver: &str, side: Side) {
    system_line(plan, stay, driver, "delete", vec![side.path(stay, "")]);
}

/// Moves the VM's directory.
pub(crate) fn directory_script_move(plan: &mut Plan, stay: &Stay<'_>, driver: &str, from: Side, to: Side) {
    let ends = vec![from.path(stay, ""), to.path(stay, "")];
    system_line(plan, stay, driver, "mv", ends);
}

/// Makes the CONTEXT disk of these files.
pub(crate) fn context_script(
    plan: &mut Plan,
    stay: &Stay<'_>,
    driver: &str,
    disk: &str,
    files: Vec<ContextFile>,
    sources: &[(&str, &str)],
) {
    let mut arguments: Vec<ScriptArgument> = files.into_iter().map(ScriptArgument::File).collect();
    arguments.extend(
        sources
            .iter()
            .map(|(source, name)| ScriptArgument::Text(format!("{source}:'{name}'"))),
    );
    arguments.push(Side::Host.path(stay, &format!("/disk.{disk}")));
    system_line(plan, stay, driver, "context", arguments);
}

//! Bridges that must exist before a domain starts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::fault::{Act, failed};
use crate::limits::Limits;
use crate::names::interface_check;
use crate::process::Program;

/// Time for one call of ip.
const IP_TIME_MAX: Duration = Duration::from_secs(20);

/// Whether there is a bridge of that name; something else of that name is an error.
pub(crate) fn bridge_exists(name: &str) -> Act<bool> {
    let interface = interface_path(name);
    if !interface.exists() {
        return Ok(false);
    }
    // The bridges of Open vSwitch have no directory `bridge`; they say so in their uevent or by their driver's master.
    let open_vswitch = Path::new("/run/openvswitch/db.sock").exists();
    if interface.join("bridge").exists() || open_vswitch {
        return Ok(true);
    }
    Err(failed(format!(
        "there is an interface {name} on this host, but it is not a bridge: rename either"
    )))
}

fn interface_path(name: &str) -> PathBuf {
    Path::new("/sys/class/net").join(name)
}

/// Makes a bridge, as root.
pub(crate) fn bridge_make(name: &str, phydev: Option<&str>, limits: &Limits) -> Act<()> {
    interface_check(name)?;
    phydev.map_or(Ok(()), interface_check)?;
    if bridge_exists(name)? {
        return Ok(());
    }
    if let Some(phydev) = phydev {
        phydev_check(name, phydev)?;
    }
    ip(&["link", "add", "name", name, "type", "bridge"], limits)?;
    let result = bridge_set_up(name, phydev, limits);
    if result.is_err()
        && let Err(error) = ip(&["link", "delete", "dev", name], limits)
    {
        tracing::warn!(name, %error, "cannot remove a bridge that was made in part");
    }
    result
}

fn bridge_set_up(name: &str, phydev: Option<&str>, limits: &Limits) -> Act<()> {
    if let Some(phydev) = phydev {
        ip(&["link", "set", "dev", phydev, "master", name], limits)?;
        ip(&["link", "set", "dev", phydev, "up"], limits)?;
    }
    ip(&["link", "set", "dev", name, "up"], limits)
}

fn phydev_check(name: &str, phydev: &str) -> Act<()> {
    let interface = interface_path(phydev);
    if !interface.exists() {
        return Err(failed(format!(
            "there is no interface {phydev} on this host to put into the bridge {name}: correct PHYDEV of the network"
        )));
    }
    match std::fs::read_link(interface.join("master")) {
        Ok(master) => Err(failed(format!(
            "the interface {phydev} belongs to {} already: use that bridge, or another PHYDEV",
            master.file_name().unwrap_or_default().to_string_lossy()
        ))),
        Err(_) => Ok(()),
    }
}

fn ip(arguments: &[&str], limits: &Limits) -> Act<()> {
    Program::new("ip")
        .args(arguments)
        .run_ok(&limits.at_most(IP_TIME_MAX))
        .map(drop)
}

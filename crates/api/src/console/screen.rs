//! [`Screen`]: where the screen of a VM is, for those who may see it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use plerion_model::vm::Vm;
use plerion_model::vm_state::VmState;
use plerion_model::{ApiError, Id, Kind, Seconds};
use plerion_world::{Caller, Target, World, require_see};

/// Where a screen is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Screen {
    /// The host's name.
    pub(super) host: String,
    /// Where QEMU listens there.
    pub(super) address: SocketAddr,
}

impl Screen {
    /// The screen of a VM that a caller may see: with the right USE, as `one.vm.info` tells where it is.
    pub(super) fn seen(world: &World, caller: &Caller, id: Id) -> Result<Self, ApiError> {
        require_see(world, caller, &Target::of(world, Kind::Vm, id)?)?;
        let vm = world
            .vms
            .get(id)
            .ok_or_else(|| ApiError::no_exists(Kind::Vm, id))?;
        Self::of(vm)
    }

    fn of(vm: &Vm) -> Result<Self, ApiError> {
        let id = vm.id;
        let host = vm.last_history().filter(|_| vm.phase.state == VmState::Active);
        let (Some(host), false) = (host, vm.deploy_id.is_empty()) else {
            return Err(ApiError::action(format!(
                "VM {id} does not run on a host now, so it has no screen. Look at its state with onevm show {id}."
            )));
        };
        let graphics = vm.template.vectors("GRAPHICS").find(|graphics| {
            graphics
                .get("TYPE")
                .is_some_and(|kind| kind.eq_ignore_ascii_case("vnc"))
        });
        let Some(graphics) = graphics else {
            return Err(ApiError::action(format!(
                "VM {id} has no VNC screen. Power it off and give it one: onevm updateconf {id} with \
                 GRAPHICS = [ TYPE = VNC, LISTEN = 127.0.0.1 ]."
            )));
        };
        let port = graphics.get("PORT").unwrap_or_default();
        let port = port.parse().map_err(|_| {
            ApiError::action(format!(
                "The screen of VM {id} has no port that can be used: PORT is '{port}'."
            ))
        })?;
        Ok(Self {
            host: host.hostname.clone(),
            address: SocketAddr::new(listen_address(graphics.get("LISTEN").unwrap_or_default()), port),
        })
    }
}

/// Where a listener is reached from its own host.
fn listen_address(listen: &str) -> IpAddr {
    match listen.parse::<IpAddr>() {
        Ok(address) if !address.is_unspecified() => address,
        _ => Ipv4Addr::LOCALHOST.into(),
    }
}

/// What a caller is now: somebody may have taken its groups since, or switched it off. `None`: nobody any more.
pub(super) fn caller_now(world: &World, caller: &Caller, now: Seconds) -> Option<Caller> {
    let user = world.users.get(caller.uid).filter(|user| user.enabled)?;
    let Some(limit) = caller.token else {
        return Some(Caller::of(user));
    };
    let lasts = limit.expires < 0 || limit.expires > now;
    let in_group = !limit.is_of_group() || user.groups.contains(&limit.egid);
    if !lasts || !in_group {
        return None;
    }
    Some(if limit.is_of_group() {
        caller.clone()
    } else {
        Caller {
            token: caller.token,
            ..Caller::of(user)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_reached_at_the_loopback() {
        for (listen, expected) in [
            ("0.0.0.0", "127.0.0.1"),
            ("::", "127.0.0.1"),
            ("", "127.0.0.1"),
            ("192.0.2.3", "192.0.2.3"),
            ("::1", "::1"),
        ] {
            assert_eq!(listen_address(listen).to_string(), expected, "{listen}");
        }
    }
}

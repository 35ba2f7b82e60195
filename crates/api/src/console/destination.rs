//! [`Destination`]: where a console of a VM is, for those who may see it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use plerion_model::vm::Vm;
use plerion_model::vm_state::VmState;
use plerion_model::{ApiError, Id, Kind, Seconds};
use plerion_world::{Caller, Target, World, require_see};

/// A kind of consoles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConsoleKind {
    Vnc,
    Spice,
    Serial,
}

impl ConsoleKind {
    /// Every kind, with its word in requests.
    const WORDS: [(&'static str, Self); 3] = [
        ("vnc", Self::Vnc),
        ("spice", Self::Spice),
        ("serial", Self::Serial),
    ];

    /// The kind of a word in a request.
    pub(super) fn of_word(word: &str) -> Option<Self> {
        Self::WORDS
            .into_iter()
            .find_map(|(known, kind)| (known == word).then_some(kind))
    }

    /// What people call it.
    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::Vnc | Self::Spice => "screen",
            Self::Serial => "serial line",
        }
    }
}

/// Where a console is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    /// The host's name.
    pub(super) host: String,
    /// What leads to it there.
    pub(super) end: Endpoint,
}

/// What leads to a console on its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// QEMU listens here.
    Address(SocketAddr),
    /// libvirt has the serial line of this domain.
    Domain(String),
}

impl Destination {
    /// The console of a VM that a caller may see: with the right USE, as `one.vm.info` tells where it is.
    pub(super) fn seen(world: &World, caller: &Caller, id: Id, kind: ConsoleKind) -> Result<Self, ApiError> {
        require_see(world, caller, &Target::of(world, Kind::Vm, id)?)?;
        let vm = world
            .vms
            .get(id)
            .ok_or_else(|| ApiError::no_exists(Kind::Vm, id))?;
        Self::of(vm, kind)
    }

    fn of(vm: &Vm, kind: ConsoleKind) -> Result<Self, ApiError> {
        let id = vm.id;
        let host = vm.last_history().filter(|_| vm.phase.state == VmState::Active);
        let (Some(host), false) = (host, vm.deploy_id.is_empty()) else {
            let noun = kind.noun();
            return Err(ApiError::action(format!(
                "VM {id} does not run on a host now, so it has no {noun}. Look at its state with onevm show {id}."
            )));
        };
        let end = match kind {
            ConsoleKind::Vnc => screen_of(vm, "VNC")?,
            ConsoleKind::Spice => screen_of(vm, "SPICE")?,
            ConsoleKind::Serial => serial_of(vm)?,
        };
        Ok(Self {
            host: host.hostname.clone(),
            end,
        })
    }
}

/// Where QEMU shows the screen of a VM by a protocol.
fn screen_of(vm: &Vm, protocol: &str) -> Result<Endpoint, ApiError> {
    let id = vm.id;
    let graphics = vm.template.vectors("GRAPHICS").find(|graphics| {
        graphics
            .get("TYPE")
            .is_some_and(|kind| kind.eq_ignore_ascii_case(protocol))
    });
    let Some(graphics) = graphics else {
        return Err(ApiError::action(format!(
            "VM {id} has no {protocol} screen. Power it off and give it one: onevm updateconf {id} with \
             GRAPHICS = [ TYPE = {protocol}, LISTEN = 127.0.0.1 ]."
        )));
    };
    let port = graphics.get("PORT").unwrap_or_default();
    let port = port.parse().map_err(|_| {
        ApiError::action(format!(
            "The screen of VM {id} has no port that can be used: PORT is '{port}'."
        ))
    })?;
    let listen = listen_address(graphics.get("LISTEN").unwrap_or_default());
    Ok(Endpoint::Address(SocketAddr::new(listen, port)))
}

/// The domain of a VM. A shell on the host reads its name, so nothing but a plain word is taken.
fn serial_of(vm: &Vm) -> Result<Endpoint, ApiError> {
    let name = &vm.deploy_id;
    if is_plain_word(name) {
        return Ok(Endpoint::Domain(name.clone()));
    }
    Err(ApiError::action(format!(
        "The domain's name '{name}' is no plain word of letters, digits, '.', '_', ':' and '-'. Use virsh on its host."
    )))
}

fn is_plain_word(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    !name.is_empty() && !name.starts_with('-') && name.bytes().all(plain)
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

    #[test]
    fn a_domain_name_is_a_plain_word() {
        for (name, good) in [
            ("one-7", true),
            ("a;reboot", false),
            ("-c", false),
            ("", false),
            ("a b", false),
        ] {
            assert_eq!(is_plain_word(name), good, "{name}");
        }
    }
}

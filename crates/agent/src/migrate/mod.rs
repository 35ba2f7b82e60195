//! Moves running domains between hosts, over this machine: hosts need no way to each other.
//!
//! Two SSH sessions, each with a program at its far end (`far`), forward three sockets: that of libvirt on the host where
//! the domain arrives, that of the memory, and that of the disks where they are copied. libvirt does the rest, as between hosts
//! that know each other; everything on the way is encrypted by SSH.

mod far;
mod frames;
mod sockets;

pub(crate) use far::{arrive_main, leave_main};

use plerion_protocol::{ActionError, ActionOutput, ErrorKind, MirrorDisk, SshTarget};

use self::frames::{Arrival, Arrived, ArrivingDisk, Ask, Departure, Go, Leaving, Left};
use self::sockets::{Local, Sockets};
use crate::fault::{Act, failed};
use crate::limits::Limits;
use crate::names;
use crate::roots::Roots;
use crate::storage::{NearSession, TransferContext};

/// What is to be moved.
pub(crate) struct Move<'a> {
    pub(crate) name: &'a str,
    pub(crate) uuid: &'a str,
    /// Directory of the VM, the same on both hosts.
    pub(crate) directory: &'a str,
    pub(crate) from: &'a SshTarget,
    pub(crate) to: &'a SshTarget,
    pub(crate) disks: &'a [MirrorDisk],
}

/// See [`plerion_protocol::Action::DomainMigrate`].
pub(crate) fn domain_migrate(
    roots: &Roots,
    context: &TransferContext,
    wanted: &Move<'_>,
    limits: &Limits,
) -> Act<ActionOutput> {
    names::domain_check(wanted.name)?;
    names::uuid_check(wanted.uuid)?;
    let token = token_draw()?;
    let sockets = Sockets::of(&token)?;
    let here = Local::make(&token)?;
    let request = context.request(roots, wanted.directory);
    let forwards = sockets.leave_forwards(&here);
    let mut leave = NearSession::open(wanted.from, "leave", &forwards, &request, limits)?;
    let leaving: Leaving = leave.ask(&Departure {
        name: wanted.name.to_owned(),
        uuid: wanted.uuid.to_owned(),
        token: token.clone(),
        targets: wanted.disks.iter().map(|disk| disk.target.clone()).collect(),
    })?;
    let forwards = sockets.arrive_forwards(&here);
    let mut arrive = NearSession::open(wanted.to, "arrive", &forwards, &request, limits)?;
    let arrival = Arrival {
        name: wanted.name.to_owned(),
        uuid: wanted.uuid.to_owned(),
        token,
        disks: arriving(wanted.disks, &leaving),
    };
    let arrived: Arrived = arrive.ask(&arrival)?;
    if !leaving.runs {
        // Asked again after an answer was lost: it may have been moved already.
        return if arrived.runs {
            Ok(ActionOutput::default())
        } else {
            Err(gone(wanted))
        };
    }
    let left: Left = leave.ask(&Go).map_err(unsettled)?;
    let looked: Arrived = arrive.ask(&Ask::Look).map_err(unsettled)?;
    if looked.runs && !left.runs {
        return Ok(ActionOutput::default());
    }
    if left.runs && !wanted.disks.is_empty() {
        let Arrived { .. } = arrive.ask(&Ask::Undo)?;
    }
    let why = left.error.unwrap_or_else(|| "libvirt names no reason".into());
    Err(failed(format!(
        "{} was not moved from {} to {}: {why}",
        wanted.name, wanted.from.host, wanted.to.host
    )))
}

/// From here on the domain may have been moved although that cannot be heard: it is to be looked at again.
fn unsettled(error: ActionError) -> ActionError {
    match error.kind {
        ErrorKind::Failed => ActionError::new(ErrorKind::Interrupted, error.text),
        _ => error,
    }
}

/// The disks to make where the domain arrives; none when it is not to come any more.
fn arriving(disks: &[MirrorDisk], leaving: &Leaving) -> Vec<ArrivingDisk> {
    let sized = disks.iter().zip(&leaving.bytes);
    sized
        .map(|(disk, bytes)| ArrivingDisk {
            path: disk.path.clone(),
            format: disk.format,
            bytes: *bytes,
        })
        .collect()
}

fn gone(wanted: &Move<'_>) -> ActionError {
    failed(format!(
        "{} runs neither on {} nor on {}: its guest has switched itself off, or its QEMU has ended; `onevm recover --failure`, \
         then resume it",
        wanted.name, wanted.from.host, wanted.to.host
    ))
}

fn token_draw() -> Act<String> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| failed(format!("no random numbers: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

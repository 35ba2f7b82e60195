//! Copying a file or a tree between hosts: one SSH session for each, whose two ends talk the protocol of `wire`.
//!
//! The end that wants the transfer (`transfer_push`, `transfer_pull`) runs `ssh HOST PROGRAM node receive` or `… send`
//! and is the other end itself. Only fixed words and the checked path of the program pass through the login shell of
//! the other host; paths follow as the first frame.

mod channel;
mod origin;
mod sink;
mod source;
mod wire;

use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use plerion_protocol::{
    ActionOutput, ErrorKind, FrameError, PROTOCOL_VERSION, SshTarget, frame_read, frame_write,
};
use serde::{Deserialize, Serialize};

use self::channel::{TimedReader, TimedWriter};
use crate::epoch::{epoch_read, epoch_refused};
use crate::fault::{Act, failed, refused};
use crate::limits::Limits;
use crate::process::{Program, Running, Wiring, error_collected};
use crate::roots::Roots;
use crate::roots::path_text;
use crate::{names, state};

/// Silence after which either end gives up.
const STALL_TIME_MAX: Duration = Duration::from_secs(300);
/// Longest transfer that the far end takes part in.
pub(crate) const FAR_TIME_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Time for ssh to end once nothing more is read from it or written to it.
const SSH_END_TIME_MAX: Duration = Duration::from_secs(2);
/// With which ssh ends when it could not connect or lost the connection (ssh(1), EXIT STATUS).
const SSH_CONNECTION_LOST: i32 = 255;
/// Bytes gathered before they are written to the channel.
const BUFFER_BYTES: usize = 256 * 1024;
/// Options of ssh that no others override: ssh takes the first value of each.
const SSH_OPTIONS: [&str; 7] = [
    "-oBatchMode=yes",
    "-oStrictHostKeyChecking=yes",
    // A session of its own, not one more in a master's that other work shares.
    "-oControlMaster=no",
    "-oControlPath=none",
    "-oConnectTimeout=30",
    "-oServerAliveInterval=15",
    "-oServerAliveCountMax=4",
];

/// Who a transfer is for.
pub(crate) struct TransferContext {
    cloud: String,
    epoch: AtomicU64,
}

/// First frame to `node send` and `node receive`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EndRequest {
    protocol: u32,
    cloud: String,
    epoch: u64,
    roots: Vec<String>,
    path: String,
}

impl TransferContext {
    pub(crate) fn new(cloud: &str, epoch: u64) -> Self {
        Self {
            cloud: cloud.to_owned(),
            epoch: AtomicU64::new(epoch),
        }
    }

    pub(crate) fn epoch_set(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::SeqCst);
    }

    pub(crate) fn request(&self, roots: &Roots, path: &str) -> EndRequest {
        EndRequest {
            protocol: PROTOCOL_VERSION,
            cloud: self.cloud.clone(),
            epoch: self.epoch.load(Ordering::SeqCst),
            roots: roots.texts(),
            path: path.to_owned(),
        }
    }
}

/// Sends what is at `path` here to `other` on another host.
pub(crate) fn transfer_push(
    roots: &Roots,
    context: &TransferContext,
    path: &str,
    target: &SshTarget,
    other: &str,
    limits: &Limits,
) -> Act<ActionOutput> {
    let real = roots.source(path)?;
    session_run(
        target,
        "receive",
        &context.request(roots, other),
        limits,
        |reader, writer| source::source_serve(&real, reader, writer, limits),
    )
}

/// Brings what is at `other` on another host to `path` here.
pub(crate) fn transfer_pull(
    roots: &Roots,
    context: &TransferContext,
    target: &SshTarget,
    other: &str,
    path: &str,
    limits: &Limits,
) -> Act<ActionOutput> {
    let destination = roots.target(path)?;
    session_run(
        target,
        "send",
        &context.request(roots, other),
        limits,
        |reader, writer| sink::sink_serve(&destination, roots, reader, writer, limits),
    )
}

type NearReader<'a> = BufReader<TimedReader<std::process::ChildStdout>>;
type NearWriter<'a> = BufWriter<TimedWriter<std::process::ChildStdin>>;

/// Runs the near end over one SSH session.
fn session_run(
    target: &SshTarget,
    end: &str,
    request: &EndRequest,
    limits: &Limits,
    serve: impl FnOnce(&mut NearReader<'_>, &mut NearWriter<'_>) -> Act<()>,
) -> Act<ActionOutput> {
    let began = Instant::now();
    let mut running = ssh_program(target, end, &[])?.start(Wiring::Both, limits)?;
    let missing = || failed("ssh has no pipes");
    let stdout = running.stdout_take().ok_or_else(missing)?;
    let stdin = running.stdin_take().ok_or_else(missing)?;
    let errors = running.error_collect();
    let mut reader =
        BufReader::with_capacity(BUFFER_BYTES, TimedReader::new(stdout, limits, STALL_TIME_MAX)?);
    let mut writer = BufWriter::with_capacity(BUFFER_BYTES, TimedWriter::new(stdin, limits, STALL_TIME_MAX)?);
    let result = frame_write(&mut writer, request)
        .map_err(|error| frame_failed(&error))
        .and_then(|()| serve(&mut reader, &mut writer));
    drop(writer);
    match result {
        Ok(()) => session_end(&mut running)?,
        Err(error) => {
            // Deadlines and stops say enough; for the rest the words of ssh are usually the cause.
            limits.remaining()?;
            let kind = if is_unreachable(&mut running)? {
                ErrorKind::Unreachable
            } else {
                error.kind
            };
            let words = error_collected(errors);
            let text = if words.is_empty() {
                error.text
            } else {
                format!("{} (ssh to {}: {words})", error.text, target.host)
            };
            return Err(plerion_protocol::ActionError::new(kind, text));
        }
    }
    let copy_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    Ok(ActionOutput {
        copy_us,
        ..ActionOutput::default()
    })
}

/// A session with a program at its far end that answers each frame with one.
pub(crate) struct NearSession {
    reader: BufReader<TimedReader<std::process::ChildStdout>>,
    writer: BufWriter<TimedWriter<std::process::ChildStdin>>,
    errors: Option<std::sync::mpsc::Receiver<Vec<u8>>>,
    host: String,
    limits: Limits,
    // Last: its end is that of the program, once nothing is written any more.
    _running: Running,
}

impl NearSession {
    /// Opens it, with these forwardings, for a request like that of a transfer.
    pub(crate) fn open(
        target: &SshTarget,
        end: &str,
        forwards: &[String],
        request: &EndRequest,
        limits: &Limits,
    ) -> Act<Self> {
        let mut running = ssh_program(target, end, forwards)?.start(Wiring::Both, limits)?;
        let missing = || failed("ssh has no pipes");
        let stdout = running.stdout_take().ok_or_else(missing)?;
        let stdin = running.stdin_take().ok_or_else(missing)?;
        let mut session = Self {
            // Memory and disks take their time, in which nothing is said.
            reader: BufReader::new(TimedReader::new(stdout, limits, FAR_TIME_MAX)?),
            writer: BufWriter::new(TimedWriter::new(stdin, limits, STALL_TIME_MAX)?),
            errors: running.error_collect(),
            host: target.host.clone(),
            limits: limits.clone(),
            _running: running,
        };
        session.send(request)?;
        Ok(session)
    }

    fn send(&mut self, frame: &impl Serialize) -> Act<()> {
        frame_write(&mut self.writer, frame).map_err(|error| self.lost(&error))
    }

    /// Sends a frame and waits for the answer.
    pub(crate) fn ask<T: serde::de::DeserializeOwned>(&mut self, frame: &impl Serialize) -> Act<T> {
        self.send(frame)?;
        let answer = frame_read(&mut self.reader).map_err(|error| self.lost(&error))?;
        answer.ok_or_else(|| self.lost("it has ended"))
    }

    /// Deadlines and stops say enough; for the rest the words of ssh and of the far end are the cause.
    fn lost(&mut self, why: impl std::fmt::Display) -> plerion_protocol::ActionError {
        if let Err(error) = self.limits.remaining() {
            return error;
        }
        let words = error_collected(self.errors.take());
        failed(format!("the program on {} was lost: {why} ({words})", self.host))
    }
}

/// The far end of such a session.
pub(crate) struct Far {
    channel: FarChannel,
    /// Directories that may be touched.
    pub(crate) roots: Roots,
    /// The path that the request names.
    pub(crate) path: String,
}

impl Far {
    /// Reads the request, and refuses what a transfer would.
    pub(crate) fn begin(limits: &Limits) -> Act<Self> {
        let mut channel = standard_channel(limits, FAR_TIME_MAX)?;
        let (request, roots) = request_read(&mut channel.0)?;
        Ok(Self {
            channel,
            roots,
            path: request.path,
        })
    }

    /// The next frame, which must come.
    pub(crate) fn receive<T: serde::de::DeserializeOwned>(&mut self) -> Act<T> {
        self.receive_next()?
            .ok_or_else(|| failed("nothing more came on standard input"))
    }

    /// The next frame; none when the near end has gone.
    pub(crate) fn receive_next<T: serde::de::DeserializeOwned>(&mut self) -> Act<Option<T>> {
        frame_read(&mut self.channel.0).map_err(|error| frame_failed(&error))
    }

    /// Sends a frame.
    pub(crate) fn send(&mut self, frame: &impl Serialize) -> Act<()> {
        frame_write(&mut self.channel.1, frame).map_err(|error| frame_failed(&error))
    }
}

/// Waits for ssh after a success; after a failure it is killed by being dropped.
fn session_end(running: &mut Running) -> Act<()> {
    let status = running.wait()?;
    if status.success() {
        return Ok(());
    }
    Err(failed(format!(
        "the other end of the transfer ended with {status}"
    )))
}

/// Whether a transfer failed because the connection did: ssh says so by a status of its own. (What the far end has
/// against it is its end's status.)
fn is_unreachable(running: &mut Running) -> Act<bool> {
    let status = running.wait_at_most(SSH_END_TIME_MAX)?;
    Ok(status.and_then(|status| status.code()) == Some(SSH_CONNECTION_LOST))
}

/// ssh to one end. Of forwardings there are those named here, or none at all.
fn ssh_program(target: &SshTarget, end: &str, forwards: &[String]) -> Act<Program> {
    names::host_check(&target.host)?;
    names::program_check(&target.program)?;
    let forwarding: &[&str] = if forwards.is_empty() {
        &["-oClearAllForwardings=yes"]
    } else {
        &["-oExitOnForwardFailure=yes", "-oStreamLocalBindUnlink=yes"]
    };
    Ok(Program::new("ssh")
        .args(SSH_OPTIONS)
        .args(forwarding)
        .args(forwards)
        .args(["-T", "-x", "-a"])
        .args(&target.options)
        .args(["--", &target.host, &target.program, "node", end]))
}

fn frame_failed(error: &FrameError) -> plerion_protocol::ActionError {
    failed(format!("the other end of the transfer was lost: {error}"))
}

/// `node send`: the far end of a transfer that brings something away from here.
pub(crate) fn send_main() -> Act<()> {
    let limits = Limits::new(FAR_TIME_MAX);
    let (mut reader, mut writer) = standard_channel(&limits, STALL_TIME_MAX)?;
    let (request, roots) = request_read(&mut reader)?;
    let result = roots
        .source(&request.path)
        .and_then(|real| path_text(&real).map(Path::new).map(Path::to_path_buf));
    match result {
        Ok(real) => source::source_serve(&real, &mut reader, &mut writer, &limits),
        Err(error) => wire::refusal_write(&mut writer, &error).and(Err(error)),
    }
}

/// `node receive`: the far end of a transfer that brings something here.
pub(crate) fn receive_main() -> Act<()> {
    let limits = Limits::new(FAR_TIME_MAX);
    let (mut reader, mut writer) = standard_channel(&limits, STALL_TIME_MAX)?;
    let (request, roots) = request_read(&mut reader)?;
    match roots.target(&request.path) {
        Ok(destination) => sink::sink_serve(&destination, &roots, &mut reader, &mut writer, &limits),
        Err(error) => wire::refusal_write(&mut writer, &error).and(Err(error)),
    }
}

type FarChannel = (
    BufReader<TimedReader<std::fs::File>>,
    BufWriter<TimedWriter<std::fs::File>>,
);

fn standard_channel(limits: &Limits, stall: Duration) -> Act<FarChannel> {
    let own = |descriptor: std::os::fd::BorrowedFd<'_>| {
        descriptor
            .try_clone_to_owned()
            .map(std::fs::File::from)
            .map_err(|error| failed(format!("standard input and output: {error}")))
    };
    use std::os::fd::AsFd;
    let input = own(std::io::stdin().as_fd())?;
    let output = own(std::io::stdout().as_fd())?;
    Ok((
        BufReader::with_capacity(BUFFER_BYTES, TimedReader::new(input, limits, stall)?),
        BufWriter::with_capacity(BUFFER_BYTES, TimedWriter::new(output, limits, stall)?),
    ))
}

fn request_read(reader: &mut impl Read) -> Act<(EndRequest, Roots)> {
    let request: EndRequest = frame_read(reader)
        .map_err(|error| frame_failed(&error))?
        .ok_or_else(|| failed("no request came on standard input"))?;
    if request.protocol != PROTOCOL_VERSION {
        return Err(refused(
            "the two ends of the transfer are of different versions: push the program again",
        ));
    }
    names::cloud_check(&request.cloud)?;
    // Where an agent of the same cloud keeps its state in the usual place, a leader of the past is refused here too.
    let base = state::base_default()?;
    for role in ["host", "front-end"] {
        let highest = epoch_read(&base.join(&request.cloud).join(role).join("epoch"))?;
        if request.epoch < highest {
            return Err(epoch_refused(request.epoch, highest));
        }
    }
    let roots = Roots::new(&request.roots)?;
    Ok((request, roots))
}

/// Flushes, telling a lost channel as such.
fn flush(writer: &mut impl Write) -> Act<()> {
    writer
        .flush()
        .map_err(|error| failed(format!("the other end of the transfer was lost: {error}")))
}

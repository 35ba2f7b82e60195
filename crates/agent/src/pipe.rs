//! What the SSH channel runs: connects standard input and output to the agent of this host and cloud, and starts the
//! agent when it does not run. The agent outlives the channel.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use plerion_protocol::{frame_read, frame_write};
use rustix::process::{Pid, Signal};

use crate::fault::{Act, IoContext, failed};
use crate::server::{DRAIN_TIME_MAX, Knock, KnockAnswer, LOCK_TIME_MAX, SocketPlace};
use crate::state::{self, Role};

/// Rounds of connecting, each of which may meet an agent that leaves or has just left.
const ROUNDS_MAX: u32 = 4;
/// Patience with an agent that leaves, beyond what it grants itself.
const LEAVE_GRACE: Duration = Duration::from_secs(10);
/// The agent's log is begun anew above this size, in bytes.
const LOG_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Longest message of a starting agent, in bytes.
const READY_BYTES_MAX: u64 = 4096;
/// What a starting agent says when it listens.
pub(crate) const READY: &str = "ready\n";

/// Runs until either side ends the channel.
pub(crate) fn pipe_run(base: &Path, cloud: &str) -> Act<()> {
    let stream = agent_connect(base, cloud)?;
    let input = stream
        .try_clone()
        .map_err(|error| failed(format!("cannot set up the channel: {error}")))?;
    std::thread::spawn(move || {
        let result = bytes_pass(&mut std::io::stdin().lock(), &mut &input);
        if let Err(error) = result {
            tracing::debug!(%error, "standard input has ended");
        }
        // The agent sees the end and closes its side, which ends this process.
        if let Err(error) = input.shutdown(std::net::Shutdown::Write) {
            tracing::debug!(%error, "the agent has gone already");
        }
    });
    bytes_pass(&mut &stream, &mut std::io::stdout().lock())
        .map_err(|error| failed(format!("the channel: {error}")))
}

/// Copies until the end, flushing after every piece: a message must not wait in a buffer.
fn bytes_pass(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                to.write_all(&buffer[..count])?;
                to.flush()?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A connection to an agent that runs this very program.
fn agent_connect(base: &Path, cloud: &str) -> Act<UnixStream> {
    let directory = state::directory_open(base, cloud, Role::Host)?;
    let place = SocketPlace::new(&directory)?;
    // Only one pipe at a time starts or replaces the agent; the others then find it.
    let lock = state::lock_take(
        &directory.join("start.lock"),
        LOCK_TIME_MAX * 2,
        "another channel that is starting up",
    )?;
    let program = state::program_identity()?;
    for _ in 0..ROUNDS_MAX {
        let mut stream = match place.connect() {
            Ok(stream) => stream,
            Err(error) if absent(&error) => {
                daemon_start(base, cloud, &directory)?;
                continue;
            }
            Err(error) => return Err(failed(format!("cannot connect to the agent: {error}"))),
        };
        match knock(&mut stream, &program) {
            Ok(KnockAnswer::Welcome) => {
                drop(lock);
                return Ok(stream);
            }
            Ok(KnockAnswer::Leaving { pid }) => leaving_await(stream, pid)?,
            // It ended between being connected to and answering.
            Err(error) => tracing::info!(%error, "the agent did not answer"),
        }
    }
    Err(failed(format!(
        "the agent could not be reached in {ROUNDS_MAX} rounds; see agent.log in {}",
        directory.display()
    )))
}

fn absent(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
    )
}

fn knock(stream: &mut UnixStream, program: &str) -> Act<KnockAnswer> {
    let lost = |error: &dyn std::fmt::Display| failed(format!("the agent did not answer: {error}"));
    stream
        .set_read_timeout(Some(LOCK_TIME_MAX))
        .map_err(|error| lost(&error))?;
    frame_write(
        stream,
        &Knock {
            program: program.to_owned(),
        },
    )
    .map_err(|error| lost(&error))?;
    let answer = frame_read(stream)
        .map_err(|error| lost(&error))?
        .ok_or_else(|| lost(&"the channel ended"))?;
    stream.set_read_timeout(None).map_err(|error| lost(&error))?;
    Ok(answer)
}

/// Waits for the old agent to end, which closes the connection; kills it when it takes longer than it may.
fn leaving_await(mut stream: UnixStream, pid: i32) -> Act<()> {
    stream
        .set_read_timeout(Some(DRAIN_TIME_MAX + LEAVE_GRACE))
        .map_err(|error| failed(format!("cannot wait for the old agent: {error}")))?;
    match stream.read(&mut [0; 1]) {
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            ) =>
        {
            tracing::warn!(
                pid,
                "the old agent does not end: it is killed, its journal tells what it did"
            );
            let peer = rustix::net::sockopt::socket_peercred(&stream)
                .map_err(|error| failed(format!("cannot find the old agent: {error}")))?;
            // The kernel's word counts, not the peer's.
            if peer.pid.as_raw_pid() == pid
                && let Some(pid) = Pid::from_raw(pid)
            {
                rustix::process::kill_process(pid, Signal::KILL)
                    .map_err(|error| failed(format!("cannot end the old agent: {error}")))?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Starts the daemon and waits until it says that it listens, or why it does not.
fn daemon_start(base: &Path, cloud: &str, directory: &Path) -> Act<()> {
    let log = log_open(&directory.join("agent.log"))?;
    let program =
        std::env::current_exe().map_err(|error| failed(format!("cannot find this program: {error}")))?;
    let (mut reader, writer) =
        std::io::pipe().map_err(|error| failed(format!("cannot make a pipe: {error}")))?;
    let mut child = Command::new(&program)
        .args(["node", "daemon", "--cloud", cloud, "--state-dir"])
        .arg(base)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(log)
        .spawn()
        .map_err(|error| failed(format!("cannot start {}: {error}", program.display())))?;
    let mut text = String::new();
    (&mut reader)
        .take(READY_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| failed(format!("the agent did not say that it started: {error}")))?;
    if text == READY {
        return Ok(());
    }
    let status = child
        .wait()
        .map_err(|error| failed(format!("cannot wait for the agent: {error}")))?;
    let log = directory.join("agent.log");
    Err(failed(format!(
        "the agent did not start ({status}): {}; see {}",
        text.trim(),
        log.display()
    )))
}

fn log_open(path: &Path) -> Act<File> {
    let large = path
        .metadata()
        .is_ok_and(|metadata| metadata.len() > LOG_BYTES_MAX);
    if large {
        std::fs::rename(path, path.with_extension("log.old")).at("cannot rename", path)?;
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .at("cannot open", path)
}

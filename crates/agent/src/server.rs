//! The agent as a process: behind a unix socket on a host, or behind its standard input on the front-end.
//!
//! On the socket the first frame of a connection is a [`Knock`]: who it is and whether it wants to talk or to take
//! over. The directory is open to its owner only, and the peer's user is checked besides.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use plerion_protocol::{frame_read, frame_write};
use rustix::event::{PollFd, PollFlags, Timespec};
use serde::{Deserialize, Serialize};

use crate::agent::Agent;
use crate::fault::{Act, IoContext, failed};
use crate::script::Scripts;
use crate::session::session_serve;
use crate::state::{self, Role};

/// Connections at once; each is one front-end, so more than a few are a fault.
const CONNECTIONS_MAX: usize = 16;
/// Time for running actions to end when another program takes over, and for a front-end's agent to finish.
pub(crate) const DRAIN_TIME_MAX: Duration = Duration::from_secs(30);
/// Time to wait for the agent before this one to let go of the state directory.
pub(crate) const LOCK_TIME_MAX: Duration = Duration::from_secs(45);
/// An agent that nobody has talked to for so long, and that does nothing, ends.
const IDLE_TIME_MAX: Duration = Duration::from_secs(3600);
/// Time for a new connection to say what it wants.
const KNOCK_TIME_MAX: Duration = Duration::from_secs(20);

/// First frame from a pipe to the agent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Knock {
    /// Identity of the caller's program.
    pub(crate) program: String,
}

/// The agent's answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KnockAnswer {
    /// The protocol follows.
    Welcome,
    /// This agent runs another program: it finishes and ends; the connection closes when it has.
    Leaving {
        /// Its process id.
        pid: i32,
    },
}

/// The socket in a state directory.
pub(crate) struct SocketPlace {
    directory: File,
}

impl SocketPlace {
    pub(crate) fn new(directory: &Path) -> Act<Self> {
        Ok(Self {
            directory: File::open(directory).at("cannot open", directory)?,
        })
    }

    /// A short path to the socket, however long the directory's own path is (socket paths end at 107 bytes).
    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/agent.sock", self.directory.as_raw_fd()))
    }

    pub(crate) fn connect(&self) -> std::io::Result<UnixStream> {
        UnixStream::connect(self.path())
    }

    fn listen(&self) -> Act<UnixListener> {
        let path = self.path();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).at("cannot remove", &path);
            }
            _ => {}
        }
        let listener = UnixListener::bind(&path).at("cannot listen on", &path)?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).at("cannot set the mode of", &path)?;
        listener.set_nonblocking(true).at("cannot set up", &path)?;
        Ok(listener)
    }
}

/// Runs the daemon of a host; `ready` is told when it listens.
pub(crate) fn daemon_run(base: &Path, cloud: &str, ready: impl FnOnce() -> Act<()>) -> Act<()> {
    let directory = state::directory_open(base, cloud, Role::Host)?;
    let lock = state::lock_take(
        &directory.join("agent.lock"),
        LOCK_TIME_MAX,
        "another agent of this cloud",
    )?;
    let agent = Agent::open(cloud, Role::Host, &directory, None)?;
    let place = SocketPlace::new(&directory)?;
    let listener = place.listen()?;
    let program = state::program_identity()?;
    ready()?;
    tracing::info!(cloud, "the agent listens");
    connections_accept(&agent, &listener, &program)?;
    // Nobody may connect to an agent that is about to end.
    std::fs::remove_file(place.path()).at("cannot remove", &place.path())?;
    drop(lock);
    Ok(())
}

/// Accepts until the agent has been idle for long.
fn connections_accept(agent: &Arc<Agent>, listener: &UnixListener, program: &str) -> Act<()> {
    let count = Arc::new(AtomicUsize::new(0));
    let idle = Timespec::try_from(IDLE_TIME_MAX).map_err(|_| failed("the idle time is out of range"))?;
    loop {
        let mut descriptors = [PollFd::new(listener, PollFlags::IN)];
        match rustix::event::poll(&mut descriptors, Some(&idle)) {
            Ok(0) if agent.is_idle() && count.load(Ordering::SeqCst) == 0 => return Ok(()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failed(format!("cannot wait for connections: {error}"))),
        }
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => {
                tracing::warn!(%error, "a connection was lost before it was accepted");
                continue;
            }
        };
        if count.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS_MAX {
            tracing::warn!("more than {CONNECTIONS_MAX} connections: one is turned away");
            count.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let (agent, program, count) = (Arc::clone(agent), program.to_owned(), Arc::clone(&count));
        std::thread::spawn(move || {
            if let Err(error) = connection_serve(&agent, stream, &program) {
                tracing::warn!(%error, "a connection failed");
            }
            count.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

fn connection_serve(agent: &Arc<Agent>, mut stream: UnixStream, program: &str) -> Act<()> {
    let setup = |error: std::io::Error| failed(format!("cannot set up a connection: {error}"));
    stream.set_nonblocking(false).map_err(setup)?;
    peer_check(&stream)?;
    stream.set_read_timeout(Some(KNOCK_TIME_MAX)).map_err(setup)?;
    let knock: Knock = frame_read(&mut stream)
        .map_err(|error| failed(format!("a connection said nothing sensible: {error}")))?
        .ok_or_else(|| failed("a connection ended before it said what it wants"))?;
    stream.set_read_timeout(None).map_err(setup)?;
    if knock.program != program {
        hand_over(agent, &mut stream);
    }
    frame_write(&mut stream, &KnockAnswer::Welcome)
        .map_err(|error| failed(format!("cannot answer: {error}")))?;
    let writer = stream.try_clone().map_err(setup)?;
    let closing = stream.try_clone().map_err(setup)?;
    let closer = Box::new(move || {
        if let Err(error) = closing.shutdown(std::net::Shutdown::Both) {
            tracing::debug!(%error, "a connection was closed already");
        }
    });
    session_serve(agent, &mut stream, writer, closer);
    Ok(())
}

/// Another program takes over: finishes what runs, bounded, and ends the process. The journal has the rest.
fn hand_over(agent: &Arc<Agent>, stream: &mut UnixStream) -> ! {
    tracing::info!("another program takes over");
    let pid = i32::try_from(std::process::id()).unwrap_or(0);
    if let Err(error) = frame_write(stream, &KnockAnswer::Leaving { pid }) {
        tracing::warn!(%error, "the successor has gone; it will come back");
    }
    let all = agent.runner.drain(DRAIN_TIME_MAX);
    tracing::info!(all, "the agent ends");
    std::process::exit(0);
}

fn peer_check(stream: &UnixStream) -> Act<()> {
    let peer = rustix::net::sockopt::socket_peercred(stream)
        .map_err(|error| failed(format!("cannot find out who connects: {error}")))?;
    if peer.uid == rustix::process::geteuid() {
        return Ok(());
    }
    Err(failed(format!(
        "user {} is not the one this agent works for",
        peer.uid.as_raw()
    )))
}

/// Runs the front-end's own agent on standard input and output; `remotes` is the directory of the drivers' scripts.
pub(crate) fn stdio_run(base: &Path, cloud: &str, remotes: &Path) -> Act<()> {
    let directory = state::directory_open(base, cloud, Role::FrontEnd)?;
    let lock = state::lock_take(
        &directory.join("agent.lock"),
        LOCK_TIME_MAX,
        "the agent of an earlier front-end",
    )?;
    let scripts = Scripts::open(remotes, &directory)?;
    let agent = Agent::open(cloud, Role::FrontEnd, &directory, Some(scripts))?;
    let closer = Box::new(|| tracing::warn!("a second channel on standard input"));
    session_serve(&agent, &mut std::io::stdin().lock(), std::io::stdout(), closer);
    let all = agent.runner.drain(DRAIN_TIME_MAX);
    tracing::info!(all, "the front-end has gone; the agent ends");
    std::io::stdout()
        .flush()
        .map_err(|error| failed(format!("standard output: {error}")))?;
    drop(lock);
    Ok(())
}

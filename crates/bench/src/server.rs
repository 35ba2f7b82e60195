//! A front-end of its own: `plerion serve` in a directory that is made for it.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use plerion_client::{Client, Settings};

use crate::Result;
use crate::machine::Process;
use crate::options::Options;
use crate::wire::Endpoint;

/// Longest start.
const START_MAX: Duration = Duration::from_secs(120);
/// How often it is looked whether a starting server has ended instead.
const START_LOOK: Duration = Duration::from_millis(250);
/// Bytes of a failed server's log that are shown.
const LOG_SHOWN: usize = 2000;
/// Objects of a page of the client; the pools of the measurements are asked for whole.
const PAGE_SIZE: i32 = 2000;
const CREDENTIALS: &str = "oneadmin:measured-password";

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A directory with configuration and database, and the server that runs over it.
#[derive(Debug)]
pub(crate) struct Server {
    binary: PathBuf,
    directory: PathBuf,
    keep: bool,
    endpoint: Endpoint,
    child: Option<Child>,
}

impl Server {
    /// Makes a directory with an empty configuration and starts a server there. Gives the time from the start of the
    /// process to its first answer.
    pub(crate) fn new(options: &Options) -> Result<(Self, Duration)> {
        Self::with_settings(options, "")
    }

    /// The same with lines for its oned.conf.
    pub(crate) fn with_settings(options: &Options, settings: &str) -> Result<(Self, Duration)> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = options
            .directory
            .join(format!("plerion-bench-{}-{number}", std::process::id()));
        let port = port_free()?;
        std::fs::create_dir_all(directory.join("etc"))
            .and_then(|()| {
                std::fs::write(
                    directory.join("etc/oned.conf"),
                    format!("PORT={port}\n{settings}\n"),
                )
            })
            .and_then(|()| std::fs::write(directory.join("one_auth"), CREDENTIALS))
            .map_err(|error| format!("{}: {error}", directory.display()))?;
        let mut server = Self {
            binary: options.binary.clone(),
            directory,
            keep: options.keep,
            endpoint: Endpoint {
                port,
                session: CREDENTIALS.into(),
            },
            child: None,
        };
        let time = server.start()?;
        Ok((server, time))
    }

    /// Starts it over what is in its directory. Gives the time to its first answer to a call of a user.
    pub(crate) fn start(&mut self) -> Result<Duration> {
        let socket_path = self.directory.join("ready");
        let socket = ready_socket(&socket_path)?;
        let log_path = self.directory.join("server.log");
        let log = File::create(&log_path).map_err(|error| format!("{}: {error}", log_path.display()))?;
        let begun = Instant::now();
        let child = Command::new(&self.binary)
            .arg("serve")
            .env("ONE_LOCATION", &self.directory)
            .env("ONE_AUTH", self.directory.join("one_auth"))
            .env("NOTIFY_SOCKET", &socket_path)
            .env_remove("PLERION_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{}: {error}", self.binary.display()))?;
        self.child = Some(child);
        self.ready_wait(&socket, begun)?;
        self.client()?
            .call(
                "one.vmpool.info",
                &[(-2).into(), 0.into(), (-1).into(), (-1).into(), "".into()],
            )
            .map_err(|error| format!("the first call: {error}"))?;
        Ok(begun.elapsed())
    }

    fn ready_wait(&mut self, socket: &UnixDatagram, begun: Instant) -> Result<()> {
        let mut message = [0; 64];
        while begun.elapsed() < START_MAX {
            match socket.recv(&mut message) {
                Ok(_) => return Ok(()),
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(format!("waiting for the server: {error}")),
            }
            let ended = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().ok().flatten());
            if let Some(status) = ended {
                return Err(format!("the server ended ({status}):\n{}", self.log_tail()));
            }
        }
        Err(format!(
            "the server did not start within {START_MAX:?}:\n{}",
            self.log_tail()
        ))
    }

    /// Asks it to stop and waits for that.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        let ended = rustix::process::kill_process(
            rustix::process::Pid::from_child(&child),
            rustix::process::Signal::TERM,
        )
        .map_err(std::io::Error::from)
        .and_then(|()| child.wait());
        match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("the server ended badly ({status}):\n{}", self.log_tail())),
            Err(error) => Err(format!("stopping the server: {error}")),
        }
    }

    /// Where it listens.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Its directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its process.
    pub(crate) fn process(&self) -> Result<Process> {
        let child = self.child.as_ref().ok_or("the server does not run")?;
        Ok(Process(child.id()))
    }

    /// A client of it.
    pub(crate) fn client(&self) -> Result<Client> {
        let settings = Settings {
            endpoint: format!("http://127.0.0.1:{}/RPC2", self.endpoint.port),
            session: self.endpoint.session.clone(),
            page_size: PAGE_SIZE,
        };
        Client::new(&settings).map_err(|error| error.to_string())
    }

    fn log_tail(&self) -> String {
        let path = self.directory.join("server.log");
        match std::fs::read(&path) {
            Ok(log) => String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_SHOWN)..]).into_owned(),
            Err(error) => format!("{}: {error}", path.display()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("{error}");
        }
        if self.keep {
            eprintln!("left behind: {}", self.directory.display());
        } else if let Err(error) = std::fs::remove_dir_all(&self.directory) {
            eprintln!("{}: {error}", self.directory.display());
        }
    }
}

/// The socket on which the server tells that it is ready.
fn ready_socket(path: &Path) -> Result<UnixDatagram> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let socket = UnixDatagram::bind(path).map_err(failed)?;
    socket.set_read_timeout(Some(START_LOOK)).map_err(failed)?;
    Ok(socket)
}

fn is_timeout(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

/// A port that nobody listens on.
fn port_free() -> Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("no free port: {error}"))
}

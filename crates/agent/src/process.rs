//! Running external programs: by argument vector, in a process group of their own, output bounded and drained, time
//! bounded, no shell.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags};

use crate::fault::{Act, failed};
use crate::limits::{Limits, group_kill};

/// Bytes of each output stream that are kept; the rest is read and thrown away.
const OUTPUT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of an error text that are passed on.
const ERROR_TEXT_BYTES_MAX: usize = 2000;
/// Time for the pipes to run dry after the program has ended.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);
/// How often a program that is open for writing is tried again, and the pause before that.
const BUSY_LOOKS_MAX: u32 = 100;
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// Bytes that may be given to a program on its standard input: they fit into a pipe.
const INPUT_BYTES_MAX: usize = 32 * 1024;

/// A program to run.
pub(crate) struct Program {
    name: String,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    input: Vec<u8>,
    input_file: Option<File>,
    stop_text: Option<&'static str>,
}

/// What a program left behind.
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    /// Trimmed and shortened, for people.
    pub(crate) stderr: String,
    /// All that was kept of it.
    pub(crate) stderr_whole: Vec<u8>,
}

/// What to connect to the standard input and output of a [`Running`] program.
pub(crate) enum Wiring {
    /// Nothing in, output collected by the caller.
    Output,
    /// A file in, output collected by the caller.
    FileIn(File),
    /// Pipes in both directions.
    Both,
}

/// A program that runs; killed with its whole group when dropped.
pub(crate) struct Running {
    child: Child,
    limits: Limits,
    name: String,
    reaped: bool,
}

impl Program {
    /// A program found on the path, or by absolute path.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            input: Vec::new(),
            input_file: None,
            stop_text: None,
        }
    }

    /// Adds an argument.
    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub(crate) fn args<T: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments
            .extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Gives the program a file, from its current position, as its standard input.
    pub(crate) fn input_file(mut self, file: File) -> Self {
        self.input_file = Some(file);
        self
    }

    /// Gives the program a short text on its standard input.
    pub(crate) fn input(mut self, input: Vec<u8>) -> Self {
        self.input = input;
        self
    }

    /// Kills the program as soon as a line of its standard error contains `text`.
    pub(crate) fn stop_text(mut self, text: &'static str) -> Self {
        self.stop_text = Some(text);
        self
    }

    /// Runs the program to its end, whatever its exit status.
    pub(crate) fn run(mut self, limits: &Limits) -> Act<Output> {
        if self.input.len() > INPUT_BYTES_MAX {
            return Err(failed(format!("the input for {} is too long", self.name)));
        }
        let wiring = match self.input_file.take() {
            Some(file) => Wiring::FileIn(file),
            None if self.input.is_empty() => Wiring::Output,
            None => Wiring::Both,
        };
        let (input, stop_text) = (self.input.clone(), self.stop_text);
        let mut running = self.start(wiring, limits)?;
        if let Some(mut stdin) = running.stdin_take() {
            // A program that ends without reading its input says why by its status.
            match stdin.write_all(&input) {
                Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                    return Err(failed(format!("cannot write to {}: {error}", running.name)));
                }
                _ => {}
            }
        }
        let group = running.group();
        let stdout = running.stdout_take().map(|pipe| drain(pipe, None, group));
        let stderr = running.stderr_take().map(|pipe| drain(pipe, stop_text, group));
        let status = running.wait()?;
        let stdout = drained(stdout);
        let stderr_whole = drained(stderr);
        Ok(Output {
            status,
            stdout,
            stderr: error_text(&stderr_whole),
            stderr_whole,
        })
    }

    /// Runs the program; a status other than 0 is a failure with the program's own words.
    pub(crate) fn run_ok(self, limits: &Limits) -> Act<Output> {
        let name = self.name.clone();
        let output = self.run(limits)?;
        if output.status.success() {
            return Ok(output);
        }
        Err(failed(format!(
            "{name} failed ({}): {}",
            output.status, output.stderr
        )))
    }

    /// Starts the program; the caller reads and writes its pipes.
    pub(crate) fn start(self, wiring: Wiring, limits: &Limits) -> Act<Running> {
        limits.remaining()?;
        let mut command = Command::new(&self.name);
        command
            .args(&self.arguments)
            .env("LC_ALL", "C")
            .env("PATH", search_path())
            .envs(self.environment);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        command.stdin(match wiring {
            Wiring::Output => Stdio::null(),
            Wiring::FileIn(file) => Stdio::from(file),
            Wiring::Both => Stdio::piped(),
        });
        let child = spawn(&mut command).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => failed(format!(
                "the program {} is not installed on this host; install it",
                self.name
            )),
            _ => failed(format!("cannot start {}: {error}", self.name)),
        })?;
        let running = Running {
            child,
            limits: limits.clone(),
            name: self.name,
            reaped: false,
        };
        limits.group_add(running.group());
        Ok(running)
    }
}

impl Running {
    /// The process group, which is also the id of its first process.
    pub(crate) fn group(&self) -> i32 {
        i32::try_from(self.child.id()).expect("process ids fit into i32")
    }

    pub(crate) fn stdin_take(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    pub(crate) fn stdout_take(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    pub(crate) fn stderr_take(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Collects the standard error in the background; ask the result with [`error_collected`].
    pub(crate) fn error_collect(&mut self) -> Option<mpsc::Receiver<Vec<u8>>> {
        let group = self.group();
        self.stderr_take().map(|pipe| drain(pipe, None, group))
    }

    /// Waits for the end, which comes by itself, at the deadline or when the action is stopped.
    pub(crate) fn wait(&mut self) -> Act<ExitStatus> {
        while !self.ends_within(self.limits.remaining()?)? {}
        let status = self.reap()?;
        // A program that was killed because the action was stopped reports that, not its signal.
        if !status.success() {
            self.limits.remaining()?;
        }
        Ok(status)
    }

    /// How a program that is about to end did so; none if it has not within `patience`.
    pub(crate) fn wait_at_most(&mut self, patience: Duration) -> Act<Option<ExitStatus>> {
        if self.ends_within(patience)? {
            self.reap().map(Some)
        } else {
            Ok(None)
        }
    }

    /// Whether it has ended, after `patience` at the latest; a signal may cut that short.
    fn ends_within(&self, patience: Duration) -> Act<bool> {
        let pid = Pid::from_child(&self.child);
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())
            .map_err(|error| failed(format!("cannot watch {}: {error}", self.name)))?;
        let timeout = Timespec::try_from(patience).unwrap_or(Timespec {
            tv_sec: 3600,
            tv_nsec: 0,
        });
        let mut descriptors = [PollFd::new(&pidfd, PollFlags::IN)];
        match rustix::event::poll(&mut descriptors, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => Ok(false),
            Ok(_) => Ok(true),
            Err(error) => Err(failed(format!("cannot wait for {}: {error}", self.name))),
        }
    }

    fn reap(&mut self) -> Act<ExitStatus> {
        let group = self.group();
        self.limits.group_remove(group);
        // Children it left behind would hold the pipes open. The number is still ours: the leader is not reaped yet.
        group_kill(group);
        self.reaped = true;
        self.child
            .wait()
            .map_err(|error| failed(format!("cannot wait for {}: {error}", self.name)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.reaped
            && let Err(error) = self.reap()
        {
            tracing::warn!(%error, "a child process could not be reaped");
        }
    }
}

/// Starts a program. One that was written just now may be open for writing still, in a child of another thread that has not
/// become its own program yet: that passes.
fn spawn(command: &mut Command) -> std::io::Result<Child> {
    for _ in 0..BUSY_LOOKS_MAX {
        match command.spawn() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(BUSY_PAUSE);
            }
            ended => return ended,
        }
    }
    command.spawn()
}

/// What [`Running::error_collect`] has collected, shortened for people.
pub(crate) fn error_collected(receiver: Option<mpsc::Receiver<Vec<u8>>>) -> String {
    error_text(&drained(receiver))
}

fn drained(receiver: Option<mpsc::Receiver<Vec<u8>>>) -> Vec<u8> {
    receiver
        .and_then(|receiver| receiver.recv_timeout(DRAIN_TIME_MAX).ok())
        .unwrap_or_default()
}

/// Reads a pipe to its end in a thread of its own, keeping the first part.
fn drain(
    mut pipe: impl Read + Send + 'static,
    stop_text: Option<&'static str>,
    group: i32,
) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let mut buffer = [0; 16 * 1024];
        loop {
            match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    let room = OUTPUT_BYTES_MAX.saturating_sub(kept.len());
                    kept.extend_from_slice(&buffer[..count.min(room)]);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
            if stop_text.is_some_and(|text| contains(&kept, text.as_bytes())) {
                group_kill(group);
            }
        }
        // The receiver may have given up waiting.
        drop(sender.send(kept));
    });
    receiver
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// What a program said, trimmed and shortened, for people.
pub(crate) fn error_text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim();
    match text.char_indices().nth(ERROR_TEXT_BYTES_MAX) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_owned(),
    }
}

/// The search path with the administrator's directories, which a login by SSH often lacks.
pub(crate) fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    path.push(":/usr/local/sbin:/usr/sbin:/sbin");
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use plerion_protocol::ErrorKind;
    use std::time::Instant;

    #[test]
    fn output_beyond_the_bound_is_drained() {
        let limits = Limits::new(Duration::from_secs(20));
        let size = (OUTPUT_BYTES_MAX + 100_000).to_string();
        let output = Program::new("head")
            .args(["-c", &size, "/dev/zero"])
            .run_ok(&limits)
            .expect("runs");
        assert_eq!(output.stdout.len(), OUTPUT_BYTES_MAX);
    }

    #[test]
    fn a_program_that_is_late_is_killed_with_its_children() {
        let limits = Limits::new(Duration::from_millis(200));
        let began = Instant::now();
        let result = Program::new("sh")
            .args(["-c", "sleep 30 & sleep 30"])
            .run(&limits);
        let error = result.err().expect("must not end by itself");
        assert_eq!(error.kind, ErrorKind::Deadline);
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_stopped_action_ends_its_program() {
        let limits = Limits::new(Duration::from_secs(30));
        let handle = limits.cancel_handle();
        let mut running = Program::new("sleep")
            .arg("30")
            .start(Wiring::Output, &limits)
            .expect("starts");
        handle.cancel();
        assert_eq!(running.wait().expect_err("stopped").kind, ErrorKind::Interrupted);
    }

    #[test]
    fn a_missing_program_is_named() {
        let limits = Limits::new(Duration::from_secs(1));
        let error = Program::new("no-such-program")
            .run(&limits)
            .err()
            .expect("missing");
        assert!(error.text.contains("no-such-program"), "{}", error.text);
    }
}

//! Running a program to its end: output and time are bounded, and what it has started ends with it.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// Longest output that is kept, in bytes.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// Time for the output of a program that has ended: what it left behind may hold the pipes.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// How a program ended.
pub(crate) struct Ended {
    /// The first part of its standard output.
    pub(crate) stdout: String,
    /// The first part of its standard error.
    pub(crate) stderr: String,
    /// Its exit status; `None` when it was ended by a signal or took too long.
    pub(crate) code: Option<i32>,
    /// Whether it took too long.
    pub(crate) late: bool,
}

/// Runs a program with an input, or none, for a time at most.
///
/// # Errors
/// When it cannot be started or waited for.
pub(crate) fn child_run(
    command: &mut Command,
    input: Option<String>,
    time: Duration,
) -> std::io::Result<Ended> {
    let child = command
        .stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    end_await(child, input, time)
}

fn end_await(mut child: Child, input: Option<String>, time: Duration) -> std::io::Result<Ended> {
    let group = Pid::from_child(&child);
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    if let (Some(mut stdin), Some(text)) = (child.stdin.take(), input) {
        // A program that does not read its input must not hold this up.
        std::thread::spawn(move || drop(stdin.write_all(text.as_bytes())));
    }
    let (sender, ended) = channel();
    std::thread::spawn(move || drop(sender.send(child.wait())));
    let (status, late) = match ended.recv_timeout(time) {
        Ok(status) => (Some(status?), false),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => (None, true),
    };
    // What it has started goes with it.
    if let Err(error) = kill_process_group(group, Signal::KILL)
        && error != rustix::io::Errno::SRCH
    {
        tracing::debug!(%error, "a program's processes could not be ended");
    }
    let text = |receiver: Receiver<Vec<u8>>| {
        let bytes = receiver.recv_timeout(DRAIN_TIME).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Ok(Ended {
        stdout: text(stdout),
        stderr: text(stderr),
        code: status.and_then(|status| status.code()),
        late,
    })
}

/// Reads a pipe to its end in a thread of its own, keeping the first part.
fn drain(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut pipe) = pipe {
            let mut buffer = [0; 8192];
            while let Ok(count) = pipe.read(&mut buffer) {
                if count == 0 {
                    break;
                }
                let room = OUTPUT_BYTES_MAX.saturating_sub(kept.len()).min(count);
                kept.extend_from_slice(buffer.get(..room).unwrap_or_default());
            }
        }
        // Whoever waited may have given up.
        drop(sender.send(kept));
    });
    receiver
}

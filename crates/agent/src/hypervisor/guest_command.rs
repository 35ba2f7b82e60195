//! Commands in guests, by their agents.
//!
//! What a user gives is data all the way: an argument in JSON here, and in the guest an argument of a fixed script.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plerion_protocol::{ActionError, ActionOutput, CommandEnd, ErrorKind};
use serde_json::{Value, json};

use super::domain::{Hypervisor, output};
use super::guest_agent::{GuestAgent, NoAnswer, pause};
use crate::fault::{Act, failed};
use crate::limits::Limits;
use crate::names;

/// Runs the command in a session of its own, where the guest can make one, so that all of it can be ended.
const RUN: &str =
    "if command -v setsid >/dev/null 2>&1; then exec setsid /bin/sh -c \"$1\"; fi; exec /bin/sh -c \"$1\"";
/// Ends a session, or the process alone; by force what has not ended after two seconds.
const KILL: &str = "kill -TERM -- -\"$1\" 2>/dev/null || kill -TERM \"$1\" 2>/dev/null; n=0; \
                    while kill -0 \"$1\" 2>/dev/null && [ \"$n\" -lt 2 ]; do sleep 1; n=$((n + 1)); done; \
                    kill -KILL -- -\"$1\" 2>/dev/null || kill -KILL \"$1\" 2>/dev/null; exit 0";
/// What the agent of a Windows guest calls it.
const WINDOWS: &str = "mswindows";
/// Bytes of each output that are kept.
const STREAM_BYTES_MAX: usize = 32 * 1024;
/// First and longest pause between two looks at a command.
const LOOK_PAUSE_MIN: Duration = Duration::from_millis(100);
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(3);
/// Time to end a command whose time is over.
const KILL_TIME: Duration = Duration::from_secs(30);
/// Added to the number of a signal, as shells do.
const SIGNAL_STATUS: i64 = 128;

impl Hypervisor {
    fn guest_agent<'a>(&'a self, name: &str, uuid: &'a str) -> Act<GuestAgent<'a>> {
        names::domain_check(name)?;
        names::uuid_check(uuid)?;
        Ok(GuestAgent {
            virsh: self.virsh(),
            uuid,
        })
    }

    /// See [`plerion_protocol::Action::GuestExec`].
    pub(crate) fn guest_exec(
        &self,
        name: &str,
        uuid: &str,
        command: &str,
        stdin: &str,
        limits: &Limits,
    ) -> Act<ActionOutput> {
        let agent = self.guest_agent(name, uuid)?;
        let began = Instant::now();
        let mut arguments = if agent.is_windows(limits)? {
            json!({ "path": "cmd.exe", "arg": ["/c", command] })
        } else {
            json!({ "path": "/bin/sh", "arg": ["-c", RUN, "sh", command] })
        };
        arguments["capture-output"] = Value::Bool(true);
        if !stdin.is_empty() {
            arguments["input-data"] = Value::String(STANDARD.encode(stdin));
        }
        let pid = agent.exec(&arguments, limits)?;
        tracing::info!(name, pid, "a command was started in a guest");
        Ok(ActionOutput {
            guest_pid: Some(pid),
            ..output(None, began)
        })
    }

    /// See [`plerion_protocol::Action::GuestAwait`].
    pub(crate) fn guest_await(&self, name: &str, uuid: &str, pid: i64, limits: &Limits) -> Act<ActionOutput> {
        let agent = self.guest_agent(name, uuid)?;
        let began = Instant::now();
        match agent.end_await(pid, limits) {
            Ok(end) => Ok(ActionOutput {
                guest_end: Some(Box::new(end)),
                ..output(None, began)
            }),
            Err(error) if error.kind == ErrorKind::Deadline => {
                let seconds = began.elapsed().as_secs();
                let killed = agent.kill(pid, &Limits::new(KILL_TIME));
                Err(failed(match killed {
                    Ok(()) => format!(
                        "the command did not end within {seconds} s, and was ended: let it go on in the background (nohup, \
                         systemd-run) if it needs longer"
                    ),
                    Err(error) => format!("the command did not end within {seconds} s: {error}"),
                }))
            }
            Err(error) => Err(error),
        }
    }

    /// See [`plerion_protocol::Action::GuestKill`].
    pub(crate) fn guest_kill(&self, name: &str, uuid: &str, pid: i64, limits: &Limits) -> Act<ActionOutput> {
        let agent = self.guest_agent(name, uuid)?;
        let began = Instant::now();
        agent.kill(pid, limits)?;
        Ok(output(None, began))
    }
}

impl GuestAgent<'_> {
    /// Agents before 2.10 do not say what their system is: those are on other systems.
    fn is_windows(&self, limits: &Limits) -> Act<bool> {
        match self.ask("guest-get-osinfo", &Value::Null, limits) {
            Ok(system) => Ok(system["id"] == WINDOWS),
            Err(NoAnswer::Silent(error)) => Err(error),
            Err(NoAnswer::Refused(error)) if error.text.contains("guest-get-osinfo") => Ok(false),
            Err(NoAnswer::Refused(error)) => Err(error),
        }
    }

    fn exec(&self, arguments: &Value, limits: &Limits) -> Act<i64> {
        let started = self
            .ask("guest-exec", arguments, limits)
            .map_err(NoAnswer::into_error)?;
        let pid = started["pid"].as_i64();
        pid.ok_or_else(|| failed("the guest agent does not say which process it has started"))
    }

    /// Waits until a process has ended. An agent that is silent for a while, as with a guest that restarts, is asked again.
    fn end_await(&self, pid: i64, limits: &Limits) -> Act<CommandEnd> {
        let mut wait = LOOK_PAUSE_MIN;
        loop {
            match self.ask("guest-exec-status", &json!({ "pid": pid }), limits) {
                Ok(status) => {
                    if let Some(end) = end_read(&status) {
                        return Ok(end);
                    }
                }
                Err(NoAnswer::Silent(error)) => tracing::debug!(pid, %error, "a guest is asked again"),
                Err(NoAnswer::Refused(error)) => return Err(lost(error, pid)),
            }
            pause(wait, limits)?;
            wait = LOOK_PAUSE_MAX.min(wait * 2);
        }
    }

    fn kill(&self, pid: i64, limits: &Limits) -> Act<()> {
        let text = pid.to_string();
        let arguments = if self.is_windows(limits)? {
            json!({ "path": "taskkill.exe", "arg": ["/f", "/t", "/pid", text] })
        } else {
            json!({ "path": "/bin/sh", "arg": ["-c", KILL, "sh", text] })
        };
        let killer = self.exec(&arguments, limits)?;
        self.end_await(killer, limits).map(drop)
    }
}

/// How a process ended; `None` while it runs.
fn end_read(status: &Value) -> Option<CommandEnd> {
    if status["exited"] != Value::Bool(true) {
        return None;
    }
    let signal = status["signal"]
        .as_i64()
        .map(|signal| signal.saturating_add(SIGNAL_STATUS));
    Some(CommandEnd {
        status: status["exitcode"].as_i64().or(signal).unwrap_or(-1),
        stdout: stream_cut(status["out-data"].as_str().unwrap_or_default()),
        stderr: stream_cut(status["err-data"].as_str().unwrap_or_default()),
    })
}

/// The beginning of an output, with a word about the rest. What is no base64 comes from an agent that is none; it counts as
/// nothing.
fn stream_cut(text: &str) -> String {
    let bytes = STANDARD.decode(text).unwrap_or_default();
    match bytes.get(..STREAM_BYTES_MAX) {
        Some(begin) if bytes.len() > STREAM_BYTES_MAX => {
            let mut begin = begin.to_vec();
            begin.extend(
                format!(
                    "\n[cut here: {STREAM_BYTES_MAX} of {} bytes are kept]\n",
                    bytes.len()
                )
                .bytes(),
            );
            STANDARD.encode(begin)
        }
        _ => STANDARD.encode(bytes),
    }
}

/// An agent that does not know the process (any more).
fn lost(error: ActionError, pid: i64) -> ActionError {
    if error.text.contains("'pid'") || error.text.contains("PID") {
        return failed(format!(
            "the guest agent knows of no process {pid} of this command: the guest or its agent was restarted, or its output \
             was lost with an answer"
        ));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_read() {
        assert_eq!(end_read(&json!({ "exited": false })), None);
        let end = end_read(&json!({ "exited": true, "exitcode": 3, "out-data": "aGkK" })).expect("ended");
        assert_eq!(
            (end.status, end.stdout.as_str(), end.stderr.as_str()),
            (3, "aGkK", "")
        );
        let killed = end_read(&json!({ "exited": true, "signal": 15 })).expect("ended");
        assert_eq!(killed.status, 143);
    }

    #[test]
    fn long_outputs_are_cut() {
        let kept = STANDARD.encode(vec![b'x'; STREAM_BYTES_MAX]);
        assert_eq!(stream_cut(&kept), kept);
        let cut = stream_cut(&STANDARD.encode(vec![b'x'; STREAM_BYTES_MAX + 1]));
        let cut = STANDARD.decode(cut).expect("base64");
        assert!(cut.ends_with(b"[cut here: 32768 of 32769 bytes are kept]\n"));
        assert_eq!(stream_cut("no base64!"), "");
    }
}

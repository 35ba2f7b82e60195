//! Talking to the agent of a guest (qemu-ga), by libvirt: one JSON object there, one back.

use std::time::Duration;

use plerion_protocol::{ActionError, ErrorKind};
use serde_json::{Value, json};

use super::virsh::{Reply, Virsh};
use crate::fault::{Act, failed, refused};
use crate::limits::Limits;

/// Seconds that the agent of a guest has for one answer.
const ANSWER_S: &str = "10";
/// Longest question, in bytes: the kernel takes no longer argument of a program.
const QUESTION_BYTES_MAX: usize = 120 * 1024;
/// A wait between two questions is cut into pieces, so that it can be ended early.
const PIECE: Duration = Duration::from_millis(200);

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The agent does not answer now; it may later.
    Silent(ActionError),
    /// It, libvirt or this program says no.
    Refused(ActionError),
}

impl NoAnswer {
    pub(super) fn into_error(self) -> ActionError {
        match self {
            Self::Silent(error) | Self::Refused(error) => error,
        }
    }
}

impl From<ActionError> for NoAnswer {
    fn from(error: ActionError) -> Self {
        Self::Refused(error)
    }
}

/// The agent of one guest.
pub(super) struct GuestAgent<'a> {
    pub(super) virsh: &'a Virsh,
    /// UUID of the domain.
    pub(super) uuid: &'a str,
}

impl GuestAgent<'_> {
    /// Asks, and gives what the answer returns.
    pub(super) fn ask(&self, execute: &str, arguments: &Value, limits: &Limits) -> Result<Value, NoAnswer> {
        let question = if arguments.is_null() {
            json!({ "execute": execute })
        } else {
            json!({ "execute": execute, "arguments": arguments })
        };
        let question = question.to_string();
        if question.len() > QUESTION_BYTES_MAX {
            return Err(
                refused("the command and its standard input are too long to be sent to the guest").into(),
            );
        }
        let line = ["qemu-agent-command", self.uuid, "--timeout", ANSWER_S, &question];
        match self.virsh.guest(&line, limits).map_err(judge)? {
            Reply::Done(text) => answer_read(&text).map_err(NoAnswer::from),
            Reply::NoDomain | Reply::NotRunning => Err(failed("the domain does not run on this host").into()),
        }
    }
}

fn answer_read(text: &str) -> Act<Value> {
    let mut answer: Value = serde_json::from_str(text.trim()).map_err(|error| {
        failed(format!(
            "the guest agent gives an answer that is no JSON: {error}"
        ))
    })?;
    match answer.get_mut("return") {
        Some(given) => Ok(given.take()),
        None => Err(failed("the guest agent gives an answer without a result")),
    }
}

/// What libvirt's words about an agent mean, and what to do about it.
fn judge(error: ActionError) -> NoAnswer {
    let text = &error.text;
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if error.kind != ErrorKind::Failed {
        return NoAnswer::Refused(error);
    }
    if has(&["agent is not configured"]) {
        return NoAnswer::Refused(failed(
            "the VM has no channel for a guest agent: set GUEST_AGENT of FEATURES to YES (onevm updateconf), power it off \
             and resume it",
        ));
    }
    if has(&[
        "agent is not responding",
        "agent is not connected",
        "agent not available",
        "agent is not available",
    ]) {
        return NoAnswer::Silent(failed(
            "the guest agent does not answer: install the package qemu-guest-agent in the guest, and see that its service \
             runs",
        ));
    }
    if has(&["has been disabled", "has not been found"]) {
        return NoAnswer::Refused(failed(format!(
            "the guest agent is set up not to do this: take the call off the list of blocked ones in its configuration \
             ({text})"
        )));
    }
    NoAnswer::Refused(error)
}

/// Waits, unless it is told to end or its time is over.
pub(super) fn pause(duration: Duration, limits: &Limits) -> Act<()> {
    let mut left = duration;
    while !left.is_zero() {
        let piece = left.min(PIECE).min(limits.remaining()?);
        std::thread::sleep(piece);
        left = left.saturating_sub(piece);
    }
    limits.remaining().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        assert_eq!(answer_read("{\"return\":{\"pid\":7}}\n"), Ok(json!({"pid": 7})));
        assert_eq!(answer_read("{\"return\":{}}"), Ok(json!({})));
        assert!(answer_read("").is_err());
        assert!(answer_read("{\"error\":{}}").is_err());
    }

    #[test]
    fn words_about_agents_are_understood() {
        let silent = "virsh qemu-agent-command failed: error: Guest agent is not responding: QEMU guest agent is not connected";
        assert!(matches!(judge(failed(silent)), NoAnswer::Silent(error) if error.text.contains("install")));
        let none = "error: argument unsupported: QEMU guest agent is not configured";
        assert!(
            matches!(judge(failed(none)), NoAnswer::Refused(error) if error.text.contains("GUEST_AGENT"))
        );
        let blocked = "error: internal error: unable to execute QEMU agent command 'guest-exec': Command guest-exec has been \
                       disabled: the command is not allowed";
        assert!(matches!(judge(failed(blocked)), NoAnswer::Refused(error) if error.text.contains("blocked")));
        let own = "error: internal error: unable to execute QEMU agent command 'guest-exec-status': Invalid parameter 'pid'";
        assert!(matches!(judge(failed(own)), NoAnswer::Refused(error) if error.text == own));
    }
}

//! Calls of virsh, and what its words mean.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::fault::{Act, failed};
use crate::limits::Limits;
use crate::process::{Output, Program, Running, Wiring};

/// The libvirt of this host.
const URI: &str = "qemu:///system";
/// Calls at once that change domains. libvirt works off about as many itself.
pub(crate) const CALLS_MAX: usize = 8;
/// Calls at once that wait for agents of guests.
const GUEST_CALLS_MAX: usize = 8;
/// Time for a call that only asks.
const ASK_TIME_MAX: Duration = Duration::from_secs(30);

/// What came of a call about one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// It worked; what it printed.
    Done(String),
    /// There is no such domain.
    NoDomain,
    /// The domain is defined but does not run.
    NotRunning,
}

/// The door to virsh.
#[derive(Default)]
pub(crate) struct Virsh {
    changes: Places,
    guests: Places,
}

/// Calls that run at once, of one sort.
#[derive(Default)]
struct Places {
    running: Mutex<usize>,
    freed: Condvar,
}

/// One of the places.
struct Slot<'a>(&'a Places);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.freed.notify_one();
    }
}

impl Places {
    fn take(&self, most: usize, limits: &Limits) -> Act<Slot<'_>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        while *running >= most {
            let left = limits.remaining()?;
            running = self
                .freed
                .wait_timeout(running, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        *running += 1;
        Ok(Slot(self))
    }
}

impl Reply {
    /// What it printed, where it worked.
    pub(crate) fn done(self) -> Option<String> {
        match self {
            Self::Done(text) => Some(text),
            Self::NoDomain | Self::NotRunning => None,
        }
    }
}

impl Virsh {
    /// A call that changes a domain; takes one of the bounded places.
    pub(crate) fn change(&self, arguments: &[&str], limits: &Limits) -> Act<Reply> {
        let _slot = self.changes.take(CALLS_MAX, limits)?;
        reply_of(program(arguments).run(limits)?, arguments)
    }

    /// A call that changes a domain and reads a description from its standard input.
    pub(crate) fn change_with(&self, arguments: &[&str], input: &str, limits: &Limits) -> Act<Reply> {
        let _slot = self.changes.take(CALLS_MAX, limits)?;
        let program = program(arguments).input(input.as_bytes().to_vec());
        reply_of(program.run(limits)?, arguments)
    }

    /// A call that only asks; quick, and so outside of the bound.
    pub(crate) fn ask(&self, arguments: &[&str], limits: &Limits) -> Act<Reply> {
        reply_of(program(arguments).run(&limits.at_most(ASK_TIME_MAX))?, arguments)
    }

    /// A call that waits for the agent of a guest; it takes one of other bounded places, as a guest may be slow to answer.
    pub(crate) fn guest(&self, arguments: &[&str], limits: &Limits) -> Act<Reply> {
        let _slot = self.guests.take(GUEST_CALLS_MAX, limits)?;
        reply_of(program(arguments).run(&limits.at_most(ASK_TIME_MAX))?, arguments)
    }

    /// Starts a call that goes on until it is dropped.
    pub(crate) fn stream(&self, arguments: &[&str], limits: &Limits) -> Act<Running> {
        program(arguments).start(Wiring::Output, limits)
    }
}

fn program(arguments: &[&str]) -> Program {
    Program::new("virsh").args(["-q", "-c", URI]).args(arguments)
}

fn reply_of(output: Output, arguments: &[&str]) -> Act<Reply> {
    if output.status.success() {
        return Ok(Reply::Done(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    let text = &output.stderr;
    if text.contains("failed to get domain") || text.contains("Domain not found") {
        return Ok(Reply::NoDomain);
    }
    if text.contains("domain is not running") {
        return Ok(Reply::NotRunning);
    }
    let advice = if text.contains("failed to connect to the hypervisor")
        || text.contains("Failed to connect socket")
    {
        "; libvirt cannot be reached: check with `systemctl status libvirtd` that it runs, and with `id` that this \
         user is in the group libvirt (log in again after adding it)"
    } else {
        ""
    };
    Err(failed(format!(
        "virsh {} failed: {text}{advice}",
        arguments.first().unwrap_or(&"")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn reply(stderr: &str) -> Act<Reply> {
        let status = std::process::ExitStatus::from_raw(256);
        reply_of(
            Output {
                status,
                stdout: Vec::new(),
                stderr: stderr.to_owned(),
                stderr_whole: Vec::new(),
            },
            &["destroy"],
        )
    }

    #[test]
    fn words_of_virsh_are_understood() {
        assert_eq!(
            reply("error: failed to get domain 'one-7'").expect("a reply"),
            Reply::NoDomain
        );
        let stopped =
            "error: Failed to destroy domain\nerror: Requested operation is not valid: domain is not running";
        assert_eq!(reply(stopped).expect("a reply"), Reply::NotRunning);
        let lost = "error: failed to connect to the hypervisor\nerror: Failed to connect socket to '/x': No such file";
        assert!(reply(lost).expect_err("an error").text.contains("libvirtd"));
        assert!(reply("error: unsupported configuration").is_err());
    }
}

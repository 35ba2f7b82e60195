//! Whether this host is shutting down: what ends then does so for that reason, whoever asked the guest (libvirt-guests asks it
//! as a user would).

use std::time::Duration;

use crate::limits::Limits;
use crate::process::Program;

/// Time for the question.
const ASK_TIME_MAX: Duration = Duration::from_secs(3);

/// Whether systemd is stopping the host. A host without systemd cannot be asked, and is not known to stop.
pub(crate) fn host_stops() -> bool {
    let asked = Program::new("systemctl")
        .arg("is-system-running")
        .run(&Limits::new(ASK_TIME_MAX));
    match asked {
        Ok(output) => is_stopping(&output.stdout),
        Err(error) => {
            tracing::debug!(%error, "cannot ask systemd whether the host is shutting down");
            false
        }
    }
}

fn is_stopping(stdout: &[u8]) -> bool {
    stdout.trim_ascii() == b"stopping"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_systemd() {
        for (text, expect) in [
            ("stopping\n", true),
            ("running\n", false),
            ("degraded\n", false),
            ("offline\n", false),
            ("", false),
        ] {
            assert_eq!(is_stopping(text.as_bytes()), expect, "{text}");
        }
    }
}

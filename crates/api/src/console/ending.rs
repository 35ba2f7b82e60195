//! Why a console ended, in words for its page.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::destination::ConsoleKind;

/// Longest reason of a closing frame, in bytes (RFC 6455, 5.5: 125 less the code).
const REASON_BYTES: usize = 123;
/// What is kept of what the program says on standard error, in bytes.
const WORDS_BYTES: u64 = 4096;
/// What is kept of the end of what a console said, in bytes: a line of virsh.
const TAIL_BYTES: usize = 512;
/// What virsh says before its errors.
const VIRSH_ERROR: &str = "error: ";
/// What it says when somebody has the serial line. Before that it says that it is connected, whether it is or not.
const VIRSH_TAKEN: &str = "Active console session exists";

/// Why a console ended.
#[derive(Debug)]
pub(super) enum End {
    /// The browser closed it or went.
    Browser,
    /// The browser does not do what it should.
    Protocol(&'static str),
    /// It may not be here any more.
    Refused(String),
    /// The screen ended.
    Screen,
}

/// What a console has said: whether anything, and its last bytes.
#[derive(Debug, Default)]
pub(super) struct Said(Vec<u8>);

impl Said {
    /// It says more.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let from = bytes.len().saturating_sub(TAIL_BYTES);
        self.0.extend_from_slice(&bytes[from..]);
        let over = self.0.len().saturating_sub(TAIL_BYTES);
        self.0.drain(..over);
    }

    fn nothing(&self) -> bool {
        self.0.is_empty()
    }

    /// What virsh says at the end of a serial line that it could not open or lost. Its words come on the line itself, as
    /// it needs a terminal.
    fn virsh_error(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.0);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut errors = lines.filter_map(|line| line.strip_prefix(VIRSH_ERROR));
        errors.next_back().map(str::to_owned)
    }
}

/// What is said at the end. `words` is what the program says on standard error, for `patience` at most.
pub(super) async fn farewell(
    kind: ConsoleKind,
    end: End,
    said: &Said,
    words: &mut (impl AsyncRead + Unpin),
    patience: Duration,
) -> (CloseCode, String) {
    let noun = kind.noun();
    match end {
        End::Browser => (CloseCode::Normal, "the browser closed it".into()),
        End::Protocol(why) => (CloseCode::Policy, why.into()),
        End::Refused(why) => (CloseCode::Policy, why),
        End::Screen if said.nothing() => {
            let words = last_words(words, patience).await;
            (
                CloseCode::Error,
                format!("the {noun} cannot be reached on its host: {words}"),
            )
        }
        End::Screen if kind == ConsoleKind::Serial => serial_end(said),
        End::Screen => (
            CloseCode::Normal,
            format!("the {noun} ended: the VM stopped or moved"),
        ),
    }
}

fn serial_end(said: &Said) -> (CloseCode, String) {
    match said.virsh_error() {
        Some(error) if error.contains(VIRSH_TAKEN) => (
            CloseCode::Again,
            "somebody reads this serial line; onevm console ID --web --force takes it from them".into(),
        ),
        Some(error) => (CloseCode::Error, error),
        None => (
            CloseCode::Normal,
            "the serial line ended: the VM stopped or moved, somebody else took it, or Ctrl-] left it".into(),
        ),
    }
}

/// The last of the words of ssh.
async fn last_words(words: &mut (impl AsyncRead + Unpin), patience: Duration) -> String {
    let mut text = String::new();
    // Words that cannot be read are no words.
    let _ = timeout(patience, words.take(WORDS_BYTES).read_to_string(&mut text)).await;
    let last = text.trim().lines().next_back();
    last.unwrap_or("ssh ended without a word").to_owned()
}

/// As much as a closing frame holds.
pub(super) fn reason_cut(reason: &str) -> String {
    reason[..reason.floor_char_boundary(REASON_BYTES)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(reason_cut("short"), "short");
        let long = format!("a{}", "屏".repeat(60));
        let cut = reason_cut(&long);
        assert_eq!(cut.len(), 1 + 40 * "屏".len());
    }

    fn serial(parts: &[&[u8]]) -> (CloseCode, String) {
        let mut said = Said::default();
        for part in parts {
            said.take(part);
        }
        serial_end(&said)
    }

    #[test]
    fn the_end_of_a_serial_line_is_told_by_virsh() {
        let taken = serial(&[
            b"error: operation failed: Active console ",
            b"session exists for this domain\r\n\r\n",
        ]);
        assert_eq!(taken.0, CloseCode::Again);
        assert!(taken.1.contains("--force"));
        let (code, reason) = serial(&[b"guest\r\n", b"error: failed to get domain 'one-7'\r\n"]);
        assert_eq!(
            (code, reason.as_str()),
            (CloseCode::Error, "failed to get domain 'one-7'")
        );
        assert_eq!(
            serial(&[&[b'x'; 3 * TAIL_BYTES], b"login: "]).0,
            CloseCode::Normal
        );
    }

    #[test]
    fn every_reason_fits_in_its_frame() {
        for part in ["error: Active console session exists", "x"] {
            let (_, reason) = serial(&[part.as_bytes()]);
            assert_eq!(reason_cut(&reason), reason);
        }
    }
}

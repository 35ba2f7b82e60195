//! What a driver's script says: its standard output when it worked, its standard error when it did not.

use std::path::Path;
use std::process::ExitStatus;

use plerion_protocol::{ActionOutput, DatastoreSample, DiskFormat, ScriptReply};

use crate::fault::{Act, failed};
use crate::process::error_text;

/// Begin and end of the part of standard error that is meant for people.
const MESSAGE_BEGIN: &str = "ERROR MESSAGE --8<------";
const MESSAGE_END: &str = "ERROR MESSAGE ------>8--";
/// Lines of standard error that begin so are for the log.
const LEVELS: [&str; 4] = ["ERROR", "WARN", "INFO", "DEBUG"];
/// Log lines of one script that are passed on.
const LOG_LINES_MAX: usize = 200;
/// Standard output that is shown in an error, in bytes.
const SHOWN_BYTES_MAX: usize = 200;
/// Longest SOURCE, in bytes.
const SOURCE_BYTES_MAX: usize = 4096;

/// Level and text of a line for the log.
fn log_line(line: &str) -> Option<(&'static str, &str)> {
    LEVELS.into_iter().find_map(|level| {
        let rest = line.strip_prefix(level)?;
        // An id may come between the level and the colon.
        let (id, text) = rest.split_once(':')?;
        let is_id = id.trim().bytes().all(|byte| byte.is_ascii_digit());
        is_id.then(|| (level, text.trim()))
    })
}

/// Passes the log lines of a script to the agent's log.
pub(super) fn log_lines_pass(script: &Path, stderr: &[u8]) {
    let text = String::from_utf8_lossy(stderr);
    for (level, line) in text.lines().filter_map(log_line).take(LOG_LINES_MAX) {
        let script = script.display();
        match level {
            "ERROR" => tracing::error!(%script, "{line}"),
            "WARN" => tracing::warn!(%script, "{line}"),
            "INFO" => tracing::info!(%script, "{line}"),
            _ => tracing::debug!(%script, "{line}"),
        }
    }
}

/// Why a script failed, for people: what it marked as its message, else what is not for the log, else that.
pub(super) fn failure_text(script: &Path, status: ExitStatus, stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines = |keep: &dyn Fn(&str) -> bool| -> String {
        let kept: Vec<&str> = text
            .lines()
            .filter(|line| !line.contains(MESSAGE_BEGIN) && !line.contains(MESSAGE_END) && keep(line))
            .collect();
        kept.join("\n")
    };
    let found = [
        marked(&text),
        lines(&|line| log_line(line).is_none()),
        lines(&|_| true),
    ]
    .into_iter()
    .find(|found| !found.trim().is_empty());
    match found {
        Some(found) => format!(
            "{} failed ({status}): {}",
            script.display(),
            error_text(found.as_bytes())
        ),
        None => format!("{} failed ({status}) without a word", script.display()),
    }
}

/// The parts between the marks.
fn marked(text: &str) -> String {
    let mut kept = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.contains(MESSAGE_BEGIN) {
            inside = true;
        } else if line.contains(MESSAGE_END) {
            inside = false;
        } else if inside {
            kept.push(line);
        }
    }
    kept.join("\n")
}

/// Reads what a script that worked has printed.
pub(super) fn output_read(script: &Path, reply: ScriptReply, stdout: &[u8]) -> Act<ActionOutput> {
    let text = String::from_utf8_lossy(stdout);
    let wrong = |wanted: &str| {
        let shown: String = text.trim().chars().take(SHOWN_BYTES_MAX).collect();
        failed(format!(
            "{} exited with 0 and printed {shown:?} instead of {wanted}",
            script.display()
        ))
    };
    let mut output = ActionOutput::default();
    match reply {
        ScriptReply::Nothing => {}
        ScriptReply::Source => {
            let mut words = text.split_whitespace();
            let source = words
                .next()
                .filter(|source| source.len() <= SOURCE_BYTES_MAX)
                .ok_or_else(|| wrong("SOURCE FORMAT"))?;
            output.source = Some(source.to_owned());
            output.format_name = words.next().map(str::to_owned);
            output.format = match output.format_name.as_deref() {
                Some("raw") => Some(DiskFormat::Raw),
                Some("qcow2") => Some(DiskFormat::Qcow2),
                _ => None,
            };
        }
        ScriptReply::Size => {
            let size = text.split_whitespace().next().and_then(|word| word.parse().ok());
            output.size_mib = Some(size.ok_or_else(|| wrong("a size in MiB"))?);
        }
        ScriptReply::Space => {
            output.space = space_read(&text).ok_or_else(|| wrong("USED_MB, FREE_MB and TOTAL_MB"))?
        }
    }
    Ok(output)
}

/// `Some(None)` for the answer that the space is measured in another way.
fn space_read(text: &str) -> Option<Option<DatastoreSample>> {
    if matches!(text.trim(), "-" | "") {
        return Some(None);
    }
    let of = |name: &str| -> Option<u64> {
        text.split_whitespace().find_map(|word| {
            let value = word.strip_prefix(name)?.strip_prefix('=')?;
            value.trim_matches('"').parse().ok()
        })
    };
    Some(Some(DatastoreSample {
        id: -1,
        total_mib: of("TOTAL_MB")?,
        used_mib: of("USED_MB")?,
        free_mib: of("FREE_MB")?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn failure(stderr: &str) -> String {
        failure_text(
            Path::new("/r/tm/x/clone"),
            ExitStatus::from_raw(256),
            stderr.as_bytes(),
        )
    }

    #[test]
    fn the_message_is_what_is_not_for_the_log() {
        let marked = failure(
            "ERROR: clone: Command \"cp\" failed\n+ set -x noise\nERROR MESSAGE --8<------\nno space\nleft\n\
             ERROR MESSAGE ------>8--\nINFO: later\n",
        );
        assert_eq!(marked, "/r/tm/x/clone failed (exit status: 1): no space\nleft");
        let plain = failure("INFO: copying\nERROR 7: it broke\nno such volume\n");
        assert_eq!(plain, "/r/tm/x/clone failed (exit status: 1): no such volume");
        let logs = failure("ERROR: it broke\n");
        assert_eq!(logs, "/r/tm/x/clone failed (exit status: 1): ERROR: it broke");
        assert!(failure("").ends_with("without a word"));
    }

    #[test]
    fn a_late_message_survives_long_noise_before_it() {
        let noise = "+ trace of the shell\n".repeat(10_000);
        let text = failure(&format!(
            "{noise}ERROR MESSAGE --8<------\nthe reason\nERROR MESSAGE ------>8--\n"
        ));
        assert!(text.ends_with(": the reason"), "{text:.200}");
    }

    #[test]
    fn levels_are_words_of_their_own() {
        assert_eq!(log_line("WARN 12: slow"), Some(("WARN", "slow")));
        assert_eq!(log_line("ERROR: x"), Some(("ERROR", "x")));
        for text in ["ERRORS: x", "ERROR in line 3: x", "Error: x", "ERROR"] {
            assert_eq!(log_line(text), None, "{text}");
        }
    }

    #[test]
    fn answers_are_read() {
        let read = |reply, text: &str| output_read(Path::new("/r/s"), reply, text.as_bytes());
        let image = read(ScriptReply::Source, "pool/one-3 rbd\n").expect("read");
        assert_eq!(image.source.as_deref(), Some("pool/one-3"));
        assert_eq!(image.format_name.as_deref(), Some("rbd"));
        assert_eq!(image.format, None);
        let only = read(ScriptReply::Source, "/ds/1/abc").expect("read");
        assert_eq!(
            (only.source.as_deref(), only.format_name),
            (Some("/ds/1/abc"), None)
        );
        assert!(read(ScriptReply::Source, " \n").is_err());
        assert_eq!(
            read(ScriptReply::Size, "2048\n").expect("read").size_mib,
            Some(2048)
        );
        assert!(read(ScriptReply::Size, "-1").is_err());
        assert!(
            read(ScriptReply::Size, "2 GiB of it")
                .expect("the first word")
                .size_mib
                == Some(2)
        );
        let space = read(ScriptReply::Space, "USED_MB=1\nTOTAL_MB=\"3\"\nFREE_MB=2\n").expect("read");
        let space = space.space.expect("measured");
        assert_eq!((space.used_mib, space.free_mib, space.total_mib), (1, 2, 3));
        assert_eq!(read(ScriptReply::Space, "-\n").expect("read").space, None);
        assert!(read(ScriptReply::Space, "USED_MB=1").is_err());
    }
}

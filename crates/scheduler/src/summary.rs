//! The summary of a refusal: one line for SCHED_MESSAGE. It carries no time, so that it stays as it is for as long as
//! the reasons do.

use crate::reason::Reason;
use crate::verdict::HostVerdict;

/// How each summary begins. (Recorded.)
const HEAD: &str = "Cannot dispatch VM: ";

/// A summary that tells one thing.
pub(crate) fn summary_plain(text: &str, bytes_max: usize) -> String {
    shorten(format!("{HEAD}{text}"), bytes_max)
}

/// A summary of hosts: those named with their reasons, equal reasons together, and the number of the others by reason.
pub(crate) fn summary_hosts(
    furthest: Reason,
    named: &[HostVerdict],
    names: &[&str],
    others: &[(Reason, usize)],
    bytes_max: usize,
) -> String {
    let mut groups: Vec<(&str, Vec<String>)> = Vec::new();
    for (verdict, name) in named.iter().zip(names) {
        let host = format!("{} ({name})", verdict.host);
        match groups.iter_mut().find(|(reason, _)| *reason == verdict.reason) {
            Some((_, hosts)) => hosts.push(host),
            None => groups.push((&verdict.reason, vec![host])),
        }
    }
    let mut parts: Vec<String> = groups
        .into_iter()
        .map(|(reason, hosts)| {
            let word = if hosts.len() > 1 { "hosts" } else { "host" };
            format!("{word} {}: {reason}", hosts.join(", "))
        })
        .collect();
    let count: usize = others.iter().map(|(_, count)| count).sum();
    if count > 0 {
        let counts: Vec<String> = others
            .iter()
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        let word = if count > 1 { "hosts" } else { "host" };
        parts.push(format!("{count} more {word}: {}", counts.join(", ")));
    }
    summary_plain(
        &format!("{}: {}", furthest.headline(), parts.join("; ")),
        bytes_max,
    )
}

/// Cuts a text to a number of bytes, on a character.
fn shorten(mut text: String, bytes_max: usize) -> String {
    const MORE: char = '…';
    if text.len() <= bytes_max {
        return text;
    }
    let mut end = bytes_max.saturating_sub(MORE.len_utf8());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.truncate(end);
    text.push(MORE);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(host: i32, reason: &str) -> HostVerdict {
        HostVerdict {
            host,
            code: Reason::Memory,
            reason: reason.into(),
        }
    }

    #[test]
    fn equal_reasons_stand_together() {
        let named = [
            verdict(0, "is disabled"),
            verdict(1, "is offline"),
            verdict(4, "is disabled"),
        ];
        let text = summary_hosts(
            Reason::HostState,
            &named,
            &["a", "b", "c"],
            &[(Reason::Cpu, 1), (Reason::Memory, 30)],
            1000,
        );
        assert_eq!(
            text,
            "Cannot dispatch VM: No host is enabled and monitored: hosts 0 (a), 4 (c): is disabled; \
             host 1 (b): is offline; 31 more hosts: 1 not enough CPU, 30 not enough memory"
        );
    }

    #[test]
    fn summaries_are_cut_on_a_character() {
        for bytes in 24..60 {
            let text = summary_plain(&"ü".repeat(50), bytes);
            assert!(text.len() <= bytes && text.ends_with('…'), "{bytes}: {text}");
        }
        assert_eq!(summary_plain("ü", 22), "Cannot dispatch VM: ü");
    }
}

//! What `onevm show` says of a guest by its agent: what it is, and the command that was run in it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use roxmltree::Node;

use crate::layout::Fields;
use crate::xml;

/// Width of the names of fields.
const LABEL_WIDTH: usize = 20;

/// What the guest says of itself; nothing where its agent has not answered.
pub fn information(vm: Node<'_, '_>) -> String {
    let shown = [
        ("HOSTNAME", "GUEST_HOSTNAME"),
        ("OS", "GUEST_OS"),
        ("ADDRESSES", "GUEST_IP_ADDRESSES"),
    ];
    let mut fields = Fields::bare(LABEL_WIDTH);
    fields.add_head("GUEST INFORMATION");
    let mut known = false;
    for (label, name) in shown {
        let text = xml::text(vm, &format!("MONITORING/{name}"));
        if !text.is_empty() {
            known = true;
            fields.add(label, printable(&text));
        }
    }
    if known { fields.into_text() } else { String::new() }
}

/// The last command, and what came of it; nothing where there was none.
pub fn command(vm: Node<'_, '_>) -> String {
    let Some(said) = xml::at(vm, "TEMPLATE/QEMU_GA_EXEC") else {
        return String::new();
    };
    let mut fields = Fields::bare(LABEL_WIDTH);
    fields
        .add_head("COMMAND IN THE GUEST")
        .add("COMMAND", printable(&xml::text(said, "COMMAND")))
        .add_text("STATUS", said, "STATUS");
    if xml::child(said, "RETURN_CODE").is_some() {
        fields.add_text("RETURN CODE", said, "RETURN_CODE");
    }
    for name in ["STDOUT", "STDERR"] {
        let text = output(&xml::text(said, name));
        if !text.is_empty() {
            fields
                .add_line(&format!("{name}:"))
                .add_line(text.trim_end_matches('\n'));
        }
    }
    fields.into_text()
}

/// An output for people; what is no base64 is shown as it is.
fn output(text: &str) -> String {
    let bytes = STANDARD.decode(text).unwrap_or_else(|_| text.as_bytes().to_vec());
    printable(&String::from_utf8_lossy(&bytes))
}

/// A guest may not move the cursor of whoever looks at it, nor change the colours of his terminal.
fn printable(text: &str) -> String {
    let shown = |letter: char| !letter.is_control() || letter == '\n' || letter == '\t';
    text.chars()
        .map(|letter| {
            if shown(letter) {
                letter
            } else {
                char::REPLACEMENT_CHARACTER
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(said: &str) -> String {
        let document = format!("<VM><TEMPLATE>{said}</TEMPLATE></VM>");
        let document = roxmltree::Document::parse(&document).expect("XML");
        command(document.root_element())
    }

    #[test]
    fn a_command_and_its_outputs_are_shown() {
        assert_eq!(shown(""), "");
        let text = shown(
            "<QEMU_GA_EXEC><COMMAND>ls /x</COMMAND><STATUS>DONE</STATUS><RETURN_CODE>2</RETURN_CODE>\
             <STDOUT>YQpiCg==</STDOUT><STDERR>G1tIZXZpbAo=</STDERR></QEMU_GA_EXEC>",
        );
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "COMMAND IN THE GUEST",
                "COMMAND             : ls /x",
                "STATUS              : DONE",
                "RETURN CODE         : 2",
                "STDOUT:",
                "a",
                "b",
                "STDERR:",
                "\u{fffd}[Hevil",
            ]
        );
    }

    #[test]
    fn a_guest_that_tells_of_itself_is_shown() {
        let shown = |said: &str| {
            let document = format!("<VM><MONITORING>{said}</MONITORING></VM>");
            let document = roxmltree::Document::parse(&document).expect("XML");
            information(document.root_element())
        };
        assert_eq!(shown("<CPU>1</CPU>"), "");
        let text = shown(
            "<GUEST_HOSTNAME>web</GUEST_HOSTNAME><GUEST_IP_ADDRESSES>192.0.2.7,::7</GUEST_IP_ADDRESSES>",
        );
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "GUEST INFORMATION",
                "HOSTNAME            : web",
                "ADDRESSES           : 192.0.2.7,::7"
            ]
        );
    }

    #[test]
    fn one_that_runs_has_no_result() {
        let text = shown("<QEMU_GA_EXEC><COMMAND>ls</COMMAND><STATUS>EXECUTING</STATUS></QEMU_GA_EXEC>");
        assert!(text.contains("EXECUTING") && !text.contains("RETURN"), "{text}");
    }
}

//! Escaping of text for the body of an answer.

/// What stands for a character that XML cannot carry: one such character in one object must not make a whole pool
/// unreadable for every client.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// Appends `text` so that an XML parser reads the same text back. A carriage return becomes a reference (a parser
/// would turn it into a line feed); characters that XML does not allow become U+FFFD.
pub fn escape_into(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    out.reserve(rest.len());
    while let Some(at) = rest.iter().position(|&byte| special(byte)) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let (written, used) = replacement(tail);
        out.extend_from_slice(written);
        rest = tail.get(used..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// Whether the byte has to be looked at; 0xef begins U+FFFE and U+FFFF, among many harmless characters.
fn special(byte: u8) -> bool {
    SPECIAL.get(usize::from(byte)).copied().unwrap_or(false)
}

static SPECIAL: [bool; 256] = special_table();

const fn special_table() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = !matches!(byte as u8, b'\t' | b'\n');
        byte += 1;
    }
    table[b'<' as usize] = true;
    table[b'>' as usize] = true;
    table[b'&' as usize] = true;
    table[0xef] = true;
    table
}

/// What to write for the character that `tail` begins with, and how many bytes that character has.
fn replacement(tail: &[u8]) -> (&[u8], usize) {
    match tail {
        [b'<', ..] => (b"&lt;", 1),
        [b'>', ..] => (b"&gt;", 1),
        [b'&', ..] => (b"&amp;", 1),
        [b'\r', ..] => (b"&#x0d;", 1),
        [0xef, 0xbf, 0xbe | 0xbf, ..] => (REPLACEMENT, 3),
        [0xef, ..] => (tail.get(..3).unwrap_or(tail), 3),
        _ => (REPLACEMENT, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::escape_into;

    #[test]
    fn text_by_text() {
        for (text, escaped) in [
            ("", ""),
            ("plain", "plain"),
            ("<a b=\"c\">&'</a>", "&lt;a b=\"c\"&gt;&amp;'&lt;/a&gt;"),
            ("a\r\nb\tc", "a&#x0d;\nb\tc"),
            ("a\0b\u{1b}", "a\u{fffd}b\u{fffd}"),
            (
                "\u{ffff}\u{fffe}\u{fffd}\u{ff08}中文<",
                "\u{fffd}\u{fffd}\u{fffd}\u{ff08}中文&lt;",
            ),
        ] {
            let mut out = Vec::new();
            escape_into(text, &mut out);
            assert_eq!(String::from_utf8(out).expect("UTF-8"), escaped);
        }
    }
}

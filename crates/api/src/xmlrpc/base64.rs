//! Base64 as XML-RPC clients send it: broken into lines, with or without padding.

/// The bytes of a base64 text. White space anywhere is skipped; `None` for any other foreign character, data after
/// the padding, or a last group of one character.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut group, mut held, mut padding) = (0u32, 0u8, 0u8);
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        if byte == b'=' {
            padding += 1;
            if padding > 2 {
                return None;
            }
            continue;
        }
        if padding > 0 {
            return None;
        }
        group = group << 6 | u32::from(digit(byte)?);
        held += 1;
        if held == 4 {
            let [_, a, b, c] = group.to_be_bytes();
            out.extend_from_slice(&[a, b, c]);
            (group, held) = (0, 0);
        }
    }
    match held {
        0 => {}
        2 => out.extend_from_slice(&[(group >> 4) as u8]),
        3 => out.extend_from_slice(&[(group >> 10) as u8, (group >> 2) as u8]),
        _ => return None,
    }
    Some(out)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn texts_of_every_length() {
        for (text, bytes) in [
            ("", Some(&b""[..])),
            ("Zg==", Some(b"f")),
            ("Zm8=", Some(b"fo")),
            ("Zm9v", Some(b"foo")),
            ("Zm9vYg==", Some(b"foob")),
            ("Zm9vYg", Some(b"foob")),
            ("\n Zm9v\r\n\tYmFy \n", Some(b"foobar")),
            ("+/8=", Some(&[0xfb, 0xff])),
            ("Z", None),
            ("Zg===", None),
            ("Zg==Zg==", None),
            ("Zm9-", None),
            ("Zmé=", None),
        ] {
            assert_eq!(decode(text).as_deref(), bytes, "{text:?}");
        }
    }
}

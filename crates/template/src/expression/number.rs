//! Numbers read from the start of a text: `3.5` read as an integer is 3, `12abc` is 12.

/// The integer at the start of `text`, behind white space. One too large becomes the largest there is.
pub(super) fn integer(text: &str) -> Option<i64> {
    let text = text.trim_ascii_start();
    let digits_start = usize::from(text.starts_with(['+', '-']));
    let length = digits(text, digits_start);
    if length == 0 {
        return None;
    }
    let number = text.get(..digits_start.saturating_add(length))?;
    let limit = if number.starts_with('-') {
        i64::MIN
    } else {
        i64::MAX
    };
    Some(number.parse().unwrap_or(limit))
}

/// The decimal number at the start of `text`, behind white space: digits, a fraction, an exponent.
pub(super) fn float(text: &str) -> Option<f32> {
    let text = text.trim_ascii_start();
    let bytes = text.as_bytes();
    let mut at = usize::from(text.starts_with(['+', '-']));
    let mut mantissa = digits(text, at);
    at = at.saturating_add(mantissa);
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits(text, at.saturating_add(1));
        mantissa = mantissa.saturating_add(fraction);
        at = at.saturating_add(1).saturating_add(fraction);
    }
    if mantissa == 0 {
        return None;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at.saturating_add(1)), Some(b'+' | b'-')));
        let exponent_start = at.saturating_add(1).saturating_add(sign);
        let exponent = digits(text, exponent_start);
        if exponent > 0 {
            at = exponent_start.saturating_add(exponent);
        }
    }
    text.get(..at)?.parse().ok()
}

fn digits(text: &str, from: usize) -> usize {
    text.bytes().skip(from).take_while(u8::is_ascii_digit).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_from_the_start() {
        for (text, expected) in [
            ("12", Some(12)),
            (" \t12abc", Some(12)),
            ("3.5", Some(3)),
            ("-7 x", Some(-7)),
            ("+7", Some(7)),
            ("99999999999999999999", Some(i64::MAX)),
            ("-99999999999999999999", Some(i64::MIN)),
            ("", None),
            ("abc", None),
            ("-", None),
            (".5", None),
        ] {
            assert_eq!(integer(text), expected, "{text:?}");
        }
    }

    #[test]
    fn floats_are_read_from_the_start() {
        for (text, expected) in [
            ("12", Some(12.0)),
            (" 3.5GB", Some(3.5)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("-2e3", Some(-2000.0)),
            ("2e", Some(2.0)),
            ("2e+x", Some(2.0)),
            (".", None),
            ("inf", None),
            ("nan", None),
            ("", None),
        ] {
            assert_eq!(float(text), expected, "{text:?}");
        }
    }
}

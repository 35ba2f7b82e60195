//! Which characters the forms of a template can carry: attribute names, XML characters, white space, quotes.

use std::borrow::Cow;

/// Whether `name` can name an attribute or a pair: `[A-Za-z_][A-Za-z0-9_]*`.
///
/// The native syntax of the reference also takes names that begin with a digit, but no XML parser reads an element
/// of such a name, so objects that carry one are lost to every client. They are refused here when they come in.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(is_name_byte)
}

/// Whether a byte can be part of a name (at its start a digit cannot).
pub(crate) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The name as templates hold it: upper case, and an element name of XML whatever the program passed in.
///
/// Parsers refuse other names; this is the last line for names that a program puts together. Each byte that cannot
/// be part of a name becomes `_`, and `_` is put before a digit at the start.
pub(crate) fn name_normalize(name: &str) -> Cow<'_, str> {
    if is_name(name) {
        if name.bytes().any(|byte| byte.is_ascii_lowercase()) {
            return Cow::Owned(name.to_ascii_uppercase());
        }
        return Cow::Borrowed(name);
    }
    let mut normal = String::new();
    if name.bytes().next().is_none_or(|first| first.is_ascii_digit()) {
        normal.push('_');
    }
    normal.extend(name.bytes().map(|byte| match byte {
        byte if is_name_byte(byte) => char::from(byte.to_ascii_uppercase()),
        _ => '_',
    }));
    Cow::Owned(normal)
}

/// Whether XML 1.0 can carry the character.
pub(crate) fn is_xml_char(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        other => other >= ' ',
    }
}

/// What a value loses at both ends after a parse.
pub(crate) fn trim(value: &str) -> &str {
    value.trim_matches(|character: char| character.is_ascii_whitespace() || character == '\u{b}')
}

/// Quotes that word processors and input methods put in place of `"`.
pub(crate) fn is_typographic_quote(character: char) -> bool {
    matches!(character, '“' | '”' | '„' | '‟' | '‘' | '’' | '‚' | '‛' | '＂')
}

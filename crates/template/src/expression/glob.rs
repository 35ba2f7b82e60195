//! Shell patterns as `fnmatch` without flags takes them: `*`, `?`, `[a-z]`, `[!a]`, `[[:digit:]]`, `\` before a
//! character that is meant as it is. `*` and `?` match a `/` and a leading `.` too.

use std::iter::Peekable;
use std::str::Chars;

/// A pattern, ready to be matched.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Pattern {
    /// No character of the pattern is special.
    Plain(Box<str>),
    Glob(Box<[Piece]>),
    /// Ends in a lone backslash: nothing matches.
    Never,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Character(char),
    /// `?`.
    One,
    /// `*`.
    Many,
    /// `[…]`.
    Set {
        negated: bool,
        members: Box<[Member]>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Member {
    Range(char, char),
    Class(Class),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Class {
    Alpha,
    Digit,
    Alnum,
    Upper,
    Lower,
    Space,
    Blank,
    Punct,
    Print,
    Graph,
    Cntrl,
    Xdigit,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        if !text.contains(['*', '?', '[', '\\']) {
            return Self::Plain(text.into());
        }
        let mut pieces = Vec::new();
        let mut rest = text.chars().peekable();
        while let Some(character) = rest.next() {
            let piece = match character {
                '*' if pieces.last() == Some(&Piece::Many) => continue,
                '*' => Piece::Many,
                '?' => Piece::One,
                '\\' => match rest.next() {
                    Some(escaped) => Piece::Character(escaped),
                    None => return Self::Never,
                },
                '[' => set(&mut rest).unwrap_or(Piece::Character('[')),
                other => Piece::Character(other),
            };
            pieces.push(piece);
        }
        Self::Glob(pieces.into())
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Plain(plain) => **plain == *text,
            Self::Glob(pieces) => glob_matches(pieces, text),
            Self::Never => false,
        }
    }
}

/// Goes back to the last `*` only: an earlier one can never match more. So at most pieces times characters steps.
fn glob_matches(pieces: &[Piece], text: &str) -> bool {
    let (mut pieces, mut rest) = (pieces, text.chars());
    let mut last_many: Option<(&[Piece], Chars<'_>)> = None;
    loop {
        let mut next = rest.clone();
        match (pieces.split_first(), next.next()) {
            (Some((Piece::Many, behind)), _) => {
                last_many = Some((behind, rest.clone()));
                pieces = behind;
                continue;
            }
            (Some((piece, behind)), Some(character)) if piece.matches(character) => {
                pieces = behind;
                rest = next;
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        let Some((behind, from)) = &mut last_many else {
            return false;
        };
        if from.next().is_none() {
            return false;
        }
        pieces = behind;
        rest = from.clone();
    }
}

impl Piece {
    fn matches(&self, character: char) -> bool {
        match self {
            Self::Character(own) => *own == character,
            Self::One => true,
            Self::Many => false,
            Self::Set { negated, members } => {
                members.iter().any(|member| member.contains(character)) != *negated
            }
        }
    }
}

impl Member {
    fn contains(&self, character: char) -> bool {
        match self {
            Self::Range(first, last) => (*first..=*last).contains(&character),
            Self::Class(class) => class.contains(character),
        }
    }
}

impl Class {
    fn contains(self, character: char) -> bool {
        match self {
            Self::Alpha => character.is_alphabetic(),
            Self::Digit => character.is_ascii_digit(),
            Self::Alnum => character.is_alphanumeric(),
            Self::Upper => character.is_uppercase(),
            Self::Lower => character.is_lowercase(),
            Self::Space => character.is_whitespace(),
            Self::Blank => character == ' ' || character == '\t',
            Self::Punct => character.is_ascii_punctuation(),
            Self::Print => !character.is_control(),
            Self::Graph => !character.is_control() && !character.is_whitespace(),
            Self::Cntrl => character.is_control(),
            Self::Xdigit => character.is_ascii_hexdigit(),
        }
    }
}

/// The set behind a `[`; `None`, with nothing consumed, if it is not closed.
fn set(rest: &mut Peekable<Chars<'_>>) -> Option<Piece> {
    let mut ahead = rest.clone();
    let negated = ahead
        .next_if(|&character| character == '!' || character == '^')
        .is_some();
    let mut members = Vec::new();
    loop {
        let character = match ahead.next()? {
            ']' if !members.is_empty() => break,
            '[' if ahead.peek() == Some(&':') => match class(&mut ahead) {
                Some(class) => {
                    members.push(Member::Class(class));
                    continue;
                }
                None => '[',
            },
            '\\' => ahead.next()?,
            other => other,
        };
        let mut range = ahead.clone();
        match (range.next(), range.next()) {
            (Some('-'), Some(last)) if last != ']' => {
                let last = if last == '\\' { range.next()? } else { last };
                members.push(Member::Range(character, last));
                ahead = range;
            }
            _ => members.push(Member::Range(character, character)),
        }
    }
    *rest = ahead;
    Some(Piece::Set {
        negated,
        members: members.into(),
    })
}

/// The class behind the `[` of `[:name:]`; `None`, with nothing consumed, if there is no such class.
fn class(rest: &mut Peekable<Chars<'_>>) -> Option<Class> {
    const MAX_CLASS_NAME: usize = 8;
    let mut ahead = rest.clone();
    ahead.next_if_eq(&':')?;
    let mut name = String::new();
    while let Some(letter) = ahead.next_if(char::is_ascii_lowercase) {
        name.push(letter);
        if name.len() > MAX_CLASS_NAME {
            return None;
        }
    }
    ahead.next_if_eq(&':')?;
    ahead.next_if_eq(&']')?;
    let class = match name.as_str() {
        "alpha" => Class::Alpha,
        "digit" => Class::Digit,
        "alnum" => Class::Alnum,
        "upper" => Class::Upper,
        "lower" => Class::Lower,
        "space" => Class::Space,
        "blank" => Class::Blank,
        "punct" => Class::Punct,
        "print" => Class::Print,
        "graph" => Class::Graph,
        "cntrl" => Class::Cntrl,
        "xdigit" => Class::Xdigit,
        _ => return None,
    };
    *rest = ahead;
    Some(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern).matches(text)
    }

    #[test]
    fn patterns_that_match() {
        for (pattern, text) in [
            ("", ""),
            ("kvm", "kvm"),
            ("*", ""),
            ("*", ".hidden/path"),
            ("a*", "abc"),
            ("*c", "abc"),
            ("a*b*c", "aXbYbZc"),
            ("?", "é"),
            ("[abc]x", "bx"),
            ("[a-c]", "b"),
            ("[!a-c]", "d"),
            ("[^a-c]", "d"),
            ("[]a]", "]"),
            ("[!]a]", "b"),
            ("[a-]", "-"),
            ("[[:digit:]]*", "7x"),
            ("[![:space:]]", "x"),
            ("[\\]]", "]"),
            ("[a", "[a"),
            ("[", "["),
            ("\\*", "*"),
            ("a\\bc", "abc"),
            ("host-[0-9][0-9]", "host-07"),
        ] {
            assert!(matches(pattern, text), "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn patterns_that_do_not_match() {
        for (pattern, text) in [
            ("", "a"),
            ("kvm", "KVM"),
            ("kvm", "kvm2"),
            ("?", ""),
            ("?", "ab"),
            ("a*b", "acd"),
            ("[a-c]", "d"),
            ("[!a-c]", "a"),
            ("[c-a]", "b"),
            ("[a-c]", ""),
            ("\\*", "a"),
            ("a\\", "a\\"),
            ("a\\", "a"),
            ("[[:digit:]]", "x"),
        ] {
            assert!(!matches(pattern, text), "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn many_stars_take_linear_time_each() {
        let pattern = "a*".repeat(500) + "b";
        assert!(!matches(&pattern, &"a".repeat(5000)));
    }
}

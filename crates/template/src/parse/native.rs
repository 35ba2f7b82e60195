//! The native syntax: `NAME="value"`, `NAME=[KEY="value", …]`, comments.
//!
//! The grammar grew out of a scanner that takes the longest match and drops what no rule takes; files in the field
//! rely on its habits, so they are kept. Three things differ, each where the old result was of no use to anybody:
//! a carriage return before a line feed belongs to the line end (it made the quotes part of the value), typographic
//! quotes are refused (they became part of the value, or vanished), and so are names that begin with a digit (no
//! client can read the XML).

use super::{MAX_TEMPLATE_VALUES, ParseError};
use crate::chars::{is_name, is_name_byte, is_typographic_quote, is_xml_char, trim};
use crate::{Attribute, Value, Vector};

/// Bytes `first..last` of the text.
#[derive(Clone, Copy)]
struct Span {
    first: usize,
    last: usize,
}

/// What the scanner finds outside of values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Name(&'a str),
    Equal,
    /// `=` with nothing but blanks up to the end of the line.
    EqualEmpty,
    Comma,
    Close,
    End,
}

impl Token<'_> {
    fn describe(self) -> String {
        match self {
            Token::Name(name) => format!("\"{name}\""),
            Token::Equal | Token::EqualEmpty => "\"=\"".to_owned(),
            Token::Comma => "\",\"".to_owned(),
            Token::Close => "\"]\"".to_owned(),
            Token::End => "end of text".to_owned(),
        }
    }
}

/// What the scanner finds where a value is due.
enum Start {
    Open,
    Text(String),
    End,
}

/// The attributes of a text, in its order.
pub(super) fn read(text: &str) -> Result<Vec<Attribute>, ParseError> {
    let mut scanner = Scanner::new(text);
    let mut attributes = Vec::new();
    let mut values = 0usize;
    loop {
        let name = match scanner.token()? {
            Token::Name(name) => name,
            // What holds nothing but characters that no rule takes is a mistake, and no empty template.
            Token::End if attributes.is_empty() && scanner.dropped.is_some() => {
                return Err(scanner.unexpected(Token::End, "a name"));
            }
            Token::End => return Ok(attributes),
            Token::Close => {
                let expected = "a name (the \"[\" of a vector stands on the line of its \"=\")";
                return Err(scanner.unexpected(Token::Close, expected));
            }
            other => return Err(scanner.unexpected(other, "a name")),
        };
        let (name, is_empty) = scanner.name_end(name)?;
        let value = match is_empty {
            true => Value::Single(String::new()),
            false => match scanner.value()? {
                Start::Text(text) => Value::Single(text),
                Start::Open => Value::Vector(vector(&mut scanner, &mut values)?),
                Start::End => return Err(scanner.unexpected(Token::End, "a value or \"[\"")),
            },
        };
        scanner.count(&mut values)?;
        attributes.push(Attribute { name, value });
    }
}

/// The error for a text without attributes.
pub(super) fn empty_error(text: &str) -> ParseError {
    let message = "syntax error, unexpected end of text, expecting a name (the template is empty)";
    ParseError::at(text, 0, 0, message.to_owned())
}

/// The pairs behind `[`, up to and including `]`.
fn vector(scanner: &mut Scanner<'_>, values: &mut usize) -> Result<Vector, ParseError> {
    let mut pairs = Vec::new();
    let mut token = scanner.token()?;
    if token == Token::Close {
        return Ok(Vector::new());
    }
    loop {
        let key = match token {
            Token::Name(name) => name,
            other if pairs.is_empty() => return Err(scanner.unexpected(other, "\"]\" or a name")),
            other => return Err(scanner.unexpected(other, "a name")),
        };
        let (key, is_empty) = scanner.name_end(key)?;
        if is_empty {
            let message = format!("syntax error, no value for {key}: write {key}=\"\" for an empty one");
            return Err(scanner.error(scanner.span, message));
        }
        let value = match scanner.value()? {
            Start::Text(text) => text,
            Start::Open => return Err(scanner.nested()),
            Start::End => return Err(scanner.unexpected(Token::End, "a value")),
        };
        scanner.count(values)?;
        pairs.push((key, value));
        match scanner.token()? {
            Token::Comma => token = scanner.token()?,
            Token::Close => return Ok(pairs.into_iter().collect()),
            other => return Err(scanner.unexpected(other, "\",\" or \"]\"")),
        }
    }
}

/// Walks over the text; every byte is looked at a bounded number of times.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Where the last token or value was found.
    span: Span,
    /// The first character that no rule took since the last name with its `=`; it explains many an error.
    dropped: Option<(usize, char)>,
    section_ends: Ahead,
    line_ends: Ahead,
}

/// Finds the next occurrence of a text, searching each stretch once however often it is asked for.
struct Ahead {
    needle: &'static str,
    /// The answer to the last search, `None` before the first.
    found: Option<Option<usize>>,
}

impl Ahead {
    fn new(needle: &'static str) -> Self {
        Self { needle, found: None }
    }

    /// The first occurrence at or behind `from`, which must not go back between calls.
    fn find(&mut self, text: &str, from: usize) -> Option<usize> {
        match self.found {
            Some(None) => None,
            Some(Some(at)) if at >= from => Some(at),
            _ => {
                let rest = text.get(from..).unwrap_or_default();
                let at = rest.find(self.needle).map(|at| from.saturating_add(at));
                self.found = Some(at);
                at
            }
        }
    }
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        let span = Span { first: 0, last: 0 };
        let (section_ends, line_ends) = (Ahead::new("]]>"), Ahead::new("\n"));
        Self {
            text,
            at: 0,
            span,
            dropped: None,
            section_ends,
            line_ends,
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    fn rest(&self, at: usize) -> &'a str {
        self.text.get(at..).unwrap_or_default()
    }

    /// The next token; names, brackets and signs only.
    fn token(&mut self) -> Result<Token<'a>, ParseError> {
        while let Some(byte) = self.byte(self.at) {
            let first = self.at;
            let token = match byte {
                b' ' | b'\t' | b'\n' => {
                    self.at = first.saturating_add(1);
                    continue;
                }
                b'#' if self.comment() => continue,
                b'=' => self.equal(),
                b',' => self.sign(Token::Comma),
                b']' => self.sign(Token::Close),
                byte if is_name_byte(byte) => self.name(),
                _ => {
                    self.character_dropped()?;
                    continue;
                }
            };
            self.span = Span { first, last: self.at };
            return Ok(token);
        }
        // As recorded answers do, the end of the text is told by the place of its last character.
        let last = self.text.char_indices().next_back().map_or(0, |(at, _)| at);
        self.span = Span {
            first: last,
            last: self.text.len(),
        };
        Ok(Token::End)
    }

    fn sign(&mut self, token: Token<'a>) -> Token<'a> {
        self.at = self.at.saturating_add(1);
        token
    }

    fn name(&mut self) -> Token<'a> {
        let rest = self.rest(self.at);
        let length = rest
            .bytes()
            .position(|byte| !is_name_byte(byte))
            .unwrap_or(rest.len());
        self.at = self.at.saturating_add(length);
        Token::Name(rest.get(..length).unwrap_or_default())
    }

    fn equal(&mut self) -> Token<'a> {
        self.at = self.blanks_end(self.at.saturating_add(1));
        match self.line_end_length(self.at) {
            0 => Token::Equal,
            length => {
                self.at = self.at.saturating_add(length);
                Token::EqualEmpty
            }
        }
    }

    /// Skips a comment. One without a line end is none: its `#` is an unknown character, its words are names.
    fn comment(&mut self) -> bool {
        let length = self.rest(self.at).find('\n');
        if let Some(length) = length {
            self.at = self.at.saturating_add(length).saturating_add(1);
        }
        length.is_some()
    }

    fn character_dropped(&mut self) -> Result<(), ParseError> {
        let Some(character) = self.rest(self.at).chars().next() else {
            return Ok(());
        };
        if is_typographic_quote(character) {
            return Err(self.typographic(character));
        }
        if !(character == '\r' && self.line_end_length(self.at) > 0) {
            self.dropped.get_or_insert((self.at, character));
        }
        self.at = self.at.saturating_add(character.len_utf8());
        Ok(())
    }

    /// The value behind `=`, or the bracket that opens a vector.
    fn value(&mut self) -> Result<Start, ParseError> {
        // Where the line of the value begins, as far as it is behind the `=`.
        let mut line = self.at;
        while let Some(byte) = self.byte(self.at) {
            let first = self.at;
            match byte {
                b'\n' => {
                    self.at = first.saturating_add(1);
                    line = self.at;
                }
                b' ' | b'\t' => self.at = first.saturating_add(1),
                b'=' | b'#' | b']' | b',' => self.character_dropped()?,
                b'\r' if self.line_end_length(first) > 0 => self.at = first.saturating_add(1),
                _ => return self.value_at(line, first, byte),
            }
        }
        Ok(Start::End)
    }

    fn value_at(&mut self, line: usize, first: usize, byte: u8) -> Result<Start, ParseError> {
        let quoted = if byte == b'"' {
            self.quoted_length(first)
        } else {
            0
        };
        self.section_end_check(line, first, quoted)?;
        if byte == b'[' {
            self.at = first.saturating_add(1);
            self.span = Span { first, last: self.at };
            return Ok(Start::Open);
        }
        let rest = self.rest(first);
        if let Some(character) = rest
            .chars()
            .next()
            .filter(|&character| is_typographic_quote(character))
        {
            return Err(self.typographic(character));
        }
        let bare = self.bare_length(first);
        let is_quoted = quoted >= bare;
        let length = if is_quoted { quoted } else { bare };
        self.at = first.saturating_add(length);
        self.span = Span { first, last: self.at };
        let raw = rest.get(..length).unwrap_or_default();
        self.characters_check(first, raw)?;
        if !is_quoted {
            self.quotes_check(first, raw)?;
        }
        let inner = raw
            .strip_prefix('"')
            .and_then(|raw| raw.strip_suffix('"'))
            .filter(|_| is_quoted);
        let value = inner.map_or_else(|| raw.to_owned(), |inner| inner.replace("\\\"", "\""));
        Ok(Start::Text(trim(&value).to_owned()))
    }

    /// Length of the longest quoted text that begins at `first`, both quotes included; 0 if none is closed.
    ///
    /// A quote behind a backslash may end the text or be part of it. The longest match decides: it is part as long
    /// as another quote follows.
    fn quoted_length(&self, first: usize) -> usize {
        let mut length = 0;
        let mut before = b'"';
        for (index, byte) in self.rest(first).bytes().enumerate().skip(1) {
            if byte == b'"' {
                length = index.saturating_add(1);
                if before != b'\\' {
                    break;
                }
            }
            before = byte;
        }
        length
    }

    fn bare_length(&self, first: usize) -> usize {
        let rest = self.rest(first);
        let end = rest
            .find(['=', '#', '[', ']', ',', ' ', '\t', '\n'])
            .unwrap_or(rest.len());
        match rest.get(..end).and_then(|bare| bare.strip_suffix('\r')) {
            Some(bare) if rest.as_bytes().get(end) == Some(&b'\n') => bare.len(),
            _ => end,
        }
    }

    /// A line that holds `]]>` ends the parse, unless a quoted text that begins on it runs on to a later line.
    fn section_end_check(&mut self, line: usize, first: usize, quoted: usize) -> Result<(), ParseError> {
        let Some(found) = self.section_ends.find(self.text, line) else {
            return Ok(());
        };
        let quoted_end = first.saturating_add(quoted);
        if self
            .line_ends
            .find(self.text, first)
            .is_some_and(|line_end| line_end < found.max(quoted_end))
        {
            return Ok(());
        }
        let last = found.saturating_add(3);
        let message =
            "\"]]>\" cannot stand on the line of a value: put a line break before it, inside the quotes";
        Err(self.error(Span { first: found, last }, message.to_owned()))
    }

    fn characters_check(&self, first: usize, raw: &str) -> Result<(), ParseError> {
        let Some((at, character)) = raw.char_indices().find(|&(_, character)| !is_xml_char(character)) else {
            return Ok(());
        };
        let at = first.saturating_add(at);
        let message = format!(
            "the control character U+{:04X} cannot be part of a value: remove it, or pass the value in base64",
            u32::from(character)
        );
        Err(self.error(
            Span {
                first: at,
                last: at.saturating_add(character.len_utf8()),
            },
            message,
        ))
    }

    /// Refuses a bare value that begins with a typographic quote, or that a typographic quote was meant to close.
    fn quotes_check(&mut self, first: usize, raw: &str) -> Result<(), ParseError> {
        let found = match raw.chars().next() {
            Some('"') => raw.char_indices().next_back(),
            other => other.map(|character| (0, character)),
        };
        match found {
            Some((at, character)) if is_typographic_quote(character) => {
                self.at = first.saturating_add(at);
                Err(self.typographic(character))
            }
            _ => Ok(()),
        }
    }

    fn blanks_end(&self, from: usize) -> usize {
        let blanks = self
            .rest(from)
            .bytes()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        from.saturating_add(blanks)
    }

    /// Length of the line end at `at`; 0 if there is none.
    fn line_end_length(&self, at: usize) -> usize {
        match (self.byte(at), self.byte(at.saturating_add(1))) {
            (Some(b'\n'), _) => 1,
            (Some(b'\r'), Some(b'\n')) => 2,
            _ => 0,
        }
    }

    /// Takes the `=` behind a name. Returns the name as templates hold it, and whether its line ends there.
    fn name_end(&mut self, name: &str) -> Result<(String, bool), ParseError> {
        let span = self.span;
        let is_empty = match self.token()? {
            Token::Equal => false,
            Token::EqualEmpty => true,
            other => return Err(self.unexpected(other, "\"=\"")),
        };
        if !is_name(name) {
            let message = format!("the name \"{name}\" begins with a digit: begin it with a letter or \"_\"");
            return Err(self.error(span, message));
        }
        self.dropped = None;
        Ok((name.to_ascii_uppercase(), is_empty))
    }

    fn count(&self, values: &mut usize) -> Result<(), ParseError> {
        *values = values.saturating_add(1);
        if *values > MAX_TEMPLATE_VALUES {
            let message = format!("the template holds more than the {MAX_TEMPLATE_VALUES} values allowed");
            return Err(self.error(self.span, message));
        }
        Ok(())
    }

    fn error(&self, span: Span, message: String) -> ParseError {
        ParseError::at(self.text, span.first, span.last, message)
    }

    fn typographic(&self, character: char) -> ParseError {
        let last = self.at.saturating_add(character.len_utf8());
        let message = format!("typographic quote: use the plain quote \" instead of {character}");
        self.error(Span { first: self.at, last }, message)
    }

    fn nested(&self) -> ParseError {
        let message = "syntax error, unexpected \"[\", expecting a value (vectors do not nest)";
        self.error(self.span, message.to_owned())
    }

    fn unexpected(&self, found: Token<'_>, expected: &str) -> ParseError {
        let mut message = format!(
            "syntax error, unexpected {}, expecting {expected}",
            found.describe()
        );
        if let Some((at, character)) = self.dropped {
            let place = ParseError::at(self.text, at, at, String::new());
            let hint = match character {
                '#' => "a comment needs a line end behind it, and none begins directly behind \"=\"",
                '=' | ',' | ']' => "a value was due there, an empty one is written \"\"",
                '<' => "XML begins with it as the very first character",
                _ => "put values that contain it in quotes",
            };
            let (line, column) = (place.line, place.column_first);
            message.push_str(&format!(
                " (ignored {character:?} at line {line}, column {column}: {hint})"
            ));
        }
        self.error(self.span, message)
    }
}

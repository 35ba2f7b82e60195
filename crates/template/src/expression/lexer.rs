//! The words of an expression.
//!
//! As in the template syntax, characters that no rule takes (line ends, single quotes, …) are dropped; expressions in
//! the field rely on it, as in `NAME = 'a'`. An error tells the last one dropped.

use super::{ExpressionError, MAX_EXPRESSION_BYTES};
use crate::chars::{is_name_byte, is_typographic_quote};

/// A word of an expression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Word<'a> {
    /// One of `@ ! & | = > < ( ) * + / ^ -`.
    Sign(char),
    /// A name, or anything in quotes.
    Text(&'a str),
    Integer(i64),
    Float(f32),
    End,
}

impl Word<'_> {
    fn describe(self) -> String {
        match self {
            Word::Sign(sign) => format!("\"{sign}\""),
            Word::Text(text) => format!("\"{}\"", clip(text)),
            Word::Integer(number) => format!("the number {number}"),
            Word::Float(number) => format!("the number {number}"),
            Word::End => "end of expression".to_owned(),
        }
    }
}

/// The longest piece of an expression or a value that a message shows, in characters.
const MAX_SHOWN: usize = 64;

/// The start of a text, short enough to be shown.
pub(super) fn clip(text: &str) -> std::borrow::Cow<'_, str> {
    match text.char_indices().nth(MAX_SHOWN) {
        None => text.into(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
    }
}

/// Reads words; always holds the next one.
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// The next word.
    pub(super) word: Word<'a>,
    first: usize,
    /// Where the word before the next one ends.
    previous_end: usize,
    dropped: Option<(usize, char)>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Result<Self, ExpressionError> {
        if text.len() > MAX_EXPRESSION_BYTES {
            let message = format!(
                "the expression has {} bytes, more than the {MAX_EXPRESSION_BYTES} allowed: group what it names, for example in clusters",
                text.len()
            );
            return Err(ExpressionError::at(text, 0, 0, message));
        }
        let mut lexer = Self {
            text,
            at: 0,
            word: Word::End,
            first: 0,
            previous_end: 0,
            dropped: None,
        };
        lexer.advance()?;
        lexer.previous_end = 0;
        Ok(lexer)
    }

    /// The next word, going on to the one behind it.
    pub(super) fn take(&mut self) -> Result<Word<'a>, ExpressionError> {
        let word = self.word;
        self.advance()?;
        Ok(word)
    }

    /// Goes on if the next word is this sign.
    pub(super) fn take_sign(&mut self, sign: char) -> Result<bool, ExpressionError> {
        let taken = self.word == Word::Sign(sign);
        if taken {
            self.advance()?;
        }
        Ok(taken)
    }

    /// Where the next word begins.
    pub(super) fn position(&self) -> usize {
        self.first
    }

    /// The text from `first` up to the end of the last word taken.
    pub(super) fn since(&self, first: usize) -> &'a str {
        self.text.get(first..self.previous_end).unwrap_or_default()
    }

    /// The error that the next word is not what is due.
    pub(super) fn unexpected(&self, expected: &str) -> ExpressionError {
        let mut message = format!(
            "syntax error, unexpected {}, expecting {expected}",
            self.word.describe()
        );
        if let Some((_, character)) = self.dropped {
            message.push_str(&format!(" (ignored {character:?} before it)"));
        }
        self.error(message)
    }

    /// An error at the next word.
    pub(super) fn error(&self, message: String) -> ExpressionError {
        let last = self.text.char_indices().next_back().map_or(0, |(at, _)| at);
        ExpressionError::at(self.text, self.first.min(last), self.at, message)
    }

    fn advance(&mut self) -> Result<(), ExpressionError> {
        self.previous_end = self.at;
        while let Some(character) = self.rest(self.at).chars().next() {
            self.first = self.at;
            let length = match character {
                ' ' | '\t' => 1,
                '"' if self.quoted() => return Ok(()),
                '-' if self.digits(self.at.saturating_add(1)) > 0 => return self.number(),
                '@' | '!' | '&' | '|' | '=' | '>' | '<' | '(' | ')' | '*' | '+' | '/' | '^' | '-' => {
                    self.at = self.at.saturating_add(1);
                    self.word = Word::Sign(character);
                    return Ok(());
                }
                '0'..='9' => return self.number(),
                'a'..='z' | 'A'..='Z' => {
                    self.name();
                    return Ok(());
                }
                other => {
                    self.drop_check(other)?;
                    other.len_utf8()
                }
            };
            self.at = self.at.saturating_add(length);
        }
        self.first = self.text.len();
        self.word = Word::End;
        Ok(())
    }

    fn drop_check(&mut self, character: char) -> Result<(), ExpressionError> {
        if is_typographic_quote(character) {
            let last = self.at.saturating_add(character.len_utf8());
            let message = format!("typographic quote: use the plain quote \" instead of {character}");
            return Err(ExpressionError::at(self.text, self.at, last, message));
        }
        self.dropped = Some((self.at, character));
        Ok(())
    }

    fn rest(&self, at: usize) -> &'a str {
        self.text.get(at..).unwrap_or_default()
    }

    fn digits(&self, at: usize) -> usize {
        self.rest(at).bytes().take_while(u8::is_ascii_digit).count()
    }

    /// A text in quotes; a quote that is never closed is none.
    fn quoted(&mut self) -> bool {
        let inner = self.rest(self.at.saturating_add(1));
        let Some((inner, _)) = inner.split_once('"') else {
            return false;
        };
        self.at = self.at.saturating_add(inner.len()).saturating_add(2);
        self.word = Word::Text(inner);
        true
    }

    fn name(&mut self) {
        let rest = self.rest(self.at);
        let length = rest.bytes().take_while(|&byte| is_name_byte(byte)).count();
        self.at = self.at.saturating_add(length);
        self.word = Word::Text(rest.get(..length).unwrap_or_default());
    }

    fn number(&mut self) -> Result<(), ExpressionError> {
        let sign = usize::from(self.rest(self.at).starts_with('-'));
        let mut end = self.at.saturating_add(sign);
        end = end.saturating_add(self.digits(end));
        let fraction = if self.rest(end).starts_with('.') {
            self.digits(end.saturating_add(1))
        } else {
            0
        };
        if fraction > 0 {
            end = end.saturating_add(1).saturating_add(fraction);
        }
        self.at = end;
        let digits = self.text.get(self.first..end).unwrap_or_default();
        let word = if fraction > 0 {
            digits.parse().map(Word::Float).ok()
        } else {
            digits.parse().map(Word::Integer).ok()
        };
        self.word = word.ok_or_else(|| {
            self.error(format!(
                "the number {} is too large: it must fit into 64 bits",
                clip(digits)
            ))
        })?;
        Ok(())
    }
}

//! Substitution of `$VARIABLE`s in values such as those of CONTEXT, and the `$FILE[…]` references of FILES_DS,
//! KERNEL_DS and INITRD_DS.
//!
//! A variable is `$NAME`, `$NAME[KEY]` or `$NAME[KEY, SELECTOR=value]`. The one character behind a variable ends it
//! and is kept as it is, a backslash too. Elsewhere a backslash and the character behind it stay as written, so `\$`
//! starts no variable.

mod files;

#[cfg(test)]
mod tests;

pub use files::{FileImage, FileOwner, FileReference, file_references};

use crate::chars::is_name_byte;
use crate::{MAX_TEMPLATE_BYTES, ParseError};

/// Knows what variables stand for. All names are in upper case.
pub trait Resolver {
    /// The value of `$NAME`; nothing found gives the empty text.
    fn single(&self, name: &str) -> Option<String>;

    /// The value of `$NAME[KEY]` or `$NAME[KEY, SELECTOR=value]`, the selector as name and value; nothing found
    /// gives the empty text.
    fn vector(&self, name: &str, key: &str, selector: Option<(&str, &str)>) -> Option<String>;
}

/// Why variables cannot be substituted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at line {line}, columns {column_first}:{column_last}")]
pub struct SubstituteError {
    /// What is wrong and what to write instead.
    pub message: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column of the first character concerned, counted in characters from 1.
    pub column_first: usize,
    /// Column behind the last character concerned.
    pub column_last: usize,
}

/// The text with every variable replaced by its value.
///
/// # Errors
/// A `$` that begins no variable, and a result beyond [`MAX_TEMPLATE_BYTES`].
pub fn substitute(text: &str, resolver: &dyn Resolver) -> Result<String, SubstituteError> {
    let mut scanner = Scanner { text, at: 0 };
    let mut out = String::new();
    while let Some(character) = scanner.take() {
        if character != '$' {
            out.push(character);
            if character == '\\' {
                out.extend(scanner.take());
            }
            continue;
        }
        let variable = scanner.variable()?;
        let name = variable.name.to_ascii_uppercase();
        let value = match variable.index {
            None => resolver.single(&name),
            Some(Index { key, selector: None }) => resolver.vector(&name, &key.to_ascii_uppercase(), None),
            Some(Index {
                key,
                selector: Some((selector, value)),
            }) => {
                let selector = selector.to_ascii_uppercase();
                resolver.vector(&name, &key.to_ascii_uppercase(), Some((&selector, value)))
            }
        };
        out.push_str(&value.unwrap_or_default());
        if scanner.peek() != Some('$') {
            out.extend(scanner.take());
        }
        if out.len() > MAX_TEMPLATE_BYTES {
            let message = format!("the text with its variables replaced exceeds {MAX_TEMPLATE_BYTES} bytes");
            return Err(scanner.error(message));
        }
    }
    Ok(out)
}

/// A variable as written.
struct Variable<'a> {
    name: &'a str,
    index: Option<Index<'a>>,
}

/// What stands in the brackets behind a name.
struct Index<'a> {
    key: &'a str,
    selector: Option<(&'a str, &'a str)>,
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at = self.at.saturating_add(character.len_utf8());
        Some(character)
    }

    fn take_sign(&mut self, sign: char) -> bool {
        let taken = self.peek() == Some(sign);
        if taken {
            self.take();
        }
        taken
    }

    fn take_while(&mut self, is_part: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest
            .bytes()
            .take_while(|&byte| byte.is_ascii() && is_part(byte))
            .count();
        self.at = self.at.saturating_add(length);
        rest.get(..length).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        self.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n'));
    }

    /// The variable behind a `$`.
    fn variable(&mut self) -> Result<Variable<'a>, SubstituteError> {
        let name = self.take_while(is_name_byte);
        if name.is_empty() {
            return Err(self.error("\"$\" without the name of a variable: write \\$ to keep it".to_owned()));
        }
        let index = if self.take_sign('[') {
            Some(self.index()?)
        } else {
            None
        };
        Ok(Variable { name, index })
    }

    /// `key]` or `key, selector=value]`.
    fn index(&mut self) -> Result<Index<'a>, SubstituteError> {
        let key = self.name()?;
        let selector = if self.take_sign(',') {
            Some(self.pair()?)
        } else {
            None
        };
        self.close()?;
        Ok(Index { key, selector })
    }

    /// `name=value`, with the blanks around.
    fn pair(&mut self) -> Result<(&'a str, &'a str), SubstituteError> {
        let name = self.name()?;
        if !self.take_sign('=') {
            return Err(self.unexpected("\"=\""));
        }
        self.skip_blanks();
        let value = self.value()?;
        self.skip_blanks();
        Ok((name, value))
    }

    /// A name with the blanks around.
    fn name(&mut self) -> Result<&'a str, SubstituteError> {
        self.skip_blanks();
        let name = self.take_while(is_name_byte);
        if name.is_empty() {
            return Err(self.unexpected("a name"));
        }
        self.skip_blanks();
        Ok(name)
    }

    /// Text in quotes, or letters and digits.
    fn value(&mut self) -> Result<&'a str, SubstituteError> {
        if let Some((value, _)) = self
            .rest()
            .strip_prefix('"')
            .and_then(|rest| rest.split_once('"'))
        {
            self.at = self.at.saturating_add(value.len()).saturating_add(2);
            return Ok(value);
        }
        let value = self.take_while(|byte| byte.is_ascii_alphanumeric());
        if value.is_empty() {
            return Err(self.unexpected("a value: put it in quotes if it is not of letters and digits only"));
        }
        Ok(value)
    }

    fn close(&mut self) -> Result<(), SubstituteError> {
        if self.take_sign(']') {
            return Ok(());
        }
        Err(self.unexpected("\"]\" (values other than letters and digits need quotes)"))
    }

    fn unexpected(&self, expected: &str) -> SubstituteError {
        let found = self.peek().map_or_else(
            || "end of text".to_owned(),
            |character| format!("\"{character}\""),
        );
        self.error(format!("variable: unexpected {found}, expecting {expected}"))
    }

    fn error(&self, message: String) -> SubstituteError {
        let last = self.at.saturating_add(self.peek().map_or(0, char::len_utf8));
        let ParseError {
            message,
            line,
            column_first,
            column_last,
            ..
        } = ParseError::at(self.text, self.at, last, message);
        SubstituteError {
            message,
            line,
            column_first,
            column_last,
        }
    }
}

//! Reading templates: the entry points, their errors and their bounds.
//!
//! A text whose very first character is `<` is XML, any other is native syntax (white space before `<` included).

mod native;
mod xml;

#[cfg(test)]
mod tests;

use crate::{Attribute, Template};

/// The largest text that is read, in bytes.
pub const MAX_TEMPLATE_BYTES: usize = 4 * 1024 * 1024;

/// The most attributes and pairs that one text may hold.
pub const MAX_TEMPLATE_VALUES: usize = 100_000;

/// Why a text is not a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong and what to write instead.
    pub message: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column of the first character concerned, counted in characters from 1.
    pub column_first: usize,
    /// Column behind the last character concerned.
    pub column_last: usize,
    /// For XML: what exactly is malformed, and where. The wire text of the error does not carry it.
    pub detail: Option<String>,
}

/// What the wire says of any XML that cannot be read.
const XML_MALFORMED: &str = "XML Template malformed.";

impl ParseError {
    /// A native syntax error over the bytes `first..last` of `text`.
    pub(crate) fn at(text: &str, first: usize, last: usize, message: String) -> Self {
        let before = text.get(..first).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at.saturating_add(1));
        let column_first = characters(before.get(line_start..).unwrap_or_default()).saturating_add(1);
        let marked = text
            .get(first..last)
            .unwrap_or_default()
            .split('\n')
            .next()
            .unwrap_or_default();
        Self {
            message,
            line: before
                .bytes()
                .filter(|&byte| byte == b'\n')
                .count()
                .saturating_add(1),
            column_first,
            column_last: column_first.saturating_add(characters(marked).max(1)),
            detail: None,
        }
    }

    /// Malformed XML at byte `at` of `text`.
    pub(crate) fn xml(text: &str, at: usize, detail: &str) -> Self {
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at = at.saturating_sub(1);
        }
        let mut error = Self::at(text, at, at, XML_MALFORMED.to_owned());
        error.detail = Some(format!(
            "{detail} (line {}, column {})",
            error.line, error.column_first
        ));
        error
    }
}

fn characters(text: &str) -> usize {
    text.chars().count()
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.detail.is_some() {
            return write!(f, "Parse error: {}", self.message);
        }
        let Self {
            message,
            line,
            column_first,
            column_last,
            ..
        } = self;
        write!(
            f,
            "Parse error: {message} at line {line}, columns {column_first}:{column_last}"
        )
    }
}

impl std::error::Error for ParseError {}

impl Template {
    /// Reads a template in native syntax or XML.
    ///
    /// # Errors
    /// A text that is neither, one without any attribute (native syntax only: an XML root may be empty), and one
    /// beyond [`MAX_TEMPLATE_BYTES`] or [`MAX_TEMPLATE_VALUES`].
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        match read(text)? {
            Some(attributes) => Ok(attributes.into_iter().collect()),
            None => Err(native::empty_error(text)),
        }
    }

    /// Like [`Template::parse`], for callers to which no attribute at all is fine: a text of blanks and comments
    /// gives an empty template.
    ///
    /// # Errors
    /// As for [`Template::parse`].
    pub fn parse_or_empty(text: &str) -> Result<Self, ParseError> {
        Ok(read(text)?.unwrap_or_default().into_iter().collect())
    }

    /// Reads a configuration file: of a name given several times the last one wins, so that a setting appended to
    /// a file takes effect.
    ///
    /// Some names of the configuration files are lists written as one attribute an element: drivers
    /// (`VM_MAD=[NAME="kvm", …]`, `TM_MAD_CONF=[…]`), restricted, encrypted and inherited attributes
    /// (`VM_RESTRICTED_ATTR="CONTEXT/FILES"`). Of those every one is kept, in the order of the file. Which they
    /// are is told by the name, not by the kind of value: `DB=[…]` and `LOG=[…]` are vectors too, and of two of
    /// them the last is meant.
    ///
    /// A file of comments alone is an empty configuration.
    ///
    /// # Errors
    /// As for [`Template::parse`].
    pub fn parse_config(text: &str) -> Result<Self, ParseError> {
        let mut template = Self::parse_or_empty(text)?;
        template.keep_last(is_list_setting);
        Ok(template)
    }
}

/// Whether a setting of the configuration files is a list, each element being an attribute of that name.
fn is_list_setting(name: &str) -> bool {
    matches!(name, "VM_MAD" | "IM_MAD")
        || name.ends_with("_MAD_CONF")
        || name.ends_with("_RESTRICTED_ATTR")
        || name.ends_with("_ENCRYPTED_ATTR")
        || (name.starts_with("INHERIT_") && name.ends_with("_ATTR"))
}

/// The attributes in the order of the text; `None` for a native text that holds none.
fn read(text: &str) -> Result<Option<Vec<Attribute>>, ParseError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > MAX_TEMPLATE_BYTES {
        let message = format!(
            "the template has {} bytes, more than the {MAX_TEMPLATE_BYTES} allowed: put large content into a file or an image",
            text.len()
        );
        return Err(ParseError::at(text, 0, 0, message));
    }
    if text.starts_with('<') {
        return xml::read(text).map(Some);
    }
    let attributes = native::read(text)?;
    Ok((!attributes.is_empty()).then_some(attributes))
}

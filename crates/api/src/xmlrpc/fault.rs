//! Faults: what a caller gets when its request cannot be turned into a call of a method. Codes are the ones that
//! XML-RPC implementations agree on; the texts of wrong or missing parameters are those of a 7.4.0 server.

use std::fmt;

/// The server failed in a way that is not the caller's fault.
pub const INTERNAL: i32 = -500;
/// A parameter is missing, surplus or of another type than the method takes.
pub const TYPE: i32 = -501;
/// The request is not well-formed XML or not an XML-RPC call.
pub const PARSE: i32 = -503;
/// There is no method of that name.
pub const NO_SUCH_METHOD: i32 = -506;
/// The request is larger or deeper than the server accepts.
pub const LIMIT_EXCEEDED: i32 = -509;
/// The request is not valid UTF-8.
pub const INVALID_UTF8: i32 = -510;

/// Longest part of a caller's own text that is repeated in a fault, in characters.
const QUOTE_CHARS: usize = 80;

/// A refusal of the request itself, before any method ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// One of the codes of this module.
    pub code: i32,
    /// What is wrong, for a person.
    pub text: String,
}

impl Fault {
    /// A fault of this code and text.
    pub fn new(code: i32, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }

    /// A parameter is of another type; `kind` is how the type is called, such as `integer`.
    pub fn wrong_type(kind: &str) -> Self {
        Self::new(TYPE, format!("Parameter that is supposed to be {kind} is not"))
    }

    /// The call has fewer parameters than the method needs.
    pub fn too_few() -> Self {
        Self::new(TYPE, "Not enough parameters")
    }

    /// The call has `surplus` parameters more than the method takes.
    pub fn too_many(surplus: usize) -> Self {
        Self::new(
            TYPE,
            format!("Too many parameters: the last {surplus} are not known to this method"),
        )
    }

    /// No method has this name.
    pub fn unknown_method(method: &str) -> Self {
        Self::new(
            NO_SUCH_METHOD,
            format!("Method '{}' is not defined", quote(method)),
        )
    }

    /// The request, at this byte, is not what XML or XML-RPC allow.
    pub fn parse(at: u64, why: impl fmt::Display) -> Self {
        Self::new(
            PARSE,
            format!("Call is not a valid XML-RPC request, at byte {at}: {why}"),
        )
    }

    /// The request exceeds a bound of the server; `what` names thing, bound and unit.
    pub fn limit(what: impl fmt::Display) -> Self {
        Self::new(
            LIMIT_EXCEEDED,
            format!("Call exceeds a limit of the server: {what}"),
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (fault {})", self.text, self.code)
    }
}

impl std::error::Error for Fault {}

/// The caller's own text, cut to a length that fits a message.
pub(super) fn quote(text: &str) -> &str {
    match text.char_indices().nth(QUOTE_CHARS) {
        Some((end, _)) => text.get(..end).unwrap_or(text),
        None => text,
    }
}

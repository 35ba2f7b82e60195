//! The values that travel: parameters of a call and the answer it got.

use crate::error::ClientError;

/// A parameter of a call. The session is not one of them: the client adds it.
#[derive(Debug, Clone, PartialEq)]
pub enum Param {
    /// Text.
    Text(String),
    /// A 32 bit number (`int`).
    Int(i32),
    /// A 64 bit number (`i8`).
    Long(i64),
    /// A truth value.
    Flag(bool),
    /// A number with a fraction.
    Double(f64),
    /// A list of values.
    List(Vec<Param>),
}

impl From<&str> for Param {
    fn from(text: &str) -> Self {
        Param::Text(text.to_owned())
    }
}

impl From<String> for Param {
    fn from(text: String) -> Self {
        Param::Text(text)
    }
}

impl From<&String> for Param {
    fn from(text: &String) -> Self {
        Param::Text(text.clone())
    }
}

impl From<i32> for Param {
    fn from(number: i32) -> Self {
        Param::Int(number)
    }
}

impl From<i64> for Param {
    fn from(number: i64) -> Self {
        Param::Long(number)
    }
}

impl From<bool> for Param {
    fn from(flag: bool) -> Self {
        Param::Flag(flag)
    }
}

impl From<f64> for Param {
    fn from(number: f64) -> Self {
        Param::Double(number)
    }
}

/// The value a successful call answered with.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Text, most often an XML document.
    Text(String),
    /// A whole number of any width, most often an object id.
    Number(i64),
    /// A truth value.
    Flag(bool),
    /// A number with a fraction.
    Double(f64),
    /// A list of values.
    List(Vec<Answer>),
    /// A record of named values; only faults carry one.
    Record(Vec<(String, Answer)>),
}

impl Answer {
    /// The text of the answer. Fails when the answer is of another type.
    pub fn into_text(self) -> Result<String, ClientError> {
        match self {
            Answer::Text(text) => Ok(text),
            other => Err(ClientError::Malformed(format!(
                "text was expected, the server sent {other:?}"
            ))),
        }
    }

    /// The number of the answer, for instance the id of a new object. Fails when it is of another type.
    pub fn number(&self) -> Result<i64, ClientError> {
        match self {
            Answer::Number(number) => Ok(*number),
            other => Err(ClientError::Malformed(format!(
                "a number was expected, the server sent {other:?}"
            ))),
        }
    }
}

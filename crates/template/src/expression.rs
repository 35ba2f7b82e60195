//! Scheduling expressions: requirements (which hosts, datastores, networks will do) and rank (which is best).

mod glob;
mod lexer;
mod number;
mod rank;
mod requirements;

#[cfg(test)]
mod naive_tests;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

pub use rank::Rank;
pub use requirements::Requirements;

use crate::{PackedTemplate, PackedValue, ParseError, Template, Value};

/// The longest expression that is read, in bytes.
pub const MAX_EXPRESSION_BYTES: usize = 256 * 1024;

/// How deep parentheses may nest.
pub const MAX_EXPRESSION_DEPTH: usize = 128;

/// What an expression is evaluated against: the values of an object, by name.
pub trait Attributes {
    /// Calls `visit` with every value of `name`, in the order of the object's document, until it breaks.
    ///
    /// The name is as the expression has it; one that begins with `/` is a path from the root of the document.
    fn for_each_value(&self, name: &str, visit: &mut dyn FnMut(&str) -> ControlFlow<()>);
}

/// The single values of a template.
impl Attributes for Template {
    fn for_each_value(&self, name: &str, visit: &mut dyn FnMut(&str) -> ControlFlow<()>) {
        for value in self.all(name) {
            if let Value::Single(text) = value
                && visit(text).is_break()
            {
                return;
            }
        }
    }
}

/// The single values of a template.
impl Attributes for PackedTemplate {
    fn for_each_value(&self, name: &str, visit: &mut dyn FnMut(&str) -> ControlFlow<()>) {
        for (found, value) in self.iter() {
            if let PackedValue::Single(text) = value
                && found == name
                && visit(text).is_break()
            {
                return;
            }
        }
    }
}

/// Why a text is not an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at line {line}, columns {column_first}:{column_last}")]
pub struct ExpressionError {
    /// What is wrong and what to write instead.
    pub message: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column of the first character concerned, counted in characters from 1.
    pub column_first: usize,
    /// Column behind the last character concerned.
    pub column_last: usize,
}

impl ExpressionError {
    /// An error over the bytes `first..last` of `text`.
    fn at(text: &str, first: usize, last: usize, message: String) -> Self {
        let ParseError {
            message,
            line,
            column_first,
            column_last,
            ..
        } = ParseError::at(text, first, last, message);
        Self {
            message,
            line,
            column_first,
            column_last,
        }
    }
}

/// The depth within one more nesting, if that is still allowed.
fn deeper(lexer: &lexer::Lexer<'_>, depth: usize) -> Result<usize, ExpressionError> {
    if depth >= MAX_EXPRESSION_DEPTH {
        return Err(lexer.error(format!(
            "nested deeper than the {MAX_EXPRESSION_DEPTH} levels allowed"
        )));
    }
    Ok(depth.saturating_add(1))
}

/// Applies `read` to the first value of `name`.
fn first_value<T>(attributes: &dyn Attributes, name: &str, read: impl Fn(&str) -> T) -> Option<T> {
    let mut found = None;
    attributes.for_each_value(name, &mut |value| {
        found = Some(read(value));
        ControlFlow::Break(())
    });
    found
}

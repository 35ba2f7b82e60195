//! The template language: attributes, their text and XML forms, a compact stored form, and the scheduling
//! expressions (requirements and rank).
//!
//! Everything here is pure: no I/O, no clock, no panic on any input.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable
    )
)]

mod attributes;
mod chars;
pub mod expression;
mod json;
mod markup;
mod names;
mod packed;
mod parse;
#[cfg(test)]
mod strategies;
pub mod substitute;
mod text;

pub use attributes::{Attribute, Template, Value, Vector};
pub use chars::is_name;
pub use expression::{Attributes, ExpressionError, Rank, Requirements};
pub use json::JsonError;
pub use markup::{EscapedXml, Markup, PlainXml};
pub use packed::{PackedTemplate, PackedValue, PackedVector};
pub use parse::{MAX_TEMPLATE_BYTES, MAX_TEMPLATE_VALUES, ParseError};

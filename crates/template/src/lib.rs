//! The template language: attributes, their text and XML forms, a compact stored form, and the scheduling
//! expressions (requirements and rank).
//!
//! Everything here is pure: no I/O, no clock, no panic on any input.

mod attributes;
mod markup;
mod names;
mod packed;

pub use attributes::{Attribute, Template, Value, Vector};
pub use markup::{EscapedXml, Markup, PlainXml};
pub use packed::{PackedTemplate, PackedValue, PackedVector};

//! [`PackedTemplate`]: the form in which templates rest in memory.
//!
//! Ten thousand virtual machines carry some hundred attributes each. As a tree of strings that is several times the
//! size of the text; here it is one shared buffer, names of the wire format being two bytes. It is never changed in
//! place: unpack, change, pack again. Two objects (or two versions of one) that share a template share the buffer.

use std::sync::Arc;

use crate::names::{name_code, name_of_code};
use crate::{Attribute, Template, Value, Vector};

const INLINE_NAME: u16 = u16::MAX;
const SINGLE: u8 = 0;
const VECTOR: u8 = 1;

/// An immutable, compact template. Cloning shares the buffer.
#[derive(Clone, PartialEq, Eq)]
pub struct PackedTemplate {
    bytes: Arc<[u8]>,
}

/// A value within a [`PackedTemplate`].
#[derive(Clone, Copy, Debug)]
pub enum PackedValue<'a> {
    /// A single value.
    Single(&'a str),
    /// A vector.
    Vector(PackedVector<'a>),
}

/// The pairs of a vector within a [`PackedTemplate`].
#[derive(Clone, Copy, Debug)]
pub struct PackedVector<'a> {
    pairs: u32,
    bytes: &'a [u8],
}

impl PackedTemplate {
    /// Packs a template.
    #[must_use]
    pub fn new(template: &Template) -> Self {
        let mut out = Vec::with_capacity(template.iter().map(packed_bytes).sum());
        let mut pairs = Vec::new();
        // A tree is in order, and its names are in upper case.
        for attribute in template.iter() {
            write_name(&mut out, &attribute.name);
            match &attribute.value {
                Value::Single(text) => write_single(&mut out, text),
                Value::Vector(vector) => {
                    pairs.clear();
                    for (key, value) in vector.iter() {
                        write_name(&mut pairs, key);
                        write_text(&mut pairs, value);
                    }
                    out.push(VECTOR);
                    write_pairs(&mut out, vector.len(), &pairs);
                }
            }
        }
        Self { bytes: out.into() }
    }

    /// The template as a tree, to change it.
    #[must_use]
    pub fn unpack(&self) -> Template {
        self.iter()
            .map(|(name, value)| Attribute {
                name: name.to_owned(),
                value: match value {
                    PackedValue::Single(text) => Value::Single(text.to_owned()),
                    PackedValue::Vector(vector) => Value::Vector(vector.to_vector()),
                },
            })
            .collect()
    }

    /// Sets an attribute to one single value, or takes it away. To change several, unpack.
    pub fn note(&mut self, name: &str, value: Option<&str>) {
        let mut template = self.unpack();
        match value {
            Some(value) => template.set(name, value),
            None => drop(template.remove(name)),
        }
        *self = Self::new(&template);
    }

    /// The attributes in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, PackedValue<'_>)> {
        let mut reader = Reader { bytes: &self.bytes };
        std::iter::from_fn(move || {
            let name = reader.name()?;
            let value = match reader.byte()? {
                SINGLE => PackedValue::Single(reader.text()?),
                _ => PackedValue::Vector(reader.vector()?),
            };
            Some((name, value))
        })
    }

    /// The first single value of `name` (upper case).
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let wanted = Wanted::new(name);
        let mut reader = Reader { bytes: &self.bytes };
        loop {
            let found = reader.name_is(wanted)?;
            if found && reader.bytes.first() == Some(&SINGLE) {
                reader.byte()?;
                return reader.text();
            }
            reader.value_skip()?;
        }
    }

    /// All vectors of `name` (upper case), in order.
    pub fn vectors<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = PackedVector<'a>> + use<'a, 'n> {
        let wanted = Wanted::new(name);
        let mut reader = Reader { bytes: &self.bytes };
        std::iter::from_fn(move || {
            loop {
                let found = reader.name_is(wanted)?;
                if found && reader.bytes.first() == Some(&VECTOR) {
                    reader.byte()?;
                    return reader.vector();
                }
                reader.value_skip()?;
            }
        })
    }

    /// `vectors(name).next().get(key)` in one step.
    #[must_use]
    pub fn pair(&self, name: &str, key: &str) -> Option<&str> {
        self.vectors(name).next().and_then(|vector| vector.get(key))
    }

    /// Whether there is no attribute.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Size in memory, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether both share one buffer (so nothing was changed between them).
    #[must_use]
    pub fn same_buffer(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.bytes, &other.bytes)
    }
}

impl Default for PackedTemplate {
    fn default() -> Self {
        Self { bytes: Arc::new([]) }
    }
}

impl From<&Template> for PackedTemplate {
    fn from(template: &Template) -> Self {
        Self::new(template)
    }
}

impl std::fmt::Debug for PackedTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Builds the buffer of a [`PackedTemplate`] piece by piece: per attribute a name and a value, per pair of a vector a
/// key and its value.
#[derive(Default)]
pub(crate) struct Packer {
    out: Vec<u8>,
    /// The pairs of the vector at hand: their number and length stand before them.
    pairs: Vec<u8>,
    pairs_count: usize,
    last_name: String,
    last_key: String,
    /// A name or key came out of order, in lower case, or a key twice: the tree puts that right.
    disordered: bool,
}

impl Packer {
    pub(crate) fn name(&mut self, name: &str) {
        self.disordered |= name < self.last_name.as_str() || has_lowercase(name);
        self.last_name.clear();
        self.last_name.push_str(name);
        write_name(&mut self.out, name);
    }

    pub(crate) fn single(&mut self, text: &str) {
        write_single(&mut self.out, text);
    }

    pub(crate) fn vector_begin(&mut self) {
        self.out.push(VECTOR);
        self.pairs.clear();
        self.pairs_count = 0;
        self.last_key.clear();
    }

    pub(crate) fn key(&mut self, key: &str) {
        self.disordered |= key <= self.last_key.as_str() || has_lowercase(key);
        self.last_key.clear();
        self.last_key.push_str(key);
        self.pairs_count = self.pairs_count.saturating_add(1);
        write_name(&mut self.pairs, key);
    }

    pub(crate) fn pair_value(&mut self, text: &str) {
        write_text(&mut self.pairs, text);
    }

    pub(crate) fn vector_end(&mut self) {
        write_pairs(&mut self.out, self.pairs_count, &self.pairs);
    }

    pub(crate) fn finish(self) -> PackedTemplate {
        let packed = PackedTemplate {
            bytes: self.out.into(),
        };
        if self.disordered {
            PackedTemplate::new(&packed.unpack())
        } else {
            packed
        }
    }
}

/// Room for a packed attribute, in bytes: somewhat more than most need.
fn packed_bytes(attribute: &Attribute) -> usize {
    /// Code, length or mark of a text.
    const HEAD_BYTES: usize = 6;
    let text = |text: &str| text.len().saturating_add(HEAD_BYTES);
    let value = match &attribute.value {
        Value::Single(single) => text(single),
        Value::Vector(vector) => vector.iter().map(|(_, value)| text(value)).sum(),
    };
    text(&attribute.name).saturating_add(value)
}

fn has_lowercase(name: &str) -> bool {
    name.bytes().any(|byte| byte.is_ascii_lowercase())
}

impl<'a> PackedVector<'a> {
    /// The pairs in order of key.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let mut reader = Reader { bytes: self.bytes };
        (0..self.pairs).map_while(move |_| Some((reader.name()?, reader.text()?)))
    }

    /// The value of `key` (upper case).
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a str> {
        let wanted = Wanted::new(key);
        let mut reader = Reader { bytes: self.bytes };
        for _ in 0..self.pairs {
            if reader.name_is(wanted)? {
                return reader.text();
            }
            reader.text_skip()?;
        }
        None
    }

    /// The vector as a tree.
    #[must_use]
    pub fn to_vector(&self) -> Vector {
        self.iter().collect()
    }
}

fn write_name(out: &mut Vec<u8>, name: &str) {
    match name_code(name) {
        Some(code) => out.extend_from_slice(&code.to_le_bytes()),
        None => {
            out.extend_from_slice(&INLINE_NAME.to_le_bytes());
            write_text(out, name);
        }
    }
}

fn write_single(out: &mut Vec<u8>, text: &str) {
    out.push(SINGLE);
    write_text(out, text);
}

fn write_pairs(out: &mut Vec<u8>, count: usize, pairs: &[u8]) {
    write_length(out, count);
    write_length(out, pairs.len());
    out.extend_from_slice(pairs);
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    write_length(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// Seven bits a byte, least significant first, the top bit saying that more follow.
fn write_length(out: &mut Vec<u8>, length: usize) {
    let mut rest = length;
    while rest >= 0x80 {
        out.push(u8::try_from(rest & 0x7f).unwrap_or_default() | 0x80);
        rest >>= 7;
    }
    out.push(u8::try_from(rest).unwrap_or_default());
}

/// A name that is looked for. One that has a code is never written out, so that comparing codes is enough.
#[derive(Clone, Copy)]
struct Wanted<'n> {
    name: &'n str,
    code: Option<u16>,
}

impl<'n> Wanted<'n> {
    fn new(name: &'n str) -> Self {
        Self {
            name,
            code: name_code(name),
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(first)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }

    fn length(&mut self) -> Option<usize> {
        let mut length = 0usize;
        for shift in (0..usize::BITS).step_by(7) {
            let byte = self.byte()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(length);
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.length()?;
        std::str::from_utf8(self.take(length)?).ok()
    }

    fn name(&mut self) -> Option<&'a str> {
        let code = u16::from_le_bytes([self.byte()?, self.byte()?]);
        if code == INLINE_NAME {
            self.text()
        } else {
            name_of_code(code)
        }
    }

    /// Reads a name, and says whether it is the one wanted.
    fn name_is(&mut self, wanted: Wanted<'_>) -> Option<bool> {
        let code = u16::from_le_bytes([self.byte()?, self.byte()?]);
        if code != INLINE_NAME {
            return Some(wanted.code == Some(code));
        }
        let length = self.length()?;
        Some(self.take(length)? == wanted.name.as_bytes())
    }

    fn text_skip(&mut self) -> Option<()> {
        let length = self.length()?;
        self.take(length).map(|_| ())
    }

    /// Passes over a value.
    fn value_skip(&mut self) -> Option<()> {
        if self.byte()? != SINGLE {
            self.length()?;
        }
        self.text_skip()
    }

    fn vector(&mut self) -> Option<PackedVector<'a>> {
        let pairs = u32::try_from(self.length()?).ok()?;
        let length = self.length()?;
        Some(PackedVector {
            pairs,
            bytes: self.take(length)?,
        })
    }
}

#[cfg(test)]
mod tests;

//! Sinks for the XML form of objects: plain XML, and XML already escaped for an XML-RPC string.

use crate::{PackedTemplate, PackedValue, Template, Value};

/// Where the XML form of an object is written to.
///
/// Element names come from the program or were checked by the template parser, so they are written as they are;
/// values are escaped.
pub trait Markup {
    /// `<name>`.
    fn open(&mut self, name: &str);
    /// `</name>`.
    fn close(&mut self, name: &str);
    /// `<name/>`.
    fn empty(&mut self, name: &str);
    /// Character data, escaped. Characters that XML cannot carry (control characters) are dropped.
    fn text(&mut self, text: &str);
    /// A CDATA section. A `]]>` in the text is split over two sections; characters that XML cannot carry (control
    /// characters) are dropped.
    fn cdata(&mut self, text: &str);

    /// `<name>text</name>`.
    fn element(&mut self, name: &str, text: &str) {
        self.open(name);
        self.text(text);
        self.close(name);
    }

    /// `<name>number</name>`.
    fn number(&mut self, name: &str, number: i64) {
        let mut buffer = [0u8; 20];
        self.open(name);
        self.text(format_i64(number, &mut buffer));
        self.close(name);
    }

    /// `<name><![CDATA[text]]></name>`.
    fn cdata_element(&mut self, name: &str, text: &str) {
        self.open(name);
        self.cdata(text);
        self.close(name);
    }

    /// The attributes of a template, each as an element; vectors as elements with child elements.
    fn template(&mut self, template: &Template) {
        for attribute in template.iter() {
            match &attribute.value {
                Value::Single(text) => self.cdata_element(&attribute.name, text),
                Value::Vector(vector) => {
                    self.open(&attribute.name);
                    for (key, value) in vector.iter() {
                        self.cdata_element(key, value);
                    }
                    self.close(&attribute.name);
                }
            }
        }
    }

    /// The same for the stored form.
    fn packed(&mut self, template: &PackedTemplate) {
        for (name, value) in template.iter() {
            match value {
                PackedValue::Single(text) => self.cdata_element(name, text),
                PackedValue::Vector(vector) => {
                    self.open(name);
                    for (key, value) in vector.iter() {
                        self.cdata_element(key, value);
                    }
                    self.close(name);
                }
            }
        }
    }
}

fn format_i64(number: i64, buffer: &mut [u8; 20]) -> &str {
    let mut rest = number.unsigned_abs();
    let mut used = 0usize;
    for slot in buffer.iter_mut().rev() {
        *slot = b'0' | u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        used = used.saturating_add(1);
        if rest == 0 {
            break;
        }
    }
    let mut start = buffer.len().saturating_sub(used);
    if number < 0 {
        start = start.saturating_sub(1);
        if let Some(slot) = buffer.get_mut(start) {
            *slot = b'-';
        }
    }
    buffer
        .get(start..)
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .unwrap_or_default()
}

/// Plain XML.
#[derive(Debug, Default)]
pub struct PlainXml {
    out: Vec<u8>,
}

impl PlainXml {
    /// An empty document.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What was written.
    #[must_use]
    pub fn into_string(self) -> String {
        String::from_utf8(self.out).unwrap_or_default()
    }
}

impl Markup for PlainXml {
    fn open(&mut self, name: &str) {
        self.out.push(b'<');
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'>');
    }

    fn close(&mut self, name: &str) {
        self.out.extend_from_slice(b"</");
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'>');
    }

    fn empty(&mut self, name: &str) {
        self.out.push(b'<');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"/>");
    }

    fn text(&mut self, text: &str) {
        escape_into(&mut self.out, text, entity_once);
    }

    fn cdata(&mut self, text: &str) {
        self.out.extend_from_slice(b"<![CDATA[");
        cdata_into(&mut self.out, text, b"]]]]><![CDATA[>", entity_never);
        self.out.extend_from_slice(b"]]>");
    }
}

/// XML with its markup escaped once more, as the text of an XML-RPC `<string>`.
#[derive(Debug, Default)]
pub struct EscapedXml {
    out: Vec<u8>,
}

impl EscapedXml {
    /// An empty document with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            out: Vec::with_capacity(capacity),
        }
    }

    /// What was written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// Number of bytes written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Text that is escaped already (a cached fragment).
    pub fn raw(&mut self, escaped: &[u8]) {
        self.out.extend_from_slice(escaped);
    }

    /// Takes what was written so far, leaving an empty document.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }
}

impl Markup for EscapedXml {
    fn open(&mut self, name: &str) {
        self.out.extend_from_slice(b"&lt;");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"&gt;");
    }

    fn close(&mut self, name: &str) {
        self.out.extend_from_slice(b"&lt;/");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"&gt;");
    }

    fn empty(&mut self, name: &str) {
        self.out.extend_from_slice(b"&lt;");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"/&gt;");
    }

    fn text(&mut self, text: &str) {
        escape_into(&mut self.out, text, entity_twice);
    }

    fn cdata(&mut self, text: &str) {
        self.out.extend_from_slice(b"&lt;![CDATA[");
        cdata_into(&mut self.out, text, b"]]]]&gt;&lt;![CDATA[&gt;", entity_once);
        self.out.extend_from_slice(b"]]&gt;");
    }
}

fn entity_never(_: u8) -> Option<&'static [u8]> {
    None
}

fn entity_once(byte: u8) -> Option<&'static [u8]> {
    match byte {
        b'<' => Some(b"&lt;"),
        b'>' => Some(b"&gt;"),
        b'&' => Some(b"&amp;"),
        // A bare carriage return would be read back as a line feed.
        b'\r' => Some(b"&#xD;"),
        _ => None,
    }
}

fn entity_twice(byte: u8) -> Option<&'static [u8]> {
    match byte {
        b'<' => Some(b"&amp;lt;"),
        b'>' => Some(b"&amp;gt;"),
        b'&' => Some(b"&amp;amp;"),
        b'\r' => Some(b"&amp;#xD;"),
        _ => None,
    }
}

/// Bytes that are looked at together for one that is special.
const BLOCK: usize = 32;
/// The first byte of U+FFFE and U+FFFF, and of many harmless characters (the full-width forms).
const NONCHARACTERS_LEAD: u8 = 0xef;

/// Whether a byte has to be looked at. No branches: a whole block is tested with a few vector instructions.
const fn is_special(byte: u8) -> bool {
    (byte < b' ') | (byte == b'<') | (byte == b'>') | (byte == b'&') | (byte == NONCHARACTERS_LEAD)
}

/// Number of bytes before the first special one.
fn plain_length(bytes: &[u8]) -> usize {
    let clean = bytes
        .chunks_exact(BLOCK)
        .take_while(|block| !block.iter().fold(false, |found, &byte| found | is_special(byte)))
        .count()
        .saturating_mul(BLOCK);
    let rest = bytes.get(clean..).unwrap_or_default();
    let within = rest
        .iter()
        .position(|&byte| is_special(byte))
        .unwrap_or(rest.len());
    clean.saturating_add(within)
}

/// Writes the text with every byte replaced for which there is an entity, less what XML cannot carry.
fn escape_into(out: &mut Vec<u8>, text: &str, entity: impl Fn(u8) -> Option<&'static [u8]>) {
    let mut rest = text.as_bytes();
    loop {
        let (plain, tail) = rest.split_at(plain_length(rest));
        out.extend_from_slice(plain);
        let Some(&byte) = tail.first() else { return };
        let (written, used): (&[u8], usize) = match byte {
            b'\t' | b'\n' => (tail.get(..1).unwrap_or_default(), 1),
            NONCHARACTERS_LEAD => match tail.get(..3) {
                Some([_, 0xbf, 0xbe | 0xbf]) => (b"", 3),
                _ => (tail.get(..1).unwrap_or_default(), 1),
            },
            b'\r' | b' '.. => (entity(byte).unwrap_or(tail.get(..1).unwrap_or_default()), 1),
            _ => (b"", 1),
        };
        out.extend_from_slice(written);
        rest = tail.get(used..).unwrap_or_default();
    }
}

/// Writes the text of a CDATA section as [`escape_into`] does, with `split` for each end of a section in it.
fn cdata_into(out: &mut Vec<u8>, text: &str, split: &[u8], entity: impl Fn(u8) -> Option<&'static [u8]>) {
    // Without a bracket there is nothing to search for; finding that out is far cheaper than a search.
    if !text.as_bytes().contains(&b']') {
        return escape_into(out, text, entity);
    }
    // Searched is what XML carries of the text: a character that is dropped may stand within an end.
    let mut carried = Vec::with_capacity(text.len());
    escape_into(&mut carried, text, entity_never);
    for (index, part) in String::from_utf8_lossy(&carried).split("]]>").enumerate() {
        if index > 0 {
            out.extend_from_slice(split);
        }
        escape_into(out, part, &entity);
    }
}

#[cfg(test)]
mod tests;

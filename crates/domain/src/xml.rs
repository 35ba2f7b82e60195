//! A small XML tree: every name and value is escaped when it is written, so that no value can become markup.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::error::DomainError;
use crate::fragment::Fragment;

/// Blanks per level of nesting.
const INDENT: usize = 2;

/// An element with attributes in order and children in order.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    name: &'static str,
    attributes: Vec<(Cow<'static, str>, String)>,
    children: Vec<Node>,
}

#[derive(Clone, Debug)]
enum Node {
    Element(Element),
    Text(String),
    Fragment(Fragment),
}

impl Element {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            attributes: Vec::new(),
            children: Vec::new(),
        }
    }

    /// An element with nothing but text inside.
    pub(crate) fn leaf(name: &'static str, text: impl ToString) -> Self {
        let mut element = Self::new(name);
        element.children.push(Node::Text(text.to_string()));
        element
    }

    pub(crate) fn attr(mut self, name: impl Into<Cow<'static, str>>, value: impl ToString) -> Self {
        self.attributes.push((name.into(), value.to_string()));
        self
    }

    pub(crate) fn attr_opt(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.attr(name, value),
            None => self,
        }
    }

    pub(crate) fn text(mut self, text: impl ToString) -> Self {
        self.children.push(Node::Text(text.to_string()));
        self
    }

    /// Adds one element, an `Option` of one, or any other sequence of them.
    pub(crate) fn with(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.children.extend(children.into_iter().map(Node::Element));
        self
    }

    pub(crate) fn with_fragments(mut self, fragments: impl IntoIterator<Item = Fragment>) -> Self {
        self.children.extend(fragments.into_iter().map(Node::Fragment));
        self
    }

    pub(crate) fn is_bare(&self) -> bool {
        self.attributes.is_empty() && self.children.is_empty()
    }

    /// `None` where the element would say nothing.
    pub(crate) fn unless_bare(self) -> Option<Self> {
        (!self.is_bare()).then_some(self)
    }

    /// The element as indented text with a newline at its end.
    pub(crate) fn render(&self) -> Result<String, DomainError> {
        let mut out = String::new();
        self.write(&mut out, 0)?;
        Ok(out)
    }

    fn write(&self, out: &mut String, depth: usize) -> Result<(), DomainError> {
        indent(out, depth);
        out.push('<');
        out.push_str(self.name);
        for (name, value) in &self.attributes {
            let _ = write!(out, " {name}='"); // writing to a String cannot fail
            escape(out, value, Place::Attribute).map_err(|code| self.unencodable(Some(name), code))?;
            out.push('\'');
        }
        if self.children.is_empty() {
            out.push_str("/>\n");
            return Ok(());
        }
        out.push('>');
        let inline = self.children.iter().all(|child| matches!(child, Node::Text(_)));
        if !inline {
            out.push('\n');
        }
        for child in &self.children {
            self.write_child(out, child, depth.saturating_add(1))?;
        }
        if !inline {
            indent(out, depth);
        }
        let _ = writeln!(out, "</{}>", self.name);
        Ok(())
    }

    fn write_child(&self, out: &mut String, child: &Node, depth: usize) -> Result<(), DomainError> {
        match child {
            Node::Element(element) => element.write(out, depth)?,
            Node::Text(text) => {
                escape(out, text, Place::Text).map_err(|code| self.unencodable(None, code))?;
            }
            Node::Fragment(fragment) => {
                indent(out, depth);
                out.push_str(fragment.as_str());
                out.push('\n');
            }
        }
        Ok(())
    }

    fn unencodable(&self, attribute: Option<&str>, code: char) -> DomainError {
        let element = match attribute {
            Some(attribute) => format!("{} {attribute}=…", self.name),
            None => self.name.to_owned(),
        };
        DomainError::Unencodable {
            element,
            code: code.into(),
        }
    }
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n(' ', depth.saturating_mul(INDENT)));
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Text,
    Attribute,
}

/// Line ends and tabs are written as references where a parser would change them.
fn escape(out: &mut String, value: &str, place: Place) -> Result<(), char> {
    for character in value.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' if place == Place::Attribute => out.push_str("&apos;"),
            '\r' => out.push_str("&#13;"),
            '\n' if place == Place::Attribute => out.push_str("&#10;"),
            '\t' if place == Place::Attribute => out.push_str("&#9;"),
            other if is_xml_char(other) => out.push(other),
            other => return Err(other),
        }
    }
    Ok(())
}

/// Whether XML 1.0 has a way to write the character.
pub(crate) fn is_xml_char(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

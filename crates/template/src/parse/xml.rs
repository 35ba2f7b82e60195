//! The XML form: the children of the root are attributes, an element with elements inside is a vector.
//!
//! Element names are upper-cased and checked as names; XML attributes, comments and processing instructions are
//! skipped. There is no DOCTYPE, and no entity but the five predefined ones and numeric references. Line ends inside
//! values stay as they are, so that a value is read as it was written.

use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

use super::{MAX_TEMPLATE_VALUES, ParseError};
use crate::chars::{is_name, is_xml_char, trim};
use crate::{Attribute, Value};

/// The attributes of a document, in its order.
pub(super) fn read(text: &str) -> Result<Vec<Attribute>, ParseError> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut document = Document::default();
    loop {
        let event = reader.read_event();
        let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let step = match event {
            Ok(Event::Eof) => {
                return document
                    .finish()
                    .map_err(|detail| ParseError::xml(text, at, &detail));
            }
            Ok(event) => document.take(&event),
            Err(error) => {
                let at = usize::try_from(reader.error_position()).unwrap_or(usize::MAX);
                return Err(ParseError::xml(text, at, &error.to_string()));
            }
        };
        step.map_err(|detail| ParseError::xml(text, at, &detail))?;
    }
}

/// An attribute or a pair that is being read.
#[derive(Default)]
struct Element {
    name: String,
    text: String,
}

/// Which elements are open.
#[derive(Default)]
enum Level {
    #[default]
    Before,
    Root,
    Attribute,
    Pair,
    After,
}

#[derive(Default)]
struct Document {
    level: Level,
    attributes: Vec<Attribute>,
    attribute: Element,
    pair: Element,
    pairs: Vec<(String, String)>,
    values: usize,
}

impl Document {
    fn take(&mut self, event: &Event<'_>) -> Result<(), String> {
        match event {
            Event::Start(start) => self.open(start.name().0),
            Event::End(_) => self.close(),
            Event::Text(text) => self.text(text),
            Event::CData(text) => self.text(text),
            Event::GeneralRef(reference) => {
                let character = resolve(reference)?;
                self.text(character.encode_utf8(&mut [0; 4]))
            }
            Event::DocType(_) => Err("a DOCTYPE is not accepted: remove it".to_owned()),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::Empty(_) | Event::Eof => Ok(()),
        }
    }

    fn open(&mut self, name: &str) -> Result<(), String> {
        self.level = match self.level {
            Level::Before => Level::Root,
            Level::Root => {
                self.attribute = element(name)?;
                Level::Attribute
            }
            Level::Attribute => {
                if !trim(&self.attribute.text).is_empty() {
                    return Err(mixed(&self.attribute.name));
                }
                self.pair = element(name)?;
                Level::Pair
            }
            Level::Pair => return Err(format!("<{name}> is nested too deep: vectors hold values only")),
            Level::After => return Err(format!("<{name}> stands behind the end of the root element")),
        };
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        self.level = match self.level {
            Level::Pair => {
                self.count()?;
                let pair = std::mem::take(&mut self.pair);
                self.pairs.push((pair.name, trim(&pair.text).to_owned()));
                Level::Attribute
            }
            Level::Attribute => {
                self.count()?;
                let Element { name, text } = std::mem::take(&mut self.attribute);
                let value = if self.pairs.is_empty() {
                    Value::Single(trim(&text).to_owned())
                } else {
                    Value::Vector(self.pairs.drain(..).collect())
                };
                self.attributes.push(Attribute { name, value });
                Level::Root
            }
            Level::Root => Level::After,
            Level::Before | Level::After => return Err("an element ends that never began".to_owned()),
        };
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        if let Some(character) = text.chars().find(|&character| !is_xml_char(character)) {
            return Err(format!(
                "the character U+{:04X} is not allowed in XML",
                u32::from(character)
            ));
        }
        match self.level {
            Level::Pair => self.pair.text.push_str(text),
            Level::Attribute if self.pairs.is_empty() => self.attribute.text.push_str(text),
            _ if trim(text).is_empty() => {}
            Level::Attribute => return Err(mixed(&self.attribute.name)),
            Level::Root => return Err("text stands between the attributes".to_owned()),
            Level::Before | Level::After => return Err("text stands outside of the root element".to_owned()),
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), String> {
        self.values = self.values.saturating_add(1);
        if self.values > MAX_TEMPLATE_VALUES {
            return Err(format!(
                "the template holds more than the {MAX_TEMPLATE_VALUES} values allowed"
            ));
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<Attribute>, String> {
        match self.level {
            Level::After => Ok(self.attributes),
            Level::Before => Err("there is no root element".to_owned()),
            Level::Root => Err("the root element is not closed".to_owned()),
            Level::Attribute | Level::Pair => Err(format!("<{}> is not closed", self.attribute.name)),
        }
    }
}

fn element(name: &str) -> Result<Element, String> {
    if !is_name(name) {
        return Err(format!(
            "the element name \"{name}\" is not made of letters, digits and \"_\" only"
        ));
    }
    Ok(Element {
        name: name.to_ascii_uppercase(),
        text: String::new(),
    })
}

fn mixed(name: &str) -> String {
    format!("<{name}> holds both text and elements")
}

fn resolve(reference: &BytesRef<'_>) -> Result<char, String> {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return Ok(character);
    }
    match &**reference {
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "amp" => Ok('&'),
        "apos" => Ok('\''),
        "quot" => Ok('"'),
        other => Err(format!(
            "the entity &{other}; is not known: only lt, gt, amp, apos, quot and numbers are"
        )),
    }
}

//! The lossless stored form: compact JSON, `[["CPU","1"],["DISK",[["IMAGE_ID","0"]]]]`.
//!
//! Order, repeated names and every character survive. Reading a [`PackedTemplate`] writes its buffer straight from
//! the text; only a text that is out of order (no program of ours writes one) takes the way over the tree.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeSeq, Serializer};
use serde::{Deserialize, de};

use crate::chars::is_name;
use crate::packed::Packer;
use crate::{Attribute, PackedTemplate, PackedValue, PackedVector, Template, Value, Vector};

/// Why a stored text is no template.
#[derive(Debug, thiserror::Error)]
#[error("the stored template cannot be read: {0}")]
pub struct JsonError(#[from] serde_json::Error);

impl Template {
    /// The template as compact JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(self)
    }

    /// Reads what [`Template::to_json`] wrote.
    ///
    /// # Errors
    /// A text of any other shape, and names that are no attribute names.
    pub fn from_json(text: &str) -> Result<Self, JsonError> {
        Ok(serde_json::from_str(text)?)
    }
}

impl PackedTemplate {
    /// The template as compact JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(self)
    }

    /// Reads what [`PackedTemplate::to_json`] wrote.
    ///
    /// # Errors
    /// A text of any other shape, and names that are no attribute names.
    pub fn from_json(text: &str) -> Result<Self, JsonError> {
        Ok(serde_json::from_str(text)?)
    }
}

/// Strings and sequences only, into memory: there is nothing that could fail.
fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(self.len()))?;
        for attribute in self.iter() {
            sequence.serialize_element(&(&attribute.name, &attribute.value))?;
        }
        sequence.end()
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Single(text) => serializer.serialize_str(text),
            Value::Vector(vector) => vector.serialize(serializer),
        }
    }
}

impl Serialize for Vector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl Serialize for PackedTemplate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl Serialize for PackedValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            PackedValue::Single(text) => serializer.serialize_str(text),
            PackedValue::Vector(vector) => vector.serialize(serializer),
        }
    }
}

impl Serialize for PackedVector<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// A name, checked.
struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name_check::<D::Error>(&name)?;
        Ok(Self(name))
    }
}

fn name_check<E: de::Error>(name: &str) -> Result<(), E> {
    if is_name(name) {
        Ok(())
    } else {
        Err(E::custom(format!("{name:?} is not a name of an attribute")))
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let attributes: Vec<(Name, Value)> = Vec::deserialize(deserializer)?;
        Ok(attributes
            .into_iter()
            .map(|(name, value)| Attribute { name: name.0, value })
            .collect())
    }
}

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs: Vec<(Name, String)> = Vec::deserialize(deserializer)?;
        Ok(pairs.into_iter().map(|(name, value)| (name.0, value)).collect())
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;

        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of pairs")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
                Ok(Value::Single(text.to_owned()))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Value, E> {
                Ok(Value::Single(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, pairs: A) -> Result<Value, A::Error> {
                Vector::deserialize(de::value::SeqAccessDeserializer::new(pairs)).map(Value::Vector)
            }
        }

        deserializer.deserialize_any(ValueVisitor)
    }
}

impl<'de> Deserialize<'de> for PackedTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut packer = Packer::default();
        deserializer.deserialize_seq(Step {
            packer: &mut packer,
            take: Take::Attributes,
        })?;
        Ok(packer.finish())
    }
}

/// What a [`Step`] reads next.
#[derive(Clone, Copy)]
enum Take {
    Attributes,
    Attribute,
    Name,
    Value,
    Pair,
    Key,
    PairValue,
}

/// One element of the text, written to the packer as it is read.
struct Step<'p> {
    packer: &'p mut Packer,
    take: Take,
}

impl Step<'_> {
    /// Reads elements of one kind up to the end.
    fn every<'de, A: SeqAccess<'de>>(self, mut elements: A, take: Take) -> Result<(), A::Error> {
        while elements
            .next_element_seed(Step {
                packer: &mut *self.packer,
                take,
            })?
            .is_some()
        {}
        Ok(())
    }

    /// Reads exactly two elements.
    fn both<'de, A: SeqAccess<'de>>(
        self,
        mut elements: A,
        first: Take,
        second: Take,
    ) -> Result<(), A::Error> {
        for (index, take) in [first, second].into_iter().enumerate() {
            let read = elements.next_element_seed(Step {
                packer: &mut *self.packer,
                take,
            })?;
            read.ok_or_else(|| A::Error::invalid_length(index, &"a name and a value"))?;
        }
        match elements.next_element::<de::IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(A::Error::invalid_length(3, &"a name and a value")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Step<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Step<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.take {
            Take::Attributes => "a list of attributes",
            Take::Attribute | Take::Pair => "a list of a name and a value",
            Take::Name | Take::Key => "a name",
            Take::Value => "a text or a list of pairs",
            Take::PairValue => "a text",
        })
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        match self.take {
            Take::Name => {
                name_check(text)?;
                self.packer.name(text);
            }
            Take::Key => {
                name_check(text)?;
                self.packer.key(text);
            }
            Take::Value => self.packer.single(text),
            Take::PairValue => self.packer.pair_value(text),
            Take::Attributes | Take::Attribute | Take::Pair => {
                return Err(E::invalid_type(de::Unexpected::Str(text), &self));
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<(), A::Error> {
        match self.take {
            Take::Attributes => self.every(elements, Take::Attribute),
            Take::Attribute => self.both(elements, Take::Name, Take::Value),
            Take::Pair => self.both(elements, Take::Key, Take::PairValue),
            Take::Value => {
                self.packer.vector_begin();
                let packer = &mut *self.packer;
                Step {
                    packer,
                    take: Take::Value,
                }
                .every(elements, Take::Pair)?;
                self.packer.vector_end();
                Ok(())
            }
            Take::Name | Take::Key | Take::PairValue => {
                Err(A::Error::invalid_type(de::Unexpected::Seq, &self))
            }
        }
    }
}

#[cfg(test)]
mod tests;

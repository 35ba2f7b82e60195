//! A cursor over the parameters of a call: each getter takes the next one and checks its type.

use super::codec::Value;
use super::fault::Fault;

/// The parameters that have not been taken yet.
///
/// The getters named `…_or` are for parameters that callers may leave out; `nil` counts as left out.
#[derive(Debug)]
pub struct Params {
    values: std::vec::IntoIter<Value>,
}

impl From<Vec<Value>> for Params {
    fn from(values: Vec<Value>) -> Self {
        Self {
            values: values.into_iter(),
        }
    }
}

impl Params {
    /// A cursor before the first of these values.
    pub fn new(values: Vec<Value>) -> Self {
        values.into()
    }

    /// How many parameters have not been taken.
    pub fn remaining(&self) -> usize {
        self.values.len()
    }

    /// The next parameter, whatever its type.
    pub fn value(&mut self) -> Result<Value, Fault> {
        self.values.next().ok_or_else(Fault::too_few)
    }

    /// A text.
    pub fn string(&mut self) -> Result<String, Fault> {
        string_of(self.value()?)
    }

    /// A text, or `default` where the call ends before it.
    pub fn string_or(&mut self, default: &str) -> Result<String, Fault> {
        self.optional().map_or_else(|| Ok(default.to_owned()), string_of)
    }

    /// An integer of 32 bits (sent as `int`, or as `i8` in that range).
    pub fn int(&mut self) -> Result<i32, Fault> {
        int_of(self.value()?)
    }

    /// An integer of 32 bits, or `default` where the call ends before it.
    pub fn int_or(&mut self, default: i32) -> Result<i32, Fault> {
        self.optional().map_or(Ok(default), int_of)
    }

    /// An integer of 64 bits (sent as `i8` or `int`).
    pub fn long(&mut self) -> Result<i64, Fault> {
        long_of(self.value()?)
    }

    /// An integer of 64 bits, or `default` where the call ends before it.
    pub fn long_or(&mut self, default: i64) -> Result<i64, Fault> {
        self.optional().map_or(Ok(default), long_of)
    }

    /// A truth value.
    pub fn bool(&mut self) -> Result<bool, Fault> {
        bool_of(self.value()?)
    }

    /// A truth value, or `default` where the call ends before it.
    pub fn bool_or(&mut self, default: bool) -> Result<bool, Fault> {
        self.optional().map_or(Ok(default), bool_of)
    }

    /// An integer that some clients send as a truth value.
    pub fn int_or_bool(&mut self) -> Result<i32, Fault> {
        match self.value()? {
            Value::Bool(value) => Ok(value.into()),
            value => int_of(value),
        }
    }

    /// A truth value that some clients send as an integer: everything but 0 is true.
    pub fn bool_or_int(&mut self) -> Result<bool, Fault> {
        match self.value()? {
            Value::Bool(value) => Ok(value),
            Value::Int(value) => Ok(value != 0),
            Value::Long(value) => Ok(value != 0),
            _ => Err(Fault::wrong_type("boolean")),
        }
    }

    /// A floating point number; integers count as such.
    pub fn double(&mut self) -> Result<f64, Fault> {
        match self.value()? {
            Value::Double(value) => Ok(value),
            Value::Int(value) => Ok(value.into()),
            _ => Err(Fault::wrong_type("floating point number")),
        }
    }

    /// An array of integers.
    pub fn ints(&mut self) -> Result<Vec<i32>, Fault> {
        ints_of(self.value()?)
    }

    /// An array of integers, empty where the call ends before it.
    pub fn ints_or_empty(&mut self) -> Result<Vec<i32>, Fault> {
        self.optional().map_or(Ok(Vec::new()), ints_of)
    }

    /// An array of texts.
    pub fn strings(&mut self) -> Result<Vec<String>, Fault> {
        array_of(self.value()?)?.into_iter().map(string_of).collect()
    }

    /// All parameters have been taken; a fault if the call has more.
    pub fn finish(self) -> Result<(), Fault> {
        match self.remaining() {
            0 => Ok(()),
            surplus => Err(Fault::too_many(surplus)),
        }
    }

    fn optional(&mut self) -> Option<Value> {
        self.values.next().filter(|value| *value != Value::Nil)
    }
}

fn string_of(value: Value) -> Result<String, Fault> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(Fault::wrong_type("string")),
    }
}

fn int_of(value: Value) -> Result<i32, Fault> {
    match value {
        Value::Int(value) => Ok(value),
        Value::Long(value) => i32::try_from(value).map_err(|_| Fault::wrong_type("integer")),
        _ => Err(Fault::wrong_type("integer")),
    }
}

fn long_of(value: Value) -> Result<i64, Fault> {
    match value {
        Value::Int(value) => Ok(value.into()),
        Value::Long(value) => Ok(value),
        _ => Err(Fault::wrong_type("64-bit integer")),
    }
}

fn bool_of(value: Value) -> Result<bool, Fault> {
    match value {
        Value::Bool(value) => Ok(value),
        _ => Err(Fault::wrong_type("boolean")),
    }
}

fn ints_of(value: Value) -> Result<Vec<i32>, Fault> {
    array_of(value)?.into_iter().map(int_of).collect()
}

fn array_of(value: Value) -> Result<Vec<Value>, Fault> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(Fault::wrong_type("array")),
    }
}

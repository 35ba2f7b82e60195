//! [`Template`]: an ordered multimap of attributes, as users write them.

use crate::chars::name_normalize;

/// The value of one attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `NAME="text"`.
    Single(String),
    /// `NAME=[KEY="text", …]`.
    Vector(Vector),
}

/// The pairs of a vector attribute, sorted by key; a key occurs once (the first one given wins).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vector {
    pairs: Vec<(String, String)>,
}

impl Vector {
    /// A vector without pairs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of `key` (upper case).
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.find(key)
            .ok()
            .and_then(|at| self.pairs.get(at))
            .map(|(_, value)| value.as_str())
    }

    /// Sets `key` (made upper case) to `value`, replacing what was there.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        let key = name_normalize(key).into_owned();
        match self.find(&key) {
            Ok(at) => {
                if let Some(pair) = self.pairs.get_mut(at) {
                    pair.1 = value.into();
                }
            }
            Err(at) => self.pairs.insert(at, (key, value.into())),
        }
    }

    /// Sets `key` only if it is not there yet. Returns whether it was set.
    pub fn set_if_missing(&mut self, key: &str, value: impl Into<String>) -> bool {
        let missing = self.get(&name_normalize(key)).is_none();
        if missing {
            self.set(key, value);
        }
        missing
    }

    /// Removes `key` and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        let at = self.find(key).ok()?;
        Some(self.pairs.remove(at).1)
    }

    /// The pairs in order of key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Number of pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is no pair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.pairs.binary_search_by(|(name, _)| name.as_str().cmp(key))
    }
}

impl<K: AsRef<str>, V: Into<String>> FromIterator<(K, V)> for Vector {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut pairs: Vec<(String, String)> = pairs
            .into_iter()
            .map(|(key, value)| (name_normalize(key.as_ref()).into_owned(), value.into()))
            .collect();
        pairs.sort_by(|a, b| a.0.cmp(&b.0)); // stable: of equal keys the first given stays first, and is kept
        pairs.dedup_by(|later, earlier| later.0 == earlier.0);
        Self { pairs }
    }
}

/// One attribute: a name in upper case and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Upper-case name.
    pub name: String,
    /// Its value.
    pub value: Value,
}

/// Attributes sorted by name; equal names keep the order in which they were given.
///
/// The order is a fact of the wire format: recorded answers show attributes sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    attributes: Vec<Attribute>,
}

impl Template {
    /// A template without attributes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All attributes in order.
    pub fn iter(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter()
    }

    /// Number of attributes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.attributes.len()
    }

    /// Whether there is no attribute.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.attributes.is_empty()
    }

    /// All values of `name` (upper case), in order.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        let range = self.range(name);
        self.attributes
            .get(range)
            .unwrap_or_default()
            .iter()
            .map(|attribute| &attribute.value)
    }

    /// Whether an attribute of that name exists, single or vector.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        !self.range(name).is_empty()
    }

    /// The first single value of `name` (upper case).
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).find_map(|value| match value {
            Value::Single(text) => Some(text.as_str()),
            Value::Vector(_) => None,
        })
    }

    /// The first vector of `name` (upper case).
    #[must_use]
    pub fn vector(&self, name: &str) -> Option<&Vector> {
        self.vectors(name).next()
    }

    /// All vectors of `name` (upper case), in order.
    pub fn vectors<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Vector> + use<'a> {
        self.all(name).filter_map(|value| match value {
            Value::Vector(vector) => Some(vector),
            Value::Single(_) => None,
        })
    }

    /// All vectors of `name`, to change in place.
    pub fn vectors_mut<'a>(&'a mut self, name: &str) -> impl Iterator<Item = &'a mut Vector> + use<'a> {
        let range = self.range(name);
        self.attributes
            .get_mut(range)
            .unwrap_or_default()
            .iter_mut()
            .filter_map(|attribute| match &mut attribute.value {
                Value::Vector(vector) => Some(vector),
                Value::Single(_) => None,
            })
    }

    /// `vector(name).get(key)` in one step.
    #[must_use]
    pub fn pair(&self, name: &str, key: &str) -> Option<&str> {
        self.vector(name).and_then(|vector| vector.get(key))
    }

    /// The first single value as an integer, if it is one.
    #[must_use]
    pub fn get_i64(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(|text| text.trim().parse().ok())
    }

    /// The first single value as a finite decimal number, if it is one.
    #[must_use]
    pub fn get_f64(&self, name: &str) -> Option<f64> {
        self.get(name)
            .and_then(|text| text.trim().parse().ok())
            .filter(|number: &f64| number.is_finite())
    }

    /// Whether the first single value is `YES` (any case). A missing one is `None`.
    #[must_use]
    pub fn get_bool(&self, name: &str) -> Option<bool> {
        self.get(name)
            .map(|text| text.trim().eq_ignore_ascii_case("yes") || text.trim().eq_ignore_ascii_case("true"))
    }

    /// Adds an attribute behind those of the same name. The name is made upper case.
    pub fn add(&mut self, name: &str, value: Value) {
        let name = name_normalize(name).into_owned();
        let at = self.range(&name).end;
        self.attributes.insert(at, Attribute { name, value });
    }

    /// Replaces all attributes of that name by one single value.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.remove(&name_normalize(name));
        self.add(name, Value::Single(value.into()));
    }

    /// Sets a single value only where no attribute of that name exists. Returns whether it was set.
    pub fn set_if_missing(&mut self, name: &str, value: impl Into<String>) -> bool {
        let missing = !self.contains(&name_normalize(name));
        if missing {
            self.add(name, Value::Single(value.into()));
        }
        missing
    }

    /// Replaces all attributes of that name by one vector.
    pub fn set_vector(&mut self, name: &str, vector: Vector) {
        self.remove(&name_normalize(name));
        self.add(name, Value::Vector(vector));
    }

    /// Adds a vector behind those of the same name.
    pub fn add_vector(&mut self, name: &str, vector: Vector) {
        self.add(name, Value::Vector(vector));
    }

    /// Removes all attributes of that name (upper case); returns them.
    pub fn remove(&mut self, name: &str) -> Vec<Value> {
        let range = self.range(name);
        self.attributes
            .drain(range)
            .map(|attribute| attribute.value)
            .collect()
    }

    /// Keeps the attributes for which `keep` says so.
    pub fn retain(&mut self, keep: impl FnMut(&Attribute) -> bool) {
        self.attributes.retain(keep);
    }

    /// The attributes for which `first` says so, and the others.
    #[must_use]
    pub fn partition(self, first: impl FnMut(&Attribute) -> bool) -> (Self, Self) {
        let (first, second) = self.attributes.into_iter().partition(first);
        (Self { attributes: first }, Self { attributes: second })
    }

    /// Appends another template as the `append` mode of an update does: each name that `other` holds replaces
    /// all attributes of that name here.
    pub fn merge(&mut self, other: &Template) {
        self.attributes
            .retain(|attribute| !other.contains(&attribute.name));
        self.attributes.extend(other.attributes.iter().cloned());
        self.sort();
    }

    /// Of attributes with the same name keeps the last one, except of names for which `is_list` says so.
    pub(crate) fn keep_last(&mut self, is_list: impl Fn(&str) -> bool) {
        self.attributes.reverse();
        self.attributes
            .dedup_by(|later, earlier| later.name == earlier.name && !is_list(&later.name));
        self.attributes.reverse();
    }

    /// Stable: equal names keep their order.
    fn sort(&mut self) {
        self.attributes.sort_by(|a, b| a.name.cmp(&b.name));
    }

    fn range(&self, name: &str) -> std::ops::Range<usize> {
        let start = self
            .attributes
            .partition_point(|attribute| attribute.name.as_str() < name);
        // Few attributes have the same name, and most are not there at all.
        let rest = self.attributes.get(start..).unwrap_or_default();
        let equal = rest.iter().take_while(|attribute| attribute.name == name).count();
        start..start.saturating_add(equal)
    }
}

impl FromIterator<Attribute> for Template {
    fn from_iter<I: IntoIterator<Item = Attribute>>(attributes: I) -> Self {
        let attributes = attributes.into_iter().map(|attribute| {
            let Attribute { name, value } = attribute;
            match name_normalize(&name) {
                std::borrow::Cow::Owned(name) => Attribute { name, value },
                std::borrow::Cow::Borrowed(_) => Attribute { name, value },
            }
        });
        let mut template = Self {
            attributes: attributes.collect(),
        };
        template.sort();
        template
    }
}

#[cfg(test)]
mod tests;

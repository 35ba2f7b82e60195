//! Files in YAML whose keys look like `:key`, as programs in Ruby write them. All scalars are taken as they are written.

use std::io::Read;
use std::path::Path;

use saphyr::{ScalarStyle, Yaml, YamlLoader};
use saphyr_parser::{BufferedInput, Parser};

/// Longest file, in bytes.
const SIZE_MAX: u64 = 1 << 20;

/// Reads a file that holds one mapping, and gives its pairs to `take`, in their order.
///
/// # Errors
/// When it cannot be read, is no such file, or `take` says so.
pub(super) fn file_read<T>(
    path: &Path,
    take: impl FnOnce(Vec<(&str, &Yaml<'_>)>) -> Result<T, String>,
) -> Result<T, String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
    file.take(SIZE_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > SIZE_MAX {
        return Err(format!("is longer than {SIZE_MAX} bytes"));
    }
    text_read(&text, take)
}

/// Reads a text, as [`file_read`] a file.
///
/// # Errors
/// As there.
pub(super) fn text_read<T>(
    text: &str,
    take: impl FnOnce(Vec<(&str, &Yaml<'_>)>) -> Result<T, String>,
) -> Result<T, String> {
    let documents = documents(text)?;
    match documents.first() {
        Some(document) => take(pairs(document).ok_or("holds no mapping of keys to values")?),
        None => take(Vec::new()),
    }
}

fn documents(text: &str) -> Result<Vec<Yaml<'_>>, String> {
    let mut loader = YamlLoader::<Yaml<'_>>::default();
    // So that 0123 and no stay what they are in a password.
    loader.early_parse(false);
    Parser::new(BufferedInput::new(text.chars()))
        .load(&mut loader, true)
        .map_err(|error| format!("is no YAML: {error}"))?;
    match loader.error() {
        Some(error) => Err(format!("is no YAML: {error}")),
        None => Ok(loader.into_documents()),
    }
}

/// The pairs of a mapping, in their order; `None` when it is none, or has keys that are no text.
pub(super) fn pairs<'a>(node: &'a Yaml<'_>) -> Option<Vec<(&'a str, &'a Yaml<'a>)>> {
    let Yaml::Mapping(mapping) = node else {
        return None;
    };
    mapping
        .iter()
        .map(|(key, value)| Some((text(key)?, value)))
        .collect()
}

/// The text of a scalar; `None` for what is none, or null.
pub(super) fn text<'a>(node: &'a Yaml<'_>) -> Option<&'a str> {
    match node {
        Yaml::Representation(text, ScalarStyle::Plain, _) if matches!(text.as_ref(), "" | "~" | "null") => {
            None
        }
        Yaml::Representation(text, _, _) => Some(text),
        _ => None,
    }
}

/// A scalar, or the scalars of a list.
pub(super) fn texts(node: &Yaml<'_>) -> Option<Vec<String>> {
    match node {
        Yaml::Sequence(list) => list.iter().map(|item| text(item).map(str::to_owned)).collect(),
        other => text(other).map(|text| vec![text.to_owned()]),
    }
}

//! [`DomainError`]: why no domain description can be made.

/// Why no domain description can be made: which attribute, what is wrong with it, and what to do.
///
/// Attributes are named as users write them: `MEMORY`, `OS/MACHINE`, `DISK[DISK_ID=2]/TARGET`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DomainError {
    /// An attribute without which the domain cannot be described is absent or empty.
    #[error("{attribute} is missing: {why}; {remedy}")]
    Missing {
        /// Name of the attribute.
        attribute: String,
        /// What it is needed for.
        why: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A value that is none of those that have a meaning.
    #[error("{attribute}=\"{value}\" is not valid: {why}; {remedy}")]
    Invalid {
        /// Name of the attribute.
        attribute: String,
        /// Its value, cut to a readable length.
        value: String,
        /// What is wrong.
        why: String,
        /// What to do.
        remedy: String,
    },
    /// A number that is none, or is outside its range.
    #[error("{attribute}=\"{value}\" is not valid: a whole number from {min} to {max} is needed; correct it")]
    OutOfRange {
        /// Name of the attribute.
        attribute: String,
        /// Its value, cut to a readable length.
        value: String,
        /// Smallest value allowed.
        min: u64,
        /// Largest value allowed.
        max: u64,
    },
    /// A piece of XML given by a user that cannot be put into the description.
    #[error("{attribute} cannot be used: {why}; {remedy}")]
    Fragment {
        /// Name of the attribute.
        attribute: String,
        /// What is wrong with the XML.
        why: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A value holds a character that XML has no way to write.
    #[error(
        "the value for <{element}> holds the character U+{code:04X}, which XML cannot carry; \
         remove it from the template"
    )]
    Unencodable {
        /// The XML element (and attribute) that was to carry the value.
        element: String,
        /// The character.
        code: u32,
    },
}

/// Longest part of a wrong value that an error repeats, in characters.
const SHOWN_VALUE_CHARS: usize = 80;

pub(crate) fn shown(value: &str) -> String {
    let mut text: String = value.chars().take(SHOWN_VALUE_CHARS).collect();
    if text.len() < value.len() {
        text.push('…');
    }
    text
}

pub(crate) fn invalid(
    attribute: impl Into<String>,
    value: &str,
    why: impl Into<String>,
    remedy: impl Into<String>,
) -> DomainError {
    DomainError::Invalid {
        attribute: attribute.into(),
        value: shown(value),
        why: why.into(),
        remedy: remedy.into(),
    }
}

pub(crate) fn missing(attribute: impl Into<String>, why: &'static str, remedy: &'static str) -> DomainError {
    DomainError::Missing {
        attribute: attribute.into(),
        why,
        remedy,
    }
}

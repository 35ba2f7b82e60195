//! References to file images: `$FILE[IMAGE="n"]`, `$FILE[IMAGE_ID=i]`, with the owner of a named image as an optional
//! second pair, `IMAGE_UNAME` or `IMAGE_UID`.

use super::{Scanner, SubstituteError};

/// The most references that one value may hold.
const MAX_FILE_REFERENCES: usize = 1024;

/// One reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReference {
    /// The image meant.
    pub image: FileImage,
    /// Whose image of that name; without it that of the virtual machine's owner.
    pub owner: Option<FileOwner>,
}

/// How a reference names its image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileImage {
    /// By `IMAGE`.
    Name(String),
    /// By `IMAGE_ID`.
    Id(i64),
}

/// How a reference names the owner of its image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileOwner {
    /// By `IMAGE_UNAME`.
    Name(String),
    /// By `IMAGE_UID`.
    Id(i64),
}

/// The references of a value, separated by one character of any kind or by blanks.
///
/// # Errors
/// Anything else in the value, and none at all.
pub fn file_references(text: &str) -> Result<Vec<FileReference>, SubstituteError> {
    let mut scanner = Scanner { text, at: 0 };
    let mut references = Vec::new();
    loop {
        scanner.skip_blanks();
        if scanner.peek().is_none() && !references.is_empty() {
            return Ok(references);
        }
        if references.len() >= MAX_FILE_REFERENCES {
            return Err(scanner.error(format!(
                "more than the {MAX_FILE_REFERENCES} file references allowed"
            )));
        }
        if !scanner.take_sign('$') {
            return Err(scanner.unexpected("$FILE[IMAGE=\"name\"] or $FILE[IMAGE_ID=number]"));
        }
        references.push(reference(&mut scanner)?);
        if scanner.peek() != Some('$') {
            scanner.take();
        }
    }
}

fn reference(scanner: &mut Scanner<'_>) -> Result<FileReference, SubstituteError> {
    let name = scanner.name()?;
    if !name.eq_ignore_ascii_case("FILE") || !scanner.take_sign('[') {
        return Err(scanner.unexpected("the variable FILE: $FILE[IMAGE=\"name\"] or $FILE[IMAGE_ID=number]"));
    }
    let (key, value) = scanner.pair()?;
    let image = match key.to_ascii_uppercase().as_str() {
        "IMAGE" => FileImage::Name(value.to_owned()),
        "IMAGE_ID" => FileImage::Id(id(scanner, value)?),
        other => return Err(scanner.error(format!("the file is told by IMAGE or IMAGE_ID, not by {other}"))),
    };
    let owner = if scanner.take_sign(',') {
        Some(owner(scanner)?)
    } else {
        None
    };
    scanner.close()?;
    Ok(FileReference { image, owner })
}

fn owner(scanner: &mut Scanner<'_>) -> Result<FileOwner, SubstituteError> {
    let (key, value) = scanner.pair()?;
    match key.to_ascii_uppercase().as_str() {
        "IMAGE_UNAME" => Ok(FileOwner::Name(value.to_owned())),
        "IMAGE_UID" => Ok(FileOwner::Id(id(scanner, value)?)),
        other => Err(scanner.error(format!(
            "the owner is told by IMAGE_UNAME or IMAGE_UID, not by {other}"
        ))),
    }
}

fn id(scanner: &Scanner<'_>, text: &str) -> Result<i64, SubstituteError> {
    text.trim()
        .parse()
        .map_err(|_| scanner.error(format!("{text:?} is not the number of an object")))
}

//! Where templates come from: a file, standard input, or an editor.

use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::CliError;

/// How large a template may be, in bytes.
const TEMPLATE_BYTES_MAX: u64 = 16 << 20;
/// How many names are tried for the file the editor gets.
const FILE_TRIES: u32 = 100;
/// The editor when `EDITOR` does not name one.
const EDITOR_DEFAULT: &str = "vi";

/// The text of a file.
pub fn file_read(path: &str) -> Result<String, CliError> {
    let file =
        fs::File::open(path).map_err(|error| CliError::text(format!("{path} cannot be read: {error}")))?;
    text_read(file, path)
}

/// What waits on standard input; nothing when that is a terminal.
pub fn stdin_read() -> Result<Option<String>, CliError> {
    let input = io::stdin();
    if input.is_terminal() {
        return Ok(None);
    }
    text_read(input.lock(), "Standard input").map(Some)
}

fn text_read(reader: impl Read, name: &str) -> Result<String, CliError> {
    let mut text = String::new();
    let read = reader.take(TEMPLATE_BYTES_MAX + 1).read_to_string(&mut text);
    let count = read.map_err(|error| CliError::text(format!("{name} cannot be read: {error}")))?;
    if count as u64 > TEMPLATE_BYTES_MAX {
        return Err(CliError::text(format!(
            "{name} is larger than {TEMPLATE_BYTES_MAX} bytes."
        )));
    }
    Ok(text)
}

/// The text from the file if one is named, else from standard input.
pub fn required(path: &str) -> Result<String, CliError> {
    if !path.is_empty() {
        return file_read(path);
    }
    stdin_read()?.ok_or_else(|| {
        CliError::text("No template was given. Name a file, or send the template to standard input.")
    })
}

/// The text from the file if one is named, else from standard input if something is there, else from an
/// editor that is given `current`. `None` means that nothing was changed.
pub fn edited(
    path: &str,
    current: impl FnOnce() -> Result<String, CliError>,
) -> Result<Option<String>, CliError> {
    if !path.is_empty() {
        return file_read(path).map(Some);
    }
    match stdin_read()? {
        // An empty input (a service, cron) must not wipe out a template.
        Some(text) if text.trim().is_empty() => Err(CliError::text(
            "The template on standard input is empty. Name a file, or send a template.",
        )),
        Some(text) => Ok(Some(text)),
        None => {
            let before = current()?;
            let after = editor_run(&before)?;
            Ok((after != before).then_some(after))
        }
    }
}

/// Lets the caller edit a text.
pub fn editor_run(text: &str) -> Result<String, CliError> {
    let path = private_file_create(text)?;
    let outcome = editor_run_on(&path);
    let removed = fs::remove_file(&path);
    let after = outcome?;
    removed.map_err(|error| CliError::text(format!("{} cannot be removed: {error}", path.display())))?;
    Ok(after)
}

fn editor_run_on(path: &Path) -> Result<String, CliError> {
    let editor = std::env::var("EDITOR")
        .ok()
        .filter(|text| !text.trim().is_empty());
    let editor = editor.unwrap_or_else(|| EDITOR_DEFAULT.to_owned());
    let mut words = editor.split_whitespace();
    let status = Command::new(words.next().unwrap_or(EDITOR_DEFAULT))
        .args(words)
        .arg(path)
        .status()
        .map_err(|error| {
            CliError::text(format!(
                "The editor '{editor}' cannot be started: {error}. Set EDITOR to another."
            ))
        })?;
    if !status.success() {
        return Err(CliError::text(format!(
            "The editor '{editor}' failed ({status}). Nothing was changed."
        )));
    }
    file_read(&path.display().to_string())
}

/// A new file that nobody else can read, holding `text`.
fn private_file_create(text: &str) -> Result<PathBuf, CliError> {
    for number in 0..FILE_TRIES {
        let path = std::env::temp_dir().join(format!("one-{}-{number}.txt", std::process::id()));
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
        {
            Ok(mut file) => {
                return file
                    .write_all(text.as_bytes())
                    .map(|()| path.clone())
                    .map_err(|error| {
                        CliError::text(format!("{} cannot be written: {error}", path.display()))
                    });
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(CliError::text(format!(
                    "{} cannot be created: {error}",
                    path.display()
                )));
            }
        }
    }
    Err(CliError::text(format!(
        "No new file can be created in {}.",
        std::env::temp_dir().display()
    )))
}

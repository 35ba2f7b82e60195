//! Scripts of drivers that are not built in: found beneath the directory of the drivers, run by argument vector, their
//! answers read as the old driver protocol defines them.
//!
//! - `find`: which file a call means, and what to say when there is none
//! - `reply`: what standard output and standard error mean

mod find;
mod reply;

use std::fs::{DirBuilder, File};
use std::io::{Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use plerion_protocol::{ActionOutput, ContextFile, ScriptArgument, ScriptCall};
use rustix::fs::MemfdFlags;

use crate::fault::{Act, IoContext, failed, refused};
use crate::limits::Limits;
use crate::names;
use crate::process::{Program, search_path};
use crate::roots::normalized;
use crate::roots::path_text;

/// Directory of the drivers' scripts of an installation for the whole system.
const REMOTES_OF_SYSTEM: &str = "/var/lib/one/remotes";
/// Directory for files of calls, in the agent's state directory.
const SCRATCH: &str = "scripts";
/// Arguments of one call.
const ARGUMENTS_MAX: usize = 1000;
/// Variables of one call.
const VARIABLES_MAX: usize = 100;
/// Bytes that are given to a script on its standard input.
const STDIN_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The scripts of the drivers on this machine.
pub(crate) struct Scripts {
    remotes: PathBuf,
    scratch: PathBuf,
    /// Calls so far, to tell their files apart.
    calls: AtomicU64,
}

/// Where the drivers' scripts are when nothing is said: in the installation that `ONE_LOCATION` names, else in the
/// system's.
pub(crate) fn remotes_default() -> Act<PathBuf> {
    match location() {
        Some(location) => {
            let path = std::path::absolute(location.join("var/remotes"))
                .at("cannot make absolute ONE_LOCATION", &location)?;
            normalized(path_text(&path)?)
        }
        None => Ok(PathBuf::from(REMOTES_OF_SYSTEM)),
    }
}

/// The installation in one directory, if it is one.
fn location() -> Option<PathBuf> {
    std::env::var_os("ONE_LOCATION")
        .filter(|location| !location.is_empty())
        .map(PathBuf::from)
}

impl Scripts {
    /// The scripts in `remotes`, which need not exist; files of calls go beneath `state`, and those that an earlier
    /// process left there are deleted.
    pub(crate) fn open(remotes: &Path, state: &Path) -> Act<Self> {
        let scratch = state.join(SCRATCH);
        match std::fs::remove_dir_all(&scratch) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).at("cannot clear", &scratch);
            }
            _ => {}
        }
        Ok(Self {
            remotes: remotes.to_owned(),
            scratch,
            calls: AtomicU64::new(0),
        })
    }

    /// Runs one script to its end. See [`plerion_protocol::Action::ScriptRun`].
    pub(crate) fn run(&self, call: &ScriptCall, limits: &Limits) -> Act<ActionOutput> {
        call_check(call)?;
        let script = find::script_find(&self.remotes, &call.programs)?;
        let files = CallFiles::new(self);
        let mut program = Program::new(path_text(&script)?).input_file(stdin_file(&call.stdin)?);
        for argument in &call.arguments {
            program = match argument {
                ScriptArgument::Text(text) => program.arg(text),
                ScriptArgument::Here(path) => program.arg(format!("{}:{path}", machine_name())),
                ScriptArgument::File(file) => program.arg(files.write(file)?),
            };
        }
        if let Some(location) = location() {
            // Its tools come first, as for whoever logs in there.
            let mut path = location.join("bin").into_os_string();
            path.push(":");
            path.push(search_path());
            program = program.env("PATH", path);
        }
        for (name, value) in &call.environment {
            program = program.env(name, value);
        }
        let output = program.run(limits)?;
        reply::log_lines_pass(&script, &output.stderr_whole);
        if !output.status.success() {
            return Err(failed(reply::failure_text(
                &script,
                output.status,
                &output.stderr_whole,
            )));
        }
        reply::output_read(&script, call.reply, &output.stdout)
    }
}

/// Files of one call, deleted when it is over: they may hold passwords.
struct CallFiles {
    directory: PathBuf,
}

impl CallFiles {
    fn new(scripts: &Scripts) -> Self {
        let number = scripts.calls.fetch_add(1, Ordering::Relaxed);
        Self {
            directory: scripts.scratch.join(number.to_string()),
        }
    }

    fn write(&self, file: &ContextFile) -> Act<PathBuf> {
        names::file_check(&file.name)?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
            .at("cannot make", &self.directory)?;
        let path = self.directory.join(&file.name);
        crate::state::file_write(&path, file.text.as_bytes(), 0o600)?;
        Ok(path)
    }
}

impl Drop for CallFiles {
    fn drop(&mut self) {
        match std::fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.directory.display(), %error, "files of a script's call stay behind");
            }
            _ => {}
        }
    }
}

fn call_check(call: &ScriptCall) -> Act<()> {
    if call.arguments.len() > ARGUMENTS_MAX || call.environment.len() > VARIABLES_MAX {
        return Err(refused(format!(
            "a script takes {ARGUMENTS_MAX} arguments and {VARIABLES_MAX} variables at most"
        )));
    }
    if call.stdin.len() > STDIN_BYTES_MAX {
        return Err(refused(format!(
            "{} bytes for the standard input of a script are more than the {STDIN_BYTES_MAX} allowed",
            call.stdin.len()
        )));
    }
    for (name, _) in &call.environment {
        let plain = name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        if !plain || !name.starts_with(|first: char| first.is_ascii_uppercase()) {
            return Err(refused(format!("{name:?} is not a name for a variable")));
        }
    }
    Ok(())
}

/// The standard input as a file in memory: a pipe would take only so much before somebody reads.
fn stdin_file(text: &str) -> Act<File> {
    let cannot =
        |error: std::io::Error| failed(format!("cannot make the standard input of a script: {error}"));
    let descriptor = rustix::fs::memfd_create("script-stdin", MemfdFlags::CLOEXEC)
        .map_err(|error| cannot(error.into()))?;
    let mut file = File::from(descriptor);
    file.write_all(text.as_bytes()).map_err(cannot)?;
    file.rewind().map_err(cannot)?;
    Ok(file)
}

/// The name of this machine, by which scripts on hosts reach it.
fn machine_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;

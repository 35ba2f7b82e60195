//! Which file a call of a script means.

use std::path::{Path, PathBuf};

use crate::fault::{Act, failed, refused};

/// Names that a call may offer.
const PROGRAMS_MAX: usize = 8;
/// Parts of such a name: family, driver, script.
const PARTS: usize = 3;

/// The first of `programs` that exists beneath `remotes`: an executable file, there with all links resolved. The path
/// is given as it was asked for, because scripts find their neighbours by the name they were called by.
pub(super) fn script_find(remotes: &Path, programs: &[String]) -> Act<PathBuf> {
    if programs.is_empty() || programs.len() > PROGRAMS_MAX {
        return Err(refused(format!(
            "a call of a script offers 1 to {PROGRAMS_MAX} names"
        )));
    }
    for program in programs {
        name_check(program)?;
    }
    for program in programs {
        let path = remotes.join(program);
        if path.symlink_metadata().is_ok() {
            script_check(remotes, &path)?;
            return Ok(path);
        }
    }
    Err(failed(missing_text(remotes, programs)))
}

/// Three parts of plain characters, so that nothing leads out of the directory.
fn name_check(program: &str) -> Act<()> {
    let parts: Vec<&str> = program.split('/').collect();
    let plain = |part: &&str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    if parts.len() == PARTS && parts.iter().all(plain) {
        return Ok(());
    }
    Err(refused(format!(
        "{program:?} does not name a driver's script: FAMILY/DRIVER/SCRIPT of letters, digits, '.', '_', '-'"
    )))
}

fn script_check(remotes: &Path, path: &Path) -> Act<()> {
    let shown = path.display();
    let real = path
        .canonicalize()
        .map_err(|error| failed(format!("the driver's script {shown} cannot be resolved: {error}")))?;
    let home = remotes
        .canonicalize()
        .map_err(|error| failed(format!("{} cannot be resolved: {error}", remotes.display())))?;
    if !real.starts_with(&home) {
        return Err(failed(format!(
            "the driver's script {shown} leads by a link to {}, outside of {}; copy it there",
            real.display(),
            home.display()
        )));
    }
    if !real.is_file() {
        return Err(failed(format!(
            "the driver's script {shown} is not a regular file"
        )));
    }
    rustix::fs::access(&real, rustix::fs::Access::EXEC_OK).map_err(|_| {
        failed(format!(
            "the driver's script {shown} is not executable; chmod +x it"
        ))
    })
}

fn missing_text(remotes: &Path, programs: &[String]) -> String {
    let first = programs.first().map_or("", String::as_str);
    let directory = remotes.join(first.rsplit_once('/').map_or("", |(directory, _)| directory));
    if !directory.is_dir() {
        let driver = directory.file_name().unwrap_or_default().to_string_lossy();
        return format!(
            "driver {driver} is not built in, and its directory {} does not exist; put the driver's scripts there, or \
             name another driver in the datastore",
            directory.display()
        );
    }
    let looked: Vec<String> = programs
        .iter()
        .map(|program| remotes.join(program).display().to_string())
        .collect();
    format!(
        "the driver's script {} does not exist; the driver does not support this operation, or is not complete",
        looked.join(" or ")
    )
}

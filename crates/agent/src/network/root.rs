//! The root helper: one typed request on standard input, checked again, done, answered on standard output.
//!
//! It is the program itself, installed at a fixed path that belongs to root; the one line of sudoers names that path
//! without arguments.

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use plerion_protocol::{ActionError, ErrorKind};
use serde::{Deserialize, Serialize};

use super::bridge::bridge_make;
use crate::fault::{Act, failed, refused};
use crate::limits::Limits;
use crate::process::Program;

/// Version of the requests below.
const ROOT_VERSION: u32 = 1;
/// Where the helper is installed.
const HELPER: &str = "/usr/local/sbin/plerion-node-root";
/// Longest request, in bytes.
const REQUEST_BYTES_MAX: u64 = 16 * 1024;
/// Time for one task.
const TASK_TIME_MAX: Duration = Duration::from_secs(60);

/// What needs root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum RootTask {
    /// Makes a Linux bridge, with a device in it.
    BridgeMake {
        /// Interface name.
        name: String,
        /// Device to put into it.
        phydev: Option<String>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RootRequest {
    version: u32,
    task: RootTask,
}

/// Read before the task, which another version may not understand.
#[derive(Deserialize)]
struct RootVersion {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct RootAnswer {
    version: u32,
    result: Result<(), ActionError>,
}

/// Does a task that needs root: directly when this is root, else by the helper.
pub(crate) fn root_call(task: RootTask, limits: &Limits) -> Act<()> {
    let limits = limits.at_most(TASK_TIME_MAX);
    if rustix::process::geteuid().is_root() {
        return task_do(&task, &limits);
    }
    if !Path::new(HELPER).exists() {
        return Err(failed(format!(
            "the root helper is missing on this host; {}",
            helper_advice()
        )));
    }
    let request = serde_json::to_vec(&RootRequest {
        version: ROOT_VERSION,
        task,
    })
    .map_err(|error| failed(format!("a request to the root helper: {error}")))?;
    let output = Program::new("sudo")
        .args(["-n", HELPER])
        .input(request)
        .run(&limits)?;
    let answer: RootAnswer = serde_json::from_slice(&output.stdout).map_err(|_| {
        failed(format!(
            "the root helper did not answer ({}: {}); the file /etc/sudoers.d/plerion-node-root must say: oneadmin ALL=(root) \
             NOPASSWD: {HELPER} \"\"",
            output.status, output.stderr
        ))
    })?;
    if answer.version != ROOT_VERSION {
        return Err(version_refused(answer.version));
    }
    answer.result
}

fn helper_advice() -> String {
    let program =
        std::env::current_exe().map_or_else(|_| "PROGRAM".to_owned(), |path| path.display().to_string());
    format!("as root, run: install -o root -g root -m 0755 {program} {HELPER}")
}

fn version_refused(version: u32) -> ActionError {
    ActionError::new(
        ErrorKind::Version,
        format!(
            "the root helper has version {version}, {ROOT_VERSION} is needed; {}",
            helper_advice()
        ),
    )
}

fn task_do(task: &RootTask, limits: &Limits) -> Act<()> {
    match task {
        RootTask::BridgeMake { name, phydev } => bridge_make(name, phydev.as_deref(), limits),
    }
}

/// `plerion node root`, or the program under the name `plerion-node-root`.
pub(crate) fn root_main() -> Act<()> {
    let mut text = Vec::new();
    std::io::stdin()
        .lock()
        .take(REQUEST_BYTES_MAX + 1)
        .read_to_end(&mut text)
        .map_err(|error| failed(format!("cannot read the request: {error}")))?;
    let result = request_read(&text).and_then(|task| task_do(&task, &Limits::new(TASK_TIME_MAX)));
    let failure = result.clone().err();
    let answer = serde_json::to_vec(&RootAnswer {
        version: ROOT_VERSION,
        result,
    })
    .map_err(|error| failed(format!("cannot write the answer: {error}")))?;
    let mut output = std::io::stdout();
    output
        .write_all(&answer)
        .and_then(|()| output.flush())
        .map_err(|error| failed(format!("cannot write the answer: {error}")))?;
    failure.map_or(Ok(()), Err)
}

fn request_read(text: &[u8]) -> Act<RootTask> {
    if text.len() as u64 > REQUEST_BYTES_MAX {
        return Err(refused(format!(
            "a request is longer than {REQUEST_BYTES_MAX} bytes"
        )));
    }
    let bad = |error: serde_json::Error| refused(format!("not a request for the root helper: {error}"));
    let version: RootVersion = serde_json::from_slice(text).map_err(bad)?;
    if version.version != ROOT_VERSION {
        return Err(version_refused(version.version));
    }
    let request: RootRequest = serde_json::from_slice(text).map_err(bad)?;
    Ok(request.task)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_typed_and_versioned() {
        let good = br#"{"version":1,"task":{"bridge_make":{"name":"br0","phydev":null}}}"#;
        let task = RootTask::BridgeMake {
            name: "br0".to_owned(),
            phydev: None,
        };
        assert_eq!(request_read(good).expect("understood"), task);
        let newer = request_read(br#"{"version":2,"task":{"reboot":{}}}"#).expect_err("refused");
        assert_eq!(newer.kind, ErrorKind::Version);
        assert!(newer.text.contains("install -o root"), "{}", newer.text);
        for bad in [
            &b"{}"[..],
            b"",
            br#"{"version":1,"task":{"reboot":{}}}"#,
            br#"{"version":1,"task":{"bridge_make":{"name":"br0","phydev":null}},"more":1}"#,
        ] {
            assert!(request_read(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert!(request_read(&vec![b' '; 20_000]).is_err());
    }

    #[test]
    fn names_are_checked_again() {
        let limits = Limits::new(Duration::from_secs(5));
        for (name, phydev) in [("-x", None), ("br0;reboot", None), ("br0", Some("../eth0"))] {
            let task = RootTask::BridgeMake {
                name: name.to_owned(),
                phydev: phydev.map(str::to_owned),
            };
            assert_eq!(
                task_do(&task, &limits).expect_err("refused").kind,
                ErrorKind::Refused
            );
        }
    }
}

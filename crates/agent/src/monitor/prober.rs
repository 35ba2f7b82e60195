//! The administrator's probes: scripts that measure what the agent does not. They come from the front-end, are run one after
//! the other in a thread of their own, and what they print goes back as it is.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use plerion_protocol::{FromNode, ProbeFamily, ProbeFile, ProbeRound, ProbeSet};

use crate::fault::{Act, IoContext, failed, refused};
use crate::limits::Limits;
use crate::process::Program;
use crate::roots::path_text;

/// Directory of the probes, in the agent's state directory.
const DIRECTORY: &str = "probes";
/// Time for one probe.
const PROBE_TIME_MAX: Duration = Duration::from_secs(30);
/// Bytes that one probe may print.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// Files of a set, and their bytes in base64.
const FILES_MAX: usize = 1000;
const FILE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Sets that wait.
const SETS_MAX: usize = 4;

/// Where results go.
type Emit = dyn Fn(FromNode) + Send + Sync;

/// The thread that runs probes.
pub(crate) struct Prober {
    sets: SyncSender<ProbeSet>,
}

/// Seconds between two rounds of a family (those of 7.4 where nothing else is set).
fn period_s(family: ProbeFamily) -> u64 {
    match family {
        ProbeFamily::HostBeacon | ProbeFamily::VmMonitor | ProbeFamily::VmStatus => 30,
        ProbeFamily::HostMonitor => 120,
        ProbeFamily::HostSystem => 600,
    }
}

impl Prober {
    /// Starts the thread; its files go beneath `state`.
    pub(crate) fn start(state: &Path, emit: Box<Emit>) -> Self {
        let (sets, receiver) = sync_channel(SETS_MAX);
        let directory = state.join(DIRECTORY);
        std::thread::spawn(move || {
            // Nothing is run before the front-end says what.
            let mut next = receiver.recv().ok();
            while let Some(set) = next {
                next = set_serve(&directory, &set, &*emit, &receiver);
            }
        });
        Self { sets }
    }

    /// Sets the probes, and runs them at once.
    pub(crate) fn set(&self, set: ProbeSet) {
        if self.sets.try_send(set).is_err() {
            tracing::warn!("probes still run that were sent earlier: newer ones are left out");
        }
    }
}

/// Runs a set's probes until another set comes; nothing at the end.
fn set_serve(directory: &Path, set: &ProbeSet, emit: &Emit, sets: &Receiver<ProbeSet>) -> Option<ProbeSet> {
    let put = set_put(directory, set);
    let runs = put.is_ok();
    emit(FromNode::ProbesTaken(set.token.clone(), put));
    if !runs {
        return sets.recv().ok();
    }
    let now = Instant::now();
    let mut due = ProbeFamily::ALL.map(|family| (now, family));
    loop {
        // There is always a first one: the families are never none.
        let (moment, family) = due.iter_mut().min_by_key(|(moment, _)| *moment)?;
        match sets.recv_timeout(moment.saturating_duration_since(Instant::now())) {
            Ok(set) => return Some(set),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
        emit(FromNode::Probed(round(directory, set, *family)));
        *moment = Instant::now() + Duration::from_secs(period_s(*family));
    }
}

/// Runs the probes of a family.
fn round(directory: &Path, set: &ProbeSet, family: ProbeFamily) -> ProbeRound {
    let probes = set.probes.iter().filter(|(of, _)| *of == family);
    let outcomes = probes.map(|(_, path)| {
        let printed = probe_run(directory, set, path, PROBE_TIME_MAX);
        (path.clone(), printed.map_err(|error| error.text))
    });
    ProbeRound {
        family,
        outcomes: outcomes.collect(),
    }
}

/// Runs one probe: with the arguments and the standard input of 7.4.
fn probe_run(directory: &Path, set: &ProbeSet, path: &str, patience: Duration) -> Act<String> {
    let path = directory.join(path_plain(path)?);
    let output = Program::new(path_text(&path)?)
        .args([&set.driver, &set.host.to_string(), &set.name])
        .input(configuration(set.host).into_bytes())
        .run(&Limits::new(patience))?;
    if !output.status.success() {
        return Err(failed(format!(
            "it ended with {}: {}",
            output.status, output.stderr
        )));
    }
    if output.stdout.len() > OUTPUT_BYTES_MAX {
        return Err(failed(format!(
            "it printed {} bytes, more than the {OUTPUT_BYTES_MAX} allowed",
            output.stdout.len()
        )));
    }
    String::from_utf8(output.stdout).map_err(|_| failed("what it printed is no UTF-8"))
}

/// What a probe reads on its standard input.
fn configuration(host: i32) -> String {
    let period = |name: &str, family| format!("<{name}>{}</{name}>", period_s(family));
    format!(
        "<MONITOR_CONFIGURATION><HOST_ID>{host}</HOST_ID><PROBES_PERIOD>{}{}{}{}{}</PROBES_PERIOD></MONITOR_CONFIGURATION>\n",
        period("BEACON_HOST", ProbeFamily::HostBeacon),
        period("MONITOR_HOST", ProbeFamily::HostMonitor),
        period("MONITOR_VM", ProbeFamily::VmMonitor),
        period("STATE_VM", ProbeFamily::VmStatus),
        period("SYSTEM_HOST", ProbeFamily::HostSystem),
    )
}

/// Puts the files of a set in the place of those before.
fn set_put(directory: &Path, set: &ProbeSet) -> Act<()> {
    let bytes: usize = set.files.iter().map(|file| file.content.len()).sum();
    if set.files.len() > FILES_MAX || bytes > FILE_BYTES_MAX {
        return Err(refused(format!(
            "{} files of {bytes} bytes for probes are more than the {FILES_MAX} files of {FILE_BYTES_MAX} bytes allowed",
            set.files.len()
        )));
    }
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).at("cannot clear", directory);
        }
        _ => {}
    }
    for file in &set.files {
        file_put(directory, file)?;
    }
    Ok(())
}

fn file_put(directory: &Path, file: &ProbeFile) -> Act<()> {
    let path = directory.join(path_plain(&file.path)?);
    let content = BASE64_STANDARD
        .decode(&file.content)
        .map_err(|error| refused(format!("{} is not in base64: {error}", file.path)))?;
    if let Some(parent) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .at("cannot make", parent)?;
    }
    crate::state::file_write(&path, &content, if file.runs { 0o700 } else { 0o600 })
}

/// A path that leads nowhere but below.
fn path_plain(path: &str) -> Act<PathBuf> {
    let plain = PathBuf::from(path);
    let below = plain
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if below && !path.is_empty() {
        return Ok(plain);
    }
    Err(refused(format!("{path:?} is no path of a probe")))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::state::tests::Scratch;

    fn set(token: &str, probes: &[(ProbeFamily, &str, &str)]) -> ProbeSet {
        ProbeSet {
            token: token.to_owned(),
            driver: "kvm".to_owned(),
            host: 7,
            name: "node7".to_owned(),
            files: probes
                .iter()
                .map(|(_, path, script)| ProbeFile {
                    path: (*path).to_owned(),
                    runs: true,
                    content: BASE64_STANDARD.encode(script),
                })
                .collect(),
            probes: probes
                .iter()
                .map(|(family, path, _)| (*family, (*path).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn all_families_run_at_once_and_again_with_a_new_set() {
        let scratch = Scratch::new("prober");
        let (sender, said) = channel();
        let prober = Prober::start(
            scratch.path(),
            Box::new(move |message| drop(sender.send(message))),
        );
        let script = "#!/bin/sh\necho \"ARGS=\\\"$*\\\"\"\nsed 's/.*<HOST_ID>\\(.*\\)<.HOST_ID>.*/ASKED=\\1/'\n. \
                      \"$(dirname \"$0\")/more\"\n";
        let mut first = set("one", &[(ProbeFamily::HostMonitor, "im/d/a.sh", script)]);
        first.files.push(ProbeFile {
            path: "im/d/more".to_owned(),
            runs: false,
            content: BASE64_STANDARD.encode("echo MORE=1\n"),
        });
        prober.set(first);
        let next = || said.recv_timeout(Duration::from_secs(60)).expect("said");
        assert_eq!(next(), FromNode::ProbesTaken("one".to_owned(), Ok(())));
        let mut rounds = Vec::new();
        for _ in ProbeFamily::ALL {
            let FromNode::Probed(round) = next() else {
                panic!("no round")
            };
            rounds.push((round.family, round.outcomes));
        }
        rounds.sort_by_key(|(family, _)| *family);
        let printed = "ARGS=\"kvm 7 node7\"\nASKED=7\nMORE=1\n".to_owned();
        assert_eq!(rounds.len(), ProbeFamily::ALL.len());
        assert_eq!(rounds[2].1, [("im/d/a.sh".to_owned(), Ok(printed))]);
        assert!(rounds.iter().filter(|(_, outcomes)| outcomes.is_empty()).count() == 4);
        prober.set(set("two", &[]));
        assert_eq!(next(), FromNode::ProbesTaken("two".to_owned(), Ok(())));
        assert!(
            !scratch.path().join("probes/im/d/a.sh").exists(),
            "what is gone is gone"
        );
    }

    #[test]
    fn what_a_probe_may_do_is_bounded() {
        let scratch = Scratch::new("prober-bounds");
        let probes = [
            (ProbeFamily::HostMonitor, "im/late", "#!/bin/sh\nexec sleep 60\n"),
            (
                ProbeFamily::HostMonitor,
                "im/long",
                "#!/bin/sh\nhead -c 100000 /dev/zero\n",
            ),
            (
                ProbeFamily::HostMonitor,
                "im/fails",
                "#!/bin/sh\necho no disk >&2\nexit 3\n",
            ),
            (
                ProbeFamily::HostMonitor,
                "im/bytes",
                "#!/bin/sh\nprintf '\\377'\n",
            ),
        ];
        let set = set("x", &probes);
        set_put(scratch.path(), &set).expect("put");
        let run = |path: &str, patience| {
            let run = probe_run(scratch.path(), &set, path, patience);
            run.expect_err("bad").text
        };
        let patience = Duration::from_secs(60);
        let late = run("im/late", Duration::from_millis(50));
        assert!(late.contains("time") || late.contains("deadline"), "{late}");
        assert!(run("im/long", patience).contains("100000 bytes"));
        assert!(run("im/fails", patience).contains("exit status: 3: no disk"));
        assert!(run("im/bytes", patience).contains("UTF-8"));
        assert!(run("im/gone", patience).contains("not installed"));
    }

    #[test]
    fn files_stay_in_their_directory() {
        let scratch = Scratch::new("prober-paths");
        for path in ["../x", "/etc/x", "", "im/../../x", "."] {
            let set = set("x", &[(ProbeFamily::HostMonitor, path, "")]);
            let error = set_put(&scratch.path().join("probes"), &set).expect_err(path);
            assert!(
                error.text.contains("no path of a probe"),
                "{path}: {}",
                error.text
            );
        }
    }
}

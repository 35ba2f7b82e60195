//! Scripts as a driver has them, run to their end.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};

use plerion_protocol::{ErrorKind, ScriptReply};

use super::*;
use crate::state::tests::Scratch;

struct Bench {
    scratch: Scratch,
    scripts: Scripts,
}

impl Bench {
    fn new() -> Self {
        let scratch = Scratch::new("script");
        let scripts = Scripts::open(&scratch.path().join("remotes"), scratch.path()).expect("opened");
        Self { scratch, scripts }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join("remotes").join(name)
    }

    fn script(&self, name: &str, body: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
    }

    fn run(&self, call: &ScriptCall) -> Act<ActionOutput> {
        self.scripts.run(call, &Limits::new(Duration::from_secs(20)))
    }
}

fn call(programs: &[&str]) -> ScriptCall {
    ScriptCall {
        programs: programs.iter().map(|&name| name.to_owned()).collect(),
        arguments: Vec::new(),
        stdin: String::new(),
        environment: Vec::new(),
        reply: ScriptReply::Nothing,
    }
}

#[test]
fn arguments_input_and_variables_arrive_as_they_are() {
    let bench = Bench::new();
    let log = bench.scratch.path().join("log");
    bench.script(
        "tm/x/clone",
        "{ printf '%s\\n' \"$@\"; echo \"$MARK\"; cat \"$3\"; wc -c; } > \"$LOG\"",
    );
    let mut wanted = call(&["tm/x/clone.ssh", "tm/x/clone"]);
    wanted.arguments = vec![
        ScriptArgument::Text("a b'$(touch x)".to_owned()),
        ScriptArgument::Here("/ds/1/image".to_owned()),
        ScriptArgument::File(ContextFile {
            name: "context.sh".to_owned(),
            text: "SECRET='s'\n".to_owned(),
        }),
    ];
    // More than a pipe takes.
    wanted.stdin = "x".repeat(300_000);
    wanted.environment = vec![
        ("MARK".to_owned(), "of the call".to_owned()),
        ("LOG".to_owned(), log.to_string_lossy().into_owned()),
    ];
    bench.run(&wanted).expect("worked");
    let text = std::fs::read_to_string(&log).expect("written");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "a b'$(touch x)");
    assert_eq!(lines[1], format!("{}:/ds/1/image", machine_name()));
    assert!(lines[2].ends_with("/context.sh"), "{}", lines[2]);
    assert_eq!(lines[3..], ["of the call", "SECRET='s'", "300000"]);
    assert!(
        !Path::new(lines[2]).exists(),
        "the file is deleted after the call"
    );
}

#[test]
fn the_name_with_the_suffix_comes_first() {
    let bench = Bench::new();
    bench.script("tm/x/clone", "echo plain");
    bench.script("tm/x/clone.ssh", "echo suffixed");
    let mut wanted = call(&["tm/x/clone.ssh", "tm/x/clone"]);
    wanted.reply = ScriptReply::Source;
    let output = bench.run(&wanted).expect("worked");
    assert_eq!(output.source.as_deref(), Some("suffixed"));
}

#[test]
fn links_may_lead_elsewhere_inside_but_not_out() {
    let bench = Bench::new();
    bench.script("tm/common/delete", "exit 0");
    std::fs::create_dir_all(bench.path("tm/x")).expect("made");
    symlink("../common/delete", bench.path("tm/x/delete")).expect("linked");
    bench.run(&call(&["tm/x/delete"])).expect("a link inside");
    symlink("/bin/true", bench.path("tm/x/mv")).expect("linked");
    let error = bench.run(&call(&["tm/x/mv"])).expect_err("a link out");
    assert!(error.text.contains("outside of"), "{}", error.text);
}

#[test]
fn what_cannot_be_run_is_said() {
    let bench = Bench::new();
    let text = |programs: &[&str]| bench.run(&call(programs)).expect_err("refused").text;
    let missing = text(&["tm/gone/clone.ssh", "tm/gone/clone"]);
    assert!(
        missing.contains("driver gone is not built in") && missing.contains("remotes/tm/gone does not exist"),
        "{missing}"
    );
    bench.script("tm/x/clone", "exit 0");
    let missing = text(&["tm/x/mv.ssh", "tm/x/mv"]);
    assert!(
        missing.contains("/tm/x/mv.ssh or ") && missing.contains("/tm/x/mv does not exist"),
        "{missing}"
    );
    std::fs::set_permissions(bench.path("tm/x/clone"), std::fs::Permissions::from_mode(0o644)).expect("mode");
    // Root may execute whatever has any such bit; this one has none.
    assert!(text(&["tm/x/clone"]).contains("not executable"));
    std::fs::create_dir_all(bench.path("tm/x/ln")).expect("made");
    assert!(text(&["tm/x/ln"]).contains("not a regular file"));
    for bad in [
        "../x/clone",
        "tm/x/../clone",
        "tm/x",
        "/tm/x/clone",
        "tm/x/clone;reboot",
        "tm//clone",
    ] {
        let error = bench.run(&call(&[bad])).expect_err("a bad name");
        assert_eq!(error.kind, ErrorKind::Refused, "{bad}");
    }
    let mut odd = call(&["tm/x/clone"]);
    odd.environment = vec![("LD_PRELOAD=x".to_owned(), String::new())];
    assert_eq!(bench.run(&odd).expect_err("a bad name").kind, ErrorKind::Refused);
}

#[test]
fn a_failure_carries_the_words_of_the_script() {
    let bench = Bench::new();
    bench.script(
        "datastore/x/cp",
        "echo 'INFO: trying' >&2; echo 'volume is full' >&2; exit 3",
    );
    let error = bench.run(&call(&["datastore/x/cp"])).expect_err("failed");
    assert_eq!(error.kind, ErrorKind::Failed);
    assert!(
        error.text.ends_with("(exit status: 3): volume is full"),
        "{}",
        error.text
    );
}

#[test]
fn a_script_that_hangs_ends_with_all_it_started() {
    let bench = Bench::new();
    bench.script("tm/x/clone", "sleep 60 & sleep 60");
    let began = Instant::now();
    let error = bench
        .scripts
        .run(&call(&["tm/x/clone"]), &Limits::new(Duration::from_millis(300)))
        .expect_err("late");
    assert_eq!(error.kind, ErrorKind::Deadline);
    assert!(began.elapsed() < Duration::from_secs(10));
}

//! The life of the agent process: hello, epochs, journal, kill, the daemon behind its pipe, taking over.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

use common::{Channel, Scratch, node_program};
use plerion_protocol::{
    Action, DiskFormat, ErrorKind, FromNode, PROTOCOL_VERSION, ScriptCall, ScriptReply, ServerHello, ToNode,
    Watch,
};

fn make(scratch: &Scratch, name: &str) -> Action {
    Action::DiskMake {
        destination: scratch.ds_text(name),
        format: DiskFormat::Raw,
        size_mib: 1,
        file_system: None,
        swap: false,
    }
}

#[test]
fn hellos_are_judged() {
    let scratch = Scratch::new("hello");
    let state = scratch.path().join("state");
    let refused = |hello: ServerHello| {
        let mut agent = Channel::start(&node_program(), "stdio", &state);
        agent.say(&ToNode::Hello(hello));
        let Some(FromNode::Refused(error)) = agent.next() else {
            panic!("not refused")
        };
        assert!(agent.ended());
        error.kind
    };
    let hello = || ServerHello {
        protocol: PROTOCOL_VERSION,
        cloud: "test".to_owned(),
        epoch: 5,
        roots: Vec::new(),
    };
    assert_eq!(
        refused(ServerHello {
            protocol: PROTOCOL_VERSION + 1,
            ..hello()
        }),
        ErrorKind::Version
    );
    assert_eq!(
        refused(ServerHello {
            cloud: "other".to_owned(),
            ..hello()
        }),
        ErrorKind::Refused
    );
    assert_eq!(
        refused(ServerHello {
            roots: vec!["/".to_owned()],
            ..hello()
        }),
        ErrorKind::Refused
    );
    let mut agent = Channel::start(&node_program(), "stdio", &state);
    let answer = agent.hello(5, &scratch).expect("welcome");
    assert_eq!((answer.epoch, answer.protocol), (5, PROTOCOL_VERSION));
    assert!(answer.facts.cpus > 0 && answer.facts.memory_kib > 0);
    agent.say(&ToNode::Ping(9));
    assert_eq!(agent.next(), Some(FromNode::Pong(9)));
    agent.close();
    assert_eq!(
        refused(ServerHello { epoch: 4, ..hello() }),
        ErrorKind::Epoch,
        "kept over a restart"
    );
    let mut agent = Channel::start(&node_program(), "stdio", &state);
    agent.say(&ToNode::Ping(1));
    assert!(
        matches!(agent.next(), Some(FromNode::Refused(_))),
        "the first message must be a hello"
    );
}

#[test]
fn a_request_of_a_lower_epoch_is_refused() {
    let scratch = Scratch::new("stale");
    let mut agent = Channel::stdio(&scratch);
    let mut newer = agent.request(make(&scratch, "0/5/disk.0"));
    newer.epoch = 7;
    agent.ask(newer).expect("a higher epoch is taken over");
    let error = agent.act(make(&scratch, "0/5/disk.1")).expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Epoch);
    assert!(!scratch.ds("0/5/disk.1").exists());
}

#[test]
fn a_killed_agent_knows_what_it_did() {
    let scratch = Scratch::new("kill");
    let mut agent = Channel::stdio(&scratch);
    let done = agent.request(make(&scratch, "0/5/disk.0"));
    agent.ask(done.clone()).expect("made");
    scratch.write("ds/1/image", b"x");
    let open = agent.request(Action::DiskCopy {
        source: scratch.ds_text("1/missing"),
        destination: scratch.ds_text("0/5/disk.1"),
        format: DiskFormat::Raw,
        size_mib: None,
    });
    agent.ask(open.clone()).expect_err("the source is missing");
    agent.kill();
    std::fs::remove_file(scratch.ds("0/5/disk.0")).expect("removed, to see that it is not made again");
    let mut agent = Channel::stdio(&scratch);
    agent.ask(done.clone()).expect("reported from the journal");
    assert!(!scratch.ds("0/5/disk.0").exists());
    agent.ask(open.clone()).expect_err("reported from the journal");
    let mut again = open.clone();
    again.attempt = 2;
    std::fs::rename(scratch.ds("1/image"), scratch.ds("1/missing")).expect("the source is there now");
    agent.ask(again).expect("a higher attempt does it again");
    agent.say(&ToNode::Forget(vec![done.key, open.key]));
    agent.ask(done).expect("forgotten, and so made again");
    assert!(scratch.ds("0/5/disk.0").exists());
}

#[test]
fn an_agent_tells_which_results_it_keeps() {
    let scratch = Scratch::new("kept");
    let mut agent = Channel::stdio(&scratch);
    let done = agent.request(make(&scratch, "0/5/disk.0"));
    agent.ask(done.clone()).expect("made");
    let forgotten = agent.request(make(&scratch, "0/5/disk.1"));
    agent.ask(forgotten.clone()).expect("made");
    agent.say(&ToNode::Forget(vec![forgotten.key]));
    agent.close();
    let mut agent = Channel::stdio(&scratch);
    assert_eq!(agent.next(), Some(FromNode::Settled(vec![done.key])));
    agent.say(&ToNode::Forget(vec![done.key]));
    agent.close();
    let mut agent = Channel::stdio(&scratch);
    agent.say(&ToNode::Ping(1));
    assert_eq!(agent.next(), Some(FromNode::Pong(1)), "nothing is kept any more");
}

#[test]
fn an_action_cut_off_by_a_kill_is_settled_by_looking() {
    let scratch = Scratch::new("cut");
    if !common::has("ssh", "-V") {
        return;
    }
    // A server that takes connections and says nothing: the transfers stay open until the kill.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let mut agent = Channel::stdio(&scratch);
    let mut transfer = |id: i32, name: &str| {
        let target = plerion_protocol::SshTarget {
            host: "127.0.0.1".to_owned(),
            options: vec![
                "-F".to_owned(),
                "none".to_owned(),
                "-p".to_owned(),
                port.to_string(),
            ],
            program: "/nowhere/plerion".to_owned(),
        };
        let source = plerion_protocol::Location::There(target, scratch.ds_text("1/image"));
        let destination = plerion_protocol::Location::Here(scratch.ds_text(name));
        let mut request = agent.request(Action::Transfer { source, destination });
        request.key.id = id;
        agent.say(&ToNode::Do(Box::new(request.clone())));
        request
    };
    let whole = transfer(7, "0/5/disk.0");
    let missing = transfer(8, "0/5/disk.1");
    // Messages are taken in order: with this answer both intents are on disk.
    agent.say(&ToNode::Ping(1));
    assert_eq!(agent.next(), Some(FromNode::Pong(1)));
    agent.kill();
    scratch.write("ds/0/5/disk.0", b"whole");
    let mut agent = Channel::stdio(&scratch);
    agent.ask(whole).expect("it is there");
    let error = agent.ask(missing.clone()).expect_err("it is not");
    assert_eq!(error.kind, ErrorKind::Interrupted);
}

fn daemon_pid(state: &Path) -> u32 {
    let pattern = format!("--state-dir {}", state.display());
    let processes = std::fs::read_dir("/proc").expect("proc").flatten();
    let mut pids = processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains(&pattern) && line.contains("node daemon")
        });
    pids.next().expect("the daemon runs")
}

/// Ends the daemon of a test, however the test ends.
struct DaemonEnd<'a>(&'a Path);

impl Drop for DaemonEnd<'_> {
    fn drop(&mut self) {
        let pid = daemon_pid(self.0).to_string();
        let ended = Command::new("kill").arg(&pid).stdout(Stdio::null()).status();
        assert!(
            ended.is_ok_and(|status| status.success()),
            "cannot end the daemon {pid}"
        );
    }
}

#[test]
fn a_host_runs_no_scripts_of_drivers() {
    let scratch = Scratch::new("scripts");
    let state = scratch.path().join("state");
    let mut host = Channel::start(&node_program(), "pipe", &state);
    host.hello(1, &scratch).expect("welcome");
    let _end = DaemonEnd(&state);
    let call = ScriptCall {
        programs: vec!["tm/x/clone".to_owned()],
        arguments: Vec::new(),
        stdin: String::new(),
        environment: Vec::new(),
        reply: ScriptReply::Nothing,
    };
    let error = host.act(Action::ScriptRun(call)).expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Refused);
}

#[test]
fn the_daemon_outlives_its_channel_and_obeys_the_newest() {
    let scratch = Scratch::new("daemon");
    let state = scratch.path().join("state");
    let mut first = Channel::start(&node_program(), "pipe", &state);
    first.hello(1, &scratch).expect("welcome");
    let _end = DaemonEnd(&state);
    let pid = daemon_pid(&state);
    let request = first.request(make(&scratch, "0/5/disk.0"));
    first.ask(request.clone()).expect("made");
    first.kill();
    let mut second = Channel::start(&node_program(), "pipe", &state);
    second.hello(1, &scratch).expect("welcome");
    assert_eq!(daemon_pid(&state), pid, "the same daemon");
    second.ask(request).expect("known");
    let mut third = Channel::start(&node_program(), "pipe", &state);
    third.hello(2, &scratch).expect("welcome");
    assert!(second.ended(), "the newest channel wins");
    let mut stale = Channel::start(&node_program(), "pipe", &state);
    assert_eq!(
        stale.hello(1, &scratch).expect_err("refused").kind,
        ErrorKind::Epoch
    );
    assert!(matches!(third.next(), Some(FromNode::Settled(_))));
    third.say(&ToNode::Ping(3));
    assert_eq!(
        third.next(),
        Some(FromNode::Pong(3)),
        "a stale leader does not push out the one that leads"
    );
    third.say(&ToNode::Watch(Watch {
        interval_s: 60,
        datastores: vec![(4, scratch.ds_text("0")), (5, "/etc".to_owned())],
        hypervisor: false,
        caches: Vec::new(),
        unwanted: Vec::new(),
        leases: Vec::new(),
        looks: Vec::new(),
    }));
    let Some(FromNode::Sample { datastores, .. }) = third.next() else {
        panic!("no sample at once")
    };
    assert_eq!(
        datastores.iter().map(|sample| sample.id).collect::<Vec<_>>(),
        [4],
        "not what is outside"
    );
}

#[test]
fn many_pipes_at_once_start_one_daemon() {
    let scratch = Scratch::new("race");
    let state = scratch.path().join("state");
    let mut channels: Vec<Channel> = (0..5)
        .map(|_| Channel::start(&node_program(), "pipe", &state))
        .collect();
    let mut welcome = 0;
    for channel in &mut channels {
        if channel.hello(1, &scratch).is_ok() {
            welcome += 1;
        }
    }
    let _end = DaemonEnd(&state);
    assert_eq!(welcome, 5);
}

#[test]
fn another_program_takes_over() {
    let scratch = Scratch::new("takeover");
    let state = scratch.path().join("state");
    let mut old = Channel::start(&node_program(), "pipe", &state);
    old.hello(1, &scratch).expect("welcome");
    let _end = DaemonEnd(&state);
    let pid = daemon_pid(&state);
    let request = old.request(make(&scratch, "0/5/disk.0"));
    old.ask(request.clone()).expect("made");
    let program = scratch.path().join("other-node");
    // By a program of its own: a file open for writing here could be inherited by what another test starts just then,
    // and could not be run.
    let copied = Command::new("cp")
        .arg(node_program())
        .arg(&program)
        .status()
        .expect("run");
    assert!(copied.success(), "another file of the same content");
    let mut new = Channel::start(&program, "pipe", &state);
    new.hello(1, &scratch).expect("welcome");
    assert_ne!(daemon_pid(&state), pid, "another daemon");
    assert!(old.ended());
    std::fs::remove_file(scratch.ds("0/5/disk.0")).expect("removed");
    new.ask(request).expect("known from the journal");
    assert!(!scratch.ds("0/5/disk.0").exists());
}

#[test]
fn a_damaged_journal_is_told_through_the_pipe() {
    let scratch = Scratch::new("damaged");
    let state = scratch.path().join("state");
    let mut agent = Channel::start(&node_program(), "stdio", &state);
    agent.hello(1, &scratch).expect("welcome");
    for number in 0..2 {
        agent
            .act(make(&scratch, &format!("0/5/disk.{number}")))
            .expect("made");
    }
    agent.close();
    std::fs::create_dir_all(state.join("test/host")).expect("made");
    let journal = state.join("test/front-end/journal");
    let mut content = std::fs::read(&journal).expect("read");
    content[3] ^= 1;
    std::fs::write(state.join("test/host/journal"), content).expect("written");
    let output = Command::new(node_program())
        .args(["node", "pipe", "--cloud", "test", "--state-dir"])
        .arg(&state)
        .stdin(Stdio::null())
        .output()
        .expect("run");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && words.contains("is damaged at byte 0"),
        "{words}"
    );
}

#[test]
fn the_root_helper_judges_requests() {
    let helper = |request: &str| {
        let mut child = Command::new(node_program())
            .args(["node", "root"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let mut input = child.stdin.take().expect("piped");
        std::io::Write::write_all(&mut input, request.as_bytes()).expect("said");
        drop(input);
        String::from_utf8_lossy(&child.wait_with_output().expect("ended").stdout).into_owned()
    };
    let answer = helper(r#"{"version":1,"task":{"bridge_make":{"name":"-x","phydev":null}}}"#);
    assert!(answer.contains(r#""kind":"refused""#), "{answer}");
    let answer = helper(r#"{"version":99,"task":{}}"#);
    assert!(
        answer.contains(r#""kind":"version""#) && answer.contains("install -o root"),
        "{answer}"
    );
}

/// A front-end that is killed takes the other end of standard error with it.
#[test]
fn an_agent_whose_words_nobody_reads_ends_what_it_has_begun() {
    let scratch = Scratch::new("unheard");
    let mut agent = Channel::unheard(&scratch);
    let asked = agent.request(make(&scratch, "0/5/disk.0"));
    agent.say(&ToNode::Do(Box::new(asked)));
    let status = agent.finish();
    assert!(status.success(), "{status}");
    assert!(scratch.ds("0/5/disk.0").exists());
}

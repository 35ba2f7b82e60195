//! Transfers: the two ends joined directly, and whole ones over a real sshd on the loopback address.

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Channel, PATIENCE, Scratch, has, node_program, text};
use plerion_protocol::{
    Action, ActionError, ActionOutput, ErrorKind, Location, PROTOCOL_VERSION, SshTarget, frame_write,
};

/// One end as a child process, told what to do.
fn end_start(scratch: &Scratch, subcommand: &str, path: &Path) -> Child {
    let mut child = Command::new(node_program())
        .args(["node", subcommand])
        .env("HOME", scratch.path())
        .env("PLERION_LOG", "warn")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let request = serde_json::json!({
        "protocol": PROTOCOL_VERSION, "cloud": "test", "epoch": 1, "roots": [scratch.path().join("ds")], "path": path,
    });
    frame_write(child.stdin.as_mut().expect("piped"), &request).expect("told");
    child
}

/// Passes bytes until the end, or until `budget` bytes have passed.
fn pass(mut from: impl Read, mut to: impl Write, mut budget: u64) {
    let mut buffer = [0; 4096];
    while budget > 0 {
        let wanted = buffer.len().min(usize::try_from(budget).unwrap_or(buffer.len()));
        let Ok(count) = from.read(&mut buffer[..wanted]) else {
            return;
        };
        if count == 0 || to.write_all(&buffer[..count]).and_then(|()| to.flush()).is_err() {
            return;
        }
        budget -= count as u64;
    }
}

/// Joins `send SOURCE` and `receive DESTINATION`; the link breaks after `budget` bytes. Gives whether both succeeded,
/// their words, and how many bytes came from the source.
fn joined(scratch: &Scratch, source: &Path, destination: &Path, budget: u64) -> (bool, String) {
    let mut send = end_start(scratch, "send", source);
    let mut receive = end_start(scratch, "receive", destination);
    let (send_in, send_out) = (
        send.stdin.take().expect("piped"),
        send.stdout.take().expect("piped"),
    );
    let (receive_in, receive_out) = (
        receive.stdin.take().expect("piped"),
        receive.stdout.take().expect("piped"),
    );
    let there = std::thread::spawn(move || pass(send_out, receive_in, budget));
    let back = std::thread::spawn(move || pass(receive_out, send_in, u64::MAX));
    let (send, receive) = (
        send.wait_with_output().expect("ended"),
        receive.wait_with_output().expect("ended"),
    );
    there.join().expect("passed");
    back.join().expect("passed");
    let words =
        String::from_utf8_lossy(&send.stderr).into_owned() + &String::from_utf8_lossy(&receive.stderr);
    (send.status.success() && receive.status.success(), words)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| u8::try_from((at * 7 + at / 4096) % 251).expect("small") | 1)
        .collect()
}

#[test]
fn files_of_all_shapes_arrive() {
    let scratch = Scratch::new("shapes");
    for (name, content) in [
        ("empty", Vec::new()),
        ("odd", pattern(200_001)),
        ("zero", vec![0; 1 << 20]),
    ] {
        let (source, destination) = (
            scratch.ds(&format!("1/{name}")),
            scratch.ds(&format!("0/5/{name}")),
        );
        scratch.write(&format!("ds/1/{name}"), &content);
        let (good, words) = joined(&scratch, &source, &destination, u64::MAX);
        assert!(good, "{name}: {words}");
        assert!(std::fs::read(&destination).expect("read") == content, "{name}");
    }
    let source = scratch.ds("1/huge");
    let file = std::fs::File::create(&source).expect("made");
    file.set_len(1 << 40).expect("sized");
    file.write_all_at(b"somewhere", (1 << 39) + 5).expect("written");
    let destination = scratch.ds("0/5/huge");
    let (good, words) = joined(&scratch, &source, &destination, u64::MAX);
    assert!(good, "{words}");
    let metadata = destination.metadata().expect("there");
    assert_eq!(metadata.len(), 1 << 40);
    assert!(metadata.blocks() * 512 < 1 << 20, "holes stay holes");
    let mut read = [0; 9];
    std::fs::File::open(&destination)
        .expect("opened")
        .read_exact_at(&mut read, (1 << 39) + 5)
        .expect("read");
    assert_eq!(&read, b"somewhere");
}

#[test]
fn a_broken_transfer_goes_on_where_it_was_and_shows_nothing_before() {
    let scratch = Scratch::new("resume");
    let source = scratch.ds("0/tree");
    let (one, two) = (pattern(3 << 20), pattern((2 << 20) + 77));
    scratch.write("ds/0/tree/a", &one);
    scratch.write("ds/0/tree/b", &two);
    let destination = scratch.ds("9/tree");
    let (good, _) = joined(&scratch, &source, &destination, 4 << 20);
    assert!(!good, "the link broke");
    assert!(!destination.exists(), "nothing appears before it is whole");
    let notes = std::fs::read_to_string(scratch.ds("9/.tree.resume")).expect("noted");
    assert!(notes.contains(r#""path":"a""#), "{notes}");
    // What has come already does not come again: the rest fits into less than the whole.
    let (good, words) = joined(&scratch, &source, &destination, 5 << 19);
    assert!(good, "{words}");
    assert!(std::fs::read(destination.join("a")).expect("read") == one);
    assert!(std::fs::read(destination.join("b")).expect("read") == two);
    let left: Vec<_> = std::fs::read_dir(scratch.ds("9"))
        .expect("read")
        .flatten()
        .collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn a_source_that_changed_is_sent_from_the_start() {
    let scratch = Scratch::new("changed");
    let (source, destination) = (scratch.ds("0/tree"), scratch.ds("9/tree"));
    scratch.write("ds/0/tree/a", &pattern(1 << 20));
    scratch.write("ds/0/tree/b", &pattern(1 << 20));
    assert!(!joined(&scratch, &source, &destination, 3 << 19).0);
    let changed: Vec<u8> = pattern(1 << 20).into_iter().rev().collect();
    scratch.write("ds/0/tree/a", &changed);
    std::fs::remove_file(source.join("b")).expect("removed");
    let (good, words) = joined(&scratch, &source, &destination, u64::MAX);
    assert!(good, "{words}");
    assert!(std::fs::read(destination.join("a")).expect("read") == changed);
    assert!(
        !destination.join("b").exists(),
        "what is no longer sent does not stay"
    );
}

#[test]
fn trees_keep_their_links_and_replace_what_was_there() {
    let scratch = Scratch::new("tree");
    let (source, destination) = (scratch.ds("0/5"), scratch.ds("9/5"));
    scratch.write("ds/0/5/disk.0.snap/0", b"active");
    scratch.write("ds/1/image", b"persistent");
    std::os::unix::fs::symlink("disk.0.snap/0", source.join("disk.0")).expect("linked");
    std::os::unix::fs::symlink(".", source.join("disk.0.snap/disk.0.snap")).expect("linked");
    std::os::unix::fs::symlink(scratch.ds("1/image"), source.join("disk.1")).expect("linked");
    scratch.write("ds/9/5/old", b"old");
    let (good, words) = joined(&scratch, &source, &destination, u64::MAX);
    assert!(good, "{words}");
    assert_eq!(
        std::fs::read_link(destination.join("disk.0")).expect("a link"),
        Path::new("disk.0.snap/0")
    );
    assert_eq!(
        std::fs::read_link(destination.join("disk.1")).expect("a link"),
        scratch.ds("1/image")
    );
    assert_eq!(
        std::fs::read(destination.join("disk.0")).expect("read"),
        b"active"
    );
    assert!(!destination.join("old").exists());
}

#[test]
fn links_and_paths_that_lead_out_are_refused() {
    let scratch = Scratch::new("out");
    scratch.write("ds/0/5/disk.0", b"x");
    scratch.write("secret", b"secret");
    std::os::unix::fs::symlink("/etc/passwd", scratch.ds("0/5/evil")).expect("linked");
    let (good, words) = joined(&scratch, &scratch.ds("0/5"), &scratch.ds("9/5"), u64::MAX);
    assert!(!good && words.contains("leads out"), "{words}");
    assert!(!scratch.ds("9/5").exists());
    let (good, words) = joined(
        &scratch,
        &scratch.path().join("secret"),
        &scratch.ds("9/6"),
        u64::MAX,
    );
    assert!(!good && words.contains("outside"), "{words}");
    let (good, words) = joined(
        &scratch,
        &scratch.ds("0/5/disk.0"),
        &scratch.path().join("x"),
        u64::MAX,
    );
    assert!(!good && words.contains("outside"), "{words}");
    let (good, _) = joined(&scratch, &scratch.ds("0/5/evil"), &scratch.ds("9/7"), u64::MAX);
    assert!(!good, "a link as the thing itself is followed, and leads out");
}

#[test]
fn a_source_that_lies_is_refused() {
    let scratch = Scratch::new("liar");
    let entry =
        |path: &str, kind: serde_json::Value| serde_json::json!({ "entry": { "path": path, "kind": kind } });
    let directory = || serde_json::json!({ "directory": { "mode": 493 } });
    let file = serde_json::json!({ "file": { "size": 1, "modified_s": 0, "modified_ns": 0, "mode": 420 } });
    let link = |text: &str| serde_json::json!({ "link": { "text": text } });
    let root = entry("", directory());
    for (name, messages) in [
        ("up", vec![root.clone(), entry("../x", file.clone())]),
        (
            "through a link",
            vec![root.clone(), entry("a", link(".")), entry("a/b", file.clone())],
        ),
        ("no directory", vec![root.clone(), entry("a/b", file.clone())]),
        ("absolute", vec![root.clone(), entry("/etc/x", file.clone())]),
        (
            "twice",
            vec![root.clone(), entry("a", link(".")), entry("a", link("."))],
        ),
        ("nothing", vec![serde_json::json!("commit")]),
        ("second root", vec![root.clone(), root.clone()]),
    ] {
        let mut child = end_start(&scratch, "receive", &scratch.ds("9/tree"));
        let mut input = child.stdin.take().expect("piped");
        for message in &messages {
            if frame_write(&mut input, message).is_err() {
                break;
            }
        }
        drop(input);
        let output = child.wait_with_output().expect("ended");
        assert!(!output.status.success(), "{name}");
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("refused"),
            "{name}: it is told so"
        );
        assert!(!scratch.ds("9/tree").exists(), "{name}");
    }
}

/// An sshd of the test's own, on a free port of the loopback address.
struct Sshd {
    child: Child,
    port: u16,
    directory: PathBuf,
}

impl Sshd {
    fn start(scratch: &Scratch) -> Option<Self> {
        if !Path::new("/usr/sbin/sshd").exists() || !has("ssh", "-V") || !has("ssh-keygen", "-?") {
            common::skipped("no sshd on this machine");
            return None;
        }
        let directory = scratch.path().join("ssh");
        std::fs::create_dir_all(&directory).expect("made");
        for key in ["host", "user"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(directory.join(key))
                .status()
                .expect("run");
            assert!(made.success());
        }
        let port = TcpListener::bind("127.0.0.1:0")
            .expect("a port")
            .local_addr()
            .expect("an address")
            .port();
        let path = |name: &str| text(&directory.join(name));
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\n\
             PermitRootLogin yes\n",
            path("host"),
            path("user.pub")
        );
        std::fs::write(directory.join("config"), config).expect("written");
        let host = std::fs::read_to_string(directory.join("host.pub")).expect("read");
        std::fs::write(directory.join("known"), format!("[127.0.0.1]:{port} {host}")).expect("written");
        // sshd insists on this directory; it belongs to the system's sshd otherwise.
        if let Err(error) = std::fs::create_dir_all("/run/sshd") {
            common::skipped(&format!("/run/sshd is missing and cannot be made: {error}"));
            return None;
        }
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f", &path("config")])
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(directory.join("log")).expect("made"))
            .spawn()
            .expect("started");
        let sshd = Self {
            child,
            port,
            directory,
        };
        sshd.await_listening();
        Some(sshd)
    }

    /// There is no event for another process beginning to listen, only trying.
    fn await_listening(&self) {
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            assert!(began.elapsed() < PATIENCE, "sshd does not listen: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn target(&self) -> SshTarget {
        let path = |name: &str| text(&self.directory.join(name));
        let options = [
            "-p".to_owned(),
            self.port.to_string(),
            "-i".to_owned(),
            path("user"),
            "-F".to_owned(),
            "none".to_owned(),
            format!("-oUserKnownHostsFile={}", path("known")),
            "-oIdentitiesOnly=yes".to_owned(),
        ];
        SshTarget {
            host: "127.0.0.1".to_owned(),
            options: options.to_vec(),
            program: text(&node_program()),
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
    }
}

fn transfer(
    agent: &mut Channel,
    source: Location,
    destination: Location,
) -> Result<ActionOutput, ActionError> {
    agent.act(Action::Transfer { source, destination })
}

#[test]
fn whole_transfers_over_ssh() {
    let scratch = Scratch::new("ssh");
    let Some(sshd) = Sshd::start(&scratch) else { return };
    let mut agent = Channel::stdio(&scratch);
    let content = pattern(5_000_000);
    scratch.write("ds/1/image", &content);
    let here = |path: &str| Location::Here(scratch.ds_text(path));
    let there = |path: &str| Location::There(sshd.target(), scratch.ds_text(path));
    let output = transfer(&mut agent, here("1/image"), there("0/5/disk.0")).expect("pushed");
    assert!(output.copy_us > 0);
    assert!(std::fs::read(scratch.ds("0/5/disk.0")).expect("read") == content);
    transfer(&mut agent, there("0/5/disk.0"), here("1/back")).expect("pulled");
    assert!(std::fs::read(scratch.ds("1/back")).expect("read") == content);

    let error = transfer(&mut agent, here("1/missing"), there("0/5/disk.1")).expect_err("no source here");
    assert!(error.text.contains("1/missing"), "{error}");
    let error = transfer(&mut agent, there("1/missing"), here("0/5/disk.1")).expect_err("no source there");
    assert!(error.text.contains("1/missing"), "{error}");
    let unreached = there("0/5/disk.0");
    let outside = Location::There(sshd.target(), "/etc/passwd".to_owned());
    let error = transfer(&mut agent, outside.clone(), here("0/5/disk.1")).expect_err("refused there");
    assert_eq!(error.kind, ErrorKind::Refused, "{error}");
    let error = transfer(&mut agent, here("1/image"), outside).expect_err("refused there");
    assert_eq!(error.kind, ErrorKind::Refused, "{error}");
    for pair in [(here("1/image"), here("1/x")), (there("1/image"), there("1/x"))] {
        let error = transfer(&mut agent, pair.0, pair.1).expect_err("one end must be here");
        assert_eq!(error.kind, ErrorKind::Refused);
    }
    drop(sshd);
    let error = transfer(&mut agent, here("1/image"), unreached).expect_err("nobody listens there");
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
}

#[test]
fn a_changed_host_key_and_odd_names_are_refused() {
    let scratch = Scratch::new("key");
    let Some(sshd) = Sshd::start(&scratch) else { return };
    let mut agent = Channel::stdio(&scratch);
    scratch.write("ds/1/image", b"x");
    let user = std::fs::read_to_string(sshd.directory.join("user.pub")).expect("read");
    std::fs::write(
        sshd.directory.join("known"),
        format!("[127.0.0.1]:{} {user}", sshd.port),
    )
    .expect("written");
    let mut push = |target: SshTarget| {
        let there = Location::There(target, scratch.ds_text("0/5/disk.0"));
        transfer(&mut agent, Location::Here(scratch.ds_text("1/image")), there).expect_err("refused")
    };
    let mut lax = sshd.target();
    lax.options.push("-oStrictHostKeyChecking=no".to_owned());
    for target in [sshd.target(), lax] {
        let error = push(target);
        assert!(error.text.contains("Host key verification failed"), "{error}");
        assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
    }
    for (host, program) in [
        ("-oProxyCommand=touch /x", "/p"),
        ("127.0.0.1", "/p;reboot"),
        ("127.0.0.1", "p"),
    ] {
        let target = SshTarget {
            host: host.to_owned(),
            program: program.to_owned(),
            ..sshd.target()
        };
        assert_eq!(push(target).kind, ErrorKind::Refused);
    }
    assert!(!scratch.ds("0/5/disk.0").exists());
}

//! What the tests share: a scratch directory, an agent as a child process, and talking to it.

#![allow(dead_code)] // Each test file uses another part.

use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use plerion_protocol::{
    Action, ActionError, ActionKey, ActionOutput, FromNode, NodeHello, ObjectKind, PROTOCOL_VERSION, Request,
    ServerHello, ToNode, frame_read, frame_write,
};

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The agent's program, built beside the tests.
pub fn node_program() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let target = test
        .parent()
        .and_then(Path::parent)
        .expect("the target directory");
    let program = target.join("examples/node");
    assert!(program.exists(), "{} is not built", program.display());
    program
}

/// A directory for one test, removed at its end.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("plerion-agent-it-{name}-{}-{count}", std::process::id()));
        std::fs::create_dir_all(path.join("ds")).expect("scratch directory");
        Self(path.canonicalize().expect("scratch directory"))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path beneath the directory of the datastores.
    pub fn ds(&self, rest: &str) -> PathBuf {
        self.0.join("ds").join(rest)
    }

    /// The same as text.
    pub fn ds_text(&self, rest: &str) -> String {
        text(&self.ds(rest))
    }

    /// Writes a file with its directories.
    pub fn write(&self, rest: &str, content: &[u8]) -> PathBuf {
        let path = self.0.join(rest);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directory");
        std::fs::write(&path, content).expect("written");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}

pub fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// Whether a program is there; says loudly when a test is skipped for its absence.
pub fn has(program: &str, argument: &str) -> bool {
    let found = Command::new(program)
        .arg(argument)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !found {
        skipped(&format!("{program} is not installed"));
    }
    found
}

/// Says that a test, or part of it, is left out, and why; past the harness, which would swallow it.
pub fn skipped(why: &str) {
    use std::io::Write;
    writeln!(std::io::stderr(), "SKIPPED: {why}").expect("standard error");
}

/// One channel to an agent.
pub struct Channel {
    child: Child,
    input: Option<ChildStdin>,
    messages: Receiver<FromNode>,
    step: u64,
    pub epoch: u64,
}

impl Channel {
    /// Starts `node <subcommand> --cloud test --state-dir STATE` without a hello.
    pub fn start(program: &Path, subcommand: &str, state: &Path) -> Self {
        let mut command = Command::new(program);
        command
            .args(["node", subcommand, "--cloud", "test", "--state-dir"])
            .arg(state)
            .env("PLERION_LOG", "warn");
        Self::over(command)
    }

    fn over(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the agent starts");
        let input = child.stdin.take();
        let mut output = child.stdout.take().expect("piped");
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            while let Ok(Some(message)) = frame_read(&mut output) {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            input,
            messages,
            step: 0,
            epoch: 1,
        }
    }

    /// Starts the front-end's own agent and says hello.
    pub fn stdio(scratch: &Scratch) -> Self {
        let mut channel = Self::start(&node_program(), "stdio", &scratch.path().join("state"));
        channel.hello(1, scratch).expect("welcome");
        channel
    }

    /// The same, with a standard error that has no reader and much to take.
    pub fn unheard(scratch: &Scratch) -> Self {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(node_program());
        command
            .args(["node", "stdio", "--cloud", "test", "--state-dir"])
            .arg(scratch.path().join("state"))
            .env("PLERION_LOG", "trace")
            .stderr(writer);
        let mut channel = Self::over(command);
        channel.hello(1, scratch).expect("welcome");
        channel
    }

    /// Ends the channel and waits for the agent to end.
    pub fn finish(mut self) -> std::process::ExitStatus {
        drop(self.input.take());
        self.child.wait().expect("reaped")
    }

    pub fn say(&mut self, message: &ToNode) {
        let input = self.input.as_mut().expect("still open");
        frame_write(input, message).expect("said");
    }

    pub fn next(&mut self) -> Option<FromNode> {
        self.messages.recv_timeout(PATIENCE).ok()
    }

    pub fn hello(&mut self, epoch: u64, scratch: &Scratch) -> Result<NodeHello, ActionError> {
        self.epoch = epoch;
        let roots = vec![scratch.ds_text("").trim_end_matches('/').to_owned()];
        let hello = ServerHello {
            protocol: PROTOCOL_VERSION,
            cloud: "test".to_owned(),
            epoch,
            roots,
        };
        self.say(&ToNode::Hello(hello));
        match self.next() {
            Some(FromNode::Hello(answer)) => Ok(*answer),
            Some(FromNode::Refused(error)) => Err(error),
            other => panic!("neither welcome nor refused: {other:?}"),
        }
    }

    /// A request of a fresh step.
    pub fn request(&mut self, action: Action) -> Request {
        self.step += 1;
        let key = ActionKey {
            kind: ObjectKind::Vm,
            id: 7,
            step: self.step,
            part: 0,
        };
        Request {
            key,
            epoch: self.epoch,
            attempt: 1,
            deadline_s: 60,
            action,
        }
    }

    /// Asks and waits for the report.
    pub fn ask(&mut self, request: Request) -> Result<ActionOutput, ActionError> {
        let key = request.key;
        self.say(&ToNode::Do(Box::new(request)));
        self.report(key)
    }

    /// Waits for the report of a key.
    pub fn report(&mut self, key: ActionKey) -> Result<ActionOutput, ActionError> {
        loop {
            match self.next() {
                Some(FromNode::Done(report)) if report.key == key => return report.result,
                Some(_) => {}
                None => panic!("no report of {key} came"),
            }
        }
    }

    /// Does an action.
    pub fn act(&mut self, action: Action) -> Result<ActionOutput, ActionError> {
        let request = self.request(action);
        self.ask(request)
    }

    /// Kills the process without warning.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
    }

    /// Ends the channel and waits for the process.
    pub fn close(mut self) -> std::process::ExitStatus {
        drop(self.input.take());
        self.child.wait().expect("reaped")
    }

    /// Whether the process has ended by itself within the patience.
    pub fn ended(&mut self) -> bool {
        loop {
            match self.messages.recv_timeout(PATIENCE) {
                Ok(_) => {}
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return true,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => return false,
            }
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        drop(self.input.take());
        if let Err(error) = self.child.kill() {
            eprintln!("the agent had ended: {error}");
        }
        self.child.wait().expect("reaped");
    }
}

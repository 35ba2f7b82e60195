//! Links to real agents: over the system's ssh, and to a child process for the front-end's own.

use std::io::{BufReader, BufWriter, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use plerion_protocol::{FromNode, ServerHello, SshTarget, ToNode, Watch, frame_read, frame_write};
use plerion_world::Site;

use crate::link::{HostLink, LinkDown, LinkEvent, LinkMaker, LinkSink, LinkTarget};
use crate::push::{REMOTE_DIRECTORY, remote_program};

/// Most messages that wait for a link.
const QUEUE_MAX: usize = 4096;
/// First pause before a link is opened again; it doubles up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(10);
/// A link that held this long starts with the first pause again.
const STEADY: Duration = Duration::from_secs(60);
/// How libvirt is reached on a host.
const LIBVIRT_URI: &str = "qemu:///system";
/// Time to push the program.
const PUSH_SECONDS: &str = "15";

/// How hosts are reached.
#[derive(Clone, Debug)]
pub struct SshSettings {
    /// Options for every ssh, each one argument.
    pub options: Vec<String>,
    /// This program, to run as the front-end's agent and to push.
    pub program: PathBuf,
    /// Its identity, see [`crate::program_identity`].
    pub identity: String,
    /// State directory of the front-end's own agent.
    pub state_dir: PathBuf,
    /// Longest time from the start of a connection to the agent's greeting, see [`GREETING_MAX`].
    pub greeting: Duration,
}

/// What [`SshSettings::greeting`] should be: a slow login, and the start of an agent that looks at many domains first.
pub const GREETING_MAX: Duration = Duration::from_secs(60);

impl SshSettings {
    fn options_all(&self) -> Vec<String> {
        let mut options: Vec<String> = [
            "-T",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "ServerAliveInterval=5",
            "-o",
            "ServerAliveCountMax=3",
            "-o",
        ]
        .into_iter()
        .map(str::to_owned)
        .collect();
        options.push(format!("ConnectTimeout={PUSH_SECONDS}"));
        options.extend(self.options.iter().cloned());
        options
    }

    /// A program whose standard input and output are a connection to `address`, as the host sees it.
    #[must_use]
    pub fn tunnel_command(&self, host: &str, address: SocketAddr) -> Command {
        let mut command = Command::new("ssh");
        command.args(self.options_all());
        command.args(["-W", &address.to_string(), "--", host]);
        command
    }

    /// A program whose standard input and output are the serial line of a domain of the host; the domain's name is a plain
    /// word, since a shell reads it there. `force` takes the line from whoever has it. virsh wants a terminal, so what it
    /// has to say of errors comes on standard output, too; it is asked to say it in English.
    #[must_use]
    pub fn serial_command(&self, host: &str, domain: &str, force: bool) -> Command {
        let mut command = Command::new("ssh");
        command.args(self.options_all());
        // A terminal there although none is here, and no character that ssh takes for itself.
        command.args(["-t", "-t", "-e", "none", "--", host]);
        command.args(["env", "LC_ALL=C", "virsh", "-c", LIBVIRT_URI, "console", domain]);
        if force {
            command.arg("--force");
        }
        command
    }
}

/// An agent is asked for a sign of life this often.
const PING_EVERY: Duration = Duration::from_secs(5);
/// An agent that says nothing for so many looks counts as gone, even where its machine still answers: it may have been stopped.
/// Looks are counted, not the time: while the front-end itself is stopped it hears nobody.
const SILENT_LOOKS_MAX: u32 = 100;
/// How often it is looked whether it is silent.
const SILENCE_LOOK: Duration = Duration::from_millis(200);

fn looks_in(time: Duration) -> u32 {
    u32::try_from(time.as_millis() / SILENCE_LOOK.as_millis()).unwrap_or(u32::MAX)
}

fn frame_words(error: plerion_protocol::FrameError) -> String {
    error.to_string()
}

/// How long an agent has said nothing, in looks.
struct Hearing {
    quiet: AtomicU32,
    /// After so many it is gone.
    limit: AtomicU32,
    gone: AtomicBool,
}

impl Hearing {
    fn new(limit: u32) -> Self {
        Self {
            quiet: AtomicU32::new(0),
            limit: AtomicU32::new(limit),
            gone: AtomicBool::new(false),
        }
    }

    /// It said something, and is to do so again within so many looks.
    fn heard(&self, limit: u32) {
        self.limit.store(limit, Ordering::Relaxed);
        self.quiet.store(0, Ordering::Relaxed);
    }

    fn is_silent_at_this_look(&self) -> bool {
        let silent = self.quiet.fetch_add(1, Ordering::Relaxed) >= self.limit.load(Ordering::Relaxed);
        self.gone.fetch_or(silent, Ordering::AcqRel) || silent
    }

    /// What is to be said when silence has ended the channel.
    fn silence(&self) -> Option<String> {
        let seconds = (SILENCE_LOOK * self.limit.load(Ordering::Relaxed)).as_secs();
        self.gone.load(Ordering::Acquire).then(|| {
            format!("the agent has said nothing for {seconds} s although its machine may answer: it hangs or was stopped")
        })
    }
}

/// Opens links to real agents.
#[derive(Clone, Debug)]
pub struct ProcessLinks {
    settings: Arc<SshSettings>,
}

impl ProcessLinks {
    /// With these settings.
    #[must_use]
    pub fn new(settings: SshSettings) -> Self {
        Self {
            settings: Arc::new(settings),
        }
    }
}

impl LinkMaker for ProcessLinks {
    fn open(
        &self,
        target: LinkTarget,
        hello: ServerHello,
        watch: Watch,
        sink: LinkSink,
    ) -> Arc<dyn HostLink> {
        let (sender, receiver) = sync_channel(QUEUE_MAX);
        let shared = Arc::new(Shared {
            up: AtomicBool::new(false),
            closed: Mutex::new(false),
            wake: Condvar::new(),
            watch: Mutex::new(watch),
            child: Mutex::new(None),
        });
        let link = Arc::new(ProcessLink {
            sender,
            shared: shared.clone(),
        });
        let worker = Worker {
            settings: self.settings.clone(),
            target,
            hello,
            sink,
            shared,
        };
        let name = format!("link-{:?}", worker.target.site);
        let spawned = std::thread::Builder::new()
            .name(name)
            .spawn(move || worker.run(&Mutex::new(receiver)));
        if let Err(error) = spawned {
            tracing::error!(%error, "no thread for a link: the host stays unreachable");
        }
        link
    }

    fn ssh_target(&self, host: &str) -> SshTarget {
        SshTarget {
            host: host.to_owned(),
            options: self.settings.options.clone(),
            program: remote_program(&self.settings.identity),
        }
    }
}

struct Shared {
    up: AtomicBool,
    closed: Mutex<bool>,
    wake: Condvar,
    watch: Mutex<Watch>,
    child: Mutex<Option<Child>>,
}

impl Shared {
    fn is_closed(&self) -> bool {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, but not beyond the closing of the link.
    fn pause(&self, time: Duration) {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        // The condition is looked at by the callers' loops.
        drop(self.wake.wait_timeout_while(closed, time, |closed| !*closed));
    }

    fn child_end(&self) {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut child) = child {
            // It may have ended by itself; then there is nothing to kill.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

struct ProcessLink {
    sender: SyncSender<ToNode>,
    shared: Arc<Shared>,
}

impl HostLink for ProcessLink {
    fn send(&self, message: ToNode) -> Result<(), LinkDown> {
        if !self.shared.up.load(Ordering::Acquire) {
            return Err(LinkDown("not connected".into()));
        }
        self.sender.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => LinkDown(format!("{QUEUE_MAX} messages wait already")),
            TrySendError::Disconnected(_) => LinkDown("closed".into()),
        })
    }

    fn watch(&self, watch: Watch) {
        *self.shared.watch.lock().unwrap_or_else(PoisonError::into_inner) = watch.clone();
        // When it is down, the watch is sent with the next connection.
        let _ = self.send(ToNode::Watch(watch));
    }
}

impl Drop for ProcessLink {
    fn drop(&mut self) {
        *self.shared.closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.wake.notify_all();
        self.shared.child_end();
    }
}

struct Worker {
    settings: Arc<SshSettings>,
    target: LinkTarget,
    hello: ServerHello,
    sink: LinkSink,
    shared: Arc<Shared>,
}

impl Worker {
    fn run(&self, receiver: &Mutex<Receiver<ToNode>>) {
        let mut pause = RETRY_FIRST;
        while !self.shared.is_closed() {
            let began = Instant::now();
            let reason = match self.session(receiver) {
                Ok(()) => "the agent ended the channel".to_owned(),
                Err(reason) => reason,
            };
            self.shared.up.store(false, Ordering::Release);
            self.shared.child_end();
            // What had been handed over is lost; it is asked for again once the link is up.
            let queue = receiver.lock().unwrap_or_else(PoisonError::into_inner);
            while queue.try_recv().is_ok() {}
            drop(queue);
            if self.shared.is_closed() {
                return;
            }
            (self.sink)(self.target.site, LinkEvent::Down(reason));
            if began.elapsed() > STEADY {
                pause = RETRY_FIRST;
            }
            self.shared.pause(pause);
            pause = (pause * 2).min(RETRY_LAST);
        }
    }

    /// One connection, from its start to its end.
    fn session(&self, receiver: &Mutex<Receiver<ToNode>>) -> Result<(), String> {
        let mut command = match self.target.site {
            Site::FrontEnd => self.command_here(),
            Site::Host(_) => {
                self.program_push()?;
                self.command_there()
            }
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {command:?}: {error}"))?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err("the channel has no pipes".into());
        };
        *self.shared.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        let words = Arc::new(Mutex::new(String::new()));
        let listener = words_collect(stderr, words.clone());
        let ended = self.talk(BufWriter::new(stdin), BufReader::new(stdout), receiver);
        self.shared.child_end();
        if let Some(listener) = listener {
            // It ends with the pipe, which the end of the child closed.
            let _ = listener.join();
        }
        let words = words
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .trim()
            .to_owned();
        match ended {
            Ok(()) if words.is_empty() => Ok(()),
            Ok(()) => Err(words),
            Err(reason) if words.is_empty() => Err(reason),
            Err(reason) => Err(format!("{reason}: {words}")),
        }
    }

    fn talk(
        &self,
        mut writer: BufWriter<ChildStdin>,
        mut reader: BufReader<std::process::ChildStdout>,
        receiver: &Mutex<Receiver<ToNode>>,
    ) -> Result<(), String> {
        let over = AtomicBool::new(false);
        let hearing = Hearing::new(looks_in(self.settings.greeting));
        std::thread::scope(|scope| {
            scope.spawn(|| self.silence_watch(&over, &hearing));
            let result = self
                .greet(&mut writer, &mut reader)
                .and_then(|()| self.converse(&mut writer, &mut reader, receiver, &hearing));
            self.shared.up.store(false, Ordering::Release);
            over.store(true, Ordering::Release);
            hearing.silence().map_or(result, Err)
        })
    }

    /// Says what front-end this is, and hears what agent answers.
    fn greet(
        &self,
        writer: &mut BufWriter<ChildStdin>,
        reader: &mut BufReader<std::process::ChildStdout>,
    ) -> Result<(), String> {
        frame_write(writer, &ToNode::Hello(self.hello.clone())).map_err(frame_words)?;
        match frame_read::<FromNode>(reader).map_err(frame_words)? {
            Some(FromNode::Hello(hello)) => {
                let watch = self.shared.watch.lock().unwrap_or_else(PoisonError::into_inner);
                let watch = watch.clone();
                frame_write(writer, &ToNode::Watch(watch)).map_err(frame_words)?;
                self.shared.up.store(true, Ordering::Release);
                (self.sink)(self.target.site, LinkEvent::Up(hello));
                Ok(())
            }
            Some(FromNode::Refused(error)) => Err(format!("the agent refuses: {error}")),
            Some(_) => Err("the agent did not answer the greeting".into()),
            None => Err("the agent ended the channel at once".into()),
        }
    }

    /// Hands messages over in both directions until the channel ends.
    fn converse(
        &self,
        writer: &mut BufWriter<ChildStdin>,
        reader: &mut BufReader<std::process::ChildStdout>,
        receiver: &Mutex<Receiver<ToNode>>,
        hearing: &Hearing,
    ) -> Result<(), String> {
        hearing.heard(SILENT_LOOKS_MAX);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| messages_write(writer, receiver, &over));
            let result = loop {
                match frame_read::<FromNode>(reader) {
                    Ok(Some(message)) => {
                        hearing.heard(SILENT_LOOKS_MAX);
                        (self.sink)(self.target.site, LinkEvent::Message(message));
                    }
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(frame_words(error)),
                }
            };
            // Nothing is taken for handed over that nobody will answer.
            self.shared.up.store(false, Ordering::Release);
            over.store(true, Ordering::Release);
            result
        })
    }

    /// Ends the channel when nothing comes over it any more: the reader then sees its end.
    fn silence_watch(&self, over: &AtomicBool, hearing: &Hearing) {
        while !over.load(Ordering::Acquire) && !self.shared.is_closed() {
            if hearing.is_silent_at_this_look() {
                self.shared.child_end();
                return;
            }
            self.shared.pause(SILENCE_LOOK);
        }
    }

    fn command_here(&self) -> Command {
        let mut command = Command::new(&self.settings.program);
        command
            .args(["node", "stdio", "--cloud", &self.hello.cloud])
            .arg("--state-dir")
            .arg(&self.settings.state_dir);
        command
    }

    fn command_there(&self) -> Command {
        let mut command = Command::new("ssh");
        let program = remote_program(&self.settings.identity);
        command.args(self.settings.options_all());
        command.args([
            "--",
            &self.target.host,
            &program,
            "node",
            "pipe",
            "--cloud",
            &self.hello.cloud,
        ]);
        command
    }

    /// Brings the program to the host unless it is there. Only fixed words and the identity pass through the login
    /// shell.
    fn program_push(&self) -> Result<(), String> {
        let program = remote_program(&self.settings.identity);
        let there = self.ssh_run(&format!("test -x {program}"), Stdio::null())?;
        if there.success {
            return Ok(());
        }
        if there.code == Some(255) {
            return Err(connection_error(&self.target.host, &there.words));
        }
        let file = std::fs::File::open(&self.settings.program)
            .map_err(|error| format!("cannot read {}: {error}", self.settings.program.display()))?;
        let part = format!("{program}.$$");
        let script = format!(
            "umask 022 && mkdir -p {REMOTE_DIRECTORY} && cat > {part} && chmod 755 {part} && mv {part} {program}"
        );
        let pushed = self.ssh_run(&script, Stdio::from(file))?;
        if pushed.success {
            return Ok(());
        }
        Err(format!(
            "cannot put the program on {} as {program}: {}",
            self.target.host, pushed.words
        ))
    }

    fn ssh_run(&self, script: &str, input: Stdio) -> Result<Ended, String> {
        let output = Command::new("ssh")
            .args(self.settings.options_all())
            .args(["--", &self.target.host, script])
            .stdin(input)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .map_err(|error| format!("cannot run ssh: {error}; install openssh-client"))?;
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Ok(Ended {
            success: output.status.success(),
            code: output.status.code(),
            words,
        })
    }
}

struct Ended {
    success: bool,
    code: Option<i32>,
    words: String,
}

/// Says what to do about the usual reasons.
fn connection_error(host: &str, words: &str) -> String {
    let advice = if words.contains("Host key verification failed")
        || words.contains("IDENTIFICATION HAS CHANGED")
    {
        format!(
            "; its host key is not the one in ~/.ssh/known_hosts: compare it, then run ssh-keyscan {host} >> ~/.ssh/known_hosts"
        )
    } else if words.contains("Permission denied") {
        "; put the public key of this user (~/.ssh/id_*.pub) into ~/.ssh/authorized_keys there".to_owned()
    } else {
        String::new()
    };
    format!("cannot log in to {host} by SSH: {words}{advice}")
}

/// How often the writer looks whether the reader has ended.
const WRITER_LOOK: Duration = Duration::from_millis(200);

fn messages_write(writer: &mut BufWriter<ChildStdin>, receiver: &Mutex<Receiver<ToNode>>, over: &AtomicBool) {
    // One session at a time reads the queue.
    let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
    let mut pings = 0;
    let mut pinged = Instant::now();
    while !over.load(Ordering::Acquire) {
        if pinged.elapsed() >= PING_EVERY {
            (pings, pinged) = (pings + 1, Instant::now());
            if frame_write(writer, &ToNode::Ping(pings)).is_err() {
                return;
            }
        }
        match receiver.recv_timeout(WRITER_LOOK) {
            Ok(message) => {
                // The reader sees the broken channel, too, and says so.
                if frame_write(writer, &message).is_err() {
                    return;
                }
            }
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
        }
    }
    // The end of the pipe tells the other side; what is left in the buffer has no reader.
    let _ = writer.flush();
}

/// Most that is kept of what an ended channel said on standard error.
const WORDS_BYTES_MAX: usize = 4096;

fn words_collect(
    stderr: std::process::ChildStderr,
    words: Arc<Mutex<String>>,
) -> Option<std::thread::JoinHandle<()>> {
    use std::io::BufRead;
    let run = move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            tracing::debug!(target: "agent", "{line}");
            let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
            // The last words count: they say why it ended.
            if words.len() + line.len() > WORDS_BYTES_MAX {
                words.clear();
            }
            words.push_str(&line);
            words.push('\n');
        }
    };
    std::thread::Builder::new()
        .name("link-words".into())
        .spawn(run)
        .ok()
}

//! Database servers of the tests' own: in a temporary directory, on a socket in it, as a user without rights.

#![allow(dead_code)]

use std::io::Write as _;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use plerion_store::{ServerKind, ServerReader, ServerSettings, ServerStore, StoreError};

/// How long a server may take to start.
const READY_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
pub const KINDS: [ServerKind; 2] = [ServerKind::Postgres, ServerKind::Mysql];

/// A running server, which goes with the value.
pub struct Server {
    pub kind: ServerKind,
    /// Not below the target directory: a path of a socket is of a hundred bytes at most.
    pub directory: PathBuf,
    child: Option<Child>,
}

fn number() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

/// Looks where distributions put programs that are not for everybody.
fn program(name: &str) -> Option<PathBuf> {
    let mut places: Vec<PathBuf> = ["/usr/sbin", "/usr/bin", "/usr/local/bin"]
        .map(PathBuf::from)
        .into();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        let mut versions: Vec<PathBuf> = versions.flatten().map(|entry| entry.path().join("bin")).collect();
        versions.sort();
        versions.reverse();
        places.splice(0..0, versions);
    }
    places
        .into_iter()
        .map(|place| place.join(name))
        .find(|path| path.exists())
}

/// A command as a user who may do nothing: servers refuse to run as root.
fn unprivileged(program: &Path) -> Process {
    if !rustix::process::geteuid().is_root() {
        return Process::new(program);
    }
    let mut command = Process::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(program);
    command
}

fn run(command: &mut Process) {
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("the program is there");
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The processes that a process has made.
fn children(pid: u32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    tasks
        .filter_map(|task| std::fs::read_to_string(task.expect("a thread").path().join("children")).ok())
        .flat_map(|text| {
            text.split_whitespace()
                .map(|pid| pid.parse().expect("an id"))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Kills a process; whether it was still running.
fn running_kill(pid: i32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let ended = stat
        .rsplit(") ")
        .next()
        .is_some_and(|rest| rest.starts_with(['Z', 'X']));
    if let Some(pid) = rustix::process::Pid::from_raw(pid).filter(|_| !ended) {
        // It may end at this moment.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    !ended
}

impl Server {
    /// A new server; `None`, and a loud word, when its programs are not installed.
    pub fn start(kind: ServerKind) -> Option<Self> {
        let (daemon, maker) = match kind {
            ServerKind::Postgres => ("postgres", "initdb"),
            ServerKind::Mysql => ("mariadbd", "mariadb-install-db"),
        };
        let (Some(_), Some(maker)) = (program(daemon), program(maker)) else {
            let word = format!("SKIPPED: {daemon} is not installed: nothing was tested on {kind:?}\n");
            std::io::stderr().write_all(word.as_bytes()).expect("a terminal");
            return None;
        };
        let directory = std::env::temp_dir().join(format!("pl-db-{}-{}", std::process::id(), number()));
        std::fs::create_dir_all(&directory).expect("a directory");
        if rustix::process::geteuid().is_root() {
            chown(&directory, Some(65534), Some(65534)).expect("root may");
        }
        let data = directory.join("data");
        match kind {
            ServerKind::Postgres => run(unprivileged(&maker)
                .args([
                    "--no-sync",
                    "-A",
                    "trust",
                    "-U",
                    "postgres",
                    "-E",
                    "UTF8",
                    "--locale=C",
                    "-D",
                ])
                .arg(&data)),
            ServerKind::Mysql => run(unprivileged(&maker)
                .env("TMPDIR", &directory)
                .args([
                    "--no-defaults",
                    "--auth-root-authentication-method=normal",
                    "--skip-test-db",
                ])
                .arg(format!("--datadir={}", data.display()))),
        }
        let mut server = Self {
            kind,
            directory,
            child: None,
        };
        server.run();
        Some(server)
    }

    /// Starts it, and waits until it answers.
    pub fn run(&mut self) {
        let data = self.directory.join("data");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.directory.join("server.log"))
            .expect("a log");
        let mut command = match self.kind {
            ServerKind::Postgres => {
                let mut command = unprivileged(&program("postgres").expect("there"));
                command.arg("-D").arg(&data).arg("-k").arg(&self.directory);
                command.args(["-c", "listen_addresses=", "-c", "max_connections=40"]);
                command
            }
            ServerKind::Mysql => {
                let mut command = unprivileged(&program("mariadbd").expect("there"));
                command
                    // At its start it removes what is left of temporary tables there, those of other servers too.
                    .env("TMPDIR", &self.directory)
                    .arg("--no-defaults")
                    .arg(format!("--datadir={}", data.display()));
                command.arg(format!("--socket={}", self.directory.join("s").display()));
                command.args(["--skip-networking", "--innodb-buffer-pool-size=16M"]);
                command.arg(format!("--pid-file={}", self.directory.join("pid").display()));
                command
            }
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("starts");
        self.child = Some(child);
        let begin = Instant::now();
        let mut settings = self.settings("unknown");
        settings.database = match self.kind {
            ServerKind::Postgres => "postgres".into(),
            ServerKind::Mysql => "mysql".into(),
        };
        let lock = self.directory.join("probe.lock");
        // A database of others is refused once the server answers.
        while let Err(error) = ServerStore::open(&settings, &lock).map(drop) {
            if error.to_string().contains("another program") {
                return;
            }
            assert!(
                begin.elapsed() < READY_WITHIN,
                "{error}: {}",
                self.directory.display()
            );
            std::thread::sleep(POLL);
        }
        // The database of PostgreSQL's administrator is empty at first, and ours from now on.
    }

    /// Ends it as a loss of power would, with the processes that it has made: PostgreSQL does not start again while one of
    /// them holds the shared memory.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let made = children(child.id());
            child.kill().expect("runs");
            child.wait().expect("ends");
            let begin = Instant::now();
            while made.iter().any(|pid| running_kill(*pid)) {
                assert!(
                    begin.elapsed() < READY_WITHIN,
                    "processes of the server do not end: {made:?}"
                );
                std::thread::sleep(POLL);
            }
        }
    }

    /// Where a database of it is.
    pub fn settings(&self, database: &str) -> ServerSettings {
        let (user, socket) = match self.kind {
            ServerKind::Postgres => ("postgres", self.directory.clone()),
            ServerKind::Mysql => ("root", self.directory.join("s")),
        };
        ServerSettings {
            kind: self.kind,
            host: "localhost".into(),
            port: 0,
            socket: Some(socket),
            user: user.into(),
            password: String::new(),
            database: database.into(),
            readers: 3,
        }
    }

    /// Opens a database of it, as the front-end of a name.
    pub fn open(&self, database: &str, front_end: &str) -> Result<(ServerStore, ServerReader), StoreError> {
        ServerStore::open(&self.settings(database), &self.directory.join(front_end))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        // PostgreSQL's other processes end when they see that the first one is gone; until then they may write.
        for _ in 0..100 {
            if std::fs::remove_dir_all(&self.directory).is_ok() {
                return;
            }
            std::thread::sleep(POLL);
        }
    }
}

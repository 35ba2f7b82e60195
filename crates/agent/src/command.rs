//! The subcommands of `plerion node`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::fault::{Act, failed, refused};
use crate::{migrate, names, network, pipe, script, server, state, storage};

const USAGE: &str = "usage: plerion node SUBCOMMAND
  pipe   --cloud ID [--state-dir DIR]  connect standard input and output to the agent of this host
  stdio  --cloud ID [--state-dir DIR] [--remotes DIR]
                                       be the front-end's own agent on standard input and output
  daemon --cloud ID [--state-dir DIR]  be the agent of this host (started by pipe)
  send | receive                       one end of a transfer (the request comes on standard input)
  leave | arrive                       one end of a live migration (the request comes on standard input)
  probe  [--state-dir DIR]             print what this host is, as JSON
  root                                 do one task that needs root (the request comes on standard input)";

/// Runs a subcommand of `plerion node`; `args` are the words after `node`.
pub fn node_main(args: &[String]) -> ExitCode {
    let subscriber = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // The front-end's agent outlives the front-end and with it the reader of its words. A word that cannot be
        // written is lost; saying so would go the same way, and end the thread that tries.
        .log_internal_errors(false)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("PLERION_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .finish();
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        // The caller has set up logging already: that one is used.
        tracing::debug!("logging is set up already");
    }
    match subcommand_run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plerion node: {error}");
            ExitCode::FAILURE
        }
    }
}

fn subcommand_run(args: &[String]) -> Act<()> {
    let Some((subcommand, rest)) = args.split_first() else {
        return Err(refused(USAGE));
    };
    // Files are made with explicit modes; directories are for their owner to write and for others to read, so that a
    // guest's user can reach its disks.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    match subcommand.as_str() {
        "pipe" => {
            let options = Options::parse(rest)?;
            pipe::pipe_run(&options.base()?, options.cloud()?)
        }
        "stdio" => {
            let options = Options::parse(rest)?;
            let remotes = options.remotes.clone().map_or_else(script::remotes_default, Ok)?;
            server::stdio_run(&options.base()?, options.cloud()?, &remotes)
        }
        "daemon" => daemon(&Options::parse(rest)?),
        "send" => storage::send_main(),
        "receive" => storage::receive_main(),
        "leave" => migrate::leave_main(),
        "arrive" => migrate::arrive_main(),
        "probe" => probe(&Options::parse(rest)?),
        "root" => network::root_main(),
        _ => Err(refused(format!("there is no subcommand {subcommand:?}\n{USAGE}"))),
    }
}

/// The daemon says on standard output that it listens, or why not; then it lets go of it.
fn daemon(options: &Options) -> Act<()> {
    // A session of its own: the end of the login that started it must not end it. It cannot fail for a process that
    // leads no group, and one that leads a group has been detached by whoever started it.
    if let Err(error) = rustix::process::setsid() {
        tracing::info!(%error, "the agent stays in its session");
    }
    let ready = || {
        let mut output = std::io::stdout();
        output
            .write_all(pipe::READY.as_bytes())
            .and_then(|()| output.flush())
            .map_err(|error| failed(format!("cannot say that the agent is ready: {error}")))?;
        output_close()
    };
    let result = server::daemon_run(&options.base()?, options.cloud()?, ready);
    if let Err(error) = &result {
        println!("{error}");
    }
    result
}

fn output_close() -> Act<()> {
    let null = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/null")
        .map_err(|error| failed(format!("cannot open /dev/null: {error}")))?;
    rustix::stdio::dup2_stdout(&null)
        .map_err(|error| failed(format!("cannot let go of standard output: {error}")))
}

fn probe(options: &Options) -> Act<()> {
    let base = options.base()?;
    state::private_directory_make(&base)?;
    let facts = crate::monitor::facts::host_facts(&base, true);
    let text = serde_json::to_string_pretty(&facts).map_err(|error| failed(format!("the facts: {error}")))?;
    println!("{text}");
    Ok(())
}

/// Options that all subcommands share.
#[derive(Default)]
struct Options {
    cloud: Option<String>,
    state_directory: Option<PathBuf>,
    /// Directory of the drivers' scripts.
    remotes: Option<PathBuf>,
}

impl Options {
    fn parse(args: &[String]) -> Act<Self> {
        let mut options = Self::default();
        let mut words = args.iter();
        while let Some(word) = words.next() {
            let value = words
                .next()
                .ok_or_else(|| refused(format!("{word} needs a value\n{USAGE}")))?;
            match word.as_str() {
                "--cloud" => {
                    names::cloud_check(value)?;
                    options.cloud = Some(value.clone());
                }
                "--remotes" => options.remotes = Some(crate::roots::normalized(value)?),
                "--state-dir" => options.state_directory = Some(crate::roots::normalized(value)?),
                _ => return Err(refused(format!("there is no option {word}\n{USAGE}"))),
            }
        }
        Ok(options)
    }

    fn base(&self) -> Act<PathBuf> {
        self.state_directory.clone().map_or_else(state::base_default, Ok)
    }

    fn cloud(&self) -> Act<&str> {
        self.cloud
            .as_deref()
            .ok_or_else(|| refused(format!("--cloud is missing\n{USAGE}")))
    }
}

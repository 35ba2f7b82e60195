//! [`Trace`]: what happened, as lines; the last ones are kept, and a digest of all.

use std::collections::VecDeque;
use std::fmt::Write as _;

use plerion_protocol::{Action, FromNode, ToNode};

use crate::queue::{Event, Millis};

/// Lines that are kept for people.
const LINES_MAX: usize = 80;

/// What happened.
#[derive(Debug)]
pub(crate) struct Trace {
    lines: VecDeque<String>,
    digest: u64,
    /// Print each line as it comes.
    pub(crate) loud: bool,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            lines: VecDeque::new(),
            digest: 0xcbf2_9ce4_8422_2325,
            loud: false,
        }
    }
}

impl Trace {
    /// Adds a line.
    pub(crate) fn line(&mut self, now: Millis, text: &str) {
        let line = format!("{:>9.3} {text}", now as f64 / 1000.0);
        for byte in line.bytes() {
            // FNV-1a: runs are compared by it, nothing else.
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.loud {
            println!("{line}");
        }
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The digest of all lines.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// The last lines.
    pub(crate) fn last(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}

/// An event in a few words; `None` for those that say nothing by themselves.
pub(crate) fn event_text(event: &Event) -> Option<String> {
    let text = match event {
        Event::ToNode(connection, message) => format!("c{connection} > {}", to_node_text(message)),
        Event::FromNode(connection, message) => {
            format!("c{connection} < {}", from_node_text(message))
        }
        Event::Lost(connection) => format!("c{connection} lost"),
        Event::FrontEndStart => "front-end start".to_owned(),
        Event::AgentStart(node) => format!("n{node} agent start"),
        Event::HostStart(node) => format!("n{node} host start"),
        Event::LinkHeal(node) => format!("n{node} link heal"),
        Event::JobEnd(..)
        | Event::GuestEnd(..)
        | Event::Connect(..)
        | Event::Write(_)
        | Event::Coordinate(_)
        | Event::Schedule(_)
        | Event::FenceEnd(..)
        | Event::Sample(..)
        | Event::SampleSend(..)
        | Event::Call
        | Event::Fault => return None,
        Event::DiskFree(node) => format!("n{node} has room again"),
        Event::LibvirtUp(node) => format!("n{node} libvirt is back"),
    };
    Some(text)
}

fn to_node_text(message: &ToNode) -> String {
    match message {
        ToNode::Do(request) => {
            format!(
                "do {} epoch {} {}",
                request.key,
                request.epoch,
                action_text(&request.action)
            )
        }
        ToNode::Forget(keys) => keys.iter().fold(String::from("forget"), |mut text, key| {
            // Writing to a string does not fail.
            let _ = write!(text, " {key}");
            text
        }),
        ToNode::Hello(_) => "hello".into(),
        ToNode::Watch(watch) => format!("watch every {} s", watch.interval_s),
        ToNode::Probes(set) => format!("probes {}", set.probes.len()),
        ToNode::Ping(number) => format!("ping {number}"),
    }
}

fn from_node_text(message: &FromNode) -> String {
    match message {
        FromNode::Hello(hello) => format!("hello epoch {} boot {}", hello.epoch, hello.boot_id),
        FromNode::Refused(error) => format!("refused {error}"),
        FromNode::Done(report) => match &report.result {
            Ok(_) => format!("done {}", report.key),
            Err(error) => format!("failed {}: {error}", report.key),
        },
        FromNode::Domain { name, state, .. } => format!("{name} {state:?}"),
        FromNode::Sample { vms, .. } => {
            let names: Vec<&str> = vms.iter().map(|vm| vm.name.as_str()).collect();
            format!("sample [{}]", names.join(" "))
        }
        FromNode::Settled(keys) => format!("settled {}", keys.len()),
        FromNode::Leases(seen) => format!("leases {}", seen.len()),
        FromNode::ProbesTaken(token, _) => format!("probes {token} taken"),
        FromNode::Probed(round) => format!("probed {:?}", round.family),
        FromNode::Pong(number) => format!("pong {number}"),
    }
}

/// An action in a few words.
pub(crate) fn action_text(action: &Action) -> String {
    match action {
        Action::DomainStart { name, .. } => format!("start {name}"),
        Action::DomainRestore { name, .. } => format!("restore {name}"),
        Action::DomainAbsent { name, .. } => format!("no other {name}"),
        Action::DomainShutdown { name, .. } => format!("shutdown {name}"),
        Action::DomainDestroy { name, .. } => format!("destroy {name}"),
        Action::DomainSave { name, .. } => format!("save {name}"),
        Action::DomainReboot { name, .. } => format!("reboot {name}"),
        Action::DomainReset { name, .. } => format!("reset {name}"),
        Action::GuestExec { name, .. } => format!("command in {name}"),
        Action::GuestAwait { name, pid, .. } => format!("await {pid} in {name}"),
        Action::GuestKill { name, pid, .. } => format!("kill {pid} in {name}"),
        Action::DomainMedia { name, .. } => format!("media {name}"),
        Action::DomainReceive { name, .. } => format!("receive {name}"),
        Action::DomainMigrate { name, from, to, .. } => {
            format!("migrate {name} from {} to {}", from.host, to.host)
        }
        Action::DomainChange { name, .. } => format!("change {name}"),
        Action::DomainResize { name, .. } => format!("resize {name}"),
        Action::DiskCopy { destination, .. } => format!("copy {destination}"),
        Action::DiskFlatten { destination, .. } => format!("flatten {destination}"),
        Action::LayersMerge { destination, .. } => format!("merge into {destination}"),
        Action::DiskOverlay { destination, .. } => format!("overlay {destination}"),
        Action::DiskSnapshot { path, snapshot, .. } => format!("snapshot {snapshot} of {path}"),
        Action::DomainDiskSnapshot { name, snapshot, .. } => format!("snapshot {snapshot} of {name}"),
        Action::DomainDisksCopy { name, disks, .. } => format!("copy {} disks of {name}", disks.len()),
        Action::DiskLink { destination, .. } => format!("link {destination}"),
        Action::DiskMake { destination, .. } => format!("make {destination}"),
        Action::PathDelete { path } => format!("delete {path}"),
        Action::FileReplace { source, destination } => format!("replace {destination} by {source}"),
        Action::Transfer { source, destination } => {
            format!(
                "transfer {} to {}",
                location_text(source),
                location_text(destination)
            )
        }
        Action::ContextMake { destination, .. } => format!("context {destination}"),
        Action::ImageRegister { destination, .. } => format!("register {destination}"),
        Action::ImageStat { .. } => "stat image".into(),
        Action::DatastoreStat { path } => format!("stat {path}"),
        Action::ScriptRun(_) => "script".into(),
    }
}

fn location_text(location: &plerion_protocol::Location) -> String {
    match location {
        plerion_protocol::Location::Here(path) => path.clone(),
        plerion_protocol::Location::There(target, path) => format!("{}:{path}", target.host),
    }
}

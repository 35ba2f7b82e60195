//! The messages between the front-end and the agent of a host, and their framing.
//!
//! One channel a host carries all of them, in both directions: a frame is a length (four bytes, big endian) and that
//! many bytes of JSON. Bulk data never travels here. Actions are idempotent and keyed: asking again with the same
//! key, after any loss, either does the rest or reports what was done.

mod action;
mod bridge;
mod domain_change;
mod frame;
mod lease;
mod monitor;
mod numa;
mod pci;
mod probe;

pub use action::{
    Action, ActionError, ActionOutput, CommandEnd, ContextCopy, ContextFile, DiskFormat, DiskTaken,
    ErrorKind, Freeze, ImageSource, Location, Mark, MirrorDisk, ScriptArgument, ScriptCall, ScriptReply,
    SnapshotWork, SshTarget,
};
pub use bridge::Bridge;
pub use domain_change::{Device, DomainChange};
pub use frame::{FRAME_BYTES_MAX, FrameError, frame_read, frame_write};
pub use lease::{LEASE_MARGIN_S, LeaseKeep, LeaseLook, LeaseSeen, LeaseSight};
pub use monitor::{
    CacheWatch, DatastoreSample, DomainState, GuestSample, HostFacts, HostSample, VmSample, Watch, WildSample,
};
pub use numa::{NumaCore, NumaNode, NumaPages, NumaSample};
pub use pci::PciFound;
pub use probe::{ProbeFamily, ProbeFile, ProbeRound, ProbeSet};

use serde::{Deserialize, Serialize};

/// Raised with every change that an older peer would misread. The agent is pushed by content hash, so both ends agree
/// unless somebody mixes binaries by hand.
pub const PROTOCOL_VERSION: u32 = 4;

/// Keys in one [`FromNode::Settled`] at most.
pub const SETTLED_KEYS_MAX: usize = 4096;

/// The kind of object that an action works for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// A virtual machine.
    Vm,
    /// An image.
    Image,
    /// A datastore.
    Datastore,
    /// A host.
    Host,
}

/// Identifies one action for ever: the object, its step (which grows with every state change that starts actions) and
/// the part within the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ActionKey {
    /// Kind of the object.
    pub kind: ObjectKind,
    /// Id of the object.
    pub id: i32,
    /// Step of the object.
    pub step: u64,
    /// Part of the step, from 0.
    pub part: u32,
}

impl std::fmt::Display for ActionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            ObjectKind::Vm => "vm",
            ObjectKind::Image => "image",
            ObjectKind::Datastore => "datastore",
            ObjectKind::Host => "host",
        };
        write!(f, "{kind}-{}-{}-{}", self.id, self.step, self.part)
    }
}

/// An action asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Which action.
    pub key: ActionKey,
    /// Epoch of the front-end that asks; the agent refuses one lower than the highest it has seen.
    pub epoch: u64,
    /// How often this front-end has asked for this action, from 1. A higher attempt of a failed action does it again; the
    /// same attempt only reports, unless it was interrupted under an earlier front-end.
    pub attempt: u32,
    /// Seconds after which the agent gives up and reports [`ErrorKind::Deadline`].
    pub deadline_s: u32,
    /// What to do.
    pub action: Action,
}

/// How an action ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Which action.
    pub key: ActionKey,
    /// The attempt that ended.
    pub attempt: u32,
    /// What came of it.
    pub result: Result<ActionOutput, ActionError>,
}

/// From the front-end to an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToNode {
    /// The first message.
    Hello(ServerHello),
    /// Do this.
    Do(Box<Request>),
    /// These results have been committed; their journal entries can go.
    Forget(Vec<ActionKey>),
    /// What to watch and how often to sample.
    Watch(Watch),
    /// The administrator's probes.
    Probes(Box<ProbeSet>),
    /// Are you there?
    Ping(u64),
}

/// From an agent to the front-end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromNode {
    /// The answer to [`ToNode::Hello`].
    Hello(Box<NodeHello>),
    /// The hello was refused (epoch too low, protocol version); the agent closes the channel.
    Refused(ActionError),
    /// After the hello: actions whose results are in the journal, so that the front-end can say which of them to
    /// forget. It may have said so before, on a channel that broke. At most [`SETTLED_KEYS_MAX`] a message.
    Settled(Vec<ActionKey>),
    /// An action ended.
    Done(Box<Report>),
    /// A domain changed its state.
    Domain {
        /// Name of the domain (`one-ID`).
        name: String,
        /// Its UUID.
        uuid: String,
        /// The state it has now.
        state: DomainState,
    },
    /// Measurements.
    Sample {
        /// The host's.
        host: Box<HostSample>,
        /// Those of its domains whose names are of a cloud's form, `one-ID`.
        vms: Vec<VmSample>,
        /// Its other domains.
        #[serde(default)]
        wilds: Vec<WildSample>,
        /// The watched datastores'.
        datastores: Vec<DatastoreSample>,
    },
    /// What is seen of the leases that are looked at, where that is new.
    Leases(Vec<LeaseSeen>),
    /// The probes with this token are there, or why they could not be put there.
    ProbesTaken(String, Result<(), ActionError>),
    /// What the administrator's probes have printed.
    Probed(ProbeRound),
    /// I am here.
    Pong(u64),
}

/// Opens a channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerHello {
    /// [`PROTOCOL_VERSION`].
    pub protocol: u32,
    /// Identity of the cloud, made at its first start; one agent process serves one cloud.
    pub cloud: String,
    /// Epoch of the front-end.
    pub epoch: u64,
    /// Directories below which the agent may touch files (the datastore location). Paths of actions outside of them
    /// are refused.
    pub roots: Vec<String>,
}

/// Answers [`ServerHello`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeHello {
    /// [`PROTOCOL_VERSION`].
    pub protocol: u32,
    /// Highest epoch seen for this cloud, the one just said included.
    pub epoch: u64,
    /// The kernel's boot id: another one than last time means that the host was restarted.
    pub boot_id: String,
    /// What the host is.
    pub facts: HostFacts,
    /// For each root of the hello, what its `.plerion-place` holds: two agents that tell the same see the same files,
    /// be it that they are on one machine or that the directory is shared. Empty where it could not be made.
    #[serde(default)]
    pub places: Vec<String>,
}

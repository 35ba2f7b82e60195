//! [`Queue`]: what will happen, in order of simulated time.

use std::collections::BTreeMap;

use plerion_model::Id;
use plerion_protocol::{ActionKey, FromNode, ToNode};
use plerion_world::Site;

/// Milliseconds since the beginning of a run.
pub(crate) type Millis = u64;
/// Index of a front-end among all that a run has had.
pub(crate) type FrontEndId = usize;
/// Index of a machine; 0 is the front-end's own agent.
pub(crate) type NodeId = usize;
/// Index of a connection among all that a run has had.
pub(crate) type ConnectionId = usize;

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A message reaches an agent.
    ToNode(ConnectionId, Box<ToNode>),
    /// A message reaches a front-end.
    FromNode(ConnectionId, Box<FromNode>),
    /// A front-end tries to connect to an agent; the number tells links to one site apart.
    Connect(FrontEndId, Site, u64),
    /// A front-end notices that a connection is gone.
    Lost(ConnectionId),
    /// The writer takes its queue.
    Write(FrontEndId),
    /// The coordinator learns that the world has changed.
    Coordinate(FrontEndId),
    /// The scheduler looks for places.
    Schedule(FrontEndId),
    /// A front-end starts.
    FrontEndStart,
    /// An action ends: machine, life of its agent, action, number of the job.
    JobEnd(NodeId, u64, ActionKey, u64),
    /// An agent starts.
    AgentStart(NodeId),
    /// A machine has booted.
    HostStart(NodeId),
    /// The network to a machine works again.
    LinkHeal(NodeId),
    /// There is room on the disk of a machine again.
    DiskFree(NodeId),
    /// The libvirt of a machine answers again.
    LibvirtUp(NodeId),
    /// A guest ends by itself: machine, VM, number of the start.
    GuestEnd(NodeId, Id, u64, GuestEnd),
    /// A sample is due: machine, life of its agent, number of the watch.
    Sample(NodeId, u64, u64),
    /// A sample that was taken before is sent.
    SampleSend(NodeId, u64, Box<FromNode>),
    /// The program that fences a host ends: front-end, execution.
    FenceEnd(FrontEndId, Id),
    /// Somebody wants something.
    Call,
    /// Something breaks.
    Fault,
}

/// How a guest ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GuestEnd {
    /// It switches itself off.
    Off,
    /// Its QEMU dies.
    Crash,
}

/// Events by time; of the same time in the order in which they were put in.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    events: BTreeMap<(Millis, u64), Event>,
    put: u64,
}

impl Queue {
    /// Puts an event in.
    pub(crate) fn put(&mut self, time: Millis, event: Event) {
        self.put += 1;
        self.events.insert((time, self.put), event);
    }

    /// Takes the next event out.
    pub(crate) fn pop(&mut self) -> Option<(Millis, Event)> {
        self.events.pop_first().map(|((time, _), event)| (time, event))
    }
}

//! [`HostLink`]: a channel to an agent.

use std::sync::Arc;

use plerion_model::Id;
use plerion_protocol::{FromNode, NodeHello, ServerHello, ToNode, Watch};
use plerion_world::Site;

/// The channel is down; what was handed over is lost and has to be asked for again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the link is down: {0}")]
pub struct LinkDown(pub String);

/// What a link has to say.
#[derive(Clone, Debug)]
pub enum LinkEvent {
    /// It is up; the agent said this of itself.
    Up(Box<NodeHello>),
    /// It is down; why, for people.
    Down(String),
    /// A message came.
    Message(FromNode),
}

/// Takes the events of links. It must not block for long.
pub type LinkSink = Arc<dyn Fn(Site, LinkEvent) + Send + Sync>;

/// A channel to one agent. It opens itself again after a loss; dropping it closes it.
pub trait HostLink: Send + Sync {
    /// Hands a message over without waiting.
    ///
    /// # Errors
    /// When the channel is down or its queue is full.
    fn send(&self, message: ToNode) -> Result<(), LinkDown>;

    /// Changes what the agent watches, now and after each reconnection.
    fn watch(&self, watch: Watch);
}

/// Where an agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkTarget {
    /// Which site it serves.
    pub site: Site,
    /// Name or address of the host; empty for the front-end's own agent.
    pub host: String,
}

impl LinkTarget {
    /// The front-end's own agent.
    #[must_use]
    pub fn front_end() -> Self {
        Self {
            site: Site::FrontEnd,
            host: String::new(),
        }
    }

    /// The agent of a host.
    #[must_use]
    pub fn host(id: Id, name: &str) -> Self {
        Self {
            site: Site::Host(id),
            host: name.to_owned(),
        }
    }
}

/// Opens links.
pub trait LinkMaker: Send + Sync {
    /// Starts to open a link; events go to `sink`.
    fn open(&self, target: LinkTarget, hello: ServerHello, watch: Watch, sink: LinkSink)
    -> Arc<dyn HostLink>;

    /// How a host's agent reaches another end by SSH for transfers: the target for the front-end's agent.
    fn ssh_target(&self, host: &str) -> plerion_protocol::SshTarget;
}

//! One connection of a front-end: its hello, then its messages, until it ends.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use plerion_protocol::{FrameError, FromNode, SETTLED_KEYS_MAX, ToNode, frame_read, frame_write};

use crate::agent::{Agent, Closer};

/// Messages that wait to be sent to the front-end.
const OUT_QUEUE_MAX: usize = 1024;

/// Serves one connection to its end. `closer` must make both reading and writing fail.
pub(crate) fn session_serve(
    agent: &Arc<Agent>,
    reader: &mut impl Read,
    writer: impl Write + Send + 'static,
    closer: Closer,
) {
    static NEXT_ID: AtomicU64 = AtomicU64::new(1);
    let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
    let (sender, receiver) = sync_channel(OUT_QUEUE_MAX);
    let writer = std::thread::spawn(move || queue_write(&receiver, writer));
    match session_run(agent, id, reader, &sender, closer) {
        Ok(()) => tracing::info!(id, "the front-end has ended the channel"),
        Err(error) => tracing::info!(id, %error, "the channel has ended"),
    }
    agent.goodbye(id);
    drop(sender);
    if writer.join().is_err() {
        tracing::error!("the writer of a channel has failed");
    }
}

fn queue_write(receiver: &Receiver<FromNode>, mut writer: impl Write) {
    while let Ok(message) = receiver.recv() {
        if let Err(error) = frame_write(&mut writer, &message) {
            // The reader sees the end of the channel by itself.
            tracing::info!(%error, "the channel takes no more");
            return;
        }
    }
}

fn session_run(
    agent: &Arc<Agent>,
    id: u64,
    reader: &mut impl Read,
    sender: &SyncSender<FromNode>,
    closer: Closer,
) -> Result<(), FrameError> {
    let Some(first) = frame_read::<ToNode>(reader)? else {
        return Ok(());
    };
    let ToNode::Hello(hello) = first else {
        let error = crate::fault::refused("the first message must be a hello");
        drop(sender.send(FromNode::Refused(error)));
        return Ok(());
    };
    // The answer to the hello must be the first message: nothing else knows the queue before `hello` returns, except
    // what runs already, which may report in between. So a queue of its own comes in between.
    let (gate, gated) = sync_channel(OUT_QUEUE_MAX);
    match agent.hello(&hello, id, gate, closer) {
        Ok(answer) => {
            drop(sender.send(FromNode::Hello(Box::new(answer))));
            // Before the first request is read: what the front-end asks for from now on is not among them.
            for keys in agent.runner.settled_keys().chunks(SETTLED_KEYS_MAX) {
                drop(sender.send(FromNode::Settled(keys.to_vec())));
            }
        }
        Err(error) => {
            drop(sender.send(FromNode::Refused(error)));
            return Ok(());
        }
    }
    let forward = {
        let sender = sender.clone();
        std::thread::spawn(move || queue_forward(&gated, &sender))
    };
    let result = messages_read(agent, id, reader, sender);
    agent.goodbye(id);
    if forward.join().is_err() {
        tracing::error!("the queue of a channel has failed");
    }
    result
}

/// Ends when the agent has let go of the gate.
fn queue_forward(gated: &Receiver<FromNode>, sender: &SyncSender<FromNode>) {
    while let Ok(message) = gated.recv() {
        if sender.send(message).is_err() {
            return;
        }
    }
}

fn messages_read(
    agent: &Arc<Agent>,
    id: u64,
    reader: &mut impl Read,
    sender: &SyncSender<FromNode>,
) -> Result<(), FrameError> {
    while let Some(message) = frame_read::<ToNode>(reader)? {
        if !agent.is_current(id) {
            // A newer channel leads; what this one still says is not obeyed.
            return Ok(());
        }
        match message {
            ToNode::Do(request) => agent.request(*request),
            ToNode::Forget(keys) => agent.forget(&keys),
            ToNode::Watch(watch) => agent.watch(watch),
            ToNode::Probes(set) => agent.probes(*set),
            ToNode::Ping(number) => drop(sender.send(FromNode::Pong(number))),
            ToNode::Hello(_) => {
                drop(sender.send(FromNode::Refused(crate::fault::refused("a second hello"))));
                return Ok(());
            }
        }
    }
    Ok(())
}

//! Orders of callers.

use std::sync::Arc;

use plerion_engine::Engine;
use plerion_model::ApiError;
use plerion_world::{Caller, Command, Order, Reply};
use tokio::sync::oneshot;

use crate::hook::called;
use crate::reject::Reject;
use crate::xmlrpc::Payload;

/// Gives an order and waits for its commit.
pub(crate) async fn order(engine: &Arc<Engine>, caller: Caller, command: Command) -> Result<Payload, Reject> {
    let (sender, receiver) = oneshot::channel();
    engine.submit(
        Order {
            caller,
            command: called(command),
        },
        Box::new(move |outcome| {
            // The caller may have gone; what it asked for is done all the same.
            let _ = sender.send(outcome);
        }),
    );
    let outcome = receiver.await.map_err(|_| {
        ApiError::internal("The server is stopping: whether the change was made is not known")
    })?;
    match outcome? {
        Reply::Id(id) => Ok(Payload::Int(id)),
        Reply::Text(text) => Ok(Payload::Text(text)),
        Reply::Nothing => Ok(Payload::Int(0)),
    }
}

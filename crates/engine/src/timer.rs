//! The timer thread: sleeps until a scheduled action is due, and has it done.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use plerion_world::{Caller, Command, Order, World};

use crate::clock::Clock;
use crate::wake::Wake;
use crate::writer::{Answer, WriterHandle};

/// Longest sleep. Sleeps follow a clock that nobody sets, and due times the clock on the wall, which somebody may put
/// forward.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// Most actions that are given to the writer at once.
const BATCH_MAX: usize = 256;
/// Pause after a look at which the writer took nothing, because it was busy.
const BUSY_PAUSE: Duration = Duration::from_millis(200);

/// Starts the thread. It ends when `wake` is stopped.
pub(crate) fn timer_start(
    wake: Arc<Wake>,
    published: Arc<ArcSwap<World>>,
    writer: WriterHandle,
    clock: Arc<dyn Clock>,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("timer".into()).spawn(move || {
        let mut sleep = Duration::ZERO;
        while wake.wait(sleep) {
            sleep = due_do(&published.load_full(), &writer, clock.as_ref());
        }
    })
}

/// Has what is due done, and waits for it. Returns how long to sleep.
fn due_do(world: &World, writer: &WriterHandle, clock: &dyn Clock) -> Duration {
    let now = clock.now();
    let due: Vec<_> = world.sched_due(now).take(BATCH_MAX).collect();
    if due.is_empty() {
        return sleep_of(world, now);
    }
    let (sender, receiver) = std::sync::mpsc::channel::<bool>();
    for (time, id) in due {
        let sender = sender.clone();
        let answer: Answer = Box::new(move |outcome| {
            if let Err(refusal) = &outcome {
                tracing::warn!(%refusal, id, "a scheduled action was not taken; it is tried again");
            }
            // Nobody listens any more only when the process ends.
            let _ = sender.send(outcome.is_ok());
        });
        let order = Order {
            caller: Caller::system(),
            command: Command::SchedDue { id, time },
        };
        writer.submit(order, answer);
    }
    drop(sender);
    // There may be more of them; those that were done are published by now and not seen again.
    if receiver.iter().fold(false, |any, taken| any | taken) {
        Duration::ZERO
    } else {
        BUSY_PAUSE
    }
}

fn sleep_of(world: &World, now: i64) -> Duration {
    world.sched_next().map_or(SLEEP_MAX, |(time, _)| {
        let seconds = u64::try_from(time.saturating_sub(now)).unwrap_or(0);
        Duration::from_secs(seconds).min(SLEEP_MAX)
    })
}

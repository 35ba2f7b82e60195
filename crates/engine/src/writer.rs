//! The writer thread: takes all that has queued, lets [`Core`] apply and commit it, publishes, answers.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use plerion_model::{ApiError, ErrorCode};
use plerion_store::Store;
use plerion_world::{Order, Reply, World};

use crate::core::{Core, CoreError};

/// Most orders that wait for the writer.
const QUEUE_MAX: usize = 8192;
/// Most orders of one transaction.
const BATCH_MAX: usize = 512;

/// Pause between looks for old entries of the change log.
const TRIM_EVERY: Duration = Duration::from_secs(60);
/// Pause after a look that found more than it deleted.
const TRIM_AGAIN: Duration = Duration::from_millis(500);

/// Takes the outcome of an order.
pub type Answer = Box<dyn FnOnce(Result<Reply, ApiError>) + Send>;

struct Entry {
    order: Order,
    answer: Answer,
}

/// Hands orders to the writer.
#[derive(Clone)]
pub(crate) struct WriterHandle {
    sender: SyncSender<Entry>,
}

impl WriterHandle {
    /// Queues an order. It is answered after its commit; at once, when the queue is full or the writer has stopped.
    pub(crate) fn submit(&self, order: Order, answer: Answer) {
        match self.sender.try_send(Entry { order, answer }) {
            Ok(()) => {}
            Err(TrySendError::Full(entry)) => (entry.answer)(Err(ApiError::new(
                ErrorCode::Internal,
                format!("The server is busy: {QUEUE_MAX} changes wait already; try again"),
            ))),
            Err(TrySendError::Disconnected(entry)) => (entry.answer)(Err(stopped())),
        }
    }
}

fn stopped() -> ApiError {
    ApiError::new(
        ErrorCode::Replication,
        "The server is stopping and takes no changes",
    )
}

/// Runs the writer until all handles are gone or the database fails. `committed` is told of each change: the world before
/// it and after it.
pub(crate) fn writer_start<S: Store + 'static>(
    mut core: Core<S>,
    published: Arc<ArcSwap<World>>,
    committed: impl Fn(&World, &World) + Send + 'static,
    failed: impl FnOnce(CoreError) + Send + 'static,
) -> std::io::Result<(WriterHandle, std::thread::JoinHandle<()>)> {
    let (sender, receiver) = sync_channel(QUEUE_MAX);
    let thread = std::thread::Builder::new().name("writer".into()).spawn(move || {
        if let Err(error) = run(&mut core, &receiver, &published, &committed) {
            failed(error);
        }
    })?;
    Ok((WriterHandle { sender }, thread))
}

fn run<S: Store>(
    core: &mut Core<S>,
    receiver: &Receiver<Entry>,
    published: &ArcSwap<World>,
    committed: &impl Fn(&World, &World),
) -> Result<(), CoreError> {
    let mut trim_due = Instant::now() + TRIM_EVERY;
    let mut lease_due = lease_keep(core)?;
    loop {
        if lease_due.is_some_and(|due| due <= Instant::now()) {
            lease_due = lease_keep(core)?;
        }
        // Between two batches, when nobody has waited for an answer yet.
        if trim_due <= Instant::now() {
            let more = core.log_trim()?;
            trim_due = Instant::now() + if more { TRIM_AGAIN } else { TRIM_EVERY };
        }
        // The duration of the last commit is the window in which the next batch gathers.
        let due = lease_due.map_or(trim_due, |lease| lease.min(trim_due));
        let first = match receiver.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        let mut orders = vec![first.order];
        let mut answers = vec![first.answer];
        while orders.len() < BATCH_MAX {
            match receiver.try_recv() {
                Ok(entry) => {
                    orders.push(entry.order);
                    answers.push(entry.answer);
                }
                Err(_) => break,
            }
        }
        let before = core.world().clone();
        match core.process(&orders) {
            Ok(outcomes) => {
                let world = core.world();
                let changed = !Arc::ptr_eq(&before, world);
                if changed {
                    published.store(world.clone());
                }
                // Callers first: those who go on from here are threads of our own.
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    answer(outcome);
                }
                if changed {
                    committed(&before, world);
                }
            }
            Err(error) => {
                // Whether these were written is not known; they get no answer that says so.
                for answer in answers {
                    answer(Err(ApiError::new(
                        ErrorCode::Replication,
                        "The database failed while the change was written: whether it was made is not known",
                    )));
                }
                return Err(error);
            }
        }
    }
}

/// Keeps the lead. Returns when to do so again.
fn lease_keep<S: Store>(core: &mut Core<S>) -> Result<Option<Instant>, CoreError> {
    Ok(core.lease_keep()?.map(|time| Instant::now() + time))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use plerion_store::MemoryStore;
    use plerion_world::{Caller, Command, Config};

    use super::*;
    use crate::clock::SystemClock;

    #[derive(Debug, PartialEq, Eq)]
    enum Seen {
        /// An order was answered; groups that were published then, if it was accepted.
        Answered(Option<usize>),
        /// A change was told of: groups before and after it.
        Committed(usize, usize),
    }

    fn submit(writer: &WriterHandle, name: &str, published: &Arc<ArcSwap<World>>, seen: &Sender<Seen>) {
        let (published, seen) = (published.clone(), seen.clone());
        let order = Order {
            caller: Caller::system(),
            command: Command::GroupAllocate { name: name.into() },
        };
        writer.submit(
            order,
            Box::new(move |outcome| {
                let groups = outcome.ok().map(|_| published.load().groups.len());
                seen.send(Seen::Answered(groups)).expect("somebody looks");
            }),
        );
    }

    #[test]
    fn callers_come_first_and_see_their_change_published_and_a_refusal_is_no_change() {
        let first = || Ok([("a", "x"), ("b", "y")].map(|(name, word)| (name.to_owned(), word.to_owned())));
        let store = MemoryStore::new("cloud");
        let core =
            Core::start(store, Config::default(), Arc::new(SystemClock), "here", first).expect("starts");
        let groups = core.world().groups.len();
        let published = Arc::new(ArcSwap::from(core.world().clone()));
        let (sender, seen) = channel();
        let committed = {
            let sender = sender.clone();
            move |before: &World, after: &World| {
                let told = Seen::Committed(before.groups.len(), after.groups.len());
                sender.send(told).expect("somebody looks");
            }
        };
        let failed = |error| panic!("{error}");
        let (writer, thread) = writer_start(core, published.clone(), committed, failed).expect("starts");
        let next = || seen.recv().expect("something");
        submit(&writer, "one", &published, &sender);
        assert_eq!(next(), Seen::Answered(Some(groups + 1)));
        assert_eq!(next(), Seen::Committed(groups, groups + 1));
        submit(&writer, "one", &published, &sender);
        assert_eq!(next(), Seen::Answered(None), "the name is taken");
        submit(&writer, "two", &published, &sender);
        assert_eq!(next(), Seen::Answered(Some(groups + 2)));
        assert_eq!(next(), Seen::Committed(groups + 1, groups + 2));
        drop(writer);
        thread.join().expect("ends");
    }
}

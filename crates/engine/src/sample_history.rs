//! [`SampleHistory`]: what was measured, kept for a time.
//!
//! A thread of its own writes, so that a slow disk holds up neither commits nor hosts. What it cannot keep up with is left
//! out: the last measurements are in memory all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use plerion_model::Seconds;
use plerion_store::{Sample, SampleKind, SampleStore, StoreError};

use crate::clock::Clock;

/// Reports of hosts that wait to be written.
const QUEUE_MAX: usize = 1_024;
/// Reports of one transaction.
const BATCH_MAX: usize = 128;
/// Pause between looks for old samples.
const TRIM_EVERY: Duration = Duration::from_secs(30);
/// Old samples that are deleted at once.
const TRIM_ROWS: u32 = 5_000;
/// Such deletions in a row before new samples have their turn.
const TRIM_ROUNDS: usize = 20;

/// For how long samples are kept.
#[derive(Clone, Copy, Debug)]
pub struct SamplesKept {
    /// Of hosts, in seconds; 0 keeps none.
    pub hosts_s: u32,
    /// Of VMs, in seconds; 0 keeps none.
    pub vms_s: u32,
}

/// Takes samples.
#[derive(Clone)]
pub(crate) struct SampleHistory {
    sender: SyncSender<Vec<Sample>>,
    kept: SamplesKept,
    /// Whether something had to be left out since the thread last kept up.
    behind: Arc<AtomicBool>,
}

/// Starts the thread; it ends when nobody can give it anything any more.
pub(crate) fn sample_history_start(
    store: SampleStore,
    kept: SamplesKept,
    clock: Arc<dyn Clock>,
) -> std::io::Result<(SampleHistory, std::thread::JoinHandle<()>)> {
    let (sender, receiver) = sync_channel(QUEUE_MAX);
    let thread = std::thread::Builder::new()
        .name("samples".into())
        .spawn(move || run(store, kept, &*clock, &receiver))?;
    let behind = Arc::default();
    Ok((SampleHistory { sender, kept, behind }, thread))
}

impl SampleHistory {
    /// What a host has reported.
    pub(crate) fn give(&self, mut samples: Vec<Sample>) {
        samples.retain(|sample| match sample {
            Sample::Host(..) => self.kept.hosts_s > 0,
            Sample::Vm(..) => self.kept.vms_s > 0,
        });
        if samples.is_empty() {
            return;
        }
        match self.sender.try_send(samples) {
            Ok(()) => self.behind.store(false, Ordering::Relaxed),
            Err(TrySendError::Full(_)) => {
                if !self.behind.swap(true, Ordering::Relaxed) {
                    tracing::warn!("samples cannot be written fast enough: some are left out of the history");
                }
            }
            Err(TrySendError::Disconnected(_)) => {}
        }
    }
}

fn run(mut store: SampleStore, kept: SamplesKept, clock: &dyn Clock, receiver: &Receiver<Vec<Sample>>) {
    let mut failed = false;
    let mut trim_due = Instant::now();
    loop {
        let result = match receiver.recv_timeout(trim_due.saturating_duration_since(Instant::now())) {
            Ok(mut samples) => {
                samples.extend(receiver.try_iter().take(BATCH_MAX).flatten());
                store.put(&samples)
            }
            Err(RecvTimeoutError::Timeout) => {
                trim_due = Instant::now() + TRIM_EVERY;
                trim(&mut store, kept, clock.now())
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        match result {
            Ok(()) => failed = false,
            Err(error) => {
                if !std::mem::replace(&mut failed, true) {
                    tracing::warn!(%error, "the history of samples cannot be written");
                }
            }
        }
    }
}

fn trim(store: &mut SampleStore, kept: SamplesKept, now: Seconds) -> Result<(), StoreError> {
    for (kind, kept_s) in [(SampleKind::Host, kept.hosts_s), (SampleKind::Vm, kept.vms_s)] {
        let before = now.saturating_sub(kept_s.into());
        for _ in 0..TRIM_ROUNDS {
            if store.trim(kind, before, TRIM_ROWS)? < TRIM_ROWS as usize {
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use plerion_model::view::{HostSampleView, VmSampleView};

    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn what_is_given_is_written_and_what_is_old_goes() {
        let path = std::env::temp_dir().join(format!("plerion-history-{}.db", std::process::id()));
        let (store, reader) = SampleStore::open(&path).expect("opens");
        let kept = SamplesKept {
            hosts_s: 0,
            vms_s: 1_000,
        };
        let clock = Arc::new(SystemClock);
        let now = clock.now();
        let (history, thread) = sample_history_start(store, kept, clock.clone()).expect("starts");
        let vm = |time| {
            let view = VmSampleView {
                time,
                ..VmSampleView::default()
            };
            Sample::Vm(7, Arc::new(view))
        };
        let host = Sample::Host(1, Arc::new(HostSampleView::default()));
        history.give(vec![vm(now - 2_000), vm(now), host]);
        drop(history);
        thread.join().expect("ends");
        assert_eq!(reader.vm(7, 0).expect("reads").len(), 2);
        assert_eq!(
            reader.host_last(1).expect("reads"),
            None,
            "none of hosts are kept"
        );
        drop(reader);
        let (mut store, reader) = SampleStore::open(&path).expect("opens");
        trim(&mut store, kept, now).expect("trims");
        let left = reader.vm(7, 0).expect("reads");
        assert_eq!(left.iter().map(|sample| sample.time).collect::<Vec<_>>(), [now]);
        drop((store, reader));
        std::fs::remove_file(&path).expect("there");
    }
}

//! What guests say of themselves. They are asked by a thread of its own, one after the other: a guest that does not answer
//! delays no sample, and is asked less and less often.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use plerion_protocol::{DomainState, GuestSample, VmSample};

use crate::hypervisor::Hypervisor;
use crate::limits::Limits;

/// Pause between two questions to a guest that answers.
const ASK_PAUSE: Duration = Duration::from_secs(60);
/// First and longest pause after one that was not answered: a guest that boots has no agent yet, and many never have.
const SILENT_PAUSE_MIN: Duration = Duration::from_secs(5);
const SILENT_PAUSE_MAX: Duration = Duration::from_secs(600);
/// Time for a guest to say it all.
const ASK_TIME_MAX: Duration = Duration::from_secs(20);

/// The guests of this host.
pub(super) struct Guests {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    table: Mutex<Table>,
    news: Condvar,
}

#[derive(Default)]
struct Table {
    /// By UUID.
    guests: HashMap<String, Guest>,
    ended: bool,
}

struct Guest {
    said: Option<GuestSample>,
    due: Instant,
    /// Pause after the next question that is not answered.
    silent_pause: Duration,
}

impl Guest {
    fn new(now: Instant) -> Self {
        Self {
            said: None,
            due: now,
            silent_pause: SILENT_PAUSE_MIN,
        }
    }

    /// Notes what came of a question.
    fn answered(&mut self, said: Option<GuestSample>, now: Instant) {
        if said.is_some() {
            self.due = now + ASK_PAUSE;
            self.silent_pause = SILENT_PAUSE_MIN;
        } else {
            self.due = now + self.silent_pause;
            self.silent_pause = SILENT_PAUSE_MAX.min(self.silent_pause * 2);
        }
        self.said = said;
    }
}

impl Guests {
    pub(super) fn new(hypervisor: Hypervisor) -> Self {
        let shared: Arc<Shared> = Arc::default();
        let asker = Arc::clone(&shared);
        std::thread::spawn(move || asker.work(|uuid| ask(&hypervisor, uuid)));
        Self { shared }
    }

    /// Adds to samples what is known of their guests, and has those asked that run.
    pub(super) fn complete(&self, samples: &mut [VmSample]) {
        let now = Instant::now();
        let mut table = self.shared.lock();
        let runs = |uuid: &str| {
            let mut samples = samples.iter();
            samples.any(|sample| sample.uuid == uuid && sample.state == DomainState::Running)
        };
        table.guests.retain(|uuid, _| runs(uuid));
        for sample in samples
            .iter_mut()
            .filter(|sample| sample.state == DomainState::Running)
        {
            let guest = table
                .guests
                .entry(sample.uuid.clone())
                .or_insert_with(|| Guest::new(now));
            sample.guest.clone_from(&guest.said);
        }
        drop(table);
        self.shared.news.notify_one();
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.news.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks whoever is due, one after the other, until the end.
    fn work(&self, ask: impl Fn(&str) -> Option<GuestSample>) {
        while let Some(uuid) = self.next() {
            let said = ask(&uuid);
            if let Some(guest) = self.lock().guests.get_mut(&uuid) {
                guest.answered(said, Instant::now());
            }
        }
    }

    /// The guest that has been due longest, when there is one; nothing at the end.
    fn next(&self) -> Option<String> {
        let mut table = self.lock();
        loop {
            if table.ended {
                return None;
            }
            let first = table.guests.iter().min_by_key(|(_, guest)| guest.due);
            let now = Instant::now();
            let pause = match first {
                Some((uuid, guest)) if guest.due <= now => return Some(uuid.clone()),
                Some((_, guest)) => guest.due - now,
                None => SILENT_PAUSE_MAX,
            };
            table = self
                .news
                .wait_timeout(table, pause)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

fn ask(hypervisor: &Hypervisor, uuid: &str) -> Option<GuestSample> {
    match hypervisor.guest_info(uuid, &Limits::new(ASK_TIME_MAX)) {
        Ok(said) => Some(said),
        Err(error) => {
            tracing::debug!(uuid, %error, "a guest says nothing of itself");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn sample(uuid: &str, state: DomainState) -> VmSample {
        VmSample::unused("one-1".to_owned(), uuid.to_owned(), state)
    }

    #[test]
    fn a_guest_that_hangs_delays_no_sample() {
        let shared: Arc<Shared> = Arc::default();
        let guests = Guests {
            shared: Arc::clone(&shared),
        };
        let (asked, questions) = channel::<String>();
        let (answer, answers) = channel();
        let worker = std::thread::spawn(move || {
            shared.work(|uuid| {
                asked.send(uuid.to_owned()).expect("heard");
                answers.recv().expect("an answer")
            });
        });
        let mut samples = [
            sample("a", DomainState::Running),
            sample("off", DomainState::Paused),
        ];
        guests.complete(&mut samples);
        assert_eq!(questions.recv().expect("asked"), "a");
        // It hangs: the next sample is there at once, without it.
        guests.complete(&mut samples);
        assert_eq!(samples[0].guest, None);
        let said = GuestSample {
            hostname: "web".to_owned(),
            ..GuestSample::default()
        };
        answer.send(Some(said.clone())).expect("said");
        let mut both = [
            sample("a", DomainState::Running),
            sample("b", DomainState::Running),
        ];
        guests.complete(&mut both);
        // The first is not due again: so its answer has been noted when the second is asked.
        assert_eq!(questions.recv().expect("asked"), "b");
        guests.complete(&mut both);
        assert_eq!(
            (both[0].guest.as_ref(), both[1].guest.as_ref()),
            (Some(&said), None)
        );
        answer.send(None).expect("said");
        drop(guests);
        worker.join().expect("it ends");
    }

    #[test]
    fn silence_is_asked_less_and_less_often() {
        let start = Instant::now();
        let mut guest = Guest::new(start);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            guest.answered(None, start);
            pauses.push((guest.due - start).as_secs());
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        guest.answered(Some(GuestSample::default()), start);
        assert_eq!(guest.due - start, ASK_PAUSE);
        guest.answered(None, start);
        assert_eq!((guest.due - start, guest.said), (SILENT_PAUSE_MIN, None));
    }
}

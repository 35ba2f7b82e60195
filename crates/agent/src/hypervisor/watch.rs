//! Knows the domains of this host: libvirt's events as they come, and full reads to repair.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use plerion_protocol::{DomainState, FromNode};

use super::events::{event_read, is_gone};
use super::host_stops::host_stops;
use super::stats::{DomainStat, Measured, domstats_read, uuids_read};
use super::virsh::{Reply, Virsh};
use crate::fault::{Act, failed};
use crate::limits::Limits;
use crate::process::error_collected;

/// First and longest pause before libvirt is tried again.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(20);
/// A stream that lived so long was a good one: the next pause is short again.
const GOOD_TIME: Duration = Duration::from_secs(10);
/// virsh does not say when its events are registered; what happened before is caught by a second read after this.
const REGISTER_TIME: Duration = Duration::from_millis(1000);
/// Longest life of one stream. It ends by itself when libvirtd goes away.
const STREAM_TIME_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Time for one full read.
const READ_TIME_MAX: Duration = Duration::from_secs(60);
/// Domains whose end is remembered at most; the oldest names go first.
const ENDED_MAX: usize = 1024;
/// Longest line that is looked at, in bytes.
const LINE_BYTES_MAX: u64 = 4096;

/// Where changes are reported.
pub(crate) type Emit = dyn Fn(FromNode) + Send + Sync;

/// Waits for one domain to be gone.
pub(crate) struct Gone {
    watch: Arc<DomainWatch>,
    name: String,
    id: u64,
    receiver: Receiver<()>,
}

impl Gone {
    /// Whether the domain is gone within `patience`.
    pub(crate) fn is_within(&self, patience: Duration) -> bool {
        self.receiver.recv_timeout(patience).is_ok()
    }
}

impl Drop for Gone {
    fn drop(&mut self) {
        let mut table = self.watch.lock();
        if let Some(waiters) = table.waiters.get_mut(&self.name) {
            waiters.retain(|(id, _)| *id != self.id);
            if waiters.is_empty() {
                table.waiters.remove(&self.name);
            }
        }
    }
}

/// The domains of this host.
pub(crate) struct DomainWatch {
    virsh: Arc<Virsh>,
    emit: Box<Emit>,
    table: Mutex<Table>,
    started: Once,
}

#[derive(Default)]
struct Table {
    domains: BTreeMap<String, Known>,
    /// UUIDs of domains about to be started, so that their first event can be told with it.
    expected: HashMap<String, String>,
    waiters: HashMap<String, Vec<(u64, SyncSender<()>)>>,
    next_waiter: u64,
    /// How domains ended that have not come back, for a front-end that was away then.
    ended: BTreeMap<String, (String, DomainState)>,
    /// Whether all domains have been read at least once.
    read: bool,
}

struct Known {
    uuid: String,
    state: DomainState,
    changed: Instant,
}

impl DomainWatch {
    pub(crate) fn new(virsh: Arc<Virsh>, emit: Box<Emit>) -> Arc<Self> {
        Arc::new(Self {
            virsh,
            emit,
            table: Mutex::default(),
            started: Once::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to listen, once.
    pub(crate) fn start(self: &Arc<Self>) {
        self.started.call_once(|| {
            let watch = Arc::clone(self);
            std::thread::spawn(move || watch.listen());
        });
    }

    /// UUID of the running domain of that name, if any; `None` as long as that is not known.
    pub(crate) fn uuid_known(&self, name: &str) -> Option<Option<String>> {
        let table = self.lock();
        match table.domains.get(name) {
            // An event may have come before its UUID was found out.
            Some(known) if known.uuid.is_empty() => None,
            Some(known) => Some(Some(known.uuid.clone())),
            None => table.read.then_some(None),
        }
    }

    /// Names the UUID of a domain about to be started.
    pub(crate) fn expect(&self, name: &str, uuid: &str) {
        self.lock().expected.insert(name.to_owned(), uuid.to_owned());
    }

    /// Tells when the domain is gone; to be asked for before it is told to go.
    pub(crate) fn gone_subscribe(self: &Arc<Self>, name: &str) -> Gone {
        self.start();
        let (sender, receiver) = sync_channel(1);
        let mut table = self.lock();
        let id = table.next_waiter;
        table.next_waiter += 1;
        table
            .waiters
            .entry(name.to_owned())
            .or_default()
            .push((id, sender));
        Gone {
            watch: Arc::clone(self),
            name: name.to_owned(),
            id,
            receiver,
        }
    }

    /// Reports the state of every domain, and how those ended that are gone, for a front-end that has just come.
    pub(crate) fn announce(&self) {
        let messages: Vec<FromNode> = {
            let table = self.lock();
            let there = |(name, known): (&String, &Known)| message(name, &known.uuid, known.state);
            let gone = |(name, (uuid, state)): (&String, &(String, DomainState))| message(name, uuid, *state);
            table
                .domains
                .iter()
                .map(there)
                .chain(table.ended.iter().map(gone))
                .collect()
        };
        for message in messages {
            (self.emit)(message);
        }
    }

    /// Listens for ever, with pauses while libvirt is away.
    fn listen(&self) {
        let mut backoff = BACKOFF_MIN;
        loop {
            let began = Instant::now();
            let followed = self.stream_follow();
            // What happens until the next stream has begun is not seen.
            self.lock().read = false;
            match followed {
                Ok(()) => tracing::warn!("libvirt's events have ended; libvirtd was probably restarted"),
                Err(error) => tracing::warn!(%error, "cannot follow libvirt's events"),
            }
            backoff = if began.elapsed() > GOOD_TIME {
                BACKOFF_MIN
            } else {
                (backoff * 2).min(BACKOFF_MAX)
            };
            std::thread::sleep(backoff);
        }
    }

    /// Follows one stream of events to its end.
    fn stream_follow(&self) -> Act<()> {
        let limits = Limits::new(STREAM_TIME_MAX);
        let mut running = self
            .virsh
            .stream(&["event", "--loop", "--event", "lifecycle"], &limits)?;
        let errors = running.error_collect();
        let stdout = running
            .stdout_take()
            .ok_or_else(|| failed("virsh has no output"))?;
        let mut reader = BufReader::new(stdout);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                self.repair();
                std::thread::sleep(REGISTER_TIME);
                self.repair();
            });
            let mut line = Vec::new();
            loop {
                line.clear();
                let mut limited = std::io::Read::take(&mut reader, LINE_BYTES_MAX);
                match limited.read_until(b'\n', &mut line) {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {
                        if let Some((name, state)) = event_read(&String::from_utf8_lossy(&line)) {
                            self.event_take(name, state);
                        }
                    }
                }
            }
        });
        let status = running.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(failed(error_collected(errors)))
        }
    }

    fn event_take(&self, name: &str, state: DomainState) {
        let uuid = {
            let table = self.lock();
            let known = table.domains.get(name).map(|known| known.uuid.clone());
            known.or_else(|| table.expected.get(name).cloned())
        };
        let uuid = uuid.or_else(|| self.uuid_ask(name)).unwrap_or_default();
        let ended = matches!(state, DomainState::Off | DomainState::Crashed);
        let state = if ended && host_stops() {
            DomainState::HostStops
        } else {
            state
        };
        self.change(name, &uuid, state);
    }

    fn uuid_ask(&self, name: &str) -> Option<String> {
        match self.virsh.ask(&["domuuid", name], &Limits::new(READ_TIME_MAX)) {
            Ok(Reply::Done(text)) => Some(text.trim().to_owned()),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(name, %error, "cannot ask for the UUID of a domain");
                None
            }
        }
    }

    /// Notes and reports a change; says nothing when it is none.
    fn change(&self, name: &str, uuid: &str, state: DomainState) {
        let changed = {
            let mut table = self.lock();
            if is_gone(state) {
                table.expected.remove(name);
                for (_, waiter) in table.waiters.remove(name).unwrap_or_default() {
                    if waiter.try_send(()).is_err() {
                        tracing::debug!(name, "whoever waited for the domain has given up");
                    }
                }
                table.domains.remove(name);
                table.ended.insert(name.to_owned(), (uuid.to_owned(), state));
                while table.ended.len() > ENDED_MAX {
                    table.ended.pop_first();
                }
                true
            } else {
                let known = Known {
                    uuid: uuid.to_owned(),
                    state,
                    changed: Instant::now(),
                };
                table.ended.remove(name);
                let old = table.domains.insert(name.to_owned(), known);
                old.is_none_or(|old| old.state != state || old.uuid != uuid)
            }
        };
        if changed {
            (self.emit)(message(name, uuid, state));
        }
    }

    fn repair(&self) {
        if let Err(error) = self.read() {
            tracing::warn!(%error, "cannot read the domains");
        }
    }

    /// Reads all domains, repairs what is known of this cloud's, and gives what was measured.
    pub(crate) fn read(&self) -> Act<Measured> {
        let limits = Limits::new(READ_TIME_MAX);
        let began = Instant::now();
        let arguments = [
            "domstats",
            "--raw",
            "--nowait",
            "--state",
            "--cpu-total",
            "--balloon",
            "--interface",
            "--block",
        ];
        let Reply::Done(text) = self.virsh.ask(&arguments, &limits)? else {
            return Err(failed(
                "virsh domstats speaks of a domain that it was not asked for",
            ));
        };
        let (stats, wilds) = domstats_read(&text);
        let known = |table: &Table, name: &str| table.domains.get(name).map(|known| known.uuid.clone());
        let missing = {
            let table = self.lock();
            stats.iter().any(|stat| known(&table, &stat.name).is_none())
        };
        let mut uuids = HashMap::new();
        if missing
            && let Reply::Done(text) = self.virsh.ask(&["list", "--all", "--uuid", "--name"], &limits)?
        {
            uuids.extend(uuids_read(&text));
        }
        let with_uuid: Vec<(DomainStat, String)> = {
            let table = self.lock();
            let uuid = |stat: &DomainStat| {
                uuids
                    .get(&stat.name)
                    .cloned()
                    .or_else(|| known(&table, &stat.name))
            };
            stats
                .into_iter()
                .filter_map(|stat| uuid(&stat).map(|uuid| (stat, uuid)))
                .collect()
        };
        self.reconcile(&with_uuid, began);
        Ok(Measured {
            ours: with_uuid,
            wilds,
        })
    }

    /// Brings what is known in line with a full read begun at `began`; what changed since then is newer than it.
    fn reconcile(&self, read: &[(DomainStat, String)], began: Instant) {
        let fresh = |known: &Known| known.changed >= began;
        let mut changes: Vec<(String, String, DomainState)> = Vec::new();
        {
            let table = self.lock();
            for (stat, uuid) in read {
                let known = table.domains.get(&stat.name);
                if known.is_some_and(fresh) {
                    continue;
                }
                match stat.state() {
                    Some(state) if !is_gone(state) => changes.push((stat.name.clone(), uuid.clone(), state)),
                    Some(state) if known.is_some() => changes.push((stat.name.clone(), uuid.clone(), state)),
                    _ => {}
                }
            }
            for (name, known) in &table.domains {
                let there = read
                    .iter()
                    .any(|(stat, _)| stat.name == *name && stat.state().is_some());
                if !there && !fresh(known) {
                    changes.push((name.clone(), known.uuid.clone(), DomainState::Gone));
                }
            }
        }
        for (name, uuid, state) in changes {
            self.change(&name, &uuid, state);
        }
        self.lock().read = true;
    }
}

fn message(name: &str, uuid: &str, state: DomainState) -> FromNode {
    FromNode::Domain {
        name: name.to_owned(),
        uuid: uuid.to_owned(),
        state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_said_to_be_absent() {
        let watch = DomainWatch::new(Arc::default(), Box::new(drop));
        assert_eq!(watch.uuid_known("one-1"), None, "nothing was read yet");
        watch.reconcile(&[stat("one-1", 1)], Instant::now());
        assert_eq!(watch.uuid_known("one-1"), Some(Some("uuid-of-one-1".to_owned())));
        assert_eq!(watch.uuid_known("one-2"), Some(None));
        watch.change("one-2", "", DomainState::Running);
        assert_eq!(
            watch.uuid_known("one-2"),
            None,
            "it runs, and its UUID is not known"
        );
    }
    use std::sync::mpsc::channel;

    fn stat(name: &str, state: u32) -> (DomainStat, String) {
        let text = format!("Domain: '{name}'\n  state.state={state}\n");
        (domstats_read(&text).0.remove(0), format!("uuid-of-{name}"))
    }

    #[test]
    fn events_and_full_reads_agree() {
        let (sender, receiver) = channel();
        let sender = Mutex::new(sender);
        let emit = move |message| sender.lock().expect("lock").send(message).expect("sent");
        let watch = DomainWatch::new(Arc::default(), Box::new(emit));
        let reported = || match receiver.try_recv() {
            Ok(FromNode::Domain { name, state, .. }) => Some((name, state)),
            _ => None,
        };
        watch.reconcile(&[stat("one-1", 1), stat("one-2", 3)], Instant::now());
        assert_eq!(reported(), Some(("one-1".to_owned(), DomainState::Running)));
        assert_eq!(reported(), Some(("one-2".to_owned(), DomainState::Paused)));
        watch.reconcile(&[stat("one-1", 1), stat("one-2", 3)], Instant::now());
        assert_eq!(reported(), None, "no change, no report");
        let before = Instant::now();
        watch.change("one-2", "uuid-of-one-2", DomainState::Running);
        assert_eq!(reported(), Some(("one-2".to_owned(), DomainState::Running)));
        watch.reconcile(&[stat("one-1", 1), stat("one-2", 3)], before);
        assert_eq!(reported(), None, "an event is newer than a read begun before it");
        watch.reconcile(&[stat("one-2", 1)], Instant::now());
        assert_eq!(reported(), Some(("one-1".to_owned(), DomainState::Gone)));
        let (waiter, receiver) = sync_channel(1);
        watch.lock().waiters.insert("one-2".to_owned(), vec![(1, waiter)]);
        let gone = Gone {
            watch: Arc::clone(&watch),
            name: "one-2".to_owned(),
            id: 1,
            receiver,
        };
        assert!(!gone.is_within(Duration::ZERO));
        watch.change("one-2", "uuid-of-one-2", DomainState::Crashed);
        assert_eq!(reported(), Some(("one-2".to_owned(), DomainState::Crashed)));
        assert!(gone.is_within(Duration::ZERO), "told");
        watch.announce();
        assert_eq!(reported(), Some(("one-1".to_owned(), DomainState::Gone)));
        assert_eq!(reported(), Some(("one-2".to_owned(), DomainState::Crashed)));
        watch.change("one-2", "another", DomainState::Running);
        assert_eq!(reported(), Some(("one-2".to_owned(), DomainState::Running)));
        watch.announce();
        assert_eq!(reported(), Some(("one-2".to_owned(), DomainState::Running)));
        assert_eq!(reported(), Some(("one-1".to_owned(), DomainState::Gone)));
        assert_eq!(reported(), None);
    }
}

//! What is seen of the leases and locks of hosts that do not answer.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use plerion_protocol::{FromNode, LEASE_MARGIN_S, LeaseLook, LeaseSeen, LeaseSight};

use super::boot_clock::boot_time;
use super::file_system::strict_check;
use super::locks::{disks, is_free};
use super::paper::{Paper, paper_path};
use crate::fault::Act;
use crate::roots::Roots;

/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// VMs that are looked at.
const LOOKS_MAX: usize = 2000;

type Emit = dyn Fn(FromNode) + Send + Sync;

/// The thread that looks. It hangs when the storage does, and then nothing is told.
pub(super) struct Observer {
    looks: Sender<(Vec<LeaseLook>, Roots)>,
}

/// A lease as it was seen last.
struct Known {
    paper: Option<Paper>,
    /// Since when it was seen like that, by the clock of this host.
    since: Duration,
    /// Whether it has changed since it is looked at.
    moved: bool,
}

impl Observer {
    pub(super) fn new(cloud: &str, emit: Box<Emit>) -> Self {
        let (sender, receiver) = channel();
        let cloud = cloud.to_owned();
        std::thread::spawn(move || run(&cloud, &receiver, &emit));
        Self { looks: sender }
    }

    /// Sets what is looked at; what is seen of it is told anew.
    pub(super) fn watch(&self, looks: &[LeaseLook], roots: &Roots) {
        // Its thread ends with this.
        let _ = self.looks.send((looks.to_vec(), roots.clone()));
    }
}

fn run(cloud: &str, receiver: &Receiver<(Vec<LeaseLook>, Roots)>, emit: &Emit) {
    let (mut looks, mut roots) = (Vec::new(), Roots::default());
    let mut known = BTreeMap::new();
    let mut told = Vec::new();
    loop {
        let news = if looks.is_empty() {
            receiver.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            receiver.recv_timeout(LOOK_EVERY)
        };
        match news {
            Ok(news) => {
                (looks, roots) = news;
                looks.truncate(LOOKS_MAX);
                told.clear();
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let seen = look(cloud, &looks, &roots, &mut known);
        if seen != told {
            emit(FromNode::Leases(seen.clone()));
            told = seen;
        }
    }
}

/// Which lease: directory of the datastore, host, and number of its loss.
type Name = (String, i32, u64);

fn look(
    cloud: &str,
    looks: &[LeaseLook],
    roots: &Roots,
    known: &mut BTreeMap<Name, Known>,
) -> Vec<LeaseSeen> {
    let name = |look: &LeaseLook| (look.directory.clone(), look.host, look.loss);
    known.retain(|key, _| looks.iter().any(|look| name(look) == *key));
    let mut read = BTreeMap::new();
    looks
        .iter()
        .map(|look| {
            let fresh = read
                .entry(name(look))
                .or_insert_with(|| lease_read(cloud, look, roots))
                .clone();
            let sight = fresh.and_then(|paper| {
                let now = boot_time();
                let known = known.entry(name(look)).or_insert_with(|| Known {
                    paper: paper.clone(),
                    since: now,
                    moved: false,
                });
                if known.paper != paper {
                    (known.paper, known.since, known.moved) = (paper, now, true);
                }
                judge(look, known, now, || disks_free(look, roots))
            });
            LeaseSeen {
                vm: look.vm,
                loss: look.loss,
                sight: match sight {
                    Ok(()) => LeaseSight::Ended,
                    Err(error) => LeaseSight::Holds(error),
                },
            }
        })
        .collect()
}

fn lease_read(cloud: &str, look: &LeaseLook, roots: &Roots) -> Result<Option<Paper>, String> {
    let directory = roots.target(&look.directory).map_err(|error| error.text)?;
    Paper::read(&paper_path(&directory, cloud, look.host)).map_err(|error| error.text)
}

/// Whether a lease has ended and the disks are free; otherwise why the VM must be taken to run.
fn judge(
    look: &LeaseLook,
    known: &Known,
    now: Duration,
    disks_free: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let Some(paper) = &known.paper else {
        return Err(format!("host {} has never written a lease there.", look.host));
    };
    let guest = paper
        .guests
        .iter()
        .find(|guest| !look.uuid.is_empty() && guest.uuid.eq_ignore_ascii_case(&look.uuid));
    match guest {
        None => return Err(format!("the lease of host {} does not name the VM.", look.host)),
        Some(guest) => {
            if let Some(fault) = &guest.fault {
                return Err(format!(
                    "the locks on its disks prove nothing, says its host: {fault}."
                ));
            }
        }
    }
    let age = now.saturating_sub(known.since);
    let over_s = look.seconds.saturating_add(LEASE_MARGIN_S);
    if age < Duration::from_secs(u64::from(over_s)) {
        return Err(
            if known.moved && age < Duration::from_secs(u64::from(look.seconds)) {
                format!(
                    "host {} renews its lease: it is alive, and only its link is cut.",
                    look.host
                )
            } else {
                format!(
                    "the lease of host {} counts as ended after {over_s} s without a renewal.",
                    look.host
                )
            },
        );
    }
    disks_free()
}

/// Whether no disk of the VM is locked, on file systems where that proves something.
fn disks_free(look: &LeaseLook, roots: &Roots) -> Result<(), String> {
    let text = |result: Act<()>| result.map_err(|error| error.text);
    let directory = Path::new(&look.directory).join(look.vm.to_string());
    for disk in disks(&directory, roots).map_err(|error| error.text)? {
        text(strict_check(&disk))?;
        if !is_free(&disk).map_err(|error| error.text)? {
            return Err(format!(
                "the lease of host {} has ended, but {} is still locked: its QEMU runs on, and the agent there was stopped or \
                 has ended.",
                look.host,
                disk.display()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::paper::PaperGuest;
    use super::*;

    const CLOUD: &str = "cloud";

    fn look_of(directory: &Path) -> LeaseLook {
        LeaseLook {
            vm: 7,
            uuid: "U-7".into(),
            host: 1,
            loss: 3,
            directory: directory.to_string_lossy().into_owned(),
            seconds: 60,
        }
    }

    fn paper(renewed_ms: u64, uuid: &str, fault: Option<&str>) -> Paper {
        Paper {
            boot_id: "b".into(),
            renewed_ms,
            guests: vec![PaperGuest {
                uuid: uuid.into(),
                fault: fault.map(str::to_owned),
            }],
        }
    }

    #[test]
    fn nothing_is_proved_before_the_lease_has_ended_and_the_disks_are_free() {
        let look = look_of(Path::new("/ds/101"));
        let known = |paper: Option<Paper>, moved| Known {
            paper,
            since: Duration::from_secs(100),
            moved,
        };
        let good = || Some(paper(1, "u-7", None));
        let at = |known: &Known, second, free: Result<(), &str>| {
            let free = free.map_err(str::to_owned);
            judge(&look, known, Duration::from_secs(second), || free)
        };
        let cases = [
            (known(None, false), 999, "never written"),
            (
                known(Some(paper(1, "u-8", None)), false),
                999,
                "does not name the VM",
            ),
            (
                known(Some(paper(1, "u-7", Some("no locks"))), false),
                999,
                "no locks",
            ),
            (known(good(), false), 100, "counts as ended after 80 s"),
            (known(good(), false), 179, "counts as ended after 80 s"),
            (known(good(), true), 159, "is alive"),
            (known(good(), true), 179, "counts as ended after 80 s"),
        ];
        for (known, second, why) in cases {
            let said = at(&known, second, Ok(())).expect_err(why);
            assert!(said.contains(why), "{said}, not {why}");
        }
        let locked = at(&known(good(), false), 999, Err("locked"));
        assert_eq!(locked, Err("locked".to_owned()));
        assert_eq!(at(&known(good(), false), 180, Ok(())), Ok(()));
        assert_eq!(
            at(&known(good(), true), 180, Ok(())),
            Ok(()),
            "it was renewed while it was looked at"
        );
    }

    #[test]
    fn a_renewal_begins_the_time_anew_and_so_does_another_loss() {
        let scratch = crate::state::tests::Scratch::new("observer");
        let root = scratch.path().canonicalize().expect("real");
        let roots = Roots::new(&[root.to_string_lossy().into_owned()]).expect("roots");
        let datastore = root.join("101");
        let mut looks = [look_of(&datastore)];
        let mut known = BTreeMap::new();
        let write = |ms| {
            paper(ms, "u-7", None)
                .write(&paper_path(&datastore, CLOUD, 1))
                .expect("written");
        };
        let sight =
            |looks: &[LeaseLook], known: &mut BTreeMap<Name, Known>| match look(CLOUD, looks, &roots, known)
                .remove(0)
                .sight
            {
                LeaseSight::Holds(why) => why,
                LeaseSight::Ended => "ended".to_owned(),
            };
        assert!(sight(&looks, &mut known).contains("never written"));
        write(1);
        assert!(
            sight(&looks, &mut known).contains("is alive"),
            "it came while it was looked at"
        );
        let first = known.values().next().expect("known").since;
        write(2);
        sight(&looks, &mut known);
        assert!(known.values().next().expect("known").since > first);
        looks[0].loss = 4;
        assert!(sight(&looks, &mut known).contains("counts as ended"));
        assert_eq!(known.len(), 1, "what is not looked at is forgotten");
        // Old enough, and the disks are not on a file system that proves anything.
        looks[0].seconds = 0;
        known.values_mut().next().expect("known").since = Duration::ZERO;
        std::fs::create_dir_all(datastore.join("7")).expect("made");
        std::fs::write(datastore.join("7/disk.0"), "").expect("written");
        assert!(sight(&looks, &mut known).contains("GlusterFS"));
    }
}

//! This host's own lease on a datastore.
//!
//! One thread writes, and may hang as long as the storage does. Another one reads the clock and asks the storage nothing: when
//! the last renewal was begun too long ago it ends the guests that have files there.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plerion_protocol::LeaseKeep;

use super::boot_clock::boot_time;
use super::file_system::strict_check;
use super::guests::{Guest, guests};
use super::locks::{disks, is_locked};
use super::paper::{Paper, PaperGuest, paper_path};
use crate::fault::{Act, failed};
use crate::hypervisor::Hypervisor;
use crate::limits::Limits;
use crate::roots::Roots;
use crate::state::boot_id;

/// Renewals within the time of a lease.
const RENEWALS: u32 = 5;
/// How often the clock is read.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Time for libvirt to end a guest that the agent may not kill itself.
const KILL_TIME_MAX: Duration = Duration::from_secs(30);

/// Keeps one lease.
pub(super) struct Keeper {
    keep: LeaseKeep,
    cloud: String,
    roots: Roots,
    hypervisor: Hypervisor,
    /// When the last renewal that worked was begun, in milliseconds since the start of the kernel.
    renewed_ms: AtomicU64,
    has_guests: AtomicBool,
    ended: AtomicBool,
    /// Held while guests are ended.
    ending: Mutex<()>,
}

impl Keeper {
    /// Begins to keep a lease; guests have its whole time until it must be renewed.
    pub(super) fn start(cloud: &str, keep: &LeaseKeep, roots: &Roots, hypervisor: &Hypervisor) -> Arc<Self> {
        let keeper = Arc::new(Self {
            keep: keep.clone(),
            cloud: cloud.to_owned(),
            roots: roots.clone(),
            hypervisor: hypervisor.clone(),
            renewed_ms: AtomicU64::new(now_ms()),
            has_guests: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            ending: Mutex::new(()),
        });
        let (writer, clock) = (Arc::clone(&keeper), Arc::clone(&keeper));
        std::thread::spawn(move || writer.write());
        std::thread::spawn(move || clock.look());
        keeper
    }

    /// Whether it keeps this very lease.
    pub(super) fn keeps(&self, keep: &LeaseKeep) -> bool {
        self.keep == *keep
    }

    /// Whether guests were there at the last renewal.
    pub(super) fn has_guests(&self) -> bool {
        self.has_guests.load(Ordering::SeqCst)
    }

    /// Nobody wants the lease any more: guests are left alone.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    fn is_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn is_over(&self) -> bool {
        let over_ms = self
            .renewed_ms
            .load(Ordering::SeqCst)
            .saturating_add(u64::from(self.keep.seconds).saturating_mul(1000));
        now_ms() >= over_ms
    }

    fn write(&self) {
        let every = Duration::from_secs(u64::from(self.keep.seconds)) / RENEWALS;
        let mut worked = true;
        while !self.is_ended() {
            let renewed = self.renew();
            match &renewed {
                Err(error) if worked => {
                    tracing::warn!(directory = %self.keep.directory, %error, "the lease cannot be renewed");
                }
                Ok(()) if !worked => {
                    tracing::info!(directory = %self.keep.directory, "the lease is renewed again");
                }
                _ => {}
            }
            worked = renewed.is_ok();
            std::thread::sleep(every);
        }
    }

    /// Renews the lease, unless guests are still there that were to be ended.
    fn renew(&self) -> Act<()> {
        let began = now_ms();
        if self.is_over() {
            // Others may have seen it end: it must not begin anew for guests of before.
            self.guests_end()?;
        }
        let directory = self.roots.target(&self.keep.directory)?;
        let found = guests(&self.keep.directory)?;
        self.has_guests.store(!found.is_empty(), Ordering::SeqCst);
        let paper = Paper {
            boot_id: boot_id(),
            renewed_ms: began,
            guests: found
                .iter()
                .map(|guest| PaperGuest {
                    uuid: guest.uuid.to_lowercase(),
                    fault: self.disks_check(guest).err().map(|error| error.text),
                })
                .collect(),
        };
        paper.write(&paper_path(&directory, &self.cloud, self.keep.host))?;
        self.renewed_ms.store(began, Ordering::SeqCst);
        Ok(())
    }

    /// Whether the locks on a guest's disks can be relied on: each is on a file system that keeps them, and is locked now.
    fn disks_check(&self, guest: &Guest) -> Act<()> {
        let directory = PathBuf::from(&self.keep.directory).join(&guest.vm);
        for disk in disks(&directory, &self.roots)? {
            strict_check(&disk)?;
            if !is_locked(&disk)? {
                return Err(failed(format!(
                    "{} is not locked although its VM runs",
                    disk.display()
                )));
            }
        }
        Ok(())
    }

    fn look(&self) {
        let mut said = None;
        while !self.is_ended() {
            std::thread::sleep(LOOK_EVERY);
            if !self.is_over() || self.is_ended() {
                continue;
            }
            if let Err(error) = self.guests_end()
                && said.as_ref() != Some(&error.text)
            {
                tracing::error!(directory = %self.keep.directory, %error, "the lease has ended");
                said = Some(error.text);
            }
        }
    }

    /// Ends all guests that have files in the datastore; an error when not all of them are gone.
    fn guests_end(&self) -> Act<()> {
        let _one_at_a_time = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        let found = guests(&self.keep.directory)?;
        if found.is_empty() {
            return Ok(());
        }
        std::thread::scope(|scope| {
            for guest in &found {
                scope.spawn(|| {
                    tracing::warn!(
                        domain = guest.name,
                        directory = %self.keep.directory,
                        seconds = self.keep.seconds,
                        "the lease could not be renewed for so long: the guest is ended"
                    );
                    let limits = Limits::new(KILL_TIME_MAX);
                    if let Err(error) = guest.kill(&self.keep.directory, &self.hypervisor, &limits) {
                        tracing::error!(domain = guest.name, %error, "a guest could not be ended");
                    }
                });
            }
        });
        // A process that was killed takes a moment to end, longer when the storage hangs.
        std::thread::sleep(LOOK_EVERY);
        match guests(&self.keep.directory)?.as_slice() {
            [] => Ok(()),
            left => Err(failed(format!(
                "guests of which it was are still there: {}",
                left.iter()
                    .map(|guest| guest.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            ))),
        }
    }
}

fn now_ms() -> u64 {
    u64::try_from(boot_time().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Child, Command, Stdio};

    use super::*;
    use crate::state::tests::Scratch;

    /// A process that looks like a guest with a disk in a datastore, and ends by itself with the test.
    fn guest(datastore: &str) -> Child {
        Command::new("/bin/sh")
            .arg0("qemu-of-a-test")
            .args([
                "-c",
                "read line",
                "-name",
                "guest=one-7,debug-threads=on",
                "-uuid",
                "u-7",
            ])
            .arg(format!("{datastore}/7/disk.0"))
            .stdin(Stdio::piped())
            .spawn()
            .expect("a process")
    }

    fn keeper(datastore: &str, root: &str, seconds: u32) -> Arc<Keeper> {
        let keep = LeaseKeep {
            directory: datastore.to_owned(),
            host: 1,
            seconds,
        };
        let roots = Roots::new(&[root.to_owned()]).expect("roots");
        Keeper::start("cloud", &keep, &roots, &Hypervisor::new(Box::new(drop)))
    }

    #[test]
    fn guests_live_as_long_as_the_lease_is_renewed() {
        let scratch = Scratch::new("keeper");
        let root = scratch.path().canonicalize().expect("real");
        let text = |name: &str| root.join(name).to_string_lossy().into_owned();
        let (good, bad) = (text("100"), text("101"));
        std::fs::create_dir_all(&good).expect("made");
        // In the place of a storage that does not take the lease.
        std::fs::write(&bad, "").expect("written");
        let (mut living, mut dying) = (guest(&good), guest(&bad));
        let keepers = [(&good, 60), (&bad, 1)]
            .map(|(datastore, seconds)| keeper(datastore, &root.to_string_lossy(), seconds));
        // It would end by itself when its input ended, which waiting closes.
        let input = dying.stdin.take();
        let status = dying.wait().expect("an end");
        drop(input);
        assert_eq!(status.signal(), Some(9));
        assert_eq!(living.try_wait().expect("asked"), None, "its lease is renewed");
        let path = paper_path(&root.join("100"), "cloud", 1);
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        let guests = loop {
            if let Some(paper) = Paper::read(&path).expect("read") {
                break paper.guests;
            }
            assert!(std::time::Instant::now() < deadline, "no lease was written");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(guests.len(), 1);
        let fault = guests.first().and_then(|guest| guest.fault.as_deref());
        assert!(fault.is_some(), "it has no disk there whose lock proves anything");
        for keeper in keepers {
            keeper.end();
        }
        drop(living.stdin.take());
        living.wait().expect("an end");
    }
}

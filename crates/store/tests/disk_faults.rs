//! Power cuts, syncs that fail, full disks: a commit that was acknowledged is there after them, and one that was not is
//! there whole or not at all.

mod common;
mod disk;

use std::path::PathBuf;

use common::{COMMANDS, Cloud, Directory, command};
use disk::{Draw, Fault, Unsynced};
use plerion_model::Kind;
use plerion_store::{Epoch, SqliteStore, Store, StoreError};
use plerion_world::{Change, Command, Config, World};
use rusqlite::Connection;

/// Commits after which a fault must have happened.
const COMMITS_MAX: u32 = 5000;
/// Size of an attribute that makes checkpoints come every few dozen commits.
const LARGE_BYTES: usize = 300_000;

/// A cloud on a disk that will fail.
struct Trial {
    directory: Directory,
    store: SqliteStore,
    cloud: Cloud,
    epoch: Epoch,
    draw: Draw,
}

impl Trial {
    fn new(seed: u64) -> Self {
        let directory = Directory::new("disk");
        let path = directory.path().canonicalize().expect("a path");
        disk::watch(&path, seed);
        let (mut store, _) = SqliteStore::open(&directory.database()).expect("opens");
        let (mut cloud, first) = Cloud::new();
        let epoch = store.lead("test", cloud.now()).expect("leads");
        let mut changes = vec![first];
        changes.extend(cloud.furnish());
        store
            .commit(epoch, &changes.iter().collect::<Vec<_>>(), cloud.now())
            .expect("commits");
        Self {
            directory,
            store,
            cloud,
            epoch,
            draw: Draw::new(seed),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().canonicalize().expect("a path")
    }

    /// Some accepted commands, one of them large at times.
    fn batch(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.draw.below(3) == 0 {
            let text = format!("{:x}", self.draw.next()).repeat(LARGE_BYTES / 16);
            changes.push(self.cloud.must(Command::Update {
                kind: Kind::Cluster,
                id: 0,
                template: common::template(&[("LARGE", &text)]),
                append: true,
            }));
        }
        for _ in 0..=self.draw.below(4) {
            let [what, a, b, ..] = self.draw.next().to_le_bytes();
            let change = command(&self.cloud.world, (what % COMMANDS, a, b))
                .and_then(|command| self.cloud.give(command));
            changes.extend(change);
        }
        changes
    }

    /// Commits until one fails. Returns the world of the last acknowledged commit, and that of the one that failed.
    fn run(&mut self, fault: Fault) -> (World, World) {
        disk::arm(&self.path(), fault);
        for _ in 0..COMMITS_MAX {
            let before = self.cloud.world.clone();
            let batch = self.batch();
            let result = self
                .store
                .commit(self.epoch, &batch.iter().collect::<Vec<_>>(), self.cloud.now());
            match result {
                Ok(_) => assert!(
                    !disk::has_failed(&self.path()),
                    "acknowledged in spite of {fault:?}"
                ),
                Err(error) => {
                    assert!(matches!(error, StoreError::Database(_)), "{error}");
                    assert!(disk::has_failed(&self.path()), "no fault, but {error}");
                    return (before, self.cloud.world.clone());
                }
            }
        }
        panic!("{fault:?} never happened");
    }

    /// That the broken store does nothing more, and what is there after the power has gone.
    fn rebooted(mut self, unsynced: Unsynced) -> World {
        let change = self.batch();
        for _ in 0..2 {
            let again = self
                .store
                .commit(self.epoch, &change.iter().collect::<Vec<_>>(), 0);
            assert!(matches!(again, Err(StoreError::Unusable(_))), "{again:?}");
        }
        let after = self.directory.path().join("after");
        disk::power_cut(&self.path(), unsynced, &after);
        drop(self.store);
        let (mut store, _) = SqliteStore::open(&after.join("plerion.db")).expect("opens after the fault");
        let world = store.load(Config::default()).expect("loads").expect("objects");
        assert_eq!(world.check(), Ok(()));
        drop(store);
        integrity_check(&after.join("plerion.db"));
        world
    }
}

fn integrity_check(database: &std::path::Path) {
    let raw = Connection::open(database).expect("opens");
    let verdict: String = raw
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .expect("checks");
    assert_eq!(verdict, "ok");
}

/// Lets a fault happen, and compares what is there afterwards.
fn survive(seed: u64, fault: Fault) {
    for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Any] {
        let mut trial = Trial::new(seed);
        let (acknowledged, unknown) = trial.run(fault);
        let found = trial.rebooted(unsynced);
        assert!(
            found == acknowledged || found == unknown,
            "seed {seed}, {fault:?}, {unsynced:?}: what is there is neither the last acknowledged state nor the next"
        );
    }
}

#[test]
fn power_cuts_lose_nothing_that_was_acknowledged() {
    let mut draw = Draw::new(7);
    for seed in 0..25 {
        let after = if seed < 10 { seed } else { draw.below(6000) };
        survive(seed, Fault::Cut { after });
    }
}

#[test]
fn a_failed_sync_is_not_acknowledged_and_ends_the_store() {
    for seed in 0..12 {
        let after = if seed < 4 { seed } else { seed * 9 };
        survive(seed, Fault::Sync { after, of: None });
    }
}

/// The database file is synced by checkpoints only: an error there comes when the commit itself has gone well.
#[test]
fn a_failed_checkpoint_is_noticed_and_ends_the_store() {
    for (seed, after) in [(1, 0), (2, 1), (3, 2)] {
        let of = Some("plerion.db");
        survive(seed, Fault::Sync { after, of });
    }
}

#[test]
fn a_full_disk_is_not_acknowledged_and_ends_the_store() {
    let mut draw = Draw::new(11);
    for seed in 0..12 {
        let bytes = if seed < 4 {
            seed * 5000
        } else {
            draw.below(20 << 20)
        };
        survive(seed, Fault::Full { bytes });
    }
}

/// The shim does lose what was not synced; otherwise the tests above would prove nothing.
#[test]
fn what_is_not_synced_can_be_lost() {
    for (synchronous, unsynced, expected) in [
        ("OFF", Unsynced::Lost, 0),
        ("OFF", Unsynced::Kept, 1),
        ("FULL", Unsynced::Lost, 1),
    ] {
        let directory = Directory::new("shim");
        let path = directory.path().canonicalize().expect("a path");
        disk::watch(&path, 1);
        let raw = Connection::open(path.join("raw.db")).expect("opens");
        raw.execute_batch(&format!(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE rows (number INTEGER); \
             PRAGMA synchronous={synchronous}; INSERT INTO rows VALUES (1);"
        ))
        .expect("writes");
        let after = path.join("after");
        disk::power_cut(&path, unsynced, &after);
        drop(raw);
        let raw = Connection::open(after.join("raw.db")).expect("opens");
        let rows: i64 = raw
            .query_row("SELECT count(*) FROM rows", [], |row| row.get(0))
            .expect("counts");
        assert_eq!(rows, expected, "{synchronous} {unsynced:?}");
    }
}

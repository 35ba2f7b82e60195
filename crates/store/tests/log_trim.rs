//! The change log is cut at its old end, in batches, and never so that a reader misses that something is gone.
mod common;

use common::{Cloud, Directory};
use plerion_store::{Epoch, LogTrim, MemoryStore, SqliteStore, Store, StoreError, StoreReader};
use plerion_world::{Command, Config};

/// Everything may go.
const ALL: LogTrim = LogTrim {
    before: i64::MAX,
    rows_max: 0,
    taken: u64::MAX,
    batch: u64::MAX,
};

/// A store whose log has rows of the times 1 to 20, one each and some more at first, and the number of the last.
fn filled(store: &mut dyn Store) -> (Epoch, u64) {
    let (mut cloud, change) = Cloud::new();
    let epoch = store.lead("test", 0).expect("leads");
    let mut seq = store.commit(epoch, &[&change], 1).expect("commits");
    for time in 2..=20 {
        let change = cloud.must(Command::ClusterAllocate {
            name: format!("g{time}"),
        });
        assert_eq!(change.log.len(), 1);
        seq = store.commit(epoch, &[&change], time).expect("commits");
    }
    (epoch, seq)
}

fn seqs(reader: &dyn StoreReader) -> Vec<u64> {
    let rows = reader.log(0, u64::MAX).expect("read");
    rows.iter().map(|row| row.seq).collect()
}

/// Runs a check with each store.
fn each(check: impl Fn(&mut dyn Store, &dyn StoreReader)) {
    let mut memory = MemoryStore::new("test");
    let reader = memory.clone();
    check(&mut memory, &reader);
    let directory = Directory::new("trim");
    let (mut store, reader) = SqliteStore::open(&directory.database()).expect("opens");
    check(&mut store, &reader);
    let loaded = store.load(Config::default()).expect("loads").expect("objects");
    assert_eq!(loaded.check(), Ok(()));
}

#[test]
fn old_rows_go() {
    each(|store, reader| {
        let (epoch, last) = filled(store);
        let before = LogTrim {
            before: 15,
            rows_max: u64::MAX,
            ..ALL
        };
        assert_eq!(store.log_trim(epoch, before), Ok(last - 6));
        let kept = reader.log(0, u64::MAX).expect("read");
        assert_eq!(
            kept.iter().map(|row| row.time).collect::<Vec<_>>(),
            [15, 16, 17, 18, 19, 20]
        );
        assert_eq!(store.log_trim(epoch, before), Ok(0));
    });
}

#[test]
fn of_too_many_the_oldest_go() {
    each(|store, reader| {
        let (epoch, last) = filled(store);
        let many = LogTrim {
            before: 0,
            rows_max: 4,
            ..ALL
        };
        store.log_trim(epoch, many).expect("trimmed");
        assert_eq!(seqs(reader), [last - 3, last - 2, last - 1, last]);
    });
}

#[test]
fn a_batch_is_no_larger_than_it_may_be() {
    each(|store, reader| {
        let (epoch, last) = filled(store);
        for times in 1..=2 {
            assert_eq!(store.log_trim(epoch, LogTrim { batch: 5, ..ALL }), Ok(5));
            assert_eq!(seqs(reader), (times * 5 + 1..=last).collect::<Vec<_>>());
        }
    });
}

#[test]
fn what_somebody_has_yet_to_read_stays() {
    each(|store, reader| {
        let (epoch, last) = filled(store);
        let taken = last - 3;
        store.log_trim(epoch, LogTrim { taken, ..ALL }).expect("trimmed");
        assert_eq!(seqs(reader), [last - 2, last - 1, last]);
    });
}

#[test]
fn the_newest_row_stays_and_numbers_go_on() {
    each(|store, reader| {
        let (epoch, last) = filled(store);
        store.log_trim(epoch, ALL).expect("trimmed");
        assert_eq!(seqs(reader), [last], "who read up to an earlier one sees the gap");
        let (mut cloud, _) = Cloud::new();
        let change = cloud.must(Command::ClusterAllocate { name: "more".into() });
        assert_eq!(store.commit(epoch, &[&change], 30), Ok(last + 1));
        assert_eq!(seqs(reader), [last, last + 1]);
    });
}

#[test]
fn only_the_leader_trims() {
    each(|store, reader| {
        let (old, last) = filled(store);
        let new = store.lead("another", 30).expect("leads");
        let refused = store.log_trim(old, ALL);
        assert_eq!(
            refused,
            Err(StoreError::Fenced {
                found: new.0,
                own: old.0
            })
        );
        assert_eq!(seqs(reader).len() as u64, last);
    });
}

#[test]
fn an_empty_log_is_left_alone() {
    each(|store, _| {
        let epoch = store.lead("test", 0).expect("leads");
        assert_eq!(store.log_trim(epoch, ALL), Ok(0));
        let (_, change) = Cloud::new();
        store.commit(epoch, &[&change], 1).expect("commits");
    });
}

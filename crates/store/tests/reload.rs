//! What was committed comes back: the world after a reload equals the world that made the commits.

mod common;

use common::{COMMANDS, Cloud, Directory, Step, command, stays_compare};
use plerion_model::vm_state::VmState;
use plerion_model::{Id, Kind};
use plerion_world::{Change, Config, Object, World};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any};
use proptest::test_runner::TestCaseError;
use proptest::{prop_assert, prop_assert_eq, proptest};

use plerion_store::{DoneRange, MemoryStore, SqliteStore, Store, StoreError, StoreReader};

/// Gives the commands, committing after each of the batches; returns the cloud and all its changes.
fn live(
    store: &mut dyn Store,
    steps: &[Step],
    batches: &[usize],
) -> Result<(Cloud, Vec<Change>), StoreError> {
    let (mut cloud, first) = Cloud::new();
    let mut all = vec![first];
    all.extend(cloud.furnish());
    let epoch = store.lead("test", cloud.now())?;
    let mut expected = log_len(&all);
    let seq = store.commit(epoch, &all.iter().collect::<Vec<_>>(), cloud.now())?;
    assert_eq!(seq, expected);
    let mut sizes = batches.iter().copied().cycle();
    let mut batch: Vec<Change> = Vec::new();
    for step in steps {
        let change = command(&cloud.world, *step).and_then(|command| cloud.give(command));
        batch.extend(change);
        if batch.len() >= sizes.next().unwrap_or(1) {
            expected += log_len(&batch);
            let seq = store.commit(epoch, &batch.iter().collect::<Vec<_>>(), cloud.now())?;
            assert_eq!(seq, expected);
            all.append(&mut batch);
        }
    }
    expected += log_len(&batch);
    assert_eq!(
        store.commit(epoch, &batch.iter().collect::<Vec<_>>(), cloud.now())?,
        expected
    );
    all.append(&mut batch);
    Ok((cloud, all))
}

fn log_len(changes: &[Change]) -> u64 {
    changes.iter().map(|change| change.log.len() as u64).sum()
}

/// That a world, just loaded, is the one that was lived.
fn compare(loaded: Option<World>, cloud: &Cloud) -> Result<(), TestCaseError> {
    let loaded = loaded.expect("objects");
    prop_assert_eq!(loaded.check(), Ok(()));
    prop_assert!(
        loaded == cloud.world,
        "loaded:\n{:?}\nlived:\n{:?}",
        loaded,
        cloud.world
    );
    Ok(())
}

/// That the reader gives what memory does not hold: VMs that are DONE, and the log.
fn compare_reader(reader: &dyn StoreReader, changes: &[Change]) -> Result<(), TestCaseError> {
    let log: Vec<_> = changes.iter().flat_map(|change| change.log.clone()).collect();
    let rows = reader.log(0, u64::MAX).expect("log");
    prop_assert!(rows.iter().zip(1..).all(|(row, seq)| row.seq == seq));
    prop_assert_eq!(rows.into_iter().map(|row| row.entry).collect::<Vec<_>>(), log);
    let mut vms = std::collections::BTreeMap::new();
    for change in changes {
        for object in &change.puts {
            if let Object::Vm(vm) = object {
                vms.insert(vm.id, vm.clone());
            }
        }
        for (kind, id) in &change.deletes {
            if *kind == Kind::Vm {
                vms.remove(id);
            }
        }
    }
    for (id, vm) in &vms {
        let read = reader.vm(*id).expect("read");
        prop_assert_eq!(read.as_ref(), Some(&**vm));
    }
    let done: Vec<Id> = vms
        .values()
        .rev()
        .filter(|vm| vm.phase.state == VmState::Done)
        .map(|vm| vm.id)
        .collect();
    let whole = DoneRange::all(false);
    let rows = reader.vms_done(whole, u64::MAX).expect("read");
    prop_assert_eq!(rows.iter().map(|vm| vm.id).collect::<Vec<_>>(), done.clone());
    for row in &rows {
        let owned = &vms[&row.id].owned;
        prop_assert_eq!(
            (row.owned.uid, row.owned.gid, row.owned.permissions),
            (owned.uid, owned.gid, owned.permissions)
        );
    }
    stays_compare(reader, changes);
    for ascending in [false, true] {
        let mut paged = Vec::new();
        let mut rest = Some(DoneRange { ascending, ..whole });
        while let Some(range) = rest {
            let page = reader.vms_done(range, 2).expect("read");
            rest = page.last().and_then(|vm| range.after(vm.id));
            paged.extend(page.iter().map(|vm| vm.id));
        }
        if ascending {
            paged.reverse();
        }
        prop_assert_eq!(&paged, &done);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_gives_back_what_was_committed(
        steps in vec((0..COMMANDS, any::<u8>(), any::<u8>()), 0..400),
        batches in vec(1usize..20, 1..8),
    ) {
        let directory = Directory::new("reload");
        let (mut store, reader) = SqliteStore::open(&directory.database()).expect("opens");
        let (cloud, changes) = live(&mut store, &steps, &batches).expect("commits");
        compare_reader(&reader, &changes)?;
        compare(store.load(Config::default()).expect("loads"), &cloud)?;
        drop((store, reader));
        let (mut store, _) = SqliteStore::open(&directory.database()).expect("opens again");
        compare(store.load(Config::default()).expect("loads"), &cloud)?;
    }

    #[test]
    fn memory_gives_back_what_was_committed(
        steps in vec((0..COMMANDS, any::<u8>(), any::<u8>()), 0..400),
        batches in vec(1usize..20, 1..8),
    ) {
        let mut store = MemoryStore::new("test");
        let (cloud, changes) = live(&mut store, &steps, &batches).expect("commits");
        compare_reader(&store, &changes)?;
        compare(store.load(Config::default()).expect("loads"), &cloud)?;
    }
}

/// The made-up commands would prove little if they led nowhere.
#[test]
fn made_up_commands_reach_the_states_that_matter() {
    let steps: Vec<Step> = (0..8_000u64)
        .map(|n| {
            // The finalizer of splitmix64: draws that have nothing to do with each other.
            let mut mixed = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            let bytes = (mixed ^ mixed >> 31).to_le_bytes();
            (bytes[1] % COMMANDS, bytes[2], bytes[3])
        })
        .collect();
    let lived = |count: usize| {
        let mut store = MemoryStore::new("test");
        let (cloud, changes) = live(&mut store, &steps[..count], &[3]).expect("commits");
        compare_reader(&store, &changes).expect("the same");
        compare(store.load(Config::default()).expect("loads"), &cloud).expect("the same");
        (cloud, changes)
    };
    let waiting = [50, 100, 200, 400].map(|count| lived(count).0.world.outbox.len());
    assert!(waiting.iter().any(|count| *count > 1), "{waiting:?}");
    let (_, changes) = lived(steps.len());
    let reached: std::collections::BTreeSet<String> = changes
        .iter()
        .flat_map(|change| &change.log)
        .filter(|entry| entry.kind == Kind::Vm)
        .map(|entry| entry.new_state.clone())
        .collect();
    for state in ["RUNNING", "POWEROFF", "DONE", "STOPPED"] {
        assert!(reached.contains(state), "{state} is not among {reached:?}");
    }
    assert!(changes.iter().any(|change| !change.intents_over.is_empty()));
    assert!(changes.iter().any(|change| !change.deletes.is_empty()));
}

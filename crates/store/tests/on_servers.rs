//! The state on servers: it comes back, one front-end writes, and a server that goes and comes loses nothing.

mod common;
mod servers;

use std::sync::atomic::{AtomicBool, Ordering};

use common::{COMMANDS, Cloud, command, costs_compare, costs_of, stays_compare, vm_template};
use plerion_store::{DoneRange, LogTrim, Store, StoreError, StoreReader};
use plerion_world::{Change, Command, Config};
use servers::{KINDS, Server};

fn vm_new(cloud: &mut Cloud) -> Change {
    cloud.must(Command::VmAllocate {
        template: vm_template(None, None),
        hold: false,
    })
}

/// Pages in both orders are the whole, and what they say of a VM is what its body says.
fn done_is_paged(reader: &dyn StoreReader) {
    let whole = DoneRange::all(false);
    let all = reader.vms_done(whole, u64::MAX).expect("reads");
    assert!(all.is_sorted_by_key(|vm| std::cmp::Reverse(vm.id)));
    for row in &all {
        let vm = reader.vm(row.id).expect("reads").expect("there");
        let (owned, body) = (&row.owned, &vm.owned);
        assert_eq!(
            (owned.uid, owned.gid, owned.permissions),
            (body.uid, body.gid, body.permissions)
        );
    }
    for ascending in [false, true] {
        let mut paged = Vec::new();
        let mut rest = Some(DoneRange { ascending, ..whole });
        while let Some(range) = rest {
            let page = reader.vms_done(range, 2).expect("reads");
            rest = page.last().and_then(|vm| range.after(vm.id));
            paged.extend(page);
        }
        if ascending {
            paged.reverse();
        }
        assert_eq!(paged, all);
    }
}

#[test]
fn what_was_committed_comes_back() {
    for server in KINDS.into_iter().filter_map(Server::start) {
        for seed in 0..6u32 {
            let name = format!("reload-{seed}");
            let (mut store, reader) = server.open(&name, "one").expect("opens");
            assert_eq!(store.load(Config::default()), Ok(None));
            let (mut cloud, first) = Cloud::new();
            let mut all = vec![first];
            all.extend(cloud.furnish());
            let epoch = store.lead("test", cloud.now()).expect("leads");
            let mut logged = 0;
            let mut batch = std::mem::take(&mut all);
            for n in 0..400u32 {
                let bytes = (n + 1000 * seed)
                    .wrapping_mul(2_654_435_761)
                    .rotate_left(n % 31)
                    .to_le_bytes();
                let step = (bytes[1] % COMMANDS, bytes[2], bytes[3]);
                batch.extend(command(&cloud.world, step).and_then(|command| cloud.give(command)));
                if batch.len() > usize::from(bytes[0] % 100) {
                    logged += batch.iter().map(|change| change.log.len() as u64).sum::<u64>();
                    let seq = store.commit(epoch, &batch.iter().collect::<Vec<_>>(), cloud.now());
                    assert_eq!(seq, Ok(logged));
                    all.append(&mut batch);
                }
            }
            logged += batch.iter().map(|change| change.log.len() as u64).sum::<u64>();
            assert_eq!(
                store.commit(epoch, &batch.iter().collect::<Vec<_>>(), cloud.now()),
                Ok(logged)
            );
            all.append(&mut batch);
            let log: Vec<_> = all.iter().flat_map(|change| change.log.clone()).collect();
            let rows = reader.log(0, u64::MAX).expect("reads");
            assert!(rows.iter().zip(1..).all(|(row, seq)| row.seq == seq));
            assert_eq!(rows.into_iter().map(|row| row.entry).collect::<Vec<_>>(), log);
            let same = |store: &mut dyn Store| {
                let loaded = store.load(Config::default()).expect("loads").expect("objects");
                assert_eq!(loaded.check(), Ok(()));
                assert!(loaded == cloud.world, "{:?} {seed}", server.kind);
            };
            same(&mut store);
            for vm in cloud.world.vms.values() {
                assert_eq!(reader.vm(vm.id).expect("reads").as_ref(), Some(&**vm));
            }
            done_is_paged(&reader);
            stays_compare(&reader, &all);
            let cloud_id = store.cloud().expect("reads");
            assert_eq!(cloud_id.len(), 32);
            drop(store);
            let (mut store, _) = server.open(&name, "one").expect("opens again");
            assert_eq!(store.cloud(), Ok(cloud_id));
            same(&mut store);
        }
    }
}

#[test]
fn one_front_end_writes_a_database() {
    for server in KINDS.into_iter().filter_map(Server::start) {
        let (mut first, _) = server.open("lead", "one").expect("opens");
        let (mut cloud, change) = Cloud::new();
        let old = first.lead("one", cloud.now()).expect("leads");
        first.commit(old, &[&change], cloud.now()).expect("commits");
        let locked = server.open("lead", "one").expect_err("the same front-end twice");
        assert!(matches!(locked, StoreError::Locked(_)), "{locked}");
        let (mut second, _) = server.open("lead", "two").expect("opens");
        let led = second.lead("two", 0).expect_err("the lease lasts");
        assert!(matches!(led, StoreError::Led { seconds: 1..=20, .. }), "{led}");
        // As if the file had been taken away: the epoch still keeps the older one out.
        std::fs::rename(server.directory.join("one"), server.directory.join("gone")).expect("there");
        std::fs::hard_link(server.directory.join("gone"), server.directory.join("one")).expect("there");
        assert!(first.lease_keep(old).expect("keeps").is_some());
        drop(first);
        let new = second.lead("two", 0).expect("the lease was let go");
        assert!(new > old);
        let (mut late, _) = server.open("lead", "one").expect("opens");
        let change = vm_new(&mut cloud);
        let fenced = late.commit(old, &[&change], cloud.now());
        assert_eq!(
            fenced,
            Err(StoreError::Fenced {
                found: new.0,
                own: old.0
            })
        );
        second.commit(new, &[&change], cloud.now()).expect("commits");
        assert_eq!(second.load(Config::default()), Ok(Some(cloud.world.clone())));
    }
}

#[test]
fn costs_come_back_by_month_and_those_written_last_count() {
    for server in KINDS.into_iter().filter_map(Server::start) {
        let (mut store, reader) = server.open("costs", "one").expect("opens");
        let (mut cloud, change) = Cloud::new();
        let epoch = store.lead("one", cloud.now()).expect("leads");
        store.commit(epoch, &[&change], cloud.now()).expect("commits");
        for _ in 0..3 {
            let change = vm_new(&mut cloud);
            store.commit(epoch, &[&change], cloud.now()).expect("commits");
        }
        for hours in [1.0, 2.5] {
            let change = cloud.must(costs_of(&[0, 1, 2], hours));
            store.commit(epoch, &[&change], cloud.now()).expect("commits");
            costs_compare(&reader, &[0, 1, 2], hours);
        }
    }
}

#[test]
fn the_log_is_cut_at_its_old_end() {
    for server in KINDS.into_iter().filter_map(Server::start) {
        let (mut store, reader) = server.open("log", "one").expect("opens");
        let (mut cloud, change) = Cloud::new();
        let epoch = store.lead("one", cloud.now()).expect("leads");
        let mut last = store.commit(epoch, &[&change], cloud.now()).expect("commits");
        for _ in 0..10 {
            let change = vm_new(&mut cloud);
            last = store.commit(epoch, &[&change], cloud.now()).expect("commits");
        }
        let trim = LogTrim {
            before: 0,
            rows_max: 4,
            taken: u64::MAX,
            batch: 1000,
        };
        assert_eq!(store.log_trim(epoch, trim), Ok(last - 4));
        assert_eq!(store.log_trim(epoch, trim), Ok(0));
        assert_eq!(reader.log(0, 100).expect("reads").len(), 4);
    }
}

/// The server is killed again and again while VMs are committed: each commit is made once, and what was acknowledged
/// stays.
#[test]
fn a_server_that_is_killed_and_comes_back_loses_nothing() {
    const KILLS: usize = 4;
    for mut server in KINDS.into_iter().filter_map(Server::start) {
        let (mut store, reader) = server.open("kill", "one").expect("opens");
        let (mut cloud, change) = Cloud::new();
        let epoch = store.lead("one", cloud.now()).expect("leads");
        store.commit(epoch, &[&change], cloud.now()).expect("commits");
        assert_eq!(reader.vm(0), Ok(None));
        let over = AtomicBool::new(false);
        let (store, cloud) = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut made: u64 = 0;
                while !over.load(Ordering::Relaxed) {
                    let change = vm_new(&mut cloud);
                    store
                        .commit(epoch, &[&change], cloud.now())
                        .expect("goes on after the server came back");
                    made += 1;
                }
                assert!(made > 10, "{made}");
                (store, cloud)
            });
            for kill in 0..KILLS {
                // To hit different moments.
                std::thread::sleep(std::time::Duration::from_millis(150 + 37 * kill as u64));
                server.kill();
                server.run();
            }
            over.store(true, Ordering::Relaxed);
            writer.join().expect("ends well")
        });
        let mut store = store;
        let loaded = store.load(Config::default()).expect("loads").expect("objects");
        assert!(loaded == cloud.world, "{:?}", server.kind);
        let rows = reader.log(0, u64::MAX).expect("reads");
        assert!(rows.iter().zip(1..).all(|(row, seq)| row.seq == seq));
    }
}

#[test]
fn what_cannot_be_used_is_refused_with_a_reason() {
    for mut server in KINDS.into_iter().filter_map(Server::start) {
        drop(server.open("version", "one").expect("opens"));
        let lock = server.directory.join("other");
        let mut settings = server.settings("version");
        settings.user = "nobody-known".into();
        settings.password = "not-to-be-shown".into();
        let refusal = plerion_store::ServerStore::open(&settings, &lock)
            .expect_err("refused")
            .to_string();
        assert!(refusal.contains("PASSWD"), "{refusal}");
        assert!(!refusal.contains("not-to-be-shown"), "{refusal}");
        server.kill();
        let refusal = server.open("version", "one").expect_err("refused").to_string();
        assert!(refusal.contains("cannot be reached"), "{refusal}");
    }
}

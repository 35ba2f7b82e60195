//! The SQLite store as a file: who may open it, what it refuses, what it leaves.
mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{Cloud, Directory, costs_compare, costs_of, vm_template};
use plerion_store::{FailPoint, MemoryStore, SqliteStore, Store, StoreError, StoreReader};
use plerion_world::{Change, Command, Config};
use rusqlite::Connection;

/// A store with the objects of a new installation.
fn made(path: &Path) -> (SqliteStore, Cloud, plerion_store::Epoch) {
    let (mut store, _) = SqliteStore::open(path).expect("opens");
    assert_eq!(store.load(Config::default()), Ok(None));
    let (cloud, change) = Cloud::new();
    let epoch = store.lead("one", cloud.now()).expect("leads");
    store.commit(epoch, &[&change], cloud.now()).expect("commits");
    (store, cloud, epoch)
}

fn group(cloud: &mut Cloud, name: &str) -> Change {
    cloud.must(Command::GroupAllocate { name: name.into() })
}

#[test]
fn costs_come_back_by_month_and_those_written_last_count() {
    let directory = Directory::new("costs");
    let (mut store, reader) = SqliteStore::open(&directory.database()).expect("opens");
    let mut memory = MemoryStore::new("test");
    let (mut cloud, change) = Cloud::new();
    let mut changes = vec![change];
    for _ in 0..3 {
        changes.push(cloud.must(Command::VmAllocate {
            template: vm_template(None, None),
            hold: false,
        }));
    }
    for hours in [1.0, 2.5] {
        changes.push(cloud.must(costs_of(&[0, 1, 2], hours)));
        for store in [&mut store as &mut dyn Store, &mut memory] {
            let epoch = store.lead("one", cloud.now()).expect("leads");
            let all: Vec<&Change> = changes.iter().collect();
            store.commit(epoch, &all, cloud.now()).expect("commits");
        }
        costs_compare(&reader, &[0, 1, 2], hours);
        costs_compare(&memory, &[0, 1, 2], hours);
        changes.clear();
    }
}

#[test]
fn a_second_writer_is_kept_out_by_the_lock() {
    let directory = Directory::new("lock");
    let (store, ..) = made(&directory.database());
    let refusal = SqliteStore::open(&directory.database()).expect_err("locked");
    assert!(matches!(refusal, StoreError::Locked(_)), "{refusal}");
    let link = directory.path().join("other-name.db");
    std::os::unix::fs::symlink(directory.database(), &link).expect("a link");
    let refusal = SqliteStore::open(&link).expect_err("locked");
    assert!(matches!(refusal, StoreError::Locked(_)), "{refusal}");
    drop(store);
    SqliteStore::open(&link).expect("the lock goes with the store");
}

#[test]
fn a_second_writer_fences_the_first_even_without_the_lock() {
    let directory = Directory::new("fence");
    let (mut first, mut cloud, old) = made(&directory.database());
    std::fs::remove_file(directory.path().join("plerion.db.lock")).expect("somebody takes the lock away");
    let (mut second, reader) = SqliteStore::open(&directory.database()).expect("opens");
    let new = second.lead("two", cloud.now()).expect("leads");
    assert!(new > old);
    let before = cloud.world.clone();
    let rows = reader.log(0, 1000).expect("reads").len();
    let change = group(&mut cloud, "late");
    for _ in 0..2 {
        assert_eq!(
            first.commit(old, &[&change], cloud.now()),
            Err(StoreError::Fenced {
                found: new.0,
                own: old.0
            })
        );
    }
    assert_eq!(second.load(Config::default()), Ok(Some(before)));
    assert_eq!(reader.log(0, 1000).expect("reads").len(), rows);
    second
        .commit(new, &[&change], cloud.now())
        .expect("the new one writes");
    assert_eq!(second.load(Config::default()), Ok(Some(cloud.world.clone())));
}

#[test]
fn memory_fences_and_fails_as_told() {
    let (mut cloud, change) = Cloud::new();
    let mut first = MemoryStore::new("cloud");
    let old = first.lead("one", 0).expect("leads");
    first.commit(old, &[&change], 0).expect("commits");
    let mut second = first.clone();
    let new = second.lead("two", 0).expect("leads");
    let before = cloud.world.clone();
    let change = group(&mut cloud, "late");
    let fenced = first.commit(old, &[&change], 0);
    assert_eq!(
        fenced,
        Err(StoreError::Fenced {
            found: new.0,
            own: old.0
        })
    );
    for (point, world) in [
        (FailPoint::BeforeCommit, &before),
        (FailPoint::AfterCommit, &cloud.world),
    ] {
        let mut store = second.clone();
        store.fail_next(point);
        let failed = store.commit(new, &[&change], 0);
        assert!(matches!(failed, Err(StoreError::Database(_))), "{failed:?}");
        let again = store.commit(new, &[&change], 0);
        assert!(matches!(again, Err(StoreError::Unusable(_))), "{again:?}");
        assert!(matches!(
            store.load(Config::default()),
            Err(StoreError::Unusable(_))
        ));
        assert_eq!(
            second.load(Config::default()).expect("loads").as_ref(),
            Some(world),
            "{point:?}"
        );
    }
}

#[test]
fn nobody_else_may_read_the_files() {
    let directory = Directory::new("mode");
    let (_store, ..) = made(&directory.database());
    let mut seen = 0;
    for entry in std::fs::read_dir(directory.path()).expect("list") {
        let entry = entry.expect("entry");
        let mode = entry.metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.path());
        seen += 1;
    }
    assert!(seen >= 3, "database, log and lock");
}

#[test]
fn the_identity_of_the_cloud_stays_and_is_its_own() {
    let one = Directory::new("cloud");
    let other = Directory::new("cloud");
    let (mut store, ..) = made(&one.database());
    let cloud = store.cloud().expect("reads");
    assert_eq!(cloud.len(), 32);
    drop(store);
    let (mut store, _) = SqliteStore::open(&one.database()).expect("opens");
    assert_eq!(store.cloud(), Ok(cloud.clone()));
    let (mut store, ..) = made(&other.database());
    assert_ne!(store.cloud(), Ok(cloud));
}

#[test]
fn databases_of_later_versions_and_of_others_are_refused() {
    let directory = Directory::new("version");
    drop(made(&directory.database()));
    let raw = Connection::open(directory.database()).expect("opens");
    raw.execute("UPDATE db_version SET version = 999", [])
        .expect("sets");
    let refusal = SqliteStore::open(&directory.database()).expect_err("refused");
    assert!(
        matches!(refusal, StoreError::Version { found: 999, .. }),
        "{refusal}"
    );
    let foreign = directory.path().join("foreign.db");
    let raw = Connection::open(&foreign).expect("opens");
    raw.execute("CREATE TABLE pool (oid INTEGER)", []).expect("makes");
    drop(raw);
    let refusal = SqliteStore::open(&foreign).expect_err("refused");
    assert!(refusal.to_string().contains("another program"), "{refusal}");
}

/// Tables of version 1.
const FIRST_TABLES: &[&str] = &[
    "acls",
    "change_log",
    "clusters",
    "datastores",
    "db_version",
    "groups",
    "hosts",
    "images",
    "leader",
    "outbox",
    "pool_control",
    "secgroups",
    "settings",
    "templates",
    "users",
    "vm_attributes",
    "vms",
    "vnets",
    "zones",
];

#[test]
fn a_database_of_the_first_version_gets_what_it_lacks_once() {
    let directory = Directory::new("first");
    drop(made(&directory.database()));
    let tables = |raw: &Connection| -> Vec<String> {
        let mut statement = raw
            .prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
            .expect("prepares");
        let rows = statement.query_map([], |row| row.get(0)).expect("runs");
        rows.map(|row| row.expect("reads")).collect()
    };
    let raw = Connection::open(directory.database()).expect("opens");
    let whole = tables(&raw);
    let mut statement = raw
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table'")
        .expect("prepares");
    let names = statement.query_map([], |row| row.get(0)).expect("runs");
    let later: Vec<String> = names
        .map(|name| name.expect("reads"))
        .filter(|name: &String| !FIRST_TABLES.contains(&name.as_str()))
        .collect();
    drop(statement);
    assert!(later.contains(&"documents".to_owned()));
    for name in later {
        raw.execute_batch(&format!("DROP TABLE {name}")).expect("drops");
    }
    raw.execute_batch("UPDATE db_version SET version = 1")
        .expect("sets");
    drop(raw);
    for _ in 0..2 {
        drop(SqliteStore::open(&directory.database()).expect("opens"));
        assert_eq!(
            tables(&Connection::open(directory.database()).expect("opens")),
            whole
        );
    }
}

#[test]
fn a_row_that_cannot_be_read_is_named() {
    let directory = Directory::new("row");
    let (mut store, mut cloud, epoch) = made(&directory.database());
    let change = cloud.must(Command::VmAllocate {
        template: vm_template(None, None),
        hold: false,
    });
    store.commit(epoch, &[&change], cloud.now()).expect("commits");
    drop(store);
    for (damage, table, key) in [
        ("UPDATE vms SET body = '{' WHERE oid = 0", "vms", "0"),
        (
            "UPDATE vms SET body = replace(body, '\"id\":0', '\"id\":5')",
            "vms",
            "0",
        ),
        ("UPDATE vm_attributes SET template = '[7]'", "vm_attributes", "0"),
        ("DELETE FROM vm_attributes", "vm_attributes", "0"),
        ("UPDATE users SET template = '' WHERE oid = 1", "users", "1"),
        (
            "UPDATE pool_control SET kind = 'virus' WHERE kind = 'vm'",
            "pool_control",
            "virus",
        ),
        (
            "UPDATE groups SET body = CAST(x'ff' AS TEXT) WHERE oid = 1",
            "groups",
            "1",
        ),
    ] {
        let copy = directory.path().join("copy.db");
        std::fs::copy(directory.database(), &copy).expect("copies");
        let raw = Connection::open(&copy).expect("opens");
        assert!(raw.execute(damage, []).expect("damages") > 0, "{damage}");
        drop(raw);
        let (mut store, _) = SqliteStore::open(&copy).expect("opens");
        match store.load(Config::default()) {
            Err(StoreError::Row {
                table: found,
                key: at,
                ..
            }) => {
                assert_eq!((found, at.as_str()), (table, key), "{damage}");
            }
            other => panic!("{damage}: {other:?}"),
        }
    }
}

#[test]
fn templates_of_vms_are_written_when_they_change_only() {
    let directory = Directory::new("templates");
    let (mut store, mut cloud, epoch) = made(&directory.database());
    let raw = Connection::open(directory.database()).expect("opens");
    raw.execute_batch(
        "CREATE TABLE writes (oid INTEGER); \
         CREATE TRIGGER made AFTER INSERT ON vm_attributes BEGIN INSERT INTO writes VALUES (new.oid); END; \
         CREATE TRIGGER changed AFTER UPDATE ON vm_attributes BEGIN INSERT INTO writes VALUES (new.oid); END;",
    )
    .expect("watches");
    let writes = || -> i64 {
        raw.query_row("SELECT count(*) FROM writes", [], |row| row.get(0))
            .expect("counts")
    };
    let mut give = |store: &mut SqliteStore, command| {
        let change = cloud.must(command);
        store.commit(epoch, &[&change], cloud.now()).expect("commits");
    };
    let rename = |name: &str| Command::Rename {
        kind: plerion_model::Kind::Vm,
        id: 0,
        name: name.into(),
    };
    give(
        &mut store,
        Command::VmAllocate {
            template: vm_template(None, None),
            hold: false,
        },
    );
    assert_eq!(writes(), 1);
    give(&mut store, rename("other"));
    assert_eq!(writes(), 1);
    give(
        &mut store,
        Command::Update {
            kind: plerion_model::Kind::Vm,
            id: 0,
            template: common::template(&[("NOTE", "new")]),
            append: true,
        },
    );
    assert_eq!(writes(), 2);
    store.load(Config::default()).expect("loads");
    give(&mut store, rename("third"));
    assert_eq!(writes(), 2);
}

#[test]
fn opening_again_changes_nothing() {
    let directory = Directory::new("again");
    let look = || -> (Vec<String>, Vec<(i64, String)>) {
        let raw = Connection::open(directory.database()).expect("opens");
        let mut tables = raw
            .prepare("SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY name")
            .expect("prepares");
        let tables = tables.query_map([], |row| row.get(0)).expect("queries");
        let tables: Vec<String> = tables.map(|text| text.expect("text")).collect();
        let mut rows = raw
            .prepare("SELECT version, (SELECT value FROM settings) FROM db_version")
            .expect("prepares");
        let rows = rows
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .expect("queries");
        let rows = rows.map(|row| row.expect("row")).collect();
        (tables, rows)
    };
    drop(made(&directory.database()));
    let first = look();
    assert_eq!(first.1.len(), 1);
    drop(SqliteStore::open(&directory.database()).expect("opens again"));
    assert_eq!(look(), first);
}

#[test]
fn many_read_beside_the_writer() {
    const READERS: usize = 12;
    const COMMITS: i32 = 60;
    let directory = Directory::new("readers");
    let (store, mut cloud, epoch) = made(&directory.database());
    drop(store);
    let (mut store, reader) = SqliteStore::open(&directory.database()).expect("opens");
    let writer = std::thread::spawn(move || {
        for _ in 0..COMMITS {
            let change = cloud.must(Command::VmAllocate {
                template: vm_template(None, None),
                hold: false,
            });
            store.commit(epoch, &[&change], cloud.now()).expect("commits");
        }
    });
    std::thread::scope(|scope| {
        let (writer, reader) = (&writer, &reader);
        for _ in 0..READERS {
            scope.spawn(move || {
                let mut seen = 0;
                loop {
                    let last_look = writer.is_finished();
                    while reader.vm(seen).expect("reads").is_some() {
                        seen += 1;
                    }
                    let last = reader.log(0, u64::MAX).expect("reads").pop().expect("entries");
                    assert!(last.seq >= u64::try_from(seen).expect("counted"));
                    if last_look {
                        break;
                    }
                }
                assert_eq!(seen, COMMITS);
            });
        }
    });
    writer.join().expect("the writer ends well");
    assert_eq!(reader.vm(COMMITS), Ok(None));
}

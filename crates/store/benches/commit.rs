//! What a durable commit costs: the bare cost of the database for one row, and batches of VMs with templates of some
//! seven kilobytes, new and with a mere change of state.

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use plerion_model::vm::{Demand, Vm};
use plerion_model::vm_state::{LcmState, Phase, VmState};
use plerion_model::{Id, Kind, Owned, Permissions};
use plerion_store::{Epoch, SqliteStore, Store};
use plerion_template::{PackedTemplate, Template};
use plerion_world::{Change, Config, LogEntry, Object};
use rusqlite::Connection;

const BATCHES: [usize; 3] = [1, 8, 32];
const TEMPLATE_BYTES: usize = 7000;
const LOAD_VMS: Id = 10_000;

/// A file that goes with the value, with those that SQLite puts beside it.
struct Database(PathBuf);

impl Database {
    fn new(name: &str) -> Self {
        let directory =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        Self(directory)
    }

    fn path(&self) -> PathBuf {
        self.0.join("plerion.db")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

fn template() -> PackedTemplate {
    let mut template = Template::new();
    let mut bytes = 0;
    for number in 0.. {
        if bytes >= TEMPLATE_BYTES {
            break;
        }
        let name = format!("ATTRIBUTE_{number}");
        let value = format!("value {number} of some length, as they have in life");
        bytes += name.len() + value.len();
        template.set(&name, value);
    }
    PackedTemplate::new(&template)
}

fn vm(id: Id, phase: Phase, template: PackedTemplate) -> Vm {
    Vm {
        restart: None,
        id,
        name: format!("one-{id}"),
        owned: Owned {
            uid: 0,
            gid: 0,
            permissions: Permissions::OWNER,
            lock: None,
        },
        phase,
        prev_phase: phase,
        resched: false,
        stime: 1_700_000_000,
        etime: 0,
        deploy_id: String::new(),
        step: 1,
        parts: Vec::new(),
        files_at_front_end: false,
        home_datastore: None,
        moving_from: None,
        numa_left: None,
        capacity_before: None,
        device_change: None,
        backup: None,
        disk_snapshots: std::collections::BTreeMap::new(),
        history: Arc::new(Vec::new()),
        demand: Arc::new(Demand::read(&template)),
        template,
        user_template: PackedTemplate::default(),
    }
}

fn change(vm: Vm) -> Change {
    let log = LogEntry {
        kind: Kind::Vm,
        id: vm.id,
        operation: "state".into(),
        old_state: "PENDING".into(),
        new_state: vm.phase.as_str().into(),
        message: String::new(),
    };
    Change {
        last_ids: vec![(Kind::Vm, vm.id)],
        puts: vec![Object::Vm(Arc::new(vm))],
        log: vec![log],
        ..Change::default()
    }
}

fn commit(store: &mut SqliteStore, epoch: Epoch, changes: &[Change]) {
    let changes: Vec<&Change> = changes.iter().collect();
    let seq = store.commit(epoch, &changes, 1_700_000_000).expect("commits");
    black_box(seq);
}

/// One row of one number, made durable in the same way: what no store can be quicker than.
fn bare(criterion: &mut Criterion) {
    let database = Database::new("bare");
    let connection = Connection::open(database.path()).expect("opens");
    connection
        .execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE rows (number INTEGER)")
        .expect("makes");
    let mut statement = connection
        .prepare("INSERT INTO rows VALUES (?1)")
        .expect("prepares");
    let mut number = 0;
    criterion.bench_function("bare one-row commit", |bencher| {
        bencher.iter(|| {
            number += 1;
            statement.execute([number]).expect("inserts")
        });
    });
}

fn commits(criterion: &mut Criterion) {
    let database = Database::new("commits");
    let (mut store, _reader) = SqliteStore::open(&database.path()).expect("opens");
    let epoch = store.lead("bench", 0).expect("leads");
    let mut id = 0;
    let mut group = criterion.benchmark_group("commit");
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::new("new VMs", batch), |bencher| {
            bencher.iter_with_setup(
                || -> Vec<Change> {
                    (0..batch)
                        .map(|_| {
                            id += 1;
                            change(vm(id, Phase::rest(VmState::Pending), template()))
                        })
                        .collect()
                },
                |changes| commit(&mut store, epoch, &changes),
            );
        });
        let first = id;
        let rested: Vec<Vm> = (0..batch)
            .zip(first + 1..)
            .map(|(_, id)| vm(id, Phase::rest(VmState::Pending), template()))
            .collect();
        id += Id::try_from(batch).expect("small");
        let news: Vec<Change> = rested.iter().cloned().map(change).collect();
        commit(&mut store, epoch, &news);
        let phases = [LcmState::Prolog, LcmState::Boot, LcmState::Running];
        let mut turn = phases.iter().cycle();
        group.bench_function(BenchmarkId::new("states of VMs", batch), |bencher| {
            bencher.iter(|| {
                let phase = Phase::active(*turn.next().expect("endless"));
                let changes: Vec<Change> = rested
                    .iter()
                    .map(|vm| change(Vm { phase, ..vm.clone() }))
                    .collect();
                commit(&mut store, epoch, &changes);
            });
        });
    }
    group.finish();
}

fn load(criterion: &mut Criterion) {
    let database = Database::new("load");
    let (mut store, _reader) = SqliteStore::open(&database.path()).expect("opens");
    let epoch = store.lead("bench", 0).expect("leads");
    let changes: Vec<Change> = (0..LOAD_VMS)
        .map(|id| change(vm(id, Phase::active(LcmState::Running), template())))
        .collect();
    commit(&mut store, epoch, &changes);
    let mut group = criterion.benchmark_group("load");
    group.sample_size(10);
    group.throughput(Throughput::Elements(changes.len() as u64));
    group.bench_function(BenchmarkId::new("VMs", LOAD_VMS), |bencher| {
        bencher.iter(|| {
            let world = store.load(Config::default()).expect("loads").expect("objects");
            assert_eq!(world.vms.len(), changes.len());
            world
        });
    });
    group.finish();
}

criterion_group!(benches, bare, commits, load);
criterion_main!(benches);

//! A front-end that is killed at any moment has lost nothing that it had acknowledged.

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use common::{Cloud, Directory, vm_template};
use plerion_model::Id;
use plerion_store::{SqliteStore, Store};
use plerion_world::{Change, Command, Config};

/// Where the child finds its database; set for the child only.
const DATABASE: &str = "PLERION_STORE_KILL_DATABASE";
const KILLS: u32 = 50;
/// Commits a child is let make at most; it is killed before.
const COMMITS_MAX: u32 = 100_000;
/// What marks an acknowledged id among the other output of a test.
const MARK: &str = "acknowledged ";

/// The child: commits new VMs in batches of one to three, and says so of each after its commit.
#[test]
fn child_commits_until_killed() {
    let Some(path) = std::env::var_os(DATABASE) else {
        return;
    };
    let (mut store, _) = SqliteStore::open(Path::new(&path)).expect("opens");
    let (mut cloud, first) = Cloud::new();
    let epoch = store.lead("child", cloud.now()).expect("leads");
    match store.load(Config::default()).expect("loads") {
        Some(world) => cloud.world = world,
        None => {
            store.commit(epoch, &[&first], cloud.now()).expect("commits");
        }
    }
    let mut out = std::io::stdout().lock();
    for number in 0..COMMITS_MAX {
        let mut ids = Vec::new();
        let changes: Vec<Change> = (0..=number % 3)
            .map(|_| {
                let change = cloud.must(Command::VmAllocate {
                    template: vm_template(None, None),
                    hold: false,
                });
                ids.extend(change.puts.iter().map(plerion_world::Object::id));
                change
            })
            .collect();
        store
            .commit(epoch, &changes.iter().collect::<Vec<_>>(), cloud.now())
            .expect("commits");
        for id in ids {
            writeln!(out, "{MARK}{id}").expect("the parent listens");
        }
        out.flush().expect("the parent listens");
    }
    panic!("was never killed");
}

/// Runs a child and kills it after some acknowledgements and a moment. Returns what it acknowledged.
fn run_and_kill(database: &Path, lines: usize, moment: Duration) -> Vec<Id> {
    let mut child = Process::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "child_commits_until_killed", "--nocapture"])
        .env(DATABASE, database)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut out = BufReader::new(child.stdout.take().expect("piped")).lines();
    let id_of = |line: String| -> Option<Id> { line.split_once(MARK)?.1.parse().ok() };
    let mut ids = Vec::new();
    while ids.len() < lines {
        let line = out.next().expect("the child goes on").expect("text");
        ids.extend(id_of(line));
    }
    // Not to wait for something, but to hit a moment between two acknowledgements.
    std::thread::sleep(moment);
    child.kill().expect("killed");
    ids.extend(out.map_while(Result::ok).filter_map(id_of));
    child.wait().expect("ended");
    ids
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let directory = Directory::new("kill");
    let database = directory.database();
    let mut acknowledged = BTreeSet::new();
    for kill in 0..KILLS {
        let lines = 1 + usize::try_from(kill * 7 % 23).expect("small");
        let moment = Duration::from_micros(u64::from(kill.wrapping_mul(2_654_435_761) % 4000));
        for id in run_and_kill(&database, lines, moment) {
            assert!(acknowledged.insert(id), "{id} was given to two VMs");
        }
        let (mut store, _) = SqliteStore::open(&database).expect("opens after the kill");
        let world = store.load(Config::default()).expect("loads").expect("objects");
        assert_eq!(world.check(), Ok(()));
        let lost: Vec<&Id> = acknowledged
            .iter()
            .filter(|id| world.vms.get(**id).is_none())
            .collect();
        assert!(lost.is_empty(), "lost after kill {kill}: {lost:?}");
    }
    assert!(acknowledged.len() >= KILLS as usize);
}

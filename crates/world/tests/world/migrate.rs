//! Moving VMs: history records as recorded, capacity on both hosts, refusals.

use plerion_lifecycle::{Event, Recover, Relocation};
use plerion_model::vm_history::{History, HistoryAction};
use plerion_model::{ApiError, ErrorCode, Id, Kind};
use plerion_template::Template;
use plerion_world::{Caller, Command, HostStatus, Member, Migration, Output};
use proptest::prelude::*;

use crate::cloud::{Cloud, VM};

/// A cloud of three hosts and a second system datastore (102), and a VM that runs on host 0.
fn running() -> (Cloud, Id) {
    let mut cloud = Cloud::new();
    cloud.host("node-b");
    cloud.host("node-c");
    store(&mut cloud, "NAME=sys2\nTYPE=SYSTEM_DS\nTM_MAD=dummy");
    let id = cloud.vm(VM).expect("a vm");
    cloud.deploy(id).expect("placed");
    cloud.finish();
    assert_eq!(cloud.phase(id), "RUNNING");
    (cloud, id)
}

fn store(cloud: &mut Cloud, text: &str) -> Id {
    cloud.made(text, |template| Command::DatastoreAllocate {
        template,
        cluster: -1,
    })
}

fn migrate(cloud: &mut Cloud, id: Id, host: Id, relocation: Relocation) -> Result<Id, ApiError> {
    migrate_to(cloud, id, host, -1, relocation)
}

fn migrate_to(
    cloud: &mut Cloud,
    id: Id,
    host: Id,
    datastore: Id,
    relocation: Relocation,
) -> Result<Id, ApiError> {
    let migration = Migration {
        host,
        relocation,
        enforce: true,
        datastore,
    };
    cloud.give(&Caller::system(), Command::VmMigrate { id, migration })
}

fn step_end(cloud: &mut Cloud, result: Result<(), &str>) {
    let key = *cloud.world.outbox.keys().next().expect("something is asked for");
    cloud.end(key, result.map(|()| Output::default()).map_err(str::to_owned));
}

fn recover(cloud: &mut Cloud, id: Id, recover: Recover) {
    cloud
        .give(&Caller::system(), Command::VmRecover { id, recover })
        .expect("settled");
}

/// `host datastore action` and letters for the times that are set: Stime Etime Pstime pEtime(p) Rstime reTime(r), and
/// `u` for a known user.
fn record(record: &History) -> String {
    let times = [
        (record.stime, 'S'),
        (record.etime, 'E'),
        (record.pstime, 'P'),
        (record.petime, 'p'),
        (record.rstime, 'R'),
        (record.retime, 'r'),
    ];
    let flags: String = times
        .iter()
        .filter(|(time, _)| *time > 0)
        .map(|(_, letter)| *letter)
        .collect();
    let user = if record.uid >= 0 { "u" } else { "" };
    format!(
        "{} {} {} {flags}{user}",
        record.host,
        record.datastore,
        record.action.number()
    )
}

fn history(cloud: &Cloud, id: Id) -> Vec<String> {
    let vm = cloud.world.vm(id).expect("there");
    vm.history.iter().map(record).collect()
}

fn usages(cloud: &Cloud) -> [i64; 3] {
    [0, 1, 2].map(|host| cloud.world.host_usage(host).cpu)
}

#[test]
fn cold_moves_leave_the_recorded_history() {
    for (relocation, number) in [
        (Relocation::Save, 1),
        (Relocation::Poweroff, 48),
        (Relocation::PoweroffHard, 49),
    ] {
        let (mut cloud, id) = running();
        migrate(&mut cloud, id, 1, relocation).expect("moved");
        assert_eq!(cloud.phase(id), "SAVE_MIGRATE");
        assert_eq!(usages(&cloud), [100, 100, 0], "held on both until it has left");
        step_end(&mut cloud, Ok(()));
        assert_eq!(cloud.phase(id), "PROLOG_MIGRATE");
        assert_eq!(usages(&cloud), [0, 100, 0]);
        cloud.world.check().expect("derived state holds");
        cloud.finish();
        assert_eq!(cloud.phase(id), "RUNNING");
        assert_eq!(
            history(&cloud, id),
            [format!("0 100 {number} SEPpRru"), "1 100 0 SPpR".to_owned()]
        );
        assert_eq!(cloud.world.vm(id).expect("there").moving_from, None);
    }
}

#[test]
fn a_live_move_leaves_the_recorded_history() {
    let (mut cloud, id) = running();
    migrate(&mut cloud, id, 1, Relocation::Live).expect("moved");
    assert_eq!(cloud.phase(id), "MIGRATE");
    assert_eq!(usages(&cloud), [100, 100, 0]);
    cloud.finish();
    assert_eq!(history(&cloud, id), ["0 100 2 SEPpRru", "1 100 0 SR"]);
    assert_eq!(usages(&cloud), [0, 100, 0]);
}

#[test]
fn a_move_that_fails_leaves_the_vm_where_it_was_and_three_records() {
    for (relocation, numbers) in [(Relocation::Live, (2, 0, "")), (Relocation::Save, (1, 1, "u"))] {
        for by_hand in [false, true] {
            let (mut cloud, id) = running();
            migrate(&mut cloud, id, 1, relocation).expect("moved");
            if by_hand {
                recover(&mut cloud, id, Recover::Failure);
            } else {
                step_end(&mut cloud, Err("no way"));
            }
            assert_eq!(cloud.phase(id), "RUNNING");
            let (first, second, user) = numbers;
            assert_eq!(
                history(&cloud, id),
                [
                    format!("0 100 {first} SEPpRru"),
                    format!("1 100 {second} SE{user}"),
                    "0 100 0 SR".to_owned()
                ]
            );
            assert_eq!(usages(&cloud), [100, 0, 0]);
            assert!(cloud.world.outbox.is_empty());
        }
    }
}

#[test]
fn what_is_off_is_moved_without_a_domain() {
    for (event, number, rests) in [
        (Event::Suspend, 10, "SUSPENDED"),
        (Event::Poweroff { hard: true }, 20, "POWEROFF"),
    ] {
        let (mut cloud, id) = running();
        cloud.act(id, event).expect("possible");
        cloud.finish();
        migrate_to(&mut cloud, id, 1, 102, Relocation::Live).expect("moved");
        assert_eq!(usages(&cloud), [0, 100, 0]);
        cloud.finish();
        assert_eq!(cloud.phase(id), rests);
        assert_eq!(
            history(&cloud, id),
            [format!("0 100 {number} SEPpRru"), "1 102 1 SPpru".to_owned()]
        );
        let vm = cloud.world.vm(id).expect("there");
        let volatile = vm.template.vectors("DISK").nth(1).expect("a volatile disk");
        assert_eq!(volatile.get("DATASTORE_ID"), Some("102"));
        cloud.act(id, Event::Resume).expect("possible");
        cloud.finish();
        assert_eq!(cloud.phase(id), "RUNNING");
    }
}

#[test]
fn an_unknown_vm_is_started_elsewhere() {
    let (mut cloud, id) = running();
    let report = plerion_world::HostReport::Down("gone".into());
    cloud
        .give(&Caller::system(), Command::HostReported { id: 0, report })
        .expect("reported");
    assert_eq!(cloud.phase(id), "UNKNOWN");
    migrate(&mut cloud, id, 1, Relocation::Live).expect("moved");
    assert_eq!(cloud.phase(id), "PROLOG_MIGRATE_UNKNOWN");
    step_end(&mut cloud, Ok(()));
    assert_eq!(cloud.phase(id), "BOOT");
    cloud.finish();
    assert_eq!(cloud.phase(id), "RUNNING");
    assert_eq!(history(&cloud, id), ["0 100 1 SEPpRru", "1 100 0 SPpR"]);
}

#[test]
fn files_that_could_not_be_moved_are_moved_back_by_recover_failure() {
    let (mut cloud, id) = running();
    migrate(&mut cloud, id, 1, Relocation::Save).expect("moved");
    step_end(&mut cloud, Ok(()));
    step_end(&mut cloud, Err("no space"));
    assert_eq!(cloud.phase(id), "PROLOG_MIGRATE_FAILURE");
    assert_eq!(usages(&cloud), [0, 100, 0]);
    // The host that the files are on cannot be deleted, although no VM holds it.
    let delete = |id| Command::Delete {
        kind: plerion_model::Kind::Host,
        id,
    };
    let refused = cloud.give(&Caller::system(), delete(0)).expect_err("files");
    assert!(refused.text.contains("is being moved"), "{}", refused.text);
    recover(&mut cloud, id, Recover::Failure);
    assert_eq!(cloud.phase(id), "PROLOG_MIGRATE");
    assert_eq!(usages(&cloud), [100, 0, 0]);
    cloud.finish();
    assert_eq!(cloud.phase(id), "RUNNING");
    assert_eq!(
        history(&cloud, id),
        ["0 100 1 SEPpRru", "1 100 1 SEPpu", "0 100 0 SPpR"]
    );
    cloud.give(&Caller::system(), delete(1)).expect("empty");
}

#[test]
fn volatile_disks_go_to_the_other_datastore_and_back() {
    let (mut cloud, _) = running();
    let id = cloud
        .vm("NAME=v\nCPU=1\nMEMORY=64\nDISK=[IMAGE_ID=0]\nDISK=[TYPE=fs, SIZE=10]")
        .expect("a vm");
    cloud.deploy(id).expect("placed");
    cloud.finish();
    cloud.act(id, Event::Poweroff { hard: true }).expect("off");
    cloud.finish();
    let store = |cloud: &Cloud| {
        let vm = cloud.world.vm(id).expect("there");
        let disk = vm.template.vectors("DISK").nth(1).expect("a disk");
        let said = disk.get("DATASTORE_ID").unwrap_or_default().to_owned();
        (said, vm.demand.disks[1].datastore)
    };
    assert_eq!(store(&cloud), ("100".to_owned(), 100));
    migrate_to(&mut cloud, id, 0, 102, Relocation::Save).expect("moved");
    assert_eq!(cloud.phase(id), "PROLOG_MIGRATE_POWEROFF");
    assert_eq!(store(&cloud), ("102".to_owned(), 102));
    step_end(&mut cloud, Err("no space"));
    recover(&mut cloud, id, Recover::Failure);
    cloud.finish();
    assert_eq!(cloud.phase(id), "POWEROFF");
    assert_eq!(store(&cloud), ("100".to_owned(), 100));
    cloud.world.check().expect("derived state holds");
}

#[test]
fn other_ways_out_of_a_failed_move() {
    let failed = |files: bool| {
        let (mut cloud, id) = running();
        migrate(&mut cloud, id, 1, Relocation::Save).expect("moved");
        step_end(&mut cloud, Ok(()));
        if !files {
            step_end(&mut cloud, Ok(()));
        }
        step_end(&mut cloud, Err("no"));
        (cloud, id)
    };
    let (mut cloud, id) = failed(true);
    recover(&mut cloud, id, Recover::Success);
    assert_eq!(cloud.phase(id), "BOOT_MIGRATE");
    let (mut cloud, id) = failed(true);
    recover(&mut cloud, id, Recover::Retry);
    assert_eq!(cloud.phase(id), "PROLOG_MIGRATE");
    cloud.finish();
    assert_eq!(history(&cloud, id), ["0 100 1 SEPpRru", "1 100 0 SPpR"]);
    let (mut cloud, id) = failed(false);
    assert_eq!(cloud.phase(id), "BOOT_MIGRATE_FAILURE");
    assert_eq!(history(&cloud, id), ["0 100 1 SEPpRru", "1 100 1 SPpRru"]);
    recover(&mut cloud, id, Recover::Success);
    assert_eq!(cloud.phase(id), "RUNNING");
    assert_eq!(history(&cloud, id), ["0 100 1 SEPpRru", "1 100 0 SPpR"]);
    let (mut cloud, id) = failed(true);
    recover(&mut cloud, id, Recover::Delete);
    assert_eq!(cloud.phase(id), "CLEANUP_DELETE");
    assert_eq!(
        usages(&cloud),
        [0, 100, 0],
        "what was given back is not taken again"
    );
    cloud.finish();
    assert_eq!(usages(&cloud), [0, 0, 0]);
}

#[test]
fn moves_that_cannot_work_are_refused_with_the_reason() {
    let (mut cloud, id) = running();
    let other = cloud.made("NAME=other", |_| Command::ClusterAllocate {
        name: "other".into(),
    });
    let member = Command::ClusterMember {
        id: other,
        member: Member::Host(2),
        add: true,
    };
    cloud.give(&Caller::system(), member).expect("moved");
    let foreign = store(&mut cloud, "NAME=ssh\nTYPE=SYSTEM_DS\nTM_MAD=ssh");
    let table = [
        (
            0,
            -1,
            Relocation::Save,
            "VM is already running on host [0] and datastore [100]",
        ),
        (
            1,
            102,
            Relocation::Live,
            "Cannot live migrate host and datastore at the same time.",
        ),
        (2, -1, Relocation::Live, "datastore 100 is not in cluster"),
        (1, 101, Relocation::Save, "not of type system datastore"),
        (1, foreign, Relocation::Save, "TM_MAD"),
    ];
    for (host, datastore, relocation, expect) in table {
        let refused = migrate_to(&mut cloud, id, host, datastore, relocation).expect_err(expect);
        assert!(refused.text.contains(expect), "{}", refused.text);
        assert_eq!(cloud.phase(id), "RUNNING");
    }
    // In the host's cluster is the datastore, but not the network.
    let member = Command::ClusterMember {
        id: other,
        member: Member::Datastore(100),
        add: true,
    };
    cloud.give(&Caller::system(), member).expect("added");
    let refused = migrate(&mut cloud, id, 2, Relocation::Live).expect_err("the network is not there");
    assert!(refused.text.contains("is not in its cluster"), "{}", refused.text);
    let big = cloud.vm("NAME=big\nCPU=4\nMEMORY=64").expect("a vm");
    let command = Command::VmDeploy {
        id: big,
        host: 1,
        enforce: true,
        datastore: 100,
    };
    cloud.give(&Caller::system(), command).expect("placed");
    let refused = migrate(&mut cloud, id, 1, Relocation::Live).expect_err("full");
    assert_eq!(
        (refused.code, refused.text.contains("CPU")),
        (ErrorCode::Action, true)
    );
    let status = Command::HostSetStatus {
        id: 1,
        status: HostStatus::Offline,
    };
    cloud.give(&Caller::system(), status).expect("offline");
    let refused = migrate(&mut cloud, id, 1, Relocation::Live).expect_err("offline");
    assert!(refused.text.contains("is offline"), "{}", refused.text);
    let pending = cloud.vm("NAME=p\nCPU=1\nMEMORY=64").expect("a vm");
    let refused = migrate(&mut cloud, pending, 0, Relocation::Live).expect_err("pending");
    assert_eq!(refused.text, "Migrate action is not available for state PENDING");
}

#[test]
fn devices_bind_a_running_vm() {
    let (mut cloud, _) = running();
    let card = "PCI=[SHORT_ADDRESS=\"01:00.0\",VENDOR=\"8086\",DEVICE=\"1572\",CLASS=\"0200\"]
PIN_POLICY=PINNED\nCORE=[NODE_ID=0,ID=0,CPUS=0]\nMEMORY_NODE=[NODE_ID=0,TOTAL=1048576]";
    for id in [0, 1] {
        let update = Command::Update {
            kind: Kind::Host,
            id,
            template: Template::parse(card).expect("a template"),
            append: true,
        };
        cloud.give(&Caller::system(), update).expect("updated");
    }
    for (extra, live, save) in [
        ("TOPOLOGY=[PIN_POLICY=CORE]", false, true),
        ("PCI=[VENDOR=\"8086\"]", false, false),
    ] {
        let text = format!("NAME=d\nCPU=1\nMEMORY=64\n{extra}");
        let template = Template::parse(&text).expect("a template");
        let id = cloud
            .give(
                &Caller::system(),
                Command::VmAllocate {
                    template,
                    hold: false,
                },
            )
            .expect("made");
        cloud.deploy(id).expect("placed");
        cloud.finish();
        for (relocation, allowed) in [(Relocation::Live, live), (Relocation::Save, save)] {
            let moved = migrate(&mut cloud, id, 1, relocation);
            assert_eq!(moved.is_ok(), allowed, "{extra} {relocation:?}");
            if allowed {
                cloud.finish();
                migrate(&mut cloud, id, 0, Relocation::Poweroff).expect("back");
                cloud.finish();
            }
        }
        cloud.act(id, Event::Terminate { hard: true }).expect("ended");
        cloud.finish();
    }
}

#[test]
fn a_second_failure_of_a_running_vm_clears_what_was_asked() {
    let (mut cloud, id) = running();
    cloud.act(id, Event::Poweroff { hard: false }).expect("asked");
    step_end(&mut cloud, Err("the guest does not listen"));
    let vm = cloud.world.vm(id).expect("there");
    let last = vm.last_history().expect("a stay");
    assert_eq!((last.action, last.uid), (HistoryAction::None, -1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens while VMs are moved, usages equal a recount, and a VM holds its host and at most the one it leaves.
    #[test]
    fn random_moves_keep_derived_state(steps in prop::collection::vec((0u8..14, 0i32..3, 0i32..3), 1..80)) {
        let (mut cloud, _) = running();
        for (kind, id, host) in steps {
            let ways = Relocation::ALL;
            let way = ways[usize::try_from(host).unwrap_or(0) % ways.len()];
            let _ = match kind {
                0 => cloud.vm("NAME=v\nCPU=1\nMEMORY=64"),
                1 => cloud.deploy(id),
                2 | 3 => migrate(&mut cloud, id, host, Relocation::Live),
                4 => migrate_to(&mut cloud, id, host, 102, way),
                5 => migrate_to(&mut cloud, id, host, 100, way),
                6 => cloud.act(id, Event::Poweroff { hard: true }),
                7 => cloud.act(id, Event::Resume),
                8 => cloud.act(id, Event::Suspend),
                9 => cloud.give(&Caller::system(), Command::VmRecover {
                    id,
                    recover: Recover::from_number(host).expect("0 to 2"),
                }),
                10 => {
                    if let Some(key) = cloud.world.outbox.keys().next().copied() {
                        cloud.end(key, Err("planned".into()));
                    }
                    Ok(0)
                }
                11 => cloud.give(&Caller::system(), Command::VmRecover { id, recover: Recover::Delete }),
                _ => {
                    if let Some(key) = cloud.world.outbox.keys().next().copied() {
                        cloud.end(key, Ok(Output::default()));
                    }
                    Ok(0)
                }
            };
            prop_assert_eq!(cloud.world.check(), Ok(()));
            for vm in cloud.world.vms.values() {
                let held: Vec<Id> = vm.held_hosts().collect();
                prop_assert!(held.len() <= 2);
                prop_assert_eq!(held.first().copied(), vm.held_host());
                let open = vm.history.iter().filter(|record| record.etime == 0).count();
                prop_assert!(open <= 2, "{:?}", vm.history);
                if vm.phase.as_str() == "RUNNING" {
                    prop_assert_eq!((open, vm.moving_from), (1, None));
                }
            }
        }
    }
}

//! PCI devices of hosts: who gets which, when they are given back, how they come and go.

use plerion_lifecycle::{Event, Recover, Relocation};
use plerion_model::{ApiError, ErrorCode, Id, Kind, View};
use plerion_template::Template;
use plerion_world::{Caller, Command, Measurements, Migration, Snapshot, VmDeviceCommand};

use crate::cloud::Cloud;

const GPU: &str = "NAME=v\nCPU=1\nMEMORY=64\nPCI=[VENDOR=10de,CLASS=0302]";
const CARDS: &str = "PCI=[SHORT_ADDRESS=\"01:00.0\",VENDOR=10de,DEVICE=1db6,CLASS=0302,NUMA_NODE=0]
PCI=[SHORT_ADDRESS=\"02:00.0\",VENDOR=10de,DEVICE=1db6,CLASS=0302,NUMA_NODE=1]
PCI=[SHORT_ADDRESS=\"03:00.0\",VENDOR=8086,DEVICE=1572,CLASS=0200]";

fn parse(text: &str) -> Template {
    Template::parse_or_empty(text).expect("a template")
}

fn host_update(cloud: &mut Cloud, id: Id, text: &str) -> Result<Id, ApiError> {
    let command = Command::Update {
        kind: Kind::Host,
        id,
        template: parse(text),
        append: true,
    };
    cloud.give(&Caller::system(), command)
}

fn with_cards() -> Cloud {
    let mut cloud = Cloud::new();
    host_update(&mut cloud, 0, CARDS).expect("updated");
    cloud
}

fn change(cloud: &mut Cloud, id: Id, command: VmDeviceCommand) -> Result<Id, ApiError> {
    cloud.give(&Caller::system(), Command::VmDevice { id, command })
}

fn attach(cloud: &mut Cloud, id: Id, text: &str) -> Result<Id, ApiError> {
    change(cloud, id, VmDeviceCommand::PciAttach(parse(text)))
}

fn addresses(cloud: &Cloud, id: Id) -> Vec<String> {
    let vm = cloud.world.vm(id).expect("there");
    let found = vm.template.vectors("PCI");
    found
        .map(|one| one.get("ADDRESS").unwrap_or("-").to_owned())
        .collect()
}

/// Who has the devices of a host, in their order.
fn holders(cloud: &Cloud, host: Id) -> Vec<Option<Id>> {
    let measurements = Measurements::default();
    let view = Snapshot {
        world: &cloud.world,
        measurements: &measurements,
    };
    let devices = cloud.world.host(host).expect("there").pci_devices();
    devices
        .iter()
        .map(|device| view.pci_holder(host, &device.address()))
        .collect()
}

fn poweroff(cloud: &mut Cloud, id: Id) {
    cloud.act(id, Event::Poweroff { hard: true }).expect("off");
    cloud.finish();
    assert_eq!(cloud.phase(id), "POWEROFF");
}

#[test]
fn each_vm_gets_a_device_of_its_own_until_there_is_none() {
    let mut cloud = with_cards();
    let one = cloud.placed(GPU).expect("placed");
    let two = cloud.placed(GPU).expect("placed");
    assert_eq!(addresses(&cloud, one), ["0000:01:00:0"]);
    assert_eq!(addresses(&cloud, two), ["0000:02:00:0"]);
    assert_eq!(holders(&cloud, 0), [Some(one), Some(two), None]);
    let refusal = cloud.placed(GPU).expect_err("none is left");
    assert_eq!(refusal.code, ErrorCode::Action);
    assert!(
        refusal
            .text
            .ends_with("no PCI device with VENDOR 10de, CLASS 0302 is free"),
        "{}",
        refusal.text
    );
    cloud.act(one, Event::Terminate { hard: true }).expect("over");
    cloud.finish();
    assert_eq!(holders(&cloud, 0), [None, Some(two), None]);
    cloud.placed(GPU).expect("placed where one ended");
}

#[test]
fn one_that_may_be_any_makes_way_for_one_that_must_be_there() {
    let mut cloud = with_cards();
    let text = format!("{GPU}\nPCI=[SHORT_ADDRESS=\"01:00.0\"]");
    let id = cloud.placed(&text).expect("placed");
    assert_eq!(addresses(&cloud, id), ["0000:02:00:0", "0000:01:00:0"]);
}

#[test]
fn a_vm_that_is_off_keeps_its_device_and_one_that_is_undeployed_gives_it_back() {
    let mut cloud = with_cards();
    let id = cloud.placed(GPU).expect("placed");
    poweroff(&mut cloud, id);
    assert_eq!(holders(&cloud, 0), [Some(id), None, None]);
    cloud.act(id, Event::Undeploy { hard: true }).expect("undeployed");
    cloud.finish();
    assert_eq!(cloud.phase(id), "UNDEPLOYED");
    assert_eq!(holders(&cloud, 0), [None; 3]);
    let other = cloud.placed(GPU).expect("placed");
    assert_eq!(addresses(&cloud, other), ["0000:01:00:0"]);
    cloud.deploy(id).expect("placed again");
    cloud.finish();
    assert_eq!(addresses(&cloud, id), ["0000:02:00:0"], "another one this time");
}

#[test]
fn a_vm_whose_files_are_on_the_front_end_takes_no_device_back_while_it_is_ended() {
    for end in [
        Event::Terminate { hard: false },
        Event::Recover(Recover::Delete),
        Event::Recover(Recover::DeleteRecreate),
    ] {
        let mut cloud = with_cards();
        let id = cloud.placed(GPU).expect("placed");
        cloud.act(id, Event::Undeploy { hard: true }).expect("undeployed");
        cloud.finish();
        let other = cloud.placed(GPU).expect("placed");
        assert_eq!(addresses(&cloud, other), ["0000:01:00:0"]);
        match end {
            Event::Recover(recover) => {
                let command = Command::VmRecover { id, recover };
                cloud.give(&Caller::system(), command).expect("taken");
            }
            end => {
                cloud.act(id, end).expect("taken");
            }
        }
        assert_eq!(holders(&cloud, 0), [Some(other), None, None], "{end:?}, begun");
        cloud.finish();
        assert_eq!(holders(&cloud, 0), [Some(other), None, None], "{end:?}, done");
        cloud.placed(GPU).expect("placed");
        assert!(cloud.placed(GPU).is_err(), "{end:?}: a device was given twice");
    }
}

#[test]
fn a_vm_that_moves_takes_no_device_of_the_host_that_it_leaves() {
    let mut cloud = with_cards();
    let second = cloud.host("node-b");
    host_update(&mut cloud, second, CARDS).expect("updated");
    let one = cloud.placed(GPU).expect("placed");
    let two = cloud.placed(GPU).expect("placed");
    assert_eq!(holders(&cloud, 0), [Some(one), Some(two), None]);
    poweroff(&mut cloud, two);
    let migration = Migration {
        host: second,
        relocation: Relocation::Save,
        enforce: true,
        datastore: -1,
    };
    let command = Command::VmMigrate { id: two, migration };
    cloud.give(&Caller::system(), command).expect("moves");
    assert_eq!(addresses(&cloud, two), ["0000:01:00:0"]);
    assert_eq!(
        holders(&cloud, 0).first(),
        Some(&Some(one)),
        "the other's is left"
    );
    assert_eq!(holders(&cloud, second), [Some(two), None, None]);
    cloud.finish();
    assert_eq!(holders(&cloud, 0), [Some(one), None, None]);
}

#[test]
fn devices_come_and_go_while_a_vm_is_off() {
    let mut cloud = with_cards();
    let id = cloud.placed("NAME=v\nCPU=1\nMEMORY=64").expect("placed");
    let running = attach(&mut cloud, id, "PCI=[VENDOR=8086]").expect_err("it runs");
    assert_eq!(running.code, ErrorCode::Action);
    assert!(running.text.contains("wrong state RUNNING"), "{}", running.text);
    poweroff(&mut cloud, id);
    attach(&mut cloud, id, "PCI=[VENDOR=8086]").expect("attached");
    assert_eq!(addresses(&cloud, id), ["0000:03:00:0"]);
    assert_eq!(holders(&cloud, 0), [None, None, Some(id)]);
    for (text, words) in [
        ("PCI=[VENDOR=8086]", "is free"),
        ("PCI=[VENDOR=1af4]", "it has no PCI device with VENDOR 1af4"),
        ("PCI=[TYPE=NIC,VENDOR=8086]", "one.vm.attachnic"),
        ("PCI=[TYPE=x]", "which device"),
        ("A=1", "must hold one PCI"),
        ("PCI=[VENDOR=10de]\nPCI=[VENDOR=10de]", "must hold one PCI"),
    ] {
        let refusal = attach(&mut cloud, id, text).expect_err(text);
        assert!(refusal.text.contains(words), "{text}: {}", refusal.text);
    }
    attach(&mut cloud, id, "PCI=[DEVICE=1db6]").expect("attached");
    assert_eq!(addresses(&cloud, id), ["0000:03:00:0", "0000:01:00:0"]);
    change(&mut cloud, id, VmDeviceCommand::PciDetach(0)).expect("detached");
    assert_eq!(holders(&cloud, 0), [Some(id), None, None]);
    assert!(
        change(&mut cloud, id, VmDeviceCommand::PciDetach(0)).is_err(),
        "it is gone"
    );
    let vm = cloud.world.vm(id).expect("there");
    let actions: Vec<i32> = vm.history.iter().map(|record| record.action.number()).collect();
    assert_eq!(actions[..3], [58, 58, 59]);
    attach(&mut cloud, id, "PCI=[VENDOR=8086]").expect("attached");
    let vm = cloud.world.vm(id).expect("there");
    let numbers: Vec<&str> = vm
        .template
        .vectors("PCI")
        .filter_map(|one| one.get("PCI_ID"))
        .collect();
    assert_eq!(
        numbers,
        ["1", "2"],
        "no number comes twice while one of its time is there"
    );
}

#[test]
fn a_vm_that_is_undeployed_gets_what_it_was_promised_where_it_is_placed() {
    let mut cloud = with_cards();
    let id = cloud.placed("NAME=v\nCPU=1\nMEMORY=64").expect("placed");
    cloud.act(id, Event::Undeploy { hard: true }).expect("undeployed");
    cloud.finish();
    attach(&mut cloud, id, "PCI=[VENDOR=8086]").expect("attached");
    assert_eq!(addresses(&cloud, id), ["-"]);
    cloud.deploy(id).expect("placed");
    assert_eq!(addresses(&cloud, id), ["0000:03:00:0"]);
}

#[test]
fn a_move_takes_devices_of_the_new_host_and_gives_them_back_when_it_fails() {
    let mut cloud = with_cards();
    let id = cloud.placed(GPU).expect("placed");
    let second = cloud.host("node-b");
    poweroff(&mut cloud, id);
    let migrate = |cloud: &mut Cloud| {
        let migration = Migration {
            host: second,
            relocation: Relocation::Save,
            enforce: true,
            datastore: -1,
        };
        cloud.give(&Caller::system(), Command::VmMigrate { id, migration })
    };
    let refusal = migrate(&mut cloud).expect_err("it has none");
    assert!(refusal.text.contains("it has no PCI device"), "{}", refusal.text);
    host_update(
        &mut cloud,
        second,
        "PCI=[SHORT_ADDRESS=\"81:00.0\",VENDOR=10de,DEVICE=1db6,CLASS=0302]",
    )
    .expect("updated");
    migrate(&mut cloud).expect("moves");
    assert_eq!(addresses(&cloud, id), ["0000:81:00:0"]);
    assert_eq!(holders(&cloud, second), [Some(id)]);
    if let Some(key) = cloud.world.outbox.keys().next().copied() {
        cloud.end(key, Err("planned".into()));
    }
    if cloud.phase(id).ends_with("FAILURE") {
        cloud.act(id, Event::Recover(Recover::Failure)).expect("settled");
        cloud.finish();
    }
    let host = cloud
        .world
        .vm(id)
        .expect("there")
        .last_history()
        .map(|record| record.host);
    let address = if host == Some(second) {
        "0000:81:00:0"
    } else {
        "0000:01:00:0"
    };
    assert_eq!(addresses(&cloud, id), [address]);
}

#[test]
fn a_device_that_is_none_is_refused_where_it_is_set() {
    let mut cloud = Cloud::new();
    for (text, words) in [
        ("PCI=[VENDOR=10de]", "SHORT_ADDRESS"),
        ("PCI=[SHORT_ADDRESS=\"01:00.0\",VENDOR=10de]", "DEVICE"),
        ("PCI=[SHORT_ADDRESS=\"99\",VENDOR=1,DEVICE=1,CLASS=1]", "01:00.0"),
    ] {
        let refusal = host_update(&mut cloud, 0, text).expect_err(text);
        assert!(refusal.text.contains(words), "{text}: {}", refusal.text);
    }
    let refusal = cloud
        .vm("NAME=v\nCPU=1\nMEMORY=64\nPCI=[TYPE=y]")
        .expect_err("no device");
    assert_eq!(refusal.code, ErrorCode::Allocate);
}

//! The configuration of VMs is changed.

use plerion_lifecycle::Event;
use plerion_model::{ApiError, ErrorCode, Id};
use plerion_template::Template;
use plerion_world::{Caller, Command, Output};

use crate::cloud::{Cloud, VM};

fn update(cloud: &mut Cloud, caller: &Caller, id: Id, text: &str, append: bool) -> Result<Id, ApiError> {
    let template = Template::parse_or_empty(text).expect("a template");
    cloud.give(caller, Command::VmUpdateConf { id, template, append })
}

fn pair(cloud: &Cloud, id: Id, vector: &str, key: &str) -> Option<String> {
    let vm = cloud.world.vm(id).expect("there");
    vm.template.pair(vector, key).map(str::to_owned)
}

fn running(cloud: &mut Cloud) -> Id {
    let id = cloud.vm(VM).expect("a vm");
    cloud.deploy(id).expect("placed");
    cloud.finish();
    id
}

#[test]
fn appending_keeps_what_is_there() {
    let mut cloud = Cloud::new();
    let root = Caller::system();
    let id = running(&mut cloud);
    let text = "GRAPHICS=[TYPE=SPICE]\nFEATURES=[ACPI=no]\nNOSUCH=[A=b]\nOS=[BOOT=\"disk0,nic0\",NOSUCH=1]";
    update(&mut cloud, &root, id, text, true).expect("recorded: also while it runs");
    assert_eq!(
        cloud.phase(id),
        "RUNNING",
        "nothing is told to a host without a new context"
    );
    let uuid = pair(&cloud, id, "OS", "UUID");
    for (vector, key, value) in [
        ("GRAPHICS", "TYPE", Some("SPICE")),
        ("GRAPHICS", "PORT", Some("5900")),
        ("FEATURES", "ACPI", Some("no")),
        ("OS", "BOOT", Some("disk0,nic0")),
        ("OS", "MACHINE", Some("q35")),
        ("OS", "NOSUCH", None),
        ("NOSUCH", "A", None),
    ] {
        assert_eq!(pair(&cloud, id, vector, key).as_deref(), value, "{vector}/{key}");
    }
    assert!(uuid.is_some_and(|uuid| uuid.len() == 36));
    update(&mut cloud, &root, id, "FEATURES=[ACPI=\"\"]", true).expect("taken away");
    assert_eq!(pair(&cloud, id, "FEATURES", "ACPI"), None);
}

#[test]
fn replacing_takes_away_what_is_not_named_but_not_what_the_system_wrote() {
    let mut cloud = Cloud::new();
    let root = Caller::system();
    let id = running(&mut cloud);
    cloud.act(id, Event::Poweroff { hard: true }).expect("off");
    cloud.finish();
    let uuid = pair(&cloud, id, "OS", "UUID");
    update(
        &mut cloud,
        &root,
        id,
        "OS=[BOOT=disk0]\nCONTEXT=[C=\"$NAME\"]",
        false,
    )
    .expect("off");
    assert_eq!(
        pair(&cloud, id, "OS", "MACHINE"),
        None,
        "recorded: the default holds"
    );
    assert_eq!(
        pair(&cloud, id, "OS", "UUID"),
        uuid,
        "its domain would be another one"
    );
    assert_eq!(pair(&cloud, id, "GRAPHICS", "TYPE"), None);
    let context = cloud
        .world
        .vm(id)
        .expect("there")
        .template
        .unpack()
        .vector("CONTEXT")
        .cloned()
        .expect("kept");
    let pairs: Vec<(&str, &str)> = context.iter().collect();
    assert_eq!(pairs, [("C", "v"), ("DISK_ID", "2"), ("TARGET", "sdb")]);
    cloud.world.check().expect("derived state holds");
    // A console that is new has a port before the VM boots.
    update(&mut cloud, &root, id, "GRAPHICS=[TYPE=VNC]", true).expect("off");
    assert_eq!(pair(&cloud, id, "GRAPHICS", "PORT").as_deref(), Some("5900"));
    assert_eq!(
        pair(&cloud, id, "GRAPHICS", "LISTEN").as_deref(),
        Some("127.0.0.1")
    );
}

#[test]
fn a_new_context_of_a_running_vm_is_shown_to_it() {
    let mut cloud = Cloud::new();
    let root = Caller::system();
    let id = running(&mut cloud);
    for result in [Ok(Output::default()), Err("no".to_owned())] {
        let value = if result.is_ok() { "2" } else { "3" };
        update(&mut cloud, &root, id, &format!("CONTEXT=[KEY={value}]"), true).expect("running");
        assert_eq!(cloud.phase(id), "HOTPLUG");
        let refused = update(&mut cloud, &root, id, "CONTEXT=[KEY=9]", true).expect_err("one at a time");
        assert_eq!(refused.text, "configuration cannot be updated in state HOTPLUG");
        let key = *cloud.world.outbox.keys().next().expect("asked");
        cloud.end(key, result);
        assert_eq!(cloud.phase(id), "RUNNING");
        assert_eq!(pair(&cloud, id, "CONTEXT", "KEY").as_deref(), Some(value));
    }
    assert_eq!(
        pair(&cloud, id, "CONTEXT", "ETH0_IP").as_deref(),
        Some("10.0.0.10")
    );
    assert_eq!(pair(&cloud, id, "CONTEXT", "HOST").as_deref(), Some("v"));
    let records = cloud.world.vm(id).expect("there").history.len();
    assert_eq!(records, 1, "recorded: no new record");
    update(&mut cloud, &root, id, "CONTEXT=[KEY=3]", true).expect("the same");
    assert_eq!(cloud.phase(id), "RUNNING");
}

#[test]
fn wrong_values_and_states_are_refused() {
    let mut cloud = Cloud::new();
    let root = Caller::system();
    let id = running(&mut cloud);
    for (text, part) in [
        ("OS=[BOOT=disk7]", "OS/BOOT"),
        ("OS=[BOOT=\"disk0,eth0\"]", "OS/BOOT"),
        ("FEATURES=[ACPI=maybe]", "YES or NO"),
        ("FEATURES=[IOTHREADS=many]", "a number"),
        ("VIDEO=[TYPE=crt]", "one of"),
        ("INPUT=[BUS=serial]", "one of"),
        ("BACKUP_CONFIG=[DISK_IDS=\"0,9\"]", "disks"),
        ("GRAPHICS=vnc", "must be a vector"),
        ("CONTEXT=[A=\"$USER[\"]", "CONTEXT/A"),
    ] {
        let before = cloud.world.clone();
        let refused = update(&mut cloud, &root, id, text, true).expect_err(text);
        assert_eq!(refused.code, ErrorCode::Internal, "{text}");
        assert!(refused.text.contains(part), "{text}: {}", refused.text);
        assert!(cloud.world == before);
    }
    let bare = cloud.vm("NAME=b\nCPU=1\nMEMORY=64").expect("a vm");
    let refused = update(&mut cloud, &root, bare, "CONTEXT=[A=1]", true).expect_err("no disk for it");
    assert_eq!(
        refused.text,
        "Virtual machine does not have context, cannot add a new one."
    );
    cloud.act(id, Event::Suspend).expect("possible");
    cloud.finish();
    let refused = update(&mut cloud, &root, id, "FEATURES=[ACPI=yes]", true).expect_err("saved");
    assert_eq!(refused.text, "configuration cannot be updated in state SUSPENDED");
}

#[test]
fn restricted_attributes_are_for_administrators() {
    let mut cloud = Cloud::new();
    let id = cloud
        .vm("NAME=v\nCPU=1\nMEMORY=64\nRAW=[TYPE=kvm,DATA=\"<a/>\"]")
        .expect("a vm");
    let uid = cloud
        .give(
            &Caller::system(),
            Command::UserAllocate {
                name: "u".into(),
                password: "p".into(),
                driver: "core".into(),
                groups: Vec::new(),
            },
        )
        .expect("a user");
    let chown = Command::Chown {
        kind: plerion_model::Kind::Vm,
        id,
        uid,
        gid: 1,
    };
    cloud.give(&Caller::system(), chown).expect("given");
    let user = Caller {
        uid,
        gid: 1,
        groups: vec![1],
        token: None,
    };
    let refused =
        update(&mut cloud, &user, id, "RAW=[TYPE=kvm,DATA=\"<b/>\"]", true).expect_err("restricted");
    assert_eq!(refused.code, ErrorCode::Authorization);
    update(&mut cloud, &user, id, "RAW=[TYPE=kvm,DATA=\"<a/>\"]", true).expect("as it is");
    update(&mut cloud, &user, id, "OS=[ARCH=x86_64]", false).expect("theirs");
    assert_eq!(
        pair(&cloud, id, "RAW", "DATA").as_deref(),
        Some("<a/>"),
        "not theirs to take away"
    );
    update(&mut cloud, &Caller::system(), id, "OS=[ARCH=x86_64]", false).expect("an administrator");
    assert_eq!(pair(&cloud, id, "RAW", "DATA"), None);
}

//! VMs get another size, and configuration.

use plerion_lifecycle::{Event, Recover};
use plerion_model::{ApiError, ErrorCode, Id};
use plerion_template::Template;
use plerion_world::{Caller, Command, Output};

use crate::cloud::Cloud;

fn resize(cloud: &mut Cloud, caller: &Caller, id: Id, text: &str, enforce: bool) -> Result<Id, ApiError> {
    let template = Template::parse_or_empty(text).expect("a template");
    cloud.give(
        caller,
        Command::VmResize {
            id,
            template,
            enforce,
        },
    )
}

fn sizes(cloud: &Cloud, id: Id) -> [String; 3] {
    let vm = cloud.world.vm(id).expect("there");
    ["CPU", "VCPU", "MEMORY"].map(|name| vm.template.get(name).unwrap_or("-").to_owned())
}

fn step_end(cloud: &mut Cloud, result: Result<(), &str>) {
    let key = *cloud.world.outbox.keys().next().expect("something is asked for");
    cloud.end(key, result.map(|()| Output::default()).map_err(str::to_owned));
}

/// A VM that runs on a host of a real hypervisor.
fn running(cloud: &mut Cloud, text: &str) -> Id {
    let host = Command::HostAllocate {
        name: format!("kvm-{text:.0}{}", cloud.world.hosts.len()),
        im_mad: "kvm".into(),
        vm_mad: "kvm".into(),
        cluster: -1,
    };
    let host = cloud.give(&Caller::system(), host).expect("a host");
    let report = plerion_world::HostReport::Up {
        total_cpu: 400,
        total_memory_kib: 4 << 20,
        boot_id: "b".into(),
        facts: std::collections::BTreeMap::new(),
    };
    cloud
        .give(&Caller::system(), Command::HostReported { id: host, report })
        .expect("up");
    let node = plerion_model::numa::HostNode {
        cores: vec![plerion_model::numa::HostCore { id: 0, cpus: vec![0] }],
        memory_kib: 1 << 20,
        ..Default::default()
    };
    let report = plerion_world::HostReport::Numa(vec![node]);
    cloud
        .give(&Caller::system(), Command::HostReported { id: host, report })
        .expect("told");
    if text.contains("PIN_POLICY") {
        let pinned = Command::Update {
            kind: plerion_model::Kind::Host,
            id: host,
            template: Template::parse("PIN_POLICY=PINNED").expect("a template"),
            append: true,
        };
        cloud.give(&Caller::system(), pinned).expect("updated");
    }
    let id = cloud
        .vm(&format!("NAME=v\nCPU=1\nVCPU=1\nMEMORY=64\n{text}"))
        .expect("a vm");
    let deploy = Command::VmDeploy {
        id,
        host,
        enforce: true,
        datastore: 100,
    };
    cloud.give(&Caller::system(), deploy).expect("placed");
    cloud.finish();
    id
}

#[test]
fn what_is_off_takes_any_size_that_fits() {
    let mut cloud = Cloud::new();
    let root = Caller::system();
    let id = cloud.vm("NAME=v\nCPU=1\nMEMORY=64").expect("a vm");
    resize(&mut cloud, &root, id, "CPU=0.5\nMEMORY=128\nVCPU=2", true).expect("pending");
    assert_eq!(sizes(&cloud, id), ["0.5", "2", "128"]);
    resize(&mut cloud, &root, id, "CPU=0\nMEMORY=256", true).expect("0 keeps");
    assert_eq!(sizes(&cloud, id), ["0.5", "2", "256"]);
    resize(&mut cloud, &root, id, "", true).expect("nothing is asked");
    cloud.deploy(id).expect("placed");
    cloud.finish();
    let refused = resize(&mut cloud, &root, id, "MEMORY=128", true).expect_err("a dummy");
    assert_eq!(refused.text, "Hotplug resize not supported by driver dummy");
    cloud.act(id, Event::Poweroff { hard: true }).expect("off");
    cloud.finish();
    resize(&mut cloud, &root, id, "CPU=2", true).expect("off");
    assert_eq!(cloud.world.host_usage(0).cpu, 200);
    let actions: Vec<i32> = cloud
        .world
        .vm(id)
        .expect("there")
        .history
        .iter()
        .map(|record| record.action.number())
        .collect();
    assert_eq!(actions, [35, 20], "recorded");
    let refused = resize(&mut cloud, &root, id, "CPU=4.5", true).expect_err("the host has 4");
    assert!(
        refused.text.contains("Not enough CPU: 250/200"),
        "{}",
        refused.text
    );
    resize(&mut cloud, &root, id, "CPU=4.5", false).expect("an administrator may");
    resize(&mut cloud, &root, id, "CPU=1", true).expect("less always fits");
    cloud.act(id, Event::Resume).expect("on");
    cloud.finish();
    for (event, state) in [(Event::Suspend, "SUSPENDED"), (Event::Stop, "STOPPED")] {
        cloud.act(id, event).expect("possible");
        cloud.finish();
        let refused = resize(&mut cloud, &root, id, "CPU=1", true).expect_err(state);
        assert_eq!(
            refused.text,
            format!("Resize action is not available for state {state}")
        );
    }
    cloud.world.check().expect("derived state holds");
}

#[test]
fn sizes_that_are_none_are_refused() {
    let mut cloud = Cloud::new();
    let id = cloud.vm("NAME=v\nCPU=1\nMEMORY=64").expect("a vm");
    for (text, expect) in [
        ("CPU=-1", "CPU must be a positive float or integer value."),
        ("CPU=abc", "CPU must be a positive float or integer value."),
        ("CPU=0.001", "CPU must be a positive float or integer value."),
        ("CPU=NaN", "CPU must be a positive float or integer value."),
        ("MEMORY=1.5", "MEMORY must be a positive integer value."),
        (
            "MEMORY=99999999999999999999",
            "MEMORY must be a positive integer value.",
        ),
        ("VCPU=-3", "VCPU must be a positive integer value."),
        ("VCPU=5000", "VCPU must be a positive integer value."),
    ] {
        let refused = resize(&mut cloud, &Caller::system(), id, text, true).expect_err(text);
        assert_eq!(
            (refused.code, refused.text.as_str()),
            (ErrorCode::Action, expect),
            "{text}"
        );
    }
    assert_eq!(sizes(&cloud, id), ["1", "-", "64"]);
}

#[test]
fn a_running_vm_grows_within_its_bounds_and_keeps_its_size_when_that_fails() {
    let mut cloud = Cloud::new();
    let root = Caller::system();
    let id = running(&mut cloud, "VCPU_MAX=4\nMEMORY_MAX=256");
    let host = cloud.world.vm(id).expect("there").held_host().expect("placed");
    for (text, part) in [("VCPU=5", "VCPU_MAX is 4"), ("MEMORY=300", "MEMORY_MAX is 256")] {
        let refused = resize(&mut cloud, &root, id, text, true).expect_err(text);
        assert!(refused.text.contains(part), "{}", refused.text);
    }
    resize(&mut cloud, &root, id, "CPU=2\nVCPU=2\nMEMORY=128", true).expect("grows");
    assert_eq!(cloud.phase(id), "HOTPLUG_RESIZE");
    assert_eq!(cloud.world.host_usage(host).cpu, 200, "held from the start");
    let refused = resize(&mut cloud, &root, id, "CPU=1", true).expect_err("one at a time");
    assert!(refused.text.contains("HOTPLUG_RESIZE"), "{}", refused.text);
    step_end(&mut cloud, Err("the guest does not let go"));
    assert_eq!(cloud.phase(id), "RUNNING");
    assert_eq!(sizes(&cloud, id), ["1", "1", "64"]);
    assert_eq!(cloud.world.host_usage(host).cpu, 100);
    for by_hand in [false, true] {
        resize(&mut cloud, &root, id, "CPU=2\nVCPU=2\nMEMORY=128", true).expect("grows");
        if by_hand {
            let settle = Command::VmRecover {
                id,
                recover: Recover::Success,
            };
            cloud.give(&root, settle).expect("settled");
        } else {
            step_end(&mut cloud, Ok(()));
        }
        assert_eq!(sizes(&cloud, id), ["2", "2", "128"]);
        assert_eq!(cloud.world.vm(id).expect("there").capacity_before, None);
    }
    cloud.world.check().expect("derived state holds");
}

#[test]
fn what_a_running_vm_cannot_have_is_refused() {
    let mut cloud = Cloud::new();
    let root = Caller::system();
    for (extra, wanted, part) in [
        ("", "VCPU=2", "VCPU_MAX is not set"),
        ("TOPOLOGY=[PIN_POLICY=CORE]", "CPU=2", "pinned"),
        (
            "MEMORY_MAX=256\nMEMORY_RESIZE_MODE=HOTPLUG",
            "MEMORY=128",
            "not supported yet",
        ),
    ] {
        let id = running(&mut cloud, extra);
        let refused = resize(&mut cloud, &root, id, wanted, true).expect_err(extra);
        assert!(refused.text.contains(part), "{extra}: {}", refused.text);
    }
    let id = cloud
        .vm("NAME=t\nCPU=1\nMEMORY=64\nVCPU=2\nTOPOLOGY=[SOCKETS=2,CORES=1,THREADS=1]")
        .expect("a vm");
    let refused = resize(&mut cloud, &root, id, "VCPU=3", true).expect_err("two sockets");
    assert!(refused.text.contains("cannot be divided"), "{}", refused.text);
    resize(&mut cloud, &root, id, "VCPU=6", true).expect("divides");
    let vm = cloud.world.vm(id).expect("there");
    assert_eq!(vm.template.pair("TOPOLOGY", "CORES"), Some("3"));
}

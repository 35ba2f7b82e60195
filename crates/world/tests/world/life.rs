//! Clouds that live through commands: what is made, placed, refused, and given back.

use std::sync::Arc;

use plerion_lifecycle::{Event, Recover};
use plerion_model::autostart::DomainEnd;
use plerion_model::vm_state::{LcmState, Phase, VmState};
use plerion_model::{ErrorCode, Id, Kind};
use plerion_template::Template;
use plerion_world::{Caller, Command, HostReport, HostStatus, Object, Output};
use proptest::prelude::*;

use crate::cloud::{Cloud, VM};

#[test]
fn a_vm_is_completed_as_recorded() {
    let mut cloud = Cloud::new();
    let id = cloud.vm(VM).expect("a vm");
    let template = cloud.world.vm(id).expect("there").template.unpack();
    let disks: Vec<_> = template
        .vectors("DISK")
        .map(|disk| (disk.get("DISK_ID"), disk.get("TARGET")))
        .collect();
    assert_eq!(disks, [(Some("0"), Some("sda")), (Some("1"), Some("sdc"))]);
    assert_eq!(
        template.pair("CONTEXT", "TARGET"),
        Some("sdb"),
        "the context disk comes before the rest"
    );
    assert_eq!(template.pair("CONTEXT", "DISK_ID"), Some("2"));
    assert_eq!(template.pair("CONTEXT", "ETH0_IP"), Some("10.0.0.10"));
    assert_eq!(template.pair("CONTEXT", "ETH0_GATEWAY"), Some("10.0.0.1"));
    assert_eq!(template.pair("CONTEXT", "HOST"), Some("v"));
    assert_eq!(
        template.pair("CONTEXT", "KEY"),
        Some(""),
        "a variable that finds nothing is empty"
    );
    assert_eq!(template.pair("NIC", "MAC"), Some("02:00:0a:00:00:0a"));
    assert_eq!(template.pair("NIC", "SECURITY_GROUPS"), Some("0"));
    assert_eq!(template.vectors("SECURITY_GROUP_RULE").count(), 2);
    assert_eq!(
        template.get("AUTOMATIC_REQUIREMENTS"),
        Some("(CLUSTER_ID = 0) & !(PIN_POLICY = PINNED)")
    );
}

#[test]
fn a_life_from_pending_to_done_gives_everything_back() {
    let mut cloud = Cloud::new();
    let empty = cloud.world.clone();
    let id = cloud.vm(VM).expect("a vm");
    cloud.deploy(id).expect("placed");
    assert_eq!(cloud.world.host_usage(0).cpu, 100);
    assert_eq!(cloud.world.outbox.len(), 2, "one intent a disk");
    let mut keys = cloud.world.outbox.keys().copied().collect::<Vec<_>>().into_iter();
    cloud.end(keys.next().expect("first"), Ok(Output::default()));
    assert_eq!(cloud.phase(id), "PROLOG", "the other disk is not there yet");
    cloud.end(keys.next().expect("second"), Ok(Output::default()));
    assert_eq!(cloud.phase(id), "BOOT");
    cloud.finish();
    assert_eq!(cloud.phase(id), "RUNNING");
    assert_eq!(
        cloud
            .world
            .vm(id)
            .expect("there")
            .template
            .pair("GRAPHICS", "PORT"),
        Some("5900")
    );
    for (event, rests) in [
        (Event::Poweroff { hard: false }, "POWEROFF"),
        (Event::Resume, "RUNNING"),
        (Event::Suspend, "SUSPENDED"),
        (Event::Resume, "RUNNING"),
        (Event::Stop, "STOPPED"),
    ] {
        cloud.act(id, event).expect("possible");
        cloud.finish();
        assert_eq!(cloud.phase(id), rests);
        cloud.world.check().expect("derived state holds");
    }
    assert_eq!(cloud.world.host_usage(0).cpu, 0, "a stopped VM holds no host");
    cloud.act(id, Event::Resume).expect("possible");
    cloud.deploy(id).expect("placed again");
    assert_eq!(cloud.phase(id), "PROLOG_RESUME");
    cloud.finish();
    cloud.act(id, Event::Terminate { hard: false }).expect("possible");
    cloud.finish();
    assert_eq!(cloud.phase(id), "DONE");
    cloud.world.check().expect("derived state holds");
    assert_eq!(cloud.world.host_usage(0), empty.host_usage(0));
    cloud.vm(VM).expect("the first address is free again");
    let nic = cloud
        .world
        .vm(id + 1)
        .expect("there")
        .template
        .pair("NIC", "IP")
        .map(str::to_owned);
    assert_eq!(nic.as_deref(), Some("10.0.0.10"));
}

#[test]
fn results_of_steps_that_are_over_are_dropped() {
    let mut cloud = Cloud::new();
    let id = cloud.vm("NAME=v\nCPU=1\nMEMORY=64").expect("a vm");
    cloud.deploy(id).expect("placed");
    let old = *cloud.world.outbox.keys().next().expect("an intent");
    cloud.finish();
    assert_eq!(cloud.phase(id), "RUNNING");
    let before = cloud.world.clone();
    cloud.end(old, Err("late".into()));
    assert!(cloud.world == before, "a late failure changed something");
}

#[test]
fn a_failure_is_said_in_the_vm_and_can_be_tried_again() {
    let mut cloud = Cloud::new();
    let id = cloud.vm("NAME=v\nCPU=1\nMEMORY=64").expect("a vm");
    cloud.deploy(id).expect("placed");
    let key = *cloud.world.outbox.keys().next().expect("an intent");
    cloud.end(key, Err("no space left".into()));
    assert_eq!(cloud.phase(id), "PROLOG_FAILURE");
    assert_eq!(
        cloud.world.vm(id).expect("there").user_template.get("ERROR"),
        Some("no space left")
    );
    cloud
        .give(
            &Caller::system(),
            Command::VmRecover {
                id,
                recover: Recover::Retry,
            },
        )
        .expect("tried again");
    cloud.finish();
    assert_eq!(cloud.phase(id), "RUNNING");
    assert_eq!(
        cloud.world.vm(id).expect("there").user_template.get("ERROR"),
        None
    );
}

#[test]
fn what_does_not_fit_is_refused_and_costs_nothing() {
    let mut cloud = Cloud::new();
    for (text, word) in [
        ("NAME=v\nCPU=0\nMEMORY=64", "CPU"),
        ("NAME=v\nCPU=1", "MEMORY"),
        ("NAME=v\nCPU=1\nMEMORY=64\nDISK=[IMAGE_ID=99]", "image [99]"),
        ("NAME=v\nCPU=1\nMEMORY=64\nDISK=[IMAGE=nothing]", "nothing"),
        (
            "NAME=v\nCPU=1\nMEMORY=64\nNIC=[NETWORK_ID=0,IP=10.0.0.99]",
            "10.0.0.99",
        ),
        ("NAME=v\nCPU=1\nMEMORY=64\nDISK=[TYPE=fs]", "SIZE"),
        (
            "NAME=v\nCPU=1\nMEMORY=64\nDISK=[IMAGE_ID=0,TARGET=vda]\nDISK=[IMAGE_ID=0,TARGET=vda]",
            "vda",
        ),
        ("NAME=v\nCPU=1\nMEMORY=64\nCONTEXT=[A=\"$USER[\"]", "CONTEXT/A"),
    ] {
        let before = cloud.world.clone();
        let error = cloud.vm(text).expect_err(text);
        assert!(error.text.contains(word), "{text}: {}", error.text);
        assert!(cloud.world == before);
    }
    for expect in ["10.0.0.10", "10.0.0.11", "10.0.0.12", "10.0.0.13"] {
        let id = cloud.vm(VM).expect("an address is left");
        assert_eq!(
            cloud.world.vm(id).expect("there").template.pair("NIC", "IP"),
            Some(expect)
        );
    }
    assert!(
        cloud
            .vm(VM)
            .expect_err("none is left")
            .text
            .contains("all addresses are in use")
    );
    let big = cloud.vm("NAME=v\nCPU=5\nMEMORY=64").expect("a vm");
    assert_eq!(
        cloud.deploy(big).expect_err("too big").text,
        format!("virtual machine [{big}] does not fit in host [0]. Not enough CPU: 500/400")
    );
}

#[test]
fn persistent_images_serve_one_vm() {
    let mut cloud = Cloud::new();
    cloud
        .give(
            &Caller::system(),
            Command::ImagePersistent {
                id: 0,
                persistent: true,
            },
        )
        .expect("unused");
    let id = cloud.vm(VM).expect("a vm");
    assert!(cloud.vm(VM).expect_err("taken").text.contains("persistent"));
    let delete = Command::Delete {
        kind: Kind::Image,
        id: 0,
    };
    assert_eq!(
        cloud.give(&Caller::system(), delete).expect_err("in use").code,
        ErrorCode::Action
    );
    cloud.act(id, Event::Terminate { hard: false }).expect("possible");
    assert_eq!(cloud.phase(id), "DONE");
    cloud.vm(VM).expect("free again");
}

#[test]
fn shareable_images_serve_several_vms() {
    let mut cloud = Cloud::new();
    let persistent = |persistent| Command::ImagePersistent { id: 0, persistent };
    let kind = |text: &str| Command::Update {
        kind: Kind::Image,
        id: 0,
        template: Template::parse(text).expect("a template"),
        append: true,
    };
    cloud.give(&Caller::system(), persistent(true)).expect("unused");
    cloud
        .give(&Caller::system(), kind("PERSISTENT_TYPE=shareable"))
        .expect("an attribute");
    let shared = |cloud: &Cloud, id| {
        let vm = cloud.world.vm(id).expect("there");
        let disk = vm.template.vectors("DISK").next().expect("a disk");
        disk.get("SHAREABLE").map(str::to_owned)
    };
    let both = [cloud.vm(VM).expect("a vm"), cloud.vm(VM).expect("another")];
    for id in both {
        assert_eq!(shared(&cloud, id).as_deref(), Some("YES"));
    }
    // What is not persistent is copied for each VM, whatever its type.
    for id in both {
        cloud.act(id, Event::Terminate { hard: false }).expect("possible");
    }
    cloud.give(&Caller::system(), persistent(false)).expect("unused");
    let id = cloud.vm(VM).expect("a vm");
    assert_eq!(shared(&cloud, id), None);
}

#[test]
fn vms_that_are_lost_change_what_hosts_are_to_watch() {
    let mut cloud = Cloud::new();
    let id = cloud.placed("NAME=v\nCPU=1\nMEMORY=64").expect("a vm");
    let mut vm = cloud.world.vm(id).expect("there").as_ref().clone();
    let before = cloud.world.clone();
    vm.name = "other".into();
    cloud.world.put(&Object::Vm(Arc::new(vm.clone())));
    assert!(cloud.world.same_places(&before), "most changes are about VMs");
    vm.phase = Phase::active(LcmState::Unknown);
    cloud.world.put(&Object::Vm(Arc::new(vm)));
    assert!(!cloud.world.same_places(&before));
}

#[test]
fn a_lost_host_makes_its_vms_unknown_and_lets_them_be_deleted() {
    let mut cloud = Cloud::new();
    let id = cloud.vm("NAME=v\nCPU=1\nMEMORY=64").expect("a vm");
    cloud.deploy(id).expect("placed");
    cloud.finish();
    let down = || Command::HostReported {
        id: 0,
        report: HostReport::Down("no route".into()),
    };
    cloud.give(&Caller::system(), down()).expect("taken");
    assert_eq!(cloud.phase(id), "UNKNOWN");
    assert_eq!(
        cloud.world.host(0).expect("there").template.get("ERROR"),
        Some("no route")
    );
    let before = cloud.world.clone();
    cloud.give(&Caller::system(), down()).expect("taken");
    assert!(cloud.world == before, "the same news changes nothing");
    cloud
        .give(
            &Caller::system(),
            Command::VmRecover {
                id,
                recover: Recover::Delete,
            },
        )
        .expect("possible without the host");
    assert_eq!(cloud.phase(id), "DONE");
    cloud.world.check().expect("derived state holds");
}

#[test]
fn users_see_and_change_only_what_they_may() {
    let mut cloud = Cloud::new();
    let allocate = |name: &str| Command::UserAllocate {
        name: name.into(),
        password: "p".into(),
        driver: String::new(),
        groups: vec![1],
    };
    let caller = |name: &str, cloud: &mut Cloud| {
        let uid = cloud.give(&Caller::system(), allocate(name)).expect("a user");
        Caller {
            uid,
            gid: 1,
            groups: vec![1],
            token: None,
        }
    };
    let alice = caller("alice", &mut cloud);
    let bob = caller("bob", &mut cloud);
    let template = || Template::parse("NAME=t\nCPU=1\nMEMORY=64").expect("a template");
    let id = cloud
        .give(&alice, Command::TemplateAllocate { template: template() })
        .expect("the group may create");
    let rename = |name: &str| Command::Rename {
        kind: Kind::Template,
        id,
        name: name.into(),
    };
    assert_eq!(
        cloud.give(&bob, rename("b")).expect_err("not his").text,
        format!(
            "User [{}] : Not authorized to perform MANAGE TEMPLATE [{id}].",
            bob.uid
        )
    );
    cloud.give(&alice, rename("a")).expect("hers");
    let instantiate = || Command::TemplateInstantiate {
        id,
        name: String::new(),
        hold: true,
        extra: Template::new(),
        persistent: false,
    };
    assert_eq!(
        cloud.give(&bob, instantiate()).expect_err("not his").code,
        ErrorCode::Authorization
    );
    let chmod = |bits: [i32; 9]| Command::Chmod {
        kind: Kind::Template,
        id,
        bits,
    };
    cloud
        .give(&alice, chmod([-1, -1, -1, 1, -1, -1, -1, -1, -1]))
        .expect("hers");
    let vm = cloud.give(&bob, instantiate()).expect("shared with the group");
    assert_eq!(cloud.world.vm(vm).expect("there").owned.uid, bob.uid);
    let host = Command::HostSetStatus {
        id: 0,
        status: HostStatus::Disabled,
    };
    assert_eq!(
        cloud.give(&bob, host).expect_err("admins only").code,
        ErrorCode::Authorization
    );
    let restricted =
        Template::parse("NAME=r\nCPU=1\nMEMORY=64\nNIC=[NETWORK_ID=0,MAC=\"02:00:00:00:00:01\"]");
    let refused = cloud
        .give(
            &bob,
            Command::VmAllocate {
                template: restricted.expect("a template"),
                hold: true,
            },
        )
        .expect_err("restricted");
    assert_eq!(
        refused.text,
        format!(
            "User [{}] : VM Template includes a restricted attribute MAC.",
            bob.uid
        )
    );
}

fn step() -> impl Strategy<Value = (u8, i32)> {
    (0u8..16, 0i32..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens, what is derived equals a recount, and once all VMs are done nothing is held.
    #[test]
    fn random_histories_keep_derived_state(steps in prop::collection::vec(step(), 1..80)) {
        let mut cloud = Cloud::new();
        for (kind, id) in steps {
            // Most of these are refused at some time; a refusal changes nothing, which `give` checks by itself.
            let _ = match kind {
                0..=3 => cloud.vm(VM),
                4 | 5 => cloud.deploy(id),
                6 => cloud.act(id, Event::Poweroff { hard: true }),
                7 => cloud.act(id, Event::Resume),
                8 => cloud.act(id, Event::Stop),
                9 => cloud.act(id, Event::Terminate { hard: id % 2 == 0 }),
                10 => cloud.act(id, Event::Suspend),
                11 => cloud.give(&Caller::system(), Command::VmRecover {
                    id,
                    recover: Recover::from_number(id).expect("0 to 5"),
                }),
                12 => {
                    if let Some(key) = cloud.world.outbox.keys().next().copied() {
                        cloud.end(key, Err("planned".into()));
                    }
                    Ok(0)
                }
                13 => cloud.give(&Caller::system(), Command::DomainSeen { host: 0, vm: id, end: DomainEnd::ALL.get((id % 5) as usize).copied() }),
                14 => cloud.act(id, Event::Undeploy { hard: false }),
                _ => {
                    cloud.finish();
                    Ok(0)
                }
            };
            prop_assert_eq!(cloud.world.check(), Ok(()));
            let held = cloud.world.host_usage(0);
            prop_assert!(held.cpu <= held.max_cpu);
        }
        let all: Vec<Id> = cloud.world.vms.iter().map(|(id, _)| id).collect();
        for id in all {
            cloud.give(&Caller::system(), Command::VmRecover { id, recover: Recover::DeleteDb }).expect("always possible");
        }
        prop_assert!(cloud.world.vms.values().all(|vm| vm.phase.state == VmState::Done));
        prop_assert_eq!(cloud.world.host_usage(0).cpu, 0);
        prop_assert!(cloud.world.outbox.is_empty());
        prop_assert_eq!(cloud.world.check(), Ok(()));
    }
}

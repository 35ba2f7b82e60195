//! Which right an operation on a VM needs is a setting.

use plerion_lifecycle::Event;
use plerion_model::{ErrorCode, Id, Kind};
use plerion_template::Template;
use plerion_world::{Caller, Command, Config, GuestCommand};

use crate::cloud::Cloud;

/// A VM on hold of `owner`, and another user of the same group.
fn cloud_of(conf: &str) -> (Cloud, Id, Caller) {
    let mut cloud = Cloud::new();
    let conf = Template::parse_or_empty(conf).expect("a template");
    cloud.world.config = std::sync::Arc::new(Config::new(conf, "/var/lib/one/datastores"));
    let mut user = |name: &str| {
        let command = Command::UserAllocate {
            name: name.into(),
            password: "p".into(),
            driver: "core".into(),
            groups: Vec::new(),
        };
        cloud.give(&Caller::system(), command).expect("a user")
    };
    let (owner, other) = (user("owner"), user("other"));
    let vm = cloud.vm("NAME=v\nCPU=1\nMEMORY=64").expect("a vm");
    let chown = Command::Chown {
        kind: Kind::Vm,
        id: vm,
        uid: owner,
        gid: 1,
    };
    cloud.give(&Caller::system(), chown).expect("given");
    // The group may use it.
    let bits = [1, 1, 0, 1, 0, 0, 0, 0, 0];
    let chmod = Command::Chmod {
        kind: Kind::Vm,
        id: vm,
        bits,
    };
    cloud.give(&Caller::system(), chmod).expect("shared");
    let caller = Caller {
        uid: other,
        gid: 1,
        groups: vec![1],
        token: None,
    };
    (cloud, vm, caller)
}

fn hold(cloud: &mut Cloud, caller: &Caller, id: Id) -> Result<Id, ErrorCode> {
    let command = Command::VmAction {
        id,
        name: "hold".into(),
        event: Event::Hold,
    };
    cloud.give(caller, command).map_err(|refusal| refusal.code)
}

fn attribute(
    cloud: &mut Cloud,
    caller: &Caller,
    kind: Kind,
    id: Id,
    text: &str,
    append: bool,
) -> Result<Id, ErrorCode> {
    let command = Command::Update {
        kind,
        id,
        template: Template::parse_or_empty(text).expect("a template"),
        append,
    };
    cloud.give(caller, command).map_err(|refusal| refusal.code)
}

#[test]
fn lists_of_the_configuration_decide() {
    for (conf, allowed) in [
        ("", false),
        ("VM_USE_OPERATIONS=\"release, Hold\"", true),
        ("VM_USE_OPERATIONS=\"resume\"", false),
        ("VM_USE_OPERATIONS=\"hold\"\nVM_ADMIN_OPERATIONS=\"hold\"", false),
    ] {
        let (mut cloud, vm, caller) = cloud_of(conf);
        let expect = if allowed {
            Ok(vm)
        } else {
            Err(ErrorCode::Authorization)
        };
        assert_eq!(hold(&mut cloud, &caller, vm), expect, "{conf}");
    }
    let (mut cloud, vm, _) = cloud_of("VM_ADMIN_OPERATIONS=\"hold\"");
    let owner = Caller {
        uid: cloud.world.vm(vm).expect("there").owned.uid,
        gid: 1,
        groups: vec![1],
        token: None,
    };
    assert_eq!(hold(&mut cloud, &owner, vm), Err(ErrorCode::Authorization));
    assert_eq!(hold(&mut cloud, &Caller::system(), vm), Ok(vm));
}

#[test]
fn users_come_before_groups_and_both_before_the_configuration() {
    let root = Caller::system();
    let lists = ["VM_USE_OPERATIONS=\"hold\"", "VM_ADMIN_OPERATIONS=\"hold\""];
    for (user, group, allowed) in [(0, 1, true), (1, 0, false)] {
        let (mut cloud, vm, caller) = cloud_of("");
        attribute(&mut cloud, &root, Kind::Group, 1, lists[group], true).expect("set");
        attribute(&mut cloud, &root, Kind::User, caller.uid, lists[user], true).expect("set");
        assert_eq!(hold(&mut cloud, &caller, vm).is_ok(), allowed);
    }
    let (mut cloud, vm, caller) = cloud_of("");
    attribute(&mut cloud, &root, Kind::Group, 1, lists[0], true).expect("set");
    assert_eq!(hold(&mut cloud, &caller, vm), Ok(vm));
}

#[test]
fn nobody_gives_rights_to_himself() {
    // Even where the configuration restricts something else.
    for conf in ["", "USER_RESTRICTED_ATTR=\"EMAIL\""] {
        let (mut cloud, vm, caller) = cloud_of(conf);
        let list = "VM_USE_OPERATIONS=\"hold\"";
        for append in [false, true] {
            let set = attribute(&mut cloud, &caller, Kind::User, caller.uid, list, append);
            assert_eq!(set, Err(ErrorCode::Authorization));
        }
        // What an administrator has set cannot be taken away either.
        let strict = "VM_ADMIN_OPERATIONS=\"hold\"";
        attribute(
            &mut cloud,
            &Caller::system(),
            Kind::User,
            caller.uid,
            strict,
            true,
        )
        .expect("set");
        attribute(&mut cloud, &caller, Kind::User, caller.uid, "A=b", false).expect("his own");
        let user = cloud.world.user(caller.uid).expect("there");
        assert_eq!(user.template.get("VM_ADMIN_OPERATIONS"), Some("hold"));
        assert!(hold(&mut cloud, &caller, vm).is_err());
    }
}

#[test]
fn commands_for_guests_need_the_right() {
    let (mut cloud, vm, caller) = cloud_of("");
    cloud.deploy(vm).expect("placed");
    cloud.finish();
    let run = GuestCommand::Run {
        command: "id".into(),
        stdin: String::new(),
    };
    for command in [run.clone(), GuestCommand::Retry, GuestCommand::Cancel] {
        let refused = cloud.give(&caller, Command::VmExec { id: vm, command });
        assert_eq!(refused.expect_err("no right").code, ErrorCode::Authorization);
    }
    assert!(cloud.world.outbox.is_empty());
    let (mut cloud, vm, caller) = cloud_of("VM_USE_OPERATIONS=\"exec\"");
    cloud.deploy(vm).expect("placed");
    cloud.finish();
    cloud
        .give(&caller, Command::VmExec { id: vm, command: run })
        .expect("allowed by the configuration");
}

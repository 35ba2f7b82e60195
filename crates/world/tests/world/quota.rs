//! Quotas: limits of users, groups and of all that have none of their own; what is used is given back exactly.

use plerion_lifecycle::Event;
use plerion_model::{ApiError, ErrorCode, Id, Kind, View};
use plerion_template::Template;
use plerion_world::{Caller, Command, ImageSpec, Measurements, QuotaCommand, Snapshot};
use proptest::prelude::*;

use crate::cloud::{Cloud, VM};

/// The group of [`user`].
const GROUP: Id = 100;

/// A user in a group of its own, which may use all that the cloud has.
fn user(cloud: &mut Cloud, name: &str) -> Caller {
    if cloud.world.groups.get(GROUP).is_none() {
        let group = Command::GroupAllocate { name: "dev".into() };
        cloud.give(&Caller::system(), group).expect("a group");
        for kind in [Kind::Image, Kind::Datastore] {
            let id = if kind == Kind::Image { 0 } else { 101 };
            let bits = [-1, -1, -1, -1, -1, -1, 1, -1, -1];
            cloud
                .give(&Caller::system(), Command::Chmod { kind, id, bits })
                .expect("shared");
        }
    }
    let command = Command::UserAllocate {
        name: name.into(),
        password: "x".into(),
        driver: "core".into(),
        groups: vec![GROUP, 1],
    };
    let uid = cloud.give(&Caller::system(), command).expect("a user");
    Caller {
        uid,
        gid: GROUP,
        groups: vec![1, GROUP],
        token: None,
    }
}

fn limit(cloud: &mut Cloud, kind: Kind, id: Id, text: &str) -> Result<Id, ApiError> {
    let template = Template::parse(text).expect("a template");
    cloud.give(
        &Caller::system(),
        Command::Quota(QuotaCommand::Set { kind, id, template }),
    )
}

fn limit_all(cloud: &mut Cloud, kind: Kind, text: &str) {
    let template = Template::parse(text).expect("a template");
    let command = Command::Quota(QuotaCommand::SetDefault { kind, template });
    cloud.give(&Caller::system(), command).expect("set");
}

fn vm(cloud: &mut Cloud, caller: &Caller, text: &str) -> Result<Id, ApiError> {
    let template = Template::parse(text).expect("a template");
    cloud.give(
        caller,
        Command::VmAllocate {
            template,
            hold: false,
        },
    )
}

fn refusal(outcome: Result<Id, ApiError>) -> String {
    let refused = outcome.expect_err("beyond the limit");
    assert_eq!(refused.code, ErrorCode::Authorization);
    refused.text
}

const SMALL: &str = "NAME=s\nCPU=0.1\nMEMORY=64";

#[test]
fn each_limit_of_a_vm_refuses_as_recorded() {
    for (limits, template, text) in [
        (
            "VM=[CPU=1]",
            "NAME=q\nCPU=5\nMEMORY=64",
            "limit of 1 reached for CPU quota in VM.",
        ),
        (
            "VM=[MEMORY=0]",
            SMALL,
            "limit of 0 reached for MEMORY quota in VM.",
        ),
        ("VM=[VMS=0]", SMALL, "limit of 0 reached for VMS quota in VM."),
        (
            "VM=[RUNNING_CPU=0.05]",
            SMALL,
            "limit of 0.05 reached for RUNNING_CPU quota in VM.",
        ),
        (
            "VM=[SYSTEM_DISK_SIZE=2048]",
            "NAME=q\nCPU=1\nMEMORY=64\nDISK=[TYPE=fs,SIZE=5000]",
            "limit of 2048 reached for SYSTEM_DISK_SIZE quota in VM.",
        ),
        (
            "IMAGE=[ID=0,RVMS=1]",
            "NAME=q\nCPU=1\nMEMORY=64\nDISK=[IMAGE_ID=0]\nDISK=[IMAGE_ID=0]",
            "limit of 1 reached for RVMS quota in IMAGE with ID: 0.",
        ),
        (
            "NETWORK=[ID=0,LEASES=1]",
            "NAME=q\nCPU=1\nMEMORY=64\nNIC=[NETWORK_ID=0]\nNIC=[NETWORK_ID=0]",
            "limit of 1 reached for LEASES quota in NETWORK with ID: 0.",
        ),
    ] {
        let mut cloud = Cloud::new();
        let dora = user(&mut cloud, "dora");
        let before = cloud.world.clone();
        for (kind, id, whose) in [(Kind::User, dora.uid, "user"), (Kind::Group, GROUP, "group")] {
            limit(&mut cloud, kind, id, limits).expect("set");
            let refused = refusal(vm(&mut cloud, &dora, template));
            assert_eq!(refused, format!("User [{}] : {whose} [{id}] {text}", dora.uid));
            cloud.world = before.clone();
        }
        limit_all(&mut cloud, Kind::User, limits);
        assert!(refusal(vm(&mut cloud, &dora, template)).contains(text));
        // An own limit takes the place of the default one.
        let section = limits.split('[').next().expect("a name");
        let own = limits
            .replace("=0]", "=-2]")
            .replace("=1]", "=-2]")
            .replace("=0.05]", "=-2]")
            .replace("=2048]", "=-2]");
        limit(&mut cloud, Kind::User, dora.uid, &own).unwrap_or_else(|error| panic!("{section}: {error:?}"));
        vm(&mut cloud, &dora, template).unwrap_or_else(|error| panic!("{own}: {error:?}"));
        cloud.vm(template).expect("nothing limits the administrator");
    }
}

#[test]
fn images_count_in_their_datastore() {
    let mut cloud = Cloud::new();
    let dora = user(&mut cloud, "dora");
    limit(
        &mut cloud,
        Kind::User,
        dora.uid,
        "DATASTORE=[ID=101,IMAGES=1,SIZE=100]",
    )
    .expect("set");
    let image = |cloud: &mut Cloud, name: &str, size| {
        cloud.give(
            &dora,
            Command::ImageAllocate {
                template: Template::parse(&format!("NAME={name}\nTYPE=DATABLOCK\nSIZE={size}"))
                    .expect("good"),
                datastore: 101,
                spec: ImageSpec::default(),
            },
        )
    };
    let bits = [-1, -1, -1, -1, -1, -1, 1, -1, -1];
    cloud
        .give(
            &Caller::system(),
            Command::Chmod {
                kind: Kind::Datastore,
                id: 101,
                bits,
            },
        )
        .expect("shared");
    let refused = refusal(image(&mut cloud, "big", 500));
    assert!(
        refused.contains("limit of 100 reached for SIZE quota in DATASTORE with ID: 101"),
        "{refused}"
    );
    let first = image(&mut cloud, "one", 5).expect("within");
    let refused = refusal(image(&mut cloud, "two", 5));
    assert!(
        refused.contains("limit of 1 reached for IMAGES quota"),
        "{refused}"
    );
    cloud.finish();
    cloud
        .give(
            &dora,
            Command::Delete {
                kind: Kind::Image,
                id: first,
            },
        )
        .expect("deleted");
    cloud.finish();
    image(&mut cloud, "two", 5).expect("the place was given back");
}

#[test]
fn running_quotas_come_back_with_the_machine_off_and_are_asked_for_again() {
    let mut cloud = Cloud::new();
    let dora = user(&mut cloud, "dora");
    let first = vm(&mut cloud, &dora, SMALL).expect("a vm");
    cloud.deploy(first).expect("placed");
    cloud.finish();
    limit(&mut cloud, Kind::User, dora.uid, "VM=[RUNNING_VMS=1]").expect("set");
    assert!(refusal(vm(&mut cloud, &dora, SMALL)).contains("RUNNING_VMS"));
    cloud.act(first, Event::Poweroff { hard: true }).expect("off");
    cloud.finish();
    vm(&mut cloud, &dora, SMALL).expect("one more may run");
    assert!(refusal(cloud.act(first, Event::Resume)).contains("limit of 1 reached for RUNNING_VMS"));
    assert_eq!(cloud.phase(first), "POWEROFF");
    cloud
        .act(first, Event::Terminate { hard: true })
        .expect("what gives back is never refused");
}

#[test]
fn a_new_owner_pays() {
    let mut cloud = Cloud::new();
    let (dora, emil) = (user(&mut cloud, "dora"), user(&mut cloud, "emil"));
    let id = vm(&mut cloud, &dora, SMALL).expect("a vm");
    limit(&mut cloud, Kind::User, emil.uid, "VM=[VMS=0]").expect("set");
    let chown = |uid| Command::Chown {
        kind: Kind::Vm,
        id,
        uid,
        gid: -1,
    };
    assert!(
        refusal(cloud.give(&Caller::system(), chown(emil.uid)))
            .contains(&format!("user [{}] limit", emil.uid))
    );
    limit(&mut cloud, Kind::User, emil.uid, "VM=[VMS=1]").expect("set");
    cloud.give(&Caller::system(), chown(emil.uid)).expect("within");
    let measurements = Measurements::default();
    let view = Snapshot {
        world: &cloud.world,
        measurements: &measurements,
    };
    assert_eq!(view.user_usage(dora.uid).vms_in("").all.vms, 0);
    assert_eq!(view.user_usage(emil.uid).vms_in("").all.vms, 1);
    assert_eq!(view.group_usage(GROUP).vms_in("").all.vms, 1);
}

#[test]
fn limits_of_clusters_hold_when_a_vm_is_placed() {
    let mut cloud = Cloud::new();
    let dora = user(&mut cloud, "dora");
    limit(&mut cloud, Kind::Group, GROUP, "VM=[CLUSTER_IDS=\"100,0\",VMS=1]").expect("set");
    let (first, second) = (
        vm(&mut cloud, &dora, SMALL).expect("waits"),
        vm(&mut cloud, &dora, SMALL).expect("waits"),
    );
    cloud.deploy(first).expect("the first");
    assert!(refusal(cloud.deploy(second)).contains("VMS quota in VM with CLUSTER_IDS: 0,100"));
}

#[test]
fn bad_limits_are_refused_and_the_administrator_has_none() {
    let mut cloud = Cloud::new();
    let dora = user(&mut cloud, "dora");
    let bad = limit(&mut cloud, Kind::User, dora.uid, "VM=[VMS=\"-5\"]").expect_err("negative");
    assert_eq!(bad.code, ErrorCode::Action);
    assert_eq!(
        bad.text,
        format!(
            "Negative limits or bad format in quota VM = [ UID={},VMS=-5 ]",
            dora.uid
        )
    );
    for text in [
        "DATASTORE=[SIZE=1]",
        "NETWORK=[ID=x,LEASES=1]",
        "IMAGE=[ID=0,RVMS=many]",
        "VM=[CLUSTER_IDS=\"a\",VMS=1]",
    ] {
        assert_eq!(
            limit(&mut cloud, Kind::User, dora.uid, text)
                .expect_err(text)
                .code,
            ErrorCode::Action
        );
    }
    assert!(limit(&mut cloud, Kind::User, 0, "VM=[VMS=1]").is_err());
    assert!(limit(&mut cloud, Kind::Group, 0, "VM=[VMS=1]").is_err());
    let template = Template::parse("VM=[VMS=500]").expect("good");
    let own = Command::Quota(QuotaCommand::Set {
        kind: Kind::User,
        id: dora.uid,
        template: template.clone(),
    });
    let refused = cloud.give(&dora, own).expect_err("not hers to set");
    assert_eq!(
        refused.text,
        format!(
            "User [{0}] : Not authorized to perform ADMIN USER [{0}].",
            dora.uid
        )
    );
    let default = Command::Quota(QuotaCommand::SetDefault {
        kind: Kind::User,
        template,
    });
    assert_eq!(
        cloud.give(&dora, default).expect_err("administrators only").code,
        ErrorCode::Authorization
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever happens, what is used equals a recount, no command passes a limit, and in the end nothing is used.
    #[test]
    fn random_histories_never_pass_a_limit(steps in prop::collection::vec((0u8..10, 0i32..5), 1..60)) {
        let mut cloud = Cloud::new();
        let owners = [user(&mut cloud, "dora"), user(&mut cloud, "emil")];
        limit(&mut cloud, Kind::User, owners[0].uid, "VM=[VMS=2,RUNNING_VMS=1]").expect("set");
        limit(&mut cloud, Kind::Group, GROUP, "VM=[VMS=3]\nNETWORK=[ID=0,LEASES=2]").expect("set");
        for (what, id) in steps {
            let caller = &owners[usize::from(id % 2 == 0)];
            let running = count(&cloud, |vm| vm.owned.uid == owners[0].uid && vm.holds().running_quota);
            // Most of these are refused at some time.
            let _ = match what {
                0..=2 => vm(&mut cloud, caller, VM),
                3 => cloud.deploy(id),
                4 => cloud.act(id, Event::Poweroff { hard: true }),
                5 => cloud.act(id, Event::Resume),
                6 => cloud.act(id, Event::Terminate { hard: true }),
                7 => cloud.give(&Caller::system(), Command::Chown { kind: Kind::Vm, id, uid: caller.uid, gid: -1 }),
                8 => cloud.act(id, Event::Undeploy { hard: true }),
                _ => { cloud.finish(); Ok(0) }
            };
            prop_assert_eq!(cloud.world.check(), Ok(()));
            prop_assert!(count(&cloud, |vm| vm.owned.uid == owners[0].uid) <= 2);
            prop_assert!(cloud.world.vms.len() <= 3);
            prop_assert!(cloud.world.vms.values().map(|vm| vm.demand.leases.len()).sum::<usize>() <= 2);
            let now = count(&cloud, |vm| vm.owned.uid == owners[0].uid && vm.holds().running_quota);
            prop_assert!(now <= 1.max(running), "{running} -> {now}");
        }
        for id in 0..cloud.world.vms.iter().map(|(id, _)| id + 1).max().unwrap_or(0) {
            let recover = plerion_lifecycle::Recover::DeleteDb;
            let _ = cloud.give(&Caller::system(), Command::VmRecover { id, recover });
        }
        let measurements = Measurements::default();
        let view = Snapshot { world: &cloud.world, measurements: &measurements };
        prop_assert_eq!(view.group_usage(GROUP), Default::default());
        prop_assert_eq!(view.user_usage(owners[0].uid), Default::default());
    }
}

fn count(cloud: &Cloud, wanted: impl Fn(&plerion_model::vm::Vm) -> bool) -> usize {
    cloud.world.vms.values().filter(|vm| wanted(vm)).count()
}

//! VMs that wait for images which are still being made, and VMs of copies of templates that keep what is written.

use plerion_lifecycle::{Event, Recover};
use plerion_model::image::ImageState;
use plerion_model::{ApiError, ErrorCode, Id, Kind, View};
use plerion_template::Template;
use plerion_world::{
    Caller, Command, ImageSpec, IntentKey, Measurements, Output, QuotaCommand, Snapshot, VmDeviceCommand,
};
use proptest::prelude::*;

use crate::cloud::Cloud;

const DISKS: &str = "NAME=tpl\nCPU=1\nMEMORY=64\nDISK=[IMAGE=\"disk\",TARGET=vdx]\nDISK=[TYPE=fs,SIZE=5]\nDISK=[IMAGE_ID=0,SIZE=15]\nNIC=[NETWORK_ID=0]";

fn template(cloud: &mut Cloud, text: &str) -> Id {
    cloud.made(text, |template| Command::TemplateAllocate { template })
}

fn instantiate(id: Id, name: &str, extra: &str) -> Command {
    Command::TemplateInstantiate {
        id,
        name: name.into(),
        hold: false,
        extra: match extra {
            "" => Template::new(),
            text => Template::parse(text).expect("a template"),
        },
        persistent: true,
    }
}

fn admin(cloud: &mut Cloud, command: Command) -> Result<Id, ApiError> {
    cloud.give(&Caller::system(), command)
}

fn copies(cloud: &Cloud) -> Vec<Id> {
    cloud
        .world
        .ids(Kind::Image)
        .into_iter()
        .filter(|id| *id > 0)
        .collect()
}

fn shown(cloud: &Cloud, image: Id) -> ImageState {
    let measurements = Measurements::default();
    let view = Snapshot {
        world: &cloud.world,
        measurements: &measurements,
    };
    let object = cloud.world.image(image).expect("an image");
    object.state_shown(view.image_vms(image).len(), view.image_clones(image).len())
}

fn disk(cloud: &Cloud, vm: Id, number: usize, key: &str) -> Option<String> {
    let vm = cloud.world.vm(vm).expect("a VM");
    let disk = vm.template.vectors("DISK").nth(number).expect("a disk");
    disk.get(key).map(str::to_owned)
}

fn attribute(cloud: &Cloud, vm: Id, name: &str) -> Option<String> {
    cloud
        .world
        .vm(vm)
        .expect("a VM")
        .template
        .get(name)
        .map(str::to_owned)
}

/// The intents of images, by ascending id.
fn image_intents(cloud: &Cloud) -> Vec<IntentKey> {
    let keys = cloud.world.outbox.keys().copied();
    keys.filter(|key| key.kind == Kind::Image).collect()
}

fn end_next(cloud: &mut Cloud, result: Result<Output, String>) {
    let key = image_intents(cloud)
        .first()
        .copied()
        .expect("an image is being made");
    cloud.end(key, result);
}

#[test]
fn a_persistent_instance_has_a_template_and_images_of_its_own_and_waits_for_them() {
    let mut cloud = Cloud::new();
    let id = template(&mut cloud, DISKS);
    let vm = admin(
        &mut cloud,
        instantiate(id, "kept", "NOTE=mine\nMEMORY=128\nNAME=other"),
    )
    .expect("made");
    assert_eq!(cloud.phase(vm), "CLONING");
    let copy = cloud.world.id_by_name(Kind::Template, 0, "kept").expect("a copy");
    let object = cloud.world.template(copy).expect("a copy").template.unpack();
    assert_eq!(
        (object.get("NOTE"), object.get("MEMORY"), object.get("NAME")),
        (Some("mine"), Some("128"), None)
    );
    let images = copies(&cloud);
    let names: Vec<_> = images
        .iter()
        .map(|id| cloud.world.image(*id).expect("there").name.clone())
        .collect();
    assert_eq!(names, ["kept-disk-0", "kept-disk-2"]);
    for image in &images {
        assert!(cloud.world.image(*image).expect("there").persistent);
        assert_eq!(shown(&cloud, *image), ImageState::LockedUsedPers);
    }
    assert!(!cloud.world.image(0).expect("there").persistent);
    assert_eq!(cloud.world.vm(vm).expect("a VM").name, "kept");
    assert_eq!(attribute(&cloud, vm, "TEMPLATE_ID"), Some(copy.to_string()));
    assert_eq!(attribute(&cloud, vm, "CLONING_TEMPLATE_ID"), Some(id.to_string()));
    assert_eq!(disk(&cloud, vm, 0, "TARGET").as_deref(), Some("vdx"));
    for number in [0, 2] {
        assert_eq!(disk(&cloud, vm, number, "CLONING").as_deref(), Some("YES"));
        assert_eq!(disk(&cloud, vm, number, "SAVE").as_deref(), Some("YES"));
        assert_eq!(disk(&cloud, vm, number, "IMAGE_STATE").as_deref(), Some("10"));
    }
    assert_eq!(disk(&cloud, vm, 1, "CLONING"), None);
    // What does not wait for a host is not placed.
    assert_eq!(cloud.deploy(vm).expect_err("it waits").code, ErrorCode::Action);
    assert_eq!(cloud.world.pending_vms().count(), 0);
    end_next(
        &mut cloud,
        Ok(Output {
            source: Some("/new/place".into()),
            ..Output::default()
        }),
    );
    assert_eq!(
        (cloud.phase(vm), shown(&cloud, images[0])),
        ("CLONING", ImageState::UsedPers)
    );
    assert_eq!(disk(&cloud, vm, 0, "SOURCE").as_deref(), Some("/new/place"));
    assert_eq!(
        (
            disk(&cloud, vm, 0, "CLONING"),
            disk(&cloud, vm, 0, "IMAGE_STATE").as_deref()
        ),
        (None, Some("8"))
    );
    end_next(&mut cloud, Ok(Output::default()));
    assert_eq!(cloud.phase(vm), "PENDING");
    cloud.deploy(vm).expect("placed");
    cloud.finish();
    assert_eq!(cloud.phase(vm), "RUNNING");
    // They are this VM's.
    let taken = cloud.vm(&format!(
        "NAME=w\nCPU=1\nMEMORY=64\nDISK=[IMAGE_ID={}]",
        images[0]
    ));
    assert!(taken.expect_err("taken").text.contains("in use by VM"));
    cloud.act(vm, Event::Terminate { hard: true }).expect("possible");
    cloud.finish();
    assert_eq!(
        (cloud.phase(vm), shown(&cloud, images[0])),
        ("DONE", ImageState::Ready)
    );
}

#[test]
fn names_follow_the_template_and_hold_comes_after_the_copy() {
    let mut cloud = Cloud::new();
    let id = template(&mut cloud, DISKS);
    let Command::TemplateInstantiate { extra, .. } = instantiate(id, "", "") else {
        unreachable!("as made")
    };
    let command = Command::TemplateInstantiate {
        id,
        name: String::new(),
        hold: true,
        extra,
        persistent: true,
    };
    let vm = admin(&mut cloud, command.clone()).expect("made");
    assert_eq!(cloud.world.vm(vm).expect("a VM").name, format!("tpl-copy-{vm}"));
    assert!(cloud.world.id_by_name(Kind::Template, 0, "tpl-copy").is_some());
    assert_eq!(cloud.phase(vm), "CLONING");
    cloud.finish();
    assert_eq!(cloud.phase(vm), "HOLD");
    // Names of templates are taken once.
    let before = cloud.world.clone();
    assert!(
        admin(&mut cloud, command)
            .expect_err("taken")
            .text
            .contains("already taken")
    );
    assert!(cloud.world == before);
}

#[test]
fn a_vm_learns_why_its_image_did_not_come_and_goes_on_when_it_did() {
    let mut cloud = Cloud::new();
    let id = template(&mut cloud, DISKS);
    let vm = admin(&mut cloud, instantiate(id, "kept", "")).expect("made");
    let images = copies(&cloud);
    end_next(&mut cloud, Err("no space left".into()));
    assert_eq!(cloud.phase(vm), "CLONING_FAILURE");
    let error = cloud
        .world
        .vm(vm)
        .expect("a VM")
        .user_template
        .get("ERROR")
        .expect("a reason")
        .to_owned();
    assert!(
        error.contains(&format!("Image {}", images[0])) && error.contains("no space left"),
        "{error}"
    );
    assert_eq!(shown(&cloud, images[0]), ImageState::Error);
    // The other one does not help.
    end_next(&mut cloud, Ok(Output::default()));
    assert_eq!(cloud.phase(vm), "CLONING_FAILURE");
    assert_eq!(
        (
            disk(&cloud, vm, 2, "CLONING"),
            disk(&cloud, vm, 0, "CLONING").as_deref()
        ),
        (None, Some("YES"))
    );
    // Nor does saying so, or asking again.
    for recover in [Recover::Success, Recover::Failure, Recover::DeleteRecreate] {
        admin(&mut cloud, Command::VmRecover { id: vm, recover }).expect("answered");
        assert_eq!(cloud.phase(vm), "CLONING_FAILURE");
    }
    let retry = Command::VmRecover {
        id: vm,
        recover: Recover::Retry,
    };
    assert_eq!(
        admin(&mut cloud, retry).expect_err("nothing to ask for").code,
        ErrorCode::Action
    );
    let delete = Command::Delete {
        kind: Kind::Image,
        id: images[0],
    };
    assert!(
        admin(&mut cloud, delete)
            .expect_err("waited for")
            .text
            .contains("VMs using it")
    );
    let before = cloud.world.clone();
    // Somebody puts the file there by hand.
    admin(
        &mut cloud,
        Command::ImageEnable {
            id: images[0],
            enable: true,
        },
    )
    .expect("possible");
    assert_eq!(cloud.phase(vm), "PENDING");
    assert_eq!(
        (disk(&cloud, vm, 0, "CLONING"), shown(&cloud, images[0])),
        (None, ImageState::UsedPers)
    );
    // Or the VM is ended: its images are nobody's.
    for way in [
        Ok(Event::Terminate { hard: false }),
        Err(Recover::Delete),
        Err(Recover::DeleteDb),
    ] {
        cloud.world = before.clone();
        match way {
            Ok(event) => cloud.act(vm, event).expect("possible"),
            Err(recover) => admin(&mut cloud, Command::VmRecover { id: vm, recover }).expect("possible"),
        };
        assert_eq!(cloud.phase(vm), "DONE");
        assert_eq!(
            (shown(&cloud, images[0]), shown(&cloud, images[1])),
            (ImageState::Error, ImageState::Ready)
        );
    }
}

#[test]
fn a_vm_that_is_ended_while_it_waits_leaves_the_images_to_be_made() {
    let mut cloud = Cloud::new();
    let id = template(&mut cloud, DISKS);
    let vm = admin(&mut cloud, instantiate(id, "kept", "")).expect("made");
    cloud.act(vm, Event::Terminate { hard: false }).expect("possible");
    assert_eq!(cloud.phase(vm), "DONE");
    for image in copies(&cloud) {
        assert_eq!(shown(&cloud, image), ImageState::Locked);
    }
    cloud.finish();
    for image in copies(&cloud) {
        assert_eq!(shown(&cloud, image), ImageState::Ready);
    }
}

#[test]
fn any_new_vm_waits_for_images_and_learns_their_sizes() {
    let mut cloud = Cloud::new();
    let image = cloud.made("NAME=new\nPATH=/y", |template| Command::ImageAllocate {
        template,
        datastore: 101,
        spec: ImageSpec { size_mib: None },
    });
    let text = format!("NAME=w\nCPU=1\nMEMORY=64\nDISK=[IMAGE_ID={image}]");
    let one = cloud.vm(&text).expect("made");
    let other = cloud.vm(&text).expect("made: nobody writes to it");
    assert_eq!(
        (cloud.phase(one), cloud.phase(other), shown(&cloud, image)),
        ("CLONING", "CLONING", ImageState::LockedUsed)
    );
    assert_eq!(disk(&cloud, one, 0, "IMAGE_STATE").as_deref(), Some("9"));
    // A VM that is there does not wait.
    let up = cloud.vm("NAME=up\nCPU=1\nMEMORY=64").expect("made");
    cloud.deploy(up).expect("placed");
    while let Some(key) = cloud
        .world
        .outbox
        .keys()
        .find(|key| key.kind == Kind::Vm)
        .copied()
    {
        cloud.end(key, Ok(Output::default()));
    }
    let given = Template::parse(&format!("DISK=[IMAGE_ID={image}]")).expect("a template");
    let attach = Command::VmDevice {
        id: up,
        command: VmDeviceCommand::DiskAttach(given),
    };
    assert!(
        admin(&mut cloud, attach)
            .expect_err("not ready")
            .text
            .contains("not ready")
    );
    end_next(
        &mut cloud,
        Ok(Output {
            size_mib: Some(77),
            format: Some("qcow2".into()),
            ..Output::default()
        }),
    );
    for vm in [one, other] {
        assert_eq!(cloud.phase(vm), "PENDING");
        let said = ["SIZE", "ORIGINAL_SIZE", "FORMAT", "DRIVER", "IMAGE_STATE"]
            .map(|key| disk(&cloud, vm, 0, key).unwrap_or_default());
        assert_eq!(said, ["77", "77", "qcow2", "qcow2", "2"]);
        assert_eq!(cloud.world.vm(vm).expect("a VM").demand.disks[0].size_mib, 77);
    }
}

#[test]
fn a_copy_needs_the_rights_to_make_it_and_is_made_whole_or_not_at_all() {
    let mut cloud = Cloud::new();
    let id = template(&mut cloud, DISKS);
    let user = Command::UserAllocate {
        name: "ann".into(),
        password: "x".into(),
        driver: "core".into(),
        groups: vec![1],
    };
    let uid = admin(&mut cloud, user).expect("made");
    let ann = Caller {
        uid,
        gid: 1,
        groups: vec![1],
        token: None,
    };
    let refused = |cloud: &mut Cloud| {
        let before = cloud.world.clone();
        let error = cloud
            .give(&ann, instantiate(id, "hers", ""))
            .expect_err("not hers");
        assert!(cloud.world == before);
        error.text
    };
    let share = |cloud: &mut Cloud, kind, id| {
        let bits = [-1, -1, -1, -1, -1, -1, 1, -1, -1];
        admin(cloud, Command::Chmod { kind, id, bits }).expect("shared");
    };
    assert!(refused(&mut cloud).contains("USE TEMPLATE"));
    share(&mut cloud, Kind::Template, id);
    // Disk 0 names an image by its owner's name, which is not hers.
    assert!(refused(&mut cloud).contains("disk 0"));
    let id_of_hers = template(&mut cloud, "NAME=by-id\nCPU=1\nMEMORY=64\nDISK=[IMAGE_ID=0]");
    share(&mut cloud, Kind::Template, id_of_hers);
    let hers = |cloud: &mut Cloud| cloud.give(&ann, instantiate(id_of_hers, "hers", ""));
    assert!(hers(&mut cloud).expect_err("not hers").text.contains("USE IMAGE"));
    share(&mut cloud, Kind::Image, 0);
    // Of another VM's router no VM alone is made, whatever is merged.
    let router = cloud.give(&ann, instantiate(id_of_hers, "hers", "VROUTER=YES"));
    assert!(router.expect_err("a router's").text.contains("Virtual router"));
    let vm = hers(&mut cloud).expect("made");
    let image = copies(&cloud)[0];
    let world = &cloud.world;
    let owners = [
        world.vm(vm).expect("a VM").owned.uid,
        world.image(image).expect("an image").owned.uid,
        world
            .template(world.id_by_name(Kind::Template, uid, "hers").expect("hers"))
            .expect("hers")
            .owned
            .uid,
    ];
    assert_eq!(owners, [uid; 3]);
}

fn usage(cloud: &Cloud, uid: Id) -> impl PartialEq + std::fmt::Debug + use<> {
    let measurements = Measurements::default();
    Snapshot {
        world: &cloud.world,
        measurements: &measurements,
    }
    .user_usage(uid)
}

#[test]
fn quotas_count_the_copies_and_a_limit_lets_nothing_through() {
    let mut cloud = Cloud::new();
    for (kind, id) in [(Kind::Image, 0), (Kind::Datastore, 101)] {
        let bits = [-1, -1, -1, -1, -1, -1, 1, -1, -1];
        admin(&mut cloud, Command::Chmod { kind, id, bits }).expect("shared");
    }
    let id = template(
        &mut cloud,
        "NAME=tpl\nCPU=1\nMEMORY=64\nDISK=[IMAGE_ID=0]\nDISK=[IMAGE_ID=0]\nDISK=[TYPE=fs,SIZE=7]",
    );
    let bits = [-1, -1, -1, -1, -1, -1, 1, -1, -1];
    admin(
        &mut cloud,
        Command::Chmod {
            kind: Kind::Template,
            id,
            bits,
        },
    )
    .expect("shared");
    let command = Command::UserAllocate {
        name: "ann".into(),
        password: "x".into(),
        driver: "core".into(),
        groups: vec![1],
    };
    let uid = admin(&mut cloud, command).expect("made");
    let ann = Caller {
        uid,
        gid: 1,
        groups: vec![1],
        token: None,
    };
    let nothing = usage(&cloud, uid);
    for limits in [
        "DATASTORE=[ID=101,IMAGES=1]",
        "DATASTORE=[ID=101,SIZE=19]",
        "VM=[SYSTEM_DISK_SIZE=6]",
        "VM=[RUNNING_VMS=0]",
    ] {
        let before = cloud.world.clone();
        let template = Template::parse(limits).expect("a template");
        let set = Command::Quota(QuotaCommand::Set {
            kind: Kind::User,
            id: uid,
            template,
        });
        admin(&mut cloud, set).expect("set");
        let limited = cloud.world.clone();
        let refused = cloud
            .give(&ann, instantiate(id, "hers", ""))
            .expect_err("beyond the limit");
        assert_eq!(
            refused.code,
            ErrorCode::Authorization,
            "{limits}: {}",
            refused.text
        );
        assert!(cloud.world == limited, "{limits}");
        cloud.world = before;
    }
    let vm = cloud.give(&ann, instantiate(id, "hers", "")).expect("made");
    let waiting = usage(&cloud, uid);
    assert_ne!(waiting, nothing);
    cloud.finish();
    // That it is placed now makes no difference: it counted as running from the first.
    assert_eq!(usage(&cloud, uid), waiting);
    cloud.act(vm, Event::Terminate { hard: true }).expect("possible");
    for image in copies(&cloud) {
        admin(
            &mut cloud,
            Command::Delete {
                kind: Kind::Image,
                id: image,
            },
        )
        .expect("unused");
    }
    cloud.finish();
    assert_eq!(usage(&cloud, uid), nothing);
}

#[test]
fn what_is_persistent_by_default_says_the_user_then_the_group_then_the_configuration() {
    let mut cloud = Cloud::new();
    let mut number = 0;
    let update = |cloud: &mut Cloud, kind: Kind, text: &str| {
        let command = Command::Update {
            kind,
            id: 0,
            template: Template::parse(text).expect("a template"),
            append: false,
        };
        admin(cloud, command).expect("updated");
    };
    let mut made = |cloud: &mut Cloud| {
        number += 1;
        let copy = Command::ImageClone {
            id: 0,
            name: format!("copy-{number}"),
            datastore: -1,
        };
        let copy = admin(cloud, copy).expect("copied");
        let mut new = |more: &str| {
            let text = format!("NAME=\"new-{number}{more}\"\nPATH=/y\n{more}");
            cloud.made(&text, |template| Command::ImageAllocate {
                template,
                datastore: 101,
                spec: ImageSpec { size_mib: Some(1) },
            })
        };
        let ids = [copy, new(""), new("PERSISTENT=NO"), new("PERSISTENT=YES")];
        cloud.finish();
        ids.map(|id| cloud.world.image(id).expect("there").persistent)
    };
    assert_eq!(made(&mut cloud), [false, false, false, true]);
    update(&mut cloud, Kind::Group, "DEFAULT_IMAGE_PERSISTENT=YES");
    assert_eq!(made(&mut cloud), [true, false, false, true]);
    update(&mut cloud, Kind::Group, "DEFAULT_IMAGE_PERSISTENT_NEW=yes");
    assert_eq!(made(&mut cloud), [false, true, false, true]);
    update(
        &mut cloud,
        Kind::User,
        "DEFAULT_IMAGE_PERSISTENT_NEW=NO\nDEFAULT_IMAGE_PERSISTENT=YES",
    );
    assert_eq!(made(&mut cloud), [true, false, false, true]);
    // A persistent image's copy is so, unless the default says otherwise; and files never are.
    admin(
        &mut cloud,
        Command::ImagePersistent {
            id: 0,
            persistent: true,
        },
    )
    .expect("unused");
    update(&mut cloud, Kind::User, "NOTE=x");
    assert!(made(&mut cloud)[0]);
    update(
        &mut cloud,
        Kind::User,
        "DEFAULT_IMAGE_PERSISTENT=NO\nDEFAULT_IMAGE_PERSISTENT_NEW=YES",
    );
    assert_eq!(made(&mut cloud), [false, true, false, true]);
    let file = cloud.made("NAME=file\nTYPE=CONTEXT\nPATH=/z", |template| {
        Command::ImageAllocate {
            template,
            datastore: 2,
            spec: ImageSpec { size_mib: Some(1) },
        }
    });
    assert!(!cloud.world.image(file).expect("there").persistent);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever becomes of the images, and in whatever order: the VM waits while one is being made and none has failed.
    #[test]
    fn a_vm_waits_just_as_long_as_it_must(ends in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 4)) {
        let mut cloud = Cloud::new();
        let id = template(&mut cloud, "NAME=tpl\nCPU=1\nMEMORY=64\nDISK=[IMAGE_ID=0]\nDISK=[IMAGE_ID=0]\nDISK=[IMAGE_ID=0]\nDISK=[IMAGE_ID=0]");
        let vm = admin(&mut cloud, instantiate(id, "kept", "")).expect("made");
        let mut failed = false;
        for (at, good) in ends {
            prop_assert_eq!(cloud.phase(vm), if failed { "CLONING_FAILURE" } else { "CLONING" });
            let keys = image_intents(&cloud);
            let key = *at.get(&keys);
            failed |= !good;
            cloud.end(key, if good { Ok(Output::default()) } else { Err("x".into()) });
            cloud.world.check().map_err(TestCaseError::fail)?;
        }
        prop_assert_eq!(cloud.phase(vm), if failed { "CLONING_FAILURE" } else { "PENDING" });
        for image in copies(&cloud) {
            if cloud.world.image(image).expect("there").state == ImageState::Error {
                admin(&mut cloud, Command::ImageEnable { id: image, enable: true }).expect("possible");
            }
        }
        prop_assert_eq!(cloud.phase(vm), "PENDING");
    }
}

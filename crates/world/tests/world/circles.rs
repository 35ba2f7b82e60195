//! Objects that name themselves or each other: refused, or without an end that could be reached.

use plerion_model::{Id, Kind};
use plerion_template::Template;
use plerion_world::{
    BackupJobCommand, Caller, Command, VdcCommand, VmDeviceCommand, VmGroupCommand, VnetCommand,
};

use crate::cloud::stage::{Stage, give, refuses, t, update, vm};
use crate::cloud::{Cloud, VM};

fn reserve(id: Id, text: &str) -> Command {
    Command::Vnet(VnetCommand::Reserve {
        id,
        template: t(&format!("{text}\nSIZE=1")),
    })
}

fn delete(kind: Kind, id: Id) -> Command {
    Command::Delete { kind, id }
}

#[test]
fn reservations_of_reservations_have_one_way_up() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let range = t("AR=[TYPE=ETHER,SIZE=100]");
    give(
        s,
        Command::VnetAddRange {
            id: 0,
            template: range,
        },
    );
    let first = give(s, reserve(0, "NAME=first\nAR_ID=1"));
    for _ in 0..8 {
        give(s, reserve(0, &format!("NETWORK_ID={first}\nAR_ID=1")));
    }
    let second = give(s, reserve(first, "NAME=second"));
    let third = give(s, reserve(second, "NAME=third"));
    for id in [first, second, third] {
        refuses(
            s,
            "is no reservation of network",
            reserve(id, &format!("NETWORK_ID={id}")),
        );
        refuses(s, "is no reservation of network", reserve(id, "NETWORK_ID=0"));
    }
    refuses(
        s,
        "is no reservation of network",
        reserve(third, &format!("NETWORK_ID={first}")),
    );
    refuses(s, "is no reservation of network", reserve(0, "NETWORK_ID=0"));
    let parents =
        |s: &Stage| [first, second, third].map(|id| s.cloud.world.vnet(id).ok().and_then(|vnet| vnet.parent));
    assert_eq!(parents(s), [Some(0), Some(first), Some(second)]);
    // What was reserved is in use until it is given back.
    for id in [0, first, second] {
        refuses(s, "with leases in use", delete(Kind::Vnet, id));
    }
    let force = |id| Command::VnetRemoveRange {
        id,
        range: 0,
        force: true,
    };
    give(s, force(first));
    s.cloud.world.check().expect("derived state holds");
    for id in [third, second, first] {
        give(s, delete(Kind::Vnet, id));
    }
    s.cloud.world.check().expect("derived state holds");
}

#[test]
fn roles_that_share_a_host_over_others_do_not_keep_apart() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let roles = "ROLE=[NAME=a]\nROLE=[NAME=b]\nROLE=[NAME=c]\nROLE=[NAME=d]\nROLE=[NAME=e]";
    let group = |rules: &str| {
        Command::VmGroup(VmGroupCommand::Allocate {
            template: t(&format!("NAME=ring\n{roles}\n{rules}")),
        })
    };
    for rules in [
        "AFFINED=\"a,b\"\nANTI_AFFINED=\"b,a\"",
        "AFFINED=\"a,b\"\nAFFINED=\"b,c\"\nANTI_AFFINED=\"a,c\"",
        "AFFINED=\"a,b\"\nAFFINED=\"c,d\"\nAFFINED=\"d,b\"\nANTI_AFFINED=\"e,a,c\"",
    ] {
        refuses(s, "they cannot share a host and keep apart", group(rules));
    }
    let id = give(
        s,
        group("AFFINED=\"a,b\"\nAFFINED=\"b,c,a\"\nANTI_AFFINED=\"a,d\"\nANTI_AFFINED=\"d,e\""),
    );
    refuses(
        s,
        "they cannot share a host and keep apart",
        update(Kind::VmGroup, id, "AFFINED=\"a,c\"\nAFFINED=\"c,d\""),
    );
    refuses(
        s,
        "fewer than two roles",
        update(Kind::VmGroup, id, "AFFINED=\"a,a\""),
    );
}

#[test]
fn members_of_members() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let (uid, group) = (s.owner.uid, give(s, Command::GroupAllocate { name: "g".into() }));
    let member = |id, gid, add| Command::UserGroup { id, gid, add };
    refuses(s, "User is already in group 1", member(uid, 1, true));
    give(s, member(uid, group, true));
    refuses(s, "User is already in group", member(uid, group, true));
    // Each administers the group that the other one is in.
    let other = s.mighty.uid;
    let admin = |id, uid, add| Command::GroupAdmin { id, uid, add };
    give(s, Command::UserChgrp { id: uid, gid: group });
    give(s, member(other, group, true));
    give(s, member(uid, 1, true));
    give(s, admin(1, uid, true));
    give(s, admin(group, other, true));
    refuses(s, "already an administrator", admin(group, other, true));
    let vdc = s.vdc;
    let named = |add| Command::Vdc(VdcCommand::Group { id: vdc, group, add });
    give(s, named(true));
    refuses(s, "", named(true));
    s.cloud.world.check().expect("derived state holds");
    refuses(s, "", delete(Kind::Group, group));
    give(s, delete(Kind::User, uid));
    give(s, delete(Kind::User, other));
    assert!(s.cloud.world.group(1).expect("there").admins.is_empty());
    give(s, named(false));
    give(s, delete(Kind::Group, group));
    s.cloud.world.check().expect("derived state holds");
}

#[test]
fn aliases_have_a_nic_for_a_parent() {
    let mut cloud = Cloud::new();
    for alias in [
        "NIC_ALIAS=[NETWORK_ID=0,NAME=x,PARENT=x]",
        "NIC_ALIAS=[NETWORK_ID=0,NAME=x,PARENT=y]\nNIC_ALIAS=[NETWORK_ID=0,NAME=y,PARENT=x]",
        "NIC_ALIAS=[NETWORK_ID=0,NAME=x,PARENT=NIC0]\nNIC_ALIAS=[NETWORK_ID=0,NAME=y,PARENT=x]",
    ] {
        let refused = cloud.vm(&format!("{VM}\n{alias}")).expect_err(alias).text;
        assert!(refused.contains("which is the NAME of no NIC"), "{refused}");
    }
    let alias = "NIC_ALIAS=[NETWORK_ID=0,NAME=x,PARENT=NIC0]";
    let id = cloud.placed(&format!("{VM}\n{alias}")).expect("placed");
    for parent in ["x", "y"] {
        let text = format!("NIC_ALIAS=[NETWORK_ID=0,NAME=y,PARENT={parent}]");
        let command = VmDeviceCommand::NicAttach(t(&text));
        cloud
            .give(&Caller::system(), Command::VmDevice { id, command })
            .expect_err("no NIC");
    }
}

#[test]
fn variables_are_replaced_once() {
    let mut cloud = Cloud::new();
    cloud.made("KEY=\"$USER[KEY]\"\nA=\"$USER[B]\"\nB=\"$USER[A]\"", |template| {
        Command::Update {
            kind: Kind::User,
            id: 0,
            template,
            append: true,
        }
    });
    let text = "CPU=1\nMEMORY=64\nNAME=\"$NAME\"\nX=\"$Y\"\nY=\"$X\"\n\
                CONTEXT=[N=\"$NAME$NAME\",K=\"$USER[KEY]\",A=\"$USER[A]\",X=\"$X\",Y=\"$Y\",C=\"$CONTEXT[C]\"]";
    let id = cloud.vm(text).expect("a VM");
    let vm = cloud.world.vm(id).expect("there");
    let shown = ["N", "K", "A", "X", "Y"].map(|name| vm.template.pair("CONTEXT", name).unwrap_or("-"));
    assert_eq!(shown, ["$NAME$NAME", "$USER[KEY]", "$USER[B]", "$Y", "$X"]);
}

#[test]
fn an_image_that_keeps_what_is_written_is_one_disk_of_one_vm() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let disk = format!("DISK=[IMAGE_ID={}]\n", s.image);
    refuses(s, "is persistent", vm(&disk.repeat(2)));
    let id = s
        .cloud
        .placed(&format!("CPU=1\nMEMORY=64\n{disk}"))
        .expect("placed");
    let command = VmDeviceCommand::DiskAttach(t(&disk));
    refuses(s, "in use by VM", Command::VmDevice { id, command });
    let save = VmDeviceCommand::DiskSaveAs {
        disk: 0,
        name: "kept".into(),
        kind: String::new(),
        snapshot: -1,
    };
    refuses(s, "already taken", Command::VmDevice { id, command: save });
}

#[test]
fn copies_of_copies() {
    let mut cloud = Cloud::new();
    let clone = |id, name: &str| Command::ImageClone {
        id,
        name: name.into(),
        datastore: -1,
    };
    let first = cloud.give(&Caller::system(), clone(0, "first")).expect("begun");
    let refused = cloud
        .give(&Caller::system(), clone(first, "second"))
        .expect_err("it is not there yet");
    assert!(refused.text.contains("in state LOCKED"), "{}", refused.text);
    cloud
        .give(&Caller::system(), delete(Kind::Image, 0))
        .expect_err("it is being copied");
    cloud.finish();
    cloud
        .give(&Caller::system(), clone(first, "second"))
        .expect("begun");
    cloud
        .give(&Caller::system(), delete(Kind::Image, first))
        .expect_err("it is being copied");
    cloud.finish();
    cloud.world.check().expect("derived state holds");
}

#[test]
fn a_backup_job_takes_a_vm_once() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let job = |name: &str, vms: &str| {
        Command::BackupJob(BackupJobCommand::Allocate {
            template: Template::parse(&format!("NAME={name}\nDATASTORE_ID=102\nBACKUP_VMS=\"{vms}\""))
                .expect("a template"),
        })
    };
    let id = s
        .cloud
        .placed("CPU=1\nMEMORY=64\nDISK=[IMAGE_ID=0]")
        .expect("placed");
    let job = give(s, job("twice", &format!("{id},{id}")));
    give(s, Command::BackupJob(BackupJobCommand::Backup { id: job }));
    let job = s.cloud.world.backupjobs.get(job).expect("there");
    assert_eq!(job.progress.keys().collect::<Vec<_>>(), [&id]);
    assert_eq!(s.cloud.world.outbox.len(), 1);
}

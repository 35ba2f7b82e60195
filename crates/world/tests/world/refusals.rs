//! What is refused whoever asks, by what the refusal says: images, datastores, hosts, accounts, hooks.

use plerion_model::{Id, Kind};
use plerion_world::{Command, GuestCommand, HookCommand, HostStatus, ImageSpec, MarketCommand, SchedCommand};

use crate::cloud::stage::{Stage, give, refuses, refuses_to, t, update, vm};

fn image(text: &str, datastore: Id) -> Command {
    Command::ImageAllocate {
        template: t(text),
        datastore,
        spec: ImageSpec { size_mib: Some(10) },
    }
}

fn bare(text: &str) -> Command {
    Command::ImageAllocate {
        template: t(text),
        datastore: 101,
        spec: ImageSpec { size_mib: None },
    }
}

fn datastore(text: &str) -> Command {
    Command::DatastoreAllocate {
        template: t(text),
        cluster: -1,
    }
}

fn clone(id: Id, name: &str, datastore: Id) -> Command {
    Command::ImageClone {
        id,
        name: name.into(),
        datastore,
    }
}

fn chtype(id: Id, kind: &str) -> Command {
    Command::ImageChtype {
        id,
        kind: kind.into(),
    }
}

#[test]
fn images_in_use() {
    let mut stage = Stage::new();
    let s = &mut stage;
    refuses(
        s,
        "is in use by VM",
        Command::ImageEnable { id: 0, enable: false },
    );
    refuses(
        s,
        "is in use by VM",
        Command::ImagePersistent {
            id: 0,
            persistent: true,
        },
    );
    refuses(s, "is in use by VM", chtype(0, "DATABLOCK"));
}

#[test]
fn images_that_cannot_be() {
    let mut stage = Stage::new();
    let s = &mut stage;
    refuses(
        s,
        "cannot be persistent",
        image("NAME=k\nTYPE=KERNEL\nPATH=/x\nPERSISTENT=YES", 2),
    );
    refuses(s, "needs a PATH", bare("NAME=k\nTYPE=CDROM\nSIZE=1"));
    let kernel = give(s, image("NAME=k\nTYPE=KERNEL\nPATH=/x", 2));
    s.cloud.finish();
    let persistent = Command::ImagePersistent {
        id: kernel,
        persistent: true,
    };
    refuses(s, "cannot be persistent", persistent);
    refuses(
        s,
        "is of type KERNEL and cannot be a disk",
        vm(&format!("DISK=[IMAGE_ID={kernel}]")),
    );
    refuses(s, "of type", vm("OS=[KERNEL_DS=\"$FILE[IMAGE_ID=1]\"]"));
    let off = Command::ImageEnable {
        id: kernel,
        enable: false,
    };
    give(s, off);
    refuses(
        s,
        "cannot be used: it is in state",
        vm(&format!("OS=[KERNEL_DS=\"$FILE[IMAGE_ID={kernel}]\"]")),
    );
    give(
        s,
        Command::ImageEnable {
            id: s.image,
            enable: false,
        },
    );
    refuses(
        s,
        "cannot be used: it is in state",
        vm(&format!("DISK=[IMAGE_ID={}]", s.image)),
    );
    let (template, market) = (t("NAME=n\nTYPE=IMAGE\nORIGIN_ID=1"), s.market);
    refuses(
        s,
        "it has to be READY",
        Command::Market(MarketCommand::AppAllocate { template, market }),
    );
}

#[test]
fn images_that_cannot_be_copied() {
    let mut stage = Stage::new();
    let s = &mut stage;
    refuses(s, "needs a datastore of type", clone(1, "n", 100));
    let other = give(s, datastore("NAME=other\nDS_MAD=other\nTM_MAD=dummy"));
    refuses(s, "different drivers", clone(1, "n", other));
    let source = give(s, image("NAME=source\nPATH=/x", 101));
    refuses(s, "and in state LOCKED", clone(source, "n", -1));
    s.cloud.finish();
    give(s, clone(source, "copy", -1));
    let delete = Command::Delete {
        kind: Kind::Image,
        id: source,
    };
    refuses(s, "It is being cloned", delete);
}

#[test]
fn files_of_the_context() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let mut file = |name: &str| give(s, image(&format!("NAME={name}\nTYPE=CONTEXT\nPATH=/x"), 2));
    let (one, hidden) = (file("file"), file("\".\""));
    let files = |ids: &[Id]| {
        let words: Vec<String> = ids.iter().map(|id| format!("$FILE[IMAGE_ID={id}]")).collect();
        vm(&format!("CONTEXT=[FILES_DS=\"{}\"]", words.join(" ")))
    };
    s.cloud.finish();
    let owned = Command::Chown {
        kind: Kind::Image,
        id: one,
        uid: s.owner.uid,
        gid: -1,
    };
    give(s, owned);
    let two = give(s, image("NAME=file\nTYPE=CONTEXT\nPATH=/x", 2));
    s.cloud.finish();
    refuses(s, "names two images with the name", files(&[one, two]));
    refuses(s, "rename it", files(&[hidden]));
}

#[test]
fn datastores_and_hosts() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let host = |im: &str, vm: &str| Command::HostAllocate {
        name: "n".into(),
        im_mad: im.into(),
        vm_mad: vm.into(),
        cluster: -1,
    };
    refuses(s, "No TM_MAD", datastore("NAME=n\nDS_MAD=dummy"));
    refuses(s, "No DS_MAD", datastore("NAME=n\nTM_MAD=dummy"));
    refuses(
        s,
        "is no name of a driver",
        datastore("NAME=n\nDS_MAD=dummy\nTM_MAD=\"a/b\""),
    );
    refuses(
        s,
        "is no name of a driver",
        update(Kind::Datastore, 100, "TM_MAD=\"../x\""),
    );
    refuses(
        s,
        "that holds images cannot be changed",
        update(Kind::Datastore, 101, "TM_MAD=ssh"),
    );
    refuses(
        s,
        "has its files on it",
        Command::Delete {
            kind: Kind::Datastore,
            id: 100,
        },
    );
    refuses(s, "cannot be empty", host("", "kvm"));
    refuses(s, "cannot be empty", host("kvm", ""));
    refuses(s, "is no name of a driver", host("kvm", "a/b"));
}

#[test]
fn where_vms_cannot_be_placed() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let id = give(s, vm("NAME=n"));
    let deploy = |datastore| Command::VmDeploy {
        id,
        host: 0,
        enforce: true,
        datastore,
    };
    refuses(s, "not of", deploy(101));
    give(
        s,
        Command::DatastoreEnable {
            id: 100,
            enable: false,
        },
    );
    refuses(s, "datastore 100 is disabled", deploy(100));
    give(
        s,
        Command::DatastoreEnable {
            id: 100,
            enable: true,
        },
    );
    give(
        s,
        Command::HostSetStatus {
            id: 0,
            status: HostStatus::Offline,
        },
    );
    refuses(s, "is offline", deploy(100));
}

#[test]
fn names() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let rename = Command::Rename {
        kind: Kind::Image,
        id: 1,
        name: "disk".into(),
    };
    refuses(s, "NAME is already taken by IMAGE 0", rename);
    let owner = s.owner.uid;
    let chown = |id| Command::Chown {
        kind: Kind::Image,
        id,
        uid: owner,
        gid: -1,
    };
    give(s, chown(0));
    let second = give(s, image("NAME=disk\nPATH=/x", 101));
    refuses(s, "same NAME already: IMAGE 0", chown(second));
    refuses(s, "it is longer than", vm(&format!("NAME={}", "n".repeat(200))));
}

#[test]
fn permissions_and_locks() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let chmod = |bits| Command::Chmod {
        kind: Kind::Vm,
        id: 0,
        bits,
    };
    refuses(s, "Wrong permission bits", chmod([2, 1, 1, 1, 1, 1, 1, 1, 1]));
    refuses(
        s,
        "is not deleted this way",
        Command::Delete {
            kind: Kind::Vm,
            id: 0,
        },
    );
    let (owner, mighty) = (s.owner.clone(), s.mighty.clone());
    let lock = |level| Command::Lock {
        kind: Kind::Vm,
        id: 0,
        level,
        test: true,
    };
    s.cloud.give(&mighty, lock(1)).expect("locked");
    refuses_to(s, &owner, "locked by somebody else", lock(0));
    refuses(s, "is locked already", lock(1));
    refuses(
        s,
        "VM is locked",
        Command::VmExec {
            id: 0,
            command: GuestCommand::Run {
                command: "id".into(),
                stdin: String::new(),
            },
        },
    );
    refuses(
        s,
        "Not authorized to perform MANAGE VM [0]",
        update(Kind::Vm, 0, "A=1"),
    );
    s.cloud.give(&mighty, lock(0)).expect("unlocked");
    let conf = t("ENABLE_OTHER_PERMISSIONS=NO");
    s.cloud.world.config = std::sync::Arc::new(plerion_world::Config::new(conf, "/var/lib/one/datastores"));
    let others = chmod([-1, -1, -1, -1, -1, -1, 1, -1, -1]);
    refuses_to(s, &owner, "ENABLE_OTHER_PERMISSIONS", others.clone());
    give(s, others);
}

#[test]
fn accounts() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let uid = s.owner.uid;
    let chauth = |id, driver: &str| Command::UserChauth {
        id,
        driver: driver.into(),
        password: String::new(),
    };
    let allocate = |driver: &str| Command::UserAllocate {
        name: "n".into(),
        password: "p".into(),
        driver: driver.into(),
        groups: Vec::new(),
    };
    refuses(
        s,
        "is not an administrator of",
        Command::GroupAdmin {
            id: 1,
            uid,
            add: false,
        },
    );
    refuses(s, "is no name of a driver", allocate("a/b"));
    refuses(s, "is no name of a driver", chauth(uid, "a/b"));
    refuses(s, "of oneadmin cannot be changed", chauth(0, "ldap"));
    refuses(
        s,
        "primary group of oneadmin cannot be changed",
        Command::UserChgrp { id: 0, gid: 1 },
    );
    let login = |hash: usize| Command::UserLogin {
        name: "owner".into(),
        hash: format!("h{hash}"),
        valid: 1000,
        egid: -1,
        named: true,
    };
    let refusal = (0..1000).find_map(|hash| s.cloud.give(&s.owner.clone(), login(hash)).err());
    assert!(refusal.expect("a bound").text.contains("tokens already"));
}

#[test]
fn hooks_markets_and_rules() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let hook = |text: &str| Command::Hook(HookCommand::Allocate { template: t(text) });
    refuses(s, "No NAME", hook("TYPE=api\nCALL=one.vm.info\nCOMMAND=x"));
    refuses(s, "No CALL", hook("NAME=n\nTYPE=api\nCOMMAND=x"));
    let custom = "NAME=n\nTYPE=state\nRESOURCE=VM\nON=CUSTOM\nCOMMAND=x\nLCM_STATE=LCM_INIT\nSTATE=NONE";
    refuses(s, "Invalid STATE", hook(custom));
    let empty = Command::Update {
        kind: Kind::Hook,
        id: s.hook,
        template: t("CALL=\"\""),
        append: true,
    };
    refuses(s, "No CALL", empty);
    refuses(
        s,
        "cannot be changed",
        update(
            Kind::Marketplace,
            s.market,
            "MARKET_MAD=http\nBASE_URL=x\nPUBLIC_DIR=x",
        ),
    );
    let group = |rule: &str| Command::SecgroupAllocate {
        template: t(&format!("NAME=n\nRULE=[PROTOCOL=TCP,{rule}]")),
    };
    refuses(s, "Wrong RULE_TYPE", group("RULE_TYPE=x"));
    refuses(s, "Wrong RANGE", group("RULE_TYPE=INBOUND,RANGE=x"));
    for (name, wrong) in [
        ("IP", "10.0.0"),
        ("SIZE", "0"),
        ("SIZE", "-1"),
        ("SIZE", "4294967296"),
        ("NETWORK_ID", "-1"),
        ("ICMP_TYPE", "256"),
        ("ICMPV6_TYPE", "x"),
    ] {
        let rule = format!("RULE_TYPE=INBOUND,{name}=\"{wrong}\"");
        refuses(s, &format!("Wrong {name} \"{wrong}\""), group(&rule));
    }
    let good = "RULE_TYPE=INBOUND,IP=\"10.0.0.1\",SIZE=256,NETWORK_ID=0,ICMP_TYPE=0,ICMPV6_TYPE=\"\"";
    give(s, group(good));
}

#[test]
fn scheduled_actions() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let (kind, id, action) = (Kind::Vm, s.vm, s.action);
    let add = |text: &str| {
        Command::Sched(SchedCommand::Add {
            kind,
            id,
            template: t(text),
        })
    };
    let wrong = t("SCHED_ACTION=[TIME=99,WARNING=x]");
    refuses(
        s,
        "WARNING",
        Command::Sched(SchedCommand::Update {
            kind,
            id,
            action,
            template: wrong,
        }),
    );
    refuses(
        s,
        "ARGS is longer",
        add(&format!(
            "SCHED_ACTION=[ACTION=hold,TIME=9,ARGS={}]",
            "x".repeat(70_000)
        )),
    );
    let one = "SCHED_ACTION=[ACTION=hold,TIME=99999999]";
    let refusal = (0..10_000).find_map(|_| s.cloud.give(&plerion_world::Caller::system(), add(one)).err());
    assert!(
        refusal
            .expect("a bound")
            .text
            .contains("scheduled actions already")
    );
}

/// Another check would refuse these, too, for a reason that helps less.
#[test]
fn what_is_said_first() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let delete = |kind| Command::Delete { kind, id: 0 };
    refuses(s, "System Clusters", delete(Kind::Cluster));
    refuses(s, "The default security group", delete(Kind::SecurityGroup));
    refuses(s, "neither fs nor swap", vm("DISK=[TYPE=x]"));
    refuses(s, "CONTEXT/FILES is not supported", vm("CONTEXT=[FILES=x]"));
    let template = t("NAME=n");
    let market = Command::Market(MarketCommand::Allocate { template });
    refuses(s, "No MARKET_MAD", market);
    let range = "AR=[TYPE=IP4,IP=10.1.0.1,SIZE=4]\n".repeat(2);
    let vnet = Command::VnetAllocate {
        template: t(&format!("NAME=n\nVN_MAD=dummy\nBRIDGE=b\n{range}")),
        cluster: -1,
    };
    refuses(s, "overlaps range", vnet);
}

//! What is refused for the state of an object, and where there is as much of something as there may be.

use plerion_lifecycle::Event;
use plerion_model::image::{ImageState, Increment};
use plerion_model::snapshot::{Orphans, SnapshotTree};
use plerion_model::vm_backup::BackupMode;
use plerion_model::vnet::VnetState;
use plerion_model::{Id, Kind};
use plerion_world::{
    Caller, Command, DocumentCommand, MarketCommand, Member, Migration, Output, VmBackupCommand,
    VmDeviceCommand, VmGroupCommand, VnetCommand, VnetRecover, datastores_fit, strangers_differ,
};

use crate::cloud::stage::{Stage, give, refuses, t, vm};
use crate::cloud::{Cloud, VM};

fn device(id: Id, command: VmDeviceCommand) -> Command {
    Command::VmDevice { id, command }
}

fn range_set(id: Id, text: &str) -> Command {
    Command::Vnet(VnetCommand::RangeUpdate {
        id,
        template: t(&format!("AR=[AR_ID=0,{text}]")),
    })
}

fn reserve(text: &str) -> Command {
    Command::Vnet(VnetCommand::Reserve {
        id: 0,
        template: t(&format!("NAME=r\nSIZE=1\n{text}")),
    })
}

/// A tree of so many snapshots.
fn tree(count: usize) -> SnapshotTree {
    let mut tree = SnapshotTree::new(Orphans::No);
    for _ in 0..count {
        tree.add("s", 1, 10);
    }
    tree
}

/// A stage whose VM is in no backup job.
fn without_job() -> Stage {
    let mut stage = Stage::new();
    let (kind, id) = (Kind::BackupJob, stage.job);
    give(&mut stage, Command::Delete { kind, id });
    stage
}

/// A VM is backed up by hosts that say so.
fn backed_up(s: &mut Stage) -> Id {
    let make = VmBackupCommand::Make {
        datastore: s.backups,
        reset: false,
    };
    give(
        s,
        Command::VmBackup {
            id: s.vm,
            command: make,
        },
    );
    let key = *s.cloud.world.outbox.keys().next().expect("asked for");
    let output = Output {
        source: Some("backup".into()),
        size_mib: Some(10),
        format: Some("raw".into()),
        ..Output::default()
    };
    s.cloud.end(key, Ok(output));
    let id = s.cloud.world.vm_backups(s.vm).map(|image| image.id).max();
    id.expect("a backup")
}

fn fs_store(s: &mut Stage) -> Id {
    s.cloud
        .made("NAME=more-files\nDS_MAD=fs\nTM_MAD=ssh", |template| {
            Command::DatastoreAllocate {
                template,
                cluster: -1,
            }
        })
}

#[test]
fn a_network_that_is_not_ready_serves_nobody() {
    let mut stage = Stage::new();
    let s = &mut stage;
    s.cloud.vnet_set(0, |vnet| vnet.state = VnetState::LockCreate);
    refuses(s, "Virtual network 0 is not ready", vm("NIC=[NETWORK_ID=0]"));
    refuses(s, "wrong state", reserve(""));
    let template = t("AR=[TYPE=ETHER,SIZE=4]");
    refuses(s, "wrong state", Command::VnetAddRange { id: 0, template });
}

#[test]
fn a_network_is_chosen_that_is_ready_and_in_the_hosts_cluster() {
    let mut cloud = Cloud::new();
    let other = cloud.made("NAME=c", |_| Command::ClusterAllocate { name: "c".into() });
    let id = cloud
        .vm("CPU=1\nMEMORY=64\nNIC=[NETWORK_MODE=auto]")
        .expect("a VM");
    cloud.vnet_set(0, |vnet| vnet.state = VnetState::LockCreate);
    let refused = cloud.deploy(id).expect_err("not ready").text;
    assert!(
        refused.contains("network 0 (net) is in state LOCK_CREATE"),
        "{refused}"
    );
    cloud.vnet_set(0, |vnet| {
        vnet.state = VnetState::Ready;
        vnet.clusters = vec![other];
    });
    let refused = cloud.deploy(id).expect_err("elsewhere").text;
    assert!(refused.contains("is not in cluster 0 of the host"), "{refused}");
    cloud.vnet_set(0, |vnet| vnet.clusters = vec![0, other]);
    cloud.deploy(id).expect("now");
}

#[test]
fn a_network_in_error_is_recovered_by_its_deletion() {
    let mut cloud = Cloud::new();
    cloud.vnet_set(0, |vnet| vnet.state = VnetState::Error);
    let recover = VnetCommand::Recover {
        id: 0,
        recover: VnetRecover::Delete,
    };
    cloud
        .give(&Caller::system(), Command::Vnet(recover))
        .expect("deleted");
    assert!(cloud.world.vnet(0).is_err());
}

#[test]
fn ranges_and_reservations() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let reservation = s.reservation;
    refuses(
        s,
        "The size of a reserved address range",
        range_set(reservation, "SIZE=2"),
    );
    let free = VnetCommand::RangeFree {
        id: reservation,
        range: 9,
    };
    refuses(s, "Address Range does not exist", Command::Vnet(free));
    refuses(
        s,
        "Address Range 9 does not exist in virtual network 0",
        reserve("AR_ID=9"),
    );
    let driverless = t("NAME=n\nBRIDGE=b");
    let allocate = Command::VnetAllocate {
        template: driverless,
        cluster: -1,
    };
    refuses(s, "No VN_MAD", allocate);
    for (driver, name, wrong, good) in [
        ("802.1Q", "VLAN_ID", "4096", "4095"),
        ("ovswitch", "VLAN_ID", "-1", "0"),
        ("vxlan", "VLAN_ID", "16777216", "16777215"),
        ("ovswitch_vxlan", "OUTER_VLAN_ID", "x", "70000"),
    ] {
        let allocate = |number: &str| Command::VnetAllocate {
            template: t(&format!(
                "NAME=\"{driver}\"\nVN_MAD=\"{driver}\"\nBRIDGE=b\nPHYDEV=eth0\n{name}=\"{number}\""
            )),
            cluster: -1,
        };
        let says = format!("Wrong {name} \"{wrong}\"");
        refuses(s, &says, allocate(wrong));
        let id = give(s, allocate(good));
        let text = format!("{name}=\"{wrong}\"");
        refuses(s, &says, crate::cloud::stage::update(Kind::Vnet, id, &text));
    }
    let allocate = Command::VnetAllocate {
        template: t("NAME=n\nVN_MAD=dummy\nBRIDGE=b\nAR=[TYPE=IP6,SIZE=4,GLOBAL_PREFIX=\"2001:db8::\"]"),
        cluster: -1,
    };
    let id = give(s, allocate);
    refuses(s, "Wrong GLOBAL_PREFIX", range_set(id, "GLOBAL_PREFIX=x"));
    give(s, range_set(id, "GLOBAL_PREFIX=\"2001:db8:1::\""));
    let vnet = s.cloud.world.vnet(id).expect("there");
    let prefix = vnet.range(0).and_then(|range| range.global_prefix);
    assert_eq!(prefix, "2001:db8:1::".parse().ok());
}

#[test]
fn security_groups_of_networks_and_of_vms_that_are_not_there() {
    let mut stage = Stage::new();
    let s = &mut stage;
    s.cloud.vnet_set(0, |vnet| {
        let mut template = vnet.template.unpack();
        template.set("SECURITY_GROUPS", "0,999");
        vnet.template = plerion_template::PackedTemplate::new(&template);
    });
    refuses(s, "Error getting security group [999]", vm("NIC=[NETWORK_ID=0]"));
    let mut cloud = Cloud::new();
    let id = cloud.vm(VM).expect("a VM");
    cloud.deploy(id).expect("placed");
    while cloud.phase(id) != "BOOT" {
        let key = *cloud.world.outbox.keys().next().expect("asked for");
        cloud.end(key, Ok(Output::default()));
    }
    for attach in [true, false] {
        let (nic, group) = (0, 0);
        let set = VmDeviceCommand::SecurityGroup { nic, group, attach };
        let refused = cloud.give(&Caller::system(), device(id, set));
        let text = refused.expect_err("it is being started").text;
        assert!(text.contains("wrong state BOOT"), "{text}");
    }
}

#[test]
fn images_with_snapshots() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let (id, files) = (s.image, fs_store(s));
    s.cloud.image_set(id, |image| image.snapshots = tree(1));
    let clone = Command::ImageClone {
        id,
        name: "copy".into(),
        datastore: -1,
    };
    refuses(s, "it has snapshots", clone);
    s.cloud.image_set(id, |image| image.datastore_id = files);
    let persistent = |persistent| Command::ImagePersistent { id, persistent };
    refuses(s, "has snapshots, and stays persistent", persistent(false));
    s.cloud
        .image_set(id, |image| image.snapshots = SnapshotTree::default());
    give(s, persistent(false));
}

#[test]
fn backups() {
    let mut stage = without_job();
    let s = &mut stage;
    let (image, id) = (backed_up(s), s.vm);
    for enable in [true, false] {
        let command = Command::ImageEnable { id: image, enable };
        refuses(s, "of type BACKUP cannot be enabled or disabled", command);
    }
    let restore = |datastore: Id| Command::ImageRestore {
        id: image,
        datastore,
        options: t("NAME=back"),
    };
    let files = fs_store(s);
    refuses(
        s,
        "from a datastore of the driver dummy to one of the driver fs",
        restore(files),
    );
    let taken = Command::ImageAllocate {
        template: t("NAME=back-disk-0\nPATH=/x"),
        datastore: 101,
        spec: plerion_world::ImageSpec { size_mib: Some(1) },
    };
    give(s, taken);
    refuses(s, "NAME is already taken by IMAGE", restore(101));
    let in_place = Command::VmBackup {
        id,
        command: VmBackupCommand::Restore {
            image,
            increment: -1,
            disk: -1,
        },
    };
    give(s, s.act(Event::Poweroff { hard: true }));
    s.cloud.finish();
    s.cloud.image_set(image, |image| image.state = ImageState::Error);
    refuses(s, "cannot be restored: it is in state ERROR", restore(101));
    refuses(s, "it is in state ERROR", in_place.clone());
    let backups = s.cloud.made("NAME=more\nTYPE=BACKUP_DS\nDS_MAD=fs", |template| {
        Command::DatastoreAllocate {
            template,
            cluster: -1,
        }
    });
    s.cloud.image_set(image, |image| {
        image.state = ImageState::Ready;
        image.datastore_id = backups;
    });
    refuses(s, "Restoring is not supported yet", in_place);
}

#[test]
fn a_chain_of_increments_ends_somewhere() {
    let mut stage = without_job();
    let s = &mut stage;
    let conf = Command::VmUpdateConf {
        id: s.vm,
        template: t("BACKUP_CONFIG=[MODE=INCREMENT]"),
        append: true,
    };
    give(s, conf);
    let snapshot = VmDeviceCommand::SnapshotCreate("s".into());
    refuses(s, "has incremental backups", s.device(snapshot));
    let image = backed_up(s);
    let increments = |s: &Stage| {
        let image = s.cloud.world.image(image).expect("there");
        image.backup.as_ref().expect("a backup").increments.len()
    };
    assert_eq!((backed_up(s), increments(s)), (image, 2));
    s.cloud.image_set(image, |image| {
        let backup = image.backup.as_mut().expect("a backup");
        backup.increments = (0..1000)
            .map(|id| Increment {
                id,
                mode: BackupMode::Increment,
                parent: id - 1,
                date: 1,
                size_mib: 1,
                source: "x".into(),
            })
            .collect();
    });
    backed_up(s);
    assert_eq!(increments(s), 1000);
}

#[test]
fn markets() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let allocate = MarketCommand::Allocate {
        template: t("NAME=public\nMARKET_MAD=linuxcontainers"),
    };
    let market = give(s, Command::Market(allocate));
    let template = t("NAME=another\nTYPE=IMAGE\nORIGIN_ID=1");
    let create = MarketCommand::AppAllocate { template, market };
    refuses(
        s,
        "lists the appliances of others: create",
        Command::Market(create),
    );
    let mut app = (**s.cloud.world.marketplaceapp(s.app).expect("there")).clone();
    app.market_id = market;
    s.cloud.put(app);
    let delete = Command::Delete {
        kind: Kind::MarketplaceApp,
        id: s.app,
    };
    refuses(s, "delete is not supported by its driver", delete);
}

#[test]
fn users_and_documents() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let allocate = Command::UserAllocate {
        name: "outside".into(),
        password: "x".into(),
        driver: "ldap".into(),
        groups: Vec::new(),
    };
    let id = give(s, allocate);
    let core = Command::UserChauth {
        id,
        driver: "core".into(),
        password: String::new(),
    };
    refuses(s, "has no password that the driver core could check", core);
    let add = true;
    give(s, Command::GroupAdmin { id: 1, uid: id, add });
    assert_eq!(s.cloud.world.group(1).expect("there").admins, [id]);
    give(s, Command::Delete { kind: Kind::User, id });
    assert!(s.cloud.world.group(1).expect("there").admins.is_empty());
    let document = DocumentCommand::Allocate {
        template: t(&format!("NAME={}", "n".repeat(200))),
        document_type: 100,
    };
    refuses(s, "it is longer than", Command::Document(document));
}

#[test]
fn what_is_so_already_is_not_written() {
    let cloud = Cloud::new();
    for (member, add) in [
        (Member::Datastore(100), true),
        (Member::Vnet(0), true),
        (Member::Host(0), true),
    ] {
        let change = cloud.change_of(Command::ClusterMember { id: 0, member, add });
        assert!(change.is_empty(), "{member:?}: {change:?}");
    }
    // Whoever runs a host may write an attribute of that name.
    let host = plerion_template::PackedTemplate::new(&t("VM=mine"));
    assert!(!strangers_differ(&host, &plerion_world::Strangers::default()));
}

#[test]
fn only_system_datastores_take_disks() {
    let cloud = Cloud::new();
    let store = |id| cloud.world.datastore(id).expect("there");
    assert_eq!(datastores_fit(store(101), store(100)), Ok(()));
    let refusal = datastores_fit(store(101), store(101)).expect_err("of images");
    assert!(refusal.0.contains("is no system datastore"), "{}", refusal.0);
}

#[test]
fn disks() {
    let mut stage = Stage::new();
    let s = &mut stage;
    refuses(s, "Wrong SIZE \"x\"", vm("DISK=[IMAGE_ID=0,SIZE=x]"));
    for size in ["4398046511105", "18446744073709551615"] {
        let of_image = format!("DISK=[IMAGE_ID=0,SIZE={size}]");
        refuses(s, "Wrong SIZE", vm(&of_image));
        refuses(s, "needs a SIZE", vm(&format!("DISK=[TYPE=fs,SIZE={size}]")));
        let image = Command::ImageAllocate {
            template: t(&format!("NAME=large\nTYPE=DATABLOCK\nSIZE={size}")),
            datastore: 101,
            spec: plerion_world::ImageSpec { size_mib: None },
        };
        refuses(s, "Wrong SIZE", image);
    }
    let id = give(s, vm("DISK=[IMAGE_ID=0,SIZE=1]"));
    let made = s.cloud.world.vm(id).expect("there");
    assert_eq!(
        made.template.pair("DISK", "SIZE"),
        Some("10"),
        "no less than its image"
    );
    let far = s.cloud.made("NAME=far\nDS_MAD=dummy\nTM_MAD=ceph", |template| {
        Command::DatastoreAllocate {
            template,
            cluster: -1,
        }
    });
    let image = s
        .cloud
        .made("NAME=far\nPATH=/x", |template| Command::ImageAllocate {
            template,
            datastore: far,
            spec: plerion_world::ImageSpec { size_mib: Some(1) },
        });
    s.cloud.finish();
    let attach = |text: &str| VmDeviceCommand::DiskAttach(t(&format!("DISK=[{text}]")));
    refuses(
        s,
        "needs a system datastore with TM_MAD",
        s.device(attach(&format!("IMAGE_ID={image}"))),
    );
    let hds = "DISK=[TYPE=fs,SIZE=1,DEV_PREFIX=hd]\n".repeat(4);
    let text =
        format!("CPU=1\nMEMORY=64\nOS=[MACHINE=pc]\nDISK=[IMAGE_ID=0]\nDISK=[TYPE=swap,SIZE=1]\n{hds}");
    let id = s.cloud.placed(&text).expect("placed");
    refuses(s, "hd TARGET", device(id, attach("TYPE=fs,SIZE=1,DEV_PREFIX=hd")));
    let snapshot = |disk| VmDeviceCommand::DiskSnapshotCreate(disk, "s".into());
    refuses(s, "a CD-ROM or a swap disk", device(id, snapshot(1)));
    s.cloud.vm_set(s.vm, |vm| {
        vm.disk_snapshots.insert(0, tree(1000));
    });
    refuses(s, "snapshots at most", s.device(snapshot(0)));
    let rename = VmDeviceCommand::DiskSnapshotRename(9, 0, "n".into());
    refuses(s, "VM disk does not exist", s.device(rename));
    s.cloud.vm_template_set(s.vm, |template| {
        for number in 0..1000 {
            let vector = [("SNAPSHOT_ID", number.to_string())];
            template.add_vector("SNAPSHOT", vector.into_iter().collect());
        }
    });
    let machine = VmDeviceCommand::SnapshotCreate("s".into());
    refuses(s, "A VM has 1000 snapshots at most", s.device(machine));
    give(s, s.act(Event::Poweroff { hard: true }));
    s.cloud.finish();
    let revert = VmDeviceCommand::DiskSnapshotRevert(0, 5000);
    refuses(s, "Snapshot does not exist", s.device(revert));
}

#[test]
fn pci_devices() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let detach = VmDeviceCommand::PciDetach(0);
    refuses(s, "Could not take PCI device 0", s.device(detach.clone()));
    give(s, s.act(Event::Poweroff { hard: true }));
    s.cloud.finish();
    s.cloud.vm_template_set(s.vm, |template| {
        let vector = [("PCI_ID", "0"), ("TYPE", "NIC"), ("VENDOR", "10de")];
        template.add_vector("PCI", vector.into_iter().collect());
    });
    refuses(s, "The PCI device is a NIC", s.device(detach));
    s.cloud.vm_template_set(s.vm, |template| {
        for number in 1..256 {
            let vector = [("PCI_ID", number.to_string()), ("VENDOR", "10de".into())];
            template.add_vector("PCI", vector.into_iter().collect());
        }
    });
    let attach = VmDeviceCommand::PciAttach(t("PCI=[VENDOR=10de]"));
    refuses(s, "A VM has 256 PCI devices at most", s.device(attach));
}

#[test]
fn numa_nodes() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let nodes = "NUMA_NODE=[TOTAL_CPUS=1,MEMORY=1]\n".repeat(129);
    refuses(
        s,
        "A VM has 128 NUMA nodes at most",
        vm(&format!("TOPOLOGY=[PIN_POLICY=CORE]\n{nodes}")),
    );
    let id = give(
        s,
        vm(
            "VCPU=3\nTOPOLOGY=[PIN_POLICY=CORE,SOCKETS=1]\nNUMA_NODE=[TOTAL_CPUS=1,MEMORY=16]\nNUMA_NODE=[TOTAL_CPUS=2,MEMORY=48]",
        ),
    );
    let resize = Command::VmResize {
        id,
        template: t("VCPU=4\nMEMORY=128"),
        enforce: true,
    };
    refuses(s, "NUMA nodes are of different sizes", resize);
}

#[test]
fn moves_keep_vms_apart_and_ask_the_transfer_driver() {
    let mut cloud = Cloud::new();
    cloud.host("node-b");
    let group = cloud.made("NAME=apart\nROLE=[NAME=a,POLICY=ANTI_AFFINED]", |template| {
        Command::VmGroup(VmGroupCommand::Allocate { template })
    });
    let text = format!("CPU=1\nMEMORY=64\nVMGROUP=[VMGROUP_ID={group},ROLE=a]");
    let place = |cloud: &mut Cloud, host| {
        let id = cloud.vm(&text).expect("a VM");
        let deploy = Command::VmDeploy {
            id,
            host,
            enforce: true,
            datastore: 100,
        };
        cloud.give(&Caller::system(), deploy).expect("placed");
        cloud.finish();
        id
    };
    let first = place(&mut cloud, 0);
    place(&mut cloud, 1);
    let go = |cloud: &mut Cloud, id, host, datastore, enforce| {
        let migration = Migration {
            host,
            relocation: plerion_lifecycle::Relocation::Save,
            enforce,
            datastore,
        };
        cloud.give(&Caller::system(), Command::VmMigrate { id, migration })
    };
    let refused = go(&mut cloud, first, 1, -1, true).expect_err("kept apart").text;
    assert!(refused.contains("may not be on host [1]"), "{refused}");
    go(&mut cloud, first, 1, -1, false).expect("an administrator may");
    cloud.finish();
    let mut store = |text: &str| {
        cloud.made(&format!("TYPE=SYSTEM_DS\n{text}"), |template| {
            Command::DatastoreAllocate {
                template,
                cluster: -1,
            }
        })
    };
    let (foreign, own) = (store("NAME=ssh\nTM_MAD=ssh"), store("NAME=two\nTM_MAD=dummy"));
    let refused = go(&mut cloud, first, 1, foreign, true)
        .expect_err("another driver")
        .text;
    assert!(refused.contains("its TM_MAD is ssh"), "{refused}");
    let conf = t("TM_MAD_CONF=[NAME=dummy,DS_MIGRATE=NO]");
    cloud.world.config = std::sync::Arc::new(plerion_world::Config::new(conf, "/var/lib/one/datastores"));
    let refused = go(&mut cloud, first, 1, own, true)
        .expect_err("it does not move")
        .text;
    assert!(
        refused.contains("DS_MIGRATE of its TM_MAD dummy is not YES"),
        "{refused}"
    );
}

#[test]
fn whose_template_it_is_comes_before_what_it_is() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let id = s.router_template;
    let stranger = s.stranger.clone();
    for persistent in [false, true] {
        let instantiate = Command::TemplateInstantiate {
            id,
            name: String::new(),
            hold: false,
            extra: t(""),
            persistent,
        };
        let lacks = s.lacks(&stranger, instantiate.clone());
        assert!(lacks.contains(&format!("TEMPLATE [{id}]")), "{lacks}");
        refuses(s, "Virtual router templates cannot be instantiated", instantiate);
    }
}

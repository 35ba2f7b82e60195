//! What is refused whoever asks, by what the refusal says: VMs and their devices, networks, virtual routers, VM groups.

use plerion_lifecycle::Event;
use plerion_model::Kind;
use plerion_world::{Command, Member, VmDeviceCommand, VmGroupCommand, VnetCommand, VrouterCommand};

use crate::cloud::stage::{Stage, give, refuses, t, update, vm};

fn nic(text: &str) -> VmDeviceCommand {
    VmDeviceCommand::NicAttach(t(&format!("NIC=[{text}]")))
}

fn nic_set(text: &str) -> VmDeviceCommand {
    VmDeviceCommand::NicUpdate {
        nic: 0,
        template: t(&format!("NIC=[{text}]")),
        merge: true,
    }
}

fn disk(text: &str) -> VmDeviceCommand {
    VmDeviceCommand::DiskAttach(t(&format!("DISK=[{text}]")))
}

#[test]
fn too_much_of_a_vm() {
    let mut stage = Stage::new();
    let s = &mut stage;
    for (says, vector, count) in [
        ("disks are more than", "DISK=[TYPE=fs,SIZE=1]\n", 300),
        ("NICs are more than", "NIC=[NETWORK_ID=0]\n", 300),
        ("PCI devices at most", "PCI=[VENDOR=1]\n", 300),
        (
            "hd TARGET",
            "OS=[MACHINE=pc]\nDISK=[TYPE=fs,SIZE=1,DEV_PREFIX=hd]\n",
            5,
        ),
        ("VCPU attribute must be", "VCPU=x\n", 1),
        ("cannot have the FORMAT", "DISK=[TYPE=fs,SIZE=1,FORMAT=x]\n", 1),
        (
            "Error getting security group",
            "NIC=[NETWORK_ID=0,SECURITY_GROUPS=999]\n",
            1,
        ),
    ] {
        refuses(s, says, vm(&vector.repeat(count)));
    }
}

#[test]
fn disks_of_a_vm() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let mut says = |text: &str, command| refuses(s, text, Command::VmDevice { id: 0, command });
    let save = |snapshot| VmDeviceCommand::DiskSaveAs {
        disk: 0,
        name: "n".into(),
        kind: String::new(),
        snapshot,
    };
    says("Snapshot does not exist", save(7));
    says(
        "name cannot be empty",
        VmDeviceCommand::DiskSnapshotRename(0, 0, String::new()),
    );
    says(
        "Snapshot does not exist",
        VmDeviceCommand::DiskSnapshotRename(0, 7, "n".into()),
    );
}

#[test]
fn bounds_of_devices() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let range = t("AR=[TYPE=ETHER,SIZE=1000]");
    give(
        s,
        Command::VnetAddRange {
            id: 0,
            template: range,
        },
    );
    let disks = "DISK=[TYPE=fs,SIZE=1]\n".repeat(256);
    let nics = "NIC=[NETWORK_ID=0]\n".repeat(256);
    let vm = s
        .cloud
        .placed(&format!("NAME=many\nCPU=1\nMEMORY=64\n{disks}{nics}"))
        .expect("a VM");
    refuses(
        s,
        "disks at most",
        Command::VmDevice {
            id: vm,
            command: disk("TYPE=fs,SIZE=1"),
        },
    );
    refuses(
        s,
        "NICs at most",
        Command::VmDevice {
            id: vm,
            command: nic("NETWORK_ID=0"),
        },
    );
}

#[test]
fn nics_of_a_vm() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let far = s.cloud.made(
        "NAME=far\nVN_MAD=dummy\nBRIDGE=b\nAR=[TYPE=ETHER,SIZE=2]",
        |template| Command::VnetAllocate {
            template,
            cluster: 100,
        },
    );
    let group = s.secgroup;
    let sg = |attach| VmDeviceCommand::SecurityGroup {
        nic: 0,
        group,
        attach,
    };
    let mut says = |text: &str, command| refuses(s, text, Command::VmDevice { id: 0, command });
    says("NETWORK_MODE=auto serves", nic("NETWORK_MODE=auto"));
    says("is not in cluster", nic(&format!("NETWORK_ID={far}")));
    says("Another NIC of VM 0 has the NAME", nic("NETWORK_ID=0,NAME=NIC0"));
    says(
        "PCI devices as NICs",
        VmDeviceCommand::NicAttach(t("PCI=[NETWORK_ID=0,VENDOR=1]")),
    );
    says("Wrong INBOUND_AVG_BW", nic_set("INBOUND_AVG_BW=x"));
    says("SG 100 not in NIC 0", sg(false));
    give(s, s.act(Event::Stop));
    refuses(
        s,
        "wrong state",
        Command::VmDevice {
            id: 0,
            command: nic_set("INBOUND_AVG_BW=1"),
        },
    );
}

#[test]
fn disks_from_elsewhere() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let store = s.cloud.made("NAME=far\nDS_MAD=dummy\nTM_MAD=dummy", |template| {
        Command::DatastoreAllocate {
            template,
            cluster: 100,
        }
    });
    let image = s
        .cloud
        .made("NAME=far\nPATH=/x", |template| Command::ImageAllocate {
            template,
            datastore: store,
            spec: plerion_world::ImageSpec { size_mib: Some(1) },
        });
    s.cloud.finish();
    refuses(
        s,
        "is not in cluster",
        Command::VmDevice {
            id: 0,
            command: disk(&format!("IMAGE_ID={image}")),
        },
    );
    let member = Command::ClusterMember {
        id: 0,
        member: Member::Datastore(store),
        add: true,
    };
    give(s, member);
    give(
        s,
        Command::VmDevice {
            id: 0,
            command: disk(&format!("IMAGE_ID={image}")),
        },
    );
}

#[test]
fn vms_of_virtual_routers() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let (id, template) = (s.vrouter, s.router_template);
    let instantiate = VrouterCommand::Instantiate {
        id,
        count: 1,
        template,
        name: String::new(),
        hold: false,
        extra: t(""),
    };
    give(s, Command::Vrouter(instantiate));
    let vm = s.cloud.world.vms.values().map(|vm| vm.id).max().expect("a VM");
    s.cloud.deploy(vm).expect("placed");
    s.cloud.finish();
    for command in [
        disk("TYPE=fs,SIZE=1"),
        VmDeviceCommand::DiskDetach(0),
        nic("NETWORK_ID=0"),
        VmDeviceCommand::NicDetach(0),
        nic_set("INBOUND_AVG_BW=1"),
    ] {
        refuses(
            s,
            "not supported for virtual router VMs",
            Command::VmDevice { id: vm, command },
        );
    }
}

#[test]
fn virtual_routers() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let id = s.vrouter;
    let allocate = |text: &str| Command::Vrouter(VrouterCommand::Allocate { template: t(text) });
    refuses(
        s,
        "NICs are more than",
        allocate(&format!("NAME=n\n{}", "NIC=[NETWORK_ID=0]\n".repeat(300))),
    );
    refuses(
        s,
        "it is longer than",
        allocate(&format!("NAME={}", "n".repeat(200))),
    );
    let attach = Command::Vrouter(VrouterCommand::NicAttach {
        id,
        template: t("NIC=[NETWORK_ID=0]"),
    });
    let refusal = (0..300).find_map(|_| {
        s.cloud
            .give(&plerion_world::Caller::system(), attach.clone())
            .err()
    });
    let text = refusal.expect("a bound").text;
    assert!(text.contains("NICs"), "{text}");
}

#[test]
fn networks() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let allocate = |text: &str| Command::VnetAllocate {
        template: t(&format!("NAME=n\nVN_MAD=dummy\n{text}")),
        cluster: -1,
    };
    let range = |text: &str| {
        Command::Vnet(VnetCommand::RangeUpdate {
            id: 0,
            template: t(&format!("AR=[AR_ID=0,{text}]")),
        })
    };
    refuses(
        s,
        "is no name of an interface",
        allocate("BRIDGE=a-name-that-is-too-long"),
    );
    refuses(
        s,
        "is no name of an interface",
        update(Kind::Vnet, 0, "BRIDGE=\"a b\""),
    );
    refuses(s, "Wrong IP", allocate("BRIDGE=b\nAR=[TYPE=IP4,IP=x,SIZE=1]"));
    refuses(s, "PREFIX_LENGTH", range("PREFIX_LENGTH=x"));
    refuses(
        s,
        "address ranges",
        allocate(&format!("BRIDGE=b\n{}", "AR=[TYPE=ETHER,SIZE=1]\n".repeat(2000))),
    );
    let last = allocate("BRIDGE=b\nAR=[TYPE=IP4,IP=255.255.255.254,SIZE=1]");
    let id = give(s, last);
    let wider = VnetCommand::RangeUpdate {
        id,
        template: t("AR=[AR_ID=0,SIZE=100]"),
    };
    refuses(s, "beyond the last", Command::Vnet(wider));
}

#[test]
fn vm_groups() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let (id, vm) = (s.vmgroup, s.vm);
    let group = |command| Command::VmGroup(command);
    let allocate = |roles: &str| {
        group(VmGroupCommand::Allocate {
            template: t(&format!("NAME=n\n{roles}")),
        })
    };
    let set = |role, text: &str| {
        group(VmGroupCommand::RoleUpdate {
            id,
            role,
            template: t(&format!("ROLE=[{text}]")),
        })
    };
    let many: String = (0..2000)
        .map(|number| format!("ROLE=[NAME=r{number}]\n"))
        .collect();
    refuses(s, "roles", allocate(&many));
    refuses(s, "holds a comma", allocate("ROLE=[NAME=\"a,b\"]"));
    refuses(s, "Role already exists", set(0, "NAME=b"));
    refuses(s, "HOST_AFFINED", set(0, "HOST_AFFINED=x"));
    refuses(
        s,
        "which the group does not have",
        update(Kind::VmGroup, id, "AFFINED=\"a,zz\""),
    );
    give(s, update(Kind::VmGroup, id, "AFFINED=\"a,b\""));
    refuses(s, "which the group does not have", set(0, "NAME=c"));
    let add = |role: &str| {
        group(VmGroupCommand::VmAdd {
            vm,
            id,
            role: role.into(),
        })
    };
    refuses(s, "has no role", add("zz"));
    give(s, s.act(Event::Poweroff { hard: true }));
    s.cloud.finish();
    give(s, add("a"));
    refuses(
        s,
        "VM 0 is in it",
        group(VmGroupCommand::RoleDelete { id, role: 0 }),
    );
    refuses(s, "VM 0 is in it", set(0, "NAME=d"));
}

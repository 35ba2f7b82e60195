//! What is counted against the quota of an owner besides VMs, disks and leases.

use plerion_model::Kind;
use plerion_world::{Caller, Command, QuotaCommand, TokenLimit, VmDeviceCommand, VnetCommand};

use crate::cloud::stage::{Stage, give, refuses, refuses_to, t};

fn limit(stage: &mut Stage, text: &str) {
    let set = QuotaCommand::Set {
        kind: Kind::User,
        id: stage.owner.uid,
        template: t(text),
    };
    give(stage, Command::Quota(set));
}

#[test]
fn reserved_addresses_count_where_they_come_from() {
    let mut stage = Stage::new();
    let s = &mut stage;
    limit(s, "NETWORK=[ID=0,LEASES=1]");
    let owner = s.owner.clone();
    let template = t("NAME=r\nSIZE=2");
    let reserve = Command::Vnet(VnetCommand::Reserve { id: 0, template });
    refuses_to(
        s,
        &owner,
        "limit of 1 reached for LEASES quota in NETWORK with ID: 0",
        reserve,
    );
}

#[test]
fn what_a_persistent_disk_grows_by_counts_in_its_datastore() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let id = s
        .cloud
        .placed("NAME=k\nCPU=0.1\nMEMORY=64\nDISK=[IMAGE_ID=1]")
        .expect("a VM");
    let (uid, gid) = (s.owner.uid, -1);
    let kind = Kind::Vm;
    give(s, Command::Chown { kind, id, uid, gid });
    limit(s, "DATASTORE=[ID=101,SIZE=50]");
    let resize = |size: &str| {
        let size = size.into();
        let command = VmDeviceCommand::DiskResize { disk: 0, size };
        Command::VmDevice { id, command }
    };
    refuses(s, "SIZE quota in DATASTORE with ID: 101", resize("61"));
    give(s, resize("60"));
}

#[test]
fn a_token_that_ends_changes_no_authentication_of_its_user() {
    let mut stage = Stage::new();
    let token = Some(TokenLimit {
        expires: 1_000_000,
        egid: -1,
    });
    let caller = Caller {
        token,
        ..Caller::system()
    };
    let chauth = Command::UserChauth {
        id: 0,
        driver: String::new(),
        password: "p".into(),
    };
    refuses_to(&mut stage, &caller, "A login token that ends", chauth);
}

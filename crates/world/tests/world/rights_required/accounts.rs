//! Users, groups, rules, quotas, VDCs, and what all kinds have in common.

use plerion_model::acl::AclRule;
use plerion_model::vdc::VdcResource;
use plerion_model::{Id, Kind};
use plerion_world::{AclCommand, Command, QuotaCommand, VdcCommand};

use super::{Table, check};
use crate::cloud::stage::{Stage, t};

fn of_kind(kind: Kind, id: Id) -> [Command; 5] {
    [
        Command::Update {
            kind,
            id,
            template: t("A=1"),
            append: true,
        },
        Command::Rename {
            kind,
            id,
            name: "new".into(),
        },
        Command::Chown {
            kind,
            id,
            uid: 0,
            gid: 0,
        },
        Command::Lock {
            kind,
            id,
            level: 1,
            test: false,
        },
        Command::Delete { kind, id },
    ]
}

fn chmod(id: Id, bits: [i32; 9]) -> Command {
    Command::Chmod {
        kind: Kind::Image,
        id,
        bits,
    }
}

#[test]
fn what_all_kinds_have_in_common() {
    let stage = Stage::new();
    let mut table = Table::new();
    for (kind, id, expected) in [
        (
            Kind::Image,
            0,
            [
                "MANAGE IMAGE [0]",
                "MANAGE IMAGE [0]",
                "MANAGE IMAGE [0]; MANAGE USER [0]; USE GROUP [0]",
                "MANAGE IMAGE [0]",
                "MANAGE IMAGE [0]",
            ],
        ),
        (
            Kind::Host,
            0,
            [
                "ADMIN HOST [0]",
                "ADMIN HOST [0]",
                "MANAGE HOST [0]; MANAGE USER [0]; USE GROUP [0]",
                "MANAGE HOST [0]",
                "ADMIN HOST [0]",
            ],
        ),
        (
            Kind::Group,
            1,
            [
                "ADMIN GROUP [1]",
                "MANAGE GROUP [1]",
                "MANAGE GROUP [1]; MANAGE USER [0]; USE GROUP [0]",
                "MANAGE GROUP [1]",
                "ADMIN GROUP [1]",
            ],
        ),
        (
            Kind::Cluster,
            stage.cluster,
            [
                "MANAGE CLUSTER [100]",
                "MANAGE CLUSTER [100]",
                "MANAGE CLUSTER [100]; MANAGE USER [0]; USE GROUP [0]",
                "MANAGE CLUSTER [100]",
                "ADMIN CLUSTER [100]",
            ],
        ),
        (
            Kind::Vm,
            stage.vm,
            [
                "MANAGE VM [0]",
                "MANAGE VM [0]",
                "MANAGE VM [0]; MANAGE USER [0]; USE GROUP [0]",
                "MANAGE VM [0]",
                "MANAGE VM [0]",
            ],
        ),
    ] {
        table.extend(expected.into_iter().zip(of_kind(kind, id)));
    }
    let (others, admin) = (
        [-1, -1, -1, -1, -1, -1, 1, -1, -1],
        [-1, -1, 1, -1, -1, -1, -1, -1, -1],
    );
    table.push(("MANAGE IMAGE [0]", chmod(0, others)));
    table.push(("ADMIN IMAGE [0]", chmod(0, admin)));
    let caller = stage.stranger.clone();
    check(stage, &caller, table);
}

#[test]
fn users_groups_and_rules() {
    let stage = Stage::new();
    let quota = |kind| QuotaCommand::Set {
        kind,
        id: 1,
        template: t("VM=[VMS=1]"),
    };
    let rule = AclRule::parse("0x100000002", "0x1400000000", "0x1", "").expect("a rule");
    let named = |name: &str| name.to_owned();
    let table = vec![
        (
            "CREATE USER; MANAGE GROUP [1]",
            Command::UserAllocate {
                name: named("n"),
                password: named("p"),
                driver: named("core"),
                groups: vec![1],
            },
        ),
        (
            "MANAGE USER [0]",
            Command::UserPasswd {
                id: 0,
                password: named("p"),
            },
        ),
        (
            "MANAGE USER [0]; USE GROUP [1]",
            Command::UserChgrp { id: 0, gid: 1 },
        ),
        (
            "MANAGE USER [0]; MANAGE GROUP [1]",
            Command::UserGroup {
                id: 0,
                gid: 1,
                add: true,
            },
        ),
        (
            "MANAGE USER [0]; MANAGE GROUP [1]",
            Command::UserGroup {
                id: 0,
                gid: 1,
                add: false,
            },
        ),
        (
            "ADMIN USER [0]",
            Command::UserChauth {
                id: 0,
                driver: named("core"),
                password: named("p"),
            },
        ),
        ("ADMIN USER [0]", Command::UserEnable { id: 0, enable: false }),
        (
            "MANAGE USER [0]",
            Command::UserLogin {
                name: named("oneadmin"),
                hash: named("h"),
                valid: 10,
                egid: -1,
                named: true,
            },
        ),
        ("CREATE GROUP", Command::GroupAllocate { name: named("n") }),
        (
            "ADMIN GROUP [1]; ADMIN USER [2]",
            Command::GroupAdmin {
                id: 1,
                uid: stage.owner.uid,
                add: true,
            },
        ),
        ("MANAGE ACL", Command::Acl(AclCommand::Add(rule))),
        ("MANAGE ACL", Command::Acl(AclCommand::Delete(0))),
        ("ADMIN USER [1]", Command::Quota(quota(Kind::User))),
        ("ADMIN GROUP [1]", Command::Quota(quota(Kind::Group))),
        (
            "ADMIN GROUP [1]",
            Command::GroupVlan {
                id: 1,
                template: t("RULE=[ID=1,SCOPE=ANY]"),
            },
        ),
        (
            "User [3] : The default quotas are changed by members of the oneadmin group only.",
            Command::Quota(QuotaCommand::SetDefault {
                kind: Kind::User,
                template: t("VM=[VMS=1]"),
            }),
        ),
        (
            "User [3] : Action reserved for group 0 only.",
            Command::ShowbackPut { rows: Vec::new() },
        ),
        ("ADMIN ZONE [0]", Command::ZoneEnable { id: 0, enable: false }),
        (
            "CREATE VDC",
            Command::Vdc(VdcCommand::Allocate {
                template: t("NAME=n"),
            }),
        ),
        (
            "ADMIN VDC [100]; ADMIN GROUP [1]",
            Command::Vdc(VdcCommand::Group {
                id: stage.vdc,
                group: 1,
                add: true,
            }),
        ),
        (
            "ADMIN VDC [100]; ADMIN ZONE [0]; ADMIN HOST [0]",
            Command::Vdc(VdcCommand::Resource {
                id: stage.vdc,
                resource: VdcResource::Host,
                zone: 0,
                member: 0,
                add: true,
            }),
        ),
    ];
    let caller = stage.stranger.clone();
    check(stage, &caller, table);
}

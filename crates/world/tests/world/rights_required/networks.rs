//! Networks, their templates, security groups, virtual routers.

use plerion_world::{Command, SecgroupCommand, VnTemplateCommand, VnetCommand, VnetRecover, VrouterCommand};

use super::check;
use crate::cloud::stage::{Stage, t};

#[test]
fn networks_and_routers() {
    let stage = Stage::new();
    let named = |name: &str| name.to_owned();
    let vnet = |command| Command::Vnet(command);
    let router = |command| Command::Vrouter(command);
    let table = vec![
        (
            "CREATE NET; ADMIN CLUSTER [100]",
            Command::VnetAllocate {
                template: t("NAME=n\nVN_MAD=dummy\nBRIDGE=b"),
                cluster: 100,
            },
        ),
        (
            "ADMIN NET [0]",
            Command::VnetAddRange {
                id: 0,
                template: t("AR=[TYPE=ETHER,SIZE=2]"),
            },
        ),
        (
            "ADMIN NET [0]",
            Command::VnetRemoveRange {
                id: 0,
                range: 0,
                force: false,
            },
        ),
        (
            "MANAGE NET [0]",
            Command::VnetHold {
                id: 0,
                template: t("LEASES=[IP=10.0.0.12]"),
                hold: true,
            },
        ),
        (
            "MANAGE NET [0]",
            vnet(VnetCommand::RangeUpdate {
                id: 0,
                template: t("AR=[AR_ID=0,SIZE=2]"),
            }),
        ),
        (
            "MANAGE NET [1]",
            vnet(VnetCommand::RangeFree {
                id: stage.reservation,
                range: 0,
            }),
        ),
        (
            "USE NET [0]",
            vnet(VnetCommand::Reserve {
                id: 0,
                template: t("NAME=n\nSIZE=1"),
            }),
        ),
        (
            "USE NET [0]; MANAGE NET [1]",
            vnet(VnetCommand::Reserve {
                id: 0,
                template: t("NETWORK_ID=1\nSIZE=1"),
            }),
        ),
        (
            "MANAGE NET [0]",
            vnet(VnetCommand::Recover {
                id: 0,
                recover: VnetRecover::Delete,
            }),
        ),
        (
            "CREATE SECGROUP",
            Command::SecgroupAllocate {
                template: t("NAME=n"),
            },
        ),
        (
            "CREATE SECGROUP; USE SECGROUP [100]",
            Command::Secgroup(SecgroupCommand::Clone {
                id: stage.secgroup,
                name: named("n"),
            }),
        ),
        (
            "MANAGE SECGROUP [100]",
            Command::Secgroup(SecgroupCommand::Commit { id: stage.secgroup }),
        ),
        (
            "CREATE VNTEMPLATE",
            Command::VnTemplate(VnTemplateCommand::Allocate {
                template: t("NAME=n"),
            }),
        ),
        (
            "CREATE VNTEMPLATE; USE VNTEMPLATE [0]",
            Command::VnTemplate(VnTemplateCommand::Clone {
                id: stage.vntemplate,
                name: named("n"),
            }),
        ),
        (
            "USE VNTEMPLATE [0]",
            Command::VnTemplate(VnTemplateCommand::Instantiate {
                id: stage.vntemplate,
                name: named("n"),
                extra: t(""),
            }),
        ),
        (
            "CREATE VROUTER; USE NET [0]",
            router(VrouterCommand::Allocate {
                template: t("NAME=n\nNIC=[NETWORK_ID=0]"),
            }),
        ),
        (
            "MANAGE VROUTER [0]",
            router(VrouterCommand::Instantiate {
                id: stage.vrouter,
                count: 1,
                template: stage.router_template,
                name: named("n"),
                hold: true,
                extra: t(""),
            }),
        ),
        (
            "MANAGE VROUTER [0]; USE NET [0]",
            router(VrouterCommand::NicAttach {
                id: stage.vrouter,
                template: t("NIC=[NETWORK_ID=0]"),
            }),
        ),
        (
            "MANAGE VROUTER [0]",
            router(VrouterCommand::NicDetach {
                id: stage.vrouter,
                nic: 0,
            }),
        ),
    ];
    let caller = stage.stranger.clone();
    check(stage, &caller, table);
}

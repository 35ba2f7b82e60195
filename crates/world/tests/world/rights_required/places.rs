//! Clusters, hosts, datastores, images, marketplaces.

use plerion_world::{Command, HostStatus, ImageSnapshot, ImageSpec, MarketCommand, Member};

use super::check;
use crate::cloud::stage::{Stage, t};

#[test]
fn hosts_datastores_and_images() {
    let stage = Stage::new();
    let named = |name: &str| name.to_owned();
    let table = vec![
        ("CREATE CLUSTER", Command::ClusterAllocate { name: named("n") }),
        (
            "ADMIN CLUSTER [100]; ADMIN HOST [0]",
            Command::ClusterMember {
                id: 100,
                member: Member::Host(0),
                add: true,
            },
        ),
        (
            "ADMIN CLUSTER [100]; ADMIN DATASTORE [101]",
            Command::ClusterMember {
                id: 100,
                member: Member::Datastore(101),
                add: true,
            },
        ),
        (
            "ADMIN CLUSTER [100]; ADMIN NET [0]",
            Command::ClusterMember {
                id: 100,
                member: Member::Vnet(0),
                add: false,
            },
        ),
        (
            "CREATE HOST; ADMIN CLUSTER [100]",
            Command::HostAllocate {
                name: named("n"),
                im_mad: named("kvm"),
                vm_mad: named("kvm"),
                cluster: 100,
            },
        ),
        (
            "ADMIN HOST [0]",
            Command::HostSetStatus {
                id: 0,
                status: HostStatus::Disabled,
            },
        ),
        (
            "CREATE DATASTORE; ADMIN CLUSTER [100]",
            Command::DatastoreAllocate {
                template: t("NAME=n\nTM_MAD=dummy\nDS_MAD=dummy"),
                cluster: 100,
            },
        ),
        (
            "MANAGE DATASTORE [100]",
            Command::DatastoreEnable {
                id: 100,
                enable: false,
            },
        ),
        (
            "CREATE IMAGE; USE DATASTORE [101]",
            Command::ImageAllocate {
                template: t("NAME=n\nPATH=/x"),
                datastore: 101,
                spec: ImageSpec { size_mib: Some(1) },
            },
        ),
        ("MANAGE IMAGE [0]", Command::ImageEnable { id: 0, enable: false }),
        (
            "MANAGE IMAGE [0]",
            Command::ImagePersistent {
                id: 0,
                persistent: true,
            },
        ),
        (
            "MANAGE IMAGE [0]",
            Command::ImageChtype {
                id: 0,
                kind: named("CDROM"),
            },
        ),
        (
            "CREATE IMAGE; USE IMAGE [0]; USE DATASTORE [101]",
            Command::ImageClone {
                id: 0,
                name: named("n"),
                datastore: 101,
            },
        ),
        (
            "MANAGE IMAGE [1]",
            Command::ImageSnapshot {
                id: 1,
                work: ImageSnapshot::Delete(0),
            },
        ),
        (
            "USE IMAGE [0]; USE DATASTORE [101]; CREATE IMAGE; CREATE TEMPLATE",
            Command::ImageRestore {
                id: 0,
                datastore: 101,
                options: t(""),
            },
        ),
        (
            "CREATE MARKETPLACE",
            Command::Market(MarketCommand::Allocate {
                template: t("NAME=n\nMARKET_MAD=dummy"),
            }),
        ),
        (
            "MANAGE MARKETPLACE [100]",
            Command::Market(MarketCommand::Enable {
                id: stage.market,
                enable: false,
            }),
        ),
        (
            "CREATE MARKETPLACEAPP",
            Command::Market(MarketCommand::AppAllocate {
                template: t("NAME=n\nTYPE=IMAGE\nORIGIN_ID=0"),
                market: stage.market,
            }),
        ),
        (
            "MANAGE MARKETPLACEAPP [0]",
            Command::Market(MarketCommand::AppEnable {
                id: stage.app,
                enable: false,
            }),
        ),
    ];
    let caller = stage.stranger.clone();
    check(stage, &caller, table);
}

//! The objects of a new installation.

use std::sync::Arc;

use plerion_model::acl::default_rules;
use plerion_model::cluster::{self, Cluster};
use plerion_model::datastore::{self, Datastore, DatastoreState, DatastoreType, DiskType};
use plerion_model::group::{self, Group};
use plerion_model::marketplace::{MarketState, Marketplace};
use plerion_model::quota::Quotas;
use plerion_model::secgroup::{self, SecurityGroup};
use plerion_model::user::{self, User};
use plerion_model::zone::{self, Zone};
use plerion_model::{Id, Kind, Owned, Permissions};
use plerion_template::{PackedTemplate, Template, Vector};

use crate::change::Change;
use crate::context::Context;
use crate::object::Object;
use crate::txn::Txn;
use crate::vdc::vdc_default_make;
use crate::world::World;

/// Makes the objects of a new installation: users 0 and 1, groups 0 and 1, cluster 0, datastores 0 to 2, zone 0,
/// security group 0, marketplaces 0 and 1, the default rules, and VDC 0 with its rules. `passwords` are those of user 0 and 1 in the form in which they are stored.
#[must_use]
pub fn bootstrap(
    world: &World,
    context: &Context,
    names: [&str; 2],
    passwords: [&str; 2],
) -> (World, Change) {
    let mut txn = Txn::new(world, context);
    for (id, name) in [(group::ONEADMIN, "oneadmin"), (group::USERS, "users")] {
        let group = Group {
            id,
            name: name.into(),
            admins: Vec::new(),
            template: PackedTemplate::default(),
            quotas: Quotas::default(),
            vlan_rules: Vec::new(),
        };
        create(&mut txn, Object::Group(Arc::new(group)));
    }
    for (id, ((name, password), driver)) in
        (0..).zip(names.into_iter().zip(passwords).zip(["core", "server_cipher"]))
    {
        let user = user_new(&mut txn, id, name, password, driver, vec![group::ONEADMIN]);
        create(&mut txn, Object::User(Arc::new(user)));
    }
    let mut reserved = Template::new();
    reserved.set("RESERVED_CPU", "");
    reserved.set("RESERVED_MEM", "");
    let default = Cluster {
        id: cluster::DEFAULT,
        name: "default".into(),
        template: PackedTemplate::new(&reserved),
    };
    create(&mut txn, Object::Cluster(Arc::new(default)));
    create(&mut txn, Object::Zone(Arc::new(zone_local(world))));
    create(&mut txn, Object::SecurityGroup(Arc::new(secgroup_default())));
    for datastore in datastores(world) {
        create(&mut txn, Object::Datastore(Arc::new(datastore)));
    }
    for market in marketplaces() {
        create(&mut txn, Object::Marketplace(Arc::new(market)));
    }
    for rule in default_rules() {
        create(&mut txn, Object::Acl(Arc::new(rule)));
    }
    vdc_default_make(&mut txn, [group::USERS].into());
    // Recorded: the first ids given to these kinds by users are 100.
    for kind in [
        Kind::Group,
        Kind::Cluster,
        Kind::Datastore,
        Kind::Marketplace,
        Kind::Zone,
        Kind::SecurityGroup,
    ] {
        txn.id_used(kind, 99);
    }
    txn.finish()
}

/// The public catalogues (recorded: their ids, names, descriptions and states).
fn marketplaces() -> [Marketplace; 2] {
    let market = |id, name: &str, market_mad: &str, state, description: &str| {
        let mut template = Template::new();
        template.set("DESCRIPTION", description);
        template.set("MARKET_MAD", market_mad);
        Marketplace {
            id,
            name: name.into(),
            owned: Owned::new(user::ONEADMIN, group::ONEADMIN, Permissions(0o744)),
            state,
            market_mad: market_mad.into(),
            zone_id: zone::LOCAL,
            template: PackedTemplate::new(&template),
        }
    };
    [
        market(
            0,
            "OpenNebula Public",
            "one",
            MarketState::Enabled,
            "OpenNebula Systems MarketPlace",
        ),
        market(
            1,
            "Linux Containers",
            "linuxcontainers",
            MarketState::Disabled,
            "MarketPlace for the public image server fo LXC & LXD hosted at linuxcontainers.org",
        ),
    ]
}

fn create(txn: &mut Txn<'_>, object: Object) {
    txn.id_used(object.kind(), object.id());
    txn.create(object);
}

/// A new user with the secret that signs its VMs' tokens.
pub(crate) fn user_new(
    txn: &mut Txn<'_>,
    id: Id,
    name: &str,
    password: &str,
    driver: &str,
    mut groups: Vec<Id>,
) -> User {
    let gid = groups.first().copied().unwrap_or(group::USERS);
    groups.sort_unstable();
    groups.dedup();
    let mut template = Template::new();
    template.set(
        "TOKEN_PASSWORD",
        format!("{:032x}{:032x}", txn.random(), txn.random()),
    );
    User {
        id,
        name: name.into(),
        gid,
        groups,
        password: password.into(),
        auth_driver: driver.into(),
        enabled: true,
        tokens: Vec::new(),
        template: PackedTemplate::new(&template),
        quotas: Quotas::default(),
    }
}

fn zone_local(world: &World) -> Zone {
    let port = world.config.attributes.get("PORT").unwrap_or("2633");
    let mut template = Template::new();
    template.set("ENDPOINT", format!("http://localhost:{port}/RPC2"));
    Zone {
        id: zone::LOCAL,
        name: "OpenNebula".into(),
        state: 0,
        template: PackedTemplate::new(&template),
    }
}

fn secgroup_default() -> SecurityGroup {
    let mut template = Template::new();
    template.set(
        "DESCRIPTION",
        "Allows all traffic. Every network that names no security group has this one; change a network's \
         SECURITY_GROUPS to remove it there.",
    );
    for direction in ["OUTBOUND", "INBOUND"] {
        let rule: Vector = [("PROTOCOL", "ALL"), ("RULE_TYPE", direction)]
            .into_iter()
            .collect();
        template.add_vector("RULE", rule);
    }
    SecurityGroup {
        id: secgroup::DEFAULT,
        name: "default".into(),
        owned: Owned::new(0, group::ONEADMIN, Permissions(0o744)),
        template: PackedTemplate::new(&template),
    }
}

/// The datastores of a new installation use the ssh transfer driver: it needs nothing mounted anywhere.
fn datastores(world: &World) -> Vec<Datastore> {
    let make = |id: Id, name: &str, kind: DatastoreType| {
        let mut template = Template::new();
        template.set("ALLOW_ORPHANS", "FORMAT");
        template.set("DISK_TYPE", "FILE");
        template.set("RESTRICTED_DIRS", "/");
        template.set("SAFE_DIRS", "/var/tmp");
        template.set("TM_MAD", "ssh");
        template.set("TYPE", kind.as_str());
        if kind == DatastoreType::System {
            for (name, value) in [
                ("DS_MIGRATE", "YES"),
                ("DS_LIVE_MIGRATE", "YES"),
                ("SHARED", "NO"),
            ] {
                template.set(name, value);
            }
        } else {
            template.set("CLONE_TARGET", "SYSTEM");
            template.set("DS_MAD", "fs");
            template.set("LN_TARGET", "SYSTEM");
        }
        Datastore {
            id,
            name: name.into(),
            owned: Owned::new(0, group::ONEADMIN, Permissions(0o640)),
            ds_mad: if kind == DatastoreType::System {
                "-".into()
            } else {
                "fs".into()
            },
            tm_mad: "ssh".into(),
            base_path: format!("{}/{id}", world.config.datastore_location),
            kind,
            disk_type: DiskType::File,
            state: DatastoreState::Ready,
            clusters: vec![cluster::DEFAULT],
            template: PackedTemplate::new(&template),
        }
    };
    vec![
        make(datastore::SYSTEM, "system", DatastoreType::System),
        make(datastore::DEFAULT, "default", DatastoreType::Image),
        make(datastore::FILES, "files", DatastoreType::File),
    ]
}

//! Where exactly a permission, a lock or a quota begins to refuse.

use plerion_model::acl::{self, AclRule};
use plerion_model::{Id, Kind};
use plerion_world::{AclCommand, Caller, Command, HostStatus, QuotaCommand, TokenLimit};

use crate::cloud::stage::{Stage, give, refuses_to, t, update, vm};

fn chmod(position: usize, value: i32) -> Command {
    let mut bits = [-1; 9];
    bits[position] = value;
    Command::Chmod {
        kind: Kind::Vm,
        id: 0,
        bits,
    }
}

#[test]
fn each_permission_bit_needs_its_right() {
    let mut stage = Stage::new();
    let (owner, stranger) = (stage.owner.clone(), stage.stranger.clone());
    let bits = |stage: &Stage| stage.cloud.world.vm(0).expect("there").owned.permissions;
    let before = bits(&stage);
    for position in 0..9 {
        let is_set = before.0 >> (8 - position) & 1;
        let change = || chmod(position, 1 - i32::from(is_set));
        let (of_owner, of_stranger) = if position % 3 == 2 {
            ("ADMIN VM [0]", "ADMIN VM [0]")
        } else {
            ("nothing", "MANAGE VM [0]")
        };
        assert_eq!(stage.lacks(&stranger, change()), of_stranger, "{position}");
        assert_eq!(bits(&stage), before);
        assert_eq!(stage.lacks(&owner, change()), of_owner, "{position}");
        let back = chmod(position, i32::from(is_set));
        stage.cloud.give(&Caller::system(), back).expect("back");
        assert_eq!(bits(&stage), before);
    }
}

#[test]
fn a_lock_is_set_again_unless_asked_not_to_and_its_owner_takes_it_away() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let lock = |level, test| Command::Lock {
        kind: Kind::Vm,
        id: 0,
        level,
        test,
    };
    let (owner, mighty) = (s.owner.clone(), s.mighty.clone());
    let level = |s: &Stage| {
        s.cloud
            .world
            .vm(0)
            .expect("there")
            .owned
            .lock
            .as_ref()
            .map(|lock| lock.level)
    };
    s.cloud.give(&owner, lock(3, false)).expect("locked");
    let of_admin = level(s);
    s.cloud.give(&owner, lock(1, false)).expect("locked again");
    assert!(of_admin.is_some() && level(s).is_some() && level(s) != of_admin);
    refuses_to(s, &owner, "is locked already", lock(2, true));
    refuses_to(s, &mighty, "locked by somebody else", lock(0, true));
    s.cloud.give(&owner, lock(0, false)).expect("its own lock");
    assert_eq!(level(s), None);
    s.cloud.give(&owner, lock(2, true)).expect("locked");
    give(s, lock(0, true));
    assert_eq!(level(s), None);
}

fn limit(stage: &mut Stage, id: Id, text: &str) {
    let command = QuotaCommand::Set {
        kind: Kind::User,
        id,
        template: t(text),
    };
    give(stage, Command::Quota(command));
}

#[test]
fn a_limit_can_be_reached_and_what_is_beyond_it_stays_but_does_not_grow() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let owner = s.owner.clone();
    let small = || vm("NAME=small\nDISK=[TYPE=fs,SIZE=10]");
    // It has one VM already.
    limit(s, owner.uid, "VM=[VMS=3]");
    for _ in 0..2 {
        s.cloud.give(&owner, small()).expect("within the limit");
    }
    refuses_to(s, &owner, "limit of 3 reached for VMS quota in VM", small());
    limit(s, owner.uid, "VM=[VMS=1]");
    s.cloud
        .give(&owner, update(Kind::Vm, 0, "A=1"))
        .expect("no more than before");
    let rename = Command::Rename {
        kind: Kind::Vm,
        id: 0,
        name: "other".into(),
    };
    s.cloud.give(&owner, rename).expect("no more than before");
    refuses_to(s, &owner, "limit of 1 reached for VMS quota in VM", small());
    limit(s, owner.uid, "VM=[VMS=-2]");
    s.cloud.give(&owner, small()).expect("without limit");
}

/// Gives a user all rights on what is named, of one kind.
fn rule(stage: &mut Stage, uid: Id, kind: Kind, named: u64) {
    let rule = AclRule {
        id: -1,
        user: acl::INDIVIDUAL | acl::id_bits(uid),
        resource: kind.acl_bit() | named,
        rights: 0xf,
        zone: acl::ALL,
    };
    give(stage, Command::Acl(AclCommand::Add(rule)));
}

#[test]
fn rules_reach_what_is_in_their_cluster_or_group_and_nothing_else() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let stranger = s.stranger.clone();
    let before = s.cloud.world.clone();
    let (here, there) = (
        acl::CLUSTER | acl::id_bits(0),
        acl::CLUSTER | acl::id_bits(s.cluster),
    );
    let (group, other) = (acl::GROUP | acl::id_bits(1), acl::GROUP | acl::id_bits(0));
    for (kind, id, in_cluster, in_group) in [
        (Kind::Vm, 0, true, true),
        (Kind::Host, 0, true, false),
        (Kind::Vnet, 0, true, false),
        (Kind::Datastore, 101, true, false),
        (Kind::Cluster, 0, true, false),
        (Kind::Document, s.document, false, false),
        (Kind::User, s.owner.uid, false, true),
        (Kind::Group, 1, false, true),
    ] {
        for (named, reaches) in [
            (here, in_cluster),
            (there, false),
            (group, in_group),
            (other, false),
        ] {
            // What administrators have made is of their group.
            let reaches = reaches
                || named == other
                    && before
                        .object(kind, id)
                        .is_ok_and(|object| object.owned().is_some_and(|owned| owned.gid == 0));
            rule(s, stranger.uid, kind, named);
            let lacks = s.lacks(&stranger, update(kind, id, "A=1"));
            assert_eq!(lacks == "nothing", reaches, "{kind:?} {named:x}: {lacks}");
            s.cloud.world = before.clone();
        }
    }
}

#[test]
fn administrators_are_user_0_and_members_of_group_0() {
    let mut stage = Stage::new();
    let uid = stage.stranger.uid;
    for (uid, groups, is_admin) in [
        (0, vec![0], true),
        (0, vec![1], true),
        (uid, vec![1, 0], true),
        (uid, vec![1], false),
    ] {
        let caller = Caller {
            uid,
            gid: groups[0],
            groups,
            token: None,
        };
        let disable = Command::HostSetStatus {
            id: 0,
            status: HostStatus::Disabled,
        };
        let lacks = stage.lacks(&caller, disable);
        assert_eq!(lacks == "nothing", is_admin, "{caller:?}: {lacks}");
    }
}

#[test]
fn with_a_token_of_one_group_users_do_not_change_themselves() {
    let mut stage = Stage::new();
    let owner = stage.owner.clone();
    for (egid, may) in [(-1, true), (0, false), (1, false)] {
        let caller = Caller {
            token: Some(TokenLimit { expires: -1, egid }),
            ..owner.clone()
        };
        let lacks = stage.lacks(&caller, update(Kind::User, owner.uid, "A=1"));
        assert_eq!(lacks == "nothing", may, "{egid}: {lacks}");
    }
}

fn world_rules(stage: &Stage, among: &[Id]) -> Vec<Id> {
    let acls = &stage.cloud.world.acls;
    among
        .iter()
        .copied()
        .filter(|id| acls.get(*id).is_some())
        .collect()
}

#[test]
fn what_is_gone_takes_along_the_rules_that_name_it_and_no_others() {
    let mut stage = Stage::new();
    let s = &mut stage;
    // The second one: the first one has the number of the cluster.
    let [_, group] = ["f", "g"].map(|name| give(s, Command::GroupAllocate { name: name.into() }));
    let (uid, cluster, store) = (s.stranger.uid, s.cluster, s.backups);
    let bits = acl::id_bits;
    let mut made = Vec::new();
    let mut add = |s: &mut Stage, user: u64, resource: u64| {
        let rule = AclRule {
            id: -1,
            user,
            resource,
            rights: 4,
            zone: acl::ALL,
        };
        made.push(give(s, Command::Acl(AclCommand::Add(rule))));
    };
    let hosts = Kind::Host.acl_bit();
    add(s, acl::INDIVIDUAL | bits(uid), hosts | acl::ALL);
    add(s, acl::GROUP | bits(group), hosts | acl::ALL);
    add(s, acl::ALL, Kind::Vm.acl_bit() | acl::GROUP | bits(group));
    add(s, acl::ALL, hosts | acl::CLUSTER | bits(cluster));
    add(
        s,
        acl::ALL,
        Kind::Datastore.acl_bit() | acl::INDIVIDUAL | bits(store),
    );
    // These name others that have the same ids.
    add(s, acl::GROUP | bits(uid), hosts | acl::ALL);
    add(s, acl::INDIVIDUAL | bits(group), hosts | acl::ALL);
    add(s, acl::ALL, Kind::Vm.acl_bit() | acl::CLUSTER | bits(group));
    add(s, acl::ALL, hosts | acl::GROUP | bits(cluster));
    add(s, acl::ALL, Kind::Image.acl_bit() | acl::INDIVIDUAL | bits(store));
    let before = s.cloud.world.clone();
    for (kind, id, gone) in [
        (Kind::User, uid, vec![0]),
        (Kind::Group, group, vec![1, 2]),
        (Kind::Cluster, cluster, vec![3]),
        (Kind::Datastore, store, vec![4]),
    ] {
        give(s, Command::Delete { kind, id });
        let gone: Vec<Id> = gone.into_iter().map(|at: usize| made[at]).collect();
        let stay: Vec<Id> = made.iter().copied().filter(|rule| !gone.contains(rule)).collect();
        assert_eq!(world_rules(s, &made), stay, "{kind:?}");
        s.cloud.world = before.clone();
    }
}

#[test]
fn administrators_of_two_groups_keep_the_rules_of_the_other() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let uid = s.stranger.uid;
    let groups = ["one", "two"].map(|name| give(s, Command::GroupAllocate { name: name.into() }));
    for id in groups {
        give(
            s,
            Command::UserGroup {
                id: uid,
                gid: id,
                add: true,
            },
        );
    }
    let rules = |s: &Stage, group: Id| {
        let all: Vec<AclRule> = s.cloud.world.acls.values().map(|rule| (**rule).clone()).collect();
        let wanted = acl::group_admin_rules(group, uid);
        wanted
            .iter()
            .filter(|rule| all.iter().any(|other| rule.says_the_same(other)))
            .count()
    };
    let set = |id: Id, add: bool| Command::GroupAdmin { id, uid, add };
    let [one, two] = groups;
    give(s, set(one, true));
    assert_eq!((rules(s, one), rules(s, two)), (4, 1));
    give(s, set(two, true));
    assert_eq!((rules(s, one), rules(s, two)), (4, 4));
    give(s, set(one, false));
    assert_eq!((rules(s, one), rules(s, two)), (1, 4));
    give(s, set(two, false));
    assert_eq!((rules(s, one), rules(s, two)), (0, 0));
}

#[test]
fn administrators_give_all_bits_to_what_they_make_and_others_no_administration() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let uid = s.owner.uid;
    for id in [0, uid] {
        give(s, update(Kind::User, id, "UMASK=000"));
    }
    for (uid, gid, bits) in [(0, 0, 0o777), (0, 1, 0o777), (uid, 0, 0o777), (uid, 1, 0o666)] {
        let caller = Caller {
            uid,
            gid,
            groups: vec![gid],
            token: None,
        };
        let command = Command::TemplateAllocate {
            template: t(&format!("NAME=made-{uid}-{gid}\nCPU=1\nMEMORY=64")),
        };
        let id = s.cloud.give(&caller, command).expect("made");
        let made = s.cloud.world.object(Kind::Template, id).expect("there");
        assert_eq!(made.owned().expect("owned").permissions.0, bits, "{uid} {gid}");
    }
}

#[test]
fn bits_that_stay_as_they_are_need_no_right() {
    let mut stage = Stage::new();
    let s = &mut stage;
    let owner = s.owner.clone();
    give(s, chmod(2, 1));
    assert_eq!(s.lacks(&owner, chmod(3, 1)), "nothing");
    give(s, chmod(6, 1));
    let conf = t("ENABLE_OTHER_PERMISSIONS=NO");
    s.cloud.world.config = std::sync::Arc::new(plerion_world::Config::new(conf, "/var/lib/one/datastores"));
    assert_eq!(s.lacks(&owner, chmod(4, 1)), "nothing");
    refuses_to(s, &owner, "ENABLE_OTHER_PERMISSIONS", chmod(6, 0));
}

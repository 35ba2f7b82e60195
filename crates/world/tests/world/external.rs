//! Users for whom an authentication driver answers.

use crate::cloud::Cloud;
use plerion_model::Id;
use plerion_template::Template;
use plerion_world::{Caller, Command, Config, ExternalCommand, VouchedGroup, groups_differ};

const CONF: &str = "\
AUTH_MAD_CONF = [ NAME = \"mine\", PASSWORD_CHANGE = \"NO\", PASSWORD_REQUIRED = \"NO\", DRIVER_MANAGED_GROUPS = \"YES\", \
DRIVER_MANAGED_GROUP_ADMIN = \"YES\", MAX_TOKEN_TIME = \"600\" ]
AUTH_MAD_CONF = [ NAME = \"plain\", MAX_TOKEN_TIME = \"0\" ]
";

/// A cloud with the groups 100 and 101.
fn cloud() -> Cloud {
    let mut cloud = Cloud::new();
    let conf = Template::parse_config(CONF).expect("a configuration");
    cloud.world.config = std::sync::Arc::new(Config::new(conf, "/var/lib/one/datastores"));
    for name in ["a", "b"] {
        cloud
            .give(&Caller::system(), Command::GroupAllocate { name: name.into() })
            .expect("a group");
    }
    cloud
}

fn vouched(groups: &[(Id, bool)]) -> Vec<VouchedGroup> {
    groups
        .iter()
        .map(|(id, admin)| VouchedGroup {
            id: *id,
            admin: *admin,
        })
        .collect()
}

fn made(cloud: &mut Cloud, name: &str, driver: &str, groups: &[(Id, bool)]) -> Result<Id, String> {
    let command = ExternalCommand::Make {
        name: name.into(),
        driver: driver.into(),
        password: "uid=x".into(),
        groups: vouched(groups),
    };
    cloud
        .give(&Caller::system(), Command::External(command))
        .map_err(|error| error.text)
}

fn admins(cloud: &Cloud, group: Id) -> Vec<Id> {
    cloud.world.groups.get(group).expect("the group").admins.clone()
}

#[test]
fn a_first_login_makes_the_user_in_the_groups_that_exist() {
    let mut cloud = cloud();
    let id = made(
        &mut cloud,
        "ann",
        "mine",
        &[(101, true), (4711, true), (100, false)],
    )
    .expect("a user");
    let user = cloud.world.users.get(id).expect("the user").clone();
    assert_eq!((user.gid, user.groups.as_slice()), (101, [100, 101].as_slice()));
    assert_eq!(
        (user.auth_driver.as_str(), user.password.as_str()),
        ("mine", "uid=x")
    );
    assert_eq!((admins(&cloud, 100), admins(&cloud, 101)), (vec![], vec![id]));
    assert_eq!(made(&mut cloud, "ann", "mine", &[]), Ok(id), "made meanwhile");
    assert!(
        made(&mut cloud, "ann", "plain", &[]).is_err(),
        "the name is another driver's"
    );
    let other = made(&mut cloud, "bob", "mine", &[]).expect("a user");
    assert_eq!(cloud.world.users.get(other).expect("the user").groups, [1]);
    cloud.finish();
}

#[test]
fn administrators_of_groups_come_from_drivers_that_manage_them_only() {
    let mut cloud = cloud();
    made(&mut cloud, "ann", "plain", &[(100, true)]).expect("a user");
    assert!(admins(&cloud, 100).is_empty());
    cloud.finish();
}

#[test]
fn groups_follow_the_driver() {
    let mut cloud = cloud();
    let id = made(&mut cloud, "ann", "mine", &[(100, true)]).expect("a user");
    assert!(!groups_differ(&cloud.world, id, &vouched(&[(100, true)])));
    assert!(!groups_differ(
        &cloud.world,
        id,
        &vouched(&[(100, true), (4711, false)])
    ));
    assert!(
        !groups_differ(&cloud.world, id, &vouched(&[(4711, true)])),
        "none that exists"
    );
    assert!(groups_differ(&cloud.world, id, &vouched(&[(100, false)])));
    assert!(groups_differ(
        &cloud.world,
        id,
        &vouched(&[(100, true), (101, false)])
    ));
    let set = |groups: &[(Id, bool)]| {
        Command::External(ExternalCommand::Groups {
            id,
            groups: vouched(groups),
        })
    };
    cloud
        .give(&Caller::system(), set(&[(101, true), (1, false)]))
        .expect("set");
    let user = cloud.world.users.get(id).expect("the user").clone();
    assert_eq!((user.gid, user.groups.as_slice()), (101, [1, 101].as_slice()));
    assert_eq!((admins(&cloud, 100), admins(&cloud, 101)), (vec![], vec![id]));
    cloud
        .give(&Caller::system(), set(&[(1, false), (101, false)]))
        .expect("set");
    let user = cloud.world.users.get(id).expect("the user").clone();
    assert_eq!(user.gid, 101, "the primary group stays where it may");
    assert!(admins(&cloud, 101).is_empty());
    let caller = Caller::of(&user);
    assert!(
        cloud.give(&caller, set(&[(0, true)])).is_err(),
        "only the front-end speaks for a driver"
    );
    cloud.finish();
}

#[test]
fn what_the_driver_manages_is_not_changed_by_hand() {
    let mut cloud = cloud();
    let id = made(&mut cloud, "ann", "mine", &[(100, false)]).expect("a user");
    let system = Caller::system();
    for command in [
        Command::UserGroup {
            id,
            gid: 101,
            add: true,
        },
        Command::UserGroup {
            id,
            gid: 100,
            add: false,
        },
        Command::UserChgrp { id, gid: 101 },
    ] {
        let error = cloud.give(&system, command).expect_err("refused").text;
        assert!(error.contains("DRIVER_MANAGED_GROUPS"), "{error}");
    }
    let own = Caller::of(cloud.world.users.get(id).expect("the user"));
    let password = || Command::UserPasswd {
        id,
        password: "new".into(),
    };
    let error = cloud.give(&own, password()).expect_err("refused").text;
    assert!(error.contains("PASSWORD_CHANGE"), "{error}");
    cloud.give(&system, password()).expect("administrators may");
    cloud.finish();
}

#[test]
fn tokens_live_as_long_as_the_driver_allows() {
    let mut cloud = cloud();
    let long = made(&mut cloud, "ann", "mine", &[]).expect("a user");
    made(&mut cloud, "bob", "plain", &[]).expect("a user");
    let token = |name: &str, valid| Command::UserLogin {
        name: name.into(),
        hash: format!("{valid}"),
        valid,
        egid: -1,
        named: false,
    };
    let mut asked = Vec::new();
    for (valid, given) in [(-1, 600), (601, 600), (60, 60)] {
        cloud
            .give(&Caller::system(), token("ann", valid))
            .expect("a token");
        asked.push(cloud.now() + given);
    }
    let ends: Vec<i64> = cloud
        .world
        .users
        .get(long)
        .expect("the user")
        .tokens
        .iter()
        .map(|token| token.expires)
        .collect();
    assert_eq!(ends, asked);
    let error = cloud
        .give(&Caller::system(), token("bob", 60))
        .expect_err("none")
        .text;
    assert!(error.contains("MAX_TOKEN_TIME"), "{error}");
    cloud.finish();
}

#[test]
fn a_password_is_not_asked_for_where_the_driver_needs_none() {
    let mut cloud = cloud();
    let allocate = |driver: &str| Command::UserAllocate {
        name: driver.into(),
        password: String::new(),
        driver: driver.into(),
        groups: vec![],
    };
    cloud.give(&Caller::system(), allocate("mine")).expect("a user");
    assert!(cloud.give(&Caller::system(), allocate("plain")).is_err());
    assert!(cloud.give(&Caller::system(), allocate("core")).is_err());
    cloud.finish();
}

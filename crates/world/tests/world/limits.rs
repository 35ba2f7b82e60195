//! Where exactly a permission, a lock or a quota begins to refuse.

use plerion_model::{Id, Kind};
use plerion_world::{Caller, Command, QuotaCommand};

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

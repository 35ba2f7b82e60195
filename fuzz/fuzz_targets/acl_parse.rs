//! A rule as `one.acl.addrule` gets it (user, resource, rights, zone; a line each): what is taken is the same when it is read
//! again as the API shows it, and grants no right that it does not name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plerion_model::Kind;
use plerion_model::acl::{AclQuestion, AclRule};

const IDS: [i32; 5] = [0, 1, 7, 100, i32::MAX];

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    let Ok(rule) = AclRule::parse(next(), next(), next(), next()) else { return };

    let shown = [rule.user, rule.resource, rule.rights, rule.zone].map(|number| format!("{number:x}"));
    let again = AclRule::parse(&shown[0], &shown[1], &shown[2], &shown[3]);
    assert!(again.is_ok_and(|again| again.says_the_same(&rule)));
    assert_eq!(rule.text().split(' ').count(), 4, "{}", rule.text());

    for kind in [Kind::Vm, Kind::Host, Kind::User] {
        for id in IDS {
            for right in [1, 2, 4, 8] {
                let question = AclQuestion { uid: id, groups: &[id], kind, oid: id, gid: id, clusters: &[id], right };
                if rule.grants(&question, 0) {
                    assert_eq!(rule.rights & right, right);
                    assert!(rule.resource & kind.acl_bit() != 0);
                }
            }
        }
    }
});

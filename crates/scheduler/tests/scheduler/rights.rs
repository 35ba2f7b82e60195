//! VMs go where their owners may put them.

use plerion_model::{Id, Kind};
use plerion_scheduler::Reason;
use plerion_world::{AclCommand, Command};

use crate::support::Cloud;

/// A pending VM of a new user of the group `users`.
fn users_vm(cloud: &mut Cloud) -> Id {
    let user = cloud.run(Command::UserAllocate {
        name: "ann".into(),
        password: "x".into(),
        driver: "core".into(),
        groups: vec![1],
    });
    let vm = cloud.vm("");
    cloud.run(Command::Chown {
        kind: Kind::Vm,
        id: vm,
        uid: user,
        gid: 1,
    });
    vm
}

fn rules_delete(cloud: &mut Cloud) {
    let ids: Vec<Id> = cloud.world.acls.iter().map(|(id, _)| id).collect();
    for id in ids {
        cloud.run(Command::Acl(AclCommand::Delete(id)));
    }
}

#[test]
fn an_owner_without_rights_on_hosts_waits_with_the_reason() {
    let mut cloud = Cloud::new();
    cloud.host(8, 16);
    users_vm(&mut cloud);
    assert_eq!(
        cloud.plan().placements.len(),
        1,
        "the rules of a new installation let users"
    );
    rules_delete(&mut cloud);
    let refusal = cloud.refusal();
    assert_eq!(refusal.code, Reason::Rights);
    assert_eq!(
        refusal.summary,
        "Cannot dispatch VM: The owner may use none of the hosts: host 0 (node-0): the VM's owner 2 may not use it (no \
         right MANAGE on the host)"
    );
    cloud.vm("");
    assert_eq!(cloud.plan().placements.len(), 1, "administrators need no rule");
}

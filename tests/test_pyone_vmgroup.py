"""pyone: VM groups, their roles, and where their VMs go."""

import pyone
import pytest

from harness import cloud
from harness.rpc import Session

ROLES = 'ROLE=[NAME="front",POLICY="ANTI_AFFINED"]\nROLE=[NAME="back",POLICY="AFFINED",HOST_ANTI_AFFINED="2"]\nROLE=[NAME="db"]'


@pytest.fixture(scope="module")
def made(server):
    return cloud.cloud_make(Session(server), hosts=2)


@pytest.fixture
def group(one, request):
    name = "".join(letter for letter in request.node.name if letter.isalnum())
    return one.vmgroup.allocate(f'NAME="{name}"\n{ROLES}\nANTI_AFFINED="front,db"')


def roles(one, group):
    return {role.NAME: role for role in one.vmgroup.info(group).ROLES.ROLE}


def vm_in(one, group, role, hold=True, name="member"):
    return one.vm.allocate(cloud.VM.format(name) + f'\nVMGROUP=[VMGROUP_ID="{group}",ROLE="{role}"]', hold)


def test_roles(one, group):
    found = roles(one, group)
    assert [(role.ID, role.NAME, role.POLICY) for role in found.values()] == [
        (0, "front", "ANTI_AFFINED"),
        (1, "back", "AFFINED"),
        (2, "db", None),
    ]
    assert found["back"].HOST_ANTI_AFFINED == "2"
    assert one.vmgroup.info(group).TEMPLATE["ANTI_AFFINED"] == "front,db"
    assert one.vmgroup.roleadd(group, 'ROLE=[NAME="cache",HOST_AFFINED="1,0"]') == group
    assert roles(one, group)["cache"].HOST_AFFINED == "0,1"
    with pytest.raises(pyone.OneActionException, match="Role already exists"):
        one.vmgroup.roleadd(group, 'ROLE=[NAME="cache"]')
    assert one.vmgroup.roleupdate(group, 3, 'ROLE=[POLICY="ANTI_AFFINED"]') == group
    cache = roles(one, group)["cache"]
    assert (cache.POLICY, cache.HOST_AFFINED) == ("ANTI_AFFINED", "0,1")
    assert one.vmgroup.roledelete(group, 3) == group
    assert "cache" not in roles(one, group)
    with pytest.raises(pyone.OneActionException, match="doesn't exist"):
        one.vmgroup.roledelete(group, 3)
    with pytest.raises(pyone.OneActionException, match="names the role db"):
        one.vmgroup.roledelete(group, 2)


@pytest.mark.parametrize(
    "text",
    [
        'ROLE=[POLICY="AFFINED"]',
        'ROLE=[NAME="a",POLICY="SOMETIMES"]',
        'ROLE=[NAME="a"]\nROLE=[NAME="a"]',
        'ROLE=[NAME="a",HOST_AFFINED="x"]',
        'ROLE=[NAME="a",HOST_AFFINED="1",HOST_ANTI_AFFINED="1"]',
        'ROLE=[NAME="a"]\nAFFINED="a,b"',
        'ROLE=[NAME="a"]\nAFFINED="a"',
        'ROLE=[NAME="a"]\nROLE=[NAME="b"]\nAFFINED="a,b"\nANTI_AFFINED="b,a"',
        'ROLE="a"',
    ],
)
def test_groups_that_are_wrong(one, text):
    with pytest.raises(pyone.OneException):
        one.vmgroup.allocate(f'NAME="wrong"\n{text}')
    assert "wrong" not in [group.NAME for group in one.vmgrouppool.info(-2, -1, -1).VM_GROUP]


def test_members(one, group):
    vm = vm_in(one, group, "front")
    assert one.vm.info(vm).TEMPLATE["VMGROUP"]["VMGROUP_ID"] == str(group)
    assert roles(one, group)["front"].VMS == str(vm)
    with pytest.raises(pyone.OneException, match="no role"):
        vm_in(one, group, "nosuch")
    with pytest.raises(pyone.OneActionException, match=f"VM {vm} is in it"):
        one.vmgroup.delete(group)
    with pytest.raises(pyone.OneActionException, match=f"VM {vm} is in it"):
        one.vmgroup.roleupdate(group, 0, 'ROLE=[NAME="renamed"]')
    with pytest.raises(pyone.OneActionException):
        one.vm.vmgroupadd(vm, group, "db")
    assert one.vm.vmgroupdel(vm) == vm
    assert "VMGROUP" not in one.vm.info(vm).TEMPLATE
    assert one.vm.vmgroupadd(vm, group, "db") == vm
    assert (roles(one, group)["front"].VMS, roles(one, group)["db"].VMS) == (None, str(vm))
    one.vm.action("terminate", vm)
    cloud.eventually(lambda: roles(one, group)["db"].VMS, lambda vms: vms is None, "the VM gone")
    assert one.vmgroup.delete(group) == group


def test_group_by_name(one, group):
    name = one.vmgroup.info(group).NAME
    vm = one.vm.allocate(cloud.VM.format("named") + f'\nVMGROUP=[VMGROUP_NAME="{name}",ROLE="db"]', True)
    assert one.vm.info(vm).TEMPLATE["VMGROUP"]["VMGROUP_ID"] == str(group)


def test_a_group_that_one_may_not_use(server, one, group):
    one.user.allocate("stranger", "secret", "", [])
    answer = Session(server, "stranger:secret").call(
        "vm.allocate", cloud.VM.format("x") + f'\nVMGROUP=[VMGROUP_ID="{group}",ROLE="db"]', True
    )
    assert (answer.outcome, answer.code) == ("error", 0x200), answer


def test_vms_that_keep_apart(server, one, made, group):
    """Two hosts take two VMs of `front`; the third waits, and its owner reads why."""
    admin = Session(server)
    vms = [vm_in(one, group, "front", False, f"apart-{number}") for number in range(3)]
    waiting = cloud.eventually(
        lambda: [vm for vm in vms if one.vm.info(vm).STATE == 1], lambda found: len(found) == 1, "one VM that waits"
    )[0]
    reason = cloud.eventually(
        lambda: one.vm.info(waiting).USER_TEMPLATE.get("SCHED_MESSAGE", ""), bool, "the reason"
    )
    assert f"a VM of role front of VM group {group} is there" in reason
    running = [vm for vm in vms if vm != waiting]
    for vm in running:
        cloud.vm_await(admin, vm, 3, 3)
    hosts = {one.vm.info(vm).HISTORY_RECORDS.HISTORY[-1].HID for vm in running}
    assert hosts == set(made.hosts)
    with pytest.raises(pyone.OneActionException, match="no two share a host"):
        one.vm.deploy(waiting, made.hosts[0], True, -1, "")
    alone = one.vm.allocate(cloud.VM.format("alone"), False)
    cloud.vm_await(admin, alone, 3, 3)
    with pytest.raises(pyone.OneActionException, match="cannot join role front"):
        one.vm.vmgroupadd(alone, group, "front")
    one.vm.action("terminate-hard", running[0])
    cloud.vm_await(admin, waiting, 3, 3)


def test_group_survives_a_restart(own_server):
    admin = Session(own_server)
    group = admin.ok("vmgroup.allocate", f'NAME="kept"\n{ROLES}')
    template = admin.ok("vntemplate.allocate", 'NAME="kept"\nVN_MAD="dummy"\nBRIDGE="br0"')
    admin.ok("vm.allocate", cloud.VM.format("x") + f'\nVMGROUP=[VMGROUP_ID="{group}",ROLE="db"]', True)
    before = admin.ok("vmgroup.info", group), admin.ok("vntemplate.info", template)
    own_server.kill()
    own_server.start()
    assert (admin.ok("vmgroup.info", group), admin.ok("vntemplate.info", template)) == before

"""Access control rules and group administrators, by pyone."""

import pyone
import pytest

from harness import cloud

VMS_OF_ALL = "0x1400000000"
USE, MANAGE = "0x1", "0x3"


def one_user(ident):
    return f"{(1 << 32) | ident:#x}"


@pytest.fixture
def plain(one, server, request):
    """(id, session) of a user of a group of its own."""
    name = f"acl-{request.node.originalname}"
    group = one.group.allocate(name)
    ident = one.user.allocate(name, "secret", "", [group])
    return ident, group, pyone.OneServer(server.url, session=f"{name}:secret")


def rules(one):
    return {rule.ID: rule.STRING for rule in one.acl.info().ACL}


def test_a_rule_lets_in_until_it_is_deleted(one, plain):
    ident, _, session = plain
    vm = one.vm.allocate(cloud.VM.format("acl-of-others"), True)
    with pytest.raises(pyone.OneAuthorizationException):
        session.vm.info(vm)
    rule = one.acl.addrule(one_user(ident), VMS_OF_ALL, USE, "")
    assert rules(one)[rule] == f"#{ident} VM/* USE #0"
    assert session.vm.info(vm).ID == vm
    assert vm in [member.ID for member in session.vmpool.info(-2, -1, -1, -1).VM]
    with pytest.raises(pyone.OneAuthorizationException):
        session.vm.rename(vm, "mine")
    with pytest.raises(pyone.OneInternalException, match="exists already"):
        one.acl.addrule(one_user(ident), VMS_OF_ALL, USE, "")
    assert one.acl.delrule(rule) == rule
    with pytest.raises(pyone.OneAuthorizationException):
        session.vm.info(vm)
    with pytest.raises(pyone.OneInternalException, match="does not exist"):
        one.acl.delrule(rule)


@pytest.mark.parametrize(
    "parts",
    [("x", VMS_OF_ALL, USE), ("0x3", VMS_OF_ALL, USE), ("0x100000003", "0x400000000", USE), ("0x100000003", VMS_OF_ALL, "0x10")],
    ids=["user", "user-sort", "resource", "rights"],
)
def test_a_malformed_rule_is_refused(one, parts):
    before = rules(one)
    with pytest.raises(pyone.OneInternalException, match="Wrong"):
        one.acl.addrule(*parts, "")
    assert rules(one) == before


def test_group_administrator(one, plain):
    ident, group, session = plain
    other = one.user.allocate("acl-other-member", "secret", "", [group])
    with pytest.raises(pyone.OneAuthorizationException):
        session.user.update(other, 'NOTE="x"', 1)
    assert one.group.addadmin(group, ident) == group
    assert list(one.group.info(group).ADMINS.ID) == [ident]
    assert [text for text in rules(one).values() if text.startswith(f"#{ident} ")] == [
        f"#{ident} USER/@{group} USE+MANAGE+ADMIN+CREATE *",
        f"#{ident} VM+NET+IMAGE+TEMPLATE+DOCUMENT+SECGROUP+VROUTER+VMGROUP+BACKUPJOB/@{group} USE+MANAGE *",
        f"#{ident} VROUTER/* CREATE *",
        f"#{ident} GROUP/#{group} MANAGE *",
    ]
    session.user.update(other, 'NOTE="x"', 1)
    with pytest.raises(pyone.OneInternalException, match="already an administrator"):
        one.group.addadmin(group, ident)
    assert one.group.deladmin(group, ident) == group
    assert one.group.info(group).ADMINS.ID == []
    with pytest.raises(pyone.OneAuthorizationException):
        session.user.update(other, 'NOTE="y"', 1)
    with pytest.raises(pyone.OneInternalException, match=f"User 0 is not part of Group {group}"):
        one.group.addadmin(group, 0)


def test_who_leaves_administers_no_more(one, plain):
    ident, _, _ = plain
    second = one.group.allocate("acl-second")
    one.user.addgroup(ident, second)
    one.group.addadmin(second, ident)
    one.user.delgroup(ident, second)
    assert one.group.info(second).ADMINS.ID == []
    one.user.addgroup(ident, second)
    one.group.addadmin(second, ident)
    one.user.delete(ident)
    assert not [text for text in rules(one).values() if text.startswith(f"#{ident} ")]

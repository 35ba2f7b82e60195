"""Quotas, by pyone: limits of users, of groups, and of all that have none of their own."""

from xml.etree import ElementTree

import pyone
import pytest

from harness import cloud
from harness.rpc import Session


@pytest.fixture
def user(one, request):
    """(id, its own session) of a new user."""
    name = f"q-{request.node.originalname}"
    return one.user.allocate(name, "secret", "", []), name


@pytest.fixture
def plain(server, user):
    return pyone.OneServer(server.url, session=f"{user[1]}:secret")


def test_limit_of_a_user(one, user, plain):
    ident, _ = user
    assert one.user.quota(ident, 'VM=[VMS="2",CPU="1",MEMORY="512"]') == ident
    plain.vm.allocate(cloud.VM.format("one"), True)
    with pytest.raises(pyone.OneAuthorizationException, match=rf"user \[{ident}\] limit of 1 reached for CPU quota in VM"):
        plain.vm.allocate('NAME="big"\nCPU="5"\nMEMORY="64"', True)
    vm = one.user.info(ident).VM_QUOTA.VM[0]
    assert (vm.VMS, vm.VMS_USED, vm.CPU, vm.CPU_USED, vm.MEMORY_USED) == ("2", "1", "1", "0.10", "64")
    assert (vm.RUNNING_VMS, vm.RUNNING_VMS_USED) == ("-1", "1")
    # What is not named is reset.
    one.user.quota(ident, 'VM=[RUNNING_VMS="-1"]')
    assert one.user.info(ident).VM_QUOTA.VM[0].VMS == "-1"
    with pytest.raises(pyone.OneActionException, match="Negative limits or bad format"):
        one.user.quota(ident, 'VM=[VMS="-5"]')
    with pytest.raises(pyone.OneAuthorizationException):
        plain.user.quota(ident, 'VM=[VMS="500"]')
    pool = one.userpool.info()
    assert ident in [user.ID for user in pool.USER]


def test_limit_of_a_group(one, server):
    group = one.group.allocate("limited")
    one.user.allocate("member-of-limited", "secret", "", [group, 1])
    assert one.group.quota(group, 'VM=[VMS="1",CPU="-1",MEMORY="-1"]') == group
    member = pyone.OneServer(server.url, session="member-of-limited:secret")
    vm = member.vm.allocate(cloud.VM.format("first"), True)
    with pytest.raises(pyone.OneAuthorizationException, match=rf"group \[{group}\] limit of 1 reached for VMS quota in VM"):
        member.vm.allocate(cloud.VM.format("second"), True)
    member.vm.action("terminate-hard", vm)
    member.vm.allocate(cloud.VM.format("second"), True)
    assert one.group.info(group).VM_QUOTA.VM[0].VMS_USED == "1"
    with pytest.raises(pyone.OneActionException):
        one.group.quota(0, 'VM=[VMS="1"]')


def limits(call, *parameters):
    """The VM limits in the answer of a call. pyone has no type for it: its document is read here."""
    return {limit.tag: limit.text for limit in ElementTree.fromstring(call(*parameters)).iterfind("VM_QUOTA/VM/*")}


def test_defaults(one, server, user, plain):
    admin = Session(server)
    try:
        one.userquota.update('VM=[VMS="7"]')
        assert limits(admin.ok, "userquota.update", 'VM=[VMS="0"]')["VMS"] == "0"
        assert one.userquota.info() is not None
        assert limits(admin.ok, "userquota.info")["CPU"] == "-2"
        assert one.user.info(user[0]).DEFAULT_USER_QUOTAS.VM_QUOTA.VM.VMS == "0"
        with pytest.raises(pyone.OneAuthorizationException, match="limit of 0 reached for VMS quota"):
            plain.vm.allocate(cloud.VM.format("none"), True)
        one.user.quota(user[0], 'VM=[VMS="-2"]')
        plain.vm.allocate(cloud.VM.format("one"), True)
        with pytest.raises(pyone.OneAuthorizationException):
            plain.userquota.update('VM=[VMS="9"]')
    finally:
        one.userquota.update('VM=[VMS="-2"]')
    one.groupquota.update('VM=[VMS="1000"]')
    assert one.groupquota.info() is not None
    assert limits(admin.ok, "groupquota.info")["VMS"] == "1000"
    assert limits(admin.ok, "groupquota.update", 'VM=[VMS="-1"]') == {}


def test_all_sections_are_shown(one, user):
    ident, _ = user
    one.user.quota(ident, 'DATASTORE=[ID="1",IMAGES="1",SIZE="100"]\nNETWORK=[ID="4",LEASES="2"]\nIMAGE=[ID="7",RVMS="3"]')
    body = one.user.info(ident)
    datastore = body.DATASTORE_QUOTA.DATASTORE[0]
    assert (datastore.ID, datastore.IMAGES, datastore.IMAGES_USED, datastore.SIZE) == ("1", "1", "0", "100")
    assert body.NETWORK_QUOTA.NETWORK[0].LEASES == "2"
    assert body.IMAGE_QUOTA.IMAGE[0].RVMS == "3"

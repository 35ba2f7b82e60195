"""pyone: VDCs, and what their groups may do."""

import pyone
import pytest

from harness import cloud
from harness.rpc import Session

OF_ALL = {"HOST/* MANAGE #0", "NET/* USE #0", "DATASTORE/* USE #0"}


@pytest.fixture(scope="module")
def made(server):
    return cloud.cloud_make(Session(server), hosts=1)


@pytest.fixture
def tenant(one, server, request):
    """(group, session) of a user whose group is in no VDC."""
    name = f"tenant-{request.node.originalname}"
    group = one.group.allocate(name)
    one.user.allocate(name, "secret", "", [group])
    assert one.vdc.delgroup(0, group) == 0
    return group, pyone.OneServer(server.url, session=f"{name}:secret")


def rules(one, group):
    who = f"@{group} "
    return {rule.STRING.removeprefix(who) for rule in one.acl.info().ACL if rule.STRING.startswith(who)}


def pairs(vdc, what):
    members = getattr(getattr(vdc, f"{what}S"), what)
    return [(member.ZONE_ID, getattr(member, f"{what}_ID")) for member in members]


def test_default(one):
    group = one.group.allocate("of-default")
    vdc = one.vdc.info(0)
    assert vdc.NAME == "default" and group in vdc.GROUPS.ID
    assert pairs(vdc, "CLUSTER") == [(0, -10)]
    assert vdc.TEMPLATE["DESCRIPTION"].startswith("Every new group")
    assert rules(one, group) == OF_ALL
    with pytest.raises(pyone.OneActionException, match="System VDCs"):
        one.vdc.delete(0)
    assert one.group.delete(group) == group
    assert group not in one.vdc.info(0).GROUPS.ID


def test_template_and_name(one):
    vdc = one.vdc.allocate('NAME="named"\nNOTE="x"')
    assert vdc >= 100
    assert one.vdc.update(vdc, 'COST="2"', 1) == vdc
    assert one.vdc.rename(vdc, "renamed") == vdc
    found = one.vdc.info(vdc)
    assert (found.NAME, found.TEMPLATE) == ("renamed", {"NOTE": "x", "COST": "2"})
    with pytest.raises(pyone.OneException, match="NAME is already taken by Vdc"):
        one.vdc.allocate('NAME="renamed"')
    assert vdc in [member.ID for member in one.vdcpool.info().VDC]
    assert one.vdc.delete(vdc) == vdc
    with pytest.raises(pyone.OneNoExistsException):
        one.vdc.info(vdc)


def test_groups_may_use_what_their_vdc_has(one, made, tenant):
    group, session = tenant
    vdc = one.vdc.allocate('NAME="of-a-tenant"')
    assert one.vdc.addgroup(vdc, group) == vdc
    with pytest.raises(pyone.OneAuthorizationException):
        session.vn.info(made.vnet)
    assert one.vdc.addvnet(vdc, 0, made.vnet) == vdc
    assert session.vn.info(made.vnet).ID == made.vnet
    assert one.vdc.adddatastore(vdc, 0, made.image_ds) == vdc
    assert one.vdc.addhost(vdc, 0, made.hosts[0]) == vdc
    assert one.vdc.addcluster(vdc, 0, 0) == vdc
    found = one.vdc.info(vdc)
    assert [pairs(found, what) for what in ("CLUSTER", "HOST", "DATASTORE", "VNET")] == [
        [(0, 0)],
        [(0, made.hosts[0])],
        [(0, made.image_ds)],
        [(0, made.vnet)],
    ]
    assert rules(one, group) == {
        f"NET/#{made.vnet} USE #0",
        f"DATASTORE/#{made.image_ds} USE #0",
        f"HOST/#{made.hosts[0]} MANAGE #0",
        "HOST/%0 MANAGE #0",
        "NET/%0 USE #0",
        "DATASTORE/%0 USE #0",
    }
    with pytest.raises(pyone.OneInternalException, match="is already assigned to the VDC"):
        one.vdc.addhost(vdc, 0, made.hosts[0])
    assert one.vdc.delcluster(vdc, 0, 0) == vdc
    assert one.vdc.delhost(vdc, 0, made.hosts[0]) == vdc
    assert one.vdc.deldatastore(vdc, 0, made.image_ds) == vdc
    assert one.vdc.delvnet(vdc, 0, made.vnet) == vdc
    assert rules(one, group) == set()
    with pytest.raises(pyone.OneAuthorizationException):
        session.vn.info(made.vnet)
    with pytest.raises(pyone.OneInternalException, match="is not assigned to the VDC"):
        one.vdc.delvnet(vdc, 0, made.vnet)


def test_a_right_stays_while_another_vdc_gives_it(one, tenant):
    group, _ = tenant
    vdcs = [one.vdc.allocate(f'NAME="both-{n}"') for n in range(2)]
    for vdc in vdcs:
        one.vdc.addgroup(vdc, group)
        one.vdc.addhost(vdc, 0, -10)
    assert rules(one, group) == {"HOST/* MANAGE #0"}
    one.vdc.delete(vdcs[0])
    assert rules(one, group) == {"HOST/* MANAGE #0"}
    one.vdc.delhost(vdcs[1], 0, -10)
    assert rules(one, group) == set()


def test_vdcs_and_their_rules_outlive_a_restart(one, server, made):
    vdc = one.vdc.allocate('NAME="lasting"\nNOTE="x"')
    group = one.group.allocate("lasting")
    one.vdc.addgroup(vdc, group)
    one.vdc.addvnet(vdc, 0, made.vnet)
    before = Session(server).ok("vdc.info", vdc), Session(server).ok("acl.info")
    server.stop()
    server.start()
    assert (Session(server).ok("vdc.info", vdc), Session(server).ok("acl.info")) == before

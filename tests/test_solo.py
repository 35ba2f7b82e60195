"""Zones, plans and the database, as a front-end alone answers; how users are authenticated."""

import pytest

from harness import cloud
from harness.rpc import Session

AUTHENTICATION, AUTHORIZATION, NO_EXISTS, ACTION, INTERNAL, ALLOCATE = 0x100, 0x200, 0x400, 0x800, 0x2000, 0x4000


@pytest.fixture(scope="module")
def dora(server):
    Session(server).ok("user.allocate", "dora", "secret", "", [])
    return Session(server, "dora:secret")


REFUSED = [
    ("zone.allocate", ('NAME="other"\nENDPOINT="http://x"',), ALLOCATE, "federation", AUTHORIZATION),
    ("zone.delete", (0,), ACTION, "this front-end", AUTHORIZATION),
    ("zone.addserver", (0, 'SERVER=[NAME="b"]'), ACTION, "alone", AUTHORIZATION),
    ("zone.delserver", (0, 1), ACTION, "alone", AUTHORIZATION),
    ("zone.resetserver", (0, 1), ACTION, "alone", AUTHORIZATION),
    ("zone.replicate", (0,) * 8 + ("",), INTERNAL, "federation", AUTHORIZATION),
    ("zone.fedreplicate", (0, 0, ""), INTERNAL, "federation", AUTHORIZATION),
    ("zone.voterequest", (0,) * 4, INTERNAL, "federation", AUTHORIZATION),
    ("zone.updatedb", (0, "<ZONE/>"), INTERNAL, "federation", AUTHORIZATION),
    ("market.allocatedb", (0, "<MARKETPLACE/>"), INTERNAL, "federation", AUTHORIZATION),
    ("market.updatedb", (0, "<MARKETPLACE/>"), INTERNAL, "federation", AUTHORIZATION),
    ("marketapp.allocatedb", (0, "<MARKETPLACEAPP/>"), INTERNAL, "federation", AUTHORIZATION),
    ("system.sql", ("DELETE FROM vms", False), ACTION, "one.vm.recover", AUTHORIZATION),
    ("cluster.optimize", (0,), ACTION, "no driver", AUTHORIZATION),
    ("cluster.planexecute", (0,), ACTION, "no plan", AUTHORIZATION),
    ("cluster.plandelete", (0,), ACTION, "no plan", AUTHORIZATION),
]


@pytest.mark.parametrize(("method", "params", "code", "words", "other"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_needs_others_is_refused_with_the_reason(admin, dora, method, params, code, words, other):
    answer = admin.call(method, *params)
    assert (answer.outcome, answer.code) == ("error", code), answer
    assert words in answer.value
    assert dora.call(method, *params).code == other


@pytest.mark.parametrize("method", ["zone.delete", "cluster.optimize", "cluster.planexecute", "cluster.plandelete"])
def test_an_object_that_does_not_exist(admin, method):
    assert admin.call(method, 77).code == NO_EXISTS


def test_raft_status(admin, dora):
    assert admin.ok("zone.raftstatus").startswith("<RAFT><SERVER_ID>-1</SERVER_ID><STATE>0</STATE>")
    assert dora.call("zone.raftstatus").code == AUTHORIZATION


def test_a_disabled_zone_is_read_only(own_server):
    admin = Session(own_server)
    assert admin.ok("zone.enable", 0, False) == 0
    assert "<STATE>1</STATE>" in admin.ok("zone.info", 0)
    answer = admin.call("group.allocate", "late")
    assert answer.code == ACTION and "onezone enable" in answer.value
    assert "<NAME>oneadmin</NAME>" in admin.ok("grouppool.info")
    own_server.stop()
    own_server.start()
    assert Session(own_server).call("group.allocate", "late").code == ACTION
    assert admin.ok("zone.enable", 0, True) == 0
    assert admin.ok("group.allocate", "late") >= 100


def test_another_way_to_log_in(admin, server):
    user = admin.ok("user.allocate", "erin", "secret", "", [])
    erin = Session(server, "erin:secret")
    assert "<NAME>erin</NAME>" in erin.ok("user.info", -1)
    assert erin.call("user.chauth", user, "public", "").code == AUTHORIZATION
    assert admin.ok("user.chauth", user, "public", "") == user
    assert "<AUTH_DRIVER><![CDATA[public]]></AUTH_DRIVER>" in admin.ok("user.info", user)
    assert erin.call("user.info", -1).code == AUTHENTICATION, "what was remembered of the password still counts"
    assert admin.call("user.chauth", user, "core", "").code == ACTION
    assert admin.ok("user.chauth", user, "core", "another") == user
    assert erin.call("user.info", -1).code == AUTHENTICATION
    assert "<NAME>erin</NAME>" in Session(server, "erin:another").ok("user.info", -1)


def test_the_way_of_oneadmin_stays(admin):
    assert admin.call("user.chauth", 0, "public", "").code == ACTION
    assert admin.call("user.chauth", 4242, "public", "").code == NO_EXISTS

"""pyone: zones, plans and the database, as a front-end alone answers; how users are authenticated."""

import pyone
import pytest

REFUSED = {
    "zone.allocate": lambda one: one.zone.allocate('NAME="other"'),
    "zone.delete": lambda one: one.zone.delete(0),
    "zone.addserver": lambda one: one.zone.addserver(0, 'SERVER=[NAME="b"]'),
    "zone.delserver": lambda one: one.zone.delserver(0, 1),
    "zone.resetserver": lambda one: one.zone.resetserver(0, 1),
    "zone.replicate": lambda one: one.zone.replicate(0, 0, 0, 0, 0, 0, 0, 0, ""),
    "zone.fedreplicate": lambda one: one.zone.fedreplicate(0, 0, ""),
    "zone.voterequest": lambda one: one.zone.voterequest(0, 0, 0, 0),
    "zone.updatedb": lambda one: one.zone.updatedb(0, "<ZONE/>"),
    "market.allocatedb": lambda one: one.market.allocatedb(0, "<MARKETPLACE/>"),
    "market.updatedb": lambda one: one.market.updatedb(0, "<MARKETPLACE/>"),
    "marketapp.allocatedb": lambda one: one.marketapp.allocatedb(0, "<MARKETPLACEAPP/>"),
    "system.sql": lambda one: one.system.sql("DELETE FROM vms", False),
    "cluster.optimize": lambda one: one.cluster.optimize(0),
    "cluster.planexecute": lambda one: one.cluster.planexecute(0),
    "cluster.plandelete": lambda one: one.cluster.plandelete(0),
}


@pytest.mark.parametrize("method", REFUSED)
def test_refused_with_the_reason(one, method):
    with pytest.raises(pyone.OneException, match=rf"^\[one\.{method}\] .{{20,}}"):
        REFUSED[method](one)


def test_a_zone_is_disabled_and_enabled(one):
    assert one.zone.enable(0, False) == 0
    assert one.zone.info(0).STATE == 1
    with pytest.raises(pyone.OneActionException, match="disabled"):
        one.group.allocate("late")
    assert one.zone.enable(0, True) == 0
    assert one.zone.info(0).STATE == 0


def test_appliances_are_not_written_by_other_zones(one):
    for call in (lambda: one.marketapp.updatedb(987654, "<MARKETPLACEAPP/>"), lambda: one.marketapp.dropdb(987654)):
        with pytest.raises(pyone.OneNoExistsException):
            call()


def test_the_database_is_asked(one):
    # pyone has no class for the answer (test_sql.py reads it), but tells it from a refusal.
    assert one.system.sqlquery("SELECT oid, name FROM clusters") is not None
    with pytest.raises(pyone.OneInternalException, match="only a query"):
        one.system.sqlquery("DELETE FROM clusters")


def test_state_of_raft(one):
    assert one.zone.raftstatus().STATE == 0


def test_another_way_to_log_in(one, server):
    user = one.user.allocate("frank", "secret", "", [])
    assert one.user.chauth(user, "public", "") == user
    assert one.user.info(user).AUTH_DRIVER == "public"
    with pytest.raises(pyone.OneAuthenticationException):
        pyone.OneServer(server.url, session="frank:secret").user.info(-1)

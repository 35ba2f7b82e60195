"""pyone: what is special about users and groups."""

import pyone
import pytest

from harness.rpc import Session


@pytest.fixture
def user(one, request):
    """A fresh user's id; its name is that of the test, its password `secret`."""
    return one.user.allocate(request.node.name, "secret", "", [])


def login(server, name, secret):
    return pyone.OneServer(server.url, session=f"{name}:{secret}")


def test_defaults(one, user, request):
    body = one.user.info(user)
    assert (body.NAME, body.GNAME, body.AUTH_DRIVER, body.ENABLED) == (request.node.name, "users", "core", 1)
    assert list(body.GROUPS.ID) == [1]


def test_own_user_by_minus_one(one, server, user, request):
    assert one.user.info(-1).ID == 0
    assert login(server, request.node.name, "secret").user.info(-1).ID == user


def test_groups_of_a_user(one, user):
    first, second = one.group.allocate("ug-first"), one.group.allocate("ug-second")
    assert one.user.addgroup(user, first) == user
    assert sorted(one.user.info(user).GROUPS.ID) == [1, first]
    assert user in one.group.info(first).USERS.ID
    with pytest.raises(pyone.OneActionException):
        one.user.addgroup(user, first)
    assert one.user.chgrp(user, second) == user
    assert one.user.info(user).GID == second
    with pytest.raises(pyone.OneActionException):
        one.user.delgroup(user, second)
    assert one.user.delgroup(user, first) == user
    assert first not in one.user.info(user).GROUPS.ID
    with pytest.raises(pyone.OneActionException):
        one.group.delete(second)


def test_first_of_the_given_groups_is_primary(one):
    first, second = one.group.allocate("given-first"), one.group.allocate("given-second")
    body = one.user.info(one.user.allocate("with-groups", "secret", "", [first, second]))
    assert body.GID == first
    assert sorted(body.GROUPS.ID) == [first, second]


def test_password(one, server, user, request):
    assert one.user.passwd(user, "changed") == user
    with pytest.raises(pyone.OneAuthenticationException):
        login(server, request.node.name, "secret").user.info(-1)
    assert login(server, request.node.name, "changed").user.info(-1).ID == user


def test_disabled(one, server, user, request):
    plain = login(server, request.node.name, "secret")
    assert plain.user.info(-1).ENABLED == 1
    assert one.user.enable(user, False) == user
    with pytest.raises(pyone.OneAuthenticationException):
        plain.user.info(-1)
    assert one.user.enable(user, True) == user
    assert plain.user.info(-1).ENABLED == 1


def test_login_token(one, server, request, user):
    name = request.node.name
    token = one.user.login(name, "", 600, -1)
    assert isinstance(token, str)
    assert login(server, name, token).user.info(-1).ID == user
    kept = one.user.info(user).LOGIN_TOKEN
    assert len(kept) == 1 and kept[0].EGID == -1
    # Shown is a hash: whoever reads the user's body cannot log in with it.
    assert kept[0].TOKEN != token
    with pytest.raises(pyone.OneAuthenticationException):
        login(server, name, kept[0].TOKEN).user.info(-1)
    raw = Session(server)
    raw.ok("user.login", name, token, 0, -1)  # not by pyone: it cannot read an empty text
    with pytest.raises(pyone.OneAuthenticationException):
        login(server, name, token).user.info(-1)


def test_system_users_and_groups_stay(one):
    with pytest.raises(pyone.OneException):
        one.user.delete(0)
    with pytest.raises(pyone.OneActionException):
        one.group.delete(1)
    with pytest.raises(pyone.OneException):
        one.user.enable(0, False)
    assert one.user.info(0).ENABLED == 1


def test_login_token_ended(one, request, user):
    token = one.user.login(request.node.name, "", 600, -1)
    assert one.user.login(request.node.name, token, 0, -1) == token
    assert one.user.info(user).LOGIN_TOKEN == []

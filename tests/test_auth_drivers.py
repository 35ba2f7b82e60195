"""Users for whom a driver answers: a real script in var/remotes/auth, its groups, its refusals, and how long its yes is remembered."""

import threading
import xml.etree.ElementTree as ElementTree

import pytest

from harness import cloud
from harness.rpc import Session
from harness.server import Server

REFUSED, ACTION = 0x100, 0x800
SESSION_S = 2
# Reads who asks from standard input and answers from files beside it: users/NAME holds the secret and what is to be said.
SCRIPT = """#!/usr/bin/env python3
import os, pathlib, sys
import xml.etree.ElementTree as ElementTree
here = pathlib.Path(__file__).parent
document = ElementTree.fromstring(sys.stdin.read())
name, stored, secret = (document.findtext(tag) for tag in ("USERNAME", "PASSWORD", "SECRET"))
with open(here / "calls", "a") as calls:
    calls.write(f"{name} {stored} {len(sys.argv)}\\n")
known = here / "users" / name
if not known.exists() or known.read_text().splitlines()[0] != secret:
    sys.exit(f"no {secret} for {name}")
said = known.read_text().splitlines()[1]
if said == "sleep":
    import time
    time.sleep(600)
print(said)
"""
SETTINGS = f"""
AUTH_MAD = [ EXECUTABLE = "one_auth_mad", AUTHN = "mine,absent,server_cipher" ]
DEFAULT_AUTH = "mine"
SESSION_EXPIRATION_TIME = {SESSION_S}
AUTH_MAD_CONF = [ NAME = "mine", PASSWORD_CHANGE = "NO", PASSWORD_REQUIRED = "NO", DRIVER_MANAGED_GROUPS = "YES",
    DRIVER_MANAGED_GROUP_ADMIN = "YES", MAX_TOKEN_TIME = "600" ]
"""


class Directory:
    """The driver's own users."""

    def __init__(self, place):
        self.place = place
        (place / "users").mkdir(parents=True)
        script = place / "authenticate"
        script.write_text(SCRIPT)
        script.chmod(0o755)

    def put(self, name, secret, said):
        (self.place / "users" / name).write_text(f"{secret}\n{said}\n")

    def asked(self, name):
        calls = self.place / "calls"
        return [line for line in calls.read_text().splitlines() if line.split()[0] == name] if calls.exists() else []


@pytest.fixture(scope="module")
def server(tmp_path_factory, database_settings):
    place = tmp_path_factory.mktemp("one")
    instance = Server(place, database_settings() + SETTINGS)
    instance.users = Directory(place / "var/remotes/auth/mine")
    instance.start()
    yield instance
    instance.end()


def refused(session):
    answer = session.call("user.info", -1)
    return (answer.outcome, answer.code) == ("error", REFUSED)


def user_of(session):
    return ElementTree.fromstring(session.ok("user.info", -1))


def groups_of(user):
    return [int(group.text) for group in user.find("GROUPS")]


def admins_of(admin, group):
    return [int(uid.text) for uid in ElementTree.fromstring(admin.ok("group.info", group)).find("ADMINS")]


def test_a_first_login_makes_the_user(server, admin):
    groups = [admin.ok("group.allocate", name) for name in ("staff", "ops")]
    server.users.put("ann", "s<e>cr&et", f"mine ann uid=ann {groups[1]} *{groups[0]} 4711")
    user = user_of(Session(server, "ann:s<e>cr&et"))
    assert (user.findtext("NAME"), user.findtext("AUTH_DRIVER"), user.findtext("PASSWORD")) == ("ann", "mine", "uid=ann")
    assert (int(user.findtext("GID")), groups_of(user)) == (groups[1], sorted(groups))
    assert admins_of(admin, groups[0]) == [int(user.findtext("ID"))] and admins_of(admin, groups[1]) == []
    assert server.users.asked("ann") == ["ann - 1"], "not the stored password of nobody, or not by standard input alone"


def test_a_refusal_is_in_the_log_and_the_secret_is_not(server):
    assert refused(Session(server, "nobody:wr0ng"))
    server.users.put("bea", "right", "mine bea b")
    assert user_of(Session(server, "bea:right")) is not None
    assert refused(Session(server, "bea:wr0ng"))
    log = (server.directory / "var/oned.log").read_text()
    assert "the authentication driver refused" in log and 'user="bea"' in log and "no … for bea" in log
    assert "wr0ng" not in log and "right" not in log


def test_groups_follow_the_driver_and_nobody_else(server, admin):
    group = admin.ok("group.allocate", "chemists")
    server.users.put("cyd", "secret", "mine cyd c 1")
    cyd = Session(server, "cyd:secret")
    user = user_of(cyd)
    ident = int(user.findtext("ID"))
    assert groups_of(user) == [1]
    answer = admin.call("user.addgroup", ident, group)
    assert answer.code == ACTION and "DRIVER_MANAGED_GROUPS" in answer.value
    server.users.put("cyd", "secret", f"mine cyd c *{group}")
    cloud.eventually(lambda: groups_of(user_of(cyd)), lambda groups: groups == [group], "the new group", within=SESSION_S + 10)
    assert admins_of(admin, group) == [ident]
    server.users.put("cyd", "secret", "mine cyd c 1")
    cloud.eventually(lambda: groups_of(user_of(cyd)), lambda groups: groups == [1], "the old group", within=SESSION_S + 10)
    assert admins_of(admin, group) == []


def test_a_yes_is_remembered_for_its_time_and_no_longer(server):
    server.users.put("dan", "secret", "mine dan d")
    dan = Session(server, "dan:secret")
    for _ in range(5):
        user_of(dan)
    assert len(server.users.asked("dan")) == 1
    server.users.put("dan", "other", "mine dan d")
    cloud.eventually(lambda: refused(dan), bool, "the end of what is remembered", within=SESSION_S + 10)
    assert server.users.asked("dan")[-1] == "dan d 1", "the stored password is shown to the driver"


def test_disabled_and_changed_at_once(server, admin):
    server.users.put("eve", "secret", "mine eve e")
    eve = Session(server, "eve:secret")
    ident = int(user_of(eve).findtext("ID"))
    admin.ok("user.enable", ident, False)
    assert refused(eve)
    admin.ok("user.enable", ident, True)
    assert user_of(eve) is not None
    admin.ok("user.chauth", ident, "core", "mine")
    assert refused(eve)
    assert user_of(Session(server, "eve:mine")) is not None


def test_calls_at_once_ask_once_and_make_one_user(server, admin):
    server.users.put("fay", "secret", "mine fay f")
    found = []
    threads = [threading.Thread(target=lambda: found.append(user_of(Session(server, "fay:secret")).findtext("ID"))) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 24 and len(set(found)) == 1
    # So many may have been let to the driver before the first was through.
    assert len(server.users.asked("fay")) <= 8
    assert admin.ok("userpool.info").count("<NAME>fay</NAME>") == 1


def test_tokens_of_a_driver_end_when_it_says(server):
    server.users.put("gil", "secret", "mine gil g")
    gil = Session(server, "gil:secret")
    token = gil.ok("user.login", "gil", "", -1, -1)
    asked = len(server.users.asked("gil"))
    user = user_of(Session(server, f"gil:{token}"))
    assert len(server.users.asked("gil")) == asked, "a token is no question for the driver"
    assert int(user.findtext("LOGIN_TOKEN/EXPIRATION_TIME")) > 0
    answer = gil.call("user.passwd", int(user.findtext("ID")), "new")
    assert answer.code == ACTION and "PASSWORD_CHANGE" in answer.value


def test_an_answer_of_no_use_lets_nobody_in(server, admin):
    for name, said, words in (
        ("hal", "mine hal", "said nothing of a user who does not exist"),
        ("ida", "core ida x", "are not made at their first login"),
        ("jon", "other jon x", "are not made at their first login"),
        ("kit", "mine kit x nine", "is no id of a group"),
        ("leo", "mine oneadmin x 0", "cannot be done"),
    ):
        server.users.put(name, "secret", said)
        assert refused(Session(server, f"{name}:secret")), name
        assert words in (server.directory / "var/oned.log").read_text(), name
        assert f"<NAME>{name}</NAME>" not in admin.ok("userpool.info")


def test_a_driver_that_is_not_there(server, admin):
    for driver in ("absent", "unlisted"):
        admin.ok("user.allocate", driver, "x", driver, [])
        assert refused(Session(server, f"{driver}:x"))
    log = (server.directory / "var/oned.log").read_text()
    assert "remotes/auth/absent/authenticate; put the driver there" in log
    assert "AUTHN of AUTH_MAD in oned.conf does not name the user's authentication driver" in log


@pytest.mark.seconds(120)
def test_a_driver_that_hangs_is_ended_and_holds_up_nobody(server, admin):
    server.users.put("max", "secret", "sleep")
    answers = []
    # As many as are asked at a time.
    threads = [threading.Thread(target=lambda: answers.append(refused(Session(server, "max:secret", timeout=100)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    cloud.eventually(lambda: len(server.users.asked("max")), lambda count: count == 8, "all to wait for the driver")
    assert admin.ok("user.allocate", "meanwhile", "secret", "", []) >= 0
    assert user_of(Session(server, "meanwhile:secret")).findtext("NAME") == "meanwhile"
    for thread in threads:
        thread.join()
    assert answers == [True] * 8
    assert "took longer than 30 s" in (server.directory / "var/oned.log").read_text()

"""Who gets in: passwords, tokens, disabled users; and that many first log-ins at once stay bounded."""

import statistics
import threading
import time
from xml.etree import ElementTree

import pytest

from harness import cloud
from harness.rpc import Session

REFUSED = 0x100
SAMPLES = 15
TIMES_APART = 2
LOGINS = 200
# Thirty cost nothing; the next costs a second, the one after that two.
GUESSES = 33
GUESS_WAIT_S = 10
WRONG_EVERY = 10
LOGIN_WITHIN_S = 240
RSS_GROWTH_KIB = 400 * 1024


@pytest.fixture
def user(admin, request):
    """(id, name) of a fresh user with the password `secret`."""
    return admin.ok("user.allocate", request.node.name, "secret", "", []), request.node.name


def refused(session):
    answer = session.call("user.info", -1)
    return (answer.outcome, answer.code) == ("error", REFUSED)


def test_wrong_password_and_unknown_user_look_the_same(server, user):
    answers = [
        Session(server, credentials).call("user.info", -1)
        for credentials in (f"{user[1]}:wrong", "nobody-there:wrong", f"{user[1]}:", ":secret", user[1])
    ]
    assert {(answer.outcome, answer.code, answer.value) for answer in answers} == {
        ("error", REFUSED, "[one.user.info] User couldn't be authenticated, aborting call.")
    }


def test_wrong_password_and_unknown_user_take_the_same_time(server, user):
    """The work of a password hash is done for an unknown user as well: who exists cannot be told by the clock."""
    times = {"wrong": [], "unknown": []}
    for number in range(SAMPLES):
        for kind, credentials in (("wrong", f"{user[1]}:x{number}"), ("unknown", f"nobody{number}:x")):
            begin = time.perf_counter()
            assert refused(Session(server, credentials))
            times[kind].append(time.perf_counter() - begin)
    wrong, unknown = (statistics.median(times[kind]) for kind in ("wrong", "unknown"))
    assert max(wrong, unknown) < TIMES_APART * min(wrong, unknown), (wrong, unknown)


def test_guessing_costs_time_and_harms_nobody_who_is_in(server, admin, user):
    known = Session(server, f"{user[1]}:secret")
    token = Session(server, f"{user[1]}:{known.ok('user.login', user[1], '', 600, -1)}")
    assert token.ok("user.info", -1)
    fresh = known.ok("user.login", user[1], "", 600, -1)
    answers = [Session(server, f"{user[1]}:wr0ng{number}").call("user.info", -1) for number in range(GUESSES)]
    assert all((answer.outcome, answer.code) == ("error", REFUSED) for answer in answers)
    late = [answer.value for answer in answers if "the next one is tried in" in answer.value]
    assert late, answers[-1]
    # What has not been seen before is not even looked at, be it right.
    answer = Session(server, f"{user[1]}:{fresh}").call("user.info", -1)
    assert "the next one is tried in" in answer.value, answer
    assert known.ok("user.info", -1) and token.ok("user.info", -1) and admin.ok("user.info", -1)
    log = (server.directory / "var/oned.log").read_text()
    assert f'user="{user[1]}"' in log and "too many wrong passwords" in log
    assert "wr0ng" not in log and "secret" not in log
    # The wait ends.
    cloud.eventually(lambda: Session(server, f"{user[1]}:{fresh}").call("user.info", -1).outcome, lambda o: o == "ok", "an end of the wait", within=GUESS_WAIT_S)


def test_password_change_takes_effect_at_once(server, admin, user):
    plain = Session(server, f"{user[1]}:secret")
    assert plain.ok("user.info", -1)  # now the credentials are remembered
    admin.ok("user.passwd", user[0], "other")
    assert refused(plain)
    assert Session(server, f"{user[1]}:other").ok("user.info", -1)
    admin.ok("user.passwd", user[0], "secret")
    assert plain.ok("user.info", -1)


def test_own_password(server, user):
    plain = Session(server, f"{user[1]}:secret")
    plain.ok("user.passwd", user[0], "mine")
    assert refused(plain)


def test_disabled_at_once(server, admin, user):
    plain = Session(server, f"{user[1]}:secret")
    token = Session(server, f"{user[1]}:{plain.ok('user.login', user[1], '', 600, -1)}")
    assert token.ok("user.info", -1)
    admin.ok("user.enable", user[0], False)
    assert refused(plain) and refused(token)
    admin.ok("user.enable", user[0], True)
    assert plain.ok("user.info", -1) and token.ok("user.info", -1)


def test_deleted_at_once(server, admin, user):
    plain = Session(server, f"{user[1]}:secret")
    assert plain.ok("user.info", -1)
    admin.ok("user.delete", user[0])
    assert refused(plain)
    other = admin.ok("user.allocate", user[1], "new", "", [])
    assert other != user[0]
    assert refused(plain)


def test_token_ends(server, user):
    plain = Session(server, f"{user[1]}:secret")
    token = Session(server, f"{user[1]}:{plain.ok('user.login', user[1], '', 1, -1)}")
    assert token.ok("user.info", -1)
    cloud.eventually(lambda: refused(token), bool, "the token to end", within=5)
    assert plain.ok("user.info", -1)


def test_token_taken_back(server, user):
    plain = Session(server, f"{user[1]}:secret")
    texts = [plain.ok("user.login", user[1], "", 600, -1) for _ in range(2)]
    first, second = (Session(server, f"{user[1]}:{text}") for text in texts)
    plain.ok("user.login", user[1], texts[0], 0, -1)
    assert refused(first) and second.ok("user.info", -1)
    plain.ok("user.login", user[1], "", 0, -1)
    assert refused(second)


def test_token_of_another_user(server, admin, user):
    admin.ok("user.allocate", f"{user[1]}-other", "secret", "", [])
    token = Session(server, f"{user[1]}:secret").ok("user.login", user[1], "", 600, -1)
    assert refused(Session(server, f"{user[1]}-other:{token}"))


def test_token_of_a_group_sees_that_group_alone(server, admin, user):
    first, second = (admin.ok("group.allocate", f"{user[1]}{number}") for number in range(2))
    for group in (first, second):
        admin.ok("user.addgroup", user[0], group)
    templates = {}
    for group in (first, second):
        templates[group] = admin.ok("template.allocate", cloud.VM.format(f"of-{group}"))
        admin.ok("template.chown", templates[group], -1, group)
        admin.ok("template.chmod", templates[group], -1, -1, -1, 1, -1, -1, -1, -1, -1)
    plain = Session(server, f"{user[1]}:secret")
    limited = Session(server, f"{user[1]}:{plain.ok('user.login', user[1], '', 600, first)}")
    for group in (first, second):
        assert plain.call("template.info", templates[group]).outcome == "ok"
    assert limited.call("template.info", templates[first]).outcome == "ok"
    answer = limited.call("template.info", templates[second])
    assert (answer.outcome, answer.code) == ("error", 0x200), answer
    answer = limited.call("user.login", user[1], "", 600, -1)
    assert (answer.outcome, answer.code) == ("error", 0x1000), answer


def test_token_of_a_group_ends_with_the_membership(server, admin, user):
    plain = Session(server, f"{user[1]}:secret")
    home, left, primary = (admin.ok("group.allocate", f"{user[1]}{name}") for name in ("home", "left", "primary"))
    admin.ok("user.addgroup", user[0], left)
    admin.ok("user.chgrp", user[0], primary)
    tokens = {group: plain.ok("user.login", user[1], "", -1, group) for group in (left, primary)}
    sessions = {group: Session(server, f"{user[1]}:{token}") for group, token in tokens.items()}
    assert all(session.ok("user.info", -1) for session in sessions.values())
    admin.ok("user.delgroup", user[0], left)
    admin.ok("user.chgrp", user[0], home)
    assert all(refused(session) for session in sessions.values())
    # Coming back does not bring them back.
    admin.ok("user.addgroup", user[0], left)
    assert refused(sessions[left])


def test_token_gives_no_more_than_it_has(server, admin, user):
    plain = Session(server, f"{user[1]}:secret")
    short = Session(server, f"{user[1]}:{plain.ok('user.login', user[1], '', 60, -1)}")
    for valid in (-1, 3600):
        answer = short.call("user.login", user[1], "", valid, -1)
        assert (answer.outcome, answer.code) == ("error", 0x800), answer
        assert "log in with the password" in answer.value, answer
    assert short.ok("user.login", user[1], "", 30, -1)
    answer = short.call("user.passwd", user[0], "other")
    assert (answer.outcome, answer.code) == ("error", 0x800), answer
    endless = Session(server, f"{user[1]}:{plain.ok('user.login', user[1], '', -1, -1)}")
    assert endless.ok("user.login", user[1], "", -1, -1)
    assert plain.ok("user.info", -1)


def test_token_of_the_only_group_is_no_full_one(server, admin, user):
    plain = Session(server, f"{user[1]}:secret")
    only = int(ElementTree.fromstring(plain.ok("user.info", -1)).findtext("GID"))
    limited = Session(server, f"{user[1]}:{plain.ok('user.login', user[1], '', 600, only)}")
    answer = limited.call("user.login", user[1], "", 600, -1)
    assert (answer.outcome, answer.code) == ("error", 0x1000), answer
    assert limited.ok("user.login", user[1], "", 300, only)
    for method, *rest in (("passwd", "other"), ("update", "A = 1", 1)):
        answer = limited.call(f"user.{method}", user[0], *rest)
        assert answer.outcome == "error", (method, answer)
    answer = limited.call("user.login", user[1], "", 0, -1)
    assert (answer.outcome, answer.code) == ("error", 0x1000), answer
    assert plain.ok("user.info", -1) and limited.ok("user.info", -1)


def test_token_of_a_group_that_is_not_ones_own(server, admin, user):
    group = admin.ok("group.allocate", user[1])
    answer = Session(server, f"{user[1]}:secret").call("user.login", user[1], "", 600, group)
    assert answer.outcome == "error", answer


def test_token_for_another_is_refused(server, user):
    answer = Session(server, f"{user[1]}:secret").call("user.login", "oneadmin", "", 600, -1)
    assert (answer.outcome, answer.code) == ("error", 0x200), answer


@pytest.fixture(scope="module")
def flood(server):
    """Many first log-ins at once, some with a wrong password: (whether right, answer) of each, and the memory taken."""
    admin = Session(server)
    admin.ok("user.allocate", "flood", "secret", "", [])
    memory, peak, answers = server.rss_kib(), [0], []
    ended = threading.Event()

    def watch():
        while not ended.wait(0.02):
            peak[0] = max(peak[0], server.rss_kib())

    def login(number):
        right = number % WRONG_EVERY != 0
        session = Session(server, f"flood:{'secret' if right else number}", timeout=LOGIN_WITHIN_S)
        answers.append((right, session.call("user.info", -1)))

    threads = [threading.Thread(target=login, args=(number,), daemon=True) for number in range(LOGINS)]
    watcher = threading.Thread(target=watch, daemon=True)
    for thread in (watcher, *threads):
        thread.start()
    for thread in threads:
        thread.join(timeout=LOGIN_WITHIN_S)
    ended.set()
    watcher.join()
    assert admin.ok("system.version")
    return answers, peak[0] - memory


@pytest.mark.seconds(300)
def test_many_first_logins_at_once(flood):
    answers, _ = flood
    assert len(answers) == LOGINS
    for right, answer in answers:
        if right:
            assert answer.outcome == "ok", answer
        else:
            assert (answer.outcome, answer.code) == ("error", REFUSED), answer


@pytest.mark.seconds(300)
def test_many_first_logins_take_bounded_memory(flood):
    assert flood[1] < RSS_GROWTH_KIB

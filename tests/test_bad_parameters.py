"""Nonsense in one parameter of a call that is otherwise good, for each parameter of every method: refused in a few words or
taken; the server goes on, and what it shows can be read."""

import re
import time
import xml.etree.ElementTree as ElementTree

import pytest

import test_permissions
from harness import kinds
from harness.dump import dump
from harness.methods import methods
from harness.server import Server

MIB = 1024 * 1024
NAME_MAX = 128
TEXT_MAX = 2100
WITHIN_S = 60
RSS_GROWTH_KIB = 300 * 1024
NUMBERS = (2**31 - 1, -(2**31), -2)
TEXTS = ("", "n" * MIB, "a\nb", "]]><x>&", "../../etc/passwd", "-1", "99999999999999999999")
ARRAYS = ([], [2**31 - 1], [-1, -1], list(range(10_000)))


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A server, of which all that it shows can be read in the end."""
    instance = Server(tmp_path_factory.mktemp("parameters")).start()
    stage = test_permissions.Stage(instance)
    memory, began = instance.rss_kib(), time.monotonic()
    yield stage
    for body in dump(stage.admin).values():
        ElementTree.fromstring(body)
    assert instance.rss_kib() - memory < RSS_GROWTH_KIB
    assert time.monotonic() - began < WITHIN_S
    instance.end()


@pytest.fixture(autouse=True)
def unmoved(stage):
    server = stage.admin.server
    pid = server.pid
    yield
    assert server.process.poll() is None and server.pid == pid, server.log_tail()
    server.panic_refuse()


def good_calls():
    """A row of the permissions for each method: one that administrators may do, where there is one."""
    rows = {}
    for method, kind, parameters, admin, *_ in test_permissions.table():
        if method not in rows or (rows[method][2] != "ok" and admin == "ok"):
            rows[method] = (kind, parameters, admin)
    return {method: rows[method] for method in sorted(methods())}


def wrong_values(value):
    """Values of the same type."""
    if isinstance(value, bool):
        return ()
    if isinstance(value, int):
        return NUMBERS
    return ARRAYS if isinstance(value, list) else TEXTS


def answers(stage, method):
    """(parameters, answer) of a good call with each parameter spoilt in turn."""
    kind, text, _ = good_calls()[method]
    ident = stage.fresh(kind)
    for position, value in enumerate(stage.params(text, ident)):
        for wrong in wrong_values(value):
            params = stage.params(text, ident)
            params[position] = wrong
            answer = stage.admin.call(method, *params)
            yield position, wrong, answer
            if answer.outcome == "ok":
                ident = stage.fresh(kind)


def is_clear(method, answer):
    """Whether a refusal says what it is about, in a few words."""
    if answer.outcome == "ok":
        return True
    return answer.outcome == "error" and answer.value.startswith(f"[one.{method}] ") and 20 < len(answer.value) < TEXT_MAX


@pytest.mark.parametrize("family", sorted({method.split(".")[0] for method in methods()}))
def test_each_parameter(stage, family):
    unclear = [
        f"{method} {position} {wrong!r:.40}: {answer}"
        for method in good_calls()
        if method.split(".")[0] == family
        for position, wrong, answer in answers(stage, method)
        if not is_clear(method, answer)
    ]
    assert unclear == []


# Calls that name drivers, each with where it does.
DRIVERS = {"host.allocate": (1, 2), "user.allocate": (2,), "user.chauth": (1,)}


@pytest.mark.parametrize("method", DRIVERS)
def test_names_of_drivers_are_no_paths(stage, method):
    taken = [
        (position, wrong, answer)
        for position, wrong, answer in answers(stage, method)
        if position in DRIVERS[method] and answer.outcome == "ok" and not re.fullmatch(r"[\w.-]{0,128}", wrong)
    ]
    assert taken == []


BAD_NAMES = {"empty": "", "blank": "  ", "over-128": "n" * (NAME_MAX + 1), "long": "n" * MIB, "control": "a\x07b", "escape": "a\x1b[31mb"}


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("kind", kinds.names(lambda kind: kind.renamed))
def test_bad_names_of_each_kind(stage, kind, name):
    """No kind is given a name that others could not read."""
    ident = stage.fresh(kind)
    before = stage.admin.ok(f"{kind}.info", ident)
    answer = stage.admin.call(f"{kind}.rename", ident, BAD_NAMES[name])
    if answer.outcome == "ok":
        assert name == "blank" and ElementTree.fromstring(stage.admin.ok(f"{kind}.info", ident)).findtext("NAME") == "  "
        return
    assert answer.outcome == "fault" or is_clear(f"{kind}.rename", answer), answer
    assert re.search("<NAME>.*?</NAME>", stage.admin.ok(f"{kind}.info", ident))[0] == re.search("<NAME>.*?</NAME>", before)[0]


@pytest.mark.parametrize("kind", kinds.names(lambda kind: True))
@pytest.mark.parametrize("name", ["over-128", "control"])
def test_bad_names_of_what_is_new(stage, kind, name):
    """The same where it is made."""
    seen = []

    def call(method, *params):
        if method == f"{kind}.allocate":
            seen.append(stage.admin.call(method, *params))
            return 0
        return stage.admin.ok(method, *params)

    kinds.KINDS[kind].make(call, BAD_NAMES[name])
    assert seen[-1].outcome in ("error", "fault"), seen
    assert len(str(seen[-1].value)) < 1000


@pytest.mark.parametrize("kind", kinds.names(lambda kind: kind.unique))
def test_names_are_taken_once(stage, kind):
    name = f"twice-{kind}"
    kinds.KINDS[kind].make(stage.admin.ok, name)
    with pytest.raises(AssertionError, match=r"NAME is already taken|already taken by|already exists|duplicate|taken"):
        kinds.KINDS[kind].make(stage.admin.ok, name)
    if kinds.KINDS[kind].renamed:
        other = kinds.KINDS[kind].make(stage.admin.ok, f"{name}-other")
        answer = stage.admin.call(f"{kind}.rename", other, name)
        assert answer.outcome == "error" and "taken" in answer.value, answer

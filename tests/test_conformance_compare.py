"""The comparison of `make conformance` notices what it is for, and nothing else."""

import pytest

from conformance.compare import differences
from harness.rpc import Answer

VM = "<VM><ID>1</ID><NAME>a</NAME><T><A>1</A><B>x</B></T></VM>"


def ok(value):
    return Answer("ok", [True, value, 0])


def error(text, code=0x400):
    return Answer("error", [False, text, code, -1, -1])


@pytest.mark.parametrize(
    ("recorded", "now"),
    [
        (ok(7), ok(8)),
        (ok(VM), ok(VM.replace("<ID>1<", "<ID>2<").replace(">x<", ">y<"))),
        (error("Error getting VM [1]."), error("Error getting VM [22].")),
        (ok("<P_POOL><P><ID>1</ID></P></P_POOL>"), ok("<P_POOL><P><ID>1</ID></P><P><ID>2</ID></P></P_POOL>")),
    ],
)
def test_agreement(recorded, now):
    assert differences(recorded, now) == []


@pytest.mark.parametrize(
    ("recorded", "now", "what"),
    [
        (ok(7), error("no"), "outcome"),
        (ok(7), ok("7"), "members"),
        (error("a", 1), error("a", 2), "code"),
        (error("Error getting VM [1]."), error("No VM 1."), "text"),
        (ok(VM), ok(VM.replace("<A>1</A>", "")), "missing: /VM/T/A"),
        (ok(VM), ok(VM.replace("<A>1</A>", "<A>1</A><C/>")), "extra: /VM/T/C"),
        (ok(VM), ok(VM.replace("<A>1</A><B>x</B>", "<B>x</B><A>1</A>")), ": /VM/T/"),
        (ok(VM), ok(VM.replace(">1</A>", ">one</A>")), "type: /VM/T/A: number recorded, now text"),
        (ok(VM), ok("<HOST/>"), "root"),
        (ok("<ACL_POOL><ACL><ID>3</ID></ACL></ACL_POOL>"), ok("<ACL_POOL/>"), "missing member: ACL 3"),
    ],
)
def test_difference(recorded, now, what):
    assert any(what in text for text in differences(recorded, now))

"""Nonsense on every method and on the wire: a clear refusal, nothing changed, the server unmoved."""

import socket
import xmlrpc.client

import pytest

from harness import cloud
from harness.dump import changed, dump
from harness.methods import methods, values
from harness.rpc import Session, answer_read, post
from harness.server import Server

TYPE, PARSE, NO_SUCH_METHOD, LIMIT, NOT_UTF8 = -501, -503, -506, -509, -510
NO_EXISTS = 0x400
NO_SUCH_ID = 987654
RSS_GROWTH_KIB = 300 * 1024
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with one object of each kind, which must look the same at the end."""
    instance = Server(tmp_path_factory.mktemp("bad")).start()
    admin = Session(instance)
    made = cloud.cloud_make(admin, hosts=1)
    cloud.vm_await(admin, admin.ok("template.instantiate", made.template, "running"), 3, 3)
    admin.ok("template.instantiate", made.template, "held", True)
    admin.ok("group.allocate", "developers")
    admin.ok("user.allocate", "dora", "secret", "", [100])
    admin.ok("secgroup.allocate", 'NAME="web"\nRULE=[PROTOCOL="TCP",RULE_TYPE="inbound"]')
    admin.ok("cluster.allocate", "east")
    yield instance
    instance.end()


@pytest.fixture(autouse=True)
def unmoved(server, admin):
    """Around each test: the same process, no change in any pool, memory bounded."""
    pid, memory, before = server.pid, server.rss_kib(), dump(admin)
    yield
    assert server.process.poll() is None, server.log_tail()
    assert server.pid == pid
    assert changed(before, dump(admin)) == {}
    assert server.rss_kib() - memory < RSS_GROWTH_KIB
    server.panic_refuse()


def required(method):
    return [parameter for parameter in methods()[method] if not parameter[2]]


WITH_PARAMETERS = sorted(method for method in methods() if required(method))
WITH_INT = sorted(method for method in methods() if any(kind == "int" for _, kind, _ in required(method)))
EARLY = {"vmpool.infoset"}
WITH_ID = sorted(method for method in methods() if any(name == "id" for name, _, _ in methods()[method]))


TEMPLATES = {"vn.add_ar": 'AR=[TYPE="ETHER",SIZE="1"]', "vn.hold": 'LEASES=[IP="192.0.2.11"]'}
TEMPLATES["vn.release"] = TEMPLATES["vn.hold"]


def sensible(method, ident):
    """Parameters that only the id makes wrong."""
    template = TEMPLATES.get(method, 'A="1"')
    special = {"id": ident, "template": template, "name": "new-name", "level": 1, "action": "hold", "type": "OS"}
    return values(method, **special, append=1, status=0, operation=0, extra="", nics="")


def refusals(calls, accept):
    """Calls (method, parameters) whose answer is not as it should be, each with what came."""
    return [
        f"one.{method}{params!r:.120}: {answer}"
        for method, params, answer in ((method, params, call(method, params)) for method, params, call in calls)
        if not accept(method, answer)
    ]


def is_type_fault(_method, answer):
    return (answer.outcome, answer.code) == ("fault", TYPE)


def as_admin(admin):
    return lambda method, params: admin.call(method, *params)


def test_too_few_parameters(admin):
    calls = [
        (method, values(method)[:count], as_admin(admin))
        for method in WITH_PARAMETERS
        if method not in EARLY
        for count in range(len(required(method)))
    ]
    assert refusals(calls, is_type_fault) == []


def test_too_few_parameters_for_infoset(admin):
    assert refusals([("vmpool.infoset", ["0"], as_admin(admin))], is_type_fault) == []


def test_wrong_types(admin):
    calls = []
    for method in WITH_PARAMETERS:
        good = sensible(method, NO_SUCH_ID)
        for position, (_, kind, _) in enumerate(required(method)):
            for wrong in ({"a": 1}, [1], b"bytes", 1.5, "text" if kind != "string" else 7):
                if kind != "array" or wrong != [1]:
                    calls.append((method, good[:position] + [wrong] + good[position + 1 :], as_admin(admin)))
    assert len(calls) > 500
    assert refusals(calls, is_type_fault) == []


def test_numbers_that_are_none(server):
    """<int> takes 32 bits in decimal; anything else is refused, not cut."""

    def call(method, params):
        text = params[0]
        body = xmlrpc.client.dumps((server.admin, *sensible(method, NO_SUCH_ID)), f"one.{method}")
        first_int = [kind for _, kind, _ in methods()[method]].index("int")
        # Piece 0 is the head, piece 1 the session.
        pieces = body.split("<value><")
        parts = pieces[first_int + 2].split("int>")
        pieces[first_int + 2] = f"int>{text}</int>" + "int>".join(parts[2:])
        return answer_read(post(server, "<value><".join(pieces).encode())[1])

    texts = ("2147483648", "-2147483649", "99999999999999999999", "0x10", "1e3", "", " ", "1 2")
    calls = [(method, [text], call) for method in WITH_INT for text in texts]
    assert refusals(calls, lambda _, answer: answer.outcome == "fault" and answer.code in (TYPE, PARSE)) == []


def test_unknown_ids(admin):
    def accept(method, answer):
        said = answer.value.startswith(f"[one.{method}] Error getting ") and f"[{NO_SUCH_ID}]" in answer.value
        return (answer.outcome, answer.code) == ("error", NO_EXISTS) and said

    calls = [(method, sensible(method, NO_SUCH_ID), as_admin(admin)) for method in WITH_ID]
    assert len(calls) > 70
    assert refusals(calls, accept) == []


def test_negative_ids(admin):
    calls = [
        (method, sensible(method, ident), as_admin(admin))
        for method in WITH_ID
        if method not in ("user.info", "group.info")  # -1 is the caller
        for ident in (-1, -2, -2147483648)
    ]
    assert refusals(calls, lambda _, answer: (answer.outcome, answer.code) == ("error", NO_EXISTS)) == []


def test_many_surplus_parameters(admin):
    calls = [(method, sensible(method, NO_SUCH_ID) + ["surplus"] * 100, as_admin(admin)) for method in methods()]
    assert refusals(calls, lambda _, answer: (answer.outcome, answer.code) == ("fault", LIMIT)) == []


@pytest.mark.parametrize(
    "session",
    [" ", ":", "oneadmin", "oneadmin:", ":secret", "nobody:x", "oneadmin:" + "x" * MIB, "\u4e2d:\u00e4"],
    ids=["blank", "colon", "name", "no-password", "no-name", "unknown", "long", "unicode"],
)
def test_wrong_session(server, session):
    other = Session(server, session)

    def accept(method, answer):
        return (answer.outcome, answer.code, answer.value) == (
            "error",
            0x100,
            f"[one.{method}] User couldn't be authenticated, aborting call.",
        )

    # Each checks a password hash: some methods of each sort are enough.
    chosen = ["system.version", "vm.info", "vmpool.info", "user.passwd", "acl.info", "host.allocate"]
    calls = [(method, sensible(method, 0), lambda method, params: other.call(method, *params)) for method in chosen]
    assert refusals(calls, accept) == []


def call_text(method="one.system.version", session="x:y", more=""):
    return (
        f"<?xml version='1.0'?><methodCall><methodName>{method}</methodName><params><param><value><string>{session}"
        f"</string></value></param>{more}</params></methodCall>"
    ).encode()


ENTITIES = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><methodCall><methodName>&c;</methodName><params/></methodCall>'
)
EXTERNAL = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]><methodCall><methodName>'
    b"one.system.version</methodName><params><param><value>&e;</value></param></params></methodCall>"
)
BODIES = {
    "empty": (b"", (PARSE,)),
    "no-xml": (b"hello", (PARSE,)),
    "json": (b'{"method": "one.system.version"}', (PARSE,)),
    "cut": (call_text()[:-20], (PARSE,)),
    "crossed": (b"<methodCall><methodName>x</params></methodCall>", (PARSE,)),
    "other-root": (b"<methodResponse/>", (PARSE,)),
    "no-method": (b"<methodCall><params/></methodCall>", (PARSE, NO_SUCH_METHOD)),
    "empty-method": (call_text(method=""), (PARSE, NO_SUCH_METHOD)),
    "two-roots": (call_text() + b"<methodCall/>", (PARSE,)),
    "unknown-method": (call_text(method="one.no.such"), (NO_SUCH_METHOD,)),
    "long-method": (call_text(method="one." + "a" * MIB), (PARSE, NO_SUCH_METHOD, LIMIT)),
    "method-markup": (call_text(method="&lt;script&gt;"), (NO_SUCH_METHOD,)),
    "unknown-type": (call_text(more="<param><value><decimal>1</decimal></value></param>"), (PARSE, TYPE)),
    "bad-boolean": (call_text(more="<param><value><boolean>7</boolean></value></param>"), (PARSE, TYPE)),
    "bad-base64": (call_text(more="<param><value><base64>%%%</base64></value></param>"), (PARSE, TYPE)),
    "unknown-entity": (call_text(session="&nosuch;"), (PARSE,)),
    "bad-reference": (call_text(session="&#xD800;"), (PARSE,)),
    "huge-reference": (call_text(session="&#x110000;"), (PARSE,)),
    "null-reference": (call_text(session="&#0;"), (PARSE,)),
    "doctype": (b"<!DOCTYPE methodCall>" + call_text(), (PARSE,)),
    "entity-expansion": (ENTITIES, (PARSE,)),
    "external-entity": (EXTERNAL, (PARSE,)),
    "deep": (call_text(more="<param>" + "<value><array><data>" * 100_000 + "</param>"), (PARSE, LIMIT)),
    "deep-closed": (
        call_text(more="<param>" + "<value><array><data>" * 500 + "</data></array></value>" * 500 + "</param>"),
        (LIMIT,),
    ),
    "wide": (
        call_text(more="<param><value><array><data>" + "<value/>" * 200_000 + "</data></array></value></param>"),
        (LIMIT,),
    ),
    "invalid-utf8": (call_text().replace(b"x:y", b"\xff\xfe\xc3"), (PARSE, NOT_UTF8)),
    "overlong-utf8": (call_text().replace(b"x:y", b"\xc0\xaf"), (PARSE, NOT_UTF8)),
    "null-bytes": (b"\0" * 1000, (PARSE, NOT_UTF8)),
    "utf16": (call_text().decode().encode("utf-16"), (PARSE, NOT_UTF8)),
    "comment-bomb": (b"<!--" + b"a" * MIB, (PARSE,)),
}


@pytest.mark.parametrize("name", sorted(BODIES))
def test_bodies(server, name):
    body, codes = BODIES[name]
    status, answer = post(server, body)
    assert status == 200, (status, answer[:300])
    read = answer_read(answer)
    assert read.outcome == "fault" and read.code in codes, read
    assert len(read.value) < 1000
    assert "ha" * 8 not in read.value


def test_body_over_the_bound(server):
    """33 MiB are refused without being kept."""
    before = server.rss_kib()
    status, answer = post(server, b"<methodCall>" + b" " * (33 * MIB))
    assert status == 413 or answer_read(answer).code == LIMIT
    assert server.rss_kib() - before < 64 * 1024


def test_length_beyond_reason(server):
    """A body announced as 90 TiB: refused after a bounded part of it, nothing of it kept."""
    before = server.rss_kib()
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\n")
        sent = 0
        try:
            while sent < 256 * MIB:
                connection.sendall(b" " * MIB)
                sent += MIB
        except ConnectionError:
            pass
    assert sent < 256 * MIB
    assert server.rss_kib() - before < 64 * 1024


@pytest.mark.parametrize("length", ["-1", "ten", "1, 2"])
def test_length_that_is_none(server, length):
    status, _ = post(server, b"", {"Content-Length": length})
    assert status == 400


def test_other_paths(server):
    status, _ = post(server, call_text(), path="/nosuch")
    assert status == 404
    status, _ = post(server, call_text(), path="/RPC2/../../etc/passwd")
    assert status in (400, 404)

"""pyone, unpatched, over every kind: the path that all kinds share."""

import re
import subprocess
from pathlib import Path

import pyone
import pytest

from harness import cloud, kinds
from harness.rpc import Session
from harness.server import BINARY

NO_SUCH_ID = 987654

RENAMED = kinds.names(lambda kind: kind.renamed)
OWNED = kinds.names(lambda kind: kind.owned)
DELETED = kinds.names(lambda kind: kind.deleted)
LOCKED = kinds.names(lambda kind: kind.locked)
PAGED = kinds.names(lambda kind: kind.paged)
UNIQUE = kinds.names(lambda kind: kind.unique)
KINDS = kinds.names()
DRIVEN = (
    {f"{kind}.{verb}" for kind in KINDS for verb in ("allocate", "info", "update")}
    | {f"{kind}pool.info" for kind in KINDS}
    | {f"{kind}.rename" for kind in RENAMED}
    | {f"{kind}.{verb}" for kind in OWNED for verb in ("chmod", "chown")}
    | {f"{kind}.delete" for kind in DELETED}
    | {f"{kind}.{verb}" for kind in LOCKED for verb in ("lock", "unlock")}
)


def make(one, server, kind, name):
    """Makes an object by pyone. What the kind needs beside it, and does not test, comes by plain calls."""
    plain = Session(server)

    def call(method, *parameters):
        if method != f"{kind}.allocate":
            return plain.ok(method, *parameters)
        return getattr(one, kind).allocate(*parameters)

    return kinds.KINDS[kind].make(call, name)


def pool(one, kind, start=-1, end=-1):
    """The members of a kind's pool."""
    known = kinds.KINDS[kind]
    parameters = (known.pool[0], start, end, *known.pool[3:]) if known.paged else ()
    return getattr(getattr(one, f"{kind}pool").info(*parameters), known.element)


def user_template(kind, body):
    """The template that `update` changes."""
    return body.USER_TEMPLATE if kind == "vm" else body.TEMPLATE


def settle(one, kind, ident):
    """Waits until the object takes changes."""
    ready = kinds.KINDS[kind].ready
    if ready is not None:
        cloud.eventually(
            lambda: int(getattr(one, kind).info(ident).STATE), lambda state: state == ready, f"{kind} {ident}"
        )


@pytest.fixture
def made(one, server, request):
    """(kind, id, methods of the kind, name) of a fresh object of the parameter's kind."""
    kind = request.param
    name = f"py-{kind}-{request.node.originalname}"
    ident = make(one, server, kind, name)
    settle(one, kind, ident)
    return kind, ident, getattr(one, kind), name


@pytest.mark.parametrize("made", KINDS, indirect=True)
def test_allocate_info_pool(one, made):
    kind, ident, methods, name = made
    assert isinstance(ident, int)
    body = methods.info(ident)
    assert (body.ID, body.NAME) == (ident, name)
    assert [member.NAME for member in pool(one, kind) if member.ID == ident] == [name]


@pytest.mark.parametrize("made", KINDS, indirect=True)
def test_update_replaces_and_appends(made):
    kind, ident, methods, _ = made
    assert methods.update(ident, 'FIRST="1"\nSECOND="two words"', 0) == ident
    assert methods.update(ident, {"THIRD": "3", "FIRST": "changed"}, 1) == ident
    template = user_template(kind, methods.info(ident))
    assert (template["FIRST"], template["SECOND"], template["THIRD"]) == ("changed", "two words", "3")
    methods.update(ident, {"TEMPLATE": {"ONLY": {"A": "<&>", "B": "\"'"}}}, 0)
    template = user_template(kind, methods.info(ident))
    assert "SECOND" not in template
    assert dict(template["ONLY"]) == {"A": "<&>", "B": "\"'"}


@pytest.mark.parametrize("made", RENAMED, indirect=True)
def test_rename(one, made):
    kind, ident, methods, name = made
    assert methods.rename(ident, f"{name}-new") == ident
    assert methods.info(ident).NAME == f"{name}-new"
    assert name not in [member.NAME for member in pool(one, kind)]
    with pytest.raises(pyone.OneActionException):
        methods.rename(ident, "")
    assert methods.info(ident).NAME == f"{name}-new"


@pytest.mark.parametrize("made", OWNED, indirect=True)
def test_chmod(made):
    _, ident, methods, _ = made
    assert methods.chmod(ident, 1, 1, 0, 0, 1, 0, 1, 0, 0) == ident
    assert methods.chmod(ident, -1, -1, 1, -1, -1, -1, -1, -1, -1) == ident
    bits = methods.info(ident).PERMISSIONS
    assert (bits.OWNER_U, bits.OWNER_M, bits.OWNER_A) == (1, 1, 1)
    assert (bits.GROUP_U, bits.GROUP_M, bits.GROUP_A) == (0, 1, 0)
    assert (bits.OTHER_U, bits.OTHER_M, bits.OTHER_A) == (1, 0, 0)


@pytest.mark.parametrize("made", OWNED, indirect=True)
def test_chown(one, made):
    kind, ident, methods, _ = made
    group = one.group.allocate(f"owners-of-{kind}")
    user = one.user.allocate(f"owner-of-{kind}", "secret", "", [group])
    assert methods.chown(ident, user, -1) == ident
    body = methods.info(ident)
    assert (body.UID, body.UNAME, body.GID) == (user, f"owner-of-{kind}", 0)
    assert methods.chown(ident, -1, group) == ident
    body = methods.info(ident)
    assert (body.UID, body.GID, body.GNAME) == (user, group, f"owners-of-{kind}")
    with pytest.raises(pyone.OneNoExistsException):
        methods.chown(ident, NO_SUCH_ID, -1)


@pytest.mark.parametrize("made", LOCKED, indirect=True)
def test_lock(one, made):
    kind, ident, methods, name = made
    assert methods.lock(ident, 4, False) == ident
    assert methods.info(ident).LOCK.LOCKED == 1  # level 4 is kept as 1
    with pytest.raises(pyone.OneException):
        methods.lock(ident, 1, True)
    with pytest.raises(pyone.OneAuthorizationException):
        methods.rename(ident, f"{name}-locked")
    assert methods.unlock(ident) == ident
    assert methods.info(ident).LOCK is None
    assert methods.rename(ident, f"{name}-unlocked") == ident


@pytest.mark.parametrize("made", DELETED, indirect=True)
def test_delete(one, made):
    kind, ident, methods, _ = made
    assert methods.delete(ident) == ident

    def gone():
        try:
            methods.info(ident)
        except pyone.OneNoExistsException:
            return True
        return False

    cloud.eventually(gone, bool, f"{kind} {ident} to be gone")
    assert ident not in [member.ID for member in pool(one, kind)]
    with pytest.raises(pyone.OneNoExistsException):
        methods.delete(ident)


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_id_is_typed(one, kind):
    with pytest.raises(pyone.OneNoExistsException, match=rf"\[one\.{kind}\.info\] Error getting .+ \[{NO_SUCH_ID}\]"):
        getattr(one, kind).info(NO_SUCH_ID)
    with pytest.raises(pyone.OneNoExistsException):
        getattr(one, kind).update(NO_SUCH_ID, 'A="1"', 1)


@pytest.mark.parametrize("kind", UNIQUE)
def test_name_taken_is_typed(one, server, kind):
    make(one, server, kind, f"twice-{kind}")
    with pytest.raises(pyone.OneException, match="NAME is already taken"):
        make(one, server, kind, f"twice-{kind}")
    assert [member.NAME for member in pool(one, kind)].count(f"twice-{kind}") == 1


@pytest.mark.parametrize("kind", PAGED)
def test_pool_paging(one, server, kind):
    idents = [make(one, server, kind, f"page-{kind}-{number}") for number in range(5)]
    ordered = [member.ID for member in pool(one, kind)]
    assert ordered == sorted(ordered, reverse=True), "newest first"
    pages = [member.ID for start in range(0, len(ordered), 2) for member in pool(one, kind, start, -2)]
    assert pages == ordered
    assert [member.ID for member in pool(one, kind, idents[1], idents[3])] == [idents[3], idents[2], idents[1]]
    assert [member.ID for member in pool(one, kind, idents[2], idents[2])] == [idents[2]]
    assert pool(one, kind, len(ordered), -2) == []


def test_wrong_password_is_typed(server):
    with pytest.raises(pyone.OneAuthenticationException):
        pyone.OneServer(server.url, session="oneadmin:wrong").vmpool.info(-2, -1, -1, -1)


def test_user_without_rights_is_typed(one, server):
    one.user.allocate("nobody-special", "secret", "", [])
    plain = pyone.OneServer(server.url, session="nobody-special:secret")
    with pytest.raises(pyone.OneAuthorizationException):
        plain.host.allocate("mine", "dummy", "dummy", -1)


def test_missing_parameter_and_wrong_type_are_faults(one):
    with pytest.raises(pyone.OneException, match="-501"):
        one.vm.info()
    with pytest.raises(pyone.OneException, match="-501"):
        one.vm.info("text")


def test_unknown_method_is_a_fault(one):
    with pytest.raises(pyone.OneException, match="-506"):
        one.nosuch.method()


def test_system(one):
    assert one.system.version().startswith("7.")
    assert one.system.config() is not None


def test_zone(one):
    assert one.zone.info(0).ID == 0
    assert [zone.ID for zone in one.zonepool.info().ZONE] == [0]
    assert one.zone.rename(0, "renamed") == 0
    assert one.zone.info(0).NAME == "renamed"
    assert one.zone.update(0, 'ENDPOINT="http://zone.example/RPC2"\nNOTE="x"', 1) == 0
    assert one.zone.info(0).TEMPLATE["ENDPOINT"] == "http://zone.example/RPC2"


def test_document_clone(one):
    source = one.document.allocate('NAME="original"\nBODY="text & <more>"', 101)
    copy = one.document.clone(source, "copied")
    body = one.document.info(copy)
    assert (body.NAME, body.TYPE, body.TEMPLATE["BODY"]) == ("copied", "101", "text & <more>")
    assert copy not in [member.ID for member in one.documentpool.info(-2, -1, -1, 100).DOCUMENT]
    assert copy in [member.ID for member in one.documentpool.info(-2, -1, -1, 101).DOCUMENT]


def test_acl_info(one):
    assert len(one.acl.info().ACL) > 0


def test_every_served_method_is_driven():
    """A method that is added must get a test with a client that nobody here wrote."""
    listing = subprocess.run([BINARY, "methods"], capture_output=True, text=True, check=True, timeout=20).stdout
    served = {line.split("\t")[0].removeprefix("one.") for line in listing.splitlines()}
    assert len(served) > 100
    texts = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_pyone*.py"))
    called = DRIVEN | set(re.findall(r"\bone\.([a-z]+\.[a-z_]+)\(", texts))
    assert served - called == set()

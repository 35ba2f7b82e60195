"""Encrypted attributes: in clear for guests, drivers and administrators who ask, and nowhere else."""

import base64
import itertools
import os
import re
import shutil
import stat
import tarfile
from pathlib import Path

import pyone
import pytest

from harness import cloud
from harness.cli import plerion
from harness.cloud import eventually, vm_await
from harness.databases import DatabaseServer
from harness.rpc import Session
from harness.server import Server

REMOTES = Path(__file__).resolve().parent / "drivers/remotes"
# More lists than an empty oned.conf has: a nested path, and the other kinds.
LISTS = "\n".join(
    f'{kind}_ENCRYPTED_ATTR="{path}"'
    for kind, path in (
        ("VM", "CONTEXT/PASSWORD"),
        ("VM", "CONTEXT/TOKEN"),
        ("VM", "PRIVATE"),
        ("DOCUMENT", "PROVISION_BODY"),
        ("USER", "SSH_PASSPHRASE"),
        ("DATASTORE", "RESTIC_PASSWORD"),
        ("HOST", "SECRET"),
        ("CLUSTER", "SECRET"),
        ("IMAGE", "SECRET"),
        ("VNET", "SECRET"),
        ("VNET", "AR/SECRET"),
    )
)
NUMBERS = itertools.count(1)


def secret():
    """A value that nobody else gives."""
    return f"hush-{next(NUMBERS)}-pa$$w'ord-\u00e4".replace("$$", "5")


class Stage:
    """A server with third-party drivers, of which what they are told is known."""

    def __init__(self, directory):
        backend = os.environ.get("TEST_BACKEND", "sqlite")
        self.database = None if backend == "sqlite" else DatabaseServer(backend)
        settings = "" if self.database is None else self.database.settings("secrets")
        self.server = Server(directory, f"{settings}\n{LISTS}\nMONITORING_INTERVAL_DATASTORE=1")
        self.var = directory / "var"
        shutil.copytree(REMOTES, self.var / "remotes", symlinks=True)
        (directory / "bin").mkdir()
        self.server.start()
        self.admin = Session(self.server)
        self.host = self.admin.ok("host.allocate", "node", "dummy", "dummy", -1)
        self.images = self.admin.ok("datastore.allocate", cloud.IMAGE_DS.format("images"), -1)
        self.system = self.admin.ok("datastore.allocate", 'NAME="filecopy-system"\nTYPE="SYSTEM_DS"\nTM_MAD="filecopy"', -1)
        cloud.state_await(self.admin, "host.info", self.host, 2)

    def end(self):
        try:
            self.server.end()
        finally:
            if self.database is not None:
                self.database.end()

    def holders(self, value):
        """Files in which a value is, as it is or in base64: state, logs, and the files of the database. Not what guests
        and drivers are given."""
        wanted = [value.encode(), *base64_forms(value.encode())]
        given = [self.var / "datastores", self.var / "calls"]
        roots = [self.server.directory] + ([self.database.directory] if self.database else [])
        found = []
        for path in (path for root in roots for path in root.rglob("*")):
            if any(path.is_relative_to(part) for part in given) or path.is_symlink() or not path.is_file():
                continue
            content = path.read_bytes()
            if any(form in content for form in wanted):
                found.append(str(path))
        return found

    def vm_run(self, template):
        """A VM that runs; gives its id."""
        vm = self.admin.ok("vm.allocate", template, True)
        self.admin.ok("vm.deploy", vm, self.host, False, self.system)
        vm_await(self.admin, vm, 3, 3)
        return vm

    def context(self, vm):
        """The variables that the guest of a VM is given."""
        body = self.admin.ok("vm.info", vm)
        disk = re.search(r"<DISK_ID><!\[CDATA\[(\d+)\]\]></DISK_ID>", body[body.index("<CONTEXT>") :])[1]
        path = next(self.var.glob(f"datastores/{self.system}/{vm}/disk.{disk}"))
        try:
            with tarfile.open(path) as archive:
                return archive.extractfile("context.sh").read().decode()
        except tarfile.ReadError:
            # It is being made anew.
            return ""


def base64_forms(content):
    """What base64 may make of a content, wherever it begins, but for its ends."""
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + content)
        yield text[4:-8]


def quoted(value):
    """A value in context.sh."""
    return "'" + value.replace("'", "'\\''") + "'"


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    instance = Stage(tmp_path_factory.mktemp("secrets"))
    try:
        yield instance
    finally:
        instance.end()


@pytest.fixture
def told(stage):
    """What must be said nowhere, and a value that may: by it is seen that the search finds something."""
    values = []

    def new():
        values.append(secret())
        return values[-1]

    yield new
    stage.server.stop()
    try:
        for value in values:
            assert stage.holders(value) == []
    finally:
        stage.server.start()


def test_the_search_finds_what_is_not_secret(stage):
    value = secret()
    stage.vm_run(cloud.VM.format("open") + f'\nCONTEXT=[OPEN="{value}"]')
    stage.server.stop()
    found = stage.holders(value)
    stage.server.start()
    assert found, "what is in no list is stored as it is"


def test_a_guest_is_given_its_password_and_nobody_else(stage, told):
    first, token, top = told(), told(), told()
    text = cloud.VM.format("guest") + f'\nCONTEXT=[PASSWORD="{first}", TOKEN="{token}", OPEN="seen"]\nPRIVATE="{top}"'
    vm = stage.vm_run(text)
    context = stage.context(vm)
    assert f"PASSWORD={quoted(first)}\n" in context and f"TOKEN={quoted(token)}\n" in context and "OPEN='seen'" in context
    kept = (stage.var / f"vms/{vm}/context.sh").read_text()
    assert "OPEN='seen'" in kept and "PASSWORD='PLE1" in kept
    # Another value through updateconf; the context of what runs is made anew.
    second = told()
    stage.admin.ok("vm.updateconf", vm, f'CONTEXT=[PASSWORD="{second}"]', 1)
    eventually(lambda: stage.context(vm), lambda seen: f"PASSWORD={quoted(second)}\n" in seen, "the new password")
    assert f"TOKEN={quoted(token)}\n" in stage.context(vm)
    body = stage.admin.ok("vm.info", vm, True)
    assert all(f"<![CDATA[{value}]]>" in body for value in (second, token, top))
    assert stage.admin.ok("vm.info", vm, False) == stage.admin.ok("vm.info", vm)


def test_what_is_read_and_written_back_stays(stage, told):
    value = told()
    vm = stage.admin.ok("vm.allocate", cloud.VM.format("again") + f'\nCONTEXT=[PASSWORD="{value}"]\nPRIVATE="{value}"', True)
    before = stage.admin.ok("vm.info", vm)
    user = before[before.index("<USER_TEMPLATE>") : before.index("</USER_TEMPLATE>")] + "</USER_TEMPLATE>"
    sealed = re.search(r"<PASSWORD><!\[CDATA\[(.*?)\]\]>", before)[1]
    assert sealed.startswith("PLE1")
    for append in (0, 1):
        stage.admin.ok("vm.update", vm, user, append)
        assert stage.admin.ok("vm.info", vm) == before
    stage.admin.ok("vm.updateconf", vm, f'CONTEXT=[PASSWORD="{sealed}"]', 1)
    # The value itself, too.
    stage.admin.ok("vm.update", vm, f'PRIVATE="{value}"', 1)
    assert stage.admin.ok("vm.info", vm) == before
    stage.server.stop()
    stage.server.start()
    stage.admin = Session(stage.server)
    assert stage.admin.ok("vm.info", vm) == before


KINDS = {
    "host": lambda stage, name: stage.admin.ok("host.allocate", name, "dummy", "dummy", -1),
    "cluster": lambda stage, name: stage.admin.ok("cluster.allocate", name),
    "image": lambda stage, name: stage.admin.ok("image.allocate", cloud.IMAGE.format(name), stage.images),
    "vn": lambda stage, name: stage.admin.ok("vn.allocate", cloud.VNET.format(name), -1),
    "vntemplate": lambda stage, name: stage.admin.ok("vntemplate.allocate", f'NAME="{name}"\nVN_MAD="dummy"\nBRIDGE="br0"'),
    "document": lambda stage, name: stage.admin.ok("document.allocate", f'NAME="{name}"', 7),
    "user": lambda stage, name: stage.admin.ok("user.allocate", name, "x", "", []),
    "datastore": lambda stage, name: stage.admin.ok("datastore.allocate", cloud.SYSTEM_DS.format(name), -1),
    "template": lambda stage, name: stage.admin.ok("template.allocate", cloud.VM.format(name)),
    "vrouter": lambda stage, name: stage.admin.ok("vrouter.allocate", f'NAME="{name}"'),
    "vm": lambda stage, name: stage.admin.ok("vm.allocate", cloud.VM.format(name), True),
}
ATTRIBUTES = {
    "document": "PROVISION_BODY",
    "user": "SSH_PASSPHRASE",
    "datastore": "RESTIC_PASSWORD",
    "template": "PRIVATE",
    "vrouter": "PRIVATE",
    "vm": "PRIVATE",
}


@pytest.mark.parametrize("kind", KINDS)
def test_updates_of_each_kind(stage, told, kind):
    name = ATTRIBUTES.get(kind, "SECRET")
    ident = KINDS[kind](stage, f"{kind}-kept")
    shown = lambda *decrypt: stage.admin.ok(f"{kind}.info", ident, *decrypt)  # noqa: E731
    clear = (False, True) if kind == "template" else (True,)
    for append in (1, 0):
        value = told()
        stage.admin.ok(f"{kind}.update", ident, f'{name}="{value}"', append)
        assert f"<{name}><![CDATA[PLE1" in shown(), shown()
        assert f"<{name}><![CDATA[{value}]]>" in shown(*clear)


def test_allocations_of_each_kind(stage, told):
    ok = stage.admin.ok
    for method, family, name, text, *rest in (
        ("template.allocate", "template", "PRIVATE", cloud.VM.format("t"),),
        ("document.allocate", "document", "PROVISION_BODY", 'NAME="d"', 7),
        ("datastore.allocate", "datastore", "RESTIC_PASSWORD", cloud.SYSTEM_DS.format("s"), -1),
        ("image.allocate", "image", "SECRET", cloud.IMAGE.format("i"), stage.images),
        ("vn.allocate", "vn", "SECRET", cloud.VNET.format("v"), -1),
        ("vntemplate.allocate", "vntemplate", "SECRET", 'NAME="n"\nVN_MAD="dummy"\nBRIDGE="br0"'),
        ("vrouter.allocate", "vrouter", "PRIVATE", 'NAME="r"'),
    ):
        value = told()
        ident = ok(method, f'{text}\n{name}="{value}"', *rest)
        assert f"<{name}><![CDATA[PLE1" in ok(f"{family}.info", ident), family
        if family == "template":
            assert value in ok("template.info", ident, False, True)
        else:
            assert value in ok(f"{family}.info", ident, True)


def test_address_ranges(stage, told):
    first, second = told(), told()
    vnet = stage.admin.ok("vn.allocate", f'NAME="ranges"\nVN_MAD="dummy"\nBRIDGE="b"\nAR=[TYPE="IP4",IP="192.0.2.1",SIZE="2",SECRET="{first}"]', -1)
    cloud.state_await(stage.admin, "vn.info", vnet, 1)
    stage.admin.ok("vn.add_ar", vnet, f'AR=[TYPE="IP4",IP="192.0.2.9",SIZE="2",SECRET="{second}"]')
    shown = stage.admin.ok("vn.info", vnet)
    assert shown.count("<SECRET><![CDATA[PLE1") == 2, shown
    clear = stage.admin.ok("vn.info", vnet, True)
    assert first in clear and second in clear


def test_from_a_template_to_the_guest(stage, told):
    """Variables in what the template keeps encrypted are replaced when it is instantiated; users' secrets stay secret."""
    phrase, word, extra = told(), told(), told()
    stage.admin.ok("user.update", 0, f'SSH_PASSPHRASE="{phrase}"', 1)
    text = cloud.VM.format("made") + '\nPRIVATE="' + word + '"\nCONTEXT=[PASSWORD="$PRIVATE", PHRASE="of $USER[SSH_PASSPHRASE]", NAMED="$NAME"]'
    template = stage.admin.ok("template.allocate", text)
    copy = stage.admin.ok("template.clone", template, "copied", False)
    vm = stage.admin.ok("template.instantiate", copy, "guest-of-template", True, f'CONTEXT=[TOKEN="{extra}", PASSWORD="$PRIVATE", PHRASE="of $USER[SSH_PASSPHRASE]", NAMED="$NAME"]', False)
    stage.admin.ok("vm.deploy", vm, stage.host, False, stage.system)
    vm_await(stage.admin, vm, 3, 3)
    context = stage.context(vm)
    for name, value in (("PASSWORD", word), ("PHRASE", f"of {phrase}"), ("TOKEN", extra), ("NAMED", "guest-of-template")):
        assert f"{name}={quoted(value)}\n" in context, context
    assert "<PHRASE><![CDATA[PLE1" in stage.admin.ok("vm.info", vm)


def test_only_administrators_are_shown_values(stage, told):
    value = told()
    user = stage.admin.ok("user.allocate", "ordinary", "ordinary", "", [])
    session = Session(stage.server, "ordinary:ordinary")
    template = session.ok("template.allocate", cloud.VM.format("own") + f'\nPRIVATE="{value}"')
    session.ok("user.update", user, f'SSH_PASSPHRASE="{value}"', 1)
    assert session.ok("template.info", template, False, True) == session.ok("template.info", template)
    assert value not in session.ok("user.info", user, True)
    assert value in stage.admin.ok("user.info", user, True)
    one = pyone.OneServer(stage.server.url, session=stage.server.admin)
    assert one.user.info(user, True).TEMPLATE["SSH_PASSPHRASE"] == value
    shown = plerion(stage.server, "oneuser", "show", str(user), "--decrypt")
    assert value in shown and value not in plerion(stage.server, "oneuser", "show", str(user))


def test_hooks_are_not_told(stage, told):
    value = told()
    out = stage.server.directory / "hooked"
    program = stage.var / "remotes/hooks/tell"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f'#!/bin/sh\nprintf "%s" "$1" | base64 -d >>{out}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    hooks = [stage.admin.ok("hook.allocate", text) for text in (
        'NAME="calls"\nTYPE="api"\nCALL="one.vm.allocate"\nCOMMAND="tell"\nARGUMENTS="$API"',
        'NAME="refused"\nTYPE="api"\nCALL="one.document.update"\nCOMMAND="tell"\nARGUMENTS="$API"',
        'NAME="states"\nTYPE="state"\nRESOURCE="VM"\nON="CUSTOM"\nSTATE="HOLD"\nLCM_STATE="LCM_INIT"\nCOMMAND="tell"\nARGUMENTS="$TEMPLATE"',
    )]
    stage.admin.ok("vm.allocate", cloud.VM.format("hooked") + f'\nCONTEXT=[PASSWORD="{value}"]\nPRIVATE="{value}"', True)
    assert stage.admin.call("document.update", 12345, f'<X><PROVISION_BODY>{value}</PROVISION_BODY></X>', 1).outcome == "error"
    done = lambda: [stage.admin.ok("hook.info", hook).count("<CODE>0</CODE>") for hook in hooks]  # noqa: E731
    try:
        eventually(done, lambda counts: counts == [1, 1, 1], "each hook was run")
        assert "hooked" in out.read_text() and value not in out.read_text()
    finally:
        for hook in hooks:
            stage.admin.ok("hook.delete", hook)


def test_drivers_are_told(stage, told):
    value = told()
    store = stage.admin.ok("datastore.allocate", f'NAME="filecopy"\nDS_MAD="filecopy"\nTM_MAD="filecopy"\nRESTIC_PASSWORD="{value}"', -1)

    def documents():
        records = (stage.var / "calls").glob("*/stdin")
        texts = (base64.b64decode(record.read_text() or "") for record in records)
        return [text.decode() for text in texts if f"<ID>{store}</ID>".encode() in text]

    seen = eventually(documents, bool, "a call of the driver")
    assert any(f"<RESTIC_PASSWORD><![CDATA[{value}]]>" in text for text in seen), seen


def test_the_key(stage):
    path = stage.var / ".one/one_key"
    assert re.fullmatch("[0-9a-f]{64}", path.read_text())
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o077 == 0


def test_a_lost_key_is_explained(own_server):
    admin = Session(own_server)
    vm = admin.ok("vm.allocate", cloud.VM.format("lost") + '\nCONTEXT=[PASSWORD="lost-with-the-key"]', True)
    before = admin.ok("vm.info", vm)
    own_server.stop()
    key = own_server.directory / "var/.one/one_key"
    kept = key.read_text()
    key.unlink()
    own_server.start()
    admin = Session(own_server)
    assert f"as virtual machine {vm} CONTEXT/PASSWORD: they were encrypted with another key" in own_server.log_tail(200)
    assert admin.ok("vm.info", vm) == before, "nothing is encrypted twice"
    assert admin.ok("vm.info", vm, True) == before
    own_server.stop()
    key.write_text(kept)
    own_server.start()
    assert "lost-with-the-key" in Session(own_server).ok("vm.info", vm, True)


def test_a_broken_key_is_refused(tmp_path):
    server = Server(tmp_path)
    (tmp_path / "var/.one").mkdir(parents=True)
    (tmp_path / "var/.one/one_key").write_text("short")
    with pytest.raises(AssertionError, match="ended with 1"):
        server.start()
    assert "put the right file back" in server.log_tail()


def test_what_was_stored_in_clear_is_encrypted_at_the_next_start(own_server, tmp_path):
    admin = Session(own_server)
    document = admin.ok("document.allocate", 'NAME="old"\nLATER="was-in-clear"', 7)
    own_server.stop()
    conf = own_server.directory / "etc/oned.conf"
    conf.write_text(conf.read_text() + 'DOCUMENT_ENCRYPTED_ATTR="LATER"\n')
    own_server.start()
    admin = Session(own_server)
    assert "<LATER><![CDATA[PLE1" in admin.ok("document.info", document)
    assert "was-in-clear" in admin.ok("document.info", document, True)

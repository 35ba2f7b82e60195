"""Drivers of a third party: found in var/remotes, called by the old driver protocol, obeyed in what they answer."""

import base64
import shutil
import socket
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pyone
import pytest
from pyone import IMAGE_STATES, LCM_STATE, VM_STATE

from harness.cloud import eventually
from harness.server import BINARY, Server

REMOTES = Path(__file__).resolve().parent / "drivers/remotes"
CONTENT = b"third party image\n" * 1000


def port_free():
    """A port that nobody uses now. Scripts are told the port of oned.conf, so it has to be in there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Foreign:
    """A server with the example drivers, a dummy host and datastores that use them."""

    def __init__(self, directory, more=""):
        settings = f'PORT={port_free()}\nHOSTNAME="front-end"\nMONITORING_INTERVAL_DATASTORE=1\n{more}'
        self.server = Server(directory, settings)
        self.var = directory / "var"
        shutil.copytree(REMOTES, self.var / "remotes", symlinks=True)
        (directory / "bin").mkdir()
        (directory / "bin/onevm").symlink_to(BINARY)
        self.path = directory / "to register"
        self.path.write_bytes(CONTENT)
        self.seen = set()

    def prepare(self):
        """Starts the server and makes what the tests share."""
        self.server.start()
        self.one = pyone.OneServer(self.server.url, session=self.server.admin)
        self.host = self.one.host.allocate("node-a", "dummy", "dummy", -1)
        self.images = self.one.datastore.allocate('NAME="filecopy-images"\nDS_MAD="filecopy"\nTM_MAD="filecopy"\nPOOL="p"', -1)
        self.system = self.one.datastore.allocate('NAME="filecopy-system"\nTYPE="SYSTEM_DS"\nTM_MAD="filecopy"', -1)
        eventually(lambda: self.one.host.info(self.host).STATE, lambda state: state == 2, "host to MONITORED")

    def calls(self, monitors=False):
        """What scripts were called since the last question: (script, arguments, record directory).

        Those that measure datastores are called all the time, and left out unless they are asked for.
        """
        # What a script writes down last tells that the record is whole.
        whole = lambda record: (record / "script").exists() and (record / "script").stat().st_size > 0  # noqa: E731
        records = {record for record in (self.var / "calls").glob("*") if whole(record)}
        fresh, self.seen = sorted(records - self.seen), records
        read = lambda record, name: (record / name).read_text()  # noqa: E731
        found = [(read(r, "script").strip(), read(r, "arguments").splitlines(), r) for r in fresh]
        return [call for call in found if monitors or not call[0].endswith("/monitor")]

    def fault(self, script, text):
        """Makes a script fail with a text; without one, work again."""
        path = self.var / f"fault.{script}"
        if text is None:
            path.unlink()
        else:
            path.write_text(text)

    def image(self, text, state=IMAGE_STATES.READY):
        """Allocates an image and waits for its state."""
        image = self.one.image.allocate(text, self.images)
        eventually(lambda: IMAGE_STATES(self.one.image.info(image).STATE), lambda seen: seen == state, "image state")
        return self.one.image.info(image)

    def vm(self, text):
        """A VM that is deployed to the host; it is not waited for."""
        vm = self.one.vm.allocate(f'CPU="0.1"\nMEMORY="64"\n{text}', True)
        self.one.vm.deploy(vm, self.host, False, self.system)
        return vm

    def vm_await(self, vm, state, lcm=LCM_STATE.LCM_INIT):
        """Waits for a state of a VM; gives its body."""

        def look():
            body = self.one.vm.info(vm)
            return VM_STATE(body.STATE), LCM_STATE(body.LCM_STATE)

        eventually(look, lambda seen: seen == (state, lcm), f"VM {vm} to {state} {lcm}")
        return self.one.vm.info(vm)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    instance = Foreign(tmp_path_factory.mktemp("foreign"))
    try:
        instance.prepare()
        yield instance
    finally:
        instance.server.end()


@pytest.fixture
def fresh(foreign):
    """The same, with the calls of earlier tests forgotten."""
    foreign.calls()
    return foreign


def environment(record):
    lines = (record / "environment").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def document(record):
    return ElementTree.fromstring(base64.b64decode((record / "stdin").read_text()))


def test_the_space_of_datastores_is_what_their_scripts_say(foreign):
    def space(datastore):
        body = foreign.one.datastore.info(datastore)
        return body.TOTAL_MB, body.FREE_MB, body.USED_MB

    def sampled(datastore):
        return eventually(lambda: space(datastore), lambda seen: seen[0] > 0, f"the space of datastore {datastore}")

    total, free, used = sampled(foreign.images)
    assert 0 < free < total and 0 < used < total
    assert sampled(foreign.system) == (3000, 2000, 1000)
    scripts = {(script, arguments[0]) for script, arguments, _ in foreign.calls(monitors=True)}
    assert {("datastore/monitor", str(foreign.images)), ("tm/monitor", str(foreign.system))} <= scripts

    foreign.fault("monitor", "the store is away")
    try:
        told = lambda: "the store is away" in foreign.server.log_tail()  # noqa: E731
        eventually(told, bool, "the failure in the log")
        assert space(foreign.system) == (3000, 2000, 1000), "what was measured last stays"
    finally:
        foreign.fault("monitor", None)


def test_an_image_is_taken_copied_made_and_deleted_by_the_datastore_driver(fresh):
    image = fresh.image(f'NAME="os"\nTYPE="OS"\nPATH="{fresh.path}"')
    assert Path(image.SOURCE).read_bytes() == CONTENT
    assert image.FORMAT == "raw"
    calls = [call for call in fresh.calls() if call[0] != "datastore/stat"]
    assert [(script, arguments) for script, arguments, _ in calls] == [("datastore/cp", [str(image.ID)])]
    root = document(calls[0][2])
    assert root.tag == "DS_DRIVER_ACTION_DATA"
    assert [child.tag for child in root] == ["IMAGE", "DATASTORE"]
    assert root.findtext("IMAGE/PATH") == str(fresh.path)
    assert not root.findtext("IMAGE/SOURCE")
    assert root.findtext("DATASTORE/TEMPLATE/POOL") == "p"

    copy = fresh.one.image.clone(image.ID, "copy", -1)
    eventually(lambda: fresh.one.image.info(copy).STATE, lambda state: state == IMAGE_STATES.READY, "the copy")
    copied = fresh.one.image.info(copy)
    assert copied.SOURCE != image.SOURCE
    assert Path(copied.SOURCE).read_bytes() == CONTENT

    empty = fresh.image('NAME="empty"\nTYPE="DATABLOCK"\nSIZE="3"\nFORMAT="raw"')
    assert Path(empty.SOURCE).stat().st_size == 3 << 20

    for gone in (copied, empty):
        fresh.one.image.delete(gone.ID)
        eventually(lambda: Path(gone.SOURCE).exists(), lambda there: not there, "the file is deleted")
    scripts = [script for script, _, _ in fresh.calls()]
    assert scripts == ["datastore/clone", "datastore/mkfs", "datastore/rm", "datastore/rm"]


def test_a_vm_lives_by_the_transfer_driver(fresh):
    plain = fresh.image(f'NAME="vm-os"\nTYPE="OS"\nPATH="{fresh.path}"')
    kept = fresh.image(f'NAME="vm-data"\nTYPE="DATABLOCK"\nPERSISTENT="YES"\nPATH="{fresh.path}"')
    fresh.calls()
    vm = fresh.vm(
        f'NAME="v"\nDISK=[IMAGE_ID="{plain.ID}"]\nDISK=[IMAGE_ID="{kept.ID}"]\n'
        'DISK=[TYPE="fs",SIZE="2",FORMAT="raw"]\nDISK=[TYPE="swap",SIZE="1"]\nCONTEXT=[WORD="it\'s"]'
    )
    fresh.vm_await(vm, VM_STATE.ACTIVE, LCM_STATE.RUNNING)
    directory = fresh.var / f"datastores/{fresh.system}/{vm}"
    there = f"node-a:{directory}"
    calls = fresh.calls()
    ids, system_ids = [str(vm), str(fresh.images)], [str(vm), str(fresh.system)]
    # The parts of a prolog come in any order, the context after them.
    assert sorted((script, arguments) for script, arguments, _ in calls[:-1]) == [
        ("tm/clone", [f"front-end:{plain.SOURCE}", f"{there}/disk.0", *ids]),
        ("tm/ln", [f"front-end:{kept.SOURCE}", f"{there}/disk.1", *ids]),
        ("tm/mkimage", ["2", "raw", f"{there}/disk.2", *system_ids]),
        ("tm/mkswap", ["1", f"{there}/disk.3", *system_ids]),
    ]
    script, arguments, _ = calls[-1]
    assert (script, arguments[1:]) == ("tm/context", [f"{there}/disk.4", *system_ids])
    assert Path(arguments[0]).name == "context.sh" and not Path(arguments[0]).exists()
    unpacked = directory / "unpacked"
    shutil.unpack_archive(directory / "disk.4", unpacked, "tar")
    assert "WORD='it'\\''s'\n" in (unpacked / "context.sh").read_text()
    assert (directory / "disk.0").read_bytes() == CONTENT

    clone = next(record for script, _, record in calls if script == "tm/clone")
    variables = environment(clone)
    assert variables["ONE_LOCATION"] == str(fresh.server.directory)
    assert variables["ONE_XMLRPC"] == fresh.server.url
    assert variables["ONE_AUTH"] == str(fresh.server.directory / "one_auth")
    assert (clone / "stdin").read_text() == ""
    # The script asked the server itself, in the middle of the prolog.
    assert ElementTree.parse(clone / "vm.xml").getroot().findtext("ID") == str(vm)

    (directory / "disk.1").write_bytes(b"written by the guest")
    fresh.one.vm.action("undeploy-hard", vm)
    fresh.vm_await(vm, VM_STATE.UNDEPLOYED)
    home = f"front-end:{directory}"
    moves = [
        (f"/disk.{disk}", ids if disk < 2 else system_ids) for disk in range(4)
    ] + [("", system_ids)]
    assert [(script, arguments) for script, arguments, _ in fresh.calls()] == [
        ("tm/mv", [there + rest, home + rest, *numbers]) for rest, numbers in moves
    ]
    fresh.one.vm.deploy(vm, fresh.host, False, fresh.system)
    fresh.vm_await(vm, VM_STATE.ACTIVE, LCM_STATE.RUNNING)
    assert [script for script, _, _ in fresh.calls()] == ["tm/mv"] * 5 + ["tm/context"]

    fresh.one.vm.action("terminate-hard", vm)
    fresh.vm_await(vm, VM_STATE.DONE)
    assert [(script, arguments) for script, arguments, _ in fresh.calls()] == [
        ("tm/delete", [f"{there}/disk.0", *ids]),
        ("tm/mvds", [f"{there}/disk.1", kept.SOURCE, *ids]),
        ("tm/delete", [f"{there}/disk.2", *system_ids]),
        ("tm/delete", [f"{there}/disk.3", *system_ids]),
        ("tm/delete", [there, *system_ids]),
    ]
    assert not directory.exists()
    assert Path(kept.SOURCE).read_bytes() == b"written by the guest"
    assert Path(plain.SOURCE).read_bytes() == CONTENT


def test_a_script_that_fails_fails_what_it_was_for(fresh):
    fresh.fault("cp", "the pool is full")
    image = fresh.image(f'NAME="failing"\nPATH="{fresh.path}"', IMAGE_STATES.ERROR)
    assert "the pool is full" in image.TEMPLATE["ERROR"]
    assert "8<" not in image.TEMPLATE["ERROR"]
    fresh.fault("cp", None)

    good = fresh.image(f'NAME="good"\nPATH="{fresh.path}"')
    fresh.fault("clone", "no such volume")
    vm = fresh.vm(f'DISK=[IMAGE_ID="{good.ID}"]')
    body = fresh.vm_await(vm, VM_STATE.ACTIVE, LCM_STATE.PROLOG_FAILURE)
    assert "no such volume" in body.USER_TEMPLATE["ERROR"]
    fresh.fault("clone", None)
    fresh.one.vm.recover(vm, 2)
    fresh.vm_await(vm, VM_STATE.ACTIVE, LCM_STATE.RUNNING)
    fresh.one.vm.recover(vm, 3)
    fresh.vm_await(vm, VM_STATE.DONE)
    assert not (fresh.var / f"datastores/{fresh.system}/{vm}").exists()


def test_a_driver_that_is_nowhere_is_named_with_the_place_where_it_should_be(fresh):
    store = fresh.one.datastore.allocate('NAME="lost"\nDS_MAD="lost"\nTM_MAD="filecopy"', -1)
    image = fresh.one.image.allocate('NAME="lost"\nTYPE="DATABLOCK"\nSIZE="1"', store)
    eventually(lambda: fresh.one.image.info(image).STATE, lambda state: state == IMAGE_STATES.ERROR, "image state")
    text = fresh.one.image.info(image).TEMPLATE["ERROR"]
    assert "driver lost is not built in" in text
    assert str(fresh.var / "remotes/datastore/lost") in text


def test_an_image_driver_without_a_script_for_the_system_driver_uses_its_plain_one(fresh):
    mixed = fresh.one.datastore.allocate('NAME="plain"\nTYPE="SYSTEM_DS"\nTM_MAD="ssh"', -1)
    fresh.one.datastore.update(fresh.images, 'TM_MAD_SYSTEM="ssh"', 1)
    image = fresh.image(f'NAME="mixed"\nPATH="{fresh.path}"')
    special = fresh.var / "remotes/tm/filecopy/clone.ssh"
    scripts = []
    for made in (False, True):
        if made:
            shutil.copy(special.with_name("clone"), special)
        fresh.calls()
        vm = fresh.one.vm.allocate(f'CPU="0.1"\nMEMORY="64"\nDISK=[IMAGE_ID="{image.ID}"]\nCONTEXT=[A="b"]', True)
        fresh.one.vm.deploy(vm, fresh.host, False, mixed)
        fresh.vm_await(vm, VM_STATE.ACTIVE, LCM_STATE.RUNNING)
        scripts.append([script for script, _, _ in fresh.calls()])
        fresh.one.vm.action("terminate-hard", vm)
        fresh.vm_await(vm, VM_STATE.DONE)
    # The rest is the built-in driver's, and a dummy host has no files for it.
    assert scripts == [["tm/clone"], ["tm/clone.ssh"]]


def test_no_more_vms_start_at_once_than_oned_conf_says(tmp_path):
    limited = Foreign(tmp_path, "MAX_ACTIONS_PER_HOST=2\nMAX_ACTIONS_PER_CLUSTER=1")
    gate = limited.var / "gate.mkimage"
    template = 'CPU="0.1"\nMEMORY="64"\nDISK=[TYPE="fs",SIZE="1",FORMAT="raw"]\nSCHED_DS_REQUIREMENTS="NAME=\\"filecopy-system\\""\n'
    try:
        limited.prepare()
        gate.touch()
        first = limited.one.vm.allocate(template, False)
        limited.vm_await(first, VM_STATE.ACTIVE, LCM_STATE.PROLOG)
        second = limited.one.vm.allocate(template, False)
        # One that is told why it waits: the scheduler has seen those before it by then.
        third = limited.one.vm.allocate(f'{template}SCHED_REQUIREMENTS="NAME=nowhere"', False)
        eventually(lambda: limited.one.vm.info(third).USER_TEMPLATE.get("SCHED_MESSAGE"), bool, "a reason")
        assert VM_STATE(limited.one.vm.info(second).STATE) == VM_STATE.PENDING
        gate.unlink()
        for vm in (first, second):
            limited.vm_await(vm, VM_STATE.ACTIVE, LCM_STATE.RUNNING)
    finally:
        gate.unlink(missing_ok=True)
        limited.server.end()

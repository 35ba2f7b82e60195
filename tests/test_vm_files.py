"""Files that the front-end keeps of each VM, where administrators look for them."""

import re

import pytest

from harness import cloud
from harness.cloud import eventually
from harness.rpc import Session
from harness.server import Server

LINE = re.compile(r"^\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4} \[Z0\]\[VM\]\[[IEW]\]: (.*)$")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    instance = Server(tmp_path_factory.mktemp("files")).start()
    yield instance
    instance.end()


def test_the_log_of_a_vm_tells_its_states(server):
    admin = Session(server)
    made = cloud.cloud_make(admin, hosts=1)
    vm = admin.ok("vm.allocate", cloud.VM.format("logged"), True)
    admin.ok("vm.deploy", vm, made.hosts[0], False, made.system_ds)
    path = server.directory / f"var/vms/{vm}/vm.log"

    def said():
        return [LINE.match(line)[1] for line in path.read_text().splitlines()] if path.exists() else []

    running = ["New state is ACTIVE", "New LCM state is PROLOG", "New LCM state is BOOT", "New LCM state is RUNNING"]
    eventually(said, lambda seen: seen[-4:] == running, "the way to RUNNING")
    admin.ok("vm.action", "terminate-hard", vm)
    ended = ["New LCM state is SHUTDOWN", "New LCM state is EPILOG", "New state is DONE", "New LCM state is LCM_INIT"]
    eventually(said, lambda seen: seen[-4:] == ended, "the way to DONE")
    assert path.stat().st_mode & 0o007 == 0, "others have no business with it"

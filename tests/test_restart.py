"""What was acknowledged is there after SIGTERM and after SIGKILL."""

import http.client
import socket
import subprocess
import threading
import time
from xml.parsers.expat import ExpatError

import pytest

from harness import cloud
from harness.dump import changed, dump
from harness.rpc import Session
from harness.server import BINARY

INTERNAL = 0x2000
WRITERS = 16
BEFORE_THE_KILL = 200


def populate(admin):
    """Objects of every kind, VMs in every resting state."""
    made = cloud.cloud_make(admin)
    group = admin.ok("group.allocate", "developers")
    user = admin.ok("user.allocate", "dora", "secret", "", [group])
    admin.ok("user.update", user, 'TEXT="<&>\'\u00e4\u4e2d\n\t\U0001f980"', 1)
    admin.ok("user.login", "dora", "a-token-of-dora", 3600, -1)
    admin.ok("cluster.addhost", admin.ok("cluster.allocate", "second"), made.hosts[1])
    admin.ok("vn.hold", made.vnet, 'LEASES=[IP="192.0.2.40"]')
    admin.ok("image.lock", made.image, 2, False)
    admin.ok("image.unlock", made.image)
    admin.ok("template.lock", made.template, 2, False)
    admin.ok("secgroup.allocate", 'NAME="web"\nRULE=[PROTOCOL="TCP",RULE_TYPE="inbound",RANGE="22"]')
    admin.ok("template.unlock", made.template)
    for action, state in {"poweroff": 8, "suspend": 5, "stop": 4, "undeploy": 9, "terminate": 6}.items():
        vm = admin.ok("template.instantiate", made.template, action)
        cloud.vm_await(admin, vm, 3, 3)
        admin.ok("vm.action", action, vm)
        cloud.vm_await(admin, vm, state)
    cloud.vm_await(admin, admin.ok("template.instantiate", made.template, "running"), 3, 3)
    admin.ok("template.instantiate", made.template, "held", True)
    deleted = admin.ok("template.clone", made.template, "deleted", False)
    admin.ok("template.delete", deleted)
    return user


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_everything_is_there(own_server, way):
    admin = Session(own_server)
    populate(admin)
    before = dump(admin)
    getattr(own_server, way)()
    own_server.start()
    assert changed(before, dump(admin)) == {}
    assert Session(own_server, "dora:secret").ok("user.info", -1) == Session(
        own_server, "dora:a-token-of-dora"
    ).ok("user.info", -1)


@pytest.fixture
def taken(own_server):
    """A socket that listens where the server is to listen, which does not run."""
    own_server.stop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        (own_server.directory / "etc/oned.conf").write_text(f"PORT={listening.getsockname()[1]}\n")
        yield listening


def test_a_port_that_is_still_held_is_waited_for(own_server, taken):
    """As by what a server that was killed had just forked."""

    def let_go():
        while "is in use: waiting" not in own_server.log_path.read_text():
            time.sleep(0.01)
        taken.close()

    waiting = threading.Thread(target=let_go, daemon=True)
    waiting.start()
    own_server.start()
    waiting.join()
    assert Session(own_server).ok("user.info", 0)


def test_a_port_of_another_server_is_named(own_server, taken):
    environment = {"PATH": "/usr/bin:/bin", "ONE_LOCATION": str(own_server.directory), "ONE_AUTH": str(own_server.directory / "one_auth")}
    done = subprocess.run([BINARY, "serve"], env=environment, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{taken.getsockname()[1]}" in done.stderr
    assert "another server uses the port, or set PORT in oned.conf" in done.stderr


def test_ids_go_on(own_server):
    """An id is never given twice, not even that of a deleted object."""
    admin = Session(own_server)
    idents = []
    for way in ("stop", "kill", "stop"):
        ident = admin.ok("template.allocate", cloud.VM.format(f"t{len(idents)}"))
        admin.ok("template.delete", ident)
        idents.append(ident)
        getattr(own_server, way)()
        own_server.start()
    assert idents == sorted(set(idents))
    assert admin.ok("template.allocate", cloud.VM.format("last")) not in idents


def test_vms_go_on_after_a_kill(own_server):
    """A kill in the middle of boots: each VM that was acknowledged reaches RUNNING all the same."""
    admin = Session(own_server)
    made = cloud.cloud_make(admin)
    vms = [admin.ok("template.instantiate", made.template, f"v{number}") for number in range(20)]
    own_server.kill()
    own_server.start()
    for vm in vms:
        cloud.vm_await(admin, vm, 3, 3)


class Writer(threading.Thread):
    """Allocates until the server is gone; keeps what was acknowledged."""

    def __init__(self, server, number, enough):
        super().__init__(daemon=True)
        self.session = Session(server)
        self.number = number
        self.enough = enough
        self.acknowledged = {}
        self.refused = []

    def run(self):
        count = 0
        while True:
            name = f"w{self.number}-{count}"
            count += 1
            try:
                answer = self.session.call("template.allocate", cloud.VM.format(name))
            except (OSError, http.client.HTTPException, ExpatError):
                return  # the server is gone: what was on its way is unknown, as it must be
            if answer.outcome != "ok":
                self.refused.append(answer)
                return
            self.acknowledged[answer.value] = name
            self.enough.release()


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_acknowledged_while_many_write(own_server, way):
    enough = threading.Semaphore(0)
    writers = [Writer(own_server, number, enough) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    for _ in range(BEFORE_THE_KILL):
        assert enough.acquire(timeout=30)
    getattr(own_server, way)()
    for writer in writers:
        writer.join(timeout=30)
        assert not writer.is_alive()
    acknowledged = {ident: name for writer in writers for ident, name in writer.acknowledged.items()}
    assert len(acknowledged) == sum(len(writer.acknowledged) for writer in writers), "an id was given twice"
    own_server.start()
    admin = Session(own_server)
    for ident, name in acknowledged.items():
        assert f"<NAME>{name}</NAME>" in admin.ok("template.info", ident)
    refused = [answer for writer in writers for answer in writer.refused]
    assert all(answer.code == INTERNAL for answer in refused), refused

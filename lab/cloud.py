"""The cloud inside a lab as the tests use it: hosts, datastores, images, a network, VMs and their guests."""

import itertools
import pathlib
import socket
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

from lab import GUEST_NETWORK, GUEST_PLACE, SHARED_DATASTORES, wait_until
from node import HOME, USER, Failed

HOST_SECONDS = 30
IMAGE_SECONDS = 30
VM_SECONDS = 60
# Time for a guest to boot and to answer, also when the machine is busy.
GUEST_SECONDS = 90
SSH_SECONDS = 20
SSH_PORT = 22
# Time for a guest that listens to say so; then it is asked anew.
LISTEN_SECONDS = 1
# Every such look at a guest that does not seem to listen is a login that is tried.
LOOKS_BLIND = 5
BRIDGE = "br-guests"
GUEST_MEMORY_MIB = 160
# The states as the API numbers them.
HOST_MONITORED, HOST_ERROR = 2, 3
IMAGE_READY, IMAGE_USED, IMAGE_USED_PERSISTENT, IMAGE_ERROR = 1, 2, 8, 5
VM_STATES = {
    0: "INIT", 1: "PENDING", 2: "HOLD", 3: "ACTIVE", 4: "STOPPED", 5: "SUSPENDED", 6: "DONE", 8: "POWEROFF",
    9: "UNDEPLOYED", 10: "CLONING", 11: "CLONING_FAILURE",
}  # fmt: skip
LCM_STATES = {
    0: "LCM_INIT", 1: "PROLOG", 2: "BOOT", 3: "RUNNING", 5: "SAVE_STOP", 6: "SAVE_SUSPEND", 9: "PROLOG_RESUME",
    10: "EPILOG_STOP", 11: "EPILOG", 12: "SHUTDOWN", 16: "UNKNOWN", 18: "SHUTDOWN_POWEROFF", 19: "BOOT_UNKNOWN",
    20: "BOOT_POWEROFF", 26: "HOTPLUG_SAVEAS", 69: "BACKUP", 21: "BOOT_SUSPENDED", 22: "BOOT_STOPPED", 23: "CLEANUP_DELETE", 29: "SHUTDOWN_UNDEPLOY",
    30: "EPILOG_UNDEPLOY", 31: "PROLOG_UNDEPLOY", 32: "BOOT_UNDEPLOY", 36: "BOOT_FAILURE", 39: "PROLOG_FAILURE",
    40: "EPILOG_FAILURE", 41: "EPILOG_STOP_FAILURE", 42: "EPILOG_UNDEPLOY_FAILURE", 47: "BOOT_UNDEPLOY_FAILURE",
    48: "BOOT_STOPPED_FAILURE", 49: "PROLOG_RESUME_FAILURE", 50: "PROLOG_UNDEPLOY_FAILURE",
}  # fmt: skip


@dataclass(frozen=True)
class Storage:
    """A pair of datastores and the format of the images in them."""

    name: str
    image_store: int
    system_store: int
    format: str

    @property
    def shared(self):
        """Whether all nodes see the same files."""
        return self.system_store in SHARED_DATASTORES


STORAGES = {
    "ssh": Storage("ssh", 1, 0, "raw"),
    "shared": Storage("shared", SHARED_DATASTORES[0], SHARED_DATASTORES[1], "raw"),
    "qcow2": Storage("qcow2", SHARED_DATASTORES[2], SHARED_DATASTORES[3], "qcow2"),
}


class Cloud:
    """A set-up cloud: three hosts, the three storages, one bridged network."""

    def __init__(self, lab):
        self.lab = lab
        self.fe = lab.fe
        for host in lab.hosts:
            self.fe(f"onehost create {host.name} -i kvm -v qemu")
        for name in ("shared", "qcow2"):
            self._datastores_make(STORAGES[name])
        # Only for VMs that are moved there.
        self.other_store = lab.create("datastore", "NAME = qcow2-other\nTYPE = SYSTEM_DS\nTM_MAD = qcow2\n")
        if self.other_store != SHARED_DATASTORES[4]:
            raise Failed(f"datastore {self.other_store} was made where {SHARED_DATASTORES[4]} is mounted")
        self.fe(f"onedatastore disable {self.other_store}")
        self.network = lab.create(
            "vnet",
            f"""NAME = guests
VN_MAD = bridge
BRIDGE = {BRIDGE}
PHYDEV = eth1
NETWORK_ADDRESS = {GUEST_NETWORK}.0
NETWORK_MASK = 255.255.255.0
AR = [ TYPE = IP4, IP = {GUEST_NETWORK}.100, SIZE = 100 ]
""",
        )
        self.key = (lab.front_end.home / ".ssh/id_ed25519.pub").read_text().strip()
        self.images = {}

    def _datastores_make(self, storage):
        for kind, identifier in (("IMAGE_DS", storage.image_store), ("SYSTEM_DS", storage.system_store)):
            template = f"NAME = {storage.name}-{kind.lower()}\nTYPE = {kind}\nTM_MAD = {storage.name}\n"
            made = self.lab.create("datastore", template + ("DS_MAD = fs\n" if kind == "IMAGE_DS" else ""))
            if made != identifier:
                raise Failed(f"datastore {made} was made where {identifier} is mounted")

    # Hosts.

    def host_wait(self, number, state, seconds=HOST_SECONDS):
        """Waits until host 1, 2 or 3 is in a state; gives its XML."""

        def look():
            host = self.lab.show("host", number - 1)
            return host if int(host.findtext("STATE")) == state else None

        return wait_until(seconds, look, lambda: f"host {number} is not in state {state}: {self.fe('onehost list')}")

    def hosts_wait(self):
        """Waits until all hosts are monitored."""
        for number in range(1, len(self.lab.hosts) + 1):
            self.host_wait(number, HOST_MONITORED)

    # Images.

    def image_make(self, storage, name, *options, persistent=False):
        """Makes an image; waits until it is ready; gives its id."""
        line = ["oneimage", "create", "--name", name, "--prefix", "vd", "--format", storage.format, *options]
        identifier = self.identifier([*line, "-d", str(storage.image_store), *(["--persistent"] if persistent else [])])
        self.image_wait(identifier, name)
        return identifier

    def image_wait(self, identifier, name):
        """Waits until an image is ready."""

        def look():
            image = self.lab.show("image", identifier)
            if int(image.findtext("STATE")) == IMAGE_ERROR:
                raise Failed(f"image {name}: {image.findtext('TEMPLATE/ERROR')}")
            return int(image.findtext("STATE")) == IMAGE_READY

        wait_until(IMAGE_SECONDS, look, f"image {name} is not ready")

    def os_image(self, storage, name=None, persistent=False):
        """An image that boots. Without a name: one that all tests of the storage use."""
        if name is None and storage.name in self.images:
            return self.images[storage.name]
        options = ["--path", f"{GUEST_PLACE}/guest.{storage.format}", "--type", "OS"]
        identifier = self.image_make(storage, name or f"os-{storage.name}", *options, persistent=persistent)
        if name is None:
            self.images[storage.name] = identifier
        return identifier

    def image_file(self, storage, identifier):
        """The image's file as the test process sees it."""
        source = pathlib.Path(self.lab.show("image", identifier).findtext("SOURCE"))
        return self.datastore(self.lab.front_end, storage.image_store) / source.name

    def datastore(self, node, identifier):
        """A datastore's directory at a node, as the test process sees it."""
        if identifier in SHARED_DATASTORES:
            return self.lab.shared(identifier)
        return node.home / "datastores" / str(identifier)

    def vms_left(self):
        """VMs that are not DONE."""
        identifiers = ElementTree.fromstring(self.lab.api("vmpool.info", -2, -1, -1, -1)).findall("VM/ID")
        return [Vm(self, int(found.text), STORAGES["ssh"]) for found in identifiers]

    def identifier(self, line):
        """Runs a command that prints the id of what it made."""
        return int(self.fe(line).split()[-1])

    # VMs.

    def vm_template(self, storage=STORAGES["ssh"], disks=(), host=None, extra=""):
        """The template of a VM with the usual boot disk, or `disks` (DISK vectors)."""
        disks = disks or [f"IMAGE_ID = {self.os_image(storage)}"]
        requirements = f'"{storage_requirement(storage)}"'
        template = f"""CPU = 0.1
MEMORY = {GUEST_MEMORY_MIB}
SCHED_DS_REQUIREMENTS = {requirements}
NIC = [ NETWORK_ID = {self.network} ]
CONTEXT = [ NETWORK = YES, SET_HOSTNAME = "$NAME", SSH_PUBLIC_KEY = "{self.key}" ]
GRAPHICS = [ TYPE = VNC, LISTEN = 127.0.0.1 ]
{extra}
"""
        if host is not None:
            template += f'SCHED_REQUIREMENTS = "NAME = {self.lab.node(host).name}"\n'
        return template + "".join(f"DISK = [ {disk} ]\n" for disk in disks)

    def vm_make(self, storage=STORAGES["ssh"], disks=(), host=None, extra=""):
        """Makes a VM of that template; gives it."""
        return self.vm_of(self.vm_template(storage, disks, host, extra), storage)

    def vm_of(self, template, storage=STORAGES["ssh"]):
        """Makes a VM of a template's text; gives it."""
        return Vm(self, self.lab.create("vm", template), storage)


def storage_requirement(storage):
    return f"ID = {storage.system_store}"


class Vm:
    """A VM and its guest."""

    def __init__(self, cloud, identifier, storage):
        self.cloud = cloud
        self.lab = cloud.lab
        self.id = identifier
        self.storage = storage
        self.domain = f"one-{identifier}"

    def xml(self):
        return self.lab.show("vm", self.id)

    def state(self):
        """STATE, or LCM_STATE when it is ACTIVE."""
        return state_of(self.xml())

    def wait(self, state, seconds=VM_SECONDS):
        """Waits until the VM is in a state. A failure that is not waited for ends the wait."""

        def look():
            xml = self.xml()
            now = state_of(xml)
            if now != state and now.endswith("FAILURE"):
                raise Failed(f"VM {self.id} is {now}, not {state}: {error_of(xml)}")
            return now == state

        wait_until(seconds, look, lambda: f"VM {self.id} is {self.state()}, not {state}: {error_of(self.xml())}")

    def act(self, line, state, seconds=VM_SECONDS):
        """`act("poweroff --hard", "POWEROFF")`: does it and waits for the state."""
        action, *options = line.split()
        self.cloud.fe(["onevm", action, *options, str(self.id)])
        self.wait(state, seconds)

    def running(self):
        """Waits for RUNNING; gives the VM."""
        self.wait("RUNNING")
        return self

    @property
    def address(self):
        return self.xml().findtext("TEMPLATE/NIC/IP")

    def sequence(self):
        """Number of the last history record."""
        return int(self.xml().findall("HISTORY_RECORDS/HISTORY")[-1].findtext("SEQ"))

    def host(self):
        """The node it is on, or was on last."""
        name = self.xml().findall("HISTORY_RECORDS/HISTORY")[-1].findtext("HOSTNAME")
        return next(node for node in self.lab.hosts if node.name == name)

    def directory(self, node):
        """Its directory at a node, as the test process sees it."""
        return self.cloud.datastore(node, self.storage.system_store) / str(self.id)

    def qemus(self):
        """Its QEMU processes on all hosts: pairs of node and process id."""
        return [(node, pid) for node in self.lab.hosts for pid in node.qemu_pids(self.domain)]

    def terminate(self):
        """Ends it the hard way."""
        self.act("terminate --hard", "DONE")

    def remove(self):
        """Ends it, whatever it is doing."""
        self.remove_begin()
        self.wait("DONE")

    def remove_begin(self):
        """Has it ended, whatever it is doing; waits for nothing."""
        if self.cloud.fe(f"onevm terminate --hard {self.id}", check=False):
            self.cloud.fe(f"onevm recover --delete {self.id}")

    # The guest.

    def guest(self, command, input=None, check=True, seconds=SSH_SECONDS, address=None):
        """Runs a shell command in the guest; gives its standard output. Without a front-end its address must be known."""
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=3", "BatchMode=yes"]
        line = ["ssh", "-q", *(word for option in options for word in ("-o", option)), f"root@{address or self.address}", command]
        return self.lab.front_end.run(line, user=USER, input=input, check=check, seconds=seconds).stdout

    def guest_wait(self, seconds=GUEST_SECONDS):
        """Waits until the guest lets oneadmin in; gives the VM."""
        address = self.address
        looks = itertools.count(1)

        def look():
            # Not before it listens, as ssh would wait for seconds; now and then all the same, should it be slow to answer.
            if not self._guest_listens(address) and next(looks) % LOOKS_BLIND != 0:
                return False
            try:
                return self.guest("echo in", check=False, address=address) == "in\n"
            except subprocess.TimeoutExpired:
                return False

        wait_until(seconds, look, self._guest_words)
        return self

    def _guest_listens(self, address):
        """Whether its SSH server takes connections."""
        with self.lab.front_end.on_network():
            try:
                socket.create_connection((address, SSH_PORT), LISTEN_SECONDS).close()
            except OSError:
                return False
        return True

    def _guest_words(self):
        ping = self.lab.front_end.run(["ping", "-c", "1", "-W", "1", self.address], check=False).stdout
        return f"guest {self.id} ({self.address}, {self.state()}) lets nobody in; {ping}"

    def guest_boot_id(self):
        return self.guest("cat /proc/sys/kernel/random/boot_id").strip()


def state_of(xml):
    """STATE of a VM, or LCM_STATE when it is ACTIVE, as a word."""
    state = VM_STATES[int(xml.findtext("STATE"))]
    if state != "ACTIVE":
        return state
    number = int(xml.findtext("LCM_STATE"))
    return LCM_STATES.get(number, f"LCM_STATE {number}")


def error_of(xml):
    """What the VM says went wrong."""
    return xml.findtext("USER_TEMPLATE/ERROR") or xml.findtext("TEMPLATE/ERROR") or "it names no error"


def seconds_until(look, seconds, what):
    """Seconds until `look()` is true."""
    began = time.monotonic()
    wait_until(seconds, look, what)
    return time.monotonic() - began


def at_front_end(lab, path):
    """A path of the front-end below oneadmin's home, as the test process sees it."""
    return lab.front_end.home / pathlib.Path(path).relative_to(HOME)

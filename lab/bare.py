"""A domain as one of the cloud's VMs has it, that only `virsh` by hand has to do with, and how long that takes."""

import subprocess
import time
import uuid
from xml.etree import ElementTree

from layout import names

NAME = "bare"
VIRSH = "virsh -q -c qemu:///system"
SECOND_MAC = "02:00:00:00:be:02"
OFF = f'until [ -z "$({VIRSH} list --name | grep -x {NAME})" ]; do :; done'


class Bare:
    """The domain, on the host of a VM that is off: with its disks' content and its network card, so that it is that guest."""

    def __init__(self, vm):
        self.node = vm.host()
        self.first = self.node
        stores = "/var/lib/one/datastores"
        source = f"{stores}/{vm.storage.system_store}/{vm.id}"
        # Where all nodes see it, so that it can be moved.
        self.directory = f"{stores}/{vm.storage.system_store}/{NAME}"
        found = names(vm.directory(self.node))
        self.disks = [name for name in found if name.removeprefix("disk.").isdigit()]
        self.script(f"mkdir -p {self.directory}")
        self._disks_copy(source)
        deployment = max((name for name in found if name.startswith("deployment.")), key=lambda name: int(name.split(".")[1]))
        text = self.node.out(["cat", f"{source}/{deployment}"])
        self._put("domain.xml", self._renamed(text.replace(source, self.directory).replace(vm.domain, NAME)))
        self._put(
            "nic.xml",
            f"<interface type='bridge'><source bridge='{self.bridge}'/><mac address='{SECOND_MAC}'/><model type='virtio'/></interface>",
        )
        self._put(
            "disk.xml",
            f"<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{self.directory}/new.img'/>"
            "<target dev='vdx' bus='virtio'/></disk>",
        )
        self.script(f"qemu-img create -q -f raw {self.directory}/new.img 16M; chown -R oneadmin: {self.directory}")

    def _disks_copy(self, source):
        self.script("".join(f"cp -L --sparse=always {source}/{disk} {self.directory}; " for disk in self.disks))

    def _renamed(self, text):
        domain = ElementTree.fromstring(text)
        domain.find("uuid").text = str(uuid.uuid4())
        for graphics in domain.findall("devices/graphics"):
            graphics.attrib.pop("port", None)
            graphics.set("autoport", "yes")
        self.bridge = domain.find("devices/interface/source").get("bridge")
        return ElementTree.tostring(domain, encoding="unicode")

    def _put(self, name, text):
        self.node.run(["tee", f"{self.directory}/{name}"], input=text)

    def script(self, text):
        return self.node.out(["bash", "-ec", text])

    def seconds(self, text):
        """How long a script takes, as the node's own shell sees it."""
        timed = f"cd {self.directory}; began=$(date +%s%N); {{ {text}; }} >/dev/null; echo $(($(date +%s%N) - began))"
        return int(self.script(timed)) / 1e9

    def virsh(self, words):
        return self.seconds(f"{VIRSH} {words}")

    def create(self):
        return self.virsh("create domain.xml")

    def shutdown(self):
        """Until the guest has shut itself down."""
        return self.seconds(f"{VIRSH} shutdown {NAME}; {OFF}")

    def detach(self, file, word):
        """Until the guest has let go of a device, whose description has that word."""
        gone = f"while {VIRSH} dumpxml {NAME} | grep -q {word}; do :; done"
        return self.seconds(f"{VIRSH} detach-device {NAME} {file} --live; {gone}")

    def move(self, there):
        """Live, to another node. The command runs outside of the nodes: no node's user may log in to another one."""
        began = time.monotonic()
        socket = "qemu+unix:///system?socket=/proc/{}/root/run/libvirt/libvirt-sock"
        words = ["migrate", "--live", "--unsafe", NAME, socket.format(there.pid), "--migrateuri", f"tcp://{there.address}"]
        subprocess.run(["virsh", "-q", "-c", socket.format(self.node.pid), *words], check=True)
        self.node = there
        return time.monotonic() - began

    def remove(self):
        """Ends it, with its files."""
        return self.seconds(f"{VIRSH} destroy {NAME}; rm -rf disk.*")

    def end(self):
        for node in {self.node, self.first}:
            node.run(["bash", "-c", f"{VIRSH} destroy {NAME} 2>/dev/null; rm -rf {self.directory}"])

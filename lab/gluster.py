"""A GlusterFS volume in the lab, on a network of its own: the front-end serves it, all nodes mount it."""

import contextlib

from lab import wait_until
from node import HOME, USER_ID

SERVER = "store"
VOLUME = "leased"
BRIDGE = "storage"
NETWORK = "10.78.0"
PID_FILE = "/run/lab-glusterd.pid"
SERVER_SECONDS = 30
# Seconds after which the server gives up a connection that is cut, and its locks with it.
GIVE_UP_SECONDS = 10
OPTIONS = {
    "client.strict-locks": "on",
    "network.ping-timeout": GIVE_UP_SECONDS,
    "server.tcp-user-timeout": GIVE_UP_SECONDS,
    "storage.owner-uid": USER_ID,
    "storage.owner-gid": USER_ID,
}


class Volume:
    """The volume. `brick` is where the test process sees its files, beside what any client caches."""

    def __init__(self, lab):
        self.lab = lab
        self.brick = lab.front_end.home / "brick"
        self.mounts = []

    def link(self, node):
        """Name of a node's storage link at the switch."""
        return node.link.replace("m", "s", 1)

    def link_set(self, node, up):
        """Plugs or unplugs a node's storage link."""
        self.lab.switch(["ip", "link", "set", self.link(node), "up" if up else "down"])

    def begin(self):
        """Makes the network, the server and the volume."""
        self.lab.switch(["ip", "link", "add", BRIDGE, "type", "bridge"])
        self.lab.switch(["ip", "link", "set", BRIDGE, "up"])
        for node in self.lab.nodes:
            number = node.address.rpartition(".")[2]
            add = ["ip", "link", "add", self.link(node), "type", "veth", "peer", "name", "eth2", "netns", str(node.pid)]
            self.lab.switch(add)
            self.lab.switch(["ip", "link", "set", self.link(node), "master", BRIDGE, "up"])
            node.run(["ip", "address", "add", f"{NETWORK}.{number}/24", "dev", "eth2"])
            node.run(["ip", "link", "set", "eth2", "up"])
            server = self.lab.front_end.address.rpartition(".")[2]
            node.run(["tee", "-a", "/etc/hosts"], input=f"{NETWORK}.{server} {SERVER}\n")
        self.lab.front_end.run(["glusterd", "-p", PID_FILE])
        wait_until(SERVER_SECONDS, lambda: self.gluster("pool", "list", check=False).returncode == 0, "glusterd does not answer")
        self.gluster("volume", "create", VOLUME, f"{SERVER}:{HOME}/brick", "force")
        for name, value in OPTIONS.items():
            self.gluster("volume", "set", VOLUME, name, str(value))
        self.gluster("volume", "start", VOLUME)

    def gluster(self, *words, check=True):
        return self.lab.front_end.run(["gluster", "--mode=script", *words], check=check)

    def mount(self, path):
        """Mounts it at a path of every node."""
        for node in self.lab.nodes:
            node.run(["mkdir", "-p", path])
            node.run(["mount", "-t", "glusterfs", f"{SERVER}:/{VOLUME}", path])
            self.mounts.append((node, path))

    def wait(self, node):
        """Waits until a node has its mounts back."""
        for mounted, path in self.mounts:
            if mounted is node:
                look = ["stat", "-f", path]
                wait_until(SERVER_SECONDS, lambda look=look: node.run(look, check=False).returncode == 0, f"{path} does not answer")

    def end(self):
        """Takes all of it away."""
        for node, path in self.mounts:
            node.run(["umount", "-l", path])
        self.gluster("volume", "stop", VOLUME)
        self.gluster("volume", "delete", VOLUME)
        self.lab.front_end.run(["pkill", "-F", PID_FILE])
        for node in self.lab.nodes:
            self.lab.switch(["ip", "link", "del", self.link(node)])
        self.lab.switch(["ip", "link", "del", BRIDGE])


@contextlib.contextmanager
def volume_of(lab):
    """The volume, for as long as this lasts."""
    volume = Volume(lab)
    volume.begin()
    try:
        yield volume
    finally:
        volume.end()

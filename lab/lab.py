"""A cluster on one machine: a front-end and three hosts as namespaces, with real sshd, libvirt and QEMU guests.

    sudo python3 lab/lab.py          makes one, prints how to enter it, keeps it until Ctrl-C

Two bridges in a network namespace of their own connect the nodes: `management` carries SSH (10.77.0.0/24), `trunk` is
the second network card of each node and carries the guests' networks (the front-end has 192.168.77.1 there). The
machine's own network, files and users are not touched, so any number of labs may run side by side.
"""

import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree

import machine
from callers import BROKEN, Server
from harness.rpc import Session
from node import HOME, USER, Failed, Node

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
BINARY = pathlib.Path(os.environ.get("PLERION_BINARY", REPOSITORY / "target/debug/plerion"))
GUEST_DIRECTORY = REPOSITORY / "target" / "guest"
GUEST_SECONDS = 300
HOSTS = 3
FRONT_END_NUMBER = 10
GUEST_NETWORK = "192.168.77"
# Where the guest's image is on the front-end; below the default SAFE_DIRS.
GUEST_PLACE = "/var/tmp/guest"
# Datastores that all nodes see. They get these ids in a new cloud, in this order.
SHARED_DATASTORES = (100, 101, 102, 103, 104)
FRONT_END_SECONDS = 30
COMMAND_SECONDS = 60
LOOK_SECONDS = 0.05
LOG_CHARACTERS = 6000
# How the API calls what a command line calls otherwise.
API_NAMES = {"vnet": "vn"}
# Seconds between two samples of a host and its VMs.
SAMPLE_SECONDS = 5
CONFIGURATION = f"MONITORING_INTERVAL_HOST = {SAMPLE_SECONDS}\nHOST_FAILURE_SECONDS = 5\n"


class Lab:
    """The cluster. To be used with `with`; it is taken away at the end, whatever happens."""

    def __init__(self):
        self.id = secrets.token_hex(2)
        self.directory = machine.LAB_ROOT / self.id
        self.binary = self.directory / "plerion"
        self.front_end = Node(self, "front-end", FRONT_END_NUMBER, "front-end")
        self.hosts = [Node(self, f"node{n}", FRONT_END_NUMBER + n, "host") for n in range(1, HOSTS + 1)]
        self.nodes = [self.front_end, *self.hosts]
        self.state = None
        self.switch_process = None
        self.serve_log = None
        self.serve_process = None

    def __enter__(self):
        with machine.one_at_a_time():
            machine.stale_remove(lambda text: print(f"lab: {text}", file=sys.stderr))
        self.directory.mkdir(parents=True)
        self.state = machine.State(self.directory)
        self.state.write()
        try:
            self._make()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    def _make(self):
        program_copy(BINARY, self.binary)
        hosts = "127.0.0.1 localhost\n" + "".join(f"{node.address} {node.name}\n" for node in self.nodes)
        for identifier in SHARED_DATASTORES:
            path = self.shared(identifier)
            path.mkdir(parents=True)
            self.front_end.chown(path)
        for node in self.nodes:
            node.prepare(hosts)
        self._keys_make()
        self._switch_make()
        self.power_on(self.nodes)

    def power_on(self, nodes):
        """Starts nodes at the same time, and the service where the front-end is among them. Homes and shared directories
        are as they were left; all else is as on a machine that was just installed."""
        for node in nodes:
            node.start()
        for node in nodes:
            node.mounted()
            self._links_make(node)
            node.links_made()
        for node in nodes:
            node.ready()
        if self.front_end in nodes:
            self.front_end.run(["bash", "-c", "cat >/etc/one/oned.conf"], user=USER, input=CONFIGURATION)
            self.serve_start()

    def power_cut(self, nodes):
        """Kills all processes of nodes at once. Their kernels have other boot ids when they are started again."""
        for node in nodes:
            node.kill()
        for node in nodes:
            node.stop()
            node.boot_id_new()
            for link in (node.link, node.trunk):
                self._link_end(link)
        if self.front_end in nodes:
            self.serve_process.wait(machine.STOP_SECONDS)

    def _keys_make(self):
        """The front-end's user may log in to the hosts, whose keys it knows; nobody else may."""
        directory = self.front_end.home / ".ssh"
        key = directory / "id_ed25519"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", USER, "-f", key], check=True)
        public = key.with_suffix(".pub").read_text()
        known = ""
        for host in self.hosts:
            words = (host.directory / "config/host_key.pub").read_text().split()
            known += f"{host.name},{host.address} {words[0]} {words[1]}\n"
            authorized = host.home / ".ssh/authorized_keys"
            authorized.write_text(public)
            host.chown(authorized)
        (directory / "known_hosts").write_text(known)
        self.front_end.chown(key, key.with_suffix(".pub"), directory / "known_hosts")

    def _switch_make(self):
        self.switch_process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sh", "-c", "echo up; exec sleep infinity"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.state.process_add(self.switch_process.pid)
        self.switch_process.stdout.readline()
        for bridge in ("management", "trunk"):
            self.switch(["ip", "link", "add", bridge, "type", "bridge"])
            self.switch(["ip", "link", "set", bridge, "up"])

    def _links_make(self, node):
        for link, peer, bridge in ((node.link, "eth0", "management"), (node.trunk, "eth1", "trunk")):
            add = ["ip", "link", "add", link, "type", "veth", "peer", "name", peer, "netns", str(node.pid)]
            self.switch(add)
            self.switch(["ip", "link", "set", link, "master", bridge, "up"])

    def _link_end(self, link):
        """Takes a link of a node that has ended away. The kernel does so itself, sooner or later."""
        self.switch(["sh", "-c", f"ip link del {link} 2>/dev/null || ! ip link show {link} >/dev/null 2>&1"])

    def switch(self, arguments):
        """Runs a command in the network namespace of the two bridges."""
        subprocess.run(["nsenter", "-t", str(self.switch_process.pid), "-n", "--", *arguments], check=True)

    def shared(self, identifier):
        """Directory of a shared datastore, as the test process sees it."""
        return self.directory / "shared" / str(identifier)

    def mounts(self, node):
        """What a node sees of other nodes' directories: pairs of source and target."""
        pairs = [(self.shared(identifier), f"{HOME}/datastores/{identifier}") for identifier in SHARED_DATASTORES]
        if node is self.front_end:
            pairs.append((GUEST_DIRECTORY, GUEST_PLACE))
        return pairs

    def trunk_address(self, node):
        """Address of a node's second card; hosts have none."""
        return f"{GUEST_NETWORK}.1/24" if node is self.front_end else ""

    def node(self, number):
        """Host 1, 2 or 3."""
        return self.hosts[number - 1]

    def end(self):
        """Takes the lab away. Everything is tried, the first error is raised at the end."""
        errors = []
        for stop in [*[node.stop for node in reversed(self.nodes)], self._switch_end]:
            try:
                stop()
            except Exception as error:  # the rest must go, too
                errors.append(error)
        if self.serve_log is not None:
            self.serve_log.close()
            self.serve_log = None
        if self.directory.exists():
            machine.lab_remove(self.directory)
        if errors:
            raise errors[0]

    def _switch_end(self):
        if self.switch_process is not None:
            self.switch_process.kill()
            self.switch_process.wait(machine.STOP_SECONDS)
            self.switch_process.stdout.close()
            self.switch_process = None

    # The front-end's service.

    def serve_start(self):
        """Starts `plerion serve` and waits until it answers."""
        if self.serve_log is None:
            self.serve_log = (self.directory / "serve.log").open("ab")
        script = "echo $$ >/var/lib/one/serve.pid && exec plerion serve"
        self.serve_process = subprocess.Popen(
            self.front_end.command(["setsid", "bash", "-c", script], user=USER),
            stdin=subprocess.DEVNULL,
            stdout=self.serve_log,
            stderr=self.serve_log,
        )
        # Collected as soon as it ends, whoever ends it.
        threading.Thread(target=self.serve_process.wait, daemon=True).start()
        wait_until(FRONT_END_SECONDS, self._serve_answers, self._serve_words)

    def _serve_answers(self):
        try:
            self.api("user.info", 0)
        except (Failed, *BROKEN):
            return False
        return True

    def _serve_words(self):
        return f"the front-end does not answer: {self.fe('oneuser show 0', check=False)} {self.serve_words()}"

    def serve_words(self):
        """The end of what `plerion serve` wrote."""
        return (self.directory / "serve.log").read_text()[-LOG_CHARACTERS:]

    def serve_pid(self):
        """Process id of the service, as its node sees it."""
        return int((self.front_end.home / "serve.pid").read_text())

    def serve_kill(self):
        """kill -9, and its end: until then it holds its port."""
        self.front_end.run(["kill", "-9", self.serve_pid()])
        self.serve_process.wait(machine.STOP_SECONDS)

    def fe(self, line, input=None, check=True):
        """Runs a command line such as `onevm list` on the front-end as oneadmin; gives what it prints."""
        arguments = line.split() if isinstance(line, str) else list(line)
        if arguments[0].startswith("one"):
            arguments.insert(0, "plerion")
        done = self.front_end.run(arguments, user=USER, input=input, check=check, seconds=COMMAND_SECONDS)
        return done.stdout + ("" if check else done.stderr)

    def caller_command(self, script, *arguments):
        """The command line of a script beside this file that calls the API as oneadmin. It sees this machine's files:
        interpreter and checkout may lie where the node has something else, as below /tmp."""
        credentials = (self.front_end.home / ".one/one_auth").read_text().strip()
        path = pathlib.Path(__file__).resolve().parent / script
        return self.front_end.network_command([sys.executable, path, credentials, *arguments])

    def api(self, method, *parameters):
        """The answer of a call of the API as oneadmin. Cheaper than a command line, too: for what is asked for again and
        again."""
        with self.front_end.on_network():
            answer = self.session().call(method, *parameters)
        if answer.outcome != "ok":
            raise Failed(f"one.{method}{parameters}: {answer}")
        return answer.value

    def session(self):
        """oneadmin's session; to be used on the front-end's network."""
        credentials = (self.front_end.home / ".one/one_auth").read_text().strip()
        return Session(Server, credentials, timeout=COMMAND_SECONDS)

    def show(self, kind, identifier):
        """An object's XML element: `show("vm", 3)`."""
        return ElementTree.fromstring(self.api(f"{API_NAMES.get(kind, kind)}.info", int(identifier)))

    def create(self, kind, template, *options):
        """Creates an object from a template text; gives its id."""
        path = f"/var/tmp/template.{secrets.token_hex(4)}"
        self.front_end.run(["tee", path], user=USER, input=template)
        printed = self.fe(["one" + kind, "create", path, *options])
        self.front_end.run(["rm", path], user=USER)
        return identifier_of(printed)


def identifier_of(printed):
    """The id in `ID: 7`."""
    for word in reversed(printed.split()):
        if word.isdigit():
            return int(word)
    raise Failed(f"no id in {printed!r}")


def program_copy(source, target):
    """Copies the binary without its debugging symbols, as it goes to every node."""
    if not source.exists():
        raise Failed(f"{source} is missing: run cargo build --bin plerion, or set PLERION_BINARY")
    if shutil.which("strip") is None:
        shutil.copy(source, target)
    else:
        subprocess.run(["strip", "--strip-debug", "-o", str(target), str(source)], check=True)
    target.chmod(0o755)


def guest_image_make():
    """Builds the guest's image, unless it is there and newer than what it is made of."""
    with machine.one_at_a_time():
        guest_image_renew()


def guest_image_renew():
    """Builds it, where it is missing or old."""
    image = GUEST_DIRECTORY / "guest.raw"
    source = REPOSITORY / "packaging/guest"
    parts = [source / "build.sh", *(path for path in (source / "rootfs").rglob("*") if path.is_file())]
    if image.exists() and all(path.stat().st_mtime <= image.stat().st_mtime for path in parts):
        return
    subprocess.run([str(source / "build.sh"), str(GUEST_DIRECTORY)], check=True, timeout=GUEST_SECONDS)


def wait_until(seconds, look, what):
    """Waits until `look()` gives something true, and gives that back; `what` says what did not come true."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            reason = what() if callable(what) else what
            raise Failed(f"{reason} (after {seconds} s)")
        time.sleep(LOOK_SECONDS)


def signals_raise():
    """SIGTERM ends the program as Ctrl-C does, so that the lab is taken away."""

    def interrupt(_number, _frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def main():
    lacks = machine.missing()
    if lacks:
        sys.exit("no lab: " + "; ".join(lacks))
    signals_raise()
    guest_image_make()
    began = time.monotonic()
    try:
        with Lab() as lab:
            print(f"lab {lab.id} is up after {time.monotonic() - began:.1f} s; files in {lab.directory}")
            for node in lab.nodes:
                print(f"  {node.name:10} nsenter -t {node.pid} -m -u -i -n -p -C")
            print("Ctrl-C takes it away.", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print("taken away")


if __name__ == "__main__":
    main()

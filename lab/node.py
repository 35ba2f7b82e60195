"""One node of the lab: a machine of its own as far as its programs can tell, made of namespaces."""

import contextlib
import ctypes
import os
import pathlib
import select
import subprocess
import uuid

import machine

HERE = pathlib.Path(__file__).resolve().parent
USER = "oneadmin"
# The same on all nodes, as directories are shared.
USER_ID = 9869
HOME = "/var/lib/one"
PATH = "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"
MOUNT_SECONDS = 20
READY_SECONDS = 60
RUN_SECONDS = 60
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


class Failed(RuntimeError):
    """A command in a node ended badly."""


class Node:
    """A node. `number` is the last part of its addresses."""

    def __init__(self, lab, name, number, role):
        self.lab = lab
        self.name = name
        self.role = role
        self.address = f"10.77.0.{number}"
        self.directory = lab.directory / name
        self.link = f"m{number}"
        self.trunk = f"t{number}"
        self.pid = None
        self.process = None

    @property
    def home(self):
        """The user's home as the test process sees it."""
        return self.directory / "home"

    def prepare(self, hosts):
        """Makes the files that the node starts with."""
        config = self.directory / "config"
        for path in (config, self.home / ".ssh", self.home / "datastores", self.directory / "var-tmp"):
            path.mkdir(parents=True)
        (self.directory / "layer").mkdir()
        (config / "hosts").write_text(hosts)
        (config / "machine-id").write_text(f"{uuid.uuid4().hex}\n")
        self.boot_id_new()
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", config / "host_key"], check=True
        )
        (self.home / ".ssh").chmod(0o700)
        self.chown(self.home, self.home / ".ssh", self.home / "datastores")

    def boot_id_new(self):
        """What the node's kernel says at its next start."""
        (self.directory / "config/boot_id").write_text(f"{uuid.uuid4()}\n")

    def chown(self, *paths):
        """Gives paths to the lab's user."""
        for path in paths:
            os.chown(path, USER_ID, USER_ID)

    def start(self):
        """Starts the node's first process, without waiting for it; `links_made` and `ready` follow."""
        environment = {
            "NODE": self.name,
            "NODE_ROLE": self.role,
            "NODE_DIR": str(self.directory),
            "NODE_BINARY": str(self.lab.binary),
            "NODE_SHARED": "\n".join(f"{source} {target}" for source, target in self.lab.mounts(self)),
            "NODE_USER": USER,
            "NODE_UID": str(USER_ID),
            "NODE_CGROUPS": " ".join(machine.controllers()),
            "NODE_ADDRESS": f"{self.address}/24",
            "NODE_TRUNK_ADDRESS": self.lab.trunk_address(self),
            "PATH": PATH,
            "LANG": "C.UTF-8",
        }
        cgroups = machine.cgroup_paths(f"one-lab-{self.lab.id}.{self.name}")
        for path in cgroups:
            self.lab.state.cgroup_add(path)
            machine.cgroup_remove(path)
            machine.cgroup_make(path)
        # The node ends with the process that made it, however that ends.
        unshare = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--uts", "--ipc", "--cgroup", "--pid"]
        enter = "".join(f"echo $$ >{path}/cgroup.procs && " for path in cgroups)
        self.process = subprocess.Popen(
            ["bash", "-c", f'{enter}exec "$@"', "node", *unshare, "--fork", "--kill-child", str(HERE / "node_init.sh")],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(self.directory / "init.log").open("wb"),
            start_new_session=True,
        )
        self.lab.state.process_add(self.process.pid)

    def mounted(self):
        """Waits until the namespaces exist."""
        self._expect(b"mounted\n", MOUNT_SECONDS)
        self.pid = machine.child_of(self.process.pid)
        self.lab.state.process_add(self.pid)

    def links_made(self):
        """Tells the node that its links are in place."""
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()

    def ready(self):
        """Waits until the node's daemons answer."""
        self._expect(b"ready\n", READY_SECONDS)

    def _expect(self, word, seconds):
        readable, _, _ = select.select([self.process.stdout], [], [], seconds)
        line = os.read(self.process.stdout.fileno(), len(word)) if readable else b""
        if line != word:
            log = (self.directory / "init.log").read_text()
            raise Failed(f"node {self.name} did not say {word!r} within {seconds} s but {line!r}: {log[-2000:]}")

    def kill(self):
        """Kills every process of the node, as when its power fails; `stop` waits for their end."""
        if self.pid is not None:
            # It may have been killed already, and only its parent not collected yet.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, 9)
        elif self.process is not None:
            self.process.kill()

    def stop(self):
        """Kills every process of the node."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        if self.process is not None:
            self.process.wait(machine.STOP_SECONDS)
            self.process.stdin.close()
            self.process.stdout.close()
        self.pid = self.process = None

    def command(self, arguments, user=None, cwd=None):
        """The command line that runs `arguments` in the node."""
        enter = ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "-C", "--"]
        clean = ["env", "-i", f"PATH={PATH}", "LANG=C.UTF-8"]
        if user is not None:
            clean += [f"HOME={HOME}", f"USER={user}", f"LOGNAME={user}", "SHELL=/bin/bash"]
            clean += ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        directory = cwd or (HOME if user is not None else "/")
        return [*enter, *clean, "env", "-C", directory, *[str(argument) for argument in arguments]]

    def network_command(self, arguments):
        """The command line that runs `arguments` on the node's network, but with this machine's files."""
        return ["nsenter", "-t", str(self.pid), "-n", "--", *[str(argument) for argument in arguments]]

    @contextlib.contextmanager
    def on_network(self):
        """What the calling thread connects to meanwhile is what the node's programs would reach."""
        with open("/proc/thread-self/ns/net") as own, open(f"/proc/{self.pid}/ns/net") as network:
            network_enter(network)
            try:
                yield
            finally:
                network_enter(own)

    def run(self, arguments, user=None, input=None, check=True, seconds=RUN_SECONDS):
        """Runs a command in the node, as root or as `user`; gives its CompletedProcess with texts."""
        done = subprocess.run(
            self.command(arguments, user),
            input=input,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if check and done.returncode != 0:
            words = (done.stdout + done.stderr).strip()
            raise Failed(f"{self.name}: {' '.join(map(str, arguments))} ended with {done.returncode}: {words}")
        return done

    def out(self, arguments, **options):
        """What a command in the node prints."""
        return self.run(arguments, **options).stdout

    def domains(self):
        """Names of libvirt's domains here, running or not."""
        return self.out(["virsh", "-q", "-c", "qemu:///system", "list", "--all", "--name"]).split()

    def qemu_pids(self, name):
        """Process ids, as the node sees them, of the QEMU processes of a domain."""
        # The first word is the program, and no other process carries it together with this guest's name.
        script = f"for f in /proc/[0-9]*; do tr '\\0' '\\n' <$f/cmdline 2>/dev/null | head -n 3 | grep -qxF 'guest={name},debug-threads=on' && basename $f; done; :"
        return [int(pid) for pid in self.out(["bash", "-c", script]).split()]

    def link_set(self, up):
        """Plugs or unplugs the node's management link, at the switch."""
        self.lab.switch(["ip", "link", "set", self.link, "up" if up else "down"])


def network_enter(namespace):
    """Moves the calling thread to a network namespace, given as an open file."""
    if LIBC.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")

"""What the lab uses of the machine: what it needs, what it leaves behind, and how that is taken away.

Outside of its own namespaces a lab has processes, control groups and one directory, nothing else. They are recorded in
the directory's `state.json` before they are made, so that a run which was killed can be cleaned up by the next one.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

LAB_ROOT = pathlib.Path(__file__).resolve().parent.parent / "target" / "lab"
CGROUP_ROOT = pathlib.Path("/sys/fs/cgroup")
PROGRAMS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "ip": "iproute2",
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "sudo": "sudo",
    "libvirtd": "libvirt-daemon-system",
    "virsh": "libvirt-clients",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "genisoimage": "genisoimage",
    "ping": "iputils-ping",
}
STOP_SECONDS = 10
LOOK_SECONDS = 0.02
# Attempts to remove a control group, whose last process may just be ending.
CGROUP_TRIES = 100


def missing():
    """What this machine lacks for a lab, as sentences; empty if nothing."""
    lacks = []
    if os.geteuid() != 0:
        lacks.append("the lab makes namespaces and needs root")
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    for program, package in PROGRAMS.items():
        if shutil.which(program, path=path) is None:
            lacks.append(f"{program} is not installed (package {package})")
    file_systems = pathlib.Path("/proc/filesystems").read_text().split()
    if "overlay" not in file_systems and subprocess.run(["modprobe", "-q", "overlay"], check=False).returncode != 0:
        lacks.append("the kernel has no overlay file system")
    for kind in ("mnt", "net", "uts", "ipc", "cgroup", "pid"):
        if not pathlib.Path(f"/proc/self/ns/{kind}").exists():
            lacks.append(f"the kernel has no {kind} namespaces")
    return lacks


def start_time(pid):
    """When a process started, in ticks: together with its id it names it. None if there is none."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[19])


def child_of(parent):
    """The one child of a process."""
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == parent:
            return int(path.name)
    raise RuntimeError(f"process {parent} has no child")


def process_end(pid, started):
    """Kills that very process, if it is still there, and waits for its end."""
    if started is None or start_time(pid) != started:
        return
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + STOP_SECONDS
    while start_time(pid) == started:
        if time.monotonic() > deadline:
            raise RuntimeError(f"process {pid} does not end after SIGKILL")
        time.sleep(LOOK_SECONDS)


def controllers():
    """Names of the control group controllers of version 1, or "unified"."""
    if (CGROUP_ROOT / "cgroup.controllers").exists():
        return ["unified"]
    names = [line.split()[0] for line in pathlib.Path("/proc/cgroups").read_text().splitlines()[1:]]
    return [name for name in names if (CGROUP_ROOT / name / "cgroup.procs").exists()]


def cgroup_paths(name):
    """Directories of a control group."""
    return [CGROUP_ROOT / name if kind == "unified" else CGROUP_ROOT / kind / name for kind in controllers()]


def cgroup_make(path):
    """Makes a control group that processes can be put into."""
    path.mkdir()
    for name in ("cpuset.cpus", "cpuset.mems"):
        source = path.parent / name
        if source.exists() and (path / name).exists():
            (path / name).write_text(source.read_text())


def cgroup_remove(path):
    """Removes a control group and those below it; its processes have ended."""
    if not path.exists():
        return
    for below in sorted(path.rglob("*"), reverse=True):
        if below.is_dir():
            cgroup_remove_one(below)
    cgroup_remove_one(path)


def cgroup_remove_one(path):
    for attempt in range(CGROUP_TRIES):
        try:
            path.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:
            if attempt == CGROUP_TRIES - 1:
                raise
            time.sleep(LOOK_SECONDS)


class State:
    """The record of one lab, in `<directory>/state.json`."""

    def __init__(self, directory):
        self.path = directory / "state.json"
        self.owner = [os.getpid(), start_time(os.getpid())]
        self.processes = []
        self.cgroups = []

    def write(self):
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps({"owner": self.owner, "processes": self.processes, "cgroups": self.cgroups}))
        part.rename(self.path)

    def process_add(self, pid):
        self.processes.append([pid, start_time(pid)])
        self.write()

    def cgroup_add(self, path):
        self.cgroups.append(str(path))
        self.write()


def lab_remove(directory):
    """Takes away all that a lab recorded."""
    path = directory / "state.json"
    if path.exists():
        state = json.loads(path.read_text())
        for pid, started in reversed(state["processes"]):
            process_end(pid, started)
        for cgroup in reversed(state["cgroups"]):
            cgroup_remove(pathlib.Path(cgroup))
    shutil.rmtree(directory)


@contextlib.contextmanager
def one_at_a_time():
    """What labs that start at the same moment do one after the other."""
    LAB_ROOT.mkdir(parents=True, exist_ok=True)
    with (LAB_ROOT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def stale_remove(say):
    """Takes away the labs whose owners have gone."""
    for directory in sorted(LAB_ROOT.glob("*/")):
        path = directory / "state.json"
        if not path.exists():
            continue
        pid, started = json.loads(path.read_text())["owner"]
        if start_time(pid) != started:
            say(f"removing what an earlier run left in {directory}")
            lab_remove(directory)

"""How long each action takes beside `virsh` alone: `make bench`, or `lab/run.sh -q -s measure_actions.py`. Not among the lab's
tests, which judge no times.

Ours is the time from a call to the state in which it ends, asked for again and again by the API; of the agents' reports comes how
much of it went into copying. `virsh` alone does the same by hand, on the same host, to a domain made of the same description.
LAB_ACTIONS says how often each is done (5).
"""

import collections
import os
import re
import statistics
import time
from xml.etree import ElementTree

import pytest
from bare import NAME, SECOND_MAC, Bare
from cloud import STORAGES, Vm, state_of

ROUNDS = int(os.environ.get("LAB_ACTIONS", "5"))
ROUND_SECONDS = 120
END_SECONDS = 60
AIM_SECONDS = 0.150
DONE = re.compile(r"action done action=vm-(\d+)-\S+ total_us=\d+ copy_us=(\d+)")
NEW_DISK = "DISK = [ TYPE = fs, SIZE = 16, FORMAT = raw, DEV_PREFIX = vd ]"
MEMORY_MIB = (160, 176)


class Times:
    """Seconds by action: ours, what of it was copying, and those of `virsh` alone."""

    def __init__(self):
        self.ours = collections.defaultdict(list)
        self.copying = collections.defaultdict(list)
        self.virsh = collections.defaultdict(list)

    def lines(self):
        yield f"{'action':26}{'ours':>8}{'copying':>9}{'virsh':>8}{'own':>8}   aim: own at most {AIM_SECONDS * 1000:.0f} ms"
        for action, ours in self.ours.items():
            whole, copying = statistics.median(ours), statistics.median(self.copying[action])
            virsh = statistics.median(self.virsh[action]) if self.virsh[action] else 0.0
            own = whole - copying - virsh
            verdict = "met" if own <= AIM_SECONDS else "MISSED"
            yield f"{action:26}" + "".join(f"{ms * 1000:{width}.0f}" for ms, width in ((whole, 8), (copying, 9), (virsh, 8), (own, 8))) + f"   {verdict}"


class Calls:
    """Calls that are timed."""

    def __init__(self, cloud, times):
        self.lab = cloud.lab
        self.times = times

    def done(self, vm):
        """What the agents have reported of a VM so far: seconds of copying."""
        found = DONE.findall((self.lab.directory / "serve.log").read_text())
        return [int(copy) / 1e6 for identifier, copy in found if int(identifier) == vm.id]

    def act(self, action, vm, final, method, *parameters):
        """Calls, and waits for the state; `reported` waits for the agent's report where the state stays as it is."""
        before = self.done(vm)
        began = time.monotonic()
        self.lab.api(method, *parameters)
        self.wait(vm, final, before)
        self.note(action, vm, time.monotonic() - began, before)

    def wait(self, vm, final, before):
        until = time.monotonic() + END_SECONDS
        while True:
            if final == "reported":
                if len(self.done(vm)) > len(before):
                    return
            else:
                now = state_of(ElementTree.fromstring(self.lab.api("vm.info", vm.id)))
                if now == final:
                    return
                assert not now.endswith("FAILURE"), f"VM {vm.id} is {now}"
            assert time.monotonic() < until, f"VM {vm.id} is not {final}"

    def note(self, action, vm, took, before):
        self.times.ours[action].append(took)
        # The state is published before the line is written by another thread: it is there soon.
        self.times.copying[action].append(sum(self.done(vm)[len(before) :]))


def ours(cloud, calls, storage, host):
    """Each action once."""
    template = cloud.vm_template(storage, host=host, extra="MEMORY_MAX = 224")
    began = time.monotonic()
    vm = Vm(cloud, cloud.lab.api("vm.allocate", template, False), storage)
    calls.wait(vm, "RUNNING", [])
    calls.note("deploy", vm, time.monotonic() - began, [])
    vm.guest_wait()
    action = lambda name, word, final: calls.act(name, vm, final, "vm.action", word, vm.id)  # noqa: E731
    action("suspend", "suspend", "SUSPENDED")
    action("resume (suspended)", "resume", "RUNNING")
    calls.act("attach NIC", vm, "RUNNING", "vm.attachnic", vm.id, f"NIC = [ NETWORK_ID = {cloud.network} ]")
    calls.act("detach NIC", vm, "RUNNING", "vm.detachnic", vm.id, 1)
    calls.act("attach disk", vm, "RUNNING", "vm.attach", vm.id, NEW_DISK)
    number = int(vm.xml().findall("TEMPLATE/DISK")[-1].findtext("DISK_ID"))
    calls.act("detach disk", vm, "RUNNING", "vm.detach", vm.id, number)
    calls.act("resize memory", vm, "RUNNING", "vm.resize", vm.id, f"MEMORY = {MEMORY_MIB[1]}", True)
    calls.act("snapshot create", vm, "RUNNING", "vm.snapshotcreate", vm.id, "first")
    calls.act("snapshot revert", vm, "RUNNING", "vm.snapshotrevert", vm.id, 0)
    calls.act("snapshot delete", vm, "RUNNING", "vm.snapshotdelete", vm.id, 0)
    away, back = (cloud.lab.hosts.index(node) for node in (away_from(cloud, vm), vm.host()))
    calls.act("migrate live", vm, "RUNNING", "vm.migrate", vm.id, away, True, False, -1, 0)
    cloud.lab.api("vm.migrate", vm.id, back, True, False, -1, 0)
    vm.running()
    vm.guest_wait()
    action("reboot", "reboot", "reported")
    vm.guest_wait()
    action("reboot hard", "reboot-hard", "reported")
    vm.guest_wait()
    action("poweroff", "poweroff", "POWEROFF")
    action("resume (poweroff)", "resume", "RUNNING")
    action("poweroff hard", "poweroff-hard", "POWEROFF")
    calls.act("save as (off)", vm, "POWEROFF", "vm.disksaveas", vm.id, 0, f"saved-{vm.id}", "", -1)
    return vm


def by_hand(cloud, times, vm):
    """The same by virsh, in the same order, while the VM is off: the domain is its guest."""
    note = lambda action, seconds: times.virsh[action].append(seconds)  # noqa: E731
    bare = Bare(vm)
    try:
        note("deploy", bare.create())
        vm.guest_wait()
        note("suspend", bare.virsh(f"save {NAME} state"))
        note("resume (suspended)", bare.virsh("restore state"))
        note("attach NIC", bare.virsh(f"attach-device {NAME} nic.xml --live"))
        note("detach NIC", bare.detach("nic.xml", SECOND_MAC))
        note("attach disk", bare.virsh(f"attach-device {NAME} disk.xml --live"))
        note("detach disk", bare.detach("disk.xml", "new.img"))
        note("resize memory", bare.virsh(f"setmem {NAME} {MEMORY_MIB[1]}M --live"))
        note("snapshot create", bare.virsh(f"snapshot-create-as {NAME} first"))
        note("snapshot revert", bare.virsh(f"snapshot-revert {NAME} first"))
        note("snapshot delete", bare.virsh(f"snapshot-delete {NAME} first"))
        note("migrate live", bare.move(away_from(cloud, vm)))
        bare.move(vm.host())
        vm.guest_wait()
        note("reboot", bare.virsh(f"reboot {NAME}"))
        note("reboot hard", bare.virsh(f"reset {NAME}"))
        vm.guest_wait()
        note("poweroff", bare.shutdown())
        note("resume (poweroff)", bare.create())
        note("poweroff hard", bare.virsh(f"destroy {NAME}"))
        bare.create()
        note("terminate hard", bare.remove())
    finally:
        bare.end()


def away_from(cloud, vm):
    return next(node for node in cloud.lab.hosts if node is not vm.host())


@pytest.mark.seconds(120 + ROUNDS * ROUND_SECONDS)
def test_actions_beside_virsh(cloud):
    storage, times = STORAGES["qcow2"], Times()
    calls = Calls(cloud, times)
    # The guests' bridge stays on all hosts while others come and go, and the image is known.
    keepers = [cloud.vm_make(storage, host=number).running() for number in (1, 2, 3)]
    for _ in range(ROUNDS):
        vm = ours(cloud, calls, storage, 1)
        by_hand(cloud, times, vm)
        vm.act("resume", "RUNNING")
        calls.act("terminate hard", vm, "DONE", "vm.action", "terminate-hard", vm.id)
    print(f"\nmilliseconds, median of {ROUNDS}", *times.lines(), sep="\n")
    for keeper in keepers:
        keeper.terminate()

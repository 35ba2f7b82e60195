"""Hosts that fail: their VMs run elsewhere once they are fenced, never before, and never twice."""

import contextlib
import threading

import pytest
from agents import agent_pids
from cloud import HOST_ERROR, HOST_MONITORED, STORAGES, VM_SECONDS
from lab import LOOK_SECONDS, wait_until
from node import HOME, USER, Failed
from test_fault import BACK_SECONDS, LOST_SECONDS

ELSEWHERE = "ON_HOST_FAILURE = elsewhere"
# From the cut to a VM that runs elsewhere: noticed, counted as failed, fenced, started.
MOVED_SECONDS = LOST_SECONDS + 60
# So long it is looked that nothing is started that must not be.
WATCH_SECONDS = 20
MESSAGE = "USER_TEMPLATE/ON_HOST_FAILURE_MESSAGE"
# Each start goes on where the disk says that the one before has ended, and writes who it is into slot after slot. Two that
# run at once would write into each other's slots. No byte of a slot that is written is zero: they are found by counting.
SLOT = 32
COUNTER = """
me=$(cut -c 1-8 /proc/sys/kernel/random/boot_id); n=$(($(tr -d '\\000' </dev/vdb | wc -c) / 32))
(while :; do printf '%-31s\\n' "$me $n" | dd of=/dev/vdb bs=32 seek=$n conv=notrunc 2>/dev/null; sync; n=$((n+1)); sleep 0.1; done) \
>/dev/null 2>&1 </dev/null &
"""
# In the place of a power switch: asks the test, and waits until that has done it.
FENCE = f"""#!/bin/bash
[ $# = 3 ] && [ "$1" = off ] || {{ echo "not off ID NAME: $*" >&2; exit 2; }}
echo "$2 $3" >{HOME}/fence.asked
for ((i = 0; i < 600; i++)); do [ -e {HOME}/fence.done ] && exit 0; sleep 0.1; done
echo "the power switch does not answer" >&2
exit 1
"""


class PowerSwitch(threading.Thread):
    """Cuts the power of hosts that the program asks it for."""

    def __init__(self, lab):
        super().__init__(daemon=True)
        self.lab = lab
        self.ended = threading.Event()
        self.cut = []
        self.asked = lab.front_end.home / "fence.asked"
        self.done = lab.front_end.home / "fence.done"

    def run(self):
        while not self.ended.wait(LOOK_SECONDS):
            if self.asked.exists() and self.asked.read_text().endswith("\n"):
                name = self.asked.read_text().split()[1]
                node = next(node for node in self.lab.hosts if node.name == name)
                self.lab.power_cut([node])
                self.cut.append(node)
                self.asked.unlink()
                self.done.touch()


@contextlib.contextmanager
def fencing(cloud):
    """A hook that fences hosts, and the power switch behind it."""
    lab = cloud.lab
    switch = PowerSwitch(lab)
    lab.front_end.run(["bash", "-c", "cat >/var/tmp/fence && chmod 755 /var/tmp/fence"], user=USER, input=FENCE)
    hook = lab.create(
        "hook",
        "NAME = off\nTYPE = state\nRESOURCE = HOST\nSTATE = FENCE\nCOMMAND = /var/tmp/fence\nARGUMENTS = off\n",
    )
    switch.start()
    try:
        yield switch
    finally:
        switch.ended.set()
        switch.join()
        switch.done.unlink(missing_ok=True)
        switch.asked.unlink(missing_ok=True)
        cloud.fe(f"onehook delete {hook}")


@contextlib.contextmanager
def link_cut(cloud, node):
    """The management link is cut, whatever happens only as long as this lasts; then the host is waited for."""
    node.link_set(False)
    try:
        yield
    finally:
        if node.pid is not None:
            node.link_set(True)
            cloud.host_wait(number_of(cloud, node), HOST_MONITORED, BACK_SECONDS)


def number_of(cloud, node):
    return cloud.lab.hosts.index(node) + 1


def nodes_of(vm):
    """Where it runs, as the processes tell. On a node whose power is cut at that moment nothing does."""
    found = []
    for node in vm.lab.hosts:
        try:
            found += [node for _ in (node.qemu_pids(vm.domain) if node.pid is not None else [])]
        except Failed:
            wait_until(LOST_SECONDS, lambda node=node: node.pid is None, f"{node.name} does not say what runs on it")
    return found


def stays(cloud, vm, where):
    """Whether it runs on its host and on no other one, for a while."""
    ended = threading.Event()
    threading.Timer(WATCH_SECONDS, ended.set).start()
    while not ended.is_set():
        assert nodes_of(vm) == [where]
        assert vm.state() == "UNKNOWN"


def slots(cloud, image):
    """Who wrote the slots of a counter's disk, and that each one says its own number."""
    data = cloud.image_file(STORAGES["shared"], image).read_bytes()
    writers = []
    for at in range(0, len(data), SLOT):
        words = data[at : at + SLOT].strip(b"\0").decode().split()
        if not words:
            break
        assert int(words[1]) == at // SLOT, words
        writers.append(words[0])
    return writers


def counter_image(cloud, name):
    options = ["--size", "8", "--type", "DATABLOCK"]
    return cloud.image_make(STORAGES["shared"], name, *options, persistent=True)


def diskless(cloud):
    """A VM without disks that anybody locks: QEMU itself would not let a second copy start."""
    text = cloud.vm_template(STORAGES["shared"], extra=ELSEWHERE)
    return cloud.vm_of("".join(f"{line}\n" for line in text.splitlines() if not line.startswith("DISK")), STORAGES["shared"])


@pytest.mark.seconds(600)
def test_a_fenced_host(cloud):
    """Its VMs on shared storage run elsewhere, those on its own disks when it is back, those that do not say stay."""
    counter = counter_image(cloud, "counter")
    disks = [f"IMAGE_ID = {cloud.os_image(STORAGES['shared'])}", f"IMAGE_ID = {counter}, DEV_PREFIX = vd"]
    moves = cloud.vm_make(STORAGES["shared"], disks=disks, extra=ELSEWHERE).running().guest_wait()
    node = moves.host()
    number = number_of(cloud, node)
    local = cloud.vm_make(host=number, extra=ELSEWHERE).running()
    silent = cloud.vm_make(STORAGES["shared"], host=number).running()
    moves.guest(COUNTER)
    first = wait_until(VM_SECONDS, lambda: slots(cloud, counter), "the guest counts nothing")[0]
    with fencing(cloud) as switch:
        with link_cut(cloud, node):
            wait_until(MOVED_SECONDS, lambda: nodes_of(moves) not in ([], [node]), lambda: f"{moves.xml().findtext(MESSAGE)}")
            assert switch.cut == [node], "it was started before the host was fenced"
            moves.running()
        assert [moves.host()] == nodes_of(moves)
        assert "on the host itself" in local.xml().findtext(MESSAGE)
        assert silent.state() == "UNKNOWN" and silent.xml().findtext(MESSAGE) is None
        cloud.lab.power_on([node])
        local.running()
        cloud.host_wait(number, HOST_MONITORED, BACK_SECONDS)
        silent.wait("POWEROFF")
    moves.guest_wait()
    moves.guest(COUNTER)
    wait_until(VM_SECONDS, lambda: slots(cloud, counter)[-1] != first, "the guest does not go on counting")
    writers = slots(cloud, counter)
    changes = [number for number in range(1, len(writers)) if writers[number] != writers[number - 1]]
    assert len(changes) == 1, f"two at once: {writers}"
    print(f"\n{changes[0]} slots before the failure, {len(writers) - changes[0]} after it, one change of the writer")
    for vm in (moves, local, silent):
        vm.remove()
    cloud.fe(f"oneimage delete {counter}")


@pytest.mark.seconds(400)
def test_without_fencing_nothing_is_proved(cloud):
    """The link is cut and the guest runs on: refused, with the reason, and all is well when the link is back."""
    vm = cloud.vm_make(STORAGES["shared"], extra=ELSEWHERE).running()
    node, before = vm.host(), vm.qemus()
    with link_cut(cloud, node):
        cloud.host_wait(number_of(cloud, node), HOST_ERROR, LOST_SECONDS)
        wait_until(LOST_SECONDS, lambda: "nothing proves" in (vm.xml().findtext(MESSAGE) or ""), lambda: vm.xml().findtext(MESSAGE))
        stays(cloud, vm, node)
    vm.running()
    assert vm.qemus() == before
    assert vm.xml().findtext(MESSAGE) is None


@pytest.mark.seconds(400)
def test_a_stopped_agent_is_noticed_and_proves_nothing(cloud):
    """The machine answers, its agent does not: it may go on at any time, and so may the guests, which never stopped."""
    vm = cloud.vm_make(STORAGES["shared"], extra=ELSEWHERE).running()
    node, before = vm.host(), vm.qemus()
    (pid,) = agent_pids(node)
    node.run(["kill", "-STOP", pid])
    try:
        host = cloud.host_wait(number_of(cloud, node), HOST_ERROR, LOST_SECONDS)
        assert "hangs or was stopped" in host.findtext("TEMPLATE/ERROR"), host.findtext("TEMPLATE/ERROR")
        wait_until(LOST_SECONDS, lambda: "nothing proves" in (vm.xml().findtext(MESSAGE) or ""), lambda: vm.xml().findtext(MESSAGE))
        stays(cloud, vm, node)
    finally:
        node.run(["kill", "-CONT", pid])
    cloud.host_wait(number_of(cloud, node), HOST_MONITORED, BACK_SECONDS)
    vm.running()
    assert vm.qemus() == before


@pytest.mark.seconds(400)
def test_a_copy_that_was_given_up_is_ended_when_its_host_is_back(cloud):
    """Somebody says that a host is off which is not. Once it is reached again, its copy goes before anything else."""
    vm = diskless(cloud).running()
    node = vm.host()
    number = number_of(cloud, node)
    with link_cut(cloud, node):
        cloud.host_wait(number, HOST_ERROR, LOST_SECONDS)
        cloud.lab.front_end.run(["tee", "/var/tmp/by-hand"], user=USER, input="FENCED_BY_HAND = YES\n")
        cloud.fe(f"onehost update -a {number - 1} /var/tmp/by-hand")
        wait_until(MOVED_SECONDS, lambda: len(nodes_of(vm)) == 2, lambda: f"{vm.state()}: {vm.xml().findtext(MESSAGE)}")
        vm.running()
        assert vm.host() != node
    wait_until(BACK_SECONDS, lambda: nodes_of(vm) == [vm.host()], lambda: f"it runs on {[n.name for n in nodes_of(vm)]}")
    assert vm.state() == "RUNNING"
    assert "not restarted" in cloud.lab.show("host", number - 1).findtext("TEMPLATE/FENCE_MESSAGE")

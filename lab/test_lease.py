"""Never two copies of a VM without fencing: leases on GlusterFS, and the locks that QEMU holds there."""

import contextlib
import time

import pytest
from agents import agent_pids
from cloud import HOST_ERROR, HOST_MONITORED, STORAGES, VM_SECONDS, Storage
from gluster import GIVE_UP_SECONDS, volume_of
from lab import LOOK_SECONDS, wait_until
from node import HOME, USER
from test_failure import COUNTER, ELSEWHERE, MESSAGE, SLOT, link_cut, nodes_of, number_of
from test_fault import BACK_SECONDS, LOST_SECONDS

LEASE_SECONDS = 10
# After that time without a renewal a lease counts as ended (LEASE_MARGIN_S).
ENDED_SECONDS = LEASE_SECONDS + 20
MOVED_SECONDS = LOST_SECONDS + ENDED_SECONDS + 60
# What an old copy that has its storage back could write in.
LATE_SECONDS = 8


@pytest.fixture(scope="module")
def leased(cloud):
    """A storage whose system datastore is on GlusterFS, with leases; and its volume."""
    with volume_of(cloud.lab) as volume:
        template = "NAME = leased\nTYPE = SYSTEM_DS\nTM_MAD = shared\n"
        store = cloud.lab.create("datastore", template)
        volume.mount(f"{HOME}/datastores/{store}")
        cloud.lab.front_end.run(["tee", "/var/tmp/lease"], user=USER, input=f"LEASE_SECONDS = {LEASE_SECONDS}\n")
        cloud.fe(f"onedatastore update -a {store} /var/tmp/lease")
        yield Storage("leased", STORAGES["shared"].image_store, store, "raw"), volume
        cloud.fe(f"onedatastore delete {store}")


def counting(cloud, leased):
    """A VM whose guest counts on a disk of its own, and whose host says in its lease that all its disks are locked."""
    storage, volume = leased
    disks = [f"IMAGE_ID = {cloud.os_image(STORAGES['shared'])}", "TYPE = swap, SIZE = 8, DEV_PREFIX = vd"]
    vm = cloud.vm_make(storage, disks=disks, extra=ELSEWHERE).running().guest_wait()
    vm.guest("dd if=/dev/zero of=/dev/vdb bs=1M count=8 2>/dev/null; sync")
    vm.guest(COUNTER)
    uuid = vm.xml().findtext("TEMPLATE/OS/UUID")

    def named():
        leases = (volume.brick / ".plerion/lease").glob("*-*")
        return any(f'"uuid":"{uuid}","fault":null' in lease.read_text() for lease in leases if not lease.name.startswith("."))

    wait_until(VM_SECONDS, named, lambda: [lease.read_text() for lease in (volume.brick / ".plerion/lease").iterdir()])
    wait_until(VM_SECONDS, lambda: writers(vm, volume), "the guest counts nothing")
    return vm


def writers(vm, volume):
    """Who wrote the slots of the counter's disk, as the brick has them, and that each one says its own number."""
    data = (volume.brick / str(vm.id) / "disk.1").read_bytes()
    found = []
    for at in range(0, len(data), SLOT):
        words = data[at : at + SLOT].strip(b"\0").decode().split()
        if not words:
            break
        assert int(words[1]) == at // SLOT, words
        found.append(words[0])
    return found


def changes(vm, volume):
    """How often the writer changed."""
    found = writers(vm, volume)
    return sum(first != second for first, second in zip(found, found[1:]))


def says(vm, words, seconds=LOST_SECONDS):
    wait_until(seconds, lambda: words in (vm.xml().findtext(MESSAGE) or ""), lambda: vm.xml().findtext(MESSAGE))


def stays(vm, where, seconds):
    """It runs where it is and nowhere else, for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert nodes_of(vm) == [where]
        assert vm.state() == "UNKNOWN"


def goes_on_counting(vm, volume, first):
    """The guest that was started anew goes on where the one before has stopped, and no slot was written by two."""
    vm.running().guest_wait()
    vm.guest(COUNTER)
    wait_until(VM_SECONDS, lambda: writers(vm, volume)[-1] != first, "the guest does not go on counting")
    assert changes(vm, volume) == 1, writers(vm, volume)


@contextlib.contextmanager
def storage_cut(volume, node):
    """The storage link is cut, as long as this lasts."""
    volume.link_set(node, False)
    try:
        yield time.monotonic()
    finally:
        volume.link_set(node, True)
        volume.wait(node)


@contextlib.contextmanager
def guests_cut(cloud, node):
    """The guests' network is cut at a host, as long as this lasts: two copies of a guest have one address."""
    cloud.lab.switch(["ip", "link", "set", node.trunk, "down"])
    try:
        yield
    finally:
        cloud.lab.switch(["ip", "link", "set", node.trunk, "up"])


@contextlib.contextmanager
def agent_stopped(cloud, node):
    """The agent is stopped, as long as this lasts."""
    (pid,) = agent_pids(node)
    node.run(["kill", "-STOP", pid])
    try:
        yield
    finally:
        node.run(["kill", "-CONT", pid])
        cloud.host_wait(number_of(cloud, node), HOST_MONITORED, BACK_SECONDS)


@pytest.mark.seconds(600)
def test_a_host_that_is_cut_off(cloud, leased):
    """From the front-end only: its VM stays. From the storage, too: it ends its guests, and only then they run elsewhere."""
    _, volume = leased
    vm = counting(cloud, leased)
    node, first = vm.host(), writers(vm, volume)[0]
    with link_cut(cloud, node):
        cloud.host_wait(number_of(cloud, node), HOST_ERROR, LOST_SECONDS)
        says(vm, "renews its lease")
        stays(vm, node, ENDED_SECONDS + LEASE_SECONDS)
        says(vm, "renews its lease")
        with storage_cut(volume, node) as cut:
            wait_until(ENDED_SECONDS, lambda: nodes_of(vm) != [node], "its host does not end it")
            ended = time.monotonic() - cut
            assert nodes_of(vm) == [], "it was started elsewhere before it was ended"
            # A process that waits for the storage ends when its client has given up.
            assert ended < LEASE_SECONDS + GIVE_UP_SECONDS, f"ended after {ended:.1f} s"
            wait_until(MOVED_SECONDS, lambda: nodes_of(vm), lambda: vm.xml().findtext(MESSAGE))
            moved = time.monotonic() - cut
            assert nodes_of(vm) != [node]
            goes_on_counting(vm, volume, first)
    assert nodes_of(vm) == [vm.host()]
    print(f"\nended by its agent {ended:.1f} s after the cut, elsewhere after {moved:.1f} s")
    vm.terminate()


@pytest.mark.seconds(600)
def test_a_stopped_agent(cloud, leased):
    """Its lease ends and its guests run on: refused with the reason. Once its locks are gone, nothing it writes arrives."""
    _, volume = leased
    vm = counting(cloud, leased)
    node, first = vm.host(), writers(vm, volume)[0]
    (old,) = node.qemu_pids(vm.domain)
    with guests_cut(cloud, node), agent_stopped(cloud, node):
        says(vm, "is still locked", LOST_SECONDS + ENDED_SECONDS)
        stays(vm, node, LEASE_SECONDS)
        with storage_cut(volume, node) as cut:
            wait_until(MOVED_SECONDS, lambda: len(nodes_of(vm)) == 2, lambda: vm.xml().findtext(MESSAGE))
            moved = time.monotonic() - cut
            assert moved > GIVE_UP_SECONDS / 2, "the server has not given up its locks yet"
            goes_on_counting(vm, volume, first)
        # The old copy is still there, and has its storage back.
        late = time.monotonic() + LATE_SECONDS
        while time.monotonic() < late:
            assert node.qemu_pids(vm.domain) == [old]
            assert changes(vm, volume) == 1, "what the old copy wrote has arrived"
            time.sleep(LOOK_SECONDS)
    wait_until(BACK_SECONDS, lambda: nodes_of(vm) == [vm.host()], "the old copy was not ended")
    assert vm.state() == "RUNNING" and vm.host() != node
    assert changes(vm, volume) == 1
    print(f"\nelsewhere {moved:.1f} s after its locks were cut off")
    vm.terminate()

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


def stay(pairs, seconds):
    """VMs run where they are and nowhere else, for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for vm, node in pairs:
            assert nodes_of(vm) == [node]
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


def late_writes_are_lost(vm, volume, node, old):
    """The old copy is still there and has its storage back: nothing that it writes arrives."""
    late = time.monotonic() + LATE_SECONDS
    while time.monotonic() < late:
        assert node.qemu_pids(vm.domain) == [old]
        assert changes(vm, volume) == 1, "what the old copy wrote has arrived"
        time.sleep(LOOK_SECONDS)


@pytest.mark.seconds(900)
def test_hosts_that_are_lost_with_leases(cloud, leased):
    """Two at once, to wait once. One is cut off: from the front-end only, its VM stays; from the storage, too, it ends its
    guests, and only then they run elsewhere. The other's agent is stopped: its lease ends and its guests run on, refused with
    the reason; once its locks are gone they run elsewhere, and nothing that the old copy writes arrives."""
    _, volume = leased
    cut, stopped = counting(cloud, leased), counting(cloud, leased)
    cut_node, stopped_node = cut.host(), stopped.host()
    assert cut_node != stopped_node
    first = {vm: writers(vm, volume)[0] for vm in (cut, stopped)}
    (old,) = stopped_node.qemu_pids(stopped.domain)
    with link_cut(cloud, cut_node), guests_cut(cloud, stopped_node), agent_stopped(cloud, stopped_node):
        cloud.host_wait(number_of(cloud, cut_node), HOST_ERROR, LOST_SECONDS)
        says(cut, "renews its lease")
        says(stopped, "is still locked", LOST_SECONDS + ENDED_SECONDS)
        stay([(cut, cut_node), (stopped, stopped_node)], LEASE_SECONDS + ENDED_SECONDS)
        says(cut, "renews its lease")
        with storage_cut(volume, cut_node) as cut_at, storage_cut(volume, stopped_node) as stopped_at:
            wait_until(ENDED_SECONDS, lambda: nodes_of(cut) != [cut_node], "its host does not end it")
            ended = time.monotonic() - cut_at
            assert nodes_of(cut) == [], "it was started elsewhere before it was ended"
            # Usually once the client of a process that waits for the storage has given up; that the lease has not ended counts.
            assert ended < ENDED_SECONDS, f"ended after {ended:.1f} s"
            wait_until(MOVED_SECONDS, lambda: len(nodes_of(stopped)) == 2, lambda: stopped.xml().findtext(MESSAGE))
            unlocked = time.monotonic() - stopped_at
            assert unlocked > GIVE_UP_SECONDS / 2, "the server has not given up its locks yet"
            wait_until(MOVED_SECONDS, lambda: nodes_of(cut), lambda: cut.xml().findtext(MESSAGE))
            moved = time.monotonic() - cut_at
            assert cut_node not in nodes_of(cut)
            for vm in (stopped, cut):
                goes_on_counting(vm, volume, first[vm])
        late_writes_are_lost(stopped, volume, stopped_node, old)
    assert nodes_of(cut) == [cut.host()] and cut.host() != cut_node
    wait_until(BACK_SECONDS, lambda: nodes_of(stopped) == [stopped.host()], "the old copy was not ended")
    assert stopped.state() == "RUNNING" and stopped.host() != stopped_node
    assert changes(stopped, volume) == 1
    print(
        f"\nended by its agent {ended:.1f} s after the cut, elsewhere after {moved:.1f} s; with a stopped agent elsewhere "
        f"{unlocked:.1f} s after its locks were cut off"
    )
    for vm in (cut, stopped):
        vm.terminate()

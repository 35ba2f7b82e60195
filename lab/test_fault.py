"""Faults in mid-action: the front-end killed, a host out of reach, an agent killed. Nothing is lost, nothing twice."""

import pytest
from agents import agent_kill
from cloud import HOST_ERROR, HOST_MONITORED, STORAGES, VM_SECONDS
from lab import wait_until
from node import Failed

# ssh notices a silent host after three times five seconds; then the link is taken as down.
LOST_SECONDS = 40
# The pause between two attempts to reach a host grows up to 10 seconds, and a connection that hangs is given up after 15.
BACK_SECONDS = 60
# An image whose copy takes a while, in MiB; filled, as holes are not copied.
LARGE_MIB = 1024
BOOT_TRIES = 5


@pytest.fixture(scope="module")
def slow_image(cloud):
    """A data image whose transfer lasts long enough to be interrupted."""
    path = "/var/tmp/large.raw"
    cloud.lab.front_end.run(
        ["bash", "-c", f"openssl enc -aes-128-ctr -pass pass:x -nosalt 2>/dev/null </dev/zero | head -c {LARGE_MIB}M >{path}"],
        user="oneadmin",
    )
    image = cloud.image_make(STORAGES["ssh"], "large", "--path", path, "--type", "DATABLOCK")
    yield image
    cloud.lab.front_end.run(["rm", path])
    cloud.fe(f"oneimage delete {image}")


def vm_slow(cloud, slow_image, host):
    """A VM whose PROLOG takes some seconds, as its data disk is copied at first use of a host."""
    name = cloud.image_file(STORAGES["ssh"], slow_image).name
    (cloud.datastore(cloud.lab.node(host), 0) / ".images" / name).unlink(missing_ok=True)
    return cloud.vm_make(disks=[f"IMAGE_ID = {cloud.os_image(STORAGES['ssh'])}", f"IMAGE_ID = {slow_image}"], host=host)


def vm_in_boot(cloud, host):
    """A VM that is in BOOT, which does not last long: another one is made when it was missed."""
    for _ in range(BOOT_TRIES):
        # The image is in the host's cache: the way to BOOT is short.
        vm = cloud.vm_make(host=host)
        if wait_until(VM_SECONDS, lambda: {"BOOT": 1, "RUNNING": 2}.get(vm.state()), "neither BOOT nor RUNNING") == 1:
            return vm
        vm.terminate()
    raise Failed(f"BOOT was missed {BOOT_TRIES} times")


def one_qemu(vm):
    """RUNNING means exactly one QEMU, on the host that the VM's history names."""
    found = vm.qemus()
    assert [node for node, _ in found] == [vm.host()], found


def serve_restart(cloud):
    cloud.lab.serve_kill()
    cloud.lab.serve_start()


def test_front_end_killed_in_prolog(cloud, slow_image):
    vm = vm_slow(cloud, slow_image, 1)
    vm.wait("PROLOG")
    serve_restart(cloud)
    vm.running()
    one_qemu(vm)
    vm.terminate()


def test_front_end_killed_in_boot(cloud):
    vm = vm_in_boot(cloud, 1)
    serve_restart(cloud)
    vm.running()
    one_qemu(vm)
    vm.terminate()


def test_front_end_killed_while_it_is_running(cloud):
    vm = cloud.vm_make(host=1).running()
    before = vm.qemus()
    serve_restart(cloud)
    cloud.hosts_wait()
    assert vm.state() == "RUNNING"
    assert vm.qemus() == before
    vm.terminate()


def test_host_out_of_reach_in_mid_action(cloud, slow_image):
    node = cloud.lab.node(2)
    vm = vm_slow(cloud, slow_image, 2)
    vm.wait("PROLOG")
    node.link_set(False)
    try:
        host = cloud.host_wait(2, HOST_ERROR, LOST_SECONDS)
        assert host.findtext("TEMPLATE/ERROR"), "the host is in ERROR without a reason"
        assert vm.state() == "PROLOG"
    finally:
        node.link_set(True)
    cloud.host_wait(2, HOST_MONITORED, BACK_SECONDS)
    vm.wait("RUNNING", VM_SECONDS + BACK_SECONDS)
    one_qemu(vm)
    vm.terminate()


def test_host_out_of_reach_while_a_guest_runs(cloud):
    node = cloud.lab.node(2)
    vm = cloud.vm_make(host=2).running()
    before = vm.qemus()
    node.link_set(False)
    try:
        vm.wait("UNKNOWN", LOST_SECONDS)
        cloud.host_wait(2, HOST_ERROR, LOST_SECONDS)
    finally:
        node.link_set(True)
    vm.wait("RUNNING", BACK_SECONDS)
    cloud.host_wait(2, HOST_MONITORED, BACK_SECONDS)
    assert vm.qemus() == before
    vm.terminate()


def test_agent_killed_in_prolog(cloud, slow_image):
    vm = vm_slow(cloud, slow_image, 3)
    vm.wait("PROLOG")
    agent_kill(cloud.lab.node(3))
    vm.running()
    one_qemu(vm)
    vm.terminate()


def test_agent_killed_in_boot(cloud):
    vm = vm_in_boot(cloud, 3)
    agent_kill(cloud.lab.node(3))
    vm.running()
    one_qemu(vm)
    vm.terminate()


def test_agent_killed_while_a_guest_is_saved(cloud):
    vm = cloud.vm_make(host=3).running().guest_wait()
    before = vm.guest_boot_id()
    cloud.fe(f"onevm suspend {vm.id}")
    vm.wait("SAVE_SUSPEND")
    agent_kill(cloud.lab.node(3))
    vm.wait("SUSPENDED")
    assert vm.qemus() == []
    vm.act("resume", "RUNNING")
    vm.guest_wait()
    assert vm.guest_boot_id() == before
    vm.terminate()


def test_two_vms_of_one_image_at_once(cloud, slow_image):
    """Both need the image in the host's cache at the same time: one waits for the other's copy."""
    first, second = vm_slow(cloud, slow_image, 1), vm_slow(cloud, slow_image, 1)
    for vm in (first, second):
        vm.running()
        one_qemu(vm)
        vm.terminate()


def test_a_cached_image_is_not_copied_again(cloud, slow_image):
    name = cloud.image_file(STORAGES["ssh"], slow_image).name
    cached = cloud.datastore(cloud.lab.node(1), 0) / ".images" / name
    disks = [f"IMAGE_ID = {cloud.os_image(STORAGES['ssh'])}", f"IMAGE_ID = {slow_image}"]
    first = cloud.vm_make(disks=disks, host=1).running()
    before = cached.stat().st_ino
    second = cloud.vm_make(disks=disks, host=1).running()
    assert cached.stat().st_ino == before, "the image was copied to the host although it was there"
    for vm in (first, second):
        vm.terminate()

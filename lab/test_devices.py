"""Devices of running guests on real hosts: disks and NICs come and go, disks grow, snapshots with memory."""

import json
import subprocess
import time

import pytest
from cloud import STORAGES, Vm, error_of
from lab import wait_until

SEEN_SECONDS = 20
MIB_SECTORS = 2048
# In front of what a guest is given anew, so that both are told apart.
GROWN_MIB = 32


def sectors(vm, device):
    """Size of a block device as the guest sees it; 0 when it has none."""
    return int(vm.guest(f"cat /sys/class/block/{device}/size 2>/dev/null || echo 0"))


def links(vm):
    """MAC addresses of the guest."""
    return vm.guest("cat /sys/class/net/*/address").split()


def seen(look, what):
    wait_until(SEEN_SECONDS, look, what)


def timed(cloud, line, vm):
    """Runs a command; gives the seconds until the VM is RUNNING again. (It is not in the meantime: the call answers when it
    has begun.)"""
    began = time.monotonic()
    cloud.fe(line)
    vm.wait("RUNNING")
    return time.monotonic() - began


def disk_ids(vm):
    return [disk.findtext("DISK_ID") for disk in vm.xml().findall("TEMPLATE/DISK")]


@pytest.mark.seconds(240)
@pytest.mark.parametrize("name", STORAGES)
def test_disks_come_grow_and_go(cloud, name):
    storage = STORAGES[name]
    vm = cloud.vm_make(storage).running().guest_wait()
    image = cloud.image_make(storage, f"hot-{name}", "--type", "DATABLOCK", "--size", "16")
    attach = timed(cloud, f"onevm disk-attach {vm.id} --image {image} --prefix vd", vm)
    (number,) = [disk for disk in disk_ids(vm) if disk != "0"]
    target = vm.xml().findall("TEMPLATE/DISK")[-1].findtext("TARGET")
    seen(lambda: sectors(vm, target) == 16 * MIB_SECTORS, f"the guest does not see {target}")
    vm.guest(f"echo marker | dd of=/dev/{target} conv=sync bs=512 2>/dev/null && sync")
    grow = timed(cloud, f"onevm disk-resize {vm.id} {number} {GROWN_MIB}", vm)
    seen(lambda: sectors(vm, target) == GROWN_MIB * MIB_SECTORS, "the guest does not see the new size")
    assert vm.guest(f"head -c 6 /dev/{target}") == "marker"
    detach = timed(cloud, f"onevm disk-detach {vm.id} {number}", vm)
    assert disk_ids(vm) == ["0"]
    assert sectors(vm, target) == 0
    assert not (vm.directory(vm.host()) / f"disk.{number}").exists()
    print(f"\n{name}: attach {attach:.2f} s, grow {grow:.2f} s, detach {detach:.2f} s")
    vm.terminate()
    cloud.fe(f"oneimage delete {image}")


def test_a_disk_grows_while_the_vm_is_off(cloud):
    vm = cloud.vm_make().running()
    vm.act("poweroff --hard", "POWEROFF")
    size = int(vm.xml().findtext("TEMPLATE/DISK/SIZE")) + GROWN_MIB
    vm.cloud.fe(f"onevm disk-resize {vm.id} 0 {size}")
    vm.wait("POWEROFF")
    assert (vm.directory(vm.host()) / "disk.0").stat().st_size == size * 1024 * 1024
    vm.act("undeploy", "UNDEPLOYED")
    vm.cloud.fe(f"onevm disk-resize {vm.id} 0 {size + GROWN_MIB}")
    vm.wait("UNDEPLOYED")
    vm.act("resume", "RUNNING")
    assert (vm.directory(vm.host()) / "disk.0").stat().st_size == (size + GROWN_MIB) * 1024 * 1024
    vm.guest_wait()
    seen(lambda: sectors(vm, "vda") == (size + GROWN_MIB) * MIB_SECTORS, "the guest does not see the new size")


@pytest.mark.seconds(400)
@pytest.mark.parametrize("name", STORAGES)
def test_a_disk_that_rests_becomes_an_image_that_boots(cloud, name):
    storage = STORAGES[name]
    vm = cloud.vm_make(storage).running().guest_wait()
    # The guest's files are in its memory: what it is to find again is near the end of its disk.
    place = sectors(vm, "vda") - 8
    vm.guest(f"echo kept | dd of=/dev/vda bs=512 seek={place} conv=sync,notrunc 2>/dev/null && sync")
    saved = []
    for action, state in (("suspend", "SUSPENDED"), ("poweroff", "POWEROFF"), ("undeploy", "UNDEPLOYED")):
        vm.act(action, state)
        began = time.monotonic()
        image = cloud.identifier(f"onevm disk-saveas {vm.id} 0 saved-{name}-{state.lower()}")
        cloud.image_wait(image, f"saved-{name}")
        print(f"\n{name}: saved while {state} in {time.monotonic() - began:.2f} s")
        vm.wait(state)
        saved.append(image)
        file = cloud.image_file(storage, image)
        info = json.loads(subprocess.check_output(["qemu-img", "info", "-f", storage.format, "--output=json", file]))
        assert "backing-filename" not in info
        if state == "SUSPENDED":
            vm.act("resume", "RUNNING")
            vm.guest_wait()
    began = time.monotonic()
    plain = file.with_name("plain")
    subprocess.check_call(["qemu-img", "convert", "-f", storage.format, "-O", storage.format, file, plain])
    print(f"{name}: plain qemu-img convert {time.monotonic() - began:.2f} s")
    subprocess.check_call(["qemu-img", "compare", "-f", storage.format, "-F", storage.format, file, plain])
    plain.unlink()
    vm.terminate()
    other = cloud.vm_make(storage, disks=[f"IMAGE_ID = {saved[-1]}"]).running().guest_wait()
    assert other.guest(f"dd if=/dev/vda bs=512 skip={place} count=1 2>/dev/null | head -c 4") == "kept"
    other.terminate()
    for image in saved:
        assert int(cloud.lab.show("image", image).findtext("TEMPLATE/SAVED_VM_ID")) == vm.id
        file = cloud.image_file(storage, image)
        cloud.fe(f"oneimage delete {image}")
        wait_until(SEEN_SECONDS, lambda file=file: not file.exists(), f"{file} is left")


def test_nics_come_and_go(cloud):
    vm = cloud.vm_make().running().guest_wait()
    before = links(vm)
    attach = timed(cloud, f"onevm nic-attach {vm.id} --network {cloud.network}", vm)
    nic = vm.xml().findall("TEMPLATE/NIC")[-1]
    seen(lambda: nic.findtext("MAC") in links(vm), "the guest does not see the new NIC")
    assert f"ETH1_IP='{nic.findtext('IP')}'" in context(vm), "the guest is not told its address"
    detach = timed(cloud, f"onevm nic-detach {vm.id} {nic.findtext('NIC_ID')}", vm)
    assert sorted(links(vm)) == sorted(before)
    assert "ETH1_IP" not in context(vm)
    print(f"\nattach {attach:.2f} s, detach {detach:.2f} s")


def context(vm):
    """The CONTEXT disk as the guest reads it now."""
    script = "mkdir -p /tmp/c && mount -t iso9660 -o ro $(blkid -L CONTEXT || findfs LABEL=CONTEXT || echo /dev/sr0) /tmp/c && cat /tmp/c/context.sh; umount /tmp/c"
    return vm.guest(script)


@pytest.mark.seconds(240)
def test_a_snapshot_brings_the_memory_back(cloud):
    vm = cloud.vm_make(STORAGES["qcow2"]).running().guest_wait()
    boot_id = vm.guest_boot_id()
    vm.guest("echo before >/tmp/state")
    take = timed(cloud, f"onevm snapshot-create {vm.id} first", vm)
    assert vm.xml().findtext("TEMPLATE/SNAPSHOT/HYPERVISOR_ID") == "snap-0"
    vm.guest("echo after >/tmp/state")
    revert = timed(cloud, f"onevm snapshot-revert {vm.id} 0", vm)
    vm.guest_wait()
    assert vm.guest("cat /tmp/state") == "before\n"
    assert vm.guest_boot_id() == boot_id
    assert len(vm.qemus()) == 1
    delete = timed(cloud, f"onevm snapshot-delete {vm.id} 0", vm)
    assert vm.xml().find("TEMPLATE/SNAPSHOT") is None
    cloud.lab.api("vm.schedadd", vm.id, f'SCHED_ACTION = [ ACTION = "snapshot-create", ARGS = "by night", TIME = {int(time.time())} ]')
    seen(lambda: vm.xml().findtext("TEMPLATE/SNAPSHOT/NAME") == "by night", "no snapshot is taken by schedule")
    vm.wait("RUNNING")
    assert vm.xml().findtext("TEMPLATE/SNAPSHOT/HYPERVISOR_ID").startswith("snap-")
    print(f"\ntake {take:.2f} s, revert {revert:.2f} s, delete {delete:.2f} s")


def test_what_cannot_be_is_said_and_undone(cloud):
    """A raw disk keeps no snapshot; the VM goes on."""
    vm = cloud.vm_make().running()
    cloud.fe(f"onevm snapshot-create {vm.id}")
    vm.wait("RUNNING")
    assert "qcow2" in error_of(vm.xml())
    assert vm.xml().find("TEMPLATE/SNAPSHOT") is None


def test_the_front_end_killed_while_a_disk_comes(cloud):
    vm = cloud.vm_make().running().guest_wait()
    image = cloud.image_make(STORAGES["ssh"], "hot-killed", "--type", "DATABLOCK", "--size", "64")
    cloud.fe(f"onevm disk-attach {vm.id} --image {image} --prefix vd")
    cloud.lab.serve_kill()
    cloud.lab.serve_start()
    vm.wait("RUNNING")
    assert isinstance(vm, Vm) and disk_ids(vm) == ["0", "2"]
    target = vm.xml().findall("TEMPLATE/DISK")[-1].findtext("TARGET")
    seen(lambda: sectors(vm, target) == 64 * MIB_SECTORS, f"the guest does not see {target}")
    vm.terminate()
    cloud.fe(f"oneimage delete {image}")

"""Snapshots of disks on real hosts: taken, gone back to, deleted, kept with images, saved as images."""

import json
import os
import subprocess

import pytest
from cloud import IMAGE_READY, STORAGES
from lab import wait_until
from layout import names, nothing_check
from writing import copy_check, writer_start

SEEN_SECONDS = 30
MARKER_OFFSET, BLOCK = 1024 * 1024, 4096


def write(vm, marker):
    """Writes onto the guest's second disk."""
    vm.guest(f"dd of=/dev/vdb bs={BLOCK} seek={MARKER_OFFSET // BLOCK} conv=notrunc 2>/dev/null && sync", input=marker.ljust(BLOCK))


def read(vm):
    return vm.guest(f"dd if=/dev/vdb bs={BLOCK} skip={MARKER_OFFSET // BLOCK} count=1 2>/dev/null").strip()


def with_data(cloud, storage, name, persistent=False):
    """A VM with a second disk, whose guest is there; and the image of that disk."""
    data = cloud.image_make(storage, name, "--size", "8", "--type", "DATABLOCK", persistent=persistent)
    vm = cloud.vm_make(storage, [f"IMAGE_ID = {cloud.os_image(storage)}", f"IMAGE_ID = {data}"])
    return vm.running().guest_wait(), data


def snapshots(xml):
    """Ids of the snapshots of the second disk, and the active one."""
    found = [one for tree in xml.findall("SNAPSHOTS") if tree.findtext("DISK_ID") in ("1", None) for one in tree.findall("SNAPSHOT")]
    active = [one.findtext("ID") for one in found if one.findtext("ACTIVE") == "YES"]
    return [one.findtext("ID") for one in found], active


def snap(vm, line, state="POWEROFF"):
    action, *rest = line.split()
    vm.cloud.fe(["onevm", action, str(vm.id), "1", *rest])
    vm.wait(state)
    assert vm.xml().findtext("USER_TEMPLATE/ERROR") is None, vm.xml().findtext("USER_TEMPLATE/ERROR")


def booted(vm):
    vm.act("resume", "RUNNING")
    return vm.guest_wait()


@pytest.mark.seconds(420)
@pytest.mark.parametrize("name", STORAGES)
def test_a_disk_goes_back_to_what_it_was(cloud, name):
    storage = STORAGES[name]
    vm, data = with_data(cloud, storage, f"snap-{name}")
    write(vm, "first")
    vm.act("suspend", "SUSPENDED")
    snap(vm, "disk-snapshot-create one", "SUSPENDED")
    booted(vm)
    write(vm, "second")
    vm.act("poweroff --hard", "POWEROFF")
    snap(vm, "disk-snapshot-create two")
    booted(vm)
    write(vm, "third")
    vm.act("poweroff --hard", "POWEROFF")
    assert snapshots(vm.xml()) == (["0", "1"], ["1"])
    # What it was becomes an image, whatever the disk is now.
    image = cloud.identifier(f"onevm disk-saveas {vm.id} 1 old-{name} --snapshot 0")
    cloud.image_wait(image, f"old-{name}")
    vm.wait("POWEROFF")
    file = cloud.image_file(storage, image)
    info = json.loads(subprocess.check_output(["qemu-img", "info", "-f", storage.format, "--output=json", file]))
    assert "backing-filename" not in info
    snap(vm, "disk-snapshot-revert 0")
    booted(vm)
    assert read(vm) == "first"
    vm.act("poweroff --hard", "POWEROFF")
    snap(vm, "disk-snapshot-revert 1")
    booted(vm)
    assert read(vm) == "second"
    vm.act("poweroff --hard", "POWEROFF")
    # To another host, with all that belongs to it.
    other = next(node for node in cloud.lab.hosts if node is not vm.host())
    cloud.fe(f"onevm migrate {vm.id} {other.name}")
    wait_until(90, lambda: vm.host().name == other.name and vm.state() == "POWEROFF", "it does not get there")
    snap(vm, "disk-snapshot-revert 0")
    snap(vm, "disk-snapshot-delete 1")
    booted(vm)
    assert read(vm) == "first"
    assert snapshots(vm.xml()) == (["0"], ["0"])
    vm.terminate()
    nothing_check(vm)
    other_vm = cloud.vm_make(storage, [f"IMAGE_ID = {cloud.os_image(storage)}", f"IMAGE_ID = {image}"]).running().guest_wait()
    assert read(other_vm) == "first"
    other_vm.terminate()
    for made in (image, data):
        cloud.fe(f"oneimage delete {made}")


@pytest.mark.seconds(300)
def test_a_snapshot_is_taken_while_the_guest_writes(cloud, tmp_path):
    storage = STORAGES["qcow2"]
    vm, data = with_data(cloud, storage, "snap-live")
    boot_id = vm.guest_boot_id()
    for number, marker in enumerate(("first", "second")):
        write(vm, marker)
        snap(vm, f"disk-snapshot-create {marker}", "RUNNING")
        assert os.readlink(vm.directory(vm.host()) / "disk.1") == f"disk.1.snap/{number + 1}"
    write(vm, "third")
    assert (read(vm), vm.guest_boot_id()) == ("third", boot_id)
    # What it is now becomes an image while the guest goes on.
    writer_start(vm)
    image = cloud.identifier(f"onevm disk-saveas {vm.id} 1 taken-live")
    cloud.image_wait(image, "taken-live")
    vm.wait("RUNNING")
    content = copy_check(cloud.image_file(storage, image), storage.format, tmp_path / "raw")
    assert content[MARKER_OFFSET:].startswith(b"third")
    # So does what it was in a snapshot, whose file nothing writes to.
    old = cloud.identifier(f"onevm disk-saveas {vm.id} 1 taken-old --snapshot 0")
    cloud.image_wait(old, "taken-old")
    vm.wait("RUNNING")
    for made in (image, old):
        cloud.fe(f"oneimage delete {made}")
    # A guest with snapshots goes on elsewhere.
    other = next(node for node in cloud.lab.hosts if node is not vm.host())
    cloud.fe(f"onevm migrate --live {vm.id} {other.name}")
    wait_until(90, lambda: vm.host().name == other.name and vm.state() == "RUNNING", "it does not get there")
    assert (read(vm), vm.guest_boot_id()) == ("third", boot_id)
    refused = cloud.fe(f"onevm disk-snapshot-delete {vm.id} 1 0", check=False)
    assert vm.state() == "RUNNING" and "follow" in str(refused)
    vm.act("poweroff --hard", "POWEROFF")
    booted(vm)
    assert read(vm) == "third"
    vm.act("poweroff --hard", "POWEROFF")
    for number, marker in ((0, "first"), (1, "second")):
        snap(vm, f"disk-snapshot-revert {number}")
        booted(vm)
        assert read(vm) == marker
        vm.act("poweroff --hard", "POWEROFF")
    vm.terminate()
    nothing_check(vm)
    cloud.fe(f"oneimage delete {data}")


def image_snapshots_check(cloud, image, file):
    """An image that holds the third marker, and has it as its second snapshot, goes back to the first and becomes it for good."""
    directory = file.with_name(f"{file.name}.snap")

    def held():
        """What the disk shows at the marker, read at the front-end, where its links lead to files."""
        shown = cloud.lab.show("image", image)
        disk, kind = shown.findtext("SOURCE"), shown.findtext("FORMAT")
        # VMs write to the highest file of a chain; the image itself is the lowest.
        numbers = sorted(int(name) for name in names(directory) if name.isdigit())
        if kind == "qcow2" and numbers:
            disk = f"{disk}.snap/{numbers[-1]}"
        copied = 'qemu-img convert -f "$0" -O raw "$1" /var/tmp/held'
        read = f"dd if=/var/tmp/held bs={BLOCK} skip={MARKER_OFFSET // BLOCK} count=1 2>/dev/null"
        return cloud.fe(["bash", "-c", f"{copied} && {read}", kind, disk]).strip("\0 \n")

    def done(action, snapshot):
        cloud.fe(f"oneimage {action} {image} {snapshot}")
        wait_until(SEEN_SECONDS, lambda: int(cloud.lab.show("image", image).findtext("STATE")) == IMAGE_READY, action)
        shown = cloud.lab.show("image", image)
        assert shown.findtext("TEMPLATE/ERROR") is None, shown.findtext("TEMPLATE/ERROR")
        return snapshots(shown)

    wait_until(SEEN_SECONDS, lambda: int(cloud.lab.show("image", image).findtext("STATE")) == IMAGE_READY, "the image is not free")
    assert snapshots(cloud.lab.show("image", image)) == (["0", "1"], ["1"]) and held() == "third"
    assert done("snapshot-revert", 0) == (["0", "1"], ["0"]) and held() == "first"
    assert done("snapshot-delete", 1) == (["0"], ["0"]) and "1" not in names(directory)
    assert done("snapshot-flatten", 0) == ([], []) and held() == "first"
    assert not directory.exists() and not file.is_symlink()
    # Without snapshots it may be any image's copy again.
    cloud.fe(f"oneimage nonpersistent {image}")


@pytest.mark.seconds(420)
@pytest.mark.parametrize("name", STORAGES)
def test_snapshots_stay_with_a_persistent_image(cloud, name):
    storage = STORAGES[name]
    vm, data = with_data(cloud, storage, f"kept-{name}", persistent=True)
    write(vm, "first")
    vm.act("poweroff --hard", "POWEROFF")
    snap(vm, "disk-snapshot-create one")
    booted(vm)
    write(vm, "second")
    vm.act("undeploy --hard", "UNDEPLOYED")
    vm.terminate()
    nothing_check(vm)
    wait_until(SEEN_SECONDS, lambda: int(cloud.lab.show("image", data).findtext("STATE")) == IMAGE_READY, "the image is not free")
    assert snapshots(cloud.lab.show("image", data)) == (["0"], ["0"])
    file = cloud.image_file(storage, data)
    assert "0" in names(file.with_name(f"{file.name}.snap"))
    assert "stays persistent" in str(cloud.fe(f"oneimage nonpersistent {data}", check=False))
    disks = [f"IMAGE_ID = {cloud.os_image(storage)}", f"IMAGE_ID = {data}"]
    vm = cloud.vm_make(storage, disks).running().guest_wait()
    assert read(vm) == "second"
    vm.act("poweroff --hard", "POWEROFF")
    snap(vm, "disk-snapshot-revert 0")
    booted(vm)
    assert read(vm) == "first"
    write(vm, "third")
    vm.act("poweroff --hard", "POWEROFF")
    snap(vm, "disk-snapshot-create two")
    vm.act("terminate --hard", "DONE")
    nothing_check(vm)
    image_snapshots_check(cloud, data, file)
    cloud.fe(f"oneimage delete {data}")
    wait_until(SEEN_SECONDS, lambda: not file.with_name(f"{file.name}.snap").exists() and not file.exists(), "files are left")


def test_what_cannot_be_is_said(cloud):
    """A copy would be torn: the VM goes on, and has no snapshot."""
    vm = cloud.vm_make(STORAGES["ssh"]).running()
    refused = cloud.fe(f"onevm disk-snapshot-create {vm.id} 0 torn", check=False)
    assert "power the VM off or suspend it first" in str(refused)
    assert vm.state() == "RUNNING" and vm.xml().find("SNAPSHOTS/SNAPSHOT") is None
    vm.terminate()

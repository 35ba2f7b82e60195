"""Backups: disks of a VM, also of one that runs, are copied to the front-end, come back in place, and become images that boot."""

import secrets

import pytest
from agents import agent_kill
from cloud import IMAGE_ERROR, STORAGES, Vm
from lab import wait_until
from layout import names, nothing_check
from writing import JOB_SECONDS, copy_check, disk_lengthen, filled, filled_anew, job, job_abort, job_wait, no_copy_left, writer_start

BACKUP_SECONDS = 60
MARKER_OFFSET, BLOCK = 1024 * 1024, 4096


def marker_write(vm, marker):
    """Writes onto the guest's second disk."""
    vm.guest(f"dd of=/dev/vdb bs={BLOCK} seek={MARKER_OFFSET // BLOCK} conv=notrunc 2>/dev/null && sync", input=marker.ljust(BLOCK))


def marker_read(vm, length):
    return vm.guest(f"dd if=/dev/vdb bs={BLOCK} skip={MARKER_OFFSET // BLOCK} count=1 2>/dev/null")[:length]


@pytest.fixture(scope="module")
def store(cloud):
    return cloud.lab.create("datastore", "NAME = backups\nTYPE = BACKUP_DS\nDS_MAD = fs\n")


def backups(vm):
    return [int(found.text) for found in vm.xml().findall("BACKUPS/BACKUP_IDS/ID")]


def backed_up(vm, store, count, state="POWEROFF"):
    """Makes a backup of a VM in a state; gives its image."""
    vm.cloud.fe(f"onevm backup {vm.id} -d {store}")
    wait_until(BACKUP_SECONDS, lambda: len(backups(vm)) == count, lambda: f"no backup {count}: {vm.cloud.fe(f'onevm show {vm.id}')}")
    vm.wait(state)
    return backups(vm)[-1]


def directory(cloud, image):
    """The directory of a backup as the test process sees it."""
    shown = cloud.lab.show("image", image)
    path = shown.findtext("SOURCE").split("/datastores/")[1]
    return cloud.lab.front_end.home / "datastores" / path


@pytest.mark.seconds(300)
def test_disks_come_back_and_become_images(cloud, store, tmp_path):
    storage = STORAGES["ssh"]
    data = cloud.image_make(storage, "backup-data", "--size", "8", "--type", "DATABLOCK")
    disks = [f"IMAGE_ID = {cloud.os_image(storage)}", f"IMAGE_ID = {data}"]
    vm = cloud.vm_make(storage, disks, extra='BACKUP_CONFIG = [ FS_FREEZE = "SUSPEND" ]').running().guest_wait()
    first, second = (f"marker-{secrets.token_hex(8)}" for _ in range(2))
    marker_write(vm, first)
    # The guest goes on writing while its disk becomes an image.
    writer_start(vm)
    saved = cloud.identifier(f"onevm disk-saveas {vm.id} 1 saved-live")
    cloud.image_wait(saved, "saved-live")
    no_copy_left(vm)
    content = copy_check(cloud.image_file(storage, saved), storage.format, tmp_path / "raw")
    assert content[MARKER_OFFSET:].startswith(first.encode())
    cloud.fe(f"oneimage delete {saved}")
    # So do all of its disks a backup, for which it pauses for an instant.
    image = backed_up(vm, store, 1, "RUNNING")
    no_copy_left(vm)
    assert vm.host().out(["virsh", "-q", "-c", "qemu:///system", "domstate", "--reason", vm.domain]).strip() == "running (unpaused)"
    assert names(directory(cloud, image)) == ["disk.0", "disk.1"]
    content = copy_check(directory(cloud, image) / "disk.1", storage.format, tmp_path / "raw")
    assert content[MARKER_OFFSET:].startswith(first.encode())
    marker_write(vm, second)
    vm.act("poweroff --hard", "POWEROFF")
    later = backed_up(vm, store, 2)
    assert (directory(cloud, later) / "disk.1").read_bytes()[MARKER_OFFSET:].startswith(second.encode())
    before = (vm.directory(vm.host()) / "disk.1").stat().st_ino
    cloud.fe(f"onevm restore {vm.id} {image}")
    wait_until(BACKUP_SECONDS, lambda: (vm.directory(vm.host()) / "disk.1").stat().st_ino != before, "the disk does not come back")
    vm.wait("POWEROFF")
    assert not [name for name in names(vm.directory(vm.host())) if name.endswith(".restored")]
    vm.act("resume", "RUNNING")
    vm.guest_wait()
    assert marker_read(vm, len(first)) == first
    vm.terminate()
    nothing_check(vm)
    # The VM is gone; its backup makes another one.
    words = cloud.fe(f"oneimage restore {image} -d {storage.image_store} --name again --no_ip").split()
    template, images = int(words[2]), [int(word) for word in words[4:]]
    for restored in images:
        cloud.image_wait(restored, f"again-disk {restored}")
    again = Vm(cloud, cloud.identifier(f"onetemplate instantiate {template}"), storage)
    again.running().guest_wait()
    assert marker_read(again, len(first)) == first
    again.terminate()
    place = directory(cloud, image)
    for made in [*images, image, later, data]:
        cloud.fe(f"oneimage delete {made}")
    wait_until(BACKUP_SECONDS, lambda: not place.exists(), f"{place} stays")


def test_what_cannot_be_is_said_and_leaves_nothing(cloud, store):
    extra = 'BACKUP_CONFIG = [ FS_FREEZE = "AGENT" ]\nFEATURES = [ GUEST_AGENT = NO ]'
    vm = cloud.vm_make(STORAGES["ssh"], extra=extra).running()
    cloud.fe(f"onevm backup {vm.id} -d {store}")
    error = wait_until(BACKUP_SECONDS, lambda: vm.xml().findtext("USER_TEMPLATE/ERROR"), "no word of the failure")
    assert "qemu-guest-agent" in error
    no_copy_left(vm)
    vm.act("poweroff --hard", "POWEROFF")
    (vm.directory(vm.host()) / "disk.0").rename(vm.directory(vm.host()) / "disk.0.away")
    cloud.fe(f"onevm backup {vm.id} -d {store}")
    wait_until(BACKUP_SECONDS, lambda: "cannot find" in vm.xml().findtext("USER_TEMPLATE/ERROR"), "no word of the failure")
    assert backups(vm) == []
    place = cloud.datastore(cloud.lab.front_end, store) / str(vm.id)
    wait_until(BACKUP_SECONDS, lambda: not place.exists() or names(place) == [], f"{place} holds something")
    (vm.directory(vm.host()) / "disk.0.away").rename(vm.directory(vm.host()) / "disk.0")
    # Copies of a disk that is written to: whatever ends them, the VM runs, and nothing of them stays.
    disk_lengthen(vm, 0)
    vm.act("resume", "RUNNING")
    image = cloud.identifier(f"onevm disk-saveas {vm.id} 0 aborted")
    job_wait(vm)
    assert vm.state() == "HOTPLUG_SAVEAS"
    assert cloud.fe(f"onevm poweroff {vm.id}", check=False), "something else was begun meanwhile"
    job_abort(vm)
    no_copy_left(vm)
    assert "cancelled" in vm.xml().findtext("USER_TEMPLATE/ERROR")
    assert int(cloud.lab.show("image", image).findtext("STATE")) == IMAGE_ERROR
    cloud.fe(f"oneimage delete {image}")
    # An agent that is killed leaves the job to its successor, which begins it anew.
    image = cloud.identifier(f"onevm disk-saveas {vm.id} 0 given-up")
    job_wait(vm)
    with filled(vm).open("rb") as before:
        agent_kill(vm.host())
        wait_until(JOB_SECONDS, lambda: filled_anew(vm, before), "the copy is not begun anew")
    job_wait(vm)
    cloud.fe(f"onevm recover --failure {vm.id}")
    no_copy_left(vm)
    assert job(vm, "--completed") == "Cancelled"
    cloud.fe(f"oneimage delete {image}")
    cloud.lab.api("vm.updateconf", vm.id, 'BACKUP_CONFIG = [ FS_FREEZE = "NONE" ]', 1)
    cloud.fe(f"onevm backup {vm.id} -d {store}")
    job_wait(vm)
    assert vm.state() == "BACKUP"
    cloud.fe(f"onevm backup-cancel {vm.id}")
    no_copy_left(vm)
    assert job(vm, "--completed") == "Cancelled"
    assert backups(vm) == []
    wait_until(BACKUP_SECONDS, lambda: not place.exists() or names(place) == [], f"{place} holds something")
    vm.terminate()
    nothing_check(vm)

"""Backups: disks of a VM, also of one that runs, are copied to the front-end, come back in place, and become images that boot."""

import secrets
import subprocess
from dataclasses import replace

import pytest
from agents import agent_kill
from cloud import IMAGE_ERROR, STORAGES, Vm
from lab import wait_until
from layout import backing_of, names, nothing_check
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


PLACES = [MARKER_OFFSET + n * 128 * 1024 for n in range(5)]


def place_write(vm, number):
    """Writes what is known of a place onto the guest's second disk."""
    vm.guest(f"dd of=/dev/vdb bs={BLOCK} seek={PLACES[number] // BLOCK} conv=notrunc 2>/dev/null && sync", input=f"place-{number}".ljust(BLOCK))


def places_in(file, raw):
    """Which of the places are written in a QCOW2 file and those below it."""
    subprocess.check_call(["qemu-img", "convert", "-U", "-f", "qcow2", "-O", "raw", file, raw])
    content = raw.read_bytes()
    return [number for number, place in enumerate(PLACES) if content[place:].startswith(f"place-{number}".encode())]


def parts(cloud, image):
    """The increments of a backup: their ids and directories."""
    found = cloud.lab.show("image", image).findall("BACKUP_INCREMENTS/INCREMENT")
    base = cloud.lab.front_end.home / "datastores"
    return {int(part.findtext("ID")): base / part.findtext("SOURCE").split("/datastores/")[1] for part in found}


def grown(vm, store, last):
    """Has an increment made; gives the image and its increments."""
    vm.cloud.fe(f"onevm backup {vm.id} -d {store}")
    wait_until(BACKUP_SECONDS, lambda: vm.state() in ("RUNNING", "POWEROFF") and backups(vm) and last in parts(vm.cloud, backups(vm)[-1]),
               lambda: f"no increment {last}: {vm.cloud.fe(f'onevm show {vm.id}')}")  # fmt: skip
    image = backups(vm)[-1]
    return image, parts(vm.cloud, image)


@pytest.mark.seconds(300)
def test_increments_hold_what_has_changed_and_come_back(cloud, store, tmp_path):
    storage = replace(STORAGES["ssh"], name="ssh-qcow2", format="qcow2")
    data = cloud.image_make(storage, "increment-data", "--size", "8", "--type", "DATABLOCK")
    disks = [f"IMAGE_ID = {cloud.os_image(storage)}", f"IMAGE_ID = {data}"]
    vm = cloud.vm_make(storage, disks, extra='BACKUP_CONFIG = [ MODE = "INCREMENT", KEEP_LAST = 4 ]').running().guest_wait()
    raw = tmp_path / "raw"
    place_write(vm, 0)
    image, _ = grown(vm, store, 0)
    place_write(vm, 1)
    _, made = grown(vm, store, 1)
    no_copy_left(vm)
    assert backing_of(made[0] / "disk.1") == ""
    assert backing_of(made[1] / "disk.1") == f"../{made[0].name}/disk.1"
    assert places_in(made[1] / "disk.1", raw) == [0, 1]
    assert (made[1] / "disk.0").stat().st_blocks < (made[0] / "disk.0").stat().st_blocks / 2
    # What has changed is known after the guest was away, and on another host.
    vm.act("suspend", "SUSPENDED")
    vm.act("resume", "RUNNING")
    place_write(vm, 2)
    _, made = grown(vm, store, 2)
    assert backing_of(made[2] / "disk.1") == f"../{made[1].name}/disk.1"
    there = next(node for node in cloud.lab.hosts if node is not vm.host())
    cloud.fe(["onevm", "migrate", "--live", str(vm.id), there.name])
    wait_until(BACKUP_SECONDS, lambda: vm.host() is there, "the VM is not moved")
    vm.wait("RUNNING")
    place_write(vm, 3)
    _, made = grown(vm, store, 3)
    assert places_in(made[3] / "disk.1", raw) == [0, 1, 2, 3]
    # Of a VM that is off disks are copied whole; and as four are kept, the two oldest become one.
    vm.act("poweroff --hard", "POWEROFF")
    oldest = made[0]
    _, made = grown(vm, store, 4)
    assert sorted(made) == [1, 2, 3, 4] and not oldest.exists()
    assert [backing_of(made[n] / "disk.1") for n in (1, 4)] == ["", ""]
    assert places_in(made[2] / "disk.1", raw) == [0, 1, 2]
    disk = vm.directory(vm.host()) / "disk.1"
    cloud.fe(f"onevm restore {vm.id} {image} --increment 2")
    wait_until(BACKUP_SECONDS, lambda: vm.state() == "POWEROFF" and places_in(disk, raw) == [0, 1, 2], "increment 2 does not come back")
    assert not list(made[1].glob("*restored*"))
    words = cloud.fe(f"oneimage restore {image} -d {storage.image_store} --name of-increments --increment 1").split()
    template, images = int(words[2]), [int(word) for word in words[4:]]
    for restored in images:
        cloud.image_wait(restored, f"image {restored}")
    assert places_in(cloud.image_file(storage, images[1]), raw) == [0, 1]
    vm.terminate()
    nothing_check(vm)
    cloud.fe(f"onetemplate delete {template}")
    for gone in [*images, image, data]:
        cloud.fe(f"oneimage delete {gone}")
    wait_until(BACKUP_SECONDS, lambda: not any(place.exists() for place in made.values()), "increments stay")


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

"""Every storage with images that are kept and that are not: one VM through all its actions, files looked at after each."""

import contextlib
import secrets

import pytest
from cloud import HOST_MONITORED, STORAGES
from layout import MARKER_OFFSET, checksum, context_check, directory_check, marker_in, names, nothing_check

BLOCK = 512
DATA_MIB = 16
CASES = [(name, persistent) for name in STORAGES for persistent in (False, True)]


def data_image(cloud, storage, name, persistent):
    """An empty image for data."""
    return cloud.image_make(storage, name, "--type", "DATABLOCK", "--size", str(DATA_MIB), persistent=persistent)


def marker_write(vm, marker):
    """Writes the marker onto the guest's second disk."""
    command = f"dd of=/dev/vdb bs={BLOCK} seek={MARKER_OFFSET // BLOCK} conv=notrunc 2>/dev/null && sync"
    vm.guest(command, input=marker.ljust(BLOCK))


def marker_read(vm, length):
    """Reads it back in the guest."""
    return vm.guest(f"dd if=/dev/vdb bs={BLOCK} skip={MARKER_OFFSET // BLOCK} count=1 2>/dev/null")[:length]


def saved_check(vm, node, present):
    """The checkpoint is where the VM's files are, and no QEMU runs."""
    assert ("checkpoint" in names(vm.directory(node))) == present
    if present:
        assert vm.qemus() == []


def home_check(vm, host):
    """The files of a stopped VM: on the front-end where nodes share nothing, else where they were."""
    if not vm.storage.shared:
        assert names(vm.directory(host)) == [], f"{host.name} still has the files of VM {vm.id}"
    found = names(vm.directory(vm.lab.front_end))
    assert {"disk.0", "disk.1", "disk.2"} <= set(found), f"the front-end has {found}"


class Elsewhere:
    """Keeps VMs from a host for a while."""

    def __init__(self, cloud, node):
        self.cloud = cloud
        self.number = node.name.removeprefix("node")

    def __enter__(self):
        self.cloud.fe(f"onehost disable node{self.number}")

    def __exit__(self, *_):
        self.cloud.fe(f"onehost enable node{self.number}")
        self.cloud.host_wait(int(self.number), HOST_MONITORED)


@pytest.mark.seconds(300)
@pytest.mark.parametrize(("name", "persistent"), CASES, ids=lambda value: {True: "kept", False: "copy"}.get(value, value))
def test_storage(cloud, name, persistent):
    storage = STORAGES[name]
    marker = f"marker-{secrets.token_hex(8)}"
    tag = f"{name}-{'kept' if persistent else 'copy'}"
    system = cloud.os_image(storage, f"os-{tag}", persistent=True) if persistent else cloud.os_image(storage)
    data = data_image(cloud, storage, f"data-{tag}", persistent)
    images = [system, data]
    files = [cloud.image_file(storage, image) for image in images]
    before = [checksum(path) for path in files]

    vm = cloud.vm_make(storage, [f"IMAGE_ID = {image}" for image in images]).running()
    directory_check(vm, vm.host(), images, persistent)
    vm.guest_wait()
    boot_id = vm.guest_boot_id()
    marker_write(vm, marker)
    saved_and_moved(cloud, vm, images, persistent, boot_id)
    assert marker_read(vm, len(marker)) == marker
    switched_off(cloud, vm, images, persistent)

    vm.terminate()
    nothing_check(vm)
    after = [checksum(path) for path in files]
    if persistent:
        assert marker_in(files[1], marker), "what the guest wrote did not come home"
    else:
        assert after == before, "an image that is not persistent was written to"
    for image in images if persistent else [data]:
        cloud.fe(["oneimage", "delete", str(image)])


def test_what_was_stopped_and_waits_for_a_host_leaves_nothing(cloud):
    """Its files are on the front-end, where no host's action would find them."""
    for action in ("terminate --hard", "recover --delete"):
        vm = cloud.vm_make().running()
        vm.act("stop", "STOPPED")
        with contextlib.ExitStack() as stack:
            for node in cloud.lab.hosts:
                stack.enter_context(Elsewhere(cloud, node))
            vm.act("resume", "PENDING")
            assert "disk.0" in names(vm.directory(cloud.lab.front_end))
            vm.act(action, "DONE")
        nothing_check(vm)


def saved_and_moved(cloud, vm, images, persistent, boot_id):
    """suspend, resume, stop, resume on another host: it is the same run of the guest's kernel all the time."""
    vm.act("suspend", "SUSPENDED")
    saved_check(vm, vm.host(), True)
    vm.act("resume", "RUNNING")
    directory_check(vm, vm.host(), images, persistent)
    vm.act("stop", "STOPPED")
    first = vm.host()
    saved_check(vm, cloud.lab.front_end, True)
    home_check(vm, first)
    with Elsewhere(cloud, first):
        vm.act("resume", "RUNNING")
    assert vm.host() is not first
    directory_check(vm, vm.host(), images, persistent)
    assert [node for node, _ in vm.qemus()] == [vm.host()]
    vm.guest_wait()
    assert vm.guest_boot_id() == boot_id, "the guest was started anew instead of going on"


def switched_off(cloud, vm, images, persistent):
    """poweroff, resume, undeploy, resume on another host."""
    vm.act("poweroff", "POWEROFF")
    assert vm.qemus() == []
    directory_check(vm, vm.host(), images, persistent)
    vm.act("resume", "RUNNING")
    assert f"deployment.{vm.sequence()}" in names(vm.directory(vm.host()))
    vm.act("undeploy --hard", "UNDEPLOYED")
    first = vm.host()
    home_check(vm, first)
    saved_check(vm, cloud.lab.front_end, False)
    with Elsewhere(cloud, first):
        vm.act("resume", "RUNNING")
    directory_check(vm, vm.host(), images, persistent)
    context_check(vm.directory(vm.host()), len(images))

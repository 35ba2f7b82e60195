"""VMs of copies of a template, which wait for the copies of its images and keep what they write."""

import pathlib
import secrets
import shutil

import pytest
from cloud import IMAGE_READY, IMAGE_USED_PERSISTENT, STORAGES, Vm, error_of
from layout import MARKER_OFFSET, checksum, marker_in
from node import Failed

BLOCK = 512
DATA_MIB = 16
SSH = STORAGES["ssh"]


@pytest.fixture
def template(cloud, request):
    """A template with a boot disk and one for data: (id, images)."""
    name = request.node.name
    data = cloud.image_make(SSH, f"data-{name}", "--type", "DATABLOCK", "--size", str(DATA_MIB))
    images = [cloud.os_image(SSH), data]
    text = f"NAME = {name}\n" + cloud.vm_template(SSH, [f"IMAGE_ID = {image}" for image in images])
    return cloud.lab.create("template", text), images


def persistent_make(cloud, template, name):
    """The VM, and the ids of the images that are its own."""
    vm = Vm(cloud, cloud.identifier(f"onetemplate instantiate {template} --persistent --name {name}"), SSH)
    return vm, [int(found.text) for found in vm.xml().findall("TEMPLATE/DISK/IMAGE_ID")]


def image_of(cloud, image):
    found = cloud.lab.show("image", image)
    return int(found.findtext("STATE")), int(found.findtext("PERSISTENT")), found.findtext("NAME")


@pytest.mark.seconds(240)
def test_a_persistent_instance_boots_and_keeps_what_it_writes(cloud, template):
    identifier, images = template
    before = [checksum(cloud.image_file(SSH, image)) for image in images]
    vm, copies = persistent_make(cloud, identifier, "kept")
    assert vm.xml().findtext("TEMPLATE/CLONING_TEMPLATE_ID") == str(identifier)
    vm.running().guest_wait()
    assert not set(copies) & set(images)
    assert [image_of(cloud, image) for image in copies] == [(IMAGE_USED_PERSISTENT, 1, f"kept-disk-{number}") for number in (0, 1)]
    marker = f"marker-{secrets.token_hex(8)}"
    command = f"dd of=/dev/vdb bs={BLOCK} seek={MARKER_OFFSET // BLOCK} conv=notrunc 2>/dev/null && sync"
    vm.guest(command, input=marker.ljust(BLOCK))
    vm.act("terminate --hard", "DONE")
    assert [image_of(cloud, image)[0] for image in copies] == [IMAGE_READY] * 2
    assert marker_in(cloud.image_file(SSH, copies[1]), marker)
    assert [checksum(cloud.image_file(SSH, image)) for image in images] == before
    # The copy of the template makes another VM of the same disks.
    again = Vm(cloud, cloud.identifier("onetemplate instantiate kept --name again"), SSH)
    again.running().guest_wait()
    assert again.guest(f"dd if=/dev/vdb bs={BLOCK} skip={MARKER_OFFSET // BLOCK} count=1 2>/dev/null").startswith(marker)
    again.terminate()
    cloud.fe("onetemplate delete kept --recursive")


@pytest.mark.seconds(240)
def test_an_image_that_cannot_be_copied_is_named_and_can_be_brought_by_hand(cloud, template):
    identifier, images = template
    source = cloud.image_file(SSH, images[1])
    aside = source.with_name(f"{source.name}.aside")
    source.rename(aside)
    try:
        vm, copies = persistent_make(cloud, identifier, "late")
        vm.wait("CLONING_FAILURE")
    finally:
        aside.rename(source)
    assert f"Image {copies[1]} of disk 1" in error_of(vm.xml())
    cloud.fe(f"onevm recover --success {vm.id}")
    assert vm.state() == "CLONING_FAILURE"
    wanted = pathlib.Path(cloud.lab.show("image", copies[1]).findtext("SOURCE")).name
    by_hand = source.with_name(wanted)
    shutil.copy(source, by_hand)
    owner = source.stat()
    shutil.chown(by_hand, owner.st_uid, owner.st_gid)
    cloud.fe(f"oneimage enable {copies[1]}")
    vm.running().guest_wait()
    vm.terminate()
    cloud.fe("onetemplate delete late --recursive")


@pytest.mark.seconds(240)
def test_two_guests_see_what_the_other_writes_to_a_shareable_image(cloud):
    shared, qcow2 = STORAGES["shared"], STORAGES["qcow2"]
    images = [
        cloud.image_make(storage, f"of-both-{storage.name}", "--type", "DATABLOCK", "--size", str(DATA_MIB), persistent=True)
        for storage in (SSH, qcow2, shared)
    ]
    for image in images:
        cloud.lab.api("image.update", image, "PERSISTENT_TYPE=SHAREABLE", 1)
    for storage, image, why in ((SSH, images[0], "a copy of its own"), (qcow2, images[1], "of the format raw")):
        with pytest.raises(Failed, match=why):
            cloud.vm_make(storage, [f"IMAGE_ID = {cloud.os_image(storage)}", f"IMAGE_ID = {image}"])
    disks = [f"IMAGE_ID = {cloud.os_image(shared)}", f"IMAGE_ID = {images[2]}"]
    writer, reader = (cloud.vm_make(shared, disks, host=host) for host in (1, 2))
    for vm in (writer, reader):
        vm.running().guest_wait()
    marker = f"marker-{secrets.token_hex(8)}"
    place = f"bs={BLOCK} count=1 2>/dev/null"
    writer.guest(f"dd of=/dev/vdb seek={MARKER_OFFSET // BLOCK} conv=notrunc {place} && sync", input=marker.ljust(BLOCK))
    # Nothing was read of it before, so that the guest has to ask the disk.
    assert reader.guest(f"dd if=/dev/vdb skip={MARKER_OFFSET // BLOCK} {place}").startswith(marker)
    with pytest.raises(Failed, match="other VMs may write to it"):
        cloud.fe(f"onevm disk-snapshot-create {writer.id} 1 first")
    for vm in (writer, reader):
        vm.terminate()
    assert marker_in(cloud.image_file(shared, images[2]), marker)
    for image in images:
        cloud.fe(f"oneimage delete {image}")

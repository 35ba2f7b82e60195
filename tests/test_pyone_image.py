"""pyone: what images do."""

import pyone
import pytest
from pyone import IMAGE_STATES, IMAGE_TYPES

from harness import cloud
from harness.rpc import Session


@pytest.fixture(scope="module")
def datastore(server):
    one = pyone.OneServer(server.url, session=server.admin)
    return one.datastore.allocate(cloud.IMAGE_DS.format("images"), -1)


@pytest.fixture
def image(one, datastore, request):
    """A ready image."""
    ident = one.image.allocate(cloud.IMAGE.format(request.node.name), datastore)
    return ready(one, ident)


def ready(one, ident):
    cloud.eventually(
        lambda: IMAGE_STATES(one.image.info(ident).STATE), lambda state: state == IMAGE_STATES.READY, f"image {ident}"
    )
    return ident


def test_body(one, image, datastore):
    body = one.image.info(image)
    assert (body.SIZE, body.FORMAT, body.DATASTORE_ID, body.DATASTORE) == (16, "raw", datastore, "images")
    assert body.TYPE == IMAGE_TYPES.DATABLOCK


def test_type(one, image):
    assert one.image.chtype(image, "OS") == image
    assert one.image.info(image).TYPE == IMAGE_TYPES.OS
    assert one.image.chtype(image, "CDROM") == image
    assert one.image.info(image).TYPE == IMAGE_TYPES.CDROM
    with pytest.raises(pyone.OneInternalException):
        one.image.chtype(image, "KERNEL")
    with pytest.raises(pyone.OneInternalException):
        one.image.chtype(image, "NOSUCH")


def test_persistent(one, image):
    assert one.image.persistent(image, True) == image
    assert one.image.info(image).PERSISTENT == 1
    assert one.image.persistent(image, False) == image
    assert one.image.info(image).PERSISTENT == 0


def test_enable(one, image):
    assert one.image.enable(image, False) == image
    assert one.image.info(image).STATE == IMAGE_STATES.DISABLED
    assert one.image.enable(image, True) == image
    assert one.image.info(image).STATE == IMAGE_STATES.READY


def test_clone(one, image):
    copy = ready(one, one.image.clone(image, "the-copy", -1))
    assert copy != image
    body = one.image.info(copy)
    assert (body.NAME, body.SIZE) == ("the-copy", 16)
    ready(one, image)
    assert one.image.info(image).CLONING_OPS == 0
    with pytest.raises(pyone.OneException):
        one.image.clone(image, "the-copy", -1)


def test_images_of_a_vm_stay(one, image):
    vm = one.vm.allocate(cloud.VM.format("holder") + f'\nDISK=[IMAGE_ID="{image}"]', True)
    body = one.image.info(image)
    assert (body.STATE, body.RUNNING_VMS, list(body.VMS.ID)) == (IMAGE_STATES.USED, 1, [vm])
    with pytest.raises(pyone.OneActionException):
        one.image.delete(image)
    one.vm.action("terminate", vm)
    cloud.eventually(lambda: one.image.info(image).STATE, lambda state: state == IMAGE_STATES.READY, "image back")


def test_allocate_needs_an_image_datastore(one):
    with pytest.raises(pyone.OneException):
        one.image.allocate(cloud.IMAGE.format("in-system"), 0)
    with pytest.raises(pyone.OneNoExistsException):
        one.image.allocate(cloud.IMAGE.format("nowhere"), 98765)


def test_image_of_a_file_boots_on_a_dummy_host(one, server, datastore):
    """A dummy datastore says FORMAT dummy_format for an image of a PATH, and VMs of it run (recorded)."""
    made = cloud.cloud_make(Session(server), prefix="boots", hosts=1)
    image = ready(one, one.image.allocate('NAME="of-a-file"\nTYPE="OS"\nPATH="/etc/hostname"', datastore))
    vm = one.vm.allocate(cloud.VM.format("boots") + f'\nDISK=[IMAGE_ID="{image}"]', True)
    one.vm.deploy(vm, made.hosts[0], False, made.system_ds, "")
    body = cloud.eventually(lambda: one.vm.info(vm), lambda body: body.LCM_STATE in (3, 36, 39), "an end of the boot")
    assert body.LCM_STATE == 3, body.USER_TEMPLATE.get("ERROR")


def test_snapshots_of_images(one, server):
    """Those that a persistent image has from the disk of a VM."""
    made = cloud.cloud_make(Session(server))
    image = one.image.allocate('NAME="snap-home"\nPATH="/data"\nPERSISTENT="YES"\nTYPE="DATABLOCK"', made.image_ds)
    ready = lambda: cloud.eventually(lambda: one.image.info(image), lambda body: body.STATE == 1, "the image to be READY")
    ready()
    vm = one.vm.allocate(f'NAME="snap-vm"\nCPU="0.1"\nMEMORY="64"\nDISK=[IMAGE_ID="{image}"]')
    phase = lambda lcm: cloud.eventually(lambda: one.vm.info(vm), lambda body: body.LCM_STATE == lcm, "the VM")
    phase(3)
    for name in ("first", "second", "third"):
        one.vm.disksnapshotcreate(vm, 0, name)
        phase(3)
    with pytest.raises(pyone.OneActionException, match="READY"):
        one.image.snapshotrevert(image, 0)
    one.vm.action("terminate-hard", vm)
    ids = lambda body: [snapshot.ID for snapshot in body.SNAPSHOTS.SNAPSHOT]
    assert ids(ready()) == [0, 1, 2]
    with pytest.raises(pyone.OneActionException, match="no snapshot 7"):
        one.image.snapshotdelete(image, 7)
    for refused, snapshot in ((one.image.snapshotdelete, 2), (one.image.snapshotdelete, 0), (one.image.snapshotrevert, 2)):
        with pytest.raises(pyone.OneActionException, match=f"Snapshot {snapshot} of image {image} cannot be"):
            refused(image, snapshot)
    assert one.image.snapshotrevert(image, 1) == image
    active = [snapshot.ID for snapshot in ready().SNAPSHOTS.SNAPSHOT if snapshot.ACTIVE == "YES"]
    assert active == [1]
    assert one.image.snapshotdelete(image, 2) == image
    assert ids(ready()) == [0, 1]
    assert one.image.snapshotflatten(image, 0) == image
    assert ids(ready()) == []
    one.image.delete(image)

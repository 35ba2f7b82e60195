"""File images: on the CONTEXT disk, and as a kernel that is booted without a boot disk."""

import pytest
from cloud import STORAGES
from lab import GUEST_PLACE
from layout import names, nothing_check

FILES_DATASTORE = "2"
NOTE = "a note for the guest's ears, with 'quotes'\n"


def file_image(cloud, name, kind, path):
    """A file image made of a file on the front-end."""
    line = ["oneimage", "create", "--name", name, "--type", kind, "--path", path, "-d", FILES_DATASTORE]
    identifier = cloud.identifier(line)
    cloud.image_wait(identifier, name)
    return identifier


@pytest.fixture(scope="module")
def files(cloud):
    """Ids of a note, a kernel and an initial RAM disk."""
    note = "/var/tmp/note.txt"
    cloud.lab.front_end.run(["tee", note], user="oneadmin", input=NOTE)
    made = {
        "note": file_image(cloud, "note of the day.txt", "CONTEXT", note),
        "kernel": file_image(cloud, "kernel", "KERNEL", f"{GUEST_PLACE}/vmlinuz"),
        "initrd": file_image(cloud, "initrd", "RAMDISK", f"{GUEST_PLACE}/initrd.gz"),
    }
    yield made
    for identifier in made.values():
        cloud.fe(f"oneimage delete {identifier}")


def template_with_files(cloud, files, disk, host):
    text = cloud.vm_template(disks=[disk], host=host)
    return text.replace("CONTEXT = [", f'CONTEXT = [ FILES_DS = "$FILE[IMAGE_ID={files["note"]}]",')


@pytest.mark.parametrize("host", [1, 2])
def test_files_on_the_context_disk(cloud, files, host):
    disk = f"IMAGE_ID = {cloud.os_image(STORAGES['ssh'])}"
    vm = cloud.vm_of(template_with_files(cloud, files, disk, host)).running().guest_wait()
    shown = vm.guest("mkdir -p /tmp/cd && mount -t iso9660 -o ro /dev/sr0 /tmp/cd && ls /tmp/cd && cat '/tmp/cd/note of the day.txt'")
    assert shown.splitlines()[:2] == ["context.sh", "note of the day.txt"]
    assert shown.endswith(NOTE)
    assert "context.files" not in names(vm.directory(vm.host()))
    vm.terminate()
    nothing_check(vm)


def test_a_kernel_from_the_files_datastore(cloud, files):
    """The disk is empty: what runs is the kernel that the front-end brought."""
    boot = f"""OS = [ KERNEL_DS = "$FILE[IMAGE_ID={files['kernel']}]", INITRD_DS = "$FILE[IMAGE_ID={files['initrd']}]",
       KERNEL_CMD = "console=ttyS0,115200 quiet net.ifnames=0 panic=10 booted=directly" ]
"""
    text = cloud.vm_template(disks=["TYPE = fs, SIZE = 8, DEV_PREFIX = vd"], host=3, extra=boot)
    vm = cloud.vm_of(text).running().guest_wait()
    assert "booted=directly" in vm.guest("cat /proc/cmdline")
    assert {"kernel", "initrd"} <= set(names(vm.directory(vm.host())))
    vm.act("undeploy --hard", "UNDEPLOYED")
    vm.act("resume", "RUNNING")
    vm.guest_wait()
    vm.terminate()
    nothing_check(vm)

"""What a VM's files must look like on disk: names, links, formats, owners."""

import hashlib
import os
import stat
import struct

from cloud import at_front_end
from node import HOME, USER_ID

# Where an ISO 9660 image has its volume label, and how long it is.
LABEL_OFFSET, LABEL_LENGTH = 32808, 32
QCOW2_MAGIC = b"QFI\xfb"
MARKER_OFFSET = 4 * 1024 * 1024


def checksum(path):
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def names(directory):
    """Names in a directory; none if it is not there."""
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def resolve(node, directory, name):
    """Follows a link of the node by its text, as the test process sees other paths than the node."""
    path = directory / name
    for _ in range(8):
        if not path.is_symlink():
            return path
        text = os.readlink(path)
        if text.startswith("/"):
            parts = text.removeprefix(f"{HOME}/datastores/").split("/")
            path = node.lab.shared(parts[0]).joinpath(*parts[1:])
        else:
            path = path.parent / text
    raise AssertionError(f"{directory / name} leads through too many links")


def format_of(path):
    """raw or qcow2, by the file's head."""
    with path.open("rb") as file:
        return "qcow2" if file.read(4) == QCOW2_MAGIC else "raw"


def backing_of(path):
    """Backing file that a qcow2 file names, or nothing."""
    with path.open("rb") as file:
        head = file.read(20)
        offset, length = struct.unpack(">QI", head[8:20])
        file.seek(offset)
        return file.read(length).decode() if offset else ""


def owned_check(path):
    """Files belong to oneadmin; others have no business with disks."""
    status = path.lstat()
    assert status.st_uid == USER_ID, f"{path} belongs to user {status.st_uid}"
    if stat.S_ISREG(status.st_mode):
        assert status.st_mode & 0o007 == 0, f"{path} is open to others: {stat.filemode(status.st_mode)}"


def disk_check(vm, node, directory, number, image, persistent):
    """One disk with an image: of the right format, a link where the image itself is used, else a file of its own."""
    source = vm.lab.show("image", image).findtext("SOURCE")
    path = directory / f"disk.{number}"
    assert path.is_symlink() or path.exists(), f"{path} is missing; there are {names(directory)}"
    target = resolve(node, directory, path.name)
    owned_check(target)
    assert format_of(target) == vm.storage.format
    at_home = vm.cloud.image_file(vm.storage, image)
    if vm.storage.name == "ssh":
        assert not path.is_symlink() and path.stat().st_ino != at_home.stat().st_ino
    elif persistent:
        kept = f"{source}.snap/0" if vm.storage.format == "qcow2" else source
        assert os.readlink(path) == kept, f"{path} does not lead to {kept} although its image is persistent"
        assert target.samefile(at_home), f"{path} leads to {target}, not to {source}"
    else:
        assert not target.samefile(at_home), f"{path} is the image itself although that is not persistent"
        if vm.storage.format == "qcow2":
            assert os.readlink(path) == f"{path.name}.snap/0"
            assert os.readlink(directory / f"{path.name}.snap/{path.name}.snap") == "."
            assert backing_of(target) == source


def context_check(directory, number):
    """The context disk: an ISO image labelled CONTEXT."""
    with (directory / f"disk.{number}").open("rb") as file:
        file.seek(LABEL_OFFSET)
        assert file.read(LABEL_LENGTH).decode().strip() == "CONTEXT"


def directory_check(vm, node, images, persistent):
    """The VM's directory where it is: disks of `images`, the context disk after them, the records."""
    directory = vm.directory(node)
    for number, image in enumerate(images):
        disk_check(vm, node, directory, number, image, persistent)
    context_check(directory, len(images))
    for name in ("vm.xml", "ds.xml"):
        owned_check(directory / name)
    deployments = [name for name in names(directory) if name.startswith("deployment.")]
    assert deployments, f"no deployment file among {names(directory)}"


def nothing_check(vm):
    """After its end a VM has left nothing, on any node."""
    for node in vm.lab.nodes:
        assert not vm.directory(node).exists(), f"{node.name} still has {names(vm.directory(node))}"
    for host in vm.lab.hosts:
        assert vm.domain not in host.domains(), f"{host.name} still has the domain"
    assert vm.qemus() == []


def marker_in(path, marker):
    """Whether the data of a disk file, raw or qcow2, hold the marker."""
    return marker.encode() in path.read_bytes()


def front_end_files(lab, vm):
    """Names in the front-end's directory of a VM."""
    return names(at_front_end(lab, f"{HOME}/vms/{vm.id}"))

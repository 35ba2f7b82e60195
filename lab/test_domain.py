"""Attributes of VMs on real guests: what libvirt's description of the running domain says, and what the guest sees of it."""

from xml.etree import ElementTree

import pytest
from cloud import STORAGES

MACHINE = """VCPU = 2
OS = [ MACHINE = "pc", BOOT = "disk0,nic0" ]
CPU_MODEL = [ MODEL = "Nehalem", FEATURES = "pclmuldq,movbe" ]
TOPOLOGY = [ SOCKETS = 1, CORES = 2, THREADS = 1 ]
FEATURES = [ ACPI = YES, APIC = YES, PAE = YES, LOCALTIME = YES, GUEST_AGENT = YES, IOTHREADS = 2, VIRTIO_SCSI_QUEUES = 2 ]
GRAPHICS = [ TYPE = VNC, LISTEN = 127.0.0.1, PASSWD = "letmein", KEYMAP = "de" ]
VIDEO = [ TYPE = vga, VRAM = 32768 ]
INPUT = [ TYPE = tablet, BUS = usb ]
INPUT = [ TYPE = keyboard, BUS = usb ]
RAW = [ TYPE = kvm, DATA = "<devices><watchdog model='i6300esb' action='none'/></devices>" ]
"""
# Paths in the description of the running domain, and what is there.
MACHINE_SEEN = {
    "vcpu": "2",
    "iothreads": "2",
    "os/type[@arch='x86_64']": "hvm",
    "devices/disk/boot/@order": "1",
    "devices/interface/boot/@order": "2",
    "cpu/model": "Nehalem",
    "cpu/topology/@cores": "2",
    "cpu/feature[@name='movbe']/@policy": "require",
    "clock/@offset": "localtime",
    "devices/graphics/@keymap": "de",
    "devices/graphics/@listen": "127.0.0.1",
    "devices/video/model/@type": "vga",
    "devices/video/model/@vram": "32768",
    "devices/input[@type='tablet']/@bus": "usb",
    "devices/input[@type='keyboard'][@bus='usb']/@type": "keyboard",
    "devices/watchdog/@model": "i6300esb",
    "devices/controller[@model='virtio-scsi']/driver/@queues": "2",
    "devices/channel/target[@name='org.qemu.guest_agent.0']/@type": "virtio",
}
BOOT_DISK = {
    "DEV_PREFIX": "vd", "CACHE": "writeback", "IO": "threads", "DISCARD": "unmap", "SERIAL": "PL-4711", "ORDER": "1",
    "IOTHREAD": "1", "VIRTIO_BLK_QUEUES": "2", "READ_BYTES_SEC": "83886080", "READ_BYTES_SEC_MAX": "167772160",
    "READ_BYTES_SEC_MAX_LENGTH": "2", "WRITE_IOPS_SEC": "4000", "WRITE_IOPS_SEC_MAX": "8000", "WRITE_IOPS_SEC_MAX_LENGTH": "2",
    "SIZE_IOPS_SEC": "4096",
}  # fmt: skip
BOOT_DISK_SEEN = {
    "driver/@cache": "writeback",
    "driver/@io": "threads",
    "driver/@discard": "unmap",
    "driver/@iothread": "1",
    "driver/@queues": "2",
    "serial": "PL-4711",
    "boot/@order": "1",
    "target/@bus": "virtio",
    "iotune/read_bytes_sec": "83886080",
    "iotune/read_bytes_sec_max": "167772160",
    "iotune/read_bytes_sec_max_length": "2",
    "iotune/write_iops_sec": "4000",
    "iotune/write_iops_sec_max": "8000",
    "iotune/write_iops_sec_max_length": "2",
    "iotune/size_iops_sec": "4096",
}
SCSI_DISK = 'TYPE = fs, SIZE = 16, FORMAT = raw, DEV_PREFIX = sd, CACHE = none, IO = native, TOTAL_IOPS_SEC = 500, TOTAL_BYTES_SEC = 9000000'
SCSI_DISK_SEEN = {
    "target/@bus": "scsi",
    "driver/@cache": "none",
    "driver/@io": "native",
    "iotune/total_iops_sec": "500",
    "iotune/total_bytes_sec": "9000000",
}


def live(vm):
    """libvirt's description of the running domain, with its secrets."""
    node = vm.host()
    return ElementTree.fromstring(node.out(["virsh", "-c", "qemu:///system", "dumpxml", "--security-info", vm.domain]))


def at(element, path):
    """The text or the attribute at a path; nothing if there is none."""
    path, _, attribute = path.partition("/@")
    found = element.find(path)
    return None if found is None else found.get(attribute) if attribute else found.text


def differences(element, seen):
    """What is not as it should be."""
    return {path: (wanted, at(element, path)) for path, wanted in seen.items() if at(element, path) != wanted}


def disk_of(domain, number):
    """The disk of a number, by the name of its file."""
    return next(disk for disk in domain.findall("devices/disk") if disk.find("source").get("file").endswith(f"/disk.{number}"))


@pytest.mark.seconds(240)
def test_processors_firmware_and_screen(cloud):
    template = cloud.vm_template(disks=[f"IMAGE_ID = {cloud.os_image(STORAGES['ssh'])}"])
    usual = next(line for line in template.splitlines() if line.startswith("GRAPHICS"))
    vm = cloud.vm_of(template.replace(usual, MACHINE)).running().guest_wait()
    domain = live(vm)
    assert differences(domain, MACHINE_SEEN) == {}
    assert at(domain, "os/type/@machine").startswith("pc-i440fx")
    assert at(domain, "devices/graphics/@passwd") == "letmein"
    assert vm.guest("nproc") == "2\n"
    # The one that the VM got when it was made.
    assert vm.guest("cat /sys/class/dmi/id/product_uuid").strip().lower() == vm.xml().findtext("TEMPLATE/OS/UUID")
    assert " movbe " in vm.guest("cat /proc/cpuinfo")


@pytest.mark.seconds(240)
def test_disks_and_nics(cloud):
    words = ", ".join(f'{name} = "{value}"' for name, value in BOOT_DISK.items())
    disks = [f"IMAGE_ID = {cloud.os_image(STORAGES['ssh'])}, {words}", SCSI_DISK]
    nics = f"""FEATURES = [ IOTHREADS = 2 ]
NIC = [ NETWORK_ID = {cloud.network}, MODEL = e1000 ]
"""
    template = cloud.vm_template(disks=disks, extra=nics)
    vm = cloud.vm_of(template.replace("NIC = [ ", "NIC = [ MODEL = virtio, VIRTIO_QUEUES = 2, ", 1)).running().guest_wait()
    domain = live(vm)
    assert differences(disk_of(domain, 0), BOOT_DISK_SEEN) == {}
    assert differences(disk_of(domain, 1), SCSI_DISK_SEEN) == {}
    models = {at(nic, "mac/@address"): at(nic, "model/@type") for nic in domain.findall("devices/interface")}
    macs = [nic.findtext("MAC") for nic in vm.xml().findall("TEMPLATE/NIC")]
    assert [models[mac] for mac in macs] == ["virtio", "e1000"]
    assert at(domain, "devices/interface/driver/@queues") == "2"
    assert vm.guest("cat /sys/block/vda/serial") == "PL-4711"
    assert vm.guest("cat /sys/block/sda/size") == f"{16 * 2048}\n"
    drivers = vm.guest("for card in eth0 eth1; do basename $(readlink /sys/class/net/$card/device/driver); done")
    assert drivers.split() == ["virtio_net", "e1000"]

"""Hosts and the network: what is monitored, who reaches whom, whose key is trusted."""

import re

from cloud import BRIDGE, HOST_ERROR, STORAGES

# Time from the creation of a host to its refusal.
REFUSED_SECONDS = 30
SWAP_MAGIC, SWAP_MAGIC_OFFSET = "SWAPSPACE2", 4096 - 10


def test_hosts_are_monitored(cloud):
    for number, node in enumerate(cloud.lab.hosts):
        host = cloud.lab.show("host", number)
        assert host.findtext("NAME") == node.name
        assert int(host.findtext("STATE")) == 2
        assert host.findtext("TEMPLATE/HOSTNAME") == node.name
        assert int(host.findtext("HOST_SHARE/TOTAL_CPU")) > 0
        assert int(host.findtext("HOST_SHARE/TOTAL_MEM")) > 0
        assert host.findtext("TEMPLATE/ERROR") is None


def test_guests_on_two_hosts_reach_each_other(cloud):
    """Also: the context arrives, and volatile disks are what was asked for."""
    image = cloud.os_image(STORAGES["ssh"])
    volatile = ["TYPE = fs, FS = ext4, SIZE = 16, DEV_PREFIX = vd", "TYPE = swap, SIZE = 8, DEV_PREFIX = vd"]
    first = cloud.vm_make(disks=[f"IMAGE_ID = {image}", *volatile], host=1)
    second = cloud.vm_make(host=2)
    for vm in (first, second):
        vm.running().guest_wait()
    assert [first.host(), second.host()] == [cloud.lab.node(1), cloud.lab.node(2)]
    for vm, other in ((first, second), (second, first)):
        vm.guest(f"ping -c 3 -W 2 {other.address}")
        context_arrived(vm)
    volatile_arrived(first)
    bridge_made(first.host())
    for vm in (first, second):
        vm.act("terminate", "DONE")


def context_arrived(vm):
    """Name, address and key: the key by which `guest` got in at all."""
    assert vm.guest("hostname").strip() == vm.domain
    assert re.search(rf"inet {vm.address}/24 ", vm.guest("ip -4 address show dev eth0"))
    assert vm.cloud.key in vm.guest("cat /root/.ssh/authorized_keys")


def volatile_arrived(vm):
    """An ext4 file system of 16 MiB on vdb, a swap area of 8 MiB on vdc."""
    assert vm.guest("cat /sys/block/vdb/size /sys/block/vdc/size").split() == ["32768", "16384"]
    assert vm.guest("dd if=/dev/vdb bs=1 skip=1080 count=2 2>/dev/null | hexdump -ve '1/1 \"%02x\"'") == "53ef"
    swap = vm.guest(f"dd if=/dev/vdc bs=1 skip={SWAP_MAGIC_OFFSET} count={len(SWAP_MAGIC)} 2>/dev/null")
    assert swap == SWAP_MAGIC


def bridge_made(node):
    """The bridge holds the physical card and the guest's tap."""
    ports = node.out(["ls", f"/sys/class/net/{BRIDGE}/brif"]).split()
    assert "eth1" in ports and len(ports) == 2, ports


def test_a_changed_host_key_is_refused(cloud):
    """The front-end knows another key for that name than the host has."""
    lab = cloud.lab
    node, known = lab.node(3), lab.node(1)
    key = (known.directory / "config/host_key.pub").read_text().split()
    lab.front_end.run(["tee", "-a", "/etc/hosts"], input=f"{node.address} impostor\n")
    lab.front_end.run(["tee", "-a", "/var/lib/one/.ssh/known_hosts"], input=f"impostor {key[0]} {key[1]}\n")
    identifier = cloud.identifier("onehost create impostor -i kvm -v qemu")
    host = cloud.host_wait(identifier + 1, HOST_ERROR, REFUSED_SECONDS)
    error = host.findtext("TEMPLATE/ERROR")
    assert "host key" in error.lower() and "impostor" in error and "known_hosts" in error, error
    shown = cloud.fe(f"onehost show {identifier}")
    assert "Host key verification failed" in shown, shown
    cloud.fe(f"onehost delete {identifier}")

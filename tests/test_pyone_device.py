"""pyone and the command line: devices of VMs come, go and change."""

import pyone
import pytest
from pyone import LCM_STATE, VM_STATE

from harness import cloud
from harness.cli import plerion
from harness.rpc import Session


@pytest.fixture(scope="module")
def made(server):
    """Dummy hosts and what a VM needs."""
    return cloud.cloud_make(Session(server), "d", hosts=1)


def await_phase(one, vm, state, lcm=LCM_STATE.LCM_INIT):
    def phase():
        body = one.vm.info(vm)
        return VM_STATE(body.STATE), LCM_STATE(body.LCM_STATE)

    cloud.eventually(phase, lambda seen: seen == (state, lcm), f"VM {vm} to {state} {lcm}")


def running(one, made, name):
    vm = one.template.instantiate(made.template, name, True)
    one.vm.deploy(vm, made.hosts[0])
    await_phase(one, vm, VM_STATE.ACTIVE, LCM_STATE.RUNNING)
    return vm


def settled(one, vm):
    """The VM's template once it runs (again)."""
    await_phase(one, vm, VM_STATE.ACTIVE, LCM_STATE.RUNNING)
    return one.vm.info(vm).TEMPLATE


def vectors(template, name):
    found = template.get(name, [])
    return found if isinstance(found, list) else [found]


def test_nics_and_aliases(one, server, made):
    vm = running(one, made, "d-nics")
    assert one.vm.attachnic(vm, f'NIC=[NETWORK_ID="{made.vnet}"]') == vm
    nics = vectors(settled(one, vm), "NIC")
    assert [nic["NAME"] for nic in nics] == ["NIC0", "NIC1"]
    assert one.vn.info(made.vnet).USED_LEASES == 2
    plerion(server, "onevm", "nic-attach", str(vm), "--network", str(made.vnet), "--alias", "NIC0")
    aliases = vectors(settled(one, vm), "NIC_ALIAS")
    assert [(alias["NAME"], alias["PARENT_ID"], alias["ALIAS_ID"]) for alias in aliases] == [("NIC0_ALIAS2", "0", "0")]
    assert one.vm.updatenic(vm, 1, 'NIC=[INBOUND_AVG_BW="1000"]', 1) == vm
    assert vectors(settled(one, vm), "NIC")[1]["INBOUND_AVG_BW"] == "1000"
    plerion(server, "onevm", "nic-detach", str(vm), "0")
    template = settled(one, vm)
    assert [nic["NIC_ID"] for nic in vectors(template, "NIC")] == ["1"]
    assert vectors(template, "NIC_ALIAS") == []
    assert one.vn.info(made.vnet).USED_LEASES == 1
    history = [record.ACTION for record in one.vm.info(vm).HISTORY_RECORDS.HISTORY]
    assert history == [23, 46, 51, 24, 0]
    with pytest.raises(pyone.OneActionException, match="Could not detach NIC with NIC_ID 9, it does not exist."):
        one.vm.detachnic(vm, 9)
    one.vm.action("terminate-hard", vm)
    cloud.eventually(lambda: one.vn.info(made.vnet).USED_LEASES, lambda used: used == 0, "the leases back")


def test_security_groups(one, server, made):
    group = one.secgroup.allocate('NAME="d-web"\nRULE=[PROTOCOL="TCP",RULE_TYPE="INBOUND",RANGE="80"]')
    vm = running(one, made, "d-groups")
    assert one.vm.attachsg(vm, 0, group) == vm
    assert vectors(one.vm.info(vm).TEMPLATE, "NIC")[0]["SECURITY_GROUPS"] == f"0,{group}"
    assert one.secgroup.info(group).UPDATED_VMS.ID == [vm]
    with pytest.raises(pyone.OneActionException, match=f"VM {vm} SG {group} already in NIC 0"):
        one.vm.attachsg(vm, 0, group)
    plerion(server, "onevm", "sg-detach", str(vm), "0", str(group))
    assert vectors(one.vm.info(vm).TEMPLATE, "NIC")[0]["SECURITY_GROUPS"] == "0"
    one.vm.action("terminate-hard", vm)


def test_disks(one, server, made):
    data = one.image.allocate('NAME="d-data"\nPATH="/data"\nPERSISTENT="YES"\nTYPE="DATABLOCK"', made.image_ds)
    cloud.state_await(Session(server), "image.info", data, 1)
    vm = running(one, made, "d-disks")
    assert one.vm.attach(vm, f'DISK=[IMAGE_ID="{data}"]') == vm
    disk = vectors(settled(one, vm), "DISK")[-1]
    assert (disk["IMAGE_ID"], disk["SAVE"], disk["CLONE"]) == (str(data), "YES", "NO")
    assert (one.image.info(data).STATE, one.image.info(data).VMS.ID) == (8, [vm])
    with pytest.raises(pyone.OneActionException, match="in use by VM"):
        one.vm.attach(vm, f'DISK=[IMAGE_ID="{data}"]')
    plerion(server, "onevm", "disk-detach", str(vm), disk["DISK_ID"])
    settled(one, vm)
    assert one.image.info(data).STATE == 1
    one.vm.action("poweroff-hard", vm)
    await_phase(one, vm, VM_STATE.POWEROFF)
    plerion(server, "onevm", "disk-attach", str(vm), "--image", str(data))
    await_phase(one, vm, VM_STATE.POWEROFF)
    assert [record.ACTION for record in one.vm.info(vm).HISTORY_RECORDS.HISTORY] == [21, 22, 21, 20]
    one.vm.action("terminate-hard", vm)
    cloud.eventually(lambda: one.image.info(data).STATE, lambda state: state == 1, "the image back")


def test_disk_snapshots_and_sizes(one, server, made):
    vm = running(one, made, "d-snapshots")
    assert one.vm.disksnapshotcreate(vm, 0, "first") == 0
    settled(one, vm)
    plerion(server, "onevm", "disk-snapshot-create", str(vm), "0", "second")
    settled(one, vm)
    (tree,) = one.vm.info(vm).SNAPSHOTS
    assert (tree.DISK_ID, tree.NEXT_SNAPSHOT, tree.CURRENT_BASE) == (0, 2, -1)
    assert [(s.ID, s.NAME, s.PARENT, s.CHILDREN, s.ACTIVE) for s in tree.SNAPSHOT] == [
        (0, "first", -1, "1", None),
        (1, "second", 0, None, "YES"),
    ]
    plerion(server, "onevm", "disk-snapshot-rename", str(vm), "0", "0", "renamed")
    assert "renamed" in plerion(server, "onevm", "disk-snapshot-list", str(vm), "0")
    plerion(server, "onevm", "disk-snapshot-delete", str(vm), "0", "0")
    settled(one, vm)
    one.vm.action("poweroff-hard", vm)
    await_phase(one, vm, VM_STATE.POWEROFF)
    assert one.vm.disksnapshotrevert(vm, 0, 1) == vm
    await_phase(one, vm, VM_STATE.POWEROFF)
    with pytest.raises(pyone.OneActionException, match="Snapshot does not exist"):
        one.vm.disksnapshotdelete(vm, 0, 9)
    assert one.vm.disksnapshotdelete(vm, 0, 1) == vm
    await_phase(one, vm, VM_STATE.POWEROFF)
    plerion(server, "onevm", "disk-resize", str(vm), "0", "2048")
    await_phase(one, vm, VM_STATE.POWEROFF)
    assert vectors(one.vm.info(vm).TEMPLATE, "DISK")[0]["SIZE"] == "2048"
    with pytest.raises(pyone.OneActionException, match="New disk size has to be greater than current one"):
        one.vm.diskresize(vm, 0, "2048")
    one.vm.action("terminate-hard", vm)


def test_snapshots(one, server, made):
    vm = running(one, made, "d-machine")
    assert one.vm.snapshotcreate(vm, "s") == 0
    (snapshot,) = vectors(settled(one, vm), "SNAPSHOT")
    assert (snapshot["NAME"], snapshot["HYPERVISOR_ID"]) == ("s", "dummy-snap")
    plerion(server, "onevm", "snapshot-revert", str(vm), "0")
    settled(one, vm)
    said = plerion(server, "onevm", "snapshot-revert", str(vm), "77", status=255)
    assert f"[one.vm.snapshotrevert] Could not revert VM {vm} to snapshot 77, it does not exist." in said
    plerion(server, "onevm", "snapshot-delete", str(vm), "0")
    assert vectors(settled(one, vm), "SNAPSHOT") == []
    one.vm.action("terminate-hard", vm)


def test_disks_become_images(one, server, made):
    vm = running(one, made, "d-saved")
    said = plerion(server, "onevm", "disk-saveas", str(vm), "0", "d-saved-1")
    image = int(said.split()[-1])
    settled(one, vm)
    body = one.image.info(image)
    assert (body.NAME, body.STATE, body.DATASTORE_ID) == ("d-saved-1", 1, made.image_ds)
    with pytest.raises(pyone.OneException, match="already taken"):
        one.vm.disksaveas(vm, 0, "d-saved-1", "", -1)
    one.vm.action("terminate-hard", vm)


def test_what_came_goes(one, made):
    """Groups, disks and snapshots are taken off again by pyone itself."""
    vm = running(one, made, "d-again")
    group = one.secgroup.allocate('NAME="d-ssh"\nRULE=[PROTOCOL="TCP",RULE_TYPE="INBOUND",RANGE="22"]')
    one.vm.attachsg(vm, 0, group)
    assert one.vm.detachsg(vm, 0, group) == vm
    assert vectors(one.vm.info(vm).TEMPLATE, "NIC")[0]["SECURITY_GROUPS"] == "0"
    one.vm.attach(vm, 'DISK=[TYPE="fs",SIZE="10",FORMAT="raw"]')
    disk = vectors(settled(one, vm), "DISK")[-1]["DISK_ID"]
    assert one.vm.detach(vm, int(disk)) == vm
    assert disk not in [found["DISK_ID"] for found in vectors(settled(one, vm), "DISK")]
    one.vm.disksnapshotcreate(vm, 0, "first")
    settled(one, vm)
    assert one.vm.disksnapshotrename(vm, 0, 0, "renamed") == vm
    assert one.vm.info(vm).SNAPSHOTS[0].SNAPSHOT[0].NAME == "renamed"
    one.vm.snapshotcreate(vm, "s")
    settled(one, vm)
    assert one.vm.snapshotrevert(vm, 0) == vm
    settled(one, vm)
    assert one.vm.snapshotdelete(vm, 0) == vm
    assert vectors(settled(one, vm), "SNAPSHOT") == []
    one.vm.action("terminate-hard", vm)


def test_commands_in_guests(one, made):
    """What dummy hosts run never ends by itself (recorded)."""
    vm = running(one, made, "d-commands")
    for call, words in ((one.vm.retryexec, "no command"), (one.vm.cancelexec, "none is executing")):
        with pytest.raises(pyone.OneActionException, match=words):
            call(vm)
    assert one.vm.exec(vm, "ls", "") == vm
    (said,) = vectors(settled(one, vm), "QEMU_GA_EXEC")
    assert said == {"COMMAND": "ls", "STATUS": "EXECUTING", "STDIN": None}
    with pytest.raises(pyone.OneActionException, match="another one is executing"):
        one.vm.exec(vm, "ls", "")
    assert one.vm.cancelexec(vm) == vm
    (said,) = vectors(settled(one, vm), "QEMU_GA_EXEC")
    assert said["STATUS"] == "CANCELLED"
    assert one.vm.retryexec(vm) == vm
    (said,) = vectors(settled(one, vm), "QEMU_GA_EXEC")
    assert (said["COMMAND"], said["STATUS"]) == ("ls", "EXECUTING")
    one.vm.action("terminate-hard", vm)


def test_pci_devices(one, server, made):
    host = made.hosts[0]
    assert one.host.update(host, 'PCI=[SHORT_ADDRESS="01:00.0",VENDOR="10de",DEVICE="1db6",CLASS="0302"]', 1) == host
    vm = running(one, made, "d-pci")
    with pytest.raises(pyone.OneActionException, match="wrong state RUNNING"):
        one.vm.attachpci(vm, 'PCI=[VENDOR="10de"]')
    one.vm.action("poweroff-hard", vm)
    await_phase(one, vm, VM_STATE.POWEROFF)
    assert one.vm.attachpci(vm, 'PCI=[VENDOR="10de"]') == vm
    assert vectors(one.vm.info(vm).TEMPLATE, "PCI")[0]["ADDRESS"] == "0000:01:00:0"

    def holder():
        (device,) = one.host.info(host).HOST_SHARE.PCI_DEVICES.PCI
        return device.VMID

    # The bodies of hosts are cached.
    assert (holder(), [body.HOST_SHARE.PCI_DEVICES.PCI[0].VMID for body in one.hostpool.info().HOST if body.ID == host]) == (vm, [vm])
    with pytest.raises(pyone.OneActionException, match="is free"):
        one.vm.attachpci(vm, 'PCI=[VENDOR="10de"]')
    assert one.vm.detachpci(vm, 0) == vm
    assert (holder(), [body.HOST_SHARE.PCI_DEVICES.PCI[0].VMID for body in one.hostpool.info().HOST if body.ID == host]) == (-1, [-1])
    plerion(server, "onevm", "pci-attach", str(vm), "--pci", "01:00.0")
    assert holder() == vm
    plerion(server, "onevm", "pci-detach", str(vm), "0")
    with pytest.raises(pyone.OneActionException, match="no PCI device"):
        one.vm.detachpci(vm, 0)

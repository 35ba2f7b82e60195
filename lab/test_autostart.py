"""VMs that come back by themselves: after a power cut of everything, after a host was shut down; and those that must not."""

import time

import pytest
from cloud import VM_SECONDS
from lab import wait_until

VMS = 10
LAST = 3
# Time for all to run again, also on a busy machine.
BACK_SECONDS = 180
STOP_SECONDS = 60
# In the place of systemd, which does not run in these nodes: what it says while the machine shuts down.
STOPPING = "#!/bin/sh\n[ \"$*\" = is-system-running ] && echo stopping\nexit 1\n"


def started(vm):
    """When the one QEMU of a VM was started, in ticks of the kernel that all nodes share; None if there is not just one."""
    found = vm.qemus()
    if len(found) != 1:
        return None
    node, pid = found[0]
    status = node.run(["cat", f"/proc/{pid}/stat"], check=False).stdout
    return int(status.rpartition(")")[2].split()[19]) if status else None


def idle(cloud, host, extra):
    """A VM whose disk has nothing that boots: the machine is left to the guests that are waited for."""
    return cloud.vm_make(host=host, disks=["TYPE = fs, SIZE = 8, FORMAT = raw"], extra=extra)


def all_run(lab, vms):
    """Whether their domains are there and the front-end knows: until it has reached the hosts it says what was."""
    domains = {name for node in lab.hosts for name in node.domains()}
    return all(vm.domain in domains for vm in vms) and all(vm.state() == "RUNNING" for vm in vms)


def states(vms):
    return ", ".join(f"{vm.id}: {vm.state()}" for vm in vms)


@pytest.mark.seconds(600)
def test_everything_loses_power_and_what_ran_runs_again(cloud):
    lab = cloud.lab
    first = [cloud.vm_make(host=host, extra="AUTOSTART = yes\nAUTOSTART_ORDER = 1") for host in (1, 2)]
    others = [idle(cloud, n % 3 + 1, "AUTOSTART = true") for n in range(VMS - len(first) - LAST)]
    last = [idle(cloud, n + 1, f"AUTOSTART = yes\nAUTOSTART_AFTER = {others[0].id}") for n in range(LAST)]
    wanted = [*first, *others, *last]
    unwanted = idle(cloud, 1, "")
    switched_off = idle(cloud, 2, "AUTOSTART = yes")
    locked = others[-1]
    for vm in [*wanted, unwanted, switched_off]:
        vm.running()
    switched_off.act("poweroff --hard", "POWEROFF")
    cloud.fe(f"onevm lock {locked.id}")

    lab.power_cut(lab.nodes)
    began = time.monotonic()
    lab.power_on(lab.nodes)
    up = time.monotonic()
    wait_until(BACK_SECONDS, lambda: all_run(lab, wanted), lambda: f"not all run again: {states(wanted)}")
    took = time.monotonic()
    # Whatever comes of the rest, it can be taken away.
    cloud.fe(f"onevm unlock {locked.id}")
    print(
        f"\n{len(wanted)} VMs on {len(lab.hosts)} hosts run again {took - began:.1f} s after power came back, "
        f"{took - up:.1f} s after the front-end answered"
    )

    ticks = {vm.id: wait_until(VM_SECONDS, lambda vm=vm: started(vm), f"VM {vm.id} has not one QEMU") for vm in wanted}
    assert max(ticks[vm.id] for vm in first) <= min(ticks[vm.id] for vm in [*others, *last]), ticks
    assert ticks[others[0].id] <= min(ticks[vm.id] for vm in last), ticks
    assert unwanted.state() == "POWEROFF" and switched_off.state() == "POWEROFF"
    assert not unwanted.qemus() and not switched_off.qemus()
    for vm in wanted:
        assert vm.xml().findtext("USER_TEMPLATE/AUTOSTART_MESSAGE") is None
    for vm in first:
        vm.guest_wait()


@pytest.mark.seconds(400)
def test_a_host_that_is_shut_down_and_a_guest_that_switches_itself_off(cloud):
    lab, node = cloud.lab, cloud.lab.node(3)
    ran = cloud.vm_make(host=3, extra="AUTOSTART = yes")
    ended = cloud.vm_make(host=3, extra="AUTOSTART = yes")
    for vm in (ran, ended):
        vm.running().guest_wait()
    ended.guest("(sleep 1; poweroff -f) >/dev/null 2>&1 &")
    ended.wait("POWEROFF", STOP_SECONDS)
    assert ended.xml().findtext("USER_TEMPLATE/AUTOSTART_MESSAGE") is None

    # As libvirt-guests does it: guests are asked by ACPI while systemd stops the machine.
    node.run(["bash", "-c", "cat >/usr/local/bin/systemctl && chmod 755 /usr/local/bin/systemctl"], input=STOPPING)
    node.run(["virsh", "-q", "-c", "qemu:///system", "shutdown", ran.domain])
    ran.wait("POWEROFF", STOP_SECONDS)
    lab.power_cut([node])
    lab.power_on([node])
    wait_until(BACK_SECONDS, lambda: all_run(lab, [ran]), lambda: f"it does not run again: {states([ran])}")
    assert started(ran) is not None
    assert ended.state() == "POWEROFF" and not ended.qemus()


@pytest.mark.seconds(200)
def test_a_qemu_that_dies_runs_again(cloud):
    vm = cloud.vm_make(host=2, extra="AUTOSTART = yes").running()
    (node, pid) = vm.qemus()[0]
    node.run(["kill", "-9", pid])
    wait_until(VM_SECONDS, lambda: vm.state() == "RUNNING" and [p for _, p in vm.qemus()] not in ([], [pid]), vm.state)

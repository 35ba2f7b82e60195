"""Guests that end by themselves, and guests that are restarted."""

import os
import time

import pytest
from lab import wait_until

KILLS = int(os.environ.get("LAB_KILLS", "50"))
# How soon the end of a guest must be seen, in seconds.
SEEN_SECONDS = 2.0
REBOOT_SECONDS = 60
STOP_SECONDS = 20
KILL_BOUND_SECONDS = 20


def poweroff_time(vm):
    """Seconds until the VM shows POWEROFF."""
    began = time.monotonic()
    vm.wait("POWEROFF")
    return time.monotonic() - began


def test_a_guest_that_powers_itself_off(cloud):
    vm = cloud.vm_make().running().guest_wait()
    # Later, as the guest's end would leave the connection hanging.
    vm.guest("(sleep 1; poweroff -f) >/dev/null 2>&1 &")
    wait_until(STOP_SECONDS, lambda: not vm.qemus(), "the guest does not end")
    took = poweroff_time(vm)
    assert took < SEEN_SECONDS, f"POWEROFF was shown {took:.2f} s after the guest had gone"
    vm.act("resume", "RUNNING")
    vm.terminate()


def test_a_guest_that_is_rebooted(cloud):
    vm = cloud.vm_make().running().guest_wait()
    before = vm.guest_boot_id()
    cloud.fe(f"onevm reboot {vm.id}")
    deadline = time.monotonic() + REBOOT_SECONDS
    after = before
    while after in (before, ""):
        assert time.monotonic() < deadline, "the guest was not restarted"
        after = vm.guest("cat /proc/sys/kernel/random/boot_id", check=False).strip()
    assert vm.state() == "RUNNING"
    # Its ports are open again once it is up; shutting it down is the guest's own work.
    vm.act("undeploy", "UNDEPLOYED")
    vm.act("resume", "RUNNING")
    vm.terminate()


@pytest.mark.seconds(60 + KILLS * KILL_BOUND_SECONDS)
def test_killed_qemus(cloud):
    """kill -9 of QEMU, again and again: none may be missed."""
    vm = cloud.vm_make().running()
    times = []
    for _ in range(KILLS):
        ((node, pid),) = vm.qemus()
        node.run(["kill", "-9", pid])
        times.append(poweroff_time(vm))
        vm.act("resume", "RUNNING")
    print(f"\n{KILLS} kills: POWEROFF after {min(times):.2f} to {max(times):.2f} s")
    assert max(times) < SEEN_SECONDS, [f"{took:.2f}" for took in times]
    vm.terminate()

"""A hook that resumes VMs whose QEMU was killed, as old installations have it."""

import pytest
from lab import wait_until
from node import USER

HOOKS = "remotes/hooks"
REVIVE = """#!/bin/sh
# The VM's XML comes in base64.
id=$(printf %s "$1" | base64 -d | grep -o '<ID>[0-9]*</ID>' | head -n 1 | tr -dc 0-9)
echo "reviving $id"
exec onevm resume "$id"
"""
HOOK = """NAME = revive
TYPE = state
RESOURCE = VM
ON = CUSTOM
STATE = POWEROFF
LCM_STATE = LCM_INIT
COMMAND = revive.sh
ARGUMENTS = "$TEMPLATE"
"""
BACK_SECONDS = 60


@pytest.fixture
def hook(cloud):
    """The hook's id. It is deleted after the test."""
    fe = cloud.lab.front_end
    fe.run(["mkdir", "-p", f"/var/lib/one/{HOOKS}"], user=USER)
    fe.run(["tee", f"/var/lib/one/{HOOKS}/revive.sh"], user=USER, input=REVIVE)
    fe.run(["chmod", "755", f"/var/lib/one/{HOOKS}/revive.sh"], user=USER)
    identifier = cloud.lab.create("hook", HOOK)
    yield identifier
    cloud.fe(f"onehook delete {identifier}", check=False)


def kill(vm):
    ((node, pid),) = vm.qemus()
    node.run(["kill", "-9", pid])
    return pid


def executions(cloud, hook):
    return cloud.lab.show("hook", hook).findall("HOOKLOG/HOOK_EXECUTION_RECORD")


@pytest.mark.seconds(240)
def test_a_vm_that_was_killed_is_resumed_by_a_hook(cloud, hook):
    vm = cloud.vm_make().running().guest_wait()
    before = vm.guest_boot_id()
    for count in (1, 2):
        killed = kill(vm)
        wait_until(BACK_SECONDS, lambda killed=killed: [pid for _, pid in vm.qemus()] not in ([], [killed]), "no QEMU came back")
        vm.wait("RUNNING")
        wait_until(BACK_SECONDS, lambda count=count: len(executions(cloud, hook)) == count, "the hook's execution is not noted")
        record = executions(cloud, hook)[-1]
        assert record.findtext("EXECUTION_RESULT/CODE") == "0", record.findtext("EXECUTION_RESULT/STDERR")
        vm.guest_wait()
        after = vm.guest_boot_id()
        assert after != before
        before = after
    # Without the hook it stays off: it was the hook.
    cloud.fe(f"onehook delete {hook}")
    kill(vm)
    vm.wait("POWEROFF")
    assert vm.qemus() == [] and vm.state() == "POWEROFF"
    vm.terminate()

"""The two hooks of a known guide that resume VMs, to the letter: after a guest's own shutdown, a QEMU that died, a host's restart."""

import base64

import pytest
from lab import wait_until
from node import USER

SCRIPT = "/usr/local/bin/vmresume.py"
RESUME = """#!/usr/bin/env python3
import base64, subprocess, sys
import xml.etree.ElementTree as ET
vm = ET.fromstring(base64.b64decode(sys.argv[1]))
subprocess.run(["onevm", "resume", vm.find("./ID").text], check=True)
"""
HOOK = """NAME = {name}
TYPE = state
RESOURCE = VM
COMMAND = "/usr/local/bin/vmresume.py"
ARGUMENTS = "$TEMPLATE"
STATE = {state}
LCM_STATE = {lcm}
ON = CUSTOM
"""
ON_POWEROFF, ON_UNKNOWN = "autostart_vm_on_node_restart", "autostart_vm_unknown"
BACK_SECONDS = 60


@pytest.fixture
def hooks(cloud):
    """The hooks' ids by name. They are deleted after the test."""
    fe = cloud.lab.front_end
    fe.run(["bash", "-c", f"cat >{SCRIPT} && chmod 755 {SCRIPT}"], input=RESUME)
    made = {}
    for name, state, lcm in ((ON_POWEROFF, "POWEROFF", "LCM_INIT"), (ON_UNKNOWN, "ACTIVE", "UNKNOWN")):
        file = f"/var/tmp/{name}.hook"
        fe.run(["tee", file], user=USER, input=HOOK.format(name=name, state=state, lcm=lcm))
        said = cloud.fe(f"onehook create {file}", check=False)
        made[name] = int(said.splitlines()[0].removeprefix("ID:"))
        # Such a hook resumes also what a user switched off: it is said what does not.
        assert ('AUTOSTART="yes"' in said) == (name == ON_POWEROFF), said
    yield made
    for identifier in made.values():
        cloud.fe(f"onehook delete {identifier}", check=False)


def kill(vm):
    ((node, pid),) = vm.qemus()
    node.run(["kill", "-9", pid])


def executions(cloud, hook):
    return cloud.lab.show("hook", hook).findall("HOOKLOG/HOOK_EXECUTION_RECORD")


def executed(cloud, hook, count):
    """Waits until a hook was executed so often, and sees that the last one went well."""
    wait_until(BACK_SECONDS, lambda: len(executions(cloud, hook)) == count, "the hook's execution is not noted")
    result = executions(cloud, hook)[-1].find("EXECUTION_RESULT")
    assert result.findtext("CODE") == "0", base64.b64decode(result.findtext("STDERR"))


def runs_anew(vm, before):
    """Waits until another QEMU than that one runs the VM and its guest is there; gives it."""
    wait_until(BACK_SECONDS, lambda: vm.qemus() not in ([], before), lambda: f"no QEMU came back: {vm.state()}")
    vm.running().guest_wait()
    return vm.qemus()


@pytest.mark.seconds(400)
def test_vms_are_resumed_by_the_hooks_of_a_guide(cloud, hooks):
    vm = cloud.vm_make(host=3).running().guest_wait()
    first = vm.qemus()
    vm.guest("(sleep 1; poweroff -f) >/dev/null 2>&1 &")
    second = runs_anew(vm, first)
    executed(cloud, hooks[ON_POWEROFF], 1)
    kill(vm)
    third = runs_anew(vm, second)
    executed(cloud, hooks[ON_POWEROFF], 2)
    node = vm.host()
    cloud.lab.power_cut([node])
    cloud.lab.power_on([node])
    # Its host is lost first, then there again without it: both hooks may resume it, and it is started once.
    wait_until(BACK_SECONDS, lambda: executions(cloud, hooks[ON_UNKNOWN]), lambda: f"the VM was never unknown: {vm.state()}")
    assert len(runs_anew(vm, third)) == 1
    # Without the hooks it stays off: it was they.
    for hook in hooks.values():
        cloud.fe(f"onehook delete {hook}")
    kill(vm)
    vm.wait("POWEROFF")
    assert vm.qemus() == [] and vm.state() == "POWEROFF"
    vm.terminate()

"""pyone: CPU and memory of VMs are changed."""

import pyone
import pytest
from pyone import LCM_STATE, VM_STATE

from harness import cloud
from harness.rpc import Session
from harness.cli import plerion


@pytest.fixture(scope="module")
def made(server):
    """Dummy hosts and what a VM needs."""
    return cloud.cloud_make(Session(server), "r", hosts=1)


def await_phase(one, vm, state, lcm=LCM_STATE.LCM_INIT):
    def phase():
        body = one.vm.info(vm)
        return VM_STATE(body.STATE), LCM_STATE(body.LCM_STATE)

    cloud.eventually(phase, lambda seen: seen == (state, lcm), f"VM {vm} to {state} {lcm}")


def sizes(one, vm):
    template = one.vm.info(vm).TEMPLATE
    return template["CPU"], template.get("VCPU"), template["MEMORY"]


def test_resize_on_hold_and_powered_off(one, server, made):
    vm = one.template.instantiate(made.template, "r-cold", True)
    assert one.vm.resize(vm, 'CPU="0.2"\nMEMORY="128"\nVCPU="2"', True) == vm
    assert sizes(one, vm) == ("0.2", "2", "128")
    one.vm.deploy(vm, made.hosts[0])
    await_phase(one, vm, VM_STATE.ACTIVE, LCM_STATE.RUNNING)
    with pytest.raises(pyone.OneActionException, match="Hotplug resize not supported by driver dummy"):
        one.vm.resize(vm, 'MEMORY="256"', True)
    one.vm.action("poweroff-hard", vm)
    await_phase(one, vm, VM_STATE.POWEROFF)
    plerion(server, "onevm", "resize", str(vm), "--memory", "256", "--cpu", "0.5")
    assert sizes(one, vm) == ("0.5", "2", "256")
    assert [record.ACTION for record in one.vm.info(vm).HISTORY_RECORDS.HISTORY] == [35, 20]
    said = plerion(server, "onevm", "resize", str(vm), "--cpu", "-1", status=255)
    assert "[one.vm.resize] CPU must be a positive float or integer value." in said
    with pytest.raises(pyone.OneActionException, match="Not enough CPU"):
        one.vm.resize(vm, 'CPU="1000"', True)
    assert one.vm.resize(vm, 'CPU="1000"', False) == vm
    assert one.host.info(made.hosts[0]).HOST_SHARE.CPU_USAGE == 100000


def test_users_cannot_overfill_a_host_nor_pass_their_quota(one, server, made):
    uid = one.user.allocate("r-user", "r-password", "core", [1])
    user = pyone.OneServer(server.url, session="r-user:r-password")
    one.template.chmod(made.template, -1, -1, -1, -1, -1, -1, 1, -1, -1)
    one.image.chmod(made.image, -1, -1, -1, -1, -1, -1, 1, -1, -1)
    one.vn.chmod(made.vnet, -1, -1, -1, -1, -1, -1, 1, -1, -1)
    vm = user.template.instantiate(made.template, "r-theirs", True)
    one.vm.deploy(vm, made.hosts[0], False)
    await_phase(one, vm, VM_STATE.ACTIVE, LCM_STATE.RUNNING)
    user.vm.action("poweroff-hard", vm)
    await_phase(one, vm, VM_STATE.POWEROFF)
    with pytest.raises(pyone.OneActionException, match="does not fit in host"):
        user.vm.resize(vm, 'CPU="1000"', False)
    one.user.quota(uid, 'VM=[CPU="-2",MEMORY="100",VMS="-2",RUNNING_VMS="-2"]')
    with pytest.raises(pyone.OneAuthorizationException, match="(?i)limit"):
        user.vm.resize(vm, 'MEMORY="128"', False)
    assert sizes(one, vm)[2] == "64"

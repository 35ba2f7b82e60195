"""pyone: VMs are moved between dummy hosts and system datastores."""

import pyone
import pytest
from pyone import LCM_STATE, VM_STATE

from harness import cloud
from harness.cli import plerion
from harness.rpc import Session

LIVE, COLD = True, False
SAVE, POWEROFF, POWEROFF_HARD = 0, 1, 2
KEEP = -1


@pytest.fixture(scope="module")
def made(server):
    """Dummy hosts and what a VM needs."""
    return cloud.cloud_make(Session(server), "m", hosts=3)


@pytest.fixture(scope="module")
def other_store(server):
    return Session(server).ok("datastore.allocate", cloud.SYSTEM_DS.format("m-system-2"), -1)


def await_phase(one, vm, state, lcm=LCM_STATE.LCM_INIT):
    def phase():
        body = one.vm.info(vm)
        return VM_STATE(body.STATE), LCM_STATE(body.LCM_STATE)

    cloud.eventually(phase, lambda seen: seen == (state, lcm), f"VM {vm} to {state} {lcm}")


def await_running(one, vm):
    await_phase(one, vm, VM_STATE.ACTIVE, LCM_STATE.RUNNING)


@pytest.fixture
def running(one, made, request):
    """A VM that runs on the first host."""
    vm = one.template.instantiate(made.template, request.node.name, True)
    one.vm.deploy(vm, made.hosts[0], False, made.system_ds, "")
    await_running(one, vm)
    return vm


def records(one, vm):
    return [(r.HID, r.DS_ID, r.ACTION) for r in one.vm.info(vm).HISTORY_RECORDS.HISTORY]


@pytest.mark.parametrize(
    ("live", "kind", "action"),
    [(LIVE, SAVE, 2), (COLD, SAVE, 1), (COLD, POWEROFF, 48), (COLD, POWEROFF_HARD, 49)],
)
def test_moves_to_another_host(one, made, running, live, kind, action):
    here, there = made.hosts[:2]
    system = made.system_ds
    assert one.vm.migrate(running, there, live, False, KEEP, kind) == running
    await_running(one, running)
    assert records(one, running) == [(here, system, action), (there, system, 0)]
    assert running in one.host.info(there).VMS.ID
    assert running not in one.host.info(here).VMS.ID


def test_moves_to_another_datastore(one, made, other_store, running):
    here, there = made.hosts[:2]
    with pytest.raises(pyone.OneActionException, match="Cannot live migrate host and datastore at the same time"):
        one.vm.migrate(running, there, LIVE, False, other_store, SAVE)
    assert one.vm.migrate(running, here, LIVE, False, other_store, SAVE) == running
    await_running(one, running)
    assert one.vm.migrate(running, there, COLD, False, made.system_ds, SAVE) == running
    await_running(one, running)
    assert records(one, running)[1:] == [(here, other_store, 1), (there, made.system_ds, 0)]


@pytest.mark.parametrize(("action", "state"), [("poweroff-hard", VM_STATE.POWEROFF), ("suspend", VM_STATE.SUSPENDED)])
def test_moves_while_off(one, made, running, action, state):
    one.vm.action(action, running)
    await_phase(one, running, state)
    one.vm.migrate(running, made.hosts[2], COLD, True)
    cloud.eventually(lambda: records(one, running)[-1][0], lambda host: host == made.hosts[2], "moved")
    await_phase(one, running, state)
    one.vm.action("resume", running)
    await_running(one, running)
    assert [record[0] for record in records(one, running)] == [made.hosts[0], made.hosts[2], made.hosts[2]]


def test_refusals(one, made, running):
    here, there = made.hosts[:2]
    text = rf"VM is already running on host \[{here}\] and datastore \[{made.system_ds}\]"
    with pytest.raises(pyone.OneActionException, match=text):
        one.vm.migrate(running, here, LIVE)
    with pytest.raises(pyone.OneActionException, match="Wrong migration type 7"):
        one.vm.migrate(running, there, COLD, False, KEEP, 7)
    with pytest.raises(pyone.OneNoExistsException):
        one.vm.migrate(running, 98765, LIVE)
    held = one.template.instantiate(made.template, "m-held", True)
    with pytest.raises(pyone.OneActionException, match="Migrate action is not available for state HOLD"):
        one.vm.migrate(held, there, LIVE)
    one.vm.lock(running, 3)
    with pytest.raises(pyone.OneAuthorizationException, match="VM is locked"):
        one.vm.migrate(running, there, LIVE)
    one.vm.unlock(running)


def test_enforce_wants_room(one, made):
    here, there = made.hosts[:2]
    share = one.host.info(there).HOST_SHARE
    room = (share.MAX_CPU - share.CPU_USAGE) / 100
    big = one.vm.allocate(f'NAME="m-big"\nCPU="{room}"\nMEMORY="64"', True)
    one.vm.deploy(big, there, True, made.system_ds, "")
    await_running(one, big)
    vm = one.template.instantiate(made.template, "m-small", True)
    one.vm.deploy(vm, here, False, made.system_ds, "")
    await_running(one, vm)
    with pytest.raises(pyone.OneActionException, match="does not fit in host"):
        one.vm.migrate(vm, there, COLD, True)
    assert one.vm.migrate(vm, there, LIVE, False) == vm
    await_running(one, vm)
    one.vm.action("terminate-hard", big)
    await_phase(one, big, VM_STATE.DONE)


def test_a_marked_vm_is_moved(one, made, running):
    one.vm.action("resched", running)
    cloud.eventually(lambda: records(one, running)[-1], lambda last: last[0] != made.hosts[0], "moved by the scheduler")
    await_running(one, running)
    assert [record[2] for record in records(one, running)] == [1, 0]
    assert one.vm.info(running).RESCHED == 0


def test_a_host_is_flushed(one, server, made, running):
    host = made.hosts[0]
    plerion(server, "onehost", "flush", str(host))
    try:
        cloud.eventually(lambda: list(one.host.info(host).VMS.ID), lambda vms: running not in vms, "flushed")
        await_running(one, running)
        assert one.host.info(host).STATE == 4
    finally:
        one.host.status(host, 0)

"""pyone: scheduled actions of VMs, and that they are done."""

import time

import pyone
import pytest

from harness import cloud
from harness.rpc import Session


@pytest.fixture
def vm(one):
    return one.vm.allocate(cloud.VM.format("scheduled"), True)


def found(one, vm):
    entries = one.vm.info(vm).TEMPLATE.get("SCHED_ACTION") or []
    entries = entries if isinstance(entries, list) else [entries]
    return {int(entry["ID"]): entry for entry in entries}


def test_added_changed_deleted(one, vm):
    stime = one.vm.info(vm).STIME
    first = one.vm.schedadd(vm, 'SCHED_ACTION=[ACTION="poweroff",TIME="1999999999",REPEAT="0",DAYS="1,5",END_TYPE="1",END_VALUE="7"]')
    second = one.vm.schedadd(vm, 'SCHED_ACTION=[ACTION="terminate",ARGS="x",TIME="+90000"]')
    assert second == first + 1
    assert one.vm.info(vm).SCHED_ACTIONS.ID == [first, second]
    entries = found(one, vm)
    assert {name: entries[first][name] for name in ("TYPE", "ACTION", "TIME", "REPEAT", "DAYS", "END_TYPE", "END_VALUE", "DONE")} == {
        "TYPE": "VM",
        "ACTION": "poweroff",
        "TIME": "1999999999",
        "REPEAT": "0",
        "DAYS": "1,5",
        "END_TYPE": "1",
        "END_VALUE": "7",
        "DONE": "-1",
    }
    assert int(entries[second]["TIME"]) == stime + 90000
    assert one.vm.schedupdate(vm, first, 'SCHED_ACTION=[ACTION="poweroff-hard",TIME="+91000"]') == first
    entry = found(one, vm)[first]
    assert (entry["ACTION"], int(entry["TIME"]), entry["DAYS"]) == ("poweroff-hard", stime + 91000, "1,5")
    assert one.vm.scheddelete(vm, first) == vm
    assert list(found(one, vm)) == [second]
    with pytest.raises(pyone.OneNoExistsException, match=rf"Error getting scheduled action \[{first}\]"):
        one.vm.scheddelete(vm, first)
    with pytest.raises(pyone.OneInternalException, match=f"SCHED_ACTION with id = {first} doesn't exist"):
        one.vm.schedupdate(vm, first, 'SCHED_ACTION=[TIME="1999999999"]')
    other = one.vm.allocate(cloud.VM.format("other"), True)
    with pytest.raises(pyone.OneNoExistsException):
        one.vm.scheddelete(other, second)


@pytest.mark.parametrize(
    "text",
    ['ACTION="hold"', 'ACTION="hold",TIME="soon"', 'ACTION="fly",TIME="+1"', 'ACTION="hold",TIME="+9",REPEAT="0",DAYS="9"', 'TIME="+1"'],
)
def test_wrong_ones_are_refused(one, vm, text):
    with pytest.raises(pyone.OneActionException):
        one.vm.schedadd(vm, f"SCHED_ACTION=[{text}]")
    assert found(one, vm) == {}


def test_done_when_due(one, vm):
    """Without a poll: it is done in the second in which it is due."""
    due = int(time.time()) + 2
    action = one.vm.schedadd(vm, f'SCHED_ACTION=[ACTION="release",TIME="{due}"]')
    assert one.vm.info(vm).STATE == 2
    cloud.eventually(lambda: one.vm.info(vm).STATE, lambda state: state != 2, "the VM is released")
    entry = found(one, vm)[action]
    assert due <= int(entry["DONE"]) <= due + 2
    assert not entry["MESSAGE"]


def test_a_refusal_is_said_and_the_next_time_stands(one, vm):
    past = int(time.time()) - 10_000
    action = one.vm.schedadd(vm, f'SCHED_ACTION=[ACTION="suspend",TIME="{past}",REPEAT="3",DAYS="1",END_TYPE="0"]')
    entry = cloud.eventually(lambda: found(one, vm)[action], lambda entry: entry["DONE"] != "-1", "the action is tried")
    assert "not available for state HOLD" in entry["MESSAGE"]
    assert int(entry["TIME"]) == past + 3 * 3600


def test_those_of_a_template(one):
    template = one.template.allocate(cloud.VM.format("clock") + '\nSCHED_ACTION=[ACTION="terminate",TIME="+1"]')
    vm = one.template.instantiate(template, "", True, "", False)
    cloud.eventually(lambda: one.vm.info(vm).STATE, lambda state: state == 6, "the VM ends by itself")


def test_a_restart_does_what_was_missed_once(own_server):
    admin = Session(own_server)
    vm = admin.ok("vm.allocate", cloud.VM.format("missed"), True)
    due = int(time.time()) + 3
    admin.ok("vm.schedadd", vm, f'SCHED_ACTION=[ACTION="release",TIME="{due}"]')
    own_server.kill()
    cloud.eventually(time.time, lambda now: now > due + 1, "it is due while nobody serves")
    own_server.start()
    admin = Session(own_server)
    body = cloud.vm_await(admin, vm, 1)
    assert "<DONE>-1</DONE>" not in body
    admin.ok("vm.action", "hold", vm)
    own_server.kill()
    own_server.start()
    assert "<STATE>2</STATE>" in Session(own_server).ok("vm.info", vm)

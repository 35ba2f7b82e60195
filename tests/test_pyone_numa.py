"""pyone: VMs whose CPUs are pinned, and what hosts show of them."""

import pyone
import pytest
from pyone import LCM_STATE, VM_STATE

from harness import cloud
from harness.rpc import Session

# Two cores of two threads, and some huge pages.
NODE = '''PIN_POLICY="PINNED"
CORE=[NODE_ID="0",ID="0",CPUS="0,2"]
CORE=[NODE_ID="0",ID="1",CPUS="1,3"]
HUGEPAGE=[NODE_ID="0",SIZE="2048",PAGES="100"]
MEMORY_NODE=[NODE_ID="0",TOTAL="8388608",DISTANCE="0"]'''


@pytest.fixture(scope="module")
def made(server):
    """A dummy host for pinned VMs, one for others, and what a VM needs."""
    return cloud.cloud_make(Session(server), "numa", hosts=2)


def phase_await(one, vm, state, lcm=LCM_STATE.LCM_INIT):
    def phase():
        body = one.vm.info(vm)
        return VM_STATE(body.STATE), LCM_STATE(body.LCM_STATE)

    cloud.eventually(phase, lambda seen: seen == (state, lcm), f"VM {vm} to {state} {lcm}")


def cores(one, host):
    """CPUS, FREE and DEDICATED of each core of a host."""
    (node,) = one.host.info(host).HOST_SHARE.NUMA_NODES.NODE
    return [(core.CPUS, core.FREE, core.DEDICATED) for core in node.CORE]


def test_cpus_are_pinned_and_given_back(one, made):
    host = made.hosts[0]
    one.host.update(host, NODE, 1)
    assert cores(one, host) == [("0:-1,2:-1", 2, "NO"), ("1:-1,3:-1", 2, "NO")]
    base = "CPU=1\nVCPU=2\nMEMORY=128\n"
    with pytest.raises(pyone.OneException, match="Computed number of threads is not power of 2"):
        one.vm.allocate("NAME=p-3\nCPU=1\nVCPU=3\nMEMORY=128\nTOPOLOGY=[PIN_POLICY=CORE,CORES=1]")
    shared = one.vm.allocate(f"NAME=p-t\n{base}TOPOLOGY=[PIN_POLICY=THREAD]")
    # The scheduler places it: of the two hosts one is for pinned VMs.
    phase_await(one, shared, VM_STATE.ACTIVE, LCM_STATE.RUNNING)
    body = one.vm.info(shared)
    assert body.HISTORY_RECORDS.HISTORY[-1].HID == host
    node = body.TEMPLATE["NUMA_NODE"]
    assert (node["CPUS"], node["NODE_ID"], node["MEMORY"], node["TOTAL_CPUS"]) == ("0,2", "0", "131072", "2")
    assert (body.TEMPLATE["TOPOLOGY"]["THREADS"], body.TEMPLATE["CPU"]) == ("2", "2")
    assert cores(one, host)[0] == (f"0:{shared},2:{shared}", 0, "NO")
    own = one.vm.allocate("NAME=p-c\nCPU=1\nMEMORY=128\nTOPOLOGY=[PIN_POLICY=CORE,HUGEPAGE_SIZE=2]")
    phase_await(one, own, VM_STATE.ACTIVE, LCM_STATE.RUNNING)
    assert cores(one, host)[1] == (f"1:{own},3:-1", 0, "YES")
    (node,) = one.host.info(host).HOST_SHARE.NUMA_NODES.NODE
    assert (node.HUGEPAGE[0].PAGES, node.HUGEPAGE[0].USAGE, node.MEMORY.USAGE) == (100, 64, 2 * 131072)
    waits = one.vm.allocate("NAME=p-w\nCPU=1\nMEMORY=128\nTOPOLOGY=[PIN_POLICY=THREAD]")

    def message():
        return one.vm.info(waits).USER_TEMPLATE.get("SCHED_MESSAGE", "")

    cloud.eventually(message, lambda text: "not enough free threads to pin to: needs 1, 0 free" in text, "the reason")
    with pytest.raises(pyone.OneActionException, match="Cannot allocate NUMA topology"):
        one.vm.deploy(waits, host)
    with pytest.raises(pyone.OneActionException, match="PIN_POLICY is not PINNED"):
        one.vm.deploy(waits, made.hosts[1])
    one.vm.action("terminate-hard", own)
    # What one leaves the next one gets.
    phase_await(one, waits, VM_STATE.ACTIVE, LCM_STATE.RUNNING)
    for vm in (shared, waits):
        one.vm.action("terminate-hard", vm)
        phase_await(one, vm, VM_STATE.DONE)
    assert cores(one, host) == [("0:-1,2:-1", 2, "NO"), ("1:-1,3:-1", 2, "NO")]
    (body,) = [body for body in one.hostpool.info().HOST if body.ID == host]
    assert body.HOST_SHARE.NUMA_NODES.NODE[0].MEMORY.USAGE == 0

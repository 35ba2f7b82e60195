"""CPUs of real guests are pinned to those that their VMs got."""

import os
import re

import pytest
from lab import wait_until
from node import USER

SEEN_SECONDS = 30


def host_nodes(cloud, number):
    return cloud.lab.show("host", number).findall("HOST_SHARE/NUMA_NODES/NODE")


def vcpu_cpus(node, pid):
    """The list of CPUs that each virtual CPU of a QEMU process of a node may run on, by number."""
    look = f'cd /proc/{pid}/task && for task in *; do echo "$(cat $task/comm) $(grep Cpus_allowed_list $task/status)"; done'
    lines = node.out(["bash", "-c", look]).splitlines()
    found = (re.match(r"CPU (\d+)/\S+ Cpus_allowed_list:\s+(\S+)", line) for line in lines)
    return {int(match[1]): match[2] for match in found if match}


@pytest.fixture
def pinned_host(cloud):
    """The id of a host for pinned VMs. It is for all VMs again afterwards."""

    def update(policy):
        cloud.lab.front_end.run(["tee", "/var/tmp/pin"], user=USER, input=f'PIN_POLICY = "{policy}"\n')
        cloud.fe("onehost update -a 0 /var/tmp/pin")

    update("PINNED")
    yield 0
    update("NONE")


@pytest.mark.seconds(240)
def test_each_virtual_cpu_runs_on_the_cpu_that_its_vm_got(cloud, pinned_host):
    wait_until(SEEN_SECONDS, lambda: host_nodes(cloud, pinned_host), "the host tells of no NUMA nodes")
    told = [int(cpu.split(":")[0]) for core in host_nodes(cloud, pinned_host)[0].findall("CORE") for cpu in core.findtext("CPUS").split(",")]
    assert sorted(told) == sorted(os.sched_getaffinity(0))
    topology = 'VCPU = 1\nTOPOLOGY = [ PIN_POLICY = "THREAD" ]\n'
    first, second = (cloud.vm_make(extra=topology).running() for _ in range(2))
    taken = []
    for vm in (first, second):
        node = vm.xml().find("TEMPLATE/NUMA_NODE")
        cpu = int(node.findtext("CPUS"))
        taken.append(cpu)
        ((host, pid),) = vm.qemus()
        assert vcpu_cpus(host, pid) == {0: str(cpu)}
    assert taken[0] != taken[1]
    first.terminate()
    second.terminate()
    free = [cpu for core in host_nodes(cloud, pinned_host)[0].findall("CORE") for cpu in core.findtext("CPUS").split(",")]
    assert all(cpu.endswith(":-1") for cpu in free), free

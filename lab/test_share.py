"""How much of a boot is the front-end's and the agents' own: all that is neither copying nor virsh."""

import datetime
import os
import re
import statistics
import subprocess

import pytest
from cloud import STORAGES, Vm
from node import RUN_SECONDS

BOOTS = int(os.environ.get("LAB_BOOTS", "20"))
BOOT_BOUND_SECONDS = 10
DONE = re.compile(r"^(\S+) .*action done action=vm-(\d+)-\S+ total_us=(\d+) copy_us=(\d+) virsh_us=(\d+)", re.MULTILINE)


def allocate(cloud, template):
    """A VM, and the moment before it was asked for."""
    done = subprocess.run(
        cloud.lab.caller_command("allocate.py"), input=template, capture_output=True, text=True, timeout=RUN_SECONDS, check=True
    )
    before, after, identifier = done.stdout.split()
    return Vm(cloud, int(identifier), STORAGES["ssh"]), float(before), float(after)


def actions(lab, identifier):
    """What the agents did for a VM: the moments at which the front-end heard of it, and how long it took (seconds)."""
    found = []
    for moment, vm, total, copy, virsh in DONE.findall((lab.directory / "serve.log").read_text()):
        if int(vm) == identifier:
            at = datetime.datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()
            found.append((at, *(int(text) / 1e6 for text in (total, copy, virsh))))
    return found


@pytest.mark.seconds(120 + BOOTS * BOOT_BOUND_SECONDS)
def test_own_share_of_a_boot(cloud):
    template = cloud.vm_template(host=1)
    cloud.vm_make(host=1).running().terminate()  # brings the image to the host
    own, whole = [], []
    for _ in range(BOOTS):
        vm, before, after = allocate(cloud, template)
        vm.running()
        done = actions(cloud.lab, vm.id)
        assert done, "nothing was done for a VM that runs"
        # The last action of a boot is the start of the domain.
        created = done[-1][0]
        assert done[-1][3] > 0, "the last action of a boot does not speak with libvirt"
        assert all(copy + virsh <= total + 0.001 for _, total, copy, virsh in done), done
        spent = sum(copy + virsh for _, _, copy, virsh in done)
        assert created > after and created - before > spent
        own.append(created - before - spent)
        whole.append(created - before)
        vm.terminate()
    print(
        f"\nown share of a boot, median of {BOOTS}: {statistics.median(own) * 1000:.0f} ms "
        f"of {statistics.median(whole) * 1000:.0f} ms (worst {max(own) * 1000:.0f} ms; aim: at most 100 ms)"
    )

"""What real hosts and VMs are measured to do, for how long it is kept, and what is accounted of it."""

import time
from xml.etree import ElementTree

import pytest
from lab import SAMPLE_SECONDS, wait_until
from node import USER

SAMPLES_SECONDS = 90
# Of one virtual CPU, in percent: what a guest that is busy uses at least, on a machine that others use, too; and one that rests
# at most.
BUSY, RESTS = 30.0, 20.0
# Seconds by which what is noted of a stay may differ from what was seen from outside.
APART = 15
PUBLISHED_SECONDS = 5


def samples(cloud, kind, identifier):
    """What was measured of a VM or a host, the oldest first."""
    return ElementTree.fromstring(cloud.lab.api(f"{kind}.monitoring", identifier)).findall("MONITORING")


def numbers(found, path, of=int):
    return [of(float(sample.findtext(path))) for sample in found]


def since(cloud, kind, identifier, moment, count):
    """Waits for samples that were taken after a moment."""

    def taken():
        return [sample for sample in samples(cloud, kind, identifier) if int(sample.findtext("TIMESTAMP")) > moment]

    wait_until(SAMPLES_SECONDS, lambda: len(taken()) >= count, f"{kind} {identifier} is not measured {count} times")
    return taken()


def shown_since(vm, moment):
    """The measurement in the VM's own body, if it is not older than a moment."""
    shown = vm.xml().find("MONITORING")
    return shown if int(shown.findtext("TIMESTAMP")) >= moment else None


@pytest.mark.seconds(400)
def test_a_vm_is_measured_and_accounted(cloud):
    began = time.time()
    vm = cloud.vm_make().running().guest_wait()
    ran = time.time()
    # Rests: what it did while it booted is behind it.
    rested = since(cloud, "vm", vm.id, time.time() + SAMPLE_SECONDS, 2)
    vm.guest("(yes >/dev/null 2>&1 &) ; dd if=/dev/vda of=/dev/null bs=64k count=64 2>/dev/null")
    busy = since(cloud, "vm", vm.id, time.time() + SAMPLE_SECONDS, 2)
    every = samples(cloud, "vm", vm.id)
    times = numbers(every, "TIMESTAMP")
    assert times == sorted(set(times)) and began - APART < times[0] and times[-1] < time.time() + APART
    assert {sample.findtext("ID") for sample in every} == {str(vm.id)}
    assert max(numbers(busy, "CPU", float)) > BUSY, numbers(every, "CPU", float)
    assert min(numbers(rested, "CPU", float)) < RESTS, numbers(every, "CPU", float)
    assert min(numbers(busy, "MEMORY")) > 0
    for counted in ("NETRX", "NETTX", "DISKRDBYTES", "DISKRDIOPS"):
        values = numbers(every, counted)
        assert values == sorted(values) and values[-1] > 0, f"{counted}: {values}"
    # The last one is in the VM's own body, after at most the time between two publications of measurements.
    shown = wait_until(PUBLISHED_SECONDS, lambda: shown_since(vm, times[-1]), "the VM does not show its last measurement")
    assert float(shown.findtext("CPU")) > RESTS
    host = int(vm.xml().findtext("HISTORY_RECORDS/HISTORY/HID"))
    vm.terminate()
    ended = time.time()
    # What was measured of it can still be asked for.
    assert numbers(samples(cloud, "vm", vm.id), "TIMESTAMP")[: len(times)] == times
    records = ElementTree.fromstring(cloud.lab.api("vmpool.accounting", -2, int(began), -1)).findall("HISTORY")
    (record,) = [record for record in records if record.findtext("OID") == str(vm.id)]
    moments = [int(record.findtext(name)) for name in ("STIME", "PSTIME", "PETIME", "RSTIME", "RETIME", "ETIME")]
    assert moments == sorted(moments) and began - APART < moments[0] and moments[-1] <= ended + APART
    assert moments[3] < ran + APART and moments[4] > ran
    assert int(record.findtext("HID")) == host
    assert record.findtext("VM/TEMPLATE/CPU") == "0.1"
    # The command line says the same.
    printed = ElementTree.fromstring(cloud.fe(f"oneacct -x -s {time.strftime('%m/%d/%Y', time.localtime(began - 86_400))}"))
    assert str(vm.id) in [found.text for found in printed.findall("HISTORY/OID")]


@pytest.mark.seconds(200)
def test_hosts_are_measured(cloud):
    began = time.time()
    for number, node in enumerate(cloud.lab.hosts):
        found = since(cloud, "host", number, began, 2)
        host = cloud.lab.show("host", number)
        cpu, memory = int(host.findtext("HOST_SHARE/TOTAL_CPU")), int(host.findtext("HOST_SHARE/TOTAL_MEM"))
        for sample in found:
            used, free = int(sample.findtext("CAPACITY/USED_CPU")), int(sample.findtext("CAPACITY/FREE_CPU"))
            assert used >= 0 and free >= 0 and used + free == cpu, node.name
            used, free = int(sample.findtext("CAPACITY/USED_MEMORY")), int(sample.findtext("CAPACITY/FREE_MEMORY"))
            assert 0 < used < memory and 0 < free < memory and abs(used + free - memory) < memory // 100, node.name
        for counted in ("SYSTEM/NETRX", "SYSTEM/NETTX"):
            values = numbers(found, counted)
            assert values == sorted(values) and values[-1] > 0, f"{node.name}: {counted} {values}"


PROBES = "/var/lib/one/remotes/im/kvm-probes.d"
PROBE_SECONDS = 30
OWN_PROBES = {
    "host/system/rack.sh": 'echo "RACK=\\"r-$2\\""\necho "ARCH=\\"z80\\""\n',
    "host/monitor/battery.sh": '. "$(dirname "$0")/../../../../etc/im/kvm-probes.d/battery.conf"\necho "BATTERY=\\"$LEVEL\\""\n',
    "host/monitor/broken.sh": "echo no battery there >&2\nexit 4\n",
    "vm/monitor/heat.sh": """for id in $(virsh -c qemu:///system list --name | sed -n 's/^one-//p'); do
    echo "VM = [ ID=\\"$id\\", MONITOR=\\"$(echo 'HEAT=40' | base64 -w 0)\\" ]"
done
""",
}


@pytest.fixture
def own_probes(cloud):
    """Probes of the administrator's on all hosts. They are gone after the test."""
    fe = cloud.lab.front_end
    etc = PROBES.replace("remotes/", "remotes/etc/")
    for directory in {f"{PROBES}/{path.rsplit('/', 1)[0]}" for path in OWN_PROBES} | {etc}:
        fe.run(["mkdir", "-p", directory], user=USER)
    fe.run(["tee", f"{etc}/battery.conf"], user=USER, input="LEVEL=80\n")
    for path, script in OWN_PROBES.items():
        fe.run(["tee", f"{PROBES}/{path}"], user=USER, input="#!/bin/sh\n" + script)
        fe.run(["chmod", "755", f"{PROBES}/{path}"], user=USER)
    yield
    fe.run(["rm", "-r", PROBES, etc], user=USER)
    cloud.fe("onehost sync")


@pytest.mark.seconds(240)
def test_probes_of_the_administrator_are_run_on_the_hosts(cloud, own_probes):
    vm = cloud.vm_make().running()
    printed = cloud.fe("onehost sync --force")
    assert sorted(printed.split()[::2]) == sorted(f"{host.name}:" for host in cloud.lab.hosts)
    at = cloud.lab.hosts.index(vm.host())

    def shown(path, value):
        return lambda: cloud.lab.show("host", at).findtext(path) == value

    wait_until(PROBE_SECONDS, shown("TEMPLATE/RACK", f"r-{at}"), "the host has no RACK")
    wait_until(PROBE_SECONDS, shown("MONITORING/BATTERY", "80"), "no BATTERY is measured")
    wait_until(PROBE_SECONDS, lambda: vm.xml().findtext("MONITORING/HEAT") == "40", "no HEAT is measured")
    error = wait_until(PROBE_SECONDS, lambda: cloud.lab.show("host", at).findtext("TEMPLATE/ERROR"), "the broken probe is not told of")
    assert "host/monitor/broken.sh" in error and "no battery there" in error
    host = cloud.lab.show("host", at)
    assert int(host.findtext("STATE")) == 2 and host.findtext("TEMPLATE/ARCH") != "z80"
    # What is repaired is told of no longer. It goes there by itself.
    cloud.lab.front_end.run(["tee", f"{PROBES}/host/monitor/broken.sh"], user=USER, input="#!/bin/sh\necho MENDED=1\n")
    wait_until(PROBE_SECONDS, shown("MONITORING/MENDED", "1"), "the probe is not mended")
    faults = cloud.lab.show("host", at).findtext("TEMPLATE/ERROR")
    assert "broken" not in faults and "ARCH is measured by Plerion itself" in faults

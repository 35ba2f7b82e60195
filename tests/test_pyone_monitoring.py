"""pyone: what was measured of hosts and VMs, and is kept for a time."""

import json
import sqlite3
import time

import pyone
import pytest

from harness import cloud
from harness.rpc import Session
from harness.server import Server

HOST, VM = 1, 2
ALL = -2


def vm_sample(when, received):
    zeros = ("net_tx_bytes", "disk_read_bytes", "disk_write_bytes", "disk_read_ops", "disk_write_ops")
    return {"time": when, "cpu": 3.5, "memory_kib": 131072, "net_rx_bytes": received, **dict.fromkeys(zeros, 7)}


def host_sample(when):
    fields = {"cpu_used": 20, "cpu_free": 780, "memory_used_kib": 4194304, "memory_free_kib": 62914560, "net_rx_bytes": 2000, "net_tx_bytes": 1000}
    return {"time": when, **fields}


def samples_put(server, rows):
    """Writes samples as the front-end does, while it rests."""
    database = sqlite3.connect(server.directory / "var/monitoring.db")
    with database:
        database.executemany(
            "INSERT INTO samples (kind, oid, time, body) VALUES (?, ?, ?, ?)",
            [(kind, oid, body["time"], json.dumps(body)) for kind, oid, body in rows],
        )
    database.close()


class Measured:
    """A server with samples of two hosts, of oneadmin's VM, of one of `dora` and of one that is DONE."""

    def __init__(self, directory, settings=""):
        self.server = Server(directory, settings).start()
        admin = Session(self.server)
        self.hosts = cloud.cloud_make(admin, hosts=2).hosts
        self.vms = [admin.ok("vm.allocate", cloud.VM.format(name), True) for name in ("mine", "hers", "over")]
        dora = admin.ok("user.allocate", "dora", "dora", "", [1])
        admin.ok("vm.chown", self.vms[1], dora, 1)
        admin.ok("vm.action", "terminate-hard", self.vms[2])
        self.now = int(time.time())
        self.times = [self.now - 500, self.now - 400, self.now - 60]
        self.server.stop()
        rows = [(VM, vm, vm_sample(when, 100 + number)) for vm in self.vms for number, when in enumerate(self.times)]
        rows += [(HOST, host, host_sample(when)) for host in self.hosts for when in self.times]
        rows.append((VM, self.vms[0], vm_sample(self.now - 20_000, 1)))
        rows.append((HOST, self.hosts[0], host_sample(self.now - 20_000)))
        samples_put(self.server, rows)
        self.server.start()
        self.one = pyone.OneServer(self.server.url, session=self.server.admin)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    made = Measured(tmp_path_factory.mktemp("measured"))
    yield made
    made.server.end()


def test_a_vm(measured):
    # What is older than four hours goes, which the front-end sees to as it starts.
    old = lambda: measured.one.vm.monitoring(measured.vms[0]).MONITORING
    samples = cloud.eventually(old, lambda found: len(found) == 3, "the old sample goes")
    assert [sample.TIMESTAMP for sample in samples] == measured.times
    assert [sample.NETRX for sample in samples] == [100, 101, 102]
    last = samples[-1]
    assert (float(last.CPU), last.MEMORY, last.NETTX, last.DISKRDBYTES, last.DISKWRIOPS, last.ID) == (3.5, 131072, 7, 7, 7, measured.vms[0])
    assert len(measured.one.vm.monitoring(measured.vms[2]).MONITORING) == 3, "it is DONE"
    with pytest.raises(pyone.OneNoExistsException):
        measured.one.vm.monitoring(12345)


def test_a_host(measured):
    samples = measured.one.host.monitoring(measured.hosts[0]).MONITORING
    assert [int(sample.TIMESTAMP) for sample in samples] == [measured.now - 20_000, *measured.times], "hosts are kept longer"
    body = Session(measured.server).ok("host.monitoring", measured.hosts[1])
    assert body.startswith(f"<MONITORING_DATA><MONITORING><TIMESTAMP>{measured.times[0]}</TIMESTAMP><ID>{measured.hosts[1]}</ID><CAPACITY><FREE_CPU><![CDATA[780]]>")
    with pytest.raises(pyone.OneNoExistsException):
        measured.one.host.monitoring(12345)


def test_pools_by_seconds(measured):
    def vms(*seconds):
        return [(sample.ID, sample.TIMESTAMP) for sample in measured.one.vmpool.monitoring(ALL, *seconds).MONITORING]

    living, times = measured.vms[:2], measured.times
    every = [(vm, when) for vm in living for when in times]
    assert vms(-1) == vms() == every
    assert vms(0) == [(vm, times[-1]) for vm in living]
    assert vms(300) == [(vm, times[-1]) for vm in living]
    assert vms(450) == [(vm, when) for vm in living for when in times[1:]]
    body = Session(measured.server).ok("hostpool.monitoring", 0)
    assert body.count("<MONITORING>") == len(measured.hosts)
    assert len(measured.one.hostpool.monitoring(300).MONITORING) == len(measured.hosts)
    assert len(measured.one.hostpool.monitoring().MONITORING) > 2 * len(measured.hosts)


def test_everybody_sees_their_own(measured):
    dora = pyone.OneServer(measured.server.url, session="dora:dora")
    assert {sample.ID for sample in dora.vmpool.monitoring(ALL, -1).MONITORING} == {measured.vms[1]}
    assert dora.hostpool.monitoring(-1).MONITORING == []
    assert len(dora.vm.monitoring(measured.vms[1]).MONITORING) == 3
    for call in (lambda: dora.vm.monitoring(measured.vms[0]), lambda: dora.vm.monitoring(measured.vms[2]), lambda: dora.host.monitoring(0)):
        with pytest.raises(pyone.OneAuthorizationException):
            call()


def test_what_was_never_measured_has_no_samples(measured):
    admin = Session(measured.server)
    vm = admin.ok("vm.allocate", cloud.VM.format("new"), True)
    assert admin.ok("vm.monitoring", vm) == "<MONITORING_DATA></MONITORING_DATA>"


def test_a_file_that_is_no_history_keeps_nobody_out(tmp_path):
    server = Server(tmp_path / "one")
    (server.directory / "var").mkdir(parents=True, exist_ok=True)
    (server.directory / "var/monitoring.db").write_text("no database at all, whatever its name says")
    server.start()
    assert Session(server).ok("hostpool.monitoring", -1) == "<MONITORING_DATA></MONITORING_DATA>"
    assert "there will be no history of samples" in server.log_path.read_text()
    server.end()

"""Numbers within texts at the bounds of what 32 and 64 bits hold, one at a time in a text that is otherwise good: refused in
a few words or taken; the server goes on, sums do not turn over, and what it shows can be read."""

import itertools
import re
import xml.etree.ElementTree as ElementTree

import pytest

import test_permissions
from harness.dump import dump
from harness.server import Server
from test_bad_parameters import is_clear

NUMBER = re.compile(r'(?<==")-?\d+(?:\.\d+)?(?=")')
EXTREMES = ("-1", "2147483648", str(2**63 - 1), str(2**63), str(2**64), str(-(2**63)), "9" * 400, "1e308", "NaN")
SUMS = re.compile(r"<(?:\w+_USED|\w+_USAGE|USED_LEASES)>-")
SCHED = 'SCHED_ACTION=[ACTION="hold",TIME="1999999999",REPEAT="{}",DAYS="{}",END_TYPE="{}",END_VALUE="{}"]'
QUOTAS = """VM=[VMS="9",CPU="9",MEMORY="9",SYSTEM_DISK_SIZE="9",RUNNING_VMS="9",RUNNING_CPU="9",RUNNING_MEMORY="9"]
DATASTORE=[ID="1",SIZE="9",IMAGES="9"]
NETWORK=[ID="0",LEASES="9"]
IMAGE=[ID="0",RVMS="9"]"""
SMALL = 'NAME="v{n}"\nCPU="1"\nVCPU="2"\nMEMORY="64"\n'
RANGE = 'AR=[TYPE="IP4",IP="10.9.0.1",SIZE="2"]'
# A text's place among the parameters: behind the id of an object (of the kind named), or first.
CALLS = [
    ("owner", "vm.allocate", None, SMALL + 'VCPU_MAX="4"\nMEMORY_MAX="128"\nMEMORY_SLOTS="2"', True),
    ("oneadmin", "vm.allocate", None, SMALL + 'CPU_COST="1"\nMEMORY_COST="1"\nDISK_COST="1"', True),
    ("oneadmin", "vm.allocate", None, SMALL + 'DISK=[TYPE="fs",SIZE="1",TOTAL_IOPS_SEC="9",READ_BYTES_SEC="9",IOTHREAD="1"]', True),
    ("owner", "vm.allocate", None, SMALL + 'DISK=[TYPE="fs",SIZE="1"]\nDISK=[TYPE="swap",SIZE="1"]', True),
    ("oneadmin", "vm.allocate", None, SMALL + 'NIC=[NETWORK_ID="0",INBOUND_AVG_BW="9",INBOUND_PEAK_BW="9",OUTBOUND_PEAK_KB="9",VIRTIO_QUEUES="2"]', True),
    ("oneadmin", "vm.allocate", None, SMALL + 'TOPOLOGY=[PIN_POLICY="CORE",SOCKETS="1",CORES="2",THREADS="1",HUGEPAGE_SIZE="2"]\nNUMA_NODE=[TOTAL_CPUS="2",MEMORY="64"]', True),
    ("owner", "vm.allocate", None, SMALL + 'TOPOLOGY=[NODE_AFFINITY="0"]\nFEATURES=[IOTHREADS="1",VIRTIO_SCSI_QUEUES="1",VIRTIO_BLK_QUEUES="1"]', True),
    ("oneadmin", "vm.allocate", None, SMALL + 'USER_PRIORITY="1"\nBACKUP_CONFIG=[KEEP_LAST="1"]\nGRAPHICS=[TYPE="VNC",PORT="5999"]', True),
    ("owner", "vm.allocate", None, SMALL + SCHED.format(0, 1, 1, 5), True),
    ("oneadmin", "vm.update", "vm", 'AUTOSTART_ORDER="1"\nAUTOSTART_DELAY="1"\nAUTOSTART_AFTER="1"\nUSER_PRIORITY="1"', 1),
    ("oneadmin", "vm.updateconf", "vm", 'BACKUP_CONFIG=[KEEP_LAST="1"]\nFEATURES=[IOTHREADS="1"]\nGRAPHICS=[TYPE="VNC",PORT="5998"]', 1),
    ("owner", "vm.resize", "vm", 'CPU="0.2"\nVCPU="1"\nMEMORY="32"', True),
    ("owner", "vm.schedadd", "vm", SCHED.format(1, 3, 0, 2)),
    ("owner", "vm.schedadd", "vm", SCHED.format(3, 6, 2, 1999999999)),
    ("oneadmin", "image.allocate", None, 'NAME="i{n}"\nTYPE="DATABLOCK"\nSIZE="1"\nFORMAT="raw"', 1),
    ("oneadmin", "vn.allocate", None, 'NAME="n{n}"\nVN_MAD="vxlan"\nPHYDEV="eth0"\nVLAN_ID="4000"\nMTU="1500"\nINBOUND_AVG_BW="9"\n' + RANGE, -1),
    ("oneadmin", "vn.allocate", None, 'NAME="n{n}"\nVN_MAD="bridge"\nAR=[TYPE="IP6_STATIC",IP6="2001:db8::1",PREFIX_LENGTH="64",SIZE="2"]', -1),
    ("oneadmin", "vn.add_ar", "vn", RANGE),
    ("oneadmin", "vn.update_ar", "vn", 'AR=[AR_ID="0",SIZE="3"]'),
    ("oneadmin", "vn.reserve", "vn", 'NAME="r{n}"\nSIZE="1"\nAR_ID="0"'),
    ("oneadmin", "host.update", "host", 'RESERVED_CPU="100"\nRESERVED_MEM="1024"', 1),
    ("oneadmin", "cluster.update", "cluster", 'RESERVED_CPU="100"\nRESERVED_MEM="1024"', 1),
    ("oneadmin", "datastore.update", "datastore", 'LIMIT_MB="100"\nLIMIT_TRANSFER_BW="9"', 1),
    ("oneadmin", "user.quota", "user", QUOTAS),
    ("oneadmin", "group.quota", "group", QUOTAS),
    ("oneadmin", "userquota.update", None, QUOTAS),
    ("oneadmin", "groupquota.update", None, QUOTAS),
    ("oneadmin", "secgroup.allocate", None, 'NAME="s{n}"\nRULE=[PROTOCOL="ICMP",ICMP_TYPE="8",RULE_TYPE="inbound"]\nRULE=[PROTOCOL="TCP",RANGE="22",RULE_TYPE="inbound",IP="10.0.0.1",SIZE="5"]'),
    ("oneadmin", "vmgroup.allocate", None, 'NAME="g{n}"\nROLE=[NAME="a",HOST_AFFINED="0",HOST_ANTI_AFFINED="1"]'),
    ("oneadmin", "vrouter.allocate", None, 'NAME="r{n}"\nKEEPALIVED_ID="1"\nNIC=[NETWORK_ID="0"]'),
    ("oneadmin", "backupjob.allocate", None, 'NAME="b{n}"\nKEEP_LAST="1"\nPRIORITY="50"\nBACKUP_VMS="0"\nDATASTORE_ID="1"\n' + SCHED.format(0, 1, 1, 5)),
    ("oneadmin", "hook.allocate", None, 'NAME="h{n}"\nTYPE="api"\nCALL="one.vm.rename"\nCOMMAND="/bin/true"\nTIMEOUT="5"'),
]
NAMES = itertools.count()


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A server whose owner is counted. Sums that turned over would be negative."""
    instance = Server(tmp_path_factory.mktemp("numbers")).start()
    stage = test_permissions.Stage(instance)
    yield stage
    for call, body in dump(stage.admin).items():
        ElementTree.fromstring(body)
        assert not SUMS.search(body), call
    instance.end()


@pytest.fixture(autouse=True)
def unmoved(stage):
    """The same process around each test, and nobody has limits of a test before."""
    unlimited = re.sub(r'"9"', '"-1"', QUOTAS)
    for kind, ident in (("user", stage.users["owner"]), ("group", stage.group)):
        stage.admin.ok(f"{kind}.quota", ident, unlimited)
    for method in ("userquota.update", "groupquota.update"):
        stage.admin.ok(method, unlimited)
    server = stage.admin.server
    pid = server.pid
    yield
    assert server.process.poll() is None and server.pid == pid, server.log_tail()
    server.panic_refuse()


def spoilt(text):
    """The text once for each of its numbers and each other one in its place."""
    for found in NUMBER.finditer(text):
        for extreme in EXTREMES:
            yield text[: found.start()] + extreme + text[found.end() :]


@pytest.mark.parametrize("row", CALLS, ids=[f"{number}-{row[1]}" for number, row in enumerate(CALLS)])
def test_numbers_in_texts(stage, row):
    role, method, kind, text, *behind = row
    before = [] if kind is None else [stage.fresh(kind)]

    def call(text):
        return stage.sessions[role].call(method, *before, text.replace("{n}", str(next(NAMES))), *behind)

    assert call(text).outcome == "ok", call(text)
    answers = [(wrong, call(wrong)) for wrong in spoilt(text)]
    assert [(wrong[:300], answer) for wrong, answer in answers if not is_clear(method, answer)] == []

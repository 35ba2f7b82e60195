"""What the recordings had made before each call, made again: not every call of the originals was kept.

A series is a fresh server. Its steps are made in front of the recorded call with their number; ids that cannot be the
same are mapped.
"""

import re

from harness import cloud
from harness.rpc import Session

DUMMY = 'DS_MAD="dummy"\nTM_MAD="dummy"'
NET = 'NAME="{}"\nVN_MAD="dummy"\nBRIDGE="br0"\nAR=[TYPE="IP4",IP="192.0.2.10",SIZE="50"]'
USABLE = (1, 1, 0, 1, 0, 0, 1, 0, 0)
CAPVM, CAPVM2, CAPHOST = 601, 602, 50


class Stage:
    """A server on which a series is played; `ids` maps (kind, recorded id) to the id here."""

    def __init__(self, admin):
        self.admin = admin
        self.ids = {}

    def do(self, method, *params):
        """A step that must go well."""
        return self.admin.ok(method, *params)

    def made(self, kind, recorded, ident):
        """Notes the id of an object whose recorded id was another."""
        self.ids[kind, recorded] = ident
        return ident

    def of(self, kind, recorded):
        """The id here."""
        return self.ids.get((kind, recorded), recorded)

    def vm(self, recorded, state, lcm=0):
        """Waits for a state of a VM, named by its recorded id."""
        cloud.vm_await(self.admin, self.of("vm", recorded), state, lcm)

    def act(self, action, recorded, state, lcm=0):
        """An action on a VM and its end."""
        self.do("vm.action", action, self.of("vm", recorded))
        self.vm(recorded, state, lcm)


def first_series_start(stage):
    """Users 2, groups 100 and 101, datastores as recorded."""
    stage.do("user.allocate", "capuser26603", "cappassword", "", [])
    stage.do("user.update", 2, 'EMAIL="a@b.example"\nNESTED=[A="1",B="2"]', 0)
    for name in ("capgroup26603", "capgroup26939"):
        stage.do("group.allocate", name)
    stage.do("group.update", 100, 'NOTE="x"', 0)
    stage.do("user.quota", 2, 'VM=[VMS="10",CPU="4",MEMORY="8192"]')
    stage.do("group.quota", 100, 'VM=[VMS="100"]')
    stage.do("datastore.update", 2, 'TM_MAD="local"', 1)
    stage.do("datastore.update", 0, 'TM_MAD="dummy"', 1)
    stage.do("datastore.update", 1, DUMMY, 1)
    for number in range(3):
        stage.do("template.allocate", f'NAME="earlier{number}"\nCPU="1"\nMEMORY="64"')


def first_series_host(stage):
    host = stage.made("host", CAPHOST, stage.do("host.allocate", "caphost26939", "dummy", "dummy", 100))
    cloud.state_await(stage.admin, "host.info", host, 2)


def first_series_host_on(stage):
    host = stage.of("host", CAPHOST)
    stage.do("host.status", host, 0)
    cloud.state_await(stage.admin, "host.info", host, 2)


def first_series_image(stage):
    image = stage.do("image.allocate", 'NAME="capimg26939"\nTYPE="OS"\nPATH="/etc/hostname"\nFORMAT="raw"\nDEV_PREFIX="vd"', 1)
    cloud.state_await(stage.admin, "image.info", image, 1)


def first_series_vm(stage):
    stage.do("template.unlock", 3)
    stage.made("vm", CAPVM, stage.do("template.instantiate", 3, "capvm26939", True))


def first_series_pending(stage):
    """Released, and with no host to go to."""
    stage.do("host.status", stage.of("host", CAPHOST), 1)
    stage.do("vm.action", "release", stage.of("vm", CAPVM2))


def first_series_resize(stage):
    """Once the disk that is saved has become an image."""
    stage.vm(CAPVM, 8)
    stage.do("vm.resize", stage.of("vm", CAPVM), 'CPU="1"\nMEMORY="256"\nVCPU="2"', False)


def first_series_suspend(stage):
    stage.act("resume", CAPVM, 3, 3)


def first_series_done(stage):
    stage.act("terminate-hard", CAPVM, 6)


def first_series_detach(stage):
    """The disk that was attached had been taken off again."""
    stage.vm(CAPVM, 3, 3)
    vm = stage.of("vm", CAPVM)
    disks = re.findall(r"<DISK_ID><!\[CDATA\[(\d+)\]\]>", stage.admin.ok("vm.info", vm).split("<CONTEXT>")[-1])
    stage.do("vm.detach", vm, max(map(int, disks)))
    stage.vm(CAPVM, 3, 3)


FIRST = {
    1: first_series_start,
    13: lambda stage: stage.do("user.addgroup", 3, 101),
    28: lambda stage: stage.do("group.update", 101, 'NOTE="x"', 0),
    37: first_series_host,
    43: first_series_host_on,
    46: lambda stage: stage.do("cluster.adddatastore", 100, 0),
    49: lambda stage: stage.do("datastore.allocate", f'NAME="capds26939"\n{DUMMY}', -1),
    56: lambda stage: stage.do("datastore.rename", 100, "capds-new26939"),
    58: first_series_image,
    67: lambda stage: stage.do("image.persistent", 0, False),
    70: lambda stage: stage.do("image.lock", 0, 1, False),
    73: lambda stage: stage.do("image.rename", 0, "capimg-new26939"),
    79: lambda stage: stage.do(
        "secgroup.allocate",
        'NAME="capsg-clone26939"\nNOTE="x"\nRULE=[PROTOCOL="TCP",RULE_TYPE="inbound",RANGE="22"]'
        '\nRULE=[PROTOCOL="ALL",RULE_TYPE="outbound"]',
    ),
    94: lambda stage: stage.do("vntemplate.allocate", 'NAME="capvnt26939"\nVN_MAD="dummy"\nBRIDGE="br1"'),
    106: lambda stage: stage.do("template.unlock", 3),
    109: first_series_vm,
    112: first_series_pending,
    113: first_series_host_on,
    115: lambda stage: stage.vm(CAPVM, 3, 3),
    # The recordings waited for each change of a device.
    **{number: lambda stage: stage.vm(CAPVM, 3, 3) for number in (125, 127)},
    124: first_series_detach,
    134: lambda stage: stage.vm(CAPVM, 8),
    139: first_series_resize,
    140: first_series_suspend,
    142: lambda stage: (stage.vm(CAPVM, 5), stage.act("resume", CAPVM, 3, 3)),
    143: lambda stage: stage.vm(CAPVM, 9),
    155: first_series_done,
    160: lambda stage: stage.do("vdc.allocate", 'NAME="capvdc26939"'),
    181: lambda stage: stage.do("vrouter.allocate", 'NAME="capvr26939"\nNIC=[NETWORK_ID="0"]'),
    220: lambda stage: stage.do("vn.delete", 1),
}


def second_series_job(stage):
    """A backup job; the third scheduled action of the recorded series was added by a call that is not among the recorded ones."""
    stage.do("backupjob.allocate", 'NAME="bj"\nBACKUP_VMS="0"\nDATASTORE_ID="101"\nKEEP_LAST="2"\nPRIORITY="10"')
    stage.do("vm.schedadd", 1, 'SCHED_ACTION=[ACTION="reboot",TIME="1999999999"]')


def second_series_start(stage):
    do = stage.do
    do("group.allocate", "dev")
    do("acl.addrule", "200000064", "29400000000", "8", "")
    do("user.allocate", "dora", "dorapassword", "", [100])
    do("datastore.update", 0, 'TM_MAD="dummy"', 1)
    do("datastore.allocate", f'NAME="images_dummy"\nTYPE="IMAGE_DS"\n{DUMMY}', -1)
    do("datastore.allocate", 'NAME="backups"\nTYPE="BACKUP_DS"\nDS_MAD="dummy"', -1)
    for name in ("node-a", "node-b"):
        cloud.state_await(stage.admin, "host.info", do("host.allocate", name, "dummy", "dummy", -1), 2)
    do("cluster.allocate", "east")
    for text in (
        'NAME="os"\nTYPE="OS"\nPATH="/etc/hostname"\nFORMAT="raw"\nDEV_PREFIX="vd"',
        'NAME="data"\nTYPE="DATABLOCK"\nSIZE="16"\nFORMAT="raw"\nPERSISTENT="YES"\nDEV_PREFIX="vd"',
    ):
        image = do("image.allocate", text, 100)
        cloud.state_await(stage.admin, "image.info", image, 1)
        do("image.chmod", image, *USABLE)
    do("datastore.chmod", 100, *USABLE)
    cloud.state_await(stage.admin, "vn.info", do("vn.allocate", NET.format("net"), -1), 1)
    do("secgroup.allocate", 'NAME="web"\nRULE=[PROTOCOL="TCP",RULE_TYPE="inbound",RANGE="22"]')


def second_series_held(stage):
    stage.do("vn.add_ar", 0, 'AR=[TYPE="ETHER",MAC="02:00:00:00:00:10",SIZE="3"]')
    stage.do("vn.hold", 0, 'LEASES=[MAC="02:00:00:00:00:11"]')


def second_series_vms(stage):
    """Networks 3 and 4; VMs 0 (two disks, networked) and 1 (one disk), both running, and 2 on hold."""
    do = stage.do
    nics = 'NIC=[NETWORK_ID="0",SECURITY_GROUPS="100"]\nCONTEXT=[NETWORK="YES"]'
    two_disks = 'CPU="0.5"\nMEMORY="128"\nDISK=[IMAGE_ID="0"]\nDISK=[IMAGE_ID="1"]'
    for name in ("t0", "t1"):
        do("template.allocate", cloud.VM.format(name))
    for name in ("fourth", "fifth"):
        cloud.state_await(stage.admin, "vn.info", do("vn.allocate", NET.format(name), -1), 1)
    for text in (f'NAME="v1"\n{two_disks}\n{nics}', cloud.VM.format("v2") + '\nDISK=[IMAGE_ID="0"]'):
        vm = do("vm.allocate", text, True)
        do("vm.deploy", vm, 0, False, 0, "")
        cloud.vm_await(stage.admin, vm, 3, 3)
    do("vm.allocate", 'NAME="v3"\nCPU="0.1"\nMEMORY="64"\nNIC=[NETWORK_ID="3"]', True)


def second_series_off(stage, method, device):
    """Takes a device off VM 0 once the change before has ended."""
    stage.vm(0, 3, 3)
    stage.do(method, 0, device)
    stage.vm(0, 3, 3)


def second_series_snapshot(stage):
    """A second snapshot upon the first."""
    stage.vm(0, 3, 3)
    stage.do("vm.disksnapshotcreate", 0, 1, "second")
    stage.vm(0, 3, 3)


def second_series_resize(stage):
    stage.vm(1, 3, 3)
    stage.do("vm.diskresize", 1, 0, "2048")
    stage.vm(1, 3, 3)


def second_series_vmgroup(stage):
    stage.do("vmgroup.allocate", 'NAME="vmg"\nROLE=[NAME="a",POLICY="ANTI_AFFINED"]\nROLE=[NAME="b"]')
    stage.do("vmgroup.roleadd", 0, 'ROLE=[NAME="c",POLICY="AFFINED"]')


def second_series_vrouter(stage):
    """Template 0 made virtual router templates' first, NIC with a floating address; VM 3 of the recording is one of its."""
    stage.do("template.update", 0, 'VROUTER="YES"\nCPU="0.1"\nMEMORY="64"\nDISK=[IMAGE_ID="0"]\nCONTEXT=[NETWORK="YES"]', 0)
    stage.do("vrouter.allocate", 'NAME="edge"\nNIC=[NETWORK_ID="0",FLOATING_IP="YES"]')


def second_series_vrouter_over(stage):
    """The virtual router goes with its VMs; VM 5 is one with a disk."""
    stage.do("vrouter.allocate", 'NAME="edge3"')
    stage.do("vrouter.unlock", 0)
    stage.do("vrouter.delete", 0)
    stage.do("vm.allocate", 'NAME="v6"\nCPU="0.1"\nMEMORY="64"\nNIC=[NETWORK_ID="3"]\nDISK=[IMAGE_ID="0"]', True)


def second_series_token(stage):
    """A token of user 2; the recorded one is replaced by it."""
    stage.made("token", "2cfc01a13670dc9efbcfd2d2eae37a6d5e1616031f16426099c9ffb6c8490d4f",
               stage.do("user.login", "dora", "", 6000, -1))


def dora(stage, method, *params):
    """What user 2 did between the recorded calls."""
    return Session(stage.admin.server, "dora:dorapassword").ok(method, *params)


def second_series_quota(stage):
    stage.do("user.addgroup", 2, 1)
    stage.do("user.quota", 2, 'VM=[VMS="2",CPU="1",MEMORY="512",SYSTEM_DISK_SIZE="2048"]')
    dora(stage, "vm.allocate", cloud.VM.format("q2"), True)


def second_series_image(stage):
    image = 'NAME="qi"\nTYPE="DATABLOCK"\nSIZE="5"\nFORMAT="raw"'
    stage.made("image", 3, dora(stage, "image.allocate", image, 100))


def second_series_group_quota(stage):
    stage.do("user.quota", 2, 'VM=[VMS="-1"]\nNETWORK=[ID="4",LEASES="-1"]')
    stage.do("group.quota", 100, 'VM=[VMS="2"]')


SECOND = {
    300: second_series_start,
    306: lambda stage: stage.do("vn.add_ar", 0, 'AR=[TYPE="IP4",IP="198.51.100.10",SIZE="5"]'),
    309: lambda stage: stage.do("vn.add_ar", 0, 'AR=[TYPE="IP6_STATIC",IP6="2001:db8:3::5",PREFIX_LENGTH="64",SIZE="3"]'),
    315: second_series_held,
    321: lambda stage: stage.do("vn.reserve", 0, 'NAME="chosen"\nSIZE="2"\nAR_ID="0"\nIP="192.0.2.40"'),
    324: second_series_vms,
    **{number: lambda stage: stage.vm(0, 3, 3) for number in (331, 333, 334, 345, 346, 349, 352, 355, 361)},
    # The NIC and the disk that were attached had been taken off again.
    348: lambda stage: second_series_off(stage, "vm.detachnic", 1),
    351: lambda stage: second_series_off(stage, "vm.detach", 3),
    354: second_series_snapshot,
    **{number: lambda stage: (stage.vm(0, 3, 3), stage.vm(1, 3, 3)) for number in (357, 358)},
    375: second_series_resize,
    379: lambda stage: stage.do("vdc.allocate", 'NAME="vdc"'),
    381: lambda stage: stage.do("vdc.addcluster", 100, 0, 100),
    384: lambda stage: stage.do("vdc.addvnet", 100, 0, 0),
    399: second_series_token,
    405: lambda stage: Session(stage.admin.server, "dora:dorapassword").ok("user.login", "dora", "", 3600, 100),
    411: lambda stage: stage.do("group.deladmin", 100, 2),
    415: lambda stage: stage.do("cluster.addvnet", 100, 4),
    420: second_series_vmgroup,
    429: lambda stage: stage.do("vmgroup.lock", 0, 4, False),
    432: second_series_vrouter,
    444: second_series_vrouter_over,
    430: lambda stage: stage.do("vm.vmgroupadd", 2, 0, "a"),
    480: second_series_job,
    # The group of user 2 may create nothing by itself; group 1 may.
    493: lambda stage: stage.do("user.addgroup", 2, 1),
    499: lambda stage: stage.do("user.delgroup", 2, 1),
    501: second_series_quota,
    502: lambda stage: stage.do("user.delgroup", 2, 1),
    505: lambda stage: stage.do("user.addgroup", 2, 1),
    510: second_series_image,
    516: second_series_group_quota,
    517: lambda stage: stage.do("user.delgroup", 2, 1),
    561: lambda stage: stage.do("user.addgroup", 2, 1),
    565: lambda stage: stage.do("user.delgroup", 2, 1),
}

# First recorded number of a series -> its steps.
SERIES = {1: FIRST, 300: SECOND}

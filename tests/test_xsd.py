"""Every body that info and pool calls answer, in many states, against the published XML Schemas.

The schemas are not part of this project: they are taken from PLERION_XSD_DIR, else from ../shared/parity/xsd beside
the repository. Without them these tests are skipped, loudly.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from harness import cloud, kinds
from harness.rpc import Session
from harness.server import BINARY, REPOSITORY, Server

NAMESPACE = "http://opennebula.org/XMLSchema"
SCHEMAS = {
    "HISTORY_RECORDS": "acct",
    "SHOWBACK_RECORDS": "showback",
    "SECURITY_GROUP": "security_group",
    "SECURITY_GROUP_POOL": "security_group_pool",
    "VM_GROUP": "vm_group",
    "VM_GROUP_POOL": "vm_group_pool",
}
EXTENDED = "vm_pool_extended"

# Where the answers of a 7.4.0 server break these schemas too (recorded): schema, path, element that is not expected.
AS_RECORDED = {
    # Attributes of a RULE are sorted by name there; ICMP_TYPE (not recorded) sorts before PROTOCOL like RANGE after it.
    ("security_group", "/SECURITY_GROUP/TEMPLATE/RULE", "ICMP_TYPE"),
    ("security_group_pool", "/SECURITY_GROUP_POOL/SECURITY_GROUP/TEMPLATE/RULE", "ICMP_TYPE"),
    ("opennebula_configuration", "/OPENNEBULA_CONFIGURATION/DB/BACKEND", ""),
    ("opennebula_configuration", "/OPENNEBULA_CONFIGURATION/FEDERATION", "MASTER_ONED_GRPC"),
    ("opennebula_configuration", "/OPENNEBULA_CONFIGURATION/VM_MAD", "SUPPORT_SHAREABLE"),
    ("security_group", "/SECURITY_GROUP/TEMPLATE/RULE", "RANGE"),
    ("security_group_pool", "/SECURITY_GROUP_POOL/SECURITY_GROUP/TEMPLATE", "NOTE"),
    ("security_group_pool", "/SECURITY_GROUP_POOL/SECURITY_GROUP/TEMPLATE/RULE", "RANGE"),
    ("vm", "/VM/TEMPLATE", "VCPU"),
    ("vm", "/VM/TEMPLATE", "VMGROUP"),
    ("vm", "/VM/TEMPLATE", "VROUTER_ID"),
    ("vm", "/VM/TEMPLATE", "VROUTER_KEEPALIVED_ID"),
    ("vm", "/VM/TEMPLATE", "VMID"),
    (EXTENDED, "/VM_POOL/VM/TEMPLATE", "VCPU"),
    (EXTENDED, "/VM_POOL/VM/TEMPLATE", "VMGROUP"),
    (EXTENDED, "/VM_POOL/VM/TEMPLATE", "VROUTER_ID"),
    (EXTENDED, "/VM_POOL/VM/TEMPLATE", "VROUTER_KEEPALIVED_ID"),
    (EXTENDED, "/VM_POOL/VM/TEMPLATE", "VMID"),
    ("vnet", "/VNET/AR_POOL/AR", "GATEWAY"),
    ("vnet", "/VNET/AR_POOL/AR", "IP6"),
    ("vnet", "/VNET/AR_POOL/AR", "PREFIX_LENGTH"),
    ("vnet_pool", "/VNET_POOL/VNET/AR_POOL/AR", "IP6"),
    ("vnet_pool", "/VNET_POOL/VNET/AR_POOL/AR", "PREFIX_LENGTH"),
    ("zone", "/ZONE/TEMPLATE", "ENDPOINT_GRPC"),
    ("zone_pool", "/ZONE_POOL/ZONE/TEMPLATE", "ENDPOINT_GRPC"),
}


def schema_directory():
    """The directory of the schemas, or None."""
    given = os.environ.get("PLERION_XSD_DIR")
    directory = Path(given) if given else REPOSITORY.parent / "shared/parity/xsd"
    return directory if (directory / "vm.xsd").is_file() else None


@pytest.fixture(scope="module")
def validate():
    """A function that gives the deviations of a body as (schema, path, element, message)."""
    directory = schema_directory()
    if directory is None:
        reason = "no XML Schemas: set PLERION_XSD_DIR to the directory that holds vm.xsd"
        pytest.skip(reason)  # `-ra` of pytest.ini prints it
    xmlschema = pytest.importorskip("xmlschema")
    loaded = {}

    def deviations(body, name=None):
        root = re.match(r"<(\w+)", body)[1]
        name = name or SCHEMAS.get(root, root.lower())
        if name not in loaded:
            loaded[name] = xmlschema.XMLSchema(directory / f"{name}.xsd")
        named = body.replace(f"<{root}", f'<{root} xmlns="{NAMESPACE}"', 1)
        for error in loaded[name].iter_errors(named):
            path = re.sub(r"\[\d+\]|\{[^}]*\}", "", str(error.path or ""))
            reason = re.sub(r"\{[^}]*\}", "", error.reason or "")
            element = re.search(r"Unexpected child with tag '(\w+)'", reason)
            yield name, path, element[1] if element else "", reason

    return deviations


@pytest.fixture(scope="module")
def populated(tmp_path_factory, validate):
    """A server with objects of every kind in many states; needs the schemas, so that a skip costs nothing."""
    instance = Server(tmp_path_factory.mktemp("xsd")).start()
    populate(Session(instance))
    yield instance
    instance.end()


def populate(admin):
    made = cloud.cloud_make(admin)
    for kind in kinds.KINDS.values():
        kind.make(admin.ok, f"one-{kind.name}")
    users_populate(admin)
    network_populate(admin, made)
    admin.ok("cluster.addhost", admin.ok("cluster.allocate", "second"), made.hosts[1])
    admin.ok("host.status", admin.ok("host.allocate", "switched-off", "dummy", "dummy", -1), 1)
    admin.ok("host.status", admin.ok("host.allocate", "offline", "dummy", "dummy", -1), 2)
    locked = admin.ok("image.allocate", cloud.IMAGE.format("locked"), made.image_ds)
    cloud.state_await(admin, "image.info", locked, 1)
    admin.ok("image.lock", locked, 1, False)
    copy = admin.ok("image.clone", made.image, "copied", -1)
    cloud.state_await(admin, "image.info", copy, 1)
    admin.ok("template.lock", admin.ok("template.clone", made.template, "locked"), 2, False)
    admin.ok("template.update", made.template, 'NOTE="x"\nCONTEXT=[NETWORK="YES"]', 1)
    groups_populate(admin)
    schedule_populate(admin)
    market_populate(admin, made)
    router_populate(admin, made)
    nics_populate(admin, made)
    pci_populate(admin, made)
    vms_populate(admin, made)
    backups_populate(admin, made)


def backups_populate(admin, made):
    """A chain of increments, and a job with a VM that it cannot back up."""
    store = admin.ok("datastore.allocate", 'NAME="backups"\nTYPE="BACKUP_DS"\nDS_MAD="dummy"', -1)
    vm = admin.ok("template.instantiate", made.template, "backed-up", True, "", False)
    admin.ok("vm.deploy", vm, made.hosts[0], False, -1, "")
    cloud.vm_await(admin, vm, 3, 3)
    admin.ok("vm.updateconf", vm, 'BACKUP_CONFIG=[MODE="INCREMENT",KEEP_LAST="4",BACKUP_VOLATILE="YES"]', 1)
    for _ in range(2):
        admin.ok("vm.backup", vm, store, False)
        cloud.eventually(lambda: admin.ok("vm.info", vm), lambda body: "<BACKUP_IDS><ID>" in body and "<LCM_STATE>3<" in body, "a backup")
    job = admin.ok("backupjob.allocate", f'NAME="nightly"\nBACKUP_VMS="999999,{vm}"\nDATASTORE_ID="{store}"\nSCHED_ACTION=[TIME="1999999999"]')
    admin.ok("backupjob.backup", job)
    admin.ok("backupjob.lock", job, 1, False)


def users_populate(admin):
    group = admin.ok("group.allocate", "developers")
    user = admin.ok("user.allocate", "dora", "secret", "", [group])
    admin.ok("user.addgroup", user, 1)
    admin.ok("user.update", user, 'EMAIL="a@b.example"\nNESTED=[A="1",B="2"]', 1)
    admin.ok("user.login", "dora", "", 600, -1)
    admin.ok("user.enable", admin.ok("user.allocate", "disabled", "secret", ""), False)


def network_populate(admin, made):
    admin.ok("vn.add_ar", made.vnet, 'AR=[TYPE="ETHER",SIZE="5"]')
    for one_range in (
        'TYPE="IP6",SIZE="4",GLOBAL_PREFIX="2001:db8:1::",ULA_PREFIX="fd00::"',
        'TYPE="IP4_6",IP="203.0.113.1",SIZE="4",GLOBAL_PREFIX="2001:db8:2::"',
        'TYPE="IP4_6_STATIC",IP="203.0.113.100",IP6="2001:db8:4::5",PREFIX_LENGTH="64",SIZE="2"',
        'TYPE="IP6_STATIC",IP6="2001:db8:3::5",PREFIX_LENGTH="64",SIZE="3"',
    ):
        admin.ok("vn.add_ar", made.vnet, f"AR=[{one_range}]")
    reservation = admin.ok("vn.reserve", made.vnet, 'NAME="reserved"\nSIZE="3"')
    admin.ok("vn.reserve", made.vnet, f'NETWORK_ID="{reservation}"\nSIZE="2"\nAR_ID="2"')
    for index in range(5):
        admin.ok("vm.allocate", cloud.VM.format(f"v6-{index}") + f'\nNIC=[NETWORK_ID="{made.vnet}",AR_ID="{index}"]', True)
    admin.ok("vn.hold", made.vnet, 'LEASES=[IP="192.0.2.40"]')
    admin.ok("vn.update", made.vnet, 'GATEWAY="192.0.2.1"\nDNS="192.0.2.2"', 1)
    admin.ok("vn.lock", admin.ok("vn.allocate", cloud.VNET.format("locked"), -1), 3, False)
    admin.ok(
        "secgroup.allocate",
        'NAME="rules"\nDESCRIPTION="x"\nRULE=[PROTOCOL="TCP",RULE_TYPE="inbound",RANGE="22"]'
        '\nRULE=[PROTOCOL="ICMP",RULE_TYPE="inbound",ICMP_TYPE="8"]\nRULE=[PROTOCOL="ALL",RULE_TYPE="outbound"]',
    )


def groups_populate(admin):
    group = admin.ok(
        "vmgroup.allocate",
        'NAME="tiers"\nROLE=[NAME="a",POLICY="AFFINED"]\nROLE=[NAME="b",HOST_AFFINED="0",HOST_ANTI_AFFINED="1"]\nANTI_AFFINED="a,b"',
    )
    for role in ("a", "a", "b"):
        admin.ok("vm.allocate", cloud.VM.format("member") + f'\nVMGROUP=[VMGROUP_ID="{group}",ROLE="{role}"]', True)
    admin.ok("vmgroup.lock", group, 1, False)
    template = admin.ok("vntemplate.allocate", 'NAME="tenant"\nVN_MAD="dummy"\nBRIDGE="br0"\nAR=[TYPE="ETHER",SIZE="5"]')
    admin.ok("vntemplate.instantiate", template, "tenant-1", "")
    admin.ok("vntemplate.lock", template, 2, False)


def nics_populate(admin, made):
    """A NIC that waits for its network, and aliases."""
    admin.ok("vm.allocate", cloud.VM.format("auto") + '\nNIC=[NETWORK_MODE="auto",SCHED_RANK="ID"]', True)
    nic = f'NETWORK_ID="{made.vnet}",AR_ID="0"'
    admin.ok("vm.allocate", cloud.VM.format("aliased") + f'\nNIC=[{nic}]\nNIC_ALIAS=[{nic},PARENT="NIC0"]', True)


def router_populate(admin, made):
    admin.ok("vn.add_ar", made.vnet, 'AR=[TYPE="IP4_6",IP="203.0.113.200",SIZE="9",GLOBAL_PREFIX="2001:db8:5::"]')
    template = admin.ok("template.allocate", cloud.VM.format("router") + '\nVROUTER="YES"\nCONTEXT=[NETWORK="YES"]')
    nic = f'\nNIC=[NETWORK_ID="{made.vnet}",FLOATING_IP="YES"]'
    router = admin.ok("vrouter.allocate", f'NAME="edge"{nic}\nNIC=[NETWORK_ID="{made.vnet}",AR_ID="5",FLOATING_IP="YES"]')
    admin.ok("vrouter.instantiate", router, 2, template, "", True, "")
    admin.ok("vrouter.lock", router, 1, False)


def market_populate(admin, made):
    market = admin.ok("market.allocate", cloud.MARKET.format("own"))
    more = '\nDESCRIPTION="d"\nVERSION="1"\nAPPTEMPLATE64="QQ=="\nPUBLISHER="p"'
    app = admin.ok("marketapp.allocate", cloud.APP.format("app", made.image) + more, market)
    admin.ok("marketapp.lock", app, 1, False)


def schedule_populate(admin):
    text = cloud.VM.format("scheduled") + '\nSCHED_ACTION=[ACTION="release",TIME="+90000"]'
    vm = admin.ok("vm.allocate", text, True)
    for more in ('REPEAT="0",DAYS="1,5",END_TYPE="1",END_VALUE="7"', 'REPEAT="3",DAYS="12",END_TYPE="2",END_VALUE="1999999999"', 'ARGS="a,b"'):
        admin.ok("vm.schedadd", vm, f'SCHED_ACTION=[ACTION="terminate",TIME="1999990000",{more}]')
    # One that is due, and cannot be done in this state.
    admin.ok("vm.schedadd", vm, 'SCHED_ACTION=[ACTION="suspend",TIME="1"]')
    cloud.eventually(lambda: admin.ok("vm.info", vm), lambda body: "not available for state" in body, "the action was tried")


def pci_populate(admin, made):
    """A host with devices, one of them in a VM."""
    cards = (f'PCI=[SHORT_ADDRESS="0{slot}:00.0",VENDOR="10de",DEVICE="1db6",CLASS="0302",DEVICE_NAME="card"]' for slot in (1, 2))
    admin.ok("host.update", made.hosts[0], "\n".join(cards), 1)
    vm = admin.ok("vm.allocate", cloud.VM.format("with-card") + '\nPCI=[VENDOR="10de"]', False)
    cloud.vm_await(admin, vm, 3, 3)


def vms_populate(admin, made):
    """One VM in each resting state."""
    resting = {"poweroff": 8, "suspend": 5, "stop": 4, "undeploy": 9, "terminate": 6, "resched": None}
    for action, state in resting.items():
        vm = admin.ok("template.instantiate", made.template, action)
        cloud.vm_await(admin, vm, 3, 3)
        admin.ok("vm.action", action, vm)
        if state is not None:
            cloud.vm_await(admin, vm, state)
    held = admin.ok("template.instantiate", made.template, "held", True)
    admin.ok("vm.update", held, 'LABELS="a"\nHOT_RESIZE=[CPU_HOT_ADD_ENABLED="YES"]', 1)
    admin.ok("vm.lock", held, 1, False)
    admin.ok("vm.allocate", 'NAME="giant"\nCPU="9999"\nVCPU="2"\nMEMORY="64"\nGRAPHICS=[TYPE="VNC"]', False)


def pools():
    """Method and parameters of each pool call."""
    listing = subprocess.run([BINARY, "methods"], capture_output=True, text=True, check=True, timeout=20).stdout
    for line in listing.splitlines():
        name = line.split("\t")[0]
        kind = name.removeprefix("one.")
        if kind.startswith("vmpool.info"):
            continue
        if kind.endswith("pool.info") or kind == "acl.info":
            known = kinds.KINDS.get(kind.removesuffix("pool.info"))
            yield kind, known.pool if known else ()
    for state in (-2, -1, *range(12)):
        yield "vmpool.info", (-2, -1, -1, state)
    yield "vmpool.infoextended", (-2, -1, -1, -2)
    yield "vmpool.infoset", ("0,1,2,3,4,5,6,7", False)
    yield "vmpool.infoset", ("0,1,2,3,4,5,6,7", True)


# What is checked here, for those who ask whether a document is.
CHECKED = (
    {method for method, _ in pools()}
    | {f"{kind}.info" for kind in (*kinds.names(), "zone")}
    | {"vmpool.accounting", "vmpool.showback", "system.config", "zone.raftstatus"}
    | {"host.monitoring", "hostpool.monitoring", "vm.monitoring", "vmpool.monitoring"}
)


def extended(method, parameters):
    return method == "vmpool.infoextended" or (method == "vmpool.infoset" and parameters[1])


def unexplained(found):
    return sorted({entry for entry in found if entry[:3] not in AS_RECORDED})


@pytest.mark.parametrize(("method", "parameters"), list(pools()), ids=str)
def test_pool(populated, validate, method, parameters):
    body = Session(populated).ok(method, *parameters)
    schema = EXTENDED if extended(method, parameters) else None
    assert unexplained(validate(body, schema)) == []


def test_accounting(populated, validate):
    admin = Session(populated)
    body = admin.ok("vmpool.accounting", -2, -1, -1)
    assert len(set(re.findall(r"<HISTORY><OID>(\d+)<", body))) >= 5
    assert unexplained(validate(body)) == []
    admin.ok("vmpool.calculateshowback", -1, -1, -1, -1)
    costs = admin.ok("vmpool.showback", -2, -1, -1, -1, -1)
    assert costs.count("<SHOWBACK>") >= 5
    assert unexplained(validate(costs)) == []


def test_samples(populated, validate):
    """Their frame: dummy hosts give no samples."""
    admin = Session(populated)
    for method, parameters in (("host.monitoring", (0,)), ("hostpool.monitoring", ()), ("vm.monitoring", (0,)), ("vmpool.monitoring", (-2,))):
        assert unexplained(validate(admin.ok(method, *parameters))) == []


def test_raft(populated, validate):
    assert unexplained(validate(Session(populated).ok("zone.raftstatus"), "raftstatus")) == []


def test_system_config(populated, validate):
    assert unexplained(validate(Session(populated).ok("system.config"))) == []


@pytest.mark.parametrize("kind", [*kinds.names(), "zone"])
def test_info_of_each(populated, validate, kind):
    admin = Session(populated)
    parameters = (-2, -1, -1, -2) if kind == "vm" else dict(pools())[f"{kind}pool.info"]
    body = admin.ok(f"{kind}pool.info", *parameters)
    element = kinds.KINDS[kind].element if kind in kinds.KINDS else kind.upper()
    idents = [int(ident) for ident in re.findall(rf"<{element}><ID>(\d+)</ID>", body)]
    assert idents, body
    found = [entry for ident in idents for entry in validate(admin.ok(f"{kind}.info", ident))]
    assert unexplained(found) == []


def test_pools_as_a_plain_user(populated, validate):
    plain = Session(populated, "dora:secret")
    calls = [(method, parameters) for method, parameters in pools() if method.endswith("pool.info")]
    found = [entry for method, parameters in calls for entry in validate(plain.ok(method, *parameters))]
    assert unexplained(found) == []


def test_a_wrong_body_is_noticed(validate):
    """The check itself: it must not accept what the schema forbids."""
    assert unexplained(validate("<CLUSTER_POOL><CLUSTER><NOSUCH/></CLUSTER></CLUSTER_POOL>"))

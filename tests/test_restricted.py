"""Restricted attributes: every door by which a user may give one, with every attribute of the lists."""

import re

import pytest

from harness import cloud
from harness.cli import plerion
from harness.rpc import Session
from harness.server import Server

DENIED = 0x200


class Stage:
    """A server with a user who owns objects that an administrator has set restricted attributes of."""

    def __init__(self, server):
        self.admin = Session(server)
        self.made = cloud.cloud_make(self.admin, hosts=1)
        self.uid = self.admin.ok("user.allocate", "ordinary", "ordinary", "", [])
        self.user = Session(server, "ordinary:ordinary")
        self.number = 0
        self.admin.ok("datastore.chown", self.made.image_ds, self.uid, 1)
        self.group = self.admin.ok("group.allocate", "managed")
        for right in ("VNTEMPLATE+NET/* CREATE", "CLUSTER/#0 ADMIN", f"GROUP/#{self.group} MANAGE+ADMIN"):
            plerion(server, "oneacl", "create", f"#{self.uid} {right}")

    def name(self):
        self.number += 1
        return f"o{self.number}"

    def owned(self, method, *params):
        """An object that the administrator made, and gave to the user."""
        ident = self.admin.ok(method, *params)
        self.admin.ok(f"{method.split('.')[0]}.chown", ident, self.uid, 1)
        return ident

    def paths(self, list_name):
        """The attributes of a list of the configuration."""
        found = re.findall(rf"<{list_name}><!\[CDATA\[(.*?)\]\]>", self.admin.ok("system.config"))
        assert found, list_name
        return found


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    instance = Server(tmp_path_factory.mktemp("restricted")).start()
    yield Stage(instance)
    instance.end()


def text_of(path, value="7", known=""):
    """A template with an attribute of a list; `known` are pairs by which its vector is known."""
    name, _, key = path.partition("/")
    if not key:
        return f'{name}=[KEY="{value}"]' if name == "PCI" else f'{name}="{value}"'
    return f'{name}=[{key}="{value}"{known}]'


def is_refused(answer):
    """Whether an answer says that an attribute is restricted."""
    return (answer.outcome, answer.code) == ("error", DENIED) and "restricted attribute" in answer.value


# Doors to what is new: list of attributes, and the call for a text.
NEW = {
    "template.allocate": ("VM", lambda stage, text: (f'NAME="{stage.name()}"\n{text}',)),
    "vm.allocate": ("VM", lambda stage, text: (f"{cloud.VM.format(stage.name())}\n{text}", True)),
    "vrouter.allocate": ("VM", lambda stage, text: (f'NAME="{stage.name()}"\n{text}',)),
    "vntemplate.allocate": ("VNET", lambda stage, text: (f'NAME="{stage.name()}"\n{text}',)),
    "vn.allocate": ("VNET", lambda stage, text: (f'NAME="{stage.name()}"\n{text}', -1)),
    "image.allocate": ("IMAGE", lambda stage, text: (f"{cloud.IMAGE.format(stage.name())}\n{text}", stage.made.image_ds)),
}


@pytest.mark.parametrize("method", NEW)
def test_what_is_new(stage, method):
    of, parameters = NEW[method]
    for path in stage.paths(f"{of}_RESTRICTED_ATTR"):
        for text in (text_of(path), text_of(path).lower()):
            assert is_refused(stage.user.call(method, *parameters(stage, text))), (path, text)
            assert not is_refused(stage.admin.call(method, *parameters(stage, text))), (path, text)
    assert not is_refused(stage.user.call(method, *parameters(stage, 'HARMLESS="7"')))


# Doors to what is there: list, how the object is made with a text, what its change is called with, and whether what is not
# named stays (None: only some of it, and nothing that is restricted; the rest is refused).
def vrouter_template(stage, text):
    """A virtual router of a VM template with an attribute."""
    template = stage.owned("template.allocate", f'{cloud.VM.format(stage.name())}\nVROUTER="YES"\n{text}')
    vrouter = stage.owned("vrouter.allocate", f'NAME="{stage.name()}"')
    return vrouter, template


CHANGED = {
    "template.update replacing": (
        "VM",
        lambda stage, text: stage.owned("template.allocate", f'NAME="{stage.name()}"\n{text}'),
        lambda stage, ident, text: ("template.update", ident, text, 0),
        False,
    ),
    "template.update": (
        "VM",
        lambda stage, text: stage.owned("template.allocate", f'NAME="{stage.name()}"\n{text}'),
        lambda stage, ident, text: ("template.update", ident, text, 1),
        True,
    ),
    "template.clone, update": (
        "VM",
        lambda stage, text: stage.user.ok("template.clone", stage.owned("template.allocate", f'NAME="{stage.name()}"\n{text}'), stage.name()),
        lambda stage, ident, text: ("template.update", ident, text, 0),
        False,
    ),
    "template.instantiate": (
        "VM",
        lambda stage, text: stage.owned("template.allocate", f"{cloud.VM.format(stage.name())}\n{text}"),
        lambda stage, ident, text: ("template.instantiate", ident, stage.name(), True, text, False),
        True,
    ),
    "template.instantiate persistent": (
        "VM",
        lambda stage, text: stage.owned("template.allocate", f"{cloud.VM.format(stage.name())}\n{text}"),
        lambda stage, ident, text: ("template.instantiate", ident, stage.name(), True, text, True),
        True,
    ),
    "vrouter.instantiate": (
        "VM",
        vrouter_template,
        lambda stage, ident, text: ("vrouter.instantiate", ident[0], 1, ident[1], stage.name(), True, text),
        True,
    ),
    "vm.update replacing": (
        "VM",
        lambda stage, text: vm_with_user_template(stage, text),
        lambda stage, ident, text: ("vm.update", ident, text, 0),
        False,
    ),
    "vntemplate.update replacing": (
        "VNET",
        lambda stage, text: stage.owned("vntemplate.allocate", f'NAME="{stage.name()}"\n{text}'),
        lambda stage, ident, text: ("vntemplate.update", ident, text, 0),
        False,
    ),
    "vntemplate.instantiate": (
        "VNET",
        lambda stage, text: stage.owned("vntemplate.allocate", f'NAME="{stage.name()}"\n{text}'),
        lambda stage, ident, text: ("vntemplate.instantiate", ident, stage.name(), text),
        True,
    ),
    "vrouter.update replacing": (
        "VM",
        lambda stage, text: vrouter_with(stage, text),
        lambda stage, ident, text: ("vrouter.update", ident, text, 0),
        None,
    ),
    "vn.update replacing": (
        "VNET",
        lambda stage, text: network_with(stage, text),
        lambda stage, ident, text: ("vn.update", ident, text, 0),
        None,
    ),
    "user.update replacing": (
        "USER",
        lambda stage, text: user_or_group_with(stage, "user", stage.uid, text),
        lambda stage, ident, text: ("user.update", ident, text, 0),
        None,
    ),
    "group.update replacing": (
        "GROUP",
        lambda stage, text: user_or_group_with(stage, "group", stage.group, text),
        lambda stage, ident, text: ("group.update", ident, text, 0),
        None,
    ),
    "group.update": (
        "GROUP",
        lambda stage, text: user_or_group_with(stage, "group", stage.group, text),
        lambda stage, ident, text: ("group.update", ident, text, 1),
        True,
    ),
    "image.update": (
        "IMAGE",
        lambda stage, text: image_with(stage, text),
        lambda stage, ident, text: ("image.update", ident, text, 1),
        True,
    ),
}


def vm_with_user_template(stage, text):
    vm = stage.owned("vm.allocate", cloud.VM.format(stage.name()), True)
    stage.admin.ok("vm.update", vm, text, 1)
    return vm


def vrouter_with(stage, text):
    vrouter = stage.owned("vrouter.allocate", f'NAME="{stage.name()}"')
    stage.admin.ok("vrouter.update", vrouter, text, 1)
    return vrouter


def user_or_group_with(stage, kind, ident, text):
    stage.admin.ok(f"{kind}.update", ident, text, 0)
    return ident


def network_with(stage, text):
    vnet = stage.owned("vn.allocate", cloud.VNET.format(stage.name()), -1)
    cloud.state_await(stage.admin, "vn.info", vnet, 1)
    stage.admin.ok("vn.update", vnet, text, 0)
    return vnet


def image_with(stage, text):
    image = stage.owned("image.allocate", cloud.IMAGE.format(stage.name()), stage.made.image_ds)
    stage.admin.ok("image.update", image, text, 1)
    return image


# What an update leaves alone: there are calls for it.
OF_OTHER_CALLS = {"vrouter.update replacing": "NIC/", "vn.update replacing": "AR/"}


def text_in(path):
    """How an attribute that `text_of` has set is in a body."""
    name, _, key = path.partition("/")
    return f"<{key or ('KEY' if name == 'PCI' else name)}><![CDATA[7]]>"


@pytest.mark.parametrize("door", CHANGED)
def test_what_is_there(stage, door):
    of, make, change, keeps = CHANGED[door]
    wrong = []

    def expect(path, what, session, text, refused):
        answer = session.call(*change(stage, ident, text))
        if is_refused(answer) != refused:
            wrong.append(f"{path} {what}: {answer}")

    for path in stage.paths(f"{of}_RESTRICTED_ATTR"):
        if path.startswith(OF_OTHER_CALLS.get(door, "-")):
            continue
        ident = make(stage, text_of(path))
        same = text_of(path)
        expect(path, "unchanged by the user", stage.user, same, False)
        expect(path, "in lower case, unchanged by the user", stage.user, same.lower(), False)
        expect(path, "changed by the user", stage.user, text_of(path, "8"), True)
        expect(path, "once more by the user", stage.user, f"{same}\n{text_of(path, '8')}", True)
        if keeps is None:
            answer = stage.user.call(*change(stage, ident, 'HARMLESS="7"'))
            kept = text_in(path) in stage.admin.ok(f"{door.split('.')[0]}.info", ident)
            if not kept:
                wrong.append(f"{path} taken away by the user: {answer}")
        else:
            expect(path, "taken away by the user", stage.user, 'HARMLESS="7"', not keeps)
        name, _, key = path.partition("/")
        if key:
            expect(path, "taken out by the user", stage.user, f'{name}=[HARMLESS="7"]', True)
        expect(path, "changed by an administrator", stage.admin, text_of(path, "8"), False)
    assert wrong == []


def test_vectors_change_no_places(stage):
    """What was set for one network is not taken for another."""
    nics = 'NIC=[NETWORK="a",INBOUND_AVG_BW="1"]\nNIC=[NETWORK="b",INBOUND_AVG_BW="1000"]'
    template = stage.owned("template.allocate", f"{cloud.VM.format(stage.name())}\n{nics}")
    turned = 'NIC=[NETWORK="b",INBOUND_AVG_BW="1000",MODEL="virtio"]\nNIC=[NETWORK="a",INBOUND_AVG_BW="1"]'
    stage.user.ok("template.update", template, turned, 1)
    mixed = 'NIC=[NETWORK="a",INBOUND_AVG_BW="1000"]\nNIC=[NETWORK="b",INBOUND_AVG_BW="1"]'
    twice = 'NIC=[NETWORK="b",INBOUND_AVG_BW="1000"]\nNIC=[NETWORK="b",INBOUND_AVG_BW="1000"]'
    for text in (mixed, twice, f'{nics}\nNIC=[NETWORK="c",INBOUND_AVG_BW="1"]', 'NIC=[NETWORK="a"]\nNIC=[NETWORK="b"]'):
        assert is_refused(stage.user.call("template.update", template, text, 1)), text
        assert is_refused(stage.user.call("template.instantiate", template, stage.name(), True, text, False)), text


def running(stage, text=""):
    """A VM of the user that runs, with a NIC."""
    vm = stage.admin.ok("vm.allocate", f'{cloud.VM.format(stage.name())}\nNIC=[NETWORK_ID="{stage.made.vnet}",INBOUND_AVG_BW="7"]\n{text}', True)
    stage.admin.ok("vm.chown", vm, stage.uid, 1)
    stage.admin.ok("vm.deploy", vm, stage.made.hosts[0], False, stage.made.system_ds)
    cloud.vm_await(stage.admin, vm, 3, 3)
    return vm


def test_the_network_of_a_vm(stage):
    vm = running(stage)
    limit = lambda: re.search(r"<INBOUND_AVG_BW><!\[CDATA\[(\d+)\]\]>", stage.admin.ok("vm.info", vm))  # noqa: E731
    for text in ('NIC=[INBOUND_AVG_BW="8"]', 'NIC=[INBOUND_AVG_BW=""]', 'NIC=[INBOUND_AVG_BW="7",OUTBOUND_AVG_BW="7"]'):
        for merge in (0, 1):
            assert is_refused(stage.user.call("vm.updatenic", vm, 0, text, merge)), text
    for text in ('NIC=[INBOUND_AVG_BW="7"]', 'NIC=[MODEL="virtio"]'):
        for merge in (0, 1):
            stage.user.ok("vm.updatenic", vm, 0, text, merge)
            cloud.vm_await(stage.admin, vm, 3, 3)
            assert limit()[1] == "7", text
    for path in stage.paths("VM_RESTRICTED_ATTR"):
        if path.startswith("NIC/"):
            text = text_of(path, known=f',NETWORK_ID="{stage.made.vnet}"')
            assert is_refused(stage.user.call("vm.attachnic", vm, text)), path
        if path.startswith("DISK/"):
            assert is_refused(stage.user.call("vm.attach", vm, text_of(path, known=f',IMAGE_ID="{stage.made.image}"'))), path
    stage.admin.ok("vm.updatenic", vm, 0, 'NIC=[INBOUND_AVG_BW="8"]', 0)
    cloud.vm_await(stage.admin, vm, 3, 3)
    assert limit()[1] == "8"


def test_the_configuration_of_a_vm(stage):
    vm = stage.owned("vm.allocate", f'{cloud.VM.format(stage.name())}\nRAW=[TYPE="kvm",DATA="<a/>"]', True)
    two = 'RAW=[TYPE="kvm",DATA="<a/>"]\nRAW=[TYPE="qemu",DATA="<b/>"]'
    for append in (0, 1):
        assert is_refused(stage.user.call("vm.updateconf", vm, 'RAW=[TYPE="kvm",DATA="<b/>"]', append))
        assert is_refused(stage.user.call("vm.updateconf", vm, two, append))
        stage.user.ok("vm.updateconf", vm, 'RAW=[TYPE="kvm",DATA="<a/>"]', append)
        stage.user.ok("vm.updateconf", vm, 'OS=[ARCH="x86_64"]', append)
        assert "<![CDATA[<a/>]]>" in stage.admin.ok("vm.info", vm)
    stage.admin.ok("vm.updateconf", vm, two, 1)
    for text in ('RAW=[TYPE="qemu",DATA="<b/>"]', 'RAW=[TYPE="kvm"]\nRAW=[TYPE="qemu"]', f'{two}\nRAW=[TYPE="kvm",DATA="<c/>"]'):
        assert is_refused(stage.user.call("vm.updateconf", vm, text, 1)), text
    stage.user.ok("vm.updateconf", vm, two, 1)


def test_networks(stage):
    vnet = stage.owned("vn.allocate", cloud.VNET.format(stage.name()) + '\nFILTER="YES"', -1)
    cloud.state_await(stage.admin, "vn.info", vnet, 1)
    stage.admin.ok("vn.update_ar", vnet, 'AR=[AR_ID="0",FILTER="YES"]')
    filtered = lambda: stage.admin.ok("vn.info", vnet).count("<FILTER><![CDATA[YES]]>")  # noqa: E731
    assert filtered() == 2
    for text in ('FILTER="NO"', 'FILTER=""', 'PHYDEV="eth0"'):
        assert is_refused(stage.user.call("vn.update", vnet, text, 1)), text
    assert is_refused(stage.user.call("vn.update", vnet, 'VN_MAD="dummy"\nBRIDGE="br0"', 0))
    stage.user.ok("vn.update", vnet, 'FILTER="YES"\nDNS="192.0.2.1"', 1)
    for text in ('FILTER="NO"', 'FILTER=""', 'FILTER="YES",PHYDEV="eth0"'):
        assert is_refused(stage.user.call("vn.update_ar", vnet, f'AR=[AR_ID="0",{text}]')), text
    stage.user.ok("vn.update_ar", vnet, 'AR=[AR_ID="0",FILTER="YES",DNS="192.0.2.1"]')
    stage.user.ok("vn.update_ar", vnet, 'AR=[AR_ID="0",DNS="192.0.2.2"]')
    assert filtered() == 2


def test_users_and_groups(stage):
    stage.admin.ok("user.update", stage.uid, 'VM_USE_OPERATIONS="reboot"', 1)
    for path in stage.paths("USER_RESTRICTED_ATTR"):
        assert is_refused(stage.user.call("user.update", stage.uid, text_of(path, "terminate"), 1)), path
    stage.user.ok("user.update", stage.uid, 'VM_USE_OPERATIONS="reboot"\nA="1"', 1)
    stage.user.ok("user.update", stage.uid, 'B="1"', 0)
    assert "<VM_USE_OPERATIONS><![CDATA[reboot]]>" in stage.user.ok("user.info", stage.uid)
    stage.admin.ok("user.update", stage.uid, 'VM_USE_OPERATIONS="terminate"', 1)


def test_address_ranges(stage):
    """Networks that a user made of a template are the user's to extend."""
    template = stage.owned("vntemplate.allocate", 'NAME="ranges"\nVN_MAD="dummy"\nBRIDGE="br0"')
    vnet = stage.user.ok("vntemplate.instantiate", template, stage.name(), "")
    cloud.state_await(stage.admin, "vn.info", vnet, 1)
    ranges = 0
    for path in stage.paths("VNET_RESTRICTED_ATTR"):
        name, _, key = path.partition("/")
        if name == "AR":
            ranges += 1
            for text in (f'AR=[TYPE="ETHER",SIZE="1",{key}="7"]', f'ar=[type="ETHER",size="1",{key.lower()}="7"]'):
                assert is_refused(stage.user.call("vn.add_ar", vnet, text)), path
            harmless = 'AR=[TYPE="ETHER",SIZE="1"]'
            assert is_refused(stage.user.call("vn.add_ar", vnet, f'{harmless}\nAR=[TYPE="ETHER",SIZE="1",{key}="7"]')), path
            stage.admin.ok("vn.add_ar", vnet, f'AR=[TYPE="ETHER",SIZE="1",{key}="7"]')
    assert ranges > 0
    stage.user.ok("vn.add_ar", vnet, 'AR=[TYPE="ETHER",SIZE="1"]')


def test_reservations_take_nothing_but_addresses(stage):
    for path in stage.paths("VNET_RESTRICTED_ATTR"):
        text = f'NAME="{stage.name()}"\nSIZE="1"\n{text_of(path, "77")}'
        answer = stage.user.call("vn.reserve", stage.made.vnet, text)
        if answer.outcome == "ok":
            assert "<![CDATA[77]]>" not in stage.admin.ok("vn.info", answer.value), path


def test_devices_of_hosts(stage):
    vm = running(stage)
    stage.admin.ok("vm.action", "poweroff", vm)
    cloud.vm_await(stage.admin, vm, 8, 0)
    for text in ('PCI=[VENDOR="10de"]', 'pci=[vendor="10de"]', 'PCI=[SHORT_ADDRESS="00:02.0"]', "<TEMPLATE><PCI><VENDOR>10de</VENDOR></PCI></TEMPLATE>"):
        assert is_refused(stage.user.call("vm.attachpci", vm, text)), text
        assert not is_refused(stage.admin.call("vm.attachpci", vm, text)), text
    for text in ('PCI=[TYPE="NIC",VENDOR="10de"]', f'PCI=[TYPE="NIC",VENDOR="10de",NETWORK_ID="{stage.made.vnet}"]'):
        assert is_refused(stage.user.call("vm.attachnic", vm, text)), text


def test_the_size_of_a_vm(stage):
    """What is restricted of the topology is not changed together with the number of CPUs."""
    vm = stage.owned("vm.allocate", cloud.VM.format(stage.name()), True)
    for text in ('TOPOLOGY=[PIN_POLICY="CORE"]', 'TOPOLOGY=[HUGEPAGE_SIZE="2"]', 'CPU_COST="0"', 'MEMORY_COST="0"'):
        answer = stage.user.call("vm.resize", vm, f'CPU="0.3"\n{text}', True)
        body = stage.admin.ok("vm.info", vm)
        assert is_refused(answer) or f"<{text.split('=[')[-1].split('=')[0]}>" not in body, (text, answer)


def test_networks_of_virtual_routers(stage):
    vrouter = stage.owned("vrouter.allocate", f'NAME="{stage.name()}"')
    for path in stage.paths("VM_RESTRICTED_ATTR"):
        if path.startswith("NIC/"):
            text = text_of(path, known=f',NETWORK_ID="{stage.made.vnet}"')
            for written in (text, text.lower().replace("network_id", "NETWORK_ID")):
                assert is_refused(stage.user.call("vrouter.attachnic", vrouter, written)), written
            assert not is_refused(stage.admin.call("vrouter.attachnic", vrouter, text)), path


def test_backups(stage):
    """A backup gives a user no restricted attribute that the user might not have given."""
    store = stage.admin.ok("datastore.allocate", 'NAME="backups"\nTYPE="BACKUP_DS"\nDS_MAD="dummy"\nTM_MAD="-"', -1)
    vm = running(stage, f'DISK=[IMAGE_ID="{stage.made.image}"]\nRAW=[TYPE="kvm",DATA="<a/>"]\nEMULATOR="/a"')
    stage.admin.ok("vm.backup", vm, store, False)
    found = lambda: re.search(r"<BACKUP_IDS><ID>(\d+)</ID>", stage.admin.ok("vm.info", vm))  # noqa: E731
    image = int(cloud.eventually(found, bool, "the backup")[1])
    stage.admin.ok("image.chown", image, stage.uid, 1)
    answer = stage.user.call("image.restore", image, stage.made.image_ds, f'NAME="{stage.name()}"')
    if answer.outcome == "ok":
        template = stage.admin.ok("template.info", int(answer.value.split()[0]))
        assert "EMULATOR" not in template and "<DATA>" not in template and "INBOUND_AVG_BW" not in template
    else:
        assert is_refused(answer), answer
    for path in stage.paths("VM_RESTRICTED_ATTR"):
        answer = stage.user.call("image.restore", image, stage.made.image_ds, f'NAME="{stage.name()}"\n{text_of(path, "77")}')
        if answer.outcome == "ok":
            assert "<![CDATA[77]]>" not in stage.admin.ok("template.info", int(answer.value.split()[0])), path

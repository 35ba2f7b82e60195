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
        plerion(server, "oneacl", "create", f"#{self.uid} VNTEMPLATE/* CREATE")

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
# named stays.
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


def image_with(stage, text):
    image = stage.owned("image.allocate", cloud.IMAGE.format(stage.name()), stage.made.image_ds)
    stage.admin.ok("image.update", image, text, 1)
    return image


@pytest.mark.parametrize("door", CHANGED)
def test_what_is_there(stage, door):
    of, make, change, keeps = CHANGED[door]
    wrong = []

    def expect(path, what, session, text, refused):
        answer = session.call(*change(stage, ident, text))
        if is_refused(answer) != refused:
            wrong.append(f"{path} {what}: {answer}")

    for path in stage.paths(f"{of}_RESTRICTED_ATTR"):
        ident = make(stage, text_of(path))
        same = text_of(path)
        expect(path, "unchanged by the user", stage.user, same, False)
        expect(path, "in lower case, unchanged by the user", stage.user, same.lower(), False)
        expect(path, "changed by the user", stage.user, text_of(path, "8"), True)
        expect(path, "once more by the user", stage.user, f"{same}\n{text_of(path, '8')}", True)
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

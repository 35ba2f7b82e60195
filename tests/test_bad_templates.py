"""Nonsense in templates, names and sizes: refused with a reason and without a trace, or kept exactly as it came."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from harness import cloud
from harness.dump import changed, dump
from harness.rpc import Session
from harness.server import Server

MIB = 1024 * 1024
NO_SUCH_ID = 987654
ALLOCATE, INTERNAL = 0x4000, 0x2000
RSS_GROWTH_KIB = 300 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    instance = Server(tmp_path_factory.mktemp("bad")).start()
    yield instance
    instance.end()


@pytest.fixture(scope="module")
def made(server):
    return cloud.cloud_make(Session(server), hosts=1)


@pytest.fixture
def unmoved(server, made, admin):
    """No change in any pool around the test."""
    pid, memory, before = server.pid, server.rss_kib(), dump(admin)
    yield
    assert server.process.poll() is None and server.pid == pid, server.log_tail()
    assert changed(before, dump(admin)) == {}
    assert server.rss_kib() - memory < RSS_GROWTH_KIB
    server.panic_refuse()


def allocators(made):
    """Method -> further parameters of each call that makes something of a template."""
    return {
        "datastore.allocate": (-1,),
        "document.allocate": (100,),
        "image.allocate": (made.image_ds,),
        "secgroup.allocate": (),
        "template.allocate": (),
        "vm.allocate": (True,),
        "vn.allocate": (-1,),
    }


def updates(made):
    """Method -> id of what it changes."""
    return {
        "cluster.update": 0,
        "datastore.update": made.image_ds,
        "group.update": 1,
        "host.update": made.hosts[0],
        "image.update": made.image,
        "secgroup.update": 0,
        "template.update": made.template,
        "user.update": 0,
        "vn.update": made.vnet,
        "zone.update": 0,
    }


SYNTAX_ERRORS = {
    "typographic-quotes": "NAME=\u201cvm\u201d A=\u2018x y\u2019",
    "no-value": "A",
    "no-name": '="x"',
    "unclosed-vector": 'A=[B="1"',
    "no-comma": 'A=[B="1" C="2"]',
    "nested-vector": 'A=[B=[C="1"]]',
    "empty-in-vector": "A=[B=]",
    "blank-in-bare-value": "A=1 2",
    "xml-cut": "<TEMPLATE><A>1</A>",
    "xml-crossed": "<TEMPLATE><A>1</B></TEMPLATE>",
    "xml-entity": '<!DOCTYPE x [<!ENTITY a "ha">]><TEMPLATE><A>&a;</A></TEMPLATE>',
    "xml-external": '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><TEMPLATE><A>&a;</A></TEMPLATE>',
    "xml-deep": "<TEMPLATE>" + "<A>" * 10_000,
    "cdata-end": 'A="x]]>y"',
}


@pytest.mark.parametrize("name", sorted(SYNTAX_ERRORS))
def test_syntax_errors(admin, made, unmoved, name):
    text = SYNTAX_ERRORS[name]
    wrong = []
    calls = [(method, (text, *more)) for method, more in allocators(made).items()]
    calls += [(method, (ident, text, append)) for method, ident in updates(made).items() for append in (0, 1)]
    for method, params in calls:
        answer = admin.call(method, *params)
        if answer.outcome != "error" or "arse error" not in answer.value or len(answer.value) > 2000:
            wrong.append((method, answer))
    assert wrong == []


@pytest.mark.parametrize("text", ["[", "[" * 100_000, "-", '"'], ids=["bracket", "brackets", "dash", "quote"])
def test_text_without_an_attribute_clears_nothing(admin, text):
    template = admin.ok("template.allocate", cloud.VM.format(f"kept{len(text)}{ord(text[0])}"))
    try:
        answer = admin.call("template.update", template, text, 0)
        assert answer.outcome == "error" and "arse error" in answer.value, answer
    finally:
        admin.ok("template.delete", template)


def test_cdata_end_in_a_bare_value(admin):
    answer = admin.call("template.allocate", 'NAME="bare"\nA=]]>')
    if answer.outcome == "ok":
        admin.ok("template.delete", answer.value)
    assert answer.outcome == "error", answer


@pytest.mark.parametrize("driver", ["../../bin/sh", ".hidden", "a b", "a;b"])
@pytest.mark.parametrize("attribute", ["DS_MAD", "TM_MAD"])
def test_driver_names_that_are_paths(admin, attribute, driver):
    drivers = {"DS_MAD": "dummy", "TM_MAD": "dummy", attribute: driver}
    text = "\n".join(f'{name}="{value}"' for name, value in drivers.items())
    answer = admin.call("datastore.allocate", f'NAME="unknown"\n{text}', -1)
    if answer.outcome == "ok":
        admin.ok("datastore.delete", answer.value)
    assert answer.outcome == "error", answer


def test_wrong_update_types(admin, made, unmoved):
    for method, ident in updates(made).items():
        for kind in (2, -1, 2147483647):
            answer = admin.call(method, ident, 'A="1"', kind)
            assert (answer.outcome, answer.code) == ("error", 0x1000), (method, kind, answer)


BAD_VALUES = {
    "vm-no-cpu": ("vm.allocate", 'NAME="v"\nMEMORY="64"'),
    "vm-no-memory": ("vm.allocate", 'NAME="v"\nCPU="1"'),
    "vm-negative-memory": ("vm.allocate", 'NAME="v"\nCPU="1"\nMEMORY="-64"'),
    "vm-negative-cpu": ("vm.allocate", 'NAME="v"\nCPU="-1"\nMEMORY="64"'),
    "vm-zero-cpu": ("vm.allocate", 'NAME="v"\nCPU="0"\nMEMORY="64"'),
    "vm-cpu-text": ("vm.allocate", 'NAME="v"\nCPU="many"\nMEMORY="64"'),
    "vm-cpu-nan": ("vm.allocate", 'NAME="v"\nCPU="NaN"\nMEMORY="64"'),
    "vm-cpu-infinite": ("vm.allocate", 'NAME="v"\nCPU="inf"\nMEMORY="64"'),
    "vm-memory-overflow": ("vm.allocate", 'NAME="v"\nCPU="1"\nMEMORY="99999999999999999999"'),
    "vm-vcpu-negative": ("vm.allocate", 'NAME="v"\nCPU="1"\nMEMORY="64"\nVCPU="-2"'),
    "vm-disk-size-negative": ("vm.allocate", cloud.VM.format("v") + '\nDISK=[TYPE="fs",SIZE="-5",FORMAT="raw"]'),
    "vm-disk-size-overflow": (
        "vm.allocate",
        cloud.VM.format("v") + '\nDISK=[TYPE="fs",SIZE="18446744073709551616",FORMAT="raw"]',
    ),
    "vm-unknown-image": ("vm.allocate", cloud.VM.format("v") + f'\nDISK=[IMAGE_ID="{NO_SUCH_ID}"]'),
    "vm-image-id-text": ("vm.allocate", cloud.VM.format("v") + '\nDISK=[IMAGE_ID="x"]'),
    "vm-unknown-network": ("vm.allocate", cloud.VM.format("v") + f'\nNIC=[NETWORK_ID="{NO_SUCH_ID}"]'),
    "image-negative": ("image.allocate", 'NAME="i"\nTYPE="DATABLOCK"\nSIZE="-1"\nFORMAT="raw"'),
    "image-overflow": ("image.allocate", 'NAME="i"\nTYPE="DATABLOCK"\nSIZE="99999999999999999999"\nFORMAT="raw"'),
    "image-size-text": ("image.allocate", 'NAME="i"\nTYPE="DATABLOCK"\nSIZE="ten"\nFORMAT="raw"'),
    "image-no-type": ("image.allocate", 'NAME="i"\nTYPE="NOSUCH"\nSIZE="1"'),
    "image-nothing": ("image.allocate", 'NAME="i"'),
    "vn-no-mad": ("vn.allocate", 'NAME="n"\nBRIDGE="br0"'),
    "vn-bad-ip": ("vn.allocate", 'NAME="n"\nVN_MAD="dummy"\nBRIDGE="b"\nAR=[TYPE="IP4",IP="300.1.1.1",SIZE="5"]'),
    "vn-negative": ("vn.allocate", 'NAME="n"\nVN_MAD="dummy"\nBRIDGE="b"\nAR=[TYPE="IP4",IP="10.0.0.1",SIZE="-5"]'),
    "vn-zero": ("vn.allocate", 'NAME="n"\nVN_MAD="dummy"\nBRIDGE="b"\nAR=[TYPE="IP4",IP="10.0.0.1",SIZE="0"]'),
    "vn-past-the-end": (
        "vn.allocate",
        'NAME="n"\nVN_MAD="dummy"\nBRIDGE="b"\nAR=[TYPE="IP4",IP="255.255.255.250",SIZE="100"]',
    ),
    "vn-bad-mac": ("vn.allocate", 'NAME="n"\nVN_MAD="dummy"\nBRIDGE="b"\nAR=[TYPE="ETHER",MAC="zz:00",SIZE="5"]'),
    "vn-bad-type": ("vn.allocate", 'NAME="n"\nVN_MAD="dummy"\nBRIDGE="b"\nAR=[TYPE="IP9",SIZE="5"]'),
    "secgroup-range": ("secgroup.allocate", 'NAME="s"\nRULE=[PROTOCOL="TCP",RULE_TYPE="inbound",RANGE="a:b"]'),
    "secgroup-port": ("secgroup.allocate", 'NAME="s"\nRULE=[PROTOCOL="TCP",RULE_TYPE="inbound",RANGE="70000"]'),
    "secgroup-shell": ("secgroup.allocate", 'NAME="s"\nRULE=[PROTOCOL="TCP",RULE_TYPE="inbound",RANGE="1;reboot"]'),
    "datastore-no-tm": ("datastore.allocate", 'NAME="d"\nDS_MAD="dummy"'),
}


@pytest.mark.parametrize("name", sorted(BAD_VALUES))
def test_bad_values(admin, made, unmoved, name):
    method, text = BAD_VALUES[name]
    answer = admin.call(method, text, *allocators(made)[method])
    assert answer.outcome == "error", answer
    assert answer.value.startswith(f"[one.{method}] ") and len(answer.value) < 1000


def test_the_format_of_a_disk_is_that_of_its_image(admin, made):
    """QEMU would read what a user wrote into a raw image as a header that names files of the host."""
    vm = admin.ok("vm.allocate", cloud.VM.format("formats") + f'\nDISK=[IMAGE_ID="{made.image}",DRIVER="qcow2",FORMAT="qcow2"]', True)
    admin.ok("vm.deploy", vm, made.hosts[0], False, made.system_ds)
    cloud.vm_await(admin, vm, 3, 3)
    for text in (f'IMAGE_ID="{made.image}",DRIVER="qcow2",FORMAT="qcow2"', 'TYPE="fs",SIZE="5",FORMAT="raw",DRIVER="qcow2"'):
        admin.ok("vm.attach", vm, f"DISK=[{text}]")
        cloud.vm_await(admin, vm, 3, 3)
    disks = ElementTree.fromstring(admin.ok("vm.info", vm)).findall("TEMPLATE/DISK")
    assert [(disk.findtext("DRIVER"), disk.findtext("FORMAT")) for disk in disks] == [("raw", "raw")] * 3
    admin.ok("vm.recover", vm, 3)


NAMES = {
    "markup": "<b>&amp;\"'</b>",
    "cdata": "x]]>y",
    "shell": "$(reboot);`id`|&&>/tmp/x",
    "path": "../../etc/passwd",
    "unicode": "\u4e2d\u6587\u00e4\U0001f980",
    "rtl": "a\u202eb",
    "newline": "a\nb",
    "tab": "a\tb",
    "control": "a\x07b",
    "escape": "a\x1b[31mb",
    "delete": "a\x7fb",
    "long": "n" * MIB,
    "over-128": "n" * 129,
    "blank": "   ",
}


def name_calls(made, name):
    """Calls that give an object a name which is not read out of a template."""
    return {
        "cluster.allocate": (name,),
        "group.allocate": (name,),
        "user.allocate": (name, "secret", "", []),
        "cluster.rename": (0, name),
        "datastore.rename": (made.image_ds, name),
        "host.rename": (made.hosts[0], name),
        "image.rename": (made.image, name),
        "secgroup.rename": (0, name),
        "template.rename": (made.template, name),
        "template.clone": (made.template, name, False),
        "image.clone": (made.image, name, -1),
        "vn.rename": (made.vnet, name),
        "zone.rename": (0, name),
    }


@pytest.mark.parametrize("name", sorted(NAMES))
def test_names(admin, made, name):
    """A name is refused with a reason, or is shown exactly as it was given, in XML that can be read."""
    for method, params in name_calls(made, NAMES[name]).items():
        answer = admin.call(method, *params)
        if answer.outcome != "ok":
            assert answer.outcome in ("error", "fault") and len(str(answer.value)) < 2000, (method, answer)
            continue
        shown = ElementTree.fromstring(admin.ok(f"{method.split('.')[0]}.info", answer.value)).findtext("NAME")
        assert shown == NAMES[name], (method, shown[:200])
    assert admin.server.process.poll() is None
    dump(admin)
    admin.server.panic_refuse()


@pytest.mark.parametrize("method", ["cluster.allocate", "group.allocate", "user.allocate", "template.clone"])
@pytest.mark.parametrize("name", ["long", "over-128", "control", "escape"])
def test_names_that_are_refused(admin, made, unmoved, method, name):
    """The column of a name holds 128 characters, and XML holds no control characters."""
    answer = admin.call(method, *name_calls(made, NAMES[name])[method])
    assert answer.outcome in ("error", "fault"), answer


def test_empty_names(admin, made, unmoved):
    wrong = []
    for method, params in name_calls(made, "").items():
        answer = admin.call(method, *params)
        if answer.outcome != "error":
            wrong.append((method, answer))
    assert wrong == []


def test_values_are_kept(admin, made):
    """What a template may hold comes back as it was, whatever it looks like."""
    for text in ("<x>&</x>", "]]>", "$(reboot)", "a\\b", "\u4e2d\U0001f980", "x" * 100_000, "a\nb\tc"):
        body = ElementTree.Element("TEMPLATE")
        ElementTree.SubElement(body, "V").text = text
        admin.ok("template.update", made.template, ElementTree.tostring(body, "unicode"), 0)
        shown = ElementTree.fromstring(admin.ok("template.info", made.template))
        assert shown.findtext("TEMPLATE/V") == text


def test_template_over_its_bound(admin, made, unmoved):
    answer = admin.call("template.update", made.template, 'A="' + "x" * (5 * MIB) + '"', 0)
    assert answer.outcome == "error" and len(answer.value) < 1000, answer
    answer = admin.call("template.update", made.template, "".join(f"A{n}=1\n" for n in range(200_000)), 0)
    assert answer.outcome == "error" and len(answer.value) < 1000, answer


def test_errors_are_readable_xml(admin, made, unmoved):
    """An error that quotes what was wrong must not break the answer."""
    for text in ('A=[B="<&>]]>"', "\x01=1", "\u201c<b>\u201d"):
        answer = admin.call("template.allocate", text)
        assert answer.outcome in ("error", "fault"), answer
        assert re.search(r"arse error|not well-formed|XML|character", str(answer.value)), answer

"""Searching VMs in one.vmpool.info and infoextended, the same on every database."""

import pyone
import pytest

from harness import cloud
from harness.cli import plerion
from harness.rpc import Session

ALL, LIVING, DONE = -2, -1, 6


@pytest.fixture(scope="module")
def vms(server):
    """Five VMs, by name: their ids. One of them is DONE."""
    admin = Session(server)
    made = cloud.cloud_make(admin, prefix="s")
    net, image = f"NIC=[NETWORK_ID={made.vnet}]", f"DISK=[IMAGE_ID={made.image}]"
    texts = {
        "web-1": f"{net}\n{image}\nNOTE=\"first 100%\"",
        "web-2": f"{net}\n{net}\n{image}",
        "Web-3": "NOTE=\"a_b\"\nOWN=[KEY=\"deep value\"]",
        "db": f"{image}\nDISK=[TYPE=fs,SIZE=3]",
        "web-gone": f"{net}\nNOTE=gone",
    }
    ids = {}
    for name, text in texts.items():
        ids[name] = admin.ok("vm.allocate", cloud.VM.format(name) + "\n" + text, True)
    admin.ok("vm.action", "terminate-hard", ids["web-gone"])
    cloud.vm_await(admin, ids["web-gone"], DONE)
    return ids


def found(one, vms, search, state=LIVING, start=-1, end=-1, extended=False):
    call = one.vmpool.infoextended if extended else one.vmpool.info
    names = {ident: name for name, ident in vms.items()}
    return [names[vm.ID] for vm in call(-2, start, end, state, search).VM]


CASES = [
    ("VM.NAME=web", ["web-2", "web-1"]),
    ("VM.NAME=Web", ["Web-3"]),
    ("VM.NAME=w%2", ["web-2"]),
    ("VM.NAME=web-_", ["web-2", "web-1"]),
    ("VM.UNAME=oneadmin&VM.NAME=db", ["db"]),
    ("VM.NAME=db&VM.NAME=web", []),
    ("VM.TEMPLATE.NIC[*].NETWORK=s-net", ["web-2", "web-1"]),
    ("VM.TEMPLATE.NIC.NETWORK=s-net", ["web-2", "web-1"]),
    ("VM.TEMPLATE.NIC[1].NETWORK=s-net", ["web-2"]),
    ("VM.TEMPLATE.DISK[1].TYPE=fs", ["db"]),
    ("VM.TEMPLATE.DISK[*].IMAGE=s-image", ["db", "web-2", "web-1"]),
    ("VM.TEMPLATE=s-image", ["db", "web-2", "web-1"]),
    ("VM.USER_TEMPLATE.NOTE=100\\%", ["web-1"]),
    ("VM.USER_TEMPLATE.NOTE=a\\_b", ["Web-3"]),
    ("VM.USER_TEMPLATE.OWN.KEY=deep", ["Web-3"]),
    ("VM.USER_TEMPLATE.OWN=value", ["Web-3"]),
    ("deep value", ["Web-3"]),
    ("*=deep value", ["Web-3"]),
    ("VM.STATE=2", ["db", "Web-3", "web-2", "web-1"]),
    ("NAME=web", []),
    ("VM.PERMISSIONS.OWNER_U=1", []),
    ("VM.NONE=", []),
    ("gone", []),
]


@pytest.mark.parametrize(("search", "names"), CASES, ids=[search for search, _ in CASES])
@pytest.mark.parametrize("extended", [False, True])
def test_search(one, vms, search, names, extended):
    assert found(one, vms, search, extended=extended) == names


def test_those_that_are_done_are_searched_where_they_are_asked_for(one, vms):
    assert found(one, vms, "VM.NAME=web", ALL) == ["web-gone", "web-2", "web-1"]
    assert found(one, vms, "VM.NAME=web", DONE) == ["web-gone"]
    assert found(one, vms, "VM.USER_TEMPLATE.NOTE=gone", ALL, extended=True) == ["web-gone"]
    assert found(one, vms, "VM.NAME=db", DONE) == []


def test_pages_and_ranges_are_of_what_is_found(one, vms):
    assert found(one, vms, "VM.NAME=web", LIVING, 0, -2) == ["web-2", "web-1"]
    assert found(one, vms, "VM.NAME=web", LIVING, 1, -2) == ["web-1"]
    assert found(one, vms, "VM.NAME=web", ALL, 1, -2) == ["web-2", "web-1"]
    assert found(one, vms, "VM.NAME=web", LIVING, vms["web-2"], vms["db"]) == ["web-2"]


def test_nobody_finds_what_he_may_not_see(server, one, vms):
    one.user.allocate("searcher", "secret", "core", [])
    session = pyone.OneServer(server.url, session="searcher:secret")
    assert found(session, vms, "VM.NAME=web", ALL) == []
    one.vm.chmod(vms["web-1"], -1, -1, -1, -1, -1, -1, 1, -1, -1)
    assert found(session, vms, "VM.NAME=web", ALL) == ["web-1"]


@pytest.mark.parametrize("search", ["VM..NAME=x", "=x", "VM.NAME[x]=1", "VM.'NAME'=x", "a b=c", "x&" * 70, "x" * 20_000])
def test_a_search_that_cannot_be_read_is_refused(one, vms, search):
    with pytest.raises(pyone.OneInternalException, match="search query"):
        found(one, vms, search)


def test_search_by_the_command_line(server, one, vms):
    printed = plerion(server, "onevm", "list", "--search", "VM.NAME=web-_", "--csv")
    assert "web-1" in printed and "web-2" in printed and "db" not in printed

"""pyone: address ranges, holds, leases; rules of security groups."""

import re
from xml.etree import ElementTree

import pyone
import pytest

from harness import cloud
from harness.rpc import Session
from harness.server import Server

READY = 1
DENIED, WRONG_STATE = 0x200, 0x800


@pytest.fixture
def vnet(one, request):
    """A ready network with one range of 50 addresses."""
    ident = one.vn.allocate(cloud.VNET.format(re.sub(r"\W+", "-", request.node.name)), -1)
    cloud.eventually(lambda: int(one.vn.info(ident).STATE), lambda state: state == READY, f"network {ident}")
    return ident


def ranges(one, vnet):
    return one.vn.info(vnet).AR_POOL.AR


def leases(one, vnet, index=0):
    found = ranges(one, vnet)[index].LEASES
    return [] if found is None else found.LEASE


def test_ranges(one, vnet):
    assert one.vn.add_ar(vnet, 'AR=[TYPE="ETHER",SIZE="5"]') == vnet
    assert one.vn.add_ar(vnet, {"TEMPLATE": {"AR": {"TYPE": "IP4", "IP": "203.0.113.1", "SIZE": "3"}}}) == vnet
    found = ranges(one, vnet)
    assert [(one_range.AR_ID, one_range.TYPE, one_range.SIZE) for one_range in found] == [
        ("0", "IP4", 50),
        ("1", "ETHER", 5),
        ("2", "IP4", 3),
    ]
    assert (found[0].IP, found[0].IP_END, found[2].IP_END) == ("192.0.2.10", "192.0.2.59", "203.0.113.3")
    assert one.vn.rm_ar(vnet, 1) == vnet
    assert [one_range.AR_ID for one_range in ranges(one, vnet)] == ["0", "2"]
    with pytest.raises(pyone.OneInternalException):
        one.vn.rm_ar(vnet, 1)


@pytest.mark.parametrize(
    ("one_range", "kind", "expected"),
    [
        (
            'TYPE="IP6",SIZE="4",MAC="02:00:67:57:44:8c",GLOBAL_PREFIX="2001:db8:1::",ULA_PREFIX="fd00::"',
            "IP6",
            {
                "IP6_GLOBAL": "2001:db8:1::67ff:fe57:448c",
                "IP6_GLOBAL_END": "2001:db8:1::67ff:fe57:448f",
                "IP6_ULA": "fd00::67ff:fe57:448c",
                "IP6_ULA_END": "fd00::67ff:fe57:448f",
            },
        ),
        (
            'TYPE="IP4_6",IP="203.0.113.1",SIZE="4",GLOBAL_PREFIX="2001:db8:2::"',
            "IP4_6",
            {"IP_END": "203.0.113.4", "MAC": "02:00:cb:00:71:01", "IP6_GLOBAL_END": "2001:db8:2::cbff:fe00:7104"},
        ),
        (
            'TYPE="IP6_STATIC",IP6="2001:db8:3::5",PREFIX_LENGTH="48",SIZE="3"',
            "IP6_STATIC",
            {"IP6": "2001:db8:3::5", "IP6_END": "2001:db8:3::7", "PREFIX_LENGTH": "48"},
        ),
        (
            'TYPE="IP4_6_STATIC",IP="203.0.113.9",IP6="2001:db8:4::5",PREFIX_LENGTH="64",SIZE="2"',
            "IP4_6_STATIC",
            {"IP": "203.0.113.9", "IP_END": "203.0.113.10", "IP6_END": "2001:db8:4::6"},
        ),
    ],
    ids=["ip6", "ip4_6", "ip6_static", "ip4_6_static"],
)
def test_ranges_of_ipv6(server, one, vnet, one_range, kind, expected):
    assert one.vn.add_ar(vnet, f"AR=[{one_range}]") == vnet
    found = ElementTree.fromstring(Session(server).ok("vn.info", vnet)).findall("AR_POOL/AR")[1]
    assert found.findtext("TYPE") == kind
    assert {name: found.findtext(name) for name in expected} == expected


def test_addresses_of_ipv6_reach_nic_lease_and_context(server, one, vnet):
    one.vn.add_ar(vnet, 'AR=[TYPE="IP4_6",IP="10.1.0.1",SIZE="20",GLOBAL_PREFIX="2001:db8:1::",ULA_PREFIX="fd00:1::"]')
    one.vn.add_ar(vnet, 'AR=[TYPE="IP6_STATIC",IP6="2001:db8:3::5",PREFIX_LENGTH="48",SIZE="3"]')
    text = cloud.VM.format("six") + '\nCONTEXT=[NETWORK="YES"]'
    for nic in ('AR_ID="1"', 'IP6="2001:db8:3::6"', 'IP6="2001:db8:1::aff:fe01:3"'):
        text += f'\nNIC=[NETWORK_ID="{vnet}",{nic}]'
    template = one.vm.info(one.vm.allocate(text, True)).TEMPLATE
    first, second, third = template["NIC"]
    made = {
        "IP": "10.1.0.1",
        "IP6_GLOBAL": "2001:db8:1::aff:fe01:1",
        "IP6_LINK": "fe80::aff:fe01:1",
        "IP6_ULA": "fd00:1::aff:fe01:1",
        "MAC": "02:00:0a:01:00:01",
    }
    assert {name: first[name] for name in made} == made
    assert (second["AR_ID"], second["IP6"], "IP6_LINK" in second) == ("2", "2001:db8:3::6", False)
    assert (third["IP"], third["IP6_GLOBAL"]) == ("10.1.0.3", "2001:db8:1::aff:fe01:3")
    context = template["CONTEXT"]
    assert (context["ETH0_IP6"], context["ETH0_IP6_ULA"]) == (made["IP6_GLOBAL"], made["IP6_ULA"])
    assert (context["ETH1_IP6"], context["ETH1_IP6_PREFIX_LENGTH"]) == ("2001:db8:3::6", "48")
    lease = ElementTree.fromstring(Session(server).ok("vn.info", vnet)).find("AR_POOL/AR[2]/LEASES/LEASE")
    assert [(child.tag, child.text) for child in lease][:-1] == sorted(made.items())


@pytest.mark.parametrize(
    "one_range",
    [
        'TYPE="IP6",SIZE="4",GLOBAL_PREFIX="2001:db8"',
        'TYPE="IP6_STATIC",SIZE="4"',
        'TYPE="IP6_STATIC",SIZE="4",IP6="::1",PREFIX_LENGTH="129"',
        'TYPE="IP6_STATIC",SIZE="4",IP6="ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"',
        'TYPE="IP4",SIZE="4",IP="255.255.255.254"',
        'TYPE="ETHER",SIZE="4",MAC="ff:ff:ff:ff:ff:fd"',
        'TYPE="IP5",SIZE="4"',
        'TYPE="ETHER",SIZE="0"',
        'TYPE="ETHER",SIZE="4",IPAM_MAD="elsewhere"',
    ],
)
def test_ranges_that_are_wrong(one, vnet, one_range):
    with pytest.raises(pyone.OneInternalException):
        one.vn.add_ar(vnet, f"AR=[{one_range}]")
    assert len(ranges(one, vnet)) == 1


def test_update_ar(server, one, vnet):
    one.vn.add_ar(vnet, 'AR=[TYPE="IP4_6",IP="203.0.113.1",SIZE="4",GLOBAL_PREFIX="2001:db8:2::",DNS="192.0.2.2"]')
    one.vn.hold(vnet, 'LEASES=[IP="203.0.113.4"]')
    change = 'AR=[AR_ID="1",SIZE="{}",GATEWAY="203.0.113.254",IP="10.0.0.1",TYPE="ETHER",MAC="02:00:00:00:00:01"]'
    with pytest.raises(pyone.OneInternalException, match="leases in use"):
        one.vn.update_ar(vnet, change.format(3))
    assert one.vn.update_ar(vnet, change.format(7)) == vnet
    found = ranges(one, vnet)[1]
    assert (found.SIZE, found.IP_END, found.MAC, found.TYPE) == (7, "203.0.113.7", "02:00:cb:00:71:01", "IP4_6")
    assert (found.GLOBAL_PREFIX, found.IP6_GLOBAL) == ("2001:db8:2::", "2001:db8:2::cbff:fe00:7101")
    assert "<DNS>" not in Session(server).ok("vn.info", vnet), "the further attributes are those given"
    one.vn.release(vnet, 'LEASES=[IP="203.0.113.4"]')
    assert one.vn.update_ar(vnet, change.format(2)) == vnet
    with pytest.raises(pyone.OneInternalException):
        one.vn.hold(vnet, 'LEASES=[IP="203.0.113.4"]')
    for wrong in ('AR=[AR_ID="9",SIZE="1"]', 'AR=[SIZE="1"]', 'AR=[AR_ID="0",SIZE="0"]', 'X="1"'):
        with pytest.raises(pyone.OneInternalException):
            one.vn.update_ar(vnet, wrong)
    one.vn.add_ar(vnet, 'AR=[TYPE="IP4",IP="192.0.2.100",SIZE="4"]')
    with pytest.raises(pyone.OneInternalException, match="overlaps range 2"):
        one.vn.update_ar(vnet, 'AR=[AR_ID="0",SIZE="91"]')
    assert one.vn.update_ar(vnet, 'AR=[AR_ID="0",SIZE="90"]') == vnet


@pytest.mark.parametrize(
    "address",
    [
        'IP="10.1.0.2"',
        'MAC="02:00:0a:01:00:02"',
        'IP6="2001:db8:1::aff:fe01:2"',
        'IP6="fe80::aff:fe01:2"',
        'IP="10.1.0.2",AR_ID="1"',
    ],
)
def test_hold_by_each_form_of_address(one, vnet, address):
    one.vn.add_ar(vnet, 'AR=[TYPE="IP4_6",IP="10.1.0.1",SIZE="20",GLOBAL_PREFIX="2001:db8:1::"]')
    assert one.vn.hold(vnet, f"LEASES=[{address}]") == vnet
    assert [lease.IP for lease in leases(one, vnet, 1)] == ["10.1.0.2"]
    with pytest.raises(pyone.OneInternalException):
        one.vn.hold(vnet, 'LEASES=[IP="10.1.0.2"]')
    assert one.vn.release(vnet, f"LEASES=[{address}]") == vnet
    assert leases(one, vnet, 1) == []


def test_hold_in_another_range(one, vnet):
    with pytest.raises(pyone.OneInternalException):
        one.vn.hold(vnet, 'LEASES=[IP="192.0.2.12",AR_ID="1"]')
    for wrong in ('IP="x"', 'MAC="x"', 'IP6="x"', 'IP="192.0.2.12",AR_ID="x"', 'A="1"'):
        with pytest.raises(pyone.OneInternalException):
            one.vn.hold(vnet, f"LEASES=[{wrong}]")


def test_reserve(one, vnet):
    one.vn.hold(vnet, 'LEASES=[IP="192.0.2.12"]')
    reserved = one.vn.reserve(vnet, 'NAME="mine"\nSIZE="3"')
    assert one.vn.reserve(vnet, f'NETWORK_ID="{reserved}"\nSIZE="2"\nAR_ID="0"\nIP="192.0.2.40"') == reserved
    body = one.vn.info(reserved)
    assert (body.NAME, body.PARENT_NETWORK_ID, body.BRIDGE, body.USED_LEASES) == ("mine", str(vnet), "br0", 0)
    found = [(part.AR_ID, part.IP, part.MAC, part.SIZE, part.PARENT_NETWORK_AR_ID) for part in body.AR_POOL.AR]
    assert found == [("0", "192.0.2.13", "02:00:c0:00:02:0d", 3, "0"), ("1", "192.0.2.40", "02:00:c0:00:02:28", 2, "0")]
    assert one.vn.info(vnet).USED_LEASES == 6
    assert [(lease.VM, lease.VNET) for lease in leases(one, vnet)] == [(-1, None), *[(None, reserved)] * 5]
    with pytest.raises(pyone.OneActionException):
        one.vn.delete(vnet)
    with pytest.raises(pyone.OneException):
        one.vn.hold(vnet, 'LEASES=[IP="192.0.2.40"]')
    with pytest.raises(pyone.OneActionException):
        one.vn.add_ar(reserved, 'AR=[TYPE="ETHER",SIZE="5"]')
    vm = one.vm.allocate(cloud.VM.format("in-reserved") + f'\nNIC=[NETWORK_ID="{reserved}"]', True)
    assert one.vm.info(vm).TEMPLATE["NIC"]["IP"] == "192.0.2.13"
    assert one.vn.info(vnet).USED_LEASES == 6
    with pytest.raises(pyone.OneInternalException):
        one.vn.free_ar(reserved, 0)
    assert one.vn.free_ar(reserved, 1) == reserved
    assert one.vn.info(vnet).USED_LEASES == 4
    one.vm.action("terminate", vm)
    cloud.eventually(lambda: one.vn.info(reserved).USED_LEASES, lambda used: used == 0, "the lease back")
    assert one.vn.delete(reserved) == reserved
    assert one.vn.info(vnet).USED_LEASES == 1


@pytest.mark.parametrize(
    "wanted",
    [
        'NAME="r"',
        'NAME="r"\nSIZE="0"',
        'NAME="r"\nSIZE="51"',
        'SIZE="1"',
        'NAME="r"\nSIZE="1"\nAR_ID="7"',
        'NAME="r"\nSIZE="2"\nAR_ID="0"\nIP="192.0.2.59"',
        'NAME="r"\nSIZE="1"\nAR_ID="0"\nMAC="x"',
        'NETWORK_ID="{vnet}"\nSIZE="1"',
        'NAME="{name}"\nSIZE="1"',
    ],
)
def test_reservations_that_are_wrong(one, vnet, wanted):
    with pytest.raises(pyone.OneException):
        one.vn.reserve(vnet, wanted.format(vnet=vnet, name=one.vn.info(vnet).NAME))
    assert one.vn.info(vnet).USED_LEASES == 0


def test_free_ar_of_what_is_no_reservation(one, vnet):
    with pytest.raises(pyone.OneInternalException):
        one.vn.free_ar(vnet, 0)


def test_rm_ar_force_leaves_reservations_their_addresses(one, vnet):
    reserved = one.vn.reserve(vnet, 'NAME="left"\nSIZE="3"')
    assert one.vn.rm_ar(vnet, 0, True) == vnet
    one.vn.add_ar(vnet, 'AR=[TYPE="IP4",IP="192.0.2.10",SIZE="50"]')
    assert one.vn.info(vnet).USED_LEASES == 0
    assert ranges(one, reserved)[0].IP == "192.0.2.10"


def test_reservations_survive_a_restart(tmp_path):
    instance = Server(tmp_path / "one").start()
    admin = Session(instance)
    vnet = admin.ok("vn.allocate", cloud.VNET.format("parent"), -1)
    admin.ok("vn.add_ar", vnet, 'AR=[TYPE="IP4_6",IP="10.1.0.1",SIZE="20",GLOBAL_PREFIX="2001:db8:1::"]')
    reserved = admin.ok("vn.reserve", vnet, 'NAME="kept"\nSIZE="3"\nAR_ID="1"')
    before = [admin.ok("vn.info", ident) for ident in (vnet, reserved)]
    instance.kill()
    instance.start()
    assert [admin.ok("vn.info", ident) for ident in (vnet, reserved)] == before
    instance.end()


def test_leases_of_others_are_hidden(server, one, vnet):
    """Who may change a network sees all its leases, others those of what they see anyway."""
    admin = Session(server)
    user = admin.ok("user.allocate", "leases-seen", "secret", "", [])
    seen = Session(server, "leases-seen:secret")
    nic = f'\nNIC=[NETWORK_ID="{vnet}"]'
    one.vm.allocate(cloud.VM.format("theirs") + nic, True)
    own = seen.ok("vm.allocate", cloud.VM.format("own") + nic, True)
    one.vn.hold(vnet, 'LEASES=[IP="192.0.2.40"]')
    reserved = one.vn.reserve(vnet, 'NAME="usable"\nSIZE="1"')

    def shown(session):
        return re.findall(r"<(VM|VNET)><!\[CDATA\[(-?\d+)", session.ok("vn.info", vnet))

    # The first rules let everybody use all networks of a cluster.
    assert shown(seen) == [("VM", str(own)), ("VNET", str(reserved))]
    assert "<USED_LEASES>4</USED_LEASES>" in seen.ok("vn.info", vnet)
    assert len(shown(admin)) == 4
    admin.ok("vn.chown", vnet, user, -1)
    assert len(shown(seen)) == 4


def test_reserved_addresses_count(server, one, vnet):
    admin = Session(server)
    user = admin.ok("user.allocate", "reserver", "secret", "", [])
    admin.ok("user.quota", user, f'NETWORK=[ID="{vnet}",LEASES="4"]')
    reserver = Session(server, "reserver:secret")
    reserved = reserver.ok("vn.reserve", vnet, 'NAME="few"\nSIZE="3"')
    answer = reserver.call("vn.reserve", vnet, f'NETWORK_ID="{reserved}"\nSIZE="2"')
    assert (answer.outcome, answer.code) == ("error", 0x200), answer
    assert reserver.ok("vn.reserve", vnet, f'NETWORK_ID="{reserved}"\nSIZE="1"') == reserved


def test_recover_where_nothing_is_stuck(one, vnet):
    for operation in range(4):
        with pytest.raises(pyone.OneInternalException, match="wrong state READY"):
            one.vn.recover(vnet, operation)
    with pytest.raises(pyone.OneActionException):
        one.vn.recover(vnet, 4)


def test_hold_and_release(one, vnet):
    assert one.vn.hold(vnet, 'LEASES=[IP="192.0.2.12"]') == vnet
    assert one.vn.info(vnet).USED_LEASES == 1
    assert [lease.IP for lease in leases(one, vnet)] == ["192.0.2.12"]
    with pytest.raises(pyone.OneInternalException):
        one.vn.hold(vnet, 'LEASES=[IP="192.0.2.12"]')
    with pytest.raises(pyone.OneInternalException):
        one.vn.hold(vnet, 'LEASES=[IP="10.9.8.7"]')
    with pytest.raises(pyone.OneInternalException):
        one.vn.rm_ar(vnet, 0)
    assert one.vn.release(vnet, 'LEASES=[IP="192.0.2.12"]') == vnet
    assert one.vn.info(vnet).USED_LEASES == 0
    assert one.vn.delete(vnet) == vnet


def test_network_with_a_held_address_stays(one, vnet):
    one.vn.hold(vnet, 'LEASES=[IP="192.0.2.12"]')
    with pytest.raises(pyone.OneActionException):
        one.vn.delete(vnet)


def test_network_with_a_lease_stays(one, vnet):
    vm = one.vm.allocate(cloud.VM.format("leaser") + f'\nNIC=[NETWORK_ID="{vnet}"]', True)
    with pytest.raises(pyone.OneActionException):
        one.vn.delete(vnet)
    assert one.vm.info(vm).TEMPLATE["NIC"]["NETWORK_ID"] == str(vnet)


def test_lease_of_a_vm(one, vnet):
    nic = f'\nNIC=[NETWORK_ID="{vnet}"]'
    one.vn.hold(vnet, 'LEASES=[IP="192.0.2.10"]')
    first = one.vm.allocate(cloud.VM.format("leases") + nic, True)
    second = one.vm.allocate(cloud.VM.format("leases-too") + nic, True)
    addresses = [one.vm.info(vm).TEMPLATE["NIC"]["IP"] for vm in (first, second)]
    assert addresses == ["192.0.2.11", "192.0.2.12"], "the held address is left out"
    assert one.vn.info(vnet).USED_LEASES == 3
    one.vm.action("terminate", first)
    cloud.eventually(lambda: one.vn.info(vnet).USED_LEASES, lambda used: used == 2, "the lease back")


def test_rm_ar_force(one, vnet):
    vm = one.vm.allocate(cloud.VM.format("forced") + f'\nNIC=[NETWORK_ID="{vnet}"]', True)
    with pytest.raises(pyone.OneInternalException):
        one.vn.rm_ar(vnet, 0, False)
    assert one.vn.rm_ar(vnet, 0, True) == vnet
    assert ranges(one, vnet) == []
    one.vm.action("terminate", vm)
    assert one.vn.delete(vnet) == vnet


def test_range_that_is_full(one):
    small = one.vn.allocate('NAME="small"\nVN_MAD="dummy"\nBRIDGE="br0"\nAR=[TYPE="IP4",IP="192.0.2.1",SIZE="1"]', -1)
    cloud.eventually(lambda: int(one.vn.info(small).STATE), lambda state: state == READY, "network")
    nic = f'\nNIC=[NETWORK_ID="{small}"]'
    one.vm.allocate(cloud.VM.format("fits") + nic, True)
    before = [vm.ID for vm in one.vmpool.info(-2, -1, -1, -2).VM]
    with pytest.raises(pyone.OneException):
        one.vm.allocate(cloud.VM.format("one-too-many") + nic, True)
    assert [vm.ID for vm in one.vmpool.info(-2, -1, -1, -2).VM] == before


def test_security_group_rules(one):
    group = one.secgroup.allocate(
        'NAME="rules"\nRULE=[PROTOCOL="TCP",RULE_TYPE="inbound",RANGE="22,80:90"]\nRULE=[PROTOCOL="ALL",RULE_TYPE="outbound"]'
    )
    rules = one.secgroup.info(group).TEMPLATE["RULE"]
    assert [(rule["PROTOCOL"], rule.get("RANGE")) for rule in rules] == [("TCP", "22,80:90"), ("ALL", None)]
    with pytest.raises(pyone.OneException):
        one.secgroup.allocate('NAME="bad"\nRULE=[PROTOCOL="NOSUCH",RULE_TYPE="inbound"]')


def test_security_group_in_use_stays(one, vnet):
    group = one.secgroup.allocate('NAME="used"\nRULE=[PROTOCOL="ALL",RULE_TYPE="inbound"]')
    nic = f'\nNIC=[NETWORK_ID="{vnet}",SECURITY_GROUPS="{group}"]'
    vm = one.vm.allocate(cloud.VM.format("guarded") + nic, True)
    one.vm.action("release", vm)
    with pytest.raises(pyone.OneActionException):
        one.secgroup.delete(group)
    with pytest.raises(pyone.OneActionException):
        one.secgroup.delete(0)


def test_new_rules_reach_the_vms(one, vnet):
    group = one.secgroup.allocate('NAME="reach"\nRULE=[PROTOCOL="TCP",RULE_TYPE="inbound",RANGE="22"]')
    copy = one.secgroup.clone(group, "reach-copy")
    assert one.secgroup.info(copy).TEMPLATE == one.secgroup.info(group).TEMPLATE
    with pytest.raises(pyone.OneException, match="already taken"):
        one.secgroup.clone(group, "reach-copy")
    vm = one.vm.allocate(cloud.VM.format("reached") + f'\nNIC=[NETWORK_ID="{vnet}",SECURITY_GROUPS="{group}"]', True)

    def ranges_of_vm():
        rules = one.vm.info(vm).TEMPLATE["SECURITY_GROUP_RULE"]
        return [rule.get("RANGE") for rule in rules if rule["SECURITY_GROUP_ID"] == str(group)]

    assert ranges_of_vm() == ["22"]
    one.secgroup.update(group, 'RULE=[PROTOCOL="TCP",RULE_TYPE="inbound",RANGE="80"]', 0)
    assert ranges_of_vm() == ["80"]
    assert one.secgroup.commit(group, False) == group
    body = one.secgroup.info(group)
    assert (body.UPDATED_VMS.ID, body.OUTDATED_VMS.ID) == ([vm], [])
    with pytest.raises(pyone.OneException):
        one.secgroup.update(group, 'RULE=[PROTOCOL="NOSUCH",RULE_TYPE="inbound"]', 0)
    assert ranges_of_vm() == ["80"]


def test_aliases(one, vnet):
    other = one.vn.allocate('NAME="alias-net"\nVN_MAD="dummy"\nBRIDGE="br1"\nAR=[TYPE="IP4",IP="10.5.0.1",SIZE="5"]', -1)
    text = cloud.VM.format("aliased") + f"""
CONTEXT=[NETWORK="YES"]
NIC=[NETWORK_ID="{vnet}"]
NIC=[NETWORK_ID="{vnet}",NAME="second"]
NIC_ALIAS=[NETWORK_ID="{vnet}",PARENT="NIC0"]
NIC_ALIAS=[NETWORK="alias-net",PARENT="second",IP="10.5.0.3",NAME="extra"]
NIC_ALIAS=[NETWORK_ID="{vnet}",PARENT="NIC0"]"""
    vm = one.vm.allocate(text, True)
    template = one.vm.info(vm).TEMPLATE
    assert [nic.get("ALIAS_IDS") for nic in template["NIC"]] == ["2,4", "3"]
    found = [
        tuple(alias[name] for name in ("NIC_ID", "ALIAS_ID", "PARENT_ID", "NAME", "IP", "TARGET"))
        for alias in template["NIC_ALIAS"]
    ]
    assert found == [
        ("2", "0", "0", "NIC0_ALIAS2", "192.0.2.12", f"one-{vm}-2"),
        ("3", "0", "1", "extra", "10.5.0.3", f"one-{vm}-3"),
        ("4", "1", "0", "NIC0_ALIAS4", "192.0.2.13", f"one-{vm}-4"),
    ]
    context = template["CONTEXT"]
    assert (context["ETH0_ALIAS1_IP"], context["ETH1_ALIAS0_IP"]) == ("192.0.2.13", "10.5.0.3")
    assert (one.vn.info(vnet).USED_LEASES, one.vn.info(other).USED_LEASES) == (4, 1)
    for wrong in ("", ',PARENT="NIC7"'):
        with pytest.raises(pyone.OneException, match="is the NAME of no NIC"):
            one.vm.allocate(f'{text}\nNIC_ALIAS=[NETWORK_ID="{vnet}"{wrong}]', True)
    one.vm.action("terminate", vm)
    cloud.eventually(lambda: one.vn.info(vnet).USED_LEASES, lambda used: used == 0, "the leases back")


@pytest.fixture(scope="module")
def placed(server):
    return cloud.cloud_make(Session(server), hosts=1)


def auto(more=""):
    return cloud.VM.format("auto") + f'\nCONTEXT=[NETWORK="YES"]\nNIC=[NETWORK_MODE="auto"{more}]'


def test_network_is_chosen_when_the_vm_is_placed(server, one, placed):
    admin = Session(server)
    ids = [
        one.vn.allocate(f'NAME="auto-{number}"\nVN_MAD="dummy"\nBRIDGE="br{number}"\nTRAFFIC="auto"\nWORTH="{worth}"'
                        f'\nAR=[TYPE="IP4",IP="10.{number}.0.1",SIZE="{size}"]', -1)
        for number, worth, size in ((70, 1, 5), (71, 2, 5), (72, 3, 1))
    ]
    rank = ',SCHED_REQUIREMENTS="TRAFFIC=auto",SCHED_RANK="WORTH"'
    held = one.vm.allocate(auto(rank), True)
    nic = one.vm.info(held).TEMPLATE["NIC"]
    assert (nic["NAME"], nic["NIC_ID"], "NETWORK_ID" in nic) == ("NIC0", "0", False)
    assert one.vn.info(ids[2]).USED_LEASES == 0
    one.vm.action("release", held)
    cloud.vm_await(admin, held, 3, 3)
    template = one.vm.info(held).TEMPLATE
    nic = template["NIC"]
    assert (nic["NETWORK_ID"], nic["IP"], nic["BRIDGE"]) == (str(ids[2]), "10.72.0.1", "br72")
    assert (template["CONTEXT"]["ETH0_IP"], nic["SECURITY_GROUPS"]) == ("10.72.0.1", "0")
    assert one.vn.info(ids[2]).USED_LEASES == 1
    # The best network is full: the next one.
    second = one.vm.allocate(auto(rank), False)
    cloud.vm_await(admin, second, 3, 3)
    assert one.vm.info(second).TEMPLATE["NIC"]["NETWORK_ID"] == str(ids[1])
    one.vm.action("terminate-hard", held)
    cloud.eventually(lambda: one.vn.info(ids[2]).USED_LEASES, lambda used: used == 0, "the lease back")


def test_vm_waits_for_a_network(server, one, placed):
    admin = Session(server)
    vm = one.vm.allocate(auto(',SCHED_REQUIREMENTS="PURPOSE=rare"'), False)
    reason = cloud.eventually(lambda: one.vm.info(vm).USER_TEMPLATE.get("SCHED_MESSAGE", ""), bool, "the reason")
    assert "No host has a network that will do" in reason
    assert "no network serves NIC 0" in reason
    with pytest.raises(pyone.OneActionException, match="no network serves NIC 0"):
        one.vm.deploy(vm, placed.hosts[0], False, -1, "")
    one.vn.update(placed.vnet, 'PURPOSE="rare"', 1)
    cloud.vm_await(admin, vm, 3, 3)
    assert one.vm.info(vm).TEMPLATE["NIC"]["NETWORK_ID"] == str(placed.vnet)


def test_networks_of_others_are_not_chosen(server, one, placed):
    admin = Session(server)
    rule = next(
        rule
        for rule in re.findall(r"<ID>(\d+)</ID><USER>200000001</USER><RESOURCE>4400000000</RESOURCE>", admin.ok("acl.info"))
    )
    admin.ok("acl.delrule", int(rule))
    admin.ok("user.allocate", "auto-user", "secret", "", [])
    plain = Session(server, "auto-user:secret")
    vm = plain.ok("vm.allocate", auto(), False)
    reason = cloud.eventually(lambda: one.vm.info(vm).USER_TEMPLATE.get("SCHED_MESSAGE", ""), bool, "the reason")
    assert "may not be used by user" in reason
    one.vn.chmod(placed.vnet, -1, -1, -1, -1, -1, -1, 1, -1, -1)
    cloud.vm_await(admin, vm, 3, 3)


@pytest.mark.parametrize("wrong", [',SCHED_REQUIREMENTS="A="', ',SCHED_RANK="A +"'])
def test_wishes_that_are_no_expressions(one, wrong):
    with pytest.raises(pyone.OneException, match="is no expression"):
        one.vm.allocate(auto(wrong), True)


def test_vlans_are_chosen(tmp_path):
    settings = 'VLAN_IDS=[START="10",RESERVED="12"]\n'
    instance = Server(tmp_path / "one", settings).start()
    one = pyone.OneServer(instance.url, session=instance.admin)

    def made(name, driver, more='AUTOMATIC_VLAN_ID="YES"'):
        return one.vn.info(one.vn.allocate(f'NAME="{name}"\nVN_MAD="{driver}"\nPHYDEV="eth1"\n{more}', -1))

    nets = [made("q0", "802.1Q"), made("x1", "vxlan"), made("q2", "802.1Q")]
    assert [(net.VLAN_ID, net.VLAN_ID_AUTOMATIC, net.BRIDGE) for net in nets] == [
        ("10", "1", "onebr0"),
        # The first VXLAN and the id.
        ("3", "1", "onebr1"),
        # 12 is reserved.
        ("13", "1", "onebr2"),
    ]
    assert "VLAN_ID" not in nets[0].TEMPLATE and "AUTOMATIC_VLAN_ID" not in nets[0].TEMPLATE
    named = made("q3", "802.1Q", 'AUTOMATIC_VLAN_ID="YES"\nVLAN_ID="50"')
    assert (named.VLAN_ID, named.VLAN_ID_AUTOMATIC, named.BRIDGE) == ("50", "0", "onebr.50")
    both = made("o4", "ovswitch_vxlan", 'BRIDGE="ovs0"\nAUTOMATIC_VLAN_ID="YES"\nAUTOMATIC_OUTER_VLAN_ID="YES"')
    assert (both.VLAN_ID, both.OUTER_VLAN_ID) == ("14", "6")
    one.vn.add_ar(nets[1].ID, 'AR=[TYPE="ETHER",SIZE="5"]')
    one.vn.update(nets[1].ID, 'NOTE="x"', 0)
    vm = one.vm.allocate(cloud.VM.format("tagged") + f'\nNIC=[NETWORK_ID="{nets[1].ID}"]', True)
    assert one.vm.info(vm).TEMPLATE["NIC"]["VLAN_ID"] == "3"
    # What a deleted network had is free again.
    one.vn.delete(nets[0].ID)
    last = one.vn.info(one.vn.allocate('NAME="q5"\nVN_MAD="802.1Q"\nPHYDEV="eth1"\nAUTOMATIC_VLAN_ID="YES"', -1))
    assert last.VLAN_ID == "15"
    instance.end()


def vlan_member(admin):
    """A group whose members may make networks, and the session of one: (group, session)."""
    group = admin.ok("group.allocate", "taggers")
    # NET and VNTEMPLATE: USE and CREATE; CLUSTER: ADMIN.
    for resource, rights in (("40004400000000", "9"), ("200400000000", "4")):
        admin.ok("acl.addrule", f"{0x200000000 | group:x}", resource, rights)
    admin.ok("user.allocate", "tagger", "secret", "core", [group])
    return group, Session(admin.server, "tagger:secret")


def test_members_of_a_group_name_the_vlans_that_its_rules_allow(tmp_path):
    instance = Server(tmp_path / "one", 'VNET_RESTRICTED_ATTR="FILTER"\n').start()
    one, admin = pyone.OneServer(instance.url, session=instance.admin), Session(instance)
    group, member = vlan_member(admin)
    free = admin.ok("vntemplate.allocate", 'NAME="free"\nVN_MAD="802.1Q"\nPHYDEV="eth1"\nVLAN_ID="7"')
    narrow = admin.ok("vntemplate.allocate", 'NAME="narrow"\nVN_MAD="802.1Q"\nPHYDEV="eth1"')
    for template in (free, narrow):
        admin.ok("vntemplate.chmod", template, -1, -1, -1, -1, -1, -1, 1, -1, -1)
    rules = f'RULE=[ID="200-100,300",SCOPE="vlan_id"]\nRULE=[ID="10-20",SCOPE="CVLAN"]\nRULE=[ID="5",SCOPE="ANY",VNTEMPLATE="{narrow}"]'
    names = iter(range(100))

    def refused(answer):
        return answer.value.partition("] ")[2] if answer.outcome == "error" and answer.code == DENIED else None

    def make(*attributes):
        text = "\n".join((f'NAME="tagged-{next(names)}"\nVN_MAD="802.1Q"\nPHYDEV="eth1"', *attributes))
        return member.call("vn.allocate", text, -1)

    # Without a rule there is no VLAN to name; whoever names none needs no rule.
    assert "not authorized to use the requested VLAN_ID" in refused(make('VLAN_ID="150"'))
    assert make('AUTOMATIC_VLAN_ID="YES"').outcome == "ok"
    assert one.group.vlan(group, rules) == group
    shown = one.group.info(group).VLAN_RULES
    assert shown.ID == group and [(rule.ID, rule.SCOPE, rule.VNTEMPLATE) for rule in shown.RULE] == [
        ("200-100,300", "VLAN_ID", "-1"),
        ("10-20", "CVLAN", "-1"),
        ("5", "ANY", str(narrow)),
    ]
    made = make('VLAN_ID="150"\nCVLANS="10-12,20"')
    assert made.outcome == "ok", made
    for attributes, told in (
        ('VLAN_ID="99"', "not authorized to use the requested VLAN_ID"),
        ('VLAN_ID="150-160"', "Invalid VLAN_ID specification"),
        ('VLAN_ID="5"', "not authorized to use the requested VLAN_ID"),
        ('VLAN_ID="150"\nCVLANS="15-25"', "not authorized to use the requested CVLAN"),
        ('VLAN_ID="150"\nVLAN_TAGGED_ID="10"', "not authorized to use the requested VLAN_TAGGED_ID"),
        ('VLAN_ID="150"\nOUTER_VLAN_ID="10"', "not authorized to use the requested OUTER_VLAN_ID"),
        ('VLAN_ID="150"\nAR=[TYPE="ETHER",SIZE="2",VLAN_ID="99"]', "not authorized to use the requested VLAN_ID"),
    ):
        assert told in (refused(make(attributes)) or ""), attributes
    # What is there may be given again, and changed as the rules say.
    network = made.value
    member.ok("vn.update", network, 'VLAN_ID="300"', 1)
    assert "VLAN_ID" in refused(member.call("vn.update", network, 'VLAN_ID="301"', 1))
    admin.ok("vn.update", network, 'VLAN_ID="301"', 1)
    member.ok("vn.update", network, 'VLAN_ID="301"\nNOTE="x"', 1)
    # Rules for a template are for what is made of it.
    own = member.ok("vntemplate.instantiate", narrow, "of-narrow", 'VLAN_ID="5"')
    assert "VLAN_ID" in refused(member.call("vntemplate.instantiate", narrow, "of-narrow-2", 'VLAN_ID="6"'))
    assert "Automatic selection" in refused(member.call("vntemplate.instantiate", narrow, "of-narrow-3", 'AUTOMATIC_VLAN_ID="YES"'))
    member.ok("vntemplate.instantiate", free, "of-free", "")
    for call, expected in (
        (("vn.add_ar", own, 'AR=[TYPE="ETHER",SIZE="2",VLAN_ID="6"]'), False),
        (("vn.add_ar", own, 'AR=[TYPE="ETHER",SIZE="2",VLAN_ID="5"]'), True),
        (("vn.update_ar", own, 'AR=[AR_ID="0",VLAN_ID="6"]'), False),
        (("vn.update_ar", own, 'AR=[AR_ID="0",VLAN_ID="150"]'), True),
    ):
        answer = member.call(*call)
        assert (answer.outcome == "ok") == expected, (call, answer)
    for wrong, told in (('RULE=[SCOPE="ANY"]', "Missing ID"), ('RULE=[ID="1",SCOPE="x"]', "Wrong SCOPE"), ('RULE=[ID="a",SCOPE="ANY"]', "Invalid ID")):
        answer = admin.call("group.vlan", group, wrong)
        assert answer.code == WRONG_STATE and told in answer.value
    # The rules are kept over a restart, and go with an empty template.
    instance.stop()
    instance.start()
    assert "<ID>200-100,300</ID>" in re.sub(r"<!\[CDATA\[(.*?)\]\]>", r"\1", admin.ok("group.info", group))
    admin.ok("group.vlan", group, "")
    assert "<RULE>" not in admin.ok("group.info", group)
    instance.end()

"""pyone: address ranges, holds, leases; rules of security groups."""

import pyone
import pytest

from harness import cloud

READY = 1


@pytest.fixture
def vnet(one, request):
    """A ready network with one range of 50 addresses."""
    ident = one.vn.allocate(cloud.VNET.format(request.node.name), -1)
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


@pytest.mark.xfail(strict=True, reason="IPv6 address ranges are refused: not supported yet")
@pytest.mark.parametrize(
    ("one_range", "kind"),
    [
        ('TYPE="IP6",SIZE="4",GLOBAL_PREFIX="2001:db8:1::",ULA_PREFIX="fd00::"', "IP6"),
        ('TYPE="IP4_6",IP="203.0.113.1",SIZE="4",GLOBAL_PREFIX="2001:db8:2::"', "IP4_6"),
        ('TYPE="IP6_STATIC",IP6="2001:db8:3::5",PREFIX_LENGTH="64",SIZE="3"', "IP6_STATIC"),
        ('TYPE="IP4_6_STATIC",IP="203.0.113.9",IP6="2001:db8:4::5",PREFIX_LENGTH="64",SIZE="2"', "IP4_6_STATIC"),
    ],
    ids=["ip6", "ip4_6", "ip6_static", "ip4_6_static"],
)
def test_ranges_of_ipv6(one, vnet, one_range, kind):
    assert one.vn.add_ar(vnet, f"AR=[{one_range}]") == vnet
    assert ranges(one, vnet)[1].TYPE == kind


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

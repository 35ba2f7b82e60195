"""pyone: virtual routers, their floating addresses and their VMs."""

import re

import pyone
import pytest

from harness import cloud
from harness.rpc import Session

VM = cloud.VM.format("router") + '\nVROUTER="YES"\nCONTEXT=[NETWORK="YES"]'


@pytest.fixture
def vnet(one, request):
    name = re.sub(r"\W+", "-", request.node.name)
    return one.vn.allocate(cloud.VNET.format(name), -1)


@pytest.fixture(scope="module")
def template(server):
    return Session(server).ok("template.allocate", VM)


def router_with_float(one, vnet, more=""):
    return one.vrouter.allocate(f'NAME="edge"\nNIC=[NETWORK_ID="{vnet}",FLOATING_IP="YES"{more}]')


def vms(one, router):
    return one.vrouter.info(router).VMS.ID


def test_floating_address(server, one, vnet):
    router = router_with_float(one, vnet)
    nic = one.vrouter.info(router).TEMPLATE["NIC"]
    assert (nic["VROUTER_IP"], nic["VROUTER_MAC"], nic["AR_ID"]) == ("192.0.2.10", "02:00:c0:00:02:0a", "0")
    network = one.vn.info(vnet)
    assert (network.USED_LEASES, network.VROUTERS.ID) == (1, [router])
    assert network.AR_POOL.AR[0].LEASES.LEASE[0].VROUTER == router
    assert " 0 1125899906842624" in Session(server).ok("vnpool.info", -2, -1, -1) or router != 0
    with pytest.raises(pyone.OneActionException):
        one.vn.delete(vnet)
    chosen = router_with_float(one, vnet, ',IP="192.0.2.20"')
    assert one.vrouter.info(chosen).TEMPLATE["NIC"]["VROUTER_IP"] == "192.0.2.20"
    with pytest.raises(pyone.OneException):
        router_with_float(one, vnet, ',IP="192.0.2.20"')
    for ident in (router, chosen):
        assert one.vrouter.delete(ident) == ident
    assert one.vn.info(vnet).USED_LEASES == 0
    assert one.vn.delete(vnet) == vnet


def test_vms_of_a_router(one, vnet, template):
    router = router_with_float(one, vnet)
    assert one.vrouter.instantiate(router, 2, template, "edge-%i", True, "") == router
    first, second = vms(one, router)
    body = one.vm.info(first)
    nic = body.TEMPLATE["NIC"]
    assert (body.NAME, one.vm.info(second).NAME) == ("edge-0", "edge-1")
    assert (nic["IP"], nic["VROUTER_IP"], nic["FLOATING_IP"]) == ("192.0.2.11", "192.0.2.10", "YES")
    context = body.TEMPLATE["CONTEXT"]
    keepalived = str(router % 255 + 1)
    assert (context["ETH0_IP"], context["ETH0_VROUTER_IP"]) == ("192.0.2.11", "192.0.2.10")
    assert (context["VROUTER_ID"], context["VROUTER_KEEPALIVED_ID"]) == (str(router), keepalived)
    assert (body.TEMPLATE["VROUTER_ID"], body.USER_TEMPLATE["VROUTER"]) == (str(router), "YES")
    assert one.vrouter.info(router).TEMPLATE["TEMPLATE_ID"] == str(template)
    assert one.vn.info(vnet).USED_LEASES == 3
    # The template used last, and the names that a router gives.
    one.vrouter.instantiate(router, 1, -1, "", True, "")
    assert one.vm.info(vms(one, router)[2]).NAME == "vr-edge-0"
    with pytest.raises(pyone.OneActionException, match="wrong state HOLD"):
        one.vrouter.detachnic(router, 0)
    with pytest.raises(pyone.OneActionException, match="wrong state HOLD"):
        one.vrouter.attachnic(router, f'NIC=[NETWORK_ID="{vnet}"]')
    made = vms(one, router)
    assert one.vrouter.delete(router) == router
    for vm in made:
        cloud.eventually(lambda: one.vm.info(vm).STATE, lambda state: state == 6, f"VM {vm} gone")
    assert one.vn.info(vnet).USED_LEASES == 0


def test_owner_and_permissions_of_the_vms(one, vnet, template):
    router = router_with_float(one, vnet)
    one.vrouter.instantiate(router, 1, template, "", True, "")
    [vm] = vms(one, router)
    user = one.user.allocate("router-owner", "secret", "", [])
    one.vrouter.chown(router, user, 1)
    one.vrouter.chmod(router, -1, -1, -1, 1, -1, -1, -1, -1, -1)
    body = one.vm.info(vm)
    assert (body.UID, body.GID, body.PERMISSIONS.GROUP_U) == (user, 1, 1)
    one.vrouter.instantiate(router, 1, template, "", True, "")
    assert one.vm.info(vms(one, router)[1]).UID == user
    one.vrouter.delete(router)


def test_floating_only(one, vnet, template):
    router = one.vrouter.allocate(f'NAME="shared"\nNIC=[NETWORK_ID="{vnet}",FLOATING_IP="YES",FLOATING_ONLY="YES"]')
    one.vrouter.instantiate(router, 1, template, "", True, "")
    nic = one.vm.info(vms(one, router)[0]).TEMPLATE["NIC"]
    assert "IP" not in nic
    assert (nic["VROUTER_IP"], nic["MAC"]) == ("192.0.2.10", "02:00:c0:00:02:0b")
    one.vrouter.delete(router)


def test_nics_without_vms(one, vnet):
    router = one.vrouter.allocate("DESCRIPTION=\"x\"")
    assert one.vrouter.info(router).NAME == f"vr-{router}"
    assert one.vrouter.attachnic(router, f'NIC=[NETWORK_ID="{vnet}"]') == router
    assert one.vrouter.attachnic(router, f'NIC=[NETWORK_ID="{vnet}",FLOATING_IP="YES"]') == router
    assert [nic["NIC_ID"] for nic in one.vrouter.info(router).TEMPLATE["NIC"]] == ["0", "1"]
    one.vrouter.update(router, 'NOTE="x"', 0)
    assert [nic["NIC_ID"] for nic in one.vrouter.info(router).TEMPLATE["NIC"]] == ["0", "1"], "an update keeps them"
    assert one.vn.info(vnet).USED_LEASES == 1
    assert one.vrouter.detachnic(router, 1) == router
    assert one.vn.info(vnet).USED_LEASES == 0
    with pytest.raises(pyone.OneActionException, match="does not exist"):
        one.vrouter.detachnic(router, 1)
    with pytest.raises(pyone.OneException):
        one.vrouter.attachnic(router, "NIC=[IP=\"192.0.2.10\"]")
    one.vrouter.delete(router)


def test_templates_of_routers_and_of_vms(one, vnet, template):
    router = router_with_float(one, vnet)
    plain = one.template.allocate(cloud.VM.format("plain"))
    with pytest.raises(pyone.OneActionException, match="Only virtual router templates"):
        one.vrouter.instantiate(router, 1, plain, "", True, "")
    with pytest.raises(pyone.OneActionException):
        one.vrouter.instantiate(router, 1, -1, "", True, "")
    for count in (0, -1, 101):
        with pytest.raises(pyone.OneActionException):
            one.vrouter.instantiate(router, count, template, "", True, "")
    with pytest.raises(pyone.OneActionException, match="Virtual router templates"):
        one.template.instantiate(template, "x", True, "", False)
    assert vms(one, router) == []
    one.vrouter.delete(router)


def test_router_survives_a_restart(own_server):
    admin = Session(own_server)
    vnet = admin.ok("vn.allocate", cloud.VNET.format("net"), -1)
    router = admin.ok("vrouter.allocate", f'NAME="edge"\nNIC=[NETWORK_ID="{vnet}",FLOATING_IP="YES"]')
    admin.ok("vrouter.instantiate", router, 2, admin.ok("template.allocate", VM), "", True, "")
    before = admin.ok("vrouter.info", router), admin.ok("vn.info", vnet)
    own_server.kill()
    own_server.start()
    assert (admin.ok("vrouter.info", router), admin.ok("vn.info", vnet)) == before


def test_nics_of_running_vms(server, one, vnet, template):
    admin = Session(server)
    cloud.cloud_make(admin, hosts=1)
    router = router_with_float(one, vnet)
    one.vrouter.instantiate(router, 2, template, "", False, "")
    made = vms(one, router)
    for vm in made:
        cloud.vm_await(admin, vm, 3, 3)

    def macs(vm):
        nics = one.vm.info(vm).TEMPLATE["NIC"]
        return [nic["MAC"] for nic in (nics if isinstance(nics, list) else [nics])]

    assert one.vrouter.attachnic(router, f'NIC=[NETWORK_ID="{vnet}",FLOATING_IP="YES"]') == router
    for vm in made:
        cloud.vm_await(admin, vm, 3, 3)
        assert len(macs(vm)) == 2
    # Two floating addresses, and two of each VM.
    assert one.vn.info(vnet).USED_LEASES == 6
    assert one.vm.info(made[0]).TEMPLATE["NIC"][1]["VROUTER_IP"] == "192.0.2.13"
    first = [macs(vm)[1] for vm in made]
    with pytest.raises(pyone.OneActionException, match="virtual router VMs"):
        one.vm.attachnic(made[0], f'NIC=[NETWORK_ID="{vnet}"]')
    assert one.vrouter.detachnic(router, 0) == router
    for vm in made:
        cloud.vm_await(admin, vm, 3, 3)
    cloud.eventually(lambda: one.vn.info(vnet).USED_LEASES, lambda used: used == 3, "the leases back")
    assert [macs(vm) for vm in made] == [[mac] for mac in first], "the first NIC went, the second stayed"
    one.vrouter.delete(router)
    cloud.eventually(lambda: one.vn.info(vnet).USED_LEASES, lambda used: used == 0, "all leases back")

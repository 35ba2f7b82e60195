"""pyone: network templates, and networks made of them."""

import pyone
import pytest

from harness import cloud
from harness.rpc import Session

NET = 'VN_MAD="dummy"\nBRIDGE="br-t"\nAR=[TYPE="IP4",IP="10.9.0.1",SIZE="10"]'


def test_instantiate(one):
    template = one.vntemplate.allocate(f'NAME="tenant"\n{NET}')
    assert one.vntemplate.info(template).TEMPLATE["AR"]["IP"] == "10.9.0.1"
    vnet = one.vn.info(one.vntemplate.instantiate(template, "tenant-1", 'GATEWAY="10.9.0.254"'))
    assert (vnet.NAME, vnet.TEMPLATE_ID, vnet.BRIDGE) == ("tenant-1", str(template), "br-t")
    assert (vnet.TEMPLATE["GATEWAY"], vnet.CLUSTERS.ID) == ("10.9.0.254", [0])
    assert vnet.AR_POOL.AR[0].IP_END == "10.9.0.10"
    with pytest.raises(pyone.OneException, match="already taken"):
        one.vntemplate.instantiate(template, "tenant-1", "")
    with pytest.raises(pyone.OneException):
        one.vntemplate.instantiate(template, "", "")
    assert one.vntemplate.delete(template) == template
    assert one.vn.info(vnet.ID).TEMPLATE_ID == str(template)


def test_clusters_of_the_template(one):
    cluster = one.cluster.allocate("networked")
    template = one.vntemplate.allocate(f'NAME="clustered"\nCLUSTER_IDS="{cluster},0"\n{NET}')
    vnet = one.vn.info(one.vntemplate.instantiate(template, "in-both", ""))
    assert vnet.CLUSTERS.ID == [0, cluster]
    assert "CLUSTER_IDS" not in vnet.TEMPLATE
    for wrong in ("x", "999", "0,x"):
        with pytest.raises(pyone.OneException):
            one.vntemplate.instantiate(template, "nowhere", f'CLUSTER_IDS="{wrong}"')


def test_clone_update_and_lock(one):
    template = one.vntemplate.allocate(f'NAME="original"\n{NET}')
    copy = one.vntemplate.clone(template, "copy")
    assert one.vntemplate.info(copy).TEMPLATE == one.vntemplate.info(template).TEMPLATE
    assert one.vntemplate.update(copy, 'NOTE="x"', 1) == copy
    assert one.vntemplate.info(copy).TEMPLATE["NOTE"] == "x"
    one.vntemplate.lock(copy, 1, False)
    with pytest.raises(pyone.OneAuthorizationException):
        one.vntemplate.instantiate(copy, "blocked", "")
    one.vntemplate.unlock(copy)
    names = [template.NAME for template in one.vntemplatepool.info(-2, -1, -1).VNTEMPLATE]
    assert {"original", "copy"} <= set(names)


def test_a_user_makes_networks_of_what_he_may_use(server, one):
    """He needs no right on networks or clusters; what administrators alone may set comes of the template only."""
    template = one.vntemplate.allocate(f'NAME="for-all"\n{NET}')
    one.vntemplate.chmod(template, -1, -1, -1, -1, -1, -1, 1, 0, 0)
    one.user.allocate("tenant", "secret", "", [])
    tenant = Session(server, "tenant:secret")
    vnet = tenant.ok("vntemplate.instantiate", template, "his", "")
    assert tenant.ok("vn.add_ar", vnet, 'AR=[TYPE="ETHER",SIZE="5"]') == vnet
    assert tenant.ok("vn.rm_ar", vnet, 1) == vnet
    assert tenant.ok("vm.allocate", cloud.VM.format("in-his") + f'\nNIC=[NETWORK_ID="{vnet}"]', True) >= 0
    for extra in ('BRIDGE="br0"', 'CLUSTER_IDS="0"', 'VN_MAD="bridge"'):
        answer = tenant.call("vntemplate.instantiate", template, "other", extra)
        assert (answer.outcome, answer.code) == ("error", 0x200), answer
    answer = tenant.call("vntemplate.allocate", f'NAME="mine"\n{NET}')
    assert (answer.outcome, answer.code) == ("error", 0x200), answer

"""pyone: hosts, clusters and datastores."""

import pyone
import pytest
from pyone import DATASTORE_STATES, DATASTORE_TYPES, HOST_STATES, HOST_STATUS

from harness import cloud


def host_await(one, host, state):
    cloud.eventually(lambda: HOST_STATES(one.host.info(host).STATE), lambda seen: seen == state, f"host {host}")


def test_dummy_host_is_monitored(one):
    host = one.host.allocate("monitored", "dummy", "dummy", -1)
    host_await(one, host, HOST_STATES.MONITORED)
    share = one.host.info(host).HOST_SHARE
    assert share.TOTAL_CPU > 0 and share.TOTAL_MEM > 0
    assert (share.CPU_USAGE, share.MEM_USAGE, share.RUNNING_VMS) == (0, 0, 0)


def test_host_status(one):
    host = one.host.allocate("switched", "dummy", "dummy", -1)
    host_await(one, host, HOST_STATES.MONITORED)
    assert one.host.status(host, HOST_STATUS.DISABLED) == host
    assert one.host.info(host).STATE in (HOST_STATES.DISABLED, HOST_STATES.MONITORING_DISABLED)
    assert one.host.status(host, HOST_STATUS.OFFLINE) == host
    assert one.host.info(host).STATE == HOST_STATES.OFFLINE
    assert one.host.status(host, HOST_STATUS.ENABLED) == host
    host_await(one, host, HOST_STATES.MONITORED)
    with pytest.raises(pyone.OneInternalException):
        one.host.status(host, 3)


def test_members_of_a_cluster(one):
    cluster = one.cluster.allocate("members")
    host = one.host.allocate("member", "dummy", "dummy", -1)
    datastore = one.datastore.allocate(cloud.SYSTEM_DS.format("member"), -1)
    vnet = one.vn.allocate(cloud.VNET.format("member"), -1)
    assert one.cluster.addhost(cluster, host) == cluster
    assert one.cluster.adddatastore(cluster, datastore) == cluster
    assert one.cluster.addvnet(cluster, vnet) == cluster
    body = one.cluster.info(cluster)
    assert (list(body.HOSTS.ID), list(body.DATASTORES.ID), list(body.VNETS.ID)) == ([host], [datastore], [vnet])
    assert (one.host.info(host).CLUSTER_ID, one.host.info(host).CLUSTER) == (cluster, "members")
    assert sorted(one.datastore.info(datastore).CLUSTERS.ID) == [0, cluster]
    with pytest.raises(pyone.OneActionException):
        one.cluster.delete(cluster)
    assert one.cluster.delhost(cluster, host) == cluster
    assert one.cluster.deldatastore(cluster, datastore) == cluster
    assert one.cluster.delvnet(cluster, vnet) == cluster
    assert one.host.info(host).CLUSTER_ID == 0
    assert one.cluster.delete(cluster) == cluster


def test_host_made_in_a_cluster(one):
    cluster = one.cluster.allocate("born-in")
    host = one.host.allocate("born", "dummy", "dummy", cluster)
    assert one.host.info(host).CLUSTER_ID == cluster
    with pytest.raises(pyone.OneNoExistsException):
        one.host.allocate("nowhere", "dummy", "dummy", 98765)


def test_reserved_capacity_of_a_cluster(one):
    cluster = one.cluster.allocate("reserving")
    host = one.host.allocate("reserved", "dummy", "dummy", cluster)
    host_await(one, host, HOST_STATES.MONITORED)
    total = one.host.info(host).HOST_SHARE.TOTAL_CPU
    one.cluster.update(cluster, {"RESERVED_CPU": "10"}, 1)
    cloud.eventually(lambda: one.host.info(host).HOST_SHARE.MAX_CPU, lambda seen: seen == total - 10, "MAX_CPU")


def test_default_cluster_stays(one):
    with pytest.raises(pyone.OneActionException):
        one.cluster.delete(0)


def test_datastore_types(one):
    system = one.datastore.allocate(cloud.SYSTEM_DS.format("typed-system"), -1)
    image = one.datastore.allocate(cloud.IMAGE_DS.format("typed-image"), -1)
    assert one.datastore.info(system).TYPE == DATASTORE_TYPES.SYSTEM
    assert one.datastore.info(image).TYPE == DATASTORE_TYPES.IMAGE


def test_datastore_enable(one):
    system = one.datastore.allocate(cloud.SYSTEM_DS.format("switched"), -1)
    assert one.datastore.enable(system, False) == system
    assert one.datastore.info(system).STATE == DATASTORE_STATES.DISABLED
    assert one.datastore.enable(system, True) == system
    assert one.datastore.info(system).STATE == DATASTORE_STATES.READY
    image = one.datastore.allocate(cloud.IMAGE_DS.format("not-switched"), -1)
    with pytest.raises(pyone.OneInternalException):
        one.datastore.enable(image, False)


def test_datastore_with_images_stays(one):
    datastore = one.datastore.allocate(cloud.IMAGE_DS.format("in-use"), -1)
    image = one.image.allocate(cloud.IMAGE.format("keeps-it"), datastore)
    with pytest.raises(pyone.OneActionException):
        one.datastore.delete(datastore)
    assert list(one.datastore.info(datastore).IMAGES.ID) == [image]

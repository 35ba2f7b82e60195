"""pyone: the configuration of VMs is changed."""

import pyone
import pytest

from harness import cloud
from harness.cli import plerion
from harness.rpc import Session

REPLACE, APPEND = 0, 1


@pytest.fixture(scope="module")
def made(server):
    """A dummy host and what a VM needs."""
    return cloud.cloud_make(Session(server), "u", hosts=1)


def test_updateconf(one, server, made, tmp_path):
    extra = 'CONTEXT=[A="1",NETWORK="YES"]\nGRAPHICS=[TYPE="VNC"]'
    vm = one.template.instantiate(made.template, "u-vm", False, extra)
    cloud.vm_await(Session(server), vm, 3, 3)
    assert one.vm.updateconf(vm, 'GRAPHICS=[TYPE="SPICE",LISTEN="127.0.0.1"]', APPEND) == vm
    graphics = one.vm.info(vm).TEMPLATE["GRAPHICS"]
    assert graphics["TYPE"] == "SPICE" and int(graphics["PORT"]) >= 5900
    one.vm.updateconf(vm, 'CONTEXT=[A="2",B="3"]', APPEND)
    cloud.vm_await(Session(server), vm, 3, 3)
    context = one.vm.info(vm).TEMPLATE["CONTEXT"]
    assert (context["A"], context["B"]) == ("2", "3") and context["ETH0_IP"].startswith("192.0.2.")
    conf = tmp_path / "conf.txt"
    conf.write_text('OS=[BOOT="disk0"]\n')
    plerion(server, "onevm", "updateconf", str(vm), str(conf), "--append")
    assert one.vm.info(vm).TEMPLATE["OS"]["BOOT"] == "disk0"
    with pytest.raises(pyone.OneInternalException, match="Wrong value"):
        one.vm.updateconf(vm, 'OS=[BOOT="disk9"]', APPEND)
    with pytest.raises(pyone.OneApiException, match="Wrong update type"):
        one.vm.updateconf(vm, 'OS=[BOOT="disk0"]', 5)
    one.vm.action("suspend", vm)
    cloud.vm_await(Session(server), vm, 5)
    with pytest.raises(pyone.OneInternalException, match="configuration cannot be updated in state SUSPENDED"):
        one.vm.updateconf(vm, 'OS=[BOOT="disk0"]', REPLACE)

"""A small cloud of dummy hosts, datastores and networks, and waiting for what the server does by itself."""

import re
import time
from dataclasses import dataclass

WITHIN_S = 20
POLL_S = 0.02

IMAGE_DS = 'NAME="{}"\nDS_MAD="dummy"\nTM_MAD="dummy"\nTYPE="IMAGE_DS"'
SYSTEM_DS = 'NAME="{}"\nTM_MAD="dummy"\nTYPE="SYSTEM_DS"'
IMAGE = 'NAME="{}"\nTYPE="DATABLOCK"\nSIZE="16"\nFORMAT="raw"'
HOOK = 'NAME="{}"\nTYPE="api"\nCALL="one.vm.rename"\nCOMMAND="/bin/true"'
MARKET = 'NAME="{}"\nMARKET_MAD="dummy"'
APP = 'NAME="{}"\nTYPE="IMAGE"\nORIGIN_ID="{}"'
VNET = 'NAME="{}"\nVN_MAD="dummy"\nBRIDGE="br0"\nAR=[TYPE="IP4",IP="192.0.2.10",SIZE="50"]'
VM = 'NAME="{}"\nCPU="0.1"\nMEMORY="64"'


def named(call, method, element, name, *parameters):
    """The id of the object of a name in a pool, or None. `call` gives the pool as text."""
    body = call(method, *parameters)
    found = re.search(rf"<{element}><ID>(\d+)</ID>(?:(?!</{element}>).)*?<NAME>{re.escape(name)}</NAME>", body, re.DOTALL)
    return int(found[1]) if found else None


def eventually(read, accept, what, within=WITHIN_S):
    """Reads until `accept` says yes; gives what was read last. Fails with it when the time is over."""
    deadline = time.monotonic() + within
    while True:
        value = read()
        if accept(value):
            return value
        assert time.monotonic() < deadline, f"{what}: not within {within} s, last seen: {value!r:.4000}"
        time.sleep(POLL_S)


def image_ready(call, datastore):
    """A dummy image that is READY, made at first use."""
    name = "image-of-all"
    image = named(call, "imagepool.info", "IMAGE", name, -2, -1, -1) or call("image.allocate", IMAGE.format(name), datastore)
    eventually(lambda: call("image.info", image), lambda body: "<STATE>1</STATE>" in body, f"image {image} READY")
    return image


@dataclass
class Cloud:
    """Ids of what `cloud_make` made."""

    hosts: list
    system_ds: int
    image_ds: int
    image: int
    vnet: int
    template: int


def cloud_make(admin, prefix="c", hosts=2):
    """Dummy hosts that are monitored, datastores, a ready image and network, and a template that uses them."""
    host_ids = [admin.ok("host.allocate", f"{prefix}-node{n}", "dummy", "dummy", -1) for n in range(hosts)]
    system_ds = admin.ok("datastore.allocate", SYSTEM_DS.format(f"{prefix}-system"), -1)
    image_ds = admin.ok("datastore.allocate", IMAGE_DS.format(f"{prefix}-images"), -1)
    image = admin.ok("image.allocate", IMAGE.format(f"{prefix}-image"), image_ds)
    vnet = admin.ok("vn.allocate", VNET.format(f"{prefix}-net"), -1)
    template = admin.ok(
        "template.allocate",
        VM.format(f"{prefix}-template") + f'\nDISK=[IMAGE_ID="{image}"]\nNIC=[NETWORK_ID="{vnet}"]',
    )
    for host in host_ids:
        state_await(admin, "host.info", host, 2)
    state_await(admin, "image.info", image, 1)
    state_await(admin, "vn.info", vnet, 1)
    return Cloud(host_ids, system_ds, image_ds, image, vnet, template)


def state_await(session, method, ident, state, lcm=None):
    """Waits until the object's STATE (and LCM_STATE) is this; gives its body."""
    wanted = f"<STATE>{state}</STATE>"
    also = "" if lcm is None else f"<LCM_STATE>{lcm}</LCM_STATE>"

    def reached(body):
        # A network's STATE is written as CDATA.
        plain = body.replace("<![CDATA[", "").replace("]]>", "")
        return wanted in plain and also in plain

    return eventually(lambda: session.ok(method, ident), reached, f"one.{method} {ident} to STATE {state} {lcm}")


def vm_await(session, vm, state, lcm=0):
    """Waits for a state of a VM; gives its body."""
    return state_await(session, "vm.info", vm, state, lcm)

"""The one table of kinds that the tests walk: how an object is made, and which calls that kinds have in common it has."""

from dataclasses import dataclass
from typing import Callable

from harness import cloud


@dataclass(frozen=True)
class Kind:
    """A kind; `make(call, name)` makes one, where `call(method, *parameters)` calls or fails."""

    name: str
    element: str
    make: Callable
    pool: tuple = ()
    owned: bool = False
    locked: bool = False
    renamed: bool = True
    deleted: bool = True
    unique: bool = True
    # STATE in which it takes changes.
    ready: int | None = None

    @property
    def paged(self):
        return bool(self.pool)


def image_ds(call):
    """A dummy image datastore, made at first use."""
    return cloud.named(call, "datastorepool.info", "DATASTORE", "images-of-all") or call(
        "datastore.allocate", cloud.IMAGE_DS.format("images-of-all"), -1
    )


def market(call):
    """A dummy marketplace, made at first use."""
    return cloud.named(call, "marketpool.info", "MARKETPLACE", "market-of-all") or call(
        "market.allocate", cloud.MARKET.format("market-of-all")
    )


RULE = '\nRULE=[PROTOCOL="TCP",RULE_TYPE="inbound"]'
PAGE = (-2, -1, -1)

KINDS = {
    kind.name: kind
    for kind in (
        Kind("backupjob", "BACKUPJOB", lambda call, name: call("backupjob.allocate", f'NAME="{name}"'), PAGE, owned=True, locked=True),
        Kind("cluster", "CLUSTER", lambda call, name: call("cluster.allocate", name)),
        Kind("datastore", "DATASTORE", lambda call, name: call("datastore.allocate", cloud.IMAGE_DS.format(name), -1), owned=True),
        Kind("document", "DOCUMENT", lambda call, name: call("document.allocate", f'NAME="{name}"\nBODY="x"', 100), (*PAGE, 100), owned=True, locked=True, unique=False),
        Kind("group", "GROUP", lambda call, name: call("group.allocate", name), renamed=False),
        Kind("host", "HOST", lambda call, name: call("host.allocate", name, "dummy", "dummy", -1), ready=2),
        Kind("hook", "HOOK", lambda call, name: call("hook.allocate", cloud.HOOK.format(name)), locked=True),
        Kind("image", "IMAGE", lambda call, name: call("image.allocate", cloud.IMAGE.format(name), image_ds(call)), PAGE, owned=True, locked=True, ready=1),
        Kind("market", "MARKETPLACE", lambda call, name: call("market.allocate", cloud.MARKET.format(name)), owned=True),
        Kind("marketapp", "MARKETPLACEAPP", lambda call, name: call("marketapp.allocate", cloud.APP.format(name, cloud.image_ready(call, image_ds(call))), market(call)), PAGE, owned=True, locked=True, ready=1),
        Kind("secgroup", "SECURITY_GROUP", lambda call, name: call("secgroup.allocate", f'NAME="{name}"{RULE}'), PAGE, owned=True),
        Kind("template", "VMTEMPLATE", lambda call, name: call("template.allocate", cloud.VM.format(name)), PAGE, owned=True, locked=True),
        Kind("user", "USER", lambda call, name: call("user.allocate", name, "secret", "", []), renamed=False),
        Kind("vm", "VM", lambda call, name: call("vm.allocate", cloud.VM.format(name), True), (*PAGE, -1), owned=True, locked=True, deleted=False, unique=False),
        Kind("vdc", "VDC", lambda call, name: call("vdc.allocate", f'NAME="{name}"')),
        Kind("vrouter", "VROUTER", lambda call, name: call("vrouter.allocate", f'NAME="{name}"'), PAGE, owned=True, locked=True, unique=False),
        Kind("vmgroup", "VM_GROUP", lambda call, name: call("vmgroup.allocate", f'NAME="{name}"\nROLE=[NAME="a"]'), PAGE, owned=True, locked=True),
        Kind("vntemplate", "VNTEMPLATE", lambda call, name: call("vntemplate.allocate", f'NAME="{name}"\nVN_MAD="dummy"\nBRIDGE="br0"'), PAGE, owned=True, locked=True),
        Kind("vn", "VNET", lambda call, name: call("vn.allocate", cloud.VNET.format(name), -1), PAGE, owned=True, locked=True, ready=1),
    )
}


def names(accept=lambda kind: True):
    """Names of the kinds that `accept` takes, sorted."""
    return sorted(kind.name for kind in KINDS.values() if accept(kind))

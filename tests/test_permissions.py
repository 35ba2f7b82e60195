"""Each method as each role on a fresh object, against permissions.tsv; lists show what a role may use, and no more."""

import re
import shlex
from pathlib import Path

import pytest

from harness import cloud, kinds
from harness.methods import methods
from harness.rpc import Session
from harness.server import Server

CODES = {"ok": ("ok", 0), "denied": ("error", 0x200), "refused": ("error", 0x100), "missing": ("error", 0x400), "wrong-state": ("error", 0x800), "internal": ("error", 0x2000), "allocate": ("error", 0x4000)}
# Objects that are made another way than their kind says, and the kind.
FAMILIES = {"system_ds": "datastore", "reservation": "vn"}
OWNED = (*kinds.names(lambda kind: kind.owned), *FAMILIES)
ROLES = ("oneadmin", "owner", "group admin", "member", "other", "foreign admin", "nobody")


def table():
    text = Path(__file__).with_name("permissions.tsv").read_text()
    lines = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    assert lines[0] == ["method", "object", "parameters", *ROLES]
    return lines[1:]


class Stage:
    """A server with the roles: `owner` and `member` are in `users` and share a group, of which `group admin` is an
    administrator; `other` is in one of his own, as `foreign admin`, who administers that."""

    def __init__(self, server):
        self.admin = admin = Session(server)
        self.number = 0
        self.recruited = None
        self.made = cloud.cloud_make(admin, hosts=1)
        self.group = admin.ok("group.allocate", "shared")
        alone = admin.ok("group.allocate", "alone")
        self.spare = admin.ok("group.allocate", "spare")
        self.users = {
            "owner": admin.ok("user.allocate", "owner", "owner", "", [1, self.group, self.spare]),
            "member": admin.ok("user.allocate", "member", "member", "", [1, self.group]),
            "other": admin.ok("user.allocate", "other", "other", "", [alone]),
            "group admin": admin.ok("user.allocate", "group-admin", "group-admin", "", [self.group, 1]),
            "foreign admin": admin.ok("user.allocate", "foreign-admin", "foreign-admin", "", [alone]),
        }
        admin.ok("group.addadmin", self.group, self.users["group admin"])
        admin.ok("group.addadmin", alone, self.users["foreign admin"])
        self.vmgroup = admin.ok("vmgroup.allocate", 'NAME="everyone"\nROLE=[NAME="a"]')
        admin.ok("vmgroup.chmod", self.vmgroup, -1, -1, -1, -1, -1, -1, 1, -1, -1)
        self.vrouter = admin.ok("vrouter.allocate", 'NAME="alone"')
        admin.ok("template.chmod", self.made.template, -1, -1, -1, -1, -1, -1, 1, -1, -1)
        # Who is in `users` may use the datastore; how a group comes to that is another matter.
        admin.ok("datastore.chown", self.made.image_ds, -1, 1)
        self.sessions = {role: Session(server, f"{role.replace(' ', '-')}:{role.replace(' ', '-')}") for role in (*self.users, "nobody")}
        self.sessions["oneadmin"] = admin

    def fresh(self, kind):
        """The id of a new object that belongs to `owner` and the shared group."""
        self.number += 1
        ident = self.make(kind, f"{kind}-{self.number}")
        if kind in OWNED:
            family = FAMILIES.get(kind, kind)
            self.admin.ok(f"{family}.chown", ident, self.users["owner"], self.group)
            self.admin.ok(f"{family}.chmod", ident, 1, 1, 0, 1, 0, 0, 0, 0, 0)
        return ident

    def make(self, kind, name):
        ok = self.admin.ok
        special = {
            "none": lambda: -1,
            "zone": lambda: 0,
            "user": lambda: self.users["owner"],
            "group": lambda: self.group,
            "image": lambda: ok("image.allocate", cloud.IMAGE.format(name), self.made.image_ds),
            "system_ds": lambda: ok("datastore.allocate", cloud.SYSTEM_DS.format(name), -1),
            "reservation": lambda: ok("vn.reserve", self.made.vnet, f'NAME="{name}"\nSIZE="1"'),
            "rule": lambda: ok("acl.addrule", f"0x10{self.number:07x}", "0x1400000000", "0x1", ""),
            "member_group": lambda: self.group_with_owner(name),
            "admin_group": lambda: self.group_with_admin(name),
            "full_vdc": lambda: self.vdc_full(name),
            "empty_group": lambda: ok("group.allocate", name),
            "recruit": self.recruit,
            "promoted": self.promoted,
            "service": lambda: ok("user.allocate", name, "secret", "server_cipher", [self.group]),
            "empty_user": lambda: ok("user.allocate", name, "secret", "", []),
        }.get(kind)
        ident = special() if special else kinds.KINDS[kind].make(ok, name)
        ready = kinds.KINDS[kind].ready if kind in kinds.KINDS else None
        if ready is not None:
            cloud.state_await(self.admin, f"{kind}.info", ident, ready)
        return ident

    def vdc_full(self, name):
        """A VDC with a group and a resource of each kind."""
        ok = self.admin.ok
        vdc = ok("vdc.allocate", f'NAME="{name}"')
        ok("vdc.addgroup", vdc, self.spare)
        for kind, ident in (("cluster", 0), ("host", self.made.hosts[0]), ("datastore", self.made.image_ds), ("vnet", self.made.vnet)):
            ok(f"vdc.add{kind}", vdc, 0, ident)
        return vdc

    def recruit(self):
        """A user whose first group is the shared one."""
        if self.recruited is not None:
            self.admin.call("user.delete", self.recruited)
        self.recruited = self.admin.ok("user.allocate", "recruit", "recruit", "", [self.group])
        return self.recruited

    def promoted(self):
        """An administrator whose first group is the shared one."""
        known = cloud.named(self.admin.ok, "userpool.info", "USER", "promoted")
        return known or self.admin.ok("user.allocate", "promoted", "promoted", "", [self.group, 0])

    def group_with_owner(self, name):
        group = self.admin.ok("group.allocate", name)
        self.admin.ok("user.addgroup", self.users["owner"], group)
        return group

    def group_with_admin(self, name):
        """A group that `owner` administers."""
        group = self.group_with_owner(name)
        self.admin.ok("group.addadmin", group, self.users["owner"])
        return group

    def params(self, text, ident):
        """The parameters of a row for an object."""
        self.number += 1
        known = {
            "id": ident,
            "n": self.number,
            "owner": self.users["owner"],
            "other": self.users["other"],
            "group": self.group,
            "recruit": self.recruit() if "{recruit}" in text else None,
            "host": self.made.hosts[0],
            "image_ds": self.made.image_ds,
            "vnet": self.made.vnet,
            "spare": self.spare,
            "vmgroup": self.vmgroup,
            "vrouter": self.vrouter,
            "template": self.made.template,
        }
        text = re.sub(r"\{(\w+)\}", lambda found: str(known[found[1]]), text.replace("\\n", "\n"))
        return [self.value(word) for word in shlex.split(text, posix=False)]

    @staticmethod
    def value(word):
        if word.startswith("'"):
            return word[1:-1]
        if word.startswith("["):
            return [int(number) for number in word[1:-1].split(",")]
        return {"True": True, "False": False}.get(word) if word in ("True", "False") else int(word)


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    instance = Server(tmp_path_factory.mktemp("permissions")).start()
    yield Stage(instance)
    instance.end()


@pytest.mark.parametrize("row", table(), ids=lambda row: f"{row[0]}-{row[2]}".replace("\\n", " "))
def test_row(stage, row):
    method, kind, parameters, *expected = row
    wrong = []
    for role, wanted in zip(ROLES, expected):
        ident = stage.fresh(kind)
        answer = stage.sessions[role].call(method, *stage.params(parameters, ident))
        if (answer.outcome, answer.code) != CODES[wanted]:
            wrong.append(f"{role}: {wanted} expected, got {answer}")
    assert wrong == []


def test_every_method_has_a_row():
    assert {row[0] for row in table()} >= set(methods())


def test_denials_name_user_right_and_object(stage):
    ident = stage.fresh("vm")
    answer = stage.sessions["other"].call("vm.rename", ident, "mine")
    user = stage.users["other"]
    assert answer.value == f"[one.vm.rename] User [{user}] : Not authorized to perform MANAGE VM [{ident}]."


@pytest.mark.parametrize("method", ["user.chgrp", "user.addgroup"])
def test_nobody_makes_himself_an_administrator(stage, method):
    answer = stage.sessions["owner"].call(method, stage.users["owner"], 0)
    assert (answer.outcome, answer.code) == CODES["denied"], answer


@pytest.mark.parametrize("kind", kinds.names(lambda kind: kind.owned and kind.paged))
def test_lists_are_filtered(stage, kind):
    element = kinds.KINDS[kind].element
    shared, private = stage.fresh(kind), stage.fresh(kind)
    stage.admin.ok(f"{kind}.chmod", private, 1, 1, 0, 0, 0, 0, 0, 0, 0)
    seen = {}
    for role in ("oneadmin", "owner", "member", "other"):
        body = stage.sessions[role].ok(f"{kind}pool.info", *kinds.KINDS[kind].pool)
        idents = {int(ident) for ident in re.findall(rf"<{element}><ID>(\d+)</ID>", body)}
        seen[role] = (shared in idents, private in idents)
    # Every group may use all networks by a rule of its own, and everybody all appliances (recorded).
    everybody = kind in ("vn", "marketapp")
    assert seen == {
        "oneadmin": (True, True),
        "owner": (True, True),
        "member": (True, everybody),
        "other": (everybody, everybody),
    }


def test_secrets_stay_with_oneadmin(stage):
    """The configuration, as others see it, names no password."""
    stage.admin.ok("user.update", stage.users["owner"], 'SECRET="x"', 1)
    body = stage.sessions["member"].ok("system.config")
    assert "PASSWD" not in body and "ONE_KEY" not in body


def test_default_vdc_lets_groups_use_datastores_networks_and_hosts(stage):
    rules = re.findall(r"<STRING>(.*?)</STRING>", stage.admin.ok("acl.info"))
    for group in (1, stage.group):
        for rule in ("HOST/* MANAGE #0", "NET/* USE #0", "DATASTORE/* USE #0"):
            assert f"@{group} {rule}" in rules

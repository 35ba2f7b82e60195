"""Everything that a server shows, for comparing before and after."""

import re

from harness.kinds import KINDS

POOLS = (
    *((f"{kind.name}pool.info", *kind.pool) for kind in KINDS.values() if kind.name != "vm"),
    ("acl.info",),
    ("vmpool.info", -2, -1, -1, -2),
    ("vmpool.infoextended", -2, -1, -1, -2),
    ("zonepool.info",),
)
INFOS = {
    "cluster": "clusterpool.info",
    "host": "hostpool.info",
    "image": "imagepool.info",
    "user": "userpool.info",
    "group": "grouppool.info",
    "vn": "vnpool.info",
    "vm": "vmpool.info",
}
MEASURED = re.compile(r"<MONITORING>.*?</MONITORING>|<LAST_POLL>\d+</LAST_POLL>", re.DOTALL)
MEMBER_ID = re.compile(r"<(?:CLUSTER|HOST|IMAGE|USER|GROUP|VNET|VM)><ID>(\d+)</ID>")


def dump(admin):
    """(method, parameters) -> answer, of each pool and of each object whose body says more than its pool's."""
    seen = {call: admin.ok(*call) for call in POOLS}
    for kind, pool in INFOS.items():
        (body,) = [answer for call, answer in seen.items() if call[0] == pool]
        for ident in MEMBER_ID.findall(body):
            seen[f"{kind}.info", int(ident)] = admin.ok(f"{kind}.info", int(ident))
    return {call: MEASURED.sub("", body) for call, body in seen.items()}


def changed(before, after):
    """Calls whose answers differ, with both answers from where they part."""
    found = {}
    for call in before.keys() | after.keys():
        first, second = before.get(call, ""), after.get(call, "")
        if first != second:
            start = next((at for at, pair in enumerate(zip(first, second)) if pair[0] != pair[1]), 0)
            begin = max(0, start - 60)
            found[call] = (first[begin : start + 120], second[begin : start + 120])
    return found

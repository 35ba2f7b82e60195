"""The method table that the binary prints, and parameters made from it."""

import re
import subprocess
from functools import cache

from harness.server import BINARY

PARAMETER = re.compile(r"([a-z_ ]+):(int|string|bool|array)(\([^)]*\))?")


@cache
def methods():
    """Method without `one.` -> list of (name, type, may be left out)."""
    listing = subprocess.run([BINARY, "methods"], capture_output=True, text=True, check=True, timeout=20).stdout
    table = {}
    for line in listing.splitlines():
        name, parameters = line.split("\t")[:2]
        table[name.removeprefix("one.")] = list(parameters_read(parameters))
    return table


def parameters_read(text):
    for part in re.split(r", (?=[a-z_ ]+:)", text):
        if part.startswith("nine bits:"):
            yield from ((f"bit{number}", "int", False) for number in range(9))
            continue
        if part.startswith("user:int, group:int") or part == "group:int (-1 keeps)":
            part = part.removesuffix(" (-1 keeps)")
        found = PARAMETER.match(part)
        if found:
            yield found[1], found[2], found[3] is not None


def values(method, **special):
    """Parameters of the right types; `special` gives those of a name."""
    plain = {"int": -1, "string": "x", "bool": False, "array": []}

    def value(name, kind):
        # The same name may be a text in one method and a number in another.
        given = special.get(name, plain[kind])
        if type(given) is type(plain[kind]):
            return given
        # Types that are numbers begin at 0.
        return 0 if name == "type" else plain[kind]

    return [value(name, kind) for name, kind, _ in methods()[method]]

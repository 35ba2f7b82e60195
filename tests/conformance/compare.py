"""Two answers to the same call: differences as short texts. Ids, times, secrets and other values are left apart."""

import re
import xml.etree.ElementTree as ElementTree
from difflib import SequenceMatcher

DIFFERENCES_MAX = 40
INTEGER = re.compile(r"[+-]?\d+")
DECIMAL = re.compile(r"[+-]?\d+\.\d+")
NUMBER = re.compile(r"-?\d+")
HEXADECIMAL = re.compile(r"[0-9a-f]{32,}")
# Elements of samples: whether one has been taken already depends on the moment.
SAMPLED = {"MONITORING", "LAST_POLL"}
# Pools whose members do not depend on what else a recording made.
COMPLETE = {"ACL_POOL"}


def differences(recorded, answer):
    """What differs, as a list of texts; empty when the answers agree."""
    if recorded.outcome != answer.outcome:
        return [f"outcome: {outcome(recorded)} recorded, now {outcome(answer)}"]
    if recorded.outcome == "fault":
        return fault_differences(recorded, answer)
    found = []
    if recorded.types != answer.types:
        found.append(f"members: {recorded.types} recorded, now {answer.types}")
    if recorded.code != answer.code:
        found.append(f"code: {recorded.code} recorded, now {answer.code}")
    if recorded.outcome == "error":
        return found + text_differences(recorded.value, answer.value)
    if isinstance(recorded.value, str) and isinstance(answer.value, str):
        found += body_differences(recorded.value, answer.value)
    return found


def outcome(answer):
    """The outcome with what explains it."""
    return answer.outcome if answer.outcome == "ok" else f"{answer.outcome} {answer.code} ({answer.value:.160})"


def fault_differences(recorded, answer):
    found = []
    if recorded.code != answer.code:
        found.append(f"fault code: {recorded.code} recorded, now {answer.code}")
    return found + text_differences(recorded.value, answer.value)


def text_differences(recorded, now):
    """Texts are compared with all numbers apart."""
    if NUMBER.sub("#", recorded) == NUMBER.sub("#", now):
        return []
    return [f"text: {recorded!r} recorded, now {now!r}"]


def body_differences(recorded, now):
    """Bodies: XML by structure, other texts by their type."""
    if not recorded.startswith("<") or not now.startswith("<"):
        kinds = text_kind(recorded), text_kind(now)
        return [] if kinds[0] == kinds[1] else [f"answer: {kinds[0]} recorded, now {kinds[1]}"]
    first, second = ElementTree.fromstring(recorded), ElementTree.fromstring(now)
    if first.tag != second.tag:
        return [f"root: {first.tag} recorded, now {second.tag}"]
    if first.tag.endswith("_POOL"):
        found = pool_differences(first, second)
    else:
        found = element_differences(first, second)
    return sorted(set(found))[:DIFFERENCES_MAX]


def pool_differences(recorded, now):
    """Members that both have are compared, and the order of ids; others come from what was made before."""
    def keyed(pool):
        return {(member.tag, member.findtext("ID")): member for member in pool}

    first, second = keyed(recorded), keyed(now)
    common = [key for key in first if key in second]
    found = [] if common or not first or not second else ["pool: no member in common"]
    if recorded.tag in COMPLETE:
        found += [f"missing member: {tag} {ident}" for tag, ident in first if (tag, ident) not in second]
    if common != [key for key in second if key in first]:
        found.append("order: the members of the pool are in another order")
    for key in common:
        found += element_differences(first[key], second[key], f"/{recorded.tag}")
    return found


def element_differences(recorded, now, above=""):
    """Names and order of the children, types of texts, and so on below."""
    path = f"{above}/{recorded.tag}"
    if recorded.tag in SAMPLED:
        return []
    if not len(recorded) and not len(now):
        return type_differences(path, recorded.text or "", now.text or "")
    found = []
    first, second = [child.tag for child in recorded], [child.tag for child in now]
    for kind, start, end, other_start, other_end in SequenceMatcher(None, first, second, False).get_opcodes():
        if kind == "equal":
            for before, after in zip(recorded[start:end], now[other_start:other_end]):
                found += element_differences(before, after, path)
            continue
        found += [f"missing: {path}/{tag}" for tag in first[start:end]]
        found += [f"extra: {path}/{tag}" for tag in second[other_start:other_end]]
    return found


def type_differences(path, recorded, now):
    first, second = text_kind(recorded), text_kind(now)
    return [] if first == second else [f"type: {path}: {first} recorded, now {second}"]


def text_kind(text):
    """What a reader would take a text for."""
    text = text.strip()
    if not text:
        return "empty"
    if INTEGER.fullmatch(text) or DECIMAL.fullmatch(text):
        return "number"
    return "secret" if HEXADECIMAL.fullmatch(text) or text.startswith("$argon2id$") else "text"

"""When a method is done: every method of methods.tsv that is served has a row in the table of the binary with the parameters
of 7.4, a row of permissions, a line in both languages' documentation, a client's test, and, where its answer is a document,
a check against its schema. Those that are not served say why."""

import re
from functools import cache
from pathlib import Path

import pytest

import test_permissions
import test_pyone
import test_xsd
from harness.methods import methods
from harness.server import REPOSITORY

HERE = Path(__file__).parent
LETTERS = {"int": "i", "string": "s", "bool": "b", "array": "a"}

# Calls that take a last parameter that may be left out, for kinds where 7.4 ignores it as a surplus one.
SURPLUS = {"delete": "b?", "info": "b?"}
# Documents for which there is no schema.
NO_SCHEMA = {
    "acl.info": None,
    "groupquota.info": "quotas alone",
    "groupquota.update": "quotas alone",
    "hooklog.info": "records of executions",
    "system.sqlquery": "what is asked for",
    "userquota.info": "quotas alone",
    "userquota.update": "quotas alone",
}


@cache
def facts():
    """Method without `one.` -> (parameters, answer, why it is not served)."""
    table = {}
    for line in (HERE / "methods.tsv").read_text().splitlines()[2:]:
        name, parameters, answer, *reason = line.split("\t")
        if name != "method":
            table[name.removeprefix("one.")] = (parameters, answer, reason[0] if reason else "")
    return table


def served():
    return sorted(set(facts()) & set(methods()))


def test_all_methods_of_7_4_are_in_the_file():
    assert len(facts()) == 307
    assert {answer for _, answer, _ in facts().values()} == {"number", "text", "xml"}


def test_nothing_is_served_that_7_4_does_not_have():
    assert set(methods()) - set(facts()) == set()


def test_what_is_not_served_says_why():
    silent = [name for name in set(facts()) - set(methods()) if not facts()[name][2]]
    assert silent == []


def signature(method):
    return "".join(LETTERS[kind] + ("?" if optional else "") for _, kind, optional in methods()[method])


@pytest.mark.parametrize("method", served())
def test_parameters_are_those_of_7_4(method):
    """The same types in the same order; what may be left out there may be left out here (more may)."""
    wanted, own = (re.findall(r"[isba]\??", text) for text in (facts()[method][0], signature(method)))
    surplus = SURPLUS.get(method.split(".")[1])
    if len(own) > len(wanted) and own[-1] == surplus:
        own.pop()
    assert len(own) == len(wanted), f"{method}({own}) is not {method}({wanted})"
    assert all(one == other or one == f"{other}?" for one, other in zip(own, wanted)), f"{method}({own}) is not {method}({wanted})"


def test_each_has_a_row_of_permissions():
    rows = {row[0] for row in test_permissions.table()}
    assert [method for method in served() if method not in rows] == []


def test_each_is_driven_by_a_client():
    texts = "\n".join(path.read_text() for path in HERE.glob("test_pyone*.py"))
    driven = test_pyone.DRIVEN | set(re.findall(r"\bone\.([a-z]+\.[a-z_]+)\(", texts))
    assert [method for method in served() if method not in driven] == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_each_is_documented(language):
    page = (REPOSITORY / f"docs/{language}/api.md").read_text()
    listed = set(re.findall(r"^\| `one\.([a-z._]+)` \|", page, re.MULTILINE))
    assert listed == set(methods()), f"docs/{language}/api.md: run docs/generate.sh target/debug/plerion"
    assert re.search(rf"\b{len(methods())}\b", page.split("\n## ")[0])


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_the_number_of_methods_is_true(page):
    assert re.search(rf"\b{len(methods())}\b[^\n|]{{0,40}}\b307\b|\b307\b[^\n|]{{0,40}}\b{len(methods())}\b", (REPOSITORY / page).read_text())


def test_each_document_is_checked_against_its_schema():
    documents = {method for method in served() if facts()[method][1] == "xml"}
    assert documents - test_xsd.CHECKED - set(NO_SCHEMA) == set()

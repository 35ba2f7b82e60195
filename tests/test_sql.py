"""one.system.sqlquery: whatever is asked, it is answered within bounds and changes nothing. TEST_BACKEND says of which engine."""

import os
import re
from base64 import b64decode

import pytest

from harness.dump import changed, dump
from harness.rpc import Session

BACKEND = os.environ.get("TEST_BACKEND", "sqlite")
INTERNAL = 0x2000
SLOW = {
    "sqlite": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n",
    "postgresql": "SELECT pg_sleep(60)",
    "mysql": "SELECT count(*) FROM information_schema.columns a, information_schema.columns b, information_schema.columns c",
}
MANY = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 900) SELECT a.x FROM n a, n b"
WRITES = [
    "DELETE FROM clusters",
    "UPDATE clusters SET name = 'x'",
    "INSERT INTO clusters (oid, name, body, template) VALUES (900, 'x', '{}', '')",
    "DROP TABLE clusters",
    "CREATE TABLE strange (a int)",
    "SELECT 1; DELETE FROM clusters",
    "COMMIT; DELETE FROM clusters",
    "COMMIT",
    "",
    "nonsense",
    "1) ; DELETE FROM clusters; --",
]
OWN_WRITES = {
    "sqlite": [
        "PRAGMA journal_mode = DELETE",
        "PRAGMA user_version = 7",
        "ATTACH '{place}' AS other",
        "VACUUM INTO '{place}'",
        "DELETE FROM clusters RETURNING oid",
    ],
    "postgresql": [
        "DELETE FROM clusters RETURNING oid",
        "WITH gone AS (DELETE FROM clusters RETURNING oid) SELECT * FROM gone",
        "COPY clusters TO PROGRAM 'touch {place}'",
        "COPY (SELECT 1) TO '{place}'",
        "SELECT * FROM clusters FOR UPDATE",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "DO $$ BEGIN DELETE FROM clusters; END $$",
    ],
    "mysql": ["SELECT 1 INTO OUTFILE '{place}'", "SET GLOBAL read_only = 1", "KILL 1", "LOCK TABLES clusters WRITE"],
}


def rows(answer):
    return [dict(re.findall(r"<(\w+)>([^<]*)</\1>", row)) for row in re.findall(r"<ROW>(.*?)</ROW>", answer)]


def test_what_is_committed_is_read(admin):
    cluster = admin.ok("cluster.allocate", "asked for")
    answer = admin.ok("system.sqlquery", f"SELECT oid, 'a & b' AS text, NULL AS empty FROM clusters WHERE oid = {cluster}")
    assert answer.startswith("<SQL_COMMAND><QUERY>SELECT oid, 'a &amp; b' AS text, NULL")
    assert rows(answer) == [{"oid": str(cluster), "text": "a &amp; b", "empty": ""}]
    assert rows(admin.ok("system.sqlquery", "SELECT oid FROM clusters WHERE oid = -5")) == []


def test_what_looks_like_xml_is_base64(admin):
    (row,) = rows(admin.ok("system.sqlquery", "SELECT '<A>text</A>' AS body, 1.5 AS number"))
    assert b64decode(row["body64"]) == b"<A>text</A>"
    assert row["number"] == "1.5"


def test_columns_without_a_name_are_elements_all_the_same(admin):
    (row,) = rows(admin.ok("system.sqlquery", "SELECT count(*), 7 FROM clusters"))
    assert int(list(row.values())[0]) >= 1
    assert all(re.fullmatch(r"[A-Za-z_]\w*", name) for name in row)


@pytest.mark.parametrize("query", WRITES + OWN_WRITES[BACKEND])
def test_nothing_is_written(admin, tmp_path, query):
    before = dump(admin)
    place = tmp_path / "written"
    answer = admin.call("system.sqlquery", query.format(place=place) if "{place}" in query else query)
    assert (answer.outcome, answer.code) == ("error", INTERNAL), answer
    assert changed(before, dump(admin)) == {}
    assert not place.exists()
    assert int(rows(admin.ok("system.sqlquery", "SELECT count(*) AS n FROM clusters"))[0]["n"]) >= 1
    assert admin.ok("group.update", 1, 'STILL="writes"', 1) == 1


def test_a_question_without_end_is_stopped(admin):
    answer = admin.call("system.sqlquery", SLOW[BACKEND])
    assert (answer.outcome, answer.code) == ("error", INTERNAL)
    assert "longer than 8 s" in answer.value


def test_an_answer_without_end_is_refused(admin):
    answer = admin.call("system.sqlquery", MANY)
    assert (answer.outcome, answer.code) == ("error", INTERNAL)
    assert "more than 10000 rows" in answer.value and "LIMIT" in answer.value
    assert len(rows(admin.ok("system.sqlquery", MANY + " LIMIT 10000"))) == 10000

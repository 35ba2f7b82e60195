"""VMs that are DONE, in tens of thousands: they cost neither memory nor the speed of the lists of living ones, and
are paged out of the database in bounded memory."""

import re
import sqlite3
import time

import pytest

from harness import cloud
from harness.rpc import Session
from harness.server import Server

DONE_ROWS = 30_000
LIVING = 50
FIRST_COPY = 1_000
# As much as templates of real VMs hold: all of them in memory would be seen.
NOTE = "x" * 3_000
ANY, DONE = -2, 6
EVERYBODY, OWN = -2, -3
READS = 15
# Memory that answering may take besides what an empty cloud takes, in KiB: buffers of answers, caches of SQLite.
GROWTH_KIB_MAX = 24 * 1024


def vm_ids(body):
    """Ids of a pool, in its order."""
    return [int(ident) for ident in re.findall(r"<VM><ID>(\d+)</ID>", body)]


def best_s(call):
    """The fastest of some calls: what else runs on the machine makes calls slower, never faster."""
    times = []
    for _ in range(READS):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return min(times)


def living_make(server):
    """Living VMs of oneadmin, one ended VM of oneadmin and one of `dora`; the two ended ones."""
    admin = Session(server)
    dora = admin.ok("user.allocate", "dora", "secret", "", [1])
    ended = [admin.ok("vm.allocate", cloud.VM.format(f"ended{number}") + f'\nNOTE="{NOTE}"', True) for number in range(2)]
    admin.ok("vm.chown", ended[1], dora, 1)
    for vm in ended:
        admin.ok("vm.action", "terminate-hard", vm)
    for number in range(LIVING):
        admin.ok("vm.allocate", cloud.VM.format(f"living{number}"), True)
    return ended


def done_copy(server, ended):
    """Copies the rows of the ended VMs: each hundredth of dora's, the others of oneadmin's."""
    database = sqlite3.connect(server.directory / "var/plerion.db")
    columns = [row[1] for row in database.execute("PRAGMA table_info(vms)")]
    picked = {"oid": "n", "body": "json_set(body, '$.id', n)"}
    vms = ", ".join(picked.get(column, column) for column in columns)
    source = f"CASE WHEN n % 100 = 0 THEN {ended[1]} ELSE {ended[0]} END"
    numbers = f"WITH RECURSIVE copy(n) AS (SELECT {FIRST_COPY} UNION ALL SELECT n + 1 FROM copy WHERE n < {FIRST_COPY + DONE_ROWS - 1})"
    with database:
        database.execute(f"INSERT INTO vms {numbers} SELECT {vms} FROM copy JOIN vms ON oid = {source}")
        database.execute(
            f"INSERT INTO vm_attributes {numbers} SELECT n, template, user_template FROM copy "
            f"JOIN vm_attributes ON oid = {source}"
        )
        database.execute("UPDATE pool_control SET last_oid = ? WHERE kind = 'VM'", [FIRST_COPY + DONE_ROWS])
    database.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two servers of the same living VMs: one with few that are DONE, one with many."""
    few = Server(tmp_path_factory.mktemp("few")).start()
    many = Server(tmp_path_factory.mktemp("many")).start()
    living_make(few)
    ended = living_make(many)
    many.stop()
    done_copy(many, ended)
    many.start()
    few.stop()
    few.start()
    yield few, many
    few.end()
    many.end()


def test_lists_of_living_vms_are_as_fast_and_memory_as_small(pair):
    few, many = pair
    assert many.rss_kib() < few.rss_kib() + GROWTH_KIB_MAX
    read = [lambda session=Session(server): session.ok("vmpool.info", EVERYBODY, -1, -1, -1) for server in pair]
    assert vm_ids(read[0]()) == vm_ids(read[1]())
    assert len(vm_ids(read[1]())) == LIVING
    fast, other = best_s(read[0]), best_s(read[1])
    assert other < 2 * fast + 0.002, f"{other} s with {DONE_ROWS} DONE, {fast} s with 2"


def test_everything_is_listed_in_bounded_memory(pair):
    _, many = pair
    session = Session(many, timeout=100)
    many.peak_forget()
    before = many.rss_kib()
    listed = vm_ids(session.ok("vmpool.info", EVERYBODY, -1, -1, ANY))
    assert len(listed) == LIVING + 2 + DONE_ROWS
    assert listed == sorted(set(listed), reverse=True)
    assert many.peak_kib() < before + GROWTH_KIB_MAX


@pytest.mark.parametrize("method", ["vmpool.info", "vmpool.infoextended"])
def test_pages_and_ranges(pair, method):
    session = Session(pair[1])
    last = FIRST_COPY + DONE_ROWS - 1
    first_page = vm_ids(session.ok(method, EVERYBODY, 0, -100, DONE))
    assert first_page == list(range(last, last - 100, -1))
    deep = vm_ids(session.ok(method, EVERYBODY, DONE_ROWS - 10, -20, ANY))
    living = list(range(LIVING + 1, LIVING - 9, -1))
    assert deep == [*range(FIRST_COPY + 9, FIRST_COPY - 1, -1), *living]
    assert vm_ids(session.ok(method, EVERYBODY, 2_000, 2_004, ANY)) == [2_004, 2_003, 2_002, 2_001, 2_000]


def test_a_first_page_does_not_pay_for_the_others(pair):
    session = Session(pair[1])
    page = best_s(lambda: session.ok("vmpool.info", EVERYBODY, 0, -20, ANY))
    begin = time.perf_counter()
    session.ok("vmpool.info", EVERYBODY, DONE_ROWS - 20, -20, ANY)
    deep = time.perf_counter() - begin
    begin = time.perf_counter()
    session.ok("vmpool.info", EVERYBODY, -1, -1, ANY)
    whole = time.perf_counter() - begin
    assert page < whole / 20, f"{page} s for a page, {whole} s for all"
    assert deep < whole / 2, f"{deep} s for the last page, {whole} s for all"


def test_a_user_sees_its_own(pair):
    session = Session(pair[1], "dora:secret")
    own = [*range(FIRST_COPY + DONE_ROWS - 100, FIRST_COPY - 1, -100), 1]
    for flag in (EVERYBODY, OWN):
        assert vm_ids(session.ok("vmpool.info", flag, -1, -1, DONE)) == own
        assert vm_ids(session.ok("vmpool.info", flag, 2, -3, ANY)) == own[2:5]


def test_rules_about_clusters_reach_vms_that_are_done(own_server):
    """The last host of a VM decides, which only its body knows."""
    admin = Session(own_server)
    made = cloud.cloud_make(admin, hosts=1)
    dora = admin.ok("user.allocate", "dora", "secret", "", [1])
    vm = admin.ok("template.instantiate", made.template, "there")
    cloud.vm_await(admin, vm, 3, 3)
    admin.ok("vm.action", "terminate-hard", vm)
    cloud.vm_await(admin, vm, DONE)
    never = admin.ok("vm.allocate", cloud.VM.format("never"), True)
    admin.ok("vm.action", "terminate-hard", never)
    session = Session(own_server, "dora:secret")
    assert vm_ids(session.ok("vmpool.info", EVERYBODY, -1, -1, DONE)) == []
    # USER dora, VM in cluster 0, USE.
    admin.ok("acl.addrule", f"{0x100000000 + dora:x}", "1800000000", "1")
    assert vm_ids(session.ok("vmpool.info", EVERYBODY, -1, -1, DONE)) == [vm]

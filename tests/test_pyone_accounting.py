"""pyone: what VMs used on hosts, and what that cost."""

import datetime
import re
import sqlite3
import time

import pyone
import pytest
from pyone import LCM_STATE, VM_STATE

from harness import cloud
from harness.cli import plerion
from harness.rpc import Session

ALL = -2
PRICED = 'CPU_COST="3600"\nMEMORY_COST="3600"\nDISK_COST="7200"'


@pytest.fixture(scope="module")
def made(server):
    return cloud.cloud_make(Session(server), "a", hosts=2)


def stays(one, vm, start=-1, end=-1, whose=ALL):
    """The records of a VM between two times."""
    return [record for record in one.vmpool.accounting(whose, start, end).HISTORY if record.OID == vm]


def running(server, made, name, more=""):
    """A VM that runs on the first host."""
    admin = Session(server)
    vm = admin.ok("vm.allocate", cloud.VM.format(name) + f'\nDISK=[TYPE="fs",SIZE="10"]\n{more}', True)
    admin.ok("vm.deploy", vm, made.hosts[0])
    cloud.vm_await(admin, vm, VM_STATE.ACTIVE, LCM_STATE.RUNNING)
    return vm


def powered_off(server, vm):
    admin = Session(server)
    admin.ok("vm.action", "poweroff-hard", vm)
    cloud.vm_await(admin, vm, VM_STATE.POWEROFF)


def test_each_stay_has_the_vm_as_it_was(one, server, made):
    vm = running(server, made, "grows")
    (only,) = stays(one, vm)
    assert (only.SEQ, only.HID, only.ETIME, only.ACTION) == (0, made.hosts[0], 0, 0)
    assert (only.VM.NAME, only.VM.TEMPLATE["MEMORY"]) == ("grows", "64")
    powered_off(server, vm)
    one.vm.resize(vm, 'MEMORY="128"', True)
    one.vm.action("resume", vm)
    cloud.vm_await(Session(server), vm, VM_STATE.ACTIVE, LCM_STATE.RUNNING)
    found = stays(one, vm)
    assert [record.SEQ for record in found] == list(range(len(found)))
    assert [record.VM.TEMPLATE["MEMORY"] for record in found] == ["64"] + ["128"] * (len(found) - 1)
    assert all(record.ETIME > 0 for record in found[:-1]) and found[-1].ETIME == 0
    one.vm.rename(vm, "grown")
    one.vm.action("terminate-hard", vm)
    cloud.vm_await(Session(server), vm, VM_STATE.DONE)
    ended = stays(one, vm)
    assert [record.VM.TEMPLATE["MEMORY"] for record in ended] == [record.VM.TEMPLATE["MEMORY"] for record in found]
    assert (ended[0].VM.NAME, ended[-1].VM.NAME) == ("grows", "grown")
    assert all(record.ETIME > 0 for record in ended)


def test_what_a_restart_leaves(one, own_server):
    admin = Session(own_server)
    made = cloud.cloud_make(admin, hosts=1)
    vm = running(own_server, made, "kept")
    powered_off(own_server, vm)
    admin.ok("vm.resize", vm, 'MEMORY="128"', True)
    admin.ok("vm.action", "resume", vm)
    cloud.vm_await(admin, vm, VM_STATE.ACTIVE, LCM_STATE.RUNNING)
    before = admin.ok("vmpool.accounting", ALL, -1, -1)
    own_server.stop()
    own_server.start()
    plain = lambda body: re.sub(r"<LAST_POLL>.*?</LAST_POLL>|<MONITORING>.*?</MONITORING>|<MONITORING/>", "", body)
    assert plain(Session(own_server).ok("vmpool.accounting", ALL, -1, -1)) == plain(before)
    assert before.count("<MEMORY><![CDATA[128]]></MEMORY>") >= 1 and "<![CDATA[64]]>" in before


def test_times_choose_the_stays_that_overlap_them(one, server, made):
    vm = running(server, made, "timed")
    (stay,) = stays(one, vm)
    assert stays(one, vm, stay.STIME + 1000) != [], "it lasts"
    assert stays(one, vm, -1, stay.STIME) == [], "it began then"
    assert len(stays(one, vm, stay.STIME - 10, stay.STIME + 10)) == 1
    one.vm.action("terminate-hard", vm)
    cloud.vm_await(Session(server), vm, VM_STATE.DONE)
    (stay,) = stays(one, vm)
    assert stays(one, vm, stay.ETIME) == []
    assert len(stays(one, vm, stay.ETIME - 1)) == 1


def test_everybody_sees_their_own(one, server, made):
    group = one.group.allocate("accounted")
    users = {name: one.user.allocate(name, name, "", [group]) for name in ("anna", "ben")}
    vms = {}
    for name, user in users.items():
        vms[name] = running(server, made, f"of-{name}")
        one.vm.chown(vms[name], user, group)
    one.vm.action("terminate-hard", vms["anna"])
    cloud.vm_await(Session(server), vms["anna"], VM_STATE.DONE)
    one.vmpool.calculateshowback(-1, -1, -1, -1)
    anna = pyone.OneServer(server.url, session="anna:anna")
    assert {record.OID for record in anna.vmpool.accounting(ALL, -1, -1).HISTORY} == {vms["anna"]}
    assert {row.VMID for row in anna.vmpool.showback(ALL, -1, -1, -1, -1).SHOWBACK} == {vms["anna"]}
    owned = {record.OID for record in one.vmpool.accounting(users["ben"], -1, -1).HISTORY}
    assert owned == {vms["ben"]}
    assert {row.VMID for row in one.vmpool.showback(users["ben"], -1, -1, -1, -1).SHOWBACK} == {vms["ben"]}
    one.vm.chmod(vms["ben"], -1, -1, -1, 1, -1, -1, -1, -1, -1)
    assert {record.OID for record in anna.vmpool.accounting(ALL, -1, -1).HISTORY} == set(vms.values())
    assert {record.OID for record in anna.vmpool.accounting(-3, -1, -1).HISTORY} == {vms["anna"]}
    with pytest.raises(pyone.OneAuthorizationException, match="reserved for group 0"):
        anna.vmpool.calculateshowback(-1, -1, -1, -1)


@pytest.mark.parametrize("months", [(13, 2026, -1, -1), (0, 2026, -1, -1), (1, 2026, 12, 99999), (1, -7, -1, -1)])
def test_months_that_do_not_exist_are_refused(one, server, months):
    with pytest.raises(pyone.OneException, match="There is no month"):
        one.vmpool.calculateshowback(*months)
    with pytest.raises(pyone.OneException, match="There is no month"):
        one.vmpool.showback(ALL, *months)


def test_wrong_filters_are_refused(one, server):
    with pytest.raises(pyone.OneException, match="filter_flag"):
        one.vmpool.accounting(-5, -1, -1)
    with pytest.raises(pyone.OneException, match="filter_flag"):
        one.vmpool.showback(-5, -1, -1, -1, -1)


def test_costs_are_prices_times_hours(one, server, made):
    vm = running(server, made, "priced", PRICED)
    (stay,) = stays(one, vm)
    # What is charged is time: some of it has to go by.
    cloud.eventually(time.time, lambda now: now >= stay.RSTIME + 2, "two seconds")
    powered_off(server, vm)
    one.vm.action("terminate-hard", vm)
    cloud.vm_await(Session(server), vm, VM_STATE.DONE)
    assert one.vmpool.calculateshowback(-1, -1, -1, -1) == " "
    found = stays(one, vm)
    seconds = sum(record.ETIME - record.STIME for record in found)
    ran = sum(record.RETIME - record.RSTIME for record in found if record.RSTIME)
    (row,) = [row for row in one.vmpool.showback(ALL, -1, -1, -1, -1).SHOWBACK if row.VMID == vm]
    assert (row.VMNAME, row.UNAME, row.GNAME) == ("priced", "oneadmin", "oneadmin")
    costs = (row.CPU_COST, row.MEMORY_COST, row.DISK_COST)
    assert costs == pytest.approx((0.1 * seconds, 64 * seconds, 20 * seconds), abs=0.01)
    assert row.TOTAL_COST == pytest.approx(sum(costs), abs=0.02)
    assert (row.HOURS, row.RHOURS) == pytest.approx((seconds / 3600, ran / 3600), abs=0.006)
    today = datetime.date.today()
    assert (row.YEAR, row.MONTH) == (today.year, today.month)
    now = one.vmpool.showback(ALL, today.month, today.year, today.month, today.year).SHOWBACK
    assert vm in [row.VMID for row in now]
    assert one.vmpool.showback(ALL, 1, 2020, 12, 2020).SHOWBACK == []


def test_costs_only_while_it_runs_and_prices_of_the_configuration(tmp_path, database_settings):
    from harness.server import Server

    settings = 'DEFAULT_COST=[CPU_COST="36000",MEMORY_COST="0",DISK_COST="0"]\nSHOWBACK_ONLY_RUNNING="YES"'
    server = Server(tmp_path / "one", database_settings() + "\n" + settings).start()
    admin = Session(server)
    made = cloud.cloud_make(admin, hosts=1)
    vm = running(server, made, "rests")
    powered_off(server, vm)
    begin = time.time()
    cloud.eventually(time.time, lambda now: now >= begin + 2, "two seconds of rest")
    admin.ok("vmpool.calculateshowback", -1, -1, -1, -1)
    body = admin.ok("vmpool.accounting", ALL, -1, -1)
    ran = sum(int(end) - int(start) for start, end in re.findall(r"<RSTIME>(\d+)</RSTIME><RETIME>(\d+)</RETIME>", body))
    row = admin.ok("vmpool.showback", ALL, -1, -1, -1, -1)
    assert float(re.search(r"<CPU_COST>(.*?)</CPU_COST>", row)[1]) == pytest.approx(ran, abs=0.01)
    assert f"<VMID>{vm}</VMID>" in row
    server.end()


def at(*when):
    """A local time, in seconds."""
    return int(datetime.datetime(*when).timestamp())


@pytest.fixture
def old(tmp_path):
    """A server whose VM 0 runs since the last day of 2025; the state is rewritten while it rests."""
    from harness.server import Server

    server = Server(tmp_path / "one").start()
    admin = Session(server)
    made = cloud.cloud_make(admin, hosts=1)
    vm = running(server, made, "old", 'CPU_COST="10"')
    server.stop()
    begin = at(2025, 12, 31, 22)
    database = sqlite3.connect(server.directory / "var/plerion.db")
    with database:
        for path in ("stime", "rstime"):
            database.execute(f"UPDATE vms SET body = json_set(body, '$.history[0].{path}', {begin}) WHERE oid = {vm}")
    database.close()
    server.start()
    yield server, vm
    server.end()


def test_months_have_their_own_costs(old):
    server, vm = old
    admin = Session(server)
    rows = lambda *months: [
        (int(year), int(month), float(cost))
        for year, month, cost in re.findall(
            r"<YEAR>(.*?)</YEAR><MONTH>(.*?)</MONTH><CPU_COST>(.*?)</CPU_COST>", admin.ok("vmpool.showback", ALL, *months)
        )
    ]
    admin.ok("vmpool.calculateshowback", 12, 2025, 2, 2026)
    # 0.1 CPU at 10 an hour: two hours of December, the whole of January and February.
    expected = [(2025, 12, 2.0), (2026, 1, 31 * 24.0), (2026, 2, 28 * 24.0)]
    assert rows(-1, -1, -1, -1) == expected
    assert rows(1, 2026, 1, 2026) == expected[1:2]
    assert rows(2, 2026, -1, -1) == expected[2:]
    admin.ok("vmpool.calculateshowback", 1, 2026, 1, 2026)
    assert rows(-1, -1, -1, -1) == expected, "what was calculated before stays, and once"
    admin.ok("vmpool.calculateshowback", -1, -1, -1, -1)
    assert rows(-1, -1, -1, -1)[:3] == expected
    listed = plerion(server, "oneshowback", "list", "--start", "2026-01", "--end", "2/2026")
    assert re.findall(r"# Showback for (\S+)", listed) == ["1/2026", "2/2026"]
    assert re.search(rf"oneadmin oneadmin +{vm} old +1 +2026 +744 +744 +744\n", listed), listed


def test_oneacct(one, server, made):
    vm = running(server, made, "listed")
    powered_off(server, vm)
    one.vm.resize(vm, 'MEMORY="2048"', True)
    text = plerion(server, "oneacct", "--userfilter", "oneadmin")
    assert text.startswith(f"\x1b[1m\x1b[4m{'# User 0':<80}\n\x1b[0m\n VID HOSTNAME        ACTION "), text
    moment = r"\d\d/\d\d \d\d:\d\d:\d\d"
    assert re.search(rf"\n +{vm} a-node0 +resize +{moment} {moment}    64M 0.1 ", text), text
    assert re.search(rf"\n +{vm} a-node0 +poweroff-hard +{moment} +-     2G 0.1 ", text), text
    tables = plerion(server, "oneacct", "--split")
    assert tables.count(" VID HOSTNAME") == len({record.OID for record in one.vmpool.accounting(ALL, -1, -1).HISTORY})
    rows = plerion(server, "oneacct", "--csv").splitlines()
    assert rows[0] == "UID,VID,HOSTNAME,ACTION,START_TIME,END_TIME,MEMORY,CPU,NETRX,NETTX,DISK"
    assert any(row.startswith(f"0,{vm},a-node0,resize,") for row in rows)
    assert plerion(server, "oneacct", "-H", "a-node1", "--csv").splitlines() == rows[:1]
    assert plerion(server, "oneacct", "-s", "2020-01-01", "-e", "2020-02-01").startswith("Showing active history records from ")
    assert plerion(server, "oneacct", "-g", "users", "-x") == "<HISTORY_RECORDS/>\n"
    assert f'"OID": "{vm}"' in plerion(server, "oneacct", "-j")
    assert "HOSTNAME" in plerion(server, "oneacct", "--describe")
    assert "is no time" in plerion(server, "oneacct", "-s", "soon", status=255)
    assert "xmllint" in plerion(server, "oneacct", "--xpath", "HISTORY[ETIME>0]", status=255)


def test_oneshowback(one, server, made):
    vm = running(server, made, "shown", PRICED)
    assert plerion(server, "oneshowback", "calculate") == " \n"
    text = plerion(server, "oneshowback", "list", "-u", "oneadmin")
    today = datetime.date.today()
    head = f"# Showback for {today.month}/{today.year}"
    assert text.startswith(f"\x1b[1m\x1b[4m{head:<80}\n\x1b[0m\nUSER_NAM GROUP_NA  VM_ID VM_NAME         MONTH  YEAR  HOURS RUNNING            COST\n")
    assert re.search(rf"\noneadmin oneadmin +{vm} shown ", text), text
    assert f"<VMID>{vm}</VMID>" in plerion(server, "oneshowback", "list", "-x")
    assert plerion(server, "oneshowback", "list", "--csv").startswith("USER_NAME,GROUP_NAME,VM_ID,")

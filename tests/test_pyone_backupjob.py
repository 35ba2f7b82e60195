"""pyone: backup jobs, their schedules, and the run of one."""

import time

import pyone
import pytest

from harness import cloud, kinds
from harness.rpc import Session


def job_make(one, name, more=""):
    return one.backupjob.allocate(f'NAME="{name}"\nBACKUP_VMS="0,6"\nKEEP_LAST="3"\nPRIORITY="20"\n{more}')


def template(one, job):
    return one.backupjob.info(job, False).TEMPLATE


def actions(shown):
    """The scheduled actions in a template."""
    found = shown.get("SCHED_ACTION") or []
    return found if isinstance(found, list) else [found]


def ids(field):
    return [] if field is None else field.ID


def test_made_and_shown(one):
    job = job_make(one, "nightly", 'DATASTORE_ID="103"\nSCHED_ACTION=[TIME="1999999999",REPEAT="1",DAYS="1,15",END_TYPE="0"]')
    body = one.backupjob.info(job, False)
    assert (body.NAME, body.PRIORITY, body.LAST_BACKUP_TIME, body.LAST_BACKUP_DURATION) == ("nightly", 20, 0, 0)
    shown = body.TEMPLATE
    assert (shown["BACKUP_VMS"], shown["BACKUP_VOLATILE"], shown["DATASTORE_ID"]) == ("0,6", "NO", "103")
    assert (shown["EXECUTION"], shown["FS_FREEZE"], shown["KEEP_LAST"], shown["MODE"]) == ("SEQUENTIAL", "NONE", "3", "FULL")
    [action] = actions(shown)
    assert (action["TYPE"], action["ACTION"], int(action["PARENT_ID"]), action["DAYS"]) == ("BACKUPJOB", "backup", job, "1,15")
    assert body.SCHED_ACTIONS.ID == [int(action["ID"])]
    [pooled] = [entry for entry in one.backupjobpool.info(-2, -1, -1).BACKUPJOB if entry.ID == job]
    assert pooled.SCHED_ACTIONS.ID == [int(action["ID"])]
    # Recorded: lists name the scheduled actions without showing them.
    assert not actions(pooled.TEMPLATE)
    assert one.backupjob.delete(job) == job
    with pytest.raises(pyone.OneNoExistsException, match=rf"Error getting backup job \[{job}\]\."):
        one.backupjob.info(job, False)


def test_schedule(one):
    job = job_make(one, "planned")
    action = one.backupjob.schedadd(job, 'SCHED_ACTION=[TIME="1999999999",REPEAT="3",DAYS="12",END_TYPE="0"]')
    assert one.backupjob.schedupdate(job, action, 'SCHED_ACTION=[TIME="1999999000"]') == action
    [shown] = actions(template(one, job))
    assert (int(shown["TIME"]), shown["DAYS"], int(shown["ID"])) == (1999999000, "12", action)
    with pytest.raises(pyone.OneActionException, match=r"Unable to parse the time value or value is empty: \+90000"):
        one.backupjob.schedadd(job, 'SCHED_ACTION=[TIME="+90000"]')
    with pytest.raises(pyone.OneInternalException, match="SCHED_ACTION with id = 77777 doesn't exist"):
        one.backupjob.schedupdate(job, 77777, 'SCHED_ACTION=[TIME="1999999000"]')
    assert one.backupjob.scheddelete(job, action) == action
    assert not actions(template(one, job))


def test_changed(one):
    job = job_make(one, "changed")
    one.backupjob.update(job, 'MODE="INCREMENT"\nEXECUTION="parallel"', 1)
    shown = template(one, job)
    assert (shown["MODE"], shown["EXECUTION"], shown["BACKUP_VMS"]) == ("INCREMENT", "PARALLEL", "0,6")
    one.backupjob.update(job, 'BACKUP_VMS="3"', 0)
    shown = template(one, job)
    assert (shown["MODE"], shown["BACKUP_VMS"]) == ("FULL", "3")
    assert one.backupjob.priority(job, 99) == job
    assert one.backupjob.info(job, False).PRIORITY == 99
    assert one.backupjob.rename(job, "other-name") == job
    assert one.backupjob.chmod(job, -1, -1, -1, 1, -1, -1, -1, -1, -1) == job
    assert one.backupjob.chown(job, 0, 1) == job
    body = one.backupjob.info(job, False)
    assert (body.NAME, body.GID, body.PERMISSIONS.GROUP_U) == ("other-name", 1, 1)
    assert one.backupjob.lock(job, 1, False) == job
    assert one.backupjob.info(job, False).LOCK.LOCKED == 1
    assert one.backupjob.unlock(job) == job


@pytest.mark.parametrize(
    "text", ['BACKUP_VMS="1,x"', 'MODE="HALF"', 'EXECUTION="RANDOM"', 'KEEP_LAST="-1"', 'PRIORITY="100"', 'SCHED_ACTION=[TIME="soon"]']
)
def test_wrong_ones_are_refused(one, text):
    with pytest.raises(pyone.OneException) as refusal:
        one.backupjob.allocate(f'NAME="wrong"\n{text}')
    assert "Error allocating a new backup job." in str(refusal.value)
    pool = one.backupjobpool.info(-2, -1, -1).BACKUPJOB
    assert "wrong" not in [job.NAME for job in pool]


def test_wrong_changes_are_refused(one):
    job = job_make(one, "unchanged")
    for text in ('MODE="HALF"', 'PRIORITY="3"'):
        with pytest.raises(pyone.OneActionException, match=text.split("=")[0]):
            one.backupjob.update(job, text, 1)
    for priority in (-1, 100):
        with pytest.raises(pyone.OneApiException, match="from 0 to 99"):
            one.backupjob.priority(job, priority)
    assert template(one, job)["MODE"] == "FULL"


def test_a_run_says_what_became_of_each_vm(one):
    job = one.backupjob.allocate('NAME="lost"\nBACKUP_VMS="900001,900000"\nDATASTORE_ID="1"')
    began = int(time.time())
    assert one.backupjob.backup(job) == job
    body = one.backupjob.info(job, False)
    assert ids(body.ERROR_VMS) == [900000, 900001]
    assert not (ids(body.UPDATED_VMS) or ids(body.OUTDATED_VMS) or ids(body.BACKING_UP_VMS))
    assert began <= body.LAST_BACKUP_TIME <= began + 10
    # The last one in the order of BACKUP_VMS.
    assert body.TEMPLATE["ERROR"] == "VM 900000: Error getting virtual machine [900000]."
    assert one.backupjob.retry(job) == job
    assert ids(one.backupjob.info(job, False).ERROR_VMS) == [900000, 900001]
    one.backupjob.update(job, 'BACKUP_VMS="900001"', 1)
    assert ids(one.backupjob.info(job, False).ERROR_VMS) == [900001]
    assert one.backupjob.cancel(job) == job


def test_its_schedule_runs_it(one):
    due = int(time.time()) + 2
    job = one.backupjob.allocate(f'NAME="due"\nBACKUP_VMS="900000"\nSCHED_ACTION=[TIME="{due}"]')
    body = cloud.eventually(lambda: one.backupjob.info(job, False), lambda body: body.LAST_BACKUP_TIME > 0, "the job is run")
    assert body.LAST_BACKUP_TIME >= due
    assert ids(body.ERROR_VMS) == [900000]
    assert "DATASTORE_ID" in body.TEMPLATE["ERROR"]
    [action] = actions(body.TEMPLATE)
    assert int(action["DONE"]) >= due and not action["MESSAGE"]


def test_jobs_are_there_after_a_restart(own_server):
    admin = Session(own_server)
    job = kinds.KINDS["backupjob"].make(admin.ok, "kept")
    admin.ok("backupjob.update", job, 'BACKUP_VMS="900000"', 1)
    admin.ok("backupjob.backup", job)
    before = admin.ok("backupjob.info", job)
    own_server.kill()
    own_server.start()
    after = Session(own_server).ok("backupjob.info", job)
    assert after == before and "<ERROR_VMS><ID>900000</ID></ERROR_VMS>" in after

"""pyone and the command line: VMs of dummy hosts are backed up, by hand, by schedule and by jobs, and taken back."""

import re
import time

import pyone
import pytest
from pyone import LCM_STATE, VM_STATE

from harness import cloud
from harness.cli import plerion
from harness.rpc import Session

POWEROFF = (VM_STATE.POWEROFF, LCM_STATE.LCM_INIT)
RUNNING = (VM_STATE.ACTIVE, LCM_STATE.RUNNING)
BACKUP_DS = 'NAME="{}"\nTYPE="BACKUP_DS"\nDS_MAD="dummy"'


@pytest.fixture(scope="module")
def made(server):
    """Dummy hosts and what a VM needs."""
    return cloud.cloud_make(Session(server), "b", hosts=1)


@pytest.fixture(scope="module")
def store(server):
    """A dummy backup datastore."""
    return Session(server).ok("datastore.allocate", BACKUP_DS.format("b-backups"), -1)


def await_phase(one, vm, wanted):
    def phase():
        body = one.vm.info(vm)
        # pyone has no name for RESTORE (71).
        return body.STATE, body.LCM_STATE

    cloud.eventually(phase, lambda seen: seen == wanted, f"VM {vm} to {wanted}")


def running(one, made, name):
    vm = one.template.instantiate(made.template, name, True)
    one.vm.deploy(vm, made.hosts[0])
    await_phase(one, vm, RUNNING)
    return vm


def backups(one, vm):
    return one.vm.info(vm).BACKUPS.BACKUP_IDS.ID


def backed_up(one, vm, count):
    """The backups of the VM, once it has so many and does something else."""
    found = cloud.eventually(lambda: backups(one, vm), lambda ids: len(ids) == count, f"{count} backups of VM {vm}")
    return found


def test_a_datastore_of_backups(one, store):
    body = one.datastore.info(store)
    assert (body.TYPE, body.TM_MAD, body.DS_MAD) == (3, "-", "dummy")
    # Recorded: no more than that.
    assert sorted(body.TEMPLATE) == ["DS_MAD", "RESTRICTED_DIRS", "SAFE_DIRS", "TM_MAD", "TYPE"]


def test_backup_and_restore(one, server, made, store):
    vm = running(one, made, "b-one")
    began = int(time.time())
    assert one.vm.backup(vm, store, False) == vm
    [image] = backed_up(one, vm, 1)
    body = one.image.info(image)
    assert (body.TYPE, body.STATE, body.PERSISTENT, body.SIZE, body.SOURCE, body.FORMAT) == (6, 1, 1, 1024, "dummy-backup-id", "raw")
    assert re.fullmatch(rf"{vm} \d\d-[A-Z][a-z][a-z] \d\d\.\d\d\.\d\d", body.NAME)
    assert began <= body.REGTIME <= began + 30
    assert (body.RUNNING_VMS, body.VMS.ID, body.BACKUP_DISK_IDS.ID) == (1, [vm], [0])
    assert one.datastore.info(store).IMAGES.ID == [image]
    with pytest.raises(pyone.OneInternalException, match=f"Could not cancel backup for VM {vm}, no backup in progress"):
        one.vm.backupcancel(vm)
    with pytest.raises(pyone.OneInternalException, match="wrong state RUNNING"):
        one.vm.restore(vm, image, -1, -1)
    with pytest.raises(pyone.OneInternalException):
        one.image.persistent(image, False)
    one.vm.action("poweroff-hard", vm)
    await_phase(one, vm, POWEROFF)
    assert one.vm.restore(vm, image, -1, -1) == vm
    await_phase(one, vm, POWEROFF)
    plerion(server, "onevm", "backup", str(vm), "--datastore", str(store))
    images = backed_up(one, vm, 2)
    plerion(server, "onevm", "restore", str(vm), str(images[1]))
    await_phase(one, vm, POWEROFF)
    # Recorded: each closes a history record, and what had switched it off stays the last word.
    assert [record.ACTION for record in one.vm.info(vm).HISTORY_RECORDS.HISTORY] == [50, 60, 50, 60, 20]
    assert "VM BACKUPS" in plerion(server, "onevm", "show", str(vm))
    assert f"{images[0]}" in plerion(server, "oneimage", "list", "--backup", "--no-header", "--list", "ID")
    assert one.image.delete(images[0]) == images[0]
    backed_up(one, vm, 1)


def test_increments_are_a_chain_in_one_image(one, made, store):
    vm = running(one, made, "b-chain")
    one.vm.updateconf(vm, 'BACKUP_CONFIG=[MODE="INCREMENT",KEEP_LAST="2"]', 1)
    for count in (1, 2, 3):
        one.vm.backup(vm, store, False)
        [image] = backed_up(one, vm, 1)
        cloud.eventually(
            lambda: [part.ID for part in one.image.info(image).BACKUP_INCREMENTS.INCREMENT][-1],
            lambda last: int(last) == count - 1,
            f"increment {count - 1}",
        )
    parts = one.image.info(image).BACKUP_INCREMENTS.INCREMENT
    assert [(int(part.ID), part.TYPE, part.PARENT_ID, int(part.SIZE)) for part in parts] == [(1, "FULL", -1, 2048), (2, "INCREMENT", 1, 1024)]
    body = one.vm.info(vm)
    config = body.BACKUPS.BACKUP_CONFIG
    assert (config.MODE, config.KEEP_LAST, config.INCREMENTAL_BACKUP_ID, config.LAST_INCREMENT_ID) == ("INCREMENT", "2", str(image), "2")
    assert "BACKUP_CONFIG" not in body.TEMPLATE
    one.vm.backup(vm, store, True)
    assert image in backed_up(one, vm, 2)


def test_no_more_than_keep_last_are_kept(one, made, store):
    vm = running(one, made, "b-keep")
    one.vm.updateconf(vm, 'BACKUP_CONFIG=[KEEP_LAST="2"]', 1)
    seen = set()
    for _ in range(4):
        before = set(seen)
        one.vm.backup(vm, store, False)
        cloud.eventually(lambda: seen.update(backups(one, vm)) or len(seen), lambda count: count > len(before), "the next backup")
        await_phase(one, vm, RUNNING)
    assert sorted(backed_up(one, vm, 2)) == sorted(seen)[-2:]


def test_a_backup_becomes_images_and_a_template(one, server, made, store):
    vm = running(one, made, "b-again")
    one.vm.backup(vm, store, False)
    [image] = backed_up(one, vm, 1)
    lease = one.vm.info(vm).TEMPLATE["NIC"]
    answer = one.image.restore(image, made.image_ds, 'NAME="b-restored"')
    template, disk = (int(word) for word in answer.split(" "))
    cloud.eventually(lambda: one.image.info(disk).STATE, lambda state: state == 1, f"image {disk} is there")
    body = one.image.info(disk)
    assert (body.NAME, body.TYPE, body.SIZE, body.DATASTORE_ID) == ("b-restored-disk-0", 0, 16, made.image_ds)
    shown = one.template.info(template).TEMPLATE
    assert one.template.info(template).NAME == "b-restored"
    assert dict(shown["DISK"]) == {"IMAGE_ID": str(disk)}
    assert {name: shown["NIC"].get(name) for name in ("NETWORK_ID", "IP", "MAC", "NIC_ID")} == {
        "NETWORK_ID": str(made.vnet),
        "IP": lease["IP"],
        "MAC": lease["MAC"],
        "NIC_ID": None,
    }
    assert "VMID" not in shown and "AUTOMATIC_REQUIREMENTS" not in shown
    # Once the first VM has gone, one with its address can be made; and the backup outlives it.
    one.vm.recover(vm, 3)
    await_phase(one, vm, (VM_STATE.DONE, LCM_STATE.LCM_INIT))
    assert (one.image.info(image).RUNNING_VMS, one.image.info(image).BACKUP_DISK_IDS.ID) == (0, [0])
    again = one.template.instantiate(template, "b-again", True)
    assert one.vm.info(again).TEMPLATE["NIC"]["IP"] == lease["IP"]
    one.vm.deploy(again, made.hosts[0])
    await_phase(one, again, RUNNING)
    text = plerion(server, "oneimage", "restore", str(image), "--datastore", str(made.image_ds), "--name", "b-bare", "--no_nic")
    template = int(re.search(r"VM Template: (\d+)\nImages: \d+\n", text)[1])
    assert "NIC" not in one.template.info(template).TEMPLATE
    assert re.fullmatch(r"-1 \d+", one.image.restore(image, made.image_ds, 'NAME="b-disk"\nDISK_ID="0"'))
    for text, reason in (('DISK_ID="7"', "disk 7"), ('INCREMENT_ID="7"', "increment 7"), ('NAME="b-restored"', "already taken")):
        with pytest.raises(pyone.OneException, match=reason):
            one.image.restore(image, made.image_ds, text)
    with pytest.raises(pyone.OneActionException, match="no image datastore"):
        one.image.restore(image, store, "")
    with pytest.raises(pyone.OneActionException, match="Image has to be of type BACKUP"):
        one.image.restore(made.image, made.image_ds, "")


def test_what_is_no_backup_datastore_is_refused(one, made, store):
    vm = running(one, made, "b-refused")
    with pytest.raises(pyone.OneActionException, match="no backup datastore"):
        one.vm.backup(vm, made.image_ds, False)
    with pytest.raises(pyone.OneActionException, match="Image has to be of type BACKUP"):
        one.vm.restore(vm, made.image, -1, -1)
    hold = one.vm.allocate(cloud.VM.format("b-hold"), True)
    with pytest.raises(pyone.OneInternalException, match=f"Could not create a new backup for VM {hold}, wrong state HOLD."):
        one.vm.backup(hold, store, False)
    with pytest.raises(pyone.OneException, match="BACKUP"):
        one.image.allocate('NAME="fake"\nTYPE="BACKUP"\nSIZE="1"\nSOURCE="x"', store)


def test_a_job_backs_up_its_vms(one, server, made, store):
    first, second = (running(one, made, f"b-job{number}") for number in range(2))
    text = f'NAME="b-job"\nBACKUP_VMS="{second},999999,{first}"\nDATASTORE_ID="{store}"\nKEEP_LAST="1"'
    job = one.backupjob.allocate(text)
    assert one.vm.info(first).BACKUPS.BACKUP_CONFIG.BACKUP_JOB_ID == str(job)
    with pytest.raises(pyone.OneActionException, match=f"it is part of Backup Job ID {job}"):
        one.vm.backup(first, store, False)

    def ran(count):
        body = one.backupjob.info(job, False)
        assert body.OUTDATED_VMS.ID == [] or body.BACKING_UP_VMS.ID != []
        return body.UPDATED_VMS.ID == [first, second] and body.ERROR_VMS.ID == [999999] and one.vm.info(first).BACKUPS.BACKUP_IDS.ID

    plerion(server, "onebackupjob", "backup", str(job))
    [image] = cloud.eventually(lambda: ran(1), bool, "the run is over")
    assert one.image.info(image).TEMPLATE["BACKUP_JOB_ID"] == str(job)
    one.backupjob.backup(job)
    newer = cloud.eventually(lambda: ran(2), lambda found: found and found != [image], "another run is over")
    # KEEP_LAST of the job.
    cloud.eventually(lambda: backups(one, first), lambda ids: len(ids) == 1 and image not in ids, f"the older one of {newer} goes")
    one.backupjob.delete(job)
    assert one.vm.info(first).BACKUPS.BACKUP_CONFIG is None or not one.vm.info(first).BACKUPS.BACKUP_CONFIG.BACKUP_JOB_ID


def test_a_schedule_backs_up(one, made, store):
    vm = running(one, made, "b-due")
    due = int(time.time()) + 1
    one.vm.schedadd(vm, f'SCHED_ACTION=[ACTION="backup",TIME="{due}",ARGS="{store},NO"]')
    backed_up(one, vm, 1)


def test_a_restart_keeps_backups(own_server):
    admin = Session(own_server)
    made = cloud.cloud_make(admin, "r", hosts=1)
    store = admin.ok("datastore.allocate", BACKUP_DS.format("r-backups"), -1)
    vm = admin.ok("template.instantiate", made.template, "r-one", True, "", False)
    admin.ok("vm.deploy", vm, made.hosts[0], False, -1, "")
    cloud.vm_await(admin, vm, 3, 3)
    admin.ok("vm.updateconf", vm, 'BACKUP_CONFIG=[MODE="INCREMENT"]', 1)
    admin.ok("vm.backup", vm, store, False)
    before = cloud.eventually(lambda: admin.ok("vm.info", vm), lambda body: "<BACKUP_IDS><ID>" in body and "<LCM_STATE>3<" in body, "a backup")
    own_server.kill()
    own_server.start()
    after = Session(own_server).ok("vm.info", vm)
    backups_of = re.compile("<BACKUPS>.*</BACKUPS>")
    assert backups_of.search(after)[0] == backups_of.search(before)[0]

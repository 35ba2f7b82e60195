"""pyone: VM templates and the life of VMs on dummy hosts."""

import pyone
import pytest
from pyone import LCM_STATE, VM_STATE

from harness import cloud
from harness.rpc import Session

STATE_DONE, STATE_ALL, STATE_NOT_DONE = 6, -2, -1


@pytest.fixture(scope="module")
def made(server):
    """Dummy hosts and what a VM needs."""
    return cloud.cloud_make(Session(server))


def states(one, vm):
    body = one.vm.info(vm)
    return VM_STATE(body.STATE), LCM_STATE(body.LCM_STATE)


def await_states(one, vm, state, lcm=LCM_STATE.LCM_INIT):
    wanted = (state, lcm)
    cloud.eventually(lambda: states(one, vm), lambda seen: seen == wanted, f"VM {vm} to {wanted}")


@pytest.fixture
def running(one, made, request):
    """A VM that runs."""
    vm = one.template.instantiate(made.template, request.node.name)
    await_states(one, vm, VM_STATE.ACTIVE, LCM_STATE.RUNNING)
    return vm


def listed(one, vm, state):
    return vm in [member.ID for member in one.vmpool.info(-2, -1, -1, state).VM]


def test_instantiate_to_running(one, made, running, request):
    body = one.vm.info(running)
    assert body.NAME == request.node.name
    history = body.HISTORY_RECORDS.HISTORY
    assert [(record.SEQ, record.HID in made.hosts, record.DS_ID) for record in history] == [(0, True, made.system_ds)]
    share = one.host.info(history[0].HID).HOST_SHARE
    assert share.RUNNING_VMS >= 1 and share.CPU_USAGE >= 10 and share.MEM_USAGE >= 64 * 1024
    assert body.TEMPLATE["DISK"]["IMAGE_ID"] == str(made.image)
    assert running in one.host.info(history[0].HID).VMS.ID


@pytest.mark.parametrize(
    ("action", "state"),
    [
        ("poweroff", VM_STATE.POWEROFF),
        ("poweroff-hard", VM_STATE.POWEROFF),
        ("suspend", VM_STATE.SUSPENDED),
        ("stop", VM_STATE.STOPPED),
        ("undeploy", VM_STATE.UNDEPLOYED),
        ("undeploy-hard", VM_STATE.UNDEPLOYED),
    ],
)
def test_away_and_back(one, running, action, state):
    assert one.vm.action(action, running) == running
    await_states(one, running, state)
    with pytest.raises(pyone.OneActionException, match="not available for state"):
        one.vm.action("reboot", running)
    assert one.vm.action("resume", running) == running
    await_states(one, running, VM_STATE.ACTIVE, LCM_STATE.RUNNING)


@pytest.mark.parametrize("action", ["reboot", "reboot-hard", "resched", "unresched"])
def test_stays_running(one, running, action):
    host = one.vm.info(running).HISTORY_RECORDS.HISTORY[-1].HID
    # There is no other host for it: a VM that is marked would be moved before the mark is taken away.
    one.vm.update(running, f'SCHED_REQUIREMENTS="ID = {host}"', 1)
    if action == "unresched":
        one.vm.action("resched", running)
    assert one.vm.action(action, running) == running
    await_states(one, running, VM_STATE.ACTIVE, LCM_STATE.RUNNING)
    assert one.vm.info(running).RESCHED in (0, 1)


@pytest.mark.parametrize("action", ["terminate", "terminate-hard"])
def test_done_stays_readable(one, running, action):
    host = one.vm.info(running).HISTORY_RECORDS.HISTORY[-1].HID
    assert one.vm.action(action, running) == running
    await_states(one, running, VM_STATE.DONE)
    assert one.vm.info(running).ETIME > 0
    assert listed(one, running, STATE_DONE)
    assert listed(one, running, STATE_ALL)
    assert not listed(one, running, STATE_NOT_DONE)
    assert running not in one.host.info(host).VMS.ID


@pytest.mark.parametrize("state", ["poweroff", "suspend", "stop", "undeploy"])
def test_terminate_from_a_resting_state(one, running, state):
    resting = {
        "poweroff": VM_STATE.POWEROFF,
        "suspend": VM_STATE.SUSPENDED,
        "stop": VM_STATE.STOPPED,
        "undeploy": VM_STATE.UNDEPLOYED,
    }[state]
    one.vm.action(state, running)
    await_states(one, running, resting)
    assert one.vm.action("terminate-hard", running) == running
    await_states(one, running, VM_STATE.DONE)


def test_hold_release(one, made):
    vm = one.template.instantiate(made.template, "held", True)
    assert states(one, vm) == (VM_STATE.HOLD, LCM_STATE.LCM_INIT)
    with pytest.raises(pyone.OneActionException):
        one.vm.action("poweroff", vm)
    assert one.vm.action("release", vm) == vm
    await_states(one, vm, VM_STATE.ACTIVE, LCM_STATE.RUNNING)


def test_deploy_by_hand(one, made):
    vm = one.template.instantiate(made.template, "placed", True)
    host = made.hosts[1]
    assert one.vm.deploy(vm, host, False, made.system_ds, "") == vm
    await_states(one, vm, VM_STATE.ACTIVE, LCM_STATE.RUNNING)
    record = one.vm.info(vm).HISTORY_RECORDS.HISTORY[-1]
    assert (record.HID, record.DS_ID, record.HOSTNAME) == (host, made.system_ds, one.host.info(host).NAME)
    with pytest.raises(pyone.OneActionException):
        one.vm.deploy(vm, host)
    with pytest.raises(pyone.OneNoExistsException):
        one.vm.deploy(one.template.instantiate(made.template, "lost", True), 98765)


def test_instantiate_with_extra_template(one, made):
    vm = one.template.instantiate(made.template, "extra", True, 'MEMORY="96"\nNOTE="mine"', False)
    body = one.vm.info(vm)
    assert body.TEMPLATE["MEMORY"] == "96"
    assert body.USER_TEMPLATE["NOTE"] == "mine"
    assert one.template.info(made.template).TEMPLATE["MEMORY"] == "64"


def test_instantiate_without_a_name(one, made):
    vm = one.template.instantiate(made.template, "", True)
    assert one.vm.info(vm).NAME == f"c-template-{vm}"


def test_template_clone(one, made):
    copy = one.template.clone(made.template, "the-copy")
    body = one.template.info(copy)
    assert body.NAME == "the-copy"
    assert body.TEMPLATE["DISK"]["IMAGE_ID"] == str(made.image)


@pytest.fixture
def own_images(one, made, request):
    """A template with two disks of images of its own, one of them twice, and a volatile one: (template, images)."""
    store = one.image.info(made.image).DATASTORE_ID
    names = [f"{request.node.name}-{number}" for number in range(2)]
    images = [one.image.allocate(cloud.IMAGE.format(name), store) for name in names]
    for image in images:
        cloud.eventually(lambda image=image: one.image.info(image).STATE, lambda state: state == 1, "the image to be READY")
    disks = [f"IMAGE_ID={images[0]}", f'IMAGE="{names[1]}",TARGET="vdx"', "SIZE=1,TYPE=fs", f"IMAGE_ID={images[0]}"]
    text = cloud.VM.format(request.node.name) + "".join(f"\nDISK=[{disk}]" for disk in disks)
    return one.template.allocate(text), images


def test_template_clone_with_its_images(one, own_images):
    template, images = own_images
    name = f"whole-{template}"
    copy = one.template.clone(template, name, True)
    disks = one.template.info(copy).TEMPLATE["DISK"]
    copies = [int(disk["IMAGE_ID"]) for disk in disks if "IMAGE_ID" in disk]
    assert len(set(copies)) == 3 and not set(copies) & set(images)
    assert [one.image.info(image).NAME for image in copies] == [f"{name}-disk-{number}" for number in (0, 1, 3)]
    assert "IMAGE" not in disks[1] and disks[1]["TARGET"] == "vdx"
    assert [one.template.info(template).TEMPLATE["DISK"][0]["IMAGE_ID"]] == [str(images[0])]
    # An image that cannot be copied leaves neither template nor copies.
    one.template.rename(copy, f"{name}-first")
    with pytest.raises(pyone.OneException, match="disk 0"):
        one.template.clone(template, name, True)
    assert name not in [found.NAME for found in one.templatepool.info(-2, -1, -1).VMTEMPLATE]


def test_template_chmod_with_its_images(one, own_images):
    template, images = own_images
    others = lambda kind, ident: getattr(one, kind).info(ident).PERMISSIONS.OTHER_U
    bits = (-1, -1, -1, -1, -1, -1, 1, -1, -1)
    one.template.chmod(template, *bits)
    assert others("template", template) == 1 and {others("image", image) for image in images} == {0}
    assert one.template.chmod(template, *bits, True) == template
    assert {others("image", image) for image in images} == {1}


def test_template_delete_with_its_images(one, own_images):
    template, images = own_images
    vm = one.vm.allocate(f"CPU=0.1\nMEMORY=64\nDISK=[IMAGE_ID={images[1]}]", True)
    assert one.template.delete(template, True) == template
    with pytest.raises(pyone.OneNoExistsException):
        one.template.info(template)

    def gone():
        left = {image.ID for image in one.imagepool.info(-2, -1, -1).IMAGE}
        return left & set(images)

    # That which a VM uses stays.
    cloud.eventually(gone, lambda left: left == {images[1]}, "the other image to go")
    assert one.image.info(images[1]).VMS.ID == [vm]


def test_recover_delete(one, running):
    assert one.vm.recover(running, 3) == running
    await_states(one, running, VM_STATE.DONE)


def test_recover_needs_a_failure(one, running):
    one.vm.action("undeploy", running)
    await_states(one, running, VM_STATE.UNDEPLOYED)
    with pytest.raises(pyone.OneActionException, match="wrong state"):
        one.vm.recover(running, 1)


def test_unknown_action(one, running):
    with pytest.raises(pyone.OneActionException):
        one.vm.action("dance", running)


def test_host_in_use_stays(one, running):
    host = one.vm.info(running).HISTORY_RECORDS.HISTORY[-1].HID
    with pytest.raises(pyone.OneActionException):
        one.host.delete(host)


def test_pending_tells_why(one):
    vm = one.vm.allocate('NAME="giant"\nCPU="100000"\nMEMORY="64"', False)
    reason = cloud.eventually(
        lambda: one.vm.info(vm).USER_TEMPLATE.get("SCHED_MESSAGE", ""), lambda text: "CPU" in text, "a reason"
    )
    assert "host" in reason
    assert states(one, vm) == (VM_STATE.PENDING, LCM_STATE.LCM_INIT)


def test_pools_of_vms(one, running):
    extended = one.vmpool.infoextended(-2, running, running, STATE_NOT_DONE).VM
    assert [vm.ID for vm in extended] == [running]
    assert extended[0].TEMPLATE["DISK"]["DISK_ID"] == "0"
    assert [vm.ID for vm in one.vmpool.infoset(f"{running}", True).VM] == [running]
    assert [vm.ID for vm in one.vmpool.infoset(f"{running},98765", False).VM] == [running]
    assert one.vmpool.infoset("", False).VM == []
    active = [vm.ID for vm in one.vmpool.info(-2, -1, -1, VM_STATE.ACTIVE).VM]
    assert running in active
    with pytest.raises(pyone.OneApiException):
        one.vmpool.info(-5, -1, -1, -1)


def test_thirty_at_once_run(one):
    template = one.template.allocate(cloud.VM.format("many"))
    vms = [one.template.instantiate(template, f"many-{number}") for number in range(30)]
    for vm in vms:
        await_states(one, vm, VM_STATE.ACTIVE, LCM_STATE.RUNNING)
    for vm in vms:
        one.vm.action("terminate-hard", vm)
    for vm in vms:
        await_states(one, vm, VM_STATE.DONE)


def test_lists_show_the_last_history_record_only(one, running):
    """Recorded: whole bodies in lists, too, have but one; one.vm.info has all."""
    one.vm.action("poweroff-hard", running)
    await_states(one, running, VM_STATE.POWEROFF)
    one.vm.action("resume", running)
    await_states(one, running, VM_STATE.ACTIVE, LCM_STATE.RUNNING)

    def seqs(body):
        return [record.SEQ for record in body.HISTORY_RECORDS.HISTORY]

    assert seqs(one.vm.info(running)) == [0, 1]
    lists = [one.vmpool.infoextended(-2, running, running, -1, ""), one.vmpool.infoset(str(running), True)]
    assert [seqs(found) for pool in lists for found in pool.VM] == [[1], [1]]
    one.vm.action("terminate-hard", running)
    await_states(one, running, VM_STATE.DONE)
    (found,) = one.vmpool.infoextended(-2, running, running, 6, "").VM
    assert seqs(found) == [1] and seqs(one.vm.info(running)) == [0, 1]

"""pyone: what VM templates say, and VMs made of them."""

import pyone
import pytest

from harness import cloud
from harness.cli import plerion
from harness.rpc import Session


@pytest.fixture(scope="module")
def made(server):
    """Dummy hosts and what a VM needs."""
    return cloud.cloud_make(Session(server), prefix="t")


@pytest.fixture
def tenant(server, admin, request):
    """A user of its own: (id, raw session)."""
    name = request.node.name
    return admin.ok("user.allocate", name, "secret", "core", []), Session(server, f"{name}:secret")


def shown(one, template, extended=True):
    return one.template.info(template, extended).TEMPLATE


def test_extended_says_what_the_images_say(one, made):
    image, store = one.image.info(made.image), one.datastore.info(one.image.info(made.image).DATASTORE_ID)
    disks = [f'IMAGE_ID={made.image},TARGET="vdx"', f'IMAGE="{image.NAME}"', "TYPE=fs,SIZE=7", "IMAGE_ID=98765", 'IMAGE="none"']
    nics = [f"NETWORK_ID={made.vnet}", 'NETWORK="t-net"', 'NETWORK="none"', "NETWORK_MODE=auto"]
    text = cloud.VM.format("seen-whole") + "".join(f"\nDISK=[{disk}]" for disk in disks) + "".join(f"\nNIC=[{nic}]" for nic in nics)
    template = one.template.allocate(text)
    plain, whole = shown(one, template, False), shown(one, template)
    assert [dict(disk) for disk in plain["DISK"]] == [
        {"IMAGE_ID": str(made.image), "TARGET": "vdx"},
        {"IMAGE": image.NAME},
        {"TYPE": "fs", "SIZE": "7"},
        {"IMAGE_ID": "98765"},
        {"IMAGE": "none"},
    ]
    of_image = {
        "IMAGE": image.NAME, "IMAGE_ID": str(made.image), "SIZE": "16", "ORIGINAL_SIZE": "16", "FORMAT": "raw", "SOURCE": image.SOURCE or "",
        "DATASTORE": store.NAME, "DATASTORE_ID": str(store.ID), "TM_MAD": "dummy", "CLONE": "YES", "SAVE": "NO", "READONLY": "NO",
        "DISK_SNAPSHOT_TOTAL_SIZE": "0", "TYPE": "FILE", "IMAGE_STATE": str(image.STATE),
    }  # fmt: skip
    for number, disk in enumerate(whole["DISK"]):
        assert disk["DISK_ID"] == str(number)
    for disk in whole["DISK"][:2]:
        assert {name: disk[name] or "" for name in of_image} == of_image
    assert whole["DISK"][0]["TARGET"] == "vdx" and "TARGET" not in whole["DISK"][1]
    assert [dict(disk) for disk in whole["DISK"][2:]] == [
        {"TYPE": "fs", "SIZE": "7", "DISK_ID": "2"},
        {"IMAGE_ID": "98765", "DISK_ID": "3"},
        {"IMAGE": "none", "DISK_ID": "4"},
    ]
    assert [dict(nic) for nic in whole["NIC"]] == [
        {"NETWORK_ID": str(made.vnet)},
        {"NETWORK": "t-net", "NETWORK_ID": str(made.vnet)},
        {"NETWORK": "none"},
        {"NETWORK_MODE": "auto"},
    ]
    # It was a look, not a change.
    assert shown(one, template, False) == plain
    assert {name: value for name, value in whole.items() if name not in ("DISK", "NIC")} == {
        name: value for name, value in plain.items() if name not in ("DISK", "NIC")
    }


def test_extended_tells_images_in_use_and_persistent_ones(one, made):
    image = one.image.allocate(cloud.IMAGE.format("ext-persistent") + "\nPERSISTENT=YES", one.image.info(made.image).DATASTORE_ID)
    cloud.eventually(lambda: one.image.info(image).STATE, lambda state: state == 1, "READY")
    template = one.template.allocate(cloud.VM.format("ext-pers") + f"\nDISK=[IMAGE_ID={image}]")
    disk = shown(one, template)["DISK"]
    assert (disk["PERSISTENT"], disk["CLONE"], disk["SAVE"], disk["IMAGE_STATE"]) == ("YES", "NO", "YES", "1")
    vm = one.template.instantiate(template, "ext-user", True)
    assert shown(one, template)["DISK"]["IMAGE_STATE"] == "8"
    one.vm.action("terminate-hard", vm)
    assert shown(one, template)["DISK"]["IMAGE_STATE"] == "1"


def test_extended_needs_the_right_to_use_what_is_named(one, admin, made, tenant):
    _, session = tenant
    others_use = (-1, -1, -1, -1, -1, -1, 1, -1, -1)
    other = one.image.allocate(cloud.IMAGE.format("ext-other"), one.image.info(made.image).DATASTORE_ID)
    group = one.secgroup.allocate('NAME="ext-group"')
    template = one.template.allocate(
        cloud.VM.format("ext-rights")
        + f"\nDISK=[IMAGE_ID={made.image}]\nDISK=[IMAGE_ID={other}]\nNIC=[NETWORK_ID={made.vnet},SECURITY_GROUPS={group}]"
    )
    assert session.call("template.info", template, True).code == 512
    one.template.chmod(template, *others_use)
    assert "<DISK_ID>" not in session.ok("template.info", template, False)
    refusal = session.call("template.info", template, True)
    needed = [f"USE IMAGE [{made.image}]", f"USE IMAGE [{other}]", f"USE SECGROUP [{group}]"]
    assert refusal.code == 512 and [text for text in needed if text not in refusal.value] == []
    one.image.chmod(made.image, *others_use)
    one.secgroup.chmod(group, *others_use)
    refusal = session.call("template.info", template, True)
    assert [text for text in needed if text in refusal.value] == [f"USE IMAGE [{other}]"]
    one.image.chmod(other, *others_use)
    # Locks are no reason not to look.
    one.image.lock(made.image, 1, False)
    try:
        assert "<DISK_ID>" in session.ok("template.info", template, True)
    finally:
        one.image.unlock(made.image)
    assert admin.call("template.info", 98765, True).code == 1024


def test_extended_by_the_command_line(server, one, made):
    template = one.template.allocate(cloud.VM.format("ext-cli") + f"\nDISK=[IMAGE_ID={made.image}]")
    assert "DATASTORE_ID" not in plerion(server, "onetemplate", "show", str(template))
    assert "DATASTORE_ID" in plerion(server, "onetemplate", "show", str(template), "--extended")


@pytest.fixture
def kept(one, made, request):
    """A template of two disks with images of its own: (id, name of the copy, images)."""
    name = request.node.name
    store = one.image.info(made.image).DATASTORE_ID
    images = [one.image.allocate(cloud.IMAGE.format(f"{name}-{number}"), store) for number in range(2)]
    for image in images:
        cloud.eventually(lambda image=image: one.image.info(image).STATE, lambda state: state == 1, "READY")
    disks = "".join(f"\nDISK=[IMAGE_ID={image}]" for image in images) + "\nDISK=[TYPE=fs,SIZE=3]"
    return one.template.allocate(cloud.VM.format(name) + disks), f"{name}-kept", images


def template_named(one, name):
    return next((found for found in one.templatepool.info(-2, -1, -1).VMTEMPLATE if found.NAME == name), None)


def test_a_persistent_instance_runs_on_images_of_its_own(one, admin, kept):
    template, name, images = kept
    vm = one.template.instantiate(template, name, False, 'NOTE="mine"', True)
    cloud.vm_await(admin, vm, 3, 3)
    body, copy = one.vm.info(vm), template_named(one, name)
    assert (body.NAME, body.USER_TEMPLATE["NOTE"], copy.TEMPLATE["NOTE"]) == (name, "mine", "mine")
    assert (body.TEMPLATE["TEMPLATE_ID"], body.TEMPLATE["CLONING_TEMPLATE_ID"]) == (str(copy.ID), str(template))
    copies = [int(disk["IMAGE_ID"]) for disk in body.TEMPLATE["DISK"] if "IMAGE_ID" in disk]
    assert [disk.get("IMAGE_ID") for disk in copy.TEMPLATE["DISK"]] == [*map(str, copies), None]
    assert not set(copies) & set(images)
    for number, image in enumerate(map(one.image.info, copies)):
        assert (image.NAME, image.PERSISTENT, image.STATE, image.VMS.ID) == (f"{name}-disk-{number}", 1, 8, [vm])
    assert all("CLONING" not in disk for disk in body.TEMPLATE["DISK"])
    assert {one.image.info(image).PERSISTENT for image in images} == {0}
    one.vm.action("terminate-hard", vm)
    cloud.vm_await(admin, vm, 6)
    assert {one.image.info(image).STATE for image in copies} == {1}
    # The name is taken: nothing is made.
    before = [one.imagepool.info(-2, -1, -1).IMAGE, one.vmpool.info(-2, -1, -1, -2).VM]
    with pytest.raises(pyone.OneException, match="already taken"):
        one.template.instantiate(template, name, False, "", True)
    after = [one.imagepool.info(-2, -1, -1).IMAGE, one.vmpool.info(-2, -1, -1, -2).VM]
    assert [[object.ID for object in objects] for objects in after] == [[object.ID for object in objects] for objects in before]


def test_a_persistent_instance_on_hold_by_the_command_line(server, one, admin, kept):
    template, name, _ = kept
    printed = plerion(server, "onetemplate", "instantiate", str(template), "--persistent", "--hold", "--name", name)
    vm = int(printed.split()[-1])
    cloud.vm_await(admin, vm, 2)
    assert template_named(one, name) is not None
    one.vm.action("terminate-hard", vm)


def test_a_persistent_instance_needs_the_rights_and_the_quota(one, admin, kept, tenant):
    template, name, images = kept
    user, session = tenant
    others_use = (-1, -1, -1, -1, -1, -1, 1, -1, -1)
    ask = ("template.instantiate", template, name, True, "", True)
    assert "USE TEMPLATE" in session.call(*ask).value
    one.template.chmod(template, *others_use)
    assert f"USE IMAGE [{images[0]}]" in session.call(*ask).value
    for image in images:
        one.image.chmod(image, *others_use)
    store = one.image.info(images[0]).DATASTORE_ID
    one.user.quota(user, f"DATASTORE=[ID={store},IMAGES=1]")
    refusal = session.call(*ask)
    assert refusal.code == 512 and "IMAGES quota" in refusal.value
    assert template_named(one, name) is None
    one.user.quota(user, f"DATASTORE=[ID={store},IMAGES=2,SIZE=32]")
    vm = session.ok(*ask)
    cloud.vm_await(admin, vm, 2)
    used = one.user.info(user).DATASTORE_QUOTA.DATASTORE[0]
    assert (str(used.IMAGES_USED), str(used.SIZE_USED)) == ("2", "32")
    session.ok("vm.action", "terminate-hard", vm)
    assert session.ok("template.delete", template_named(one, name).ID, True) >= 0

    def left():
        quota = one.user.info(user).DATASTORE_QUOTA.DATASTORE[0]
        return str(quota.IMAGES_USED), str(quota.SIZE_USED)

    cloud.eventually(left, lambda seen: seen == ("0", "0"), "the quota to be given back")


# On behalf of others.

# Parts of access rules.
ONE, GROUP, ALL = 0x1_0000_0000, 0x2_0000_0000, 0x4_0000_0000
USERS, TEMPLATES = 0x100_0000_0000, 0x200_0000_0000
MANAGE, CREATE = "2", "8"


@pytest.fixture
def group(one, request):
    """A group whose members may make templates, as those of `onegroup create` may: whoever gives attributes must."""
    ident = one.group.allocate(f"{request.node.name}-group")
    one.acl.addrule(f"{GROUP + ident:x}", f"{TEMPLATES + ALL:x}", CREATE, "")
    return ident


@pytest.fixture
def ours(one, made, request):
    """A template that everybody may use, with a disk of an image that everybody may use: its id."""
    name = request.node.name
    image = one.image.allocate(cloud.IMAGE.format(f"{name}-image"), one.image.info(made.image).DATASTORE_ID)
    cloud.eventually(lambda: one.image.info(image).STATE, lambda state: state == 1, "READY")
    template = one.template.allocate(cloud.VM.format(name) + f"\nDISK=[IMAGE_ID={image}]")
    for chmod, ident in ((one.image.chmod, image), (one.template.chmod, template)):
        chmod(ident, -1, -1, -1, -1, -1, -1, 1, -1, -1)
    return template


def owner(one, vm):
    body = one.vm.info(vm)
    assert "AS_UID" not in body.USER_TEMPLATE and "AS_GID" not in body.USER_TEMPLATE
    return body.UID, body.GID


def test_a_vm_on_behalf_of_a_user_and_a_group(one, ours, tenant, group, request):
    user, _ = tenant
    cases = [("", (0, 0)), (f"AS_UID={user}", (user, 0)), (f"AS_GID={group}", (0, group)), (f"AS_UID={user}\nAS_GID={group}", (user, group)), ("AS_UID=0\nAS_GID=0", (0, 0))]
    for extra, wanted in cases:
        assert owner(one, one.template.instantiate(ours, "", True, extra)) == wanted, extra
    # What the template itself says counts, too, and what is given with the call comes first.
    named = one.template.allocate(cloud.VM.format(f"{request.node.name}-named") + f"\nAS_UID={user}")
    assert owner(one, one.template.instantiate(named, "", True)) == (user, 0)
    for wrong, kind in (("AS_UID=x", pyone.OneActionException), ("AS_UID=98765", pyone.OneNoExistsException), ("AS_GID=-1", pyone.OneNoExistsException)):
        with pytest.raises(kind):
            one.template.instantiate(ours, "", True, wrong)


def test_on_behalf_needs_the_right_to_manage(server, one, ours, tenant, group, request):
    user, _ = tenant
    other = one.user.allocate(f"{request.node.name}-other", "secret", "core", [])
    session = Session(server, f"{request.node.name}-other:secret")
    ask = lambda extra: session.call("template.instantiate", ours, "", True, extra)
    before = len(one.vmpool.info(-2, -1, -1, -2).VM)
    refusal = ask(f"AS_UID={user}\nAS_GID={group}")
    assert refusal.code == 512 and f"MANAGE USER [{user}]" in refusal.value and f"MANAGE GROUP [{group}]" in refusal.value
    assert len(one.vmpool.info(-2, -1, -1, -2).VM) == before
    # Somebody may act for himself, and for whom he manages.
    assert owner(one, session.ok("template.instantiate", ours, "", True, f"AS_UID={other}")) == (other, 1)
    rule = one.acl.addrule(f"{ONE + other:x}", f"{USERS + ALL:x}", MANAGE, "")
    try:
        assert owner(one, session.ok("template.instantiate", ours, "", True, f"AS_UID={user}")) == (user, 1)
        assert f"MANAGE GROUP [{group}]" in ask(f"AS_UID={user}\nAS_GID={group}").value
    finally:
        one.acl.delrule(rule)


def test_the_rights_and_quotas_of_whom_it_is_for_count(one, ours, tenant, group, request):
    user, _ = tenant
    hidden = one.template.allocate(cloud.VM.format(f"{request.node.name}-hidden"))
    extra = f"AS_UID={user}\nAS_GID={group}"
    with pytest.raises(pyone.OneAuthorizationException, match="USE TEMPLATE"):
        one.template.instantiate(hidden, "", True, extra)
    one.user.quota(user, "VM=[VMS=1]")
    vm = one.template.instantiate(ours, "", True, extra)
    with pytest.raises(pyone.OneAuthorizationException, match="VMS quota"):
        one.template.instantiate(ours, "", True, extra)
    used = lambda: int(one.user.info(user).VM_QUOTA.VM[0].VMS_USED)
    assert used() == 1
    one.vm.action("terminate-hard", vm)
    assert used() == 0


def test_copies_belong_to_whom_they_are_for(one, admin, ours, tenant, request):
    user, _ = tenant
    name = f"{request.node.name}-kept"
    vm = one.template.instantiate(ours, name, False, f"AS_UID={user}\nNOTE=x", True)
    cloud.vm_await(admin, vm, 3, 3)
    copy = template_named(one, name)
    image = one.image.info(int(one.vm.info(vm).TEMPLATE["DISK"]["IMAGE_ID"]))
    assert (owner(one, vm)[0], copy.UID, image.UID) == (user, user, user)
    assert "AS_UID" not in copy.TEMPLATE and copy.TEMPLATE["NOTE"] == "x"


def test_networks_and_virtual_routers_on_behalf(server, one, made, tenant, request):
    user, _ = tenant
    name = request.node.name
    template = one.vntemplate.allocate(f'NAME="{name}"\nVN_MAD="dummy"\nBRIDGE="br-t"\nAR=[TYPE="IP4",IP="10.9.0.1",SIZE="10"]')
    one.vntemplate.chmod(template, -1, -1, -1, -1, -1, -1, 1, -1, -1)
    net = one.vn.info(one.vntemplate.instantiate(template, f"{name}-net", f"AS_UID={user}"))
    assert (net.UID, net.GID) == (user, 0) and "AS_UID" not in net.TEMPLATE
    printed = plerion(server, "onevntemplate", "instantiate", str(template), "--name", f"{name}-cli", "--as_uid", str(user))
    assert one.vn.info(int(printed.split()[-1])).UID == user
    router = one.vrouter.allocate(f'NAME="{name}"\nNIC=[NETWORK_ID={made.vnet}]')
    machine = one.template.allocate(cloud.VM.format(f"{name}-router") + "\nVROUTER=YES")
    for extra, wanted in (("", 0), (f"AS_UID={user}", user)):
        before = set(one.vrouter.info(router).VMS.ID)
        one.vrouter.instantiate(router, 1, machine, "", True, extra)
        (vm,) = set(one.vrouter.info(router).VMS.ID) - before
        assert owner(one, vm)[0] == wanted


def test_on_behalf_by_the_command_line(server, one, ours, tenant):
    user, _ = tenant
    printed = plerion(server, "onetemplate", "instantiate", str(ours), "--hold", "--as_uid", str(user))
    assert owner(one, int(printed.split()[-1]))[0] == user

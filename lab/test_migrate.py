"""VMs are moved between real hosts, and changed while they run."""

import time
from dataclasses import replace

import pytest
from cloud import STORAGES
from layout import names, nothing_check
from lab import wait_until

CHANGE_SECONDS = 15
# Time for a directory to be copied by way of the front-end, also when the machine is busy.
COPY_SECONDS = 120


def other_host(cloud, vm):
    return next(node for node in cloud.lab.hosts if node is not vm.host())


def moved(cloud, vm, *options, rests="RUNNING"):
    """Moves the VM to another host; gives where it was."""
    first = vm.host()
    there = other_host(cloud, vm)
    cloud.fe(["onevm", "migrate", *options, str(vm.id), there.name])
    wait_until(CHANGE_SECONDS, lambda: vm.host() is there, lambda: f"VM {vm.id} is not on {there.name}")
    vm.wait(rests)
    assert {"disk.0", "disk.1"} <= set(names(vm.directory(there)))
    if not vm.storage.shared:
        assert names(vm.directory(first)) == [], f"{first.name} still has the files of VM {vm.id}"
        assert names(vm.directory(cloud.lab.front_end)) == [], "the front-end still has them"
    return first


@pytest.mark.seconds(240)
@pytest.mark.parametrize("name", STORAGES)
def test_a_vm_is_moved(cloud, name):
    vm = cloud.vm_make(STORAGES[name]).running().guest_wait()
    boot_id = vm.guest_boot_id()
    moved(cloud, vm)
    assert [node for node, _ in vm.qemus()] == [vm.host()]
    assert "checkpoint" not in names(vm.directory(vm.host()))
    vm.guest_wait()
    assert vm.guest_boot_id() == boot_id, "the guest was started anew instead of going on"
    moved(cloud, vm, "--poff-hard")
    vm.guest_wait()
    assert vm.guest_boot_id() != boot_id
    vm.act("poweroff --hard", "POWEROFF")
    moved(cloud, vm, rests="POWEROFF")
    assert vm.qemus() == []
    vm.act("resume", "RUNNING")
    assert [node for node, _ in vm.qemus()] == [vm.host()]
    vm.terminate()


def store_changed(vm, store, state, *options):
    """Moves the VM to another system datastore on its host."""
    host, before = vm.host(), vm.directory(vm.host())
    there = names(before)
    vm.cloud.fe(["onevm", "migrate", *options, str(vm.id), host.name, str(store)])
    vm.storage = replace(vm.storage, system_store=store)
    wait_until(COPY_SECONDS, lambda: not before.exists(), lambda: f"{before} has {names(before)}")
    vm.wait(state)
    after = vm.directory(host)
    assert {name for name in there if name.startswith("disk.")} <= set(names(after))
    if not vm.storage.shared:
        assert names(vm.directory(vm.lab.front_end)) == [], "the front-end still has the files"


def moved_with_its_memory(cloud):
    store = cloud.lab.create("datastore", "NAME = ssh-other\nTYPE = SYSTEM_DS\nTM_MAD = ssh\n")
    vm = cloud.vm_make().running().guest_wait()
    boot_id = vm.guest_boot_id()
    refused = cloud.fe(["onevm", "migrate", "--live", str(vm.id), vm.host().name, str(store)], check=False)
    assert "without --live" in refused and vm.state() == "RUNNING"
    store_changed(vm, store, "RUNNING")
    vm.guest_wait()
    assert vm.guest_boot_id() == boot_id, "the guest was started anew instead of going on"
    assert f"/datastores/{store}/" in vm.host().out(["virsh", "-c", "qemu:///system", "dumpxml", vm.domain])
    vm.terminate()
    nothing_check(vm)
    cloud.fe(f"onedatastore delete {store}")


def moved_while_it_is_off(cloud):
    cloud.fe(f"onedatastore enable {cloud.other_store}")
    vm = cloud.vm_make(STORAGES["qcow2"]).running()
    vm.act("poweroff --hard", "POWEROFF")
    store_changed(vm, cloud.other_store, "POWEROFF")
    vm.act("resume", "RUNNING")
    vm.guest_wait()
    vm.terminate()
    nothing_check(vm)
    cloud.fe(f"onedatastore disable {cloud.other_store}")


@pytest.mark.seconds(300)
@pytest.mark.parametrize("move", [moved_with_its_memory, moved_while_it_is_off])
def test_a_vm_is_moved_to_another_datastore(cloud, move):
    move(cloud)


# A second in which the guest counts; it may miss a few of its ticks while it changes hosts, and none may come twice.
COUNTER = "(n=0; while :; do n=$((n+1)); echo $n >>/tmp/count; sleep 0.1; done) >/dev/null 2>&1 &"


@pytest.mark.seconds(240)
@pytest.mark.parametrize("name", STORAGES)
def test_a_vm_is_moved_while_it_runs(cloud, name):
    vm = cloud.vm_make(STORAGES[name]).running().guest_wait()
    boot_id = vm.guest_boot_id()
    vm.guest("echo kept >/tmp/kept; dd if=/dev/vda bs=1M count=4 2>/dev/null | md5sum >/tmp/sum; " + COUNTER)
    for _ in range(2):
        began = time.monotonic()
        moved(cloud, vm, "--live")
        took = time.monotonic() - began
        print(f"\n{name}: moved in {took:.1f} s")
        assert [node for node, _ in vm.qemus()] == [vm.host()]
        vm.guest_wait()
        assert vm.guest_boot_id() == boot_id, "the guest was started anew instead of going on"
        assert vm.guest("cat /tmp/kept") == "kept\n"
        assert vm.guest("dd if=/dev/vda bs=1M count=4 2>/dev/null | md5sum | cmp - /tmp/sum && echo same") == "same\n"
    first = int(vm.guest("tail -n 1 /tmp/count"))
    wait_until(CHANGE_SECONDS, lambda: int(vm.guest("tail -n 1 /tmp/count")) > first, "the guest does not count on")
    leftovers = [node.run(["sh", "-c", "ls /var/tmp/one/migrate.* 2>/dev/null; :"]).stdout for node in cloud.lab.hosts]
    assert leftovers == ["", "", ""]
    vm.act("poweroff --hard", "POWEROFF")
    vm.act("resume", "RUNNING")
    vm.terminate()


@pytest.mark.seconds(240)
def test_a_move_that_fails_leaves_the_vm_where_it_runs(cloud):
    """The other host has no room for the disk's copy: a directory is in its way."""
    vm = cloud.vm_make().running().guest_wait()
    first, there = vm.host(), other_host(cloud, vm)
    blocked = vm.directory(there)
    there.run(["sh", "-c", f"mkdir -p /var/lib/one/datastores/0/{vm.id}/disk.0/x && chown -R oneadmin: /var/lib/one/datastores/0/{vm.id}"])
    cloud.fe(["onevm", "migrate", "--live", str(vm.id), there.name])
    wait_until(CHANGE_SECONDS * 2, lambda: vm.xml().findtext("USER_TEMPLATE/ERROR"), "no reason is said")
    vm.wait("RUNNING")
    assert vm.host() is first and [node for node, _ in vm.qemus()] == [first]
    assert "disk.0" in vm.xml().findtext("USER_TEMPLATE/ERROR")
    there.run(["rm", "-rf", f"/var/lib/one/datastores/0/{vm.id}"])
    assert not blocked.exists()
    moved(cloud, vm, "--live")
    vm.guest_wait()
    vm.terminate()


@pytest.mark.seconds(240)
def test_the_front_end_killed_while_a_vm_is_moved(cloud):
    vm = cloud.vm_make().running().guest_wait()
    boot_id = vm.guest_boot_id()
    cloud.fe(["onevm", "migrate", "--live", str(vm.id), other_host(cloud, vm).name])
    cloud.lab.serve_kill()
    cloud.lab.serve_start()
    cloud.hosts_wait()
    vm.wait("RUNNING", 60)
    assert [node for node, _ in vm.qemus()] == [vm.host()]
    vm.guest_wait()
    assert vm.guest_boot_id() == boot_id
    vm.terminate()


def test_a_running_vm_gets_another_size_and_context(cloud):
    vm = cloud.vm_make(extra="VCPU = 1\nVCPU_MAX = 2\nMEMORY_MAX = 224").running().guest_wait()

    cloud.fe(f"onevm resize {vm.id} --memory 208 --cpu 0.2")
    vm.wait("RUNNING")
    assert vm.xml().findtext("TEMPLATE/MEMORY") == "208"

    def domain():
        return vm.host().run(["virsh", "dominfo", vm.domain]).stdout

    # The guest's driver gives the memory back piece by piece.
    wait_until(CHANGE_SECONDS, lambda: "212992 KiB" in domain(), domain)
    cloud.fe(f"onevm resize {vm.id} --vcpu 2")
    vm.wait("RUNNING")
    error = vm.xml().findtext("USER_TEMPLATE/ERROR")
    assert vm.xml().findtext("TEMPLATE/VCPU") == "2", error
    count = vm.host().run(["virsh", "vcpucount", vm.domain, "--live", "--active"]).stdout
    assert count.strip() == "2"
    cloud.lab.front_end.run(
        ["sh", "-c", "cat > /tmp/conf.txt"], input='CONTEXT = [ NEWS = "it-is-new" ]\n', user="oneadmin"
    )
    cloud.fe(f"onevm updateconf {vm.id} /tmp/conf.txt --append")
    vm.wait("RUNNING")
    assert vm.xml().findtext("TEMPLATE/CONTEXT/NEWS") == "it-is-new"
    assert vm.xml().findtext("USER_TEMPLATE/ERROR") is None
    read = "mkdir -p /mnt/new; mount -t iso9660 -o ro /dev/sr0 /mnt/new; cat /mnt/new/context.sh; umount /mnt/new"
    seen = []

    def look():
        seen.append(vm.guest(f"({read}) 2>&1", check=False))
        return "it-is-new" in seen[-1]

    wait_until(CHANGE_SECONDS, look, lambda: f"the guest does not see the new context: {seen[-1]}")
    vm.terminate()

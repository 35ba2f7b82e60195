"""The agent of a guest: what it says of the guest, and commands through all that can become of them. One guest does for all."""

import base64

import pytest
from cloud import error_of
from lab import wait_until

# Time for a command that ends at once, and for the agent to be there after the guest has answered by SSH.
END_SECONDS = 30
# Time for a guest to be asked, and for the sample after that.
SAID_SECONDS = 60
PROGRAM = "onevm"


def command_of(vm):
    """What the VM says of its last command."""
    found = vm.xml().find("TEMPLATE/QEMU_GA_EXEC")
    return {} if found is None else {part.tag: part.text or "" for part in found}


def text(said, name):
    return base64.b64decode(said.get(name, "")).decode()


def ended(vm, status="DONE"):
    """Waits for the end of the command, and for the VM to be RUNNING; gives what is said of it."""

    def look():
        said = command_of(vm)
        return said if said.get("STATUS") not in ("", "EXECUTING") and vm.state() == "RUNNING" else None

    said = wait_until(END_SECONDS, look, lambda: f"the command does not end: {command_of(vm)} {vm.state()}")
    assert said["STATUS"] == status, (said, text(said, "STDERR"), error_of(vm.xml()))
    return said


def run(cloud, vm, command, *options, status="DONE"):
    cloud.fe([PROGRAM, "exec", *options, str(vm.id), command])
    return ended(vm, status)


def begun(vm):
    """Waits until the guest runs the command."""
    wait_until(END_SECONDS, lambda: "PID" in command_of(vm) and vm.state() == "RUNNING", lambda: str(command_of(vm)))


def runs(vm, word):
    return vm.guest(f"ps | grep -c '[ ]{word}$'", check=False).strip() not in ("", "0")


@pytest.mark.seconds(240)
def test_commands(cloud):
    vm = cloud.vm_make().running().guest_wait()
    said = run(cloud, vm, "read line; echo \"got $line\"; hostname >&2; echo '$HOME' \"it's\"; exit 3", "--stdin", "some words")
    assert (said["RETURN_CODE"], said["STDIN"]) == ("3", "some words")
    assert text(said, "STDOUT") == "got some words\n$HOME it's\n"
    assert text(said, "STDERR") == f"one-{vm.id}\n"
    said = run(cloud, vm, "/no/such/program")
    assert said["RETURN_CODE"] == "127" and "/no/such/program" in text(said, "STDERR")
    said = run(cloud, vm, "head -c 100000 /dev/zero | tr '\\0' x")
    assert text(said, "STDOUT").endswith("xx\n[cut here: 32768 of 100000 bytes are kept]\n")

    # What it says of itself comes with the samples.
    def told():
        return {part.tag: part.text for part in vm.xml().find("MONITORING") if part.tag.startswith("GUEST_")}

    wait_until(SAID_SECONDS, told, "nothing is known of the guest")
    assert told()["GUEST_IP"] == told()["GUEST_IP_ADDRESSES"] == vm.address
    assert told()["GUEST_HOSTNAME"] == vm.guest("hostname").strip()
    assert told()["GUEST_OS"]
    shown = cloud.fe(f"onevm show {vm.id}")
    assert "GUEST INFORMATION" in shown and vm.address in shown.partition("GUEST INFORMATION")[2].partition("COMMAND IN")[0]

    # One at a time; ended with all that it has started.
    cloud.fe([PROGRAM, "exec", str(vm.id), "sleep 4711 & sleep 4712"])
    begun(vm)
    assert runs(vm, "4711") and runs(vm, "4712")
    assert "another one is executing" in cloud.fe([PROGRAM, "exec", str(vm.id), "true"], check=False)
    cloud.fe([PROGRAM, "exec-cancel", str(vm.id)])
    assert ended(vm, "CANCELLED")["COMMAND"].startswith("sleep")
    wait_until(END_SECONDS, lambda: not runs(vm, "4711") and not runs(vm, "4712"), "the command goes on in the guest")
    assert "none is executing" in cloud.fe([PROGRAM, "exec-cancel", str(vm.id)], check=False)

    # Another change of the VM and a restart of the front-end do not lose it.
    cloud.fe([PROGRAM, "exec", str(vm.id), "until [ -e /run/go ]; do sleep 0.1; done; echo gone on"])
    begun(vm)
    cloud.fe(f"onevm resize {vm.id} --memory 128")
    vm.wait("RUNNING")
    address = vm.address
    cloud.lab.serve_kill()
    vm.guest("touch /run/go", address=address)
    cloud.lab.serve_start()
    assert text(ended(vm), "STDOUT") == "gone on\n"
    cloud.fe([PROGRAM, "exec-retry", str(vm.id)])
    assert text(ended(vm), "STDOUT") == "gone on\n"

    # Without its agent the guest cannot be asked.
    vm.guest("kill $(cat /run/qemu-ga.pid)")
    said = run(cloud, vm, "true", status="ERROR")
    assert "install the package qemu-guest-agent" in text(said, "STDERR")
    assert "install the package qemu-guest-agent" in error_of(vm.xml())
    vm.terminate()

"""A guest that writes all the time, what copies of its disk hold, and the jobs that make them."""

import json
import os
import subprocess

from lab import wait_until
from layout import names

JOB_SECONDS = 30
BLOCK = 4096
# The guest writes a number to the first block, then the same to the second: whenever the disk is looked at as a whole, the
# second is the first or the one before it.
FIRST, SECOND = 1024, 1536
WRITER = f"""n=0; while :; do n=$((n+1)); for at in {FIRST} {SECOND}; do
echo $n | dd of=/dev/vdb bs={BLOCK} seek=$at conv=notrunc,sync,fsync 2>/dev/null; done; done"""
WRITTEN_SECONDS = 20
# A disk that large, though it is empty, takes seconds to copy.
LONG_BYTES = 1 << 40


def writer_start(vm):
    """Has the guest write to its second disk until it is switched off."""
    vm.guest(f"( setsid sh -c '{WRITER}' >/dev/null 2>&1 & )")
    wait_until(WRITTEN_SECONDS, lambda: _number(vm.guest(f"dd if=/dev/vdb bs={BLOCK} skip={SECOND} count=1 2>/dev/null")), "it does not write")


def _number(text):
    return int(text.strip("\0\n") or 0)


def copy_check(path, storage_format, scratch):
    """A copy of that disk is whole, refers to no other file, and is what the disk was at one moment; gives its content."""
    info = json.loads(subprocess.check_output(["qemu-img", "info", "-f", storage_format, "--output=json", path]))
    assert "backing-filename" not in info
    if storage_format == "qcow2":
        subprocess.run(["qemu-img", "check", "-q", "-f", "qcow2", path], check=True)
        subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, scratch], check=True)
        path = scratch
    content = path.read_bytes()
    first, second = (_number(content[at * BLOCK : (at + 1) * BLOCK].decode()) for at in (FIRST, SECOND))
    assert first > 0 and first - 1 <= second <= first, (first, second)
    return content


def job(vm, *options):
    """What libvirt says of the job of a VM's domain: `None`, or `Unbounded` while disks are copied; with `--completed` of the
    last one, once."""
    said = vm.host().out(["virsh", "-q", "-c", "qemu:///system", "domjobinfo", vm.domain, *options])
    (line,) = [line for line in said.splitlines() if "Job type" in line]
    return line.split(":")[1].strip()


def filled(vm):
    """The file that QEMU fills for the copy of a raw disk that is being made, if one is."""
    found = list(vm.directory(vm.host()).glob(".*.copy-*.taken.part"))
    return found[0] if found else None


def filled_anew(vm, before):
    """Whether QEMU fills another file than that open one, whose number no other has while it is open."""
    now = filled(vm)
    try:
        return now and now.stat().st_ino != os.fstat(before.fileno()).st_ino
    except FileNotFoundError:
        return False


def job_wait(vm):
    """Waits until disks are being copied."""
    wait_until(JOB_SECONDS, lambda: job(vm) == "Unbounded", lambda: f"no job in {vm.state()}")


def job_abort(vm):
    vm.host().run(["virsh", "-q", "-c", "qemu:///system", "domjobabort", vm.domain])


def no_copy_left(vm):
    """The VM runs, no job is left, and nothing of a copy is on its host."""
    vm.wait("RUNNING")
    left = lambda: [name for name in names(vm.directory(vm.host())) if "copy" in name or name.endswith(".part")]
    wait_until(JOB_SECONDS, lambda: job(vm) == "None" and not left(), lambda: f"job {job(vm)}, files {left()}")


def disk_lengthen(vm, number):
    """Makes a raw disk of a VM that is off so large that a copy of it takes seconds."""
    with (vm.directory(vm.host()) / f"disk.{number}").open("r+b") as file:
        file.truncate(LONG_BYTES)

"""Ways into a running guest, as the command line opens them: SSH, its screen, its serial console."""

import os
import pty
import select
import subprocess
import time

from cloud import USER

CONSOLE_SECONDS = 30
# A shell answers sooner, mostly.
AGAIN_SECONDS = 3
# Connects to the address that `onevm vnc` hands to a viewer, and prints what the other end says first.
VIEWER = """#!/bin/bash
exec 3<>"/dev/tcp/${1%%::*}/${1##*::}" && head -c 11 <&3
"""
LEAVE = b"\x1d"


class Terminal:
    """A command of a node on a terminal of its own."""

    def __init__(self, node, arguments):
        self.ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            node.command(arguments, USER), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self.seen = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.ours)

    def write(self, data):
        os.write(self.ours, data)

    def read_until(self, word):
        """Reads until `word` has come; what came is part of the failure."""
        assert self.reads(word, CONSOLE_SECONDS), f"no {word!r} in {self.seen!r}"

    def reads(self, word, seconds):
        """Whether `word` comes within a time."""
        until = time.monotonic() + seconds
        while word not in self.seen:
            ready, _, _ = select.select([self.ours], [], [], max(until - time.monotonic(), 0))
            if not ready:
                return False
            try:
                self.seen += os.read(self.ours, 4096)
            except OSError as ended:
                raise AssertionError(f"the command ended without {word!r}: {self.seen!r}") from ended
        return True

    def say(self, line, word):
        """Types a line until `word` has come. What is typed while virsh takes the terminal over is lost, and nothing tells
        when it has."""
        until = time.monotonic() + CONSOLE_SECONDS
        self.write(line)
        while not self.reads(word, AGAIN_SECONDS):
            assert time.monotonic() < until, f"no {word!r} in {self.seen!r}"
            self.write(line)


def guest_reached(cloud, vm):
    """By SSH, a viewer of its screen, and its serial console."""
    node = cloud.lab.front_end
    options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    said = cloud.fe(["onevm", "ssh", str(vm.id), "--ssh-options", options, "--cmd", "cat /proc/sys/kernel/random/boot_id"])
    assert said.strip() == vm.guest_boot_id()

    path = "/var/tmp/viewer"
    node.run(["tee", path], user=USER, input=VIEWER)
    node.run(["chmod", "700", path], user=USER)
    assert cloud.fe(["onevm", "vnc", str(vm.id), "--vnc", path]) == "RFB 003.008"
    assert "ControlPersist" not in node.out(["ps", "-ef"]), "the tunnel is left"
    assert "one-vnc-" not in node.out(["ls", "/tmp"])

    with Terminal(node, ["plerion", "onevm", "console", str(vm.id)]) as terminal:
        terminal.read_until(b"Connected to domain")
        terminal.say(b"\necho serial-$((40 + 2))\n", b"serial-42")
        terminal.write(LEAVE)
        assert terminal.process.wait(CONSOLE_SECONDS) == 0

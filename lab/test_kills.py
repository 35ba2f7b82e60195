"""The front-end killed again and again at random moments while many callers make and end VMs on real hosts."""

import collections
import os
import random
import re
import subprocess
import time

import pytest
from lab import wait_until

KILLS = int(os.environ.get("LAB_FRONT_END_KILLS", "200"))
CALLERS = 16
# The longest time that a front-end lives, in seconds.
LIFE_SECONDS = 1.0
KILL_BOUND_SECONDS = 8
END_SECONDS = 120
STARTED = re.compile(r"^\d{4}-\d\d-\d\d .*: starting up libvirt version", re.MULTILINE)
AGENT_STARTED = re.compile(r"a domain is started.*\buuid=\"?([0-9a-f-]{36})")


class Callers:
    """The callers' process on the front-end's node, and what it said."""

    def __init__(self, cloud):
        self.said = collections.defaultdict(list)
        self.output = (cloud.lab.directory / "callers.log").open("w+")
        self.process = subprocess.Popen(
            cloud.lab.caller_command("callers.py", str(CALLERS)),
            stdin=subprocess.PIPE,
            stdout=self.output,
            stderr=subprocess.STDOUT,
        )

    def end(self):
        """Lets each end its VM; reads what all said."""
        self.process.stdin.close()
        assert self.process.wait(END_SECONDS) == 0, self.words()
        for line in self.words().splitlines():
            what, _, rest = line.partition(" ")
            self.said[what].append(rest)

    def words(self):
        self.output.seek(0)
        return self.output.read()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.output.close()

    def ids(self, what):
        return [int(text) for text in self.said[what]]


def starts(lab):
    """How often libvirt has started each domain, on all hosts together."""
    found = collections.Counter()
    for node in lab.hosts:
        script = "shopt -s nullglob; cd /var/log/libvirt/qemu && for f in one-*.log; do echo \"== $f\"; cat $f; done"
        text = node.out(["bash", "-c", script])
        for part in text.split("== one-")[1:]:
            name, _, log = part.partition(".log\n")
            found[int(name)] += len(STARTED.findall(log))
    return found


def agent_starts(lab):
    """How often agents have set about to start each UUID."""
    found = collections.Counter()
    for node in lab.hosts:
        script = "cat $(find /var/lib/one -name agent.log -o -name agent.log.old)"
        found.update(AGENT_STARTED.findall(node.out(["bash", "-c", script])))
    return found


@pytest.mark.seconds(120 + END_SECONDS + KILLS * KILL_BOUND_SECONDS)
def test_front_end_killed_again_and_again(cloud):
    lab = cloud.lab
    before, agents_before = starts(lab), agent_starts(lab)
    moments = random.Random(KILLS)
    callers = Callers(cloud)
    try:
        for _ in range(KILLS):
            time.sleep(moments.uniform(0, LIFE_SECONDS))
            lab.serve_kill()
            lab.serve_start()
        cloud.hosts_wait()
        callers.end()
    finally:
        words = callers.words()
        callers.kill()
    assert callers.said["refused"] == [], words
    acknowledged = callers.ids("acknowledged")
    assert len(set(acknowledged)) == len(acknowledged), "an id was given twice"
    assert set(callers.said) <= {"acknowledged", "running", "done", "refused"}, words

    # VMs whose allocation broke in mid-call: nobody was told of them, and they are VMs like others.
    unknown = cloud.vms_left()
    for vm in unknown:
        vm.remove()
    for identifier in acknowledged:
        assert lab.show("vm", identifier).findtext("STATE") == "6", f"VM {identifier} was acknowledged"
    counted = starts(lab) - before
    twice = {identifier: count for identifier, count in counted.items() if count > 1}
    assert twice == {}, "domains were started more than once"
    running = callers.ids("running")
    never = [identifier for identifier in running if counted[identifier] != 1]
    assert never == [], "seen running although libvirt has not started them"
    asked = agent_starts(lab) - agents_before
    assert {uuid: count for uuid, count in asked.items() if count > 1} == {}, "agents started a UUID twice"
    assert asked.total() >= len(running)
    wait_until(END_SECONDS, lambda: not any(node.domains() for node in lab.hosts), "domains are left")
    print(
        f"\n{KILLS} kills under {CALLERS} callers: {len(acknowledged)} VMs acknowledged, {len(unknown)} more made, "
        f"{counted.total()} starts, none twice"
    )

"""Callers that go on whatever happens to the front-end; run on its network by test_kills.py.

    callers.py CREDENTIALS NUMBER     until standard input ends; then each ends the VM that it has

Each makes a VM, waits until it runs, ends it, and begins anew. A call whose connection breaks is asked for again where that
changes nothing; an allocation that broke is given up, as nobody knows what became of it. What happens is told in lines:

    acknowledged ID    the front-end said that it has made the VM
    running ID         it was seen running
    done ID            it was seen DONE
    refused TEXT       a call that should have gone well did not
"""

import http.client
import pathlib
import sys
import threading
import time
from xml.etree import ElementTree
from xml.parsers.expat import ExpatError

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))

from harness.rpc import Session  # noqa: E402  (the path comes first)

LOOK_SECONDS = 0.05
PORT = 2633
BROKEN = (OSError, http.client.HTTPException, ExpatError)
TEMPLATE = 'NAME = "killed"\nCPU = 0.01\nMEMORY = 16\n'
STATE_DONE, STATE_ACTIVE, LCM_RUNNING = 6, 3, 3


class Server:
    port = PORT
    admin = None


class Caller(threading.Thread):
    def __init__(self, credentials, stop, say):
        super().__init__()
        self.session = Session(Server, credentials)
        self.stop = stop
        self.say = say

    def run(self):
        while not self.stop.is_set():
            vm = self.allocate()
            if vm is not None:
                self.life(vm)

    def allocate(self):
        """The id of a new VM; nothing when the front-end was killed meanwhile."""
        try:
            answer = self.session.call("vm.allocate", TEMPLATE, False)
        except BROKEN:
            time.sleep(LOOK_SECONDS)
            return None
        if answer.outcome != "ok":
            self.say(f"refused vm.allocate: {answer}")
            return None
        self.say(f"acknowledged {answer.value}")
        return answer.value

    def life(self, vm):
        if not self.reached(vm, lambda state, lcm: (state, lcm) == (STATE_ACTIVE, LCM_RUNNING)):
            return
        self.say(f"running {vm}")
        self.again("vm.action", "terminate-hard", vm)
        if self.reached(vm, lambda state, _: state == STATE_DONE):
            self.say(f"done {vm}")

    def reached(self, vm, accept):
        """Waits until a VM is in a state; false when it failed or is lost."""
        while True:
            body = self.again("vm.info", vm)
            if body is None:
                return False
            xml = ElementTree.fromstring(body)
            state, lcm = int(xml.findtext("STATE")), int(xml.findtext("LCM_STATE"))
            if accept(state, lcm):
                return True
            if state == STATE_DONE or xml.findtext("USER_TEMPLATE/ERROR"):
                self.say(f"refused VM {vm} is in {state}/{lcm}: {xml.findtext('USER_TEMPLATE/ERROR')}")
                return False
            time.sleep(LOOK_SECONDS)

    def again(self, method, *parameters):
        """The value of a call that is asked for until an answer comes; nothing when that is a refusal."""
        asked = 0
        while True:
            try:
                answer = self.session.call(method, *parameters)
            except BROKEN:
                asked += 1
                time.sleep(LOOK_SECONDS)
                continue
            if answer.outcome == "ok":
                return answer.value
            # The one that broke may have been done.
            if asked and method == "vm.action":
                return parameters[-1]
            self.say(f"refused {method}{parameters}: {answer}")
            return None


def main():
    credentials, number = sys.argv[1], int(sys.argv[2])
    lock = threading.Lock()

    def say(line):
        with lock:
            print(line, flush=True)

    stop = threading.Event()
    callers = [Caller(credentials, stop, say) for _ in range(number)]
    for caller in callers:
        caller.start()
    sys.stdin.read()
    stop.set()
    for caller in callers:
        caller.join()


if __name__ == "__main__":
    main()

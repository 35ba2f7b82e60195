"""Makes the recorded calls of a 7.4.0 server again, on a fresh server, and compares the answers.

Exit 0 when each difference has a reason in reasons.tsv, 1 when one has none.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from conformance import compare, scenario
from conformance.recording import recording_read
from harness.rpc import Session
from harness.server import BINARY, Server

REASONS = Path(__file__).with_name("reasons.tsv")
# Parameters that hold an id, by method: position -> kind. Only kinds whose ids are mapped.
VM_FIRST = {0: "vm"}
MAPPED = {
    "one.vm.action": {1: "vm"},
    "one.vm.deploy": {0: "vm", 1: "host"},
    "one.vm.migrate": {0: "vm", 1: "host"},
    "one.vmpool.infoextended": {1: "vm", 2: "vm"},
    "one.host.info": {0: "host"},
    "one.host.monitoring": {0: "host"},
    "one.host.update": {0: "host"},
    "one.host.status": {0: "host"},
    "one.host.delete": {0: "host"},
    "one.cluster.addhost": {1: "host"},
    "one.cluster.delhost": {1: "host"},
    "one.user.login": {1: "token"},
}
MAKES = {"one.vm.allocate": "vm", "one.template.instantiate": "vm"}


def served_methods():
    """Names of the methods that the binary has."""
    listing = subprocess.run([BINARY, "methods"], capture_output=True, text=True, check=True, timeout=20).stdout
    return {line.split("\t")[0] for line in listing.splitlines()}


def reasons_read():
    """(call number or *, pattern on the difference, reason) of each line."""
    lines = [line for line in REASONS.read_text().splitlines() if line and not line.startswith("#")]
    for line in lines[1:]:
        calls, pattern, reason = line.split("\t")
        yield {"*"} if calls == "*" else set(calls.split(",")), re.compile(pattern), reason


class Player:
    """Plays the series of a recording."""

    def __init__(self, calls):
        self.calls = calls
        self.served = served_methods()

    def play(self):
        """Yields (call, differences, or None when the method is not served)."""
        starts = sorted(scenario.SERIES)
        for start, following in zip(starts, [*starts[1:], sys.maxsize]):
            calls = [call for call in self.calls if start <= call.number < following]
            if calls:
                yield from self.series_play(scenario.SERIES[start], calls)

    def series_play(self, steps, calls):
        with tempfile.TemporaryDirectory(prefix="conformance-") as directory:
            server = Server(directory).start()
            try:
                stage = scenario.Stage(Session(server))
                pending = dict(sorted(steps.items()))
                for call in calls:
                    for number in [number for number in pending if number <= call.number]:
                        pending.pop(number)(stage)
                    yield call, self.call_play(server, stage, call)
            finally:
                server.end()

    def call_play(self, server, stage, call):
        if call.method not in self.served:
            return None
        session = Session(server, session_map(server, stage, call.session))
        answer = session.call(call.method.removeprefix("one."), *params_map(stage, call))
        kind = MAKES.get(call.method)
        if kind and call.answer.outcome == answer.outcome == "ok":
            stage.made(kind, call.answer.value, answer.value)
        return compare.differences(call.answer, body_map(stage, answer))


def session_map(server, stage, recorded):
    """The session of the recorded user here."""
    if recorded == "oneadmin:PASSWORD":
        return server.admin
    name, secret = recorded.split(":", 1)
    return f"{name}:{stage.of('token', secret)}"


def params_map(stage, call):
    """The recorded parameters with the ids of here."""
    params = list(call.params)
    kinds = MAPPED.get(call.method) or (VM_FIRST if call.method.startswith("one.vm.") else {})
    for position, kind in kinds.items():
        if position < len(params):
            params[position] = stage.of(kind, params[position])
    if call.method == "one.vmpool.infoset":
        params[0] = ",".join(str(stage.of("vm", int(ident))) for ident in params[0].split(","))
    return params


def body_map(stage, answer):
    """Ids of pool members as recorded, so that they can be matched."""
    if answer.outcome == "ok" and isinstance(answer.value, str):
        for (kind, recorded), ident in stage.ids.items():
            if kind in ("vm", "host"):
                tag = kind.upper()
                answer.members[1] = answer.members[1].replace(
                    f"<{tag}><ID>{ident}</ID>", f"<{tag}><ID>{recorded}</ID>"
                )
    return answer


def explain(number, difference, reasons, used):
    """The reason of a difference, or None."""
    for index, (calls, pattern, reason) in enumerate(reasons):
        if calls & {"*", str(number)} and pattern.search(difference):
            used.add(index)
            return reason
    return None


def report(results, reasons, verbose):
    """Prints the table; gives the number of differences without a reason."""
    counts = {"agrees": 0, "explained": 0, "DIFFERS": 0, "not served": 0}
    used, unexplained = set(), 0
    for call, found in results:
        explained = [(text, explain(call.number, text, reasons, used)) for text in found or []]
        open_ones = [text for text, reason in explained if reason is None]
        unexplained += len(open_ones)
        if found is None:
            verdict = "not served"
        else:
            verdict = "DIFFERS" if open_ones else "explained" if found else "agrees"
        counts[verdict] += 1
        if verbose or open_ones:
            print(f"{call.number:4}  {verdict:10}  {call.method:28}  {call.tag}")
        for text, reason in explained if verbose else [(text, None) for text in open_ones]:
            print(f"          {text}" + (f"\n              because: {reason}" if reason else ""))
    print("  ".join(f"{verdict}: {count}" for verdict, count in counts.items()))
    for index, (calls, pattern, reason) in enumerate(reasons):
        if index not in used:
            print(f"no longer needed in reasons.tsv: {','.join(sorted(calls))} {pattern.pattern} ({reason})")
    return unexplained


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captures", required=True, help="directory of the recorded calls")
    parser.add_argument("--brief", action="store_true", help="print only what has no reason")
    arguments = parser.parse_args()
    results = Player(recording_read(arguments.captures)).play()
    unexplained = report(results, list(reasons_read()), not arguments.brief)
    if unexplained:
        print(f"{unexplained} differences without a reason")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())

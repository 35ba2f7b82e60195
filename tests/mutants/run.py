"""Which checks of crates/world can be deleted or changed without a test that goes red? (ARCHITECTURE.md, "Tests".)

On a copy of the tree each check (checks.py), or each change of a condition or value (changes.py), gets a switch
(switches.rs); all is built once. Then, with one of them switched at a time, those tests are run that come to it: cargo's
of crates/world, and if none of them is red, whole-system tests. Which test comes where is found out before, by a run with
nothing switched.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from changes import Changed
from checks import SWITCHES, Switched

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
# What is switched, and the table of what survives.
KINDS = {"deleted": (Switched, HERE / "survivors.tsv"), "changed": (Changed, HERE / "survivors_changed.tsv")}
SCOPE = HERE / "scope.tsv"
PACKAGE = "plerion-world"
SOURCES = "crates/world/src"
# A test that does not end is red, too.
CARGO_TEST_S = 120
# A change may make a loop endless that fills memory.
CARGO_TEST_BYTES = 4 << 30
# The quick tests are asked first.
QUICK_S = 1.0
SYSTEM_TEST_S = 1200
# Of a check that many tests come to, the first ones are asked.
SYSTEM_TESTS_MAX = 6


class Tree:
    """The copy of the tree, with switches."""

    def __init__(self, directory, target, switched, files):
        self.directory = directory
        self.target = target
        self.switched = switched
        self.files = files
        self.checks = {}
        self.stale = set()

    def copy(self):
        """What git knows of the tree, as it is now."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        names = subprocess.run(
            ["git", "ls-files", "-z"], cwd=REPOSITORY, check=True, capture_output=True, text=True
        ).stdout
        for name in filter(None, names.split("\0")):
            if (REPOSITORY / name).exists():
                (self.directory / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(REPOSITORY / name, self.directory / name, follow_symlinks=False)

    def switch(self):
        """Writes the switches. Those that the compiler does not take are left out: no value would be there."""
        shutil.copy(SWITCHES, self.directory / SOURCES / "mutant.rs")
        while True:
            places = self._write()
            refused = self._refused(places)
            if not refused:
                return
            print(f"without {len(refused)} that do not compile", flush=True)
            self.stale |= refused

    def _write(self):
        places, self.checks = {}, {}
        for path in sorted((REPOSITORY / SOURCES).glob("*.rs")):
            text, found, checks = path.read_bytes(), [], []
            if path.name in self.files:
                switched = self.switched(path, text, len(self.checks), self.stale)
                text, found = switched.text()
                checks = switched.checks
            if path.name == "lib.rs":
                text += b"\nmod mutant;\n"
            (self.directory / SOURCES / path.name).write_bytes(text)
            places[f"{SOURCES}/{path.name}"] = found
            for check in checks:
                self.checks[len(self.checks)] = check
        return places

    def _refused(self, places):
        lines = self.cargo("check", "-q", "-p", PACKAGE, "--lib", "--message-format=json", may_fail=True)
        numbers = set()
        for message in lines:
            message = message.get("message") or {}
            if message.get("level") != "error":
                continue
            spans = sorted(message["spans"], key=lambda span: not span["is_primary"])
            found = (nearest(places.get(span["file_name"], []), span) for span in spans)
            numbers |= next(filter(None, found), set())
            if not numbers:
                raise SystemExit(message["rendered"])
        return numbers

    def cargo(self, *arguments, may_fail=False):
        """Runs cargo and gives its messages."""
        environment = {**os.environ, "CARGO_TARGET_DIR": str(self.target)}
        command = ["cargo", *arguments]
        ran = subprocess.run(command, cwd=self.directory, env=environment, stdout=subprocess.PIPE, text=True)
        if ran.returncode and not may_fail:
            raise SystemExit(f"{' '.join(command)}: {ran.returncode}")
        return [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]


def nearest(places, span):
    """The numbers of the smallest switch around a place, else of the last one in it, else of the last one before it."""
    first, last = span["byte_start"], span["byte_end"]
    around = [(end - start, numbers) for numbers, start, end in places if start <= first and last <= end]
    if around:
        return min(around, key=lambda one: one[0])[1]
    within = [numbers for numbers, start, end in places if first <= start and end <= last]
    before = sorted((end, sorted(numbers)) for numbers, start, end in places if end <= first)
    return (within or [set(numbers) for _, numbers in before] or [set()])[-1]


class Trace:
    """Which test comes to which check, and which one sees it refuse."""

    def __init__(self):
        self.reached = {}
        self.refused = {}
        self.seconds = {}

    def add(self, test, lines):
        """What a test has left in the trace."""
        for line in set(lines):
            kind = self.refused if line.startswith("!") else self.reached
            kind.setdefault(int(line.lstrip("!")), []).append(test)

    def tests(self, number, check):
        """The tests that can go red, those first that have seen the check refuse."""
        number = getattr(check, "site", number)
        refused = self.refused.get(number, []) if check.looks else []
        return refused + [test for test in self.reached.get(number, []) if test not in refused]


class CargoTests:
    """The tests of crates/world, as (program, name)."""

    def __init__(self, tree, jobs, quick):
        self.tree = tree
        self.jobs = jobs
        self.quick = quick
        built = tree.cargo("test", "-q", "--no-run", "-p", PACKAGE, "--message-format=json")
        self.programs = sorted({line["executable"] for line in built if line.get("executable")})
        self.traced = Trace()

    def trace(self, file):
        """Runs each test by itself, with nothing switched."""
        with ThreadPoolExecutor(self.jobs) as pool:
            list(pool.map(lambda test: self._trace(*test, file), self._listed()))

    def _listed(self):
        for program in self.programs:
            listed = subprocess.run([program, "--list", "--format=terse"], check=True, capture_output=True, text=True)
            for line in listed.stdout.splitlines():
                test, _, kind = line.rpartition(": ")
                if kind == "test":
                    yield program, test

    def _trace(self, program, test, file):
        file = file.with_name(f"{file.name}{threading.get_ident()}")
        file.write_text("")
        begun = time.monotonic()
        if not self._is_green(program, [test], {"PLERION_MUTANT_TRACE": str(file)}):
            raise SystemExit(f"{test} of {program} is red as it is")
        self.traced.seconds[program, test] = time.monotonic() - begun
        self.traced.add((program, test), file.read_text().split())

    def red(self, number, check):
        """The program that is red without a check; None if all that come to it are green."""
        for quick in (True,) if self.quick else (True, False):
            programs = {}
            for program, test in self.traced.tests(number, check):
                if (self.traced.seconds[program, test] < QUICK_S) == quick:
                    programs.setdefault(program, []).append(test)
            for program, tests in sorted(programs.items(), key=lambda item: self._seconds(*item)):
                if not self._is_green(program, tests, {"PLERION_MUTANT": str(number)}):
                    return Path(program).name.rsplit("-", 1)[0]
        return None

    def _seconds(self, program, tests):
        return sum(self.traced.seconds[program, test] for test in tests)

    def _is_green(self, program, tests, environment):
        environment = {**os.environ, "PROPTEST_FAILURE_PERSISTENCE": "off", **environment}
        command = ["prlimit", f"--as={CARGO_TEST_BYTES}", program, "--exact", "-q", *tests]
        return is_green(command, self.tree.directory / "crates/world", environment, CARGO_TEST_S)


class SystemTests:
    """The whole-system tests, by node id."""

    def __init__(self, tree, directory):
        self.tree = tree
        self.directory = directory
        tree.cargo("build", "-q", "--bin", "plerion")
        self.traced = Trace()

    def trace(self, file):
        """Runs all of them, with all checks switched on."""
        noted = self.directory / "tests.json"
        environment = {"MUTANTS_TRACE": str(file), "MUTANTS_TESTS": str(noted), "PYTHONPATH": str(HERE)}
        of_server = {"PLERION_MUTANT_TRACE": str(file), "PLERION_MUTANT_SHARED": "1"}
        self._is_green(["-p", "traced"], of_server, environment)
        for test, lines in json.loads(noted.read_text()).items():
            self.traced.add(test, lines)

    def red(self, number, check):
        """The test that is red without a check; None if the first ones that come to it are green."""
        tests = self.traced.tests(number, check)[:SYSTEM_TESTS_MAX]
        if tests and not self._is_green(["-x", *tests], {"PLERION_MUTANT": str(number)}, {}):
            return tests[0].split("::")[0]
        return None

    def _is_green(self, arguments, of_server, of_pytest):
        # Servers of the tests get an environment of their own.
        program = self.directory / f"programs/{threading.get_ident()}/plerion"
        program.parent.mkdir(parents=True, exist_ok=True)
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in of_server.items())
        real = shlex.quote(f"{self.tree.target}/debug/plerion")
        program.write_text(f'#!/bin/bash\n{exports}exec -a "$0" {real} "$@"\n')
        program.chmod(0o755)
        environment = {**os.environ, "PLERION_BINARY": str(program), **of_pytest}
        return is_green([REPOSITORY / "tests/run.sh", "-q", *arguments], REPOSITORY, environment, SYSTEM_TEST_S)


def is_green(command, directory, environment, seconds):
    """Whether a command ends well in time."""
    try:
        ran = subprocess.run(command, cwd=directory, env=environment, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return ran.returncode == 0


def judged(table):
    """The rows of a table: {(file, function, check): (verdict, why)}."""
    lines = [line.split("\t") for line in table.read_text().splitlines() if not line.startswith("#")]
    return {tuple(line[:3]): tuple(line[3:]) for line in lines[1:]}


def scope():
    """The files of crates/world/src, those first whose conditions and values are changed: {file: whether}."""
    sources = {path.name for path in (REPOSITORY / SOURCES).glob("*.rs")}
    rows = [line.split("\t") for line in SCOPE.read_text().splitlines() if not line.startswith("#")]
    listed = {file: where == "in" for file, where, _ in rows[1:]}
    if sources != set(listed):
        raise SystemExit(f"{SCOPE.name} and {SOURCES} differ: {sorted(sources ^ set(listed))}")
    return listed


def asked():
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=KINDS, help="checks deleted, or conditions and values changed; both by default")
    parser.add_argument("--target", type=Path, default=REPOSITORY / "target/mutants/build", help="of cargo")
    parser.add_argument("--no-system", action="store_true", help="without the whole-system tests")
    parser.add_argument("--quick", action="store_true", help=f"without tests of the crate that take longer than {QUICK_S} s")
    parser.add_argument("--all-files", action="store_true", help=f"changes also in files that {SCOPE.name} leaves out")
    parser.add_argument("--known", action="store_true", help="only what the table names")
    parser.add_argument("--jobs", type=int, default=2, help="how many are tried side by side")
    parser.add_argument("files", nargs="*", help="such as acl.rs")
    return parser.parse_args()


def main():
    arguments = asked()
    kinds = [arguments.kind] if arguments.kind else list(KINDS)
    return any([survived(kind, arguments) for kind in kinds])


def survived(kind, arguments):
    """Whether anything of a kind survives that its table does not name."""
    switched, table = KINDS[kind]
    wanted_all = kind == "deleted" or arguments.all_files
    files = arguments.files or [file for file, within in scope().items() if within or wanted_all]
    begun = time.monotonic()

    def say(what):
        print(f"{what} ({time.monotonic() - begun:.0f} s)", flush=True)

    directory = REPOSITORY / "target/mutants"
    tree = Tree(directory / "tree", arguments.target, switched, files)
    tree.copy()
    tree.switch()
    say(f"{kind}: {len(tree.checks)} switches, {len(tree.stale)} of them do not compile")
    for number in sorted(tree.stale):
        print(*tree.checks[number].row(), "does not compile", sep="\t")
    suites = [CargoTests(tree, arguments.jobs, arguments.quick)]
    if not arguments.no_system:
        suites.append(SystemTests(tree, directory))
    say("built")
    for suite in suites:
        suite.trace(directory / "trace")
        say(f"{type(suite).__name__}: traced")
    known = judged(table)
    wanted = {number: check for number, check in tree.checks.items() if number not in tree.stale}
    if arguments.known:
        wanted = {number: check for number, check in wanted.items() if check.row() in known}
    wanted = sorted(wanted.items(), key=lambda item: (files.index(item[1].file), item[0]))
    survivors = []

    def ask(item):
        number, check = item
        by = next(filter(None, (suite.red(number, check) for suite in suites)), None)
        print(*check.row(), by or "SURVIVES", sep="\t", flush=True)
        if by is None:
            survivors.append(check)

    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(ask, wanted))
    new = [check for check in survivors if check.row() not in known]
    say(f"{kind}: {len(wanted)} switched, {len(survivors)} survive, {len(new)} of them not in {table.name}")
    return bool(new)


if __name__ == "__main__":
    sys.setrecursionlimit(10_000)
    sys.exit(main())

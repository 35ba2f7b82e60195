"""Which checks of crates/world can be deleted without a test that goes red? (How to run it: ARCHITECTURE.md, "Tests".)

On a copy of the tree each check gets a switch (checks.py, switches.rs); all is built once. Then, with one check switched
off at a time, those tests are run that come to it: cargo's of crates/world, and if none of them is red, whole-system
tests. Which test comes where is found out before, by a run with all checks switched on.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from checks import SWITCHES, Switched

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
TABLE = HERE / "survivors.tsv"
PACKAGE = "plerion-world"
SOURCES = "crates/world/src"
# A test that does not end is red, too.
CARGO_TEST_S = 120
SYSTEM_TEST_S = 1200
# Of a check that many tests come to, the first ones are asked.
SYSTEM_TESTS_MAX = 6


class Tree:
    """The copy of the tree, with switches."""

    def __init__(self, directory, target):
        self.directory = directory
        self.target = target
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
            switched = Switched(path, path.read_bytes(), len(self.checks), self.stale)
            text, found = switched.text()
            if path.name == "lib.rs":
                text += b"\nmod mutant;\n"
            (self.directory / SOURCES / path.name).write_bytes(text)
            places[f"{SOURCES}/{path.name}"] = found
            for check in switched.checks:
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
    """The number of the smallest switch around a place, else of the last one in it."""
    first, last = span["byte_start"], span["byte_end"]
    around = [(end - start, number) for number, start, end in places if start <= first and last <= end]
    if around:
        return {min(around)[1]}
    within = [number for number, start, end in places if first <= start and end <= last]
    return set(within[-1:])


class Trace:
    """Which test comes to which check, and which one sees it refuse."""

    def __init__(self):
        self.reached = {}
        self.refused = {}

    def add(self, test, lines):
        """What a test has left in the trace."""
        for line in set(lines):
            kind = self.refused if line.startswith("!") else self.reached
            kind.setdefault(int(line.lstrip("!")), []).append(test)

    def tests(self, number, check):
        """The tests that can go red, those first that have seen the check refuse."""
        refused = self.refused.get(number, []) if check.looks else []
        return refused + [test for test in self.reached.get(number, []) if test not in refused]


class CargoTests:
    """The tests of crates/world, as (program, name)."""

    def __init__(self, tree):
        self.tree = tree
        built = tree.cargo("test", "-q", "--no-run", "-p", PACKAGE, "--message-format=json")
        self.programs = sorted({line["executable"] for line in built if line.get("executable")})
        self.traced = Trace()

    def trace(self, file):
        """Runs each test by itself, with all checks switched on."""
        for program in self.programs:
            listed = subprocess.run([program, "--list", "--format=terse"], check=True, capture_output=True, text=True)
            for line in listed.stdout.splitlines():
                test, _, kind = line.rpartition(": ")
                if kind != "test":
                    continue
                file.write_text("")
                if not self._is_green(program, [test], {"PLERION_MUTANT_TRACE": str(file)}):
                    raise SystemExit(f"{test} of {program} is red as it is")
                self.traced.add((program, test), file.read_text().split())

    def red(self, number, check):
        """The program that is red without a check; None if all that come to it are green."""
        programs = {}
        for program, test in self.traced.tests(number, check):
            programs.setdefault(program, []).append(test)
        for program, tests in sorted(programs.items(), key=lambda item: len(item[1])):
            if not self._is_green(program, tests, {"PLERION_MUTANT": str(number)}):
                return Path(program).name.rsplit("-", 1)[0]
        return None

    def _is_green(self, program, tests, environment):
        environment = {**os.environ, "PROPTEST_FAILURE_PERSISTENCE": "off", **environment}
        return is_green([program, "--exact", "-q", *tests], self.tree.directory / "crates/world", environment, CARGO_TEST_S)


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
        self._is_green(["-p", "traced"], {"PLERION_MUTANT_TRACE": str(file)}, environment)
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
        program = self.directory / "plerion"
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


def judged():
    """The rows of the table: {(file, function, check): (verdict, why)}."""
    lines = [line.split("\t") for line in TABLE.read_text().splitlines() if not line.startswith("#")]
    return {tuple(line[:3]): tuple(line[3:]) for line in lines[1:]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", type=Path, default=REPOSITORY / "target/mutants/build", help="of cargo")
    parser.add_argument("--no-system", action="store_true", help="without the whole-system tests")
    parser.add_argument("files", nargs="*", help="such as acl.rs; all by default")
    arguments = parser.parse_args()
    directory = REPOSITORY / "target/mutants"
    tree = Tree(directory / "tree", arguments.target)
    tree.copy()
    tree.switch()
    suites = [CargoTests(tree)]
    if not arguments.no_system:
        suites.append(SystemTests(tree, directory))
    for suite in suites:
        suite.trace(directory / "trace")
    wanted = {
        number: check
        for number, check in tree.checks.items()
        if number not in tree.stale and (not arguments.files or check.file in arguments.files)
    }
    survivors = []
    for number, check in wanted.items():
        by = next(filter(None, (suite.red(number, check) for suite in suites)), None)
        print(*check.row(), by or "SURVIVES", sep="\t", flush=True)
        if by is None:
            survivors.append(check)
    known = judged()
    new = [check for check in survivors if check.row() not in known]
    print(f"{len(wanted)} checks, {len(survivors)} survive, {len(new)} of them not in {TABLE.name}")
    return bool(new)


if __name__ == "__main__":
    sys.exit(main())

"""Runs a program while database servers of its own run; each is told to it as `--database NAME=SETTINGS`.

    with_databases.py PROGRAM ARGUMENTS...     a server that is not installed is left out, and said to be
"""

import subprocess
import sys

from harness.databases import DatabaseServer, program

NAMES = {"postgresql": "PostgreSQL", "mysql": "MariaDB"}


def main(command):
    databases = []
    try:
        for backend, name in NAMES.items():
            missing = [needed for needed in DatabaseServer.PROGRAMS[backend] if program(needed) is None]
            if missing:
                print(f"{name} is left out: not installed: {' '.join(missing)}", file=sys.stderr)
                continue
            databases.append(DatabaseServer(backend))
            command += ["--database", f"{name}={databases[-1].settings('measured')}"]
        return subprocess.run(command, check=False).returncode
    finally:
        for database in databases:
            database.end()


sys.exit(main(sys.argv[1:]))

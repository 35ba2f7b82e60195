"""The command line of the binary, against a server of the tests."""

import os
import subprocess

from harness.server import BINARY

WITHIN_S = 60


def plerion(server, *words, status=0):
    """Runs `plerion onevm …` as the administrator; gives what it printed. Fails unless it ends with the status."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(server.directory),
        "ONE_XMLRPC": server.url,
        "ONE_AUTH": str(server.directory / "one_auth"),
    }
    done = subprocess.run(
        [str(BINARY), *words], env=environment, capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    assert done.returncode == status, f"{words}: {done.returncode}, {done.stdout}{done.stderr}"
    return done.stdout + done.stderr

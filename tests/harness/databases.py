"""Database servers of the tests' own: in a temporary directory, on a socket in it, as a user without rights."""

import glob
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

NOBODY = 65534
READY_WITHIN_S = 40
POLL_S = 0.05


def program(name):
    """Where a program is, also one that is not for everybody; None without it."""
    places = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True) + ["/usr/sbin", "/usr/bin", "/usr/local/bin"]
    return next((found for found in (f"{place}/{name}" for place in places) if os.path.exists(found)), None)


class DatabaseServer:
    """A running server of `postgresql` or `mysql`."""

    PROGRAMS = {"postgresql": ("postgres", "initdb"), "mysql": ("mariadbd", "mariadb-install-db")}

    def __init__(self, backend):
        self.backend = backend
        # Short: a path of a socket is of a hundred bytes at most.
        self.directory = Path(tempfile.mkdtemp(prefix="pl-db-"))
        self.wrap = []
        if os.geteuid() == 0:
            os.chown(self.directory, NOBODY, NOBODY)
            self.wrap = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        data = self.directory / "data"
        # MariaDB removes what is left of temporary tables there when it starts, those of other servers too.
        environment = {**os.environ, "TMPDIR": str(self.directory)}
        daemon, maker = (program(name) for name in self.PROGRAMS[backend])
        if backend == "postgresql":
            make = [maker, "--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D", str(data)]
            run = [daemon, "-D", str(data), "-k", str(self.directory), "-c", "listen_addresses="]
            self.socket, self.user = self.directory, "postgres"
            # Its socket is there before it takes connections.
            ready = [program("pg_isready"), "-q", "-h", str(self.directory)]
        else:
            self.socket, self.user = self.directory / "s", "root"
            make = [maker, "--no-defaults", "--auth-root-authentication-method=normal", f"--datadir={data}"]
            run = [daemon, "--no-defaults", f"--datadir={data}", f"--socket={self.socket}", "--skip-networking"]
            run += ["--innodb-buffer-pool-size=16M", f"--pid-file={self.directory}/pid"]
            ready = ["test", "-S", str(self.socket)]
        subprocess.run(self.wrap + make, check=True, capture_output=True, cwd="/", env=environment)
        self.log = open(self.directory / "server.log", "ab")
        self.process = subprocess.Popen(self.wrap + run, stdout=self.log, stderr=self.log, cwd="/", env=environment)
        deadline = time.monotonic() + READY_WITHIN_S
        while subprocess.run(ready, check=False).returncode != 0:
            assert self.process.poll() is None and time.monotonic() < deadline, f"{backend} does not start"
            time.sleep(POLL_S)

    def settings(self, name, password=""):
        """DB of oned.conf for a database of it."""
        return (
            f'DB=[BACKEND="{self.backend}", SOCKET="{self.socket}", USER="{self.user}", PASSWD="{password}", '
            f'DB_NAME="{name}", CONNECTIONS="3"]'
        )

    def end(self):
        """Ends it; nothing of it stays."""
        self.process.terminate()
        self.process.wait(READY_WITHIN_S)
        self.log.close()
        shutil.rmtree(self.directory)

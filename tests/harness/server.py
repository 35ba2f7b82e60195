"""The real binary, self-contained in a directory: started, asked, stopped, killed."""

import atexit
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("PLERION_BINARY") or REPOSITORY / "target/debug/plerion")

READY_WITHIN_S = 20
STOPPED_WITHIN_S = 20
POLL_S = 0.01
ADDRESS = re.compile(rb"serving on http://([0-9.]+):([0-9]+)/RPC2")
PANIC = re.compile(rb"panicked at|has overflowed its stack|SIGABRT")
ADMIN = "oneadmin:whole-system-test"


class Server:
    """One front-end. `start` may be called again after `stop` or `kill`: the state in the directory stays."""

    def __init__(self, directory, settings="", environment=None):
        self.directory = Path(directory)
        self.environment = environment or {}
        self.process = None
        self.port = None
        self.admin = ADMIN
        self.log_path = self.directory / "serve.log"
        (self.directory / "etc").mkdir(parents=True, exist_ok=True)
        # Port 0: the system picks a free one, so that tests run side by side.
        (self.directory / "etc/oned.conf").write_text(f"PORT=0\n{settings}\n")
        auth = self.directory / "one_auth"
        auth.write_text(f"{self.admin}\n")
        auth.chmod(0o600)

    @property
    def url(self):
        """Where calls go."""
        return f"http://127.0.0.1:{self.port}/RPC2"

    @property
    def pid(self):
        """Process id of the front-end."""
        return self.process.pid

    def start(self):
        """Starts and waits until a connection is taken; the log says the port."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "ONE_LOCATION": str(self.directory),
            "ONE_AUTH": str(self.directory / "one_auth"),
            "RUST_BACKTRACE": "1",
            **self.environment,
        }
        begin = self.log_path.stat().st_size if self.log_path.exists() else 0
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [str(BINARY), "serve"],
                env=environment,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        # A test run that is broken off leaves nothing behind.
        atexit.register(self._end_hard)
        self.port = self._port_announced(begin)
        return self

    def _end_hard(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _port_announced(self, begin):
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            code = self.process.poll()
            assert code is None, f"the server ended with {code} instead of starting:\n{self.log_tail()}"
            found = ADDRESS.search(self.log_path.read_bytes()[begin:])
            if found:
                port = int(found[2])
                with socket.create_connection((found[1].decode(), port), timeout=READY_WITHIN_S):
                    return port
            time.sleep(POLL_S)
        raise AssertionError(f"not ready after {READY_WITHIN_S} s:\n{self.log_tail()}")

    def stop(self):
        """SIGTERM; the exit code must be 0 and the log without a panic."""
        assert self.process.poll() is None, f"the server had ended by itself:\n{self.log_tail()}"
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"not stopped {STOPPED_WITHIN_S} s after SIGTERM:\n{self.log_tail()}") from None
        assert code == 0, f"exit code {code} after SIGTERM:\n{self.log_tail()}"
        self.panic_refuse()

    def kill(self):
        """SIGKILL, as power loss for the process."""
        self.process.kill()
        self.process.wait()
        self.panic_refuse()

    def end(self):
        """For the end of a test: stops what still runs, and looks at the log in any case."""
        if self.process is not None and self.process.poll() is None:
            self.stop()
        self.panic_refuse()

    def panic_refuse(self):
        """Fails when the log holds a panic."""
        found = PANIC.search(self.log_path.read_bytes())
        assert found is None, f"panic in the log:\n{self.log_tail()}"

    def log_tail(self, lines=40):
        """The end of the log, for messages."""
        return b"\n".join(self.log_path.read_bytes().splitlines()[-lines:]).decode(errors="replace")

    def rss_kib(self):
        """Resident memory, in KiB."""
        return self._status_kib("VmRSS")

    def peak_kib(self):
        """The most memory that was resident since the start or `peak_forget`, in KiB."""
        return self._status_kib("VmHWM")

    def peak_forget(self):
        """From now on `peak_kib` counts anew."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _status_kib(self, field):
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)[1])

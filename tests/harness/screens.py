"""Screens without hosts: an `ssh` that leads every tunnel to a listener of the test, and asking for a console."""

import base64
import http.client
import json
import socket
import threading

from harness.rpc import TIMEOUT_S

# What the front-end starts instead of ssh: it notes what it was asked for, and carries bytes as `ssh -W` does.
SSH = """#!/usr/bin/env python3
import os, socket, sys, threading
directory = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(directory, "asked"), "a") as asked:
    asked.write(" ".join(sys.argv[1:]) + "\\n")
wire = socket.socket()
try:
    wire.connect(("127.0.0.1", int(open(os.path.join(directory, "port")).read())))
except OSError as error:
    sys.exit(f"channel 0: open failed: connect failed: {error.strerror}")
def out():
    while data := wire.recv(65536):
        os.write(1, data)
    os._exit(0)
threading.Thread(target=out, daemon=True).start()
while data := os.read(0, 65536):
    wire.sendall(data)
"""


class Screen:
    """A listener in place of QEMU; `connections` are those that came."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir()
        ssh = directory / "ssh"
        ssh.write_text(SSH)
        ssh.chmod(0o755)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(TIMEOUT_S)
        self.point_at(self.listener.getsockname()[1])

    def point_at(self, port):
        """Where tunnels lead from now on."""
        (self.directory / "port").write_text(str(port))

    def accept(self):
        """The connection of the next console."""
        connection, _ = self.listener.accept()
        connection.settimeout(TIMEOUT_S)
        return connection

    def asked(self):
        """The arguments of each ssh so far."""
        path = self.directory / "asked"
        return path.read_text().splitlines() if path.exists() else []

    def echo(self):
        """From now on each console gets back what it says."""

        def serve(connection):
            with connection:
                while data := connection.recv(65536):
                    connection.sendall(data)

        def accept():
            while True:
                try:
                    connection, _ = self.listener.accept()
                except OSError:
                    return
                connection.settimeout(None)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()

    def end(self):
        """Closes the listener."""
        self.listener.close()


def basic(credentials):
    """The header that says who asks."""
    return {"Authorization": "Basic " + base64.b64encode(credentials.encode()).decode()}


def http_ask(server, method, path, body=None, headers=None, context=None):
    """One request; gives (status, text, headers)."""
    if context:
        connection = http.client.HTTPSConnection("localhost", server.port, timeout=TIMEOUT_S, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read().decode(), response.headers
    finally:
        connection.close()


def token_ask(server, credentials, vm, kind="vnc", headers=None, context=None):
    """Asks for a token; gives (status, text)."""
    status, text, _ = http_ask(
        server, "POST", "/console/token", f"vm={vm}&kind={kind}", {**basic(credentials), **(headers or {})}, context
    )
    return status, text


def token_get(server, credentials, vm, kind="vnc", context=None):
    """A token that must be given."""
    status, text = token_ask(server, credentials, vm, kind, context=context)
    assert status == 200, f"{status}: {text}"
    return json.loads(text)["token"]

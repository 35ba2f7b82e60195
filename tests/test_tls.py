"""TLS: certificates of a small authority of the test's own, looked at by the command line and by pyone; what is refused
without it, and what a renewed certificate changes."""

import os
import socket
import ssl
import subprocess
import time

import pyone
import pytest

from harness.cli import plerion
from harness.server import ADMIN, BINARY, Server

WITHIN_S = 20
# The server looks at its files at most this often.
LOOK_S = 6
CONNECTIONS = 40


def openssl(directory, *words):
    subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True, timeout=60)


def authority_make(directory):
    """A certificate authority in `directory`: ca.pem, ca.key."""
    openssl(directory, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", "/CN=authority of a test", "-keyout", "ca.key", "-out", "ca.pem",
            "-addext", "basicConstraints=critical,CA:TRUE")


def certificate_make(directory, name, address="IP:127.0.0.1,DNS:localhost", authority=None):
    """name.pem and name.key for a server at `address`."""
    authority = authority or directory
    openssl(directory, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", f"/CN={name}", "-addext", f"subjectAltName={address}", "-keyout", f"{name}.key",
            "-out", f"{name}.csr")
    openssl(directory, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}/ca.pem", "-CAkey",
            f"{authority}/ca.key", "-CAcreateserial", "-days", "30", "-copy_extensions", "copy", "-out", f"{name}.pem")
    (directory / f"{name}.key").chmod(0o600)


def trusting(authority):
    context = ssl.create_default_context(cafile=authority / "ca.pem")
    context.check_hostname = True
    return context


def served_certificate(server, authority):
    """The name in the certificate that the server shows now."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=WITHIN_S) as tcp:
        with trusting(authority).wrap_socket(tcp, server_hostname="localhost") as encrypted:
            return dict(pair[0] for pair in encrypted.getpeercert()["subject"])["commonName"]


@pytest.fixture(name="encrypted")
def encrypted_fixture(tmp_path):
    """A server with a certificate that only the authority in its etc/ vouches for."""
    server = Server(tmp_path, 'TLS = [ CERTIFICATE = "server.pem", KEY = "server.key" ]')
    etc = tmp_path / "etc"
    authority_make(etc)
    certificate_make(etc, "server")
    server.start()
    yield server
    server.end()


def environment(server, **more):
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(server.directory),
        "ONE_XMLRPC": f"https://localhost:{server.port}/RPC2",
        "ONE_AUTH": str(server.directory / "one_auth"),
        **{name: str(value) for name, value in more.items()},
    }


def command(server, *words, **more):
    return subprocess.run([str(BINARY), *words], env=environment(server, **more), capture_output=True, text=True,
                          timeout=60, check=False)


def trust_directory(server, *authorities):
    directory = server.directory / "trusted"
    directory.mkdir()
    for index, authority in enumerate(authorities):
        (directory / f"{index}.pem").write_text((authority / "ca.pem").read_text())
    return directory


def test_the_command_line_looks_at_the_certificate(encrypted):
    unknown = command(encrypted, "oneuser", "list")
    assert unknown.returncode != 0 and "UnknownIssuer" in unknown.stderr and "ONE_CERT_DIR" in unknown.stderr, unknown
    trusted = trust_directory(encrypted, encrypted.directory / "etc")
    known = command(encrypted, "oneuser", "list", ONE_CERT_DIR=trusted)
    assert known.returncode == 0 and "oneadmin" in known.stdout, known
    # Several calls go over one connection: a pool is read in pages, and each show makes calls of its own.
    several = command(encrypted, "oneuser", "show", "0", ONE_CERT_DIR=trusted)
    assert several.returncode == 0 and "oneadmin" in several.stdout, several
    unverified = command(encrypted, "oneuser", "list", ONE_DISABLE_SSL_VERIFY=1)
    assert unverified.returncode == 0, unverified


def test_a_certificate_for_another_name_is_refused(tmp_path):
    server = Server(tmp_path, 'TLS = [ CERTIFICATE = "server.pem", KEY = "server.key" ]')
    authority_make(tmp_path / "etc")
    certificate_make(tmp_path / "etc", "server", "DNS:elsewhere.example")
    server.start()
    try:
        refused = command(server, "oneuser", "list", ONE_CERT_DIR=trust_directory(server, tmp_path / "etc"))
        assert refused.returncode != 0 and "not valid for name" in refused.stderr, refused
    finally:
        server.end()


def test_pyone_by_tls_and_without(encrypted, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(encrypted.directory / "etc/ca.pem"))
    one = pyone.OneServer(f"https://localhost:{encrypted.port}/RPC2", session=ADMIN)
    assert one.user.info(0).NAME == "oneadmin"
    # An answer of many TLS records.
    one.user.update(0, 'LONG = "' + "x" * 400_000 + '"', 1)
    assert len(one.user.info(0).TEMPLATE["LONG"]) == 400_000
    # Programs of this machine, as hooks, do without.
    assert pyone.OneServer(encrypted.url, session=ADMIN).user.info(0).NAME == "oneadmin"
    assert plerion(encrypted, "oneuser", "list").count("oneadmin") >= 1


def test_a_renewed_certificate_is_shown_without_a_restart(encrypted):
    etc = encrypted.directory / "etc"
    assert served_certificate(encrypted, etc) == "server"
    certificate_make(etc, "fresh")
    old_key = (etc / "server.key").read_text()
    # Half of a renewal: the certificate is there, its key is not.
    (etc / "server.pem").write_text((etc / "fresh.pem").read_text())
    time.sleep(LOOK_S)
    assert served_certificate(encrypted, etc) == "server"
    assert "stays in use" in encrypted.log_tail()
    assert (etc / "server.key").read_text() == old_key
    (etc / "server.key").write_text((etc / "fresh.key").read_text())
    deadline = time.monotonic() + WITHIN_S
    while served_certificate(encrypted, etc) != "fresh":
        assert time.monotonic() < deadline, encrypted.log_tail()
        time.sleep(0.5)
    assert "the certificate was renewed" in encrypted.log_tail()


def test_peers_that_never_finish_hold_up_nobody(encrypted):
    silent = [socket.create_connection(("127.0.0.1", encrypted.port)) for _ in range(CONNECTIONS)]
    half = [socket.create_connection(("127.0.0.1", encrypted.port)) for _ in range(CONNECTIONS)]
    for connection in half:
        connection.sendall(b"\x16\x03\x01\x02")
    broken = socket.create_connection(("127.0.0.1", encrypted.port))
    broken.sendall(b"\x16\x03\x01" + b"\xff" * 300)
    begin = time.monotonic()
    assert served_certificate(encrypted, encrypted.directory / "etc") == "server"
    assert time.monotonic() - begin < 5
    broken.settimeout(WITHIN_S)
    while broken.recv(4096):
        pass
    # They are there while the server stops, which it does in bounded time.
    encrypted.stop()
    for connection in silent + half + [broken]:
        connection.close()


def test_old_versions_are_refused(encrypted):
    context = trusting(encrypted.directory / "etc")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", encrypted.port), timeout=WITHIN_S) as tcp:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(tcp, server_hostname="localhost")


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ('TLS = [ CERTIFICATE = "none.pem", KEY = "server.key" ]', "etc/none.pem: "),
        ('TLS = [ CERTIFICATE = "server.key", KEY = "server.key" ]', "it holds nothing of the kind in PEM"),
        ('TLS = [ CERTIFICATE = "server.pem", KEY = "ca.key" ]', "cannot be used together"),
        ('TLS = [ CERTIFICATE = "server.pem" ]', "KEY names no file"),
    ],
)
def test_what_cannot_be_used_ends_the_start(tmp_path, setting, reason):
    server = Server(tmp_path, setting)
    authority_make(tmp_path / "etc")
    certificate_make(tmp_path / "etc", "server")
    with pytest.raises(AssertionError, match="instead of starting"):
        server.start()
    assert reason in server.log_tail()

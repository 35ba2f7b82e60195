"""Services log in as other users (driver server_cipher), as a web front-end does: with the password that the server wrote for it."""

import base64
import hashlib
import subprocess
import time
import xml.etree.ElementTree as ElementTree

import pyone
import pytest

from harness.rpc import Session
from harness.server import Server

REFUSED = 0x100
FILES = ["oneflow_auth", "oneform_auth", "onegate_auth", "oneks_auth", "sunstone_auth"]


def token(password, service, target, end):
    """As any client makes it, by another implementation of the cipher."""
    key = hashlib.sha256(password.encode()).hexdigest()[:32]
    sealed = subprocess.run(
        ["openssl", "enc", "-aes-256-cbc", "-K", key.encode().hex(), "-iv", "0" * 32],
        input=f"{service}:{target}:{end}".encode(),
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    return base64.b64encode(sealed).decode()


def session(password, target, end=None, service="serveradmin", inside=None):
    end = int(time.time()) + 60 if end is None else end
    return f"{service}:{target}:{token(password, service, inside or target, end)}"


@pytest.fixture(scope="module")
def password(server):
    name, _, password = (server.directory / "var/.one/sunstone_auth").read_text().strip().partition(":")
    assert name == "serveradmin"
    return password


def name_of(server, credentials):
    return ElementTree.fromstring(Session(server, credentials).ok("user.info", -1)).findtext("NAME")


def refused(server, credentials):
    answer = Session(server, credentials).call("user.info", -1)
    return (answer.outcome, answer.code) == ("error", REFUSED)


def test_the_files_are_there_and_for_their_owner_only(server, password):
    place = server.directory / "var/.one"
    assert sorted(path.name for path in place.glob("*_auth")) == FILES
    assert place.stat().st_mode & 0o777 == 0o700
    for path in place.glob("*_auth"):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.read_text() == f"serveradmin:{password}\n"
    assert password not in (server.directory / "var/oned.log").read_text()


def test_a_service_speaks_for_any_user(server, admin, password):
    admin.ok("user.allocate", "wim", "secret", "", [])
    assert name_of(server, session(password, "wim")) == "wim"
    assert name_of(server, session(password, "serveradmin")) == "serveradmin"
    one = pyone.OneServer(server.url, session=session(password, "wim"))
    assert one.user.info(-1).NAME == "wim"
    with pytest.raises(pyone.OneAuthorizationException):
        one.user.allocate("more", "secret", "", [])
    # What it makes is the user's.
    template = one.template.allocate("NAME=made")
    assert one.template.info(template).UNAME == "wim"
    # Users who cannot log in themselves are what such services are for.
    public = admin.ok("user.allocate", "web-users", "", "public", [])
    assert name_of(server, session(password, "web-users")) == "web-users"
    admin.ok("user.enable", public, False)
    assert refused(server, session(password, "web-users"))


def test_what_is_not_the_services_is_refused(server, admin, password):
    admin.ok("user.allocate", "xaver", "secret", "", [])
    good = session(password, "xaver")
    assert name_of(server, good) == "xaver"
    for credentials in (
        session("other", "xaver"),
        session(password, "oneadmin", inside="xaver"),
        session(password, "xaver", service="xaver"),
        session(password, "nobody"),
        good.rsplit(":", 1)[0],
        good[:-6],
        f"serveradmin:{password}",
        "serveradmin:" + hashlib.sha256(password.encode()).hexdigest(),
    ):
        assert refused(server, credentials), credentials
    log = (server.directory / "var/oned.log").read_text()
    assert "a service was refused: the token was made for another service or user" in log
    assert password not in log and good.rsplit(":", 1)[1] not in log


def test_a_token_ends(server, password):
    end = int(time.time()) + 2
    credentials = session(password, "oneadmin", end)
    assert name_of(server, credentials) == "oneadmin"
    while time.time() < end:
        assert time.time() >= end - 1 or name_of(server, credentials) == "oneadmin"
    # The server's seconds are this machine's.
    assert refused(server, credentials)
    assert "the token has ended" in (server.directory / "var/oned.log").read_text()


def test_another_password(server, admin, password):
    admin.ok("user.allocate", "yves", hashlib.sha256(b"shared").hexdigest(), "server_cipher", [])
    assert name_of(server, session("shared", "oneadmin", service="yves")) == "oneadmin"
    ident = int(ElementTree.fromstring(Session(server, session("shared", "yves", service="yves")).ok("user.info", -1)).findtext("ID"))
    admin.ok("user.passwd", ident, hashlib.sha256(b"new").hexdigest())
    assert refused(server, session("shared", "oneadmin", service="yves"))
    assert name_of(server, session("new", "oneadmin", service="yves")) == "oneadmin"


def test_a_password_that_is_there_is_taken_and_survives(tmp_path, database_settings):
    place = tmp_path / "one/var/.one"
    place.mkdir(parents=True)
    (place / "onegate_auth").write_text("serveradmin:brought along\n")
    server = Server(tmp_path / "one", database_settings()).start()
    assert name_of(server, session("brought along", "oneadmin")) == "oneadmin"
    assert (place / "sunstone_auth").read_text() == "serveradmin:brought along\n"
    server.stop()
    (place / "sunstone_auth").unlink()
    server.start()
    assert name_of(server, session("brought along", "oneadmin")) == "oneadmin"
    assert not (place / "sunstone_auth").exists(), "only a first start writes them"
    server.end()


def test_files_that_differ_stop_a_first_start_and_change_nothing(tmp_path, database_settings):
    place = tmp_path / "one/var/.one"
    place.mkdir(parents=True)
    for name, text in (("onegate_auth", "serveradmin:a"), ("sunstone_auth", "serveradmin:b")):
        (place / name).write_text(text)
    server = Server(tmp_path / "one", database_settings())
    with pytest.raises(AssertionError, match="hold different passwords"):
        server.start()
    (place / "sunstone_auth").unlink()
    server.start()
    assert name_of(server, session("a", "oneadmin")) == "oneadmin"
    server.end()

"""Users who log in by an RSA key (driver ssh): made, given tokens and refused over the command line and over the API."""

import base64
import os
import subprocess
import time

import pytest

from harness.rpc import Session
from harness.server import BINARY

REFUSED = 0x100


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Private keys, in the form that ssh-keygen makes by itself."""
    place = tmp_path_factory.mktemp("keys")
    for name in ("first", "second"):
        subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", place / name], check=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", place / "curve"], check=True)
    return place


def run(server, *words):
    environment = {"PATH": os.environ["PATH"], "HOME": str(server.directory), "ONE_XMLRPC": server.url, "ONE_AUTH": str(server.directory / "one_auth")}
    return subprocess.run([BINARY, *map(str, words)], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


def ok(server, *words):
    done = run(server, *words)
    assert done.returncode == 0, done
    return done.stdout


def signed(keys, name, user, end):
    """A token as OpenSSL makes it."""
    pem = keys / f"{name}.pem"
    if not pem.exists():
        pem.write_bytes((keys / name).read_bytes())
        pem.chmod(0o600)
        subprocess.run(["ssh-keygen", "-q", "-p", "-N", "", "-P", "", "-m", "PEM", "-f", pem], check=True)
    made = subprocess.run(["openssl", "pkeyutl", "-sign", "-inkey", pem], input=f"{user}:{end}".encode(), stdout=subprocess.PIPE, check=True)
    return base64.b64encode(made.stdout).decode()


def refused(session):
    answer = session.call("user.info", -1)
    return (answer.outcome, answer.code) == ("error", REFUSED)


def test_a_key_gives_a_token(server, keys):
    assert ok(server, "oneuser", "create", "ada", "--ssh", "--key", keys / "first").startswith("ID: ")
    shown = ok(server, "oneuser", "show", "ada")
    assert ok(server, "oneuser", "key", "--key", keys / "first").strip() in shown and "ssh" in shown
    login = ok(server, "oneuser", "login", "ada", "--ssh", "--key", keys / "first", "--time", "600").splitlines()[-1]
    assert login.startswith("ada:")
    assert "<NAME>ada</NAME>" in Session(server, login).ok("user.info", -1)
    other = run(server, "oneuser", "login", "ada", "--ssh", "--key", keys / "second")
    assert other.returncode != 0 and "couldn't be authenticated" in other.stderr
    assert "the token was not made with the user's key" in (server.directory / "var/oned.log").read_text()


def test_tokens_of_other_clients(server, keys):
    ok(server, "oneuser", "create", "bert", "--ssh", "--key", keys / "second")
    now = int(time.time())
    good = Session(server, f"bert:{signed(keys, 'second', 'bert', now + 60)}")
    assert "<NAME>bert</NAME>" in good.ok("user.info", -1)
    for token in (
        signed(keys, "second", "bert", now),
        signed(keys, "second", "oneadmin", now + 60),
        signed(keys, "first", "bert", now + 60),
        ok(server, "oneuser", "key", "--key", keys / "second").strip(),
    ):
        assert refused(Session(server, f"bert:{token}"))
    # Another key takes effect at once.
    ok(server, "oneuser", "passwd", "bert", "--ssh", "--key", keys / "first")
    assert refused(good)
    assert "<NAME>bert</NAME>" in Session(server, f"bert:{signed(keys, 'first', 'bert', now + 60)}").ok("user.info", -1)


def test_a_password_becomes_a_key(server, keys):
    ok(server, "oneuser", "create", "cleo", "secret")
    plain = Session(server, "cleo:secret")
    assert "<NAME>cleo</NAME>" in plain.ok("user.info", -1)
    ok(server, "oneuser", "chauth", "cleo", "ssh", "--key", keys / "first")
    assert refused(plain)
    assert ok(server, "oneuser", "login", "cleo", "--ssh", "--key", keys / "first").splitlines()[-1].startswith("cleo:")
    ok(server, "oneuser", "chauth", "cleo", "core", "again")
    assert "<NAME>cleo</NAME>" in Session(server, "cleo:again").ok("user.info", -1)


def test_what_is_no_key(server, admin, keys):
    for name, words in (("curve", "RSA key"), ("curve.pub", "PEM"), ("missing", "cannot be read")):
        done = run(server, "oneuser", "key", "--key", keys / name)
        assert done.returncode != 0 and words in done.stderr, done
    assert "oneuser login NAME --ssh" in run(server, "oneuser", "login", "--ssh").stderr
    admin.ok("user.allocate", "dirk", "no key", "ssh", [])
    assert refused(Session(server, "dirk:no key"))
    assert "what is stored for the user is no RSA key" in (server.directory / "var/oned.log").read_text()

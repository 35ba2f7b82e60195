"""Users who log in by certificate (driver x509), with an authority of OpenSSL: made, given tokens and refused over the command
line and over the API."""

import base64
import os
import subprocess
import time

import pytest

from harness import cloud
from harness.rpc import Session
from harness.server import BINARY, Server

REFUSED = 0x100
# The server looks at its authorities at most this often.
LOOK_S = 5
SETTINGS = """
[ca]
default_ca = ours
[ours]
new_certs_dir = .
database = index
unique_subject = no
serial = serial
crlnumber = number
default_md = sha256
default_days = 30
default_crl_days = 30
policy = any
x509_extensions = user
[any]
commonName = supplied
organizationName = optional
[user]
basicConstraints = CA:FALSE
"""


class Authority:
    """One that makes certificates in a directory of its own."""

    def __init__(self, place, name):
        self.place = place / name
        self.place.mkdir()
        for file, text in (("settings", SETTINGS), ("index", ""), ("serial", "01\n"), ("number", "01\n")):
            (self.place / file).write_text(text)
        self.openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", f"/CN={name}",
            "-keyout", "ca.key", "-out", "ca.pem", "-addext", "basicConstraints=critical,CA:TRUE",
        )  # fmt: skip
        self.certificate = self.place / "ca.pem"

    def openssl(self, *words, **more):
        done = subprocess.run(["openssl", *map(str, words)], cwd=self.place, capture_output=True, timeout=60, **more)
        assert done.returncode == 0, done
        return done.stdout

    def ca(self, *words):
        return self.openssl("ca", "-batch", "-notext", "-config", "settings", "-keyfile", "ca.key", "-cert", "ca.pem", *words)

    def issue(self, name, subject, *dates, by=None):
        """name.pem and name.key in its directory; the place of both without the ending."""
        self.openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.csr")
        if by is None:
            self.ca("-preserveDN", "-in", f"{name}.csr", "-out", f"{name}.pem", *dates)
        else:
            self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-CAcreateserial", "-out", f"{name}.pem",
                         "-extfile", "settings", "-extensions", "user")  # fmt: skip
        return self.place / name

    def crl(self, *revoked):
        for name in revoked:
            self.ca("-revoke", f"{name}.pem")
        self.ca("-gencrl", "-out", "crl.pem")
        return (self.place / "crl.pem").read_bytes()


def token(owner, user, end, *chain):
    """A token as any client makes it, by another implementation."""
    key, *certificates = (f"{owner}.key", f"{owner}.pem", *chain)
    signed = subprocess.run(["openssl", "pkeyutl", "-sign", "-inkey", key], input=f"{user}:{end}".encode(), stdout=subprocess.PIPE, check=True)
    parts = [base64.b64encode(signed.stdout).decode(), *(open(file).read() for file in certificates)]
    return base64.b64encode(":".join(parts).encode()).decode()


def session(server, owner, user, end=None, *chain):
    return Session(server, f"{user}:{token(owner, user, end or int(time.time()) + 60, *chain)}")


def refused(session):
    answer = session.call("user.info", -1)
    return (answer.outcome, answer.code) == ("error", REFUSED)


def is_in(session, name):
    return f"<NAME>{name}</NAME>" in session.ok("user.info", -1)


def run(server, *words, **more):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(server.directory),
        "ONE_XMLRPC": server.url,
        "ONE_AUTH": str(server.directory / "one_auth"),
        **{name: str(value) for name, value in more.items()},
    }
    return subprocess.run([BINARY, *map(str, words)], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


def ok(server, *words, **more):
    done = run(server, *words, **more)
    assert done.returncode == 0, done
    return done.stdout


def log(server):
    return (server.directory / "var/oned.log").read_text()


def user_make(server, name, *dns):
    Session(server).ok("user.allocate", name, "|".join(dns), "x509", [])


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authorities"), "root")


@pytest.fixture(scope="module")
def server(tmp_path_factory, database_settings, authority):
    instance = Server(tmp_path_factory.mktemp("one"), database_settings())
    trusted = instance.directory / "etc/auth/certificates"
    trusted.mkdir(parents=True)
    (trusted / "root.pem").write_bytes(authority.certificate.read_bytes())
    instance.start()
    yield instance
    instance.end()


def test_a_certificate_gives_a_token(server, authority):
    ann = authority.issue("ann", "/O=Works/CN=Ann Lee")
    files = ("--cert", f"{ann}.pem", "--key", f"{ann}.key")
    assert ok(server, "oneuser", "create", "ann", "--x509", *files[:2]).startswith("ID: ")
    shown = ok(server, "oneuser", "show", "ann")
    assert "/O=Works/CN=Ann\\20Lee\n" in shown and "x509" in shown
    login = ok(server, "oneuser", "login", "ann", "--x509", *files, "--time", "600").splitlines()[-1]
    assert is_in(Session(server, login), "ann")
    assert ok(server, "oneuser", "login", "ann", "--x509", X509_USER_CERT=f"{ann}.pem", X509_USER_KEY=f"{ann}.key").splitlines()[-1].startswith("ann:")
    # A DN may be given as one reads it.
    ok(server, "oneuser", "create", "anna", "/O=Works/CN=Ann Lee", "--driver", "x509")
    assert is_in(session(server, ann, "anna"), "anna")


def test_a_password_becomes_a_certificate(server, authority):
    bea = authority.issue("bea", "/CN=bea")
    ok(server, "oneuser", "create", "bea", "secret")
    assert is_in(Session(server, "bea:secret"), "bea")
    assert refused(session(server, bea, "bea"))
    ok(server, "oneuser", "chauth", "bea", "--x509", "--cert", f"{bea}.pem")
    assert refused(Session(server, "bea:secret"))
    good = session(server, bea, "bea")
    assert is_in(good, "bea")
    # Another certificate takes effect at once.
    other = authority.issue("bea-other", "/CN=bea-other")
    ok(server, "oneuser", "passwd", "bea", "--x509", "-c", f"{other}.pem")
    assert refused(good)
    assert is_in(session(server, other, "bea"), "bea")


def test_users_have_several_certificates(server, authority):
    first, second = authority.issue("cid1", "/CN=cid1"), authority.issue("cid2", "/CN=cid2")
    user_make(server, "cid", "/CN=cid1", "/CN=cid2")
    assert is_in(session(server, first, "cid"), "cid") and is_in(session(server, second, "cid"), "cid")


def test_who_is_refused(server, authority, tmp_path):
    dan = authority.issue("dan", "/O=Works/CN=dan")
    user_make(server, "dan", "/O=Works/CN=dan")
    assert is_in(session(server, dan, "dan"), "dan")
    now = int(time.time())
    # The token: another's key, another user, late, cut, the DN itself.
    eve = authority.issue("eve", "/CN=eve")
    (eve.parent / "both.key").write_bytes((eve.parent / "eve.key").read_bytes())
    (eve.parent / "both.pem").write_bytes((eve.parent / "dan.pem").read_bytes())
    assert refused(session(server, eve.parent / "both", "dan"))
    assert "the token was not made with the user's key" in log(server)
    assert refused(Session(server, f"dan:{token(dan, 'oneadmin', now + 60)}"))
    assert refused(session(server, dan, "dan", now))
    assert refused(Session(server, f"dan:{token(dan, 'dan', now + 60)[:-900]}"))
    assert refused(Session(server, "dan:/O=Works/CN=dan"))
    # The subject: another's, longer, shorter, or one's own behind another's.
    assert refused(session(server, eve, "dan"))
    assert "the certificate is of /CN=eve, which is not what is stored for the user" in log(server)
    for index, subject in enumerate(("/O=Works/CN=dan2", "/O=Works/CN=da", "/O=Works/CN=Dan", "/CN=dan", "/CN=\\/O=Works\\/CN=dan")):
        assert refused(session(server, authority.issue(f"almost{index}", subject), "dan")), subject
    assert refused(session(server, eve, "dan", None, f"{dan}.pem"))
    # Who vouches: nobody trusted, also of the same name; a user (a proxy certificate, or for another).
    for name in ("other", "root"):
        stranger = Authority(tmp_path, name)
        fake = stranger.issue("dan", "/O=Works/CN=dan")
        assert refused(session(server, fake, "dan"))
        assert refused(session(server, fake, "dan", None, stranger.certificate))
    for name, subject, by in (("proxy", "/O=Works/CN=dan/CN=proxy", "dan"), ("forged", "/O=Works/CN=dan", "eve")):
        made = authority.issue(name, subject, by=by)
        Session(server).ok("user.allocate", name, subject, "x509", [])
        assert refused(session(server, made, name, None, f"{authority.place / by}.pem"))
    assert "proxies are not taken" in log(server)
    assert is_in(session(server, dan, "dan"), "dan")


def test_the_days_of_a_certificate(server, authority):
    for name, dates in (("past", ("-startdate", "20200101000000Z", "-enddate", "20210101000000Z")), ("future", ("-startdate", "20450101000000Z", "-enddate", "20460101000000Z"))):
        made = authority.issue(name, f"/CN={name}", *dates)
        user_make(server, name, f"/CN={name}")
        assert refused(session(server, made, name))
    assert "has ended" in log(server) and "is not good yet" in log(server)


def test_disabled_users_are_out(server, admin, authority):
    flo = authority.issue("flo", "/CN=flo")
    ident = admin.ok("user.allocate", "flo", "/CN=flo", "x509", [])
    good = session(server, flo, "flo")
    assert is_in(good, "flo")
    admin.ok("user.enable", ident, False)
    assert refused(good)


def test_an_empty_subject_is_nobodys(server, authority):
    # What is stored for a user without a password is empty, too.
    authority.openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/", "-keyout", "empty.key", "-out", "empty.csr")
    authority.openssl("x509", "-req", "-in", "empty.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "empty.pem",
                      "-extfile", "settings", "-extensions", "user")  # fmt: skip
    user_make(server, "gus", "|")
    assert refused(session(server, authority.place / "empty", "gus"))
    assert "the certificate has no subject" in log(server)


def test_what_is_no_certificate(server, authority, tmp_path):
    hal, ida = authority.issue("hal", "/CN=hal"), authority.issue("ida", "/CN=ida")
    for words, expected in (
        (("create", "hal", "--x509"), "X509_USER_CERT"),
        (("create", "hal", "--x509", "--cert", f"{hal}.key"), "0 certificates"),
        (("create", "hal", "--x509", "--cert", authority.certificate), "no RSA key"),
        (("create", "hal", "--x509", "--cert", tmp_path / "missing"), "cannot be read"),
        (("login", "--x509"), "oneuser login NAME"),
        (("login", "hal", "--x509", "--cert", f"{hal}.pem"), "X509_USER_KEY"),
        (("login", "hal", "--x509", "--cert", f"{hal}.pem", "--key", f"{ida}.key"), "not that of the certificate"),
    ):
        done = run(server, "oneuser", *words)
        assert done.returncode != 0 and expected in done.stderr, done


@pytest.fixture
def strict(tmp_path, database_settings, authority):
    """A server that lets nobody in without a list of the authority, and its directory of authorities."""
    server = Server(tmp_path / "one", database_settings())
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    (trusted / "root.0").write_bytes(authority.certificate.read_bytes())
    (server.directory / "etc/auth").mkdir()
    (server.directory / "etc/auth/x509_auth.conf").write_text(f'# Authorities\n:ca_dir: "{trusted}"\n:check_crl: true\n')
    server.start()
    yield server, trusted
    server.end()


def test_who_was_revoked_is_out(strict, authority):
    server, trusted = strict
    jan, kim = authority.issue("jan", "/CN=jan"), authority.issue("kim", "/CN=kim")
    for name in ("jan", "kim"):
        user_make(server, name, f"/CN={name}")
    good, bad = session(server, jan, "jan"), session(server, kim, "kim")

    def looked(session, expected):
        cloud.eventually(lambda: refused(session), lambda now: now is expected, f"refused: {expected}", within=2 * LOOK_S)

    assert refused(good)
    assert "ca_dir holds no CRL" in log(server)
    (trusted / "root.r0").write_bytes(authority.crl())
    looked(good, False)
    assert is_in(bad, "kim")
    (trusted / "root.r0").write_bytes(authority.crl("kim"))
    looked(bad, True)
    assert "was revoked" in log(server)
    assert is_in(good, "jan")
    # A list that cannot be read does not count for none.
    (trusted / "root.r0").write_bytes(b"")
    looked(good, True)
    assert "root.r0: there is neither a certificate nor a CRL in it" in log(server)


def service_session(server, owner, service, target, end=None, inside=None):
    """A session of a service whose tokens OpenSSL signs."""
    text = f"{service}:{inside or target}:{int(time.time()) + 60 if end is None else end}"
    signed = subprocess.run(["openssl", "pkeyutl", "-sign", "-inkey", f"{owner}.key"], input=text.encode(), stdout=subprocess.PIPE, check=True)
    return Session(server, f"{service}:{target}:{base64.b64encode(base64.b64encode(signed.stdout)).decode()}")


@pytest.fixture
def portal(server, authority):
    """A certificate of a service that the server is told of; the place of it and its key, without the ending."""
    owner = authority.issue("portal", "/O=Works/CN=the portal")
    (server.directory / "etc/auth/server_x509_auth.conf").write_text(f':srv_user: portal\n:one_cert: "{owner}.pem"\n:one_key: "{owner}.key"\n')
    return owner


def test_a_service_speaks_for_users_by_certificate(server, admin, authority, portal):
    wim = admin.ok("user.allocate", "wim", "secret", "", [])
    assert refused(service_session(server, portal, "portal", "wim"))
    ok(server, "oneuser", "create", "portal", "--driver", "server_x509", "--cert", f"{portal}.pem")
    good = service_session(server, portal, "portal", "wim")
    assert is_in(good, "wim")
    assert is_in(service_session(server, portal, "portal", "portal"), "portal")
    stranger = authority.issue("stranger", "/O=Works/CN=the portal2")
    for bad in (
        service_session(server, stranger, "portal", "wim"),
        service_session(server, portal, "portal", "oneadmin", inside="wim"),
        service_session(server, portal, "portal", "wim", int(time.time())),
        service_session(server, portal, "portal", "nobody-there"),
        # Not the service of the settings, although its driver is the same and its certificate, too.
        service_session(server, portal, "other", "wim"),
        # A user's own token, and the service's name without one.
        session(server, portal, "portal"),
        Session(server, "portal:wim:"),
    ):
        assert refused(bad)
    text = log(server)
    for words in ("made with the password or key of the service", "made for another service or user", "the token has ended"):
        assert words in text, words
    admin.ok("user.allocate", "other", "/O=Works/CN=the\\20portal", "server_x509", [])
    assert refused(service_session(server, portal, "other", "wim"))
    assert "does not name it" in log(server)
    admin.ok("user.enable", wim, False)
    assert refused(good)
    admin.ok("user.enable", wim, True)
    assert is_in(good, "wim")
    # Another certificate than the one that is stored, and one that has ended.
    past = authority.issue("portal-past", "/O=Works/CN=the portal", "-startdate", "20200101000000Z", "-enddate", "20210101000000Z")
    settings = server.directory / "etc/auth/server_x509_auth.conf"
    for owner, words in ((stranger, "is not what is stored for it"), (past, "has ended, or is not good yet")):
        settings.write_text(f":srv_user: portal\n:one_cert: {owner}.pem\n")
        assert refused(service_session(server, owner, "portal", "wim"))
        assert refused(good)
        assert words in log(server)
    settings.unlink()
    assert refused(good)

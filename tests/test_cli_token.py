"""Login tokens over the command line: asked for with a password, kept in the file of credentials, chosen, ended; and groups whose
members may create things from the start."""

import hashlib
import os
import re
import stat
import subprocess

import pytest

from harness.cli import plerion
from harness.rpc import Session
from harness.server import BINARY

REFUSED = 0x100
FOR_EVER = -1
STATUS_FAILED = 255
STATUS_NO_TOKEN = 1


class Desk:
    """A user's place: a home of its own, whose file of credentials is what ONE_AUTH names, if it does."""

    def __init__(self, server, home, auth=None):
        self.server = server
        self.home = home
        self.auth = auth

    @property
    def file(self):
        return self.auth or self.home / ".one/one_auth"

    def run(self, *words, typed="", status=0):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "ONE_XMLRPC": self.server.url}
        if self.auth:
            environment["ONE_AUTH"] = str(self.auth)
        done = subprocess.run(
            [BINARY, "oneuser", *map(str, words)], env=environment, input=typed, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == status, done
        return done

    def ok(self, *words, typed=""):
        return self.run(*words, typed=typed).stdout


@pytest.fixture
def user(admin, request):
    """A user with the password `secret`, named after the test."""
    name = re.sub(r"\W", "", request.node.name)[:40]
    return name, admin.ok("user.allocate", name, "secret", "core", [])


@pytest.fixture
def desk(server, tmp_path):
    return Desk(server, tmp_path)


def is_in(server, credentials):
    answer = Session(server, credentials).call("user.info", -1)
    assert answer.outcome == "ok" or answer.code == REFUSED, answer
    return answer.outcome == "ok"


def digest(token):
    return hashlib.sha256(token.encode()).hexdigest()


def tokens(server, user):
    """Tokens of a user, as they are shown, and the groups they are for."""
    body = Session(server).ok("user.info", user)
    return dict(re.findall(r"<TOKEN>(.*?)</TOKEN><EXPIRATION_TIME>.*?</EXPIRATION_TIME><EGID>(.*?)</EGID>", body))


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_token_is_kept_where_commands_look(server, user, desk):
    name, number = user
    shown = desk.ok("login", name, "--stdin_password", typed="secret\n")
    assert shown.splitlines()[0] == "Authentication Token is:"
    credentials = shown.splitlines()[1]
    assert desk.file.read_text() == credentials and is_in(server, credentials)
    assert (mode(desk.file), mode(desk.file.parent)) == (0o600, 0o700)
    # A copy of each stays, to be chosen later.
    copy = [entry for entry in desk.file.parent.iterdir() if entry != desk.file]
    assert [(entry.suffix, entry.read_text(), mode(entry)) for entry in copy] == [(".token", credentials, 0o600)]
    # The next command needs nothing more.
    assert f"NAME            : {name}" in desk.ok("show")
    assert list(tokens(server, number)) == [digest(credentials.partition(":")[2])]


def test_a_file_is_replaced_when_asked_to(server, user, tmp_path):
    name, _ = user
    kept = tmp_path / "kept"
    kept.write_text("someone:else")
    kept.chmod(0o644)
    link = tmp_path / "auth"
    link.symlink_to(kept)
    desk = Desk(server, tmp_path / "home", link)
    for typed in ("secret\nN\n", "secret\n"):
        done = desk.run("token-create", name, typed=typed)
        assert f"File {link} exists, use --force to overwrite.\nAuthentication Token is:\n{name}:" in done.stdout
        assert "Do you want to overwrite" in done.stderr and kept.read_text() == "someone:else"
    assert "neither Y nor N" in desk.run("token-create", name, typed="secret\nperhaps\n", status=STATUS_FAILED).stderr
    shown = desk.ok("token-create", name, typed="secret\nY\n")
    assert kept.read_text() == shown.splitlines()[-1] and mode(kept) == 0o600 and link.is_symlink()
    # With what the file has now, another token for the same user.
    shown = desk.ok("token-create", "--force", "--time", 60)
    assert kept.read_text() == shown.splitlines()[-1].strip() and is_in(server, kept.read_text())


def test_a_wrong_password_writes_nothing(server, user, desk):
    name, number = user
    assert "couldn't be authenticated" in desk.run("login", name, "--stdin_password", typed="wrong", status=STATUS_FAILED).stderr
    assert "oneuser login NAME" in desk.run("login", "--stdin_password", typed="secret", status=STATUS_FAILED).stderr
    assert not desk.file.exists() and not tokens(server, number)


def test_a_token_is_chosen_and_ended(server, admin, user, desk):
    name, number = user
    group = admin.ok("group.allocate", f"{name}-group")
    admin.ok("user.addgroup", number, group)
    desk.ok("login", name, "--stdin_password", typed="secret")
    own = desk.file.read_text().partition(":")[2]
    desk.ok("token-create", name, "--group", f"{name}-group", "--stdin_password", "--force", typed="secret")
    narrow = desk.file.read_text().partition(":")[2]
    assert tokens(server, number) == {digest(own): "-1", digest(narrow): str(group)}
    elsewhere = Session(server, f"{name}:secret").ok("user.login", name, "", FOR_EVER, -1)

    def chosen(*words):
        """The token that a shell uses after `eval $(oneuser token-set …)`, and its file."""
        found = re.fullmatch(r"export ONE_AUTH=(\S+); export ONE_EGID=(\S+)\n", desk.ok("token-set", *words))
        path = desk.home / found[1]
        assert mode(path) == 0o600
        return path, path.read_text(), found[2]

    for words, expected in (
        (("--token", own[:16]), (f"{name}:{own}", "-1")),
        (("--token", digest(own)[:16]), (f"{name}:{own}", "-1")),
        (("--global",), (f"{name}:{own}", "-1")),
        (("--group", group), (f"{name}:{narrow}", str(group))),
    ):
        path, credentials, effective = chosen(*words)
        assert (credentials, effective) == expected and is_in(server, credentials)
    for words, told in (
        ((), "--token BEGINNING"),
        (("--token", "nothing"), "no token that begins"),
        (("--token", digest(elsewhere)), "no token that begins"),
        (("--token", ""), "several tokens"),
        (("--group", 0), "no such token"),
        ((number, "--global"), "is no name"),
    ):
        assert told in desk.run("token-set", *words, status=STATUS_NO_TOKEN).stderr
    # A file of a token goes with it.
    assert desk.ok("token-delete", name, narrow[:16], "--stdin_password", typed="secret") == f"Token removed.\nRemoving {path}\n"
    assert not path.exists() and set(tokens(server, number)) == {digest(own), digest(elsewhere)}
    # One that was made elsewhere is ended by what is shown of it.
    assert desk.ok("token-delete", name, digest(elsewhere)[:16], typed="secret") == "Token removed.\n"
    assert list(tokens(server, number)) == [digest(own)]
    assert "no token that begins" in desk.run("token-delete", name, narrow, typed="secret", status=STATUS_NO_TOKEN).stderr
    assert desk.file.read_text() == f"{name}:{narrow}" and not is_in(server, f"{name}:{narrow}")
    # Whoever manages the user ends all of them.
    assert plerion(server, "oneuser", "token-delete-all", name, "-v") == f"USER {name}: Tokens expired\n"
    assert not tokens(server, number)


def test_users_are_found_by_what_is_stored(server, admin):
    admin.ok("user.allocate", "dana", "/C=ES/O=Works, Ltd/CN=dana", "x509", [])
    admin.ok("user.allocate", "dina", "/C=ES/O=Works, Ltd/CN=dina", "x509", [])
    shown = plerion(server, "oneuser", "passwdsearch", "x509", "/C=ES/O=Works, Ltd/CN=dina", "--csv")
    assert re.fullmatch(r'ID,NAME,AUTH,PASSWORD\n\d+,dina,x509,"?/C=ES/O=Works, Ltd/CN=dina"?\n', shown), shown
    assert plerion(server, "oneuser", "passwdsearch", "core", "none", "--csv") == "ID,NAME,AUTH,PASSWORD\n"
    assert "<NAME>dana</NAME>" in plerion(server, "oneuser", "passwdsearch", "x509", "none", "-x")
    assert plerion(server, "oneuser", "encode", "CN=ann lee", "a%b") == "CN=ann%20lee:a%25b\n"


def test_members_of_a_new_group_may_create(server, admin):
    """VMs and what belongs to them, unless the caller says otherwise; the server alone gives them nothing."""
    groups = {}
    for name, words in (("makers", ()), ("readers", ("--resources", "TEMPLATE")), ("nobodies", ("--resources", ""))):
        shown = plerion(server, "onegroup", "create", name, *words, "--admin_user", f"{name}-admin", "--admin_password", "pw")
        groups[name] = int(re.fullmatch(r"ID: (\d+)\n", shown)[1])
        admin.ok("user.allocate", name, "pw", "core", [groups[name]])
    for name, may in (("makers", (True, True)), ("readers", (True, False)), ("nobodies", (False, False))):
        session = Session(server, f"{name}:pw")
        template = session.call("template.allocate", f'NAME="{name}"\nCPU=1\nMEMORY=64')
        vm = session.call("vm.allocate", "CPU=1\nMEMORY=64", True)
        assert (template.outcome == "ok", vm.outcome == "ok") == may, (name, template, vm)
    body = admin.ok("group.info", groups["makers"])
    assert "<VIEWS><![CDATA[cloud]]></VIEWS>" in body and re.search(r"<ADMINS><ID>\d+</ID></ADMINS>", body)
    # What cannot be finished leaves nothing behind.
    assert "Resource 'FOO' does not exist" in plerion(server, "onegroup", "create", "odd", "--resources", "FOO", status=STATUS_FAILED)
    assert "odd" not in admin.ok("grouppool.info")

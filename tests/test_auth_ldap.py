"""Users of a directory: the built-in driver `ldap` against a real slapd."""

import re
import socket
import threading
import xml.etree.ElementTree as ElementTree

import pytest

from harness.databases import program
from harness.directory import BASE, READER, READER_PASSWORD, DirectoryServer, free_port, group, person
from harness.rpc import Session
from harness.server import Server
from test_tls import authority_make, certificate_make

REFUSED = 0x100
# A yes is not remembered: each call is a login.
SETTINGS = """
AUTH_MAD = [ EXECUTABLE = "one_auth_mad", AUTHN = "default,ldap,server_cipher" ]
DEFAULT_AUTH = "default"
SESSION_EXPIRATION_TIME = 0
"""


@pytest.fixture(scope="module", name="directory")
def directory_fixture():
    if program("slapd") is None:
        pytest.skip("slapd is not installed: nothing is tested of directories")
    instance = DirectoryServer()
    yield instance
    instance.end()


@pytest.fixture(scope="module")
def server(tmp_path_factory, database_settings):
    place = tmp_path_factory.mktemp("one")
    instance = Server(place, database_settings() + SETTINGS)
    (place / "var/remotes/auth").mkdir(parents=True)
    # As the documents say; where it leads there is nothing here.
    (place / "var/remotes/auth/default").symlink_to("/var/lib/one/remotes/auth/ldap")
    (place / "etc/auth").mkdir()
    instance.start()
    yield instance
    instance.end()


def described(name, **keys):
    """A server in ldap_auth.conf; keys without their colon."""
    keys = {"host": "127.0.0.1", "base": f"'{BASE}'", "user_field": "uid", "timeout": 10, **keys}
    return f"{name}:\n" + "".join(f"    :{key}: {value}\n" for key, value in keys.items())


def use(server, *servers, order=None):
    names = [text.split(":")[0] for text in servers]
    order = order or ":order:\n" + "".join(f"    - {name}\n" for name in names)
    (server.directory / "etc/auth/ldap_auth.conf").write_text("".join(servers) + order)


@pytest.fixture(autouse=True)
def one_server(server, directory):
    """The usual description: who searches logs in, groups are named by users."""
    use(server, described("one", port=directory.port, user=f"'{READER}'", password=READER_PASSWORD))


def answer_of(server, credentials):
    return Session(server, credentials).call("user.info", -1)


def refused(server, credentials):
    answer = answer_of(server, credentials)
    return (answer.outcome, answer.code) == ("error", REFUSED)


def user_of(server, credentials):
    return ElementTree.fromstring(Session(server, credentials).ok("user.info", -1))


def groups_of(user):
    return [int(ident.text) for ident in user.find("GROUPS")]


def admins_of(admin, ident):
    return [int(uid.text) for uid in ElementTree.fromstring(admin.ok("group.info", ident)).find("ADMINS")]


def log_of(server):
    return (server.directory / "var/oned.log").read_text()


def users(admin):
    return {name.text for name in ElementTree.fromstring(admin.ok("userpool.info")).iter("NAME")}


def test_a_first_login_makes_the_user(server, directory):
    directory.person_add("ann", "s<e>cr&et")
    user = user_of(server, "ann:s<e>cr&et")
    assert (user.findtext("NAME"), user.findtext("AUTH_DRIVER")) == ("ann", "ldap")
    assert (user.findtext("PASSWORD"), groups_of(user)) == (person("ann"), [1])
    assert user_of(server, "ann:s<e>cr&et").findtext("ID") == user.findtext("ID")


def test_a_wrong_password_is_refused_and_in_no_log(server, directory, admin):
    directory.person_add("bea", "right-one")
    assert refused(server, "bea:wr0ng-one")
    assert "bea" not in users(admin), "made without a login"
    user_of(server, "bea:right-one")
    assert refused(server, "bea:wr0ng-one")
    log = log_of(server)
    assert 'user="bea"' in log and "one: wrong password" in log
    assert "wr0ng-one" not in log and "right-one" not in log and READER_PASSWORD not in log


def test_an_empty_password_is_no_login(server, directory, admin):
    # This slapd takes it, as nobody's, so that it must not be asked.
    assert directory.lets_in(directory.person_add("cyd", "secret"), "")
    for credentials in ("cyd:", "cyd:%00"):
        assert refused(server, credentials), credentials
    assert "cyd" not in users(admin)
    user_of(server, "cyd:secret")
    between = directory.log()
    for credentials in ("cyd:", "cyd:%00"):
        assert refused(server, credentials), credentials
    assert directory.log() == between


def test_names_are_no_filters(server, directory, admin):
    directory.person_add("dan", "secret")
    directory.person_add("star*dan", "secret")
    before = users(admin)
    for name in ("*", "da*", "dan)(uid=*", "*)(uid=dan", "dan\\2a", "da\\6e", "(dan)", "dan)(|(uid=*)", ")(uid=*"):
        assert refused(server, f"{name}:secret"), name
    assert users(admin) == before
    assert user_of(server, "star*dan:secret").findtext("PASSWORD") == person("star*dan")


def test_the_spelling_of_the_directory_is_the_user_s_name(server, directory, admin):
    directory.person_add("eva", "secret")
    for name in ("EVA", "eva ", " eva", "eva%20"):
        assert refused(server, f"{name}:secret"), name
    assert 'the directory writes the name "eva"' in log_of(server)
    user_of(server, "eva:secret")
    # Somebody was made by another version, or by hand.
    admin.ok("user.allocate", "Eva", "", "ldap", [])
    assert user_of(server, "Eva:secret").findtext("NAME") == "Eva"
    assert {name for name in users(admin) if name.lower().strip() == "eva"} == {"eva", "Eva"}


def test_a_name_that_two_have_is_nobody_s(server, directory):
    directory.person_add("twin", "secret")
    directory.person_add("twin", "secret", under=BASE)
    assert refused(server, "twin:secret")
    assert "more than one entry has the uid" in log_of(server)


def test_a_login_by_the_name_of_the_entry(server, directory, admin):
    directory.person_add("first last", "pass word")
    name = person("first last").replace(" ", "%20")
    assert user_of(server, f"{name}:pass%20word").findtext("PASSWORD") == person("first last")
    # Not who is elsewhere, nor the same one by another spelling.
    use(server, described("one", port=directory.port, base=f"'ou=people,{BASE}'"))
    assert refused(server, f"{READER}:{READER_PASSWORD}")
    assert refused(server, f"{person('first last').upper()}:pass word")
    assert READER not in users(admin)


def test_who_is_not_in_the_group_is_refused(server, directory, admin):
    directory.person_add("fay", "secret")
    directory.person_add("gil", "secret")
    directory.group_add("cloud", person("fay"))
    use(server, described("one", port=directory.port, group=f"'{group('cloud')}'"))
    assert user_of(server, "fay:secret").findtext("NAME") == "fay"
    assert refused(server, "gil:secret") and "gil" not in users(admin)
    assert f"the user is not in the group {group('cloud')}" in log_of(server)
    directory.member("cloud", "add", person("gil"))
    user_of(server, "gil:secret")
    # By a rule, as Active Directory has one for groups in groups; this one is the usual comparison of names.
    use(server, described("one", port=directory.port, group=f"'{group('cloud')}'", group_field="'member:2.5.13.1'"))
    user_of(server, "gil:secret")
    directory.member("cloud", "delete", person("gil"))
    assert refused(server, "gil:secret"), "who has left is in"


def group_make(admin, name, attribute, dn):
    ident = admin.ok("group.allocate", name)
    admin.ok("group.update", ident, f'{attribute}="{dn}"', 1)
    return ident


def test_groups_are_mapped_and_follow(server, directory, admin):
    directory.person_add("hal", "secret")
    directory.group_add("staff", person("hal"), READER)
    directory.group_add("ops", READER)
    directory.group_add("unmapped", person("hal"))
    # Case and blanks mean nothing.
    staff = group_make(admin, "staff", "GROUP_DN", f"CN=Staff, OU=groups,{BASE}")
    ops = group_make(admin, "ops", "GROUP_DN", group("ops"))
    user = user_of(server, "hal:secret")
    assert (groups_of(user), int(user.findtext("GID"))) == ([staff], staff)
    directory.member("ops", "add", person("hal"))
    assert groups_of(user_of(server, "hal:secret")) == sorted([staff, ops])
    directory.member("staff", "delete", person("hal"))
    assert groups_of(user_of(server, "hal:secret")) == [ops]
    directory.member("ops", "delete", person("hal"))
    assert groups_of(user_of(server, "hal:secret")) == [1], "not the default group"


def test_who_is_in_the_group_of_administrators_administers(server, directory, admin):
    directory.person_add("ida", "secret")
    directory.group_add("chemists", person("ida"))
    directory.group_add("bosses", person("ida"))
    chemists = group_make(admin, "chemists", "LAB_DN", group("chemists"))
    keys = {"port": directory.port, "mapping_key": "LAB_DN", "group_admin_group_dn": f"'{group('bosses').upper()}'"}
    use(server, described("one", **keys))
    user = user_of(server, "ida:secret")
    assert groups_of(user) == [chemists] and admins_of(admin, chemists) == [int(user.findtext("ID"))]
    directory.change(f"dn: {group('bosses')}\nchangetype: delete\n")
    user_of(server, "ida:secret")
    assert admins_of(admin, chemists) == []


def test_without_a_mapped_group_and_a_default_nobody_is_let_in(server, directory, admin):
    directory.person_add("jon", "secret")
    use(server, described("one", port=directory.port, mapping_default="false"))
    assert refused(server, "jon:secret") and "jon" not in users(admin)
    assert ":mapping_default is false" in log_of(server)


def test_groups_by_a_file_and_searched_by_the_user_s_name(server, directory, admin):
    directory.person_add("kit", "secret")
    directory.change(f"dn: cn=posix,ou=groups,{BASE}\nobjectClass: posixGroup\ncn: posix\ngidNumber: 7\nmemberUid: kit\n")
    ident = admin.ok("group.allocate", "posix")
    keys = {"rfc2307bis": "false", "group_field": "memberUid", "user_group_field": "uid", "mapping_generate": "false"}
    use(server, described("one", port=directory.port, mapping_file="mine.yaml", **keys))
    mapping = server.directory / "var/mine.yaml"
    mapping.write_text(f"cn=posix,ou=groups,{BASE}: '{ident}'\n")
    assert groups_of(user_of(server, "kit:secret")) == [ident]
    mapping.write_text(f"cn=posix,ou=groups,{BASE}: posix\n")
    assert refused(server, "kit:secret")
    assert "mine.yaml: maps" in log_of(server)


def test_servers_are_asked_in_order(server, directory):
    second = DirectoryServer()
    directory.person_add("leo", "of-the-first")
    second.person_add("leo", "of-the-second")
    second.person_add("mia", "of-the-second")
    use(server, described("one", port=directory.port), described("two", port=second.port))
    for credentials in ("leo:of-the-first", "leo:of-the-second", "mia:of-the-second"):
        user_of(server, credentials)
    assert refused(server, "mia:of-the-first")
    # Of servers in one list the first that answers is heard.
    use(server, described("one", port=directory.port), described("two", port=second.port), order=":order:\n    - [two, one]\n")
    assert refused(server, "leo:of-the-first") and user_of(server, "leo:of-the-second") is not None
    # And by name.
    patterns = ':match_user_regex:\n    "^(.*)@first$": one\n    "^(.*)@second$": two\n'
    use(server, described("one", port=directory.port), described("two", port=second.port), order=patterns)
    assert user_of(server, "leo@first:of-the-first").findtext("NAME") == "leo@first"
    assert refused(server, "leo@second:of-the-first") and refused(server, "leo:of-the-first")
    second.end()
    use(server, described("one", port=directory.port), described("two", port=second.port), order=":order:\n    - [two, one]\n")
    user_of(server, "leo:of-the-first")


def test_a_server_that_is_down_lets_nobody_in(server, directory):
    directory.person_add("nel", "secret")
    user_of(server, "nel:secret")
    directory.stop()
    assert refused(server, "nel:secret")
    assert f"no connection to {directory.url}" in log_of(server)
    directory.start()
    user_of(server, "nel:secret")


def test_a_server_that_says_nothing_is_not_waited_for(server, admin):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        use(server, described("one", port=silent.getsockname()[1], timeout=1))
        assert refused(server, "nobody:secret")
    assert "one: no answer within 1 s" in log_of(server)


def test_a_server_that_talks_nonsense_lets_nobody_in(server):
    with socket.create_server(("127.0.0.1", 0)) as odd:
        use(server, described("one", port=odd.getsockname()[1], timeout=5))
        session = Session(server, "nobody:secret")
        answers = []
        asking = threading.Thread(target=lambda: answers.append(session.call("user.info", -1)))
        asking.start()
        taken, _ = odd.accept()
        taken.recv(4096)
        # In answer to the first message an entry without a name, and the end of the search.
        taken.sendall(bytes.fromhex("30050201016400" "300c02010165070a010004000400"))
        asking.join()
        taken.close()
    assert (answers[0].outcome, answers[0].code) == ("error", REFUSED)
    assert "one: the server gave an entry that cannot be read" in log_of(server)


def test_no_other_server_is_asked(server, directory):
    with socket.create_server(("127.0.0.1", 0)) as other:
        away = f"ou=elsewhere,{BASE}"
        directory.change(f"dn: {away}\nobjectClass: referral\nobjectClass: extensibleObject\nou: elsewhere\n"
                         f"ref: ldap://127.0.0.1:{other.getsockname()[1]}/{away}\n")
        # In the midst of a search, and instead of its base.
        for base in (BASE, away):
            use(server, described("one", port=directory.port, base=f"'{base}'"))
            assert refused(server, "nobody:secret")
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()
        directory.change(f"dn: {away}\nchangetype: delete\n")
    assert "is referred to another server" in log_of(server)


def test_so_many_ask_at_a_time_and_hold_up_nobody_else(server, admin):
    answers = []
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        use(server, described("one", port=silent.getsockname()[1], timeout=30))
        threads = [threading.Thread(target=lambda: answers.append(refused(server, "nobody:secret"))) for _ in range(12)]
        for thread in threads:
            thread.start()
        taken = [silent.accept()[0] for _ in range(8)]
        assert admin.ok("user.allocate", "meanwhile", "secret", "core", []) >= 0
        assert user_of(server, "meanwhile:secret").findtext("NAME") == "meanwhile"
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):
            silent.accept()
        silent.setblocking(True)
        for _ in range(4):
            taken.pop(0).close()
            taken.append(silent.accept()[0])
        for connection in taken:
            connection.close()
        for thread in threads:
            thread.join()
    assert answers == [True] * 12
    assert "one: the server ended the connection" in log_of(server)


def test_a_description_of_no_use_is_told(server, directory, admin):
    admin.ok("user.allocate", "ole", "", "ldap", [])
    directory.person_add("ole", "secret")
    path = server.directory / "etc/auth/ldap_auth.conf"
    for text, words in (
        ("one: [", "ldap_auth.conf: is no YAML"),
        (described("one"), "says neither :order nor :match_user_regex"),
        (described("one", port=directory.port, user=READER) + ":order: [one]\n", ":user has no :password"),
        (described("one", port=directory.port, user=READER, password="wrong") + ":order: [one]\n", "see :user and :password: wrong"),
        (described("one", port=free_port()) + ":order: [one]\n", "no connection to ldap://"),
    ):
        path.write_text(text)
        assert refused(server, "ole:secret"), text
        assert words in log_of(server), words
    path.unlink()
    assert refused(server, "ole:secret")
    assert "ldap_auth.conf: cannot be opened" in log_of(server)


def test_a_token_is_no_question_for_the_directory(server, directory):
    directory.person_add("pia", "secret")
    token = Session(server, "pia:secret").ok("user.login", "pia", "", 600, -1)
    directory.stop()
    assert user_of(server, f"pia:{token}").findtext("NAME") == "pia"
    directory.start()


@pytest.fixture(scope="module", name="encrypted")
def encrypted_fixture(tmp_path_factory):
    """A directory with a certificate for the name localhost, by an authority of its own in `authority`."""
    if program("slapd") is None:
        pytest.skip("slapd is not installed: nothing is tested of directories")
    authority = tmp_path_factory.mktemp("authority")
    authority_make(authority)
    certificate_make(authority, "server", "DNS:localhost")
    instance = DirectoryServer(tls=authority)
    instance.authority = authority
    instance.person_add("ann", "secret")
    yield instance
    instance.end()


@pytest.fixture(scope="module", name="ldap_server")
def ldap_server_fixture(tmp_path_factory, database_settings):
    """A front-end whose users are all of a directory."""
    place = tmp_path_factory.mktemp("one")
    instance = Server(place, database_settings() + 'DEFAULT_AUTH = "ldap"\nSESSION_EXPIRATION_TIME = 0\n')
    (place / "etc/auth").mkdir()
    instance.start()
    yield instance
    instance.end()


@pytest.mark.parametrize("method", ["simple_tls", "start_tls"])
def test_encrypted_to_whom_an_authority_vouches_for(ldap_server, encrypted, tmp_path, method):
    authority_make(tmp_path)
    port = encrypted.tls_port if method == "simple_tls" else encrypted.port

    def of(host="localhost", authority=encrypted.authority):
        trust = f"{{':method': ':{method}', ':tls_options': {{':ca_file': '{authority}/ca.pem'}}}}" if authority else f":{method}"
        use(ldap_server, described("one", host=host, port=port, encryption=trust))
        return "ann:secret"

    assert user_of(ldap_server, of()).findtext("PASSWORD") == person("ann")
    asked = encrypted.log()
    for wrong, words in (
        ({"authority": tmp_path}, "invalid peer certificate"),
        ({"authority": None}, "certificate"),
        ({"host": "127.0.0.1"}, "not valid for name"),
        ({"authority": tmp_path / "absent"}, ":ca_file"),
    ):
        before = len(log_of(ldap_server))
        assert refused(ldap_server, of(**wrong)), wrong
        assert words in log_of(ldap_server)[before:], wrong
    said = encrypted.log()[len(asked):]
    # What ended before may still be logged (UNBIND).
    assert not re.search(r" (BIND|SRCH) ", said), said


def test_encryption_that_a_server_has_not_is_no_way_round(ldap_server, directory):
    directory.person_add("zoe", "secret")
    asked = directory.log()
    use(ldap_server, described("one", port=directory.port, encryption=":start_tls"))
    assert refused(ldap_server, "zoe:secret")
    use(ldap_server, described("one", port=directory.port, encryption=":simple_tls", timeout=2))
    assert refused(ldap_server, "zoe:secret")
    said = directory.log()[len(asked):]
    assert not re.search(r" (BIND|SRCH) ", said), said

"""A directory of the tests' own: slapd on a port of this machine, in a temporary directory, as a user without rights."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from harness.databases import NOBODY, POLL_S, READY_WITHIN_S, program

BASE = "dc=example"
ROOT, ROOT_PASSWORD = f"cn=root,{BASE}", "of-the-root"
READER, READER_PASSWORD = f"cn=reader,{BASE}", "of-the-reader"
# Logins with a name and no password go through as nobody's, as on servers that are set up carelessly: the front-end must not ask.
CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile {place}/pid
allow bind_anon_cred bind_anon_dn
{tls}
database mdb
maxsize 16777216
dbnosync
directory {place}/data
suffix "{base}"
rootdn "{root}"
rootpw {root_password}
access to attrs=userPassword by anonymous auth by * none
access to * by * read
overlay memberof
memberof-refint true
"""
TLS = """
TLSCACertificateFile {place}/ca.pem
TLSCertificateFile {place}/server.pem
TLSCertificateKeyFile {place}/server.key
"""
ENTRIES = f"""
dn: {BASE}
objectClass: dcObject
objectClass: organization
dc: example
o: example

dn: ou=people,{BASE}
objectClass: organizationalUnit
ou: people

dn: ou=groups,{BASE}
objectClass: organizationalUnit
ou: groups

dn: {READER}
objectClass: person
cn: reader
sn: reader
userPassword: {READER_PASSWORD}

dn: ou=away,{BASE}
objectClass: referral
objectClass: extensibleObject
ou: away
ref: ldap://127.0.0.1:1/ou=away,{BASE}
"""


def person(name, under=f"ou=people,{BASE}"):
    """The name of a person's entry."""
    return f"uid={name},{under}"


def group(name):
    """The name of a group's entry."""
    return f"cn={name},ou=groups,{BASE}"


class DirectoryServer:
    """A running slapd; with `tls` (a directory of ca.pem, server.pem, server.key) encrypted, too."""

    def __init__(self, tls=None):
        self.place = Path(tempfile.mkdtemp(prefix="pl-ldap-"))
        (self.place / "data").mkdir()
        for name in ("ca.pem", "server.pem", "server.key") if tls else ():
            shutil.copy(tls / name, self.place / name)
        # Not the path that profiles of AppArmor bind to files of a service.
        self.program = shutil.copy(program("slapd"), self.place / "slapd")
        text = CONFIGURATION.format(place=self.place, base=BASE, root=ROOT, root_password=ROOT_PASSWORD,
                                    tls=TLS.format(place=self.place) if tls else "")
        (self.place / "slapd.conf").write_text(text)
        self.wrap = []
        if os.geteuid() == 0:
            for path in (self.place, *self.place.iterdir()):
                os.chown(path, NOBODY, NOBODY)
            self.wrap = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        self.port, self.tls_port = free_port(), free_port()
        self.has_tls = bool(tls)
        self.process = None
        self.start()
        self.change(ENTRIES)

    @property
    def url(self):
        """Where it is asked without encryption."""
        return f"ldap://127.0.0.1:{self.port}"

    def start(self):
        """Starts it and waits until it takes connections."""
        urls = self.url + (f" ldaps://127.0.0.1:{self.tls_port}" if self.has_tls else "")
        # 256: connections and what is asked, which `asked` reads.
        run = [self.program, "-f", self.place / "slapd.conf", "-h", urls, "-d", "256"]
        with open(self.place / "server.log", "ab") as log:
            self.process = subprocess.Popen(self.wrap + run, stdout=log, stderr=log, cwd="/")
        deadline = time.monotonic() + READY_WITHIN_S
        while not answers(self.port):
            assert self.process.poll() is None and time.monotonic() < deadline, f"slapd does not start:\n{self.log()}"
            time.sleep(POLL_S)

    def stop(self):
        """Stops it; what it holds stays."""
        self.process.terminate()
        self.process.wait(READY_WITHIN_S)

    def end(self):
        """Ends it; nothing of it stays."""
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.place)

    def log(self):
        """What was asked, as it tells."""
        return (self.place / "server.log").read_text(errors="replace")

    def change(self, text):
        """Adds entries, or does what `changetype` says."""
        words = ["ldapmodify", "-a", "-x", "-M", "-H", self.url, "-D", ROOT, "-w", ROOT_PASSWORD]
        ended = subprocess.run(words, input=text, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 0, ended.stderr

    def lets_in(self, dn, password):
        """Whether a login of a client that asks goes through."""
        words = ["ldapwhoami", "-x", "-H", self.url, "-D", dn, "-w", password]
        return subprocess.run(words, capture_output=True, timeout=60, check=False).returncode == 0

    def person_add(self, name, password, under=f"ou=people,{BASE}", **attributes):
        """A person; gives the name of the entry."""
        more = "".join(f"{key}: {value}\n" for key, value in attributes.items())
        self.change(f"dn: {person(name, under)}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n"
                    f"userPassword: {password}\n{more}")
        return person(name, under)

    def group_add(self, name, *members):
        """A group, which always has a member; gives its name."""
        lines = "".join(f"member: {member}\n" for member in members)
        self.change(f"dn: {group(name)}\nobjectClass: groupOfNames\ncn: {name}\n{lines}")
        return group(name)

    def member(self, name, what, member):
        """Adds a member to a group, or deletes it."""
        self.change(f"dn: {group(name)}\nchangetype: modify\n{what}: member\nmember: {member}\n")


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def answers(port):
    """Whether somebody listens on a port."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0

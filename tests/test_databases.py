"""A front-end on a database server: from an empty database to a restart, and what it refuses."""

import subprocess

import pytest

from harness import cloud
from harness.databases import DatabaseServer, program
from harness.dump import changed, dump
from harness.rpc import Session
from harness.server import BINARY, Server

BACKENDS = ["postgresql", "mysql"]


@pytest.fixture(scope="module", params=BACKENDS)
def database(request):
    for name in DatabaseServer.PROGRAMS[request.param]:
        if program(name) is None:
            pytest.skip(f"{name} is not installed: nothing is tested on {request.param}")
    server = DatabaseServer(request.param)
    yield server
    server.end()


def refusal(directory, settings):
    """What a front-end says that must not start."""
    server = Server(directory, settings)
    environment = {"ONE_LOCATION": str(directory), "ONE_AUTH": str(directory / "one_auth"), "PATH": "/usr/bin:/bin"}
    run = subprocess.run([str(BINARY), "serve"], env=environment, capture_output=True, text=True, timeout=40)
    assert run.returncode == 1
    assert server.process is None
    return run.stderr


def test_from_nothing_to_a_restart(database, tmp_path):
    server = Server(tmp_path, database.settings("life")).start()
    try:
        admin = Session(server)
        made = cloud.cloud_make(admin)
        user = admin.ok("user.allocate", "dora", "secret", "", [])
        admin.ok("user.update", user, 'TEXT="<&>\'\u00e4\u4e2d\n\t\U0001f980"', 1)
        admin.ok("template.lock", made.template, 2, False)
        before = dump(admin)
        server.stop()
        server.start()
        assert changed(before, dump(Session(server))) == {}
        server.kill()
        # The lease of a process that was killed does not keep its successor on the same machine waiting.
        server.start()
        admin = Session(server)
        assert changed(before, dump(admin)) == {}
        assert admin.ok("group.allocate", "after") >= 100
        assert not (tmp_path / "var/plerion.db").exists()
    finally:
        server.end()


def test_a_second_front_end_is_refused(database, tmp_path):
    server = Server(tmp_path / "one", database.settings("two")).start()
    try:
        said = refusal(tmp_path / "two", database.settings("two"))
        assert "uses this database" in said and "stop that one first" in said, said
        assert Session(server).ok("group.allocate", "still") >= 100
    finally:
        server.end()


def test_what_is_wrong_is_said(database, tmp_path):
    user = database.user
    database.user = "stranger"
    said = refusal(tmp_path / "user", database.settings("x", "not-to-be-shown"))
    database.user = user
    assert "USER and PASSWD" in said and "not-to-be-shown" not in said, said
    said = refusal(tmp_path / "place", f'DB=[BACKEND="{database.backend}", SOCKET="{tmp_path}/none"]')
    assert "cannot be reached" in said, said
    assert "sqlite, mysql or postgresql" in refusal(tmp_path / "name", 'DB=[BACKEND="oracle"]')

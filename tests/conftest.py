"""Fixtures: a server of one's own, or one shared by a file; sessions of pyone and raw ones.

TEST_BACKEND=postgresql or mysql: their state is on a database server, which is started for the run.
"""

import itertools
import os

import pyone
import pytest

from harness.databases import DatabaseServer
from harness.rpc import Session
from harness.server import BINARY, Server

pytest_plugins = ["harness.bound"]


def pytest_report_header(config):
    return f"plerion binary: {BINARY}; state in {os.environ.get('TEST_BACKEND', 'sqlite')}"


@pytest.fixture(scope="session")
def database_settings():
    """Gives the settings of a database of its own at each call."""
    backend = os.environ.get("TEST_BACKEND", "sqlite")
    if backend == "sqlite":
        yield lambda: ""
        return
    database = DatabaseServer(backend)
    numbers = itertools.count()
    yield lambda: database.settings(f"test{next(numbers)}")
    database.end()


@pytest.fixture(scope="module")
def server(tmp_path_factory, database_settings):
    """One server for the tests of a file; stopped by SIGTERM at the end."""
    instance = Server(tmp_path_factory.mktemp("one"), database_settings()).start()
    yield instance
    instance.end()


@pytest.fixture
def own_server(tmp_path, database_settings):
    """A server for one test alone."""
    instance = Server(tmp_path / "one", database_settings()).start()
    yield instance
    instance.end()


@pytest.fixture
def admin(server):
    """oneadmin's raw session on the file's server."""
    return Session(server)


@pytest.fixture
def one(server):
    """oneadmin's pyone session on the file's server."""
    return pyone.OneServer(server.url, session=server.admin)

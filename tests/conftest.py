"""Fixtures: a server of one's own, or one shared by a file; sessions of pyone and raw ones."""

import pyone
import pytest

from harness.rpc import Session
from harness.server import BINARY, Server

pytest_plugins = ["harness.bound"]


def pytest_report_header(config):
    return f"plerion binary: {BINARY}"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server for the tests of a file; stopped by SIGTERM at the end."""
    instance = Server(tmp_path_factory.mktemp("one")).start()
    yield instance
    instance.end()


@pytest.fixture
def own_server(tmp_path):
    """A server for one test alone."""
    instance = Server(tmp_path / "one").start()
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

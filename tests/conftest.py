"""Fixtures: a server of one's own, or one shared by a file; sessions of pyone and raw ones."""

import faulthandler
import signal

import pyone
import pytest

from harness.rpc import Session
from harness.server import BINARY, Server

TEST_WITHIN_S = 120


def pytest_report_header(config):
    return f"plerion binary: {BINARY}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """No test runs without an end: pyone itself has no time-out."""
    marker = item.get_closest_marker("seconds")
    seconds = marker.args[0] if marker else TEST_WITHIN_S

    def late(_signal, _frame):
        faulthandler.dump_traceback()
        raise TimeoutError(f"{item.nodeid} took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


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

"""A plugin for pytest: no test runs without an end, whatever it waits in. Used by `tests/` and by `lab/`."""

import faulthandler
import signal

import pytest


def pytest_addoption(parser):
    parser.addini("test_seconds", "bound of a test, in seconds", default="120")


def pytest_configure(config):
    config.addinivalue_line("markers", "seconds(n): bound of one test in seconds, instead of test_seconds")


def seconds_of(item):
    """The bound of a test."""
    marker = item.get_closest_marker("seconds")
    return marker.args[0] if marker else int(item.config.getini("test_seconds"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """The alarm also ends a call into a library that has no time-out."""
    seconds = seconds_of(item)

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

"""One lab for all tests; what it lacks is said loudly."""

import faulthandler
import signal

import pytest

import lab as cluster
import machine
from cloud import Cloud

TEST_WITHIN_S = 180


def pytest_report_header(config):
    return f"plerion binary: {cluster.BINARY}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """No test runs without an end."""
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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """What the front-end wrote goes with the report of a test that fails."""
    report = yield
    running = item.funcargs.get("lab") or getattr(item.funcargs.get("cloud"), "lab", None)
    if report.failed and running is not None and running.directory.exists():
        report.sections.append(("plerion serve", running.serve_words()))
    return report


@pytest.fixture(scope="session")
def lab():
    """The cluster."""
    lacks = machine.missing()
    if lacks:
        pytest.skip("NO LAB, NOTHING WAS TESTED: " + "; ".join(lacks))
    cluster.signals_raise()
    cluster.guest_image_make()
    with cluster.Lab() as made:
        yield made


@pytest.fixture(scope="session")
def cloud(lab):
    """The cloud in it, set up."""
    made = Cloud(lab)
    made.hosts_wait()
    return made


@pytest.fixture(autouse=True)
def nothing_left(request):
    """Every test takes its VMs away, also one that fails, so that the next one has the machine for itself."""
    yield
    if "cloud" not in request.fixturenames:
        return
    made = request.getfixturevalue("cloud")
    for vm in made.vms_left():
        vm.remove()

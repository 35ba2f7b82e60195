"""One lab for all tests; what it lacks is said loudly."""

import os

import pytest

import lab as cluster
import machine
from cloud import Cloud

pytest_plugins = ["harness.bound"]


def pytest_report_header(config):
    return f"plerion binary: {cluster.BINARY}"


def pytest_collection_modifyitems(config, items):
    """Of several parts the files that may take longest come first, so that they end at about the same time."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    seconds_of = config.pluginmanager.getplugin("harness.bound").seconds_of
    bounds = {}
    for item in items:
        bounds[item.path] = bounds.get(item.path, 0) + seconds_of(item)
    items.sort(key=lambda item: -bounds[item.path])


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
    left = made.vms_left()
    for vm in left:
        vm.remove_begin()
    for vm in left:
        vm.wait("DONE")

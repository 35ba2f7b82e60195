"""Consoles over the WebSocket: who gets a token, what it opens, and what ends it. QEMU is a listener of the test."""

import os
import re
import shutil
import socket
import subprocess
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from harness.cli import plerion
from harness.cloud import SYSTEM_DS, eventually, state_await, vm_await
from harness.rpc import TIMEOUT_S, Session
from harness.screens import Screen, basic, http_ask, token_ask, token_get
from harness.server import Server
from test_tls import authority_make, certificate_make, trusting

ACTIVE, RUNNING = 3, 3
TOKEN_S = 30
# Longer than a browser may be silent, and the look at it.
SILENCE_S = 100
PER_USER = 16
GRAPHICS = 'GRAPHICS=[TYPE="VNC",LISTEN="0.0.0.0"]'
SPICE = 'GRAPHICS=[TYPE="spice",LISTEN="127.0.0.1"]'
TRY_AGAIN = 1013
VM = 'NAME="{}"\nCPU="0.1"\nMEMORY="64"\n{}'


@pytest.fixture(scope="module", name="screen")
def screen_fixture(tmp_path_factory):
    screen = Screen(tmp_path_factory.mktemp("screen") / "bin")
    yield screen
    screen.end()


@pytest.fixture(scope="module", name="novnc")
def novnc_fixture(tmp_path_factory):
    """What is installed as noVNC: a script of it, and things that are not to be had."""
    directory = tmp_path_factory.mktemp("share") / "novnc"
    (directory / "core/util").mkdir(parents=True)
    (directory / "app").mkdir()
    (directory / "core/rfb.js").write_text("export default 1;\n")
    (directory / "core/util/log.js").write_text("log\n")
    (directory / "core/.hidden.js").write_text("hidden\n")
    (directory / "core/notes.txt").write_text("notes\n")
    (directory / "app/ui.js").write_text("ui\n")
    (directory.parent / "outside.js").write_text("outside\n")
    (directory / "core/inside.js").symlink_to("util/log.js")
    (directory / "core/link.js").symlink_to("../../outside.js")
    (directory / "core/absolute.js").symlink_to(directory.parent / "outside.js")
    (directory / "core/up").symlink_to("../..")
    (directory / "core/directory.js").mkdir()
    os.mkfifo(directory / "core/pipe.js")
    (directory / "core/large.js").write_bytes(b" " * (5 * 1024 * 1024))
    return directory


@pytest.fixture(scope="module", name="spice")
def spice_fixture(tmp_path_factory):
    """What is installed as spice-html5."""
    directory = tmp_path_factory.mktemp("spice-html5")
    (directory / "thirdparty").mkdir()
    (directory / "main.js").write_text("export {};\n")
    (directory / "thirdparty/rsa.js").write_text("rsa\n")
    (directory / "spice.html").write_text("other page\n")
    (directory / "other").mkdir()
    (directory / "other/secret.js").write_text("secret\n")
    return directory


@pytest.fixture(scope="module", name="xterm")
def xterm_fixture(tmp_path_factory):
    """What is installed as xterm.js: modules for Node.js."""
    directory = tmp_path_factory.mktemp("xterm")
    (directory / "lib/ui").mkdir(parents=True)
    (directory / "lib/xterm.js").write_text('module.exports = require("./ui/Terminal").Terminal;\n')
    (directory / "lib/ui/Terminal.js").write_text('exports.Terminal = function terminal() { return require("../ui/../size"); };\n')
    (directory / "lib/size.js").write_text("module.exports = 80;\n")
    (directory / "lib/unneeded.js").write_text("unneeded\n")
    (directory / "lib/xterm.css").write_text(".xterm {}\n")
    return directory


def server_make(directory, screen, settings="", **environment):
    """A server whose ssh is the test's."""
    path = f"{screen.directory}:{os.environ['PATH']}"
    return Server(directory, settings, {"PATH": path, **{name: str(value) for name, value in environment.items()}})


@pytest.fixture(scope="module", name="server")
def server_fixture(tmp_path_factory, screen, novnc, spice, xterm):
    """The server of this file."""
    server = server_make(
        tmp_path_factory.mktemp("one"), screen, PLERION_NOVNC_DIR=novnc, PLERION_SPICE_DIR=spice, PLERION_XTERM_DIR=xterm
    ).start()
    yield server
    server.end()


@pytest.fixture(scope="module")
def cloud(server):
    """A dummy host with room, and its datastore."""
    host_make(Session(server))


@pytest.fixture(name="vm")
def vm_fixture(server, cloud, request):
    """A running VM with a screen."""
    return vm_run(Session(server), request.node.name)


def host_make(admin):
    host = admin.ok("host.allocate", "far-node", "dummy", "dummy", -1)
    admin.ok("datastore.allocate", SYSTEM_DS.format("dummies"), -1)
    state_await(admin, "host.info", host, 2)


def vm_run(admin, name, graphics=GRAPHICS):
    vm = admin.ok("vm.allocate", VM.format(name[:60], graphics))
    vm_await(admin, vm, ACTIVE, RUNNING)
    return vm


def port_of(admin, vm):
    return int(re.search(r"<PORT><!\[CDATA\[(\d+)\]\]></PORT>", admin.ok("vm.info", vm))[1])


def address(server, token):
    return f"ws://127.0.0.1:{server.port}/console/ws?token={token}"


def opened(server, token, **options):
    return connect(address(server, token), open_timeout=TIMEOUT_S, proxy=None, **options)


def refusal(server, token, **options):
    """Status and words with which a WebSocket is refused."""
    with pytest.raises(InvalidStatus) as refused:
        opened(server, token, **options)
    response = refused.value.response
    return response.status_code, response.body.decode()


def closed(console):
    """How the server closes a console: code and reason."""
    with pytest.raises(ConnectionClosed) as end:
        while True:
            console.recv(timeout=TIMEOUT_S)
    return end.value.rcvd.code, end.value.rcvd.reason


def test_bytes_go_both_ways_until_one_side_ends(server, admin, screen, vm):
    token = token_get(server, server.admin, vm)
    assert re.fullmatch(r"[0-9a-f]{64}", token)
    with opened(server, token, subprotocols=["binary"]) as console, screen.accept() as qemu:
        assert console.subprotocol == "binary"
        assert screen.asked()[-1].endswith(f"-W 127.0.0.1:{port_of(admin, vm)} -- far-node")
        qemu.sendall(b"RFB 003.008\n")
        assert console.recv(timeout=TIMEOUT_S) == b"RFB 003.008\n"
        much = os.urandom(3 * 1024 * 1024)
        for begin in range(0, len(much), 2**19):
            console.send(much[begin:begin + 2**19])
            assert _exactly(qemu, 2**19) == much[begin:begin + 2**19]
        qemu.sendall(much)
        back = b""
        while len(back) < len(much):
            back += console.recv(timeout=TIMEOUT_S)
        assert back == much
        qemu.shutdown(socket.SHUT_RDWR)
        code, reason = closed(console)
        assert (code, "the VM stopped or moved" in reason) == (1000, True)

    with opened(server, token_get(server, server.admin, vm)) as console:
        qemu = screen.accept()
        console.send(b"x")
        assert qemu.recv(1) == b"x"
    assert qemu.recv(1) == b"", "the connection to the screen is left"
    qemu.close()


def _exactly(wire, count):
    data = b""
    while len(data) < count:
        part = wire.recv(count - len(data))
        assert part, f"the end after {len(data)} bytes"
        data += part
    return data


def test_a_token_opens_once_and_no_other_opens(server, screen, vm):
    token = token_get(server, server.admin, vm)
    with opened(server, token) as console:
        screen.accept().close()
        status, words = refusal(server, token)
        assert (status, "once" in words and "onevm vnc ID --web" in words) == (403, True)
        closed(console)
    for wrong in ["", "0" * 64, token[:-1], "%00"]:
        assert refusal(server, wrong)[0] == 403, wrong
    log = server.log_path.read_text()
    assert token not in log
    assert f"screen of VM {vm} for user 0" in log


@pytest.mark.seconds(240)
def test_tokens_rights_and_silence_have_their_time(server, admin, screen, vm):
    """What takes long by itself, side by side."""
    token = token_get(server, server.admin, vm)
    late = time.monotonic() + TOKEN_S + 1
    uid = admin.ok("user.allocate", "leaver", "secret", "", [])
    admin.ok("vm.chown", vm, uid, -1)
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT_S) as mute:
        # It answers no ping.
        mute.sendall(upgrade(token_get(server, server.admin, vm)))
        with screen.accept() as mute_qemu:
            _right_take(server, admin, screen, vm)
            # Time itself is what is looked at: there is no event to wait for.
            time.sleep(max(0, late - time.monotonic()))
            assert refusal(server, token)[0] == 403
            mute_qemu.settimeout(SILENCE_S)
            assert mute_qemu.recv(1) == b""
        said = b""
        while part := mute.recv(65536):
            said += part
        assert b"no sign of life" in said


def _right_take(server, admin, screen, vm):
    """A user whose right is taken away while the screen is open."""
    with opened(server, token_get(server, "leaver:secret", vm)) as console, screen.accept() as qemu:
        qemu.sendall(b"still here")
        assert console.recv(timeout=TIMEOUT_S) == b"still here"
        admin.ok("vm.chown", vm, 0, -1)
        code, reason = closed(console)
        assert (code, "Not authorized to perform USE VM" in reason) == (1008, True), reason
        assert qemu.recv(1) == b""


def upgrade(token):
    """A request for a WebSocket, as bytes."""
    return (
        f"GET /console/ws?token={token} HTTP/1.1\r\nHost: one\r\nConnection: keep-alive, Upgrade\r\n"
        f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'x' * 22}==\r\n\r\n"
    ).encode()


def test_requests_that_are_not_quite_an_upgrade(server, screen, vm):
    good = upgrade(token_get(server, server.admin, vm))
    for wrong in [
        good.replace(b"HTTP/1.1", b"HTTP/1.0"),
        good.replace(b"Connection: keep-alive, Upgrade\r\n", b""),
        good.replace(b"keep-alive, Upgrade", b"close"),
        good.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        good.replace(b"GET ", b"POST "),
    ]:
        with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT_S) as wire:
            wire.sendall(wrong)
            assert wire.recv(65536).split(b" ")[1] == b"426", wrong
    # They did not use up the token, and what comes with the request belongs to the console.
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT_S) as wire:
        wire.sendall(good + b"\x82\x81\0\0\0\0x")
        with screen.accept() as qemu:
            assert qemu.recv(1) == b"x"


def test_who_may_not_use_the_vm_gets_no_token(server, admin, screen, vm):
    uid = admin.ok("user.allocate", "guest", "secret", "", [])
    status, words = token_ask(server, "guest:secret", vm)
    assert (status, "Not authorized to perform USE VM" in words) == (403, True), words
    for wrong in ["guest:wrong", "nobody:secret", "guest", ""]:
        assert token_ask(server, wrong, vm)[0] == 401, wrong
    assert http_ask(server, "POST", "/console/token", f"vm={vm}")[0] == 401
    assert http_ask(server, "POST", "/console/token", f"vm={vm}", {"Authorization": "Bearer abc"})[0] == 401

    admin.ok("vm.chown", vm, uid, -1)
    with opened(server, token_get(server, "guest:secret", vm)):
        screen.accept().close()
    login = admin.ok("user.login", "guest", "", 600, -1)
    token = token_get(server, f"guest:{login}", vm)

    # What is taken away before the token is used is taken away.
    admin.ok("vm.chown", vm, 0, -1)
    status, words = refusal(server, token)
    assert (status, "Not authorized" in words) == (403, True)
    admin.ok("vm.chown", vm, uid, -1)
    token = token_get(server, "guest:secret", vm)
    admin.ok("user.enable", uid, False)
    assert refusal(server, token)[0] == 401


def test_pages_of_other_servers_are_refused(server, screen, vm):
    own = f"http://127.0.0.1:{server.port}"
    token = token_get(server, server.admin, vm)
    for origin in ["http://evil.example", "null", f"http://127.0.0.1:{server.port + 1}", f"{own}.evil.example"]:
        status, words = refusal(server, token, origin=origin)
        assert (status, "Origin" in words) == (403, True), origin
        assert token_ask(server, server.admin, vm, headers={"Origin": origin})[0] == 403
    # The token was not used up by them.
    with opened(server, token, origin=own):
        screen.accept().close()


def test_vms_without_a_screen_say_why(server, admin, cloud):
    pending = admin.ok("vm.allocate", VM.format("pending", GRAPHICS), True)
    plain = vm_run(admin, "plain", "")
    spice = vm_run(admin, "spice", SPICE)
    off = vm_run(admin, "off")
    admin.ok("vm.action", "poweroff-hard", off)
    vm_await(admin, off, 8)
    for vm, status, words in [
        (pending, 409, "does not run on a host"),
        (plain, 409, "has no VNC screen"),
        (spice, 409, "has no VNC screen"),
        (off, 409, "does not run on a host"),
        (99999, 404, "Error getting virtual machine [99999]"),
        (-1, 404, "Error getting"),
    ]:
        got, text = token_ask(server, server.admin, vm)
        assert (got, words in text) == (status, True), f"{vm}: {got} {text}"
        if "VNC" not in words:
            assert token_ask(server, server.admin, vm, "serial")[0] == status
    assert token_ask(server, server.admin, "x")[0] == 400
    status, words = token_ask(server, server.admin, vm_run(admin, "by-vnc"), "spice")
    assert (status, "has no SPICE screen" in words) == (409, True), words
    for kind in ["rdp", "", "vnc&force=yes", "serial&force=1"]:
        status, words = token_ask(server, server.admin, plain, kind)
        assert (status, "vnc, spice or serial" in words) == (400, True), f"{kind}: {words}"


def test_a_serial_line_is_had_by_virsh_on_the_host(server, admin, cloud, screen):
    vm = vm_run(admin, "serial", "")
    with opened(server, token_get(server, server.admin, vm, "serial")) as console, screen.accept() as virsh:
        line = "-t -t -e none -- far-node env LC_ALL=C virsh -c qemu:///system console far-node:serial:dummy"
        assert screen.asked()[-1].endswith(line)
        virsh.sendall(b"login: ")
        assert console.recv(timeout=TIMEOUT_S) == b"login: "
        console.send(b"root\r")
        assert _exactly(virsh, 5) == b"root\r"
        virsh.shutdown(socket.SHUT_RDWR)
        code, reason = closed(console)
        assert (code, "serial line ended" in reason) == (1000, True), reason


def test_a_serial_line_has_one_reader(server, admin, cloud, screen):
    vm = vm_run(admin, "reader", "")
    with opened(server, token_get(server, server.admin, vm, "serial")) as console:
        with screen.accept() as virsh:
            virsh.sendall(b"error: operation failed: Active console session exists for this domain\r\n\r\n")
        code, reason = closed(console)
        assert (code, "onevm console ID --web --force" in reason) == (TRY_AGAIN, True), reason
    with opened(server, token_get(server, server.admin, vm, "serial&force=yes")) as console:
        with screen.accept() as virsh:
            assert screen.asked()[-1].endswith("console far-node:reader:dummy --force")
            virsh.sendall(b"error: failed to get domain 'reader'\r\n")
        code, reason = closed(console)
        assert (code, reason) == (1011, "failed to get domain 'reader'")


def test_a_spice_screen_has_several_channels(server, admin, cloud, screen):
    """As SPICE has them: the page of the first opens the others by a secret of its own."""
    vm = vm_run(admin, "channels", SPICE)
    token = token_get(server, server.admin, vm, "spice")
    own = f"{token}&session={'5' * 32}"
    with opened(server, own) as console, screen.accept() as qemu:
        assert screen.asked()[-1].endswith(f"-W 127.0.0.1:{port_of(admin, vm)} -- far-node")
        for other in [token, f"{token}&session={'6' * 32}", f"{'0' * 64}&session={'5' * 32}"]:
            assert refusal(server, other)[0] == 403, other
        with opened(server, own) as display, screen.accept() as wire:
            wire.sendall(b"REDQ")
            assert display.recv(timeout=TIMEOUT_S) == b"REDQ"
        qemu.sendall(b"main")
        assert console.recv(timeout=TIMEOUT_S) == b"main"
        qemu.shutdown(socket.SHUT_RDWR)
        assert closed(console)[0] == 1000
    # The page may ask for the password and try again.
    with opened(server, own):
        screen.accept().close()

    # What has one channel is opened once, whatever secret comes with it.
    plain = vm_run(admin, "one-channel")
    own = f"{token_get(server, server.admin, plain)}&session={'5' * 32}"
    with opened(server, own), screen.accept():
        assert refusal(server, own)[0] == 403


def test_a_vm_that_stops_before_the_token_is_used(server, admin, vm):
    token = token_get(server, server.admin, vm)
    admin.ok("vm.action", "poweroff-hard", vm)
    vm_await(admin, vm, 8)
    status, words = refusal(server, token)
    assert (status, "does not run on a host" in words) == (409, True)


def test_a_host_that_cannot_be_reached_is_said(server, screen, vm):
    port = screen.listener.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        screen.point_at(nobody.getsockname()[1])
    try:
        with opened(server, token_get(server, server.admin, vm)) as console:
            code, reason = closed(console)
    finally:
        screen.point_at(port)
    assert code == 1011
    assert "cannot be reached on its host: channel 0: open failed: connect failed" in reason


def test_what_is_no_websocket_is_refused_in_words(server, vm):
    status, words, _ = http_ask(server, "GET", "/console/ws?token=abc")
    assert (status, "WebSocket" in words) == (426, True)
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "x" * 22 + "==",
               "Sec-WebSocket-Version": "8"}
    status, words, _ = http_ask(server, "GET", "/console/ws", headers=headers)
    assert (status, "13" in words) == (400, True)
    status, _, answered = http_ask(server, "GET", "/console/token", headers=basic(server.admin))
    assert (status, "POST" in answered["Allow"]) == (405, True)
    status, words, _ = http_ask(server, "POST", "/console/token", "x" * 10_000, basic(server.admin))
    assert (status, "4096" in words) == (413, True)
    assert http_ask(server, "GET", "/console/nothing")[0] == 404
    # No login of this server rests in the browser.
    status, _, answered = http_ask(server, "POST", "/console/token", f"vm={vm}")
    assert (status, answered["WWW-Authenticate"]) == (401, None)


def test_messages_that_are_too_long_or_text_end_the_console(server, screen, vm):
    for message in [b"x" * (1024 * 1024 + 1), "text"]:
        with opened(server, token_get(server, server.admin, vm)) as console, screen.accept() as qemu:
            console.send(message)
            with pytest.raises(ConnectionClosed):
                while True:
                    console.recv(timeout=TIMEOUT_S)
            assert qemu.recv(1) == b""


def test_one_user_has_so_many_consoles(server, screen, vm):
    consoles = []
    try:
        for _ in range(PER_USER):
            consoles.append((opened(server, token_get(server, server.admin, vm)), screen.accept()))
        status, words = refusal(server, token_get(server, server.admin, vm))
        assert (status, f"{PER_USER} consoles" in words) == (503, True)
        # Bytes still go, and a place that is given back is good for another one.
        consoles[0][1].sendall(b"y")
        assert consoles[0][0].recv(timeout=TIMEOUT_S) == b"y"
        for part in consoles.pop():
            part.close()

        def again():
            try:
                return opened(server, token_get(server, server.admin, vm))
            except InvalidStatus:
                return None

        console = eventually(again, lambda console: console, "a place")
        consoles.append((console, screen.accept()))
    finally:
        for console, qemu in consoles:
            console.close()
            qemu.close()


def test_a_browser_that_reads_nothing_ends_neither_others_nor_the_server(server, screen, vm):
    slow = opened(server, token_get(server, server.admin, vm), max_queue=1)
    flood = screen.accept()
    flood.settimeout(1)
    sent = 0
    before = server.rss_kib()
    # Everything between the two is bounded, so the flood comes to a halt.
    with pytest.raises(TimeoutError):
        while sent < 256 * 1024 * 1024:
            sent += flood.send(b"x" * 65536)
    assert server.rss_kib() - before < 32 * 1024
    with opened(server, token_get(server, server.admin, vm)) as console, screen.accept() as qemu:
        qemu.sendall(b"z")
        assert console.recv(timeout=TIMEOUT_S) == b"z"
    flood.close()
    slow.socket.close()


def test_the_server_stops_while_consoles_are_open(tmp_path, screen):
    server = server_make(tmp_path / "one", screen).start()
    try:
        admin = Session(server)
        host_make(admin)
        vm = vm_run(admin, "stops")
        with opened(server, token_get(server, server.admin, vm)) as console, screen.accept() as qemu:
            server.stop()
            with pytest.raises(ConnectionClosed):
                console.recv(timeout=TIMEOUT_S)
            assert qemu.recv(1) == b""
    finally:
        server.end()


def test_consoles_by_tls(tmp_path, screen):
    server = server_make(tmp_path / "one", screen, 'TLS = [ CERTIFICATE = "server.pem", KEY = "server.key" ]')
    etc = server.directory / "etc"
    authority_make(etc)
    certificate_make(etc, "server")
    server.start()
    try:
        admin = Session(server)
        host_make(admin)
        vm = vm_run(admin, "encrypted")
        context = trusting(etc)
        token = token_get(server, server.admin, vm, context=context)
        with connect(f"wss://localhost:{server.port}/console/ws?token={token}", ssl=context, proxy=None,
                     origin=f"https://localhost:{server.port}") as console, screen.accept() as qemu:
            qemu.sendall(b"RFB")
            assert console.recv(timeout=TIMEOUT_S) == b"RFB"
    finally:
        server.end()


def test_the_page_of_a_screen_and_what_it_may_do(server):
    for path, kind in [
        ("/console/vnc.html", "text/html"),
        ("/console/vnc.js", "text/javascript"),
        ("/console/spice.html", "text/html"),
        ("/console/spice.js", "text/javascript"),
        ("/console/serial.html", "text/html"),
        ("/console/serial.js", "text/javascript"),
        ("/console/common.js", "text/javascript"),
        ("/console/console.css", "text/css"),
        ("/console/spice/main.js", "text/javascript"),
        ("/console/spice/thirdparty/rsa.js", "text/javascript"),
        ("/console/xterm/xterm.js", "text/javascript"),
        ("/console/xterm/xterm.css", "text/css"),
        ("/console/novnc/core/rfb.js", "text/javascript"),
        ("/console/novnc/core/inside.js", "text/javascript"),
    ]:
        status, _, headers = http_ask(server, "GET", path)
        assert (status, headers["Content-Type"].split(";")[0]) == (200, kind), path
        assert "script-src 'self'" in headers["Content-Security-Policy"]
        assert f"connect-src 'self' ws://127.0.0.1:{server.port} " in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert (headers["Referrer-Policy"], headers["X-Content-Type-Options"]) == ("no-referrer", "nosniff")
    assert http_ask(server, "POST", "/console/vnc.html", "")[0] == 405


def test_no_other_file_is_to_be_had(server):
    for path in [
        "/console/novnc/../../../etc/passwd",
        "/console/novnc/core/../app/ui.js",
        "/console/novnc/core/../../outside.js",
        "/console/novnc/core/%2e%2e/%2e%2e/outside.js",
        "/console/novnc/core/..%2f..%2foutside.js",
        "/console/novnc//etc/passwd",
        "/console/novnc/core/link.js",
        "/console/novnc/core/absolute.js",
        "/console/novnc/core/up/outside.js",
        "/console/novnc/core/.hidden.js",
        "/console/novnc/core/notes.txt",
        "/console/novnc/app/ui.js",
        "/console/novnc/core/directory.js",
        "/console/novnc/core/pipe.js",
        "/console/novnc/core/large.js",
        "/console/novnc/core/nothing.js",
        "/console/novnc/",
        "/console/vnc.html/",
        "/console/loader.js",
        "/console/spice/spice.html",
        "/console/spice/other/secret.js",
        "/console/spice/../../../etc/passwd",
        "/console/xterm/lib/xterm.js",
        "/console/xterm/unneeded.js",
    ]:
        status, words, _ = http_ask(server, "GET", path)
        assert (status, "nothing at this path" in words) == (404, True), f"{path}: {status} {words}"


def test_modules_of_the_terminal_come_as_one_script(server, tmp_path):
    _, script, _ = http_ask(server, "GET", "/console/xterm/xterm.js")
    assert "unneeded" not in script
    path = tmp_path / "xterm.js"
    path.write_text(f"{script}\nconsole.log(xterm.name, xterm());\n")
    node = shutil.which("node")
    if node:
        assert subprocess.run([node, path], capture_output=True, text=True, check=True).stdout == "terminal 80\n"


def test_a_page_says_what_to_install_for_it(tmp_path, screen):
    nowhere = {f"PLERION_{name}_DIR": tmp_path / "nowhere" for name in ["NOVNC", "SPICE", "XTERM"]}
    server = server_make(tmp_path / "one", screen, **nowhere).start()
    try:
        for path, package in [
            ("vnc.html", "novnc"),
            ("spice.html", "spice-html5"),
            ("serial.html", "node-xterm"),
            ("xterm/xterm.js", "node-xterm"),
        ]:
            status, words, _ = http_ask(server, "GET", f"/console/{path}")
            assert (status, f"apt install {package}." in words) == (404, True), words
    finally:
        server.end()


def test_the_command_line_prints_the_address(server, admin, screen, vm):
    printed = plerion(server, "onevm", "vnc", str(vm), "--web")
    found = re.fullmatch(rf"http://127\.0\.0\.1:{server.port}/console/vnc\.html#vm={vm}&token=([0-9a-f]{{64}})\n", printed)
    assert found, printed
    with opened(server, found[1]):
        screen.accept().close()
    admin.ok("vm.action", "poweroff-hard", vm)
    vm_await(admin, vm, 8)
    assert "does not run on a host" in plerion(server, "onevm", "vnc", str(vm), "--web", status=255)


@pytest.mark.parametrize(
    ("line", "kind", "force"),
    [("spice", "spice", False), ("console", "serial", False), ("console --force", "serial", True)],
)
def test_the_command_line_prints_addresses_of_other_consoles(server, admin, cloud, screen, line, kind, force):
    vm = vm_run(admin, f"printed-{kind}-{force}", SPICE)
    command, *options = line.split()
    printed = plerion(server, "onevm", command, str(vm), "--web", *options)
    found = re.fullmatch(
        rf"http://127\.0\.0\.1:{server.port}/console/{kind}\.html#vm={vm}&token=([0-9a-f]{{64}})\n", printed
    )
    assert found, printed
    with opened(server, found[1]):
        screen.accept().close()
    assert screen.asked()[-1].endswith("--force") == force

"""Ways into a real guest: the command line; and VNC, SPICE and serial line by WebSocket, with their pages in Chromium."""

import contextlib
import ctypes
import struct
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from cloud import STORAGES
from harness import browser
from harness.screens import token_get
from lab import wait_until
from ways_in import guest_reached
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

# The interpreter's own setns is younger than what tests run on.
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
PORT = 2633
SCREEN_SECONDS = 60
NO_SECURITY = 1
TRY_AGAIN = 1013
# A shell answers sooner, mostly.
AGAIN_SECONDS = 3
# A few words of text have more pixels than this.
LIT_MIN = 500


def on_network(node, work):
    """What `work` gives on the network of a node; only the thread that it runs in goes there."""
    box = {}

    def run():
        try:
            with open(f"/proc/{node.pid}/ns/net", "rb") as network:
                if LIBC.setns(network.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            box["value"] = work()
        except BaseException as error:  # noqa: BLE001: it is raised again where the test waits
            box["error"] = error

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(SCREEN_SECONDS)
    assert not thread.is_alive(), "it takes too long"
    if "error" in box:
        raise box["error"]
    return box["value"]


class Rfb:
    """Reads as many bytes as it wants from a WebSocket."""

    def __init__(self, console):
        self.console = console
        self.pending = b""

    def take(self, count):
        while len(self.pending) < count:
            self.pending += self.console.recv(timeout=SCREEN_SECONDS)
        data, self.pending = self.pending[:count], self.pending[count:]
        return data


def server_init(credentials, vm):
    """Size and name of the screen, as QEMU says at the end of the handshake of RFB 3.8 (RFC 6143, 7.3)."""
    server = SimpleNamespace(port=PORT)
    token = token_get(server, credentials, vm)
    with connect(f"ws://127.0.0.1:{PORT}/console/ws?token={token}", subprotocols=["binary"], proxy=None) as console:
        rfb = Rfb(console)
        assert rfb.take(12) == b"RFB 003.008\n"
        console.send(b"RFB 003.008\n")
        kinds = rfb.take(rfb.take(1)[0])
        assert NO_SECURITY in kinds, kinds
        console.send(bytes([NO_SECURITY]))
        assert rfb.take(4) == bytes(4), "QEMU refuses"
        console.send(b"\1")
        width, height = struct.unpack(">HH", rfb.take(4))
        rfb.take(16)
        name = rfb.take(struct.unpack(">I", rfb.take(4))[0])
        return width, height, name.decode()


def serial_open(credentials, vm, kind="serial"):
    """The serial line of a VM by WebSocket."""
    token = token_get(SimpleNamespace(port=PORT), credentials, vm, kind)
    return connect(f"ws://127.0.0.1:{PORT}/console/ws?token={token}", proxy=None)


def serial_say(console, line, word):
    """Types a line and reads until `word` has come. What is typed while virsh takes the terminal over is lost, and nothing
    tells when it has: so it is typed again."""
    said = b""
    until = time.monotonic() + SCREEN_SECONDS
    while word not in said:
        assert time.monotonic() < until, said
        console.send(line)
        with contextlib.suppress(TimeoutError):
            while word not in said:
                said += console.recv(timeout=AGAIN_SECONDS)


def ended(console):
    """How a serial line ends: code and reason."""
    with pytest.raises(ConnectionClosed) as end:
        while True:
            console.recv(timeout=SCREEN_SECONDS)
    return end.value.rcvd.code, end.value.rcvd.reason


def serial_lines(credentials, vm):
    """A serial line has one reader, until another one takes it. Who had it before may still be leaving."""
    with serial_open(credentials, vm, "serial&force=yes") as first:
        serial_say(first, b"\necho serial-$((40 + 2))\n", b"serial-42")
        with serial_open(credentials, vm) as second:
            code, reason = ended(second)
            assert (code, "onevm console ID --web --force" in reason) == (TRY_AGAIN, True), (code, reason)
        with serial_open(credentials, vm, "serial&force=yes") as third:
            serial_say(third, b"\necho taken-$((40 + 3))\n", b"taken-43")
            code, reason = ended(first)
            assert "console ID" not in reason, (code, reason)


def size_seen_by_libvirt(vm):
    """Size of the screen in a picture that libvirt takes (PPM, or PNG)."""
    node = vm.host()
    path = f"/var/tmp/screen-{vm.id}"
    node.run(["virsh", "-q", "-c", "qemu:///system", "screenshot", vm.domain, path])
    data = (node.directory / "var-tmp" / f"screen-{vm.id}").read_bytes()
    if data.startswith(b"\x89PNG"):
        return struct.unpack(">II", data[16:24])
    return tuple(int(word) for word in data.split(None, 3)[1:3])


class Page(browser.Browser):
    """A browser on the network of the front-end, with the page of a console."""

    def __init__(self, cloud, directory):
        super().__init__(directory / "profile", cloud.lab.front_end.network_command)
        self.cloud = cloud

    def show(self, line):
        """Opens the page whose address a command prints; gives that address."""
        address = self.cloud.fe(f"onevm {line}").strip()
        self.open(address)
        return address

    def words(self):
        return self.value("document.getElementById('status')?.textContent") or ""

    def says(self, word):
        """Waits until the page says a word."""
        wait_until(SCREEN_SECONDS, lambda: word in self.words(), lambda: f"the page says {self.words()!r}, not {word!r}")

    def painted(self):
        """Waits until a screen is painted; gives its size and colours."""
        look = lambda: self.canvas("#screen canvas") or {"lit": 0}  # noqa: E731
        wait_until(SCREEN_SECONDS, lambda: look()["lit"] >= LIT_MIN, lambda: f"nothing is painted: {look()}")
        return look()

    def type(self, text):
        """Types on the page."""
        for letter in text:
            self.ask("Input.dispatchKeyEvent", type="keyDown", text=letter)
            self.ask("Input.dispatchKeyEvent", type="keyUp")


@pytest.mark.seconds(240)
def test_a_guest_is_reached_by_command_line_websocket_and_browser(cloud, tmp_path):
    vm = cloud.vm_make(STORAGES["ssh"]).running().guest_wait()
    front_end = cloud.lab.front_end
    credentials = (front_end.home / ".one/one_auth").read_text().strip()

    width, height, name = on_network(front_end, lambda: server_init(credentials, vm.id))
    assert (width, height) == size_seen_by_libvirt(vm)
    assert vm.domain in name
    guest_reached(cloud, vm)
    on_network(front_end, lambda: serial_lines(credentials, vm.id))

    lacks = browser.missing()
    if lacks:
        vm.terminate()
        print(lacks, file=sys.__stderr__, flush=True)
        pytest.skip(lacks)
    with Page(cloud, tmp_path) as page:
        serial_seen(page, vm)
        vnc_seen(page, vm, tmp_path, (width, height))
        spice_seen(page, vm, tmp_path)
    refused = cloud.fe(f"onevm vnc {vm.id} --web", check=False)
    assert "does not run on a host" in refused
    assert "on no host now" in cloud.fe(f"onevm console {vm.id}", check=False)
    vm.terminate()


def serial_seen(page, vm):
    """A terminal in which one can type."""
    page.show(f"console {vm.id} --web --force")
    page.says("Connected")

    def typed():
        """Typed again for the reason that is above."""
        page.type("\recho typed-$((40 + 4)) > /tmp/typed\r")
        return vm.guest("cat /tmp/typed", check=False) == "typed-44\n"

    wait_until(SCREEN_SECONDS, typed, "nothing was typed")
    text = page.canvas(".xterm-text-layer")
    assert text and text["lit"] >= LIT_MIN, text
    page.show(f"console {vm.id} --web")
    page.says("--force")


def vnc_seen(page, vm, tmp_path, size):
    """A screen by VNC, until its VM ends."""
    address = page.show(f"vnc {vm.id} --web")
    page.says("Connected")
    assert "token" not in page.value("location.href")
    painted = page.painted()
    assert (painted["width"], painted["height"]) == size
    assert painted["colours"] > 1
    picture = page.picture(tmp_path / "screen.png", "#screen canvas")
    assert LIT_MIN <= picture["lit"] < picture["width"] * picture["height"] / 2, picture
    assert picture["colours"] > 1, picture

    # The same address opens nothing any more.
    page.open(address)
    page.says("onevm vnc ID --web")

    # The page says why when the VM ends.
    page.show(f"vnc {vm.id} --web")
    page.says("Connected")
    vm.act("poweroff --hard", "POWEROFF")
    page.says("stopped or moved")


def spice_seen(page, vm, tmp_path):
    """The same by SPICE, with a password; the VM was off."""
    graphics = 'GRAPHICS = [ TYPE = "SPICE", LISTEN = "127.0.0.1", PASSWD = "letmein" ]'
    vm.cloud.lab.api("vm.updateconf", vm.id, graphics, 1)
    vm.act("resume", "RUNNING")
    page.show(f"spice {vm.id} --web")
    asked = "document.getElementById('login')?.hidden === false"
    wait_until(SCREEN_SECONDS, lambda: page.value(asked), lambda: f"no password is asked for: {page.words()!r}")
    page.value("document.getElementById('password').value = 'letmein'; document.getElementById('enter').click()")
    page.says("Connected")
    painted = page.painted()
    assert painted["colours"] > 1, painted
    picture = page.picture(tmp_path / "spice.png", "#screen canvas")
    assert LIT_MIN <= picture["lit"], picture
    vm.act("poweroff --hard", "POWEROFF")
    page.says("stopped or moved")

"""Screens of real guests in the browser: QEMU's VNC by WebSocket, and the page with noVNC in Chromium."""

import ctypes
import struct
import sys
import threading
from types import SimpleNamespace

import pytest
from cloud import STORAGES
from harness import browser
from harness.screens import token_get
from lab import wait_until
from websockets.sync.client import connect

# The interpreter's own setns is younger than what tests run on.
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
PORT = 2633
SCREEN_SECONDS = 60
NO_SECURITY = 1
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


def size_seen_by_libvirt(vm):
    """Size of the screen in a picture that libvirt takes (PPM, or PNG)."""
    node = vm.host()
    path = f"/var/tmp/screen-{vm.id}"
    node.run(["virsh", "-q", "-c", "qemu:///system", "screenshot", vm.domain, path])
    data = (node.directory / "var-tmp" / f"screen-{vm.id}").read_bytes()
    if data.startswith(b"\x89PNG"):
        return struct.unpack(">II", data[16:24])
    return tuple(int(word) for word in data.split(None, 3)[1:3])


@pytest.mark.seconds(180)
def test_a_screen_is_seen_by_websocket_and_in_the_browser(cloud, tmp_path):
    vm = cloud.vm_make(STORAGES["ssh"]).running().guest_wait()
    front_end = cloud.lab.front_end
    credentials = (front_end.home / ".one/one_auth").read_text().strip()

    width, height, name = on_network(front_end, lambda: server_init(credentials, vm.id))
    assert (width, height) == size_seen_by_libvirt(vm)
    assert vm.domain in name

    lacks = browser.missing()
    if lacks:
        vm.terminate()
        print(lacks, file=sys.__stderr__, flush=True)
        pytest.skip(lacks)
    address = cloud.fe(["onevm", "vnc", str(vm.id), "--web"]).strip()
    with browser.Browser(tmp_path / "profile", front_end.network_command) as seen:
        seen.open(address)
        words = lambda: seen.value("document.getElementById('status')?.textContent")  # noqa: E731
        wait_until(SCREEN_SECONDS, lambda: words() == "Connected", lambda: f"the page says {words()!r}")
        assert "token" not in seen.value("location.href")
        wait_until(
            SCREEN_SECONDS,
            lambda: (seen.canvas("#screen canvas") or {"lit": 0})["lit"] >= LIT_MIN,
            lambda: f"nothing is painted: {seen.canvas('#screen canvas')}",
        )
        painted = seen.canvas("#screen canvas")
        assert (painted["width"], painted["height"]) == (width, height)
        assert painted["colours"] > 1
        picture = seen.picture(tmp_path / "screen.png", "#screen canvas")
        assert LIT_MIN <= picture["lit"] < picture["width"] * picture["height"] / 2, picture
        assert picture["colours"] > 1, picture

        # The same address opens nothing any more.
        seen.open(address)
        wait_until(SCREEN_SECONDS, lambda: "onevm vnc ID --web" in (words() or ""), lambda: f"the page says {words()!r}")

        # The page says why when the VM ends.
        seen.open(cloud.fe(["onevm", "vnc", str(vm.id), "--web"]).strip())
        wait_until(SCREEN_SECONDS, lambda: words() == "Connected", lambda: f"the page says {words()!r}")
        vm.act("poweroff --hard", "POWEROFF")
        wait_until(SCREEN_SECONDS, lambda: "stopped or moved" in words(), lambda: f"the page says {words()!r}")
    refused = cloud.fe(["onevm", "vnc", str(vm.id), "--web"], check=False)
    assert "does not run on a host" in refused
    vm.terminate()

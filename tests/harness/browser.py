"""A headless Chromium, driven over a pair of pipes: it ends with its test, however that ends."""

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import time

PROGRAM = "chromium"
ANSWER_S = 60
STOP_S = 10
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--lang=en-US", "--window-size=1024,768",
    "--remote-debugging-pipe",
]  # fmt: skip
# Counts what can be seen in a picture: pixels that are not black, and colours.
COUNT = """
(async () => {
  const image = new Image();
  image.src = "data:image/png;base64,%s";
  await image.decode();
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const area = document.querySelector("%s").getBoundingClientRect();
  return (%s)(context.getImageData(area.x, area.y, area.width, area.height));
})()
"""
LIT = """(picture) => {
  const colours = new Set();
  let lit = 0;
  for (let at = 0; at < picture.data.length; at += 4) {
    const colour = picture.data[at] << 16 | picture.data[at + 1] << 8 | picture.data[at + 2];
    colours.add(colour);
    lit += colour ? 1 : 0;
  }
  return { width: picture.width, height: picture.height, colours: colours.size, lit };
}"""


def missing():
    """What lacks for a browser, as a sentence, or nothing."""
    return None if shutil.which(PROGRAM) else f"SKIPPED: {PROGRAM} is not installed (apt install {PROGRAM})"


class Browser:
    """A browser with one page. `wrap` makes the command line of a network of one's own."""

    def __init__(self, profile, wrap=list):
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        self.input, self.output = ours_in, ours_out
        words = [PROGRAM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        # Commands come on descriptor 3, answers go to 4.
        shell = ["bash", "-c", f'exec 3<&{theirs_in} 4>&{theirs_out}; exec "$@"', "browser"]
        self.log = open(profile.parent / "chromium.log", "wb")
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *wrap([*shell, *words])],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            pass_fds=(theirs_in, theirs_out),
            start_new_session=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self.pending = b""
        self.asked = 0
        self.session = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_S)
        os.close(self.input)
        os.close(self.output)
        self.log.close()

    def ask(self, method, **parameters):
        """Calls a method of the DevTools protocol; gives its result."""
        self.asked += 1
        message = {"id": self.asked, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.output, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + ANSWER_S
        while True:
            answer = self._next(deadline, method)
            if answer.get("id") == self.asked:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def _next(self, deadline, method):
        while b"\0" not in self.pending:
            ready, _, _ = select.select([self.input], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{method}: no answer within {ANSWER_S} s"
            data = os.read(self.input, 65536)
            assert data, f"{method}: the browser ended; its words are in {self.log.name}"
            self.pending += data
        message, self.pending = self.pending.split(b"\0", 1)
        return json.loads(message)

    def open(self, address):
        """Opens a page."""
        self.session = None
        target = self.ask("Target.createTarget", url=address)["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def value(self, script):
        """What a script of the page gives."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def picture(self, path, selector):
        """Takes a picture of the page, kept at `path`; gives an element's size in it, its pixels that are not black, its colours."""
        data = self.ask("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))
        return self.value(COUNT % (data, selector, LIT))

    def canvas(self, selector):
        """The same of a canvas of the page."""
        return self.value(
            f"(() => {{ const canvas = document.querySelector('{selector}');"
            f" return canvas && ({LIT})(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)); }})()"
        )

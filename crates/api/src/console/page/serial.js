// The serial line of one VM, in a terminal.

import { address, at, begin, say, texts, watch } from "./common.js";

const COMMAND = "onevm console ID --web";
// A serial line has no size: programs take it for this one unless they are told otherwise.
const SIZE = { cols: 80, rows: 24 };
const KEPT_LINES = 5000;

// Later versions hand over more than the terminal. The script before this one made `xterm`.
const Terminal = xterm.Terminal ?? xterm;

function lineOpen(token) {
  const terminal = new Terminal({ ...SIZE, scrollback: KEPT_LINES });
  terminal.open(at("terminal"));
  const socket = watch(new WebSocket(address(token), ["binary"]), COMMAND, () => {});
  socket.binaryType = "arraybuffer";
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  const send = (text) => {
    if (socket.readyState === WebSocket.OPEN) {
      socket.send(encoder.encode(text));
    }
  };
  socket.addEventListener("open", () => {
    say(texts.open);
    terminal.focus();
  });
  socket.addEventListener("message", (event) => {
    terminal.write(decoder.decode(event.data, { stream: true }));
  });
  if (terminal.onData) {
    terminal.onData(send);
  } else {
    terminal.on("data", send);
  }
}

const token = begin(COMMAND);
if (token) {
  lineOpen(token);
}

// The screen of one VM by SPICE.

import * as spice from "./spice/main.js";
import { address, at, begin, password, say, texts, watch } from "./common.js";

const COMMAND = "onevm spice ID --web";
const SECRET_BYTES = 16;

// SPICE opens a WebSocket for each of its channels, all at one address. The token opens the first; the others are opened
// by this secret, which nobody but this page has.
function secretMake() {
  const bytes = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const secret = secretMake();
let screen = null;

function screenOpen(token, word) {
  say(texts.opening);
  let denied = false;
  screen?.stop();
  at("screen").replaceChildren();
  screen = new spice.SpiceMainConn({
    uri: `${address(token)}&session=${secret}`,
    screen_id: "screen",
    password: word,
    onsuccess: () => {
      say(texts.open);
      at("keys").hidden = false;
    },
    onerror: (error) => {
      denied = error?.message === "Permission denied.";
    },
  });
  watch(screen.ws, COMMAND, () => { at("keys").hidden = true; });
  // It can be tried again when this WebSocket has ended, for which the server is asked no earlier.
  screen.ws.addEventListener("close", () => {
    screen.stop();
    if (denied) {
      say(word ? texts.password : "");
      at("login").hidden = false;
      at("password").focus();
    }
  });
}

const token = begin(COMMAND);
if (token) {
  at("keys").addEventListener("click", () => spice.sendCtrlAltDel(screen));
  password((word) => screenOpen(token, word));
  screenOpen(token, "");
}

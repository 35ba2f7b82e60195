// The screen of one VM by VNC.

import RFB from "./novnc/core/rfb.js";
import { address, at, begin, password, say, texts, watch } from "./common.js";

const COMMAND = "onevm vnc ID --web";

function screenOpen(token) {
  const socket = watch(new WebSocket(address(token), ["binary"]), COMMAND, () => {
    at("keys").hidden = true;
    at("login").hidden = true;
  });
  const screen = new RFB(at("screen"), socket, { shared: true });
  screen.scaleViewport = true;
  screen.addEventListener("connect", () => {
    say(texts.open);
    at("keys").hidden = false;
    screen.focus();
  });
  screen.addEventListener("credentialsrequired", () => {
    at("login").hidden = false;
    at("password").focus();
  });
  screen.addEventListener("securityfailure", (event) => {
    say(`${texts.closed}: ${event.detail.reason ?? event.detail.status}`);
  });
  at("keys").addEventListener("click", () => {
    screen.sendCtrlAltDel();
    screen.focus();
  });
  password((word) => screen.sendCredentials({ password: word }));
}

const token = begin(COMMAND);
if (token) {
  screenOpen(token);
}

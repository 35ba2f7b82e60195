// The screen of one VM. The token comes in the fragment of the address, which no server gets to see, and is good once.

import RFB from "./novnc/core/rfb.js";

const TEXTS = {
  en: {
    vm: "VM",
    opening: "Opening…",
    open: "Connected",
    closed: "Closed",
    token: "There is no token in this address. Ask for an address: onevm vnc ID --web",
    refused: "The server refused. A token is good once, for a short time: ask for another address with onevm vnc ID --web",
    ask: "Password of the screen:",
    enter: "Open",
  },
  zh: {
    vm: "虚拟机",
    opening: "正在打开…",
    open: "已连接",
    closed: "已关闭",
    token: "地址中没有令牌。请获取一个地址：onevm vnc ID --web",
    refused: "服务器拒绝。令牌只能在短时间内使用一次：请用 onevm vnc ID --web 获取新地址",
    ask: "屏幕密码：",
    enter: "打开",
  },
};
const language = navigator.language.startsWith("zh") ? "zh" : "en";
const texts = TEXTS[language];
const at = (id) => document.getElementById(id);
const say = (text) => { at("status").textContent = text; };

function socketOpen(token) {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/console/ws?token=${encodeURIComponent(token)}`, ["binary"]);
  let opened = false;
  socket.addEventListener("open", () => { opened = true; });
  socket.addEventListener("close", (event) => {
    at("keys").hidden = true;
    at("login").hidden = true;
    say(opened ? `${texts.closed}: ${event.reason}` : texts.refused);
  });
  return socket;
}

function screenOpen(token) {
  say(texts.opening);
  const screen = new RFB(at("screen"), socketOpen(token), { shared: true });
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
  at("login").addEventListener("submit", (event) => {
    event.preventDefault();
    at("login").hidden = true;
    screen.sendCredentials({ password: at("password").value });
    at("password").value = "";
  });
}

const given = new URLSearchParams(location.hash.slice(1));
// A used token is of no use in the history.
history.replaceState(null, "", location.pathname);
document.documentElement.lang = language;
at("ask").textContent = texts.ask;
at("enter").textContent = texts.enter;
const vm = Number.parseInt(given.get("vm"), 10);
if (vm >= 0) {
  at("name").textContent = `${texts.vm} ${vm}`;
  document.title = `${texts.vm} ${vm}`;
}
if (given.get("token")) {
  screenOpen(given.get("token"));
} else {
  say(texts.token);
}

// What the pages of consoles share. The token comes in the fragment of the address, which no server gets to see, and is good once.

const TEXTS = {
  en: {
    vm: "VM",
    opening: "Opening…",
    open: "Connected",
    closed: "Closed",
    token: "There is no token in this address. Ask for an address",
    refused: "The server refused. A token is good once, for a short time: ask for another address",
    ask: "Password of the screen:",
    enter: "Open",
    password: "The screen takes another password",
  },
  zh: {
    vm: "虚拟机",
    opening: "正在打开…",
    open: "已连接",
    closed: "已关闭",
    token: "地址中没有令牌。请获取一个地址",
    refused: "服务器拒绝。令牌只能在短时间内使用一次：请获取新地址",
    ask: "屏幕密码：",
    enter: "打开",
    password: "屏幕密码不对",
  },
};
const language = navigator.language.startsWith("zh") ? "zh" : "en";

export const texts = TEXTS[language];
export const at = (id) => document.getElementById(id);
export const say = (text) => { at("status").textContent = text; };

// The token of the address, or null. `command` is what gives another address.
export function begin(command) {
  const given = new URLSearchParams(location.hash.slice(1));
  // A used token is of no use in the history.
  history.replaceState(null, "", location.pathname);
  document.documentElement.lang = language;
  const vm = Number.parseInt(given.get("vm"), 10);
  if (vm >= 0) {
    at("name").textContent = `${texts.vm} ${vm}`;
    document.title = `${texts.vm} ${vm}`;
  }
  const token = given.get("token");
  say(token ? texts.opening : `${texts.token}: ${command}`);
  return token;
}

export function address(token) {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  return `${scheme}://${location.host}/console/ws?token=${encodeURIComponent(token)}`;
}

// Says why a WebSocket was closed, and calls `ended`.
export function watch(socket, command, ended) {
  let opened = false;
  socket.addEventListener("open", () => { opened = true; });
  socket.addEventListener("close", (event) => {
    ended();
    say(opened ? `${texts.closed}: ${event.reason}` : `${texts.refused}: ${command}`);
  });
  return socket;
}

// Asks for the password of a screen.
export function password(given) {
  at("ask").textContent = texts.ask;
  at("enter").textContent = texts.enter;
  at("login").addEventListener("submit", (event) => {
    event.preventDefault();
    at("login").hidden = true;
    given(at("password").value);
    at("password").value = "";
  });
}

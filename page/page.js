"use strict";
// What is typed stays in the page's memory: no storage, no request. The core does all that is more than showing.

const TEXTS = {
  en: {
    title: "Logins of IoTDA devices",
    language: "Language",
    privacy: "Nothing is stored and nothing is sent: the page cannot open a connection, and works without a network. The fields are cleared when you leave it. If the browser offers to save a password, refuse.",
    make: "Make a login",
    deviceId: "Device id",
    secret: "Secret",
    signType: "Sign type",
    signType0: "0: HMAC-SHA256, the timestamp is not checked",
    signType1: "1: HMAC-SHA256, the timestamp must be fresh",
    signType2: "2: HMAC-SM3, the timestamp must be fresh",
    hour: "Hour, in UTC",
    now: "Now",
    show: "Show",
    copy: "Copy",
    copied: "Copied",
    notCopied: "Cannot copy: mark the text and press Ctrl+C",
    commands: "As commands and code",
    commandsNote: "Each holds the password. Whoever sees it can log in as the device until it expires.",
    host: "Broker",
    explain: "Why is a login refused?",
    logLine: "A line of the broker's log",
    or: "Or what the device sends. An empty field counts as not sent.",
    secretAtHand: "The device's secret, if you have it",
    keepAlive: "Keep alive, seconds",
    at: "Time of the login [now]",
    options: "Options of the plugin, if not the defaults",
    check: "Explain",
    clear: "Clear",
    asText: "Copy as text",
    noCore: "This browser cannot run the page: it needs WebAssembly and DecompressionStream.",
  },
  zh: {
    title: "IoTDA 设备登录",
    language: "语言",
    privacy: "不保存、不发送任何内容：本页面无法建立网络连接，离线也能使用。离开页面时输入框会被清空。如果浏览器询问是否保存密码，请选择不保存。",
    make: "生成登录参数",
    deviceId: "设备 ID",
    secret: "密钥",
    signType: "签名类型",
    signType0: "0：HMAC-SHA256，不校验时间戳",
    signType1: "1：HMAC-SHA256，时间戳必须在有效期内",
    signType2: "2：HMAC-SM3，时间戳必须在有效期内",
    hour: "小时（UTC）",
    now: "现在",
    show: "显示",
    copy: "复制",
    copied: "已复制",
    notCopied: "无法复制：请选中文本后按 Ctrl+C",
    commands: "命令与代码",
    commandsNote: "每一段都含有密码。看到它的人在密码过期之前可以冒充该设备登录。",
    host: "服务器",
    explain: "登录为什么被拒绝？",
    logLine: "服务器日志中的一行",
    or: "或者填写设备发送的内容。留空表示未发送。",
    secretAtHand: "设备的密钥（如果有）",
    keepAlive: "心跳（秒）",
    at: "登录时间［现在］",
    options: "插件选项（非默认值时填写）",
    check: "解释",
    clear: "清空",
    asText: "复制为文本",
    noCore: "此浏览器无法运行本页面：需要 WebAssembly 和 DecompressionStream。",
  },
};

const element = (id) => document.getElementById(id);
const all = (selector) => document.querySelectorAll(selector);
let language = navigator.language.startsWith("zh") ? "zh" : "en";
const text = (name) => TEXTS[language][name];

// The core: one buffer in, one buffer out. Fields are separated by NUL, which no field may hold; the answer has a row on each
// line, and tabs between its cells.
let core;
async function start() {
  const packed = Uint8Array.from(atob(element("core").textContent), (char) => char.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const code = await new Response(stream).arrayBuffer();
  core = (await WebAssembly.instantiate(code)).instance.exports;
}

function ask(...fields) {
  const bytes = new TextEncoder().encode(fields.map((field) => field.replaceAll("\0", "")).join("\0"));
  const input = core.input(bytes.length);
  new Uint8Array(core.memory.buffer, input, bytes.length).set(bytes);
  const length = core.answer();
  const rows = new TextDecoder().decode(new Uint8Array(core.memory.buffer, core.output(), length));
  // The request and the answer may hold a secret.
  core.wipe();
  return rows.split("\n").filter(Boolean).map((row) => row.split("\t"));
}

function node(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// What a screen reader says. A text that is already there is not said again.
function say(words) {
  if (element("said").textContent !== words) element("said").textContent = words;
}

// A button that copies a text, and says whether it could.
function copyButton(value, label, caption = "copy") {
  const button = node("button", { type: "button", className: "plain", textContent: text(caption) });
  if (label) button.setAttribute("aria-label", `${text(caption)}: ${label}`);
  button.addEventListener("click", async () => {
    say("");
    let said = "copied";
    try {
      await navigator.clipboard.writeText(value);
    } catch {
      // A page that was opened as a file may have no clipboard: it still can copy what is selected.
      const field = node("textarea", { value });
      document.body.append(field);
      field.select();
      if (!document.execCommand("copy")) said = "notCopied";
      field.remove();
      button.focus();
    }
    button.textContent = text(said);
    if (label) button.setAttribute("aria-label", `${text(said)}: ${label}`);
    button.classList.toggle("long", said === "notCopied");
    say(button.getAttribute("aria-label") ?? text(said));
  });
  return button;
}

function shown(name, value) {
  return [node("dt", { textContent: name }), node("dd", {}, node("code", { textContent: value }), copyButton(value, name))];
}

function make() {
  const form = element("make");
  const field = (name) => form.elements[name].value;
  const made = element("made");
  made.replaceChildren();
  element("commands").hidden = true;
  if (!field("device_id") || !field("secret")) return say("");
  const rows = ask("make", language, field("device_id"), field("secret"), field("sign_type"), field("stamp"), element("host").value);
  const list = node("dl");
  const lines = element("lines");
  lines.replaceChildren();
  for (const [kind, name, value] of rows) {
    if (kind === "error") made.append(node("p", { className: "fault", textContent: name }));
    if (kind === "note") made.append(node("p", { className: "note", textContent: name }));
    if (kind === "error" || kind === "note") say(name);
    if (kind === "value") list.append(...shown(name, value));
    if (kind === "code") {
      const code = JSON.parse(value);
      lines.append(node("h3", { textContent: name }), node("div", { className: "line" }, node("pre", { textContent: code }), copyButton(code, name)));
    }
  }
  if (list.children.length) made.prepend(list);
  element("commands").hidden = !lines.children.length;
}

// Browsers read much more as a time, each in its own way, and one without a zone as the time of the user's own place.
function instant(text) {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)$/.test(text) ? Date.parse(text) : NaN;
}

function explain() {
  const form = element("explain");
  const field = (name) => form.elements[name].value;
  const line = field("log_line").trim();
  const now = String(Math.floor((field("at") ? instant(field("at").trim()) : Date.now()) / 1000));
  const rows = line
    ? ask("line", language, line)
    : ask("explain", language, now, ...["client_id", "username", "password", "secret", "keep_alive", "options"].map(field));
  const explained = element("explained");
  explained.replaceChildren();
  let steps;
  for (const [kind, ...cells] of rows) {
    if (kind === "error") explained.append(node("p", { className: "fault", textContent: cells[0] }));
    if (kind === "fact") explained.append(node("p", { className: "quiet", textContent: `${cells[0]}: ${cells[1]}` }));
    if (kind === "step") {
      if (!steps) explained.append((steps = node("ol", { className: "steps" })));
      const [number, title, outcome, words] = cells;
      steps.append(
        node(
          "li",
          {},
          node("span", { className: "number", textContent: number }),
          node("span", { textContent: title }),
          node("span", { className: `outcome ${outcome}`, textContent: words }),
        ),
      );
    }
    if (kind === "note") explained.append(node("p", { className: "note", textContent: cells[0] }));
    if (kind === "verdict") explained.append(node("p", { className: `verdict ${cells[0]}`, textContent: cells[1] }));
    if (kind === "advice") explained.append(node("p", { className: "advice", textContent: cells[0] }));
    if (kind === "text") explained.append(copyButton(JSON.parse(cells[0]), "", "asText"));
  }
}

function setHour() {
  element("make-hour").value = new Date().toISOString().slice(0, 13).replace(/\D/g, "");
}

function clear() {
  for (const form of all("form")) form.reset();
  for (const id of ["said", "made", "lines", "explained"]) element(id).replaceChildren();
  element("commands").hidden = true;
  for (const button of all("[data-show]")) hide(button);
  setHour();
}

function hide(button) {
  element(button.dataset.show).type = "password";
  button.setAttribute("aria-pressed", "false");
}

function speak(chosen) {
  language = chosen;
  document.documentElement.lang = chosen === "zh" ? "zh-CN" : "en";
  document.title = text("title");
  for (const place of all("[data-text]")) place.textContent = text(place.dataset.text);
  for (const place of all("[data-label]")) place.setAttribute("aria-label", text(place.dataset.label));
  for (const button of all("[data-language]")) button.setAttribute("aria-pressed", String(button.dataset.language === chosen));
  if (core) {
    make();
    if (element("explained").children.length) explain();
  }
}

for (const button of all("[data-language]")) button.addEventListener("click", () => speak(button.dataset.language));
for (const button of all("[data-show]")) {
  button.addEventListener("click", () => {
    const field = element(button.dataset.show);
    const isHidden = field.type === "password";
    field.type = isHidden ? "text" : "password";
    button.setAttribute("aria-pressed", String(isHidden));
  });
}
element("make").addEventListener("input", make);
element("make").addEventListener("submit", (event) => event.preventDefault());
element("host").addEventListener("input", make);
element("now").addEventListener("click", () => {
  setHour();
  make();
});
element("explain").addEventListener("submit", (event) => {
  event.preventDefault();
  explain();
});
element("explain").addEventListener("reset", () => element("explained").replaceChildren());
// A page that is left may be kept in memory and shown again.
addEventListener("pagehide", clear);
addEventListener("pageshow", (event) => event.persisted && clear());

speak(language);
setHour();
start().then(
  () => {
    document.body.dataset.milliseconds = performance.now();
    document.body.dataset.ready = "yes";
    make();
  },
  () => {
    const fault = element("fault");
    fault.textContent = text("noCore");
    fault.hidden = false;
  },
);

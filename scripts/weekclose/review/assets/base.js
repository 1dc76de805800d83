// What every part shares: elements, words, numbers. Data only ever becomes text, never markup.

const MINUS = "\u2212";
const NOTHING = "\u2013";

/** An element. A function among the attributes is a listener; children are nodes or text. */
function h(tag, attributes, ...children) {
  return dressed(document.createElement(tag), attributes, children);
}

function svg(tag, attributes, ...children) {
  return dressed(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function dressed(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name === "style") Object.assign(element.style, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const byId = (id) => document.getElementById(id);

function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
}

/** Somebody else's text: no mark that could turn or hide what stands beside it, and not without end. */
function tidy(text, longest = 80) {
  const safe = String(text ?? "").replace(/[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu, "\ufffd");
  return safe.length > longest ? `${safe.slice(0, longest).replace(/[\ud800-\udbff]$/u, "")}\u2026` : safe;
}

/** A name stands apart from the text around it, whichever way it is written. */
function named(text, longest) {
  const whole = tidy(text, 2000);
  const short = tidy(text, longest);
  return h("bdi", { title: whole === short ? null : whole }, short);
}

const grouped = (digits) => digits.replace(/\B(?=(\d{3})+$)/g, ",");

/** Hundredths as an exact amount with a true minus. */
function amount(cents, sign = false) {
  if (cents === null || cents === undefined) return NOTHING;
  const digits = String(Math.abs(cents)).padStart(3, "0");
  return `${signOf(cents, sign)}${grouped(digits.slice(0, -2))}.${digits.slice(-2)}`;
}

function count(value, sign = false) {
  if (value === null || value === undefined) return NOTHING;
  return `${signOf(value, sign)}${grouped(String(Math.abs(value)))}`;
}

const signOf = (value, plus) => (value < 0 ? MINUS : plus && value > 0 ? "+" : "");

/** `1 row`, `2 rows`, `2 entries`. */
const several = (many, what) => `${count(many)} ${many === 1 ? what : what.endsWith("y") ? `${what.slice(0, -1)}ies` : `${what}s`}`;

function money(cents, currency, sign) {
  return h("span", { class: "money" }, amount(cents, sign), cents === null || !currency ? null : h("span", { class: "currency" }, `\u00a0${currency}`));
}

function percent(share, digits = 1) {
  if (share === null || share === undefined || !Number.isFinite(share)) return NOTHING;
  return `${share < 0 ? MINUS : ""}${Math.abs(share * 100).toFixed(digits)}\u00a0%`;
}

/** How a value moved against the one before; coloured only where a direction is good or bad. */
function change(value, previous, good) {
  if (value === null || previous === null || previous === undefined) return h("span", { class: "muted" }, "no earlier window");
  const difference = value - previous;
  if (difference === 0) return h("span", { class: "muted" }, "unchanged");
  if (previous === 0) return h("span", { class: toneOf(difference, good) }, difference > 0 ? "was 0" : "was 0, now less");
  const share = difference / Math.abs(previous);
  const shown = Math.abs(share) >= 9.995 ? `${signOf(share, true)}${grouped(Math.abs(share * 100).toFixed(0))}\u00a0%` : `${signOf(share, true)}${Math.abs(share * 100).toFixed(1)}\u00a0%`;
  return h("span", { class: toneOf(difference, good) }, shown);
}

function toneOf(difference, good) {
  if (!good || difference === 0) return "same";
  return difference > 0 === (good === "up") ? "better" : "worse";
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/** A date, YYYY-MM-DD, for people. */
function day(text, { weekday = false, year = false } = {}) {
  if (!text) return NOTHING;
  const [y, m, d] = text.slice(0, 10).split("-").map(Number);
  const name = weekday ? `${DAYS[new Date(Date.UTC(y, m - 1, d)).getUTCDay()]} ` : "";
  return `${name}${d} ${MONTHS[m - 1]}${year ? ` ${y}` : ""}`;
}

function daysAfter(text, days) {
  const at = new Date(`${text}T00:00:00Z`);
  at.setUTCDate(at.getUTCDate() + days);
  return at.toISOString().slice(0, 10);
}

/** An instant in ISO 8601 as it stands: it is already on the settlement clock. */
function instant(text) {
  if (!text) return NOTHING;
  return `${day(text, { year: true })} ${text.slice(11, 16)}`;
}

const clocks = new Map();

/** Seconds since 1970 on the settlement clock. */
function clock(seconds, zone) {
  if (!clocks.has(zone)) {
    clocks.set(zone, new Intl.DateTimeFormat("en-GB", { timeZone: zone, day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" }));
  }
  return clocks.get(zone).format(new Date(seconds * 1000)).replace(",", "").replace("Sept", "Sep");
}

const words = (key) => String(key ?? "").replaceAll("_", " ");

const TONES = {
  paid: "good", pass: "good", settled: "good", accepted: "good", book: "good", fresh: "good",
  blocked: "bad", failed: "bad", returned: "bad", fail: "bad", rejected: "bad", error: "bad", stale: "bad", break: "bad",
  warn: "warn", awaiting_reconciliation: "warn", reversed: "warn", flagged: "warn", negative: "warn", late: "warn", restated: "warn", unknown: "warn",
};

function badge(status, tone = TONES[status] || "plain") {
  return h("span", { class: `badge ${tone}` }, words(status) || NOTHING);
}

/** How long, in the largest unit that makes a number of it. */
function age(hours) {
  if (hours === null || hours === undefined) return NOTHING;
  if (hours < 1) return "< 1\u00a0h";
  return hours < 48 ? `${count(hours)}\u00a0h` : `${count(Math.floor(hours / 24))}\u00a0days`;
}

/** A table of its own scroll box, which a keyboard can reach. */
function table(label, columns, rows, { foot = null, className = "" } = {}) {
  const cells = (row, tag) => columns.map((column, index) => {
    const attributes = { class: [column.right && "num", column.className].filter(Boolean).join(" ") || null, scope: tag === "th" ? "col" : null };
    if (tag === "td" && index === 0 && column.heads) return h("th", { ...attributes, scope: "row" }, row[index]);
    return h(tag, attributes, row[index]);
  });
  return h("div", { class: `scroll ${className}`, role: "region", "aria-label": label, tabindex: "0" },
    h("table", null,
      h("thead", null, h("tr", null, cells(columns.map((column) => column.name), "th"))),
      h("tbody", null, rows.map((row) => (row instanceof Node ? row : h("tr", null, cells(row, "td"))))),
      foot && h("tfoot", null, foot.map((row) => h("tr", null, cells(row, "td")))),
    ));
}

function empty(sentence, command) {
  return h("div", { class: "empty" }, h("p", null, sentence), command && commandBox(command));
}

/** A command to copy; the page runs nothing. */
function commandBox(command, { label = "Copy", disabled = false, id = null } = {}) {
  const code = h("code", null, command);
  const button = h("button", { type: "button", id, disabled, click: () => copy(command, code) }, label);
  return h("div", { class: "command" }, h("pre", { tabindex: "0", "aria-label": "Command" }, code), button);
}

/** The same in a row of a list; there the keyboard opens the row, which has the command in full. */
function copyButton(command) {
  return h("button", { type: "button", class: "small", tabindex: "-1", "aria-label": `Copy ${command}`, click: (event) => {
    event.stopPropagation();
    copy(command, event.currentTarget);
  } }, "Copy");
}

async function copy(text, shown) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  } catch {
    // Without the right to the clipboard the command is at least marked, ready for the keyboard.
    getSelection().selectAllChildren(shown);
    say("The command is selected: copy it with the keyboard.");
  }
}

function say(text) {
  byId("said").textContent = text;
  const toast = h("div", { class: "toast", "aria-hidden": "true" }, text);
  (document.querySelector("dialog[open]") || document.body).append(toast);
  setTimeout(() => toast.remove(), 2500);
}

function download(name, type, parts) {
  const url = URL.createObjectURL(new Blob(parts, { type }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/** RFC 4180; what a spreadsheet could take for a formula gets an apostrophe in front, as in `weekclose export`. */
function csvCell(value) {
  if (value === null || value === undefined) return "";
  let text = String(value);
  if (typeof value === "string") {
    const seen = (part) => (part.match(/[^\p{C}\p{Z}'"]/u) || [""])[0].normalize("NFKC");
    text = text.split(/([;\t\r\n])/).map((part) => (/^[=+\-@]/.test(seen(part)) ? `'${part}` : part)).join("");
    if (/^'*[\t\r\n]/.test(text)) text = `'${text}`;
  }
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const plainAmount = (cents) => {
  if (cents === null || cents === undefined) return null;
  const digits = String(Math.abs(cents)).padStart(3, "0");
  return Number.isInteger(cents) ? new Plain(`${cents < 0 ? "-" : ""}${digits.slice(0, -2)}.${digits.slice(-2)}`) : null;
};

/** A number's text, which stays a number in a spreadsheet. */
class Plain {
  constructor(text) { this.text = text; }
  toString() { return this.text; }
}

// What may move next, what waits, what needs a person: the queue, the pressure of each state, one payout.

const READINESS = {
  ready: { text: "ready", tone: "good" },
  near_ready: { text: "near ready", tone: "plain" },
  pending: { text: "pending", tone: "plain" },
  blocked: { text: "blocked", tone: "bad" },
};
const ATTENTION = { intervene: { text: "needs a person", tone: "warn" }, wait: { text: "waits", tone: "plain" }, none: { text: "goes its way", tone: "plain" } };
const STEPS_SHOWN = 6;

/** Rows of the summary by what they measure: how many, the money of each currency, the oldest. */
function measured({ summary }, measure, state) {
  const rows = summary.filter((row) => row.measure === measure && row.state === state);
  return {
    rows,
    many: rows.reduce((sum, row) => sum + row.item_count, 0),
    amounts: rows.filter(({ amount: cents }) => cents !== null).map((row) => [row.currency, row.amount]),
    oldest: rows.reduce((most, { oldest_hours: hours }) => Math.max(most, hours ?? 0), 0),
  };
}

function summaryTiles(data, list) {
  const readiness = (state, label, about) => {
    const { many, amounts, oldest } = measured(data, "readiness", state);
    return tile({ label, value: count(many), amounts, note: many ? `${about}, oldest ${age(oldest)}` : "none", tone: many && state === "ready" ? "good" : "", show: many ? () => list.choose({ readiness: state }) : null });
  };
  const needs = measured(data, "attention", "intervene");
  const overdue = measured(data, "holds", "overdue");
  const failed = measured(data, "schedules", "failed");
  const [total, lately] = [measured(data, "ledger_events", "total"), measured(data, "ledger_events", "last_24_hours")];
  return part("summary", "At a glance", null, h("div", { class: "tiles" },
    readiness("ready", "Ready", "safe to move"),
    tile({ label: "Needs a person", value: count(needs.many), amounts: needs.amounts, note: needs.many ? `oldest ${age(needs.oldest)}` : "nobody has to do anything", tone: needs.many ? "warn" : "", show: needs.many ? () => list.choose({ attention: "intervene" }) : null }),
    readiness("near_ready", "Near ready", "time alone is in the way"),
    readiness("pending", "Pending", "under way"),
    readiness("blocked", "Blocked", "something is in the way"),
    tile({ label: "Holds over", value: count(overdue.many), amounts: overdue.amounts, note: overdue.many ? "the next Sunday releases them" : "none", tone: overdue.many ? "warn" : "" }),
    tile({ label: "Failed schedules", value: count(failed.many), amounts: failed.amounts, note: failed.many ? "a person requests them" : "none", tone: failed.many ? "bad" : "" }),
    tile({ label: "Booked in 24 hours", value: count(lately.many), note: `${count(total.many)} ledger events in all` })));
}

/** The commands that the queue asks for: what each moves is all that one has to know to run it. */
function stepsPart({ steps }) {
  if (!steps.length) return null;
  const body = h("div");
  const line = (step) => h("li", { class: "step" },
    h("div", { class: "line" }, badge(step.attention === "intervene" ? "needs a person" : step.readiness, step.attention === "intervene" ? "warn" : READINESS[step.readiness]?.tone),
      h("b", null, several(step.payouts, "payout")), Object.entries(step.money).map(([currency, cents]) => money(cents, currency)),
      h("span", { class: "muted" }, tidy(sentence(step.reasons.join("; ")), 240))),
    commandBox(step.command));
  const draw = (limit) => fill(body, h("ol", { class: "steps-next" }, steps.slice(0, limit).map(line)),
    steps.length > limit && h("div", { class: "pad more" }, h("button", { type: "button", click: () => draw(steps.length) }, `Show all ${count(steps.length)}`)));
  draw(STEPS_SHOWN);
  return part("next", "What to do next", "Each command once, with all that it moves; what is safe comes first.", h("div", { class: "panel" }, body));
}

const PAYOUT_FILE = ["payout_number", "seller_id", "name", "payout_window", "currency", "amount", "rail", "status", "readiness", "attention", "reasons", "next_action", "reference_id", "since", "age_hours"];

function payoutList(data, { id, label, rows, fields, filters, chips, open, nothing, search }) {
  const { columns, length } = rows;
  return listOf({
    id, label, columns, length, fields: fields.filter(Boolean), filters, chips, open, nothing, what: "payout",
    search, sums: [["amount", "Amount"]],
    file: { name: `weekclose-${id}-${data.page.generated_at.slice(0, 10)}`, names: PAYOUT_FILE, value: (name, row) => (name === "amount" ? plainAmount(columns.amount[row]) : columns[name][row]) },
  });
}

function payoutFields(columns, texts) {
  const cell = (name, longest = 40) => (row) => tidy(columns[name][row] ?? NOTHING, longest);
  return {
    who: { id: "payout", name: "Payout", width: 200, few: 160, keys: () => columns.name.map((name, row) => (name || columns.seller_id[row]).toLowerCase()),
      cell: (row) => pair(named(columns.name[row] || columns.seller_id[row], 60), columns.payout_number[row] ?? `window of ${day(columns.payout_window[row])}`) },
    window: { id: "payout_window", name: "Window", width: 78, cell: (row) => day(columns.payout_window[row]), keys: columns.payout_window },
    status: { id: "status", name: "Status", width: 116, cell: (row) => badge(columns.status[row]), keys: columns.status },
    rail: { id: "rail", name: "Rail", width: 66, cell: cell("rail", 20), keys: columns.rail },
    amount: { id: "amount", name: "Amount", width: 122, few: 120, right: true, strong: true, cell: (row) => money(columns.amount[row], columns.currency[row]), keys: columns.amount },
    ...texts,
  };
}

const PAYOUT_SEARCH = { names: ["payout_number", "seller_id", "name", "reference_id"], placeholder: "Payout, seller", label: "Search by payout, seller or reference" };
const PAYOUT_FILTERS = [{ name: "rail", label: "Any rail" }, { name: "currency", label: "Any currency" }, { name: "status", label: "Any status" }];

function queueList(data, open) {
  const { columns, length } = data.queue;
  const order = Array.from({ length }, (_, row) => row);
  const fields = payoutFields(columns, {
    rank: { id: "rank", name: "#", width: 46, right: true, cell: (row) => count(row + 1), keys: order },
    readiness: { id: "readiness", name: "Readiness", width: 104, few: 96, cell: (row) => badge(columns.readiness[row], READINESS[columns.readiness[row]].tone), keys: columns.readiness },
    attention: { id: "attention", name: "Attention", width: 126, keys: columns.attention,
      cell: (row) => (columns.attention[row] === "none" ? NOTHING : badge(ATTENTION[columns.attention[row]].text, ATTENTION[columns.attention[row]].tone)) },
    why: { id: "why", name: "Why, and the command", width: 380, keys: columns.reasons,
      cell: (row) => pair(h("span", { title: columns.reasons[row] }, tidy(sentence(columns.reasons[row]), 140)), columns.next_action[row] ? h("code", null, tidy(columns.next_action[row], 120)) : "") },
    age: { id: "age", name: "Age", width: 72, right: true, cell: (row) => age(columns.age_hours[row]), keys: columns.age_hours },
    copy: { id: "copy", name: "", width: 66, cell: (row) => (columns.next_action[row] ? copyButton(columns.next_action[row]) : ""), keys: order },
  });
  return payoutList(data, {
    id: "queue", label: "Queue", rows: data.queue, open, search: PAYOUT_SEARCH, filters: PAYOUT_FILTERS, nothing: "No payout matches.",
    fields: [fields.rank, fields.who, fields.readiness, fields.attention, fields.why, fields.rail, fields.amount, fields.age, fields.copy],
    chips: [{ name: "readiness", label: "Readiness", values: Object.entries(READINESS).map(([value, { text }]) => ({ value, text })) },
      { name: "attention", label: "Attention", values: Object.entries(ATTENTION).map(([value, { text }]) => ({ value, text })) }],
  });
}

function doneList(data, open) {
  const { columns } = data.done;
  const fields = payoutFields(columns, {
    reference: { id: "reference", name: "Reference", width: 220, cell: (row) => h("code", null, tidy(columns.reference_id[row] ?? NOTHING, 60)), keys: columns.reference_id },
    moved: { id: "since", name: "Moved", width: 150, cell: (row) => instant(columns.since[row]), keys: columns.since },
  });
  return payoutList(data, {
    id: "done", label: "Moved last", rows: data.done, open, search: { ...PAYOUT_SEARCH, placeholder: "Payout, seller, reference" }, filters: PAYOUT_FILTERS, nothing: "No payout matches.",
    fields: [fields.who, { ...fields.status, few: 96 }, fields.window, fields.reference, fields.rail, fields.moved, fields.amount],
  });
}

/** How many wait in each state, how much money that is, and for how long. */
function pressurePart(data) {
  const rows = data.summary.filter(({ measure }) => measure === "status");
  if (!rows.length) return null;
  const order = ["pending", "ready", "submitted", "awaiting_reconciliation", "blocked", "failed", "returned"];
  const place = ({ state }) => (order.includes(state) ? order.indexOf(state) : order.length);
  const sorted = [...rows].sort((a, b) => place(a) - place(b) || (a.currency < b.currency ? -1 : 1));
  const most = Math.max(...sorted.map(({ item_count: many }) => many));
  const lines = sorted.map((row, index) => h("tr", null,
    h("th", { scope: "row" }, sorted[index - 1]?.state === row.state ? h("span", { class: "unseen" }, words(row.state)) : badge(row.state)),
    h("td", { class: "bar wide", "aria-hidden": "true" }, h("div", null, h("i", { class: `tone-${TONES[row.state] || "plain"}`, style: { left: "0", width: `max(2px, ${(100 * row.item_count) / most}%)` } }))),
    h("td", { class: "num" }, count(row.item_count)), h("td", { class: "num" }, money(row.amount, row.currency)),
    h("td", { class: "num" }, age(row.oldest_hours))));
  const codes = [...new Set(sorted.map(({ currency }) => currency))];
  const sum = (code, key) => sorted.filter(({ currency }) => currency === code).reduce((total, row) => total + row[key], 0);
  return part("pressure", "Lifecycle pressure", "Everything that is not finished, by the state it stands in.", h("div", { class: "panel" },
    table("Lifecycle pressure", [{ name: "State" }, { name: "", className: "wide" }, { name: "Payouts", right: true }, { name: "Money", right: true }, { name: "Oldest", right: true }], lines,
      { className: "bars pressure", foot: codes.map((code) => [`All in ${code}`, "", count(sum(code, "item_count")), money(sum(code, "amount"), code), ""]) })));
}

function operations(data) {
  strip(data);
  const backlog = backlogOf(data);
  const { queue, done } = data;
  const numbers = queue.columns.payout_number || [];
  const carried = new Set([...numbers.filter(Boolean).slice(0, data.backlog_of - done.length), ...(done.columns.payout_number || [])]);
  const show = drawerOf((key, walk) => {
    const [rows, row] = key < queue.length ? [queue, key] : [done, key - queue.length];
    const payout = (name) => rows.columns[name]?.[row] ?? null;
    return payoutSheet(data, backlog, payout, key, carried.has(payout("payout_number")), walk);
  });
  const from = (offset) => (row, rows) => show(row + offset, Array.from(rows, (each) => each + offset));
  const list = queue.length ? queueList(data, from(0)) : null;
  const past = done.length ? doneList(data, from(queue.length)) : null;
  const isBuilt = data.page.as_of !== null;
  const parts = [
    list && summaryTiles(data, list),
    list && stepsPart(data),
    part("queue", "Queue", list ? ["What can move safely first, then by money and age. ", h("span", { class: "wide" }, "Press ", h("kbd", null, "/"), " to search, arrows and Enter to open.")] : null,
      list ? list.body : h("div", { class: "panel" }, empty(isBuilt ? "Nothing is queued: every payout has its final word, and no open window has money. What the platform exports next fills it." : "The queue begins with the first build: load the platform's files, then run a Sunday.", isBuilt ? "weekclose load PATH" : "weekclose sunday"))),
    pressurePart(data),
    past && part("done", "Moved last", `The ${count(done.length)} payouts that moved last and wait for nothing; weekclose payout search finds every other.`, past.body),
  ].filter(Boolean);
  fill(byId("content"), parts);
  ready(data, [list, past].filter(Boolean));
  const tallies = { next: data.steps.length, queue: queue.length, done: done.length };
  const names = { summary: "At a glance", next: "What to do next", queue: "Queue", pressure: "Pressure", done: "Moved last" };
  partLinks(parts.map(({ id }) => ({ id, name: names[id], tally: tallies[id] === undefined ? null : count(tallies[id]) })));
}

begin(operations);

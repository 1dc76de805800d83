// What is to be paid between two windows, what somebody has to decide, and what is held.

/** What waits, by measure: how many, and the money of each currency. */
function waitingOf({ waiting }, measure) {
  const rows = waiting.filter((row) => row.measure === measure);
  return { many: rows.reduce((sum, row) => sum + row.item_count, 0), amounts: rows.map((row) => [row.currency, row.amount]) };
}

const SCHEDULE_COMMANDS = {
  pending: ({ schedule_number: number, is_due: isDue }) => [isDue ? "weekclose schedules run" : `weekclose schedules trigger ${number}`, `weekclose schedules cancel ${number} --reason ''`],
  processing: ({ schedule_number: number, is_due: isDue }) => [isDue ? "weekclose schedules run" : `weekclose schedules trigger ${number}`, `weekclose schedules cancel ${number} --reason ''`],
  failed: ({ seller_id: seller, currency, amount: cents }) => [`weekclose requests create ${tidy(quoted(seller), 400)} --currency ${currency} --amount ${plainAmount(cents)} --reason ''`],
};
const REQUEST_COMMANDS = {
  requested: ({ request_number: number }) => [`weekclose requests approve ${number}`, `weekclose requests reject ${number} --reason ''`],
  approved: ({ request_number: number }) => [`weekclose submit ${number}`, `weekclose requests reject ${number} --reason ''`],
  submitted: ({ request_number: number }) => [`weekclose reconcile ${number}`],
};
const HOLD_COMMANDS = {
  active: ({ hold_number: number, is_overdue: isOver }) => (number.startsWith("guarantee:") ? (isOver ? ["weekclose sunday"] : []) : [isOver ? "weekclose sunday" : `weekclose holds release ${number} --reason ''`, `weekclose holds cancel ${number} --reason ''`]),
};

const WAITS = {
  schedules: {
    title: "Schedules", what: "schedule", number: "schedule_number", commands: SCHEDULE_COMMANDS, more: "weekclose schedules list",
    about: "Each makes a request when its time comes, and is tried three times at most.",
    names: ["schedule_number", "seller_id", "order_id", "request_number", "currency", "amount", "trigger_event", "note", "status", "is_due", "due_at", "retry_count", "last_error", "created_by", "created_at"],
    search: { names: ["schedule_number", "seller_id", "order_id", "request_number"], placeholder: "Schedule, seller, order", label: "Search schedules by number, seller, order or request" },
    filters: (columns) => [{ name: "status", label: "Any status", extra: [{ key: "due", text: "due now", test: (row) => columns.is_due[row] === 1 }] }, { name: "trigger_event", label: "Any trigger" }, { name: "currency", label: "Any currency" }],
    dates: { name: "due_at", label: "Due" },
    fields: { why: ["Trigger and error", (row) => pair(h("span", null, words(row.trigger_event)), row.last_error ? h("span", { class: "bad", title: row.last_error }, `${row.retry_count} of 3 tries: ${tidy(row.last_error, 140)}`) : tidy(row.note, 140))], when: ["Due", (row) => (row.is_due ? badge("due now", "warn") : row.due_at ? instant(row.due_at) : "by a person"), "due_at"], who: ["Made by", "created_by"] },
    facts: (row) => [["Trigger", words(row.trigger_event)], ["What for", row.note], ["Order", row.order_id], ["Due", row.due_at ? instant(row.due_at) : "when a person triggers it"], ["Tries that failed", `${row.retry_count} of 3`], ["Request", row.request_number], ["Made", `${instant(row.created_at)} by ${row.created_by}`]],
    trouble: (row) => row.last_error && [`The last try failed: ${row.last_error}`],
    nothing: ["No schedule yet: one makes a request by itself when a guarantee ends, a milestone is reached or a contract is signed.", "weekclose schedules create SELLER --currency USD --amount 100.00 --trigger manual --note ''"],
  },
  requests: {
    title: "Requests", what: "request", number: "request_number", commands: REQUEST_COMMANDS, more: "weekclose requests list",
    about: "Part of a frozen balance between two windows. Another person approves; then it leaves in a batch of its own.",
    names: ["request_number", "seller_id", "payout_number", "schedule_number", "currency", "amount", "status", "reason", "requested_by", "requested_at", "decided_by", "decided_at"],
    search: { names: ["request_number", "seller_id", "payout_number", "schedule_number"], placeholder: "Request, seller, payout", label: "Search requests by number, seller, payout or schedule" },
    filters: () => [{ name: "status", label: "Any status" }, { name: "currency", label: "Any currency" }],
    dates: { name: "requested_at", label: "Requested" },
    fields: { why: ["Reason", (row) => pair(h("span", { title: row.reason }, tidy(row.reason, 140)), row.payout_number ?? (row.decided_by ? `decided by ${tidy(row.decided_by, 40)}` : "not decided yet"))], when: ["Requested", (row) => instant(row.requested_at), "requested_at"], who: ["By", "requested_by"] },
    facts: (row) => [["Reason", row.reason], ["Requested", `${instant(row.requested_at)} by ${row.requested_by}`], ["Decided", row.decided_at && `${instant(row.decided_at)} by ${row.decided_by}`], ["Payout", row.payout_number], ["Schedule", row.schedule_number]],
    trouble: () => null,
    nothing: ["No request yet: a person asks for part of what is frozen and unpaid, or a schedule does.", "weekclose requests create SELLER --currency USD --amount 100.00 --reason ''"],
  },
  holds: {
    title: "Holds", what: "hold", number: "hold_number", commands: HOLD_COMMANDS, more: "weekclose holds list",
    about: "Money that stays in the balance until something is over; guarantees hold by themselves.",
    names: ["hold_number", "seller_id", "order_id", "payout_number", "currency", "amount", "reason", "note", "status", "is_overdue", "release_at", "held_by", "held_at", "ended_by", "ended_at"],
    search: { names: ["hold_number", "seller_id", "order_id", "payout_number"], placeholder: "Hold, seller, order, payout", label: "Search holds by number, seller, order or payout" },
    filters: (columns) => [{ name: "status", label: "Any status", extra: [{ key: "due", text: "its time is over", test: (row) => columns.is_overdue[row] === 1 }] }, { name: "reason", label: "Any reason" }, { name: "currency", label: "Any currency" }],
    dates: { name: "release_at", label: "Until" },
    fields: { why: ["Reason", (row) => pair(h("span", null, words(row.reason)), tidy([row.order_id && `order ${row.order_id}`, row.payout_number, row.note].filter(Boolean).join(" \u00b7 "), 140))], when: ["Until", (row) => (row.is_overdue ? badge("overdue") : row.release_at ? instant(row.release_at) : "a person ends it"), "release_at"], who: ["Held by", "held_by"] },
    facts: (row) => [["Reason", words(row.reason)], ["Note", row.note], ["Order", row.order_id], ["Payout", row.payout_number], ["Until", row.release_at ? instant(row.release_at) : "a person ends it"], ["Held", row.held_at ? `${instant(row.held_at)} by ${row.held_by}` : "by the order's guarantee"], ["Ended", row.ended_at && `${instant(row.ended_at)} by ${row.ended_by}`]],
    trouble: (row) => row.is_overdue && ["Its time is over: the next Sunday releases it before anything is frozen."],
    nothing: ["Nothing is held: no guarantee runs, and nobody keeps money back.", "weekclose holds create SELLER --currency USD --amount 100.00 --reason verification --note ''"],
  },
};

function rowOf({ columns }, row) {
  return Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, column[row]]));
}

function waitsList(data, name, open) {
  const kind = WAITS[name];
  const { columns, length } = data[name];
  const at = (row) => rowOf(data[name], row);
  const commands = (row) => kind.commands[columns.status[row]]?.(at(row)) ?? [];
  const { why, when, who } = kind.fields;
  return listOf({
    id: name, label: kind.title, columns, length, open, what: kind.what, search: kind.search, filters: kind.filters(columns), dates: kind.dates, nothing: `No ${kind.what} matches.`, sums: [["amount", "Amount"]],
    fields: [
      { id: "seller", name: "Seller", width: 170, few: 150, cell: (row) => pair(named(columns.seller_id[row], 40), tidy(columns[kind.number][row], 40)), keys: columns.seller_id },
      { id: "status", name: "Status", width: 106, few: 108, cell: (row) => badge(columns.status[row]), keys: columns.status },
      { id: "why", name: why[0], width: 300, cell: (row) => why[1](at(row)), keys: columns.trigger_event ?? columns.reason },
      { id: "when", name: when[0], width: 144, cell: (row) => when[1](at(row)), keys: columns[when[2]] },
      { id: "who", name: who[0], width: 100, cell: (row) => tidy(columns[who[1]][row] ?? NOTHING, 40), keys: columns[who[1]] },
      { id: "amount", name: "Amount", width: 122, few: 120, right: true, strong: true, cell: (row) => money(columns.amount[row], columns.currency[row]), keys: columns.amount },
      { id: "command", name: "What a person can do", width: 270, cell: (row) => (commands(row)[0] ? h("code", null, tidy(commands(row)[0], 100)) : NOTHING), keys: columns.status },
      { id: "copy", name: "", width: 66, cell: (row) => (commands(row)[0] ? copyButton(commands(row)[0]) : ""), keys: columns.status },
    ],
    file: { name: `weekclose-${name}-${data.page.generated_at.slice(0, 10)}`, names: kind.names, value: (column, row) => (column === "amount" ? plainAmount(columns.amount[row]) : columns[column][row]) },
  });
}

function waitsSheet(data, name, row, key, walk) {
  const kind = WAITS[name];
  const each = rowOf(data[name], row);
  const commands = kind.commands[each.status]?.(each) ?? [];
  const trouble = kind.trouble(each);
  return [
    sheetHead(named(each.seller_id, 80), tidy(each[kind.number], 60), badge(each.status), key, kind.what, walk),
    h("div", { class: "sheet" },
      trouble && h("div", { class: "why" }, trouble.map((text) => h("p", null, tidy(text, 1000)))),
      h("p", { class: "large" }, money(each.amount, each.currency)),
      h("dl", { class: "facts-list" }, kind.facts(each).filter(([, value]) => value).map(([label, value]) => h("div", null, h("dt", null, label), h("dd", null, tidy(value, 600))))),
      h("section", null, h("h3", null, "What a person can do"), commands.length ? commands.map((command) => commandBox(command)) : h("p", { class: "muted" }, "Nothing: it is over, or time ends it.")),
      h("section", null, h("h3", null, "The command that says the same"), commandBox(`${kind.more} --seller ${tidy(quoted(each.seller_id), 400)}`))),
  ];
}

function waitsTiles(data, lists) {
  const one = (measure, label, note, tone, name, choices) => {
    const { many, amounts } = waitingOf(data, measure);
    return tile({ label, value: count(many), amounts, note: many ? note : "none", tone: many ? tone : "", show: many && lists[name] ? () => lists[name].choose(choices) : null });
  };
  return part("summary", "At a glance", null, h("div", { class: "tiles" },
    one("due", "Schedules due now", "the next run takes them", "warn", "schedules", { status: "due" }),
    one("waiting", "Schedules that wait", "for their time, or for a person", "", "schedules", {}),
    one("failed", "Schedules that failed", "a person requests them", "bad", "schedules", { status: "=failed" }),
    one("requested", "Requests to decide", "by another person", "warn", "requests", { status: "=requested" }),
    one("approved", "Requests approved", "not submitted yet", "good", "requests", { status: "=approved" }),
    one("held", "Held", "time or a person ends it", "", "holds", { status: "=active" }),
    one("overdue", "Holds over", "the next Sunday releases them", "warn", "holds", { status: "due" })));
}

function schedules(data) {
  strip(data);
  const names = Object.keys(WAITS);
  const offsets = Object.fromEntries(names.map((name, index) => [name, names.slice(0, index).reduce((sum, before) => sum + data[before].length, 0)]));
  const show = drawerOf((key, walk) => {
    const name = names.findLast((each) => key >= offsets[each] && data[each].length);
    return waitsSheet(data, name, key - offsets[name], key, walk);
  });
  const lists = Object.fromEntries(names.filter((name) => data[name].length).map((name) => [name, waitsList(data, name, (row, rows) => show(row + offsets[name], Array.from(rows, (each) => each + offsets[name])))]));
  const isBuilt = data.page.as_of !== null;
  const body = (name) => {
    const { nothing, more, what } = WAITS[name];
    if (lists[name]) return [lists[name].body, data[name].length === data.shown && h("p", { class: "muted pad" }, `The first ${count(data.shown)} ${what}s, those that wait before all; ${more} has the others.`)];
    return h("div", { class: "panel" }, isBuilt ? empty(...nothing) : empty("This begins with the first build: load the platform's files, then run a Sunday.", "weekclose sunday"));
  };
  const parts = [isBuilt && waitsTiles(data, lists), ...names.map((name) => part(name, WAITS[name].title, WAITS[name].about, body(name)))].filter(Boolean);
  fill(byId("content"), parts);
  ready(data, Object.values(lists));
  partLinks(parts.map(({ id }) => ({ id, name: WAITS[id]?.title ?? "At a glance", tally: WAITS[id] ? count(data[id].length) : null })));
}

begin(schedules);

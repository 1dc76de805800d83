// How it goes over the weeks: each report as a line over the windows, its rows, and what it should be.

const dated = (text) => h("span", { class: "short" }, day(text, { year: true }));
const cents = (value) => amount(value);
const share = (value) => percent(value, 1);

/** The rows of a part as objects, those of one currency where it has one. */
function rowsOfPart({ columns, length }, currency = null) {
  const rows = Array.from({ length }, (_, row) => Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, column[row]])));
  return currency ? rows.filter((row) => row.currency === currency) : rows;
}

/** How long, for people: seconds at first. */
function lasting(seconds) {
  if (seconds === null || seconds === undefined) return NOTHING;
  if (seconds < 120) return `${seconds.toFixed(0)}\u00a0s`;
  return seconds < 7200 ? `${(seconds / 60).toFixed(0)}\u00a0min` : age(Math.floor(seconds / 3600));
}

function targetTile({ label, about, value, target, good, window, is_met: isMet }) {
  const aim = target === null ? null : `${good === "up" ? "at least" : "under"} ${percent(target, 0)}`;
  return h("div", { class: `tile ${isMet === null ? "" : isMet ? "good" : "warn"}` },
    h("span", { class: "label" }, label),
    h("span", { class: "value" }, value === null ? NOTHING : percent(value, 1)),
    value !== null && h("span", { class: "gauge", "aria-hidden": "true" }, h("i", { style: { width: `${100 * Math.min(1, value)}%` } }), h("b", { style: { left: `${100 * Math.min(1, target)}%` } })),
    h("span", null, isMet === null ? "nothing to measure yet" : h("b", { class: isMet ? "better" : "worse" }, isMet ? "met" : "missed"), aim && `, ${aim}`),
    h("span", { class: "muted" }, window ? `${about}, window of ${day(window)}` : about));
}

/** A table with what it adds up to per currency, and its rows as a file. */
function reportTable(data, label, name, rows, columns, sums = []) {
  const codes = [...new Set(rows.map(({ currency }) => currency))].filter(Boolean);
  const total = (code) => columns.map(([heading, key], index) => (index === 0 ? `All in ${code}` : sums.includes(key) ? [key].map((each) => rows.filter(({ currency }) => currency === code).reduce((sum, row) => sum + row[each], 0)).map((sum) => (MONEY_IN[key] ? money(sum, code) : count(sum)))[0] : ""));
  const csv = () => {
    const keys = Object.keys(rows[0]);
    const lines = [keys.join(","), ...rows.map((row) => keys.map((key) => csvCell(MONEY_IN[key] ? plainAmount(row[key]) : row[key])).join(","))];
    download(`weekclose-${name}-${data.page.generated_at.slice(0, 10)}.csv`, "text/csv;charset=utf-8", lines.map((line) => `${line}\r\n`));
    say(`${several(rows.length, "row")} written as CSV.`);
  };
  return h("div", { class: "panel report" },
    h("div", { class: "head line" }, h("h3", null, label), h("button", { type: "button", id: `${name}-csv`, click: csv }, "Download CSV")),
    table(label, columns.map(([heading, , , right = true]) => ({ name: heading, right })), rows.map((row) => columns.map(([, key, shown]) => shown(row[key], row))), { foot: sums.length ? codes.map(total) : null }));
}

// What is in hundredths.
const MONEY_IN = Object.fromEntries(["amount", "gross", "sale_fees", "fee_refunds", "invoiced_paid", "invoiced_open", "net_fees", "disputed", "released", "committed", "recovered", "outstanding", "lost", "paid_amount", "debt"].map((name) => [name, true]));

const inCurrencyOf = (value, { currency }) => money(value, currency);
const column = (heading, key, shown = (value) => count(value), right = true) => [heading, key, shown, right];

function kpisPart(data) {
  const rows = rowsOfPart(data.kpis);
  if (!rows.length) return part("kpis", "Automation", "What is measured of each frozen window, beside its target.", h("div", { class: "panel" }, empty("Nothing is frozen yet: the first freeze begins this report.", "weekclose sunday")));
  const newest = [...rows].reverse();
  const chartRows = rows.filter(({ automated_rate: rate }) => rate !== null);
  return part("kpis", "Automation", "What is measured of each frozen window, beside its target.",
    h("div", { class: "tiles narrow" }, data.targets.map(targetTile),
      tile({ label: "Median processing", value: lasting([...newest].find((row) => row.median_processing_seconds !== null)?.median_processing_seconds), note: "from hand-over to a noted execution" })),
    h("div", { class: "grid-2 loose" },
      trend("Automated and touched by hand", "Of what was paid; of all payouts.", chartRows, "payout_window", [["Automated", "automated_rate"], ["Manual", "manual_intervention_rate"]], IN_SHARE),
      reportTable(data, "By window", "automation", newest, [column("Window", "payout_window", dated, false), column("Payouts", "payout_count"), column("Automated", "automated_rate", share), column("By hand", "manual_intervention_rate", share), column("Holds kept", "hold_compliance", share), column("Audited", "audit_coverage", share), column("Median", "median_processing_seconds", lasting)])));
}

function trend(title, about, rows, window, series, options) {
  if (rows.length < 2) return h("div", { class: "panel" }, h("div", { class: "head" }, h("h3", null, title), h("p", { class: "muted" }, about)), empty("One window makes no trend: there is more to see next week."));
  return graphPanel(title, about, rows.map((row) => row[window]), series.map(([name, key]) => ({ name, values: rows.map((row) => row[key]) })), options);
}

function successPart(data, currency) {
  const rows = rowsOfPart(data.success, currency);
  return part("success", "Payment success", `${currency}. Of those that ended, how many are paid; at once, if nothing ever came back.`,
    h("div", { class: "grid-2 loose" },
      trend("Success", "Paid, and paid at the first try, of all that ended.", rows.filter(({ success_rate: rate }) => rate !== null), "payout_window", [["Paid", "success_rate"], ["At first try", "first_try_rate"]], IN_SHARE),
      reportTable(data, "By window", "success", [...rows].reverse(), [column("Window", "payout_window", dated, false), column("Payouts", "payouts"), column("Paid", "executed"), column("Failed, returned", "failed"), column("Success", "success_rate", share), column("Amount", "amount", inCurrencyOf)], ["payouts", "executed", "failed", "amount"])));
}

/** Where and why: by window, rail, region and reason. */
function whereList(data) {
  const { columns, length } = data.success_rows;
  const text = (name) => (row) => tidy(words(columns[name][row]) || NOTHING, 60);
  const number = (name, heading) => ({ id: name, name: heading, width: 84, right: true, cell: (row) => count(columns[name][row]), keys: columns[name] });
  return listOf({
    id: "where", label: "Payment success by rail, region and reason", columns, length, what: "row", nothing: "No row matches.",
    search: { names: ["rail", "region", "reason"], placeholder: "Rail, region, reason", label: "Search by rail, region or reason" },
    filters: [{ name: "currency", label: "Any currency" }, { name: "rail", label: "Any rail", shown: (rail) => rail }, { name: "region", label: "Any region", shown: (region) => region }, { name: "reason", label: "Any reason" }],
    dates: { name: "payout_window", label: "Window" },
    sums: [["payout_count", "Payouts"], ["executed_count", "Paid"], ["failed_count", "Failed, returned"]].map(([name, heading]) => [name, heading, (value) => count(value)]).concat([["amount", "Amount"]]),
    fields: [
      { id: "window", name: "Window", width: 104, few: 92, cell: (row) => dated(columns.payout_window[row]), keys: columns.payout_window },
      { id: "rail", name: "Rail", width: 80, cell: (row) => tidy(columns.rail[row], 40), keys: columns.rail },
      { id: "region", name: "Region", width: 76, cell: (row) => tidy(columns.region[row], 40), keys: columns.region },
      { id: "reason", name: "Reason", width: 190, few: 140, cell: (row) => (columns.reason[row] === "none" ? NOTHING : text("reason")(row)), keys: columns.reason },
      number("payout_count", "Payouts"), number("executed_count", "Paid"), number("failed_count", "Failed"), number("blocked_count", "Blocked"), number("open_count", "Open"),
      { id: "rate", name: "Success", width: 84, right: true, cell: (row) => share(columns.success_rate[row]), keys: columns.success_rate },
      { id: "amount", name: "Amount", width: 126, few: 120, right: true, strong: true, cell: (row) => money(columns.amount[row], columns.currency[row]), keys: columns.amount },
    ],
    file: { name: `weekclose-payment-success-${data.page.generated_at.slice(0, 10)}`, names: Object.keys(columns), value: (name, row) => (name === "amount" ? plainAmount(columns.amount[row]) : columns[name][row]) },
  });
}

function feesPart(data, currency) {
  const rows = rowsOfPart(data.fees, currency);
  return part("fees", "Fee collection", `${currency}. What was earned: fees of sales less those of refunds, and invoices.`,
    h("div", { class: "grid-2 loose" },
      trend("Fees", "Of sales, and what is left of all.", rows, "payout_window", [["Of sales", "sale_fees"], ["Net", "net_fees"]], inCash(currency)),
      rows.length ? reportTable(data, "By window", "fees", [...rows].reverse(), [column("Window", "payout_window", dated, false), column("Of sales", "sale_fees", cents), column("Refunded", "fee_refunds", (value) => amount(-value)), column("Invoiced", "invoiced_paid", (value, row) => amount(value + row.invoiced_open)), column("Net", "net_fees", inCurrencyOf), column("Rate", "fee_rate", (value) => percent(value, 2))], ["sale_fees", "net_fees"]) : panel("By window", null, empty(`No fee in ${currency} yet.`))));
}

function patternsPart(data) {
  const rows = rowsOfPart(data.patterns);
  return part("patterns", "Request patterns", "What sellers asked for between two windows, by week, type and trigger.",
    rows.length ? reportTable(data, "By week", "requests", rows, [column("Week", "request_window", dated, false), column("Sellers", "seller_type", words, false), column("Trigger", "trigger_event", (text) => (text === "none" ? "by a person" : words(text)), false), column("Requests", "request_count"), column("Approved", "approved_count"), column("Rejected", "rejected_count"), column("Paid", "paid_count"), column("Decided in", "hours_to_decision", age), column("Paid in", "hours_to_payment", age), column("Asked for", "amount", inCurrencyOf)], ["request_count", "approved_count", "rejected_count", "paid_count", "amount"])
      : h("div", { class: "panel" }, empty("Nobody has asked yet: a request, or a schedule that makes one, begins this report.", "weekclose requests create SELLER --currency USD --amount 100.00 --reason ''")));
}

function behaviourList(data, open) {
  const { columns, length } = data.behaviour;
  const number = (name, heading) => ({ id: name, name: heading, width: 84, right: true, cell: (row) => count(columns[name][row]), keys: columns[name] });
  return listOf({
    id: "behaviour", label: "Sellers", columns, length, what: "seller", nothing: "No seller matches.", open,
    search: { names: ["seller_id", "name"], placeholder: "Seller id or name", label: "Search sellers by id or name" },
    filters: [{ name: "currency", label: "Any currency" }],
    sums: [["paid_amount", "Paid"], ["debt", "Owes"]],
    fields: [
      { id: "seller", name: "Seller", width: 200, few: 170, cell: (row) => sellerCell(columns.seller_id[row], columns.name[row]), keys: columns.seller_id },
      number("window_count", "Windows"), number("paid_count", "Payouts paid"), number("failed_count", "Failed"), number("blocked_count", "Blocked"), number("negative_count", "In debt"),
      { id: "rate", name: "Failure rate", width: 96, right: true, few: 96, cell: (row) => share(columns.failed_rate[row]), keys: columns.failed_rate },
      { id: "days", name: "Days to paid", width: 96, right: true, cell: (row) => (columns.days_to_paid[row] === null ? NOTHING : columns.days_to_paid[row].toFixed(1)), keys: columns.days_to_paid },
      { id: "paid", name: "Paid", width: 130, few: 110, right: true, strong: true, cell: (row) => money(columns.paid_amount[row], columns.currency[row]), keys: columns.paid_amount },
      { id: "debt", name: "Owes", width: 120, right: true, cell: (row) => (columns.debt[row] ? money(columns.debt[row], columns.currency[row]) : NOTHING), keys: columns.debt },
    ],
    file: { name: `weekclose-sellers-${data.page.generated_at.slice(0, 10)}`, names: Object.keys(columns), value: (name, row) => (MONEY_IN[name] ? plainAmount(columns[name][row]) : columns[name][row]) },
  });
}

/** One seller's payments, with the commands that say more and that act. */
function behaviourSheet(data, row, walk) {
  const seller = (name) => data.behaviour.columns[name]?.[row] ?? null;
  const currency = seller("currency");
  const who = tidy(quoted(seller("seller_id")), 400);
  const facts = [
    ["Windows", count(seller("window_count"))], ["Payouts paid", count(seller("paid_count"))], ["Failed, returned", count(seller("failed_count"))], ["Failure rate", share(seller("failed_rate"))],
    ["Blocked", count(seller("blocked_count"))], ["Windows in debt", count(seller("negative_count"))], ["Days to paid", seller("days_to_paid") === null ? NOTHING : seller("days_to_paid").toFixed(1)],
    ["Last paid", instant(seller("last_paid_at"))], ["Owes", money(seller("debt"), currency)],
  ];
  return [
    sheetHead(named(seller("name") || seller("seller_id"), 80), named(seller("seller_id"), 60), null, row, "seller", walk),
    h("div", { class: "sheet" },
      h("p", { class: "large" }, money(seller("paid_amount"), currency), h("span", { class: "muted" }, " paid")),
      h("dl", { class: "facts-list" }, facts.map(([label, value]) => h("div", null, h("dt", null, label), h("dd", { class: "value" }, value)))),
      h("section", null, h("h3", null, "What the seller owes or is owed"), commandBox(`weekclose adjust list --seller ${who}`)),
      h("section", null, h("h3", null, "What is held"), commandBox(`weekclose holds list --seller ${who}`))),
  ];
}

function chargebacksPart(data, currency) {
  const rows = rowsOfPart(data.chargebacks, currency);
  const about = `${currency}. Disputes that came after the money was committed: what was recovered, what is owed, what is lost.`;
  if (!rows.length) return part("chargebacks", "Chargeback losses", about, h("div", { class: "panel" }, empty(`No order in ${currency} was disputed after its money was committed.`)));
  return part("chargebacks", "Chargeback losses", about,
    h("div", { class: "grid-2 loose" },
      trend("Recovered and lost", "By the window of the orders.", rows, "order_window", [["Recovered", "recovered"], ["Lost", "lost"]], inCash(currency)),
      reportTable(data, "By window of the orders", "chargebacks", [...rows].reverse(), [column("Window", "order_window", dated, false), column("Disputes", "dispute_count"), column("Committed", "committed", cents), column("Recovered", "recovered", cents), column("Owed", "outstanding", cents), column("Lost", "lost", inCurrencyOf), column("Loss", "loss_rate", share)], ["dispute_count", "committed", "recovered", "outstanding", "lost"])));
}

function reports(data) {
  const codes = [...new Set([...(data.fees.columns.currency || []), ...(data.success.columns.currency || [])])];
  const many = (code) => (data.success.columns.currency || []).reduce((sum, each, row) => sum + (each === code ? data.success.columns.payouts[row] : 0), 0);
  codes.sort((a, b) => many(b) - many(a) || (a < b ? -1 : 1));
  const state = { currency: codes[0] };
  const inCurrency = state.currency ? { success: () => successPart(data, state.currency), fees: () => feesPart(data, state.currency), chargebacks: () => chargebacksPart(data, state.currency) } : {};
  const made = Object.fromEntries(Object.entries(inCurrency).map(([name, make]) => [name, make()]));
  strip(data, currencySwitch(codes, state, () => {
    for (const [name, make] of Object.entries(inCurrency)) {
      const fresh = make();
      made[name].replaceWith(fresh);
      made[name] = fresh;
    }
    drawCharts();
  }));
  const where = data.success_rows.length ? whereList(data) : null;
  const behaviour = data.behaviour.length ? behaviourList(data, drawerOf((row, walk) => behaviourSheet(data, row, walk))) : null;
  const parts = [
    kpisPart(data), made.success,
    where && part("where", "Where, and why", "Payment success by window, rail, region and reason.", where.body),
    made.fees, made.chargebacks, patternsPart(data),
    behaviour && part("behaviour", "Sellers' payments", "How the payouts of each seller have gone; those with most trouble first.", behaviour.body),
  ].filter(Boolean);
  fill(byId("content"), parts);
  ready(data, [where, behaviour].filter(Boolean));
  const names = { kpis: "Automation", success: "Success", where: "Where, and why", fees: "Fees", chargebacks: "Chargebacks", patterns: "Requests", behaviour: "Sellers" };
  partLinks(parts.map(({ id }) => ({ id, name: names[id] })));
}

begin(reports);

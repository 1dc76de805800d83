// The parts of the page in the order in which finance asks, each one a function of the data.

const UNPAID = ["ready", "submitted", "failed", "returned", "awaiting_reconciliation", "blocked"];

// -- 1. verdict ---------------------------------------------------------------------------------------

function verdictFacts({ page, batch, sources, verdict, checks }) {
  const failing = checks.some(({ status }) => status === "fail");
  const stale = sources.filter(({ status }) => status !== "pass" && status !== "fresh");
  const facts = [
    ["As of", instant(page.as_of)],
    ["Built", page.run ? `${instant(page.run.finished_at || page.run.started_at)}, ${words(page.run.outcome)}` : NOTHING],
    ["Batch", batch ? `${batch.batch_id ?? "not made yet"}${batch.generation > 1 ? `, generation ${batch.generation}` : ""}` : "nothing frozen"],
    ["Digest", batch?.content_digest ? h("code", { title: batch.content_digest }, batch.content_digest.slice(0, 16)) : NOTHING],
    ["Sources", sources.length ? `${sources.length - stale.length} of ${sources.length} fresh` : NOTHING],
  ];
  return [
    h("dl", { class: "meta" }, facts.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value)))),
    sources.length > 0 && h("details", { class: "sources" }, h("summary", null, "Freshness of the sources"),
      h("ul", null, sources.map(({ name, newest_at, status, message, age_days }) => h("li", null,
        badge(status), ` ${name}`, newest_at && `: newest ${instant(newest_at)}`, age_days === null || age_days === undefined ? null : `, ${age_days.toFixed(1)} days before the build`,
        message && h("span", { class: "muted" }, `: ${tidy(message, 200)}`))))),
    failing && h("p", null, h("a", { href: "#checks" }, "See the failing rows")),
    verdict.command && commandBox(verdict.command),
  ];
}

const STEPS = [["frozen", "Frozen"], ["approved", "Approved"], ["submitting", "Handed over"], ["submitted", "Taken by the rail"], ["settled", "Settled"]];

/** Where the batch stands, what the rail answered, and who has not been paid. */
function submission(data, showUnpaid) {
  const { batch, page, currencies } = data;
  const reached = batch.state === "rejected" ? 2 : STEPS.findIndex(([key]) => key === batch.state);
  const told = {
    frozen: `${instant(batch.frozen_at)} by ${tidy(batch.frozen_by, 40)}`,
    approved: batch.approved_at ? `${instant(batch.approved_at)} by ${tidy(batch.approved_by, 40)}` : "a person approves the digest",
    submitting: batch.attempts.length ? `${instant(batch.attempts[0].started_at)}${batch.attempts.length > 1 ? `, ${batch.attempts.length} attempts` : ""}` : `on ${day(page.payout_on, { weekday: true })}`,
    submitted: batch.rail_batch_id ? tidy(batch.rail_batch_id, 40) : "the rail confirms the whole batch",
    settled: "every payout has its final word",
  };
  const steps = STEPS.map(([key, name], index) => h("li", { class: index <= reached ? "done" : "open", "aria-current": index === reached ? "step" : null },
    h("b", null, name), h("span", { class: "muted" }, told[key])));
  const isOut = reached >= 2;
  return part("batch", isOut ? "Submission and answers" : "Where it stands",
    isOut ? "Statuses are as of this page; weekclose review writes it anew." : `Payouts leave on ${day(page.payout_on, { weekday: true, year: true })}.`,
    h("div", { class: "panel" },
      h("ol", { class: "steps" }, steps),
      batch.rejection && h("p", { class: "pad bad" }, `The rail rejected ${tidy(batch.rejection.batch_id, 40)}: ${tidy(rejectionSaid(batch.rejection.said), 300)}`),
      isOut && currencies.map(({ code }) => answers(code, payoutsByStatus(data, code))),
      (isOut || batch.attempts.length > 0) && h("div", { class: "after" },
        batch.attempts.length > 0 && h("details", null, h("summary", null, `${batch.attempts.length === 1 ? "1 attempt" : `${batch.attempts.length} attempts`} to submit`),
        table("Attempts to submit", [{ name: "Started" }, { name: "Ended" }, { name: "Outcome" }, { name: "Detail" }],
          batch.attempts.map(({ started_at, ended_at, outcome, detail }) => [instant(started_at), instant(ended_at), badge(outcome || "unknown"), tidy(detail, 200)]))),
        isOut && h("button", { type: "button", class: "primary", id: "who-unpaid", click: showUnpaid }, "Who has not been paid?"))));
}

function rejectionSaid(said) {
  if (said === null || typeof said !== "object") return String(said ?? "no reason given");
  return Object.entries(said).map(([name, value]) => `${words(name)} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");
}

/** The payouts of this window as they stand, from the same rows as the table of all sellers. */
function payoutsByStatus({ sellers }, currency) {
  const counts = {};
  sellers.columns.currency?.forEach((code, row) => {
    if (code !== currency || !sellers.columns.payout_number?.[row]) return;
    const entry = (counts[sellers.columns.status[row]] ||= { n: 0, amount: 0 });
    entry.n += 1;
    entry.amount += sellers.columns.payable[row];
  });
  return counts;
}

function answers(currency, counts) {
  const order = ["paid", "reversed", "submitted", "awaiting_reconciliation", "failed", "returned", "ready", "blocked"];
  const total = order.reduce((sum, key) => sum + (counts[key]?.amount || 0), 0) || 1;
  return h("div", { class: "answers" },
    h("div", { class: "stack", "aria-hidden": "true" }, order.filter((key) => counts[key]?.amount).map((key) =>
      h("i", { class: `tone-${TONES[key] || "plain"} is-${key}`, style: { width: `${(100 * counts[key].amount) / total}%` } }))),
    h("ul", null, order.filter((key) => counts[key]?.n).map((key) => h("li", null, badge(key), h("b", null, count(counts[key].n)), money(counts[key].amount, currency)))));
}

// -- 2. key figures -----------------------------------------------------------------------------------

function figures(data, currency) {
  const all = data.figures[currency] || [];
  const counts = all.filter(({ unit }) => unit === "count");
  const last = day(daysAfter(data.page.window, -7));
  const card = (figure, extra = null) => h("article", { class: `figure ${extra ? "first" : ""}` },
    h("h3", null, figure.label),
    h("p", { class: "value" }, figure.unit === "count" ? count(figure.value) : money(figure.value, currency)),
    h("p", { class: "change" }, change(figure.value, figure.previous, figure.good), figure.previous && figure.previous !== figure.value ? h("span", { class: "muted" }, ` from ${last}`) : null),
    extra,
    sparkline(figure.series || [], `${figure.label}, last ${(figure.series || []).length} windows`));
  const tallies = h("ul", { class: "tallies" }, counts.map((figure) => h("li", null,
    h("b", null, count(figure.value)), ` ${words(figure.key)}`,
    figure.previous === null || figure.previous === undefined ? null : h("span", { class: "muted" }, ` ${figure.value === figure.previous ? "as before" : `was ${count(figure.previous)}`}`))));
  return part("figures", "Key figures", `${currency}, beside the window of ${last}; lines are the last 13 windows.`,
    h("div", { class: "figures" }, all.filter(({ unit }) => unit !== "count").map((figure) => card(figure, figure.key === "payable" ? tallies : null))));
}

// -- 3. from gross to payable -------------------------------------------------------------------------

function statementPart(data, currency) {
  const lines = data.statement[currency] || [];
  const spans = barSpans(lines);
  const low = Math.min(0, ...spans.flat());
  const high = Math.max(1, ...spans.flat());
  const at = (value) => (100 * (value - low)) / (high - low);
  const rows = lines.map((line, index) => {
    const [from, to] = spans[index];
    const width = at(Math.max(from, to)) - at(Math.min(from, to));
    return h("tr", { class: line.level === "total" ? "total" : line.level === "of which" ? "of" : "" },
      h("th", { scope: "row" }, line.label),
      h("td", { class: "num" }, amount(line.value)),
      h("td", { class: "num muted wide" }, percent(line.share, 2)),
      h("td", { class: "num muted wide" }, changeOfSize(line.value, line.previous)),
      h("td", { class: "bar wide", "aria-hidden": "true" }, h("div", null, line.value === 0 ? null : h("i", { style: { left: `${at(Math.min(from, to))}%`, width: `max(2px, ${width}%)` } }))));
  });
  return part("statement", "From gross to payable", null, h("div", { class: "columns" },
    panel(null, null,
      table(`From gross to payable, ${currency}`, [{ name: `Line, ${currency}` }, { name: "Amount", right: true }, { name: "of gross", right: true }, { name: `from ${day(daysAfter(data.page.window, -7))}`, right: true }, { name: "" }]
        .map((column, index) => (index > 1 ? { ...column, className: "wide" } : column)), rows, { className: "bars" }),
      proof(data, lines, currency)),
    bridgePanel(data, currency)));
}

/** What is taken off is written with a minus: it has grown when it takes off more. */
function changeOfSize(value, previous) {
  const isTaken = value <= 0 && (previous ?? 0) <= 0;
  return isTaken ? change(-value, previous === null || previous === undefined ? previous : -previous, null) : change(value, previous, null);
}

/** Where each bar begins and ends: a total stands on zero, a part hangs where the one before ended. */
function barSpans(lines) {
  let running = 0;
  return lines.map(({ value, level }) => {
    if (level === "total") {
      running = value;
      return [0, value];
    }
    if (level === "of which") return [0, value];
    running += value;
    return [running - value, running];
  });
}

/** The statement, held against its own lines and against the table of all sellers on this page. */
function proof({ sellers }, lines, currency) {
  let running = 0;
  let off = 0;
  for (const { value, level } of lines) {
    if (level === "part") running += value;
    else if (level === "total") {
      if (lines[0].value !== value || running !== 0) off ||= running - value;
      running = value;
    }
  }
  const payable = lines.find(({ key }) => key === "payable")?.value;
  let sum = 0;
  let rows = 0;
  sellers.columns.currency?.forEach((code, row) => {
    if (code !== currency) return;
    sum += sellers.columns.payable[row];
    rows += 1;
  });
  const isExact = off === 0 && sum === payable;
  return h("p", { class: `proof ${isExact ? "" : "bad"}`, id: "proof" }, isExact
    ? `Adds up line by line, and to the cent with the ${count(rows)} rows of the table of all sellers.`
    : `Does not add up: the lines are off by ${amount(off)}, the table of all sellers comes to ${amount(sum)}. Approve nothing; run weekclose sunday.`);
}

/** What changed in this window since it was built the time before. */
function bridgePanel(data, currency) {
  const bridge = data.bridge?.[currency];
  if (!bridge || bridge.previous === null || bridge.previous === undefined) {
    return panel("Since the build before", null, empty("This is the first build that holds this window: there is nothing to compare it with."));
  }
  const moved = bridge.parts.filter(({ amount: cents, lines }) => cents || lines);
  const lines = bridge.lines || [];
  return panel("Since the build before", `What moved the cash of this window's rows since the build of ${instant(bridge.previous_as_of)}.`,
    table("Since the build before", [{ name: "" , heads: true }, { name: "Lines", right: true }, { name: currency, right: true }],
      [["Then", "", amount(bridge.previous)], ...moved.map((each) => [each.label, count(each.lines), amount(each.amount, true)])],
      { foot: [["Now", "", amount(bridge.current)]] }),
    moved.length === 0 && h("p", { class: "pad muted" }, "Nothing changed: the same lines, the same amounts."),
    lines.length > 0 && h("details", { class: "pad" }, h("summary", null, `The ${count(lines.length)} largest ${lines.length === 1 ? "line" : "lines"} that changed`),
      table("Lines that changed", [{ name: "Line" }, { name: "Seller" }, { name: "Before", right: true }, { name: "Now", right: true }],
        lines.map((line) => [h("code", null, tidy(line.line_id, 40)), named(line.seller_id, 30), amount(line.before), amount(line.after)]))));
}

// -- 4. exceptions ------------------------------------------------------------------------------------

const STEP = 25;

function exceptionsPart(data, open) {
  const { exceptions, sellers } = data;
  const columns = exceptions.columns;
  const labels = Object.fromEntries((exceptions.reasons || []).map(({ key, label }) => [key, label]));
  const of = (key) => all.filter((index) => columns.reasons[index].includes(key));
  const all = Array.from({ length: exceptions.length }, (_, index) => index);
  if (!all.length) {
    return part("exceptions", "Exceptions", null, h("div", { class: "panel" }, empty("No exception: nothing is blocked, flagged, negative, failed, late or restated in this window.")));
  }
  const body = h("tbody");
  const more = h("div", { class: "pad more" });
  const unprinted = h("p", { class: "pad muted printed" });
  const facts = (index) => {
    const row = columns.row[index];
    return {
      row,
      id: row === null ? columns.seller_id[index] : sellers.columns.seller_id[row],
      name: row === null ? columns.name[index] : sellers.columns.name[row],
      rail: row === null ? null : sellers.columns.rail[row],
    };
  };
  let shown = [];
  let limit = STEP;
  const line = (index) => {
    const { row, id, name, rail } = facts(index);
    return h("tr", { class: row === null ? "" : "opens", click: row === null ? null : (event) => event.target.closest("button") || open(row, rowsOf(shown)) },
      h("th", { scope: "row", class: "seller" }, sellerButton(id, name, row === null ? null : () => open(row, rowsOf(shown)))),
      h("td", null, columns.status[index] ? badge(columns.status[index]) : NOTHING),
      h("td", { class: "reason" }, tidy(columns.text[index], 240), columns.command?.[index] && h("code", null, tidy(columns.command[index], 160))),
      h("td", { class: "wide short" }, rail ? tidy(rail, 30) : NOTHING),
      h("td", { class: "num" }, money(columns.amount[index], columns.currency[index])));
  };
  const rowsOf = (indices) => [...new Set(indices.map((index) => columns.row[index]).filter((row) => row !== null))];
  const show = () => {
    fill(body, shown.slice(0, limit).map(line));
    const left = shown.length - limit;
    unprinted.textContent = left > 0 ? `The ${count(limit)} largest of ${count(shown.length)}: the file shows the others.` : "";
    fill(more, left > 0 && h("button", { type: "button", click: () => { limit += Math.max(STEP, 200); show(); } }, `Show ${count(Math.min(left, 200))} more of ${count(left)}`));
  };
  const chips = [chip("All", all, true), ...Object.entries(labels).map(([key, label]) => chip(label, of(key), false))];
  function chip(label, indices, pressed) {
    return h("button", { type: "button", class: "chip", "aria-pressed": String(pressed), click: (event) => {
      chips.forEach((other) => other.setAttribute("aria-pressed", String(other === event.currentTarget)));
      shown = indices;
      limit = STEP;
      show();
    } }, h("b", null, count(indices.length)), ` ${label}`);
  }
  shown = all;
  show();
  body.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const buttons = [...body.querySelectorAll("button")];
    const next = buttons[buttons.indexOf(document.activeElement) + step];
    if (next) {
      event.preventDefault();
      next.focus();
    }
  });
  const beyond = exceptions.more ? ` The ${count(exceptions.length)} largest of ${count(exceptions.count)} are here.` : "";
  return part("exceptions", "Exceptions", `Largest first. A row opens the seller.${beyond}`,
    h("div", { class: "panel" },
      h("div", { class: "chips", role: "group", "aria-label": "Filter by reason" }, chips),
      h("div", { class: "scroll cards", role: "region", "aria-label": "Exceptions", tabindex: "0" }, h("table", { id: "exceptions-table" },
        h("thead", null, h("tr", null, ["Seller", "State", "Reason"].map((name) => h("th", { scope: "col" }, name)), h("th", { scope: "col", class: "wide" }, "Rail"), h("th", { scope: "col", class: "num" }, "Amount"))),
        body)),
      more, unprinted));
}

// -- 5. adjustments -----------------------------------------------------------------------------------

/** What sellers owe or are owed beside their sales: what somebody has to decide, what enters, what is open. */
function adjustmentsPart(data, open) {
  const { adjustments } = data;
  const { entered, wishes, open: still } = adjustments;
  if (!entered.length && !wishes.length && !still?.length) {
    return part("adjustments", "Adjustments", null, h("div", { class: "panel" }, empty("Nothing is owed beside the sales: no adjustment enters this window, and none is open.")));
  }
  const seller = (each) => {
    const row = data.rowOf(each.seller_id, each.currency);
    return row === undefined ? named(each.seller_id, 40) : h("button", { type: "button", class: "link", click: () => open(row, null) }, named(each.seller_id, 40));
  };
  return part("adjustments", "Adjustments and exceptions", "What sellers owe or are owed beside their sales.",
    wishes.length > 0 && panel("Somebody has to decide", "Until another person does, the seller's payout is blocked.",
      table("Open exceptions", [{ name: "Seller", heads: true, className: "seller" }, { name: "Adjustment", className: "short" }, { name: "Wish", className: "reason" }, { name: "Amount", right: true }],
        wishes.map((each) => [seller(each), number(each), [`${tidy(each.wish, 60)}, asked by ${tidy(each.requested_by, 40)}: ${tidy(each.reason, 160)}`, h("code", null, tidy(each.command, 160))], money(each.amount, each.currency)]), { className: "cards" })),
    h("div", { class: still ? "columns" : "" }, enteredPanel(data, seller), still && openPanel(still)));
}

const number = (each) => [each.adjustment_number, h("span", { class: "id" }, each.class)];

function enteredPanel(data, seller) {
  const { entered, entered_count: many, sums } = data.adjustments;
  const title = data.page.is_frozen ? "What entered this window" : "What enters this window";
  if (!entered.length) return panel(title, null, empty("No adjustment: what sellers get is what they sold."));
  const body = h("div");
  const draw = (limit) => fill(body, table(title, [{ name: "Seller", heads: true, className: "seller" }, { name: "Adjustment", className: "short" }, { name: "Why", className: "reason" }, { name: "Amount", right: true }],
    entered.slice(0, limit).map((each) => [seller(each), number(each), tidy(each.reason, 200), money(each.amount, each.currency, true)]),
    { className: "cards", foot: sums.map((sum) => [`All in ${sum.currency}`, "", "", money(sum.amount, sum.currency, true)]) }),
  entered.length > limit && h("div", { class: "pad more" }, h("button", { type: "button", click: () => draw(entered.length) }, `Show all ${count(entered.length)}`)),
  entered.length < many && h("p", { class: "pad muted" }, `The ${count(entered.length)} largest of ${count(many)}; the sum is of all.`));
  draw(STEP);
  const differs = sums.find((sum) => (data.statement[sum.currency] || []).find(({ key }) => key === "adjustments")?.value !== sum.amount);
  return panel(title, "Positive to the seller.", body, h("p", { class: `proof ${differs ? "bad" : ""}`, id: "adjustments-proof" }, differs
    ? `In ${differs.currency} this is not the line Adjustments above. Approve nothing; run weekclose sunday.`
    : "To the cent the line Adjustments above."));
}

function openPanel(still) {
  if (!still.length) return panel("Open by now", null, empty("Every obligation is settled."));
  const codes = [...new Set(still.map(({ currency }) => currency))];
  const sum = (code, key) => still.filter(({ currency }) => currency === code).reduce((total, each) => total + each[key], 0);
  return panel("Open by now", "Of all sellers; what they owe is negative.",
    table("Open obligations", [{ name: "Class", heads: true }, { name: "Stands" }, { name: "Number", right: true }, { name: "Open", right: true }],
      still.map((each) => [each.class, each.stands, count(each.adjustments), money(each.open, each.currency)]),
      { foot: codes.map((code) => [`All in ${code}`, "", count(sum(code, "adjustments")), money(sum(code, "open"), code)]) }));
}

function sellerButton(id, name, open) {
  const label = [name ? named(name, 60) : null, h("span", { class: "id" }, named(id, 40))];
  return open ? h("button", { type: "button", class: "link", click: open }, label) : h("span", null, label);
}

// -- 6. checks ----------------------------------------------------------------------------------------

function checksPart(data, open) {
  const { checks, breaks = [] } = data;
  const of = (status) => checks.filter((check) => check.status === status);
  const [failed, warned, passed, skipped] = [of("fail"), of("warn"), of("pass"), of("skipped")];
  const told = (check) => h("article", { class: `check ${check.status}` },
    h("div", { class: "line" }, badge(check.status), h("h3", null, tidy(check.title || words(check.name), 160)),
      check.amount === null || check.amount === undefined ? null : money(check.amount, check.currency),
      h("span", { class: "muted" }, check.failures ? `${count(check.failures)} ${check.failures === 1 ? "row" : "rows"}` : check.kind)),
    check.message && h("p", null, tidy(check.message, 600)),
    check.protects && h("p", { class: "muted" }, tidy(check.protects, 400)),
    check.rows?.length > 0 && failingRows(check, data, open),
    check.more > 0 && h("p", { class: "muted" }, `and ${count(check.more)} more rows: weekclose sunday keeps them in the database.`),
    check.name.includes("_") && h("code", { class: "muted" }, tidy(check.name, 120)));
  return part("checks", "Checks", checks.length ? `${count(failed.length)} failed, ${count(warned.length)} warned, ${count(passed.length)} passed in the build of this page.` : null,
    h("div", { class: "panel" },
      checks.length === 0 && empty("No check has run: weekclose sunday builds the warehouse and tests it.", "weekclose sunday"),
      checks.length > 0 && failed.length === 0 && h("p", { class: "pad" }, "No check failed."),
      failed.map(told), warned.map(told),
      passed.length > 0 && h("details", { class: "passed" }, h("summary", null, `${count(passed.length)} checks passed`),
        h("ul", null, passed.map((check) => h("li", null, badge("pass"), h("div", null, h("b", null, tidy(check.title || words(check.name), 160)), check.protects && h("p", { class: "muted" }, tidy(check.protects, 400))))))),
      skipped.length > 0 && h("details", { class: "passed" }, h("summary", null, `${count(skipped.length)} not run, because another one is red`),
        h("ul", null, skipped.map((check) => h("li", null, badge("skipped"), h("b", null, tidy(check.title || words(check.name), 160))))))),
    breaks.length > 0 && breaksPanel(breaks));
}

/** What two records say differently; each has an owner and stays until it is settled. */
function breaksPanel(breaks) {
  const open = breaks[0].found > breaks.length ? ` The first ${count(breaks.length)} of ${count(breaks[0].found)}.` : "";
  return panel("Records that disagree", `Open breaks, this window's first.${open}`,
    table("Records that disagree", [{ name: "What", heads: true }, { name: "Of" }, { name: "Seller" }, { name: "Window" }, { name: "Expected", right: true }, { name: "Actual", right: true }, { name: "Difference", right: true }, { name: "Owner" }, { name: "Since" }],
      breaks.map((each) => [words(each.break_type), h("code", null, tidy(each.entity, 60)), each.seller_id ? named(each.seller_id, 40) : NOTHING, each.payout_window ? day(each.payout_window, { year: true }) : NOTHING,
        amount(each.expected), amount(each.actual), money(each.difference, each.currency, true), tidy(words(each.owner), 60) || NOTHING, day(each.detected_at, { year: true })])));
}

const isNumber = (value) => typeof value === "number" || /^-?[\d,]+(\.\d+)?$/.test(String(value ?? "x"));

function failingRows({ name, columns, rows }, data, open) {
  const shown = (value, index) => {
    const row = columns[index] === "seller_id" ? data.rowsOf(value)?.[0] : undefined;
    return row === undefined ? named(value, 80) : h("button", { type: "button", class: "link", click: () => open(row, null) }, named(value, 80));
  };
  const right = columns.map((_, index) => rows.every((row) => row[index] === null || isNumber(row[index])));
  return table(`Failing rows of ${name}`, columns.map((column, index) => ({ name: words(column), right: right[index] })),
    rows.map((row) => row.map((value, index) => (value === null ? NOTHING : right[index] ? String(value).replace("-", MINUS) : shown(value, index)))));
}

// -- 7. by rail and region ----------------------------------------------------------------------------

function railsPart({ rails, page, currencies }) {
  if (!rails.length) return part("rails", "By rail and region", null, h("div", { class: "panel" }, empty("Nothing is to be paid on Tuesday: no rail needs funds.")));
  const rate = ({ failed_last_week, paid_last_week }) => {
    const total = (failed_last_week || 0) + (paid_last_week || 0);
    return total ? failed_last_week / total : null;
  };
  const failures = (each) => [rate(each) === null ? h("span", { class: "muted" }, "none sent") : h("span", null, `${count(each.failed_last_week)} of ${count(each.failed_last_week + each.paid_last_week)} `, h("span", { class: "muted" }, percent(rate(each), 2)))];
  const funding = (each, currency) => (each.by_hand && !each.funding ? h("span", { class: "muted" }, "none: paid by hand") : money(each.funding, currency));
  const line = (name, region, each, currency) => [name, region, count(each.sellers), failures(each), money(each.amount, currency), funding(each, currency)];
  const sum = (list) => list.reduce((total, each) => {
    for (const key of ["sellers", "amount", "funding", "failed_last_week", "paid_last_week"]) total[key] = (total[key] || 0) + (each[key] || 0);
    return total;
  }, {});
  const order = currencies.map(({ code }) => code);
  const sorted = [...rails].sort((a, b) => order.indexOf(a.currency) - order.indexOf(b.currency) || b.amount - a.amount);
  return part("rails", "By rail and region", `What has to lie on each rail on ${day(page.payout_on, { weekday: true })}, and how many payouts failed there last week.`,
    h("div", { class: "panel" }, table("By rail and region",
      [{ name: "Rail", heads: true }, { name: "Region" }, { name: "Sellers", right: true }, { name: "Failed last week", right: true }, { name: "Payable", right: true }, { name: "Funding needed", right: true }],
      sorted.map((each) => line(tidy(each.rail || "no rail", 40), tidy(each.region || NOTHING, 40), each, each.currency)),
      { foot: order.filter((code) => rails.some(({ currency }) => currency === code)).map((code) => line(`All in ${code}`, "", sum(rails.filter(({ currency }) => currency === code)), code)) })));
}

// -- 8. trends ----------------------------------------------------------------------------------------

function trendsPart(data, currency, open) {
  const trend = data.trends[currency];
  const graph = (title, about, series, options) => graphPanel(title, about, trend.windows, series, options);
  const sketches = !trend || trend.windows.length < 2
    ? [h("div", { class: "panel" }, empty("One window makes no trend: there is more to see next week."))]
    : [
      graph("Gross and net", "Net is gross less fees and refunds.", [{ name: "Gross", values: trend.gross }, { name: "Net", values: trend.net }], inCash(currency)),
      graph("Disputes", "Held back from sellers, less what came free.", [{ name: "Disputes", values: trend.disputes }], { ...inCash(currency), bars: true }),
      graph("Refund rate and failure rate", "Refunds of gross; failed and returned payouts of those sent.", [{ name: "Refunds", values: trend.refund_rate }, { name: "Failures", values: trend.failure_rate }], IN_SHARE),
    ];
  return part("trends", "Trends", null,
    h("div", { class: "grid-2" }, sketches, healthPanel(data)),
    h("div", { class: "grid-2 loose" }, moversPanel(data, currency, open), calendarPanel(data)));
}

function healthPanel({ health }) {
  const sellers = health.reduce((sum, each) => sum + each.sellers, 0);
  if (!sellers) return h("div", { class: "panel" }, h("div", { class: "head" }, h("h3", null, "Health of the sellers")), empty("Nobody has a score yet: it needs thirty days of orders."));
  const low = health.filter(({ to }) => to <= 60).reduce((sum, each) => sum + each.sellers, 0);
  return h("div", { class: "panel" }, h("div", { class: "head" }, h("h3", null, "Health of the sellers"), h("p", { class: "muted" }, "Sellers by score, logarithmic; below 60 a person looks first.")),
    h("p", { class: "readout" }, h("span", null, h("b", null, count(low)), " below 60"), h("span", { class: "muted" }, `of ${count(sellers)} sellers`)),
    scoreChart(`Health scores: ${count(low)} of ${count(sellers)} sellers are below 60`, health));
}

function moversPanel(data, currency, open) {
  const movers = (data.movers[currency] || []).map((each) => ({ ...each, move: each.net - each.previous }));
  if (!movers.length) return panel("Largest changes", null, empty("Nobody's net changed against the window before."));
  const most = Math.max(...movers.map(({ move }) => Math.abs(move)));
  const rows = movers.map((mover) => {
    const row = data.rowOf(mover.seller_id, currency);
    const width = `${(50 * Math.abs(mover.move)) / most}%`;
    return h("tr", null,
      h("th", { scope: "row", class: "seller" }, sellerButton(mover.seller_id, mover.name, row === undefined ? null : () => open(row, null))),
      h("td", { class: "bar two-way wide", "aria-hidden": "true" }, h("div", null, h("i", { class: mover.move < 0 ? "down" : "up", style: mover.move < 0 ? { right: "50%", width } : { left: "50%", width } }))),
      h("td", { class: "num" }, amount(mover.move, true)),
      h("td", { class: "num muted wide" }, amount(mover.net)));
  });
  return panel("Largest changes", `Net per seller against the window of ${day(daysAfter(data.page.window, -7))}, ${currency}.`,
    table("Largest changes", [{ name: "Seller" }, { name: "", className: "wide" }, { name: "Change", right: true }, { name: "Net now", right: true, className: "wide" }], rows, { className: "movers" }));
}

function calendarPanel({ reserve_calendar: calendar }) {
  if (!calendar.length) return panel("What the reserve releases next", null, empty("No money is in reserve: no sales in the windows that are still open."));
  return panel("What the reserve releases next", "Cash of the windows that are still open, as it stands.",
    table("What the reserve releases next", [{ name: "Window", heads: true }, { name: "Reserve closes" }, { name: "Sellers", right: true, className: "wide" }, { name: "Amount", right: true }],
      calendar.map((each) => [h("span", { class: "short" }, day(each.payout_window, { year: true })), day(each.reserve_closes_on, { weekday: true }), count(each.sellers), money(each.amount, each.currency)])));
}

// -- 10. approve --------------------------------------------------------------------------------------

function approvePart(data) {
  const { batch, verdict, commands, checklist, page } = data;
  const about = "The page writes nothing: the command records who approves, when, and which content.";
  if (!batch) {
    return part("approve", "Approve", about, h("div", { class: "panel" }, empty("Nothing is frozen, so there is nothing to approve. The Sunday run freezes a window when every check is green.", verdict.command)));
  }
  if (!batch.state) {
    return part("approve", "Approve", about, h("div", { class: "panel" }, empty("This window pays nobody: every balance is carried forward, there is nothing to approve.")));
  }
  if (!["frozen", "rejected"].includes(batch.state)) {
    return part("approve", "Approve", about, h("div", { class: "panel pad" },
      h("p", null, batch.approved_by ? `Approved by ${tidy(batch.approved_by, 60)} on ${instant(batch.approved_at)}, for the digest `: "Approved for the digest ", h("code", { class: "digest" }, batch.content_digest), "."),
      batch.state === "approved" && toSubmit(data, `On ${day(page.payout_on, { weekday: true })}: rehearse, and submit.`),
      ["submitting", "submitted"].includes(batch.state) && commands.reconcile && h("div", { class: "then" }, h("p", null, "To ask the rail about everything that is not final:"), commandBox(commands.reconcile))));
  }
  const key = `weekclose ${page.window} ${batch.content_digest}`;
  const kept = remembered(key);
  const barred = verdict.tone === "bad" || !commands.approve;
  const boxes = checklist.map((text, index) => h("input", { type: "checkbox", id: `tick-${index}`, checked: kept.includes(text), disabled: barred, change: refresh }));
  const command = commandBox(commands.approve || "weekclose approve", { label: "Copy approve command", disabled: true, id: "copy-approve" });
  const state = h("p", { class: "muted", id: "approve-state", role: "status" });
  state.classList.toggle("bad", barred);
  function refresh() {
    const done = boxes.filter((box) => box.checked).length;
    remember(key, checklist.filter((_, index) => boxes[index].checked));
    command.querySelector("button").disabled = barred || done < boxes.length;
    state.textContent = barred ? `Not to be approved: ${verdict.headline}` : done < boxes.length ? `${done} of ${boxes.length} ticked. Tick all to copy the command.` : "All ticked. The command names this content alone: a later change makes it void.";
    const tally = byId("approve-tally");
    if (tally) tally.textContent = `${done}/${boxes.length}`;
  }
  queueMicrotask(refresh);
  return part("approve", "Approve", about, h("div", { class: "columns even" },
    h("fieldset", { class: "panel checklist" }, h("legend", { class: "unseen" }, "Before you approve"),
      checklist.map((text, index) => h("label", { for: `tick-${index}` }, boxes[index], h("span", null, text)))),
    h("div", { class: "panel pad" },
      h("p", null, "Approves exactly this content, ", h("code", { class: "digest" }, batch.content_digest), "."),
      state, command,
      !barred && toSubmit(data, `Then, on ${day(page.payout_on, { weekday: true })}: rehearse, and submit.`))));
}

function toSubmit({ commands }, sentence) {
  const known = [commands.dry_run, commands.submit].filter(Boolean);
  return known.length > 0 && h("div", { class: "then" }, h("p", { class: "muted" }, sentence), known.map((command) => commandBox(command)));
}

// A browser may refuse to remember anything for a file: then the ticks last as long as the page.
function remembered(key) {
  try {
    const kept = JSON.parse(localStorage.getItem(key) || "[]");
    return Array.isArray(kept) ? kept : [];
  } catch {
    return [];
  }
}

function remember(key, ticked) {
  try {
    localStorage.setItem(key, JSON.stringify(ticked));
  } catch {
    // nothing to do
  }
}

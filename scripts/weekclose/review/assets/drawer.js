// Why is the net X? One seller, over the page, from the row down to its orders and its ledger.

const KINDS = { sale: "Sale", refund: "Refund", dispute_opened: "Dispute opened", dispute_closed: "Dispute closed", adjustment: "Adjustment" };

function sellerSheet(data, row, walk) {
  const { go } = walk;
  const seller = (name) => data.sellers.columns[name]?.[row] ?? null;
  const currency = seller("currency");
  const others = (data.rowsOf(seller("seller_id")) || []).filter((other) => other !== row);
  return [
    sheetHead(named(seller("name") || seller("seller_id"), 80),
      [named(seller("seller_id"), 60), [seller("region"), seller("rail"), `window of ${day(data.page.window, { year: true })}`].filter(Boolean).map((text) => ` · ${tidy(text, 40)}`)],
      badge(seller("status")), row, "seller", walk),
    h("div", { class: "sheet" },
      reasonsOf(seller),
      whyTheNet(seller, currency),
      others.map((other) => h("p", null, h("button", { type: "button", class: "link", click: () => go(other) }, `The same seller in ${data.sellers.columns.currency[other]}`))),
      linesOf(data, row, seller),
      earlierOf(data, row, currency),
      payoutsOf(data, row, currency),
      ledgerOf(data, row),
      h("section", null, h("h3", null, "The command that says the same"), commandBox(commandFor(data, data.commands.explain, seller("seller_id")))),
      data.commands.hold && data.batch?.state === "frozen" && seller("status") === "ready" && h("section", null, h("h3", null, "To keep it out of Tuesday's batch"), commandBox(commandFor(data, data.commands.hold, seller("seller_id")))),
    ),
  ];
}

function commandFor({ page }, command, id) {
  return command.replace("{window}", () => page.window).replace("{seller}", () => tidy(quoted(id), 400));
}

function reasonsOf(seller) {
  const told = [seller("reasons"), seller("failure_reason") && `The rail said: ${seller("failure_reason")}`].filter(Boolean);
  return told.length ? h("div", { class: "why" }, told.map((text) => h("p", null, tidy(text, 300)))) : null;
}

function whyTheNet(seller, currency) {
  const orders = seller("orders");
  const line = (label, cents, className = "") => h("tr", { class: className }, h("th", { scope: "row" }, label), h("td", { class: "num" }, money(cents, currency)));
  const less = (name) => -seller(name) || 0;
  const balance = seller("net") + less("disputes") + (seller("adjustments") || 0) + seller("carry_in");
  const previous = seller("previous_net");
  return h("section", null, h("h3", null, "Why is the net ", money(seller("net"), currency), "?"),
    h("table", { class: "sum" }, h("tbody", null,
      line(orders === null ? "Gross" : `Gross of ${count(orders)} ${orders === 1 ? "order" : "orders"}`, seller("gross")),
      line("Fees", less("fees")), line("Refunds", less("refunds")), line("Net", seller("net"), "total"),
      line("Disputes", less("disputes")), seller("adjustments") ? line("Adjustments", seller("adjustments")) : null, line("Carried in", seller("carry_in")),
      line("Balance", balance, "total"), line("Carried out", less("carry_out")), line("Payable", seller("payable"), "total last"))),
    h("p", { class: "muted" }, [
      previous === null ? null : `Net of the window before: ${amount(previous)} ${currency}. `,
      seller("late") ? `${count(seller("late"))} late ${seller("late") === 1 ? "line" : "lines"}. ` : null,
      seller("health") === null ? null : `Health ${(seller("health") / 10).toFixed(1)} of 100.`]));
}

function linesOf(data, row, seller) {
  const { lines, page } = data;
  const found = entriesOf(data, "lines", row);
  const title = h("h3", null, `Lines (${count(found.length)})`);
  if (!found.length) {
    const isElsewhere = isPartial(data) && (seller("gross") || seller("refunds") || seller("disputes") || seller("adjustments"));
    return h("section", null, title, h("p", { class: "muted" }, isElsewhere
      ? "This page carries the lines of the exceptions and of the largest sellers only; the command below lists these."
      : "No line in this window: the row is there for the balance that it carries."));
  }
  const at = (name) => (position) => lines.columns[name]?.[position];
  const [order, kind, time, late] = ["order_id", "kind", "event_at", "is_late"].map(at);
  const id = (position) => at("line_id")(position) ?? `${kind(position)}:${order(position)}`;
  // An adjustment belongs to no order: it has its own number, and a reason.
  const number = (position) => order(position) ?? id(position).replace("adjustment:", "");
  const reason = (position) => (order(position) === null ? data.adjustments.entered.find((each) => each.adjustment_number === number(position))?.reason : null);
  found.sort((a, b) => time(a) - time(b));
  const cash = (position) => at("gross")(position) - at("fees")(position) - at("refunds")(position) - at("disputes")(position) + (at("adjustments")(position) || 0);
  const sum = found.reduce((total, position) => total + cash(position), 0);
  const moved = (position) => ["gross", "fees", "refunds", "disputes", "adjustments"].filter((name) => at(name)(position))
    .map((name) => `${words(name)} ${amount(name === "gross" || name === "adjustments" ? at(name)(position) : -at(name)(position))}`).join(", ");
  const body = h("div");
  const draw = (limit) => fill(body, table("Lines", [{ name: "Time" }, { name: "What" }, { name: "Order" }, { name: "Cash", right: true }],
    found.slice(0, limit).map((position) => [
      h("span", { class: "when" }, clock(time(position), page.timezone)),
      h("span", { class: "what", title: id(position) }, KINDS[kind(position)] || words(kind(position)), late(position) ? h("span", { class: "badge warn" }, "late") : null, h("span", { class: "muted" }, [reason(position) && `${tidy(reason(position), 120)}: `, moved(position)])),
      h("code", null, tidy(number(position), 30)), amount(cash(position))]),
    { foot: [["", seller("adjustments") ? "Net less disputes, adjusted" : "Net less disputes", "", amount(sum)]] }),
  found.length > limit && h("button", { type: "button", click: () => draw(found.length) }, `Show all ${count(found.length)}`));
  draw(60);
  return h("section", null, title, h("p", { class: "muted" }, `Times in ${page.timezone}.`), body);
}

/** Whether the page carries only some sellers with all that is known of them. */
const isPartial = ({ carried }) => carried && carried.sellers < carried.of_sellers;

function earlierOf(data, row, currency) {
  const { history } = data;
  const found = entriesOf(data, "history", row).sort((a, b) => (history.columns.payout_window[a] < history.columns.payout_window[b] ? 1 : -1));
  if (!found.length) {
    return h("section", null, h("h3", null, "Earlier windows"), h("p", { class: "muted" }, isPartial(data) ? "Not on this page for every seller: the command below reaches them." : "None."));
  }
  const value = (name, position) => history.columns[name]?.[position] ?? null;
  const series = [...found].reverse().map((position) => [value("payout_window", position), value("net", position)]);
  return h("section", null, h("h3", null, "Earlier windows"),
    series.length > 2 && sparkline(series, `Net of ${series.length} earlier windows`),
    table("Earlier windows", [{ name: "Window", heads: true }, { name: "Net", right: true }, { name: "Payable", right: true }, { name: "Status" }, { name: "Payout" }],
      found.map((position) => [day(value("payout_window", position), { year: true }), amount(value("net", position)), money(value("payable", position), currency), badge(value("status", position)), value("payout_number", position) || NOTHING])));
}

function payoutsOf(data, row, currency) {
  const { payouts, executions, events } = data;
  const found = entriesOf(data, "payouts", row).reverse();
  if (!found.length) return null;
  const value = (name, position) => payouts.columns[name]?.[position] ?? null;
  const numbers = events.columns.payout_number || [];
  const executed = executions.columns.payout_number || [];
  return h("section", null, h("h3", null, found.length === 1 ? "Payout" : "Payouts"), found.map((position) => {
    const number = value("payout_number", position);
    const said = numbers.flatMap((other, index) => (other === number ? [index] : []));
    const left = executed.flatMap((other, index) => (other === number ? [index] : []));
    const facts = [
      ["Window", day(value("payout_window", position), { year: true })], ["To", [value("rail", position), value("destination", position)].filter(Boolean).map((text) => tidy(text, 60)).join(", ")],
      ["Reference", tidy(value("external_reference", position) || "", 80)], ["Failure", tidy([value("failure_code", position) && words(value("failure_code", position)), value("failure_reason", position)].filter(Boolean).join(": "), 200)], ["Since", value("status_changed_at", position) && instant(value("status_changed_at", position))],
    ].filter(([, text]) => text && text !== NOTHING);
    return h("div", { class: "payout" },
      h("div", { class: "line" }, h("b", null, tidy(number, 40)), badge(value("status", position)), money(value("amount", position), currency)),
      h("dl", { class: "meta" }, facts.map(([name, text]) => h("div", null, h("dt", null, name), h("dd", null, text)))),
      left.length > 0 && table(`What left for ${number}`, [{ name: "Executed" }, { name: "By" }, { name: "Reference" }, { name: "Amount", right: true }],
        left.map((index) => [instant(executions.columns.executed_at[index]), executions.columns.source[index] === "rail" ? "the rail" : `${tidy(executions.columns.noted_by[index], 40)}, by hand`,
          h("code", { title: executions.columns.sha256[index] && `Proof ${executions.columns.sha256[index]}` }, tidy(executions.columns.external_reference[index], 60)), amount(executions.columns.amount[index])])),
      said.length > 0 && table(`What the rail said of ${number}`, [{ name: "Received" }, { name: "Event" }, { name: "Verdict" }],
        said.map((index) => [instant(events.columns.received_at[index]), tidy(events.columns.event_type[index], 60), [words(events.columns.verdict?.[index] ?? "waiting"), events.columns.failure_reason?.[index] && h("span", { class: "muted" }, ` ${tidy(events.columns.failure_reason[index], 120)}`)]])));
  }));
}

function ledgerOf(data, row) {
  const { ledger } = data;
  const found = entriesOf(data, "ledger", row);
  if (!found.length) return null;
  const value = (name, position) => ledger.columns[name]?.[position] ?? null;
  return h("section", null, h("h3", null, "Ledger entries"),
    table("Ledger entries", [{ name: "Booked" }, { name: "Account" }, { name: "Kind" }, { name: "Amount", right: true }],
      found.map((position) => [instant(value("booked_at", position)), words(value("account", position)), words(value("kind", position)), amount(value("amount", position))])));
}

// One payout with everything that is known of it in sight.

const PARTS = {
  executions: ["What left", "execution"],
  events: ["What the rail said", "event"],
  ledger: ["Ledger entries", "ledger entry"],
  proofs: ["Proofs", "proof"],
  adjustments: ["Adjustments", "adjustment"],
  audit: ["Audit", "audit entry"],
};

/** The positions in each part that are about a payout. */
function backlogOf(data) {
  const index = {};
  for (const name of Object.keys(PARTS)) {
    const found = (index[name] = new Map());
    (data[name].columns.payout_number || []).forEach((number, position) => (found.has(number) ? found.get(number).push(position) : found.set(number, [position])));
  }
  return (name, number) => index[name].get(number) || [];
}

/** `payout` reads a column of the payout's own row. */
function payoutSheet(data, backlog, payout, row, isCarried, walk) {
  const number = payout("payout_number");
  const seller = payout("seller_id");
  const window = payout("payout_window");
  const sections = Object.fromEntries(number && isCarried ? Object.keys(PARTS).map((name) => [name, backlogSection(data, name, backlog(name, number), payout)]) : []);
  const isUntouched = Object.values(sections).every((section) => !section);
  const facts = [
    ["Amount", money(payout("amount"), payout("currency"))], ["Readiness", payout("readiness") && badge(payout("readiness"), READINESS[payout("readiness")]?.tone)],
    ["Since", [instant(payout("since")), payout("age_hours") !== null && h("span", { class: "muted" }, `, ${age(payout("age_hours"))}`)]], ["Reference", payout("reference_id") && tidy(payout("reference_id"), 80)],
  ].filter(([, value]) => value);
  const commands = [
    number && `weekclose queue recheck ${number}`, number && `weekclose payout search ${number}`, `weekclose explain ${tidy(quoted(seller), 400)} ${window}`,
  ].filter(Boolean);
  return [
    sheetHead(named(payout("name") || seller, 80), [number ? `${number} · ` : "", named(seller, 60), [`window of ${day(window, { year: true })}`, payout("rail")].filter(Boolean).map((text) => ` · ${tidy(text, 40)}`)], badge(payout("status")), row, "payout", walk),
    h("div", { class: "sheet" },
      payout("reasons") && h("div", { class: payout("attention") === "intervene" || TONES[payout("status")] === "bad" ? "why" : "why calm" }, payout("reasons").split("; ").map((reason) => h("p", null, tidy(sentence(reason), 300)))),
      payout("next_action") && h("section", null, h("h3", null, payout("attention") === "intervene" ? "What a person has to do" : "What moves it on"), commandBox(payout("next_action"))),
      h("dl", { class: "meta" }, facts.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value)))),
      number && isCarried && h("div", { class: "jumps", role: "group", "aria-label": "Parts of the backlog" }, Object.entries(PARTS).map(([name, [, what]]) =>
        h("button", { type: "button", class: "chip", disabled: !sections[name], click: () => sections[name].scrollIntoView({ block: "start" }) }, several(backlog(name, number).length, what)))),
      number && isCarried && isUntouched && h("p", { class: "muted" }, "Nothing has happened to it yet: nothing left, nothing is booked, nobody has touched it."),
      Object.values(sections),
      number && !isCarried && h("p", { class: "muted" }, "This page carries the backlog of the queue's first payouts and of those that moved last; the commands below reach all of them."),
      !number && h("p", { class: "muted" }, "It has no payout yet: its window is not frozen."),
      h("section", null, h("h3", null, number ? "Look again" : "The command that says more"), commands.map((command) => commandBox(command)))),
  ];
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function backlogSection(data, name, found, payout) {
  const at = (column) => (position) => data[name].columns[column]?.[position] ?? null;
  return found.length > 0 && h("section", { class: "backlog", "data-part": name }, h("h3", null, PARTS[name][0], h("span", { class: "id" }, count(found.length))), BACKLOG[name](found, at, payout));
}

const moneyOf = (at, payout) => (position) => money(at("amount")(position), payout("currency"), true);

const BACKLOG = {
  executions: (found, at, payout) => table("What left", [{ name: "Executed" }, { name: "By" }, { name: "Reference" }, { name: "Amount", right: true }],
    found.map((position) => [h("span", { class: "when" }, instant(at("executed_at")(position))),
      at("source")(position) === "rail" ? "the rail" : `${tidy(at("noted_by")(position), 40)}, by hand`,
      [h("code", null, tidy(at("external_reference")(position), 60)), at("note")(position) && h("span", { class: "muted" }, ` ${tidy(at("note")(position), 160)}`)],
      money(at("amount")(position), payout("currency"))])),
  events: (found, at) => table("What the rail said", [{ name: "Received" }, { name: "Event" }, { name: "Verdict" }],
    found.map((position) => [h("span", { class: "when" }, instant(at("received_at")(position))), tidy(at("event_type")(position), 60),
      [words(at("verdict")(position) ?? "waiting"), at("failure_reason")(position) && h("span", { class: "muted" }, ` ${tidy(at("failure_reason")(position), 120)}`)]])),
  ledger: (found, at, payout) => table("Ledger entries", [{ name: "Booked" }, { name: "Account" }, { name: "Kind" }, { name: "Amount", right: true }],
    found.map((position) => [h("span", { class: "when" }, instant(at("booked_at")(position))), words(at("account")(position)), words(at("kind")(position)), moneyOf(at, payout)(position)]),
    { foot: [["They come to", "", "", money(found.reduce((sum, position) => sum + at("amount")(position), 0), payout("currency"), true)]] }),
  proofs: (found, at) => table("Proofs", [{ name: "Added" }, { name: "Document" }, { name: "Why" }],
    found.map((position) => [[h("span", { class: "when" }, instant(at("added_at")(position))), h("span", { class: "muted" }, ` by ${tidy(at("added_by")(position), 40)}`)],
      [h("code", { title: at("sha256")(position) }, `${at("sha256")(position).slice(0, 12)}\u2026`), h("span", { class: "muted" }, ` ${at("media_type")(position).split("/").at(-1)}, ${count(at("byte_count")(position))} bytes `), at("is_active")(position) ? badge("in force", "good") : badge("replaced")],
      tidy(at("reason")(position), 200)])),
  adjustments: (found, at, payout) => table("Adjustments", [{ name: "Number" }, { name: "What", className: "reason" }, { name: "State" }, { name: "Amount", right: true }],
    found.map((position) => [h("span", { class: "short" }, at("adjustment_number")(position)), [words(at("class")(position)), h("span", { class: "muted" }, ` ${at("relation")(position)}: ${tidy(at("reason")(position), 160)}`)],
      badge(at("status")(position)), moneyOf(at, payout)(position)])),
  audit: (found, at) => table("Audit", [{ name: "When" }, { name: "Who" }, { name: "What" }, { name: "Why" }],
    found.map((position) => [h("span", { class: "when" }, instant(at("at")(position))), tidy(at("actor")(position), 40), [words(at("action")(position)), h("span", { class: "muted" }, ` ${tidy(at("entity")(position), 60)}`)], tidy(at("reason")(position), 200)])),
};

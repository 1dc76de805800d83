// The page: unpack, show, listen to the keyboard.

function header(data, state, repaint) {
  const { page, batch, currencies } = data;
  const shown = batch ? words(batch.state ?? "frozen") : "nothing frozen";
  fill(byId("span"), page.window
    ? [`${day(page.window, { weekday: true })} \u2013 ${day(page.window_last_day, { weekday: true, year: true })}, ${page.timezone}. `, h("span", null, `Reserve closed ${day(page.reserve_closes_on, { weekday: true })}, payouts on ${day(page.payout_on, { weekday: true })}.`)]
    : `As of ${instant(page.as_of)}, ${page.timezone}`);
  fill(byId("facts"), h("span", { class: `badge ${TONES[batch?.state] || "plain"}` }, shown),
    batch?.content_digest && h("code", { class: "badge plain", title: `Content digest ${batch.content_digest}` }, batch.content_digest.slice(0, 12)));
  const weeks = page.weeks?.length > 0 && h("select", { "aria-label": "Another week", change: ({ target }) => { if (target.value) location.href = target.value; } },
    page.window ? null : h("option", { value: "" }, "Past weeks"), page.weeks.map(({ window, href, state: was }) => h("option", { value: href, selected: window === page.window }, `${day(window, { year: true })}, ${words(was)}`)));
  const switcher = currencySwitch(currencies.map(({ code }) => code), state, repaint);
  const latest = page.is_latest === false && page.links?.index && h("a", { href: page.links.index }, "To the latest week");
  fill(byId("tools"), latest, switcher, weeks, h("button", { type: "button", click: () => print() }, "Print"));
}

function navigation(data, ids) {
  const failing = data.checks.filter(({ status }) => status === "fail").length;
  const names = { verdict: ["Summary"], exceptions: ["Exceptions", count(data.exceptions.length)], adjustments: ["Adjustments", data.adjustments.wishes.length ? count(data.adjustments.wishes.length) : null], checks: ["Checks", failing ? String(failing) : null], rails: ["Rails"], trends: ["Trends"], sellers: ["Sellers", count(data.sellers.length)], approve: ["Approve", "", "approve-tally"] };
  partLinks(Object.entries(names).filter(([id]) => ids.includes(id)).map(([id, [name, tally, tallyId]]) => ({ id, name, tally, tallyId, isBad: id === "checks" })));
}

function indexSellers(data) {
  const { seller_id: ids = [], currency = [] } = data.sellers.columns;
  let rows = null;
  data.rowsOf = (id) => {
    if (!rows) {
      rows = new Map();
      ids.forEach((each, row) => (rows.has(each) ? rows.get(each).push(row) : rows.set(each, [row])));
    }
    return rows.get(id);
  };
  data.rowOf = (id, code) => data.rowsOf(id)?.find((row) => currency[row] === code);
}

function review(data) {
  indexSellers(data);
  const state = { currency: data.currencies[0]?.code };
  const open = drawerOf((row, walk) => sellerSheet(data, row, walk));
  const content = byId("content");
  fill(byId("verdict-more"), verdictFacts(data));
  const isEmpty = data.page.kind === "empty";
  const sellers = isEmpty ? null : sellersPart(data, open);
  const inCurrency = isEmpty || !state.currency ? {} : {
    figures: () => figures(data, state.currency),
    statement: () => statementPart(data, state.currency),
    trends: () => trendsPart(data, state.currency, open),
  };
  const made = Object.fromEntries(Object.entries(inCurrency).map(([name, make]) => [name, make()]));
  const repaint = () => {
    for (const [name, make] of Object.entries(inCurrency)) {
      const fresh = make();
      made[name].replaceWith(fresh);
      made[name] = fresh;
    }
    drawCharts();
  };
  header(data, state, repaint);
  fill(content, ...(isEmpty
    ? [emptyPart(data), checksPart(data, open), data.reserve_calendar.length > 0 && part("trends", "What comes next", null, calendarPanel(data))]
    : [data.batch?.state && submission(data, () => sellers.showUnpaid()), made.figures, made.statement, exceptionsPart(data, open), adjustmentsPart(data, open), checksPart(data, open), railsPart(data), made.trends, sellers.section, approvePart(data)]));
  ready(data, sellers ? [sellers] : []);
  navigation(data, ["verdict", ...[...content.children].map(({ id }) => id)]);
}

function emptyPart({ page, verdict }) {
  return part("nothing", "What happens next", null, h("div", { class: "panel" }, empty(page.window
    ? `Nothing of the window of ${day(page.window, { year: true })} is frozen yet.`
    : "Money is held until a window's reserve has closed; then the Sunday run freezes it and this page shows what is payable.", verdict.command ? null : "weekclose sunday")));
}

begin(review);

// Who did what to what, when and why: the newest entries of the audit log.

/** The command that shows what an entry is about. */
const ABOUT = {
  payout: (id) => `weekclose payout search ${quoted(id)}`,
  window: () => "weekclose status",
  batch: () => "weekclose status",
  adjustment: () => "weekclose adjust list",
  hold: () => "weekclose holds list",
  request: () => "weekclose requests list",
  schedule: () => "weekclose schedules list",
};

function entrySheet(data, row, walk) {
  const entry = (name) => data.entries.columns[name]?.[row] ?? null;
  const about = ABOUT[entry("entity_kind")]?.(entry("entity_id"));
  const came = Object.entries(entry("metadata") || {}).map(([name, value]) => [words(name), String(value ?? "")]).filter(([, value]) => value);
  const facts = [["When", `${instant(entry("at"))}:${entry("at").slice(17, 19)}`], ["Who", entry("actor")], ["With the rights of", entry("role")], ...came].filter(([, value]) => value);
  return [
    sheetHead(tidy(sentenceOf(entry("action")), 80), [`Entry ${count(entry("entry_id"))} · `, named(entry("entity"), 80)], null, row, "entry", walk),
    h("div", { class: "sheet" },
      entry("reason") && h("div", { class: "why calm" }, h("p", null, tidy(entry("reason"), 1000))),
      h("section", null, h("h3", null, "Before and after"), changesTable(entry("said"))),
      h("section", null, h("h3", null, "Who, and from where"), h("dl", { class: "facts-list" }, facts.map(([label, value]) => h("div", null, h("dt", null, label), h("dd", null, tidy(value, 300)))))),
      about && h("section", null, h("h3", null, "What it is about"), commandBox(tidy(about, 400))),
      h("section", null, h("h3", null, "That nobody has changed an entry"), commandBox("weekclose audit verify"))),
  ];
}

const sentenceOf = (action) => `${action.charAt(0).toUpperCase()}${action.slice(1).replaceAll("_", " ")}`;

function entriesList(data, open) {
  const { columns, length } = data.entries;
  const changes = columns.said.map((said) => changesInWords(said));
  return listOf({
    id: "entries", label: "Audit log", columns, length, open, what: "entry", nothing: "No entry matches.",
    search: { names: ["entity", "reason", "actor", "action"], placeholder: "Payout, seller, hold, words", label: "Search entries by what they are about, reason, person or action" },
    filters: [{ name: "action", label: "Any action" }, { name: "entity_kind", label: "Any kind of thing" }, { name: "actor", label: "Anybody", shown: (actor) => actor }],
    dates: { name: "at", label: "When" },
    fields: [
      { id: "at", name: "When", width: 150, few: 104, keys: columns.entry_id, cell: (row) => pair(h("span", { class: "when" }, `${day(columns.at[row], { year: true })}`), `${columns.at[row].slice(11, 19)}  #${columns.entry_id[row]}`) },
      { id: "actor", name: "Who", width: 130, cell: (row) => pair(named(columns.actor[row], 40), tidy((columns.role[row] ?? "").replaceAll("weekclose_", ""), 40)), keys: columns.actor },
      { id: "what", name: "What", width: 240, few: 250, keys: columns.action, cell: (row) => pair(h("b", null, tidy(sentenceOf(columns.action[row]), 60)), named(columns.entity[row], 60)) },
      { id: "change", name: "Before \u2192 after", width: 330, keys: changes, cell: (row) => h("span", { title: changes[row] }, changes[row] || NOTHING) },
      { id: "reason", name: "Why", width: 280, keys: columns.reason, cell: (row) => (columns.reason[row] ? h("span", { title: tidy(columns.reason[row], 600) }, tidy(columns.reason[row], 140)) : NOTHING) },
    ],
    file: { name: `weekclose-audit-${data.page.generated_at.slice(0, 10)}`, names: ["entry_id", "at", "actor", "role", "action", "entity", "before", "after", "reason"], value: (name, row) => (name in FIELD ? fieldsOf(columns.said[row], FIELD[name]) : columns[name][row]) },
  });
}

const FIELD = { before: 1, after: 2 };
const fieldsOf = (said, place) => {
  const fields = (said || []).filter((each) => each[place] !== null).map((each) => [each[0], each[place]]);
  return fields.length ? JSON.stringify(Object.fromEntries(fields)) : null;
};

function audit(data) {
  strip(data);
  const open = drawerOf((row, walk) => entrySheet(data, row, walk));
  const { columns, length } = data.entries;
  // Columns for the file that are made of the one that the page carries.
  if (length) Object.assign(columns, { before: columns.said, after: columns.said });
  const list = length ? entriesList(data, open) : null;
  const others = data.entry_count > length;
  fill(byId("content"), part("entries", "Timeline", list ? ["Newest first. ", others ? [`The newest ${count(length)} of ${count(data.entry_count)}; the view marts.audit_timeline has the others. `] : null, h("span", { class: "wide" }, "Press ", h("kbd", null, "/"), " to search, arrows and Enter to open.")] : null,
    list ? list.body : h("div", { class: "panel" }, empty("Nobody has done anything yet: each freeze, decision, hand-over and payment leaves an entry here.", "weekclose sunday")),
    others && h("div", { class: "pad" }, commandBox(`psql "$(weekclose db url)" -c "select * from marts.audit_timeline where entry_id <= ${data.entry_count - length} order by entry_id desc"`))));
  ready(data, list ? [list] : []);
  byId("parts").remove();
}

begin(audit);

// What an entry of the audit log changed, field by field.

const isChange = ([, before, after]) => before !== after;

/** In one line, what changed before what came: what it was, what it is since. */
function changesInWords(said, most = 3) {
  const changed = (said || []).filter(isChange).sort((a, b) => (a[1] === null) - (b[1] === null));
  const told = changed.slice(0, most).map(([field, before, after]) => (before === null ? `${words(field)}: ${tidy(after, 24)}` : `${words(field)}: ${tidy(before, 24)} \u2192 ${after === null ? "nothing" : tidy(after, 24)}`));
  return [told.join(", "), changed.length > most ? ` and ${count(changed.length - most)} more` : ""].join("");
}

function changesTable(said) {
  if (!said?.length) return h("p", { class: "muted" }, "It says that it happened, and no more.");
  const changed = said.filter(isChange).sort((a, b) => (a[1] === null) - (b[1] === null));
  const same = said.filter((each) => !isChange(each));
  const value = (text, tag) => (text === null ? h("span", { class: "muted" }, NOTHING) : h(tag, null, tidy(text, 600)));
  const kind = ([, before, after]) => (before === null ? "added" : after === null ? "removed" : "changed");
  return [
    changed.length > 0 && table("Before and after", [{ name: "Field" }, { name: "Before" }, { name: "After" }], changed.map((each) => h("tr", { class: `diff ${kind(each)}` },
      h("th", { scope: "row" }, words(each[0])), h("td", { class: "before" }, value(each[1], "del")), h("td", { class: "after-it" }, value(each[2], "ins"))))),
    changed.length === 0 && h("p", { class: "muted" }, "Nothing of it changed."),
    same.length > 0 && h("details", null, h("summary", null, `${count(same.length)} that stayed as they were`),
      h("dl", { class: "facts-list" }, same.map(([field, text]) => h("div", null, h("dt", null, words(field)), h("dd", null, tidy(text ?? NOTHING, 600)))))),
  ];
}

// What the pages of the site share: parts, panels, the links between them, beginning and end.

function part(id, title, about, ...children) {
  return h("section", { id, class: "part", "aria-labelledby": `${id}-title` },
    h("div", { class: "head" }, h("h2", { id: `${id}-title` }, title), about && h("p", { class: "muted" }, about)),
    children);
}

function panel(title, about, ...children) {
  return h("div", { class: "panel" },
    title && h("div", { class: "head" }, h("h3", null, title), about && h("p", { class: "muted" }, about)),
    children);
}

/** The links to the parts of this page; the one in sight is marked. */
function partLinks(parts) {
  const links = parts.map(({ id, name, tally, tallyId, isBad }) => h("a", { href: `#${id}` }, name,
    tally !== null && tally !== undefined && h("span", { class: `tally ${isBad ? "bad" : ""}`, id: tallyId }, tally)));
  fill(byId("parts"), links);
  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) links.forEach((link) => (link.hash === `#${target.id}` ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current")));
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  links.forEach((link) => seen.observe(byId(link.hash.slice(1))));
}

/** Figures of different currencies are never added: one of them is shown. */
function currencySwitch(codes, state, repaint) {
  return codes.length > 1 && h("div", { class: "switch", role: "group", "aria-label": "Currency of figures and trends" }, codes.map((code) =>
    h("button", { type: "button", "aria-pressed": String(code === state.currency), click: (event) => {
      state.currency = code;
      event.currentTarget.parentElement.querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", String(button === event.currentTarget)));
      repaint();
    } }, code)));
}

/** The strip at the top of a page that is not about one window. */
function strip({ page, verdict }, ...tools) {
  fill(byId("span"), page.as_of ? `Built as of ${instant(page.as_of)}; written ${instant(page.generated_at)}, ${page.timezone}.` : "Nothing is built yet.");
  fill(byId("tools"), tools, h("button", { type: "button", click: () => print() }, "Print"));
  fill(byId("verdict-more"), verdict.command && commandBox(verdict.command));
}

/** A figure that is looked at first; `show` leads to its rows. */
function tile({ label, value, amounts = [], note = null, tone = "", show = null }) {
  const lines = [h("span", { class: "label" }, label), h("span", { class: "value" }, value),
    amounts.length > 0 && h("span", { class: "sums" }, amounts.map(([currency, cents]) => money(cents, currency))),
    note && h("span", { class: "muted" }, note)];
  return show ? h("button", { type: "button", class: `tile ${tone}`, click: show }, lines) : h("div", { class: `tile ${tone}` }, lines);
}

function foot({ page }) {
  const { run, links } = page;
  fill(byId("foot"),
    links?.models && h("a", { href: links.models }, "Models and columns"), links?.lineage && h("a", { href: links.lineage }, "Lineage"),
    run && h("span", null, `Run ${tidy(run.run_id, 40)} by ${tidy(run.actor, 40)}`), run?.dbt && h("span", null, `dbt ${run.dbt.version}`),
    h("span", null, `Page written ${instant(page.generated_at)}`), h("span", null, "weekclose"));
}

function keyboard(search) {
  document.addEventListener("keydown", (event) => {
    const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && search && !document.querySelector("dialog[open]")) {
      event.preventDefault();
      search.scrollIntoView({ block: "center" });
      search.focus({ preventScroll: true });
    }
    if (event.key === "Escape" && event.target.type === "search") {
      if (event.target.value) {
        event.target.value = "";
        event.target.dispatchEvent(new Event("input"));
      } else {
        event.target.blur();
      }
    }
  });
}

/** The page stands: draw what needs its place on it, and let the keyboard in. */
function ready(data, lists) {
  byId("loading").remove();
  byId("content").hidden = false;
  lists.forEach((list) => list.start?.());
  foot(data);
  const search = lists.find((list) => list.search)?.search;
  search?.setAttribute("aria-keyshortcuts", "/");
  keyboard(search);
  watchCharts();
  document.documentElement.dataset.ready = "yes";
}

/** Unpack the data and show them; a browser that cannot says so, and what to do. */
function begin(show) {
  unpack(byId("data").textContent).then(show).catch((problem) => {
    byId("loading")?.remove();
    byId("trouble").hidden = false;
    byId("trouble").textContent = `This page could not be shown (${problem.message}). Write it anew with weekclose review, or use weekclose status.`;
    throw problem;
  });
}

// A list of any length: only what is in sight is drawn, so that a hundred thousand rows scroll like forty.
// Search, filters, dates and chips say which rows; totals, per currency, and the file follow them.

const ROW = 46;
const ROWS_IN_SIGHT = 13;

/**
 * `columns` are the data, `fields` what is shown of them: { id, name, width, cell(row), keys, right, few }; `keys`
 * is what the rows are sorted by, `few` the width on a phone. `sums` are added up, as [column, heading, how a sum is shown]; without `open` a row leads nowhere.
 */
function listOf({ id: listId, label, columns, length, fields, search, filters = [], dates = null, chips = [], sums = [], sorted = null, open, file, what = "row", nothing = "Nothing matches." }) {
  const own = (name) => `${listId}-${name}`;
  const rows = { order: new Uint32Array(0), length: 0 };
  const haystack = Array.from({ length }, (_, row) => search.names.map((name) => columns[name]?.[row] ?? "").join("\n").toLowerCase());
  const searchBox = h("input", { type: "search", id: own("search"), placeholder: search.placeholder, "aria-label": search.label, autocomplete: "off", spellcheck: "false", input: refilter });
  const selects = Object.fromEntries(filters.map((filter) => [filter.name, selectOf(filter)]).filter(([, select]) => select));
  const [from, to] = ["from", "to"].map((end) => dates && h("input", { type: "date", id: own(end), "aria-label": `${dates.label} ${end}`, change: refilter }));
  const pressed = {};
  const groups = chips.map(chipsOf);
  const counted = h("p", { class: "counted", role: "status", id: own("counted") });
  const totals = h("div", { id: own("totals") });
  const box = h("div", { class: open ? "rows" : "rows closed", id: own("grid"), "aria-label": label });
  const none = h("div", { class: "empty", hidden: true }, h("p", null, nothing), h("button", { type: "button", click: () => clear() }, "Clear the filters"));
  const order = { ...(sorted ?? { id: null, ascending: true }) };
  const keys = new Map();
  let grid = null;

  function selectOf({ name, label: any, extra = [], shown = (value) => words(value) }) {
    const values = [...new Set(columns[name])].filter((value) => value !== null && value !== undefined && value !== "").sort();
    if (values.length < 2 && !extra.length) return null;
    return h("select", { id: own(`filter-${name}`), "aria-label": any, change: refilter }, h("option", { value: "" }, any),
      extra.map(({ key, text }) => h("option", { value: key }, text)), values.map((value) => h("option", { value: `=${value}` }, tidy(shown(value), 40))));
  }

  /** One row of buttons: pressed, one shows its rows alone; pressed again, or All, every row. */
  function chipsOf({ name, label: about, values }) {
    const all = h("button", { type: "button", class: "chip", "aria-pressed": "true", click: () => press(null) }, "All");
    const buttons = values.map(({ value, text }) => {
      const many = columns[name].reduce((sum, each) => sum + (each === value), 0);
      return [value, h("button", { type: "button", class: "chip", "aria-pressed": "false", "data-value": value, click: () => press(pressed[name] === value ? null : value) }, h("b", null, count(many)), ` ${text}`)];
    });
    function press(value) {
      show(value);
      refilter();
    }
    function show(value) {
      pressed[name] = value;
      all.setAttribute("aria-pressed", String(value === null));
      buttons.forEach(([each, button]) => button.setAttribute("aria-pressed", String(each === value)));
    }
    pressed[name] = null;
    return { name, show, bar: h("div", { class: "chips", role: "group", "aria-label": about }, h("span", { class: "muted" }, about), all, buttons.map(([, button]) => button)) };
  }

  function refilter() {
    const needle = searchBox.value.trim().toLowerCase();
    const tests = filters.filter(({ name }) => selects[name]?.value).map(({ name, extra = [] }) => {
      const { value } = selects[name];
      const wanted = value.slice(1);
      return extra.find(({ key }) => key === value)?.test ?? ((row) => String(columns[name][row]) === wanted);
    });
    for (const [name, value] of Object.entries(pressed)) if (value !== null) tests.push((row) => columns[name][row] === value);
    if (from?.value) tests.push((row) => columns[dates.name][row]?.slice(0, 10) >= from.value);
    if (to?.value) tests.push((row) => columns[dates.name][row]?.slice(0, 10) <= to.value);
    const found = new Uint32Array(length);
    rows.length = 0;
    for (let row = 0; row < length; row += 1) {
      if (needle && !haystack[row].includes(needle)) continue;
      if (!tests.every((test) => test(row))) continue;
      found[rows.length] = row;
      rows.length += 1;
    }
    rows.order = found.subarray(0, rows.length);
    resort();
    tell();
  }

  function resort() {
    if (order.id) {
      const field = fields.find(({ id }) => id === order.id);
      const factor = order.ascending ? 1 : -1;
      const key = `${order.id} ${factor}`;
      if (!keys.has(key)) keys.set(key, keysOf(typeof field.keys === "function" ? field.keys() : field.keys, factor));
      const ranks = keys.get(key);
      rows.order.sort((a, b) => ranks[a] - ranks[b] || a - b);
    }
    if (grid) {
      grid.resetActiveCell();
      grid.invalidate();
      grid.scrollRowToTop(0);
    }
  }

  function tell() {
    const all = several(length, what);
    counted.textContent = rows.length === length ? all : `${count(rows.length)} of ${all}`;
    none.hidden = rows.length > 0;
    box.hidden = rows.length === 0;
    box.setAttribute("aria-rowcount", rows.length + 1);
    box.style.height = `${Math.min(ROWS_IN_SIGHT, Math.max(rows.length, 1)) * ROW + 42}px`;
    grid?.resizeCanvas();
    fill(totals, rows.length > 0 && sums.length > 0 && totalsTable());
  }

  function totalsTable() {
    const found = new Map();
    for (const row of rows.order) {
      const code = columns.currency[row];
      if (!found.has(code)) found.set(code, { rows: 0, ...Object.fromEntries(sums.map(([name]) => [name, 0])) });
      const sum = found.get(code);
      sum.rows += 1;
      for (const [name] of sums) sum[name] += columns[name][row];
    }
    return table(`Totals of ${label}, per currency`, [{ name: "Total of", heads: true }, { name: "Rows", right: true }, ...sums.map(([, name]) => ({ name, right: true }))],
      [...found.keys()].filter(Boolean).sort((a, b) => found.get(b).rows - found.get(a).rows || (a < b ? -1 : 1))
        .map((code) => [code, count(found.get(code).rows), ...sums.map(([name, , shown = (cents) => amount(cents)]) => shown(found.get(code)[name]))]), { className: "totals" });
  }

  function reset() {
    searchBox.value = "";
    [...Object.values(selects), from, to].forEach((input) => { if (input) input.value = ""; });
    groups.forEach(({ show }) => show(null));
  }

  function clear() {
    reset();
    refilter();
    searchBox.focus();
  }

  function csv() {
    const names = file.names.filter((name) => columns[name]);
    const lines = [[...(file.before?.map(([name]) => name) ?? []), ...names].join(",")];
    for (const row of rows.order) lines.push([...(file.before?.map(([, value]) => value) ?? []), ...names.map((name) => csvCell(file.value(name, row)))].join(","));
    download(`${file.name}.csv`, "text/csv;charset=utf-8", lines.map((line) => `${line}\r\n`));
    say(`${several(rows.length, "row")} written as CSV.`);
  }

  /** SlickGrid's own description of a field. */
  const made = ({ id, name, width, cell, right, few, strong }, narrow) => ({
    id, name, field: id, width: narrow ? few : width, minWidth: Math.floor(narrow ? few * 0.8 : width * 0.9), sortable: true,
    formatter: (_row, _cell, _value, _column, { row }) => cell(row) ?? NOTHING,
    cssClass: [right && "num", strong && "strong"].filter(Boolean).join(" "), headerCssClass: right ? "num" : "", headerCellAttrs: { tabindex: "0", "aria-sort": "none" },
  });
  const all = fields.map((field) => made(field, false));
  const few = fields.filter((field) => field.few).map((field) => made(field, true));

  function start() {
    refilter();
    const isNarrow = () => box.clientWidth < 640;
    let narrow = isNarrow();
    const source = { getLength: () => rows.length, getItem: (index) => ({ row: rows.order[index] }) };
    grid = new Slick.Grid(box, source, narrow ? few : all, {
      rowHeight: ROW, enableColumnReorder: false, enableCellNavigation: true, forceFitColumns: true, enableHtmlRendering: false,
      // Names are shown as they are: they become text nodes, so there is nothing to take out of them.
      sanitizer: (name) => name,
    });
    reachable(grid, box, (index) => open?.(rows.order[index], rows.order));
    const markSort = () => box.querySelectorAll(".slick-header-column").forEach((header) => {
      header.setAttribute("aria-sort", header.dataset.id === order.id ? (order.ascending ? "ascending" : "descending") : "none");
    });
    const showSort = () => {
      if (order.id) grid.setSortColumn(order.id, order.ascending);
      markSort();
    };
    grid.onSort.subscribe((_event, { sortCol, sortAsc }) => {
      order.id = sortCol.id;
      order.ascending = sortAsc;
      resort();
      markSort();
    });
    showSort();
    new ResizeObserver(() => {
      if (!box.clientWidth) return;
      if (isNarrow() !== narrow) {
        narrow = isNarrow();
        grid.setColumns(narrow ? few : all);
        showSort();
      }
      grid.resizeCanvas();
      grid.autosizeColumns();
    }).observe(box);
  }

  const body = h("div", { class: "panel" },
    groups.map(({ bar }) => bar),
    h("div", { class: "toolbar", role: "search", "aria-label": label }, searchBox, Object.values(selects),
      dates && h("span", { class: "range" }, h("span", { class: "muted", "aria-hidden": "true" }, dates.label), from, h("span", { "aria-hidden": "true" }, "\u2013"), to),
      counted, h("button", { type: "button", id: own("csv"), click: csv }, "Download CSV")),
    box, none, totals,
    h("p", { class: "pad muted printed" }, sums.length ? "The rows are in the file; this print carries their totals." : "The rows are in the file."));

  /** Show only the rows of these filters and chips; the first of them gets the focus. */
  function choose(choices) {
    reset();
    for (const [name, value] of Object.entries(choices)) {
      const group = groups.find((each) => each.name === name);
      if (group) group.show(value);
      else if (selects[name]) selects[name].value = value;
    }
    refilter();
    body.closest("section").scrollIntoView();
    const first = Object.keys(choices)[0];
    (selects[first] ?? groups.find(({ name }) => name === first)?.bar.querySelector("[aria-pressed='true']"))?.focus({ preventScroll: true });
  }

  return { body, start, choose, search: searchBox };
}

/** As wide as the longest amount in it, so that most screens see every column. */
function widthOf(column, heading) {
  const longest = column.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return Math.ceil(Math.max(heading.length * 6.4 + 30, amount(-longest).length * 7.3 + 20));
}

/** A number for each row, by which the rows come in the column's order; what is missing comes last. */
function keysOf(column, factor) {
  const known = column.find((value) => value !== null && value !== undefined);
  if (typeof known !== "string") return Float64Array.from(column, (value) => (value === null || value === undefined ? Infinity : factor * value));
  const ranks = new Map([...new Set(column)].sort().map((value, rank) => [value, rank]));
  return Float64Array.from(column, (value) => (value === null || value === undefined ? Infinity : factor * ranks.get(value)));
}

/** Two lines in a row: what it is, and beneath it, what it is called. */
function pair(first, second) {
  const cell = h("span", { class: "pair" });
  cell.append(...(first ? [first] : []), ...(second ? [h("span", { class: "id" }, second)] : []));
  return cell;
}

const sellerCell = (id, name) => (name ? pair(named(name, 60), named(id, 40)) : pair(named(id, 40)));

/** One stop for the Tab key, arrows inside, Enter opens; headings sort with Enter as well. */
function reachable(grid, box, openAt) {
  const canvas = box.querySelector(".grid-canvas-top.grid-canvas-left");
  box.querySelectorAll(":scope > [tabindex], .slick-viewport, .grid-canvas").forEach((element) => element.removeAttribute("tabindex"));
  box.querySelectorAll(".slick-header-columns").forEach((header) => header.setAttribute("role", header.children.length ? "row" : "presentation"));
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "rowgroup");
  canvas.setAttribute("aria-label", "Rows");
  const active = () => grid.getActiveCellNode()?.focus({ preventScroll: true });
  canvas.addEventListener("focus", () => {
    if (grid.getActiveCell()) active();
    else grid.setActiveCell(Math.max(0, grid.getViewport().top), 0);
  });
  canvas.addEventListener("focusin", () => { canvas.tabIndex = -1; });
  canvas.addEventListener("focusout", () => { canvas.tabIndex = 0; });
  grid.onActiveCellChanged.subscribe(() => {
    if (box.contains(document.activeElement)) active();
  });
  grid.onKeyDown.subscribe((event, { row }) => {
    const { key } = event.getNativeEvent ? event.getNativeEvent() : event;
    if (key === "Enter" && row !== undefined && row !== null) openAt(row);
    if (key === "Enter") event.stopImmediatePropagation();
  });
  // Tab leaves the table, so the grid must not see it: nobody wants to pass every cell.
  box.addEventListener("keydown", (event) => event.key === "Tab" && event.stopPropagation(), { capture: true });
  grid.onClick.subscribe((_event, { row }) => openAt(row));
  grid.onRendered.subscribe(() => box.querySelectorAll(".slick-row").forEach((element) => element.setAttribute("aria-rowindex", Number(element.dataset.row) + 2)));
  box.addEventListener("keydown", (event) => {
    const header = event.target.closest(".slick-header-column");
    if (header && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      header.click();
    }
  });
}

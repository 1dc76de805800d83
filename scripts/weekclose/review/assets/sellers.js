// All sellers: only what is in sight is drawn, so that a hundred thousand rows scroll like forty.

const MONEY_COLUMNS = ["gross", "fees", "refunds", "net", "disputes", "adjustments", "carry_in", "payable", "carry_out"];
const HEADINGS = { gross: "Gross", fees: "Fees", refunds: "Refunds", net: "Net", disputes: "Disputes", adjustments: "Adjustments", carry_in: "Carried in", payable: "Payable", carry_out: "Carried out" };

function sellersPart(data, open) {
  const { sellers, page, batch } = data;
  if (!sellers.length) {
    return { section: part("sellers", "All sellers", null, h("div", { class: "panel" }, empty("No seller has a row in this window."))) };
  }
  const columns = sellers.columns;
  const used = MONEY_COLUMNS.filter((name) => name !== "adjustments" || columns.adjustments?.some(Boolean));
  const haystack = columns.seller_id.map((id, row) => `${id}\n${columns.name[row] ?? ""}`.toLowerCase());
  const rows = { order: new Uint32Array(sellers.length), length: 0 };
  const filters = {};
  const search = h("input", { type: "search", id: "search", placeholder: "Seller id or name", "aria-label": "Search sellers by id or name", "aria-keyshortcuts": "/", autocomplete: "off", spellcheck: "false", input: refilter });
  const choose = (name, label, extra = []) => {
    const values = [...new Set(columns[name])].filter((value) => value !== null && value !== "").sort();
    if (values.length < 2 && !extra.length) return null;
    const select = h("select", { id: `filter-${name}`, "aria-label": label, change: refilter }, h("option", { value: "" }, label),
      extra.map(([value, text]) => h("option", { value }, text)), values.map((value) => h("option", { value: `=${value}` }, tidy(words(value), 40))));
    filters[name] = select;
    return select;
  };
  const selects = [
    choose("status", "Any status", batch && !["frozen", "approved"].includes(batch.state) ? [["unpaid", "not paid yet"]] : []),
    choose("currency", "Any currency"), choose("rail", "Any rail"), choose("region", "Any region"),
  ];
  const counted = h("p", { class: "counted", role: "status", id: "counted" });
  const totals = h("div", { id: "totals" });
  const box = h("div", { class: "rows", id: "sellers-grid", "aria-label": "All sellers" });
  const nothing = h("div", { class: "empty", hidden: true }, h("p", null, "No seller matches."), h("button", { type: "button", click: clear }, "Clear the filters"));
  const sorted = { name: "payable", ascending: false };
  let grid = null;

  function refilter() {
    const needle = search.value.trim().toLowerCase();
    const tests = Object.entries(filters).filter(([, select]) => select.value).map(([name, select]) => {
      if (select.value === "unpaid") return (row) => columns.payable[row] > 0 && UNPAID.includes(columns.status[row]);
      const wanted = select.value.slice(1);
      return (row) => columns[name][row] === wanted;
    });
    let length = 0;
    const order = new Uint32Array(sellers.length);
    for (let row = 0; row < sellers.length; row += 1) {
      if (needle && !haystack[row].includes(needle)) continue;
      if (!tests.every((test) => test(row))) continue;
      order[length] = row;
      length += 1;
    }
    rows.order = order.subarray(0, length);
    rows.length = length;
    resort();
    tell();
  }

  function resort() {
    const column = sorted.name === "seller" ? haystackByName() : columns[sorted.name];
    const keys = keysOf(column, sorted.ascending ? 1 : -1);
    rows.order.sort((a, b) => keys[a] - keys[b] || a - b);
    if (grid) {
      grid.resetActiveCell();
      grid.invalidate();
      grid.scrollRowToTop(0);
    }
  }

  let byName = null;
  function haystackByName() {
    byName ||= columns.name.map((name, row) => (name || columns.seller_id[row]).toLowerCase());
    return byName;
  }

  function tell() {
    counted.textContent = rows.length === sellers.length ? `${count(sellers.length)} rows` : `${count(rows.length)} of ${count(sellers.length)} rows`;
    nothing.hidden = rows.length > 0;
    box.hidden = rows.length === 0;
    box.setAttribute("aria-rowcount", rows.length + 1);
    box.style.height = `${Math.min(13, Math.max(rows.length, 1)) * 46 + 42}px`;
    grid?.resizeCanvas();
    fill(totals, rows.length > 0 && totalsTable());
  }

  function totalsTable() {
    const sums = new Map();
    for (const row of rows.order) {
      const code = columns.currency[row];
      if (!sums.has(code)) sums.set(code, { sellers: 0, ...Object.fromEntries(used.map((name) => [name, 0])) });
      const sum = sums.get(code);
      sum.sellers += 1;
      for (const name of used) sum[name] += columns[name][row];
    }
    return table("Totals of the rows above, per currency", [{ name: "Total of", heads: true }, { name: "Rows", right: true }, ...used.map((name) => ({ name: HEADINGS[name], right: true }))],
      data.currencies.filter(({ code }) => sums.has(code)).map(({ code }) => [code, count(sums.get(code).sellers), ...used.map((name) => amount(sums.get(code)[name]))]), { className: "totals" });
  }

  function clear() {
    search.value = "";
    Object.values(filters).forEach((select) => { select.value = ""; });
    refilter();
    search.focus();
  }

  function csv() {
    const names = ["seller_id", "name", "region", "currency", "rail", "status", "orders", ...MONEY_COLUMNS, "health", "reasons", "payout_number", "external_reference", "failure_reason"].filter((name) => columns[name]);
    const value = (name, row) => {
      const found = columns[name][row];
      if (MONEY_COLUMNS.includes(name)) return plainAmount(found);
      if (name === "health" && found !== null) return found / 10;
      return found;
    };
    const lines = [["payout_window", ...names].join(",")];
    for (const row of rows.order) lines.push([page.window, ...names.map((name) => csvCell(value(name, row)))].join(","));
    download(`weekclose-${page.window}-sellers.csv`, "text/csv;charset=utf-8", lines.map((line) => `${line}\r\n`));
    say(`${count(rows.length)} rows written as CSV.`);
  }

  const text = (name) => (_row, _cell, _value, _column, { row }) => tidy(columns[name]?.[row] ?? NOTHING, 40);
  const cash = (name) => (_row, _cell, _value, _column, { row }) => amount(columns[name][row]);
  const number = (name, format) => (_row, _cell, _value, _column, { row }) => (columns[name]?.[row] === null || columns[name]?.[row] === undefined ? NOTHING : format(columns[name][row]));
  const seller = (_row, _cell, _value, _column, { row }) => sellerCell(columns.seller_id[row], columns.name[row]);
  const state = (_row, _cell, _value, _column, { row }) => badge(columns.status[row]);
  const right = { cssClass: "num", headerCssClass: "num" };
  const make = (id, name, formatter, width, more = {}) => ({ id, name, field: id, formatter, width, minWidth: Math.floor(width * 0.9), sortable: true, ...more, headerCellAttrs: { tabindex: "0", "aria-sort": "none" } });
  /** As wide as the longest amount in it, so that most screens see every column. */
  const widthOf = (name) => {
    const longest = columns[name].reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    return Math.ceil(Math.max(HEADINGS[name].length * 6.4 + 30, amount(-longest).length * 7.3 + 20));
  };
  const all = [
    make("seller", "Seller", seller, 184),
    make("status", "Status", state, 118),
    data.currencies.length > 1 && make("currency", "Cur.", text("currency"), 62),
    make("region", "Region", text("region"), 70),
    make("rail", "Rail", text("rail"), 72),
    make("orders", "Orders", number("orders", count), 70, right),
    ...used.map((name) => make(name, HEADINGS[name], cash(name), widthOf(name), { ...right, cssClass: name === "payable" ? "num strong" : "num" })),
    make("health", "Health", number("health", (tenths) => (tenths / 10).toFixed(1)), 68, right),
  ].filter(Boolean);
  const few = ["seller", "payable"].map((id) => ({ ...all.find((column) => column.id === id), width: id === "seller" ? 170 : 110, minWidth: 90 }));
  few.splice(1, 0, { ...all.find((column) => column.id === "status"), width: 100, minWidth: 90 });

  function start() {
    refilter();
    const isNarrow = () => box.clientWidth < 640;
    let narrow = isNarrow();
    const source = { getLength: () => rows.length, getItem: (index) => ({ row: rows.order[index] }) };
    grid = new Slick.Grid(box, source, narrow ? few : all, {
      rowHeight: 46, enableColumnReorder: false, enableCellNavigation: true, forceFitColumns: true, enableHtmlRendering: false,
      // Names are shown as they are: they become text nodes, so there is nothing to take out of them.
      sanitizer: (name) => name,
    });
    reachable(grid, box, (index) => openAt(index));
    grid.onSort.subscribe((_event, { sortCol, sortAsc }) => {
      sorted.name = sortCol.id;
      sorted.ascending = sortAsc;
      resort();
      markSort();
    });
    const markSort = () => box.querySelectorAll(".slick-header-column").forEach((header) => {
      header.setAttribute("aria-sort", header.dataset.id === sorted.name ? (sorted.ascending ? "ascending" : "descending") : "none");
    });
    grid.setSortColumn(sorted.name, sorted.ascending);
    markSort();
    new ResizeObserver(() => {
      if (!box.clientWidth) return;
      if (isNarrow() !== narrow) {
        narrow = isNarrow();
        grid.setColumns(narrow ? few : all);
        grid.setSortColumn(sorted.name, sorted.ascending);
        markSort();
      }
      grid.resizeCanvas();
      grid.autosizeColumns();
    }).observe(box);
  }

  function openAt(index) {
    open(rows.order[index], rows.order);
  }

  const section = part("sellers", "All sellers", ["Every row of this window; totals follow the filter. ", h("span", { class: "wide" }, "Press ", h("kbd", null, "/"), " to search, arrows and Enter to open.")],
    h("div", { class: "panel" },
      h("div", { class: "toolbar", role: "search" }, search, selects, counted, h("button", { type: "button", id: "csv", click: csv }, "Download CSV")),
      box, nothing, totals,
      h("p", { class: "pad muted printed" }, "The rows are in the file; this print carries their totals.")));
  const showUnpaid = () => {
    search.value = "";
    Object.values(filters).forEach((select) => { select.value = ""; });
    filters.status.value = "unpaid";
    refilter();
    section.scrollIntoView();
    filters.status.focus({ preventScroll: true });
  };
  return { section, start, showUnpaid, search };
}

/** A number for each row, by which the rows come in the column's order; what is missing comes last. */
function keysOf(column, factor) {
  const known = column.find((value) => value !== null && value !== undefined);
  if (typeof known !== "string") return Float64Array.from(column, (value) => (value === null || value === undefined ? Infinity : factor * value));
  const ranks = new Map([...new Set(column)].sort().map((value, rank) => [value, rank]));
  return Float64Array.from(column, (value) => (value === null || value === undefined ? Infinity : factor * ranks.get(value)));
}

function sellerCell(id, name) {
  const cell = h("span", { class: "pair" });
  cell.append(...(name ? [named(name, 60)] : []), h("span", { class: "id" }, named(id, 40)));
  return cell;
}

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

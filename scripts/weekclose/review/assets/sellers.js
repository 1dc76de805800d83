// All sellers of the window, with the totals of what the filter shows.

const MONEY_COLUMNS = ["gross", "fees", "refunds", "net", "disputes", "adjustments", "carry_in", "payable", "carry_out"];
const HEADINGS = { gross: "Gross", fees: "Fees", refunds: "Refunds", net: "Net", disputes: "Disputes", adjustments: "Adjustments", carry_in: "Carried in", payable: "Payable", carry_out: "Carried out" };

function sellersPart(data, open) {
  const { sellers, page, batch } = data;
  if (!sellers.length) {
    return { section: part("sellers", "All sellers", null, h("div", { class: "panel" }, empty("No seller has a row in this window."))) };
  }
  const columns = sellers.columns;
  const used = MONEY_COLUMNS.filter((name) => name !== "adjustments" || columns.adjustments?.some(Boolean));
  const isOut = batch && !["frozen", "approved"].includes(batch.state);
  const unpaid = { key: "unpaid", text: "not paid yet", test: (row) => columns.payable[row] > 0 && UNPAID.includes(columns.status[row]) };
  const text = (name) => (row) => tidy(columns[name]?.[row] ?? NOTHING, 40);
  const number = (name, format) => (row) => (columns[name]?.[row] === null || columns[name]?.[row] === undefined ? NOTHING : format(columns[name][row]));
  const fields = [
    { id: "seller", name: "Seller", width: 184, few: 170, cell: (row) => sellerCell(columns.seller_id[row], columns.name[row]), keys: () => columns.name.map((name, row) => (name || columns.seller_id[row]).toLowerCase()) },
    { id: "status", name: "Status", width: 118, few: 100, cell: (row) => badge(columns.status[row]), keys: columns.status },
    data.currencies.length > 1 && { id: "currency", name: "Cur.", width: 62, cell: text("currency"), keys: columns.currency },
    { id: "region", name: "Region", width: 70, cell: text("region"), keys: columns.region },
    { id: "rail", name: "Rail", width: 72, cell: text("rail"), keys: columns.rail },
    { id: "orders", name: "Orders", width: 70, right: true, cell: number("orders", count), keys: columns.orders },
    ...used.map((name) => ({ id: name, name: HEADINGS[name], width: widthOf(columns[name], HEADINGS[name]), few: name === "payable" && 110, right: true, strong: name === "payable", cell: (row) => amount(columns[name][row]), keys: columns[name] })),
    { id: "health", name: "Health", width: 68, right: true, cell: number("health", (tenths) => (tenths / 10).toFixed(1)), keys: columns.health },
  ].filter(Boolean);
  const list = listOf({
    id: "sellers", label: "All sellers", columns, length: sellers.length, fields, open,
    search: { names: ["seller_id", "name"], placeholder: "Seller id or name", label: "Search sellers by id or name" },
    filters: [
      { name: "status", label: "Any status", extra: isOut ? [unpaid] : [] },
      { name: "currency", label: "Any currency" }, { name: "rail", label: "Any rail" }, { name: "region", label: "Any region" },
    ],
    sums: used.map((name) => [name, HEADINGS[name]]),
    sorted: { id: "payable", ascending: false },
    nothing: "No seller matches.",
    file: {
      name: `weekclose-${page.window}-sellers`,
      before: [["payout_window", page.window]],
      names: ["seller_id", "name", "region", "currency", "rail", "status", "orders", ...MONEY_COLUMNS, "health", "reasons", "payout_number", "external_reference", "failure_reason"],
      value: (name, row) => {
        const found = columns[name][row];
        if (MONEY_COLUMNS.includes(name)) return plainAmount(found);
        return name === "health" && found !== null ? found / 10 : found;
      },
    },
  });
  const section = part("sellers", "All sellers", ["Every row of this window; totals follow the filter. ", h("span", { class: "wide" }, "Press ", h("kbd", null, "/"), " to search, arrows and Enter to open.")], list.body);
  return { section, start: list.start, showUnpaid: () => list.choose({ status: "unpaid" }), search: list.search };
}

// The drawer over a page: one row with all that belongs to it, and the rest of the page still in sight.

/** A drawer over the page; `sheet` makes its content of a row. Returns what opens it. */
function drawerOf(sheet) {
  const dialog = byId("drawer");
  let list = null;
  let came = null;
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    document.documentElement.classList.remove("still");
    if (came?.isConnected) came.focus({ preventScroll: true });
  });
  dialog.addEventListener("keydown", (event) => event.key === "Tab" && stayInside(dialog, event));
  function show(row) {
    fill(dialog, sheet(row, { list, go: show, close: () => dialog.close() }));
    dialog.scrollTop = 0;
    byId("drawer-name").focus({ preventScroll: true });
  }
  return (row, rows) => {
    list = rows ? Array.from(rows) : null;
    if (!dialog.open) {
      came = document.activeElement;
      dialog.showModal();
      document.documentElement.classList.add("still");
    }
    show(row);
  };
}

function stayInside(dialog, event) {
  const stops = [...dialog.querySelectorAll("button:not(:disabled), [tabindex='0'], summary, a[href]")].filter((element) => element.getClientRects().length);
  const [first, last] = [stops[0], stops.at(-1)];
  const isOut = !stops.includes(document.activeElement);
  if (event.shiftKey && (document.activeElement === first || isOut)) {
    event.preventDefault();
    last.focus();
  } else if (!event.shiftKey && document.activeElement === last) {
    event.preventDefault();
    first.focus();
  }
}

function sheetHead(name, about, state, row, what, { list, go, close }) {
  const position = list ? list.indexOf(row) : -1;
  const step = (by, label) => {
    const next = position < 0 ? undefined : list[position + by];
    return h("button", { type: "button", disabled: next === undefined, "aria-label": `${label} ${what} of the list`, click: () => go(next) }, label);
  };
  return h("div", { class: "sheet-head" },
    h("div", { class: "who" }, h("h2", { id: "drawer-name", tabindex: "-1" }, name), h("p", { class: "muted" }, about)),
    state,
    h("div", { class: "walk" }, list && list.length > 1 && [step(-1, "Previous"), step(1, "Next")], h("button", { type: "button", id: "close-drawer", click: close }, "Close")));
}

/** An id is somebody else's text: quoted, a shell takes it for nothing but itself. */
function quoted(id) {
  return /^[\w.,:@%+-]+$/.test(id) && !id.startsWith("-") ? id : `'${id.replaceAll("'", "'\\''")}'`;
}

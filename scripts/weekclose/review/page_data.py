"""What the Monday page says, as one JSON object: every number from the marts, amounts in hundredths."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from psycopg import Connection

from weekclose.errors import NothingToDo
from weekclose.reading import Calendar, Row, calendar, is_built, read, snapshot
from weekclose.review.adjustments import adjustments_of
from weekclose.review.affected import affected
from weekclose.review.checks import checks_of, sources_of
from weekclose.review.columns import Columns, columns_of
from weekclose.review.exceptions import exceptions_of
from weekclose.review.page import PAGES
from weekclose.review.verdict import Situation, empty_verdict, verdict_of

# Payouts go out two days after the reserve closes: what closes with Saturday is paid on Tuesday.
DAYS_TO_PAYOUT = 2

# The pages beside the review, where its own folder has them.
LINKS = {name: f"{name}.html" for name in (*PAGES, "models", "lineage")}

WEEKS_LINKED = 13
WINDOWS_IN_FIGURES = 13

# How many lines and earlier rows a page carries. Beyond that it has those of the sellers whom finance looks
# at, and of the largest; `weekclose explain` tells the same of everybody.
LINES_CARRIED = 30_000
HISTORY_CARRIED = 50_000

FIGURES = (
    # key, column, label, unit, which direction is good
    ("payable", "leaving", "Payable on Tuesday", "money", None),
    ("gross", "gross", "Gross sales", "money", "up"),
    ("fees", "fees", "Fees", "money", None),
    ("refunds", "refunds", "Refunds", "money", "down"),
    ("disputes", "disputes", "Disputes", "money", "down"),
    ("reserve_held", "reserve_held", "Held in reserve", "money", None),
    ("ready", "ready", "Sellers paid", "count", None),
    ("blocked", "blocked", "Sellers blocked", "count", "down"),
    ("carried", "carried", "Sellers carried forward", "count", None),
)

STATEMENT = (
    # key, column, sign, label, level
    ("gross", "gross", 1, "Gross sales", "total"),
    ("fees", "fees", -1, "Fees", "part"),
    ("refunds", "refunds", -1, "Refunds", "part"),
    ("net", "net", 1, "Net", "total"),
    ("disputes", "disputes", -1, "Disputes held back", "part"),
    ("adjustments", "adjustments", 1, "Adjustments", "part"),
    ("carry_in", "carry_in", 1, "Carried in", "part"),
    ("balance", "balance", 1, "Balance", "total"),
    ("carry_out", "carry_out", -1, "Carried forward", "part"),
    ("payable", "payable", 1, "Payable", "total"),
    ("ready", "leaving", 1, "of which goes out", "of which"),
    ("blocked", "held_back", 1, "of which blocked", "of which"),
)

BRIDGE_PARTS = {
    "new": "New lines of this window",
    "changed": "Lines that move another amount",
    "gone": "Lines that are gone",
    "late": "Lines that arrived late for an earlier window",
    "adjusted": "Adjustments",
}

CHECKLIST = (
    "The headline is not red, and every warning has been looked at",
    "What goes out agrees with the funding of the rails",
    "Every blocked seller has a reason that still holds; what must not go out is on hold",
    "Every break below has an owner",
    "The largest changes against last week are explained",
    "Sellers whose last payout came back have been told",
)


@dataclass(frozen=True)
class Shown:
    """The window that a page is about. `state` is frozen, due, or none when there is no such window."""

    row: Row
    is_latest: bool

    @property
    def window(self) -> date:
        day: date = self.row["payout_window"]
        return day

    @property
    def is_frozen(self) -> bool:
        return bool(self.row["state"] == "frozen")


def page_data(conn: Connection[Any], window: date | None = None) -> dict[str, Any]:
    """Everything the page of a frozen window says, or of the one to decide on: due, else the newest frozen.

    Opens its own snapshot. Amounts are integers in hundredths, instants ISO 8601. A database without a window
    to show gives a page that says what to do; raises NothingToDo for one without tables, or when `window` is
    not frozen.
    """
    with snapshot(conn):
        dates = calendar(conn) if is_built(conn) and read(conn, "reading_build") else None
        runs = read(conn, "review_run", window=window)
        run = runs[0] if runs else None
        windows = _windows(conn, dates)
        shown = _choose(conn, windows, window, dates)
        frame = _frame(shown, dates, run, windows)
        if shown is None or dates is None:
            return frame | _nothing_to_show(run, windows, dates)
        return frame | _review(conn, shown, dates, run)


def in_the_folder_of_weeks(data: dict[str, Any]) -> dict[str, Any]:
    """The same page, its links as they are one folder further down."""
    page = data["page"]
    weeks = [week | {"href": week["href"].removeprefix("weeks/")} for week in page["weeks"]]
    links = {name: f"../{href}" for name, href in page["links"].items()}
    return data | {"page": page | {"weeks": weeks, "links": links}}


# -- which window ------------------------------------------------------------------------------------


def _windows(conn: Connection[Any], dates: Calendar | None, window: date | None = None) -> list[Row]:
    if dates is None:
        return []
    return read(conn, "status_windows", window=window, limit=WEEKS_LINKED, as_of=dates.as_of)


def _choose(
    conn: Connection[Any], windows: Sequence[Row], window: date | None, dates: Calendar | None
) -> Shown | None:
    due = [row for row in windows if row["state"] == "due"]
    frozen = [row for row in windows if row["state"] == "frozen"]
    newest = due[-1] if due else frozen[-1] if frozen else None
    if window is None:
        return Shown(newest, is_latest=True) if newest else None
    found = [row for row in _windows(conn, dates, window) if row["state"] == "frozen"]
    if not found:
        raise NothingToDo(f"window {window} is not frozen: it has no page of its own")
    return Shown(found[0], is_latest=newest is not None and newest["payout_window"] == window)


def _frame(
    shown: Shown | None, dates: Calendar | None, run: Row | None, windows: Sequence[Row]
) -> dict[str, Any]:
    zone = dates.zone if dates else UTC
    row = shown.row if shown else None
    closes_on = dates.day(row["reserve_closes_at"]) if dates and row else None
    first_day: date | None = row["payout_window"] if row else None
    return {
        "page": {
            "name": "index",
            "title": "Payout review",
            "kind": "review" if shown else "empty",
            "window": _iso(first_day),
            "window_last_day": _iso(first_day + timedelta(days=6) if first_day else None),
            "reserve_closes_on": _iso(closes_on),
            "payout_on": _iso(closes_on + timedelta(days=DAYS_TO_PAYOUT) if closes_on else None),
            "timezone": str(zone),
            "as_of": _iso(_as_of(shown, dates, run)),
            "generated_at": datetime.now(zone).isoformat(timespec="seconds"),
            "is_latest": shown.is_latest if shown else True,
            "is_frozen": shown.is_frozen if shown else False,
            "weeks": [
                {
                    "window": _iso(week["payout_window"]),
                    "href": f"weeks/{week['payout_window']}.html",
                    "state": week["batch_state"] or "no payouts",
                }
                for week in reversed(windows)
                if week["state"] == "frozen"
            ],
            "links": dict(LINKS),
            "run": _run(run),
        }
    }


def _as_of(shown: Shown | None, dates: Calendar | None, run: Row | None) -> datetime | None:
    if shown and shown.is_frozen:
        frozen_as_of: datetime = shown.row["frozen_as_of"]
        return frozen_as_of
    if dates:
        return dates.as_of
    return run["as_of"] if run else None


def _run(run: Row | None) -> dict[str, Any] | None:
    if run is None:
        return None
    ended: datetime | None = run["finished_at"]
    return {
        "run_id": str(run["run_id"]),
        "outcome": run["outcome"],
        "message": run["message"],
        "actor": run["actor"],
        "as_of": _iso(run["as_of"]),
        "started_at": _iso(run["started_at"]),
        "finished_at": _iso(ended),
        "seconds": round((ended - run["started_at"]).total_seconds(), 1) if ended else None,
        "counts": run["results"].get("counts", {}),
    }


# -- the page of a window ----------------------------------------------------------------------------


def _review(conn: Connection[Any], shown: Shown, dates: Calendar, run: Row | None) -> dict[str, Any]:
    window = shown.window
    totals = _Totals(
        read(conn, "review_totals", window=window, reserve_days=_reserve_days(conn, shown, dates))
    )
    of_window = totals.of_window(window)
    batches = read(conn, "review_batches", window=window)
    attempts = read(conn, "review_attempts", window=window)
    breaks = read(conn, "review_breaks", window=window)
    sellers = columns_of(conn, "review_sellers", window=window)
    checks = checks_of(run)
    parts = _carried(conn, window, sellers)
    # An older week's page says what of it waits; what is open by now is on the newest.
    wishes = read(conn, "status_exceptions", window=None if shown.is_latest else window)
    exceptions = exceptions_of(
        sellers,
        wishes=wishes,
        controls=read(conn, "review_controls", window=window),
        late=read(conn, "review_late", window=window),
        came_back=read(conn, "review_came_back", window=window),
        breaks=[row for row in breaks if row["payout_window"] == window and row["seller_id"] is not None],
    )
    frozen = read(conn, "review_frozen", window=window)
    batch = batches[0] if batches else None
    situation = Situation(
        window=window,
        is_frozen=shown.is_frozen,
        is_latest=shown.is_latest,
        run=run,
        batch=batch,
        rejected=next((row for row in batches if row["state"] == "rejected"), None),
        frozen_by=frozen[0]["frozen_by"] if frozen else None,
        totals=of_window,
        checks=checks,
        breaks=breaks,
        payout_on=dates.day(shown.row["reserve_closes_at"]) + timedelta(days=DAYS_TO_PAYOUT),
        affected=affected(conn, [check for check in checks if check["status"] == "fail"], sellers),
    )
    digest = batch["content_digest"] if batch else None
    return {
        "verdict": verdict_of(situation),
        "batch": _batch(batch, batches, attempts, frozen),
        "sources": sources_of(run),
        "currencies": [{"code": row["currency"], "digits": 2} for row in of_window],
        "figures": {row["currency"]: _figures(totals, row) for row in of_window},
        "statement": {row["currency"]: _statement(totals, row) for row in of_window},
        "exceptions": exceptions,
        "adjustments": adjustments_of(
            entered=read(conn, "review_adjustments", window=window),
            wishes=wishes,
            still_open=read(conn, "review_open_obligations") if shown.is_latest else None,
        ),
        "breaks": [_plain(row) for row in breaks],
        "checks": checks,
        "rails": read(conn, "review_rails", window=window),
        "trends": {row["currency"]: _trends(totals, row["currency"]) for row in of_window},
        "health": _health(sellers),
        "movers": _per_currency(read(conn, "review_movers", window=window)),
        "reserve_calendar": [
            _plain(row) | {"reserve_closes_on": _iso(dates.day(row["reserve_closes_at"]))}
            for row in read(conn, "review_reserve", window=window)
        ],
        "bridge": _bridge(conn, shown, dates, totals),
        "sellers": _sellers(sellers, parts["payouts"]["columns"]),
        **parts,
        "checklist": list(CHECKLIST),
        "commands": {
            "approve": f"weekclose approve {window} --digest {digest}" if digest else None,
            "dry_run": f"weekclose submit {window} --dry-run",
            "submit": f"weekclose submit {window}",
            "reconcile": f"weekclose reconcile {window}",
            "hold": f"weekclose hold {{seller}} --window {window} --reason ''",
            "explain": f"weekclose explain {{seller}} {window}",
            "export": f"weekclose export {window}",
        },
    }


def _nothing_to_show(run: Row | None, windows: Sequence[Row], dates: Calendar | None) -> dict[str, Any]:
    """A page for before the first window is due: what is there, and what to do."""
    coming = next((row for row in windows if row["state"] != "frozen"), None)
    checks = checks_of(run)
    return {
        "verdict": empty_verdict(run, checks, coming, dates.zone if dates else None),
        "batch": None,
        "sources": sources_of(run),
        "currencies": [],
        **{name: {} for name in ("figures", "statement", "trends", "movers", "bridge")},
        **{name: [] for name in ("breaks", "rails", "health", "reserve_calendar", "checklist")},
        "checks": checks,
        "exceptions": {"count": 0, "more": 0, "reasons": [], "columns": {}},
        "adjustments": adjustments_of(entered=[], wishes=[], still_open=None),
        "sellers": {"count": 0, "columns": {}},
        "lines": {"columns": {}, "pool": []},
        "history": {"columns": {}, "pool": []},
        **{name: {"columns": {}} for name in ("payouts", "executions", "events", "ledger")},
        "carried": {"sellers": 0, "of_sellers": 0, "lines": 0},
        "commands": {},
    }


def _reserve_days(conn: Connection[Any], shown: Shown, dates: Calendar) -> int:
    days = read(conn, "explain_window", window=shown.window)[0]["reserve_days"]
    return dates.reserve_days if days is None else int(days)


class _Totals:
    """What the windows came to, per currency."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = {(row["currency"], row["payout_window"]): row for row in rows}
        self.windows = sorted({row["payout_window"] for row in rows})

    def row(self, currency: str, window: date) -> Row | None:
        return self._rows.get((currency, window))

    def of_window(self, window: date) -> list[Row]:
        """Largest payable first."""
        found = [row for (_, of), row in self._rows.items() if of == window]
        return sorted(found, key=lambda row: (-row["payable"], -row["gross"], row["currency"]))

    def before(self, now: Row) -> Row | None:
        """The same of the window before, when it was settled here."""
        return self.row(now["currency"], now["payout_window"] - timedelta(days=7))


def _figures(totals: _Totals, now: Row) -> list[dict[str, Any]]:
    currency = now["currency"]
    before = totals.before(now)
    windows = totals.windows[-WINDOWS_IN_FIGURES:]
    return [
        {
            "key": key,
            "label": label,
            "value": now[column],
            "previous": before[column] if before else None,
            "series": [[_iso(of), row[column]] for of in windows if (row := totals.row(currency, of))],
            "unit": unit,
            "good": good,
        }
        for key, column, label, unit, good in FIGURES
    ]


def _statement(totals: _Totals, now: Row) -> list[dict[str, Any]]:
    before = totals.before(now)
    return [
        {
            "key": key,
            "label": label,
            "value": sign * now[column],
            "share": abs(now[column]) / now["gross"] if now["gross"] else None,
            "previous": sign * before[column] if before else None,
            "level": level,
        }
        for key, column, sign, label, level in STATEMENT
    ]


def _trends(totals: _Totals, currency: str) -> dict[str, list[Any]]:
    rows = [row for of in totals.windows if (row := totals.row(currency, of))]
    names = ("gross", "net", "disputes", "refunds", "payable", "refund_rate", "failure_rate")
    return {"windows": [_iso(row["payout_window"]) for row in rows]} | {
        name: [row[name] for row in rows] for name in names
    }


def _health(sellers: Columns) -> list[dict[str, int]]:
    """Twenty bars, empty ones too; none at all when nobody has a score."""
    scores = dict(zip(sellers["seller_id"], sellers["health"], strict=True))
    found = Counter(min(score // 50, 19) * 5 for score in scores.values() if score is not None)
    return [{"from": low, "to": low + 5, "sellers": found[low]} for low in range(0, 100, 5) if found]


def _batch(
    batch: Row | None, batches: Sequence[Row], attempts: Sequence[Row], frozen: Sequence[Row]
) -> dict[str, Any] | None:
    if not frozen:
        return None
    promise = frozen[0]
    named = {
        "frozen_by": promise["frozen_by"],
        "frozen_at": _iso(promise["frozen_at"]),
        "frozen_as_of": _iso(promise["as_of"]),
        "row_count": promise["row_count"],
        "line_count": promise["line_count"],
        "window_digest": promise["content_digest"],
    }
    if batch is None:
        nothing = ("batch_id", "generation", "state", "approved_by", "approved_at", "rail", "rail_batch_id")
        return (
            dict.fromkeys(nothing)
            | named
            | {
                "content_digest": promise["content_digest"],
                "attempts": [],
                "rejection": None,
            }
        )
    rejected = next((row for row in batches if row["state"] == "rejected"), None)
    return (
        _plain(batch)
        | named
        | {
            "attempts": [_plain(row) for row in attempts],
            "rejection": {"batch_id": rejected["batch_id"], "said": rejected["rejection"]}
            if rejected
            else None,
        }
    )


# -- why it is not what it was ------------------------------------------------------------------------


def _bridge(conn: Connection[Any], shown: Shown, dates: Calendar, totals: _Totals) -> dict[str, Any]:
    """From the window's cash at the last build of an earlier day to its cash now, exactly."""
    of = {
        "window": shown.window,
        "as_of": shown.row["frozen_as_of"] or dates.as_of,
        "zone": dates.zone.key,
    }
    previous_as_of = read(conn, "review_bridge_builds", **of)[0]["previous_as_of"]
    parts = _per_currency(read(conn, "review_bridge_parts", **of) if previous_as_of else [])
    lines = _per_currency(read(conn, "review_bridge_lines", **of) if previous_as_of else [])
    bridge: dict[str, Any] = {}
    for row in totals.of_window(shown.window):
        code = row["currency"]
        cash = row["net"] - row["disputes"] + row["adjustments"]
        changed = sum(part["amount"] for part in parts.get(code, []))
        bridge[code] = {
            "previous": cash - changed if previous_as_of else None,
            "current": cash,
            "previous_as_of": _iso(previous_as_of),
            "parts": [
                {"key": part["part"], "label": BRIDGE_PARTS[part["part"]]}
                | {"amount": part["amount"], "lines": part["lines"]}
                for part in parts.get(code, [])
            ],
            "lines": lines.get(code, []),
        }
    return bridge


# -- the columns of many rows --------------------------------------------------------------------------


def _carried(conn: Connection[Any], window: date, sellers: Columns) -> dict[str, Any]:
    """Lines, history, payouts, executions, events and ledger of the sellers that the page can open."""
    chosen = _sellers_with_detail(sellers)
    lines = columns_of(conn, "review_lines", window=window, sellers=chosen)
    chosen_with_history = chosen[: max(1, HISTORY_CARRIED // 12)]
    history = columns_of(conn, "review_history", window=window, sellers=chosen_with_history)
    payouts = columns_of(conn, "review_payouts", window=window, sellers=chosen)
    numbers = payouts["payout_number"]
    executions = columns_of(conn, "review_executions", numbers=numbers)
    events = columns_of(conn, "review_events", numbers=numbers)
    ledger = columns_of(conn, "review_ledger", window=window, sellers=chosen, numbers=numbers)
    return {
        "carried": {
            "sellers": len(chosen),
            "of_sellers": len(set(sellers["seller_id"])),
            "lines": len(lines["line_id"]),
        },
        "lines": _pooled(lines | {"event_at": _deltas(lines["event_at"])}, coded=("currency", "kind")),
        "history": _pooled(
            history | {"payout_window": [_iso(day) for day in history["payout_window"]]},
            coded=("currency", "payout_window", "status"),
        ),
        "payouts": _coded(payouts, ("payout_window", "currency", "rail", "status", "failure_code")),
        "executions": _coded(executions, ("source", "noted_by")),
        "events": _coded(events, ("event_type", "status", "verdict")),
        "ledger": _coded(ledger, ("currency", "account", "kind", "booked_at")),
    }


def _sellers_with_detail(sellers: Columns) -> list[str]:
    """Everybody while there is room, else those finance looks at first, then the largest."""
    order = sorted(range(len(sellers["seller_id"])), key=lambda row: _urgency(sellers, row))
    chosen: dict[str, None] = {}
    lines = 0
    for row in order:
        lines += sellers["orders"][row] + 1
        if lines > LINES_CARRIED:
            break
        chosen[sellers["seller_id"][row]] = None
    return list(chosen)


def _urgency(sellers: Columns, row: int) -> tuple[bool, int, str]:
    calm = (
        sellers["status"][row] in ("ready", "paid", "submitted", "carried_forward", "pending")
        and sellers["carry_out"][row] >= 0
        and not sellers["late"][row]
        and not sellers["needs_review"][row]
    )
    return calm, -abs(sellers["payable"][row]), sellers["seller_id"][row]


def _sellers(sellers: Columns, payouts: Columns) -> dict[str, Any]:
    references = dict(zip(payouts["payout_number"], payouts["external_reference"], strict=True))
    columns: dict[str, Any] = dict(sellers)
    columns["external_reference"] = [references.get(number) for number in sellers["payout_number"]]
    columns["needs_review"] = [int(needed) for needed in sellers["needs_review"]]
    for name in ("region", "currency", "rail", "status", "reasons", "review_reasons", "failure_reason"):
        columns[name] = _codes(columns[name])
    return {"count": len(sellers["seller_id"]), "columns": columns}


def _pooled(columns: Columns, coded: Iterable[str]) -> dict[str, Any]:
    """A seller's rows name him by his place in a pool."""
    pool = {seller_id: place for place, seller_id in enumerate(dict.fromkeys(columns["seller_id"]))}
    packed: dict[str, Any] = {"seller": [pool[seller_id] for seller_id in columns.pop("seller_id")]}
    packed |= {name: _codes(values) if name in coded else values for name, values in columns.items()}
    return {"columns": packed, "pool": list(pool)}


def _coded(columns: Columns, names: Iterable[str]) -> dict[str, Any]:
    plain = {name: [_value(value) for value in values] for name, values in columns.items()}
    return {"columns": {name: _codes(plain[name]) if name in names else plain[name] for name in plain}}


def _codes(values: Sequence[Any]) -> dict[str, list[Any]]:
    """Few values many times: each once, and numbers for them."""
    places = {value: place for place, value in enumerate(dict.fromkeys(values))}
    return {"values": list(places), "codes": [places[value] for value in values]}


def _deltas(numbers: Sequence[int]) -> list[int]:
    """Each as its difference to the one before: smaller numbers, smaller page."""
    return [now - before for now, before in zip(numbers, [0, *numbers], strict=False)]


def _per_currency(rows: Sequence[Row]) -> dict[str, list[dict[str, Any]]]:
    sorted_out: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        plain = _plain(row)
        sorted_out.setdefault(plain.pop("currency"), []).append(plain)
    return sorted_out


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def _iso(value: date | datetime | None) -> str | None:
    return value.isoformat() if value is not None else None

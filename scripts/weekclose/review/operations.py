"""What may move next, what waits, and what needs a person: the data of the operations page."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection

from weekclose.reading import Calendar, Row, calendar, is_built, read, snapshot
from weekclose.review.columns import Columns, listed, moment
from weekclose.review.page import PAGES
from weekclose.review.page_data import LINKS
from weekclose.review.words import counted, money, sentences

# How many payouts a page has with all that is known of them: the queue's first, and the last that moved.
# `weekclose payout search` and `explain` tell the same of everyone.
QUEUED_WITH_BACKLOG = 2_000
DONE_SHOWN = 1_000

STEPS_SHOWN = 200
REASONS_SHOWN = 3

NOTHING_BUILT = {
    "tone": "idle",
    "headline": "Nothing is loaded and built yet",
    "detail": "Load the platform's files, then run a Sunday.",
    "command": "weekclose load PATH",
}


def frame(name: str, dates: Calendar | None) -> dict[str, Any]:
    """What a page of the site says of itself. Without a build its clock is UTC."""
    zone = dates.zone if dates else UTC
    return {
        "name": name,
        "title": PAGES[name],
        "timezone": str(zone),
        "as_of": moment(dates.as_of, zone) if dates else None,
        "generated_at": moment(datetime.now(zone), zone),
        "is_latest": True,
        "window": None,
        "links": dict(LINKS),
    }


def built(conn: Connection[Any]) -> Calendar | None:
    """The calendar of the last build; None before the first. Raises NothingToDo without tables."""
    return calendar(conn) if is_built(conn) and read(conn, "reading_build") else None


def operations_data(conn: Connection[Any]) -> dict[str, Any]:
    """The queue with its commands, the pressure of each state, and payouts with all that is known of them.

    Opens its own snapshot. Amounts are integers in hundredths, ages whole hours, instants on the settlement
    clock. Raises NothingToDo for a database without tables.
    """
    with snapshot(conn):
        dates = built(conn)
        page = {"page": frame("operations", dates)}
        if dates is None:
            nothing: dict[str, Any] = {name: {"columns": {}} for name in ("queue", "done", *BACKLOG)}
            return page | {"verdict": NOTHING_BUILT, "summary": [], "steps": [], "backlog_of": 0} | nothing
        summary = read(conn, "ops_summary")
        queue = listed(conn, "ops_queue", dates.zone)
        steps = _steps(queue["columns"])
        queued = [number for number in queue["columns"]["payout_number"] if number]
        done = listed(conn, "ops_done", dates.zone, queued=queued, limit=DONE_SHOWN)
        numbers = [*queued[:QUEUED_WITH_BACKLOG], *done["columns"]["payout_number"]]
        backlog = {part: listed(conn, name, dates.zone, numbers=numbers) for part, name in BACKLOG.items()}
        return page | {
            "verdict": _verdict(summary),
            "summary": [
                row | {"oldest_since": row["oldest_since"] and moment(row["oldest_since"], dates.zone)}
                for row in summary
            ],
            "steps": steps,
            "queue": queue,
            "done": done,
            "backlog_of": len(numbers),
            **backlog,
        }


BACKLOG = {
    "executions": "review_executions",
    "events": "review_events",
    "ledger": "ops_ledger",
    "proofs": "ops_proofs",
    "adjustments": "ops_adjustments",
    "audit": "ops_payout_audit",
}


def _steps(queue: Columns) -> list[dict[str, Any]]:
    """Each command that the queue asks for, in its order, with what it moves currency by currency."""
    steps: dict[str, dict[str, Any]] = {}
    names = ("next_action", "readiness", "attention", "reasons", "currency", "amount")
    for command, readiness, attention, reasons, currency, amount in zip(
        *(queue[name] for name in names), strict=True
    ):
        if not command:
            continue
        step = steps.setdefault(
            command,
            {"command": command, "readiness": readiness, "attention": attention, "reasons": []}
            | {"payouts": 0, "money": {}},
        )
        if reasons not in step["reasons"] and len(step["reasons"]) < REASONS_SHOWN:
            step["reasons"].append(reasons)
        step["payouts"] += 1
        step["money"][currency] = step["money"].get(currency, 0) + amount
    return list(steps.values())[:STEPS_SHOWN]


def _verdict(summary: Sequence[Row]) -> dict[str, Any]:
    def of(measure: str, state: str) -> tuple[int, str]:
        rows = [row for row in summary if (row["measure"], row["state"]) == (measure, state)]
        return sum(row["item_count"] for row in rows), money((row["amount"], row["currency"]) for row in rows)

    (ready, worth), (needs, stuck) = of("readiness", "ready"), of("attention", "intervene")
    waits, _ = of("attention", "wait")
    if not any(row["measure"] == "readiness" for row in summary):
        detail = "Every payout has its final word, and no seller's open window has money."
        return {"tone": "good", "headline": "Nothing waits", "detail": detail, "command": None}
    detail = sentences(
        f"{counted(needs, 'payout')} {'needs' if needs == 1 else 'need'} a person, {stuck}." if needs else "",
        f"{counted(waits, 'payout')} {'waits' if waits == 1 else 'wait'} for time." if waits else "",
    )
    return {
        "tone": "warn" if needs else "good",
        "headline": f"Ready to move: {counted(ready, 'payout')}, {worth}"
        if ready
        else "Nothing may move now",
        "detail": detail or "Nobody has to do anything.",
        "command": None,
    }

"""What is to be paid between two windows, and what is held: the data of the page of schedules and holds."""

from collections.abc import Sequence
from typing import Any

from psycopg import Connection

from weekclose.reading import Row, read, snapshot
from weekclose.review.columns import listed
from weekclose.review.operations import NOTHING_BUILT, built, frame
from weekclose.review.words import counted, money, sentences

# Those that wait come first; `schedules list`, `requests list` and `holds list` have everyone.
SHOWN = 30_000

LISTS = {"schedules": "ops_schedules", "requests": "ops_requests", "holds": "ops_holds"}


def schedules_data(conn: Connection[Any]) -> dict[str, Any]:
    """Schedules, requests and holds, and how many of each have somebody or something waiting.

    Opens its own snapshot. Amounts are integers in hundredths, instants on the settlement clock. Raises
    NothingToDo for a database without tables.
    """
    with snapshot(conn):
        dates = built(conn)
        page = {"page": frame("schedules", dates)}
        if dates is None:
            nothing: dict[str, Any] = {name: {"columns": {}} for name in LISTS}
            return page | {"verdict": NOTHING_BUILT, "waiting": [], "shown": SHOWN} | nothing
        waiting = read(conn, "ops_waiting")
        lists = {part: listed(conn, name, dates.zone, limit=SHOWN) for part, name in LISTS.items()}
        return page | {"verdict": _verdict(waiting), "waiting": waiting, "shown": SHOWN} | lists


def _verdict(waiting: Sequence[Row]) -> dict[str, Any]:
    def of(measure: str) -> tuple[int, str]:
        rows = [row for row in waiting if row["measure"] == measure]
        return sum(row["item_count"] for row in rows), money((row["amount"], row["currency"]) for row in rows)

    (failed, lost), (asked, wish), (due, soon), (overdue, kept) = map(
        of, ("failed", "requested", "due", "overdue")
    )
    told = [
        (failed, f"{counted(failed, 'schedule')} failed, {lost}: a person requests it"),
        (asked, f"{counted(asked, 'request')} to decide, {wish}: another person approves"),
        (due, f"{counted(due, 'schedule')} due now, {soon}: the next run takes it"),
        (overdue, f"{counted(overdue, 'hold')} over, {kept}: the next Sunday releases it"),
    ]
    found = [sentence for many, sentence in told if many]
    headline, *others = found or ["Nothing is due, and nobody has to decide"]
    return {
        "tone": "warn" if any(many for many, _ in told) else "good",
        "headline": headline,
        "detail": sentences(*(f"{other}." for other in others)),
        "command": None,
    }

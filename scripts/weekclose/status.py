"""Where the weeks stand: the last run, the windows, the money in them, and what is next."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from psycopg import Connection

from weekclose.errors import NothingToDo
from weekclose.output import print_table
from weekclose.reading import (
    ZERO,
    Calendar,
    Row,
    calendar,
    is_built,
    parse_window,
    read,
    reasons_in_words,
    shown,
)

FROZEN_SHOWN = 6
ROWS_SHOWN = 20
DIGEST_SHOWN = 12
LONGEST_MESSAGE = 300


@dataclass(frozen=True)
class Status:
    """Where the weeks stand, oldest window first.

    `amounts` are per window, currency and status. Asked for one, `payout_window`, they are its amounts per
    currency, status and rail, and `not_paid` and `breaks` are its own. Before the first build there is no
    calendar.
    """

    payout_window: date | None
    calendar: Calendar | None
    last_run: Row | None
    windows: list[Row]
    amounts: list[Row]
    not_paid: list[Row]
    breaks: list[Row]
    next: list[str]

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {"as_of": self.calendar.as_of if self.calendar else None} | {
            name: value for name, value in asdict(self).items() if name != "calendar"
        }


def status(conn: Connection[Any], text: str | None = None) -> Status:
    """The last run, the open windows and the newest frozen ones; or one window in detail.

    Runs in the caller's snapshot. Raises UsageError when `text` is no window, NothingToDo when there is
    nothing to tell, with what to do.
    """
    if not is_built(conn) and (failed := _last_run(conn)):
        return Status(None, None, failed, [], [], [], [], _run_steps(failed))
    dates = calendar(conn)
    if text is not None:
        return _status_of(conn, parse_window(text, dates), dates)
    last_run = _last_run(conn)
    windows = _windows(conn, dates, None, FROZEN_SHOWN)
    amounts = read(conn, "status_money", windows=[row["payout_window"] for row in windows])
    steps = [*_run_steps(last_run), *_older_steps(conn, windows), *_window_steps(windows, dates)]
    return Status(None, dates, last_run, windows, amounts, [], [], steps)


def _status_of(conn: Connection[Any], window: date, dates: Calendar) -> Status:
    windows = _windows(conn, dates, window, 1)
    amounts = read(conn, "status_rails", window=window)
    if not windows and not amounts:
        raise NothingToDo(f"window {window} holds nothing: weekclose status names those that do")
    return Status(
        payout_window=window,
        calendar=dates,
        last_run=_last_run(conn),
        windows=windows,
        amounts=amounts,
        not_paid=read(conn, "status_unpaid", window=window),
        breaks=read(conn, "status_breaks", window=window),
        next=_window_steps(windows, dates),
    )


def _windows(conn: Connection[Any], dates: Calendar, window: date | None, limit: int) -> list[Row]:
    return read(conn, "status_windows", window=window, limit=limit, as_of=dates.as_of)


def _last_run(conn: Connection[Any]) -> Row | None:
    runs = read(conn, "status_last_run")
    return runs[0] if runs else None


def _run_steps(run: Row | None) -> list[str]:
    if run and run["outcome"] == "running":
        return ["the last run has not ended: wait for it; if it was killed, run weekclose sunday again"]
    if run and run["outcome"] in ("failed", "refused"):
        return ["put right what stopped the last run, then run weekclose sunday again"]
    return []


def _older_steps(conn: Connection[Any], windows: Sequence[Row]) -> list[str]:
    if not windows:
        return ["settlement_start is not set: name the first window to settle in dbt_project.yml"]
    older = read(conn, "status_older", before=windows[0]["payout_window"])[0]
    if not older["windows"]:
        return []
    return [f"{older['windows']:,} older windows are not settled, the oldest of them is {older['oldest']}"]


def _window_steps(windows: Sequence[Row], dates: Calendar) -> list[str]:
    """What the frozen windows and the due ones wait for, and when the next one is due."""
    steps = [_batch_step(row) for row in windows if row["state"] == "frozen"]
    steps += [
        f"window {row['payout_window']} is due and not frozen: run weekclose sunday"
        for row in windows
        if row["state"] == "due"
    ]
    coming = next((row for row in windows if row["state"] in ("running", "reserve open")), None)
    if coming:
        closes = dates.local(coming["reserve_closes_at"])
        steps.append(
            f"window {coming['payout_window']} is due when its reserve closes, {closes}: "
            "the Sunday run after that freezes it"
        )
    return [step for step in steps if step]


def _batch_step(row: Row) -> str:
    window = row["payout_window"]
    return {
        "frozen": f"window {window} waits for its review and its approval",
        "approved": f"window {window} is approved by {shown(row['approved_by'] or '')}: its batch may go out",
        "submitting": f"window {window}: what the rail did with its batch is not known, ask it again",
        "submitted": f"window {window} is with the rail, which has not answered for every payout",
        "rejected": f"window {window}: the rail rejected its batch",
    }.get(row["batch_state"], "")


def show_status(found: Status) -> None:
    """Print a status for people."""
    if found.last_run:
        print(*_run_told(found.last_run, found.calendar), sep="\n")
    if found.calendar:
        print(f"The numbers are as of {found.calendar.local(found.calendar.as_of)}\n")
        if found.payout_window is None:
            _show_windows(found.windows, found.calendar)
        for window in found.windows if found.payout_window else ():
            print(*_window_told(window, found.calendar), sep="\n")
        _show_amounts(found.amounts)
    _show_not_paid(found.not_paid)
    _show_breaks(found.breaks)
    for step in found.next:
        print(f"Next: {step}")


def _run_told(run: Row, dates: Calendar | None) -> Iterator[str]:
    as_of = dates.local(run["as_of"]) if dates else run["as_of"].isoformat(sep=" ")
    yield f"Last run: {run['outcome'].replace('_', ' ')}, as of {as_of}, by {shown(run['actor'])}"
    if run["message"]:
        yield f"  {shown(run['message'], LONGEST_MESSAGE)}"
    for check in run["red"]:
        rows = f", {check['failures']:,} rows" if check["failures"] else ""
        yield f"  red: {shown(check['name'])}{rows}: {shown(check['message'], LONGEST_MESSAGE)}"


def _show_windows(windows: Sequence[Row], dates: Calendar) -> None:
    if not windows:
        return
    print_table(
        ("window", "state", "reserve closes", "batch", "content digest"),
        (
            (
                row["payout_window"],
                row["state"],
                dates.local(row["reserve_closes_at"]),
                row["batch_state"],
                row["content_digest"] and row["content_digest"][:DIGEST_SHOWN],
            )
            for row in windows
        ),
        title="Windows",
    )
    print()


def _window_told(row: Row, dates: Calendar) -> Iterator[str]:
    last_day = dates.day(row["window_ends_at"]) - timedelta(days=1)
    yield f"Window {row['payout_window']} to {last_day}: {row['state']}"
    yield f"  reserve closes {dates.local(row['reserve_closes_at'])}"
    if row["frozen_at"]:
        yield f"  frozen on {dates.local(row['frozen_at'])} as of {dates.local(row['frozen_as_of'])}"
        yield f"  content digest {row['content_digest']}"
    if row["batch_id"]:
        by = f", approved by {shown(row['approved_by'])}" if row["approved_by"] else ""
        yield f"  batch {row['batch_id']}: {row['batch_state']}{by}"
    yield ""


def _show_amounts(amounts: Sequence[Row]) -> None:
    if not amounts:
        return
    columns = list(amounts[0])
    print_table(
        [column.removeprefix("payout_").replace("_", " ") for column in columns],
        ([row[column] for column in columns] for row in amounts),
        title="Amounts",
    )
    print()


def _show_not_paid(rows: Sequence[Row]) -> None:
    if not rows:
        return
    print_table(
        ("seller", "amount", "currency", "status", "payout", "why"),
        (
            (
                shown(row["seller_id"]),
                row["payable"],
                row["currency"],
                row["status"],
                row["payout_number"],
                reasons_in_words(row["block_reasons"]) or shown(row["failure_reason"] or ""),
            )
            for row in rows[:ROWS_SHOWN]
        ),
        title="Does not go out, largest first",
    )
    rest: dict[str, Decimal] = {}
    for row in rows[ROWS_SHOWN:]:
        rest[row["currency"]] = rest.get(row["currency"], ZERO) + row["payable"]
    if rest:
        money = ", ".join(f"{amount:,} {currency}" for currency, amount in sorted(rest.items()))
        print(f"and {len(rows) - ROWS_SHOWN:,} more: {money}")
    print()


def _show_breaks(breaks: Sequence[Row]) -> None:
    if not breaks:
        return
    columns = ("break_type", "entity", "seller_id", "currency", "expected", "actual", "difference")
    print_table(
        [column.replace("_", " ") for column in columns],
        (
            [shown(row[column]) if isinstance(row[column], str) else row[column] for column in columns]
            for row in breaks[:ROWS_SHOWN]
        ),
        title="Breaks, largest first",
    )
    if len(breaks) > ROWS_SHOWN:
        print(f"and {len(breaks) - ROWS_SHOWN:,} more")
    print()

"""Where the weeks stand: the last run, the windows, the money in them, and what is next."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, timedelta
from decimal import Decimal
from typing import Any

from psycopg import Connection

from weekclose.errors import NothingToDo
from weekclose.output import print_table
from weekclose.reading import (
    ZERO,
    Calendar,
    Row,
    age_in_words,
    calendar,
    exception_step,
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
OFFENDERS_SHOWN = 5
STEPS_SHOWN = 5


@dataclass(frozen=True)
class Status:
    """Where the weeks stand, oldest window first.

    `amounts` are per window, currency and status, `payouts` say where the frozen payables of a window and
    currency are by now, `adjustments` what enters the windows beside the sales, `exceptions` what of it
    somebody has to decide, `waiting` the payouts that wait for a person, `events` what the rail's events wait
    for, and `breaks` count by owner what is open.
    Asked for one, `payout_window`, `amounts` are per currency, status and rail, and `not_paid` and `breaks`
    are its own, one by one. Before the first build there is no calendar.
    """

    payout_window: date | None
    calendar: Calendar | None
    last_run: Row | None
    windows: list[Row]
    amounts: list[Row]
    payouts: list[Row]
    adjustments: list[Row]
    exceptions: list[Row]
    waiting: list[Row]
    events: list[Row]
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
        return Status(None, None, failed, [], [], [], [], [], [], [], [], [], _run_steps(failed))
    dates = calendar(conn)
    if text is not None:
        return _status_of(conn, parse_window(text, dates), dates)
    last_run = _last_run(conn)
    windows = _windows(conn, dates, None, FROZEN_SHOWN)
    shown_windows = [row["payout_window"] for row in windows]
    payouts, events = _payouts(conn, windows), read(conn, "waiting_events", window=None)
    exceptions = read(conn, "status_exceptions", window=None)
    waiting = read(conn, "status_waiting", window=None)
    return Status(
        payout_window=None,
        calendar=dates,
        last_run=last_run,
        windows=windows,
        amounts=read(conn, "status_money", windows=shown_windows),
        payouts=payouts,
        adjustments=read(conn, "status_adjustments", windows=shown_windows),
        exceptions=exceptions,
        waiting=waiting,
        events=events,
        not_paid=[],
        breaks=read(conn, "status_break_counts"),
        next=[
            *_run_steps(last_run),
            *_older_steps(conn, windows),
            *_window_steps(windows, payouts, dates),
            *_control_steps(exceptions, waiting),
            *_proposed_steps(conn),
            *_event_steps(events),
        ],
    )


def _status_of(conn: Connection[Any], window: date, dates: Calendar) -> Status:
    windows = _windows(conn, dates, window, 1)
    amounts = read(conn, "status_rails", window=window)
    if not windows and not amounts:
        raise NothingToDo(f"window {window} holds nothing: weekclose status names those that do")
    payouts, events = _payouts(conn, windows), read(conn, "waiting_events", window=window)
    exceptions = read(conn, "status_exceptions", window=window)
    waiting = read(conn, "status_waiting", window=window)
    return Status(
        payout_window=window,
        calendar=dates,
        last_run=_last_run(conn),
        windows=windows,
        amounts=amounts,
        payouts=payouts,
        adjustments=read(conn, "status_adjustments", windows=[window]),
        exceptions=exceptions,
        waiting=waiting,
        events=events,
        not_paid=read(conn, "status_unpaid", window=window),
        breaks=read(conn, "status_breaks", window=window),
        next=[
            *_window_steps(windows, payouts, dates),
            *_control_steps(exceptions, waiting),
            *_event_steps(events),
        ],
    )


def _payouts(conn: Connection[Any], windows: Sequence[Row]) -> list[Row]:
    return read(conn, "status_payouts", windows=[row["payout_window"] for row in windows if row["frozen_at"]])


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


def _window_steps(windows: Sequence[Row], payouts: Sequence[Row], dates: Calendar) -> list[str]:
    """What the frozen windows and the due ones wait for, and when the next one is due."""
    steps = []
    for row in windows:
        mine = [each for each in payouts if each["payout_window"] == row["payout_window"]]
        if row["batch_state"]:
            steps.append(_batch_step(row, sum(each["unanswered_count"] for each in mine)))
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


def _batch_step(row: Row, unanswered: int) -> str:
    window = row["payout_window"]
    if row["batch_state"] == "submitted" and not unanswered:
        return ""
    approve = f"weekclose approve {window} --digest {row['content_digest']}, by another person"
    if row["batch_state"] == "frozen" and row["rejection"]:
        return f"window {window}: {_refusal(row)}; hold what cannot be paid, then {approve}"
    if row["batch_state"] == "submitting":
        return f"window {window}: {_unknown_step(row)}"
    return {
        "frozen": f"window {window} waits for its review and its approval: {approve}",
        "approved": f"window {window} is approved by {shown(row['approved_by'] or '')}: "
        f"run weekclose submit {window}",
        "submitted": f"window {window} is with the rail, which has not answered for {unanswered:,} of its "
        f"payouts: run weekclose reconcile {window}",
    }.get(row["batch_state"], "")


def _control_steps(exceptions: Sequence[Row], waiting: Sequence[Row]) -> Iterator[str]:
    """What a person has to decide or to pay, each with its command."""
    for wish in exceptions[:STEPS_SHOWN]:
        yield f"{wish['adjustment_number']}: {exception_step(wish)}"
    if len(exceptions) > STEPS_SHOWN:
        yield f"{len(exceptions) - STEPS_SHOWN:,} more exceptions wait: weekclose exception list"
    for status, told, command in (
        (
            "awaiting_reconciliation",
            "left otherwise than promised, a person decides",
            "weekclose resolve {number} accept or retry, with --note",
        ),
        (
            "submitted",
            "is paid by hand",
            "weekclose execute {number} --reference R --amount {amount} --proof FILE",
        ),
    ):
        mine = [row for row in waiting if row["status"] == status]
        for row in mine[:STEPS_SHOWN]:
            named = command.format(number=row["payout_number"], amount=row["amount"])
            yield f"window {row['payout_window']}: {row['payout_number']} {told}: {named}"
        if len(mine) > STEPS_SHOWN:
            yield f"{len(mine) - STEPS_SHOWN:,} more payouts like that are listed above"


def _proposed_steps(conn: Connection[Any]) -> Iterator[str]:
    if count := read(conn, "status_proposed")[0]["adjustments"]:
        what = "1 adjustment waits" if count == 1 else f"{count:,} adjustments wait"
        yield f"{what} to be selected or cancelled: weekclose adjust list --status proposed"


def _refusal(row: Row) -> str:
    said = row["rejection"]
    named = [str(each.get("reference")) for each in said.get("items", [])]
    because = f" because of {', '.join(map(shown, named[:OFFENDERS_SHOWN]))}" if named else ""
    if len(named) > OFFENDERS_SHOWN:
        because += f" and {len(named) - OFFENDERS_SHOWN:,} more"
    why = shown(f"{said.get('code')}: {said.get('message')}", LONGEST_MESSAGE)
    return f"the rail refused batch {row['rejected_batch_id']}{because} ({why})"


def _unknown_step(row: Row) -> str:
    """When a batch whose outcome nobody knows may be tried again: the same times that `submit` goes by."""
    if row["is_going_on"]:
        return "its batch is being handed over right now"
    again_at = row["last_attempt_at"] + timedelta(seconds=_quiet_seconds(row["batch_rail"]))
    again_at = max(again_at, row["retry_at"] or again_at).astimezone(UTC)
    when = f" after {again_at:%Y-%m-%d %H:%M:%S} UTC" if again_at > row["read_at"] else ""
    return f"what the rail did with its batch is not known: run weekclose submit {row['payout_window']}{when}"


def _quiet_seconds(rail: str) -> int:
    from weekclose.rails.batch import BatchRail
    from weekclose.rails.configured import load_rail_settings
    from weekclose.rails.halfin import HalfinRail
    from weekclose.rails.paypal import PayPalRail

    own = load_rail_settings().max_processing_seconds
    usual = {
        "batch": BatchRail.max_processing_seconds,
        "halfin": HalfinRail.max_processing_seconds,
        "paypal": PayPalRail.max_processing_seconds,
    }
    # Nothing that a person pays is inside any rail.
    return usual.get(rail, 0) if own is None else own


# What no look-up changes.
FOR_A_PERSON = ("unknown_type", "unknown_payout", "waits_for_a_person")


def _event_steps(events: Sequence[Row]) -> Iterator[str]:
    """What the rail's events wait for: a look-up applies or overrules most of them."""
    if to_look_up := sum(row["events"] for row in events if row["verdict"] not in FOR_A_PERSON):
        yield f"{_counted_events(to_look_up)} for a look-up: run weekclose reconcile"
    for row in events:
        if row["verdict"] in FOR_A_PERSON:
            what = row["verdict"].replace("_", " ")
            yield f"{_counted_events(row['events'])}, {what}: look at weekclose events list"


def _counted_events(count: int) -> str:
    return "1 event of the rail waits" if count == 1 else f"{count:,} events of the rail wait"


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
        _show("Amounts", found.amounts)
        _show("Frozen payables, and where they are", found.payouts)
        _show("Adjustments", found.adjustments)
    _show("Open exceptions", [_told(row) for row in found.exceptions[:ROWS_SHOWN]])
    _show("Payouts that wait for a person", found.waiting[:ROWS_SHOWN])
    _show_not_paid(found.not_paid)
    _show("Events of the rail that wait", found.events)
    if found.payout_window is None:
        _show("Breaks, by who has to act", found.breaks)
    else:
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
        yield from _batch_told(row, dates)
    yield ""


def _batch_told(row: Row, dates: Calendar) -> Iterator[str]:
    yield f"  batch {row['batch_id']}, generation {row['generation']}: {row['batch_state']}"
    if row["rejection"]:
        yield f"    {_refusal(row)}"
    if row["approved_by"]:
        yield f"    approved by {shown(row['approved_by'])} on {dates.local(row['approved_at'])}"
    if row["submitted_at"]:
        attempts = "1 attempt" if row["attempt_count"] == 1 else f"{row['attempt_count']:,} attempts"
        yield f"    handed to rail {row['batch_rail']} on {dates.local(row['submitted_at'])}, {attempts}"
    if row["rail_batch_id"]:
        yield f"    the rail's receipt {shown(row['rail_batch_id'])}"
    elif row["last_attempt_detail"]:
        yield f"    the last attempt: {shown(row['last_attempt_detail'], LONGEST_MESSAGE)}"


def _show(title: str, rows: Sequence[Row]) -> None:
    if not rows:
        return
    columns = list(rows[0])
    print_table(
        [column.removeprefix("payout_").replace("_", " ") for column in columns],
        ([_cell(row[column]) for column in columns] for row in rows),
        title=title,
    )
    print()


def _told(wish: Row) -> Row:
    """An exception without what its next step says already."""
    return {name: wish[name] for name in wish if name not in ("deviation_to", "requested_by")}


def _cell(value: object) -> object:
    if isinstance(value, timedelta):
        return age_in_words(value)
    return shown(value) if isinstance(value, str) else value


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
    columns = (
        *("break_type", "entity", "seller_id", "currency", "expected", "actual", "difference"),
        *("category", "owner", "age"),
    )
    print_table(
        [column.replace("_", " ") for column in columns],
        ([_cell(row[column]) for column in columns] for row in breaks[:ROWS_SHOWN]),
        title="Breaks, largest first",
    )
    if len(breaks) > ROWS_SHOWN:
        print(f"and {len(breaks) - ROWS_SHOWN:,} more")
    print()

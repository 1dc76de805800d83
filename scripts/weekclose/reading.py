"""What the answers share: one snapshot of the database, the calendar of its last build, sellers, words."""

import shlex
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from psycopg import Connection
from psycopg.rows import dict_row

from weekclose.database import statement
from weekclose.errors import NothingToDo, UsageError
from weekclose.feeds import printable
from weekclose.policy import WEEKDAYS
from weekclose.rails.protocol import BY_HAND
from weekclose.refusals import refusals

Row = dict[str, Any]

ZERO = Decimal("0.00")

LONGEST_NAME = 60
WINDOWS_NAMED = 10

BLOCK_REASONS = {
    "manual_review": "the seller's health asks for a person's review first",
    "seller_inactive": "the seller's account is not active",
    "no_rail": "the seller's region has no payment rail",
    "invalid_wallet": "the wallet address is missing or not valid for the rail",
    "currency_mismatch": "the seller is settled in another currency",
    "wallet_recently_changed": "the wallet was changed too shortly before the window was due",
    "on_hold": "a person put it on hold",
    "exception_pending": "an exception of one of its adjustments is not decided yet",
}

CLASSES = {
    "carry_forward_deduction": "deduction",
    "carry_forward_credit": "credit",
    "gross_invoice_fee": "invoiced fee",
    "manual_cash_recovery": "cash recovery",
}


@dataclass(frozen=True)
class Calendar:
    """What a day and a window were for the last build, which spoke for the instant `as_of`."""

    as_of: datetime
    built_at: datetime
    zone: ZoneInfo
    starts_on: str
    reserve_days: int

    def window_of(self, day: date) -> date:
        """The first day of the window that a local day lies in."""
        return day - timedelta(days=(day.weekday() - WEEKDAYS.index(self.starts_on)) % 7)

    def day(self, instant: datetime) -> date:
        """The local day of an instant."""
        return instant.astimezone(self.zone).date()

    def local(self, instant: datetime, *, exactly: bool = False) -> str:
        """An instant on the local clock with its UTC offset, to the second or `exactly`."""
        spec = "seconds" if instant.second else "minutes"
        if exactly and instant.microsecond:
            spec = "microseconds"
        return instant.astimezone(self.zone).isoformat(sep=" ", timespec=spec)


@dataclass(frozen=True)
class Seller:
    """Who is asked about. The name and the type are empty for one whose row is gone."""

    seller_id: str
    display_name: str
    seller_type: str

    @property
    def shown(self) -> str:
        """Id and name, safe for a terminal."""
        name = f" ({shown(self.display_name)})" if self.display_name else ""
        return shown(self.seller_id) + name


@contextmanager
def snapshot(conn: Connection[Any]) -> Iterator[None]:
    """One read-only transaction that sees one state of the database: its numbers belong together."""
    with conn.transaction():
        conn.execute("set transaction isolation level repeatable read, read only")
        yield


def read(conn: Connection[Any], name: str, **parameters: object) -> list[Row]:
    """The rows of the statement `name`. Raises Refused for a seller that the login may not see."""
    with refusals(), conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement(name), parameters).fetchall()


def is_built(conn: Connection[Any]) -> bool:
    """Whether a build has been here. Raises NothingToDo, with what to do, in a database without tables."""
    found = read(conn, "reading_relations")[0]
    if not found["is_migrated"]:
        raise NothingToDo("this database is empty: run weekclose db migrate, then weekclose load PATH")
    return bool(found["is_built"])


def calendar(conn: Connection[Any]) -> Calendar:
    """The calendar of the last build. Raises NothingToDo, with what to do, when there is none."""
    builds = read(conn, "reading_build") if is_built(conn) else []
    if not builds:
        raise NothingToDo("nothing is built yet: run weekclose load PATH, then weekclose sunday")
    settings = builds[0]["settings"]
    return Calendar(
        as_of=builds[0]["as_of"],
        built_at=builds[0]["started_at"],
        zone=ZoneInfo(settings["settlement_timezone"]),
        starts_on=settings["payout_window_starts_on"],
        reserve_days=int(settings["reserve_days"]),
    )


def frozen_window(conn: Connection[Any], text: str) -> date | None:
    """The frozen window in `text`; None for any other, and for a login that may not see which are frozen."""
    with suppress(psycopg.errors.InsufficientPrivilege):
        found = conn.execute(
            "select payout_window from payouts.frozen_windows where payout_window::text = %s", (text,)
        ).fetchone()
        window: date | None = found[0] if found else None
        return window
    return None


def parse_window(text: str, dates: Calendar) -> date:
    """The window in `text`. Raises UsageError naming the window a day lies in when it is not its first."""
    try:
        day = date.fromisoformat(text)
        window = dates.window_of(day)
    except (ValueError, OverflowError):
        day = None
    if day is None or day.isoformat() != text:
        raise UsageError(f"window {shown(text)!r} is not a date: write its first day, like 2026-11-01")
    if day != window:
        raise UsageError(
            f"{day} is a {WEEKDAYS[day.weekday()]}, not a window's first day: it lies in window {window}"
        )
    return day


def seller_rows(conn: Connection[Any], seller_id: str, window: date) -> tuple[Seller, list[Row]]:
    """A seller, and the window's row of each currency.

    Raises UsageError for a seller nobody knows, NothingToDo when the window has no row: both say more.
    """
    # What is not UTF-8 on the command line cannot be an id in the database, nor be asked for.
    known = read(conn, "reading_seller", seller=seller_id.encode(errors="replace").decode())[0]
    windows: list[date] = known.pop("windows")
    if known["display_name"] is None and not windows:
        raise UsageError(f"seller {shown(seller_id)} is not known")
    seller = Seller(seller_id, known["display_name"] or "", known["seller_type"] or "")
    rows = read(conn, "reading_rows", seller=seller_id, window=window)
    if not rows:
        raise NothingToDo(f"seller {shown(seller_id)} has no row in window {window}: {_named(windows)}")
    return seller, rows


def _named(windows: Sequence[date]) -> str:
    if not windows:
        return "nothing of it has settled in any window"
    listed = ", ".join(map(str, windows[-WINDOWS_NAMED:]))
    more = f" and {len(windows) - WINDOWS_NAMED:,} before" if len(windows) > WINDOWS_NAMED else ""
    return f"it has {listed}{more}"


def shown(text: str, longest: int = LONGEST_NAME) -> str:
    """Somebody else's text for a terminal: one line, not too long, no control or direction marks."""
    safe = printable(text, longest)
    # What is written from right to left must not turn the numbers beside it around.
    if any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in safe):
        return f"\u2068{safe}\u2069"
    return safe


def reasons_in_words(reasons: Sequence[str]) -> str:
    """Why a payout is blocked, for people."""
    return "; ".join(BLOCK_REASONS.get(reason, shown(reason)) for reason in reasons)


def adjustment_step(owed: Mapping[str, Any]) -> str:
    """What an obligation outside of the windows waits for, with the command that brings it on."""
    number = owed["adjustment_number"]
    if owed["open_exception"]:
        return exception_step(owed)
    if owed["status"] == "proposed":
        whose = f"--seller {quoted(owed['seller_id'])} --currency {owed['currency']}"
        return f"waits to be selected: weekclose adjust apply {number} {whose}"
    if owed["status"] == "applied":
        return f"waits for the money: weekclose adjust settle {number} --reference ''"
    if owed["not_before"]:
        return f"is deferred to window {owed['not_before']}"
    return "enters with the next freeze"


def exception_step(wish: Mapping[str, Any]) -> str:
    """What an open exception wishes, and how another person decides it."""
    wished = wish["deviation"].replace("_", " ")
    to = f" {shown(str(wish['deviation_to']))}" if wish["deviation_to"] else ""
    asked = f"{shown(wish['requested_by'])} asks for: {wished}{to}"
    decide = f"weekclose exception approve {wish['open_exception']} --reason ''"
    return f"{asked}. Another person decides: {decide}, or reject"


def quoted(text: str) -> str:
    """Somebody else's text as one word of a command, as far as a terminal can show it."""
    return shlex.quote(shown(text))


def cash(amounts: Mapping[str, Decimal]) -> Decimal:
    """What a line or a row moves: net, less what disputes hold back, plus corrections."""
    return (
        amounts["gross"] - amounts["fees"] - amounts["refunds"] - amounts["disputes"] + amounts["adjustments"]
    )


def age_in_words(age: timedelta) -> str:
    """How long something has been open, in the largest unit that makes a number of it."""
    minutes = max(0, int(age.total_seconds() // 60))
    for size, unit in ((24 * 60, "day"), (60, "hour")):
        if minutes >= size:
            return f"{minutes // size:,} {unit}{'' if minutes // size == 1 else 's'}"
    return f"{minutes} min"


def state_in_words(row: Mapping[str, Any]) -> str:
    """What became of a row's money, as a sentence."""
    failure = f" ({shown(row['failure_reason'])})" if row["failure_reason"] else ""
    if row["status"] == "submitted" and row["rail"] == BY_HAND:
        return "Submitted: no rail pays it, a person does."
    return {
        "before_start": "Before start: settled elsewhere, before settlement began here.",
        "pending": "Pending: its reserve is open, nothing is payable yet.",
        "ready": "Ready: it waits for its batch, nothing blocks it.",
        "blocked": f"Blocked: {reasons_in_words(row['block_reasons'])}. The money stays in the balance.",
        "carried_forward": "Carried forward: there is nothing to pay out, the balance passes on.",
        "submitted": "Submitted: handed to the payment rail, which has not answered yet.",
        "paid": "Paid.",
        "reversed": "Reversed: it was paid, and should not have been. An adjustment says who owes whom.",
        "failed": f"Failed: the payment rail did not pay{failure}. The money is back in the balance.",
        "returned": f"Returned: it came back after it was paid{failure}. The money is back in the balance.",
        "awaiting_reconciliation": "Awaiting reconciliation: a person decides what is true of it.",
    }[row["status"]]


def column_of_sums(entries: Sequence[tuple[str, Decimal]]) -> list[str]:
    """Labels and amounts under each other, the amounts to the right."""
    labels = max(len(label) for label, _ in entries)
    digits = max(len(f"{amount:,}") for _, amount in entries)
    return [f"  {label:<{labels}}  {amount:>{digits},}" for label, amount in entries]

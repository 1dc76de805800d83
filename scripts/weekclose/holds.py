"""Escrow holds: money that stays in a seller's balance until something is over."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from psycopg import Connection
from psycopg.rows import class_row

from weekclose.database import statement
from weekclose.decisions import require_reason
from weekclose.errors import UsageError, require_one_of
from weekclose.refusals import refusals

REASONS = ("guarantee_period", "dispute", "verification", "other")
STATUSES = ("active", "released", "cancelled")


@dataclass(frozen=True)
class Wanted:
    """A hold as a person wants it: a positive `amount` in `currency`, at most two decimals.

    `order_id` or `payout_number` says because of what; `release_at`, an instant, when it ends by itself.
    """

    seller_id: str
    currency: str
    amount: Decimal
    reason: str
    note: str
    order_id: str | None = None
    payout_number: str | None = None
    release_at: datetime | None = None


@dataclass(frozen=True)
class Hold:
    """A hold as the books have it; instants in UTC, None where there was none."""

    hold_number: str
    seller_id: str
    currency: str
    amount: Decimal
    reason: str
    note: str
    order_id: str | None
    payout_number: str | None
    release_at: datetime | None
    status: str
    held_by: str | None
    held_at: datetime | None
    ended_by: str | None
    ended_at: datetime | None
    ended_because: str | None


def create(conn: Connection[Any], wanted: Wanted, actor: str) -> str:
    """Hold money from the next freeze on. Returns the hold's number, HLD0000001.

    Raises Refused for an unknown seller, or an order or payout that is not his; UsageError without a note.
    """
    require_one_of("--reason", wanted.reason, REASONS)
    if not wanted.note.strip():
        raise UsageError("--note is empty: say what happened, for those who release it")
    with conn.transaction(), refusals():
        row = conn.execute(
            "select payouts.create_hold(%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                wanted.seller_id,
                wanted.currency,
                wanted.amount,
                wanted.reason,
                wanted.note,
                wanted.order_id,
                wanted.payout_number,
                wanted.release_at,
                actor,
            ),
        ).fetchone()
    return str(row[0]) if row else ""


def end(
    conn: Connection[Any],
    numbers: Sequence[str],
    how: Literal["released", "cancelled"],
    reason: str,
    actor: str,
) -> None:
    """End holds, all or none: release them early, or cancel those that should not have been.

    Raises NothingToDo for one that is not there or has ended.
    """
    require_reason(reason)
    with conn.transaction(), refusals():
        for number in numbers:
            conn.execute("select payouts.end_hold(%s, %s, %s, %s)", (number, how, reason, actor))


def listed(
    conn: Connection[Any],
    seller_id: str | None,
    status: str | None,
    reason: str | None,
    after: str | None,
    limit: int,
) -> list[Hold]:
    """Holds by number, `limit` of those after `after`; of all sellers, statuses and reasons when None.

    Those of running guarantees are as of the last build, and come last.
    """
    with conn.cursor(row_factory=class_row(Hold)) as cursor:
        named = {
            "seller": seller_id,
            "status": status,
            "reason": reason,
            "after": after or "",
            "limit": limit,
        }
        return cursor.execute(statement("holds_list"), named).fetchall()

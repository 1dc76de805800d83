"""What to do next: the queue of what is not finished, and whether a payout may go out right now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

from weekclose.database import statement

READINESS = ("ready", "near_ready", "pending", "blocked")
ATTENTION = ("none", "wait", "intervene")


@dataclass(frozen=True)
class Queued:
    """A payout that is not finished, or a row of the next window; `amount` in `currency`, `since` in UTC.

    `next_action` is the command that moves it on, None while there is nothing to do.
    """

    priority_rank: int
    payout_number: str | None
    request_number: str | None
    seller_id: str
    payout_window: date
    currency: str
    amount: Decimal
    rail: str | None
    status: str
    readiness: str
    attention: str
    reasons: list[str]
    next_action: str | None
    since: datetime
    age: timedelta


@dataclass(frozen=True)
class Checked:
    """Whether a payout may go out: without `reasons` it may. None where there is no such payout."""

    payout_number: str
    seller_id: str | None
    currency: str | None
    amount: Decimal | None
    status: str | None
    reasons: list[str]


def listed(
    conn: Connection[Any],
    *,
    readiness: str | None,
    attention: str | None,
    seller_id: str | None,
    window: date | None,
    after: int,
    limit: int,
) -> list[Queued]:
    """The queue by priority, `limit` of the ranks after `after`; all of it where None is asked for."""
    named = {
        "readiness": readiness,
        "attention": attention,
        "seller": seller_id,
        "window": window,
        "after": after,
        "limit": limit,
    }
    with conn.cursor(row_factory=class_row(Queued)) as cursor:
        return cursor.execute(statement("queue_list"), named).fetchall()


def recheck(conn: Connection[Any], numbers: Sequence[str]) -> list[Checked]:
    """Evaluate payouts anew, in the order in which they are named: as a submission would, now.

    Changes nothing. Block reasons are the codes of marts.settlement_windows, all others words.
    """
    found: dict[str, Checked] = {}
    for number, seller_id, currency, amount, status, reason in conn.execute(
        "select * from payouts.recheck(%s)", (list(numbers),)
    ):
        checked = found.setdefault(number, Checked(number, seller_id, currency, amount, status, []))
        checked.reasons.extend([] if reason is None else [reason])
    return [found[number] for number in dict.fromkeys(numbers)]

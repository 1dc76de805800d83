"""Off-cycle payouts: requests for part of a seller's frozen balance, and schedules that make them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

from weekclose.database import statement, value
from weekclose.decisions import require_reason
from weekclose.errors import UsageError, require_one_of
from weekclose.refusals import refusals

REQUEST_STATUSES = (
    "requested",
    "approved",
    "rejected",
    "submitted",
    "paid",
    "failed",
    "returned",
    "awaiting_reconciliation",
    "reversed",
    "blocked",
)
TRIGGERS = ("guarantee_period_end", "milestone_reached", "contract_signed", "manual")
SCHEDULE_STATUSES = ("pending", "processing", "completed", "failed", "cancelled")


@dataclass(frozen=True)
class Request:
    """A request as the books have it; instants in UTC, `amount` in `currency`, None where there is none.

    `status` is requested, approved or rejected, and from its submission on that of its payout.
    """

    request_number: str
    seller_id: str
    currency: str
    amount: Decimal
    status: str
    reason: str
    schedule_number: str | None
    payout_number: str | None
    requested_by: str
    requested_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    decision_reason: str


@dataclass(frozen=True)
class Wish:
    """A schedule as a person wants it: a positive `amount` in `currency`, at most two decimals.

    Its time comes at the instant `due_at`, when the guarantee of `order_id` ends, or when a person says so.
    """

    seller_id: str
    currency: str
    amount: Decimal
    trigger_event: str
    note: str
    order_id: str | None = None
    due_at: datetime | None = None


@dataclass(frozen=True)
class Schedule:
    """A schedule as the books have it; instants in UTC, None where there is none.

    `due_at` is when its time comes, or when it is tried again; `is_due` whether that is over.
    """

    schedule_number: str
    seller_id: str
    currency: str
    amount: Decimal
    trigger_event: str
    order_id: str | None
    due_at: datetime | None
    is_due: bool
    status: str
    retry_count: int
    last_error: str | None
    request_number: str | None
    note: str
    created_by: str


def request(
    conn: Connection[Any], seller_id: str, currency: str, amount: Decimal, reason: str, actor: str
) -> str:
    """Ask for part of a seller's frozen, unpaid balance. Returns the request's number, REQ0000001.

    Raises Refused when floor, holds, promises and other requests leave less; NothingToDo when it is asked for
    already; UsageError without a reason.
    """
    require_reason(reason)
    with conn.transaction(), refusals():
        number: str = value(
            conn.execute(
                "select payouts.request_payout(%s, %s, %s, %s, %s)",
                (seller_id, currency, amount, reason, actor),
            )
        )
    return number


def approve(conn: Connection[Any], numbers: Sequence[str], actor: str) -> None:
    """Approve requests, all or none: each has a payout that is ready, and a batch of its own. No payment yet.

    Raises Refused for who requested it, for a seller who cannot be paid, or when less is left by now;
    NothingToDo for one that is decided already.
    """
    with conn.transaction(), refusals():
        for number in numbers:
            conn.execute("select payouts.approve_request(%s, %s)", (number, actor))


def reject(conn: Connection[Any], numbers: Sequence[str], reason: str, actor: str) -> None:
    """Reject requests, all or none, also approved ones that have not left.

    Raises Refused once the batch is on its way, NothingToDo for one that is rejected already.
    """
    require_reason(reason)
    with conn.transaction(), refusals():
        for number in numbers:
            conn.execute("select payouts.reject_request(%s, %s, %s)", (number, reason, actor))


def requests(conn: Connection[Any], filters: Mapping[str, Any]) -> list[Request]:
    """Requests by number, `limit` of those after `after`, of one `seller` and `status` where named."""
    with conn.cursor(row_factory=class_row(Request)) as cursor:
        return cursor.execute(statement("requests_list"), filters).fetchall()


def schedule(conn: Connection[Any], wish: Wish, actor: str) -> str:
    """Have a request made when its time comes. Returns the schedule's number, SCH0000001.

    Raises Refused for an unknown seller or an order of his without a guarantee, UsageError for a trigger that
    does not fit.
    """
    require_one_of("--trigger", wish.trigger_event, TRIGGERS)
    if not wish.note.strip():
        raise UsageError("--note is empty: say what it is for")
    if (wish.trigger_event == "guarantee_period_end") != (wish.order_id is not None):
        raise UsageError(
            "--order names the order whose guarantee ends, with guarantee_period_end and only then"
        )
    if wish.order_id is not None and wish.due_at is not None:
        raise UsageError("--at: the end of the order's guarantee is its time")
    with conn.transaction(), refusals():
        number: str = value(
            conn.execute(
                "select payouts.create_schedule(%s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    wish.seller_id,
                    wish.currency,
                    wish.amount,
                    wish.trigger_event,
                    wish.order_id,
                    wish.due_at,
                    wish.note,
                    actor,
                ),
            )
        )
    return number


def trigger(conn: Connection[Any], numbers: Sequence[str], actor: str) -> dict[str, str]:
    """Try schedules now, whatever their time. Returns what each came to: completed, processing or failed.

    Raises NothingToDo for one that has ended; the others before it keep what they came to.
    """
    outcomes = {}
    for number in numbers:
        with conn.transaction(), refusals():
            outcomes[number] = value(conn.execute("select payouts.trigger_schedule(%s, %s)", (number, actor)))
    return outcomes


def run(conn: Connection[Any], at_instant: datetime, actor: str) -> dict[str, str]:
    """Try each schedule whose time has come by an instant, once. Returns what each came to.

    Two who run at once share the work. A try that the books refuse is noted on the row, with the time of the
    next one; the third is the last.
    """
    with conn.transaction(), refusals():
        return dict(
            conn.execute("select * from payouts.run_schedules(%s, %s)", (at_instant, actor)).fetchall()
        )


def cancel(conn: Connection[Any], numbers: Sequence[str], reason: str, actor: str) -> None:
    """Cancel schedules, all or none. Raises NothingToDo for one that has ended."""
    require_reason(reason)
    with conn.transaction(), refusals():
        for number in numbers:
            conn.execute("select payouts.cancel_schedule(%s, %s, %s)", (number, reason, actor))


def schedules(conn: Connection[Any], filters: Mapping[str, Any]) -> list[Schedule]:
    """Schedules by number, `limit` of those after `after`.

    `seller`, `status`, `trigger` and `is_due` narrow it down where they are named.
    """
    with conn.cursor(row_factory=class_row(Schedule)) as cursor:
        return cursor.execute(statement("schedules_list"), filters).fetchall()

"""What a seller owes or is owed beside his sales, from proposal to settlement. The database has the rules."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from psycopg import Connection
from psycopg.rows import class_row

from weekclose.database import statement, value
from weekclose.decisions import require_reason
from weekclose.documents import Document, store_document
from weekclose.errors import NothingToDo, UsageError
from weekclose.refusals import refusals

CLASSES = ("carry_forward_deduction", "carry_forward_credit", "gross_invoice_fee", "manual_cash_recovery")
STATUSES = ("proposed", "approved", "applied", "settled", "cancelled")
AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,2})?")
# As the feeds write it.
CURRENCY = re.compile("[A-Z][A-Z0-9]{2,9}")


@dataclass(frozen=True)
class Proposal:
    """An obligation as a person proposes it: `amount` in `currency`, positive, at most two decimals.

    `about` is the payout that it is because of, `invoice` the reference of a gross invoice fee.
    """

    seller_id: str
    currency: str
    adjustment_class: str
    amount: Decimal
    reason: str
    note: str = ""
    invoice: str | None = None
    about: str | None = None


@dataclass(frozen=True)
class Deviation:
    """What is wished instead of what the policy does: `kind` is `apply`, `skip`, `defer`, `amount` or
    `out_of_scope`, and one of the others says to what."""

    kind: Literal["apply", "skip", "defer", "amount", "out_of_scope"]
    amount: Decimal | None = None
    window: date | None = None
    seller_id: str | None = None


@dataclass(frozen=True)
class Adjustment:
    """An adjustment as the books have it; instants in UTC, amounts in `currency`.

    `settled_amount` is what later earnings or money that came have settled of `applied_amount`.
    """

    adjustment_number: str
    seller_id: str
    currency: str
    adjustment_class: str
    direction: str
    amount: Decimal
    applied_amount: Decimal
    settled_amount: Decimal
    status: str
    mode: str
    policy_scope: str
    reason: str
    note: str
    invoice_reference: str | None
    source: str
    source_id: str | None
    applied_to: str
    not_before: date | None
    payout_window: date | None
    open_exception: int | None
    proposed_by: str
    proposed_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    settled_at: datetime | None


@dataclass(frozen=True)
class Wish:
    """A wish to deviate, and what was decided; instants in UTC."""

    exception_id: int
    adjustment_number: str
    seller_id: str
    currency: str
    adjustment_class: str
    amount: Decimal
    deviation: str
    to: str | None
    reason: str
    requested_by: str
    requested_at: datetime
    decision: str | None
    decision_note: str | None
    decided_by: str | None
    decided_at: datetime | None


def money(text: str) -> Decimal:
    """An amount that a person gave. Raises UsageError for what is not positive money of two decimals."""
    if not AMOUNT.fullmatch(text) or not Decimal(text):
        raise UsageError(f"{text!r} is no amount: write it like 120.50, positive, with at most two decimals")
    return Decimal(text)


def currency_code(text: str) -> str:
    """A currency that a person gave. Raises UsageError for what is no code."""
    if not CURRENCY.fullmatch(text):
        raise UsageError(f"--currency {text!r} is no currency code: write it like USD")
    return text


def propose(conn: Connection[Any], proposal: Proposal, document: Document | None, actor: str) -> str:
    """Record an obligation and do what the policy says with it. Returns its number, ADJ0000001.

    Raises Refused for an unknown seller or payout and for what the class or the policy lacks.
    """
    require_reason(proposal.reason)
    currency_code(proposal.currency)
    if proposal.adjustment_class.startswith("carry_forward") and not proposal.note.strip():
        raise UsageError(f"a {proposal.adjustment_class} needs a --note beside its reason")
    if (proposal.adjustment_class == "gross_invoice_fee") != bool((proposal.invoice or "").strip()):
        raise UsageError("--invoice names the invoice of a gross_invoice_fee, and of no other class")
    with conn.transaction(), refusals():
        return str(
            value(
                conn.execute(
                    "select payouts.propose_adjustment(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                    (
                        proposal.seller_id,
                        proposal.currency,
                        proposal.adjustment_class,
                        proposal.amount,
                        proposal.reason,
                        proposal.note,
                        proposal.invoice,
                        stored(conn, document, actor),
                        proposal.about,
                        actor,
                    ),
                )
            )
        )


def propose_from(
    conn: Connection[Any], line_id: str, reason: str, note: str, document: Document | None, actor: str
) -> str:
    """Make an adjustment of what a frozen line has become: its raw row changed, or its dispute left a debt.

    Returns its number. Raises NothingToDo when line and raw row agree and nothing is owed, Refused for a
    line that is not frozen.
    """
    require_reason(reason)
    if not note.strip():
        raise UsageError("--note is empty: say what happened, for the seller and for those who review it")
    with conn.transaction(), refusals():
        return str(
            value(
                conn.execute(
                    "select payouts.propose_from(%s, %s, %s, %s, %s)",
                    (
                        line_id,
                        reason,
                        note,
                        stored(conn, document, actor),
                        actor,
                    ),
                )
            )
        )


def apply(conn: Connection[Any], numbers: Sequence[str], seller_id: str, currency: str, actor: str) -> None:
    """Select adjustments by hand, all or none: for the seller's next payout, or to be collected.

    Raises Refused for another seller's or another currency's, for one that is applied or settled already, and
    for one's own when no payout's review will show it.
    """
    with conn.transaction(), refusals():
        for number in numbers:
            conn.execute(
                "select payouts.apply_adjustment(%s, %s, %s, %s)", (number, seller_id, currency, actor)
            )


def deviate(conn: Connection[Any], number: str, deviation: Deviation, reason: str, actor: str) -> int:
    """Ask for something else than the policy does; the seller's money waits until another person decides.

    Returns the exception's id. Raises Refused for what cannot deviate any more, or that way.
    """
    require_reason(reason)
    with conn.transaction(), refusals():
        return int(
            value(
                conn.execute(
                    "select payouts.deviate(%s, %s, %s, %s, %s, %s, %s)",
                    (
                        number,
                        deviation.kind,
                        deviation.amount,
                        deviation.window,
                        deviation.seller_id,
                        reason,
                        actor,
                    ),
                )
            )
        )


def decide(
    conn: Connection[Any],
    ids: Sequence[int],
    verdict: Literal["approved", "rejected"],
    reason: str,
    actor: str,
) -> None:
    """Decide exceptions, all or none. Raises Refused for one's own wish or proposal, NothingToDo when one is
    decided already, SecondFactorNeeded when the actor has an authenticator."""
    require_reason(reason)
    with conn.transaction(), refusals():
        conn.execute("select payouts.decide_exceptions(%s, %s, %s, %s)", (list(ids), verdict, reason, actor))


def settle(conn: Connection[Any], number: str, reference: str, document: Document | None, actor: str) -> None:
    """The money of a receivable has come. Raises Refused for what payouts settle, and without a document for
    cash."""
    if not reference.strip():
        raise UsageError("--reference is empty: name the payment that came")
    with conn.transaction(), refusals():
        conn.execute(
            "select payouts.settle_adjustment(%s, %s, %s, %s)",
            (number, reference, stored(conn, document, actor), actor),
        )


def cancel(conn: Connection[Any], numbers: Sequence[str], reason: str, actor: str) -> None:
    """Take back what nobody has acted on, all or none. Raises Refused for what follows from an execution."""
    require_reason(reason)
    with conn.transaction(), refusals():
        for number in numbers:
            conn.execute("select payouts.cancel_adjustment(%s, %s, %s)", (number, reason, actor))


def listed(
    conn: Connection[Any], seller_id: str | None, status: str | None, after: str | None, limit: int
) -> list[Adjustment]:
    """Adjustments by number, `limit` of those after `after`; of all sellers and statuses when None."""
    named = {"number": None, "seller": seller_id, "status": status, "after": after or "", "limit": limit}
    return _listed(conn, named)


def read(conn: Connection[Any], number: str) -> Adjustment:
    """One adjustment. Raises NothingToDo when there is none of that number."""
    found = _listed(conn, {"number": number, "seller": None, "status": None, "after": "", "limit": 1})
    if not found:
        raise NothingToDo(f"there is no adjustment {number!r}")
    return found[0]


def wishes(conn: Connection[Any], *, open_only: bool, after: int, limit: int) -> list[Wish]:
    """Exceptions by id, `limit` of those after `after`."""
    with conn.cursor(row_factory=class_row(Wish)) as cursor:
        named = {"open_only": open_only, "after": after, "limit": limit}
        return cursor.execute(statement("exceptions_list"), named).fetchall()


def stored(conn: Connection[Any], document: Document | None, actor: str) -> str | None:
    """Keep a document in the transaction of what it proves. Its sha256; None for none."""
    if document is None:
        return None
    store_document(conn, document, actor)
    return document.sha256


def _listed(conn: Connection[Any], named: dict[str, Any]) -> list[Adjustment]:
    with conn.cursor(row_factory=class_row(Adjustment)) as cursor:
        return cursor.execute(statement("adjustments_list"), named).fetchall()

"""What really left: paid by hand, proved, resolved, reversed, and found again by any reference."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from psycopg import Connection
from psycopg.rows import class_row

from weekclose.adjustments import stored
from weekclose.database import statement, value
from weekclose.decisions import require_reason
from weekclose.documents import Document
from weekclose.errors import NothingToDo, UsageError
from weekclose.refusals import refusals


@dataclass(frozen=True)
class Found:
    """A payout, and a reference under which it was ever known: `reference` is None before it was sent.

    `heard` says from whom: an execution, an event, a look-up, a batch's receipt. Amounts in `currency`.
    """

    payout_number: str
    seller_id: str
    payout_window: date
    amount: Decimal
    currency: str
    status: str
    rail: str | None
    reference_id: str | None
    reference: str | None
    heard: str | None
    executed_amount: Decimal | None
    at: datetime | None


@dataclass(frozen=True)
class Proof:
    """A document that proves an execution; the active one is its newest. Instants in UTC."""

    external_reference: str
    executed_amount: Decimal
    sha256: str
    media_type: str
    byte_count: int
    reason: str
    added_by: str
    added_at: datetime
    is_active: bool


def execute(
    conn: Connection[Any],
    number: str,
    reference: str,
    amount: Decimal,
    document: Document,
    actor: str,
    *,
    executed_at: datetime | None = None,
    note: str = "",
) -> str:
    """Note what a person has paid. Returns the payout's status: `paid`, or `awaiting_reconciliation` when
    another amount left than was promised.

    `executed_at` is an instant, default now. Raises Refused for what is not to be paid by hand, for a
    reference or a file that is another payout's, and for another amount without a note; NothingToDo when it
    is paid already.
    """
    with conn.transaction(), refusals():
        said = value(
            conn.execute(
                "select payouts.execute_payout(%s, %s, %s, %s, %s, %s, %s)",
                (number, reference.strip(), amount, executed_at, stored(conn, document, actor), note, actor),
            )
        )
    return str(said)


def replace_proof(conn: Connection[Any], number: str, document: Document, reason: str, actor: str) -> None:
    """Give a payout's newest execution another proof; the old one stays in its history.

    Raises Refused for a payout that was not executed and for a file that is a proof already.
    """
    require_reason(reason)
    with conn.transaction(), refusals():
        conn.execute(
            "select payouts.replace_proof(%s, %s, %s, %s)",
            (number, stored(conn, document, actor), reason, actor),
        )


def proofs(conn: Connection[Any], number: str) -> list[Proof]:
    """A payout's documents, oldest first. Raises NothingToDo when there are none."""
    with conn.cursor(row_factory=class_row(Proof)) as cursor:
        found = cursor.execute(statement("proofs_list"), {"payout": number}).fetchall()
    if found:
        return found
    if conn.execute("select from payouts.payouts where payout_number = %s", (number,)).fetchone() is None:
        raise NothingToDo(f"there is no payout {number}")
    raise NothingToDo(f"payout {number} has no document: a rail's execution is proved by its own word")


def content_of(conn: Connection[Any], sha256: str) -> bytes:
    """A stored document as it came. Raises UsageError for a name that no document has."""
    row = conn.execute("select content from payouts.documents where sha256 = %s", (sha256,)).fetchone()
    if row is None:
        raise UsageError(f"there is no document {sha256!r}: weekclose proof list names them")
    return bytes(row[0])


def resolve(
    conn: Connection[Any],
    number: str,
    verdict: Literal["accept", "retry"],
    note: str,
    document: Document | None,
    actor: str,
) -> str | None:
    """End what awaits reconciliation. Returns the number of the adjustment that the difference became.

    Raises NothingToDo for a payout that does not await it, Refused for one's own execution, and for a retry
    of what seems to have left without a document that shows that it came back.
    """
    if not note.strip():
        raise UsageError("--note is empty: say what was found, for those who read the audit log")
    with conn.transaction(), refusals():
        made: str | None = value(
            conn.execute(
                "select payouts.resolve_payout(%s, %s, %s, %s, %s)",
                (number, verdict, note, stored(conn, document, actor), actor),
            )
        )
    return made


def reverse(
    conn: Connection[Any], number: str, reason: str, note: str, document: Document | None, actor: str
) -> str:
    """Reverse what was paid wrongly. Returns the number of the adjustment that follows.

    No balance moves by it. `reason` is one of seeds/reversal_reasons.csv. Raises Refused for what was not
    executed, an unknown reason, or one that needs evidence; NothingToDo when it is reversed already.
    """
    if not note.strip():
        raise UsageError("--note is empty: say what happened, for those who read the audit log")
    with conn.transaction(), refusals():
        said = value(
            conn.execute(
                "select payouts.reverse_payout(%s, %s, %s, %s, %s)",
                (number, reason, note, stored(conn, document, actor), actor),
            )
        )
    return str(said)


def search(conn: Connection[Any], term: str) -> list[Found]:
    """Payouts with this number, or with a reference that they ever had, each with all of its references.

    Raises NothingToDo when there is none.
    """
    with conn.cursor(row_factory=class_row(Found)) as cursor:
        found = cursor.execute(statement("payout_search"), {"term": term.strip()}).fetchall()
    if not found:
        raise NothingToDo(f"no payout has the number or a reference {term.strip()!r}")
    return found

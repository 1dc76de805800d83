"""What one run of the command has booked, whoever books at the same time."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

from weekclose.database import statement

# More entries than these are shown as sums: a batch of 4,000 payouts has 8,000.
MOST = 12


@dataclass(frozen=True)
class Booked:
    """One ledger entry; or, without transaction and seller, the sum of `entry_count` of them.

    `amount` in `currency`, signed: what the platform owes is positive.
    """

    transaction_id: int | None
    kind: str
    account: str
    seller_id: str | None
    currency: str
    amount: Decimal
    entry_count: int


def booked(conn: Connection[Any], run: str) -> list[Booked]:
    """The entries of a run in the order in which they were written, summed up when they are many."""
    with conn.cursor(row_factory=class_row(Booked)) as cursor:
        return cursor.execute(statement("ledger_of_run"), {"run": run, "most": MOST}).fetchall()


def told(entries: Sequence[Booked]) -> list[str]:
    """The entries in a line for each kind, or each transaction, and currency."""
    from weekclose.reading import shown

    groups: dict[tuple[int | None, str, str | None, str], list[Booked]] = {}
    for each in entries:
        key = (each.transaction_id, each.kind, each.seller_id, each.currency)
        groups.setdefault(key, []).append(each)
    lines = []
    for (transaction, kind, seller, currency), group in groups.items():
        moved = ", ".join(f"{each.account} {each.amount:+,}" for each in group)
        if transaction is None:
            of = f"{sum(each.entry_count for each in group):,} entries"
        else:
            of = f"transaction {transaction}, seller {shown(seller or '')}"
        lines.append(f"ledger: {kind} ({of}): {moved} {currency}")
    return lines

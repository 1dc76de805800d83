"""Whom failing checks are about, and the money: what a headline says instead of only 'failed'."""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from psycopg import Connection

from weekclose.reading import read
from weekclose.review.words import counted, money

# How tests name the two amounts that should be one; a single column is the difference itself.
PAIRS = (
    ("expected", "actual"),
    ("had", "accounted_for"),
    ("frozen", "accounted_for"),
    ("payable", "amount"),
    ("summed_up", "payable"),
    ("opening", "carry_in"),
    ("source_amount", "raw_amount"),
)
DIFFERENCES = ("difference", "off_by")

Cells = Mapping[str, str | None]


def affected(
    conn: Connection[Any], red: Sequence[Mapping[str, Any]], sellers: Mapping[str, Sequence[Any]]
) -> str:
    """Sellers and money of the failing rows: what they are off by, else what is at stake; or their number.

    `red` are checks, `sellers` the columns of the window's rows. Says only the number when not every failing
    row is known.
    """
    failures = sum(check["failures"] for check in red)
    rows = [dict(zip(check["columns"], row, strict=True)) for check in red for row in check["rows"]]
    lines = {row["line_id"]: row for row in _named_lines(conn, rows)}
    owners = {row.get("seller_id") or lines.get(row.get("line_id"), {}).get("seller_id") for row in rows}
    if len(rows) < failures or not rows or None in owners:
        return counted(failures, "row") if failures else ""
    off = [(_difference(row), row.get("currency") or "") for row in rows]
    if all(difference is not None for difference, _ in off):
        told = f", off by {_sum((amount or 0, currency) for amount, currency in off)}"
    elif lines and all(row.get("line_id") in lines for row in rows):
        told = f" with {_sum((row['amount'], row['currency']) for row in lines.values())}"
    else:
        told = f" with {_sum(_payables(sellers, owners))}"
    # Without money the words that introduce it go too.
    return counted(len(owners), "seller") + (told if told[-1] != " " else "")


def _named_lines(conn: Connection[Any], rows: Sequence[Cells]) -> list[dict[str, Any]]:
    named = [row["line_id"] for row in rows if row.get("line_id")]
    return read(conn, "review_named_lines", lines=named) if named else []


def _difference(row: Cells) -> int | None:
    """How much a failing row is off by, in hundredths, when it says so."""
    names = next((pair for pair in PAIRS if pair[0] in row and pair[1] in row), None)
    single = next((name for name in DIFFERENCES if name in row), None)
    try:
        if single:
            return int(abs(Decimal(row[single] or 0)) * 100)
        return int(abs(Decimal(row[names[0]] or 0) - Decimal(row[names[1]] or 0)) * 100) if names else None
    except InvalidOperation:
        return None


def _payables(sellers: Mapping[str, Sequence[Any]], owners: set[str | None]) -> list[tuple[int, str]]:
    rows = zip(sellers["seller_id"], sellers["payable"], sellers["currency"], strict=True)
    return [(payable, currency) for seller_id, payable, currency in rows if seller_id in owners]


def _sum(amounts: Any) -> str:
    sums: dict[str, int] = {}
    for amount, currency in amounts:
        sums[currency] = sums.get(currency, 0) + amount
    return money((amount, currency) for currency, amount in sums.items())

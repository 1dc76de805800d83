"""What sellers owe or are owed beside their sales: what enters a window, what waits, what is open."""

from collections.abc import Mapping, Sequence
from typing import Any

from weekclose.reading import CLASSES, Row

# Beyond that `weekclose adjust list` has them; the sums are of all.
SHOWN = 2_000


def adjustments_of(
    *, entered: Sequence[Row], wishes: Sequence[Row], still_open: Sequence[Row] | None
) -> dict[str, Any]:
    """A window's adjustments with their sum per currency, the open exceptions, and what is open by class.

    Amounts are in hundredths; what enters is signed, positive to the seller. `still_open` is None on the page
    of an older week.
    """
    sums: dict[str, int] = {}
    for row in entered:
        sums[row["currency"]] = sums.get(row["currency"], 0) + row["amount"]
    return {
        "entered": [_named(row) for row in entered[:SHOWN]],
        "entered_count": len(entered),
        "sums": [{"currency": currency, "amount": amount} for currency, amount in sorted(sums.items())],
        "wishes": [_wish(row) for row in wishes],
        "open": None if still_open is None else [_named(row) for row in still_open],
    }


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "class": CLASSES[row["class"]]}


def _wish(row: Row) -> dict[str, Any]:
    to = f" {row['deviation_to']}" if row["deviation_to"] else ""
    return {
        "exception": row["open_exception"],
        "adjustment_number": row["adjustment_number"],
        "seller_id": row["seller_id"],
        "currency": row["currency"],
        "class": CLASSES[row["class"]],
        "amount": int(100 * row["amount"]),
        "wish": f"{row['deviation'].replace('_', ' ')}{to}",
        "reason": row["reason"],
        "requested_by": row["requested_by"],
        "command": f"weekclose exception approve {row['open_exception']} --reason ''",
    }

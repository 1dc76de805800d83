"""Whom a person should look at before Tuesday, with the reason in words and the money it is about."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weekclose.reading import BLOCK_REASONS, Row

SHOWN = 5_000

# The gravest first: it names the row's money, and is the first of its reasons.
REASONS = {
    "break": "Another record differs",
    "restated": "Restated after it was settled",
    "awaiting_reconciliation": "Awaits a decision",
    "reversed": "Reversed",
    "failed": "Payout failed",
    "returned": "Payout came back",
    "came_back": "Last payout came back",
    **{
        "invalid_wallet": "Wallet not valid",
        "no_rail": "No payment rail",
        "currency_mismatch": "Other currency",
        "wallet_recently_changed": "Wallet just changed",
        "manual_review": "Manual review",
        "seller_inactive": "Account not active",
        "on_hold": "On hold",
        "exception_pending": "Exception open",
        "blocked": "Blocked",
    },
    "by_hand": "To be paid by hand",
    "negative": "Negative balance",
    "late": "Arrived late",
    "flagged": "Flagged by health",
}

REVIEW_REASONS = {
    "score_below_limit": "the health score is low",
    "dispute_spike": "disputes spiked this week",
    "volume_growth": "sales grew suddenly",
}

BREAKS = {
    "restatement": "was settled with {actual}, its row now says {expected}: the line stays",
    "control_total": "was settled with a gross of {actual}, a second source says {expected}",
    "refund_above_order": "is refunded {actual} in all, it was sold for {expected}",
}

Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class _Found:
    """One reason to look at a seller's row; `amount` is in hundredths, `command` is what a person can do."""

    reason: str
    text: str
    amount: int
    command: str = ""


def exceptions_of(
    sellers: Columns,
    *,
    wishes: Sequence[Row],
    controls: Sequence[Row],
    late: Sequence[Row],
    came_back: Sequence[Row],
    breaks: Sequence[Row],
) -> dict[str, Any]:
    """One row for each seller and currency with a reason, largest money first, and how often each reason is.

    Each row's reasons are ordered, the gravest first; that one names the amount. `breaks` are the window's,
    `wishes` the open exceptions, `controls` the payouts that a person has to pay, to decide on, or has
    reversed.
    """
    places = {
        key: place for place, key in enumerate(zip(sellers["seller_id"], sellers["currency"], strict=True))
    }
    wished = {(row["seller_id"], row["currency"]): row["open_exception"] for row in wishes}
    found = {place: list(_of_row(sellers, place, wished)) for place in range(len(sellers["seller_id"]))}
    elsewhere: list[tuple[Row, _Found]] = []
    for row, reason in (
        *_of_controls(controls),
        *_of_late(late),
        *_of_came_back(came_back),
        *_of_breaks(breaks),
    ):
        place = places.get((row["seller_id"], row["currency"]))
        if place is None:
            elsewhere.append((row, reason))
        else:
            found[place].append(reason)
    rows = [_told(sellers, place, reasons) for place, reasons in found.items() if reasons]
    rows += [_told_elsewhere(row, reason) for row, reason in elsewhere]
    rows.sort(key=lambda row: (-abs(row["amount"]), row["seller_id"], row["currency"]))
    shown = rows[:SHOWN]
    names = (
        *("row", "seller_id", "name", "currency", "reason", "reasons", "text", "amount", "status"),
        *("payout_number", "command"),
    )
    return {
        "count": len(rows),
        "more": len(rows) - len(shown),
        "reasons": _counted(rows),
        "columns": {name: [row[name] for row in shown] for name in names},
    }


def _of_row(sellers: Columns, place: int, wished: Mapping[tuple[str, str], int]) -> Iterator[_Found]:
    status, payable = sellers["status"][place], sellers["payable"][place]
    carry_out, blocked_by = sellers["carry_out"][place], sellers["reasons"][place]
    if status == "blocked":
        exception = wished.get((sellers["seller_id"][place], sellers["currency"][place]))
        for reason in blocked_by.split(", "):
            yield _Found(
                reason if reason in REASONS else "blocked",
                BLOCK_REASONS.get(reason, reason),
                payable,
                f"weekclose exception approve {exception} --reason ''"
                if reason == "exception_pending" and exception
                else "",
            )
    if status in ("failed", "returned"):
        why = sellers["failure_reason"][place]
        yield _Found(status, f"{REASONS[status].lower()}{f': {why}' if why else ''}", payable)
    if carry_out < 0:
        yield _Found("negative", "the seller owes: nothing is payable, the debt passes on", carry_out)
    if sellers["needs_review"][place] and "manual_review" not in blocked_by:
        asked = sellers["review_reasons"][place].split(", ")
        words = ", ".join(REVIEW_REASONS.get(reason, reason.replace("_", " ")) for reason in asked)
        yield _Found("flagged", f"{words or 'the health asks for a look'}; it does not block", payable)


def _of_controls(rows: Sequence[Row]) -> Iterator[tuple[Row, _Found]]:
    for row in rows:
        number, amount = row["payout_number"], f"{row['amount'] / 100:,.2f}"
        if row["status"] == "reversed":
            why = row["reason"].replace("_", " ")
            text = f"payout {number} is reversed ({why}): {row['adjustment_number']} follows from it"
            yield row, _Found("reversed", text, row["amount"])
        elif row["status"] == "submitted":
            command = (
                f"weekclose execute {number} --reference '' --amount {row['amount'] / 100:.2f} --proof FILE"
            )
            yield row, _Found("by_hand", "no rail pays it, a person does", row["amount"], command)
        else:
            left = (
                "nothing shows that it left"
                if row["executed"] is None
                else f"{row['executed'] / 100:,.2f} left"
            )
            text = f"{left}, {amount} was promised: a person accepts it, or has it paid again (retry)"
            command = f"weekclose resolve {number} accept --note ''"
            yield row, _Found("awaiting_reconciliation", text, row["amount"], command)


def _of_late(rows: Sequence[Row]) -> Iterator[tuple[Row, _Found]]:
    for row in rows:
        what = "a line" if row["lines"] == 1 else f"{row['lines']:,} lines"
        yield row, _Found("late", f"{what} of an earlier window arrived after its freeze", row["amount"])


def _of_came_back(rows: Sequence[Row]) -> Iterator[tuple[Row, _Found]]:
    for row in rows:
        why = f" ({row['failure_reason']})" if row["failure_reason"] else ""
        text = f"payout {row['payout_number']} of last week {row['status']}{why}: its money is in this window"
        yield row, _Found("came_back", text, row["amount"])


def _of_breaks(rows: Sequence[Row]) -> Iterator[tuple[Row, _Found]]:
    for row in rows:
        words = BREAKS.get(row["break_type"], "is {actual} here, another record says {expected}")
        amounts = {name: f"{row[name] / 100:,.2f}" for name in ("actual", "expected")}
        reason = "restated" if row["break_type"] == "restatement" else "break"
        yield row, _Found(reason, f"{row['entity']} {words.format(**amounts)}", row["difference"])


def _told(sellers: Columns, place: int, reasons: list[_Found]) -> dict[str, Any]:
    order = list(REASONS)
    reasons.sort(key=lambda found: order.index(found.reason))
    return {
        "row": place,
        "reason": reasons[0].reason,
        "reasons": list(dict.fromkeys(found.reason for found in reasons)),
        "text": "; ".join(found.text for found in reasons),
        "amount": reasons[0].amount,
        "command": next((found.command for found in reasons if found.command), ""),
    } | {name: sellers[name][place] for name in ("seller_id", "name", "currency", "status", "payout_number")}


def _told_elsewhere(row: Row, reason: _Found) -> dict[str, Any]:
    """Of a seller who has no row in this window."""
    return {
        "row": None,
        "seller_id": row["seller_id"],
        "name": "",
        "currency": row["currency"],
        "reason": reason.reason,
        "reasons": [reason.reason],
        "text": reason.text,
        "amount": reason.amount,
        "command": reason.command,
        "status": row.get("status", ""),
        "payout_number": row.get("payout_number"),
    }


def _counted(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    counts: dict[str, int] = {}
    for row in rows:
        for reason in row["reasons"]:
            counts[reason] = counts.get(reason, 0) + 1
    return [
        {"key": reason, "label": label, "count": counts[reason]}
        for reason, label in REASONS.items()
        if reason in counts
    ]

"""The seller's receipt for a window: it visibly adds up, or it is not printed."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from psycopg import Connection

from weekclose.errors import WeekcloseError
from weekclose.export import CsvFile
from weekclose.rails.protocol import BY_HAND
from weekclose.reading import (
    ZERO,
    Calendar,
    Row,
    Seller,
    calendar,
    cash,
    column_of_sums,
    parse_window,
    read,
    seller_rows,
    shown,
    state_in_words,
)

LONGEST_DESCRIPTION = 120

AMOUNTS = ("gross", "fees", "refunds", "disputes", "adjustments")
TAKEN = ("fees", "refunds", "disputes")

DESCRIPTIONS = {
    "sale": "Order",
    "refund": "Refund {source}",
    "dispute_opened": "Dispute {source} opened, held back",
    "dispute_closed": "Dispute {source} closed, released",
    "adjustment": "Adjustment: {reason}",
}


@dataclass(frozen=True)
class Entry:
    """One event of an order, or an adjustment, as the seller sees it: what he gets is positive, what he gives
    is negative."""

    date: date
    kind: str
    order_id: str | None
    source_id: str
    description: str
    gross: Decimal
    fees: Decimal
    refunds: Decimal
    disputes: Decimal
    adjustments: Decimal
    amount: Decimal


@dataclass(frozen=True)
class Balances:
    """What a seller has by now, as of the last build: held back, and due, which are never one number."""

    pending: Decimal
    available: Decimal
    in_transit: Decimal
    reserve_closes_at: datetime | None


@dataclass(frozen=True)
class Execution:
    """A transfer that really left for the payout."""

    external_reference: str
    amount: Decimal
    executed_at: datetime


@dataclass(frozen=True)
class OffCycle:
    """A payout on request, between this window's freeze and the next: it lowers the next opening balance.

    It has its status since `status_changed_at`, an instant in UTC.
    """

    request_number: str
    payout_number: str
    amount: Decimal
    status: str
    status_changed_at: datetime
    external_reference: str | None


@dataclass(frozen=True)
class Obligation:
    """What the seller still owes (negative) or is owed beside his sales, by now, and how it will be settled.

    `open_amount` is what of `amount` is not settled yet; both are signed. The reason is for the seller; the
    note, and who did what, are not.
    """

    adjustment_number: str
    reason: str
    amount: Decimal
    open_amount: Decimal
    how: str


@dataclass(frozen=True)
class Statement:
    """A seller's window in one currency; `opening` plus the entries is `payout` plus `closing`.

    Dates are days in the settlement time zone, `last_day` is the window's seventh. A window before
    settlement began was paid elsewhere: its payout is what its entries add up to, without a number.
    `external_reference` is the rail's name for the payment, as it stands in the seller's own books;
    `came_back_at` is when a payout failed or was returned, `reversed_at` when it turned out to be wrong, and
    `followed_by` names the adjustments that are because of it. `executions` are what really left,
    `off_cycle` what was paid before the next window, `obligations` what is open beside the sales by now.
    """

    seller_id: str
    display_name: str
    payout_window: date
    last_day: date
    currency: str
    status: str
    explanation: str
    payout_number: str | None
    rail: str | None
    destination: str
    external_reference: str | None
    failure_reason: str | None
    submitted_at: datetime | None
    paid_at: datetime | None
    came_back_at: datetime | None
    reversed_at: datetime | None
    executions: list[Execution]
    followed_by: list[str]
    dispute_window_closes_at: datetime
    opening: Decimal
    entries: list[Entry]
    totals: dict[str, Decimal]
    payout: Decimal
    closing: Decimal
    off_cycle: list[OffCycle]
    balances: Balances
    obligations: list[Obligation]
    as_of: datetime

    @property
    def way(self) -> str:
        """The rail as a seller knows it; empty without one."""
        return "hand" if self.rail == BY_HAND else self.rail or ""

    @property
    def columns(self) -> list[str]:
        """The amounts that its entries have: adjustments only where there are some."""
        return [
            name
            for name in AMOUNTS
            if name != "adjustments" or any(entry.adjustments for entry in self.entries)
        ]

    @property
    def paid_otherwise(self) -> list[Execution]:
        """The executions, when what left is not what the payout promised."""
        promised = [each.amount == self.payout for each in self.executions]
        return [] if promised in ([], [True]) else self.executions


def statements(conn: Connection[Any], seller_id: str, text: str) -> list[Statement]:
    """The receipts of a seller for the window in `text`, one for each currency.

    Runs in the caller's snapshot. Raises UsageError when `text` is no window or the seller is not known,
    NothingToDo when there is no row, WeekcloseError when one does not add up: then there is none.
    """
    dates = calendar(conn)
    window = parse_window(text, dates)
    seller, rows = seller_rows(conn, seller_id, window)
    lines = read(conn, "statement_lines", seller=seller.seller_id, window=window)
    payouts = read(conn, "statement_payouts", seller=seller.seller_id, window=window)
    requested = read(conn, "statement_off_cycle", seller=seller.seller_id, window=window)
    balances, adjustments, executions = (
        read(conn, f"statement_{name}", seller=seller.seller_id)
        for name in ("balances", "adjustments", "executions")
    )
    made = [
        _statement(
            row,
            seller,
            dates,
            [line for line in lines if line["currency"] == row["currency"]],
            _of_currency(payouts, row),
            [paid for paid in requested if paid["currency"] == row["currency"]],
            _of_currency(balances, row),
            [owed for owed in adjustments if owed["currency"] == row["currency"]],
            [done for done in executions if done["payout_number"] == row["payout_number"]],
        )
        for row in rows
    ]
    for each, row in zip(made, rows, strict=True):
        _check(each, row)
    return made


def _of_currency(found: Sequence[Row], row: Row) -> Row:
    return next((each for each in found if each["currency"] == row["currency"]), {})


def _statement(
    row: Row,
    seller: Seller,
    dates: Calendar,
    lines: Sequence[Row],
    payout: Row,
    requested: Sequence[Row],
    balances: Row,
    adjustments: Sequence[Row],
    executions: Sequence[Row],
) -> Statement:
    reasons = {owed["adjustment_number"]: owed["reason"] for owed in adjustments}
    entries = [_entry(line, reasons, dates) for line in lines]
    is_history = row["status"] == "before_start"
    row = row | {"failure_reason": payout.get("failure_reason")}
    return Statement(
        seller_id=seller.seller_id,
        display_name=seller.display_name,
        payout_window=row["payout_window"],
        last_day=row["payout_window"] + timedelta(days=6),
        currency=row["currency"],
        status=row["status"],
        explanation=state_in_words(row),
        payout_number=row["payout_number"],
        rail=row["rail"],
        destination=_shortened(payout.get("destination") or ""),
        external_reference=payout.get("external_reference"),
        failure_reason=row["failure_reason"],
        submitted_at=payout.get("submitted_at"),
        paid_at=payout.get("paid_at"),
        came_back_at=payout.get("came_back_at"),
        reversed_at=payout.get("reversed_at"),
        executions=[
            Execution(done["external_reference"], done["amount"], done["executed_at"]) for done in executions
        ],
        followed_by=[
            owed["adjustment_number"]
            for owed in adjustments
            if row["payout_number"] and owed["source_id"] == row["payout_number"]
        ],
        dispute_window_closes_at=row["reserve_closes_at"],
        opening=row["carry_in"],
        entries=entries,
        totals={
            name: sum((getattr(entry, name) for entry in entries), ZERO) for name in (*AMOUNTS, "amount")
        },
        payout=cash(row) if is_history else row["payable"],
        closing=row["carry_out"],
        off_cycle=[
            OffCycle(**{name: paid[name] for name in OffCycle.__dataclass_fields__}) for paid in requested
        ],
        balances=Balances(
            pending=balances.get("pending_balance", ZERO),
            available=balances.get("available_balance", ZERO),
            in_transit=balances.get("in_transit", ZERO),
            reserve_closes_at=balances.get("reserve_closes_at"),
        ),
        obligations=[_obligation(owed) for owed in adjustments if owed["status"] != "settled"],
        as_of=dates.as_of,
    )


def _obligation(owed: Row) -> Obligation:
    sign = 1 if owed["direction"] == "credit" else -1
    if owed["is_undecided"]:
        how = "is being looked at"
    elif owed["payout_window"]:
        how = f"in your balance since {owed['payout_window']}; your sales settle it"
    elif owed["class"] == "gross_invoice_fee":
        how = f"to be paid by invoice {owed['invoice_reference']}"
    elif owed["class"] == "manual_cash_recovery":
        how = "to be sent back by you"
    elif owed["not_before"]:
        how = f"enters your balance with the window of {owed['not_before']}"
    else:
        how = "enters your balance with the next window that closes"
    return Obligation(
        adjustment_number=owed["adjustment_number"],
        reason=owed["reason"],
        amount=sign * owed["amount"],
        open_amount=sign * (owed["amount"] - owed["settled_amount"]),
        how=how,
    )


def _entry(line: Row, reasons: Mapping[str, str], dates: Calendar) -> Entry:
    source = line["line_id"].partition(":")[2]
    description = DESCRIPTIONS.get(line["kind"], "{source}").format(
        source=source, reason=reasons.get(source, source)
    )
    if line["kind"] == "refund" and line["disputes"]:
        description += ", held back less for the dispute"
    if line["is_late"]:
        description += " (arrived late)"
    return Entry(
        date=dates.day(line["event_at"]),
        kind=line["kind"],
        order_id=line["order_id"],
        source_id=source,
        description=description,
        amount=cash(line),
        **_to_the_seller(line),
    )


def _to_the_seller(amounts: Row) -> dict[str, Decimal]:
    return {name: -amounts[name] if name in TAKEN else amounts[name] for name in AMOUNTS}


def _shortened(destination: str) -> str:
    """Enough of a wallet address to recognise it."""
    return destination if len(destination) <= 12 else f"{destination[:6]}...{destination[-4:]}"


def _check(made: Statement, row: Row) -> None:
    """Raise WeekcloseError when the entries are not the row's, or the sums do not meet."""
    differences = {name: made.totals[name] - amount for name, amount in _to_the_seller(row).items()}
    differences["opening + entries - payout - carried forward"] = (
        made.opening + made.totals["amount"] - made.payout - made.closing
    )
    wrong = ", ".join(f"{name} by {amount:,}" for name, amount in differences.items() if amount)
    if wrong:
        raise WeekcloseError(
            f"the statement of seller {shown(made.seller_id)}, window {made.payout_window}, {made.currency} "
            f"does not add up ({wrong}): a build goes on or was interrupted, run weekclose sunday"
        )


# -- how it is shown --------------------------------------------------------------------------------


def receipt(made: Statement, dates: Calendar) -> list[str]:
    """The statement as text lines, safe for a terminal."""
    return [
        *_heading(made, dates),
        "",
        *_entries_table(made),
        "",
        *_settlement(made),
        *_off_cycle(made, dates),
        "",
        *_balances(made, dates),
        *_obligations(made),
    ]


def _heading(made: Statement, dates: Calendar) -> Iterator[str]:
    yield f"Statement for {made.payout_window} to {made.last_day}, days in {dates.zone.key}"
    name = f" ({shown(made.display_name)})" if made.display_name else ""
    way = " to ".join(part for part in (made.way, shown(made.destination)) if part)
    came_back = "Returned" if made.status == "returned" else "Failed"
    left = (
        f"{each.amount:,} {made.currency} on {dates.local(each.executed_at)}, reference "
        f"{shown(each.external_reference)}"
        for each in made.paid_otherwise
    )
    for label, value in (
        ("Seller", shown(made.seller_id) + name),
        ("Currency", made.currency),
        ("Status", made.explanation),
        ("Payout", made.payout_number and f"{made.payout_number}, {made.payout:,} {made.currency} by {way}"),
        ("Submitted", made.submitted_at and dates.local(made.submitted_at)),
        ("Paid", made.paid_at and dates.local(made.paid_at)),
        (came_back, made.came_back_at and dates.local(made.came_back_at)),
        ("Reversed", made.reversed_at and dates.local(made.reversed_at)),
        ("Reference", made.external_reference and shown(made.external_reference)),
        *(("Left", each) for each in left),
        ("Follows", ", ".join(made.followed_by)),
        ("Disputes", _dispute_window(made, dates)),
    ):
        if value:
            yield f"{label:<10} {value}"


def _dispute_window(made: Statement, dates: Calendar) -> str:
    closes = dates.local(made.dispute_window_closes_at)
    if made.dispute_window_closes_at > made.as_of:
        return f"the dispute window is open until {closes}; until then this statement may change"
    return f"the dispute window closed {closes}; what came later is in a later statement"


def _entries_table(made: Statement) -> list[str]:
    """A table whose rows add up across and whose columns add up down; a zero is left empty."""
    if not made.entries:
        return ["Nothing happened in this window."]
    columns = made.columns
    header = ["date", "order", "description", *columns, "amount"]
    body = [
        [
            str(entry.date),
            shown(entry.order_id or entry.source_id),
            shown(entry.description, LONGEST_DESCRIPTION),
        ]
        + [f"{getattr(entry, name):,}" if getattr(entry, name) else "" for name in columns]
        + [f"{entry.amount:,}"]
        for entry in made.entries
    ]
    total = ["", "", "Total", *(f"{made.totals[name]:,}" for name in (*columns, "amount"))]
    widths = [max(map(len, cells)) for cells in zip(header, *body, total, strict=True)]
    return [
        "  ".join(
            text.ljust(width) if column < 3 else text.rjust(width)
            for column, (text, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in (header, *body, total)
    ]


def _settlement(made: Statement) -> list[str]:
    paid = f"Payout {made.payout_number}, {made.status.replace('_', ' ')}" if made.payout_number else "Payout"
    if made.status == "before_start":
        paid = "Settled elsewhere"
    return column_of_sums(
        [
            ("Opening balance", made.opening),
            ("+ orders", made.totals["gross"]),
            ("+ fees", made.totals["fees"]),
            ("+ refunds", made.totals["refunds"]),
            ("+ disputes", made.totals["disputes"]),
            ("+ adjustments", made.totals["adjustments"]),
            ("= balance", made.opening + made.totals["amount"]),
            (paid, made.payout),
            ("+ carried forward", made.closing),
            ("= balance", made.payout + made.closing),
        ]
    )


def _off_cycle(made: Statement, dates: Calendar) -> Iterator[str]:
    """What was paid on request before the next window begins."""
    if not made.off_cycle:
        return
    yield ""
    yield "Paid on request before the next window; what arrives lowers its opening balance"
    for paid in made.off_cycle:
        reference = f", reference {shown(paid.external_reference)}" if paid.external_reference else ""
        yield (
            f"  {paid.request_number}, payout {paid.payout_number}: {paid.amount:,}, "
            f"{paid.status.replace('_', ' ')} since {dates.local(paid.status_changed_at)}{reference}"
        )


def _balances(made: Statement, dates: Calendar) -> list[str]:
    held = made.balances
    until = f", held until {dates.local(held.reserve_closes_at)} and later" if held.reserve_closes_at else ""
    return [
        f"Your balances as of {dates.local(made.as_of)}",
        *column_of_sums(
            [
                (f"Pending{until}", held.pending),
                ("Available", held.available),
                ("On its way to you", held.in_transit),
            ]
        ),
    ]


def _obligations(made: Statement) -> Iterator[str]:
    """What of the adjustments is open by now."""
    if not made.obligations:
        return
    yield ""
    yield "Open obligations; what you owe is negative"
    for owed in made.obligations:
        of = "" if owed.open_amount == owed.amount else f" of {owed.amount:,}"
        yield (
            f"  {owed.adjustment_number}, {shown(owed.reason, LONGEST_DESCRIPTION)}: "
            f"{owed.open_amount:,}{of}, {shown(owed.how, LONGEST_DESCRIPTION)}"
        )


CSV_COLUMNS = (
    *("seller_id", "payout_window", "currency", "date", "kind", "order_id", "source_id", "description"),
    *("gross", "fees", "refunds", "disputes", "adjustments", "amount", "balance"),
    *("payout_number", "external_reference", "status", "failure_reason", "rail", "destination"),
    *("submitted_at", "paid_at", "came_back_at", "dispute_window_closes_at"),
    *("executed_amount", "executed_at", "reversed_at"),
)

PAYOUT_FACTS = (
    *CSV_COLUMNS[CSV_COLUMNS.index("payout_number") : CSV_COLUMNS.index("came_back_at") + 1],
    "reversed_at",
)


def write_csv(made: Sequence[Statement]) -> None:
    """Print the statements as CSV: the amounts of a currency add up to what is carried forward.

    One row per line: `opening`, each event by its kind, `payout`, `carried_forward`, then, without an amount,
    each `execution` of the payout, each `off_cycle` payout before the next window, the seller's balances by
    now: `pending`, `available`, `in_transit`, and each open `obligation`. Instants are UTC.
    """
    file = CsvFile(sys.stdout.buffer)
    file.write_row(CSV_COLUMNS)
    for each in made:
        for row in _csv_rows(each):
            named = {
                "seller_id": each.seller_id,
                "payout_window": each.payout_window,
                "currency": each.currency,
                "dispute_window_closes_at": each.dispute_window_closes_at,
            }
            file.write_row((named | row).get(column) for column in CSV_COLUMNS)


def _csv_rows(made: Statement) -> Iterator[dict[str, object]]:
    balance = made.opening
    yield {"date": made.payout_window, "kind": "opening", "amount": balance, "balance": balance}
    for entry in made.entries:
        balance += entry.amount
        yield asdict(entry) | {"balance": balance}
    balance -= made.payout
    yield {
        "kind": "payout",
        "description": made.explanation,
        "amount": -made.payout,
        "balance": balance,
    } | {name: getattr(made, name) for name in PAYOUT_FACTS}
    yield {"kind": "carried_forward", "balance": made.closing}
    for done in made.executions:
        yield {
            "kind": "execution",
            "payout_number": made.payout_number,
            "external_reference": done.external_reference,
            "executed_amount": done.amount,
            "executed_at": done.executed_at,
        }
    for paid in made.off_cycle:
        yield {
            "kind": "off_cycle",
            "source_id": paid.request_number,
            "payout_number": paid.payout_number,
            "external_reference": paid.external_reference,
            "status": paid.status,
            "executed_amount": paid.amount,
            "executed_at": paid.status_changed_at,
        }
    yield {"kind": "pending", "balance": made.balances.pending}
    yield {"kind": "available", "balance": made.balances.available}
    yield {"kind": "in_transit", "balance": made.balances.in_transit}
    for owed in made.obligations:
        yield {
            "kind": "obligation",
            "source_id": owed.adjustment_number,
            "description": f"{owed.reason}; {owed.how}",
            "balance": owed.open_amount,
        }

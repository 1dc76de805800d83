"""What happens on the sample marketplace, and the weekly files in which a platform would deliver it.

Every instant is an aware datetime in UTC. `arrives_at` is when a platform would have sent the row: a week's
folder holds what arrived since the last one, with a row that changed since coming once more as it is now.
"""

import csv
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import NamedTuple

COLUMNS = {
    "sellers": (
        *("seller_id", "display_name", "seller_type", "region", "preferred_rail", "wallet_address"),
        *("wallet_changed_at", "settlement_currency", "status", "created_at"),
    ),
    "orders": ("order_id", "seller_id", "currency", "gross_amount", "fee_amount", "status", "captured_at"),
    "refunds": ("refund_id", "order_id", "amount", "fee_refund_amount", "refunded_at"),
    "disputes": ("dispute_id", "order_id", "amount", "reason", "status", "opened_at", "closed_at"),
}


def cents(amount: Decimal) -> Decimal:
    """The amount in whole cents, half a cent away from zero."""
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


def platform_fee(gross: Decimal) -> Decimal:
    """The platform keeps 10 % of the price."""
    return cents(gross / 10)


@dataclass(frozen=True, slots=True)
class Account:
    """What of a seller changes, from `arrives_at` until his next one."""

    arrives_at: datetime
    wallet_address: str
    wallet_changed_at: datetime | None = None
    status: str = "active"


@dataclass(frozen=True, slots=True)
class Seller:
    """A seller and his accounts, oldest first; an empty text is null in the file."""

    seller_id: str
    display_name: str
    region: str
    created_at: datetime
    accounts: tuple[Account, ...]
    seller_type: str = "merchant"
    preferred_rail: str = ""
    settlement_currency: str = "USD"


class OrderState(NamedTuple):
    """How an order stood from `arrives_at` until its next state."""

    arrives_at: datetime
    status: str
    captured_at: datetime | None


@dataclass(slots=True)
class Refund:
    """Money back to a buyer. Without an id it gets the next number on writing."""

    amount: Decimal
    fee_refund: Decimal
    refunded_at: datetime
    arrives_at: datetime
    refund_id: str = ""


@dataclass(slots=True)
class Dispute:
    """A buyer's claim; never closed without `closed_at`. Without an id it gets the next number on writing."""

    amount: Decimal
    reason: str
    opened_at: datetime
    arrives_at: datetime
    closed_as: str = ""
    closed_at: datetime | None = None
    dispute_id: str = ""


@dataclass(slots=True)
class Order:
    """One seller's part of a checkout and what comes of it; without states the order itself never arrives.

    Without an id it gets the next number on writing.
    """

    seller_id: str
    currency: str
    gross: Decimal
    placed_at: datetime
    states: Sequence[OrderState]
    refunds: Sequence[Refund] = ()
    disputes: Sequence[Dispute] = ()
    order_id: str = ""


class Version(NamedTuple):
    """One state of a raw row, as text, its key first."""

    arrives_at: datetime
    values: tuple[str, ...]


def write_week_folders(
    folders: Sequence[Path], cutoffs: Sequence[datetime], sellers: Iterable[Seller], orders: Sequence[Order]
) -> None:
    """Write into each folder what arrived until its cutoff and after the one before, in order of arrival."""
    _number(orders)
    feeds = {
        "sellers": _seller_versions(sellers),
        "orders": _order_versions(orders),
        "refunds": _refund_versions(orders),
        "disputes": _dispute_versions(orders),
    }
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    for table, versions in feeds.items():
        weeks: list[dict[str, tuple[str, ...]]] = [{} for _ in folders]
        for version in sorted(versions, key=lambda version: version.arrives_at):
            week = bisect_left(cutoffs, version.arrives_at)
            if week < len(weeks):
                weeks[week][version.values[0]] = version.values
        for folder, rows in zip(folders, weeks, strict=True):
            with (folder / f"{table}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(COLUMNS[table])
                writer.writerows(rows.values())


def _number(orders: Sequence[Order]) -> None:
    """Give ids to what has none, each kind numbered as it happened."""
    for number, order in enumerate(sorted(orders, key=lambda order: order.placed_at), start=1):
        order.order_id = order.order_id or f"ord_{number:010}"
    refunds = [refund for order in orders for refund in order.refunds]
    for number, refund in enumerate(sorted(refunds, key=lambda refund: refund.refunded_at), start=1):
        refund.refund_id = refund.refund_id or f"rf_{number}"
    disputes = [dispute for order in orders for dispute in order.disputes]
    for number, dispute in enumerate(sorted(disputes, key=lambda dispute: dispute.opened_at), start=1):
        dispute.dispute_id = dispute.dispute_id or f"dp_{number}"


def _seller_versions(sellers: Iterable[Seller]) -> Iterator[Version]:
    for seller in sellers:
        for account in seller.accounts:
            values = (
                seller.seller_id,
                seller.display_name,
                seller.seller_type,
                seller.region,
                seller.preferred_rail,
                account.wallet_address,
                _instant(account.wallet_changed_at),
                seller.settlement_currency,
                account.status,
                _instant(seller.created_at),
            )
            yield Version(account.arrives_at, values)


def _order_versions(orders: Iterable[Order]) -> Iterator[Version]:
    for order in orders:
        placed = (
            *(order.order_id, order.seller_id, order.currency),
            *(str(order.gross), str(platform_fee(order.gross))),
        )
        for state in order.states:
            yield Version(state.arrives_at, (*placed, state.status, _instant(state.captured_at)))


def _refund_versions(orders: Iterable[Order]) -> Iterator[Version]:
    for order in orders:
        for refund in order.refunds:
            amounts = (str(refund.amount), str(refund.fee_refund))
            values = (refund.refund_id, order.order_id, *amounts, _instant(refund.refunded_at))
            yield Version(refund.arrives_at, values)


def _dispute_versions(orders: Iterable[Order]) -> Iterator[Version]:
    for order in orders:
        for dispute in order.disputes:
            claim = (dispute.dispute_id, order.order_id, str(dispute.amount), dispute.reason)
            opened = _instant(dispute.opened_at)
            yield Version(dispute.arrives_at, (*claim, "open", opened, ""))
            if dispute.closed_at:
                # The news of the end is never older than the news of the beginning.
                closed = max(dispute.closed_at, dispute.arrives_at)
                yield Version(closed, (*claim, dispute.closed_as, opened, _instant(dispute.closed_at)))


def _instant(moment: datetime | None) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z") if moment else ""

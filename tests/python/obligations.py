"""What a seller owes or is owed beside his sales: a part of the second reading of the rules.

An adjustment is a value; what becomes of it is a new one. Money is Decimal, windows are dates.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

ZERO = Decimal("0.00")
CREDIT, DEDUCTION = "carry_forward_credit", "carry_forward_deduction"
INVOICE, RECOVERY = "gross_invoice_fee", "manual_cash_recovery"
# These follow from money that has left: they are in the ledger before anybody approves what becomes of them.
HAPPENED = ("mismatch", "reversal")

Party = tuple[str, str]


@dataclass(frozen=True)
class Wish:
    """What somebody wants instead of what the policy does; one of the others says to what."""

    kind: Literal["apply", "skip", "defer", "amount", "out_of_scope"]
    amount: Decimal | None = None
    window: date | None = None
    seller_id: str | None = None


@dataclass(frozen=True)
class Adjustment:
    """`wish` is the exception that is open; `settled` what earnings have covered of it, by window."""

    number: str
    seller_id: str
    currency: str
    of_class: str
    amount: Decimal
    source: str
    source_id: str | None
    mode: str
    status: str
    applied_amount: Decimal
    applied_to: str
    not_before: date | None = None
    payout_window: date | None = None
    wish: Wish | None = None
    settled: tuple[tuple[date, Decimal], ...] = ()

    @property
    def is_line(self) -> bool:
        return self.of_class in (CREDIT, DEDUCTION)

    @property
    def sign(self) -> int:
        return 1 if self.of_class == CREDIT else -1

    @property
    def signed(self) -> Decimal:
        """Positive to the seller."""
        return self.sign * self.applied_amount

    @property
    def unsettled(self) -> Decimal:
        return self.applied_amount - sum((amount for _, amount in self.settled), ZERO)

    @property
    def concerns(self) -> set[Party]:
        """Whose money waits while the wish is open."""
        sellers = {self.seller_id, self.applied_to, self.wish.seller_id if self.wish else None}
        return {(seller_id, self.currency) for seller_id in sellers if seller_id}

    def enters(self, window: date) -> bool:
        """Whether it is a line of this window, if that is the next one to be frozen."""
        return (
            self.is_line
            and self.status == "approved"
            and self.wish is None
            and (self.not_before is None or self.not_before <= window)
        )

    def bookings(self) -> dict[str, Decimal]:
        """What it has moved by now on its own seller's accounts; a frozen line is booked with its row."""
        if self.source == "dispute":
            # The debt stood in the balance: so does what came for it.
            came = self.applied_amount if self.status == "settled" else ZERO
            return {"seller_payable": came, "cash_recovered": -came}
        is_dropped = self.status == "cancelled"
        is_known = self.source in HAPPENED or self.status not in ("proposed", "cancelled")
        left = ZERO if is_dropped else self.signed
        moved = {"seller_obligations": left if is_known else ZERO}
        if self.source in HAPPENED:
            moved["payout_corrections"] = -self.sign * self.amount
            moved["write_offs"] = self.sign * self.amount - left
        elif is_known:
            moved["platform_fees" if self.of_class == INVOICE else "sales_clearing"] = -left
        if self.payout_window is not None:
            moved["seller_obligations"] -= left
        elif self.status == "settled":
            moved["seller_obligations"] -= left
            moved["cash_recovered"] = left
        return moved


def settle_oldest_first(debts: list[Adjustment], below_zero: Decimal) -> dict[str, Decimal]:
    """What of a seller's open debts is covered when his balance stands this far below zero."""
    left = max(ZERO, sum((debt.unsettled for debt in debts), ZERO) - below_zero)
    covered = {}
    for debt in sorted(debts, key=lambda debt: debt.number):
        covered[debt.number] = min(debt.unsettled, left)
        left -= covered[debt.number]
    return {number: amount for number, amount in covered.items() if amount}

"""The sample's scripted incidents: one seller each, readable ids, to be seen in the last frozen window.

Days are counted from that window's first day: it runs from day 0 to day 6, its reserve to the end of day 13,
and it is frozen on day 14, the sample's last Sunday. The window before is frozen on day 7.

The last six have the sellers whom the demo pays otherwise than was promised, or later. They are to be seen in
the window before, as the last one has more sellers than usual already.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from weekclose.addresses import sample_destination
from weekclose.sample_feed import Account, Dispute, Order, OrderState, Refund, Seller, platform_fee

# The oldest scripted order is captured on day -19, in the sample's first or second window.
LEAST_WEEKS = 6
ARRIVAL = timedelta(minutes=5)
DEFAULT_RAILS = {"APAC": "TRC-20", "NA": "ERC-20", "EU": "ERC-20", "LATAM": "TRC-20"}


@dataclass(frozen=True)
class Incident:
    """Something remarkable, where it is, and the settlement window that shows it.

    `seller_id` is None where the point is that there is no seller.
    """

    name: str
    window: date
    seller_id: str | None
    order_ids: tuple[str, ...]
    what: str


@dataclass
class Script:
    """All incidents of a sample, with the sellers and orders they need."""

    sellers: list[Seller] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)


def scripted_incidents(last_sunday: date) -> Script:
    """The incidents of a sample whose last folder is that of `last_sunday`."""
    script = Script()
    for name, tell in STORIES.items():
        story = _Story(name, last_sunday - timedelta(days=14))
        what = tell(story)
        seller_id = story.sellers[0].seller_id if story.sellers else None
        order_ids = tuple(order.order_id for order in story.orders)
        shown = story.window_on(story.shown_on)
        script.incidents.append(Incident(name.replace("_", " "), shown, seller_id, order_ids, what))
        script.sellers += story.sellers
        script.orders += story.orders
    return script


@dataclass
class _Story:
    """One incident in the making; ids are made of its name."""

    name: str
    window: date
    # Where the window begins that shows it, in days as above.
    shown_on: int = 0
    sellers: list[Seller] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)

    def at(self, day: int, clock: str = "12:00:00") -> datetime:
        return datetime.combine(self.window + timedelta(days=day), time.fromisoformat(clock), UTC)

    def window_on(self, day: int) -> date:
        """First day of the window that began `day` days after the story's."""
        return self.window + timedelta(days=day)

    def seller(
        self,
        display_name: str,
        *,
        region: str = "NA",
        currency: str = "USD",
        seller_type: str = "merchant",
        preferred_rail: str = "",
        destination: str = "",
        later: Sequence[Account] = (),
    ) -> None:
        seller_id = f"sel_{self.name}"
        created_at = self.at(-400, "09:00:00")
        account = Account(created_at + ARRIVAL, destination or self.wallet(region))
        self.sellers.append(
            Seller(
                seller_id=seller_id,
                display_name=display_name,
                region=region,
                created_at=created_at,
                accounts=(account, *later),
                seller_type=seller_type,
                preferred_rail=preferred_rail,
                settlement_currency=currency,
            )
        )

    def wallet(self, region: str = "NA", version: int = 1) -> str:
        return sample_destination(DEFAULT_RAILS[region], f"{self.name}/{version}".encode())

    def order(
        self,
        gross: str,
        captured_at: datetime,
        *,
        arrives_at: datetime | None = None,
        currency: str = "USD",
        refund: Refund | None = None,
        dispute: Dispute | None = None,
    ) -> None:
        number = len(self.orders) + 1
        if refund:
            refund.refund_id = f"rf_{self.name}_{number}"
        if dispute:
            dispute.dispute_id = f"dp_{self.name}_{number}"
        self.orders.append(
            Order(
                seller_id=self.sellers[0].seller_id if self.sellers else "",
                currency=currency,
                gross=Decimal(gross),
                placed_at=captured_at,
                states=(OrderState(arrives_at or captured_at + ARRIVAL, "fulfilled", captured_at),),
                refunds=(refund,) if refund else (),
                disputes=(dispute,) if dispute else (),
                order_id=f"ord_{self.name}_{number}",
            )
        )


def _refund(amount: str, refunded_at: datetime, fee_refund: Decimal | None = None) -> Refund:
    fee = platform_fee(Decimal(amount)) if fee_refund is None else fee_refund
    return Refund(Decimal(amount), fee, refunded_at, refunded_at + ARRIVAL)


def _dispute(amount: str, reason: str, opened_at: datetime) -> Dispute:
    return Dispute(Decimal(amount), reason, opened_at, opened_at + ARRIVAL)


def _in_debt(story: _Story) -> str:
    story.seller("Overdrawn Outdoor")
    refunded_at = story.at(9, "10:20:00")
    story.order("2400.00", story.at(-19), refund=_refund("2400.00", refunded_at))
    story.order("60.00", story.at(2))
    story.order("60.00", story.at(4))
    return (
        f"An order of 2400.00 from window {story.window_on(-21)} was refunded in full on "
        f"{refunded_at.date()}, when its money was long committed: window {story.window} nets -2052.00 "
        "and pays nothing."
    )


def _late_order(story: _Story) -> str:
    story.seller("Slow Post Stationery", region="EU")
    story.order("45.00", story.at(-4))
    arrives_at = story.at(9, "08:00:00")
    story.order("130.00", story.at(-3), arrives_at=arrives_at)
    story.order("70.00", story.at(3))
    return (
        f"{story.orders[1].order_id} of window {story.window_on(-7)} arrived on {arrives_at.date()}, "
        f"after that window was frozen: its line is in window {story.window}, marked as late."
    )


def _reserve_end(story: _Story) -> str:
    story.seller("Midnight Lamps", region="APAC")
    opened_at = story.at(7, "00:00:00")
    story.order("48.00", story.at(-3), dispute=_dispute("48.00", "not_as_described", opened_at))
    story.order("150.00", story.at(3))
    return (
        f"{story.orders[0].order_id} of window {story.window_on(-7)} was disputed at the instant its reserve "
        f"ended, {opened_at.date()} 00:00:00 UTC: 43.20 are clawed back in window {story.window}, "
        "not in its own."
    )


def _volume_spike(story: _Story) -> str:
    story.seller("Overnight Success Sneakers")
    for day in (1, 3, 4):
        story.order("64.00", story.at(day))
    for number in range(32):
        story.order(
            f"{189 + number % 5 * 5}.00", story.at(7 + number // 5, f"0{number % 5 + 1}:{number + 10}:00")
        )
    return (
        f"After three orders in window {story.window} came 32 worth 6353.00 in the next: "
        "more than five times a calm week, so a person looks before the window is paid."
    )


def _dispute_spike(story: _Story) -> str:
    story.seller("Broken Promise Phones", region="APAC")
    for number in range(16):
        opened_at = story.at(8 + number // 4, "15:45:00")
        dispute = _dispute("75.00", "not_received", opened_at) if number % 4 == 0 else None
        story.order("75.00", story.at(number % 6, f"{8 + number // 2:02}:30:00"), dispute=dispute)
    return (
        f"Four of 16 orders of window {story.window} were disputed within four days: "
        "the health score falls and a person looks before the window is paid."
    )


def _new_wallet(story: _Story) -> str:
    changed_at = story.at(13, "14:05:00")
    wallet = story.wallet(version=2)
    story.seller("Fresh Wallet Fabrics", later=(Account(changed_at + ARRIVAL, wallet, changed_at),))
    story.order("210.00", story.at(2))
    return (
        f"The wallet was changed on {changed_at:%Y-%m-%d}, the day before window {story.window} is frozen: "
        "too recently to be paid to."
    )


def _closed_with_money(story: _Story) -> str:
    closed_at = story.at(9, "17:00:00")
    later = (Account(closed_at, story.wallet("LATAM"), status="closed"),)
    story.seller("Last Day Liquidators", region="LATAM", later=later)
    story.order("320.00", story.at(2))
    return (
        f"The account was closed on {closed_at:%Y-%m-%d} with 288.00 to come from window {story.window}: "
        "the payout is blocked."
    )


def _under_floor(story: _Story) -> str:
    story.seller("Robin Sparrow, illustrator", region="EU", seller_type="freelancer")
    story.order("88.00", story.at(2))
    return (
        f"A freelancer earned 79.20 in window {story.window}, the first one, and 100.00 stay in every "
        "freelancer's balance: the money is carried forward."
    )


def _two_currencies(story: _Story) -> str:
    story.seller("Grenzenlos Gartenbedarf", region="EU", currency="EUR")
    story.order("95.00", story.at(1), currency="EUR")
    story.order("140.00", story.at(4), currency="USD")
    return (
        f"A seller who settles in EUR sold for USD in window {story.window}: the USD row is blocked, "
        "the EUR row is paid."
    )


def _refund_in_dispute(story: _Story) -> str:
    story.seller("Twice Shy Toys")
    dispute = _dispute("100.00", "not_as_described", story.at(5))
    dispute.closed_as, dispute.closed_at = "withdrawn", story.at(11)
    story.order("100.00", story.at(1), refund=_refund("100.00", story.at(9)), dispute=dispute)
    story.order("150.00", story.at(2))
    return (
        f"{story.orders[0].order_id} was disputed, then refunded while the dispute was open: the "
        f"refund frees the 90.00 clawed back, so that window {story.window} is not debited twice."
    )


def _no_seller(story: _Story) -> str:
    story.order("59.90", story.at(3))
    return f"{story.orders[0].order_id} names no seller: it is in no row, and listed as unsettled activity."


def _unknown_order(story: _Story) -> str:
    story.order("35.00", story.at(3), refund=_refund("35.00", story.at(8)))
    story.orders[0].states = ()
    return (
        f"rf_unknown_order_1 refunds {story.orders[0].order_id}, which never arrived: "
        "it is listed as unsettled activity."
    )


def _refund_too_big(story: _Story) -> str:
    story.seller("Generous Gifts", region="LATAM")
    story.order("50.00", story.at(1), refund=_refund("65.00", story.at(6), fee_refund=Decimal("5.00")))
    story.order("120.00", story.at(4))
    return (
        f"{story.orders[0].order_id} of 50.00 was refunded with 65.00: booked in window {story.window} "
        "as it stands, and listed as a break."
    )


def _hostile_name(story: _Story) -> str:
    story.seller("<script>alert(1)</script>")
    story.order("80.00", story.at(3))
    return "The display name is markup: a page has to show it as text."


def _formula_name(story: _Story) -> str:
    story.seller('=HYPERLINK("https://example.invalid","Click me")', region="EU")
    story.order("80.00", story.at(3))
    return "The display name is a spreadsheet formula: an export has to keep it from being one."


def _paid_too_much(story: _Story) -> str:
    story.seller("Windfall Woodwork", region="LATAM")
    story.order("300.00", story.at(-18))
    story.order("60.00", story.at(-12))
    story.order("150.00", story.at(-5))
    story.shown_on = -7
    return (
        f"Earned 270.00 in window {story.window_on(-21)}, then 54.00 and 135.00: 180.00 too much for the "
        f"first are more than the second earns, and are recovered by window {story.window_on(-7)}."
    )


def _reduced_deduction(story: _Story) -> str:
    story.seller("Second Look Linen", region="APAC")
    story.order("100.00", story.at(-12))
    story.order("80.00", story.at(-5))
    story.shown_on = -7
    return (
        f"Earned 90.00 in window {story.window_on(-14)}, then 72.00: what is deducted after the first "
        f"is part of window {story.window_on(-7)}."
    )


def _paid_by_hand(story: _Story) -> str:
    account = "DE00 0000 0000 0000 0000 00"
    story.seller(
        "Cash Desk Cutlery", region="EU", currency="EUR", preferred_rail="MANUAL", destination=account
    )
    story.order("190.00", story.at(-5), currency="EUR")
    story.shown_on = -7
    return f"The 171.00 of window {story.window_on(-7)} go to a bank account, on no rail."


def _paid_too_little(story: _Story) -> str:
    story.seller("Short Change Chairs")
    story.order("150.00", story.at(-12))
    story.order("60.00", story.at(-5))
    story.shown_on = -7
    return (
        f"Earned 135.00 in window {story.window_on(-14)}, then 54.00: what is missing of the first is paid "
        f"with window {story.window_on(-7)}."
    )


def _wrong_beneficiary(story: _Story) -> str:
    corrected_at = story.at(4, "09:00:00")
    later = (Account(corrected_at + ARRIVAL, story.wallet(version=2), corrected_at),)
    story.seller("Borrowed Name Bikes", later=later)
    story.order("90.00", story.at(-12))
    story.order("50.00", story.at(-5))
    story.shown_on = -7
    return (
        f"The wallet to which window {story.window_on(-14)} was paid was a stranger's, and corrected on "
        f"{corrected_at.date()}: its 81.00 are paid once more with window {story.window_on(-7)}."
    )


def _held_back(story: _Story) -> str:
    story.seller("Paper Trail Pens", region="APAC")
    story.order("50.00", story.at(-12))
    story.order("100.00", story.at(-5))
    story.shown_on = -7
    return (
        f"Of the 90.00 of window {story.window_on(-7)} a hold keeps 50.00. It is released early, and window "
        f"{story.window} pays them."
    )


STORIES = {
    "in_debt": _in_debt,
    "late_order": _late_order,
    "reserve_end": _reserve_end,
    "volume_spike": _volume_spike,
    "dispute_spike": _dispute_spike,
    "new_wallet": _new_wallet,
    "closed_with_money": _closed_with_money,
    "under_floor": _under_floor,
    "two_currencies": _two_currencies,
    "refund_in_dispute": _refund_in_dispute,
    "no_seller": _no_seller,
    "unknown_order": _unknown_order,
    "refund_too_big": _refund_too_big,
    "hostile_name": _hostile_name,
    "formula_name": _formula_name,
    "paid_too_much": _paid_too_much,
    "reduced_deduction": _reduced_deduction,
    "paid_by_hand": _paid_by_hand,
    "paid_too_little": _paid_too_little,
    "wrong_beneficiary": _wrong_beneficiary,
    "held_back": _held_back,
}

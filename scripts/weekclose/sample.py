"""A sample marketplace: the same plan gives the same files, byte for byte, on every machine and any day."""

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal, localcontext
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import TypeVar

from weekclose.addresses import sample_destination
from weekclose.errors import UsageError
from weekclose.sample_feed import (
    Account,
    Dispute,
    Order,
    OrderState,
    Refund,
    Seller,
    cents,
    platform_fee,
    write_week_folders,
)
from weekclose.sample_incidents import DEFAULT_RAILS, LEAST_WEEKS, Incident, Script, scripted_incidents

LAST_SUNDAY = date(2026, 11, 15)
# A folder holds what has arrived when its Sunday's run begins to load; the run speaks for an hour later.
CUTOFF = time(22, tzinfo=UTC)
AS_OF = time(23, tzinfo=UTC)

# Quantiles of a real marketplace; between them the logarithm is interpolated. Orders are those of 26 weeks.
PRICES = {
    **{"0": "4.00", "0.01": "10.00", "0.25": "39.90", "0.50": "74.98", "0.75": "135.90"},
    **{"0.95": "349.00", "0.99": "858.90", "1": "4500.00"},
}
ORDERS = {"0": "0.6", "0.25": "1", "0.50": "2", "0.75": "6", "0.90": "13", "0.99": "69", "1": "400"}
ORDERS_WEEKS = 26

# Monday to Sunday; hours of the seller's own day from midnight on.
WEEKDAYS = (17, 16, 16, 15, 14, 10, 12)
HOURS = (10, 5, 3, 2, 2, 3, 6, 12, 24, 40, 50, 54, 52, 50, 52, 54, 54, 50, 50, 54, 60, 62, 48, 26)
UTC_OFFSETS = {"APAC": 8, "NA": -6, "EU": 1, "LATAM": -3}
REGIONS = ("APAC",) * 7 + ("NA",) * 6 + ("EU",) * 5 + ("LATAM",) * 2

REFUNDED, DISPUTED = 0.042, 0.0066  # a little of either happens after the sample's end
REASONS = ("not_received", "not_received", "not_as_described", "fraudulent", "duplicate")
OUTCOMES = ("won",) * 7 + ("lost",) * 8 + ("withdrawn",) * 2 + ("",) * 3

# fmt: off
SHOP_FIRST = (
    "Amber", "Blue Door", "Bright", "Cedar", "Copper", "Corner", "Daily", "Fern", "Golden",
    "Harbour", "Hilltop", "Juniper", "Kite", "Lantern", "Little", "Maple", "Meadow", "North",
    "Oak & Ivy", "Old Town", "Paper", "Pine", "Quiet", "River", "Saffron", "Second", "Silver",
    "Stone", "Sunday", "Tidal", "Velvet", "Wild", "Ångström", "Bjørk", "Café", "Coração", "Łąka",
    "Müller", "Niño", "Çiçek", "Ōsaka", "Śnieg",
)
SHOP_SECOND = (
    "Audio", "Bakery Supplies", "Bikes", "Books", "Botanics", "Camera", "Candles", "Ceramics",
    "Coffee", "Denim", "Electronics", "Furniture", "Garden", "Goods", "Instruments", "Jewellery",
    "Kitchen", "Leather", "Lighting", "Outdoor", "Paper", "Parts", "Pets", "Posters", "Records",
    "Shoes", "Stationery", "Tea", "Textiles", "Tools", "Toys", "Watches", "Wool",
)
SHOP_LAST = (
    "", "", "", "", " Ltd", " & Co.", " GmbH", " Studio", ", Inc.", " Market", " Atelier", " 🧶",
)
SHOPS_ELSEWHERE = (
    "東京陶器店", "Кофейня «Заря»", "متجر النور", "서울문구", "Καφές Αθήνα", "बाज़ार घर",
    'O\'Brien "The Nook"',
)
PEOPLE_FIRST = (
    "Amara", "Bao", "Carmen", "Dmitri", "Elif", "Femi", "Gaëlle", "Hiro", "Inês", "Jonas", "Kavya",
    "Léa", "Mateo", "Noor", "Oksana", "Priya", "Rosa", "Søren", "Tomás", "Yara",
)
PEOPLE_LAST = (
    "Achebe", "Bianchi", "Costa", "Dubois", "Eriksen", "Fujimoto", "García", "Horvat", "Ivanova",
    "Jensen", "Kowalczyk", "Lindqvist", "Moreau", "Nguyễn", "Okafor", "Petrov", "Rahman", "Silva",
    "Tanaka", "Weber",
)
# fmt: on

_Choice = TypeVar("_Choice")


@dataclass(frozen=True)
class SamplePlan:
    """How many ordinary sellers, how many weeks, and the seed.

    The scripted incidents bring sellers of their own. Without `first_window`, a Sunday, the weeks end on
    15 November 2026. Raises UsageError for what is no plan.
    """

    sellers: int = 4000
    weeks: int = 26
    seed: int = 1
    first_window: date | None = None

    def __post_init__(self) -> None:
        if self.sellers < 0 or self.weeks < 1:
            raise UsageError(
                f"a sample needs 0 or more sellers and 1 or more weeks, not {self.sellers} and {self.weeks}"
            )
        if self.first_window and self.first_window.isoweekday() != 7:
            raise UsageError(f"a sample begins on a Sunday, and {self.first_window} is none")

    @property
    def begins_on(self) -> date:
        """First day of the first window."""
        return self.first_window or LAST_SUNDAY - timedelta(weeks=self.weeks)

    @property
    def sundays(self) -> tuple[date, ...]:
        """The Sunday after each window, oldest first."""
        return tuple(self.begins_on + timedelta(weeks=number) for number in range(1, self.weeks + 1))


@dataclass(frozen=True)
class Folder:
    """A week's files, ready for `weekclose load`, and the instant that its Sunday's run speaks for."""

    path: Path
    as_of: datetime


@dataclass(frozen=True)
class Sample:
    """What was written. `settlement_start` is the first window, so that no money is settled elsewhere."""

    folders: tuple[Folder, ...]
    settlement_start: date
    incidents: tuple[Incident, ...]


def write_sample(directory: Path, plan: SamplePlan) -> Sample:
    """Write one folder a Sunday, named for it, with what has arrived by 22:00 UTC since the Sunday before.

    A row that changed comes again in a later folder. Files of the same name are replaced, others are left
    alone: load the folders in the order given, not the directory. With six weeks or more there are scripted
    incidents, and all of them show in the last window that a run over these weeks freezes.
    """
    folders = tuple(
        Folder(directory / sunday.isoformat(), datetime.combine(sunday, AS_OF)) for sunday in plan.sundays
    )
    cutoffs = [datetime.combine(sunday, CUTOFF) for sunday in plan.sundays]
    # The caller's own decimal context must not change the files.
    with localcontext(Context(prec=16)):
        script = scripted_incidents(plan.sundays[-1]) if plan.weeks >= LEAST_WEEKS else Script()
        market = _Market(plan)
        for number in range(1, plan.sellers + 1):
            seller, sold = _ordinary_seller(market, number)
            script.sellers.append(seller)
            script.orders += sold
        write_week_folders([folder.path for folder in folders], cutoffs, script.sellers, script.orders)
    return Sample(folders, plan.begins_on, tuple(script.incidents))


class _Curve:
    """A quantile function through known points, straight on a log scale between them."""

    def __init__(self, points: dict[str, str]) -> None:
        self._shares = [float(share) for share in points]
        self._logs = [Decimal(value).ln() for value in points.values()]

    def at(self, share: float) -> Decimal:
        """The value below which `share`, in [0, 1], of all values lie."""
        left = bisect(self._shares, share, hi=len(self._shares) - 1) - 1
        (low, high), (start, end) = self._shares[left : left + 2], self._logs[left : left + 2]
        # A decimal's exp() is rounded the same on every processor, a float's is not.
        return (start + Decimal((share - low) / (high - low)) * (end - start)).exp()


class _Stream:
    """Random numbers of one seller alone, whom no other seller can then change.

    Stands on `Random.random` alone, the one sequence that Python promises to keep.
    """

    def __init__(self, *key: object) -> None:
        self.share = Random("/".join(map(str, key))).random  # noqa: S311

    def chance(self, probability: float) -> bool:
        return self.share() < probability

    def below(self, number: int) -> int:
        return int(self.share() * number)

    def pick(self, choices: Sequence[_Choice]) -> _Choice:
        return choices[self.below(len(choices))]

    def days(self, least: float, most: float) -> timedelta:
        """A span in whole seconds."""
        return timedelta(seconds=int((least + (most - least) * self.share()) * 86400))

    def soon(self, least: float, most: float) -> timedelta:
        """As `days`, with the short spans more likely."""
        share = self.share()
        return timedelta(seconds=int((least + (most - least) * share * share) * 86400))

    def transport(self) -> timedelta:
        """How long news takes to reach us: minutes; one in a hundred days, and now and then weeks."""
        delay = self.share()
        if delay < 0.0015:
            return self.days(10, 24)
        return self.days(1, 6) if delay < 0.01 else self.days(0.001, 0.06)


class _Market:
    """What all sellers of a plan share."""

    def __init__(self, plan: SamplePlan) -> None:
        self.plan = plan
        self.prices = _Curve(PRICES)
        self._orders = _Curve(ORDERS)
        self.begins_at = datetime.combine(plan.begins_on, time(tzinfo=UTC))
        # The last Sunday has sales of its own until its cutoff.
        self.day_count = plan.weeks * 7 + 1
        weekdays = [(self.begins_at + timedelta(days=day)).weekday() for day in range(self.day_count)]
        self._days = list(accumulate((WEEKDAYS[weekday] for weekday in weekdays), initial=0))
        self._hours = list(accumulate(HOURS, initial=0))
        stream = _Stream("market", plan.seed)
        self._offsets = (stream.share(), stream.share())

    def place(self, number: int) -> tuple[float, float]:
        """Where a seller stands in the distributions of size and of price.

        Evenly spread over the square (the R2 sequence) instead of drawn: a few large sellers sell much of
        everything, and by chance alone they would be cheap in one sample and dear in the next.
        """
        size, price = self._offsets
        return (size + number * 0.7548776662466927) % 1, (price + number * 0.5698402909980532) % 1

    def order_count(self, stream: _Stream, size: float) -> int:
        """Rounded up or down by chance: a short sample has as many sellers, more of them idle."""
        return int(float(self._orders.at(size)) * self.plan.weeks / ORDERS_WEEKS + stream.share())

    def moment(self, stream: _Stream, region: str, first_day: int, end_day: int) -> datetime:
        """When a buyer in the region orders, within [first_day, end_day) counted from the first window."""
        low, high = self._days[first_day], self._days[end_day]
        day = bisect(self._days, low + stream.share() * (high - low)) - 1
        hour = bisect(self._hours, stream.share() * self._hours[-1]) - 1 - UTC_OFFSETS[region]
        return self.begins_at + timedelta(days=day, hours=hour % 24, seconds=stream.below(3600))


def _ordinary_seller(market: _Market, number: int) -> tuple[Seller, list[Order]]:
    stream = _Stream("seller", market.plan.seed, number)
    size, price_level = market.place(number)
    region = stream.pick(REGIONS)
    is_freelancer = stream.chance(0.03)
    preferred_rail = _preferred_rail(stream, region)
    joined_on = stream.below(market.day_count * 4 // 5) if stream.chance(0.15) else -30 - stream.below(1500)
    created_at = market.begins_at + timedelta(days=joined_on, seconds=stream.below(80000))
    accounts, end_day = _accounts(stream, market, region, preferred_rail, created_at, max(joined_on + 1, 0))
    seller = Seller(
        seller_id=f"sel_{number:06}",
        display_name=_display_name(stream, is_freelancer),
        region=region,
        created_at=created_at,
        accounts=accounts,
        seller_type="freelancer" if is_freelancer else "merchant",
        preferred_rail=preferred_rail,
        settlement_currency="EUR" if region == "EU" and stream.chance(0.6) else "USD",
    )
    orders = []
    for _ in range(market.order_count(stream, size)):
        placed_at = market.moment(stream, region, max(joined_on + 1, 0), end_day)
        orders.append(_order(stream, market, seller, placed_at, price_level))
    return seller, orders


def _preferred_rail(stream: _Stream, region: str) -> str:
    wish = stream.share()
    if wish < 0.12:
        return "SPL"
    other = "ERC-20" if DEFAULT_RAILS[region] == "TRC-20" else "TRC-20"
    if wish < 0.15:
        return other  # which the region does not allow: its default is used
    return DEFAULT_RAILS[region] if wish < 0.19 else ""


def _accounts(
    stream: _Stream, market: _Market, region: str, preferred_rail: str, created_at: datetime, first_day: int
) -> tuple[tuple[Account, ...], int]:
    """A seller's accounts, and the day from which on nothing is sold any more."""
    rail = "SPL" if preferred_rail == "SPL" else DEFAULT_RAILS[region]
    wallet, is_broken = _wallet(stream, rail, preferred_rail or rail)
    accounts = [Account(created_at + stream.days(0, 0.02), wallet)]
    end_day = market.day_count
    if stream.chance(0.3 if is_broken else 0.03):
        changed_at = (
            market.begins_at + timedelta(days=first_day) + stream.days(0, market.day_count - first_day)
        )
        wallet = sample_destination(rail, stream.share().hex().encode())
        accounts.append(Account(changed_at + stream.days(0, 0.02), wallet, changed_at))
    if stream.chance(0.017):
        end_day = first_day + 1 + stream.below(market.day_count - first_day)
        stopped_at = market.begins_at + timedelta(days=end_day)
        status = stream.pick(("suspended", "closed"))
        accounts = [known for known in accounts if known.arrives_at < stopped_at]
        accounts.append(
            Account(stopped_at, accounts[-1].wallet_address, accounts[-1].wallet_changed_at, status)
        )
    return tuple(accounts), end_day


def _wallet(stream: _Stream, rail: str, wished_rail: str) -> tuple[str, bool]:
    """An address for the rail, and whether it is one of the few that nobody can be paid to."""
    address = sample_destination(rail, stream.share().hex().encode())
    fault = stream.share()
    if fault < 0.004:
        return "", True
    if fault < 0.007:
        return address[:-3], True
    if fault < 0.010:
        return _mistyped(rail, address), True
    if rail != wished_rail and fault < 0.1:
        return sample_destination(wished_rail, address.encode()), True
    return address, False


def _mistyped(rail: str, address: str) -> str:
    """The address with a character wrong: of the right form, and refused by who looks closer."""
    if rail == "ERC-20":
        letter = next(place for place, digit in enumerate(address) if place > 1 and digit.isalpha())
        return address[:letter] + address[letter].swapcase() + address[letter + 1 :]
    if rail == "TRC-20":
        return address[:-1] + ("a" if address[-1] != "a" else "b")
    return "z" * (44 - len(address) + 1) + address[1:]  # more than 32 bytes: SPL has no checksum to fail


def _display_name(stream: _Stream, is_person: bool) -> str:
    if is_person:
        return f"{stream.pick(PEOPLE_FIRST)} {stream.pick(PEOPLE_LAST)}"
    if stream.chance(0.02):
        return stream.pick(SHOPS_ELSEWHERE)
    return stream.pick(SHOP_FIRST) + " " + stream.pick(SHOP_SECOND) + stream.pick(SHOP_LAST)


def _order(
    stream: _Stream, market: _Market, seller: Seller, placed_at: datetime, price_level: float
) -> Order:
    gross = _price(stream, market, price_level)
    states = _order_states(stream, placed_at)
    order = Order(seller.seller_id, seller.settlement_currency, gross, placed_at, states)
    captured_at = states[-1].captured_at
    if captured_at and states[-1].status != "cancelled":
        if stream.chance(REFUNDED):
            order.refunds = (_refund(stream, gross, captured_at),)
        if stream.chance(DISPUTED):
            order.disputes = (_dispute(stream, gross, captured_at),)
    return order


def _price(stream: _Stream, market: _Market, level: float) -> Decimal:
    """A price near the seller's usual ones, often with an ending that shops like."""
    share = abs(level + (stream.share() - 0.5) * 0.8)
    price = market.prices.at(share if share < 1 else 2 - share)
    ending = stream.share()
    for limit, tail in ((0.35, "0.90"), (0.55, "0.99"), (0.75, "0.00")):
        if ending < limit:
            return cents((price - Decimal(tail)).to_integral_value() + Decimal(tail))
    return cents(price)


def _order_states(stream: _Stream, placed_at: datetime) -> tuple[OrderState, ...]:
    arrives_at = placed_at + stream.transport()
    fate = stream.share()
    if fate < 0.004:
        decided_at = placed_at + stream.days(0.5, 4)
        pending = OrderState(arrives_at, "pending", None)
        later = max(arrives_at, decided_at)
        if stream.chance(0.2):
            return (pending,)
        if stream.chance(0.6):
            return (pending, OrderState(later, "confirmed", decided_at))
        return (pending, OrderState(later, "cancelled", None))
    confirmed = OrderState(arrives_at, "confirmed", placed_at)
    if fate < 0.007:
        return (confirmed, OrderState(arrives_at + stream.days(0.1, 3), "cancelled", placed_at))
    if fate < 0.3:
        return (confirmed, OrderState(arrives_at + stream.days(0.5, 9), "fulfilled", placed_at))
    return (OrderState(arrives_at, "fulfilled", placed_at),)


def _refund(stream: _Stream, gross: Decimal, captured_at: datetime) -> Refund:
    """Of the whole order mostly, else of a part; the fee is given back in proportion."""
    amount = gross if stream.chance(0.7) else cents(gross * (1 + stream.below(18)) / 20)
    fee = platform_fee(gross)
    refunded_at = captured_at + stream.soon(1, 21)
    return Refund(amount, cents(fee * amount / gross), refunded_at, refunded_at + stream.transport())


def _dispute(stream: _Stream, gross: Decimal, captured_at: datetime) -> Dispute:
    amount = gross if stream.chance(0.85) else cents(gross * (1 + stream.below(18)) / 20)
    opened_at = captured_at + stream.soon(2, 40)
    dispute = Dispute(amount, stream.pick(REASONS), opened_at, opened_at + stream.transport())
    outcome = stream.pick(OUTCOMES)
    if outcome:
        dispute.closed_as, dispute.closed_at = outcome, opened_at + stream.days(4, 35)
    return dispute

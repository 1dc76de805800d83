"""Random weeks of a small, nasty marketplace: the same for the same plan.

A `History` is a list of steps: raw rows that arrive or change, decisions of a person, what the rail says
on a Tuesday, and Sunday runs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from random import Random

from market_people import Done, people, tuesday
from reference import Books, Dispute, Order, Payout, RawRow, Refund, Seller, Terms
from weekclose.addresses import sample_destination

CENT = Decimal("0.01")
INSTANT = timedelta(microseconds=1)
DAY = timedelta(days=1)
WEEK = timedelta(days=7)
SUNDAYS = 5
# More than anybody does on a day.
BUSY = 99
# Zones whose days are not all 24 hours long, with a first window that makes the runs cross the change.
PLACES = (
    ("UTC", date(2026, 9, 6)),
    ("America/New_York", date(2026, 2, 22)),
    ("America/New_York", date(2026, 10, 18)),
    ("Pacific/Kiritimati", date(2026, 5, 3)),
    # Here the clocks change at midnight: a day without one, a day with two.
    ("America/Santiago", date(2026, 8, 23)),
    ("America/Havana", date(2026, 10, 18)),
)
AMOUNTS = ("0.00", "0.01", "9.99", "33.33", "100.00", "100.00", "120.50", "250.00", "999.99", "4000.00")


@dataclass(frozen=True)
class Plan:
    """What a history is made of, so that a part may be left out. A number is the dice of its part: `weeks` of
    the nights and whatever concerns them all, those of `sellers` of a seller and of each of his orders;
    `place` is one of PLACES, `days` how much is done at most on each of the three days after a Sunday."""

    place: int
    starts_on: str
    reserve_days: int
    is_calm: bool
    weeks: int
    sundays: int
    sellers: tuple[tuple[int, tuple[int, ...]], ...]
    bursts: tuple[int, ...]
    days: tuple[int, ...]


@dataclass(frozen=True)
class Put:
    """A raw row arrives, or a new version of it."""

    row: RawRow


@dataclass(frozen=True)
class Move:
    """A dispute is said to belong to another order."""

    dispute_id: str
    order_id: str


@dataclass(frozen=True)
class Hold:
    """A person holds a seller's row: before its freeze, or on the Monday after it."""

    seller_id: str
    payout_window: date


@dataclass(frozen=True)
class Clear:
    """A person clears a seller's review."""

    seller_id: str
    at: datetime


@dataclass(frozen=True)
class Tuesday:
    """Payouts go to the rail, and the rail answers; `salt` decides what, payout by payout."""

    salt: str
    at_most: int


@dataclass(frozen=True)
class Desks:
    """What people do at an instant about payouts and obligations, after the run for `as_of`; `salt` decides
    what."""

    salt: str
    at_most: int
    as_of: datetime
    at: datetime


@dataclass(frozen=True)
class Sunday:
    """A run of the warehouse."""

    as_of: datetime
    terms: Terms
    freeze: bool = True


Step = Put | Move | Hold | Clear | Tuesday | Desks | Sunday
# What a step writes: new versions of raw rows and payouts, decisions, deeds.
Change = RawRow | Payout | Hold | Clear | Done


@dataclass(frozen=True)
class History:
    """Of a calm plan nothing arrives late and no row is corrected, so that it can be replayed at once."""

    plan: Plan
    steps: list[Step]


def take(books: Books, step: Step) -> Iterator[Change]:
    """Do to the books what a step does; everything else that keeps books has to write the changes too."""
    match step:
        case Put(row):
            books.put(row)
            yield row
        case Move(dispute_id, order_id):
            dispute = books.disputes.get(dispute_id)
            if dispute:
                moved = replace(dispute, order_id=order_id)
                books.put(moved)
                yield moved
        case Hold(seller_id, window):
            if (seller_id, window) not in books.holds:
                books.holds.add((seller_id, window))
                yield step
                yield from _hold(books, step)
        case Clear(seller_id, at):
            books.clearances.append((seller_id, at))
            yield step
        case Tuesday(salt, at_most):
            yield from islice(tuesday(books, salt), at_most)
        case Desks(salt, at_most, as_of, at):
            yield from islice(people(books, salt, as_of, at), at_most)
        case Sunday():
            raise TypeError("a Sunday is run, not taken")


def _hold(books: Books, step: Hold) -> Iterator[Payout]:
    for number, payout in list(books.payouts.items()):
        if (payout.key.seller_id, payout.leaves_with) == (step.seller_id, step.payout_window) and (
            payout.status in ("ready", "blocked")
        ):
            books.block(payout, {*payout.block_reasons, "on_hold"})
            yield books.payouts[number]


@dataclass
class _Draft:
    """A history in the making: what happens before which Sunday."""

    rng: Random
    terms: Terms
    as_ofs: list[datetime]
    is_calm: bool
    weeks: dict[int, list[Step]] = field(default_factory=dict)
    count: int = 0

    @property
    def begins(self) -> datetime:
        return self.terms.midnight(self.terms.settlement_start) - 2 * WEEK

    def put(self, week: int, row: RawRow) -> None:
        self.weeks.setdefault(week, []).append(Put(row))

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def unruly(self, probability: float) -> bool:
        """As `chance`, never in calm histories."""
        return self.rng.random() < probability and not self.is_calm

    def name(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def amount(self) -> Decimal:
        if self.chance(0.3):
            return Decimal(self.rng.randrange(1, 60000)) / 100
        return Decimal(self.rng.choice(AMOUNTS))

    def known_in(self, at: datetime) -> int:
        """The Sunday that a row of this instant is loaded for; the number of Sundays if for none."""
        return next((week for week, as_of in enumerate(self.as_ofs) if at <= as_of), len(self.as_ofs))

    def arrival(self, at: datetime) -> int:
        week = self.known_in(at)
        if self.unruly(0.2):
            return week + self.rng.randrange(1, 4)
        if self.unruly(0.15):
            return max(0, week - self.rng.randrange(1, 3))
        return week

    def near(self, instant: datetime) -> datetime:
        return instant + self.rng.choice((-INSTANT, timedelta(0), INSTANT))

    def capture(self) -> datetime:
        if self.chance(0.35):
            day = self.terms.settlement_start + WEEK * self.rng.randrange(-1, SUNDAYS + 1)
            return self.near(self.terms.midnight(day))
        if self.chance(0.1):
            return self.near(self.rng.choice(self.as_ofs))
        return self.begins + (self.as_ofs[-1] - self.begins) * self.rng.random()

    def after(self, captured_at: datetime) -> datetime:
        """When something happens to an order: around a boundary that decides its window, or any day."""
        window = self.terms.window_of(self.terms.local_date(captured_at))
        kind = self.rng.randrange(8)
        if kind == 0:
            return self.near(self.terms.reserve_closes_at(window))
        if kind == 1:
            return self.near(self.terms.reserve_closes_at(window + WEEK))
        if kind == 2:
            return self.near(self.terms.ends_at(window))
        if kind == 3:
            return self.near(self.rng.choice(self.as_ofs))
        if kind == 4:
            return captured_at + self.rng.choice((timedelta(0), INSTANT, timedelta(hours=1)))
        if kind == 5 and self.chance(0.2):
            return captured_at - timedelta(hours=self.rng.randrange(1, 200))
        return captured_at + DAY * 35 * self.rng.random()


def plan_of(seed: int) -> Plan:
    """A whole one."""
    rng = Random(seed)
    return Plan(
        place=rng.randrange(len(PLACES)),
        starts_on="sunday" if rng.random() < 0.8 else "wednesday",
        reserve_days=rng.choice((0, 3, 7, 7, 10)),
        is_calm=rng.random() < 0.25,
        weeks=rng.getrandbits(32),
        sundays=SUNDAYS,
        sellers=tuple(
            (rng.getrandbits(32), tuple(rng.getrandbits(32) for _ in range(rng.randrange(2, 9))))
            for _ in range(9)
        ),
        bursts=(rng.getrandbits(32), rng.getrandbits(32)),
        days=(BUSY,) * 3 * SUNDAYS,
    )


def history(plan: Plan) -> History:
    """The weeks of a plan."""
    rng = Random(plan.weeks)
    zone, start = PLACES[plan.place]
    if plan.starts_on == "wednesday":
        start += 3 * DAY
    terms = Terms(settlement_start=start, zone=zone, starts_on=plan.starts_on, reserve_days=plan.reserve_days)
    draft = _Draft(rng, terms, list(_as_ofs(rng, terms)), plan.is_calm)
    sellers = []
    for number, (dice, _) in enumerate(plan.sellers):
        draft.rng = Random(dice)
        sellers.append(_seller(draft, f"s{number}"))
        _decisions(draft, sellers[-1])
    for seller, (_, orders) in zip(sellers, plan.sellers, strict=True):
        for dice in orders:
            draft.rng = Random(dice)
            _order(draft, seller, sellers)
    for dice in plan.bursts:
        draft.rng = Random(dice)
        burst = draft.rng.choice((_burst_of_sales, _burst_of_disputes))
        burst(draft, draft.rng.choice(sellers))
    _sign_of_life(draft)
    draft.rng = rng
    return History(plan, list(_steps(draft, plan)))


def _as_ofs(rng: Random, terms: Terms) -> Iterator[datetime]:
    """Sunday nights from the first due window on; some exactly when a reserve closes, or just before."""
    for week in range(SUNDAYS):
        reserve_closes_at = terms.reserve_closes_at(terms.settlement_start + WEEK * week)
        yield reserve_closes_at + rng.choice(
            (timedelta(0), timedelta(hours=23), timedelta(hours=23), -INSTANT, timedelta(days=3))
        )


def _steps(draft: _Draft, plan: Plan) -> Iterator[Step]:
    rng = draft.rng
    skipped = rng.randrange(SUNDAYS) if draft.chance(0.5) else None
    for week, as_of in enumerate(draft.as_ofs[: plan.sundays]):
        coming = draft.weeks.get(week, [])
        rng.shuffle(coming)
        yield from coming
        if week == skipped:
            continue
        terms = draft.terms
        if draft.unruly(0.09):
            terms = replace(terms, reserve_days=rng.choice((0, 3, 7, 10)))
        yield Sunday(as_of, terms, freeze=not draft.chance(0.12))
        if draft.unruly(0.12):
            early = draft.weeks.pop(week + 1, [])
            cut = len(early) // 2
            yield from early[:cut]
            draft.weeks[week + 1] = early[cut:]
            yield Sunday(as_of, terms)
        salt, (monday, on_tuesday, thursday) = f"{plan.weeks}/{week}", plan.days[3 * week : 3 * week + 3]
        yield Desks(f"{salt}/Monday", monday, as_of, as_of + DAY)
        yield Tuesday(salt, on_tuesday)
        yield Desks(f"{salt}/Thursday", thursday, as_of, as_of + 4 * DAY)


# Sellers


def _seller(draft: _Draft, seller_id: str) -> Seller:
    rng = draft.rng
    region = rng.choice(("APAC", "APAC", "EU", "NA", "LATAM", "MOON" if draft.chance(0.5) else "EU"))
    preferred = rng.choice((None, None, "SPL", "TRC-20", "ERC-20", "MANUAL", "MANUAL"))
    seller = Seller(
        seller_id=seller_id,
        seller_type="freelancer" if draft.chance(0.25) else "merchant",
        region=region,
        preferred_rail=preferred,
        wallet_address=None,
        wallet_changed_at=None,
        settlement_currency="USDT",
        status="active",
        created_at=draft.begins - 30 * DAY,
        product="managed" if draft.chance(0.2) else "standard",
    )
    seller = replace(seller, wallet_address=_wallet(draft, seller))
    if draft.chance(0.25):
        seller = _other_seller(draft, seller)
    draft.put(draft.rng.randrange(1, SUNDAYS) if draft.unruly(0.15) else 0, seller)
    known = seller
    for week in range(1, SUNDAYS):
        if draft.unruly(0.15):
            known = _other_seller(draft, known)
            draft.weeks.setdefault(week, []).append(Put(known))
    return seller


def _wallet(draft: _Draft, seller: Seller) -> str | None:
    """An address of the seller's rail, mostly."""
    default = {"APAC": "TRC-20", "LATAM": "TRC-20"}.get(seller.region, "ERC-20")
    allowed = seller.preferred_rail in (default, "SPL", "MANUAL")
    rail = seller.preferred_rail if allowed and seller.preferred_rail else default
    good = sample_destination(rail, f"{seller.seller_id} {draft.rng.random()}".encode())
    kind = draft.rng.random()
    if kind < 0.8:
        return good
    if kind < 0.88:
        # One wrong character: well-formed, but the checksum does not match.
        return good[:-1] + ("B" if good[-1] != "B" else "C") if rail == "TRC-20" else good.swapcase()
    return draft.rng.choice((None, "", good + "0", good[:-1] + "!", sample_destination("SPL", b"other")))


def _other_seller(draft: _Draft, seller: Seller) -> Seller:
    rng = draft.rng
    kind = rng.randrange(7)
    if kind == 0:
        return replace(seller, status=rng.choice(("suspended", "closed", "active")))
    if kind == 1:
        return replace(seller, settlement_currency=rng.choice(("USDT", "USDC")))
    if kind == 2:
        return replace(seller, seller_type=rng.choice(("merchant", "freelancer")))
    if kind == 3:
        return replace(seller, preferred_rail=rng.choice((None, "SPL", "TRC-20", "ERC-20", "MANUAL")))
    quiet = timedelta(hours=draft.terms.quiet_hours)
    changed_at = draft.near(rng.choice(draft.as_ofs) - rng.choice((quiet, timedelta(0), 2 * DAY)))
    return replace(seller, wallet_address=_wallet(draft, seller), wallet_changed_at=changed_at)


# Orders and what happens to them


def _order(draft: _Draft, seller: Seller, sellers: list[Seller]) -> None:
    rng = draft.rng
    gross = draft.amount()
    fee = rng.choice((gross / 10, gross / 10, Decimal(0), gross + 1 if draft.chance(0.2) else gross / 20))
    captured_at = draft.capture()
    order = Order(
        order_id=draft.name("o"),
        seller_id=rng.choice((None, "nobody")) if draft.chance(0.04) else seller.seller_id,
        currency="USDC" if draft.chance(0.15) else "USDT",
        gross_amount=gross,
        fee_amount=fee.quantize(CENT),
        status=rng.choice(("confirmed", "fulfilled"))
        if draft.chance(0.93)
        else rng.choice(("pending", "cancelled")),
        captured_at=None if draft.chance(0.03) else captured_at,
        guarantee_ends_at=_guarantee(draft) if draft.chance(0.15) else None,
    )
    # An order without a time of capture is there whenever the run is: in a calm history from the start.
    week = 0 if order.captured_at is None and draft.is_calm else draft.arrival(captured_at)
    draft.put(week, order)
    _corrections(draft, week, order, sellers)
    moments = [draft.after(captured_at) for _ in range(3)]
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
        _refund(draft, order, rng.choice(moments))
    for _ in range(rng.choice((0, 0, 0, 0, 1, 1, 2))):
        _dispute(draft, order, rng.choice(moments))


def _guarantee(draft: _Draft) -> datetime:
    """Its end may be that of a run."""
    return draft.rng.choice((*draft.as_ofs, draft.begins + 70 * DAY * draft.rng.random()))


def _corrections(draft: _Draft, week: int, order: Order, sellers: list[Seller]) -> None:
    """Later versions of an order, before or after its sale was frozen."""
    rng = draft.rng
    while draft.unruly(0.35):
        week += rng.randrange(0, 5)
        changes: tuple[dict[str, object], ...] = (
            {"gross_amount": draft.amount()},
            {"fee_amount": (order.gross_amount / 4).quantize(CENT)},
            {"status": rng.choice(("cancelled", "pending", "confirmed"))},
            {"status": "cancelled"},
            {"captured_at": draft.capture()},
            {"seller_id": rng.choice(sellers).seller_id},
            {"currency": rng.choice(("USDT", "USDC"))},
            {"captured_at": None},
        )
        change = rng.choice(changes)
        order = replace(order, **change)  # type: ignore[arg-type]
        draft.put(week, order)


def _refund(draft: _Draft, order: Order, at: datetime) -> None:
    rng = draft.rng
    amount = rng.choice(
        (
            order.gross_amount,
            order.gross_amount / 3,
            order.gross_amount / 2,
            order.gross_amount + 5,
            draft.amount(),
        )
    ).quantize(CENT)
    refund = Refund(
        refund_id=draft.name("r"),
        order_id=order.order_id if draft.chance(0.95) else f"o{rng.randrange(1, 200)}",
        amount=amount,
        fee_refund_amount=rng.choice((Decimal(0), amount / 10, amount / 10, order.fee_amount)).quantize(CENT),
        refunded_at=at,
    )
    week = draft.arrival(at)
    draft.put(week, refund)
    while draft.unruly(0.2):
        week += rng.randrange(0, 4)
        refund = rng.choice(
            (
                replace(refund, amount=draft.amount()),
                replace(refund, fee_refund_amount=Decimal("1.00")),
                replace(refund, refunded_at=draft.near(at + 7 * DAY)),
                replace(refund, order_id=f"o{rng.randrange(1, 120)}"),
            )
        )
        draft.put(week, refund)


def _dispute(draft: _Draft, order: Order, opened_at: datetime) -> None:
    rng = draft.rng
    dispute = Dispute(
        dispute_id=draft.name("d"),
        order_id=order.order_id if draft.chance(0.97) else f"o{rng.randrange(1, 200)}",
        amount=rng.choice((order.gross_amount, order.gross_amount * 3 / 5, draft.amount())).quantize(CENT),
        reason="fraudulent",
        status="open",
        opened_at=opened_at,
        closed_at=None,
    )
    week = draft.arrival(opened_at)
    closed_at = opened_at + rng.choice((timedelta(0), INSTANT, DAY, 8 * DAY, 20 * DAY * rng.random()))
    if draft.chance(0.2):
        closed_at = max(opened_at, draft.after(opened_at))
    closed = replace(dispute, status=rng.choice(("won", "withdrawn", "lost")), closed_at=closed_at)
    fate = rng.random()
    if fate < 0.35:
        draft.put(week, dispute)
    elif fate < 0.5:
        draft.put(week, closed)
        dispute = closed
    else:
        draft.put(week, dispute)
        week = max(week, draft.arrival(closed_at))
        draft.put(week, closed)
        dispute = closed
    if draft.unruly(0.4):
        draft.put(week + rng.randrange(0, 4), _other_dispute(draft, dispute))
    if draft.unruly(0.1):
        week += rng.randrange(0, 3)
        draft.weeks.setdefault(week, []).append(Move(dispute.dispute_id, f"o{rng.randrange(1, 120)}"))


def _other_dispute(draft: _Draft, dispute: Dispute) -> Dispute:
    closed_at = dispute.closed_at or dispute.opened_at + 9 * DAY
    return draft.rng.choice(
        (
            replace(dispute, amount=draft.amount()),
            replace(dispute, status="open", closed_at=None),
            replace(dispute, status="lost", closed_at=closed_at),
            replace(dispute, status="lost", closed_at=None),
            replace(dispute, status="won", closed_at=closed_at),
            replace(dispute, opened_at=dispute.opened_at - 3 * DAY),
            replace(dispute, status="won", closed_at=closed_at + 7 * DAY),
        )
    )


# What sets a seller apart, and what people decide


def _burst_of_sales(draft: _Draft, seller: Seller) -> None:
    """The volume of 30 days within the last 7 before a run."""
    as_of = draft.rng.choice(draft.as_ofs[1:])
    for _ in range(draft.rng.randrange(19, 24)):
        captured_at = as_of - DAY - 5 * DAY * draft.rng.random()
        order = Order(
            draft.name("o"), seller.seller_id, "USDT", Decimal(290), Decimal(29), "confirmed", captured_at
        )
        draft.put(draft.known_in(captured_at), order)


def _burst_of_disputes(draft: _Draft, seller: Seller) -> None:
    """Disputes at the edges of the 7 and the 30 days before a run, on sales that are older than them."""
    as_of = draft.rng.choice(draft.as_ofs)
    day = draft.terms.local_date(as_of)
    order = Order(
        draft.name("o"), seller.seller_id, "USDT", Decimal(300), Decimal(30), "confirmed", as_of - 50 * DAY
    )
    draft.put(0, order)
    for days in (0, 7, 7, 7, 3, 30, 30):
        opened_at = draft.near(draft.terms.midnight(day - days * DAY))
        dispute = Dispute(draft.name("d"), order.order_id, Decimal(20), "late", "open", opened_at, None)
        draft.put(draft.known_in(opened_at), dispute)


def _decisions(draft: _Draft, seller: Seller) -> None:
    rng = draft.rng
    # Most reviews are cleared, else nobody with two disputes would ever be paid.
    if draft.chance(0.6):
        week = rng.randrange(SUNDAYS)
        at = draft.as_ofs[week] - rng.choice((DAY, 29 * DAY, 31 * DAY))
        draft.weeks.setdefault(week, []).append(Clear(seller.seller_id, at))
    if draft.chance(0.3):
        week = rng.randrange(SUNDAYS)
        window = draft.terms.settlement_start + WEEK * (week - rng.randrange(2))
        draft.weeks.setdefault(week, []).append(Hold(seller.seller_id, window))


def _sign_of_life(draft: _Draft) -> None:
    """A run refuses to freeze when no order was captured lately."""
    for week, as_of in enumerate(draft.as_ofs):
        order = Order(draft.name("o"), None, "USDT", Decimal(1), Decimal(0), "pending", as_of - DAY)
        draft.put(week, order)

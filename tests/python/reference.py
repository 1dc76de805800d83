"""The money rules in plain Python: a second reading to hold the models against, simple rather than fast.

`Books` keeps raw rows and what was frozen; everything else is worked out anew from them each time.
Instants are aware datetimes, windows are dates in the platform's zone, money is Decimal.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from itertools import groupby
from typing import NamedTuple
from zoneinfo import ZoneInfo

from obligations import ZERO, Adjustment, Party, settle_oldest_first
from weekclose.addresses import check_destination
from weekclose.settings import project_dir

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
KINDS = ("sale", "refund", "dispute_opened", "dispute_closed")
# A payout in one of these states has used up its part of the balance.
IN_TRANSIT = ("submitted", "awaiting_reconciliation")
# A reversed one has been paid, and what follows is an obligation of its own.
PAID = ("paid", "reversed")
HOLDS_MONEY = ("ready", *IN_TRANSIT, *PAID)


@dataclass(frozen=True)
class Seller:
    seller_id: str
    seller_type: str
    region: str
    preferred_rail: str | None
    wallet_address: str | None
    wallet_changed_at: datetime | None
    settlement_currency: str
    status: str
    created_at: datetime
    product: str = "standard"


@dataclass(frozen=True)
class Order:
    order_id: str
    seller_id: str | None
    currency: str
    gross_amount: Decimal
    fee_amount: Decimal
    status: str
    captured_at: datetime | None
    guarantee_ends_at: datetime | None = None


@dataclass(frozen=True)
class Refund:
    refund_id: str
    order_id: str
    amount: Decimal
    fee_refund_amount: Decimal
    refunded_at: datetime


@dataclass(frozen=True)
class Dispute:
    dispute_id: str
    order_id: str
    amount: Decimal
    reason: str
    status: str
    opened_at: datetime
    closed_at: datetime | None


RawRow = Seller | Order | Refund | Dispute


@dataclass(frozen=True)
class Terms:
    """The settings of a run."""

    settlement_start: date
    zone: str = "UTC"
    starts_on: str = "sunday"
    reserve_days: int = 7
    quiet_hours: int = 72
    clearance_days: int = 30

    def local_date(self, at: datetime) -> date:
        return at.astimezone(ZoneInfo(self.zone)).date()

    def midnight(self, day: date) -> datetime:
        """The first instant of a local day, in UTC."""
        return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.zone)).astimezone(UTC)

    def window_of(self, day: date) -> date:
        return day - timedelta(days=(day.weekday() - WEEKDAYS.index(self.starts_on)) % 7)

    def ends_at(self, window: date) -> datetime:
        return self.midnight(window + timedelta(days=7))

    def reserve_closes_at(self, window: date) -> datetime:
        return self.midnight(window + timedelta(days=7 + self.reserve_days))

    def home(self, order_window: date, event_at: datetime) -> date:
        """The oldest window whose reserve is open when the event happens, not before the order's own."""
        return max(
            order_window, self.window_of(self.local_date(event_at) - timedelta(days=self.reserve_days))
        )

    def latest_due(self, as_of: datetime) -> date:
        window = self.window_of(self.local_date(as_of))
        while self.reserve_closes_at(window) > as_of:
            window -= timedelta(days=7)
        return window


class Happening(NamedTuple):
    """What the raw rows say happened to an order; sorts as the timeline does."""

    at: datetime
    rank: int
    source_id: str

    @property
    def kind(self) -> str:
        return KINDS[self.rank]

    @property
    def line_id(self) -> str:
        return f"{self.kind}:{self.source_id}"


@dataclass(frozen=True)
class Line:
    """A settlement line. `claim` is what the dispute is about, whatever could be clawed back for it.

    That of an adjustment has no order, and the time of its event is the database's own.
    """

    line_id: str
    seller_id: str
    currency: str
    order_id: str | None
    kind: str
    source_id: str
    event_at: datetime | None
    order_window: date
    home_window: date
    payout_window: date
    gross: Decimal = ZERO
    fees: Decimal = ZERO
    refunds: Decimal = ZERO
    disputes: Decimal = ZERO
    adjustments: Decimal = ZERO
    claim: Decimal = ZERO
    is_frozen: bool = False

    @property
    def cash(self) -> Decimal:
        return self.gross - self.fees - self.refunds - self.disputes + self.adjustments

    @property
    def is_late(self) -> bool:
        return self.payout_window > self.home_window


class RowKey(NamedTuple):
    payout_window: date
    seller_id: str
    currency: str


@dataclass(frozen=True)
class Row:
    """A row of the settlement view."""

    key: RowKey
    gross: Decimal
    fees: Decimal
    refunds: Decimal
    disputes: Decimal
    adjustments: Decimal
    carry_in: Decimal
    payable: Decimal
    carry_out: Decimal
    rail: str | None
    status: str
    block_reasons: tuple[str, ...]
    order_count: int
    late_line_count: int
    window_ends_at: datetime
    reserve_closes_at: datetime
    held: Decimal = ZERO
    failure_reason: str | None = None
    is_frozen: bool = False

    @property
    def net(self) -> Decimal:
        return self.gross - self.fees - self.refunds


@dataclass(frozen=True)
class Payout:
    """`covers` are the windows whose lines it pays, none for a request; `since` is the last window that was
    frozen when its status changed, `before` how many payouts there were then."""

    number: str
    key: RowKey
    amount: Decimal
    rail: str | None
    destination: str | None
    covers: frozenset[date]
    status: str
    since: date
    block_reasons: tuple[str, ...] = ()
    failure_reason: str | None = None
    request: str | None = None
    before: int = 0

    @property
    def party(self) -> Party:
        return self.key.seller_id, self.key.currency

    @property
    def leaves_with(self) -> date | str:
        """Its window, or the request that it is all of."""
        return self.request or self.key.payout_window


@dataclass(frozen=True)
class Execution:
    """A transfer that happened. A later word of the rail on the same `reference` has a `name` of its own, and
    takes the place of the one before."""

    reference: str
    name: str
    amount: Decimal


@dataclass(frozen=True)
class EscrowHold:
    """Money that a person keeps in a balance, until `release_at` where there is one."""

    party: Party
    amount: Decimal
    release_at: datetime | None
    status: str = "active"

    def is_over(self, as_of: datetime) -> bool:
        return self.status != "active" or (self.release_at is not None and self.release_at <= as_of)


@dataclass(frozen=True)
class Request:
    """What is asked for between two windows."""

    party: Party
    amount: Decimal
    schedule: str | None = None
    decision: str | None = None

    def status(self, payout: Payout | None) -> str:
        if payout is None or self.decision == "rejected":
            return self.decision or "requested"
        return "approved" if payout.status == "ready" else payout.status


@dataclass(frozen=True)
class Schedule:
    """Makes a request when its time comes, or the order's guarantee ends; fails with the third try."""

    party: Party
    amount: Decimal
    due_at: datetime | None
    order_id: str | None = None
    status: str = "pending"
    tries: int = 0


@dataclass(frozen=True)
class Balance:
    seller_id: str
    currency: str
    pending_balance: Decimal
    available_balance: Decimal
    in_transit: Decimal
    reserve_closes_at: datetime | None
    last_payout_status: str | None
    last_failure_reason: str | None


@dataclass(frozen=True)
class Activity:
    """What the health score looks at: 30 days, and the last 7 of them."""

    orders: int
    disputes: int
    disputes_7d: int
    gross: Decimal
    disputed: Decimal
    refunded: Decimal
    orders_7d: int
    gross_7d: Decimal


@dataclass(frozen=True)
class Health:
    seller_id: str
    activity: Activity
    fees: Decimal
    score: Decimal
    reasons: tuple[str, ...]
    currencies: tuple[str, ...]


@dataclass(frozen=True)
class Unsettled:
    """A raw row without a line."""

    kind: str
    source_id: str
    order_id: str
    seller_id: str | None
    reason: str


@dataclass(frozen=True)
class Marts:
    """What the warehouse should show after a run."""

    lines: dict[str, Line]
    unsettled: dict[tuple[str, str], Unsettled]
    rows: dict[RowKey, Row]
    balances: dict[tuple[str, str], Balance]
    health: dict[str, Health]


@dataclass(frozen=True)
class Build:
    """What people between two Sundays know of sellers and guarantees."""

    as_of: datetime
    terms: Terms
    marts: Marts


class Claim:
    """How much of an order is clawed back, event by event."""

    def __init__(self, gross: Decimal, fees: Decimal) -> None:
        self.left = gross - fees
        self.open: dict[str, Decimal] = {}
        self.closed: set[str] = set()
        self.clawed = ZERO

    def take(self, line: Line) -> Line:
        """The line with the change of what is clawed back; a frozen one keeps what it was frozen with."""
        if line.kind == "refund":
            self.left -= line.refunds + line.fees
        elif line.kind == "dispute_opened" and line.source_id not in self.closed:
            self.open[line.source_id] = line.claim
        elif line.kind == "dispute_closed":
            self.closed.add(line.source_id)
            self.open.pop(line.source_id, None)
        if not line.is_frozen:
            rightful = min(sum(self.open.values(), ZERO), max(ZERO, self.left))
            line = replace(line, disputes=rightful - self.clawed)
        self.clawed += line.disputes
        return line


@dataclass
class Books:
    """Everything known: the raw rows as they stand, what was frozen, and what people did with it.

    `payouts` are by number. `entering` are the lines of adjustments as the last run saw them, `handed_over`
    the windows and requests whose batch has left, `refused` those of which the rail did not take a batch;
    `came_back` and `judged` how many of a payout's transfers
    the rail said to have come back, and of how many a person said so.
    """

    sellers: dict[str, Seller] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    refunds: dict[str, Refund] = field(default_factory=dict)
    disputes: dict[str, Dispute] = field(default_factory=dict)
    holds: set[tuple[str, date]] = field(default_factory=set)
    clearances: list[tuple[str, datetime]] = field(default_factory=list)
    frozen_lines: dict[str, Line] = field(default_factory=dict)
    frozen_rows: dict[RowKey, Row] = field(default_factory=dict)
    payouts: dict[str, Payout] = field(default_factory=dict)
    last_frozen: date | None = None
    adjustments: dict[str, Adjustment] = field(default_factory=dict)
    escrow_holds: dict[str, EscrowHold] = field(default_factory=dict)
    requests: dict[str, Request] = field(default_factory=dict)
    schedules: dict[str, Schedule] = field(default_factory=dict)
    built: Build | None = None
    entering: list[Line] = field(default_factory=list)
    executions: dict[str, list[Execution]] = field(default_factory=dict)
    handed_over: set[date | str] = field(default_factory=set)
    refused: set[date | str] = field(default_factory=set)
    came_back: dict[str, int] = field(default_factory=dict)
    judged: dict[str, int] = field(default_factory=dict)

    def put(self, row: RawRow) -> None:
        """A raw row arrives, or a new version of it."""
        match row:
            case Seller():
                self.sellers[row.seller_id] = row
            case Order():
                self.orders[row.order_id] = row
            case Refund():
                self.refunds[row.refund_id] = row
            case Dispute():
                self.disputes[row.dispute_id] = row

    def run(self, as_of: datetime, terms: Terms, *, freeze: bool) -> Marts:
        """A Sunday: freezes what is due if asked to, and says what the marts show after it."""
        self.release_what_is_over(as_of)
        self.entering = list(self._entering(self.first_unfrozen(terms)))
        if freeze and terms.latest_due(as_of) >= self.first_unfrozen(terms):
            self._freeze(as_of, terms)
        self.built = Build(as_of, terms, self.marts(as_of, terms))
        return self.built.marts

    def first_unfrozen(self, terms: Terms) -> date:
        return self.last_frozen + timedelta(days=7) if self.last_frozen else terms.settlement_start

    def marts(self, as_of: datetime, terms: Terms) -> Marts:
        lines, unsettled = self._lines(as_of, terms)
        first = self.first_unfrozen(terms)
        lines += [line for line in self.entering if line.payout_window >= first]
        health = self._health(lines, as_of, terms)
        return Marts(
            lines={line.line_id: line for line in lines},
            unsettled={(row.kind, row.source_id): row for row in unsettled},
            rows={row.key: row for row in self._rows(lines, health, as_of, terms)},
            balances={
                (balance.seller_id, balance.currency): balance
                for balance in self._balances(lines, as_of, terms)
            },
            health=health,
        )

    # What is held

    def release_what_is_over(self, as_of: datetime) -> None:
        for number, hold in self.escrow_holds.items():
            if hold.status == "active" and hold.is_over(as_of):
                self.escrow_holds[number] = replace(hold, status="released")

    def _held(self, party: Party, own: list[Line], due: date, as_of: datetime, terms: Terms) -> Decimal:
        """What people hold, and what the seller has of each order whose guarantee runs."""
        held = sum(
            (
                hold.amount
                for hold in self.escrow_holds.values()
                if hold.party == party and not hold.is_over(as_of)
            ),
            ZERO,
        )
        of_orders: dict[str, Decimal] = {}
        for line in own:
            order = self._order(line.order_id, as_of) if line.order_id else None
            runs = order and order.guarantee_ends_at and order.guarantee_ends_at > as_of
            if line.order_id and runs and terms.settlement_start <= line.payout_window <= due:
                of_orders[line.order_id] = of_orders.get(line.order_id, ZERO) + line.cash
        return held + sum((cash for cash in of_orders.values() if cash > 0), ZERO)

    # What is asked for

    def requestable(self, party: Party) -> Decimal:
        """What is frozen, unpaid and promised to nobody, less the floor and what is held."""
        assert self.built and self.last_frozen
        as_of, terms, marts = self.built.as_of, self.built.terms, self.built.marts
        own = [line for line in marts.lines.values() if (line.seller_id, line.currency) == party]
        due = max(terms.latest_due(as_of), self.last_frozen)
        minimum_balance, _ = floors()[self.sellers[party[0]].seller_type]
        waiting = sum(
            (
                payout.amount
                for payout in self.payouts.values()
                if payout.party == party
                and payout.status == "blocked"
                # What may still leave when its reason is gone.
                and not self.has_rolled(payout)
                and "request_rejected" not in payout.block_reasons
            ),
            ZERO,
        )
        held = self._held(party, own, due, as_of, terms)
        return self._frozen_balance(*party) - waiting - minimum_balance - held

    def asked_for(self, party: Party) -> Decimal:
        """By what nobody has decided on."""
        return sum(
            (
                request.amount
                for request in self.requests.values()
                if request.party == party and request.decision is None
            ),
            ZERO,
        )

    def known_order(self, order_id: str) -> Order | None:
        """The order, if the last run knew it."""
        assert self.built
        return self._order(order_id, self.built.as_of)

    def is_time(self, schedule: Schedule, at: datetime) -> bool:
        """What has been tried is tried again."""
        order = self.known_order(schedule.order_id) if schedule.order_id else None
        due_at = order.guarantee_ends_at if order else schedule.due_at
        return schedule.tries > 0 or (due_at is not None and due_at <= at)

    def is_payable(self, party: Party) -> bool:
        """Whether nothing would block the seller's row, if there was one of the last frozen window."""
        assert self.built and self.last_frozen
        as_of, terms, health = self.built.as_of, self.built.terms, self.built.marts.health
        row = self._row(RowKey(self.last_frozen, *party), [], terms, "ready")
        seller = self.sellers[party[0]]
        changed_at = seller.wallet_changed_at
        is_unseen = changed_at is not None and changed_at > as_of
        return not is_unseen and not any(self._block_reasons(row, seller, health.get(party[0]), as_of, terms))

    def approve(self, number: str) -> None:
        """A request becomes a payout of its own, beside that of the seller's newest row."""
        request = self.requests[number]
        assert self.last_frozen
        key = max(key for key in self.frozen_rows if key[1:] == request.party)
        seller = self.sellers[key.seller_id]
        self.requests[number] = replace(request, decision="approved")
        self._add(
            Payout(
                number=self._next_number(),
                key=key,
                amount=request.amount,
                rail=rail_of(seller),
                destination=seller.wallet_address,
                covers=frozenset(),
                status="ready",
                since=self.last_frozen,
                request=number,
            )
        )

    def payout_of(self, request: str) -> Payout | None:
        return next((payout for payout in self.payouts.values() if payout.request == request), None)

    # Lines

    def _entering(self, window: date) -> Iterator[Line]:
        """Adjustments enter the first window that is not frozen, whole, whatever the run speaks for."""
        for adjustment in self.adjustments.values():
            if adjustment.enters(window):
                yield Line(
                    line_id=f"adjustment:{adjustment.number}",
                    seller_id=adjustment.applied_to,
                    currency=adjustment.currency,
                    order_id=None,
                    kind="adjustment",
                    source_id=adjustment.number,
                    event_at=None,
                    order_window=window,
                    home_window=window,
                    payout_window=window,
                    adjustments=adjustment.signed,
                )

    def _lines(self, as_of: datetime, terms: Terms) -> tuple[list[Line], list[Unsettled]]:
        lines = list(self.frozen_lines.values())
        unsettled: list[Unsettled] = []
        for order_id, of_order in groupby(sorted(self._happenings(as_of)), key=lambda pair: pair[0]):
            pending = [what for _, what in of_order if what.line_id not in self.frozen_lines]
            sale = self._sale(order_id, as_of, terms)
            settled = [self._bare_line(what, self._opening(what) or sale, terms) for what in pending]
            lines += self._order_lines(order_id, [line for line in settled if line], as_of, terms)
            for what, line in zip(pending, settled, strict=True):
                if line is None:
                    unsettled.append(self._unsettled(order_id, what, as_of))
        unsettled += [
            self._unsettled(order_id, Happening(as_of, 0, order_id), as_of)
            for order_id, order in self.orders.items()
            if order.captured_at is None and f"sale:{order_id}" not in self.frozen_lines
        ]
        return lines, [row for row in unsettled if row.kind]

    def _happenings(self, as_of: datetime) -> Iterator[tuple[str, Happening]]:
        """(order, what happened) for each raw event up to `as_of`."""
        for order in self.orders.values():
            if order.captured_at and order.captured_at <= as_of:
                yield order.order_id, Happening(order.captured_at, 0, order.order_id)
        for refund in self.refunds.values():
            if refund.refunded_at <= as_of:
                yield refund.order_id, Happening(refund.refunded_at, 1, refund.refund_id)
        for dispute in self.disputes.values():
            if dispute.opened_at <= as_of:
                yield dispute.order_id, Happening(dispute.opened_at, 2, dispute.dispute_id)
            if dispute.closed_at and _released(dispute, as_of):
                closed = Happening(dispute.closed_at, 3, dispute.dispute_id)
                opening = self._opening(closed)
                yield (opening and opening.order_id) or dispute.order_id, closed

    def _opening(self, what: Happening) -> Line | None:
        """The frozen claim that a closed dispute releases, wherever its raw row and its order went since."""
        return self.frozen_lines.get(f"dispute_opened:{what.source_id}") if what.rank == 3 else None

    def _order(self, order_id: str, as_of: datetime) -> Order | None:
        """The order, if it exists at `as_of`."""
        order = self.orders.get(order_id)
        return None if order is None or (order.captured_at and order.captured_at > as_of) else order

    def _sale(self, order_id: str, as_of: datetime, terms: Terms) -> Line | None:
        """The sale line of an order, frozen or not."""
        line_id = f"sale:{order_id}"
        order = self._order(order_id, as_of)
        if line_id in self.frozen_lines or order is None or self._why_no_sale(order):
            return self.frozen_lines.get(line_id)
        assert order.captured_at and order.seller_id
        window = terms.window_of(terms.local_date(order.captured_at))
        return Line(
            line_id=line_id,
            seller_id=order.seller_id,
            currency=order.currency,
            order_id=order_id,
            kind="sale",
            source_id=order_id,
            event_at=order.captured_at,
            order_window=window,
            home_window=window,
            payout_window=self._settled_in(window, terms),
            gross=order.gross_amount,
            fees=order.fee_amount,
        )

    def _settled_in(self, home: date, terms: Terms) -> date:
        return home if home < terms.settlement_start else max(home, self.first_unfrozen(terms))

    def _why_no_sale(self, order: Order) -> str:
        if order.status not in ("confirmed", "fulfilled"):
            return f"order_{order.status}"
        if order.captured_at is None:
            return "order_not_captured"
        if order.seller_id is None:
            return "order_without_seller"
        return "" if order.seller_id in self.sellers else "order_of_unknown_seller"

    def _bare_line(self, what: Happening, stands_on: Line | None, terms: Terms) -> Line | None:
        """The line of an event but for what it claws back; it stands on the sale, or on a frozen claim."""
        if stands_on is None or what.kind == "sale":
            return stands_on
        home = terms.home(stands_on.order_window, what.at)
        line = Line(
            line_id=what.line_id,
            seller_id=stands_on.seller_id,
            currency=stands_on.currency,
            order_id=stands_on.order_id,
            kind=what.kind,
            source_id=what.source_id,
            event_at=what.at,
            order_window=stands_on.order_window,
            home_window=home,
            payout_window=self._settled_in(home, terms),
        )
        if what.kind == "refund":
            refund = self.refunds[what.source_id]
            return replace(line, refunds=refund.amount, fees=-refund.fee_refund_amount)
        return replace(line, claim=self.disputes[what.source_id].amount)

    def _order_lines(self, order_id: str, lines: list[Line], as_of: datetime, terms: Terms) -> Iterator[Line]:
        """The order's lines that are not frozen, with what they claw back.

        History comes first, then what is frozen as it was booked, then the rest in the order of events:
        what arrives late finds the money where the frozen lines have left it.
        """
        frozen = [line for line in self.frozen_lines.values() if line.order_id == order_id]
        history = [line for line in lines if line.payout_window < terms.settlement_start]
        claim = self._claim(order_id, as_of)
        for line in history + sorted(frozen, key=_when):
            taken = claim.take(line)
            if not line.is_frozen:
                yield taken
        for line in lines:
            if line not in history:
                yield claim.take(line)

    def _claim(self, order_id: str, as_of: datetime) -> Claim:
        sale, order = self.frozen_lines.get(f"sale:{order_id}"), self._order(order_id, as_of)
        if sale:
            return Claim(sale.gross, sale.fees)
        return Claim(order.gross_amount, order.fee_amount) if order else Claim(ZERO, ZERO)

    def restated(self, line: Line, as_of: datetime) -> Decimal:
        """What a frozen sale's or refund's raw row says by now, less what the line gave the seller."""
        if line.kind == "sale":
            order = self._order(line.source_id, as_of)
            is_his = (
                order is not None
                and order.captured_at is not None
                and not self._why_no_sale(order)
                and (order.seller_id, order.currency) == (line.seller_id, line.currency)
            )
            says = order.gross_amount - order.fee_amount if order and is_his else ZERO
            return says - (line.gross - line.fees)
        if line.kind == "refund":
            refund = self.refunds[line.source_id]
            is_its_own = refund.order_id == line.order_id and refund.refunded_at <= as_of
            says = refund.fee_refund_amount - refund.amount if is_its_own else ZERO
            return says + line.refunds + line.fees
        return ZERO

    def _unsettled(self, order_id: str, what: Happening, as_of: datetime) -> Unsettled:
        order = self._order(order_id, as_of)
        kind = {"sale": "order", "refund": "refund", "dispute_opened": "dispute"}.get(what.kind, "")
        reason = "unknown_order" if order is None else self._why_no_sale(order)
        return Unsettled(kind, what.source_id, order_id, order.seller_id if order else None, reason)

    # Rows

    def _rows(
        self, lines: list[Line], health: dict[str, Health], as_of: datetime, terms: Terms
    ) -> Iterator[Row]:
        promised = {payout.key: payout for payout in self.payouts.values() if not payout.request}
        for row in self.frozen_rows.values():
            payout = promised.get(row.key)
            yield (
                row
                if payout is None
                else replace(
                    row,
                    status=payout.status,
                    block_reasons=payout.block_reasons,
                    failure_reason=payout.failure_reason,
                )
            )
        due = terms.latest_due(as_of)
        first = self.first_unfrozen(terms)
        parties = {(line.seller_id, line.currency) for line in lines}
        for seller_id, currency in sorted(parties):
            own = [line for line in lines if (line.seller_id, line.currency) == (seller_id, currency)]
            for window in sorted({line.payout_window for line in own}):
                if window < terms.settlement_start:
                    yield self._row(RowKey(window, seller_id, currency), own, terms, "before_start")
            yield from self._open_rows(seller_id, currency, own, first, due, health, as_of, terms)

    def _open_rows(
        self,
        seller_id: str,
        currency: str,
        own: list[Line],
        first: date,
        due: date,
        health: dict[str, Health],
        as_of: datetime,
        terms: Terms,
    ) -> Iterator[Row]:
        """The seller's rows that are not frozen, each beginning with what the one before passes on."""
        balance = self._frozen_balance(seller_id, currency)
        windows = {line.payout_window for line in own if line.payout_window >= first}
        for window in sorted(windows | ({due} if due >= first else set())):
            key = RowKey(window, seller_id, currency)
            bare = self._row(key, own, terms, "pending" if window > due else "carried_forward")
            carry_in, balance = balance, balance + bare.net - bare.disputes + bare.adjustments
            if window not in windows and balance == 0:
                continue
            row = replace(bare, carry_in=carry_in, carry_out=balance)
            if window == due:
                row = replace(row, held=self._held((seller_id, currency), own, due, as_of, terms))
                row = self._pay(row, health.get(seller_id), as_of, terms)
                balance = row.carry_out + (row.payable if row.status == "blocked" else ZERO)
            yield row

    def _frozen_balance(self, seller_id: str, currency: str) -> Decimal:
        cash = sum(
            (
                line.cash
                for line in self.frozen_lines.values()
                if (line.seller_id, line.currency) == (seller_id, currency)
            ),
            ZERO,
        )
        return cash + self._recovered(seller_id, currency) - self._paid_out(seller_id, currency, HOLDS_MONEY)

    def _recovered(self, seller_id: str, currency: str) -> Decimal:
        """What the seller has sent for a debt that stands in his balance."""
        return sum(
            (
                adjustment.bookings().get("seller_payable", ZERO)
                for adjustment in self.adjustments.values()
                if (adjustment.seller_id, adjustment.currency) == (seller_id, currency)
            ),
            ZERO,
        )

    def _paid_out(self, seller_id: str, currency: str, states: Iterable[str]) -> Decimal:
        return sum(
            (
                payout.amount
                for payout in self.payouts.values()
                if payout.key[1:] == (seller_id, currency) and payout.status in states
            ),
            ZERO,
        )

    def _row(self, key: RowKey, own: list[Line], terms: Terms, status: str) -> Row:
        lines = [line for line in own if line.payout_window == key.payout_window]
        seller = self.sellers.get(key.seller_id)
        return Row(
            key=key,
            gross=sum((line.gross for line in lines), ZERO),
            fees=sum((line.fees for line in lines), ZERO),
            refunds=sum((line.refunds for line in lines), ZERO),
            disputes=sum((line.disputes for line in lines), ZERO),
            adjustments=sum((line.adjustments for line in lines), ZERO),
            carry_in=ZERO,
            payable=ZERO,
            carry_out=ZERO,
            # What was before the start was settled elsewhere, who knows how.
            rail=rail_of(seller) if seller and status != "before_start" else None,
            status=status,
            block_reasons=(),
            order_count=sum(line.kind == "sale" for line in lines),
            late_line_count=sum(line.is_late for line in lines),
            window_ends_at=terms.ends_at(key.payout_window),
            reserve_closes_at=terms.reserve_closes_at(key.payout_window),
        )

    def _pay(self, row: Row, health: Health | None, as_of: datetime, terms: Terms) -> Row:
        seller = self.sellers[row.key.seller_id]
        minimum_balance, minimum_payout = floors()[seller.seller_type]
        payable = max(ZERO, row.carry_out - minimum_balance - row.held)
        if payable == 0 or payable < minimum_payout:
            return row
        reasons = tuple(sorted(self._block_reasons(row, seller, health, as_of, terms)))
        return replace(
            row,
            payable=payable,
            carry_out=row.carry_out - payable,
            status="blocked" if reasons else "ready",
            block_reasons=reasons,
        )

    def _block_reasons(
        self, row: Row, seller: Seller, health: Health | None, as_of: datetime, terms: Terms
    ) -> Iterator[str]:
        cleared = any(
            who == seller.seller_id and as_of < at + timedelta(days=terms.clearance_days)
            for who, at in self.clearances
        )
        if health and health.reasons and not cleared:
            yield "manual_review"
        if seller.status != "active":
            yield "seller_inactive"
        if row.rail is None:
            yield "no_rail"
        elif check_destination(row.rail, seller.wallet_address or "") is not None:
            yield "invalid_wallet"
        if seller.settlement_currency != row.key.currency:
            yield "currency_mismatch"
        changed_at = seller.wallet_changed_at
        if changed_at and as_of - timedelta(hours=terms.quiet_hours) < changed_at <= as_of:
            yield "wallet_recently_changed"
        if (seller.seller_id, row.key.payout_window) in self.holds:
            yield "on_hold"
        if self.is_undecided((seller.seller_id, row.key.currency)):
            yield "exception_pending"

    def is_undecided(self, party: Party) -> bool:
        """Whether an exception is open that concerns the seller's money."""
        return any(each.wish and party in each.concerns for each in self.adjustments.values())

    # The freeze

    def _freeze(self, as_of: datetime, terms: Terms) -> None:
        seen = self.marts(as_of, terms)
        due = terms.latest_due(as_of)
        first = self.first_unfrozen(terms)
        parties = {(debt.applied_to, debt.currency) for debt in self.adjustments.values()}
        balances = {party: self._frozen_balance(*party) for party in parties}
        for line in seen.lines.values():
            if terms.settlement_start <= line.payout_window <= due:
                self.frozen_lines[line.line_id] = replace(line, is_frozen=True)
        self.last_frozen = due
        while first <= due:
            for row in sorted(seen.rows.values(), key=lambda row: row.key):
                if row.key.payout_window == first:
                    self._promise(replace(row, is_frozen=True))
                    balances[row.key.seller_id, row.key.currency] = row.payable + row.carry_out
            self._settle(first, balances)
            first += timedelta(days=7)

    def _promise(self, row: Row) -> None:
        self.frozen_rows[row.key] = row
        if not row.payable:
            return
        assert self.last_frozen
        party = row.key[1:]
        rows = {key.payout_window for key in self.frozen_rows if key[1:] == party}
        others = [other for other in self.payouts.values() if other.key[1:] == party]
        paid = {window for other in others if other.status in HOLDS_MONEY for window in other.covers}
        self._add(
            Payout(
                number=self._next_number(),
                key=row.key,
                amount=row.payable,
                rail=row.rail,
                destination=self.sellers[row.key.seller_id].wallet_address,
                covers=frozenset(rows - paid),
                status=row.status,
                since=self.last_frozen,
                block_reasons=row.block_reasons,
            )
        )

    def _next_number(self) -> str:
        return f"JPO{len(self.payouts) + 1:07}"

    def _add(self, payout: Payout) -> None:
        self.payouts[payout.number] = payout

    def _settle(self, window: date, balances: dict[Party, Decimal]) -> None:
        """What stands in the window is applied; what the balances after it cover is settled, oldest first."""
        for line in self.frozen_lines.values():
            if line.kind == "adjustment" and line.payout_window == window:
                entered = replace(self.adjustments[line.source_id], status="applied", payout_window=window)
                self.adjustments[line.source_id] = entered
        open_ones = [each for each in self.adjustments.values() if each.is_line and each.status == "applied"]
        covered = {each.number: each.unsettled for each in open_ones if each.sign > 0}
        for party, balance in balances.items():
            debts = [
                each for each in open_ones if each.sign < 0 and (each.applied_to, each.currency) == party
            ]
            covered |= settle_oldest_first(debts, max(ZERO, -balance))
        for number, amount in covered.items():
            after = self.adjustments[number]
            after = replace(after, settled=(*after.settled, (window, amount)))
            self.adjustments[number] = after if after.unsettled else replace(after, status="settled")

    # Payouts

    def move(self, payout: Payout, status: str, failure_reason: str | None = None) -> None:
        """A payout's new state; what has left is not blocked."""
        assert self.last_frozen
        self.payouts[payout.number] = replace(
            payout,
            status=status,
            since=self.last_frozen,
            before=len(self.payouts),
            block_reasons=(),
            failure_reason=failure_reason,
        )

    def block(self, payout: Payout, reasons: set[str]) -> None:
        """What keeps a payout back that has not left: other reasons than before, or none any more."""
        assert self.last_frozen
        status = "blocked" if reasons else "ready"
        since = payout.since if status == payout.status else self.last_frozen
        self.payouts[payout.number] = replace(
            payout, status=status, since=since, block_reasons=tuple(sorted(reasons))
        )

    def has_rolled(self, payout: Payout) -> bool:
        """Whether a window was frozen with its money since it was kept back, or did not arrive; or whether
        what did not arrive was requested since."""
        assert self.last_frozen
        if payout.status not in ("blocked", "failed", "returned"):
            return False
        is_requested = payout.status != "blocked" and self.was_requested(payout)
        return is_requested or self.last_frozen > max(payout.since, payout.key.payout_window)

    def was_requested(self, payout: Payout) -> bool:
        """Whether a request was approved for its seller since its status changed."""
        later = list(self.payouts.values())[payout.before :]
        return any(
            other.request and other.party == payout.party and other.status != "blocked" for other in later
        )

    def told(self, number: str, reference: str) -> Execution | None:
        """The last word on a transfer."""
        words = [each for each in self.executions.get(number, []) if each.reference == reference]
        return words[-1] if words else None

    def note(self, number: str, reference: str, amount: Decimal) -> None:
        """A transfer is heard of; what was heard before of it is no news."""
        words = self.executions.setdefault(number, [])
        known = self.told(number, reference)
        if known is None or known.amount != amount:
            count = sum(each.reference == reference for each in words)
            name = f"{reference}#{count + 1}" if count else reference
            words.append(Execution(reference, name, amount))

    def known_amount(self, payout: Payout) -> Decimal:
        """What was last heard to have left; what was promised as long as nothing was heard."""
        executed = self.executions.get(payout.number)
        return executed[-1].amount if executed else payout.amount

    def left_amount(self, number: str) -> Decimal:
        """All that has left and stayed away. What the rail speaks of last did, whatever it said before."""
        words = self.executions.get(number, [])
        first = max(self.judged.get(number, 0), min(self.came_back.get(number, 0), len(words) - 1))
        last_words = {each.reference: each.amount for each in words[first:]}
        return sum(last_words.values(), ZERO)

    # The ledger

    def ledger(self) -> dict[tuple[str, str, str], Decimal]:
        """What stands on each account of a seller in a currency; without those on which nothing does."""
        accounts: dict[tuple[str, str, str], Decimal] = {}

        def add(account: str, party: Party, amount: Decimal) -> None:
            accounts[account, *party] = accounts.get((account, *party), ZERO) + amount

        for line in self.frozen_lines.values():
            party = line.seller_id, line.currency
            add("seller_payable", party, line.cash)
            add("platform_fees", party, line.fees)
            add("sales_clearing", party, line.refunds + line.disputes - line.gross)
        for payout in self.payouts.values():
            account = "payouts_paid" if payout.status in PAID else "payouts_in_transit"
            if payout.status in (*PAID, *IN_TRANSIT):
                add("seller_payable", payout.party, -payout.amount)
                add(account, payout.party, payout.amount)
        for adjustment in self.adjustments.values():
            for account, amount in adjustment.bookings().items():
                add(account, (adjustment.seller_id, adjustment.currency), amount)
            if adjustment.payout_window is not None:
                # In another seller's row it leaves each of the two with accounts that sum to zero.
                add("sales_clearing", (adjustment.seller_id, adjustment.currency), adjustment.signed)
                add("sales_clearing", (adjustment.applied_to, adjustment.currency), -adjustment.signed)
        return {key: amount for key, amount in accounts.items() if amount}

    # Balances and health

    def _balances(self, lines: list[Line], as_of: datetime, terms: Terms) -> Iterator[Balance]:
        settled = [line for line in lines if line.payout_window >= terms.settlement_start]
        due = max(terms.latest_due(as_of), self.last_frozen or date.min)
        for seller_id, currency in sorted({(line.seller_id, line.currency) for line in settled}):
            own = [line for line in settled if (line.seller_id, line.currency) == (seller_id, currency)]
            open_windows = {line.payout_window for line in own if line.payout_window > due}
            payouts = sorted(
                (payout for payout in self.payouts.values() if payout.key[1:] == (seller_id, currency)),
                key=lambda payout: (payout.key.payout_window, payout.number),
            )
            in_transit = self._paid_out(seller_id, currency, IN_TRANSIT)
            yield Balance(
                seller_id=seller_id,
                currency=currency,
                pending_balance=sum((line.cash for line in own if line.payout_window > due), ZERO),
                available_balance=sum((line.cash for line in own if line.payout_window <= due), ZERO)
                + self._recovered(seller_id, currency)
                - self._paid_out(seller_id, currency, PAID)
                - in_transit,
                in_transit=in_transit,
                reserve_closes_at=terms.reserve_closes_at(min(open_windows)) if open_windows else None,
                last_payout_status=payouts[-1].status if payouts else None,
                last_failure_reason=payouts[-1].failure_reason if payouts else None,
            )

    def _health(self, lines: list[Line], as_of: datetime, terms: Terms) -> dict[str, Health]:
        day = terms.local_date(as_of)
        month = (terms.midnight(day - timedelta(days=30)), terms.midnight(day))
        week = (terms.midnight(day - timedelta(days=7)), terms.midnight(day))
        # Adjustments are no trade: they say nothing about the seller's health.
        recent = [line for line in lines if line.event_at and month[0] <= line.event_at < month[1]]
        disputes = [
            (*owner, dispute)
            for dispute in self.disputes.values()
            if month[0] <= dispute.opened_at < month[1]
            and not _released(dispute, as_of)
            and (owner := self._owner(dispute, lines, as_of))
        ]
        parties = {(line.seller_id, line.currency) for line in recent} | {
            (seller_id, currency) for seller_id, currency, _ in disputes
        }
        return {
            seller_id: self._seller_health(
                seller_id,
                [line for line in recent if line.seller_id == seller_id],
                [dispute for who, _, dispute in disputes if who == seller_id],
                tuple(sorted(currency for who, currency in parties if who == seller_id)),
                week[0],
            )
            for seller_id in {who for who, _ in parties}
        }

    def _owner(self, dispute: Dispute, lines: list[Line], as_of: datetime) -> tuple[str, str] | None:
        """Seller and currency of a dispute: its line's, else its order's; None if nobody knows the seller."""
        for line in lines:
            if line.line_id == f"dispute_opened:{dispute.dispute_id}":
                return line.seller_id, line.currency
        order = self._order(dispute.order_id, as_of)
        if order is None or order.seller_id not in self.sellers:
            return None
        assert order.seller_id
        return order.seller_id, order.currency

    def _seller_health(
        self,
        seller_id: str,
        lines: list[Line],
        disputes: list[Dispute],
        currencies: tuple[str, ...],
        week_begins: datetime,
    ) -> Health:
        sales = [line for line in lines if line.kind == "sale"]
        last_sales = [line for line in sales if line.event_at and line.event_at >= week_begins]
        activity = Activity(
            orders=len(sales),
            disputes=len(disputes),
            disputes_7d=sum(dispute.opened_at >= week_begins for dispute in disputes),
            gross=sum((line.gross for line in sales), ZERO),
            disputed=sum((dispute.amount for dispute in disputes), ZERO),
            refunded=sum((line.refunds for line in lines), ZERO),
            orders_7d=len(last_sales),
            gross_7d=sum((line.gross for line in last_sales), ZERO),
        )
        score, reasons = judge(activity)
        return Health(
            seller_id=seller_id,
            activity=activity,
            fees=sum((line.fees for line in sales), ZERO),
            score=score,
            reasons=reasons,
            currencies=currencies,
        )


def _when(line: Line) -> tuple[datetime, int]:
    assert line.event_at
    return line.event_at, KINDS.index(line.kind)


def _released(dispute: Dispute, as_of: datetime) -> bool:
    return (
        dispute.status in ("won", "withdrawn")
        and dispute.closed_at is not None
        and dispute.closed_at <= as_of
    )


def judge(seen: Activity) -> tuple[Decimal, tuple[str, ...]]:
    """The health score and the reasons for a review."""
    with localcontext() as context:
        context.prec = 50
        calm_days = Decimal(7) / 23
        dispute_rate = Decimal(seen.disputes + 1) / (seen.orders + 200)
        disputed_value = (seen.disputed + 25) / (seen.gross + 5000)
        refund_value = (seen.refunded + 250) / (seen.gross + 5000)
        expected = max(
            (seen.disputes - seen.disputes_7d) * calm_days,
            seen.orders_7d * Decimal("0.005"),
            Decimal("0.5"),
        )
        z = (seen.disputes_7d - expected) / expected.sqrt()
        growth = Decimal(0)
        if seen.orders_7d >= 20:
            growth = seen.gross_7d / max((seen.gross - seen.gross_7d) * calm_days, Decimal(1000))
        risk = (
            Decimal("0.40") * _clamp((dispute_rate - Decimal("0.005")) / Decimal("0.010"))
            + Decimal("0.20") * _clamp((disputed_value - Decimal("0.005")) / Decimal("0.015"))
            + Decimal("0.15") * _clamp((refund_value - Decimal("0.05")) / Decimal("0.25"))
            + Decimal("0.15") * _clamp((z - 2) / 4)
            + Decimal("0.10") * _clamp((growth - 3) / 7)
        )
        score = (100 * (1 - risk)).quantize(Decimal("0.1"), ROUND_HALF_UP)
    reasons = {
        "low_score": score < 60,
        "dispute_spike": seen.disputes_7d >= 3 and z >= 3,
        "volume_spike": seen.orders_7d >= 20 and growth >= 5,
        "disputes_without_sales": seen.orders == 0 and seen.disputes > 0,
    }
    return score, tuple(sorted(reason for reason, holds in reasons.items() if holds))


def _clamp(value: Decimal) -> Decimal:
    return min(Decimal(1), max(Decimal(0), value))


def rail_of(seller: Seller) -> str | None:
    """The seller's own rail if the region allows it, else the region's default; None without a region."""
    rails = [row for row in _seed("region_rails") if row["region"] == seller.region]
    if seller.preferred_rail in [row["rail"] for row in rails]:
        return seller.preferred_rail
    return next((row["rail"] for row in rails if row["is_default"] == "true"), None)


def policy_of(seller: Seller, of_class: str, own: str | None) -> tuple[str, bool]:
    """(mode, whether a document is needed): of the seller's product, else his `own`, else everybody's."""
    policies = [row for row in _seed("adjustment_policies") if row["class"] == of_class]
    for row in policies:
        if (row["scope"], row["scope_value"]) == ("product", seller.product):
            return row["mode"], row["needs_document"] == "true"
    if own:
        return own, False
    default = next(row for row in policies if row["scope"] == "default")
    return default["mode"], default["needs_document"] == "true"


def reversal_reasons() -> dict[str, tuple[bool, str]]:
    """(whether evidence is needed, direction of the obligation) per reason."""
    return {
        row["reason"]: (row["needs_evidence"] == "true", row["direction"])
        for row in _seed("reversal_reasons")
    }


def floors() -> dict[str, tuple[Decimal, Decimal]]:
    """(minimum balance, minimum payout) per type of seller."""
    return {
        row["seller_type"]: (Decimal(row["minimum_balance"]), Decimal(row["minimum_payout"]))
        for row in _seed("seller_policies")
    }


def _seed(name: str) -> list[dict[str, str]]:
    with (project_dir() / "seeds" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))

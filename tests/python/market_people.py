"""What rails answer and people decide between two Sundays: the same for the same dice and books."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_UP, Decimal
from random import Random

from deeds import (
    Answer,
    Apply,
    Ask,
    Cancel,
    Decide,
    Deed,
    Deviate,
    DropPlan,
    EndHold,
    Execute,
    HandOver,
    KeepBack,
    NotAllowedError,
    OwnPolicy,
    Plan,
    Propose,
    ProposeFrom,
    Resolution,
    Resolve,
    Reverse,
    RunPlans,
    Settle,
    Verdict,
    Word,
    do,
)
from obligations import CREDIT, DEDUCTION, HAPPENED, INVOICE, RECOVERY, Adjustment, Wish
from reference import Books, Order, Payout, reversal_reasons

OWN_POLICIES: tuple[OwnPolicy, ...] = (None, None, None, "exception", "manual")
CENT = Decimal("0.01")
HELD_AMOUNTS = ("0.01", "40.00", "250.00", "5000.00")
AMOUNTS = ("0.01", "5.00", "20.00", "33.33", "75.50", "150.00", "600.00", "1500.00")


@dataclass(frozen=True)
class Denied:
    """What the rules do not allow: the database has to refuse it too."""

    deed: Deed


Done = Deed | Denied


def attempt(books: Books, deed: Deed) -> Iterator[Done]:
    try:
        do(books, deed)
    except NotAllowedError:
        yield Denied(deed)
    else:
        yield deed


def tuesday(books: Books, salt: str) -> Iterator[Done]:
    """Windows go out, and the rails say what became of the payouts."""
    groups = {payout.leaves_with for payout in books.payouts.values()} - books.handed_over
    for named in sorted(groups, key=str):
        chance = Random(f"{salt}/{named}").random()
        if chance < 0.1:
            yield from attempt(books, HandOver(named, is_refused=True))
        if chance < 0.9:
            yield from attempt(books, HandOver(named))
    for _, payout in sorted(books.payouts.items()):
        if payout.rail != "MANUAL":
            word = _word(books, payout, Random(f"{salt}/{payout.key}{payout.request or ''}"))
            if word:
                yield from attempt(books, word)


def _word(books: Books, payout: Payout, dice: Random) -> Word | None:
    number, amount, chance = payout.number, payout.amount, dice.random()
    reference = _next_reference(books, number)
    if payout.status == "submitted":
        if chance < 0.45:
            return Word(number, "completed", amount, reference)
        if chance < 0.65:
            return Word(number, "completed", _other_amount(dice, amount), reference)
        if chance < 0.82:
            return Word(number, "failed", amount, reference)
    elif payout.status in ("failed", "returned") and chance < 0.45:
        # The rail says that it has paid after all; or again what a person has judged already.
        known = books.executions.get(number)
        if known and dice.random() < 0.4:
            return Word(number, "completed", known[-1].amount, known[-1].reference)
        return Word(number, "completed", amount, reference)
    elif payout.status == "paid" and books.known_amount(payout) != amount and chance < 0.6:
        # What a person has accepted comes back.
        return Word(number, dice.choice(("failed", "returned")), amount, reference)
    elif payout.status == "paid" and chance < 0.1:
        # Of the same transfer, or of another one.
        known = books.executions.get(number)
        again = known[-1].reference if known and dice.random() < 0.6 else reference
        return Word(number, "completed", _other_amount(dice, books.known_amount(payout)), again)
    elif payout.status == "paid" and chance < 0.35:
        return Word(number, dice.choice(("failed", "returned")), amount, reference)
    return None


def _next_reference(books: Books, number: str) -> str:
    """No transfer has had it yet."""
    return f"TX {number} {len(books.executions.get(number, ())) + 1}"


def people(books: Books, salt: str, as_of: datetime, at: datetime) -> Iterator[Done]:
    """A day at the desks; `as_of` is what the last run spoke for. Before the first freeze there is none."""
    if books.last_frozen is None:
        return
    dice = Random(salt)
    for number, adjustment in sorted(books.adjustments.items()):
        if adjustment.wish and dice.random() < 0.6:
            verdict: Verdict = "approved" if dice.random() < 0.75 else "rejected"
            yield from attempt(books, Decide(number, verdict, is_own=dice.random() < 0.1))
    yield from _of_payouts(books, dice, are_requested=False)
    for _ in range(dice.randrange(6)):
        yield from attempt(books, _proposal(books, dice))
    for line_id in _breaks(books, dice, as_of):
        yield from attempt(books, ProposeFrom(line_id, as_of, dice.choice(OWN_POLICIES)))
    for number in sorted(books.adjustments):
        wanted = _of_adjustment(books, books.adjustments[number], dice)
        if wanted:
            yield from attempt(books, wanted)
    # Dice of their own: what else people do does not hang on it. With these a few seeds meet every rule.
    yield from keepers(books, Random(f"{salt}/holds2"), as_of)
    yield from askers(books, Random(f"{salt}/requests"), at)


def keepers(books: Books, dice: Random, as_of: datetime) -> Iterator[Done]:
    """What is held and released on a day at the desks."""
    for number, hold in sorted(books.escrow_holds.items()):
        if dice.random() < 0.3 and hold.status == "active":
            yield from attempt(books, EndHold(number, "released" if dice.random() < 0.7 else "cancelled"))
    for _ in range(dice.randrange(3)):
        # To the instant of the next run, where that is a week later.
        until = dice.choice((None, None, as_of + timedelta(days=7), as_of + timedelta(days=8)))
        # What has a time is noted by hand: whose it is was looked up.
        sellers = sorted(books.sellers) if until else [*sorted(books.sellers), "nobody"]
        currency = "USDT" if dice.random() < 0.8 else "USDC"
        amount = Decimal(dice.choice(HELD_AMOUNTS))
        yield from attempt(books, KeepBack(dice.choice(sellers), currency, amount, until))
    ended = sorted(number for number, hold in books.escrow_holds.items() if hold.status != "active")
    if ended and dice.random() < 0.3:
        yield from attempt(books, EndHold(dice.choice(ended), "released"))


def askers(books: Books, dice: Random, at: datetime) -> Iterator[Done]:
    """What is asked for between two windows, and decided on."""
    if not books.frozen_rows:
        return
    yield from _of_payouts(books, dice, are_requested=True)
    for _ in range(dice.randrange(6)):
        yield from attempt(books, Ask(*_wanted(books, dice)))
    if dice.random() < 0.5:
        due_at = at + timedelta(days=dice.choice((-1, 0, 6)))
        yield from attempt(books, Plan(*_wanted(books, dice), due_at))
    # Orders that are loaded early are not known yet.
    guaranteed = sorted(
        order.order_id
        for order in books.orders.values()
        if order.guarantee_ends_at and books.known_order(order.order_id)
    )
    if guaranteed and dice.random() < 0.5:
        yield from attempt(books, _plan_by_guarantee(books, dice, books.orders[dice.choice(guaranteed)]))
    for number in sorted(books.schedules):
        if dice.random() < 0.1:
            yield from attempt(books, DropPlan(number))
    yield from attempt(books, RunPlans(at))
    for number, request in sorted(books.requests.items()):
        chance = dice.random()
        if request.decision is None and chance < 0.8:
            yield from attempt(books, Answer(number, "approved", is_own=chance < 0.1))
        elif chance > 0.85:
            yield from attempt(books, Answer(number, "rejected"))
        payout = books.payout_of(number)
        if payout and number not in books.handed_over and dice.random() < 0.4:
            yield from attempt(books, HandOver(number, is_refused=dice.random() < 0.3))
        elif payout and payout.rail != "MANUAL" and (word := _word(books, payout, dice)):
            yield from attempt(books, word)


def _plan_by_guarantee(books: Books, dice: Random, order: Order) -> Plan:
    """For all of it or a cent; now and then for another seller."""
    seller_id = order.seller_id if order.seller_id and dice.random() < 0.9 else min(books.sellers)
    amount = max(CENT, dice.choice((order.gross_amount, CENT)))
    return Plan(seller_id, order.currency, amount, None, order.order_id)


def _wanted(books: Books, dice: Random) -> tuple[str, str, Decimal]:
    """Mostly of whom something can be had: all of it, a part, or a cent too much."""
    parties = sorted({key[1:] for key in books.frozen_rows})
    left = {party: books.requestable(party) - books.asked_for(party) for party in parties}
    having = [party for party in parties if left[party] > 0 and books.is_payable(party)]
    party = dice.choice(having if having and dice.random() < 0.8 else parties)
    most = max(left[party], CENT)
    amount = dice.choice((most, most, most / 3, most / 2, most + CENT)).quantize(CENT, ROUND_UP)
    return *party, amount


def _other_amount(dice: Random, amount: Decimal) -> Decimal:
    return max(Decimal("0.01"), amount + Decimal(dice.choice(("-20.00", "-0.01", "0.01", "35.00"))))


def _of_payouts(books: Books, dice: Random, *, are_requested: bool) -> Iterator[Done]:
    for _, payout in sorted(books.payouts.items()):
        if bool(payout.request) == are_requested:
            for deed in _of_payout(books, payout, dice):
                yield from attempt(books, deed)


def _of_payout(books: Books, payout: Payout, dice: Random) -> Iterator[Deed]:
    """What becomes of one, deed by deed: each sees what the one before has done."""
    number, chance = payout.number, dice.random()
    own = dice.choice(OWN_POLICIES)
    if payout.status == "submitted" and payout.rail == "MANUAL":
        if chance < 0.65:
            amount = payout.amount if chance < 0.4 else _other_amount(dice, payout.amount)
            yield Execute(number, _next_reference(books, number), amount)
        elif chance < 0.85:
            yield Resolve(number, "retry", has_proof=False)
    elif payout.status == "awaiting_reconciliation":
        if chance < 0.2:
            amount = dice.choice((payout.amount, _other_amount(dice, payout.amount)))
            yield Execute(number, _next_reference(books, number), amount)
            yield Resolve(number, "accept", has_proof=False, is_own=True)
        if chance < 0.7:
            verdict: Resolution = "accept" if dice.random() < 0.6 else "retry"
            yield Resolve(number, verdict, has_proof=dice.random() < 0.8, policy=own)
    elif payout.status == "paid" and chance < 0.12:
        reason = dice.choice(sorted(reversal_reasons()))
        if chance < 0.04:
            seller_id, currency = payout.party
            yield Propose(seller_id, currency, RECOVERY, payout.amount, has_document=True, about=number)
            recovery = max(books.adjustments)
            yield Apply(recovery, seller_id, currency)
            yield Settle(recovery, has_document=True)
            reason = "duplicate_payment"
        yield Reverse(number, reason, has_evidence=dice.random() < 0.8, policy=own)
    elif chance < 0.01:
        yield Reverse(number, "compliance", has_evidence=True)


def _proposal(books: Books, dice: Random) -> Propose:
    of_class = dice.choice((DEDUCTION, DEDUCTION, CREDIT, CREDIT, INVOICE, RECOVERY))
    return Propose(
        seller_id=dice.choice([*sorted(books.sellers), "nobody"]),
        currency=dice.choice(("USDT", "USDT", "USDT", "USDC")),
        of_class=of_class,
        amount=Decimal(dice.choice(AMOUNTS)),
        has_document=dice.random() < 0.6,
        policy=dice.choice(OWN_POLICIES),
    )


def _breaks(books: Books, dice: Random, as_of: datetime) -> Iterator[str]:
    """Frozen lines whose raw rows have changed, or that may have left a debt; and now and then any."""
    debtors = {key[1:] for key, amount in books.ledger().items() if key[0] == "seller_payable" and amount < 0}
    for line_id, line in sorted(books.frozen_lines.items()):
        is_debt = line.disputes > 0 and (line.seller_id, line.currency) in debtors
        if dice.random() < (0.3 if is_debt or books.restated(line, as_of) else 0.005):
            yield line_id


def _of_adjustment(books: Books, adjustment: Adjustment, dice: Random) -> Deed | None:
    number, chance, status = adjustment.number, dice.random(), adjustment.status
    if chance < 0.04:
        return Cancel(number)
    if chance < (0.4 if adjustment.source in HAPPENED else 0.2):
        return Deviate(number, _wish(books, adjustment, dice))
    if status == "proposed" and chance < 0.65:
        currency = adjustment.currency if chance < 0.6 else "USD"
        return Apply(number, adjustment.seller_id, currency, is_own=dice.random() < 0.3)
    if status == "applied" and not adjustment.is_line and chance < 0.6:
        return Settle(number, has_document=dice.random() < 0.8)
    if chance > 0.98:
        return dice.choice((Settle(number, True), Apply(number, adjustment.seller_id, adjustment.currency)))
    return None


def _wish(books: Books, adjustment: Adjustment, dice: Random) -> Wish:
    if adjustment.mode == "exception" and adjustment.status == "proposed" and dice.random() < 0.6:
        return Wish("apply")
    kind = dice.randrange(5)
    if kind == 0 or (adjustment.source in HAPPENED and dice.random() < 0.5):
        return Wish("skip")
    if kind == 1:
        assert books.last_frozen
        return Wish("defer", window=books.last_frozen + timedelta(days=dice.choice((7, 14, 21))))
    if kind == 2:
        return Wish("amount", amount=adjustment.applied_amount - Decimal(dice.choice(("0.01", "10.00"))))
    return Wish("out_of_scope", seller_id=dice.choice(sorted(books.sellers)))

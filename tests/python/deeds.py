"""What people and rails do between two Sundays, and what the rules make of it in the books."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from obligations import CREDIT, DEDUCTION, HAPPENED, RECOVERY, ZERO, Adjustment, Party, Wish
from reference import (
    IN_TRANSIT,
    PAID,
    Books,
    EscrowHold,
    Request,
    Schedule,
    policy_of,
    reversal_reasons,
)

# A policy of the seller's own that holds for this one deed; None: what the seeds say.
OwnPolicy = Literal["manual", "exception"] | None
Verdict = Literal["approved", "rejected"]
Resolution = Literal["accept", "retry"]


class NotAllowedError(Exception):
    """The rules refuse this: it changes nothing."""


@dataclass(frozen=True)
class HandOver:
    """A window, or a request that another person approved, goes out; unless the rail refuses the batch."""

    named: date | str
    is_refused: bool = False


@dataclass(frozen=True)
class Word:
    """The rail's final word on a payout."""

    number: str
    status: Literal["completed", "failed", "returned"]
    amount: Decimal
    reference: str


@dataclass(frozen=True)
class Propose:
    seller_id: str
    currency: str
    of_class: str
    amount: Decimal
    has_document: bool
    about: str | None = None
    policy: OwnPolicy = None


@dataclass(frozen=True)
class ProposeFrom:
    """Of a frozen line, by what its raw row said when the last run looked."""

    line_id: str
    as_of: datetime
    policy: OwnPolicy = None


@dataclass(frozen=True)
class Apply:
    number: str
    seller_id: str
    currency: str
    is_own: bool = False


@dataclass(frozen=True)
class Deviate:
    number: str
    wish: Wish


@dataclass(frozen=True)
class Decide:
    number: str
    verdict: Verdict
    is_own: bool = False


@dataclass(frozen=True)
class Settle:
    number: str
    has_document: bool


@dataclass(frozen=True)
class Cancel:
    number: str


@dataclass(frozen=True)
class Execute:
    number: str
    reference: str
    amount: Decimal


@dataclass(frozen=True)
class Resolve:
    """`is_own`: by who executed it."""

    number: str
    verdict: Resolution
    has_proof: bool
    is_own: bool = False
    policy: OwnPolicy = None


@dataclass(frozen=True)
class Reverse:
    number: str
    reason: str
    has_evidence: bool
    policy: OwnPolicy = None


@dataclass(frozen=True)
class KeepBack:
    """A person holds money in a balance."""

    seller_id: str
    currency: str
    amount: Decimal
    release_at: datetime | None


@dataclass(frozen=True)
class EndHold:
    number: str
    how: Literal["released", "cancelled"]


@dataclass(frozen=True)
class Ask:
    """For part of a balance, between two windows."""

    seller_id: str
    currency: str
    amount: Decimal


@dataclass(frozen=True)
class Answer:
    """`is_own`: by who asked."""

    number: str
    verdict: Verdict
    is_own: bool = False


@dataclass(frozen=True)
class Plan:
    """It is to be asked for at this instant, or when the guarantee of this order ends."""

    seller_id: str
    currency: str
    amount: Decimal
    due_at: datetime | None
    order_id: str | None = None


@dataclass(frozen=True)
class DropPlan:
    number: str


@dataclass(frozen=True)
class RunPlans:
    """The job that asks for what is due."""

    at: datetime


Deed = (
    HandOver
    | Word
    | Propose
    | ProposeFrom
    | Apply
    | Deviate
    | Decide
    | Settle
    | Cancel
    | Execute
    | Resolve
    | Reverse
    | KeepBack
    | EndHold
    | Ask
    | Answer
    | Plan
    | DropPlan
    | RunPlans
)


def do(books: Books, deed: Deed) -> None:
    """Let the books follow a deed. Raises NotAllowedError, and leaves them as they were."""
    match deed:
        case HandOver():
            _hand_over(books, deed)
        case Word():
            _hear(books, deed)
        case Propose():
            _propose(books, deed)
        case ProposeFrom():
            _propose_from(books, deed)
        case Apply():
            _apply(books, deed)
        case Deviate(number, wish):
            _deviate(books, books.adjustments[number], wish)
        case Decide():
            _decide(books, books.adjustments[deed.number], deed)
        case Settle(number, has_document):
            adjustment = books.adjustments[number]
            needs_document = adjustment.of_class == RECOVERY
            _require(not adjustment.is_line and adjustment.status == "applied" and not adjustment.wish)
            _require(has_document or not needs_document)
            books.adjustments[number] = replace(adjustment, status="settled")
        case Cancel(number):
            adjustment = books.adjustments[number]
            _require(adjustment.status in ("proposed", "approved") and not adjustment.wish)
            _require(adjustment.source not in HAPPENED)
            books.adjustments[number] = replace(adjustment, status="cancelled")
        case Execute():
            _execute(books, deed)
        case Resolve():
            _resolve(books, deed)
        case Reverse():
            _reverse(books, deed)
        case KeepBack(seller_id, currency, amount, release_at):
            _require(seller_id in books.sellers)
            number = f"HLD{len(books.escrow_holds) + 1:07}"
            books.escrow_holds[number] = EscrowHold((seller_id, currency), amount, release_at)
        case EndHold(number, how):
            hold = books.escrow_holds[number]
            _require(hold.status == "active")
            books.escrow_holds[number] = replace(hold, status=how)
        case Ask(seller_id, currency, amount):
            _ask(books, (seller_id, currency), amount)
        case Answer():
            _answer(books, deed)
        case Plan():
            _plan(books, deed)
        case DropPlan(number):
            schedule = books.schedules[number]
            _require(schedule.status not in ("completed", "cancelled"))
            books.schedules[number] = replace(schedule, status="cancelled")
        case RunPlans(at):
            _run_plans(books, at)


def _require(is_allowed: bool) -> None:
    if not is_allowed:
        raise NotAllowedError


# Payouts


def _hand_over(books: Books, deed: HandOver) -> None:
    """All of the window's ready payouts or none; a seller who has changed since, or whose money is covered by
    another payment, keeps it back. So does a hold, if it is requested money. Of a batch that the rail refuses
    nothing is paid: there is another one of the same."""
    named = deed.named
    going = [
        payout
        for payout in books.payouts.values()
        if payout.leaves_with == named and payout.status == "ready"
    ]
    _require(named not in books.handed_over and bool(going))
    for payout in going:
        seller = books.sellers[payout.key.seller_id]
        _require(seller.status == "active" and seller.wallet_address == payout.destination)
        _require((seller.seller_id, payout.key.payout_window) not in books.holds)
        _require(not payout.request or books.requestable(payout.party) >= 0)
        _require(
            not any(
                other.number != payout.number
                and other.party == payout.party
                and other.status in (*IN_TRANSIT, *PAID)
                and other.covers & payout.covers
                for other in books.payouts.values()
            )
        )
    if deed.is_refused:
        books.refused.add(named)
        return
    books.handed_over.add(named)
    for payout in going:
        books.move(payout, "submitted")


def _hear(books: Books, word: Word) -> None:
    payout = books.payouts[word.number]
    known, is_promised = books.known_amount(payout), word.amount == payout.amount
    last = books.told(payout.number, word.reference)
    match word.status, payout.status:
        case "completed", "submitted" | "failed" | "returned":
            if payout.number in books.judged and last and last.amount == word.amount:
                return
            is_clear = payout.status == "submitted" or (
                payout.status == "failed" and not books.has_rolled(payout)
            )
            books.move(payout, "paid" if is_promised and is_clear else "awaiting_reconciliation")
        case "completed", "paid" if word.amount != known:
            books.move(payout, "awaiting_reconciliation")
        case (("failed" | "returned"), "paid") if known != payout.amount:
            books.move(payout, "awaiting_reconciliation")
        case "failed", "submitted":
            books.move(payout, "failed", "told")
        case ("failed", "paid") | ("returned", "paid" | "submitted"):
            books.move(payout, "returned", "told")
            books.came_back[payout.number] = len(books.executions.get(payout.number, []))
        case _:
            return
    if word.status == "completed":
        books.note(payout.number, word.reference, word.amount)


def _execute(books: Books, deed: Execute) -> None:
    payout = books.payouts[deed.number]
    by_hand = payout.status == "submitted" and payout.rail == "MANUAL"
    _require(by_hand or payout.status == "awaiting_reconciliation")
    books.note(payout.number, deed.reference, deed.amount)
    if by_hand:
        agrees = deed.amount == payout.amount
        books.move(payout, "paid" if agrees else "awaiting_reconciliation")


def _resolve(books: Books, deed: Resolve) -> None:
    """Whatever the end: what has left, and what was recorded because of it, come to what was promised."""
    payout, executed = books.payouts[deed.number], books.executions.get(deed.number)
    unexecuted = deed.verdict == "retry" and payout.rail == "MANUAL" and payout.status == "submitted"
    _require(payout.status == "awaiting_reconciliation" or unexecuted)
    _require(not deed.is_own)
    _require(bool(executed) if deed.verdict == "accept" else deed.has_proof or not executed)
    recorded = sum(
        (
            each.signed
            for each in books.adjustments.values()
            if (each.source, each.source_id, each.status == "cancelled") == ("mismatch", payout.number, False)
        ),
        ZERO,
    )
    if deed.verdict == "accept":
        books.move(payout, "paid")
        difference = payout.amount - books.left_amount(payout.number) - recorded
    else:
        books.move(payout, "failed", "resolved")
        books.judged[payout.number] = len(executed or [])
        difference = -recorded
    if difference:
        of_class = CREDIT if difference > 0 else DEDUCTION
        _record(books, payout.party, of_class, abs(difference), "mismatch", payout.number, deed.policy)


def _reverse(books: Books, deed: Reverse) -> None:
    payout = books.payouts[deed.number]
    needs_evidence, direction = reversal_reasons()[deed.reason]
    _require(payout.status == "paid" and (deed.has_evidence or not needs_evidence))
    is_paid_back = direction == "debit" and any(
        (each.of_class, each.source, each.source_id, each.status, each.amount, each.applied_amount)
        == (RECOVERY, "manual", payout.number, "settled", payout.amount, payout.amount)
        for each in books.adjustments.values()
    )
    books.payouts[payout.number] = replace(payout, status="reversed")
    if not is_paid_back:
        of_class = CREDIT if direction == "credit" else DEDUCTION
        _record(books, payout.party, of_class, payout.amount, "reversal", payout.number, deed.policy)


# Requests


def _ask(books: Books, party: Party, amount: Decimal, schedule: str | None = None) -> None:
    _require(any(key[1:] == party for key in books.frozen_rows))
    _require(amount <= books.requestable(party) - books.asked_for(party))
    books.requests[f"REQ{len(books.requests) + 1:07}"] = Request(party, amount, schedule)


def _answer(books: Books, deed: Answer) -> None:
    request, payout = books.requests[deed.number], books.payout_of(deed.number)
    if deed.verdict == "approved":
        _require(request.decision is None and not deed.is_own and books.is_payable(request.party))
        _require(request.amount <= books.requestable(request.party))
        books.approve(deed.number)
        return
    _require(request.decision != "rejected" and deed.number not in books.handed_over)
    books.requests[deed.number] = replace(request, decision="rejected")
    if payout:
        books.block(payout, {*payout.block_reasons, "request_rejected"})


def _plan(books: Books, deed: Plan) -> None:
    party = deed.seller_id, deed.currency
    _require(deed.seller_id in books.sellers)
    if deed.order_id:
        order = books.known_order(deed.order_id)
        _require(order is not None and order.guarantee_ends_at is not None)
        _require(order is not None and (order.seller_id, order.currency) == party)
    number = f"SCH{len(books.schedules) + 1:07}"
    books.schedules[number] = Schedule(party, deed.amount, deed.due_at, deed.order_id)


def _run_plans(books: Books, at: datetime) -> None:
    """The pauses between tries are shorter than those between two runs of the job."""
    books.release_what_is_over(at)
    for number, schedule in sorted(books.schedules.items()):
        if schedule.status in ("pending", "processing") and books.is_time(schedule, at):
            try:
                _ask(books, schedule.party, schedule.amount, number)
            except NotAllowedError:
                tries = schedule.tries + 1
                schedule = replace(schedule, status="failed" if tries == 3 else "processing", tries=tries)
            else:
                schedule = replace(schedule, status="completed")
            books.schedules[number] = schedule


# Adjustments


def _record(
    books: Books,
    party: Party,
    of_class: str,
    amount: Decimal,
    source: str,
    source_id: str | None,
    own: OwnPolicy,
    *,
    has_document: bool = False,
) -> None:
    mode, needs_document = policy_of(books.sellers[party[0]], of_class, own if of_class != RECOVERY else None)
    _require(has_document or not needs_document or source in HAPPENED)
    adjustment = Adjustment(
        number=f"ADJ{len(books.adjustments) + 1:07}",
        seller_id=party[0],
        currency=party[1],
        of_class=of_class,
        amount=amount,
        source=source,
        source_id=source_id,
        mode=mode,
        status="proposed",
        applied_amount=amount,
        applied_to=party[0],
    )
    if mode == "auto":
        adjustment = replace(adjustment, status="approved" if adjustment.is_line else "applied")
    books.adjustments[adjustment.number] = adjustment
    if mode == "exception":
        _open(books, adjustment, Wish("apply"))


def _propose(books: Books, deed: Propose) -> None:
    _require(deed.seller_id in books.sellers)
    party = deed.seller_id, deed.currency
    _require(deed.about is None or books.payouts[deed.about].party == party)
    _record(
        books,
        party,
        deed.of_class,
        deed.amount,
        "manual",
        deed.about,
        deed.policy,
        has_document=deed.has_document,
    )


def _propose_from(books: Books, deed: ProposeFrom) -> None:
    line = books.frozen_lines.get(deed.line_id)
    _require(line is not None)
    assert line
    party = line.seller_id, line.currency
    own = [each for each in books.adjustments.values() if each.source_id == line.line_id]
    restated = books.restated(line, deed.as_of) - sum(
        (each.signed for each in own if (each.source, each.status == "cancelled") == ("restatement", False)),
        ZERO,
    )
    if restated:
        of_class = CREDIT if restated > 0 else DEDUCTION
        _record(books, party, of_class, abs(restated), "restatement", line.line_id, deed.policy)
        return
    recovering = sum(
        (
            each.applied_amount
            for each in books.adjustments.values()
            if each.source == "dispute"
            and (each.seller_id, each.currency) == party
            and each.status in ("proposed", "applied")
        ),
        ZERO,
    )
    debt = min(line.disputes, -books.ledger().get(("seller_payable", *party), ZERO) - recovering)
    _require(line.kind == "dispute_opened" and debt > 0)
    _require(not any(each.source == "dispute" and each.status != "cancelled" for each in own))
    _record(books, party, RECOVERY, debt, "dispute", line.line_id, None, has_document=True)


def _apply(books: Books, deed: Apply) -> None:
    adjustment = books.adjustments[deed.number]
    party = adjustment.seller_id, adjustment.currency
    _require((deed.seller_id, deed.currency) == party)
    _require(adjustment.status == "proposed" and adjustment.mode == "manual" and not adjustment.wish)
    _require(adjustment.is_line or not deed.is_own)
    # What later earnings have covered is no debt any more.
    is_covered = books.ledger().get(("seller_payable", *party), ZERO) >= 0
    _require(adjustment.source != "dispute" or not is_covered)
    status = "approved" if adjustment.is_line else "applied"
    books.adjustments[deed.number] = replace(adjustment, status=status)


def _deviate(books: Books, adjustment: Adjustment, wish: Wish) -> None:
    ended = ("settled", "cancelled", "applied") if adjustment.is_line else ("settled", "cancelled")
    _require(adjustment.status not in ended and adjustment.wish is None)
    match wish.kind:
        case "apply":
            _require(adjustment.mode == "exception")
        case "defer":
            _require(adjustment.is_line)
        case "amount":
            _require(wish.amount is not None and 0 < wish.amount < adjustment.applied_amount)
        case "out_of_scope":
            _require(adjustment.is_line)
            _require(wish.seller_id in books.sellers and wish.seller_id != adjustment.applied_to)
    _open(books, adjustment, wish)


def _open(books: Books, adjustment: Adjustment, wish: Wish) -> None:
    opened = replace(adjustment, wish=wish)
    books.adjustments[adjustment.number] = opened
    _mark(books, opened.concerns)


def _decide(books: Books, adjustment: Adjustment, deed: Decide) -> None:
    wish = adjustment.wish
    _require(wish is not None and not deed.is_own)
    assert wish
    concerned = adjustment.concerns
    decided = replace(adjustment, wish=None)
    if deed.verdict == "approved":
        decided = replace(
            decided,
            applied_amount=wish.amount or adjustment.applied_amount,
            applied_to=wish.seller_id or adjustment.applied_to,
            not_before=wish.window or adjustment.not_before,
        )
        if wish.kind == "skip":
            decided = replace(decided, status="cancelled")
        elif (adjustment.mode, adjustment.status) == ("exception", "proposed"):
            decided = replace(decided, status="approved" if adjustment.is_line else "applied")
    books.adjustments[adjustment.number] = decided
    _mark(books, concerned)


def _mark(books: Books, concerned: set[Party]) -> None:
    """These sellers' money waits as long as an exception is open, where it has neither left nor rolled."""
    for payout in list(books.payouts.values()):
        if (
            payout.party in concerned
            and payout.status in ("ready", "blocked")
            and payout.leaves_with not in books.handed_over
            and not books.has_rolled(payout)
        ):
            reasons = {*payout.block_reasons} - {"exception_pending"}
            if books.is_undecided(payout.party):
                reasons.add("exception_pending")
            if reasons != {*payout.block_reasons}:
                books.block(payout, reasons)

"""What weeks bring about, by the books alone: whether they are as nasty as they should be."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import deeds
from market import Change, Plan, Sunday, history, take
from market_people import Denied
from obligations import CREDIT, DEDUCTION
from reference import HOLDS_MONEY, IN_TRANSIT, PAID, Books, Line, Marts


def met(plan: Plan) -> Iterator[str]:
    """The situations that a plan's weeks bring about."""
    books, past = Books(), history(plan)
    last: Sunday | None = None
    marts: Marts | None = None
    for step in past.steps:
        if not isinstance(step, Sunday):
            before = _copy(books)
            for done in take(books, step):
                yield from _of_deed(before, done, books)
                for number, request in books.requests.items():
                    yield f"request: {request.status(books.payout_of(number))}"
                before = _copy(books)
            continue
        if last is not None:
            yield from _of_runs(last, step)
        last = step
        before = _copy(books)
        before_it, marts = marts, books.run(step.as_of, step.terms, freeze=step.freeze)
        if before_it:
            yield from _of_changes(before_it, marts)
        yield from _of_late_payments(books)
        yield from _of_requests(before, books)
        yield from _of_holds(before, books, marts, step)
        for line in marts.lines.values():
            yield from _of_line(line, marts, step)
        yield from _of_rows(marts)
        yield from (f"unsettled: {row.reason}" for row in marts.unsettled.values())
        yield from (f"review: {reason}" for health in marts.health.values() for reason in health.reasons)
        yield from _of_corrections(books)
        yield from _of_obligations(books)


def _of_runs(last: Sunday, step: Sunday) -> Iterator[str]:
    if step.as_of == last.as_of:
        yield "a second run of the same night"
    if step.as_of - last.as_of > timedelta(days=11):
        yield "a skipped Sunday"
    if not step.freeze:
        yield "a run that may not freeze"
    if step.terms != last.terms:
        yield "another reserve for one run"
    if step.terms.reserve_closes_at(step.terms.latest_due(step.as_of)) == step.as_of:
        yield "a run exactly when a reserve closes"


def _of_changes(last: Marts, marts: Marts) -> Iterator[str]:
    """What a build has to take back of the one before."""
    for line_id, line in last.lines.items():
        now = marts.lines.get(line_id)
        if now is None:
            yield "a line that went away"
        elif now.order_id != line.order_id:
            yield "a line that moved to another order"
    for (kind, source_id), row in last.unsettled.items():
        if row.reason == "order_of_unknown_seller" and f"{kind}:{source_id}" in marts.lines:
            yield "an order whose seller became known"


def _of_line(line: Line, marts: Marts, step: Sunday) -> Iterator[str]:
    sale = marts.lines.get(f"sale:{line.order_id}", line)
    boundary = step.terms.reserve_closes_at(sale.home_window)
    if line.is_late:
        yield "a late line"
    if line.home_window < step.terms.settlement_start:
        yield "a line of history"
    elif sale.home_window < step.terms.settlement_start:
        yield "a settled line of an order of history"
    if line.kind == "refund" and line.disputes < 0:
        yield "a refund during a dispute"
    if line.kind == "refund" and line.refunds > sale.gross:
        yield "a refund above its order"
    if line.kind == "dispute_opened" and 0 < line.disputes < line.claim:
        yield "a claim above what is left"
    if line.kind == "dispute_closed" and line.disputes < 0:
        yield "a released claim"
    if line.kind == "adjustment":
        return
    assert line.event_at and sale.event_at
    if line.event_at < sale.event_at:
        yield "an event before its sale"
    if line.kind != "sale" and line.event_at == boundary:
        yield "an event exactly at the reserve's end"
    if line.kind != "sale" and line.event_at == boundary - timedelta(microseconds=1):
        yield "an event just before the reserve's end"


def _of_rows(marts: Marts) -> Iterator[str]:
    for row in marts.rows.values():
        yield f"status: {row.status}"
        yield from (f"blocked: {reason}" for reason in row.block_reasons)
        if row.carry_in < 0:
            yield "a debt that rolls"
        if row.payable > 0 and row.carry_out > 0:
            yield "a floor"
        if row.payable > 0 and row.order_count == 0 and row.net == 0 and row.adjustments == 0:
            yield "a payout of money that rolled"
        if row.status == "carried_forward" and row.carry_out > 100:
            yield "an older window frozen with the latest"


def _copy(books: Books) -> Books:
    return replace(
        books,
        adjustments={**books.adjustments},
        payouts={**books.payouts},
        escrow_holds={**books.escrow_holds},
        requests={**books.requests},
        schedules={**books.schedules},
        refused={*books.refused},
        frozen_rows={**books.frozen_rows},
    )


def _of_holds(before: Books, books: Books, marts: Marts, step: Sunday) -> Iterator[str]:
    if books.escrow_holds != before.escrow_holds:
        yield "a hold whose time is over"
    for key, row in marts.rows.items():
        if not row.held or key in before.frozen_rows:
            continue
        by_people = sum(
            (
                each.amount
                for each in books.escrow_holds.values()
                if each.party == key[1:] and not each.is_over(step.as_of)
            ),
            Decimal(0),
        )
        if by_people > 0:
            yield "held by a person"
        if by_people < row.held:
            yield "held by a guarantee"
        if row.payable and row.carry_out >= row.held:
            yield "a payout of what is not held"
        if row.carry_out + row.payable < row.held:
            yield "more held than there is"


def _of_requests(before: Books, books: Books) -> Iterator[str]:
    if any(request.schedule for request in books.requests.values()):
        yield "a request of a schedule"
    for each in books.schedules.values():
        yield f"schedule: {each.status}"
        if each.order_id:
            yield f"schedule by a guarantee: {each.status}"
    for key, row in books.frozen_rows.items() - before.frozen_rows.items():
        asked = [payout for payout in before.payouts.values() if payout.request and payout.party == key[1:]]
        if any(payout.status in HOLDS_MONEY for payout in asked) and row.carry_in > 0:
            yield "a carry-in that a request has lowered"
        if any(payout.status in ("failed", "returned") for payout in asked) and row.payable:
            yield "a payout of requested money that came back"


def _of_late_payments(books: Books) -> Iterator[str]:
    gone = [payout for payout in books.payouts.values() if payout.status in (*IN_TRANSIT, *PAID)]
    for payout in gone:
        for other in books.payouts.values():
            if other.number > payout.number and other.party == payout.party and other.covers & payout.covers:
                yield "a payout that was paid after all"
                if other.status in PAID:
                    yield "a payout that was paid after its money had gone out with another"


def _of_deed(before: Books, done: Change, books: Books) -> Iterator[str]:
    """What a deed shows, by the books before and after it."""
    match done:
        case Denied(deed):
            yield f"denied: {type(deed).__name__}"
            if isinstance(deed, deeds.HandOver) and isinstance(deed.named, str):
                payout = before.payout_of(deed.named)
                is_ready = payout is not None and payout.status == "ready"
                yield "a request that may not leave any more" if is_ready else "a request that is blocked"
        case deeds.HandOver(named, is_refused):
            of = "window" if isinstance(named, date) else "request"
            yield f"a {of} that the rail refused" if is_refused else f"a {of} that leaves"
            if named in before.refused and not is_refused:
                yield f"a {of} that leaves after it was refused"
        case deeds.Decide(number, verdict):
            wish = before.adjustments[number].wish
            yield f"{verdict}: {wish.kind if wish else None}"
            if any(
                payout.status == "ready" and before.payouts[number].status == "blocked"
                for number, payout in books.payouts.items()
            ):
                yield "a payout freed by a decision"
        case deeds.Deviate():
            if books.payouts != before.payouts:
                yield "a payout blocked by a wish"
        case deeds.Resolve(number, verdict):
            is_executed = "of what was executed" if number in books.executions else "of nothing"
            yield f"{verdict} {is_executed}"
            for new in books.adjustments.keys() - before.adjustments.keys():
                is_credit = books.adjustments[new].of_class == CREDIT
                if verdict == "retry":
                    yield "a retry that takes back what was recorded"
                else:
                    yield "accept with a credit" if is_credit else "accept with a deduction"
        case deeds.Reverse():
            is_new = len(books.adjustments) > len(before.adjustments)
            yield "a reversal" if is_new else "a reversal of what was paid back already"
        case deeds.Word(number) if books.payouts[number].status == "awaiting_reconciliation":
            heard, was = "completed" if done.status == "completed" else "back", before.payouts[number]
            yield f"a question: {heard} after {was.status}"
            if was.status in ("failed", "returned") and before.was_requested(was):
                yield "a payout that was paid after its money was requested"
        case deeds.Execute(number):
            yield f"executed by hand: {books.payouts[number].status}"
        case deeds.Ask(seller_id, currency, amount):
            party = seller_id, currency
            left = before.requestable(party) - before.asked_for(party) - amount
            yield "a request that leaves something" if left else "a request of all that is left"
            if before.asked_for(party):
                yield "a second request"
        case deeds.Answer(number, "rejected"):
            was_approved = before.requests[number].decision == "approved"
            yield "an approved request is rejected" if was_approved else "a request is rejected"


def _of_obligations(books: Books) -> Iterator[str]:
    for each in books.adjustments.values():
        if each.status in ("settled", "cancelled"):
            yield f"{each.status}: {each.of_class}"
            yield f"{each.status}: {each.source}"
        if len(each.settled) > 1:
            yield "a debt that several windows settled"
        if each.bookings().get("write_offs"):
            yield "something that happened is written off"
        if each.payout_window and each.applied_to != each.seller_id:
            yield "an adjustment in another seller's row"
        if each.payout_window and each.not_before:
            yield "an adjustment that was deferred"
        if each.payout_window and each.applied_amount < each.amount:
            yield "an adjustment of another amount"
        if (each.mode, each.of_class) == ("manual", DEDUCTION):
            yield "a policy of the product"


def _of_corrections(books: Books) -> Iterator[str]:
    for line in books.frozen_lines.values():
        if line.kind == "sale":
            order = books.orders[line.source_id]
            for name, was in (
                ("gross_amount", line.gross),
                ("seller_id", line.seller_id),
                ("currency", line.currency),
                ("captured_at", line.event_at),
            ):
                if getattr(order, name) != was:
                    yield f"{name} corrected after the freeze"
            if order.status == "cancelled":
                yield "an order cancelled after the freeze"
        if line.kind == "refund" and books.refunds[line.source_id].order_id != line.order_id:
            yield "a refund moved after the freeze"
        if line.kind == "dispute_closed" and books.disputes[line.source_id].status in ("open", "lost"):
            yield "a verdict revised after the freeze"


EVERY_RULE = {
    "a second run of the same night",
    "a skipped Sunday",
    "a run that may not freeze",
    "another reserve for one run",
    "a run exactly when a reserve closes",
    "a late line",
    "a line of history",
    "a settled line of an order of history",
    "a refund during a dispute",
    "a refund above its order",
    "a claim above what is left",
    "a released claim",
    "an event before its sale",
    "an event exactly at the reserve's end",
    "an event just before the reserve's end",
    "a debt that rolls",
    "a floor",
    "a payout of money that rolled",
    "a payout that was paid after all",
    "a payout that was paid after its money had gone out with another",
    "an older window frozen with the latest",
    "gross_amount corrected after the freeze",
    "seller_id corrected after the freeze",
    "currency corrected after the freeze",
    "captured_at corrected after the freeze",
    "an order cancelled after the freeze",
    "a refund moved after the freeze",
    "a verdict revised after the freeze",
    *(
        f"denied: {deed}"
        for deed in (
            "HandOver",
            "Propose",
            "ProposeFrom",
            "Apply",
            "Deviate",
            "Decide",
            "Settle",
            "Cancel",
            "Resolve",
            "Reverse",
            "KeepBack",
            "EndHold",
            "Ask",
            "Answer",
            "Plan",
            "DropPlan",
        )
    ),
    *(f"approved: {kind}" for kind in ("apply", "skip", "defer", "amount", "out_of_scope")),
    "rejected: apply",
    "a payout blocked by a wish",
    "a payout freed by a decision",
    "accept of what was executed",
    "retry of what was executed",
    "retry of nothing",
    "accept with a credit",
    "accept with a deduction",
    "a retry that takes back what was recorded",
    "a question: completed after submitted",
    "a question: completed after failed",
    "a question: completed after paid",
    "a question: back after paid",
    "executed by hand: paid",
    "executed by hand: awaiting_reconciliation",
    "a reversal",
    "a reversal of what was paid back already",
    "settled: carry_forward_deduction",
    "settled: carry_forward_credit",
    "settled: gross_invoice_fee",
    "settled: manual_cash_recovery",
    "settled: mismatch",
    "settled: restatement",
    "settled: dispute",
    "something that happened is written off",
    "cancelled: gross_invoice_fee",
    "a debt that several windows settled",
    "an adjustment in another seller's row",
    "an adjustment that was deferred",
    "an adjustment of another amount",
    "a policy of the product",
    "a hold whose time is over",
    "held by a person",
    "held by a guarantee",
    "a payout of what is not held",
    "more held than there is",
    "a request that leaves something",
    "a request of all that is left",
    "a second request",
    "a request is rejected",
    "an approved request is rejected",
    "a request that is blocked",
    "a request that may not leave any more",
    "a request of a schedule",
    "a carry-in that a request has lowered",
    "a payout of requested money that came back",
    "a payout that was paid after its money was requested",
    *(
        f"request: {status}"
        for status in (
            "requested",
            "approved",
            "rejected",
            "blocked",
            "submitted",
            "paid",
            "failed",
            "returned",
            "awaiting_reconciliation",
        )
    ),
    *(f"schedule: {status}" for status in ("pending", "processing", "completed", "failed", "cancelled")),
    "schedule by a guarantee: pending",
    "schedule by a guarantee: processing",
    "schedule by a guarantee: completed",
    "a window that leaves after it was refused",
    "a request that leaves after it was refused",
    "status: before_start",
    "status: pending",
    "status: ready",
    "status: blocked",
    "status: carried_forward",
    "status: submitted",
    "status: paid",
    "status: failed",
    "status: returned",
    "status: awaiting_reconciliation",
    "status: reversed",
    "blocked: manual_review",
    "blocked: seller_inactive",
    "blocked: no_rail",
    "blocked: invalid_wallet",
    "blocked: currency_mismatch",
    "blocked: wallet_recently_changed",
    "blocked: on_hold",
    "blocked: exception_pending",
    "unsettled: order_pending",
    "unsettled: order_cancelled",
    "unsettled: order_not_captured",
    "unsettled: order_without_seller",
    "unsettled: order_of_unknown_seller",
    "unsettled: unknown_order",
    "review: low_score",
    "review: dispute_spike",
    "review: volume_spike",
    "review: disputes_without_sales",
}

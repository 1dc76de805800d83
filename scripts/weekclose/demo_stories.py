"""What became of the demo's twists, and that all records agree: read back from the books, not remembered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from psycopg import Connection

from weekclose.demo_twists import (
    BY_HAND,
    DUPLICATE,
    HELD,
    HELD_BACK,
    KEPT_FLOOR,
    LOST_ANSWER,
    OFF_CYCLE,
    PAID_TOO_LITTLE,
    PAID_TOO_MUCH,
    TWISTS,
    WRONG_BENEFICIARY,
    Twist,
    of_window,
    picked,
    read,
)
from weekclose.errors import WeekcloseError
from weekclose.rails.protocol import totals
from weekclose.simulator.record import Payment, Record


@dataclass(frozen=True)
class Story:
    """What became of a planted incident, as the records have it now."""

    name: str
    about: str
    what: str


@dataclass(frozen=True)
class _Fate:
    seller_id: str
    currency: str
    amount: Decimal
    status: str
    held_by: str | None
    event_count: int
    pay_count: int
    executed_amount: Decimal | None
    reference_id: str | None
    proof_count: int
    reversed_by: str | None
    next_number: str | None
    next_window: date | None
    next_status: str | None


@dataclass(frozen=True)
class _Adjusted:
    """A seller's adjustment: in which windows it was settled, and with how much."""

    amount: Decimal
    applied_amount: Decimal
    status: str
    decided_by: str | None
    windows: list[date]
    amounts: list[Decimal]


@dataclass(frozen=True)
class _HeldBack:
    """A hold: the window that it kept money in, who ended it early, and the payout that has the money."""

    hold_number: str
    amount: Decimal
    held_in: date | None
    ended_by: str | None
    paid_by: str | None


@dataclass(frozen=True)
class _Scheduled:
    """A schedule: how often it was tried in vain, what it asked for, and what paid that."""

    schedule_number: str
    amount: Decimal
    status: str
    retry_count: int
    last_error: str
    request_number: str | None
    payout_number: str | None
    payout_status: str | None


@dataclass(frozen=True)
class _BatchFate:
    batch_id: str
    state: str
    rail_batch_id: str | None
    attempt_count: int
    item_count: int
    event_count: int
    paid_count: int


def stories(conn: Connection[Any], windows: dict[int, date]) -> list[Story]:
    """The planted incidents of the windows, by how many weeks they lie before the last one."""
    told = []
    for twist in TWISTS:
        window = windows.get(twist.weeks_ago)
        if window is None:
            continue
        if twist.rank is None and twist.seller_id is None:
            told += [
                Story(twist.name, batch.batch_id, _batch_told(twist, batch))
                for batch in read(conn, _BatchFate, "demo_batch_fate", window=window)
            ]
            continue
        if twist == HELD_BACK:
            told += [
                Story(twist.name, hold.hold_number, _hold_told(hold))
                for hold in read(conn, _HeldBack, "demo_hold", seller=twist.seller_id)
            ]
            continue
        if twist == KEPT_FLOOR:
            told += [
                Story(twist.name, kept.schedule_number, _kept_told(kept))
                for kept in read(conn, _Scheduled, "demo_schedule", seller=twist.seller_id)
            ]
            continue
        if twist == OFF_CYCLE:
            told += [
                Story(twist.name, payout.payout_number, _scheduled_told(asked))
                for _, payout in picked(conn, window, of_window(twist.weeks_ago), twist)
                for asked in read(conn, _Scheduled, "demo_schedule", seller=payout.seller_id)
            ]
            continue
        told += [
            Story(twist.name, payout.payout_number, _told(conn, twist, fate))
            for _, payout in picked(conn, window, of_window(twist.weeks_ago), twist)
            for fate in read(conn, _Fate, "demo_payout_fate", payout=payout.payout_number)
        ]
    return told


def _batch_told(twist: Twist, batch: _BatchFate) -> str:
    if twist == LOST_ANSWER:
        often = "once" if batch.attempt_count == 1 else f"{batch.attempt_count} times"
        return f"sent {often}, answer lost; found by look-up as {batch.rail_batch_id}; {batch.state}"
    return (
        f"{batch.event_count} webhooks came; reconcile found {batch.paid_count} of {batch.item_count} "
        "payouts paid"
    )


def _hold_told(hold: _HeldBack) -> str:
    held = f"{hold.amount} held in {hold.held_in}" if hold.held_in else f"{hold.amount} held"
    if hold.ended_by is None:
        return held
    return f"{held}, freed by {hold.ended_by}; " + (f"paid by {hold.paid_by}" if hold.paid_by else "not paid")


def _kept_told(kept: _Scheduled) -> str:
    _, _, most = kept.last_error.partition(" may have ")
    floor = [part for part in kept.last_error.split(", ") if part.startswith("floor ")]
    why = ", ".join([most.partition(",")[0], *floor])
    return f"{kept.amount} asked for {kept.retry_count} times, {kept.status}: {why}"


def _scheduled_told(asked: _Scheduled) -> str:
    tried = f"{asked.amount} asked for by {asked.schedule_number}, in vain {asked.retry_count} times"
    if asked.request_number is None:
        return tried
    return f"{tried}, then {asked.payout_status} by {asked.payout_number}"


def _told(conn: Connection[Any], twist: Twist, fate: _Fate) -> str:
    if twist == HELD:
        return f"{fate.seller_id} held and released by {fate.held_by}; {fate.status}"
    if twist == DUPLICATE:
        return f"told twice: {fate.event_count} event kept, {fate.pay_count} payment booked; {fate.status}"
    if twist == BY_HAND:
        left = f"{fate.executed_amount} {fate.currency} {fate.status} by hand as {fate.reference_id}"
        return f"{left}; proof replaced, {fate.proof_count} kept"
    if fate.next_number is None:
        return f"{fate.status}, nothing came after it yet"
    after = f"{fate.next_status} by {fate.next_number} in {fate.next_window}"
    for adjusted in read(conn, _Adjusted, "demo_adjustment", seller=twist.seller_id):
        return _adjusted_told(twist, fate, adjusted, after)
    return f"{fate.status}, the money rolled; {after}"


def _adjusted_told(twist: Twist, fate: _Fate, adjusted: _Adjusted, after: str) -> str:
    settled = ", ".join(
        f"{amount} in {window}" for window, amount in zip(adjusted.windows, adjusted.amounts, strict=True)
    )
    if twist == PAID_TOO_MUCH:
        return f"{fate.executed_amount} left for {fate.amount}; {adjusted.status} {settled}"
    if twist == PAID_TOO_LITTLE:
        return f"{fate.executed_amount} left of {fate.amount}; {adjusted.applied_amount} more {after}"
    if twist == WRONG_BENEFICIARY:
        return f"{fate.status} by {fate.reversed_by}; {adjusted.applied_amount} {after}"
    less = f"{adjusted.applied_amount} of a deduction of {adjusted.amount}"
    return f"{less} {adjusted.status}, as {adjusted.decided_by} approved"


@dataclass(frozen=True)
class Money:
    """One payout as a record has it: `state` is `paid` or `in transit`, and a record may have it twice."""

    payout_number: str
    state: str
    currency: str
    amount: Decimal


@dataclass(frozen=True)
class _Execution:
    """A transfer in the books; `accepted` is what a person agreed to add to it, or to take from it."""

    payout_number: str
    source: str
    external_reference: str
    currency: str
    amount: Decimal
    accepted: Decimal


def agreement(conn: Connection[Any], record: Path) -> str:
    """That the rail's own record, the ledger and the view name the same payouts, to the cent, in a line.

    Each transfer of the rail is an execution with its reference and amount, and the other way round. What
    left, through the rail or by hand, comes to the promise with the differences that a person has accepted.
    Raises WeekcloseError naming the first payout on which they differ.
    """
    payments, executions = _of_the_rail(record), read(conn, _Execution, "demo_executions")
    records = {
        "what left, with accepted differences,": _left(payments, executions),
        "the ledger": read(conn, Money, "demo_ledger"),
        "the view": read(conn, Money, "demo_view"),
    }
    every = {each for found in records.values() for each in found}
    for each in sorted(every, key=lambda each: each.payout_number):
        if any(found.count(each) != 1 for found in records.values()):
            said = "; ".join(
                f"{name} has {_shown(found, each.payout_number)}" for name, found in records.items()
            )
            raise WeekcloseError(f"the records differ on payout {each.payout_number}: {said}")
    _check_transfers(payments, executions)
    told = [_counted([each for each in every if each.state == "paid"])]
    if open_ones := [each for each in every if each.state != "paid"]:
        told.append(f"and in transit {_counted(open_ones)}")
    apart = {
        "by hand": sum(each.source == "manual" for each in executions),
        "differences accepted": sum(each.accepted != 0 for each in executions),
    }
    said = ", ".join(f"{count} {how}" for how, count in apart.items() if count)
    return f"rail's record = ledger = view: {' '.join(told)}{f' ({said})' if said else ''}"


def _left(payments: Sequence[Payment], executions: Sequence[_Execution]) -> list[Money]:
    """What the rail's record has, and what was paid by hand, with what was accepted of either."""
    accepted = {each.payout_number: each.accepted for each in executions}
    states = {"completed": "paid", "processing": "in transit"}
    return [
        Money(
            each.reference,
            states[each.status],
            each.currency,
            Decimal(each.told_amount) + accepted.get(each.reference, 0),
        )
        for each in payments
        if each.status in states
    ] + [
        Money(each.payout_number, "paid", each.currency, each.amount + each.accepted)
        for each in executions
        if each.source == "manual"
    ]


def _check_transfers(payments: Sequence[Payment], executions: Sequence[_Execution]) -> None:
    """What came back has left too, and may be an execution: what the rail completed has to be one."""
    ours = {
        (each.payout_number, each.external_reference, each.currency, each.amount)
        for each in executions
        if each.source == "rail"
    }
    left = {
        (each.reference, str(each.external_reference), each.currency, Decimal(each.told_amount)): each.status
        for each in payments
        if each.status in ("completed", "returned")
    }
    stayed = {transfer for transfer, status in left.items() if status == "completed"}
    for strange, whose in ((stayed - ours, "the rail's"), (ours - left.keys(), "an execution's")):
        for payout, reference, currency, amount in sorted(strange):
            raise WeekcloseError(
                f"the records differ on payout {payout}: {amount} {currency} as {reference} are {whose} alone"
            )


def _counted(found: list[Money]) -> str:
    sums = totals((each.currency, each.amount) for each in found)
    money = [f"{amount:,} {currency}" for currency, amount in sorted(sums.items(), reverse=True)]
    return ", ".join([f"{len(found):,} payouts", *money])


def _of_the_rail(path: Path) -> list[Payment]:
    record = Record(path)
    try:
        return record.payments()
    finally:
        record.close()


def _shown(found: list[Money], payout_number: str) -> str:
    its = [
        f"{each.amount} {each.currency} {each.state}" for each in found if each.payout_number == payout_number
    ]
    return " and ".join(its) or "nothing"

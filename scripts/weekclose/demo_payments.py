"""The demo's weekdays: Monday's decisions, a batch through a simulated rail, its answers, and the proof."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from psycopg import Connection
from psycopg.rows import class_row

from weekclose import decisions, submission
from weekclose.database import statement
from weekclose.errors import NothingToDo, OutcomeUnknown, WeekcloseError
from weekclose.rails.batch import BatchRail
from weekclose.rails.protocol import totals
from weekclose.rails.transport import Transport
from weekclose.reconciliation import reconcile
from weekclose.settings import Settings
from weekclose.simulator.faults import Fault
from weekclose.simulator.rail import Plan
from weekclose.simulator.record import Record
from weekclose.simulator.server import Simulator
from weekclose.simulator.webhooks import SAMPLE_SECRET
from weekclose.webhooks import listening

# Who froze does not approve, and who decides neither.
FREEZES, DECIDES, APPROVES = "demo", "maria (finance)", "jonas (treasury)"
SUSPECT = "sel_volume_spike"
RAIL_KEY = "sample-key"

Row = TypeVar("Row")


@dataclass(frozen=True)
class Twist:
    """What goes wrong, or nearly, in the window `weeks_ago` before the last one.

    `rank` picks a payout, counted from the window's largest; None is all of the window.
    """

    name: str
    weeks_ago: int
    rank: int | None = None


LOST_WEBHOOKS = Twist("lost webhooks", 3)
LOST_ANSWER = Twist("lost answer", 2)
HELD = Twist("held, released", 2, 1)
FAILED = Twist("failed", 1, 1)
RETURNED = Twist("returned", 1, 2)
DUPLICATE = Twist("duplicate webhook", 0, 3)
TWISTS = (LOST_WEBHOOKS, LOST_ANSWER, HELD, FAILED, RETURNED, DUPLICATE)


@dataclass(frozen=True)
class Leaving:
    """A payout that nothing blocks, in the order in which a window's are ranked."""

    payout_number: str
    seller_id: str


class Weekdays:
    """What follows a Sunday, with a simulated rail on loopback whose record is an SQLite file.

    `with Weekdays(...) as weekdays: weekdays.play(conn, window, weeks_ago)`. Nothing leaves this machine, and
    the rail is known to be empty whenever it is asked: there is no quiet period to wait for.
    """

    def __init__(self, settings: Settings, record: Path, log: Callable[[str], None]) -> None:
        self._settings, self._log = settings, log
        self._simulator = Simulator(record, Plan(key=RAIL_KEY, secret=SAMPLE_SECRET))

    def __enter__(self) -> "Weekdays":
        self._simulator.start()
        transport = Transport(self._simulator.url, loopback=True)
        self._rail = BatchRail(transport, RAIL_KEY, [SAMPLE_SECRET], max_processing_seconds=0)
        return self

    def __exit__(self, *_: object) -> None:
        self._simulator.stop()

    def play(self, conn: Connection[Any], window: date, weeks_ago: int) -> str:
        """Bring a frozen window to its end. What was done, in a line; empty if nothing was left to do.

        Each step is one that a person can repeat, so whatever an interruption left is finished.
        """
        twists = {twist.name: twist for twist in TWISTS if twist.weeks_ago == weeks_ago}
        try:
            batch = submission.find_batch(conn, window)
            if batch.state == "frozen":
                _monday(conn, window, twists)
        except NothingToDo:  # a window that pays nobody
            return ""
        tuesday = self._tuesday(conn, window, twists)
        return ", ".join(filter(None, (tuesday, self._wednesday(conn, window, twists))))

    def _tuesday(self, conn: Connection[Any], window: date, twists: dict[str, Twist]) -> str:
        if submission.find_batch(conn, window).state in ("submitted", "settled"):
            return ""
        if LOST_ANSWER.name in twists:
            # Broken off after the rail has done it all: nothing is inside it any more when we hear of it.
            self._simulator.rail.faults.arm(Fault("reset_after"))
        told = ""
        try:
            done = submission.submit(conn, self._rail, window, FREEZES)
        except OutcomeUnknown:
            told = " (the first answer was lost)"
            done = submission.submit(conn, self._rail, window, FREEZES)
        self._simulator.rail.faults.clear()
        return f"{done.batch_id} handed over: {done.item_count} payouts{told}"

    def _wednesday(self, conn: Connection[Any], window: date, twists: dict[str, Twist]) -> str:
        batch_id = submission.find_batch(conn, window).batch_id
        if LOST_WEBHOOKS.name in twists:
            self._simulator.rail.settle(self._ends(conn, window, batch_id, twists), webhooks="lose")
            heard = 0
        else:
            with listening(self._rail, self._settings, self._log) as url:
                self._simulator.rail.sender.url = url
                heard = self._tell(conn, window, batch_id, twists)
        # This window alone: a demo that was killed on a later one's Tuesday comes by here first.
        report = reconcile(conn, self._rail, window, FREEZES)
        for each in report.asked:
            if each.problem:
                raise WeekcloseError(f"batch {each.batch_id}: {each.problem}")
        booked = sum(each.booked_count for each in report.asked)
        return f"{heard} webhooks, {booked} booked by reconcile" if heard or booked else ""

    def _tell(self, conn: Connection[Any], window: date, batch_id: str, twists: dict[str, Twist]) -> int:
        """Let the rail decide and tell us. How many webhooks it sent."""
        rail = self._simulator.rail
        ends = self._ends(conn, window, batch_id, twists)
        repeated = _picked(conn, window, twists.get(DUPLICATE.name))
        told = rail.settle({each: end for each, end in ends.items() if each not in repeated})
        told += rail.settle({each: end for each, end in ends.items() if each in repeated}, copies=2)
        coming_back = _picked(conn, window, twists.get(RETURNED.name))
        paid = self._standing(batch_id, "completed")
        told += rail.settle(dict.fromkeys((each for each in paid if each in coming_back), "returned"))
        return len(told)

    def _ends(
        self, conn: Connection[Any], window: date, batch_id: str, twists: dict[str, Twist]
    ) -> dict[str, str]:
        """How what is still with the rail will end, by payout number."""
        failing = _picked(conn, window, twists.get(FAILED.name))
        at_work = self._standing(batch_id, "processing")
        return {each: "failed" if each in failing else "completed" for each in at_work}

    def _standing(self, batch_id: str, status: str) -> list[str]:
        found = self._simulator.rail.record.payments(batch_reference=batch_id, status=status)
        return [each.reference for each in found]


def _monday(conn: Connection[Any], window: date, twists: dict[str, Twist]) -> None:
    """All or nothing, so that an interrupted Monday is simply begun again."""
    with conn.transaction():
        held = _leaving(conn, window, twists.get(HELD.name))
        if held is not None:
            decisions.hold(conn, [held.seller_id], window, "the bank asks who this is", DECIDES)
            decisions.release(conn, [held.seller_id], window, "the bank has its answer", DECIDES)
        if _waits_for_review(conn, window, SUSPECT):
            decisions.clear(conn, [SUSPECT], "a sale that the seller had told us of", DECIDES)
        digest = submission.find_batch(conn, window).content_digest
        decisions.approve(conn, window, digest, APPROVES)


def _waits_for_review(conn: Connection[Any], window: date, seller_id: str) -> bool:
    found = conn.execute(
        "select from payouts.payouts where payout_window = %s and seller_id = %s"
        " and status = 'blocked' and 'manual_review' = any(block_reasons)",
        (window, seller_id),
    )
    return found.rowcount > 0


def _leaving(conn: Connection[Any], window: date, twist: Twist | None) -> Leaving | None:
    if twist is None or twist.rank is None:
        return None
    return next(iter(_read(conn, Leaving, "demo_leaving", window=window, rank=twist.rank)), None)


def _picked(conn: Connection[Any], window: date, twist: Twist | None) -> tuple[str, ...]:
    """The payout that a twist is about, if the window has one of its rank."""
    found = _leaving(conn, window, twist)
    return (found.payout_number,) if found else ()


@dataclass(frozen=True)
class Story:
    """What became of a planted incident, as the records have it now."""

    name: str
    window: date
    about: str
    what: str


@dataclass(frozen=True)
class _Fate:
    seller_id: str
    status: str
    held_by: str | None
    event_count: int
    pay_count: int
    next_number: str | None
    next_window: date | None
    next_status: str | None


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
        if twist.rank is None:
            told += [
                Story(twist.name, window, batch.batch_id, _batch_told(twist, batch))
                for batch in _read(conn, _BatchFate, "demo_batch_fate", window=window)
            ]
        told += [
            Story(twist.name, window, payout, _told(twist, fate))
            for payout in _picked(conn, window, twist)
            for fate in _read(conn, _Fate, "demo_payout_fate", payout=payout)
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


def _told(twist: Twist, fate: _Fate) -> str:
    if twist == HELD:
        return f"{fate.seller_id} held and released by {fate.held_by}; {fate.status}"
    if twist == DUPLICATE:
        return f"told twice: {fate.event_count} event kept, {fate.pay_count} payment booked; {fate.status}"
    after = (
        f"the money rolled; {fate.next_status} by {fate.next_number} in {fate.next_window}"
        if fate.next_number
        else "the money rolls"
    )
    return f"{fate.status}, {after}"


@dataclass(frozen=True)
class Money:
    """One payout as a record has it: `state` is `paid` or `in transit`, and a record may have it twice."""

    payout_number: str
    state: str
    currency: str
    amount: Decimal


def agreement(conn: Connection[Any], record: Path) -> str:
    """That the rail's own record, the ledger and the view name the same payouts, to the cent, in a line.

    Raises WeekcloseError naming the first payout on which they differ.
    """
    records = {
        "the rail's record": _of_the_rail(record),
        "the ledger": _read(conn, Money, "demo_ledger"),
        "the view": _read(conn, Money, "demo_view"),
    }
    every = sorted(
        {each for found in records.values() for each in found}, key=lambda each: each.payout_number
    )
    for each in every:
        if any(found.count(each) != 1 for found in records.values()):
            said = "; ".join(
                f"{name} has {_shown(found, each.payout_number)}" for name, found in records.items()
            )
            raise WeekcloseError(f"the records differ on payout {each.payout_number}: {said}")
    told = [_counted([each for each in every if each.state == "paid"])]
    if open_ones := [each for each in every if each.state != "paid"]:
        told.append(f"and in transit {_counted(open_ones)}")
    return f"rail's record = ledger = view: {' '.join(told)}"


def _counted(found: list[Money]) -> str:
    sums = totals((each.currency, each.amount) for each in found)
    money = [f"{amount:,} {currency}" for currency, amount in sorted(sums.items(), reverse=True)]
    return ", ".join([f"{len(found):,} payouts", *money])


def _of_the_rail(path: Path) -> list[Money]:
    record = Record(path)
    try:
        payments = record.payments()
    finally:
        record.close()
    states = {"completed": "paid", "processing": "in transit"}
    return [
        Money(each.reference, states[each.status], each.currency, Decimal(each.amount))
        for each in payments
        if each.status in states
    ]


def _shown(found: list[Money], payout_number: str) -> str:
    its = [
        f"{each.amount} {each.currency} {each.state}" for each in found if each.payout_number == payout_number
    ]
    return " and ".join(its) or "nothing"


def _read(conn: Connection[Any], kind: type[Row], name: str, **named: object) -> list[Row]:
    with conn.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(statement(name), named).fetchall()

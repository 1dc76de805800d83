"""The demo's weekdays: Monday's decisions, a batch through a simulated rail, its answers, and then."""

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from psycopg import Connection

from weekclose import decisions, submission
from weekclose.demo_corrections import ask_for_less, correct, hold_back
from weekclose.demo_off_cycle import run_job, schedule, to_pay
from weekclose.demo_twists import (
    APPROVES,
    DECIDES,
    DUPLICATE,
    FAILED,
    FREEZES,
    HELD,
    LOST_ANSWER,
    LOST_WEBHOOKS,
    OFF_CYCLE,
    PAID_TOO_LITTLE,
    PAID_TOO_MUCH,
    RETURNED,
    Twist,
    of_window,
    picked,
)
from weekclose.errors import NothingToDo, OutcomeUnknown, WeekcloseError
from weekclose.rails.batch import BatchRail
from weekclose.rails.transport import Transport
from weekclose.reconciliation import reconcile
from weekclose.settings import Settings
from weekclose.simulator.faults import Fault
from weekclose.simulator.rail import Plan
from weekclose.simulator.record import Payment
from weekclose.simulator.server import Simulator
from weekclose.simulator.webhooks import SAMPLE_SECRET
from weekclose.webhooks import listening

SUSPECT = "sel_volume_spike"
RAIL_KEY = "sample-key"


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
        twists = of_window(weeks_ago)
        try:
            batch = submission.find_batch(conn, window)
            if batch.state == "frozen":
                _monday(conn, window, twists)
        except NothingToDo:  # a window that pays nobody
            return ""
        tuesday = self._tuesday(conn, window, twists)
        return ", ".join(filter(None, (tuesday, self._wednesday(conn, window, twists))))

    def _tuesday(self, conn: Connection[Any], window: date, twists: Mapping[str, Twist]) -> str:
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
        by_hand = f", {done.manual_count} by hand" if done.manual_count else ""
        return f"{done.batch_id} handed over: {done.item_count} payouts{told}{by_hand}"

    def _wednesday(self, conn: Connection[Any], window: date, twists: Mapping[str, Twist]) -> str:
        batch_id = submission.find_batch(conn, window).batch_id
        # While the money is at the rail, there is none to ask for.
        run_job(conn, 2)
        if LOST_WEBHOOKS.name in twists:
            self._settle(conn, window, twists, self._standing(batch_id, "processing"), webhooks="lose")
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
        done = [f"{heard} webhooks, {booked} booked by reconcile"] if heard or booked else []
        return ", ".join(done + correct(conn, window, twists) + self._off_cycle(conn))

    def _off_cycle(self, conn: Connection[Any]) -> list[str]:
        """What is asked for between two windows is paid, and the rail says so when it is asked."""
        run_job(conn, 3)
        done = []
        for number in to_pay(conn):
            batch = submission.find_batch(conn, number)
            if batch.state != "submitted":
                submission.submit(conn, self._rail, number, FREEZES)
            at_work = self._standing(batch.batch_id, "processing")
            self._simulator.rail.settle({each.reference: "completed" for each in at_work}, webhooks="lose")
            reconcile(conn, self._rail, number, FREEZES)
            done.append(f"{number} paid")
        return done

    def _tell(self, conn: Connection[Any], window: date, batch_id: str, twists: Mapping[str, Twist]) -> int:
        """Let the rail decide and tell us. How many webhooks it sent."""
        repeated = _numbers(conn, window, twists, DUPLICATE)
        at_work = self._standing(batch_id, "processing")
        told = self._settle(
            conn, window, twists, [each for each in at_work if each.reference not in repeated]
        )
        told += self._settle(
            conn, window, twists, [each for each in at_work if each.reference in repeated], copies=2
        )
        coming_back = _numbers(conn, window, twists, RETURNED)
        paid = [each.reference for each in self._standing(batch_id, "completed")]
        back = self._simulator.rail.settle(
            dict.fromkeys((each for each in paid if each in coming_back), "returned")
        )
        return told + len(back)

    def _settle(
        self,
        conn: Connection[Any],
        window: date,
        twists: Mapping[str, Twist],
        at_work: list[Payment],
        **how: Any,
    ) -> int:
        """Let payments end as the twists have it. How many webhooks were sent."""
        failing = _numbers(conn, window, twists, FAILED, OFF_CYCLE)
        differing = {
            payout.payout_number: twist.difference
            for twist, payout in picked(conn, window, twists, PAID_TOO_MUCH, PAID_TOO_LITTLE)
        }
        told = self._simulator.rail.settle(
            {each.reference: "failed" if each.reference in failing else "completed" for each in at_work},
            amounts={
                each.reference: str(Decimal(each.amount) + differing[each.reference])
                for each in at_work
                if each.reference in differing
            },
            **how,
        )
        return len(told)

    def _standing(self, batch_id: str, status: str) -> list[Payment]:
        return self._simulator.rail.record.payments(batch_reference=batch_id, status=status)


def _monday(conn: Connection[Any], window: date, twists: Mapping[str, Twist]) -> None:
    """All or nothing, so that an interrupted Monday is simply begun again."""
    with conn.transaction():
        for _, payout in picked(conn, window, twists, HELD):
            decisions.hold(conn, [payout.seller_id], window, "the bank asks who this is", DECIDES)
            decisions.release(conn, [payout.seller_id], window, "the bank has its answer", DECIDES)
        if _waits_for_review(conn, window, SUSPECT):
            decisions.clear(conn, [SUSPECT], "a sale that the seller had told us of", DECIDES)
        ask_for_less(conn, window, twists)
        hold_back(conn, window, twists)
        schedule(conn, window, twists)
        digest = submission.find_batch(conn, window).content_digest
        decisions.approve(conn, window, digest, APPROVES)


def _waits_for_review(conn: Connection[Any], window: date, seller_id: str) -> bool:
    found = conn.execute(
        "select from payouts.payouts where payout_window = %s and seller_id = %s"
        " and status = 'blocked' and 'manual_review' = any(block_reasons)",
        (window, seller_id),
    )
    return found.rowcount > 0


def _numbers(conn: Connection[Any], window: date, twists: Mapping[str, Twist], *wanted: Twist) -> list[str]:
    """The payouts that twists are about, where the window has them."""
    return [payout.payout_number for _, payout in picked(conn, window, twists, *wanted)]

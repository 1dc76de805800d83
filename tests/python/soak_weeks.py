"""Weeks in which everything goes wrong at once, played by real processes before a rail of their own."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from multiprocessing import forkserver, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import psycopg
from psycopg import Connection

from killing import DONE, KILLED
from rail_batches import Bench
from soak_place import START, Place
from soak_plans import Bout, Deed, Plan, Player, Week
from soak_players import FAILED, NOTHING, REFUSED, UNKNOWN, Stage, listen, play
from weekclose.database import open_connection
from weekclose.postgres import Server
from weekclose.simulator.record import Payment
from weekclose.simulator.webhooks import Delivered, Lie

CHILDREN = get_context("forkserver")
# A child that takes longer hangs: then the harness says so, and nothing is proved.
LONGEST_STEP_SECONDS = 120
STORM_TIMEOUT_SECONDS, CALM_TIMEOUT_SECONDS = 0.4, 10.0
# PayPal cannot be asked by our reference: that it remembers our batch id is all there is, and that it replays
# an error it does not say. No step of ours mends either: a person has to ask. halfin pays what a person has
# released there, so nothing is paid before it has the whole batch.
BEYOND = {"paypal": ("forget_keys", "cached_error"), "halfin": ("early_webhook",)}
# Region and address that each rail can pay to.
WALLETS = {"paypal": ("EU", "seller@example.com")}
WALLET = "APAC", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"


@dataclass
class Counts:
    """What happened while a plan was played."""

    steps: int = 0
    kills: int = 0
    database_crashes: int = 0
    answers_that_decide_nothing: int = 0
    webhooks: int = 0
    payments_by_the_rail: int = 0


def ready_children() -> None:
    """Have a process that has imported all of this, and forks for each player."""
    CHILDREN.set_forkserver_preload(["soak_judge", "great_expectations"])
    # Before Python 3.12 it does not get our sys.path, and imports nothing without a word.
    with patch.dict(os.environ, PYTHONPATH=str(Path(__file__).parent)):
        forkserver.ensure_running()


class Game:
    """One plan on its way."""

    def __init__(self, place: Place, plan: Plan, database: Server, rail: Bench, fault: str | None) -> None:
        self.place, self.plan, self.database, self.bench, self.fault = place, plan, database, rail, fault
        self.random = Random(plan.seed)
        self.counts = Counts()
        self.earned: dict[str, Decimal] = {}
        # Each seller's newest order, and what is left of it.
        self.sold: dict[str, tuple[str, Decimal]] = {}
        self.accepted: list[Delivered] = []
        self.listener: BaseProcess | None = None
        self._dies_at = list(plan.listener_dies_at)
        ready_children()
        self.window = START

    # -- the marketplace

    def earn(self, week: Week) -> None:
        """Orders of the window; who owes has given back part of an order that an earlier window paid."""
        region, wallet = WALLETS.get(self.plan.protocol, WALLET)
        at = datetime.combine(self.window, datetime.min.time(), UTC) + timedelta(hours=36)
        with self.connect() as conn:
            for seller, text in week.earnings.items():
                amount = Decimal(text)
                conn.execute(
                    "insert into raw.sellers"
                    " (seller_id, region, settlement_currency, status, created_at, wallet_address)"
                    " values (%s, %s, 'USD', 'active', '2025-01-01Z', %s) on conflict do nothing",
                    (seller, region, wallet),
                )
                before, left = self.sold.get(seller, ("", Decimal(0)))
                if amount > 0:
                    order = f"{seller}-{self.window}"
                    conn.execute(
                        "insert into raw.orders (order_id, seller_id, currency, gross_amount, fee_amount,"
                        " status, captured_at) values (%s, %s, 'USD', %s, 0, 'fulfilled', %s)",
                        (order, seller, amount, at),
                    )
                    self.sold[seller] = order, amount
                elif left:
                    amount = -min(-amount, left)
                    conn.execute(
                        "insert into raw.refunds (refund_id, order_id, amount, refunded_at)"
                        " values (%s, %s, %s, %s)",
                        (f"{before}-{self.window}", before, -amount, at),
                    )
                    self.sold[seller] = before, left + amount
                else:
                    continue
                self.earned[seller] = self.earned.get(seller, Decimal(0)) + amount

    # -- the processes

    def stage(self) -> Stage:
        night = datetime.combine(self.window + timedelta(days=14), datetime.min.time(), UTC)
        rail_url = self.bench.simulator.rail_url(self.plan.protocol)
        return Stage(
            self.database,
            self.plan.protocol,
            rail_url,
            self.window,
            night + timedelta(hours=23),
            self.place.build,
            self.fault,
        )

    def connect(self) -> Connection[Any]:
        """A connection, also right after a crash."""
        for _ in range(200):
            try:
                return open_connection(self.database)
            except psycopg.OperationalError:
                time.sleep(0.05)
        return open_connection(self.database)

    def listen(self) -> None:
        """The webhook server, started again if it is dead."""
        if self.listener is not None and self.listener.is_alive():
            return
        self.bench.rail.sender.url = None
        hears, tells = CHILDREN.Pipe(duplex=False)
        dies_at = self._dies_at.pop(0) if self._dies_at else None
        self.listener = CHILDREN.Process(target=listen, args=(self.stage(), dies_at, tells), daemon=True)
        self.listener.start()
        tells.close()
        with suppress(EOFError):
            if hears.poll(LONGEST_STEP_SECONDS):
                self.bench.rail.sender.url = hears.recv()

    def bout(self, bout: Bout) -> None:
        self.listen()
        rail = self.bench.rail
        for fault in bout.faults:
            if fault["fault"] in BEYOND.get(self.plan.protocol, ()):
                continue
            if fault["fault"] == "refuse":
                fault = fault | {"references": self._some_reference()}
                if not fault["references"]:
                    continue
            if fault.get("wait_for_go"):
                rail.go.clear()
            self.bench.arm(**fault)
        begun = time.monotonic()
        # The data tests are left to the Sunday that is played in peace.
        stage = replace(self.stage(), build=replace(self.place.build, tests=()))
        players = [self.start(each, stage, bout.patient, STORM_TIMEOUT_SECONDS) for each in bout.players]
        for deed in sorted(bout.deeds, key=lambda deed: deed.after):
            time.sleep(max(0.0, begun + deed.after - time.monotonic()))
            self.do(deed)
        for player in players:
            self.ended(player)
        # Whatever is still inside the rail comes to its end; nobody has asked for it twice.
        rail.go.set()
        rail.faults.clear()
        until = time.monotonic() + LONGEST_STEP_SECONDS
        while rail.busy:
            assert time.monotonic() < until, "the rail does not come to rest"
            time.sleep(0.005)
        self.release()
        if bout.calm:
            self.calm(bout.calm)

    def start(self, player: Player, stage: Stage, patient: bool, read_timeout: float) -> BaseProcess:
        if player.step != "sunday":
            stage = replace(stage, build=None)
        started = CHILDREN.Process(
            target=play, args=(stage, player.step, player.dies_at, patient, read_timeout), daemon=True
        )
        started.start()
        return started

    def calm(self, step: str) -> int:
        """What a person does after anything went wrong: run it again, until it has an end. Its exit code."""
        for _ in range(10):
            code = self.ended(self.start(Player(step), self.stage(), False, CALM_TIMEOUT_SECONDS))
            self.release()
            if code not in (FAILED, UNKNOWN):
                return code
        raise AssertionError(f"{step} comes to no end: {code}")

    def release(self) -> None:
        """What a person does in halfin's dashboard, who releases there only what we show as submitted."""
        if self.plan.protocol == "halfin":
            with self.connect() as conn:
                submitted = conn.execute(
                    "select payout_number from payouts.batch_items inner join payouts.batches"
                    " using (batch_id) where state in ('submitted', 'settled')"
                )
                self.bench.rail.release({number for (number,) in submitted})

    def ended(self, player: BaseProcess) -> int:
        player.join(LONGEST_STEP_SECONDS)
        if player.is_alive():
            player.kill()
            raise AssertionError(f"a process does not end: {player}")
        code = player.exitcode
        assert code is not None
        assert code in (DONE, KILLED, FAILED, REFUSED, UNKNOWN, NOTHING), f"a bug ended a process: {code}"
        self.counts.steps += 1
        self.counts.kills += code == KILLED
        self.counts.answers_that_decide_nothing += code == UNKNOWN
        return code

    # -- the rail's deeds

    def do(self, deed: Deed) -> None:
        if deed.name == "crash":
            self.place.crash()
            self.counts.database_crashes += 1
        elif deed.name == "deliver":
            self.delivered(self.bench.rail.sender.deliver(**deed.options))
        else:
            self.settle(**deed.options)

    def settle(
        self,
        share: float,
        fails: float,
        comes_back: float,
        changes_its_mind: bool,
        lie: str | None,
        **how: Any,
    ) -> None:
        """The rail decides about some of what it is processing, and about some of what it has paid."""
        rail = self.bench.rail
        for payment in sorted(rail.payments(), key=lambda payment: payment.payment_id):
            chance = self.random.random()
            if payment.status == "processing" and chance < share:
                failed = self.random.random() < fails
                told = _lie(lie)
                if failed and changes_its_mind and self.plan.protocol == "batch":
                    # Not its last word, which only this protocol can say: it will be paid after all.
                    self.move(payment, "failed", final=False, lie=told, **how)
                    self.move(payment, "completed", lie=told, **how)
                else:
                    self.move(payment, "failed" if failed else "completed", lie=told, **how)
            elif payment.status == "completed" and chance < comes_back and self.plan.protocol != "halfin":
                self.move(payment, "returned", lie=Lie(), **how)

    def move(self, payment: Payment, status: str, **how: Any) -> None:
        with suppress(ValueError):
            self.delivered(self.bench.rail.settle({payment.reference: status}, **how))

    def delivered(self, sent: list[Delivered]) -> None:
        self.counts.webhooks += len(sent)
        self.accepted += [each for each in sent if each.answer is not None and 200 <= each.answer < 300]

    def _some_reference(self) -> tuple[str, ...]:
        try:
            with self.connect() as conn:
                row = conn.execute(
                    "select payout_number from payouts.payouts where status = 'ready' order by 1 limit 1"
                ).fetchone()
        except psycopg.Error:
            return ()
        return (row[0],) if row else ()

    # -- the game

    def play(self) -> None:
        for number, week in enumerate(self.plan.weeks):
            self.window = START + timedelta(weeks=number)
            self.earn(week)
            for bout in week.bouts:
                self.bout(bout)
        self.finish()

    def finish(self) -> None:
        """In peace: all is handed over and decided; what failed, came back or was kept goes out once more."""
        count = len(self.plan.weeks)
        for number in range(count):
            self.window = START + timedelta(weeks=number)
            self.settle_batches("approve", "submit")
        self.settle_batches("grant", "hand_over")
        self.hear_everything(range(count))
        self.window = START + timedelta(weeks=count)
        self.calm("set_free")
        self.calm("sunday")
        self.settle_batches("approve", "submit")
        self.hear_everything([count])
        self.counts.payments_by_the_rail = sum(
            each.status == "completed" for each in self.bench.rail.payments()
        )

    def hear_everything(self, weeks: Iterable[int]) -> None:
        """The rail decides about everything, its last webhooks come, and it is asked about the windows."""
        rail = self.bench.rail
        for payment in rail.payments():
            if payment.status == "processing":
                self.move(payment, "completed", webhooks="lose")
        self.listen()
        self.delivered(rail.sender.deliver())
        for number in weeks:
            self.window = START + timedelta(weeks=number)
            self.calm("ask_again")
        self.calm("ask_again_requests")

    def settle_batches(self, approve: str, submit: str) -> None:
        """What the rail refuses has a successor, which has to be approved."""
        self.calm(approve)
        self.calm(submit)
        while self.calm(approve) == DONE:
            self.calm(submit)

    def close(self) -> None:
        if self.listener is not None:
            self.listener.kill()
            self.listener.join()


def _lie(kind: str | None) -> Lie:
    return {
        None: Lie(),
        "amount": Lie(amount="0.01"),
        "reference": Lie(reference="JPO9999999"),
        "event_type": Lie(event_type="payout.daydreamed"),
    }[kind]

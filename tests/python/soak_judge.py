"""What must never be, whatever happened. The rail's own record of what it paid is the oracle."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from psycopg import Connection

from planted import FAULTS
from rail_batches import bench
from soak_place import SETTINGS, Place
from soak_plans import Plan
from soak_weeks import Counts, Game
from weekclose import decisions
from weekclose.database import open_connection
from weekclose.errors import WeekcloseError
from weekclose.policy import effective_vars
from weekclose.simulator.record import Payment

LIVE = ("pending_approval", "processing", "completed")


@dataclass(frozen=True)
class Outcome:
    """What a plan came to. No violation is good."""

    plan: Plan
    violations: list[str]
    counts: Counts

    def __str__(self) -> str:
        found = "\n".join(f"VIOLATED {each}" for each in self.violations)
        return f"{self.plan}\n{json.dumps(asdict(self.counts))}\n{found}"


def run(place: Place, plan: Plan, directory: Path, fault: str | None = None) -> Outcome:
    """Play a plan in a database and with a rail of its own, and judge it."""
    with ExitStack() as stack:
        database = stack.enter_context(place.database())
        rail = stack.enter_context(bench(plan.protocol, directory))
        if fault is not None:
            with open_connection(database) as conn:
                FAULTS[fault].database(conn)
        game = Game(place, plan, database, rail, fault)
        stack.callback(game.close)
        try:
            game.play()
            found = violations(game)
        except AssertionError as error:
            found = [f"the game broke off: {error}"]
    return Outcome(plan, found, game.counts)


def violations(game: Game) -> list[str]:
    """What must never be, whatever happened. Empty when all is well."""
    payments = game.bench.rail.payments()
    with game.connect() as conn:
        return [
            *_paid_twice(conn, payments),
            *_lost(conn, game, payments),
            *_books_unlike_rail(conn, payments),
            *_ledger(conn),
            *_unfinished(conn),
            *_unheard(conn, game),
            *(
                f"{found.name}: {found.message}"
                for found in game.place.build.red(conn, effective_vars(SETTINGS, game.stage().night))
            ),
        ]


def _paid_twice(conn: Connection[Any], payments: list[Payment]) -> Iterator[str]:
    """At most one live payment for a payout, and at most one payout that was paid for a seller's window."""
    live: dict[str, int] = {}
    for payment in payments:
        if payment.status in LIVE:
            live[payment.reference] = live.get(payment.reference, 0) + 1
    yield from (f"{number} is paid {count} times" for number, count in sorted(live.items()) if count > 1)
    covered: dict[tuple[str, str, date], list[str]] = {}
    for number, seller, currency, window in conn.execute(
        "select payout_number, seller_id, currency, coverage.payout_window from payouts.payouts"
        " inner join payouts.payout_coverage as coverage using (payout_number)"
    ):
        if live.get(number):
            covered.setdefault((seller, currency, window), []).append(number)
    yield from (f"{key} is paid by {numbers}" for key, numbers in covered.items() if len(numbers) > 1)


def _lost(conn: Connection[Any], game: Game, payments: list[Payment]) -> Iterator[str]:
    """What the rail's record says a seller got, and what he is still owed, is what he earned."""
    sellers = dict(conn.execute("select payout_number, seller_id from payouts.payouts").fetchall())
    owed = dict(
        conn.execute(
            "select seller_id, balance from payouts.account_balances where account = 'seller_payable'"
        ).fetchall()
    )
    got: dict[str, Decimal] = {}
    for payment in payments:
        if payment.status == "completed":
            seller = sellers.get(payment.reference, f"nobody ({payment.reference})")
            got[seller] = got.get(seller, Decimal(0)) + Decimal(payment.amount)
    for seller in sorted({*got, *owed, *game.earned}):
        earned = game.earned.get(seller, Decimal(0))
        found = got.get(seller, Decimal(0)) + owed.get(seller, Decimal(0))
        if found != earned:
            yield (
                f"{seller} earned {earned}, the rail paid {got.get(seller)}, the books owe {owed.get(seller)}"
            )


def _books_unlike_rail(conn: Connection[Any], payments: list[Payment]) -> Iterator[str]:
    completed = {payment.reference for payment in payments if payment.status == "completed"}
    for number, status in conn.execute("select payout_number, status from payouts.payouts"):
        if (status == "paid") != (number in completed):
            yield f"{number} is {status}, and {'paid' if number in completed else 'not paid'} by the rail"
    # The rail was made to lie about payouts and types that do not exist.
    for entity, kind in conn.execute(
        "select entity, break_type from marts.reconciliation_breaks"
        " where break_type not in ('event_unknown_payout', 'event_unknown_type')"
    ):
        yield f"break: {kind} {entity}"


def _ledger(conn: Connection[Any]) -> Iterator[str]:
    for currency, total in conn.execute(
        "select currency, sum(amount) from payouts.ledger_entries group by currency having sum(amount) <> 0"
    ):
        yield f"the ledger is off by {total} {currency}"
    for account, seller in conn.execute(
        "select account, seller_id from payouts.account_balances as balances"
        " left join (select account, seller_id, currency, sum(amount) as amount from payouts.ledger_entries"
        "   group by account, seller_id, currency) as entries using (account, seller_id, currency)"
        " where balances.balance <> coalesce(entries.amount, 0)"
    ):
        yield f"the balance of {account} of {seller} is not its entries"
    try:
        decisions.verify_audit(conn)
    except WeekcloseError as error:
        yield str(error)


def _unfinished(conn: Connection[Any]) -> Iterator[str]:
    for batch, state in conn.execute(
        "select batch_id, state from payouts.batches where state in ('submitting', 'submitted')"
    ):
        yield f"batch {batch} is {state}, and the rail has nothing open"
    for (attempt,) in conn.execute("select attempt_id from payouts.submit_attempts where outcome is null"):
        yield f"attempt {attempt} has no end"
    for verdict, count in conn.execute(
        "select verdict, count(*) from payouts.inbox where outcome is null"
        " and verdict not in ('unknown_payout', 'unknown_type') group by verdict"
    ):
        yield f"{count} events wait for ever: {verdict}"


def _unheard(conn: Connection[Any], game: Game) -> Iterator[str]:
    """What was answered with 2xx was stored before. Halfin's events have no id: there it is the payout."""
    by_payout = game.plan.protocol == "halfin"
    column = "payout_number" if by_payout else "rail_event_id"
    stored = {row[0] for row in conn.execute(f"select {column} from payouts.rail_events".encode())}
    for event in game.accepted:
        if (event.reference if by_payout else event.event_id) not in stored:
            yield f"event {event.event_id} about {event.reference} was taken and is not there"

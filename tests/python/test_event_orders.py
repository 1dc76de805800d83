"""What a rail tells about a payout in any order, twice, at once, or not at all: the books end with the truth.

The truth is the rail's final word, which a look-up gives.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import cycle
from random import Random
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection
from psycopg.types.json import Jsonb

from catalogue import SOAK, Reached
from frozen_window import OPERATOR, WINDOW, one, submitted_window
from rail_batches import KEY
from weekclose import decisions, events
from weekclose.database import open_connection
from weekclose.postgres import Server
from weekclose.rails.batch import BatchRail
from weekclose.rails.protocol import RailEvent
from weekclose.rails.transport import Transport

pytestmark = pytest.mark.catalogue(6)

AMOUNT, OTHER = Decimal("10.00"), Decimal("11.00")
TOLD_AT = datetime(2026, 11, 17, tzinfo=UTC)
BATCH = f"W{WINDOW}-G1"
RAIL = BatchRail(Transport("http://127.0.0.1:9", loopback=True), KEY, [])


@dataclass(frozen=True)
class Truth:
    """What became of a payout at the rail, and what of it its webhooks say: (status, amount), in any order.
    `bookings` is what the ledger has of it in the end."""

    status: str
    amount: Decimal
    told: tuple[tuple[str | None, Decimal], ...]
    ends: str
    bookings: tuple[str, ...]


PROCESSING, UNKNOWN = ("processing", AMOUNT), (None, AMOUNT)
COMPLETED, FAILED, RETURNED = ("completed", AMOUNT), ("failed", AMOUNT), ("returned", AMOUNT)
TRUTHS = (
    Truth("completed", AMOUNT, (PROCESSING, COMPLETED, FAILED, RETURNED, UNKNOWN), "paid", ("pay",)),
    Truth(
        "completed",
        AMOUNT,
        (PROCESSING, COMPLETED, COMPLETED, ("completed", OTHER), FAILED),
        "paid",
        ("pay",),
    ),
    Truth("failed", AMOUNT, (PROCESSING, FAILED, FAILED, RETURNED, UNKNOWN), "failed", ("fail",)),
    Truth(
        "returned", AMOUNT, (PROCESSING, COMPLETED, FAILED, RETURNED, UNKNOWN), "returned", ("pay", "return")
    ),
    Truth(
        "completed",
        OTHER,
        (PROCESSING, ("completed", OTHER), ("completed", OTHER), FAILED, UNKNOWN),
        "awaiting_reconciliation",
        (),
    ),
)
MOST = 5


def event(truth: Truth, number: str, which: int) -> RailEvent:
    """The `which`-th of what the rail tells about the payout."""
    status, amount = truth.told[which]
    return RailEvent(
        event_id=f"evt {number} {which}",
        event_type=f"payout.{status or 'pondered'}",
        status=status,  # type: ignore[arg-type]
        payout=number,
        amount=amount,
        currency="USD",
        external_reference=f"TX {number}",
        failure_code=None,
        failure_reason=None,
        occurred_at=TOLD_AT + timedelta(minutes=which),
    )


def tell(conn: Connection[Any], told: RailEvent) -> None:
    """What the webhook server does with a verified event."""
    event_id = events.receive(conn, RAIL, told, b"{}")
    if event_id is not None:
        events.apply(conn, [event_id], "webhook")


def look_up(conn: Connection[Any], truths: dict[str, Truth], *, final: bool = True) -> None:
    """What `reconcile` does with the rail's answer."""
    events.apply(conn, None, OPERATOR)
    said = [
        {
            "reference": number,
            "status": truth.status if final else "processing",
            "final": final,
            "amount": str(truth.amount),
            "external_reference": f"TX {number}",
        }
        for number, truth in truths.items()
    ]
    conn.execute("select payouts.confirm(%s, clock_timestamp(), %s, %s)", (BATCH, Jsonb(said), OPERATOR))
    events.apply(conn, None, OPERATOR)


def agree(conn: Connection[Any], truths: dict[str, Truth]) -> None:
    """Each payout is what the rail says, by one booking a step, and only what nobody understands waits."""
    numbers = list(truths)
    found = conn.execute(
        "select payout_number, status, array(select distinct split_part(kind, ' ', 1)"
        "   from payouts.ledger_entries inner join payouts.ledger_transactions using (transaction_id)"
        "   where ledger_entries.payout_number = payouts.payout_number and kind not in ('freeze', 'submit')),"
        " (select count(*) from payouts.ledger_entries"
        "   inner join payouts.ledger_transactions using (transaction_id)"
        "   where ledger_entries.payout_number = payouts.payout_number and kind not in ('freeze', 'submit'))"
        " from payouts.payouts where payout_number = any(%s)",
        [numbers],
    ).fetchall()
    assert {number: (status, sorted(kinds), entries) for number, status, kinds, entries in found} == {
        number: (truth.ends, sorted(truth.bookings), 2 * len(truth.bookings))
        for number, truth in truths.items()
    }
    waiting = conn.execute(
        "select payout_number, rail_event_id, verdict from payouts.inbox"
        " where outcome is null and payout_number = any(%s)",
        [numbers],
    ).fetchall()
    for number, event_id, verdict in waiting:
        assert verdict == "unknown_type" or truths[number].ends == "awaiting_reconciliation", (
            event_id,
            verdict,
        )


steps = st.lists(
    st.one_of(st.integers(0, MOST - 1), st.sampled_from(("open", "earlier", "final"))), max_size=8
)


def test_the_books_end_with_the_truth(conn: Connection[Any], reached: Reached) -> None:
    """What comes twice, late or not at all changes nothing; nor when the rail is asked in between, and has no
    final word yet, or one that it takes back."""
    (number,) = submitted(conn, 1)
    played = 0

    @settings(
        max_examples=5_000 if SOAK else 250,
        derandomize=not SOAK,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(st.sampled_from(TRUTHS), steps)
    def play(truth: Truth, steps: list[int | str]) -> None:
        nonlocal played
        with conn.transaction(force_rollback=True):
            for place, step in enumerate(steps):
                if isinstance(step, int):
                    tell(conn, event(truth, number, step))
                elif step == "final":
                    look_up(conn, {number: truth})
                elif step == "earlier" and truth.status == "returned" and "final" not in steps[:place]:
                    look_up(conn, {number: replace(truth, status="completed")})
                else:
                    look_up(conn, {number: truth}, final=False)
            look_up(conn, {number: truth})
            agree(conn, {number: truth})
            # What a commit would look at.
            conn.execute("set constraints all immediate")
        played += 1

    play()
    reached(6, "orders of a payout's events, told twice, lost or looked up in between", played)


def test_at_once(conn: Connection[Any], database: Server, reached: Reached) -> None:
    """Four senders tell everything, each in an order of his own, while somebody asks the rail."""
    numbers = submitted(conn, 5 * len(TRUTHS))
    truths = dict(zip(numbers, cycle(TRUTHS), strict=False))

    def send(seed: int) -> None:
        messages = [event(truth, number, which) for number, truth in truths.items() for which in range(MOST)]
        Random(seed).shuffle(messages)
        with open_connection(database) as own:
            for message in messages:
                tell(own, message)

    def ask() -> None:
        with open_connection(database) as own:
            for _ in range(5):
                look_up(own, truths)

    with ThreadPoolExecutor(5) as pool:
        waiting = [pool.submit(send, seed) for seed in range(4)] + [pool.submit(ask)]
        for each in waiting:
            each.result()
    look_up(conn, truths)
    agree(conn, truths)
    decisions.verify_audit(conn)
    reached(6, "events told by four senders at once", MOST * len(truths))


def test_together_as_one_by_one(conn: Connection[Any]) -> None:
    """What is applied in one transaction becomes what it would have become event by event: several of one
    payout in any order, and a transfer that two payouts claim."""
    numbers = submitted(conn, 3 * len(TRUTHS))
    truths = dict(zip(numbers, cycle(TRUTHS), strict=False))
    told = [event(truth, number, which) for number, truth in truths.items() for which in range(MOST)]
    claimed: dict[str | None, str] = {numbers[5]: numbers[0], numbers[1]: numbers[6]}
    told = [replace(each, external_reference=f"TX {claimed.get(each.payout, each.payout)}") for each in told]
    Random(1).shuffle(told)

    def became(chunk: int) -> list[Any]:
        with conn.transaction(force_rollback=True):
            ids = [events.receive(conn, RAIL, each, b"{}") for each in told]
            for start in range(0, len(ids), chunk):
                events.apply(conn, [each for each in ids[start : start + chunk] if each], "webhook")
            conn.execute("set constraints all immediate")
            return [
                conn.execute(query).fetchall()
                for query in (
                    "select rail_event_id, verdict from payouts.inbox order by 1",
                    "select payout_number, status, reference_id, external_reference, failure_code"
                    " from payouts.payouts order by 1",
                    "select payout_number, external_reference, amount, executed_at from payouts.executions"
                    " order by 1, 2",
                    "select kind, reference from payouts.ledger_transactions order by 1, 2",
                    "select action, entity, before, after - 'amount' from payouts.audit_log order by 1, 2",
                    "select type, entity, payload - 'status_changed_at' from payouts.outbox order by 1, 2",
                    "select account, sum(balance) from payouts.account_balances group by 1 order by 1",
                )
            ]

    assert len(told) <= events.CHUNK
    one_by_one = became(1)
    assert {status for _, status, *_ in one_by_one[1]} >= {"paid", "awaiting_reconciliation"}
    assert became(len(told)) == one_by_one


def test_an_event_reads_the_item_of_its_own_payout(conn: Connection[Any]) -> None:
    """Not the batch, of which the planner knows nothing between the claim and the next analyze."""
    submitted(conn, 5)
    conn.execute("analyze")
    submitted_window(conn, [AMOUNT] * 300, window=WINDOW + timedelta(days=7))
    told = [event(TRUTHS[0], f"JPO{number:07}", 1) for number in range(6, 26)]
    before = items_read(conn)
    for each in told:
        tell(conn, each)
    assert 0 < items_read(conn) - before < 10 * len(told)


def items_read(conn: Connection[Any]) -> int:
    """Of batches, by everybody who has said so, and by this connection."""
    conn.execute("select pg_stat_force_next_flush()")
    read = "select seq_tup_read + idx_tup_fetch from pg_stat_user_tables where relname = 'batch_items'"
    return int(one(conn, read))


def test_one_that_cannot_be_booked(conn: Connection[Any]) -> None:
    """It waits, and the others that came with it are booked."""
    numbers = submitted(conn, 4)
    conn.execute(
        f"create trigger refused before update on payouts.payouts for each row"
        f" when (old.payout_number = '{numbers[1]}') execute function payouts.refuse_change()".encode()
    )
    for number in numbers:
        events.receive(conn, RAIL, event(TRUTHS[0], number, 1), b"{}")
    with pytest.raises(psycopg.errors.RestrictViolation):
        events.apply(conn, None, "webhook")
    found = dict(conn.execute("select payout_number, status from payouts.payouts").fetchall())
    assert found == {number: "submitted" if number == numbers[1] else "paid" for number in numbers}
    conn.execute("drop trigger refused on payouts.payouts")
    assert [each.verdict for each in events.apply(conn, None, "webhook")] == ["book"]


def submitted(conn: Connection[Any], count: int) -> list[str]:
    submitted_window(conn, [AMOUNT] * count)
    return [f"JPO{number:07}" for number in range(1, count + 1)]

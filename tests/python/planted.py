"""Faults that can be planted into the product, one at a time: does a soak see that a guard is gone?

Each takes away one guard, in the process of every player or in the database, and says which.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from psycopg import Connection

from weekclose import events, freeze, reconciliation, submission
from weekclose.errors import OutcomeUnknown
from weekclose.rails.protocol import Batch, NotThere, Rail, Receipt, Refusal
from weekclose.refusals import refusals

Conn = Connection[Any]


@dataclass(frozen=True)
class Fault:
    """What is taken away (`guard`), by a change of this process, of the database, or of both."""

    guard: str
    process: Callable[[], None] = lambda: None
    database: Callable[[Conn], None] = lambda conn: None


def plant(name: str | None) -> None:
    """Change this process."""
    if name is not None:
        FAULTS[name].process()


def _fresh_key() -> None:
    send = submission._send

    def fresh(conn: Conn, rail: Rail, batch: Batch, attempt: int, actor: str) -> Any:
        other = replace(batch, idempotency_key=secrets.token_hex(32), body=b"")
        return send(conn, rail, replace(other, body=rail.encode(other)), attempt, actor)

    submission._send = fresh


def _send_before_claim() -> None:
    known_before = submission._known_before

    def sent_already(rail: Rail, batch: Batch) -> Any:
        answer = rail.submit(batch)
        return known_before(rail, batch) if isinstance(answer, Refusal) else answer

    submission._known_before = sent_already


def _silence_is_failure() -> None:
    def released(conn: Conn, rail: Rail, batch: Batch, why: str, retry_after: int | None) -> OutcomeUnknown:
        with refusals(), conn.transaction():
            conn.execute(
                'select payouts.take_refusal(%s, \'{"code": "timeout", "message": "no answer"}\', \'olga\')',
                (batch.reference,),
            )
        return OutcomeUnknown(why)

    submission._unknown = released


def _no_look_up() -> None:
    resume = submission._resume

    class Blind:
        """A rail that cannot be asked what it has, only be sent things."""

        def __init__(self, rail: Rail) -> None:
            self._rail = rail

        def __getattr__(self, name: str) -> Any:
            return (lambda batch: NotThere()) if name == "look_up" else getattr(self._rail, name)

    submission._resume = lambda conn, rail, *rest: resume(conn, Blind(rail), *rest)


def _no_quiet_period() -> None:
    resume = submission._resume

    class Hasty:
        """A rail inside which nothing ever is."""

        max_processing_seconds = 0

        def __init__(self, rail: Rail) -> None:
            self._rail = rail

        def __getattr__(self, name: str) -> Any:
            return getattr(self._rail, name)

    submission._resume = lambda conn, rail, *rest: resume(conn, Hasty(rail), *rest)


def _answer_before_storing() -> None:
    receive = events.receive
    stored_later: list[tuple[Any, ...]] = []

    def answered(conn: Conn, rail: Rail, event: Any, body: bytes) -> int | None:
        # What came before is stored when the next one comes.
        stored_later.append((rail, event, body))
        return receive(conn, *stored_later.pop(0)) if len(stored_later) > 1 else None

    events.receive = answered  # type: ignore[assignment]


def _built_is_believed() -> None:
    freeze._check_marts = lambda *_: None


def _half_a_receipt() -> None:
    Receipt.matches = lambda *_: True  # type: ignore[method-assign]


def _not_final_is_final() -> None:
    as_json = reconciliation._as_json
    reconciliation._as_json = lambda state: as_json(state) | {"final": True}


def _in(function: str, old: str, new: str) -> Callable[[Conn], None]:
    """Write a function of the database anew, with a piece of it replaced."""

    def change(conn: Conn) -> None:
        row = conn.execute(
            "select pg_get_functiondef(pg_proc.oid) from pg_proc"
            " where pronamespace = 'payouts'::regnamespace and proname = %s",
            (function,),
        ).fetchone()
        assert row is not None
        assert old in row[0], f"{function} has changed: {old!r} is not in it"
        conn.execute(row[0].replace(old, new).encode())

    return change


def _drop(*statements: str) -> Callable[[Conn], None]:
    def change(conn: Conn) -> None:
        for statement in statements:
            conn.execute(statement.encode())

    return change


def _failure_is_believed(conn: Conn) -> None:
    row = conn.execute("select pg_get_viewdef('payouts.inbox'::regclass)").fetchone()
    assert row is not None
    is_sent = "(payouts.status = 'submitted'::text)"
    old = f"WHEN ((events.status = 'completed'::text) AND {is_sent} AND events.proves_content)"
    assert old in row[0], "the inbox has changed"
    new = f"WHEN {is_sent}"
    conn.execute(f"create or replace view payouts.inbox as {row[0].replace(old, new)}".encode())


ONE_LIVE = "drop index payouts.batches_one_live"
GENERATION = "alter table payouts.batches drop constraint batches_generation"
SELLER_ONCE = "alter table payouts.batch_items drop constraint batch_items_a_seller_once"
LIVE_BATCH = "drop index payouts.batch_items_one_live_batch"
ONE_EFFECT = "alter table payouts.ledger_transactions drop constraint ledger_transactions_one_effect"

FAULTS: dict[str, Fault] = {
    "a fresh key for each attempt": Fault("the stored key", _fresh_key),
    "sent before it is claimed": Fault(
        "the claim is committed before the first byte leaves", _send_before_claim
    ),
    "silence taken for failure": Fault(
        "an answer that decides nothing leaves the batch as it is", _silence_is_failure
    ),
    "nobody asks the rail first": Fault("the look-up before a batch is sent again", _no_look_up),
    "no quiet period": Fault("the wait until nothing can be inside the rail any more", _no_quiet_period),
    "answered before it is stored": Fault(
        "a webhook is stored before it is answered", _answer_before_storing
    ),
    "the build is believed": Fault("a freeze compares what was built with the ledger", _built_is_believed),
    "any receipt will do": Fault("the receipt names our count and totals", _half_a_receipt),
    "what is not final is believed": Fault("only the rail's last word moves money", _not_final_is_final),
    "a failure is believed from a webhook": Fault(
        "a failure is believed from a look-up alone", database=_failure_is_believed
    ),
    "the last word wins, however old": Fault(
        "an older answer than the one we have is no news",
        database=_in("confirm", "where known.asked_at <= excluded.asked_at", "where true"),
    ),
    "a freeze does not wait its turn": Fault(
        "a freeze and whoever moves payouts take turns",
        database=_in("take_turns", "lock table payouts.turns in row exclusive mode;", "null;"),
    ),
    "two live batches": Fault("one live batch of a window", database=_drop(ONE_LIVE, GENERATION)),
    "a payout in two batches": Fault("one live batch of a payout", database=_drop(LIVE_BATCH, SELLER_ONCE)),
    "two live batches, a payout in both": Fault(
        "both unique indexes", database=_drop(ONE_LIVE, GENERATION, LIVE_BATCH, SELLER_ONCE)
    ),
    "booked twice": Fault("one effect for a step", database=_drop(ONE_EFFECT)),
    "who claims does not look": Fault(
        "a claim expects the state that it saw",
        database=_in("lock_batch", "if batch.state is distinct from expected then", "if false then"),
    ),
}

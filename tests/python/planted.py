"""Faults that can be planted into the product, one at a time: who sees that a guard is gone?

Each takes away one guard, in the process or in the database, and names a test that fails without it:

    pytest --plant "no quiet period" tests/python/test_submission.py
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
    """What is taken away (`guard`), by a change of this process, of the database, or of both, and the `test`
    that fails then: it acts in pytest's own process."""

    guard: str
    test: str
    process: Callable[[], None] = lambda: None
    database: Callable[[Conn], None] = lambda conn: None


def plant(name: str | None) -> None:
    """Change this process."""
    if name is not None:
        FAULTS[name].process()


def _put(owner: Any, name: str, value: Any) -> None:
    """In the place of what is there: what has another name by now would still be the guard."""
    assert hasattr(owner, name), f"{owner} has no {name}"
    setattr(owner, name, value)


def _fresh_key() -> None:
    send = submission._send

    def fresh(conn: Conn, rail: Rail, batch: Batch, attempt: int, actor: str) -> Any:
        other = replace(batch, idempotency_key=secrets.token_hex(32), body=b"")
        return send(conn, rail, replace(other, body=rail.encode(other)), attempt, actor)

    _put(submission, "_send", fresh)


def _send_before_claim() -> None:
    known_before = submission._known_before

    def sent_already(rail: Rail, batch: Batch) -> Any:
        answer = rail.submit(batch)
        return known_before(rail, batch) if isinstance(answer, Refusal) else answer

    _put(submission, "_known_before", sent_already)


def _silence_is_failure() -> None:
    unknown = submission._unknown

    def released(conn: Conn, rail: Rail, batch: Batch, *rest: Any) -> OutcomeUnknown:
        error = unknown(conn, rail, batch, *rest)
        with refusals(), conn.transaction():
            conn.execute(
                'select payouts.take_refusal(%s, \'{"code": "timeout", "message": "no answer"}\', \'olga\')',
                (batch.reference,),
            )
        return error

    _put(submission, "_unknown", released)


def _no_look_up() -> None:
    resume = submission._resume

    class Blind:
        """A rail that cannot be asked what it has, only be sent things."""

        def __init__(self, rail: Rail) -> None:
            self._rail = rail
            _put(self, "look_up", lambda batch: NotThere())

        def __getattr__(self, name: str) -> Any:
            return getattr(self._rail, name)

    _put(submission, "_resume", lambda conn, rail, *rest: resume(conn, Blind(rail), *rest))


def _no_quiet_period() -> None:
    resume = submission._resume

    def hasty(conn: Conn, rail: Any, *rest: Any) -> Any:
        return resume(conn, replace(rail, max_processing_seconds=0), *rest)

    _put(submission, "_resume", hasty)


def _answer_before_storing() -> None:
    receive = events.receive
    stored_later: list[tuple[Any, ...]] = []

    def answered(conn: Conn, rail: Rail, event: Any, body: bytes) -> int | None:
        # What came before is stored when the next one comes.
        stored_later.append((rail, event, body))
        return receive(conn, *stored_later.pop(0)) if len(stored_later) > 1 else None

    _put(events, "receive", answered)


def _built_is_believed() -> None:
    _put(freeze, "_check_marts", lambda *_: None)


def _half_a_receipt() -> None:
    _put(Receipt, "matches", lambda *_: True)


def _not_final_is_final() -> None:
    as_json = reconciliation._as_json
    _put(reconciliation, "_as_json", lambda state: as_json(state) | {"final": True})


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


def _nobody_takes_turns(conn: Conn) -> None:
    """Neither who freezes nor who moves payouts: each function that does is written anew."""
    functions = conn.execute(
        "select proname, array_agg(distinct lock[1]) from pg_proc"
        " cross join lateral regexp_matches(prosrc, 'lock table payouts.turns in [a-z ]+;', 'g') as lock"
        " where pronamespace = 'payouts'::regnamespace group by proname"
    ).fetchall()
    assert len(functions) > 1
    for name, (lock,) in functions:
        _in(name, lock, "null;")(conn)


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
    "a fresh key for each attempt": Fault(
        "the stored key", "test_submission.py::test_every_attempt_is_the_same_bytes", _fresh_key
    ),
    "sent before it is claimed": Fault(
        "the claim is committed before the first byte leaves",
        "test_submission.py::test_readiness_is_looked_at_again",
        _send_before_claim,
    ),
    "silence taken for failure": Fault(
        "an answer that decides nothing leaves the batch as it is",
        "test_submission.py::test_an_unclear_answer_is_found_out_by_the_next_run",
        _silence_is_failure,
    ),
    "nobody asks the rail first": Fault(
        "the look-up before a batch is sent again",
        "test_submission.py::test_a_rail_that_is_late_and_forgets_pays_once",
        _no_look_up,
    ),
    "no quiet period": Fault(
        "the wait until nothing can be inside the rail any more",
        "test_submission.py::test_a_rail_that_is_late_and_forgets_pays_once",
        _no_quiet_period,
    ),
    "answered before it is stored": Fault(
        "a webhook is stored before it is answered",
        "test_webhooks.py::test_another_program_listens_for_a_while",
        _answer_before_storing,
    ),
    "the build is believed": Fault(
        "a freeze compares what was built with the ledger",
        "test_sunday.py::test_money_that_moved_since_the_build_is_not_frozen_twice",
        _built_is_believed,
    ),
    "any receipt will do": Fault(
        "the receipt names our count and totals",
        "test_submission.py::test_a_receipt_for_something_else_is_not_believed",
        _half_a_receipt,
    ),
    "what is not final is believed": Fault(
        "only the rail's last word moves money",
        "test_submission.py::test_a_failure_that_is_not_final_moves_nothing",
        _not_final_is_final,
    ),
    "a failure is believed from a webhook": Fault(
        "a failure is believed from a look-up alone",
        "test_submission.py::test_webhooks_say_it_as_well",
        database=_failure_is_believed,
    ),
    "the last word wins, however old": Fault(
        "an older answer than the one we have is no news",
        "test_submission.py::test_an_answer_that_was_overtaken_is_no_news",
        database=_in("confirm", "where known.asked_at <= excluded.asked_at", "where true"),
    ),
    "a freeze does not wait its turn": Fault(
        "a freeze and whoever moves payouts take turns",
        "test_races.py::test_a_freeze_waits_for_who_releases",
        database=_nobody_takes_turns,
    ),
    "two live batches": Fault(
        "one live batch of a window",
        "test_races.py::test_a_second_batch_of_a_window_is_refused",
        database=_drop(ONE_LIVE, GENERATION),
    ),
    "a payout in two batches": Fault(
        "one live batch of a payout",
        "test_races.py::test_a_payout_in_a_second_batch_is_refused",
        database=_drop(LIVE_BATCH, SELLER_ONCE),
    ),
    "two live batches, a payout in both": Fault(
        "both unique indexes",
        "test_races.py::test_a_second_batch_of_a_window_is_refused",
        database=_drop(ONE_LIVE, GENERATION, LIVE_BATCH, SELLER_ONCE),
    ),
    "booked twice": Fault(
        "one effect for a step",
        "test_executions.py::test_what_was_reversed_comes_back_once",
        database=_drop(ONE_EFFECT),
    ),
    "who claims does not look": Fault(
        "a claim expects the state that it saw",
        "test_submission.py::test_who_was_overtaken_claims_nothing",
        database=_in("lock_batch", "if batch.state is distinct from expected then", "if false then"),
    ),
}

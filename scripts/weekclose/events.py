"""The inbox: what a rail told us is stored once and applied once, in whichever order it came."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import class_row

from weekclose.database import statement
from weekclose.errors import NothingToDo, UsageError
from weekclose.rails.protocol import EventMalformed, Rail, RailEvent
from weekclose.refusals import refusals

# How many events are applied in one transaction: who books something else waits for no more than these.
CHUNK = 100
# Who books at the same time may have to be broken up by the database; then one of them tries again.
TRIES = 5

# What names something is no longer than this: an index has to keep it, and a person to read it.
LONGEST_NAME = 255

# What an event waits for, by its verdict, and what helps.
WAITS_FOR = {
    "unknown_type": "its type is not known here: a person has to look",
    "unknown_payout": "no payout has this number: a person has to look",
    "other_amount": "it names another amount than ours: weekclose reconcile asks the rail",
    "waits_for_a_person": "its payout awaits reconciliation: a person has to look",
    "not_submitted": "its payout is not submitted: weekclose reconcile asks the rail",
    "needs_look_up": "the rail's final word: weekclose reconcile asks for it",
}


@dataclass(frozen=True)
class Verdict:
    """What became of an event: `book` or `no_effect`, its outcome if it was decided before, or a key of
    WAITS_FOR."""

    event_id: int
    verdict: str


@dataclass(frozen=True)
class InboxEntry:
    """An event and what became of it; instants are in UTC. `payout_*` and `seller_id` are as our books have
    them, None when no payout has the event's `payout_number`."""

    event_id: int
    received_at: datetime
    rail: str
    rail_event_id: str
    event_type: str
    status: str | None
    payout_number: str | None
    amount: Decimal | None
    currency: str | None
    external_reference: str | None
    failure_code: str | None
    failure_reason: str | None
    occurred_at: datetime | None
    decided_at: datetime | None
    payout_window: date | None
    seller_id: str | None
    payout_status: str | None
    payout_amount: Decimal | None
    verdict: str
    is_waiting: bool

    @property
    def stands(self) -> str:
        """What became of it, or what it waits for, in words."""
        return WAITS_FOR.get(self.verdict, self.verdict.replace("_", " "))


def receive(conn: Connection[Any], rail: Rail, event: RailEvent, raw_body: bytes) -> int | None:
    """Store a verified event in a transaction of its own. Its id, or None when it was here before.

    Raises EventMalformed when it holds something that no table can keep.
    """
    names = (event.event_id, event.event_type, event.payout, event.currency, event.external_reference)
    if any(len(name) > LONGEST_NAME for name in names if name):
        raise EventMalformed(f"webhook: a name in it is longer than {LONGEST_NAME} characters")
    told = asdict(event) | {"rail": rail.name, "proves_content": rail.proves_content, "body": raw_body}
    try:
        with conn.transaction():
            row = conn.execute(statement("inbox_receive"), told).fetchone()
    except (psycopg.DataError, psycopg.errors.ProgramLimitExceeded):
        raise EventMalformed("it holds something that cannot be stored") from None
    return row[0] if row else None


def apply(conn: Connection[Any], event_ids: Sequence[int] | None, actor: str) -> list[Verdict]:
    """Apply events, or with None all that wait for nothing. Safe to repeat and to run by several at once.

    An event that cannot be booked does not keep the others back: those that it came with are applied one by
    one, and its error is raised after them.
    """
    verdicts: list[Verdict] = []
    failure: psycopg.Error | None = None
    for chunk in _to_apply(conn) if event_ids is None else _chunks(event_ids):
        try:
            verdicts += _apply(conn, chunk, actor)
        except psycopg.OperationalError:
            raise
        except psycopg.Error:
            for event_id in chunk:
                try:
                    verdicts += _apply(conn, [event_id], actor)
                except psycopg.OperationalError:
                    raise
                except psycopg.Error as error:
                    failure = failure or error
    if failure is not None:
        raise failure
    return verdicts


def replay(conn: Connection[Any], event_ids: Sequence[int], actor: str) -> list[InboxEntry]:
    """Apply waiting events, all of them when none is named, and show where each stands then.

    Raises UsageError for an event that there is not, NothingToDo when none of them waits.
    """
    found = entries(conn, event_ids or None, waiting_only=not event_ids)
    if unknown := set(event_ids) - {each.event_id for each in found}:
        raise UsageError(f"there is no event {min(unknown)}")
    waiting = [each.event_id for each in found if each.is_waiting]
    if not waiting:
        raise NothingToDo(f"{'none of these events' if event_ids else 'no event'} waits")
    apply(conn, waiting, actor)
    return entries(conn, waiting)


def entries(
    conn: Connection[Any], event_ids: Sequence[int] | None = None, *, waiting_only: bool = False
) -> list[InboxEntry]:
    """The inbox in the order in which it came, or those of its events that are named."""
    named = {"event_ids": None if event_ids is None else list(event_ids), "waiting_only": waiting_only}
    with conn.cursor(row_factory=class_row(InboxEntry)) as cursor:
        return cursor.execute(statement("inbox_list"), named).fetchall()


def waiting_count(conn: Connection[Any]) -> int:
    """How many events wait."""
    row = conn.execute(statement("inbox_waiting")).fetchone()
    return int(row[0]) if row else 0


def _chunks(event_ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(event_ids), CHUNK):
        yield event_ids[start : start + CHUNK]


def _to_apply(conn: Connection[Any]) -> Iterator[Sequence[int]]:
    last = 0
    while found := conn.execute(statement("inbox_to_apply"), {"after": last, "up_to": CHUNK}).fetchall():
        yield [event_id for (event_id,) in found]
        last = found[-1][0]


def _apply(conn: Connection[Any], event_ids: Sequence[int], actor: str) -> list[Verdict]:
    for _ in range(TRIES - 1):
        try:
            return _apply_once(conn, event_ids, actor)
        except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
            continue
    return _apply_once(conn, event_ids, actor)


def _apply_once(conn: Connection[Any], event_ids: Sequence[int], actor: str) -> list[Verdict]:
    with refusals(), conn.transaction():
        found = conn.execute("select * from payouts.apply_events(%s, %s)", (list(event_ids), actor))
        return [Verdict(event_id, verdict) for event_id, verdict in found]

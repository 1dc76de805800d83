"""The outbox: what has become of money is told to another program, at least once and in order."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

from weekclose.database import statement
from weekclose.errors import NothingToDo, WeekcloseError
from weekclose.outbox_destinations import Destination, Event

# How many are sent before it is noted what became of them: as many are sent again when a publisher dies.
SET_SIZE = 64
# The next run goes on; cron has ended none by then.
LONGEST_RUN_SECONDS = 480.0


@dataclass(frozen=True)
class Entry:
    """An event with what became of its delivery; instants in UTC, None where there was none."""

    event_id: int
    message_id: str
    type: str
    entity: str
    payload: dict[str, Any]
    created_at: datetime
    tries: int
    delivered_at: datetime | None
    last_error: str | None
    next_try_at: datetime | None


@dataclass
class Published:
    """What a run did. `failed` has the first problem of each event that stays."""

    delivered: int = 0
    failed: list[tuple[Event, str]] = field(default_factory=list)


@contextmanager
def only_one(conn: Connection[Any], what: str) -> Iterator[None]:
    """Nobody else does it meanwhile; who dies leaves no lock. Raises NothingToDo when somebody is at it."""
    taken = conn.execute("select pg_try_advisory_lock(hashtext(%s))", [f"weekclose {what}"]).fetchone()
    if taken is None or not taken[0]:
        raise NothingToDo(f"another {what} is going on")
    try:
        yield
    finally:
        if not conn.closed:
            conn.execute("select pg_advisory_unlock(hashtext(%s))", [f"weekclose {what}"])


def publish(conn: Connection[Any], destination: Destination) -> Published:
    """Deliver what waits, oldest first, each event after the earlier ones of its entity.

    A set is read, sent with no transaction open, and noted: who dies in between has it sent again by the
    next run, under the same message ids. Ends when nothing is due, when a whole set stayed, or after eight
    minutes. Raises NothingToDo when there was nothing to deliver.
    """
    done, end_at = Published(), time.monotonic() + LONGEST_RUN_SECONDS
    with only_one(conn, "outbox publish"):
        # Who may not note it does not send it either.
        _note(conn, [], [])
        while time.monotonic() < end_at:
            events = _due(conn)
            if not events:
                break
            problems = destination.deliver(events)
            _note(conn, events, problems)
            stayed = [(event, why) for event, why in zip(events, problems, strict=True) if why is not None]
            done.delivered += len(events) - len(stayed)
            done.failed += stayed
            if len(stayed) == len(events):
                break
    if not done.delivered and not done.failed:
        raise NothingToDo(_nothing_due(conn))
    return done


def refuse_failed(done: Published) -> None:
    """Raises WeekcloseError, one line, when something stayed."""
    if done.failed:
        event, why = done.failed[0]
        raise WeekcloseError(
            f"{len(done.failed)} of {len(done.failed) + done.delivered} not delivered, the first is"
            f" {event.type} of {event.entity.partition(':')[2]}: {why}; the next runs try again"
        )


def listed(
    conn: Connection[Any], waiting: bool, entity: str | None, event_type: str | None, after: int, limit: int
) -> list[Entry]:
    """Events by id, `limit` of those after `after`; of all entities and types when None."""
    with conn.cursor(row_factory=class_row(Entry)) as cursor:
        named = {"waiting": waiting, "entity": entity, "type": event_type, "after": after, "limit": limit}
        return cursor.execute(statement("outbox_list"), named).fetchall()


def _due(conn: Connection[Any]) -> list[Event]:
    with conn.cursor(row_factory=class_row(Event)) as cursor:
        return cursor.execute(statement("outbox_due"), {"limit": SET_SIZE}).fetchall()


def _note(conn: Connection[Any], events: Sequence[Event], problems: Sequence[str | None]) -> None:
    numbers = [each.event_id for each in events]
    conn.execute("select payouts.note_deliveries(%s::bigint[], %s::text[])", (numbers, list(problems)))


def _nothing_due(conn: Connection[Any]) -> str:
    row = conn.execute(
        "select count(*), min(next_try_at) from payouts.outbox where delivered_at is null"
    ).fetchone()
    if row is None or not row[0]:
        return "every event is delivered"
    return f"{row[0]:,} wait for the next try, from {row[1]:%Y-%m-%d %H:%M} UTC on"

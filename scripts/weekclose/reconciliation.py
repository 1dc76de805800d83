"""Closes what got lost: asks the rail about everything that is not final, and applies what waited for it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from weekclose import events
from weekclose.database import statement
from weekclose.errors import NothingToDo, OutcomeUnknown, Refused
from weekclose.rails.protocol import Batch, BatchState, ItemState, Rail, totals
from weekclose.refusals import refusals
from weekclose.submission import Paid, StoredBatch, now, paid_with, read_batch, take_receipt, to_send

# Payouts booked in one transaction: a webhook that comes meanwhile waits for no more than these.
CHUNK = 200

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """What the rail said about one batch. `problem` is empty when it is as our books have it.

    `open_count` are the items of which the rail has no final word yet.
    """

    batch_id: str
    item_count: int
    booked_count: int
    open_count: int
    problem: str = ""
    is_unknown: bool = False


@dataclass(frozen=True)
class Reconciliation:
    """What a reconciliation asked and booked; `waiting` counts the events left, by what they wait for."""

    asked: list[Asked]
    applied_count: int
    waiting: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """The report as `weekclose reconcile --json` prints it."""
        return asdict(self)


def reconcile(
    conn: Connection[Any],
    rail: Rail,
    paid: Paid | None,
    actor: str,
    progress: Progress = lambda message: None,
) -> Reconciliation:
    """Ask about every batch with something open, or all of a window's or request's; book what is final.

    Safe to repeat and to run by several at once. A batch about which the rail gives no clear answer does not
    keep the others from being asked. Raises NothingToDo when there is nothing to ask and no event waits.
    """
    waiting_before = sum(_waiting(conn).values())
    events.apply(conn, None, actor)
    named = {"paid_with": None if paid is None else paid_with(paid)}
    batch_ids = [row[0] for row in conn.execute(statement("batches_to_ask_about"), named)]
    if not batch_ids and not waiting_before:
        raise NothingToDo("nothing is open at the rail, and no event waits")
    asked = []
    for batch_id in batch_ids:
        progress(f"asking about batch {batch_id}")
        asked.append(_ask(conn, rail, batch_id, actor))
    events.apply(conn, None, actor)
    waiting = _waiting(conn)
    return Reconciliation(asked, max(0, waiting_before - sum(waiting.values())), waiting)


def _ask(conn: Connection[Any], rail: Rail, batch_id: str, actor: str) -> Asked:
    stored = read_batch(conn, batch_id)
    about = Asked(batch_id, 0, 0, 0, is_unknown=True)
    try:
        batch = to_send(conn, rail, stored)
        about = replace(about, item_count=batch.item_count, open_count=batch.item_count)
        asked_at = now(conn)
        found = rail.look_up(batch)
        if not isinstance(found, BatchState):
            if stored.state == "rejected":
                return replace(about, open_count=0, is_unknown=False)
            return replace(about, problem=_not_there(stored))
        if stored.state == "submitting":
            take_receipt(conn, batch, found.receipt, actor)
    except (OutcomeUnknown, Refused) as error:
        return replace(about, problem=str(error))
    booked = _confirm(conn, batch_id, asked_at, found, actor)
    return Asked(
        batch_id,
        batch.item_count,
        booked,
        sum(1 for state in found.items if not state.final),
        _it_was_refused(stored) or _difference(batch, found, _accepted(conn, batch_id)),
    )


def _confirm(conn: Connection[Any], batch_id: str, asked_at: datetime, found: BatchState, actor: str) -> int:
    booked = 0
    states = sorted(found.items, key=lambda state: state.reference)
    for start in range(0, len(states), CHUNK):
        said = Jsonb([_as_json(state) for state in states[start : start + CHUNK]])
        with refusals(), conn.transaction():
            row = conn.execute(
                "select payouts.confirm(%s, %s, %s, %s)", (batch_id, asked_at, said, actor)
            ).fetchone()
        booked += row[0] if row else 0
    return booked


def _as_json(state: ItemState) -> dict[str, Any]:
    return asdict(state) | {
        "amount": str(state.amount),
        "updated_at": state.updated_at.isoformat() if state.updated_at else None,
    }


def _difference(batch: Batch, found: BatchState, accepted: set[str]) -> str:
    """Where the rail's record has other items than what we sent; amounts are compared item by item later."""
    ours = {item.reference for item in batch.items}
    theirs = {state.reference for state in found.items}
    if missing := sorted(ours - theirs):
        return f"the rail does not show {len(missing)} of its items, {missing[0]} first"
    if foreign := sorted(theirs - ours):
        return f"the rail shows {len(foreign)} items that are not ours, {foreign[0]} first"
    # A rail adds up what it sent, or what it paid: then with what people have accepted instead.
    paid = {state.reference: state.amount for state in found.items}
    expected = totals(
        (item.currency, paid[item.reference] if item.reference in accepted else item.amount)
        for item in batch.items
    )
    counted = found.receipt.item_count == batch.item_count
    if not counted or found.receipt.totals not in (batch.totals, expected):
        return "the rail's count or totals are not ours"
    return ""


def _accepted(conn: Connection[Any], batch_id: str) -> set[str]:
    """The payouts of which a person has accepted that another amount left."""
    return {row[0] for row in conn.execute(statement("accepted_payouts"), {"batch_id": batch_id})}


def _it_was_refused(stored: StoredBatch) -> str:
    if stored.state != "rejected":
        return ""
    return "the rail refused it, and has it: what is not final there must not go out again"


def _not_there(stored: StoredBatch) -> str:
    if stored.state == "submitting":
        return f"the rail does not have it: run weekclose submit {stored.pays}"
    return f"the rail gave {stored.rail_batch_id} as its receipt and does not have it: ask the rail"


def _waiting(conn: Connection[Any]) -> dict[str, int]:
    return {
        verdict: count for verdict, count, _ in conn.execute(statement("waiting_events"), {"window": None})
    }

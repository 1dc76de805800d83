"""The due window becomes a promise: this module owns the step from unfrozen to frozen."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from weekclose.addresses import check_destination
from weekclose.database import statement
from weekclose.errors import Refused
from weekclose.refusals import refusals


@dataclass(frozen=True)
class FrozenWindow:
    """What a freeze committed the platform to; `payable` is per currency and counts ready rows only."""

    payout_window: date
    content_digest: str
    row_count: int
    line_count: int
    ready_count: int
    blocked_count: int
    payable: dict[str, Decimal]


def freeze(
    conn: Connection[Any], run_id: UUID, as_of: datetime, settings: dict[str, Any], actor: str
) -> list[FrozenWindow]:
    """Copy every due window into the payout tables: rows, lines, payouts, ledger, audit; all or nothing.

    Returns the windows frozen, oldest first; none when no window is due. Raises Refused when the marts
    are not those of this run or do not add up: a build that came between must not slip into a promise; and
    when the login may not act as `actor`.
    """
    with refusals(), conn.transaction():
        conn.execute("set transaction isolation level repeatable read")
        # Before the first look: what is released, paid or failed meanwhile waits, so that no balance that
        # is frozen here can leave twice. Two freezes take turns.
        conn.execute("lock table payouts.turns in share row exclusive mode")
        if conn.execute(statement("due_windows")).fetchone() is None:
            return []
        _check_marts(conn, as_of)
        _check_destinations(conn)
        cursor = conn.execute(
            "select payouts.freeze(%s, %s, %s, %s)", (run_id, as_of, Jsonb(settings), actor)
        )
        return [_frozen(conn, window) for (window,) in cursor.fetchall()]


def _check_marts(conn: Connection[Any], as_of: datetime) -> None:
    built_for = conn.execute(statement("last_build")).fetchone()
    if built_for is None or built_for[0] != as_of:
        raise Refused("the marts were rebuilt by another run meanwhile: run weekclose sunday again")
    unequal = conn.execute(statement("rows_unlike_their_lines")).fetchone()
    if unequal is not None:
        raise Refused(
            f"seller {unequal[0]}, window {unequal[1]}, {unequal[2]}: the row says {unequal[3]}, "
            f"its lines add up to {unequal[4]}; run weekclose sunday --full-refresh"
        )
    moved = conn.execute(statement("carried_unlike_ledger")).fetchone()
    if moved is not None:
        raise Refused(
            f"seller {moved[0]}, {moved[1]}: window {moved[2]} was built with {moved[3]} carried in, the "
            f"ledger now says {moved[4]}; run weekclose sunday again"
        )


def _check_destinations(conn: Connection[Any]) -> None:
    """Nothing is promised to an address with a wrong checksum, whatever the build has seen."""
    for window, seller_id, rail, destination in conn.execute(statement("ready_destinations")):
        fault = check_destination(rail, destination)
        if fault is not None:
            raise Refused(
                f"seller {seller_id}, window {window}: the wallet {destination} is no {rail} address "
                f"({fault}) and was not judged before the build; run weekclose sunday again"
            )


def _frozen(conn: Connection[Any], window: date) -> FrozenWindow:
    digest, rows, lines, ready, blocked = _one(
        conn.execute(statement("frozen_window"), {"window": window}).fetchone()
    )
    payable = conn.execute(statement("frozen_payable"), {"window": window}).fetchall()
    return FrozenWindow(window, digest, rows, lines, ready, blocked, dict(payable))


def _one(row: tuple[Any, ...] | None) -> tuple[Any, ...]:
    if row is None:
        raise RuntimeError("a statement that always answers with a row did not")
    return row

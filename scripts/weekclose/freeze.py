"""The due window becomes a promise: this module owns the step from unfrozen to frozen."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Connection, sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from weekclose.addresses import check_destination
from weekclose.database import statement
from weekclose.errors import Refused


@dataclass(frozen=True)
class DueWindow:
    """A settlement window whose reserve has closed and that is not frozen."""

    payout_window: date
    window_ends_at: datetime
    reserve_closes_at: datetime


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


def due_windows(conn: Connection[Any]) -> list[DueWindow]:
    """The windows that the last build found due, oldest first."""
    with conn.cursor(row_factory=class_row(DueWindow)) as cursor:
        return cursor.execute(statement("due_windows")).fetchall()


def freeze(
    conn: Connection[Any], run_id: UUID, as_of: datetime, settings: dict[str, Any], actor: str
) -> list[FrozenWindow]:
    """Copy every due window into the payout tables: rows, lines, payouts, ledger, audit; all or nothing.

    Returns the windows frozen, oldest first; none when no window is due. Raises Refused when the marts
    are not those of this run or do not add up: a build that came between must not slip into a promise.
    """
    with conn.transaction():
        conn.execute("set transaction isolation level repeatable read")
        # Before the first look: what is released, paid or failed meanwhile waits, so that no balance that
        # is frozen here can leave twice. Two freezes take turns.
        conn.execute("lock table payouts.payouts in share row exclusive mode")
        windows = due_windows(conn)
        if not windows:
            return []
        _check_marts(conn, as_of)
        _check_destinations(conn)
        frozen = [_freeze_window(conn, window, run_id, as_of, settings, actor) for window in windows]
    # What reads the new window next should not plan for a single row.
    for table in ("frozen_rows", "frozen_lines", "payouts", "account_balances"):
        conn.execute(sql.SQL("analyze payouts.{}").format(sql.Identifier(table)))
    return frozen


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


def _freeze_window(
    conn: Connection[Any],
    window: DueWindow,
    run_id: UUID,
    as_of: datetime,
    settings: dict[str, Any],
    actor: str,
) -> FrozenWindow:
    named = {"window": window.payout_window}
    rows = conn.execute(statement("freeze_rows"), named).rowcount
    lines = conn.execute(statement("freeze_lines"), named).rowcount
    conn.execute(statement("freeze_payouts"), named)
    conn.execute(statement("freeze_coverage"), named)
    digest = _one(conn.execute("select payouts.window_digest(%(window)s)", named).fetchone())[0]
    conn.execute(
        statement("freeze_window"),
        {
            "window": window.payout_window,
            "window_ends_at": window.window_ends_at,
            "reserve_closes_at": window.reserve_closes_at,
            "as_of": as_of,
            "run_id": run_id,
            "settings": Jsonb(settings),
            "digest": digest,
            "rows": rows,
            "lines": lines,
            "actor": actor,
        },
    )
    conn.execute(statement("freeze_batch"), named)
    conn.execute(statement("freeze_accounts"), named)
    conn.execute(statement("freeze_ledger"), named)
    frozen = _frozen(conn, window.payout_window)
    conn.execute(
        "select payouts.audit(%s, 'freeze', %s, null, %s)",
        (actor, f"window:{window.payout_window}", Jsonb(_audited(frozen, as_of))),
    )
    return frozen


def _frozen(conn: Connection[Any], window: date) -> FrozenWindow:
    digest, rows, lines, ready, blocked = _one(
        conn.execute(statement("frozen_window"), {"window": window}).fetchone()
    )
    payable = conn.execute(statement("frozen_payable"), {"window": window}).fetchall()
    return FrozenWindow(window, digest, rows, lines, ready, blocked, dict(payable))


def _audited(frozen: FrozenWindow, as_of: datetime) -> dict[str, Any]:
    return {
        "content_digest": frozen.content_digest,
        "rows": frozen.row_count,
        "lines": frozen.line_count,
        "ready": frozen.ready_count,
        "blocked": frozen.blocked_count,
        "payable": {currency: str(amount) for currency, amount in frozen.payable.items()},
        "as_of": as_of.isoformat(),
    }


def _one(row: tuple[Any, ...] | None) -> tuple[Any, ...]:
    if row is None:
        raise RuntimeError("a statement that always answers with a row did not")
    return row

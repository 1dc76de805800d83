"""P1 to P5 and P9: a Sunday that has a past, beside bare PostgreSQL and beside computing it all anew."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from psycopg import Connection, sql

from bench.measure import Figure, Machine, own_seconds
from bench.peers import Peer
from bench.year import Night, Year
from weekclose.database import value

# Nights that are compared: from the eighth on a week has everything that a later one has (a freeze, verdicts
# on disputes, 30 days of health, the 35 days that data tests look back).
FIRST_NIGHT, NIGHTS = 7, 3
# What turns new raw rows into lines and totals.
LINES_AND_TOTALS = ("int_touched_orders", "int_order_sales", "int_order_events", "int_window_rows")
REBUILT = (
    "settlement_windows",
    "settlement_lines",
    "seller_balances",
    "seller_health",
    "unsettled_activity",
    "chargeback_losses",
)
READS = 11
IN_MILLISECONDS = 1000


@dataclass(frozen=True)
class Rows:
    """Rows of a table that are copied for comparison."""

    schema: str
    table: str
    where: str


NEW_LINES = Rows(
    "intermediate",
    "int_order_events",
    "loaded_at = (select max(loaded_at) from intermediate.int_order_events)",
)
ALL_LINES = Rows("intermediate", "int_order_events", "true")
NEWEST = "payout_window = (select max(payout_window) from payouts.frozen_windows)"
BOOKED = (
    "(select transaction_id from payouts.ledger_transactions where kind = 'freeze'"
    " order by transaction_id desc limit 1)"
)
NEWEST_FREEZE = (
    *(Rows("payouts", table, NEWEST) for table in ("frozen_rows", "frozen_lines", "payouts")),
    Rows(
        "payouts",
        "payout_coverage",
        f"payout_number in (select payout_number from payouts.payouts where {NEWEST})",
    ),
    Rows("payouts", "ledger_transactions", f"transaction_id = {BOOKED}"),
    Rows("payouts", "ledger_entries", f"transaction_id = {BOOKED}"),
)


def flat(nights: list[Night]) -> Figure:
    """P1: late Sundays beside early ones, each with as many new orders."""
    early, late = nights[FIRST_NIGHT : FIRST_NIGHT + NIGHTS], nights[-NIGHTS:]
    if early[-1].week >= late[0].week:
        raise ValueError(f"{len(nights)} weeks have no past: play {FIRST_NIGHT + 2 * NIGHTS} or more")
    return Figure(
        "P1",
        f"a Sunday's SQL with {late[1].orders:,} orders / with {early[1].orders:,}, as many of them new",
        "s",
        median(night.server_seconds for night in late),
        median(night.server_seconds for night in early),
        tuple(new.server_seconds / old.server_seconds for new, old in zip(late, early, strict=True)),
        1.15,
    )


def beside_copy(machine: Machine, conn: Connection[Any], nights: list[Night]) -> Figure:
    """P2: the new week's lines and totals beside COPY of these lines, ready, with the same keys."""
    with copying(conn, [NEW_LINES]) as copy:
        peer = [machine.sql(copy) for _ in range(NIGHTS)]
    ours = [sum(night.nodes[name] for name in LINES_AND_TOTALS) for night in nights[-NIGHTS:]]
    return _figure("P2", "a new week's lines and totals / COPY of the ready lines", ours, peer, 2)


def beside_recompute(nights: list[Night], peers: Mapping[str, Peer]) -> Iterator[Figure]:
    """P3: the whole Sunday beside all totals computed anew; the goal is DuckDB's."""
    ours = [night.server_seconds for night in nights[-NIGHTS:]]
    for name, peer in peers.items():
        spent = []
        for _ in range(NIGHTS):
            begun = own_seconds()
            peer.recompute()
            spent.append(own_seconds() - begun)
        yield _figure("P3", f"a Sunday's SQL / {name} computes all totals anew", ours, spent, 1)


def anew(machine: Machine, year: Year) -> Figure:
    """P4: a full refresh of lines, totals and views beside a bare copy of the lines inside the database."""
    week = year.nights[-1].week
    year.close(week, may_freeze=False)  # what Tuesday brought is in both
    before = _content(year.conn)
    year.close(week, full_refresh=True, may_freeze=False)
    for mart, content in _content(year.conn).items():
        if content != before[mart]:
            raise AssertionError(f"{mart}: a full refresh builds something else than the weeks before it")
    built = {result.name: result.seconds for result in year.warehouse.built if result.kind == "model"}
    peer = []
    for _ in range(NIGHTS):
        year.conn.execute("drop table if exists lines_again")
        peer.append(machine.sql(lambda: _create_lines(year.conn)))
    year.conn.execute("drop table lines_again")
    ours = [sum(built.values())] * NIGHTS
    return _figure(
        "P4", "full refresh of all models / CREATE TABLE AS of the lines with their key", ours, peer, 3
    )


def frozen(machine: Machine, conn: Connection[Any], nights: list[Night]) -> Figure:
    """P5: the freeze beside COPY of all its rows, ready, with the same keys."""
    with copying(conn, NEWEST_FREEZE) as copy:
        peer = [machine.sql(copy) for _ in range(NIGHTS)]
    ours = [night.freeze_seconds for night in nights[-NIGHTS:]]
    return _figure("P5", "freeze of a window / COPY of its ready rows", ours, peer, 1.5)


def read(conn: Connection[Any]) -> Iterator[Figure]:
    """P9: what an analyst waits for, in milliseconds."""
    window = value(conn.execute("select max(payout_window) from payouts.frozen_windows"))
    seller = value(
        conn.execute(
            "select seller_id from payouts.frozen_rows group by seller_id order by count(*) desc, 1 limit 1"
        )
    )
    for what, column, wanted, limit in (
        ("the newest frozen window of settlement_windows", "payout_window", window, 50),
        ("one seller's whole history", "seller_id", seller, 20),
    ):
        query = sql.SQL("select * from marts.settlement_windows where {} = {}").format(
            sql.Identifier(column), sql.Literal(wanted)
        )
        times = [_milliseconds(conn, query) for _ in range(READS)]
        yield Figure("P9", what, "ms", median(times), None, tuple(times), limit)


def _milliseconds(conn: Connection[Any], query: sql.Composed) -> float:
    begun = time.perf_counter()
    conn.execute(query).fetchall()
    return (time.perf_counter() - begun) * IN_MILLISECONDS


def _figure(goal: str, what: str, ours: list[float], peer: list[float], limit: float) -> Figure:
    ratios = tuple(mine / other for mine, other in zip(ours, peer, strict=True))
    return Figure(goal, what, "s", median(ours), median(peer), ratios, limit)


def _content(conn: Connection[Any]) -> dict[str, tuple[Any, ...]]:
    """How many rows each mart has, and a sum over all that they say."""
    text = "select count(*), sum(hashtextextended(mart::text, 0)::numeric) from marts.{} as mart"
    return {
        mart: conn.execute(sql.SQL(text).format(sql.Identifier(mart))).fetchone() or () for mart in REBUILT
    }


def _create_lines(conn: Connection[Any]) -> None:
    conn.execute("create table lines_again as select * from intermediate.int_order_events")
    conn.execute("alter table lines_again add primary key (line_id)")


@contextmanager
def copying(conn: Connection[Any], wanted: tuple[Rows, ...] | list[Rows]) -> Iterator[Callable[[], None]]:
    """Call what it gives to COPY ready text into empty tables with all keys, in one transaction."""
    ready = [(rows.table, *_text(conn, rows)) for rows in wanted]
    conn.execute("create schema again")
    try:
        for rows in wanted:
            conn.execute(
                sql.SQL("create table {} (like {} including all)").format(
                    sql.Identifier("again", rows.table), sql.Identifier(rows.schema, rows.table)
                )
            )

        def copy() -> None:
            with conn.transaction(), conn.cursor() as cursor:
                for table, columns, text in ready:
                    into = sql.Identifier("again", table)
                    cursor.execute(sql.SQL("truncate {}").format(into))
                    with cursor.copy(sql.SQL("copy {} ({}) from stdin").format(into, columns)) as taken:
                        for part in text:
                            taken.write(part)

        yield copy
    finally:
        conn.execute("drop schema again cascade")


def _text(conn: Connection[Any], rows: Rows) -> tuple[sql.Composable, list[bytes]]:
    names = conn.execute(
        "select column_name from information_schema.columns where (table_schema, table_name) = (%s, %s)"
        " and is_generated = 'NEVER' order by ordinal_position",
        (rows.schema, rows.table),
    ).fetchall()
    columns = sql.SQL(", ").join(sql.Identifier(name) for (name,) in names)
    query = sql.SQL("copy (select {} from {} where {}) to stdout").format(
        columns, sql.Identifier(rows.schema, rows.table), sql.SQL(rows.where)
    )
    with conn.cursor().copy(query) as copy:
        return columns, [bytes(part) for part in copy]

"""What each index costs a load: a week copied into a table with all its keys, and without one of them."""

from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

from psycopg import Connection, sql

from bench.measure import Machine
from bench.weekly import NEW_LINES, NEWEST, Rows, copying
from weekclose.database import value

RUNS = 3
# Fewer rows are copied in less time than what else happens meanwhile: nothing is said of them.
ENOUGH = 50_000
TABLES = (
    Rows("raw", "orders", "loaded_at = (select max(loaded_at) from raw.orders)"),
    NEW_LINES,
    Rows("payouts", "frozen_lines", NEWEST),
)
HEADER = "| table | index | its size a thousand rows | its part of a load |\n|---|---|---|---|"
# Of a copied table, the ones that enforce something last.
INDEXES = """
select
    indexes.indexrelid::regclass::text,
    regexp_replace(pg_get_indexdef(indexes.indexrelid), '^.* using ', '', 'i'),
    pg_relation_size(indexes.indexrelid),
    constraints.conname
from pg_index as indexes
left join pg_constraint as constraints on constraints.conindid = indexes.indexrelid and contype in ('p', 'u')
where indexes.indrelid = %s::regclass
order by constraints.conname is not null, 2
"""


def rows(machine: Machine, conn: Connection[Any]) -> Iterator[str]:
    """As rows of a Markdown table."""
    for of in TABLES:
        with copying(conn, [of]) as copy:
            copy()
            table = f"again.{of.table}"
            count = value(conn.execute(f"select count(*) from {table}".encode()))
            found = conn.execute(INDEXES.encode(), [table]).fetchall()
            with_all = median(machine.sql(copy) for _ in range(RUNS)) if count >= ENOUGH else None
            for name, definition, size, constraint in found:
                part = f"from {ENOUGH:,} rows on"
                if with_all is not None:
                    part = (
                        f"{1 - _spent_without(machine, conn, copy, table, name, constraint) / with_all:.0%}"
                    )
                yield f"| {of.table} | `{definition}` | {size * 1000 / 1024 / count:,.1f} kB | {part} |"


def _spent_without(
    machine: Machine,
    conn: Connection[Any],
    copy: Callable[[], object],
    table: str,
    index: str,
    constraint: str | None,
) -> float:
    """Seconds that the copy takes without the index, which is there again afterwards."""
    spent = []
    for _ in range(RUNS):
        with conn.transaction(force_rollback=True):
            conn.execute(_without(table, index, constraint))
            spent.append(machine.sql(copy))
    return median(spent)


def _without(table: str, index: str, constraint: str | None) -> sql.Composed:
    if constraint is None:
        return sql.SQL("drop index {}").format(sql.Identifier(*index.split(".")))
    return sql.SQL("alter table {} drop constraint {}").format(
        sql.Identifier(*table.split(".")), sql.Identifier(constraint)
    )

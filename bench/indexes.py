"""What each index costs a load: a week copied into a table with all its keys, and without one of them."""

from collections.abc import Iterator
from statistics import median
from typing import Any

from psycopg import Connection, sql

from bench.measure import Machine
from bench.weekly import NEW_LINES, NEWEST, Rows, copying

RUNS = 3
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
            count = conn.execute(f"select count(*) from {table}".encode()).fetchone()
            thousands = (count[0] if count else 0) / 1000
            found = conn.execute(INDEXES.encode(), [table]).fetchall()
            with_all = median(machine.sql(copy) for _ in range(RUNS))
            for name, definition, size, constraint in found:
                spent = []
                for _ in range(RUNS):
                    with conn.transaction(force_rollback=True):
                        conn.execute(_without(table, name, constraint))
                        spent.append(machine.sql(copy))
                part = 1 - median(spent) / with_all
                yield f"| {of.table} | `{definition}` | {size / 1024 / thousands:,.1f} kB | {part:.0%} |"


def _without(table: str, index: str, constraint: str | None) -> sql.Composed:
    if constraint is None:
        return sql.SQL("drop index {}").format(sql.Identifier(*index.split(".")))
    return sql.SQL("alter table {} drop constraint {}").format(
        sql.Identifier(*table.split(".")), sql.Identifier(constraint)
    )

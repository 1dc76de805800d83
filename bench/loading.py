"""P7: what a file of orders costs to load, beside PostgreSQL's own COPY of it."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from psycopg import Connection

from bench.market import Market
from bench.measure import Figure, Machine, in_turn, spent_by
from bench.start_up import copied
from weekclose.database import open_connection
from weekclose.migrations import migrate
from weekclose.settings import project_dir

COLUMNS = "order_id, seller_id, currency, gross_amount, fee_amount, status, captured_at"
BLOCK = 1 << 18


def figures(m: Machine, *, orders: int, runs: int = 5) -> list[Figure]:
    """The command, start-up included, and a COPY into a table with the same keys, checks and indexes."""
    where = copied(m.server, "template1", "weekclose_bench_load")
    with TemporaryDirectory() as directory, open_connection(where) as conn:
        migrate(conn, project_dir() / "migrations")
        conn.execute("create table public.orders (like raw.orders including all)")
        for table in ("raw.orders", "public.orders"):  # it would run in whoever's turn it is
            conn.execute(f"alter table {table} set (autovacuum_enabled = off)".encode())
        file = Path(directory) / "orders.csv"
        own = {"DATABASE_URL": where.url, "WEEKCLOSE_HOME": directory, "WEEKCLOSE_ACTOR": "bench"}
        sent = _write(conn, file, orders)

        def cost(work: Callable[[], object], table: str) -> float:
            conn.execute(f"truncate {table}".encode())
            spent = m.all_of_it(work)
            if _content(conn, table) != sent:
                raise AssertionError(f"{table} is not what the file holds")
            return spent

        compared = in_turn(
            lambda: cost(lambda: spent_by(["weekclose", "load", file], own), "raw.orders"),
            lambda: cost(lambda: _bare_copy(conn, file), "public.orders"),
            runs,
        )
    return [Figure("P7", f"load {orders:,} orders from CSV / bare COPY of it", "s", **compared, limit=2.5)]


def _write(conn: Connection[Any], file: Path, orders: int) -> tuple[Any, ...]:
    """Write the file as a platform would send it: its content."""
    Market(orders, sellers=4_000, weeks=1).trade(conn, 0)
    sql = f"copy (select {COLUMNS} from raw.orders order by order_id) to stdout (format csv, header)"
    with conn.cursor().copy(sql.encode()) as copy, file.open("wb") as csv:
        for block in copy:
            csv.write(block)
    return _content(conn, "raw.orders")


def _bare_copy(conn: Connection[Any], file: Path) -> None:
    sql = f"copy public.orders ({COLUMNS}) from stdin (format csv, header)"
    with conn.cursor().copy(sql.encode()) as copy, file.open("rb") as csv:
        while block := csv.read(BLOCK):
            copy.write(block)


def _content(conn: Connection[Any], table: str) -> tuple[Any, ...]:
    """How many orders a table has, and a sum over all that a file says of them."""
    sql = f"select count(*), sum(hashtextextended(row({COLUMNS})::text, 0)::numeric) from {table}"
    return tuple(conn.execute(sql.encode()).fetchone() or ())

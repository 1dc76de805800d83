"""A Sunday costs what its week costs, not what the years cost: counted in rows that it reads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from psycopg import Connection

from bench.market import Market
from bench.year import Year
from conftest import NewDatabase
from webhook_server import eventually
from weekclose.database import open_connection
from weekclose.submission import now

WEEKLY, SELLERS = 1_000, 100
SHORT, LONG = 8, 24
# What may differ: a window's row here and there, and one more range of blocks.
SLACK, MORE = WEEKLY, 1.15
# So that the windows which are closed at once, to have a past, are none that data tests look at again.
SETTINGS = {"audit_days": 7}

OTHERS = """
select from pg_stat_activity
where
    datname = current_database()
    and backend_type = 'client backend'
    and pid not in (pg_backend_pid(), %s)
"""

BLOCK_RANGES = """
select pg_class.oid::regclass::text from pg_class inner join pg_am on pg_class.relam = pg_am.oid
where pg_am.amname = 'brin' and pg_class.relnamespace in ('raw'::regnamespace, 'intermediate'::regnamespace)
"""

READ = """
select schemaname || '.' || relname, seq_tup_read + coalesce(idx_tup_fetch, 0)
from pg_stat_user_tables where schemaname in ('raw', 'intermediate', 'payouts')
"""


def unmeasured(work: Callable[[], object]) -> float:
    work()
    return 0.0


def read_by_a_sunday(new_database: NewDatabase, home: Path, weeks: int) -> dict[str, int]:
    """Rows of each table that a Sunday reads which has seen so many weeks."""
    market = Market(orders=WEEKLY * weeks, sellers=SELLERS, weeks=weeks)
    with new_database() as server:
        with open_connection(server) as conn:
            # Where a table is small the planner reads all of it: no sign of anything.
            conn.execute(f'alter database "{server.dbname}" set enable_seqscan = off'.encode())
        year = Year(server, market, home, unmeasured, SETTINGS)
        began = now(year.conn)
        for week in range(weeks - 2):
            market.trade(year.conn, week)
        frozen = year.close(weeks - 3).report.frozen
        year.tuesday(frozen[-1].payout_window)
        year.date_back(began, market.as_of(weeks - 3))
        divide_finely(year.conn)
        year.play(weeks - 2)
        before = counted(year)
        market.trade(year.conn, weeks - 1)
        year.close(weeks - 1)
        after = counted(year)
        year.conn.close()
    return {table: after[table] - before.get(table, 0) for table in after}


def divide_finely(conn: Connection[Any]) -> None:
    """These tables have a handful of block ranges: as they are, a row that found room in an older block would
    have another quarter of a table read."""
    for (index,) in conn.execute(BLOCK_RANGES).fetchall():
        conn.execute(f"alter index {index} set (pages_per_range = 4)".encode())
        conn.execute(f"reindex index {index}".encode())


def counted(year: Year) -> dict[str, int]:
    """Rows read so far. A connection says what it has read when it ends, or in its next pause of a second:
    all that is past has to be told before it is taken for what comes."""
    year.conn.execute("select pg_stat_force_next_flush()")
    with open_connection(year.server) as conn:
        eventually(lambda: conn.execute(OTHERS, [year.conn.info.backend_pid]).fetchone() is None)
        return dict(conn.execute(READ).fetchall())


def test_a_sunday_reads_no_more_after_three_times_the_history(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    short, long = (read_by_a_sunday(new_database, tmp_path / str(weeks), weeks) for weeks in (SHORT, LONG))
    assert sum(short.values()) > WEEKLY, "nothing was counted"
    grown = {
        table: (short.get(table, 0), many)
        for table, many in long.items()
        if many > short.get(table, 0) * MORE + SLACK
    }
    assert grown == {}

"""A small marketplace in a database of its own, and its Sundays."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from psycopg import Connection

from compiled_build import Sunday
from weekclose.database import open_connection
from weekclose.postgres import Server
from weekclose.sunday import SundayReport, run_sunday
from weekclose.warehouse import Warehouse

if TYPE_CHECKING:
    from conftest import NewDatabase

WALLET = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
WRONG_CHECKSUM = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6u"
START = date(2026, 11, 1)
NIGHT = datetime(2026, 11, 15, 23, tzinfo=UTC)
NEXT_NIGHT = datetime(2026, 11, 22, 23, tzinfo=UTC)

# Whose Sundays they are: dbt's own, or those of what it has compiled, which take a tenth of the time.
Builder = Callable[[Server], Warehouse | Sunday]


@dataclass
class Week:
    """A database with a small marketplace, and its Sundays."""

    server: Server
    conn: Connection[Any]
    warehouse: Warehouse | Sunday

    def sunday(self, as_of: datetime = NIGHT, start: date | None = START, **options: Any) -> SundayReport:
        overrides = options.pop("overrides", {}) | (
            {"settlement_start": start.isoformat()} if start is not None else {}
        )
        return run_sunday(
            self.server,
            self.warehouse,  # type: ignore[arg-type]
            as_of=as_of,
            actor="tester",
            overrides=overrides,
            **options,
        )

    def seller(self, seller_id: str, wallet: str | None = WALLET) -> None:
        self.conn.execute(
            "insert into raw.sellers"
            " (seller_id, region, settlement_currency, status, created_at, wallet_address)"
            " values (%s, 'APAC', 'USD', 'active', '2026-01-01Z', %s)",
            (seller_id, wallet),
        )

    def order(self, order_id: str, seller_id: str, captured_at: str, gross: int = 100, fee: int = 10) -> None:
        self.conn.execute(
            "insert into raw.orders"
            " (order_id, seller_id, currency, gross_amount, fee_amount, status, captured_at)"
            " values (%s, %s, 'USD', %s, %s, 'fulfilled', %s)",
            (order_id, seller_id, gross, fee, captured_at),
        )

    def one(self, query: str) -> Any:
        row = self.conn.execute(query).fetchone()
        assert row is not None
        return row[0]


@contextmanager
def copied_week(new_database: "NewDatabase", built_by: Builder) -> Iterator[Week]:
    """In a database of its own."""
    with new_database() as database, open_connection(database) as conn:
        yield Week(database, conn, built_by(database))


@contextmanager
def empty_week(new_marts: "NewDatabase", built_by: Builder) -> Iterator[Week]:
    """Nobody sells anything; it remembers no build, though the marts stand."""
    with copied_week(new_marts, built_by) as week:
        week.conn.execute("delete from intermediate.int_builds")
        yield week


@contextmanager
def begun_week(new_marts: "NewDatabase", built_by: Builder) -> Iterator[Week]:
    """Before its first Sunday."""
    with empty_week(new_marts, built_by) as week:
        week.seller("s1")
        week.seller("s2")
        week.order("o1", "s1", "2026-11-02T10:00Z")
        week.order("o2", "s2", "2026-11-07T23:59Z", gross=50, fee=5)
        week.order("o3", "s1", "2026-11-15T10:00Z")
        week.order("o4", "s1", "2026-11-22T10:00Z")
        yield week

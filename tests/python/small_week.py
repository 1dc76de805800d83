"""A small marketplace in a database of its own, and its Sundays. Import the fixtures to use them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection, sql

from weekclose.database import open_connection
from weekclose.policy import effective_vars
from weekclose.postgres import Server
from weekclose.settings import Settings
from weekclose.sunday import SundayReport, run_sunday
from weekclose.warehouse import Warehouse

WALLET = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
WRONG_CHECKSUM = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6u"
START = date(2026, 11, 1)
NIGHT = datetime(2026, 11, 15, 23, tzinfo=UTC)
NEXT_NIGHT = datetime(2026, 11, 22, 23, tzinfo=UTC)

COPY = sql.SQL("create database {} template {}")


@dataclass
class Week:
    """A database with a small marketplace, and its Sundays."""

    server: Server
    conn: Connection[Any]
    warehouse: Warehouse

    def sunday(self, as_of: datetime = NIGHT, start: date | None = START, **options: Any) -> SundayReport:
        overrides = options.pop("overrides", {}) | (
            {"settlement_start": start.isoformat()} if start is not None else {}
        )
        return run_sunday(
            self.server, self.warehouse, as_of=as_of, actor="tester", overrides=overrides, **options
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


@pytest.fixture(scope="module")
def dbt_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def warehouse(module_database: Server, dbt_home: Path) -> Warehouse:
    """One for the module: the project is parsed once."""
    return Warehouse(Settings(WEEKCLOSE_HOME=dbt_home), module_database)


@pytest.fixture(scope="module")
def no_week(first_server: Server, module_database: Server, warehouse: Warehouse) -> Iterator[sql.Identifier]:
    """A copy of the database that was built over nothing and remembers no build: each test starts with it."""
    built = warehouse.build(effective_vars({"settlement_start": START.isoformat()}, NIGHT))
    assert [result.name for result in built if result.kind == "model" and result.is_red] == []
    with open_connection(module_database) as conn:
        conn.execute("delete from intermediate.int_builds")
    copy = sql.Identifier(f"{module_database.dbname}_built")
    with open_connection(first_server) as admin:
        admin.execute(COPY.format(copy, sql.Identifier(module_database.dbname)))
        yield copy
        admin.execute(sql.SQL("drop database {} with (force)").format(copy))


@pytest.fixture
def week(
    first_server: Server, module_database: Server, warehouse: Warehouse, no_week: sql.Identifier
) -> Iterator[Week]:
    # Under the same name: the parsed project has it everywhere.
    name = sql.Identifier(module_database.dbname)
    with open_connection(first_server) as admin:
        admin.execute(sql.SQL("drop database {} with (force)").format(name))
        admin.execute(COPY.format(name, no_week))
    with open_connection(module_database) as conn:
        week = Week(module_database, conn, warehouse)
        week.seller("s1")
        week.seller("s2")
        week.order("o1", "s1", "2026-11-02T10:00Z")
        week.order("o2", "s2", "2026-11-07T23:59Z", gross=50, fee=5)
        week.order("o3", "s1", "2026-11-15T10:00Z")
        week.order("o4", "s1", "2026-11-22T10:00Z")
        yield week

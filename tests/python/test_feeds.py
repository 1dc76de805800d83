"""The foreign feed of docs/feeds.md: the page's own commands, on a small invented export."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection, sql

from compiled_build import Build
from conftest import NewDatabase
from small_week import Week, empty_week
from weekclose.database import open_connection
from weekclose.settings import project_dir
from weekclose.sunday import SundayReport

NIGHT = datetime(2018, 3, 18, 23, tzinfo=UTC)

SELLERS = """
seller_id,seller_zip_code_prefix,seller_city,seller_state
rio,20000,rio de janeiro,RJ
sul,90000,porto alegre,RS
"""
ORDERS = """
order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,\
order_delivered_carrier_date,order_delivered_customer_date,order_estimated_delivery_date
one,c1,delivered,2018-03-05 09:58:00,2018-03-05 10:00:00,,,2018-03-20 00:00:00
two,c2,shipped,2018-03-06 10:00:00,2018-03-06 23:59:59,,,2018-03-20 00:00:00
short,c3,delivered,2018-03-07 10:00:00,2018-03-07 10:00:00,,,2018-03-20 00:00:00
long,c4,invoiced,2018-03-08 10:00:00,2018-03-08 10:00:00,,,2018-03-20 00:00:00
cancelled,c5,canceled,2018-03-08 11:00:00,2018-03-08 11:00:00,,,2018-03-20 00:00:00
waiting,c6,processing,2018-03-09 10:00:00,,,,2018-03-20 00:00:00
empty,c7,approved,2018-03-09 11:00:00,2018-03-09 11:00:00,,,2018-03-20 00:00:00
free,c8,delivered,2018-03-09 12:00:00,2018-03-10 23:59:59,,,2018-03-20 00:00:00
fresh,c9,delivered,2018-03-17 10:00:00,2018-03-17 10:00:00,,,2018-03-30 00:00:00
"""
ITEMS = """
order_id,order_item_id,product_id,seller_id,shipping_limit_date,price,freight_value
one,1,p1,rio,2018-03-10 00:00:00,39.95,5.00
one,2,p2,rio,2018-03-10 00:00:00,20.00,5.05
two,1,p1,rio,2018-03-10 00:00:00,30.00,2.00
two,2,p3,sul,2018-03-10 00:00:00,50.00,3.00
short,1,p1,rio,2018-03-10 00:00:00,10.00,1.00
short,2,p3,sul,2018-03-10 00:00:00,20.00,2.00
long,1,p3,sul,2018-03-10 00:00:00,15.00,0.00
cancelled,1,p1,rio,2018-03-10 00:00:00,99.00,0.00
waiting,1,p1,rio,2018-03-10 00:00:00,12.00,0.50
free,1,p3,sul,2018-03-10 00:00:00,7.00,0.77
fresh,1,p1,rio,2018-03-20 00:00:00,25.00,0.00
"""
PAYMENTS = """
order_id,payment_sequential,payment_type,payment_installments,payment_value
one,1,credit_card,3,50.00
one,2,voucher,1,20.00
two,1,boleto,1,85.00
short,1,boleto,1,32.99
long,1,boleto,1,15.02
cancelled,1,boleto,1,99.00
waiting,1,boleto,1,12.50
empty,1,boleto,1,5.00
fresh,1,boleto,1,25.00
"""


@dataclass
class Feed:
    """The page's three steps on one database."""

    conn: Connection[Any]
    page: str
    delivery: Path

    def make_tables(self) -> None:
        for name in re.findall(r"psql .*--file (analyses/\w+_tables\.sql)", self.page):
            self.conn.execute((project_dir() / name).read_bytes())

    def deliver(self) -> None:
        truncate = re.search(r"^truncate .*;$", self.page, re.MULTILINE)
        assert truncate
        self.conn.execute(truncate[0].encode())
        copies = re.findall(r"^\\copy (\w+)\.(\w+) from '(.+)' with \((.+)\)$", self.page, re.MULTILINE)
        for schema, table, file, options in copies:
            into = sql.SQL("copy {} from stdin with ({})").format(
                sql.Identifier(schema, table), sql.SQL(options)
            )
            with self.conn.cursor().copy(into) as copy:
                copy.write((self.delivery / file).read_bytes())

    def map(self) -> dict[str, int]:
        """How many rows each statement wrote."""
        written = {}
        with self.conn.transaction():
            for name in re.findall(r"^ +--file analyses/(map_\w+)\.sql", self.page, re.MULTILINE):
                written[name] = self.conn.execute(
                    (project_dir() / "analyses" / f"{name}.sql").read_bytes()
                ).rowcount
        return written

    def write(self, table: str, text: str) -> None:
        (self.delivery / f"olist_{table}_dataset.csv").write_text(text.lstrip())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.conn.execute(query.encode()).fetchall()

    def versions(self) -> list[tuple[Any, ...]]:
        return self.rows(
            "select 'seller', seller_id, loaded_at, xmin::text from raw.sellers"
            " union all select 'order', order_id, loaded_at, xmin::text from raw.orders"
            " union all select 'control', order_id, loaded_at, xmin::text from raw.control_totals"
            " order by 1, 2"
        )


@pytest.fixture(scope="module")
def week(new_marts: NewDatabase, build: Build) -> Iterator[Week]:
    """Nobody sells anything yet."""
    with empty_week(new_marts, build.on) as week:
        yield week


@pytest.fixture(scope="module")
def feed(week: Week, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Feed]:
    """The export, copied and mapped."""
    with open_connection(week.server) as conn:
        page = (project_dir() / "docs" / "feeds.md").read_text()
        feed = Feed(conn, page, tmp_path_factory.mktemp("export"))
        for table, text in {
            "sellers": SELLERS,
            "orders": ORDERS,
            "order_items": ITEMS,
            "order_payments": PAYMENTS,
        }.items():
            feed.write(table, text)
        feed.make_tables()
        feed.deliver()
        assert feed.map() == {"map_olist_sellers": 2, "map_olist_orders": 11, "map_olist_control_totals": 11}
        yield feed


@pytest.fixture(scope="module")
def sunday(feed: Feed, week: Week) -> tuple[Feed, SundayReport]:
    """The Sunday on which the window of 4 March is due."""
    return feed, week.sunday(NIGHT, date(2018, 3, 4))


def test_each_seller_has_his_part(feed: Feed) -> None:
    assert feed.rows(
        "select order_id, seller_id, gross_amount, fee_amount, status,"
        " to_char(captured_at at time zone 'UTC', 'MM-DD HH24:MI:SS')"
        " from raw.orders where currency = 'BRL' order by order_id collate \"C\""
    ) == [
        ("cancelled:rio", "rio", Decimal("99.00"), Decimal("9.90"), "cancelled", "03-08 11:00:00"),
        ("empty:", None, Decimal("0"), Decimal("0.00"), "confirmed", "03-09 11:00:00"),
        ("free:sul", "sul", Decimal("7.77"), Decimal("0.70"), "fulfilled", "03-10 23:59:59"),
        ("fresh:rio", "rio", Decimal("25.00"), Decimal("2.50"), "fulfilled", "03-17 10:00:00"),
        ("long:sul", "sul", Decimal("15.00"), Decimal("1.50"), "confirmed", "03-08 10:00:00"),
        # 10 % of 59.95 is half a cent more than 5.99.
        ("one:rio", "rio", Decimal("70.00"), Decimal("6.00"), "fulfilled", "03-05 10:00:00"),
        ("short:rio", "rio", Decimal("11.00"), Decimal("1.00"), "fulfilled", "03-07 10:00:00"),
        ("short:sul", "sul", Decimal("22.00"), Decimal("2.00"), "fulfilled", "03-07 10:00:00"),
        ("two:rio", "rio", Decimal("32.00"), Decimal("3.00"), "fulfilled", "03-06 23:59:59"),
        ("two:sul", "sul", Decimal("53.00"), Decimal("5.00"), "fulfilled", "03-06 23:59:59"),
        ("waiting:rio", "rio", Decimal("12.50"), Decimal("1.20"), "confirmed", None),
    ]


def test_the_control_totals_add_up_to_the_payments(feed: Feed) -> None:
    paid = sum(Decimal(row["payment_value"]) for row in csv.DictReader(PAYMENTS.split()))
    assert feed.rows("select sum(amount) from raw.control_totals") == [(paid,)]


def test_a_shortage_beyond_the_last_part_reaches_the_one_before(feed: Feed) -> None:
    with feed.conn.transaction(force_rollback=True):
        feed.conn.execute(
            "update olist.order_payments set payment_value = '30.00' where order_id in ('short', 'two')"
        )
        assert feed.map()["map_olist_control_totals"] == 3
        assert feed.rows(
            "select order_id, amount from raw.control_totals"
            " where order_id ~ '^(short|two):' order by order_id collate \"C\""
        ) == [
            ("short:rio", Decimal("11.00")),
            ("short:sul", Decimal("19.00")),
            ("two:rio", Decimal("30.00")),
            ("two:sul", Decimal("0")),
        ]


def test_a_second_run_changes_nothing(feed: Feed) -> None:
    before = feed.versions()
    feed.deliver()
    assert set(feed.map().values()) == {0}
    assert feed.versions() == before


def test_a_later_delivery_touches_what_it_changes(feed: Feed) -> None:
    with feed.conn.transaction(force_rollback=True):
        feed.conn.execute("update raw.sellers set wallet_address = 'T1', status = 'suspended'")
        before = {row[:2]: row[2:] for row in feed.versions()}
        feed.write(
            "orders", ORDERS.replace("2018-03-09 10:00:00,,,", "2018-03-09 10:00:00,2018-03-10 08:00:00,,")
        )
        feed.write("sellers", SELLERS.replace("porto alegre", "canoas"))
        feed.deliver()
        assert list(feed.map().values()) == [1, 1, 0]
        changed = {row[:2] for row in feed.versions() if before[row[:2]] != row[2:]}
        assert changed == {("order", "waiting:rio"), ("seller", "sul")}
        assert feed.rows("select distinct wallet_address, status from raw.sellers") == [("T1", "suspended")]
    feed.write("orders", ORDERS)
    feed.write("sellers", SELLERS)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("update olist.orders set order_status = 'lost' where order_id = 'one'", '"status"'),
        ("update olist.order_items set price = '9.999' where order_id = 'one'", "orders_gross_is_money"),
        ("update olist.orders set order_approved_at = 'soon' where order_id = 'one'", '"soon"'),
    ],
)
def test_what_cannot_be_mapped_stops_the_mapping(feed: Feed, change: str, complaint: str) -> None:
    before = feed.versions()
    with feed.conn.transaction(force_rollback=True):
        feed.conn.execute(change.encode())
        with pytest.raises(psycopg.Error, match=complaint):
            feed.map()
    assert feed.versions() == before


def test_what_does_not_add_up_is_a_break(sunday: tuple[Feed, SundayReport]) -> None:
    feed, _ = sunday
    assert feed.rows(
        "select break_type, entity, seller_id, payout_window::text, expected, actual, difference"
        ' from marts.reconciliation_breaks order by entity collate "C"'
    ) == [
        ("control_total", "empty:", None, None, Decimal("5.00"), Decimal("0.00"), Decimal("-5.00")),
        ("control_total", "free:sul", "sul", "2018-03-04", Decimal("0.00"), Decimal("7.77"), Decimal("7.77")),
        (
            "control_total",
            "long:sul",
            "sul",
            "2018-03-04",
            Decimal("15.02"),
            Decimal("15.00"),
            Decimal("-0.02"),
        ),
        (
            "control_total",
            "short:sul",
            "sul",
            "2018-03-04",
            Decimal("21.99"),
            Decimal("22.00"),
            Decimal("0.01"),
        ),
    ]


def test_nothing_disappears(sunday: tuple[Feed, SundayReport]) -> None:
    feed, _ = sunday
    assert feed.rows("select source_id, reason from marts.unsettled_activity order by source_id") == [
        ("cancelled:rio", "order_cancelled"),
        ("empty:", "order_without_seller"),
        ("waiting:rio", "order_not_captured"),
    ]
    assert feed.rows("select count(*) from marts.settlement_lines") == [(8,)]


def test_without_wallets_everything_rolls(sunday: tuple[Feed, SundayReport]) -> None:
    feed, report = sunday
    assert (report.outcome, report.red) == ("frozen", [])
    assert feed.rows(
        "select seller_id, gross, fees, net, rail, status, block_reasons, payable"
        " from marts.settlement_windows where frozen_at is not null order by seller_id"
    ) == [
        (
            *("rio", Decimal("113.00"), Decimal("10.00"), Decimal("103.00")),
            *("TRC-20", "blocked", ["invalid_wallet"], Decimal("103.00")),
        ),
        (
            *("sul", Decimal("97.77"), Decimal("9.20"), Decimal("88.57")),
            *("TRC-20", "blocked", ["invalid_wallet"], Decimal("88.57")),
        ),
    ]
    assert feed.rows("select sum(pending_balance), sum(available_balance) from marts.seller_balances") == [
        (Decimal("22.50"), Decimal("191.57"))
    ]

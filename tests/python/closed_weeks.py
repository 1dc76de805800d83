"""Two Sundays of a small marketplace in New York, where the clock went back on 1 November 2026.

Windows 2026-10-25 and 2026-11-01 are frozen, 2026-11-08 and 2026-11-15 are open.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from psycopg import Connection

from weekclose.database import open_connection
from weekclose.postgres import Server
from weekclose.settings import Settings
from weekclose.sunday import run_sunday
from weekclose.warehouse import Warehouse

WALLET = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
NIGHTS = [datetime(2026, 11, day, 4, tzinfo=UTC) for day in (9, 16)]
SETTINGS = {"settlement_timezone": "America/New_York", "settlement_start": "2026-10-25"}

# Colours, a line of its own, text that runs backwards, a formula, and no end.
HOSTILE_NAME = "\x1b[31mDora\n\x9b2J\u202egro.live\u2066 \u05d3\u05d5\u05e8\u05d4 " + "x" * 500
HOSTILE_ID = '=cmd|"a,b"\r\n'

SELLERS = {
    "anna": {"display_name": "Anna's Shop"},
    "bob": {"seller_type": "freelancer"},
    "carl": {"status": "suspended"},
    HOSTILE_ID: {"display_name": HOSTILE_NAME},
    **{name: {} for name in ("eve", "fay", "gil", "hugo", "idle", "steady", "zoe")},
}

# order, seller, captured (New York), gross, fee
ORDERS = [
    ("a0", "anna", "2026-10-20 12:00-04", "10.00", "1.00"),
    ("a1", "anna", "2026-10-27 10:00-04", "100.00", "10.00"),
    ("a2", "anna", "2026-11-02 10:00-05", "200.00", "20.00"),
    ("b1", "bob", "2026-10-26 10:00-04", "166.67", "16.67"),
    ("c1", "carl", "2026-10-27 10:00-04", "1100.00", "100.00"),
    ("e1", "eve", "2026-10-27 10:00-04", "100.00", "10.00"),
    ("f1", "fay", "2026-10-27 10:00-04", "100.00", "10.00"),
    ("f2", "fay", "2026-11-04 10:00-05", "10.00", "1.00"),
    ("g1", "gil", "2026-10-27 10:00-04", "100.00", "10.00"),
    ("g2", "gil", "2026-11-04 10:00-05", "10.00", "1.00"),
    ("g3", "gil", "2026-11-11 10:00-05", "10.00", "1.00"),
    ("h1", "hugo", "2026-11-02 10:00-05", "100.00", "10.00"),
    ("=h2", HOSTILE_ID, "2026-11-02 10:00-05", "100.00", "10.00"),
    ("z1", "zoe", "2026-11-14 23:59:59.999999-05", "50.00", "5.00"),
    ("s1", "steady", "2026-11-07 12:00-05", "70.00", "7.00"),
    ("s2", "steady", "2026-11-14 12:00-05", "70.00", "7.00"),
]


def play(where: Server, home: Path) -> None:
    """Load, run the Sundays, and let happen what happens between them."""
    warehouse = Warehouse(Settings(WEEKCLOSE_HOME=home), where)
    with open_connection(where) as conn:
        _load(conn)
        for night, between in zip(NIGHTS, (_after_the_first, _after_the_second), strict=True):
            report = run_sunday(where, warehouse, as_of=night, actor="tester", overrides=SETTINGS)
            assert report.outcome == "frozen", report.message
            between(conn)


def _load(conn: Connection[Any]) -> None:
    usual = {"display_name": "", "seller_type": "merchant", "status": "active"}
    for seller_id, own in SELLERS.items():
        conn.execute(
            "insert into raw.sellers (seller_id, display_name, seller_type, region, settlement_currency,"
            " status, created_at, wallet_address)"
            " values (%(id)s, %(display_name)s, %(seller_type)s, 'APAC', 'USD', %(status)s, '2026-01-01Z',"
            " %(wallet)s)",
            {"id": seller_id, "wallet": WALLET} | usual | own,
        )
    for order in ORDERS:
        _order(conn, *order)
    _order(conn, "=h3", HOSTILE_ID, "2026-11-02 10:00-05", "33.33", "3.33", currency="EUR")
    _order(conn, "a9", "anna", "2026-10-27 11:00-04", "77.00", "7.00", status="cancelled")
    conn.execute("insert into raw.control_totals (order_id, amount) values ('a2', 199.99)")
    conn.execute(
        "insert into raw.refunds (refund_id, order_id, amount, fee_refund_amount, refunded_at) values"
        " ('ra1', 'a1', 30, 3, '2026-11-03 09:00-05'), ('re1', 'e1', 100, 10, '2026-11-12 09:00-05'),"
        " ('rh1', 'h1', 100, 10, '2026-11-05 09:00-05')"
    )
    conn.execute(
        "insert into raw.disputes (dispute_id, order_id, amount, reason, status, opened_at, closed_at) values"
        " ('da1', 'a1', 80, 'fraud', 'open', '2026-11-10 12:00-05', null),"
        " ('dh1', 'h1', 100, 'fraud', 'lost', '2026-11-04 09:00-05', '2026-11-06 09:00-05'),"
        " ('ds1', 's1', 70, 'fraud', 'withdrawn', '2026-11-09 09:00-05', '2026-11-12 09:00-05')"
    )


def _after_the_first(conn: Connection[Any]) -> None:
    """Payouts go out, fay's fails; an order arrives late, another one is corrected."""
    conn.execute(
        "select payouts.move(array_agg(payout_number), 'submitted', 'Tuesday') from payouts.payouts"
        " where seller_id in ('anna', 'eve', 'fay', 'gil')"
    )
    for seller_id in ("anna", "eve"):
        _rail_says(conn, seller_id, "completed")
    _rail_says(conn, "fay", "failed")
    _order(conn, "a3", "anna", "2026-10-28 10:00-04", "50.00", "5.00")
    conn.execute("update raw.orders set gross_amount = 160, loaded_at = now() where order_id = 'b1'")


def _after_the_second(conn: Connection[Any]) -> None:
    """gil's payout of the first window fails after the second one was frozen without its money."""
    _rail_says(conn, "gil", "failed")


def _order(
    conn: Connection[Any],
    *columns: str,
    currency: str = "USD",
    status: str = "fulfilled",
) -> None:
    conn.execute(
        "insert into raw.orders"
        " (order_id, seller_id, captured_at, gross_amount, fee_amount, currency, status)"
        " values (%s, %s, %s, %s, %s, %s, %s)",
        (*columns, currency, status),
    )


def _rail_says(conn: Connection[Any], seller_id: str, status: str) -> None:
    """Its final word on the payout of the first window."""
    reason = "account closed" if status == "failed" else None
    conn.execute(
        "select payouts.conclude(payout_number, %s, amount, 'TX-' || payout_number, null, %s, '', 'tester')"
        " from payouts.payouts where seller_id = %s and payout_window = '2026-10-25'",
        (status, reason, seller_id),
    )

"""A frozen window made by hand, in milliseconds and without a build, for tests of what comes after a freeze.

The tables hold what a freeze leaves: a run, lines, rows, payouts, coverage, ledger, batch and audit entry.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from psycopg import Connection
from psycopg.types.json import Jsonb

from weekclose.decisions import approve

WINDOW = date(2026, 11, 1)
WALLET = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
# None of them is the other: who froze may not approve.
FREEZER, APPROVER, OPERATOR = "fiona", "anna", "olga"


def frozen_window(
    conn: Connection[Any],
    amounts: Sequence[str | Decimal],
    *,
    window: date = WINDOW,
    currency: str = "USD",
    rail: str = "TRC-20",
    destination: str = WALLET,
) -> date:
    """Freeze a window in which seller `s1` is owed the first amount, `s2` the second, each for one order.

    Returns `window`. In an empty database the payouts are JPO0000001, JPO0000002, ..., all of them ready.
    """
    with conn.transaction():
        owed = [(f"s{number}", Decimal(amount)) for number, amount in enumerate(amounts, start=1)]
        for seller_id, amount in owed:
            _freeze_seller(conn, window, seller_id, amount, currency, rail, destination)
        _freeze(conn, window)
    return window


def submitted_window(
    conn: Connection[Any], amounts: Sequence[str | Decimal], *, through: str = "batch", **options: Any
) -> date:
    """As `frozen_window`, but approved and handed to the rail `through`, whose receipt is `pb_WINDOW`."""
    window = frozen_window(conn, amounts, **options)
    claimed_window(conn, window, through)
    conn.execute("select payouts.take_receipt(%s, %s, %s)", (f"W{window}-G1", f"pb_{window}", OPERATOR))
    return window


def claimed_window(conn: Connection[Any], window: date, through: str = "batch") -> int:
    """Approve a frozen window and claim its batch, with a body that is none. Returns the attempt."""
    digest = str(one(conn, "select payouts.batch_digest(payouts.paid_with(%s, null))", window))
    approve(conn, window, digest, APPROVER)
    return int(
        one(
            conn,
            "select payouts.claim_batch(%s, %s, %s, %s, %s)",
            *(f"W{window}-G1", digest, through, b"{}", OPERATOR),
        )
    )


def one(conn: Connection[Any], query: str, *values: object) -> Any:
    """The first column of the only row."""
    row = conn.execute(query, values).fetchone()
    assert row is not None
    return row[0]


def _freeze_seller(
    conn: Connection[Any],
    window: date,
    seller_id: str,
    amount: Decimal,
    currency: str,
    rail: str,
    destination: str,
) -> None:
    order_id = f"{seller_id}-{window}"
    named = {
        "window": window,
        "seller": seller_id,
        "order": order_id,
        "line": f"sale:{order_id}",
        "amount": amount,
        "currency": currency,
        "rail": rail,
        "destination": destination,
        "at": datetime.combine(window, time(12), UTC),
    }
    for query in (
        """
        insert into raw.sellers (seller_id, region, settlement_currency, status, created_at, wallet_address)
        values (%(seller)s, 'APAC', %(currency)s, 'active', '2026-01-01Z', %(destination)s)
        on conflict do nothing
        """,
        """
        insert into raw.orders
            (order_id, seller_id, currency, gross_amount, fee_amount, status, captured_at)
        values (%(order)s, %(seller)s, %(currency)s, %(amount)s, 0, 'fulfilled', %(at)s)
        """,
        """
        insert into payouts.frozen_lines (
            line_id, payout_window, seller_id, currency, order_id, kind, source_id, event_at, order_window,
            home_window, gross, fees, refunds, disputes, adjustments, source_amount
        )
        values (
            %(line)s, %(window)s, %(seller)s, %(currency)s, %(order)s, 'sale', %(order)s, %(at)s, %(window)s,
            %(window)s, %(amount)s, 0, 0, 0, 0, %(amount)s
        )
        """,
        """
        insert into payouts.frozen_rows (
            payout_window, seller_id, currency, gross, fees, refunds, net, disputes, adjustments, carry_in,
            payable, carry_out, rail, status, block_reasons, order_count, late_line_count
        )
        values (
            %(window)s, %(seller)s, %(currency)s, %(amount)s, 0, 0, %(amount)s, 0, 0, 0, %(amount)s, 0,
            %(rail)s, 'ready', '{}', 1, 0
        )
        """,
        """
        with paid as (
            insert into payouts.payouts
                (payout_window, seller_id, currency, amount, rail, destination, status)
            values (
                %(window)s, %(seller)s, %(currency)s, %(amount)s, %(rail)s, %(destination)s, 'ready'
            )
            returning payout_number
        )

        insert into payouts.payout_coverage (payout_number, payout_window)
        select payout_number, %(window)s from paid
        """,
    ):
        conn.execute(query, named)


def _freeze(conn: Connection[Any], window: date) -> None:
    ends_at = datetime.combine(window + timedelta(days=7), time(), UTC)
    settings = {
        "raw_schema": "raw",
        "reserve_days": 7,
        "settlement_timezone": "UTC",
        "payout_window_starts_on": "sunday",
        "settlement_start": window.isoformat(),
    }
    named = {
        "window": window,
        "window_ends_at": ends_at,
        "reserve_closes_at": ends_at + timedelta(days=7),
        "as_of": ends_at + timedelta(days=7),
        "run_id": uuid4(),
        "settings": Jsonb(settings),
        "actor": FREEZER,
    }
    conn.execute(
        "insert into payouts.warehouse_runs"
        " (run_id, as_of, started_at, finished_at, actor, outcome, settings)"
        " values (%(run_id)s, %(as_of)s, now(), now(), %(actor)s, 'frozen', %(settings)s)",
        named,
    )
    conn.execute(
        "select payouts.freeze_window(%(window)s, %(window_ends_at)s, %(reserve_closes_at)s, %(run_id)s,"
        " %(as_of)s, %(settings)s, %(actor)s)",
        named,
    )

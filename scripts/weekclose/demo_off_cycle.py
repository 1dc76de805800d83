"""The demo's schedules: one makes its request at the third try, one asks for what a floor keeps."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from psycopg import Connection

from weekclose import requests
from weekclose.demo_twists import APPROVES, DECIDES, FREEZES, KEPT_FLOOR, OFF_CYCLE, Twist, picked
from weekclose.requests import Wish

MILESTONE = Decimal("60.00")


def schedule(conn: Connection[Any], window: date, twists: Mapping[str, Twist]) -> None:
    """Agree on payouts for the Tuesday after: of a part of a payout, and of all that a floor keeps.

    Once a window: it is part of one transaction of the caller's.
    """
    for _, payout in picked(conn, window, twists, OFF_CYCLE):
        _schedule(conn, window, payout.seller_id, payout.currency, MILESTONE, "the second shop is open")
    if KEPT_FLOOR.name in twists:
        kept = conn.execute(
            "select currency, carry_out from payouts.frozen_rows"
            " where payout_window = %s and seller_id = %s and carry_out > 0",
            (window, KEPT_FLOOR.seller_id),
        ).fetchall()
        for currency, amount in kept:
            _schedule(conn, window, str(KEPT_FLOOR.seller_id), currency, amount, "he stops selling")


def run_job(conn: Connection[Any], most_tries: int) -> None:
    """The job, at each instant for which a schedule waits, until each has had so many tries."""
    waiting = (
        "select min(coalesce(next_try_at, due_at)) from payouts.payout_schedules"
        " where status in ('pending', 'processing') and retry_count < %s"
    )
    while (row := conn.execute(waiting, [most_tries]).fetchone()) and row[0]:
        requests.run(conn, row[0], FREEZES)


def to_pay(conn: Connection[Any]) -> list[str]:
    """The requests that have not come to their end, each of them approved by now."""
    found = conn.execute(
        "select request_number, status from marts.payout_requests"
        " where status in ('requested', 'approved', 'submitted') order by request_number"
    ).fetchall()
    for number, status in found:
        if status == "requested":
            requests.approve(conn, [number], APPROVES)
    return [number for number, _ in found]


def _schedule(
    conn: Connection[Any], window: date, seller_id: str, currency: str, amount: Decimal, note: str
) -> None:
    tuesday = datetime.combine(window + timedelta(days=16), time(9), UTC)
    wish = Wish(seller_id, currency, amount, "milestone_reached", note, due_at=tuesday)
    requests.schedule(conn, wish, DECIDES)

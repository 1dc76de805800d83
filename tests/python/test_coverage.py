"""Which windows a payout pays, asked of what may still be unpaid, is what asking of all history gives."""

import random
from datetime import date, timedelta
from typing import Any

import pytest
from psycopg import Connection

FIRST = date(2026, 1, 4)
WINDOWS, SELLERS = 14, 25
ALIVE = ("ready", "submitted", "paid", "reversed", "awaiting_reconciliation")
STATUSES = (*ALIVE, "blocked", "failed", "returned")

# The definition: each window up to the payout's own that no other live payout has paid.
UNPAID = """
select due.payout_number, earlier.payout_window
from payouts.payouts as due
inner join payouts.frozen_rows as earlier using (seller_id, currency)
where
    due.payout_window = %(window)s
    and due.request_number is null
    and earlier.payout_window <= due.payout_window
    and not exists (
        select from payouts.payout_coverage as coverage
        inner join payouts.payouts as paid using (payout_number)
        where
            paid.seller_id = due.seller_id
            and paid.currency = due.currency
            and paid.status = any(%(alive)s)
            and paid.payout_number != due.payout_number
            and coverage.payout_window = earlier.payout_window
    )
"""


@pytest.mark.parametrize("seed", range(3))
def test_a_payout_covers_what_no_live_payout_has_paid(conn: Connection[Any], seed: int) -> None:
    dice = random.Random(seed)
    seen_again = 0
    with conn.transaction(force_rollback=True):
        # What else a freeze has to keep in step is not looked at here.
        conn.execute("set local session_replication_role = replica")
        for number in range(WINDOWS):
            window = FIRST + timedelta(weeks=number)
            _freeze(conn, window, dice)
            expected = conn.execute(UNPAID, {"window": window, "alive": list(ALIVE)}).fetchall()
            conn.execute("select payouts.cover(%s)", [window])
            covered = conn.execute(
                "select payout_number, coverage.payout_window from payouts.payout_coverage as coverage"
                " inner join payouts.payouts using (payout_number) where payouts.payout_window = %s",
                [window],
            ).fetchall()
            assert sorted(covered) == sorted(expected)
            seen_again += sum(1 for _, covered_window in covered if covered_window < window)
            _live_on(conn, dice)
    # Not every payout was alone.
    assert seen_again > WINDOWS


def _freeze(conn: Connection[Any], window: date, dice: random.Random) -> None:
    for seller in range(SELLERS):
        for currency in ("USD", "EUR")[: 1 + seller % 2]:
            is_paid = dice.random() < 0.6
            conn.execute(
                """
                with frozen as (
                    insert into payouts.frozen_rows (
                        payout_window, seller_id, currency, gross, fees, refunds, net, disputes, adjustments,
                        carry_in, payable, carry_out, rail, status, block_reasons, order_count,
                        late_line_count
                    )
                    values (
                        %(window)s, %(seller)s, %(currency)s, 1, 0, 0, 1, 0, 0, 0, 1, 0, 'ACH', 'ready', '{}',
                        1, 0
                    )
                )

                insert into payouts.payouts (
                    payout_window, seller_id, currency, amount, rail, destination, status
                )
                select %(window)s, %(seller)s, %(currency)s, 1, 'ACH', 'somewhere', 'ready'
                where %(is_paid)s
                """,
                {"window": window, "seller": f"S{seller}", "currency": currency, "is_paid": is_paid},
            )


def _live_on(conn: Connection[Any], dice: random.Random) -> None:
    """Some payouts of any age fail, come back or are paid after all; some were asked for."""
    for (number,) in conn.execute("select payout_number from payouts.payouts order by 1").fetchall():
        if dice.random() < 0.3:
            status = dice.choice(STATUSES)
            conn.execute(
                "update payouts.payouts set status = %s, block_reasons = %s where payout_number = %s",
                [status, ["on_hold"] if status == "blocked" else [], number],
            )
        if dice.random() < 0.02:
            conn.execute(
                """
                insert into payouts.payouts (
                    payout_window, seller_id, currency, amount, rail, destination, status, request_number
                )
                select payout_window, seller_id, currency, 1, rail, destination, 'paid', 'R-' || payout_number
                from payouts.payouts where payout_number = %s and request_number is null
                on conflict do nothing
                """,
                [number],
            )

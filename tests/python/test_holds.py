"""Escrow holds: what is held is not payable, stays in the balance, and is released before a freeze."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from psycopg.errors import RestrictViolation

from frozen_window import OPERATOR
from small_week import NEXT_NIGHT, NIGHT, START, Week
from weekclose import holds
from weekclose.database import open_connection
from weekclose.decisions import verify_audit
from weekclose.errors import NothingToDo, Refused, UsageError
from weekclose.freeze import freeze

NOTE = ("--note", "the buyer says that it never arrived")
WANTED = ("--currency", "USD", "--amount", "30.00", "--reason", "dispute", *NOTE)


def due_row(week: Week, seller: str) -> tuple[Any, ...]:
    found: tuple[Any, ...] | None = week.conn.execute(
        "select status, payable, carry_out, held from marts.settlement_windows"
        " where seller_id = %s and payout_window = %s",
        (seller, START),
    ).fetchone()
    assert found is not None
    return found


def held(week: Week, amount: str, until: datetime | None = None, seller: str = "s1") -> str:
    """A hold of a seller's money as the database has it, whatever the clock says of `until`."""
    row = week.conn.execute(
        "insert into payouts.escrow_holds (seller_id, currency, amount, reason, note, release_at, held_by)"
        " values (%s, 'USD', %s, 'verification', 'who is this', %s, 'olga') returning hold_number",
        (seller, amount, until),
    ).fetchone()
    assert row is not None
    return str(row[0])


def test_what_is_held_stays_in_the_balance(built_week: Week) -> None:
    """And goes out with a later window, when it is released."""
    status, payable, _, nothing = due_row(built_week, "s1")
    assert (status, nothing) == ("ready", 0)
    wanted = holds.Wanted("s1", "USD", Decimal(30), "verification", "who is this")
    number = holds.create(built_week.conn, wanted, OPERATOR)
    built_week.sunday()
    assert due_row(built_week, "s1") == ("ready", payable - 30, Decimal(30), Decimal(30))
    assert built_week.one("select amount from payouts.payouts where seller_id = 's1'") == payable - 30
    assert built_week.one(
        "select payouts.window_digest(payout_window) = content_digest from payouts.frozen_windows"
    ), "what is held is part of the promise"
    holds.end(built_week.conn, [number], "released", "it is him", OPERATOR)
    built_week.order("o9", "s1", "2026-11-09T10:00Z", gross=20, fee=2)
    built_week.sunday(NEXT_NIGHT)
    paid = "select amount from payouts.payouts where seller_id = 's1' order by payout_window desc limit 1"
    assert built_week.one(paid) == 30 + 18


def test_an_orders_guarantee_holds_what_the_seller_has_of_it(week: Week) -> None:
    """While it runs, and by itself: less after a refund, nothing when it is over."""
    week.order("o9", "s1", "2026-11-04T10:00Z", gross=50, fee=5)
    ends = NIGHT + timedelta(days=3)
    week.conn.execute(
        "update raw.orders set guarantee_ends_at = %s, loaded_at = now() where order_id = 'o9'", (ends,)
    )
    week.sunday(may_freeze=False)
    assert due_row(week, "s1")[1::2] == (90, 45), "of 135"
    guaranteed = "select hold_number, amount, reason, status, release_at from marts.escrow_holds"
    known = ("guarantee:o9", Decimal(45), "guarantee_period", "active", ends)
    assert week.conn.execute(guaranteed).fetchall() == [known]
    week.conn.execute(
        "insert into raw.refunds (refund_id, order_id, amount, fee_refund_amount, refunded_at)"
        " values ('rf9', 'o9', 20, 2, '2026-11-05T10:00Z')"
    )
    week.sunday()
    assert due_row(week, "s1")[1::2] == (90, 27)
    known = ("guarantee:o9", Decimal(27), "guarantee_period", "active", ends)
    assert week.conn.execute(guaranteed).fetchall() == [known], "frozen money is held between two Sundays too"
    week.sunday(NEXT_NIGHT)
    assert week.conn.execute(guaranteed).fetchall() == []
    paid = "select amount from payouts.payouts where seller_id = 's1' order by payout_window"
    assert week.conn.execute(paid).fetchall() == [(90,), (27,)]


def test_what_a_sunday_holds(week: Week) -> None:
    """What is over is released before the freeze; a guarantee of a window that is not due holds nothing."""
    number = held(week, "30.00")
    over = held(week, "12.00", NIGHT)
    too_much = held(week, "100000.00", seller="s2")
    week.seller("s3")
    week.order("o8", "s3", "2026-11-04T10:00Z")
    week.order("o9", "s3", "2026-11-09T10:00Z", gross=50, fee=5)
    week.conn.execute(
        "update raw.orders set guarantee_ends_at = %s where order_id = 'o9'", (NIGHT + timedelta(days=30),)
    )
    week.sunday()
    assert due_row(week, "s1")[3] == 30
    assert week.conn.execute(
        "select hold_number, status, ended_because from payouts.escrow_holds order by hold_number"
    ).fetchall() == [
        (number, "active", None),
        (over, "released", "its time is over"),
        (too_much, "active", None),
    ]
    assert week.one("select count(*) from payouts.audit_log where action = 'hold release'") == 1
    status, payable, carried, in_all = due_row(week, "s2")
    assert (status, payable, in_all) == ("carried_forward", 0, 100000), "more than there is"
    assert carried > 0
    assert due_row(week, "s3")[3] == 0


@pytest.mark.catalogue(3)
def test_two_who_release_at_once_do_it_once(week: Week) -> None:
    held(week, "30.00", NIGHT)

    def release(_: int) -> int:
        with open_connection(week.server) as conn:
            row = conn.execute("select payouts.release_due_holds(%s, 'olga')", (NIGHT,)).fetchone()
            return int(row[0]) if row else 0

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(release, range(4))) == 1
    assert week.one("select count(*) from payouts.audit_log where action = 'hold release'") == 1


def test_a_freeze_waits_for_who_holds_meanwhile(built_week: Week) -> None:
    """It looks at the audit log when nobody else is writing to it, so that no entry comes twice."""
    wanted = holds.Wanted("s1", "USD", Decimal(30), "verification", "who is this")
    run_id = built_week.one("select run_id from payouts.warehouse_runs")
    with open_connection(built_week.server) as freezer, ThreadPoolExecutor(1) as pool:
        waiter = freezer.info.backend_pid
        with built_week.conn.transaction():
            holds.create(built_week.conn, wanted, OPERATOR)
            frozen = pool.submit(freeze, freezer, run_id, NIGHT, {}, OPERATOR)
            while not built_week.one(f"select cardinality(pg_blocking_pids({waiter}))"):
                assert not frozen.done()
        assert [window.payout_window for window in frozen.result(timeout=60)] == [START]
    verify_audit(built_week.conn)


def test_a_frozen_amount_does_not_change(frozen_week: Week) -> None:
    before = due_row(frozen_week, "s1")
    held(frozen_week, "30.00")
    frozen_week.sunday()
    assert due_row(frozen_week, "s1") == before
    with pytest.raises(RestrictViolation):
        frozen_week.conn.execute("update payouts.escrow_holds set amount = 1")


def test_python_says_the_same(week: Week) -> None:
    with pytest.raises(UsageError):
        holds.create(week.conn, holds.Wanted("s1", "USD", Decimal(1), "odd", "x"), OPERATOR)
    with pytest.raises(Refused):
        holds.create(week.conn, holds.Wanted("s1", "USD", Decimal("0.001"), "other", "x"), OPERATOR)
    with pytest.raises(NothingToDo):
        holds.end(week.conn, ["none"], "released", "x", OPERATOR)

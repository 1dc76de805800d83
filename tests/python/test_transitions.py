"""Payouts and batches go one way: every pair of states is tried, and what is not legal is refused."""

from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.errors import CheckViolation, RestrictViolation

from frozen_window import APPROVER, OPERATOR, claimed_window, frozen_window, one
from weekclose.database import open_connection
from weekclose.postgres import Server

# Where the rail and the books disagree, whatever the status was, a person decides what is true.
PAYOUT_STEPS = {
    "ready": ("blocked", "submitted", "awaiting_reconciliation"),
    "blocked": ("ready", "awaiting_reconciliation"),
    # Back to ready when the rail refuses the whole batch.
    "submitted": ("ready", "paid", "failed", "awaiting_reconciliation"),
    "paid": ("returned", "awaiting_reconciliation"),
    "failed": ("awaiting_reconciliation",),
    "returned": ("awaiting_reconciliation",),
    "awaiting_reconciliation": ("paid", "failed"),
}
WAY_TO_PAYOUT = {
    "ready": (),
    "blocked": ("blocked",),
    "submitted": ("submitted",),
    "paid": ("submitted", "paid"),
    "failed": ("submitted", "failed"),
    "returned": ("submitted", "paid", "returned"),
    "awaiting_reconciliation": ("submitted", "awaiting_reconciliation"),
}
BATCH_STEPS = {
    "frozen": ("frozen", "approved"),
    # Back to frozen when what was approved has changed.
    "approved": ("frozen", "approved", "submitting"),
    "submitting": ("submitting", "submitted", "rejected"),
    "submitted": ("submitted", "settled"),
    "settled": (),
    "rejected": (),
}
PAYOUT = "JPO0000001"
BATCH = "W2026-11-01-G1"


@pytest.fixture
def frozen(module_database: Server) -> Any:
    """A connection to a database with one payout that is ready; all is rolled back."""
    with open_connection(module_database) as conn, conn.transaction(force_rollback=True):
        conn.execute("alter sequence payouts.payout_number_seq restart")
        frozen_window(conn, ["90.00"])
        yield conn


def account(status: str) -> str:
    """Where the money is."""
    if status in ("submitted", "awaiting_reconciliation"):
        return "payouts_in_transit"
    return "payouts_paid" if status == "paid" else "seller_payable"


def state(conn: Connection[Any], status: str) -> None:
    """The status alone."""
    reasons = ["odd"] if status == "blocked" else []
    conn.execute("update payouts.payouts set status = %s, block_reasons = %s", (status, reasons))


def book(conn: Connection[Any], source: str, target: str) -> None:
    """The ledger alone."""
    conn.execute(
        "with booked as (insert into payouts.ledger_transactions (kind, reference)"
        " select 'pay', count(*) from payouts.ledger_transactions returning transaction_id)"
        " insert into payouts.ledger_entries"
        " (transaction_id, account, seller_id, currency, amount, payout_number)"
        " select transaction_id, account, seller_id, currency, sign * amount, payout_number"
        " from payouts.payouts cross join booked"
        " cross join (values (%s, -1), (%s, 1)) as side (account, sign)",
        (source, target),
    )


def go(conn: Connection[Any], was: str, target: str) -> None:
    """Change the status, book what that means, and commit: as any program could."""
    state(conn, target)
    if account(was) != account(target):
        book(conn, account(was), account(target))
    commit(conn)


def commit(conn: Connection[Any]) -> None:
    """The checks of a commit, in a test that is rolled back."""
    conn.execute("set constraints all immediate")
    conn.execute("set constraints all deferred")


def bring(conn: Connection[Any], status: str) -> None:
    was = "ready"
    for target in WAY_TO_PAYOUT[status]:
        go(conn, was, target)
        was = target


@pytest.mark.parametrize("was", PAYOUT_STEPS)
def test_a_payout_goes_its_way_alone(frozen: Connection[Any], was: str) -> None:
    bring(frozen, was)
    accepted = []
    for target in PAYOUT_STEPS.keys() - {was}:
        try:
            with frozen.transaction(force_rollback=True):
                go(frozen, was, target)
                accepted.append(target)
        except RestrictViolation as error:
            assert f"payout {PAYOUT} cannot go from {was} to {target}" in str(error)
    assert sorted(accepted) == sorted(PAYOUT_STEPS[was])


@pytest.mark.parametrize("was", PAYOUT_STEPS)
def test_moving_knows_the_same_ways(frozen: Connection[Any], was: str) -> None:
    """Blocking needs a reason: that is what a hold does."""
    bring(frozen, was)
    accepted = []
    for target in PAYOUT_STEPS:
        try:
            with frozen.transaction(force_rollback=True):
                frozen.execute("select payouts.move(%s, %s, 'the test')", ([PAYOUT], target))
                commit(frozen)
                assert one(frozen, "select payouts.is_booked(payouts) from payouts.payouts") is True
                accepted.append(target)
        except (RestrictViolation, CheckViolation) as error:
            assert "cannot become" in str(error) or "payouts_blocked_says_why" in str(error)
    assert sorted(accepted) == sorted(set(PAYOUT_STEPS[was]) - {"blocked"})


@pytest.mark.parametrize(
    ("was", "target"),
    [
        (was, target)
        for was, targets in PAYOUT_STEPS.items()
        for target in targets
        if account(was) != account(target)
    ],
)
def test_no_status_without_its_booking_and_no_booking_without_its_status(
    frozen: Connection[Any], was: str, target: str
) -> None:
    bring(frozen, was)
    with pytest.raises(CheckViolation, match="is not where the ledger has its money"), frozen.transaction():
        state(frozen, target)
        commit(frozen)
    with pytest.raises(CheckViolation, match="is not where this booking would have"), frozen.transaction():
        book(frozen, account(was), account(target))


def test_a_booking_is_of_the_whole_payout(frozen: Connection[Any]) -> None:
    """Neither twice nor half."""
    with pytest.raises(CheckViolation, match="is not where this booking"), frozen.transaction():
        go(frozen, "ready", "submitted")
        book(frozen, "seller_payable", "payouts_in_transit")
    with pytest.raises(CheckViolation, match="is not where this booking"), frozen.transaction():
        go(frozen, "ready", "submitted")
        book(frozen, "payouts_in_transit", "payouts_paid")


def test_a_late_booking_is_refused_when_it_commits(conn: Connection[Any]) -> None:
    frozen_window(conn, ["90.00"])
    with pytest.raises(CheckViolation, match="is not where the ledger has its money"):
        state(conn, "submitted")
    assert one(conn, "select status from payouts.payouts") == "ready"


def bring_batch(conn: Connection[Any], target: str) -> None:
    if target == "frozen":
        return
    window = one(conn, "select payout_window from payouts.batches")
    if target == "approved":
        digest = one(conn, "select content_digest from payouts.batches")
        conn.execute("select payouts.approve(%s, %s, %s)", (window, digest, APPROVER))
        return
    claimed_window(conn, window)
    if target == "rejected":
        conn.execute("""select payouts.take_refusal(%s, '{"message": "no"}', %s)""", (BATCH, OPERATOR))
    if target in ("submitted", "settled"):
        conn.execute("select payouts.take_receipt(%s, 'receipt', %s)", (BATCH, OPERATOR))
    if target == "settled":
        conn.execute("select payouts.move(%s, 'paid', 'the test')", ([PAYOUT],))
        conn.execute("select payouts.settle(%s, %s)", (BATCH, OPERATOR))


def go_batch(conn: Connection[Any], target: str) -> None:
    """With everything that the state needs."""
    conn.execute(
        "update payouts.batches set state = %(state)s"
        ", approved_by = case when %(state)s <> 'frozen' then coalesce(approved_by, 'anna') end"
        ", approved_at = case when %(state)s <> 'frozen' then coalesce(approved_at, now()) end"
        ", idempotency_key = case when %(leaves)s then coalesce(idempotency_key, 'key') end"
        ", rail = case when %(leaves)s then coalesce(rail, 'batch') end"
        ", body = case when %(leaves)s then coalesce(body, '') end"
        ", body_hash = case when %(leaves)s then encode(sha256(coalesce(body, '')), 'hex') end"
        ", rail_batch_id = case when %(state)s in ('submitted', 'settled') then 'receipt' end"
        ", rejection = case when %(state)s = 'rejected' then '{}'::jsonb end"
        " where batch_id = %(batch)s",
        {"state": target, "leaves": target not in ("frozen", "approved"), "batch": BATCH},
    )


@pytest.mark.parametrize("was", BATCH_STEPS)
def test_a_batch_goes_its_way_alone(frozen: Connection[Any], was: str) -> None:
    bring_batch(frozen, was)
    assert one(frozen, "select state from payouts.batches where batch_id = %s", BATCH) == was
    accepted = []
    for target in BATCH_STEPS:
        try:
            with frozen.transaction(force_rollback=True):
                go_batch(frozen, target)
                accepted.append(target)
        except psycopg.Error as error:
            assert error.sqlstate in ("23001", "WC003"), error
    assert sorted(accepted) == sorted(BATCH_STEPS[was])


def test_the_pairs_are_all_there_are(frozen: Connection[Any]) -> None:
    """No status is missing from this file, and no step is legal that is not written here."""
    for table, name, steps in (
        ("payouts.payouts", "payouts_status_is_known", PAYOUT_STEPS),
        ("payouts.batches", "batches_state_is_known", BATCH_STEPS),
    ):
        check = one(
            frozen,
            "select pg_get_constraintdef(oid) from pg_constraint"
            " where conrelid = %s::regclass and conname = %s",
            table,
            name,
        )
        assert set(check.split("'")[1::2]) == set(steps)

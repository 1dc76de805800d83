"""Payouts, batches, adjustments, requests and schedules go one way: every pair of states is tried."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.errors import CheckViolation, RestrictViolation

from frozen_window import APPROVER, OPERATOR, WINDOW, claimed_window, frozen_window, one
from weekclose.database import open_connection
from weekclose.postgres import Server

pytestmark = pytest.mark.catalogue(14, 19)

# Where the rail and the books disagree, whatever the status was, a person decides what is true.
PAYOUT_STEPS = {
    "ready": ("blocked", "submitted", "awaiting_reconciliation"),
    "blocked": ("ready", "awaiting_reconciliation"),
    # Back to ready when the rail refuses the whole batch.
    "submitted": ("ready", "paid", "failed", "awaiting_reconciliation"),
    "paid": ("returned", "reversed", "awaiting_reconciliation"),
    "failed": ("awaiting_reconciliation",),
    "returned": ("awaiting_reconciliation",),
    # What has to be put right after it is an adjustment of its own.
    "reversed": (),
    "awaiting_reconciliation": ("paid", "failed"),
}
WAY_TO_PAYOUT = {
    "ready": (),
    "blocked": ("blocked",),
    "submitted": ("submitted",),
    "paid": ("submitted", "paid"),
    "failed": ("submitted", "failed"),
    "returned": ("submitted", "paid", "returned"),
    "reversed": ("submitted", "paid", "reversed"),
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
    return "payouts_paid" if status in ("paid", "reversed") else "seller_payable"


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


def say_reversed(
    conn: Connection[Any], amount: str = "90.00", seller: str = "s1", about: str = PAYOUT
) -> None:
    """The reversal alone."""
    conn.execute(
        "with follows as (insert into payouts.adjustments (seller_id, currency, class, amount, reason, note,"
        " source, source_id, mode, policy_scope, applied_amount, applied_to, proposed_by)"
        " values (%(seller)s, 'USD', 'carry_forward_credit', %(amount)s, 'wrong', 'so it was', 'manual',"
        " %(about)s, 'manual', 'default', %(amount)s, %(seller)s, 'olga') returning adjustment_number)"
        " insert into payouts.reversals (payout_number, reason, note, adjustment_number, reversed_by)"
        " select %(payout)s, 'duplicate', 'so it was', adjustment_number, 'rita' from follows",
        {"seller": seller, "amount": amount, "about": about, "payout": PAYOUT},
    )


def go(conn: Connection[Any], was: str, target: str) -> None:
    """Change the status, book what that means, and commit: as any program could."""
    if target == "reversed":
        say_reversed(conn)
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
                if (was, target) == ("paid", "reversed"):
                    say_reversed(frozen)
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


def test_reversed_is_only_what_has_a_reversal(frozen: Connection[Any]) -> None:
    """Its reversal, of its amount and seller, and no reversal of anything else."""
    bring(frozen, "paid")
    with pytest.raises(RestrictViolation, match="is reversed by payouts"), frozen.transaction():
        state(frozen, "reversed")
    with pytest.raises(CheckViolation, match="is not what became of it"), frozen.transaction():
        say_reversed(frozen)
        commit(frozen)
    for wrong in ({"amount": "89.99"}, {"seller": "s2"}, {"about": "JPO0000002"}):
        with pytest.raises(CheckViolation, match="is not what became of it"), frozen.transaction():
            say_reversed(frozen, **wrong)
            state(frozen, "reversed")
            commit(frozen)


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


@dataclass(frozen=True)
class Kind:
    """An adjustment of 40.00, its steps, and what stands on `seller_obligations` where that is anything."""

    of_class: str
    source: str
    steps: dict[str, tuple[str, ...]]
    owed: dict[str, str]

    @property
    def is_line(self) -> bool:
        return self.of_class.startswith("carry_forward")

    def way(self, status: str) -> Sequence[str]:
        if status == "cancelled":
            return ("cancelled",)
        order = ("proposed", "approved", "applied", "settled")
        return [step for step in order[1 : order.index(status) + 1] if step in self.steps]

    def books(self, status: str) -> Decimal:
        return Decimal(self.owed.get(status, "0"))


LINE_STEPS = {
    "proposed": ("approved", "cancelled"),
    "approved": ("applied", "cancelled"),
    "applied": ("settled",),
    "settled": (),
    "cancelled": (),
}
# What is collected outside of payouts is applied at once.
OTHER_STEPS = {
    "proposed": ("applied", "cancelled"),
    "applied": ("settled", "cancelled"),
    "settled": (),
    "cancelled": (),
}
KINDS = {
    "deduction": Kind("carry_forward_deduction", "manual", LINE_STEPS, {"approved": "-40"}),
    "credit": Kind("carry_forward_credit", "restatement", LINE_STEPS, {"approved": "40"}),
    # These two have happened, whatever anybody decides.
    "mismatch": Kind(
        "carry_forward_deduction", "mismatch", LINE_STEPS, {"proposed": "-40", "approved": "-40"}
    ),
    "reversal": Kind("carry_forward_credit", "reversal", LINE_STEPS, {"proposed": "40", "approved": "40"}),
    "fee": Kind("gross_invoice_fee", "manual", OTHER_STEPS, {"applied": "-40"}),
    "cash": Kind("manual_cash_recovery", "manual", OTHER_STEPS, {"applied": "-40"}),
    # The debt is in the seller's balance already.
    "dispute": Kind("manual_cash_recovery", "dispute", OTHER_STEPS, {}),
}
ADJUSTMENT = "ADJ0000001"
ADJUSTMENT_STATUSES = tuple(LINE_STEPS)


@pytest.fixture
def proposed(frozen: Connection[Any], request: pytest.FixtureRequest) -> Kind:
    """A proposed adjustment of the kind that the test asks for, in the database of `frozen`."""
    kind = KINDS[request.param]
    propose(frozen, kind)
    return kind


def propose(conn: Connection[Any], kind: Kind) -> None:
    conn.execute("alter sequence payouts.adjustment_number_seq restart")
    conn.execute(
        "insert into payouts.adjustments (seller_id, currency, class, amount, reason, note,"
        " invoice_reference, source, source_id, mode, policy_scope, applied_amount, applied_to, proposed_by)"
        " values ('s1', 'USD', %(class)s, 40, 'odd', 'as agreed',"
        " case %(class)s when 'gross_invoice_fee' then 'INV-1' end,"
        " %(source)s, nullif(%(source)s, 'manual'), 'manual', 'default', 40, 's1', 'olga')",
        {"class": kind.of_class, "source": kind.source},
    )
    if kind.books("proposed"):
        book_obligation(conn, kind.books("proposed"))
    commit(conn)


def state_adjustment(conn: Connection[Any], kind: Kind, status: str) -> None:
    """The status alone, with everything that it needs in its own row."""
    proof = "(select sha256 from payouts.documents)"
    if kind.of_class == "manual_cash_recovery":
        conn.execute(
            "select payouts.store_document(%s, 'application/pdf', session_user::text)", (b"%PDF-1.4",)
        )
    conn.execute(
        "update payouts.adjustments set status = %(status)s"
        ", approved_at = coalesce(approved_at, case when %(status)s <> 'proposed' then now() end)"
        ", payout_window = case when %(line)s and %(status)s in ('applied', 'settled')"
        " then %(window)s::date end"
        ", settled_at = case when %(status)s = 'settled' then now() end"
        ", money_reference = case when not %(line)s and %(status)s = 'settled' then 'BANK-1' end"
        f", money_document = case when not %(line)s and %(status)s = 'settled' then {proof} end",
        {"status": status, "line": kind.is_line, "window": WINDOW},
    )


def enter(conn: Connection[Any], amount: Decimal) -> None:
    """The line alone."""
    conn.execute(
        "insert into payouts.frozen_lines (line_id, payout_window, seller_id, currency, kind, source_id,"
        " event_at, order_window, home_window, gross, fees, refunds, disputes, adjustments, source_amount)"
        " values ('adjustment:' || %(number)s, %(window)s, 's1', 'USD', 'adjustment', %(number)s, now(),"
        " %(window)s, %(window)s, 0, 0, 0, 0, %(amount)s, %(amount)s)",
        {"number": ADJUSTMENT, "window": WINDOW, "amount": amount},
    )


def book_obligation(conn: Connection[Any], amount: Decimal) -> None:
    """The ledger alone."""
    conn.execute(
        "with booked as (insert into payouts.ledger_transactions (kind, reference)"
        " select 'recognize', count(*) from payouts.ledger_transactions returning transaction_id)"
        " insert into payouts.ledger_entries"
        " (transaction_id, account, seller_id, currency, amount, adjustment_number)"
        " select transaction_id, account, 's1', 'USD', amount, %s from booked"
        " cross join (values ('seller_obligations', %s), ('sales_clearing', %s)) as side (account, amount)",
        (ADJUSTMENT, amount, -amount),
    )


def go_adjustment(conn: Connection[Any], kind: Kind, was: str, target: str) -> None:
    if kind.is_line and (was, target) == ("approved", "applied"):
        enter(conn, kind.books("approved"))
    state_adjustment(conn, kind, target)
    if kind.books(was) != kind.books(target):
        book_obligation(conn, kind.books(target) - kind.books(was))
    commit(conn)


def bring_adjustment(conn: Connection[Any], kind: Kind, status: str) -> None:
    was = "proposed"
    for target in kind.way(status):
        go_adjustment(conn, kind, was, target)
        was = target


@pytest.mark.parametrize(
    ("proposed", "was"),
    [(name, was) for name, kind in KINDS.items() for was in kind.steps],
    indirect=["proposed"],
)
def test_an_adjustment_goes_its_way_alone(frozen: Connection[Any], proposed: Kind, was: str) -> None:
    bring_adjustment(frozen, proposed, was)
    accepted = []
    for target in ADJUSTMENT_STATUSES:
        if target == was:
            continue
        try:
            with frozen.transaction(force_rollback=True):
                go_adjustment(frozen, proposed, was, target)
                accepted.append(target)
        except RestrictViolation as error:
            refusals = (f"cannot go from {was} to {target}", f"is {was}: that does not change")
            assert any(f"adjustment {ADJUSTMENT} {refusal}" in str(error) for refusal in refusals)
    assert sorted(accepted) == sorted(proposed.steps[was])


@pytest.mark.parametrize(
    ("proposed", "was", "target"),
    [
        (name, was, target)
        for name, kind in KINDS.items()
        for was, targets in kind.steps.items()
        for target in targets
        if kind.books(was) != kind.books(target)
    ],
    indirect=["proposed"],
)
def test_no_obligation_without_its_booking_and_no_booking_without_its_obligation(
    frozen: Connection[Any], proposed: Kind, was: str, target: str
) -> None:
    bring_adjustment(frozen, proposed, was)
    booking = proposed.books(target) - proposed.books(was)
    if proposed.is_line and target == "applied":
        enter(frozen, proposed.books(was))
    with pytest.raises(CheckViolation, match="is not what the ledger has of it"), frozen.transaction():
        state_adjustment(frozen, proposed, target)
        commit(frozen)
    with (
        pytest.raises(CheckViolation, match="is not what this booking would make of it"),
        frozen.transaction(),
    ):
        book_obligation(frozen, booking)
    for wrong in (booking / 2, booking * 2, -booking):
        with (
            pytest.raises(CheckViolation, match="is not what this booking would make of it"),
            frozen.transaction(),
        ):
            state_adjustment(frozen, proposed, target)
            book_obligation(frozen, wrong)


@pytest.mark.parametrize("proposed", ["mismatch", "reversal"], indirect=True)
def test_what_has_happened_is_owed_before_anybody_approves(frozen: Connection[Any], proposed: Kind) -> None:
    with pytest.raises(CheckViolation, match="is not what the ledger has of it"), frozen.transaction():
        frozen.execute(
            "insert into payouts.adjustments (seller_id, currency, class, amount, reason, note, source,"
            " source_id, mode, policy_scope, applied_amount, applied_to, proposed_by)"
            " select seller_id, currency, class, amount, reason, note, source, source_id, mode, policy_scope,"
            " applied_amount, applied_to, proposed_by from payouts.adjustments"
        )
        commit(frozen)


@pytest.mark.parametrize("proposed", ["deduction", "credit", "mismatch", "reversal"], indirect=True)
def test_an_applied_adjustment_has_its_line_and_enters_once(frozen: Connection[Any], proposed: Kind) -> None:
    bring_adjustment(frozen, proposed, "approved")
    amount = proposed.books("approved")
    with pytest.raises(CheckViolation, match=f"has no line in window {WINDOW}"), frozen.transaction():
        state_adjustment(frozen, proposed, "applied")
        book_obligation(frozen, -amount)
        commit(frozen)
    for wrong in (-amount, amount / 2):
        with (
            pytest.raises(psycopg.DatabaseError, match="is not what the build has seen"),
            frozen.transaction(),
        ):
            enter(frozen, wrong)
    go_adjustment(frozen, proposed, "approved", "applied")
    with pytest.raises(psycopg.DatabaseError, match="is not what the build has seen"), frozen.transaction():
        enter(frozen, amount)


# What of an adjustment stays as it was proposed, and another value of it.
PROPOSED = {
    "adjustment_number": "'ADJ9999999'",
    "seller_id": "'s2'",
    "currency": "'EUR'",
    "class": "'carry_forward_credit'",
    "amount": "amount + 1",
    "reason": "'another'",
    "note": "'another'",
    "invoice_reference": "'INV-2'",
    "document": "(select sha256 from payouts.documents)",
    "source": "'restatement'",
    "source_id": "'another'",
    "mode": "'auto'",
    "policy_scope": "'seller'",
    "proposed_by": "'somebody'",
    "proposed_at": "now()",
}
# Set once, when it is approved.
APPROVED = {"approved_by": "'somebody'", "approved_at": "approved_at + interval '1 s'"}
# Changed by an approved exception alone.
DEVIATING = {"applied_amount": "applied_amount - 1", "applied_to": "'s2'", "not_before": "'2026-11-08'"}
# Not changed in an adjustment that has ended.
ENDED = {
    "payout_window": "'2026-11-08'",
    "money_reference": "'BANK-2'",
    "money_document": "(select min(sha256) from payouts.documents)",
    "settled_at": "now() + interval '1 s'",
}


def set_one(conn: Connection[Any], table: str, column: str, value: str) -> None:
    conn.execute(f"update payouts.{table} set {column} = {value}")


def columns(conn: Connection[Any], table: str) -> set[str]:
    rows = conn.execute(
        "select column_name from information_schema.columns"
        " where table_schema = 'payouts' and table_name = %s and is_generated = 'NEVER'",
        (table,),
    )
    return {name for (name,) in rows}


@pytest.mark.parametrize("proposed", ["deduction", "fee"], indirect=True)
def test_an_adjustment_stays_what_was_proposed(frozen: Connection[Any], proposed: Kind) -> None:
    assert columns(frozen, "adjustments") == {"status", *PROPOSED, *APPROVED, *DEVIATING, *ENDED}
    frozen.execute("select payouts.store_document(%s, 'application/pdf', session_user::text)", (b"%PDF-1",))
    was = "proposed"
    for status in proposed.way("settled"):
        go_adjustment(frozen, proposed, was, status)
        was = status
        for column, value in (PROPOSED | APPROVED).items():
            with (
                pytest.raises(RestrictViolation, match="does not change"),
                frozen.transaction(),
            ):
                set_one(frozen, "adjustments", column, value)
        for column, value in DEVIATING.items():
            with (
                pytest.raises(RestrictViolation, match=r"deviates without|does not change"),
                frozen.transaction(),
            ):
                set_one(frozen, "adjustments", column, value)
    for column, value in ENDED.items():
        with pytest.raises(RestrictViolation, match="does not change"), frozen.transaction():
            set_one(frozen, "adjustments", column, value)


# What an exception says, and another value of it.
WISHED = {
    "exception_id": "default",
    "adjustment_number": "'ADJ0000002'",
    "deviation": "'skip', to_amount = null",
    "to_amount": "1",
    "to_window": "'2026-11-08', deviation = 'defer', to_amount = null",
    "to_seller": "'s2', deviation = 'out_of_scope', to_amount = null",
    "reason": "'another'",
    "requested_by": "'somebody'",
    "requested_at": "now()",
}
DECIDED = {
    "decision": "'rejected'",
    "decision_note": "'another'",
    "decided_by": "'somebody'",
    "decided_at": "now()",
}


def wish(conn: Connection[Any]) -> None:
    conn.execute(
        "insert into payouts.exceptions (adjustment_number, deviation, to_amount, reason, requested_by)"
        " values (%s, 'amount', 30, 'odd', 'rita')",
        (ADJUSTMENT,),
    )


def decide(conn: Connection[Any], verdict: str, person: str = "anna") -> None:
    conn.execute(
        "update payouts.exceptions"
        " set decision = %s, decision_note = 'so', decided_by = %s, decided_at = now()",
        (verdict, person),
    )


@pytest.mark.parametrize("proposed", ["deduction"], indirect=True)
@pytest.mark.parametrize("verdict", ["approved", "rejected"])
def test_an_exception_is_decided_once_by_another(
    frozen: Connection[Any], proposed: Kind, verdict: str
) -> None:
    assert columns(frozen, "exceptions") == {*WISHED, *DECIDED}
    wish(frozen)
    # Who asked, and who proposed what is asked about.
    with pytest.raises(CheckViolation, match="exceptions_are_decided_by_another"), frozen.transaction():
        decide(frozen, verdict, "rita")
    with (
        pytest.raises(psycopg.DatabaseError, match="olga proposed ADJ0000001: another person has to decide"),
        frozen.transaction(),
    ):
        decide(frozen, verdict, "olga")
    for column, value in WISHED.items():
        with pytest.raises(RestrictViolation, match="does not change"), frozen.transaction():
            set_one(frozen, "exceptions", column, value)
    decide(frozen, verdict)
    for column, value in (WISHED | DECIDED).items():
        with pytest.raises(RestrictViolation, match="does not change"), frozen.transaction():
            set_one(frozen, "exceptions", column, value)
    for other in ("approved", "rejected"):
        with pytest.raises(RestrictViolation, match="does not change"), frozen.transaction():
            decide(frozen, other, "mona")


@pytest.mark.parametrize("proposed", ["deduction"], indirect=True)
def test_an_exception_begins_undecided(frozen: Connection[Any], proposed: Kind) -> None:
    with pytest.raises(RestrictViolation), frozen.transaction():
        frozen.execute(
            "insert into payouts.exceptions (adjustment_number, deviation, reason, requested_by, decision,"
            " decision_note, decided_by, decided_at)"
            " values (%s, 'skip', 'odd', 'rita', 'approved', 'so', 'anna', now())",
            (ADJUSTMENT,),
        )


@pytest.mark.parametrize("proposed", ["deduction"], indirect=True)
def test_an_open_exception_stops_every_step_and_an_approved_one_allows_what_it_says(
    frozen: Connection[Any], proposed: Kind
) -> None:
    wish(frozen)
    for target in proposed.steps["proposed"]:
        with (
            pytest.raises(psycopg.DatabaseError, match="waits for the decision on its exception"),
            frozen.transaction(),
        ):
            state_adjustment(frozen, proposed, target)
    with pytest.raises(RestrictViolation, match="without an approved exception"), frozen.transaction():
        set_one(frozen, "adjustments", "applied_amount", "30")
    with pytest.raises(RestrictViolation, match="without an approved exception"), frozen.transaction():
        decide(frozen, "rejected")
        set_one(frozen, "adjustments", "applied_amount", "30")
    decide(frozen, "approved")
    for column, value in DEVIATING.items():
        with pytest.raises(RestrictViolation, match="without an approved exception"), frozen.transaction():
            set_one(frozen, "adjustments", column, value)
    set_one(frozen, "adjustments", "applied_amount", "30")
    commit(frozen)


@pytest.mark.parametrize("proposed", ["deduction"], indirect=True)
def test_no_line_of_what_waits_or_enters_elsewhere(frozen: Connection[Any], proposed: Kind) -> None:
    bring_adjustment(frozen, proposed, "approved")
    with pytest.raises(psycopg.DatabaseError, match="is not what the build has seen"), frozen.transaction():
        wish(frozen)
        enter(frozen, proposed.books("approved"))
    with pytest.raises(psycopg.DatabaseError, match="is not what the build has seen"), frozen.transaction():
        frozen.execute(
            "insert into payouts.exceptions (adjustment_number, deviation, to_window, reason, requested_by)"
            " values (%s, 'defer', '2026-11-08', 'odd', 'rita')",
            (ADJUSTMENT,),
        )
        decide(frozen, "approved")
        set_one(frozen, "adjustments", "not_before", "'2026-11-08'")
        enter(frozen, proposed.books("approved"))


SCHEDULE_STEPS = {
    "pending": ("processing", "cancelled"),
    # Tried again.
    "processing": ("processing", "completed", "failed", "cancelled"),
    "completed": (),
    # Put aside.
    "failed": ("cancelled",),
    "cancelled": (),
}
WAY_TO_SCHEDULE = {
    "pending": (),
    # The third try is the last.
    "processing": ("processing", "processing"),
    "completed": ("processing", "completed"),
    "failed": ("processing", "processing", "failed"),
    "cancelled": ("cancelled",),
}


def go_schedule(conn: Connection[Any], target: str) -> None:
    """With everything that the status needs."""
    conn.execute(
        "update payouts.payout_schedules set status = %(status)s, triggered_by = 'olga',"
        " triggered_at = coalesce(triggered_at, now()),"
        " retry_count = retry_count + case when %(tried)s then 1 else 0 end,"
        " last_error = case when %(tried)s then 'odd' else last_error end,"
        " next_try_at = case when %(status)s = 'processing' then now() end,"
        " ended_by = case when %(ended)s then 'olga' end, ended_at = case when %(ended)s then now() end,"
        " cancel_reason = case when %(status)s = 'cancelled' then 'odd' end",
        {
            "status": target,
            "tried": target in ("processing", "failed"),
            "ended": target not in ("pending", "processing"),
        },
    )


@pytest.mark.parametrize("was", SCHEDULE_STEPS)
def test_a_schedule_goes_its_way_alone(frozen: Connection[Any], was: str) -> None:
    frozen.execute(
        "insert into payouts.payout_schedules (seller_id, currency, amount, trigger_event, note, created_by)"
        " values ('s1', 'USD', 40, 'manual', 'odd', 'olga')"
    )
    for target in WAY_TO_SCHEDULE[was]:
        go_schedule(frozen, target)
    accepted = []
    for target in SCHEDULE_STEPS:
        try:
            with frozen.transaction(force_rollback=True):
                go_schedule(frozen, target)
                accepted.append(target)
        except RestrictViolation as error:
            assert "it does not change to that" in str(error)
    assert sorted(accepted) == sorted(SCHEDULE_STEPS[was])


# What becomes of an approved one is its payout's way.
REQUEST_STEPS: dict[str | None, tuple[str, ...]] = {
    None: ("approved", "rejected"),
    "approved": ("rejected",),
    "rejected": (),
}


def decide_request(conn: Connection[Any], decision: str | None) -> None:
    conn.execute(
        "update payouts.payout_requests set decision = %(decision)s::text, available = 40,"
        " decided_by = case when %(decision)s::text is not null then 'anna' end,"
        " decided_at = case when %(decision)s::text is not null then now() end,"
        " decision_reason = case %(decision)s::text when 'rejected' then 'odd' else '' end",
        {"decision": decision},
    )


@pytest.mark.parametrize("was", REQUEST_STEPS)
def test_a_request_goes_its_way_alone(frozen: Connection[Any], was: str | None) -> None:
    frozen.execute(
        "insert into payouts.payout_requests (seller_id, currency, amount, reason, requested_by)"
        " values ('s1', 'USD', 40, 'odd', 'olga')"
    )
    if was:
        decide_request(frozen, was)
    accepted = []
    for decision in REQUEST_STEPS:
        try:
            with frozen.transaction(force_rollback=True):
                decide_request(frozen, decision)
                accepted.append(decision)
        except RestrictViolation as error:
            assert "it does not change to that" in str(error)
    assert sorted(filter(None, accepted)) == sorted(REQUEST_STEPS[was])
    assert None not in accepted


def test_the_pairs_are_all_there_are(frozen: Connection[Any]) -> None:
    """No status is missing from this file, and no step is legal that is not written here."""
    for table, name, steps in (
        ("payouts.payouts", "payouts_status_is_known", PAYOUT_STEPS),
        ("payouts.batches", "batches_state_is_known", BATCH_STEPS),
        ("payouts.adjustments", "adjustments_status_is_known", LINE_STEPS),
        ("payouts.payout_schedules", "payout_schedules_status_is_known", SCHEDULE_STEPS),
    ):
        check = one(
            frozen,
            "select pg_get_constraintdef(oid) from pg_constraint"
            " where conrelid = %s::regclass and conname = %s",
            table,
            name,
        )
        assert set(check.split("'")[1::2]) == set(steps)

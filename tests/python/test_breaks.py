"""Every way in which books, ledger and rail can differ is a break, with who has to act; and it goes again."""

from collections.abc import Iterator
from datetime import UTC, date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from compiled_build import Build
from conftest import NewDatabase
from frozen_window import OPERATOR, WINDOW, claimed_window, frozen_window, one, submitted_window
from small_week import NIGHT, START
from weekclose.database import open_connection
from weekclose.explain import explain, show_explanation
from weekclose.policy import effective_vars
from weekclose.postgres import Server
from weekclose.status import show_status, status

BATCH, NEXT_BATCH = f"W{WINDOW}-G1", f"W{WINDOW}-G2"
FIRST, SECOND = "JPO0000001", "JPO0000002"
DATA_TESTS = {
    "assert_frozen_payables_are_accounted_for",
    "assert_batches_are_what_left",
    "assert_each_step_is_booked_once",
    "assert_events_are_booked_once",
}


@pytest.fixture(scope="module")
def built(new_marts: NewDatabase) -> Iterator[Server]:
    """The marts, over nothing: what is live needs no other build."""
    with new_marts() as where:
        yield where


@pytest.fixture
def books(built: Server) -> Iterator[Connection[Any]]:
    """One transaction that is undone."""
    with open_connection(built) as conn, conn.transaction(force_rollback=True):
        conn.execute("alter sequence payouts.payout_number_seq restart")
        yield conn


def breaks(conn: Connection[Any]) -> list[tuple[str, str, str, str, Decimal, Decimal, Decimal]]:
    return conn.execute(
        "select break_type, category, owner, entity, expected, actual, difference"
        " from marts.reconciliation_breaks order by break_type, entity"
    ).fetchall()


def found(kind: str, category: str, owner: str, entity: str, expected: str, actual: str) -> tuple[Any, ...]:
    there, here = Decimal(expected), Decimal(actual)
    return (kind, category, owner, entity, there, here, here - there)


def ask(conn: Connection[Any], *said: dict[str, Any], batch: str = BATCH) -> None:
    """What `weekclose reconcile` does with a look-up in which the rail said this."""
    conn.execute(
        "select payouts.confirm(%s, clock_timestamp(), %s, %s)", (batch, Jsonb(list(said)), OPERATOR)
    )


def item(payout: str, status: str, amount: str, *, final: bool = True) -> dict[str, Any]:
    return {"reference": payout, "status": status, "final": final, "amount": amount}


def event(
    conn: Connection[Any],
    payout: str | None,
    status: str | None,
    amount: str | None,
    kind: str = "payout.completed",
    proves_content: bool = True,
) -> int:
    """Store an event and try to apply it, as the webhook does."""
    number = one(conn, "select count(*) from payouts.rail_events")
    event_id = one(
        conn,
        "select payouts.receive_event('batch', %s, %s, %s, %s, %s, 'USD', null, null, null, now(), %s, '{}')",
        *(f"e{number}", kind, status, payout, amount, proves_content),
    )
    conn.execute("select payouts.apply_events(array[%s], %s)", (event_id, OPERATOR))
    return int(event_id)


def force(conn: Connection[Any], statement: str) -> None:
    """What only somebody who went past every guard could have done."""
    conn.execute("set constraints all immediate")
    conn.execute("set local session_replication_role = replica")
    conn.execute(statement.encode())
    conn.execute("set local session_replication_role = origin")
    conn.execute("set constraints all deferred")


def ago(conn: Connection[Any], table: str, column: str, age: str) -> None:
    """Let time pass for what the guards keep as it is."""
    force(conn, f"update payouts.{table} set {column} = {column} - interval '{age}'")


REFUSAL = {
    "code": "destination_refused",
    "message": "one of them is on a list",
    "items": [{"reference": FIRST, "code": "sanctioned"}],
}


def rejected(conn: Connection[Any]) -> None:
    """The rail has refused the first generation."""
    claimed_window(conn, frozen_window(conn, ["90.00"]))
    conn.execute("select payouts.take_refusal(%s, %s, %s)", (BATCH, Jsonb(REFUSAL), OPERATOR))


def rejected_and_sent_again(conn: Connection[Any]) -> None:
    """The rail has refused the first generation, and has the second one."""
    rejected(conn)
    digest = one(conn, "select payouts.batch_digest(payouts.paid_with(%s, null))", WINDOW)
    conn.execute("select payouts.approve(%s, %s, 'anna')", (WINDOW, digest))
    conn.execute("select payouts.claim_batch(%s, %s, 'batch', '{}', %s)", (NEXT_BATCH, digest, OPERATOR))
    conn.execute("select payouts.take_receipt(%s, 'pb_2', %s)", (NEXT_BATCH, OPERATOR))


# -- no breaks ----------------------------------------------------------------------------------------


def test_a_week_that_goes_well_has_no_break_at_any_step(books: Connection[Any]) -> None:
    frozen_window(books, ["90.00", "30.00"])
    assert breaks(books) == []
    claimed_window(books, WINDOW)
    assert breaks(books) == []
    books.execute("select payouts.take_receipt(%s, 'pb_1', %s)", (BATCH, OPERATOR))
    assert breaks(books) == []
    event(books, FIRST, "completed", "90.00")
    assert breaks(books) == []
    ask(books, item(FIRST, "completed", "90.00"), item(SECOND, "processing", "30.00", final=False))
    assert breaks(books) == []
    ask(books, item(FIRST, "completed", "90.00"), item(SECOND, "failed", "30.00"))
    assert breaks(books) == []
    ask(books, item(FIRST, "returned", "90.00"), item(SECOND, "failed", "30.00"))
    assert breaks(books) == []


def test_what_was_paid_after_the_rail_was_asked_is_no_break(books: Connection[Any]) -> None:
    submitted_window(books, ["90.00"])
    ask(books, item(FIRST, "processing", "90.00", final=False))
    event(books, FIRST, "completed", "90.00")
    assert breaks(books) == []


def test_a_batch_that_was_refused_and_went_out_again_is_no_break(books: Connection[Any]) -> None:
    rejected_and_sent_again(books)
    ask(books, item(FIRST, "completed", "90.00"), batch=NEXT_BATCH)
    assert breaks(books) == []


# -- books against the rail ---------------------------------------------------------------------------


def test_another_amount_waits_for_a_person(books: Connection[Any]) -> None:
    submitted_window(books, ["90.00"])
    ask(books, item(FIRST, "processing", "89.00", final=False))
    other_amount = found("other_amount", "amount", "finance", FIRST, "89.00", "90.00")
    assert breaks(books) == [other_amount]
    ask(books, item(FIRST, "completed", "89.00"))
    assert one(books, "select status from payouts.payouts") == "awaiting_reconciliation"
    assert breaks(books) == [other_amount]


def test_a_late_completion_is_one_until_a_person_has_decided(books: Connection[Any]) -> None:
    submitted_window(books, ["90.00"])
    ask(books, item(FIRST, "failed", "90.00"))
    ago(books, "payouts", "status_changed_at", "1 day")
    frozen_window(books, ["10.00"], window=WINDOW + timedelta(days=7))
    ask(books, item(FIRST, "completed", "90.00"))
    assert breaks(books) == [found("late_completion", "outcome", "finance", FIRST, "90.00", "0.00")]
    books.execute("select payouts.move(%s, 'paid', 'decided')", ([FIRST],))
    assert breaks(books) == []


def test_an_undecided_payout_without_a_payment(books: Connection[Any]) -> None:
    submitted_window(books, ["90.00"])
    books.execute("select payouts.move(%s, 'awaiting_reconciliation', 'odd')", ([FIRST],))
    assert breaks(books) == [found("undecided", "outcome", "finance", FIRST, "0.00", "90.00")]


def test_a_payout_that_only_one_side_has_paid(books: Connection[Any]) -> None:
    submitted_window(books, ["90.00", "30.00"])
    for payout in (FIRST, SECOND):
        event(books, payout, "completed", "90.00" if payout == FIRST else "30.00")
    ask(books, item(FIRST, "processing", "90.00", final=False), item(SECOND, "completed", "30.00"))
    assert breaks(books) == [found("paid_in_books_alone", "outcome", "payouts", FIRST, "0.00", "90.00")]
    force(books, "update payouts.rail_states set status = 'completed', is_final = true")
    assert breaks(books) == []
    books.execute("select payouts.move(%s, 'returned', 'by mistake')", ([SECOND],))
    assert breaks(books) == [found("paid_by_rail_alone", "outcome", "payouts", SECOND, "30.00", "0.00")]


def test_an_item_that_one_side_does_not_know(books: Connection[Any]) -> None:
    submitted_window(books, ["90.00", "30.00"])
    ask(books, item(FIRST, "completed", "90.00"), item("JPO0000009", "completed", "5.00"))
    assert breaks(books) == [
        found("unknown_to_rail", "missing", "payouts", SECOND, "0.00", "30.00"),
        found("unknown_to_us", "missing", "payouts", f"{BATCH}:JPO0000009", "5.00", "0.00"),
    ]
    ask(books, item(SECOND, "completed", "30.00"), item("JPO0000009", "returned", "5.00"))
    assert breaks(books) == []


def test_a_payment_in_two_batches_is_paid_twice(books: Connection[Any]) -> None:
    rejected_and_sent_again(books)
    ask(books, item(FIRST, "completed", "90.00"), batch=NEXT_BATCH)
    ask(books, item(FIRST, "completed", "90.00"))
    twice = found("paid_twice", "duplicate", "finance", FIRST, "180.00", "90.00")
    assert breaks(books) == [twice]
    # Not even the years take it off.
    for weeks in range(1, 9):
        frozen_window(books, ["1.00"], window=WINDOW + timedelta(weeks=weeks))
    assert breaks(books) == [twice]
    ask(books, item(FIRST, "returned", "90.00"))
    assert one(books, "select status from payouts.payouts where payout_number = 'JPO0000001'") == "returned"


def test_an_answer_that_does_not_come_is_a_break_after_three_days(books: Connection[Any]) -> None:
    submitted_window(books, ["90.00"])
    ago(books, "payouts", "status_changed_at", "71 hours")
    assert breaks(books) == []
    ago(books, "payouts", "status_changed_at", "2 hours")
    assert breaks(books) == [found("unanswered", "in_flight", "payouts", FIRST, "0.00", "90.00")]
    assert one(books, "select age > interval '72 hours' from marts.reconciliation_breaks")
    ask(books, item(FIRST, "completed", "90.00"))
    assert breaks(books) == []


def test_a_rail_s_amount_without_measure_does_not_take_the_list_away(books: Connection[Any]) -> None:
    submitted_window(books, ["90.00"])
    ask(books, item(FIRST, "completed", "9" * 40))
    assert [(row[0], row[4]) for row in breaks(books)] == [("other_amount", Decimal("9999999999999999.99"))]


# -- books against themselves -------------------------------------------------------------------------


def test_a_payout_that_is_not_its_frozen_payable_nor_in_the_ledger(books: Connection[Any]) -> None:
    submitted_window(books, ["90.00", "30.00"])
    force(books, f"update payouts.payouts set amount = 91 where payout_number = '{FIRST}'")
    assert breaks(books) == [
        found("not_as_booked", "books", "engineering", FIRST, "90.00", "91.00"),
        found("not_as_frozen", "books", "engineering", FIRST, "90.00", "91.00"),
    ]
    force(books, f"update payouts.payouts set amount = 90 where payout_number = '{FIRST}'")
    force(books, f"update payouts.payouts set status = 'paid' where payout_number = '{SECOND}'")
    assert breaks(books) == [found("not_as_booked", "books", "engineering", SECOND, "0.00", "30.00")]
    force(books, f"delete from payouts.payouts where payout_number = '{SECOND}'")
    missing = found("not_as_frozen", "books", "engineering", f"{WINDOW}:s2:USD", "30.00", "0.00")
    assert breaks(books) == [missing]


# -- events that wait ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "kind", "category", "owner", "expected", "actual"),
    [
        ((None, None, None, "account.closed"), "event_unknown_type", "unknown", "engineering", "0", "0"),
        (("JPO0000009", "completed", "5"), "event_unknown_payout", "missing", "payouts", "5", "0"),
        ((FIRST, "completed", "89"), "event_other_amount", "amount", "payouts", "89", "90"),
    ],
)
def test_an_event_that_alarms(
    books: Connection[Any], said: Any, kind: str, category: str, owner: str, expected: str, actual: str
) -> None:
    submitted_window(books, ["90.00"])
    event_id = event(books, *said)
    assert breaks(books) == [found(kind, category, owner, f"event:{event_id}", expected, actual)]


def test_an_event_about_a_payout_that_has_not_gone_out(books: Connection[Any]) -> None:
    frozen_window(books, ["90.00"])
    event_id = event(books, FIRST, "completed", "90.00")
    assert breaks(books) == [
        found("event_not_submitted", "outcome", "payouts", f"event:{event_id}", "90.00", "0.00")
    ]


def test_an_event_that_waits_for_a_look_up_has_an_hour(books: Connection[Any]) -> None:
    submitted_window(books, ["90.00"])
    event_id = event(books, FIRST, "failed", "90.00", "payout.failed")
    ago(books, "rail_events", "received_at", "59 minutes")
    assert breaks(books) == []
    ago(books, "rail_events", "received_at", "2 minutes")
    waiting = found("event_waiting", "in_flight", "payouts", f"event:{event_id}", "0.00", "0.00")
    assert breaks(books) == [waiting]
    ask(books, item(FIRST, "failed", "90.00"))
    assert breaks(books) == []


def test_an_event_about_a_break_is_not_a_second_one(books: Connection[Any]) -> None:
    submitted_window(books, ["90.00"])
    ask(books, item(FIRST, "completed", "89.00"))
    event(books, FIRST, "completed", "90.00")
    assert [row[0] for row in breaks(books)] == ["other_amount"]


# -- the list -----------------------------------------------------------------------------------------


def test_a_break_has_its_seller_window_and_currency(books: Connection[Any]) -> None:
    submitted_window(books, ["90.00"])
    ask(books, item(FIRST, "completed", "89.00"))
    with books.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute("select * from marts.reconciliation_breaks").fetchone()
    assert row is not None
    assert list(row) == [
        *("break_type", "entity", "seller_id", "payout_window", "currency", "expected", "actual"),
        *("difference", "detected_at", "category", "owner", "age"),
    ]
    assert (row["seller_id"], row["payout_window"], row["currency"]) == ("s1", date(2026, 11, 1), "USD")


def test_the_data_tests_hold_all_the_way(books: Connection[Any], build: Build) -> None:
    rejected_and_sent_again(books)
    submitted_window(books, ["5.00", "6.00", "7.00"], window=WINDOW + timedelta(days=7))
    event(books, "JPO0000002", "completed", "5.00")
    ask(
        books,
        item("JPO0000002", "completed", "5.00"),
        item("JPO0000003", "failed", "6.00"),
        item("JPO0000004", "returned", "7.00"),
        batch=f"W{WINDOW + timedelta(days=7)}-G1",
    )
    assert {name for name, _, _ in build.tests} >= DATA_TESTS
    found = build.red(books, effective_vars({"settlement_start": START.isoformat()}, NIGHT))
    assert {result.name for result in found} & DATA_TESTS == set()


# -- what the commands show of it -----------------------------------------------------------------------


def told(conn: Connection[Any], capsys: pytest.CaptureFixture[str], window: str | None = "2026-11-01") -> str:
    show_status(status(conn, window))
    return capsys.readouterr().out


def next_steps(conn: Connection[Any]) -> list[str]:
    """What a window's status says is to be done."""
    return status(conn, "2026-11-01").next


def test_status_names_the_next_step_of_a_batch(
    books: Connection[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEEKCLOSE_RAIL_MAX_PROCESSING_SECONDS", "")
    rejected(books)
    digest = one(books, "select payouts.batch_digest(payouts.paid_with(%s, null))", WINDOW)
    approve = f"weekclose approve 2026-11-01 --digest {digest}, by another person"
    refusal = (
        f"the rail refused batch {BATCH} because of {FIRST} (destination_refused: one of them is on a list)"
    )
    assert next_steps(books) == [f"window 2026-11-01: {refusal}; hold what cannot be paid, then {approve}"]
    assert f"batch {NEXT_BATCH}, generation 2: frozen\n    {refusal}\n" in told(books, capsys)
    books.execute("select payouts.approve(%s, %s, 'anna')", (WINDOW, digest))
    assert next_steps(books) == ["window 2026-11-01 is approved by anna: run weekclose submit 2026-11-01"]
    books.execute("select payouts.claim_batch(%s, %s, 'batch', '{}', %s)", (NEXT_BATCH, digest, OPERATOR))
    assert next_steps(books) == ["window 2026-11-01: its batch is being handed over right now"]
    books.execute("select payouts.end_attempts(%s, 'unknown', 'no answer in time')", (NEXT_BATCH,))
    last = one(books, "select max(ended_at) from payouts.submit_attempts")
    unknown = (
        "window 2026-11-01: what the rail did with its batch is not known: run weekclose submit 2026-11-01"
    )
    again_at = (last + timedelta(seconds=300)).astimezone(UTC)
    assert next_steps(books) == [f"{unknown} after {again_at:%Y-%m-%d %H:%M:%S} UTC"]
    assert "the last attempt: no answer in time" in told(books, capsys)
    monkeypatch.setenv("WEEKCLOSE_RAIL_MAX_PROCESSING_SECONDS", "0")
    assert next_steps(books) == [unknown]
    books.execute("select payouts.take_receipt(%s, 'pb_2', %s)", (NEXT_BATCH, OPERATOR))
    assert next_steps(books) == [
        "window 2026-11-01 is with the rail, which has not answered for 1 of its payouts: "
        "run weekclose reconcile 2026-11-01"
    ]
    assert "the rail's receipt pb_2" in told(books, capsys)
    ask(books, item(FIRST, "completed", "90.00"), batch=NEXT_BATCH)
    assert next_steps(books) == []


def test_status_says_where_the_frozen_money_is_and_who_has_to_act(
    books: Connection[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    submitted_window(books, ["90.00", "30.00", "20.00", "7.00"])
    event(books, FIRST, "completed", "90.00")
    ask(books, item(SECOND, "failed", "30.00"), item("JPO0000003", "completed", "19.00"))
    event(books, "JPO0000004", "failed", "7.00", "payout.failed")
    event(books, None, None, None, "account.closed")
    (money,) = status(books, "2026-11-01").payouts
    assert (money["frozen"], money["paid"], money["rolled"], money["in_flight"]) == (
        *(Decimal("147.00"), Decimal("90.00"), Decimal("30.00"), Decimal("27.00")),
    )
    assert next_steps(books)[1:] == [
        "window 2026-11-01: JPO0000003 left otherwise than promised, a person decides: "
        "weekclose resolve JPO0000003 accept or retry, with --note",
        "1 event of the rail waits for a look-up: run weekclose reconcile",
    ]
    ago(books, "payouts", "status_changed_at", "50 hours")
    lines = [line.split() for line in told(books, capsys).splitlines()]
    other_amount = ["other_amount", "JPO0000003", "s3", "USD", "19.00", "20.00", "1.00"]
    assert [*other_amount, "amount", "finance", "2", "days"] in lines
    overall = told(books, capsys, None)
    assert "Breaks, by who has to act" in overall
    assert [line.split()[:4] for line in overall.splitlines() if "event_unknown_type" in line] == [
        ["engineering", "unknown", "event_unknown_type", "1"]
    ]
    assert "1 event of the rail waits, unknown type: look at weekclose events list" in overall


def test_explain_says_where_a_payout_stands(
    books: Connection[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    submitted_window(books, ["90.00"])
    said = item(FIRST, "completed", "89.00") | {"external_reference": "0xabc"}
    ask(books, said)
    show_explanation(explain(books, "s1", "2026-11-01"))
    out = capsys.readouterr().out
    assert f"Payout {FIRST}: awaiting reconciliation since " in out
    assert f"  with batch {BATCH}, submitted through rail batch, receipt pb_2026-11-01\n" in out
    assert "completed, finally, of 89.00\n  89.00 left on " in out
    assert ", reference 0xabc; proved by look-up of " in out
    assert f"  {FIRST} is of 90.00; what left is 89.00 (difference 1.00, for finance)" in out

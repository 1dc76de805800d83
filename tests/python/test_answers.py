"""Status and explain: every row is accounted for, and the reasons given are the true ones."""

import json
import unicodedata
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from closed_weeks import HOSTILE_ID, HOSTILE_NAME, payout_of
from conftest import RunCommand
from controls import policy
from sample_documents import pdf
from weekclose import status as status_module
from weekclose.adjustments import Proposal, propose
from weekclose.database import open_connection
from weekclose.errors import NothingToDo, UsageError, WeekcloseError
from weekclose.explain import Explanation, Line, explain, show_explanation
from weekclose.postgres import Server
from weekclose.reading import (
    adjustment_step,
    calendar,
    parse_window,
    reasons_in_words,
    shown,
    snapshot,
)
from weekclose.status import show_status, status


@pytest.fixture
def weeks(closed_weeks: Server) -> Iterator[Connection[Any]]:
    """One snapshot of the closed weeks."""
    with open_connection(closed_weeks) as conn, snapshot(conn):
        yield conn


def only(conn: Connection[Any], seller_id: str, window: str) -> Explanation:
    (explained,) = explain(conn, seller_id, window).currencies
    return explained


def line(conn: Connection[Any], seller_id: str, window: str, line_id: str) -> Line:
    return next(each for each in only(conn, seller_id, window).lines if each.line_id == line_id)


def printed(conn: Connection[Any], capsys: pytest.CaptureFixture[str], seller_id: str, window: str) -> str:
    show_explanation(explain(conn, seller_id, window))
    return capsys.readouterr().out


def all_rows(conn: Connection[Any]) -> list[tuple[str, str]]:
    return conn.execute("select seller_id, payout_window::text from marts.settlement_windows").fetchall()


# -- explain ----------------------------------------------------------------------------------------


def test_every_row_is_explained_to_the_cent(weeks: Connection[Any]) -> None:
    for seller_id, window in all_rows(weeks):
        explained = explain(weeks, seller_id, window)
        explained.check()
        for currency in explained.currencies:
            assert currency.carry_in.changed_since == 0, (seller_id, window)
            moved = sum((each.cash for each in currency.lines), Decimal(0))
            assert moved + currency.row["carry_in"] == currency.balance
            if currency.row["status"] != "before_start":
                assert currency.balance == currency.row["payable"] + currency.row["carry_out"]


@pytest.mark.parametrize(
    ("seller_id", "window", "line_id", "why"),
    [
        ("anna", "2026-10-25", "sale:a1", "Captured in this window."),
        (
            "anna",
            "2026-10-25",
            "refund:ra1",
            "Happened to an order of this window while its reserve was open.",
        ),
        (
            "anna",
            "2026-11-01",
            "dispute_opened:da1",
            "Happened on 2026-11-10 to an order of window 2026-10-25, whose reserve was over: 7 days before, "
            "2026-11-03, lies in this window. Of the claim of 80.00 it takes 63.00: never more than what the "
            "seller still has of the order.",
        ),
        (
            "hugo",
            "2026-11-01",
            "refund:rh1",
            "Happened to an order of this window while its reserve was open. What the dispute took shrinks "
            "by 90.00: nothing is taken twice.",
        ),
        (
            "steady",
            "2026-11-01",
            "dispute_closed:ds1",
            "Happened to an order of this window while its reserve was open.",
        ),
        ("anna", "2026-10-18", "sale:a0", "Captured in this window."),
    ],
)
def test_why_a_line_is_in_its_window(
    weeks: Connection[Any], seller_id: str, window: str, line_id: str, why: str
) -> None:
    assert line(weeks, seller_id, window, line_id).why == why


def test_a_late_line_says_what_it_missed_and_when_it_came(weeks: Connection[Any]) -> None:
    late = line(weeks, "anna", "2026-11-01", "sale:a3")
    dates = calendar(weeks)
    frozen_at = weeks.execute(
        "select frozen_at from payouts.frozen_windows where payout_window = '2026-10-25'"
    ).fetchone()
    assert (late.is_late, late.home_window) == (True, date(2026, 10, 25))
    assert frozen_at is not None
    assert late.loaded_at is not None
    assert late.loaded_at > frozen_at[0]
    assert late.why == (
        f"Captured in window 2026-10-25. Arrived late: window 2026-10-25 was frozen on "
        f"{dates.local(frozen_at[0])} (as of 2026-11-08 23:00-05:00), and this was loaded on "
        f"{dates.local(late.loaded_at)}. So it is in the first window that was open then."
    )


def test_times_are_shown_on_the_local_clock(
    weeks: Connection[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    first = printed(weeks, capsys, "anna", "2026-10-25")
    assert "from 2026-10-25 to 2026-11-01 00:00-04:00 in America/New_York" in first
    assert "reserve closes 2026-11-08 00:00-05:00" in first
    assert "2026-10-27 10:00-04:00   90.00  net 90.00  cash 90.00  sale:a1" in first
    assert "2026-11-03 09:00-05:00  -27.00  net 63.00  cash 63.00  refund:ra1 of order a1" in first
    assert "2026-11-14 23:59:59.999999-05:00" in printed(weeks, capsys, "zoe", "2026-11-08")


def test_carried_in_lists_the_payouts_as_they_stood_then(
    weeks: Connection[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    def payouts(seller_id: str, window: str) -> list[tuple[str, Decimal, bool]]:
        carried = only(weeks, seller_id, window).carry_in
        return [(str(p["payout_window"]), p["amount"], p["had_left"]) for p in carried.payouts]

    ninety, nine = Decimal("90.00"), Decimal("9.00")
    # fay's payout failed before the second window was frozen, gil's after it, and after the last build.
    assert payouts("fay", "2026-11-01") == [("2026-10-25", ninety, False)]
    assert payouts("gil", "2026-11-01") == [("2026-10-25", ninety, True)]
    assert payouts("gil", "2026-11-08") == [("2026-11-01", nine, True), ("2026-10-25", ninety, True)]
    back = printed(weeks, capsys, "fay", "2026-11-01")
    assert "cash of 1 frozen window, 2026-10-25  90.00" in back
    assert "of window 2026-10-25, failed, 90.00 (account closed)" in back
    gone = printed(weeks, capsys, "gil", "2026-11-08")
    assert "cash of 2 frozen windows, 2026-10-25 to 2026-11-01" in gone
    assert "of window 2026-10-25, failed since" in gone


@pytest.mark.parametrize(
    ("seller_id", "window", "payable"),
    [
        ("anna", "2026-10-18", "Before start: settled elsewhere, before settlement began here."),
        ("anna", "2026-10-25", "The whole balance of 63.00 is payable. Paid."),
        (
            "bob",
            "2026-10-25",
            "Payable is the balance of 150.00 less the 100.00 that stay in the balance of a freelancer. "
            "Ready: it waits for its batch, nothing blocks it.",
        ),
        (
            "bob",
            "2026-11-01",
            "Nothing is payable: the balance of 100.00 is not above the 100.00 that stay in the balance of a "
            "freelancer.",
        ),
        ("hugo", "2026-11-01", "There is nothing to pay."),
        (
            "carl",
            "2026-11-01",
            "The whole balance of 1,000.00 is payable. Blocked: the seller's account is not active. The "
            "money stays in the balance.",
        ),
        ("eve", "2026-11-01", "The seller owes 90.00: nothing is payable, the debt passes on."),
        (
            "zoe",
            "2026-11-08",
            "Pending: its reserve is open, nothing is payable yet. It closes 2026-11-22 00:00-05:00.",
        ),
    ],
)
def test_payable_in_words(weeks: Connection[Any], seller_id: str, window: str, payable: str) -> None:
    assert only(weeks, seller_id, window).payable == payable


def test_every_block_reason_has_words() -> None:
    reasons = (
        *("manual_review", "seller_inactive", "no_rail", "invalid_wallet", "currency_mismatch"),
        *("wallet_recently_changed", "on_hold", "exception_pending"),
    )
    assert all("_" not in reasons_in_words([reason]) for reason in reasons)


def test_an_adjustment_is_a_line_that_says_who_brought_it(weeks: Connection[Any]) -> None:
    assert line(weeks, "nora", "2026-11-01", "adjustment:ADJ0000003").why == (
        "A deduction: broken shelf (between us). Proposed by olga, approved by the policy."
    )
    over = payout_of(weeks, "mia")
    assert line(weeks, "mia", "2026-11-01", "adjustment:ADJ0000001").why == (
        f"A deduction: mismatch of {over} (the bank says 95). It is because of {over} (a mismatch). "
        "Proposed by rita, approved by the policy."
    )


def test_debts_are_settled_by_the_balance_and_the_rest_stays_open(
    weeks: Connection[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    debt = "  ADJ0000003 of window 2026-11-01, 50.00 (broken shelf): "
    assert f"{debt}9.00 by this window, 41.00 open" in printed(weeks, capsys, "nora", "2026-11-01")
    assert f"{debt}9.00 settled before, 41.00 open" in printed(weeks, capsys, "nora", "2026-11-08")


def test_obligations_that_are_in_no_window_say_what_they_wait_for(
    weeks: Connection[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        "  ADJ0000004, credit of 20.00 (kind words): olga asks for: amount 12.00. Another person decides: "
        "weekclose exception approve 1 --reason '', or reject"
    ) in printed(weeks, capsys, "olaf", "2026-11-01")
    assert (
        "  ADJ0000005, invoiced fee of 15.00 (photo service): waits for the money: "
        "weekclose adjust settle ADJ0000005 --reference ''"
    ) in printed(weeks, capsys, "sven", "2026-11-01")


def test_money_that_came_between_the_windows_is_in_the_carry_in(
    weeks: Connection[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    told = printed(weeks, capsys, "rosa", "2026-11-01")
    assert told.splitlines()[(at := told.splitlines().index("Carried in")) + 1 : at + 4] == [
        "  cash of 1 frozen window, 2026-10-25       -90.00",
        "  + money that came for ADJ0000006, WIRE-3   90.00",
        "  = carried in                                0.00",
    ]


def test_a_payout_says_what_left_what_proves_it_and_what_people_decided(
    weeks: Connection[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    by_hand = printed(weeks, capsys, "paul", "2026-10-25")
    assert "90.00 left on 2026-11-08 23:00-05:00 by hand, by olga, reference BANK-1; proved by" in by_hand
    assert sha256(pdf("the bank's letter")).hexdigest() in by_hand
    assert "reversed for duplicate_payment by rita on " in by_hand
    assert ": paid in cash before; ADJ0000002 follows" in by_hand
    accepted = printed(weeks, capsys, "mia", "2026-10-25")
    assert "  95.00 left on " in accepted and "proved by event " in accepted
    assert "  accepted as it left by rita on " in accepted
    waiting = payout_of(weeks, "mia", date(2026, 11, 1))
    assert f"  a person decides: weekclose resolve {waiting} accept or retry" in (
        printed(weeks, capsys, "mia", "2026-11-01")
    )
    assert "  a person pays it: weekclose execute " in printed(weeks, capsys, "paul", "2026-11-01")


def test_debts_that_its_balance_does_not_leave_open_are_said_to_be_wrong(closed_weeks: Server) -> None:
    with open_connection(closed_weeks) as conn, conn.transaction(force_rollback=True):
        conn.execute("alter table payouts.adjustment_allocations disable trigger user")
        conn.execute(
            "update payouts.adjustment_allocations set amount = 8 where adjustment_number = 'ADJ0000003'"
        )
        with pytest.raises(WeekcloseError, match=r"nora, .* the debts of its adjustments are off by 1\.00"):
            explain(conn, "nora", "2026-11-01").check()


def test_breaks_and_what_settles_nothing_stand_with_the_lines(
    weeks: Connection[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    restated = printed(weeks, capsys, "bob", "2026-10-25")
    assert "sale:b1 was settled with 150.00; its raw row now says 143.33, the line stays" in restated
    other_source = printed(weeks, capsys, "anna", "2026-11-01")
    assert "a2 was settled with a gross of 200.00; a second source says 199.99" in other_source
    assert "order a9: order cancelled" in printed(weeks, capsys, "anna", "2026-10-25")


def test_each_currency_stands_alone(weeks: Connection[Any]) -> None:
    explained = explain(weeks, HOSTILE_ID, "2026-11-01")
    assert [(each.row["currency"], each.balance, len(each.lines)) for each in explained.currencies] == [
        ("EUR", Decimal("30.00"), 1),
        ("USD", Decimal("90.00"), 1),
    ]


def test_a_row_that_is_not_its_lines_is_said_to_be_wrong(closed_weeks: Server) -> None:
    with open_connection(closed_weeks) as conn, conn.transaction(force_rollback=True):
        conn.execute("delete from intermediate.int_order_events where line_id = 'sale:a2'")
        with pytest.raises(
            WeekcloseError,
            match=r"anna, window 2026-11-01, USD: the row says gross 250\.00, its lines add up to 50\.00",
        ):
            explain(conn, "anna", "2026-11-01").check()


def test_json_carries_the_same_numbers(closed_weeks: Server, weekclose: RunCommand) -> None:
    result = weekclose("explain", "anna", "2026-11-01", "--json", database=closed_weeks, PGTZ="Asia/Tokyo")
    assert (result.returncode, result.stderr) == (0, "")
    answer = json.loads(result.stdout)
    (currency,) = answer["currencies"]
    assert currency["lines"][-1]["running"] == currency["totals"]
    assert currency["totals"]["net"] == currency["row"]["net"] == "225.00"
    assert currency["lines"][0]["event_at"] == "2026-10-28T14:00:00+00:00"


# -- status -----------------------------------------------------------------------------------------


def test_status_counts_what_the_windows_hold(closed_weeks: Server, weekclose: RunCommand) -> None:
    result = weekclose("status", "--json", database=closed_weeks)
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert (found["last_run"]["outcome"], found["last_run"]["red"]) == ("frozen", [])
    assert [(row["payout_window"], row["state"], row["batch_state"]) for row in found["windows"]] == [
        ("2026-10-25", "frozen", "frozen"),
        ("2026-11-01", "frozen", "frozen"),
        ("2026-11-08", "reserve open", None),
        ("2026-11-15", "running", None),
    ]
    with open_connection(closed_weeks) as conn:
        expected = conn.execute(
            "select payout_window::text, currency, status, count(*)::int, sum(payable)::text"
            " from marts.settlement_windows where status <> 'before_start'"
            " group by payout_window, currency, status order by payout_window, currency, status"
        ).fetchall()
    assert [
        (row["payout_window"], row["currency"], row["status"], int(row["sellers"]), row["payable"])
        for row in found["amounts"]
    ] == expected
    assert (
        "window 2026-11-08 is due when its reserve closes, 2026-11-22 00:00-05:00: "
        "the Sunday run after that freezes it"
    ) in found["next"]


def test_status_says_what_a_person_has_to_decide_or_to_pay(
    weeks: Connection[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    paul, mia = (payout_of(weeks, seller_id, date(2026, 11, 1)) for seller_id in ("paul", "mia"))
    steps = [
        "ADJ0000004: olga asks for: amount 12.00. Another person decides: "
        "weekclose exception approve 1 --reason '', or reject",
        f"window 2026-11-01: {mia} left otherwise than promised, a person decides: "
        f"weekclose resolve {mia} accept or retry, with --note",
        f"window 2026-11-01: {paul} is paid by hand: "
        f"weekclose execute {paul} --reference R --amount 90.00 --proof FILE",
    ]
    for found in (status(weeks), status(weeks, "2026-11-01")):
        assert [step for step in found.next if step in steps] == steps
        assert [(row["class"], row["adjustments"], row["amount"]) for row in found.adjustments] == [
            ("carry_forward_deduction", 3, Decimal("-145.00"))
        ]
    first = status(weeks, "2026-10-25")
    assert (first.adjustments, first.exceptions, first.waiting) == ([], [], [])
    (money,) = first.payouts
    # What was reversed has been paid.
    assert money["paid"] == Decimal("333.00")
    show_status(status(weeks))
    told = capsys.readouterr().out
    assert "Open exceptions" in told and "Payouts that wait for a person" in told


def test_an_adjustment_that_waits_to_be_selected_is_counted(closed_weeks: Server) -> None:
    with open_connection(closed_weeks) as conn, conn.transaction(force_rollback=True):
        policy(conn, "carry_forward_credit", "manual", value="zoe")
        proposal = Proposal("zoe", "USD", "carry_forward_credit", Decimal("3.00"), "sorry", "late reply")
        number = propose(conn, proposal, None, "olga")
        assert (
            "1 adjustment waits to be selected or cancelled: weekclose adjust list --status proposed"
        ) in status(conn).next
        (owed,) = only(conn, "zoe", "2026-11-08").waiting
        assert adjustment_step(owed) == (
            f"waits to be selected: weekclose adjust apply {number} --seller zoe --currency USD"
        )


def test_status_of_a_window_names_what_does_not_go_out(
    weeks: Connection[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_module, "ROWS_SHOWN", 1)
    found = status(weeks, "2026-10-25")
    assert [(row["seller_id"], row["payable"]) for row in found.not_paid] == [
        ("carl", Decimal("1000.00")),
        ("fay", Decimal("90.00")),
        ("gil", Decimal("90.00")),
    ]
    show_status(found)
    told = capsys.readouterr().out
    assert "the seller's account is not active" in told
    assert "and 2 more: 180.00 USD" in told
    assert found.windows[0]["content_digest"] in told
    assert "restatement" in told


def test_status_before_the_first_build(
    conn: Connection[Any], capsys: pytest.CaptureFixture[str], weekclose: RunCommand, database: Server
) -> None:
    never = weekclose("status", database=database)
    assert never.returncode == 5
    assert never.stderr == "weekclose: nothing is built yet: run weekclose load PATH, then weekclose sunday\n"
    conn.execute(
        "insert into payouts.warehouse_runs"
        " (run_id, as_of, started_at, finished_at, actor, outcome, message, settings, results)"
        " values (gen_random_uuid(), '2026-11-15 23:00Z', now(), now(), 'tester', 'refused', 'orders is red',"
        """ '{}', '{"failed": [{"name": "orders", "status": "error", "failures": 0, "message": "stale"}]}')"""
    )
    show_status(status(conn))
    assert capsys.readouterr().out.splitlines() == [
        "Last run: refused, as of 2026-11-15 23:00:00+00:00, by tester",
        "  orders is red",
        "  red: orders: stale",
        "Next: put right what stopped the last run, then run weekclose sunday again",
    ]


def test_a_database_without_tables_says_what_to_do(empty_conn: Connection[Any]) -> None:
    with pytest.raises(NothingToDo, match="run weekclose db migrate"):
        status(empty_conn)


# -- what both are asked ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (("explain", "nobody", "2026-11-01"), 2, "seller nobody is not known"),
        (("explain", "anna", "soon"), 2, "window 'soon' is not a date: write its first day, like 2026-11-01"),
        (
            ("status", "2026-11-04"),
            2,
            "2026-11-04 is a wednesday, not a window's first day: it lies in window 2026-11-01",
        ),
        (
            ("statement", "zoe", "2026-11-01"),
            5,
            "seller zoe has no row in window 2026-11-01: it has 2026-11-08",
        ),
        (
            ("status", "2031-01-05"),
            5,
            "window 2031-01-05 holds nothing: weekclose status names those that do",
        ),
    ],
)
def test_one_clear_line_and_the_exit_code(
    closed_weeks: Server, weekclose: RunCommand, arguments: tuple[str, ...], exit_code: int, message: str
) -> None:
    result = weekclose(*arguments, database=closed_weeks)
    assert (result.returncode, result.stdout, result.stderr) == (exit_code, "", f"weekclose: {message}\n")


@pytest.mark.parametrize("text", ["", "2026-11-1", "20261101", "2026-W44-7", "0001-01-01", "2026-11-01 "])
def test_a_window_is_written_one_way(weeks: Connection[Any], text: str) -> None:
    with pytest.raises(UsageError):
        parse_window(text, calendar(weeks))


def test_each_day_lies_in_its_window(weeks: Connection[Any]) -> None:
    dates = calendar(weeks)
    for days in range(7):
        assert dates.window_of(date(2026, 10, 25) + timedelta(days)) == date(2026, 10, 25)
    assert parse_window("2026-10-25", dates) == date(2026, 10, 25)


def test_a_seller_without_a_row_and_one_that_is_no_text(weeks: Connection[Any]) -> None:
    with pytest.raises(NothingToDo, match="nothing of it has settled in any window"):
        explain(weeks, "idle", "2026-11-01")
    with pytest.raises(UsageError, match=r"seller \\xff is not known"):
        explain(weeks, "\udcff", "2026-11-01")


def test_an_answer_is_one_snapshot_and_changes_nothing(closed_weeks: Server) -> None:
    with open_connection(closed_weeks) as reader, open_connection(closed_weeks) as writer:
        count = "select count(*) from raw.rejected_rows"
        with snapshot(reader):
            before = reader.execute(count).fetchone()
            writer.execute(
                "insert into raw.rejected_rows (load_id, table_name, file_name, line_number, reason, content)"
                " values (gen_random_uuid(), 'orders', 'o.csv', 1, 'because', '')"
            )
            assert reader.execute(count).fetchone() == before
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), reader.transaction():
                reader.execute("delete from raw.rejected_rows")


def test_hostile_text_cannot_move_the_cursor(
    weeks: Connection[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    told = printed(weeks, capsys, HOSTILE_ID, "2026-11-01")
    show_status(status(weeks, "2026-11-01"))
    told += capsys.readouterr().out
    isolates = "\u2068\u2069"
    assert {c for c in told if unicodedata.category(c)[0] == "C"} <= set("\n" + isolates)
    assert "\\x1b[31mDora\\n\\x9b2J\\u202egro.live" in told
    assert max(map(len, told.splitlines())) < 400
    assert told.count("\u2068") == told.count("\u2069") > 0


def test_text_that_runs_backwards_does_not_turn_its_neighbours() -> None:
    assert shown("abc") == "abc"
    assert shown("\u05d3\u05d5\u05e8\u05d4") == "\u2068\u05d3\u05d5\u05e8\u05d4\u2069"
    assert "\n" not in shown(HOSTILE_NAME)

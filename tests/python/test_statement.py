"""The seller's receipt: across, down and from opening to closing it adds up, or there is none."""

import csv
import io
import json
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from psycopg import Connection

from closed_weeks import HOSTILE_ID, conclude, payout_of
from conftest import RunCommand
from weekclose.database import open_connection
from weekclose.errors import WeekcloseError
from weekclose.postgres import Server
from weekclose.reading import calendar, snapshot
from weekclose.statement import AMOUNTS, Statement, receipt, statements


@pytest.fixture
def weeks(closed_weeks: Server) -> Iterator[Connection[Any]]:
    """One snapshot of the closed weeks."""
    with open_connection(closed_weeks) as conn, snapshot(conn):
        yield conn


def only(conn: Connection[Any], seller_id: str, window: str) -> Statement:
    (made,) = statements(conn, seller_id, window)
    return made


def test_every_statement_adds_up(weeks: Connection[Any]) -> None:
    asked = weeks.execute(
        "select distinct seller_id, payout_window::text from marts.settlement_windows"
    ).fetchall()
    count = 0
    for seller_id, window in asked:
        for made in statements(weeks, seller_id, window):
            count += 1
            for entry in made.entries:
                assert entry.amount == sum(getattr(entry, name) for name in AMOUNTS)
            lines = sum((entry.amount for entry in made.entries), Decimal(0))
            assert made.totals["amount"] == lines
            assert made.opening + lines == made.payout + made.closing
    rows = weeks.execute("select count(*) from marts.settlement_windows").fetchone()
    assert (count,) == rows


def test_a_receipt_reads_well(weeks: Connection[Any]) -> None:
    made = only(weeks, "anna", "2026-11-01")
    told = [line.rstrip() for line in receipt(made, calendar(weeks))]
    assert (
        told
        == f"""\
Statement for 2026-11-01 to 2026-11-07, days in America/New_York
Seller     anna (Anna's Shop)
Currency   USD
Status     Ready: it waits for its batch, nothing blocks it.
Payout     {made.payout_number}, 162.00 USD by TRC-20 to TR7NHq...Lj6t
Disputes   the dispute window closed 2026-11-15 00:00-05:00; what came later is in a later statement

date        order  description                     gross    fees  refunds  disputes  amount
2026-10-28  a3     Order (arrived late)            50.00   -5.00                      45.00
2026-11-02  a2     Order                          200.00  -20.00                     180.00
2026-11-10  a1     Dispute da1 opened, held back                             -63.00  -63.00
                   Total                          250.00  -25.00     0.00    -63.00  162.00

  Opening balance             0.00
  + orders                  250.00
  + fees                    -25.00
  + refunds                   0.00
  + disputes                -63.00
  + adjustments               0.00
  = balance                 162.00
  Payout {made.payout_number}, ready  162.00
  + carried forward           0.00
  = balance                 162.00

Your balances as of 2026-11-15 23:00-05:00
  Pending              0.00
  Available          162.00
  On its way to you    0.00""".splitlines()
    )


def test_what_is_held_and_what_is_due_are_two_numbers(weeks: Connection[Any]) -> None:
    made = only(weeks, "steady", "2026-11-08")
    assert (made.balances.pending, made.balances.available) == (Decimal("63.00"), Decimal("63.00"))
    told = receipt(made, calendar(weeks))
    open_until = "the dispute window is open until 2026-11-22 00:00-05:00"
    assert f"Disputes   {open_until}; until then this statement may change" in told
    assert "  Pending, held until 2026-11-22 00:00-05:00 and later  63.00" in told
    assert any(line.startswith("Status     Pending: its reserve is open") for line in told)


def test_a_failed_payout_says_why_and_a_paid_one_carries_its_reference(weeks: Connection[Any]) -> None:
    failed = only(weeks, "fay", "2026-10-25")
    assert (failed.status, failed.failure_reason) == ("failed", "account closed")
    assert (
        "Status     Failed: the payment rail did not pay (account closed). The money is back in the balance."
    ) in receipt(failed, calendar(weeks))
    assert only(weeks, "fay", "2026-11-01").opening == Decimal("90.00")
    paid = only(weeks, "anna", "2026-10-25")
    assert paid.external_reference == f"TX-{paid.payout_number}"
    told = receipt(paid, calendar(weeks))
    assert f"Reference  TX-{paid.payout_number}" in told
    assert paid.paid_at is not None
    assert f"Paid       {calendar(weeks).local(paid.paid_at)}" in told
    assert failed.came_back_at is not None
    assert f"Failed     {calendar(weeks).local(failed.came_back_at)}" in receipt(failed, calendar(weeks))


def test_a_returned_payout_says_when_it_went_and_when_it_came_back(closed_weeks: Server) -> None:
    with open_connection(closed_weeks) as conn, conn.transaction(force_rollback=True):
        conclude(conn, payout_of(conn, "anna"), "returned", None, reason="closed")
        returned = only(conn, "anna", "2026-10-25")
        told = receipt(returned, calendar(conn))
        dates = calendar(conn)
    assert returned.submitted_at is not None
    assert returned.paid_at is not None
    assert returned.came_back_at is not None
    assert [line for line in told if line.startswith(("Status", "Submitted", "Paid", "Returned"))] == [
        "Status     Returned: it came back after it was paid (closed). The money is back in the balance.",
        f"Submitted  {dates.local(returned.submitted_at)}",
        f"Paid       {dates.local(returned.paid_at)}",
        f"Returned   {dates.local(returned.came_back_at)}",
    ]


def test_an_adjustment_is_a_line_with_its_reason_and_without_the_note(weeks: Connection[Any]) -> None:
    made = only(weeks, "nora", "2026-11-01")
    told = receipt(made, calendar(weeks))
    (line,) = [line for line in told if "ADJ0000003" in line and "Adjustment" in line]
    assert line.split()[1:] == ["ADJ0000003", "Adjustment:", "broken", "shelf", "-50.00", "-50.00"]
    assert "  + adjustments      -50.00" in told
    assert told[-2:] == [
        "Open obligations; what you owe is negative",
        "  ADJ0000003, broken shelf: -41.00 of -50.00, in your balance since 2026-11-01; "
        "your sales settle it",
    ]
    assert not [line for line in told if "between us" in line or "olga" in line]


@pytest.mark.parametrize(
    ("seller_id", "told"),
    [
        ("sven", "  ADJ0000005, photo service: -15.00, to be paid by invoice INV-7"),
        ("olaf", "  ADJ0000004, kind words: 20.00, is being looked at"),
    ],
)
def test_what_is_open_says_how_it_ends(weeks: Connection[Any], seller_id: str, told: str) -> None:
    assert receipt(only(weeks, seller_id, "2026-11-01"), calendar(weeks))[-1] == told


def test_what_really_left_and_what_was_reversed(weeks: Connection[Any]) -> None:
    dates = calendar(weeks)
    otherwise = only(weeks, "mia", "2026-10-25")
    (left,) = otherwise.paid_otherwise
    assert (left.amount, otherwise.payout, otherwise.followed_by) == (
        *(Decimal("95.00"), Decimal("90.00"), ["ADJ0000001"]),
    )
    reference = f"TX-{otherwise.payout_number}"
    assert (f"Left       95.00 USD on {dates.local(left.executed_at)}, reference {reference}") in receipt(
        otherwise, dates
    )
    reversed_ = only(weeks, "paul", "2026-10-25")
    told = receipt(reversed_, dates)
    assert reversed_.reversed_at is not None
    assert f"Reversed   {dates.local(reversed_.reversed_at)}" in told
    assert "Follows    ADJ0000002" in told
    assert "Reference  BANK-1" in told
    assert f"Payout     {reversed_.payout_number}, 90.00 USD by hand to TR7NHq...Lj6t" in told
    assert not reversed_.paid_otherwise and not any(line.startswith("Left") for line in told)
    assert only(weeks, "anna", "2026-10-25").paid_otherwise == []


def test_the_csv_has_what_a_seller_s_own_books_are_matched_by(
    closed_weeks: Server, weekclose: RunCommand
) -> None:
    result = weekclose("statement", "anna", "2026-10-25", "--csv", database=closed_weeks)
    rows = {row["kind"]: row for row in csv.DictReader(io.StringIO(result.stdout, newline=""))}
    assert (rows["refund"]["order_id"], rows["refund"]["source_id"]) == ("a1", "ra1")
    payout = rows["payout"]
    assert (payout["amount"], payout["status"], payout["rail"]) == ("-63.00", "paid", "TRC-20")
    assert payout["external_reference"] == f"TX-{payout['payout_number']}"
    assert payout["paid_at"].endswith("Z")
    assert payout["dispute_window_closes_at"] == "2026-11-08T05:00:00Z"
    assert [rows[kind]["balance"] for kind in ("pending", "available", "in_transit")] == [
        *("0.00", "162.00", "0.00")
    ]


def test_a_window_before_settlement_began_was_settled_elsewhere(weeks: Connection[Any]) -> None:
    made = only(weeks, "anna", "2026-10-18")
    assert (made.opening, made.payout, made.closing) == (Decimal(0), Decimal("9.00"), Decimal(0))
    assert any(line.split() == ["Settled", "elsewhere", "9.00"] for line in receipt(made, calendar(weeks)))


def test_one_that_does_not_add_up_is_not_made(closed_weeks: Server) -> None:
    with open_connection(closed_weeks) as conn, conn.transaction(force_rollback=True):
        conn.execute("update intermediate.int_order_events set fees = fees + 0.01 where line_id = 'sale:a2'")
        with pytest.raises(
            WeekcloseError,
            match=r"add up \(fees by -0\.01, opening \+ entries - payout - carried forward by -0\.01\)",
        ) as caught:
            statements(conn, "anna", "2026-11-01")
    assert caught.value.exit_code == 1


def test_the_csv_adds_up_to_its_last_balance(closed_weeks: Server, weekclose: RunCommand) -> None:
    result = weekclose("statement", HOSTILE_ID, "2026-11-01", "--csv", database=closed_weeks)
    assert (result.returncode, result.stderr) == (0, "")
    # The subprocess's text mode has made the line ends plain already, those inside cells too.
    rows = list(csv.DictReader(io.StringIO(result.stdout, newline="")))
    assert {row["seller_id"][:2] for row in rows} == {"'="}
    assert {row["order_id"] for row in rows if row["kind"] == "sale"} == {"'=h2", "'=h3"}
    for currency, payout in (("EUR", "-30.00"), ("USD", "-90.00")):
        mine = [row for row in rows if row["currency"] == currency]
        assert [row["kind"] for row in mine] == [
            *("opening", "sale", "payout", "carried_forward", "pending", "available", "in_transit")
        ]
        assert mine[2]["amount"] == payout
        carried = next(row for row in mine if row["kind"] == "carried_forward")
        assert sum(Decimal(row["amount"] or 0) for row in mine) == Decimal(carried["balance"])
    assert "-0.00" not in result.stdout


def test_json_is_one_statement_per_currency(closed_weeks: Server, weekclose: RunCommand) -> None:
    result = weekclose("statement", HOSTILE_ID, "2026-11-01", "--json", database=closed_weeks)
    made = json.loads(result.stdout)
    assert [(each["currency"], each["status"], each["payout"]) for each in made] == [
        ("EUR", "blocked", "30.00"),
        ("USD", "ready", "90.00"),
    ]


def test_hostile_text_stays_on_its_line(weeks: Connection[Any]) -> None:
    for made in statements(weeks, HOSTILE_ID, "2026-11-01"):
        for line in receipt(made, calendar(weeks)):
            assert {c for c in line if unicodedata.category(c)[0] == "C"} <= set("\u2068\u2069")

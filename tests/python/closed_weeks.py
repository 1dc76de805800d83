"""Two Sundays of a small marketplace in New York, where the clock went back on 1 November 2026.

Windows 2026-10-25 and 2026-11-01 are frozen, 2026-11-08 and 2026-11-15 are open. Of what people correct
there is one of each: mia is paid too much, nora owes more than she earns, an exception keeps olaf's money,
paul is paid by hand and owes it back, rosa sends money back, and sven has an invoice to pay.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

from psycopg import Connection

from sample_documents import pdf
from weekclose import adjustments, executions
from weekclose.adjustments import Deviation, Proposal
from weekclose.database import open_connection
from weekclose.documents import Document
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
    **{name: {} for name in ("mia", "nora", "olaf", "rosa", "sven")},
    "paul": {"preferred_rail": "MANUAL"},
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
    ("m1", "mia", "2026-10-27 10:00-04", "100.00", "10.00"),
    ("m2", "mia", "2026-11-02 10:00-05", "10.00", "1.00"),
    ("n1", "nora", "2026-11-02 10:00-05", "10.00", "1.00"),
    ("n2", "nora", "2026-11-11 10:00-05", "10.00", "1.00"),
    ("o1", "olaf", "2026-11-02 10:00-05", "10.00", "1.00"),
    ("p1", "paul", "2026-10-27 10:00-04", "100.00", "10.00"),
    ("p2", "paul", "2026-11-02 10:00-05", "200.00", "20.00"),
    ("r0", "rosa", "2026-10-20 10:00-04", "100.00", "10.00"),
    ("r1", "rosa", "2026-11-02 10:00-05", "10.00", "1.00"),
    ("v1", "sven", "2026-11-02 10:00-05", "10.00", "1.00"),
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
    usual = {"display_name": "", "seller_type": "merchant", "status": "active", "preferred_rail": None}
    for seller_id, own in SELLERS.items():
        conn.execute(
            "insert into raw.sellers (seller_id, display_name, seller_type, region, settlement_currency,"
            " status, created_at, wallet_address, preferred_rail)"
            " values (%(id)s, %(display_name)s, %(seller_type)s, 'APAC', 'USD', %(status)s, '2026-01-01Z',"
            " %(wallet)s, %(preferred_rail)s)",
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
        " ('dr1', 'r0', 100, 'fraud', 'open', '2026-11-03 12:00-05', null),"
        " ('dh1', 'h1', 100, 'fraud', 'lost', '2026-11-04 09:00-05', '2026-11-06 09:00-05'),"
        " ('ds1', 's1', 70, 'fraud', 'withdrawn', '2026-11-09 09:00-05', '2026-11-12 09:00-05')"
    )


def _after_the_first(conn: Connection[Any]) -> None:
    """Payouts go out, fay's fails; an order arrives late, another one is corrected; people correct more."""
    conn.execute(
        "select payouts.move(array_agg(payout_number), 'submitted', 'Tuesday') from payouts.payouts"
        " where seller_id in ('anna', 'eve', 'fay', 'gil', 'mia', 'paul')"
    )
    for seller_id in ("anna", "eve"):
        _rail_says(conn, seller_id, "completed")
    _rail_says(conn, "fay", "failed")
    _order(conn, "a3", "anna", "2026-10-28 10:00-04", "50.00", "5.00")
    conn.execute("update raw.orders set gross_amount = 160, loaded_at = now() where order_id = 'b1'")
    _correct(conn)


def _correct(conn: Connection[Any]) -> None:
    """olga proposes, rita and anna decide; what mia got too much comes back by itself."""
    _rail_says(conn, "mia", "completed", amount="95.00")
    executions.resolve(conn, payout_of(conn, "mia"), "accept", "the bank says 95", None, "rita")
    hand = payout_of(conn, "paul")
    executions.execute(
        conn, hand, "BANK-1", Decimal("90.00"), _document("a blurred photo"), "olga", executed_at=NIGHTS[0]
    )
    executions.replace_proof(conn, hand, _document("the bank's letter"), "blurred", "olga")
    executions.reverse(conn, hand, "duplicate_payment", "paid in cash before", None, "rita")
    _propose(conn, "nora", "carry_forward_deduction", "50.00", "broken shelf")
    credit = _propose(conn, "olaf", "carry_forward_credit", "20.00", "kind words")
    adjustments.deviate(conn, credit, Deviation("amount", amount=Decimal("12.00")), "too kind", "olga")
    fee = _propose(conn, "sven", "gross_invoice_fee", "15.00", "photo service", invoice="INV-7")
    adjustments.apply(conn, [fee], "sven", "USD", "rita")
    debt = adjustments.propose_from(
        conn, "dispute_opened:dr1", "chargeback", "she sends it", _document("her word"), "olga"
    )
    adjustments.apply(conn, [debt], "rosa", "USD", "rita")
    adjustments.settle(conn, debt, "WIRE-3", _document("rosa's wire"), "olga")


def _propose(
    conn: Connection[Any], seller_id: str, of_class: str, amount: str, reason: str, invoice: str | None = None
) -> str:
    proposal = Proposal(seller_id, "USD", of_class, Decimal(amount), reason, "between us", invoice)
    return adjustments.propose(conn, proposal, None, "olga")


def _document(text: str) -> Document:
    content = pdf(text)
    return Document(sha256(content).hexdigest(), "application/pdf", content)


def _after_the_second(conn: Connection[Any]) -> None:
    """gil's payout of the first window fails after the second one was frozen without its money; of the second
    window mia's is paid with another amount again, and paul's waits for a person."""
    _rail_says(conn, "gil", "failed")
    second = date(2026, 11, 1)
    for seller_id in ("mia", "paul"):
        conn.execute(
            "select payouts.move(array[%s], 'submitted', %s)",
            (payout_of(conn, seller_id, second), f"Tuesday {seller_id}"),
        )
    _rail_says(conn, "mia", "completed", amount="4.50", window=second)


def payout_of(conn: Connection[Any], seller_id: str, window: date = date(2026, 10, 25)) -> str:
    """The number of a seller's payout."""
    row = conn.execute(
        "select payout_number from payouts.payouts where seller_id = %s and payout_window = %s",
        (seller_id, window),
    ).fetchone()
    assert row is not None
    return str(row[0])


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


def _rail_says(
    conn: Connection[Any],
    seller_id: str,
    status: str,
    *,
    amount: str | None = None,
    window: date = date(2026, 10, 25),
) -> None:
    """Its final word on a payout, as an event that proves what is booked of it."""
    reason = "account closed" if status == "failed" else None
    number = payout_of(conn, seller_id, window)
    conclude(conn, number, status, amount, reason=reason)


def conclude(
    conn: Connection[Any], number: str, status: str, amount: str | None, *, reason: str | None = None
) -> None:
    """Book a rail's final word on a payout, with an event as its proof; of what was promised unless told."""
    with conn.transaction():
        told = conn.execute(
            "select coalesce(%s, amount) from payouts.payouts where payout_number = %s", (amount, number)
        ).fetchone()
        assert told is not None
        row = conn.execute(
            "select payouts.receive_event('batch', %(event)s, 'payout', %(status)s, %(number)s, %(amount)s,"
            " 'USD', %(reference)s, null, %(reason)s, null, false, 'body')",
            {
                "event": f"{number} {status}",
                "status": status,
                "number": number,
                "amount": told[0],
                "reference": f"TX-{number}",
                "reason": reason,
            },
        ).fetchone()
        assert row is not None
        conn.execute(
            "select payouts.conclude("
            "array[row(%s, %s, %s, %s, null, %s, now(), %s, null, null)::payouts.word], 'tester')",
            (number, status, told[0], f"TX-{number}", reason, row[0]),
        )
        # What is not as promised waits for a person, and keeps its event waiting.
        conn.execute(
            "update payouts.event_outcomes set decided_at = now(),"
            " outcome = case payouts.status when 'paid' then 'booked' else 'overruled' end"
            " from payouts.payouts where event_id = %s and payout_number = %s"
            " and payouts.status <> 'awaiting_reconciliation'",
            (row[0], number),
        )

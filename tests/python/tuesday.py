"""A frozen window, the rail it goes to and the marts that show it, for tests that hand it over."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from psycopg import Connection

from conftest import NewDatabase
from frozen_window import APPROVER, OPERATOR, WINDOW, frozen_window, one
from rail_batches import READ_TIMEOUT, Bench
from weekclose import decisions, events, submission
from weekclose.database import open_connection
from weekclose.postgres import Server
from weekclose.rails.protocol import Rail, RailEvent
from weekclose.reconciliation import Reconciliation, reconcile

AMOUNTS = ("10.00", "20.50", "30.25")
FIRST, SECOND, THIRD = ALL = ("JPO0000001", "JPO0000002", "JPO0000003")
G1, G2 = f"W{WINDOW}-G1", f"W{WINDOW}-G2"


@pytest.fixture(scope="module")
def marts(new_marts: NewDatabase) -> Iterator[Server]:
    """The marts, over nothing: what is live in them needs no other build."""
    with new_marts() as where:
        yield where


@pytest.fixture
def live_database(marts: Server) -> Iterator[Server]:
    """A database with marts and nothing else. Emptied, not made for each test: that would take longer."""
    yield marts
    empty(marts)


def empty(database: Server, schemas: Sequence[str] = ("raw", "payouts"), keep: Sequence[str] = ()) -> None:
    """As after the migrations, whatever the guards say, but for the tables to `keep`."""
    with open_connection(database) as conn, conn.transaction():
        conn.execute("set local session_replication_role = replica")
        tables = conn.execute(
            "select schemaname || '.' || tablename from pg_tables"
            " where schemaname = any(%s) and not tablename = any(%s)",
            (list(schemas), list(keep)),
        ).fetchall()
        # A handful of rows: truncating would make new files for each table and index.
        conn.execute("; ".join(f"delete from {table}" for (table,) in tables).encode())
        conn.execute(
            "select setval(format('%%I.%%I', schemaname, sequencename)::regclass, start_value, false)"
            " from pg_sequences where schemaname = any(%s)",
            (list(schemas),),
        )


def paid_through(protocol: str) -> dict[str, Any]:
    """What `frozen_window` needs to know for sellers who can be paid through this rail."""
    return {"rail": "PAYPAL", "destination": "seller@example.com"} if protocol == "paypal" else {}


@dataclass(frozen=True)
class Tuesday:
    """A frozen window, and the rail it goes to. `breaks` are those that are right at the end of the test:
    (break type, payout number)."""

    conn: Connection[Any]
    bench: Bench
    database: Server
    breaks: list[tuple[str, str]] = field(default_factory=list)

    def approve(self) -> str:
        digest = self.digest
        decisions.approve(self.conn, WINDOW, digest, APPROVER)
        return digest

    def submit(self, *, patience: float = READ_TIMEOUT, quiet: int = 0) -> submission.Submitted:
        rail = self.bench.adapter(patience, max_processing_seconds=quiet)
        return submission.submit(self.conn, rail, WINDOW, OPERATOR)

    def reconcile(self, window: date | None = None) -> Reconciliation:
        return reconcile(self.conn, self.bench.adapter(), window, OPERATOR)

    def hand_over(self) -> None:
        """What an ordinary Tuesday does."""
        self.approve()
        self.submit()
        self.bench.rail.release()

    def rail_decides(self, statuses: dict[str, str], webhooks: str = "lose", **options: Any) -> None:
        """The rail's own doing; it tells nobody unless it is to `send` webhooks."""
        self.bench.rail.release()
        self.bench.rail.settle(statuses, webhooks=webhooks, **options)

    @property
    def digest(self) -> str:
        return str(one(self.conn, "select content_digest from payouts.batches where state <> 'rejected'"))

    @property
    def statuses(self) -> dict[str, str]:
        """As the marts show them."""
        return dict(
            self.conn.execute(
                "select payout_number, status from marts.settlement_windows"
                " where payout_number is not null order by payout_number"
            ).fetchall()
        )

    @property
    def batches(self) -> list[tuple[str, str]]:
        return self.conn.execute("select batch_id, state from payouts.batches order by batch_id").fetchall()

    @property
    def kinds(self) -> list[str]:
        """The bookings after the freeze, in their order."""
        rows = self.conn.execute(
            "select kind from payouts.ledger_transactions where kind <> 'freeze' order by transaction_id"
        )
        return [kind for (kind,) in rows]

    def agree(self) -> None:
        """The rail's own record, the ledger and the marts say the same, to the cent."""
        agree(self.conn, self.bench)
        found = self.conn.execute(
            "select break_type, entity from marts.reconciliation_breaks order by break_type, entity"
        ).fetchall()
        assert found == sorted(self.breaks)


def agree(conn: Connection[Any], bench: Bench) -> None:
    """Nobody is paid twice, nobody is lost, every cent is in the ledger, the audit log is whole."""
    books = {
        number: (status, amount, sent)
        for number, status, amount, sent in conn.execute(
            "select payout_number, status, amount, exists (select from payouts.batch_items as items"
            "   inner join payouts.batches using (batch_id)"
            "   where items.payout_number = payouts.payout_number and items.released_at is null"
            "   and batches.state in ('submitted', 'settled'))"
            " from payouts.payouts"
        )
    }
    live: dict[str, list[tuple[str, Decimal]]] = {}
    for payment in bench.rail.payments():
        if payment.status in ("pending_approval", "processing", "completed"):
            live.setdefault(payment.reference, []).append((payment.status, Decimal(payment.amount)))
    assert live.keys() <= books.keys()
    for number, (status, amount, sent) in books.items():
        at_rail = live.get(number, [])
        assert len(at_rail) <= 1, f"{number} is paid twice"
        if status == "paid":
            assert at_rail == [("completed", amount)], number
        elif status == "submitted" and sent:
            assert [each for _, each in at_rail] == [amount], f"{number} is lost"
        elif status in ("ready", "blocked", "failed", "returned"):
            assert not at_rail, f"{number} is {status} and at the rail"
    _agree_on_money(conn)
    decisions.verify_audit(conn)


def _agree_on_money(conn: Connection[Any]) -> None:
    """Each payout's money, on the account of its status; the whole ledger, zero."""
    wanted = {
        "submitted": "payouts_in_transit",
        "awaiting_reconciliation": "payouts_in_transit",
        "paid": "payouts_paid",
    }
    expected: dict[tuple[str, str], Decimal] = {}
    for number, status, amount in conn.execute("select payout_number, status, amount from payouts.payouts"):
        if status in wanted:
            expected[number, wanted[status]] = amount
            expected[number, "seller_payable"] = -amount
    booked = conn.execute(
        "select payout_number, account, sum(amount) from payouts.ledger_entries"
        " where payout_number is not null group by payout_number, account having sum(amount) <> 0"
    )
    assert {(number, account): amount for number, account, amount in booked} == expected
    assert one(conn, "select sum(amount) from payouts.ledger_entries") == 0
    unlike = conn.execute(
        "select account, seller_id, currency from payouts.account_balances as balances"
        " left join (select account, seller_id, currency, sum(amount) as amount from payouts.ledger_entries"
        "   group by account, seller_id, currency) as entries using (account, seller_id, currency)"
        " where balances.balance <> coalesce(entries.amount, 0)"
    ).fetchall()
    assert unlike == []


@contextmanager
def listening(database: Server, bench: Bench) -> Iterator[None]:
    """The rail's webhooks arrive: verified, stored, applied, answered."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with open_connection(database) as conn:
                receive(conn, bench.adapter(), dict(self.headers.items()), body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    bench.rail.sender.url = f"http://127.0.0.1:{server.server_address[1]}/webhooks/rail"
    try:
        yield
    finally:
        bench.rail.sender.url = None
        server.shutdown()
        server.server_close()
        thread.join()


def receive(conn: Connection[Any], rail: Rail, headers: dict[str, str], body: bytes) -> RailEvent:
    event = rail.verify({name.lower(): value for name, value in headers.items()}, body)
    stored = events.receive(conn, rail, event, body)
    if stored is not None:
        events.apply(conn, [stored], "webhook")
    return event


@contextmanager
def frozen(
    database: Server, bench: Bench, amounts: Sequence[str] = AMOUNTS, **options: Any
) -> Iterator[Tuesday]:
    """`agree` is asked of every test that ends."""
    with open_connection(database) as conn:
        frozen_window(conn, amounts, **(paid_through(bench.protocol) | options))
        tuesday = Tuesday(conn, bench, database)
        yield tuesday
        tuesday.agree()

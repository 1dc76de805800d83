"""Every guard can fail: a seeded corruption for each data test, constraint and trigger.

A data test is green, the corruption is seeded, it is red, all is rolled back. Where the database itself
refuses the corruption, that is asserted before the guard is taken away. Whoever adds a data test, a
constraint or a trigger without a corruption here finds this suite red.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection, sql
from psycopg.errors import (
    CheckViolation,
    ExclusionViolation,
    ForeignKeyViolation,
    LockNotAvailable,
    RestrictViolation,
    UniqueViolation,
)

from catalogue import Reached
from weekclose.database import open_connection
from weekclose.postgres import Server
from weekclose.settings import Settings, project_dir
from weekclose.sunday import run_sunday
from weekclose.warehouse import Warehouse

pytestmark = pytest.mark.catalogue(21)

WALLET = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
# Far enough back to see the history before the start.
SETTINGS = {"settlement_start": "2026-11-01", "audit_days": 42}
FIRST_NIGHT = datetime(2026, 11, 15, 23, tzinfo=UTC)
# The Sunday of 22 November is skipped: the next one finds two windows due.
SECOND_NIGHT = datetime(2026, 11, 29, 23, tzinfo=UTC)
THIRD_NIGHT = datetime(2026, 12, 6, 23, tzinfo=UTC)

# (order, seller, currency, captured at, gross, fee, status)
ORDERS = """
    ('before', 'busy', 'USD', '2026-10-28Z', 40, 4, 'fulfilled'),
    ('busy 1', 'busy', 'USD', '2026-11-02Z', 100, 10, 'fulfilled'),
    ('busy 2', 'busy', 'USD', '2026-11-09Z', 200, 20, 'fulfilled'),
    ('busy 3', 'busy', 'USD', '2026-11-16Z', 300, 30, 'fulfilled'),
    ('busy 4', 'busy', 'USD', '2026-11-23Z', 400, 40, 'confirmed'),
    ('busy 5', 'busy', 'USD', '2026-11-30Z', 500, 50, 'confirmed'),
    ('first night', 'busy', 'USD', '2026-11-15Z', 1, 0, 'confirmed'),
    ('second night', 'busy', 'USD', '2026-11-29Z', 1, 0, 'confirmed'),
    ('third night', 'busy', 'USD', '2026-12-06Z', 1, 0, 'confirmed'),
    ('busy euro', 'busy', 'EUR', '2026-11-24Z', 70, 7, 'fulfilled'),
    ('paid 1', 'paid', 'USD', '2026-11-02Z', 100, 10, 'fulfilled'),
    ('paid 3', 'paid', 'USD', '2026-11-16Z', 50, 5, 'fulfilled'),
    ('failed 1', 'failed', 'USD', '2026-11-02Z', 100, 10, 'fulfilled'),
    ('failed 3', 'failed', 'USD', '2026-11-16Z', 50, 5, 'fulfilled'),
    ('blocked 1', 'blocked', 'USD', '2026-11-02Z', 100, 10, 'fulfilled'),
    ('blocked 3', 'blocked', 'USD', '2026-11-16Z', 50, 5, 'fulfilled'),
    ('small 1', 'small', 'USD', '2026-11-02Z', 80, 8, 'fulfilled'),
    ('disputed 1', 'disputed', 'USD', '2026-11-02Z', 100, 10, 'fulfilled'),
    ('disputed 3', 'disputed', 'USD', '2026-11-16Z', 100, 10, 'fulfilled'),
    ('disputed 4', 'disputed', 'USD', '2026-11-23Z', 100, 10, 'fulfilled'),
    ('owing 1', 'owing', 'USD', '2026-11-02Z', 100, 10, 'fulfilled'),
    ('owing 2', 'owing', 'USD', '2026-11-09Z', 40, 4, 'fulfilled'),
    ('owing 3', 'owing', 'USD', '2026-11-16Z', 100, 10, 'fulfilled'),
    ('owing 4', 'owing', 'USD', '2026-11-23Z', 100, 10, 'fulfilled'),
    ('indebted 1', 'indebted', 'USD', '2026-11-02Z', 100, 10, 'fulfilled'),
    ('indebted 2', 'indebted', 'USD', '2026-11-09Z', 40, 4, 'fulfilled'),
    ('credited 1', 'credited', 'USD', '2026-11-02Z', 100, 10, 'fulfilled'),
    ('credited 3', 'credited', 'USD', '2026-11-16Z', 100, 10, 'fulfilled'),
    ('overpaid 1', 'overpaid', 'USD', '2026-11-02Z', 100, 10, 'fulfilled'),
    ('retried 1', 'retried', 'USD', '2026-11-02Z', 100, 10, 'fulfilled'),
    ('reversed 1', 'reversed', 'USD', '2026-11-02Z', 100, 10, 'fulfilled'),
    ('by hand 1', 'by hand', 'USD', '2026-11-02Z', 100, 10, 'fulfilled'),
    ('clawed 1', 'clawed', 'USD', '2026-11-02Z', 100, 10, 'fulfilled'),
    ('cancelled', 'busy', 'USD', '2026-11-23Z', 60, 6, 'cancelled'),
    ('of a stranger', 'nobody', 'USD', '2026-11-23Z', 60, 6, 'fulfilled')
"""

MARKETPLACE = f"""
    insert into raw.sellers
    (seller_id, seller_type, region, settlement_currency, status, created_at, wallet_address, preferred_rail)
    select
        seller_id,
        case seller_id when 'small' then 'freelancer' else 'merchant' end,
        'APAC',
        'USD',
        case seller_id when 'blocked' then 'suspended' else 'active' end,
        '2026-01-01Z',
        '{WALLET}',
        case seller_id when 'by hand' then 'MANUAL' end
    from unnest(array[
        'busy', 'paid', 'failed', 'blocked', 'small', 'disputed', 'owing', 'indebted', 'credited', 'overpaid',
        'retried', 'reversed', 'by hand', 'clawed'
    ]) as seller_id;

    insert into raw.orders
    (order_id, seller_id, currency, captured_at, gross_amount, fee_amount, status)
    select order_id, seller_id, currency, captured_at::timestamptz, gross, fee, status
    from (values {ORDERS}) as orders (order_id, seller_id, currency, captured_at, gross, fee, status);

    insert into raw.control_totals (order_id, amount) values ('busy 1', 100), ('busy 4', 401);

    insert into raw.refunds (refund_id, order_id, amount, fee_refund_amount, refunded_at) values
    ('late', 'busy 1', 20, 2, '2026-11-17Z'),
    ('open', 'busy 4', 30, 3, '2026-11-25Z'),
    ('in dispute', 'disputed 4', 40, 4, '2026-11-26Z'),
    ('of nothing', 'unknown', 30, 3, '2026-11-25Z');

    insert into raw.disputes (dispute_id, order_id, amount, reason, status, opened_at, closed_at) values
    ('clawed', 'clawed 1', 100, 'fraud', 'lost', '2026-11-20Z', '2026-11-27Z'),
    ('won', 'disputed 1', 100, 'fraud', 'won', '2026-11-20Z', '2026-11-27Z'),
    ('lost', 'disputed 3', 100, 'fraud', 'lost', '2026-11-20Z', '2026-11-27Z'),
    ('open', 'disputed 4', 100, 'fraud', 'open', '2026-11-24Z', null),
    ('won later', 'disputed 3', 100, 'fraud', 'won', '2026-12-01Z', '2026-12-02Z');
"""

# What the week after a freeze brings: a batch is refused and leaves again, one payout is paid, one fails and
# comes back, whatever an event said of it; one seller is unblocked, an order arrives late, another is
# corrected when it is too late; and what people decide meanwhile.
BETWEEN_THE_NIGHTS = """
    do $$
    declare
        digest text := (select content_digest from payouts.batches);
        paid payouts.payouts;
        failed payouts.payouts;
    begin
        select * into paid from payouts.payouts where seller_id = 'paid';
        select * into failed from payouts.payouts where seller_id = 'failed';
        perform payouts.approve('2026-11-01', digest, 'anna');
        perform payouts.claim_batch('W2026-11-01-G1', digest, 'batch', 'first', 'olga');
        perform payouts.take_refusal('W2026-11-01-G1', '{"message": "come again"}', 'olga');
        perform payouts.approve('2026-11-01', digest, 'anna');
        perform payouts.claim_batch('W2026-11-01-G2', digest, 'batch', 'second', 'olga');
        perform payouts.take_receipt('W2026-11-01-G2', 'receipt', 'olga');
        perform payouts.apply_events(array[payouts.receive_event(
            'batch', told.id, 'payout.completed', 'completed', told.payout_number, told.amount, 'USD', 'TX',
            null, null, now(), told.proves, ''
        )], 'rail')
        from (
            values
            ('once', paid.payout_number, paid.amount, true),
            ('twice', paid.payout_number, paid.amount, true),
            ('untrue', failed.payout_number, failed.amount, false)
        ) as told (id, payout_number, amount, proves);
        perform payouts.confirm(
            'W2026-11-01-G2', clock_timestamp(), jsonb_build_array(jsonb_build_object(
                'reference', failed.payout_number, 'status', 'failed', 'final', true, 'amount', failed.amount
            )), 'olga'
        );
    end
    $$;
    insert into payouts.seller_logins (login, seller_id) values ('pam', 'paid');
    select payouts.enrol('mona');
    select payouts.present_code('mona', '000000');

    update raw.sellers set status = 'active', loaded_at = now() where seller_id = 'blocked';
    insert into raw.orders (order_id, seller_id, currency, captured_at, gross_amount, fee_amount, status)
    values ('late', 'paid', 'USD', '2026-11-03Z', 30, 3, 'fulfilled');
    update raw.orders set gross_amount = 90, loaded_at = now() where order_id = 'busy 1';
    update raw.orders set gross_amount = 95, loaded_at = now() where order_id = 'paid 1';
    insert into payouts.holds (seller_id, payout_window, reason, held_by)
    values ('disputed', '2026-11-22', 'odd', 'mona');
    insert into payouts.clearances (seller_id, reason, cleared_by) values ('disputed', 'known', 'mona');
    insert into payouts.escrow_holds (seller_id, currency, amount, reason, note, held_by)
    values ('paid', 'CHF', 1, 'other', 'odd', 'mona');
    insert into raw.rejected_rows (load_id, table_name, file_name, line_number, reason, content)
    values (gen_random_uuid(), 'orders', 'orders.csv', 2, 'gross_amount is negative', '...');
"""

# Then what was wrong is put right: money that left otherwise than promised, by hand, or to the wrong person;
# and what sellers owe and are owed, by the policy and against it.
PUT_RIGHT = """
    create function pg_temp.document(text) returns text language sql as $$
        select payouts.store_document(convert_to('%PDF-1.4 ' || $1, 'UTF8'), 'application/pdf', 'olga')
    $$;
    create function pg_temp.payout_of(text) returns text language sql as $$
        select payout_number from payouts.payouts where seller_id = $1 and payout_window = '2026-11-01'
    $$;
    create function pg_temp.propose(
        seller text, class text, amount numeric, invoice text default null, proof text default null
    ) returns text language sql as $$
        select payouts.propose_adjustment(
            seller, 'USD', class, amount, 'odd', 'as agreed', invoice, proof, null, 'mona'
        )
    $$;
    create function pg_temp.deviate(
        number text, wish text, amount numeric, due date, seller text, verdict text
    ) returns void language sql as $$
        select payouts.decide_exceptions(
            array[payouts.deviate(number, wish, amount, due, seller, 'agreed', 'mona')], verdict, 'so', 'anna'
        )
    $$;

    select payouts.confirm('W2026-11-01-G2', clock_timestamp(), jsonb_agg(jsonb_build_object(
        'reference', pg_temp.payout_of(seller), 'status', 'completed', 'final', true, 'amount', amount,
        'external_reference', 'TX-' || seller
    )), 'olga')
    from (
        values ('overpaid', 95), ('retried', 80), ('reversed', 90), ('clawed', 90)
    ) as told (seller, amount);
    select payouts.resolve_payout(pg_temp.payout_of('overpaid'), 'accept', 'so says the bank', null, 'rita');
    select payouts.resolve_payout(
        pg_temp.payout_of('retried'), 'retry', 'it came back', pg_temp.document('it came back'), 'rita'
    );
    select payouts.reverse_payout(
        pg_temp.payout_of('reversed'), 'wrong_beneficiary', 'odd', pg_temp.document('the wallet'), 'rita'
    );
    -- It came back after all.
    select payouts.apply_events(array[payouts.receive_event(
        'batch', 'back', 'payout.returned', 'returned', pg_temp.payout_of('reversed'), 90, 'USD', 'TX-back',
        null, null, now(), true, ''
    )], 'rail');
    select payouts.resolve_payout(pg_temp.payout_of('reversed'), 'accept', 'it came back', null, 'rita');
    select payouts.execute_payout(
        pg_temp.payout_of('by hand'), 'BANK-1', 90, now(), pg_temp.document('paid'), '', 'olga'
    );
    select payouts.replace_proof(pg_temp.payout_of('by hand'), pg_temp.document('paid 2'), 'clearer', 'olga');

    -- The second one is settled by two windows, the third one by none.
    select pg_temp.propose('owing', 'carry_forward_deduction', amount)
    from (values (30), (50)) as debts (amount);
    select pg_temp.propose('indebted', 'carry_forward_deduction', 500);
    select pg_temp.propose('credited', 'carry_forward_credit', 5);
    select pg_temp.deviate(
        pg_temp.propose('credited', 'carry_forward_deduction', 4), 'amount', 3, null, null, 'approved'
    );
    select pg_temp.deviate(
        pg_temp.propose('credited', 'carry_forward_deduction', 7), 'defer', null, '2026-11-29', null,
        'approved'
    );
    select pg_temp.deviate(
        pg_temp.propose('owing', 'carry_forward_deduction', 6), 'out_of_scope', null, null, 'credited',
        'approved'
    );
    select pg_temp.deviate(
        pg_temp.propose('credited', 'carry_forward_deduction', 8), 'skip', null, null, null, 'rejected'
    );
    select payouts.cancel_adjustment(pg_temp.propose('credited', 'carry_forward_credit', 9), 'no', 'mona');

    select pg_temp.propose('credited', 'gross_invoice_fee', amount, 'INV-' || amount)
    from (values (11), (12), (13)) as fees (amount);
    select pg_temp.propose('credited', 'manual_cash_recovery', 14, null, pg_temp.document('the debt'));
    select payouts.apply_adjustment(adjustment_number, seller_id, currency, 'nina')
    from payouts.adjustments
    where class not like 'carry_forward%' and amount > 11;
    select payouts.settle_adjustment(adjustment_number, 'BANK-2', pg_temp.document('it came'), 'olga')
    from payouts.adjustments
    where class not like 'carry_forward%' and amount > 12;

    -- Of what came back, 40 and 7 leave before the next freeze, or could; what is rejected stays.
    select payouts.create_schedule(
        'retried', 'USD', 40, 'milestone_reached', null, '2026-11-20Z', 'so', 'mona'
    );
    select payouts.run_schedules('2026-11-20Z', 'nina');
    select payouts.request_payout('retried', 'USD', amount, 'odd', 'mona')
    from (values (7), (8), (9)) as wishes (amount);
    select payouts.approve_request(request_number, 'anna') from payouts.payout_requests where amount <> 9;
    select payouts.reject_request(request_number, 'no', 'olga') from payouts.payout_requests where amount = 8;
    select payouts.claim_batch('REQ0000001-G1', content_digest, 'batch', 'third', 'olga')
    from payouts.batches where batch_id = 'REQ0000001-G1';
    select payouts.take_receipt('REQ0000001-G1', 'receipt 2', 'olga');
    select payouts.confirm('REQ0000001-G1', clock_timestamp(), jsonb_build_array(jsonb_build_object(
        'reference', payout_number, 'status', 'completed', 'final', true, 'amount', amount,
        'external_reference', 'TX-request'
    )), 'olga')
    from payouts.payouts where request_number = 'REQ0000001';
    select payouts.create_schedule('retried', 'USD', 1000, 'manual', null, null, note, 'mona')
    from (values ('tried'), ('failed'), ('cancelled')) as schedules (note);
    select payouts.trigger_schedule(schedule_number, 'nina')
    from payouts.payout_schedules cross join generate_series(1, case note when 'failed' then 3 else 1 end)
    where note in ('tried', 'failed');
    select payouts.cancel_schedule(schedule_number, 'no', 'nina')
    from payouts.payout_schedules where note = 'cancelled';
"""

# And of the second freeze: a frozen line's raw row has changed, a dispute has left a debt that was paid back,
# and somebody has to decide about a seller's money.
PUT_RIGHT_LATER = """
    select payouts.gather_notifications('{stdout}', '{reader}');
    select payouts.propose_from('sale:paid 1', 'restated', 'as the feed says', null, 'mona');
    select payouts.propose_from(
        'dispute_opened:clawed', 'lost', 'he pays', pg_temp.document('a debt'), 'mona'
    );
    select payouts.apply_adjustment(adjustment_number, seller_id, currency, 'nina')
    from payouts.adjustments where source = 'dispute';
    select payouts.settle_adjustment(adjustment_number, 'BANK-3', pg_temp.document('it came too'), 'olga')
    from payouts.adjustments where source = 'dispute';
    select payouts.deviate(
        pg_temp.propose('owing', 'carry_forward_deduction', 2), 'skip', null, null, null, 'odd', 'mona'
    );
"""


@dataclass(frozen=True)
class Market:
    """A database after its Sundays, and the data tests as they were compiled for the last one."""

    conn: Connection[Any]
    tests: dict[str, str]
    tests_of_a_full_refresh: dict[str, str]

    def count(self, query: str) -> int:
        row = self.conn.execute(f"select count(*) from ({query}) as found".encode()).fetchone()
        assert row is not None
        return int(row[0])

    def names(self, query: str) -> set[str]:
        return {row[0] for row in self.conn.execute(query.encode())}


@pytest.fixture(scope="module")
def market(module_database: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    home = tmp_path_factory.mktemp("home")
    warehouse = Warehouse(Settings(WEEKCLOSE_HOME=home), module_database)
    with open_connection(module_database) as conn:
        conn.execute(MARKETPLACE.encode())
        _sunday(module_database, warehouse, FIRST_NIGHT, "frozen")
        conn.execute(BETWEEN_THE_NIGHTS.encode())
        conn.execute(PUT_RIGHT.encode())
        _sunday(module_database, warehouse, SECOND_NIGHT, "frozen")
        conn.execute(PUT_RIGHT_LATER.encode())
        _sunday(module_database, warehouse, THIRD_NIGHT, "not_frozen", may_freeze=False, full_refresh=True)
        anew = _compiled_tests(home)
        _sunday(module_database, warehouse, THIRD_NIGHT, "not_frozen", may_freeze=False)
        yield Market(conn, _compiled_tests(home), anew)


def _sunday(where: Server, warehouse: Warehouse, night: datetime, outcome: str, **options: Any) -> None:
    report = run_sunday(where, warehouse, as_of=night, actor="tester", overrides=SETTINGS, **options)
    assert report.outcome == outcome, report.message
    # A warning is a data test that is not green before it is corrupted.
    assert [result.name for result in report.warnings if result.kind == "test"] == []


def _compiled_tests(home: Path) -> dict[str, str]:
    compiled = home / "dbt" / "target" / "compiled" / "weekclose"
    generic = [path for path in compiled.rglob("*.sql") if path.parent.suffix == ".yml"]
    return {path.stem: path.read_text() for path in [*(compiled / "tests").glob("*.sql"), *generic]}


# Data tests.


@dataclass(frozen=True)
class Corruption:
    """SQL that breaks what a data test watches.

    `refused_with` is what the database itself says to it; `disarm` takes that guard away.
    """

    seed: str
    refused_with: type[psycopg.Error] | None = None
    disarm: str = "set local session_replication_role = replica"


def _without(constraint: str, table: str, seed: str) -> Corruption:
    """A corruption that a constraint refuses."""
    disarm = f"set local session_replication_role = replica; alter table {table} drop constraint {constraint}"
    refusal = CheckViolation if table == ROWS else RestrictViolation
    return Corruption(seed, UniqueViolation if "pkey" in constraint else refusal, disarm)


def _frozen(seed: str) -> Corruption:
    """A corruption that the triggers of what is frozen, promised or booked refuse."""
    return Corruption(seed, RestrictViolation)


def _unbooked(status: str, other: str) -> Corruption:
    """A status without its booking, which is refused when it commits."""
    return Corruption(
        f"update payouts.payouts set status = '{other}' where status = '{status}';"
        " set constraints all immediate",
        CheckViolation,
    )


def _wrong_view(view: str, right: str, wrong: str) -> Corruption:
    """A mistake in a view's own SQL, where no wrong row could show it."""
    return Corruption(
        f"do $$ begin execute 'create or replace view {view} as '"
        f" || replace(pg_get_viewdef('{view}'::regclass), $old${right}$old$, $new${wrong}$new$); end $$"
    )


EVENTS = "intermediate.int_order_events"
ROWS = "intermediate.int_window_rows"
FROZEN_ROWS = "payouts.frozen_rows"
ADJUSTMENT_LINES = "intermediate.int_adjustment_lines"
POLICIES, REASONS = "seeds.adjustment_policies", "seeds.reversal_reasons"


def _executed(payout: str, proof: str) -> str:
    return (
        "insert into payouts.executions (payout_number, rail, external_reference, amount, executed_at,"
        " noted_by, source, event_id, batch_id, asked_at)"
        f" values ({payout}, 'TRC-20', 'odd', 1, now(), 'olga', {proof})"
    )


def _resolved(payout: str, adjustment: str, document: str) -> str:
    return (
        "insert into payouts.resolutions"
        " (payout_number, verdict, note, resolved_by, adjustment_number, document)"
        f" values ({payout}, 'retry', 'odd', 'rita', {adjustment}, {document})"
    )


def _reversed(payout: str, adjustment: str, evidence: str) -> str:
    return (
        "insert into payouts.reversals"
        " (payout_number, reason, note, reversed_by, adjustment_number, evidence)"
        f" values ({payout}, 'duplicate_payment', 'odd', 'rita', {adjustment}, {evidence})"
    )


def _recognized(seller: str) -> str:
    """A booking of what nobody owes."""
    return (
        "with booked as (insert into payouts.ledger_transactions (kind, reference)"
        " values ('recognize', 'odd') returning transaction_id)"
        " insert into payouts.ledger_entries"
        " (transaction_id, account, seller_id, currency, amount, adjustment_number)"
        " select transaction_id, account, seller_id, currency, sign * amount, adjustment_number"
        " from payouts.adjustments cross join booked"
        " cross join (values ('seller_obligations', -1), ('sales_clearing', 1)) as side (account, sign)"
        f" where seller_id = '{seller}'"
    )


def _entered(what: str, seller: str = "applied_to", amount: str = "payouts.signed(adjustments)") -> str:
    """A line of an adjustment in the first unfrozen window."""
    return (
        "insert into payouts.frozen_lines (line_id, payout_window, seller_id, currency, kind, source_id,"
        " event_at, order_window, home_window, gross, fees, refunds, disputes, adjustments, source_amount)"
        f" select 'adjustment:' || adjustment_number, '2026-11-22', {seller}, currency, 'adjustment',"
        f" adjustment_number, now(), '2026-11-22', '2026-11-22', 0, 0, 0, 0, {amount}, {amount}"
        f" from payouts.adjustments where {what}"
    )


def _enters(what: str) -> Corruption:
    """A line, in the next freeze, of an adjustment that should have none."""
    return Corruption(
        f"insert into {ADJUSTMENT_LINES} select 'adjustment:' || adjustment_number, adjustment_number,"
        " seller_id, currency, now(), '2026-11-22', -applied_amount from payouts.adjustments"
        f" where {what}"
    )


CORRUPTIONS: dict[str, list[Corruption]] = {
    "assert_raw_rows_are_accounted_for": [
        Corruption(f"delete from {EVENTS} where line_id = 'sale:busy 5'"),
        Corruption(f"delete from {EVENTS} where line_id = 'sale:cancelled'"),
        Corruption(f"delete from {EVENTS} where line_id = 'refund:open'"),
        Corruption(f"delete from {EVENTS} where line_id = 'dispute_opened:open'"),
        Corruption(f"delete from {EVENTS} where line_id = 'dispute_closed:won later'"),
    ],
    "assert_open_events_follow_their_raw_rows": [
        Corruption("update raw.orders set gross_amount = gross_amount + 0.01 where order_id = 'busy 4'"),
        Corruption("update raw.orders set seller_id = 'paid' where order_id = 'busy 4'"),
        Corruption("update raw.orders set captured_at = '2027-01-01Z' where order_id = 'busy 4'"),
        Corruption("delete from raw.orders where order_id = 'before'"),
        Corruption("delete from raw.orders where order_id = 'cancelled'"),
        Corruption("update raw.refunds set amount = amount + 0.01 where refund_id = 'open'"),
        Corruption("update raw.refunds set order_id = 'busy 5' where refund_id = 'of nothing'"),
        Corruption("update raw.disputes set amount = amount + 0.01 where dispute_id = 'open'"),
        Corruption("update raw.disputes set status = 'lost' where dispute_id = 'won later'"),
    ],
    "assert_only_settling_orders_have_lines": [
        Corruption("update raw.orders set status = 'pending' where order_id = 'busy 4'"),
        Corruption("update raw.orders set status = 'fulfilled' where order_id = 'cancelled'"),
        Corruption("update raw.orders set seller_id = 'busy' where order_id = 'of a stranger'"),
        Corruption("delete from raw.sellers where seller_id = 'disputed'"),
    ],
    "assert_lines_sum_to_rows": [
        Corruption(f"update {EVENTS} set gross = gross + 0.01 where line_id = 'sale:busy 4'"),
        Corruption(f"delete from {EVENTS} where line_id = 'sale:busy 3'"),
        Corruption(f"update {ADJUSTMENT_LINES} set adjustments = adjustments - 0.01"),
        Corruption(f"delete from {ADJUSTMENT_LINES}"),
        Corruption(f"update {ROWS} set order_count = order_count + 1 where payout_window = '2026-11-22'"),
        _frozen(
            f"update {FROZEN_ROWS} set gross = gross + 1, net = net + 1, carry_out = carry_out + 1"
            " where seller_id = 'busy' and payout_window = '2026-11-15'"
        ),
        _wrong_view("marts.settlement_windows", "sum(int_order_events.fees)", "sum(int_order_events.gross)"),
    ],
    "assert_rows_roll_forward": [
        _without("window_rows_roll", ROWS, f"update {ROWS} set carry_out = carry_out + 0.01"),
        _without("window_rows_net", ROWS, f"update {ROWS} set net = net + 1, carry_out = carry_out + 1"),
        _without("frozen_rows_roll", FROZEN_ROWS, f"update {FROZEN_ROWS} set carry_in = carry_in + 1"),
    ],
    "assert_held_is_what_holds_keep": [
        Corruption("update intermediate.int_window_rows set held = held + 1 where status != 'pending'"),
        _frozen("update payouts.frozen_rows set held = carry_out + 1 where payable > 0"),
    ],
    "assert_history_moves_no_cash": [
        _wrong_view("marts.settlement_windows", "'before_start'::text", "'carried_forward'::text"),
    ],
    "assert_rows_open_where_the_last_closed": [
        Corruption(
            f"update {ROWS} set carry_in = carry_in + 1, carry_out = carry_out + 1"
            " where seller_id = 'busy' and currency = 'USD' and payout_window = '2026-11-29'"
        ),
        _frozen(
            f"update {FROZEN_ROWS} set carry_in = carry_in + 1, carry_out = carry_out + 1"
            " where seller_id = 'busy' and payout_window = '2026-11-08'"
        ),
    ],
    "assert_open_rows_begin_with_the_ledger": [
        Corruption("update payouts.account_balances set balance = balance + 0.01 where seller_id = 'busy'"),
        Corruption(f"delete from {ROWS} where seller_id = 'small'"),
        _unbooked("ready", "submitted"),
    ],
    "assert_the_queue_is_what_is_not_finished": [
        _wrong_view("intermediate.int_queue_items", "'submitted'::text", "'lost'::text"),
        _wrong_view("intermediate.int_queue_items", "later.payout_window >", "later.payout_window ="),
        _wrong_view(
            "intermediate.int_queue_items",
            "payouts.amount,",
            "(payouts.amount + 1)::numeric(18, 2) as amount,",
        ),
        _wrong_view("intermediate.int_queue_blocks", "'currency_mismatch'::text", "'another'::text"),
        _wrong_view("marts.ops_summary", "'attention'::text", "'readiness'::text"),
    ],
    "assert_the_ledger_owes_what_rows_left": [
        Corruption("update payouts.account_balances set balance = balance + 0.01 where seller_id = 'busy'"),
        _frozen(
            f"update {FROZEN_ROWS} set fees = fees - 1, net = net + 1, carry_out = carry_out + 1"
            " where seller_id = 'busy'"
        ),
    ],
    "assert_frozen_lines_stand": [
        _enters("status = 'settled' and class like 'carry_forward%'"),
        _wrong_view(
            "marts.settlement_lines", "frozen_lines.kind = 'adjustment'", "frozen_lines.kind = 'sale'"
        ),
        Corruption(f"delete from {EVENTS} where line_id = 'sale:busy 1'"),
        Corruption(f"update {EVENTS} set gross = gross + 0.01 where line_id = 'sale:busy 3'"),
        Corruption(f"update {EVENTS} set payout_window = '2026-11-22' where line_id = 'sale:busy 3'"),
        Corruption(
            f"update {EVENTS} set payout_window = '2026-11-15', home_window = '2026-11-15',"
            " order_window = '2026-11-15' where line_id = 'sale:busy 4'"
        ),
    ],
    "assert_frozen_content_is_unchanged": [
        _frozen("update payouts.frozen_lines set event_at = event_at + interval '1 us'"),
        _frozen(f"update {FROZEN_ROWS} set rail = 'SPL' where seller_id = 'busy'"),
        _frozen("update payouts.frozen_windows set content_digest = repeat('0', 64)"),
        _frozen("update payouts.payouts set destination = 'elsewhere' where seller_id = 'busy'"),
    ],
    "assert_frozen_windows_follow_each_other": [
        _frozen(
            "update payouts.frozen_windows set payout_window = payout_window - 7"
            " where payout_window = '2026-11-01'"
        ),
        _frozen(
            "update payouts.frozen_windows set payout_window = payout_window + 1"
            " where payout_window = '2026-11-15'"
        ),
    ],
    "assert_one_row_per_seller_window_and_currency": [
        _without("int_window_rows_pkey", ROWS, f"insert into {ROWS} select * from {ROWS} limit 1"),
    ],
    "assert_statuses_are_known": [
        _without("window_rows_status", ROWS, f"update {ROWS} set status = 'odd' where status = 'ready'"),
        _without(
            "payouts_status_is_known",
            "payouts.payouts",
            "update payouts.payouts set status = 'lost' where status = 'paid'",
        ),
        Corruption(f"update {ROWS} set block_reasons = '{{because}}' where status = 'blocked'"),
    ],
    "assert_due_rows_are_decided": [
        Corruption(
            f"update {ROWS} set status = 'pending', carry_out = carry_out + payable, payable = 0,"
            " block_reasons = '{}' where payout_window = '2026-11-22'"
        ),
        _without(
            "window_rows_due_is_due",
            ROWS,
            f"update {ROWS} set reserve_closes_at = as_of + interval '1 s' where status = 'ready'",
        ),
    ],
    "assert_adjustments_enter_once": [
        # Another seller's, in other money, the other way, in another window, and not at all.
        _frozen(
            "update payouts.frozen_lines set seller_id = 'paid'"
            " where kind = 'adjustment' and seller_id = 'indebted'"
        ),
        _frozen("update payouts.frozen_lines set currency = 'EUR' where kind = 'adjustment'"),
        _frozen(
            "update payouts.frozen_lines set adjustments = -adjustments, source_amount = -adjustments"
            " where kind = 'adjustment'"
        ),
        _frozen(
            "update payouts.frozen_lines set payout_window = '2026-11-15', order_window = '2026-11-15',"
            " home_window = '2026-11-15' where kind = 'adjustment'"
        ),
        _frozen("delete from payouts.frozen_lines where kind = 'adjustment' and seller_id = 'indebted'"),
        # Nobody has approved that it is less, or another's.
        _frozen("delete from payouts.exceptions where deviation = 'amount'"),
        _frozen("update payouts.exceptions set decision = 'rejected' where deviation = 'out_of_scope'"),
        # An invoice, and cash that came back, are no lines.
        *(
            Corruption(_entered(what), psycopg.DatabaseError)
            for what in (
                "class = 'gross_invoice_fee' and status = 'applied'",
                "class = 'manual_cash_recovery'",
                "status = 'cancelled'",
            )
        ),
    ],
    "assert_allocations_settle_the_oldest_first": [
        _frozen("update payouts.adjustment_allocations set amount = amount - 0.01 where amount = 36"),
        _frozen("delete from payouts.adjustment_allocations where amount = 5"),
        # The younger one of the two before the older one.
        _frozen(
            "update payouts.adjustment_allocations set amount = 36 - amount"
            " where payout_window = '2026-11-08' and amount in (6, 30)"
        ),
        _frozen("update payouts.adjustment_allocations set payout_window = '2026-11-15' where amount = 36"),
        Corruption(
            "update payouts.adjustments set status = 'settled', settled_at = now()"
            " where status = 'applied' and class like 'carry_forward%'"
        ),
        # Of what is no line.
        Corruption(
            "insert into payouts.adjustment_allocations"
            " select adjustment_number, '2026-11-15', 1 from payouts.adjustments where status = 'proposed'"
        ),
    ],
    "assert_approved_adjustments_enter_the_next_freeze": [
        Corruption(f"delete from {ADJUSTMENT_LINES}"),
        Corruption(f"update {ADJUSTMENT_LINES} set adjustments = -adjustments"),
        Corruption(f"update {ADJUSTMENT_LINES} set adjustments = 10 * adjustments"),
        Corruption(f"update {ADJUSTMENT_LINES} set currency = 'EUR'"),
        Corruption(f"update {ADJUSTMENT_LINES} set payout_window = payout_window + 7"),
        _enters("not_before > '2026-11-22'"),
        _enters("amount = 2"),
        _enters("status = 'proposed'"),
        _enters("status = 'settled' and class like 'carry_forward%'"),
    ],
    "assert_corrections_are_what_left": [
        Corruption(
            "update payouts.account_balances set balance = balance + 0.01"
            " where account = 'payout_corrections' and seller_id = 'overpaid'"
        ),
        Corruption("insert into payouts.account_balances values ('payout_corrections', 'small', 'USD', 1)"),
        _frozen("update payouts.executions set amount = 96 where amount = 95"),
        _frozen("update payouts.resolutions set verdict = 'retry'"),
        _frozen("delete from payouts.reversals"),
    ],
    "assert_executions_are_proved": [
        _frozen("delete from payouts.proofs"),
        Corruption(
            _executed("'JPO0000002'", "'manual', null, null, null") + "; set constraints all immediate",
            CheckViolation,
        ),
        # Proved by what was said of another.
        Corruption(_executed("'JPO0000002'", "'rail', 1, null, null")),
        Corruption(_executed("'JPO0000002'", "'rail', null, 'W2026-11-15-G1', now()")),
    ],
    "assert_executions_are_what_payouts_refer_to": [
        _frozen("update payouts.payouts set reference_id = 'other' where seller_id = 'by hand'"),
        _frozen("update payouts.payouts set reference_id = null where status = 'reversed'"),
        _frozen("update payouts.executions set external_reference = 'other' where source = 'manual'"),
        _frozen(
            "delete from payouts.executions where external_reference = 'TX-clawed';"
            " update payouts.payouts set reference_id = null where seller_id = 'clawed'"
        ),
    ],
    "assert_references_are_of_one_execution": [
        Corruption(
            "update payouts.executions set external_reference = 'TX' where external_reference = 'TX-clawed'",
            RestrictViolation,
            "set local session_replication_role = replica;"
            " alter table payouts.executions drop constraint executions_reference_is_unique",
        ),
        Corruption(
            "insert into payouts.executions (payout_number, rail, external_reference, amount, executed_at,"
            " source, event_id, noted_by)"
            " select 'JPO0000002', rail, external_reference, amount, now(), 'rail', 1, 'olga'"
            " from payouts.executions where external_reference = 'TX-clawed'",
            UniqueViolation,
            "alter table payouts.executions drop constraint executions_reference_is_unique",
        ),
    ],
    "assert_mismatches_are_made_up_for": [
        _frozen("delete from payouts.adjustments where source = 'mismatch'"),
        _frozen("update payouts.adjustments set amount = 6, applied_amount = 6 where source = 'mismatch'"),
        _frozen("update payouts.adjustments set class = 'carry_forward_credit' where source = 'mismatch'"),
        _frozen("update payouts.executions set amount = 96 where amount = 95"),
        _frozen("update payouts.resolutions set verdict = 'retry' where verdict = 'accept'"),
        _frozen("update payouts.resolutions set verdict = 'accept' where verdict = 'retry'"),
        _frozen("delete from payouts.resolutions where verdict = 'accept'"),
    ],
    "assert_reversals_leave_an_obligation": [
        _frozen("delete from payouts.reversals"),
        _frozen("update payouts.reversals set adjustment_number = 'ADJ0000006'"),
        _frozen("update payouts.payouts set status = 'paid' where status = 'reversed'"),
        _frozen(
            "update payouts.payouts set status = 'reversed' where seller_id = 'paid' and status = 'paid'"
        ),
        _frozen("update payouts.adjustments set amount = 89, applied_amount = 89 where source = 'reversal'"),
        _frozen("update payouts.adjustments set source_id = 'JPO0000001' where source = 'reversal'"),
        _frozen("update payouts.adjustments set seller_id = 'paid' where source = 'reversal'"),
        Corruption(
            _reversed("'JPO0000009'", "'ADJ0000001'", "null") + "; set constraints all immediate",
            CheckViolation,
        ),
    ],
    "assert_no_approval_while_an_exception_was_open": [
        _frozen("update payouts.exceptions set requested_at = '2000-01-01Z' where decision is not null"),
        _frozen("update payouts.exceptions set requested_at = '2000-01-01Z' where decision is null"),
        _frozen("update payouts.exceptions set requested_at = '2000-01-01Z' where to_seller = 'credited'"),
    ],
    "assert_open_exceptions_block": [
        Corruption(
            f"update {ROWS} set status = 'ready', block_reasons = '{{}}'"
            " where 'exception_pending' = any(block_reasons)"
        ),
        Corruption(
            f"update {ROWS} set status = 'blocked', block_reasons = '{{exception_pending}}'"
            " where status = 'ready'"
        ),
    ],
    "assert_obligations_are_booked": [
        _frozen("delete from payouts.ledger_entries where account = 'seller_obligations'"),
        _frozen("update payouts.ledger_entries set seller_id = 'small' where account = 'seller_obligations'"),
        Corruption(
            "update payouts.adjustments set status = 'applied', approved_at = now()"
            " where status = 'proposed'; set constraints all immediate",
            CheckViolation,
        ),
        Corruption(_recognized("indebted"), CheckViolation),
        Corruption(
            "update payouts.account_balances set balance = balance + 0.01"
            " where account = 'seller_obligations' and seller_id = 'credited'"
        ),
    ],
    "assert_recovered_cash_is_booked_once": [
        _frozen("update payouts.ledger_entries set amount = amount - 0.01 where account = 'cash_recovered'"),
        _frozen("delete from payouts.ledger_entries where account = 'cash_recovered'"),
        # In two halves; in the balance of somebody who owed it beside that, and not in that of the dispute.
        _frozen(
            "update payouts.ledger_entries set amount = amount / 2 where account = 'cash_recovered';"
            " insert into payouts.ledger_entries"
            " (transaction_id, account, seller_id, currency, amount, adjustment_number)"
            " select transaction_id, account, seller_id, currency, amount, adjustment_number"
            " from payouts.ledger_entries where account = 'cash_recovered'"
        ),
        _frozen(
            "update payouts.ledger_entries set account = 'seller_payable'"
            " where account = 'seller_obligations' and amount > 0 and adjustment_number = 'ADJ0000014'"
        ),
        _frozen(
            "update payouts.ledger_entries set account = 'sales_clearing'"
            " where account = 'seller_payable' and adjustment_number is not null"
        ),
    ],
    "assert_only_the_latest_due_window_pays": [
        Corruption(
            f"update {ROWS} set status = 'carried_forward', reserve_closes_at = window_ends_at"
            " where payout_window = '2026-11-29'"
        ),
        _frozen(
            f"update {FROZEN_ROWS} set status = 'ready', payable = 1, carry_out = carry_out - 1"
            " where payout_window = '2026-11-08' and seller_id = 'busy'"
        ),
    ],
    "assert_an_order_has_one_seller_and_currency": [
        Corruption(f"update {EVENTS} set seller_id = 'paid' where line_id = 'refund:open'"),
        Corruption(f"update {EVENTS} set currency = 'EUR' where line_id = 'dispute_opened:open'"),
        Corruption(f"delete from {EVENTS} where line_id = 'sale:busy 4'"),
        Corruption(f"update {EVENTS} set seller_id = 'paid' where line_id = 'dispute_closed:won later'"),
    ],
    "assert_claw_back_is_capped": [
        Corruption(f"update {EVENTS} set disputes = disputes + 0.01 where line_id = 'dispute_opened:open'"),
        Corruption(f"update {EVENTS} set disputes = 0 where line_id = 'refund:in dispute'"),
    ],
    "assert_restatements_are_listed": [
        Corruption(
            f"update {EVENTS} set restated_amount = null, has_break = false where line_id = 'sale:busy 1'"
        ),
    ],
    "assert_ledger_transactions_balance": [
        Corruption(
            "insert into payouts.ledger_entries (transaction_id, account, seller_id, currency, amount)"
            " select max(transaction_id), 'seller_payable', 'busy', 'USD', 0.01"
            " from payouts.ledger_transactions",
            CheckViolation,
        ),
        _frozen("delete from payouts.ledger_entries where transaction_id = 2"),
    ],
    "assert_freezes_are_booked": [
        _frozen(
            "update payouts.ledger_entries set seller_id = 'paid'"
            " where account = 'seller_obligations' and seller_id = 'indebted'"
        ),
        _frozen("delete from payouts.frozen_lines where kind = 'adjustment' and seller_id = 'indebted'"),
        # What passes from one seller's obligations to another's balance.
        _frozen("delete from payouts.ledger_entries where account = 'sales_clearing' and abs(amount) = 6"),
        _frozen("update payouts.ledger_entries set seller_id = 'paid' where seller_id = 'busy'"),
        _frozen(
            "update payouts.ledger_entries set account = 'platform_fees' where account = 'sales_clearing'"
        ),
    ],
    "assert_account_balances_are_their_entries": [
        Corruption("update payouts.account_balances set balance = balance + 0.01 where seller_id = 'busy'"),
    ],
    "assert_balances_agree": [
        Corruption("insert into payouts.account_balances values ('payouts_in_transit', 'small', 'USD', 1)"),
        Corruption(f"update {ROWS} set carry_in = carry_in + 1, carry_out = carry_out + 1"),
        _wrong_view("marts.seller_balances", "'pending'::text", "'waiting'::text"),
    ],
    "assert_payouts_are_the_frozen_payables": [
        _frozen("update payouts.payouts set amount = amount + 0.01 where seller_id = 'busy'"),
        _frozen("delete from payouts.payouts where seller_id = 'busy'"),
    ],
    "assert_payout_statuses_agree_with_the_ledger": [
        _frozen("update payouts.payouts set status = 'paid' where status = 'ready'"),
        _frozen("update payouts.payouts set status = 'submitted' where status = 'failed'"),
        _unbooked("paid", "returned"),
        _unbooked("failed", "awaiting_reconciliation"),
        _frozen(
            "update payouts.ledger_entries set seller_id = 'small'"
            " where payout_number is not null and seller_id = 'busy'"
        ),
    ],
    "assert_each_step_is_booked_once": [
        _frozen(
            "update payouts.ledger_entries set amount = amount - sign(amount) * 0.01"
            " where payout_number is not null"
        ),
        _frozen(
            "insert into payouts.ledger_entries"
            " (transaction_id, account, seller_id, currency, amount, payout_number)"
            " select transaction_id, account, seller_id, currency, amount, payout_number"
            " from payouts.ledger_entries where payout_number is not null"
        ),
        _unbooked("paid", "awaiting_reconciliation"),
    ],
    "assert_frozen_payables_are_accounted_for": [
        _frozen("update payouts.payouts set status = 'failed' where status = 'paid'"),
        _frozen("delete from payouts.payouts where status = 'ready'"),
    ],
    "assert_batches_are_what_left": [
        _frozen("update payouts.batch_items set released_at = now() where released_at is null"),
        _frozen("delete from payouts.batch_items where seller_id = 'busy'"),
        _frozen("update payouts.ledger_transactions set reference = 'nothing' where kind = 'release'"),
    ],
    "assert_events_are_booked_once": [
        _frozen("update payouts.event_outcomes set outcome = 'booked' where outcome = 'no_effect'"),
        _frozen("update payouts.event_outcomes set outcome = 'booked' where outcome = 'overruled'"),
        _frozen("update payouts.rail_events set status = 'failed'"),
    ],
    "assert_no_window_is_paid_twice": [
        Corruption(
            "insert into payouts.payout_coverage select payout_number, '2026-11-01' from payouts.payouts"
            " where seller_id = 'paid' and payout_window = '2026-11-15'"
        ),
    ],
    "assert_payouts_are_explained_by_their_lines": [
        _frozen("delete from payouts.payout_coverage where payout_window = '2026-11-01'"),
        _frozen(
            "update payouts.payout_coverage set payout_window = '2026-11-08'"
            " where payout_number = 'JPO0000001'"
        ),
        _frozen(
            f"update {FROZEN_ROWS} set carry_out = 1, carry_in = carry_in + 1"
            " where payout_window = '2026-11-01' and status = 'ready'"
        ),
    ],
    "assert_seller_health_adds_up": [
        Corruption("update intermediate.int_seller_scores set trailing_30d_gross = trailing_30d_gross + 1"),
        Corruption("update intermediate.int_seller_scores set disputes_count = disputes_count + 1"),
        Corruption("delete from intermediate.int_seller_scores where seller_id = 'disputed'"),
    ],
    "assert_requests_keep_the_floor": [
        Corruption("delete from payouts.payouts where request_number = 'REQ0000002'", RestrictViolation),
        Corruption(
            "update payouts.payout_requests set decision = 'rejected', decision_reason = 'odd'"
            " where request_number = 'REQ0000002'"
        ),
        Corruption(
            "update payouts.payouts set status = 'ready', block_reasons = '{}'"
            " where request_number = 'REQ0000003'"
        ),
        Corruption(
            "update payouts.payouts set amount = amount - 1 where request_number = 'REQ0000002'",
            RestrictViolation,
        ),
        Corruption(
            "update payouts.payout_requests set available = 1000 where decision = 'approved'",
            RestrictViolation,
        ),
        Corruption(
            "update payouts.payout_schedules set status = 'completed', next_try_at = null,"
            " ended_by = 'nina', ended_at = now() where status = 'processing'"
        ),
        Corruption(
            "update payouts.payout_schedules set amount = 41 where status = 'completed'", RestrictViolation
        ),
        Corruption(
            "update payouts.payout_schedules set seller_id = 'paid' where status = 'completed'",
            RestrictViolation,
        ),
    ],
    "assert_window_summary_adds_up": [
        _wrong_view("marts.window_summary", "count(*)", "count(payout_number)"),
    ],
    "assert_reports_add_up": [
        _unbooked("paid", "returned"),
        _wrong_view("marts.payment_success", "sum(judged.amount)", "max(judged.amount)"),
        _frozen("update payouts.frozen_lines set fees = fees + 0.01 where kind = 'sale'"),
        _frozen("update payouts.ledger_entries set amount = amount + 0.01 where account = 'platform_fees'"),
        Corruption(
            "update payouts.adjustments set applied_amount = applied_amount - 0.01"
            " where class = 'gross_invoice_fee' and status = 'applied'",
            RestrictViolation,
        ),
        _wrong_view("marts.chargeback_losses", "sum((clawed_back - owed))", "sum(owed)"),
    ],
    "assert_each_region_has_one_default_rail": [
        Corruption("update seeds.region_rails set is_default = true"),
        Corruption("update seeds.region_rails set is_default = false where region = 'EU'"),
    ],
    "assert_at_most_three_rails_are_active": [
        Corruption("insert into seeds.region_rails values ('EU', 'SEPA', false)"),
    ],
    "assert_rails_are_understood": [
        Corruption("insert into seeds.region_rails values ('EU', 'SEPA', false)"),
    ],
    "region_rails_name_a_rail_once": [
        Corruption("insert into seeds.region_rails select * from seeds.region_rails limit 1"),
    ],
    "not_null_region_rails_region": [Corruption("update seeds.region_rails set region = null")],
    "not_null_region_rails_rail": [Corruption("update seeds.region_rails set rail = null")],
    "not_null_region_rails_is_default": [Corruption("update seeds.region_rails set is_default = null")],
    "not_null_seller_policies_seller_type": [
        Corruption("update seeds.seller_policies set seller_type = null")
    ],
    "unique_seller_policies_seller_type": [
        Corruption("insert into seeds.seller_policies select * from seeds.seller_policies limit 1")
    ],
    "not_null_seller_policies_minimum_balance": [
        Corruption("update seeds.seller_policies set minimum_balance = null")
    ],
    "not_negative_seller_policies_minimum_balance": [
        Corruption("update seeds.seller_policies set minimum_balance = -0.01")
    ],
    "not_null_seller_policies_minimum_payout": [
        Corruption("update seeds.seller_policies set minimum_payout = null")
    ],
    "not_negative_seller_policies_minimum_payout": [
        Corruption("update seeds.seller_policies set minimum_payout = -0.01")
    ],
    "assert_each_adjustment_class_has_one_default": [
        Corruption(f"delete from {POLICIES} where class = 'carry_forward_credit'"),
        Corruption(f"update {POLICIES} set scope = 'default' where scope = 'product'"),
    ],
    "assert_receivables_need_a_person": [
        Corruption(f"update {POLICIES} set mode = 'auto' where class = 'gross_invoice_fee'"),
        Corruption(f"update {POLICIES} set mode = 'exception' where class = 'manual_cash_recovery'"),
        Corruption(f"update {POLICIES} set needs_document = false where class = 'manual_cash_recovery'"),
    ],
    "adjustment_policies_name_a_scope_once": [
        Corruption(f"insert into {POLICIES} select * from {POLICIES} limit 1")
    ],
    "adjustment_policies_know_their_class": [Corruption(f"update {POLICIES} set class = 'gift'")],
    "adjustment_policies_know_their_scope": [
        Corruption(f"update {POLICIES} set scope = 'region' where scope = 'product'")
    ],
    "adjustment_policies_name_their_scope": [Corruption(f"update {POLICIES} set scope_value = null")],
    "adjustment_policies_know_their_mode": [Corruption(f"update {POLICIES} set mode = 'sometimes'")],
    "not_null_adjustment_policies_class": [Corruption(f"update {POLICIES} set class = null")],
    "not_null_adjustment_policies_scope": [Corruption(f"update {POLICIES} set scope = null")],
    "not_null_adjustment_policies_mode": [Corruption(f"update {POLICIES} set mode = null")],
    "not_null_adjustment_policies_needs_document": [
        Corruption(f"update {POLICIES} set needs_document = null")
    ],
    "unique_reversal_reasons_reason": [Corruption(f"insert into {REASONS} select * from {REASONS} limit 1")],
    "not_null_reversal_reasons_reason": [Corruption(f"update {REASONS} set reason = null")],
    "not_null_reversal_reasons_needs_evidence": [Corruption(f"update {REASONS} set needs_evidence = null")],
    "not_null_reversal_reasons_direction": [Corruption(f"update {REASONS} set direction = null")],
    "not_null_reversal_reasons_description": [Corruption(f"update {REASONS} set description = null")],
    "reversal_reasons_know_their_direction": [Corruption(f"update {REASONS} set direction = 'sideways'")],
    "seller_types_have_a_policy": [Corruption("update raw.sellers set seller_type = 'farmer'")],
    "seller_regions_have_rails": [Corruption("update raw.sellers set region = 'MOON'")],
}
# Tests of settings, which no row can break: what dbt compiled them to, and a wrong setting in it.
WRONG_SETTINGS = {"assert_health_weights_sum_to_one": ("0.15", "0.16")}

CASES = [
    pytest.param(name, corruption, id=f"{name}-{number}")
    for name, corruptions in CORRUPTIONS.items()
    for number, corruption in enumerate(corruptions, start=1)
]


def test_every_data_test_has_a_corruption(market: Market) -> None:
    assert set(market.tests) == {*CORRUPTIONS, *WRONG_SETTINGS}
    written = {path.stem for path in (project_dir() / "tests").glob("*.sql")}
    assert written <= set(market.tests)


@pytest.mark.parametrize(("name", "corruption"), CASES)
def test_a_data_test_can_fail(market: Market, name: str, corruption: Corruption, reached: Reached) -> None:
    """On an ordinary Sunday, and on one that looks at all of history."""
    conn, queries = market.conn, (market.tests[name], market.tests_of_a_full_refresh[name])
    with conn.transaction(force_rollback=True):
        assert [market.count(query) for query in queries] == [0, 0]
        if corruption.refused_with:
            with pytest.raises(corruption.refused_with), conn.transaction():
                conn.execute(corruption.seed.encode())
            conn.execute(corruption.disarm.encode())
        conn.execute(corruption.seed.encode())
        assert all(market.count(query) > 0 for query in queries)
    reached(21, "data tests", 1)


@pytest.mark.parametrize(("name", "setting"), WRONG_SETTINGS.items())
def test_a_wrong_setting_is_found(market: Market, name: str, setting: tuple[str, str]) -> None:
    query = market.tests[name]
    assert market.count(query) == 0
    assert market.count(query.replace(*setting, 1)) > 0


def test_a_full_refresh_adds_up_every_entry(market: Market) -> None:
    """Two wrong balances that cancel each other out: an ordinary Sunday believes them."""
    with market.conn.transaction(force_rollback=True):
        market.conn.execute(
            "update payouts.account_balances"
            " set balance = balance + case account when 'seller_payable' then 1 else -1 end"
            " where seller_id = 'busy' and account in ('seller_payable', 'sales_clearing')"
        )
        name = "assert_account_balances_are_their_entries"
        assert market.count(market.tests[name]) == 0
        assert market.count(market.tests_of_a_full_refresh[name]) == 2


# Constraints and triggers.

GUARDED_SCHEMAS = "'raw', 'payouts', 'intermediate', 'seeds', 'marts'"

# What each CHECK refuses.
CHECKS = {
    "adjustment_lines_move_money": "update intermediate.int_adjustment_lines set adjustments = 0",
    "order_events_amounts_fit_their_kind": f"update {EVENTS} set refunds = 1 where kind = 'sale'",
    "order_events_kind_is_known": (
        f"update {EVENTS} set kind = 'gift', line_id = 'gift:' || source_id where kind = 'dispute_closed'"
    ),
    "order_events_line_id_names_its_row": f"update {EVENTS} set source_id = 'other'",
    "order_events_lines_are_complete": f"update {EVENTS} set seller_id = null where unsettled_reason is null",
    "order_events_never_before_home": f"update {EVENTS} set payout_window = home_window - 7",
    "order_events_settle_or_say_why": f"update {EVENTS} set payout_window = null",
    "order_events_unsettled_move_nothing": f"update {EVENTS} set gross = 1 where source_id = 'cancelled'",
    "seller_scores_between_0_and_100": "update intermediate.int_seller_scores set health_score = 100.1",
    "seller_scores_review_says_why": "update intermediate.int_seller_scores set review_reasons = '{odd}'",
    "seller_scores_week_within_month": "update intermediate.int_seller_scores set orders_7d = 9999",
    "window_rows_due_is_due": f"update {ROWS} set reserve_closes_at = 'infinity' where status = 'ready'",
    "window_rows_net": f"update {ROWS} set net = net + 1, carry_out = carry_out + 1",
    "window_rows_payable_not_negative": f"update {ROWS} set payable = -1",
    "window_rows_reserve_after_window": f"update {ROWS} set reserve_closes_at = '-infinity'",
    "window_rows_roll": f"update {ROWS} set carry_out = carry_out + 0.01",
    "window_rows_status": f"update {ROWS} set block_reasons = '{{on_hold}}' where status = 'ready'",
    "adjustment_allocations_amount_is_positive": "update payouts.adjustment_allocations set amount = 0",
    "adjustments_amount_is_positive": "update payouts.adjustments set amount = 0",
    "adjustments_approval_names_its_time": (
        "update payouts.adjustments set approved_at = null where status = 'approved'"
    ),
    "adjustments_are_lines_or_not": (
        "update payouts.adjustments set payout_window = '2026-11-15' where status = 'approved'"
    ),
    "adjustments_cash_is_recovered_by_hand": (
        "update payouts.adjustments set mode = 'auto' where class = 'manual_cash_recovery'"
    ),
    "adjustments_class_is_known": "update payouts.adjustments set class = 'gift' where status = 'cancelled'",
    "adjustments_currency_is_a_code": "update payouts.adjustments set currency = 'usd'",
    "adjustments_enter_at_most_whole": "update payouts.adjustments set applied_amount = amount + 0.01",
    "adjustments_invoice_is_named": (
        "update payouts.adjustments set invoice_reference = '' where class = 'gross_invoice_fee'"
    ),
    "adjustments_mode_is_known": "update payouts.adjustments set mode = 'odd' where status = 'approved'",
    "adjustments_money_came_with_its_reference": (
        "update payouts.adjustments set money_document = null where class = 'manual_cash_recovery'"
    ),
    "adjustments_name_their_source": (
        "update payouts.adjustments set source_id = null where source = 'mismatch'"
    ),
    "adjustments_policy_scope_is_known": "update payouts.adjustments set policy_scope = 'region'",
    "adjustments_say_why": "update payouts.adjustments set note = '' where class like 'carry_forward%'",
    "adjustments_settle_once": "update payouts.adjustments set settled_at = null where status = 'settled'",
    "adjustments_source_is_known": "update payouts.adjustments set source = 'gift', source_id = 'x'",
    "adjustments_status_is_known": "update payouts.adjustments set status = 'lost' where status = 'approved'",
    "batches_approval_names_its_time": "update payouts.batches set approved_at = now()",
    "batches_body_is_what_was_hashed": "update payouts.batches set body = 'other' where body is not null",
    "batches_generation_is_positive": "update payouts.batches set generation = 0",
    "batches_go_on_approved": "update payouts.batches set state = 'approved' where state = 'frozen'",
    "batches_leave_with_key_and_body": "update payouts.batches set rail = null where rail is not null",
    "batches_rejected_say_why": "update payouts.batches set rejection = null where state = 'rejected'",
    "batches_resend_names_its_time": "update payouts.batches set resend_ordered_by = 'mona'",
    "batches_state_is_known": "update payouts.batches set state = 'lost' where state = 'submitted'",
    "batches_submitted_have_a_receipt": (
        "update payouts.batches set rail_batch_id = null where state = 'submitted'"
    ),
    "event_outcomes_name_their_time": "update payouts.event_outcomes set decided_at = null",
    "event_outcomes_outcome_is_known": "update payouts.event_outcomes set outcome = 'lost'",
    "clearances_say_why": "update payouts.clearances set reason = ''",
    "documents_are_named_by_their_content": r"update payouts.documents set content = content || '\x00'",
    "documents_are_what_they_say": "update payouts.documents set media_type = 'image/png'",
    "documents_have_a_size": (
        "insert into payouts.documents (sha256, media_type, content, stored_by)"
        " select encode(sha256(content), 'hex'), 'application/pdf', content, 'olga'"
        " from convert_to('%PDF-' || repeat('x', 10 * 1024 * 1024 - 4), 'UTF8') as content"
    ),
    "exceptions_are_decided_by_another": "update payouts.exceptions set decided_by = requested_by",
    "exceptions_decision_is_known": (
        "update payouts.exceptions set decision = 'perhaps' where decision is not null"
    ),
    "exceptions_decision_names_its_time": (
        "update payouts.exceptions set decided_at = null where decision is not null"
    ),
    "exceptions_deviation_is_known": (
        "update payouts.exceptions set deviation = 'gift' where deviation = 'skip'"
    ),
    "exceptions_say_what": "update payouts.exceptions set to_amount = null",
    "exceptions_say_why": "update payouts.exceptions set reason = ''",
    "executions_have_a_reference": "update payouts.executions set external_reference = ''",
    "executions_move_money": "update payouts.executions set amount = 0",
    "executions_name_their_proof": (
        "update payouts.executions set batch_id = null, asked_at = null where source = 'rail'"
    ),
    "frozen_lines_adjust_or_have_an_order": "update payouts.frozen_lines set order_id = null",
    "frozen_lines_id_names_its_row": "update payouts.frozen_lines set source_id = 'other'",
    "frozen_lines_kind_is_known": (
        "update payouts.frozen_lines set kind = 'gift', line_id = 'gift:' || source_id"
    ),
    "frozen_lines_not_before_home": "update payouts.frozen_lines set payout_window = home_window - 7",
    "frozen_rows_net": f"update {FROZEN_ROWS} set net = net + 1, carry_out = carry_out + 1",
    "frozen_rows_payable_not_negative": (
        f"update {FROZEN_ROWS} set payable = -1, carry_out = carry_out + payable + 1"
    ),
    "frozen_rows_roll": f"update {FROZEN_ROWS} set carry_out = carry_out + 0.01",
    "frozen_rows_status": f"update {FROZEN_ROWS} set status = 'pending'",
    "frozen_windows_are_due": "update payouts.frozen_windows set as_of = reserve_closes_at - interval '1 us'",
    "frozen_windows_digest_is_sha256": "update payouts.frozen_windows set content_digest = 'abc'",
    "holds_release": "update payouts.holds set released_by = 'mona'",
    "holds_say_why": "update payouts.holds set reason = ''",
    "payout_requests_amount_is_positive": "update payouts.payout_requests set amount = 0",
    "payout_requests_currency_is_a_code": "update payouts.payout_requests set currency = 'usd'",
    "payout_requests_decision_has_a_name": (
        "update payouts.payout_requests set decided_at = null where decision = 'approved'"
    ),
    "payout_requests_decision_is_known": (
        "update payouts.payout_requests set decision = 'perhaps' where decision = 'approved'"
    ),
    "payout_requests_need_another_person": (
        "update payouts.payout_requests set decided_by = requested_by where decision = 'approved'"
    ),
    "payout_requests_respect_the_floor": (
        "update payouts.payout_requests set available = amount - 0.01 where decision = 'approved'"
    ),
    "payout_requests_say_why": "update payouts.payout_requests set reason = ''",
    "payout_schedules_amount_is_positive": "update payouts.payout_schedules set amount = 0",
    "payout_schedules_begin_with_a_name": (
        "update payouts.payout_schedules set triggered_by = null where triggered_at is not null"
    ),
    "payout_schedules_currency_is_a_code": "update payouts.payout_schedules set currency = 'usd'",
    "payout_schedules_end_with_a_name": (
        "update payouts.payout_schedules set ended_by = null where status = 'completed'"
    ),
    "payout_schedules_follow_a_guarantee": (
        "update payouts.payout_schedules set order_id = 'odd' where trigger_event = 'manual'"
    ),
    "payout_schedules_say_why": "update payouts.payout_schedules set note = ''",
    "payout_schedules_status_is_known": (
        "update payouts.payout_schedules set status = 'odd' where status = 'completed'"
    ),
    "payout_schedules_tries": "update payouts.payout_schedules set retry_count = 4 where status = 'failed'",
    "payout_schedules_trigger_is_known": (
        "update payouts.payout_schedules set trigger_event = 'odd' where trigger_event = 'manual'"
    ),
    "escrow_holds_amount_is_positive": "update payouts.escrow_holds set amount = 0",
    "escrow_holds_currency_is_a_code": "update payouts.escrow_holds set currency = 'usd'",
    "escrow_holds_reason_is_known": "update payouts.escrow_holds set reason = 'odd'",
    "audit_log_context_is_whole": "update payouts.audit_log set metadata = null",
    "escrow_holds_say_why": "update payouts.escrow_holds set note = ''",
    "escrow_holds_refer_to_one_thing": (
        "update payouts.escrow_holds set order_id = 'o', payout_number = 'JPO0000001'"
    ),
    "escrow_holds_status_is_known": (
        "update payouts.escrow_holds"
        " set status = 'lost', ended_by = 'mona', ended_at = now(), ended_because = 'odd'"
    ),
    "escrow_holds_end_with_a_name": "update payouts.escrow_holds set status = 'released'",
    "frozen_rows_hold_money": "update payouts.frozen_rows set held = -1",
    "ledger_entries_account_is_known": "update payouts.ledger_entries set account = 'petty_cash'",
    "ledger_entries_move_money": "update payouts.ledger_entries set amount = 0",
    "ledger_entries_obligations_are_of_an_adjustment": (
        "update payouts.ledger_entries set adjustment_number = null where account = 'seller_obligations'"
    ),
    "ledger_transactions_kind_is_known": "update payouts.ledger_transactions set kind = 'gift'",
    "payouts_amount_is_positive": "update payouts.payouts set amount = 0",
    "payouts_blocked_says_why": "update payouts.payouts set block_reasons = '{odd}' where status = 'ready'",
    "payouts_know_their_destination": "update payouts.payouts set destination = null where status = 'ready'",
    "payouts_status_is_known": "update payouts.payouts set status = 'lost' where status = 'ready'",
    "proofs_say_why": "update payouts.proofs set reason = ''",
    "rail_events_status_is_known": "update payouts.rail_events set status = 'lost'",
    "rail_states_status_is_known": "update payouts.rail_states set status = 'lost'",
    "resolutions_say_why": "update payouts.resolutions set note = ''",
    "resolutions_verdict_is_known": "update payouts.resolutions set verdict = 'perhaps'",
    "reversals_say_why": "update payouts.reversals set note = ''",
    "second_factor_rule_is_one_row": (
        "insert into payouts.second_factor_rule (only_row, for_everybody) values (false, true)"
    ),
    "notifications_channel_is_known": "update payouts.notifications set channel = 'pigeon'",
    "notifications_delivery_is_whole": "update payouts.notifications set delivered_at = now()",
    "notifications_through_the_outbox_are_events": (
        "update payouts.notifications set channel = 'outbox', event_id = null"
    ),
    "outbox_delivery_is_whole": "update payouts.outbox set next_try_at = now()",
    "outbox_type_is_of_its_entity": "update payouts.outbox set type = 'payout_schedule.' || type",
    "second_factors_presented_is_counted": "update payouts.second_factors set tries = 0",
    "second_factors_presented_whole": "update payouts.second_factors set presented_at = null",
    "second_factors_secret_is_a_key": r"update payouts.second_factors set secret = '\x00'",
    "second_factors_tries_end_in_a_lock": "update payouts.second_factors set tries = 6",
    "seller_logins_are_of_a_seller": "update payouts.seller_logins set seller_id = ''",
    "submit_attempts_end": "update payouts.submit_attempts set ended_at = null",
    "submit_attempts_outcome_is_known": "update payouts.submit_attempts set outcome = 'lost'",
    "warehouse_runs_end": "update payouts.warehouse_runs set finished_at = null",
    "warehouse_runs_outcome_is_known": "update payouts.warehouse_runs set outcome = 'lost'",
    "control_totals_amount_is_money": "update raw.control_totals set amount = 0.001",
    "control_totals_have_an_id": "update raw.control_totals set order_id = ''",
    "disputes_amount_is_money": "update raw.disputes set amount = -1",
    "disputes_have_ids": "update raw.disputes set order_id = ''",
    "disputes_open_or_closed": "update raw.disputes set closed_at = null where status = 'won'",
    "disputes_status_is_known": "update raw.disputes set status = 'settled'",
    "orders_currency_is_a_code": "update raw.orders set currency = 'usd'",
    "orders_fee_is_money": "update raw.orders set fee_amount = 0.001",
    "orders_gross_is_money": "update raw.orders set gross_amount = 'NaN'",
    "orders_have_an_id": "update raw.orders set order_id = ''",
    "orders_status_is_known": "update raw.orders set status = 'paid'",
    "refunds_amount_is_money": "update raw.refunds set amount = 1e12",
    "refunds_fee_is_money": "update raw.refunds set fee_refund_amount = -0.01",
    "refunds_have_ids": "update raw.refunds set order_id = ''",
    "sellers_currency_is_a_code": "update raw.sellers set settlement_currency = ''",
    "sellers_product_is_named": "update raw.sellers set product = ''",
    "sellers_have_an_id": "update raw.sellers set seller_id = ''",
    "sellers_status_is_known": "update raw.sellers set status = 'sleeping'",
}


def _proposed(like: str, applied: str = "amount") -> str:
    """The adjustments that are `like` that, once more."""
    return f"""
        insert into payouts.adjustments
        (
            seller_id, currency, class, amount, reason, note, invoice_reference, document, source, source_id,
            mode, policy_scope, applied_amount, applied_to, proposed_by
        )
        select seller_id, currency, class, amount, reason, note, invoice_reference, document, source,
            source_id, mode, policy_scope, {applied}, seller_id, proposed_by
        from payouts.adjustments where {like}
    """


# What each other unique or exclusion constraint refuses; a primary key refuses any of its rows a second time.
KEYS = {
    "adjustments_one_per_dispute": _proposed("source = 'dispute'"),
    "batch_items_a_seller_once": """
        insert into payouts.batch_items (batch_id, payout_number, seller_id, currency)
        select batch_id, 'other', seller_id, currency from payouts.batch_items limit 1
    """,
    "batch_items_one_live_batch": """
        insert into payouts.batch_items (batch_id, payout_number, seller_id, currency)
        select 'other', payout_number, seller_id, currency from payouts.batch_items
        where released_at is null
    """,
    "batches_generation": """
        insert into payouts.batches
        (
            batch_id, payout_window, generation, state, content_digest, approved_by, approved_at,
            idempotency_key, rail, body, body_hash, rejection
        )
        select 'other', payout_window, generation, state, content_digest, approved_by, approved_at,
            'other', rail, body, body_hash, rejection
        from payouts.batches where state = 'rejected'
    """,
    "batches_one_key": """
        update payouts.batches set idempotency_key = 'same' where idempotency_key is not null
    """,
    "batches_one_live": """
        insert into payouts.batches (batch_id, payout_window, generation, content_digest)
        select 'other', payout_window, generation + 1, content_digest from payouts.batches
        where state = 'frozen' and request_number is null
    """,
    "exceptions_one_open": """
        insert into payouts.exceptions (adjustment_number, deviation, reason, requested_by)
        select adjustment_number, 'skip', reason, requested_by from payouts.exceptions where decision is null
    """,
    "executions_are_corrected_once": """
        insert into payouts.executions
        (payout_number, rail, external_reference, amount, executed_at, source, corrects, noted_by)
        select payout_number, rail, concat('odd ', execution_id, number), 1, executed_at, 'manual',
            execution_id, noted_by
        from payouts.executions cross join generate_series(1, 2) as number
    """,
    "executions_reference_is_unique": """
        insert into payouts.executions
        (payout_number, rail, external_reference, amount, executed_at, source, noted_by)
        select 'other', rail, external_reference, 1, executed_at, 'manual', noted_by from payouts.executions
    """,
    "frozen_windows_do_not_overlap": """
        update payouts.frozen_windows set payout_window = payout_window + 1 where payout_window = '2026-11-01'
    """,
    "holds_one_live": """
        insert into payouts.holds (seller_id, payout_window, reason, held_by)
        select seller_id, payout_window, reason, held_by from payouts.holds
    """,
    "ledger_transactions_one_effect": """
        insert into payouts.ledger_transactions (kind, reference)
        select kind, reference from payouts.ledger_transactions
    """,
    "notifications_once": """
        insert into payouts.notifications (about, channel, recipient, message)
        select about, channel, recipient, message from payouts.notifications
    """,
    "payout_requests_one_per_schedule": """
        insert into payouts.payout_requests
        (seller_id, currency, amount, reason, requested_by, schedule_number)
        select seller_id, currency, 1, 'odd', 'mona', schedule_number from payouts.payout_requests
        where schedule_number is not null
    """,
    "payouts_one_per_request": """
        insert into payouts.payouts
        (payout_window, seller_id, currency, amount, status, block_reasons, request_number)
        select payout_window, seller_id, currency, 1, 'blocked', '{odd}', request_number from payouts.payouts
        where request_number is not null
    """,
    "payouts_one_per_row": """
        insert into payouts.payouts (payout_window, seller_id, currency, amount, status, block_reasons)
        select payout_window, seller_id, currency, 1, 'blocked', '{odd}' from payouts.payouts
    """,
    "proofs_of_one_execution": """
        insert into payouts.proofs (execution_id, sha256, reason, added_by)
        select execution_id + 1, sha256, reason, added_by from payouts.proofs
    """,
    "rail_events_once": """
        insert into payouts.rail_events (rail, rail_event_id, event_type, proves_content, body)
        select rail, rail_event_id, 'another', true, '' from payouts.rail_events
    """,
    "reversals_of_one_adjustment": """
        insert into payouts.reversals (payout_number, reason, note, adjustment_number, reversed_by)
        select 'other', reason, note, adjustment_number, reversed_by from payouts.reversals
    """,
}


# What each foreign key refuses.
REFERENCES = {
    "adjustment_allocations_adjustment_number_fkey": """
        insert into payouts.adjustment_allocations values ('none', '2026-11-15', 1)
    """,
    "adjustment_allocations_payout_window_fkey": """
        insert into payouts.adjustment_allocations values ('ADJ0000001', '1999-01-03', 1);
        set constraints all immediate
    """,
    "adjustments_document_fkey": """
        insert into payouts.adjustments
        (
            seller_id, currency, class, amount, reason, note, document, source, mode, policy_scope,
            applied_amount, applied_to, proposed_by
        )
        values (
            'busy', 'USD', 'carry_forward_credit', 1, 'odd', 'odd', 'none', 'manual', 'auto', 'default', 1,
            'busy', 'mona'
        )
    """,
    "adjustments_money_document_fkey": """
        update payouts.adjustments
        set status = 'settled', settled_at = now(), money_reference = 'odd', money_document = 'none'
        where class = 'gross_invoice_fee' and status = 'applied'
    """,
    "batch_items_batch_id_fkey": """
        insert into payouts.batch_items (batch_id, payout_number, seller_id, currency)
        select 'none', payout_number, seller_id, currency from payouts.payouts
        where status = 'ready' and request_number is null
    """,
    "batch_items_payout_number_fkey": """
        insert into payouts.batch_items (batch_id, payout_number, seller_id, currency)
        values ('W2026-11-01-G2', 'none', 'nobody', 'USD')
    """,
    "batches_payout_window_fkey": """
        insert into payouts.batches (batch_id, payout_window, content_digest) values ('x', '1999-01-03', 'x')
    """,
    "batches_request_number_fkey": """
        insert into payouts.batches (batch_id, payout_window, request_number, content_digest)
        values ('x', '2026-11-01', 'none', 'x')
    """,
    "event_outcomes_event_id_fkey": "insert into payouts.event_outcomes (event_id) values (0)",
    "exceptions_adjustment_number_fkey": """
        insert into payouts.exceptions (adjustment_number, deviation, reason, requested_by)
        values ('none', 'skip', 'odd', 'mona')
    """,
    "executions_batch_id_fkey": _executed("'JPO0000001'", "'rail', null, 'none', now()"),
    "escrow_holds_payout_number_fkey": """
        insert into payouts.escrow_holds
        (seller_id, currency, amount, reason, note, held_by, payout_number)
        values ('paid', 'CHF', 1, 'other', 'odd', 'mona', 'none')
    """,
    "executions_corrects_fkey": """
        insert into payouts.executions
        (payout_number, rail, external_reference, amount, executed_at, source, corrects, noted_by)
        values ('JPO0000001', 'TRC-20', 'odd', 1, now(), 'manual', 0, 'olga')
    """,
    "executions_event_id_fkey": _executed("'JPO0000001'", "'rail', 0, null, null"),
    "executions_payout_number_fkey": _executed("'none'", "'manual', null, null, null"),
    "frozen_rows_payout_window_fkey": f"""
        insert into {FROZEN_ROWS}
        select '1999-01-03', seller_id, currency, gross, fees, refunds, net, disputes, adjustments, carry_in,
            payable, carry_out, rail, status, block_reasons, order_count, late_line_count
        from {FROZEN_ROWS} limit 1;
        set constraints all immediate
    """,
    "frozen_windows_run_id_fkey": """
        insert into payouts.frozen_windows
        select '1999-01-03', window_ends_at, reserve_closes_at, as_of, gen_random_uuid(), settings,
            content_digest, row_count, line_count, frozen_by
        from payouts.frozen_windows limit 1
    """,
    "ledger_entries_adjustment_number_fkey": """
        insert into payouts.ledger_entries
        (transaction_id, account, seller_id, currency, amount, adjustment_number)
        values (1, 'seller_payable', 's', 'USD', 1, 'none'), (1, 'payouts_paid', 's', 'USD', -1, 'none')
    """,
    "ledger_entries_payout_number_fkey": """
        insert into payouts.ledger_entries
        (transaction_id, account, seller_id, currency, amount, payout_number)
        values (1, 'seller_payable', 's', 'USD', 1, 'none'), (1, 'payouts_paid', 's', 'USD', -1, 'none')
    """,
    "ledger_entries_transaction_id_fkey": """
        insert into payouts.ledger_entries (transaction_id, account, seller_id, currency, amount)
        values (0, 'seller_payable', 's', 'USD', 1), (0, 'payouts_paid', 's', 'USD', -1)
    """,
    "payout_coverage_payout_number_fkey": """
        insert into payouts.payout_coverage values ('none', '2026-11-01')
    """,
    "payout_coverage_payout_window_fkey": """
        insert into payouts.payout_coverage select payout_number, '1999-01-03' from payouts.payouts;
        set constraints all immediate
    """,
    "payout_requests_schedule_number_fkey": """
        insert into payouts.payout_requests
        (seller_id, currency, amount, reason, requested_by, schedule_number)
        values ('paid', 'USD', 1, 'odd', 'mona', 'none')
    """,
    "payouts_request_number_fkey": """
        alter table payouts.payouts disable trigger payouts_go_their_way;
        insert into payouts.payouts (
            payout_window, seller_id, currency, amount, status, block_reasons, request_number
        )
        values ('2026-11-01', 'busy', 'USD', 1, 'blocked', '{odd}', 'none')
    """,
    "payouts_belong_to_a_row": """
        insert into payouts.payouts (payout_window, seller_id, currency, amount, status, block_reasons)
        values ('1999-01-03', 'busy', 'USD', 1, 'blocked', '{odd}')
    """,
    "proofs_execution_id_fkey": """
        insert into payouts.proofs (execution_id, sha256, reason, added_by)
        select 0, document, 'odd', 'olga' from payouts.resolutions where document is not null
    """,
    "proofs_sha256_fkey": """
        insert into payouts.proofs (execution_id, sha256, reason, added_by) values (1, 'none', 'odd', 'olga')
    """,
    "rail_states_batch_id_fkey": """
        insert into payouts.rail_states (batch_id, payout_number, status, is_final, amount, asked_at)
        values ('none', 'JPO0000001', 'completed', true, 1, now())
    """,
    "resolutions_adjustment_number_fkey": _resolved("'JPO0000001'", "'none'", "null"),
    "resolutions_document_fkey": _resolved("'JPO0000001'", "null", "'none'"),
    "resolutions_payout_number_fkey": _resolved("'none'", "null", "null"),
    "notifications_event_id_fkey": """
        insert into payouts.notifications (about, event_id, channel, recipient, message)
        values ('event:0', 0, 'stdout', 'reader', 'odd')
    """,
    "reversals_adjustment_number_fkey": _reversed("'JPO0000001'", "'none'", "null"),
    "reversals_evidence_fkey": _reversed("'JPO0000001'", "'ADJ0000001'", "'none'"),
    "reversals_payout_number_fkey": _reversed("'none'", "'ADJ0000001'", "null"),
    "submit_attempts_batch_id_fkey": """
        insert into payouts.submit_attempts (batch_id, actor) values ('none', 'olga')
    """,
}

# What each trigger refuses, and the SQLSTATE it does so with.
CHANGES = ("update {0} set {1} = {1}", "delete from {0}", "truncate {0} cascade")


def _never(table: str, column: str) -> list[tuple[str, str]]:
    return [(change.format(f"payouts.{table}", column), "23001") for change in CHANGES]


def _never_removed(table: str) -> list[tuple[str, str]]:
    return [(change.format(f"payouts.{table}"), "23001") for change in CHANGES[1:]]


def _booked(seller: str, status: str) -> str:
    """A booking that moves what the seller `paid` is owed, out of `seller`'s account."""
    return (
        "with booked as (insert into payouts.ledger_transactions (kind, reference)"
        " values ('submit', 'odd') returning transaction_id)"
        " insert into payouts.ledger_entries"
        " (transaction_id, account, seller_id, currency, amount, payout_number)"
        f" select transaction_id, account, '{seller}', currency, sign * amount, payout_number"
        " from payouts.payouts cross join booked"
        " cross join (values ('seller_payable', -1), ('payouts_in_transit', 1)) as side (account, sign)"
        f" where payouts.seller_id = 'paid' and payouts.status = '{status}'"
    )


# Every pair of states is tried in test_transitions.py.
TRIGGERS = {
    "adjustment_allocations_never_change": _never("adjustment_allocations", "amount"),
    "adjustments_are_booked": [
        (
            "update payouts.adjustments set status = 'applied', approved_at = now()"
            " where status = 'proposed'; set constraints all immediate",
            "23514",
        ),
    ],
    "adjustments_are_never_removed": _never_removed("adjustments"),
    "adjustments_go_their_way": [
        (_proposed("status = 'approved'", "amount - 1"), "23001"),
        *(
            (f"update payouts.adjustments set {change}", "23001")
            for change in (
                "amount = amount + 1",
                "seller_id = 'small', applied_to = 'small'",
                "currency = 'EUR'",
                "applied_amount = applied_amount - 0.01",
                "applied_to = 'small' where status = 'approved'",
                "not_before = '2027-01-03' where status = 'approved'",
                "approved_by = 'somebody' where approved_at is not null",
                "status = 'proposed', approved_at = null where status = 'cancelled'",
                "money_reference = 'other' where status = 'settled' and money_reference is not null",
            )
        ),
        # Its exception is open.
        (
            "update payouts.adjustments set status = 'cancelled' where amount = 2",
            "WC003",
        ),
    ],
    "audit_log_never_changes": _never("audit_log", "actor"),
    "batch_items_are_never_removed": _never_removed("batch_items"),
    "batch_items_are_released_once": [
        ("update payouts.batch_items set released_at = now() where released_at is not null", "23001"),
        ("update payouts.batch_items set released_at = null where released_at is not null", "23001"),
        ("update payouts.batch_items set seller_id = 'small' where released_at is null", "23001"),
    ],
    "batches_are_approved_by_another": [
        (
            "update payouts.batches set state = 'approved', approved_by = 'tester', approved_at = now()"
            " where state = 'frozen'",
            "WC003",
        ),
        (
            "update payouts.batches set state = 'approved', approved_by = 'anna', approved_at = now(),"
            " content_digest = repeat('0', 64) where state = 'frozen'",
            "WC003",
        ),
        # Who has proposed what its payouts pay, in whatever window it entered.
        (
            "update payouts.batches set state = 'approved', approved_by = 'mona', approved_at = now()"
            " where state = 'frozen'",
            "WC003",
        ),
        # What a seller is paid is not decided.
        (
            "insert into payouts.exceptions (adjustment_number, deviation, reason, requested_by)"
            " select adjustment_number, 'skip', 'odd', 'mona' from payouts.adjustments"
            " where source = 'restatement';"
            " update payouts.batches set state = 'approved', approved_by = 'zoe', approved_at = now()"
            " where state = 'frozen'",
            "WC003",
        ),
    ],
    "batches_are_never_removed": _never_removed("batches"),
    "batches_go_their_way": [
        (
            "insert into payouts.batches (batch_id, payout_window, generation, content_digest, state)"
            " select 'other', payout_window, 3, content_digest, 'rejected' from payouts.batches limit 1",
            "23001",
        ),
        *(
            (f"update payouts.batches set {change} where state = 'submitted'", "23001")
            for change in (
                "content_digest = repeat('0', 64)",
                "approved_by = 'mona'",
                "idempotency_key = 'other'",
                "rail = 'other'",
                "body = 'other', body_hash = encode(sha256('other'), 'hex')",
                "rail_batch_id = 'other'",
                "payout_window = '2026-11-15'",
                "generation = 3",
            )
        ),
        ("update payouts.batches set rejection = '{}' where state = 'rejected'", "23001"),
    ],
    "documents_never_change": _never("documents", "media_type"),
    "event_outcomes_are_decided_once": [
        ("update payouts.event_outcomes set decided_at = now()", "23001"),
    ],
    "escrow_holds_are_never_removed": _never_removed("escrow_holds"),
    "escrow_holds_end_once": [
        ("update payouts.escrow_holds set amount = 2", "23001"),
        (
            "insert into payouts.escrow_holds (seller_id, currency, amount, reason, note, held_by, status,"
            " ended_by, ended_at, ended_because) values ('paid', 'CHF', 1, 'other', 'odd', 'mona',"
            " 'released', 'mona', now(), 'odd')",
            "23001",
        ),
    ],
    "event_outcomes_are_never_removed": _never_removed("event_outcomes"),
    "exceptions_are_decided_once": [
        ("update payouts.exceptions set decision = 'rejected' where decision = 'approved'", "23001"),
        ("update payouts.exceptions set reason = 'other' where decision is null", "23001"),
        (
            "update payouts.exceptions set requested_by = 'olga', decision = 'approved',"
            " decision_note = 'so', decided_by = 'anna', decided_at = now() where decision is null",
            "23001",
        ),
        (
            "insert into payouts.exceptions (adjustment_number, deviation, reason, requested_by, decision,"
            " decision_note, decided_by, decided_at)"
            " select adjustment_number, 'skip', 'odd', 'olga', 'approved', 'so', 'anna', now()"
            " from payouts.adjustments where status = 'proposed'",
            "23001",
        ),
        # Who proposed what is asked about.
        (
            "insert into payouts.exceptions (adjustment_number, deviation, reason, requested_by)"
            " select adjustment_number, 'skip', 'odd', 'olga' from payouts.adjustments"
            " where status = 'proposed';"
            " update payouts.exceptions set decision = 'approved', decision_note = 'so', decided_by = 'mona',"
            " decided_at = now() where requested_by = 'olga'",
            "WC003",
        ),
    ],
    "exceptions_are_never_removed": _never_removed("exceptions"),
    "executions_are_proved": [
        (
            _executed("'JPO0000002'", "'manual', null, null, null") + "; set constraints all immediate",
            "23514",
        ),
    ],
    "executions_never_change": _never("executions", "amount"),
    "frozen_lines_adjust_as_approved": [
        (_entered(what, *otherwise), "WC003")
        for what, *otherwise in (
            # Another seller's, in part, more than whole, the other way, in other money.
            ("source = 'restatement'", "'busy'"),
            ("source = 'restatement'", "applied_to", "-applied_amount / 2"),
            ("source = 'restatement'", "applied_to", "-applied_amount * 2"),
            ("source = 'restatement'", "applied_to", "applied_amount"),
            # Once more.
            ("status in ('applied', 'settled') and payout_window is not null",),
            ("status = 'cancelled'",),
            ("not_before > '2026-11-22'",),
            # Its exception is open.
            ("amount = 2",),
            # An invoice, and cash.
            ("class = 'gross_invoice_fee' and status = 'applied'",),
            ("class = 'manual_cash_recovery'",),
        )
    ]
    + [(_entered("source = 'restatement'").replace(" currency, 'adj", " 'EUR', 'adj"), "WC003")],
    "frozen_lines_never_change": _never("frozen_lines", "gross"),
    "frozen_rows_never_change": _never("frozen_rows", "payable"),
    "frozen_windows_never_change": _never("frozen_windows", "as_of"),
    "payout_coverage_never_changes": _never("payout_coverage", "payout_window"),
    "ledger_entries_follow_adjustments": [
        (_recognized("indebted"), "23514"),
        (_recognized("reversed"), "23514"),
    ],
    "ledger_entries_follow_payouts": [
        (_booked("paid", "ready"), "23514"),
        (
            "update payouts.payouts set status = 'submitted' where seller_id = 'paid' and status = 'ready';"
            + _booked("busy", "submitted"),
            "23514",
        ),
    ],
    "ledger_entries_never_change": _never("ledger_entries", "amount"),
    "ledger_transactions_never_change": _never("ledger_transactions", "kind"),
    "ledger_transactions_have_entries": [
        (
            "insert into payouts.ledger_transactions (kind, reference) values ('pay', 'nothing');"
            " set constraints all immediate",
            "23514",
        )
    ],
    "payout_requests_are_decided": [
        *(
            (f"update payouts.payout_requests set {change}", "23001")
            for change in (
                "amount = amount - 1",
                "requested_by = 'other'",
                "decision_reason = 'other' where decision = 'rejected'",
                "decided_by = 'other' where decision = 'approved'",
                "decision = null, decided_by = null, decided_at = null where decision = 'approved'",
            )
        ),
        (
            "insert into payouts.payout_requests (seller_id, currency, amount, reason, requested_by,"
            " decision, decided_by, decided_at, available)"
            " values ('paid', 'USD', 1, 'odd', 'mona', 'approved', 'anna', now(), 1)",
            "23001",
        ),
    ],
    "payout_requests_are_never_removed": _never_removed("payout_requests"),
    "payout_schedules_are_never_removed": _never_removed("payout_schedules"),
    "payout_schedules_go_their_way": [
        *(
            (f"update payouts.payout_schedules set {change}", "23001")
            for change in (
                "amount = amount - 1",
                "note = 'other' where status = 'processing'",
                "retry_count = 3 where status = 'processing'",
                "retry_count = 0, last_error = null where status = 'processing'",
                "triggered_at = '-infinity' where status = 'processing'",
                "ended_by = 'other' where status = 'completed'",
            )
        ),
        (
            "insert into payouts.payout_schedules (seller_id, currency, amount, trigger_event, note,"
            " created_by, status, ended_by, ended_at, cancel_reason)"
            " values ('paid', 'USD', 1, 'manual', 'odd', 'mona', 'cancelled', 'mona', now(), 'odd')",
            "23001",
        ),
    ],
    "payouts_are_booked": [
        (
            "update payouts.payouts set status = 'submitted' where status = 'ready';"
            " set constraints all immediate",
            "23514",
        ),
    ],
    "payouts_are_never_removed": _never_removed("payouts"),
    "payouts_go_their_way": [
        (
            "insert into payouts.payouts"
            " (payout_window, seller_id, currency, amount, rail, destination, status)"
            " values ('2026-11-15', 'small', 'USD', 1, 'SPL', 'x', 'paid')",
            "23001",
        ),
        *(
            (f"update payouts.payouts set {change}", "23001")
            for change in (
                "amount = amount + 0.01",
                "destination = 'elsewhere'",
                "rail = 'SPL'",
                "seller_id = 'small'",
                "currency = 'EUR' where seller_id = 'paid'",
                "payout_window = '2026-11-08'",
                "created_at = now()",
                "request_number = null where request_number is not null",
                "status = 'paid' where status = 'ready'",
                "status = 'reversed' where seller_id = 'paid' and status = 'paid'",
                "reference_id = 'other' where seller_id = 'paid'",
                "reference_id = null where status = 'paid'",
            )
        ),
        (
            "insert into payouts.payouts (payout_window, seller_id, currency, amount, rail, destination,"
            " status, reference_id) values ('2026-11-15', 'small', 'USD', 1, 'SPL', 'x', 'ready', 'TX-0')",
            "23001",
        ),
        # Nobody has approved it.
        (
            "insert into payouts.payouts (payout_window, seller_id, currency, amount, rail, destination,"
            " status, request_number) select '2026-11-01', seller_id, currency, amount, 'SPL', 'x', 'ready',"
            " request_number from payouts.payout_requests where decision is null",
            "23001",
        ),
        # It is of another amount.
        (
            "insert into payouts.payouts (payout_window, seller_id, currency, amount, rail, destination,"
            " status, request_number) select '2026-11-01', seller_id, currency, amount - 1, 'SPL', 'x',"
            " 'ready', request_number from payouts.payout_requests where decision = 'approved'",
            "23001",
        ),
    ],
    "notifications_are_delivered_once": [
        ("update payouts.notifications set message = 'another', tries = 1", "23001"),
        ("update payouts.notifications set last_error = 'odd'", "23001"),
    ],
    "notifications_are_never_removed": _never_removed("notifications"),
    "outbox_is_delivered_in_order": [
        ("update payouts.outbox set payload = '{}', tries = 1", "23001"),
        ("update payouts.outbox set last_error = 'odd'", "23001"),
        # The first is delivered once; another waits for an earlier one.
        (
            "select payouts.note_deliveries(array[1], array[null]);"
            " update payouts.outbox set tries = 2 where event_id = 1",
            "23001",
        ),
        (
            "update payouts.outbox set tries = 1, delivered_at = now() where type = 'payout.submitted'",
            "23001",
        ),
    ],
    "outbox_is_never_removed": _never_removed("outbox"),
    "proofs_never_change": _never("proofs", "reason"),
    "rail_events_never_change": _never("rail_events", "event_type"),
    "resolutions_never_change": _never("resolutions", "note"),
    "reversals_are_of_a_reversed_payout": [
        # Paid, and reversed with what another seller owes.
        (_reversed("'JPO0000009'", "'ADJ0000001'", "null") + "; set constraints all immediate", "23514"),
        (
            _reversed("'JPO0000009'", "'ADJ0000006'", "null")
            + "; update payouts.payouts set status = 'reversed' where payout_number = 'JPO0000009';"
            " set constraints all immediate",
            "23514",
        ),
    ],
    "reversals_never_change": _never("reversals", "note"),
    "submit_attempts_are_never_removed": _never_removed("submit_attempts"),
    "submit_attempts_end_once": [
        ("update payouts.submit_attempts set detail = 'odd'", "23001"),
        (
            "insert into payouts.submit_attempts (batch_id, actor) values ('W2026-11-01-G2', 'olga');"
            " update payouts.submit_attempts set actor = 'mona' where outcome is null",
            "23001",
        ),
    ],
    "ledger_entries_balance": [
        (
            "with booked as (insert into payouts.ledger_transactions (kind, reference)"
            " values ('pay', 'too much') returning transaction_id)"
            " insert into payouts.ledger_entries (transaction_id, account, seller_id, currency, amount)"
            " select transaction_id, 'seller_payable', 'busy', 'USD', 0.01 from booked",
            "23514",
        ),
        (
            "insert into payouts.ledger_entries (transaction_id, account, seller_id, currency, amount)"
            " values (1, 'seller_payable', 'busy', 'USD', 1), (1, 'payouts_paid', 'busy', 'USD', -1)",
            "23001",
        ),
    ],
}


def _constraints(kinds: str) -> str:
    return (
        "select conname::text from pg_constraint"
        f" where contype in ({kinds}) and connamespace::regnamespace::text in ({GUARDED_SCHEMAS})"
    )


# What writes the outbox: test_outbox.py asks each of them.
TELL = {
    f"{table}_tell_{what}"
    for table in ("adjustments", "escrow_holds", "payout_requests", "payout_schedules", "payouts")
    for what in ("that_they_are", "what_becomes_of_them")
}


def test_every_constraint_and_trigger_has_a_corruption(market: Market) -> None:
    assert market.names(_constraints("'c'")) == set(CHECKS)
    assert market.names(_constraints("'f'")) == set(REFERENCES)
    unique = (
        "select index.indexrelid::regclass::text from pg_index as index"
        " inner join pg_class on index.indrelid = pg_class.oid"
        f" where index.indisunique and pg_class.relnamespace::regnamespace::text in ({GUARDED_SCHEMAS})"
        " and not exists (select from pg_constraint where conindid = index.indexrelid)"
    )
    other_keys = {name.rpartition(".")[2] for name in market.names(unique)}
    assert market.names(_constraints("'u', 'x'")) | other_keys == set(KEYS)
    triggers = (
        "select tgname::text from pg_trigger inner join pg_class on tgrelid = pg_class.oid"
        f" where not tgisinternal and relnamespace::regnamespace::text in ({GUARDED_SCHEMAS})"
    )
    assert market.names(triggers) == {
        *TRIGGERS,
        "payouts_take_turns",
        "rail_events_wait",
        "executions_give_their_reference",
        *TELL,
    }
    keyless = (
        "select relname::text from pg_class where relkind = 'r'"
        " and relnamespace::regnamespace::text in ('raw', 'payouts', 'intermediate')"
        " and not exists (select from pg_constraint where conrelid = pg_class.oid and contype = 'p')"
    )
    # Nothing is ever in it: it is there to be locked.
    assert market.names(keyless) == {"turns"}


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_refuses(market: Market, name: str, reached: Reached) -> None:
    # A replica runs no trigger: the CHECK stands alone.
    with market.conn.transaction(force_rollback=True):
        market.conn.execute("set local session_replication_role = replica")
        with pytest.raises(CheckViolation) as caught:
            market.conn.execute(CHECKS[name].encode())
    assert caught.value.diag.constraint_name == name
    reached(21, "CHECKs", 1)


@pytest.mark.parametrize("name", KEYS)
def test_a_key_refuses(market: Market, name: str, reached: Reached) -> None:
    with market.conn.transaction(force_rollback=True):
        market.conn.execute("set local session_replication_role = replica")
        with pytest.raises((UniqueViolation, ExclusionViolation)) as caught:
            market.conn.execute(KEYS[name].encode())
    assert caught.value.diag.constraint_name == name
    reached(21, "keys", 1)


def test_primary_keys_refuse_a_row_twice(market: Market) -> None:
    keys = market.conn.execute(
        "select nspname, relname, conname, (select array_agg(attname) from pg_attribute"
        " where attrelid = conrelid and attnum > 0 and attgenerated = '' and not attisdropped)"
        " from pg_constraint inner join pg_class on conrelid = pg_class.oid"
        " inner join pg_namespace on relnamespace = pg_namespace.oid"
        " where contype = 'p' and nspname in ('raw', 'payouts', 'intermediate')"
    ).fetchall()
    assert len(keys) > 20
    for schema, table, key, columns in keys:
        again = sql.SQL("insert into {0} ({1}) overriding system value select {1} from {0} limit 1").format(
            sql.Identifier(schema, table), sql.SQL(", ").join(map(sql.Identifier, columns))
        )
        with market.conn.transaction(force_rollback=True):
            market.conn.execute("set local session_replication_role = replica")
            with pytest.raises(UniqueViolation) as caught:
                market.conn.execute(again)
        assert caught.value.diag.constraint_name == key


@pytest.mark.parametrize("name", REFERENCES)
def test_a_reference_refuses(market: Market, name: str, reached: Reached) -> None:
    with (
        market.conn.transaction(force_rollback=True),
        pytest.raises(ForeignKeyViolation) as caught,
    ):
        market.conn.execute(REFERENCES[name].encode())
    assert caught.value.diag.constraint_name == name
    reached(21, "references", 1)


@pytest.mark.parametrize(
    ("change", "sqlstate"),
    [
        pytest.param(change, sqlstate, id=f"{name}-{number}")
        for name, changes in TRIGGERS.items()
        for number, (change, sqlstate) in enumerate(changes, start=1)
    ],
)
def test_a_trigger_refuses(market: Market, change: str, sqlstate: str, reached: Reached) -> None:
    with market.conn.transaction(force_rollback=True), pytest.raises(psycopg.Error) as caught:
        market.conn.execute(change.encode())
    assert caught.value.sqlstate == sqlstate
    reached(21, "changes that a trigger refuses", 1)


def test_who_moves_a_payout_waits_for_a_freeze(market: Market, module_database: Server) -> None:
    """The trigger payouts_take_turns."""
    with (
        open_connection(module_database) as freezer,
        freezer.transaction(force_rollback=True),
        market.conn.transaction(force_rollback=True),
    ):
        freezer.execute("lock table payouts.turns in share row exclusive mode")
        market.conn.execute("set local lock_timeout = '20ms'")
        with pytest.raises(LockNotAvailable):
            market.conn.execute("update payouts.payouts set external_reference = 'x'")


def test_an_event_waits_for_its_outcome(market: Market) -> None:
    """The trigger rail_events_wait."""
    with market.conn.transaction(force_rollback=True):
        market.conn.execute(
            "insert into payouts.rail_events (rail, rail_event_id, event_type, proves_content, body)"
            " values ('batch', 'new', 'new', true, '')"
        )
        assert market.count("select from payouts.event_outcomes where outcome is null") == 1


def test_an_execution_gives_its_reference(market: Market) -> None:
    """The trigger executions_give_their_reference."""
    with market.conn.transaction(force_rollback=True):
        market.conn.execute(_executed("'JPO0000001'", "'rail', 1, null, null").encode())
        assert market.names(
            "select reference_id from payouts.payouts where payout_number = 'JPO0000001'"
        ) == {"odd"}

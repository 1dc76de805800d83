"""Sunday night from the outside: what it freezes, what it refuses, and what a second run does."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import Connection
from psycopg.types.json import Jsonb

from frozen_window import frozen_window
from small_week import NEXT_NIGHT, NIGHT, START, WRONG_CHECKSUM, Week
from weekclose.database import open_connection
from weekclose.errors import Refused, UsageError
from weekclose.freeze import freeze
from weekclose.policy import effective_vars, parse_as_of, parse_vars
from weekclose.postgres import Server
from weekclose.settings import Settings
from weekclose.sunday import run_sunday
from weekclose.warehouse import NodeResult, Vars, Warehouse

NEXT = START + timedelta(7)


def test_a_green_sunday_freezes_the_due_window_once(dbt_week: Week) -> None:
    report = dbt_week.sunday()
    assert report.outcome == "frozen"
    assert [(frozen.payout_window, frozen.payable) for frozen in report.frozen] == [
        (START, {"USD": Decimal("135.00")})
    ]
    assert dbt_week.one("select sum(amount) from payouts.ledger_entries") == 0
    assert (
        dbt_week.one("select sum(amount) from payouts.ledger_entries where account = 'seller_payable'") == 135
    )
    assert dbt_week.one("select count(*) from payouts.audit_log where action = 'freeze'") == 1
    assert dbt_week.one("select state from payouts.batches") == "frozen"

    again = dbt_week.sunday()
    assert (again.outcome, again.frozen) == ("nothing_to_freeze", [])
    assert dbt_week.one("select count(*) from payouts.payouts") == 2
    assert dbt_week.one("select payouts.batch_digest('W2026-11-01')") == report.frozen[0].content_digest


def test_every_sunday_finds_the_project_as_it_was_read_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dbt reads all of a project anew, for seconds, when a setting is another one than last time."""
    told: list[tuple[str, Any]] = []

    def invoked(self: Warehouse, arguments: list[str], variables: Vars, manifest: Any = None) -> Any:
        told.append((arguments[0], variables))
        return SimpleNamespace(nodes={}, results=[])

    monkeypatch.setattr(Warehouse, "_invoke", invoked)
    nights = [
        effective_vars({}, night) | {"proved_until": proved}
        for night, proved in ((NIGHT, "-infinity"), (NEXT_NIGHT, NIGHT.isoformat()))
    ]
    for variables in nights:
        warehouse = Warehouse(Settings(WEEKCLOSE_HOME=tmp_path), Server("nowhere", 1, "nobody", "", "none"))
        warehouse.freshness(variables)
    (_, read), first, (_, read_again), second = told
    assert read == read_again
    assert [first, second] == [("source", variables) for variables in nights]


def test_the_digest_is_a_function_of_the_content(frozen_week: Week) -> None:
    digest = frozen_week.one("select content_digest from payouts.frozen_windows")
    frozen_week.conn.execute("set timezone = 'Pacific/Kiritimati'")
    frozen_week.conn.execute("set datestyle = 'German'")
    assert frozen_week.one("select payouts.window_digest('2026-11-01')") == digest
    frozen_week.conn.execute("set session_replication_role = replica")
    frozen_week.conn.execute(
        "update payouts.frozen_lines set event_at = event_at + interval '1 us' where line_id = 'sale:o1'"
    )
    assert frozen_week.one("select payouts.window_digest('2026-11-01')") != digest


def test_a_wallet_with_a_wrong_checksum_is_blocked_and_its_money_stays(week: Week) -> None:
    week.seller("s3", WRONG_CHECKSUM)
    week.order("o9", "s3", "2026-11-03T10:00Z")
    week.order("o10", "s3", "2026-11-09T10:00Z", gross=20, fee=2)
    report = week.sunday()
    assert (report.frozen[0].ready_count, report.frozen[0].blocked_count) == (2, 1)
    rows = week.conn.execute(
        "select status, block_reasons, carry_in from marts.settlement_windows"
        " where seller_id = 's3' order by payout_window"
    ).fetchall()
    assert rows == [
        ("blocked", ["invalid_wallet"], Decimal("0.00")),
        ("pending", [], Decimal("90.00")),
    ]


def test_a_wallet_that_slipped_in_after_the_build_is_not_promised_to(built_week: Week) -> None:
    built_week.conn.execute(
        "update intermediate.int_window_rows set destination = %s where seller_id = 's2'", (WRONG_CHECKSUM,)
    )
    run_id = built_week.one("select run_id from payouts.warehouse_runs")
    with pytest.raises(Refused, match="seller s2, window 2026-11-01: the wallet"):
        freeze(built_week.conn, run_id, NIGHT, {}, "tester")


def test_red_checks_freeze_nothing(dbt_week: Week) -> None:
    dbt_week.conn.execute("delete from raw.orders where captured_at > '2026-11-08'")
    report = dbt_week.sunday()
    assert report.outcome == "refused"
    assert [result.name for result in report.red] == ["orders"]
    assert "days before as_of" in report.message
    assert dbt_week.one("select count(*) from payouts.frozen_windows") == 0
    assert dbt_week.one("select outcome from payouts.warehouse_runs") == "refused"


def test_a_run_is_told_until_when_the_last_green_one_has_proved(week: Week) -> None:
    """What was red is looked at again, however long ago it arrived; other settings make every line anew."""
    told: list[str] = []
    red = NodeResult("assert_something", "test", "fail", 1, "got 1 result", 0.1)
    later = NEXT_NIGHT + timedelta(70)
    for night, settings, results in (
        (NIGHT, {}, []),
        (NEXT_NIGHT, {}, [red]),
        (NEXT_NIGHT, {"reserve_days": 8}, []),
        (later, {}, []),
        (NIGHT - timedelta(1), {}, []),
    ):

        def build(
            variables: Vars, full_refresh: bool, results: list[NodeResult] = results
        ) -> list[NodeResult]:
            told.append(variables["proved_until"])
            return results

        report = run_sunday(
            week.server,
            SimpleNamespace(freshness=lambda _: [], build=build),  # type: ignore[arg-type]
            as_of=night,
            actor="tester",
            overrides={"settlement_start": START.isoformat(), **settings},
            may_freeze=False,
        )
        assert report.outcome == ("refused" if results else "not_frozen")
    first, after_green, other_settings, after_red, earlier = told
    assert (first, other_settings, earlier) == ("-infinity",) * 3
    assert datetime.fromisoformat(after_green) == datetime.fromisoformat(after_red) == NIGHT


@pytest.mark.parametrize(
    ("proved", "since"),
    [
        ("", NIGHT - timedelta(35)),
        ("-infinity", None),
        ((NIGHT - timedelta(7)).isoformat(), NIGHT - timedelta(35)),
        ((NIGHT - timedelta(70)).isoformat(), NIGHT - timedelta(70)),
    ],
)
def test_data_tests_look_back_to_the_last_green_run(
    dbt_week: Week, proved: str, since: datetime | None
) -> None:
    variables = effective_vars({}, NIGHT) | {"proved_until": proved}
    text = (
        "select nullif({{ audited_since() }}, '-infinity'), nullif({{ first_audited_window() }}, '-infinity')"
    )
    warehouse = dbt_week.warehouse
    assert isinstance(warehouse, Warehouse)
    manifest = warehouse._project(variables).manifest
    ran = warehouse._invoke(["compile", "--inline", text], variables, manifest)
    window = since and since.date() - timedelta((since.weekday() + 1) % 7)
    assert dbt_week.conn.execute(ran.results[0].node.compiled_code).fetchone() == (since, window)


def test_without_a_settlement_start_everything_is_history(dbt_week: Week) -> None:
    report = dbt_week.sunday(start=None)
    assert report.outcome == "refused"
    assert "settlement_start is not set" in report.message
    assert dbt_week.one("select array_agg(distinct status) from marts.settlement_windows") == ["before_start"]
    assert dbt_week.one("select count(*) from marts.seller_balances") == 0


def test_an_earlier_as_of_rebuilds_and_freezes_nothing(dbt_week: Week) -> None:
    dbt_week.sunday(NEXT_NIGHT, may_freeze=False)
    report = dbt_week.sunday(NIGHT)
    assert report.outcome == "refused"
    assert "lies before the last run's" in report.message
    assert dbt_week.one("select count(*) from marts.settlement_lines where order_id = 'o4'") == 0
    # The instant was a typing error: the next run speaks for the right one again, and freezes.
    assert dbt_week.sunday(NIGHT).outcome == "frozen"


def test_no_freeze_builds_only(built_week: Week) -> None:
    assert built_week.one("select status from marts.settlement_windows where seller_id = 's2'") == "ready"
    assert built_week.one("select count(*) from payouts.frozen_windows") == 0


def test_views_that_stand_are_left_alone(dbt_week: Week) -> None:
    """And each that does not is made again, with what it should say of itself."""
    columns = "select pg_get_viewdef('marts.escrow_holds'::regclass)"
    right = dbt_week.one(columns)
    left_alone = dbt_week.sunday(may_freeze=False).counts["success"]
    dbt_week.conn.execute("comment on view marts.escrow_holds is 'mine'")
    dbt_week.conn.execute(
        f"create or replace view marts.escrow_holds as {right.rstrip(';')} limit 0".encode()
    )
    dbt_week.conn.execute("drop view marts.window_summary")
    made = dbt_week.sunday(may_freeze=False).counts["success"]
    assert made > left_alone
    assert dbt_week.one(columns) == right
    assert dbt_week.one("select count(*) from marts.window_summary") > 0
    assert dbt_week.one("select obj_description('marts.escrow_holds'::regclass)").startswith("One row per")


def test_a_skipped_sunday_is_frozen_with_the_next(week: Week) -> None:
    week.order("o5", "s1", "2026-11-09T10:00Z", gross=200, fee=20)
    report = week.sunday(NEXT_NIGHT)
    assert [frozen.payout_window for frozen in report.frozen] == [date(2026, 11, 1), date(2026, 11, 8)]
    rows = week.conn.execute(
        "select payout_window::text, status, carry_in, payable, carry_out from marts.settlement_windows"
        " where seller_id = 's1' and frozen_at is not null order by payout_window"
    ).fetchall()
    assert rows == [
        ("2026-11-01", "carried_forward", Decimal("0.00"), Decimal("0.00"), Decimal("90.00")),
        ("2026-11-08", "ready", Decimal("90.00"), Decimal("270.00"), Decimal("0.00")),
    ]
    covered = week.conn.execute(
        "select array_agg(line_id order by line_id), sum(amount)"
        " from marts.payout_lines where seller_id = 's1'"
    ).fetchone()
    assert covered == (["sale:o1", "sale:o5"], Decimal("270.00"))


def test_what_a_window_is_cannot_change_after_a_freeze(frozen_week: Week) -> None:
    for changed in ({"settlement_timezone": "Europe/Berlin"}, {"payout_window_starts_on": "monday"}):
        start = None
        with pytest.raises(Refused, match="cannot change any more"):
            frozen_week.sunday(NEXT_NIGHT, start=start, overrides=changed)
    with pytest.raises(Refused, match="settlement_start is '2026-11-08'"):
        frozen_week.sunday(NEXT_NIGHT, start=date(2026, 11, 8))
    # Left out, it is what was frozen with.
    assert frozen_week.sunday(NEXT_NIGHT, start=None).outcome == "frozen"


def test_a_run_with_another_reserve_is_kept_with_what_it_froze(dbt_week: Week) -> None:
    dbt_week.sunday(overrides={"reserve_days": 0})
    assert (
        dbt_week.one(
            "select settings ->> 'reserve_days' from payouts.frozen_windows"
            " where payout_window = '2026-11-01'"
        )
        == "0"
    )
    assert dbt_week.one("select max(payout_window)::text from payouts.frozen_windows") == "2026-11-08"
    # Back to seven days: what is frozen stays, nothing more is due until the reserve of the next closes.
    assert dbt_week.sunday(NEXT_NIGHT).outcome == "nothing_to_freeze"


@pytest.mark.catalogue(3)
def test_two_sundays_at_once(week: Week) -> None:
    outcomes: list[str] = []

    def run() -> None:
        try:
            outcomes.append(week.sunday().outcome)
        except Refused as refusal:
            outcomes.append(str(refusal))

    with open_connection(week.server) as other:
        other.execute("select pg_advisory_lock(hashtext('weekclose sunday'))")
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    assert outcomes == ["another Sunday run is going on: wait for it to end"]


def test_marts_of_another_build_are_not_frozen(built_week: Week) -> None:
    built_week.conn.execute("update intermediate.int_builds set as_of = as_of + interval '1 hour'")
    with pytest.raises(Refused, match="rebuilt by another run"):
        freeze(built_week.conn, uuid4(), NIGHT, {}, "tester")


def test_a_row_that_is_not_its_lines_is_not_frozen(built_week: Week) -> None:
    run_id = built_week.one("select run_id from payouts.warehouse_runs")
    built_week.conn.execute("delete from intermediate.int_order_events where line_id = 'sale:o2'")
    with pytest.raises(
        Refused, match=r"seller s2, window 2026-11-01, USD: the row says 45\.00, its lines add up to 0"
    ):
        freeze(built_week.conn, run_id, NIGHT, {}, "tester")
    assert built_week.one("select count(*) from payouts.frozen_rows") == 0


def test_money_that_moved_since_the_build_is_not_frozen_twice(week: Week) -> None:
    week.seller("s3", WRONG_CHECKSUM)
    week.order("o9", "s3", "2026-11-03T10:00Z")
    week.sunday()
    week.sunday(NEXT_NIGHT, may_freeze=False)
    week.conn.execute(
        "update payouts.payouts set status = 'ready', block_reasons = '{}' where seller_id = 's3'"
    )
    run_id = week.one("select run_id from payouts.warehouse_runs limit 1")
    moved = r"seller s3, USD: window 2026-11-08 was built with 90\.00 carried in, the ledger now says 0\.00"
    with pytest.raises(Refused, match=moved):
        freeze(week.conn, run_id, NEXT_NIGHT, {}, "tester")


def test_a_payment_that_was_made_after_its_money_had_rolled(frozen_week: Week) -> None:
    """The rail said that it failed, the money went out with the next window, and it was paid all the same."""
    _tuesday(frozen_week, START, {"JPO0000001": "failed", "JPO0000002": "completed"})
    frozen_week.sunday(NEXT_NIGHT)
    _tuesday(frozen_week, NEXT, {"JPO0000003": "completed"})
    balances = "select array[available_balance, in_transit] from marts.seller_balances where seller_id = 's1'"
    assert frozen_week.one(balances) == [0, 0]
    _look_up(frozen_week, START, {"JPO0000001": "completed"})
    status = "select status from marts.settlement_windows where payout_number = 'JPO0000001'"
    assert frozen_week.one(status) == "awaiting_reconciliation"
    assert frozen_week.one(balances) == [-90, 90]
    for days, expected in ((7, (-90, 90, 0, 0)), (14, (0, 90, 90, 0))):
        frozen_week.order(f"fresh {days}", "s2", (NEXT_NIGHT + timedelta(days - 1)).isoformat())
        report = frozen_week.sunday(NEXT_NIGHT + timedelta(days), full_refresh=True)
        assert (report.outcome, report.message) == ("frozen", "")
        row = frozen_week.conn.execute(
            "select carry_in, net, payable, carry_out from marts.settlement_windows"
            " where seller_id = 's1' and payout_window = %s",
            (NEXT + timedelta(days),),
        ).fetchone()
        assert row == expected, "what was paid twice comes out of what is earned next"


def test_a_payout_covered_by_another_does_not_go_out(frozen_week: Week) -> None:
    """Its money had rolled into this one before the rail said that it was paid."""
    _tuesday(frozen_week, START, {"JPO0000001": "failed"})
    frozen_week.sunday(NEXT_NIGHT)
    _look_up(frozen_week, START, {"JPO0000001": "completed"})
    with pytest.raises(psycopg.Error, match=r"JPO0000003 .* what it pays for is covered by JPO0000001 too"):
        _tuesday(frozen_week, NEXT, {})
    frozen_week.order("fresh", "s2", (NEXT_NIGHT + timedelta(6)).isoformat())
    assert frozen_week.sunday(NEXT_NIGHT + timedelta(7)).outcome == "frozen"


def _tuesday(week: Week, window: date, states: dict[str, str]) -> None:
    """A window leaves, and the rail says what became of it."""
    batch, digest = f"W{window}-G1", week.one(f"select payouts.batch_digest('W{window}')")
    with week.conn.transaction():
        week.conn.execute("select payouts.approve(%s, %s, 'anna')", (window, digest))
        week.conn.execute("select payouts.claim_batch(%s, %s, 'batch', '', 'olga')", (batch, digest))
        week.conn.execute("select payouts.take_receipt(%s, %s, 'olga')", (batch, f"receipt {window}"))
    _look_up(week, window, states)


def _look_up(week: Week, window: date, states: dict[str, str]) -> None:
    said = [
        {
            "reference": number,
            "status": status,
            "final": True,
            "amount": str(week.one(f"select amount from payouts.payouts where payout_number = '{number}'")),
        }
        for number, status in states.items()
    ]
    week.conn.execute(
        "select payouts.confirm(%s, clock_timestamp(), %s, 'olga')", (f"W{window}-G1", Jsonb(said))
    )


def test_a_killed_sunday_leaves_nothing_half_done(dbt_week: Week, tmp_path: Path) -> None:
    """The freeze waits for a lock we hold; the process is killed there, and the next run finishes."""
    with open_connection(dbt_week.server) as blocker, blocker.transaction():
        blocker.execute("lock table payouts.batches in access exclusive mode")
        process = subprocess.Popen(
            [
                Path(sys.executable).parent / "weekclose",
                *("sunday", "--as-of", NIGHT.isoformat()),
                *("--vars", json.dumps({"settlement_start": START.isoformat()})),
            ],
            env=os.environ | {"DATABASE_URL": dbt_week.server.url, "WEEKCLOSE_HOME": str(tmp_path / "home")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        waiting = "select count(*) from pg_locks where not granted and relation = 'payouts.batches'::regclass"
        while dbt_week.one(waiting) == 0:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
            assert process.poll() is None, "the run ended before it reached its freeze"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert dbt_week.one("select count(*) from payouts.frozen_rows") == 0
    # The server notices the dead client when it next writes to it; its locks go with it.
    dbt_week.conn.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
        " and datname = current_database() and application_name = 'weekclose'"
    )
    assert dbt_week.sunday().outcome == "frozen"
    assert dbt_week.one("select count(*) from payouts.frozen_rows") == 2


@pytest.mark.parametrize(
    "statement",
    [
        "update payouts.frozen_rows set payable = payable",
        "delete from payouts.frozen_lines",
        "truncate payouts.ledger_entries",
        "update payouts.audit_log set actor = 'me'",
        "update payouts.frozen_windows set content_digest = content_digest",
    ],
)
def test_the_database_refuses_to_change_what_is_frozen(conn: Connection[Any], statement: str) -> None:
    frozen_window(conn, ["90.00"])
    with pytest.raises(psycopg.errors.RestrictViolation):
        conn.execute(statement.encode())


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"settlement_start": "2026-11-02"}, "is a monday: a window starts on a sunday"),
        ({"settlement_start": "soon"}, "settlement_start 'soon' is not a date"),
        ({"settlement_timezone": "Mars/Olympus"}, "settlement_timezone 'Mars/Olympus'"),
        ({"payout_window_starts_on": "someday"}, "payout_window_starts_on 'someday'"),
        ({"reserve_days": -1}, "reserve_days -1"),
        ({"reserve_day": 3}, "there is no 'reserve_day'"),
        ({"as_of": "2026-11-15"}, "--as-of"),
    ],
)
def test_a_wrong_setting_is_named(overrides: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        effective_vars(overrides, NIGHT)


def test_instants_need_an_offset() -> None:
    assert parse_as_of("2026-11-15T23:00:00+02:00") == datetime(2026, 11, 15, 21, tzinfo=UTC)
    for text in ("2026-11-15T23:00:00", "2026-11-15", "tonight"):
        with pytest.raises(UsageError, match="is not an instant with an offset"):
            parse_as_of(text)
    with pytest.raises(UsageError, match="is not a JSON object"):
        parse_vars("[1]")

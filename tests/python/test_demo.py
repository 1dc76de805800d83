"""The sample marketplace through its weeks: what was planted is found, paid once, and read undisturbed."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from conftest import NewDatabase, RunCommand
from killing import KILLED, in_child
from weekclose import adjustments, demo_payments, executions, submission
from weekclose.database import open_connection, statement
from weekclose.decisions import verify_audit
from weekclose.demo import SMALL_MARKET, play, rail_record, shown
from weekclose.demo_stories import agreement, stories
from weekclose.demo_twists import (
    BY_HAND,
    DUPLICATE,
    EXCEPTION,
    FAILED,
    HELD_BACK,
    KEPT_FLOOR,
    LOST_ANSWER,
    LOST_WEBHOOKS,
    OFF_CYCLE,
    PAID_TOO_LITTLE,
    PAID_TOO_MUCH,
    RETURNED,
    TWISTS,
    WRONG_BENEFICIARY,
)
from weekclose.errors import Refused, WeekcloseError
from weekclose.postgres import Server
from weekclose.sample import Sample, SamplePlan
from weekclose.settings import Settings, project_dir
from weekclose.simulator.record import Payment, Record
from weekclose.sunday import SundayReport, run_sunday
from weekclose.warehouse import Warehouse

PLAN = SamplePlan(sellers=180, weeks=6)
# All that a build computes: an incremental one has to leave what a full one does.
BUILT = ("int_order_events", "int_window_rows", "int_seller_scores")


@dataclass
class Demo:
    """The played weeks."""

    server: Server
    warehouse: Warehouse
    sample: Sample
    said: list[str]
    directory: Path

    @property
    def windows(self) -> dict[int, date]:
        """The frozen windows, by how many weeks they lie before the last one."""
        last = self.sample.incidents[0].window
        return {weeks: last - timedelta(weeks=weeks) for weeks in range(PLAN.weeks - 1)}

    def sunday(self, **options: Any) -> SundayReport:
        """The last Sunday once more."""
        return run_sunday(
            self.server,
            self.warehouse,
            as_of=self.sample.folders[-1].as_of,
            actor="tester",
            overrides=SMALL_MARKET | {"settlement_start": self.sample.settlement_start.isoformat()},
            **options,
        )


@pytest.fixture(scope="module")
def demo(module_database: Server, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    home = tmp_path_factory.mktemp("home")
    warehouse = Warehouse(Settings(WEEKCLOSE_HOME=home), module_database)
    said: list[str] = []
    sample = play(module_database, warehouse, home / "demo", PLAN, said.append)
    return Demo(module_database, warehouse, sample, said, home / "demo")


@dataclass
class Rebuilt:
    """The last Sunday played again in an analyst's presence, by an incremental build and by a full one."""

    outcomes: list[str]
    touched_orders: int
    incremental: dict[str, list[tuple[Any, ...]]]
    full: dict[str, list[tuple[Any, ...]]]
    net_before: Any
    net_seen: set[Any]


@pytest.fixture(scope="module")
def rebuilt(demo: Demo) -> Rebuilt:
    """An analyst's views stay, an open transaction blocks nobody, and every read finds a whole week."""
    summed = "select net from analyst.summed"
    done = threading.Event()
    seen: set[Any] = set()

    def read() -> None:
        with open_connection(demo.server) as reader:
            while not done.is_set():
                seen.add(rows(reader, summed)[0][0])

    with open_connection(demo.server) as conn, open_connection(demo.server) as holder:
        conn.execute("create schema analyst")
        conn.execute(
            "create view analyst.mine as select seller_id, net, status from marts.settlement_windows"
        )
        conn.execute("create view analyst.summed as select sum(net) as net from analyst.mine")
        ((before,),) = rows(conn, summed)
        with holder.transaction():
            rows(
                holder,
                "select count(*) from analyst.mine, marts.seller_balances, marts.settlement_lines limit 1",
            )
            reader = threading.Thread(target=read)
            reader.start()
            try:
                outcomes = [demo.sunday().outcome]
                incremental = built(conn)
                ((touched,),) = rows(conn, "select count(*) from intermediate.int_touched_orders")
                outcomes.append(demo.sunday(full_refresh=True).outcome)
                full = built(conn)
            finally:
                done.set()
                reader.join()
        conn.execute("drop schema analyst cascade")
    return Rebuilt(outcomes, touched, incremental, full, before, seen)


def built(conn: Connection[Any]) -> dict[str, list[tuple[Any, ...]]]:
    return {name: rows(conn, f"select * from intermediate.{name} order by 1, 2, 3") for name in BUILT}


@pytest.fixture
def conn(demo: Demo) -> Iterator[Connection[Any]]:
    with open_connection(demo.server) as connection:
        yield connection


def rows(conn: Connection[Any], query: str) -> list[tuple[Any, ...]]:
    return conn.execute(query).fetchall()


def test_each_week_is_frozen_and_paid(demo: Demo, conn: Connection[Any]) -> None:
    assert len(demo.said) == PLAN.weeks + PLAN.weeks - 1, demo.said
    frozen = rows(conn, "select payout_window from payouts.frozen_windows order by payout_window")
    assert len(frozen) == PLAN.weeks - 1
    assert frozen[-1][0] == demo.sample.incidents[0].window
    assert rows(conn, "select state, count(*) from payouts.batches group by state") == [
        ("settled", PLAN.weeks - 1 + 1)
    ], "and that of the request"
    people = "select distinct actor from payouts.audit_log where action in ('approve', 'hold', 'clear')"
    assert {actor for (actor,) in rows(conn, people)} == {"jonas (treasury)", "maria (finance)"}
    assert verify_audit(conn) > 0


def test_each_incident_at_the_rail_is_there(demo: Demo, conn: Connection[Any]) -> None:
    """Read from the payout tables, the rail's record and the webhook server's log, not from what is shown."""
    fates = dict(rows(conn, "select payout_number, status from payouts.payouts"))
    rail = Record(rail_record(demo.directory))
    told = {story.name: story for story in stories(conn, demo.windows)}
    assert list(told) == [twist.name for twist in TWISTS]

    failed, returned, repeated = (told[twist.name].about for twist in (FAILED, RETURNED, DUPLICATE))
    assert (fates[failed], fates[returned], fates[repeated]) == ("failed", "returned", "paid")
    # What the schedule asks for again failed too; nobody else's did.
    assert {number for number, fate in fates.items() if fate == "failed"} == {
        failed,
        told[OFF_CYCLE.name].about,
    }
    assert [number for number, fate in fates.items() if fate == "returned"] == [returned]
    for number in (failed, returned):
        moves = [status for payment, status in rail.movements() if payment == of(rail, number).payment_id]
        assert moves == ["processing", *(["failed"] if number == failed else ["completed", "returned"])]
        (paid_after,) = rows(
            conn,
            "select later.status from payouts.payouts as old inner join payouts.payouts as later"
            " on old.seller_id = later.seller_id and old.currency = later.currency"
            f" where later.payout_window = old.payout_window + 7 and old.payout_number = '{number}'",
        )
        assert paid_after == ("paid",), "the week after"
    log = (demo.directory / "webhooks.log").read_text().splitlines()
    assert [line for line in log if "(known)" in line] == ["POST /webhooks/rail 200 (known)"]
    assert {line[:23] for line in log} == {"POST /webhooks/rail 200"}

    released = told[HELD_BACK.name]
    kept = "payout_number, amount from payouts.payouts where seller_id = 'sel_held_back'"
    (*_, (paid_with, amount)) = rows(conn, f"select {kept} order by payout_window")
    assert (released.about, amount) == ("HLD0000001", Decimal("50.00"))
    assert released.what.endswith(f", freed by maria (finance); paid by {paid_with}")

    lost = told[LOST_ANSWER.name].about
    attempts = f"select outcome from payouts.submit_attempts where batch_id = '{lost}'"
    assert rows(conn, attempts) == [("unknown",)], "sent once, and found by asking"
    silent = told[LOST_WEBHOOKS.name].about
    events = (
        "select count(*) from payouts.rail_events inner join payouts.batch_items"
        f" on rail_events.payout_number = batch_items.payout_number where batch_id = '{silent}'"
    )
    assert rows(conn, events) == [(0,)]
    assert rows(conn, "select count(*) from payouts.holds where released_by = 'maria (finance)'") == [(1,)]
    rail.close()


def test_each_correction_is_there(demo: Demo, conn: Connection[Any]) -> None:
    """Read from the payout tables and the rail's record, not from what is shown."""
    told = {story.name: story.about for story in stories(conn, demo.windows)}
    earlier, before = demo.windows[2], demo.windows[1]
    rail = Record(rail_record(demo.directory))
    much, little = of(rail, told[PAID_TOO_MUCH.name]), of(rail, told[PAID_TOO_LITTLE.name])
    assert (much.amount, much.told_amount) == ("270.00", "450.00")
    assert (little.amount, little.told_amount) == ("135.00", "117.00")
    assert rail.payments(reference=told[BY_HAND.name]) == []
    rail.close()

    entered = "seller_id, amount, applied_amount, direction, status, proposed_by, payout_window"
    assert rows(conn, f"select {entered} from payouts.adjustments order by adjustment_number") == [
        ("sel_paid_too_much", 180, 180, "debit", "settled", "rosa (reconciliation)", earlier),
        ("sel_reduced_deduction", 40, 15, "debit", "settled", "maria (finance)", before),
        ("sel_paid_too_little", 18, 18, "credit", "settled", "rosa (reconciliation)", before),
        ("sel_wrong_beneficiary", 81, 81, "credit", "settled", "rosa (reconciliation)", before),
    ]
    settled = "payout_window, amount from payouts.adjustment_allocations"
    first = f"select {settled} where adjustment_number = 'ADJ0000001' order by payout_window"
    assert rows(conn, first) == [(earlier, 54), (before, 126)], "the next window did not cover it"

    decided = "deviation, requested_by, decision, decided_by from payouts.exceptions"
    assert rows(conn, f"select {decided}") == [("amount", "maria (finance)", "approved", "jonas (treasury)")]
    acts = rows(
        conn,
        "select action from payouts.audit_log where entity = 'adjustment:ADJ0000002'"
        f" or entity = 'batch:W{earlier}-G1' order by entry_id",
    )
    decisions = ("exception open", "exception approve", "approve", "submit")
    assert [act for (act,) in acts if act in decisions] == list(decisions)

    reversals = "payout_number, reason, reversed_by, evidence is not null from payouts.reversals"
    assert rows(conn, f"select {reversals}") == [
        (told[WRONG_BENEFICIARY.name], "wrong_beneficiary", "rosa (reconciliation)", True)
    ]
    proofs = executions.proofs(conn, told[BY_HAND.name])
    assert [(each.added_by, each.executed_amount, each.is_active) for each in proofs] == [
        ("maria (finance)", Decimal("171.00"), False),
        ("rosa (reconciliation)", Decimal("171.00"), True),
    ]
    fates = dict(rows(conn, "select payout_number, status from payouts.payouts"))
    names = (PAID_TOO_MUCH, PAID_TOO_LITTLE, EXCEPTION, WRONG_BENEFICIARY, BY_HAND)
    assert [fates[told[twist.name]] for twist in names] == ["paid", "paid", "paid", "reversed", "paid"]


def test_a_schedule_is_paid_and_a_floor_is_kept(demo: Demo, conn: Connection[Any]) -> None:
    """At its third try; and what a freelancer always keeps is asked for three times in vain."""
    told = {story.name: story for story in stories(conn, demo.windows)}
    off_cycle, kept = told[OFF_CYCLE.name], told[KEPT_FLOOR.name]
    ((number, status, reference),) = rows(
        conn,
        "select payout_number, status, external_reference from payouts.payouts where request_number <> ''",
    )
    assert (status, off_cycle.what) == (
        "paid",
        f"60.00 asked for by SCH0000001, in vain 2 times, then paid by {number}",
    )
    rail = Record(rail_record(demo.directory))
    assert (of(rail, number).amount, of(rail, number).external_reference) == ("60.00", reference)
    assert of(rail, off_cycle.about).status == "failed"
    rail.close()
    requested = "requested_by, decided_by from payouts.payout_requests"
    assert rows(conn, f"select {requested}") == [("maria (finance)", "jonas (treasury)")]
    # The rest of what failed is paid with the next window.
    ((before, carried),) = rows(
        conn,
        "select old.amount, later.carry_in from payouts.payouts as old"
        " inner join payouts.frozen_rows as later"
        " on old.seller_id = later.seller_id and old.currency = later.currency"
        f" where later.payout_window = old.payout_window + 7 and old.payout_number = '{off_cycle.about}'",
    )
    assert carried == before - 60

    assert kept.what == "79.20 asked for 3 times, failed: at most 0.00 USD now, floor 100.00"
    tries = "schedule_number, status, retry_count from payouts.payout_schedules order by 1"
    assert rows(conn, f"select {tries}") == [("SCH0000001", "completed", 2), (kept.about, "failed", 3)]


def of(rail: Record, payout_number: str) -> Payment:
    """The only payment of a payout."""
    (payment,) = rail.payments(reference=payout_number)
    return payment


LEFT = "select count(*) from payouts.payouts where status in ('paid', 'reversed')"


def test_the_three_records_agree(demo: Demo, conn: Connection[Any]) -> None:
    left = rows(conn, LEFT)[0][0]
    told = agreement(conn, rail_record(demo.directory))
    assert told.startswith(f"rail's record = ledger = view: {left} payouts, ")
    assert told.endswith(" (1 by hand, 2 differences accepted)")
    assert "in transit" not in told


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "insert into payments select 1000 + payment_id, protocol, batch_id, batch_reference, reference,"
            " idempotency_key, amount, currency, destination, status, final, external_reference,"
            " failure_code, failure_reason, created_at, updated_at, other_amount"
            " from payments where reference = 'JPO0000001'",
            "payout JPO0000001: what left, with accepted differences, has .* and .* paid; the ledger has",
        ),
        (
            "update payments set other_amount = '449.99' where other_amount = '450.00'",
            "what left, with accepted differences, has 269.99 USD paid; the ledger has 270.00 USD paid",
        ),
        (
            "update payments set external_reference = '0xother' where reference = 'JPO0000001'",
            "payout JPO0000001: .* as 0xother are the rail's alone",
        ),
        (
            "update payments set external_reference = '0xother' where status = 'returned'",
            "are an execution's alone",
        ),
        ("delete from payments where reference = 'JPO0000001'", "differences, has nothing; the ledger has"),
    ],
    ids=["paid twice", "another amount", "another reference", "a reference of ours", "not paid"],
)
def test_a_difference_is_found(
    demo: Demo, conn: Connection[Any], tmp_path: Path, change: str, said: str
) -> None:
    shutil.copytree(demo.directory, tmp_path, dirs_exist_ok=True)
    with sqlite3.connect(rail_record(tmp_path)) as other:
        assert other.execute(change).rowcount == 1
    other.close()
    with pytest.raises(WeekcloseError, match=said):
        agreement(conn, rail_record(tmp_path))


def test_what_became_of_it_fits_one_screen(
    demo: Demo, conn: Connection[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    shown(demo.server, demo.sample, demo.directory, Path("models.html"))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 54
    assert [line for line in lines if len(line) > 110] == []
    assert sum("rail's record = ledger = view" in line for line in lines) == 1
    # On a terminal each of the four tables has three lines more.
    assert len(lines) + 4 * 3 <= 54


def test_money_of_a_window_adds_up(demo: Demo, conn: Connection[Any]) -> None:
    for _, _, frozen, *where in conn.execute(statement("demo_money")).fetchall():
        assert frozen == sum(where)


@pytest.mark.parametrize(
    ("incident", "currency", "expected"),
    [
        (
            "in debt",
            "USD",
            {"status": "carried_forward", "payable": Decimal("0.00"), "net": Decimal("-2052.00")},
        ),
        ("late order", "USD", {"late_line_count": 1}),
        ("reserve end", "USD", {"disputes": Decimal("43.20")}),
        ("volume spike", "USD", {"status": "paid", "block_reasons": []}),
        ("dispute spike", "USD", {"status": "blocked", "block_reasons": ["manual_review"]}),
        ("new wallet", "USD", {"status": "blocked", "block_reasons": ["wallet_recently_changed"]}),
        ("closed with money", "USD", {"status": "blocked", "block_reasons": ["seller_inactive"]}),
        ("under floor", "USD", {"status": "carried_forward", "carry_out": Decimal("79.20")}),
        ("two currencies", "USD", {"status": "blocked", "block_reasons": ["currency_mismatch"]}),
        ("two currencies", "EUR", {"status": "paid"}),
        ("refund in dispute", "USD", {"disputes": Decimal("0.00")}),
        ("refund too big", "USD", {"refunds": Decimal("65.00")}),
        ("paid too much", "USD", {"carry_in": Decimal("-126.00"), "payable": Decimal("9.00")}),
        ("reduced deduction", "USD", {"adjustments": Decimal("-15.00"), "payable": Decimal("57.00")}),
        ("paid by hand", "EUR", {"status": "paid", "rail": "MANUAL", "payable": Decimal("171.00")}),
        ("paid too little", "USD", {"adjustments": Decimal("18.00"), "payable": Decimal("72.00")}),
        (
            "held back",
            "USD",
            {"held": Decimal("50.00"), "payable": Decimal("40.00"), "carry_out": Decimal("50.00")},
        ),
        ("wrong beneficiary", "USD", {"adjustments": Decimal("81.00"), "payable": Decimal("126.00")}),
    ],
)
def test_a_planted_incident_shows(
    demo: Demo, conn: Connection[Any], incident: str, currency: str, expected: dict[str, Any]
) -> None:
    planted = next(one for one in demo.sample.incidents if one.name == incident)
    with conn.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        found = cursor.execute(
            "select * from marts.settlement_windows"
            " where seller_id = %s and payout_window = %s and currency = %s",
            (planted.seller_id, planted.window, currency),
        ).fetchone()
    assert found is not None
    assert {name: found[name] for name in expected} == expected


def test_what_settles_nothing_is_listed(conn: Connection[Any]) -> None:
    unsettled = dict(rows(conn, "select source_id, reason from marts.unsettled_activity"))
    assert unsettled["ord_no_seller_1"] == "order_without_seller"
    assert unsettled["rf_unknown_order_1"] == "unknown_order"
    broken = rows(
        conn,
        "select expected, actual from marts.reconciliation_breaks"
        " where entity = 'refund:rf_refund_too_big_1'",
    )
    assert broken == [(Decimal("50.00"), Decimal("65.00"))]


# What a run has come to: all but the instants and numbers at which people acted.
CAME_TO = (
    "select payout_window, content_digest from payouts.frozen_windows where not exists (select from"
    " payouts.frozen_lines as lines where lines.payout_window = frozen_windows.payout_window"
    " and kind = 'adjustment') order by payout_window",
    "select * from payouts.frozen_rows order by payout_window, seller_id, currency",
    "select payout_window, seller_id, adjustments from payouts.frozen_lines where kind = 'adjustment'"
    " order by payout_window, seller_id",
    "select payout_number, seller_id, amount, rail, destination, status, reference_id from payouts.payouts"
    " order by payout_number",
    "select payout_number, external_reference, amount, source from payouts.executions order by payout_number",
    "select seller_id, amount, applied_amount, status, settled_at is not null from payouts.adjustments"
    " order by seller_id",
    "select seller_id, amount, status, ended_by from payouts.escrow_holds",
    "select account, seller_id, currency, balance from payouts.account_balances order by 1, 2, 3",
    "select external_reference, sha256, added_by from payouts.proofs inner join payouts.executions"
    " on proofs.execution_id = executions.execution_id order by proof_id",
    "select action, count(*) from payouts.audit_log group by action order by action",
)


class Interrupted(BaseException):
    """As if the demo had been killed."""


def test_another_server_kills_and_interruptions_make_no_difference(
    demo: Demo,
    conn: Connection[Any],
    second_new_database: NewDatabase,
    home: Path,
    weekclose: RunCommand,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PostgreSQL 15 of Debian and the embedded one. The play is killed while webhooks come in and right
    after a freeze, it is stopped after each step, the command finishes it: the same to the cent."""
    command = ("demo", "--sellers", str(PLAN.sellers), "--weeks", str(PLAN.weeks))
    place = home / "demo"
    steps = [(adjustments, "decide"), (demo_payments, "reconcile"), (submission, "submit")]
    steps += [(executions, name) for name in ("resolve", "reverse", "execute", "replace_proof")]
    with second_new_database() as other, open_connection(other) as there:
        named = {"DATABASE_URL": other.url, "WEEKCLOSE_HOME": str(home)}

        def is_hearing() -> bool:
            log = place / "webhooks.log"
            return log.exists() and log.read_text().count("\n") > 2

        def has_frozen_twice() -> bool:
            with open_connection(other) as own:
                return rows(own, "select count(*) from payouts.frozen_windows") == [(2,)]

        warehouse = Warehouse(Settings(WEEKCLOSE_HOME=home), other)

        def killed_when(is_time: Callable[[], bool]) -> None:
            threading.Thread(target=kill_this_process, args=[is_time], daemon=True).start()
            play(other, warehouse, place, PLAN, lambda _: None)

        for is_time in (is_hearing, has_frozen_twice):
            assert in_child(partial(killed_when, is_time)) == KILLED, "it should still have been at work"
        waiting = [interrupted(monkeypatch, module, name) for module, name in steps]
        for _ in steps:
            with pytest.raises(Interrupted):
                play(other, warehouse, place, PLAN, print)
        assert [left for left in waiting if left] == []
        done = weekclose(*command, **named)
        assert done.returncode == 0, done.stderr

        for query in CAME_TO:
            assert rows(there, query) == rows(conn, query), query
        assert agreement(there, rail_record(place)) == agreement(conn, rail_record(demo.directory))
        left = rows(there, LEFT)[0][0]
        assert f"rail's record = ledger = view: {left} payouts" in done.stdout
        assert rows(there, "select distinct state from payouts.batches") == [("settled",)]
        assert verify_audit(there) > 0


def kill_this_process(is_time: Callable[[], bool]) -> None:
    while not is_time():
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGKILL)


def interrupted(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str) -> list[str]:
    """The step is taken, and then everything ends, once: what is returned is empty after that."""
    step, left = getattr(module, name), [name]

    def taken(*given: Any, **named: Any) -> Any:
        answer = step(*given, **named)
        if left:
            raise Interrupted(left.pop())
        return answer

    monkeypatch.setattr(module, name, taken)
    return left


def test_played_weeks_are_not_played_again(demo: Demo) -> None:
    again: list[str] = []
    play(demo.server, demo.warehouse, demo.directory, PLAN, again.append)
    assert again == []
    with pytest.raises(Refused, match="holds a demo of 180 sellers"):
        play(demo.server, demo.warehouse, demo.directory, SamplePlan(sellers=181, weeks=6), again.append)


def test_a_demo_never_mixes_with_a_marketplace(demo: Demo, database: Server) -> None:
    with open_connection(database) as conn:
        conn.execute(
            "insert into raw.orders (order_id, currency, gross_amount, fee_amount, status)"
            " values ('real', 'USD', 1, 0, 'pending')"
        )
    with pytest.raises(Refused, match="holds a marketplace already"):
        play(database, demo.warehouse, demo.directory, PLAN, print)


def test_incremental_is_what_a_full_refresh_gives(rebuilt: Rebuilt) -> None:
    assert len(rebuilt.incremental["int_order_events"]) > 400
    assert rebuilt.touched_orders == 0, "a run of the same night computes no order again"
    for name in BUILT:
        assert rebuilt.full[name] == rebuilt.incremental[name], name


def test_a_rebuild_disturbs_no_reader(rebuilt: Rebuilt) -> None:
    assert rebuilt.outcomes == ["nothing_to_freeze", "nothing_to_freeze"]
    assert rebuilt.net_seen == {rebuilt.net_before}


# The unit tests have been in Kiritimati already: test_windows.py runs them there.
@pytest.mark.parametrize(
    ("zone", "options"),
    [("Pacific/Kiritimati", ("--exclude-resource-type", "unit_test")), ("America/New_York", ())],
)
def test_dbt_build_by_hand_from_a_far_zone(
    demo: Demo, rebuilt: Rebuilt, tmp_path: Path, zone: str, options: tuple[str, ...]
) -> None:
    """With profiles.example.yml alone, all data and unit tests; the session's zone changes no number."""
    as_of = demo.sample.folders[-1].as_of.isoformat()
    shutil.copy(project_dir() / "profiles.example.yml", tmp_path / "profiles.yml")
    done = subprocess.run(
        [
            Path(sys.executable).parent / "dbt",
            *("build", "--full-refresh", "--vars", f"{{as_of: '{as_of}'}}", *options),
            *("--profiles-dir", tmp_path, "--target-path", tmp_path / "target", "--log-path", tmp_path),
        ],
        cwd=project_dir(),
        env=os.environ | demo.server.environment() | {"PGTZ": zone},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    with open_connection(demo.server) as conn:
        by_hand = built(conn)
    for name in BUILT:
        assert by_hand[name] == rebuilt.incremental[name], name

"""The sample marketplace through its weeks: what was planted is found, and a rebuild disturbs nobody."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from conftest import NewDatabase
from weekclose.database import open_connection
from weekclose.demo import play
from weekclose.errors import Refused
from weekclose.postgres import Server
from weekclose.sample import Sample, SamplePlan
from weekclose.settings import Settings, project_dir
from weekclose.sunday import SundayReport, run_sunday
from weekclose.warehouse import Warehouse

PLAN = SamplePlan(sellers=150, weeks=7)
# All that a build computes: an incremental one has to leave what a full one does.
BUILT = ("int_order_events", "int_window_rows", "int_seller_scores")


@dataclass
class Demo:
    """The played weeks."""

    server: Server
    warehouse: Warehouse
    sample: Sample
    said: list[str]
    home: Path

    def sunday(self, **options: Any) -> SundayReport:
        """The last Sunday once more."""
        as_of = self.sample.folders[-1].as_of
        return run_sunday(self.server, self.warehouse, as_of=as_of, actor="tester", **options)


@pytest.fixture(scope="module")
def demo(module_database: Server, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    home = tmp_path_factory.mktemp("home")
    warehouse = Warehouse(Settings(WEEKCLOSE_HOME=home), module_database)
    said: list[str] = []
    sample = play(module_database, warehouse, home / "demo", PLAN, said.append)
    return Demo(module_database, warehouse, sample, said, home)


@pytest.fixture
def conn(demo: Demo) -> Iterator[Connection[Any]]:
    with open_connection(demo.server) as connection:
        yield connection


def rows(conn: Connection[Any], query: str) -> list[tuple[Any, ...]]:
    return conn.execute(query).fetchall()


def test_each_week_is_frozen(demo: Demo, conn: Connection[Any]) -> None:
    assert len(demo.said) == PLAN.weeks
    frozen = rows(conn, "select payout_window from payouts.frozen_windows order by payout_window")
    assert len(frozen) == PLAN.weeks - 1
    assert frozen[-1][0] == demo.sample.incidents[0].window


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
        ("volume spike", "USD", {"status": "blocked", "block_reasons": ["manual_review"]}),
        ("dispute spike", "USD", {"status": "blocked", "block_reasons": ["manual_review"]}),
        ("new wallet", "USD", {"status": "blocked", "block_reasons": ["wallet_recently_changed"]}),
        ("closed with money", "USD", {"status": "blocked", "block_reasons": ["seller_inactive"]}),
        ("under floor", "USD", {"status": "carried_forward", "carry_out": Decimal("79.20")}),
        ("two currencies", "USD", {"status": "blocked", "block_reasons": ["currency_mismatch"]}),
        ("two currencies", "EUR", {"status": "ready"}),
        ("refund in dispute", "USD", {"disputes": Decimal("0.00")}),
        ("refund too big", "USD", {"refunds": Decimal("65.00")}),
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


def test_another_server_freezes_the_same(
    demo: Demo, conn: Connection[Any], second_new_database: NewDatabase
) -> None:
    """PostgreSQL 15 of Debian and the embedded one: the same digest, so the same content to the cent."""
    frozen = "select payout_window, content_digest from payouts.frozen_windows order by payout_window"
    with second_new_database() as other, open_connection(other) as there:
        warehouse = Warehouse(Settings(WEEKCLOSE_HOME=demo.home / "other"), other)
        play(other, warehouse, demo.home / "other", PLAN, print)
        assert rows(there, frozen) == rows(conn, frozen)


def test_played_weeks_are_not_played_again(demo: Demo) -> None:
    again: list[str] = []
    play(demo.server, demo.warehouse, demo.home / "demo", PLAN, again.append)
    assert again == []
    with pytest.raises(Refused, match="holds a demo of 150 sellers"):
        play(demo.server, demo.warehouse, demo.home / "demo", SamplePlan(sellers=151, weeks=7), again.append)


def test_a_demo_never_mixes_with_a_marketplace(demo: Demo, database: Server) -> None:
    with open_connection(database) as conn:
        conn.execute(
            "insert into raw.orders (order_id, currency, gross_amount, fee_amount, status)"
            " values ('real', 'USD', 1, 0, 'pending')"
        )
    with pytest.raises(Refused, match="holds a marketplace already"):
        play(database, demo.warehouse, demo.home / "demo", PLAN, print)


def test_incremental_is_what_a_full_refresh_gives(demo: Demo, conn: Connection[Any]) -> None:
    demo.sunday()
    incremental = {name: rows(conn, f"select * from intermediate.{name} order by 1, 2, 3") for name in BUILT}
    assert len(incremental["int_order_events"]) > 400
    touched = rows(conn, "select count(*) from intermediate.int_touched_orders")
    assert touched == [(0,)], "a run of the same night computes no order again"
    demo.sunday(full_refresh=True)
    for name in BUILT:
        assert rows(conn, f"select * from intermediate.{name} order by 1, 2, 3") == incremental[name], name


def test_a_rebuild_disturbs_no_reader(demo: Demo, conn: Connection[Any]) -> None:
    """An analyst's views stay, an open transaction blocks nobody, and every read finds a whole week."""
    conn.execute("create schema analyst")
    conn.execute("create view analyst.mine as select seller_id, net, status from marts.settlement_windows")
    conn.execute("create view analyst.summed as select sum(net) as net from analyst.mine")
    before = rows(conn, "select net from analyst.summed")
    done = threading.Event()
    seen: set[Any] = set()

    def read() -> None:
        with open_connection(demo.server) as reader:
            while not done.is_set():
                seen.add(rows(reader, "select net from analyst.summed")[0][0])

    with open_connection(demo.server) as holder, holder.transaction():
        rows(
            holder, "select count(*) from analyst.mine, marts.seller_balances, marts.settlement_lines limit 1"
        )
        reader = threading.Thread(target=read)
        reader.start()
        try:
            assert demo.sunday().outcome == "nothing_to_freeze"
            assert demo.sunday(full_refresh=True).outcome == "nothing_to_freeze"
        finally:
            done.set()
            reader.join()
    assert seen == {before[0][0]}
    conn.execute("drop schema analyst cascade")


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/New_York"])
def test_dbt_build_by_hand_from_a_far_zone(
    demo: Demo, conn: Connection[Any], tmp_path: Path, zone: str
) -> None:
    """With profiles.example.yml alone, all data and unit tests; the session's zone changes no number."""
    as_of = demo.sample.folders[-1].as_of.isoformat()
    kept = {name: rows(conn, f"select * from intermediate.{name} order by 1, 2, 3") for name in BUILT}
    shutil.copy(project_dir() / "profiles.example.yml", tmp_path / "profiles.yml")
    done = subprocess.run(
        [
            Path(sys.executable).parent / "dbt",
            *("build", "--full-refresh", "--vars", f"{{as_of: '{as_of}'}}"),
            *("--profiles-dir", tmp_path, "--target-path", tmp_path / "target", "--log-path", tmp_path),
        ],
        cwd=project_dir(),
        env=os.environ | demo.server.environment() | {"PGTZ": zone},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    for name in BUILT:
        assert rows(conn, f"select * from intermediate.{name} order by 1, 2, 3") == kept[name], name

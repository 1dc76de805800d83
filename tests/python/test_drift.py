"""What the gate before the freeze lets pass, what it warns of, and what it stops."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from psycopg import Connection

from compiled_build import Build
from conftest import NewDatabase
from small_week import empty_week
from weekclose import drift
from weekclose.database import open_connection
from weekclose.drift_limits import CHECKS, Limits
from weekclose.errors import UsageError, WeekcloseError
from weekclose.policy import effective_vars
from weekclose.postgres import Server
from weekclose.settings import project_dir

DUE = date(2026, 11, 1)
NIGHT = datetime(2026, 11, 15, 23, tzinfo=UTC)
VARIABLES = effective_vars({"settlement_start": DUE.isoformat()}, NIGHT)

Blocked = set[tuple[str, str | None]]


@dataclass(frozen=True)
class Week:
    """A window of a market: each seller sells for about `price`, every fifth has a refund or a dispute."""

    sellers: int = 200
    price: int = 100
    refund: Decimal = Decimal(20)
    dispute: Decimal = Decimal(5)
    rails: str = "EEEEEETTTS"
    currency: str = "USD"
    pays: bool = True
    outlier: int = 1

    def rows(self, window: date) -> Iterator[dict[str, Any]]:
        """No two weeks are alike, and the same week is always the same."""
        shift = window.toordinal() // 7
        for number in range(self.sellers + shift % 5):
            gross = Decimal(self.price * (50 + (number * 37 + shift * 11) % 101)) / 100
            gross *= self.outlier if number == 7 else 1
            refunds = self.refund + shift % 3 if self.refund and number % 5 == 0 else Decimal(0)
            disputes = self.dispute * (1 + number % 2) if number % 5 == 1 else Decimal(0)
            fees = (gross / 10).quantize(Decimal("0.01"))
            net = gross - fees - refunds
            balance = net - disputes
            payable = max(balance, Decimal(0)) if self.pays else Decimal(0)
            yield {
                "payout_window": window,
                "seller_id": f"s{number}",
                "currency": self.currency,
                **{"gross": gross, "fees": fees, "refunds": refunds, "net": net, "disputes": disputes},
                **{"adjustments": 0, "carry_in": 0, "payable": payable, "carry_out": balance - payable},
                "rail": {"E": "ERC-20", "T": "TRC-20", "S": "SPL"}[self.rails[number % 10]],
                "status": "ready" if payable else "carried_forward",
                **{"block_reasons": [], "order_count": 1, "late_line_count": 0, "held": 0},
            }


CALM = Week()


@pytest.fixture(scope="module")
def built(new_marts: NewDatabase, build: Build) -> Iterator[Server]:
    """The warehouse of a marketplace without rows, as of the night on which window DUE is due."""
    with empty_week(new_marts, build.on) as week:
        assert week.warehouse.build(VARIABLES) == []
        yield week.server


@pytest.fixture
def market(built: Server) -> Iterator[Connection[Any]]:
    with open_connection(built) as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute(
            "truncate payouts.frozen_windows, payouts.frozen_rows, intermediate.int_window_rows cascade"
        )
        conn.execute("set session_replication_role = origin")
        yield conn


def closed(conn: Connection[Any], *weeks: Week, count: int = 13, until: date = DUE) -> None:
    """Freeze `count` windows before `until`, each by a run of its own and each with all the weeks' rows."""
    for number in range(count, 0, -1):
        freeze(conn, until - timedelta(weeks=number), *weeks)


def freeze(conn: Connection[Any], window: date, *weeks: Week) -> None:
    run_id = uuid4()
    with conn.transaction():
        conn.execute(
            "insert into payouts.warehouse_runs"
            " (run_id, as_of, started_at, finished_at, actor, outcome, settings)"
            " values (%s, %s, now(), now(), 'tester', 'frozen', '{}')",
            (run_id, window + timedelta(days=14)),
        )
        conn.execute(
            "insert into payouts.frozen_windows values (%s, %s, %s, %s, %s, '{}', %s, 1, 1, 'tester')",
            (window, *[window + timedelta(days=days) for days in (7, 14, 14)], run_id, "0" * 64),
        )
        put(conn, "payouts.frozen_rows", [row for week in weeks for row in week.rows(window)])


def due(conn: Connection[Any], *weeks: Week, window: date = DUE) -> None:
    """Put the weeks' rows where a build puts those of a window that is due."""
    rows = [
        row
        | {"window_ends_at": NIGHT, "reserve_closes_at": NIGHT, "as_of": NIGHT, "destination": "somewhere"}
        for week in weeks
        for row in week.rows(window)
    ]
    put(conn, "intermediate.int_window_rows", rows)


def put(conn: Connection[Any], table: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        with conn.cursor() as cursor, cursor.copy(f"copy {table} ({', '.join(rows[0])}) from stdin") as copy:
            for row in rows:
                copy.write_row(list(row.values()))


def limits(**changes: Any) -> dict[str, Any]:
    return VARIABLES | {"drift": VARIABLES["drift"] | changes}


def at_level(results: list[drift.DriftResult], level: str) -> Blocked:
    return {(result.check, result.rail) for result in results if result.level == level}


def test_a_calm_week_passes(market: Connection[Any]) -> None:
    closed(market, CALM)
    due(market, CALM)
    results = drift.check(market, VARIABLES)
    assert {result.level for result in results} == {"ok"}
    assert {result.check for result in results} == {check.name for check in CHECKS}
    assert {result.windows_compared for result in results} == {13}
    sellers = results[0]
    assert (sellers.check, sellers.observed, sellers.currency, sellers.payout_window) == (
        *("sellers", Decimal(200 + DUE.toordinal() // 7 % 5), "USD"),
        DUE,
    )


DISTURBED: dict[str, tuple[Week, Blocked]] = {
    "everything doubled": (
        replace(CALM, price=200, refund=Decimal(40), dispute=Decimal(10)),
        {("net_mean", None), ("net_median", None), ("payable", None)},
    ),
    "one amount without its decimal point": (
        replace(CALM, outlier=1000),
        {("net_mean", None), ("net_spread", None), ("payable", None)},
    ),
    "refunds tripled": (replace(CALM, refund=Decimal(62)), {("refund_share", None)}),
    "refunds not loaded": (replace(CALM, refund=Decimal(0)), {("refund_share", None)}),
    "disputes sixfold": (replace(CALM, dispute=Decimal(30)), {("dispute_share", None)}),
    "rails flipped": (
        replace(CALM, rails="TTTTTTEEES"),
        {("rail_share", "ERC-20"), ("rail_share", "TRC-20")},
    ),
    "half of the sellers missing": (replace(CALM, sellers=100), {("sellers", None)}),
    "a currency gone": (replace(CALM, currency="EUR"), {("sellers", None), ("payable", None)}),
}


@pytest.mark.parametrize("name", DISTURBED)
def test_what_must_not_be_frozen_blocks(market: Connection[Any], name: str) -> None:
    week, blocked = DISTURBED[name]
    closed(market, CALM)
    due(market, week)
    results = drift.check(market, VARIABLES)
    assert at_level(results, "block") == blocked
    assert all(result.is_red == (result.level == "block") for result in results)
    for result in results:
        if result.is_red:
            assert [said["success"] for said in result.validation] == [False, False]
            assert result.message.startswith(f"window {DUE}, USD: ")
            assert result.message.endswith(": blocks the freeze")


def test_every_check_has_been_seen_to_block() -> None:
    assert {check for _, blocked in DISTURBED.values() for check, _ in blocked} == {
        check.name for check in CHECKS
    }


@pytest.mark.parametrize(
    ("week", "warned"),
    [
        (replace(CALM, price=135, refund=Decimal(27), dispute=Decimal(7)), ("net_median", None)),
        (replace(CALM, refund=Decimal(50)), ("refund_share", None)),
        (replace(CALM, dispute=Decimal(20)), ("dispute_share", None)),
        (replace(CALM, sellers=140), ("sellers", None)),
        (replace(CALM, rails="EEEEETTTSS"), ("rail_share", "SPL")),
    ],
)
def test_what_is_merely_unusual_warns(
    market: Connection[Any], week: Week, warned: tuple[str, str | None]
) -> None:
    closed(market, CALM)
    due(market, week)
    results = drift.check(market, VARIABLES)
    assert at_level(results, "block") == set()
    assert warned in at_level(results, "warn")
    assert all(result.message.endswith(": look at it") for result in results if result.is_warning)


@pytest.mark.parametrize(("count", "level"), [(1, "warn"), (7, "warn"), (8, "block")])
def test_fewer_than_eight_closed_windows_only_warn(market: Connection[Any], count: int, level: str) -> None:
    closed(market, CALM, count=count)
    due(market, replace(CALM, price=200, refund=Decimal(40), dispute=Decimal(10)))
    results = drift.check(market, VARIABLES)
    assert {r.level for r in results if r.check in ("net_mean", "net_median", "payable")} == {level}
    assert {result.windows_compared for result in results} == {count}


def test_the_first_window_is_shown_and_not_judged(market: Connection[Any]) -> None:
    due(market, CALM)
    assert {result.level for result in drift.check(market, VARIABLES)} == {"info"}


def test_a_few_sellers_never_block(market: Connection[Any]) -> None:
    tiny = replace(CALM, sellers=5, currency="EUR", refund=Decimal(0))
    closed(market, CALM, tiny)
    due(market, CALM, replace(tiny, sellers=20, price=5000, refund=Decimal(900), rails="TTTTTTTTTT"))
    results = [result for result in drift.check(market, VARIABLES) if result.currency == "EUR"]
    assert {result.level for result in results} == {"info"}
    assert "not judged" in results[0].message


def test_one_odd_closed_window_does_not_excuse_the_next(market: Connection[Any]) -> None:
    doubled = replace(CALM, price=200, refund=Decimal(40), dispute=Decimal(10))
    closed(market, CALM, count=12, until=DUE - timedelta(weeks=1))
    freeze(market, DUE - timedelta(weeks=1), doubled)
    due(market, doubled)
    assert ("net_mean", None) in at_level(drift.check(market, VARIABLES), "block")


def test_only_the_last_thirteen_closed_windows_count(market: Connection[Any]) -> None:
    closed(market, replace(CALM, price=200), count=14, until=DUE - timedelta(weeks=13))
    closed(market, CALM)
    due(market, CALM)
    assert {result.level for result in drift.check(market, VARIABLES)} == {"ok"}


def test_a_window_that_a_person_accepted_warns(market: Connection[Any]) -> None:
    closed(market, CALM)
    due(market, replace(CALM, sellers=100))
    accepted = drift.check(market, limits(accepted_up_to=DUE.isoformat()))
    assert at_level(accepted, "block") == set()
    assert ("sellers", None) in at_level(accepted, "warn")
    assert accepted[0].message.endswith(f"accepted, as drift.accepted_up_to is {DUE}")
    before = (DUE - timedelta(days=1)).isoformat()
    assert ("sellers", None) in at_level(drift.check(market, limits(accepted_up_to=before)), "block")


def test_after_a_skipped_sunday_each_window_is_judged_and_the_money_of_both_is_no_surprise(
    market: Connection[Any],
) -> None:
    closed(market, CALM, until=DUE - timedelta(weeks=1))
    due(market, replace(CALM, sellers=100, pays=False), window=DUE - timedelta(weeks=1))
    due(market, CALM)
    market.execute(
        "update intermediate.int_window_rows as later"
        " set carry_in = before.carry_out, payable = later.payable + before.carry_out"
        " from intermediate.int_window_rows as before"
        " where later.seller_id = before.seller_id and later.payout_window = before.payout_window + 7"
    )
    results = drift.check(market, VARIABLES)
    assert {r.payout_window for r in results if r.is_red} == {DUE - timedelta(weeks=1)}
    assert at_level(results, "block") == {("sellers", None)}
    (payable,) = [r for r in results if r.check == "payable" and r.payout_window == DUE]
    assert "payable for each of 2 windows" in payable.message


def test_the_same_data_give_the_same_answer(market: Connection[Any]) -> None:
    closed(market, CALM, replace(CALM, currency="EUR", sellers=90))
    due(market, CALM, replace(CALM, currency="EUR", sellers=120))
    first, second = drift.check(market, VARIABLES), drift.check(market, VARIABLES)
    assert first == second
    kept = json.dumps(drift.as_kept(first))
    assert kept == json.dumps(drift.as_kept(second))
    assert len(json.loads(kept)["validations"]) == 2 * len([r for r in first if r.level != "info"])


# In every Python process of the run, whichever started it.
NO_NETWORK = """
import pathlib, socket
connect = socket.socket.connect

def no_network(*arguments):
    raise AssertionError("it called out")

def no_network_but_processes(own, *arguments):
    return connect(own, *arguments) if own.family == socket.AF_UNIX else no_network()

socket.socket.connect, socket.getaddrinfo = no_network_but_processes, no_network
with (pathlib.Path(__file__).parent / "processes").open("a") as processes:
    processes.write("one\\n")
"""
QUIET_RUN = """
import sys
from weekclose import drift
from weekclose.database import open_connection
from weekclose.policy import effective_vars, parse_as_of
from weekclose.postgres import Server

server = Server(*sys.argv[1:6])
with open_connection(server) as conn:
    results = drift.check(conn, effective_vars({}, parse_as_of("2026-11-15T23:00Z")))
assert bool(results) == (sys.argv[6] == "due"), results
assert "great_expectations" not in sys.modules
"""


@pytest.mark.parametrize("state", ["due", "nothing due"])
def test_it_is_imported_only_when_needed_and_leaves_no_trace(
    market: Connection[Any],
    built: Server,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    state: str,
) -> None:
    closed(market, CALM, count=3)
    if state == "due":
        due(market, CALM)
    else:
        freeze(market, DUE, CALM)
    everywhere = tmp_path_factory.mktemp("everywhere")
    (everywhere / "sitecustomize.py").write_text(NO_NETWORK)
    python_path = f"{everywhere}{os.pathsep}{project_dir() / 'scripts'}"
    run = subprocess.run(
        [
            *(sys.executable, "-W", "error::ResourceWarning", "-c", QUIET_RUN),
            *(built.host, str(built.port), built.user, built.password, built.dbname, state),
        ],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PYTHONPATH": python_path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    started = len((everywhere / "processes").read_text().splitlines())
    assert (started > 1) == (state == "due"), started
    assert list(tmp_path.rglob("*")) == []


def _end(*_: object) -> None:
    os._exit(1)


def test_a_judge_that_dies_is_no_pass(market: Connection[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    closed(market, CALM, count=3)
    due(market, CALM)
    monkeypatch.setattr(drift, "_expect", _end)
    with pytest.raises(WeekcloseError, match="could not judge: its process has ended"):
        drift.check(market, VARIABLES)


def test_an_answer_that_is_missing_is_no_pass() -> None:
    with pytest.raises(WeekcloseError, match="could not judge USD sellers"):
        drift._both_ranges("USD sellers", [])


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"compare_windows": 0}, "compare_windows 0 is not a whole number"),
        ({"warn_at": "far"}, "warn_at 'far' is not a number"),
        ({"block_at": 1}, "warn_at 3 lies beyond block_at 1"),
        ({"accepted_up_to": "soon"}, "accepted_up_to 'soon' is not a date"),
        ({"sellers": {"floor": 1}}, "sellers {'floor': 1} is not a pair"),
        ({"buyers": 1}, "buyers is unknown"),
    ],
)
def test_a_limit_that_cannot_be_read_is_named(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        Limits.of(limits(**changes))


def test_a_limit_that_is_missing_is_named() -> None:
    without = {name: value for name, value in VARIABLES["drift"].items() if name != "payable"}
    with pytest.raises(UsageError, match="payable is missing"):
        Limits.of({"drift": without})
    with pytest.raises(UsageError, match="var drift is missing"):
        Limits.of({})


def test_the_page_for_finance_shows_the_limits_that_hold() -> None:
    page = (project_dir() / "docs" / "drift.md").read_text()
    for name, value in VARIABLES["drift"].items():
        shown = f"{value['floor']:.0%} | {value['noise']}" if isinstance(value, dict) else str(value)
        assert any(f"`{name}`" in line and shown in line for line in page.splitlines()), (name, shown)

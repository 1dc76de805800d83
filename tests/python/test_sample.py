"""The sample marketplace: its calibration, its incidents, and that it is the same everywhere."""

import csv
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, getcontext
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection, sql

from weekclose.addresses import check_destination
from weekclose.errors import UsageError
from weekclose.sample import Sample, SamplePlan, write_sample
from weekclose.sample_incidents import DEFAULT_RAILS, STORIES, Incident
from weekclose.settings import project_dir

TABLES = ("sellers", "orders", "refunds", "disputes")
SMALL = SamplePlan(sellers=40, weeks=8, seed=7)
# Changes when the sample is meant to change, and never otherwise.
SMALL_DIGEST = "d2b6697ca4517571b22cfd83516e3ea7837844cbf12a17580d9b7693351a8dc6"
RESERVE_END = timedelta(days=14)

Row = dict[str, str]


@dataclass
class Feed:
    """The files of a sample: every version as (folder, row), and each row as it stands in the end."""

    sample: Sample
    versions: dict[str, list[tuple[date, Row]]] = field(default_factory=dict)
    rows: dict[str, dict[str, Row]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for table in TABLES:
            self.versions[table] = [
                (folder.as_of.date(), row)
                for folder in self.sample.folders
                for row in read(folder.path / f"{table}.csv")
            ]
            self.rows[table] = {next(iter(row.values())): row for _, row in self.versions[table]}

    def arrived_on(self, table: str, key: str) -> date:
        """The folder in which the row came first."""
        return next(sunday for sunday, row in self.versions[table] if next(iter(row.values())) == key)

    @property
    def ordinary_orders(self) -> list[Row]:
        return [row for row in self.rows["orders"].values() if re.fullmatch(r"ord_\d+", row["order_id"])]


def read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def instant(text: str) -> datetime:
    assert text.endswith("Z")
    return datetime.fromisoformat(text)


def window_of(moment: datetime) -> date:
    """The settlement window that begins on the Sunday on or before the day."""
    return moment.date() - timedelta(days=moment.isoweekday() % 7)


def cash(rows: list[Row]) -> Decimal:
    return sum((Decimal(row["gross_amount"]) - Decimal(row["fee_amount"]) for row in rows), Decimal(0))


def digest(directory: Path) -> str:
    content = sha256()
    for path in sorted(directory.rglob("*.csv")):
        content.update(path.relative_to(directory).as_posix().encode() + b"\n" + path.read_bytes())
    return content.hexdigest()


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Feed:
    """The default sample."""
    return Feed(write_sample(tmp_path_factory.mktemp("sample"), SamplePlan()))


@pytest.fixture(scope="module")
def incidents(feed: Feed) -> dict[str, Incident]:
    return {incident.name: incident for incident in feed.sample.incidents}


# -- the same everywhere -----------------------------------------------------------------------------


def test_the_files_depend_on_the_plan_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getcontext(), "prec", 4)
    write_sample(tmp_path, SMALL)
    assert digest(tmp_path) == SMALL_DIGEST


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from weekclose.sample import SamplePlan, write_sample;"
        f"write_sample(Path(sys.argv[1]), {SMALL!r})"
    )
    strange = {"PYTHONHASHSEED": "123", "TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONUTF8": "0"}
    path = {"PYTHONPATH": str(project_dir() / "scripts")}
    subprocess.run([sys.executable, "-c", program, tmp_path], env=os.environ | strange | path, check=True)
    assert digest(tmp_path) == SMALL_DIGEST


def test_the_seed_changes_everything_but_the_script(tmp_path: Path) -> None:
    one = Feed(write_sample(tmp_path / "1", SMALL))
    two = Feed(write_sample(tmp_path / "2", SamplePlan(SMALL.sellers, SMALL.weeks, seed=8)))
    assert one.sample.incidents == two.sample.incidents
    assert {row["gross_amount"] for row in one.ordinary_orders} != {
        row["gross_amount"] for row in two.ordinary_orders
    }


def test_a_seller_is_the_same_in_a_larger_market(tmp_path: Path) -> None:
    small = Feed(write_sample(tmp_path / "1", SMALL))
    large = Feed(write_sample(tmp_path / "2", SamplePlan(SMALL.sellers + 10, SMALL.weeks, SMALL.seed)))
    assert small.rows["sellers"].items() <= large.rows["sellers"].items()


# -- weeks -------------------------------------------------------------------------------------------


def test_the_weeks_end_on_the_fifteenth_of_november(feed: Feed) -> None:
    assert [folder.path.name for folder in feed.sample.folders[:2]] == ["2026-05-24", "2026-05-31"]
    assert feed.sample.settlement_start == date(2026, 5, 17)
    assert feed.sample.folders[-1].path.name == "2026-11-15"
    assert feed.sample.folders[-1].as_of == datetime(2026, 11, 15, 23, tzinfo=UTC)
    assert len(feed.sample.folders) == 26


def test_nothing_arrives_before_it_happened_or_twice_unchanged(feed: Feed) -> None:
    for table in TABLES:
        last: dict[str, Row] = {}
        seen: set[tuple[date, str]] = set()
        for sunday, row in feed.versions[table]:
            key = next(iter(row.values()))
            cutoff = datetime.combine(sunday, time(22), UTC)
            assert all(instant(row[name]) <= cutoff for name in row if name.endswith("_at") and row[name])
            assert (sunday, key) not in seen
            assert last.get(key) != row
            seen.add((sunday, key))
            last[key] = row


def test_a_seller_is_known_before_he_sells(feed: Feed) -> None:
    known: dict[str, date] = {}
    for sunday, row in feed.versions["sellers"]:
        known.setdefault(row["seller_id"], sunday)
    for sunday, row in feed.versions["orders"]:
        assert not row["seller_id"] or known[row["seller_id"]] <= sunday


def test_rows_that_change_come_again(feed: Feed) -> None:
    """A dispute ends, an order is captured later or cancelled, a wallet changes, a seller is closed."""
    changes: Counter[tuple[str, str]] = Counter()
    for table in ("orders", "disputes", "sellers"):
        last: dict[str, Row] = {}
        for _, row in feed.versions[table]:
            key = next(iter(row.values()))
            if key in last:
                changes[last[key]["status"], row["status"]] += 1
                changes["wallet", "wallet"] += last[key].get("wallet_address") != row.get("wallet_address")
            last[key] = row
    for expected in [
        *(("open", "won"), ("open", "lost"), ("open", "withdrawn"), ("confirmed", "fulfilled")),
        *(("confirmed", "cancelled"), ("pending", "confirmed"), ("pending", "cancelled")),
        *(("active", "closed"), ("active", "suspended"), ("wallet", "wallet")),
    ]:
        assert changes[expected] > 0, expected


def test_a_few_orders_miss_their_freeze(feed: Feed) -> None:
    first = {row["order_id"]: (sunday, row) for sunday, row in reversed(feed.versions["orders"])}
    arrivals = [(sunday, instant(row["captured_at"])) for sunday, row in first.values() if row["captured_at"]]
    missed = [sunday > window_of(captured_at) + RESERVE_END for sunday, captured_at in arrivals]
    assert 10 <= sum(missed) <= 80


# -- calibration -------------------------------------------------------------------------------------


def quantile(values: list[Decimal], share: float) -> Decimal:
    return sorted(values)[int(share * len(values))]


@pytest.mark.parametrize(
    ("share", "expected", "tolerance"),
    [
        *((0.01, "10.00", "0.05"), (0.25, "39.90", "0.05"), (0.50, "74.98", "0.05")),
        *((0.75, "135.90", "0.05"), (0.95, "349.00", "0.10"), (0.99, "858.90", "0.15")),
    ],
)
def test_prices(feed: Feed, share: float, expected: str, tolerance: str) -> None:
    measured = quantile([Decimal(row["gross_amount"]) for row in feed.ordinary_orders], share)
    assert abs(measured / Decimal(expected) - 1) <= Decimal(tolerance)


@pytest.mark.parametrize(
    ("share", "least", "most"), [(0.25, 1, 1), (0.5, 2, 2), (0.75, 6, 6), (0.9, 13, 13), (0.99, 66, 72)]
)
def test_orders_per_seller(feed: Feed, share: float, least: int, most: int) -> None:
    sold = Counter(row["seller_id"] for row in feed.ordinary_orders)
    ordinary = [seller for seller in feed.rows["sellers"] if re.fullmatch(r"sel_\d+", seller)]
    assert len(ordinary) == 4000
    assert least <= quantile([Decimal(sold[seller]) for seller in ordinary], share) <= most


def test_most_sellers_idle_in_any_week(feed: Feed) -> None:
    active: dict[date, set[str]] = {}
    for row in feed.ordinary_orders:
        if row["captured_at"]:
            active.setdefault(window_of(instant(row["captured_at"])), set()).add(row["seller_id"])
    assert all(len(sellers) < 1000 for sellers in active.values())


def test_a_shorter_sample_has_fewer_orders_of_as_many_sellers(tmp_path: Path) -> None:
    short = Feed(write_sample(tmp_path, SamplePlan(sellers=1000, weeks=2)))
    assert len(short.rows["sellers"]) >= 970  # the others join after the last Sunday's cutoff
    assert 400 <= len(short.ordinary_orders) <= 800
    assert short.sample.incidents == ()


def test_shares(feed: Feed) -> None:
    orders, sellers = feed.ordinary_orders, list(feed.rows["sellers"].values())

    def share(rows: list[Row], **wanted: str) -> float:
        return sum(all(row[name] == value for name, value in wanted.items()) for row in rows) / len(rows)

    assert 0.035 <= len(feed.rows["refunds"]) / len(orders) <= 0.045
    assert 0.005 <= len(feed.rows["disputes"]) / len(orders) <= 0.007
    assert {row["status"] for row in feed.rows["disputes"].values()} == {"open", "won", "lost", "withdrawn"}
    assert 0.002 <= share(orders, status="cancelled") <= 0.006
    assert 0.0003 <= share(orders, status="pending") <= 0.002
    assert 0.02 <= share(sellers, seller_type="freelancer") <= 0.04
    assert 0.01 <= 1 - share(sellers, status="active") <= 0.02
    assert 0.10 <= share(sellers, settlement_currency="EUR") <= 0.20
    assert share(sellers, settlement_currency="EUR") == share(sellers, settlement_currency="EUR", region="EU")
    assert 0.7 <= share(sellers, preferred_rail="") <= 0.9
    # Prices end like prices at times, not always.
    endings = Counter(row["gross_amount"][-3:] for row in orders)
    assert 0.5 <= (endings[".90"] + endings[".99"] + endings[".00"]) / len(orders) <= 0.9


def test_fees_and_fee_refunds_are_rounded_half_up(feed: Feed) -> None:
    cent = Decimal("0.01")
    for row in feed.rows["orders"].values():
        tenth = Decimal(row["gross_amount"]) / 10
        assert Decimal(row["fee_amount"]) == tenth.quantize(cent, "ROUND_HALF_UP")
    parts = 0
    for refund in feed.rows["refunds"].values():
        order = feed.rows["orders"].get(refund["order_id"])
        if order is None or "_refund_too_big_" in refund["refund_id"]:
            continue
        amount, gross = Decimal(refund["amount"]), Decimal(order["gross_amount"])
        part = (Decimal(order["fee_amount"]) * amount / gross).quantize(cent, "ROUND_HALF_UP")
        assert Decimal(refund["fee_refund_amount"]) == part
        assert 0 < amount <= gross
        parts += amount < gross
    assert parts > 100


def test_about_one_seller_in_a_hundred_has_no_good_wallet(feed: Feed) -> None:
    reasons: Counter[str] = Counter()
    for seller in feed.rows["sellers"].values():
        wish = seller["preferred_rail"]
        rail = wish if wish in ("SPL", "MANUAL") else DEFAULT_RAILS[seller["region"]]
        reasons[check_destination(rail, seller["wallet_address"]) or ""] += 1
    assert 0.005 <= 1 - reasons[""] / reasons.total() <= 0.02
    assert sum(count for reason, count in reasons.items() if "checksum" in reason) >= 3
    assert sum(not row["wallet_address"] for row in feed.rows["sellers"].values()) >= 3


def test_regions_and_rails_are_those_of_the_seed() -> None:
    rails = read(project_dir() / "seeds" / "region_rails.csv")
    defaults = {row["region"]: row["rail"] for row in rails if row["is_default"] == "true"}
    allowed = {(row["region"], row["rail"]) for row in rails}
    assert defaults.items() >= DEFAULT_RAILS.items()
    assert {(region, "SPL") for region in DEFAULT_RAILS} <= allowed


def test_names_are_hard_to_print(feed: Feed) -> None:
    names = {row["display_name"] for row in feed.rows["sellers"].values()}
    assert "<script>alert(1)</script>" in names
    for mark in ("=", ",", '"', "東", "서"):
        assert any(name.startswith(mark) or mark in name[1:] for name in names), mark


# -- what the database accepts -----------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
def test_every_row_satisfies_the_raw_table(feed: Feed, conn: Connection[Any], table: str) -> None:
    conn.execute(
        sql.SQL("create temp table arrived (like raw.{} including constraints including defaults)").format(
            sql.Identifier(table)
        )
    )
    for folder in feed.sample.folders:
        content = (folder.path / f"{table}.csv").read_bytes()
        columns = content.splitlines()[0].decode().split(",")
        statement = sql.SQL("copy arrived ({}) from stdin with (format csv, header match)").format(
            sql.SQL(", ").join(map(sql.Identifier, columns))
        )
        with conn.cursor().copy(statement) as copy:
            copy.write(content)
    arrived = conn.execute("select * from arrived")
    # The sample has standard sellers only, and no guarantees.
    not_said = {"loaded_at"} | {"sellers": {"product"}, "orders": {"guarantee_ends_at"}}.get(table, set())
    assert {column.name for column in arrived.description or ()} == {*columns} | not_said


# -- incidents: all show in the last window that is frozen -------------------------------------------

WINDOW = date(2026, 11, 1)
AS_OF = date(2026, 11, 15)


def the_order(feed: Feed, incident: Incident, number: int = 0) -> Row:
    return feed.rows["orders"][incident.order_ids[number]]


def test_all_incidents_are_there(feed: Feed, incidents: dict[str, Incident]) -> None:
    assert len(incidents) == len(STORIES) == 21
    windows = [incident.window for incident in incidents.values()]
    assert windows == [WINDOW] * 15 + [WINDOW - timedelta(days=7)] * 6
    sellers = [incident.seller_id for incident in incidents.values() if incident.seller_id]
    assert len(sellers) == len(set(sellers)) == 19
    for incident in incidents.values():
        assert incident.seller_id is None or incident.seller_id in feed.rows["sellers"]
        for order_id in incident.order_ids:
            order = feed.rows["orders"].get(order_id)
            assert order or incident.name == "unknown order"
            assert not order or order["seller_id"] == (incident.seller_id or "")


@pytest.mark.parametrize("weeks", [6, 8, 26, 53])
def test_a_sample_of_six_weeks_has_room_for_them(tmp_path: Path, weeks: int) -> None:
    feed = Feed(write_sample(tmp_path, SamplePlan(sellers=0, weeks=weeks)))
    captured = [instant(row["captured_at"]) for row in feed.rows["orders"].values()]
    assert len(feed.sample.incidents) == 21
    assert window_of(min(captured)) >= feed.sample.settlement_start


def test_in_debt(feed: Feed, incidents: dict[str, Incident]) -> None:
    old = the_order(feed, incidents["in debt"])
    refund = feed.rows["refunds"]["rf_in_debt_1"]
    refunded_at = instant(refund["refunded_at"])
    assert window_of(instant(old["captured_at"])) + RESERVE_END < refunded_at.date()
    assert window_of(refunded_at - timedelta(days=7)) == WINDOW
    sales = cash([the_order(feed, incidents["in debt"], number) for number in (1, 2)])
    refunded = Decimal(refund["amount"]) - Decimal(refund["fee_refund_amount"])
    assert sales - refunded == Decimal("-2052.00")


def test_late_order(feed: Feed, incidents: dict[str, Incident]) -> None:
    late = the_order(feed, incidents["late order"], 1)
    home = window_of(instant(late["captured_at"]))
    assert home == WINDOW - timedelta(days=7)
    assert home + RESERVE_END < feed.arrived_on("orders", late["order_id"]) <= AS_OF


def test_dispute_at_the_reserves_end(feed: Feed, incidents: dict[str, Incident]) -> None:
    order = the_order(feed, incidents["reserve end"])
    closes_on = window_of(instant(order["captured_at"])) + RESERVE_END
    dispute = feed.rows["disputes"]["dp_reserve_end_1"]
    assert instant(dispute["opened_at"]) == datetime.combine(closes_on, time(), UTC)
    assert window_of(instant(dispute["opened_at"]) - timedelta(days=7)) == WINDOW


def test_spikes(feed: Feed, incidents: dict[str, Incident]) -> None:
    orders = [feed.rows["orders"][order_id] for order_id in incidents["volume spike"].order_ids]
    week = [row for row in orders if AS_OF - timedelta(days=7) <= instant(row["captured_at"]).date() < AS_OF]
    calm = [row for row in orders if row not in week]
    assert len(week) == 32
    assert sum(Decimal(row["gross_amount"]) for row in week) == Decimal("6353.00")
    assert sum(Decimal(row["gross_amount"]) for row in calm) * 7 / 23 < 1000  # so that growth is 6.353
    assert {window_of(instant(row["captured_at"])) for row in calm} == {WINDOW}

    disputes = [row for row in feed.rows["disputes"].values() if "_dispute_spike_" in row["dispute_id"]]
    opened_on = [instant(row["opened_at"]).date() for row in disputes]
    assert len(disputes) == 4  # against 0.5 expected: z = 4.95
    assert all(AS_OF - timedelta(days=7) <= day < AS_OF for day in opened_on)
    disputed = [feed.rows["orders"][row["order_id"]] for row in disputes]
    assert {window_of(instant(row["captured_at"])) for row in disputed} == {WINDOW}


def test_wallet_and_account(feed: Feed, incidents: dict[str, Incident]) -> None:
    changed = feed.rows["sellers"]["sel_new_wallet"]
    assert instant(changed["wallet_changed_at"]).date() == AS_OF - timedelta(days=1)
    assert len([row for _, row in feed.versions["sellers"] if row["seller_id"] == "sel_new_wallet"]) == 2

    assert feed.rows["sellers"]["sel_closed_with_money"]["status"] == "closed"
    assert cash([the_order(feed, incidents["closed with money"])]) == Decimal("288.00")

    assert feed.rows["sellers"]["sel_under_floor"]["seller_type"] == "freelancer"
    assert cash([the_order(feed, incidents["under floor"])]) == Decimal("79.20")


def test_orders_that_do_not_fit(feed: Feed, incidents: dict[str, Incident]) -> None:
    orders, refunds = feed.rows["orders"], feed.rows["refunds"]
    assert feed.rows["sellers"]["sel_two_currencies"]["settlement_currency"] == "EUR"
    assert [the_order(feed, incidents["two currencies"], n)["currency"] for n in (0, 1)] == ["EUR", "USD"]

    dispute = feed.rows["disputes"]["dp_refund_in_dispute_1"]
    refunded_at = instant(refunds["rf_refund_in_dispute_1"]["refunded_at"])
    assert instant(dispute["opened_at"]) < refunded_at < instant(dispute["closed_at"])

    assert orders["ord_no_seller_1"]["seller_id"] == ""
    assert refunds["rf_unknown_order_1"]["order_id"] not in orders
    too_big = refunds["rf_refund_too_big_1"]
    assert Decimal(too_big["amount"]) > Decimal(orders[too_big["order_id"]]["gross_amount"])


def test_what_is_paid_otherwise_than_promised(feed: Feed, incidents: dict[str, Incident]) -> None:
    def earned(name: str) -> dict[int, Decimal]:
        """By how many weeks the window lies before the incident's."""
        orders = [feed.rows["orders"][order_id] for order_id in incidents[name].order_ids]
        assert {row["seller_id"] for row in orders} == {incidents[name].seller_id}
        return {(WINDOW - window_of(instant(row["captured_at"]))).days // 7: cash([row]) for row in orders}

    too_much = earned("paid too much")
    assert list(too_much) == [3, 2, 1]
    assert too_much[2] < 180 < too_much[2] + too_much[1], "recovered over two windows"
    assert earned("reduced deduction") == {2: 90, 1: 72}
    assert earned("paid too little") == {2: 135, 1: 54}
    assert earned("wrong beneficiary") == {2: 81, 1: 45}
    corrected_at = instant(feed.rows["sellers"]["sel_wrong_beneficiary"]["wallet_changed_at"])
    due_at = feed.sample.folders[-2].as_of
    assert due_at - timedelta(days=7) < corrected_at < due_at - timedelta(hours=72), "no longer recent"

    by_hand = feed.rows["sellers"]["sel_paid_by_hand"]
    assert earned("paid by hand") == {1: 171}
    assert (by_hand["preferred_rail"], by_hand["settlement_currency"]) == ("MANUAL", "EUR")


# -- plans -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "plan",
    [{"weeks": 0}, {"sellers": -1}, {"first_window": date(2026, 5, 18)}],
    ids=str,
)
def test_what_is_no_plan_is_refused(plan: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        SamplePlan(**plan)


def test_a_plan_may_begin_on_any_sunday(tmp_path: Path) -> None:
    sample = write_sample(tmp_path, SamplePlan(sellers=5, weeks=7, first_window=date(2024, 2, 25)))
    assert sample.settlement_start == date(2024, 2, 25)
    assert sample.folders[0].path == tmp_path / "2024-03-03"
    assert sample.incidents[0].window == date(2024, 3, 31)

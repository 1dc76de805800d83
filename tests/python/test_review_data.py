"""The review's numbers are the marts' numbers, and the site is never half a site."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from closed_weeks import HOSTILE_ID, HOSTILE_NAME
from small_week import NEXT_NIGHT, NIGHT, START, Week
from weekclose.database import open_connection
from weekclose.errors import NothingToDo
from weekclose.postgres import Server
from weekclose.review.files import write_atomically
from weekclose.review.page_data import LINKS, in_the_folder_of_weeks, page_data
from weekclose.review.site import publish, write_site
from weekclose.review.verdict import Situation, verdict_of
from weekclose.settings import Settings
from weekclose.warehouse import Warehouse

WINDOWS = [date(2026, 10, 25), date(2026, 11, 1)]
EARLIER_NIGHT = NIGHT - timedelta(days=7)
SUMMED = (
    *("gross", "fees", "refunds", "net", "disputes", "adjustments"),
    *("carry_in", "payable", "carry_out"),
)

Page = dict[str, Any]


@pytest.fixture(scope="module")
def closed(closed_weeks: Server) -> Iterator[Connection[Any]]:
    with open_connection(closed_weeks) as conn:
        yield conn


# -- numbers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", WINDOWS)
def test_the_pages_totals_are_the_marts(closed: Connection[Any], window: date) -> None:
    page = page_data(closed, window)
    summed = ", ".join(f"sum({column})" for column in SUMMED)
    marts = {
        row[0]: dict(zip((*SUMMED, "sellers", "orders"), row[1:], strict=True))
        for row in closed.execute(
            f"select currency, {summed}, sum(seller_count), sum(order_count)"
            " from marts.window_summary where payout_window = %s group by currency",
            [window],
        )
    }
    columns = page["sellers"]["columns"]
    currencies = _decoded(columns["currency"])
    assert {each["code"] for each in page["currencies"]} == set(currencies) == set(marts)
    for code, totals in marts.items():
        mine = [row for row, currency in enumerate(currencies) if currency == code]
        for column in SUMMED:
            assert _money(sum(columns[column][row] for row in mine)) == totals[column], column
        assert len(mine) == totals["sellers"]
        assert sum(columns["orders"][row] for row in mine) == totals["orders"]


@pytest.mark.parametrize("window", WINDOWS)
def test_the_statement_adds_up_and_agrees_with_the_figures(closed: Connection[Any], window: date) -> None:
    page = page_data(closed, window)
    for code, lines in page["statement"].items():
        line = {each["key"]: each["value"] for each in lines}
        assert line["gross"] + line["fees"] + line["refunds"] == line["net"]
        balance = line["net"] + line["disputes"] + line["adjustments"] + line["carry_in"]
        assert balance == line["balance"]
        assert line["balance"] + line["carry_out"] == line["payable"] == line["ready"] + line["blocked"]
        figures = {each["key"]: each for each in page["figures"][code]}
        assert figures["payable"]["value"] == line["ready"]
        assert figures["refunds"]["value"] == -line["refunds"]
        assert all(figure["series"][-1][1] == figure["value"] for figure in figures.values())
        rails = [rail for rail in page["rails"] if rail["currency"] == code]
        assert sum(rail["amount"] for rail in rails) == line["payable"]
        assert sum(rail["funding"] + rail["by_hand"] for rail in rails) == line["ready"]
        assert all(rail["funding"] == 0 for rail in rails if rail["rail"] == "MANUAL")


def test_counts_and_the_reserve_agree_with_the_rows(closed: Connection[Any]) -> None:
    page = page_data(closed)
    figures = {each["key"]: each for each in page["figures"]["USD"]}
    columns = page["sellers"]["columns"]
    rows = list(
        zip(
            _decoded(columns["status"]),
            _decoded(columns["currency"]),
            columns["payable"],
            strict=True,
        )
    )
    assert figures["ready"]["value"] == sum(
        status != "blocked" and currency == "USD" and payable > 0 for status, currency, payable in rows
    )
    assert figures["carried"]["value"] == rows.count(("carried_forward", "USD", 0))
    pending = closed.execute("select sum(pending_balance) from marts.seller_balances where currency = 'USD'")
    calendar = [each for each in page["reserve_calendar"] if each["currency"] == "USD"]
    assert _money(sum(each["amount"] for each in calendar)) == _only(pending)
    # The next window had ended when this one's reserve closed; the one after it is still running.
    assert figures["reserve_held"]["value"] == calendar[0]["amount"]
    assert figures["payable"]["previous"] is not None


@pytest.mark.parametrize("window", WINDOWS)
def test_every_seller_is_explained_by_lines_and_ledger(closed: Connection[Any], window: date) -> None:
    page = page_data(closed, window)
    columns, lines = page["sellers"]["columns"], page["lines"]
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for place, currency, *amounts in zip(
        lines["columns"]["seller"],
        _decoded(lines["columns"]["currency"]),
        *(lines["columns"][name] for name in ("gross", "fees", "refunds", "adjustments")),
        strict=True,
    ):
        key = lines["pool"][place], currency
        net, adjustments = found.get(key, (0, 0))
        found[key] = net + amounts[0] - amounts[1] - amounts[2], adjustments + amounts[3]
    keys = zip(columns["seller_id"], _decoded(columns["currency"]), strict=True)
    for key, *told in zip(keys, columns["net"], columns["adjustments"], strict=True):
        assert found.get(key, (0, 0)) == tuple(told), key
    assert page["carried"]["sellers"] == page["carried"]["of_sellers"]
    freezes = [
        amount
        for amount, kind in zip(
            page["ledger"]["columns"]["amount"], _decoded(page["ledger"]["columns"]["kind"]), strict=True
        )
        if kind == "freeze"
    ]
    assert freezes and sum(freezes) == 0
    first, *differences = lines["columns"]["event_at"]
    assert datetime.fromtimestamp(first + sum(differences), UTC).year == 2026


def test_hostile_names_are_names_and_nothing_is_lost_as_json(closed: Connection[Any]) -> None:
    page = page_data(closed)
    columns = json.loads(json.dumps(page))["sellers"]["columns"]
    place = columns["seller_id"].index(HOSTILE_ID)
    assert columns["name"][place] == HOSTILE_NAME


def test_exceptions_name_reasons_and_money(closed: Connection[Any]) -> None:
    def told(window: date) -> dict[str, tuple[list[str], str, int]]:
        columns = page_data(closed, window)["exceptions"]["columns"]
        named = zip(*(columns[name] for name in ("seller_id", "reasons", "text", "amount")), strict=True)
        return {seller: (reasons, text, amount) for seller, reasons, text, amount in named}

    first, second = map(told, WINDOWS)
    assert first["carl"] == (["seller_inactive"], "the seller's account is not active", 100_000)
    assert first["bob"][0] == ["restated"]
    assert first["fay"][0] == ["failed"] and "account closed" in first["fay"][1]
    assert second["fay"][0] == ["came_back"] and second["fay"][2] == 9_000
    assert second["anna"][0] == ["break", "late"] and second["anna"][2] == 1
    assert first["paul"][:2] == (
        ["reversed"],
        "payout JPO0000008 is reversed (duplicate payment): ADJ0000002 follows from it",
    )
    assert second["nora"][0] == ["negative"] and second["nora"][2] == -4_100
    amounts = [abs(amount) for _, _, amount in second.values()]
    assert amounts == sorted(amounts, reverse=True)


def test_what_a_person_can_do_stands_with_its_command(closed: Connection[Any]) -> None:
    columns = page_data(closed)["exceptions"]["columns"]
    commands = dict(zip(columns["seller_id"], columns["command"], strict=True))
    numbers = dict(zip(columns["seller_id"], columns["payout_number"], strict=True))
    assert {seller: command for seller, command in commands.items() if command} == {
        "olaf": "weekclose exception approve 1 --reason ''",
        "paul": f"weekclose execute {numbers['paul']} --reference '' --amount 90.00 --proof FILE",
        "mia": f"weekclose resolve {numbers['mia']} accept --note ''",
    }
    texts = dict(zip(columns["seller_id"], columns["text"], strict=True))
    assert texts["mia"].startswith("4.50 left, 4.00 was promised")


def test_adjustments_are_those_of_the_window_and_what_is_open(closed: Connection[Any]) -> None:
    first, second = (page_data(closed, window)["adjustments"] for window in WINDOWS)
    assert (first["entered"], first["wishes"], first["open"]) == ([], [], None)
    assert [(each["seller_id"], each["class"], each["amount"]) for each in second["entered"]] == [
        ("paul", "deduction", -9_000),
        ("nora", "deduction", -5_000),
        ("mia", "deduction", -500),
    ]
    summed = closed.execute(
        "select sum(adjustments) from marts.window_summary where payout_window = %s", [WINDOWS[1]]
    )
    assert [(each["currency"], _money(each["amount"])) for each in second["sums"]] == [("USD", _only(summed))]
    (wish,) = second["wishes"]
    assert (wish["seller_id"], wish["wish"], wish["amount"]) == ("olaf", "amount 12.00", 2_000)
    owed = {(each["class"], each["stands"]): (each["adjustments"], each["open"]) for each in second["open"]}
    assert owed == {
        ("credit", "exception open"): (1, 2_000),
        ("deduction", "in the balance"): (1, -4_100),
        ("invoiced fee", "to be collected"): (1, -1_500),
    }
    bridge = page_data(closed, WINDOWS[1])["bridge"]["USD"]
    assert ("adjusted", -14_500, 3) in [
        (part["key"], part["amount"], part["lines"]) for part in bridge["parts"]
    ]
    assert {(line["line_id"], line["before"], line["after"]) for line in bridge["lines"]} >= {
        ("adjustment:ADJ0000003", 0, -5_000)
    }


def test_what_left_is_shown_with_its_proof(closed: Connection[Any]) -> None:
    page = page_data(closed, WINDOWS[0])
    columns = page["executions"]["columns"]
    owner = dict(
        zip(page["payouts"]["columns"]["payout_number"], page["payouts"]["columns"]["seller_id"], strict=True)
    )
    left = {
        owner[number]: (reference, amount, source, proof is not None)
        for number, reference, amount, source, proof in zip(
            columns["payout_number"],
            columns["external_reference"],
            columns["amount"],
            _decoded(columns["source"]),
            columns["sha256"],
            strict=True,
        )
    }
    assert left["paul"] == ("BANK-1", 9_000, "manual", True)
    assert left["mia"][1:] == (9_500, "rail", False)


def test_a_page_of_a_window_that_is_not_frozen_is_refused(closed: Connection[Any]) -> None:
    with pytest.raises(NothingToDo, match="2026-11-08 is not frozen"):
        page_data(closed, date(2026, 11, 8))


# -- what changed since last week --------------------------------------------------------------------


def test_the_bridge_is_exact_and_names_the_lines(dbt_week: Week) -> None:
    dbt_week.order("late", "s2", "2026-10-28T10:00Z", gross=30, fee=0)
    dbt_week.sunday(EARLIER_NIGHT, start=date(2026, 10, 25))
    before = dbt_week.one(
        "select sum(net - disputes) from marts.window_summary where payout_window = '2026-11-01'"
    )
    dbt_week.order("o8", "s2", "2026-11-06T10:00Z", gross=20, fee=2)
    dbt_week.order("too_late", "s2", "2026-10-27T10:00Z", gross=11, fee=1)
    dbt_week.conn.execute("update raw.orders set gross_amount = 120, loaded_at = now() where order_id = 'o1'")
    dbt_week.conn.execute(
        "update raw.orders set status = 'cancelled', loaded_at = now() where order_id = 'o2'"
    )
    # A first build of the night, and the one that freezes: what changed since last week is the same.
    dbt_week.sunday(start=date(2026, 10, 25), may_freeze=False)
    first = page_data(dbt_week.conn)["bridge"]
    dbt_week.sunday(NIGHT + timedelta(minutes=5), start=date(2026, 10, 25), full_refresh=True)
    page = page_data(dbt_week.conn)
    assert (page["page"]["window"], page["page"]["is_frozen"]) == ("2026-11-01", True)
    bridge = page["bridge"]["USD"]
    assert bridge == first["USD"]
    assert _money(bridge["previous"]) == before
    assert bridge["previous_as_of"] == EARLIER_NIGHT.isoformat()
    parts = {part["key"]: (part["amount"], part["lines"]) for part in bridge["parts"]}
    assert parts == {"new": (1800, 1), "changed": (2000, 1), "gone": (-4500, 1), "late": (1000, 1)}
    assert bridge["current"] == bridge["previous"] + sum(amount for amount, _ in parts.values())
    assert {line["line_id"]: (line["before"], line["after"]) for line in bridge["lines"]} == {
        "sale:o8": (0, 1800),
        "sale:o1": (9000, 11000),
        "sale:o2": (4500, 0),
        "sale:too_late": (0, 1000),
    }
    dbt_week.sunday(NEXT_NIGHT, start=None)
    assert page_data(dbt_week.conn, START)["bridge"]["USD"] == bridge


# -- verdicts ----------------------------------------------------------------------------------------


def test_a_red_run_names_what_bars_the_freeze(
    built_week: Week,
    tmp_path: Path,
) -> None:
    page = page_data(built_week.conn)
    assert (page["verdict"]["tone"], page["batch"]) == ("warn", None)
    assert page["verdict"]["headline"] == "Window 2026-11-01 is due and not frozen"
    # No build before this one saw the whole window.
    bridge = page["bridge"]["USD"]
    assert (bridge["previous"], bridge["current"]) == (None, 13500)
    built_week.conn.execute("update intermediate.int_order_events set gross = 107 where line_id = 'sale:o1'")
    # What nobody has touched, dbt does not compute again.
    built_week.warehouse = Warehouse(Settings(WEEKCLOSE_HOME=tmp_path / "home"), built_week.server)
    report = built_week.sunday()
    assert report.outcome == "refused"
    publish(built_week.server, built_week.warehouse, tmp_path)
    page = page_data(built_week.conn)
    verdict = page["verdict"]
    assert (verdict["tone"], verdict["command"]) == ("bad", "weekclose sunday")
    assert verdict["headline"] == "1 check stops this window: 1 seller with 97.00 USD"
    assert "135.00 USD waits for 2026-11-17" in verdict["detail"]
    red = [check for check in page["checks"] if check["status"] == "fail"]
    assert red == page["checks"][: len(red)]
    assert [check["name"] for check in red] == [report.red[0].name]
    assert red[0]["protects"].endswith(".")
    assert dict(zip(red[0]["columns"], red[0]["rows"][0], strict=True))["line_id"] == "sale:o1"
    skipped = [check for check in page["checks"] if check["status"] == "skipped"]
    assert len(skipped) == len(report.red) - 1
    assert "1 check stops this window" in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize(
    ("at_the_rail", "by_hand", "headline"),
    [
        (500, 0, "With the rail: 5.00 USD not answered yet"),
        (500, 9_000, "With the rail: 5.00 USD not answered yet"),
        (0, 9_000, "To be paid by hand: 90.00 USD"),
    ],
)
def test_what_a_person_pays_is_not_with_the_rail(at_the_rail: int, by_hand: int, headline: str) -> None:
    totals = {"currency": "USD", "open_amount": at_the_rail + by_hand, "by_hand_amount": by_hand}
    totals |= {"paid": 0, "failed": 0}
    verdict = verdict_of(
        Situation(
            window=START,
            is_frozen=True,
            is_latest=False,
            run=None,
            batch={"state": "submitted"},
            rejected=None,
            frozen_by="ana",
            totals=[totals],
            checks=[],
            breaks=[],
            payout_on=START,
            affected="",
        )
    )
    assert verdict["headline"] == headline
    assert ("by hand" in verdict["headline"] + verdict["detail"]) == bool(by_hand)


def test_every_check_says_what_it_protects(closed: Connection[Any]) -> None:
    checks = page_data(closed)["checks"]
    assert [check["name"] for check in checks if check["kind"] != "freshness" and not check["protects"]] == []
    source = page_data(closed)["sources"][0]
    assert source["name"] == "orders" and source["age_days"] < 3


def test_empty_databases_say_what_to_do(
    week: Week,
    empty_conn: Connection[Any],
) -> None:
    with pytest.raises(NothingToDo, match="db migrate"):
        page_data(empty_conn)
    week.conn.execute("truncate raw.orders")
    nothing = page_data(week.conn)
    assert (nothing["page"]["kind"], nothing["verdict"]["command"]) == ("empty", "weekclose load PATH")
    week.order("o1", "s1", "2026-11-02T10:00Z")
    week.sunday(datetime(2026, 11, 3, 23, tzinfo=UTC))
    waiting = page_data(week.conn)
    assert waiting["verdict"]["headline"] == "No window is due yet"
    assert "Window 2026-11-01 is due when its reserve closes, 2026-11-15" in waiting["verdict"]["detail"]


# -- the site ----------------------------------------------------------------------------------------


def test_past_weeks_are_kept_and_follow_their_payouts(
    frozen_week: Week,
    tmp_path: Path,
) -> None:
    warehouse = Warehouse(Settings(WEEKCLOSE_HOME=tmp_path / "home"), frozen_week.server)
    first = write_site(frozen_week.server, warehouse, tmp_path)
    past = tmp_path / "weeks" / f"{START}.html"
    assert first.weeks == [str(START)]
    assert {f"{name}.html" for name in LINKS} <= {path.name for path in tmp_path.iterdir()}
    assert "Ready to approve" in first.headline

    made = past.stat().st_mtime_ns, (tmp_path / "models.html").stat().st_mtime_ns
    assert write_site(frozen_week.server, warehouse, tmp_path).weeks == []
    assert made == (past.stat().st_mtime_ns, (tmp_path / "models.html").stat().st_mtime_ns)

    batch = frozen_week.one("select batch_id from payouts.batches")
    digest = frozen_week.one("select content_digest from payouts.batches")
    frozen_week.conn.execute("select payouts.approve(%s, %s, 'anna')", [START, digest])
    frozen_week.conn.execute("select payouts.claim_batch(%s, %s, 'batch', 'body', 'olga')", [batch, digest])
    frozen_week.conn.execute("select payouts.take_receipt(%s, 'pb_1', 'olga')", [batch])
    again = write_site(frozen_week.server, warehouse, tmp_path)
    assert again.weeks == [str(START)]
    assert again.headline == "With the rail: 135.00 USD not answered yet"
    page = page_data(frozen_week.conn, START)
    assert page["batch"]["attempts"][0]["outcome"] == "accepted"
    assert set(_decoded(page["payouts"]["columns"]["status"])) == {"submitted"}

    frozen_week.sunday(NEXT_NIGHT)
    nobody = write_site(frozen_week.server, warehouse, tmp_path)
    assert (nobody.weeks, nobody.tone) == (["2026-11-08"], "idle")
    assert nobody.headline == "Window 2026-11-08 is frozen and pays nobody"
    links = page_data(frozen_week.conn)["page"]["weeks"]
    assert [(each["href"], each["state"]) for each in links] == [
        ("weeks/2026-11-08.html", "no payouts"),
        ("weeks/2026-11-01.html", "submitted"),
    ]
    past_page = in_the_folder_of_weeks(page_data(frozen_week.conn, START))["page"]
    assert past_page["links"]["index"] == "../index.html"
    assert past_page["weeks"][1]["href"] == "2026-11-01.html"


def test_a_site_that_cannot_be_written_is_said_and_no_more(
    closed_weeks: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "site").write_text("in the way")
    publish(closed_weeks, Warehouse(Settings(WEEKCLOSE_HOME=tmp_path), closed_weeks), tmp_path / "site")
    assert "the site could not be written" in capsys.readouterr().err


def test_a_reader_never_sees_half_a_page(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    pages = [f"<p>{letter * 2_000_000}</p>" for letter in "ab"]
    write_atomically(page, pages[0])
    ended = threading.Event()
    seen: set[str] = set()

    def look() -> None:
        while not ended.is_set():
            seen.add(page.read_text())

    reader = threading.Thread(target=look)
    reader.start()
    for turn in range(20):
        write_atomically(page, pages[turn % 2])
    ended.set()
    reader.join()
    assert seen <= set(pages)
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def _decoded(column: dict[str, list[Any]]) -> list[Any]:
    return [column["values"][code] for code in column["codes"]]


def _money(hundredths: int) -> Decimal:
    return Decimal(hundredths) / 100


def _only(cursor: Any) -> Any:
    return cursor.fetchone()[0]

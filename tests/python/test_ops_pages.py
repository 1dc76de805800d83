"""The pages beside the review in a browser: what they say is what SQL says, and none asks anybody."""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect
from psycopg import Connection, sql

from closed_weeks import HOSTILE_ID
from ops_sample import HOSTILE_NOTE, occupy
from page_browser import Keep, Open, amount, serious, totals
from weekclose.database import open_connection
from weekclose.postgres import Server
from weekclose.review import audit, operations, site
from weekclose.review.page import PAGES, render
from weekclose.review.site import BESIDE, publish, write_beside
from weekclose.settings import Settings
from weekclose.warehouse import Warehouse

WIDTHS = (1400, 390)
# What leads to a row of each page, and the list that it is in.
LISTS = {"operations": "queue", "schedules": "holds", "audit": "entries", "reports": "behaviour"}

Written = dict[str, str]


@pytest.fixture(scope="module")
def busy(closed_weeks: Server) -> Iterator[Server]:
    """A copy of the closed weeks, with schedules, requests and holds of each kind."""
    copy = replace(closed_weeks, dbname=f"weekclose_test_{uuid4().hex[:12]}")
    name, original = sql.Identifier(copy.dbname), sql.Identifier(closed_weeks.dbname)
    with open_connection(replace(closed_weeks, dbname="template1")) as admin:
        admin.execute(sql.SQL("create database {} template {}").format(name, original))
        try:
            with open_connection(copy) as conn:
                occupy(conn)
            yield copy
        finally:
            admin.execute(sql.SQL("drop database {} with (force)").format(name))


@pytest.fixture
def books(busy: Server) -> Iterator[Connection[Any]]:
    with open_connection(busy) as conn:
        yield conn


@pytest.fixture(scope="module")
def written(busy: Server, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The pages as a run writes them."""
    directory = tmp_path_factory.mktemp("site")
    write_beside(busy, directory)
    assert {path.stem for path in directory.iterdir()} == BESIDE.keys() == PAGES.keys() - {"index"}
    return {name: (directory / f"{name}.html").read_text(encoding="utf-8") for name in BESIDE}


def ready(page: Page) -> Page:
    page.wait_for_selector("html[data-ready]")
    return page


def money(value: Decimal) -> str:
    return f"{value:,}".replace("-", "\N{MINUS SIGN}")


def by_currency(conn: Connection[Any], query: str) -> dict[str, list[str]]:
    """Rows and sums as the totals under a list show them: a query of currency, count, sums."""
    found = conn.execute(query).fetchall()
    return {row[0]: [f"{row[1]:,}", *map(money, row[2:])] for row in found}


def rows_of(page: Page, of: str, click: str = "csv") -> list[dict[str, str]]:
    """What a list shows, as its file has it."""
    with page.expect_download() as waiting:
        page.locator(f"#{of}-{click}").click()
    text = waiting.value.path().read_bytes().decode()
    return list(csv.DictReader(text.splitlines(keepends=True)))


# -- all of them ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_shuts_nobody_out(name: str, width: int, written: Written, show: Open, keep: Keep) -> None:
    # Without motion: a drawer on its way is paler than it is.
    page = ready(show(written[name], viewport={"width": width, "height": 900}, reduced_motion="reduce"))
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        keep(page, f"{name}-{width}-{scheme}")
        assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("img, iframe, object, embed").count() == 0
    expect(page.locator(".site [aria-current=page]")).to_have_text(PAGES[name])
    hrefs = [link.get_attribute("href") for link in page.locator(".site a").all()]
    assert hrefs == [f"{each}.html" for each in PAGES]
    page.locator(f"#{LISTS[name]}-grid .slick-row .l0").first.click()
    drawer = page.locator("#drawer")
    expect(drawer.locator(".command").first).to_be_visible()
    assert drawer.evaluate("drawer => drawer.scrollWidth") <= width
    assert serious(page) == []


@pytest.mark.parametrize("name", BESIDE)
def test_a_page_runs_its_own_scripts_and_prints(name: str, written: Written, show: Open) -> None:
    policy = unescape(re.findall(r'Content-Security-Policy" content="([^"]*)"', written[name])[0])
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy
    page = ready(show(written[name], color_scheme="dark"))
    page.emulate_media(media="print")
    expect(page.locator(".rows").first).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.parametrize("name", BESIDE)
def test_before_the_first_build_a_page_says_what_to_do(name: str, conn: Connection[Any], show: Open) -> None:
    page = ready(show(render(BESIDE[name](conn))))
    expect(page.locator("#verdict-headline")).to_have_text("Nothing is loaded and built yet")
    expect(page.locator("#verdict .command code")).to_have_text("weekclose load PATH")
    expect(page.locator("#content .empty .command code").first).to_have_text("weekclose sunday")
    assert serious(page) == []


def test_what_is_not_there_yet_says_what_starts_it(closed_weeks: Server, show: Open) -> None:
    with open_connection(closed_weeks) as conn:
        page = ready(show(render(BESIDE["schedules"](conn))))
        for part in ("schedules", "requests", "holds"):
            expect(page.locator(f"#{part} .empty code")).to_contain_text(f"weekclose {part} create")
        data = BESIDE["operations"](conn) | {"summary": [], "steps": [], "queue": {"columns": {}}}
        expect(ready(show(render(data))).locator("#queue .empty")).to_contain_text("Nothing is queued")
        page = ready(show(render(BESIDE["reports"](conn))))
        expect(page.locator("#patterns .empty")).to_contain_text("Nobody has asked yet")


def test_a_page_that_cannot_be_written_leaves_the_review(
    busy: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_conn: object) -> dict[str, Any]:
        raise ValueError("no audit today")

    monkeypatch.setitem(site.BESIDE, "audit", fail)
    publish(busy, Warehouse(Settings(WEEKCLOSE_HOME=tmp_path), busy), tmp_path / "site")
    assert "no audit today" in capsys.readouterr().err
    assert "Payout review" in (tmp_path / "site/index.html").read_text(encoding="utf-8")
    assert (tmp_path / "site/operations.html").exists()


# -- operations ----------------------------------------------------------------------------------------


def test_the_queue_is_the_marts(written: Written, show: Open, books: Connection[Any]) -> None:
    page = ready(show(written["operations"]))
    sums = "select currency, count(*), sum(amount) from marts.payout_queue where {} group by currency"
    assert totals(page, "queue") == by_currency(books, sums.format("true"))
    chips = page.locator("#queue .chips")
    for chip, column in ((chips.nth(0), "readiness"), (chips.nth(1), "attention")):
        for button in chip.locator("[data-value]").all():
            value = button.get_attribute("data-value")
            found = by_currency(books, sums.format(f"{column} = '{value}'"))
            assert button.locator("b").inner_text() == str(sum(int(row[0]) for row in found.values()))
            button.click()
            assert totals(page, "queue") == found
            button.click()
    page.locator("#queue-search").fill("paul")
    page.locator("#queue-filter-rail").select_option(label="MANUAL")
    expect(page.locator("#queue-counted")).to_contain_text("1 of")
    (row,) = rows_of(page, "queue")
    marts = books.execute(
        "select next_action, amount from marts.payout_queue where rail = 'MANUAL'"
    ).fetchone()
    assert marts == (row["next_action"], Decimal(row["amount"]))


def test_the_queue_comes_in_its_order_and_opens_by_keyboard(
    written: Written, show: Open, books: Connection[Any]
) -> None:
    page = ready(show(written["operations"]))
    marts = books.execute("select payout_number from marts.payout_queue order by priority_rank").fetchall()
    assert [row["payout_number"] or None for row in rows_of(page, "queue")] == [number for (number,) in marts]
    page.keyboard.press("/")
    expect(page.locator("#queue-search")).to_be_focused()
    page.keyboard.type("JPO0000017")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('slick-cell')"):
            break
    page.keyboard.press("Enter")
    expect(page.locator("#drawer .command code").first).to_contain_text("weekclose execute JPO0000017")
    page.keyboard.press("Escape")
    expect(page.locator("#drawer")).to_be_hidden()
    assert not page.evaluate("document.activeElement.closest('#queue-grid') === null")


def test_figures_steps_and_pressure_are_the_marts(
    written: Written, show: Open, books: Connection[Any]
) -> None:
    page = ready(show(written["operations"]))
    ready_now = books.execute(
        "select count(*), sum(amount) from marts.payout_queue where readiness = 'ready'"
    ).fetchone()
    assert ready_now is not None
    expect(page.locator("#verdict-headline")).to_have_text(
        f"Ready to move: {ready_now[0]} payouts, {ready_now[1]:,} USD"
    )
    overdue = books.execute("select count(*) from marts.escrow_holds where is_overdue").fetchone()
    expect(page.locator(".tile", has_text="Holds over").locator(".value")).to_have_text(str(overdue[0]))  # type: ignore[index]
    steps = books.execute(
        "select next_action, count(*), sum(amount) from marts.payout_queue where next_action is not null"
        " group by next_action"
    ).fetchall()
    shown = page.locator("#next .step")
    if page.locator("#next .more button").count():
        page.locator("#next .more button").click()
    assert {
        (step.locator("code").inner_text(), step.locator("b").inner_text().split()[0]) for step in shown.all()
    } == {(command, str(many)) for command, many, _ in steps}
    states = books.execute(
        "select status, currency, count(*), sum(amount) from marts.payout_queue group by status, currency"
    ).fetchall()
    rows = page.locator("#pressure tbody tr").all()
    told = {
        (
            row.locator("th").inner_text().strip().replace(" ", "_"),
            *row.locator("td.num").nth(1).inner_text().split("\xa0")[::-1],
            row.locator("td.num").first.inner_text(),
        )
        for row in rows
    }
    assert told == {(state, code, money(worth), str(many)) for state, code, many, worth in states}
    page.locator(".tile", has_text="Blocked").click()
    expect(page.locator("#queue .chip[data-value=blocked]")).to_have_attribute("aria-pressed", "true")


BACKLOG = {
    "executions": "select count(*) from payouts.executions where payout_number = %s",
    "events": "select count(*) from payouts.inbox where payout_number = %s",
    "ledger": "select count(*) from marts.ledger_entries where payout_number = %s",
    "proofs": "select count(*) from payouts.proofs inner join payouts.executions using (execution_id)"
    " where payout_number = %s",
    "adjustments": "select count(*) from payouts.adjustments inner join payouts.payouts"
    " on adjustments.source_id = payouts.payout_number or (adjustments.applied_to = payouts.seller_id and"
    " adjustments.currency = payouts.currency and adjustments.payout_window = payouts.payout_window"
    " and request_number is null)"
    " where payout_number = %s",
    "audit": "select count(*) from payouts.audit_log where entity = 'payout:' || %(n)s or entity in"
    " (select 'batch:' || batch_id from payouts.batch_items where payout_number = %(n)s) or entity ="
    " (select concat('window:', payout_window, ' seller:', seller_id) from payouts.payouts"
    " where payout_number = %(n)s) or entity ="
    " (select 'request:' || request_number from payouts.payouts where payout_number = %(n)s)",
}


def test_every_payouts_backlog_is_carried(books: Connection[Any]) -> None:
    data = operations.operations_data(books)
    numbers = [number for (number,) in books.execute("select payout_number from payouts.payouts").fetchall()]
    for part, query in BACKLOG.items():
        carried = data[part]["columns"]["payout_number"]
        for number in numbers:
            parameters: Any = {"n": number} if "%(n)s" in query else (number,)
            row = books.execute(query, parameters).fetchone()
            assert row is not None and row[0] == carried.count(number), (part, number)


def test_a_payout_shows_all_that_is_known_of_it(
    written: Written, show: Open, books: Connection[Any], keep: Keep
) -> None:
    number = "JPO0000008"
    page = ready(show(written["operations"]))
    page.locator("#done-search").fill(number)
    page.locator("#done-grid .slick-row .l0").first.click()
    drawer = page.locator("#drawer")
    keep(page, "operations-payout")
    entries = books.execute(
        "select account, kind, amount from marts.ledger_entries where payout_number = %s"
        ' order by transaction_id, account collate "C"',
        (number,),
    ).fetchall()
    cells = [
        row.locator("td").all_inner_texts() for row in drawer.locator("[data-part=ledger] tbody tr").all()
    ]
    assert [(account, kind, cash.split("\xa0")[0]) for _, account, kind, cash in cells] == [
        (account.replace("_", " "), kind, f"{'+' * (cash > 0)}{money(cash)}")
        for account, kind, cash in entries
    ]
    expect(drawer.locator("[data-part=ledger] tfoot .num")).to_contain_text("0.00")
    proofs = books.execute(
        "select sha256 from payouts.proofs inner join payouts.executions using (execution_id)"
        " where payout_number = %s order by proof_id",
        (number,),
    ).fetchall()
    shown = drawer.locator("[data-part=proofs] code").all()
    assert [code.get_attribute("title") for code in shown] == [digest for (digest,) in proofs]
    expect(drawer.locator("[data-part=proofs] tbody tr").last).to_contain_text("in force")
    expect(drawer.locator("[data-part=executions]")).to_contain_text("BANK-1")
    reversal = books.execute("select adjustment_number from payouts.reversals").fetchone()
    assert reversal is not None
    expect(drawer.locator("[data-part=adjustments]")).to_contain_text(reversal[0])
    audited = drawer.locator("[data-part=audit] tbody tr")
    actions = books.execute(
        "select action from payouts.audit_log where entity = %s order by entry_id", (f"payout:{number}",)
    ).fetchall()
    assert [row.locator("td").nth(2).inner_text().split(" payout:")[0] for row in audited.all()] == [
        action.replace("_", " ") for (action,) in actions
    ]
    for command in (f"queue recheck {number}", f"payout search {number}", "explain paul 2026-10-25"):
        expect(drawer).to_contain_text(f"weekclose {command}")


def test_a_page_without_everybodys_backlog_says_so(
    books: Connection[Any], show: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "QUEUED_WITH_BACKLOG", 1)
    page = ready(show(render(operations.operations_data(books))))
    page.locator("#queue-grid .slick-row .l1").first.click()
    expect(page.locator("#drawer .jumps")).to_be_visible()
    page.locator("#drawer").get_by_role("button", name="Next").click()
    expect(page.locator("#drawer")).to_contain_text("the commands below reach all of them")


# -- schedules and holds -------------------------------------------------------------------------------


def test_schedules_requests_and_holds_are_the_marts(
    written: Written, show: Open, books: Connection[Any]
) -> None:
    page = ready(show(written["schedules"]))
    sums = "select currency, count(*), sum(amount) from marts.{} where {} group by currency"
    for of, mart in (
        ("schedules", "payout_schedules"),
        ("requests", "payout_requests"),
        ("holds", "escrow_holds"),
    ):
        assert totals(page, of) == by_currency(books, sums.format(mart, "true"))
        states = books.execute(f"select distinct status from marts.{mart}").fetchall()
        for (state,) in states:
            page.locator(f"#{of}-filter-status").select_option(label=state)
            assert totals(page, of) == by_currency(books, sums.format(mart, f"status = '{state}'"))
        page.locator(f"#{of}-filter-status").select_option(index=0)
    page.locator("#schedules-filter-trigger_event").select_option(label="milestone reached")
    assert [row["schedule_number"] for row in rows_of(page, "schedules")] == ["SCH0000001"]
    page.locator("#holds-filter-reason").select_option(label="dispute")
    page.locator("#holds-search").fill("a1")
    assert [row["order_id"] for row in rows_of(page, "holds")] == ["a1"]


def test_what_is_due_is_shown_and_a_date_leaves_the_rest_out(
    written: Written, show: Open, books: Connection[Any]
) -> None:
    page = ready(show(written["schedules"]))
    page.locator(".tile", has_text="Schedules due now").click()
    due = books.execute(
        "select schedule_number, due_at::date from marts.payout_schedules where is_due"
    ).fetchall()
    assert [row["schedule_number"] for row in rows_of(page, "schedules")] == [number for number, _ in due]
    expect(page.locator("#schedules-grid .slick-row .l7 button")).to_have_attribute(
        "aria-label", "Copy weekclose schedules run"
    )
    page.locator("#schedules-to").fill("2001-01-01")
    expect(page.locator("#schedules .empty")).to_contain_text("No schedule matches")
    page.locator("#schedules").get_by_role("button", name="Clear the filters").click()
    page.locator("#schedules-from").fill("2001-01-01")
    assert [row["schedule_number"] for row in rows_of(page, "schedules")] == [number for number, _ in due]


def test_a_failed_schedule_says_why_and_who_acts(
    written: Written, show: Open, books: Connection[Any]
) -> None:
    page = ready(show(written["schedules"]))
    expect(page.locator("#verdict-headline")).to_have_text(
        "1 schedule failed, 9,999.00 USD: a person requests it"
    )
    page.locator("#schedules-filter-status").select_option(label="failed")
    page.locator("#schedules-grid .slick-row .l0").click()
    error = books.execute("select last_error from marts.payout_schedules where status = 'failed'").fetchone()
    assert error is not None
    expect(page.locator("#drawer .why")).to_contain_text(error[0])
    expect(page.locator("#drawer")).to_contain_text(HOSTILE_NOTE.replace("\u202e", "\ufffd"))
    expect(page.locator("#drawer .command code").first).to_have_text(
        "weekclose requests create anna --currency USD --amount 9999.00 --reason ''"
    )


def test_each_row_has_the_command_that_acts_on_it(written: Written, show: Open) -> None:
    page = ready(show(written["schedules"], permissions=["clipboard-read", "clipboard-write"]))
    page.locator("#requests-filter-status").select_option(label="approved")
    page.locator("#requests-grid .slick-row .l7 button").click()
    assert page.evaluate("navigator.clipboard.readText()") == "weekclose submit REQ0000001"
    expect(page.locator("#drawer")).to_be_hidden()
    page.locator("#holds-search").fill(HOSTILE_ID[:4])
    page.locator("#holds-grid .slick-row .l0").click()
    expect(page.locator("#drawer .command code").last).to_contain_text("weekclose holds list --seller '=cmd|")


# -- audit ---------------------------------------------------------------------------------------------


def test_the_audit_page_filters_as_sql_does(written: Written, show: Open, books: Connection[Any]) -> None:
    page = ready(show(written["audit"]))
    (many,) = books.execute("select count(*) from marts.audit_timeline").fetchone() or (0,)
    expect(page.locator("#verdict-headline")).to_have_text(f"{many} entries")
    assert len(rows_of(page, "entries")) == many
    for column, value in (("action", "adjust propose"), ("entity_kind", "payout"), ("actor", "rita")):
        select = page.locator(f"#entries-filter-{column}")
        select.select_option(label=value)
        marts = books.execute(
            f"select entry_id from marts.audit_timeline where {column} = %s order by entry_id desc", (value,)
        ).fetchall()
        assert [int(row["entry_id"]) for row in rows_of(page, "entries")] == [number for (number,) in marts]
        select.select_option(index=0)
    page.locator("#entries-search").fill("JPO0000008")
    page.locator("#entries-filter-entity_kind").select_option(label="payout")
    page.locator("#entries-from").fill("2001-01-01")
    assert {row["entity"] for row in rows_of(page, "entries")} == {"payout:JPO0000008"}
    page.locator("#entries-from").fill("2999-01-01")
    expect(page.locator("#entries .empty")).to_contain_text("No entry matches")


def test_an_entry_shows_before_and_after(written: Written, show: Open, books: Connection[Any]) -> None:
    row = books.execute("select before, after from marts.audit_timeline where action = 'reverse'").fetchone()
    assert row is not None
    before, after = row
    page = ready(show(written["audit"]))
    page.locator("#entries-filter-action").select_option(label="reverse")
    page.locator("#entries-grid .slick-row .l0").first.click()
    rows = page.locator("#drawer .diff").all()
    told = {
        row.locator("th").inner_text().replace(" ", "_"): tuple(row.locator("td").all_inner_texts())
        for row in rows
    }
    assert before["status"] == "paid" and after["status"] == "reversed"
    assert told["status"] == ("paid", "reversed")
    assert {field for field in before | after if before.get(field) != after.get(field)} == told.keys()
    expect(page.locator("#drawer")).to_contain_text("paid in cash before")
    expect(page.locator("#drawer .command code").first).to_have_text("weekclose payout search JPO0000008")


def test_more_entries_than_a_page_has_are_named(
    books: Connection[Any], show: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "SHOWN", 5)
    data = audit.audit_data(books)
    page = ready(show(render(data)))
    expect(page.locator("#entries-counted")).to_have_text("5 entries")
    expect(page.locator("#entries")).to_contain_text(f"The newest 5 of {data['entry_count']}")
    command = page.locator("#entries .command code").inner_text()
    assert f"entry_id <= {data['entry_count'] - 5}" in command


# -- reports -------------------------------------------------------------------------------------------


def test_the_reports_are_the_marts(written: Written, show: Open, books: Connection[Any]) -> None:
    page = ready(show(written["reports"]))
    where = by_currency(
        books,
        "select currency, count(*), sum(payout_count), sum(executed_count),"
        " sum(failed_count + returned_count), sum(amount) from marts.payment_success group by currency",
    )
    assert totals(page, "where") == where
    behaviour = by_currency(
        books,
        "select currency, count(*), sum(paid_amount), sum(debt_in_balance + debt_beside_balance)"
        " from marts.seller_payment_behaviour group by currency",
    )
    assert totals(page, "behaviour") == behaviour
    for code in ("EUR", "USD"):
        page.locator(".switch").get_by_role("button", name=code).click()
        (fees,) = books.execute(
            "select sum(net_fees) from marts.fee_collection where currency = %s", (code,)
        ).fetchone() or (Decimal(0),)
        expect(page.locator("#fees tfoot")).to_contain_text(money(fees))
    lost = books.execute("select sum(lost) from marts.chargeback_losses").fetchone()
    assert lost is not None
    expect(page.locator("#chargebacks tfoot .num").nth(4)).to_contain_text(money(lost[0]))
    (asked,) = books.execute("select sum(request_count) from marts.request_patterns").fetchone() or (0,)
    assert sum(int(row["request_count"]) for row in rows_of(page, "requests")) == asked


def test_the_targets_are_measured(written: Written, show: Open, books: Connection[Any]) -> None:
    page = ready(show(written["reports"]))
    row = books.execute(
        "select automated_rate, automated_target from marts.automation_kpis"
        " where automated_rate is not null order by payout_window desc limit 1"
    ).fetchone()
    assert row is not None
    tile = page.locator(".tile", has_text="Automated")
    expect(tile.locator(".value")).to_have_text(f"{row[0]:.1%}".replace("%", "\xa0%"))
    expect(tile).to_contain_text("met" if row[0] >= row[1] else "missed")
    expect(tile).to_contain_text(f"at least {row[1]:.0%}".replace("%", "\xa0%"))


# -- many ----------------------------------------------------------------------------------------------


def test_a_long_queue_stays_a_small_file_and_few_elements(books: Connection[Any], show: Open) -> None:
    data = operations.operations_data(books)
    queue = data["queue"]["columns"]
    many = 4_000
    long = {name: [column[row % len(column)] for row in range(many)] for name, column in queue.items()}
    long["payout_number"] = [f"JPO{row:07d}" for row in range(many)]
    html = render(data | {"queue": {"columns": long}})
    assert len(html) < 1_000_000
    page = ready(show(html))
    expect(page.locator("#queue-counted")).to_have_text("4,000 payouts")
    assert page.locator("#queue-grid .slick-row").count() < 40
    sums = {
        code: sum(cents for cents, each in zip(long["amount"], long["currency"], strict=True) if each == code)
        for code in set(long["currency"])
    }
    assert {code: row[1] for code, row in totals(page, "queue").items()} == {
        code: amount(cents) for code, cents in sums.items()
    }
    assert json.loads(json.dumps(data))["page"]["name"] == "operations"

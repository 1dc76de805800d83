"""The review and the statement as a browser shows them: no network, no markup from data, exact sums."""

import csv
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from psycopg import Connection

from closed_weeks import HOSTILE_ID
from page_browser import AXE, Data, Open, amount, serious
from page_browser import totals as totals_of
from review_sample import DIGEST, NO_ADJUSTMENTS, WINDOW, empty, sample, total
from weekclose.database import open_connection
from weekclose.postgres import Server
from weekclose.reading import calendar, snapshot
from weekclose.review.page import render, render_statement
from weekclose.review.page_data import page_data
from weekclose.settings import project_dir
from weekclose.statement import statements

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "\u202egro.live \u05d3\u05d5\u05e8\u05d4",
    "\U0001f468\u200d\U0001f373 Café",
    "x" * 10_000,
    '=cmd|"a,b"\r\n',
    "\uff1d1+1",
    "@sum",
)


def red() -> Data:
    data = sample(40)
    data["verdict"] = {
        "tone": "bad",
        "headline": "1 check stops this window: 3 sellers, 412.50 USD",
        "detail": "Gross is not the sum of the orders.",
        "command": "weekclose sunday",
    }
    data["checks"].append(
        {
            "name": "assert_lines_sum_to_rows",
            "kind": "data test",
            "status": "fail",
            "failures": 1,
            "message": "",
            "protects": "",
            "columns": ["seller_id", "difference"],
            "rows": [["sel_000003", "-412.50"]],
            "more": 0,
        }
    )
    return data


def hostile() -> Data:
    data = sample(40)
    columns = data["sellers"]["columns"]
    columns["name"][: len(HOSTILE)] = HOSTILE
    columns["seller_id"][: len(HOSTILE)] = [f"{name[:50]}{place}" for place, name in enumerate(HOSTILE)]
    columns["status"][0] = "</td>"
    exceptions = data["exceptions"]["columns"]
    exceptions["text"] = [HOSTILE[place % len(HOSTILE)] for place in range(len(exceptions["text"]))]
    for each, text in zip(data["adjustments"]["entered"], HOSTILE, strict=False):
        each["reason"] = text
    data["adjustments"]["wishes"][0] |= {"reason": HOSTILE[4], "requested_by": HOSTILE[1], "wish": HOSTILE[2]}
    data["executions"]["columns"]["external_reference"][0] = HOSTILE[0]
    data["verdict"]["headline"] = HOSTILE[1]
    data["checklist"][0] = HOSTILE[0]
    return data


def totals(page: Page) -> dict[str, list[str]]:
    """The totals under the table of all sellers, by currency: rows, then amounts."""
    return totals_of(page, "sellers")


def test_what_is_vendored_is_what_was_published() -> None:
    for directory in (project_dir() / "scripts/weekclose/review/assets/vendor", AXE.parent):
        sums = dict(line.split("  ")[::-1] for line in (directory / "SHA256SUMS").read_text().splitlines())
        files = {path.name: path for path in directory.iterdir() if path.name != "SHA256SUMS"}
        assert sums.keys() == files.keys()
        for name, path in files.items():
            assert sha256(path.read_bytes()).hexdigest() == sums[name], path
        assert any("LICENSE" in name for name in files)


def test_nothing_that_is_put_inside_a_page_ends_its_element() -> None:
    for path in (project_dir() / "scripts/weekclose/review/assets").rglob("*.[jc]s*"):
        assert not re.search("</(script|style)", path.read_text(encoding="utf-8"), re.IGNORECASE), path


def test_the_page_is_the_same_bytes_for_the_same_data_and_carries_the_licences() -> None:
    page = render(sample(20))
    assert page == render(sample(20))
    assert "unsafe" not in re.findall(r'Content-Security-Policy" content="([^"]*)"', page)[0]
    for holder in ("Leon Sorokin", "Michael Leibman"):
        assert holder in page


def test_its_sums_are_those_of_the_data(show: Open, keep: Callable[[Page, str], None]) -> None:
    data = sample()
    page = show(data)
    keep(page, "review-light")
    shown = totals(page)
    assert shown.keys() == {"USD", "EUR"}
    names = ("gross", "fees", "refunds", "net", "disputes", "adjustments", "carry_in", "payable", "carry_out")
    for code, (rows, *cells) in shown.items():
        assert int(rows) == data["sellers"]["columns"]["currency"].count(code)
        assert cells == [amount(total(data, name, code)) for name in names]
    for code in ("EUR", "USD"):
        page.locator(".switch").get_by_role("button", name=code).click()
        expect(page.locator("#proof")).to_contain_text("to the cent")
        expect(page.locator("#statement")).to_contain_text(amount(total(data, "payable", code)))
    data["statement"]["USD"][-1]["value"] += 1
    expect(show(data).locator("#proof")).to_contain_text("Does not add up")


def test_adjustments_are_the_line_of_the_statement_and_open_the_seller(show: Open) -> None:
    data = sample()
    page = show(data)
    part = page.locator("#adjustments")
    expect(part.locator("#adjustments-proof")).to_contain_text("To the cent")
    foot = part.get_by_role("region", name="What entered this window").locator("tfoot tr")
    shown = [row.locator(".num").inner_text().replace("\xa0", " ") for row in foot.all()]
    sums = {code: total(data, "adjustments", code) for code in ("EUR", "USD")}
    assert shown == [f"{'+' * (sum_ > 0)}{amount(sum_)} {code}" for code, sum_ in sums.items()]
    expect(part).to_contain_text("weekclose exception approve 3 --reason ''")
    expect(part.get_by_role("region", name="Open obligations").locator("tfoot .num").last).to_contain_text(
        "\N{MINUS SIGN}390.00"
    )
    part.get_by_role("button", name="sel_000023").click()
    drawer = page.locator("#drawer")
    expect(drawer).to_contain_text("the fee of October was forgotten")
    expect(drawer.locator("[aria-label=Lines] tbody tr").last).to_contain_text("ADJ0000023")
    columns = data["sellers"]["columns"]
    cash = columns["net"][23] - columns["disputes"][23] + columns["adjustments"][23]
    expect(drawer.locator("[aria-label=Lines] tfoot .num")).to_have_text(amount(cash))
    data["adjustments"]["sums"][0]["amount"] += 1
    expect(show(data).locator("#adjustments-proof")).to_contain_text("Approve nothing")


def test_what_a_person_pays_needs_no_funds(show: Open) -> None:
    data = sample()
    data["rails"][0] |= {"rail": "MANUAL", "funding": 0, "by_hand": data["rails"][0]["funding"]}
    row = show(data).locator("#rails tbody tr", has_text="MANUAL")
    expect(row.locator("td").last).to_have_text("none: paid by hand")


def test_filters_searches_and_sorts(show: Open) -> None:
    data = sample()
    columns = data["sellers"]["columns"]
    page = show(data)
    page.locator("#sellers-search").fill("SEL_000017")
    expect(page.locator("#sellers-counted")).to_have_text("1 of 60 rows")
    code = columns["currency"][17]
    assert totals(page)[code][1] == amount(columns["gross"][17])
    page.locator("#sellers-search").fill("nobody at all")
    page.get_by_role("button", name="Clear the filters").click()
    page.locator("#sellers-filter-currency").select_option(label="EUR")
    expect(page.locator("#sellers-counted")).to_have_text(f"{columns['currency'].count('EUR')} of 60 rows")
    assert totals(page).keys() == {"EUR"}
    heading = page.locator(".slick-header-column[data-id=gross]")
    heading.click()
    direction = heading.get_attribute("aria-sort")
    euros = [
        gross for gross, code in zip(columns["gross"], columns["currency"], strict=True) if code == "EUR"
    ]
    best = min(euros) if direction == "ascending" else max(euros)
    first = page.locator("#sellers-grid .slick-row[data-row='0']")
    expect(first.locator(".l6")).to_have_text(amount(best))
    heading.click()
    expect(first.locator(".l6")).to_have_text(amount(max(euros) if best == min(euros) else min(euros)))


def test_the_csv_is_what_the_filter_shows_and_holds_no_formula(show: Open) -> None:
    page = show(hostile())
    page.locator("#sellers-filter-currency").select_option(label="USD")
    with page.expect_download() as waiting:
        page.locator("#sellers-csv").click()
    text = waiting.value.path().read_bytes().decode()
    assert "\n" not in text.replace("\r\n", "")
    rows = list(csv.DictReader(text.splitlines(keepends=True)))
    assert {row["currency"] for row in rows} == {"USD"}
    assert sum(round(float(row["payable"]) * 100) for row in rows) == total(hostile(), "payable", "USD")
    names = {row["name"] for row in rows}
    assert {'\'=cmd|"a,b"\r\n', "'\uff1d1+1", "'@sum", HOSTILE[0]} <= names
    assert all(re.fullmatch(r"-?\d+\.\d\d", row["carry_out"]) for row in rows)


def test_a_seller_opens_down_to_lines_and_ledger(show: Open) -> None:
    data = sample(state="settled")
    columns = data["sellers"]["columns"]
    page = show(data)
    page.locator("#sellers-search").fill("sel_000002")
    page.locator("#sellers-grid .slick-row[data-row='0'] .l0").click()
    drawer = page.locator("#drawer")
    expect(drawer).to_be_visible()
    expect(drawer).to_contain_text(f"Why is the net {amount(columns['net'][2])}")
    expect(drawer.get_by_role("heading", name="Lines")).to_have_text(f"Lines ({columns['orders'][2]})")
    cash = columns["net"][2] - columns["disputes"][2]
    expect(drawer.locator("[aria-label=Lines] tfoot .num")).to_have_text(amount(cash))
    for part in ("Earlier windows", "Payout", "Ledger entries"):
        expect(drawer.get_by_role("heading", name=part, exact=True)).to_be_visible()
    expect(drawer).to_contain_text("payout.completed")
    expect(drawer).to_contain_text(f"TX-{columns['payout_number'][2]}")
    expect(drawer.locator(".command code")).to_have_text(f"weekclose explain sel_000002 {WINDOW}")


def test_a_page_without_everybodys_lines_says_so(show: Open) -> None:
    data = sample(lines=0)
    data["carried"] = {"sellers": 0, "of_sellers": 60, "lines": 0}
    page = show(data)
    page.locator("#sellers-grid .slick-row[data-row='0'] .l0").click()
    expect(page.locator("#drawer")).to_contain_text("the command below lists these")


def test_by_keyboard_alone_to_a_seller_and_back(show: Open) -> None:
    page = show(sample())
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("/")
    expect(page.locator("#sellers-search")).to_be_focused()
    page.keyboard.type("sel_00000")
    for _ in range(25):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('slick-cell')"):
            break
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    drawer = page.locator("#drawer")
    expect(drawer).to_be_visible()
    for key in ("Tab", "Shift+Tab"):
        for _ in range(30):
            page.keyboard.press(key)
            assert page.evaluate("document.getElementById('drawer').contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    assert page.evaluate("document.activeElement.closest('.slick-row').dataset.row") == "1"
    page.keyboard.press("Tab")
    assert not page.evaluate("document.activeElement.closest('#sellers-grid')")


def test_arrows_walk_the_exceptions(show: Open) -> None:
    page = show(sample(300))
    buttons = page.locator("#exceptions-table tbody button")
    assert buttons.count() > 2
    buttons.nth(0).focus()
    page.keyboard.press("ArrowDown")
    expect(buttons.nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    page.locator("#drawer").get_by_role("button", name="Next").click()
    expect(page.locator("#drawer-name")).to_have_text(buttons.nth(2).locator("bdi").first.inner_text())
    page.keyboard.press("Escape")
    expect(buttons.nth(1)).to_be_focused()


def test_a_chip_shows_one_reason(show: Open) -> None:
    data = sample(300)
    page = show(data)
    for reason in data["exceptions"]["reasons"]:
        chip = page.locator(".chip", has_text=reason["label"])
        chip.click()
        expect(chip).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#exceptions-table tbody tr")).to_have_count(min(25, reason["count"]))


def test_hostile_text_is_text(show: Open, keep: Callable[[Page, str], None]) -> None:
    data = hostile()
    page = show(data)
    keep(page, "review-hostile")
    expect(page.locator("#verdict-headline")).to_have_text(HOSTILE[1])
    expect(page.locator("#approve label").first).to_have_text(HOSTILE[0])
    assert page.locator("img, iframe, object, embed").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") == 1440
    page.locator("#sellers-search").fill("<script>")
    cell = page.locator("#sellers-grid .slick-row[data-row='0'] .l0")
    expect(cell.locator("bdi").first).to_have_text(HOSTILE[0])
    cell.click()
    expect(page.locator("#drawer-name")).to_have_text(HOSTILE[0])
    expect(page.locator("#drawer .command code")).to_have_text(f"weekclose explain '{HOSTILE[0]}0' {WINDOW}")


@pytest.mark.parametrize("make", [sample, red, empty, hostile], ids=["review", "red", "empty", "hostile"])
def test_a_phone_scrolls_down_only(
    make: Callable[[], Data], show: Open, keep: Callable[[Page, str], None]
) -> None:
    page = show(make(), viewport={"width": 390, "height": 844}, has_touch=True)
    keep(page, f"phone-{make.__name__}")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    if make is not empty:
        page.locator("#sellers-grid .slick-row[data-row='0'] .l0").click()
        assert page.locator("#drawer").evaluate("drawer => drawer.scrollWidth") <= 390


@pytest.mark.parametrize(
    ("state", "scheme"),
    [("frozen", "light"), ("settled", "light"), ("settled", "dark"), ("red", "dark"), ("empty", "dark")],
)
def test_nobody_is_shut_out(state: str, scheme: str, show: Open, keep: Callable[[Page, str], None]) -> None:
    data = {"red": red, "empty": empty}.get(state, lambda: sample(300, state=state))()
    page = show(data, color_scheme=scheme, reduced_motion="reduce")
    keep(page, f"review-{state}-{scheme}")
    assert serious(page) == []
    if state == "settled":
        page.locator("#exceptions-table tbody button").first.click()
        assert page.locator("#drawer").evaluate("drawer => getComputedStyle(drawer).animationName") == "none"
        assert serious(page) == []


def test_it_prints(show: Open, keep: Callable[[Page, str], None]) -> None:
    page = show(sample(300), color_scheme="dark")
    page.emulate_media(media="print")
    keep(page, "review-print")
    expect(page.locator("#sellers-grid")).to_be_hidden()
    expect(page.locator("#sellers-totals")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf(format="A4").startswith(b"%PDF-")


def test_red_bars_the_approval_and_says_why(show: Open) -> None:
    page = show(red())
    expect(page.locator("#verdict")).to_have_class("verdict bad")
    expect(page.locator("#copy-approve")).to_be_disabled()
    expect(page.locator("#approve-state")).to_contain_text("1 check stops this window: 3 sellers, 412.50 USD")
    for box in page.locator("#approve input").all():
        expect(box).to_be_disabled()
    expect(page.locator("#checks .check").first).to_contain_text("\N{MINUS SIGN}412.50")
    page.locator("#checks .check").first.get_by_role("button", name="sel_000003").click()
    expect(page.locator("#drawer")).to_be_visible()


def test_ticks_are_kept_for_the_content_alone(show: Open) -> None:
    data = sample()
    page = show(data)
    copy = page.locator("#copy-approve")
    for box in page.locator("#approve input").all():
        expect(copy).to_be_disabled()
        box.check()
    expect(copy).to_be_enabled()
    page.reload()
    expect(copy).to_be_enabled()
    expect(page.locator("#approve-tally")).to_have_text("3/3")
    kept = page.evaluate("Object.keys(localStorage)")
    assert kept == [f"weekclose {WINDOW} {DIGEST}"]
    other = deepcopy(data)
    other["batch"]["content_digest"] = "0" * 64
    file = Path(page.url.removeprefix("file://"))
    file.write_text(render(other), encoding="utf-8")
    page.reload()
    expect(copy).to_be_disabled()


def test_it_does_without_a_memory(show: Open) -> None:
    forgetful = "Object.defineProperty(window, 'localStorage', { get() { throw new Error('no') } })"
    page = show(sample(), before=forgetful)
    for box in page.locator("#approve input").all():
        box.check()
    expect(page.locator("#copy-approve")).to_be_enabled()


def test_the_exact_command_is_copied(show: Open) -> None:
    page = show(sample(), permissions=["clipboard-read", "clipboard-write"])
    for box in page.locator("#approve input").all():
        box.check()
    page.locator("#copy-approve").click()
    expect(page.locator("#said")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == f"weekclose approve {WINDOW} --digest {DIGEST}"


def test_after_tuesday_it_says_who_has_not_been_paid(show: Open) -> None:
    data = sample(100, state="submitted")
    columns = data["sellers"]["columns"]
    page = show(data)
    expect(page.locator("#batch")).to_contain_text("Taken by the rail")
    page.locator("#who-unpaid").click()
    unpaid = sum(
        payable > 0 and status != "paid"
        for payable, status in zip(columns["payable"], columns["status"], strict=True)
    )
    expect(page.locator("#sellers-counted")).to_have_text(f"{unpaid} of 100 rows")
    paid = [
        cents
        for cents, status, code in zip(
            columns["payable"], columns["status"], columns["currency"], strict=True
        )
        if (status, code) == ("paid", "USD")
    ]
    expect(page.locator(".answers").first).to_contain_text(f"{len(paid)}{amount(sum(paid))}")


def test_an_earlier_week_leads_to_the_latest(show: Open) -> None:
    data = sample(20)
    data["page"] |= {"is_latest": False, "links": {"index": "../index.html"}}
    link = show(data).get_by_role("link", name="To the latest week")
    expect(link).to_have_attribute("href", "../index.html")


def test_what_is_not_there_is_said(show: Open) -> None:
    nothing = show(empty())
    expect(nothing.locator("#verdict-headline")).to_have_text("No window is due")
    expect(nothing.locator("#verdict .command code")).to_have_text("weekclose sunday")
    data = sample(20)
    data |= {"batch": None, "rails": [], "reserve_calendar": [], "health": [], "checks": []}
    data["exceptions"] = {"count": 0, "more": 0, "reasons": [], "columns": {}}
    data["trends"] = {code: {"windows": []} for code in data["trends"]}
    data["movers"] = {}
    data["bridge"] = {}
    data["adjustments"] = NO_ADJUSTMENTS
    page = show(data)
    for part, sentence in (
        ("approve", "nothing to approve"),
        ("exceptions", "No exception"),
        ("adjustments", "Nothing is owed beside the sales"),
        ("checks", "No check has run"),
        ("rails", "no rail needs funds"),
        ("trends", "there is more to see next week"),
        ("statement", "nothing to compare it with"),
    ):
        expect(page.locator(f"#{part}")).to_contain_text(sentence)


def test_many_sellers_stay_a_small_file_and_few_elements(show: Open) -> None:
    data = sample(4_000, lines=4_000)
    page = show(data)
    assert len(render(data)) < 1_000_000
    assert page.locator("#sellers-grid .slick-row").count() < 40
    page.locator("#sellers-grid .slick-viewport-top.slick-viewport-left").evaluate(
        "box => box.scrollTo(0, 1e9)"
    )
    last = page.locator("#sellers-grid .slick-row[data-row='3999']")
    expect(last).to_be_visible()
    expect(last).to_have_attribute("aria-rowindex", "4001")


@pytest.fixture
def weeks(closed_weeks: Server) -> Iterator[Connection[Any]]:
    with open_connection(closed_weeks) as conn, snapshot(conn):
        yield conn


def test_a_real_window_is_shown_as_the_view_has_it(weeks: Connection[Any], show: Open) -> None:
    window = date(2026, 11, 1)
    page = show(page_data(weeks, window))
    expect(page.locator("#proof")).to_contain_text("to the cent")
    rows = weeks.execute(
        "select currency, count(*), sum(gross), sum(net), sum(adjustments), sum(payable)"
        " from marts.settlement_windows where payout_window = %s group by currency",
        (window,),
    ).fetchall()
    shown = totals(page)
    assert len(shown) == len(rows)
    expect(page.locator("#adjustments-proof")).to_contain_text("To the cent")
    expect(page.locator("#exceptions")).to_contain_text("weekclose exception approve 1 --reason ''")
    for code, many, gross, net, adjustments, payable in rows:
        cells = shown[code]
        assert cells[0] == f"{many:,}"
        for value in (gross, net, adjustments, payable):
            assert f"{value:,}".replace("-", "\N{MINUS SIGN}") in cells


def test_a_statement_shows_two_balances_and_its_orders(
    weeks: Connection[Any], show: Open, keep: Callable[[Page, str], None]
) -> None:
    (made,) = statements(weeks, "anna", "2026-11-01")
    page = show(render_statement([made], calendar(weeks)))
    keep(page, "statement-light")
    assert serious(page) == []
    for name, balance in (("available", made.balances.available), ("pending", made.balances.pending)):
        expect(page.locator(f".balance.{name} .value")).to_contain_text(f"{balance:,}")
    expect(page.locator("dl.meta")).to_contain_text("Sun 15 Nov 2026, 00:00 EST")
    expect(page.locator(".outcome .value")).to_contain_text(f"{made.payout:,}")
    expect(page.locator(".entries tbody tr")).to_have_count(len(made.entries))
    expect(page.locator(".entries tfoot .amount")).to_have_text(f"{made.totals['amount']:,}")


def test_a_statement_of_hostile_names_on_a_phone(weeks: Connection[Any], show: Open) -> None:
    made = statements(weeks, HOSTILE_ID, "2026-11-01")
    page = show(
        render_statement(made, calendar(weeks)), viewport={"width": 390, "height": 844}, color_scheme="dark"
    )
    assert len(made) == 2
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert serious(page) == []
    assert page.locator("script, img").count() == 0


def test_a_statement_shows_what_really_left_and_what_is_open(weeks: Connection[Any], show: Open) -> None:
    (paid,) = statements(weeks, "mia", "2026-10-25")
    page = show(render_statement([paid], calendar(weeks)))
    expect(page.locator("dl.meta")).to_contain_text("95.00 USD")
    expect(page.locator("dl.meta")).to_contain_text("ADJ0000001")
    (owes,) = statements(weeks, "nora", "2026-11-01")
    page = show(render_statement([owes], calendar(weeks)), viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    expect(page.locator(".entries")).to_contain_text("Adjustment: broken shelf")
    expect(page.get_by_role("region", name="Open obligations")).to_contain_text("\N{MINUS SIGN}41.00")
    assert serious(page) == []


def test_the_command_writes_the_statement(closed_weeks: Server, weekclose: Callable[..., Any]) -> None:
    done = weekclose("statement", "anna", "2026-11-01", "--html", database=closed_weeks)
    assert done.returncode == 0
    assert done.stdout.startswith("<!doctype html>") and "Anna&#39;s Shop" in done.stdout

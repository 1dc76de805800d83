"""What the pages cost to make, how large they are, how soon they can be used: `python -m bench.site`."""

import random
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from bench.market import Market
from bench.measure import Figure, Machine
from bench.start_up import copied
from bench.year import Year
from review_sample import EMPTY, sample
from weekclose.review.operations import BACKLOG, frame
from weekclose.review.page import render
from weekclose.review.page_data import page_data
from weekclose.review.site import reading, write_beside

CHROMIUM = "/usr/bin/chromium"
SIZES = ((4_000, 12_000), (100_000, 30_000))

# Filter, sort and scroll as a person would, and say how long the page was busy with it.
ACTIONS = {
    "search": "const box = document.getElementById('LIST-search'); box.value = 'quartz';"
    " box.dispatchEvent(new Event('input'))",
    "sort": "document.querySelector('#LIST-grid .slick-header-column.num').click()",
    "open": "document.querySelector('#LIST-grid .slick-row .slick-cell').click()",
}


def queue(many: int) -> dict[str, Any]:
    """A page of operations with so many payouts in its queue, each with a command of its own."""
    chance = random.Random(1)
    names = [f"{chance.choice(('Quartz', 'Fern', 'Slate'))} {chance.randrange(many)}" for _ in range(many)]
    columns: dict[str, list[Any]] = {
        "payout_number": [f"JPO{row:07d}" for row in range(many)],
        "seller_id": [f"sel_{chance.randrange(10**6):06d}" for _ in range(many)],
        "name": names,
        "payout_window": ["2026-11-01"] * many,
        "currency": [chance.choice(("USD", "USD", "EUR")) for _ in range(many)],
        "amount": [int(chance.lognormvariate(9, 1.2)) for _ in range(many)],
        "rail": ["MANUAL"] * many,
        "status": ["submitted"] * many,
        "readiness": [chance.choice(("ready", "near_ready", "pending", "blocked")) for _ in range(many)],
        "attention": [chance.choice(("none", "wait", "intervene")) for _ in range(many)],
        "reasons": ["no rail pays it, a person does"] * many,
        "next_action": [f"weekclose execute JPO{row:07d} --proof FILE" for row in range(many)],
        "since": ["2026-11-17T09:00:00"] * many,
        "age_hours": [chance.randrange(200) for _ in range(many)],
    }
    page = {"page": frame("operations", None) | {"as_of": "2026-11-15T23:00:00"}}
    verdict = {"tone": "good", "headline": "Ready to move", "detail": "", "command": None}
    parts = dict.fromkeys(("done", *BACKLOG), EMPTY)
    return (
        page
        | {"verdict": verdict, "summary": [], "steps": [], "backlog_of": 0}
        | parts
        | {"queue": {"columns": columns}}
    )


def measure(browser: Browser, file: Path, of: str) -> dict[str, float]:
    """Milliseconds until the page can be used, and of each action on a list."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    try:
        started = time.perf_counter()
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-ready]")
        page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
        found = {"usable": (time.perf_counter() - started) * 1000}
        for name, action in ACTIONS.items():
            script = action.replace("LIST", of)
            found[name] = page.evaluate(
                f"() => {{ const t = performance.now(); {script}; document.body.offsetHeight;"
                " return performance.now() - t }"
            )
        return found
    finally:
        page.close()


def figures(m: Machine, *, orders: int, sellers: int, runs: int = 3) -> list[Figure]:
    """The pages of a window of so many orders, made; a page of so many sellers, opened in the browser."""
    where = copied(m.server, "template1", "weekclose_bench_site")
    market = Market(2 * orders, sellers, weeks=2)
    with TemporaryDirectory() as folder:
        year = Year(where, market, Path(folder) / "home", m.sql)
        for week in range(market.weeks):
            year.play(week)
        with reading(where) as conn:
            made = [m.all_of_it(lambda: render(page_data(conn))) for _ in range(runs)]
        beside = [m.all_of_it(lambda: write_beside(where, Path(folder))) for _ in range(runs)]
        file = Path(folder) / "index.html"
        file.write_text(render(sample(sellers, lines=SIZES[-1][1])), encoding="utf-8")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            opened = [measure(browser, file, "sellers")["usable"] / 1000 for _ in range(runs)]
            browser.close()
    of = f"of {sellers:,} sellers"
    return [
        Figure("P12", f"review page {of}, made", "CPU s", median(made), None, tuple(made), limit=10),
        Figure("P12", f"pages beside it {of}, made", "CPU s", median(beside), None, tuple(beside), limit=10),
        Figure("P12", f"review page {of}, usable", "s", median(opened), None, tuple(opened), limit=3),
    ]


def main() -> None:
    """Print the table."""
    if not Path(CHROMIUM).exists():
        sys.exit(f"no {CHROMIUM}: apt-get install chromium")
    print("list        rows    lines  render s     MB  usable ms  search ms  sort ms  open ms")
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        pages = [("sellers", *size, sample(size[0], lines=size[1])) for size in SIZES]
        for of, rows, lines, data in [*pages, ("queue", SIZES[-1][0], 0, queue(SIZES[-1][0]))]:
            started = time.perf_counter()
            html = render(data)
            seconds = time.perf_counter() - started
            file = Path(folder) / f"{of}-{rows}.html"
            file.write_text(html, encoding="utf-8")
            found = measure(browser, file, of)
            print(
                f"{of:7}  {rows:7,}  {lines:7,}  {seconds:8.1f}  {file.stat().st_size / 1e6:5.2f}"
                f"  {found['usable']:9,.0f}  {found['search']:9,.0f}"
                f"  {found['sort']:7,.0f}  {found['open']:7,.0f}"
            )
        browser.close()


if __name__ == "__main__":
    main()

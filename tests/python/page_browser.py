"""A page of the site in the distribution's Chromium, opened from a file: fixtures that conftest knows.

Screenshots go to WEEKCLOSE_SCREENSHOTS, else to pytest's own directory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from weekclose.review.page import render

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = Path("/usr/bin/chromium")
# Read before the tests clear the environment.
SCREENSHOTS = os.environ.get("WEEKCLOSE_SCREENSHOTS")
AXE = Path(__file__).parent / "axe" / "axe.min.js"

Data = dict[str, Any]
Open = Callable[..., "Page"]
Keep = Callable[["Page", str], None]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The distribution's Chromium; Playwright downloads none."""
    if not CHROMIUM.exists():
        pytest.skip("no browser: apt-get install chromium to test the pages in it")
    # Imported here: whoever tests something else need not wait for it.
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium's own sandbox does not start for root; the pages are ours and ask for nothing.
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens a page's data, or a page, from a file. What a page asks for or complains of fails the test."""
    asked: list[str] = []
    complaints: list[str] = []
    contexts: list[BrowserContext] = []

    def show(what: Data | str, *, before: str = "", **options: Any) -> Page:
        file = tmp_path / f"page-{len(contexts)}.html"
        file.write_text(what if isinstance(what, str) else render(what), encoding="utf-8", newline="")
        context = browser.new_context(**({"viewport": {"width": 1440, "height": 900}} | options))
        contexts.append(context)
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        if before:
            page.add_init_script(before)
        page.goto(file.as_uri())
        if not isinstance(what, str):
            page.wait_for_selector("html[data-ready]")
        return page

    yield show
    for context in contexts:
        context.close()
    assert [url for url in asked if not url.startswith(("file:", "blob:"))] == []
    assert complaints == []


@pytest.fixture
def keep(tmp_path: Path) -> Keep:
    """Keeps a screenshot of the whole page."""
    directory = Path(SCREENSHOTS or tmp_path)
    directory.mkdir(parents=True, exist_ok=True)

    def keep(page: Page, name: str) -> None:
        page.screenshot(path=directory / f"{name}.png", full_page=True)

    return keep


def amount(cents: int) -> str:
    return f"{cents / 100:,.2f}".replace("-", "\N{MINUS SIGN}")


def totals(page: Page, of: str) -> dict[str, list[str]]:
    """The totals under a list, by currency: rows, then amounts."""
    rows = page.locator(f"#{of}-totals tbody tr").all()
    return {row.locator("th").inner_text(): row.locator("td").all_inner_texts() for row in rows}


def serious(page: Page) -> list[str]:
    """What a person with a screen reader or a keyboard would stumble over."""
    # Evaluated from outside, so that the page's policy need not let it in.
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]

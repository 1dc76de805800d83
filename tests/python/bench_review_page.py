"""How large the review page becomes, and how soon it can be used: `make bench-site`."""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, sync_playwright

from review_sample import sample
from weekclose.review.page import render

CHROMIUM = "/usr/bin/chromium"
SIZES = ((4_000, 12_000), (100_000, 30_000))

# Filter, sort and scroll as a person would, and say how long the page was busy with it.
ACTIONS = {
    "search": "const box = document.getElementById('search'); box.value = 'quartz';"
    " box.dispatchEvent(new Event('input'))",
    "sort": "document.querySelector('[data-id=gross].slick-header-column').click()",
    "open": "document.querySelector('#sellers-grid .slick-row .slick-cell').click()",
}


def measure(browser: Browser, file: Path) -> dict[str, float]:
    """Milliseconds until the page can be used, and of each action."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    try:
        started = time.perf_counter()
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-ready]")
        page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
        found = {"usable": (time.perf_counter() - started) * 1000}
        for name, action in ACTIONS.items():
            found[name] = page.evaluate(
                f"() => {{ const t = performance.now(); {action}; document.body.offsetHeight;"
                " return performance.now() - t }"
            )
        return found
    finally:
        page.close()


def main() -> None:
    """Print the table."""
    if not Path(CHROMIUM).exists():
        sys.exit(f"no {CHROMIUM}: apt-get install chromium")
    print("sellers    lines  render s     MB  usable ms  search ms  sort ms  open ms")
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for sellers, lines in SIZES:
            data = sample(sellers, lines=lines)
            started = time.perf_counter()
            html = render(data)
            seconds = time.perf_counter() - started
            file = Path(folder) / f"{sellers}.html"
            file.write_text(html, encoding="utf-8")
            found = measure(browser, file)
            print(
                f"{sellers:7,}  {lines:7,}  {seconds:8.1f}  {file.stat().st_size / 1e6:5.2f}"
                f"  {found['usable']:9,.0f}  {found['search']:9,.0f}"
                f"  {found['sort']:7,.0f}  {found['open']:7,.0f}"
            )
        browser.close()


if __name__ == "__main__":
    main()

"""The catalogue of faults: which tests prove what, and the table that a whole run prints.

A test says which rows it belongs to with `pytest.mark.catalogue(3)`, and how far it went with the fixture
`reached`: `reached(3, "submitters at once", 16)`. Figures of the same name are added up. A run of the whole
suite fails where docs/proof.md shows another table.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from weekclose.settings import project_dir

FAULTS = {
    1: "kill -9 before every exchange of every command that changes something",
    2: "random weeks of crashes, retries, duplicates, reordering and rail faults",
    3: "freezers, submitters and reconcilers at once",
    4: "the database dies in the middle of a submission, or at its COMMIT",
    5: "a rebuild, dropped marts, a burst of webhooks during a submission",
    6: "webhooks twice, at once, in any order, or lost",
    7: "webhooks with a wrong, missing, stale or future signature, a changed body, a wrong id",
    8: "rightly signed rubbish",
    9: "bodies too long, without a length, too short, and slow senders",
    10: "secrets that are rotated; comparison in constant time only",
    11: "the database is down",
    12: "8,000 webhooks in minutes",
    13: "orders on the boundaries of windows, in five zones, over both clock changes and a leap day",
    14: "forbidden postings, and every forbidden action of every role",
    15: "a superuser edits the audit log",
    16: "hostile raw files",
    17: "cells that a spreadsheet takes for a formula",
    18: "a rail's address on loopback or link-local, by file: or http:, or a redirect",
    19: "steps out of order: unapproved, own, outdated, too late, twice",
    20: "secrets in logs, artifacts and output, at the highest verbosity",
    21: "a corruption for each data test, CHECK, key and trigger",
}
# The larger figures take hours.
SOAK = bool(os.environ.get("WEEKCLOSE_SOAK"))
HEAD = 2
PAGE = project_dir() / "docs" / "proof.md"

Reached = Callable[[int, str, int], None]


@pytest.fixture
def reached(request: pytest.FixtureRequest) -> Reached:
    """Call it with a row of the catalogue, what was counted, and how many."""

    def note(row: int, what: str, how_many: int) -> None:
        request.node.user_properties.append(("reached", (row, what, how_many)))

    return note


def belong(items: list[pytest.Item]) -> None:
    """Let each test's report say which rows it belongs to."""
    for item in items:
        for mark in item.iter_markers("catalogue"):
            assert set(mark.args) <= set(FAULTS), f"{item.nodeid}: no such row of the catalogue"
            item.user_properties.extend(("catalogue", row) for row in mark.args)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, and after it what a whole run has reached and the page does not show."""
    lines = list(table(_reports(terminalreporter, "passed", "failed")))
    if len(lines) > HEAD:
        terminalreporter.section("the catalogue of faults")
        terminalreporter.write("\n".join(lines) + "\n")
    if unlike := _unlike_the_page(terminalreporter):
        terminalreporter.write_line(f"{PAGE} shows another table than this run. Copy there:", red=True)
        terminalreporter.write("\n".join(unlike) + "\n")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where the page shows other figures than a whole run has reached."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if isinstance(reporter, pytest.TerminalReporter) and _unlike_the_page(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _unlike_the_page(reporter: pytest.TerminalReporter) -> list[str]:
    """The rows of a whole run without a failure that stand otherwise on the page."""
    if reporter.stats.get("failed"):
        return []
    lines = list(table(_reports(reporter, "passed")))
    shown = _shown()
    if len(lines) != HEAD + len(FAULTS) or lines == shown:
        return []
    return [line for line in lines if line not in shown] or lines


def _reports(reporter: pytest.TerminalReporter, *outcomes: str) -> list[pytest.TestReport]:
    told = [report for outcome in outcomes for report in reporter.stats.get(outcome, [])]
    return [report for report in told if isinstance(report, pytest.TestReport)]


def table(reports: list[pytest.TestReport]) -> Iterator[str]:
    """What was reached, as Markdown: the rows that some test belongs to."""
    told: list[tuple[str, Any]] = [said for report in reports for said in report.user_properties]
    rows = {row for kind, row in told if kind == "catalogue"}
    figures = Counter[tuple[int, str]]()
    for row, what, how_many in (said for kind, said in told if kind == "reached"):
        figures[row, what] += how_many
    yield from ("| # | fault or bad input | reached by `make test` |", "|---|---|---|")
    for row, fault in FAULTS.items():
        named = [f"{many:,} {what}" for (its_row, what), many in sorted(figures.items()) if its_row == row]
        if row in rows or named:
            yield f"| {row} | {fault} | {'; '.join(named) or 'each'} |"


def _shown() -> list[str]:
    """The table of the page."""
    lines = PAGE.read_text().splitlines() if PAGE.exists() else []
    start = next((place for place, line in enumerate(lines) if line.startswith("| # |")), len(lines))
    end = next((place for place in range(start, len(lines)) if not lines[place]), len(lines))
    return lines[start:end]

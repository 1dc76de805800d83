"""The folder that finance opens on Monday: the review, the pages beside it, past weeks, models, lineage."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import psycopg

from weekclose.database import open_connection
from weekclose.output import say
from weekclose.postgres import Server
from weekclose.reading import Row, is_built, read
from weekclose.review.audit import audit_data
from weekclose.review.files import write_atomically
from weekclose.review.models import write_model_pages
from weekclose.review.operations import operations_data
from weekclose.review.page import render
from weekclose.review.page_data import in_the_folder_of_weeks, page_data
from weekclose.review.reports import reports_data
from weekclose.review.schedules import schedules_data
from weekclose.warehouse import Warehouse

# The pages beside the review: each is of now, and made anew each time.
BESIDE = {
    "operations": operations_data,
    "schedules": schedules_data,
    "audit": audit_data,
    "reports": reports_data,
}

WORK_MEM = "64MB"

# What each week's page was made of: a page is made again when that is something else.
STATES = ".weeks.json"


@dataclass(frozen=True)
class Site:
    """What was written. `headline` is the review's own, `tone` is good, warn, bad or idle."""

    index: Path
    weeks: list[str]
    headline: str
    tone: str


def write_site(server: Server, warehouse: Warehouse, directory: Path) -> Site:
    """Write what has changed of the site, the review last, each file in one step.

    Raises NothingToDo for a database without tables, WeekcloseError when dbt could not describe the project.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with reading(server) as conn:
        is_built(conn)
        run = read(conn, "review_run", window=None)
        page, weeks, verdict = _review(conn, directory)
    settings: Mapping[str, Any] = run[0]["settings"] if run else {}
    try:
        write_beside(server, directory)
        write_model_pages(directory, warehouse, settings)
    finally:  # a project that does not compile is what the review is about to say
        write_atomically(directory / "index.html", page)
    return Site(directory / "index.html", weeks, verdict["headline"], verdict["tone"])


def publish(server: Server, warehouse: Warehouse, directory: Path) -> None:
    """Write the site after a run, whatever came of it: a site that cannot be written changes no outcome."""
    try:
        say(f"site: {write_site(server, warehouse, directory).index}")
    except Exception as error:
        say(f"the site could not be written: {' '.join(str(error).split())}")


def write_beside(server: Server, directory: Path) -> None:
    """Write the pages beside the review, each in one step."""
    with reading(server) as conn:
        for name, data in BESIDE.items():
            write_atomically(directory / f"{name}.html", render(data(conn)))


def reading(server: Server) -> psycopg.Connection[Any]:
    """A connection for pages: large sums get memory, and all of a cursor's rows will be asked for."""
    conn = open_connection(server)
    conn.execute(f"set work_mem = '{WORK_MEM}'; set jit = off; set cursor_tuple_fraction = 1")
    return conn


def _review(conn: psycopg.Connection[Any], directory: Path) -> tuple[str, list[str], dict[str, Any]]:
    """The review's page, the weeks written, and its verdict: what it was made of is not kept for longer."""
    # Looked at first: a page that is newer than its state is made once too often, not once too seldom.
    states = read(conn, "review_pages")
    review = page_data(conn)
    page = render(review)
    return page, _write_weeks(conn, directory, states, review), review["verdict"]


def _write_weeks(
    conn: psycopg.Connection[Any], directory: Path, states: Sequence[Row], review: dict[str, Any]
) -> list[str]:
    """The newest frozen windows' pages, oldest first; those of before stay as they are."""
    kept = directory / STATES
    made: dict[str, str] = json.loads(kept.read_text()) if kept.exists() else {}
    written = []
    for row in reversed(states):
        window: date = row["payout_window"]
        path = directory / "weeks" / f"{window}.html"
        if path.exists() and made.get(str(window)) == row["state"]:
            continue
        # The review is about the newest one: a large page is not made twice.
        is_reviewed = review["page"]["is_frozen"] and review["page"]["window"] == str(window)
        data = review if is_reviewed else page_data(conn, window)
        write_atomically(path, render(in_the_folder_of_weeks(data)))
        written.append(str(window))
        made[str(window)] = row["state"]
        write_atomically(kept, json.dumps(made, indent=1))
    return written

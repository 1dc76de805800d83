"""What the commands share: options that several take, and who acts on which database."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from datetime import date

    from psycopg import Connection

    from weekclose.submission import Paid

AsJson = Annotated[bool, typer.Option("--json", help="Answer with JSON.")]
OfSeller = Annotated[str, typer.Argument(metavar="SELLER", help="The seller's id.")]
OfWindow = Annotated[str, typer.Argument(metavar="WINDOW", help="The window's first day, like 2026-11-01.")]
OfWindowOrRequest = Annotated[
    str, typer.Argument(metavar="WINDOW|REQUEST", help="The window's first day, or a request's number.")
]
ByActor = Annotated[
    str | None, typer.Option("--by", help="Who acts; default WEEKCLOSE_ACTOR, else the login or OS user.")
]
Sellers = Annotated[list[str], typer.Argument(metavar="SELLER", help="One or more sellers.")]
Window = Annotated[str, typer.Option(help="The window's first day.")]
# The largest number that the database takes.
LARGEST = 2**63 - 1
Limit = Annotated[int, typer.Option(help="How many at most.", min=1, max=LARGEST)]
Reason = Annotated[str, typer.Option(help="Why; it stands in the audit log.")]


@contextmanager
def acting(by: str | None) -> Iterator[tuple["Connection[Any]", str]]:
    """A connection to a database that is up to date, and who acts on it; then what was booked is said."""
    from weekclose.database import connect
    from weekclose.decisions import acts_as
    from weekclose.migrations import require_migrated
    from weekclose.settings import load_settings, os_user

    settings = load_settings()
    with _named_run(), connect(settings) as conn:
        require_migrated(conn)
        try:
            yield conn, by or settings.actor or acts_as(conn) or os_user()
        finally:
            # What has failed may have booked something before.
            _say_booked(conn)


def ledger_of(conn: "Connection[Any]") -> list[dict[str, Any]]:
    """What this run of the command has booked so far, for --json."""
    from dataclasses import asdict

    from weekclose.database import RUN
    from weekclose.ledger import booked

    return [asdict(each) for each in booked(conn, RUN.get())]


@contextmanager
def _named_run() -> Iterator[None]:
    """Gives the run of a command a name of its own: every connection that it opens says it."""
    from uuid import uuid4

    from weekclose.database import RUN

    before = RUN.set(str(uuid4()))
    try:
        yield
    finally:
        RUN.reset(before)


def _say_booked(conn: "Connection[Any]") -> None:
    from psycopg import Error

    from weekclose.database import RUN
    from weekclose.ledger import booked, told
    from weekclose.output import say

    # Who may not read the ledger has not booked; and what went wrong before is the news.
    with suppress(Error):
        for line in told(booked(conn, RUN.get())):
            say(line)


def asked_to_pay(conn: "Connection[Any]", named: str) -> "Paid":
    """The window or the request in `named`. Raises UsageError for what is neither."""
    return named if named.startswith("REQ") else asked_window(conn, named)


def asked_window(conn: "Connection[Any]", window: str) -> "date":
    """The window in `window`. One that is frozen is known without a build: its money moves without marts."""
    from weekclose.reading import calendar, frozen_window, parse_window

    return frozen_window(conn, window) or parse_window(window, calendar(conn))

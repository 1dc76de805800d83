"""What the commands share: options that several take, and who acts on which database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from datetime import date

    from psycopg import Connection

AsJson = Annotated[bool, typer.Option("--json", help="Answer with JSON.")]
OfSeller = Annotated[str, typer.Argument(metavar="SELLER", help="The seller's id.")]
OfWindow = Annotated[str, typer.Argument(metavar="WINDOW", help="The window's first day, like 2026-11-01.")]
ByActor = Annotated[
    str | None, typer.Option("--by", help="Who acts; default WEEKCLOSE_ACTOR, else the login or OS user.")
]
Sellers = Annotated[list[str], typer.Argument(metavar="SELLER", help="One or more sellers.")]
Window = Annotated[str, typer.Option(help="The window's first day.")]
Reason = Annotated[str, typer.Option(help="Why; it stands in the audit log.")]


@contextmanager
def acting(by: str | None) -> Iterator[tuple["Connection[Any]", str]]:
    """A connection to a database that is up to date, and who acts on it."""
    from weekclose.database import connect
    from weekclose.decisions import acts_as
    from weekclose.migrations import require_migrated
    from weekclose.settings import load_settings, os_user

    settings = load_settings()
    with connect(settings) as conn:
        require_migrated(conn)
        yield conn, by or settings.actor or acts_as(conn) or os_user()


def asked_window(conn: "Connection[Any]", window: str) -> "date":
    from weekclose.reading import calendar, parse_window

    return parse_window(window, calendar(conn))

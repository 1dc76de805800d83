"""Many rows for a page, column by column, on the settlement clock."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, tzinfo
from typing import Any

from psycopg import Connection

from weekclose.database import statement

Columns = dict[str, list[Any]]

ROWS_AT_ONCE = 5000
FEW_TEXTS = 200


def columns_of(conn: Connection[Any], name: str, **parameters: object) -> Columns:
    """The columns of the statement `name`, as the database gives them, in the caller's snapshot."""
    # The name makes it a server-side cursor: of the rows, only a few thousand are here at a time.
    with conn.cursor(name="weekclose_columns", binary=True) as cursor:
        cursor.execute(statement(name), parameters)
        columns: Columns = {column.name: [] for column in cursor.description or ()}
        known: list[dict[str, str]] = [{} for _ in columns]
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            for column, values, texts in zip(columns.values(), zip(*rows, strict=True), known, strict=True):
                column.extend(_each_once(values, texts))
    return columns


def _each_once(values: Sequence[Any], known: dict[str, str]) -> Iterable[Any]:
    """Of a text that comes again and again, like a status, one object is enough."""
    if isinstance(values[0], str) and len(set(values)) <= FEW_TEXTS:
        return [known.setdefault(value, value) for value in values]
    return values


def listed(conn: Connection[Any], name: str, zone: tzinfo, **parameters: object) -> dict[str, Any]:
    """The rows of the statement `name` for a page: days, and instants as the settlement clock shows them."""
    found = columns_of(conn, name, **parameters)
    return {"columns": {name: _told(column, zone) for name, column in found.items()}}


def _told(column: Sequence[Any], zone: tzinfo) -> list[Any]:
    told: dict[Any, str] = {}
    return [
        told.get(value) or told.setdefault(value, moment(value, zone)) if isinstance(value, date) else value
        for value in column
    ]


def moment(value: date, zone: tzinfo) -> str:
    """A day as it is, an instant to the second on the settlement clock: ISO 8601 without an offset."""
    if isinstance(value, datetime):
        return value.astimezone(zone).replace(tzinfo=None).isoformat(timespec="seconds")
    return value.isoformat()

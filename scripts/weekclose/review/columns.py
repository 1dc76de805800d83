"""Many rows for a page, column by column, on the settlement clock."""

from collections.abc import Sequence
from datetime import date, datetime, tzinfo
from typing import Any

from psycopg import Connection

from weekclose.database import statement

Columns = dict[str, list[Any]]


def columns_of(conn: Connection[Any], name: str, **parameters: object) -> Columns:
    """The columns of the statement `name`, as the database gives them."""
    with conn.cursor() as cursor:
        rows = cursor.execute(statement(name), parameters, binary=True).fetchall()
        names = [column.name for column in cursor.description or ()]
    values = zip(*rows, strict=True) if rows else ((),) * len(names)
    return {name: list(column) for name, column in zip(names, values, strict=True)}


def listed(conn: Connection[Any], name: str, zone: tzinfo, **parameters: object) -> dict[str, Any]:
    """The rows of the statement `name` for a page: days, and instants as the settlement clock shows them."""
    found = columns_of(conn, name, **parameters)
    return {"columns": {name: _told(column, zone) for name, column in found.items()}}


def _told(column: Sequence[Any], zone: tzinfo) -> list[Any]:
    return [moment(value, zone) if isinstance(value, date) else value for value in column]


def moment(value: date, zone: tzinfo) -> str:
    """A day as it is, an instant to the second on the settlement clock: ISO 8601 without an offset."""
    if isinstance(value, datetime):
        return value.astimezone(zone).replace(tzinfo=None).isoformat(timespec="seconds")
    return value.isoformat()

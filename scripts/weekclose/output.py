"""Results go to stdout, talk goes to stderr."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any


def say(message: str) -> None:
    """Talk: one line on stderr."""
    print(message, file=sys.stderr, flush=True)


def print_json(value: object) -> None:
    """A result for programs: money as text, so that nobody's float rounds it; instants in ISO 8601."""
    print(json.dumps(value, default=_plain, ensure_ascii=False, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """A result for people: a drawn table on a terminal, aligned text in a pipe; numbers to the right."""
    body = [list(row) for row in rows]
    numeric = [
        any(_is_number(row[column]) for row in body)
        and all(_is_number(row[column]) or row[column] is None for row in body)
        for column in range(len(columns))
    ]
    cells = [[_cell(value) for value in row] for row in body]
    if sys.stdout.isatty() and _print_rich(columns, cells, numeric, title):
        return
    widths = [max(map(len, values)) for values in zip(columns, *cells, strict=True)]
    if title:
        print(title)
    for row in ([*columns], *cells):
        print("  ".join(_aligned(*cell) for cell in zip(row, widths, numeric, strict=True)).rstrip())


def _print_rich(columns: Sequence[str], cells: list[list[str]], numeric: list[bool], title: str) -> bool:
    """Whether the table fits; a number that is cut to fit would be a wrong number."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left")
    for column, to_the_right in zip(columns, numeric, strict=True):
        table.add_column(column, justify="right" if to_the_right else "left")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))  # a seller's name is not markup
    console = Console()
    if console.measure(table, options=console.options.update(width=10_000)).maximum > console.width:
        return False
    console.print(table)
    return True


def _aligned(cell: str, width: int, to_the_right: bool) -> str:
    return cell.rjust(width) if to_the_right else cell.ljust(width)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:,}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    return str(value)

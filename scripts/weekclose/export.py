"""The settlement view as a CSV file, for people's spreadsheets. Nothing ever reads it back."""

import csv
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from psycopg import Connection

from weekclose.database import statement
from weekclose.errors import NothingToDo, UsageError
from weekclose.reading import calendar, parse_window

ROWS_AT_ONCE = 5000

STARTS_A_FORMULA = ("=", "+", "-", "@")
# Where a spreadsheet may end a cell, whatever we meant: half of Europe's separate by semicolons, and take
# quotes for quotes at the beginning of a cell only.
ENDS_A_CELL = re.compile("([;\t\r\n])")
BEGINS_WITH_ITS_END = re.compile("'*[\t\r\n]")


class Sink(Protocol):
    """Where bytes go: a file or stdout."""

    def write(self, data: bytes, /) -> object:
        """Take the bytes."""


@dataclass(frozen=True)
class Export:
    """What was written: the sha256 is that of the bytes."""

    payout_window: date
    row_count: int
    digest: str
    is_frozen: bool


class CsvFile:
    """RFC 4180: UTF-8 without a mark, lines end with CRLF, quotes only where a cell needs them.

    Numbers stay plain numbers, negative ones too; instants are UTC; the parts of an array are joined by a
    semicolon. A text that a spreadsheet could take for a formula gets an apostrophe in front: one whose first
    visible character, quotes of any kind aside, is = + - @ or a wide form of them. So does each part of it
    behind a semicolon, a tab or a line break, and a text that begins with a tab or a line break.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._hash = sha256()
        self._writer = csv.writer(self, lineterminator="\r\n")

    def write_row(self, values: Iterable[object]) -> None:
        """Write one record."""
        self._writer.writerow([cell(value) for value in values])

    def write(self, text: str) -> None:
        """Take a finished record from the csv module."""
        data = text.encode()
        self._hash.update(data)
        self._sink.write(data)

    @property
    def digest(self) -> str:
        """The sha256 of the bytes so far, in hex."""
        return self._hash.hexdigest()


def cell(value: object) -> str:
    """A value as the text of its CSV cell, before quoting."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, list | tuple):
        value = ";".join(map(str, value))
    text = "".join(f"'{part}" if _is_formula(part) else part for part in ENDS_A_CELL.split(str(value)))
    return f"'{text}" if BEGINS_WITH_ITS_END.match(text) else text


def _is_formula(text: str) -> bool:
    """Whether a spreadsheet could take a cell's text for a formula."""
    seen = next((each for each in text if each.isprintable() and each not in " '\""), "")
    # A full-width or small = is = to a spreadsheet.
    return unicodedata.normalize("NFKC", seen).startswith(STARTS_A_FORMULA)


def export(conn: Connection[Any], text: str, sink: Sink) -> Export:
    """Write the rows of the window in `text` to `sink`, with memory for a few thousand of them.

    Runs in the caller's snapshot. Raises UsageError when it is no window, NothingToDo when it has no row:
    then nothing was written.
    """
    window = parse_window(text, calendar(conn))
    written = CsvFile(sink)
    count, is_frozen = 0, False
    # The name makes it a server-side cursor: rows come as they are asked for.
    with conn.cursor(name="weekclose_export") as cursor:
        cursor.itersize = ROWS_AT_ONCE
        cursor.execute(statement("export_rows"), {"window": window})
        columns = [column.name for column in cursor.description or ()]
        for count, row in enumerate(cursor, start=1):
            if count == 1:
                written.write_row(columns)
                is_frozen = row[columns.index("frozen_at")] is not None
            written.write_row(row)
    if count == 0:
        raise NothingToDo(f"window {window} has no row to export")
    return Export(window, count, written.digest, is_frozen)


def export_to_file(conn: Connection[Any], text: str, path: Path) -> Export:
    """As `export`, to a file that appears whole or not at all; its sha256 goes to `<file>.sha256`."""
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"--output {path}: {'is a' if path.is_dir() else 'lies in no'} directory")
    seal = path.with_name(f"{path.name}.sha256")
    with _replacing(path) as part, _replacing(seal) as sealed:
        with part.open("xb") as file:
            exported = export(conn, text, file)
            file.flush()
            os.fsync(file.fileno())
        sealed.write_text(f"{exported.digest}  {path.name}\n")
    return exported


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)

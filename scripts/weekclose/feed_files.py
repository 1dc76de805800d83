"""Feed files: finds them, reads them block by block, and turns their rows into text for COPY.

A row for COPY is: its number in the file, why it is refused, what stood there, then its values.
Clean lines are passed on as they are; every other row is parsed and judged on its own.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from weekclose.errors import UsageError
from weekclose.feeds import FEEDS, LONGEST_CLEAN_LINE, Fault, Feed, Layout, Value, printable

BLOCK = 4 << 20
PARQUET_ROWS = 50_000
LONGEST_LINE = 1 << 20
# A quote that is never closed swallows what follows, up to here; no good row is as long.
LONGEST_RECORD = 1 << 16
LONGEST_CONTENT = 500
UNREADABLE = (OSError, UnicodeDecodeError, pa.ArrowException)

# Clean lines have neither tabs nor backslashes, and quotes only around whole fields.
TO_COPY = bytes.maketrans(b",", b"\t")
# An Arrow array of binary, that the type stubs of pyarrow know too little about.
Bytes = Any

COPY_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


@dataclass(frozen=True)
class Chunk:
    """Some rows for COPY, and the share of the file that has been read with them."""

    copy: bytes
    rows: int
    share: float


class FeedFile(Protocol):
    """A file whose header is known to be right; `unit` is what its rows are counted in."""

    @property
    def path(self) -> Path: ...

    @property
    def layout(self) -> Layout: ...

    @property
    def unit(self) -> str: ...

    def chunks(self) -> Iterator[Chunk]:
        """All rows. Raises UsageError when the file turns out not to be what it claims."""
        ...


def find(paths: Sequence[Path]) -> tuple[list[FeedFile], list[Path]]:
    """The feed files that the paths name, headers checked, and what is in their folders besides.

    Raises UsageError for the first file that cannot be read as the rows of a raw table.
    """
    found: list[FeedFile] = []
    skipped: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(_open(path))
            continue
        inside = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
        files = [entry for entry in inside if entry.suffix.lower() in OPENERS]
        if not files:
            raise UsageError(f"{name_of(path)} holds no CSV or Parquet file")
        found += map(_open, files)
        skipped += [entry for entry in inside if entry not in files]
    return found, skipped


def name_of(path: Path) -> str:
    """A path as it can be stored and printed."""
    return printable(str(path), 1_000)


def _open(path: Path) -> FeedFile:
    try:
        if not path.exists():
            raise Fault("does not exist")
        if not path.is_file():
            raise Fault("is not a file")
        opener = OPENERS.get(path.suffix.lower())
        if opener is None:
            raise Fault("is neither .csv nor .parquet")
        return opener(path, _feed(path))
    except Fault as fault:
        raise UsageError(f"{name_of(path)} {fault}: nothing is loaded") from None
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UsageError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return UsageError(f"{name_of(path)} cannot be read: {printable(reason, 200)}")


def _feed(path: Path) -> Feed:
    match = re.fullmatch(rf"({'|'.join(FEEDS)})([_.-].*)?", path.stem.lower(), re.DOTALL)
    if not match:
        raise Fault(f"is not named after a raw table ({', '.join(FEEDS)})")
    return FEEDS[match[1]]


# -- rows -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    """A row that is not clean: the lines it takes, its fields or why there are none, what stood there."""

    lines: int
    fields: Sequence[str]
    content: str
    fault: str = ""


def _copy_rows(
    layout: Layout, lines: Bytes, clean: Any, first: int, row_at: Callable[[int], _Row | None]
) -> tuple[bytes, int, int]:
    """Rows of a block as COPY text, how many they are, and how many lines they took.

    `clean` says of each line whether it is; `row_at` parses one that is not, or says None when it goes
    on in the next block: reading ends before it.
    """
    if not len(lines):
        return b"", 0, 0
    numbers: Bytes = pa.array(np.arange(first, first + len(lines))).cast(pa.string()).cast(pa.binary())
    numbered = pc.binary_join_element_wise(numbers, lines, b",,,")
    text = memoryview(numbered.buffers()[2] or b"")
    offsets = np.frombuffer(numbered.buffers()[1], np.int32)
    written, rows, at = [], 0, 0
    for dirty in [*np.flatnonzero(~clean).tolist(), len(lines)]:
        if dirty < at:
            continue
        written.append(bytes(text[offsets[at] : offsets[dirty]]).translate(TO_COPY, b'"\r'))
        rows += dirty - at
        at = dirty
        if dirty == len(lines):
            break
        row = row_at(dirty)
        if row is None:
            break
        at += row.lines
        if row.fields or row.fault:
            written.append(_copy_row(layout, first + dirty, row))
            rows += 1
    return b"".join(written), rows, at


def _copy_row(layout: Layout, number: int, row: _Row) -> bytes:
    values: Sequence[Value] = [None] * len(layout.columns)
    reason = content = None
    try:
        if row.fault:
            raise Fault(row.fault)
        values = layout.judge(row.fields)
    except Fault as fault:
        reason, content = str(fault), printable(row.content, LONGEST_CONTENT)
    return ("\t".join(map(_copy_value, (str(number), reason, content, *values))) + "\n").encode()


def _copy_value(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value).translate(COPY_ESCAPES)


def _clean(layout: Layout, lines: Bytes) -> Any:
    """Which lines are clean, as a numpy array of bool."""
    if layout.clean_line is None:
        return np.zeros(len(lines), bool)
    found: Bytes = pc.match_substring_regex(lines, layout.clean_line)
    lengths: Bytes = pc.binary_length(lines)
    clean = found.to_numpy(zero_copy_only=False) & (lengths.to_numpy() <= LONGEST_CLEAN_LINE)
    try:
        str(memoryview(lines.buffers()[2] or b""), "utf-8")
    except UnicodeDecodeError:
        beyond_ascii: Bytes = pc.match_substring_regex(lines, r"[\x80-\xff]")
        clean &= ~beyond_ascii.to_numpy(zero_copy_only=False)
    return clean


# -- CSV --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CsvFile:
    """Comma-separated UTF-8 with a header line; a row's number is the line that it begins on."""

    path: Path
    layout: Layout
    header_bytes: int
    unit: str = "line"

    def chunks(self) -> Iterator[Chunk]:
        size = max(1, self.path.stat().st_size)
        with self.path.open("rb") as file:
            file.seek(self.header_bytes)
            rest, line = b"", 2
            while True:
                read = file.read(BLOCK)
                data = rest + read
                if not read and data and not data.endswith(b"\n"):
                    data += b"\n"
                copy, rows, lines, consumed = self._block(data[: data.rfind(b"\n") + 1], line, last=not read)
                rest, line = data[consumed:], line + lines
                if len(rest) > LONGEST_LINE:
                    raise UsageError(f"{name_of(self.path)}: line {line} is too long, nothing is loaded")
                yield Chunk(copy, rows, (file.tell() - len(rest)) / size)
                if not read:
                    return

    def _block(self, data: bytes, first: int, *, last: bool) -> tuple[bytes, int, int, int]:
        """COPY text, its rows, and the lines and bytes that they took of whole lines of the file."""
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1
        offsets = np.concatenate(([0], ends)).astype(np.int32)
        buffers = [None, pa.py_buffer(offsets.data), pa.py_buffer(data)]
        lines: Bytes = pa.BinaryArray.from_buffers(pa.binary(), len(ends), buffers)

        def row_at(index: int) -> _Row | None:
            return _csv_row(data, offsets, index, len(self.layout.columns), last)

        copy, rows, taken = _copy_rows(self.layout, lines, _clean(self.layout, lines), first, row_at)
        return copy, rows, taken, int(offsets[taken])


def _open_csv(path: Path, feed: Feed) -> CsvFile:
    with path.open("rb") as file:
        line = file.readline(LONGEST_RECORD)
    if not line:
        raise Fault("is empty: it has not even a header line")
    try:
        [header] = csv.reader([line.decode("utf-8-sig")], strict=True)
    except (ValueError, csv.Error):
        raise Fault("does not begin with a header line in UTF-8") from None
    return CsvFile(path, feed.layout(header), len(line))


def _csv_row(data: bytes, offsets: Any, index: int, width: int, last: bool) -> _Row | None:
    """The row that begins on a line, None when more of the file is needed to tell.

    A quote left open costs its own line, not the lines that it would swallow.
    """
    taken: list[str] = []
    begin = int(offsets[index])
    ended_open = False

    def lines() -> Iterator[str]:
        nonlocal ended_open
        for end in offsets[index + 1 :]:
            if taken and end - begin > LONGEST_RECORD:
                break
            taken.append(data[offsets[index + len(taken)] : end].decode("utf-8", "surrogateescape"))
            yield taken[-1]
        ended_open = True

    try:
        fields, fault = next(csv.reader(lines(), strict=True)), ""
    except csv.Error as error:
        fields, fault = [], f"is not CSV: {str(error).partition(' - ')[0]}"
    if ended_open and not last and len(data) - begin <= LONGEST_RECORD:
        return None
    if ended_open or (len(taken) > 1 and len(fields) != width):
        return _Row(1, [], taken[0].rstrip("\r\n"), "opens a quote that is not closed")
    return _Row(len(taken), fields, "".join(taken).rstrip("\r\n"), fault)


# -- Parquet ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file; its columns are read as the text that a CSV file would have."""

    path: Path
    layout: Layout
    unit: str = "row"

    def chunks(self) -> Iterator[Chunk]:
        first = 1
        try:
            with pq.ParquetFile(self.path, page_checksum_verification=True) as file:
                total = max(1, file.metadata.num_rows)
                for batch in file.iter_batches(PARQUET_ROWS):
                    copy, rows = self._batch(batch, first)
                    first += rows
                    yield Chunk(copy, rows, (first - 1) / total)
        except UNREADABLE as error:
            raise _unreadable(self.path, error) from error

    def _batch(self, batch: pa.RecordBatch, first: int) -> tuple[bytes, int]:
        columns: list[Bytes] = [_as_text(column) for column in batch.columns]
        joined = pc.binary_join_element_wise(*columns, b",")
        lines: Bytes = pc.binary_join_element_wise(joined, b"", b"\n")
        clean = _clean(self.layout, lines)
        for column in columns:
            ambiguous: Bytes = pc.match_substring_regex(column, r'[",\r\n]')
            clean &= ~ambiguous.to_numpy(zero_copy_only=False)

        def row_at(index: int) -> _Row:
            fields = [column[index].as_py().decode("utf-8", "surrogateescape") for column in columns]
            content = io.StringIO()
            csv.writer(content, lineterminator="").writerow(fields)
            return _Row(1, fields, content.getvalue())

        copy, rows, _ = _copy_rows(self.layout, lines, clean, first, row_at)
        return copy, rows


def _open_parquet(path: Path, feed: Feed) -> ParquetFile:
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
    layout = feed.layout(schema.names)
    for column, held in zip(layout.columns, schema.types, strict=True):
        wanted = _unlike(column.kind.sql_type, held)
        if wanted:
            raise Fault(f"has {column.name} as {held} instead of {wanted}")
    return ParquetFile(path, layout)


def _unlike(sql_type: str, held: pa.DataType) -> str | None:
    """What a column of this kind should be stored as, unless it is; text may stand for anything."""
    if pa.types.is_dictionary(held):
        held = held.value_type
    if pa.types.is_string(held) or pa.types.is_large_string(held) or pa.types.is_null(held):
        return None
    match sql_type:
        case "numeric":
            fits = pa.types.is_decimal(held) or pa.types.is_integer(held) or pa.types.is_floating(held)
            return None if fits else "a number or text"
        case "timestamptz":
            return None if pa.types.is_timestamp(held) and held.tz else "a timestamp with a zone, or text"
        case _:
            return None if pa.types.is_integer(held) else "text"


def _as_text(column: Any) -> Bytes:
    """A column's values as a CSV file would have them."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp(column.type.unit, "UTC"))
    if pa.types.is_decimal(column.type) and column.type.scale > 2:
        # The type's scale is not the value's: 12.5000 in a decimal(18, 4) is money.
        values = [None if value is None else f"{value:f}" for value in column.to_pylist()]
        column = pa.array([value and value.rstrip("0").rstrip(".") for value in values], pa.string())
    return column.cast(pa.string()).cast(pa.binary()).fill_null(b"")


OPENERS: dict[str, Callable[[Path, Feed], FeedFile]] = {".csv": _open_csv, ".parquet": _open_parquet}

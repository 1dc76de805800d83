"""Loads feed files into the raw tables: the good rows where they belong, the bad ones with their reason.

A file is loaded whole or not at all. Its rows are copied into a temporary table, bad ones included,
and merged from there, so that a row of the raw table is touched only when something changed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
from psycopg import Connection, sql

from weekclose.errors import WeekcloseError
from weekclose.feed_files import LONGEST_CONTENT, FeedFile, find, name_of
from weekclose.feeds import Layout, printable
from weekclose.migrations import require_migrated

Progress = Callable[[str], None]

EXAMPLES = 5


@dataclass(frozen=True)
class Counts:
    """What became of rows: read = loaded + unchanged + rejected."""

    read: int = 0
    loaded: int = 0
    unchanged: int = 0
    rejected: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.read + other.read,
            self.loaded + other.loaded,
            self.unchanged + other.unchanged,
            self.rejected + other.rejected,
        )


@dataclass(frozen=True)
class FileReport:
    """What became of the rows of one file."""

    file: str
    table: str
    counts: Counts


@dataclass(frozen=True)
class Reject:
    """A refused row; `line` is its row number in a Parquet file."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True)
class LoadReport:
    """What became of all rows; `load_id` marks the refused ones in raw.rejected_rows, here are the first."""

    load_id: UUID
    files: tuple[FileReport, ...]
    skipped: tuple[str, ...]
    rejects: tuple[Reject, ...]

    @property
    def total(self) -> Counts:
        return sum((file.counts for file in self.files), Counts())


def load_paths(
    conn: Connection[Any], paths: Sequence[Path], *, progress: Progress | None = None
) -> LoadReport:
    """Load CSV and Parquet files, or folders of them, in the order given; a folder's go by name.

    Raises UsageError, before anything is loaded, when a file is not what its name claims. When one fails
    later (UsageError for a damaged file, WeekcloseError for the database), those before it are loaded,
    nothing of it is, and loading all of them again finishes the work.
    """
    files, skipped = find(paths)
    require_migrated(conn)
    load_id = uuid4()
    reports = tuple(_load(conn, file, load_id, progress or _ignore) for file in files)
    return LoadReport(load_id, reports, tuple(map(name_of, skipped)), _first_rejects(conn, load_id))


def _ignore(message: str) -> None:
    pass


def _first_rejects(conn: Connection[Any], load_id: UUID) -> tuple[Reject, ...]:
    rows = conn.execute(
        """
        select file_name, line_number, reason from raw.rejected_rows
        where load_id = %s
        order by rejected_id
        limit %s
        """,
        [load_id, EXAMPLES],
    )
    return tuple(Reject(file, line, printable(reason, LONGEST_CONTENT)) for file, line, reason in rows)


def _load(conn: Connection[Any], file: FeedFile, load_id: UUID, progress: Progress) -> FileReport:
    name, table = name_of(file.path), file.layout.feed.table
    try:
        with conn.transaction():
            merge = _Merge(conn, file.layout)
            merge.prepare()
            read = _copy(conn, merge, file, progress)
            progress(f"{name}: storing {read:,} rows")
            repeated = merge.settle_repeats(file.unit)
            rejected = merge.reject(load_id, name)
            loaded, unchanged = merge.merge()
            counts = Counts(read, loaded, unchanged + repeated, rejected)
            if counts.read != counts.loaded + counts.unchanged + counts.rejected:
                raise WeekcloseError(f"{name}: nothing of it is loaded, its rows do not add up: {counts}")
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        reason = error.diag.message_primary or error
        raise WeekcloseError(f"{name}: nothing of it is loaded: {reason}") from error
    return FileReport(name, table, counts)


def _copy(conn: Connection[Any], merge: "_Merge", file: FeedFile, progress: Progress) -> int:
    read = 0
    with conn.cursor().copy(merge.statement(COPY)) as copy:
        for chunk in file.chunks():
            copy.write(chunk.copy)
            read += chunk.rows
            progress(f"{name_of(file.path)}: read {chunk.share:.0%}")
    return read


class _Merge:
    """The statements that take one file's rows from `incoming` to their raw table."""

    def __init__(self, conn: Connection[Any], layout: Layout) -> None:
        self._conn = conn
        self._layout = layout

    def statement(self, text: LiteralString) -> sql.Composed:
        """A statement of those below for this file's table and columns: names of ours, never the file's."""
        feed, columns = self._layout.feed, self._layout.columns
        names = [sql.Identifier(column.name) for column in columns]
        values = [
            sql.SQL("incoming.{}").format(name)
            if column.default is None
            else sql.SQL("coalesce(incoming.{}, {})").format(name, column.default)
            for name, column in zip(names, columns, strict=True)
        ]
        comma = sql.SQL(", ")
        return sql.SQL(text).format(
            raw=sql.Identifier("raw", feed.table),
            key=sql.Identifier(feed.key.name),
            columns=comma.join(names),
            values=comma.join(values),
            known_values=comma.join(sql.SQL("known_row.{}").format(name) for name in names),
            assignments=comma.join(
                sql.SQL("{} = {}").format(name, value) for name, value in zip(names, values, strict=True)
            ),
            definitions=comma.join(
                sql.SQL("{} {}").format(name, sql.SQL(column.kind.sql_type))
                for name, column in zip(names, columns, strict=True)
            ),
        )

    def prepare(self) -> None:
        self._conn.execute("set local work_mem = '64MB'")
        self._conn.execute(self.statement(CREATE_INCOMING))

    def settle_repeats(self, unit: str) -> int:
        """Refuse all rows of a key that differ; drop what only says the same again, and count it."""
        if not self._conn.execute(self.statement(CREATE_REPEATED)).rowcount:
            return 0
        named = [self._layout.feed.key.name, unit, LONGEST_CONTENT]
        self._conn.execute(self.statement(REFUSE_CONFLICTS), named)
        return self._conn.execute(self.statement(DROP_REPETITIONS)).rowcount

    def reject(self, load_id: UUID, name: str) -> int:
        return self._conn.execute(REJECT, [load_id, self._layout.feed.table, name]).rowcount

    def merge(self) -> tuple[int, int]:
        """Insert new rows, update changed ones; how many those were, and how many were known as they are."""
        # Two loads of one table take turns: neither can insert a key that the other has just looked for.
        turn = f"weekclose load {self._layout.feed.table}"
        self._conn.execute("select pg_advisory_xact_lock(hashtext(%s))", [turn])
        self._conn.execute(self.statement(CREATE_KNOWN))
        self._conn.execute("analyze known")
        found = self._conn.execute("select count(*) from known where not is_changed").fetchone()
        inserted = self._conn.execute(self.statement(INSERT_NEW)).rowcount
        updated = self._conn.execute(self.statement(UPDATE_CHANGED)).rowcount
        return inserted + updated, found[0] if found else 0


# -- statements: composed, because one text serves all raw tables ------------------------------------

CREATE_INCOMING: LiteralString = """
    create temp table incoming (
        line_number bigint not null,
        fault text,
        content text,
        {definitions}
    ) on commit drop
"""

COPY: LiteralString = """
    copy incoming (line_number, fault, content, {columns}) from stdin (null '', encoding 'UTF8')
"""

CREATE_REPEATED: LiteralString = """
    create temp table repeated on commit drop as
    select {key} from incoming
    where fault is null
    group by {key}
    having count(*) > 1
"""

REFUSE_CONFLICTS: LiteralString = """
    with versions as (
        select
            line_number,
            {key},
            row({columns}) as version,
            first_value(row({columns})) over (partition by {key} order by line_number) as first_version
        from incoming
        where fault is null and {key} in (select {key} from repeated)
    ),
    others as (
        select
            line_number,
            version,
            case
                when version is distinct from first_version then min(line_number) over same_key
                else min(line_number) filter (where version is distinct from first_version) over same_key
            end as other_line
        from versions
        window same_key as (partition by {key})
    )
    update incoming
    set
        fault = format(
            '%%s "%%s" stands with other content on %%s %%s', %s::text, left({key}, 40), %s::text, other_line
        ),
        content = left(left(substr(version::text, 2), -1), %s)
    from others
    where incoming.line_number = others.line_number and others.other_line is not null
"""

DROP_REPETITIONS: LiteralString = """
    delete from incoming
    using (
        select line_number, row_number() over (partition by {key} order by line_number) as occurrence
        from incoming
        where fault is null and {key} in (select {key} from repeated)
    ) as occurrences
    where incoming.line_number = occurrences.line_number and occurrences.occurrence > 1
"""

REJECT: LiteralString = """
    insert into raw.rejected_rows (load_id, table_name, file_name, line_number, reason, content)
    select %s, %s, %s, line_number, fault, content
    from incoming
    where fault is not null
    order by line_number
"""

# The limit keeps the planner to one look into the key's index per row: a load costs what its file costs,
# not what years of history would cost to scan.
CREATE_KNOWN: LiteralString = """
    create temp table known on commit drop as
    select incoming.line_number, found.is_changed
    from incoming
    cross join lateral (
        select row({known_values}) is distinct from row({values}) as is_changed
        from {raw} as known_row
        where known_row.{key} = incoming.{key}
        limit 1
    ) as found
    where incoming.fault is null
"""

INSERT_NEW: LiteralString = """
    insert into {raw} ({columns}, loaded_at)
    select {values}, statement_timestamp()
    from incoming
    where fault is null and not exists (select from known where known.line_number = incoming.line_number)
"""

UPDATE_CHANGED: LiteralString = """
    update {raw} as known_row
    set {assignments}, loaded_at = statement_timestamp()
    from incoming
    inner join known on incoming.line_number = known.line_number
    where known.is_changed and known_row.{key} = incoming.{key}
"""

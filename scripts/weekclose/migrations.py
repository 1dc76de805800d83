"""Numbered SQL files, each applied once, in order, in its own transaction; there is no way back."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection

from weekclose.errors import Refused, WeekcloseError
from weekclose.settings import project_dir

# Any number will do that no other program locks: "weekclos" in ASCII.
LOCK = 0x7765656B636C6F73


@dataclass(frozen=True)
class Migration:
    """One file: `0001_raw.sql` has version 1."""

    version: int
    name: str
    content: bytes

    @property
    def checksum(self) -> str:
        return sha256(self.content).hexdigest()


def migrate(conn: Connection[Any], directory: Path) -> list[str]:
    """Apply what is missing and return the names of the files that this call applied.

    Safe to repeat and to run by several at once. Raises Refused as `pending` does, and WeekcloseError,
    with nothing of that file left behind, when a file fails.
    """
    applied: list[str] = []
    while True:
        with conn.transaction():
            # Held until this file is committed: another runner then finds it applied.
            conn.execute("select pg_advisory_xact_lock(%s)", [LOCK])
            missing = pending(conn, directory)
            if not missing:
                return applied
            _apply(conn, missing[0])
        applied.append(missing[0].name)


def pending(conn: Connection[Any], directory: Path) -> list[Migration]:
    """The files that the database has not seen yet, in order.

    Raises Refused when an applied file has changed since, when the database knows a version that is not
    among the files, and when a missing file is older than one already applied.
    """
    files = _read(directory)
    applied = _applied(conn)
    known = {migration.version for migration in files}
    for version, (name, _) in applied.items():
        if version not in known:
            raise Refused(f"{name} is applied but not in {directory}: the database is newer than this code")
    for migration in files:
        if migration.version in applied and applied[migration.version][1] != migration.checksum:
            raise Refused(f"{migration.name} has changed since it was applied: restore it, add a new file")
    missing = [migration for migration in files if migration.version not in applied]
    newest = max(applied, default=0)
    for migration in missing:
        if migration.version < newest:
            raise Refused(f"{migration.name} comes before {newest:04}, which is already applied: renumber it")
    return missing


def _read(directory: Path) -> Sequence[Migration]:
    files: dict[int, Migration] = {}
    for path in sorted(directory.glob("*.sql")):
        match = re.fullmatch(r"(\d{4})_\w+\.sql", path.name)
        if not match:
            raise WeekcloseError(f"{path} is not named like 0001_what_it_does.sql")
        version = int(match[1])
        if version in files:
            raise WeekcloseError(f"{path.name} has the number of {files[version].name}: renumber one")
        files[version] = Migration(version, path.name, path.read_bytes())
    if not files:
        raise WeekcloseError(f"no migrations in {directory}")
    return [files[version] for version in sorted(files)]


def _applied(conn: Connection[Any]) -> dict[int, tuple[str, str]]:
    found = conn.execute("select to_regclass('public.weekclose_migrations') is not null").fetchone()
    if not found or not found[0]:
        return {}
    rows = conn.execute("select version, name, checksum from public.weekclose_migrations order by version")
    return {version: (name, checksum) for version, name, checksum in rows}


def require_migrated(conn: Connection[Any]) -> None:
    """Raises WeekcloseError when the database has not seen all migrations, Refused as `pending` does."""
    missing = pending(conn, project_dir() / "migrations")
    if missing:
        raise WeekcloseError(f"the database has not seen {missing[0].name} yet: run weekclose db migrate")


def _apply(conn: Connection[Any], migration: Migration) -> None:
    try:
        conn.execute(
            """
            create table if not exists public.weekclose_migrations (
                version integer primary key,
                name text not null,
                checksum text not null,
                applied_at timestamptz not null default now()
            )
            """
        )
        conn.execute(migration.content)
        conn.execute(
            "insert into public.weekclose_migrations (version, name, checksum) values (%s, %s, %s)",
            [migration.version, migration.name, migration.checksum],
        )
    except psycopg.Error as error:
        raise WeekcloseError(
            f"{migration.name}{_line(error, migration)}: {error.diag.message_primary}"
        ) from error


def _line(error: psycopg.Error, migration: Migration) -> str:
    position = error.diag.statement_position
    if not position:
        return ""
    return f":{migration.content.decode()[: int(position) - 1].count(chr(10)) + 1}"

"""Which PostgreSQL to work on, and a connection to it that behaves the same everywhere."""

import os
from contextvars import ContextVar
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.pq import Conninfo

from weekclose.errors import UsageError, WeekcloseError
from weekclose.postgres import EmbeddedPostgres, Server
from weekclose.settings import Settings

OLDEST_VERSION = 15

# What the sessions of one run of the command call themselves: ledger and audit log keep it.
RUN: ContextVar[str] = ContextVar("run", default="")


def server(settings: Settings) -> Server:
    """The server of DATABASE_URL or PG*; without either the embedded one, started when it is not running.

    Raises UsageError when DATABASE_URL is none, WeekcloseError when the server is too old or does not
    start, psycopg.OperationalError when it cannot be reached.
    """
    if not settings.names_a_server:
        return EmbeddedPostgres(settings.home).start()
    url = settings.database_url or ""
    _check_url(url)
    with psycopg.connect(url, connect_timeout=10) as conn:
        version = conn.info.server_version // 10000
        if version < OLDEST_VERSION:
            raise WeekcloseError(
                f"PostgreSQL {version} at {conn.info.host}:{conn.info.port} is too old: "
                f"weekclose needs {OLDEST_VERSION} or later"
            )
        info = conn.info
        return Server(info.host, info.port, info.user, info.password, info.dbname, _transport(url))


def connect(settings: Settings) -> Connection[Any]:
    """A connection in UTC whatever PGTZ, the role or the database say.

    Autocommit: whoever owns a step opens its transaction with `conn.transaction()`.
    """
    return open_connection(server(settings))


def open_connection(where: Server) -> Connection[Any]:
    """As `connect`, to a server that is known already."""
    conn = psycopg.connect(where.url, application_name="weekclose", connect_timeout=10, autocommit=True)
    conn.execute(
        "select set_config('TimeZone', 'UTC', false), set_config('weekclose.run', %s, false),"
        " set_config('weekclose.version', %s, false)",
        (RUN.get(), _version()),
    )
    return conn


@cache
def _version() -> str:
    return version("weekclose")


def value(cursor: psycopg.Cursor[Any]) -> Any:
    """The first column of the row that a statement always answers with."""
    row = cursor.fetchone()
    if row is None:
        raise RuntimeError("a statement that always answers with a row did not")
    return row[0]


@cache
def statement(name: str) -> bytes:
    """The SQL statement in `sql/<name>.sql`."""
    return (Path(__file__).parent / "sql" / f"{name}.sql").read_bytes()


def _check_url(url: str) -> None:
    # libpq's own message repeats parts of what it could not read: the password may be among them.
    try:
        Conninfo.parse(url.encode())
    except psycopg.OperationalError:
        raise UsageError(
            "DATABASE_URL cannot be read: write postgresql://user:password@host:port/database"
        ) from None


def _transport(url: str) -> tuple[tuple[str, str], ...]:
    """What was said about the connection besides the address (sslmode, ...), by the URL or by PG*."""
    address = {"host", "hostaddr", "port", "user", "password", "dbname"}
    ours = {"application_name", "connect_timeout", "service", "passfile"}
    given = ((option, option.val or _environment(option.envvar)) for option in Conninfo.parse(url.encode()))
    return tuple(
        (option.keyword.decode(), value.decode())
        for option, value in given
        if value and option.keyword.decode() not in address | ours
    )


def _environment(name: bytes | None) -> bytes | None:
    return os.environb.get(name) if name else None

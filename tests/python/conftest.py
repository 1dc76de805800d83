"""Real servers for every test: that of DATABASE_URL or an embedded one, and Debian's where there is one.

`conn`, `database` and `module_database` are migrated and empty; `any_database` is one on each server.
"""

import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from psycopg import Connection, sql

from catalogue import belong, pytest_sessionfinish, pytest_terminal_summary, reached  # noqa: F401
from closed_weeks import play
from compiled_build import Build, compiled
from page_browser import browser, keep, show  # noqa: F401
from planted import FAULTS, plant
from small_week import NIGHT, START, Week, begun_week, copied_week
from weekclose.database import open_connection, server
from weekclose.migrations import migrate
from weekclose.policy import effective_vars
from weekclose.postgres import EmbeddedPostgres, Server
from weekclose.settings import Settings, project_dir
from weekclose.warehouse import Vars, Warehouse, project_digest

GIVEN_URL = os.environ.get("DATABASE_URL", "")
COMMAND = Path(sys.executable).parent / "weekclose"

# What takes longest begins first, so that the workers end together. A worker takes a whole file (loadfile).
LONGEST = (
    *(
        "test_demo",
        "test_soak",
        "test_roles",
        "test_sunday",
        "test_reference",
        "test_killed",
        "test_review_data",
    ),
    *("test_killed_commands", "test_flat", "test_review_page", "test_ops_pages", "test_doctor", "test_drift"),
    *("test_crashes", "test_postgres", "test_properties", "test_requests", "test_second_factor"),
    *("test_webhooks", "test_answers", "test_windows", "test_corruption"),
)
# The settings in the YAML files.
READ_BY_THE_PARSER = ("raw_schema", "settlement_timezone", "freshness_warn_days", "freshness_error_days")

NewDatabase = Callable[[], AbstractContextManager[Server]]
RunCommand = Callable[..., subprocess.CompletedProcess[str]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--plant", metavar="FAULT", choices=FAULTS, help="take a guard away, see planted.py")


def pytest_configure(config: pytest.Config) -> None:
    plant(config.getoption("plant"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))
    belong(items)


@pytest.fixture(scope="session", autouse=True)
def clean_environment() -> Iterator[None]:
    """No test finds a person's database: an empty value also overrides `.env`."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(("PG", "WEEKCLOSE_")):
                patch.delenv(name)
        for name in ("DATABASE_URL", "PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE"):
            patch.setenv(name, "")
        patch.setenv("WEEKCLOSE_ACTOR", "tester")
        patch.setenv("NO_COLOR", "1")
        yield


@pytest.fixture(scope="session", autouse=True)
def parsed_once() -> Iterator[None]:
    """Parsing takes longer than a Sunday, and of its database a parsed project has only the name: the next
    database gets a copy with its own name, which is as long. Most settings are read when it is compiled."""
    invoke = Warehouse._invoke
    known: dict[tuple[str, str, int], tuple[bytes, bytes]] = {}

    def invoked(self: Warehouse, arguments: list[str], variables: Vars, manifest: Any = None) -> Any:
        from dbt.contracts.graph.manifest import Manifest

        if arguments != ["parse"]:
            return invoke(self, arguments, variables, manifest)
        name = self._server.dbname.encode()
        read = {setting: variables.get(setting) for setting in READ_BY_THE_PARSER}
        key = (str(project_dir()), project_digest(read), len(name))
        if key not in known:
            parsed = vars(invoke(self, arguments, variables)).items()
            known[key] = name, pickle.dumps({part: value for part, value in parsed if part != "_lock"})
        first, content = known[key]
        # Not as a manifest is pickled: dbt 1.11 mixes up its parts.
        copied = Manifest()
        vars(copied).update(pickle.loads(content.replace(first, name)))
        return copied

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Warehouse, "_invoke", invoked)
        yield


@contextmanager
def _directory() -> Iterator[Path]:
    """A directory that the server's user can enter, unlike pytest's own; servers in it are stopped."""
    path = Path(tempfile.mkdtemp(prefix="weekclose-test-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        for root in path.rglob("postgres/server"):
            EmbeddedPostgres(root.parent.parent, _bin_dir_for(root)).stop()
            shutil.rmtree(root.resolve())
        shutil.rmtree(path)


def _bin_dir_for(root: Path) -> Path | None:
    version = root / "data" / "PG_VERSION"
    debian = debian_bin_dir()
    if debian and version.exists() and version.read_text().strip() == debian.parent.name:
        return debian
    return None


def debian_bin_dir() -> Path | None:
    """The newest PostgreSQL that Debian's packages installed here."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(found, key=lambda path: int(path.parent.name), default=None)


@pytest.fixture
def home() -> Iterator[Path]:
    """A WEEKCLOSE_HOME for one test, without a server yet."""
    with _directory() as path:
        yield path / "home"


@pytest.fixture(scope="session")
def first_server() -> Iterator[Server]:
    """The server of DATABASE_URL, else an embedded one."""
    if GIVEN_URL:
        yield server(Settings(DATABASE_URL=GIVEN_URL))
    else:
        with _own_server(None) as where:
            yield where


@pytest.fixture(scope="session")
def second_server() -> Iterator[Server]:
    """Debian's PostgreSQL, on a data directory of its own."""
    bin_dir = debian_bin_dir()
    if bin_dir is None:
        pytest.skip("no second PostgreSQL: apt-get install postgresql-15 to test on it too")
    with _own_server(bin_dir) as where:
        yield where


@contextmanager
def _own_server(bin_dir: Path | None) -> Iterator[Server]:
    with _directory() as path:
        where = EmbeddedPostgres(path, bin_dir).start()
        with open_connection(where) as conn:
            # These data need not survive a power cut.
            conn.execute("alter system set fsync = off")
            conn.execute("select pg_reload_conf()")
        yield where


def _factory(where: Server, fault: str | None) -> Iterator[NewDatabase]:
    """Migrates once; every new database is a copy."""
    with _created(where, "template1") as template:
        with open_connection(template) as conn:
            migrate(conn, project_dir() / "migrations")
            if fault is not None:
                FAULTS[fault].database(conn)
        yield lambda: _created(where, template.dbname)


@contextmanager
def _created(where: Server, template: str) -> Iterator[Server]:
    name = f"weekclose_test_{uuid4().hex[:12]}"
    with open_connection(where) as admin:
        admin.execute(
            sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(template))
        )
        try:
            yield replace(where, dbname=name)
        finally:
            admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def new_database(first_server: Server, pytestconfig: pytest.Config) -> Iterator[NewDatabase]:
    """Call it for a migrated, empty database that lives as long as its `with`."""
    yield from _factory(first_server, pytestconfig.getoption("plant"))


@pytest.fixture(scope="session")
def second_new_database(second_server: Server, pytestconfig: pytest.Config) -> Iterator[NewDatabase]:
    """As `new_database`, on the second server."""
    yield from _factory(second_server, pytestconfig.getoption("plant"))


@pytest.fixture
def database(new_database: NewDatabase) -> Iterator[Server]:
    """A migrated, empty database for one test."""
    with new_database() as where:
        yield where


@pytest.fixture(scope="module")
def module_database(new_database: NewDatabase) -> Iterator[Server]:
    """A migrated, empty database that the tests of a module share."""
    with new_database() as where:
        yield where


@pytest.fixture(params=["first server", "second server"])
def any_database(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A migrated, empty database for one test, on each of the two servers."""
    name = "new_database" if request.param == "first server" else "second_new_database"
    create: NewDatabase = request.getfixturevalue(name)
    with create() as where:
        yield where


@pytest.fixture
def conn(database: Server) -> Iterator[Connection[Any]]:
    """A connection to `database`, as `weekclose.database.connect` gives it."""
    with open_connection(database) as connection:
        yield connection


@pytest.fixture
def empty_conn(first_server: Server) -> Iterator[Connection[Any]]:
    """A connection to a database that has seen no migration."""
    with _created(first_server, "template1") as where, open_connection(where) as connection:
        yield connection


@pytest.fixture
def weekclose() -> RunCommand:
    """Runs the command as a person does: `weekclose("db", "url", database=database, PGTZ="Asia/Tokyo")`."""

    def run(
        *arguments: str, database: Server | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        own = {"DATABASE_URL": database.url} if database else {}
        return subprocess.run(
            [COMMAND, *arguments],
            env=os.environ | own | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@pytest.fixture(scope="session")
def marts_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The WEEKCLOSE_HOME that `new_marts` were built in: it knows that their views stand."""
    return tmp_path_factory.mktemp("marts")


@pytest.fixture(scope="session")
def new_marts(new_database: NewDatabase, first_server: Server, marts_home: Path) -> Iterator[NewDatabase]:
    """As `new_database`, with the marts over nothing: they are built once, and copied."""
    with new_database() as template:
        warehouse = Warehouse(Settings(WEEKCLOSE_HOME=marts_home), template)
        built = warehouse.build(effective_vars({"settlement_start": START.isoformat()}, NIGHT))
        assert [result.name for result in built if result.kind == "model" and result.is_red] == []
        yield lambda: _created(first_server, template.dbname)


@pytest.fixture(scope="session")
def build(new_marts: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The models as dbt compiles them, for Sundays of tests that are not about dbt."""
    with new_marts() as built:
        return compiled(built, tmp_path_factory.mktemp("compiled"))


@pytest.fixture
def week(new_marts: NewDatabase, build: Build) -> Iterator[Week]:
    """The marketplace of small_week.py before its first Sunday, for one test."""
    with begun_week(new_marts, build.on) as week:
        yield week


@pytest.fixture
def dbt_week(new_marts: NewDatabase, marts_home: Path, tmp_path: Path) -> Iterator[Week]:
    """`week`, with Sundays of dbt's own: with fresh sources, views that stand, and orders that do not count
    because nothing has touched them."""
    settings = Settings(WEEKCLOSE_HOME=shutil.copytree(marts_home, tmp_path / "home"))
    with begun_week(new_marts, partial(Warehouse, settings)) as week:
        yield week


@pytest.fixture(scope="session")
def built_weeks(first_server: Server, new_marts: NewDatabase, build: Build) -> Iterator[NewDatabase]:
    """What `built_week` is a copy of."""
    with begun_week(new_marts, build.on) as week:
        assert week.sunday(may_freeze=False).outcome == "not_frozen"
        week.conn.close()
        yield lambda: _created(first_server, week.server.dbname)


@pytest.fixture
def built_week(built_weeks: NewDatabase, build: Build) -> Iterator[Week]:
    """`week` after its first Sunday, which was asked not to freeze, for one test."""
    with copied_week(built_weeks, build.on) as week:
        yield week


@pytest.fixture(scope="session")
def frozen_weeks(first_server: Server, new_marts: NewDatabase, build: Build) -> Iterator[NewDatabase]:
    """What `frozen_week` is a copy of."""
    with begun_week(new_marts, build.on) as week:
        assert week.sunday().outcome == "frozen"
        week.conn.close()
        yield lambda: _created(first_server, week.server.dbname)


@pytest.fixture
def frozen_week(frozen_weeks: NewDatabase, build: Build) -> Iterator[Week]:
    """`week` after its first Sunday, which froze window 2026-11-01, for one test."""
    with copied_week(frozen_weeks, build.on) as week:
        yield week


@pytest.fixture(scope="session")
def closed_weeks(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The marketplace of closed_weeks.py after its Sundays, for tests that only read it."""
    with new_database() as where:
        play(where, tmp_path_factory.mktemp("closed-weeks"))
        yield where

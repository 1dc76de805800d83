"""A server of our own that may be killed at any time, and the build that every plan begins with."""

import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import psutil
from psycopg import sql

from compiled_build import Build, compiled
from weekclose.database import open_connection
from weekclose.migrations import migrate
from weekclose.policy import effective_vars
from weekclose.postgres import EmbeddedPostgres, Server
from weekclose.settings import Settings, project_dir
from weekclose.warehouse import Warehouse

TEMPLATE = "soak_template"
START = date(2026, 3, 1)
SETTINGS = {"settlement_start": START.isoformat()}


@dataclass
class Place:
    """The server, and the database with the build that those of the plans are copies of."""

    postgres: EmbeddedPostgres
    template: Server
    build: Build

    @contextmanager
    def database(self) -> Iterator[Server]:
        name = f"soak_{uuid4().hex[:12]}"
        with open_connection(self.template_admin()) as admin:
            admin.execute(
                sql.SQL("create database {} template {}").format(
                    sql.Identifier(name), sql.Identifier(self.template.dbname)
                )
            )
        try:
            yield replace(self.template, dbname=name)
        finally:
            with open_connection(self.template_admin()) as admin:
                admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))

    def template_admin(self) -> Server:
        return replace(self.template, dbname="postgres")

    def crash(self) -> None:
        """As `pg_ctl stop -m immediate` does it, and then it is started again."""
        pid_file = self.postgres._data / "postmaster.pid"
        process = psutil.Process(int(pid_file.read_text().split()[0]))
        process.send_signal(signal.SIGQUIT)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.005)
        self.postgres.start()


@contextmanager
def place() -> Iterator[Place]:
    """A server in a directory of its own; dbt builds an empty marketplace in it."""
    with tempfile.TemporaryDirectory(prefix="weekclose-soak-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        postgres = EmbeddedPostgres(directory)
        try:
            yield _make(postgres, directory)
        finally:
            postgres.stop()


def _make(postgres: EmbeddedPostgres, directory: Path) -> Place:
    where = postgres.start()
    with open_connection(where) as conn:
        # A killed process keeps what it has written; only a power cut would ask for more.
        conn.execute("alter system set fsync = off")
        conn.execute("select pg_reload_conf()")
        conn.execute(f"create database {TEMPLATE}".encode())
    template = replace(where, dbname=TEMPLATE)
    with open_connection(template) as conn:
        migrate(conn, project_dir() / "migrations")
    before = datetime.combine(START - timedelta(days=60), datetime.min.time(), UTC)
    home = directory / "dbt"
    built = Warehouse(Settings(WEEKCLOSE_HOME=home), template).build(effective_vars(SETTINGS, before))
    assert not [result for result in built if result.is_red], built
    build = compiled(template, home)
    with open_connection(template) as conn:
        conn.execute("update seeds.region_rails set rail = 'PAYPAL' where rail = 'ERC-20'")
    return Place(postgres, template, build)

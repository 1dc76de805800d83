"""P8: what a Sunday costs besides its SQL, beside dbt's own reading of the project."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from psycopg import sql

from bench.measure import Figure, Machine, in_turn, spent_by
from weekclose.database import open_connection
from weekclose.demo import SMALL_MARKET
from weekclose.migrations import migrate
from weekclose.postgres import Server
from weekclose.sample import SamplePlan, write_sample
from weekclose.settings import project_dir

# Two Sundays of preparation: the third has a window to compare with, and one to freeze.
WEEKS = 3


def figures(m: Machine, *, sellers: int = 200, runs: int = 5) -> list[Figure]:
    """A Sunday that freezes, each time from the same eve, and `dbt parse` of a project that it knows.

    The sellers are enough for the distribution checks to judge, and few enough for pages that cost nothing.
    """
    with TemporaryDirectory() as directory:
        place = Path(directory)
        sunday = _eve(m.server, place, sellers)
        compared = in_turn(sunday, _parse(m.server, place), runs)
    return [Figure("P8", "a Sunday besides its SQL / `dbt parse`", "s", **compared, limit=4)]


def copied(server: Server, template: str, name: str) -> Server:
    """A database made anew as the copy of another one."""
    with open_connection(server) as admin:
        names = sql.Identifier(name), sql.Identifier(template)
        admin.execute(sql.SQL("drop database if exists {} with (force)").format(names[0]))
        admin.execute(sql.SQL("create database {} template {}").format(*names))
    return replace(server, dbname=name)


def _eve(server: Server, place: Path, sellers: int) -> Callable[[], float]:
    """Play a marketplace to the eve of its last Sunday: that Sunday, to be run as often as wanted."""
    sample = write_sample(place / "sample", SamplePlan(sellers=sellers, weeks=WEEKS))
    settings = json.dumps(SMALL_MARKET | {"settlement_start": sample.settlement_start.isoformat()})
    night = copied(server, "template1", "weekclose_bench_night")
    with open_connection(night) as conn:
        migrate(conn, project_dir() / "migrations")
    # dbt must not know a night from an earlier run: no two Sundays speak for the same instant.
    minutes = count()

    def load(week: int) -> None:
        spent_by(["weekclose", "load", sample.folders[week].path], _environment(night, place))

    def sunday(week: int) -> float:
        as_of = sample.folders[week].as_of + timedelta(minutes=next(minutes))
        command = ["weekclose", "sunday", "--as-of", as_of.isoformat(), "--vars", settings]
        return spent_by(command, _environment(night, place)).seconds

    for week in range(WEEKS - 1):
        load(week)
        sunday(week)
    load(WEEKS - 1)
    eve = copied(server, night.dbname, "weekclose_bench_eve")

    def last_sunday() -> float:
        copied(server, eve.dbname, night.dbname)
        return sunday(WEEKS - 1)

    return last_sunday


def _parse(server: Server, place: Path) -> Callable[[], float]:
    places = {"--target-path": place / "target", "--log-path": place / "logs"} | {
        "--project-dir": project_dir(),
        "--profiles-dir": place / "home" / "dbt" / "profiles",
    }
    options = [str(word) for option in places.items() for word in option]
    return lambda: spent_by(["dbt", "--quiet", "parse", *options], server.environment()).seconds


def _environment(server: Server, place: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": server.url,
        "WEEKCLOSE_HOME": str(place / "home"),
        "WEEKCLOSE_ACTOR": "bench",
    }

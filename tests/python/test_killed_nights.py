"""A whole Sunday, and the migrations, killed anywhere: what is run again goes on to the same end."""

import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest
from psycopg import Connection

from catalogue import SOAK, Reached
from compiled_build import Build, Sunday
from conftest import NewDatabase
from frozen_window import one
from killing import DONE, KILLED, in_child, kill_at
from small_week import NIGHT, START, Week
from tuesday import empty
from weekclose import decisions, sunday
from weekclose.database import open_connection
from weekclose.errors import Refused
from weekclose.migrations import migrate, pending
from weekclose.postgres import Server
from weekclose.settings import project_dir
from weekclose.warehouse import NodeResult

pytestmark = pytest.mark.catalogue(1)

BUILDS = range(100 if SOAK else 5)
END = (
    "select payout_window, content_digest = payouts.window_digest(payout_window) from payouts.frozen_windows",
    "select batch_id, state, content_digest = payouts.batch_digest(paid_with) from payouts.batches",
    "select seller_id, amount, status from payouts.payouts order by 1",
    "select account, seller_id, amount from payouts.ledger_entries order by 1, 2, 3",
    "select action, entity, actor from payouts.audit_log order by 1, 2",
    "select hold_number, status, ended_by from payouts.escrow_holds",
    "select type, count(*) from payouts.outbox group by 1 order by 1",
)


@dataclass(frozen=True)
class Elsewhere:
    """A build as dbt does it: not in the thread that is killed at its own exchanges.

    What stands is not built once more: of the same rows it would be the same.
    """

    built: Sunday

    def freshness(self, variables: Mapping[str, Any]) -> list[NodeResult]:
        return []

    def build(self, variables: Mapping[str, Any], *, full_refresh: bool = False) -> list[NodeResult]:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(self._build, variables).result()

    def _build(self, variables: Mapping[str, Any]) -> list[NodeResult]:
        with open_connection(self.built.database) as conn:
            if one(conn, "select count(*) from intermediate.int_builds where as_of = %s", NIGHT):
                return []
        return self.built.build(variables)


@dataclass(frozen=True)
class Night:
    """A Sunday that freezes a window, and at whose start a hold is over."""

    week: Week
    built: Sunday

    def begin(self) -> None:
        empty(self.week.server, ["payouts"], keep=["second_factor_rule"])
        self.week.conn.execute(
            "insert into payouts.escrow_holds"
            " (seller_id, currency, amount, reason, note, release_at, held_by)"
            " values ('s1', 'USD', 5, 'other', 'a question', %s, 'olga')",
            [NIGHT],
        )

    def run(self, at: int | None = None, warehouse: Any = None) -> int:
        """Its exit code, when nobody is at it any more; killed before its n-th exchange if that is named."""

        def work() -> None:
            # Nothing to compare yet; loading what compares takes seconds.
            sunday.check = lambda *_: []  # type: ignore[attr-defined]
            if at is not None:
                kill_at(at)
            report = sunday.run_sunday(
                self.week.server,
                warehouse or Elsewhere(self.built),  # type: ignore[arg-type]
                as_of=NIGHT,
                actor="fiona",
                overrides={"settlement_start": START.isoformat()},
            )
            if report.outcome == "refused":
                raise Refused(report.message)

        code = in_child(work)
        alone(self.week.conn)
        return code

    @property
    def is_frozen(self) -> bool:
        return bool(self.week.one("select count(*) from payouts.frozen_windows"))

    def end(self) -> list[Any]:
        decisions.verify_audit(self.week.conn)
        return [self.week.conn.execute(query.encode()).fetchall() for query in END]


def alone(conn: Connection[Any]) -> None:
    """The server has noticed who is dead."""
    others = (
        "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    )
    while one(conn, others):
        time.sleep(0.01)


@pytest.fixture
def night(week: Week, build: Build) -> Night:
    return Night(week, replace(build, tests=()).on(week.server))


def test_a_sunday_killed_anywhere(night: Night, reached: Reached) -> None:
    """Each run goes on from where the one before it was killed, and is killed one exchange later."""
    night.begin()
    assert night.run() == DONE
    wanted = night.end()
    night.begin()
    for at in range(100):
        code = night.run(at)
        if not night.is_frozen:
            assert code == KILLED
            continue
        assert night.run() == DONE
        assert night.end() == wanted, f"killed at {at}"
        if code == DONE:
            assert at > 10
            reached(1, "kills", at)
            return
        assert code == KILLED
        night.begin()
    raise AssertionError("there was no end of it")


def test_a_sunday_killed_while_it_builds(night: Night, reached: Reached) -> None:
    """Somewhere in what a build says, by seed."""
    night.begin()
    assert night.run() == DONE
    wanted = night.end()
    statements = 2 * len(night.built.made.tables)
    night.begin()
    for seed in BUILDS:
        assert night.run(20 + Random(seed).randrange(statements), night.built) == KILLED
        assert not night.is_frozen
    assert night.run() == DONE
    assert night.end() == wanted
    reached(1, "kills", len(BUILDS))


# What the migrations have made.
SCHEMA = (
    "select nspname, relname, relkind, relacl::text, pg_get_viewdef(pg_class.oid) from pg_class"
    " inner join pg_namespace on relnamespace = pg_namespace.oid where nspname !~ '^pg_' order by 1, 2",
    "select attrelid::regclass::text, attname, format_type(atttypid, atttypmod) from pg_attribute"
    " inner join pg_class on attrelid = pg_class.oid where relkind in ('r', 'v') and attnum > 0",
    "select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint order by 1, 2",
    "select tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) from pg_trigger where not tgisinternal",
    "select oid::regprocedure::text, md5(prosrc), proacl::text, prosecdef from pg_proc"
    " where pronamespace::regnamespace::text !~ '^pg_|information_schema' order by 1",
    "select version, name, checksum from weekclose_migrations order by 1",
)


def test_the_migrations_killed_anywhere(
    new_database: NewDatabase, empty_conn: Connection[Any], reached: Reached
) -> None:
    """Each file is there whole or not at all; the runner that comes next goes on from there."""
    directory, kills = project_dir() / "migrations", 0
    where = Server(
        empty_conn.info.host,
        empty_conn.info.port,
        empty_conn.info.user,
        empty_conn.info.password,
        empty_conn.info.dbname,
    )

    def dying(at: int) -> None:
        with open_connection(where) as conn:
            kill_at(at)
            migrate(conn, directory)

    missing, at = len(pending(empty_conn, directory)), 0
    while missing:
        code = in_child(lambda: dying(at))  # noqa: B023
        alone(empty_conn)
        left = len(pending(empty_conn, directory))
        assert missing - left in (0, 1)
        assert code == KILLED or not left
        kills += code == KILLED
        at = 0 if left < missing else at + 1
        missing = left
    with new_database() as wanted, open_connection(wanted) as conn:
        for query in SCHEMA:
            found = empty_conn.execute(query.encode()).fetchall()
            assert Counter(found) == Counter(conn.execute(query.encode()).fetchall())
            assert found
    assert kills > missing
    reached(1, "kills", kills)

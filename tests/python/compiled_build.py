"""A Sunday's build without dbt's start-up: the models' own SQL, compiled once, run again for each night."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from psycopg import Connection, sql

from weekclose.database import open_connection
from weekclose.policy import WEEKDAYS, effective_vars
from weekclose.postgres import Server
from weekclose.settings import Settings
from weekclose.warehouse import NodeResult, Warehouse

# What the models are compiled for is found nowhere else in their SQL: a run has its own settings put there.
STAND_IN = datetime(1931, 2, 3, 4, 5, 6, tzinfo=UTC)
FOUND = {"error": "fail", "warn": "warn"}
STAND_INS = {
    "settlement_timezone": "Antarctica/Troll",
    "payout_window_starts_on": "saturday",
    "settlement_start": "1905-01-07",
    "reserve_days": 40961,
}


def _texts(variables: Mapping[str, Any]) -> tuple[str, ...]:
    """What settings look like in compiled SQL."""
    days = variables["reserve_days"]
    # As `extract(dow from ...)` counts them, where a Sunday is 0.
    weekday = (WEEKDAYS.index(variables["payout_window_starts_on"]) + 1) % 7
    return (
        variables["as_of"],
        variables["settlement_timezone"],
        variables["settlement_start"],
        f" - {weekday}) as integer)",
        str(7 + days),
        str(days),
    )


def _settings(conn: Connection[Any], variables: Mapping[str, Any]) -> str:
    """As the macro `build_settings` has them: a build of dbt's own goes on from here."""
    shape = ("settlement_timezone", "payout_window_starts_on", "reserve_days", "raw_schema")
    start = conn.execute(
        "select cast(coalesce(min(payout_window), %s::date) as text) from payouts.frozen_windows",
        (variables["settlement_start"],),
    ).fetchone()
    assert start is not None
    return json.dumps(
        {name: variables[name] for name in shape} | {"settlement_start": start[0]}, sort_keys=True
    )


@dataclass(frozen=True)
class Build:
    """The models as they were compiled: views that differ by run, tables with their columns, in the order in
    which they depend on each other, and the data tests with what they say when they find something."""

    stand_ins: tuple[str, ...]
    views: tuple[tuple[str, str], ...]
    tables: tuple[tuple[str, tuple[str, ...], str], ...]
    tests: tuple[tuple[str, str, str], ...]

    def on(self, database: Server) -> "Sunday":
        """As `Warehouse`, for one database."""
        return Sunday(self, database)

    def at(self, conn: Connection[Any], variables: Mapping[str, Any]) -> None:
        """Build."""
        with conn.transaction():
            for relation, text in self.views:
                conn.execute(f"create or replace view {relation} as {self._of(text, variables)}".encode())
            for relation, columns, text in self.tables:
                self._fill(conn, relation, columns, self._of(text, variables))
            conn.execute("delete from intermediate.int_builds")
            conn.execute(
                "insert into intermediate.int_builds (as_of, started_at, settings) values (%s, now(), %s)",
                (variables["as_of"], _settings(conn, variables)),
            )

    def again(self, conn: Connection[Any], variables: Mapping[str, Any], name: str) -> None:
        """One table as it is made of the others."""
        for relation, columns, text in self.tables:
            if relation.endswith(f'"{name}"'):
                self._fill(conn, relation, columns, self._of(text, variables))

    def _fill(self, conn: Connection[Any], relation: str, columns: tuple[str, ...], made: str) -> None:
        named = sql.SQL(", ").join(map(sql.Identifier, columns)).as_string()
        conn.execute(f"delete from {relation}".encode())
        conn.execute(f"insert into {relation} ({named}) select {named} from ({made}) as made".encode())

    def red(self, conn: Connection[Any], variables: Mapping[str, Any]) -> list[NodeResult]:
        """The data tests that find something: not all of them bar a freeze."""
        found = []
        for name, status, text in self.tests:
            rows = conn.execute(self._of(text, variables).encode()).fetchall()
            if rows:
                found.append(NodeResult(name, "test", status, len(rows), f"{rows[0]}", 0.0))
        return found

    def _of(self, text: str, variables: Mapping[str, Any]) -> str:
        for stand_in, own in zip(self.stand_ins, _texts(variables), strict=True):
            text = text.replace(stand_in, own)
        return text


@dataclass(frozen=True)
class Sunday:
    """What a Sunday run needs of a `Warehouse`."""

    made: Build
    database: Server

    def freshness(self, variables: Mapping[str, Any]) -> list[NodeResult]:
        return []

    def build(self, variables: Mapping[str, Any], *, full_refresh: bool = False) -> list[NodeResult]:
        """What a build leaves, in one transaction; a data test that finds something is red."""
        with open_connection(self.database) as conn:
            self.made.at(conn, variables)
            return self.made.red(conn, variables)


def compiled(built: Server, home: Path) -> Build:
    """What dbt compiles for any settings, in a database that it has built: it is left without a build."""
    variables = effective_vars(STAND_INS, STAND_IN)
    with open_connection(built) as conn:
        conn.execute("delete from intermediate.int_builds")
        warehouse = Warehouse(Settings(WEEKCLOSE_HOME=home), built)
        # Only the names of schemas and the freshness of sources are in it before it is compiled.
        parsed = warehouse._project(effective_vars({}, STAND_IN)).manifest
        nodes = [ran.node for ran in warehouse._invoke(["compile"], variables, parsed).results]
        stand_ins = _texts(variables)
        views, tables, tests = [], [], []
        for node in nodes:
            # A copy has a name of its own.
            text = (node.compiled_code or "").replace(f'"{built.dbname}".', "")
            relation = f'"{node.schema}"."{node.alias}"'
            if node.resource_type == "test":
                tests.append((node.name, FOUND[str(node.config.severity).lower()], text))
            elif node.resource_type != "model" or node.name == "int_builds":
                continue
            elif node.config.materialized == "view":
                if any(stand_in in text for stand_in in stand_ins):
                    views.append((relation, text))
            else:
                tables.append((relation, _columns(conn, node.schema, node.alias), text))
    return Build(stand_ins, tuple(views), tuple(tables), tuple(tests))


def _columns(conn: Connection[Any], schema: str, name: str) -> tuple[str, ...]:
    rows = conn.execute(
        "select column_name from information_schema.columns where (table_schema, table_name) = (%s, %s)"
        " and is_generated = 'NEVER' order by ordinal_position",
        (schema, name),
    )
    return tuple(row[0] for row in rows)

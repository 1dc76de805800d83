"""A Sunday's build without dbt's start-up: the models' own SQL, compiled once, run again for each night."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from psycopg import Connection, sql

from weekclose.database import open_connection
from weekclose.policy import effective_vars
from weekclose.postgres import Server
from weekclose.settings import Settings
from weekclose.warehouse import NodeResult, Warehouse


@dataclass(frozen=True)
class Build:
    """The models as they were compiled for `compiled_for`: views that name that instant, tables with their
    columns, in the order in which they depend on each other, and the data tests."""

    start: date
    compiled_for: str
    views: tuple[tuple[str, str], ...]
    tables: tuple[tuple[str, tuple[str, ...], str], ...]
    tests: tuple[tuple[str, str], ...]

    def on(self, database: Server) -> "Sunday":
        """As `Warehouse`, for one database."""
        return Sunday(self, database)

    def at(self, conn: Connection[Any], night: str) -> None:
        """Build as of an instant."""
        with conn.transaction():
            for relation, text in self.views:
                conn.execute(f"create or replace view {relation} as {self._of(text, night)}".encode())
            for relation, columns, text in self.tables:
                named = sql.SQL(", ").join(map(sql.Identifier, columns)).as_string()
                conn.execute(f"delete from {relation}".encode())
                conn.execute(
                    f"insert into {relation} ({named}) select {named} from ({self._of(text, night)}) as made".encode()
                )
            conn.execute("delete from intermediate.int_builds")
            conn.execute(
                "insert into intermediate.int_builds (as_of, started_at, settings) values (%s, now(), '{}')",
                (night,),
            )

    def red(self, conn: Connection[Any], night: str) -> list[NodeResult]:
        """The data tests that find something."""
        found = []
        for name, text in self.tests:
            rows = conn.execute(self._of(text, night).encode()).fetchall()
            if rows:
                found.append(NodeResult(name, "test", "fail", len(rows), f"{rows[0]}", 0.0))
        return found

    def _of(self, text: str, night: str) -> str:
        return text.replace(self.compiled_for, night)


@dataclass(frozen=True)
class Sunday:
    """What a Sunday run needs of a `Warehouse`."""

    made: Build
    database: Server

    def freshness(self, variables: Mapping[str, Any]) -> list[NodeResult]:
        return []

    def build(self, variables: Mapping[str, Any], *, full_refresh: bool = False) -> list[NodeResult]:
        """What a build leaves, in one transaction; a data test that finds something is red."""
        night = str(variables["as_of"])
        with open_connection(self.database) as conn:
            self.made.at(conn, night)
            return self.made.red(conn, night)


def compiled(template: Server, home: Path, start: date, first_night: datetime) -> Build:
    """Let dbt build an empty marketplace once, and keep what it made."""
    variables = effective_vars({"settlement_start": start.isoformat()}, first_night)
    warehouse = Warehouse(Settings(WEEKCLOSE_HOME=home), template)
    built = warehouse.build(variables)
    assert not [result for result in built if result.is_red], built
    with open_connection(template) as conn:
        conn.execute("delete from intermediate.int_builds")
        nodes = [ran.node for ran in warehouse._invoke(["compile"], variables).results]
        instant = first_night.isoformat()
        views, tables, tests = [], [], []
        for node in nodes:
            # Every schedule has a database of its own.
            text = node.compiled_code.replace(f'"{template.dbname}".', "")
            relation = f'"{node.schema}"."{node.alias}"'
            if node.resource_type == "test":
                tests.append((node.name, text))
            elif node.resource_type != "model" or node.name == "int_builds":
                continue
            elif node.config.materialized == "view":
                if instant in text:
                    views.append((relation, text))
            else:
                tables.append((relation, _columns(conn, node.schema, node.alias), text))
    return Build(start, instant, tuple(views), tuple(tables), tuple(tests))


def _columns(conn: Connection[Any], schema: str, name: str) -> tuple[str, ...]:
    rows = conn.execute(
        "select column_name from information_schema.columns where (table_schema, table_name) = (%s, %s)"
        " and is_generated = 'NEVER' order by ordinal_position",
        (schema, name),
    )
    return tuple(row[0] for row in rows)

"""docs/worked-example.md cannot drift: its rows are loaded, its Sundays run, its numbers compared."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection, sql

from compiled_build import Build
from conftest import NewDatabase
from small_week import empty_week
from weekclose.load import load_paths
from weekclose.settings import project_dir

PAGE = (project_dir() / "docs" / "worked-example.md").read_text()
SELLER = "ana"

Row = tuple[str, ...]

CAPTION = re.compile(
    r"\*\*(?P<when>Arrived by|After) Sunday (?P<sunday>[-\d]{10}): `(?P<schema>raw|marts)\.(?P<relation>\w+)`"
    r"(?:, window (?P<window>[-\d]{10}))?\*\*\n\n(?P<table>(?:\|.*\n)+)"
)


@dataclass(frozen=True)
class Table:
    """A table of the page: what arrives by a Sunday, or what a mart shows after it."""

    arrives: bool
    sunday: str
    relation: str
    window: str | None
    columns: Row
    rows: list[Row]

    def __str__(self) -> str:
        return " ".join(filter(None, (self.sunday, self.relation, self.window)))


def cells(line: str) -> Row:
    return tuple(cell.strip() for cell in line.strip().strip("|").split("|"))


def tables() -> list[Table]:
    found = []
    for caption in CAPTION.finditer(PAGE):
        header, _, *rows = caption["table"].splitlines()
        assert (caption["when"] == "Arrived by") == (caption["schema"] == "raw")
        found.append(
            Table(
                arrives=caption["schema"] == "raw",
                sunday=caption["sunday"],
                relation=caption["relation"],
                window=caption["window"],
                columns=cells(header),
                rows=[cells(row) for row in rows],
            )
        )
    return found


SUNDAYS = sorted({table.sunday for table in tables()})


def shown(conn: Connection[Any], table: Table) -> list[Row]:
    """What the mart says of the seller, in the page's columns and order, as text."""
    query = sql.SQL(
        "select {columns} from {mart} where seller_id = {seller}{window} order by {order}"
    ).format(
        columns=sql.SQL(", ").join(
            sql.SQL("coalesce(cast({} as text), '')").format(sql.Identifier(column))
            for column in table.columns
        ),
        mart=sql.Identifier("marts", table.relation),
        seller=SELLER,
        window=sql.SQL(" and payout_window = {}").format(table.window) if table.window else sql.SQL(""),
        order=sql.Identifier("event_at" if "event_at" in table.columns else table.columns[0]),
    )
    return conn.execute(query).fetchall()


@pytest.fixture(scope="module")
def played(
    new_marts: NewDatabase, build: Build, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, list[Row]]]:
    """What the marts showed, by table of the page; and the three Sundays were green."""
    files: Path = tmp_path_factory.mktemp("files")
    answers: dict[str, list[Row]] = {}
    with empty_week(new_marts, build.on) as week:
        for sunday in SUNDAYS:
            arrived = files / sunday
            arrived.mkdir()
            for table in tables():
                if table.arrives and table.sunday == sunday:
                    with (arrived / f"{table.relation}.csv").open("w", newline="") as file:
                        csv.writer(file).writerows([table.columns, *table.rows])
            assert load_paths(week.conn, [arrived]).total.rejected == 0
            report = week.sunday(datetime.fromisoformat(f"{sunday}T23:00:00Z"))
            assert (report.outcome, report.message) == ("frozen", "")
            assert len(report.frozen) == 1
            for table in tables():
                if not table.arrives and table.sunday == sunday:
                    answers[str(table)] = shown(week.conn, table)
        yield answers


@pytest.mark.parametrize("table", [table for table in tables() if not table.arrives], ids=str)
def test_the_marts_show_what_the_page_says(played: dict[str, list[Row]], table: Table) -> None:
    assert played[str(table)] == table.rows


def test_every_table_is_held_to_account() -> None:
    """A table whose caption is mistyped would be no test: there are two without one, and they are prose."""
    assert PAGE.count("\n|---") == len(tables()) + 2
    assert SUNDAYS == ["2026-11-15", "2026-11-22", "2026-11-29"]


def test_the_sums_of_the_page_add_up() -> None:
    sums = re.findall(r"`([-+ \d.]+) = ([\d.]+)`", PAGE)
    for terms, total in sums:
        assert sum(Decimal(term.replace(" ", "")) for term in re.findall(r"[-+]? ?[\d.]+", terms)) == Decimal(
            total
        ), terms
    known = {total for _, total in sums} | {
        cell.lstrip("-") for table in tables() for row in table.rows for cell in row
    }
    amounts = set(re.findall(r"\d+\.\d\d\b", re.sub(CAPTION, "", PAGE)))
    assert len(sums) >= 10
    assert amounts <= known

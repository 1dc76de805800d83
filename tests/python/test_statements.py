"""Every SQL file of the package is understood by the schema it runs against."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

import weekclose
from conftest import NewDatabase
from weekclose.database import open_connection
from weekclose.postgres import Server

FILES = sorted((Path(weekclose.__file__).parent / "sql").glob("*.sql"))


@pytest.fixture(scope="module")
def built(new_marts: NewDatabase) -> Iterator[Server]:
    """A database with all marts, empty."""
    with new_marts() as where:
        yield where


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_statement_is_prepared_and_says_what_it_is_for(built: Server, file: Path) -> None:
    text = file.read_text()
    assert text.startswith("-- ")
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", text)))
    for number, name in enumerate(names, start=1):
        text = text.replace(f"%({name})s", f"${number}")
    with open_connection(built) as conn:
        # What the freeze makes for itself.
        conn.execute(
            "create temporary table bad_destinations (payout_window date, seller_id text, currency text)"
        )
        conn.execute(sql.SQL("prepare checked as " + text.replace("%%", "%")))


def test_there_are_statements() -> None:
    assert len(FILES) > 10

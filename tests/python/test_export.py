"""The CSV: the view's columns and numbers, bytes that can be checked, and no cell that is a formula."""

from __future__ import annotations

import csv
import io
import random
import re
import subprocess
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg import Connection

from catalogue import SOAK
from closed_weeks import HOSTILE_ID
from conftest import RunCommand
from weekclose.database import open_connection
from weekclose.errors import NothingToDo
from weekclose.export import CsvFile, cell, export, export_to_file
from weekclose.postgres import Server
from weekclose.reading import snapshot
from weekclose.settings import project_dir

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ASSETS = project_dir() / "scripts" / "weekclose" / "review" / "assets"
# What a spreadsheet evaluates.
FORMULA = re.compile("[\\s\ufeff\u200b]*[=+\\-@\uff1d\uff0b\uff0d\uff20]")
# What was put in front of a text, or of a part of it.
OURS = re.compile("(^|[;\t\r\n])'(?=[ '\"]*[=+\\-@])")

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
BEGINNINGS = st.sampled_from(
    [
        "",
        "=",
        "+",
        "-",
        "@",
        "\t",
        "\r",
        "\n",
        "\uff1d",
        "\uff0b",
        "\uff0d",
        "\uff20",
        " =",
        "\ufeff=",
        "\u200b+",
    ]
)
# Where one cell could be made two.
SEAMS = st.text("=+-@;,\"' \t\r\nx\uff1d\u200b", max_size=12)
PLAIN = st.text("=+-@;,\"' \t\nx", max_size=12)
EXAMPLES = 20_000 if SOAK else 300


@pytest.fixture
def weeks(closed_weeks: Server) -> Iterator[Connection[Any]]:
    """One snapshot of the closed weeks."""
    with open_connection(closed_weeks) as conn, snapshot(conn):
        yield conn


def read(data: bytes, separator: str = ",") -> list[list[str]]:
    """As a spreadsheet does, with the separator of its country."""
    return list(csv.reader(io.StringIO(data.decode(), newline=""), delimiter=separator))


def as_file(texts: list[str]) -> bytes:
    sink = io.BytesIO()
    CsvFile(sink).write_row(texts)
    return sink.getvalue()


@pytest.mark.catalogue(17)
@settings(max_examples=EXAMPLES)
@given(st.lists(st.builds("{}{}".format, BEGINNINGS, TEXTS) | SEAMS, min_size=1))
@example(["x", ';"=1+1;'])
def test_no_text_is_a_formula_in_any_country(texts: list[str]) -> None:
    (cells,) = read(as_file(texts)) or [[""]]
    assert not any(written.startswith(("\t", "\r", "\n")) for written in cells)
    for separator in (",", ";", "\t"):
        for row in read(as_file(texts), separator):
            assert not any(map(FORMULA.match, row)), (separator, row)


@pytest.mark.catalogue(17)
@settings(max_examples=EXAMPLES)
@given(st.lists(PLAIN, min_size=1))
def test_what_was_put_in_front_can_be_taken_away(texts: list[str]) -> None:
    (cells,) = read(as_file(texts)) or [[""]]
    for text, written in zip(texts, cells, strict=True):
        if re.match("'+[\t\r\n]", written):
            written = written[1:]
        assert OURS.sub(r"\1", written) == text


@pytest.mark.catalogue(17)
def test_the_pages_write_cells_as_the_command_does(browser: Browser) -> None:
    """Both on texts of every kind, some thousand of them."""
    chance = random.Random(17)
    visible = [
        chr(code) for code in (*range(1, 0x3000), *range(0xFE00, 0x10000)) if not 0xD7FF < code < 0xE000
    ]
    texts = [each + "x" for each in visible] + [f" {each}1" for each in visible]
    for _ in range(5_000):
        texts.append("".join(chance.choices("=+-@;,\"' \t\r\nx\uff1d\u200b\ufeff", k=chance.randint(0, 10))))
    page = browser.new_page()
    page.evaluate(f"{(ASSETS / 'base.js').read_text()}; window.csvCell = csvCell")
    written = page.evaluate("texts => texts.map((text) => csvCell(text))", texts)
    page.close()
    differ = [text for text, ours in zip(texts, written, strict=True) if ours != quoted(cell(text))]
    assert [text for text in differ if unicodedata.category(text[0]) != "Cn"] == []


def quoted(text: str) -> str:
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if re.search('[",\r\n]', text) else text


@pytest.mark.catalogue(17)
@given(st.decimals(allow_nan=False, allow_infinity=False, places=2))
def test_numbers_stay_numbers(amount: Decimal) -> None:
    assert Decimal(cell(amount)) == amount
    assert re.fullmatch(r"-?\d+\.\d\d", cell(amount))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, ""),
        (-5, "-5"),
        (Decimal("-1234567.80"), "-1234567.80"),
        (["on_hold", "no_rail"], "on_hold;no_rail"),
        (["=1", "x"], "'=1;x"),
        (["x", "=1"], "x;'=1"),
        ("x; =1", "x;' =1"),
        ("'=1", "''=1"),
        ("\t=1", "'\t'=1"),
        ("a-b=c", "a-b=c"),
        ("\ufe62x", "'\ufe62x"),
        ("plain", "plain"),
    ],
)
def test_cells(value: object, written: str) -> None:
    assert cell(value) == written


def test_an_export_is_the_view_in_its_own_columns(weeks: Connection[Any]) -> None:
    sink = io.BytesIO()
    done = export(weeks, "2026-11-01", sink)
    header, *rows = read(sink.getvalue())
    model = yaml.safe_load((project_dir() / "models/marts/settlement_windows.yml").read_text())["models"][0]
    assert header == [column["name"] for column in model["columns"]]
    assert (done.row_count, done.is_frozen) == (len(rows), True)
    assert done.digest == sha256(sink.getvalue()).hexdigest()
    assert sink.getvalue().endswith(b"\r\n")
    keys = [(row[0], row[header.index("currency")]) for row in rows]
    assert keys == sorted(keys)
    assert keys[:2] == [(f"'{HOSTILE_ID}", "EUR"), (f"'{HOSTILE_ID}", "USD")]
    for name in ("gross", "net", "disputes", "carry_in", "payable", "carry_out"):
        total = weeks.execute(
            f"select sum({name}) from marts.settlement_windows where payout_window = '2026-11-01'"
        ).fetchone()
        assert total == (sum(Decimal(row[header.index(name)]) for row in rows),)
    eve = dict(zip(header, next(row for row in rows if row[0] == "eve"), strict=True))
    assert (eve["net"], eve["carry_out"]) == ("-90.00", "-90.00")
    assert (eve["reserve_closes_at"], eve["block_reasons"]) == ("2026-11-15T05:00:00Z", "")


def test_stdout_and_file_are_the_same_bytes(
    closed_weeks: Server, weekclose: RunCommand, tmp_path: Path
) -> None:
    target = tmp_path / "week.csv"
    printed = weekclose("export", "2026-10-25", database=closed_weeks, PGTZ="Asia/Tokyo")
    written = weekclose("export", "2026-10-25", "--output", str(target), database=closed_weeks)
    digest = sha256(target.read_bytes()).hexdigest()
    assert f"sha256 {digest}" in printed.stderr
    assert f"sha256 {digest}" in written.stderr
    assert (printed.returncode, written.returncode, written.stdout) == (0, 0, "")
    assert (
        subprocess.run(
            ["sha256sum", "--check", "week.csv.sha256"], cwd=tmp_path, capture_output=True
        ).returncode
        == 0
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["week.csv", "week.csv.sha256"]


def test_an_open_window_is_exported_with_a_warning(closed_weeks: Server, weekclose: RunCommand) -> None:
    result = weekclose("export", "2026-11-08", database=closed_weeks)
    assert result.returncode == 0
    assert "window 2026-11-08 is not frozen: these numbers still change" in result.stderr


def test_a_file_is_whole_or_as_it_was(
    weeks: Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "week.csv"
    target.write_text("before")
    with pytest.raises(NothingToDo, match="window 2031-01-05 has no row to export"):
        export_to_file(weeks, "2031-01-05", target)
    write_row, written = CsvFile.write_row, []

    def full_disk(self: CsvFile, values: Any) -> None:
        written.append(values)
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        write_row(self, values)

    monkeypatch.setattr(CsvFile, "write_row", full_disk)
    with pytest.raises(OSError, match="No space"):
        export_to_file(weeks, "2026-11-01", target)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("week.csv", "before")]


@pytest.mark.parametrize(
    ("output", "message"), [("no/week.csv", "lies in no directory"), (".", "is a directory")]
)
def test_a_wrong_output_is_named(
    closed_weeks: Server, weekclose: RunCommand, tmp_path: Path, output: str, message: str
) -> None:
    path = str(tmp_path / output)
    result = weekclose("export", "2026-11-01", "--output", path, database=closed_weeks)
    assert (result.returncode, result.stderr) == (2, f"weekclose: --output {path}: {message}\n")

"""Hostile feed files: what is bad is found with its line and its reason, what is good is only ever text."""

import csv
import io
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg import Connection

from catalogue import SOAK, Reached
from small_week import WALLET, Week
from test_load import BAD_VALUES, GOOD, HOSTILE, ORDERS, line
from weekclose import cli
from weekclose.feeds import FEEDS, INSTANT
from weekclose.load import Counts, load_paths
from weekclose.postgres import Server
from weekclose.settings import project_dir

# Of each table, in each of the two kinds of file.
ROWS = 20_000 if SOAK else 300

# Names that somebody hopes will be run, obeyed, or taken for something else.
NAMES = [
    *HOSTILE,
    "{{ 1 / 0 }}",
    "{% endraw %}{{ exceptions.raise_compiler_error('run') }}",
    "$(touch run) `touch run`",
    "$$; drop schema payouts cascade; $$",
    "\\'; delete from raw.orders; --",
    "<script>alert(1)</script>",
    "\u202egnp.exe",
    "\u200b\ufeff\u00ad",
    "Z\u0351\u036b\u0343a\u0329\u0321lgo",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "null",
    "NaN",
    "0",
    "-1",
    "1e400",
]
# An id may be any of those that a word may be.
IDS = [name for name in NAMES if name == name.strip() and not any(ord(each) < 32 for each in name)]
# Instants before, in and around the window that a Sunday closes, and in a future that nobody will see.
INSTANTS = [
    *(f"2026-11-{day:02}T{day:02}:00:00Z" for day in range(1, 16)),
    "2026-11-01T00:00:00-05:00",
    "2026-11-07T23:59:59.999999-05:00",
    "2026-10-25T02:30:00+01:00",
    "2024-02-29T12:00:00Z",
    "1970-01-01T00:00:00Z",
    "2099-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
]
REGIONS = ("EU", "NA", "APAC", "LATAM", "Atlantis", "{{ region }}")
# What makes a second row of a key another one.
OTHER_CONTENT = {table: {"amount": "31.41"} for table in GOOD} | {
    "sellers": {"created_at": "2001-01-01T00:00:00Z"},
    "orders": {"gross_amount": "31.41"},
}

MARTS = sorted(path.stem for path in (project_dir() / "models" / "marts").glob("*.sql"))


@dataclass
class Planted:
    """Rows of a table, and what has to become of each."""

    table: str
    rows: list[list[str]] = field(default_factory=list)
    good: dict[str, dict[str, str]] = field(default_factory=dict)
    repeated: int = 0
    # What is said of a row, by its place.
    bad: dict[int, str] = field(default_factory=dict)

    def take(self, row: dict[str, str]) -> None:
        self.good[row[FEEDS[self.table].key.name]] = row
        self.rows.append(list(row.values()))

    def refuse(self, fields: Iterable[str], reason: str) -> None:
        self.bad[len(self.rows)] = reason
        self.rows.append(list(fields))


def seller_id(number: int) -> str:
    return f"{IDS[number % len(IDS)]}/s{number}"


def order_id(number: int) -> str:
    return f"{IDS[number % len(IDS)]}/o{number}"


def good_row(table: str, chance: Random, number: int) -> dict[str, str]:
    """What a platform may send, however odd: an unknown seller, a refund above its order, a far future."""
    one_of, instant, order = chance.choice, chance.choice(INSTANTS), order_id(chance.randrange(2 * ROWS))
    amount = one_of(("0", "0.01", "10.5", "100.00", f"{chance.randrange(1000)}.99"))
    status = one_of(("open", "won", "lost", "withdrawn"))
    made: dict[str, Callable[[], dict[str, str]]] = {
        "sellers": lambda: {
            "seller_id": seller_id(number),
            "display_name": one_of(NAMES),
            "seller_type": one_of(("merchant", "freelancer", *IDS)),
            "region": one_of(REGIONS),
            "preferred_rail": one_of(("", "SPL", "TRC-20", "PAYPAL", "MANUAL", *IDS)),
            "wallet_address": one_of(("", WALLET, WALLET, *IDS)),
            "wallet_changed_at": one_of(("", instant)),
            "settlement_currency": one_of(("USD", "EUR", "XXX")),
            "status": one_of(("active", "active", "suspended", "closed")),
            "created_at": instant,
            "product": one_of(("standard", "managed", *IDS)),
        },
        "orders": lambda: {
            "order_id": order_id(number),
            "seller_id": one_of((*(seller_id(chance.randrange(2 * ROWS)) for _ in "123"), "", "nobody")),
            "currency": one_of(("USD", "USD", "EUR", "XXX")),
            "gross_amount": amount,
            "fee_amount": one_of(("0", amount)),
            "status": one_of(("pending", "confirmed", "fulfilled", "cancelled")),
            "captured_at": one_of((instant, instant, "")),
        },
        "refunds": lambda: {
            "refund_id": f"{one_of(IDS)}/r{number}",
            "order_id": order,
            "amount": one_of((amount, "999999999999.99")),
            "fee_refund_amount": one_of(("", "0", "0.01")),
            "refunded_at": instant,
        },
        "disputes": lambda: {
            "dispute_id": f"{one_of(IDS)}/d{number}",
            "order_id": order,
            "amount": amount,
            "reason": one_of(NAMES),
            "status": status,
            "opened_at": instant,
            "closed_at": "" if status == "open" else instant,
        },
        "control_totals": lambda: {
            "order_id": order_id(number),
            "amount": amount,
            "source": one_of(IDS),
        },
    }
    return made[table]()


def planted(table: str, chance: Random, numbers: range, *, may_be_short: bool) -> Planted:
    """A mixture of good rows, repetitions, contradictions, and of each fault that a row can have."""
    made, key, width = Planted(table), FEEDS[table].key.name, len(GOOD[table])
    faults = [(changes, reason) for of, changes, reason in BAD_VALUES if of == table]
    faults.append(({key: "k" * 10_000}, "is longer than 200 characters"))
    for number in numbers:
        row, kind = good_row(table, chance, number), chance.randrange(20)
        bad = GOOD[table] | {key: f"bad {number}"}
        if kind < 11:
            made.take(row)
        elif kind == 11:
            made.take(row)
            made.rows.append(list(row.values()))
            made.repeated += 1
        elif kind == 12:
            for each in (row, row | OTHER_CONTENT[table]):
                made.refuse(each.values(), "stands with other content on ")
        elif kind == 13 and may_be_short:
            fields = list(bad.values())[: chance.randrange(2, width)]
            made.refuse(fields, f"has {len(fields)} fields where the header has {width}")
        elif kind == 14 and may_be_short:
            made.refuse([*bad.values(), "=1+1"], f"has {width + 1} fields where the header has {width}")
        else:
            changes, reason = chance.choice(faults)
            made.refuse((bad | changes).values(), reason)
    return made


def as_csv(made: Planted, chance: Random, path: Path) -> dict[int, str]:
    """Write it as any program might; what is bad, by its line."""
    text, bad, end = chance.choice(("", "\ufeff")), {}, chance.choice(("\n", "\r\n"))
    text += ",".join(GOOD[made.table]) + end
    number = 2
    for place, fields in enumerate(made.rows):
        if place in made.bad:
            bad[number] = made.bad[place]
        written = io.StringIO()
        end = chance.choice((end, end, end, "\n", "\r\n", f"{end}{end}"))
        if chance.random() < 0.5:
            csv.writer(written, lineterminator=end).writerow(fields)
        else:
            csv.writer(written, lineterminator=end, quoting=csv.QUOTE_ALL).writerow(fields)
        text += written.getvalue()
        number += written.getvalue().count("\n")
    path.write_bytes(text.encode())
    return bad


def as_parquet(made: Planted, chance: Random, path: Path) -> dict[int, str]:
    """As text in every column, in row groups of any size; what is bad, by its row."""
    columns = zip(GOOD[made.table], zip(*made.rows, strict=True), strict=True)
    table = pa.table({name: [value or chance.choice(("", None)) for value in held] for name, held in columns})
    pq.write_table(table, path, row_group_size=chance.randint(1, ROWS))
    return {place + 1: reason for place, reason in made.bad.items()}


def check_stored(conn: Connection[Any], made: Planted) -> None:
    """Every text and amount of the good rows is in the raw table as the file had it."""
    feed = FEEDS[made.table]
    columns = [each for each in feed.columns if each.name in GOOD[made.table] and each.kind is not INSTANT]
    names = ", ".join(column.name for column in columns)
    rows = conn.execute(f"select {names} from raw.{made.table}".encode()).fetchall()
    found = {row[0]: row for row in rows}
    for key, row in made.good.items():
        for column, value in zip(columns, found[key], strict=True):
            written = row[column.name] or column.default
            assert (value == Decimal(written or 0)) if isinstance(value, Decimal) else (value == written), row


@pytest.mark.catalogue(16)
def test_every_planted_row_is_found_and_the_rest_is_only_text(
    week: Week, tmp_path: Path, reached: Reached
) -> None:
    """Each table, as CSV and as Parquet; then a Sunday over what was loaded."""
    chance = Random(16)
    for table in FEEDS:
        for kind, write, numbers in (
            ("csv", as_csv, range(ROWS)),
            ("parquet", as_parquet, range(ROWS, 2 * ROWS)),
        ):
            made = planted(table, chance, numbers, may_be_short=kind == "csv")
            path = tmp_path / f"{table}_'; drop table raw.{table}; --.{kind}"
            bad = write(made, chance, path)
            report = load_paths(week.conn, [path])
            counts = Counts(len(made.rows), len(made.good), made.repeated, len(bad))
            assert report.total == counts, path.name
            refused = week.conn.execute(
                "select line_number, reason from raw.rejected_rows where load_id = %s", [report.load_id]
            ).fetchall()
            assert dict(refused).keys() == bad.keys(), path.name
            for number, reason in refused:
                assert bad[number] in reason, (path.name, number)
            check_stored(week.conn, made)
            again = Counts(len(made.rows), 0, len(made.good) + made.repeated, len(bad))
            assert load_paths(week.conn, [path]).total == again
            reached(16, "planted rows refused with line and reason", len(bad))
            reached(16, "hostile rows loaded as they were written", len(made.good))
    night = week.sunday()
    assert (night.outcome, night.red) == ("frozen", [])
    for relation in MARTS:
        week.conn.execute(f"select * from marts.{relation}".encode()).fetchall()
    assert {"unknown_order", "order_of_unknown_seller"} <= {
        row[0] for row in week.conn.execute("select distinct reason from marts.unsettled_activity")
    }
    assert (
        week.one("select count(*) from marts.reconciliation_breaks where break_type = 'refund_above_order'")
        > 0
    )
    assert not (project_dir() / "run").exists()


# -- any bytes ------------------------------------------------------------------------------------------


def parquet(table: str) -> bytes:
    """A good file of a row."""
    sink = io.BytesIO()
    pq.write_table(pa.table({name: [value] for name, value in GOOD[table].items()}), sink)
    return sink.getvalue()


@st.composite
def spoilt(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file of which some bytes are others, or the end is missing."""
    content = bytearray(whole)
    for place, byte in draw(
        st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=5)
    ):
        content[place] = byte
    return bytes(content[: draw(st.integers(0, len(whole)) | st.just(len(whole)))])


FILES = st.sampled_from(list(FEEDS)).flatmap(
    lambda table: st.tuples(
        st.sampled_from(
            [f"{table}{rest}" for rest in (".csv", "-1.CSV", ".parquet", ".xlsx", "", "_.csv.gz")]
        ),
        st.one_of(
            st.binary(max_size=200),
            st.binary(max_size=200).map(f"{','.join(GOOD[table])}\n{line(table)}".encode().__add__),
            spoilt(f"{','.join(GOOD[table])}\n{line(table)}".encode()),
            spoilt(parquet(table)),
        ),
    )
)
FILES_COUNT = 5_000 if SOAK else 150


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.mark.catalogue(16)
@settings(max_examples=FILES_COUNT, deadline=None)
@given(named=FILES)
@example(named=("orders.csv", b""))
@example(named=("orders.parquet", b""))
@example(named=("orders.parquet", b"PAR1" * 100))
@example(named=("sellers.csv", b"\xff\xfe" + "seller_id".encode("utf-16-le")))
@example(named=("refunds.csv", b"," * 100_000))
@example(named=("disputes.csv", b'"' * 100_000))
@example(named=("orders.csv", ORDERS.encode() + b"\n" + b"\0" * 2_000_000))
def test_whatever_a_file_holds_the_command_ends_in_words(
    module_database: Server, folder: Path, named: tuple[str, bytes]
) -> None:
    """No traceback, a documented exit code, and lines that no terminal obeys."""
    name, content = named
    path = folder / name
    path.write_bytes(content)
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(said), redirect_stdout(io.StringIO()):
        patch.setenv("DATABASE_URL", module_database.url)
        patch.setattr("sys.argv", ["weekclose", "load", str(path)])
        code = cli._run()
    path.unlink()
    lines = said.getvalue().splitlines()
    assert all(each.isprintable() for each in lines)
    assert code in (0, 1, 2), lines
    if code:
        assert lines[-1].startswith("weekclose: ")
        assert not any(each.startswith("weekclose: ") for each in lines[:-1])

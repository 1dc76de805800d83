"""Loading: good rows arrive once, bad ones are kept with their reason, and every row is accounted for."""

import csv
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg import Connection

from conftest import COMMAND, NewDatabase, RunCommand
from weekclose import feed_files, load
from weekclose.database import open_connection
from weekclose.errors import UsageError, WeekcloseError
from weekclose.feed_files import find
from weekclose.feeds import FEEDS, LONGEST_CLEAN_LINE
from weekclose.load import Counts, load_paths
from weekclose.postgres import Server

GOOD: dict[str, dict[str, str]] = {
    "sellers": {
        "seller_id": "s1",
        "display_name": "Ada & Sons",
        "seller_type": "freelancer",
        "region": "EU",
        "preferred_rail": "SPL",
        "wallet_address": "0xabc",
        "wallet_changed_at": "2026-01-01T00:00:00Z",
        "settlement_currency": "USD",
        "status": "active",
        "created_at": "2025-01-01T00:00:00+01:00",
        "product": "managed",
    },
    "orders": {
        "order_id": "o1",
        "seller_id": "s1",
        "currency": "USD",
        "gross_amount": "100.00",
        "fee_amount": "10.5",
        "status": "confirmed",
        "captured_at": "2026-11-01T10:00:00Z",
    },
    "refunds": {
        "refund_id": "r1",
        "order_id": "o1",
        "amount": "30",
        "fee_refund_amount": "3.00",
        "refunded_at": "2026-11-02T10:00:00.123456-05:00",
    },
    "disputes": {
        "dispute_id": "d1",
        "order_id": "o1",
        "amount": "100.00",
        "reason": "not received",
        "status": "open",
        "opened_at": "2026-11-03T10:00:00Z",
        "closed_at": "",
    },
    "control_totals": {"order_id": "o1", "amount": "100.00", "source": "processor"},
}

ORDERS = ",".join(GOOD["orders"])


def order(**changes: str) -> str:
    return line("orders", **changes)


def line(table: str, **changes: str) -> str:
    written = StringIO()
    csv.writer(written, lineterminator="\n").writerow((GOOD[table] | changes).values())
    return written.getvalue()


def write(path: Path, *lines: str | bytes) -> Path:
    path.write_bytes(b"".join(part if isinstance(part, bytes) else part.encode() for part in lines))
    return path


def rejects(conn: Connection[Any]) -> list[tuple[int, str]]:
    rows = conn.execute("select line_number, reason from raw.rejected_rows order by rejected_id")
    return [(number, reason) for number, reason in rows]


def versions(conn: Connection[Any]) -> dict[str, tuple[str, datetime]]:
    rows = conn.execute("select order_id, xmin::text || ctid::text, loaded_at from raw.orders")
    return {key: (version, loaded_at) for key, version, loaded_at in rows}


def count(conn: Connection[Any], table: str = "orders") -> int:
    row = conn.execute(f"select count(*) from raw.{table}".encode()).fetchone()
    return row[0] if row else 0


# -- the rules ----------------------------------------------------------------------------------------


def test_the_feeds_are_the_raw_tables(conn: Connection[Any]) -> None:
    rows = conn.execute(
        """
        select table_name, column_name, data_type, is_nullable = 'YES', split_part(column_default, '''', 2)
        from information_schema.columns
        where table_schema = 'raw' and table_name <> 'rejected_rows' and column_name <> 'loaded_at'
        order by table_name, ordinal_position
        """
    )
    types = {"text": "text", "numeric": "numeric", "timestamptz": "timestamp with time zone"}
    declared = [
        (feed.table, column.name, types[column.kind.sql_type], column.nullable, column.default)
        for feed in sorted(FEEDS.values(), key=lambda feed: feed.table)
        for column in feed.columns
    ]
    assert [(*row[:4], "0" if row[1] == "fee_refund_amount" else row[4]) for row in rows] == declared


BAD_VALUES = [
    ("orders", {"order_id": ""}, "order_id is empty"),
    ("orders", {"order_id": "o" * 201}, "is longer than 200 characters"),
    ("orders", {"order_id": " o1"}, "begins or ends with a space"),
    ("orders", {"order_id": "o\n1"}, "contains a control character"),
    ("orders", {"seller_id": "a\0b"}, "contains a NUL character"),
    ("orders", {"currency": "usd"}, 'currency "usd" is not an upper-case currency code'),
    ("orders", {"currency": ""}, "currency is empty"),
    ("orders", {"gross_amount": ""}, "gross_amount is empty"),
    ("orders", {"gross_amount": "1.500"}, 'gross_amount "1.500" has more than two decimals'),
    ("orders", {"gross_amount": "-1"}, "is negative"),
    ("orders", {"gross_amount": "-0.00"}, "is negative"),
    ("orders", {"gross_amount": "1000000000000"}, "is above 999999999999.99"),
    *[
        ("orders", {"gross_amount": value}, "is not a plain decimal number")
        for value in ("NaN", "Infinity", "1e3", "1,000.00", " 1", "+1", ".5", "5.", "0x1F", "\uff11", "=1+1")
    ],
    ("orders", {"status": "Confirmed"}, "is none of pending, confirmed, fulfilled, cancelled"),
    ("orders", {"captured_at": "2026-11-01T10:00:00"}, "has no offset from UTC"),
    ("orders", {"captured_at": "2026-11-01"}, "is not an ISO 8601 instant"),
    ("orders", {"captured_at": "01.11.2026 10:00"}, "is not an ISO 8601 instant"),
    ("orders", {"captured_at": "infinity"}, "is not an ISO 8601 instant"),
    *[
        ("orders", {"captured_at": value}, "is a date, time or offset that does not exist")
        for value in (
            "2026-02-29T10:00:00Z",
            "2026-13-01T10:00:00Z",
            "2026-11-31T10:00:00Z",
            "2026-11-01T24:00:00Z",
            "2026-11-01T10:00:60Z",
            "2026-11-01T10:00:00+15:00",
        )
    ],
    ("orders", {"captured_at": "2026-11-01T23:59:59.9999999Z"}, "is finer than a microsecond"),
    ("orders", {"captured_at": "1970-01-01T00:30:00+01:00"}, "is outside the years 1970 to 9999"),
    ("orders", {"captured_at": "9999-12-31T23:30:00-01:00"}, "is outside the years 1970 to 9999"),
    ("sellers", {"status": "gone"}, "is none of active, suspended, closed"),
    ("sellers", {"display_name": "x" * 10_000}, "is longer than 1000 characters"),
    ("sellers", {"display_name": "a\0b"}, 'display_name "a\\x00b" contains a NUL character'),
    ("sellers", {"region": ""}, "region is empty"),
    ("sellers", {"created_at": ""}, "created_at is empty"),
    ("refunds", {"order_id": ""}, "order_id is empty"),
    ("refunds", {"fee_refund_amount": "0.001"}, "has more than two decimals"),
    ("disputes", {"reason": ""}, "reason is empty"),
    ("disputes", {"closed_at": "2026-11-04T10:00:00Z"}, "closed_at is set though the dispute is open"),
    ("disputes", {"status": "won"}, "closed_at is empty though the dispute is won"),
    ("disputes", {"status": "withdrawn"}, "closed_at is empty though the dispute is withdrawn"),
    ("disputes", {"status": "lost", "closed_at": "2026-11-03T09:59:59Z"}, "closed_at is before opened_at"),
    ("control_totals", {"amount": "x", "order_id": ""}, 'order_id is empty; amount "x" is not a plain'),
]


@pytest.mark.catalogue(16)
@pytest.mark.parametrize("table", FEEDS)
def test_each_bad_value_is_refused_with_its_line_and_reason(
    conn: Connection[Any], tmp_path: Path, table: str
) -> None:
    bad = [(changes, reason) for of, changes, reason in BAD_VALUES if of == table]
    key = FEEDS[table].key.name
    lines = [line(table, **({key: f"x{number}"} | changes)) for number, (changes, _) in enumerate(bad)]
    path = write(tmp_path / f"{table}.csv", ",".join(GOOD[table]), "\n", *lines, line(table))

    assert load_paths(conn, [path]).total == Counts(len(bad) + 1, 1, 0, len(bad))
    number = 2
    for (found_at, found), written, (_, reason) in zip(rejects(conn), lines, bad, strict=True):
        assert found_at == number
        assert reason in found
        number += written.count("\n")


def test_what_is_good_arrives_as_it_was_written(conn: Connection[Any], tmp_path: Path) -> None:
    for table in FEEDS:
        write(tmp_path / f"{table}.csv", ",".join(GOOD[table]), "\n", line(table))
    write(
        tmp_path / "orders_2.csv",
        ORDERS,
        "\n",
        order(order_id="max", gross_amount="999999999999.99", fee_amount="0", captured_at=""),
        order(order_id="edges", seller_id="", captured_at="9999-12-31T23:59:59.999999Z"),
        order(order_id="leap", captured_at="2024-02-29 10:00:00+00"),
        order(order_id="short", captured_at="1970-01-01T02:00+0200"),
        order(order_id="nanos", captured_at="2026-11-01T10:00:00.123456000Z"),
        '"quoted","","USD","1","2","pending",""\n',
    )
    assert load_paths(conn, [tmp_path]).total == Counts(11, 11, 0, 0)

    rows = conn.execute("select order_id, seller_id, gross_amount, captured_at from raw.orders").fetchall()
    assert sorted(rows) == [
        ("edges", None, Decimal("100.00"), datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)),
        ("leap", "s1", Decimal("100.00"), datetime(2024, 2, 29, 10, tzinfo=UTC)),
        ("max", "s1", Decimal("999999999999.99"), None),
        ("nanos", "s1", Decimal("100.00"), datetime(2026, 11, 1, 10, 0, 0, 123456, UTC)),
        ("o1", "s1", Decimal("100.00"), datetime(2026, 11, 1, 10, tzinfo=UTC)),
        ("quoted", None, Decimal("1"), None),
        ("short", "s1", Decimal("100.00"), datetime(1970, 1, 1, tzinfo=UTC)),
    ]
    refund = conn.execute("select fee_refund_amount, refunded_at from raw.refunds").fetchone()
    assert refund == (Decimal("3.00"), datetime(2026, 11, 2, 15, 0, 0, 123456, UTC))


def test_an_empty_or_absent_column_takes_its_default(conn: Connection[Any], tmp_path: Path) -> None:
    few = "seller_id,region,settlement_currency,status,created_at\n"
    write(tmp_path / "sellers.csv", few, "few,EU,USD,active,2026-01-01T00:00:00Z\n")
    empty = line("sellers", seller_id="empty", display_name="", seller_type="", preferred_rail="", product="")
    write(tmp_path / "sellers_all.csv", ",".join(GOOD["sellers"]), "\n", empty)
    load_paths(conn, [tmp_path])
    query = "select seller_id, display_name, seller_type, preferred_rail, product from raw.sellers order by 1"
    assert conn.execute(query).fetchall() == [
        ("empty", "", "merchant", None, "standard"),
        ("few", "", "merchant", None, "standard"),
    ]

    # A feed that does not know wallets and products does not take them away.
    write(tmp_path / "sellers_all.csv", ",".join(GOOD["sellers"]), "\n", line("sellers"))
    write(tmp_path / "sellers.csv", few, "s1,EU,USD,closed,2026-01-01T00:00:00Z\n")
    load_paths(conn, [tmp_path / "sellers_all.csv", tmp_path / "sellers.csv"])
    found = conn.execute(
        "select status, wallet_address, product from raw.sellers where seller_id = 's1'"
    ).fetchone()
    assert found == ("closed", "0xabc", "managed")


def test_a_guarantee_comes_with_an_order_or_not(conn: Connection[Any], tmp_path: Path) -> None:
    """A feed without the column leaves what is known; an empty value ends the guarantee."""
    path, ends_at = tmp_path / "orders.csv", datetime(2026, 12, 1, 9, tzinfo=UTC)

    told = order().rstrip("\n")
    for header, row, known in (
        (ORDERS, told, None),
        (f"{ORDERS},guarantee_ends_at", f"{told},2026-12-01T10:00:00+01:00", ends_at),
        (ORDERS, told, ends_at),
        (f"{ORDERS},guarantee_ends_at", f"{told},", None),
    ):
        write(path, header, "\n", row, "\n")
        assert load_paths(conn, [path]).total.rejected == 0
        assert conn.execute("select guarantee_ends_at from raw.orders").fetchall() == [(known,)]
    write(path, f"{ORDERS},guarantee_ends_at\n", f"{told},2026-12-01\n")
    assert load_paths(conn, [path]).total.rejected == 1


# -- loading again ------------------------------------------------------------------------------------


def test_only_what_changed_is_touched(conn: Connection[Any], tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    write(path, ORDERS, "\n", order(), order(order_id="o2"))
    assert load_paths(conn, [path]).total == Counts(2, 2, 0, 0)
    before = versions(conn)

    # The same amounts and instants in other words are no change.
    same = order(gross_amount="100", fee_amount="10.50", captured_at="2026-11-01T05:00:00-05:00")
    write(path, ORDERS, "\n", same, order(order_id="o2", status="cancelled"), order(order_id="o3"))
    assert load_paths(conn, [path]).total == Counts(3, 2, 1, 0)
    after = versions(conn)
    assert after["o1"] == before["o1"]
    assert after["o2"][1] > before["o2"][1]

    assert load_paths(conn, [path]).total == Counts(3, 0, 3, 0)
    assert versions(conn) == after


@pytest.mark.catalogue(16)
def test_a_key_twice_in_a_file(conn: Connection[Any], tmp_path: Path) -> None:
    path = write(
        tmp_path / "orders.csv",
        ORDERS,
        "\n",
        order(order_id="same"),
        order(order_id="other"),
        order(order_id="same", gross_amount="100.0"),
        order(order_id="other", status="cancelled"),
        order(order_id="other"),
        order(order_id="same"),
    )
    assert load_paths(conn, [path]).total == Counts(6, 1, 2, 3)
    assert rejects(conn) == [
        (3, 'order_id "other" stands with other content on line 5'),
        (5, 'order_id "other" stands with other content on line 3'),
        (6, 'order_id "other" stands with other content on line 5'),
    ]
    content = conn.execute("select content from raw.rejected_rows where line_number = 5").fetchone()
    assert content == ('other,s1,USD,100.00,10.5,cancelled,"2026-11-01 10:00:00+00"',)


def test_a_killed_load_leaves_nothing_and_the_next_one_finishes(database: Server, tmp_path: Path) -> None:
    path = write(tmp_path / "orders.csv", ORDERS, "\n", *(order(order_id=f"o{n}") for n in range(1000)))
    blocked = "select pid from pg_stat_activity where wait_event_type = 'Lock' and query ~ 'insert into'"
    with open_connection(database) as conn, open_connection(database) as watcher:
        with conn.transaction():
            conn.execute("lock table raw.orders in share mode")
            environment = os.environ | {"DATABASE_URL": database.url}
            loader = subprocess.Popen([COMMAND, "load", path], env=environment)
            while not (waiting := watcher.execute(blocked).fetchone()):
                assert loader.poll() is None
            loader.kill()
            loader.wait()
        while watcher.execute("select from pg_stat_activity where pid = %s", waiting).fetchone():
            pass
        assert count(conn) == 0
        assert load_paths(conn, [path]).total == Counts(1000, 1000, 0, 0)


@pytest.mark.catalogue(3)
def test_two_loads_at_once_take_turns(database: Server, tmp_path: Path) -> None:
    path = write(tmp_path / "orders.csv", ORDERS, "\n", *(order(order_id=f"o{n}") for n in range(5000)))

    def run(_: int) -> Counts:
        with open_connection(database) as conn:
            return load_paths(conn, [path]).total

    with ThreadPoolExecutor(4) as pool:
        totals = list(pool.map(run, range(4)))
    assert sorted(total.loaded for total in totals) == [0, 0, 0, 5000]
    assert sum((total.unchanged for total in totals), 0) == 15_000


# -- CSV as it comes ----------------------------------------------------------------------------------


@pytest.mark.catalogue(16)
def test_lines_are_counted_as_an_editor_counts_them(conn: Connection[Any], tmp_path: Path) -> None:
    header = ",".join(GOOD["sellers"])
    two_lines = line("sellers", seller_id="s2", display_name='Two\r\nLines, \\. and\n\\.\n"quotes"')
    path = write(
        tmp_path / "sellers.csv",
        b"\xef\xbb\xbf",
        f"{header}\r\n",
        line("sellers").replace("\n", "\r\n"),
        two_lines,  # lines 3 to 6
        "\r\n",
        line("sellers", seller_id="s3", status="gone"),  # line 8
        line("sellers", seller_id="s4", display_name="one\ntwo", status="gone"),  # lines 9 and 10
        "half,a line\n",  # line 11
        '"s5,never closed,merchant,EU\n',  # line 12
        line("sellers", seller_id="s6"),
        line("sellers", seller_id="s7").encode().replace(b"Ada", b"\xff\xfe"),  # line 14
        line("sellers", seller_id="s8", status="gone").rstrip("\n"),
    )
    assert load_paths(conn, [path]).total == Counts(9, 3, 0, 6)
    assert rejects(conn) == [
        (8, 'status "gone" is none of active, suspended, closed'),
        (9, 'status "gone" is none of active, suspended, closed'),
        (11, "has 2 fields where the header has 11"),
        (12, "opens a quote that is not closed"),
        (14, 'display_name "\\xff\\xfe & Sons" is not valid UTF-8'),
        (15, 'status "gone" is none of active, suspended, closed'),
    ]
    name = conn.execute("select display_name from raw.sellers where seller_id = 's2'").fetchone()
    assert name == ('Two\r\nLines, \\. and\n\\.\n"quotes"',)
    contents = conn.execute("select content from raw.rejected_rows where line_number in (9, 14)").fetchall()
    assert ["one\\ntwo" in contents[0][0], "\\xff\\xfe & Sons" in contents[1][0]] == [True, True]


HOSTILE = [
    "'; drop table raw.sellers; --",
    "{{ target }}",
    "{% do run_query('drop') %}",
    "=HYPERLINK('x')",
    "@SUM(1)",
    "%s %(x)s",
    "$1 \\N \\. \\",
    "\u202eevil\u202c",
    "👩🏽\u200d💻",
    "名前",
    "\x1b[31mred",
    "tab\there",
    '"',
    ",",
]


@pytest.mark.catalogue(16)
def test_hostile_names_are_just_text(conn: Connection[Any], tmp_path: Path) -> None:
    header = ",".join(GOOD["sellers"])
    lines = [line("sellers", seller_id=f"s{n}", display_name=name) for n, name in enumerate(HOSTILE)]
    load_paths(conn, [write(tmp_path / "sellers.csv", header, "\n", *lines)])
    names = conn.execute("select seller_id, display_name from raw.sellers")
    assert dict(names.fetchall()) == {f"s{number}": name for number, name in enumerate(HOSTILE)}

    lines = [line("sellers", seller_id=name, status=name) for name in HOSTILE]
    report = load_paths(conn, [write(tmp_path / "sellers.csv", header, "\n", *lines)])
    assert report.total.rejected == len(HOSTILE)
    assert all(reject.reason.isprintable() for reject in report.rejects)
    texts = conn.execute("select reason, content from raw.rejected_rows").fetchall()
    assert all(text.isprintable() for row in texts for text in row)


RUBBISH = st.one_of(
    st.sampled_from([order(), order(order_id="o2"), order(status="on two\nlines")]).map(str.encode),
    st.just(b'"o3","","USD","1","2","pending",""\r\n'),
    st.text('o1,"\n\r\\\t -.:TZé\u2028\x00', max_size=30).map(str.encode),
    st.binary(max_size=12),
)


@pytest.fixture(scope="module")
def module_conn(module_database: Server) -> Any:
    with open_connection(module_database) as conn:
        yield conn


@pytest.mark.catalogue(16)
@settings(max_examples=40, deadline=None)
@given(parts=st.lists(RUBBISH, max_size=12))
@example(parts=[b'"', b"\n" * 3, order().encode()])
@example(parts=[order(status="on two\nlines").encode()])
def test_every_row_of_any_rubbish_is_accounted_for(
    module_conn: Connection[Any], tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]
) -> None:
    conn = module_conn
    path = write(tmp_path_factory.mktemp("rubbish") / "orders.csv", ORDERS, "\n", *parts)
    conn.execute("truncate raw.orders, raw.rejected_rows")
    for again in (False, True):
        total = load_paths(conn, [path]).total
        assert total.read == total.loaded + total.unchanged + total.rejected
        assert count(conn, "rejected_rows") == total.rejected * (2 if again else 1)
        assert total.loaded == (0 if again else count(conn))
    whole, small = read(path, feed_files.BLOCK), read(path, 7)
    assert whole == small


def read(path: Path, block: int) -> bytes:
    """What a file gives to COPY when it is read in blocks of so many bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feed_files, "BLOCK", block)
        [file], _ = find([path])
        return b"".join(chunk.copy for chunk in file.chunks())


NEARLY_GOOD = st.sampled_from(
    [line(table).rstrip("\n") for table in GOOD]
    + ['"o1","","USD","1","2","pending",""', "o,,USD,1,1,pending,"]
)
SPOILT = st.one_of(st.sampled_from(list('0129,"-+:.TZ \\\t\réA\x7f\x85\xa0\0')), st.characters(codec="utf-8"))


@settings(max_examples=300, deadline=None)
@given(
    text=NEARLY_GOOD,
    places=st.lists(st.tuples(st.integers(0, 200), SPOILT), max_size=3),
    replaces=st.booleans(),
)
def test_a_clean_line_is_a_good_row(text: str, places: list[tuple[int, str]], replaces: bool) -> None:
    for place, character in places:
        text = text[:place] + character + text[place + replaces :]
    for feed in FEEDS.values():
        layout = feed.layout([column.name for column in feed.columns])
        lines = pa.array([f"{text}\n".encode()], pa.binary())
        if feed_files._clean(layout, lines)[0]:
            [fields] = csv.reader([f"{text}\n"], strict=True)
            assert len(text.encode()) < LONGEST_CLEAN_LINE
            assert len(layout.judge(fields)) == len(fields)
            passed_on = text.encode().translate(feed_files.TO_COPY, b'"\r').decode()
            assert passed_on.split("\t") == fields


def test_clean_and_judged_rows_become_the_same(
    conn: Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    amounts = ["0", "0.5", "007.10", "999999999999.99"]
    instants = [
        "",
        "2026-11-01T10:00:00Z",
        "2026-11-01 23:59:59.999999000+05:30",
        "2026-03-08T02:30:00.5-0500",
        "2026-03-08 02:30-05",
    ]
    rows = [order(order_id=f"{a}/{t}", gross_amount=a, captured_at=t) for a in amounts for t in instants]
    path = write(tmp_path / "orders.csv", ORDERS, "\n", *rows)
    [file], _ = find([path])
    [chunk, *_] = file.chunks()
    load_paths(conn, [path])
    monkeypatch.setattr(feed_files, "LONGEST_CLEAN_LINE", 0)
    [judged, *_] = file.chunks()
    assert chunk.copy != judged.copy
    assert load_paths(conn, [path]).total == Counts(20, 0, 20, 0)


# -- Parquet ------------------------------------------------------------------------------------------


def test_parquet_of_every_sensible_type(conn: Connection[Any], tmp_path: Path) -> None:
    at = datetime(2026, 11, 1, 10, 0, 0, 123456, UTC)
    text = pa.array(["a", 'b,\n"c"', "名"])
    table = pa.table(
        {
            "dispute_id": pa.array([1, 2, 3]),
            "order_id": text.dictionary_encode(),
            "amount": pa.array([Decimal("12.5000"), Decimal("0"), Decimal("1.005")], pa.decimal128(18, 8)),
            "reason": text.cast(pa.large_string()),
            "status": ["won", "open", "open"],
            "opened_at": pa.array([at, at, at], pa.timestamp("ns", "America/New_York")),
            "closed_at": pa.array([at, None, None], pa.timestamp("us", "UTC")),
        }
    )
    pq.write_table(table, tmp_path / "disputes.parquet")
    orders = pa.table(
        {
            "order_id": ["f1", "f2", "f3", "f4", '"q"', "o,1"],
            "seller_id": pa.nulls(6),
            "currency": ["USD"] * 6,
            "gross_amount": [10.1, float("nan"), 0.1 + 0.2, 1e300, 3.0, 3.0],
            "fee_amount": [1, 1, 1, 1, 1, 1],
            "status": ["pending"] * 6,
            "captured_at": ["2026-11-01T10:00:00.123456Z"] * 6,
        }
    )
    pq.write_table(orders, tmp_path / "orders.parquet")

    assert load_paths(conn, [tmp_path]).total == Counts(9, 4, 0, 5)
    rows = conn.execute("select dispute_id, order_id, amount, opened_at, closed_at from raw.disputes")
    assert rows.fetchall() == [("1", "a", Decimal("12.5"), at, at)]
    found = conn.execute("select order_id, gross_amount, captured_at from raw.orders").fetchall()
    three = Decimal("3")
    assert sorted(found) == [('"q"', three, at), ("f1", Decimal("10.1"), at), ("o,1", three, at)]
    assert [number for number, _ in rejects(conn)] == [2, 3, 2, 3, 4]
    assert 'amount "1.005" has more than two decimals' in rejects(conn)[1][1]


# -- files refused as a whole -------------------------------------------------------------------------


@pytest.mark.catalogue(16)
def test_a_file_that_is_not_what_it_claims_stops_everything(conn: Connection[Any], tmp_path: Path) -> None:
    good = write(tmp_path / "orders.csv", ORDERS, "\n", order())
    naive = tmp_path / "orders_naive.parquet"
    columns = {name: pa.array([value]) for name, value in GOOD["orders"].items()}
    naive_at = pa.array([datetime(2026, 11, 1)], pa.timestamp("us"))  # noqa: DTZ001
    pq.write_table(pa.table(columns | {"captured_at": naive_at}), naive)
    cut = tmp_path / "orders_cut.parquet"
    cut.write_bytes(naive.read_bytes()[:-100])
    refused = {
        naive: "has captured_at as timestamp[us] instead of a timestamp with a zone, or text",
        cut: "cannot be read",
        write(tmp_path / "orders_1.csv"): "is empty",
        write(tmp_path / "orders_2.csv", ORDERS.replace("fee_amount", "fee_ammount"), "\n"): '"fee_ammount"',
        write(
            tmp_path / "orders_3.csv", ORDERS.replace(",fee_amount", ""), "\n"
        ): "lacks the column fee_amount",
        write(tmp_path / "orders_4.csv", ORDERS, ",loaded_at\n"): "has a column loaded_at",
        write(tmp_path / "orders_5.csv", ORDERS, ",currency\n"): "has the column currency twice",
        write(tmp_path / "orders_6.csv", ORDERS.replace(",", ";"), "\n"): "has a column that orders does not",
        write(tmp_path / "orders_7.csv", f"{ORDERS}\n".encode("utf-16")): "header line in UTF-8",
        write(tmp_path / "oders.csv", ORDERS): "is not named after a raw table",
        write(tmp_path / "orders2.csv", ORDERS): "is not named after a raw table",
        write(tmp_path / "orders.xlsx", b"PK"): "is neither .csv nor .parquet",
        tmp_path / "orders_gone.csv": "does not exist",
    }
    for path, reason in refused.items():
        with pytest.raises(UsageError) as error:
            load_paths(conn, [good, path])
        assert reason in str(error.value)
        assert path.name in str(error.value)
        assert "\n" not in str(error.value)
    assert count(conn) == 0

    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no CSV or Parquet file"):
        load_paths(conn, [tmp_path / "empty"])


def test_a_file_found_broken_half_way_is_not_loaded(conn: Connection[Any], tmp_path: Path) -> None:
    path = write(tmp_path / "orders.csv", ORDERS, "\n", order(), "x" * (feed_files.LONGEST_LINE + 1))
    with pytest.raises(UsageError, match=r"line 3 is too long"):
        load_paths(conn, [path])
    assert count(conn) == 0


def test_a_header_alone_is_an_empty_load(conn: Connection[Any], tmp_path: Path) -> None:
    assert load_paths(conn, [write(tmp_path / "orders-1.CSV", ORDERS)]).total == Counts()


def test_a_row_that_is_lost_on_the_way_is_noticed(
    conn: Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "INSERT_NEW", load.INSERT_NEW + " limit 1")
    path = write(tmp_path / "orders.csv", ORDERS, "\n", order(), order(order_id="o2"))
    with pytest.raises(WeekcloseError, match="do not add up"):
        load_paths(conn, [path])
    assert count(conn) == 0


def test_a_database_without_tables_says_what_to_do(empty_conn: Connection[Any], tmp_path: Path) -> None:
    with pytest.raises(WeekcloseError, match="weekclose db migrate"):
        load_paths(empty_conn, [write(tmp_path / "orders.csv", ORDERS)])


# -- the command --------------------------------------------------------------------------------------


def test_the_command(database: Server, weekclose: RunCommand, tmp_path: Path) -> None:
    write(tmp_path / "orders.csv", ORDERS, "\n", order(), order(order_id="o2", gross_amount="1.500"))
    write(tmp_path / "README.md", "not a feed")
    done = weekclose("load", str(tmp_path), database=database)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].split() == ["total", "2", "1", "0", "1"]
    assert 'orders.csv:3: gross_amount "1.500" has more than two decimals' in done.stderr
    assert "weekclose: 1 of 2 rows were rejected" in done.stderr
    assert f"skipped {tmp_path}/README.md" in done.stderr

    done = weekclose("load", str(tmp_path), "--allow-rejects", "--json", database=database)
    assert done.returncode == 0
    assert '"unchanged": 1' in done.stdout

    done = weekclose("load", str(tmp_path / "none.csv"), database=database)
    assert (done.returncode, done.stderr) == (
        2,
        f"weekclose: {tmp_path}/none.csv does not exist: nothing is loaded\n",
    )


def test_the_second_server_loads_the_same(second_new_database: NewDatabase, tmp_path: Path) -> None:
    for table in FEEDS:
        write(
            tmp_path / f"{table}.csv",
            ",".join(GOOD[table]),
            "\n",
            line(table),
            line(table, **{FEEDS[table].key.name: ""}),
        )
    with second_new_database() as database, open_connection(database) as conn:
        total = load_paths(conn, [tmp_path]).total
        assert total.read == total.loaded + total.unchanged + total.rejected == 10
        assert load_paths(conn, [tmp_path]).total.loaded == 0

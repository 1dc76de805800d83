"""The models against a second reading of the rules: random weeks, compared to the cent after each run.

`WEEKCLOSE_SCENARIOS=200` plays more of them; a failing one is replayed by its number, which is its seed:
`WEEKCLOSE_SCENARIOS=200 pytest 'tests/python/test_reference.py::test_weeks_agree[137]'`.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, astuple, fields, replace
from datetime import UTC, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from psycopg import Connection, sql
from psycopg.rows import dict_row

from market import Clear, History, Hold, Move, Put, RawRow, Step, Sunday, Tuesday, history
from reference import Activity, Books, Dispute, Marts, Order, Payout, Refund, RowKey, Seller, judge
from weekclose.database import open_connection
from weekclose.postgres import Server
from weekclose.settings import Settings
from weekclose.sunday import run_sunday
from weekclose.warehouse import Warehouse

SCENARIOS = range(int(os.environ.get("WEEKCLOSE_SCENARIOS") or "8"))

TABLES: dict[type[RawRow], tuple[str, str]] = {
    Seller: ("sellers", "seller_id"),
    Order: ("orders", "order_id"),
    Refund: ("refunds", "refund_id"),
    Dispute: ("disputes", "dispute_id"),
}
# status: (what it can become, the ledger's word for it, from, to)
MOVES = {
    "submitted": ("submit", "seller_payable", "payouts_in_transit"),
    "paid": ("pay", "payouts_in_transit", "payouts_paid"),
    "failed": ("fail", "payouts_in_transit", "seller_payable"),
    "returned": ("return", "payouts_paid", "seller_payable"),
}

Facts = dict[Any, Any]


class Place:
    """The database that a history is played in, and the books that know what it should show."""

    def __init__(self, where: Server, warehouse: Warehouse, conn: Connection[Any]) -> None:
        self.where = where
        self.warehouse = warehouse
        self.conn = conn
        self.books = Books()
        self.is_new = True

    def clear(self, *, keep_tables: bool) -> None:
        """Forget everything; the models' tables stay as they are, or stay empty."""
        self.books = Books()
        self.is_new = keep_tables
        schemas = ["raw", "payouts"] + ([] if keep_tables else ["intermediate"])
        found = self.conn.execute(
            "select schemaname, tablename from pg_tables where schemaname = any(%s)", (schemas,)
        ).fetchall()
        names = sql.SQL(", ").join(sql.Identifier(*name) for name in found)
        with self.conn.transaction():
            self.conn.execute("set local session_replication_role = replica")
            self.conn.execute(sql.SQL("truncate {} restart identity").format(names))

    # Steps

    def take(self, step: Step) -> None:
        match step:
            case Put(row):
                self.put(row)
            case Move(dispute_id, order_id):
                self.move(dispute_id, order_id)
            case Hold(seller_id, window):
                self.hold(RowKey(window, seller_id, ""))
            case Clear(seller_id, at):
                self.books.clearances.append((seller_id, at))
                self.conn.execute(
                    "insert into payouts.clearances (seller_id, reason, cleared_by, cleared_at)"
                    " values (%s, 'known', 'mona', %s)",
                    (seller_id, at),
                )
            case Tuesday(salt):
                self.tuesday(salt)
            case Sunday():
                raise TypeError("a Sunday is run, not taken")

    def put(self, row: RawRow) -> None:
        table, key = TABLES[type(row)]
        known = cast(dict[str, RawRow], getattr(self.books, table))
        known[getattr(row, key)] = row
        columns = [column.name for column in fields(row)]
        self.conn.execute(
            sql.SQL(
                "insert into raw.{table} ({columns}) values ({values}) on conflict ({key})"
                " do update set ({columns}, loaded_at) = row({excluded}, clock_timestamp())"
            ).format(
                table=sql.Identifier(table),
                key=sql.Identifier(key),
                columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
                values=sql.SQL(", ").join(map(sql.Placeholder, columns)),
                excluded=sql.SQL(", ").join(sql.Identifier("excluded", column) for column in columns),
            ),
            asdict(row),
        )

    def move(self, dispute_id: str, order_id: str) -> None:
        dispute = self.books.disputes.get(dispute_id)
        if dispute and f"dispute_opened:{dispute_id}" not in self.books.frozen_lines:
            self.put(replace(dispute, order_id=order_id))

    def hold(self, row: RowKey) -> None:
        known = self.books.holds
        if (row.seller_id, row.payout_window) in known:
            return
        known.add((row.seller_id, row.payout_window))
        self.conn.execute(
            "insert into payouts.holds (seller_id, payout_window, reason, held_by) values (%s, %s, 'odd', 'mona')",
            (row.seller_id, row.payout_window),
        )
        for payout in list(self.books.payouts.values()):
            if payout.key[:2] == row[:2] and payout.status in ("ready", "blocked"):
                reasons = tuple(sorted({*payout.block_reasons, "on_hold"}))
                self.book(replace(payout, status="blocked", block_reasons=reasons))

    def tuesday(self, salt: str) -> None:
        for key, payout in sorted(self.books.payouts.items()):
            for moved in _rail(payout, Random(f"{salt}/{key}")):
                self.book(moved)

    def book(self, payout: Payout) -> None:
        """The payout's new state, with the ledger transaction that belongs to it."""
        self.books.payouts[payout.key] = payout
        with self.conn.transaction():
            number = self.conn.execute(
                "update payouts.payouts set status = %s, block_reasons = %s, failure_reason = %s,"
                " status_changed_at = now()"
                " where (payout_window, seller_id, currency) = (%s, %s, %s) returning payout_number",
                (payout.status, list(payout.block_reasons), payout.failure_reason, *payout.key),
            ).fetchone()
            assert number is not None
            if payout.status in MOVES:
                kind, debit, credit = MOVES[payout.status]
                self.conn.execute(
                    "with booked as (insert into payouts.ledger_transactions (kind, reference)"
                    " values (%(kind)s, %(number)s)"
                    " on conflict do nothing returning transaction_id)"
                    " insert into payouts.ledger_entries"
                    " (transaction_id, account, seller_id, currency, amount, payout_number)"
                    " select transaction_id, account, %(seller)s, %(currency)s, amount, %(number)s from booked"
                    " cross join (values (%(debit)s, -%(amount)s), (%(credit)s, %(amount)s)) as sides (account, amount)",
                    {
                        "kind": kind,
                        "number": number[0],
                        "seller": payout.key.seller_id,
                        "currency": payout.key.currency,
                        "debit": debit,
                        "credit": credit,
                        "amount": payout.amount,
                    },
                )

    def sunday(self, step: Sunday, *, full_refresh: bool = False) -> str:
        """Run the warehouse; its outcome."""
        terms = step.terms
        report = run_sunday(
            self.where,
            self.warehouse,
            as_of=step.as_of,
            actor="nora",
            may_freeze=step.freeze,
            full_refresh=full_refresh or self.is_new,
            overrides={
                "settlement_timezone": terms.zone,
                "payout_window_starts_on": terms.starts_on,
                "reserve_days": terms.reserve_days,
                "settlement_start": terms.settlement_start.isoformat(),
                "quiet_period_hours": terms.quiet_hours,
                "clearance_days": terms.clearance_days,
            },
        )
        self.is_new = False
        assert report.outcome in ("frozen", "nothing_to_freeze", "not_frozen"), (
            f"{report.outcome}: {report.message}"
        )
        return report.outcome

    # What the database shows

    def select(self, query: str) -> list[dict[str, Any]]:
        with self.conn.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query.encode()).fetchall()


def _rail(payout: Payout, dice: Random) -> Iterator[Payout]:
    """What becomes of a payout on a Tuesday, one state after the other."""
    if payout.status == "ready" and dice.random() < 0.9:
        payout = replace(payout, status="submitted")
        yield payout
    chance = dice.random()
    if payout.status == "submitted":
        if chance < 0.55:
            yield replace(payout, status="paid")
        elif chance < 0.75:
            yield replace(payout, status="failed", failure_reason="the wallet refused it")
        elif chance < 0.85:
            yield replace(payout, status="awaiting_reconciliation")
    elif payout.status == "awaiting_reconciliation" and chance < 0.5:
        yield replace(payout, status="paid")
    elif payout.status == "paid" and chance < 0.15:
        yield replace(payout, status="returned", failure_reason="sent back")


# Expected and shown, in the same words


def expected(marts: Marts, step: Sunday) -> dict[str, Facts]:
    """What the marts should show, by relation and key."""
    return {
        "settlement_lines": {
            line.line_id: {
                **_named(
                    line,
                    "seller_id currency order_id kind event_at payout_window gross fees refunds disputes",
                ),
                "adjustments": Decimal(0),
                **_named(line, "is_late is_frozen"),
            }
            for line in marts.lines.values()
        },
        "settlement_windows": {
            key: {
                **_named(row, "gross fees refunds net rail status window_ends_at reserve_closes_at disputes"),
                "adjustments": Decimal(0),
                **_named(
                    row, "carry_in payable carry_out block_reasons failure_reason order_count late_line_count"
                ),
                "is_frozen": row.is_frozen,
            }
            for key, row in marts.rows.items()
        },
        "unsettled_activity": {
            key: _named(row, "order_id seller_id reason") for key, row in marts.unsettled.items()
        },
        "seller_balances": {
            key: {
                name: value
                for name, value in asdict(balance).items()
                if name not in ("seller_id", "currency")
            }
            for key, balance in marts.balances.items()
        },
        "seller_health": {
            seller_id: {
                "trailing_30d_gross": health.activity.gross,
                "trailing_30d_fees": health.fees,
                "trailing_30d_disputes": health.activity.disputed,
                "health_score": health.score,
                "orders_count": health.activity.orders,
                "disputes_count": health.activity.disputes,
                "orders_7d": health.activity.orders_7d,
                "disputes_7d": health.activity.disputes_7d,
                "gross_7d": health.activity.gross_7d,
                "trailing_30d_refunds": health.activity.refunded,
                "currencies": health.currencies,
                "review_required": bool(health.reasons),
                "review_reasons": health.reasons,
                "as_of": step.as_of,
            }
            for seller_id, health in marts.health.items()
        },
    }


def shown(place: Place, wanted: dict[str, Facts]) -> dict[str, Facts]:
    """What the marts show of the same facts."""
    keys: dict[str, Callable[[dict[str, Any]], Any]] = {
        "settlement_lines": lambda row: row["line_id"],
        "settlement_windows": lambda row: RowKey(row["payout_window"], row["seller_id"], row["currency"]),
        "unsettled_activity": lambda row: (row["kind"], row["source_id"]),
        "seller_balances": lambda row: (row["seller_id"], row["currency"]),
        "seller_health": lambda row: row["seller_id"],
    }
    facts: dict[str, Facts] = {}
    for relation, key in keys.items():
        rows = place.select(f"select * from marts.{relation}")
        names = list(next(iter(wanted[relation].values()), {}))
        facts[relation] = {key(row): _facts(row, names) for row in rows}
        assert len(facts[relation]) == len(rows), f"{relation} has two rows for one key"
    return facts


def _facts(row: dict[str, Any], names: list[str]) -> Facts:
    row = {"is_frozen": row.get("frozen_at") is not None, **row}
    return {name: tuple(sorted(row[name])) if isinstance(row[name], list) else row[name] for name in names}


def _named(thing: object, names: str) -> Facts:
    return {name: getattr(thing, name) for name in names.split()}


def differences(wanted: dict[str, Facts], found: dict[str, Facts]) -> list[str]:
    """One line of text for each fact in which the two differ."""
    return [
        f"{relation} {_text(key)}: {_difference(facts.get(key), found[relation].get(key))}"
        for relation, facts in wanted.items()
        for key in sorted(facts.keys() | found[relation].keys(), key=str)
        if facts.get(key) != found[relation].get(key)
    ]


def _difference(wanted: Facts | None, found: Facts | None) -> str:
    if wanted is None:
        return f"should not be there: {_text(tuple((found or {}).values()))}"
    if found is None:
        return f"missing: {_text(tuple(wanted.values()))}"
    return ", ".join(
        f"{name} {_text(found[name])} instead of {_text(value)}"
        for name, value in wanted.items()
        if value != found[name]
    )


def _text(value: object) -> str:
    return "(" + ", ".join(map(_text, value)) + ")" if isinstance(value, tuple) else str(value)


# Playing


def play(place: Place, past: History) -> list[tuple[Sunday, Marts]]:
    """Take each step, compare after each run and each Tuesday; what the runs should have shown."""
    runs: list[tuple[Sunday, Marts]] = []
    for number, step in enumerate(past.steps):
        if not isinstance(step, Sunday):
            place.take(step)
            if isinstance(step, Tuesday):
                compare_live(place, past, number, runs[-1][0])
            continue
        frozen_until = place.books.last_frozen
        marts = place.books.run(step.as_of, step.terms, freeze=step.freeze)
        outcome = place.sunday(step)
        if step.freeze:
            assert (outcome == "frozen") == (place.books.last_frozen != frozen_until)
        runs.append((step, marts))
        compare(place, past, number, step, marts)
    return runs


def compare(place: Place, past: History, number: int, step: Sunday, marts: Marts) -> None:
    """Every fact after a run."""
    wanted = expected(marts, step)
    _no_differences(wanted, shown(place, wanted), past, number)


def compare_live(place: Place, past: History, number: int, last: Sunday) -> None:
    """After a Tuesday: what the view says of frozen rows, and the balances, without a rebuild."""
    wanted = expected(place.books.marts(last.as_of, last.terms), last)
    found = shown(place, wanted)
    live = {
        "settlement_windows": lambda row: row["is_frozen"],
        "seller_balances": lambda row: True,
    }
    _no_differences(
        *(
            {
                relation: {key: row for key, row in facts[relation].items() if keep(row)}
                for relation, keep in live.items()
            }
            for facts in (wanted, found)
        ),
        past,
        number,
    )


def _no_differences(wanted: dict[str, Facts], found: dict[str, Facts], past: History, number: int) -> None:
    found_differences = differences(wanted, found)
    if found_differences:
        pytest.fail(
            "\n".join(
                (
                    f"seed {past.seed}, step {number} ({past.steps[number]}): {len(found_differences)} differences",
                    *found_differences[:25],
                )
            ),
            pytrace=False,
        )


def stored(place: Place) -> dict[str, Facts]:
    """The rows that the incremental tables hold, as they stand."""
    return {
        "int_order_events": {
            (row["order_id"], row["line_id"]): row
            for row in place.select("select * from intermediate.int_order_events")
        },
        "int_window_rows": {
            RowKey(row["payout_window"], row["seller_id"], row["currency"]): row
            for row in place.select("select * from intermediate.int_window_rows")
        },
    }


@pytest.fixture(scope="module")
def place(module_database: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One database for all histories: parsing the project again for each would take longer than its runs."""
    home: Path = tmp_path_factory.mktemp("home")
    with open_connection(module_database) as conn:
        yield Place(module_database, Warehouse(Settings(WEEKCLOSE_HOME=home), module_database), conn)


@pytest.mark.parametrize("seed", SCENARIOS)
def test_weeks_agree(place: Place, seed: int) -> None:
    past = history(seed)
    place.clear(keep_tables=seed % 2 == 0)
    runs = play(place, past)

    # Once more, changing nothing, and once more from nothing.
    again = replace(runs[-1][0], freeze=False)
    place.sunday(again)
    left = stored(place)
    place.sunday(again, full_refresh=True)
    _no_differences(stored(place), left, past, len(past.steps) - 1)

    if past.is_calm:
        replay(place, past, runs)


def replay(place: Place, past: History, runs: list[tuple[Sunday, Marts]]) -> None:
    """The same weeks with all raw rows there from the start show the same."""
    place.clear(keep_tables=False)
    for step in past.steps:
        if isinstance(step, Put):
            place.take(step)
    shows = iter(runs)
    for number, step in enumerate(past.steps):
        if isinstance(step, Sunday):
            place.books.run(step.as_of, step.terms, freeze=step.freeze)
            place.sunday(step)
            compare(place, past, number, *next(shows))
        elif not isinstance(step, Put):
            place.take(step)

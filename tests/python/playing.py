"""Weeks played in a real database, compared to the cent with what the second reading of the rules says."""

from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

import pytest
from psycopg import Connection, sql
from psycopg.rows import dict_row

import compiled_build
import deeds
from hands import Hands
from market import Clear, Desks, History, Hold, Put, Step, Sunday, Tuesday, take
from market_people import Denied
from obligations import ZERO
from reference import Books, Dispute, Marts, Order, Payout, RawRow, Refund, RowKey, Seller
from weekclose.errors import NothingToDo, Refused
from weekclose.postgres import Server
from weekclose.sunday import run_sunday
from weekclose.warehouse import Warehouse

TABLES: dict[type[RawRow], tuple[str, str]] = {
    Seller: ("sellers", "seller_id"),
    Order: ("orders", "order_id"),
    Refund: ("refunds", "refund_id"),
    Dispute: ("disputes", "dispute_id"),
}
Facts = dict[Any, Any]
Builds = Warehouse | compiled_build.Sunday


class Place:
    """The database that a history is played in, and the books that know what it should show."""

    def __init__(self, where: Server, warehouse: Builds, conn: Connection[Any]) -> None:
        self.where = where
        self.warehouse = warehouse
        self.conn = conn
        self.books = Books()

    def clear(self) -> None:
        """Forget everything: the models begin with empty tables."""
        self.books = Books()
        found = self.conn.execute(
            "select schemaname, tablename from pg_tables"
            " where schemaname in ('raw', 'payouts', 'intermediate')"
        ).fetchall()
        names = sql.SQL(", ").join(sql.Identifier(*name) for name in found)
        with self.conn.transaction():
            # What is frozen refuses even this, but not to a replica.
            self.conn.execute("set local session_replication_role = replica")
            self.conn.execute(sql.SQL("truncate {} restart identity").format(names))

    def take(self, step: Step) -> None:
        """A step that is not a run, in the books and in the database."""
        for change in take(self.books, step):
            match change:
                case Payout():
                    self._block(change)
                case Hold(seller_id, window):
                    self.conn.execute(
                        "insert into payouts.holds (seller_id, payout_window, reason, held_by)"
                        " values (%s, %s, 'odd', 'mona')",
                        (seller_id, window),
                    )
                case Clear(seller_id, at):
                    self.conn.execute(
                        "insert into payouts.clearances (seller_id, reason, cleared_by, cleared_at)"
                        " values (%s, 'known', 'mona', %s)",
                        (seller_id, at),
                    )
                case Seller() | Order() | Refund() | Dispute():
                    self._load(change)
                case Denied(deed):
                    with pytest.raises((Refused, NothingToDo), match=self._refusal(deed)):
                        Hands(self.conn).do(deed)
                case _:
                    Hands(self.conn).do(change)

    def _refusal(self, deed: deeds.Deed) -> str | None:
        """What the refusal says: of a request, to the cent how much is left."""
        if not isinstance(deed, deeds.Ask):
            return None
        party = deed.seller_id, deed.currency
        left = max(ZERO, self.books.requestable(party) - self.books.asked_for(party))
        return f"may have at most {left} {deed.currency} now"

    def _load(self, row: RawRow) -> None:
        """As a long load does it, which commits after the last build what it began to write before."""
        table, key = TABLES[type(row)]
        columns = [column.name for column in fields(row)]
        self.conn.execute(
            sql.SQL(
                "insert into raw.{table} ({columns}, loaded_at)"
                " values ({values}, clock_timestamp() - interval '3 hours') on conflict ({key})"
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

    def _block(self, payout: Payout) -> None:
        """What a hold does to it."""
        with self.conn.transaction():
            self.conn.execute(
                "update payouts.payouts set status = 'blocked', block_reasons = %s where payout_number = %s",
                (list(payout.block_reasons), payout.number),
            )
            self.conn.execute(
                "select payouts.renew_batch(batches) from payouts.batches"
                " where paid_with = payouts.paid_with(%s, null) and state in ('frozen', 'approved')",
                [payout.key.payout_window],
            )

    def run(self, step: Sunday, *, full_refresh: bool = False) -> str:
        """Run the warehouse; its outcome. Red tests fail here: a history is odd, but nowhere wrong."""
        terms = step.terms
        report = run_sunday(
            self.where,
            self.warehouse,  # type: ignore[arg-type]
            as_of=step.as_of,
            actor="nora",
            may_freeze=step.freeze,
            full_refresh=full_refresh,
            overrides={
                "settlement_timezone": terms.zone,
                "payout_window_starts_on": terms.starts_on,
                "reserve_days": terms.reserve_days,
                "settlement_start": terms.settlement_start.isoformat(),
                "quiet_period_hours": terms.quiet_hours,
                "clearance_days": terms.clearance_days,
            },
        )
        red = [result.name for result in report.red if result.status != "skipped"]
        assert report.outcome in ("frozen", "nothing_to_freeze", "not_frozen"), (
            f"{report.message}; red: {red}"
        )
        return report.outcome

    def select(self, query: str) -> list[dict[str, Any]]:
        with self.conn.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query.encode()).fetchall()


# The same facts, as they should be and as they are shown.

MARTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "settlement_lines": lambda row: row["line_id"],
    "settlement_windows": lambda row: RowKey(row["payout_window"], row["seller_id"], row["currency"]),
    "unsettled_activity": lambda row: (row["kind"], row["source_id"]),
    "seller_balances": lambda row: (row["seller_id"], row["currency"]),
    "seller_health": lambda row: row["seller_id"],
}
# What no run rebuilds: each query has a column `key`.
BOOKS = {
    "payouts": "select payout_number as key, payout_window, seller_id, currency, amount, status, rail,"
    " reference_id, request_number as request from payouts.payouts",
    # Views over what no run rebuilds.
    "requests": "select request_number as key, array[seller_id, currency] as party, amount, status,"
    " schedule_number as schedule, payout_number from marts.payout_requests",
    "schedules": "select schedule_number as key, array[seller_id, currency] as party, amount, due_at,"
    " order_id, status, retry_count as tries from payouts.payout_schedules",
    # What is requested pays for no line.
    "lines of requests": "select line_id as key from marts.payout_lines"
    " inner join payouts.payouts using (payout_number) where request_number is not null",
    "adjustments": "select adjustment_number as key, seller_id, currency, class as of_class, amount, source,"
    " source_id, mode, status, applied_amount, applied_to, not_before, payout_window,"
    " (select deviation from payouts.exceptions where decision is null"
    "   and exceptions.adjustment_number = adjustments.adjustment_number) as wish"
    " from payouts.adjustments",
    "allocations": "select array[adjustment_number, payout_window::text] as key, amount"
    " from payouts.adjustment_allocations",
    "escrow_holds": "select hold_number as key, array[seller_id, currency] as party, amount, release_at,"
    " status from payouts.escrow_holds",
    "executions": "select array[payout_number, external_reference] as key, amount from payouts.executions",
    "ledger": "select array[account, seller_id, currency] as key, sum(amount) as amount"
    " from payouts.ledger_entries group by account, seller_id, currency having sum(amount) <> 0",
}


def expected(marts: Marts, as_of: datetime) -> dict[str, Facts]:
    """What the marts should show, by relation and key."""
    return {
        "settlement_lines": {
            line.line_id: _named(
                line,
                "seller_id currency order_id kind event_at payout_window gross fees refunds disputes"
                " adjustments is_late is_frozen",
            )
            for line in marts.lines.values()
        },
        "settlement_windows": {
            key: _named(
                row,
                "gross fees refunds net rail status window_ends_at reserve_closes_at disputes adjustments"
                " carry_in payable carry_out block_reasons failure_reason order_count late_line_count"
                " held is_frozen",
            )
            for key, row in marts.rows.items()
        },
        "unsettled_activity": {
            key: _named(row, "order_id seller_id reason") for key, row in marts.unsettled.items()
        },
        "seller_balances": {
            key: _named(
                balance,
                "pending_balance available_balance in_transit reserve_closes_at last_payout_status"
                " last_failure_reason",
            )
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
                "as_of": as_of,
            }
            for seller_id, health in marts.health.items()
        },
    }


def kept(books: Books) -> dict[str, Facts]:
    """What the payout tables should hold, by table and key."""
    obligations = books.adjustments.values()
    return {
        "payouts": {
            payout.number: payout.key._asdict()
            | _named(payout, "amount status rail request")
            | {"reference_id": done[-1].name if (done := books.executions.get(payout.number)) else None}
            for payout in books.payouts.values()
        },
        "adjustments": {
            each.number: _named(
                each,
                "seller_id currency of_class amount source source_id mode status applied_amount applied_to"
                " not_before payout_window",
                wish=each.wish.kind if each.wish else None,
            )
            for each in obligations
        },
        "allocations": {
            (each.number, str(window)): {"amount": amount}
            for each in obligations
            for window, amount in each.settled
        },
        "requests": {
            number: _named(
                request,
                "amount schedule",
                party=[*request.party],
                status=request.status(payout := books.payout_of(number)),
                payout_number=payout.number if payout else None,
            )
            for number, request in books.requests.items()
        },
        "schedules": {
            number: _named(schedule, "amount due_at order_id status tries", party=[*schedule.party])
            for number, schedule in books.schedules.items()
        },
        "lines of requests": {},
        "escrow_holds": {
            number: _named(hold, "amount release_at status", party=[*hold.party])
            for number, hold in books.escrow_holds.items()
        },
        "executions": {
            (number, each.name): {"amount": each.amount}
            for number, done in books.executions.items()
            for each in done
        },
        "ledger": {key: {"amount": amount} for key, amount in books.ledger().items()},
    }


def held(place: Place) -> dict[str, Facts]:
    """What the payout tables hold."""
    return {table: {_key(row): row for row in place.select(query)} for table, query in BOOKS.items()}


def _key(row: dict[str, Any]) -> Any:
    key = row.pop("key")
    return tuple(key) if isinstance(key, list) else key


def _named(thing: object, names: str, **others: object) -> Facts:
    return {name: getattr(thing, name) for name in names.split()} | others


def shown(place: Place, wanted: dict[str, Facts]) -> dict[str, Facts]:
    """What the marts show of the facts in `wanted`."""
    found: dict[str, Facts] = {}
    for relation, key in MARTS.items():
        rows = place.select(f"select * from marts.{relation}")
        names = list(next(iter(wanted[relation].values()), {}))
        found[relation] = {key(row): _facts(row, names) for row in rows}
        assert len(found[relation]) == len(rows), f"{relation} has two rows for one key"
    return found


def _facts(row: dict[str, Any], names: list[str]) -> Facts:
    facts = {"is_frozen": row.get("frozen_at") is not None} | row
    if row.get("kind") == "adjustment":
        # When it was approved, by the database's own clock.
        facts["event_at"] = None
    return {
        name: tuple(sorted(facts[name])) if isinstance(facts[name], list) else facts[name] for name in names
    }


def differences(wanted: dict[str, Facts], found: dict[str, Facts]) -> list[str]:
    """One text for each key whose facts differ."""
    return [
        f"{relation} {_text(key)}: {_difference(facts.get(key), found[relation].get(key))}"
        for relation, facts in wanted.items()
        for key in sorted(facts.keys() | found[relation].keys(), key=str)
        if facts.get(key) != found[relation].get(key)
    ]


def _difference(wanted: Facts | None, found: Facts | None) -> str:
    if wanted is None or found is None:
        facts = " ".join(f"{name}={_text(value)}" for name, value in (wanted or found or {}).items())
        return f"{'missing' if wanted else 'should not be there'}: {facts}"
    return ", ".join(
        f"{name} {_text(found[name])} instead of {_text(value)}"
        for name, value in wanted.items()
        if value != found[name]
    )


def _text(value: object) -> str:
    return "(" + ", ".join(map(_text, value)) + ")" if isinstance(value, tuple) else str(value)


def must_agree(wanted: dict[str, Facts], found: dict[str, Facts], past: History, step: Step) -> None:
    off = differences(wanted, found)
    if off:
        title = f"{past.plan}\n{step}: {len(off)} differences"
        pytest.fail("\n".join((title, *off[:25])), pytrace=False)


# Playing a history


def play(place: Place, past: History) -> list[Sunday]:
    """From nothing: take each step, compare after each run and all that people and rails do; the runs.

    Of a calm plan all raw rows are there from the start, and have to show what the weeks gave.
    """
    place.clear()
    lived, runs, is_calm = Books(), list[Sunday](), past.plan.is_calm
    if is_calm:
        for step in past.steps:
            if isinstance(step, Put):
                place.take(step)
    for step in past.steps:
        if isinstance(step, Sunday):
            shown_now = run_and_compare(place, past, step)
            runs.append(step)
            if is_calm:
                gave = lived.run(step.as_of, step.terms, freeze=step.freeze)
                must_agree(expected(gave, step.as_of), shown_now, past, step)
            continue
        if is_calm:
            for _ in take(lived, step):
                pass
        if not is_calm or not isinstance(step, Put):
            place.take(step)
        if isinstance(step, Tuesday):
            compare_live(place, past, step, runs[-1])
        if isinstance(step, Desks):
            must_agree(kept(place.books), held(place), past, step)
    return runs


def run_and_compare(place: Place, past: History, step: Sunday) -> dict[str, Facts]:
    """Run, and compare every fact of every mart; what they show."""
    last_frozen = place.books.last_frozen
    marts = place.books.run(step.as_of, step.terms, freeze=step.freeze)
    outcome = place.run(step)
    assert (outcome == "frozen") == (place.books.last_frozen != last_frozen)
    wanted = expected(marts, step.as_of)
    found = shown(place, wanted)
    must_agree(wanted, found, past, step)
    must_agree(kept(place.books), held(place), past, step)
    return found


def compare_live(place: Place, past: History, step: Step, last: Sunday) -> None:
    """Without a rebuild: what the view says of frozen rows, and the balances."""

    def live(facts: dict[str, Facts]) -> dict[str, Facts]:
        rows = facts["settlement_windows"]
        return {
            "settlement_windows": {key: row for key, row in rows.items() if row["is_frozen"]},
            "seller_balances": facts["seller_balances"],
        }

    wanted = expected(place.books.marts(last.as_of, last.terms), last.as_of)
    must_agree(live(wanted), live(shown(place, wanted)), past, step)
    must_agree(kept(place.books), held(place), past, step)

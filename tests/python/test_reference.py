"""The models against a second reading of the rules: random weeks, compared to the cent after each run.

`WEEKCLOSE_SCENARIOS=200` plays the seeds 0 to 199 instead of the few that cover every rule; a failing seed
is played again with `WEEKCLOSE_SCENARIOS=200 pytest 'tests/python/test_reference.py::test_weeks_agree[137]'`.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from psycopg import Connection, sql
from psycopg.rows import dict_row

import deeds
from hands import Hands
from market import Change, Clear, Desks, History, Hold, Put, Step, Sunday, Tuesday, history, take
from market_people import Denied
from obligations import CREDIT, DEDUCTION, ZERO, Adjustment, settle_oldest_first
from reference import (
    HOLDS_MONEY,
    IN_TRANSIT,
    PAID,
    Activity,
    Books,
    Dispute,
    Line,
    Marts,
    Order,
    Payout,
    RawRow,
    Refund,
    RowKey,
    Seller,
    Terms,
    judge,
)
from weekclose.database import open_connection
from weekclose.errors import NothingToDo, Refused
from weekclose.postgres import Server
from weekclose.settings import Settings
from weekclose.sunday import run_sunday
from weekclose.warehouse import Warehouse

# Together they meet every rule: see test_the_histories_meet_every_rule.
CHOSEN_SEEDS = (19, 1553, 3665, 4558)
ASKED_FOR = int(os.environ.get("WEEKCLOSE_SCENARIOS") or 0)
SEEDS = range(ASKED_FOR) if ASKED_FOR else CHOSEN_SEEDS

TABLES: dict[type[RawRow], tuple[str, str]] = {
    Seller: ("sellers", "seller_id"),
    Order: ("orders", "order_id"),
    Refund: ("refunds", "refund_id"),
    Dispute: ("disputes", "dispute_id"),
}
Facts = dict[Any, Any]


class Place:
    """The database that a history is played in, and the books that know what it should show."""

    def __init__(self, where: Server, warehouse: Warehouse, conn: Connection[Any]) -> None:
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
            self.warehouse,
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
    " status, retry_count as tries from payouts.payout_schedules",
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
            number: _named(schedule, "amount due_at status tries", party=[*schedule.party])
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


def _must_agree(wanted: dict[str, Facts], found: dict[str, Facts], past: History, step: Step) -> None:
    off = differences(wanted, found)
    if off:
        title = f"seed {past.seed}, {step}: {len(off)} differences"
        pytest.fail("\n".join((title, *off[:25])), pytrace=False)


# Playing a history


def play(place: Place, past: History) -> list[tuple[Sunday, Marts]]:
    """Take each step, compare after each run and each Tuesday; what each run should have shown."""
    runs: list[tuple[Sunday, Marts]] = []
    for step in past.steps:
        if isinstance(step, Sunday):
            runs.append((step, run_and_compare(place, past, step)))
        else:
            place.take(step)
        if isinstance(step, Tuesday):
            compare_live(place, past, step, runs[-1][0])
        if isinstance(step, Desks):
            _must_agree(kept(place.books), held(place), past, step)
    return runs


def run_and_compare(place: Place, past: History, step: Sunday) -> Marts:
    """Run, and compare every fact of every mart."""
    last_frozen = place.books.last_frozen
    marts = place.books.run(step.as_of, step.terms, freeze=step.freeze)
    outcome = place.run(step)
    assert (outcome == "frozen") == (place.books.last_frozen != last_frozen)
    wanted = expected(marts, step.as_of)
    _must_agree(wanted, shown(place, wanted), past, step)
    _must_agree(kept(place.books), held(place), past, step)
    return marts


def compare_live(place: Place, past: History, step: Step, last: Sunday) -> None:
    """Without a rebuild: what the view says of frozen rows, and the balances."""

    def live(facts: dict[str, Facts]) -> dict[str, Facts]:
        rows = facts["settlement_windows"]
        return {
            "settlement_windows": {key: row for key, row in rows.items() if row["is_frozen"]},
            "seller_balances": facts["seller_balances"],
        }

    wanted = expected(place.books.marts(last.as_of, last.terms), last.as_of)
    _must_agree(live(wanted), live(shown(place, wanted)), past, step)
    _must_agree(kept(place.books), held(place), past, step)


def stored(place: Place) -> dict[str, Facts]:
    """The rows of the incremental tables as they stand."""
    return {
        "int_order_events": {
            row["line_id"]: row for row in place.select("select * from intermediate.int_order_events")
        },
        "int_adjustment_lines": {
            row["line_id"]: row for row in place.select("select * from intermediate.int_adjustment_lines")
        },
        "int_window_rows": {
            RowKey(row["payout_window"], row["seller_id"], row["currency"]): row
            for row in place.select("select * from intermediate.int_window_rows")
        },
    }


def replay(place: Place, past: History, runs: list[tuple[Sunday, Marts]]) -> None:
    """The same weeks with all raw rows there from the start show what the weeks gave."""
    place.clear()
    for step in past.steps:
        if isinstance(step, Put):
            place.take(step)
    live = iter(runs)
    for step in past.steps:
        if isinstance(step, Sunday):
            run_and_compare(place, past, step)
            wanted = expected(next(live)[1], step.as_of)
            _must_agree(wanted, shown(place, wanted), past, step)
        elif not isinstance(step, Put):
            place.take(step)


def look_back(place: Place, past: History, first: Sunday, last: Sunday) -> None:
    """A run for an earlier night shows that night with what is frozen since, and freezes nothing."""
    for step in (first, last):
        step = replace(step, freeze=False)
        wanted = expected(place.books.run(step.as_of, step.terms, freeze=False), step.as_of)
        place.run(step)
        _must_agree(wanted, shown(place, wanted), past, step)


@pytest.fixture(scope="module")
def place(module_database: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One database for all histories: to parse the project for each would take longer than its runs."""
    settings = Settings(WEEKCLOSE_HOME=tmp_path_factory.mktemp("home"))
    with open_connection(module_database) as conn:
        yield Place(module_database, Warehouse(settings, module_database), conn)


@pytest.mark.parametrize("seed", SEEDS)
def test_weeks_agree(place: Place, seed: int) -> None:
    """After each run the marts say what the rules say; a full refresh changes nothing, nor does a replay."""
    past = history(seed)
    place.clear()
    runs = play(place, past)

    last = replace(runs[-1][0], freeze=False)
    place.run(last)
    left = stored(place)
    place.run(last, full_refresh=True)
    _must_agree(stored(place), left, past, last)

    if past.is_calm:
        replay(place, past, runs)
    elif seed % 8 == 0:
        look_back(place, past, runs[0][0], last)


# Whether the histories are as nasty as they should be, and the second reading understands the examples


def met(seed: int) -> Iterator[str]:
    """The situations that a history brings about, by the books alone."""
    books, past = Books(), history(seed)
    last: Sunday | None = None
    if past.is_calm:
        yield "a replay"
    for step in past.steps:
        if not isinstance(step, Sunday):
            before = _copy(books)
            for done in take(books, step):
                yield from _of_deed(before, done, books)
                for number, request in books.requests.items():
                    yield f"request: {request.status(books.payout_of(number))}"
                before = _copy(books)
            continue
        if last is not None:
            yield from _of_runs(last, step)
        last = step
        before = _copy(books)
        marts = books.run(step.as_of, step.terms, freeze=step.freeze)
        yield from _of_late_payments(books)
        yield from _of_requests(before, books)
        yield from _of_holds(before, books, marts, step)
        for line in marts.lines.values():
            yield from _of_line(line, marts, step)
        yield from _of_rows(marts)
        yield from (f"unsettled: {row.reason}" for row in marts.unsettled.values())
        yield from (f"review: {reason}" for health in marts.health.values() for reason in health.reasons)
        yield from _of_corrections(books)
        yield from _of_obligations(books)


def _of_runs(last: Sunday, step: Sunday) -> Iterator[str]:
    if step.as_of == last.as_of:
        yield "a second run of the same night"
    if step.as_of - last.as_of > timedelta(days=11):
        yield "a skipped Sunday"
    if not step.freeze:
        yield "a run that may not freeze"
    if step.terms != last.terms:
        yield "another reserve for one run"
    if step.terms.reserve_closes_at(step.terms.latest_due(step.as_of)) == step.as_of:
        yield "a run exactly when a reserve closes"


def _of_line(line: Line, marts: Marts, step: Sunday) -> Iterator[str]:
    sale = marts.lines.get(f"sale:{line.order_id}", line)
    boundary = step.terms.reserve_closes_at(sale.home_window)
    if line.is_late:
        yield "a late line"
    if line.home_window < step.terms.settlement_start:
        yield "a line of history"
    elif sale.home_window < step.terms.settlement_start:
        yield "a settled line of an order of history"
    if line.kind == "refund" and line.disputes < 0:
        yield "a refund during a dispute"
    if line.kind == "refund" and line.refunds > sale.gross:
        yield "a refund above its order"
    if line.kind == "dispute_opened" and 0 < line.disputes < line.claim:
        yield "a claim above what is left"
    if line.kind == "dispute_closed" and line.disputes < 0:
        yield "a released claim"
    if line.kind == "adjustment":
        return
    assert line.event_at and sale.event_at
    if line.event_at < sale.event_at:
        yield "an event before its sale"
    if line.kind != "sale" and line.event_at == boundary:
        yield "an event exactly at the reserve's end"
    if line.kind != "sale" and line.event_at == boundary - timedelta(microseconds=1):
        yield "an event just before the reserve's end"


def _of_rows(marts: Marts) -> Iterator[str]:
    for row in marts.rows.values():
        yield f"status: {row.status}"
        yield from (f"blocked: {reason}" for reason in row.block_reasons)
        if row.carry_in < 0:
            yield "a debt that rolls"
        if row.payable > 0 and row.carry_out > 0:
            yield "a floor"
        if row.payable > 0 and row.order_count == 0 and row.net == 0 and row.adjustments == 0:
            yield "a payout of money that rolled"
        if row.status == "carried_forward" and row.carry_out > 100:
            yield "an older window frozen with the latest"


def _copy(books: Books) -> Books:
    return replace(
        books,
        adjustments={**books.adjustments},
        payouts={**books.payouts},
        escrow_holds={**books.escrow_holds},
        requests={**books.requests},
        schedules={**books.schedules},
        frozen_rows={**books.frozen_rows},
    )


def _of_holds(before: Books, books: Books, marts: Marts, step: Sunday) -> Iterator[str]:
    if books.escrow_holds != before.escrow_holds:
        yield "a hold whose time is over"
    for key, row in marts.rows.items():
        if not row.held or key in before.frozen_rows:
            continue
        by_people = sum(
            (
                each.amount
                for each in books.escrow_holds.values()
                if each.party == key[1:] and not each.is_over(step.as_of)
            ),
            Decimal(0),
        )
        if by_people > 0:
            yield "held by a person"
        if by_people < row.held:
            yield "held by a guarantee"
        if row.payable and row.carry_out >= row.held:
            yield "a payout of what is not held"
        if row.carry_out + row.payable < row.held:
            yield "more held than there is"


def _of_requests(before: Books, books: Books) -> Iterator[str]:
    if any(request.schedule for request in books.requests.values()):
        yield "a request of a schedule"
    for each in books.schedules.values():
        yield f"schedule: {each.status}"
    for key, row in books.frozen_rows.items() - before.frozen_rows.items():
        asked = [payout for payout in before.payouts.values() if payout.request and payout.party == key[1:]]
        if any(payout.status in HOLDS_MONEY for payout in asked) and row.carry_in > 0:
            yield "a carry-in that a request has lowered"
        if any(payout.status in ("failed", "returned") for payout in asked) and row.payable:
            yield "a payout of requested money that came back"


def _of_late_payments(books: Books) -> Iterator[str]:
    gone = [payout for payout in books.payouts.values() if payout.status in (*IN_TRANSIT, *PAID)]
    for payout in gone:
        for other in books.payouts.values():
            if other.number > payout.number and other.party == payout.party and other.covers & payout.covers:
                yield "a payout that was paid after all"
                if other.status in PAID:
                    yield "a payout that was paid after its money had gone out with another"


def _of_deed(before: Books, done: Change, books: Books) -> Iterator[str]:
    """What a deed shows, by the books before and after it."""
    match done:
        case Denied(deed):
            yield f"denied: {type(deed).__name__}"
            if isinstance(deed, deeds.HandOver) and isinstance(deed.named, str):
                payout = before.payout_of(deed.named)
                is_ready = payout is not None and payout.status == "ready"
                yield "a request that may not leave any more" if is_ready else "a request that is blocked"
        case deeds.Decide(number, verdict):
            wish = before.adjustments[number].wish
            yield f"{verdict}: {wish.kind if wish else None}"
            if any(
                payout.status == "ready" and before.payouts[number].status == "blocked"
                for number, payout in books.payouts.items()
            ):
                yield "a payout freed by a decision"
        case deeds.Deviate():
            if books.payouts != before.payouts:
                yield "a payout blocked by a wish"
        case deeds.Resolve(number, verdict):
            is_executed = "of what was executed" if number in books.executions else "of nothing"
            yield f"{verdict} {is_executed}"
            for new in books.adjustments.keys() - before.adjustments.keys():
                is_credit = books.adjustments[new].of_class == CREDIT
                if verdict == "retry":
                    yield "a retry that takes back what was recorded"
                else:
                    yield "accept with a credit" if is_credit else "accept with a deduction"
        case deeds.Reverse():
            is_new = len(books.adjustments) > len(before.adjustments)
            yield "a reversal" if is_new else "a reversal of what was paid back already"
        case deeds.Word(number) if books.payouts[number].status == "awaiting_reconciliation":
            heard, was = "completed" if done.status == "completed" else "back", before.payouts[number]
            yield f"a question: {heard} after {was.status}"
            if was.status in ("failed", "returned") and before.was_requested(was):
                yield "a payout that was paid after its money was requested"
        case deeds.Execute(number):
            yield f"executed by hand: {books.payouts[number].status}"
        case deeds.Ask(seller_id, currency, amount):
            party = seller_id, currency
            left = before.requestable(party) - before.asked_for(party) - amount
            yield "a request that leaves something" if left else "a request of all that is left"
            if before.asked_for(party):
                yield "a second request"
        case deeds.Answer(number, "rejected"):
            was_approved = before.requests[number].decision == "approved"
            yield "an approved request is rejected" if was_approved else "a request is rejected"


def _of_obligations(books: Books) -> Iterator[str]:
    for each in books.adjustments.values():
        if each.status in ("settled", "cancelled"):
            yield f"{each.status}: {each.of_class}"
            yield f"{each.status}: {each.source}"
        if len(each.settled) > 1:
            yield "a debt that several windows settled"
        if each.bookings().get("write_offs"):
            yield "something that happened is written off"
        if each.payout_window and each.applied_to != each.seller_id:
            yield "an adjustment in another seller's row"
        if each.payout_window and each.not_before:
            yield "an adjustment that was deferred"
        if each.payout_window and each.applied_amount < each.amount:
            yield "an adjustment of another amount"
        if (each.mode, each.of_class) == ("manual", DEDUCTION):
            yield "a policy of the product"


def _of_corrections(books: Books) -> Iterator[str]:
    for line in books.frozen_lines.values():
        if line.kind == "sale":
            order = books.orders[line.source_id]
            for name, was in (
                ("gross_amount", line.gross),
                ("seller_id", line.seller_id),
                ("currency", line.currency),
                ("captured_at", line.event_at),
            ):
                if getattr(order, name) != was:
                    yield f"{name} corrected after the freeze"
            if order.status == "cancelled":
                yield "an order cancelled after the freeze"
        if line.kind == "refund" and books.refunds[line.source_id].order_id != line.order_id:
            yield "a refund moved after the freeze"
        if line.kind == "dispute_closed" and books.disputes[line.source_id].status in ("open", "lost"):
            yield "a verdict revised after the freeze"


EVERY_RULE = {
    "a replay",
    "a second run of the same night",
    "a skipped Sunday",
    "a run that may not freeze",
    "another reserve for one run",
    "a run exactly when a reserve closes",
    "a late line",
    "a line of history",
    "a settled line of an order of history",
    "a refund during a dispute",
    "a refund above its order",
    "a claim above what is left",
    "a released claim",
    "an event before its sale",
    "an event exactly at the reserve's end",
    "an event just before the reserve's end",
    "a debt that rolls",
    "a floor",
    "a payout of money that rolled",
    "a payout that was paid after all",
    "a payout that was paid after its money had gone out with another",
    "an older window frozen with the latest",
    "gross_amount corrected after the freeze",
    "seller_id corrected after the freeze",
    "currency corrected after the freeze",
    "captured_at corrected after the freeze",
    "an order cancelled after the freeze",
    "a refund moved after the freeze",
    "a verdict revised after the freeze",
    *(
        f"denied: {deed}"
        for deed in (
            "HandOver",
            "Propose",
            "ProposeFrom",
            "Apply",
            "Deviate",
            "Decide",
            "Settle",
            "Cancel",
            "Resolve",
            "Reverse",
            "KeepBack",
            "EndHold",
            "Ask",
            "Answer",
        )
    ),
    *(f"approved: {kind}" for kind in ("apply", "skip", "defer", "amount", "out_of_scope")),
    "rejected: apply",
    "a payout blocked by a wish",
    "a payout freed by a decision",
    "accept of what was executed",
    "retry of what was executed",
    "retry of nothing",
    "accept with a credit",
    "accept with a deduction",
    "a retry that takes back what was recorded",
    "a question: completed after submitted",
    "a question: completed after failed",
    "a question: completed after paid",
    "a question: back after paid",
    "executed by hand: paid",
    "executed by hand: awaiting_reconciliation",
    "a reversal",
    "a reversal of what was paid back already",
    "settled: carry_forward_deduction",
    "settled: carry_forward_credit",
    "settled: gross_invoice_fee",
    "settled: manual_cash_recovery",
    "settled: mismatch",
    "settled: restatement",
    "settled: dispute",
    "something that happened is written off",
    "cancelled: gross_invoice_fee",
    "a debt that several windows settled",
    "an adjustment in another seller's row",
    "an adjustment that was deferred",
    "an adjustment of another amount",
    "a policy of the product",
    "a hold whose time is over",
    "held by a person",
    "held by a guarantee",
    "a payout of what is not held",
    "more held than there is",
    "a request that leaves something",
    "a request of all that is left",
    "a second request",
    "a request is rejected",
    "an approved request is rejected",
    "a request that is blocked",
    "a request that may not leave any more",
    "a request of a schedule",
    "a carry-in that a request has lowered",
    "a payout of requested money that came back",
    "a payout that was paid after its money was requested",
    *(
        f"request: {status}"
        for status in (
            "requested",
            "approved",
            "rejected",
            "blocked",
            "submitted",
            "paid",
            "failed",
            "returned",
            "awaiting_reconciliation",
        )
    ),
    *(f"schedule: {status}" for status in ("pending", "processing", "completed", "failed")),
    "status: before_start",
    "status: pending",
    "status: ready",
    "status: blocked",
    "status: carried_forward",
    "status: submitted",
    "status: paid",
    "status: failed",
    "status: returned",
    "status: awaiting_reconciliation",
    "status: reversed",
    "blocked: manual_review",
    "blocked: seller_inactive",
    "blocked: no_rail",
    "blocked: invalid_wallet",
    "blocked: currency_mismatch",
    "blocked: wallet_recently_changed",
    "blocked: on_hold",
    "blocked: exception_pending",
    "unsettled: order_pending",
    "unsettled: order_cancelled",
    "unsettled: order_not_captured",
    "unsettled: order_without_seller",
    "unsettled: order_of_unknown_seller",
    "unsettled: unknown_order",
    "review: low_score",
    "review: dispute_spike",
    "review: volume_spike",
    "review: disputes_without_sales",
}


def test_the_histories_meet_every_rule() -> None:
    assert EVERY_RULE - {situation for seed in CHOSEN_SEEDS for situation in met(seed)} == set()


@pytest.mark.parametrize(
    ("n", "d", "d7", "g", "a", "r", "n7", "g7", "score", "reasons"),
    [
        (400, 1, 0, 40000, 100, 1200, 90, 9000, "100.0", ()),
        (0, 0, 0, 0, 0, 0, 0, 0, "100.0", ()),
        (3, 1, 0, 300, 100, 0, 0, 0, "60.6", ()),
        (1000, 20, 5, 100000, 2000, 5000, 230, 23000, "41.0", ("low_score",)),
    ],
)
def test_scores_of_the_examples(
    n: int, d: int, d7: int, g: int, a: int, r: int, n7: int, g7: int, score: str, reasons: tuple[str, ...]
) -> None:
    seen = Activity(n, d, d7, Decimal(g), Decimal(a), Decimal(r), n7, Decimal(g7))
    assert judge(seen) == (Decimal(score), reasons)


@pytest.mark.parametrize(
    ("debts", "below_zero", "covered"),
    [
        ((100, 50), 150, {}),
        ((100, 50), 70, {"A1": 80}),
        ((100, 50), 30, {"A1": 100, "A2": 20}),
        ((100, 50), 0, {"A1": 100, "A2": 50}),
        # He is below zero for other reasons too.
        ((100, 50), 400, {}),
    ],
)
def test_allocations_of_the_examples(
    debts: tuple[int, ...], below_zero: int, covered: dict[str, int]
) -> None:
    owed = [
        Adjustment(
            number=f"A{number}",
            seller_id="s1",
            currency="USD",
            of_class=DEDUCTION,
            amount=Decimal(amount),
            source="manual",
            source_id=None,
            mode="auto",
            status="applied",
            applied_amount=Decimal(amount),
            applied_to="s1",
        )
        for number, amount in enumerate(debts, start=1)
    ]
    assert settle_oldest_first(owed[::-1], Decimal(below_zero)) == covered


def _refund(day: int, amount: int, fee_refund: int) -> Refund:
    return Refund("r1", "o1", Decimal(amount), Decimal(fee_refund), datetime(2026, 11, day, tzinfo=UTC))


def _dispute(day: int, amount: int, *, name: str = "d1", won_on: int | None = None) -> Dispute:
    closed_at = datetime(2026, 11, won_on, tzinfo=UTC) if won_on else None
    opened_at = datetime(2026, 11, day, tzinfo=UTC)
    status = "won" if won_on else "open"
    return Dispute(name, "o1", Decimal(amount), "fraudulent", status, opened_at, closed_at)


@pytest.mark.parametrize(
    ("events", "changes"),
    [
        ([_dispute(3, 100, won_on=4)], {"dispute_opened:d1": 90, "dispute_closed:d1": -90}),
        ([_refund(3, 30, 3), _dispute(4, 100)], {"refund:r1": 0, "dispute_opened:d1": 63}),
        ([_dispute(3, 100), _refund(4, 100, 10)], {"dispute_opened:d1": 90, "refund:r1": -90}),
        (
            [_dispute(3, 60), _dispute(4, 60, name="d2")],
            {"dispute_opened:d1": 60, "dispute_opened:d2": 30},
        ),
    ],
)
def test_claw_backs_of_the_examples(events: list[RawRow], changes: dict[str, int]) -> None:
    books, sold_at = Books(), datetime(2026, 11, 2, tzinfo=UTC)
    books.put(Seller("s1", "merchant", "APAC", None, None, None, "USDT", "active", sold_at))
    books.put(Order("o1", "s1", "USDT", Decimal(100), Decimal(10), "confirmed", sold_at))
    for row in events:
        books.put(row)
    marts = books.marts(sold_at + timedelta(days=9), Terms(settlement_start=date(2026, 11, 1)))
    found = {line_id: line.disputes for line_id, line in marts.lines.items() if line.kind != "sale"}
    assert found == changes

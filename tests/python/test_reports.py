"""Each figure of the reports, read once more from the tables that people, rails and freezes wrote."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from statistics import median
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from psycopg import Connection, sql
from psycopg.rows import dict_row

from closed_weeks import NIGHTS, SETTINGS, conclude, payout_of
from compiled_build import Build
from weekclose.database import open_connection
from weekclose.policy import effective_vars
from weekclose.postgres import Server

Row = dict[str, Any]
Report = dict[tuple[Any, ...], Row]

ZONE = ZoneInfo(SETTINGS["settlement_timezone"])
SECOND = date(2026, 11, 1)
FOREVER = datetime.max.replace(tzinfo=UTC)
NONE = Decimal("0.00")
PAID, FAILED = ("paid", "reversed"), ("failed", "returned")

# By how many columns a row is found.
REPORTS = {
    "payment_success": 5,
    "fee_collection": 2,
    "request_patterns": 4,
    "seller_payment_behaviour": 2,
    "chargeback_losses": 2,
    "automation_kpis": 1,
}


# A third week: the second window is decided on and handed over, and what follows from it.


@pytest.fixture(scope="module")
def later(closed_weeks: Server, build: Build) -> Iterator[Connection[Any]]:
    """A copy of the closed weeks in which the second window has left."""
    name = f"weekclose_test_{uuid4().hex[:12]}"
    with open_connection(replace(closed_weeks, dbname="postgres")) as admin:
        admin.execute(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(name), sql.Identifier(closed_weeks.dbname)
            )
        )
        try:
            with open_connection(replace(closed_weeks, dbname=name)) as conn:
                _decide(conn)
                _hand_over(conn)
                _request(conn)
                _dispute(conn)
                _build_chargebacks(conn, build)
                yield conn
        finally:
            admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def _decide(conn: Connection[Any]) -> None:
    """hanna holds gil and steady, thinks better of gil, and knows fay."""
    for query in (
        "select payouts.hold(%s, 'gil', 'odd', 'hanna')",
        "select payouts.hold(%s, 'steady', 'odd', 'hanna')",
        "select payouts.release(%s, 'gil', 'a mistake', 'hanna')",
    ):
        conn.execute(query, [SECOND])
    conn.execute("select payouts.clear('fay', 'known', 'hanna')")


def _hand_over(conn: Connection[Any]) -> None:
    """The rail refuses the batch once. Then anna and gil are paid, fay's comes back, sven's fails."""
    _leave(conn, f"W{SECOND}-G1")
    conn.execute("select payouts.take_refusal(%s, '{\"message\": \"later\"}', 'olga')", [f"W{SECOND}-G1"])
    _leave(conn, f"W{SECOND}-G2")
    conn.execute("select payouts.take_receipt(%s, 'pb_2', 'olga')", [f"W{SECOND}-G2"])
    for seller_id in ("anna", "gil", "fay"):
        conclude(conn, payout_of(conn, seller_id, SECOND), "completed", None)
    conclude(conn, payout_of(conn, "fay", SECOND), "returned", None, reason="no such account")
    conn.execute(
        "select payouts.confirm(%s, clock_timestamp(), jsonb_build_array(jsonb_build_object("
        " 'reference', payout_number, 'status', 'failed', 'final', true, 'amount', amount,"
        " 'failure_code', 'R03', 'failure_reason', 'no account')), 'olga')"
        " from payouts.payouts where seller_id = 'sven'",
        [f"W{SECOND}-G2"],
    )


def _leave(conn: Connection[Any], batch: str) -> None:
    digest = conn.execute("select content_digest from payouts.batches where batch_id = %s", [batch])
    [seen] = digest.fetchone() or [None]
    if batch.startswith("W"):
        conn.execute("select payouts.approve(%s, %s, 'karl')", [SECOND, seen])
    conn.execute("select payouts.claim_batch(%s, %s, 'batch', 'body', 'olga')", [batch, seen])


def _request(conn: Connection[Any]) -> None:
    """Of what fay has again: one request is paid, one waits, one of a schedule is rejected."""

    def number(query: str) -> str:
        row = conn.execute(query.encode()).fetchone()
        assert row is not None
        return str(row[0])

    asked = "select payouts.request_payout('fay', 'USD', {}, 'rent', 'olga')"
    paid = number(asked.format("5.00"))
    conn.execute("select payouts.approve_request(%s, 'karl')", [paid])
    _leave(conn, f"{paid}-G1")
    conn.execute("select payouts.take_receipt(%s, 'pb_3', 'olga')", [f"{paid}-G1"])
    own = number(f"select payout_number from payouts.payouts where request_number = '{paid}'")
    conclude(conn, own, "completed", None)
    number(asked.format("6.00"))
    schedule = number(
        "select payouts.create_schedule('fay', 'USD', 7.00, 'milestone_reached', null, null, 'half done',"
        " 'olga')"
    )
    conn.execute("select payouts.trigger_schedule(%s, 'olga')", [schedule])
    conn.execute(
        "select payouts.reject_request(request_number, 'too early', 'karl') from payouts.payout_requests"
        " where schedule_number = %s",
        [schedule],
    )


def _dispute(conn: Connection[Any]) -> None:
    """What the next build would find: of f1 60 of 100 are disputed and not yet frozen, of g1 50 were and are
    won; of e1 all is refunded already, so that nothing can be clawed back."""
    conn.execute(
        "insert into raw.disputes (dispute_id, order_id, amount, reason, status, opened_at, closed_at) values"
        " ('df1', 'f1', 60, 'fraud', 'lost', '2026-11-14 09:00-05', '2026-11-15 09:00-05'),"
        " ('dg1', 'g1', 50, 'fraud', 'won', '2026-11-14 09:00-05', '2026-11-15 09:00-05'),"
        " ('de1', 'e1', 100, 'fraud', 'open', '2026-11-14 09:00-05', null)"
    )
    conn.execute(
        "insert into intermediate.int_order_events (line_id, payout_window, seller_id, currency, order_id,"
        " kind, source_id, event_at, order_window, home_window, gross, fees, refunds, disputes,"
        " source_amount, clawed_back, has_break, loaded_at)"
        " select kind || ':' || id, '2026-11-08', seller, 'USD', order_id, kind, id, at::timestamptz,"
        " '2026-10-25', '2026-11-01', 0, 0, 0, clawed, claimed, 0, false, now()"
        " from (values ('dispute_opened', 'df1', 'fay', 'f1', '2026-11-14 09:00-05', 60, -60),"
        " ('dispute_opened', 'dg1', 'gil', 'g1', '2026-11-14 09:00-05', 50, -50),"
        " ('dispute_closed', 'dg1', 'gil', 'g1', '2026-11-15 09:00-05', -50, 50),"
        " ('dispute_opened', 'de1', 'eve', 'e1', '2026-11-14 09:00-05', 0, -100))"
        " as lines (kind, id, seller, order_id, at, clawed, claimed)"
    )


def _build_chargebacks(conn: Connection[Any], build: Build) -> None:
    """As the next build would, which touches these orders."""
    conn.execute(
        "insert into intermediate.int_touched_orders"
        " select distinct order_id from intermediate.int_order_events on conflict do nothing"
    )
    build.again(conn, effective_vars(SETTINGS, NIGHTS[-1]), "int_order_chargebacks")


# What the tables say.


@dataclass(frozen=True)
class Books:
    """Each table of the schemas payouts and raw, row by row."""

    tables: dict[str, list[Row]]

    def __getitem__(self, name: str) -> list[Row]:
        return self.tables[name]

    def by(self, name: str, column: str) -> dict[Any, list[Row]]:
        found: dict[Any, list[Row]] = defaultdict(list)
        for row in self[name]:
            found[row[column]].append(row)
        return found

    @property
    def sellers(self) -> dict[str, Row]:
        return {row["seller_id"]: row for row in self["sellers"]}


def _books(conn: Connection[Any]) -> Books:
    names = conn.execute(
        "select schemaname, tablename from pg_tables where schemaname in ('payouts', 'raw')"
        " union select 'intermediate', 'int_order_events'"
    ).fetchall()
    with conn.cursor(row_factory=dict_row) as cursor:
        return Books(
            {
                table: cursor.execute(
                    sql.SQL("select * from {}").format(sql.Identifier(schema, table))
                ).fetchall()
                for schema, table in names
            }
        )


def _report(conn: Connection[Any], name: str) -> Report:
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(sql.SQL("select * from marts.{}").format(sql.Identifier(name))).fetchall()
    keyed = {tuple(row.values())[: REPORTS[name]]: dict(list(row.items())[REPORTS[name] :]) for row in rows}
    assert len(keyed) == len(rows)
    return keyed


def _rate(part: int | Decimal, whole: int | Decimal) -> Decimal | None:
    return (Decimal(part) / whole).quantize(Decimal("0.000001"), ROUND_HALF_UP) if whole else None


def _total(rows: Iterable[Row], column: str = "amount") -> Decimal:
    return sum((row[column] for row in rows), NONE)


def _window(at: datetime) -> date:
    day = at.astimezone(ZONE).date()
    return day - timedelta(days=(day.weekday() + 1) % 7)


def _middle(seconds: Iterable[float | None], unit: int = 1, digits: float = 0.002) -> Any:
    """The median, as far as it survives rounding; nothing of nothing."""
    known = [each for each in seconds if each is not None]
    return pytest.approx(Decimal(median(known) / unit), abs=Decimal(str(digits))) if known else None


def _newest(rows: Iterable[Row], column: str) -> Any:
    return max((row[column] for row in rows), default=None)


def _between(begin: datetime | None, end: datetime | None) -> float | None:
    return (end - begin).total_seconds() if begin and end else None


def _steps(books: Books) -> dict[str, set[str]]:
    """The kinds of what was booked of each payout."""
    kinds = {row["transaction_id"]: row["kind"] for row in books["ledger_transactions"]}
    found: dict[str, set[str]] = defaultdict(set)
    for entry in books["ledger_entries"]:
        found[entry["payout_number"]].add(kinds[entry["transaction_id"]])
    return found


def payment_success(books: Books) -> Report:
    reversals = {row["payout_number"]: row["reason"] for row in books["reversals"]}
    resolved = {row["payout_number"] for row in books["resolutions"]}
    steps, items = _steps(books), books.by("batch_items", "payout_number")

    def reason(payout: Row) -> str:
        if payout["status"] in FAILED:
            return str(payout["failure_code"] or payout["failure_reason"])
        return {
            "reversed": str(reversals.get(payout["payout_number"])),
            "blocked": ", ".join(payout["block_reasons"]),
            "awaiting_reconciliation": "awaiting_reconciliation",
        }.get(payout["status"], "none")

    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for payout in books["payouts"]:
        region = books.sellers[payout["seller_id"]]["region"]
        key = payout["payout_window"], payout["currency"], payout["rail"] or "none", region, reason(payout)
        groups[key].append(payout)

    def first_try(payout: Row) -> bool:
        number = payout["payout_number"]
        troubles = {"release", "fail", "return", "reopen"}
        return payout["status"] in PAID and number not in resolved and not steps[number] & troubles

    def row(key: tuple[Any, ...], payouts: list[Row]) -> Row:
        own: Row = {"payout_count": len(payouts), "amount": _total(payouts)}
        outcomes = {
            "executed": PAID,
            "failed": ("failed",),
            "returned": ("returned",),
            "blocked": ("blocked",),
            "open": ("ready", "submitted", "awaiting_reconciliation"),
            "reversed": ("reversed",),
        }
        for name, statuses in outcomes.items():
            such = [payout for payout in payouts if payout["status"] in statuses]
            own |= {f"{name}_count": len(such), f"{name}_amount": _total(such)}
        alike = [each for other, found in groups.items() if other[:4] == key[:4] for each in found]
        ended = [each for each in alike if each["status"] in PAID + FAILED]
        return own | {
            "attempt_count": sum(len(items[each["payout_number"]]) for each in payouts),
            "first_try_count": sum(map(first_try, payouts)),
            "success_rate": _rate(sum(each["status"] in PAID for each in ended), len(ended)),
            "first_try_rate": _rate(sum(map(first_try, alike)), len(ended)),
        }

    return {key: row(key, payouts) for key, payouts in groups.items()}


def fee_collection(books: Books) -> Report:
    lines: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    invoices: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for line in books["frozen_lines"]:
        lines[line["payout_window"], line["currency"]].append(line)
    for owed in books["adjustments"]:
        if owed["class"] == "gross_invoice_fee" and owed["status"] in ("applied", "settled"):
            invoices[_window(owed["approved_at"]), owed["currency"]].append(owed)

    def row(key: tuple[Any, ...]) -> Row:
        sales = [line for line in lines[key] if line["kind"] == "sale"]
        paid = [each for each in invoices[key] if each["settled_at"]]
        unpaid = [each for each in invoices[key] if not each["settled_at"]]
        return {
            "gross": _total(sales, "gross"),
            "sale_fees": _total(sales, "fees"),
            "fee_refunds": -_total((each for each in lines[key] if each["kind"] == "refund"), "fees"),
            "invoice_count": len(invoices[key]),
            "invoiced_paid": _total(paid, "applied_amount"),
            "invoiced_open": _total(unpaid, "applied_amount"),
            "net_fees": _total(lines[key], "fees") + _total(invoices[key], "applied_amount"),
            "fee_rate": _rate(_total(sales, "fees"), _total(sales, "gross")),
        }

    return {key: row(key) for key in {*lines, *invoices}}


def request_patterns(books: Books) -> Report:
    triggers = {row["schedule_number"]: row["trigger_event"] for row in books["payout_schedules"]}
    payouts = {row["request_number"]: row for row in books["payouts"] if row["request_number"]}
    executions = books.by("executions", "payout_number")
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for request in books["payout_requests"]:
        groups[
            _window(request["requested_at"]),
            request["currency"],
            books.sellers[request["seller_id"]]["seller_type"],
            triggers.get(request["schedule_number"], "none"),
        ].append(request)

    def row(requests: list[Row]) -> Row:
        of = {
            decision: [each for each in requests if each["decision"] == decision]
            for decision in (None, "approved", "rejected")
        }
        paid = [each for each in requests if _status(each) in PAID]
        return {
            "request_count": len(requests),
            "amount": _total(requests),
            "undecided_count": len(of[None]),
            "approved_count": len(of["approved"]),
            "approved_amount": _total(of["approved"]),
            "rejected_count": len(of["rejected"]),
            "rejected_amount": _total(of["rejected"]),
            "paid_count": len(paid),
            "paid_amount": _total(paid),
            "failed_count": sum(_status(each) in FAILED for each in requests),
            "approval_rate": _rate(len(of["approved"]), len(requests) - len(of[None])),
            "rejection_rate": _rate(len(of["rejected"]), len(requests) - len(of[None])),
            "median_seconds_to_decision": _middle(
                _between(each["requested_at"], each["decided_at"]) for each in requests
            ),
            "median_seconds_to_payment": _middle(
                _between(each["requested_at"], _newest(executions[_number(each)], "noted_at"))
                for each in paid
            ),
        }

    def _status(request: Row) -> Any:
        return payouts.get(request["request_number"], {}).get("status")

    def _number(request: Row) -> Any:
        return payouts[request["request_number"]]["payout_number"]

    return {key: row(requests) for key, requests in groups.items()}


def seller_payment_behaviour(books: Books) -> Report:
    ends = {row["payout_window"]: row["window_ends_at"] for row in books["frozen_windows"]}
    executions = books.by("executions", "payout_number")
    debts = {
        (row["seller_id"], row["currency"], row["account"]): max(NONE, -row["balance"])
        for row in books["account_balances"]
    }

    def row(seller_id: str, currency: str) -> Row:
        rows, payouts = (
            [row for row in books[table] if (row["seller_id"], row["currency"]) == (seller_id, currency)]
            for table in ("frozen_rows", "payouts")
        )
        statuses = [payout["status"] for payout in payouts]
        paid = [payout for payout in payouts if payout["status"] in PAID]
        failed = sum(status in FAILED for status in statuses)
        times = {
            each["payout_number"]: _newest(executions[each["payout_number"]], "executed_at") for each in paid
        }
        return {
            "window_count": len(rows),
            "paid_count": len(paid),
            "reversed_count": statuses.count("reversed"),
            "failed_count": failed,
            "blocked_count": statuses.count("blocked"),
            "open_count": len(statuses) - len(paid) - failed - statuses.count("blocked"),
            "carried_count": sum(row["status"] == "carried_forward" for row in rows),
            "negative_count": sum(row["carry_out"] < 0 for row in rows),
            "paid_amount": _total(paid),
            "average_payout": (
                (_total(paid) / len(paid)).quantize(Decimal("0.01"), ROUND_HALF_UP) if paid else None
            ),
            "first_paid_at": min(times.values(), default=None),
            "last_paid_at": max(times.values(), default=None),
            "median_days_to_paid": _middle(
                (_between(ends[each["payout_window"]], times[each["payout_number"]]) for each in paid),
                86400,
                0.006,
            ),
            "failed_rate": _rate(failed, failed + len(paid)),
            "debt_in_balance": debts.get((seller_id, currency, "seller_payable"), NONE),
            "debt_beside_balance": debts.get((seller_id, currency, "seller_obligations"), NONE),
        }

    return {
        (seller_id, currency): row(seller_id, currency)
        for seller_id, currency in {(row["seller_id"], row["currency"]) for row in books["frozen_rows"]}
    }


def chargeback_losses(books: Books) -> Report:
    """From the raw rows: a dispute is late from the end of the order's reserve on, and takes from the seller
    what he still has of the order. What a freeze has released stays released, whatever the raw row says
    later. None of these orders has two disputes."""
    orders = {row["order_id"]: row for row in books["orders"]}
    refunds = books.by("refunds", "order_id")
    frozen = {row["line_id"] for row in books["frozen_lines"]}
    below = {
        (row["seller_id"], row["currency"]): -row["balance"]
        for row in books["account_balances"]
        if row["account"] == "seller_payable" and row["balance"] < 0
    }
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    # The youngest are still owed.
    for dispute in sorted(books["disputes"], key=lambda row: row["opened_at"], reverse=True):
        order = orders[dispute["order_id"]]
        window = _window(order["captured_at"])
        closes = datetime.combine(window + timedelta(days=14), time(), ZONE)
        if dispute["opened_at"] < closes:
            continue
        has = order["gross_amount"] - order["fee_amount"]
        has -= sum(each["amount"] - each["fee_refund_amount"] for each in refunds[dispute["order_id"]])
        is_released = dispute["status"] in ("won", "withdrawn")
        is_released |= f"dispute_closed:{dispute['dispute_id']}" in frozen
        released = dispute["amount"] if is_released else NONE
        committed = dispute["amount"] - released
        clawed = min(committed, max(NONE, has))
        owed = clawed
        if f"dispute_opened:{dispute['dispute_id']}" in frozen:
            owner = order["seller_id"], order["currency"]
            owed = min(clawed, below.get(owner, NONE))
            below[owner] = below.get(owner, NONE) - owed
        is_closed = books.sellers[order["seller_id"]]["status"] == "closed"
        groups[window, order["currency"]].append(
            {
                "disputed": dispute["amount"],
                "released": released,
                "committed": committed,
                "undecided": committed if dispute["status"] == "open" else NONE,
                "clawed_back": clawed,
                "recovered": clawed - owed,
                "outstanding": NONE if is_closed else owed,
                "lost": committed - clawed + (owed if is_closed else 0),
            }
        )

    def row(disputes: list[Row]) -> Row:
        sums = {name: _total(disputes, name) for name in disputes[0]}
        return (
            {"order_count": len(disputes), "dispute_count": len(disputes)}
            | sums
            | {
                "recovery_rate": _rate(sums["recovered"], sums["committed"]),
                "loss_rate": _rate(sums["lost"], sums["committed"]),
            }
        )

    return {key: row(disputes) for key, disputes in groups.items()}


def _departures(books: Books) -> dict[str, list[tuple[datetime, bool]]]:
    """When each payout left, and whether it was let go again."""
    attempts = books.by("submit_attempts", "batch_id")
    return {
        number: [
            (min(each["started_at"] for each in attempts[item["batch_id"]]), item["released_at"] is not None)
            for item in items
        ]
        for number, items in books.by("batch_items", "payout_number").items()
    }


def _kept(books: Books) -> dict[str, list[tuple[datetime, datetime]]]:
    """Of each payout, from when until when something was to keep it, unless it had left before."""
    found: dict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    freezes = sorted((row["payout_window"], row["frozen_at"]) for row in books["frozen_windows"])
    ends = [at for _, at in freezes[1:]] + [FOREVER]
    until = {window: end for (window, _), end in zip(freezes, ends, strict=True)}
    owed = {row["adjustment_number"]: row for row in books["adjustments"]}
    departures = _departures(books)
    for payout in books["payouts"]:
        number, window = payout["payout_number"], payout["payout_window"]
        for hold in books["holds"]:
            if (hold["seller_id"], hold["payout_window"], None) == (
                payout["seller_id"],
                window,
                payout["request_number"],
            ):
                found[number].append((hold["held_at"], hold["released_at"] or FOREVER))
        for wish in books["exceptions"]:
            about = owed[wish["adjustment_number"]]
            sellers = {about["seller_id"], about["applied_to"], wish["to_seller"]}
            begin, end = wish["requested_at"], wish["decided_at"] or FOREVER
            if (
                payout["seller_id"] in sellers
                and payout["currency"] == about["currency"]
                and payout["created_at"] < end
                and begin < until[window]
                and all(left >= begin for left, _ in departures.get(number, []))
            ):
                found[number].append((begin, end))
    return found


def _touched(books: Books) -> set[str]:
    freezes = sorted(books["frozen_windows"], key=lambda row: row["payout_window"])
    owed = {row["adjustment_number"]: row for row in books["adjustments"]}
    found = set(_kept(books))
    found |= {row["payout_number"] for row in books["executions"] if row["source"] == "manual"}
    found |= {row["payout_number"] for table in ("resolutions", "reversals") for row in books[table]}
    for payout in books["payouts"]:
        for clearance in books["clearances"]:
            newest = [row for row in freezes if row["frozen_at"] <= clearance["cleared_at"]][-1:]
            if (
                clearance["seller_id"] == payout["seller_id"]
                and newest[0]["payout_window"] == (payout["payout_window"])
            ):
                found.add(payout["payout_number"])
        for wish in books["exceptions"]:
            about = owed[wish["adjustment_number"]]
            if (about["payout_window"], about["currency"]) == (
                payout["payout_window"],
                payout["currency"],
            ) and payout["seller_id"] in (about["seller_id"], about["applied_to"], wish["to_seller"]):
                found.add(payout["payout_number"])
    return found


def _changes(books: Books) -> dict[date, list[tuple[str, datetime]]]:
    """What moved money: window by window, the entity and the time, once for each transaction."""
    payouts = {row["payout_number"]: row for row in books["payouts"]}
    transactions = {row["transaction_id"]: row for row in books["ledger_transactions"]}
    found: dict[tuple[date, str, str], datetime] = {}
    for entry in books["ledger_entries"]:
        if entry["payout_number"]:
            booked = transactions[entry["transaction_id"]]
            is_batch = booked["kind"] in ("submit", "release")
            entity = f"batch:{booked['reference']}" if is_batch else f"payout:{entry['payout_number']}"
            key = payouts[entry["payout_number"]]["payout_window"], entity, booked["booked_in"]
            found[key] = min(found.get(key, FOREVER), booked["booked_at"])
    changes: dict[date, list[tuple[str, datetime]]] = defaultdict(list)
    for (window, entity, _), at in found.items():
        changes[window].append((entity, at))
    for frozen in books["frozen_windows"]:
        changes[frozen["payout_window"]].append((f"window:{frozen['payout_window']}", frozen["frozen_at"]))
    for reversal in books["reversals"]:
        window = payouts[reversal["payout_number"]]["payout_window"]
        changes[window].append((f"payout:{reversal['payout_number']}", reversal["reversed_at"]))
    return changes


def _is_audited(books: Books, change: tuple[str, datetime], changes: list[tuple[str, datetime]]) -> bool:
    entity, at = change
    until = min((other for name, other in changes if name == entity and other > at), default=FOREVER)
    besides = {"hold", "release", "adjust freeze", "proof replace"}
    return any(
        row["entity"] == entity and at <= row["at"] < until and row["action"] not in besides
        for row in books["audit_log"]
    )


def automation_kpis(books: Books) -> Report:
    kept, touched, departures = _kept(books), _touched(books), _departures(books)
    executions = books.by("executions", "payout_number")

    def processing(payout: Row) -> float | None:
        left = departures.get(payout["payout_number"], [])
        claimed = min((at for at, is_released in left if not is_released), default=None)
        return _between(claimed, _newest(executions[payout["payout_number"]], "noted_at"))

    def has_left(payout: Row) -> bool:
        return any(
            begin <= left < end
            for begin, end in kept[payout["payout_number"]]
            for left, _ in departures.get(payout["payout_number"], [])
        )

    def row(window: date, changes: list[tuple[str, datetime]]) -> Row:
        payouts = [each for each in books["payouts"] if each["payout_window"] == window]
        paid = [each for each in payouts if each["status"] in PAID]
        automated = sum(each["payout_number"] not in touched for each in paid)
        manual = sum(each["payout_number"] in touched for each in payouts)
        under = [each for each in payouts if each["payout_number"] in kept]
        escrow = [each for each in books["frozen_rows"] if each["payout_window"] == window and each["held"]]
        broken = sum(map(has_left, under))
        broken += sum(each["payable"] > 0 and each["carry_out"] < each["held"] for each in escrow)
        stays = len(under) + len(escrow)
        audited = sum(_is_audited(books, change, changes) for change in changes)
        return {
            "payout_count": len(payouts),
            "paid_count": len(paid),
            "automated_count": automated,
            "automated_rate": _rate(automated, len(paid)),
            "automated_target": Decimal("0.95"),
            "manual_count": manual,
            "manual_intervention_rate": _rate(manual, len(payouts)),
            "manual_intervention_limit": Decimal("0.05"),
            "median_processing_seconds": _middle(processing(each) for each in paid),
            "kept_count": stays,
            "left_while_kept_count": broken,
            "hold_compliance": _rate(stays - broken, stays),
            "hold_compliance_target": 1,
            "change_count": len(changes),
            "audited_count": audited,
            "audit_coverage": _rate(audited, len(changes)),
            "audit_coverage_target": 1,
        }

    return {(window,): row(window, changes) for window, changes in _changes(books).items()}


READINGS: dict[str, Callable[[Books], Report]] = {
    "payment_success": payment_success,
    "fee_collection": fee_collection,
    "request_patterns": request_patterns,
    "seller_payment_behaviour": seller_payment_behaviour,
    "chargeback_losses": chargeback_losses,
    "automation_kpis": automation_kpis,
}


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_says_what_the_tables_say(later: Connection[Any], name: str) -> None:
    found = _report(later, name)
    assert found
    assert found == READINGS[name](_books(later))


# What is against the rules, or came after another freeze, in history as nobody can write it: the guards are
# off.
AGAINST_THE_RULES: dict[str, tuple[str, str, tuple[Any, ...], Row]] = {
    "a payout on hold leaves": (
        "insert into payouts.batch_items (batch_id, payout_number, seller_id, currency)"
        f" select 'W{SECOND}-G2', payout_number, seller_id, currency from payouts.payouts"
        " where seller_id = 'steady'",
        "automation_kpis",
        (SECOND,),
        {"left_while_kept_count": 1, "hold_compliance": Decimal("0.666667")},
    ),
    "what a hold keeps is paid": (
        f"update payouts.frozen_rows set held = 1 where seller_id = 'anna' and payout_window = '{SECOND}'",
        "automation_kpis",
        (SECOND,),
        {"kept_count": 4, "left_while_kept_count": 1, "hold_compliance": Decimal("0.750000")},
    ),
    "nobody notes a payment": (
        "delete from payouts.audit_log where action = 'paid' and entity = ("
        "select 'payout:' || payout_number from payouts.payouts"
        f" where seller_id = 'anna' and payout_window = '{SECOND}')",
        "automation_kpis",
        (SECOND,),
        {"audited_count": 10, "audit_coverage": Decimal("0.769231")},
    ),
    "nobody notes a hand-over": (
        f"delete from payouts.audit_log where action = 'submit' and entity = 'batch:W{SECOND}-G1'",
        "automation_kpis",
        (SECOND,),
        {"audited_count": 10, "audit_coverage": Decimal("0.769231")},
    ),
    "a disputed order's seller owes": (
        "update payouts.account_balances set balance = -30 where seller_id = 'rosa'",
        "chargeback_losses",
        (date(2026, 10, 18), "USD"),
        {"recovered": Decimal(60), "outstanding": Decimal(30), "recovery_rate": Decimal("0.600000")},
    ),
    "and is gone": (
        "update payouts.account_balances set balance = -30 where seller_id = 'rosa';"
        " update raw.sellers set status = 'closed' where seller_id = 'rosa'",
        "chargeback_losses",
        (date(2026, 10, 18), "USD"),
        {
            "recovered": Decimal(60),
            "lost": Decimal(40),
            "recovery_rate": Decimal("0.600000"),
            "loss_rate": Decimal("0.400000"),
        },
    ),
    "a verdict is revised after its freeze": (
        "insert into payouts.frozen_lines (line_id, payout_window, seller_id, currency, order_id, kind,"
        " source_id, event_at, order_window, home_window, gross, fees, refunds, disputes, adjustments,"
        " source_amount)"
        " select line_id, payout_window, seller_id, currency, order_id, kind, source_id, event_at,"
        " order_window, home_window, gross, fees, refunds, disputes, 0, source_amount"
        " from intermediate.int_order_events where source_id = 'dg1';"
        " update raw.disputes set status = 'open', closed_at = null where dispute_id = 'dg1'",
        "chargeback_losses",
        (date(2026, 10, 25), "USD"),
        {},
    ),
}


@pytest.mark.parametrize("case", AGAINST_THE_RULES)
def test_a_report_shows_what_went_wrong(later: Connection[Any], build: Build, case: str) -> None:
    seed, name, key, changed = AGAINST_THE_RULES[case]
    before = _report(later, name)
    with later.transaction(force_rollback=True):
        later.execute("set local session_replication_role = replica")
        later.execute(seed.encode())
        _build_chargebacks(later, build)
        found = _report(later, name)
        assert found == READINGS[name](_books(later))
    assert found == before | {key: before[key] | changed}


def test_the_reports_agree_with_each_other_and_with_the_ledger(later: Connection[Any]) -> None:
    def sums(query: str) -> dict[tuple[Any, ...], Decimal]:
        return {tuple(key): amount for *key, amount in later.execute(query.encode())}

    assert sums("select currency, sum(net_fees) from marts.fee_collection group by currency") == sums(
        "select currency, sum(balance) from payouts.account_balances where account = 'platform_fees'"
        " group by currency"
    )
    assert sums(
        "select payout_window, currency, sum(amount) from marts.payment_success"
        " group by payout_window, currency"
    ) == sums(
        "select payout_window, currency, sum(promised) from ("
        "select payout_window, currency, payable as promised from payouts.frozen_rows where payable > 0"
        " union all select payout_window, currency, amount from payouts.payouts"
        " where request_number is not null) as promises group by payout_window, currency"
    )
    paid = sums("select currency, sum(executed_amount) from marts.payment_success group by currency")
    assert paid == sums(
        "select currency, sum(paid_amount) from marts.seller_payment_behaviour group by currency"
    )
    assert {key: amount for key, amount in paid.items() if amount} == sums(
        "select currency, sum(amount) from payouts.ledger_entries where account = 'payouts_paid'"
        " group by currency"
    )

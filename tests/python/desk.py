"""People with logins who run the command on one database, and what has to be true after all that they did."""

import io
import itertools
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from psycopg import Connection
from psycopg.types.json import Jsonb

from frozen_window import FREEZER, OPERATOR, WALLET, one
from sample_documents import pdf
from test_roles import created_login
from tuesday import empty, marts  # noqa: F401
from weekclose import cli, decisions
from weekclose.database import open_connection
from weekclose.postgres import Server

# Two who may propose, so that there is another one; `boris` holds two roles and is still one person.
PEOPLE: Mapping[str, tuple[str, ...]] = {
    "olga": ("operator",),
    "otto": ("operator",),
    "anna": ("approver",),
    "rita": ("reconciler",),
    "ada": ("admin",),
    "bill": ("billing",),
    "boris": ("operator", "approver"),
    "saul": ("operator", "reconciler"),
    "arne": ("auditor",),
    "lena": ("analyst",),
    "dirk": ("dbt",),
    "nobody": (),
}

# What a freeze reads of a build.
BUILT = ("int_window_rows", "int_order_events", "int_adjustment_lines")
BUILT_ROW = """
insert into intermediate.int_window_rows (
    payout_window, seller_id, currency, gross, fees, refunds, net, disputes, adjustments, carry_in, payable,
    carry_out, rail, destination, status, block_reasons, order_count, late_line_count, held, window_ends_at,
    reserve_closes_at, as_of
)
values (
    %(window)s, %(seller)s, %(currency)s, %(earned)s, 0, 0, %(earned)s, %(disputed)s, %(adjusted)s,
    %(carried)s, %(payable)s, %(left)s, 'TRC-20', %(wallet)s, %(status)s, '{}', 1, 0, 0,
    %(ends)s, %(closes)s, %(closes)s
)
"""
BUILT_LINE = """
insert into intermediate.int_order_events (
    line_id, payout_window, seller_id, currency, order_id, kind, source_id, event_at, order_window,
    home_window, gross, fees, refunds, disputes, source_amount, clawed_back, has_break
)
values (
    %(line)s, %(window)s, %(seller)s, %(currency)s, %(id)s, %(kind)s, %(id)s, %(at)s, %(window)s, %(window)s,
    %(earned)s, 0, 0, %(disputed)s, %(amount)s, 0, false
)
"""


@dataclass(frozen=True)
class Said:
    """What a command answered. In it logins have the names of PEOPLE; `ledger` is what it says it booked."""

    code: int
    out: bytes
    err: str
    ledger: tuple[str, ...]

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def word(self) -> str:
        """The one word on stdout, as a script would take it."""
        [word] = self.out.decode().split()
        return word


@dataclass(frozen=True)
class Desk:
    """`owner` is believed whatever he says, and reads everything."""

    owner: Connection[Any]
    of: Mapping[str, Server]
    files: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def run(self, who: str, *arguments: object, **environment: str) -> Said:
        """The command as a person with that login runs it, in this process: `cli.main` only adds the exit."""
        answer, err = io.BytesIO(), io.StringIO()
        out = io.TextIOWrapper(answer, encoding="utf-8")
        own = {"DATABASE_URL": self.of[who].url, "WEEKCLOSE_ACTOR": ""} | environment
        with pytest.MonkeyPatch.context() as patch:
            for name, value in own.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["weekclose", *map(str, arguments)])
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            code = cli._run()
        out.flush()
        said = err.getvalue()
        for name, login in self.of.items():
            said = said.replace(login.user, name)
        lines = said.splitlines(keepends=True)
        booked = tuple(line.strip() for line in lines if line.startswith("ledger: "))
        others = "".join(line for line in lines if not line.startswith("ledger: "))
        return Said(code, answer.getvalue(), others, booked)

    def does(self, who: str, *arguments: object, **environment: str) -> Said:
        """As `run`, for what works."""
        said = self.run(who, *arguments, **environment)
        assert said.code == 0, (who, arguments, said.err)
        return said

    def refused(self, who: str, *arguments: object, code: int = 3, **environment: str) -> str:
        """As `run`, for what must not work; the one line that says why. No table of the books has changed."""
        before = self.books()
        said = self.run(who, *arguments, **environment)
        assert (said.code, said.out) == (code, b""), (who, arguments, said)
        assert self.books() == before, (who, arguments)
        assert said.err.startswith("weekclose: ")
        assert said.err.count("\n") == 1, said.err
        return said.err.removeprefix("weekclose: ").rstrip("\n")

    def books(self) -> list[tuple[str, str]]:
        """Each table in the schema payouts, with a digest of its rows."""
        tables = self.owner.execute("select tablename from pg_tables where schemaname = 'payouts'").fetchall()
        digests = (
            f"select '{table}', md5(string_agg(each::text, '|' order by each::text))"
            f" from payouts.{table} as each"
            for (table,) in tables
        )
        return self.owner.execute(" union all ".join(digests).encode()).fetchall()

    def name(self, who: str) -> str:
        return self.of[who].user

    def file(self, content: bytes | None = None, name: str = "proof.pdf") -> Path:
        """A proof that no other one is, or a file with this content."""
        number = next(self.numbers)
        path = self.files / f"{number}-{name}"
        path.write_bytes(pdf(f"proof {number}") if content is None else content)
        return path

    def propose(
        self,
        amount: str,
        of_class: str = "carry_forward_deduction",
        *more: object,
        seller: str = "s1",
        who: str = "olga",
        currency: str = "USD",
    ) -> str:
        """Propose an adjustment, with what the class needs anyhow. Its number."""
        needed: list[object] = ["--class", of_class, "--currency", currency, "--amount", amount]
        # No two are alike: the same once more is a command that was repeated.
        needed += ["--note", f"as agreed on {next(self.numbers)}"]
        if of_class == "gross_invoice_fee":
            needed += ["--invoice", "INV-1"]
        if of_class == "manual_cash_recovery":
            needed += ["--file", self.file()]
        return self.does(who, "adjust", "propose", seller, *needed, "--reason", "late fee", *more).word

    def adjustment(self, number: str) -> dict[str, Any]:
        """As `adjust list --json` has it."""
        return next(
            each
            for each in self.does("arne", "adjust", "list", "--json").json
            if each["adjustment_number"] == number
        )

    def status(self, number: str) -> str:
        return str(self.adjustment(number)["status"])

    def payout(self, number: str) -> tuple[str, list[str]]:
        row = self.owner.execute(
            "select status, block_reasons from payouts.payouts where payout_number = %s", [number]
        ).fetchone()
        assert row is not None
        return row[0], row[1]

    def entries(self, reference: str) -> dict[str, dict[str, Decimal]]:
        """What a payout's or an adjustment's bookings have moved: by their kind, per account."""
        moved: dict[str, dict[str, Decimal]] = {}
        for kind, account, amount in self.owner.execute(
            "select kind, account, amount from payouts.ledger_entries"
            " inner join payouts.ledger_transactions using (transaction_id)"
            " where %s in (payout_number, adjustment_number) or reference = %s"
            " or reference like %s || '#%%' order by entry_id",
            [reference, reference, reference],
        ):
            accounts = moved.setdefault(kind, {})
            accounts[account] = accounts.get(account, Decimal(0)) + amount
        return moved

    def digest(self) -> str:
        return str(
            one(self.owner, "select content_digest from payouts.batches order by batch_id desc limit 1")
        )

    def build(self, window: date, earned: Mapping[str, str], currency: str = "USD") -> None:
        """What a build leaves of a due window in which the sellers earned this; disputes if it is less."""
        for table in BUILT:
            self.owner.execute(f"delete from intermediate.{table}".encode())
        self.owner.execute(
            """
            insert into intermediate.int_adjustment_lines (
                line_id, adjustment_number, seller_id, currency, event_at, payout_window, adjustments
            )
            select
                'adjustment:' || adjustment_number, adjustment_number, applied_to, currency, approved_at,
                %(window)s, case direction when 'credit' then applied_amount else -applied_amount end
            from payouts.adjustments
            where
                status = 'approved' and class like 'carry_forward%%'
                and coalesce(not_before <= %(window)s, true)
                and adjustment_number not in (
                    select adjustment_number from payouts.exceptions where decision is null
                )
            """,
            {"window": window},
        )
        adjusted = self.owner.execute(
            "select seller_id from intermediate.int_adjustment_lines where currency = %s", [currency]
        )
        # Who only has an adjustment has a row too.
        for seller, amount in ({seller: "0" for (seller,) in adjusted} | dict(earned)).items():
            self._build_row(window, seller, Decimal(amount), currency)

    def _build_row(self, window: date, seller: str, cash: Decimal, currency: str) -> None:
        of = {"seller": seller, "currency": currency}
        carried, adjusted = self.owner.execute(
            """
            select
                coalesce((
                    select balance from payouts.account_balances
                    where (account, seller_id, currency) = ('seller_payable', %(seller)s, %(currency)s)
                ), 0) - coalesce((
                    select sum(amount) from payouts.payouts
                    where (seller_id, currency, status) = (%(seller)s, %(currency)s, 'ready')
                ), 0),
                coalesce((
                    select sum(adjustments) from intermediate.int_adjustment_lines
                    where (seller_id, currency) = (%(seller)s, %(currency)s)
                ), 0)
            """,
            of,
        ).fetchall()[0]
        balance = carried + cash + adjusted
        kind = "sale" if cash >= 0 else "dispute_opened"
        row = of | {
            "window": window,
            "earned": max(cash, Decimal(0)),
            "disputed": max(-cash, Decimal(0)),
            "adjusted": adjusted,
            "carried": carried,
            "payable": max(balance, Decimal(0)),
            "left": min(balance, Decimal(0)),
            "status": "ready" if balance > 0 else "carried_forward",
            "wallet": WALLET,
            "kind": kind,
            "id": f"{seller}-{window}",
            "line": f"{kind}:{seller}-{window}",
            "amount": abs(cash),
            "at": _midnight(window, 0) + timedelta(hours=12),
            "ends": _midnight(window, 7),
            "closes": _midnight(window, 14),
        }
        self.owner.execute(BUILT_ROW, row)
        if cash:
            self.owner.execute(BUILT_LINE, row)

    def freeze(self, window: date, earned: Mapping[str, str] | None = None, currency: str = "USD") -> None:
        """Freeze what was built, or a window in which the sellers earned this."""
        if earned is not None:
            self.build(window, earned, currency)
        run_id, as_of = uuid4(), _midnight(window, 14)
        settings = {
            "raw_schema": "raw",
            "reserve_days": 7,
            "settlement_timezone": "UTC",
            "payout_window_starts_on": "sunday",
            "settlement_start": "2026-11-01",
        }
        with self.owner.transaction():
            self.owner.execute(
                "insert into payouts.warehouse_runs"
                " (run_id, as_of, started_at, finished_at, actor, outcome, settings)"
                " values (%s, %s, now(), now(), %s, 'frozen', %s)",
                [run_id, as_of, FREEZER, Jsonb(settings)],
            )
            # What `payouts.freeze` does with each window that a build finds due.
            self.owner.execute("select payouts.freeze_content(%s)", [window])
            self.owner.execute("select payouts.apply_lines(%s, %s)", [window, FREEZER])
            self.owner.execute(
                "select payouts.freeze_window(%s, %s, %s, %s, %s, %s, %s)",
                [window, _midnight(window, 7), as_of, run_id, as_of, Jsonb(settings), FREEZER],
            )

    def row(self, window: date, seller: str = "s1", currency: str = "USD") -> dict[str, Decimal]:
        """What a frozen row says of adjustments and balance."""
        names = ("carry_in", "adjustments", "payable", "carry_out")
        found = self.owner.execute(
            f"select {', '.join(names)} from payouts.frozen_rows"
            " where (payout_window, seller_id, currency) = (%s, %s, %s)".encode(),
            [window, seller, currency],
        ).fetchone()
        assert found is not None
        return dict(zip(names, found, strict=True))

    def confirm(self, *words: Mapping[str, object], batch: str = "W2026-11-01-G1") -> None:
        """The rail's final answers to a look-up: `reference`, `status`, `amount`, `external_reference`."""
        states = [{"final": True, **word} for word in words]
        self.owner.execute(
            "select payouts.confirm(%s, clock_timestamp(), %s, %s)", [batch, Jsonb(states), OPERATOR]
        )


def _midnight(day: date, days: int) -> datetime:
    return datetime.combine(day + timedelta(days=days), time(), UTC)


@pytest.fixture(scope="module")
def people(marts: Server) -> Iterator[dict[str, Server]]:  # noqa: F811
    """A database that was built over nothing, and a login for each of PEOPLE."""
    with ExitStack() as stack:
        yield {who: stack.enter_context(created_login(marts, roles)) for who, roles in PEOPLE.items()}


@pytest.fixture
def desk(marts: Server, people: dict[str, Server], tmp_path: Path) -> Iterator[Desk]:  # noqa: F811
    """Empty books. `agree` is asked of every test that ends."""
    with open_connection(marts) as conn:
        seeded = conn.execute("select * from seeds.adjustment_policies").fetchall()
        try:
            yield Desk(conn, people, tmp_path)
            agree(conn)
        finally:
            conn.execute("delete from seeds.adjustment_policies")
            for row in seeded:
                conn.execute("insert into seeds.adjustment_policies values (%s, %s, %s, %s, %s)", row)
            for table in BUILT:
                conn.execute(f"delete from intermediate.{table}".encode())
            empty(marts, keep=["payouts.second_factor_rule"])


# Each has no row when the books are in order.
WRONG = {
    "a transaction is not zero": """
        select transaction_id, currency from payouts.ledger_entries
        group by transaction_id, currency
        having sum(amount) <> 0
    """,
    "a balance is not the sum of its entries": """
        select account, seller_id, currency, balance, sum(amount)
        from payouts.account_balances
        left join payouts.ledger_entries using (account, seller_id, currency)
        group by account, seller_id, currency
        having balance <> coalesce(sum(amount), 0)
    """,
    "a freeze has booked something else than its rows": """
        select seller_id, currency
        from (
            select seller_id, currency, net - disputes + adjustments as amount from payouts.frozen_rows
            union all
            select seller_id, currency, -amount
            from payouts.ledger_entries inner join payouts.ledger_transactions using (transaction_id)
            where kind = 'freeze' and account = 'seller_payable'
        ) as both_sides
        group by seller_id, currency
        having sum(amount) <> 0
    """,
    "a row's adjustments are not its lines'": """
        select seller_id, currency, payout_window
        from (
            select seller_id, currency, payout_window, adjustments from payouts.frozen_rows
            union all
            select seller_id, currency, payout_window, -adjustments from payouts.frozen_lines
        ) as both_sides
        group by seller_id, currency, payout_window
        having sum(adjustments) <> 0
    """,
    "a line is settled and not covered, or the other way round": """
        select adjustments.adjustment_number, status, applied_amount, sum(settled.amount)
        from payouts.adjustments
        left join payouts.adjustment_allocations as settled using (adjustment_number)
        where class like 'carry_forward%'
        group by adjustments.adjustment_number
        having
            coalesce(sum(settled.amount), 0) > applied_amount
            or (status = 'settled') <> (coalesce(sum(settled.amount), 0) = applied_amount)
    """,
    "a reference is not the newest execution's": """
        select payout_number, reference_id from payouts.payouts
        where
            reference_id is distinct from (
                select external_reference from payouts.executions
                where executions.payout_number = payouts.payout_number
                order by execution_id desc
                limit 1
            )
    """,
    "an execution by hand has no proof": """
        select execution_id from payouts.executions left join payouts.proofs using (execution_id)
        where source = 'manual' and proof_id is null
    """,
    "the newest event of something is not its status": """
        select entity, status, told.type
        from (
            select 'payout:' || payout_number as entity, 'payout.' || status as status from payouts.payouts
            union all
            select 'adjustment:' || adjustment_number, 'adjustment.' || status from payouts.adjustments
            union all
            select
                'escrow_hold:' || hold_number,
                'escrow_hold.' || case status when 'active' then 'created' else status end
            from payouts.escrow_holds
            union all
            select 'request:' || request_number, 'request.' || coalesce(decision, 'created')
            from payouts.payout_requests
            union all
            select
                'payout_schedule:' || schedule_number,
                'payout_schedule.' || case status
                    when 'pending' then 'created' when 'processing' then 'triggered'
                    when 'completed' then 'processed' else status
                end
            from payouts.payout_schedules
        ) as things
        left join lateral (
            select type from payouts.outbox where outbox.entity = things.entity
            order by event_id desc
            limit 1
        ) as told on true
        where told.type is distinct from status
    """,
    "the marts disagree with the books": """
        select break_type, entity, expected, actual from marts.reconciliation_breaks where category = 'books'
    """,
}


def agree(conn: Connection[Any]) -> None:
    """Every cent is where the states say that it is, and nobody has touched the log."""
    for wrong, query in WRONG.items():
        assert conn.execute(query.encode()).fetchall() == [], wrong
    assert _booked(conn, "adjustment_number", "account = 'seller_obligations'") == _owed(conn)
    assert _booked(
        conn, "payout_number || ' ' || account", "payout_number is not null"
    ) == _where_payouts_are(conn)
    decisions.verify_audit(conn)


def _booked(conn: Connection[Any], by: str, where: str) -> dict[str, Decimal]:
    return dict(
        conn.execute(
            f"select {by}, sum(amount) from payouts.ledger_entries where {where} group by 1"
            " having sum(amount) <> 0".encode()
        ).fetchall()
    )


def _owed(conn: Connection[Any]) -> dict[str, Decimal]:
    """What is still to come of each adjustment: positive to the seller."""
    owed = {}
    for number, of_class, status, source, amount in conn.execute(
        "select adjustment_number, class, status, source, applied_amount from payouts.adjustments"
    ):
        open_as = ["approved"] if of_class.startswith("carry_forward") else ["applied"]
        open_as += ["proposed"] if source in ("mismatch", "reversal") else []
        if status in open_as and source != "dispute":
            owed[number] = amount if of_class == "carry_forward_credit" else -amount
    return owed


def _where_payouts_are(conn: Connection[Any]) -> dict[str, Decimal]:
    accounts = {
        "submitted": "payouts_in_transit",
        "awaiting_reconciliation": "payouts_in_transit",
        "paid": "payouts_paid",
        "reversed": "payouts_paid",
    }
    expected = {}
    for number, status, amount in conn.execute("select payout_number, status, amount from payouts.payouts"):
        if status in accounts:
            expected[f"{number} {accounts[status]}"] = amount
            expected[f"{number} seller_payable"] = -amount
    return expected

"""A year of Sundays and Tuesdays, played by the product's own code with a rail that answers at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

from psycopg import sql

from bench.market import Market
from weekclose import decisions, submission, sunday
from weekclose.database import open_connection
from weekclose.errors import NothingToDo, WeekcloseError
from weekclose.freeze import FrozenWindow, freeze
from weekclose.migrations import migrate
from weekclose.postgres import Server
from weekclose.rails.batch import BatchRail
from weekclose.rails.protocol import Batch, BatchState, ItemState, NotThere, Receipt
from weekclose.reconciliation import reconcile
from weekclose.settings import Settings, project_dir
from weekclose.sunday import SundayReport, run_sunday
from weekclose.warehouse import NodeResult, Vars, Warehouse

FAILED_OF_256 = 4
# Its weeks are looked at like any others, and bar nothing: this market has a first dispute, and no people.
SETTINGS: dict[str, Any] = {"drift": {"accepted_up_to": "2100-01-01"}}


@dataclass(frozen=True)
class Night:
    """What the Sunday after a week cost: seconds of the server's CPU, in all and for the freeze, and seconds
    that each model and test took."""

    week: int
    orders: int
    server_seconds: float
    freeze_seconds: float
    nodes: Mapping[str, float]
    report: SundayReport


class Listening(Warehouse):
    """A warehouse that remembers how long its models and tests took."""

    def __init__(self, settings: Settings, server: Server) -> None:
        super().__init__(settings, server)
        self.built: list[NodeResult] = []

    def build(self, variables: Vars, *, full_refresh: bool = False) -> list[NodeResult]:
        self.built = super().build(variables, full_refresh=full_refresh)
        return self.built


class Prompt(BatchRail):
    """A rail that takes whatever it is sent and has paid it when it is asked, but for one in seventy."""

    def __init__(self) -> None:
        super().__init__(transport=None, key="", webhook_secrets=(), max_processing_seconds=0)  # type: ignore[arg-type]
        self.has: dict[str, Batch] = {}

    def submit(self, batch: Batch) -> Receipt:
        self.has[batch.reference] = batch
        return _receipt(batch)

    def look_up(self, batch: Batch) -> BatchState | NotThere:
        if batch.reference not in self.has:
            return NotThere()
        return BatchState(_receipt(batch), tuple(_said(item.reference, item.amount) for item in batch.items))


def _receipt(batch: Batch) -> Receipt:
    return Receipt(f"rail-{batch.reference}", batch.item_count, batch.totals)


def _said(reference: str, amount: Decimal) -> ItemState:
    if sha256(reference.encode()).digest()[0] < FAILED_OF_256:
        return ItemState(reference, "failed", True, amount, f"ext-{reference}", "account_closed")
    return ItemState(reference, "completed", True, amount, f"ext-{reference}")


@dataclass
class Year:
    """The weeks of a market, one after the other. `nights` is what they cost, as `spent` measures it."""

    server: Server
    market: Market
    home: Path
    spent: Callable[[Callable[[], object]], float]
    settings: dict[str, Any] = field(default_factory=dict)
    rail: Prompt = field(default_factory=Prompt)
    nights: list[Night] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.warehouse = Listening(Settings(WEEKCLOSE_HOME=self.home), self.server)
        self.conn = open_connection(self.server)
        migrate(self.conn, project_dir() / "migrations")
        self.market.found(self.conn)

    def play(self, week: int) -> Night:
        """Load a week, close it on Sunday, pay on Tuesday what was frozen."""
        began = submission.now(self.conn)
        self.market.trade(self.conn, week)
        night = self.close(week)
        for window in night.report.frozen:
            self.tuesday(window.payout_window)
        self.date_back(began, self.market.as_of(week))
        self.nights.append(night)
        return night

    def close(self, week: int, **how: Any) -> Night:
        """The Sunday after a week. Raises WeekcloseError when it is red."""
        frozen: list[FrozenWindow] = []
        freezes: list[float] = []
        reports: list[SundayReport] = []

        def timed(*arguments: Any) -> list[FrozenWindow]:
            freezes.append(self.spent(lambda: frozen.extend(freeze(*arguments))))
            return frozen

        def run() -> None:
            settings = SETTINGS | {"settlement_start": self.market.first.isoformat()} | self.settings
            as_of = self.market.as_of(week)
            reports.append(
                run_sunday(self.server, self.warehouse, as_of=as_of, actor="nina", overrides=settings, **how)
            )

        with patch.object(sunday, "freeze", timed):
            spent = self.spent(run)
        (report,) = reports
        if report.outcome in ("refused", "failed"):
            raise WeekcloseError(f"week {week}: {report.message}")
        nodes = {result.name: result.seconds for result in self.warehouse.built}
        return Night(week, (week + 1) * self.market.weekly, spent, sum(freezes), nodes, report)

    def tuesday(self, window: date) -> None:
        """Approved, handed over, and asked about until all is booked."""
        try:
            digest = submission.find_batch(self.conn, window).content_digest
        except NothingToDo:
            return
        decisions.approve(self.conn, window, digest, "ada")
        submission.submit(self.conn, self.rail, window, "olga")
        asked = reconcile(self.conn, self.rail, window, "olga").asked
        if any(each.problem for each in asked):
            raise WeekcloseError(f"window {window}: {asked}")

    def date_back(self, began: datetime, to: datetime) -> None:
        """A year is played in an hour: what was written since `began` gets the times of its own week, as what
        is older than a month costs a Sunday nothing. The audit log, which no Sunday reads by time, stays."""
        with self.conn.transaction():
            self.conn.execute("set local session_replication_role = replica")
            columns = self.conn.execute(
                "select table_schema, table_name, array_agg(column_name::text)"
                " from information_schema.columns inner join information_schema.tables"
                " using (table_catalog, table_schema, table_name)"
                " where (table_schema = 'payouts' and table_name <> 'audit_log'"
                " or table_name in ('int_builds', 'int_line_changes')) and table_type = 'BASE TABLE'"
                " and data_type = 'timestamp with time zone' and is_generated = 'NEVER' group by 1, 2"
            ).fetchall()
            for schema, table, names in columns:
                for name in names:
                    self.conn.execute(
                        sql.SQL(
                            "update {} set {column} = {column} - (%s::timestamptz - %s) where {column} >= %s"
                        ).format(sql.Identifier(schema, table), column=sql.Identifier(name)),
                        (began, to, began),
                    )

"""Sunday night: is it fresh, does it build, does it hold, does it look like its past; then freeze."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from weekclose.database import open_connection, statement, value
from weekclose.drift import DriftResult, as_kept, check
from weekclose.errors import Refused
from weekclose.freeze import FrozenWindow, freeze
from weekclose.migrations import require_migrated
from weekclose.policy import FIXED_BY_A_FREEZE, SHAPES_LINES, effective_vars
from weekclose.postgres import Server
from weekclose.refusals import refusals
from weekclose.wallets import judge_wallets
from weekclose.warehouse import NodeResult, Warehouse


@dataclass(frozen=True)
class SundayReport:
    """What a run found and did. `red` bars a freeze, `warnings` do not."""

    run_id: UUID
    as_of: datetime
    outcome: str
    message: str
    frozen: list[FrozenWindow] = field(default_factory=list)
    red: list[NodeResult] = field(default_factory=list)
    warnings: list[NodeResult] = field(default_factory=list)
    drift: list[DriftResult] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The report as `weekclose sunday --json` prints it."""
        return {
            "run_id": str(self.run_id),
            "as_of": self.as_of.isoformat(),
            "outcome": self.outcome,
            "message": self.message,
            "frozen": [asdict(window) for window in self.frozen],
            "red": [result.as_json() for result in self.red],
            "warnings": [result.as_json() for result in self.warnings],
            "drift": [result.as_json() for result in self.drift],
            "counts": self.counts,
            "seconds": self.seconds,
        }


def summary(report: SundayReport) -> list[str]:
    """The report in lines for a person."""
    counted = ", ".join(f"{count} {status}" for status, count in sorted(report.counts.items()))
    lines = [f"as of {report.as_of:%Y-%m-%d %H:%M} UTC: {counted} in {report.seconds} s"]
    lines += [f"red: {result.name}: {result.message}" for result in report.red if result.status != "skipped"]
    lines += [f"red: {result.message}" for result in report.drift if result.is_red]
    lines += [f"warning: {result.name}: {result.message}" for result in report.warnings]
    lines += [f"warning: {result.message}" for result in report.drift if result.is_warning]
    for window in report.frozen:
        money = ", ".join(f"{amount:,} {currency}" for currency, amount in window.payable.items())
        lines.append(
            f"frozen: window {window.payout_window}, {window.row_count:,} rows, "
            f"{window.line_count:,} lines, {window.ready_count:,} payouts ready "
            f"({money or 'nothing to pay'}), {window.blocked_count:,} blocked"
        )
        lines.append(f"  digest {window.content_digest}")
    if not report.frozen and report.outcome != "refused":
        lines.append(f"nothing was frozen: {report.message}")
    return lines


def run_sunday(
    server: Server,
    warehouse: Warehouse,
    *,
    as_of: datetime,
    actor: str,
    overrides: Mapping[str, Any] | None = None,
    may_freeze: bool = True,
    full_refresh: bool = False,
) -> SundayReport:
    """Rebuild and test the warehouse as of an instant, then freeze the due window if all is green.

    Safe to repeat: a second run of the same night rebuilds and finds nothing left to freeze. The report's
    outcome is `frozen`, `nothing_to_freeze`, `not_frozen` (not asked to) or `refused` (its message says
    why). Raises Refused when another run is going on, a setting differs from what was frozen with, or the
    login may not act as `actor`; WeekcloseError when dbt or the database could not work.
    """
    started = time.monotonic()
    variables = effective_vars(overrides or {}, as_of)
    with open_connection(server) as conn, _only_run(conn):
        require_migrated(conn)
        barred = _barred_from_freezing(conn, variables, as_of)
        variables["proved_until"] = _proved_until(conn, variables, as_of)
        run = _Run(uuid4(), as_of, actor, variables)
        with refusals():
            conn.execute(
                statement("run_start"),
                {"run_id": run.run_id, "as_of": as_of, "actor": actor, "settings": Jsonb(variables)},
            )
        try:
            with refusals():
                conn.execute("select payouts.release_due_holds(%s, %s)", (as_of, actor))
            conn.execute("select payouts.summarize_raw()")
            found = _look(conn, warehouse, variables, full_refresh=full_refresh)
            outcome, message, frozen = _decide(conn, run, found, may_freeze=may_freeze, barred=barred)
        except BaseException as error:
            # The error is the news, even when the database that should remember it is gone.
            with suppress(psycopg.Error):
                _end(conn, run, "failed", " ".join(str(error).split()), _Found())
            raise
        _end(conn, run, outcome, message, found)
    return SundayReport(
        run_id=run.run_id,
        as_of=as_of,
        outcome=outcome,
        message=message,
        frozen=frozen,
        red=[result for result in found.results if result.is_red],
        warnings=[result for result in found.results if result.is_warning],
        drift=found.drift,
        counts=_count(found.results),
        seconds=round(time.monotonic() - started, 1),
    )


@dataclass(frozen=True)
class _Run:
    run_id: UUID
    as_of: datetime
    actor: str
    variables: dict[str, Any]


@dataclass(frozen=True)
class _Found:
    """What a run saw before it decided."""

    results: list[NodeResult] = field(default_factory=list)
    drift: list[DriftResult] = field(default_factory=list)

    @property
    def barring(self) -> list[str]:
        """What bars a freeze, most rows first; what was skipped only follows from the rest."""
        red = [result for result in self.results if result.is_red and result.status != "skipped"]
        red.sort(key=lambda result: -result.failures)
        return [f"{result.name} is red: {result.message}" for result in red] + [
            f"{result.message} (docs/drift.md says how a person accepts it)"
            for result in self.drift
            if result.is_red
        ]


def _look(
    conn: Connection[Any], warehouse: Warehouse, variables: dict[str, Any], *, full_refresh: bool
) -> _Found:
    judge_wallets(conn)
    results = warehouse.freshness(variables) + warehouse.build(variables, full_refresh=full_refresh)
    # A distribution of numbers that are wrong says nothing.
    if any(result.is_red for result in results):
        return _Found(results)
    return _Found(results, check(conn, variables))


def _decide(
    conn: Connection[Any], run: _Run, found: _Found, *, may_freeze: bool, barred: str
) -> tuple[str, str, list[FrozenWindow]]:
    barring = found.barring
    if barring:
        more = f" (and {len(barring) - 1} more)" if len(barring) > 1 else ""
        return "refused", barring[0] + more, []
    if not may_freeze:
        return "not_frozen", "built and green; asked not to freeze", []
    if barred:
        return "refused", barred, []
    try:
        frozen = freeze(conn, run.run_id, run.as_of, run.variables, run.actor)
    except Refused as refusal:
        return "refused", str(refusal), []
    if not frozen:
        return "nothing_to_freeze", f"no window is due that is not frozen ({_last_frozen(conn)})", []
    return "frozen", "", frozen


def _barred_from_freezing(conn: Connection[Any], variables: dict[str, Any], as_of: datetime) -> str:
    """Why this run may build but not freeze; empty when it may. Raises Refused when it may not build.

    A settlement_start that was left out is filled in from the first freeze.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        guards = cursor.execute(statement("guards")).fetchone() or {}
    frozen = guards["frozen_settings"]
    for name in FIXED_BY_A_FREEZE if frozen else ():
        variables[name] = variables[name] or frozen[name]
        if variables[name] != frozen[name]:
            raise Refused(
                f"{name} is {variables[name]!r}, but windows are frozen with {frozen[name]!r}: "
                "it cannot change any more"
            )
    if not frozen and not variables["settlement_start"]:
        return "settlement_start is not set: name the first window to settle in dbt_project.yml"
    if guards["last_as_of"] is not None and as_of < guards["last_as_of"]:
        return f"as_of {as_of.isoformat()} lies before the last run's, {guards['last_as_of'].isoformat()}"
    return ""


def _proved_until(conn: Connection[Any], variables: Mapping[str, Any], as_of: datetime) -> str:
    """Up to when everything was proved: `-infinity` while no run was green that built as this one does."""
    built_with = Jsonb({name: variables[name] for name in SHAPES_LINES})
    until = value(conn.execute(statement("proved_until"), {"as_of": as_of, "settings": built_with}))
    return until.isoformat() if until else "-infinity"


@contextmanager
def _only_run(conn: Connection[Any]) -> Iterator[None]:
    taken = conn.execute("select pg_try_advisory_lock(hashtext('weekclose sunday'))").fetchone()
    if taken is None or not taken[0]:
        raise Refused("another Sunday run is going on: wait for it to end")
    try:
        yield
    finally:
        if not conn.closed:
            conn.execute("select pg_advisory_unlock(hashtext('weekclose sunday'))")


def _end(conn: Connection[Any], run: _Run, outcome: str, message: str, found: _Found) -> None:
    checked = ("test", "source")
    kept = {
        "counts": _count(found.results),
        "checks": [result.as_json() for result in found.results if result.kind in checked],
        "failed": [result.as_json() for result in found.results if result.is_red],
        "drift": as_kept(found.drift),
    }
    conn.execute(
        statement("run_end"),
        {"run_id": run.run_id, "outcome": outcome, "message": message, "results": Jsonb(kept)},
    )


def _count(results: list[NodeResult]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for result in results:
        counts[result.status] = counts.get(result.status, 0) + 1
    return counts


def _last_frozen(conn: Connection[Any]) -> str:
    last = conn.execute("select max(payout_window) from payouts.frozen_windows").fetchone()
    window: date | None = last[0] if last else None
    return f"the last frozen one is {window}" if window else "nothing is frozen yet"

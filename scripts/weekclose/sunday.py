"""Sunday night: is it fresh, does it build, does it hold, does it look like its past; then freeze."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from weekclose.database import open_connection, statement
from weekclose.errors import Refused
from weekclose.freeze import FrozenWindow, freeze
from weekclose.policy import FIXED_BY_A_FREEZE, effective_vars
from weekclose.postgres import Server
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
            "counts": self.counts,
            "seconds": self.seconds,
        }


def summary(report: SundayReport) -> list[str]:
    """The report in lines for a person."""
    counted = ", ".join(f"{count} {status}" for status, count in sorted(report.counts.items()))
    lines = [f"as of {report.as_of:%Y-%m-%d %H:%M} UTC: {counted} in {report.seconds} s"]
    lines += [f"red: {result.name}: {result.message}" for result in report.red if result.status != "skipped"]
    lines += [f"warning: {result.name}: {result.message}" for result in report.warnings]
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
    why). Raises Refused when another run is going on or a setting differs from what was frozen with,
    WeekcloseError when dbt or the database could not work.
    """
    started = time.monotonic()
    variables = effective_vars(overrides or {}, as_of)
    with open_connection(server) as conn, _only_run(conn):
        barred = _barred_from_freezing(conn, variables, as_of)
        run_id = uuid4()
        conn.execute(
            statement("run_start"),
            {"run_id": run_id, "as_of": as_of, "actor": actor, "settings": Jsonb(variables)},
        )
        try:
            results = warehouse.freshness(variables)
            results += warehouse.build(variables, full_refresh=full_refresh)
            outcome, message, frozen = _decide(
                conn, run_id, as_of, variables, actor, results, may_freeze=may_freeze, barred=barred
            )
        except BaseException as error:
            _end(conn, run_id, "failed", " ".join(str(error).split()), [])
            raise
        _end(conn, run_id, outcome, message, results)
    return SundayReport(
        run_id=run_id,
        as_of=as_of,
        outcome=outcome,
        message=message,
        frozen=frozen,
        red=[result for result in results if result.is_red],
        warnings=[result for result in results if result.is_warning],
        counts=_count(results),
        seconds=round(time.monotonic() - started, 1),
    )


def _decide(
    conn: Connection[Any],
    run_id: UUID,
    as_of: datetime,
    variables: dict[str, Any],
    actor: str,
    results: list[NodeResult],
    *,
    may_freeze: bool,
    barred: str,
) -> tuple[str, str, list[FrozenWindow]]:
    red = [result for result in results if result.is_red and result.status != "skipped"]
    if red:
        worst = max(red, key=lambda result: result.failures)
        return "refused", f"{worst.name} is red ({len(red)} in all): {worst.message}", []
    if not may_freeze:
        return "not_frozen", "built and green; asked not to freeze", []
    if barred:
        return "refused", barred, []
    try:
        frozen = freeze(conn, run_id, as_of, variables, actor)
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


def _end(conn: Connection[Any], run_id: UUID, outcome: str, message: str, results: list[NodeResult]) -> None:
    kept = {
        "counts": _count(results),
        "checks": [result.as_json() for result in results if result.kind in ("test", "unit_test", "source")],
        "failed": [result.as_json() for result in results if result.is_red],
    }
    ended = {"run_id": run_id, "outcome": outcome, "message": message, "results": Jsonb(kept)}
    conn.execute(statement("run_end"), ended)


def _count(results: list[NodeResult]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for result in results:
        counts[result.status] = counts.get(result.status, 0) + 1
    return counts


def _last_frozen(conn: Connection[Any]) -> str:
    last = conn.execute("select max(payout_window) from payouts.frozen_windows").fetchone()
    window: date | None = last[0] if last else None
    return f"the last frozen one is {window}" if window else "nothing is frozen yet"

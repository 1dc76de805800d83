"""Plays whole weeks of a sample marketplace: what arrives by each Sunday night, and the Sunday itself."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from weekclose.database import open_connection, statement
from weekclose.errors import Refused, WeekcloseError
from weekclose.load import load_paths
from weekclose.migrations import migrate
from weekclose.output import print_table
from weekclose.postgres import Server
from weekclose.sample import Folder, Sample, SamplePlan, write_sample
from weekclose.settings import project_dir
from weekclose.sunday import SundayReport, run_sunday
from weekclose.warehouse import Warehouse

ACTOR = "demo"

# A few sellers have days without an order; a feed that stopped is not what the demo is about.
SMALL_MARKET = {"freshness_warn_days": 3, "freshness_error_days": 7}

Progress = Callable[[str], None]


def play(server: Server, warehouse: Warehouse, directory: Path, plan: SamplePlan, say: Progress) -> Sample:
    """Write the sample's files, then load each week and run its Sunday, as of that night.

    Weeks that were played already are left alone, so an interrupted demo goes on where it stopped.
    Raises Refused when the database holds another marketplace: a demo never mixes with real money.
    """
    with open_connection(server) as conn:
        migrate(conn, project_dir() / "migrations")
        _claim(conn, plan)
        sample = write_sample(directory, plan)
        played = _played_until(conn)
        for number, folder in enumerate(sample.folders, start=1):
            if played is not None and folder.as_of <= played:
                continue
            loaded = load_paths(conn, [folder.path])
            report = run_sunday(
                server,
                warehouse,
                as_of=folder.as_of,
                actor=ACTOR,
                overrides=SMALL_MARKET | {"settlement_start": sample.settlement_start.isoformat()},
            )
            say(f"{number:>3}/{len(sample.folders)}  {_told(folder, loaded.total.loaded, report)}")
            if report.red:
                raise WeekcloseError(f"the Sunday of {folder.as_of:%Y-%m-%d} is red: {report.message}")
    return sample


def _claim(conn: Connection[Any], plan: SamplePlan) -> None:
    """The first demo marks the database as its own."""
    wanted = {key: str(value) for key, value in asdict(plan).items()}
    with conn.transaction():
        conn.execute("select pg_advisory_xact_lock(hashtext('weekclose demo'))")
        row = conn.execute(
            "select after from payouts.audit_log where action = 'demo' order by entry_id limit 1"
        ).fetchone()
        if row is not None and row[0] != wanted:
            raise Refused(
                f"this database holds a demo of {row[0]['sellers']} sellers, {row[0]['weeks']} weeks, seed "
                f"{row[0]['seed']}: ask for the same, or use another database (WEEKCLOSE_HOME, DATABASE_URL)"
            )
        if row is None:
            taken = conn.execute("select exists (select from raw.sellers) or exists (select from raw.orders)")
            if taken.fetchone() == (True,):
                raise Refused("this database holds a marketplace already: the demo needs an empty one")
            conn.execute("select payouts.audit(%s, 'demo', 'sample', null, %s)", (ACTOR, Jsonb(wanted)))


def _played_until(conn: Connection[Any]) -> datetime | None:
    row = conn.execute(
        "select max(as_of) from payouts.warehouse_runs"
        " where actor = %s and outcome in ('frozen', 'nothing_to_freeze')",
        (ACTOR,),
    ).fetchone()
    return row[0] if row else None


def _told(folder: Folder, loaded: int, report: SundayReport) -> str:
    night = f"Sunday {folder.as_of:%d %b %Y}: {loaded:,} rows arrived"
    if not report.frozen:
        return f"{night}, {report.message or report.outcome}"
    last = report.frozen[-1]
    money = ", ".join(f"{amount:,} {currency}" for currency, amount in last.payable.items()) or "nothing"
    return (
        f"{night}, window {last.payout_window} frozen: {money} ready for {last.ready_count} sellers, "
        f"{last.blocked_count} blocked"
    )


def shown(server: Server, sample: Sample, site: Path) -> None:
    """Print the last frozen window, the flagged sellers and where the site is."""
    with open_connection(server) as conn:
        window = conn.execute("select max(payout_window) from payouts.frozen_windows").fetchone()
        cursor = conn.execute(statement("demo_window"), {"window": window[0] if window else None})
        title = f"Window {window and window[0]}"
        print_table([column.name for column in cursor.description or ()], cursor, title)
        print()
        cursor = conn.execute(statement("demo_flagged"))
        print_table([column.name for column in cursor.description or ()], cursor, "Flagged sellers")
    print()
    print_table(
        ["incident", "seller", "what to see"],
        [(incident.name, incident.seller_id or "", incident.what) for incident in sample.incidents],
        "Planted incidents",
    )
    print(f"\nsite: {site}")

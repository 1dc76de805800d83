"""Plays whole weeks of a sample marketplace: what arrives, the Sunday, and what is paid after it."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Any, TextIO

from psycopg import Connection
from psycopg.types.json import Jsonb

from weekclose.database import open_connection, statement
from weekclose.demo_payments import Weekdays
from weekclose.demo_stories import agreement, stories
from weekclose.demo_twists import FREEZES
from weekclose.errors import Refused, WeekcloseError
from weekclose.load import load_paths
from weekclose.migrations import migrate
from weekclose.output import print_table
from weekclose.postgres import Server
from weekclose.sample import Folder, Sample, SamplePlan, write_sample
from weekclose.sample_incidents import Incident
from weekclose.settings import Settings, project_dir
from weekclose.sunday import SundayReport, run_sunday
from weekclose.warehouse import Warehouse

# A few sellers have days without an order; a feed that stopped is not what the demo is about.
SMALL_MARKET = {"freshness_warn_days": 3, "freshness_error_days": 7}

Progress = Callable[[str], None]


def play(server: Server, warehouse: Warehouse, directory: Path, plan: SamplePlan, say: Progress) -> Sample:
    """Write the sample's files, then play each week: load, the Sunday as of that night, and what follows it.

    What was played already is left alone, so an interrupted demo goes on where it stopped. The rail is
    simulated on loopback, its record is in `directory`. Raises Refused when the database holds another
    marketplace: a demo never mixes with real money.
    """
    with open_connection(server) as conn:
        migrate(conn, project_dir() / "migrations")
        _claim(conn, plan, rail_record(directory))
        sample = write_sample(directory, plan)
        played = _played_until(conn)
        with (
            (directory / "webhooks.log").open("a", encoding="utf-8") as log,
            _weekdays(server, directory, log) as weekdays,
        ):
            for number, folder in enumerate(sample.folders, start=1):
                if played is None or folder.as_of > played:
                    said = _sunday(conn, server, warehouse, sample, folder)
                    say(f"{number:>3}/{len(sample.folders)}  {said}")
                window = _frozen_on(conn, folder)
                if window is not None:
                    done = weekdays.play(conn, window, len(sample.folders) - number)
                    if done:
                        say(f"{'':>8}{done}")
    return sample


def rail_record(directory: Path) -> Path:
    """Where the demo's rail keeps its record, an SQLite file."""
    return directory / "rail.sqlite"


def _weekdays(server: Server, directory: Path, log: TextIO) -> Weekdays:
    return Weekdays(
        Settings(DATABASE_URL=server.url),
        rail_record(directory),
        lambda line: print(line, file=log, flush=True),
    )


def _sunday(
    conn: Connection[Any], server: Server, warehouse: Warehouse, sample: Sample, folder: Folder
) -> str:
    loaded = load_paths(conn, [folder.path])
    report = run_sunday(
        server,
        warehouse,
        as_of=folder.as_of,
        actor=FREEZES,
        overrides=SMALL_MARKET | {"settlement_start": sample.settlement_start.isoformat()},
    )
    if report.red:
        raise WeekcloseError(f"the Sunday of {folder.as_of:%Y-%m-%d} is red: {report.message}")
    return _told(folder, loaded.total.loaded, report)


def _claim(conn: Connection[Any], plan: SamplePlan, record: Path) -> None:
    """The first demo marks the database as its own, and begins with a rail that has paid nothing."""
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
            for part in ("", "-wal", "-shm"):
                record.with_name(record.name + part).unlink(missing_ok=True)
            conn.execute("select payouts.audit(%s, 'demo', 'sample', null, %s)", (FREEZES, Jsonb(wanted)))


def _played_until(conn: Connection[Any]) -> datetime | None:
    row = conn.execute(
        "select max(as_of) from payouts.warehouse_runs"
        " where actor = %s and outcome in ('frozen', 'nothing_to_freeze')",
        (FREEZES,),
    ).fetchone()
    return row[0] if row else None


def _frozen_on(conn: Connection[Any], folder: Folder) -> date | None:
    row = conn.execute(
        "select max(payout_window) from payouts.frozen_windows where as_of = %s", (folder.as_of,)
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


def shown(server: Server, sample: Sample, directory: Path, site: Path) -> None:
    """Print what became of it all, on one screen. Raises WeekcloseError when the records of it differ."""
    with open_connection(server) as conn:
        windows = {
            len(sample.folders) - number: window
            for number, folder in enumerate(sample.folders, start=1)
            if (window := _frozen_on(conn, folder)) is not None
        }
        _show(conn, "demo_window", f"Window {windows.get(0)}", window=windows.get(0))
        _show(conn, "demo_money", "Where the money of the last two windows is")
        print_table(
            ["planted", "about", "what became of it"],
            [(story.name, story.about, story.what) for story in stories(conn, windows)],
            "What went otherwise",
        )
        print()
        _show(conn, "demo_flagged", "Flagged sellers")
        print(agreement(conn, rail_record(directory)))
    planted = directory / "incidents.txt"
    planted.write_text("".join(f"{_incident(each)}\n" for each in sample.incidents), encoding="utf-8")
    print(f"{len(sample.incidents)} planted incidents: {planted}")
    print(f"review: {site}")


def _show(conn: Connection[Any], name: str, title: str, **named: object) -> None:
    cursor = conn.execute(statement(name), named)
    print_table([column.name for column in cursor.description or ()], cursor, title)
    print()


def _incident(incident: Incident) -> str:
    who = f" ({incident.seller_id})" if incident.seller_id else ""
    return f"{incident.name}{who}, window {incident.window}: {incident.what}"

"""10,000 orders on the edges of weeks in five zones: each in one window, whatever zone a session is in."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from catalogue import Reached
from weekclose.database import open_connection
from weekclose.policy import WEEKDAYS
from weekclose.postgres import Server
from weekclose.settings import project_dir

pytestmark = pytest.mark.catalogue(13)

KIRITIMATI, NEW_YORK = "Pacific/Kiritimati", "America/New_York"
INSTANT = timedelta(microseconds=1)
DAY = timedelta(days=1)
# Thirteen years: three leap days, and every change of the clocks that these zones knew or plan.
FIRST_DAY, WINDOWS = date(2020, 1, 5), 666
AS_OF = datetime(2033, 1, 1, tzinfo=UTC)
RESERVE_DAYS = 7


@dataclass(frozen=True)
class Calendar:
    """A platform's weeks, reckoned without SQL; `session` is the zone that dbt's own connection is in."""

    zone: str
    starts_on: str
    session: str

    def midnight(self, day: date) -> datetime:
        """The first instant of a local day, also of one whose midnight is skipped or comes twice."""
        return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.zone)).astimezone(UTC)

    def window_of(self, instant: datetime) -> date:
        """The first day of the window that an instant lies in."""
        day = instant.astimezone(ZoneInfo(self.zone)).date()
        return day - (day.weekday() - WEEKDAYS.index(self.starts_on)) % 7 * DAY

    def windows(self) -> Iterator[date]:
        """The windows whose edges are tried."""
        first = self.window_of(self.midnight(FIRST_DAY + 6 * DAY))
        yield from (first + 7 * number * DAY for number in range(WINDOWS))

    def bounds(self, window: date) -> tuple[datetime, datetime]:
        """When a window ends, and when its reserve closes."""
        return self.midnight(window + 7 * DAY), self.midnight(window + (7 + RESERVE_DAYS) * DAY)

    def latest_due(self) -> date:
        """The newest window whose reserve has closed: the seller's whole balance stands there."""
        window = self.window_of(AS_OF)
        while self.bounds(window)[1] > AS_OF:
            window -= 7 * DAY
        return window

    def variables(self) -> dict[str, Any]:
        return {
            "settlement_timezone": self.zone,
            "payout_window_starts_on": self.starts_on,
            "settlement_start": (next(self.windows()) - 14 * DAY).isoformat(),
            "reserve_days": RESERVE_DAYS,
            "as_of": AS_OF.isoformat(),
        }


CALENDARS = (
    Calendar("UTC", "sunday", session=KIRITIMATI),
    Calendar(NEW_YORK, "sunday", session=KIRITIMATI),
    Calendar("Europe/Berlin", "monday", session=NEW_YORK),
    Calendar(KIRITIMATI, "sunday", session=NEW_YORK),
    # Here the clocks change at midnight: some Sundays begin at one o'clock.
    Calendar("America/Santiago", "sunday", session=KIRITIMATI),
)


class Project:
    """The dbt project on a server, run in sessions of any zone."""

    def __init__(self, where: Server, home: Path) -> None:
        self._environment = where.environment()
        self._home = home
        shutil.copy(project_dir() / "profiles.example.yml", home / "profiles.yml")
        self._manifest = self.run(["parse"], CALENDARS[0]).result

    def run(self, arguments: list[str], calendar: Calendar) -> Any:
        from dbt.cli.main import dbtRunner

        places = {
            "--project-dir": project_dir(),
            "--profiles-dir": self._home,
            "--target-path": self._home / "target",
            "--log-path": self._home / "logs",
        }
        options = [word for name, value in places.items() for word in (name, str(value))]
        options += ["--vars", json.dumps(calendar.variables()), "--log-level", "none"]
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (self._environment | {"PGTZ": calendar.session}).items():
                patch.setenv(name, value)
            assert "PGOPTIONS" not in os.environ, "it could name a zone and hide PGTZ"
            outcome = dbtRunner(manifest=getattr(self, "_manifest", None)).invoke([*arguments, *options])
        assert outcome.exception is None, outcome.exception
        failed = [
            f"{result.node.name}: {result.message}"
            for result in getattr(outcome.result, "results", [])
            if result.status not in ("success", "pass", "no-op")
        ]
        assert failed == []
        return outcome


@pytest.fixture(scope="module")
def edges() -> dict[str, datetime]:
    """The orders by id: first instant, last instant and end of each calendar's windows, and leap days."""
    found: dict[str, datetime] = {}
    for calendar in CALENDARS:
        for window in calendar.windows():
            start, end = calendar.midnight(window), calendar.midnight(window + 7 * DAY)
            for name, instant in (("start", start), ("last", end - INSTANT), ("end", end)):
                found[f"{calendar.zone} {window} {name}"] = instant
        for leap_day in (date(2020, 2, 29), date(2024, 2, 29), date(2028, 2, 29)):
            found[f"{calendar.zone} {leap_day} start"] = calendar.midnight(leap_day)
            found[f"{calendar.zone} {leap_day} last"] = calendar.midnight(leap_day + DAY) - INSTANT
    assert len(found) > 10_000
    return found


@pytest.fixture(scope="module")
def project(
    module_database: Server, edges: dict[str, datetime], tmp_path_factory: pytest.TempPathFactory
) -> Project:
    with open_connection(module_database) as conn:
        conn.execute(
            "insert into raw.sellers (seller_id, region, settlement_currency, status, created_at)"
            " values ('s1', 'NA', 'USD', 'active', '2019-01-01Z')"
        )
        with (
            conn.cursor() as cursor,
            cursor.copy(
                "copy raw.orders (order_id, captured_at, seller_id, currency, gross_amount, fee_amount,"
                " status) from stdin"
            ) as copy,
        ):
            for order_id, captured_at in edges.items():
                copy.write_row((order_id, captured_at, "s1", "USD", "1.00", "0.10", "fulfilled"))
    project = Project(module_database, tmp_path_factory.mktemp("dbt"))
    # With the unit tests: one about a week's edge proves little in a session that is in UTC anyway.
    project.run(["build", "--exclude-resource-type", "test"], CALENDARS[0])
    return project


def test_the_hours_of_a_week_are_what_the_clocks_say() -> None:
    new_york = CALENDARS[1]
    for window, hours in ((date(2026, 3, 8), 167), (date(2026, 11, 1), 169), (date(2026, 11, 8), 168)):
        assert window in set(new_york.windows())
        length = new_york.midnight(window + 7 * DAY) - new_york.midnight(window)
        assert length == timedelta(hours=hours)


@pytest.mark.parametrize("calendar", CALENDARS, ids=lambda calendar: calendar.zone)
def test_each_order_stands_in_its_window(
    project: Project,
    module_database: Server,
    edges: dict[str, datetime],
    calendar: Calendar,
    reached: Reached,
) -> None:
    if calendar is not CALENDARS[0]:
        project.run(["run", "--select", "+settlement_lines", "+settlement_windows"], calendar)
    expected = {order_id: calendar.window_of(captured_at) for order_id, captured_at in edges.items()}
    bounds = {window: calendar.bounds(window) for window in {*expected.values(), calendar.latest_due()}}
    for session in (KIRITIMATI, NEW_YORK):
        with open_connection(module_database) as conn:
            conn.execute("select set_config('timezone', %s, false)", (session,))
            for relation in ("intermediate.int_order_timeline", "marts.settlement_lines"):
                found = conn.execute(f"select order_id, payout_window from {relation}".encode()).fetchall()
                assert len(found) == len(expected)
                assert dict(found) == expected, f"{relation} in a session of {session}"
            rows = conn.execute(
                "select payout_window, window_ends_at, reserve_closes_at, order_count"
                " from marts.settlement_windows"
            ).fetchall()
            assert {row[0]: (row[1], row[2]) for row in rows} == bounds
            assert sum(row[3] for row in rows) == len(expected)
    weeks = [calendar.midnight(window + 7 * DAY) - calendar.midnight(window) for window in calendar.windows()]
    reached(13, "zones", 1)
    reached(13, "orders in one window each, in sessions of two zones", len(expected))
    reached(13, "weeks that are not 168 hours long", sum(week != 7 * DAY for week in weeks))

"""The calendars of the commands and of the second reading, against clocks that are asked what day it is."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reference import Terms
from weekclose.policy import WEEKDAYS
from weekclose.reading import Calendar

pytestmark = pytest.mark.catalogue(13)

INSTANT, DAY = timedelta(microseconds=1), timedelta(days=1)
# Clocks that change at two, at three, at midnight forwards or backwards, by half an hour, and never.
ZONES = (
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "America/Santiago",
    "America/Havana",
    "Australia/Lord_Howe",
    "Pacific/Kiritimati",
)


def first_instant(day: date, zone: ZoneInfo) -> datetime:
    """When the clocks of a zone begin to show a day: found by asking them."""
    before = datetime(day.year, day.month, day.day, tzinfo=UTC) - 2 * DAY
    after = before + 4 * DAY
    while after - before > INSTANT:
        middle = before + (after - before) // 2
        if middle.astimezone(zone).date() < day:
            before = middle
        else:
            after = middle
    return after


def first_day(day: date, starts_on: str) -> date:
    """The day itself, or the last one before it that has this name."""
    while day.strftime("%A").lower() != starts_on:
        day -= DAY
    return day


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@given(
    st.dates(date(2000, 1, 1), date(2037, 12, 31)),
    st.sampled_from(ZONES),
    st.sampled_from(WEEKDAYS),
    st.integers(0, 30),
)
@example(date(2026, 3, 8), "America/New_York", "sunday", 7)
@example(date(2026, 11, 1), "America/New_York", "sunday", 7)
@example(date(2026, 9, 6), "America/Santiago", "sunday", 7)
@example(date(2026, 4, 5), "America/Santiago", "sunday", 7)
@example(date(2026, 11, 1), "America/Havana", "sunday", 0)
@example(date(2028, 2, 29), "Europe/Berlin", "tuesday", 1)
def test_a_window_is_seven_local_days(day: date, zone: str, starts_on: str, reserve_days: int) -> None:
    clock = ZoneInfo(zone)
    terms = Terms(date(2000, 1, 2), zone=zone, starts_on=starts_on, reserve_days=reserve_days)
    window = first_day(day, starts_on)
    begins, ends = first_instant(window, clock), first_instant(window + 7 * DAY, clock)
    shown = Calendar(begins, begins, clock, starts_on, reserve_days)
    assert (terms.midnight(window), terms.ends_at(window)) == (begins, ends)
    assert terms.reserve_closes_at(window) == first_instant(window + (7 + reserve_days) * DAY, clock)
    for instant, expected in (
        (begins - INSTANT, window - 7 * DAY),
        (begins, window),
        (first_instant(day, clock), window),
        (ends - INSTANT, window),
        (ends, window + 7 * DAY),
    ):
        assert shown.window_of(shown.day(instant)) == expected
        assert terms.window_of(terms.local_date(instant)) == expected
    closes = terms.reserve_closes_at(window)
    assert terms.latest_due(closes) == window
    assert terms.latest_due(closes - INSTANT) == window - 7 * DAY

"""The settings that decide what a window is and what it pays: dbt_project.yml's vars, and a run's own."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from weekclose.drift_limits import Limits
from weekclose.errors import UsageError
from weekclose.settings import project_dir

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

# Once a window is frozen these hold for good: the windows after it begin where it ends.
FIXED_BY_A_FREEZE = ("settlement_timezone", "payout_window_starts_on", "settlement_start")
# Other ones than last time make every line anew; the macro build_settings has the same.
SHAPES_LINES = (*FIXED_BY_A_FREEZE, "reserve_days", "raw_schema")


def effective_vars(overrides: Mapping[str, Any], as_of: datetime) -> dict[str, Any]:
    """The project's vars with a run's overrides, checked. Raises UsageError naming the var and its value."""
    project = yaml.safe_load((project_dir() / "dbt_project.yml").read_text())["vars"]
    unknown = sorted(set(overrides) - set(project))
    if unknown:
        raise UsageError(f"--vars: there is no {unknown[0]!r}; known are {', '.join(sorted(project))}")
    for name, value in overrides.items():
        if isinstance(project[name], dict) and not isinstance(value, dict):
            raise UsageError(f"--vars: {name} {value!r} is not an object of settings")
        strange = sorted(set(value) - set(project[name])) if isinstance(value, dict) else []
        if strange:
            raise UsageError(f"--vars: there is no {strange[0]!r} in {name}")
    if "as_of" in overrides:
        raise UsageError("--vars: say as_of with --as-of")
    if "proved_until" in overrides:
        raise UsageError("--vars: proved_until is what the last green run has left, and no setting")
    # A block such as `drift` keeps what an override leaves out; a date that YAML made of a text is text.
    merged = {
        name: {**value, **overrides.get(name, {})} if isinstance(value, dict) else overrides.get(name, value)
        for name, value in project.items()
    }
    chosen: dict[str, Any] = json.loads(json.dumps(merged, default=str)) | {"as_of": as_of.isoformat()}
    chosen["settlement_start"] = str(chosen["settlement_start"] or "")
    _check(chosen)
    return chosen


def parse_as_of(text: str | None) -> datetime:
    """The instant in `text` in UTC; now without one. Raises UsageError when it has no offset."""
    return datetime.now(UTC) if text is None else parse_instant(text, "--as-of")


def parse_instant(text: str, option: str) -> datetime:
    """The instant in `text` in UTC. Raises UsageError naming the option when it is none or has no offset."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise UsageError(f"{option} {text!r} is not an instant with an offset: write 2026-11-15T23:00:00Z")
    return instant.astimezone(UTC)


def parse_vars(text: str) -> dict[str, Any]:
    """The JSON object in `text`. Raises UsageError when it is none."""
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise UsageError(f"--vars {text!r} is not a JSON object: write '{{\"reserve_days\": 3}}'")
    return given


def _check(chosen: Mapping[str, Any]) -> None:
    try:
        ZoneInfo(str(chosen["settlement_timezone"]))
    except (KeyError, ValueError, OSError):
        zone = chosen["settlement_timezone"]
        raise UsageError(
            f"settlement_timezone {zone!r} is not a zone: write one like Europe/Berlin"
        ) from None
    weekday = chosen["payout_window_starts_on"]
    if weekday not in WEEKDAYS:
        raise UsageError(f"payout_window_starts_on {weekday!r} is not one of {', '.join(WEEKDAYS)}")
    whole = ("reserve_days", "quiet_period_hours", "near_ready_hours", "clearance_days", "audit_days")
    for name in (*whole, "freshness_warn_days", "freshness_error_days"):
        if not isinstance(chosen[name], int) or isinstance(chosen[name], bool) or chosen[name] < 0:
            raise UsageError(f"{name} {chosen[name]!r} is not a whole number of 0 or more")
    start = chosen["settlement_start"]
    if start:
        _check_start(start, weekday)
    Limits.of(chosen)


def _check_start(start: str, weekday: str) -> None:
    try:
        day = date.fromisoformat(start)
    except ValueError:
        raise UsageError(f"settlement_start {start!r} is not a date: write 2026-11-01") from None
    if WEEKDAYS[day.weekday()] != weekday:
        raise UsageError(
            f"settlement_start {start} is a {WEEKDAYS[day.weekday()]}: a window starts on a {weekday}"
        )

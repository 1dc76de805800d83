"""Does the due window look like the closed ones? The gate between green data tests and the freeze."""

import logging
import os
import warnings
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, fields
from datetime import date
from decimal import Decimal
from importlib.metadata import version
from multiprocessing import get_context
from statistics import median
from typing import Any, Literal

from psycopg import Connection

from weekclose.drift_limits import Limits, Tolerance
from weekclose.drift_windows import Comparison, comparisons
from weekclose.errors import WeekcloseError

Level = Literal["ok", "warn", "block", "info"]

# Makes of a median absolute deviation the standard deviation of normal noise.
MAD_TO_SIGMA = Decimal("1.4826")


@dataclass(frozen=True)
class DriftResult:
    """What came of one statistic of a due window.

    Outside [`expected_min`, `expected_max`] a person should know, outside [`block_min`, `block_max`] nothing
    is frozen; all four are None when it was not judged (`info`). Money is in `currency`, shares are 0..1,
    `payable` is for each window paid. `validation` is what Great Expectations said.
    """

    check: str
    currency: str
    rail: str | None
    payout_window: date
    observed: Decimal | None
    expected_min: Decimal | None
    expected_max: Decimal | None
    block_min: Decimal | None
    block_max: Decimal | None
    level: Level
    windows_compared: int
    message: str
    validation: list[dict[str, Any]] = field(default_factory=list, compare=False, repr=False)

    @property
    def is_red(self) -> bool:
        """Whether it bars a freeze."""
        return self.level == "block"

    @property
    def is_warning(self) -> bool:
        """Whether a person should know."""
        return self.level == "warn"

    def as_json(self) -> dict[str, Any]:
        """The result as it is kept with the run, without the raw validation; decimals and dates are text."""
        values = {name.name: getattr(self, name.name) for name in fields(self) if name.name != "validation"}
        return {
            name: str(value) if isinstance(value, Decimal | date) else value for name, value in values.items()
        }


def check(conn: Connection[Any], variables: Mapping[str, Any]) -> list[DriftResult]:
    """Compare each due window with the closed ones before it; reads only. Nothing when no window is due.

    `variables` are the run's dbt vars. Raises UsageError when their block `drift` cannot be read,
    WeekcloseError when Great Expectations could not judge.
    """
    limits = Limits.of(variables)
    results: list[DriftResult] = []
    for of_window in comparisons(conn, limits.compare_windows):
        bands = {compared.column: _band(compared, limits) for compared in of_window}
        said = _validate(of_window, bands)
        results += [
            _judge(compared, bands[compared.column], said.get(compared.column, []), limits)
            for compared in of_window
        ]
    return results


def as_kept(results: Iterable[DriftResult]) -> dict[str, Any]:
    """What a run's file holds of the checks: the results, and word for word what the validator said."""
    kept = list(results)
    return {
        "great_expectations": version("great-expectations"),
        "results": [result.as_json() for result in kept],
        "validations": [
            {"payout_window": str(result.payout_window), **said}
            for result in kept
            for said in result.validation
        ],
    }


@dataclass(frozen=True)
class _Band:
    """What is usual, and beyond what nothing is frozen."""

    middle: Decimal
    expected_min: Decimal
    expected_max: Decimal
    block_min: Decimal
    block_max: Decimal


def _band(compared: Comparison, limits: Limits) -> _Band | None:
    """The ranges that the closed windows give; None when there is nothing to judge, or too little."""
    history = compared.history
    if compared.observed is None or not history:
        return None
    if max(compared.sellers, compared.usual_sellers) < limits.least(compared.check):
        return None
    middle = median(history)
    spread = _spread(compared, middle, limits.tolerances[compared.check.name])
    block_min = middle - limits.block_at * spread
    if compared.check.vanishing is not None and min(history) >= 0:
        block_min = max(block_min, min(history) * compared.check.vanishing)
    return _Band(
        middle=middle,
        expected_min=_rounded(max(middle - limits.warn_at * spread, block_min)),
        expected_max=_rounded(middle + limits.warn_at * spread),
        block_min=_rounded(block_min),
        block_max=_rounded(middle + limits.block_at * spread),
    )


def _spread(compared: Comparison, middle: Decimal, tolerance: Tolerance) -> Decimal:
    """How far the statistic strays in calm weeks, as a standard deviation.

    Medians, because one odd week among the closed ones must not widen what the next one may do. Never less
    than the floor or than what chance does to so many sellers: thirteen weeks may have been calmer than
    weeks are.
    """
    in_history = MAD_TO_SIGMA * median(abs(value - middle) for value in compared.history)
    by_chance = tolerance.noise / max(compared.usual_sellers, Decimal(1)).sqrt()
    if compared.check.name == "rail_share":
        # What is unusual is how many sellers changed rails, not by which part a small rail grew.
        return max(in_history, tolerance.floor, by_chance * (middle * (1 - middle)).sqrt())
    return max(in_history, tolerance.floor * abs(middle), by_chance * abs(middle))


def _validate(
    of_window: list[Comparison], bands: Mapping[str, _Band | None]
) -> dict[str, list[dict[str, Any]]]:
    """What Great Expectations says of a window: for each judged column its two ranges, as plain JSON.

    The statistics come ready from SQL, a column each: a hundred thousand rows would take seconds to get
    here, and the same arithmetic has to make those of the closed windows. From here on they are floats,
    which is fine as they gate and never pay: a bound is off by a billionth at most.
    """
    judged = [(compared, band) for compared in of_window if (band := bands[compared.column]) is not None]
    if not judged:
        return {}
    row = {compared.column: float(compared.observed or 0) for compared, _ in judged}
    ranges = [
        (compared.column, severity, float(low), float(high))
        for compared, band in judged
        for severity, low, high in (
            ("warning", band.expected_min, band.expected_max),
            ("critical", band.block_min, band.block_max),
        )
    ]
    # A process of its own: the library holds more memory than all else that a Sunday needs.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    context = get_context("forkserver")
    context.set_forkserver_preload(["great_expectations"])
    try:
        with ProcessPoolExecutor(max_workers=1, mp_context=context) as process:
            said = process.submit(_expect, str(judged[0][0].payout_window), row, ranges).result()
    except BrokenProcessPool as ended:
        raise WeekcloseError("Great Expectations could not judge: its process has ended") from ended
    return {compared.column: _both_ranges(compared.column, said) for compared, _ in judged}


def _expect(
    window: str, row: Mapping[str, float], ranges: Iterable[tuple[str, str, float, float]]
) -> list[dict[str, Any]]:
    """Great Expectations' own results for a row's columns; it reports to nobody and writes to no stream."""
    logger = logging.getLogger("great_expectations")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations
        import pandas

        gx: Any = great_expectations
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False, "metric_calculations": False}
        asset = context.data_sources.add_pandas("weekclose").add_dataframe_asset("due_window")
        batch = asset.add_batch_definition_whole_dataframe(window).get_batch(
            {"dataframe": pandas.DataFrame([row])}
        )
        expectations = [
            gx.expectations.ExpectColumnValuesToBeBetween(
                column=column, min_value=low, max_value=high, severity=severity
            )
            for column, severity, low, high in ranges
        ]
        suite = gx.ExpectationSuite(name=f"window {window}", expectations=expectations)
        results: list[dict[str, Any]] = batch.validate(suite).to_json_dict()["results"]
    return results


def _both_ranges(column: str, said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The column's own results. Raises WeekcloseError when one is missing or has seen no value."""
    own = [one for one in said if one["expectation_config"]["kwargs"]["column"] == column]
    seen = [
        one for one in own if one["result"].get("element_count") == 1 and not one["result"]["missing_count"]
    ]
    if {_severity(one) for one in seen} != {"warning", "critical"}:
        raise WeekcloseError(f"Great Expectations could not judge {column}: {own}")
    return sorted(own, key=_severity)


def _severity(one: Mapping[str, Any]) -> str:
    return str(one["expectation_config"]["severity"])


def _judge(
    compared: Comparison, band: _Band | None, said: list[dict[str, Any]], limits: Limits
) -> DriftResult:
    level, verdict = _verdict(compared, band, said, limits)
    observed = "unknown" if compared.observed is None else compared.check.unit(compared.observed)
    sentence = compared.check.sentence.format(observed=observed, **compared.words)
    return DriftResult(
        check=compared.check.name,
        currency=compared.currency,
        rail=compared.rail,
        payout_window=compared.payout_window,
        observed=compared.observed,
        expected_min=band.expected_min if band else None,
        expected_max=band.expected_max if band else None,
        block_min=band.block_min if band else None,
        block_max=band.block_max if band else None,
        level=level,
        windows_compared=len(compared.history),
        message=f"window {compared.payout_window}, {compared.currency}: {sentence}; {verdict}",
        validation=said,
    )


def _verdict(
    compared: Comparison, band: _Band | None, said: list[dict[str, Any]], limits: Limits
) -> tuple[Level, str]:
    if band is None:
        return "info", _why_not_judged(compared, limits)
    failed = {_severity(one) for one in said if not one["success"]}
    if "critical" not in failed:
        usual = f"{_range(compared, band.expected_min, band.expected_max, band)} is usual"
        return ("warn", f"{usual}: look at it") if failed else ("ok", usual)
    allowed = f"{_range(compared, band.block_min, band.block_max, band)} is allowed"
    if len(compared.history) < limits.least_windows_to_block:
        return (
            "warn",
            f"{allowed}: look at it, it will block once {limits.least_windows_to_block} windows are closed",
        )
    if compared.payout_window <= limits.accepted_up_to:
        return "warn", f"{allowed}: accepted, as drift.accepted_up_to is {limits.accepted_up_to}"
    return "block", f"{allowed}: blocks the freeze"


def _range(compared: Comparison, low: Decimal, high: Decimal, band: _Band) -> str:
    unit, windows = compared.check.unit, len(compared.history)
    closed = f"the last {windows} closed windows" if windows > 1 else "the one closed window"
    return f"from {unit(low)} to {unit(high)} (around {unit(band.middle)}, the middle of {closed})"


def _why_not_judged(compared: Comparison, limits: Limits) -> str:
    if compared.observed is None or not compared.history:
        return "not judged, there is nothing to compare"
    return f"not judged, it rests on fewer than {limits.least(compared.check)} sellers"


def _rounded(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.000001"))

"""What is watched before a freeze, and how far it may stray: the var block `drift`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from weekclose.errors import UsageError


def _count(value: Decimal) -> str:
    return f"{value:,.0f}"


def _money(value: Decimal) -> str:
    return f"{value:,.2f}"


def _percent(value: Decimal) -> str:
    return f"{value * 100:.1f} %"


@dataclass(frozen=True)
class Check:
    """A watched statistic: how a person reads it, and which count of sellers it rests on.

    `vanishing`: however wide the noise, less than this part of the least closed window's bars a freeze.
    None where a calm week can go below zero.
    """

    name: str
    sentence: str
    unit: Callable[[Decimal], str]
    rests_on: str = "sellers"
    vanishing: Decimal | None = Decimal("0.1")


CHECKS = (
    Check("sellers", "{observed} sellers had sales, refunds or disputes", _count),
    Check("net_mean", "a seller's net is {observed} on average ({sellers:,} sellers)", _money),
    Check("net_median", "the middle seller's net is {observed} ({sellers:,} sellers)", _money),
    Check("net_spread", "the sellers' nets spread by {observed} ({sellers:,} sellers)", _money),
    Check(
        "refund_share",
        "refunds are {observed} of gross ({refunds:,} of {gross:,})",
        _percent,
        rests_on="refunded_sellers",
    ),
    # Claw-backs that are released count against new ones.
    Check(
        "dispute_share",
        "disputes are {observed} of gross ({disputes:,} of {gross:,})",
        _percent,
        rests_on="disputed_sellers",
        vanishing=None,
    ),
    Check(
        "rail_share",
        "{observed} of the sellers are on {rail} ({on_rail:,} of {sellers:,})",
        _percent,
        vanishing=Decimal(0),
    ),
    Check("payable", "{observed} is payable{for_each}", _money),
)


@dataclass(frozen=True)
class Tolerance:
    """How far a statistic strays in calm weeks, as a part of itself (a rail's share: of all sellers).

    `floor` holds in a market of any size; `noise` is for a single seller, and shrinks with their root.
    """

    floor: Decimal
    noise: Decimal


@dataclass(frozen=True)
class Limits:
    """The var block `drift`: docs/drift.md says what each name is for."""

    compare_windows: int
    least_windows_to_block: int
    least_sellers: int
    least_affected_sellers: int
    warn_at: Decimal
    block_at: Decimal
    accepted_up_to: date
    tolerances: Mapping[str, Tolerance]

    @classmethod
    def of(cls, variables: Mapping[str, Any]) -> "Limits":
        """Read them from a run's dbt vars. Raises UsageError naming the var and its value."""
        given = variables.get("drift")
        if not isinstance(given, Mapping):
            raise UsageError("the var drift is missing: docs/drift.md shows the block for dbt_project.yml")
        known = {name.name for name in fields(cls)} - {"tolerances"} | {check.name for check in CHECKS}
        for name in sorted(known ^ set(given)):
            raise UsageError(
                f"drift: {name} is {'unknown' if name in given else 'missing'}: see docs/drift.md"
            )
        limits = cls(
            compare_windows=_whole(given, "compare_windows"),
            least_windows_to_block=_whole(given, "least_windows_to_block"),
            least_sellers=_whole(given, "least_sellers"),
            least_affected_sellers=_whole(given, "least_affected_sellers"),
            warn_at=_number(given, "warn_at"),
            block_at=_number(given, "block_at"),
            accepted_up_to=_day(given, "accepted_up_to"),
            tolerances={check.name: _tolerance(given, check.name) for check in CHECKS},
        )
        if limits.warn_at > limits.block_at:
            raise UsageError(f"drift: warn_at {limits.warn_at} lies beyond block_at {limits.block_at}")
        return limits

    def least(self, check: Check) -> int:
        """On how many sellers the statistic has to rest before it is judged."""
        return self.least_sellers if check.rests_on == "sellers" else self.least_affected_sellers


def _whole(given: Mapping[str, Any], name: str) -> int:
    value = given[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UsageError(f"drift: {name} {value!r} is not a whole number of 1 or more")
    return value


def _number(given: Mapping[str, Any], name: str) -> Decimal:
    try:
        value = Decimal(str(given[name]))
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite() or value < 0:
        raise UsageError(f"drift: {name} {given[name]!r} is not a number of 0 or more")
    return value


def _day(given: Mapping[str, Any], name: str) -> date:
    try:
        return date.fromisoformat(str(given[name])) if given[name] else date.min
    except ValueError:
        raise UsageError(f"drift: {name} {given[name]!r} is not a date: write 2026-11-01") from None


def _tolerance(given: Mapping[str, Any], name: str) -> Tolerance:
    value = given[name]
    if not isinstance(value, Mapping) or set(value) != {"floor", "noise"}:
        raise UsageError(f"drift: {name} {value!r} is not a pair like {{floor: 0.08, noise: 0.8}}")
    return Tolerance(floor=_number(value, "floor"), noise=_number(value, "noise"))

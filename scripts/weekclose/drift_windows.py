"""The due windows' statistics, each beside those of the closed windows before it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from statistics import median
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

from weekclose.database import statement
from weekclose.drift_limits import CHECKS, Check

# What a currency looks like in a window that has no row of it.
NO_ROWS: Mapping[str, Any] = {
    **{"sellers": 0, "refunded_sellers": 0, "disputed_sellers": 0},
    **{"gross": Decimal(0), "refunds": Decimal(0), "disputes": Decimal(0), "payable": Decimal(0)},
    **{"net_mean": None, "net_median": None, "net_spread": None, "refund_share": None, "dispute_share": None},
}


@dataclass(frozen=True)
class Comparison:
    """A statistic of a due window and what it was in the closed ones; None where a window has none of it.

    `sellers` and `usual_sellers` (the median of the closed windows) are those the statistic rests on.
    Money is in `currency`, shares are 0..1. `words` fill the check's sentence.
    """

    check: Check
    payout_window: date
    currency: str
    rail: str | None
    observed: Decimal | None
    history: tuple[Decimal, ...]
    sellers: Decimal
    usual_sellers: Decimal
    words: Mapping[str, Any]

    @property
    def column(self) -> str:
        """Its name among the statistics of its window."""
        return " ".join(part for part in (self.currency, self.check.name, self.rail) if part)


def comparisons(conn: Connection[Any], compare_windows: int) -> Iterator[list[Comparison]]:
    """One list for each due window, oldest first; none when no window is due.

    What is frozen together is compared one by one, each window with up to `compare_windows` before it.
    """
    windows = _windows(conn, compare_windows)
    for number, due in enumerate(windows):
        if due.is_due:
            yield _of_window(due, windows[max(0, number - compare_windows) : number])


@dataclass(frozen=True)
class _Window:
    """A window's statistics and its sellers per rail, both by currency."""

    payout_window: date
    is_due: bool
    windows_paid: int | None
    statistics: dict[str, Mapping[str, Any]]
    rails: dict[str, dict[str, int]]

    def of(self, currency: str) -> Mapping[str, Any]:
        return self.statistics.get(currency, NO_ROWS)

    def on_rail(self, currency: str, rail: str | None) -> int:
        return self.rails.get(currency, {}).get(rail or "", 0)

    def value(self, check: Check, currency: str, rail: str | None) -> Decimal | None:
        found = self.of(currency)
        if check.name == "rail_share":
            return _ratio(self.on_rail(currency, rail), found["sellers"])
        if check.name == "payable":
            # After a skipped Sunday one window pays for all that were due.
            return _ratio(found["payable"], self.windows_paid)
        value = found[check.name]
        return None if value is None else Decimal(value)


def _windows(conn: Connection[Any], compare_windows: int) -> list[_Window]:
    with conn.transaction(), conn.cursor(row_factory=dict_row) as cursor:
        # One snapshot: a freeze must not move a window between two statements.
        cursor.execute("set transaction isolation level repeatable read, read only")
        found = cursor.execute(statement("drift_windows"), {"closed": compare_windows}).fetchall()
        windows = {row["payout_window"]: _Window(**row, statistics={}, rails={}) for row in found}
        due = [day for day, window in windows.items() if window.is_due]
        if not due:
            return []
        named = {"due": due, "closed": [day for day, window in windows.items() if not window.is_due]}
        for row in cursor.execute(statement("drift_statistics"), named):
            windows[row["payout_window"]].statistics[row["currency"]] = row
        for row in cursor.execute(statement("drift_rails"), named):
            windows[row["payout_window"]].rails.setdefault(row["currency"], {})[row["rail"]] = row["sellers"]
    return list(windows.values())


def _of_window(due: _Window, closed: Sequence[_Window]) -> list[Comparison]:
    compared = []
    for currency in sorted({currency for window in (*closed, due) for currency in window.statistics}):
        # A currency is compared with the windows since it came up, not with its absence.
        before = [window for window in closed if currency in window.statistics]
        rails = sorted({rail for window in (*before, due) for rail in window.rails.get(currency, {})})
        for check in CHECKS:
            of_rails: list[str | None] = [*rails] if check.name == "rail_share" else [None]
            for rail in of_rails:
                compared.append(_compare(check, due, before, currency, rail))
    return compared


def _compare(
    check: Check, due: _Window, before: Sequence[_Window], currency: str, rail: str | None
) -> Comparison:
    known = [(window, window.value(check, currency, rail)) for window in before]
    resting = [Decimal(window.of(currency)[check.rests_on]) for window, value in known if value is not None]
    return Comparison(
        check=check,
        payout_window=due.payout_window,
        currency=currency,
        rail=rail,
        observed=due.value(check, currency, rail),
        history=tuple(value for _, value in known if value is not None),
        sellers=Decimal(due.of(currency)[check.rests_on]),
        usual_sellers=median(resting) if resting else Decimal(0),
        words={
            **due.of(currency),
            "rail": rail,
            "on_rail": due.on_rail(currency, rail),
            "for_each": f" for each of {due.windows_paid} windows" if (due.windows_paid or 0) > 1 else "",
        },
    )


def _ratio(part: Decimal | int, whole: int | None) -> Decimal | None:
    return (Decimal(part) / whole).quantize(Decimal("0.000001")) if whole else None

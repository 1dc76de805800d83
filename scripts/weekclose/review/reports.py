"""How it goes over the weeks, beside its targets: the data of the reports page."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from psycopg import Connection

from weekclose.reading import snapshot
from weekclose.review.columns import Columns, listed
from weekclose.review.operations import NOTHING_BUILT, built, frame

WEEKS_SHOWN = 26

# Those with most trouble come first; `marts.seller_payment_behaviour` has everyone.
SELLERS_SHOWN = 30_000

LISTS = {
    "kpis": "ops_kpis",
    "success": "ops_success",
    "success_rows": "ops_success_rows",
    "fees": "ops_fees",
    "chargebacks": "ops_chargebacks",
    "patterns": "ops_request_patterns",
}

# What is measured, against which column, which side is good, and in words.
TARGETS = (
    ("automated_rate", "automated_target", "up", "Automated", "paid with nobody doing anything but approve"),
    (
        "manual_intervention_rate",
        "manual_intervention_limit",
        "down",
        "Manual interventions",
        "payouts about which a person did something",
    ),
    ("hold_compliance", "hold_compliance_target", "up", "Holds kept", "what was to stay has stayed"),
    ("audit_coverage", "audit_coverage_target", "up", "Audited", "changes with an entry of the audit log"),
)


def reports_data(conn: Connection[Any]) -> dict[str, Any]:
    """The reports' rows as they are, windows oldest first. Amounts in hundredths, rates from 0 to 1.

    Opens its own snapshot. Raises NothingToDo for a database without tables.
    """
    with snapshot(conn):
        dates = built(conn)
        page = {"page": frame("reports", dates), "targets": []}
        if dates is None:
            nothing: dict[str, Any] = {name: {"columns": {}} for name in (*LISTS, "behaviour")}
            return page | {"verdict": NOTHING_BUILT} | nothing
        since = dates.window_of(dates.day(dates.as_of)) - timedelta(weeks=WEEKS_SHOWN)
        lists = {part: listed(conn, name, dates.zone, since=since) for part, name in LISTS.items()}
        behaviour = listed(conn, "ops_behaviour", dates.zone, limit=SELLERS_SHOWN)
        targets = _targets(lists["kpis"]["columns"])
        return page | {"verdict": _verdict(targets), "behaviour": behaviour} | lists | {"targets": targets}


def _targets(kpis: Columns) -> list[dict[str, Any]]:
    """The newest window that has a value for it, of each."""
    found = []
    for rate, target, good, label, about in TARGETS:
        known = [place for place, value in enumerate(kpis[rate]) if value is not None]
        newest = known[-1] if known else None
        value = kpis[rate][newest] if newest is not None else None
        aim = kpis[target][newest] if newest is not None else None
        found.append(
            {
                "key": rate,
                "label": label,
                "about": about,
                "good": good,
                "value": value,
                "target": aim,
                "window": kpis["payout_window"][newest] if newest is not None else None,
                "is_met": None if value is None else value >= aim if good == "up" else value < aim,
            }
        )
    return found


def _verdict(targets: Sequence[dict[str, Any]]) -> dict[str, Any]:
    measured = [target for target in targets if target["is_met"] is not None]
    missed = [target["label"].lower() for target in measured if not target["is_met"]]
    if not measured:
        detail = "Reports begin with the first frozen window."
        return {"tone": "idle", "headline": "Nothing is measured yet", "detail": detail, "command": None}
    return {
        "tone": "warn" if missed else "good",
        "headline": f"{len(measured) - len(missed)} of {len(measured)} targets met",
        "detail": f"Missed in the newest window: {', '.join(missed)}." if missed else "",
        "command": None,
    }

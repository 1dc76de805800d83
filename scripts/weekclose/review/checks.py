"""What a run checked, for people: failures first, each with what it protects and the rows that failed."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from weekclose.reading import Row

STATUS = {"pass": "pass", "success": "pass", "warn": "warn", "skipped": "skipped"}
DRIFT_STATUS = {"ok": "pass", "info": "pass", "warn": "warn", "block": "fail"}
ORDER = ("fail", "warn", "skipped", "pass")

# What each distribution check would catch that no single row shows.
DRIFT_PROTECTS = {
    "sellers": "A feed that lost part of the sellers, or has them twice.",
    "net_mean": "Amounts in another unit, or orders that are missing or doubled.",
    "net_median": "A change that touches every seller a little, such as another fee.",
    "net_spread": "A few amounts that are wildly off.",
    "refund_share": "Refunds that stopped arriving, or arrived twice.",
    "dispute_share": "Disputes that stopped arriving, or a wave of fraud.",
    "rail_share": "Sellers who were moved to another rail without anybody's decision.",
    "payable": "A payout that is far from what Tuesdays cost.",
}


def checks_of(run: Row | None) -> list[dict[str, Any]]:
    """Every data test, distribution check and source of a run, failures first, most rows first."""
    if run is None:
        return []
    results = run["results"]
    named = {check["name"] for check in results.get("checks", [])}
    nodes = [
        *results.get("checks", []),
        # A model that broke is no check, but it stops the window all the same.
        *(node for node in results.get("failed", []) if node["name"] not in named),
    ]
    checks = [_of_node(node) for node in nodes]
    checks += [_of_drift(result) for result in results.get("drift", {}).get("results", [])]
    return sorted(checks, key=lambda check: (ORDER.index(check["status"]), -check["failures"], check["name"]))


def sources_of(run: Row | None) -> list[dict[str, Any]]:
    """How fresh each source was when the run looked; `age_days` counts from the run's as_of."""
    nodes = run["results"].get("checks", []) if run else []
    return [_of_source(node, run["as_of"]) for node in nodes if node["kind"] == "source" and run]


def _of_node(node: Mapping[str, Any]) -> dict[str, Any]:
    rows = node.get("rows", [])
    return {
        "name": node["name"],
        "kind": {"test": "data test", "source": "freshness"}.get(node["kind"], node["kind"]),
        "status": STATUS.get(node["status"], "fail"),
        "failures": node["failures"],
        "message": node["message"],
        "protects": node.get("protects", ""),
        "columns": node.get("columns", []),
        "rows": rows,
        "more": max(0, node["failures"] - len(rows)) if rows else 0,
    }


def _of_drift(result: Mapping[str, Any]) -> dict[str, Any]:
    rail = f" {result['rail']}" if result["rail"] else ""
    return {
        "name": f"{result['check']} {result['currency']}{rail}",
        "kind": "distribution",
        "status": DRIFT_STATUS[result["level"]],
        "failures": 0,
        "message": result["message"],
        "protects": DRIFT_PROTECTS.get(result["check"], ""),
        "columns": [],
        "rows": [],
        "more": 0,
    }


def _of_source(node: Mapping[str, Any], as_of: datetime) -> dict[str, Any]:
    newest_at = node.get("newest_at")
    age = (as_of - datetime.fromisoformat(newest_at)).total_seconds() / 86400 if newest_at else None
    return {
        "name": node["name"],
        "newest_at": newest_at,
        "age_days": None if age is None else round(age, 2),
        "status": STATUS.get(node["status"], "fail"),
        "message": node["message"],
    }

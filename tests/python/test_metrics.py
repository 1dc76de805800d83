"""The semantic layer says what the marts say: each metric's SQL, without MetricFlow, on a small week."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from psycopg import Connection

from compiled_build import Build
from conftest import NewDatabase
from small_week import NIGHT, START, WALLET, empty_week
from weekclose.policy import effective_vars
from weekclose.settings import Settings
from weekclose.warehouse import Warehouse

MARKETPLACE = f"""
insert into raw.sellers (seller_id, region, settlement_currency, status, created_at, wallet_address) values
('ready', 'APAC', 'USD', 'active', '2026-01-01Z', '{WALLET}'),
('blocked', 'APAC', 'EUR', 'active', '2026-01-01Z', null),
('flagged', 'APAC', 'USD', 'active', '2026-01-01Z', '{WALLET}');
insert into raw.orders (order_id, seller_id, currency, gross_amount, fee_amount, status, captured_at) values
('r1', 'ready', 'USD', 100.10, 10.01, 'fulfilled', '2026-11-02 10:00Z'),
('r2', 'ready', 'USD', 50.00, 5.00, 'fulfilled', '2026-11-03 10:00Z'),
('r3', 'ready', 'USD', 70.00, 7.00, 'confirmed', '2026-11-14 10:00Z'),
('b1', 'blocked', 'EUR', 80.00, 8.00, 'fulfilled', '2026-11-04 10:00Z'),
('f1', 'flagged', 'USD', 90.00, 9.00, 'fulfilled', '2026-11-05 10:00Z'),
('f2', 'flagged', 'USD', 15.00, 1.50, 'fulfilled', '2026-11-05 11:00Z');
insert into raw.refunds (refund_id, order_id, amount, fee_refund_amount, refunded_at) values
('x1', 'r2', 20.00, 2.00, '2026-11-06 10:00Z'),
('x2', 'b1', 8.00, 0.80, '2026-11-07 10:00Z');
insert into raw.disputes (dispute_id, order_id, amount, reason, status, opened_at, closed_at) values
('d1', 'f1', 20.00, 'fraud', 'open', '2026-11-09 10:00Z', null),
('d2', 'f1', 20.00, 'fraud', 'won', '2026-11-09 11:00Z', '2026-11-11 10:00Z'),
('d3', 'f1', 20.00, 'fraud', 'open', '2026-11-10 10:00Z', null),
('d4', 'f1', 20.00, 'fraud', 'open', '2026-11-11 10:00Z', null);
"""

BY_WINDOW = "payout_window, currency"
WINDOWS = "from marts.settlement_windows group by payout_window, currency"
# What each metric must come out at, by the columns it is grouped by.
EXPECTED = {
    "gross": (BY_WINDOW, f"select payout_window, currency, sum(gross) {WINDOWS}"),
    "fees": (BY_WINDOW, f"select payout_window, currency, sum(fees) {WINDOWS}"),
    "refunds": (BY_WINDOW, f"select payout_window, currency, sum(refunds) {WINDOWS}"),
    "net": (BY_WINDOW, f"select payout_window, currency, sum(net) {WINDOWS}"),
    "disputes": (BY_WINDOW, f"select payout_window, currency, sum(disputes) {WINDOWS}"),
    "orders": (BY_WINDOW, f"select payout_window, currency, sum(order_count) {WINDOWS}"),
    "refund_rate": (BY_WINDOW, f"select payout_window, currency, sum(refunds) / sum(gross) {WINDOWS}"),
    "take_rate": (BY_WINDOW, f"select payout_window, currency, sum(fees) / sum(gross) {WINDOWS}"),
    "disputes_opened": ("seller_id", "select 'blocked', 0 union select 'flagged', 4 union select 'ready', 0"),
    "dispute_rate": ("seller_id", "select 'blocked', 0 union select 'flagged', 2 union select 'ready', 0"),
    "payable": (
        "currency",
        "select currency, coalesce(sum(amount) filter (where status = 'ready'), 0)"
        " from payouts.payouts group by currency",
    ),
    "sellers_to_review": (
        "seller_id",
        "select seller_id, cast(review_required as integer) from marts.seller_health",
    ),
}


@dataclass
class SemanticLayer:
    """The semantic manifest as dbt wrote it, and the database it speaks of."""

    manifest: dict[str, Any]
    conn: Connection[Any]

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        return {metric["name"]: metric for metric in self.manifest["metrics"]}

    def model_of(self, measure: str) -> dict[str, Any]:
        models: list[dict[str, Any]] = self.manifest["semantic_models"]
        (model,) = (m for m in models if measure in [candidate["name"] for candidate in m["measures"]])
        return model

    def measures_of(self, metric: str) -> list[str]:
        """The measures that a metric stands on, through every metric between."""
        params = self.metrics[metric]["type_params"]
        if params["measure"]:
            return [params["measure"]["name"]]
        inputs = [*(params["metrics"] or []), params["numerator"], params["denominator"]]
        return [measure for name in inputs if name for measure in self.measures_of(name["name"])]

    def expression(self, metric: str) -> str:
        """A metric as one SQL expression over the rows of its semantic model."""
        params = self.metrics[metric]["type_params"]
        if params["measure"]:
            name = params["measure"]["name"]
            (measure,) = (m for m in self.model_of(name)["measures"] if m["name"] == name)
            return f"{measure['agg']}({measure['expr'] or name})"
        if params["numerator"]:
            over, under = params["numerator"]["name"], params["denominator"]["name"]
            return f"({self.expression(over)}) / nullif(cast({self.expression(under)} as numeric), 0)"
        return re.sub(r"\w+", lambda name: self.expression(name[0]), params["expr"])

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.conn.execute(query.encode()).fetchall()

    def evaluate(self, metric: str, by: str) -> list[tuple[Any, ...]]:
        (model,) = {
            self.model_of(measure)["node_relation"]["relation_name"] for measure in self.measures_of(metric)
        }
        return self.rows(f"select {by}, {self.expression(metric)} from {model} group by {by} order by {by}")


@pytest.fixture(scope="module")
def layer(
    new_marts: NewDatabase, build: Build, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SemanticLayer]:
    from dbt.contracts.graph.semantic_manifest import SemanticManifest

    home = tmp_path_factory.mktemp("metrics")
    with empty_week(new_marts, build.on) as week:
        week.conn.execute(MARKETPLACE.encode())
        report = week.sunday()
        assert report.outcome == "frozen", report.message
        warehouse = Warehouse(Settings(WEEKCLOSE_HOME=home), week.server)
        variables = effective_vars({"settlement_start": START.isoformat()}, NIGHT)
        described = SemanticManifest(warehouse._project(variables).manifest)
        described.write_json_to_file(str(home / "semantic_manifest.json"))
        manifest = json.loads((home / "semantic_manifest.json").read_text())
        yield SemanticLayer(manifest, week.conn)


def test_the_week_has_what_the_metrics_ask_for(layer: SemanticLayer) -> None:
    assert layer.rows(
        "select status, array_agg(distinct block_reasons::text order by block_reasons::text)"
        " from marts.settlement_windows group by status order by status"
    ) == [("blocked", ["{invalid_wallet}", "{manual_review}"]), ("pending", ["{}"]), ("ready", ["{}"])]


@pytest.mark.parametrize("metric", EXPECTED)
def test_a_metric_is_what_the_marts_say(layer: SemanticLayer, metric: str) -> None:
    by, query = EXPECTED[metric]
    assert layer.evaluate(metric, by) == sorted(layer.rows(query))


def test_every_metric_is_held_to_the_marts(layer: SemanticLayer) -> None:
    assert set(layer.metrics) == set(EXPECTED)
    assert all(metric["description"] and metric["label"] for metric in layer.metrics.values())


def test_every_dimension_and_entity_is_a_column_or_sql(layer: SemanticLayer) -> None:
    for model in layer.manifest["semantic_models"]:
        parts = [part["expr"] or part["name"] for part in [*model["dimensions"], *model["entities"]]]
        layer.rows(f"select {', '.join(parts)} from {model['node_relation']['relation_name']} limit 0")


def test_money_is_asked_for_by_currency_under_one_name(layer: SemanticLayer) -> None:
    """`--group-by currency,seller` has to work whatever semantic model a metric comes from."""
    for metric in set(layer.metrics) - {"sellers_to_review"}:
        for measure in layer.measures_of(metric):
            entities = {entity["name"] for entity in layer.model_of(measure)["entities"]}
            assert {"currency", "seller"} <= entities, metric
    (query,) = layer.manifest["saved_queries"]
    assert "Entity('currency')" in query["query_params"]["group_by"]


def test_the_time_spine_has_no_gaps(layer: SemanticLayer) -> None:
    (spine,) = layer.manifest["project_configuration"]["time_spines"]
    layer.conn.execute("set time zone 'Pacific/Kiritimati'")
    days = layer.rows(
        "select min(day_on)::text, max(day_on)::text, count(*) = count(distinct day_on),"
        f" max(day_on) - min(day_on) + 1 = count(*) from {spine['node_relation']['relation_name']}"
    )
    assert days == [("2000-01-01", "2099-12-31", True, True)]

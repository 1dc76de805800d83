"""What a user would script instead: all of the settlement totals, computed anew from the raw rows.

The same answer as the marts', to the cent: a late row counts in the oldest window that was open when it
arrived, and a claim takes back no more than the seller has of its order.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
from psycopg import Connection

TABLES = {
    "orders": "order_id, seller_id, currency, gross_amount, fee_amount, status, captured_at, loaded_at",
    "refunds": "order_id, amount, fee_refund_amount, refunded_at, loaded_at",
    "disputes": "order_id, amount, status, opened_at, closed_at",
}
KEY = ["seller_id", "payout_window", "currency"]
SUMS = ["gross", "fees", "refunds", "disputes"]

# (seller, window, currency) and the four sums in cents.
Totals = dict[tuple[str, str, str], tuple[int, ...]]

OURS = """
select seller_id, payout_window::text, currency, gross * 100, fees * 100, refunds * 100, disputes * 100
from marts.settlement_windows
where (gross, fees, refunds, disputes) <> (0, 0, 0, 0)
"""

# Weeks begin on Sunday; the reserve is a week, so a run finds the week before the last one open.
DUCKDB = """
with sales as (
    select *, captured_at::date - dayofweek(captured_at)::integer as order_window
    from orders where status in ('confirmed', 'fulfilled')
),
returned as (
    select order_id, sum(amount - fee_refund_amount) as amount from refunds group by order_id
),
claims as (
    select
        sales.seller_id, sales.currency, sales.order_window,
        disputes.status, disputes.opened_at, disputes.closed_at,
        least(disputes.amount, sales.gross_amount - sales.fee_amount - coalesce(returned.amount, 0)) as amount
    from disputes join sales using (order_id) left join returned using (order_id)
),
lines as (
    select
        seller_id, currency, gross_amount as gross, fee_amount as fees, 0 as refunds, 0 as disputes,
        greatest(order_window, loaded_at::date - dayofweek(loaded_at)::integer - 14) as payout_window
    from sales
    union all
    select
        seller_id, currency, 0, -fee_refund_amount, amount, 0,
        greatest(
            order_window, refunded_at::date - dayofweek(refunded_at)::integer - 7,
            refunds.loaded_at::date - dayofweek(refunds.loaded_at)::integer - 14
        )
    from refunds join sales using (order_id)
    union all
    select seller_id, currency, 0, 0, 0, amount,
        greatest(order_window, opened_at::date - dayofweek(opened_at)::integer - 7)
    from claims
    union all
    select seller_id, currency, 0, 0, 0, -amount,
        greatest(order_window, closed_at::date - dayofweek(closed_at)::integer - 7)
    from claims where status in ('won', 'withdrawn')
)
select
    seller_id, payout_window, currency,
    sum(gross) as gross, sum(fees) as fees, sum(refunds) as refunds, sum(disputes) as disputes
from lines group by all
"""


def export(conn: Connection[Any], to: Path) -> None:
    """The raw rows as CSV files, which every peer reads."""
    for table, columns in TABLES.items():
        with (to / f"{table}.csv").open("wb") as file:
            rows = f"(select {columns} from raw.{table})"
            with conn.cursor().copy(f"copy {rows} to stdout with (format csv, header)".encode()) as copy:
                for part in copy:
                    file.write(part)


def ours(conn: Connection[Any]) -> Totals:
    """As the mart has them."""
    return _totals(conn.execute(OURS.encode()))


class DuckDB:
    """Native tables, filled before anything is timed."""

    def __init__(self, source: Path) -> None:
        self._db = duckdb.connect()
        self._db.execute("set threads = 1; set TimeZone = 'UTC'")
        for table in TABLES:
            money = {name: "decimal(18,2)" for name in TABLES[table].split(", ") if "amount" in name}
            self._db.execute(
                f"create table {table} as select * from read_csv('{source / table}.csv', types = {money})"
            )

    def recompute(self) -> None:
        """All of it, as a new table."""
        self._db.execute(f"create or replace table totals as {DUCKDB}")

    def totals(self) -> Totals:
        """What was computed last."""
        rows = self._db.execute(
            "select seller_id, payout_window::varchar, currency, gross * 100, fees * 100, refunds * 100,"
            " disputes * 100 from totals"
        )
        return _totals(rows.fetchall())


class Polars:
    """The files read, then computed eagerly on one thread's worth of columns."""

    def __init__(self, source: Path) -> None:
        self._read = {
            table: pl.read_csv(source / f"{table}.csv", schema_overrides=_cents_as_text(table)).with_columns(
                [pl.col(name).str.replace(".", "", literal=True).cast(pl.Int64) for name in _money(table)]
                + [pl.col(name).str.slice(0, 10).str.to_date() for name in _days(table)]
            )
            for table in TABLES
        }
        self._result = pl.DataFrame()

    def recompute(self) -> None:
        """All of it."""
        sales = self._read["orders"].filter(pl.col("status").is_in(["confirmed", "fulfilled"]))
        sales = sales.with_columns(order_window=_week("captured_at"))
        refunds = self._read["refunds"].join(sales, on="order_id", suffix="_of_order")
        back = (
            self._read["refunds"]
            .group_by("order_id")
            .agg((pl.col("amount") - pl.col("fee_refund_amount")).sum().alias("back"))
        )
        claims = (
            self._read["disputes"]
            .join(sales, on="order_id", suffix="_of_order")
            .join(back, on="order_id", how="left")
            .with_columns(
                amount=pl.min_horizontal(
                    "amount", pl.col("gross_amount") - pl.col("fee_amount") - pl.col("back").fill_null(0)
                )
            )
        )
        week, fortnight = pl.duration(days=7), pl.duration(days=14)
        lines = [
            _lines(
                sales,
                pl.max_horizontal("order_window", _week("loaded_at") - fortnight),
                gross=pl.col("gross_amount"),
                fees=pl.col("fee_amount"),
            ),
            _lines(
                refunds,
                pl.max_horizontal(
                    "order_window", _week("refunded_at") - week, _week("loaded_at") - fortnight
                ),
                fees=-pl.col("fee_refund_amount"),
                refunds=pl.col("amount"),
            ),
            _lines(
                claims,
                pl.max_horizontal("order_window", _week("opened_at") - week),
                disputes=pl.col("amount"),
            ),
            _lines(
                claims.filter(pl.col("status").is_in(["won", "withdrawn"])),
                pl.max_horizontal("order_window", _week("closed_at") - week),
                disputes=-pl.col("amount"),
            ),
        ]
        self._result = pl.concat(lines).group_by(KEY).agg(pl.col(SUMS).sum())

    def totals(self) -> Totals:
        """What was computed last."""
        return _totals(self._result.select(*KEY, *SUMS).iter_rows())


class Pandas:
    """The files read, then computed."""

    def __init__(self, source: Path) -> None:
        self._read = {}
        for table in TABLES:
            frame = pd.read_csv(source / f"{table}.csv", dtype=dict.fromkeys(_money(table), str))
            for name in _money(table):
                frame[name] = frame[name].str.replace(".", "", regex=False).astype("int64")
            for name in _days(table):
                frame[name] = pd.to_datetime(frame[name].str.slice(0, 10))
            self._read[table] = frame
        self._result = pd.DataFrame()

    def recompute(self) -> None:
        """All of it."""
        day = pd.Timedelta(days=1)

        def week(days: Any) -> Any:
            return days - pd.to_timedelta((days.dt.dayofweek + 1) % 7, unit="D")

        def latest(*windows: Any) -> Any:
            return pd.concat(windows, axis=1).max(axis=1)

        orders = self._read["orders"]
        sales = orders[orders["status"].isin(["confirmed", "fulfilled"])].copy()
        sales["order_window"] = week(sales["captured_at"])
        refunds = self._read["refunds"].merge(sales, on="order_id", suffixes=("", "_of_order"))
        back = self._read["refunds"].assign(back=lambda all_: all_["amount"] - all_["fee_refund_amount"])
        claims = (
            self._read["disputes"]
            .merge(sales, on="order_id", suffixes=("", "_of_order"))
            .merge(back.groupby("order_id")["back"].sum(), on="order_id", how="left")
        )
        left = claims["gross_amount"] - claims["fee_amount"] - claims["back"].fillna(0).astype("int64")
        claims["clawed"] = pd.concat([claims["amount"], left], axis=1).min(axis=1)
        closed = claims[claims["status"].isin(["won", "withdrawn"])]
        lines = [
            sales.assign(
                gross=sales["gross_amount"],
                fees=sales["fee_amount"],
                payout_window=latest(sales["order_window"], week(sales["loaded_at"]) - 14 * day),
            ),
            refunds.assign(
                fees=-refunds["fee_refund_amount"],
                refunds=refunds["amount"],
                payout_window=latest(
                    refunds["order_window"],
                    week(refunds["refunded_at"]) - 7 * day,
                    week(refunds["loaded_at"]) - 14 * day,
                ),
            ),
            claims.assign(
                disputes=claims["clawed"],
                payout_window=latest(claims["order_window"], week(claims["opened_at"]) - 7 * day),
            ),
            closed.assign(
                disputes=-closed["clawed"],
                payout_window=latest(closed["order_window"], week(closed["closed_at"]) - 7 * day),
            ),
        ]
        together = pd.concat([part.reindex(columns=[*KEY, *SUMS]) for part in lines])
        together[SUMS] = together[SUMS].fillna(0).astype("int64")
        self._result = together.groupby(KEY, as_index=False)[SUMS].sum()

    def totals(self) -> Totals:
        """What was computed last."""
        return _totals(self._result[[*KEY, *SUMS]].itertuples(index=False, name=None))


Peer = DuckDB | Polars | Pandas
PEERS: dict[str, Callable[[Path], Peer]] = {
    "DuckDB": DuckDB,
    "Polars": Polars,
    "pandas": Pandas,
}


def _totals(rows: Any) -> Totals:
    return {
        (seller, str(window)[:10], currency): tuple(map(int, sums))
        for seller, window, currency, *sums in rows
        if any(sums)
    }


def _money(table: str) -> list[str]:
    return [name for name in TABLES[table].split(", ") if "amount" in name]


def _days(table: str) -> list[str]:
    return [name for name in TABLES[table].split(", ") if name.endswith("_at")]


def _cents_as_text(table: str) -> dict[str, Any]:
    return dict.fromkeys([*_money(table), *_days(table)], pl.String)


def _week(name: str) -> pl.Expr:
    return pl.col(name) - pl.duration(days=pl.col(name).dt.weekday() % 7)


def _lines(frame: pl.DataFrame, window: pl.Expr, **sums: pl.Expr) -> pl.DataFrame:
    given = [sums.get(name, pl.lit(0, pl.Int64)).alias(name) for name in SUMS]
    return frame.select("seller_id", "currency", window.alias("payout_window"), *given).select(*KEY, *SUMS)

"""What the controls read of a build, without one: the policies as seeded, and the sellers."""

import csv
from typing import Any

from psycopg import Connection, sql

from weekclose.settings import project_dir

SEEDS = {
    "adjustment_policies": "class text, scope text, scope_value text, mode text, needs_document boolean",
    "reversal_reasons": "reason text, needs_evidence boolean, direction text, description text",
}


def seeded(conn: Connection[Any]) -> None:
    """Give a migrated database the seeds and `stg_sellers`, as dbt would. Repeatable."""
    with conn.transaction():
        conn.execute("set local role weekclose_dbt")
        for name, columns in SEEDS.items():
            table = sql.Identifier("seeds", name)
            conn.execute(sql.SQL("create table if not exists {} ({})").format(table, sql.SQL(columns)))
            conn.execute(sql.SQL("truncate {}").format(table))
            with (project_dir() / "seeds" / f"{name}.csv").open(newline="") as file:
                for row in csv.DictReader(file):
                    values = sql.SQL(", ").join(sql.Literal(value) for value in row.values())
                    conn.execute(sql.SQL("insert into {} values ({})").format(table, values))
        conn.execute("create or replace view staging.stg_sellers as select * from raw.sellers")


def policy(conn: Connection[Any], of_class: str, mode: str, scope: str = "seller", value: str = "s1") -> None:
    """Let a policy of one seller or product say something else than the default."""
    conn.execute(
        "insert into seeds.adjustment_policies (class, scope, scope_value, mode, needs_document)"
        " values (%s, %s, %s, %s, false)",
        (of_class, scope, value, mode),
    )

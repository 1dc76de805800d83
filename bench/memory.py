"""The most memory that a command of ours ever holds."""

import json
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.market import Market
from bench.measure import Figure, Machine, spent_by
from bench.start_up import copied
from bench.year import SETTINGS, Year

LIMIT_MB = 400


def figures(m: Machine, *, orders: int, sellers: int) -> list[Figure]:
    """What closes a window of so many orders, and reads it. Each makes what the next one reads."""
    where = copied(m.server, "template1", "weekclose_bench_memory")
    # The window before it has to be closed: what is compared with nothing is not judged.
    market = Market(3 * orders, sellers, weeks=3)
    window, settings = str(market.first + timedelta(weeks=1)), {"settlement_start": str(market.first)}
    with TemporaryDirectory() as folder:
        environment = {
            "DATABASE_URL": where.url,
            "WEEKCLOSE_HOME": f"{folder}/home",
            "WEEKCLOSE_ACTOR": "bench",
            # Nobody listens there: a dry run sends nothing.
            "WEEKCLOSE_RAIL_URL": "http://127.0.0.1:9",
            "WEEKCLOSE_RAIL_KEY": "none",
            "WEEKCLOSE_LOOPBACK_RAIL": "1",
        }
        year = Year(where, market, Path(folder) / "played", m.sql)
        year.play(0)
        year.play(1)
        market.trade(year.conn, 2)
        sunday = ["sunday", "--as-of", market.as_of(2).isoformat(), "--vars", json.dumps(settings | SETTINGS)]
        commands = (
            sunday,
            ["review"],
            ["status"],
            ["export", window, "--output", f"{folder}/window.csv"],
            ["submit", window, "--dry-run"],
        )
        peaks = [(command[0], spent_by(["weekclose", *command], environment).peak) for command in commands]
    what = f"with {sellers:,} sellers and {orders:,} orders"
    return [
        Figure("P10", f"peak of `weekclose {name}` {what}", "MB", peak, None, (peak,), limit=LIMIT_MB)
        for name, peak in peaks
    ]

"""The most memory that a command of ours ever holds."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.market import Market
from bench.measure import Figure, Machine
from bench.start_up import copied
from bench.year import SETTINGS, Year

LIMIT_MB = 400

# A process starts with the peak of the one that made it: what makes the command has to be small.
LAUNCHER = """
import resource, subprocess, sys
ended = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(ended, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_megabytes(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """The peak of `weekclose` with these arguments. Raises when it does not succeed."""
    weekclose = [sys.executable, "-c", "from weekclose.cli import main; main()", *command]
    ran = subprocess.run(
        [sys.executable, "-S", "-c", LAUNCHER, *weekclose],
        env=dict(environment),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    ended, peak = map(int, ran.stdout.split())
    if ended not in (0, 5):
        raise RuntimeError(f"weekclose {' '.join(command)} ended with {ended}")
    return peak / 1024


def figures(m: Machine, *, orders: int = 1_000_000, sellers: int = 100_000) -> list[Figure]:
    """What closes a window of so many orders, and reads it. Each makes what the next one reads."""
    where = copied(m.server, "template1", "weekclose_bench_memory")
    # The window before it has to be closed: what is compared with nothing is not judged.
    market = Market(3 * orders, sellers, weeks=3)
    window, settings = str(market.first + timedelta(weeks=1)), {"settlement_start": str(market.first)}
    with TemporaryDirectory() as folder:
        environment = os.environ | {
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
        peaks = [(command[0], peak_megabytes(command, environment)) for command in commands]
    what = f"with {sellers:,} sellers and {orders:,} orders"
    return [
        Figure("P10", f"peak of `weekclose {name}` {what}", "MB", peak, None, (peak,), limit=LIMIT_MB)
        for name, peak in peaks
    ]

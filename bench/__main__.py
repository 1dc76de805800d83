"""Everything that is measured, in one run, beside what one would use instead: `make bench`.

A market is played week by week with the product's own commands; then all peers compute its totals, and
nothing is timed unless they agree to the cent. Prints a Markdown table, and how a Sunday's cost grows.
Ends with 1 when the answers differ. Goals that are not met are results, not errors.
"""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pandas
import polars

from bench import batch, indexes, loading, memory, peers, site, start_up, webhooks, weekly
from bench.market import Market
from bench.measure import Figure, Machine, machine
from bench.year import Night, Year
from weekclose.database import open_connection, value

# Each measured with a window of so many lines, a payout for ten of them.
PARTS: dict[str, Callable[[Machine, int], list[Figure]]] = {
    "loading": lambda m, lines: loading.figures(m, orders=lines),
    "start_up": lambda m, _: start_up.figures(m),
    "webhooks": lambda m, _: webhooks.figures(m),
    "batch": lambda m, lines: batch.figures(m, payouts=lines // 10),
    "site": lambda m, lines: site.figures(m, orders=lines, sellers=lines // 10),
    "memory": lambda m, lines: memory.figures(m, orders=lines, sellers=lines // 10),
}
HEADER = (
    "| goal | what | ours | peer | ours / peer, median (least to most) | wanted | |\n"
    "|---|---|---|---|---|---|---|"
)


def main() -> int:
    """Play, compare, measure, print."""
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--orders", type=int, default=260_000, help="of the market that is played")
    parser.add_argument("--sellers", type=int, default=4_000)
    parser.add_argument("--weeks", type=int, default=13)
    parser.add_argument("--lines", type=int, default=100_000, help="of a file, and of a window by itself")
    parser.add_argument("--parts", nargs="*", default=["weekly", *PARTS], choices=["weekly", *PARTS])
    given = parser.parse_args()
    market = Market(given.orders, given.sellers, given.weeks)
    with tempfile.TemporaryDirectory() as directory, machine(_home(directory)) as where:
        print(_about(where, market), HEADER, sep="\n\n", flush=True)
        if "weekly" in given.parts:
            year = Year(where.server, market, Path(directory) / "home", where.sql)
            for figure in _weekly(where, year, Path(directory)):
                print(figure.row(), flush=True)
        for part in given.parts:
            if part in PARTS:
                for figure in PARTS[part](where, given.lines):
                    print(figure.row(), flush=True)
        if "weekly" in given.parts:
            print("", indexes.HEADER, sep="\n")
            for row in indexes.rows(where, year.conn):
                print(row, flush=True)
    return 0


def _weekly(where: Machine, year: Year, directory: Path) -> Iterator[Figure]:
    for week in range(year.market.weeks):
        night = year.play(week)
        print(_growth(night), file=sys.stderr, flush=True)
    peers.export(year.conn, directory)
    answers = {name: make(directory) for name, make in peers.PEERS.items()}
    ours = peers.ours(year.conn)
    for name, peer in answers.items():
        peer.recompute()
        if peer.totals() != ours:
            sys.exit(f"{name} and the marts do not agree: nothing is timed")
    yield weekly.flat(year.nights)
    yield weekly.beside_copy(where, year.conn, year.nights)
    yield from weekly.beside_recompute(year.nights, answers)
    yield weekly.frozen(where, year.conn, year.nights)
    yield from weekly.read(year.conn)
    yield weekly.anew(where, year)


def _growth(night: Night) -> str:
    slowest = sorted(night.nodes.items(), key=lambda item: -item[1])[:5]
    return (
        f"{night.orders:,} orders: Sunday {night.server_seconds:.1f} s, of it the freeze "
        f"{night.freeze_seconds:.1f} s; {', '.join(f'{name} {spent:.1f}' for name, spent in slowest)}"
    )


def _home(directory: str) -> Path:
    # The server's user has to get there.
    Path(directory).chmod(0o755)
    return Path(directory) / "server"


def _about(where: Machine, market: Market) -> str:
    with open_connection(where.server) as conn:
        postgres = value(conn.execute("show server_version"))
    tools = f"DuckDB {duckdb.__version__}, Polars {polars.__version__}, pandas {pandas.__version__}"
    return (
        f"{market.orders:,} orders of {market.sellers:,} sellers in {market.weeks} weeks; "
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, PostgreSQL {postgres}, "
        f"Python {platform.python_version()}, {tools}"
    )


if __name__ == "__main__":
    sys.exit(main())

"""Seeded weeks in which everything goes wrong, played side by side, and what they came to.

    make soak N=1000               the plans of the seeds 1 to 1000
    make soak N=1 FIRST=137        one of them again
    make soak-planted              each planted fault, until a plan sees it

Ends with 1 when a plan was violated, or a planted fault was not seen.
"""

import argparse
import atexit
import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import soak_place
from planted import FAULTS
from soak_judge import Outcome, run
from soak_place import Place
from soak_plans import plan

# How many plans a planted fault is given to show itself.
PLANTED_TRIES = 40

_places: list[Place] = []


def main() -> int:
    """Play what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plans", type=int, default=20)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--planted", nargs="*", metavar="FAULT")
    given = parser.parse_args()
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn"), initializer=_begin) as pool:
        if given.planted is not None:
            return _plant(pool, given.planted or list(FAULTS), given.workers)
        return _soak(pool, range(given.first, given.first + given.plans))


def _begin() -> None:
    """A worker has one server, for as long as it works."""
    place = soak_place.place()
    _places.append(place.__enter__())
    atexit.register(place.__exit__, None, None, None)


def _play(seed: int, fault: str | None) -> Outcome:
    with tempfile.TemporaryDirectory() as directory:
        return run(_places[0], plan(seed), Path(directory), fault)


def _soak(pool: ProcessPoolExecutor, seeds: range) -> int:
    begun, totals, bad = time.monotonic(), Counter[str](), 0
    waiting = [pool.submit(_play, seed, None) for seed in seeds]
    for done, future in enumerate(as_completed(waiting), start=1):
        outcome = future.result()
        totals.update(asdict(outcome.counts))
        if outcome.violations:
            bad += 1
            print(outcome, flush=True)
        if done % 50 == 0:
            print(f"{done} of {len(seeds)} schedules, {bad} violated", file=sys.stderr, flush=True)
    print(f"| schedules (seeds {seeds.start} to {seeds.stop - 1}) | {len(seeds):,} |\n|---|---|")
    for name, count in totals.items():
        print(f"| {name.replace('_', ' ')} | {count:,} |")
    print(f"| schedules with a violation | {bad:,} |")
    print(f"{(time.monotonic() - begun) / 60:.0f} minutes", file=sys.stderr)
    return int(bad > 0)


def _plant(pool: ProcessPoolExecutor, names: list[str], workers: int) -> int:
    missed = 0
    print("| planted fault | the guard that it takes away | seen by | as |\n|---|---|---|---|")
    for name in names:
        seen = None
        for first in range(1, PLANTED_TRIES + 1, workers):
            outcomes = pool.map(_play, range(first, first + workers), [name] * workers)
            seen = seen or next((outcome for outcome in outcomes if outcome.violations), None)
            if seen:
                break
        missed += seen is None
        found = f"schedule {seen.plan.seed} | {seen.violations[0]}" if seen else "none | nothing"
        print(f"| {name} | {FAULTS[name].guard} | {found} |", flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())

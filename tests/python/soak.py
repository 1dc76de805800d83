"""Seeded weeks in which everything goes wrong, played side by side, and what they came to.

    make soak N=1000               the plans of the seeds 1 to 1000
    make soak N=1 FIRST=137        one of them again
    make soak-planted              each planted fault: the test that it names, and plans until one sees it

Ends with 1 when a plan was violated, or when the test that a planted fault names does not fail.
"""

import argparse
import atexit
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import pytest

import soak_place
from planted import FAULTS
from soak_judge import Outcome, run
from soak_place import Place
from soak_plans import plan
from weekclose.settings import project_dir

# How many plans a planted fault is given to show itself. One that another guard stands behind never does.
PLANTED_TRIES = 24

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
    print("| planted fault | the guard that it takes away | seen by the soak | seen by the test |")
    print("|---|---|---|---|", flush=True)
    for name in names:
        fault = FAULTS[name]
        fails = _fails(fault.test, name)
        missed += not fails
        file, test = fault.test.split("::")
        tested = f"`{test}`" if fails else f"**not** by `{test}` of `{file}`"
        print(f"| {name} | {fault.guard} | {_seen(pool, name, workers)} | {tested} |", flush=True)
    return int(missed > 0)


def _seen(pool: ProcessPoolExecutor, fault: str, workers: int) -> str:
    for first in range(1, PLANTED_TRIES + 1, workers):
        for outcome in list(pool.map(_play, range(first, first + workers), [fault] * workers)):
            if outcome.violations:
                return f"schedule {outcome.plan.seed}: {outcome.violations[0]}"
    return f"not in {PLANTED_TRIES} schedules"


def _fails(test: str, fault: str) -> bool:
    """With the fault, for what it asserts: not because it cannot be found or set up."""
    given = ("--plant", fault, "--exitfirst", "--quiet", "--tb=no", "-p", "no:cacheprovider")
    command = (sys.executable, "-m", "pytest", *given, str(Path(__file__).with_name(test)))
    done = subprocess.run(command, cwd=project_dir(), capture_output=True, text=True)
    return done.returncode == pytest.ExitCode.TESTS_FAILED and "\nFAILED " in done.stdout


if __name__ == "__main__":
    sys.exit(main())

"""Twenty schedules of the soak; `make soak N=1000` plays more, and one alone with `N=1 FIRST=seed`."""

from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest

import soak_place
from catalogue import Reached
from killing import DONE, in_child
from planted import FAULTS, plant
from soak_judge import run
from soak_place import Place
from soak_plans import plan
from weekclose.database import open_connection
from weekclose.postgres import Server

# The first is one of those that found something: see DECISIONS.md.
SEEDS = range(5, 25)

pytestmark = pytest.mark.catalogue(2)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """A server of its own: it is killed, and others would notice."""
    with soak_place.place() as made:
        yield made


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_is_paid_twice_or_lost(place: Place, seed: int, tmp_path: Path, reached: Reached) -> None:
    outcome = run(place, plan(seed), tmp_path)
    assert not outcome.violations, f"{outcome}\n\nagain: make soak N=1 FIRST={seed}"
    reached(2, "schedules", 1)


@pytest.mark.parametrize("fault", ["sent before it is claimed", "silence taken for failure"])
def test_a_planted_fault_is_seen(place: Place, fault: str, tmp_path: Path) -> None:
    """The judge is no yes-man; `make soak-planted` tries every fault, here and on the test that it names."""
    assert fault in FAULTS
    outcome = run(place, plan(1), tmp_path, fault)
    assert outcome.violations


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_changes_what_is_there(module_database: Server, fault: str) -> None:
    """What it changes, and the test that it names, may have got another name."""
    file, name = FAULTS[fault].test.split("::")
    assert callable(getattr(import_module(Path(file).stem), name))
    with open_connection(module_database) as conn, conn.transaction(force_rollback=True):
        FAULTS[fault].database(conn)
    assert in_child(partial(plant, fault)) == DONE

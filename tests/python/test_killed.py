"""Killed anywhere, then run again: the same end. The rail's own record is the judge of what was paid.

A child process ends itself with SIGKILL before its n-th exchange with the outside, for every n until it gets
through. What is run again is killed as well, at exchanges that a seed draws, until it is left in peace.
"""

from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from psycopg import Connection

from catalogue import SOAK, Reached
from frozen_window import OPERATOR
from killing import DONE, KILLED, TIMES, in_child, kill_at, together
from lives import CASES, REFUSED, Life, disturbed_everywhere, life, play, undisturbed
from small_week import NIGHT, START, Week
from tuesday import empty
from weekclose.database import open_connection
from weekclose.errors import NothingToDo, OutcomeUnknown, Refused, WeekcloseError
from weekclose.freeze import FrozenWindow, freeze
from weekclose.policy import effective_vars
from weekclose.postgres import Server

pytestmark = pytest.mark.catalogue(1)

BESIDE = range(500 if SOAK else 12)


def killed(played: Life, step: str, at: int) -> int:
    """How often, the first time at its n-th exchange."""
    drawn = Random(f"{step} {at}")
    for times, point in enumerate([at, *(drawn.randrange(12) for _ in range(TIMES - 1))]):
        if not killed_once(played, step, point):
            return times
    return TIMES


def killed_once(played: Life, step: str, at: int) -> bool:
    return in_child(partial(dying, played, step, at)) == KILLED


def dying(played: Life, step: str, at: int) -> None:
    kill_at(at)
    played.run(step)


@pytest.mark.parametrize("name", CASES)
def test_killed_anywhere_and_run_again(
    module_database: Server, tmp_path: Path, name: str, reached: Reached
) -> None:
    kills = disturbed_everywhere(module_database, tmp_path, CASES[name], killed)
    assert kills > 3
    reached(1, "kills", kills)


# Whoever does this beside a step changes nothing about its end: he only comes earlier.
BYSTANDERS = {
    "submit": ("submit", "reconcile"),
    "receive": ("reconcile", "receive", "apply"),
    "apply": ("reconcile", "apply"),
    "reconcile": ("reconcile", "apply"),
}


@pytest.mark.parametrize("seed", BESIDE)
def test_killed_beside_another(module_database: Server, tmp_path: Path, seed: int, reached: Reached) -> None:
    """Another process is at the same batch meanwhile, and may be killed as well."""
    drawn = Random(seed)
    case = CASES[drawn.choice([name for name, (_, _, step) in CASES.items() if step in BYSTANDERS])]
    protocol, plan, step = case
    wanted = undisturbed(module_database, tmp_path, case)

    def disturb(step: str) -> int:
        for _ in range(TIMES):
            beside = drawn.choice(BYSTANDERS[step])
            codes = together(
                [
                    partial(dying, played, step, drawn.randrange(15)),
                    partial(dying, played, beside, drawn.randrange(40)),
                ]
            )
            assert set(codes) <= ENDS, codes
        return TIMES

    with life(module_database, protocol, tmp_path / "beside", refuses=plan is REFUSED) as played:
        play(played, plan, plan.index(step), disturb)
        assert played.end() == wanted
    reached(1, "runs beside another, both killed", TIMES)


ENDS = {DONE, KILLED} | {error.exit_code for error in (WeekcloseError, Refused, OutcomeUnknown, NothingToDo)}


def test_a_freeze_killed_anywhere(built_week: Week, reached: Reached) -> None:
    variables = effective_vars({"settlement_start": START.isoformat()}, NIGHT)
    run_id = built_week.one("select run_id from payouts.warehouse_runs")

    def freeze_once(conn: Connection[Any]) -> list[FrozenWindow]:
        return freeze(conn, run_id, NIGHT, variables, OPERATOR)

    def killed_at(at: int) -> bool:
        def work() -> None:
            kill_at(at)
            with open_connection(built_week.server) as conn:
                freeze_once(conn)

        return in_child(work) == KILLED

    def end() -> list[Any]:
        return [
            built_week.conn.execute(query.encode()).fetchall()
            for query in (
                # A number that was drawn and not used is a gap; the digests name the numbers.
                "select payout_window, content_digest = payouts.window_digest(payout_window), row_count,"
                " line_count from payouts.frozen_windows",
                "select batch_id, state, content_digest = payouts.batch_digest(paid_with)"
                " from payouts.batches",
                "select seller_id, amount, status from payouts.payouts order by 1",
                "select account, seller_id, amount from payouts.ledger_entries order by 1, 2",
                "select action, entity from payouts.audit_log",
            )
        ]

    wanted: list[Any] = []
    kills, drawn = 0, Random(0)
    for at in range(-1, 100):
        empty(built_week.server, ["payouts"], keep=("warehouse_runs", "judged_wallets"))
        hit = at >= 0 and killed_at(at)
        kills += hit and 1 + sum(killed_at(drawn.randrange(12)) for _ in range(TIMES - 1))
        freeze_once(built_week.conn)
        wanted = wanted or end()
        assert end() == wanted, f"killed at {at}"
        assert len(wanted[2]) == 2
        if at >= 0 and not hit:
            assert at > 5
            reached(1, "kills", kills)
            return
    raise AssertionError("there was no end of it")

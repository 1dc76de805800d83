"""The processes of a soak: each does one step by the product's own code, until it is done or dies."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from multiprocessing.connection import Connection as Pipe
from typing import Any, NoReturn

import psycopg
from psycopg import Connection

import planted
from compiled_build import Build
from frozen_window import APPROVER, FREEZER, OPERATOR
from killing import DONE, kill_at, work_and_exit
from rail_batches import adapter_for
from soak_place import SETTINGS
from weekclose import decisions, events, holds, requests, submission, sunday, webhooks
from weekclose.database import open_connection
from weekclose.errors import NothingToDo, OutcomeUnknown, Refused, WeekcloseError
from weekclose.postgres import Server
from weekclose.rails.protocol import Rail
from weekclose.reconciliation import reconcile
from weekclose.settings import Settings

# Nobody of them is another one: who holds or freezes may not approve.
HOLDER = "henry"
# For who is patient, no attempt is ever old enough.
FOR_EVER = 10**8
FAILED, REFUSED, UNKNOWN, NOTHING = (
    kind.exit_code for kind in (WeekcloseError, Refused, OutcomeUnknown, NothingToDo)
)


@dataclass(frozen=True)
class Stage:
    """Where a week is played: the database, the rail, the window that is due, and its build."""

    database: Server
    protocol: str
    rail_url: str
    window: date
    night: datetime
    build: Build | None
    fault: str | None = None


def play(stage: Stage, step: str, dies_at: int | None, patient: bool, read_timeout: float) -> NoReturn:
    """The child: exits as the command would, with BROKEN for a bug."""
    planted.plant(stage.fault)
    if dies_at is not None:
        kill_at(dies_at)
    work_and_exit(partial(_step, stage, step, FOR_EVER if patient else 0, read_timeout))


def _step(stage: Stage, step: str, quiet: int, read_timeout: float) -> None:
    name, *named = step.split()
    try:
        with open_connection(stage.database) as conn:
            STEPS[name](conn, stage, adapter(stage, quiet, read_timeout), *named)
    except psycopg.OperationalError as error:
        raise WeekcloseError(f"database: {error}") from error


def listen(stage: Stage, dies_at: int | None, tell: Pipe) -> NoReturn:
    """The child that takes webhooks, as `weekclose webhooks serve` does; it tells its address."""
    planted.plant(stage.fault)
    settings = Settings(DATABASE_URL=stage.database.url)
    opened = webhooks._opened(adapter(stage, 0, 5), settings, 0, lambda _: None)
    with opened as (running, listener):
        tell.send(webhooks._url(listener) + webhooks.PATH)
        if dies_at is not None:
            kill_at(dies_at, in_any_thread=True)
        running.run(sockets=[listener])
    os._exit(DONE)


def adapter(stage: Stage, quiet: int, read_timeout: float) -> Rail:
    return adapter_for(
        stage.protocol, stage.rail_url, read_timeout, lambda _: None, max_processing_seconds=quiet
    )


def _sunday(conn: Connection[Any], stage: Stage, rail: Rail) -> None:
    # The distribution checks have nothing to compare yet; loading them takes seconds.
    assert stage.build is not None
    vars(sunday)["check"] = lambda *_: []
    report = sunday.run_sunday(
        stage.database,
        stage.build.on(stage.database),  # type: ignore[arg-type]
        as_of=stage.night,
        actor=FREEZER,
        overrides=SETTINGS,
    )
    if report.outcome == "refused":
        raise WeekcloseError(report.message)


def _approve(conn: Connection[Any], stage: Stage, rail: Rail) -> None:
    decisions.approve(conn, stage.window, submission.find_batch(conn, stage.window).content_digest, APPROVER)


def _hold(conn: Connection[Any], stage: Stage, rail: Rail, seller: str) -> None:
    decisions.hold(conn, [seller], stage.window, "a question", HOLDER)


def _release(conn: Connection[Any], stage: Stage, rail: Rail, seller: str) -> None:
    decisions.release(conn, [seller], stage.window, "answered", HOLDER)


def _submit(conn: Connection[Any], stage: Stage, rail: Rail) -> None:
    submission.submit(conn, rail, stage.window, OPERATOR)


def _reconcile(conn: Connection[Any], stage: Stage, rail: Rail) -> None:
    reconcile(conn, rail, None, OPERATOR)


def _ask_again(conn: Connection[Any], stage: Stage, rail: Rail) -> None:
    """About all of the window: what came back, and nobody was told, shows only so."""
    reconcile(conn, rail, stage.window, OPERATOR)


def _ask_again_requests(conn: Connection[Any], stage: Stage, rail: Rail) -> None:
    """The same about every request."""
    _each(conn, "handed over", lambda number: reconcile(conn, rail, number, OPERATOR))


def _keep(conn: Connection[Any], stage: Stage, rail: Rail, seller: str, amount: str) -> None:
    holds.create(conn, holds.Wanted(seller, "USD", Decimal(amount), "other", "a letter"), HOLDER)


def _set_free(conn: Connection[Any], stage: Stage, rail: Rail) -> None:
    held = [hold.hold_number for hold in holds.listed(conn, None, "active", None, None, 1000)]
    holds.end(conn, held, "released", "answered", HOLDER)


def _ask(conn: Connection[Any], stage: Stage, rail: Rail, seller: str, amount: str) -> None:
    requests.request(conn, seller, "USD", Decimal(amount), f"for the week of {stage.window}", HOLDER)


def _grant(conn: Connection[Any], stage: Stage, rail: Rail) -> None:
    """Each request that waits for a decision, and each that the rail has refused."""
    _each(conn, "requested", lambda number: requests.approve(conn, [number], APPROVER))


def _withdraw(conn: Connection[Any], stage: Stage, rail: Rail) -> None:
    for number in _waiting(conn, "requested")[:1]:
        requests.reject(conn, [number], "withdrawn", APPROVER)


def _hand_over(conn: Connection[Any], stage: Stage, rail: Rail) -> None:
    """Each request that is approved."""
    _each(conn, "approved", lambda number: submission.submit(conn, rail, number, OPERATOR))


def _each(conn: Connection[Any], state: str, do: Callable[[str], object]) -> None:
    """One that fails keeps no other from its turn. Raises the last failure, NothingToDo when none had one."""
    done, failed = 0, None
    for number in _waiting(conn, state):
        try:
            do(number)
            done += 1
        except (NothingToDo, Refused):
            continue
        except WeekcloseError as error:
            failed = error
    if failed or not done:
        raise failed or NothingToDo("none is done")


def _waiting(conn: Connection[Any], state: str) -> list[str]:
    rows = conn.execute(
        "select request_number from payouts.payout_requests as requests"
        " left join payouts.batches using (request_number)"
        " where case when batches.state is null and decision is null or batches.state = 'frozen'"
        " then 'requested' when batches.state in ('approved', 'submitting') then 'approved'"
        " when batches.state in ('submitted', 'settled') then 'handed over' end = %s order by 1",
        [state],
    )
    return [number for (number,) in rows]


def _replay(conn: Connection[Any], stage: Stage, rail: Rail) -> None:
    events.apply(conn, None, OPERATOR)


STEPS: dict[str, Callable[..., None]] = {
    "sunday": _sunday,
    "approve": _approve,
    "hold": _hold,
    "release": _release,
    "submit": _submit,
    "reconcile": _reconcile,
    "ask_again": _ask_again,
    "ask_again_requests": _ask_again_requests,
    "replay": _replay,
    "keep": _keep,
    "set_free": _set_free,
    "ask": _ask,
    "grant": _grant,
    "withdraw": _withdraw,
    "hand_over": _hand_over,
}

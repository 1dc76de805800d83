"""While a submission is on its way the marts are built anew or dropped, and webhooks come in a burst: what is
sent does not change."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from catalogue import Reached
from compiled_build import Build
from conftest import NewDatabase
from frozen_window import WINDOW, one
from killing import DONE, Spoken, command, in_child, patched
from lives import Life, life
from small_week import NEXT_NIGHT, START
from test_executions import configured
from tuesday import agree
from weekclose.errors import OutcomeUnknown
from weekclose.policy import effective_vars
from weekclose.postgres import Server
from weekclose.simulator.protocols import Request
from weekclose.simulator.webhooks import Lie, message

pytestmark = pytest.mark.catalogue(5)


@pytest.fixture
def built(new_marts: NewDatabase) -> Iterator[Server]:
    """A database of its own: its marts may be dropped."""
    with new_marts() as where:
        yield where


def rebuild(played: Life, build: Build) -> None:
    """As a Sunday does it, of rows that have changed since the freeze."""
    with played.connect() as conn:
        conn.execute("update raw.orders set gross_amount = gross_amount + 1")
        conn.execute("update raw.sellers set wallet_address = null")
    variables = effective_vars({"settlement_start": START.isoformat()}, NEXT_NIGHT + timedelta(7))
    # What changed after a freeze is red, as it has to be.
    build.on(played.database).build(variables)
    with played.connect() as conn:
        assert one(conn, "select count(*) from intermediate.int_order_events") == 3, "it was one"


def drop(played: Life, build: Build) -> None:
    with played.connect() as conn:
        for schema in ("marts", "intermediate", "staging"):
            conn.execute(f"drop schema {schema} cascade".encode())


def burst(played: Life, build: Build) -> None:
    """The rail tells what it does, fifty times over."""
    played.bench.rail.release()
    told = [message(each, 1, Lie(), "right") for each in played.bench.rail.payments()]
    headers = played.bench.rail.sender._headers
    played.deliveries = [
        ({name.lower(): value for name, value in headers(each).items()}, each.body) for each in told if each
    ] * 50
    assert in_child(partial(played.run, "receive")) == DONE


@contextmanager
def while_the_rail_thinks(played: Life, work: Callable[[], None]) -> Iterator[list[bytes]]:
    """The rail has the request, and answers when the work is done. What it was sent."""
    rail, sent = played.bench.rail, list[bytes]()
    answer = rail.answer

    def late(request: Request, fault: Any) -> Any:
        found = rail.find(request)
        if found and found.operation == "submit":
            sent.append(request.body)
            if len(sent) == 1:
                reply = answer(request, fault)
                work()
                return reply
        return answer(request, fault)

    with patched(rail, "answer", late):
        yield sent


MEANWHILE = {"a rebuild": rebuild, "dropped marts": drop, "a burst of webhooks": burst}


@pytest.mark.parametrize("what", MEANWHILE)
def test_it_changes_nothing(built: Server, build: Build, tmp_path: Path, what: str, reached: Reached) -> None:
    with life(built, "batch", tmp_path) as played:
        played.run("approve")
        with while_the_rail_thinks(played, lambda: MEANWHILE[what](played, build)) as sent:
            played.run("submit")
        with played.connect() as conn:
            assert sent == [stored(conn)]
            agree(conn, played.bench)
        assert set(played.bench.paid().values()) == {1}
        reached(5, "submissions disturbed", 1)


@pytest.mark.parametrize("what", MEANWHILE)
def test_an_interrupted_one_goes_on_with_the_same_bytes(
    built: Server, build: Build, tmp_path: Path, what: str, reached: Reached
) -> None:
    """The rail has seen nothing of the first; the command, run again, sends what was stored."""
    with life(built, "batch", tmp_path) as played:
        played.run("approve")
        played.bench.arm("reset_before")
        with pytest.raises(OutcomeUnknown):
            played.run("submit")
        with played.connect() as conn:
            before = stored(conn), key(conn)
        MEANWHILE[what](played, build)
        spoken = Spoken(tmp_path / "out", tmp_path / "err")
        environment = {"DATABASE_URL": built.url, **configured(played.bench)}
        code = in_child(lambda: command(["submit", WINDOW], environment, spoken))
        assert code == DONE, spoken.lines
        with played.connect() as conn:
            assert (stored(conn), key(conn)) == before
            agree(conn, played.bench)
        sent = [each for each in played.bench.requests if each.body in played.bench.sent()]
        assert {(each.body, each.headers["idempotency-key"]) for each in sent} == {before}
        assert set(played.bench.paid().values()) == {1}
        reached(5, "submissions disturbed", 1)


def stored(conn: Connection[Any]) -> bytes:
    body: bytes = one(conn, "select body from payouts.batches")
    return body


def key(conn: Connection[Any]) -> str:
    kept: str = one(conn, "select idempotency_key from payouts.batches")
    return kept

"""The server dies in the middle of a submission, or its answer to a COMMIT is lost: the same end."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import psutil
import psycopg
import pytest
from psycopg import Connection, Transaction

from catalogue import SOAK, Reached
from killing import patched
from lives import CASES, PAID, Disturbance, Life, disturbed_everywhere, life
from weekclose.database import open_connection
from weekclose.errors import WeekcloseError
from weekclose.migrations import migrate
from weekclose.postgres import EmbeddedPostgres, Server
from weekclose.rails.transport import Transport
from weekclose.settings import project_dir

pytestmark = pytest.mark.catalogue(4)


def lost_before(played: Life, step: str, at: int) -> int:
    return _lost(played, step, at, is_sent=False)


def lost_after(played: Life, step: str, at: int) -> int:
    return _lost(played, step, at, is_sent=True)


def _lost(played: Life, step: str, at: int, *, is_sent: bool) -> bool:
    """The connection breaks before, or right after, the n-th statement is sent: any, a COMMIT too."""
    wait, left = Connection.wait, at

    def breaking_wait(self: Any, gen: Any, *given: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if left != -1:
            return wait(self, gen, *given, **named)
        with socket.socket(fileno=os.dup(self.fileno())) as line:
            if is_sent:
                return wait(self, _then(gen, line), *given, **named)
            line.shutdown(socket.SHUT_RDWR)
            return wait(self, gen, *given, **named)

    with patched(Connection, "wait", breaking_wait):
        try:
            played.run(step)
        except psycopg.OperationalError:  # what the command shows as one line
            return True
        except WeekcloseError:
            pass
    return left < 0


def _then(gen: Any, line: socket.socket) -> Any:
    """The generator, whose line breaks when it has sent and waits."""
    try:
        state = next(gen)
        line.shutdown(socket.SHUT_RDWR)
        while True:
            ready = yield state
            state = gen.send(ready)
    except StopIteration as end:
        return end.value


@pytest.mark.parametrize("disturb", [lost_before, lost_after])
@pytest.mark.parametrize("name", ["submit, batch", "submit, refused, batch", "reconcile"])
def test_the_connection_lost_anywhere(
    module_database: Server, tmp_path: Path, name: str, disturb: Disturbance, reached: Reached
) -> None:
    times = disturbed_everywhere(module_database, tmp_path, CASES[name], disturb)
    assert times > 3
    reached(4, "connections lost", times)


class Line:
    """A way to the server that breaks at its n-th COMMIT: before that arrives, or before its answer does."""

    def __init__(self, database: Server, at: int, *, arrives: bool) -> None:
        self._real, self._left, self._arrives = database, at, arrives
        self._muted, self._answered = threading.Event(), threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.is_lost = False
        host, port = self._listener.getsockname()
        self.database = replace(database, host=host, port=port, transport=(("sslmode", "disable"),))

    def __enter__(self) -> "Line":
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _start(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                self._start(partial(self._carry, caller))

    def _carry(self, caller: socket.socket) -> None:
        with caller, socket.create_connection((self._real.host, self._real.port)) as server:
            self._start(partial(self._carry_back, server, caller))
            while said := caller.recv(65536):
                self._left -= b"COMMIT\0" in said
                if self._left < 0:
                    self._lose(said, server)
                    break
                server.sendall(said)
            # Closed alone, it would stay open for as long as the other thread listens.
            for end in (server, caller):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _carry_back(self, server: socket.socket, caller: socket.socket) -> None:
        with suppress(OSError):
            while answer := server.recv(65536):
                if self._muted.is_set():
                    self._answered.set()
                    return
                caller.sendall(answer)
            caller.shutdown(socket.SHUT_RDWR)

    def _lose(self, commit: bytes, server: socket.socket) -> None:
        self.is_lost = True
        if self._arrives:
            self._muted.set()
            server.sendall(commit)
            assert self._answered.wait(60)


def commit_lost(played: Life, step: str, at: int, *, arrives: bool) -> int:
    with Line(played.database, at, arrives=arrives) as line:
        with patched(played, "database", line.database), suppress(psycopg.OperationalError, WeekcloseError):
            played.run(step)
        return line.is_lost


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("name", ["hold", "approve", "submit, batch", "webhook", "reconcile"])
def test_an_answer_to_a_commit_is_lost(
    module_database: Server, tmp_path: Path, name: str, arrives: bool, reached: Reached
) -> None:
    """Whoever commits does not hear whether it is done; it is, or it is not."""
    disturb = partial(commit_lost, arrives=arrives)
    times = disturbed_everywhere(module_database, tmp_path, CASES[name], disturb)
    assert times >= (3 if name in ("submit, batch", "webhook") else 1)
    reached(4, "connections lost at COMMIT", times)


POINTS = ("before the claim commits", "before the first byte", "after the answer")


RANDOM = range(50 if SOAK else 3)


def test_the_server_dies_in_the_middle(home: Path, tmp_path: Path, reached: Reached) -> None:
    """As `pg_ctl stop -m immediate` does it: before and after what counts, and at instants by seed."""
    server = EmbeddedPostgres(home)
    database = server.start()
    with open_connection(database) as conn:
        migrate(conn, project_dir() / "migrations")
    pid_file = next(home.rglob("postmaster.pid"), None) or next(
        home.resolve().rglob("server/data/postmaster.pid")
    )

    def strike() -> psutil.Process:
        process = psutil.Process(int(pid_file.read_text().split()[0]))
        process.send_signal(signal.SIGQUIT)
        return process

    def die() -> None:
        wait_for(strike())

    def wait_for(process: psutil.Process) -> None:
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)

    def at_a_point(played: Life, point: str) -> None:
        commit, once, commits = Transaction._commit_gen, Transport._once, 0

        def dying_commit(self: Any) -> Any:
            nonlocal commits
            commits += 1  # the first one ends the look at the batch
            if point == POINTS[0] and commits == 2:
                die()
            return commit(self)

        def dying_call(self: Any, *given: Any) -> Any:
            if point == POINTS[1]:
                die()
            answer = once(self, *given)
            if point == POINTS[2]:
                die()
            return answer

        with (
            patched(Transaction, "_commit_gen", dying_commit),
            patched(Transport, "_once", dying_call),
            pytest.raises(psycopg.OperationalError),
        ):
            played.run("submit")

    def at_an_instant(played: Life, seed: int) -> None:
        """While something is on its way: what is reached before the server is gone is not known."""
        wait, left, struck = Connection.wait, Random(seed).randrange(14), list[psutil.Process]()

        def striking_wait(self: Any, *given: Any, **named: Any) -> Any:
            nonlocal left
            if left == 0:
                struck.append(strike())
            left -= 1
            return wait(self, *given, **named)

        with (
            patched(Connection, "wait", striking_wait),
            suppress(psycopg.OperationalError, WeekcloseError),
        ):
            played.run("submit")
        wait_for(struck[0] if struck else strike())

    ends = []
    for point in ("undisturbed", *POINTS, *RANDOM):
        with life(database, "batch", tmp_path / str(point)) as played:
            for step in PAID:
                if step == "rail_decides":
                    played.rail_decides()
                    continue
                if step == "submit" and point != "undisturbed":
                    if isinstance(point, int):
                        at_an_instant(played, point)
                    else:
                        at_a_point(played, point)
                    assert server.start() == database
                    reached(4, "crashes of the server", 1)
                played.finish(step)
            ends.append(played.end())
    assert all(end == ends[0] for end in ends)

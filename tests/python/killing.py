"""Processes of a test's own: killed before their n-th exchange with the outside, or begun at one moment."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
import typer
from psycopg import Connection

from catalogue import SOAK
from weekclose import cli, load  # noqa: F401 -- else each child imports it again, which takes longer than its work
from weekclose.errors import WeekcloseError
from weekclose.rails.transport import Transport

# Made anew it takes longer than most commands.
APP = typer.main.get_command(cli.app)
DONE, KILLED, BROKEN = 0, -signal.SIGKILL, 99
# How often a step is killed at most, one run after the other, before a run is left in peace.
TIMES = 20 if SOAK else 5


@contextmanager
def patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, value)
        yield


def before_each_exchange(tick: Callable[[], None], in_any_thread: bool = False) -> None:
    """From now on, in this process: whenever it has a word for the database or the rail.

    Usually not in other threads: a submission's heartbeat is heard only where the machine is slow.
    """
    wait, once = Connection.wait, Transport._once

    def ticked() -> None:
        if in_any_thread or threading.current_thread() is threading.main_thread():
            tick()

    def ticked_wait(self: Any, *given: Any, **named: Any) -> Any:
        ticked()
        return wait(self, *given, **named)

    def ticked_once(self: Any, *given: Any) -> Any:
        ticked()
        return once(self, *given)

    Connection.wait = ticked_wait  # type: ignore[method-assign]
    Transport._once = ticked_once  # type: ignore[method-assign, assignment]


def kill_at(at: int, in_any_thread: bool = False) -> None:
    """SIGKILL for this process before its n-th exchange, which is also after the one before it."""
    left = at

    def tick() -> None:
        nonlocal left
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    before_each_exchange(tick, in_any_thread)


def in_child(work: Callable[[], None]) -> int:
    """Fork, work there, and give its exit code: 0, a WeekcloseError's, 99 for any other, -9 when killed."""
    child = os.fork()
    if child == 0:
        work_and_exit(work)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def together(works: Sequence[Callable[[], None]]) -> list[int]:
    """The exit codes of processes that begin at the same moment."""
    gate, opener = os.pipe()
    children = []
    for work in works:
        child = os.fork()
        if child == 0:
            os.close(opener)
            os.read(gate, 1)
            work_and_exit(work)
        children.append(child)
    os.close(gate)
    os.close(opener)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def work_and_exit(work: Callable[[], None]) -> NoReturn:
    """The end of a child: nothing of the parent's is closed or written."""
    code = BROKEN
    try:
        work()
        code = DONE
    except WeekcloseError as error:
        code = error.exit_code
    except SystemExit as error:
        code = int(error.code or DONE)
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


@dataclass(frozen=True)
class Spoken:
    """What a command has written, each to a file of its own."""

    out: Path
    err: Path

    @property
    def lines(self) -> list[str]:
        return self.err.read_text().splitlines()


def command(arguments: Sequence[object], environment: Mapping[str, str], spoken: Spoken) -> None:
    """The command, to its end, in this process: for children, which have nothing to put back."""
    os.environ.update(environment)
    sys.argv = ["weekclose", *map(str, arguments)]
    cli.app = APP  # type: ignore[assignment]
    with Path(os.devnull).open() as nobody, spoken.out.open("w") as out, spoken.err.open("w") as err:
        sys.stdin, sys.stdout, sys.stderr = nobody, out, err
        code = cli._run()
        out.flush()
    sys.exit(code)

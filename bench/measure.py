"""What a thing costs beside its peer, measured in turn in one run: ratios, as seconds are the machine's."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from weekclose.postgres import EmbeddedPostgres, Server

# A process starts with the peak of the one that made it: what makes the command has to be small. What the
# command leaves behind becomes this one's child (36: PR_SET_CHILD_SUBREAPER) and is counted too.
LAUNCHER = """
import ctypes, os, resource, subprocess, sys
ctypes.CDLL(None).prctl(36, 1)
ended = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    while os.wait():
        pass
except ChildProcessError:
    pass
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(ended, used.ru_utime + used.ru_stime, used.ru_maxrss)
"""


@dataclass(frozen=True)
class Spent:
    """CPU seconds of a program and all its processes, and the most memory that one of them held, in MB."""

    seconds: float
    peak: float


def spent_by(command: Sequence[str | Path], environment: Mapping[str, str]) -> Spent:
    """Run a program of ours. Raises RuntimeError when it does not succeed; nothing to do is success."""
    ran = subprocess.run(
        [sys.executable, "-S", "-c", LAUNCHER, Path(sys.executable).parent / command[0], *command[1:]],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    ended, seconds, peak = ran.stdout.split()
    if int(ended) not in (0, 5):
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {ended}")
    return Spent(float(seconds), int(peak) / 1024)


@dataclass(frozen=True)
class Machine:
    """A PostgreSQL of our own, whose processes can be asked what they have used."""

    server: Server
    postmaster: psutil.Process

    def server_seconds(self) -> float:
        """CPU seconds of the server's processes until now, those that have ended included."""
        own = self.postmaster.cpu_times()
        spent = float(own.user + own.system + own.children_user + own.children_system)
        for child in self.postmaster.children(recursive=True):
            try:
                used = child.cpu_times()
            except psutil.NoSuchProcess:  # its time is in the postmaster's from now on
                continue
            spent += used.user + used.system
        return spent

    def sql(self, work: Callable[[], object]) -> float:
        """The server's CPU seconds for `work`."""
        begun = self.server_seconds()
        work()
        return self.server_seconds() - begun

    def all_of_it(self, work: Callable[[], object]) -> float:
        """The CPU seconds for `work` of the server, of this process and of the children that it awaits."""
        begun = own_seconds()
        return self.sql(work) + own_seconds() - begun


def own_seconds() -> float:
    """CPU seconds of this process and of its children that have ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


@contextmanager
def machine(home: Path) -> Iterator[Machine]:
    """The embedded PostgreSQL of a WEEKCLOSE_HOME, as `weekclose` runs it; stopped in the end."""
    postgres = EmbeddedPostgres(home)
    server = postgres.start()
    try:
        pid = (home / "postgres" / "server" / "data" / "postmaster.pid").read_text().split()[0]
        yield Machine(server, psutil.Process(int(pid)))
    finally:
        postgres.stop()


@dataclass(frozen=True)
class Figure:
    """One line of the table. `ratios` are ours over the peer's, run by run; without a peer a time is the
    goal, and they are the times."""

    goal: str
    what: str
    unit: str
    ours: float
    peer: float | None
    ratios: tuple[float, ...]
    limit: float
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the median reaches the goal."""
        return median(self.ratios) >= self.limit if self.at_least else median(self.ratios) <= self.limit

    def row(self) -> str:
        """As a row of a Markdown table."""
        low, middle, high = min(self.ratios), median(self.ratios), max(self.ratios)
        sign, met = (">=" if self.at_least else "<="), ("met" if self.is_met else "**not met**")
        peer = "" if self.peer is None else f"{self.peer:,.3g} {self.unit}"
        return (
            f"| {self.goal} | {self.what} | {self.ours:,.3g} {self.unit} | {peer} "
            f"| **{middle:.2f}** ({low:.2f} to {high:.2f}) | {sign} {self.limit:g} | {met} |"
        )


def in_turn(ours: Callable[[], float], peer: Callable[[], float], runs: int) -> dict[str, Any]:
    """Both, `runs` times one after the other, and once before to warm up: the parts of a Figure. Each
    returns what it cost."""
    ours(), peer()
    pairs = [(ours(), peer()) for _ in range(runs)]
    return {
        "ours": median(mine for mine, _ in pairs),
        "peer": median(other for _, other in pairs),
        "ratios": tuple(mine / other for mine, other in pairs),
    }

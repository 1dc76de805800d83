"""`weekclose webhooks serve` in a process of its own, and what is said to it over sockets."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from conftest import COMMAND
from rail_batches import KEY
from weekclose.postgres import Server
from weekclose.simulator.webhooks import SAMPLE_SECRET
from weekclose.webhooks import PATH

SECRET = SAMPLE_SECRET
PATIENCE = 20.0

Signed = tuple[dict[str, str], bytes]


@dataclass(frozen=True)
class Running:
    """A `weekclose webhooks serve` of its own process."""

    process: subprocess.Popen[str]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PATH}"

    def post(self, signed: Signed) -> int:
        return self.ask("POST", PATH, *signed)[0]

    def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body=body or None, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def connect(self, sent: bytes) -> socket.socket:
        talk = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        talk.sendall(sent)
        return talk

    def raw(self, sent: bytes, *, finished: bool = True) -> int:
        """The status that these bytes get; None of them follow when they are `finished`."""
        with self.connect(sent) as talk:
            if finished:
                talk.shutdown(socket.SHUT_WR)
            return status_of(talk)

    def lines(self, count: int = 0) -> list[str]:
        """Its log, once it has so many lines: a request's line follows its answer."""
        eventually(lambda: len(self.log.read_text().splitlines()) >= count)
        return self.log.read_text().splitlines()

    def count(self, part: str) -> int:
        """How many lines say this; the line of somebody who has left may come at any time."""
        return sum(part in line for line in self.lines())

    def stop(self, patience: float = PATIENCE) -> int:
        """Its exit code; when it is back, everything that it stored is applied."""
        self.process.terminate()
        return self.process.wait(patience)


@contextmanager
def serving(
    directory: Path, database: Server | None, patch: str = "", **environment: str
) -> Iterator[Running]:
    """The command as a person starts it, or with something patched."""
    own = {
        "DATABASE_URL": database.url if database else "",
        "WEEKCLOSE_RAIL_URL": "http://127.0.0.1:9",
        "WEEKCLOSE_RAIL_KEY": KEY,
        "WEEKCLOSE_LOOPBACK_RAIL": "1",
        "WEEKCLOSE_WEBHOOK_SECRETS": SECRET,
    } | environment
    patched = f"from weekclose import cli, webhooks; {patch}; cli.main()"
    command = [sys.executable, "-c", patched] if patch else [str(COMMAND)]
    log = directory / f"{time.monotonic_ns()}.log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [*command, "webhooks", "serve"],
            env=os.environ | own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            assert first.startswith("http://127.0.0.1:"), log.read_text()
            yield Running(process, int(first.rpartition(":")[2]), log)
        finally:
            process.kill()


def status_of(talk: socket.socket) -> int:
    answer = http.client.HTTPResponse(talk)
    answer.begin()
    answer.read()
    return answer.status


def eventually(holds: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)

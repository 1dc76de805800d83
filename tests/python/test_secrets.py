"""Secrets stay where they are: every command, every failure, as talkative as it gets, and no word of them."""

import io
import itertools
import logging
import os
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from psycopg import Connection, sql
from typer.main import get_command

from catalogue import Reached
from conftest import NewDatabase
from frozen_window import FREEZER, frozen_window, one
from rail_batches import bench
from sample_documents import pdf
from small_week import NIGHT
from weekclose import cli
from weekclose.database import open_connection
from weekclose.postgres import Server

pytestmark = pytest.mark.catalogue(20)

CANARY = "CANARY"
# As it is, and within anything in base64, at whichever of its three places there.
MARKS = (
    CANARY,
    *(b64encode(b"-" * shift + CANARY.encode())[4 * bool(shift) : -4].decode() for shift in range(3)),
)
PASSWORD = f"{CANARY}-database/+%40"
SECRETS = {
    "PGPASSWORD": f"{CANARY}-pgpassword",
    "WEEKCLOSE_RAIL_KEY": f"{CANARY}-id:{CANARY}-key",
    "WEEKCLOSE_WEBHOOK_SECRETS": f"whsec_{b64encode(f'{CANARY}-webhooks-{CANARY}'.encode()).decode()}",
    "WEEKCLOSE_OUTBOX": f"http://127.0.0.1:9/{CANARY}",
    "WEEKCLOSE_OUTBOX_SECRET": f"whsec_{b64encode(f'{CANARY}-outbox-{CANARY}'.encode()).decode()}",
    "WEEKCLOSE_NOTIFY_SMTP": f"smtp://me:{CANARY}@127.0.0.1:9",
    "WEEKCLOSE_NOTIFY_SLACK": f"http://127.0.0.1:9/{CANARY}",
    "WEEKCLOSE_OTP": f"{CANARY}",
}
OPEN = {
    "WEEKCLOSE_ACTOR": "maria",
    "WEEKCLOSE_RAIL_URL": "http://127.0.0.1:9",
    "WEEKCLOSE_LOOPBACK_RAIL": "1",
    "WEEKCLOSE_NOTIFY_FROM": "weekclose@example.com",
    "WEEKCLOSE_NOTIFY_TO": "ada@example.com",
    # As much as dbt ever says.
    "DBT_DEBUG": "1",
    "DBT_LOG_LEVEL": "debug",
    "DBT_LOG_LEVEL_FILE": "debug",
    "DBT_PRINT": "1",
}
# What a setting is when somebody has mistyped it.
MISTYPED = {
    "DATABASE_URL": (
        f"postgresql//me:{CANARY}@h/x",
        f"mysql://me:{CANARY}@h/x",
        f"host=h password={CANARY} oops",
    ),
    "WEEKCLOSE_RAIL_URL": (
        f"https://me:{CANARY}@rail.example.com",
        f"https://rail.example.com/?key={CANARY}",
    ),
    "WEEKCLOSE_RAIL_KEY": (f"{CANARY}\n", f"\x1b{CANARY}"),
    "WEEKCLOSE_WEBHOOK_SECRETS": (CANARY, f"whsec_{CANARY}"),
    "WEEKCLOSE_OUTBOX": (
        CANARY,
        f"ftp://{CANARY}",
        f"http://{CANARY}",
        f"https://me:{CANARY}@h",
        f"https://[{CANARY}",
    ),
    "WEEKCLOSE_OUTBOX_SECRET": (CANARY, f"whsec_{CANARY}!"),
    "WEEKCLOSE_NOTIFY_SMTP": (CANARY, f"http://{CANARY}", f"smtp://me:{CANARY}@h:port", f"smtp://[{CANARY}"),
    "WEEKCLOSE_NOTIFY_SLACK": (CANARY, f"http://{CANARY}", f"https://[{CANARY}"),
}
# Which commands look at a setting.
READERS = {
    "DATABASE_URL": (
        ("status",),
        ("doctor",),
        ("db", "url"),
        ("load", "."),
        ("sunday",),
        ("webhooks", "serve"),
    ),
    "WEEKCLOSE_RAIL": (("reconcile",), ("doctor",), ("webhooks", "serve"), ("submit", "2026-11-01")),
    "WEEKCLOSE_WEBHOOK": (("webhooks", "serve"), ("doctor",), ("rail", "serve")),
    "WEEKCLOSE_OUTBOX": (("outbox", "publish"), ("doctor",)),
    "WEEKCLOSE_NOTIFY": (("notify", "run"), ("doctor",)),
}


@dataclass(frozen=True)
class Hush:
    """Runs commands in this process, and listens to all that is said."""

    environment: dict[str, str]
    caplog: pytest.LogCaptureFixture

    def __call__(self, *words: str, **environment: str) -> int:
        out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stderr(err):
            for name, value in (self.environment | environment).items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "argv", ["weekclose", *words])
            code = cli._run()
            out.flush()
        said = out.buffer.getvalue().decode()
        if words[:2] == ("db", "url"):  # that is what it is for
            for told in (PASSWORD, quote(PASSWORD, safe="")):
                said = said.replace(told, "")
        check(f"{said}{err.getvalue()}{self.caplog.text}", " ".join(words))
        assert "Traceback" not in err.getvalue(), words
        self.caplog.clear()
        return code


def check(said: str, where: str) -> None:
    for mark in MARKS:
        place = said.find(mark)
        assert place < 0, f"{where}: ...{said[max(0, place - 300) : place + 100]}"


@pytest.fixture
def owner(new_marts: NewDatabase) -> Iterator[tuple[Server, Connection[Any]]]:
    """Two payouts to decide on; its login has a password that nobody may see."""
    with new_marts() as where, open_connection(where) as conn:
        name = f"hush_{where.dbname}"
        login = sql.Identifier(name)
        conn.execute(
            sql.SQL("create role {} superuser login password {}").format(login, sql.Literal(PASSWORD))
        )
        try:
            frozen_window(conn, ["10.00", "20.00"])
            yield replace(where, user=name, password=PASSWORD), conn
        finally:
            conn.execute(sql.SQL("reassign owned by {} to current_user").format(login))
            conn.execute(sql.SQL("drop owned by {}").format(login))
            conn.execute(sql.SQL("drop role {}").format(login))


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, (*path, name))
    if not hasattr(command, "commands"):
        yield path, command


def words(path: tuple[str, ...], command: Any, said: dict[str, str], more: Sequence[str]) -> list[str]:
    """A call with all that a command needs."""
    needed = [each for each in command.params if each.required]
    options = [
        word
        for each in needed
        if each.param_type_name == "option"
        for word in (each.opts[0], said[each.name])
    ]
    return [
        *path,
        *options,
        *more,
        *(said[each.name] for each in needed if each.param_type_name == "argument"),
    ]


def test_no_command_tells_a_secret(
    owner: tuple[Server, Connection[Any]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    reached: Reached,
) -> None:
    """Each command with all that it needs: most of them work, and the rail, the receivers and the mail server
    are there or not. Then again without a database."""
    caplog.set_level(logging.DEBUG)
    database, conn = owner
    (tmp_path / "proof.pdf").write_bytes(pdf("paid"))
    (tmp_path / "orders.csv").write_text("order_id\n")
    given = {
        "paths": str(tmp_path / "orders.csv"),
        "seller": "s1",
        "sellers": "s1",
        "window": "2026-11-01",
        "paid": "2026-11-01",
        "reason": "because",
        "note": "because",
        "digest": one(conn, "select content_digest from payouts.batches"),
        "number": "JPO0000001",
        "numbers": "JPO0000001",
        "ids": "1",
        "verdict": "accept",
        "name": "maria",
        "reference": "R",
        "term": "s1",
        "file": str(tmp_path / "proof.pdf"),
        "sha256": "0" * 64,
        "currency": "USD",
        "amount": "1.00",
        "trigger": "manual",
    }
    night = ("--as-of", NIGHT.isoformat(), "--vars", '{"settlement_start": "2026-11-01"}')
    ran, codes = 0, set()
    with bench("batch", tmp_path) as rail, socket.create_server(("127.0.0.1", 0)) as taken:
        port = ("--port", str(taken.getsockname()[1]))
        more = {
            ("approve",): ("--by", FREEZER[::-1]),
            ("demo",): ("--weeks", "0"),
            ("sunday",): night,
            ("rail", "serve"): port,
            ("webhooks", "serve"): port,
        }
        open_settings = OPEN | {"WEEKCLOSE_HOME": str(tmp_path / "home")}
        environment = open_settings | SECRETS | {"DATABASE_URL": database.url}
        hush = Hush(environment | {"WEEKCLOSE_RAIL_URL": rail.simulator.rail_url("batch")}, caplog)
        for path, command in commands(get_command(cli.app)):
            codes.add(hush(*words(path, command, given, more.get(path, ()))))
            ran += 1
        assert len(rail.rail.payments()) == 2, "it was submitted, too"
        assert hush("reconcile", WEEKCLOSE_RAIL_URL="http://127.0.0.1:9") == 4
        nowhere = f"postgresql://me:{PASSWORD[:6]}@127.0.0.1:9/x"
        hush = Hush(open_settings | SECRETS | {"DATABASE_URL": nowhere}, caplog)
        for path, command in commands(get_command(cli.app)):
            if path != ("db", "url"):
                codes.add(hush(*words(path, command, given, more.get(path, ()))))
                ran += 1
    assert codes == {0, 1, 2, 3, 5}
    left = [file for file in tmp_path.rglob("*") if file.is_file() and file.suffix != ".sqlite"]
    assert {"manifest.json", "dbt.log", "index.html"} <= {file.name for file in left}
    for file in left:
        check(file.read_bytes().decode("latin-1"), str(file))
    reached(20, "calls of the command", ran)
    reached(20, "secrets that none of them told", len(SECRETS) + 1)


def test_a_mistyped_setting_is_not_quoted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    nowhere = {"DATABASE_URL": f"postgresql://me:{CANARY}@127.0.0.1:9/x", "WEEKCLOSE_HOME": str(tmp_path)}
    hush = Hush(OPEN | SECRETS | nowhere, caplog)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for name, values in MISTYPED.items():
            readers = next(readers for prefix, readers in READERS.items() if name.startswith(prefix))
            for value, reader in itertools.product(values, readers):
                more = ("--port", port) if reader[-1] == "serve" else ()
                assert hush(*reader, *more, **{name: value}) in (1, 2, 3), (reader, value)


BUG = """
from weekclose import cli, migrations
def broken(conn):
    password = conn.info.password
    raise RuntimeError("a bug of ours")
migrations.require_migrated = broken
cli.main()
"""


def test_a_bug_of_ours_tells_none_either(owner: tuple[Server, Connection[Any]], tmp_path: Path) -> None:
    environment = {"DATABASE_URL": owner[0].url, "WEEKCLOSE_HOME": str(tmp_path), "PYTHONDEVMODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", BUG, "reconcile"],
        env=os.environ | OPEN | SECRETS | environment,
        capture_output=True,
        text=True,
    )
    assert "a bug of ours" in done.stderr
    check(done.stdout + done.stderr, "traceback")

"""The database is down: every command says so in one line and exits with 1."""

import io
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from catalogue import Reached
from killing import APP
from sample_documents import pdf
from test_killed_commands import CASES
from weekclose import cli

pytestmark = pytest.mark.catalogue(11)

# Port 1 listens nowhere.
ENVIRONMENT = {
    "DATABASE_URL": "postgresql://me:secret-canary@127.0.0.1:1/books",
    "WEEKCLOSE_OUTBOX": "stdout",
    "WEEKCLOSE_RAIL_URL": "http://127.0.0.1:1",
    "WEEKCLOSE_RAIL_KEY": "key",
    "WEEKCLOSE_LOOPBACK_RAIL": "1",
}
# A simulator, the server of webhooks (which waits: test_webhooks.py), and what stops a server of ours.
NEED_NONE = {"rail serve", "webhooks serve", "db down"}


def commands(group: typer.core.TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[str, list[str]]]:
    """Each command, with what it has to be given to be called at all."""
    for name, command in group.commands.items():
        named = (*path, name)
        if not isinstance(command, typer.core.TyperGroup) or command.invoke_without_command:
            needed = [each for each in command.params if each.required]
            yield " ".join(named), ["2026-11-01" if each.name in DATES else "s1" for each in needed]
        if isinstance(command, typer.core.TyperGroup):
            yield from commands(command, named)


DATES = {"window", "paid"}


assert isinstance(APP, typer.core.TyperGroup)


@pytest.mark.parametrize(("name", "needed"), commands(APP), ids=str)
def test_a_command_without_a_database(
    name: str, needed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reached: Reached
) -> None:
    if name in NEED_NONE:
        return
    paper = tmp_path / "orders.pdf"
    paper.write_bytes(pdf("a paper"))
    (tmp_path / "orders.csv").write_text("order_id\n")
    if name in CASES:
        given = {"file": paper, "rows": tmp_path, "digest": "0" * 64}
        needed = shlex.split(CASES[name].arguments.format_map(given))
    for variable, value in ENVIRONMENT.items():
        monkeypatch.setenv(variable, value)
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "argv", ["weekclose", *name.split(), *needed])
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr(cli, "app", APP)
    code, said = cli._run(), err.getvalue()
    assert code == 1, said
    assert "connection refused" in (said + out.getvalue()).lower()
    assert "canary" not in said + out.getvalue()
    if name != "doctor":  # which looks at all else first, and has a line for each
        assert (said.startswith("weekclose: "), said.count("\n"), out.getvalue()) == (True, 1, "")
    reached(11, "commands", 1)

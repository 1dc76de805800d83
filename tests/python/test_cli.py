"""The command's manners: exit codes, one line for what went wrong, results alone on stdout."""

import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal

import psycopg
import pytest
import typer

from conftest import RunCommand
from weekclose import cli, output
from weekclose.errors import NothingToDo, OutcomeUnknown, Refused, UsageError, WeekcloseError
from weekclose.postgres import Server


def commands(group: typer.core.TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


def every_command() -> list[tuple[str, ...]]:
    root = typer.main.get_command(cli.app)
    assert isinstance(root, typer.core.TyperGroup)
    return list(commands(root))


@pytest.mark.parametrize("path", every_command(), ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    cli.app([*path, "--help"], standalone_mode=False, prog_name="weekclose")
    usage, _, text = capsys.readouterr().out.partition("\n\n")
    assert " ".join(["weekclose", *path]) in usage
    assert text.split("\n\n")[0].strip().endswith((".", ":")), "the first paragraph is a sentence"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dance",), "weekclose: No such command 'dance' (see weekclose --help)\n"),
        (
            ("db", "dwon"),
            "weekclose: No such command 'dwon'. Did you mean 'down'? (see weekclose db --help)\n",
        ),
        (("db", "url", "--colour"), "weekclose: No such option: --colour (see weekclose db url --help)\n"),
    ],
)
def test_a_mistyped_command_is_one_line(
    weekclose: RunCommand, arguments: tuple[str, ...], message: str
) -> None:
    done = weekclose(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


def test_no_command_shows_the_help(weekclose: RunCommand) -> None:
    done = weekclose()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: weekclose ")


@pytest.mark.parametrize(
    ("url", "exit_code", "message"),
    [
        ("postgresql://me:secret@127.0.0.1:1/x", 1, "port 1 failed: Connection refused"),
        ("postgres:/me:secret@127.0.0.1/x", 2, "DATABASE_URL cannot be read: write postgresql://"),
        ("mysql://me:secret@127.0.0.1/x", 2, "DATABASE_URL cannot be read: write postgresql://"),
    ],
)
@pytest.mark.catalogue(11)
def test_a_database_that_cannot_be_reached_is_one_line(
    weekclose: RunCommand, url: str, exit_code: int, message: str
) -> None:
    done = weekclose("db", "migrate", DATABASE_URL=url)
    assert (done.returncode, done.stdout) == (exit_code, "")
    assert done.stderr.startswith("weekclose: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (WeekcloseError("it is so"), 1),
        (UsageError("it is so"), 2),
        (Refused("it is so"), 3),
        (OutcomeUnknown("it is so"), 4),
        (NothingToDo("it is so"), 5),
        (PermissionError(13, "it is so", "/some/file"), 1),
        (psycopg.OperationalError("it\n\tis so"), 1),
        (KeyboardInterrupt(), 130),
    ],
    ids=repr,
)
def test_each_kind_of_failure_has_its_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    exit_code: int,
) -> None:
    app = typer.Typer()

    @app.command()
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "app", app)
    monkeypatch.setattr(sys, "argv", ["weekclose"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    talk = capsys.readouterr()
    assert (end.value.code, talk.out, talk.err.count("\n")) == (exit_code, "", 1)
    assert talk.err.startswith("weekclose: ")
    assert "it is so" in talk.err or exit_code == 130


def test_the_url_is_the_only_thing_on_stdout(database: Server, weekclose: RunCommand) -> None:
    assert weekclose("db", "url", database=database).stdout == f"{database.url}\n"
    answer = json.loads(weekclose("db", "url", "--json", database=database).stdout)
    assert answer == {"url": database.url} | database.environment()
    lines = weekclose("db", "url", "--env", database=database).stdout
    told = subprocess.run(
        ["sh", "-c", 'eval "$1"; echo "$PGPORT $PGPASSWORD $PGDATABASE"', "sh", lines],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == [str(database.port), database.password, database.dbname]


def test_the_command_answers_before_it_imports_what_is_heavy() -> None:
    heavy = {"dbt", "great_expectations", "pandas", "pyarrow", "psycopg", "rich"}
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, weekclose.cli; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert heavy & set(loaded.stdout.split()) == set()


def test_a_table_in_a_pipe_is_aligned_and_numbers_stand_to_the_right(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [("s1", Decimal("1234.50"), None), ("[b]s22[/b]", Decimal("-7.00"), ["no_rail", "on_hold"])]
    output.print_table(["seller", "net", "reasons"], rows, title="Week")
    assert capsys.readouterr().out.splitlines() == [
        "Week",
        "seller           net  reasons",
        "s1          1,234.50",
        "[b]s22[/b]     -7.00  no_rail, on_hold",
    ]


def test_json_keeps_money_exact(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"net": Decimal("0.10"), "seller": "Żółw"})
    assert json.loads(capsys.readouterr().out) == {"net": "0.10", "seller": "Żółw"}

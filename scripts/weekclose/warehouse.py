"""Runs dbt in this process, and tells what came of each model and test."""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from weekclose.database import open_connection, statement, value
from weekclose.errors import WeekcloseError
from weekclose.postgres import Server
from weekclose.settings import Settings, project_dir

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

# The wait for a reader is bounded, and sums get memory; see docs/operations.md. What a week touches is mostly
# in memory: with the usual costs of a page the planner would rather read years in a row than look up a week.
SESSION_OPTIONS = (
    "-c timezone=UTC -c lock_timeout=30s -c work_mem=64MB -c jit=off"
    " -c seq_page_cost=0.1 -c random_page_cost=0.1"
)

# How many failing rows of a test are kept, and how long they may take to find again.
ROWS_KEPT = 20
ROWS_TIMEOUT = "60s"

# SQL that may be another one in the next run, though neither project nor settings have changed.
OF_A_RUN = re.compile(
    r"""var\(['"](as_of|proved_until)|\b(adapter|env_var|flags|invocation_id|run_query|run_started_at|statement)\b"""
)

# The settings that are a night's own.
OF_NO_NIGHT = {"as_of": "", "proved_until": ""}

# What a generic test protects; ours say it in their first comment.
PROTECTS = {
    "not_null": "{where} is always there.",
    "unique": "{where} is never there twice.",
    "unique_together": "No two rows of {model} agree in their key.",
    "not_negative": "{where} is never below zero.",
    "accepted_values": "{where} is one of the values that the rest understands.",
    "relationships": "{where} names a row that exists.",
}

Vars = Mapping[str, Any]


@dataclass(frozen=True)
class NodeResult:
    """What became of one model, seed, test or source: `status` is dbt's word, `failures` counts rows.

    A test that is not green has its first failing rows, every value as text. `newest_at` is the time of a
    source's newest row, ISO 8601.
    """

    name: str
    kind: str
    status: str
    failures: int
    message: str
    seconds: float
    protects: str = ""
    newest_at: str | None = None
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str | None, ...], ...] = ()

    @property
    def is_red(self) -> bool:
        """Whether it bars a freeze: failed, broken, or skipped because something before it was."""
        return self.status in ("fail", "error", "runtime error", "skipped")

    @property
    def is_warning(self) -> bool:
        """Whether a person should know."""
        return self.status == "warn"

    def as_json(self) -> dict[str, Any]:
        """The result as it is kept with the run."""
        return asdict(self)


@dataclass(frozen=True)
class _View:
    """A model that is a view. It is standing if the next run would write the same SQL."""

    name: str
    relation: str
    is_standing: bool


@dataclass(frozen=True)
class _Project:
    """The project as it was parsed, and the digest of what it was parsed from."""

    manifest: "Manifest"
    digest: str
    views: tuple[_View, ...]


class Warehouse:
    """The dbt project on one server. Runs of one process that differ in their night alone parse it once."""

    def __init__(self, settings: Settings, server: Server) -> None:
        self._server = server
        self._parsed: dict[str, _Project] = {}
        self._home = settings.home / "dbt"
        self._left = self._home / "views"

    def freshness(self, variables: Vars) -> list[NodeResult]:
        """Whether the sources had fresh rows at `as_of`."""
        return self._run(["source", "freshness", "--no-write-json"], variables)

    def build(self, variables: Vars, *, full_refresh: bool = False) -> list[NodeResult]:
        """Build and test everything; a red test is a result, not an error.

        Views that stand as the last build left them, in the same project with the same settings, are not made
        again, and have no result; a full refresh makes them all.
        Raises WeekcloseError when dbt itself could not work (the project does not compile, no server).
        """
        # Unit tests prove code, and the code does not change on a Sunday.
        arguments = ["build", "--no-write-json", "--exclude-resource-type", "unit_test"]
        project = self._project(variables)
        standing = [view.name for view in project.views if view.is_standing]
        if full_refresh:
            arguments += ["--full-refresh"]
        elif self._left.exists() and self._left.read_text() == self._views_digest(project):
            # `empty`: without the views' tests, which look at data.
            arguments += ["--exclude", *standing, "--indirect-selection", "empty"]
        results = self._run(arguments, variables)
        if not any(result.is_red for result in results if result.kind == "model"):
            self._left.write_text(self._views_digest(project))
        return results

    def docs(self, variables: Vars) -> Path:
        """Describe the project and its catalogue; returns the directory with dbt's artifacts and its page."""
        self._run(["docs", "generate", "--static"], variables)
        return self._home / "target"

    def _views_digest(self, project: _Project) -> str:
        """Of the views in the database, and of what they were made from."""
        relations = [view.relation for view in project.views]
        asked = {"all": relations, "standing": [view.is_standing for view in project.views]}
        with open_connection(self._server) as conn:
            found = value(conn.execute(statement("views_as_built"), asked))
        return sha256(f"{project.digest} {found}".encode()).hexdigest()

    def _project(self, variables: Vars) -> _Project:
        # Settings may shape the project itself (schemas, freshness); a night's own only fill in its SQL. dbt
        # reads all anew when any setting is another one than last time, as these would be every Sunday.
        variables = {**variables, **OF_NO_NIGHT}
        shape = json.dumps(variables, sort_keys=True)
        if shape not in self._parsed:
            # Before it is read: what changes meanwhile is another project next time.
            digest = project_digest(variables)
            manifest = self._invoke(["parse"], variables)
            self._parsed[shape] = _Project(manifest, digest, tuple(_views(manifest)))
        return self._parsed[shape]

    def _run(self, arguments: list[str], variables: Vars) -> list[NodeResult]:
        ran = self._invoke(arguments, variables, self._project(variables).manifest)
        # Exposures and saved queries only describe: dbt has nothing to do for them.
        nodes = [node for node in getattr(ran, "results", []) if str(node.status) != "no-op"]
        return [self._with_rows(node, _result(node)) for node in nodes]

    def _invoke(self, arguments: list[str], variables: Vars, manifest: "Manifest | None" = None) -> Any:
        # Imported here: dbt costs a second that `weekclose --help` should not pay.
        from dbt.cli.main import dbtRunner

        profiles = self._home / "profiles"
        profiles.mkdir(parents=True, exist_ok=True)
        shutil.copy(project_dir() / "profiles.example.yml", profiles / "profiles.yml")
        places = {
            "--project-dir": project_dir(),
            "--profiles-dir": profiles,
            "--target-path": self._home / "target",
            "--log-path": self._home / "logs",
        }
        options = [word for name, value in places.items() for word in (name, str(value))]
        options += ["--vars", json.dumps(dict(variables)), "--log-level", "none", "--log-level-file", "warn"]
        with _environment({**self._server.environment(), "PGOPTIONS": SESSION_OPTIONS}):
            outcome = dbtRunner(manifest=manifest).invoke([*arguments, *options])
        if outcome.exception:
            raise WeekcloseError(f"dbt: {outcome.exception}")
        return outcome.result

    def _with_rows(self, node: Any, result: NodeResult) -> NodeResult:
        """The rows that a test failed for: found once more, as dbt only counts them."""
        query = getattr(node.node, "compiled_code", None)
        if result.kind != "test" or not result.failures or not query:
            return result
        try:
            with open_connection(self._server) as conn, conn.transaction():
                conn.execute("set transaction read only")
                conn.execute(f"set local statement_timeout = '{ROWS_TIMEOUT}'")
                failing = f"select * from (\n{query}\n) as failing limit {ROWS_KEPT}"  # noqa: S608 -- dbt made it
                cursor = conn.execute(failing.encode())
                rows = tuple(tuple(map(_text, row)) for row in cursor)
                columns = tuple(column.name for column in cursor.description or ())
        except psycopg.Error:
            return result  # the count stands; the rows are a help
        return replace(result, columns=columns, rows=rows)


def _views(manifest: Any) -> Iterator[_View]:
    for node in manifest.nodes.values():
        if node.resource_type == "model" and node.config.materialized == "view":
            relation = f'"{node.schema}"."{node.alias}"'
            texts = _with_macros(manifest, node)
            yield _View(node.name, relation, not any(map(OF_A_RUN.search, texts)))


def _with_macros(manifest: Any, node: Any) -> list[str]:
    """The node's source, and that of each macro that takes part in it."""
    texts, waiting, seen = [str(node.raw_code)], list(node.depends_on.macros), set()
    while waiting:
        if (name := waiting.pop()) not in seen:
            seen.add(name)
            macro = manifest.macros[name]
            texts.append(macro.macro_sql)
            waiting += macro.depends_on.macros
    return texts


def project_digest(variables: Vars) -> str:
    """What dbt makes relations and pages from: the project's files, the settings that shape it, the tools."""
    project = project_dir()
    digest = sha256()
    for name in ("dbt_project.yml", "models", "macros", "seeds", "tests", "analyses"):
        found = project / name
        files = sorted(found.rglob("*")) if found.is_dir() else [found]
        for file in files:
            if file.suffix in (".sql", ".yml", ".md", ".csv"):
                digest.update(f"{file.relative_to(project)}\n".encode() + file.read_bytes())
    digest.update(json.dumps({**variables, **OF_NO_NIGHT}, sort_keys=True).encode())
    digest.update(" ".join(version(tool) for tool in ("dbt-core", "dbt-postgres", "weekclose")).encode())
    return digest.hexdigest()


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return value.isoformat() if isinstance(value, date) else str(value)


def _result(result: Any) -> NodeResult:
    return NodeResult(
        name=result.node.name if result.node.resource_type != "source" else result.node.identifier,
        kind=str(result.node.resource_type),
        status=str(result.status),
        failures=int(result.failures or 0) if hasattr(result, "failures") else 0,
        message=" ".join((result.message or _age(result)).split()),
        seconds=round(float(result.execution_time or 0), 3),
        protects=_protects(result.node) if result.node.resource_type == "test" else "",
        newest_at=newest.isoformat() if (newest := _newest(result)) else None,
    )


def _protects(node: Any) -> str:
    """What a test is for, in words: its description, its first comment, or what its kind always protects."""
    if node.description:
        return " ".join(node.description.split())
    generic = getattr(node, "test_metadata", None)
    if generic is None:
        return _first_comment(node.raw_code)
    model = node.attached_node.split(".")[-1] if node.attached_node else "its model"
    where = f"{node.column_name} of {model}" if node.column_name else model
    return PROTECTS.get(generic.name, "").format(where=where, model=model)


def _first_comment(query: str) -> str:
    lines: list[str] = []
    for line in query.splitlines():
        if line.startswith("--"):
            lines.append(line.removeprefix("--").strip())
        elif lines:
            break
    return " ".join(lines)


def _newest(result: Any) -> datetime | None:
    newest: datetime | None = getattr(result, "max_loaded_at", None)
    return newest if newest and newest.year > 1 else None  # the year 1: dbt's way to say that there is no row


def _age(result: Any) -> str:
    if getattr(result, "max_loaded_at", None) is None:
        return ""
    newest = _newest(result)
    if newest is None:
        return "no row in the 60 days before as_of"
    return f"the newest row is of {newest:%Y-%m-%d %H:%M} UTC, {result.age / 86400:.1f} days before as_of"


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

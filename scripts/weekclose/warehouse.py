"""Runs dbt in this process, and tells what came of each model and test."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weekclose.errors import WeekcloseError
from weekclose.postgres import Server
from weekclose.settings import Settings, project_dir

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

# Parsing and the wait for a reader are bounded, sums over history get memory; see docs/operations.md.
SESSION_OPTIONS = "-c timezone=UTC -c lock_timeout=30s -c work_mem=64MB -c jit=off"

# Unit tests prove code, and the code does not change on a Sunday.
BUILD = ("build", "--exclude-resource-type", "unit_test")

Vars = Mapping[str, Any]


@dataclass(frozen=True)
class NodeResult:
    """What became of one model, seed, test or source: `status` is dbt's word, `failures` counts rows."""

    name: str
    kind: str
    status: str
    failures: int
    message: str
    seconds: float

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


class Warehouse:
    """The dbt project on one server. Runs of one process that differ in as_of alone parse it once."""

    def __init__(self, settings: Settings, server: Server) -> None:
        self._server = server
        self._parsed: dict[str, Manifest] = {}
        self._home = settings.home / "dbt"

    def freshness(self, variables: Vars) -> list[NodeResult]:
        """Whether the sources had fresh rows at `as_of`."""
        return self._run(["source", "freshness", "--no-write-json"], variables)

    def build(self, variables: Vars, *, full_refresh: bool = False) -> list[NodeResult]:
        """Build and test everything; a red test is a result, not an error.

        Raises WeekcloseError when dbt itself could not work (the project does not compile, no server).
        """
        return self._run(
            ["build", "--exclude-resource-type", "unit_test", *(["--full-refresh"] if full_refresh else [])],
            variables,
        )

    def docs(self, directory: Path) -> Path:
        """Write the project's documentation as one file that opens without a network."""
        self._run(["docs", "generate", "--static"], {})
        directory.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(self._home / "target" / "static_index.html", directory / "models.html"))

    def _run(self, arguments: list[str], variables: Vars) -> list[NodeResult]:
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
        options += ["--vars", json.dumps(dict(variables)), "--log-level", "none"]
        with _environment({**self._server.environment(), "PGOPTIONS": SESSION_OPTIONS}):
            # Settings may shape the project itself (schemas, freshness); as_of only fills in its SQL.
            shape = json.dumps({**variables, "as_of": ""}, sort_keys=True)
            if shape not in self._parsed:
                parsed = dbtRunner().invoke(["parse", *options])
                if parsed.exception:
                    raise WeekcloseError(f"dbt: {parsed.exception}")
                self._parsed[shape] = parsed.result  # type: ignore[assignment]
            outcome = dbtRunner(manifest=self._parsed[shape]).invoke([*arguments, *options])
        if outcome.exception:
            raise WeekcloseError(f"dbt: {outcome.exception}")
        # Exposures and saved queries only describe: dbt has nothing to do for them.
        found = (_result(node) for node in getattr(outcome.result, "results", []))
        return [result for result in found if result.status != "no-op"]


def _result(result: Any) -> NodeResult:
    return NodeResult(
        name=result.node.name if result.node.resource_type != "source" else result.node.identifier,
        kind=str(result.node.resource_type),
        status=str(result.status),
        failures=int(result.failures or 0) if hasattr(result, "failures") else 0,
        message=" ".join((result.message or _age(result)).split()),
        seconds=round(float(result.execution_time or 0), 3),
    )


def _age(result: Any) -> str:
    newest = getattr(result, "max_loaded_at", None)
    if newest is None:
        return ""
    if newest.year == 1:  # dbt's way to say that there is no row at all
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

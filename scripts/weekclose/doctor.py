"""Can this installation close a week? One look at everything that a week needs; nothing is changed."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from threading import Thread
from typing import Any, Literal, cast
from urllib.parse import urlsplit

import psycopg
from psycopg import Connection, sql

from weekclose.database import open_connection, server
from weekclose.decisions import verify_audit
from weekclose.errors import Refused, WeekcloseError
from weekclose.migrations import pending
from weekclose.policy import effective_vars
from weekclose.postgres import EmbeddedPostgres
from weekclose.rails.configured import load_rail_settings, open_rail
from weekclose.rails.protocol import Batch
from weekclose.rails.transport import Answer, Transport
from weekclose.reading import age_in_words, calendar, is_built, read, shown
from weekclose.settings import Settings, load_settings, load_telling_settings, project_dir
from weekclose.submission import now

State = Literal["ok", "look", "bad"]

# No check takes longer, whatever hangs; the database and the rail give up before, and say why.
PATIENCE_SECONDS = 30.0
STATEMENT_TIMEOUT = "20s"
RAIL_TIMEOUT_SECONDS = 5.0
LONGEST_FOUND = 300

# Codes of the second factor, signatures and the waits for a rail bear so much, in seconds.
CLOCK_WARNS, CLOCK_FAILS = 2.0, 30.0
# A week, and a day to notice it.
RUN_IS_OLD = timedelta(days=8)
# Whoever reconciles each hour has asked by then.
SILENCE_IS_LONG = timedelta(hours=1)
# Whoever is told a day late may have acted on what was true before.
DELIVERY_IS_LATE = timedelta(days=1)
SPARE_BYTES, NEEDED_BYTES = 2 * 1024**3, 200 * 1024**2
ORDERS_SINCE_DAYS = 60

# What a rail says to a look-up of something that it cannot have, when it takes the key.
HARMLESS_ANSWERS = {"batch": (404,), "halfin": (200,), "paypal": (400, 404)}
NOBODYS = Batch("WEEKCLOSEDOCTOR", date(2000, 1, 1), "", (), rail_batch_id="WEEKCLOSEDOCTOR")


@dataclass(frozen=True)
class Finding:
    """What a check found. `next` is what to do, empty when all is well."""

    check: str
    state: State
    found: str
    next: str


@dataclass(frozen=True)
class Check:
    """`needs` is the check without which this one has nothing to look at; `next` the usual thing to do."""

    name: str
    needs: str | None
    look: Callable[[], "Said"]
    next: str


@dataclass(frozen=True)
class Said:
    """What a look came to; `next` if it is another thing than usual."""

    state: State
    found: str
    next: str | None = None


class Answered(Exception):
    """The rail has answered, with this status: nothing more is asked."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Question(Transport):
    """One look-up, not repeated; what it costs to ask first (an access token) is paid."""

    def get(self, path: str, headers: Mapping[str, str]) -> Answer:
        raise Answered(self._once("GET", path, headers, None).status)


def examine() -> Iterator[Finding]:
    """Each check's finding, in their order. Raises nothing: what goes wrong in a check is its finding."""
    failed: set[str] = set()
    for check in CHECKS:
        if check.needs in failed:
            failed.add(check.name)
            yield Finding(check.name, "look", "not looked at", f"see {check.needs}")
            continue
        said = _within_patience(check)
        if said.state == "bad":
            failed.add(check.name)
        step = "" if said.state == "ok" else check.next if said.next is None else said.next
        yield Finding(check.name, said.state, shown(" ".join(said.found.split()), LONGEST_FOUND), step)


def told(findings: Sequence[Finding]) -> list[str]:
    """A line for each finding."""
    width = max(len(each.check) for each in findings)
    return [
        f"{each.state:<4}  {each.check:<{width}}  {each.found}{'; next: ' if each.next else ''}{each.next}"
        for each in findings
    ]


def _within_patience(check: Check) -> Said:
    said: list[Said] = []
    # A thread of its own: who waits for a name server or a dead disk cannot be told to stop.
    thread = Thread(target=lambda: said.append(_guarded(check)), daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    return said[0] if said else Said("bad", f"no answer within {PATIENCE_SECONDS:.0f} seconds")


def _guarded(check: Check) -> Said:
    try:
        return check.look()
    except WeekcloseError as error:
        return Said("bad", str(error))
    except psycopg.errors.InsufficientPrivilege as error:
        why = error.diag.message_primary or "permission denied"
        return Said("look", f"not for this login: {why}", "weekclose doctor as a login of weekclose_admin")
    except psycopg.OperationalError as error:
        return Said("bad", str(error))
    except psycopg.Error as error:
        return Said("bad", error.diag.message_primary or type(error).__name__)
    except OSError as error:
        return Said("bad", f"{error.filename or 'system'}: {error.strerror or error}")
    except Exception as error:  # its text may quote anything, a key too
        return Said("bad", f"cannot be looked at ({type(error).__name__})")


# -- the database ---------------------------------------------------------------------------------------


def _asked(look: Callable[[Connection[Any]], Said]) -> Callable[[], Said]:
    """A look at the database, which changes nothing. An embedded server that does not run is not started."""

    def asked() -> Said:
        settings = load_settings()
        if not settings.names_a_server:
            settings = Settings(DATABASE_URL=EmbeddedPostgres(settings.home).url)
        with open_connection(server(settings)) as conn:
            conn.execute("set default_transaction_read_only = on")
            conn.execute("select set_config('statement_timeout', %s, false)", [STATEMENT_TIMEOUT])
            return look(conn)

    return asked


def _database(conn: Connection[Any]) -> Said:
    info, version = conn.info, conn.info.parameter_status("server_version")
    return Said("ok", f"PostgreSQL {version} at {info.host}:{info.port}, database {info.dbname}")


def _migrations(conn: Connection[Any]) -> Said:
    try:
        missing = pending(conn, project_dir() / "migrations")
    except Refused as refusal:
        return Said("bad", str(refusal), "work with the version of weekclose that this database is of")
    if missing:
        return Said("bad", f"{len(missing)} are not applied, the first is {missing[0].name}")
    return Said("ok", "all applied, none changed since")


def _clock(conn: Connection[Any]) -> Said:
    before = datetime.now(UTC)
    theirs = now(conn)
    after = datetime.now(UTC)
    # What lies within the asking is no difference.
    behind, ahead = theirs - after, before - theirs
    seconds = max(behind, ahead, timedelta()).total_seconds()
    if seconds == 0:
        return Said("ok", "as the database's")
    found = f"{seconds:.1f} s {'behind' if behind > ahead else 'ahead of'} the database's"
    return Said("bad" if seconds > CLOCK_FAILS else "look" if seconds > CLOCK_WARNS else "ok", found)


def _login(conn: Connection[Any]) -> Said:
    who = read(conn, "doctor_login")[0]
    if "owner" in who["groups"]:
        return Said("ok", f"{who['login']} may do everything, under any name")
    if not who["groups"]:
        return Said("bad", f"{who['login']} has none of the roles")
    return Said("ok", f"{who['login']}: {', '.join(who['groups'])}")


def _orders(conn: Connection[Any]) -> Said:
    chosen = effective_vars({}, datetime.now(UTC))
    newest = sql.SQL(
        "select current_timestamp - max(captured_at) from {}.orders"
        " where captured_at between current_timestamp - make_interval(days => %s) and current_timestamp"
    ).format(sql.Identifier(chosen["raw_schema"]))
    row = conn.execute(newest, [ORDERS_SINCE_DAYS]).fetchone()
    if row is None or row[0] is None:
        return Said("look", f"none was captured in the last {ORDERS_SINCE_DAYS} days")
    # Between two Sundays that need not be wrong: a feed may come once a week.
    is_old = row[0] > timedelta(days=chosen["freshness_warn_days"])
    return Said("look" if is_old else "ok", f"the newest was captured {_ago(row[0])}")


def _build(conn: Connection[Any]) -> Said:
    if not is_built(conn):
        return Said("look", "nothing is built here yet")
    dates = calendar(conn)
    age = datetime.now(UTC) - dates.built_at
    return Said("ok", f"{_ago(age)}, as of {dates.local(dates.as_of)}")


def _last_run(conn: Connection[Any]) -> Said:
    runs = read(conn, "doctor_last_run")
    if not runs:
        return Said("look", "none yet")
    run = runs[0]
    found = f"{run['outcome'].replace('_', ' ')}, {_ago(run['age'])}"
    if run["outcome"] == "running":
        if run["is_going_on"]:
            return Said("look", found, "wait for it to end")
        return Said("bad", f"it died before it ended, {_ago(run['age'])}")
    if run["outcome"] in ("failed", "refused"):
        return Said("bad", f"{found}: {run['message']}", "weekclose status")
    return Said("look" if run["age"] > RUN_IS_OLD else "ok", found)


def _page(conn: Connection[Any]) -> Said:
    page = load_settings().home / "site" / "index.html"
    if not page.exists():
        return Said("look", f"{page} is not there")
    written_at = datetime.fromtimestamp(page.stat().st_mtime, UTC)
    runs = read(conn, "doctor_last_run")
    if runs and runs[0]["finished_at"] and runs[0]["finished_at"] > written_at:
        return Said("look", f"{page} is older than the last run")
    return Said("ok", f"{page} was written {_ago(datetime.now(UTC) - written_at)}")


def _batches(conn: Connection[Any]) -> Said:
    unknown = read(conn, "doctor_batches")
    lost = [row for row in unknown if not row["is_going_on"]]
    if not unknown:
        return Said("ok", "none has an unknown outcome")
    if not lost:
        return Said("look", f"{unknown[0]['batch_id']} is being handed over", "wait for it to end")
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    found = f"the outcome of {lost[0]['batch_id']}{more} has been unknown for {age_in_words(lost[0]['age'])}"
    return Said("bad", found, f"weekclose submit {lost[0]['pays']}")


def _webhooks(conn: Connection[Any]) -> Said:
    row = read(conn, "doctor_webhooks")[0]
    told_age, submitted_age = row["told_age"], row["submitted_age"]
    if row["waiting_count"]:
        waits = f"{row['waiting_count']:,} {'event waits' if row['waiting_count'] == 1 else 'events wait'}"
        return Said("look", f"{waits}, the oldest came {_ago(row['waiting_age'])}", "weekclose events list")
    newest = f"the newest event came {_ago(told_age)}" if told_age is not None else "no event ever came"
    if submitted_age is None:
        return Said("ok", f"{newest}, no batch was handed over")
    state: State = "ok"
    if submitted_age > SILENCE_IS_LONG and (told_age is None or told_age > submitted_age):
        state = "look"
    return Said(state, f"{newest}, the newest batch was handed over {_ago(submitted_age)}")


def _outbox(conn: Connection[Any]) -> Said:
    row = read(conn, "doctor_outbox")[0]
    count, age = row["waiting_count"], row["waiting_age"]
    if not count:
        return Said("ok", "every event is delivered")
    waits = f"{count:,} {'event waits' if count == 1 else 'events wait'}, the oldest for {age_in_words(age)}"
    if load_telling_settings().outbox is None:
        return Said("ok", f"{waits}: WEEKCLOSE_OUTBOX is not set, nobody is told")
    state: State = "look" if age > SILENCE_IS_LONG or row["tries"] else "ok"
    if age > DELIVERY_IS_LATE:
        state = "bad"
    return Said(state, f"{waits}: {row['last_error']}" if row["last_error"] else waits)


def _audit_log(conn: Connection[Any]) -> Said:
    count = verify_audit(conn)
    return Said("ok", f"{count:,} {'entry' if count == 1 else 'entries'}, all as written")


# -- this machine, and the rail -------------------------------------------------------------------------


def _home() -> Said:
    home = load_settings().home
    # The first command makes it: until then its place has to be writable.
    place = next(each for each in (home, *home.parents) if each.exists())
    with tempfile.TemporaryFile(dir=place):
        pass
    server_place = home / "postgres" / "server"  # may be a link to another disk
    free = min(shutil.disk_usage(each).free for each in (place, server_place) if each.exists())
    found = f"{home} can be written, {free / 1024**3:.1f} GB are free"
    return Said("bad" if free < NEEDED_BYTES else "look" if free < SPARE_BYTES else "ok", found)


def _rail_settings() -> Said:
    settings = load_rail_settings()
    rail = open_rail(settings)
    key = settings.key.get_secret_value() if settings.key else ""
    if rail.name == "paypal" and ":" not in key:
        return Said("bad", "WEEKCLOSE_RAIL_KEY is not CLIENT_ID:CLIENT_SECRET")
    doubts = []
    if settings.loopback_rail:
        doubts.append("WEEKCLOSE_LOOPBACK_RAIL is set: for trying, never for paying")
    if not settings.secrets:
        doubts.append("WEEKCLOSE_WEBHOOK_SECRETS is not set: no webhook can be taken here")
    if doubts:
        return Said("look", "; ".join(doubts))
    return Said("ok", f"{rail.name}: address, key, webhook secrets ({len(settings.secrets)})")


def _rail() -> Said:
    settings = load_rail_settings()
    rail, url = open_rail(settings), settings.url or ""
    question = Question(url, loopback=settings.loopback_rail, read_timeout=RAIL_TIMEOUT_SECONDS)
    try:
        replace(cast("Any", rail), transport=question).look_up(NOBODYS)
    except Answered as answer:
        status = answer.status
    host = urlsplit(url).hostname
    if status in HARMLESS_ANSWERS[rail.name]:
        return Said("ok", f"{host} answers and takes the key")
    why = ": it refuses the key" if status in (401, 403) else ""
    return Said("bad", f"{host} answered {status} to a look-up{why}")


def _ago(age: timedelta) -> str:
    return f"{age_in_words(age)} ago"


CHECKS = (
    Check("database", None, _asked(_database), "weekclose db up, or put DATABASE_URL right"),
    Check("migrations", "database", _asked(_migrations), "weekclose db migrate"),
    Check("clock", "database", _asked(_clock), "set this machine's clock, timedatectl set-ntp true"),
    Check("login", "migrations", _asked(_login), "have it granted what it needs (docs/operations.md, Roles)"),
    Check("orders", "migrations", _asked(_orders), "weekclose load PATH"),
    Check("build", "migrations", _asked(_build), "weekclose sunday --no-freeze"),
    Check("last run", "migrations", _asked(_last_run), "weekclose sunday"),
    Check("page", "migrations", _asked(_page), "weekclose review"),
    Check("batches", "migrations", _asked(_batches), "weekclose submit"),
    Check("webhooks", "migrations", _asked(_webhooks), "weekclose reconcile (docs/runbooks.md)"),
    Check("outbox", "migrations", _asked(_outbox), "weekclose outbox publish"),
    Check("audit log", "migrations", _asked(_audit_log), "submit nothing, compare with the last backup"),
    Check("home", None, _home, "set WEEKCLOSE_HOME to a folder that can be written, with room"),
    Check("rail settings", None, _rail_settings, "read docs/rails.md"),
    Check("rail", "rail settings", _rail, "put WEEKCLOSE_RAIL_URL and _KEY right, or ask the rail"),
)

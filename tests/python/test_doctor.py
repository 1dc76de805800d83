"""`weekclose doctor`: each check sees what is wrong and says what to do, and disturbs none of the others."""

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from psycopg import Connection

from conftest import RunCommand
from frozen_window import WINDOW, claimed_window, frozen_window, submitted_window
from rail_batches import ADAPTERS, KEY, Bench, bench
from test_roles import created_login
from weekclose import doctor
from weekclose.database import open_connection
from weekclose.doctor import Finding, examine, told
from weekclose.migrations import migrate
from weekclose.postgres import Server
from weekclose.reading import calendar
from weekclose.settings import project_dir
from weekclose.simulator.rail import Plan
from weekclose.simulator.webhooks import SAMPLE_SECRET

NOWHERE = "postgresql://me:canary@127.0.0.1:1/x"
A_RAIL = {"WEEKCLOSE_RAIL_URL": "https://rail.invalid", "WEEKCLOSE_RAIL_KEY": "canary-key"}
NEEDS_TABLES = [each.name for each in doctor.CHECKS if each.needs == "migrations"]


@dataclass(frozen=True)
class Look:
    """Takes a look in this process, in an environment that is only this one."""

    patch: pytest.MonkeyPatch
    home: Path

    def __call__(self, database: Server | None = None, /, **environment: str) -> dict[str, Finding]:
        given = {"DATABASE_URL": database.url if database else NOWHERE, "WEEKCLOSE_HOME": str(self.home)}
        with self.patch.context() as patch:
            for name, value in (given | environment).items():
                patch.setenv(name, value)
            found = list(examine())
        assert [each.check for each in found] == [check.name for check in doctor.CHECKS]
        assert all((each.state == "ok") == (each.next == "") for each in found)
        assert "canary" not in "\n".join(told(found))
        return {each.check: each for each in found}


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Look:
    return Look(monkeypatch, tmp_path / "home")


def rail_of(desk: Bench, **settings: str) -> dict[str, str]:
    """What the environment says about a simulated rail."""
    return {
        "WEEKCLOSE_RAIL": desk.protocol,
        "WEEKCLOSE_RAIL_URL": desk.simulator.rail_url(desk.protocol),
        "WEEKCLOSE_RAIL_KEY": KEY,
        "WEEKCLOSE_WEBHOOK_SECRETS": SAMPLE_SECRET,
        "WEEKCLOSE_LOOPBACK_RAIL": "1",
    } | settings


def states(found: dict[str, Finding], *names: str) -> list[str]:
    return [found[name].state for name in names]


# -- the whole ------------------------------------------------------------------------------------------


def test_in_good_order(
    database: Server, conn: Connection[Any], tmp_path: Path, weekclose: RunCommand
) -> None:
    submitted_window(conn, ["10.00"])
    order(conn, "current_timestamp - interval '2 hours'")
    page = tmp_path / "site" / "index.html"
    page.parent.mkdir()
    page.touch()
    with bench("batch", tmp_path, Plan(key=KEY)) as desk:
        given = rail_of(desk, WEEKCLOSE_HOME=str(tmp_path))
        done = weekclose("doctor", "--json", database=database, **given)
        lines = weekclose("doctor", database=database, **given).stdout.splitlines()
    found = {each.pop("check"): each for each in json.loads(done.stdout)}
    assert (done.returncode, done.stderr) == (0, "")
    # A rail on this machine, and a window that was frozen by hand.
    assert [found.pop(name)["state"] for name in ("rail settings", "build")] == ["look", "look"]
    assert {name: each for name, each in found.items() if each["state"] != "ok" or each["next"]} == {}
    assert len(lines) == len(doctor.CHECKS)
    assert f"ok    orders         {found['orders']['found']}" in lines
    assert found["orders"]["found"] == "the newest was captured 2 hours ago"


def test_a_new_installation(tmp_path: Path, weekclose: RunCommand) -> None:
    home = tmp_path / "home"
    done = weekclose("doctor", WEEKCLOSE_HOME=str(home))
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert len(lines) == len(doctor.CHECKS)
    assert lines[0].startswith(f"bad   database       no PostgreSQL is running under {home}")
    assert lines[0].endswith("; next: weekclose db up, or put DATABASE_URL right")
    assert not home.exists(), "a look makes nothing"


def test_a_dead_database_keeps_nothing_else_from_being_looked_at(look: Look, tmp_path: Path) -> None:
    with bench("batch", tmp_path, Plan(key=KEY)) as desk:
        found = look(**rail_of(desk))
    assert found["database"].state == "bad"
    assert "Connection refused" in found["database"].found
    assert states(found, "home", "rail") == ["ok", "ok"]
    unseen = {check.name: check.needs for check in doctor.CHECKS if check.needs in ("database", "migrations")}
    assert {name: (found[name].found, found[name].next) for name in unseen} == {
        name: ("not looked at", f"see {needs}") for name, needs in unseen.items()
    }


def test_what_hangs_is_left_alone(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PATIENCE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        found = look(DATABASE_URL=f"postgresql://me@127.0.0.1:{mute.getsockname()[1]}/x")
    assert (found["database"].state, found["database"].found[:16]) == ("bad", "no answer within")
    assert found["home"].state == "ok"


@pytest.mark.parametrize(
    ("environment", "check", "message"),
    [
        ({"DATABASE_URL": "mysql://me:canary@h/x"}, "database", "DATABASE_URL cannot be read"),
        ({"DATABASE_URL": "postgresql://me:canary@h:port/x"}, "database", "failed to resolve host 'h'"),
        ({"WEEKCLOSE_HOME": "~no-such-user/home"}, "home", "cannot be looked at (RuntimeError)"),
        ({"WEEKCLOSE_HOME": "/dev/null/home"}, "home", "Not a directory"),
        ({"WEEKCLOSE_HOME": "/proc/home"}, "home", "/proc"),
        ({}, "rail settings", "no rail is set up"),
        (A_RAIL | {"WEEKCLOSE_RAIL": "swift"}, "rail settings", "'swift' is no rail"),
        (A_RAIL | {"WEEKCLOSE_RAIL_KEY": ""}, "rail settings", "set WEEKCLOSE_RAIL_URL and"),
        (A_RAIL | {"WEEKCLOSE_RAIL_KEY": "canary\n"}, "rail settings", "characters that no key has"),
        (A_RAIL | {"WEEKCLOSE_RAIL_URL": "https://me:canary@h/"}, "rail settings", "a key goes into"),
        (A_RAIL | {"WEEKCLOSE_RAIL_URL": "rail.invalid"}, "rail settings", "is no web address"),
        (A_RAIL | {"WEEKCLOSE_RAIL": "paypal"}, "rail settings", "CLIENT_ID:CLIENT_SECRET"),
        (A_RAIL | {"WEEKCLOSE_WEBHOOK_SECRETS": "canary"}, "rail settings", "a secret is not whsec_"),
        (A_RAIL | {"WEEKCLOSE_LOOPBACK_RAIL": "perhaps"}, "rail settings", "LOOPBACK_RAIL has a value"),
    ],
)
def test_settings_that_are_none(look: Look, environment: dict[str, str], check: str, message: str) -> None:
    found = look(**environment)
    assert found[check].state == "bad"
    assert message in found[check].found


def test_settings_of_a_rail(look: Look) -> None:
    found = look(**A_RAIL)
    assert found["rail settings"].state == "look"
    assert "WEEKCLOSE_WEBHOOK_SECRETS is not set" in found["rail settings"].found
    found = look(**A_RAIL, WEEKCLOSE_WEBHOOK_SECRETS=f"{SAMPLE_SECRET},{SAMPLE_SECRET}")
    assert found["rail settings"].state == "ok"
    assert found["rail settings"].found == "batch: address, key, webhook secrets (2)"


def test_a_full_disk(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "SPARE_BYTES", 2**70)
    assert look()["home"].state == "look"
    monkeypatch.setattr(doctor, "NEEDED_BYTES", 2**70)
    assert look()["home"].state == "bad"


# -- the rail -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ADAPTERS)
def test_a_rail_is_asked_once_and_moves_nothing(look: Look, tmp_path: Path, protocol: str) -> None:
    with bench(protocol, tmp_path, Plan(key=KEY)) as desk:
        assert look(**rail_of(desk))["rail"] == Finding(
            "rail", "ok", "127.0.0.1 answers and takes the key", ""
        )
        asked = [(each.method, each.path) for each in desk.requests]
        refused = look(**rail_of(desk, WEEKCLOSE_RAIL_KEY="another:canary"))["rail"]
        elsewhere = look(**rail_of(desk, WEEKCLOSE_RAIL_URL=f"{desk.simulator.url}/elsewhere"))["rail"]
        assert desk.rail.payments() == []
    assert (
        asked
        == {
            "batch": [("GET", "/v1/payout-batches/WEEKCLOSEDOCTOR")],
            "halfin": [("GET", "/api/v1/payouts")],
            "paypal": [("POST", "/v1/oauth2/token"), ("GET", "/v1/payments/payouts/WEEKCLOSEDOCTOR")],
        }[protocol]
    )
    assert refused.state == "bad"
    assert "401" in refused.found
    # For `batch` an address without a rail answers like a rail without the batch.
    assert elsewhere.state == ("ok" if protocol == "batch" else "bad")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("error_before", "127.0.0.1 answered 500 to a look-up"),
        ("busy", "127.0.0.1 answered 429 to a look-up"),
        ("redirect", "the rail redirects GET"),
        ("reset_before", "the rail did not answer GET"),
        ("timeout", "the rail did not answer GET"),
    ],
)
def test_a_rail_out_of_order(
    look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, message: str
) -> None:
    monkeypatch.setattr(doctor, "RAIL_TIMEOUT_SECONDS", 0.5)
    with bench("batch", tmp_path) as desk:
        desk.arm(fault, on="look_up")
        found = look(**rail_of(desk))["rail"]
        assert len(desk.requests) == 1, "it is not asked twice"
    assert (found.state, found.found[: len(message)]) == ("bad", message)


def test_a_dead_rail(look: Look, tmp_path: Path) -> None:
    with bench("batch", tmp_path) as desk:
        gone = rail_of(desk)
    found = look(**gone)["rail"]
    assert found.state == "bad"
    assert found.found.endswith("NewConnectionError")


# -- the database ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("drop table public.weekclose_migrations", "are not applied, the first is 0001_raw.sql"),
        ("update public.weekclose_migrations set checksum = '' where version = 2", "has changed since"),
        (
            "insert into public.weekclose_migrations values (9999, '9999_new.sql', '')",
            "is newer than this code",
        ),
    ],
)
def test_migrations(look: Look, database: Server, conn: Connection[Any], change: str, message: str) -> None:
    conn.execute(change.encode())
    found = look(database)
    assert states(found, "database", "clock", "migrations") == ["ok", "ok", "bad"]
    assert message in found["migrations"].found
    assert {found[name].next for name in NEEDS_TABLES} == {"see migrations"}


def test_an_empty_database(look: Look, empty_conn: Connection[Any], first_server: Server) -> None:
    info = empty_conn.info
    url = Server(info.host, info.port, info.user, info.password, info.dbname, first_server.transport).url
    found = look(DATABASE_URL=url)
    count = len(list((project_dir() / "migrations").glob("*.sql")))
    assert found["migrations"].found == f"{count} are not applied, the first is 0001_raw.sql"
    assert found["migrations"].next == "weekclose db migrate"
    migrate(empty_conn, project_dir() / "migrations")
    found = look(DATABASE_URL=url)
    assert found["migrations"].state == "ok"
    assert {name for name in NEEDS_TABLES if found[name].state == "look"} == {
        "orders",
        "build",
        "last run",
        "page",
    }


@pytest.mark.parametrize(
    ("seconds", "state", "message"),
    [
        (10, "look", "s ahead of the database's"),
        (-10, "look", "s behind the database's"),
        (40, "bad", "s ahead of the database's"),
        (-40, "bad", "s behind the database's"),
    ],
)
def test_a_clock_that_is_wrong(look: Look, database: Server, seconds: int, state: str, message: str) -> None:
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=seconds)):
        found = look(database)["clock"]
    assert (found.state, found.found.partition(" ")[2]) == (state, message)
    assert abs(seconds) - 2 < float(found.found.partition(" ")[0]) < abs(seconds) + 2


def test_logins(look: Look, database: Server) -> None:
    with created_login(database, []) as nobody, created_login(database, ["operator"]) as olga:
        found = look(nobody)
        assert states(found, "database", "migrations", "login") == ["ok", "ok", "bad"]
        assert found["login"].found == f"{nobody.user} has none of the roles"
        assert found["batches"].state == "look"
        assert found["batches"].found.startswith("not for this login: permission denied")
        found = look(olga)
        assert (found["login"].state, found["login"].found) == ("ok", f"{olga.user}: operator")
        assert states(found, "batches", "webhooks", "audit log") == ["ok", "ok", "look"]
        assert found["audit log"].next == "weekclose doctor as a login of weekclose_admin"
    with created_login(database, ["admin"]) as ada:
        found = look(ada)
        assert "not for this login" not in "\n".join(told(list(found.values())))
        assert found["audit log"].state == "ok"
    assert look(database)["login"].found == f"{database.user} may do everything, under any name"


def test_it_changes_nothing(look: Look, database: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(conn: Connection[Any]) -> doctor.Said:
        conn.execute("insert into payouts.warehouse_runs default values")
        return doctor.Said("ok", "written")

    spoilt = doctor.Check("spoilt", None, doctor._asked(write), "nothing")
    monkeypatch.setattr(doctor, "CHECKS", (spoilt,))
    assert look(database)["spoilt"].found == "cannot execute INSERT in a read-only transaction"


@pytest.fixture
def books(database: Server) -> Iterator[Connection[Any]]:
    """Books that can be put into any state, whatever the guards say."""
    with open_connection(database) as conn:
        frozen_window(conn, ["10.00"])
        yield conn


def falsify(conn: Connection[Any], change: str) -> None:
    with conn.transaction():
        conn.execute("set local session_replication_role = replica")
        conn.execute(change.encode())


def order(conn: Connection[Any], captured_at: str) -> None:
    conn.execute(
        "insert into raw.orders"
        " (order_id, seller_id, currency, gross_amount, fee_amount, status, captured_at)"
        f" values ('new', 's1', 'USD', 1, 0, 'fulfilled', {captured_at})".encode()
    )


RUN = "update payouts.warehouse_runs set "
DIED = f"{RUN} outcome = 'running', finished_at = null, started_at = now() - interval '3 hours'"


@pytest.mark.parametrize(
    ("change", "state", "message", "step"),
    [
        (f"{RUN} started_at = now() - interval '7 days'", "ok", "frozen, 7 days ago", ""),
        (f"{RUN} started_at = now() - interval '9 days'", "look", "frozen, 9 days ago", "weekclose sunday"),
        (
            f"{RUN} outcome = 'failed', message = 'no disk'",
            "bad",
            "failed, 0 min ago: no disk",
            "weekclose status",
        ),
        (f"{RUN} outcome = 'refused', message = 'red'", "bad", "refused, 0 min ago: red", "weekclose status"),
        (DIED, "bad", "it died before it ended, 3 hours ago", "weekclose sunday"),
        ("delete from payouts.warehouse_runs", "look", "none yet", "weekclose sunday"),
    ],
)
def test_the_last_run(
    look: Look, database: Server, books: Connection[Any], change: str, state: str, message: str, step: str
) -> None:
    falsify(books, change)
    assert look(database)["last run"] == Finding("last run", state, message, step)  # type: ignore[arg-type]


def test_a_run_that_is_going_on(look: Look, database: Server, books: Connection[Any]) -> None:
    falsify(books, DIED)
    books.execute("select pg_advisory_lock(hashtext('weekclose sunday'))")
    found = look(database)["last run"]
    assert (found.state, found.found, found.next) == ("look", "running, 3 hours ago", "wait for it to end")


@pytest.mark.parametrize(
    ("captured_at", "state", "message"),
    [
        ("now() - interval '5 hours'", "ok", "the newest was captured 5 hours ago"),
        ("now() - interval '5 days'", "look", "the newest was captured 5 days ago"),
        ("now() - interval '90 days'", "look", "none was captured in the last 60 days"),
        ("now() + interval '5 days'", "look", "none was captured in the last 60 days"),
        ("null", "look", "none was captured in the last 60 days"),
    ],
)
def test_orders(
    look: Look, database: Server, conn: Connection[Any], captured_at: str, state: str, message: str
) -> None:
    order(conn, captured_at)
    found = look(database)["orders"]
    assert (found.state, found.found) == (state, message)


def test_the_build(look: Look, closed_weeks: Server) -> None:
    with open_connection(closed_weeks) as conn:
        dates = calendar(conn)
    found = look(closed_weeks)["build"]
    assert found.state == "ok"
    assert found.found.endswith(f" ago, as of {dates.local(dates.as_of)}")


def test_the_page(look: Look, database: Server, books: Connection[Any]) -> None:
    page = look.home / "site" / "index.html"
    assert (look(database)["page"].state, look(database)["page"].next) == ("look", "weekclose review")
    page.parent.mkdir(parents=True)
    page.touch()
    assert look(database)["page"].found == f"{page} was written 0 min ago"
    os.utime(page, (0, 0))
    assert look(database)["page"].found == f"{page} is older than the last run"


def test_a_batch_of_unknown_outcome(look: Look, database: Server, books: Connection[Any]) -> None:
    assert look(database)["batches"].state == "ok"
    claimed_window(books, frozen_window(books, ["7.00"], window=WINDOW + timedelta(days=7)))
    found = look(database)["batches"]
    assert (found.state, found.found) == ("look", "W2026-11-08-G1 is being handed over")
    falsify(
        books,
        "update payouts.submit_attempts"
        " set started_at = now() - interval '2 hours', active_at = now() - interval '1 hour'",
    )
    assert look(database)["batches"] == Finding(
        "batches",
        "bad",
        "the outcome of W2026-11-08-G1 has been unknown for 2 hours",
        "weekclose submit 2026-11-08",
    )


def test_webhooks(look: Look, database: Server, conn: Connection[Any]) -> None:
    def said() -> tuple[str, str, str]:
        found = look(database)["webhooks"]
        return found.state, found.found, found.next

    def told_at(event: str, instant: str) -> None:
        conn.execute(
            "insert into payouts.rail_events"
            " (rail, rail_event_id, event_type, proves_content, body, received_at)"
            f" values ('batch', '{event}', 'x', true, '', {instant})".encode()
        )

    assert said() == ("ok", "no event ever came, no batch was handed over", "")
    submitted_window(conn, ["10.00"])
    assert said() == ("ok", "no event ever came, the newest batch was handed over 0 min ago", "")
    falsify(conn, "update payouts.submit_attempts set started_at = now() - interval '3 hours'")
    silent = "the newest batch was handed over 3 hours ago"
    assert said() == ("look", f"no event ever came, {silent}", "weekclose reconcile (docs/runbooks.md)")
    told_at("old", "now() - interval '4 hours'")
    assert said() == ("look", "1 event waits, the oldest came 4 hours ago", "weekclose events list")
    decided = "update payouts.event_outcomes set outcome = 'no_effect', decided_at = now()"
    conn.execute(decided.encode())
    assert said()[:2] == ("look", f"the newest event came 4 hours ago, {silent}")
    told_at("new", "now() - interval '2 hours'")
    conn.execute(f"{decided} where outcome is null".encode())
    assert said() == ("ok", f"the newest event came 2 hours ago, {silent}", "")


def test_an_audit_log_that_was_changed(look: Look, database: Server, books: Connection[Any]) -> None:
    assert look(database)["audit log"].found == "1 entry, all as written"
    falsify(books, "update payouts.audit_log set actor = 'nobody'")
    found = look(database)["audit log"]
    assert (found.state, found.found[:35]) == ("bad", "the audit log is broken at entry 1:")

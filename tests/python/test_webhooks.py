"""Webhooks over real sockets, into a real PostgreSQL: verified, stored once, answered, applied."""

import http.client
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import urllib3
from psycopg import Connection
from pydantic import SecretStr

from conftest import COMMAND, RunCommand
from frozen_window import APPROVER, OPERATOR, WINDOW, frozen_window, one, submitted_window
from rail_batches import ADAPTERS, KEY, bench
from weekclose import decisions, submission
from weekclose.database import open_connection
from weekclose.migrations import migrate
from weekclose.postgres import EmbeddedPostgres, Server
from weekclose.rails.configured import RailSettings, open_rail
from weekclose.rails.signatures import sign_standard
from weekclose.settings import Settings, project_dir
from weekclose.simulator.webhooks import SAMPLE_SECRET, SAMPLE_WEBHOOK_ID, Lie
from weekclose.webhooks import listening

SECRET = SAMPLE_SECRET
NEXT_SECRET = "whsec_bmV4dC1zZWNyZXQtZm9yLXRlc3Rz"
FOREIGN_SECRET = "whsec_Zm9yZWlnbi1zZWNyZXQtaW4tdGVzdHM="
PATH = "/webhooks/rail"
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

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code; when it is back, everything that it stored is applied."""
        self.process.send_signal(how)
        return self.process.wait(PATIENCE)


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


def told(
    payout: str = "JPO0000001", status: str = "completed", amount: str = "10.00", **changed: Any
) -> bytes:
    """An event's body as the `batch` rail writes it; what is `changed` is its data's."""
    data = {
        "batch": "W2026-11-01-G1",
        "payout": payout,
        "amount": amount,
        "currency": "USD",
        "external_reference": f"TX-{payout}",
        "failure_code": None,
        "failure_reason": None,
    }
    said = {"type": f"payout.{status}", "timestamp": "2026-11-17T10:00:00Z", "data": data | changed}
    return json.dumps(said).encode()


def signed(
    event_id: str, body: bytes, secret: str = SECRET, late: timedelta = timedelta()
) -> tuple[dict[str, str], bytes]:
    return sign_standard(secret, event_id, datetime.now(UTC) - late, body), body


def eventually(holds: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def more_than(count: int, server: "Running", part: str) -> bool:
    return server.count(part) > count


def statuses(conn: Connection[Any]) -> dict[str, str]:
    return dict(conn.execute("select payout_number, status from payouts.payouts").fetchall())


def ledger(conn: Connection[Any]) -> list[tuple[Any, ...]]:
    return conn.execute(
        "select kind, reference, account, amount, payout_number"
        " from payouts.ledger_entries inner join payouts.ledger_transactions using (transaction_id)"
        " where payout_number is not null order by kind, reference, account"
    ).fetchall()


def stored(conn: Connection[Any]) -> int:
    return int(one(conn, "select count(*) from payouts.rail_events"))


@pytest.fixture(scope="module")
def server(module_database: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One for the tests that book nothing, during a rotation: two secrets are valid."""
    secrets = f"{SECRET},{NEXT_SECRET}"
    logs = tmp_path_factory.mktemp("webhooks")
    with serving(logs, module_database, WEEKCLOSE_WEBHOOK_SECRETS=secrets) as running:
        yield running


@pytest.fixture
def inbox(module_database: Server) -> Iterator[Connection[Any]]:
    """A connection to the database of `server`."""
    with open_connection(module_database) as conn:
        yield conn


# -- what gets in ---------------------------------------------------------------------------------------


def test_two_routes_and_nothing_else(server: Running) -> None:
    asked = (
        ("GET", "/healthz", 200),
        ("POST", "/healthz", 405),
        ("GET", PATH, 405),
        ("PUT", PATH, 405),
        ("POST", f"{PATH}/", 404),
        ("POST", "/", 404),
        ("GET", "/docs", 404),
        ("POST", "/webhooks/rail%0aPOST /webhooks/rail 200".replace(" ", "%20"), 404),
    )
    for method, path, status in asked:
        said = f"{method} {path} {status}"
        before_it = server.count(said)
        assert server.ask(method, path)[0] == status, (method, path)
        eventually(partial(more_than, before_it, server, said))
    assert json.loads(server.ask("GET", "/healthz")[1]) == {"status": "ok", "waiting": 0}


def test_a_body_has_a_length_and_that_length(server: Running, inbox: Connection[Any]) -> None:
    start, before = f"POST {PATH} HTTP/1.1\r\nHost: x\r\n".encode(), stored(inbox)
    chunk = b"5\r\nhello\r\n"
    for sent, finished, status in (
        (start + b"\r\n", True, 411),
        (start + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 3, False, 411),
        (start + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk, False, 411),
        (start + b"Content-Length: 65537\r\n\r\n", False, 413),
        (start + b"Content-Length: 65537\r\n\r\n" + b"x" * 65537, True, 413),
        (start + b"Content-Length: 99999999999999999999\r\n\r\n", False, 413),
        (start + b"Content-Length: 65536\r\n\r\n" + b"x" * 65536, True, 401),
        (start + b"Content-Length: 0\r\n\r\n", True, 401),
        (start + b"Content-Length: 100\r\n\r\n" + b"x" * 99, True, 400),
        (start + b"Content-Length: -1\r\n\r\n", False, 400),
        (start + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", False, 400),
        (start + b"Content-Length: 1", True, 400),
        (start + b"X: " + b"x" * 70_000, False, 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 is no HTTP\r\n\r\n", False, 400),
    ):
        said = f" {status} ("
        before_it = server.count(said)
        assert server.raw(sent, finished=finished) == status, sent[:100]
        eventually(partial(more_than, before_it, server, said))
    # Who says all he has to say before he listens still hears what is wrong with it.
    assert server.ask("POST", PATH, body=b"x" * 8_000_000)[0] == 413
    assert stored(inbox) == before
    server.connect(b"").close()
    server.connect(start + b"Content-Length: 100\r\n\r\n").close()
    assert server.ask("GET", "/healthz")[0] == 200


def test_what_the_rail_did_not_sign_is_refused(server: Running, inbox: Connection[Any]) -> None:
    body, before = told("JPO-UNKNOWN-CANARY"), stored(inbox)
    good = signed("evt_1", body)[0]
    headers = {name: value for name, value in good.items() if name != "webhook-signature"}
    for sent in (
        (headers, body),
        ({}, body),
        (good, body + b" "),
        (good | {"webhook-id": "evt_2"}, body),
        (good | {"webhook-id": "\x01"}, body),
        (good | {"webhook-timestamp": "1"}, body),
        (good | {"webhook-timestamp": "\xb2"}, body),
        (good | {"webhook-signature": "v1,"}, body),
        (good | {"webhook-signature": "v1,\xe9\xff" * 100}, body),
        signed("evt_1", body, FOREIGN_SECRET),
        signed("evt_1", body, late=timedelta(minutes=6)),
        signed("evt_1", body, late=-timedelta(minutes=6)),
    ):
        said = f"POST {PATH} 401 ("
        before_it = server.count(said)
        assert server.post(sent) == 401, sent
        eventually(partial(more_than, before_it, server, said))
    assert stored(inbox) == before
    assert "CANARY" not in server.log.read_text()


def test_both_secrets_of_a_rotation_are_valid(server: Running, inbox: Connection[Any]) -> None:
    for secret in (SECRET, NEXT_SECRET):
        assert server.post(signed(f"evt_{secret}", told("JPO-UNKNOWN"), secret)) == 200
    both = sign_standard(FOREIGN_SECRET, "evt_both", datetime.now(UTC), told())
    right = sign_standard(NEXT_SECRET, "evt_both", datetime.now(UTC), told())
    both["webhook-signature"] += f" {right['webhook-signature']}"
    assert server.post((both, told())) == 200
    assert "whsec_" not in server.log.read_text()


# An index keeps no text that fills its page and cannot be compressed.
LONG = "".join(map(str, random.Random(1).sample(range(99999), 5000)))

RUBBISH = {
    "nothing": b"",
    "not JSON": b"{",
    "no object": b"[]",
    "NUL": told(failure_reason="a\0b"),
    "half a character": told().replace(b"TX-", b"\\ud800"),
    "half a character in a name": told().replace(b'"batch"', b'"\\udc00"'),
    "not UTF-8": told().replace(b"TX-", b"\xff"),
    "deep": b"[" * 30_000 + b"]" * 30_000,
    "deep data": told().replace(b"null", b"[" * 30_000 + b"]" * 30_000, 1),
    "endless number": told().replace(b'"10.00"', b"1e400"),
    "endless digits": told().replace(b'"10.00"', b"9" * 20_000),
    "endless decimal text": told(amount="9" * 20_000),
    "NaN": told().replace(b'"10.00"', b"NaN"),
    "not a number": told(amount="NaN"),
    "a number": told().replace(b'"10.00"', b"10.00"),
    "negative": told(amount="-10.00"),
    "other digits": told(amount="\u0661\u0660.00"),
    "a name twice": told().replace(b'"amount"', b'"currency": "EUR", "amount"'),
    "no payout": told(payout=""),
    "data is text": b'{"type": "payout.completed", "timestamp": "2026-11-17T10:00:00Z", "data": "x"}',
    "year 0": told().replace(b"2026-11-17", b"0000-11-17"),
    "before time": told().replace(b"2026-11-17T10:00:00Z", b"0001-01-01T00:00:00+14:00"),
    "no offset": told().replace(b"10:00:00Z", b"10:00:00"),
    "long": told(payout=LONG),
}


def test_rightly_signed_rubbish_is_refused(server: Running, inbox: Connection[Any]) -> None:
    before = stored(inbox)
    for name, body in RUBBISH.items():
        assert server.post(signed(f"evt_{name.replace(' ', '_')}", body)) == 422, name
    assert stored(inbox) == before


def test_text_is_text(server: Running, inbox: Connection[Any]) -> None:
    """What looks like SQL or a formula is stored as it came, and no terminal obeys it."""
    hostile = "'; drop table payouts.rail_events; --\x1b[31m \u202e\U0001f4a3 {{ }} %s"
    body = told(payout=hostile, failure_reason=hostile, currency=hostile)
    assert server.post(signed("evt_text", body)) == 200
    row = inbox.execute(
        "select payout_number, failure_reason, body from payouts.rail_events where rail_event_id = 'evt_text'"
    ).fetchone()
    assert row == (hostile, hostile, body)


def test_random_rubbish_is_never_stored_and_never_an_error(server: Running, inbox: Connection[Any]) -> None:
    chance, before, body = random.Random(8), stored(inbox), told()
    for number in range(300):
        headers = signed(f"evt_{number}", body)[0]
        garbled = bytearray(body)
        for _ in range(chance.randint(1, 5)):
            garbled[chance.randrange(len(garbled))] = chance.randrange(256)
        if chance.random() < 0.3:
            name = chance.choice(list(headers))
            headers[name] = "".join(chr(chance.randrange(32, 127)) for _ in range(chance.randrange(80)))
        if bytes(garbled) == body and headers == signed(f"evt_{number}", body)[0]:
            continue
        assert server.post((headers, bytes(garbled))) == 401, number
        assert server.post(signed(f"evt_{number}", chance.randbytes(chance.randrange(200)))) == 422, number
    assert stored(inbox) == before


# -- what becomes of it ---------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ADAPTERS)
def test_each_rail_is_heard(protocol: str, database: Server, conn: Connection[Any], tmp_path: Path) -> None:
    """The simulated rail signs as each rail does; what PayPal signs proves no content, so it waits."""
    paypal = protocol == "paypal"
    destination: dict[str, Any] = {"rail": "PAYPAL", "destination": "seller@example.com"} if paypal else {}
    frozen_window(conn, ("10.00", "20.00", "30.00"), **destination)
    digest = one(conn, "select content_digest from payouts.batches")
    decisions.approve(conn, WINDOW, digest, APPROVER)
    with bench(protocol, tmp_path) as rail:
        submission.submit(conn, rail.adapter(), WINDOW, OPERATOR)
        rail.rail.release()
        environment = {
            "WEEKCLOSE_RAIL": protocol,
            "WEEKCLOSE_RAIL_URL": rail.simulator.rail_url(protocol),
            "WEEKCLOSE_WEBHOOK_SECRETS": f"{NEXT_SECRET}, {SAMPLE_WEBHOOK_ID if paypal else SECRET}",
        }
        with serving(tmp_path, database, **environment) as running:
            rail.rail.sender.url = running.url
            for signature in ("wrong", "stale", "future", "none"):
                made = rail.rail.settle({"JPO0000002": "completed"}, signature=signature)
                assert [each.answer for each in made] == [401], signature
            assert stored(conn) == 0
            made = rail.rail.settle({"JPO0000001": "completed"}, copies=2)
            made += rail.rail.settle({"JPO0000002": "failed"})
            made += rail.rail.settle({"JPO0000003": "completed"}, lie=Lie(amount="31.00"))
            assert [each.answer for each in made] == [200] * 4
            assert running.stop() == 0
    assert stored(conn) == 3
    assert statuses(conn) == {
        "JPO0000001": "submitted" if paypal else "paid",
        "JPO0000002": "submitted",
        "JPO0000003": "submitted",
    }


EVENTS = {
    "completed": ("payout.completed", "10.00"),
    "failed": ("payout.failed", "10.00"),
    "returned": ("payout.returned", "10.00"),
    "unknown type": ("payout.pondered", "10.00"),
    "other amount": ("payout.completed", "11.00"),
}


def test_the_order_of_events_does_not_matter(database: Server, conn: Connection[Any], tmp_path: Path) -> None:
    """Each order of a payout's events, with a duplicate and news of an unknown payout in between."""
    orders = list(itertools.permutations(EVENTS))
    submitted_window(conn, ["10.00"] * len(orders))
    chance = random.Random(6)

    def tell(running: Running, number: int, order: Sequence[str]) -> list[int]:
        payout = f"JPO{number:07d}"
        happenings = list(order)
        happenings.insert(chance.randint(happenings.index("completed") + 1, 5), "completed")
        happenings.insert(chance.randint(0, 6), "unknown payout")
        answers = []
        for each in happenings:
            kind, amount = EVENTS.get(each, ("payout.completed", "10.00"))
            body = told(f"{payout}-X" if each == "unknown payout" else payout, amount=amount)
            body = body.replace(b"payout.completed", kind.encode())
            answers.append(running.post(signed(f"evt_{payout}_{each.replace(' ', '_')}", body)))
        return answers

    with serving(tmp_path, database) as running, ThreadPoolExecutor(4) as pool:
        answered = pool.map(tell, itertools.repeat(running), itertools.count(1), orders)
        assert all(answers == [200] * 7 for answers in answered)
        assert running.stop() == 0
    assert set(statuses(conn).values()) == {"paid"}
    assert [row[0] for row in ledger(conn)].count("pay") == 2 * len(orders), "out of transit, into paid"
    assert one(conn, "select sum(amount) from payouts.ledger_entries where account = 'payouts_paid'") == 1200
    verdicts = dict(conn.execute("select verdict, count(*) from payouts.inbox group by verdict").fetchall())
    assert verdicts == {
        "booked": 120,
        "needs_look_up": 240,
        "other_amount": 120,
        "unknown_type": 120,
        "unknown_payout": 120,
    }
    booked = "select distinct actor from payouts.audit_log where entity like 'payout:%'"
    assert conn.execute(booked).fetchall() == [("webhook",)]
    decisions.verify_audit(conn)


def test_an_event_has_one_effect(
    database: Server, conn: Connection[Any], tmp_path: Path, weekclose: RunCommand
) -> None:
    submitted_window(conn, ["10.00", "20.00"])
    with serving(tmp_path, database) as running, ThreadPoolExecutor(16) as pool:
        same = signed("evt_1", told())
        assert set(pool.map(running.post, [same] * 16)) == {200}
        others = [signed(f"evt_other_{number}", told()) for number in range(16)]
        assert set(pool.map(running.post, others)) == {200}
        lines = running.lines(33)
        assert lines.count(f"POST {PATH} 200 (event 1)") == 1
        assert lines.count(f"POST {PATH} 200 (known)") == 15
        assert running.post(signed("evt_2", told("JPO0000002", "failed", "20.00"))) == 200
        eventually(lambda: json.loads(running.ask("GET", "/healthz")[1])["waiting"] == 1)
        assert running.stop() == 0
    assert stored(conn) == 18
    assert statuses(conn) == {"JPO0000001": "paid", "JPO0000002": "submitted"}
    assert [row[:2] for row in ledger(conn) if row[0] == "pay"] == [("pay", "JPO0000001")] * 2

    waiting = weekclose("events", "list", "--json", database=database)
    (entry,) = json.loads(waiting.stdout)
    assert (entry["rail_event_id"], entry["verdict"]) == ("evt_2", "needs_look_up")
    assert entry["stands"] == "the rail's final word: weekclose reconcile asks for it"
    assert len(json.loads(weekclose("events", "list", "--all", "--json", database=database).stdout)) == 18
    event_id = str(entry["event_id"])
    for arguments, code, said in (
        (("replay",), 0, "the rail's final word"),
        (("replay", "1"), 5, "none of these events waits"),
        (("replay", event_id, "999"), 2, "there is no event 999"),
    ):
        done = weekclose("events", *arguments, database=database)
        assert (done.returncode, said in done.stdout + done.stderr) == (code, True), (arguments, done)


def test_its_login_needs_no_more_than_its_role(
    database: Server, conn: Connection[Any], tmp_path: Path
) -> None:
    submitted_window(conn, ["10.00"])
    login = f"webhook_{database.dbname}"
    conn.execute(f"create role {login} login password 'p' in role weekclose_webhook")
    try:
        with serving(tmp_path, replace(database, user=login, password="p")) as running:
            assert running.post(signed("evt_1", told())) == 200
            assert running.ask("GET", "/healthz")[0] == 200
            assert running.stop() == 0
        assert statuses(conn) == {"JPO0000001": "paid"}
        assert one(conn, "select actor from payouts.audit_log where action = 'paid'") == login
    finally:
        conn.execute(f"drop role {login}")


def test_another_program_listens_for_a_while(database: Server, conn: Connection[Any]) -> None:
    submitted_window(conn, ["10.00"])
    heard: list[str] = []
    rail = open_rail(
        RailSettings(
            WEEKCLOSE_RAIL_URL="http://127.0.0.1:9",
            WEEKCLOSE_RAIL_KEY=SecretStr(KEY),
            WEEKCLOSE_LOOPBACK_RAIL=True,
            WEEKCLOSE_WEBHOOK_SECRETS=SecretStr(SECRET),
        )
    )
    with listening(rail, Settings(DATABASE_URL=database.url), heard.append) as url:
        headers, body = signed("evt_1", told())
        for _ in range(2):
            assert urllib3.request("POST", url, headers=headers, body=body).status == 200
    assert statuses(conn) == {"JPO0000001": "paid"}
    assert heard == [f"POST {PATH} 200 (event 1)", f"POST {PATH} 200 (known)"]


def test_no_event_waits(database: Server, weekclose: RunCommand) -> None:
    done = weekclose("events", "replay", database=database)
    assert (done.returncode, done.stderr) == (5, "weekclose: no event waits\n")


# -- what goes wrong ------------------------------------------------------------------------------------


def test_slow_senders_hold_nobody_up(database: Server, tmp_path: Path) -> None:
    start = f"POST {PATH} HTTP/1.1\r\nHost: x\r\n".encode()
    with serving(tmp_path, database, "webhooks.RECEIVE_SECONDS = 2.0") as running:
        slow = [running.connect(start + b"Content-Length: 100\r\n\r\n{") for _ in range(10)]
        slow += [running.connect(start) for _ in range(10)]
        for number in range(5):
            began = time.monotonic()
            assert running.post(signed(f"evt_{number}", told())) == 200
            assert time.monotonic() - began < 1.0
        assert [status_of(each) for each in slow] == [408] * 20
        for each in slow:
            each.close()
        assert running.stop() == 0
        assert sum("408 (too slow)" in line for line in running.lines()) == 20


def test_a_database_that_is_away_is_waited_for(home: Path, tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(home)
    where = postgres.start()
    with open_connection(where) as conn:
        migrate(conn, project_dir() / "migrations")
        submitted_window(conn, ["10.00"])
    with serving(tmp_path, None, WEEKCLOSE_HOME=str(home)) as first:
        assert first.post(signed("evt_1", told("JPO-UNKNOWN"))) == 200
        assert postgres.stop()
        with serving(tmp_path, where) as second:
            for running in (first, second):
                lines = len(running.lines())
                assert running.post(signed("evt_2", told())) == 503
                assert running.ask("GET", "/healthz")[0] == 503
                assert len(running.lines(lines + 2)) == lines + 2, "one line for each request"
            assert "until it is there, every answer is 503" in second.log.read_text()
            assert where.password not in first.log.read_text() + second.log.read_text()
            postgres.start()
            assert [running.post(signed("evt_2", told())) for running in (first, second)] == [200, 200]
            assert [running.ask("GET", "/healthz")[0] for running in (first, second)] == [200, 200]
            postgres.stop()
            postgres.start()
            assert first.post(signed("evt_2", told())) == 200, "it was away, and nobody had noticed"
            assert (first.stop(), second.stop()) == (0, 0)
    with open_connection(where) as conn:
        assert (stored(conn), statuses(conn)) == (2, {"JPO0000001": "paid"})


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_all_is_done(
    how: signal.Signals, database: Server, conn: Connection[Any], tmp_path: Path
) -> None:
    """A request of which half is there is heard to the end, and applied, before the server goes."""
    submitted_window(conn, ["10.00"])
    headers, body = signed("evt_1", told())
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode()
    with serving(tmp_path, database) as running:
        with running.connect(head + body[:20]) as talk:
            assert running.ask("GET", "/healthz")[0] == 200, "so the other one has been heard, too"
            running.process.send_signal(how)
            eventually(lambda: refuses(running.port))
            talk.sendall(body[20:])
            assert status_of(talk) == 200
        assert running.process.wait(PATIENCE) == 0
    assert statuses(conn) == {"JPO0000001": "paid"}


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_what_was_answered_is_stored(
    database: Server, conn: Connection[Any], tmp_path: Path, weekclose: RunCommand
) -> None:
    """Killed between the answer and the booking, which a lock holds up here: the event waits in the inbox."""
    submitted_window(conn, ["10.00", "20.00"])
    for number, amount in enumerate(("10.00", "20.00"), start=1):
        with serving(tmp_path, database) as running, conn.transaction():
            conn.execute("lock table payouts.turns in access exclusive mode")
            assert running.post(signed(f"evt_{number}", told(f"JPO000000{number}", amount=amount))) == 200
            running.process.kill()
            running.process.wait(PATIENCE)
            assert statuses(conn)[f"JPO000000{number}"] == "submitted"
        if number == 1:
            done = weekclose("events", "replay", database=database)
            assert (done.returncode, done.stdout.splitlines()[1].endswith("booked")) == (0, True)
    with serving(tmp_path, database):
        # A new server applies what an old one left.
        eventually(lambda: statuses(conn) == {"JPO0000001": "paid", "JPO0000002": "paid"})


def test_an_event_that_cannot_be_booked_keeps_no_other_back(
    database: Server, conn: Connection[Any], tmp_path: Path
) -> None:
    submitted_window(conn, ["10.00", "20.00"])
    # Somebody has moved the money behind our back: this payout's booking is refused.
    with conn.transaction():
        conn.execute("set local session_replication_role = replica")
        conn.execute(
            "insert into payouts.ledger_entries"
            " (transaction_id, account, seller_id, currency, amount, payout_number)"
            " select max(transaction_id), 'payouts_paid', 's1', 'USD', 1, 'JPO0000001'"
            " from payouts.ledger_transactions"
        )
    with serving(tmp_path, database) as running:
        for number, amount in ((1, "10.00"), (2, "20.00")):
            assert running.post(signed(f"evt_{number}", told(f"JPO000000{number}", amount=amount))) == 200
        assert running.stop() == 0
        assert "events wait in the inbox: the database refuses (23514)" in running.log.read_text()
    assert statuses(conn) == {"JPO0000001": "submitted", "JPO0000002": "paid"}


def test_it_does_not_start_to_verify_nothing(database: Server, weekclose: RunCommand) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        rail = {"WEEKCLOSE_RAIL_URL": "https://rail.example.com", "WEEKCLOSE_RAIL_KEY": "k"}
        secret = {"WEEKCLOSE_WEBHOOK_SECRETS": SECRET}
        for environment, code, said in (
            (rail, 2, "set WEEKCLOSE_WEBHOOK_SECRETS"),
            (rail | {"WEEKCLOSE_WEBHOOK_SECRETS": " , "}, 2, "set WEEKCLOSE_WEBHOOK_SECRETS"),
            (rail | {"WEEKCLOSE_WEBHOOK_SECRETS": "short-canary"}, 2, "a secret is not whsec_"),
            (secret, 2, "no rail is set up"),
            (rail | secret, 1, "in use"),
        ):
            done = weekclose("webhooks", "serve", "--port", port, database=database, **environment)
            assert (done.returncode, said in done.stderr, done.stdout) == (code, True, ""), done
            assert "canary" not in done.stderr

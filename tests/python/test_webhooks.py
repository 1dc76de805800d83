"""Webhooks over real sockets, into a real PostgreSQL: verified, stored once, answered, applied."""

import ast
import itertools
import json
import random
import re
import select
import signal
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import urllib3
from psycopg import Connection
from pydantic import SecretStr

from catalogue import SOAK, Reached
from conftest import RunCommand
from frozen_window import APPROVER, OPERATOR, WINDOW, frozen_window, one, submitted_window
from rail_batches import ADAPTERS, KEY, bench
from webhook_server import PATIENCE, SECRET, Running, Signed, eventually, serving, status_of
from weekclose import decisions, submission, webhooks
from weekclose.database import open_connection
from weekclose.migrations import migrate
from weekclose.postgres import EmbeddedPostgres, Server
from weekclose.rails.configured import RailSettings, open_rail
from weekclose.rails.protocol import Rail
from weekclose.rails.signatures import sign_standard
from weekclose.settings import Settings, project_dir
from weekclose.simulator.webhooks import SAMPLE_WEBHOOK_ID, Lie
from weekclose.webhooks import PATH, listening

NEXT_SECRET = "whsec_bmV4dC1zZWNyZXQtZm9yLXRlc3Rz"
FOREIGN_SECRET = "whsec_Zm9yZWlnbi1zZWNyZXQtaW4tdGVzdHM="

# What they are called in the code, and what makes them.
OF_A_SECRET = re.compile(
    r"(?<![.\w])(right|secret|signature|text|each\.encode|hmac\.\w+|_standard|_halfin)\b"
)
BURST = 8_000 if SOAK else 200


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


def signed(event_id: str, body: bytes, secret: str = SECRET, late: timedelta = timedelta()) -> Signed:
    return sign_standard(secret, event_id, datetime.now(UTC) - late, body), body


def request(what: Signed, path: str = PATH) -> bytes:
    """The bytes of a request."""
    headers, body = what
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body


def more_than(count: int, server: Running, part: str) -> bool:
    return server.count(part) > count


def statuses(conn: Connection[Any]) -> dict[str, str]:
    return dict(conn.execute("select payout_number, status from payouts.payouts").fetchall())


def ledger(conn: Connection[Any]) -> list[tuple[Any, ...]]:
    return conn.execute(
        "select kind, reference, account, amount, payout_number"
        " from payouts.ledger_entries inner join payouts.ledger_transactions using (transaction_id)"
        " where payout_number is not null order by kind, reference, account"
    ).fetchall()


def a_rail() -> Rail:
    return open_rail(
        RailSettings(
            WEEKCLOSE_RAIL_URL="http://127.0.0.1:9",
            WEEKCLOSE_RAIL_KEY=SecretStr(KEY),
            WEEKCLOSE_LOOPBACK_RAIL=True,
            WEEKCLOSE_WEBHOOK_SECRETS=SecretStr(SECRET),
        )
    )


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


START = f"POST {PATH} HTTP/1.1\r\nHost: x\r\n".encode()
CHUNK = b"5\r\nhello\r\n"
# What is sent, whether it ends there, and the answer.
NO_BODY_OF_ITS_LENGTH = (
    (START + b"\r\n", True, 411),
    (START.replace(b"1.1", b"1.0") + b"\r\n", True, 411),
    (START + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK * 3, False, 411),
    (START + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK * 3 + b"0\r\n\r\n", True, 411),
    (START + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNK, False, 411),
    (START + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + CHUNK, False, 411),
    (START + b"Content-Length: 65537\r\n\r\n", False, 413),
    (START + b"Content-Length: 65537\r\n\r\n" + b"x" * 65537, True, 413),
    (START + b"Content-Length: 99999999999999999999\r\n\r\n", False, 413),
    (START + b"Content-Length: 65536\r\n\r\n" + b"x" * 65536, True, 401),
    (START + b"Content-Length: 0\r\n\r\n", True, 401),
    (START + b"Content-Length: 100\r\n\r\n" + b"x" * 99, True, 400),
    (START + b"Content-Length: 100\r\n\r\n", True, 400),
    (START + b"Content-Length: -1\r\n\r\n", False, 400),
    (START + b"Content-Length: +1\r\n\r\nx", False, 400),
    (START + b"Content-Length: 1_0\r\n\r\nx", False, 400),
    (START + b"Content-Length: 0x1\r\n\r\nx", False, 400),
    (START + b"Content-Length: \xb2\r\n\r\nx", False, 400),
    (START + b"Content-Length:\r\n\r\nx", False, 400),
    (START + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", False, 400),
    (START + b"Transfer-Encoding: gzip\r\n\r\n", False, 400),
    (START + b"Content-Length: 1", True, 400),
)
NO_REQUEST = (
    b"\r\n",
    b"POST\r\n\r\n",
    b"\0" * 1000,
    b"x" * 70_000,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 is no HTTP\r\n\r\n",
    f"POST {PATH}\r\n\r\n".encode(),
    f"POST {PATH} HTTP/9\r\n\r\n".encode(),
    f"POST  {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    f"POST {PATH}\0 HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    f"POST {PATH} HTTP/1.1\r\n\r\n".encode(),
    START + b"Host: y\r\n\r\n",
    START + b"X: " + b"x" * 70_000,
    START + b"X : y\r\n\r\n",
    START + b"X\r\n\r\n",
    START + b"X: \0\r\n\r\n",
    START + b": y\r\n\r\n",
)


@pytest.mark.catalogue(9)
def test_a_body_has_a_length_and_that_length(
    server: Running, inbox: Connection[Any], reached: Reached
) -> None:
    before = stored(inbox)
    cases = (*NO_BODY_OF_ITS_LENGTH, *((each, False, 400) for each in NO_REQUEST))
    for sent, finished, status in cases:
        said = f" {status} ("
        before_it = server.count(said)
        assert server.raw(sent, finished=finished) == status, sent[:100]
        eventually(partial(more_than, before_it, server, said))
    # Who says all he has to say before he listens still hears what is wrong with it.
    assert server.ask("POST", PATH, body=b"x" * 8_000_000)[0] == 413
    assert stored(inbox) == before
    server.connect(b"").close()
    server.connect(START + b"Content-Length: 100\r\n\r\n").close()
    assert server.ask("GET", "/healthz")[0] == 200
    reached(9, "requests without a whole body, each refused", len(cases))


@pytest.mark.catalogue(9)
def test_a_connection_brings_one_request(server: Running, inbox: Connection[Any]) -> None:
    """Nobody's request hides behind another's, whatever stands in front may think of it."""
    before = stored(inbox)
    both = b"".join(request(signed(f"evt_pipelined_{number}", told("JPO-UNKNOWN"))) for number in (1, 2))
    with server.connect(both) as talk:
        said = b""
        while more := talk.recv(65536):
            said += more
    assert (said.count(b"HTTP/1.1 "), said[:12]) == (1, b"HTTP/1.1 200")
    assert stored(inbox) == before + 1


@pytest.mark.catalogue(10)
def test_both_secrets_of_a_rotation_are_valid(server: Running, inbox: Connection[Any]) -> None:
    for secret in (SECRET, NEXT_SECRET):
        assert server.post(signed(f"evt_{secret}", told("JPO-UNKNOWN"), secret)) == 200
    both = sign_standard(FOREIGN_SECRET, "evt_both", datetime.now(UTC), told())
    right = sign_standard(NEXT_SECRET, "evt_both", datetime.now(UTC), told())
    both["webhook-signature"] += f" {right['webhook-signature']}"
    assert server.post((both, told())) == 200
    assert "whsec_" not in server.log.read_text()


@pytest.mark.catalogue(10)
def test_signatures_are_compared_in_constant_time_alone() -> None:
    """How long `==` or `in` take says how much was right: neither stands beside a signature or a secret."""
    package = project_dir() / "scripts" / "weekclose"
    places = (package / name for name in ("rails/signatures.py", "webhooks.py", "simulator/protocols.py"))
    assert [each for path in places for each in careless(path.read_text())] == []
    verifying = (package / "rails" / "signatures.py").read_text()
    assert verifying.count("hmac.compare_digest(") == 1
    for change in ("text == each.encode()", "text in right", "secret != text", "each.encode() in (right,)"):
        assert careless(verifying.replace("hmac.compare_digest(text, each.encode())", change)) == [change]


def careless(source: str) -> list[str]:
    """The comparisons of what may be a signature or a secret."""
    compared = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Compare)]
    return [ast.unparse(each) for each in compared if OF_A_SECRET.search(ast.unparse(each))]


@pytest.mark.catalogue(8)
def test_text_is_text(server: Running, inbox: Connection[Any]) -> None:
    """What looks like SQL or a formula is stored as it came, and no terminal obeys it."""
    hostile = "'; drop table payouts.rail_events; --\x1b[31m \u202e\U0001f4a3 {{ }} %s"
    body = told(payout=hostile, failure_reason=hostile, currency=hostile)
    assert server.post(signed("evt_text", body)) == 200
    row = inbox.execute(
        "select payout_number, failure_reason, body from payouts.rail_events where rail_event_id = 'evt_text'"
    ).fetchone()
    assert row == (hostile, hostile, body)


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


@pytest.mark.catalogue(12)
def test_a_burst_is_booked_to_the_last(
    database: Server, conn: Connection[Any], tmp_path: Path, reached: Reached
) -> None:
    """A Tuesday's payouts are told within minutes: each is booked once, some of them told twice."""
    submitted_window(conn, ["10.00"] * BURST)
    numbers = [*range(1, BURST + 1), *range(1, BURST + 1, 10)]
    random.Random(12).shuffle(numbers)
    messages = [signed(f"evt_{number}", told(f"JPO{number:07d}")) for number in numbers]
    with serving(tmp_path, database) as running, ThreadPoolExecutor(16) as pool:
        assert set(pool.map(running.post, messages)) == {200}
        assert running.stop(patience=PATIENCE + BURST / 20) == 0
    assert set(statuses(conn).values()) == {"paid"}
    assert stored(conn) == BURST
    paid = "select count(*), sum(amount) from payouts.ledger_entries where account = 'payouts_paid'"
    assert conn.execute(paid).fetchone() == (BURST, 10 * BURST)
    reached(12, "webhooks at once, each booked once", BURST)


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
    with listening(a_rail(), Settings(DATABASE_URL=database.url), heard.append) as url:
        headers, body = signed("evt_1", told())
        for _ in range(2):
            assert urllib3.request("POST", url, headers=headers, body=body).status == 200
            assert stored(conn) == 1, "before it was answered"
    assert statuses(conn) == {"JPO0000001": "paid"}
    assert heard == [f"POST {PATH} 200 (event 1)", f"POST {PATH} 200 (known)"]


def test_no_event_waits(database: Server, weekclose: RunCommand) -> None:
    done = weekclose("events", "replay", database=database)
    assert (done.returncode, done.stderr) == (5, "weekclose: no event waits\n")


# -- what goes wrong ------------------------------------------------------------------------------------


@pytest.mark.catalogue(9)
def test_slow_senders_hold_nobody_up(
    database: Server, conn: Connection[Any], monkeypatch: pytest.MonkeyPatch, reached: Reached
) -> None:
    heard: list[str] = []
    beginnings = (START, START + b"Content-Length: 100\r\n\r\n{", b"P", START + b"X: y") * 5
    with listening(a_rail(), Settings(DATABASE_URL=database.url), heard.append) as url:
        place = ("127.0.0.1", int(url.split(":")[2].partition("/")[0]))

        def slow() -> list[socket.socket]:
            senders = [socket.create_connection(place, timeout=PATIENCE) for _ in beginnings]
            for sender, beginning in zip(senders, beginnings, strict=True):
                sender.sendall(beginning)
            return senders

        # Nobody is given up on here: who is answered has waited for none of them.
        monkeypatch.setattr(webhooks, "RECEIVE_SECONDS", 3600.0)
        senders = slow()
        for number in range(20):
            headers, body = signed(f"evt_{number}", told())
            assert urllib3.request("POST", url, headers=headers, body=body).status == 200
        assert select.select(senders, [], [], 0)[0] == [], "all of them are still being listened to"
        for sender in senders:
            sender.close()

        monkeypatch.setattr(webhooks, "RECEIVE_SECONDS", 0.2)
        senders = slow()
        # Who sends a byte now and then is no faster for it.
        while not select.select(senders[-1:], [], [], 0.02)[0]:
            senders[-1].sendall(b"y")
        assert [status_of(sender) for sender in senders] == [408] * 20
        for sender in senders:
            sender.close()
    assert sum("408 (too slow)" in line for line in heard) == 20
    assert stored(conn) == 20
    reached(9, "requests answered beside 20 slow senders", 20)


@pytest.mark.catalogue(11)
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
    whole = request(signed("evt_1", told()))
    with serving(tmp_path, database) as running:
        with running.connect(whole[:-50]) as talk:
            assert running.ask("GET", "/healthz")[0] == 200, "so the other one has been heard, too"
            running.process.send_signal(how)
            eventually(lambda: refuses(running.port))
            talk.sendall(whole[-50:])
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

"""The outbox: an event for each change that committed, told at least once and in the order of its entity."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from conftest import COMMAND
from desk import Desk, desk, people  # noqa: F401
from frozen_window import WINDOW, claimed_window, frozen_window, one, submitted_window
from receivers import SECRET, Delivery, Receiver, receiver
from tuesday import empty, marts  # noqa: F401
from weekclose import outbox
from weekclose.database import open_connection
from weekclose.errors import NothingToDo, UsageError, WeekcloseError
from weekclose.outbox_destinations import open_destination
from weekclose.postgres import Server
from weekclose.settings import TellingSettings

FIRST = "payout:JPO0000001"


@dataclass(frozen=True)
class Books:
    """A database with marts and nothing in its books, whose outbox a test reads and publishes."""

    conn: Connection[Any]
    server: Server

    def told(self, entity: str | None = None) -> list[str]:
        """The types of an entity's events, or of all."""
        query = "select type from payouts.outbox where coalesce(entity = %s, true) order by event_id"
        return [row[0] for row in self.conn.execute(query, [entity])]

    def waiting(self) -> int:
        return int(one(self.conn, "select count(*) from payouts.outbox where delivered_at is null"))

    def hurry(self) -> None:
        """The time for the next tries has come."""
        with self.conn.transaction():
            self.conn.execute("set local session_replication_role = replica")
            self.conn.execute(
                "update payouts.outbox set next_try_at = now() where delivered_at is null and tries > 0"
            )

    def publish(self, to: Receiver, answer_seconds: float = 15.0) -> outbox.Published:
        destination = open_destination(settings(to.url), answer_seconds)
        return outbox.publish(self.conn, destination)


@pytest.fixture
def books(marts: Server) -> Iterator[Books]:  # noqa: F811
    with open_connection(marts) as conn:
        yield Books(conn, marts)
    empty(marts)


def settings(url: str, secret: str = SECRET) -> TellingSettings:
    given = {"WEEKCLOSE_OUTBOX": url, "WEEKCLOSE_OUTBOX_SECRET": secret, "WEEKCLOSE_LOOPBACK_RAIL": True}
    return TellingSettings.model_validate(given)


def environment(url: str) -> dict[str, str]:
    return {
        "WEEKCLOSE_OUTBOX": url,
        "WEEKCLOSE_OUTBOX_SECRET": SECRET,
        "WEEKCLOSE_LOOPBACK_RAIL": "1",
    }


@contextmanager
def publisher(books: Books, url: str) -> Iterator[subprocess.Popen[str]]:
    """`weekclose outbox publish` as cron runs it; killed if it has not ended."""
    process = subprocess.Popen(
        [COMMAND, "outbox", "publish"],
        env=os.environ | {"DATABASE_URL": books.server.url} | environment(url),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


# -- what is written ------------------------------------------------------------------------------------


def test_an_event_is_there_if_the_change_is(books: Books) -> None:
    with pytest.raises(ZeroDivisionError), books.conn.transaction():
        frozen_window(books.conn, ["90.00"])
        assert books.told() == ["payout.ready"]
        raise ZeroDivisionError
    assert books.told() == []
    frozen_window(books.conn, ["90.00"])
    assert books.told() == ["payout.ready"]
    # Refused when it commits: the ledger does not say so.
    with pytest.raises(psycopg.errors.CheckViolation):
        books.conn.execute("update payouts.payouts set status = 'submitted'")
    # What changes no status is no event.
    books.conn.execute("update payouts.payouts set external_reference = 'x'")
    assert books.told() == ["payout.ready"]
    claimed_window(books.conn, WINDOW)
    assert books.told() == ["payout.ready", "payout.submitted"]


def test_what_is_told_of_a_payout(books: Books) -> None:
    """Money as text, instants in UTC whatever the session's zone, no address to send money to."""
    books.conn.execute("set time zone 'Asia/Tokyo'")
    frozen_window(books.conn, ["90.00"])
    wallet = one(books.conn, "select destination from payouts.payouts")
    payload = one(books.conn, "select payload from payouts.outbox")
    changed = one(books.conn, "select status_changed_at from payouts.payouts")
    # PostgreSQL leaves out the zeros at the end of a second's fraction.
    at = datetime.fromisoformat(payload.pop("status_changed_at"))
    assert (at, at.utcoffset()) == (changed, timedelta(0))
    assert payload == {
        "payout_number": "JPO0000001",
        "payout_window": "2026-11-01",
        "request_number": None,
        "seller_id": "s1",
        "currency": "USD",
        "amount": "90.00",
        "rail": "TRC-20",
        "status": "ready",
        "block_reasons": [],
        "failure_code": None,
        "failure_reason": None,
        "reference_id": None,
    }
    assert wallet not in json.dumps(payload)


def test_a_failure_says_why(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"])
    word = {"reference": "JPO0000001", "amount": "90.00", "external_reference": "TX-1"}
    desk.confirm(word | {"status": "completed"})
    why = {"failure_code": "closed", "failure_reason": "the account is closed"}
    desk.confirm(word | {"status": "returned"} | why)
    told = desk.owner.execute(
        "select type, payload ->> 'reference_id', payload ->> 'failure_code', payload ->> 'failure_reason'"
        " from payouts.outbox order by event_id"
    ).fetchall()
    assert told[2:] == [
        ("payout.paid", "TX-1", None, None),
        ("payout.returned", "TX-1", "closed", "the account is closed"),
    ]


def test_one_statement_tells_of_all_that_it_changed(books: Books) -> None:
    frozen_window(books.conn, ["10.00", "20.00", "30.00"])
    claimed_window(books.conn, WINDOW)
    entities = [row[0] for row in books.conn.execute("select entity from payouts.outbox order by event_id")]
    assert entities == [f"payout:JPO000000{number}" for number in (1, 2, 3)] * 2


def test_each_kind_of_thing_tells(desk: Desk) -> None:  # noqa: F811
    """Holds and adjustments, as people make them; `agree` compares every test's things with their events."""
    frozen_window(desk.owner, ["90.00"])
    held = ("--currency", "USD", "--amount", "5", "--reason", "other", "--note", "odd")
    for how in ("release", "cancel"):
        number = desk.does("olga", "holds", "create", "s1", *held).word
        desk.does("olga", "holds", how, number, "--reason", "over")
    number = desk.propose("5.00", "gross_invoice_fee")
    desk.does("olga", "adjust", "cancel", number, "--reason", "no")
    found = desk.owner.execute("select entity, type from payouts.outbox order by event_id").fetchall()
    assert found == [
        (FIRST, "payout.ready"),
        ("escrow_hold:HLD0000001", "escrow_hold.created"),
        ("escrow_hold:HLD0000001", "escrow_hold.released"),
        ("escrow_hold:HLD0000002", "escrow_hold.created"),
        ("escrow_hold:HLD0000002", "escrow_hold.cancelled"),
        (f"adjustment:{number}", "adjustment.proposed"),
        (f"adjustment:{number}", "adjustment.cancelled"),
    ]


def test_requests_and_schedules_tell(books: Books) -> None:
    conn = books.conn
    request, schedule = "request:REQ0000001", "payout_schedule:SCH0000001"
    conn.execute(
        "insert into payouts.payout_schedules"
        " (seller_id, currency, amount, trigger_event, note, created_by)"
        " select 's1', 'USD', 20, 'manual', 'so', 'olga' from generate_series(1, 4)"
    )
    conn.execute(
        "update payouts.payout_schedules set status = 'processing', next_try_at = now(),"
        " triggered_by = 'olga', triggered_at = now()"
    )
    # Another try of the same is no event.
    conn.execute("update payouts.payout_schedules set retry_count = 1, last_error = 'odd'")
    conn.execute("update payouts.payout_schedules set retry_count = 2")
    ended = "next_try_at = null, ended_by = 'olga', ended_at = now() where schedule_number = 'SCH000000"
    conn.execute(f"update payouts.payout_schedules set status = 'completed', {ended}1'".encode())
    conn.execute(
        f"update payouts.payout_schedules set status = 'failed', retry_count = 3, {ended}2'".encode()
    )
    conn.execute(
        f"update payouts.payout_schedules set status = 'cancelled', cancel_reason = 'no', {ended}3'".encode()
    )
    began = ["payout_schedule.created", "payout_schedule.triggered"]
    for number, end in ((1, ["processed"]), (2, ["failed"]), (3, ["cancelled"]), (4, [])):
        entity = f"payout_schedule:SCH000000{number}"
        assert books.told(entity) == began + [f"payout_schedule.{each}" for each in end]
    conn.execute(
        "insert into payouts.payout_requests (seller_id, currency, amount, reason, requested_by)"
        " select 's1', 'USD', 20, 'rent', 'olga' from generate_series(1, 2)"
    )
    decided = "decided_by = 'anna', decided_at = now() where request_number ="
    conn.execute(
        "update payouts.payout_requests set decision = 'approved', available = 20,"
        f" {decided} 'REQ0000001'".encode()
    )
    conn.execute(
        "update payouts.payout_requests set decision = 'rejected', decision_reason = 'no',"
        f" {decided} 'REQ0000002'".encode()
    )
    assert books.told(request) == ["request.created", "request.approved"]
    assert books.told("request:REQ0000002") == ["request.created", "request.rejected"]
    told = one(conn, "select payload from payouts.outbox where type = 'payout_schedule.failed'")
    assert (told["amount"], told["retry_count"], told["last_error"]) == ("20.00", 3, "odd")
    assert books.told(schedule)[-1] == "payout_schedule.processed"


# -- what is delivered ----------------------------------------------------------------------------------


def test_a_receiver_that_fails_at_first(books: Books) -> None:
    """500, then no answer in time, then 204: one event, one id, signed anew, and the next waits for it."""
    submitted_window(books.conn, ["90.00"])
    with receiver() as it:
        it.answer = lambda delivery: 500
        done = books.publish(it)
        assert [why for _, why in done.failed] == ["the receiver answered 500"]
        with pytest.raises(
            WeekcloseError, match=r"1 of 1 not delivered, the first is payout\.ready of JPO0000001"
        ):
            outbox.refuse_failed(done)
        # It is not time yet; nor does its successor go before it.
        with pytest.raises(NothingToDo, match="2 wait for the next try, from 20"):
            books.publish(it)
        books.hurry()
        it.answer = lambda delivery: None
        [(_, why)] = books.publish(it, answer_seconds=0.2).failed
        assert why == "the receiver did not answer: ReadTimeoutError"
        assert len(it.deliveries) == 2
        books.hurry()
        it.answer = lambda delivery: 204
        assert (books.publish(it).delivered, books.waiting()) == (2, 0)
        ids = [each.message_id for each in it.deliveries]
        with pytest.raises(NothingToDo, match="every event is delivered"):
            books.publish(it)
    assert ids[0] == ids[1] == ids[2] != ids[3]
    assert [json.loads(each.body)["type"] for each in it.deliveries[2:]] == [
        "payout.ready",
        "payout.submitted",
    ]
    sent = json.loads(it.deliveries[2].body)
    assert (sent["id"], sent["entity"], sent["data"]["amount"]) == (ids[2], FIRST, "90.00")
    assert datetime.fromisoformat(sent["timestamp"]).utcoffset() == UTC.utcoffset(None)
    row = books.conn.execute(
        "select tries, last_error, next_try_at is null, delivered_at is not null from payouts.outbox"
        " order by event_id"
    ).fetchall()
    assert row == [(3, "the receiver did not answer: ReadTimeoutError", True, True), (1, None, True, True)]


def test_an_entity_waits_and_the_others_go_on(books: Books) -> None:
    submitted_window(books.conn, ["10.00", "20.00", "30.00"])

    def refuse_the_first(delivery: Delivery) -> int:
        return 400 if json.loads(delivery.body)["entity"] == FIRST else 200

    with receiver() as it:
        it.answer = refuse_the_first
        done = books.publish(it)
        assert (done.delivered, len(done.failed)) == (4, 1)
        assert books.waiting() == 2
        books.hurry()
        it.answer = lambda delivery: 200
        assert books.publish(it).delivered == 2
    sent = [json.loads(each.body) for each in it.deliveries]
    for number in (1, 2, 3):
        types = [each["type"] for each in sent if each["entity"] == f"payout:JPO000000{number}"]
        assert types[-2:] == ["payout.ready", "payout.submitted"]


def test_the_next_tries_are_further_and_further_apart(books: Books) -> None:
    frozen_window(books.conn, ["90.00"])
    pauses = []
    for _ in range(9):
        books.conn.execute("select payouts.note_deliveries(array[1], array['no'])")
        pauses.append(
            one(books.conn, "select extract(epoch from next_try_at - clock_timestamp()) from payouts.outbox")
            / 60
        )
    for tried, pause in enumerate(pauses):
        shortest = 2 ** min(tried, 6)
        assert shortest - 1 < pause <= shortest * 1.5


def test_a_receiver_that_is_down(desk: Desk) -> None:  # noqa: F811
    """One line without the address, one try for each of the set, and nothing is lost."""
    frozen_window(desk.owner, ["10.00", "20.00"])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    said = desk.run("olga", "outbox", "publish", **environment(f"http://127.0.0.1:{port}/canary"))
    assert (said.code, said.out) == (1, b"")
    assert said.err == (
        "weekclose: 2 of 2 not delivered, the first is payout.ready of JPO0000001: the receiver did not"
        " answer: NewConnectionError; the next runs try again\n"
    )
    listed = desk.does("arne", "outbox", "list", "--waiting", "--json").json
    assert [(each["tries"], each["delivered_at"]) for each in listed] == [(1, None), (1, None)]
    assert "wait for the next try" in desk.refused(
        "olga", "outbox", "publish", code=5, **environment(f"http://127.0.0.1:{port}/canary")
    )


@pytest.mark.catalogue(3)
def test_two_publishers_at_once_deliver_once(books: Books) -> None:
    submitted_window(books.conn, ["10.00", "20.00", "30.00"])
    arrived, go_on = threading.Event(), threading.Event()

    def wait(delivery: Delivery) -> int:
        arrived.set()
        assert go_on.wait(60)
        return 200

    with receiver() as it:
        it.answer = wait
        with publisher(books, it.url) as first:
            assert arrived.wait(60)
            with publisher(books, it.url) as second:
                _, said = second.communicate(timeout=60)
                assert (second.returncode, said) == (5, "weekclose: another outbox publish is going on\n")
            go_on.set()
            _, said = first.communicate(timeout=60)
            assert (first.returncode, said) == (0, "6 delivered\n")
    assert len({each.message_id for each in it.deliveries}) == len(it.deliveries) == 6


@pytest.mark.catalogue(1)
def test_killed_between_sending_and_noting(books: Books) -> None:
    """Sent again under the same id, in the same order."""
    submitted_window(books.conn, ["10.00"])
    arrived = threading.Event()

    def keep(delivery: Delivery) -> None:
        arrived.set()

    with receiver() as it:
        it.answer = keep
        with publisher(books, it.url) as process:
            assert arrived.wait(60)
            process.kill()
            process.communicate()
        assert books.waiting() == 2
        it.answer = lambda delivery: 200
        # Its lock goes when the server sees that it is gone.
        for _ in range(100):
            try:
                done = books.publish(it)
                break
            except NothingToDo:
                threading.Event().wait(0.1)
    assert done.delivered == 2
    ids = [each.message_id for each in it.deliveries]
    assert ids[0] == ids[1] != ids[2]
    assert [json.loads(each.body)["type"] for each in it.deliveries] == [
        "payout.ready",
        "payout.ready",
        "payout.submitted",
    ]


def test_on_stdout(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"])
    said = desk.does("ada", "outbox", "publish", WEEKCLOSE_OUTBOX="stdout")
    told = [json.loads(line) for line in said.out.splitlines()]
    assert [each["type"] for each in told] == ["payout.ready", "payout.submitted"]
    assert said.err == "2 delivered\n"
    listed = desk.does("arne", "outbox", "list", "--entity", FIRST, "--json").json
    assert [each["message_id"] for each in listed] == [each["id"] for each in told]
    assert desk.does("bill", "outbox", "list", "--type", "payout.ready", "--after", "1", "--json").json == []
    assert "there may be more: --after 1" in desk.does("olga", "outbox", "list", "--limit", "1").err


@pytest.mark.parametrize("who", ["anna", "rita", "bill", "arne", "lena", "nobody"])
def test_who_may_not_publish(desk: Desk, who: str) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    said = desk.run(who, "outbox", "publish", WEEKCLOSE_OUTBOX="stdout")
    assert (said.code, said.out) == (3, b""), said
    assert "permission denied" in said.err
    assert one(desk.owner, "select count(*) from payouts.outbox where delivered_at is not null") == 0


@pytest.mark.parametrize(
    ("url", "secret", "message"),
    [
        ("", SECRET, "WEEKCLOSE_OUTBOX is not set"),
        ("ftp://canary@example.com", SECRET, "WEEKCLOSE_OUTBOX is no address"),
        ("https://me:canary@example.com/x", SECRET, "WEEKCLOSE_OUTBOX has a name or a password in it"),
        ("http://example.com/canary", SECRET, "WEEKCLOSE_OUTBOX is not https"),
        ("https://example.com/canary", "whsec_canary", "WEEKCLOSE_OUTBOX_SECRET is not whsec_"),
        ("https://example.com:canary/", SECRET, "WEEKCLOSE_OUTBOX cannot be read"),
        ("amqp://me:canary@mq.example.com", SECRET, "WEEKCLOSE_OUTBOX is amqp to another machine"),
    ],
)
def test_settings_that_cannot_be_used(url: str, secret: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        open_destination(settings(url, secret) if url else TellingSettings())
    assert "canary" not in str(caught.value)


# -- RabbitMQ -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[str]:
    """A RabbitMQ of our own on loopback; its address."""
    if not shutil.which("rabbitmq-server"):
        pytest.skip("no RabbitMQ: apt-get install rabbitmq-server to test with it")
    directory = Path(tempfile.mkdtemp(prefix="weekclose-rabbitmq-"))
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        port, node_port, names_port = (each.getsockname()[1] for each in taken)
    (directory / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\n")
    (directory / "enabled_plugins").write_text("[].\n")
    given = {
        "HOME": str(directory),
        "RABBITMQ_NODENAME": f"weekclose{port}@localhost",
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
        "RABBITMQ_DIST_PORT": str(node_port),
        "ERL_EPMD_PORT": str(names_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }
    log = (directory / "out.log").open("wb")
    program = next(iter(Path("/usr/lib/rabbitmq/bin").glob("rabbitmq-server")), Path("rabbitmq-server"))
    process = subprocess.Popen([program], env=os.environ | given, stdout=log, stderr=log, cwd=directory)
    try:
        for _ in range(600):
            if process.poll() is not None:
                raise AssertionError((directory / "out.log").read_text()[-2000:])
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                threading.Event().wait(0.1)
        yield f"amqp://guest:guest@127.0.0.1:{port}/%2F"
    finally:
        process.terminate()
        process.wait(60)
        log.close()
        # The name server that it started outlives it.
        subprocess.run(["epmd", "-port", str(names_port), "-kill"], capture_output=True)
        shutil.rmtree(directory, ignore_errors=True)


def test_to_rabbitmq(books: Books, rabbitmq: str) -> None:
    """Confirmed and persistent; what no queue takes is not delivered."""
    pika = pytest.importorskip("pika")
    submitted_window(books.conn, ["10.00", "20.00"])
    destination = open_destination(settings(rabbitmq))
    done = outbox.publish(books.conn, destination)
    assert {why for _, why in done.failed} == {"no queue takes it: bind one to the exchange weekclose"}
    with pika.BlockingConnection(pika.URLParameters(rabbitmq)) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("").method.queue
        channel.queue_bind(queue, "weekclose", "payout.*")
        books.hurry()
        assert outbox.publish(books.conn, destination).delivered == 4
        told = []
        for method, properties, body in channel.consume(queue, auto_ack=True, inactivity_timeout=30):
            assert method is not None
            event = json.loads(body)
            assert (properties.message_id, properties.type) == (event["id"], event["type"])
            assert (method.routing_key, properties.delivery_mode) == (event["type"], 2)
            told.append((event["entity"], event["type"]))
            if len(told) == 4:
                break
    assert [what for entity, what in told if entity == FIRST] == ["payout.ready", "payout.submitted"]
    assert books.waiting() == 0


def test_a_rabbitmq_that_is_down(books: Books) -> None:
    pytest.importorskip("pika")
    frozen_window(books.conn, ["10.00", "20.00"])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    destination = open_destination(settings(f"amqp://me:canary@127.0.0.1:{port}/"))
    done = outbox.publish(books.conn, destination)
    assert {why for _, why in done.failed} == {"RabbitMQ did not take it: AMQPConnectionError"}
    assert books.waiting() == 2


# -- doctor ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "environment", "state", "found"),
    [
        ("1 minute", {}, "ok", "1 event waits, the oldest for 1 min: WEEKCLOSE_OUTBOX is not set"),
        ("2 minutes", {"WEEKCLOSE_OUTBOX": "stdout"}, "ok", "1 event waits, the oldest for 2 min"),
        ("2 hours", {"WEEKCLOSE_OUTBOX": "stdout"}, "look", "1 event waits, the oldest for 2 hours"),
        ("2 days", {"WEEKCLOSE_OUTBOX": "stdout"}, "bad", "1 event waits, the oldest for 2 days"),
    ],
)
def test_doctor_sees_what_is_not_delivered(
    desk: Desk,  # noqa: F811
    age: str,
    environment: dict[str, str],
    state: str,
    found: str,
) -> None:
    frozen_window(desk.owner, ["90.00"])
    with desk.owner.transaction():
        desk.owner.execute("set local session_replication_role = replica")
        desk.owner.execute(f"update payouts.outbox set created_at = now() - interval '{age}'".encode())
    said = desk.run("arne", "doctor", "--json", WEEKCLOSE_HOME=str(desk.files), **environment)
    [check] = [each for each in said.json if each["check"] == "outbox"]
    assert (check["state"], check["found"][: len(found)]) == (state, found)
    assert check["next"] == ("" if state == "ok" else "weekclose outbox publish")

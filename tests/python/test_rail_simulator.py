"""The simulated rail: its record is honest, its webhooks are the rails' own, its sins come when called."""

import json
import os
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
import urllib3

from conftest import COMMAND, RunCommand
from rail_batches import ADAPTERS, KEY, SILENCE, Bench, bench
from weekclose.errors import OutcomeUnknown
from weekclose.rails.batch import BatchRail
from weekclose.rails.protocol import BatchState, NotThere, RailEvent, Receipt, SignatureInvalid
from weekclose.rails.transport import Transport
from weekclose.simulator.faults import FAULTS, Fault, Faults
from weekclose.simulator.rail import Plan
from weekclose.simulator.record import Order, Record
from weekclose.simulator.webhooks import SAMPLE_SECRET


class Inbox:
    """A platform that takes webhooks: `answers` are given in turn, then 204."""

    def __init__(self) -> None:
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                inbox.taken.append((dict(self.headers.items()), body))
                self.send_response(inbox.answers.pop(0) if inbox.answers else 204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/webhooks/rail"

    def events(self, rail: Bench) -> list[RailEvent]:
        return [rail.adapter().verify(headers, body) for headers, body in self.taken]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    made = Inbox()
    yield made
    made.close()


@pytest.fixture(params=ADAPTERS)
def rail(request: pytest.FixtureRequest, tmp_path: Path, inbox: Inbox) -> Iterator[Bench]:
    with bench(request.param, tmp_path, Plan(webhook_url=inbox.url)) as made:
        yield made


def submitted(rail: Bench) -> None:
    batch = rail.batch()
    answer = rail.adapter().submit(batch)
    assert isinstance(answer, Receipt)
    assert answer.matches(batch)


def call(rail: Bench, action: str, said: dict[str, Any] | None = None, status: int = 200) -> Any:
    method = "GET" if said is None else "POST"
    response = urllib3.request(method, f"{rail.simulator.url}/control/{action}", json=said, retries=False)
    assert response.status == status, response.data
    return response.json().get("done")


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_webhooks_are_what_each_rail_sends(rail: Bench, inbox: Inbox) -> None:
    submitted(rail)
    payments = {"JPO0000001": "completed", "JPO0000002": "failed"}
    sent = call(rail, "settle", {"payments": payments, "code": "wallet_closed"})
    assert [each["answer"] for each in sent] == [204, 204]
    paid, failed = inbox.events(rail)
    assert (paid.status, paid.payout, str(paid.amount)) == ("completed", "JPO0000001", "7.50")
    assert (failed.status, failed.payout, str(failed.amount)) == ("failed", "JPO0000002", "10.02")
    assert str(paid.external_reference).startswith("0x")
    call(rail, "settle", {"payments": {"JPO0000002": "completed"}})
    call(rail, "settle", {"payments": {"JPO0000002": "returned"}})
    later = [event.status for event in inbox.events(rail)[2:]]
    assert later == (["completed"] if rail.protocol == "halfin" else ["completed", "returned"])
    assert len({event.event_id for event in inbox.events(rail)}) == len(inbox.taken)


def test_another_amount_can_leave_than_was_asked_for(rail: Bench, inbox: Inbox) -> None:
    """The record has both; webhooks and look-ups tell what left."""
    batch, numbers = rail.batch(), ["JPO0000001", "JPO0000002"]
    receipt = rail.adapter().submit(batch)
    assert isinstance(receipt, Receipt)
    rail.simulator.rail.release()
    call(rail, "settle", {"payments": dict.fromkeys(numbers, "completed"), "amounts": {numbers[0]: "95.00"}})
    assert [str(event.amount) for event in inbox.events(rail)] == ["95.00", "10.02"]
    found = rail.adapter().look_up(replace(batch, rail_batch_id=receipt.rail_batch_id))
    assert isinstance(found, BatchState)
    assert [str(state.amount) for state in found.items if state.reference in numbers] == ["95.00", "10.02"]
    call(rail, "settle", {"payments": {numbers[0]: "returned"}})
    (payment,) = rail.simulator.rail.record.payments(reference=numbers[0])
    assert (payment.amount, payment.told_amount) == ("7.50", "95.00")
    for amounts in ({numbers[1]: "95.00"}, {numbers[0]: "95"}, {numbers[0]: 95}):
        call(rail, "settle", {"payments": {numbers[0]: "completed"}, "amounts": amounts}, status=400)


def test_a_record_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    Record(tmp_path / "rail.sqlite").close()
    with sqlite3.connect(tmp_path / "rail.sqlite") as old:
        old.execute("alter table payments drop column other_amount")
    old.close()
    record = Record(tmp_path / "rail.sqlite")
    order = Order("JPO0000001", "7.50", "USD", "T1")
    (payment,) = record.take_on("batch", "PB1", "W1", [order], "processing")
    assert record.move(payment, "completed", amount="7.00").told_amount == "7.00"
    record.close()


@pytest.mark.parametrize("signature", ["wrong", "stale", "future", "none"])
def test_webhooks_can_be_wrongly_signed(rail: Bench, inbox: Inbox, signature: str) -> None:
    submitted(rail)
    call(rail, "settle", {"payments": {"JPO0000001": "completed"}, "signature": signature})
    with pytest.raises(SignatureInvalid):
        inbox.events(rail)


def test_webhooks_can_be_lost_repeated_kept_and_reordered(rail: Bench, inbox: Inbox) -> None:
    submitted(rail)
    numbers = [f"JPO000000{number}" for number in range(1, 6)]
    call(rail, "settle", {"payments": {numbers[0]: "completed"}, "webhooks": "lose"})
    call(rail, "settle", {"payments": {numbers[1]: "completed"}, "copies": 2})
    first, second = inbox.events(rail)
    assert first == second, "the same event, however often it is delivered"
    for number in numbers:
        call(rail, "settle", {"payments": {number: "completed"}, "webhooks": "keep"})
    assert len(inbox.taken) == 2
    call(rail, "deliver", {"order": "reversed"})
    assert [event.payout for event in inbox.events(rail)[2:]] == numbers[::-1]
    assert call(rail, "deliver", {"order": "shuffled"}) == []


def test_webhooks_can_lie(rail: Bench, inbox: Inbox) -> None:
    submitted(rail)
    for lie in ({"amount": "0.01"}, {"reference": "JPO9999999"}, {"event_type": "payout.invented"}):
        call(rail, "settle", {"payments": {"JPO0000001": "completed"}, "lie": lie})
    amount, unknown, invented = inbox.events(rail)
    assert (str(amount.amount), unknown.payout, invented.status) == ("0.01", "JPO9999999", None)


def test_a_webhook_can_come_before_the_answer(rail: Bench, inbox: Inbox) -> None:
    call(rail, "faults", {"fault": "early_webhook"})
    seen: list[int] = []
    adapter = rail.adapter()
    transport = cast(Any, adapter).transport
    post = transport.post

    def watched(path: str, headers: dict[str, str], body: bytes) -> Any:
        answer = post(path, headers, body)
        if "payout" in path:
            seen.append(len(inbox.taken))
        return answer

    transport.post = watched
    adapter.submit(rail.batch())
    assert min(seen) >= 1 or rail.protocol == "halfin"
    assert len(inbox.taken) == (1 if rail.protocol == "halfin" else 5)
    assert {event.status for event in inbox.events(rail)} == {"completed"}


def test_a_late_request_is_executed_when_it_is_told_to_go(rail: Bench) -> None:
    call(rail, "faults", {"fault": "late", "wait_for_go": True})
    batch = rail.batch(1)
    with pytest.raises(OutcomeUnknown):
        rail.adapter(SILENCE).submit(batch)
    assert isinstance(rail.adapter().look_up(batch), NotThere)
    assert call(rail, "payments") == []
    call(rail, "go", {})
    wait_for(lambda: len(call(rail, "payments")) == 1)
    assert rail.paid() == {"JPO0000001": 1}


def test_a_forgetful_rail_pays_twice_and_its_record_says_so(tmp_path: Path) -> None:
    """The oracle of other tests must be able to see what they are there to exclude."""
    with bench("batch", tmp_path) as rail:
        submitted(rail)
        call(rail, "faults", {"fault": "forget_keys"})
        submitted(rail)
        assert set(rail.paid().values()) == {2}


def test_the_control_endpoint_refuses_what_it_does_not_know(rail: Bench) -> None:
    submitted(rail)
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("faults", {"fault": "gentle"}),
        ("faults", {"fault": "late", "on": "sunday"}),
        ("faults", {"fault": "late", "how": "very"}),
        ("settle", {"payments": {"JPO0000001": "lost"}}),
        ("settle", {"payments": {"JPO9999999": "completed"}}),
        ("settle", {"payments": {}, "webhooks": "eat"}),
        ("settle", {"payments": {"JPO0000001": "completed"}, "signature": "odd"}),
        ("settle", {}),
        ("deliver", {"order": "odd"}),
        ("dance", {}),
    ]
    for action, said in wrong:
        call(rail, action, said, status=400)
    call(rail, "dance", status=400)
    assert {payment["status"] for payment in call(rail, "payments")} <= {"processing", "pending_approval"}


def test_the_same_seed_sins_the_same() -> None:
    def sins(seed: int) -> list[str | None]:
        faults = Faults(seed)
        faults.arm(Fault("any", times=None, chance=0.5))
        taken = [faults.take("submit", None) for _ in range(40)]
        return [fault.fault if fault else None for fault in taken]

    assert sins(1) == sins(1) != sins(2)
    assert None in sins(1)
    assert len(set(sins(1))) > 5


@pytest.mark.parametrize("seed", range(6))
def test_chance_never_pays_twice_if_the_rules_are_kept(tmp_path: Path, seed: int) -> None:
    """Ask first, send the same bytes with the same key, until there is a receipt; the record is the judge."""
    with bench(ADAPTERS[seed % 3], tmp_path, Plan(seed=seed)) as rail:
        for on in ("submit", "look_up"):
            rail.arm("any", on=on, times=8, chance=0.5, seconds=0)
        batch = rail.batch()
        for _ in range(60):
            try:
                adapter = rail.adapter(SILENCE)
                known = adapter.look_up(batch)
                answer = known.receipt if isinstance(known, BatchState) else adapter.submit(batch)
            except OutcomeUnknown:
                wait_for(lambda: rail.rail.busy == 0)  # the quiet period
                continue
            assert isinstance(answer, Receipt)
            assert answer.matches(batch)
            break
        else:
            pytest.fail("there never was a receipt")
        wait_for(lambda: rail.rail.busy == 0)
        assert rail.paid() == {item.reference: 1 for item in batch.items}


def test_payments_settle_on_their_own(tmp_path: Path, inbox: Inbox) -> None:
    inbox.answers = [503, 500]
    plan = Plan(seed=3, webhook_url=inbox.url, settle_after=0, fail_rate=0.5)
    with bench("batch", tmp_path, plan) as rail:
        submitted(rail)
        wait_for(lambda: len(inbox.taken) == 7)
        events = inbox.events(rail)
        assert {event.status for event in events} == {"completed", "failed"}
        assert len({event.event_id for event in events}) == 5, "what was not taken is sent again"
        assert all(payment.final for payment in rail.rail.payments())


def test_a_batch_that_does_not_add_up_is_refused(tmp_path: Path) -> None:
    with bench("batch", tmp_path) as rail:
        right = json.loads(rail.batch().body)
        changes: list[dict[str, Any]] = [
            {"item_count": 4},
            {"totals": [{"currency": "USD", "amount": "1.00"}]},
            {"items": []},
            {"items": [right["items"][0]] * 2},
            {"items": [right["items"][0] | {"amount": 7.5}]},
            {"items": [right["items"][0] | {"amount": "-7.50"}]},
            {"idempotency_key": "another"},
        ]
        for wrong in changes:
            body = json.dumps(right | wrong).encode()
            answer = rail.adapter().submit(replace(rail.batch(), body=body))
            assert not isinstance(answer, Receipt)
        assert rail.rail.payments() == []


@contextmanager
def served(record: Path, *arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`weekclose rail serve` as a process of its own, and its address."""
    command = [str(COMMAND), "rail", "serve", "--record", str(record), *arguments]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"WEEKCLOSE_RAIL_KEY": KEY} | environment,
    )
    assert process.stdout is not None
    with process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_the_record_survives_kill_9(tmp_path: Path) -> None:
    record = tmp_path / "deep" / "rail.sqlite"
    with bench("batch", tmp_path) as rail:
        batch = rail.batch()

    def adapter(url: str, key: str = KEY) -> BatchRail:
        return BatchRail(Transport(url, loopback=True), key, [SAMPLE_SECRET])

    with served(record, "timeout") as (process, url):
        outcome: list[BaseException] = []

        def submit() -> None:
            try:
                adapter(url).submit(batch)
            except OutcomeUnknown as error:
                outcome.append(error)

        client = threading.Thread(target=submit)
        client.start()
        wait_for(lambda: isinstance(adapter(url).look_up(batch), BatchState))
        process.kill()
        client.join(20)
        assert len(outcome) == 1
    with served(record) as (process, url):
        with pytest.raises(OutcomeUnknown, match="401"):
            adapter(url, "another key").submit(batch)
        receipt = adapter(url).submit(batch)
        assert isinstance(receipt, Receipt)
        assert receipt.matches(batch)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    kept = Record(record)
    assert [payment.reference for payment in kept.payments()] == [item.reference for item in batch.items]
    assert len(kept.movements()) == 5
    kept.close()


def test_a_fault_that_there_is_not_is_one_line(weekclose: RunCommand, tmp_path: Path) -> None:
    done = weekclose("rail", "serve", "--record", str(tmp_path / "r"), "gentle")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("weekclose: there is no fault 'gentle': faults are late, ")


def test_every_fault_is_described() -> None:
    text = (Path(__file__).parents[2] / "docs" / "rails.md").read_text()
    assert all(f"`{fault}`" in text for fault in FAULTS)

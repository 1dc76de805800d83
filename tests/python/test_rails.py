"""One contract for the three adapters, before the simulated rail and over real HTTP."""

import json
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rail_batches import ADAPTERS, KEY, READ_TIMEOUT, SILENCE, Bench, bench
from weekclose.errors import OutcomeUnknown, Refused, UsageError, WeekcloseError
from weekclose.rails import signatures, wire
from weekclose.rails.batch import BatchRail
from weekclose.rails.configured import RailSettings, open_rail
from weekclose.rails.halfin import HalfinRail, item_key
from weekclose.rails.protocol import (
    Batch,
    BatchState,
    EventMalformed,
    Item,
    NotThere,
    RailEvent,
    Receipt,
    Refusal,
    SignatureInvalid,
    Unclear,
)
from weekclose.rails.transport import RollingLimit, Transport
from weekclose.rails.wire import Malformed, decimal_text, read_object
from weekclose.simulator.protocols import private_key
from weekclose.simulator.webhooks import Lie, message

NOW = datetime(2026, 11, 17, 9, 0, tzinfo=UTC)
SECRET, OLD_SECRET = ("whsec_" + b64encode(text * 4).decode() for text in (b"new secret", b"old secret"))

PAYOUT = Item("JPO0000001", "s1", Decimal("7.50"), "EUR", "ERC-20", "seller@example.com")

# After these nobody knows what the rail has done; in the second group the rail took everything on.
UNKNOWN_UNDONE = ("error_before", "reset_before", "redirect")
UNKNOWN_DONE = ("timeout", "error_after", "reset_after", "half_answer", "garbage")


@pytest.fixture(params=ADAPTERS)
def rail(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with bench(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def halfin(tmp_path: Path) -> Iterator[Bench]:
    with bench("halfin", tmp_path) as made:
        yield made


@pytest.fixture
def paypal(tmp_path: Path) -> Iterator[Bench]:
    with bench("paypal", tmp_path) as made:
        yield made


def once(batch: Batch) -> dict[str, int]:
    return {item.reference: 1 for item in batch.items}


def found(bench: Bench, batch: Batch, rail_batch_id: str) -> BatchState:
    state = bench.adapter().look_up(replace(batch, rail_batch_id=rail_batch_id))
    assert isinstance(state, BatchState)
    return state


def patience(fault: str) -> float:
    return SILENCE if fault in ("timeout", "late") else READ_TIMEOUT


def accepted(bench: Bench, batch: Batch) -> Receipt:
    receipt = bench.adapter().submit(batch)
    assert isinstance(receipt, Receipt)
    assert receipt.matches(batch)
    return receipt


def test_a_batch_is_accepted_once(rail: Bench) -> None:
    batch = rail.batch()
    assert isinstance(rail.adapter().look_up(batch), NotThere)
    receipt = accepted(rail, batch)
    assert receipt.totals == {"EUR": Decimal("7.50"), "USD": Decimal("40.14")}
    assert accepted(rail, batch) == receipt, "the same key again: the same receipt"
    assert found(rail, batch, receipt.rail_batch_id).receipt == receipt
    assert rail.paid() == once(batch)


def test_the_stored_bytes_are_a_function_of_the_batch(rail: Bench) -> None:
    batch = rail.batch()
    shuffled = replace(batch, items=batch.items[::-1], body=b"")
    assert rail.adapter().encode(shuffled) == batch.body
    first = json.loads(batch.body.splitlines()[0])
    amount = first["amount"] if rail.protocol == "halfin" else first["items"][0]["amount"]
    assert amount in ("7.50", {"currency": "EUR", "value": "7.50"})


def test_a_batch_is_written_like_any_other_json() -> None:
    text = 'a "quoted" \\ back\tslash, \x7f\x00\u2028 and \u00e9'
    items = tuple(
        Item(f"{number} {text}", f"seller {text}", Decimal(amount), f"C{text}", f"R{text}", f"D{text}")
        for number, amount in enumerate(("7.50", "7", "1E+3", "0.10"))
    )
    made = Batch(f'W "items":[] {text}', date(2026, 11, 1), "key", items)
    body = BatchRail(Transport("https://rail.invalid"), "key", []).encode(made)
    said = json.loads(body)
    assert wire.write(said) == body
    assert said["reference"] == made.reference
    assert [each["amount"] for each in said["items"]] == ["7.50", "7.00", "1000.00", "0.10"]
    assert [each["destination"] for each in said["items"]] == [item.destination for item in items]


def test_the_key_with_another_body_pays_nothing(rail: Bench) -> None:
    batch = rail.batch()
    accepted(rail, batch)
    raised = [replace(batch.items[0], amount=Decimal("999.00")), *batch.items[1:]]
    other = replace(batch, items=tuple(raised))
    other = replace(other, body=rail.adapter().encode(other))
    try:
        answer = rail.adapter().submit(other)
    except OutcomeUnknown:
        pass
    else:  # the receipt is that of the original, which the submission compares
        assert isinstance(answer, Receipt)
        assert not answer.matches(other)
    assert rail.paid() == once(batch)
    assert all(payment.amount != "999.00" for payment in rail.rail.payments())


def test_a_refusal_names_the_offenders_and_leaves_nothing(rail: Bench) -> None:
    batch = rail.batch()
    offenders = ("JPO0000002", "JPO0000004")
    rail.arm("refuse", references=offenders, times=None)
    answer = rail.adapter().submit(batch)
    assert isinstance(answer, Refusal)
    assert tuple(each.reference for each in answer.offenders) == offenders
    assert rail.paid() == {}
    assert isinstance(rail.adapter().look_up(batch), NotThere)


@pytest.mark.parametrize("fault", [*UNKNOWN_UNDONE, *UNKNOWN_DONE, "late"])
def test_what_is_unclear_is_never_guessed(rail: Bench, fault: str) -> None:
    batch = rail.batch()
    rail.arm(fault, times=1)
    with pytest.raises(OutcomeUnknown) as caught:
        rail.adapter(patience(fault)).submit(batch)
    assert "canary" not in repr(caught.value)
    assert caught.value.__cause__ is None
    if fault == "late":
        wait_for(lambda: bool(rail.rail.payments()))
    again = rail.adapter().look_up(batch)
    if isinstance(again, NotThere):
        again = BatchState(accepted(rail, batch), ())
    elif fault in UNKNOWN_UNDONE:
        pytest.fail("the rail has nothing")
    assert again.receipt.matches(batch)
    assert rail.paid() == once(batch)


def test_an_unclear_look_up_is_no_answer(rail: Bench) -> None:
    batch = rail.batch()
    receipt = accepted(rail, batch)
    for fault in (*UNKNOWN_UNDONE, *UNKNOWN_DONE):
        rail.arm(fault, on="look_up")
        with pytest.raises(OutcomeUnknown):
            rail.adapter(patience(fault)).look_up(replace(batch, rail_batch_id=receipt.rail_batch_id))
        assert found(rail, batch, receipt.rail_batch_id).receipt == receipt


def test_a_wish_to_wait_is_obeyed_within_bounds(rail: Bench) -> None:
    batch = rail.batch()
    rail.arm("busy", seconds=7)
    rail.arm("busy", on="look_up", seconds=3, status=503)
    receipt = accepted(rail, batch)
    found(rail, batch, receipt.rail_batch_id)
    assert sorted(rail.pauses) == [3, 7]
    rail.arm("busy", on="look_up", seconds=86400)
    with pytest.raises(Unclear) as caught:
        found(rail, batch, receipt.rail_batch_id)
    assert (caught.value.retry_after, len(rail.pauses)) == (86400, 2)


def test_a_busy_rail_that_may_have_paid_is_not_asked_twice(rail: Bench) -> None:
    rail.arm("busy", seconds=7, status=503)
    with pytest.raises(Unclear, match="503, it asks to wait 7 s"):
        rail.adapter().submit(rail.batch())
    assert rail.pauses == []


@pytest.mark.parametrize("fault", ["wrong_count", "wrong_total"])
def test_a_wrong_receipt_does_not_match(rail: Bench, fault: str) -> None:
    batch = rail.batch()
    if rail.protocol == "halfin":
        fault = "wrong_total"  # there is no count in the answer to a single payout
    rail.arm(fault, on="look_up" if rail.protocol == "paypal" else "submit")
    answer = rail.adapter().submit(batch)
    assert isinstance(answer, Receipt)
    assert not answer.matches(batch)


def test_a_kept_error_is_a_refusal_if_the_rail_has_nothing(rail: Bench) -> None:
    rail.arm("cached_error")
    with pytest.raises(OutcomeUnknown):
        rail.adapter().submit(rail.batch())
    if rail.protocol == "paypal":  # keeps no errors for a sender_batch_id, so it cannot say so
        with pytest.raises(OutcomeUnknown):
            rail.adapter().submit(rail.batch())
    else:
        assert isinstance(rail.adapter().submit(rail.batch()), Refusal)
    assert rail.paid() == {}


@pytest.mark.parametrize("fault", ["refuse", "cached_error"])
def test_a_no_to_a_batch_that_the_rail_knows_is_no_refusal(tmp_path: Path, fault: str) -> None:
    with bench("batch", tmp_path) as rail:
        batch = rail.batch()
        receipt = accepted(rail, batch)
        rail.rail.record.forget_keys()
        rail.arm(fault)
        if fault == "cached_error":
            with pytest.raises(OutcomeUnknown):
                rail.adapter().submit(batch)
        assert rail.adapter().submit(batch) == receipt
        assert rail.paid() == once(batch)


def test_forgotten_keys_do_no_harm_after_a_look_up(rail: Bench) -> None:
    batch = rail.batch()
    receipt = accepted(rail, batch)
    rail.rail.record.forget_keys()
    if rail.protocol != "paypal":  # which knows a batch only by its own id, or by being sent it again
        assert isinstance(rail.adapter().look_up(batch), BatchState)
    assert found(rail, batch, receipt.rail_batch_id).receipt == receipt
    assert rail.paid() == once(batch)


def test_states_are_mapped(rail: Bench) -> None:
    batch = rail.batch()
    receipt = accepted(rail, batch)
    rail.rail.release()
    rail.rail.settle(
        {"JPO0000001": "completed", "JPO0000002": "failed"}, code="wallet_closed", webhooks="lose"
    )
    state = found(rail, batch, receipt.rail_batch_id)
    shown = {item.reference: (item.status, item.final) for item in state.items}
    assert shown == {
        "JPO0000001": ("completed", True),
        "JPO0000002": ("failed", True),
        "JPO0000003": ("processing", False),
        "JPO0000004": ("processing", False),
        "JPO0000005": ("processing", False),
    }
    paid, failed = state.items[:2]
    paid_out = rail.rail.record.payments(reference="JPO0000001")[0]
    assert (paid.amount, paid.external_reference) == (Decimal("7.50"), paid_out.external_reference)
    assert failed.failure_code
    assert state.receipt == receipt


@pytest.mark.parametrize("protocol", ["batch", "paypal"])
def test_money_that_comes_back_is_seen(protocol: str, tmp_path: Path) -> None:
    with bench(protocol, tmp_path) as rail:
        batch = rail.batch()
        receipt = accepted(rail, batch)
        rail.rail.settle({"*": "completed"}, webhooks="lose")
        rail.rail.settle({"JPO0000003": "returned"}, webhooks="lose")
        state = found(rail, batch, receipt.rail_batch_id)
        assert [item.status for item in state.items].count("completed") == 4
        assert (state.items[2].status, state.items[2].final) == ("returned", True)


def test_a_failure_that_may_still_complete_is_not_final(tmp_path: Path) -> None:
    with bench("batch", tmp_path) as rail:
        batch = rail.batch()
        receipt = accepted(rail, batch)
        rail.rail.settle({"JPO0000001": "failed"}, final=False, webhooks="lose")
        item = found(rail, batch, receipt.rail_batch_id).items[0]
        assert (item.status, item.final) == ("failed", False)


def test_a_wrong_key_is_no_refusal_of_the_batch(tmp_path: Path) -> None:
    for protocol in ADAPTERS:
        with bench(protocol, tmp_path / protocol) as rail:
            rail.rail.plan = replace(rail.rail.plan, key="another")
            with pytest.raises(OutcomeUnknown, match="401"):
                rail.adapter().submit(rail.batch())


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


# halfin: atomic although it has no batches


def test_halfin_goes_on_where_it_stopped(halfin: Bench) -> None:
    batch = halfin.batch(12)
    halfin.arm("reset_after", references=("JPO0000006",))
    with pytest.raises(OutcomeUnknown):
        halfin.adapter().submit(batch)
    before = len(halfin.rail.payments())
    assert 0 < before <= 12
    assert before == 12 or isinstance(halfin.adapter().look_up(batch), NotThere), "a part is not the batch"
    halfin.rail.record.forget_keys()
    accepted(halfin, batch)
    assert halfin.paid() == once(batch), "also when the keys are forgotten: what is listed is not sent again"


def test_halfin_takes_back_what_it_created_after_a_crash(halfin: Bench) -> None:
    batch = halfin.batch(12)
    halfin.arm("refuse", references=("JPO0000012",), times=None)
    halfin.arm("error_after", on="cancel", skip=3)
    with pytest.raises(OutcomeUnknown):
        halfin.adapter().submit(batch)
    assert isinstance(halfin.adapter().look_up(batch), NotThere)
    answer = halfin.adapter().submit(batch)
    assert isinstance(answer, Refusal)
    assert [each.reference for each in answer.offenders] == ["JPO0000012"]
    assert halfin.paid() == {}
    states = [payment.status for payment in halfin.rail.payments()]
    assert states == ["cancelled"] * 11, "nothing was created again to be cancelled again"


def test_halfin_says_so_when_somebody_released_too_early(halfin: Bench) -> None:
    batch = halfin.batch()
    halfin.arm("refuse", references=("JPO0000005",), times=None)
    halfin.arm("error_before", on="cancel", times=None)
    with pytest.raises(OutcomeUnknown):
        halfin.adapter().submit(batch)
    halfin.rail.release()
    halfin.rail.faults.clear()
    halfin.arm("refuse", references=("JPO0000005",), times=None)
    with pytest.raises(Unclear, match="JPO0000001 is processing, somebody has released it"):
        halfin.adapter().submit(batch)


def test_halfin_sees_a_payout_that_is_there_twice(halfin: Bench) -> None:
    batch = halfin.batch()
    accepted(halfin, batch)
    halfin.rail.record.forget_keys()
    adapter = cast(HalfinRail, halfin.adapter())
    body = batch.body.splitlines()[0]
    key = item_key(batch.idempotency_key, "JPO0000001")
    adapter._create(key, batch.items[0], body)  # what a repeat beyond the key's retention would do
    with pytest.raises(Unclear, match="JPO0000001 is there twice, as po_6 and po_"):
        adapter.look_up(batch)


def test_halfin_reads_every_page(halfin: Bench) -> None:
    batch, other = halfin.batch(120), halfin.batch(90, generation=2)
    accepted(halfin, batch)
    accepted(halfin, other)
    for each in (batch, other):
        state = halfin.adapter().look_up(each)
        assert isinstance(state, BatchState)
        assert state.receipt.matches(each)


def test_a_rolling_minute_holds_its_limit() -> None:
    now, pauses, lock = [0.0], [], threading.Lock()

    def sleep(seconds: float) -> None:
        with lock:
            pauses.append(seconds)
            now[0] += seconds

    limit = RollingLimit(300, clock=lambda: now[0], sleep=sleep)
    calls: list[float] = []
    for _ in range(1000):
        limit.wait()
        calls.append(now[0])
        now[0] += 0.01
    gaps = [later - first for first, later in zip(calls, calls[300:], strict=False)]
    assert 60 <= round(min(gaps), 6) <= round(max(gaps), 6) < 60.01, "and no slower than it has to be"


# paypal: parts that count as one


def test_paypal_sends_a_large_window_in_parts(paypal: Bench) -> None:
    batch = paypal.batch(25)
    adapter = paypal.adapter(max_items_per_call=10)
    batch = replace(batch, body=adapter.encode(batch))
    assert len(batch.body.splitlines()) == 3
    paypal.arm("half_answer", skip=1)
    with pytest.raises(OutcomeUnknown, match="POST"):
        adapter.submit(batch)
    receipt = accepted(paypal, batch)
    assert receipt.rail_batch_id == "PB1,PB2,PB3"
    assert found(paypal, batch, receipt.rail_batch_id).receipt == receipt
    assert paypal.paid() == once(batch)


def test_paypal_leaves_half_a_window_to_a_person(paypal: Bench) -> None:
    batch = paypal.batch(25)
    adapter = paypal.adapter(max_items_per_call=10)
    batch = replace(batch, body=adapter.encode(batch))
    paypal.arm("refuse", skip=2)
    with pytest.raises(Unclear, match=r"has taken 2 parts and refuses the next \(VALIDATION_ERROR\)"):
        adapter.submit(batch)


@pytest.mark.parametrize(
    ("protocol", "change", "message"),
    [
        ("halfin", {"currency": "JPY"}, "payout JPO0000001: halfin pays no JPY on ERC-20"),
        ("paypal", {"destination": "0x" + "0" * 40}, "payout JPO0000001: 0x0+ is no PayPal account"),
    ],
)
def test_what_a_rail_cannot_pay_is_refused_before(
    tmp_path: Path, protocol: str, change: dict[str, str], message: str
) -> None:
    with bench(protocol, tmp_path) as rail:
        batch = rail.batch()
        item = replace(batch.items[0], **change)  # type: ignore[arg-type]
        with pytest.raises(Refused, match=message):
            rail.adapter().encode(replace(batch, items=(item,)))


# webhooks


Signed = tuple[dict[str, str], bytes]


def signed(bench: Bench, at: datetime, secret: str, body: bytes) -> dict[str, str]:
    if bench.protocol == "halfin":
        return signatures.sign_halfin(secret, at, body)
    if bench.protocol == "batch":
        return signatures.sign_standard(secret, "msg_1", at, body)
    url = "https://api.paypal.com/v1/notifications/certs/CERT-simulated"
    return signatures.sign_paypal(private_key(bench.rail.record), secret, "tr-1", at, body, url)


def body_of(bench: Bench, status: str = "completed", lie: Lie = Lie()) -> bytes:  # noqa: B008
    batch = bench.batch()
    if not bench.rail.payments():
        accepted(bench, batch)
    bench.rail.settle({"JPO0000001": status}, webhooks="lose")
    made = message(bench.rail.record.payments(reference="JPO0000001")[0], 1, lie, "right")
    assert made is not None
    return made.body


def verifying(bench: Bench) -> Any:
    adapter: Any = bench.adapter()
    name = "webhook_ids" if bench.protocol == "paypal" else "webhook_secrets"
    return replace(adapter, **{name: [SECRET, OLD_SECRET]})


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
def test_a_right_signature_is_believed(rail: Bench, secret: str) -> None:
    body = body_of(rail, "failed")
    event: RailEvent = verifying(rail).verify(signed(rail, datetime.now(UTC), secret, body), body)
    assert (event.status, event.payout, event.amount) == ("failed", "JPO0000001", Decimal("7.50"))
    assert event.currency in ("EUR", None)
    assert event.failure_code
    assert event.occurred_at is not None
    again = verifying(rail).verify(signed(rail, datetime.now(UTC), secret, body), body)
    assert again.event_id == event.event_id


def test_other_news_is_told_apart(rail: Bench) -> None:
    body = body_of(rail, lie=Lie(event_type="payout.invented", reference="JPO0009999"))
    event = verifying(rail).verify(signed(rail, datetime.now(UTC), SECRET, body), body)
    assert (event.event_type, event.status) == ("payout.invented", None)
    body = body_of(rail, lie=Lie(amount="1.00", reference="JPO0009999"))
    event = verifying(rail).verify(signed(rail, datetime.now(UTC), SECRET, body), body)
    assert (event.status, event.payout, event.amount) == ("completed", "JPO0009999", Decimal("1.00"))


def test_a_wrong_signature_is_not_believed(rail: Bench) -> None:
    body, adapter = body_of(rail), verifying(rail)
    now = datetime.now(UTC)
    other = "whsec_" + b64encode(b"a secret of nobody").decode()
    right = signed(rail, now, SECRET, body)
    too_old = timedelta(days=4) if rail.protocol == "paypal" else timedelta(seconds=301)
    for headers, raw in [
        (signed(rail, now, other, body), body),
        (signed(rail, now - too_old, SECRET, body), body),
        (signed(rail, now + timedelta(seconds=310), SECRET, body), body),
        (right, body + b" "),
        (right, body.replace(b"7.50", b"8.50")),
        ({}, body),
        *[({**right, name: ""}, body) for name in right],
        *[({key: value for key, value in right.items() if key != name}, body) for name in right],
    ]:
        with pytest.raises(SignatureInvalid):
            adapter.verify(headers, raw)
    assert adapter.verify({name.upper(): value for name, value in right.items()}, body).payout


def test_no_secret_verifies_nothing(rail: Bench) -> None:
    name = "webhook_ids" if rail.protocol == "paypal" else "webhook_secrets"
    adapter: Any = replace(cast(Any, rail.adapter()), **{name: []})
    body = body_of(rail)
    with pytest.raises(SignatureInvalid):
        adapter.verify(signed(rail, datetime.now(UTC), "whsec_" + "A" * 24, body), body)


MALFORMED_BODIES = [
    b"",
    b"not json",
    b"[]",
    b'"text"',
    b"{}",
    b"\xff\xfe",
    b'{"a": NaN}',
    b'{"data": {}, "data": {}}',
    b"[" * 30_000,
    b'{"a":' * 30_000,
    b'{"type": "payout.completed", "event": "payout.completed", "event_type": "x\\u0000"}',
    b'{"a": "\\ud800"}',
    b'{"a": ' + b"9" * 5000 + b"}",
]


def test_signed_rubbish_is_malformed_and_nothing_else(rail: Bench) -> None:
    adapter = verifying(rail)
    for raw in MALFORMED_BODIES:
        with pytest.raises(EventMalformed):
            adapter.verify(signed(rail, datetime.now(UTC), SECRET, raw), raw)


HEADER_NAMES = (
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "X-Halfin-Signature",
    "PAYPAL-TRANSMISSION-ID",
    "PAYPAL-TRANSMISSION-TIME",
    "PAYPAL-TRANSMISSION-SIG",
    "PAYPAL-CERT-URL",
    "PAYPAL-AUTH-ALGO",
)
PLAUSIBLE = st.sampled_from(
    [
        "msg_1",
        str(int(NOW.timestamp())),
        "v1,",
        "v1,é",
        "v1,\ud800",
        "t=1,v1=" + "0" * 64,
        f"t={int(NOW.timestamp())},v1=" + "0" * 64,
        f"t=²,t={10**40}",
        "2026-11-17T09:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "SHA256withRSA",
        "https://api.paypal.com/v1/notifications/certs/CERT-1",
        "AAAA",
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    headers=st.dictionaries(st.sampled_from(HEADER_NAMES), PLAUSIBLE | st.text(max_size=40)),
    certificate=st.sampled_from(
        ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
    ),
    body=st.binary(max_size=40),
)
def test_malformed_headers_raise_one_error(headers: dict[str, str], certificate: str, body: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        signatures.verify_standard([SECRET, OLD_SECRET], headers, body, NOW)
    with pytest.raises(SignatureInvalid):
        signatures.verify_halfin([SECRET, OLD_SECRET], headers, body, NOW)
    with pytest.raises(SignatureInvalid):
        signatures.verify_paypal([SECRET], headers, body, NOW, lambda name: certificate)


def test_a_known_vector_of_standard_webhooks() -> None:
    """From the specification's own reference implementations."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body, at = b'{"test": 2432232314}', datetime.fromtimestamp(1614265330, UTC)
    headers = signatures.sign_standard(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    headers["webhook-signature"] = "v1,AAAA v2,x " + headers["webhook-signature"]
    assert signatures.verify_standard([secret], headers, body, at) == ("msg_p5jXN8AQM9LWM0D4loKWxJek", at)


def test_paypal_asks_its_own_host_for_certificates(paypal: Bench) -> None:
    body = body_of(paypal)
    headers = signed(paypal, datetime.now(UTC), SECRET, body)
    elsewhere = headers | {"PAYPAL-CERT-URL": "https://evil.example/v1/notifications/certs/CERT-other"}
    with pytest.raises(SignatureInvalid):
        verifying(paypal).verify(elsewhere, body)
    paypal.arm("error_before", on="certificate")
    with pytest.raises(OutcomeUnknown):
        verifying(paypal).verify(headers, body)


# the address of a rail, and what is said about it


def test_the_environment_names_the_rail() -> None:
    secret = "whsec_" + b64encode(b"canary canary canary").decode()
    names = {
        "WEEKCLOSE_RAIL_URL": "http://127.0.0.1:9/api",
        "WEEKCLOSE_RAIL_KEY": "a-canary",
        "WEEKCLOSE_WEBHOOK_SECRETS": f"{secret}, {secret}",
        "WEEKCLOSE_LOOPBACK_RAIL": "1",
        "WEEKCLOSE_RAIL_MAX_PROCESSING_SECONDS": "0",
    }
    for rail in ADAPTERS:
        chosen = RailSettings(**names, WEEKCLOSE_RAIL=rail)  # type: ignore[arg-type]
        opened = open_rail(chosen)
        assert (opened.name, opened.max_processing_seconds) == (rail, 0)
        assert (opened.mode == "fan_out") == (rail == "halfin")
        assert "canary" not in repr(chosen) + repr(opened)
        with pytest.raises(OutcomeUnknown):  # nobody listens on port 9
            opened.submit(Batch("W", NOW.date(), "k", (PAYOUT,), b"{}"))
    for wrong in ({"WEEKCLOSE_RAIL": "swift"}, {"WEEKCLOSE_RAIL_KEY": "canary\r\nHost: x"}):
        with pytest.raises(UsageError) as caught:
            open_rail(RailSettings(**(names | wrong)))  # type: ignore[arg-type]
        assert "canary" not in str(caught.value)
    with pytest.raises(UsageError, match="set WEEKCLOSE_RAIL_URL and WEEKCLOSE_RAIL_KEY"):
        open_rail(RailSettings())
    with pytest.raises(Refused):
        open_rail(RailSettings(**(names | {"WEEKCLOSE_LOOPBACK_RAIL": "0"})))  # type: ignore[arg-type]


def test_a_bad_secret_is_named_without_showing_it() -> None:
    for secret in ("canary", "whsec_canary!", "whsec_QUJD"):
        with pytest.raises(WeekcloseError) as caught:
            signatures.webhook_key(secret)
        assert secret not in str(caught.value)


def test_a_dripping_answer_is_given_up(tmp_path: Path) -> None:
    """A rail that sends a byte now and then holds nobody for longer than a silent one."""
    import socket

    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        client, _ = listener.accept()
        with client:
            client.recv(65536)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            try:
                for _ in range(1000):
                    client.sendall(b"x")
                    time.sleep(0.02)
            except OSError:
                return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    port = listener.getsockname()[1]
    transport = Transport(f"http://127.0.0.1:{port}", loopback=True, read_timeout=SILENCE)
    with pytest.raises(Unclear, match="takes too long"):
        transport.get("/", {})
    thread.join()
    listener.close()


def test_secrets_do_not_leave_in_messages_or_logs(rail: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    for generation, fault in enumerate((*UNKNOWN_UNDONE, *UNKNOWN_DONE), start=1):
        rail.arm(fault, seconds=0)
        with pytest.raises(OutcomeUnknown) as caught:
            rail.adapter().submit(rail.batch(generation=generation))
        assert KEY not in str(caught.value)
    assert "canary" not in caplog.text
    assert b64encode(KEY.encode()).decode() not in caplog.text


def test_amounts_are_texts_with_two_decimals() -> None:
    assert decimal_text(Decimal("1E+3")) == "1000.00"
    with pytest.raises(ValueError, match="more than two decimals"):
        decimal_text(Decimal("0.001"))
    assert read_object(b'{"amount": 1.5}') == {"amount": None}, "a JSON number with a point is no amount"
    for raw in (b'{"a": 1, "a": 2}', b"{" * 100_000, b'{"a": Infinity}', b'\xef\xbb\xbf{"a": 1}', b"1"):
        with pytest.raises(Malformed):
            read_object(raw)

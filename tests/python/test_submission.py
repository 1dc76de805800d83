"""A batch leaves once, through each adapter, over real HTTP and a real PostgreSQL, whatever goes wrong.

After every test the rail's own record, the ledger and the marts say the same (`Tuesday.agree`).
"""

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from conftest import RunCommand
from frozen_window import APPROVER, OPERATOR, WINDOW, frozen_window, one
from rail_batches import ADAPTERS, KEY, SILENCE, bench
from small_week import WRONG_CHECKSUM
from tuesday import ALL, FIRST, G1, G2, SECOND, THIRD, Tuesday, frozen, listening, live_database, marts  # noqa: F401
from weekclose import decisions, submission
from weekclose.database import open_connection
from weekclose.errors import NothingToDo, OutcomeUnknown, Refused, WeekcloseError
from weekclose.postgres import Server
from weekclose.rails.batch import BatchRail
from weekclose.rails.protocol import Batch, Rail, Receipt
from weekclose.rails.wire import read_object
from weekclose.reconciliation import reconcile
from weekclose.simulator.webhooks import Lie

NEXT_WINDOW = WINDOW + timedelta(days=7)
MANAGER = "maria"


@pytest.fixture(params=ADAPTERS)
def tuesday(request: pytest.FixtureRequest, live_database: Server, tmp_path: Path) -> Iterator[Tuesday]:  # noqa: F811
    with bench(request.param, tmp_path) as rail, frozen(live_database, rail) as made:
        yield made


through = pytest.mark.parametrize
only_batch = through("tuesday", ["batch"], indirect=True)
by_look_up = through("tuesday", ["batch", "halfin"], indirect=True)
that_return = through("tuesday", ["batch", "paypal"], indirect=True)


# The states of a batch and of a payout


def test_an_approved_window_is_paid_once(tuesday: Tuesday) -> None:
    with pytest.raises(Refused, match="not approved"):
        tuesday.submit()
    assert tuesday.batches == [(G1, "frozen")]
    tuesday.approve()
    assert tuesday.batches == [(G1, "approved")]
    done = tuesday.submit()
    assert (done.item_count, done.totals) == (3, {"USD": "60.75"})
    assert tuesday.batches == [(G1, "submitted")]
    assert tuesday.bench.paid() == dict.fromkeys(ALL, 1)
    with pytest.raises(NothingToDo, match="is submitted"):
        tuesday.submit()

    tuesday.rail_decides({FIRST: "completed", SECOND: "failed"}, code="closed", reason="account closed")
    report = tuesday.reconcile()
    assert (report.asked[0].booked_count, report.asked[0].open_count, report.asked[0].problem) == (2, 1, "")
    assert tuesday.statuses == {FIRST: "paid", SECOND: "failed", THIRD: "submitted"}
    assert tuesday.batches == [(G1, "submitted")]
    tuesday.agree()

    tuesday.rail_decides({THIRD: "completed"})
    tuesday.reconcile()
    assert tuesday.batches == [(G1, "settled")]
    assert tuesday.kinds == ["submit", "pay", "fail", "pay"]
    with pytest.raises(NothingToDo, match="nothing is open"):
        tuesday.reconcile()
    with pytest.raises(NothingToDo, match="is settled"):
        tuesday.submit()


def test_what_is_blocked_stays_behind(tuesday: Tuesday) -> None:
    decisions.hold(tuesday.conn, ["s1", "s2"], WINDOW, "a question", OPERATOR)
    decisions.release(tuesday.conn, ["s1"], WINDOW, "answered", OPERATOR)
    tuesday.hand_over()
    assert tuesday.statuses == {FIRST: "submitted", SECOND: "blocked", THIRD: "submitted"}
    tuesday.rail_decides({"*": "completed"})
    tuesday.reconcile()
    assert tuesday.statuses == {FIRST: "paid", SECOND: "blocked", THIRD: "paid"}
    assert tuesday.batches == [(G1, "settled")]


def test_webhooks_say_it_as_well(tuesday: Tuesday) -> None:
    tuesday.hand_over()
    with listening(tuesday.database, tuesday.bench):
        tuesday.rail_decides({FIRST: "completed", SECOND: "failed", THIRD: "completed"}, "send", copies=2)
    # A failure is believed from a look-up alone, and so is all that a signature does not prove.
    proven = "submitted" if tuesday.bench.protocol == "paypal" else "paid"
    assert tuesday.statuses == {FIRST: proven, SECOND: "submitted", THIRD: proven}
    tuesday.reconcile()
    assert tuesday.statuses == {FIRST: "paid", SECOND: "failed", THIRD: "paid"}
    assert tuesday.batches == [(G1, "settled")]
    assert one(tuesday.conn, "select count(*) from payouts.rail_events") == 3
    assert one(tuesday.conn, "select count(*) from payouts.event_outcomes where outcome is null") == 0


def test_a_webhook_that_is_faster_than_the_receipt(tuesday: Tuesday) -> None:
    tuesday.approve()
    tuesday.bench.arm("early_webhook", times=None)
    with listening(tuesday.database, tuesday.bench):
        tuesday.submit()
    if tuesday.bench.protocol == "paypal":
        tuesday.reconcile()
    assert set(tuesday.statuses.values()) == {"paid"}
    assert tuesday.batches == [(G1, "settled")]


def test_failed_after_paid_is_returned(tuesday: Tuesday) -> None:
    tuesday.hand_over()
    tuesday.rail_decides({"*": "completed"})
    tuesday.reconcile()
    with listening(tuesday.database, tuesday.bench):
        tuesday.rail_decides({FIRST: "failed"}, "send")
    assert tuesday.statuses[FIRST] == "paid", "a hint"
    tuesday.reconcile()
    assert tuesday.statuses == {FIRST: "returned", SECOND: "paid", THIRD: "paid"}
    assert tuesday.kinds[-1] == "return"


@that_return
def test_money_comes_back(tuesday: Tuesday) -> None:
    tuesday.hand_over()
    tuesday.rail_decides({FIRST: "completed", SECOND: "returned", THIRD: "failed"})
    tuesday.reconcile()
    assert tuesday.statuses == {FIRST: "paid", SECOND: "returned", THIRD: "failed"}
    assert sorted(tuesday.kinds) == ["fail", "pay", "pay", "return", "submit"]
    assert tuesday.batches == [(G1, "settled")]
    tuesday.rail_decides({FIRST: "returned"})
    tuesday.reconcile(WINDOW)
    assert tuesday.statuses[FIRST] == "returned"


def test_a_late_completion_is_paid_if_the_money_is_still_there(tuesday: Tuesday) -> None:
    tuesday.hand_over()
    tuesday.rail_decides({FIRST: "failed", SECOND: "completed", THIRD: "completed"})
    tuesday.reconcile()
    with listening(tuesday.database, tuesday.bench):
        tuesday.rail_decides({FIRST: "completed"}, "send")
    assert tuesday.statuses[FIRST] == "failed", "a hint"
    tuesday.reconcile()
    assert set(tuesday.statuses.values()) == {"paid"}


def test_a_late_completion_of_money_that_has_rolled_is_for_a_person(tuesday: Tuesday) -> None:
    tuesday.hand_over()
    tuesday.rail_decides({FIRST: "failed", SECOND: "completed", THIRD: "completed"})
    tuesday.reconcile()
    conn = tuesday.conn
    wallet = one(conn, "select destination from payouts.payouts where payout_number = %s", FIRST)
    rail = one(conn, "select rail from payouts.payouts where payout_number = %s", FIRST)
    frozen_window(conn, ["10.00"], window=NEXT_WINDOW, rail=rail, destination=wallet)
    with listening(tuesday.database, tuesday.bench):
        tuesday.rail_decides({FIRST: "completed"}, "send")
    tuesday.reconcile()
    assert tuesday.statuses[FIRST] == "awaiting_reconciliation"
    tuesday.breaks.append(("late_completion", FIRST))


def test_another_amount_is_for_a_person(tuesday: Tuesday, tmp_path: Path) -> None:
    tuesday.hand_over()
    with sqlite3.connect(tmp_path / "rail.sqlite") as record:
        record.execute("update payments set amount = '1.00' where reference = ?", (FIRST,))
    tuesday.rail_decides({"*": "completed"})
    assert tuesday.reconcile().asked[0].problem == "the rail's count or totals are not ours"
    assert tuesday.statuses == {FIRST: "awaiting_reconciliation", SECOND: "paid", THIRD: "paid"}
    assert tuesday.batches == [(G1, "submitted")]
    tuesday.breaks.append(("other_amount", FIRST))


def test_what_an_event_claims_against_the_rail_is_overruled(tuesday: Tuesday) -> None:
    tuesday.hand_over()
    with listening(tuesday.database, tuesday.bench):
        tuesday.rail_decides({FIRST: "completed"}, "send", lie=Lie(amount="1.00"))
        tuesday.rail_decides({SECOND: "completed"}, "send", lie=Lie(reference="JPO0009999"))
        kind = "payout.invented" if tuesday.bench.protocol != "paypal" else "PAYMENT.PAYOUTS-ITEM.INVENTED"
        tuesday.rail_decides({THIRD: "completed"}, "send", lie=Lie(event_type=kind))
    assert set(tuesday.statuses.values()) == {"submitted"}
    report = tuesday.reconcile()
    assert report.waiting == {"unknown_payout": 1, "unknown_type": 1}
    assert set(tuesday.statuses.values()) == {"paid"}
    tuesday.breaks.extend([("event_unknown_payout", "event:2"), ("event_unknown_type", "event:3")])


# A refusal of the whole batch, and the next generation


def test_a_refused_batch_is_released_and_goes_again(tuesday: Tuesday) -> None:
    digest = tuesday.approve()
    tuesday.bench.arm("refuse", references=(SECOND,), times=None)
    with pytest.raises(
        WeekcloseError, match=f"refused batch {G1} because of {SECOND} of s2 .* {G2} waits"
    ) as error:
        tuesday.submit()
    assert error.value.exit_code == 1
    assert set(tuesday.statuses.values()) == {"ready"}
    assert tuesday.batches == [(G1, "rejected"), (G2, "frozen")]
    assert tuesday.bench.paid() == {}
    tuesday.agree()
    with pytest.raises(Refused, match=f"the rail refused batch {G1} .*{G2} is not approved"):
        tuesday.submit()

    decisions.hold(tuesday.conn, ["s2"], WINDOW, "the rail does not like it", OPERATOR)
    with pytest.raises(Refused, match="digest"):
        decisions.approve(tuesday.conn, WINDOW, digest, APPROVER)
    tuesday.approve()
    tuesday.bench.rail.faults.clear()
    before = set(tuesday.bench.sent())
    assert tuesday.submit().batch_id == G2
    assert not before & set(tuesday.bench.sent()[-1:]), "another generation has another key"
    tuesday.rail_decides({"*": "completed"})
    tuesday.reconcile()
    assert tuesday.statuses == {FIRST: "paid", SECOND: "blocked", THIRD: "paid"}
    assert tuesday.batches == [(G1, "rejected"), (G2, "settled")]
    assert tuesday.kinds == ["submit", "release", "submit", "pay", "pay"]
    report = tuesday.reconcile(WINDOW)
    assert [(each.batch_id, each.problem) for each in report.asked] == [(G1, ""), (G2, "")]


@by_look_up
def test_an_error_that_the_rail_repeats_is_a_refusal(tuesday: Tuesday) -> None:
    tuesday.approve()
    tuesday.bench.arm("cached_error")
    with pytest.raises(OutcomeUnknown, match="500"):
        tuesday.submit()
    with pytest.raises(WeekcloseError, match="refused"):
        tuesday.submit()
    assert tuesday.batches == [(G1, "rejected"), (G2, "frozen")]
    tuesday.approve()
    assert tuesday.submit().batch_id == G2


@through("tuesday", ["halfin"], indirect=True)
@through("fault", ["error_before", "error_after", "reset_after"])
def test_what_cannot_be_taken_back_at_once_is_taken_back_later(tuesday: Tuesday, fault: str) -> None:
    tuesday.approve()
    tuesday.bench.arm("refuse", references=(SECOND,), times=None)
    tuesday.bench.arm(fault, on="cancel", skip=1)
    with pytest.raises(OutcomeUnknown):
        tuesday.submit()
    assert tuesday.batches == [(G1, "submitting")]
    with pytest.raises(WeekcloseError, match="refused"):
        tuesday.submit()
    assert {payment.status for payment in tuesday.bench.rail.payments()} == {"cancelled"}
    assert tuesday.batches == [(G1, "rejected"), (G2, "frozen")]


@through("tuesday", ["halfin"], indirect=True)
def test_halfin_is_not_taken_back_once_somebody_has_released_it(tuesday: Tuesday) -> None:
    tuesday.approve()
    tuesday.bench.arm("error_before", references=(SECOND,), times=1)
    with pytest.raises(OutcomeUnknown):
        tuesday.submit()
    tuesday.bench.rail.release()
    tuesday.bench.arm("refuse", references=(SECOND,), times=1)
    with pytest.raises(OutcomeUnknown, match="somebody has released it"):
        tuesday.submit()
    assert tuesday.batches == [(G1, "submitting")]
    tuesday.submit()


@only_batch
def test_a_refused_batch_that_was_paid_after_all_does_not_go_again(tuesday: Tuesday) -> None:
    tuesday.approve()
    refused = to_send(tuesday)
    tuesday.bench.arm("refuse")
    with pytest.raises(WeekcloseError, match="refused"):
        tuesday.submit()
    # Against all that it has said: somebody at the rail pushes it through by hand.
    assert isinstance(tuesday.bench.adapter().submit(refused), Receipt)
    tuesday.approve()
    tuesday.rail_decides({FIRST: "completed"})
    assert "the rail refused it, and has it" in tuesday.reconcile(WINDOW).asked[0].problem
    assert tuesday.statuses == {FIRST: "awaiting_reconciliation", SECOND: "ready", THIRD: "ready"}
    with pytest.raises(Refused, match="not approved"):
        tuesday.submit()
    tuesday.approve()
    with pytest.raises(
        Refused, match=f"{SECOND} of seller s2 may not go out: the rail refused {G1}, and has"
    ):
        tuesday.submit()
    tuesday.rail_decides({SECOND: "failed", THIRD: "failed"})
    tuesday.reconcile(WINDOW)
    assert tuesday.submit().item_count == 2
    tuesday.breaks.append(("late_completion", FIRST))


@only_batch
def test_a_failure_that_is_not_final_moves_nothing(tuesday: Tuesday) -> None:
    tuesday.hand_over()
    tuesday.rail_decides({FIRST: "failed"}, final=False)
    assert tuesday.reconcile().asked[0].open_count == 3
    assert set(tuesday.statuses.values()) == {"submitted"}
    tuesday.rail_decides(dict.fromkeys(ALL, "completed"))
    tuesday.reconcile()
    assert set(tuesday.statuses.values()) == {"paid"}


@only_batch
def test_an_answer_that_was_overtaken_is_no_news(tuesday: Tuesday, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two reconcile: who was answered first comes to the database last."""
    tuesday.hand_over()
    tuesday.rail_decides({FIRST: "completed"})
    look_up = BatchRail.look_up

    def overtaken(self: BatchRail, batch: Batch) -> Any:
        monkeypatch.undo()
        answer = look_up(self, batch)
        tuesday.rail_decides({FIRST: "returned", SECOND: "completed", THIRD: "completed"})
        tuesday.reconcile()
        return answer

    monkeypatch.setattr(BatchRail, "look_up", overtaken)
    assert tuesday.reconcile().asked[0].booked_count == 0
    assert tuesday.statuses == {FIRST: "returned", SECOND: "paid", THIRD: "paid"}
    known = "select payout_number, status from payouts.rail_states"
    assert dict(tuesday.conn.execute(known).fetchall()) == {
        FIRST: "returned",
        SECOND: "completed",
        THIRD: "completed",
    }


@only_batch
def test_a_rail_that_changes_its_mind_again_and_again_is_followed(tuesday: Tuesday) -> None:
    tuesday.hand_over()
    for word, becomes in (
        ("failed", "failed"),
        ("completed", "paid"),
        ("returned", "returned"),
        ("completed", "awaiting_reconciliation"),
    ):
        tuesday.rail_decides({FIRST: word})
        tuesday.reconcile(WINDOW)
        assert tuesday.statuses[FIRST] == becomes
    tuesday.breaks.append(("late_completion", FIRST))


def to_send(tuesday: Tuesday) -> Batch:
    stored = submission.find_batch(tuesday.conn, WINDOW)
    return submission.to_send(tuesday.conn, tuesday.bench.adapter(), stored)


# Answers that decide nothing


@through(
    "fault",
    [
        "timeout",
        "error_before",
        "error_after",
        "reset_before",
        "reset_after",
        "half_answer",
        "garbage",
        "late",
    ],
)
def test_an_unclear_answer_is_found_out_by_the_next_run(tuesday: Tuesday, fault: str) -> None:
    tuesday.approve()
    tuesday.bench.arm(fault, seconds=2 * SILENCE)
    with pytest.raises(OutcomeUnknown, match=rf"{G1}, key [0-9a-f]{{64}}: .* again after 20"):
        tuesday.submit(patience=SILENCE if fault in ("timeout", "late") else 10)
    assert set(tuesday.statuses.values()) == {"submitted"}
    assert tuesday.batches == [(G1, "submitting")]
    done = tuesday.submit()
    assert done.item_count == 3
    assert tuesday.bench.paid() == dict.fromkeys(ALL, 1)
    tuesday.rail_decides({"*": "completed"})
    tuesday.reconcile()
    assert set(tuesday.statuses.values()) == {"paid"}


def test_nothing_is_sent_again_while_a_request_may_be_inside_the_rail(tuesday: Tuesday) -> None:
    tuesday.approve()
    tuesday.bench.arm("error_before", times=None)
    with pytest.raises(OutcomeUnknown):
        tuesday.submit(quiet=3600)
    before = len(tuesday.bench.sent())
    with pytest.raises(OutcomeUnknown, match="may still be inside the rail"):
        tuesday.submit(quiet=3600)
    assert len(tuesday.bench.sent()) == before
    tuesday.bench.rail.faults.clear()
    assert tuesday.submit().item_count == 3


@only_batch
def test_a_sender_shows_that_he_is_there(tuesday: Tuesday, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quiet period begins when he falls silent, not when he began."""
    monkeypatch.setattr(submission, "BEAT_SECONDS", 0.05)
    tuesday.approve()
    tuesday.bench.arm("timeout")
    with pytest.raises(OutcomeUnknown):
        tuesday.submit(patience=SILENCE)
    assert one(tuesday.conn, "select active_at - started_at from payouts.submit_attempts") > timedelta(
        seconds=0.2
    )
    tuesday.submit()


@by_look_up
def test_a_rail_that_is_late_and_forgets_pays_once(tuesday: Tuesday) -> None:
    """The quiet period is what a forgotten key leaves between us and paying twice."""
    tuesday.approve()
    tuesday.bench.arm("late", wait_for_go=True, skip=2 if tuesday.bench.protocol == "halfin" else 0)
    with pytest.raises(OutcomeUnknown):
        tuesday.submit(patience=2 * SILENCE, quiet=3600)
    tuesday.bench.arm("forget_keys", times=None)
    with pytest.raises(OutcomeUnknown, match="may still be inside the rail"):
        tuesday.submit(quiet=3600)
    tuesday.bench.rail.go.set()
    while tuesday.bench.rail.busy:
        time.sleep(0.01)
    assert tuesday.submit().item_count == 3
    assert tuesday.bench.paid() == dict.fromkeys(ALL, 1)


@through("fault", ["wrong_count", "wrong_total"])
def test_a_receipt_for_something_else_is_not_believed(tuesday: Tuesday, fault: str) -> None:
    if (tuesday.bench.protocol, fault) == ("halfin", "wrong_count"):
        pytest.skip("halfin counts nothing")
    tuesday.approve()
    # PayPal's receipt is what its look-up counts.
    on = "look_up" if tuesday.bench.protocol == "paypal" else "submit"
    tuesday.bench.arm(fault, on=on)
    with pytest.raises(OutcomeUnknown, match=rf"{G1}, key [0-9a-f]{{64}}: .*we sent 3, 60.75 USD"):
        tuesday.submit()
    assert tuesday.batches == [(G1, "submitting")]
    if tuesday.bench.protocol == "batch":
        tuesday.bench.arm(fault, on="look_up")
        with pytest.raises(OutcomeUnknown, match=rf"{G1}, key [0-9a-f]{{64}}: .*we sent 3, 60.75 USD"):
            tuesday.submit()
        tuesday.bench.arm(fault, on="look_up")
        assert tuesday.reconcile().asked[0].is_unknown
    assert tuesday.submit().item_count == 3


def test_a_rail_that_asks_to_wait_is_left_alone(tuesday: Tuesday, monkeypatch: pytest.MonkeyPatch) -> None:
    tuesday.approve()
    tuesday.bench.arm("busy", seconds=300)
    with pytest.raises(OutcomeUnknown, match="asks to wait 300 s"):
        tuesday.submit()
    before = len(tuesday.bench.requests)
    with pytest.raises(OutcomeUnknown, match="the rail asked to wait"):
        tuesday.submit()
    assert len(tuesday.bench.requests) == before, "not even asked"
    later = submission.now(tuesday.conn) + timedelta(seconds=301)
    monkeypatch.setattr(submission, "now", lambda conn: later)
    assert tuesday.submit().item_count == 3


def test_a_receipt_is_found_by_reconciling(tuesday: Tuesday) -> None:
    tuesday.approve()
    tuesday.bench.arm("error_after", skip=2 if tuesday.bench.protocol == "halfin" else 0)  # the last call
    with pytest.raises(OutcomeUnknown):
        tuesday.submit()
    report = tuesday.reconcile()
    if tuesday.bench.protocol == "paypal":  # it can only be asked by sending
        assert report.asked[0].is_unknown
        assert f"run weekclose submit {WINDOW}" in report.asked[0].problem
        tuesday.submit()
    assert tuesday.batches == [(G1, "submitted")]
    with pytest.raises(NothingToDo):
        tuesday.submit()


# The key, the bytes, and how long a rail remembers them


def test_every_attempt_is_the_same_bytes(tuesday: Tuesday) -> None:
    foretold = to_send(tuesday)
    tuesday.approve()
    assert to_send(tuesday) == foretold
    tuesday.bench.arm("error_before", times=None)
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            tuesday.submit()
    tuesday.bench.rail.faults.clear()
    tuesday.submit()
    assert sorted(set(tuesday.bench.sent())) == sorted(foretold.body.split(b"\n"))
    stored = one(
        tuesday.conn,
        "select array[idempotency_key, body_hash, rail] from payouts.batches where batch_id = %s",
        G1,
    )
    assert stored == [foretold.idempotency_key, sha256(foretold.body).hexdigest(), tuesday.bench.protocol]
    if tuesday.bench.protocol == "batch":
        keys = {request.headers.get("idempotency-key") for request in tuesday.bench.requests if request.body}
        assert keys == {foretold.idempotency_key}
        assert read_object(foretold.body)["idempotency_key"] == foretold.idempotency_key
    assert to_send(tuesday).body == foretold.body, "and it can still be shown"


def test_an_old_batch_is_sent_again_by_two_people_only(
    tuesday: Tuesday, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = tuesday.approve()
    tuesday.bench.arm("error_before", times=None)
    with pytest.raises(OutcomeUnknown):
        tuesday.submit()
    tuesday.bench.rail.faults.clear()
    half = tuesday.bench.adapter().key_retention / 2
    at = submission.now(tuesday.conn)
    monkeypatch.setattr(submission, "now", lambda conn: at + half - timedelta(seconds=60))
    tuesday.bench.arm("error_before", times=None)
    with pytest.raises(OutcomeUnknown):
        tuesday.submit()
    tuesday.bench.rail.faults.clear()
    monkeypatch.setattr(submission, "now", lambda conn: at + half)
    before = len(tuesday.bench.sent())
    order = f"weekclose approve {WINDOW} --digest {digest} --resend"
    with pytest.raises(Refused, match=f"may have forgotten its key.*{order}"):
        tuesday.submit()
    assert len(tuesday.bench.sent()) == before
    with pytest.raises(Refused, match="another person has to order this"):
        decisions.order_resend(tuesday.conn, WINDOW, digest, OPERATOR)
    with pytest.raises(Refused, match="the digest of batch"):
        decisions.order_resend(tuesday.conn, WINDOW, "0" * 64, MANAGER)
    with pytest.raises(Refused):
        tuesday.submit()
    decisions.order_resend(tuesday.conn, WINDOW, digest, MANAGER)
    # The order is good for one attempt.
    tuesday.bench.arm("error_before", times=None)
    with pytest.raises(OutcomeUnknown):
        tuesday.submit()
    tuesday.bench.rail.faults.clear()
    with pytest.raises(Refused, match="may have forgotten its key"):
        tuesday.submit()
    decisions.order_resend(tuesday.conn, WINDOW, digest, MANAGER)
    assert tuesday.submit().item_count == 3
    with pytest.raises(NothingToDo):
        decisions.order_resend(tuesday.conn, WINDOW, digest, MANAGER)


# What is looked at once more, right before


UNREADY = {
    "suspended": (
        "update raw.sellers set status = 'suspended' where seller_id = 's2'",
        "the seller is suspended",
    ),
    "gone": ("delete from raw.sellers where seller_id = 's2'", "the seller is gone"),
    "another wallet": (
        "update raw.sellers set wallet_address = 'T' || wallet_address where seller_id = 's2'",
        "the wallet has changed",
    ),
    "no wallet": (
        "update raw.sellers set wallet_address = null where seller_id = 's2'",
        "the wallet has changed",
    ),
    "an event": (
        "select payouts.receive_event('batch', 'e1', 'payout.failed', 'failed', 'JPO0000002', 20.50, 'USD',"
        " null, null, null, now(), true, '{}')",
        "event 1 of the rail waits",
    ),
}


@only_batch
@through("case", UNREADY)
def test_readiness_is_looked_at_again(tuesday: Tuesday, case: str) -> None:
    statement, why = UNREADY[case]
    tuesday.approve()
    tuesday.conn.execute(statement.encode())
    with pytest.raises(Refused, match=f"{SECOND} of seller s2 may not go out: {why}"):
        tuesday.submit()
    nothing_left(tuesday)
    assert tuesday.batches == [(G1, "approved")]
    if case == "an event":
        tuesday.breaks.append(("event_not_submitted", "event:1"))
        return
    decisions.hold(tuesday.conn, ["s2"], WINDOW, "it is not ready", OPERATOR)
    tuesday.approve()
    assert tuesday.submit().item_count == 2


def nothing_left(tuesday: Tuesday) -> None:
    assert [request.path for request in tuesday.bench.requests if request.method == "POST"] == []
    assert one(tuesday.conn, "select count(*) from payouts.submit_attempts") == 0
    assert one(tuesday.conn, "select count(*) from payouts.batches where idempotency_key is not null") == 0
    assert tuesday.kinds == []


@only_batch
def test_a_decision_after_the_approval_voids_it(tuesday: Tuesday) -> None:
    digest = tuesday.approve()
    decisions.hold(tuesday.conn, ["s2"], WINDOW, "a second thought", OPERATOR)
    with pytest.raises(Refused, match="not approved"):
        tuesday.submit()
    with pytest.raises(Refused, match="has changed"):
        decisions.approve(tuesday.conn, WINDOW, digest, APPROVER)
    with pytest.raises(Refused, match="another person"):
        decisions.approve(tuesday.conn, WINDOW, tuesday.digest, OPERATOR)
    nothing_left(tuesday)


@only_batch
def test_what_changes_while_it_is_looked_at_is_not_sent(
    tuesday: Tuesday, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held, released and approved again between the look at the batch and the look at its payouts."""
    tuesday.approve()
    look = submission.to_send

    def disturbed(conn: Any, rail: Any, stored: submission.StoredBatch) -> Batch:
        with open_connection(tuesday.database) as other:
            decisions.hold(other, ["s2"], WINDOW, "wait", OPERATOR)
        batch = look(conn, rail, stored)
        with open_connection(tuesday.database) as other:
            decisions.release(other, ["s2"], WINDOW, "go on", OPERATOR)
            digest = one(other, "select content_digest from payouts.batches")
            decisions.approve(other, WINDOW, digest, APPROVER)
        return batch

    monkeypatch.setattr(submission, "to_send", disturbed)
    assert tuesday.submit().item_count == 3
    assert tuesday.bench.paid() == dict.fromkeys(ALL, 1)


@only_batch
def test_who_was_overtaken_claims_nothing(tuesday: Tuesday, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two submit: while one asks the rail whether it knows the batch, the other hands it over."""
    tuesday.approve()
    known_before = submission._known_before

    def overtaken(rail: Rail, batch: Batch) -> Receipt | None:
        monkeypatch.undo()
        known = known_before(rail, batch)
        tuesday.submit()
        return known

    monkeypatch.setattr(submission, "_known_before", overtaken)
    with pytest.raises(OutcomeUnknown, match=f"batch {G1} is submitted meanwhile: run the command again"):
        tuesday.submit()
    assert one(tuesday.conn, "select count(*) from payouts.submit_attempts") == 1
    assert tuesday.bench.paid() == dict.fromkeys(ALL, 1)


def test_an_address_with_a_wrong_checksum_is_not_paid(live_database: Server, tmp_path: Path) -> None:  # noqa: F811
    with (
        bench("batch", tmp_path) as rail,
        frozen(live_database, rail, destination=WRONG_CHECKSUM) as tuesday,
    ):
        tuesday.approve()
        with pytest.raises(Refused, match=f"{FIRST} of seller s1: {WRONG_CHECKSUM} is no TRC-20 address"):
            tuesday.submit()
        nothing_left(tuesday)


@only_batch
def test_a_batch_stays_with_its_rail(tuesday: Tuesday, tmp_path: Path) -> None:
    tuesday.approve()
    tuesday.bench.arm("error_before")
    with pytest.raises(OutcomeUnknown):
        tuesday.submit()
    with bench("halfin", tmp_path / "other") as other:
        with pytest.raises(Refused, match=f"batch {G1} was handed to batch: set WEEKCLOSE_RAIL=batch"):
            submission.submit(tuesday.conn, other.adapter(max_processing_seconds=0), WINDOW, OPERATOR)
        report = reconcile(tuesday.conn, other.adapter(), None, OPERATOR)
        assert "was handed to batch" in report.asked[0].problem
        assert other.requests == []
    assert tuesday.submit().item_count == 3


def test_a_window_that_is_not_there_has_nothing_to_submit(tuesday: Tuesday) -> None:
    with pytest.raises(NothingToDo, match="has no batch"):
        submission.submit(tuesday.conn, tuesday.bench.adapter(), date(2020, 1, 5), OPERATOR)
    with pytest.raises(NothingToDo, match="nothing is open"):
        tuesday.reconcile()
    nothing_left(tuesday)


# The commands


class Commands:
    """`weekclose` as a person runs it, with a key that must never be seen again."""

    def __init__(self, run: RunCommand, tuesday: Tuesday, url: str | None = None) -> None:
        self._run, self._database = run, tuesday.database
        self._rail = {
            "WEEKCLOSE_RAIL": tuesday.bench.protocol,
            "WEEKCLOSE_RAIL_URL": url or tuesday.bench.simulator.rail_url(tuesday.bench.protocol),
            "WEEKCLOSE_RAIL_KEY": KEY,
            "WEEKCLOSE_LOOPBACK_RAIL": "1",
            "WEEKCLOSE_RAIL_MAX_PROCESSING_SECONDS": "0",
        }

    def __call__(self, *words: str, **environment: str) -> tuple[int, str, str]:
        done = self._run(*words, database=self._database, **(self._rail | environment))
        assert "canary" not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr


def refusal(stderr: str) -> str:
    """The one line that a refusal is."""
    (line,) = [each for each in stderr.splitlines() if each.startswith("weekclose: ")]
    assert stderr.splitlines()[-1] == line
    return line


@through("tuesday", ["halfin"], indirect=True)
def test_the_commands_play_a_tuesday(tuesday: Tuesday, weekclose: RunCommand) -> None:
    run, window = Commands(weekclose, tuesday), str(WINDOW)
    code, body, talk = run("submit", window, "--dry-run")
    assert code == 0
    assert f"idempotency key {submission.find_batch(tuesday.conn, WINDOW).idempotency_key}" in talk
    assert run("submit", window)[0] == 3
    assert tuesday.bench.requests == []

    tuesday.approve()
    tuesday.bench.arm("error_before", times=None)
    code, out, err = run("submit", window)
    assert (code, out) == (4, "")
    assert "run weekclose submit 2026-11-01 again after" in refusal(err)
    code, out, err = run("reconcile")
    assert (code, out) == (4, "")
    tuesday.bench.rail.faults.clear()
    code, out, err = run("submit", window, "--json")
    assert code == 0
    assert read_object(out.encode())["totals"] == {"USD": "60.75"}
    assert sorted(set(tuesday.bench.sent())) == sorted(body.encode().split(b"\n"))
    code, out, err = run("submit", window)
    assert (code, out) == (5, "")
    assert "is submitted" in refusal(err)

    tuesday.rail_decides({"*": "completed"})
    code, out, err = run("reconcile", "--json")
    assert (code, read_object(out.encode())["asked"][0]["booked_count"]) == (0, 3)
    code, out, err = run("reconcile")
    assert (code, out, refusal(err)) == (5, "", "weekclose: nothing is open at the rail, and no event waits")
    assert tuesday.batches == [(G1, "settled")]


@only_batch
def test_the_commands_refuse_in_one_line(tuesday: Tuesday, weekclose: RunCommand) -> None:
    run, window = Commands(weekclose, tuesday), str(WINDOW)
    for code, words, environment, line in (
        (2, ("submit", "soon"), {}, "soon"),
        (2, ("submit",), {}, "Missing argument"),
        (2, ("submit", window), {"WEEKCLOSE_RAIL_URL": ""}, "WEEKCLOSE_RAIL_URL"),
        (3, ("submit", window), {"WEEKCLOSE_LOOPBACK_RAIL": ""}, "WEEKCLOSE_LOOPBACK_RAIL=1 allows it"),
        (3, ("submit", window), {}, f"weekclose approve {window} --digest {tuesday.digest}"),
        (5, ("submit", "2020-01-05"), {}, "has no batch"),
        (1, ("submit", window), {"DATABASE_URL": "postgresql://u:p@127.0.0.1:9/x"}, "database"),
    ):
        found, out, err = run(*words, **environment)
        assert (found, out) == (code, ""), (words, err)
        assert line in refusal(err)
    nothing_left(tuesday)
    tuesday.approve()
    tuesday.bench.arm("refuse")
    code, out, err = run("submit", window)
    assert (code, out) == (1, "")
    assert f"the rail refused batch {G1} because of {FIRST}" in refusal(err)
    code, _, err = run("approve", window, "--digest", tuesday.digest, "--resend", "--by", MANAGER)
    assert (code, refusal(err)) == (5, f"weekclose: window {window} has no batch whose outcome is unknown")


@only_batch
def test_a_difference_is_no_success(tuesday: Tuesday, weekclose: RunCommand, tmp_path: Path) -> None:
    run = Commands(weekclose, tuesday)
    tuesday.hand_over()
    with sqlite3.connect(tmp_path / "rail.sqlite") as record:
        record.execute("update payments set amount = '1.00' where reference = ?", (FIRST,))
    tuesday.rail_decides({"*": "completed"})
    code, out, err = run("reconcile")
    assert (code, out) == (1, "")
    assert "marts.reconciliation_breaks" in refusal(err)
    tuesday.breaks.append(("other_amount", FIRST))


# Books that were restored from a backup do not know what left after it: the rail is asked first.


@only_batch
def test_restored_books_do_not_send_what_the_rail_has(tuesday: Tuesday) -> None:
    rail = tuesday.bench.adapter()
    lost = submission.to_send(tuesday.conn, rail, submission.find_batch(tuesday.conn, WINDOW))
    rail.submit(replace(lost, idempotency_key="0" * 64))
    tuesday.approve()
    assert tuesday.submit().item_count == 3
    assert tuesday.bench.paid() == dict.fromkeys(ALL, 1)
    assert tuesday.batches == [(G1, "submitted")]


@only_batch
def test_restored_books_that_decide_otherwise_are_stopped(tuesday: Tuesday) -> None:
    rail = tuesday.bench.adapter()
    rail.submit(submission.to_send(tuesday.conn, rail, submission.find_batch(tuesday.conn, WINDOW)))
    decisions.hold(tuesday.conn, ["s3"], WINDOW, "decided otherwise this time", OPERATOR)
    tuesday.approve()
    with pytest.raises(Refused, match="that these books never sent"):
        tuesday.submit()
    assert tuesday.batches == [(G1, "approved")]
    assert tuesday.bench.paid() == dict.fromkeys(ALL, 1)
    tuesday.bench.rail.settle({"*": "failed"}, webhooks="lose")  # else the rail's record is not ours

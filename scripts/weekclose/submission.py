"""A batch leaves once: this module owns the step from approved to submitted."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from weekclose.addresses import check_destination
from weekclose.database import statement, value
from weekclose.errors import NothingToDo, OutcomeUnknown, Refused, WeekcloseError
from weekclose.rails.protocol import BY_HAND, Batch, BatchState, Item, Rail, Receipt, Refusal, Unclear
from weekclose.refusals import refusals

# What a batch pays: a window, by its first day, or a request, by its number.
Paid = date | str

# A rail that forgets keys half as fast as it says is still not paid twice.
SHARE_OF_RETENTION = 2
BEAT_SECONDS = 2.0


@dataclass(frozen=True)
class StoredBatch:
    """A batch as the database has it, with its attempts; instants in UTC, None where there was none."""

    batch_id: str
    payout_window: date
    request_number: str | None
    generation: int
    state: str
    content_digest: str
    idempotency_key: str
    rail: str | None
    body: bytes | None
    rail_batch_id: str | None
    rejected_batch_id: str | None
    rejection: dict[str, Any] | None
    last_attempt: int | None
    first_attempt_at: datetime | None
    last_attempt_at: datetime | None
    retry_at: datetime | None
    resend_ordered_at: datetime | None

    @property
    def pays(self) -> str:
        """What the commands call it: 2026-11-01, or REQ0000001."""
        return self.request_number or str(self.payout_window)


@dataclass(frozen=True)
class Submitted:
    """The rail has the batch, and says so with our count and totals.

    `manual_count` payouts went to no rail: a person pays them. Without any other, no rail was asked.
    """

    batch_id: str
    rail_batch_id: str
    item_count: int
    totals: dict[str, str]
    manual_count: int


def find_batch(conn: Connection[Any], paid: Paid) -> StoredBatch:
    """The batch that is to pay a window or a request. Raises NothingToDo when there is none."""
    found = _find(conn, paid_with(paid), None)
    if found is None:
        raise NothingToDo(
            f"request {paid} has no batch: it is not approved"
            if isinstance(paid, str)
            else f"window {paid} has no batch: it is not frozen, or pays nobody"
        )
    return found


def paid_with(paid: Paid) -> str:
    """The name of what leaves together, as the books have it: W2026-11-01, or REQ0000001."""
    return paid if isinstance(paid, str) else f"W{paid}"


def read_batch(conn: Connection[Any], batch_id: str) -> StoredBatch:
    """A batch by its id, of whichever generation."""
    found = _find(conn, None, batch_id)
    if found is None:
        raise NothingToDo(f"there is no batch {batch_id}")
    return found


def to_send(conn: Connection[Any], rail: Rail, stored: StoredBatch) -> Batch:
    """What leaves, or left: the stored bytes, or for a batch that nobody claimed what would be stored.

    Raises Refused when the rail cannot pay an item, or when the batch was handed to another rail.
    """
    if stored.rail not in (None, rail.name, BY_HAND):
        raise Refused(
            f"batch {stored.batch_id} was handed to {stored.rail}: set WEEKCLOSE_RAIL={stored.rail}"
        )
    with conn.cursor(row_factory=class_row(Item)) as cursor:
        items = tuple(cursor.execute(statement("batch_items"), {"batch_id": stored.batch_id}))
    batch = Batch(
        stored.batch_id,
        stored.payout_window,
        stored.idempotency_key,
        items,
        rail_batch_id=stored.rail_batch_id,
    )
    if stored.body is not None:
        return replace(batch, body=stored.body)
    return replace(batch, body=rail.encode(batch)) if items else batch


def submit(conn: Connection[Any], rail: Rail, paid: Paid, actor: str) -> Submitted:
    """Hand an approved window or request to the rail, or find out what became of an earlier try.

    Safe to repeat after any failure, and to run by several at once. The claim is committed before the first
    byte leaves, and no transaction is open while the rail is talking. Raises NothingToDo when there is
    nothing to hand over, Refused when a guard says no, OutcomeUnknown when the rail's answer decides
    nothing (with the time at which to run it again), WeekcloseError when the rail has refused the batch.
    """
    # In one look: payouts that were held and released meanwhile would leave the digest as it was.
    with conn.transaction():
        conn.execute("set transaction isolation level repeatable read")
        stored = find_batch(conn, paid)
        if stored.state in ("submitted", "settled"):
            raise NothingToDo(
                f"batch {stored.batch_id} is {stored.state}: the rail has it as {stored.rail_batch_id}"
            )
        if stored.state == "frozen":
            raise Refused(_not_approved(stored))
        batch = to_send(conn, rail, stored)
    if stored.state == "approved":
        _check_destinations(batch, stored)
        known = _known_before(rail, batch) if batch.items else _nothing_to_send(batch)
        with refusals(), conn.transaction():
            attempt = value(
                conn.execute(
                    "select payouts.claim_batch(%s, %s, %s, %s, %s)",
                    (
                        stored.batch_id,
                        stored.content_digest,
                        rail.name if batch.items else BY_HAND,
                        batch.body,
                        actor,
                    ),
                )
            )
        return take_receipt(conn, batch, known, actor) if known else _send(conn, rail, batch, attempt, actor)
    if not batch.items:
        return take_receipt(conn, batch, _nothing_to_send(batch), actor)
    return _resume(conn, rail, stored, batch, actor)


def take_receipt(conn: Connection[Any], batch: Batch, receipt: Receipt, actor: str) -> Submitted:
    """The rail has the batch, if this receipt is one for what we sent. Raises OutcomeUnknown if it is not."""
    if not receipt.matches(batch):
        raise OutcomeUnknown(_other_receipt(batch, receipt))
    with refusals(), conn.transaction():
        conn.execute(
            "select payouts.take_receipt(%s, %s, %s)", (batch.reference, receipt.rail_batch_id, actor)
        )
    return Submitted(
        batch.reference,
        receipt.rail_batch_id,
        receipt.item_count,
        {currency: str(total) for currency, total in sorted(receipt.totals.items())},
        value(conn.execute(statement("manual_payouts"), {"batch_id": batch.reference})),
    )


def now(conn: Connection[Any]) -> datetime:
    """The database's clock, in UTC: the one that attempts and events are noted with."""
    moment: datetime = value(conn.execute("select clock_timestamp()"))
    return moment


def _nothing_to_send(batch: Batch) -> Receipt:
    """The receipt of a batch that brings nothing to any rail."""
    return Receipt(BY_HAND, batch.item_count, batch.totals)


def _known_before(rail: Rail, batch: Batch) -> Receipt | None:
    """The rail's receipt for a batch that these books never sent: they were restored from a backup.

    Payouts that the rail has, exactly as they are to go out, are not sent again. Raises Refused when it has
    others under this reference, OutcomeUnknown when it cannot be asked.
    """
    try:
        found = rail.look_up(batch)
    except OutcomeUnknown as unclear:
        raise OutcomeUnknown(
            f"batch {batch.reference}: {unclear}. Nothing was sent; run it again"
        ) from unclear
    if not isinstance(found, BatchState):
        return None
    ours = {(item.reference, item.amount) for item in batch.items}
    if ours == {(state.reference, state.amount) for state in found.items} and found.receipt.matches(batch):
        return found.receipt
    raise Refused(
        f"the rail has a batch {batch.reference} that these books never sent ({found.receipt.rail_batch_id}, "
        f"{found.receipt.item_count} items): the database is older than the rail's record; ask the rail what "
        "it paid before anything else leaves"
    )


def _resume(conn: Connection[Any], rail: Rail, stored: StoredBatch, batch: Batch, actor: str) -> Submitted:
    """What became of an earlier attempt? Sent again, as it was, only if the rail does not have it."""
    asked_at = now(conn)
    if stored.retry_at is not None and asked_at < stored.retry_at:
        raise OutcomeUnknown(_again(stored, stored.retry_at, "the rail asked to wait"))
    try:
        found = rail.look_up(batch)
    except OutcomeUnknown as unclear:
        again_at = asked_at + timedelta(seconds=_wish(unclear) or 0)
        raise OutcomeUnknown(_again(stored, again_at, str(unclear))) from unclear
    if isinstance(found, BatchState):
        if not found.receipt.matches(batch):
            raise OutcomeUnknown(_again(stored, asked_at, _other_receipt(batch, found.receipt)))
        return take_receipt(conn, batch, found.receipt, actor)
    # A request of a sender that is gone may still be inside the rail: "not there" is only definite later.
    quiet = timedelta(seconds=rail.max_processing_seconds)
    last = stored.last_attempt_at or asked_at
    if asked_at < last + quiet:
        raise OutcomeUnknown(_again(stored, last + quiet, "an earlier attempt may still be inside the rail"))
    _check_key_is_remembered(rail, stored, asked_at)
    with refusals(), conn.transaction():
        attempt = value(
            conn.execute(
                "select payouts.retry_batch(%s, %s, %s)", (stored.batch_id, stored.last_attempt, actor)
            )
        )
    return _send(conn, rail, batch, attempt, actor)


def _send(conn: Connection[Any], rail: Rail, batch: Batch, attempt: int, actor: str) -> Submitted:
    try:
        with _heartbeat(conn, attempt):
            answer = rail.submit(batch)
    except OutcomeUnknown as error:
        raise _unknown(conn, rail, batch, str(error), _wish(error)) from error
    if isinstance(answer, Refusal):
        raise _rejected(conn, batch, answer, actor)
    if not answer.matches(batch):
        raise _unknown(conn, rail, batch, _other_receipt(batch, answer), None)
    return take_receipt(conn, batch, answer, actor)


def _wish(error: OutcomeUnknown) -> int | None:
    """How many seconds the rail asked us to wait."""
    return error.retry_after if isinstance(error, Unclear) else None


def _unknown(
    conn: Connection[Any], rail: Rail, batch: Batch, why: str, retry_after: int | None
) -> OutcomeUnknown:
    """Note that an attempt has ended without an answer that decides anything."""
    ended_at = now(conn)
    retry_at = ended_at + timedelta(seconds=retry_after) if retry_after is not None else None
    with conn.transaction():
        conn.execute("select payouts.end_attempts(%s, 'unknown', %s, %s)", (batch.reference, why, retry_at))
    again_at = max(ended_at + timedelta(seconds=rail.max_processing_seconds), retry_at or ended_at)
    return OutcomeUnknown(_again(read_batch(conn, batch.reference), again_at, why))


def _rejected(conn: Connection[Any], batch: Batch, refusal: Refusal, actor: str) -> WeekcloseError:
    said = {
        "code": refusal.code,
        "message": refusal.message,
        "items": [{"reference": each.reference, "code": each.code} for each in refusal.offenders],
    }
    with refusals(), conn.transaction():
        successor = value(
            conn.execute("select payouts.take_refusal(%s, %s, %s)", (batch.reference, Jsonb(said), actor))
        )
    sellers = {item.reference: item.seller_id for item in batch.items}
    named = [
        f"{each.reference} of {sellers.get(each.reference, '?')} ({each.code})" for each in refusal.offenders
    ]
    because = f" because of {', '.join(named[:5])}{' and more' if len(named) > 5 else ''}" if named else ""
    return WeekcloseError(
        f"the rail refused batch {batch.reference}{because}: {refusal.code}: {refusal.message}; nothing was "
        f"paid, {successor} waits for its review (weekclose hold what cannot be paid, then approve)"
    )


@contextmanager
def _heartbeat(conn: Connection[Any], attempt: int) -> Iterator[None]:
    """Note that we are still sending, for as long as we are: whoever finds us silent knows since when."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(BEAT_SECONDS):
            # A database that is away for a moment does not end a submission that the rail is working on.
            with suppress(psycopg.Error), psycopg.connect(conn.info.dsn, password=conn.info.password) as own:
                own.execute("select payouts.beat(%s)", (attempt,))

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _check_key_is_remembered(rail: Rail, stored: StoredBatch, asked_at: datetime) -> None:
    first = stored.first_attempt_at or asked_at
    if asked_at < first + rail.key_retention / SHARE_OF_RETENTION:
        return
    if stored.resend_ordered_at is not None and stored.resend_ordered_at > (stored.last_attempt_at or first):
        return
    raise Refused(
        f"batch {stored.batch_id} was first sent {first:%Y-%m-%d %H:%M} UTC: the rail may have forgotten its "
        "key. Ask the rail; then another person can order to send it again: "
        f"{_approval(stored)} --resend"
    )


def _check_destinations(batch: Batch, stored: StoredBatch) -> None:
    keeps = "hold keeps it back, then approve again"
    if stored.request_number:
        keeps = f"requests reject {stored.request_number} gives the money back"
    for item in batch.items:
        fault = check_destination(item.rail, item.destination)
        if fault is not None:
            raise Refused(
                f"payout {item.reference} of seller {item.seller_id}: {item.destination} is no {item.rail} "
                f"address ({fault}); weekclose {keeps}"
            )


def _not_approved(stored: StoredBatch) -> str:
    wanted = _approval(stored)
    if stored.rejected_batch_id is None:
        named = stored.request_number or f"window {stored.payout_window}"
        return f"{named} is not approved: {wanted}, by another person"
    said = stored.rejection or {}
    return (
        f"the rail refused batch {stored.rejected_batch_id} ({said.get('code')}: {said.get('message')}); "
        f"{stored.batch_id} is not approved: {wanted}, by another person"
    )


def _approval(stored: StoredBatch) -> str:
    if stored.request_number:
        return f"weekclose requests approve {stored.request_number}"
    return f"weekclose approve {stored.payout_window} --digest {stored.content_digest}"


def _other_receipt(batch: Batch, receipt: Receipt) -> str:
    ours = ", ".join(f"{total} {currency}" for currency, total in sorted(batch.totals.items()))
    theirs = ", ".join(f"{total} {currency}" for currency, total in sorted(receipt.totals.items()))
    return (
        f"the rail's receipt {receipt.rail_batch_id} is for {receipt.item_count} items, {theirs}; "
        f"we sent {batch.item_count}, {ours}"
    )


def _again(stored: StoredBatch, when: datetime, why: str) -> str:
    return (
        f"batch {stored.batch_id}, key {stored.idempotency_key}: {why}. The outcome is unknown; "
        f"run weekclose submit {stored.pays} again after {when:%Y-%m-%d %H:%M:%S} UTC"
    )


def _find(conn: Connection[Any], paid: str | None, batch_id: str | None) -> StoredBatch | None:
    with conn.cursor(row_factory=class_row(StoredBatch)) as cursor:
        named = {"paid_with": paid, "batch_id": batch_id}
        return cursor.execute(statement("batch_to_pay"), named).fetchone()

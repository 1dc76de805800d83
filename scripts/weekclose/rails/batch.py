"""`batch`: a whole batch in one call, as an in-house gateway or the simulator takes it.

The protocol is our own, so nothing of it waits for a foreign service; a new gateway is tried with the
contract test of the adapters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, ClassVar
from urllib.parse import quote

from weekclose.rails import wire
from weekclose.rails.protocol import (
    Batch,
    BatchState,
    EventMalformed,
    Item,
    ItemState,
    Mode,
    NotThere,
    Offender,
    RailEvent,
    Receipt,
    Refusal,
    Status,
    Unclear,
)
from weekclose.rails.signatures import verify_standard
from weekclose.rails.transport import Answer, Transport, unclear, unreadable

# So many items are written at a time: their text stays in the processor's cache.
AT_ONCE = 500

STATES: dict[str, Status] = {
    "processing": "processing",
    "completed": "completed",
    "failed": "failed",
    "returned": "returned",
}
EVENTS: dict[str, Status] = {
    "payout.completed": "completed",
    "payout.failed": "failed",
    "payout.returned": "returned",
}


@dataclass(frozen=True)
class BatchRail:
    """The adapter; `webhook_secrets` are all valid, so that one can follow another."""

    transport: Transport
    key: str = field(repr=False)
    webhook_secrets: Sequence[str] = field(repr=False)
    max_processing_seconds: int = 300

    name: ClassVar[str] = "batch"
    mode: ClassVar[Mode] = "native_batch"
    proves_content: ClassVar[bool] = True
    key_retention: ClassVar[timedelta] = timedelta(days=7)
    max_items_per_call: ClassVar[int] = 100_000

    def encode(self, batch: Batch) -> bytes:
        """One line: the body of the one call."""
        items = sorted(batch.items, key=attrgetter("reference"))
        around = wire.write(
            {
                "reference": batch.reference,
                "idempotency_key": batch.idempotency_key,
                "payout_window": batch.payout_window.isoformat(),
                "item_count": batch.item_count,
                "totals": [
                    {"currency": currency, "amount": wire.decimal_text(total)}
                    for currency, total in sorted(batch.totals.items())
                ],
                "items": [],
            }
        )
        # Within a text the quotes would have escapes: this is the empty list, and nothing else is.
        before, _, after = around.partition(b'"items":[]')
        parts = [_items(items[start : start + AT_ONCE]) for start in range(0, len(items), AT_ONCE)]
        return b"".join((before, b'"items":[', b",".join(parts), b"]", after))

    def submit(self, batch: Batch) -> Receipt | Refusal:
        """One POST; a refusal counts only if the rail then does not know the batch."""
        headers = self._headers() | {
            "Content-Type": "application/json",
            "Idempotency-Key": batch.idempotency_key,
        }
        answer = self.transport.post("/v1/payout-batches", headers, batch.body)
        what = f"batch {batch.reference}"
        try:
            if answer.status in (200, 201):
                return _receipt(answer.read(), batch)
            if answer.status == 400:
                return self._unless_known(batch, _refusal(answer))
            if answer.status >= 500 and answer.replayed:
                kept = Refusal("replayed_error", f"the rail keeps answering {answer.status} to this key")
                return self._unless_known(batch, kept)
        except wire.Malformed as error:
            raise unreadable(what, answer, error) from None
        if answer.status == 422:
            raise Unclear(f"{what}: the rail has seen its key with another body; a person has to look")
        raise unclear(what, answer)

    def look_up(self, batch: Batch) -> BatchState | NotThere:
        path = f"/v1/payout-batches/{quote(batch.reference, safe='')}"
        answer = self.transport.get(path, self._headers())
        what = f"look-up of batch {batch.reference}"
        if answer.status == 404:
            return NotThere()
        if answer.status != 200:
            raise unclear(what, answer)
        try:
            said = answer.read()
            return BatchState(_receipt(said, batch), tuple(map(_state, wire.objects(said, "items"))))
        except wire.Malformed as error:
            raise unreadable(what, answer, error) from None

    def verify(self, headers: Mapping[str, str], raw_body: bytes) -> RailEvent:
        message_id, _ = verify_standard(self.webhook_secrets, headers, raw_body, datetime.now(UTC))
        try:
            return _event(message_id, wire.read_object(raw_body))
        except wire.Malformed as error:
            raise EventMalformed(f"webhook: {error}") from None

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def _unless_known(self, batch: Batch, refusal: Refusal) -> Receipt | Refusal:
        found = self.look_up(batch)
        return found.receipt if isinstance(found, BatchState) else refusal


def _items(items: Sequence[Item]) -> bytes:
    """As wire.write has them, in a third of its time: the names are known, and in their order."""
    quoted = wire.quoted
    return ",".join(
        [
            f'{{"amount":"{wire.decimal_text(item.amount)}","currency":{quoted(item.currency)},'
            f'"destination":{quoted(item.destination)},"rail":{quoted(item.rail)},'
            f'"reference":{quoted(item.reference)},"seller_id":{quoted(item.seller_id)}}}'
            for item in items
        ]
    ).encode()


def _receipt(said: dict[str, Any], batch: Batch) -> Receipt:
    if wire.text(said, "reference") != batch.reference:
        raise wire.Malformed("it is about another batch")
    if wire.text(said, "status") != "accepted":
        raise wire.Malformed("its status is not accepted")
    sums = {wire.text(each, "currency"): wire.amount(each, "amount") for each in wire.objects(said, "totals")}
    return Receipt(wire.text(said, "id"), wire.count(said, "item_count"), sums)


def _refusal(answer: Answer) -> Refusal:
    error = wire.one_object(answer.read(), "error")
    items = wire.objects(error, "items") if error.get("items") is not None else []
    offenders = (Offender(wire.text(item, "reference"), wire.text(item, "code")) for item in items)
    return Refusal(wire.text(error, "code"), wire.text(error, "message"), tuple(offenders))


def _state(said: dict[str, Any]) -> ItemState:
    status = STATES.get(wire.text(said, "status"))
    if status is None:
        raise wire.Malformed("the status of an item is not known")
    return ItemState(
        reference=wire.text(said, "reference"),
        status=status,
        final=wire.flag(said, "final"),
        amount=wire.amount(said, "amount"),
        external_reference=wire.optional_text(said, "external_reference"),
        failure_code=wire.optional_text(said, "failure_code"),
        failure_reason=wire.optional_text(said, "failure_reason"),
        updated_at=wire.optional_instant(said, "updated_at"),
    )


def _event(message_id: str, said: dict[str, Any]) -> RailEvent:
    event_type, data = wire.text(said, "type"), wire.one_object(said, "data")
    status = EVENTS.get(event_type)
    return RailEvent(
        event_id=message_id,
        event_type=event_type,
        status=status,
        payout=wire.text(data, "payout") if status else wire.optional_text(data, "payout"),
        amount=wire.amount(data, "amount") if status else None,
        currency=wire.text(data, "currency") if status else None,
        external_reference=wire.optional_text(data, "external_reference"),
        failure_code=wire.optional_text(data, "failure_code"),
        failure_reason=wire.optional_text(data, "failure_reason"),
        occurred_at=wire.instant(said, "timestamp"),
    )

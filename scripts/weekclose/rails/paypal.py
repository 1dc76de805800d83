"""`paypal`: Payouts v1, a whole batch in one call, or in parts of 15,000 that count as one.

Not tried against the real service: the exact words of the duplicate answer (PayPal's documentation shows the
link to the original), the certificate under PAYPAL-CERT-URL, whether a batch counts all of its items at once.
"""

import re
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any, ClassVar
from urllib.parse import quote

from weekclose.errors import Refused
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
    totals,
)
from weekclose.rails.signatures import verify_paypal
from weekclose.rails.transport import Answer, Transport, unclear, unreadable

CALLS_PER_MINUTE = 400
PAGE = 1000
# A token is given up before PayPal does: one that lapses on the way looks like a refusal.
TOKEN_MARGIN_SECONDS = 60

STATES: dict[str, Status] = {
    "SUCCESS": "completed",
    "FAILED": "failed",
    "DENIED": "failed",
    "BLOCKED": "failed",
    "CANCELED": "failed",
    "RETURNED": "returned",
    "REFUNDED": "returned",
    "REVERSED": "returned",
    "PENDING": "processing",
    "UNCLAIMED": "processing",
    "ONHOLD": "processing",
}
EVENTS: dict[str, Status] = {
    "PAYMENT.PAYOUTS-ITEM.SUCCEEDED": "completed",
    "PAYMENT.PAYOUTS-ITEM.FAILED": "failed",
    "PAYMENT.PAYOUTS-ITEM.DENIED": "failed",
    "PAYMENT.PAYOUTS-ITEM.BLOCKED": "failed",
    "PAYMENT.PAYOUTS-ITEM.CANCELED": "failed",
    "PAYMENT.PAYOUTS-ITEM.RETURNED": "returned",
    "PAYMENT.PAYOUTS-ITEM.REFUNDED": "returned",
    "PAYMENT.PAYOUTS-ITEM.UNCLAIMED": "processing",
    "PAYMENT.PAYOUTS-ITEM.HELD": "processing",
    "PAYMENT.PAYOUTSBATCH.SUCCESS": "processing",
    "PAYMENT.PAYOUTSBATCH.PROCESSING": "processing",
    "PAYMENT.PAYOUTSBATCH.DENIED": "processing",
}
ITEM_EVENT = "PAYMENT.PAYOUTS-ITEM."

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_PAYPAL_ID = re.compile(r"[2-9A-HJ-NP-Z]{13}", re.ASCII)
_BATCH_ID = re.compile(r"[0-9A-Za-z]{1,40}", re.ASCII)
_ITEM_FIELD = re.compile(r"/?(?:.*/)?items[\[/]([0-9]{1,6})\b.*", re.ASCII)


@dataclass(frozen=True)
class PayPalRail:
    """The adapter. `key` is client id and secret, joined by a colon; `webhook_ids` are those of the webhooks
    that PayPal was told to call, all valid."""

    transport: Transport
    key: str = field(repr=False)
    webhook_ids: Sequence[str] = field(repr=False)
    max_processing_seconds: int = 600
    max_items_per_call: int = 15_000
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    _token: dict[str, Any] = field(default_factory=dict, repr=False)
    _certificates: dict[str, str] = field(default_factory=dict, repr=False)

    name: ClassVar[str] = "paypal"
    mode: ClassVar[Mode] = "native_batch"
    proves_content: ClassVar[bool] = False
    key_retention: ClassVar[timedelta] = timedelta(days=30)

    def encode(self, batch: Batch) -> bytes:
        """A line for each part, the items by payout number."""
        items = sorted(batch.items, key=lambda item: item.reference)
        size = self.max_items_per_call
        parts = [items[start : start + size] for start in range(0, len(items), size)]
        return b"\n".join(_body(batch, number, part) for number, part in enumerate(parts))

    def submit(self, batch: Batch) -> Receipt | Refusal:
        """Send part by part; PayPal tells a repeated part by its id, and its original is taken."""
        ids: list[str] = []
        for number, body in enumerate(batch.body.split(b"\n")):
            sent = self._send(batch, number, body)
            if isinstance(sent, Refusal):
                if not ids:
                    return sent
                raise Unclear(
                    f"batch {batch.reference}: PayPal has taken {number} parts and refuses the next "
                    f"({sent.code}): a person has to look"
                )
            ids.append(sent)
        receipt = self._state(batch, ids).receipt
        if receipt.item_count < batch.item_count:
            raise Unclear(
                f"batch {batch.reference}: PayPal has taken it and counts {receipt.item_count} items yet"
            )
        return receipt

    def look_up(self, batch: Batch) -> BatchState | NotThere:
        """PayPal finds a batch by its own id alone. Without one, sending it again is the question: the answer
        NotThere says that this is safe, not that there is nothing."""
        if batch.rail_batch_id is None:
            return NotThere()
        return self._state(batch, batch.rail_batch_id.split(","))

    def verify(self, headers: Mapping[str, str], raw_body: bytes) -> RailEvent:
        verify_paypal(self.webhook_ids, headers, raw_body, datetime.now(UTC), self._certificate)
        try:
            return _event(wire.read_object(raw_body))
        except wire.Malformed as error:
            raise EventMalformed(f"webhook: {error}") from None

    def _send(self, batch: Batch, number: int, body: bytes) -> str | Refusal:
        """PayPal's id of a part."""
        what = f"batch {batch.reference}, part {number + 1}"
        answer = self.transport.post("/v1/payments/payouts", self._headers(), body)
        try:
            if answer.status == 201:
                return _batch_id(wire.text(wire.one_object(answer.read(), "batch_header"), "payout_batch_id"))
            if answer.status in (400, 422):
                return _original(answer) or _refusal(answer, wire.read_object(body))
        except wire.Malformed as error:
            raise unreadable(what, answer, error) from None
        raise unclear(what, answer)

    def _state(self, batch: Batch, ids: Sequence[str]) -> BatchState:
        items = [item for each in ids for item in self._items(batch, each)]
        sums = totals((currency, state.amount) for currency, state in items)
        states = tuple(state for _, state in items)
        return BatchState(Receipt(",".join(ids), len(states), sums), states)

    def _items(self, batch: Batch, batch_id: str) -> list[tuple[str, ItemState]]:
        """The items of a part, each with its currency, from all pages."""
        what = f"look-up of batch {batch.reference}"
        found: list[tuple[str, ItemState]] = []
        page, pages = 1, 1
        while page <= pages:
            path = f"/v1/payments/payouts/{quote(batch_id, safe='')}"
            query = f"?page={page}&page_size={PAGE}&total_required=true"
            answer = self.transport.get(path + query, self._headers())
            if answer.status != 200:
                raise unclear(what, answer)
            try:
                said = answer.read()
                found += [_state(item) for item in wire.objects(said, "items")]
                pages = wire.count(said, "total_pages")
            except wire.Malformed as error:
                raise unreadable(what, answer, error) from None
            page += 1
        return found

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._access_token()}", "Content-Type": "application/json"}

    def _access_token(self) -> str:
        if self._token.get("until", 0.0) <= self.clock():
            answer = self.transport.post(
                "/v1/oauth2/token",
                {
                    "Authorization": "Basic " + b64encode(self.key.encode()).decode(),
                    "Content-Type": "application/x-www-form-urlencoded",
                },
                b"grant_type=client_credentials",
            )
            if answer.status != 200:
                raise unclear("PayPal's access token", answer)
            try:
                said = answer.read()
                lifetime = wire.count(said, "expires_in")
                value = wire.text(said, "access_token")
                if not value.isascii() or not value.isprintable():
                    raise wire.Malformed("access_token is no token")
            except wire.Malformed as error:
                raise unreadable("PayPal's access token", answer, error) from None
            self._token.update(value=value, until=self.clock() + lifetime - TOKEN_MARGIN_SECONDS)
        return str(self._token["value"])

    def _certificate(self, name: str) -> str:
        """Always from the rail's own host, whatever host a webhook names."""
        if name not in self._certificates:
            answer = self.transport.get(f"/v1/notifications/certs/{name}", {})
            if answer.status in (400, 404):
                return ""
            if answer.status != 200:
                raise unclear("PayPal's certificate", answer)
            self._certificates[name] = answer.body.decode("ascii", "replace")
        return self._certificates[name]


def part_key(batch_key: str, number: int) -> str:
    """The `sender_batch_id` of a part: the first has the batch's own."""
    return batch_key if number == 0 else sha256(f"{batch_key}:part:{number}".encode()).hexdigest()


def _body(batch: Batch, number: int, items: Sequence[Item]) -> bytes:
    return wire.write(
        {
            "sender_batch_header": {"sender_batch_id": part_key(batch.idempotency_key, number)},
            "items": [
                {
                    "recipient_type": _recipient_type(item),
                    "receiver": item.destination,
                    "amount": {"currency": item.currency, "value": wire.decimal_text(item.amount)},
                    "sender_item_id": item.reference,
                    "note": f"{batch.reference} {item.reference}",
                }
                for item in items
            ],
        }
    )


def _recipient_type(item: Item) -> str:
    if _EMAIL.fullmatch(item.destination):
        return "EMAIL"
    if _PAYPAL_ID.fullmatch(item.destination):
        return "PAYPAL_ID"
    raise Refused(f"payout {item.reference}: {item.destination} is no PayPal account (e-mail address or id)")


def _batch_id(value: str) -> str:
    if not _BATCH_ID.fullmatch(value):
        raise wire.Malformed("payout_batch_id is no id")
    return value


def _original(answer: Answer) -> str | None:
    """The id of the batch that this one is a duplicate of, if that is what the answer says."""
    for detail in _details(answer.read()):
        if str(detail.get("field")).upper().endswith("SENDER_BATCH_ID"):
            links = wire.objects(detail, "link") or [{}]
            return _batch_id(wire.text(links[0], "href").rpartition("/")[2])
    return None


def _details(said: dict[str, Any]) -> list[dict[str, Any]]:
    return wire.objects(said, "details") if said.get("details") is not None else []


def _refusal(answer: Answer, sent: dict[str, Any]) -> Refusal:
    said = answer.read()
    items = wire.objects(sent, "items")
    offenders: dict[str, Offender] = {}
    for detail in _details(said):
        place = _ITEM_FIELD.fullmatch(str(detail.get("field")))
        if place and int(place[1]) < len(items):
            reference = wire.text(items[int(place[1])], "sender_item_id")
            offenders[reference] = Offender(reference, wire.text(detail, "issue"))
    return Refusal(wire.text(said, "name"), wire.text(said, "message"), tuple(offenders.values()))


def _state(said: dict[str, Any]) -> tuple[str, ItemState]:
    sent = wire.one_object(said, "payout_item")
    word = wire.text(said, "transaction_status")
    if word not in STATES:
        raise wire.Malformed("the status of an item is not known")
    currency, amount = _money(sent)
    code, reason = _errors(said)
    return currency, ItemState(
        reference=wire.text(sent, "sender_item_id"),
        status=STATES[word],
        final=STATES[word] != "processing",
        amount=amount,
        external_reference=wire.optional_text(said, "transaction_id"),
        failure_code=code or (word if STATES[word] in ("failed", "returned") else None),
        failure_reason=reason,
        updated_at=wire.optional_instant(said, "time_processed"),
    )


def _event(said: dict[str, Any]) -> RailEvent:
    event_type, data = wire.text(said, "event_type"), wire.one_object(said, "resource")
    status = EVENTS.get(event_type)
    about_payout = status is not None and event_type.startswith(ITEM_EVENT)
    sent = wire.one_object(data, "payout_item") if about_payout else {}
    currency, amount = _money(sent) if about_payout else (None, None)
    code, reason = _errors(data)
    if code is None and status in ("failed", "returned"):
        code = event_type.rpartition(".")[2]
    return RailEvent(
        event_id=wire.text(said, "id"),
        event_type=event_type,
        status=status,
        payout=wire.text(sent, "sender_item_id") if about_payout else None,
        amount=amount,
        currency=currency,
        external_reference=wire.optional_text(data, "transaction_id"),
        failure_code=code,
        failure_reason=reason,
        occurred_at=wire.instant(said, "create_time"),
    )


def _money(holder: dict[str, Any]) -> tuple[str, Decimal]:
    money = wire.one_object(holder, "amount")
    return wire.text(money, "currency"), wire.amount(money, "value")


def _errors(holder: dict[str, Any]) -> tuple[str | None, str | None]:
    if holder.get("errors") is None:
        return None, None
    errors = wire.one_object(holder, "errors")
    return wire.optional_text(errors, "name"), wire.optional_text(errors, "message")

"""What the simulated rail tells the platform: each rail's own form and signature, rightly or wrongly."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from threading import Lock
from typing import Any

import urllib3

from weekclose.rails.signatures import sign_halfin, sign_paypal, sign_standard
from weekclose.simulator.protocols import CERTIFICATE, halfin_payout, paypal_item, private_key
from weekclose.simulator.record import Payment, Record, timestamp

SIGNATURES = ("right", "wrong", "stale", "future", "none")
ORDERS = ("as_made", "reversed", "shuffled")
TRIES = 10

# What signs when the environment names no secret: known to everybody, good for nothing but trying.
SAMPLE_SECRET = "whsec_d2Vla2Nsb3NlLXNhbXBsZS1zZWNyZXQh"  # noqa: S105
SAMPLE_WEBHOOK_ID = "SAMPLE-WEBHOOK-ID"

_PAYPAL_TYPES = {"completed": "SUCCEEDED", "failed": "FAILED", "returned": "RETURNED"}


@dataclass(frozen=True)
class Message:
    """One event as it will be sent; `signature` is one of SIGNATURES."""

    protocol: str
    event_id: str
    reference: str
    body: bytes
    signature: str = "right"


@dataclass(frozen=True)
class Delivered:
    """What became of a delivery; `answer` is the HTTP status, None when nobody answered."""

    event_id: str
    reference: str
    answer: int | None


@dataclass(frozen=True)
class Lie:
    """How an event differs from the truth: another amount, another type, a payout that does not exist."""

    amount: str | None = None
    event_type: str | None = None
    reference: str | None = None


def message(payment: Payment, sequence: int, lie: Lie, signature: str) -> Message | None:
    """The event of a payment's present state; None where its rail sends none. Raises ValueError."""
    if signature not in SIGNATURES:
        raise ValueError(f"there is no signature {signature!r}")
    if payment.protocol == "halfin" and payment.status not in ("completed", "failed"):
        return None
    told = replace(payment, other_amount=lie.amount or payment.other_amount)
    if lie.reference:
        digest = payment.idempotency_key.rpartition(".")[2]
        told = replace(told, reference=lie.reference, idempotency_key=f"{lie.reference}.{digest}")
    make = {"batch": _batch, "halfin": _halfin, "paypal": _paypal}[payment.protocol]
    event_id = f"evt_{payment.payment_id}_{sequence}"
    body = json.dumps(make(told, lie.event_type, event_id)).encode()
    return Message(payment.protocol, event_id, told.reference, body, signature)


def _batch(payment: Payment, event_type: str | None, event_id: str) -> dict[str, Any]:
    return {
        "type": event_type or f"payout.{payment.status}",
        "timestamp": payment.updated_at,
        "data": {
            "batch": payment.batch_reference,
            "payout": payment.reference,
            "amount": payment.told_amount,
            "currency": payment.currency,
            "external_reference": payment.external_reference,
            "failure_code": payment.failure_code,
            "failure_reason": payment.failure_reason,
        },
    }


def _halfin(payment: Payment, event_type: str | None, event_id: str) -> dict[str, Any]:
    return {
        "event": event_type or f"payout.{payment.status}",
        "created_at": payment.updated_at,
        "data": halfin_payout(payment),
    }


def _paypal(payment: Payment, event_type: str | None, event_id: str) -> dict[str, Any]:
    return {
        "id": event_id,
        "event_type": event_type or f"PAYMENT.PAYOUTS-ITEM.{_PAYPAL_TYPES.get(payment.status, 'HELD')}",
        "create_time": payment.updated_at,
        "resource_type": "payouts_item",
        "resource": paypal_item(payment),
    }


class Sender:
    """Sends messages to one address; what is kept back waits for `deliver`."""

    def __init__(self, record: Record, url: str | None, secret: str | None, seed: int) -> None:
        self.url, self._secret, self._record = url, secret, record
        self._random = Random(seed)  # noqa: S311, chance and not secrecy
        self._kept: list[Message] = []
        self._lock = Lock()
        self._pool = urllib3.PoolManager(timeout=15, retries=False)

    def keep(self, messages: list[Message]) -> None:
        with self._lock:
            self._kept += messages

    def deliver(self, order: str = "as_made") -> list[Delivered]:
        """Send what was kept back. Raises ValueError for an order that there is not."""
        if order not in ORDERS:
            raise ValueError(f"there is no order {order!r}")
        with self._lock:
            messages, self._kept = self._kept, []
        if order == "shuffled":
            self._random.shuffle(messages)
        return [self.send(each) for each in (reversed(messages) if order == "reversed" else messages)]

    def send(self, what: Message) -> Delivered:
        """One try."""
        if self.url is None:
            return Delivered(what.event_id, what.reference, None)
        try:
            headers = {"Content-Type": "application/json", **self._headers(what)}
            response = self._pool.request("POST", self.url, body=what.body, headers=headers)
            return Delivered(what.event_id, what.reference, response.status)
        except urllib3.exceptions.HTTPError:
            return Delivered(what.event_id, what.reference, None)

    def _headers(self, what: Message) -> Mapping[str, str]:
        shift = {"stale": -timedelta(days=4), "future": timedelta(hours=1)}.get(what.signature, timedelta())
        at, body = datetime.now(UTC) + shift, what.body
        if what.signature == "none":
            return {}
        if what.signature == "wrong":
            body = body + b" "  # signed is another body than sent
        if what.protocol == "halfin":
            event = json.loads(what.body)["event"]
            return {"X-Halfin-Event": event} | sign_halfin(self._secret or SAMPLE_SECRET, at, body)
        if what.protocol == "batch":
            return sign_standard(self._secret or SAMPLE_SECRET, what.event_id, at, body)
        return sign_paypal(
            private_key(self._record),
            self._secret or SAMPLE_WEBHOOK_ID,
            f"{what.event_id}-{timestamp()}",
            at,
            body,
            f"https://api.paypal.com/v1/notifications/certs/{CERTIFICATE}",
        )

"""The three protocols from the rail's side: what an honest rail answers, and what it has then done."""

import hmac
import json
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from Crypto.PublicKey import RSA

from weekclose.simulator.record import Kept, Order, Payment, Record

AMOUNT = re.compile(r"[0-9]{1,16}\.[0-9]{2}", re.ASCII)
TOKEN = "simulated-access-token"  # noqa: S105, nobody's
CERTIFICATE = "CERT-simulated"


@dataclass(frozen=True)
class Request:
    """One call; `refuse` is what an armed fault wants refused, None for nothing."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    refuse: tuple[str, ...] | None = None

    @classmethod
    def of(cls, method: str, target: str, headers: Mapping[str, str], body: bytes) -> "Request":
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return cls(method, unquote(parts.path), query, headers, body)

    def json(self) -> dict[str, Any]:
        try:
            said = json.loads(self.body)
        except ValueError:
            said = None
        return said if isinstance(said, dict) else {}

    @property
    def hash(self) -> str:
        return sha256(self.body).hexdigest()


@dataclass(frozen=True)
class Reply:
    """`touched` are the payments that the request brought about."""

    status: int
    content: dict[str, Any] | str
    headers: dict[str, str] = field(default_factory=dict)
    touched: tuple[Payment, ...] = ()


Handler = Callable[[Record, Request, re.Match[str]], Reply]


@dataclass(frozen=True)
class Route:
    protocol: str
    operation: str
    method: str
    path: re.Pattern[str]
    handler: Handler


def route(method: str, path: str) -> tuple[Route, re.Match[str]] | None:
    for each in ROUTES:
        found = each.path.fullmatch(path)
        if found and each.method == method:
            return each, found
    return None


def admits(protocol: str, operation: str, headers: Mapping[str, str], key: str | None) -> bool:
    """Whether the caller shows the key; without one that was set any will do."""
    if protocol == "halfin":
        given = headers.get("x-api-key", "")
    elif protocol == "batch" or operation != "token":
        given = headers.get("authorization", "").removeprefix("Bearer ")
        key = TOKEN if protocol == "paypal" else key
    else:
        try:
            given = b64decode(headers.get("authorization", "").removeprefix("Basic ")).decode()
        except ValueError:
            given = ""
    if operation == "certificate":
        return True
    return bool(given) if key is None else hmac.compare_digest(given.encode(), key.encode())


def key_of(protocol: str, request: Request) -> str:
    """The idempotency key of a submission, wherever the protocol has it."""
    if protocol == "batch":
        return request.headers.get("idempotency-key", "")
    said = request.json()
    header = said.get("sender_batch_header", {})
    return str(said.get("idempotency_key") if protocol == "halfin" else header.get("sender_batch_id"))


def payout_of(protocol: str, request: Request) -> str | None:
    """The payout number of a halfin creation."""
    if protocol != "halfin" or request.method != "POST":
        return None
    return str(request.json().get("idempotency_key", "")).rpartition(".")[0] or None


# batch


def _batch_submit(record: Record, request: Request, _: re.Match[str]) -> Reply:
    said, key = request.json(), request.headers.get("idempotency-key", "")
    kept = record.kept("batch", key)
    if kept:
        if kept.body_hash != request.hash:
            return Reply(422, _error("idempotency_key_reused", "this key was sent with another body"))
        status = 200 if kept.status == 201 else kept.status
        return Reply(status, kept.answer, {"Idempotent-Replayed": "true"})
    offenders = _batch_faults(said, key)
    if offenders is None:
        offenders = _asked_for(request, said)
    if offenders is not None:
        return Reply(400, _error("batch_refused", "the batch was refused as a whole", offenders))
    batch_id = record.next_batch_id()
    orders = [
        Order(item["reference"], item["amount"], item["currency"], item["destination"])
        for item in said["items"]
    ]
    touched = record.take_on("batch", batch_id, said["reference"], orders, "processing")
    receipt = _batch_receipt(batch_id, touched)
    record.keep("batch", key, Kept(request.hash, batch_id, 201, receipt))
    return Reply(201, receipt, touched=tuple(touched))


def _batch_faults(said: dict[str, Any], key: str) -> list[dict[str, str]] | None:
    items = said.get("items")
    if not isinstance(items, list) or not items or said.get("idempotency_key") != key or not key:
        return []
    bad = [item for item in items if not AMOUNT.fullmatch(str(item["amount"]) or "")]
    bad += [item for item in items if not isinstance(item["amount"], str) or Decimal(item["amount"]) <= 0]
    if bad:
        return [{"reference": item["reference"], "code": "invalid_amount"} for item in bad]
    counted = Counter(item["reference"] for item in items)
    if max(counted.values()) > 1:
        return [{"reference": name, "code": "repeated"} for name, times in counted.items() if times > 1]
    sums = {each["currency"]: Decimal(each["amount"]) for each in said.get("totals", [])}
    agrees = (said.get("item_count"), sums) == (len(items), _sums(items))
    return None if agrees else []


def _batch_look_up(record: Record, request: Request, found: re.Match[str]) -> Reply:
    payments = record.payments(protocol="batch", batch_reference=found[1])
    if not payments:
        return Reply(404, _error("not_found", "no such batch"))
    first = [payment for payment in payments if payment.batch_id == payments[0].batch_id]
    states = [
        {
            "reference": payment.reference,
            "status": payment.status,
            "final": payment.final,
            "amount": payment.told_amount,
            "external_reference": payment.external_reference,
            "failure_code": payment.failure_code,
            "failure_reason": payment.failure_reason,
            "updated_at": payment.updated_at,
        }
        for payment in first
    ]
    return Reply(200, _batch_receipt(first[0].batch_id, first) | {"items": states})


def _batch_receipt(batch_id: str, payments: Sequence[Payment]) -> dict[str, Any]:
    sums = _sums([{"currency": each.currency, "amount": each.amount} for each in payments])
    return {
        "id": batch_id,
        "reference": payments[0].batch_reference,
        "status": "accepted",
        "item_count": len(payments),
        "totals": [{"currency": currency, "amount": str(total)} for currency, total in sorted(sums.items())],
    }


def _sums(items: Sequence[Mapping[str, str]]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for item in items:
        sums[item["currency"]] = sums.get(item["currency"], Decimal()) + Decimal(item["amount"])
    return sums


def _error(code: str, message: str, items: list[dict[str, str]] | None = None) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "items": items or []}}


def _asked_for(request: Request, said: dict[str, Any]) -> list[dict[str, str]] | None:
    """The offenders that an armed `refuse` names, else the first item."""
    if request.refuse is None:
        return None
    references = request.refuse or (said["items"][0]["reference"],)
    return [{"reference": reference, "code": "destination_refused"} for reference in references]


# halfin


def _halfin_create(record: Record, request: Request, _: re.Match[str]) -> Reply:
    said = request.json()
    key = str(said.get("idempotency_key", ""))
    kept = record.kept("halfin", key)
    if kept:
        if kept.status >= 500:
            return Reply(kept.status, kept.answer, {"Idempotent-Replayed": "true"})
        if kept.body_hash != request.hash:
            return Reply(409, _halfin_error("idempotency_mismatch", "this key was sent with another body"))
        return Reply(200, _halfin_data(record.payments(payment_id=int(kept.batch_id))[0]))
    amount, needed = said.get("amount"), ("currency", "destination", "idempotency_key")
    if not isinstance(amount, str) or not AMOUNT.fullmatch(amount) or not all(map(said.get, needed)):
        return Reply(400, _halfin_error("validation_error", "the payout cannot be read"))
    if request.refuse is not None:
        return Reply(400, _halfin_error("destination_refused", "nothing goes there"))
    order = Order(payout_of("halfin", request) or "", amount, said["currency"], said["destination"], key)
    reference = str(said.get("metadata", {}).get("batch", ""))
    payment = record.take_on("halfin", reference, reference, [order], "pending_approval")[0]
    record.keep("halfin", key, Kept(request.hash, str(payment.payment_id), 201, {}))
    return Reply(201, _halfin_data(payment), touched=(payment,))


def _halfin_list(record: Record, request: Request, _: re.Match[str]) -> Reply:
    limit = min(100, int(request.query.get("limit", 20)))
    offset = int(request.query.get("offset", 0))
    payments = record.payments(protocol="halfin")[::-1]
    page = [halfin_payout(payment) for payment in payments[offset : offset + limit]]
    shown = {
        "total": len(payments),
        "limit": limit,
        "offset": offset,
        "has_more": offset + limit < len(payments),
    }
    return Reply(200, {"data": page, "pagination": shown, "meta": {"request_id": "req_1"}})


def _halfin_get(record: Record, request: Request, found: re.Match[str]) -> Reply:
    payments = record.payments(protocol="halfin", payment_id=int(found[1]))
    return Reply(200, _halfin_data(payments[0])) if payments else _halfin_unknown()


def _halfin_cancel(record: Record, request: Request, found: re.Match[str]) -> Reply:
    payments = record.payments(protocol="halfin", payment_id=int(found[1]))
    if not payments:
        return _halfin_unknown()
    if payments[0].status == "pending_approval":
        return Reply(200, _halfin_data(record.move(payments[0], "cancelled")))
    return Reply(409, _halfin_error("not_cancellable", f"the payout is {payments[0].status}"))


def _halfin_unknown() -> Reply:
    return Reply(404, _halfin_error("not_found", "no such payout"))


def _halfin_error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "details": []}, "meta": {"request_id": "req_1"}}


def _halfin_data(payment: Payment) -> dict[str, Any]:
    return {"data": halfin_payout(payment), "meta": {"request_id": "req_1"}}


def halfin_payout(payment: Payment) -> dict[str, Any]:
    """A payout as the provider shows it, in answers and in webhooks."""
    over = payment.status in ("completed", "failed")
    return {
        "id": payment.rail_id,
        "currency": payment.currency,
        "network": payment.currency.partition("_")[2],
        "amount": payment.told_amount,
        "network_fee": "0.00",
        "fee_amount": "0.00",
        "destination": payment.destination,
        "status": payment.status,
        "environment": "test",
        "tx_hash": payment.external_reference,
        "idempotency_key": payment.idempotency_key,
        "executable_at": None,
        "completed_at": payment.updated_at if over else None,
        "created_at": payment.created_at,
    }


# paypal


def _paypal_token(record: Record, request: Request, _: re.Match[str]) -> Reply:
    return Reply(200, {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 32400})


def _paypal_submit(record: Record, request: Request, _: re.Match[str]) -> Reply:
    said = request.json()
    key = str(said.get("sender_batch_header", {}).get("sender_batch_id", ""))
    kept = record.kept("paypal", key)
    if kept and kept.status >= 500:
        return Reply(kept.status, kept.answer)
    if kept:
        issue = {
            "field": "SENDER_BATCH_ID",
            "location": "body",
            "issue": "Batch with given sender_batch_id already exists",
            "link": [{"href": f"/v1/payments/payouts/{kept.batch_id}", "rel": "self", "method": "GET"}],
        }
        return Reply(400, _paypal_error("USER_BUSINESS_ERROR", "User business error.", [issue]))
    items = said.get("items")
    if not key or not isinstance(items, list) or not 0 < len(items) <= 15_000:
        return Reply(400, _paypal_error("VALIDATION_ERROR", "Invalid request - see details.", []))
    wrong = [
        {"field": f"items[{place}].receiver", "issue": "RECEIVER_REFUSED"}
        for place, item in enumerate(items)
        if request.refuse is not None
        and (item["sender_item_id"] in request.refuse or (not request.refuse and place == 0))
    ]
    if wrong:
        return Reply(400, _paypal_error("VALIDATION_ERROR", "Invalid request - see details.", wrong))
    batch_id = record.next_batch_id()
    orders = [
        Order(item["sender_item_id"], item["amount"]["value"], item["amount"]["currency"], item["receiver"])
        for item in items
    ]
    touched = record.take_on("paypal", batch_id, key, orders, "processing")
    header = {
        "payout_batch_id": batch_id,
        "batch_status": "PENDING",
        "sender_batch_header": {"sender_batch_id": key},
    }
    record.keep("paypal", key, Kept(request.hash, batch_id, 201, {}))
    return Reply(201, {"batch_header": header, "links": []}, touched=tuple(touched))


def _paypal_look_up(record: Record, request: Request, found: re.Match[str]) -> Reply:
    payments = record.payments(protocol="paypal", batch_id=found[1])
    if not payments:
        return Reply(404, _paypal_error("RESOURCE_NOT_FOUND", "no such batch", []))
    size, page = int(request.query.get("page_size", 1000)), int(request.query.get("page", 1))
    open_items = any(payment.status == "processing" for payment in payments)
    return Reply(
        200,
        {
            "batch_header": {
                "payout_batch_id": found[1],
                "batch_status": "PROCESSING" if open_items else "SUCCESS",
                "sender_batch_header": {"sender_batch_id": payments[0].batch_reference},
            },
            "items": [paypal_item(payment) for payment in payments[(page - 1) * size : page * size]],
            "total_items": len(payments),
            "total_pages": -(-len(payments) // size),
        },
    )


def _paypal_certificate(record: Record, request: Request, found: re.Match[str]) -> Reply:
    if found[1] != CERTIFICATE:
        return Reply(404, _paypal_error("RESOURCE_NOT_FOUND", "no such certificate", []))
    return Reply(200, RSA.import_key(private_key(record)).public_key().export_key().decode())


def private_key(record: Record) -> str:
    """The key that the simulated PayPal signs with; made once, then kept in the record."""
    with record.transaction():
        key = record.note("private_key")
        if key is None:
            key = RSA.generate(2048).export_key().decode()
            record.set_note("private_key", key)
    return key


def paypal_item(payment: Payment) -> dict[str, Any]:
    """An item as PayPal shows it, in answers and in webhooks."""
    words = {"processing": "PENDING", "completed": "SUCCESS", "failed": "FAILED", "returned": "RETURNED"}
    return {
        "payout_item_id": payment.rail_id,
        "transaction_id": payment.external_reference,
        "transaction_status": words[payment.status],
        "payout_batch_id": payment.batch_id,
        "sender_batch_id": payment.batch_reference,
        "payout_item": {
            "recipient_type": "EMAIL",
            "amount": {"currency": payment.currency, "value": payment.told_amount},
            "receiver": payment.destination,
            "sender_item_id": payment.reference,
        },
        "errors": {"name": payment.failure_code, "message": payment.failure_reason}
        if payment.failure_code
        else None,
        "time_processed": payment.updated_at,
    }


def _paypal_error(name: str, message: str, details: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "message": message, "debug_id": "simulated", "details": details}


def _route(protocol: str, operation: str, method: str, path: str, handler: Handler) -> Route:
    return Route(protocol, operation, method, re.compile(path, re.ASCII), handler)


ROUTES = (
    _route("batch", "submit", "POST", "/v1/payout-batches", _batch_submit),
    _route("batch", "look_up", "GET", "/v1/payout-batches/(.+)", _batch_look_up),
    _route("halfin", "submit", "POST", "/api/v1/payouts", _halfin_create),
    _route("halfin", "look_up", "GET", "/api/v1/payouts", _halfin_list),
    _route("halfin", "look_up", "GET", "/api/v1/payouts/po_([0-9]{1,9})", _halfin_get),
    _route("halfin", "cancel", "POST", "/api/v1/payouts/po_([0-9]{1,9})/cancel", _halfin_cancel),
    _route("paypal", "token", "POST", "/v1/oauth2/token", _paypal_token),
    _route("paypal", "submit", "POST", "/v1/payments/payouts", _paypal_submit),
    _route("paypal", "look_up", "GET", "/v1/payments/payouts/([0-9A-Za-z]+)", _paypal_look_up),
    _route("paypal", "certificate", "GET", "/v1/notifications/certs/(.+)", _paypal_certificate),
)

"""`halfin`: a call for each payout, made atomic by creating all of them before a person releases any.

Not tried against the real service: how it names tokens and networks in `currency`, in which order it lists
payouts, how long it keeps a key (a day is assumed), its error codes (only the HTTP status is believed), and
whether an event's data is the whole payout (its `idempotency_key` says which of ours it is).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from hashlib import sha256
from typing import Any, ClassVar, TypeVar
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
from weekclose.rails.signatures import verify_halfin
from weekclose.rails.transport import Transport, unclear, unreadable

CALLS_PER_MINUTE = 300
CONCURRENT_CALLS = 8
PAGE = 100

# A dollar is paid as the dollar token that the network's wallets hold.
TOKENS = {
    ("USD", "TRC-20"): "USDT_TRC20",
    ("USD", "ERC-20"): "USDC_ERC20",
    ("USD", "SPL"): "USDC_SPL",
    ("EUR", "ERC-20"): "EURC_ERC20",
    ("EUR", "SPL"): "EURC_SPL",
    ("USDT", "TRC-20"): "USDT_TRC20",
    ("USDT", "ERC-20"): "USDT_ERC20",
    ("USDT", "SPL"): "USDT_SPL",
    ("USDC", "ERC-20"): "USDC_ERC20",
    ("USDC", "SPL"): "USDC_SPL",
}
STATES: dict[str, Status] = {
    "pending_approval": "processing",
    "approved": "processing",
    "processing": "processing",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "failed",
}
FINAL = ("completed", "failed", "cancelled")
# What a person has released cannot be taken back.
UNRELEASED = ("pending_approval", "approved")
RELEASED = ("processing", "completed")
EVENTS: dict[str, Status] = {"payout.completed": "completed", "payout.failed": "failed", "test": "processing"}

_ITEM_KEY = re.compile(r"(.{1,180})\.[0-9a-f]{64}", re.ASCII)

Progress = Callable[[str], None]
_Payout = dict[str, Any]
_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


@dataclass(frozen=True)
class HalfinRail:
    """The adapter; `transport` is to hold the provider's rolling limit of `CALLS_PER_MINUTE`."""

    transport: Transport
    key: str = field(repr=False)
    webhook_secrets: Sequence[str] = field(repr=False)
    max_processing_seconds: int = 120
    progress: Progress = field(default=lambda message: None, repr=False)

    name: ClassVar[str] = "halfin"
    mode: ClassVar[Mode] = "fan_out"
    proves_content: ClassVar[bool] = True
    key_retention: ClassVar[timedelta] = timedelta(days=1)
    max_items_per_call: ClassVar[int] = 1

    def encode(self, batch: Batch) -> bytes:
        """A line for each payout, by payout number."""
        items = sorted(batch.items, key=lambda item: item.reference)
        return b"\n".join(_body(batch, item) for item in items)

    def submit(self, batch: Batch) -> Receipt | Refusal:
        """Create what is missing; if one is refused, or was cancelled, take all of them back.

        What the provider lists already is not sent again: that holds even when it has forgotten a key.
        """
        items = _by_key(batch)
        bodies = dict(zip(items, batch.body.split(b"\n"), strict=True))
        payouts = self._listed(batch)
        missing = [key for key in items if key not in payouts]

        def create(key: str) -> _Payout | Offender:
            return self._create(key, items[key], bodies[key])

        offenders: list[Offender] = []
        for key, made in zip(missing, self._in_parallel(create, missing, "created"), strict=True):
            if isinstance(made, Offender):
                offenders.append(made)
            else:
                payouts[key] = made
        there = [(items[key], payouts[key]) for key in items if key in payouts]
        gone = [Offender(item.reference, "cancelled") for item, it in there if it["status"] == "cancelled"]
        if not offenders and not gone:
            return _receipt(batch, payouts)
        self._take_back(batch, [payout for _, payout in there])
        if offenders:
            return Refusal("items_refused", f"{len(offenders)} payouts were refused", tuple(offenders))
        return Refusal("items_cancelled", f"{len(gone)} payouts were cancelled", tuple(gone))

    def look_up(self, batch: Batch) -> BatchState | NotThere:
        """Without a receipt, only a batch whose every payout exists and none is cancelled is there."""
        payouts = self._listed(batch)
        cancelled = any(payout["status"] == "cancelled" for payout in payouts.values())
        whole = len(payouts) == batch.item_count and not cancelled
        if not payouts or not (whole or batch.rail_batch_id):
            return NotThere()
        items = _by_key(batch)
        states = (_state(items[key].reference, payouts[key]) for key in items if key in payouts)
        return BatchState(_receipt(batch, payouts), tuple(states))

    def verify(self, headers: Mapping[str, str], raw_body: bytes) -> RailEvent:
        verify_halfin(self.webhook_secrets, headers, raw_body, datetime.now(UTC))
        try:
            return _event(wire.read_object(raw_body))
        except wire.Malformed as error:
            raise EventMalformed(f"webhook: {error}") from None

    def _create(self, key: str, item: Item, body: bytes) -> _Payout | Offender:
        what = f"payout {item.reference}"
        answer = self.transport.post("/v1/payouts", self._headers(), body)
        try:
            if answer.status in (200, 201):
                return _checked(wire.one_object(answer.read(), "data"), key, item)
            if answer.status in (400, 422):
                code = wire.text(wire.one_object(answer.read(), "error"), "code")
                if "idempotency" not in code:
                    return Offender(item.reference, code)
                raise Unclear(f"{what}: the rail has seen its key with another body; a person has to look")
            if answer.status >= 500 and answer.replayed:  # and it was not in the list
                return Offender(item.reference, "replayed_error")
        except wire.Malformed as error:
            raise unreadable(what, answer, error) from None
        raise unclear(what, answer)

    def _take_back(self, batch: Batch, payouts: Sequence[_Payout]) -> None:
        """Cancel what waits for a person's release. Nothing is cancelled once something was released."""
        for payout in payouts:
            if payout["status"] in RELEASED:
                raise _released_too_early(batch, payout)
        waiting = {payout["id"]: payout for payout in payouts if payout["status"] in UNRELEASED}
        self._in_parallel(lambda each: self._cancel(batch, waiting[each]), list(waiting), "cancelled")

    def _cancel(self, batch: Batch, payout: _Payout) -> None:
        path = f"/v1/payouts/{quote(payout['id'], safe='')}"
        what = f"cancelling payout {_payout_number(payout['idempotency_key'])}"
        answer = self.transport.post(f"{path}/cancel", self._headers(), b"{}")
        if answer.status in (400, 409, 422):  # it has moved on: where to?
            answer = self.transport.get(path, self._headers())
        if answer.status != 200:
            raise unclear(what, answer)
        try:
            now = wire.one_object(answer.read(), "data")
            if wire.text(now, "status") in RELEASED:
                raise _released_too_early(batch, payout | now)
            if wire.text(now, "status") not in ("cancelled", "failed"):
                raise wire.Malformed("it is not cancelled")
        except wire.Malformed as error:
            raise unreadable(what, answer, error) from None

    def _in_parallel(self, call: Callable[[_Given], _Made], each: Sequence[_Given], done: str) -> list[_Made]:
        """The calls' results in order. The first exception ends it, once the running calls are through."""
        with ThreadPoolExecutor(CONCURRENT_CALLS) as pool:
            waiting = [pool.submit(call, one) for one in each]
            made: list[_Made] = []
            try:
                for one in waiting:
                    made.append(one.result())
                    self.progress(f"{len(made):,} of {len(each):,} payouts {done}")
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
            return made

    def _listed(self, batch: Batch) -> dict[str, _Payout]:
        """What the provider has of this batch, by key: a question that creates nothing, unlike a repeat.

        Pages are read until the last one, or until they are seen to go back beyond the batch's window.
        Raises Unclear when a payout is there twice.
        """
        items = _by_key(batch)
        found: dict[str, _Payout] = {}
        oldest = datetime.combine(batch.payout_window, time(), UTC) - timedelta(days=1)
        offset = 0
        while True:
            page, has_more = self._page(offset)
            for payout in page:
                key = payout.get("idempotency_key")
                if key in items:
                    _keep(found, key, _checked(payout, key, items[key]))
            if not has_more or not page or _ends_before(page, oldest):
                return found
            offset += len(page)

    def _page(self, offset: int) -> tuple[list[_Payout], bool]:
        what = "list of payouts"
        answer = self.transport.get(f"/v1/payouts?limit={PAGE}&offset={offset}", self._headers())
        if answer.status != 200:
            raise unclear(what, answer)
        try:
            said = answer.read()
            return wire.objects(said, "data"), wire.flag(wire.one_object(said, "pagination"), "has_more")
        except wire.Malformed as error:
            raise unreadable(what, answer, error) from None

    def _headers(self) -> dict[str, str]:
        return {"X-API-Key": self.key, "Content-Type": "application/json"}


def item_key(batch_key: str, payout_number: str) -> str:
    """The key of one payout. The number stands in front, so that an event can be told whose it is."""
    return f"{payout_number}.{sha256(f'{batch_key}:{payout_number}'.encode()).hexdigest()}"


def _payout_number(key: str) -> str:
    return key.rpartition(".")[0]


def _by_key(batch: Batch) -> dict[str, Item]:
    """The items in the order of the body's lines."""
    items = sorted(batch.items, key=lambda item: item.reference)
    return {item_key(batch.idempotency_key, item.reference): item for item in items}


def _body(batch: Batch, item: Item) -> bytes:
    return wire.write(
        {
            "currency": _token(item),
            "amount": wire.decimal_text(item.amount),
            "destination": item.destination,
            "description": f"{batch.reference} {item.reference}",
            "metadata": {"batch": batch.reference, "payout": item.reference, "seller_id": item.seller_id},
            "idempotency_key": item_key(batch.idempotency_key, item.reference),
        }
    )


def _token(item: Item) -> str:
    token = TOKENS.get((item.currency, item.rail))
    if token is None:
        raise Refused(f"payout {item.reference}: halfin pays no {item.currency} on {item.rail}")
    return token


def _checked(payout: _Payout, key: str, item: Item) -> _Payout:
    """The payout, whose parts can now be trusted to be there. Raises Malformed."""
    wire.text(payout, "id")
    wire.amount(payout, "amount")
    if wire.text(payout, "status") not in STATES:
        raise wire.Malformed("the status of a payout is not known")
    if wire.text(payout, "idempotency_key") != key or wire.text(payout, "currency") != _token(item):
        raise wire.Malformed("it is about another payout")
    return payout


def _keep(found: dict[str, _Payout], key: str, payout: _Payout) -> None:
    other = found.get(key)
    if other is None or other["id"] == payout["id"] or other["status"] == "cancelled":
        found[key] = payout
    elif payout["status"] != "cancelled":
        raise Unclear(
            f"payout {_payout_number(key)} is there twice, as {other['id']} and {payout['id']}: "
            "cancel one of them in the provider's dashboard"
        )


def _ends_before(page: Sequence[_Payout], oldest: datetime) -> bool:
    """Whether a page that runs from new to old has passed `oldest`; a page in another order never has."""
    made = [wire.instant(payout, "created_at") for payout in page]
    return made == sorted(made, reverse=True) and made[-1] < oldest


def _released_too_early(batch: Batch, payout: _Payout) -> Unclear:
    number = _payout_number(payout["idempotency_key"])
    return Unclear(
        f"batch {batch.reference} cannot be taken back: payout {number} is {payout['status']}, "
        "somebody has released it before the batch was complete"
    )


def _receipt(batch: Batch, payouts: Mapping[str, _Payout]) -> Receipt:
    """The provider knows no batch: its id is our reference, its totals are those of the payouts."""
    items = _by_key(batch)
    sums = totals((items[key].currency, wire.amount(payout, "amount")) for key, payout in payouts.items())
    return Receipt(batch.reference, len(payouts), sums)


def _state(reference: str, payout: _Payout) -> ItemState:
    failed = STATES[payout["status"]] == "failed"
    return ItemState(
        reference=reference,
        status=STATES[payout["status"]],
        final=payout["status"] in FINAL,
        amount=wire.amount(payout, "amount"),
        external_reference=wire.optional_text(payout, "tx_hash"),
        failure_code=payout["status"] if failed else None,
        failure_reason=None,
        updated_at=wire.optional_instant(payout, "completed_at"),
    )


def _event(said: dict[str, Any]) -> RailEvent:
    event_type, data = wire.text(said, "event"), wire.one_object(said, "data")
    status = EVENTS.get(event_type)
    about_payout = status not in (None, "processing")
    payout_id = wire.text(data, "id") if about_payout else wire.optional_text(data, "id")
    key = _ITEM_KEY.fullmatch(wire.optional_text(data, "idempotency_key") or "")
    return RailEvent(
        # There is no event id: a payout completes once and fails once.
        event_id=f"{event_type}:{payout_id}",
        event_type=event_type,
        status=status,
        payout=key[1] if key else None,
        amount=wire.amount(data, "amount") if about_payout else None,
        currency=None,
        external_reference=wire.optional_text(data, "tx_hash"),
        failure_code="failed" if status == "failed" else None,
        failure_reason=None,
        occurred_at=wire.instant(said, "created_at"),
    )

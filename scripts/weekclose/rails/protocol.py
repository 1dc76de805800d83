"""What a payment rail is to us: a batch goes in once, and what became of it can be asked and is told."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal, Protocol

from weekclose.errors import OutcomeUnknown, WeekcloseError

Mode = Literal["native_batch", "fan_out"]
Status = Literal["processing", "completed", "failed", "returned"]

# The rail on which a person pays, and nothing is sent.
BY_HAND = "MANUAL"


@dataclass(frozen=True, slots=True)
class Item:
    """One payout: `reference` is its payout number, `rail` the network on which `destination` lives."""

    reference: str
    seller_id: str
    amount: Decimal
    currency: str
    rail: str
    destination: str


@dataclass(frozen=True)
class Batch:
    """What leaves together. `body` is what `Rail.encode` made of the rest, stored and then sent as it stands.

    `rail_batch_id` is that of the receipt, None as long as no receipt was taken.
    """

    reference: str
    payout_window: date
    idempotency_key: str
    items: tuple[Item, ...]
    body: bytes = b""
    rail_batch_id: str | None = None

    @property
    def item_count(self) -> int:
        return len(self.items)

    @property
    def totals(self) -> dict[str, Decimal]:
        """Per currency; currencies are never added together."""
        return totals((item.currency, item.amount) for item in self.items)


@dataclass(frozen=True)
class Receipt:
    """What the rail said it took on: compared with what we sent before anything is believed."""

    rail_batch_id: str
    item_count: int
    totals: dict[str, Decimal]

    def matches(self, batch: Batch) -> bool:
        return (self.item_count, self.totals) == (batch.item_count, batch.totals)


@dataclass(frozen=True)
class Offender:
    """An item because of which the rail refused the batch."""

    reference: str
    code: str


@dataclass(frozen=True)
class Refusal:
    """A definite no: nothing of the batch is or will be paid. `offenders` is empty if it was the whole."""

    code: str
    message: str
    offenders: tuple[Offender, ...] = ()


@dataclass(frozen=True)
class ItemState:
    """Where one payout stands at the rail; only a `final` state may be believed against the books.

    `updated_at` is an instant in UTC, None where the rail does not say.
    """

    reference: str
    status: Status
    final: bool
    amount: Decimal
    external_reference: str | None = None
    failure_code: str | None = None
    failure_reason: str | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True)
class BatchState:
    """The rail knows the batch: the receipt it would give for it now, and each item."""

    receipt: Receipt
    items: tuple[ItemState, ...]


@dataclass(frozen=True)
class NotThere:
    """The rail does not have the batch as a whole: sending the same bytes with the same key is right.

    That is a definite answer. A fan-out rail may hold a part of the batch, which sending completes (or takes
    back); a rail that can only be asked by sending refuses what it already has.
    """


@dataclass(frozen=True)
class RailEvent:
    """What a webhook says, verified but still only a hint.

    `event_id` is the same in every delivery of the same event. `status` is None for a type we do not know;
    `processing` says nothing that would change a payout. `payout` is the payout number, None for news of
    something else. `currency` is None where the rail names a token and not the settlement currency.
    `occurred_at` is an instant in UTC.
    """

    event_id: str
    event_type: str
    status: Status | None
    payout: str | None
    amount: Decimal | None
    currency: str | None
    external_reference: str | None
    failure_code: str | None
    failure_reason: str | None
    occurred_at: datetime | None


class Unclear(OutcomeUnknown):
    """The rail's answer says nothing definite. `retry_after` is how many seconds it asked us to wait."""

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SignatureInvalid(WeekcloseError):
    """A webhook is not shown to be the rail's: 401, and nothing is kept of it."""


class EventMalformed(WeekcloseError):
    """A webhook is the rail's and cannot be read: 422, and nothing is kept of it."""


class Rail(Protocol):
    """An adapter. It keeps nothing: after a crash another instance goes on with the same batch."""

    @property
    def name(self) -> str: ...

    @property
    def mode(self) -> Mode:
        """Whether a batch is one call (`native_batch`) or a call for each item (`fan_out`)."""

    @property
    def proves_content(self) -> bool:
        """Whether a webhook's signature covers its content, so that a completed payment may be believed."""

    @property
    def key_retention(self) -> timedelta:
        """How long the rail remembers an idempotency key."""

    @property
    def max_processing_seconds(self) -> int:
        """After so many seconds a request is no longer inside the rail, whoever sent it."""

    @property
    def max_items_per_call(self) -> int: ...

    def encode(self, batch: Batch) -> bytes:
        """The bodies of the calls, one a line; the same for the same batch. Raises Refused for an item that
        this rail has no way to pay."""

    def submit(self, batch: Batch) -> Receipt | Refusal:
        """Send `batch.body`; right to repeat within `key_retention`. Raises OutcomeUnknown."""

    def look_up(self, batch: Batch) -> BatchState | NotThere:
        """Ask what became of the batch; never moves money. Raises OutcomeUnknown."""

    def verify(self, headers: Mapping[str, str], raw_body: bytes) -> RailEvent:
        """The event in a webhook. Raises SignatureInvalid or EventMalformed, OutcomeUnknown if the rail has
        to be asked for its certificate and does not answer, and nothing else."""


def totals(amounts: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    """The sum of (currency, amount) pairs per currency."""
    of_currency: defaultdict[str, list[Decimal]] = defaultdict(list)
    for currency, amount in amounts:
        of_currency[currency].append(amount)
    return {currency: sum(found, Decimal()) for currency, found in of_currency.items()}

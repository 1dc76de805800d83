"""The three adapters before a simulated rail of their own, over real HTTP."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from Crypto.PublicKey import RSA

from weekclose.rails.batch import BatchRail
from weekclose.rails.halfin import HalfinRail
from weekclose.rails.paypal import PayPalRail
from weekclose.rails.protocol import Batch, Item, Rail
from weekclose.rails.transport import Transport
from weekclose.simulator.faults import Fault
from weekclose.simulator.protocols import Request, Route
from weekclose.simulator.rail import Plan, SimulatedRail
from weekclose.simulator.server import Simulator
from weekclose.simulator.webhooks import SAMPLE_SECRET, SAMPLE_WEBHOOK_ID

ADAPTERS = ("batch", "halfin", "paypal")
KEY = "client-id:secret-canary"
# Long enough for a busy machine, and for a rail that never answers no longer than needed.
READ_TIMEOUT, SILENCE = 10.0, 0.5


def adapter_for(
    protocol: str, url: str, read_timeout: float, sleep: Callable[[float], None], **options: Any
) -> Rail:
    """An adapter before a simulated rail, as another process would make it."""
    transport = Transport(url, loopback=True, read_timeout=read_timeout, sleep=sleep)
    if protocol == "halfin":
        return HalfinRail(transport, KEY, [SAMPLE_SECRET], **options)
    if protocol == "paypal":
        return PayPalRail(transport, KEY, [SAMPLE_WEBHOOK_ID], **options)
    return BatchRail(transport, KEY, [SAMPLE_SECRET], **options)


@dataclass(frozen=True)
class Bench:
    """A rail, its simulator, the seconds that the adapter was made to wait (it does not really), and every
    request that reached the rail."""

    protocol: str
    simulator: Simulator
    pauses: list[float]
    requests: list[Request]

    @property
    def rail(self) -> SimulatedRail:
        return self.simulator.rail

    def adapter(self, read_timeout: float = READ_TIMEOUT, **options: Any) -> Rail:
        """Another process, so to say: nothing is kept between adapters."""
        url = self.simulator.rail_url(self.protocol)
        return adapter_for(self.protocol, url, read_timeout, self.pauses.append, **options)

    def batch(self, count: int = 5, generation: int = 1) -> Batch:
        """A batch as it is stored before it leaves: 10.00, 10.01, ... USD and one of 7.50 EUR."""
        items = tuple(self._item(number) for number in range(1, count + 1))
        made = Batch(
            reference=f"W2026-11-01-G{generation}",
            payout_window=date(2026, 11, 1),
            idempotency_key=f"{generation:064x}",
            items=items,
        )
        return replace(made, body=self.adapter().encode(made))

    def _item(self, number: int) -> Item:
        euro = number == 1
        return Item(
            reference=f"JPO{number:07d}",
            seller_id=f"s{number}",
            amount=Decimal("7.50") if euro else Decimal("10.00") + Decimal(number) / 100,
            currency="EUR" if euro else "USD",
            rail="ERC-20",
            destination=f"seller{number}@example.com",
        )

    def arm(self, fault: str, **details: Any) -> None:
        self.rail.faults.arm(Fault(fault, **details))

    def sent(self) -> list[bytes]:
        """The bodies of the submissions that reached the rail, whatever became of them."""
        found = ((self.rail.find(request), request.body) for request in self.requests)
        return [body for route, body in found if route and route.operation == "submit"]

    def paid(self) -> dict[str, int]:
        """How many live payments the rail's own record has for each payout."""
        counted: dict[str, int] = {}
        for payment in self.rail.payments():
            if payment.status in ("pending_approval", "processing", "completed"):
                counted[payment.reference] = counted.get(payment.reference, 0) + 1
        return counted


@cache
def _private_key() -> str:
    """Making one takes a second."""
    return RSA.generate(2048).export_key().decode()


@contextmanager
def bench(protocol: str, directory: Path, plan: Plan | None = None) -> Iterator[Bench]:
    """A simulator with a record of its own in `directory`."""
    with Simulator(directory / "rail.sqlite", plan or Plan()) as simulator:
        if protocol == "paypal":
            simulator.rail.record.set_note("private_key", _private_key())
        yield Bench(protocol, simulator, [], _noted(simulator.rail))


def _noted(rail: SimulatedRail) -> list[Request]:
    """A list that every request of the rail will be in."""
    requests: list[Request] = []
    fault_for = rail.fault_for

    def note(where: Route, request: Request) -> Fault | None:
        requests.append(request)
        return fault_for(where, request)

    rail.fault_for = note  # type: ignore[method-assign]
    return requests

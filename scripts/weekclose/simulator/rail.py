"""The simulated rail behind its HTTP: requests meet their faults, payments move, the platform is told."""

import json
import threading
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

from weekclose.simulator.faults import Fault, Faults
from weekclose.simulator.protocols import AMOUNT, Reply, Request, Route, admits, key_of, payout_of, route
from weekclose.simulator.record import Kept, Payment, Record
from weekclose.simulator.webhooks import TRIES, Delivered, Lie, Message, Sender, message

PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Plan:
    """How a simulator behaves on its own. Without `settle_after` (seconds) nothing moves unless it is told.

    `secret` signs webhooks (for paypal it is the webhook's id), `key` is the only one that callers may show,
    `fail_rate` is the share of payments that fail when they settle on their own.
    """

    seed: int = 0
    key: str | None = None
    secret: str | None = None
    webhook_url: str | None = None
    settle_after: float | None = None
    fail_rate: float = 0.0


class SimulatedRail:
    """State and behaviour; the HTTP server and the tests talk to this."""

    def __init__(self, record: Path, plan: Plan) -> None:
        self.record, self.plan = Record(record), plan
        self.faults = Faults(plan.seed)
        self.sender = Sender(self.record, plan.webhook_url, plan.secret, plan.seed)
        self.go = threading.Event()
        self.stopping = threading.Event()
        self._random = Random(plan.seed)  # noqa: S311, chance and not secrecy
        self._settler: threading.Thread | None = None
        self._inside = 0
        self._lock = threading.Lock()

    @property
    def busy(self) -> int:
        """How many requests are inside the rail: each of them may still do something."""
        return self._inside

    @contextmanager
    def inside(self) -> Iterator[None]:
        with self._lock:
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1

    def start(self) -> None:
        if self.plan.settle_after is not None:
            self._settler = threading.Thread(target=self._settle_on_its_own, daemon=True)
            self._settler.start()

    def stop(self) -> None:
        self.stopping.set()
        if self._settler:
            self._settler.join()
        self.record.close()

    # A request

    def find(self, request: Request) -> Route | None:
        found = route(request.method, request.path)
        return found[0] if found else None

    def fault_for(self, where: Route, request: Request) -> Fault | None:
        return self.faults.take(where.operation, payout_of(where.protocol, request))

    def answer(self, request: Request, fault: Fault | None) -> Reply:
        """What is answered, and done, when nothing happens to the connection."""
        found = route(request.method, request.path)
        if found is None:
            return Reply(404, {"error": {"code": "not_found", "message": "no such path"}})
        where, match = found
        if not admits(where.protocol, where.operation, request.headers, self.plan.key):
            return Reply(401, {"error": {"code": "unauthorized", "message": "the key is not known"}})
        name = fault.fault if fault else None
        if fault and name == "cached_error":
            error = {"error": {"code": "internal", "message": "an error, kept for this key"}}
            kept = Kept(request.hash, "", fault.status or 500, error)
            self.record.keep(where.protocol, key_of(where.protocol, request), kept)
            return Reply(kept.status, error)
        if name == "forget_keys":
            self.record.forget_keys()
        if fault and name == "refuse":
            request = replace(request, refuse=fault.references)
        with self.record.transaction():
            reply = where.handler(self.record, request, match)
        if name == "early_webhook":
            self.settle({payment.reference: "completed" for payment in reply.touched})
        return _miscounted(reply, str(name)) if name in ("wrong_count", "wrong_total") else reply

    # What happens to payments

    def settle(
        self,
        statuses: Mapping[str, str],
        *,
        amounts: Mapping[str, str] = MappingProxyType({}),
        final: bool = True,
        code: str | None = None,
        reason: str | None = None,
        webhooks: str = "send",
        copies: int = 1,
        signature: str = "right",
        lie: Lie = Lie(),  # noqa: B008, it is frozen
    ) -> list[Delivered]:
        """Move payments, each by its payout number; `*` stands for all that are being processed.

        `amounts`, by payout number too, leave instead of what was asked for. `webhooks`: `send` now, `keep`
        until `deliver`, or `lose`. Raises ValueError for what is not there, and for what is no amount.
        """
        if webhooks not in ("send", "keep", "lose"):
            raise ValueError(f"webhooks cannot {webhooks!r}")
        messages: list[Message] = []
        with self.record.transaction():
            meant = self._meant(statuses)
            _check_amounts(amounts, [payment for payment, _ in meant])
            for payment, status in meant:
                failed = status in ("failed", "returned")
                moved = self.record.move(
                    payment,
                    status,
                    final=final,
                    code=code or ("account_closed" if failed else None),
                    reason=reason or ("the destination cannot receive it" if failed else None),
                    amount=amounts.get(payment.reference),
                )
                told = message(moved, len(self.record.movements()), lie, signature)
                messages += [told] * copies if told else []
        if webhooks == "keep":
            self.sender.keep(messages)
        return [self.sender.send(each) for each in messages] if webhooks == "send" else []

    def _meant(self, statuses: Mapping[str, str]) -> list[tuple[Payment, str]]:
        meant: list[tuple[Payment, str]] = []
        for reference, status in statuses.items():
            if status not in ("processing", "completed", "failed", "returned"):
                raise ValueError(f"there is no status {status!r}")
            named = {"status": "processing"} if reference == "*" else {"reference": reference}
            found = [each for each in self.record.payments(**named) if each.status != "cancelled"]
            if not found and reference != "*":
                raise ValueError(f"there is no payment for {reference!r}")
            # A later generation may carry the same payout number: the newest is meant.
            meant += [(each, status) for each in (found if reference == "*" else found[-1:])]
        return meant

    def release(self, numbers: Container[str] | None = None) -> int:
        """What a person does in halfin's dashboard: what waits for approval is now processed, or what of it
        is for the payouts named."""
        with self.record.transaction():
            waiting = self.record.payments(status="pending_approval")
            meant = [payment for payment in waiting if numbers is None or payment.reference in numbers]
            for payment in meant:
                self.record.move(payment, "processing", final=False)
        return len(meant)

    def payments(self) -> list[Payment]:
        return self.record.payments()

    def _settle_on_its_own(self) -> None:
        undelivered: list[tuple[Message, int]] = []
        while not self.stopping.wait(0.2):
            undelivered = self._try_again(undelivered)
            before = datetime.now(UTC) - timedelta(seconds=self.plan.settle_after or 0)
            for payment in self.record.payments(status="processing"):
                if datetime.fromisoformat(payment.updated_at) > before or self.stopping.is_set():
                    continue
                fails = self._random.random() < self.plan.fail_rate
                moved = self.record.move(
                    payment,
                    "failed" if fails else "completed",
                    code="account_closed" if fails else None,
                    reason="the destination cannot receive it" if fails else None,
                )
                told = message(moved, len(self.record.movements()), Lie(), "right")
                if told:
                    undelivered.append((told, 0))

    def _try_again(self, undelivered: Sequence[tuple[Message, int]]) -> list[tuple[Message, int]]:
        left: list[tuple[Message, int]] = []
        for told, tries in undelivered:
            answer = self.sender.send(told).answer
            if (answer is None or not 200 <= answer < 300) and tries + 1 < TRIES:
                left.append((told, tries + 1))
        return left

    # The control endpoint

    def control(self, path: str, said: dict[str, Any]) -> object:
        """What a POST to /control/... does. Raises LookupError, ValueError or TypeError for other things."""
        actions: dict[str, Callable[[dict[str, Any]], object]] = {
            "faults": self._control_faults,
            "settle": self._control_settle,
            "deliver": lambda given: [asdict(each) for each in self.sender.deliver(**given)],
            "release": lambda given: {"released": self.release()},
            "busy": lambda given: {"busy": self.busy},
            "go": lambda given: self.go.set(),
            "webhooks": self._control_webhooks,
        }
        return actions[path](said)

    def _control_faults(self, said: dict[str, Any]) -> object:
        if said.get("clear"):
            self.faults.clear()
        if "fault" in said:
            fault = Fault.read({name: value for name, value in said.items() if name != "clear"})
            if fault.wait_for_go:
                self.go.clear()
            self.faults.arm(fault)
        return None

    def _control_settle(self, said: dict[str, Any]) -> object:
        lie = Lie(**said.pop("lie", {}))
        return [asdict(each) for each in self.settle(said.pop("payments"), lie=lie, **said)]

    def _control_webhooks(self, said: dict[str, Any]) -> object:
        self.sender.url = said["url"]
        return None


def _check_amounts(amounts: Mapping[str, str], payments: Sequence[Payment]) -> None:
    if strange := sorted(set(amounts) - {payment.reference for payment in payments}):
        raise ValueError(f"an amount for {strange[0]!r}, which is not to be moved")
    if strange := [text for text in amounts.values() if not AMOUNT.fullmatch(text)]:
        raise ValueError(f"{strange[0]!r} is no amount: a text with two decimals")


def _miscounted(reply: Reply, name: str) -> Reply:
    """The reply with a wrong count or a wrong amount, wherever its protocol has one."""
    content = json.loads(json.dumps(reply.content))
    if name == "wrong_count":
        if "item_count" in content:
            content["item_count"] += 1
        elif content.get("items"):
            content["items"].append(
                content["items"][0]
                | {"payout_item": content["items"][0]["payout_item"] | {"sender_item_id": "JPO-INVENTED"}}
            )
    elif "totals" in content:
        content["totals"][0]["amount"] = "0.01"
    elif content.get("items"):
        content["items"][0]["payout_item"]["amount"]["value"] = "0.01"
    elif isinstance(content.get("data"), dict):
        content["data"]["amount"] = "0.01"
    return replace(reply, content=content)

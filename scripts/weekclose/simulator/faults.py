"""The sins of rails: which request is hit by which, and nothing left to luck that has no seed."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

BEFORE = {
    "late": "does nothing until the client has gone, then executes; wait_for_go: not before POST /control/go",
    "error_before": "answers 500 (or status) and does nothing",
    "reset_before": "resets the connection and does nothing",
    "busy": "answers 429 (or status) with Retry-After: seconds and does nothing",
    "redirect": "answers 307 to another place",
    "cached_error": "answers 500, does nothing and replays that to the same key",
    "forget_keys": "has forgotten every idempotency key, then works as usual",
    "refuse": "refuses the batch, or the payout, because of references",
}
AFTER = {
    "timeout": "executes and never answers",
    "error_after": "executes and answers 500 (or status)",
    "reset_after": "executes and resets the connection",
    "half_answer": "executes and breaks off in the middle of the answer",
    "garbage": "executes and answers with something that is no JSON",
    "wrong_count": "executes and names one item too few or too many",
    "wrong_total": "executes and names another amount",
    "early_webhook": "executes, completes and tells so before it answers",
}
FAULTS = BEFORE | AFTER
OPERATIONS = ("submit", "look_up", "cancel", "token", "certificate")
# What chance picks from: sins after which the work can always be finished by running the same again.
HARMLESS_IN_THE_END = (
    "late",
    "error_before",
    "reset_before",
    "busy",
    "timeout",
    "error_after",
    "reset_after",
    "half_answer",
    "garbage",
    "early_webhook",
)


@dataclass
class Fault:
    """`on` an operation; after `skip` requests, `times` of them (None: all), each with `chance`.

    `references` limits it to payouts (halfin) or names the offenders (`refuse`). `seconds` is how long a
    silent rail keeps the connection, or what it says in Retry-After.
    """

    fault: str
    on: str = "submit"
    times: int | None = 1
    skip: int = 0
    chance: float = 1.0
    seconds: float = 60
    status: int | None = None
    references: tuple[str, ...] = ()
    wait_for_go: bool = False

    def __post_init__(self) -> None:
        if self.fault not in (*FAULTS, "any") or self.on not in OPERATIONS:
            raise ValueError(f"there is no fault {self.fault!r} on {self.on!r}")

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> "Fault":
        """Raises ValueError or TypeError for what is no fault."""
        return cls(**{**given, "references": tuple(given.get("references", ()))})


class Faults:
    """Those that wait for their request; seeded, so that the same requests meet the same faults."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311, chance and not secrecy
        self._armed: list[Fault] = []
        self._lock = threading.Lock()

    def arm(self, fault: Fault) -> None:
        with self._lock:
            self._armed.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._armed.clear()

    def take(self, operation: str, reference: str | None) -> Fault | None:
        """The fault of this request. `reference` is the payout's number if the request is about one."""
        with self._lock:
            for fault in self._armed:
                if fault.on != operation or (
                    reference and fault.references and reference not in fault.references
                ):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                if fault.chance < 1 and self._random.random() >= fault.chance:
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if not fault.times:
                        self._armed.remove(fault)
                return self._named(fault)
        return None

    def _named(self, fault: Fault) -> Fault:
        if fault.fault != "any":
            return fault
        return Fault(self._random.choice(HARMLESS_IN_THE_END), fault.on, seconds=fault.seconds)

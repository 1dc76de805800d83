"""`weekclose rail serve`: the simulated rail as a program of its own."""

import re
import signal
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from weekclose.errors import UsageError
from weekclose.output import say
from weekclose.rails.configured import load_rail_settings
from weekclose.simulator.faults import FAULTS, OPERATIONS, Fault
from weekclose.simulator.rail import Plan
from weekclose.simulator.server import Simulator
from weekclose.simulator.webhooks import SAMPLE_SECRET, SAMPLE_WEBHOOK_ID

_FAULT = re.compile(r"([a-z_]+)(?:@([a-z_]+))?(?::([0-9]{1,6}))?", re.ASCII)


@dataclass(frozen=True)
class Wishes:
    """What the command line asks for; `chaos` and `fail_rate` are shares, `settle_after` is in seconds."""

    port: int
    seed: int
    faults: tuple[str, ...]
    chaos: float
    webhook_url: str | None
    settle_after: float | None
    fail_rate: float


def serve(record: Path, wishes: Wishes) -> None:
    """Serve until SIGTERM or SIGINT. Raises UsageError for a fault that there is not."""
    settings = load_rail_settings()
    faults = [read_fault(each) for each in wishes.faults]
    if wishes.chaos:
        faults.append(Fault("any", times=None, chance=wishes.chaos))
    plan = Plan(
        seed=wishes.seed,
        key=settings.key.get_secret_value() if settings.key else None,
        secret=next(iter(settings.secrets), None),
        webhook_url=wishes.webhook_url,
        settle_after=wishes.settle_after,
        fail_rate=wishes.fail_rate,
    )
    stop = Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    with Simulator(record, plan, wishes.port) as simulator:
        for fault in faults:
            simulator.rail.faults.arm(fault)
        print(simulator.url, flush=True)
        say(f"the simulated rail keeps its record in {record}; Ctrl-C stops it")
        if plan.secret is None:
            say(f"webhooks are signed with {SAMPLE_SECRET} (paypal: webhook id {SAMPLE_WEBHOOK_ID})")
        stop.wait()


def read_fault(text: str) -> Fault:
    """`FAULT[@OPERATION][:TIMES]`; without a number it happens once, 0 stands for always."""
    found = _FAULT.fullmatch(text)
    if found is None or found[1] not in FAULTS or (found[2] or "submit") not in OPERATIONS:
        known = f"{', '.join(FAULTS)}; operations are {', '.join(OPERATIONS)}"
        raise UsageError(f"there is no fault {text!r}: faults are {known}")
    times = int(found[3] or 1)
    return Fault(found[1], found[2] or "submit", times=times or None)

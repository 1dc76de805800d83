"""Seeded plans of weeks in which everything goes wrong at once. The same seed is the same plan."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any, Literal

Protocol = Literal["batch", "halfin", "paypal"]
# A rail whose memory of keys fails is a test of the quiet period; chance must not decide how long that is.
STORMY = ("timeout", "error_after", "reset_after", "half_answer", "garbage", "reset_before", "error_before")
WORSE = ("busy", "cached_error", "wrong_count", "wrong_total", "refuse", "early_webhook")


@dataclass(frozen=True)
class Player:
    """One process that does one step; it dies, by SIGKILL, before its `dies_at`-th word to the outside."""

    step: str
    dies_at: int | None = None


@dataclass(frozen=True)
class Deed:
    """What the rail, or a power cut, does `after` so many seconds of a bout."""

    after: float
    name: Literal["settle", "deliver", "crash"]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bout:
    """Players who start together, the sins that wait for them at the rail, and what happens meanwhile.

    Where requests may still be inside the rail, or keys forgotten, the players are `patient`: for them no
    attempt is ever old enough to be repeated. `calm` plays the step once more, in peace, until it has an end.
    """

    players: tuple[Player, ...] = ()
    faults: tuple[dict[str, Any], ...] = ()
    deeds: tuple[Deed, ...] = ()
    patient: bool = False
    calm: str | None = None


@dataclass(frozen=True)
class Week:
    """What each seller earns in the week's window (a debt is negative), and the bouts."""

    earnings: dict[str, str]
    bouts: tuple[Bout, ...]


@dataclass(frozen=True)
class Plan:
    seed: int
    protocol: Protocol
    weeks: tuple[Week, ...]
    listener_dies_at: tuple[int | None, ...]

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def plan(seed: int) -> Plan:
    """The plan of a seed."""
    random = Random(seed)
    protocol: Protocol = random.choices(("batch", "halfin", "paypal"), (6, 2, 2))[0]
    sellers = [f"s{number}" for number in range(1, random.randint(3, 6))]
    weeks = tuple(_week(random, sellers) for _ in range(random.randint(2, 4)))
    dies_at = tuple(random.randint(0, 40) if random.random() < 0.5 else None for _ in range(6))
    return Plan(seed, protocol, weeks, dies_at)


def _week(random: Random, sellers: list[str]) -> Week:
    earnings = {
        seller: f"{random.randint(-4000, 20000) / 100:.2f}" for seller in sellers if random.random() < 0.85
    }
    bouts = [
        _sunday(random, sellers),
        *_monday(random, sellers),
        _tuesday(random, "submit"),
        *_retries(random, "submit"),
        _answers(random),
        *_between(random, sellers),
    ]
    return Week(earnings, tuple(bouts))


def _players(random: Random, step: str, most: int, least: int = 1) -> tuple[Player, ...]:
    return tuple(
        Player(step, random.randint(0, 30) if random.random() < 0.5 else None)
        for _ in range(random.randint(least, most))
    )


def _crash(random: Random) -> tuple[Deed, ...]:
    return (Deed(round(random.uniform(0, 0.3), 3), "crash"),) if random.random() < 0.12 else ()


def _sunday(random: Random, sellers: list[str]) -> Bout:
    """Several freeze; the answers of the week before still come in, and money is kept back or set free."""
    kept = random.choice((*(f"keep {seller} {random.randint(1, 60)}.00" for seller in sellers), "set_free"))
    return Bout(
        _players(random, "sunday", 3)
        + _players(random, "reconcile", 1, 0)
        + _players(random, "replay", 1, 0)
        + _players(random, kept, 1, 0),
        deeds=(*_told(random), *_crash(random)),
        calm="sunday",
    )


def _monday(random: Random, sellers: list[str]) -> Iterator[Bout]:
    if random.random() < 0.4:
        held = random.choice(sellers)
        yield Bout((Player(f"hold {held}"), *_players(random, "approve", 1, 0)))
        if random.random() < 0.7:
            yield Bout((Player(f"release {held}"), *_players(random, "approve", 1, 0)))
    yield Bout(_players(random, "approve", 2), deeds=_crash(random), calm="approve")


def _between(random: Random, sellers: list[str]) -> Iterator[Bout]:
    """Some ask for what is left in their balance, and it goes out by itself."""
    if random.random() < 0.5:
        return
    asks = [f"ask {random.choice(sellers)} {random.randint(100, 2000) / 100:.2f}" for _ in range(2)]
    yield Bout(_players(random, "set_free", 2))
    yield Bout(tuple(player for ask in asks for player in _players(random, ask, 2)))
    yield Bout(_players(random, "grant", 2) + _players(random, "withdraw", 1, 0), deeds=_crash(random))
    yield _tuesday(random, "hand_over")
    yield from _retries(random, "hand_over")
    yield _answers(random)


def _tuesday(random: Random, submit: str) -> Bout:
    """The first try: nobody knows yet what the rail does with it."""
    faults = [
        {"fault": random.choice(STORMY + WORSE), "times": random.choice((1, 1, 2, None)), "seconds": 0.3}
        for _ in range(random.randint(0, 2))
    ]
    if random.random() < 0.4:
        faults.append({"fault": "late", "wait_for_go": True, "seconds": 0.3})
    if random.random() < 0.4:
        faults.append({"fault": "forget_keys", "times": None})
    if random.random() < 0.3:
        sin = random.choice(("reset_before", "error_before", "garbage", "timeout", "half_answer"))
        faults.append({"fault": sin, "on": "look_up", "times": random.choice((1, 2)), "seconds": 0.3})
    return Bout(
        _players(random, submit, 3) + _players(random, "reconcile", 2, 0),
        tuple(faults),
        (*_told(random), *_crash(random)),
        patient=True,
    )


def _retries(random: Random, submit: str) -> Iterator[Bout]:
    """What was sent is old, and the rail remembers its keys, or everything inside it has come to its end."""
    if random.random() < 0.7:
        faults = [
            {"fault": random.choice(STORMY), "times": 1, "seconds": 0.3} for _ in range(random.randint(0, 2))
        ]
        yield Bout(
            _players(random, submit, 3) + _players(random, "reconcile", 1, 0),
            tuple(faults),
            (*_told(random), *_crash(random)),
        )
    if random.random() < 0.7:
        yield Bout(calm=submit)


def _answers(random: Random) -> Bout:
    return Bout(
        _players(random, "reconcile", 3, 0) + _players(random, "replay", 2, 0),
        deeds=(*_told(random), *_told(random), *_crash(random)),
        calm=random.choice(("reconcile", None)),
    )


def _told(random: Random) -> tuple[Deed, ...]:
    """The rail decides about some payouts, and tells so in its own way; what was kept back comes later."""
    if random.random() < 0.25:
        return ()
    deeds = [
        Deed(
            round(random.uniform(0, 0.25), 3),
            "settle",
            {
                "share": random.choice((0.3, 0.7, 1.0)),
                "fails": random.choice((0.0, 0.3)),
                "comes_back": random.choice((0.0, 0.0, 0.1)),
                "changes_its_mind": random.random() < 0.25,
                "webhooks": random.choice(("send", "send", "keep", "lose")),
                "copies": random.choice((1, 1, 2, 3)),
                "signature": random.choice(("right",) * 8 + ("wrong", "stale")),
                "lie": random.choice((None,) * 9 + ("amount", "reference", "event_type")),
            },
        )
    ]
    if random.random() < 0.5:
        order = random.choice(("as_made", "reversed", "shuffled"))
        deeds.append(Deed(round(random.uniform(0.1, 0.4), 3), "deliver", {"order": order}))
    return tuple(deeds)


def _lines(made: Plan) -> Iterator[str]:
    yield f"seed {made.seed}: {len(made.weeks)} weeks with the rail {made.protocol}"
    for number, week in enumerate(made.weeks, start=1):
        yield f"week {number}: {week.earnings}"
        for bout in week.bouts:
            who = ", ".join(
                f"{each.step}{'' if each.dies_at is None else f' +{each.dies_at}'}" for each in bout.players
            )
            patience = ", patient" if bout.patient else ""
            yield f"  {who or 'nobody'}{patience}; then {bout.calm or 'nothing'}"
            for fault in bout.faults:
                yield f"    the rail: {fault}"
            for deed in bout.deeds:
                yield f"    after {deed.after} s: {asdict(deed)['name']} {deed.options or ''}"

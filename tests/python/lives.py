"""A window on its way from frozen to settled, step by step, and the end that each of its lives has."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg import Connection

from frozen_window import APPROVER, OPERATOR, WINDOW, frozen_window, one
from rail_batches import Bench, bench
from tuesday import AMOUNTS, FIRST, THIRD, agree, empty, paid_through
from weekclose import decisions, events, submission
from weekclose.database import open_connection
from weekclose.errors import OutcomeUnknown, WeekcloseError
from weekclose.postgres import Server
from weekclose.reconciliation import reconcile
from weekclose.simulator.webhooks import Lie, message


@dataclass
class Life:
    """A window on its way from frozen to settled, and the rail it goes to."""

    database: Server
    bench: Bench
    directory: Path
    refuses: bool = False
    deliveries: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def connect(self) -> Connection[Any]:
        return open_connection(self.database)

    def run(self, step: str) -> None:
        """One command, on a connection of its own. Raises what the command raises."""
        with self.connect() as conn:
            getattr(self, f"_{step}")(conn)

    def finish(self, step: str) -> None:
        """What a person does after anything went wrong: run it again, until it has an end."""
        for _ in range(5):
            try:
                self.run(step)
            except OutcomeUnknown:
                continue
            except WeekcloseError:
                return
            return
        raise AssertionError(f"{step} comes to no end")

    def _hold(self, conn: Connection[Any]) -> None:
        decisions.hold(conn, ["s3"], WINDOW, "a question", OPERATOR)

    def _approve(self, conn: Connection[Any]) -> None:
        digest = one(conn, "select content_digest from payouts.batches where state <> 'rejected'")
        decisions.approve(conn, WINDOW, digest, APPROVER)

    def _submit(self, conn: Connection[Any]) -> None:
        submission.submit(conn, self.bench.adapter(max_processing_seconds=0), WINDOW, OPERATOR)

    def _receive(self, conn: Connection[Any]) -> None:
        """What the webhook server does with each delivery. The rail repeats what was not answered."""
        adapter = self.bench.adapter()
        for headers, body in self.deliveries:
            stored = events.receive(conn, adapter, adapter.verify(headers, body), body)
            if stored is not None:
                events.apply(conn, [stored], "webhook")

    def _store(self, conn: Connection[Any]) -> None:
        """The webhook server's first half; the second was killed."""
        adapter = self.bench.adapter()
        for headers, body in self.deliveries:
            events.receive(conn, adapter, adapter.verify(headers, body), body)

    def _apply(self, conn: Connection[Any]) -> None:
        events.apply(conn, None, OPERATOR)

    def _reconcile(self, conn: Connection[Any]) -> None:
        reconcile(conn, self.bench.adapter(), None, OPERATOR)

    def rail_decides(self) -> None:
        """The first is paid, everything else fails; the rail has told, and says so again if it is asked."""
        rail = self.bench.rail
        rail.release()
        rail.settle({FIRST: "completed"}, webhooks="lose")
        rail.settle({"*": "failed"}, webhooks="lose")
        told = [message(each, 1, Lie(), "right") for each in rail.payments() if each.status != "cancelled"]
        self.deliveries = [
            ({name.lower(): value for name, value in rail.sender._headers(each).items()}, each.body)
            for each in told
            if each is not None
        ]

    def end(self) -> dict[str, Any]:
        """All that must be the same, whatever happened on the way. No ids, no times."""
        with self.connect() as conn:
            agree(conn, self.bench)
            queries = {
                "payouts": "select payout_number, status, block_reasons, failure_code,"
                " external_reference is null from payouts.payouts order by 1",
                "batches": "select batch_id, state, content_digest, idempotency_key, body_hash, rail,"
                " approved_by from payouts.batches order by 1",
                "bookings": "select kind, reference from payouts.ledger_transactions order by 1, 2",
                "ledger": "select account, seller_id, amount, payout_number, kind from payouts.ledger_entries"
                " inner join payouts.ledger_transactions using (transaction_id) order by 1, 2, 3, 4, 5",
                "audit": "select action, entity, count(*) from payouts.audit_log"
                " where action <> 'submit again' group by action, entity order by 1, 2",
                "events": "select payout_number, status, outcome from payouts.inbox order by 1, 2",
            }
            found: dict[str, Any] = {
                name: conn.execute(query.encode()).fetchall() for name, query in queries.items()
            }
            open_attempts = one(conn, "select count(*) from payouts.submit_attempts where outcome is null")
        assert open_attempts == 0
        payments = self.bench.rail.payments()
        found["rail"] = sorted(
            (each.reference, each.batch_reference, each.status, each.amount, each.idempotency_key)
            for each in payments
        )
        return found


# Disturbs a step of a week at its n-th exchange; how often, and never where there was no n-th one.
Disturbance = Callable[[Life, str, int], int]

# The week of each test: what is done, one after the other. `rail_decides` is the rail's own doing.
PAID = ("hold", "approve", "submit", "rail_decides", "receive", "reconcile")
STORED = ("approve", "submit", "rail_decides", "store", "apply", "reconcile")
SENT = ("approve", "submit", "rail_decides", "reconcile")
REFUSED = ("approve", "submit", "hold", "approve", "submit", "rail_decides", "reconcile")


@contextmanager
def life(database: Server, protocol: str, directory: Path, *, refuses: bool = False) -> Iterator[Life]:
    empty(database)
    with bench(protocol, directory) as rail:
        with open_connection(database) as conn:
            frozen_window(conn, AMOUNTS, **paid_through(protocol))
        if refuses:
            rail.arm("refuse", references=(THIRD,), times=None)
        yield Life(database, rail, directory, refuses)


def play(
    played: Life,
    plan: tuple[str, ...],
    disturbed: int | None = None,
    how: Callable[[str], int] | None = None,
) -> int:
    """The week to its end; step number `disturbed` is done by `how`, and then once more in peace. How often
    it was disturbed."""
    hits = 0
    for number, step in enumerate(plan):
        if step == "rail_decides":
            played.rail_decides()
            continue
        if number == disturbed and how is not None:
            hits = how(step)
        if played.refuses and number > plan.index("submit"):
            played.bench.rail.faults.clear()
        played.finish(step)
    return hits


Case = tuple[str, tuple[str, ...], str]
CASES: dict[str, Case] = {
    "hold": ("batch", PAID, "hold"),
    "approve": ("batch", PAID, "approve"),
    "submit, batch": ("batch", SENT, "submit"),
    "submit, halfin": ("halfin", SENT, "submit"),
    "submit, paypal": ("paypal", SENT, "submit"),
    "submit, refused, batch": ("batch", REFUSED, "submit"),
    "submit, refused, halfin": ("halfin", REFUSED, "submit"),
    "webhook": ("batch", PAID, "receive"),
    "events replay": ("batch", STORED, "apply"),
    "reconcile": ("batch", SENT, "reconcile"),
    "reconcile with events": ("paypal", PAID, "reconcile"),
}
LAST = {PAID: "blocked", REFUSED: "blocked", SENT: "failed", STORED: "failed"}


def undisturbed(database: Server, directory: Path, case: Case) -> dict[str, Any]:
    """The end of a week in peace."""
    protocol, plan, _ = case
    with life(database, protocol, directory / "undisturbed", refuses=plan is REFUSED) as played:
        play(played, plan)
        wanted = played.end()
    assert [row[1] for row in wanted["payouts"]] == ["paid", "failed", LAST[plan]]
    return wanted


def disturbed_everywhere(database: Server, directory: Path, case: Case, disturb: Disturbance) -> int:
    """The case's step, disturbed at its first exchange, its second, ..., ends as if it had not been.

    How often it was disturbed in all.
    """
    protocol, plan, step = case
    wanted, hits = undisturbed(database, directory, case), 0
    for at in range(100):
        with life(database, protocol, directory / str(at), refuses=plan is REFUSED) as disturbed:
            hit = play(disturbed, plan, plan.index(step), lambda step: disturb(disturbed, step, at))  # noqa: B023
            assert disturbed.end() == wanted, f"disturbed at {at}"
        if not hit:
            return hits
        hits += hit
    raise AssertionError("there was no end of it")

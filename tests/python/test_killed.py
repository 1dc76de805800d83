"""Killed anywhere, then run again: the same end. The rail's own record is the judge of what was paid.

A child process ends itself with SIGKILL before its n-th exchange with the outside, for every n until it gets
through; then the same command runs again in peace, and the week goes on to its end.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import psutil
import psycopg
import pytest
from psycopg import Connection, Transaction

from controls import policy, seeded
from frozen_window import APPROVER, OPERATOR, WINDOW, frozen_window, one, submitted_window
from rail_batches import Bench, bench
from sample_documents import pdf
from small_week import NIGHT, START
from small_week import Week as SmallWeek
from tuesday import AMOUNTS, FIRST, THIRD, agree, empty, paid_through
from weekclose import adjustments, decisions, events, executions, submission
from weekclose.adjustments import Proposal
from weekclose.database import open_connection
from weekclose.documents import Document
from weekclose.errors import NothingToDo, OutcomeUnknown, Refused, WeekcloseError
from weekclose.freeze import FrozenWindow, freeze
from weekclose.migrations import migrate
from weekclose.policy import effective_vars
from weekclose.postgres import EmbeddedPostgres, Server
from weekclose.rails.transport import Transport
from weekclose.reconciliation import reconcile
from weekclose.settings import project_dir
from weekclose.simulator.webhooks import Lie, message

DONE, KILLED = 0, -signal.SIGKILL
RECONCILER = "rita"


@dataclass
class Life:
    """A window on its way from frozen to settled, and the rail it goes to."""

    database: Server
    bench: Bench
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


# Disturbs a step of a week at its n-th exchange; whether there was an n-th one.
Disturbance = Callable[[Life, str, int], bool]

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
        yield Life(database, rail, refuses)


def play(
    played: Life,
    plan: tuple[str, ...],
    disturbed: int | None = None,
    how: Callable[[str], bool] | None = None,
) -> bool:
    """The week to its end; step number `disturbed` is done by `how`, and then once more in peace. Whether
    there was anything to disturb."""
    hit = False
    for number, step in enumerate(plan):
        if step == "rail_decides":
            played.rail_decides()
            continue
        if number == disturbed and how is not None:
            hit = how(step)
        if played.refuses and number > plan.index("submit"):
            played.bench.rail.faults.clear()
        played.finish(step)
    return hit


# How a process is killed


class Countdown:
    """Kills this process at its n-th word to the outside."""

    def __init__(self, at: int) -> None:
        self._left, self._lock = at, threading.Lock()

    def tick(self) -> None:
        with self._lock:
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self._left -= 1


def kill_at(at: int) -> None:
    """From now on, in this process: before an exchange with the database or the rail, which is also after the
    one before it."""
    countdown = Countdown(at)
    wait, once = Connection.wait, Transport._once

    def counted_wait(self: Any, *given: Any, **named: Any) -> Any:
        countdown.tick()
        return wait(self, *given, **named)

    def counted_once(self: Any, *given: Any) -> Any:
        countdown.tick()
        return once(self, *given)

    Connection.wait = counted_wait  # type: ignore[method-assign]
    Transport._once = counted_once  # type: ignore[method-assign, assignment]


def in_child(work: Callable[[], None]) -> int:
    """Fork, work there, and give its exit code: 0, a WeekcloseError's, 99 for any other, -9 when killed."""
    child = os.fork()
    if child == 0:
        _work_and_exit(work)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _work_and_exit(work: Callable[[], None]) -> NoReturn:
    """The end of a child: nothing of the parent's is closed or written."""
    code = 99
    try:
        work()
        code = DONE
    except WeekcloseError as error:
        code = error.exit_code
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


def killed(played: Life, step: str, at: int) -> bool:
    def work() -> None:
        kill_at(at)
        played.run(step)

    return in_child(work) == KILLED


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


def disturbed_everywhere(database: Server, directory: Path, case: Case, disturb: Disturbance) -> None:
    """The case's step, disturbed at its first exchange, its second, ..., ends as if it had not been."""
    protocol, plan, step = case
    refuses = plan is REFUSED
    with life(database, protocol, directory / "undisturbed", refuses=refuses) as undisturbed:
        play(undisturbed, plan)
        wanted = undisturbed.end()
    assert [row[1] for row in wanted["payouts"]] == ["paid", "failed", LAST[plan]]
    for at in range(100):
        with life(database, protocol, directory / str(at), refuses=refuses) as disturbed:
            hit = play(disturbed, plan, plan.index(step), lambda step: disturb(disturbed, step, at))  # noqa: B023
            assert disturbed.end() == wanted, f"disturbed at {at}"
        if not hit:
            assert at > 3
            return
    raise AssertionError("there was no end of it")


@pytest.mark.parametrize("name", CASES)
def test_killed_anywhere_and_run_again(module_database: Server, tmp_path: Path, name: str) -> None:
    disturbed_everywhere(module_database, tmp_path, CASES[name], killed)


# A freeze


def test_a_freeze_killed_anywhere(built_week: SmallWeek) -> None:
    variables = effective_vars({"settlement_start": START.isoformat()}, NIGHT)
    run_id = built_week.one("select run_id from payouts.warehouse_runs")

    def freeze_once(conn: Connection[Any]) -> list[FrozenWindow]:
        return freeze(conn, run_id, NIGHT, variables, OPERATOR)

    def killed_at(at: int) -> bool:
        def work() -> None:
            kill_at(at)
            with open_connection(built_week.server) as conn:
                freeze_once(conn)

        return in_child(work) == KILLED

    def end() -> list[Any]:
        return [
            built_week.conn.execute(query.encode()).fetchall()
            for query in (
                # A number that was drawn and not used is a gap; the digests name the numbers.
                "select payout_window, content_digest = payouts.window_digest(payout_window), row_count,"
                " line_count from payouts.frozen_windows",
                "select batch_id, state, content_digest = payouts.batch_digest(paid_with)"
                " from payouts.batches",
                "select seller_id, amount, status from payouts.payouts order by 1",
                "select account, seller_id, amount from payouts.ledger_entries order by 1, 2",
                "select action, entity from payouts.audit_log",
            )
        ]

    wanted: list[Any] = []
    for at in range(-1, 100):
        empty(built_week.server, ["payouts"], keep=("warehouse_runs", "judged_wallets"))
        hit = at >= 0 and killed_at(at)
        freeze_once(built_week.conn)
        wanted = wanted or end()
        assert end() == wanted, f"killed at {at}"
        assert len(wanted[2]) == 2
        if at >= 0 and not hit:
            assert at > 5
            return
    raise AssertionError("there was no end of it")


# What people do about obligations and executions: one transaction each


def papers(text: str) -> Document:
    return Document(sha256(pdf(text)).hexdigest(), "application/pdf", pdf(text))


def propose(conn: Connection[Any], of_class: str = "carry_forward_deduction") -> str:
    invoice = "INV-1" if of_class == "gross_invoice_fee" else None
    proposal = Proposal("s1", "USD", of_class, Decimal(5), "late", "as agreed", invoice)
    return adjustments.propose(conn, proposal, papers("a contract"), OPERATOR)


def propose_by(conn: Connection[Any], mode: str) -> None:
    policy(conn, "carry_forward_deduction", mode)
    propose(conn)


def propose_receivable(conn: Connection[Any]) -> None:
    adjustments.apply(conn, [propose(conn, "gross_invoice_fee")], "s1", "USD", RECONCILER)


def the_adjustment(conn: Connection[Any]) -> str:
    return str(one(conn, "select adjustment_number from payouts.adjustments"))


def execute(conn: Connection[Any], amount: str = AMOUNTS[0]) -> None:
    executions.execute(
        conn, FIRST, "BANK-1", Decimal(amount), papers("a receipt"), OPERATOR, note="as the bank has it"
    )


def replace_proof(conn: Connection[Any]) -> None:
    executions.replace_proof(conn, FIRST, papers("a better receipt"), "it was blurred", OPERATOR)


def resolve(conn: Connection[Any]) -> None:
    executions.resolve(conn, FIRST, "accept", "it stays", papers("a letter"), RECONCILER)


def reverse(conn: Connection[Any]) -> None:
    executions.reverse(conn, FIRST, "wrong_beneficiary", "oops", papers("a complaint"), RECONCILER)


Act = Callable[[Connection[Any]], object]
# The act, after what has to be done before it.
ACTS: dict[str, tuple[Act, Act]] = {
    "adjust propose": (propose, lambda conn: None),
    "adjust apply": (
        lambda conn: adjustments.apply(conn, [the_adjustment(conn)], "s1", "USD", RECONCILER),
        lambda conn: propose_by(conn, "manual"),
    ),
    "adjust settle": (
        lambda conn: adjustments.settle(conn, the_adjustment(conn), "B-2", papers("a transfer"), OPERATOR),
        propose_receivable,
    ),
    "exception approve": (
        lambda conn: adjustments.decide(
            conn, [one(conn, "select exception_id from payouts.exceptions")], "approved", "fair", APPROVER
        ),
        lambda conn: propose_by(conn, "exception"),
    ),
    "execute": (execute, lambda conn: None),
    "proof replace": (replace_proof, execute),
    "resolve": (resolve, lambda conn: execute(conn, "12.00")),
    "reverse": (reverse, execute),
}


def begin(database: Server, prepare: Act) -> None:
    """A window whose payouts a person pays, and what has to be done before the act."""
    empty(database)
    with open_connection(database) as conn:
        seeded(conn)
        submitted_window(conn, AMOUNTS, rail="MANUAL", destination="an account", through="MANUAL")
        prepare(conn)


def do_and_look(database: Server, act: Act) -> None:
    """As a command does it, which shows at its end what it has done."""
    with open_connection(database) as conn:
        act(conn)
        one(conn, "select count(*) from payouts.audit_log")


def content(database: Server) -> dict[str, list[dict[str, Any]]]:
    """Every row of the payout tables."""
    with open_connection(database) as conn:
        tables = conn.execute("select tablename from pg_tables where schemaname = 'payouts' order by 1")
        return {
            table: [
                row
                for (row,) in conn.execute(
                    f"select to_jsonb(rows) from payouts.{table} as rows order by rows::text".encode()
                )
            ]
            for (table,) in tables.fetchall()
        }


def but_for_numbers(rows: dict[str, list[dict[str, Any]]]) -> dict[str, list[str]]:
    """Without times, and without what was drawn or is of one process: numbers that nobody used are a gap."""
    drawn = (
        *("at", "_in", "_id", "hash", "number", "before", "after", "entity", "reference"),
        *("metadata", "run", "payload"),
    )
    return {
        table: sorted(
            str({name: value for name, value in row.items() if not name.endswith(drawn)}) for row in found
        )
        for table, found in rows.items()
    }


@pytest.mark.parametrize("name", ACTS)
def test_a_control_killed_anywhere(database: Server, name: str) -> None:
    """Killed before its commit it has done nothing, killed after it everything, and once."""
    act, prepare = ACTS[name]
    begin(database, prepare)
    do_and_look(database, act)
    wanted = but_for_numbers(content(database))

    def dying(at: int) -> int:
        def work() -> None:
            kill_at(at)
            do_and_look(database, act)

        return in_child(work)

    begin(database, prepare)
    before, done_at = content(database), None
    assert but_for_numbers(before) != wanted
    for at in range(100):
        code = dying(at)
        if code == KILLED and content(database) == before:
            assert done_at is None, "killed later, it had done less"
            continue
        with suppress(Refused, NothingToDo):
            if code == KILLED:
                do_and_look(database, act)
        assert but_for_numbers(content(database)) == wanted, f"killed at {at}"
        with open_connection(database) as conn:
            decisions.verify_audit(conn)
        if code == DONE:
            assert done_at is not None, "it was never killed after it was done"
            assert at > 5
            return
        assert code == KILLED
        done_at = at
        begin(database, prepare)
        before = content(database)
    raise AssertionError("there was no end of it")


# The connection is lost, the server dies


@contextmanager
def patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, value)
        yield


def lost_before(played: Life, step: str, at: int) -> bool:
    return _lost(played, step, at, is_sent=False)


def lost_after(played: Life, step: str, at: int) -> bool:
    return _lost(played, step, at, is_sent=True)


def _lost(played: Life, step: str, at: int, *, is_sent: bool) -> bool:
    """The connection breaks before, or right after, the n-th statement is sent: any, a COMMIT too."""
    wait, left = Connection.wait, at

    def breaking_wait(self: Any, gen: Any, *given: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if left != -1:
            return wait(self, gen, *given, **named)
        with socket.socket(fileno=os.dup(self.fileno())) as line:
            if is_sent:
                return wait(self, _then(gen, line), *given, **named)
            line.shutdown(socket.SHUT_RDWR)
            return wait(self, gen, *given, **named)

    with patched(Connection, "wait", breaking_wait):
        try:
            played.run(step)
        except psycopg.OperationalError:  # what the command shows as one line
            return True
        except WeekcloseError:
            pass
    return left < 0


def _then(gen: Any, line: socket.socket) -> Any:
    """The generator, whose line breaks when it has sent and waits."""
    try:
        state = next(gen)
        line.shutdown(socket.SHUT_RDWR)
        while True:
            ready = yield state
            state = gen.send(ready)
    except StopIteration as end:
        return end.value


@pytest.mark.parametrize("disturb", [lost_before, lost_after])
@pytest.mark.parametrize("name", ["submit, batch", "submit, refused, batch", "reconcile"])
def test_the_connection_lost_anywhere(
    module_database: Server, tmp_path: Path, name: str, disturb: Disturbance
) -> None:
    disturbed_everywhere(module_database, tmp_path, CASES[name], disturb)


POINTS = ("before the claim commits", "before the first byte", "after the answer")


def test_the_server_dies_in_the_middle(home: Path, tmp_path: Path) -> None:
    server = EmbeddedPostgres(home)
    database = server.start()
    with open_connection(database) as conn:
        migrate(conn, project_dir() / "migrations")
    pid_file = next(home.rglob("postmaster.pid"), None) or next(
        home.resolve().rglob("server/data/postmaster.pid")
    )

    def die() -> None:
        """As `pg_ctl stop -m immediate` does it."""
        process = psutil.Process(int(pid_file.read_text().split()[0]))
        process.send_signal(signal.SIGQUIT)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)

    def disturb(played: Life, point: str) -> None:
        commit, once, commits = Transaction._commit_gen, Transport._once, 0

        def dying_commit(self: Any) -> Any:
            nonlocal commits
            commits += 1  # the first one ends the look at the batch
            if point == POINTS[0] and commits == 2:
                die()
            return commit(self)

        def dying_call(self: Any, *given: Any) -> Any:
            if point == POINTS[1]:
                die()
            answer = once(self, *given)
            if point == POINTS[2]:
                die()
            return answer

        with (
            patched(Transaction, "_commit_gen", dying_commit),
            patched(Transport, "_once", dying_call),
            pytest.raises(psycopg.OperationalError),
        ):
            played.run("submit")
        assert server.start() == database

    ends = []
    for point in ("undisturbed", *POINTS):
        with life(database, "batch", tmp_path / point) as played:
            for step in PAID:
                if step == "rail_decides":
                    played.rail_decides()
                    continue
                if step == "submit" and point != "undisturbed":
                    disturb(played, point)
                played.finish(step)
            ends.append(played.end())
    assert all(end == ends[0] for end in ends)


# Several at once


def together(works: Sequence[Callable[[], None]]) -> list[int]:
    """The exit codes of processes that begin at the same moment."""
    gate, opener = os.pipe()
    children = []
    for work in works:
        child = os.fork()
        if child == 0:
            os.close(opener)
            os.read(gate, 1)
            _work_and_exit(work)
        children.append(child)
    os.close(gate)
    os.close(opener)
    return sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)


@pytest.mark.parametrize("protocol", ["batch", "halfin", "paypal"])
@pytest.mark.parametrize("quiet", [3600, 0])
def test_several_submit_at_once(module_database: Server, tmp_path: Path, protocol: str, quiet: int) -> None:
    with life(module_database, protocol, tmp_path) as played:
        played.run("approve")

        def submit() -> None:
            with played.connect() as conn:
                rail = played.bench.adapter(max_processing_seconds=quiet)
                submission.submit(conn, rail, WINDOW, OPERATOR)

        codes = together([submit] * 4)
        assert set(codes) <= {DONE, OutcomeUnknown.exit_code, NothingToDo.exit_code}
        if quiet:  # who found what another has sent may be done as well
            assert DONE in codes
            with played.connect() as conn:
                assert one(conn, "select count(*) from payouts.submit_attempts") == 1
        played.finish("submit")
        assert set(played.bench.paid().values()) == {1}
        agree_on(played)


@pytest.mark.parametrize("protocol", ["batch", "halfin"])
def test_several_hear_the_refusal_at_once(module_database: Server, tmp_path: Path, protocol: str) -> None:
    with life(module_database, protocol, tmp_path, refuses=True) as played:
        played.run("approve")
        codes = together([lambda: played.run("submit")] * 3)
        assert DONE not in codes
        assert set(codes) <= {WeekcloseError.exit_code, Refused.exit_code, OutcomeUnknown.exit_code}
        played.finish("submit")
        agree_on(played)
        with played.connect() as conn:
            found = conn.execute("select generation, state from payouts.batches order by 1").fetchall()
        assert found == [(1, "rejected"), (2, "frozen")]


@pytest.mark.parametrize("protocol", ["batch", "halfin", "paypal"])
def test_everything_at_once(module_database: Server, tmp_path: Path, protocol: str) -> None:
    with life(module_database, protocol, tmp_path) as played:
        codes = together(
            [
                lambda: played.run("hold"),
                lambda: played.run("approve"),
                lambda: played.run("submit"),
                lambda: played.run("submit"),
            ]
        )
        assert set(codes) <= {DONE, Refused.exit_code, OutcomeUnknown.exit_code, NothingToDo.exit_code}
        agree_on(played)
        for step in ("hold", "approve", "submit"):
            played.finish(step)
        played.rail_decides()
        steps = ("receive", "receive", "apply", "reconcile", "reconcile")
        codes = together([partial(played.run, step) for step in steps])
        assert set(codes) <= {DONE, OutcomeUnknown.exit_code, NothingToDo.exit_code}
        played.finish("reconcile")
        agree_on(played)
        with played.connect() as conn:
            statuses = {status for (status,) in conn.execute("select status from payouts.payouts")}
            assert statuses <= {"paid", "failed", "blocked"}
            assert one(conn, "select count(*) from payouts.event_outcomes where outcome is null") == 0
            assert one(conn, "select state from payouts.batches") == "settled"


def agree_on(played: Life) -> None:
    with played.connect() as conn:
        agree(conn, played.bench)

"""Several at once, each a process with a connection of its own: one does it, the others say so."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from psycopg import Connection
from psycopg.errors import UniqueViolation

from catalogue import SOAK, Reached
from frozen_window import APPROVER, OPERATOR, WINDOW, claimed_window, frozen_window, one
from killing import DONE, Spoken, command, together
from lives import Life, life
from rail_batches import bench
from small_week import NEXT_NIGHT, NIGHT, START, Week
from test_executions import configured
from tuesday import G1, agree, marts  # noqa: F401
from webhook_server import eventually
from weekclose import decisions, submission
from weekclose.database import open_connection
from weekclose.errors import NothingToDo, OutcomeUnknown, Refused, WeekcloseError
from weekclose.freeze import freeze
from weekclose.policy import effective_vars
from weekclose.postgres import Server
from weekclose.reconciliation import reconcile

pytestmark = pytest.mark.catalogue(3)

# A server takes a hundred connections.
AT_ONCE = (2, 32 if SOAK else 16)
# What somebody is told who comes too late.
NO = {Refused.exit_code, OutcomeUnknown.exit_code, NothingToDo.exit_code}


@pytest.mark.parametrize("many", AT_ONCE)
def test_many_freeze_at_once(built_week: Week, many: int, reached: Reached) -> None:
    variables = effective_vars({"settlement_start": START.isoformat()}, NIGHT)
    run_id: UUID = built_week.one("select run_id from payouts.warehouse_runs")

    def freeze_it() -> None:
        with open_connection(built_week.server) as conn:
            if not freeze(conn, run_id, NIGHT, variables, OPERATOR):
                raise NothingToDo("it is frozen")

    codes = together([freeze_it] * many)
    assert sorted(codes) == [DONE] + [NothingToDo.exit_code] * (many - 1)
    assert built_week.one("select count(*) from payouts.batches") == 1
    assert built_week.one("select count(*) from payouts.audit_log where action = 'freeze'") == 1
    assert built_week.one("select sum(amount) from payouts.ledger_entries") == 0
    reached(3, "freezers at once", many)


@pytest.mark.parametrize("many", AT_ONCE)
def test_many_people_submit_at_once(
    marts: Server,  # noqa: F811
    tmp_path: Path,
    many: int,
    reached: Reached,
) -> None:
    """One claims and sends; who then finds that at the rail is done as well, with the same receipt."""
    with life(marts, "batch", tmp_path) as played:
        played.run("approve")
        patient = {"WEEKCLOSE_RAIL_MAX_PROCESSING_SECONDS": "3600"}
        spoken = commands(played, ["submit", "2026-11-01"], many, patient)
        assert sum(any(map(tells_the_claim, lines)) for _, lines in spoken) == 1
        # Who claimed and was then overtaken by who found it at the rail tells what the claim has booked.
        one_line_each(
            [(code, [line for line in lines if not tells_the_claim(line)]) for code, lines in spoken]
        )
        done = {line for code, lines in spoken if code == DONE for line in lines if "receipt" in line}
        assert len(done) == 1
        assert len(played.bench.sent()) == 1
        assert set(played.bench.paid().values()) == {1}
        agree_on(played)
        with played.connect() as conn:
            assert one(conn, "select count(*) from payouts.batches where state = 'submitted'") == 1
            assert one(conn, "select count(*) from payouts.submit_attempts") == 1
            assert one(conn, "select count(*) from payouts.audit_log where action = 'receipt'") == 1
        reached(3, "submitters at once", many)


def tells_the_claim(line: str) -> bool:
    return line.startswith("ledger: submit ")


@pytest.mark.parametrize("many", AT_ONCE)
def test_many_people_reconcile_at_once(
    marts: Server,  # noqa: F811
    tmp_path: Path,
    many: int,
    reached: Reached,
) -> None:
    with life(marts, "batch", tmp_path) as played:
        for step in ("approve", "submit"):
            played.run(step)
        played.rail_decides()
        spoken = commands(played, ["reconcile"], many)
        assert DONE in [code for code, _ in spoken]
        one_line_each(spoken)
        agree_on(played)
        with played.connect() as conn:
            statuses = conn.execute("select status from payouts.payouts order by 1").fetchall()
            assert statuses == [("failed",), ("failed",), ("paid",)]
            assert one(conn, "select count(*) from payouts.ledger_transactions where kind = 'pay'") == 1
            assert one(conn, "select count(*) from payouts.executions") == 1
        reached(3, "reconcilers at once", many)


@pytest.mark.parametrize("many", (2, AT_ONCE[1] // 2))
def test_freezers_submitters_and_reconcilers_at_once(
    frozen_week: Week, tmp_path: Path, many: int, reached: Reached
) -> None:
    """Of two windows: the first is due at the rail, the second at the freeze."""
    server = frozen_week.server
    assert frozen_week.sunday(NEXT_NIGHT, may_freeze=False).outcome == "not_frozen"
    run_id: UUID = frozen_week.one("select run_id from payouts.warehouse_runs order by as_of desc limit 1")
    variables = effective_vars({"settlement_start": START.isoformat()}, NEXT_NIGHT)
    digest = frozen_week.one("select content_digest from payouts.batches")
    decisions.approve(frozen_week.conn, START, digest, APPROVER)
    with bench("batch", tmp_path) as rail:

        def freeze_it() -> None:
            with open_connection(server) as conn:
                if not freeze(conn, run_id, NEXT_NIGHT, variables, OPERATOR):
                    raise NothingToDo("it is frozen")

        def submit_it() -> None:
            with open_connection(server) as conn:
                submission.submit(conn, rail.adapter(max_processing_seconds=3600), START, OPERATOR)

        def reconcile_it() -> None:
            with open_connection(server) as conn:
                reconcile(conn, rail.adapter(), None, OPERATOR)

        codes = together([freeze_it, submit_it, reconcile_it] * many)
        assert set(codes) <= {DONE} | NO
        assert codes[0::3].count(DONE) <= 1
        assert DONE in codes[1::3]
        assert len(rail.sent()) == 1
        assert set(rail.paid().values()) == {1}
        # Who froze before the money had left, and who after it: the same numbers.
        assert frozen_week.sunday(NEXT_NIGHT).outcome in ("frozen", "nothing_to_freeze")
        assert frozen_week.one("select count(*) from payouts.frozen_windows") == 2
        agree(frozen_week.conn, rail)
        reached(3, "freezers, submitters and reconcilers at once", 3 * many)


def test_a_freeze_waits_for_who_releases(frozen_week: Week) -> None:
    """What is released leaves with its own window: a freeze that has not seen it takes it into the next."""
    week = frozen_week
    decisions.hold(week.conn, ["s1"], START, "a question", OPERATOR)
    assert week.sunday(NEXT_NIGHT, may_freeze=False).outcome == "not_frozen"
    run_id: UUID = week.one("select run_id from payouts.warehouse_runs order by as_of desc limit 1")
    variables = effective_vars({"settlement_start": START.isoformat()}, NEXT_NIGHT)

    def freeze_it() -> None:
        with open_connection(week.server) as conn:
            freeze(conn, run_id, NEXT_NIGHT, variables, OPERATOR)

    with ThreadPoolExecutor(1) as pool:
        with week.conn.transaction():
            decisions.release(week.conn, ["s1"], START, "answered", OPERATOR)
            freezing = pool.submit(freeze_it)
            waited_for(week.conn, freezing)
        with pytest.raises(Refused, match=r"built with 90\.00 carried in, the ledger now says 0\.00"):
            freezing.result()
    assert week.one("select count(*) from payouts.frozen_windows") == 1


def commands(
    played: Life, arguments: list[str], many: int, environment: dict[str, str] | None = None
) -> list[tuple[int, list[str]]]:
    """The exit code and the lines of each who runs a command at the same moment."""
    place = played.directory / "spoken"
    place.mkdir()
    environment = {
        "DATABASE_URL": played.database.url,
        **configured(played.bench),
        **(environment or {}),
    }
    spoken = [Spoken(place / f"{each}.out", place / f"{each}.err") for each in range(many)]
    codes = together([partial(command, arguments, environment, each) for each in spoken])
    return [(code, each.lines) for code, each in zip(codes, spoken, strict=True)]


def one_line_each(spoken: list[tuple[int, list[str]]]) -> None:
    """Of those who did not do it."""
    for code, lines in spoken:
        assert code in {DONE} | NO, lines
        if code != DONE:
            assert [line.startswith("weekclose: ") for line in lines] == [True], lines


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


# A look before does not help against what another has not committed yet: then the database refuses it.


def test_a_second_batch_of_a_window_is_refused(conn: Connection[Any], database: Server) -> None:
    frozen_window(conn, ["10.00"])
    claimed_window(conn, WINDOW)
    with refused(
        conn,
        database,
        "insert into payouts.batches (batch_id, payout_window, generation, content_digest)"
        " select 'other', payout_window, 2, content_digest from payouts.batches",
    ):
        conn.execute("select payouts.take_refusal(%s, '{}', %s)", [G1, OPERATOR])


def test_a_payout_in_a_second_batch_is_refused(conn: Connection[Any], database: Server) -> None:
    frozen_window(conn, ["10.00"])
    frozen_window(conn, ["20.00"], window=WINDOW + timedelta(days=7))
    with refused(
        conn,
        database,
        "insert into payouts.batch_items (batch_id, payout_number, seller_id, currency)"
        " values ('W2026-11-08-G1', 'JPO0000001', 's1', 'USD')",
    ):
        claimed_window(conn, WINDOW)


@contextmanager
def refused(conn: Connection[Any], database: Server, insertion: str) -> Iterator[None]:
    """To another, because of what the block does in one transaction."""
    with open_connection(database) as other, ThreadPoolExecutor(1) as pool:
        with conn.transaction():
            yield
            inserting = pool.submit(other.execute, insertion.encode())
            waited_for(conn, inserting)
        with pytest.raises(UniqueViolation):
            inserting.result()


def waited_for(conn: Connection[Any], work: Future[Any]) -> None:
    """Until who works waits for this connection's transaction, or is done all the same."""
    waits = "select exists (select from pg_locks where pg_backend_pid() = any(pg_blocking_pids(pid)))"
    eventually(lambda: work.done() or one(conn, waits))


def agree_on(played: Life) -> None:
    with played.connect() as conn:
        agree(conn, played.bench)

"""Schedules, through the command: a request is made when its time comes, tried three times at most.

After every test at the desk the ledger, the obligations and the audit log agree (`desk.agree`).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import psycopg
import pytest

from desk import Desk, desk, people  # noqa: F401
from frozen_window import OPERATOR, frozen_window, one, submitted_window
from test_controls_cli import OPERATORS
from test_executions import said
from test_requests import WHY, asking, at_most, failed, server_of
from tuesday import marts  # noqa: F401
from weekclose import requests
from weekclose.database import open_connection
from weekclose.errors import NothingToDo

NUMBER, REQUEST = "SCH0000001", "REQ0000001"
ORDER = "s1-2026-11-01"
DUE = datetime(2026, 12, 1, tzinfo=UTC)


def scheduling(
    *more: object, amount: str = "50.00", trigger: str = "milestone_reached"
) -> tuple[object, ...]:
    stated = ("--currency", "USD", "--amount", amount, "--trigger", trigger, "--note", "when the site is up")
    return ("schedules", "create", "s1", *stated, *more)


def scheduled(desk: Desk, *more: object, **options: str) -> str:  # noqa: F811
    return desk.does("olga", *scheduling(*more, **options)).word


def due(desk: Desk, **options: str) -> str:  # noqa: F811
    """A schedule whose time is DUE."""
    return scheduled(desk, "--at", DUE.isoformat(), **options)


def listed(desk: Desk, number: str = NUMBER) -> dict[str, Any]:  # noqa: F811
    found: dict[str, Any] = next(
        each
        for each in desk.does("arne", "schedules", "list", "--json").json
        if each["schedule_number"] == number
    )
    return found


def run(desk: Desk, at: datetime) -> dict[str, str]:  # noqa: F811
    """The job, at an instant."""
    return requests.run(desk.owner, at, OPERATOR)


def tried(desk: Desk) -> tuple[str, int, str | None, datetime | None]:  # noqa: F811
    [(status, tries, error, next_at)] = desk.owner.execute(
        "select status, retry_count, last_error, next_try_at from payouts.payout_schedules"
    ).fetchall()
    return status, tries, error, next_at


# Its time comes


def test_its_time_makes_the_request(desk: Desk) -> None:  # noqa: F811
    failed(desk)
    made = desk.does("olga", *scheduling("--at", "2026-11-16T12:00:00+01:00"))
    assert made.word == NUMBER
    assert made.err == f"{NUMBER} asks for 50.00 USD of seller s1 when its time comes\n"
    assert run(desk, datetime(2026, 11, 16, 10, 59, tzinfo=UTC)) == {}
    assert tried(desk) == ("pending", 0, None, None)
    assert run(desk, datetime(2026, 11, 16, 11, tzinfo=UTC)) == {NUMBER: "completed"}
    assert tried(desk) == ("completed", 0, None, None)
    assert (listed(desk)["request_number"], listed(desk)["is_due"]) == (REQUEST, False)
    row = desk.owner.execute(
        "select seller_id, currency, amount, reason, schedule_number, requested_by, decision"
        " from payouts.payout_requests"
    ).fetchone()
    assert row == (
        *("s1", "USD", 50, "milestone_reached: when the site is up", NUMBER, desk.name("olga"), None),
    )
    assert run(desk, DUE) == {}, "once"


def test_the_command_is_the_job(desk: Desk) -> None:  # noqa: F811
    """By the clock on the wall: what is over is done, what is to come is not."""
    failed(desk)
    scheduled(desk, "--at", "2020-01-01T00:00:00Z", amount="10.00")
    scheduled(desk, "--at", "2999-01-01T00:00:00Z", amount="20.00")
    scheduled(desk, "--at", "2020-01-01T00:00:00Z", amount="95.00")
    numbers = [
        each["schedule_number"] for each in desk.does("bill", "schedules", "list", "--due", "--json").json
    ]
    assert numbers == [NUMBER, "SCH0000003"]
    ran = desk.does("olga", "schedules", "run", "--json")
    assert ran.json == {NUMBER: "completed", "SCH0000003": "processing"}
    assert ran.err == "1 made their request; 1 are tried again later\nweekclose schedules list says why\n"
    assert "at most 80.00 USD now, not 95.00" in listed(desk, "SCH0000003")["last_error"]
    assert desk.refused("olga", "schedules", "run", code=5) == "no schedule is due"


def test_the_end_of_a_guarantee_is_its_time(desk: Desk) -> None:  # noqa: F811
    failed(desk)
    refused = desk.refused("olga", *scheduling("--order", ORDER, trigger="guarantee_period_end"))
    assert refused == f"seller s1 has no order {ORDER} with a guarantee in USD"
    desk.owner.execute("update raw.orders set guarantee_ends_at = %s", [DUE])
    scheduled(desk, "--order", ORDER, trigger="guarantee_period_end")
    assert run(desk, DUE - timedelta(seconds=1)) == {}
    later = DUE + timedelta(days=7)
    desk.owner.execute("update raw.orders set guarantee_ends_at = %s", [later])
    assert run(desk, DUE) == {}, "the guarantee was prolonged"
    assert run(desk, later) == {NUMBER: "completed"}


def test_a_person_says_that_its_time_has_come(desk: Desk) -> None:  # noqa: F811
    failed(desk)
    scheduled(desk, amount="10.00")
    due(desk, amount="20.00")
    scheduled(desk, trigger="manual", amount="95.00")
    assert run(desk, DUE - timedelta(days=1)) == {}
    done = desk.does("otto", "schedules", "trigger", NUMBER, "SCH0000002", "SCH0000003", "--json")
    assert done.json == {NUMBER: "completed", "SCH0000002": "completed", "SCH0000003": "processing"}
    refused = desk.refused("otto", "schedules", "trigger", NUMBER, code=5)
    assert refused == f"schedule {NUMBER} is completed already"
    assert desk.refused("otto", "schedules", "trigger", "odd", code=5) == "there is no schedule odd"


# It does not work out


def test_it_is_tried_three_times(desk: Desk) -> None:  # noqa: F811
    """Later each time, by half as much again at most, and what went wrong is on the row."""
    frozen_window(desk.owner, ["90.00"])
    due(desk)
    at, waited = DUE, []
    for count in (1, 2):
        assert run(desk, at) == {NUMBER: "processing"}
        status, tries, error, next_at = tried(desk)
        assert (status, tries) == ("processing", count)
        assert error is not None and error.startswith("seller s1 may have at most 0.00 USD now, not 50.00")
        assert next_at is not None
        assert run(desk, next_at - timedelta(seconds=1)) == {}
        waited.append(next_at - at)
        at = next_at
    for minutes, wait in zip((5, 10), waited, strict=True):
        assert timedelta(minutes=minutes) <= wait <= timedelta(minutes=1.5 * minutes)
    assert run(desk, at) == {NUMBER: "failed"}
    assert tried(desk)[:2] == ("failed", 3)
    assert run(desk, DUE + timedelta(days=365)) == {}
    assert "is failed already" in desk.refused("olga", "schedules", "trigger", NUMBER, code=5)
    assert [row["status"] for row in desk.does("olga", "schedules", "list", "--json").json] == ["failed"]
    desk.does("olga", "schedules", "cancel", NUMBER, *WHY)
    assert tried(desk)[:2] == ("cancelled", 3)
    assert [
        action
        for (action,) in desk.owner.execute(
            "select action from payouts.audit_log where entity = 'schedule:SCH0000001' order by entry_id"
        )
    ] == ["schedule create", "schedule try", "schedule try", "schedule fail", "schedule cancel"]


def test_the_third_time_it_works(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"])
    due(desk)
    assert run(desk, DUE) == run(desk, DUE + timedelta(hours=1)) == {NUMBER: "processing"}
    desk.confirm(said("JPO0000001", "90.00", None, "failed"))
    assert run(desk, DUE + timedelta(hours=2)) == {NUMBER: "completed"}
    status, tries, error, next_at = tried(desk)
    assert (status, tries, next_at) == ("completed", 2, None)
    assert error is not None, "what went wrong before stays on the row"


def test_waiting_tries_are_not_the_same(desk: Desk) -> None:  # noqa: F811
    """Jitter: those that failed together do not come back together."""
    frozen_window(desk.owner, ["90.00"])
    for number in range(5):
        due(desk, amount=f"{number + 1}.00")
    assert set(run(desk, DUE).values()) == {"processing"}
    assert one(desk.owner, "select count(distinct next_try_at) from payouts.payout_schedules") > 1


def test_what_is_cancelled_makes_no_request(desk: Desk) -> None:  # noqa: F811
    failed(desk)
    for amount in ("10.00", "20.00", "95.00"):
        due(desk, amount=amount)
    desk.does("olga", "schedules", "trigger", "SCH0000003")
    desk.does("otto", "schedules", "cancel", NUMBER, "SCH0000003", *WHY)
    assert run(desk, DUE) == {"SCH0000002": "completed"}
    assert desk.refused("otto", "schedules", "cancel", NUMBER, *WHY, code=5).endswith("is cancelled already")
    # All or none.
    due(desk, amount="5.00")
    refused = desk.refused("otto", "schedules", "cancel", "SCH0000004", "SCH0000002", *WHY, code=5)
    assert refused == "schedule SCH0000002 is completed already"
    assert "--reason is empty" in desk.refused(
        "otto", "schedules", "cancel", "SCH0000004", "--reason", "", code=2
    )


# Who


@pytest.mark.parametrize("act", ["create", "trigger", "run", "cancel"])
def test_an_act_is_refused_to_every_other_role(desk: Desk, act: str) -> None:  # noqa: F811
    """Billing may hold, and not trigger."""
    failed(desk)
    scheduled(desk, "--at", "2020-01-01T00:00:00Z")
    words = {
        "create": scheduling(amount="1.00"),
        "trigger": ("schedules", "trigger", NUMBER),
        "run": ("schedules", "run"),
        "cancel": ("schedules", "cancel", NUMBER, *WHY),
    }[act]
    for who in sorted(desk.of.keys() - OPERATORS):
        assert "this login has not the role for it" in desk.refused(who, *words), who
    assert "cannot act as" in desk.refused("ada", *words, "--by", "olga")
    desk.does("ada", *words)


def test_who_made_or_triggered_it_does_not_approve(desk: Desk) -> None:  # noqa: F811
    failed(desk)
    desk.does("boris", *scheduling(amount="10.00"))
    desk.does("olga", "schedules", "trigger", NUMBER)
    refused = desk.refused("boris", "requests", "approve", REQUEST)
    assert refused == f"boris requested {REQUEST}: another person has to approve it"
    desk.does("anna", "requests", "approve", REQUEST)
    # It was tried by another one before.
    desk.does("olga", *scheduling(amount="85.00"))
    desk.does("otto", "schedules", "trigger", "SCH0000002")
    assert at_most(desk, "80.00")
    desk.does("olga", "requests", "reject", REQUEST, *WHY)
    desk.does("boris", "schedules", "trigger", "SCH0000002")
    refused = desk.refused("boris", "requests", "approve", "REQ0000002")
    assert refused == ("boris triggered the schedule of request REQ0000002: another person has to approve it")
    desk.does("anna", "requests", "approve", "REQ0000002")


# Rubbish


@pytest.mark.parametrize(
    ("words", "code", "answer"),
    [
        (scheduling(trigger="odd"), 2, "--trigger 'odd' is none of guarantee_period_end, milestone_reached"),
        (scheduling(trigger="guarantee_period_end"), 2, "--order names the order whose guarantee ends"),
        (scheduling("--order", ORDER), 2, "--order names the order whose guarantee ends"),
        (
            scheduling("--order", ORDER, "--at", "2026-12-01T00:00:00Z", trigger="guarantee_period_end"),
            2,
            "--at: the end of the order's guarantee is its time",
        ),
        (scheduling("--at", "soon"), 2, "--at 'soon' is not an instant"),
        (scheduling("--note", " "), 2, "--note is empty"),
        (scheduling(amount="0"), 2, "is no amount: write it like 120.50"),
        (("schedules", "create", "nobody", *scheduling()[3:]), 3, "there is no seller nobody"),
        (("schedules", "list", "--status", "odd"), 2, "is none of"),
        (("schedules", "list", "--trigger", "odd"), 2, "is none of"),
        (("schedules", "cancel", "odd", *WHY), 5, "there is no schedule odd"),
    ],
)
def test_rubbish_is_answered_with_what_to_do(
    desk: Desk,  # noqa: F811
    words: tuple[object, ...],
    code: int,
    answer: str,
) -> None:
    failed(desk)
    assert answer in desk.refused("ada", *words, code=code)


def test_the_same_once_more_is_a_command_that_was_repeated(desk: Desk) -> None:  # noqa: F811
    failed(desk)
    scheduled(desk)
    again = desk.refused("olga", *scheduling(), code=5)
    assert again == f"{NUMBER} is just that already: another note tells two apart"
    scheduled(desk, "--note", "and the blog")


def test_the_list(desk: Desk) -> None:  # noqa: F811
    failed(desk)
    scheduled(desk)
    scheduled(desk, trigger="manual")
    scheduled(desk, trigger="contract_signed")
    desk.does("olga", "schedules", "cancel", "SCH0000002", *WHY)

    def numbers(*more: str) -> list[str]:
        found = desk.does("bill", "schedules", "list", "--json", *more).json
        return [each["schedule_number"] for each in found]

    assert numbers() == [NUMBER, "SCH0000002", "SCH0000003"]
    assert numbers("--status", "pending") == [NUMBER, "SCH0000003"]
    assert numbers("--trigger", "contract_signed") == ["SCH0000003"]
    assert numbers("--seller", "s2") == numbers("--due") == []
    assert numbers("--limit", "1", "--after", NUMBER) == ["SCH0000002"]
    shown = desk.does("lena", "schedules", "list", "--limit", "2")
    assert "contract_signed" not in shown.out.decode()
    assert shown.err == "there may be more: --after SCH0000002\n"


# At once


def at_once(desk: Desk, act: Callable[[psycopg.Connection[Any]], dict[str, str]]) -> list[dict[str, str]]:  # noqa: F811
    server, together = server_of(desk), Barrier(4)

    def done(_: int) -> dict[str, str]:
        with open_connection(server) as conn:
            together.wait()
            try:
                return act(conn)
            except NothingToDo:
                return {}

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(done, range(4)))


@pytest.mark.catalogue(3)
def test_jobs_at_once_share_the_work(desk: Desk) -> None:  # noqa: F811
    failed(desk)
    numbers = [due(desk, amount=f"{number}.00") for number in range(1, 6)]
    outcomes = at_once(desk, lambda conn: requests.run(conn, DUE, OPERATOR))
    assert sorted(number for each in outcomes for number in each) == numbers
    assert {outcome for each in outcomes for outcome in each.values()} == {"completed"}
    assert one(desk.owner, "select count(*) from payouts.payout_requests") == len(numbers)


@pytest.mark.catalogue(3)
def test_people_at_once_trigger_it_once(desk: Desk) -> None:  # noqa: F811
    failed(desk)
    scheduled(desk)
    outcomes = at_once(desk, lambda conn: requests.trigger(conn, [NUMBER], OPERATOR))
    assert sorted(len(each) for each in outcomes) == [0, 0, 0, 1]
    assert one(desk.owner, "select count(*) from payouts.payout_requests") == 1


def test_what_another_has_in_hand_is_left_alone(desk: Desk) -> None:  # noqa: F811
    failed(desk)
    first, second = due(desk, amount="1.00"), due(desk, amount="2.00")
    with open_connection(server_of(desk)) as conn, conn.transaction():
        conn.execute("select from payouts.payout_schedules where schedule_number = %s for update", [first])
        assert run(desk, DUE) == {second: "completed"}
    assert run(desk, DUE) == {first: "completed"}


def test_a_request_of_a_schedule_counts_like_any_other(desk: Desk) -> None:  # noqa: F811
    failed(desk)
    desk.does("olga", *asking("60.00"))
    due(desk, amount="30.01")
    assert run(desk, DUE) == {NUMBER: "processing"}
    desk.does("olga", "requests", "reject", REQUEST, *WHY)
    assert run(desk, DUE + timedelta(hours=1)) == {NUMBER: "completed"}

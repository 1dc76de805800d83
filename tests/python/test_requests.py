"""Off-cycle requests, through the command: part of a frozen balance leaves alone, once, and no other way.

After every test at the desk the ledger, the obligations and the audit log agree (`desk.agree`).
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from psycopg import Connection
from psycopg.types.json import Jsonb

from compiled_build import Build
from conftest import NewDatabase
from desk import Desk, agree, desk, people  # noqa: F401
from frozen_window import APPROVER, OPERATOR, WINDOW, frozen_window, one, submitted_window
from killing import DONE, KILLED, in_child, kill_at
from rail_batches import Bench, bench
from small_week import NEXT_NIGHT, NIGHT, START, Week
from test_controls_cli import APPROVERS, OPERATORS
from test_executions import configured, said
from test_second_factor import code_of
from tuesday import empty, listening, marts  # noqa: F401
from weekclose import requests, second_factor, submission
from weekclose.database import open_connection
from weekclose.errors import NothingToDo, WeekcloseError
from weekclose.postgres import Server

SECOND = WINDOW + timedelta(days=7)
FAILED, REQUESTED = "JPO0000001", "JPO0000002"
NUMBER, BATCH, AGAIN = "REQ0000001", "REQ0000001-G1", "REQ0000001-G2"
WHY = ("--reason", "he asked for it")


@pytest.fixture
def rail(tmp_path: Path) -> Iterator[Bench]:
    with bench("batch", tmp_path) as made:
        yield made


def through(rail: Bench) -> dict[str, Any]:
    """The environment in which the command speaks to that rail."""
    return dict(configured(rail))


def failed(desk: Desk, amount: str = "90.00", **options: Any) -> None:  # noqa: F811
    """s1 has this in his balance: his payout failed, and nothing has been frozen since."""
    submitted_window(desk.owner, [amount], **options)
    desk.confirm(said(FAILED, amount, None, "failed"))


def asking(amount: str, seller: str = "s1", *why: str) -> tuple[object, ...]:
    return ("requests", "create", seller, "--currency", "USD", "--amount", amount, *(why or WHY))


def requested(desk: Desk, amount: str = "50.00", *why: str) -> str:  # noqa: F811
    return desk.does("olga", *asking(amount, "s1", *why)).word


def approved(desk: Desk, amount: str = "50.00") -> str:  # noqa: F811
    number = requested(desk, amount)
    desk.does("anna", "requests", "approve", number)
    return number


def left(desk: Desk, rail: Bench) -> None:  # noqa: F811
    """A request of 50.00 is with the rail."""
    failed(desk)
    desk.does("olga", "submit", approved(desk), **through(rail))
    rail.rail.release()


def listed(desk: Desk, number: str = NUMBER) -> dict[str, Any]:  # noqa: F811
    found: dict[str, Any] = next(
        each
        for each in desk.does("arne", "requests", "list", "--json").json
        if each["request_number"] == number
    )
    return found


def at_most(desk: Desk, most: str, seller: str = "s1") -> bool:  # noqa: F811
    """Whether this, and not a cent more, may be requested now."""
    over = str(Decimal(most) + Decimal("0.01"))
    return f"seller {seller} may have at most {most} USD now, not {over}:" in desk.refused(
        "olga", *asking(over, seller)
    )


def batches(desk: Desk) -> list[tuple[str, str]]:  # noqa: F811
    return desk.owner.execute(
        "select batch_id, state from payouts.batches where request_number is not null order by batch_id"
    ).fetchall()


# From the wish to the money


def test_a_request_is_approved_leaves_and_is_paid(desk: Desk, rail: Bench) -> None:  # noqa: F811
    failed(desk)
    asked = desk.does("olga", *asking("50.00"))
    assert (asked.word, asked.err) == (
        NUMBER,
        f"{NUMBER} asks for 50.00 USD of seller s1: weekclose requests approve, by another person\n",
    )
    assert listed(desk)["status"] == "requested"
    refused = desk.refused("olga", "submit", NUMBER, code=5, **through(rail))
    assert refused == f"request {NUMBER} has no batch: it is not approved"
    done = desk.does("anna", "requests", "approve", NUMBER)
    assert done.err == f"1 approved by anna: weekclose submit {NUMBER}\n"
    assert desk.payout(REQUESTED) == ("ready", []), "approval is no payment"
    assert (listed(desk)["status"], listed(desk)["payout_number"]) == ("approved", REQUESTED)
    assert batches(desk) == [(BATCH, "approved")]
    again = desk.refused("anna", "requests", "approve", NUMBER, code=5)
    assert again == f"request {NUMBER} is approved already, by anna"

    dry = desk.does("otto", "submit", NUMBER, "--dry-run", **through(rail))
    assert REQUESTED in dry.out.decode()
    done = desk.does("otto", "submit", NUMBER, **through(rail))
    assert f"batch {BATCH} is submitted: 1 payouts, 50.00 USD" in done.err
    assert desk.payout(REQUESTED)[0] == listed(desk)["status"] == "submitted"
    desk.refused("otto", "submit", NUMBER, code=5, **through(rail))
    rail.rail.release()
    rail.rail.settle({"*": "completed"}, webhooks="lose")
    desk.does("otto", "reconcile", NUMBER, **through(rail))
    assert listed(desk)["status"] == "paid"
    assert batches(desk) == [(BATCH, "settled")]
    assert rail.paid() == {REQUESTED: 1}
    assert desk.entries(REQUESTED) == {
        "submit": {"seller_payable": Decimal(-50), "payouts_in_transit": Decimal(50)},
        "pay": {"payouts_in_transit": Decimal(-50), "payouts_paid": Decimal(50)},
    }
    assert at_most(desk, "40.00")


def test_the_list_is_filtered_and_has_pages(desk: Desk) -> None:  # noqa: F811
    failed(desk)
    for amount in ("10.00", "20.00", "30.00"):
        requested(desk, amount)
    desk.does("anna", "requests", "reject", "REQ0000002", *WHY)

    def numbers(*more: str) -> list[str]:
        found = desk.does("bill", "requests", "list", "--json", *more).json
        return [each["request_number"] for each in found]

    assert numbers() == ["REQ0000001", "REQ0000002", "REQ0000003"]
    assert numbers("--status", "requested") == ["REQ0000001", "REQ0000003"]
    assert numbers("--seller", "s2") == []
    assert numbers("--limit", "1", "--after", "REQ0000001") == ["REQ0000002"]
    shown = desk.does("lena", "requests", "list", "--limit", "2")
    assert "20.00" in shown.out.decode()
    assert shown.err == "there may be more: --after REQ0000002\n"
    assert "is none of" in desk.refused("olga", "requests", "list", "--status", "odd", code=2)


# How much


def test_to_the_cent(desk: Desk) -> None:  # noqa: F811
    failed(desk)
    assert at_most(desk, "90.00")
    requested(desk, "90.00")
    assert at_most(desk, "0.00"), "what is asked for is not asked for once more"
    desk.does("anna", "requests", "approve", NUMBER)
    assert at_most(desk, "0.00")
    assert one(desk.owner, "select available from payouts.payout_requests") == 90


def test_two_that_are_more_than_there_is(desk: Desk) -> None:  # noqa: F811
    failed(desk)
    desk.does("olga", *asking("60.00"))
    assert at_most(desk, "30.00")
    desk.does("otto", *asking("30.00"))
    desk.does("anna", "requests", "approve", NUMBER, "REQ0000002")
    assert at_most(desk, "0.00")
    desk.does("olga", "requests", "reject", "REQ0000002", *WHY)
    assert at_most(desk, "30.00"), "what was rejected is there again"


def test_a_freelancer_keeps_his_floor(desk: Desk) -> None:  # noqa: F811
    failed(desk, "150.00")
    desk.owner.execute("update raw.sellers set seller_type = 'freelancer'")
    refused = desk.refused("olga", *asking("50.01"))
    assert refused == (
        "seller s1 may have at most 50.00 USD now, not 50.01: 150.00 in the balance, 0 promised, "
        "floor 100.00, 0 held, 0 asked for"
    )
    approved(desk, "50.00")


def test_what_is_promised_is_not_requested(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    assert at_most(desk, "0.00")
    desk.does("olga", "hold", "s1", "--window", WINDOW, *WHY)
    assert at_most(desk, "0.00"), "what waits for a person may be released yet"
    desk.freeze(SECOND, {"s1": "10.00"})
    assert at_most(desk, "0.00"), "it has rolled into what is ready now"


def test_what_is_held_is_not_requested(desk: Desk) -> None:  # noqa: F811
    failed(desk)
    held = ("holds", "create", "s1", "--currency", "USD", "--reason", "dispute", "--note", "x", "--amount")
    hold = desk.does("bill", *held, "30.00").word
    assert at_most(desk, "60.00")
    requested(desk, "60.00")
    desk.does("bill", *held, "0.01")
    refused = desk.refused("anna", "requests", "approve", NUMBER)
    assert refused.startswith("seller s1 may have at most 59.99 USD now, not 60.00"), refused
    desk.does("olga", "holds", "release", hold, *WHY)
    desk.does("anna", "requests", "approve", NUMBER)


def test_a_running_guarantee_holds_a_frozen_order(desk: Desk) -> None:  # noqa: F811
    failed(desk)
    desk.build(WINDOW, {"s1": "90.00"})
    desk.owner.execute(
        "update raw.orders set guarantee_ends_at = now() + interval '7 days', order_id = 's1-2026-11-01'"
    )
    assert at_most(desk, "0.00")
    desk.owner.execute("update raw.orders set guarantee_ends_at = now() - interval '7 days'")
    assert at_most(desk, "90.00")


@pytest.mark.parametrize(
    ("words", "code", "answer"),
    [
        (asking("0"), 2, "is no amount: write it like 120.50"),
        (asking("-1"), 2, "is no amount: write it like 120.50"),
        (asking("0.001"), 2, "is no amount: write it like 120.50"),
        (asking("5", "s1", "--reason", " "), 2, "--reason is empty"),
        (asking("5", "nobody"), 3, "seller nobody has no frozen balance in USD"),
        (
            ("requests", "create", "s1", "--currency", "EUR", "--amount", "5", *WHY),
            3,
            "seller s1 has no frozen balance in EUR",
        ),
        (("requests", "approve", "REQ0000009"), 5, "there is no request REQ0000009"),
        (("requests", "reject", "REQ0000009", *WHY), 5, "there is no request REQ0000009"),
        (("requests", "approve", "odd", "--resend"), 5, "request odd has no batch: it is not approved"),
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
    requested(desk, "5.00")
    again = desk.refused("olga", *asking("5.00"), code=5)
    assert again == f"{NUMBER} is just that already: another reason tells two apart"
    requested(desk, "5.00", "--reason", "and once more")


# Who


def _create(desk: Desk) -> tuple[object, ...]:  # noqa: F811
    failed(desk)
    return asking("5.00")


def _approve(desk: Desk) -> tuple[object, ...]:  # noqa: F811
    desk.does("otto", *_create(desk))
    return ("requests", "approve", NUMBER)


def _reject(desk: Desk) -> tuple[object, ...]:  # noqa: F811
    return ("requests", "reject", _approve(desk)[-1], *WHY)


ACTS: dict[str, tuple[Callable[[Desk], tuple[object, ...]], set[str]]] = {
    "create": (_create, OPERATORS),
    "approve": (_approve, APPROVERS),
    "reject": (_reject, OPERATORS | APPROVERS),
}


@pytest.mark.parametrize("act", ACTS)
def test_an_act_is_refused_to_every_other_role(desk: Desk, act: str) -> None:  # noqa: F811
    prepare, allowed = ACTS[act]
    words = prepare(desk)
    for who in sorted(desk.of.keys() - allowed):
        assert "this login has not the role for it" in desk.refused(who, *words), who
    assert "cannot act as" in desk.refused("ada", *words, "--by", "olga")
    desk.does("ada", *words)


def test_another_person_approves(desk: Desk) -> None:  # noqa: F811
    failed(desk)
    desk.does("boris", *asking("5.00"))
    refused = desk.refused("boris", "requests", "approve", NUMBER)
    assert refused == f"boris requested {NUMBER}: another person has to approve it"
    desk.does("anna", "requests", "approve", NUMBER)


def test_a_second_factor_is_asked_last(desk: Desk) -> None:  # noqa: F811
    failed(desk)
    secret = second_factor.enrol(desk.owner, desk.name("anna"))
    try:
        requested(desk, "5.00")
        refused = desk.refused("anna", "requests", "approve", NUMBER)
        assert "WEEKCLOSE_OTP" in refused, refused
        desk.does("anna", "requests", "approve", NUMBER, WEEKCLOSE_OTP=code_of(desk.owner, secret))
    finally:
        desk.owner.execute("delete from payouts.second_factors")


# What keeps a seller from being paid


def _on_hold(desk: Desk) -> None:  # noqa: F811
    desk.owner.execute(
        "insert into payouts.holds (seller_id, payout_window, reason, held_by) values ('s1', %s, 'x', 'o')",
        [WINDOW],
    )


def _wish(desk: Desk) -> None:  # noqa: F811
    """An open exception about s1's money."""
    number = desk.propose("5.00")
    desk.does("olga", "adjust", "apply", number, "--skip", *WHY)


def _flagged(desk: Desk) -> None:  # noqa: F811
    desk.owner.execute(
        "insert into intermediate.int_seller_scores select 's1', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '{}', 0, 0, 0,"
        " 0, 0, true, '{low_score}', now()"
    )


OBSTACLES: dict[str, str | Callable[[Desk], None]] = {
    "unknown_seller": "delete from raw.sellers",
    "manual_review": _flagged,
    "seller_inactive": "update raw.sellers set status = 'suspended'",
    "no_rail": "update raw.sellers set region = 'MOON'",
    "invalid_wallet": "update raw.sellers set wallet_address = 'T1'",
    "currency_mismatch": "update raw.sellers set settlement_currency = 'EUR'",
    "wallet_recently_changed": "update raw.sellers set wallet_changed_at"
    " = (select max(as_of) + interval '1 hour' from intermediate.int_builds)",
    "on_hold": _on_hold,
    "exception_pending": _wish,
}


def test_a_wallet_that_changed_before_the_build_counts_too(desk: Desk) -> None:  # noqa: F811
    failed(desk)
    requested(desk, "5.00")
    desk.owner.execute(
        "update raw.sellers"
        " set wallet_changed_at = (select max(as_of) from intermediate.int_builds) - interval '1 hour'"
    )
    refused = desk.refused("anna", "requests", "approve", NUMBER)
    assert refused == "seller s1 cannot be paid now: wallet_recently_changed"


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_an_obstacle_keeps_it_from_being_approved(desk: Desk, obstacle: str) -> None:  # noqa: F811
    failed(desk)
    requested(desk, "5.00")
    how = OBSTACLES[obstacle]
    try:
        if isinstance(how, str):
            desk.owner.execute(how.encode())
        else:
            how(desk)
        refused = desk.refused("anna", "requests", "approve", NUMBER)
        assert refused == f"seller s1 cannot be paid now: {obstacle}"
    finally:
        desk.owner.execute("delete from intermediate.int_seller_scores")


# Rejected


def test_what_is_rejected_is_back_in_the_balance(desk: Desk, rail: Bench) -> None:  # noqa: F811
    failed(desk)
    approved(desk, "90.00")
    assert at_most(desk, "0.00")
    desk.does("otto", "requests", "reject", NUMBER, *WHY)
    assert desk.payout(REQUESTED) == ("blocked", ["request_rejected"])
    assert listed(desk)["status"] == "rejected"
    assert at_most(desk, "90.00")
    assert desk.refused("otto", "requests", "reject", NUMBER, *WHY, code=5).endswith("is rejected already")
    assert desk.refused("anna", "requests", "approve", NUMBER, code=5).endswith("is rejected already")
    assert "is not approved" in desk.refused("olga", "submit", NUMBER, **through(rail))
    desk.freeze(SECOND, {"s1": "10.00"})
    assert desk.row(SECOND)["payable"] == 100


def test_what_has_left_is_not_rejected(desk: Desk, rail: Bench) -> None:  # noqa: F811
    left(desk, rail)
    refused = desk.refused("anna", "requests", "reject", NUMBER, *WHY)
    assert refused == f"batch {BATCH} is submitted: it cannot be decided on any more"


# Between approval and submission


def _suspended(desk: Desk) -> None:  # noqa: F811
    desk.owner.execute("update raw.sellers set status = 'suspended'")


def _moved(desk: Desk) -> None:  # noqa: F811
    desk.owner.execute("update raw.sellers set wallet_address = 'another'")


def _held(desk: Desk) -> None:  # noqa: F811
    stated = ("--currency", "USD", "--amount", "40.01", "--reason", "dispute", "--note", "x")
    desk.does("bill", "holds", "create", "s1", *stated)


STOPS: dict[str, tuple[Callable[[Desk], None], str]] = {
    "the seller is suspended": (_suspended, "the seller is suspended"),
    "the wallet changes": (_moved, "the wallet has changed since the freeze"),
    "his window is on hold": (_on_hold, "it is on hold"),
    "a hold comes": (_held, "0.01 USD more than floor and holds allow"),
}


@pytest.mark.parametrize("stop", STOPS)
def test_what_stops_an_approved_request(desk: Desk, rail: Bench, stop: str) -> None:  # noqa: F811
    failed(desk)
    approved(desk)
    how, answer = STOPS[stop]
    how(desk)
    refused = desk.refused("olga", "submit", NUMBER, **through(rail))
    assert refused == (
        f"payout {REQUESTED} of seller s1 may not go out: {answer} "
        f"(1 in all; weekclose requests reject {NUMBER})"
    )
    assert rail.sent() == []


def test_an_exception_blocks_it_and_frees_it(desk: Desk, rail: Bench) -> None:  # noqa: F811
    """Its approval is void: somebody has to look again."""
    failed(desk)
    approved(desk)
    _wish(desk)
    assert desk.payout(REQUESTED) == ("blocked", ["exception_pending"])
    assert "is not approved" in desk.refused("olga", "submit", NUMBER, **through(rail))
    refused = desk.refused("anna", "requests", "approve", NUMBER)
    assert refused == f"request {NUMBER} is blocked: exception_pending"
    assert at_most(desk, "40.00"), "it may be free again"
    desk.does("anna", "exception", "reject", "1", *WHY)
    assert desk.payout(REQUESTED) == ("ready", [])
    desk.does("anna", "requests", "approve", NUMBER)
    desk.does("olga", "submit", NUMBER, **through(rail))


def test_a_blocked_one_rolls_at_the_next_freeze(desk: Desk) -> None:  # noqa: F811
    failed(desk)
    approved(desk)
    _wish(desk)
    desk.freeze(SECOND, {"s1": "10.00"})
    assert desk.row(SECOND)["carry_in"] == 90
    desk.does("anna", "exception", "reject", "1", *WHY)
    assert desk.payout(REQUESTED) == ("blocked", ["exception_pending"])
    desk.does("anna", "requests", "reject", NUMBER, *WHY)


def test_a_freeze_between_takes_nothing_of_it(desk: Desk, rail: Bench) -> None:  # noqa: F811
    failed(desk)
    approved(desk)
    desk.freeze(SECOND, {"s1": "10.00"})
    assert desk.row(SECOND) == {
        "carry_in": Decimal(40),
        "adjustments": Decimal(0),
        "payable": Decimal(50),
        "carry_out": Decimal(0),
    }
    desk.does("olga", "submit", NUMBER, **through(rail))
    assert rail.paid() == {REQUESTED: 1}


# What the rail makes of it


def test_what_fails_is_in_the_next_window(desk: Desk, rail: Bench) -> None:  # noqa: F811
    left(desk, rail)
    rail.rail.settle({"*": "failed"}, webhooks="lose")
    desk.does("olga", "reconcile", **through(rail))
    assert listed(desk)["status"] == "failed"
    assert at_most(desk, "90.00")
    desk.freeze(SECOND, {"s1": "10.00"})
    assert desk.row(SECOND)["carry_in"] == 90


def test_what_the_rail_refuses_needs_an_approval_again(desk: Desk, rail: Bench) -> None:  # noqa: F811
    failed(desk)
    approved(desk)
    rail.arm("refuse", references=(REQUESTED,), times=None)
    refused = desk.run("olga", "submit", NUMBER, **through(rail))
    assert (refused.code, AGAIN in refused.err) == (1, True)
    assert desk.payout(REQUESTED) == ("ready", [])
    assert batches(desk) == [(BATCH, "rejected"), (AGAIN, "frozen")]
    assert at_most(desk, "40.00")
    rail.rail.faults.clear()
    waits = desk.refused("olga", "submit", NUMBER, **through(rail))
    assert waits.endswith(f"{AGAIN} is not approved: weekclose requests approve {NUMBER}, by another person")
    desk.does("anna", "requests", "approve", NUMBER)
    desk.does("olga", "submit", NUMBER, **through(rail))
    assert rail.paid() == {REQUESTED: 1}
    assert len(set(rail.sent())) == 2, "another generation has another key"


def test_an_unknown_outcome_is_found_out(desk: Desk, rail: Bench) -> None:  # noqa: F811
    failed(desk)
    approved(desk)
    rail.arm("error_after")
    unknown = desk.run("olga", "submit", NUMBER, **through(rail))
    assert unknown.code == 4
    assert f"run weekclose submit {NUMBER} again after" in unknown.err
    desk.does("olga", "submit", NUMBER, **through(rail))
    assert rail.paid() == {REQUESTED: 1}


def test_a_forgotten_key_needs_an_order(desk: Desk, rail: Bench) -> None:  # noqa: F811
    failed(desk)
    approved(desk)
    nothing = desk.refused("anna", "requests", "approve", NUMBER, "--resend", code=5)
    assert nothing == f"request {NUMBER} has no batch whose outcome is unknown"
    rail.arm("error_before", times=None)
    assert desk.run("olga", "submit", NUMBER, **through(rail)).code == 4
    rail.rail.faults.clear()
    with desk.owner.transaction():
        desk.owner.execute("set local session_replication_role = replica")
        desk.owner.execute(
            "update payouts.submit_attempts set started_at = started_at - interval '90 days',"
            " active_at = active_at - interval '90 days', ended_at = ended_at - interval '90 days'"
        )
    refused = desk.refused("olga", "submit", NUMBER, **through(rail))
    assert refused.endswith(f"weekclose requests approve {NUMBER} --resend")
    desk.does("anna", "requests", "approve", NUMBER, "--resend")
    desk.does("olga", "submit", NUMBER, **through(rail))
    assert rail.paid() == {REQUESTED: 1}


def test_a_late_success_of_what_was_requested_since_is_for_a_person(desk: Desk) -> None:  # noqa: F811
    failed(desk)
    requested(desk)
    desk.confirm(said(FAILED, "90.00", "TX-1"))
    assert desk.payout(FAILED)[0] == "paid", "a wish keeps no money"
    refused = desk.refused("anna", "requests", "approve", NUMBER)
    assert refused.startswith("seller s1 may have at most 0.00 USD now, not 50.00: 0.00 in the balance")


def test_a_late_success_of_what_was_approved_since_is_for_a_person(desk: Desk) -> None:  # noqa: F811
    failed(desk)
    approved(desk)
    desk.confirm(said(FAILED, "90.00", "TX-1"))
    assert desk.payout(FAILED)[0] == "awaiting_reconciliation"
    assert one(
        desk.owner, "select count(*) from marts.reconciliation_breaks where break_type = 'late_completion'"
    )


def by_hand(desk: Desk, rail: Bench) -> None:  # noqa: F811
    """A request of 50.00 that a person is to pay."""
    failed(desk)
    desk.owner.execute("update raw.sellers set preferred_rail = 'MANUAL'")
    desk.does("olga", "submit", approved(desk), **through(rail))
    assert rail.requests == []


def test_a_person_pays_by_hand(desk: Desk, rail: Bench) -> None:  # noqa: F811
    by_hand(desk, rail)
    stated = ("--reference", "BANK-1", "--amount", "50.00", "--proof", desk.file())
    desk.does("otto", "execute", REQUESTED, *stated)
    assert listed(desk)["status"] == "paid"
    assert batches(desk) == [(BATCH, "settled")]
    desk.does("rita", "reverse", REQUESTED, "--reason", "duplicate_payment", "--note", "paid in cash before")
    assert listed(desk)["status"] == "reversed"
    assert at_most(desk, "40.00"), "a reversal gives nothing back to the balance"


@pytest.mark.parametrize(
    ("verdict", "becomes", "most"), [("accept", "paid", "40.00"), ("retry", "failed", "90.00")]
)
def test_a_person_resolves_another_amount(
    desk: Desk,  # noqa: F811
    rail: Bench,
    verdict: str,
    becomes: str,
    most: str,
) -> None:
    by_hand(desk, rail)
    stated = (
        "--reference",
        "BANK-1",
        "--amount",
        "45.00",
        "--proof",
        desk.file(),
        "--note",
        "the bank took 5",
    )
    desk.does("otto", "execute", REQUESTED, *stated)
    assert listed(desk)["status"] == "awaiting_reconciliation"
    desk.does("rita", "resolve", REQUESTED, verdict, "--note", "so it is", "--proof", desk.file())
    assert listed(desk)["status"] == becomes
    assert at_most(desk, most)


# At once


def server_of(desk: Desk) -> Server:  # noqa: F811
    """The owner's own way to the desk's database."""
    info = desk.owner.info
    return replace(desk.of["olga"], user=info.user, password=info.password)


def at_once(desk: Desk, act: Callable[[Connection[Any]], object]) -> list[str]:  # noqa: F811
    """What becomes of four who do it at the same time, each on a connection of his own."""
    server, together = server_of(desk), Barrier(4)

    def done(_: int) -> str:
        with open_connection(server) as conn:
            together.wait()
            try:
                act(conn)
            except WeekcloseError as error:
                return type(error).__name__
            return "done"

    with ThreadPoolExecutor(4) as pool:
        return sorted(pool.map(done, range(4)))


@pytest.mark.catalogue(3)
def test_two_who_approve_at_once_approve_once(desk: Desk) -> None:  # noqa: F811
    failed(desk)
    requested(desk)
    assert at_once(desk, approve_it) == [*["NothingToDo"] * 3, "done"]
    assert batches(desk) == [(BATCH, "approved")]


@pytest.mark.catalogue(3)
def test_two_who_submit_at_once_pay_once(desk: Desk, rail: Bench) -> None:  # noqa: F811
    failed(desk)
    approved(desk)

    def submit(conn: Connection[Any]) -> None:
        submission.submit(conn, rail.adapter(max_processing_seconds=3600), NUMBER, OPERATOR)

    assert "done" in at_once(desk, submit)
    assert rail.paid() == {REQUESTED: 1}
    assert batches(desk) == [(BATCH, "submitted")]


@pytest.mark.catalogue(3)
def test_a_late_success_and_an_approval_at_once(desk: Desk) -> None:  # noqa: F811
    """Of the same money: one of the two comes first, and the other knows."""
    failed(desk)
    requested(desk, "90.00")
    acts = [approve_it, late_word, approve_it, late_word]

    def either(conn: Connection[Any]) -> None:
        acts.pop()(conn)

    at_once(desk, either)
    assert (desk.payout(FAILED)[0], listed(desk)["status"]) in {
        ("paid", "requested"),
        ("awaiting_reconciliation", "approved"),
    }


def approve_it(conn: Connection[Any]) -> None:
    requests.approve(conn, [NUMBER], APPROVER)


def late_word(conn: Connection[Any]) -> None:
    word = said(FAILED, "90.00", "TX-1") | {"final": True}
    conn.execute(
        "select payouts.confirm('W2026-11-01-G1', clock_timestamp(), %s, %s)", [Jsonb([word]), OPERATOR]
    )


@pytest.mark.catalogue(1)
def test_killed_anywhere_and_run_again(desk: Desk, tmp_path: Path) -> None:  # noqa: F811
    """A request's submission, killed before each of its exchanges, and run again: it is paid once."""
    server = server_of(desk)
    for at in range(100):
        empty(server, keep=["payouts.second_factor_rule"])
        with bench("batch", tmp_path / str(at)) as rail:
            failed(desk)
            approved(desk)

            def submit() -> None:
                with open_connection(server) as conn:
                    submission.submit(conn, rail.adapter(max_processing_seconds=0), NUMBER, OPERATOR)

            def killed_submit() -> None:
                kill_at(at)  # noqa: B023
                submit()

            ended = in_child(killed_submit)
            assert ended in (DONE, KILLED)
            with suppress(NothingToDo):
                submit()
            assert (rail.paid(), batches(desk)) == ({REQUESTED: 1}, [(BATCH, "submitted")]), at
            agree(desk.owner)
        if ended == DONE:
            assert at > 3
            return
    raise AssertionError("there was no end of it")


# With Sundays


@pytest.fixture
def week(
    new_marts: NewDatabase,
    build: Build,
    people: dict[str, Server],  # noqa: F811
    tmp_path: Path,
) -> Iterator[tuple[Week, Desk]]:
    """A marketplace with Sundays, and the people of the desk."""
    with new_marts() as database, open_connection(database) as conn:
        here = {who: replace(login, dbname=database.dbname) for who, login in people.items()}
        made = Week(database, conn, build.on(database))
        yield made, Desk(conn, here, tmp_path)


def test_a_request_between_two_sundays(week: tuple[Week, Desk], rail: Bench) -> None:
    """What failed is requested, paid, and missing in the next window, to the cent."""
    market, desk = week  # noqa: F811
    for seller in ("s1", "s2", "s3"):
        market.seller(seller)
    market.conn.execute("update raw.sellers set seller_type = 'freelancer' where seller_id = 's3'")
    market.order("o1", "s1", "2026-11-02T10:00Z")
    market.order("o2", "s2", "2026-11-07T23:59Z", gross=50, fee=5)
    market.order("o3", "s3", "2026-11-03T10:00Z", gross=500, fee=50)
    market.order("o4", "s1", "2026-11-10T10:00Z", gross=20, fee=2)
    for number, day in (("o5", "15"), ("o6", "22")):
        market.order(number, "s2", f"2026-11-{day}T10:00Z")
    first = market.sunday(NIGHT)
    assert first.outcome == "frozen", first.message
    environment = through(rail)
    desk.does("anna", "approve", START, "--digest", desk.digest())
    desk.does("olga", "submit", START, **environment)
    rail.rail.release()
    rail.rail.settle(
        {"JPO0000001": "failed", "JPO0000002": "completed", "JPO0000003": "completed"}, webhooks="lose"
    )
    desk.does("olga", "reconcile", **environment)
    assert [desk.payout(f"JPO000000{number}")[0] for number in (1, 2, 3)] == ["failed", "paid", "paid"]

    asked = ("requests", "create", "s1", "--currency", "USD", *WHY, "--amount")
    assert "at most 90.00 USD now, not 90.01" in desk.refused("olga", *asked, "90.01")
    kept = desk.refused("olga", "requests", "create", "s3", "--currency", "USD", *WHY, "--amount", "0.01")
    assert kept.startswith("seller s3 may have at most 0.00 USD now, not 0.01: 100.00 in the balance"), kept
    number = desk.does("olga", *asked, "50.00").word
    assert number == "REQ0000001"
    desk.does("anna", "requests", "approve", number)
    assert desk.payout("JPO0000004") == ("ready", [])
    desk.does("olga", "submit", number, **environment)
    with listening(market.server, rail):
        rail.rail.release()
        rail.rail.settle({"*": "completed"}, webhooks="send")
    assert desk.payout("JPO0000004")[0] == "paid"
    assert one(market.conn, "select state from payouts.batches where batch_id = 'REQ0000001-G1'") == "settled"

    report = market.sunday(NEXT_NIGHT)
    assert report.outcome == "frozen", report.message
    assert desk.row(report.frozen[0].payout_window, "s1") == {
        "carry_in": Decimal(40),
        "adjustments": Decimal(0),
        "payable": Decimal(58),
        "carry_out": Decimal(0),
    }
    stated = desk.does("lena", "statement", "s1", START).out.decode()
    assert "REQ0000001, payout JPO0000004: 50.00" in stated
    explained = desk.does("otto", "explain", "s1", report.frozen[0].payout_window).out.decode()
    assert "JPO0000004" in explained, "why less was carried in"
    again = market.sunday(NEXT_NIGHT)
    assert (again.outcome, again.red) == ("nothing_to_freeze", []), "and the books stay as they are"

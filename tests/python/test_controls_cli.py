"""Who may run which of the controls' commands, and what they answer to people, programs and rubbish."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from conftest import RunCommand
from controls import policy
from desk import PEOPLE, Desk, desk, people  # noqa: F401
from frozen_window import WINDOW, frozen_window, one, submitted_window
from tuesday import marts  # noqa: F401

FIRST, SECOND = "JPO0000001", "JPO0000002"
OF_S1 = ("--seller", "s1", "--currency", "USD")
WHY = ("--reason", "the seller called")
NOTE = ("--note", "the bank says so")
BY_HAND: dict[str, Any] = {"rail": "MANUAL", "destination": "DE00"}
OPERATORS = {"olga", "otto", "boris", "saul", "ada"}
APPROVERS = {"anna", "boris", "ada"}
RECONCILERS = {"rita", "saul", "ada"}
READERS = OPERATORS | APPROVERS | RECONCILERS | {"arne", "bill", "dirk"}

Words = tuple[object, ...]


# Each prepares what its command needs, and returns the command.


def _propose(desk: Desk) -> Words:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    stated = ("--class", "carry_forward_credit", "--currency", "USD", "--amount", "5", "--file", desk.file())
    return ("adjust", "propose", "s1", *stated, *NOTE, *WHY)


def _propose_from(desk: Desk) -> Words:  # noqa: F811
    submitted_window(desk.owner, ["90.00"])
    desk.build(WINDOW, {"s1": "90.00"})
    desk.owner.execute("update intermediate.int_order_events set restated_amount = 80")
    return ("adjust", "propose", "--from", "sale:s1-2026-11-01", *NOTE, *WHY)


def _select(desk: Desk) -> Words:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    policy(desk.owner, "carry_forward_credit", "manual")
    return ("adjust", "apply", desk.propose("5.00", "carry_forward_credit"), *OF_S1)


def _deviate(desk: Desk) -> Words:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    return ("adjust", "apply", desk.propose("5.00"), "--skip", *WHY)


def _wish(desk: Desk) -> int:  # noqa: F811
    desk.does("olga", *_deviate(desk))
    return int(desk.adjustment("ADJ0000001")["open_exception"])


def _approve(desk: Desk) -> Words:  # noqa: F811
    return ("exception", "approve", _wish(desk), *WHY)


def _reject(desk: Desk) -> Words:  # noqa: F811
    return ("exception", "reject", _wish(desk), *WHY)


def _cancel(desk: Desk) -> Words:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    return ("adjust", "cancel", desk.propose("5.00"), *WHY)


def _settle(desk: Desk) -> Words:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    number = desk.propose("5.00", "gross_invoice_fee")
    desk.does("otto", "adjust", "apply", number, *OF_S1)
    return ("adjust", "settle", number, "--reference", "BANK-1")


def _execute(desk: Desk) -> Words:  # noqa: F811
    submitted_window(desk.owner, ["90.00"], through="MANUAL", **BY_HAND)
    return ("execute", FIRST, "--reference", "BANK-1", "--amount", "90.00", "--proof", desk.file())


def _replace(desk: Desk) -> Words:  # noqa: F811
    desk.does("otto", *_execute(desk))
    return ("proof", "replace", FIRST, "--file", desk.file(), *WHY)


def _awaiting(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"])
    desk.confirm({"reference": FIRST, "status": "completed", "amount": "95.00", "external_reference": "TX-1"})


def _accept(desk: Desk) -> Words:  # noqa: F811
    _awaiting(desk)
    return ("resolve", FIRST, "accept", *NOTE)


def _retry(desk: Desk) -> Words:  # noqa: F811
    _awaiting(desk)
    return ("resolve", FIRST, "retry", *NOTE, "--proof", desk.file())


def _reverse(desk: Desk) -> Words:  # noqa: F811
    submitted_window(desk.owner, ["90.00"])
    desk.confirm({"reference": FIRST, "status": "completed", "amount": "90.00", "external_reference": "TX-1"})
    return ("reverse", FIRST, "--reason", "compliance", *NOTE, "--evidence", desk.file())


ACTS: dict[str, tuple[Callable[[Desk], Words], set[str]]] = {
    "propose": (_propose, OPERATORS),
    "propose from a break": (_propose_from, OPERATORS),
    "select": (_select, OPERATORS),
    "deviate": (_deviate, OPERATORS),
    "approve an exception": (_approve, APPROVERS),
    "reject an exception": (_reject, APPROVERS),
    "cancel": (_cancel, OPERATORS),
    "settle": (_settle, OPERATORS),
    "execute": (_execute, OPERATORS),
    "replace a proof": (_replace, OPERATORS | RECONCILERS),
    "accept": (_accept, RECONCILERS),
    "retry": (_retry, RECONCILERS),
    "reverse": (_reverse, RECONCILERS),
}


@pytest.mark.parametrize("act", ACTS)
def test_an_act_is_refused_to_every_other_role(desk: Desk, act: str) -> None:  # noqa: F811
    prepare, allowed = ACTS[act]
    command = prepare(desk)
    for who in PEOPLE.keys() - allowed:
        refused = desk.refused(who, *command)
        assert refused.startswith("permission denied for "), who
        assert refused.endswith(": this login has not the role for it"), who
    entries_before = one(desk.owner, "select count(*) from payouts.audit_log")
    doer = min(allowed - {"ada", "boris", "saul"})
    desk.does(doer, *command)
    by = one(
        desk.owner,
        "select string_agg(distinct actor, '') from payouts.audit_log where entry_id > %s",
        entries_before,
    )
    assert by == desk.name(doer)


@pytest.mark.parametrize("act", ACTS)
def test_the_admin_may_do_it_and_only_as_herself(desk: Desk, act: str) -> None:  # noqa: F811
    command = ACTS[act][0](desk)
    for elsewhere in ({"by": ("--by", "olga")}, {"environment": {"WEEKCLOSE_ACTOR": "olga"}}):
        by: Any = elsewhere.get("by", ())
        environment: Any = elsewhere.get("environment", {})
        refused = desk.refused("ada", *command, *by, **environment)
        assert refused == "the login ada cannot act as olga: leave out --by and WEEKCLOSE_ACTOR"
    desk.does("ada", *command)


def test_who_may_read(desk: Desk) -> None:  # noqa: F811
    desk.does("otto", *_execute(desk))
    desk.does("otto", "adjust", "apply", desk.propose("5.00"), "--skip", *WHY)
    sha256 = desk.does("arne", "proof", "list", FIRST, "--json").json[0]["sha256"]
    for command in (
        ("adjust", "list"),
        ("exception", "list"),
        ("payout", "search", "BANK-1"),
        ("proof", "list", FIRST),
        ("proof", "get", sha256),
    ):
        for who in PEOPLE:
            if who in READERS:
                assert desk.does(who, *command).out
            else:
                assert desk.refused(who, *command).startswith("permission denied for ")


# Rubbish

STATED = ("--class", "carry_forward_credit", "--currency", "USD", "--amount", "5", "--reason", "r")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("adjust", "propose"), "Missing option '--reason' (see weekclose adjust propose --help)"),
        (
            ("adjust", "propose", "--reason", "r"),
            "SELLER, --class, --currency and --amount are needed, or --from LINE instead",
        ),
        (
            ("adjust", "propose", "s1", *STATED, "--note", "n", "--currency", ""),
            "SELLER, --class, --currency and --amount are needed, or --from LINE instead",
        ),
        (
            ("adjust", "propose", "s1", *STATED, "--note", "n", "--from", "sale:o"),
            "--from LINE knows seller, class, currency and amount: leave those out",
        ),
        (
            ("adjust", "propose", "s1", *STATED, "--class", "gift"),
            "--class 'gift' is none of carry_forward_deduction, carry_forward_credit, gross_invoice_fee,"
            " manual_cash_recovery",
        ),
        (
            ("adjust", "propose", "s1", *STATED, "--note", "n", "--currency", "usd"),
            "--currency 'usd' is no currency code: write it like USD",
        ),
        (
            ("adjust", "propose", "s1", *STATED, "--amount", "10,50"),
            "'10,50' is no amount: write it like 120.50, positive, with at most two decimals",
        ),
        (
            ("adjust", "propose", "s1", *STATED, "--amount", "1_000"),
            "'1_000' is no amount: write it like 120.50, positive, with at most two decimals",
        ),
        (("adjust", "apply", "ADJ1"), "--seller and --currency say where the adjustments are to be applied"),
        (
            ("adjust", "apply", "ADJ1", "--seller", "s1"),
            "--seller and --currency say where the adjustments are to be applied",
        ),
        (
            ("adjust", "apply", "ADJ1", "--skip", "--defer", "2026-11-08", *WHY),
            "--skip, --defer, --amount and --to: choose one",
        ),
        (
            ("adjust", "apply", "ADJ1", *OF_S1, "--skip", *WHY),
            "--seller and --currency select; --skip, --defer, --amount, --to and --reason deviate: choose"
            " one",
        ),
        (
            ("adjust", "apply", "ADJ1", *OF_S1, *WHY),
            "--seller and --currency select; --skip, --defer, --amount, --to and --reason deviate: choose"
            " one",
        ),
        (
            ("adjust", "apply", "ADJ1", "--skip"),
            "--reason is empty: say why, for those who read the audit log",
        ),
        (
            ("adjust", "list", "--status", "open"),
            "--status 'open' is none of proposed, approved, applied, settled, cancelled",
        ),
        (
            ("adjust", "settle", "ADJ1", "--reference", " "),
            "--reference is empty: name the payment that came",
        ),
    ],
)
def test_rubbish_is_answered_with_what_to_do(
    desk: Desk,  # noqa: F811
    command: tuple[str, ...],
    message: str,
) -> None:
    assert desk.refused("olga", *command, code=2) == message


@pytest.mark.parametrize("number", ["one", "0", "-1", str(2**63), "1.5"])
def test_an_exception_is_named_by_its_number(desk: Desk, number: str) -> None:  # noqa: F811
    assert "weekclose exception approve --help" in desk.refused(
        "anna", "exception", "approve", *WHY, "--", number, code=2
    )


def test_what_is_not_there(desk: Desk) -> None:  # noqa: F811
    """Exit code 5 and its name, whichever command asks for it."""
    frozen_window(desk.owner, ["90.00"])
    for who, command, missing in (
        ("olga", ("adjust", "apply", "ADJ9", *OF_S1), "there is no adjustment ADJ9"),
        ("olga", ("adjust", "apply", "ADJ9", "--skip", *WHY), "there is no adjustment ADJ9"),
        ("olga", ("adjust", "cancel", "ADJ9", *WHY), "there is no adjustment ADJ9"),
        ("olga", ("adjust", "settle", "ADJ9", "--reference", "r"), "there is no adjustment ADJ9"),
        ("anna", ("exception", "approve", 9, *WHY), "there is no open exception 9"),
        ("anna", ("exception", "reject", 2**63 - 1, *WHY), f"there is no open exception {2**63 - 1}"),
        ("arne", ("payout", "search", "TX-9"), "no payout has the number or a reference 'TX-9'"),
    ):
        assert desk.refused(who, *command, code=5) == missing
    unknown = ("adjust", "propose", "s9", *STATED, *NOTE)
    assert desk.refused("olga", *unknown) == "there is no seller s9"


def test_before_the_first_build_the_seeds_are_missing(desk: Desk) -> None:  # noqa: F811
    command = _reverse(desk)
    desk.owner.execute("alter table seeds.adjustment_policies rename to away")
    try:
        said = desk.refused("olga", "adjust", "propose", "s1", *STATED, *NOTE)
    finally:
        desk.owner.execute("alter table seeds.away rename to adjustment_policies")
    assert said == "the policies are not in the database yet: run weekclose sunday --no-freeze first"
    desk.owner.execute("alter table seeds.reversal_reasons rename to away")
    try:
        said = desk.refused("rita", *command)
    finally:
        desk.owner.execute("alter table seeds.away rename to reversal_reasons")
    assert said == "the reasons are not in the database yet: run weekclose sunday --no-freeze first"


# Answers


def test_a_list_is_read_in_pages(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00", "50.00"])
    numbers = [desk.propose(f"{amount}.00", seller=f"s{1 + amount % 2}") for amount in range(1, 6)]
    page = desk.does("arne", "adjust", "list", "--limit", 2)
    assert page.err == f"there may be more: --after {numbers[1]}\n"
    seen = [
        each["adjustment_number"]
        for after in ("", numbers[1], numbers[3])
        for each in desk.does("arne", "adjust", "list", "--limit", 2, "--after", after, "--json").json
    ]
    assert seen == numbers
    own = desk.does("arne", "adjust", "list", "--seller", "s2", "--json").json
    assert [each["adjustment_number"] for each in own] == numbers[::2]
    desk.does("olga", "adjust", "cancel", numbers[2], *WHY)
    gone = desk.does("arne", "adjust", "list", "--status", "cancelled", "--json").json
    assert [each["adjustment_number"] for each in gone] == [numbers[2]]
    for number in numbers[:2]:
        desk.does("olga", "adjust", "apply", number, "--skip", *WHY)
    first = desk.does("arne", "exception", "list", "--limit", 1)
    after = int(re.findall(r"--after (\d+)", first.err)[0])
    [second] = desk.does("arne", "exception", "list", "--after", after, "--json").json
    assert second["adjustment_number"] == numbers[1]


def test_a_list_shows_signs_and_no_control_characters(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    number = desk.propose("1234.50", "carry_forward_deduction", "--reason", "\x1b[31mred\u202e\nnext")
    line = desk.does("arne", "adjust", "list").out.decode().splitlines()[1]
    assert re.split(r"\s{2,}", line) == [
        *(number, "s1", "carry_forward_deduction", "-1,234.50", "USD"),
        *("0.00", "approved", "auto", r"\x1b[31mred\u202e\nnext"),
    ]


def test_money_is_text_for_programs(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    made = desk.does("olga", "adjust", "propose", "s1", *STATED, "--amount", "0.10", *NOTE, "--json").json
    assert (made["amount"], made["applied_amount"], made["settled_amount"]) == ("0.10", "0.10", "0.00")


def test_what_a_list_refuses_leaves_no_promise(desk: Desk) -> None:  # noqa: F811
    """The second is refused: nobody reads that the first waits."""
    frozen_window(desk.owner, ["90.00"])
    number = desk.propose("5.00")
    said = desk.refused("olga", "adjust", "apply", number, number, "--skip", *WHY)
    assert said.startswith(f"{number} has an open exception")


def test_as_a_process_of_its_own(desk: Desk, weekclose: RunCommand) -> None:  # noqa: F811
    """The tests above run `cli._run` in this process: a real one says the same."""
    frozen_window(desk.owner, ["90.00"])
    command = ("adjust", "propose", "s1", *STATED)
    done = weekclose(*command, "--note", "n", database=desk.of["olga"], WEEKCLOSE_ACTOR="")
    assert (done.returncode, done.stdout) == (0, "ADJ0000001\n")
    booked, said = done.stderr.splitlines()
    assert booked.startswith("ledger: ")
    assert said == "ADJ0000001 is approved: it enters the seller's next payout"
    refused = weekclose(*command, database=desk.of["olga"], WEEKCLOSE_ACTOR="")
    assert (refused.returncode, refused.stdout, refused.stderr) == (
        2,
        "",
        "weekclose: a carry_forward_credit needs a --note beside its reason\n",
    )

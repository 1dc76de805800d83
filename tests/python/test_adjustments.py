"""What a seller owes or is owed beside his sales, through the command: policy, exceptions, settlement.

After every test the ledger, the obligations and the audit log agree (`desk.agree`).
"""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from controls import policy
from desk import Desk, desk, people  # noqa: F401
from frozen_window import WINDOW, frozen_window, one, submitted_window
from sample_documents import jpeg, png
from tuesday import marts  # noqa: F401

SECOND, THIRD, FOURTH = (WINDOW + timedelta(days=7 * weeks) for weeks in (1, 2, 3))
FIRST_PAYOUT = "JPO0000001"
DEDUCTION, CREDIT = "carry_forward_deduction", "carry_forward_credit"
INVOICE, CASH = "gross_invoice_fee", "manual_cash_recovery"

OF_S1 = ("--seller", "s1", "--currency", "USD")
WHY = ("--reason", "the seller called")


def booked(**amounts: str) -> dict[str, Decimal]:
    return {account: Decimal(amount) for account, amount in amounts.items()}


# What a class needs


@pytest.mark.parametrize(
    ("of_class", "given", "code", "said"),
    [
        (DEDUCTION, (), 2, "a carry_forward_deduction needs a --note beside its reason"),
        (CREDIT, ("--note", " "), 2, "a carry_forward_credit needs a --note beside its reason"),
        (DEDUCTION, ("--note", "n", "--reason", " "), 2, "--reason is empty"),
        (CREDIT, ("--note", "n", "--invoice", "I"), 2, "--invoice names the invoice of a gross_invoice_fee"),
        (INVOICE, (), 2, "--invoice names the invoice of a gross_invoice_fee"),
        (INVOICE, ("--invoice", " "), 2, "--invoice names the invoice of a gross_invoice_fee"),
        (CASH, ("--note", "n"), 3, "manual_cash_recovery of seller s1 needs a document: give it with --file"),
        (
            DEDUCTION,
            ("--note", "n", "--payout", "JPO0000002"),
            3,
            "seller s1 has no payout JPO0000002 in USD",
        ),
    ],
)
def test_a_class_is_refused_without_what_it_needs(
    desk: Desk,  # noqa: F811
    of_class: str,
    given: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    frozen_window(desk.owner, ["90.00", "50.00"])
    stated = ("adjust", "propose", "s1", "--class", of_class, "--currency", "USD", "--amount", "10")
    assert said in desk.refused("olga", *stated, "--reason", "r", *given, code=code)


@pytest.mark.parametrize(
    ("of_class", "direction", "status", "recognized"),
    [
        (DEDUCTION, "debit", "approved", booked(sales_clearing="10", seller_obligations="-10")),
        (CREDIT, "credit", "approved", booked(sales_clearing="-10", seller_obligations="10")),
        (INVOICE, "debit", "proposed", None),
        (CASH, "debit", "proposed", None),
    ],
)
def test_what_a_class_does_by_default(
    desk: Desk,  # noqa: F811
    of_class: str,
    direction: str,
    status: str,
    recognized: dict[str, Decimal] | None,
) -> None:
    frozen_window(desk.owner, ["90.00"])
    number = desk.propose("10.00", of_class, "--payout", FIRST_PAYOUT)
    made = desk.adjustment(number)
    assert number == "ADJ0000001"
    assert (made["direction"], made["status"], made["policy_scope"]) == (direction, status, "default")
    assert (made["proposed_by"], made["approved_by"]) == (desk.name("olga"), None), "auto needs nobody"
    assert (made["source"], made["source_id"]) == ("manual", FIRST_PAYOUT)
    assert desk.entries(number).get("recognize") == recognized


@pytest.mark.parametrize("content", [None, png("agreed"), jpeg("agreed")])
def test_a_file_is_optional_for_a_carry_forward(desk: Desk, content: bytes | None) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    file = desk.file(content)
    number = desk.propose("10.00", CREDIT, "--file", file)
    kept = one(
        desk.owner,
        "select content from payouts.documents inner join payouts.adjustments on document = sha256"
        " where adjustment_number = %s",
        number,
    )
    assert kept == file.read_bytes()


def test_the_same_once_more_is_a_command_that_was_repeated(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    given = (
        "adjust",
        "propose",
        "s1",
        "--class",
        CREDIT,
        "--currency",
        "USD",
        "--amount",
        "5",
        "--reason",
        "r",
    )
    number = desk.does("olga", *given, "--note", "n").word
    said = desk.refused("olga", *given, "--note", "n", code=5)
    assert said == f"{number} is just that already: another note tells two apart"
    desk.does("otto", *given, "--note", "n")
    desk.does("olga", *given, "--note", "m")
    desk.does("olga", "adjust", "cancel", number, *WHY)
    desk.does("olga", *given, "--note", "n")


# The policy


def test_the_policy_is_the_products_else_the_sellers_else_the_default(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00", "50.00", "20.00"])
    desk.owner.execute("update raw.sellers set product = 'managed' where seller_id in ('s1', 's3')")
    policy(desk.owner, CREDIT, "manual", "seller", "s2")
    policy(desk.owner, DEDUCTION, "exception", "seller", "s1")
    policy(desk.owner, CREDIT, "exception", "product", "unheard-of")
    found = {}
    for seller in ("s1", "s2", "s3"):
        for of_class in (DEDUCTION, CREDIT):
            made = desk.adjustment(desk.propose("1.00", of_class, seller=seller))
            found[seller, of_class] = (made["policy_scope"], made["mode"], made["status"])
    assert found == {
        ("s1", DEDUCTION): ("product", "manual", "proposed"),
        ("s1", CREDIT): ("default", "auto", "approved"),
        ("s2", DEDUCTION): ("default", "auto", "approved"),
        ("s2", CREDIT): ("seller", "manual", "proposed"),
        ("s3", DEDUCTION): ("product", "manual", "proposed"),
        ("s3", CREDIT): ("default", "auto", "approved"),
    }
    fee = ("--class", INVOICE, "--currency", "USD", "--amount", "5", "--reason", "r", "--invoice", "I")
    said = desk.refused("olga", "adjust", "propose", "s1", *fee)
    assert said == "gross_invoice_fee of seller s1 needs a document: give it with --file", (
        "the product's policy"
    )
    desk.does("olga", "adjust", "propose", "s1", *fee, "--file", desk.file())


def test_a_policy_file_without_a_default_is_named(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    desk.owner.execute("delete from seeds.adjustment_policies where class = %s", [CREDIT])
    with pytest.raises(AssertionError, match=r"seeds/adjustment_policies\.csv has no default for class"):
        desk.propose("1.00", CREDIT)


def test_a_policy_that_changes_later_changes_nothing_that_was_proposed(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    number = desk.propose("1.00", CREDIT)
    policy(desk.owner, CREDIT, "manual")
    assert desk.adjustment(number)["mode"] == "auto"
    assert desk.adjustment(desk.propose("1.00", CREDIT))["mode"] == "manual"


# Selection by hand


def manual(
    desk: Desk,  # noqa: F811
    amount: str = "10.00",
    of_class: str = DEDUCTION,
    **who: str,
) -> str:
    """An adjustment that waits for its selection."""
    policy(desk.owner, of_class, "manual")
    return desk.propose(amount, of_class, **who)


def test_a_selection_is_of_the_seller_and_the_currency(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00", "50.00"])
    number = manual(desk)
    for seller, currency in (("s2", "USD"), ("s1", "EUR"), ("unheard-of", "USD")):
        said = desk.refused("olga", "adjust", "apply", number, "--seller", seller, "--currency", currency)
        assert said == (
            f"{number} is of seller s1 in USD: it cannot be applied to seller {seller} in {currency}"
        )
    said = desk.refused("olga", "adjust", "apply", number, "ADJ0000009", *OF_S1, code=5)
    assert said == "there is no adjustment ADJ0000009"
    assert desk.status(number) == "proposed", "all or none"
    desk.does("olga", "adjust", "apply", number, *OF_S1)
    made = desk.adjustment(number)
    assert (made["status"], made["approved_by"]) == ("approved", desk.name("olga"))
    assert desk.entries(number)["recognize"] == booked(sales_clearing="10", seller_obligations="-10")


def test_a_stale_selection_is_refused(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"])
    approved, cancelled = desk.propose("1.00"), desk.propose("2.00")
    desk.does("olga", "adjust", "cancel", cancelled, *WHY)
    fee = desk.propose("3.00", INVOICE)
    desk.does("otto", "adjust", "apply", fee, *OF_S1)
    large, settled = desk.propose("500.00"), desk.propose("4.00", CREDIT)
    desk.freeze(SECOND, {"s1": "20.00"})
    found = {number: desk.status(number) for number in (approved, cancelled, fee, large, settled)}
    assert found == {
        approved: "settled",
        cancelled: "cancelled",
        fee: "applied",
        large: "applied",
        settled: "settled",
    }
    for number, status in found.items():
        said = desk.refused("otto", "adjust", "apply", number, *OF_S1)
        assert said.startswith(f"{number} is {status} already"), said


def test_nobody_collects_what_he_proposed_himself(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    fee, cash = desk.propose("5.00", INVOICE), desk.propose("6.00", CASH)
    for number in (fee, cash):
        said = desk.refused("olga", "adjust", "apply", number, *OF_S1)
        assert said.startswith(f"olga proposed {number}"), said
    desk.does("otto", "adjust", "apply", fee, cash, *OF_S1)
    assert desk.entries(fee)["recognize"] == booked(platform_fees="5", seller_obligations="-5")
    assert desk.entries(cash)["recognize"] == booked(sales_clearing="6", seller_obligations="-6")
    assert desk.payout(FIRST_PAYOUT) == ("ready", []), "no transfer shrinks"


# Exceptions


def open_wish(desk: Desk, number: str, *wish: object, who: str = "olga") -> int:  # noqa: F811
    desk.does(who, "adjust", "apply", number, *wish, *WHY)
    return int(desk.adjustment(number)["open_exception"])


DEVIATIONS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "skip": (("--skip",), {"status": "cancelled"}),
    "defer": (("--defer", str(THIRD)), {"not_before": str(THIRD)}),
    "amount": (("--amount", "4.00"), {"applied_amount": "4.00"}),
    "out_of_scope": (("--to", "s2"), {"applied_to": "s2"}),
    "apply": ((), {}),
}
DECIDED = pytest.mark.parametrize("deviation", DEVIATIONS)


def deviating(desk: Desk, deviation: str) -> tuple[str, int]:  # noqa: F811
    """An adjustment with an open wish of that kind, asked for by olga; proposed by boris."""
    wish, _ = DEVIATIONS[deviation]
    if deviation == "apply":
        policy(desk.owner, DEDUCTION, "exception")
        number = desk.propose("10.00", who="boris")
        return number, int(desk.adjustment(number)["open_exception"])
    number = desk.propose("10.00", who="boris")
    return number, open_wish(desk, number, *wish)


@DECIDED
def test_an_exception_keeps_the_sellers_money_until_another_person_decides(
    desk: Desk,  # noqa: F811
    deviation: str,
) -> None:
    frozen_window(desk.owner, ["90.00", "50.00"])
    before = desk.digest()
    desk.does("anna", "approve", WINDOW, "--digest", before)
    number, wish = deviating(desk, deviation)
    assert desk.payout(FIRST_PAYOUT) == ("blocked", ["exception_pending"])
    also = ("blocked", ["exception_pending"]) if deviation == "out_of_scope" else ("ready", [])
    assert desk.payout("JPO0000002") == also, "whom it is to enter"
    assert desk.digest() != before
    assert one(desk.owner, "select state from payouts.batches") == "frozen", "the approval is void"
    asked_by = "boris" if deviation == "apply" else "olga"
    found = desk.does("anna", "exception", "list", "--json").json
    assert [(each["exception_id"], each["deviation"], each["requested_by"]) for each in found] == [
        (wish, deviation, desk.name(asked_by))
    ]
    if deviation == "apply":
        said = desk.refused("boris", "exception", "approve", wish, *WHY)
        assert said == f"boris asked for exception {wish}: another person has to decide"
    else:
        said = desk.refused("boris", "exception", "approve", wish, *WHY)
        assert said == f"boris proposed {number}: another person has to decide"
    desk.does("anna", "exception", "approve", wish, "--reason", "agreed")
    assert desk.payout(FIRST_PAYOUT) == desk.payout("JPO0000002") == ("ready", [])
    assert desk.digest() == before, "the same content"
    made = desk.adjustment(number)
    _, changed = DEVIATIONS[deviation]
    assert made["status"] == changed.get("status", "approved")
    assert {name: made[name] for name in changed} == changed
    said = desk.refused("anna", "exception", "reject", wish, *WHY, code=5)
    assert said == f"there is no open exception {wish}", "decided once"


@DECIDED
def test_a_rejected_exception_changes_nothing(desk: Desk, deviation: str) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00", "50.00"])
    before = desk.digest()
    number, wish = deviating(desk, deviation)
    as_it_was = desk.adjustment(number)
    desk.does("anna", "exception", "reject", wish, "--reason", "the policy holds")
    assert desk.adjustment(number) == as_it_was | {"open_exception": None}
    assert desk.payout(FIRST_PAYOUT) == desk.payout("JPO0000002") == ("ready", [])
    assert desk.digest() == before
    told = desk.does("anna", "exception", "list", "--all", "--json").json
    assert [(each["decision"], each["decision_note"]) for each in told] == [("rejected", "the policy holds")]
    desk.does("anna", "approve", WINDOW, "--digest", before)


def test_no_approval_while_an_exception_is_open(desk: Desk) -> None:  # noqa: F811
    """Also when the exception came between the build and the freeze, and blocks nothing yet."""
    submitted_window(desk.owner, ["90.00", "50.00"])
    desk.build(SECOND, {"s1": "20.00", "s2": "30.00"})
    policy(desk.owner, CREDIT, "exception")
    wish = desk.adjustment(desk.propose("7.00", CREDIT))["open_exception"]
    desk.freeze(SECOND)
    assert desk.payout("JPO0000003") == ("ready", [])
    said = desk.refused("anna", "approve", SECOND, "--digest", desk.digest())
    assert said.startswith("an exception of seller s1 in USD is open: weekclose exception list"), said
    desk.does("anna", "exception", "reject", wish, *WHY)
    desk.does("anna", "approve", SECOND, "--digest", desk.digest())


def test_what_else_blocks_still_does(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    desk.does("otto", "hold", "s1", "--window", WINDOW, *WHY)
    number = desk.propose("10.00")
    wish = open_wish(desk, number, "--skip")
    assert desk.payout(FIRST_PAYOUT) == ("blocked", ["on_hold", "exception_pending"])
    desk.does("anna", "exception", "approve", wish, *WHY)
    assert desk.payout(FIRST_PAYOUT) == ("blocked", ["on_hold"])
    wish = open_wish(desk, desk.propose("11.00"), "--skip")
    desk.does("otto", "release", "s1", "--window", WINDOW, *WHY)
    assert desk.payout(FIRST_PAYOUT) == ("blocked", ["exception_pending"])
    other = open_wish(desk, desk.propose("12.00"), "--skip")
    desk.does("anna", "exception", "approve", wish, *WHY)
    assert desk.payout(FIRST_PAYOUT) == ("blocked", ["exception_pending"]), "another one is open"
    desk.does("anna", "exception", "reject", other, *WHY)
    assert desk.payout(FIRST_PAYOUT) == ("ready", [])


def test_what_has_left_or_rolled_is_left_alone(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"])
    desk.freeze(SECOND, {"s1": "20.00"})
    wish = open_wish(desk, desk.propose("10.00"), "--skip")
    assert desk.payout(FIRST_PAYOUT) == ("submitted", [])
    assert desk.payout("JPO0000002") == ("blocked", ["exception_pending"])
    desk.freeze(THIRD, {"s1": "5.00"})
    assert desk.row(THIRD)["payable"] == Decimal("25.00"), "the blocked 20.00 rolled"
    desk.does("anna", "exception", "approve", wish, *WHY)
    assert desk.payout("JPO0000002") == ("blocked", ["exception_pending"]), "it would leave twice"


def test_a_currency_of_its_own(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    open_wish(desk, desk.propose("10.00", currency="EUR"), "--skip")
    assert desk.payout(FIRST_PAYOUT) == ("ready", [])
    wish = open_wish(desk, desk.propose("20.00"), "--skip")
    desk.does("anna", "exception", "reject", wish, *WHY)
    assert desk.payout(FIRST_PAYOUT) == ("ready", []), "though the other one is open"
    desk.does("anna", "approve", WINDOW, "--digest", desk.digest())


def test_who_may_not_decide(desk: Desk) -> None:  # noqa: F811
    """The admin holds every role, and is still one person; a list is decided whole or not at all."""
    frozen_window(desk.owner, ["90.00"])
    his = desk.propose("10.00", who="ada")
    first = open_wish(desk, his, "--skip", who="ada")
    second = open_wish(desk, desk.propose("20.00"), "--skip")
    said = desk.refused("ada", "exception", "approve", second, first, *WHY)
    assert said == f"ada asked for exception {first}: another person has to decide"
    assert "--reason is empty" in desk.refused("anna", "exception", "approve", first, "--reason", "", code=2)
    said = desk.refused("anna", "exception", "approve", first, second + 1, *WHY, code=5)
    assert said == f"there is no open exception {second + 1}"
    desk.does("anna", "exception", "approve", first, second, *WHY)
    assert desk.status(his) == "cancelled"


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (("--amount", "10.00"), "is of 10.00 USD: a deviating amount lies below that"),
        (("--amount", "10.01"), "is of 10.00 USD: a deviating amount lies below that"),
        (("--to", "s1"), "there is no other seller s1"),
        (("--to", "unheard-of"), "there is no other seller unheard-of"),
        (("--to", ""), "there is no other seller"),
        ((), "the policy of ADJ0000001 is auto: it needs no exception"),
    ],
)
def test_a_wish_that_is_none(desk: Desk, wish: tuple[str, ...], said: str) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    number = desk.propose("10.00")
    assert said in desk.refused("olga", "adjust", "apply", number, *wish, *WHY)


def test_what_cannot_deviate(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"])
    fee, gone = desk.propose("5.00", INVOICE), desk.propose("6.00")
    settled, owed = desk.propose("1.00", CREDIT), desk.propose("100.00")
    desk.does("olga", "adjust", "cancel", gone, *WHY)
    for wish in (("--defer", THIRD), ("--to", "s2")):
        said = desk.refused("olga", "adjust", "apply", fee, *wish, *WHY)
        assert said == f"{fee} is a gross_invoice_fee: it enters no payout"
    waiting = desk.propose("7.00")
    open_wish(desk, waiting, "--skip")
    said = desk.refused("otto", "adjust", "apply", waiting, "--amount", "1", *WHY)
    assert said.startswith(f"{waiting} has an open exception"), said
    desk.freeze(SECOND, {"s1": "20.00"})
    for number, status in ((gone, "cancelled"), (settled, "settled"), (owed, "applied")):
        said = desk.refused("olga", "adjust", "apply", number, "--skip", *WHY)
        assert said == f"{number} is {status} already: nothing can deviate from that"
    said = desk.refused("olga", "adjust", "apply", "ADJ0000099", "--skip", *WHY, code=5)
    assert said == "there is no adjustment ADJ0000099"


def test_a_receivable_is_lowered_or_dropped_by_an_exception(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    fee = desk.propose("5.00", INVOICE)
    desk.does("otto", "adjust", "apply", fee, *OF_S1)
    desk.does("anna", "exception", "approve", open_wish(desk, fee, "--amount", "3.00"), *WHY)
    made = desk.adjustment(fee)
    assert (made["amount"], made["applied_amount"], made["status"]) == ("5.00", "3.00", "applied")
    assert desk.entries(fee)["forgive"] == booked(platform_fees="-2", seller_obligations="2")
    desk.does("anna", "exception", "approve", open_wish(desk, fee, "--skip"), *WHY)
    assert desk.status(fee) == "cancelled"
    assert desk.entries(fee)["forgive"] == booked(platform_fees="-5", seller_obligations="5")


def test_an_exception_can_be_the_only_way_in(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    policy(desk.owner, CREDIT, "exception")
    policy(desk.owner, INVOICE, "exception")
    for number, status in (
        (desk.propose("5.00", CREDIT), "approved"),
        (desk.propose("6.00", INVOICE), "applied"),
    ):
        said = desk.refused("otto", "adjust", "apply", number, *OF_S1)
        assert said == f"{number} enters only by an approved exception: weekclose exception list"
        wish = desk.adjustment(number)["open_exception"]
        desk.does("anna", "exception", "reject", wish, *WHY)
        assert desk.status(number) == "proposed", "it can be asked for again"
        again = open_wish(desk, number)
        desk.does("anna", "exception", "approve", again, *WHY)
        made = desk.adjustment(number)
        assert (made["status"], made["approved_by"]) == (status, desk.name("anna"))
        said = desk.refused("olga", "adjust", "apply", number, *WHY)
        assert said == f"{number} is {status} already"


# Cancel


def test_what_nobody_has_acted_on_can_be_taken_back(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"])
    approved, fee = desk.propose("5.00"), desk.propose("6.00", INVOICE)
    assert "--reason is empty" in desk.refused("olga", "adjust", "cancel", approved, "--reason", " ", code=2)
    desk.does("otto", "adjust", "cancel", approved, fee, *WHY)
    assert desk.entries(approved)["forgive"] == booked(sales_clearing="-5", seller_obligations="5")
    assert "forgive" not in desk.entries(fee), "nothing was recognized"
    applied = desk.propose("7.00", INVOICE)
    desk.does("otto", "adjust", "apply", applied, *OF_S1)
    waiting, large = desk.propose("8.00"), desk.propose("800.00")
    for number in (approved, applied):
        status = desk.status(number)
        said = desk.refused("olga", "adjust", "cancel", waiting, number, *WHY)
        assert said.startswith(f"{number} is {status} already"), "all or none"
    open_wish(desk, waiting, "--skip")
    assert waiting in desk.refused("olga", "adjust", "cancel", waiting, *WHY), (
        "its exception is decided first"
    )
    desk.freeze(SECOND, {"s1": "20.00"})
    said = desk.refused("olga", "adjust", "cancel", large, *WHY)
    assert said.startswith(f"{large} is applied already"), said


def test_what_has_happened_is_not_taken_back(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00", "50.00"])
    word = {"status": "completed", "final": True}
    desk.confirm(
        {"reference": FIRST_PAYOUT, "amount": "95.00", "external_reference": "T1", **word},
        {"reference": "JPO0000002", "amount": "50.00", "external_reference": "T2", **word},
    )
    desk.does("rita", "resolve", FIRST_PAYOUT, "accept", "--note", "the bank says 95")
    desk.does("rita", "reverse", "JPO0000002", "--reason", "duplicate_payment", "--note", "paid before")
    for number, source in (("ADJ0000001", "mismatch"), ("ADJ0000002", "reversal")):
        said = desk.refused("olga", "adjust", "cancel", number, *WHY)
        assert f"{number} follows from the {source} of JPO" in said
        wish = open_wish(desk, number, "--skip")
        desk.does("anna", "exception", "approve", wish, *WHY)
        assert desk.status(number) == "cancelled"
        amount = desk.adjustment(number)["amount"]
        assert desk.entries(number)["forgive"] == booked(write_offs="-" + amount, seller_obligations=amount)


# Money that came


def test_a_receivable_is_settled_by_money(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    fee, cash, line = desk.propose("5.00", INVOICE), desk.propose("6.00", CASH), desk.propose("7.00")
    came = ("--reference", "BANK-1")
    assert "enters the seller's payouts" in desk.refused("olga", "adjust", "settle", line, *came)
    assert f"{fee} is proposed" in desk.refused("olga", "adjust", "settle", fee, *came)
    desk.does("otto", "adjust", "apply", fee, cash, *OF_S1)
    said = desk.refused("olga", "adjust", "settle", fee, "--reference", " ", code=2)
    assert said == "--reference is empty: name the payment that came"
    said = desk.refused("olga", "adjust", "settle", cash, *came)
    assert said == f"{cash} needs a document that shows the money: give it with --file"
    desk.does("olga", "adjust", "settle", fee, *came)
    desk.does("olga", "adjust", "settle", cash, *came, "--file", desk.file())
    assert desk.entries(fee)["recover"] == booked(cash_recovered="-5", seller_obligations="5")
    assert desk.entries(cash)["recover"] == booked(cash_recovered="-6", seller_obligations="6")
    for number in (fee, cash):
        made = desk.adjustment(number)
        assert (made["status"], made["settled_amount"]) == ("settled", made["amount"])
        assert f"{number} is settled" in desk.refused("olga", "adjust", "settle", number, *came)
    assert desk.payout(FIRST_PAYOUT) == ("ready", [])
    desk.owner.execute("delete from intermediate.int_adjustment_lines")
    desk.build(SECOND, {"s1": "1.00"})
    lines = desk.owner.execute("select adjustment_number from intermediate.int_adjustment_lines").fetchall()
    assert lines == [(line,)], "no line"


# Breaks that become adjustments


def test_a_restatement_becomes_an_adjustment(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00", "50.00"])
    desk.build(WINDOW, {"s1": "90.00", "s2": "50.00"})
    line = "sale:s1-2026-11-01"

    def restate(amount: str) -> None:
        desk.owner.execute(
            "update intermediate.int_order_events set restated_amount = %s where line_id = %s", [amount, line]
        )

    given = ("adjust", "propose", "--from", line, "--reason", "corrected", "--note", "the order was 70.00")
    said = desk.refused("olga", *given, code=5)
    assert said == f"line {line} is as its raw row says, and leaves no debt: nothing to adjust"
    restate("70.00")
    assert "--note is empty" in desk.refused("olga", *given[:6], "--note", " ", code=2)
    assert "knows seller" in desk.refused("olga", *given, "--amount", "20", code=2)
    number = desk.does("olga", *given).word
    made = desk.adjustment(number)
    assert (made["adjustment_class"], made["amount"], made["seller_id"]) == (DEDUCTION, "20.00", "s1")
    assert (made["source"], made["source_id"]) == ("restatement", line)
    desk.refused("olga", *given, code=5)
    restate("100.00")
    number = desk.does("olga", *given).word
    made = desk.adjustment(number)
    assert (made["adjustment_class"], made["amount"]) == (CREDIT, "30.00"), "less what is adjusted"
    desk.does("olga", "adjust", "cancel", number, *WHY)
    assert desk.adjustment(desk.does("olga", *given).word)["amount"] == "30.00", "it is open again"
    said = desk.refused("olga", "adjust", "propose", "--from", "sale:never", *given[4:])
    assert said == "there is no frozen line sale:never"


def in_debt(desk: Desk) -> str:  # noqa: F811
    """The line of a dispute that took the balance to -30.00 after the money had left."""
    submitted_window(desk.owner, ["90.00"])
    desk.freeze(SECOND, {"s1": "-30.00"})
    return "dispute_opened:s1-2026-11-08"


def test_a_dispute_that_came_too_late_becomes_a_cash_recovery(desk: Desk) -> None:  # noqa: F811
    line = in_debt(desk)
    given = ("adjust", "propose", "--from", line, "--reason", "dispute", "--note", "he agreed to pay")
    assert "needs a document" in desk.refused("olga", *given)
    number = desk.does("olga", *given, "--file", desk.file()).word
    made = desk.adjustment(number)
    assert (made["adjustment_class"], made["amount"], made["status"]) == (CASH, "30.00", "proposed")
    said = desk.refused("olga", *given, "--file", desk.file(), code=5)
    assert said == f"line {line} is being recovered already"
    desk.does("otto", "adjust", "apply", number, *OF_S1)
    assert desk.entries(number) == {}, "the debt is in the balance already"
    desk.does("olga", "adjust", "settle", number, "--reference", "BANK-2", "--file", desk.file())
    assert desk.entries(number) == {"recover": booked(cash_recovered="-30", seller_payable="30")}
    desk.freeze(THIRD, {"s1": "5.00"})
    assert desk.row(THIRD) == booked(carry_in="0", adjustments="0", payable="5", carry_out="0")


def test_disputes_together_recover_no_more_than_the_debt(desk: Desk) -> None:  # noqa: F811
    line = in_debt(desk)
    desk.freeze(THIRD, {"s1": "25.00"})
    desk.freeze(FOURTH, {"s1": "-20.00"})
    given = ("--reason", "dispute", "--note", "he agreed to pay", "--file")
    number = desk.does("olga", "adjust", "propose", "--from", line, *given, desk.file()).word
    assert desk.adjustment(number)["amount"] == "25.00", "all that he owes by now"
    other = "dispute_opened:s1-2026-11-22"
    desk.refused("olga", "adjust", "propose", "--from", other, *given, desk.file(), code=5)


def test_a_dispute_that_later_earnings_have_covered_is_stale(desk: Desk) -> None:  # noqa: F811
    line = in_debt(desk)
    given = ("adjust", "propose", "--from", line, "--reason", "dispute", "--note", "he agreed to pay")
    number = desk.does("olga", *given, "--file", desk.file()).word
    desk.freeze(THIRD, {"s1": "40.00"})
    said = desk.refused("otto", "adjust", "apply", number, *OF_S1)
    assert said.startswith(f"{number}: later earnings have settled the debt"), said
    desk.does("olga", "adjust", "cancel", number, *WHY)


# Freeze and settlement


def allocated(desk: Desk) -> dict[str, dict[date, Decimal]]:  # noqa: F811
    found: dict[str, dict[date, Decimal]] = {}
    for number, window, amount in desk.owner.execute(
        "select adjustment_number, payout_window, amount from payouts.adjustment_allocations"
    ):
        found.setdefault(number, {})[window] = amount
    return found


def test_a_debt_is_carried_and_settled_oldest_first(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"])
    older, younger = desk.propose("100.00"), desk.propose("50.00")
    desk.freeze(SECOND, {"s1": "30.00"})
    assert desk.row(SECOND) == booked(carry_in="0", adjustments="-150", payable="0", carry_out="-120")
    assert allocated(desk) == {older: {SECOND: Decimal(30)}}
    assert [desk.status(number) for number in (older, younger)] == ["applied", "applied"]
    assert desk.adjustment(older)["settled_amount"] == "30.00"
    assert desk.entries(older)["freeze"]["seller_obligations"] == Decimal(100), "entered whole"
    desk.freeze(THIRD, {"s1": "80.00"})
    assert desk.row(THIRD) == booked(carry_in="-120", adjustments="0", payable="0", carry_out="-40")
    assert allocated(desk) == {
        older: {SECOND: Decimal(30), THIRD: Decimal(70)},
        younger: {THIRD: Decimal(10)},
    }
    assert [desk.status(number) for number in (older, younger)] == ["settled", "applied"]
    desk.freeze(FOURTH, {"s1": "100.00"})
    assert desk.row(FOURTH)["payable"] == Decimal(60)
    assert allocated(desk)[younger] == {THIRD: Decimal(10), FOURTH: Decimal(40)}
    settled = [desk.adjustment(number)["settled_at"] for number in (older, younger)]
    assert settled[0] < settled[1]


def test_a_credit_settles_at_once(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"])
    debt, credit = desk.propose("100.00"), desk.propose("20.00", CREDIT)
    desk.freeze(SECOND, {"s1": "30.00"})
    assert desk.row(SECOND) == booked(carry_in="0", adjustments="-80", payable="0", carry_out="-50")
    assert allocated(desk) == {debt: {SECOND: Decimal(50)}, credit: {SECOND: Decimal(20)}}
    made = desk.adjustment(credit)
    assert (made["status"], made["payout_window"]) == ("settled", str(SECOND))


def test_an_underpaid_seller_gets_the_rest_with_the_next_payout(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"])
    desk.propose("20.00", CREDIT)
    desk.freeze(SECOND, {"s1": "30.00"})
    line = desk.owner.execute(
        "select line_id, kind, order_id, adjustments, order_window, payout_window from payouts.frozen_lines"
        " where source_id = 'ADJ0000001'"
    ).fetchone()
    assert line == ("adjustment:ADJ0000001", "adjustment", None, Decimal(20), SECOND, SECOND)
    assert one(desk.owner, "select amount from payouts.payouts where payout_number = 'JPO0000002'") == 50


def test_what_an_exception_made_of_it_is_what_enters(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00", "50.00"])
    deferred, smaller, elsewhere = (desk.propose(amount) for amount in ("10.00", "20.00", "30.00"))
    wishes = [
        open_wish(desk, deferred, "--defer", THIRD),
        open_wish(desk, smaller, "--amount", "4.00"),
        open_wish(desk, elsewhere, "--to", "s2"),
    ]
    desk.does("anna", "exception", "approve", *wishes, *WHY)
    desk.freeze(SECOND, {"s1": "100.00", "s2": "100.00"})
    assert desk.row(SECOND)["adjustments"] == Decimal(-4)
    assert desk.row(SECOND, "s2")["adjustments"] == Decimal(-30)
    obligations = desk.entries(elsewhere)
    assert obligations["recognize"]["seller_obligations"] == -obligations["freeze"]["seller_obligations"]
    assert desk.status(deferred) == "approved"
    desk.freeze(THIRD, {"s1": "100.00"})
    assert desk.row(THIRD)["adjustments"] == Decimal(-10)
    assert desk.status(deferred) == "settled"


def test_defer_names_a_window(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    number = desk.propose("10.00")
    for day, said in (("2026-11-09", "2026-11-08"), ("soon", "is not a date")):
        assert said in desk.refused("olga", "adjust", "apply", number, "--defer", day, *WHY, code=2)


def test_a_freeze_takes_what_the_build_saw_or_nothing(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"])
    number = desk.propose("10.00")
    desk.build(SECOND, {"s1": "100.00"})
    for happens in ("open", "cancel"):
        if happens == "open":
            wish = open_wish(desk, number, "--amount", "9.00")
        else:
            desk.does("anna", "exception", "reject", wish, *WHY)
            desk.does("olga", "adjust", "cancel", number, *WHY)
        with pytest.raises(psycopg.Error, match=f"{number} is not what the build has seen: run weekclose"):
            desk.freeze(SECOND)
    desk.freeze(SECOND, {"s1": "100.00"})
    assert desk.row(SECOND)["payable"] == Decimal(100)


def test_who_had_a_hand_in_it_does_not_approve_the_window(desk: Desk) -> None:  # noqa: F811
    """Proposed, selected or asked to deviate: in a window that pays it that is enough."""
    submitted_window(desk.owner, ["90.00"])
    for number, deed in enumerate(("proposed", "selected", "asked to deviate from")):
        window = SECOND + timedelta(days=7 * number)
        who = {"proposed": {"who": "boris"}}.get(deed, {})
        made = (
            manual(desk, "1.00", CREDIT, **who) if deed != "proposed" else desk.propose("1.00", CREDIT, **who)
        )
        if deed == "selected":
            desk.does("boris", "adjust", "apply", made, *OF_S1)
        if deed == "asked to deviate from":
            desk.does("otto", "adjust", "apply", made, *OF_S1)
            wish = open_wish(desk, made, "--amount", "0.50", who="boris")
            desk.does("anna", "exception", "approve", wish, *WHY)
        desk.freeze(window, {"s1": "10.00"})
        said = desk.refused("boris", "approve", window, "--digest", desk.digest())
        assert said == f"boris {deed} {made} in window {window}: another person has to approve it"
        desk.does("anna", "approve", window, "--digest", desk.digest())

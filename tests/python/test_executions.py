"""What really left, through the command: the rail's word, payments by hand, proofs, resolutions, reversals.

After every test the ledger, the obligations and the audit log agree (`desk.agree`).
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from desk import Desk, desk, people  # noqa: F401
from frozen_window import WINDOW, frozen_window, one, submitted_window
from rail_batches import KEY, Bench, bench
from sample_documents import jpeg, pdf, png
from tuesday import live_database, marts  # noqa: F401
from weekclose import events
from weekclose.database import open_connection
from weekclose.postgres import Server
from weekclose.rails.protocol import RailEvent

SECOND, THIRD = (WINDOW + timedelta(days=7 * weeks) for weeks in (1, 2))
FIRST_PAYOUT, SECOND_PAYOUT = "JPO0000001", "JPO0000002"
BY_HAND: dict[str, Any] = {"rail": "MANUAL", "destination": "DE00 0000 0000 0000 0000 00"}
WHY = ("--reason", "the bank called")
NOTE = ("--note", "the bank says so")


@pytest.fixture
def rail(tmp_path: Path) -> Iterator[Bench]:
    with bench("batch", tmp_path) as made:
        yield made


def configured(rail: Bench) -> dict[str, str]:
    """The environment in which the command speaks to that rail."""
    return {
        "WEEKCLOSE_RAIL": "batch",
        "WEEKCLOSE_RAIL_URL": rail.simulator.rail_url("batch"),
        "WEEKCLOSE_RAIL_KEY": KEY,
        "WEEKCLOSE_LOOPBACK_RAIL": "1",
        "WEEKCLOSE_RAIL_MAX_PROCESSING_SECONDS": "0",
    }


def said(payout: str, amount: str, reference: str | None, status: str = "completed") -> dict[str, Any]:
    return {"reference": payout, "status": status, "amount": amount, "external_reference": reference}


def event(
    desk: Desk,  # noqa: F811
    rail: Bench,
    payout: str,
    amount: str,
    reference: str,
    status: str = "completed",
) -> str:
    """A verified event of the rail comes, and is applied. What becomes of it."""
    happened = datetime(2026, 11, 17, 12, tzinfo=UTC)
    told = RailEvent(
        *(f"evt-{next(desk.numbers)}", f"payout.{status}", status, payout, Decimal(amount), "USD"),  # type: ignore[arg-type]
        *(reference, None, None, happened),
    )
    event_id = events.receive(desk.owner, rail.adapter(), told, b"{}")
    assert event_id is not None
    return events.apply(desk.owner, [event_id], "webhook")[0].verdict


def executions(desk: Desk, payout: str) -> list[tuple[Any, ...]]:  # noqa: F811
    return desk.owner.execute(
        "select external_reference, amount, source from payouts.executions where payout_number = %s"
        " order by execution_id",
        [payout],
    ).fetchall()


def reference_id(desk: Desk, payout: str) -> str | None:  # noqa: F811
    found: str | None = one(
        desk.owner, "select reference_id from payouts.payouts where payout_number = %s", payout
    )
    return found


def paid_by_hand(desk: Desk, amount: str = "90.00", *more: object, who: str = "olga") -> Path:  # noqa: F811
    """Payout 1 of 90.00, executed by a person. The proof."""
    submitted_window(desk.owner, ["90.00"], through="MANUAL", **BY_HAND)
    proof = desk.file()
    given = ("--reference", "BANK-1", "--amount", amount, "--proof", proof)
    desk.does(who, "execute", FIRST_PAYOUT, *given, *more)
    return proof


# The rail's word


def test_the_rails_answers_are_executions(desk: Desk, rail: Bench) -> None:  # noqa: F811
    """Over HTTP: the reference is there after the transfer, and not before."""
    frozen_window(desk.owner, ["90.00", "50.00", "20.00"])
    desk.does("anna", "approve", WINDOW, "--digest", desk.digest())
    desk.does("olga", "submit", WINDOW, **configured(rail))
    rail.rail.release()
    assert reference_id(desk, FIRST_PAYOUT) is None
    rail.rail.settle({"*": "completed"}, webhooks="lose", amounts={SECOND_PAYOUT: "49.99"})
    desk.does("olga", "reconcile", **configured(rail))
    assert desk.payout(FIRST_PAYOUT)[0] == desk.payout("JPO0000003")[0] == "paid"
    assert desk.payout(SECOND_PAYOUT)[0] == "awaiting_reconciliation", "another amount left"
    for payout, amount in ((FIRST_PAYOUT, "90.00"), (SECOND_PAYOUT, "49.99"), ("JPO0000003", "20.00")):
        assert executions(desk, payout) == [(reference_id(desk, payout), Decimal(amount), "rail")]
    proved = desk.owner.execute(
        "select distinct batch_id, event_id, asked_at is null from payouts.executions"
    )
    assert proved.fetchall() == [("W2026-11-01-G1", None, False)], "by what it said when it was asked"


def test_a_verified_event_is_an_executions_proof(desk: Desk, rail: Bench) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"])
    assert event(desk, rail, FIRST_PAYOUT, "90.00", "TX-1") == "book"
    assert desk.payout(FIRST_PAYOUT)[0] == "paid"
    proved = desk.owner.execute("select event_id, batch_id, executed_at from payouts.executions").fetchone()
    assert proved == (1, None, datetime(2026, 11, 17, 12, tzinfo=UTC))
    assert event(desk, rail, FIRST_PAYOUT, "90.00", "TX-1") == "no_effect"
    assert executions(desk, FIRST_PAYOUT) == [("TX-1", Decimal(90), "rail")]


def test_one_transfer_does_not_pay_two_payouts(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["50.00", "50.00"])
    desk.confirm(said(FIRST_PAYOUT, "50.00", "TX-1"), said(SECOND_PAYOUT, "50.00", "TX-1"))
    assert desk.payout(FIRST_PAYOUT)[0] == "paid"
    assert desk.payout(SECOND_PAYOUT)[0] == "awaiting_reconciliation"
    assert (executions(desk, SECOND_PAYOUT), reference_id(desk, SECOND_PAYOUT)) == ([], None)
    refused = desk.refused("rita", "resolve", SECOND_PAYOUT, "accept", *NOTE)
    assert refused.startswith(f"nothing shows that {SECOND_PAYOUT} was executed: weekclose execute"), refused
    given = ("--amount", "50.00", "--proof", desk.file())
    refused = desk.refused("olga", "execute", SECOND_PAYOUT, "--reference", "TX-1", *given)
    assert refused == f"the reference TX-1 is that of {FIRST_PAYOUT} already"
    desk.does("olga", "execute", SECOND_PAYOUT, "--reference", "TX-2", *given)
    assert desk.payout(SECOND_PAYOUT)[0] == "awaiting_reconciliation", "another person says what is true"
    assert (
        desk.does("rita", "resolve", SECOND_PAYOUT, "accept", *NOTE).err.strip() == f"{SECOND_PAYOUT} is paid"
    )
    assert reference_id(desk, SECOND_PAYOUT) == "TX-2"


def test_the_same_transfer_with_another_amount(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"])
    desk.confirm(said(FIRST_PAYOUT, "90.00", "TX-1"))
    desk.confirm(said(FIRST_PAYOUT, "95.00", "TX-1"))
    assert desk.payout(FIRST_PAYOUT)[0] == "awaiting_reconciliation"
    assert executions(desk, FIRST_PAYOUT) == [
        ("TX-1", Decimal(90), "rail"),
        ("TX-1#2", Decimal(95), "rail"),
    ]
    assert reference_id(desk, FIRST_PAYOUT) == "TX-1#2"
    desk.does("rita", "resolve", FIRST_PAYOUT, "accept", *NOTE)
    desk.confirm(said(FIRST_PAYOUT, "95.00", "TX-1"))
    assert desk.payout(FIRST_PAYOUT)[0] == "paid", "what was accepted stays accepted"


def test_all_that_left_is_compared_with_the_promise(desk: Desk) -> None:  # noqa: F811
    """Two transfers are two, a corrected one is one; what came back has not left."""
    submitted_window(desk.owner, ["90.00"])
    desk.confirm(said(FIRST_PAYOUT, "80.00", "TX-1"))
    desk.does("rita", "resolve", FIRST_PAYOUT, "accept", *NOTE)
    desk.confirm(said(FIRST_PAYOUT, "15.00", "TX-2"))
    assert desk.payout(FIRST_PAYOUT)[0] == "awaiting_reconciliation"
    assert desk.owner.execute("select payouts.left_amount(payouts) from payouts.payouts").fetchall() == [
        (95,)
    ]
    desk.does("rita", "resolve", FIRST_PAYOUT, "accept", *NOTE)
    assert desk.owner.execute(
        "select class, amount from payouts.adjustments order by adjustment_number"
    ).fetchall() == [("carry_forward_credit", 10), ("carry_forward_deduction", 15)]
    desk.confirm(said(FIRST_PAYOUT, "10.00", "TX-2"))
    desk.does("rita", "resolve", FIRST_PAYOUT, "accept", *NOTE)
    assert desk.owner.execute("select payouts.left_amount(payouts) from payouts.payouts").fetchall() == [
        (90,)
    ]
    assert desk.owner.execute(
        "select sum(payouts.signed(adjustments)) from payouts.adjustments"
    ).fetchall() == [(0,)], "80 and 10 are what was promised"


def test_a_rail_that_names_no_reference(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"])
    desk.confirm(said(FIRST_PAYOUT, "90.00", None))
    assert executions(desk, FIRST_PAYOUT) == [(f"pb_2026-11-01:{FIRST_PAYOUT}", Decimal(90), "rail")]


def test_a_failure_is_no_execution(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"])
    desk.confirm(said(FIRST_PAYOUT, "90.00", "TX-1", "failed"))
    assert desk.payout(FIRST_PAYOUT)[0] == "failed"
    assert (executions(desk, FIRST_PAYOUT), reference_id(desk, FIRST_PAYOUT)) == ([], None)


# By hand


def mixed(desk: Desk) -> None:  # noqa: F811
    """The second window: s1 is paid by the rail, s2 by a person."""
    submitted_window(desk.owner, ["90.00"])
    desk.confirm(said(FIRST_PAYOUT, "90.00", "TX-1"))
    desk.owner.execute(
        "insert into raw.sellers (seller_id, region, settlement_currency, status, created_at, wallet_address)"
        " values ('s2', 'APAC', 'USD', 'active', '2026-01-01Z', %s)",
        [BY_HAND["destination"]],
    )
    desk.build(SECOND, {"s1": "10.00", "s2": "20.00"})
    desk.owner.execute(
        "update intermediate.int_window_rows set rail = 'MANUAL', destination = %s where seller_id = 's2'",
        [BY_HAND["destination"]],
    )
    desk.freeze(SECOND)
    desk.does("anna", "approve", SECOND, "--digest", desk.digest())


def test_who_is_paid_by_hand_is_left_out_of_what_the_rail_gets(desk: Desk, rail: Bench) -> None:  # noqa: F811
    mixed(desk)
    dry = desk.does("olga", "submit", SECOND, "--dry-run", **configured(rail))
    assert b"JPO0000002" in dry.out
    assert b"JPO0000003" not in dry.out
    done = desk.does("olga", "submit", SECOND, **configured(rail))
    assert "1 payouts, 10.00 USD" in done.err
    assert "1 more are to be paid by hand: weekclose execute notes each of them" in done.err
    assert [b"JPO0000003" in body for body in rail.sent()] == [False]
    assert desk.payout("JPO0000002")[0] == desk.payout("JPO0000003")[0] == "submitted"
    rail.rail.release()
    rail.rail.settle({"*": "completed"}, webhooks="lose")
    desk.does("olga", "reconcile", **configured(rail))
    assert (desk.payout("JPO0000002")[0], desk.payout("JPO0000003")[0]) == ("paid", "submitted")
    given = ("--reference", "BANK-1", "--amount", "20.00", "--proof", desk.file())
    desk.does("olga", "execute", "JPO0000003", *given)
    assert desk.payout("JPO0000003")[0] == "paid"
    assert one(desk.owner, "select state from payouts.batches where batch_id = 'W2026-11-08-G1'") == "settled"


def test_a_rails_word_on_what_a_person_pays_is_not_believed(desk: Desk, rail: Bench) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"], through="MANUAL", **BY_HAND)
    assert event(desk, rail, FIRST_PAYOUT, "90.00", "TX-1") == "not_submitted"
    desk.confirm(said(FIRST_PAYOUT, "90.00", "TX-1"))
    assert desk.payout(FIRST_PAYOUT)[0] == "submitted"
    assert executions(desk, FIRST_PAYOUT) == []


def test_a_window_of_manual_payouts_calls_no_rail(desk: Desk, rail: Bench) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00", "50.00"], **BY_HAND)
    desk.does("anna", "approve", WINDOW, "--digest", desk.digest())
    done = desk.does("olga", "submit", WINDOW, "--json", **configured(rail))
    assert (done.json["item_count"], done.json["manual_count"]) == (0, 2)
    refused = desk.refused("olga", "reconcile", code=5, **configured(rail))
    assert refused == "nothing is open at the rail, and no event waits"
    assert rail.requests == []
    assert one(desk.owner, "select rail_batch_id from payouts.batches") == "MANUAL"


def test_a_refusal_of_the_rail_leaves_what_a_person_has_paid(desk: Desk, rail: Bench) -> None:  # noqa: F811
    mixed(desk)
    rail.arm("cached_error")
    assert desk.run("olga", "submit", SECOND, **configured(rail)).code == 4
    given = ("--reference", "BANK-1", "--amount", "20.00", "--proof", desk.file())
    desk.does("olga", "execute", "JPO0000003", *given)
    assert "the rail refused batch" in desk.run("olga", "submit", SECOND, **configured(rail)).err
    assert desk.payout("JPO0000002") == ("ready", [])
    assert desk.payout("JPO0000003") == ("paid", [])
    batches = desk.owner.execute("select batch_id, state from payouts.batches order by batch_id").fetchall()
    assert batches[1:] == [("W2026-11-08-G1", "rejected"), ("W2026-11-08-G2", "frozen")]
    desk.does("anna", "approve", SECOND, "--digest", desk.digest())
    rail.rail.faults.clear()
    assert desk.does("olga", "submit", SECOND, "--json", **configured(rail)).json["manual_count"] == 0


@pytest.mark.parametrize("missing", ["--reference", "--amount", "--proof"])
def test_an_incomplete_execution_is_refused(desk: Desk, missing: str) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"], through="MANUAL", **BY_HAND)
    given: dict[str, object] = {"--reference": "BANK-1", "--amount": "90.00", "--proof": desk.file()}
    del given[missing]
    refused = desk.refused(
        "olga", "execute", FIRST_PAYOUT, *(each for pair in given.items() for each in pair)
    )
    assert refused == f"{FIRST_PAYOUT} is not executed without all three: --reference, --amount and --proof"


def test_what_a_person_has_paid(desk: Desk) -> None:  # noqa: F811
    when = "2026-11-17T14:30:00+01:00"
    proof = paid_by_hand(desk, "90.00", "--at", when)
    assert desk.payout(FIRST_PAYOUT)[0] == "paid"
    assert executions(desk, FIRST_PAYOUT) == [("BANK-1", Decimal(90), "manual")]
    assert one(desk.owner, "select executed_at from payouts.executions") == datetime.fromisoformat(when)
    assert desk.entries(FIRST_PAYOUT)["pay"] == {
        "payouts_in_transit": Decimal(-90),
        "payouts_paid": Decimal(90),
    }
    assert one(desk.owner, "select state from payouts.batches") == "settled"
    given = ("--amount", "90.00", "--proof")
    refused = desk.refused("olga", "execute", FIRST_PAYOUT, "--reference", "B", *given, desk.file(), code=5)
    assert refused == f"payout {FIRST_PAYOUT} is paid already, with reference BANK-1"
    assert one(desk.owner, "select content from payouts.documents") == proof.read_bytes()


def test_what_is_not_to_be_paid_by_hand(desk: Desk) -> None:  # noqa: F811
    given = ("--reference", "BANK-1", "--amount", "90.00", "--proof", desk.file())
    refused = desk.refused("olga", "execute", FIRST_PAYOUT, *given, code=5)
    assert refused == f"there is no payout {FIRST_PAYOUT}"
    frozen_window(desk.owner, ["90.00"], **BY_HAND)
    assert desk.refused("olga", "execute", FIRST_PAYOUT, *given).startswith(
        f"payout {FIRST_PAYOUT} is ready by MANUAL: a person executes what MANUAL has submitted"
    )


def test_what_a_rail_is_to_pay_is_not_paid_by_hand(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"])
    given = ("--reference", "BANK-1", "--amount", "90.00", "--proof", desk.file())
    refused = desk.refused("olga", "execute", FIRST_PAYOUT, *given)
    assert refused.startswith(f"payout {FIRST_PAYOUT} is submitted by TRC-20: a person executes what MANUAL")


@pytest.mark.parametrize("amount", ["0", "-90", "90.001", "ninety", "NaN", "1e2", "90,00", "٩٠", "9" * 13])
def test_an_amount_that_is_none(desk: Desk, amount: str) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"], through="MANUAL", **BY_HAND)
    given = ("--reference", "B", "--amount", amount, "--proof", desk.file(), *NOTE)
    refused = desk.refused("olga", "execute", FIRST_PAYOUT, *given, code=2)
    assert refused.endswith("is no amount: write it like 120.50, positive, with at most two decimals")


@pytest.mark.parametrize(
    ("at", "fault"),
    [
        ("yesterday", "is not an instant with an offset"),
        ("2026-11-17T14:30", "is not an instant with an offset"),
        ("2999-01-01T00:00:00Z", "has not come yet"),
    ],
)
def test_a_time_that_is_none(desk: Desk, at: str, fault: str) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"], through="MANUAL", **BY_HAND)
    given = ("--reference", "B", "--amount", "90", "--proof", desk.file(), "--at", at)
    refused = desk.refused("olga", "execute", FIRST_PAYOUT, *given, code=2)
    assert refused.startswith("--at ")
    assert fault in refused


def test_a_typing_error_is_mended(desk: Desk) -> None:  # noqa: F811
    """By the same reference with the right amount, while it awaits reconciliation."""
    paid_by_hand(desk, "9.00", "--note", "typed in a hurry")
    given = ("--reference", "BANK-1", "--amount", "90.00", "--proof", desk.file())
    desk.does("olga", "execute", FIRST_PAYOUT, *given)
    assert executions(desk, FIRST_PAYOUT) == [
        ("BANK-1", Decimal(9), "manual"),
        ("BANK-1#2", Decimal(90), "manual"),
    ]
    assert (
        desk.does("rita", "resolve", FIRST_PAYOUT, "accept", *NOTE).err.strip() == f"{FIRST_PAYOUT} is paid"
    )


def test_another_amount_needs_a_note_and_another_person(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"], through="MANUAL", **BY_HAND)
    given = ("--reference", "BANK-1", "--amount", "85.00", "--proof", desk.file())
    refused = desk.refused("saul", "execute", FIRST_PAYOUT, *given)
    assert refused == f"{FIRST_PAYOUT} was promised 90.00 USD, not 85.00: say why with --note"
    told = desk.does("saul", "execute", FIRST_PAYOUT, *given, "--note", "the bank took 5").err
    assert told.strip() == (
        f"{FIRST_PAYOUT} awaits reconciliation: another person runs weekclose resolve {FIRST_PAYOUT} accept"
        " or retry"
    )
    for verdict in ("accept", "retry"):
        refused = desk.refused("saul", "resolve", FIRST_PAYOUT, verdict, *NOTE, "--proof", desk.file())
        assert refused == f"saul executed {FIRST_PAYOUT}: another person has to resolve it"
    desk.does("rita", "resolve", FIRST_PAYOUT, "accept", *NOTE)
    made = desk.adjustment("ADJ0000001")
    assert (made["adjustment_class"], made["amount"]) == ("carry_forward_credit", "5.00")


HOSTILE = {
    "program.pdf": (b"MZ\x90\0" + b"\0" * 2000, "is a program"),
    "script.png": (b"#!/bin/sh\nrm -rf /\n", "is a program"),
    "page.pdf": (b"<html><script>alert(1)</script>", "is SVG, HTML or other markup"),
    "archive.pdf": (b"PK\x03\x04" + pdf("inside"), "is a ZIP archive"),
    "cut-off.pdf": (pdf("cut off")[:-7], "does not end like one"),
    "two.png": (png("and more") + b"MZ\x90\0", "does not end like one"),
    "large.pdf": (b"%PDF-1.4" + b"\0" * (10 * 1024 * 1024) + b"%%EOF\n", "is larger than 10 MB"),
    "empty.pdf": (b"", "is empty"),
    "=cmd|' calc'!A0\x1b[31m.pdf": (b"paid", "is no PDF, PNG or JPEG"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_is_no_proof_leaves_nothing(desk: Desk, name: str) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"], through="MANUAL", **BY_HAND)
    content, fault = HOSTILE[name]
    given = ("--reference", "BANK-1", "--amount", "90.00", "--proof", desk.file(content, name))
    refused = desk.refused("olga", "execute", FIRST_PAYOUT, *given, code=2)
    assert fault in refused
    assert refused.isprintable()


@pytest.mark.parametrize("path", ["/dev/zero", "/", "/nowhere/proof.pdf", "/proc/self/mem"])
def test_a_path_that_is_no_file_leaves_nothing(desk: Desk, path: str) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"], through="MANUAL", **BY_HAND)
    given = ("--reference", "BANK-1", "--amount", "90.00", "--proof", path)
    desk.refused("olga", "execute", FIRST_PAYOUT, *given, code=2)


# Proofs


def test_a_proof_is_replaced_and_stays_in_the_history(desk: Desk) -> None:  # noqa: F811
    first = paid_by_hand(desk)
    better = desk.file(png("a better scan"), "scan.png")
    before = (desk.payout(FIRST_PAYOUT), executions(desk, FIRST_PAYOUT), desk.entries(FIRST_PAYOUT))
    said = desk.refused("rita", "proof", "replace", FIRST_PAYOUT, "--file", first, *WHY)
    assert said == f"this file is a proof of {FIRST_PAYOUT} already: each execution has its own"
    desk.refused("rita", "proof", "replace", FIRST_PAYOUT, "--file", better, "--reason", " ", code=2)
    desk.does("rita", "proof", "replace", FIRST_PAYOUT, "--file", better, *WHY)
    assert (desk.payout(FIRST_PAYOUT), executions(desk, FIRST_PAYOUT), desk.entries(FIRST_PAYOUT)) == before
    listed = desk.does("arne", "proof", "list", FIRST_PAYOUT, "--json").json
    assert [(each["media_type"], each["is_active"], each["reason"]) for each in listed] == [
        ("application/pdf", False, "executed"),
        ("image/png", True, "the bank called"),
    ]
    for each, file in zip(listed, (first, better), strict=True):
        assert desk.does("arne", "proof", "get", each["sha256"]).out == file.read_bytes()
        copy = desk.files / "copy"
        desk.does("arne", "proof", "get", each["sha256"], "--output", copy)
        assert copy.read_bytes() == file.read_bytes()
    with pytest.raises(psycopg.Error, match="proofs"):
        desk.owner.execute("delete from payouts.proofs")


def test_a_file_proves_one_execution(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00", "50.00"], through="MANUAL", **BY_HAND)
    proof = desk.file()
    desk.does("olga", "execute", FIRST_PAYOUT, "--reference", "B-1", "--amount", "90", "--proof", proof)
    given = ("--reference", "B-2", "--amount", "50.00", "--proof")
    refused = desk.refused("olga", "execute", SECOND_PAYOUT, *given, proof)
    assert refused == f"this file is a proof of {FIRST_PAYOUT} already: each execution has its own"
    desk.does("olga", "execute", SECOND_PAYOUT, *given, desk.file(jpeg("another"), "scan.jpg"))


def test_what_has_no_proof(desk: Desk) -> None:  # noqa: F811
    """A rail's word is its proof, and a document can be laid beside it."""
    submitted_window(desk.owner, ["90.00"])
    file = desk.file()
    refused = desk.refused("olga", "proof", "replace", FIRST_PAYOUT, "--file", file, *WHY)
    assert refused == f"payout {FIRST_PAYOUT} was not executed: there is nothing to prove"
    desk.confirm(said(FIRST_PAYOUT, "90.00", "TX-1"))
    refused = desk.refused("arne", "proof", "list", FIRST_PAYOUT, code=5)
    assert refused == f"payout {FIRST_PAYOUT} has no document: a rail's execution is proved by its own word"
    desk.does("olga", "proof", "replace", FIRST_PAYOUT, "--file", file, *WHY)
    assert [
        each["external_reference"] for each in desk.does("arne", "proof", "list", FIRST_PAYOUT, "--json").json
    ] == ["TX-1"]
    for command in (("list", "JPO0000009"), ("replace", "JPO0000009", "--file", file, *WHY)):
        assert desk.refused("olga", "proof", *command, code=5) == "there is no payout JPO0000009"
    refused = desk.refused("olga", "proof", "get", "0" * 64, code=2)
    assert refused == f"there is no document '{'0' * 64}': weekclose proof list names them"


# Resolutions


@pytest.mark.parametrize(
    ("left", "of_class", "amount"),
    [
        ("95.00", "carry_forward_deduction", "5.00"),
        ("89.99", "carry_forward_credit", "0.01"),
        ("300.00", "carry_forward_deduction", "210.00"),
    ],
)
def test_an_accepted_difference_becomes_an_adjustment(
    desk: Desk,  # noqa: F811
    left: str,
    of_class: str,
    amount: str,
) -> None:
    submitted_window(desk.owner, ["90.00"])
    desk.confirm(said(FIRST_PAYOUT, left, "TX-1"))
    told = desk.does("rita", "resolve", FIRST_PAYOUT, "accept", *NOTE).err.strip()
    assert told == f"{FIRST_PAYOUT} is paid; the difference is ADJ0000001"
    made = desk.adjustment("ADJ0000001")
    assert (made["adjustment_class"], made["amount"], made["status"]) == (of_class, amount, "approved")
    assert (made["source"], made["source_id"]) == ("mismatch", FIRST_PAYOUT)
    signed = Decimal(amount) * (1 if of_class == "carry_forward_credit" else -1)
    assert desk.entries("ADJ0000001")["recognize"] == {
        "seller_obligations": signed,
        "payout_corrections": -signed,
    }
    desk.freeze(SECOND, {"s1": "10.00"})
    balance = Decimal(10) + signed
    assert desk.row(SECOND)["payable"] == max(balance, 0)
    assert desk.row(SECOND)["carry_out"] == min(balance, 0)


def test_what_was_accepted_is_not_asked_again(desk: Desk, rail: Bench) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    desk.does("anna", "approve", WINDOW, "--digest", desk.digest())
    desk.does("olga", "submit", WINDOW, **configured(rail))
    rail.rail.release()
    rail.rail.settle({"*": "completed"}, webhooks="lose", amounts={FIRST_PAYOUT: "95.00"})
    desk.does("olga", "reconcile", **configured(rail))
    desk.does("rita", "resolve", FIRST_PAYOUT, "accept", *NOTE)
    after = (desk.payout(FIRST_PAYOUT), executions(desk, FIRST_PAYOUT), desk.entries(FIRST_PAYOUT))
    desk.does("olga", "reconcile", WINDOW, **configured(rail))
    reference = str(reference_id(desk, FIRST_PAYOUT))
    assert event(desk, rail, FIRST_PAYOUT, "95.00", reference) == "no_effect"
    assert event(desk, rail, FIRST_PAYOUT, "90.00", "TX-9") == "other_amount"
    desk.does("olga", "reconcile", WINDOW, **configured(rail))
    assert (desk.payout(FIRST_PAYOUT), executions(desk, FIRST_PAYOUT), desk.entries(FIRST_PAYOUT)) == after
    assert one(desk.owner, "select count(*) from payouts.adjustments") == 1
    # The rail corrects itself: a person looks again, and only the rest becomes an adjustment.
    desk.confirm(said(FIRST_PAYOUT, "97.00", reference))
    assert desk.payout(FIRST_PAYOUT)[0] == "awaiting_reconciliation"
    desk.does("rita", "resolve", FIRST_PAYOUT, "accept", *NOTE)
    assert desk.adjustment("ADJ0000002")["amount"] == "2.00"


def test_a_retry_of_what_left_needs_a_proof_that_it_came_back(desk: Desk, rail: Bench) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"])
    desk.confirm(said(FIRST_PAYOUT, "95.00", "TX-1"))
    refused = desk.refused("rita", "resolve", FIRST_PAYOUT, "retry", *NOTE)
    assert refused == f"{FIRST_PAYOUT} left with reference TX-1: give a proof that it came back (--proof)"
    told = desk.does("rita", "resolve", FIRST_PAYOUT, "retry", *NOTE, "--proof", desk.file()).err.strip()
    assert told == f"{FIRST_PAYOUT} is failed, and its money rolls"
    assert one(desk.owner, "select failure_code from payouts.payouts") == "resolved"
    # Whatever is heard of that transfer later: it came back.
    desk.confirm(said(FIRST_PAYOUT, "95.00", "TX-1"))
    assert event(desk, rail, FIRST_PAYOUT, "95.00", "TX-1") == "no_effect"
    assert desk.payout(FIRST_PAYOUT)[0] == "failed"
    desk.freeze(SECOND, {"s1": "10.00"})
    assert desk.row(SECOND)["payable"] == Decimal(100), "it is paid with the next window"
    assert one(desk.owner, "select count(*) from payouts.adjustments") == 0


def test_a_retry_of_what_was_accepted_before_takes_the_difference_back(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"])
    desk.confirm(said(FIRST_PAYOUT, "95.00", "TX-1"))
    desk.does("rita", "resolve", FIRST_PAYOUT, "accept", *NOTE)
    desk.confirm(said(FIRST_PAYOUT, "95.00", "TX-1", "returned"))
    assert desk.payout(FIRST_PAYOUT)[0] == "awaiting_reconciliation", "not what was promised came back"
    desk.does("rita", "resolve", FIRST_PAYOUT, "retry", *NOTE, "--proof", desk.file())
    desk.freeze(SECOND, {"s1": "10.00"})
    assert desk.row(SECOND)["adjustments"] == 0
    assert desk.row(SECOND)["payable"] == Decimal(100)


def test_a_retry_of_what_nobody_has_paid(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"], through="MANUAL", **BY_HAND)
    desk.does("rita", "resolve", FIRST_PAYOUT, "retry", "--note", "the bank refuses the account")
    assert desk.payout(FIRST_PAYOUT)[0] == "failed"
    assert one(desk.owner, "select state from payouts.batches") == "settled"
    given = ("--reference", "B", "--amount", "90", "--proof", desk.file())
    refused = desk.refused("olga", "execute", FIRST_PAYOUT, *given)
    assert refused.startswith(f"payout {FIRST_PAYOUT} is failed by MANUAL"), "its money rolls"


def test_what_does_not_await_reconciliation(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"])
    for verdict in ("accept", "retry"):
        refused = desk.refused("rita", "resolve", FIRST_PAYOUT, verdict, *NOTE, code=5)
        assert refused == f"payout {FIRST_PAYOUT} is submitted: it does not await reconciliation"
    desk.confirm(said(FIRST_PAYOUT, "90.00", "TX-1"))
    refused = desk.refused("rita", "resolve", FIRST_PAYOUT, "accept", *NOTE, code=5)
    assert refused == f"payout {FIRST_PAYOUT} is paid: it does not await reconciliation"
    refused = desk.refused("rita", "resolve", "JPO0000009", "accept", *NOTE, code=5)
    assert refused == "there is no payout JPO0000009"
    refused = desk.refused("rita", "resolve", FIRST_PAYOUT, "perhaps", *NOTE, code=2)
    assert refused == "'perhaps' is neither accept nor retry"
    assert "--note is empty" in desk.refused("rita", "resolve", FIRST_PAYOUT, "accept", "--note", " ", code=2)


def test_an_amount_that_no_books_can_hold(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"])
    desk.confirm(said(FIRST_PAYOUT, "90.000001", "TX-1"))
    refused = desk.refused("rita", "resolve", FIRST_PAYOUT, "accept", *NOTE)
    assert refused.startswith(f"{FIRST_PAYOUT} was executed with 90.000001"), refused


# Reversals


@pytest.mark.parametrize(
    ("reason", "needs_evidence", "of_class"),
    [
        ("wrong_beneficiary", True, "carry_forward_credit"),
        ("payment_recalled", True, "carry_forward_credit"),
        ("compliance", True, "carry_forward_deduction"),
        ("duplicate_payment", False, "carry_forward_deduction"),
    ],
)
def test_a_reversal_leaves_an_obligation_and_moves_no_balance(
    desk: Desk,  # noqa: F811
    reason: str,
    needs_evidence: bool,
    of_class: str,
) -> None:
    submitted_window(desk.owner, ["90.00"])
    desk.confirm(said(FIRST_PAYOUT, "90.00", "TX-1"))
    before = desk.entries(FIRST_PAYOUT)
    given = ("reverse", FIRST_PAYOUT, "--reason", reason, *NOTE)
    evidence: tuple[object, ...] = ()
    if needs_evidence:
        refused = desk.refused("rita", *given)
        assert refused == f"a reversal for {reason} needs evidence: give it with --evidence"
        evidence = ("--evidence", desk.file())
    told = desk.does("rita", *given, *evidence).err.strip()
    assert told == f"{FIRST_PAYOUT} is reversed; what follows is ADJ0000001"
    assert desk.payout(FIRST_PAYOUT)[0] == "reversed"
    assert desk.entries(FIRST_PAYOUT) == before
    made = desk.adjustment("ADJ0000001")
    assert (made["adjustment_class"], made["amount"], made["status"]) == (of_class, "90.00", "approved")
    assert (made["source"], made["source_id"]) == ("reversal", FIRST_PAYOUT)
    refused = desk.refused("rita", *given, *evidence, code=5)
    assert refused == f"payout {FIRST_PAYOUT} is reversed already"
    credit = of_class == "carry_forward_credit"
    desk.freeze(SECOND, {"s1": "100.00"})
    assert desk.row(SECOND) == {
        "carry_in": 0,
        "adjustments": Decimal(90 if credit else -90),
        "payable": Decimal(190 if credit else 10),
        "carry_out": 0,
    }


def test_what_cannot_be_reversed(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00", "50.00"])
    given = ("--reason", "duplicate_payment", *NOTE)
    refused = desk.refused("rita", "reverse", FIRST_PAYOUT, *given)
    assert refused == f"payout {FIRST_PAYOUT} is submitted: only what was executed can be reversed"
    desk.confirm(said(FIRST_PAYOUT, "95.00", "TX-1"), said(SECOND_PAYOUT, "50.00", "TX-2"))
    assert "is awaiting_reconciliation" in desk.refused("rita", "reverse", FIRST_PAYOUT, *given)
    refused = desk.refused("rita", "reverse", "JPO0000009", *given, code=5)
    assert refused == "there is no payout JPO0000009"
    unknown = ("reverse", SECOND_PAYOUT, "--reason", "regret", *NOTE)
    assert desk.refused("rita", *unknown) == "seeds/reversal_reasons.csv knows no reason regret"
    no_note = ("reverse", SECOND_PAYOUT, "--reason", "duplicate_payment", "--note", " ")
    assert "--note is empty" in desk.refused("rita", *no_note, code=2)
    hostile = ("--evidence", desk.file(b"MZ", "evidence.pdf"))
    assert "is a program" in desk.refused("rita", "reverse", SECOND_PAYOUT, *given, *hostile, code=2)


def test_a_recovery_that_is_booked_is_named(desk: Desk) -> None:  # noqa: F811
    """The seller has paid it back already: reversing makes no second debt."""
    submitted_window(desk.owner, ["90.00", "90.00"])
    desk.confirm(said(FIRST_PAYOUT, "90.00", "TX-1"), said(SECOND_PAYOUT, "90.00", "TX-2"))
    recovered = desk.propose("90.00", "manual_cash_recovery", "--payout", FIRST_PAYOUT)
    less = desk.propose("50.00", "manual_cash_recovery", "--payout", SECOND_PAYOUT, seller="s2")
    for number, seller in ((recovered, "s1"), (less, "s2")):
        desk.does("otto", "adjust", "apply", number, "--seller", seller, "--currency", "USD")
        desk.does("olga", "adjust", "settle", number, "--reference", "B", "--file", desk.file())
    given = ("--reason", "duplicate_payment", *NOTE)
    told = desk.does("rita", "reverse", FIRST_PAYOUT, *given).err.strip()
    assert told == f"{FIRST_PAYOUT} is reversed; what follows is {recovered}"
    told = desk.does("rita", "reverse", SECOND_PAYOUT, *given).err.strip()
    assert told == f"{SECOND_PAYOUT} is reversed; what follows is ADJ0000003", "50.00 are not all of it"
    desk.freeze(SECOND, {"s1": "100.00"})
    assert desk.row(SECOND)["payable"] == Decimal(100)


def test_what_is_heard_of_a_reversed_payout(desk: Desk, rail: Bench) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00"])
    desk.confirm(said(FIRST_PAYOUT, "90.00", "TX-1"))
    desk.does("rita", "reverse", FIRST_PAYOUT, "--reason", "duplicate_payment", *NOTE)
    assert event(desk, rail, FIRST_PAYOUT, "90.00", "TX-1") == "no_effect"
    assert event(desk, rail, FIRST_PAYOUT, "90.00", "TX-1", "returned") == "waits_for_a_person"
    for status in ("completed", "returned", "failed"):
        desk.confirm(said(FIRST_PAYOUT, "90.00", "TX-1", status))
        assert desk.payout(FIRST_PAYOUT)[0] == "reversed", status
    assert executions(desk, FIRST_PAYOUT) == [("TX-1", Decimal(90), "rail")]


def test_what_was_reversed_comes_back_once(
    live_database: Server,  # noqa: F811
    people: dict[str, Server],  # noqa: F811
    rail: Bench,
    tmp_path: Path,
) -> None:
    """However often the rail says so. `desk.agree` looks for a payout's money under its status alone."""
    with open_connection(live_database) as conn:
        desk = Desk(conn, people, tmp_path)
        submitted_window(conn, ["90.00"])
        desk.confirm(said(FIRST_PAYOUT, "90.00", "TX-1"))
        desk.does("rita", "reverse", FIRST_PAYOUT, "--reason", "duplicate_payment", *NOTE)
        for _ in range(2):
            told = event(desk, rail, FIRST_PAYOUT, "90.00", "TX-1", "returned")
            assert told == "waits_for_a_person"
            desk.does("rita", "resolve", FIRST_PAYOUT, "accept", *NOTE)
        recovered = desk.entries(FIRST_PAYOUT)["recover"]
        assert recovered == {"cash_recovered": Decimal(-90), "write_offs": Decimal(90)}


# Search


def test_a_payout_is_found_by_any_reference_it_ever_had(desk: Desk, rail: Bench) -> None:  # noqa: F811
    submitted_window(desk.owner, ["90.00", "50.00"])
    assert event(desk, rail, FIRST_PAYOUT, "90.00", "EV-1", "failed") == "needs_look_up"
    desk.confirm(said(FIRST_PAYOUT, "90.00", "TX-1"))
    desk.confirm(said(FIRST_PAYOUT, "95.00", "TX-2"))
    given = ("--reference", "BANK-1", "--amount", "90.00", "--proof", desk.file())
    desk.does("olga", "execute", FIRST_PAYOUT, *given)
    assert reference_id(desk, FIRST_PAYOUT) == "BANK-1"
    for term in (FIRST_PAYOUT, "EV-1", "TX-1", "TX-2", "BANK-1", " BANK-1 "):
        found = desk.does("arne", "payout", "search", term, "--json").json
        assert {each["payout_number"] for each in found} == {FIRST_PAYOUT}, term
        assert {each["reference"] for each in found} == {"EV-1", "TX-1", "TX-2", "BANK-1", "pb_2026-11-01"}
        assert {each["reference_id"] for each in found} == {"BANK-1"}
    both = desk.does("arne", "payout", "search", "pb_2026-11-01", "--json").json
    assert {each["payout_number"] for each in both} == {FIRST_PAYOUT, SECOND_PAYOUT}, "the batch's receipt"
    for term in ("TX", "%", "", "jpo0000001", "TX-3"):
        assert "no payout has" in desk.refused("arne", "payout", "search", term, code=5)


def test_what_was_executed_does_not_change(desk: Desk) -> None:  # noqa: F811
    paid_by_hand(desk)
    for tampering in (
        "update payouts.executions set external_reference = 'other'",
        "delete from payouts.executions",
        "update payouts.payouts set reference_id = 'other'",
        "update payouts.documents set stored_by = 'other'",
    ):
        with pytest.raises(psycopg.Error, match=r"never|newest execution|change"):
            desk.owner.execute(tampering)

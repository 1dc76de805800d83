"""The commands for money that was wrong, late or sent by hand."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from weekclose.cli_shared import LARGEST, AsJson, ByActor, Limit, Reason, acting, asked_window
from weekclose.errors import Refused, UsageError, require_one_of

if TYPE_CHECKING:
    from datetime import datetime

    from weekclose.documents import Document

adjust = typer.Typer(help="What a seller owes or is owed beside his sales.", no_args_is_help=True)
exception = typer.Typer(help="Wishes to deviate from the adjustment policy.", no_args_is_help=True)
payout = typer.Typer(help="Payouts, by whatever they were ever called.", no_args_is_help=True)
proof = typer.Typer(help="What proves that a payout left.", no_args_is_help=True)

# PostgreSQL's bigint.

OfAdjustment = Annotated[str, typer.Argument(metavar="ADJ", help="The adjustment's number.")]
OfAdjustments = Annotated[list[str], typer.Argument(metavar="ADJ", help="One or more adjustments.")]
OfExceptions = Annotated[
    list[int], typer.Argument(metavar="ID", help="One or more exceptions.", min=1, max=LARGEST)
]
OfPayout = Annotated[str, typer.Argument(metavar="PAYOUT", help="The payout's number, like JPO0000042.")]
File = Annotated[Path | None, typer.Option("--file", help="The document behind it: PDF, PNG or JPEG.")]
Note = Annotated[str, typer.Option(help="What was found; it stands in the audit log.")]


@adjust.command("propose")
def adjust_propose(
    reason: Reason,
    seller: Annotated[str | None, typer.Argument(metavar="[SELLER]", help="Whom it is of.")] = None,
    of_class: Annotated[
        str | None,
        typer.Option(
            "--class",
            help="carry_forward_deduction, carry_forward_credit, gross_invoice_fee or manual_cash_recovery.",
        ),
    ] = None,
    currency: Annotated[str | None, typer.Option(help="Its currency.")] = None,
    amount: Annotated[str | None, typer.Option(help="Positive, at most two decimals.")] = None,
    note: Annotated[str, typer.Option(help="What happened, in words.")] = "",
    invoice: Annotated[str | None, typer.Option(help="The invoice of a gross_invoice_fee.")] = None,
    about: Annotated[str | None, typer.Option("--payout", help="The payout that it is because of.")] = None,
    from_line: Annotated[
        str | None,
        typer.Option("--from", help="A frozen line that a restatement or a dispute made wrong, instead."),
    ] = None,
    file: File = None,
    by: ByActor = None,
    json: AsJson = False,
) -> None:
    """Record an obligation; seeds/adjustment_policies.csv says what happens with it.

    Either SELLER with --class, --currency and --amount, or --from LINE, which knows all of them.
    """
    from weekclose import adjustments
    from weekclose.output import print_json, say
    from weekclose.reading import shown

    stated = (seller, of_class, currency, amount)
    if from_line is None and not all(stated):
        raise UsageError("SELLER, --class, --currency and --amount are needed, or --from LINE instead")
    if from_line is not None and any((*stated, invoice, about)):
        raise UsageError("--from LINE knows seller, class, currency and amount: leave those out")
    require_one_of("--class", of_class, adjustments.CLASSES)
    document = _document(file)
    worth = adjustments.money(amount) if amount is not None else None
    with acting(by) as (conn, actor):
        if from_line is not None:
            number = adjustments.propose_from(conn, from_line, reason, note, document, actor)
        else:
            assert seller and of_class and currency and worth is not None  # noqa: S101, as was checked above
            proposal = adjustments.Proposal(seller, currency, of_class, worth, reason, note, invoice, about)
            number = adjustments.propose(conn, proposal, document, actor)
        made = adjustments.read(conn, number)
    if json:
        print_json(asdict(made))
    else:
        print(number)
    says = {
        "approved": "it enters the seller's next payout",
        "applied": "it is to be collected",
        "proposed": "it waits for weekclose adjust apply "
        f"{number} --seller {shown(made.seller_id)} --currency {made.currency}",
    }[made.status]
    if made.open_exception is not None:
        says = f"its policy asks for an exception: weekclose exception approve {made.open_exception}"
    say(f"{number} is {made.status}: {says}")


@adjust.command("apply")
def adjust_apply(
    numbers: OfAdjustments,
    seller: Annotated[str | None, typer.Option(help="Into whose payout, or from whom collected.")] = None,
    currency: Annotated[str | None, typer.Option(help="The currency of that.")] = None,
    skip: Annotated[bool, typer.Option("--skip", help="Deviate: drop it.")] = False,
    defer: Annotated[str | None, typer.Option(help="Deviate: not before this window.")] = None,
    amount: Annotated[str | None, typer.Option(help="Deviate: only so much of it.")] = None,
    to: Annotated[str | None, typer.Option(help="Deviate: into another seller's payout.")] = None,
    reason: Annotated[str, typer.Option(help="Why it deviates; another person decides.")] = "",
    by: ByActor = None,
) -> None:
    """Select adjustments by hand, or ask for an exception from the policy.

    With --seller and --currency they enter that seller's next payout, or are to be collected from him. With
    --reason and one of --skip, --defer, --amount, --to (or none, where the policy says `exception`) another
    person has to approve first, and the seller's money waits until then.
    """
    from weekclose import adjustments
    from weekclose.adjustments import Deviation
    from weekclose.output import say

    deviations = sum((skip, defer is not None, amount is not None, to is not None))
    if deviations > 1:
        raise UsageError("--skip, --defer, --amount and --to: choose one")
    if (seller or currency) and (deviations or reason):
        raise UsageError(
            "--seller and --currency select; --skip, --defer, --amount, --to and --reason deviate: choose one"
        )
    if not deviations and not reason:
        if not (seller and currency):
            raise UsageError("--seller and --currency say where the adjustments are to be applied")
        with acting(by) as (conn, actor):
            adjustments.apply(conn, numbers, seller, currency, actor)
        say(f"{len(numbers)} applied to seller {seller} in {currency}")
        return
    worth = adjustments.money(amount) if amount is not None else None
    opened = {}
    with acting(by) as (conn, actor), conn.transaction():
        for number in numbers:
            if skip:
                wish = Deviation("skip")
            elif defer is not None:
                wish = Deviation("defer", window=asked_window(conn, defer))
            elif worth is not None:
                wish = Deviation("amount", amount=worth)
            elif to is not None:
                wish = Deviation("out_of_scope", seller_id=to)
            else:
                wish = Deviation("apply")
            opened[number] = adjustments.deviate(conn, number, wish, reason, actor)
    for number, exception_id in opened.items():
        say(f"{number} waits: another person runs weekclose exception approve {exception_id}, or reject")


@adjust.command("settle")
def adjust_settle(
    number: OfAdjustment,
    reference: Annotated[str, typer.Option(help="The payment that came.")],
    file: File = None,
    by: ByActor = None,
) -> None:
    """The money of an invoiced fee or of a cash recovery has come: a ledger entry, no line."""
    from weekclose import adjustments
    from weekclose.output import say

    document = _document(file)
    with acting(by) as (conn, actor):
        adjustments.settle(conn, number, reference, document, actor)
    say(f"{number} is settled")


@adjust.command("cancel")
def adjust_cancel(numbers: OfAdjustments, reason: Reason, by: ByActor = None) -> None:
    """Take back adjustments that no payout has taken in yet."""
    from weekclose import adjustments
    from weekclose.output import say

    with acting(by) as (conn, actor):
        adjustments.cancel(conn, numbers, reason, actor)
    say(f"{len(numbers)} cancelled")


@adjust.command("list")
def adjust_list(
    seller: Annotated[str | None, typer.Option(help="Of this seller alone.")] = None,
    status: Annotated[
        str | None, typer.Option(help="proposed, approved, applied, settled or cancelled.")
    ] = None,
    after: Annotated[str | None, typer.Option(help="Go on after this number.")] = None,
    limit: Limit = 100,
    json: AsJson = False,
) -> None:
    """Adjustments, and how much of each is settled."""
    from weekclose import adjustments
    from weekclose.output import print_json, print_table, say
    from weekclose.reading import shown

    require_one_of("--status", status, adjustments.STATUSES)
    with acting(None) as (conn, _):
        found = adjustments.listed(conn, seller, status, after, limit)
    if json:
        print_json([asdict(each) for each in found])
        return
    print_table(
        ("number", "seller", "class", "amount", "currency", "settled", "status", "mode", "window", "reason"),
        [
            (
                *(each.adjustment_number, shown(each.seller_id), each.adjustment_class),
                *(-each.applied_amount if each.direction == "debit" else each.applied_amount, each.currency),
                *(each.settled_amount, each.status, each.mode),
                *(each.payout_window and str(each.payout_window), shown(each.reason)),
            )
            for each in found
        ],
    )
    if len(found) == limit:
        say(f"there may be more: --after {found[-1].adjustment_number}")


@exception.command("approve")
def exception_approve(ids: OfExceptions, reason: Reason, by: ByActor = None) -> None:
    """Allow deviations that another person asked for. Needs a code where the approver has enrolled one."""
    _decide(ids, "approved", reason, by)


@exception.command("reject")
def exception_reject(ids: OfExceptions, reason: Reason, by: ByActor = None) -> None:
    """Refuse deviations that another person asked for: the policy holds."""
    _decide(ids, "rejected", reason, by)


@exception.command("list")
def exception_list(
    every: Annotated[bool, typer.Option("--all", help="Also those that are decided.")] = False,
    after: Annotated[int, typer.Option(help="Go on after this one.", min=0, max=LARGEST)] = 0,
    limit: Limit = 100,
    json: AsJson = False,
) -> None:
    """Wishes to deviate that wait for another person."""
    from weekclose import adjustments
    from weekclose.output import print_json, print_table, say
    from weekclose.reading import shown

    with acting(None) as (conn, _):
        found = adjustments.wishes(conn, open_only=not every, after=after, limit=limit)
    if json:
        print_json([asdict(each) for each in found])
        return
    print_table(
        ("id", "adjustment", "seller", "amount", "currency", "wish", "to", "asked by", "reason", "decision"),
        [
            (
                *(str(each.exception_id), each.adjustment_number, shown(each.seller_id), each.amount),
                *(each.currency, each.deviation, each.to and shown(each.to), shown(each.requested_by)),
                *(shown(each.reason), each.decision),
            )
            for each in found
        ],
    )
    if len(found) == limit:
        say(f"there may be more: --after {found[-1].exception_id}")


@payout.command("search")
def payout_search(
    term: Annotated[str, typer.Argument(metavar="TERM", help="A payout's number, or any reference.")],
    json: AsJson = False,
) -> None:
    """Find a payout by its number, or by any reference that it ever had."""
    from weekclose import executions
    from weekclose.output import print_json, print_table
    from weekclose.reading import shown

    with acting(None) as (conn, _):
        found = executions.search(conn, term)
    if json:
        print_json([asdict(each) for each in found])
        return
    print_table(
        ("payout", "seller", "window", "amount", "currency", "status", "reference", "from", "executed", "at"),
        [
            (
                *(each.payout_number, shown(each.seller_id), str(each.payout_window), each.amount),
                *(each.currency, each.status, each.reference and shown(each.reference), each.heard),
                *(each.executed_amount, each.at),
            )
            for each in found
        ],
    )


@proof.command("replace")
def proof_replace(
    number: OfPayout,
    file: Annotated[Path, typer.Option("--file", help="The document: PDF, PNG or JPEG.")],
    reason: Reason,
    by: ByActor = None,
) -> None:
    """Give an executed payout another proof; the old one stays in its history."""
    from weekclose import executions
    from weekclose.documents import read_document
    from weekclose.output import say

    document = read_document(file)
    with acting(by) as (conn, actor):
        executions.replace_proof(conn, number, document, reason, actor)
    say(f"{number} is proved by {document.sha256}")


@proof.command("list")
def proof_list(number: OfPayout, json: AsJson = False) -> None:
    """The documents of a payout, oldest first."""
    from weekclose import executions
    from weekclose.output import print_json, print_table
    from weekclose.reading import shown

    with acting(None) as (conn, _):
        found = executions.proofs(conn, number)
    if json:
        print_json([asdict(each) for each in found])
        return
    print_table(
        ("sha256", "type", "bytes", "reference", "executed", "reason", "by", "at", "active"),
        [
            (
                *(each.sha256, each.media_type, each.byte_count, shown(each.external_reference)),
                *(each.executed_amount, shown(each.reason), shown(each.added_by), each.added_at),
                each.is_active,
            )
            for each in found
        ],
    )


@proof.command("get")
def proof_get(
    sha256: Annotated[str, typer.Argument(metavar="SHA256", help="The document's name in proof list.")],
    output: Annotated[Path | None, typer.Option(help="File to write.", show_default="stdout")] = None,
) -> None:
    """A stored document, byte for byte as it came."""
    from weekclose import executions

    with acting(None) as (conn, _):
        content = executions.content_of(conn, sha256)
    if output is not None:
        output.write_bytes(content)
    elif sys.stdout.isatty():
        raise UsageError("a document is no text for a terminal: name a file with --output")
    else:
        sys.stdout.buffer.write(content)


def execute(
    number: OfPayout,
    reference: Annotated[str, typer.Option(help="The bank's reference of the payment.")] = "",
    amount: Annotated[str, typer.Option(help="What really left.")] = "",
    proof_file: Annotated[
        Path | None, typer.Option("--proof", help="The document that shows it: PDF, PNG or JPEG.")
    ] = None,
    at: Annotated[str | None, typer.Option(help="When, ISO 8601 with offset; default now.")] = None,
    note: Annotated[str, typer.Option(help="Why another amount left than was promised.")] = "",
    by: ByActor = None,
) -> None:
    """Note what a person has paid: reference, amount and proof are all needed.

    For sellers whose rail is MANUAL, after their window was submitted. Another amount than promised needs a
    note, and awaits its resolution.
    """
    from weekclose import executions
    from weekclose.adjustments import money
    from weekclose.documents import read_document
    from weekclose.output import say

    if not reference.strip() or not amount or proof_file is None:
        raise Refused(f"{number} is not executed without all three: --reference, --amount and --proof")
    worth, document, executed_at = money(amount), read_document(proof_file), _instant(at)
    with acting(by) as (conn, actor):
        status = executions.execute(
            conn, number, reference, worth, document, actor, executed_at=executed_at, note=note
        )
    if status == "paid":
        say(f"{number} is paid: {worth}, reference {reference.strip()}")
    else:
        say(f"{number} awaits reconciliation: another person runs weekclose resolve {number} accept or retry")


def resolve(
    number: OfPayout,
    verdict: Annotated[str, typer.Argument(metavar="accept|retry", help="What is true of it.")],
    note: Note,
    proof_file: Annotated[
        Path | None, typer.Option("--proof", help="What shows that the money came back, for a retry.")
    ] = None,
    by: ByActor = None,
) -> None:
    """End what awaits reconciliation.

    `accept`: what left stands, and the difference to the promise becomes an adjustment. `retry`: nothing
    left, or it came back, and the money is paid with the next window.
    """
    from weekclose import executions
    from weekclose.output import say

    verdicts: dict[str, Literal["accept", "retry"]] = {"accept": "accept", "retry": "retry"}
    if verdict not in verdicts:
        raise UsageError(f"{verdict!r} is neither accept nor retry")
    document = _document(proof_file)
    with acting(by) as (conn, actor):
        made = executions.resolve(conn, number, verdicts[verdict], note, document, actor)
    ends = "paid" if verdict == "accept" else "failed, and its money rolls"
    say(f"{number} is {ends}" + (f"; the difference is {made}" if made else ""))


def reverse(
    number: OfPayout,
    reason: Annotated[str, typer.Option(help="A code of seeds/reversal_reasons.csv.")],
    note: Note,
    evidence: Annotated[
        Path | None, typer.Option(help="The document behind it: PDF, PNG or JPEG; some reasons need it.")
    ] = None,
    by: ByActor = None,
) -> None:
    """Reverse what was paid wrongly: no balance moves, the obligation that follows is recorded."""
    from weekclose import executions
    from weekclose.output import say

    document = _document(evidence)
    with acting(by) as (conn, actor):
        made = executions.reverse(conn, number, reason, note, document, actor)
    say(f"{number} is reversed; what follows is {made}")


def add_to(app: typer.Typer) -> None:
    """Give the command these commands."""
    app.add_typer(adjust, name="adjust")
    app.add_typer(exception, name="exception")
    app.add_typer(payout, name="payout")
    app.add_typer(proof, name="proof")
    for command in (execute, resolve, reverse):
        app.command(command.__name__)(command)


def _decide(ids: list[int], verdict: Literal["approved", "rejected"], reason: str, by: str | None) -> None:
    from weekclose import adjustments
    from weekclose.output import say
    from weekclose.second_factor import with_code

    with acting(by) as (conn, actor):
        with_code(conn, actor, lambda: adjustments.decide(conn, ids, verdict, reason, actor))
    say(f"{len(ids)} {verdict}")


def _instant(text: str | None) -> "datetime | None":
    """When somebody says that it happened, in UTC."""
    from datetime import UTC, datetime

    from weekclose.policy import parse_instant

    if text is None:
        return None
    instant = parse_instant(text, "--at")
    if instant > datetime.now(UTC):
        raise UsageError(f"--at {text} has not come yet: execute notes what has been paid")
    return instant


def _document(path: Path | None) -> "Document | None":
    from weekclose.documents import read_document

    return read_document(path) if path is not None else None

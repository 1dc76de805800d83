"""The commands for money that is held, and for whoever keeps the installation running."""

from dataclasses import asdict
from typing import Annotated, Literal

import typer

from weekclose.cli_shared import AsJson, ByActor, Limit, Reason, acting
from weekclose.errors import require_one_of

holds = typer.Typer(help="Money that stays in a balance until something is over.", no_args_is_help=True)

OfHolds = Annotated[list[str], typer.Argument(metavar="HOLD", help="One or more holds.")]


@holds.command("create")
def holds_create(
    seller: Annotated[str, typer.Argument(metavar="SELLER", help="Whose money.")],
    currency: Annotated[str, typer.Option(help="Its currency.")],
    amount: Annotated[str, typer.Option(help="Positive, at most two decimals.")],
    reason: Annotated[str, typer.Option(help="guarantee_period, dispute, verification or other.")],
    note: Annotated[str, typer.Option(help="What happened, in words.")],
    order: Annotated[str | None, typer.Option(help="The order that it is because of.")] = None,
    about: Annotated[str | None, typer.Option("--payout", help="The payout that it is because of.")] = None,
    until: Annotated[
        str | None, typer.Option(help="When it ends by itself, ISO 8601 with offset; else a person ends it.")
    ] = None,
    by: ByActor = None,
    json: AsJson = False,
) -> None:
    """Hold money of a seller from the next freeze on. What is frozen goes out: weekclose hold keeps that."""
    from weekclose import holds as escrow
    from weekclose.adjustments import currency_code, money
    from weekclose.output import print_json, say
    from weekclose.policy import parse_instant

    wanted = escrow.Wanted(
        seller,
        currency_code(currency),
        money(amount),
        reason,
        note,
        order,
        about,
        parse_instant(until, "--until") if until else None,
    )
    with acting(by) as (conn, actor):
        number = escrow.create(conn, wanted, actor)
    if json:
        print_json({"hold_number": number})
    else:
        print(number)
    say(f"{number} holds {wanted.amount} {wanted.currency} of seller {seller} from the next freeze on")


@holds.command("release")
def holds_release(numbers: OfHolds, reason: Reason, by: ByActor = None) -> None:
    """Release holds before their time."""
    _end(numbers, "released", reason, by)


@holds.command("cancel")
def holds_cancel(numbers: OfHolds, reason: Reason, by: ByActor = None) -> None:
    """Cancel holds that should not have been."""
    _end(numbers, "cancelled", reason, by)


@holds.command("list")
def holds_list(
    seller: Annotated[str | None, typer.Option(help="Of this seller alone.")] = None,
    status: Annotated[str | None, typer.Option(help="active, released or cancelled.")] = None,
    reason: Annotated[
        str | None, typer.Option(help="guarantee_period, dispute, verification or other.")
    ] = None,
    after: Annotated[str | None, typer.Option(help="Go on after this hold.")] = None,
    limit: Limit = 100,
    json: AsJson = False,
) -> None:
    """Holds, and what running guarantees hold as of the last build."""
    from weekclose import holds as escrow
    from weekclose.output import print_json, print_table, say
    from weekclose.reading import shown

    require_one_of("--status", status, escrow.STATUSES)
    require_one_of("--reason", reason, escrow.REASONS)
    with acting(None) as (conn, _):
        found = escrow.listed(conn, seller, status, reason, after, limit)
    if json:
        print_json([asdict(each) for each in found])
        return
    print_table(
        ("hold", "seller", "amount", "currency", "reason", "because of", "until", "status", "by", "note"),
        [
            (
                *(shown(each.hold_number), shown(each.seller_id), each.amount, each.currency, each.reason),
                *(shown(each.order_id or each.payout_number or ""), each.release_at, each.status),
                *(shown(each.held_by or "the order's guarantee"), shown(each.note)),
            )
            for each in found
        ],
    )
    if len(found) == limit:
        say(f"there may be more: --after {found[-1].hold_number}")


def _end(numbers: list[str], how: Literal["released", "cancelled"], reason: str, by: str | None) -> None:
    from weekclose import holds as escrow
    from weekclose.output import say

    with acting(by) as (conn, actor):
        escrow.end(conn, numbers, how, reason, actor)
    say(f"{len(numbers)} {how}")


def doctor(json: AsJson = False) -> int:
    """Is everything in order to close a week? Looks at all of it, changes nothing; exits with 1 if not.

    A line for each check: ok, look (a warning) or bad, what was found, and what to do next.
    """
    from weekclose.doctor import examine, told
    from weekclose.output import print_json

    findings = list(examine())
    if json:
        print_json([asdict(each) for each in findings])
    else:
        print("\n".join(told(findings)))
    return int(any(each.state == "bad" for each in findings))


def add_to(app: typer.Typer) -> None:
    """Give the command these commands."""
    app.add_typer(holds, name="holds")
    app.command("doctor")(doctor)

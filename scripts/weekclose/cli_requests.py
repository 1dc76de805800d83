"""The commands for payouts between two windows: requests, and schedules that make them."""

from collections import Counter
from dataclasses import asdict
from typing import Annotated

import typer

from weekclose.cli_shared import AsJson, ByActor, Limit, Reason, acting
from weekclose.errors import require_one_of

requests = typer.Typer(help="Part of a frozen balance, paid between two windows.", no_args_is_help=True)
schedules = typer.Typer(help="Requests that are made when their time comes.", no_args_is_help=True)

OfRequests = Annotated[list[str], typer.Argument(metavar="REQUEST", help="One or more requests.")]
OfSchedules = Annotated[list[str], typer.Argument(metavar="SCHEDULE", help="One or more schedules.")]
OfSeller = Annotated[str, typer.Argument(metavar="SELLER", help="Whose balance.")]
Currency = Annotated[str, typer.Option(help="Its currency.")]
Amount = Annotated[str, typer.Option(help="Positive, at most two decimals.")]
ForSeller = Annotated[str | None, typer.Option("--seller", help="Of this seller alone.")]


@requests.command("create")
def requests_create(
    seller: OfSeller,
    currency: Currency,
    amount: Amount,
    reason: Reason,
    by: ByActor = None,
    json: AsJson = False,
) -> None:
    """Ask for part of what is frozen and unpaid: at most that, less the floor and what holds keep."""
    from weekclose import requests as off_cycle
    from weekclose.adjustments import currency_code, money
    from weekclose.output import print_json, say

    wanted, code = money(amount), currency_code(currency)
    with acting(by) as (conn, actor):
        number = off_cycle.request(conn, seller, code, wanted, reason, actor)
    if json:
        print_json({"request_number": number})
    else:
        print(number)
    say(
        f"{number} asks for {wanted} {code} of seller {seller}: weekclose requests approve, by another person"
    )


@requests.command("approve")
def requests_approve(
    numbers: OfRequests,
    resend: Annotated[
        bool, typer.Option("--resend", help="Order that an old batch of unknown outcome is sent once more.")
    ] = False,
    by: ByActor = None,
) -> None:
    """Approve requests that another person has made. Each then leaves with weekclose submit REQUEST.

    Who has enrolled an authenticator needs its code when all else is in order: the one in WEEKCLOSE_OTP, else
    a terminal is asked.
    """
    from weekclose import decisions, submission
    from weekclose import requests as off_cycle
    from weekclose.output import say
    from weekclose.second_factor import with_code

    with acting(by) as (conn, actor):
        if resend:
            for number in numbers:
                digest = submission.find_batch(conn, number).content_digest
                with_code(conn, actor, lambda: decisions.order_resend(conn, number, digest, actor))  # noqa: B023
            say(f"{actor} orders that {', '.join(numbers)} may be sent again")
            return
        with_code(conn, actor, lambda: off_cycle.approve(conn, numbers, actor))
    say(f"{len(numbers)} approved by {actor}: weekclose submit {numbers[0]}")


@requests.command("reject")
def requests_reject(numbers: OfRequests, reason: Reason, by: ByActor = None) -> None:
    """Reject requests, also approved ones that have not left yet."""
    from weekclose import requests as off_cycle
    from weekclose.output import say

    with acting(by) as (conn, actor):
        off_cycle.reject(conn, numbers, reason, actor)
    say(f"{len(numbers)} rejected")


@requests.command("list")
def requests_list(
    seller: ForSeller = None,
    status: Annotated[str | None, typer.Option(help="requested, approved, rejected, paid, ...")] = None,
    after: Annotated[str | None, typer.Option(help="Go on after this request.")] = None,
    limit: Limit = 100,
    json: AsJson = False,
) -> None:
    """Requests, and what became of them."""
    from weekclose import requests as off_cycle
    from weekclose.output import print_json, print_table, say
    from weekclose.reading import shown

    require_one_of("--status", status, off_cycle.REQUEST_STATUSES)
    filters = {"seller": seller, "status": status, "after": after or "", "limit": limit}
    with acting(None) as (conn, _):
        found = off_cycle.requests(conn, filters)
    if json:
        print_json([asdict(each) for each in found])
        return
    print_table(
        (
            "request",
            "seller",
            "amount",
            "currency",
            "status",
            "payout",
            "schedule",
            "by",
            "decided by",
            "reason",
        ),
        [
            (
                *(each.request_number, shown(each.seller_id), each.amount, each.currency, each.status),
                *(each.payout_number, each.schedule_number, shown(each.requested_by)),
                *(shown(each.decided_by or ""), shown(each.decision_reason or each.reason)),
            )
            for each in found
        ],
    )
    if len(found) == limit:
        say(f"there may be more: --after {found[-1].request_number}")


@schedules.command("create")
def schedules_create(
    seller: OfSeller,
    currency: Currency,
    amount: Amount,
    trigger: Annotated[
        str, typer.Option(help="guarantee_period_end, milestone_reached, contract_signed or manual.")
    ],
    note: Annotated[str, typer.Option(help="What it is for, in words.")],
    order: Annotated[str | None, typer.Option(help="The order whose guarantee's end is its time.")] = None,
    at: Annotated[
        str | None, typer.Option(help="Its time, ISO 8601 with offset; else a person triggers it.")
    ] = None,
    by: ByActor = None,
    json: AsJson = False,
) -> None:
    """Have a request made when its time comes."""
    from weekclose import requests as off_cycle
    from weekclose.adjustments import currency_code, money
    from weekclose.output import print_json, say
    from weekclose.policy import parse_instant

    due_at = parse_instant(at, "--at") if at else None
    wish = off_cycle.Wish(seller, currency_code(currency), money(amount), trigger, note, order, due_at)
    with acting(by) as (conn, actor):
        number = off_cycle.schedule(conn, wish, actor)
    if json:
        print_json({"schedule_number": number})
    else:
        print(number)
    say(f"{number} asks for {wish.amount} {wish.currency} of seller {seller} when its time comes")


@schedules.command("trigger")
def schedules_trigger(numbers: OfSchedules, by: ByActor = None, json: AsJson = False) -> None:
    """Try schedules now: what they wait for has happened."""
    from weekclose import requests as off_cycle

    with acting(by) as (conn, actor):
        _tell(off_cycle.trigger(conn, numbers, actor), json)


@schedules.command("run")
def schedules_run(by: ByActor = None, json: AsJson = False) -> None:
    """The job: try every schedule whose time has come, once. Safe to run by several at once."""
    from datetime import UTC, datetime

    from weekclose import requests as off_cycle
    from weekclose.errors import NothingToDo

    with acting(by) as (conn, actor):
        outcomes = off_cycle.run(conn, datetime.now(UTC), actor)
    if not outcomes:
        raise NothingToDo("no schedule is due")
    _tell(outcomes, json)


@schedules.command("cancel")
def schedules_cancel(numbers: OfSchedules, reason: Reason, by: ByActor = None) -> None:
    """Cancel schedules that have not made their request."""
    from weekclose import requests as off_cycle
    from weekclose.output import say

    with acting(by) as (conn, actor):
        off_cycle.cancel(conn, numbers, reason, actor)
    say(f"{len(numbers)} cancelled")


@schedules.command("list")
def schedules_list(
    seller: ForSeller = None,
    status: Annotated[
        str | None, typer.Option(help="pending, processing, completed, failed or cancelled.")
    ] = None,
    trigger: Annotated[str | None, typer.Option(help="With this trigger alone.")] = None,
    due: Annotated[bool, typer.Option("--due", help="Whose time has come.")] = False,
    after: Annotated[str | None, typer.Option(help="Go on after this schedule.")] = None,
    limit: Limit = 100,
    json: AsJson = False,
) -> None:
    """Schedules with their tries."""
    from weekclose import requests as off_cycle
    from weekclose.output import print_json, print_table, say
    from weekclose.reading import shown

    require_one_of("--status", status, off_cycle.SCHEDULE_STATUSES)
    require_one_of("--trigger", trigger, off_cycle.TRIGGERS)
    filters = {"seller": seller, "status": status, "trigger": trigger, "is_due": due or None}
    with acting(None) as (conn, _):
        found = off_cycle.schedules(conn, filters | {"after": after or "", "limit": limit})
    if json:
        print_json([asdict(each) for each in found])
        return
    print_table(
        ("schedule", "seller", "amount", "currency", "trigger", "due", "status", "tries", "request", "error"),
        [
            (
                *(
                    each.schedule_number,
                    shown(each.seller_id),
                    each.amount,
                    each.currency,
                    each.trigger_event,
                ),
                *(each.due_at, each.status, each.retry_count, each.request_number),
                shown(each.last_error or ""),
            )
            for each in found
        ],
    )
    if len(found) == limit:
        say(f"there may be more: --after {found[-1].schedule_number}")


def _tell(outcomes: dict[str, str], json: bool) -> None:
    from weekclose.output import print_json, say

    if json:
        print_json(outcomes)
    counted = Counter(outcomes.values())
    words = {
        "completed": "made their request",
        "processing": "are tried again later",
        "failed": "failed for good",
    }
    say("; ".join(f"{count} {words[outcome]}" for outcome, count in sorted(counted.items())))
    if counted["processing"] or counted["failed"]:
        say("weekclose schedules list says why")


def add_to(app: typer.Typer) -> None:
    """Give the command these commands."""
    app.add_typer(requests, name="requests")
    app.add_typer(schedules, name="schedules")

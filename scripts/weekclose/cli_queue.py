"""The commands that say what to do next, and what was done."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weekclose.cli_shared import LARGEST, AsJson, Limit, acting, asked_window
from weekclose.errors import Refused, require_one_of

if TYPE_CHECKING:
    from datetime import datetime

queue = typer.Typer(help="What is not finished, and what to do about it.", invoke_without_command=True)
audit = typer.Typer(help="The audit log.", no_args_is_help=True)

After = Annotated[int, typer.Option(help="Go on after this one.", min=0, max=LARGEST)]


@queue.callback()
def queue_list(
    context: typer.Context,
    readiness: Annotated[str | None, typer.Option(help="ready, near_ready, pending or blocked.")] = None,
    attention: Annotated[str | None, typer.Option(help="none, wait or intervene.")] = None,
    seller: Annotated[str | None, typer.Option(help="Of this seller alone.")] = None,
    window: Annotated[str | None, typer.Option(help="Of this window alone, by its first day.")] = None,
    after: After = 0,
    limit: Limit = 100,
    json: AsJson = False,
) -> None:
    """What is not finished, what can move first, and the command that moves it."""
    from weekclose import queue as steps
    from weekclose.output import print_json, print_table, say
    from weekclose.reading import age_in_words, shown

    if context.invoked_subcommand is not None:
        return
    require_one_of("--readiness", readiness, steps.READINESS)
    require_one_of("--attention", attention, steps.ATTENTION)
    with acting(None) as (conn, _):
        found = steps.listed(
            conn,
            readiness=readiness,
            attention=attention,
            seller_id=seller,
            window=asked_window(conn, window) if window is not None else None,
            after=after,
            limit=limit,
        )
    if json:
        print_json([asdict(each) | {"age": int(each.age.total_seconds())} for each in found])
        return
    print_table(
        (
            *("rank", "payout", "seller", "window", "amount", "currency", "status", "readiness"),
            *("attention", "age", "why", "next"),
        ),
        [
            (
                *(str(each.priority_rank), each.payout_number, shown(each.seller_id)),
                *(each.request_number or str(each.payout_window), each.amount, each.currency, each.status),
                *(each.readiness, each.attention, age_in_words(each.age)),
                *(shown("; ".join(each.reasons), 200), each.next_action and shown(each.next_action, 300)),
            )
            for each in found
        ],
    )
    if len(found) == limit:
        say(f"there may be more: --after {found[-1].priority_rank}")


@queue.command("recheck")
def queue_recheck(
    numbers: Annotated[list[str], typer.Argument(metavar="PAYOUT", help="One or more payouts.")],
    json: AsJson = False,
) -> None:
    """May these payouts go out right now? Says why not, and then exits with 3. Changes nothing."""
    from weekclose import queue as steps
    from weekclose.output import print_json, print_table
    from weekclose.reading import reasons_in_words, shown

    with acting(None) as (conn, _):
        found = steps.recheck(conn, numbers)
    if json:
        print_json([asdict(each) | {"may_go": not each.reasons} for each in found])
    else:
        print_table(
            ("payout", "seller", "amount", "currency", "status", "may go", "why not"),
            [
                (
                    *(shown(each.payout_number), each.seller_id and shown(each.seller_id), each.amount),
                    *(each.currency, each.status, not each.reasons, reasons_in_words(each.reasons)),
                )
                for each in found
            ],
        )
    if stuck := sum(1 for each in found if each.reasons):
        raise Refused(f"{stuck:,} of {len(found):,} may not go out")


@audit.command("verify")
def audit_verify() -> None:
    """Check that no entry of the audit log was changed, removed or slipped in."""
    from weekclose import decisions
    from weekclose.output import say

    with acting(None) as (conn, _):
        entries = decisions.verify_audit(conn)
    say(f"{entries} entries, all as written")


@audit.command("timeline")
def audit_timeline(
    action: Annotated[str | None, typer.Option(help="Of this action alone, like approve.")] = None,
    entity: Annotated[
        str | None, typer.Option(help="What it was done to, like JPO0000042 or window:2026-11-01.")
    ] = None,
    actor: Annotated[str | None, typer.Option(help="Who did it.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="Not before this instant, ISO 8601.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Before this instant, ISO 8601.")] = None,
    after: After = 0,
    limit: Limit = 100,
    json: AsJson = False,
) -> None:
    """Who did what, with which rights, what it changed, and why; the oldest first."""
    from weekclose import audit as log
    from weekclose.output import print_json, print_table, say
    from weekclose.reading import shown

    asked = log.Asked(action, entity, actor, _instant("--from", since), _instant("--to", until))
    with acting(None) as (conn, _):
        found = log.timeline(conn, asked, after, limit)
    if json:
        print_json([asdict(each) for each in found])
        return
    print_table(
        ("entry", "at", "actor", "role", "action", "of", "before", "after", "reason"),
        [
            (
                *(str(each.entry_id), each.at, shown(each.actor), each.role, each.action),
                *(shown(each.entity), _content(each.before), _content(each.after), shown(each.reason)),
            )
            for each in found
        ],
    )
    if len(found) == limit:
        say(f"there may be more: --after {found[-1].entry_id}")


def add_to(app: typer.Typer) -> None:
    """Give the command these commands."""
    app.add_typer(queue, name="queue")
    app.add_typer(audit, name="audit")


def _instant(option: str, text: str | None) -> "datetime | None":
    from weekclose.policy import parse_instant

    return parse_instant(text, option) if text is not None else None


def _content(changed: dict[str, Any] | None) -> str:
    """What changed, in one cell."""
    from weekclose.reading import shown

    return ", ".join(f"{name} {shown(str(value))}" for name, value in (changed or {}).items())

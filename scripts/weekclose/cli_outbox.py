"""The commands that tell others: events to another program, notifications to people."""

from dataclasses import asdict
from typing import Annotated

import typer

from weekclose.cli_shared import LARGEST, AsJson, Limit, acting

outbox = typer.Typer(help="Events: what another program is told of money.", no_args_is_help=True)
notify = typer.Typer(help="Notifications: what people are told.", no_args_is_help=True)

Waiting = Annotated[bool, typer.Option("--waiting", help="Only what is not delivered.")]
AfterId = Annotated[int, typer.Option("--after", help="Go on after this id.", min=0, max=LARGEST)]


@outbox.command("publish")
def outbox_publish() -> None:
    """Deliver what waits to WEEKCLOSE_OUTBOX, in order; what cannot be is left to the next run."""
    from weekclose.outbox import publish, refuse_failed
    from weekclose.outbox_destinations import open_destination
    from weekclose.output import say
    from weekclose.settings import load_telling_settings

    destination = open_destination(load_telling_settings())
    with acting(None) as (conn, _):
        done = publish(conn, destination)
    if done.delivered:
        say(f"{done.delivered:,} delivered")
    refuse_failed(done)


@outbox.command("list")
def outbox_list(
    waiting: Waiting = False,
    entity: Annotated[str | None, typer.Option(help="Of this alone, like payout:JPO0000001.")] = None,
    event_type: Annotated[str | None, typer.Option("--type", help="Of this type, like payout.paid.")] = None,
    after: AfterId = 0,
    limit: Limit = 100,
    json: AsJson = False,
) -> None:
    """Events, and what became of their delivery."""
    from weekclose.outbox import listed
    from weekclose.output import print_json, print_table, say
    from weekclose.reading import shown

    with acting(None) as (conn, _):
        found = listed(conn, waiting, entity, event_type, after, limit)
    if json:
        print_json([asdict(each) for each in found])
        return
    print_table(
        ("event", "at", "type", "entity", "delivered", "tries", "last error", "next try"),
        [
            (
                *(str(each.event_id), each.created_at, each.type, shown(each.entity), each.delivered_at),
                *(each.tries, shown(each.last_error or ""), each.next_try_at),
            )
            for each in found
        ],
    )
    if len(found) == limit:
        say(f"there may be more: --after {found[-1].event_id}")


@notify.command("run")
def notify_run() -> None:
    """Tell people what is new: each thing once, by mail, Slack or, when neither is set up, on stdout."""
    from weekclose.notifications import open_channels, run
    from weekclose.output import say
    from weekclose.settings import load_telling_settings

    channels = open_channels(load_telling_settings())
    with acting(None) as (conn, _):
        delivered = run(conn, channels)
    say(f"{delivered:,} delivered")


@notify.command("list")
def notify_list(
    waiting: Waiting = False,
    channel: Annotated[str | None, typer.Option(help="smtp, slack, stdout or outbox.")] = None,
    after: AfterId = 0,
    limit: Limit = 100,
    json: AsJson = False,
) -> None:
    """Who was told what, how, and whether it was delivered."""
    from weekclose.notifications import listed
    from weekclose.output import print_json, print_table, say
    from weekclose.reading import shown

    with acting(None) as (conn, _):
        found = listed(conn, waiting, channel, after, limit)
    if json:
        print_json([asdict(each) for each in found])
        return
    print_table(
        ("notification", "at", "channel", "recipient", "message", "delivered", "tries", "last error"),
        [
            (
                *(str(each.notification_id), each.created_at, each.channel, shown(each.recipient)),
                *(shown(each.message, 120), each.delivered_at, each.tries, shown(each.last_error or "")),
            )
            for each in found
        ],
    )
    if len(found) == limit:
        say(f"there may be more: --after {found[-1].notification_id}")


def add_to(app: typer.Typer) -> None:
    """Give the command these commands."""
    app.add_typer(outbox, name="outbox")
    app.add_typer(notify, name="notify")

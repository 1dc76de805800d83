"""The command `weekclose`: thin wrappers that read settings, call a step and print what it says."""

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from weekclose import cli_controls, cli_operations, cli_outbox, cli_queue, cli_requests
from weekclose.cli_shared import (
    AsJson,
    ByActor,
    OfSeller,
    OfWindow,
    OfWindowOrRequest,
    Reason,
    Sellers,
    Window,
    acting,
    asked_to_pay,
    asked_window,
    ledger_of,
)
from weekclose.errors import NothingToDo, Refused, UsageError, WeekcloseError

if TYPE_CHECKING:
    from weekclose.events import InboxEntry
    from weekclose.rails.protocol import Batch

app = typer.Typer(
    name="weekclose",
    help="Closes a marketplace's week: from raw orders to a frozen, reconciled settlement window.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    # A bug's traceback says where, never what the variables held.
    pretty_exceptions_show_locals=False,
)
db = typer.Typer(help="The PostgreSQL server and its migrations.", no_args_is_help=True)
app.add_typer(db, name="db")
rail = typer.Typer(help="The payment rail to try things with.", no_args_is_help=True)
app.add_typer(rail, name="rail")
webhooks = typer.Typer(help="What the rail tells us.", no_args_is_help=True)
app.add_typer(webhooks, name="webhooks")
events = typer.Typer(help="The inbox of what the rail told us.", no_args_is_help=True)
app.add_typer(events, name="events")
otp = typer.Typer(help="The second factor: an authenticator for approvals.", no_args_is_help=True)
app.add_typer(otp, name="otp")

INTERRUPTED = 130
LONGEST_MESSAGE = 10_000


@db.command("up")
def db_up() -> None:
    """Start the embedded PostgreSQL, unless DATABASE_URL or PG* names another server."""
    from weekclose.database import server
    from weekclose.output import say
    from weekclose.settings import load_settings

    settings = load_settings()
    where = server(settings)
    kind = "using the PostgreSQL of the environment:" if settings.names_a_server else "PostgreSQL runs:"
    say(f"{kind} {where.host}:{where.port}, database {where.dbname}")


@db.command("down")
def db_down() -> None:
    """Stop the embedded PostgreSQL."""
    from weekclose.output import say
    from weekclose.postgres import EmbeddedPostgres
    from weekclose.settings import load_settings

    settings = load_settings()
    if settings.names_a_server:
        raise Refused("the environment names a PostgreSQL that weekclose did not start and will not stop")
    if not EmbeddedPostgres(settings.home).stop():
        raise NothingToDo(f"no PostgreSQL is running under {settings.home}")
    say("PostgreSQL is stopped")


@db.command("url")
def db_url(
    env: Annotated[bool, typer.Option("--env", help="Print PG* variables for a shell.")] = False,
    json: AsJson = False,
) -> None:
    """Print what psql or a BI tool connects to, password included."""
    from weekclose.database import server
    from weekclose.output import print_json
    from weekclose.settings import load_settings

    where = server(load_settings())
    if json:
        print_json({"url": where.url} | where.environment())
    elif env:
        for name, value in where.environment().items():
            print(f"export {name}={shlex.quote(value)}")
    else:
        print(where.url)


@db.command("migrate")
def db_migrate(json: AsJson = False) -> None:
    """Bring the database to this version: applies what is missing of migrations/."""
    from weekclose.database import connect
    from weekclose.migrations import migrate
    from weekclose.output import print_json, say
    from weekclose.settings import load_settings, project_dir

    with connect(load_settings()) as conn:
        applied = migrate(conn, project_dir() / "migrations")
    if json:
        print_json({"applied": applied})
    for name in applied:
        say(f"applied {name}")
    if not applied:
        say("nothing to apply")


@rail.command("serve")
def rail_serve(
    faults: Annotated[
        list[str] | None,
        typer.Argument(help="FAULT[@OPERATION][:TIMES], like timeout@submit:2."),
    ] = None,
    port: Annotated[int, typer.Option(help="Port on loopback; 0: a free one.")] = 0,
    record: Annotated[
        Path | None, typer.Option(help="What was paid, an SQLite file.", show_default="under WEEKCLOSE_HOME")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed, another chance.")] = 0,
    chaos: Annotated[float, typer.Option(min=0, max=1, help="Share of submissions that go wrong.")] = 0,
    webhook_url: Annotated[str | None, typer.Option(help="Where webhooks go.")] = None,
    settle_after: Annotated[
        float | None, typer.Option(min=0, help="Seconds after which payments complete on their own.")
    ] = None,
    fail_rate: Annotated[float, typer.Option(min=0, max=1, help="Share of those that fail.")] = 0,
) -> None:
    """A simulated rail on loopback that speaks batch, halfin and paypal, and misbehaves on demand.

    The first line on stdout is its address. It accepts WEEKCLOSE_RAIL_KEY alone, if that is set, and signs
    webhooks with the first of WEEKCLOSE_WEBHOOK_SECRETS.
    """
    from weekclose.settings import load_settings
    from weekclose.simulator.serve import Wishes, serve

    wishes = Wishes(port, seed, tuple(faults or ()), chaos, webhook_url, settle_after, fail_rate)
    serve(record or load_settings().home / "rail.sqlite", wishes)


@webhooks.command("serve")
def webhooks_serve(
    port: Annotated[int, typer.Option(help="Port on loopback; 0: a free one.", min=0, max=65535)] = 0,
) -> None:
    """Take the rail's webhooks at /webhooks/rail, on loopback: what the rail can reach goes in front.

    The first line on stdout is its address. GET /healthz answers 200 while the database does.
    WEEKCLOSE_WEBHOOK_SECRETS are all valid. SIGTERM and Ctrl-C end it when everything stored is applied.
    """
    from weekclose.settings import load_settings
    from weekclose.webhooks import serve

    serve(load_settings(), port)


@events.command("list")
def events_list(
    every: Annotated[bool, typer.Option("--all", help="Also those that are decided.")] = False,
    json: AsJson = False,
) -> None:
    """What the rail told us that waits, and what for."""
    from weekclose.events import entries
    from weekclose.output import print_json

    with acting(None) as (conn, _):
        found = entries(conn, waiting_only=not every)
    if json:
        print_json(_events(found))
    else:
        _show_events(found)


@events.command("replay")
def events_replay(
    event_ids: Annotated[
        list[int] | None,
        typer.Argument(metavar="ID", help="Which ones; all that wait without.", min=1, max=2**62),
    ] = None,
    by: ByActor = None,
    json: AsJson = False,
) -> None:
    """Apply waiting events, and show what became of each or what it still waits for."""
    from weekclose.events import replay
    from weekclose.output import print_json

    with acting(by) as (conn, actor):
        found = replay(conn, event_ids or (), actor)
        booked = ledger_of(conn)
    if json:
        print_json({"events": _events(found), "ledger": booked})
    else:
        _show_events(found)


def _events(found: "list[InboxEntry]") -> list[dict[str, Any]]:
    return [asdict(each) | {"stands": each.stands} for each in found]


def _show_events(found: "list[InboxEntry]") -> None:
    from weekclose.feeds import printable
    from weekclose.output import print_table

    print_table(
        ("event", "received", "rail", "type", "payout", "amount", "currency", "stands"),
        [
            (
                # A rail's own words are nothing that a terminal should obey.
                *(str(each.event_id), each.received_at, each.rail, printable(each.event_type, 40)),
                *(printable(each.payout_number or "", 20), each.amount, printable(each.currency or "", 10)),
                each.stands,
            )
            for each in found
        ],
    )


@app.command("load")
def load(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", help="Files named after raw tables, or folders of them."),
    ],
    allow_rejects: Annotated[
        bool, typer.Option("--allow-rejects", help="Do not fail because rows were rejected.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Load CSV or Parquet files (orders.csv, sellers_2026-11-01.parquet, ...) into the raw tables."""
    from weekclose.database import connect
    from weekclose.load import load_paths
    from weekclose.output import print_json, print_table, say
    from weekclose.settings import load_settings

    with connect(load_settings()) as conn, _progress() as progress:
        report = load_paths(conn, paths, progress=progress)
    if json:
        print_json(asdict(report) | {"total": asdict(report.total)})
    else:
        rows = [(file.file, file.table, *astuple(file.counts)) for file in report.files]
        total = ("total", "", *astuple(report.total))
        print_table(("file", "table", "read", "loaded", "unchanged", "rejected"), [*rows, total])
    for name in report.skipped:
        say(f"skipped {name}: neither .csv nor .parquet")
    for reject in report.rejects:
        say(f"rejected {reject.file}:{reject.line}: {reject.reason}")
    if report.total.rejected:
        counted = f"{report.total.rejected:,} of {report.total.read:,} rows were rejected"
        message = f"{counted}: they are in raw.rejected_rows, load_id {report.load_id}"
        if not allow_rejects:
            raise WeekcloseError(message)
        say(message)


@app.command("sunday")
def sunday(
    as_of: Annotated[str | None, typer.Option(help="Instant to speak for, ISO 8601 with offset.")] = None,
    variables: Annotated[str, typer.Option("--vars", help="Settings of this run, a JSON object.")] = "{}",
    no_freeze: Annotated[bool, typer.Option("--no-freeze", help="Build and test only.")] = False,
    full_refresh: Annotated[bool, typer.Option("--full-refresh", help="Compute every order anew.")] = False,
    by: ByActor = None,
    json: AsJson = False,
) -> int:
    """Sunday night: sources, build, tests, distribution checks, then the freeze of the due window."""
    from weekclose.database import server
    from weekclose.output import print_json, say
    from weekclose.policy import parse_as_of, parse_vars
    from weekclose.review.site import publish
    from weekclose.settings import load_settings
    from weekclose.sunday import run_sunday, summary
    from weekclose.warehouse import Warehouse

    settings = load_settings()
    instant, overrides = parse_as_of(as_of), parse_vars(variables)
    with acting(by) as (conn, actor):
        where = server(settings)
        warehouse = Warehouse(settings, where)
        try:
            report = run_sunday(
                where,
                warehouse,
                as_of=instant,
                actor=actor,
                overrides=overrides,
                may_freeze=not no_freeze,
                full_refresh=full_refresh,
            )
        except Refused:
            raise  # it never began: the page of before still holds
        except WeekcloseError:
            publish(where, warehouse, settings.home / "site")
            raise
        publish(where, warehouse, settings.home / "site")
        booked = ledger_of(conn)
    if json:
        print_json(report.as_json() | {"ledger": booked})
    else:
        print("\n".join(summary(report)))
    if report.outcome == "refused":
        say(f"nothing was frozen: {report.message}")
        return Refused.exit_code
    return 0


@app.command("review")
def review(
    open_it: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    json: AsJson = False,
) -> None:
    """Write the review again as things stand: after decisions, and what became of the payouts."""
    from weekclose.database import server
    from weekclose.output import print_json
    from weekclose.review.site import write_site
    from weekclose.settings import load_settings
    from weekclose.warehouse import Warehouse

    settings = load_settings()
    where = server(settings)
    site = write_site(where, Warehouse(settings, where), settings.home / "site")
    if json:
        print_json(asdict(site))
    else:
        print(f"{site.headline}\n{site.index}")
    if open_it:
        typer.launch(str(site.index))


@app.command("demo")
def demo(
    sellers: Annotated[int, typer.Option(help="How many sellers.", min=50)] = 4000,
    weeks: Annotated[int, typer.Option(help="How many weeks.", min=2)] = 26,
    seed: Annotated[int, typer.Option(help="Another seed, another marketplace.")] = 1,
) -> None:
    """A sample marketplace, then whole weeks: what arrives, each Sunday, and what is paid after it."""
    from weekclose.database import server
    from weekclose.demo import play, shown
    from weekclose.output import say
    from weekclose.review.site import write_site
    from weekclose.sample import SamplePlan
    from weekclose.settings import load_settings
    from weekclose.warehouse import Warehouse

    settings = load_settings()
    plan = SamplePlan(sellers=sellers, weeks=weeks, seed=seed)
    where = server(settings)
    warehouse = Warehouse(settings, where)
    directory = settings.home / "demo"
    sample = play(where, warehouse, directory, plan, say)
    shown(where, sample, directory, write_site(where, warehouse, settings.home / "site").index)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Tells how far long work is, on a line of stderr that goes again; in a pipe it says nothing."""
    if not sys.stderr.isatty():
        yield lambda message: None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status("") as status:
        yield lambda message: status.update(Text(message))  # a file's name is not markup


@app.command("status")
def status(
    window: Annotated[str | None, typer.Argument(help="First day of a window, for its details.")] = None,
    json: AsJson = False,
) -> None:
    """Where the weeks stand: the last run, the windows and their money, what is next."""
    from weekclose.database import connect
    from weekclose.output import print_json
    from weekclose.reading import snapshot
    from weekclose.settings import load_settings
    from weekclose.status import show_status
    from weekclose.status import status as answer

    with connect(load_settings()) as conn, snapshot(conn):
        found = answer(conn, window)
    if json:
        print_json(found.as_json())
    else:
        show_status(found)


@app.command("explain")
def explain(seller: OfSeller, window: OfWindow, json: AsJson = False) -> None:
    """Why a seller's window comes to what it comes to: each line, and why it is in this window."""
    from weekclose.database import connect
    from weekclose.explain import explain as answer
    from weekclose.explain import show_explanation
    from weekclose.output import print_json
    from weekclose.reading import snapshot
    from weekclose.settings import load_settings

    with connect(load_settings()) as conn, snapshot(conn):
        explained = answer(conn, seller, window)
    if json:
        print_json(explained.as_json())
    else:
        show_explanation(explained)
    explained.check()


@app.command("statement")
def statement(
    seller: OfSeller,
    window: OfWindow,
    csv: Annotated[bool, typer.Option("--csv", help="Answer with CSV.")] = False,
    html: Annotated[bool, typer.Option("--html", help="Answer with a page that needs no network.")] = False,
    json: AsJson = False,
) -> None:
    """The seller's receipt for a window: opening balance, each order, refund and dispute, payout, closing."""
    from weekclose.database import connect
    from weekclose.output import print_json
    from weekclose.reading import calendar, snapshot
    from weekclose.settings import load_settings
    from weekclose.statement import receipt, statements, write_csv

    if csv + html + json > 1:
        raise UsageError("--csv, --html and --json: choose one")
    with connect(load_settings()) as conn, snapshot(conn):
        dates, made = calendar(conn), statements(conn, seller, window)
    if json:
        print_json([asdict(each) for each in made])
    elif html:
        from weekclose.review.page import render_statement

        sys.stdout.buffer.write(render_statement(made, dates).encode())
    elif csv:
        write_csv(made)
    else:
        print("\n\n".join("\n".join(receipt(each, dates)) for each in made))


@app.command("export")
def export(
    window: OfWindow,
    output: Annotated[
        Path | None,
        typer.Option(help="File to write; its sha256 goes to FILE.sha256.", show_default="stdout"),
    ] = None,
) -> None:
    """A window of the settlement view as CSV: no text cell is a formula, numbers stay plain numbers."""
    from weekclose.database import connect
    from weekclose.export import export as answer
    from weekclose.export import export_to_file
    from weekclose.output import say
    from weekclose.reading import snapshot
    from weekclose.settings import load_settings

    with connect(load_settings()) as conn, snapshot(conn):
        done = export_to_file(conn, window, output) if output else answer(conn, window, sys.stdout.buffer)
    say(f"{done.row_count:,} rows, sha256 {done.digest}")
    if not done.is_frozen:
        say(f"window {done.payout_window} is not frozen: these numbers still change")


@app.command("hold")
def hold(sellers: Sellers, window: Window, reason: Reason, by: ByActor = None) -> None:
    """Keep sellers' payouts of a frozen window back. An approval of the window is void."""
    from weekclose import decisions
    from weekclose.output import say

    with acting(by) as (conn, actor):
        decisions.hold(conn, sellers, asked_window(conn, window), reason, actor)
    say(f"{len(sellers)} on hold in window {window}")


@app.command("release")
def release(sellers: Sellers, window: Window, reason: Reason, by: ByActor = None) -> None:
    """End holds. An approval of the window is void."""
    from weekclose import decisions
    from weekclose.output import say

    with acting(by) as (conn, actor):
        decisions.release(conn, sellers, asked_window(conn, window), reason, actor)
    say(f"{len(sellers)} released in window {window}")


@app.command("clear")
def clear(sellers: Sellers, reason: Reason, by: ByActor = None) -> None:
    """Clear sellers' manual reviews, for 30 days."""
    from weekclose import decisions
    from weekclose.output import say

    with acting(by) as (conn, actor):
        decisions.clear(conn, sellers, reason, actor)
    say(f"{len(sellers)} cleared")


@app.command("approve")
def approve(
    window: OfWindow,
    digest: Annotated[str, typer.Option(help="The content digest that you have seen.")],
    resend: Annotated[
        bool, typer.Option("--resend", help="Order that an old batch of unknown outcome is sent once more.")
    ] = False,
    by: ByActor = None,
) -> None:
    """Approve a frozen window with exactly the content that this digest is of.

    Who has enrolled an authenticator needs its code when all else is in order: the one in WEEKCLOSE_OTP, else
    a terminal is asked.
    """
    from weekclose import decisions
    from weekclose.output import say
    from weekclose.second_factor import with_code

    with acting(by) as (conn, actor):
        first_day = asked_window(conn, window)
        if resend:
            with_code(conn, actor, lambda: decisions.order_resend(conn, first_day, digest, actor))
            say(f"{actor} orders that the batch of window {window} may be sent again")
            return
        with_code(conn, actor, lambda: decisions.approve(conn, first_day, digest, actor))
        say(f"window {window} is approved by {actor}")


@otp.command("enrol")
def otp_enrol(by: ByActor = None, json: AsJson = False) -> None:
    """Make a secret for your authenticator app and show it, once. A new phone needs a code of the old one."""
    from weekclose import second_factor
    from weekclose.output import print_json, say

    with acting(by) as (conn, actor):
        secret = second_factor.with_code(conn, actor, lambda: second_factor.enrol(conn, actor))
        uri = second_factor.uri(secret, f"{actor}@{conn.info.dbname}")
    if json:
        print_json({"uri": uri, "secret": second_factor.base32(secret)})
    else:
        print(f"{uri}\n{second_factor.base32(secret)}")
    say(f"{actor} decides with a code from now on: give one of these to the app, it is not shown again")


@otp.command("reset")
def otp_reset(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose authenticator is lost.")],
    reason: Reason,
    by: ByActor = None,
) -> None:
    """Take a lost authenticator away from another person, who then enrols a new one."""
    from weekclose import second_factor
    from weekclose.output import say

    with acting(by) as (conn, actor):
        second_factor.reset(conn, name, reason, actor)
    say(f"{name} has no authenticator any more")


@otp.command("require")
def otp_require(
    reason: Reason,
    off: Annotated[bool, typer.Option("--off", help="Only of those who have enrolled.")] = False,
    by: ByActor = None,
) -> None:
    """Require an authenticator of everybody who approves."""
    from weekclose import second_factor
    from weekclose.output import say

    with acting(by) as (conn, actor):
        second_factor.require(conn, not off, reason, actor)
    say(f"codes are required of {'those who have enrolled' if off else 'everybody'}")


@app.command("submit")
def submit(
    paid: OfWindowOrRequest,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be sent, byte for byte; send nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask in a terminal.")] = False,
    by: ByActor = None,
    json: AsJson = False,
) -> None:
    """Hand an approved window or request to the rail, once. Safe to run again after anything."""
    from weekclose import submission
    from weekclose.output import print_json, say
    from weekclose.rails.configured import load_rail_settings, open_rail

    with acting(by) as (conn, actor), _progress() as progress:
        rail = open_rail(load_rail_settings(), progress)
        leaving = asked_to_pay(conn, paid)
        if dry_run:
            _show_batch(submission.to_send(conn, rail, submission.find_batch(conn, leaving)), json)
            return
        if sys.stdin.isatty() and not yes:
            batch = submission.to_send(conn, rail, submission.find_batch(conn, leaving))
            typer.confirm(f"Hand {_counted(batch)} to {rail.name}?", abort=True, err=True)
        done = submission.submit(conn, rail, leaving, actor)
        booked = ledger_of(conn)
    if json:
        print_json(asdict(done) | {"ledger": booked})
    money = ", ".join(f"{amount} {currency}" for currency, amount in done.totals.items()) or "nothing"
    say(
        f"batch {done.batch_id} is submitted: {done.item_count:,} payouts, {money}, "
        f"receipt {done.rail_batch_id}"
    )
    if done.manual_count:
        say(f"{done.manual_count:,} more are to be paid by hand: weekclose execute notes each of them")


def _counted(batch: "Batch") -> str:
    money = ", ".join(f"{amount:,} {currency}" for currency, amount in sorted(batch.totals.items()))
    return f"{batch.item_count:,} payouts, {money or 'nothing'}"


def _show_batch(batch: "Batch", as_json: bool) -> None:
    from weekclose.output import print_json, say

    if as_json:
        print_json({"key": batch.idempotency_key, "body": batch.body.decode()})
        return
    say(f"batch {batch.reference}: {_counted(batch)}")
    say(f"idempotency key {batch.idempotency_key}")
    sys.stdout.flush()
    sys.stdout.buffer.write(batch.body)
    sys.stdout.buffer.flush()


@app.command("reconcile")
def reconcile(
    paid: Annotated[
        str | None,
        typer.Argument(
            metavar="[WINDOW|REQUEST]", help="A window's first day or a request, to ask about all of it."
        ),
    ] = None,
    by: ByActor = None,
    json: AsJson = False,
) -> None:
    """Ask the rail about everything that is not final, and apply the events that waited for it."""
    from weekclose import reconciliation
    from weekclose.errors import OutcomeUnknown
    from weekclose.output import print_json, say
    from weekclose.rails.configured import load_rail_settings, open_rail

    with acting(by) as (conn, actor), _progress() as progress:
        rail = open_rail(load_rail_settings(), progress)
        asked = asked_to_pay(conn, paid) if paid else None
        report = reconciliation.reconcile(conn, rail, asked, actor, progress)
        booked = ledger_of(conn)
    if json:
        print_json(report.as_json() | {"ledger": booked})
    for each in report.asked:
        say(
            f"batch {each.batch_id}: {each.item_count:,} payouts, {each.booked_count:,} booked, "
            f"{each.open_count:,} still open{': ' if each.problem else ''}{each.problem}"
        )
    for verdict, count in report.waiting.items():
        waits = "event waits" if count == 1 else "events wait"
        say(f"{count:,} {waits}: {verdict.replace('_', ' ')} (weekclose events list)")
    problems = [each for each in report.asked if each.problem]
    if any(each.is_unknown for each in problems):
        raise OutcomeUnknown("not everything could be asked: run weekclose reconcile again later")
    if problems:
        raise WeekcloseError("the rail's record differs from ours: see marts.reconciliation_breaks")


cli_controls.add_to(app)
cli_operations.add_to(app)
cli_outbox.add_to(app)
cli_requests.add_to(app)
cli_queue.add_to(app)


def main() -> NoReturn:
    """Run the command; exit with the code of the error class, one line on stderr, no traceback."""
    sys.exit(_run())


def _run() -> int:
    try:
        exit_code = int(app(standalone_mode=False) or 0)
        # Typer takes Ctrl-C for itself and says nothing.
        return _failed("interrupted", exit_code) if exit_code == INTERRUPTED else exit_code
    except typer.TyperException as error:
        return _misused(error)
    except WeekcloseError as error:
        return _failed(str(error), error.exit_code)
    except OSError as error:
        return _failed(f"{error.filename or 'system'}: {error.strerror or error}", WeekcloseError.exit_code)
    except UnicodeEncodeError:
        return _failed("an argument is no UTF-8 text: write it anew", UsageError.exit_code)
    except Exception as error:
        import psycopg

        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            said = error.diag.message_primary or str(error)
            return _failed(f"{said}: this login has not the role for it", Refused.exit_code)
        if isinstance(error, psycopg.OperationalError):
            return _failed(f"database: {error}", WeekcloseError.exit_code)
        raise


def _misused(error: typer.TyperException) -> int:
    message = error.format_message()
    if message.startswith("Usage:"):  # called without a command: the help is the answer
        print(message, file=sys.stderr)
        return error.exit_code
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "weekclose"
    return _failed(f"{message.rstrip('.')} (see {command} --help)", error.exit_code)


def _failed(message: str, exit_code: int) -> int:
    from weekclose.feeds import printable

    # Whatever a feed or an argument brings along: one line, and nothing that a terminal would obey.
    print(f"weekclose: {printable(' '.join(message.split()), LONGEST_MESSAGE)}", file=sys.stderr)
    return exit_code

"""Every command that changes the books, killed anywhere and run again: done once, or not at all.

Each is one transaction (`load` one a file), so that a point has nothing to show a second time.
Those that speak with a rail are killed in test_killed.py, `sunday` in test_killed_nights.py.
"""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection
from psycopg.types.json import Jsonb

from catalogue import Reached
from controls import policy
from frozen_window import APPROVER, OPERATOR, WINDOW, claimed_window, frozen_window, one, submitted_window
from killing import DONE, KILLED, Spoken, command, in_child, kill_at
from sample_documents import pdf
from test_cli import every_command
from tuesday import AMOUNTS, FIRST, empty, marts  # noqa: F401
from weekclose import adjustments, decisions, executions, holds, requests, second_factor
from weekclose.adjustments import Proposal
from weekclose.database import open_connection
from weekclose.documents import Document
from weekclose.errors import NothingToDo, Refused
from weekclose.postgres import Server

pytestmark = pytest.mark.catalogue(1)

Act = Callable[[Connection[Any]], object]

# What has to be done before a command


def papers(text: str) -> Document:
    return Document(sha256(pdf(text)).hexdigest(), "application/pdf", pdf(text))


def nothing(conn: Connection[Any]) -> None:
    """The books are empty."""


def frozen(conn: Connection[Any]) -> None:
    frozen_window(conn, AMOUNTS)


def held(conn: Connection[Any]) -> None:
    frozen(conn)
    decisions.hold(conn, ["s3"], WINDOW, "a question", OPERATOR)


def claimed(conn: Connection[Any]) -> None:
    """Nobody knows what became of the batch."""
    frozen(conn)
    claimed_window(conn, WINDOW)


def failed(conn: Connection[Any]) -> None:
    """s1 has 90.00 in his balance."""
    submitted_window(conn, ["90.00"])
    word = {"reference": FIRST, "status": "failed", "amount": "90.00", "final": True}
    conn.execute(
        "select payouts.confirm('W2026-11-01-G1', clock_timestamp(), %s, %s)", [Jsonb([word]), OPERATOR]
    )


def requested(conn: Connection[Any]) -> None:
    failed(conn)
    requests.request(conn, "s1", "USD", Decimal(50), "he asked for it", OPERATOR)


def request_approved(conn: Connection[Any]) -> None:
    requested(conn)
    requests.approve(conn, ["REQ0000001"], APPROVER)


def request_claimed(conn: Connection[Any]) -> None:
    request_approved(conn)
    digest = one(conn, "select content_digest from payouts.batches where request_number is not null")
    claim = "select payouts.claim_batch('REQ0000001-G1', %s, 'batch', '{}', %s)"
    conn.execute(claim, (digest, OPERATOR))


def scheduled(conn: Connection[Any]) -> None:
    """Its time has come."""
    failed(conn)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    wish = requests.Wish("s1", "USD", Decimal(50), "manual", "when it is due", due_at=at)
    requests.schedule(conn, wish, OPERATOR)


def kept_back(conn: Connection[Any]) -> None:
    frozen(conn)
    holds.create(conn, holds.Wanted("s1", "USD", Decimal(5), "other", "a question"), OPERATOR)


def enrolled(conn: Connection[Any]) -> None:
    second_factor.enrol(conn, "nina")


def proposed(conn: Connection[Any], of_class: str = "carry_forward_deduction") -> str:
    by_hand(conn)
    invoice = "INV-1" if of_class == "gross_invoice_fee" else None
    proposal = Proposal("s1", "USD", of_class, Decimal(5), "late", "as agreed", invoice)
    return adjustments.propose(conn, proposal, papers("a contract"), OPERATOR)


def selected(conn: Connection[Any]) -> None:
    """Somebody has to choose whether it applies."""
    policy(conn, "carry_forward_deduction", "manual")
    proposed(conn)


def wished(conn: Connection[Any]) -> None:
    """Another person has to agree."""
    policy(conn, "carry_forward_deduction", "exception")
    proposed(conn)


def receivable(conn: Connection[Any]) -> None:
    adjustments.apply(conn, [proposed(conn, "gross_invoice_fee")], "s1", "USD", "rita")


def by_hand(conn: Connection[Any]) -> None:
    """A window whose payouts a person pays."""
    submitted_window(conn, AMOUNTS, rail="MANUAL", destination="an account", through="MANUAL")


def executed(conn: Connection[Any], amount: str = AMOUNTS[0]) -> None:
    by_hand(conn)
    executions.execute(
        conn, FIRST, "BANK-1", Decimal(amount), papers("a receipt"), OPERATOR, note="as the bank has it"
    )


@dataclass(frozen=True)
class Case:
    """What a person writes, after what has been done before it. `{file}` is a document, `{digest}` the
    newest batch's, `{rows}` a folder with raw rows."""

    arguments: str
    before: Act
    environment: Mapping[str, str] = field(default_factory=dict)
    # Who says it twice has said it twice; it does no harm.
    is_noted_again: bool = False


CASES = {
    "load": Case("{rows}", nothing),
    "hold": Case("s1 s2 --window 2026-11-01 --reason why --by olga", frozen),
    "release": Case("s3 --window 2026-11-01 --reason answered --by olga", held),
    "clear": Case("s1 s2 --reason 'we know them' --by olga", frozen, is_noted_again=True),
    "approve": Case("2026-11-01 --digest {digest} --by anna", frozen),
    "approve --resend": Case("2026-11-01 --digest {digest} --by anna", claimed, is_noted_again=True),
    "execute": Case(f"{FIRST} --reference B-1 --amount 10.00 --proof {{file}} --note so --by olga", by_hand),
    "resolve": Case(
        f"{FIRST} accept --note 'it stays' --proof {{file}} --by rita", partial(executed, amount="12.00")
    ),
    "reverse": Case(
        f"{FIRST} --reason wrong_beneficiary --note oops --evidence {{file}} --by rita", executed
    ),
    "otp enrol": Case("--by nina", nothing),
    "otp reset": Case("nina --reason lost --by ada", enrolled),
    "otp require": Case("--reason 'from now on' --by ada", nothing),
    "adjust propose": Case(
        "s1 --class carry_forward_deduction --currency USD --amount 5 --reason late --note agreed"
        " --file {file} --by olga",
        by_hand,
    ),
    "adjust apply": Case("ADJ0000001 --seller s1 --currency USD --by rita", selected),
    "adjust settle": Case("ADJ0000001 --reference B-2 --file {file} --by olga", receivable),
    "adjust cancel": Case("ADJ0000001 --reason 'a mistake' --by olga", selected),
    "exception approve": Case("1 --reason fair --by anna", wished),
    "exception reject": Case("1 --reason 'not fair' --by anna", wished),
    "proof replace": Case(f"{FIRST} --file {{file}} --reason 'it was blurred' --by olga", executed),
    "holds create": Case("s1 --currency USD --amount 5 --reason other --note 'a question' --by olga", frozen),
    "holds release": Case("HLD0000001 --reason answered --by olga", kept_back),
    "holds cancel": Case("HLD0000001 --reason 'a mistake' --by olga", kept_back),
    "outbox publish": Case("", frozen, {"WEEKCLOSE_OUTBOX": "stdout"}),
    "notify run": Case("", failed),
    "requests create": Case("s1 --currency USD --amount 50 --reason 'he asked for it' --by olga", failed),
    "requests approve": Case("REQ0000001 --by anna", requested),
    "requests approve --resend": Case("REQ0000001 --by anna", request_claimed, is_noted_again=True),
    "requests reject": Case("REQ0000001 --reason withdrawn --by rita", request_approved),
    "schedules create": Case(
        "s1 --currency USD --amount 50 --trigger manual --note 'when it is due' --by olga", failed
    ),
    "schedules trigger": Case("SCH0000001 --by olga", scheduled),
    "schedules run": Case("--by olga", scheduled),
    "schedules cancel": Case("SCH0000001 --reason 'not needed' --by olga", scheduled),
}
KILLED_ELSEWHERE = {"sunday", "submit", "reconcile", "webhooks serve", "events replay", "db migrate"}
# What only reads, or has no books of its own.
OTHERS = {
    *("review", "status", "explain", "statement", "export", "doctor", "demo", "rail serve"),
    *("db up", "db down", "db url", "events list", "adjust list", "exception list", "payout search"),
    *("proof list", "proof get", "holds list", "outbox list", "notify list", "requests list"),
    *("schedules list", "queue recheck", "audit verify", "audit timeline"),
}


def test_every_command_that_changes_the_books_is_killed() -> None:
    named = {" ".join(path) for path in every_command() if not is_group(path)}
    killed = {name.removesuffix(" --resend") for name in CASES}
    assert killed | KILLED_ELSEWHERE | OTHERS == named
    assert not killed & OTHERS


def is_group(path: tuple[str, ...]) -> bool:
    return any(other[: len(path)] == path for other in every_command() if len(other) > len(path))


# What a command that was done already answers.
AGAIN = (DONE, Refused.exit_code, NothingToDo.exit_code)


def begin(database: Server, prepare: Act) -> None:
    """Empty books, the rules as seeded, and what has to be done before."""
    empty(database, keep=["second_factor_rule"])
    with open_connection(database) as conn:
        conn.execute("delete from seeds.adjustment_policies where scope = 'seller'")
        conn.execute("update payouts.second_factor_rule set for_everybody = false")
        prepare(conn)


# Each row of raw and payouts, by table.
EVERYTHING = """
select string_agg(format(
    'select %%L as name, coalesce(jsonb_agg(to_jsonb(rows) order by rows::text), ''[]'') as found'
    ' from %%I.%%I as rows', schemaname || '.' || tablename, schemaname, tablename
), ' union all ')
from pg_tables
where schemaname in ('raw', 'payouts')
"""
Content = dict[str, list[dict[str, Any]]]


def content(database: Server) -> Content:
    with open_connection(database) as conn:
        return dict(conn.execute(one(conn, EVERYTHING).encode()).fetchall())


# Drawn anew by each run, or the time; a number that was drawn for nothing is a gap.
DRAWN = (
    "at",
    "_in",
    "_id",
    "hash",
    "digest",
    "key",
    "secret",
    "number",
    "metadata",
    "run",
    "payload",
    "before",
    "after",
    "entity",
    "reference",
)
SAME = ("seller_id", "order_id")


def as_meant(rows: Content) -> dict[str, list[str]]:
    """Of what a run draws only whether it is there."""
    return {
        table: sorted(str({name: drawn_or(name, value) for name, value in row.items()}) for row in found)
        for table, found in rows.items()
    }


def drawn_or(name: str, value: object) -> object:
    return value is not None if name.endswith(DRAWN) and name not in SAME else value


@pytest.mark.parametrize("name", CASES)
def test_a_command_killed_anywhere(
    marts: Server,  # noqa: F811
    tmp_path: Path,
    name: str,
    reached: Reached,
) -> None:
    """Killed before its commit it has done nothing, killed after it everything, and once."""
    case, spoken = CASES[name], Spoken(tmp_path / "out", tmp_path / "err")
    environment = {"DATABASE_URL": marts.url, "WEEKCLOSE_ACTOR": "cron", **case.environment}
    places = {"file": tmp_path / "paper.pdf", "rows": tmp_path / "rows"}
    places["file"].write_bytes(pdf("a paper"))
    places["rows"].mkdir()
    for table, lines in ROWS.items():
        (places["rows"] / table).write_text(lines)

    def run(at: int | None = None) -> int:
        with open_connection(marts) as conn:
            digests = conn.execute("select content_digest from payouts.batches order by batch_id desc")
            given = places | {"digest": (digests.fetchone() or [""])[0]}
        arguments = [*name.split(), *shlex.split(case.arguments.format_map(given))]

        def work() -> None:
            if at is not None:
                kill_at(at)
            command(arguments, environment, spoken)

        return in_child(work)

    begin(marts, case.before)
    before = content(marts)
    assert run() == DONE, spoken.lines
    wanted = as_meant(content(marts))
    assert as_meant(before) != wanted
    if not case.is_noted_again:
        assert run() in AGAIN, spoken.lines
        assert as_meant(content(marts)) == wanted, "twice is once"

    begin(marts, case.before)
    before, kills, begun_to_do = content(marts), 0, False
    for at in range(200):
        code = run(at)
        assert code in (KILLED, DONE) or begun_to_do, spoken.lines
        kills += code == KILLED
        if code == KILLED and content(marts) == before:
            assert not begun_to_do, "killed later, it had done less"
            continue
        begun_to_do = True
        if code == KILLED and not case.is_noted_again:
            assert run() in AGAIN, spoken.lines
        assert as_meant(content(marts)) == wanted, f"killed at {at}"
        with open_connection(marts) as conn:
            decisions.verify_audit(conn)
        if code == DONE:
            assert at > 5
            reached(1, "kills", kills)
            return
        assert code == KILLED, spoken.lines
        begin(marts, case.before)
        before = content(marts)
    raise AssertionError("there was no end of it")


ROWS = {
    "sellers.csv": "seller_id,region,settlement_currency,status,created_at\n"
    + "".join(f"s{number},APAC,USD,active,2026-01-01T00:00:00Z\n" for number in range(5)),
    "orders.csv": "order_id,seller_id,currency,gross_amount,fee_amount,status,captured_at\n"
    + "".join(f"o{number},s1,USD,10.00,1.00,fulfilled,2026-11-01T00:00:00Z\n" for number in range(5)),
}

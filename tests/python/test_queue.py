"""The queue: where each payout stands, what moves it on, and what every step of that booked."""

import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from psycopg import Connection

from desk import Desk, desk, people  # noqa: F401
from frozen_window import OPERATOR, WINDOW, claimed_window, frozen_window, one, submitted_window
from rail_batches import Bench, bench
from test_executions import configured, event
from tuesday import marts  # noqa: F401
from weekclose import decisions, events, executions
from weekclose.database import RUN, open_connection
from weekclose.documents import read_document
from weekclose.ledger import booked
from weekclose.migrations import migrate
from weekclose.rails.protocol import RailEvent
from weekclose.settings import project_dir

NEXT = WINDOW + timedelta(days=7)
BATCH = f"W{WINDOW}-G1"
FIRST, SECOND, THIRD = "JPO0000001", "JPO0000002", "JPO0000003"
WHY = ("--reason", "because")


@pytest.fixture
def rail(tmp_path: Path) -> Iterator[Bench]:
    with bench("batch", tmp_path) as made:
        yield made


def queue(desk: Desk, *options: object, who: str = "lena") -> dict[str, dict[str, Any]]:  # noqa: F811
    """The queue by payout, or by seller where there is none yet."""
    found = desk.does(who, "queue", "--json", *options).json
    return {each["payout_number"] or each["seller_id"]: each for each in found}


def standing(desk: Desk, item: str = FIRST) -> tuple[str, str, str | None]:  # noqa: F811
    """What a person sees first: readiness, attention and the command."""
    each = queue(desk)[item]
    return each["readiness"], each["attention"], each["next_action"]


def follows(desk: Desk, who: str, item: str = FIRST, *more: object) -> None:  # noqa: F811
    """Does what the queue says, word for word; what it leaves empty is filled in."""
    action = queue(desk)[item]["next_action"]
    program, *words = shlex.split(action)
    assert program == "weekclose"
    desk.does(who, *[word or "because" for word in words], *more)


def of_window(desk: Desk, **changed: Any) -> None:  # noqa: F811
    """A window is frozen, and the next one built: s1 has 50.00 in it, unless `changed`."""
    frozen_window(desk.owner, ["90.00"])
    desk.build(NEXT, {"s9": "50.00"})
    sets = ", ".join(f"{name} = %({name})s" for name in changed)
    if changed:
        desk.owner.execute(f"update intermediate.int_window_rows set {sets}".encode(), changed)


def test_an_ordinary_week(desk: Desk) -> None:  # noqa: F811
    """What the queue says is done, until nothing is left."""
    frozen_window(desk.owner, ["20.00", "80.00", "50.00"])
    found = queue(desk)
    assert [(each["payout_number"], each["readiness"], each["attention"]) for each in found.values()] == [
        (SECOND, "ready", "none"),
        (THIRD, "ready", "none"),
        (FIRST, "ready", "none"),
    ], "money first"
    desk.does("olga", "hold", "s3", "--window", WINDOW, *WHY)
    assert standing(desk, THIRD) == (
        "blocked",
        "intervene",
        f"weekclose release s3 --window {WINDOW} --reason ''",
    )
    follows(desk, "olga", THIRD)
    desk.does("otto", "hold", "s3", "--window", WINDOW, *WHY)
    assert standing(desk)[2] == f"weekclose approve {WINDOW} --digest {desk.digest()}"
    follows(desk, "anna")
    assert standing(desk) == ("ready", "none", f"weekclose submit {WINDOW}")

    digest = desk.digest()
    desk.owner.execute("select payouts.claim_batch(%s, %s, 'batch', '{}', %s)", [BATCH, digest, OPERATOR])
    assert standing(desk) == ("pending", "intervene", f"weekclose submit {WINDOW}")
    desk.owner.execute("select payouts.take_receipt(%s, 'pb', %s)", [BATCH, OPERATOR])
    assert standing(desk) == ("pending", "wait", f"weekclose reconcile {WINDOW}")
    assert standing(desk, THIRD) == ("near_ready", "wait", None), "a hold ends when the money rolls"
    desk.owner.execute(
        "update payouts.payouts set status_changed_at = status_changed_at - interval '49 hours'"
    )
    assert standing(desk) == ("pending", "intervene", f"weekclose reconcile {WINDOW}")

    desk.confirm(
        {"reference": FIRST, "status": "completed", "amount": "19.00", "external_reference": "TX1"},
        {"reference": SECOND, "status": "failed", "amount": "80.00", "failure_reason": "no such wallet"},
    )
    assert standing(desk) == ("blocked", "intervene", f"weekclose resolve {FIRST} accept --note ''")
    follows(desk, "rita")
    assert FIRST not in queue(desk), "it is paid"
    assert standing(desk, SECOND) == ("pending", "wait", None)
    assert queue(desk)[SECOND]["reasons"] == [
        "it failed",
        "no such wallet",
        "its money rolls into the next freeze",
    ]
    desk.freeze(NEXT, {"s2": "5.00"})
    assert {number: each["amount"] for number, each in queue(desk).items()} == {
        "JPO0000004": "1.00",
        "JPO0000005": "85.00",
    }, "what has rolled is finished where it was"


def test_what_no_rail_pays_is_for_a_person(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00"], rail="MANUAL", destination="DE00")
    claimed_window(desk.owner, WINDOW)
    desk.owner.execute("select payouts.take_receipt(%s, 'pb', %s)", [BATCH, OPERATOR])
    assert standing(desk) == (
        "ready",
        "intervene",
        f"weekclose execute {FIRST} --reference '' --amount 90.00 --proof FILE",
    )
    proof = desk.file()
    said = desk.does("olga", "execute", FIRST, "--reference", "B1", "--amount", "90.00", "--proof", proof)
    assert queue(desk) == {}
    number = one(desk.owner, "select max(transaction_id) from payouts.ledger_transactions")
    assert said.ledger == (
        f"ledger: pay (transaction {number}, seller s1): payouts_in_transit -90.00, payouts_paid +90.00 USD",
    )


def test_what_returned_without_a_trace_is_paid_again(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    desk.owner.execute("update payouts.payouts set status = 'blocked', block_reasons = '{manual_review}'")
    desk.owner.execute("select payouts.move(array[%s], 'awaiting_reconciliation', 'by hand')", [FIRST])
    assert standing(desk) == ("blocked", "intervene", f"weekclose resolve {FIRST} retry --note ''")
    follows(desk, "rita")
    assert standing(desk) == ("pending", "wait", None)


def test_an_exception_waits_for_another_person(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    first, second = desk.propose("5.00"), desk.propose("6.00")
    for number in (first, second):
        desk.does("olga", "adjust", "apply", number, "--skip", *WHY)
    wishes = [each["exception_id"] for each in desk.does("arne", "exception", "list", "--json").json]
    assert standing(desk) == (
        "blocked",
        "intervene",
        f"weekclose exception approve {wishes[0]} {wishes[1]} --reason ''",
    )
    follows(desk, "anna")
    assert standing(desk)[:2] == ("ready", "none")


@pytest.mark.parametrize(
    ("reasons", "expected", "words"),
    [
        (["manual_review"], ("blocked", "intervene", "weekclose clear s1 --reason ''"), "review first"),
        (["seller_inactive"], ("blocked", "intervene", "weekclose load PATH"), "not active"),
        (["no_rail"], ("blocked", "intervene", "weekclose load PATH"), "no payment rail"),
        (["invalid_wallet"], ("blocked", "intervene", "weekclose load PATH"), "not valid for the rail"),
        (["currency_mismatch"], ("blocked", "intervene", "weekclose load PATH"), "another currency"),
        (["wallet_recently_changed"], ("near_ready", "wait", None), "changed too shortly"),
        (
            ["wallet_recently_changed", "no_rail", "manual_review"],
            ("blocked", "intervene", "weekclose clear s1 --reason ''"),
            "review first",
        ),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else "",
)
def test_each_reason_has_what_ends_it(
    desk: Desk,  # noqa: F811
    reasons: list[str],
    expected: tuple[str, str, str | None],
    words: str,
) -> None:
    frozen_window(desk.owner, ["90.00"])
    desk.owner.execute("update payouts.payouts set status = 'blocked', block_reasons = %s", [reasons])
    assert standing(desk) == expected
    said = queue(desk)[FIRST]["reasons"]
    assert words in said[0]
    assert len(said) == len(reasons)


def test_a_review_is_cleared_until_the_batch_leaves(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00", "80.00"])
    desk.owner.execute(
        "update payouts.payouts set status = 'blocked', block_reasons = '{manual_review}'"
        " where seller_id = 's1'"
    )
    desk.owner.execute("select payouts.renew_batch(batches) from payouts.batches")
    claimed_window(desk.owner, WINDOW)
    assert standing(desk) == ("blocked", "wait", None)
    desk.refused("olga", "clear", "s1", *WHY)


def test_a_sellers_name_is_one_word(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    with desk.owner.transaction():
        desk.owner.execute("set local session_replication_role = replica")
        desk.owner.execute(
            "update payouts.payouts"
            " set seller_id = 'it''s $(rm) ours', status = 'blocked', block_reasons = '{manual_review}'"
        )
    action = standing(desk)[2]
    assert action is not None
    assert shlex.split(action) == ["weekclose", "clear", "it's $(rm) ours", "--reason", ""]
    with desk.owner.transaction():
        desk.owner.execute("set local session_replication_role = replica")
        desk.owner.execute(
            "update payouts.payouts set seller_id = 's1', status = 'ready', block_reasons = '{}'"
        )


def test_the_next_window(desk: Desk) -> None:  # noqa: F811
    of_window(desk)
    assert standing(desk, "s9") == ("ready", "none", "weekclose sunday")
    desk.owner.execute(
        "update intermediate.int_window_rows set status = 'blocked', block_reasons = '{no_rail}'"
    )
    assert standing(desk, "s9") == ("blocked", "intervene", "weekclose load PATH")


@pytest.mark.parametrize(
    ("closes_in", "expected"),
    [
        (timedelta(days=3), ("pending", "wait", None)),
        (timedelta(hours=47), ("near_ready", "wait", None)),
        (-timedelta(hours=1), ("ready", "none", "weekclose sunday")),
    ],
    ids=["in reserve", "closing", "closed"],
)
def test_a_reserve_closes_by_itself(
    desk: Desk,  # noqa: F811
    closes_in: timedelta,
    expected: tuple[str, str, str | None],
) -> None:
    closes = one(desk.owner, "select now()") + closes_in
    of_window(
        desk,
        status="pending",
        payable=0,
        carry_in=Decimal(-20),
        carry_out=Decimal(30),
        window_ends_at=closes,
        reserve_closes_at=closes,
        as_of=closes - timedelta(days=4),
    )
    assert standing(desk, "s9") == expected
    assert queue(desk)["s9"]["amount"] == "30.00", "what the seller owes is not coming"
    desk.owner.execute("update intermediate.int_window_rows set carry_in = -60, carry_out = -10")
    assert list(queue(desk)) == [FIRST]


def test_money_that_holds_keep(desk: Desk) -> None:  # noqa: F811
    of_window(desk, status="carried_forward", payable=0, carry_out=Decimal(50), held=Decimal(70))
    hold = (
        "insert into payouts.escrow_holds (seller_id, currency, amount, reason, note, release_at, held_by)"
        " values ('s9', 'USD', 70, 'other', 'why', %s, 'olga')"
    )
    desk.owner.execute(hold, ["2099-01-01Z"])
    assert standing(desk, "s9") == ("near_ready", "wait", None)
    assert queue(desk)["s9"]["amount"] == "50.00"
    desk.owner.execute(hold, [None])
    assert standing(desk, "s9") == ("blocked", "intervene", "weekclose holds release HLD0000002 --reason ''")
    follows(desk, "olga", "s9")
    assert standing(desk, "s9") == ("near_ready", "wait", None)


def test_a_request_leaves_alone(desk: Desk) -> None:  # noqa: F811
    """What failed is finished when it is requested: its money is promised again."""
    submitted_window(desk.owner, ["190.00"])
    desk.confirm({"reference": FIRST, "status": "failed", "amount": "190.00"})
    assert standing(desk) == ("pending", "wait", None)
    assert queue(desk)[FIRST]["reasons"] == ["it failed", "its money rolls into the next freeze"]
    desk.does("olga", "requests", "create", "s1", "--currency", "USD", "--amount", "50.00", *WHY)
    summary = (
        "select item_count, amount from marts.ops_summary where (measure, state) = ('requests', 'undecided')"
    )
    assert desk.owner.execute(summary.encode()).fetchall() == [(1, 50)]
    desk.does("anna", "requests", "approve", "REQ0000001")
    assert list(queue(desk)) == [SECOND]
    assert standing(desk, SECOND) == ("ready", "none", "weekclose submit REQ0000001")
    desk.does("otto", "requests", "reject", "REQ0000001", *WHY)
    assert FIRST in queue(desk)
    assert SECOND not in queue(desk)


def test_the_list(desk: Desk) -> None:  # noqa: F811
    """Each currency's largest come first, whatever a unit of it is worth."""
    frozen_window(desk.owner, ["10.00", "30.00"], currency="EUR")
    frozen_window(desk.owner, ["20000.00", "20.00"], window=NEXT, currency="JPY")
    desk.does("olga", "hold", "s1", "--window", NEXT, *WHY)
    found = list(queue(desk).values())
    assert [(each["priority_rank"], each["amount"]) for each in found] == [
        (1, "30.00"),
        (2, "20.00"),
        (3, "10.00"),
        (4, "20000.00"),
    ]
    assert list(queue(desk, "--attention", "intervene")) == ["JPO0000003"]
    assert list(queue(desk, "--readiness", "ready", "--seller", "s1")) == [FIRST]
    assert list(queue(desk, "--after", 1, "--limit", 1)) == ["JPO0000004"]
    assert desk.does("lena", "queue", "--limit", 1).err == "there may be more: --after 1\n"
    text = desk.does("bill", "queue", "--readiness", "blocked").out.decode()
    assert f"weekclose release s1 --window {NEXT} --reason ''" in text
    assert "a person put it on hold" in text
    assert desk.refused("lena", "queue", "--readiness", "soon", code=2).startswith(
        "--readiness 'soon' is none of"
    )
    assert desk.refused("lena", "queue", "--attention", "all", code=2).startswith(
        "--attention 'all' is none of"
    )
    assert "permission denied" in desk.refused("nobody", "queue")


def test_the_window_of_the_list(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["10.00"])
    frozen_window(desk.owner, ["20.00"], window=NEXT)
    assert list(queue(desk, "--window", NEXT)) == [SECOND]
    assert "lies in window" in desk.refused("lena", "queue", "--window", "2026-11-03", code=2)


def test_no_answer_depends_on_a_sessions_zone(desk: Desk) -> None:  # noqa: F811
    of_window(desk)
    answers = []
    for zone in ("UTC", "Asia/Tokyo", "America/Los_Angeles"):
        desk.owner.execute("select set_config('TimeZone', %s, false)", [zone])
        answers.append(
            desk.owner.execute(
                "select payout_number, seller_id, payout_window, readiness, next_action, reasons,"
                " extract(epoch from since) from marts.payout_queue order by priority_rank"
            ).fetchall()
        )
    desk.owner.execute("set time zone 'UTC'")
    assert len(answers[0]) == 2
    assert answers[0] == answers[1] == answers[2]


def test_the_summary(desk: Desk) -> None:  # noqa: F811
    """Nothing of it adds two currencies."""
    frozen_window(desk.owner, ["10.00", "30.00"], currency="EUR")
    frozen_window(desk.owner, ["5.00"], window=NEXT)
    desk.owner.execute(
        "insert into payouts.escrow_holds (seller_id, currency, amount, reason, note, release_at, held_by)"
        " values ('s1', 'USD', 70, 'other', 'why', '2020-01-01Z', 'olga')"
    )
    found = {
        (measure, state, currency): (count, amount)
        for measure, state, currency, count, amount in desk.owner.execute(
            "select measure, state, currency, item_count, amount from marts.ops_summary"
        )
    }
    assert found == {
        ("readiness", "ready", "EUR"): (2, 40),
        ("readiness", "ready", "USD"): (1, 5),
        ("attention", "none", "EUR"): (2, 40),
        ("attention", "none", "USD"): (1, 5),
        ("status", "ready", "EUR"): (2, 40),
        ("status", "ready", "USD"): (1, 5),
        ("holds", "overdue", "USD"): (1, 70),
        ("ledger_events", "total", None): (2, None),
        ("ledger_events", "last_24_hours", None): (2, None),
    }
    with desk.owner.transaction():
        desk.owner.execute("set local session_replication_role = replica")
        desk.owner.execute(
            "update payouts.ledger_transactions set booked_at = booked_at - interval '25 hours'"
        )
    assert desk.owner.execute(
        "select state, item_count, oldest_age > '24 hours' from marts.ops_summary"
        " where measure = 'ledger_events' order by state"
    ).fetchall() == [("last_24_hours", 0, None), ("total", 2, True)]


def test_recheck(desk: Desk, rail: Bench) -> None:  # noqa: F811
    """Of a hundred at once, as a submission would see them now; it changes nothing."""
    frozen_window(desk.owner, ["10.00", "20.00", "30.00", "40.00", "50.00"])
    everything = [f"JPO000000{number}" for number in range(1, 6)]
    before = desk.books()
    said = desk.does("bill", "queue", "recheck", *everything, "--json")
    assert [(each["payout_number"], each["may_go"], each["reasons"]) for each in said.json] == [
        (number, True, []) for number in everything
    ]
    assert desk.books() == before
    desk.owner.execute("update raw.sellers set status = 'suspended' where seller_id = 's1'")
    desk.owner.execute("update raw.sellers set wallet_address = 'another' where seller_id = 's2'")
    desk.does("olga", "hold", "s3", "--window", WINDOW, *WHY)
    event(desk, rail, "JPO0000004", "40.00", "TX")
    before = desk.books()
    said = desk.run("arne", "queue", "recheck", *reversed(everything), "JPO9", "--json")
    assert (said.code, said.err) == (3, "weekclose: 5 of 6 may not go out\n")
    assert {each["payout_number"]: each["reasons"] for each in said.json} == {
        "JPO0000005": [],
        "JPO0000004": ["event 1 of the rail waits: run weekclose reconcile"],
        "JPO0000003": ["on_hold"],
        "JPO0000002": ["the wallet has changed since the freeze"],
        "JPO0000001": ["the seller is suspended"],
        "JPO9": ["there is no such payout"],
    }
    assert desk.books() == before
    said = desk.run("anna", "queue", "recheck", THIRD)
    assert (said.code, "a person put it on hold" in said.out.decode()) == (3, True)
    assert "permission denied" in desk.refused("lena", "queue", "recheck", FIRST)


def test_recheck_of_what_has_left(desk: Desk) -> None:  # noqa: F811
    submitted_window(desk.owner, ["10.00", "20.00"])
    desk.confirm({"reference": FIRST, "status": "failed", "amount": "10.00"})
    assert [
        each["reasons"] for each in desk.run("olga", "queue", "recheck", FIRST, SECOND, "--json").json
    ] == [
        ["it is failed"],
        ["it is submitted"],
    ]
    desk.freeze(NEXT, {"s1": "1.00"})
    said = desk.run("olga", "queue", "recheck", FIRST, "--json").json
    assert said[0]["reasons"] == ["it is failed", "its money is in what was frozen or requested since"]
    frozen_window(desk.owner, ["7.00"], window=NEXT + timedelta(days=7), rail="MANUAL", destination="DE00")
    desk.owner.execute("select payouts.move(array['JPO0000004'], 'submitted', 'by hand')")
    assert desk.does("olga", "queue", "recheck", "JPO0000004", "--json").json[0]["may_go"]


def test_the_audit_log_says_with_which_rights(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["10.00"])
    desk.does("boris", "hold", "s1", "--window", WINDOW, *WHY)
    desk.does("ada", "release", "s1", "--window", WINDOW, *WHY)
    frozen, held, released = desk.does("arne", "audit", "timeline", "--json").json
    assert frozen["role"] == "superuser", "who was believed whatever he said"
    assert (held["actor"], held["role"]) == (
        desk.name("boris"),
        "weekclose_approver, weekclose_operator",
    )
    assert released["role"] == "weekclose_admin", "what it is a member of is not said again"
    meta = held["metadata"]
    assert (meta["login"], meta["application"]) == (desk.name("boris"), "weekclose")
    assert meta["version"]
    assert meta["run"] != released["metadata"]["run"]
    assert int(meta["transaction"]) < int(released["metadata"]["transaction"])
    assert (held["entity_kind"], held["entity_id"]) == ("seller", "s1")


@pytest.mark.parametrize(
    "forged",
    [
        "role = 'weekclose_admin'",
        'metadata = metadata || \'{"login": "anna"}\'',
        "role = null, metadata = null",
    ],
)
@pytest.mark.catalogue(15)
def test_role_and_metadata_are_sealed(desk: Desk, forged: str) -> None:  # noqa: F811
    frozen_window(desk.owner, ["10.00"])
    desk.does("arne", "audit", "verify")
    with desk.owner.transaction(force_rollback=True):
        desk.owner.execute("set local session_replication_role = replica")
        desk.owner.execute(f"update payouts.audit_log set {forged}".encode())
        assert one(desk.owner, "select payouts.first_broken_audit_entry()") == 1


@pytest.mark.catalogue(15)
def test_entries_of_before_stay_as_they_were(empty_conn: Connection[Any], tmp_path: Path) -> None:
    """They were hashed without role and metadata, and still are what was written."""
    for file in sorted((project_dir() / "migrations").glob("*.sql")):
        if file.name < "0014":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    migrate(empty_conn, tmp_path)
    empty_conn.execute("select payouts.audit('olga', 'hold', 'seller:s1', null, '{\"a\": 1}', 'why')")
    migrate(empty_conn, project_dir() / "migrations")
    empty_conn.execute("select payouts.audit('olga', 'hold', 'seller:s2', null, null)")
    assert decisions.verify_audit(empty_conn) == 2
    assert empty_conn.execute(
        "select role is null, metadata is null from payouts.audit_log order by entry_id"
    ).fetchall() == [(True, True), (False, False)]
    empty_conn.execute("set session_replication_role = replica")
    empty_conn.execute("update payouts.audit_log set role = '', metadata = '{}' where entry_id = 1")
    assert one(empty_conn, "select payouts.first_broken_audit_entry()") == 1


def test_the_timeline(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["10.00", "20.00"])
    desk.does("olga", "hold", "s1", "s2", "--window", WINDOW, *WHY)
    desk.does("otto", "release", "s1", "--window", WINDOW, "--reason", "it was him")

    def entries(*options: object) -> list[tuple[str, str]]:
        found = desk.does("lena", "audit", "timeline", "--json", *options).json
        return [(each["action"], each["entity"]) for each in found]

    of_first, of_second = (f"window:{WINDOW} seller:s{number}" for number in (1, 2))
    everything = [
        ("freeze", f"window:{WINDOW}"),
        ("hold", of_first),
        ("hold", of_second),
        ("release", of_first),
    ]
    assert entries() == everything
    assert entries("--action", "hold") == everything[1:3]
    assert entries("--entity", "s1") == [everything[1], everything[3]]
    assert entries("--entity", f"window:{WINDOW}") == everything
    assert entries("--entity", f"window:{WINDOW}", "--actor", desk.name("otto")) == everything[3:]
    assert entries("--after", 1, "--limit", 2) == everything[1:3]
    moment = one(desk.owner, "select at from payouts.audit_log where entry_id = 3").isoformat()
    assert entries("--from", moment) == everything[2:]
    assert entries("--to", moment) == everything[:2]
    said = desk.does("lena", "audit", "timeline", "--limit", 4)
    assert said.err == "there may be more: --after 4\n"
    assert "it was him" in said.out.decode()
    assert "--from 'soon' is not an instant" in desk.refused(
        "lena", "audit", "timeline", "--from", "soon", code=2
    )
    assert "permission denied" in desk.refused("nobody", "audit", "timeline")


def test_what_a_submission_booked(desk: Desk, rail: Bench) -> None:  # noqa: F811
    """Entry by entry, and as sums where they are many; a replay says what it books itself."""
    frozen_window(desk.owner, ["10.00"] * 7)
    desk.does("anna", "approve", WINDOW, "--digest", desk.digest())
    said = desk.does("olga", "submit", WINDOW, "--yes", "--json", **configured(rail))
    sums = [
        {
            "transaction_id": None,
            "kind": "submit",
            "account": account,
            "seller_id": None,
            "currency": "USD",
            "amount": amount,
            "entry_count": 7,
        }
        for account, amount in (("payouts_in_transit", "70.00"), ("seller_payable", "-70.00"))
    ]
    assert said.json["ledger"] == sums
    assert said.ledger == (
        "ledger: submit (14 entries): payouts_in_transit +70.00, seller_payable -70.00 USD",
    )
    number = one(desk.owner, "select max(transaction_id) from payouts.ledger_transactions")
    told = RailEvent(
        *("evt-1", "payout.completed", "completed", FIRST, Decimal("10.00"), "USD", "TX", None, None, None)
    )
    assert events.receive(desk.owner, rail.adapter(), told, b"{}") is not None
    replayed = desk.does("olga", "events", "replay", "--json")
    assert [each["stands"] for each in replayed.json["events"]] == ["booked"]
    assert [
        (each["transaction_id"], each["account"], each["seller_id"], each["amount"], each["entry_count"])
        for each in replayed.json["ledger"]
    ] == [
        (number + 1, "payouts_in_transit", "s1", "-10.00", 1),
        (number + 1, "payouts_paid", "s1", "10.00", 1),
    ]
    rail.rail.release()
    rail.rail.settle({FIRST: "completed", SECOND: "failed"}, webhooks="lose")
    reconciled = desk.does("olga", "reconcile", "--json", **configured(rail))
    assert {each["kind"] for each in reconciled.json["ledger"]} == {"fail"}


def test_what_was_booked_before_a_failure_is_said(desk: Desk, rail: Bench) -> None:  # noqa: F811
    frozen_window(desk.owner, ["10.00"])
    desk.does("anna", "approve", WINDOW, "--digest", desk.digest())
    rail.arm("reset_after", on="submit")
    said = desk.run("olga", "submit", WINDOW, "--yes", **configured(rail))
    assert said.code == 4
    [submitted] = said.ledger
    assert submitted.startswith("ledger: submit (transaction ")


@pytest.mark.catalogue(3)
def test_two_who_book_at_once_are_told_their_own(desk: Desk) -> None:  # noqa: F811
    """Each alternates with the other, entry by entry, and both read while the other is booking."""
    count = 6
    frozen_window(desk.owner, ["10.00"] * 2 * count, rail="MANUAL", destination="DE00")
    claimed_window(desk.owner, WINDOW)
    proofs = {number: desk.file() for number in range(1, 2 * count + 1)}
    together = Barrier(2)

    def pays(first: int) -> list[tuple[str, str | None]]:
        RUN.set(f"of {first}")
        with open_connection(desk.of["ada"]) as conn:
            for number in range(first, 2 * count + 1, 2):
                together.wait(30)
                document = read_document(proofs[number])
                executions.execute(
                    conn, f"JPO{number:07}", f"B{number}", Decimal(10), document, desk.name("ada")
                )
                found = booked(conn, RUN.get())
                assert {each.kind for each in found} == {"pay"}
            return [(each.account, each.seller_id) for each in found]

    with ThreadPoolExecutor(2) as pool:
        ours, theirs = pool.map(pays, (1, 2))
    for first, found in ((1, ours), (2, theirs)):
        assert sorted(found) == sorted(
            (account, f"s{number}")
            for number in range(first, 2 * count + 1, 2)
            for account in ("payouts_in_transit", "payouts_paid")
        )
    assert (
        one(
            desk.owner,
            "select count(*) from payouts.audit_log inner join payouts.ledger_transactions as booked"
            " on metadata ->> 'run' = run and metadata ->> 'transaction' = booked_in::text"
            " where action = 'execute'",
        )
        == 2 * count
    ), "and an investigator finds the booking of each entry"

"""Monday: who may hold, release, clear and approve what, and what becomes of the digest."""

from datetime import date
from decimal import Decimal

import psycopg
import pytest

from conftest import RunCommand
from small_week import NEXT_NIGHT, START, WRONG_CHECKSUM, Week
from weekclose import decisions
from weekclose.errors import NothingToDo, Refused, UsageError, WeekcloseError

pytestmark = pytest.mark.catalogue(19)


def digest(week: Week) -> str:
    return str(week.one("select content_digest from payouts.batches where payout_window = '2026-11-01'"))


def status(week: Week, seller: str, window: date = START) -> tuple[str, list[str]]:
    row = week.conn.execute(
        "select status, block_reasons from marts.settlement_windows"
        " where seller_id = %s and payout_window = %s",
        (seller, window),
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def test_a_hold_blocks_and_a_release_gives_back_the_same_content(week: Week) -> None:
    frozen = week.sunday().frozen[0]
    assert digest(week) == frozen.content_digest
    decisions.hold(week.conn, ["s1"], START, "the bank called", "olga")
    assert status(week, "s1") == ("blocked", ["on_hold"])
    held = digest(week)
    assert held != frozen.content_digest
    with pytest.raises(NothingToDo, match="seller s1 is on hold in window 2026-11-01 already"):
        decisions.hold(week.conn, ["s1"], START, "again", "olga")
    decisions.release(week.conn, ["s1"], START, "cleared up", "olga")
    assert status(week, "s1") == ("ready", [])
    assert digest(week) == frozen.content_digest
    actions = week.conn.execute(
        "select action, actor, reason from payouts.audit_log order by entry_id"
    ).fetchall()
    assert actions == [
        ("freeze", "tester", ""),
        ("hold", "olga", "the bank called"),
        ("release", "olga", "cleared up"),
    ]


def test_a_list_is_held_whole_or_not_at_all(frozen_week: Week) -> None:
    with pytest.raises(NothingToDo, match="seller nobody has no payout in window 2026-11-01 to hold"):
        decisions.hold(frozen_week.conn, ["s1", "nobody"], START, "a list", "olga")
    assert status(frozen_week, "s1") == ("ready", [])
    assert frozen_week.one("select count(*) from payouts.holds") == 0
    with pytest.raises(UsageError, match="--reason is empty"):
        decisions.hold(frozen_week.conn, ["s1"], START, " ", "olga")


def test_an_approval_binds_to_the_content_that_was_seen(frozen_week: Week) -> None:
    seen = digest(frozen_week)
    decisions.hold(frozen_week.conn, ["s1"], START, "look at it", "olga")
    with pytest.raises(Refused, match="the content of window 2026-11-01 has changed: its digest is now"):
        decisions.approve(frozen_week.conn, START, seen, "anna")
    decisions.approve(frozen_week.conn, START, digest(frozen_week), "anna")
    assert frozen_week.one("select approved_by from payouts.batches") == "anna"
    with pytest.raises(NothingToDo, match="approved already, by anna"):
        decisions.approve(frozen_week.conn, START, digest(frozen_week), "berta")
    decisions.release(frozen_week.conn, ["s1"], START, "it is fine", "olga")
    row = frozen_week.conn.execute("select state, approved_by, approved_at from payouts.batches").fetchone()
    assert row == ("frozen", None, None), "what was approved is not what would go out now"


def test_four_eyes(frozen_week: Week) -> None:
    decisions.hold(frozen_week.conn, ["s1"], START, "a look", "olga")
    decisions.release(frozen_week.conn, ["s1"], START, "fine", "rosa")
    decisions.clear(frozen_week.conn, ["s2"], "known", "clara")
    for actor, deed in (("tester", "froze"), ("olga", "held"), ("rosa", "released"), ("clara", "cleared")):
        with pytest.raises(Refused, match=f"{actor} {deed} in window 2026-11-01: another person"):
            decisions.approve(frozen_week.conn, START, digest(frozen_week), actor)
    # The rule is the table's: no other statement gets around it.
    with pytest.raises(psycopg.Error, match="tester froze"):
        frozen_week.conn.execute(
            "update payouts.batches set state = 'approved', approved_by = 'tester', approved_at = now()"
        )
    decisions.approve(frozen_week.conn, START, digest(frozen_week), "anna")


def test_an_approval_needs_the_digest_of_what_is_there(frozen_week: Week) -> None:
    frozen_week.conn.execute(
        "update payouts.payouts set status = 'blocked', block_reasons = '{on_hold}' where seller_id = 's1'"
    )
    with pytest.raises(psycopg.Error, match="is not what its digest says"):
        frozen_week.conn.execute(
            "update payouts.batches set state = 'approved', approved_by = 'anna', approved_at = now()"
        )


def test_money_that_has_rolled_is_not_released(week: Week) -> None:
    week.order("o5", "s1", "2026-11-09T10:00Z", gross=200, fee=20)
    week.sunday()
    decisions.hold(week.conn, ["s1"], START, "wait", "olga")
    week.sunday(NEXT_NIGHT)
    carried = week.one(
        "select payable from marts.settlement_windows where seller_id = 's1' and payout_window = '2026-11-08'"
    )
    assert carried == Decimal("270.00"), "the held 90.00 came along"
    with pytest.raises(
        Refused, match="payout JPO0000001 has rolled: its money is in a later window's carry-in"
    ):
        decisions.release(week.conn, ["s1"], START, "now", "olga")
    assert status(week, "s1") == ("blocked", ["on_hold"])
    assert week.one("select released_at from payouts.holds") is None


def test_a_clearance_lifts_the_review_alone(week: Week) -> None:
    week.seller("s3", WRONG_CHECKSUM)
    for number in range(40):
        week.order(f"a{number}", "s1", "2026-11-10T10:00Z", gross=300)
        week.order(f"b{number}", "s3", "2026-11-10T10:00Z", gross=300)
    week.order("b", "s3", "2026-11-02T10:00Z")
    week.sunday()
    assert status(week, "s1") == ("blocked", ["manual_review"])
    assert status(week, "s3") == ("blocked", ["manual_review", "invalid_wallet"])
    decisions.clear(week.conn, ["s1", "s3"], "a sale we know of", "clara")
    assert status(week, "s1") == ("ready", [])
    assert status(week, "s3") == ("blocked", ["invalid_wallet"])
    week.sunday(NEXT_NIGHT)
    assert status(week, "s1", date(2026, 11, 8))[0] == "ready", "a clearance holds for 30 days"


@pytest.mark.catalogue(15)
def test_the_audit_log_names_its_first_broken_entry(frozen_week: Week) -> None:
    decisions.hold(frozen_week.conn, ["s1"], START, "why", "olga")
    decisions.release(frozen_week.conn, ["s1"], START, "why not", "olga")
    assert decisions.verify_audit(frozen_week.conn) == 3
    for tampering in (
        "update payouts.audit_log set reason = 'nothing' where entry_id = 2",
        "update payouts.audit_log set hash = repeat('0', 64) where entry_id = 2",
        "delete from payouts.audit_log where entry_id = 2",
    ):
        with frozen_week.conn.transaction(force_rollback=True):
            frozen_week.conn.execute("set local session_replication_role = replica")
            frozen_week.conn.execute(tampering)
            with pytest.raises(WeekcloseError, match=r"broken at entry [23]"):
                decisions.verify_audit(frozen_week.conn)


def test_the_commands(frozen_week: Week, weekclose: RunCommand) -> None:
    seen = digest(frozen_week)
    for arguments, code, said in (
        (("approve", "2026-11-01", "--digest", seen), 3, "tester froze"),
        (("hold", "s1", "--window", "2026-11-01", "--reason", "r"), 0, "1 on hold"),
        (("release", "s1", "--window", "2026-11-01", "--reason", "r", "--by", "rosa"), 0, "1 released"),
        (("release", "s1", "--window", "2026-11-01", "--reason", "r"), 5, "is not on hold"),
        (("clear", "s2", "--reason", "known"), 0, "1 cleared"),
        (("approve", "2026-11-02", "--digest", seen), 2, "2026-11-01"),
        (("approve", "2026-11-01", "--digest", "0" * 64, "--by", "anna"), 3, "has changed"),
        (("approve", "2026-11-01", "--digest", seen, "--by", "anna"), 0, "approved by anna"),
        (("audit", "verify"), 0, "all as written"),
    ):
        result = weekclose(*arguments, database=frozen_week.server)
        assert (result.returncode, said in result.stderr) == (code, True), (arguments, result.stderr)

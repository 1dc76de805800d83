"""The second factor: the standards' vectors, and approvals that need a code however one comes."""

import hashlib
import hmac
import json
import os
import pty
import subprocess
from base64 import b32decode
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg
import pytest
from psycopg import Connection

from conftest import COMMAND, RunCommand
from frozen_window import APPROVER, FREEZER, OPERATOR, WINDOW, claimed_window, frozen_window, one
from small_week import Week
from test_roles import created_login, sqlstate
from weekclose import decisions, second_factor
from weekclose.database import open_connection
from weekclose.errors import NothingToDo, Refused, SecondFactorNeeded, UsageError
from weekclose.postgres import Server

ROLES = ("dbt", "loader", "operator", "approver", "reconciler", "webhook", "auditor", "analyst", "seller")
LATER = date(2026, 11, 8)


def step_now(conn: Connection[Any]) -> int:
    """By the database's clock, in steps of 30 seconds."""
    return int(one(conn, "select floor(extract(epoch from clock_timestamp()) / 30)"))


def code_at(secret: bytes, step: int) -> str:
    """What an authenticator shows in a step."""
    mac = hmac.digest(secret, step.to_bytes(8, "big"), "sha1")
    at = mac[-1] & 15
    return str((int.from_bytes(mac[at : at + 4], "big") & 0x7FFFFFFF) % 10**6).zfill(6)


def code_of(conn: Connection[Any], secret: bytes, ahead: int = 0) -> str:
    """What an authenticator shows now, or one whose clock is so many steps ahead."""
    return code_at(secret, step_now(conn) + ahead)


def wrong_code(conn: Connection[Any], secret: bytes) -> str:
    """None of those around now, whichever step it will be when it arrives."""
    near = {code_of(conn, secret, ahead) for ahead in range(-3, 4)}
    return next(code for code in map("{:06}".format, range(10)) if code not in near)


def digest(conn: Connection[Any], window: date = WINDOW) -> str:
    return str(one(conn, "select content_digest from payouts.batches where payout_window = %s", window))


def present(conn: Connection[Any], code: str, actor: str = APPROVER) -> None:
    conn.execute("select payouts.present_code(%s, %s)", (actor, code))


def approve(conn: Connection[Any], window: date = WINDOW, actor: str = APPROVER) -> None:
    decisions.approve(conn, window, digest(conn, window), actor)


@pytest.fixture
def secret(conn: Connection[Any]) -> bytes:
    """Of the approver's authenticator, before a window that he may approve."""
    frozen_window(conn, ["10.00"])
    return second_factor.enrol(conn, APPROVER)


def test_sha1(conn: Connection[Any]) -> None:
    """RFC 3174, 7.3; and each length around the ends of a block."""
    vectors = [
        (b"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (
            b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
        ),
        (b"a" * 1_000_000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f"),
        (b"01234567" * 80, "dea356a2cddd90c7a7ecedc5ebb563934f460452"),
    ]
    for message, expected in vectors:
        assert one(conn, "select encode(payouts.sha1(%s), 'hex')", message) == expected
    for length in range(130):
        message = bytes((7 * number + length) % 256 for number in range(length))
        assert one(conn, "select payouts.sha1(%s)", message) == hashlib.sha1(message).digest()


@pytest.mark.parametrize(
    ("key", "message", "expected"),
    [
        (b"\x0b" * 20, b"Hi There", "b617318655057264e28bc0b6fb378c8ef146be00"),
        (b"Jefe", b"what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (b"\xaa" * 20, b"\xdd" * 50, "125d7342b9ac11cd91a39af48aa17b4f63f175d3"),
        (bytes(range(1, 26)), b"\xcd" * 50, "4c9007f4026250c6bc8414f9bf50c86c2d7235da"),
        (b"\x0c" * 20, b"Test With Truncation", "4c1a03424b55e07fe7f27be1d58bb9324a9a5a04"),
        (
            b"\xaa" * 80,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "aa4ae5e15272d00e95705637ce8a3b55ed402112",
        ),
        (
            b"\xaa" * 80,
            b"Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data",
            "e8e99d0f45237d786d6bbaa7965c7808bbff1a91",
        ),
    ],
)
def test_hmac(conn: Connection[Any], key: bytes, message: bytes, expected: str) -> None:
    """RFC 2202, 3."""
    assert one(conn, "select encode(payouts.hmac_sha1(%s, %s), 'hex')", key, message) == expected


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0x0000000000000001, "94287082"),
        (0x00000000023523EC, "07081804"),
        (0x00000000023523ED, "14050471"),
        (0x000000000273EF07, "89005924"),
        (0x0000000003F940AA, "69279037"),
        (0x0000000027BC86AA, "65353130"),
    ],
)
def test_codes(conn: Connection[Any], step: int, expected: str) -> None:
    """RFC 6238, appendix B; six digits are the last six of its eight."""
    code = one(conn, "select payouts.one_time_code(%s, %s)", b"12345678901234567890", step)
    assert code == expected[2:]


def test_an_approval_with_a_code(frozen_week: Week, weekclose: RunCommand) -> None:
    """Enrol and approve as people do: what enrol prints is all that an authenticator needs."""
    week = frozen_week
    shown = json.loads(weekclose("otp", "enrol", "--by", APPROVER, "--json", database=week.server).stdout)
    link = urlsplit(shown["uri"])
    assert (link.scheme, link.netloc) == ("otpauth", "totp")
    assert unquote(link.path) == f"/Weekclose:{APPROVER}@{week.server.dbname}"
    assert parse_qs(link.query) == {"secret": [shown["secret"]], "issuer": ["Weekclose"]}
    secret = b32decode(shown["secret"])
    assert len(secret) == 20

    def approving(**environment: str) -> tuple[int, str]:
        command = ("approve", str(WINDOW), "--digest", digest(week.conn), "--by", APPROVER)
        done = weekclose(*command, database=week.server, **environment)
        return done.returncode, done.stderr

    assert approving() == (
        3,
        "weekclose: a code of your authenticator is needed: run this in a terminal, or set WEEKCLOSE_OTP\n",
    )
    assert approving(WEEKCLOSE_OTP=wrong_code(week.conn, secret)) == (
        3,
        "weekclose: the code is wrong, or has been used: wait for the next one\n",
    )
    assert approving(WEEKCLOSE_OTP="a secret") == (3, "weekclose: a code has 6 digits\n")
    assert week.one("select state from payouts.batches") == "frozen"
    code = code_of(week.conn, secret)
    assert approving(WEEKCLOSE_OTP=f"{code[:3]} {code[3:]}") == (
        0,
        f"window {WINDOW} is approved by {APPROVER}\n",
    )
    assert week.one("select approved_by from payouts.batches") == APPROVER
    # Decided upon once more, approved once more: now in a terminal, which is asked.
    decisions.hold(week.conn, ["s1"], WINDOW, "a look", OPERATOR)
    code = code_of(week.conn, secret, ahead=1)
    said = in_a_terminal(
        week.server,
        "approve",
        str(WINDOW),
        "--digest",
        digest(week.conn),
        "--by",
        APPROVER,
        typed=code,
    )
    assert said == f"Code of your authenticator: window {WINDOW} is approved by {APPROVER}\n"
    assert week.one("select approved_by from payouts.batches") == APPROVER


def in_a_terminal(where: Server, *arguments: str, typed: str) -> str:
    """What the command says to a person who types this."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{typed}\n".encode())
        done = subprocess.run(
            [COMMAND, *arguments],
            env=os.environ | {"DATABASE_URL": where.url},
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    return done.stderr


def test_no_code_is_asked_for_what_is_refused_anyhow(
    conn: Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen_window(conn, ["10.00"])
    second_factor.enrol(conn, FREEZER)
    monkeypatch.setenv("WEEKCLOSE_OTP", code_of(conn, second_factor.enrol(conn, APPROVER)))

    def approving(seen: str, actor: str = APPROVER) -> None:
        second_factor.with_code(conn, actor, lambda: decisions.approve(conn, WINDOW, seen, actor))

    with pytest.raises(Refused, match="fiona froze in window 2026-11-01: another person has to approve it"):
        approving(digest(conn), FREEZER)
    with pytest.raises(Refused, match="has changed"):
        approving("0" * 64)
    decisions.hold(conn, ["s1"], WINDOW, "a look", OPERATOR)
    with pytest.raises(NothingToDo, match="has no payout that is ready"):
        approving(digest(conn))
    decisions.release(conn, ["s1"], WINDOW, "fine", OPERATOR)
    assert one(conn, "select sum(tries) from payouts.second_factors") == 0, "nothing was presented"
    approving(digest(conn))
    assert one(conn, "select approved_by from payouts.batches") == APPROVER
    with pytest.raises(NothingToDo, match="is approved already, by anna"):
        approving(digest(conn))
    assert one(conn, "select sum(tries) from payouts.second_factors") == 0


def test_a_code_counts_for_one_decision(conn: Connection[Any], secret: bytes) -> None:
    frozen_window(conn, ["20.00"], window=LATER)
    code = code_of(conn, secret)
    present(conn, code)
    approve(conn)
    with pytest.raises(SecondFactorNeeded, match="a code of anna's authenticator is needed"):
        approve(conn, LATER)
    present(conn, code)
    with pytest.raises(SecondFactorNeeded, match="wrong, or has been used"):
        approve(conn, LATER)
    # A clock that is one step ahead is believed, and the steps before it are over.
    present(conn, code_of(conn, secret, ahead=1))
    approve(conn, LATER)
    assert one(conn, "select tries from payouts.second_factors") == 0


def test_steps_only_go_up(conn: Connection[Any], secret: bytes) -> None:
    """The newest code that counted is the end of all before it, whether those were used or not."""
    frozen_window(conn, ["20.00"], window=LATER)
    before = code_of(conn, secret)
    present(conn, code_of(conn, secret, ahead=1))
    approve(conn)
    present(conn, before)
    with pytest.raises(SecondFactorNeeded, match="wrong, or has been used"):
        approve(conn, LATER)


@pytest.mark.parametrize(("ahead", "counts"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_off_by_one_step(
    conn: Connection[Any], secret: bytes, ahead: int, counts: bool
) -> None:
    step = step_now(conn)
    present(conn, code_at(secret, step))
    # As if in the middle of a step, so that no clock moves on meanwhile.
    at = 30 * (step - ahead) + 15
    conn.execute("update payouts.second_factors set presented_at = to_timestamp(%s)", [at])
    if counts:
        approve(conn)
    else:
        with pytest.raises(SecondFactorNeeded, match="wrong"):
            approve(conn)


def test_a_code_lasts_five_minutes(conn: Connection[Any], secret: bytes) -> None:
    present(conn, code_of(conn, secret))
    conn.execute("update payouts.second_factors set presented_at = presented_at - interval '5 minutes'")
    with pytest.raises(SecondFactorNeeded, match="is needed"):
        approve(conn)


def test_the_code_of_another_person(conn: Connection[Any], secret: bytes) -> None:
    other = second_factor.enrol(conn, "berta")
    present(conn, code_of(conn, other), "berta")
    with pytest.raises(SecondFactorNeeded, match="a code of anna's authenticator is needed"):
        approve(conn)
    present(conn, code_of(conn, other))
    with pytest.raises(SecondFactorNeeded, match="wrong"):
        approve(conn)


def test_a_try_cannot_be_taken_back(conn: Connection[Any], secret: bytes) -> None:
    """Whoever rolls back what he has presented has learned nothing: right and wrong look the same."""
    said = set()
    for code in (code_of(conn, secret), wrong_code(conn, secret)):
        with pytest.raises(SecondFactorNeeded) as refused, conn.transaction():
            present(conn, code)
            with conn.transaction():  # nor in a savepoint
                present(conn, code)
            approve(conn)
        said.add(str(refused.value))
    assert said == {"a code of anna's authenticator is needed"}
    assert one(conn, "select tries from payouts.second_factors") == 0
    # A refused approval does not give the tries back that were committed.
    present(conn, wrong_code(conn, secret))
    with pytest.raises(SecondFactorNeeded):
        approve(conn)
    assert one(conn, "select tries from payouts.second_factors") == 1


def test_five_wrong_codes_lock(conn: Connection[Any], secret: bytes) -> None:
    for _ in range(5):
        present(conn, wrong_code(conn, secret))
        with pytest.raises(SecondFactorNeeded, match="wrong"):
            approve(conn)
    locked = r"five wrong codes: no code of anna is taken before \d\d:\d\d:\d\d UTC"
    with pytest.raises(psycopg.Error, match=locked) as refused:
        present(conn, code_of(conn, secret))
    assert refused.value.sqlstate == "WC003"
    with pytest.raises(SecondFactorNeeded):
        approve(conn)
    conn.execute("update payouts.second_factors set presented_at = presented_at - interval '14 minutes'")
    with pytest.raises(psycopg.Error, match=locked):
        present(conn, code_of(conn, secret))
    conn.execute("update payouts.second_factors set presented_at = presented_at - interval '1 minute'")
    present(conn, code_of(conn, secret))
    approve(conn)


def test_a_right_code_ends_the_counting(conn: Connection[Any], secret: bytes) -> None:
    for _ in range(4):
        present(conn, wrong_code(conn, secret))
    present(conn, code_of(conn, secret))
    approve(conn)
    assert one(conn, "select tries from payouts.second_factors") == 0


def test_two_approvals_with_one_code(database: Server, conn: Connection[Any], secret: bytes) -> None:
    """At the same time, on two windows: one waits for the other, and finds the code used."""
    frozen_window(conn, ["20.00"], window=LATER)
    present(conn, code_of(conn, secret))
    with open_connection(database) as other, ThreadPoolExecutor() as pool:
        waiter = int(one(other, "select pg_backend_pid()"))
        with conn.transaction():
            approve(conn)
            second = pool.submit(approve, other, LATER)
            while not one(conn, "select cardinality(pg_blocking_pids(%s))", waiter):
                assert not second.done()
        with pytest.raises(SecondFactorNeeded):
            second.result(timeout=60)


def test_a_resend_needs_a_code_too(conn: Connection[Any]) -> None:
    window = frozen_window(conn, ["10.00"])
    claimed_window(conn, window)
    secret = second_factor.enrol(conn, APPROVER)
    with pytest.raises(SecondFactorNeeded):
        decisions.order_resend(conn, window, digest(conn), APPROVER)
    present(conn, code_of(conn, secret))
    decisions.order_resend(conn, window, digest(conn), APPROVER)
    assert one(conn, "select resend_ordered_by from payouts.batches") == APPROVER


def test_a_new_phone_needs_a_code_of_the_old_one(
    database: Server, conn: Connection[Any], secret: bytes, weekclose: RunCommand
) -> None:
    command = ("otp", "enrol", "--by", APPROVER, "--json")
    refused = weekclose(*command, database=database)
    assert (refused.returncode, refused.stdout) == (3, "")
    done = weekclose(*command, database=database, WEEKCLOSE_OTP=code_of(conn, secret))
    renewed = b32decode(json.loads(done.stdout)["secret"])
    assert renewed != secret
    present(conn, code_of(conn, secret, ahead=1))
    with pytest.raises(SecondFactorNeeded, match="wrong"):
        approve(conn)
    present(conn, code_of(conn, renewed))
    approve(conn)
    log = conn.execute("select * from payouts.audit_log where action = 'enrol authenticator'").fetchall()
    assert len(log) == 2
    for each in (secret, renewed):
        for form in (each.hex(), second_factor.base32(each), repr(each)):
            assert form not in repr(log), "the audit log keeps no secret"


def test_everybody_needs_one(database: Server, conn: Connection[Any], weekclose: RunCommand) -> None:
    frozen_window(conn, ["10.00"])
    with pytest.raises(UsageError, match="--reason is empty"):
        second_factor.require(conn, True, " ", "ada")
    on = ("otp", "require", "--reason", "the bank wants it", "--by", "ada")
    assert weekclose(*on, database=database).stderr == "codes are required of everybody\n"
    again = weekclose(*on, database=database)
    assert (again.returncode, again.stderr) == (5, "weekclose: a code is required of everybody already\n")
    with pytest.raises(
        Refused, match="anna has no authenticator, and everybody needs one: weekclose otp enrol"
    ):
        approve(conn)
    secret = second_factor.enrol(conn, APPROVER)
    with pytest.raises(SecondFactorNeeded):
        approve(conn)
    present(conn, code_of(conn, secret))
    approve(conn)
    off = weekclose(*on, "--off", database=database)
    assert (off.returncode, off.stderr) == (0, "codes are required of those who have enrolled\n")
    frozen_window(conn, ["10.00"], window=LATER)
    approve(conn, LATER, "berta")
    logged = conn.execute(
        "select actor, after, reason from payouts.audit_log where action = 'require codes' order by entry_id"
    ).fetchall()
    assert logged == [
        ("ada", {"for_everybody": True}, "the bank wants it"),
        ("ada", {"for_everybody": False}, "the bank wants it"),
    ]


def test_a_lost_phone(database: Server, conn: Connection[Any], secret: bytes, weekclose: RunCommand) -> None:
    command = ("otp", "reset", APPROVER, "--reason", "it fell into the lake", "--by")
    own = weekclose(*command, APPROVER, database=database)
    assert own.returncode == 3
    assert own.stderr == "weekclose: anna cannot reset his own authenticator: another admin has to\n"
    assert weekclose(*command, "ada", database=database).stderr == "anna has no authenticator any more\n"
    with pytest.raises(NothingToDo, match="anna has no authenticator"):
        second_factor.reset(conn, APPROVER, "again", "ada")
    with pytest.raises(psycopg.Error, match="anna has no authenticator: weekclose otp enrol"):
        present(conn, code_of(conn, secret))
    logged = conn.execute("select actor, entity, reason from payouts.audit_log order by entry_id desc")
    assert logged.fetchone() == ("ada", "person:anna", "it fell into the lake")
    renewed = second_factor.enrol(conn, APPROVER)
    present(conn, code_of(conn, renewed))
    approve(conn)


@pytest.mark.parametrize("role", ROLES)
def test_what_a_login_may(any_database: Server, role: str) -> None:
    """Nobody reads secrets or codes, or runs the arithmetic; who decides has his own authenticator alone."""
    with open_connection(any_database) as owner, created_login(any_database, [role]) as login:
        frozen_window(owner, ["10.00"])
        secret = second_factor.enrol(owner, APPROVER)
        with open_connection(login) as conn:
            for query in (
                "select secret from payouts.second_factors",
                "select presented_code from payouts.second_factors",
                "select count(*) from payouts.second_factors",
                "update payouts.second_factors set tries = 0",
                "update payouts.second_factor_rule set for_everybody = false",
                "delete from payouts.second_factors",
                "select payouts.sha1('')",
                "select payouts.hmac_sha1('', '')",
                "select payouts.one_time_code('', 1)",
                "select payouts.require_second_factor(session_user::text)",
                "select payouts.reset_second_factor('anna', 'why', session_user::text)",
                "select payouts.require_otp(true, 'why', session_user::text)",
            ):
                assert sqlstate(conn, query) == "42501", query
            decides = role in ("operator", "approver", "reconciler")
            for query, allowed in (
                ("select payouts.enrol('anna')", "WC003"),
                (f"select payouts.present_code('anna', '{code_of(owner, secret)}')", "WC003"),
                ("select payouts.enrol(session_user::text)", ""),
            ):
                assert sqlstate(conn, query) == (allowed if decides else "42501"), query


def test_an_approver_cannot_leave_it_out(any_database: Server) -> None:
    """As logins do it, past the command: enrol, approve without, with a code, and again with the same."""
    with (
        open_connection(any_database) as owner,
        created_login(any_database, ["approver"]) as anna,
        created_login(any_database, ["admin"]) as ada,
        open_connection(anna) as conn,
        open_connection(ada) as admin,
    ):
        frozen_window(owner, ["10.00"])
        frozen_window(owner, ["10.00"], window=LATER)
        second_factor.require(admin, True, "everybody", ada.user)
        act = "select payouts.approve(%s, %s, session_user::text)"
        assert sqlstate(conn, act, (WINDOW, digest(conn))) == "WC003"
        secret = second_factor.enrol(conn, anna.user)
        assert sqlstate(conn, act, (WINDOW, digest(conn))) == "WC006"
        # Another's name is refused before a code of his is asked for.
        other = sqlstate(admin, "select payouts.approve(%s, %s, %s)", (WINDOW, digest(conn), anna.user))
        assert other == "WC003"
        present(conn, code_of(conn, secret), anna.user)
        conn.execute(act, (WINDOW, digest(conn)))
        assert sqlstate(conn, act, (LATER, digest(conn, LATER))) == "WC006"
        assert sqlstate(admin, act, (LATER, digest(conn, LATER))) == "WC003", "an admin needs one too"
        second_factor.enrol(admin, ada.user)
        with pytest.raises(Refused, match="another admin has to"):
            second_factor.reset(admin, ada.user, "lost", ada.user)
        second_factor.reset(admin, anna.user, "lost", ada.user)
        assert sqlstate(conn, act, (LATER, digest(conn, LATER))) == "WC003"

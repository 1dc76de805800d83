"""The second factor: an authenticator's codes for decisions. The database asks for them and judges them."""

import os
import sys
from base64 import b32encode
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

from psycopg import Connection

from weekclose.decisions import require_reason
from weekclose.errors import SecondFactorNeeded
from weekclose.refusals import refusals

ISSUER = "Weekclose"
CODE_VARIABLE = "WEEKCLOSE_OTP"

Decided = TypeVar("Decided")


def with_code(conn: Connection[Any], actor: str, decide: Callable[[], Decided]) -> Decided:
    """What `decide` returns; it is called again with a code when a code is all that it lacked.

    The code is the one of WEEKCLOSE_OTP, else a person in a terminal is asked. Raises SecondFactorNeeded
    without either and for a wrong code, Refused when too many were wrong, and whatever `decide` raises.
    `conn` is in no transaction: the code is committed before it is judged, so that each one counts.
    """
    try:
        return decide()
    except SecondFactorNeeded:
        code = _code()
    with conn.transaction(), refusals():
        conn.execute("select payouts.present_code(%s, %s)", (actor, code))
    return decide()


def _code() -> str:
    code = os.environ.get(CODE_VARIABLE, "")
    if not code and sys.stdin.isatty():
        # A prompt of typer or input() would leave its last blank on stdout, among the results.
        print("Code of your authenticator: ", end="", file=sys.stderr, flush=True)
        code = sys.stdin.readline()
    if not code.strip():
        raise SecondFactorNeeded(
            f"a code of your authenticator is needed: run this in a terminal, or set {CODE_VARIABLE}"
        )
    return "".join(code.split())  # apps show 123 456


def enrol(conn: Connection[Any], actor: str) -> bytes:
    """A new secret for the actor's authenticator; the one before no longer counts.

    Raises SecondFactorNeeded when the actor has one already and has presented no code of it.
    """
    with conn.transaction(), refusals():
        [(secret,)] = conn.execute("select payouts.enrol(%s)", (actor,)).fetchall()
    return bytes(secret)


def reset(conn: Connection[Any], person: str, reason: str, actor: str) -> None:
    """Take a person's authenticator away, for a lost phone.

    Raises NothingToDo when there is none, Refused for one's own, UsageError without a reason.
    """
    require_reason(reason)
    with conn.transaction(), refusals():
        conn.execute("select payouts.reset_second_factor(%s, %s, %s)", (person, reason, actor))


def require(conn: Connection[Any], for_everybody: bool, reason: str, actor: str) -> None:
    """Require codes of everybody, or only of those who have enrolled.

    Raises NothingToDo when that is so already, UsageError without a reason.
    """
    require_reason(reason)
    with conn.transaction(), refusals():
        conn.execute("select payouts.require_otp(%s, %s, %s)", (for_everybody, reason, actor))


def base32(secret: bytes) -> str:
    """A secret as authenticator apps take it when it is typed."""
    return b32encode(secret).decode()


def uri(secret: bytes, account: str) -> str:
    """A secret as authenticator apps take it from a link or a QR code."""
    return f"otpauth://totp/{ISSUER}:{quote(account, safe='')}?secret={base32(secret)}&issuer={ISSUER}"

"""Monday's decisions on what was frozen: hold, release, clear, approve. The database holds the rules."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from psycopg import Connection

from weekclose.errors import UsageError, WeekcloseError
from weekclose.refusals import refusals
from weekclose.submission import Paid, paid_with


def hold(conn: Connection[Any], sellers: Sequence[str], window: date, reason: str, actor: str) -> None:
    """Keep sellers' payouts of a frozen window back; all of them or none.

    Raises NothingToDo for a seller without a payout there or on hold already, Refused once the batch is on
    its way, UsageError without a reason. The batch's digest moves, and an approval of it is void.
    """
    require_reason(reason)
    with conn.transaction(), refusals():
        for seller in sellers:
            conn.execute("select payouts.hold(%s, %s, %s, %s)", (window, seller, reason, actor))


def release(conn: Connection[Any], sellers: Sequence[str], window: date, reason: str, actor: str) -> None:
    """End holds; a payout that nothing else blocks is ready again.

    Raises as `hold` does, and Refused when the payout's money has rolled into a later window.
    """
    require_reason(reason)
    with conn.transaction(), refusals():
        for seller in sellers:
            conn.execute("select payouts.release(%s, %s, %s, %s)", (window, seller, reason, actor))


def clear(conn: Connection[Any], sellers: Sequence[str], reason: str, actor: str) -> None:
    """Clear sellers' manual reviews, in the newest frozen window and for the runs of the next 30 days.

    Raises Refused when the newest window's money has rolled or its batch is on its way.
    """
    require_reason(reason)
    with conn.transaction(), refusals():
        for seller in sellers:
            conn.execute("select payouts.clear(%s, %s, %s)", (seller, reason, actor))


def approve(conn: Connection[Any], window: date, digest: str, actor: str) -> None:
    """Bind `actor` to the content of a window that has this digest. Approval is not payment.

    Raises Refused when the content has changed, or when the actor froze, held, released or cleared what he
    would approve; NothingToDo when it is approved already or nothing is ready.
    """
    with conn.transaction(), refusals():
        conn.execute("select payouts.approve(%s, %s, %s)", (window, digest, actor))


def order_resend(conn: Connection[Any], paid: Paid, digest: str, actor: str) -> None:
    """Order that a batch is sent once more although the rail may have forgotten its key.

    For after the rail was asked, by a person, whether it has it. Raises NothingToDo when no batch of the
    window or request has an unknown outcome, Refused for another digest or for who submitted it.
    """
    with conn.transaction(), refusals():
        conn.execute("select payouts.order_resend(%s, %s, %s)", (paid_with(paid), digest, actor))


def verify_audit(conn: Connection[Any]) -> int:
    """How many entries the audit log has. Raises WeekcloseError naming the first that was tampered with."""
    broken, entries = conn.execute(
        "select payouts.first_broken_audit_entry(), (select count(*) from payouts.audit_log)"
    ).fetchone() or (None, 0)
    if broken is not None:
        raise WeekcloseError(f"the audit log is broken at entry {broken}: it is not what was written")
    return int(entries)


def acts_as(conn: Connection[Any]) -> str | None:
    """The one name under which this login can act; None when it owns the tables and is believed."""
    row = conn.execute(
        "select session_user::text where not pg_has_role(session_user, 'weekclose_owner', 'member')"
    ).fetchone()
    return row[0] if row else None


def require_reason(reason: str) -> None:
    """Raises UsageError for a reason that is none."""
    if not reason.strip():
        raise UsageError("--reason is empty: say why, for those who read the audit log")

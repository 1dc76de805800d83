"""Who did what, and why, with before and after: the data of the audit page."""

from typing import Any

from psycopg import Connection

from weekclose.reading import snapshot
from weekclose.review.columns import listed
from weekclose.review.operations import NOTHING_BUILT, built, frame

# The newest; `marts.audit_timeline` has everyone.
SHOWN = 10_000


def audit_data(conn: Connection[Any]) -> dict[str, Any]:
    """The newest entries of the audit log, with what each changed. Instants on the settlement clock.

    Opens its own snapshot. Raises NothingToDo for a database without tables.
    """
    with snapshot(conn):
        dates = built(conn)
        page = {"page": frame("audit", dates)}
        if dates is None:
            return page | {"verdict": NOTHING_BUILT, "entries": {"columns": {}}, "entry_count": 0}
        entries = listed(conn, "ops_audit", dates.zone, limit=SHOWN)
        numbers = entries["columns"]["entry_id"]
        # They are numbered without a gap.
        many = numbers[0] if numbers else 0
        verdict = {
            "tone": "idle",
            "headline": f"{many:,} {'entry' if many == 1 else 'entries'}",
            "detail": "Every action with who, when, why, and what it changed. Nothing of it can be edited: "
            "each entry is sealed with the one before.",
            "command": "weekclose audit verify",
        }
        return page | {"verdict": verdict, "entries": entries, "entry_count": many}

"""Who did what: the audit log, read."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

from weekclose.database import statement


@dataclass(frozen=True)
class Asked:
    """Which entries of the audit log; all of them where None.

    `entity` is an id, or kind and id; `since` and `until` are instants, that one included and this one not.
    """

    action: str | None
    entity: str | None
    actor: str | None
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True)
class Entry:
    """One entry of the audit log; `at` in UTC. `role` and `metadata` are None in old ones."""

    entry_id: int
    at: datetime
    actor: str
    role: str | None
    action: str
    entity_kind: str
    entity_id: str
    entity: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str
    metadata: dict[str, Any] | None


def timeline(conn: Connection[Any], asked: Asked, after: int, limit: int) -> list[Entry]:
    """The audit log, oldest first, `limit` of the entries after `after`."""
    named = asdict(asked) | {"after": after, "limit": limit}
    with conn.cursor(row_factory=class_row(Entry)) as cursor:
        return cursor.execute(statement("audit_list"), named).fetchall()

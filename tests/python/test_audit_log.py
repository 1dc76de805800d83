"""A superuser edits the audit log, past every guard: `audit verify` names the first row that is amiss."""

from itertools import combinations
from typing import Any

import pytest
from psycopg import Connection

from catalogue import Reached
from frozen_window import OPERATOR, WINDOW, frozen_window
from weekclose import decisions
from weekclose.errors import WeekcloseError

pytestmark = pytest.mark.catalogue(15)

ENTRIES = range(1, 6)
# What each column is turned into.
OTHER = {
    "at": "at + interval '1 microsecond'",
    "actor": "actor || ' '",
    "action": "action || '.'",
    "entity": "entity || '0'",
    "before": "coalesce(before, '{}') || '{\"a\": 1}'",
    "after": "coalesce(after, '{}') || '{\"a\": 1}'",
    "reason": "reason || '.'",
    "previous_hash": "repeat('0', 64)",
    "hash": "repeat('0', 64)",
    "role": "'weekclose_admin'",
    "metadata": 'metadata || \'{"login": "anna"}\'',
}


def test_every_edit_is_found(conn: Connection[Any], reached: Reached) -> None:
    frozen_window(conn, ["10.00", "20.00"])
    for seller in ("s1", "s2"):
        decisions.hold(conn, [seller], WINDOW, "a question", OPERATOR)
        decisions.release(conn, [seller], WINDOW, "answered", OPERATOR)
    assert decisions.verify_audit(conn) == len(ENTRIES)
    columns = conn.execute("select * from payouts.audit_log").description or ()
    assert {column.name for column in columns} == {*OTHER, "entry_id"}
    forgeries = [*edits(), *removals(), *swaps(), *inventions()]
    for forgery, named in forgeries:
        assert first_broken(conn, forgery) == named, forgery
    reached(15, "forgeries found", len(forgeries))


def first_broken(conn: Connection[Any], forgery: str) -> int | None:
    """The entry that `audit verify` names after a forgery, which is taken back."""
    with conn.transaction(force_rollback=True):
        conn.execute("set local session_replication_role = replica")
        conn.execute(forgery.encode())
        try:
            decisions.verify_audit(conn)
        except WeekcloseError as error:
            return int(str(error).split("entry ")[1].split(":")[0])
    return None


def edits() -> list[tuple[str, int]]:
    """Of a column; and of a row whose hash is made anew, which the next one gives away."""
    found = [
        (f"update payouts.audit_log set {column} = {other} where entry_id = {entry}", entry)
        for column, other in OTHER.items()
        for entry in ENTRIES
    ]
    resealed = "hash = payouts.audit_entry_hash(audit_log) where entry_id"
    found += [
        (
            f"update payouts.audit_log set reason = 'nothing' where entry_id = {entry};"
            f" update payouts.audit_log set {resealed} = {entry}",
            entry + 1,
        )
        for entry in ENTRIES[:-1]
    ]
    return found


def removals() -> list[tuple[str, int]]:
    """Of any but the newest, which nothing stands on yet: also where the rest is numbered anew."""
    removed = "delete from payouts.audit_log where entry_id = {0}"
    renumbered = "; update payouts.audit_log set entry_id = entry_id - 1 where entry_id > {0}"
    return [
        (removed.format(entry) + then.format(entry), entry + named)
        for entry in ENTRIES[:-1]
        for then, named in (("", 1), (renumbered, 0))
    ]


def swaps() -> list[tuple[str, int]]:
    """Two entries in each other's place."""
    return [
        (
            f"update payouts.audit_log set entry_id = 100 where entry_id = {first};"
            f" update payouts.audit_log set entry_id = {first} where entry_id = {second};"
            f" update payouts.audit_log set entry_id = {second} where entry_id = 100",
            first,
        )
        for first, second in combinations(ENTRIES, 2)
    ]


def inventions() -> list[tuple[str, int]]:
    """An entry of which there is a copy, after all others or before them."""
    copied = ", ".join(OTHER)
    return [
        (
            f"insert into payouts.audit_log (entry_id, {copied}) select {place}, {copied}"
            f" from payouts.audit_log where entry_id = {entry}",
            place,
        )
        for entry in ENTRIES
        for place in (0, 6)
    ]

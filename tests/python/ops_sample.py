"""Schedules, requests and holds of each kind on top of closed_weeks, made as people make them."""

from decimal import Decimal
from typing import Any

from psycopg import Connection

from closed_weeks import HOSTILE_ID
from weekclose import requests as off_cycle
from weekclose.holds import Wanted, create, end
from weekclose.requests import Wish

# What somebody writes who wants to be more than a text.
HOSTILE_NOTE = "</script><img src=x onerror=alert(1)>\u202egro.live"


def occupy(conn: Connection[Any]) -> None:
    """gil asks for parts of what came back to him, schedules of anna wait and fail, and money is held."""
    _request(conn)
    _schedule(conn)
    _hold(conn)


def _hold(conn: Connection[Any]) -> None:
    number = create(conn, _wanted("anna", "10.00", "verification", HOSTILE_NOTE), "olga")
    create(conn, _wanted("bob", "25.00", "other", "until he calls back"), "olga")
    end(conn, [number], "released", "her papers came", "rita")
    create(conn, _wanted("anna", "12.50", "dispute", "about a1", order="a1"), "olga")
    create(conn, _wanted(HOSTILE_ID, "1.00", "other", HOSTILE_NOTE), "olga")
    # A day ago nobody could hold it until yesterday.
    conn.execute(
        "insert into payouts.escrow_holds"
        " (seller_id, currency, amount, reason, note, release_at, held_by)"
        " values ('eve', 'USD', 7, 'verification', 'until yesterday', now() - interval '1 day', 'olga')"
    )


def _wanted(seller: str, amount: str, reason: str, note: str, order: str | None = None) -> Wanted:
    return Wanted(seller, "USD", Decimal(amount), reason, note, order, None, None)


def _request(conn: Connection[Any]) -> None:
    asked = [
        off_cycle.request(conn, "gil", "USD", Decimal(amount), f"a bill of {amount}", "olga")
        for amount in ("40.00", "20.00", "10.00")
    ]
    off_cycle.approve(conn, asked[:1], "rita")
    off_cycle.reject(conn, asked[1:2], "he has it already", "rita")


def _schedule(conn: Connection[Any]) -> None:
    off_cycle.schedule(
        conn, Wish("anna", "USD", Decimal("30.00"), "milestone_reached", "the shop is up", None, None), "olga"
    )
    too_much = off_cycle.schedule(
        conn, Wish("anna", "USD", Decimal("9999.00"), "manual", HOSTILE_NOTE, None, None), "olga"
    )
    for _ in range(3):
        off_cycle.trigger(conn, [too_much], "olga")
    made = off_cycle.schedule(
        conn, Wish("gil", "USD", Decimal("5.00"), "contract_signed", "signed", None, None), "olga"
    )
    off_cycle.trigger(conn, [made], "olga")
    conn.execute(
        "insert into payouts.payout_schedules"
        " (seller_id, currency, amount, trigger_event, note, due_at, created_by)"
        " values ('gil', 'USD', 3, 'manual', 'since yesterday', now() - interval '1 day', 'olga')"
    )

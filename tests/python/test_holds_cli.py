"""Escrow holds through the command: who may make and end them, and what rubbish is answered with."""

import pytest

from desk import Desk, desk, people  # noqa: F401
from frozen_window import frozen_window
from tuesday import marts  # noqa: F401

NOTE = ("--note", "the buyer says that it never arrived")
WANTED = ("--currency", "USD", "--amount", "30.00", "--reason", "dispute", *NOTE)


def test_a_hold_comes_and_goes(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    made = desk.does("olga", "holds", "create", "s1", *WANTED, "--payout", "JPO0000001")
    assert made.word == "HLD0000001"
    assert made.err == "HLD0000001 holds 30.00 USD of seller s1 from the next freeze on\n"
    again = desk.refused("olga", "holds", "create", "s1", *WANTED, "--payout", "JPO0000001", code=5)
    assert again == "HLD0000001 is just that already: another note tells two apart"
    assert desk.does("bill", "holds", "create", "s1", *WANTED).word == "HLD0000002", "billing may hold"
    desk.does("olga", "holds", "release", "HLD0000001", "--reason", "it arrived")
    desk.does("ada", "holds", "cancel", "HLD0000002", "--reason", "held twice")
    assert [
        (each["hold_number"], each["status"]) for each in desk.does("bill", "holds", "list", "--json").json
    ] == [
        ("HLD0000001", "released"),
        ("HLD0000002", "cancelled"),
    ]
    assert desk.does("olga", "holds", "list", "--status", "active", "--json").json == []
    assert [
        row[0]
        for row in desk.owner.execute(
            "select action from payouts.audit_log where entity like 'hold:%' order by 1"
        )
    ] == ["hold cancel", "hold create", "hold create", "hold release"]


def test_lists(desk: Desk) -> None:  # noqa: F811
    """Who reads the books reads them, filtered, page by page; one ends several at once, or none."""
    frozen_window(desk.owner, ["90.00", "80.00"])
    tried = ("--currency", "USD", "--amount", "5", *NOTE)
    for seller, reason in (("s1", "other"), ("s2", "other"), ("s1", "verification")):
        desk.does("bill", "holds", "create", seller, "--reason", reason, *tried)

    def listed(*options: object, who: str = "bill") -> list[str]:
        return [each["hold_number"] for each in desk.does(who, "holds", "list", *options, "--json").json]

    every = ["HLD0000001", "HLD0000002", "HLD0000003"]
    for who in ("olga", "bill", "ada", "rita", "anna", "lena"):
        assert listed(who=who) == every
    assert listed("--seller", "s1", "--reason", "other") == every[:1]
    assert listed("--limit", 2) == every[:2]
    assert listed("--after", every[1], "--limit", 2) == every[2:]
    page = desk.does("olga", "holds", "list", "--limit", 2)
    assert page.err == "there may be more: --after HLD0000002\n"
    assert NOTE[1].encode() in page.out
    desk.refused("olga", "holds", "release", every[0], "HLD9", every[1], "--reason", "x", code=5)
    assert listed("--status", "active") == every, "all or none"
    desk.does("olga", "holds", "release", every[0], every[1], "--reason", "it arrived")
    assert listed("--status", "released") == every[:2]


@pytest.mark.parametrize("who", ["bill", "anna", "rita", "lena", "arne", "nobody"])
def test_who_may_not_release(desk: Desk, who: str) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    desk.does("olga", "holds", "create", "s1", *WANTED)
    desk.refused(who, "holds", "release", "HLD0000001", "--reason", "please")
    desk.refused(who, "holds", "cancel", "HLD0000001", "--reason", "please")


@pytest.mark.parametrize("who", ["anna", "rita", "lena", "arne", "nobody"])
def test_who_may_not_hold(desk: Desk, who: str) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00"])
    desk.refused(who, "holds", "create", "s1", *WANTED)


def test_rubbish_is_answered_with_what_to_do(desk: Desk) -> None:  # noqa: F811
    frozen_window(desk.owner, ["90.00", "80.00"])
    tried = ("holds", "create", "s1", "--currency", "USD", "--amount", "5", "--reason")
    assert "--reason 'odd' is none of" in desk.refused("olga", *tried, "odd", *NOTE, code=2)
    assert "--note is empty" in desk.refused("olga", *tried, "other", "--note", " ", code=2)
    assert "has no payout JPO0000002 in USD" in desk.refused(
        "olga", *tried, "other", *NOTE, "--payout", "JPO0000002"
    )
    assert "--until 'soon' is not an instant" in desk.refused(
        "olga", *tried, "other", *NOTE, "--until", "soon", code=2
    )
    assert "has ended" in desk.refused("olga", *tried, "other", *NOTE, "--until", "2020-01-01T00:00:00Z")
    for option in ("status", "reason"):
        assert f"--{option} 'odd' is none of" in desk.refused(
            "olga", "holds", "list", f"--{option}", "odd", code=2
        )
    assert desk.refused("olga", "holds", "create", "nobody", *WANTED) == "there is no seller nobody"
    assert (
        desk.refused("olga", "holds", "release", "HLD9", "--reason", "x", code=5) == "there is no hold HLD9"
    )
    desk.does("olga", "holds", "create", "s1", *WANTED)
    desk.does("olga", "holds", "release", "HLD0000001", "--reason", "x")
    ended = desk.refused("olga", "holds", "release", "HLD0000001", "--reason", "x", code=5)
    assert ended == "hold HLD0000001 is released already"

"""What goes otherwise than planned in the demo's last weeks, and which payout each of it is about."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar

from psycopg import Connection
from psycopg.rows import class_row

from weekclose.database import statement

# Who froze does not approve, and who decides neither; who reconciles is a fourth.
FREEZES, DECIDES, APPROVES = "demo", "maria (finance)", "jonas (treasury)"
RECONCILES = "rosa (reconciliation)"

Row = TypeVar("Row")


@dataclass(frozen=True)
class Twist:
    """What goes wrong, or nearly, in the window `weeks_ago` before the last one.

    `rank` picks a payout, counted from the window's largest; `seller_id` that of a seller whom the sample has
    for this alone. With neither it is all of the window. `difference` leaves beside what was promised.
    """

    name: str
    weeks_ago: int
    rank: int | None = None
    seller_id: str | None = None
    difference: Decimal = Decimal()


LOST_WEBHOOKS = Twist("lost webhooks", 3)
PAID_TOO_MUCH = Twist("paid too much", 3, seller_id="sel_paid_too_much", difference=Decimal("180.00"))
LOST_ANSWER = Twist("lost answer", 2)
HELD = Twist("held, released", 2, 1)
EXCEPTION = Twist("exception", 2, seller_id="sel_reduced_deduction")
PAID_TOO_LITTLE = Twist("paid too little", 2, seller_id="sel_paid_too_little", difference=Decimal("-18.00"))
WRONG_BENEFICIARY = Twist("wrong beneficiary", 2, seller_id="sel_wrong_beneficiary")
HELD_BACK = Twist("hold released early", 2, seller_id="sel_held_back")
OFF_CYCLE = Twist("paid off-cycle", 2, 2)
FAILED = Twist("failed", 1, 1)
RETURNED = Twist("returned", 1, 2)
BY_HAND = Twist("paid by hand", 1, seller_id="sel_paid_by_hand")
KEPT_FLOOR = Twist("floor kept", 0, seller_id="sel_under_floor")
DUPLICATE = Twist("duplicate webhook", 0, 3)
TWISTS = (
    *(LOST_WEBHOOKS, PAID_TOO_MUCH, LOST_ANSWER, HELD, EXCEPTION, PAID_TOO_LITTLE, WRONG_BENEFICIARY),
    *(HELD_BACK, OFF_CYCLE, FAILED, RETURNED, BY_HAND, KEPT_FLOOR, DUPLICATE),
)
# A payout has one story: these are not ranked.
OWN_SELLERS = [twist.seller_id for twist in TWISTS if twist.seller_id]


@dataclass(frozen=True)
class Leaving:
    """A payout that nothing blocks; `amount` in `currency` is what was promised."""

    payout_number: str
    seller_id: str
    currency: str
    amount: Decimal
    destination: str
    status: str


def of_window(weeks_ago: int) -> dict[str, Twist]:
    """The twists of a window, by name."""
    return {twist.name: twist for twist in TWISTS if twist.weeks_ago == weeks_ago}


def picked(
    conn: Connection[Any], window: date, twists: Mapping[str, Twist], *wanted: Twist
) -> list[tuple[Twist, Leaving]]:
    """Which payouts those of the wanted twists are about that this window has, in their order.

    A sample of a few weeks lacks the sellers, a small window the ranks: then there is none.
    """
    named = [twist for twist in wanted if twist.name in twists]
    return [
        (twist, payout)
        for twist in named
        for payout in read(
            conn,
            Leaving,
            "demo_leaving",
            window=window,
            rank=twist.rank or 1,
            seller=twist.seller_id,
            own_sellers=OWN_SELLERS,
        )
    ]


def read(conn: Connection[Any], kind: type[Row], name: str, **named: object) -> list[Row]:
    """The rows of a statement."""
    with conn.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(statement(name), named).fetchall()

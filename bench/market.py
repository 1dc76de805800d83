"""A marketplace of any size and its weeks: the same rows for the same plan, made inside the database."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from psycopg import Connection

from weekclose.addresses import sample_destination

# A fifth of the sellers have most of the orders, half of them hardly any.
SPARSENESS = 3

DICE = """
create or replace function pg_temp.dice(number bigint, part bigint)
returns double precision immutable parallel safe
return (hashint8extended(number, part) & 4294967295) / 4294967296.0;
create or replace function pg_temp.gross(number bigint) returns numeric immutable parallel safe
return round(cast(4 + 800 * power(pg_temp.dice(number, 1), 4) as numeric), 2);
create or replace function pg_temp.is_cancelled(number bigint) returns boolean immutable parallel safe
return pg_temp.dice(number, 2) < 0.02;
"""

# One in a hundred arrives weeks late.
ORDERS = """
insert into raw.orders (
    order_id, seller_id, currency, gross_amount, fee_amount, status, captured_at, loaded_at
)
select
    'O' || lpad(number::text, 9, '0'),
    'S' || lpad(seller::text, 7, '0'),
    case seller %% 4 when 0 then 'EUR' else 'USD' end,
    pg_temp.gross(number),
    round(pg_temp.gross(number) * 0.1, 2),
    case when pg_temp.is_cancelled(number) then 'cancelled' else 'fulfilled' end,
    %(start)s::timestamptz + pg_temp.dice(number, 3) * interval '7 days'
    - case when pg_temp.dice(number, 4) < 0.01 then least(%(week)s, ceil(pg_temp.dice(number, 5) * 3))
        else 0 end * interval '7 days',
    %(loaded_at)s
from generate_series(%(first)s::bigint, %(last)s) as number
cross join lateral (
    select floor(%(sellers)s * power(pg_temp.dice(number, 6), %(sparseness)s))::integer as seller
) as sold
"""

REFUNDS = """
insert into raw.refunds (refund_id, order_id, amount, fee_refund_amount, refunded_at, loaded_at)
select
    'R' || lpad(number::text, 9, '0'),
    'O' || lpad(number::text, 9, '0'),
    round(pg_temp.gross(number) / parts, 2),
    round(round(pg_temp.gross(number) * 0.1, 2) / parts, 2),
    %(start)s::timestamptz + pg_temp.dice(number, 7) * interval '7 days',
    %(loaded_at)s
from generate_series(%(first)s::bigint, %(last)s) as number
cross join lateral (select 1 + floor(pg_temp.dice(number, 8) * 2)::integer as parts) as refunded
where pg_temp.dice(number, 9) < 0.042 and not pg_temp.is_cancelled(number)
"""

DISPUTES = """
insert into raw.disputes (dispute_id, order_id, amount, reason, status, opened_at, loaded_at)
select
    'D' || lpad(number::text, 9, '0'),
    'O' || lpad(number::text, 9, '0'),
    pg_temp.gross(number),
    'not_received',
    'open',
    %(start)s::timestamptz + pg_temp.dice(number, 10) * interval '7 days',
    %(loaded_at)s
from generate_series(%(first)s::bigint, %(last)s) as number
where pg_temp.dice(number, 11) < 0.0066 and not pg_temp.is_cancelled(number)
"""

# A row that changes after it was loaded, and after its first line was frozen.
VERDICTS = """
update raw.disputes set
    status = (array['won', 'lost', 'withdrawn'])[1 + floor(pg_temp.dice(number, 12) * 3)::integer],
    closed_at = %(start)s::timestamptz + pg_temp.dice(number, 13) * interval '7 days',
    loaded_at = %(loaded_at)s
from generate_series(%(first)s::bigint, %(last)s) as number
where dispute_id = 'D' || lpad(number::text, 9, '0') and status = 'open'
"""

# After how many weeks they come.
REFUNDED, DISPUTED, DECIDED = 1, 2, 5


@dataclass(frozen=True)
class Market:
    """So many orders in equal weeks, from `first` (a Sunday) on."""

    orders: int
    sellers: int
    weeks: int
    first: date = date(2025, 1, 5)

    @property
    def weekly(self) -> int:
        """Orders of a week."""
        return self.orders // self.weeks

    def start(self, week: int) -> datetime:
        """The first instant of a week, counted from 0; its Sunday's run speaks for 23:00 after its end."""
        return datetime.combine(self.first + timedelta(weeks=week), time(), UTC)

    def as_of(self, week: int) -> datetime:
        """The instant that the Sunday after a week speaks for, an hour after the load."""
        return self.start(week + 1) + timedelta(hours=23)

    def found(self, conn: Connection[Any]) -> None:
        """The sellers, each with an address of his own."""
        with conn.transaction(), conn.cursor() as cursor:
            columns = "seller_id, region, settlement_currency, status, created_at, wallet_address, loaded_at"
            with cursor.copy(f"copy raw.sellers ({columns}) from stdin") as copy:
                for number in range(self.sellers):
                    seller, currency = f"S{number:07d}", "USD" if number % 4 else "EUR"
                    opened = self.start(-60)
                    wallet = sample_destination("TRC-20", seller.encode())
                    copy.write_row((seller, "APAC", currency, "active", opened, wallet, opened))
        conn.execute("analyze raw.sellers")

    def trade(self, conn: Connection[Any], week: int) -> None:
        """What arrives in a week (or what changes in it), as one load."""
        shared = {
            "week": week,
            "start": self.start(week),
            "loaded_at": self.as_of(week) - timedelta(hours=1),
            "sellers": self.sellers,
            "sparseness": SPARSENESS,
        }
        with conn.transaction():
            conn.execute(DICE)
            for text, after in ((ORDERS, 0), (REFUNDS, REFUNDED), (DISPUTES, DISPUTED), (VERDICTS, DECIDED)):
                of = week - after
                if of >= 0:
                    numbers = {"first": of * self.weekly + 1, "last": (of + 1) * self.weekly}
                    conn.execute(text.encode(), shared | numbers)
        conn.execute("analyze raw.orders, raw.refunds, raw.disputes")

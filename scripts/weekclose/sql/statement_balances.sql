-- What a seller's reserve holds now, and what is due.
select
    currency,
    pending_balance,
    available_balance,
    in_transit,
    reserve_closes_at
from payouts.balances_of(%(seller)s)

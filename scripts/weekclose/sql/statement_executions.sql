-- What really left for a seller's payouts, oldest first.
select
    payout_number,
    external_reference,
    amount,
    executed_at
from payouts.executions_of(%(seller)s)
order by executed_at, external_reference collate "C"

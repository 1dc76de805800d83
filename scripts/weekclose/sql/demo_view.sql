-- The payouts whose money has left the sellers' accounts, as the views of windows and requests show them.
select
    payout_number,
    case when status in ('paid', 'reversed') then 'paid' else 'in transit' end as state,
    currency,
    payable as amount
from marts.settlement_windows
where status in ('submitted', 'awaiting_reconciliation', 'paid', 'reversed')
union all
select
    payout_number,
    case when status in ('paid', 'reversed') then 'paid' else 'in transit' end as state,
    currency,
    amount
from marts.payout_requests
where status in ('submitted', 'awaiting_reconciliation', 'paid', 'reversed')
order by payout_number

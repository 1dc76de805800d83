-- The payouts whose money has left the sellers' accounts, as the ledger has them.
select
    payout_number,
    case account when 'payouts_paid' then 'paid' else 'in transit' end as state,
    currency,
    sum(amount) as amount
from payouts.ledger_entries
where payout_number is not null and account in ('payouts_paid', 'payouts_in_transit')
group by payout_number, account, currency
having sum(amount) <> 0
order by payout_number

-- How many schedules, requests and holds stand where somebody or something has to move, and their money in
-- hundredths.
with

standing as (
    select
        case when status = 'failed' then 'failed' when is_due then 'due' else 'waiting' end as measure,
        currency,
        amount
    from marts.payout_schedules
    where status in ('pending', 'processing', 'failed')
    union all
    select
        status as measure,
        currency,
        amount
    from marts.payout_requests
    where status in ('requested', 'approved')
    union all
    select
        case when is_overdue then 'overdue' else 'held' end as measure,
        currency,
        amount
    from marts.escrow_holds
    where status = 'active'
)

select
    measure,
    currency,
    count(*) as item_count,
    cast(100 * sum(amount) as bigint) as amount
from standing
group by measure, currency
order by measure collate "C", currency collate "C"

-- Counted payout by payout first: what it was handed over with, and whether anything came between.
with

payouts as (select * from {{ source('payouts', 'payouts') }}),

sellers as (select * from {{ ref('stg_sellers') }}),

handed_over as (
    select
        payout_number,
        count(*) as attempt_count
    from {{ source('payouts', 'batch_items') }}
    group by payout_number
),

-- Of all that is booked these are few.
troubled as (
    select entries.payout_number
    from {{ source('payouts', 'ledger_transactions') }} as transactions
    inner join {{ source('payouts', 'ledger_entries') }} as entries
        on transactions.transaction_id = entries.transaction_id
    where transactions.kind in ('release', 'fail', 'return', 'reopen')
    union
    select payout_number
    from {{ source('payouts', 'resolutions') }}
),

judged as (
    select
        payouts.payout_window,
        payouts.currency,
        coalesce(payouts.rail, 'none') as rail,
        coalesce(sellers.region, 'none') as region,
        case
            when payouts.status in ('failed', 'returned')
                then coalesce(nullif(payouts.failure_code, ''), nullif(payouts.failure_reason, ''), 'unknown')
            when payouts.status = 'reversed' then reversals.reason
            when payouts.status = 'blocked' then array_to_string(payouts.block_reasons, ', ')
            when payouts.status = 'awaiting_reconciliation' then payouts.status
            else 'none'
        end as reason,
        payouts.amount,
        case
            when payouts.status in ('paid', 'reversed') then 'executed'
            when payouts.status in ('failed', 'returned', 'blocked') then payouts.status
            else 'open'
        end as outcome,
        payouts.status = 'reversed' as is_reversed,
        payouts.status in ('paid', 'reversed') and troubled.payout_number is null as is_first_try,
        coalesce(handed_over.attempt_count, 0) as attempt_count
    from payouts
    left join sellers on payouts.seller_id = sellers.seller_id
    left join handed_over on payouts.payout_number = handed_over.payout_number
    left join troubled on payouts.payout_number = troubled.payout_number
    left join {{ source('payouts', 'reversals') }} as reversals
        on payouts.payout_number = reversals.payout_number
),

counted as (
    select
        payout_window,
        currency,
        rail,
        region,
        reason,
        count(*) as payout_count,
        sum(amount) as amount,
        count(case when outcome = 'executed' then 1 end) as executed_count,
        coalesce(sum(case when outcome = 'executed' then amount end), 0) as executed_amount,
        count(case when outcome = 'failed' then 1 end) as failed_count,
        coalesce(sum(case when outcome = 'failed' then amount end), 0) as failed_amount,
        count(case when outcome = 'returned' then 1 end) as returned_count,
        coalesce(sum(case when outcome = 'returned' then amount end), 0) as returned_amount,
        count(case when outcome = 'blocked' then 1 end) as blocked_count,
        coalesce(sum(case when outcome = 'blocked' then amount end), 0) as blocked_amount,
        count(case when outcome = 'open' then 1 end) as open_count,
        coalesce(sum(case when outcome = 'open' then amount end), 0) as open_amount,
        count(case when is_reversed then 1 end) as reversed_count,
        coalesce(sum(case when is_reversed then amount end), 0) as reversed_amount,
        sum(attempt_count) as attempt_count,
        count(case when is_first_try then 1 end) as first_try_count
    from judged
    group by payout_window, currency, rail, region, reason
)

select
    payout_window,
    currency,
    rail,
    region,
    reason,
    payout_count,
    {{ money('amount') }} as amount,
    executed_count,
    {{ money('executed_amount') }} as executed_amount,
    failed_count,
    {{ money('failed_amount') }} as failed_amount,
    returned_count,
    {{ money('returned_amount') }} as returned_amount,
    blocked_count,
    {{ money('blocked_amount') }} as blocked_amount,
    open_count,
    {{ money('open_amount') }} as open_amount,
    reversed_count,
    {{ money('reversed_amount') }} as reversed_amount,
    cast(attempt_count as bigint) as attempt_count,
    first_try_count,
    cast(
        sum(executed_count) over its_rail
        / nullif(sum(executed_count + failed_count + returned_count) over its_rail, 0) as numeric(12, 6)
    ) as success_rate,
    cast(
        sum(first_try_count) over its_rail
        / nullif(sum(executed_count + failed_count + returned_count) over its_rail, 0) as numeric(12, 6)
    ) as first_try_rate
from counted
window its_rail as (partition by payout_window, currency, rail, region)

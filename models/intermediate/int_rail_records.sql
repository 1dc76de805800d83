-- What was handed over, beside what the rail said of it when it was last asked. A payout that went with a
-- batch that was refused, and then with another one, has two records at the rail: both count.
with

batches as (
    select batches.*
    from {{ ref('int_reconciled_windows') }} as windows
    inner join {{ source('payouts', 'batches') }} as batches on windows.payout_window = batches.payout_window
),

records as (
    select
        batches.payout_window,
        items.*
    from batches
    -- Read batch by batch: a join might read all of history.
    cross join lateral (
        select
            items.payout_number,
            case when items.released_at is null then items.batch_id end as batch_id,
            states.status as rail_status,
            states.is_final,
            states.amount as rail_amount,
            states.asked_at,
            states.rail_updated_at,
            states.is_final and states.status = 'completed' as is_payment,
            bool_or(states.batch_id is not null) over (partition by items.batch_id) as is_batch_known
        from {{ source('payouts', 'batch_items') }} as items
        left join {{ source('payouts', 'rail_states') }} as states
            on items.batch_id = states.batch_id and items.payout_number = states.payout_number
        where items.batch_id = batches.batch_id
    ) as items
),

known as (
    select
        payout_window,
        payout_number,
        count(*) filter (where is_payment) as payment_count,
        coalesce(sum(rail_amount) filter (where is_payment), 0) as paid_by_rail,
        max(batch_id) as batch_id,
        max(rail_status) filter (where batch_id is not null) as rail_status,
        bool_or(is_final) filter (where batch_id is not null) as is_final,
        max(rail_amount) filter (where batch_id is not null) as rail_amount,
        max(asked_at) filter (where batch_id is not null) as asked_at,
        bool_or(is_batch_known) filter (where batch_id is not null) as is_batch_known,
        max(rail_updated_at) as rail_updated_at
    from records
    group by payout_window, payout_number
)

select
    known.payout_number,
    known.payout_window,
    payouts.seller_id,
    payouts.currency,
    payouts.amount,
    payouts.status,
    payouts.status_changed_at,
    known.payment_count,
    known.paid_by_rail,
    known.rail_status,
    known.is_final,
    known.rail_amount,
    known.asked_at,
    known.is_batch_known,
    known.rail_updated_at
from known
-- Looked up one by one, for the same reason.
inner join lateral (
    select * from {{ source('payouts', 'payouts') }} as payouts
    where payouts.payout_number = known.payout_number
    limit 1
) as payouts on true

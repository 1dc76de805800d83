-- What was handed over, beside what the rail said of it when it was last asked. A payout that went with a
-- batch that was refused, and then with another one, has two records at the rail: both count. Payouts that a
-- person sends by hand went with a batch too, but to no rail.
with

batches as (
    select batches.*
    from {{ ref('int_reconciled_windows') }} as windows
    inner join {{ source('payouts', 'batches') }} as batches on windows.payout_window = batches.payout_window
),

-- The newest word of a person, who can be asked again when something else turns up.
resolutions as (
    select distinct on (payout_number)
        payout_number,
        verdict
    from {{ source('payouts', 'resolutions') }}
    order by payout_number asc, resolution_id desc
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
    known.rail_updated_at,
    case when resolutions.verdict = 'accept' then executions.amount else payouts.amount end as amount_known,
    coalesce(
        case resolutions.verdict
            -- The money came back, by another way than this record.
            when 'retry' then payouts.status = 'failed'
            -- A person has paid instead, and the rail has nothing that it might still do.
            else
                payouts.status in ('paid', 'reversed')
                and executions.source = 'manual'
                and known.payment_count = 0
                and (known.is_final or known.rail_status is null)
        end,
        false
    ) as is_resolved
from known
-- Looked up one by one, for the same reason.
inner join lateral (
    select * from {{ source('payouts', 'payouts') }} as payouts
    where payouts.payout_number = known.payout_number
    limit 1
) as payouts on payouts.rail != 'MANUAL'
left join resolutions on known.payout_number = resolutions.payout_number
left join lateral (
    select
        executions.amount,
        executions.source
    from {{ source('payouts', 'executions') }} as executions
    where executions.payout_number = resolutions.payout_number
    order by executions.execution_id desc
    limit 1
) as executions on true

-- What the books say of a payout against the rail's own record of it. What the rail has not answered yet is
-- on its way and no break; after three days without an answer somebody has to ask. What a person has resolved
-- is measured by what he resolved it to.
with

judged as (
    select
        records.*,
        case
            when payment_count > 1 then 'paid_twice'
            when status = 'awaiting_reconciliation' and payment_count = 0 then 'undecided'
            when status = 'awaiting_reconciliation' and paid_by_rail = amount then 'late_completion'
            when status = 'awaiting_reconciliation' then 'other_amount'
            when is_resolved then null
            when status not in ('paid', 'reversed') and payment_count > 0 then 'paid_by_rail_alone'
            when rail_amount != amount_known and rail_status in ('processing', 'completed')
                then 'other_amount'
            when
                status in ('paid', 'reversed')
                and payment_count = 0
                and (is_final or asked_at > status_changed_at)
                then 'paid_in_books_alone'
            when status in ('submitted', 'paid', 'reversed') and rail_status is null and is_batch_known
                then 'unknown_to_rail'
            when status = 'submitted' and status_changed_at < current_timestamp - interval '72 hours'
                then 'unanswered'
        end as break_type
    from {{ ref('int_rail_records') }} as records
)

select
    break_type,
    payout_number as entity,
    seller_id,
    payout_window,
    currency,
    case when break_type = 'other_amount' and payment_count = 0 then rail_amount else paid_by_rail end
        as expected,
    case when break_type in ('late_completion', 'paid_by_rail_alone') then 0 else amount_known end as actual,
    greatest(status_changed_at, rail_updated_at) as detected_at,
    case break_type
        when 'paid_twice' then 'duplicate'
        when 'other_amount' then 'amount'
        when 'unknown_to_rail' then 'missing'
        when 'unanswered' then 'in_flight'
        else 'outcome'
    end as category,
    case
        when break_type in ('paid_twice', 'undecided', 'late_completion', 'other_amount') then 'finance'
        else 'payouts'
    end as owner
from judged
where break_type is not null
union all
-- The rail has something in our batch that we never sent it.
select
    'unknown_to_us' as break_type,
    concat(batches.batch_id, ':', foreign_items.payout_number) as entity,
    null as seller_id,
    batches.payout_window,
    null as currency,
    foreign_items.amount as expected,
    0 as actual,
    coalesce(foreign_items.rail_updated_at, batches.approved_at) as detected_at,
    'missing' as category,
    'payouts' as owner
from {{ ref('int_reconciled_windows') }} as windows
inner join {{ source('payouts', 'batches') }} as batches on windows.payout_window = batches.payout_window
-- Read batch by batch: a join might read all of history.
cross join lateral (
    select states.*
    from {{ source('payouts', 'rail_states') }} as states
    left join {{ source('payouts', 'batch_items') }} as items
        on states.batch_id = items.batch_id and states.payout_number = items.payout_number
    left join {{ source('payouts', 'payouts') }} as payouts on items.payout_number = payouts.payout_number
    where
        states.batch_id = batches.batch_id
        and (items.batch_id is null or payouts.rail = 'MANUAL')
        and states.status in ('processing', 'completed')
    offset 0
) as foreign_items

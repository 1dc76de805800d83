-- What of his debts a seller has worked off is what his balance says: after each window as much of them is
-- unsettled as he is below zero, and no younger one is settled before an older one is. A credit is settled by
-- the window that it enters. So `settled` has a date that can be shown to the seller: a row here tells him
-- that he still owes what he has paid, or that he is done when he is not.
with

lines as (
    select
        adjustments.adjustment_number,
        adjustments.status,
        adjustments.applied_amount,
        frozen_lines.payout_window as entered_in,
        frozen_lines.seller_id,
        frozen_lines.currency,
        frozen_lines.adjustments as amount
    from {{ source('payouts', 'adjustments') }} as adjustments
    -- Looked up one by one: a join might read all of history.
    inner join lateral (
        select * from {{ source('payouts', 'frozen_lines') }} as frozen_lines
        where frozen_lines.line_id = 'adjustment:' || adjustments.adjustment_number
        limit 1
    ) as frozen_lines on true
),

-- Each debt in each window from the one that it entered, with what was settled of it before and after.
steps as (
    select
        lines.*,
        windows.payout_window,
        windows.run_id,
        coalesce(sum(allocations.amount) filter (where allocations.payout_window < windows.payout_window), 0)
            as settled_before,
        coalesce(sum(allocations.amount) filter (where allocations.payout_window <= windows.payout_window), 0)
            as settled
    from lines
    inner join {{ source('payouts', 'frozen_windows') }} as windows
        on lines.entered_in <= windows.payout_window and windows.payout_window >= {{ first_audited_window() }}
    left join {{ source('payouts', 'adjustment_allocations') }} as allocations
        on lines.adjustment_number = allocations.adjustment_number
    where lines.amount < 0
    group by
        lines.adjustment_number, lines.status, lines.applied_amount, lines.entered_in, lines.seller_id,
        lines.currency, lines.amount, windows.payout_window, windows.run_id
),

sellers as (
    select
        seller_id,
        currency,
        payout_window,
        run_id,
        sum(-amount - settled_before) as owed_before,
        sum(-amount - settled) as owed,
        min(case when -amount > settled then adjustment_number end) as oldest_unsettled,
        max(case when settled > settled_before then adjustment_number end) as youngest_touched
    from steps
    group by seller_id, currency, payout_window, run_id
),

judged as (
    select
        sellers.*,
        -- Whoever has no row in the last window of a night has nothing, and owes nothing.
        case
            when frozen_rows.seller_id is not null
                then greatest(0, -(frozen_rows.payable + frozen_rows.carry_out))
            when newer.payout_window is null then 0
        end as below_zero
    from sellers
    left join {{ source('payouts', 'frozen_rows') }} as frozen_rows
        on
            sellers.payout_window = frozen_rows.payout_window
            and sellers.seller_id = frozen_rows.seller_id
            and sellers.currency = frozen_rows.currency
    left join {{ source('payouts', 'frozen_windows') }} as newer
        on sellers.run_id = newer.run_id and sellers.payout_window + 7 = newer.payout_window
    where sellers.owed_before > 0 or sellers.youngest_touched is not null
)

select
    seller_id,
    currency,
    payout_window,
    owed,
    'unsettled otherwise than below zero' as astray
from judged
where owed != least(owed_before, below_zero) or owed > owed_before
union all
select
    seller_id,
    currency,
    payout_window,
    owed,
    'younger one first' as astray
from judged
where youngest_touched > oldest_unsettled
union all
select
    lines.seller_id,
    lines.currency,
    lines.entered_in as payout_window,
    abs(lines.amount) - coalesce(settled.amount, 0) as owed,
    'not as its status says' as astray
from lines
left join lateral (
    select
        sum(allocations.amount) as amount,
        min(allocations.payout_window) as first_window
    from {{ source('payouts', 'adjustment_allocations') }} as allocations
    where allocations.adjustment_number = lines.adjustment_number
) as settled on true
where
    coalesce(settled.amount, 0) > abs(lines.amount)
    or (lines.status = 'settled') != (coalesce(settled.amount, 0) = abs(lines.amount))
    or settled.first_window < lines.entered_in
    or (
        lines.amount > 0
        and (settled.amount, settled.first_window) is distinct from (lines.amount, lines.entered_in)
    )
union all
select
    adjustments.applied_to as seller_id,
    adjustments.currency,
    allocations.payout_window,
    allocations.amount as owed,
    'nothing that was applied' as astray
from {{ source('payouts', 'adjustment_allocations') }} as allocations
inner join {{ source('payouts', 'adjustments') }} as adjustments
    on allocations.adjustment_number = adjustments.adjustment_number
left join lines on allocations.adjustment_number = lines.adjustment_number
where lines.adjustment_number is null

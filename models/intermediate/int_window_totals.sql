-- The windows that are not frozen yet: a few, however long the history is.
with

lines as (
    select
        seller_id,
        payout_window,
        currency,
        gross,
        fees,
        refunds,
        disputes,
        0 as adjustments,
        kind,
        payout_window > home_window as is_late
    from {{ ref('int_order_events') }}
    where
        unsettled_reason is null
        and payout_window >= {{ first_unfrozen_window() }}
    union all
    select
        seller_id,
        payout_window,
        currency,
        0 as gross,
        0 as fees,
        0 as refunds,
        0 as disputes,
        adjustments,
        'adjustment' as kind,
        false as is_late
    from {{ ref('int_adjustment_lines') }}
    where payout_window >= {{ first_unfrozen_window() }}
)

select
    seller_id,
    payout_window,
    currency,
    sum(gross) as gross,
    sum(fees) as fees,
    sum(refunds) as refunds,
    sum(disputes) as disputes,
    {{ money('sum(adjustments)') }} as adjustments,
    count(case when kind = 'sale' then 1 end) as order_count,
    count(case when is_late then 1 end) as late_line_count
from lines
group by seller_id, payout_window, currency

-- The windows that are not frozen yet: a few, however long the history is.
with

lines as (
    select * from {{ ref('int_order_events') }}
    where
        unsettled_reason is null
        and payout_window >= {{ first_unfrozen_window() }}
)

select
    seller_id,
    payout_window,
    currency,
    sum(gross) as gross,
    sum(fees) as fees,
    sum(refunds) as refunds,
    sum(disputes) as disputes,
    cast(0 as numeric(18, 2)) as adjustments,
    count(case when kind = 'sale' then 1 end) as order_count,
    count(case when payout_window > home_window then 1 end) as late_line_count
from lines
group by seller_id, payout_window, currency

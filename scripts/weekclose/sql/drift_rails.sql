-- Which rails a window's sellers are on: one row per window, currency and rail.
with

rows_to_compare as (
    select
        payout_window,
        currency,
        rail
    from payouts.frozen_rows
    where
        payout_window = any(%(closed)s)
        and (order_count > 0 or gross != 0 or fees != 0 or refunds != 0 or disputes != 0)
    union all
    select
        payout_window,
        currency,
        rail
    from intermediate.int_window_rows
    where
        payout_window = any(%(due)s)
        and (order_count > 0 or gross != 0 or fees != 0 or refunds != 0 or disputes != 0)
)

select
    payout_window,
    currency,
    coalesce(rail, 'none') as rail,
    count(*) as sellers
from rows_to_compare
group by payout_window, currency, coalesce(rail, 'none')
order by payout_window, currency, rail

-- What a window looks like: one row per window and currency, over the sellers who had a line in it.
with

rows_to_compare as (
    select
        payout_window,
        currency,
        gross,
        refunds,
        net,
        disputes,
        payable,
        order_count > 0 or gross != 0 or fees != 0 or refunds != 0 or disputes != 0 as has_lines
    from payouts.frozen_rows
    where payout_window = any(%(closed)s)
    union all
    select
        payout_window,
        currency,
        gross,
        refunds,
        net,
        disputes,
        payable,
        order_count > 0 or gross != 0 or fees != 0 or refunds != 0 or disputes != 0 as has_lines
    from intermediate.int_window_rows
    where payout_window = any(%(due)s)
)

-- Exact decimals throughout: a float's average would depend on the order the rows come in.
select
    payout_window,
    currency,
    count(*) filter (where has_lines) as sellers,
    count(*) filter (where refunds != 0) as refunded_sellers,
    count(*) filter (where disputes != 0) as disputed_sellers,
    sum(gross) as gross,
    sum(refunds) as refunds,
    sum(disputes) as disputes,
    sum(payable) as payable,
    round(avg(net) filter (where has_lines), 2) as net_mean,
    round(stddev_samp(net) filter (where has_lines), 2) as net_spread,
    percentile_disc(0.5) within group (order by net) filter (where has_lines) as net_median,
    round(sum(refunds) / nullif(sum(gross), 0), 6) as refund_share,
    round(sum(disputes) / nullif(sum(gross), 0), 6) as dispute_share
from rows_to_compare
group by payout_window, currency
order by payout_window, currency

-- The first due row, if any, that is not the sum of its lines.
with

due as (select payout_window from intermediate.int_open_windows where is_due),

-- Window by window: a join would read the lines of all years.
lines as (
    select due_lines.*
    from due
    cross join lateral (
        select seller_id, payout_window, currency, gross, fees, refunds, disputes, 0 as adjustments
        from intermediate.int_order_events
        where payout_window = due.payout_window
        union all
        select seller_id, payout_window, currency, 0, 0, 0, 0, adjustments
        from intermediate.int_adjustment_lines
        where payout_window = due.payout_window
        offset 0
    ) as due_lines
),

from_lines as (
    select
        seller_id,
        payout_window,
        currency,
        sum(gross - fees - refunds - disputes + adjustments) as cash,
        sum(gross) as gross,
        sum(fees) as fees,
        sum(refunds) as refunds,
        sum(adjustments) as adjustments
    from lines
    group by seller_id, payout_window, currency
),

from_rows as (
    select
        seller_id,
        payout_window,
        currency,
        net - disputes + adjustments as cash,
        gross,
        fees,
        refunds,
        adjustments
    from intermediate.int_window_rows
    where payout_window in (select due.payout_window from due)
)

select
    seller_id,
    payout_window,
    currency,
    coalesce(from_rows.cash, 0) as row_says,
    coalesce(from_lines.cash, 0) as lines_say
from from_rows
full outer join from_lines using (seller_id, payout_window, currency)
where
    coalesce(from_rows.cash, 0) <> coalesce(from_lines.cash, 0)
    or coalesce(from_rows.gross, 0) <> coalesce(from_lines.gross, 0)
    or coalesce(from_rows.fees, 0) <> coalesce(from_lines.fees, 0)
    or coalesce(from_rows.refunds, 0) <> coalesce(from_lines.refunds, 0)
    or coalesce(from_rows.adjustments, 0) <> coalesce(from_lines.adjustments, 0)
order by payout_window, seller_id, currency
limit 1

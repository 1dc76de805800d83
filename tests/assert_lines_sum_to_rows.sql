-- Every row of the view is the sum of its lines, whatever its age: history, frozen or open. Finance
-- approves the rows and answers a seller with the lines. A row here means that one of the two is wrong.
with

from_lines as (
    select
        seller_id,
        payout_window,
        currency,
        sum(gross) as gross,
        sum(fees) as fees,
        sum(refunds) as refunds,
        sum(disputes) as disputes,
        sum(adjustments) as adjustments,
        count(case when kind = 'sale' then 1 end) as order_count
    from {{ ref('settlement_lines') }}
    where payout_window >= {{ first_audited_window() }}
    group by seller_id, payout_window, currency
),

from_rows as (
    select
        seller_id,
        payout_window,
        currency,
        sum(gross) as gross,
        sum(fees) as fees,
        sum(refunds) as refunds,
        sum(disputes) as disputes,
        sum(adjustments) as adjustments,
        sum(order_count) as order_count
    from {{ ref('settlement_windows') }}
    where payout_window >= {{ first_audited_window() }}
    group by seller_id, payout_window, currency
)

select
    seller_id,
    payout_window,
    currency
from from_lines
full outer join from_rows using (seller_id, payout_window, currency)
where
    coalesce(from_lines.gross, 0) != coalesce(from_rows.gross, 0)
    or coalesce(from_lines.fees, 0) != coalesce(from_rows.fees, 0)
    or coalesce(from_lines.refunds, 0) != coalesce(from_rows.refunds, 0)
    or coalesce(from_lines.disputes, 0) != coalesce(from_rows.disputes, 0)
    or coalesce(from_lines.adjustments, 0) != coalesce(from_rows.adjustments, 0)
    or coalesce(from_lines.order_count, 0) != coalesce(from_rows.order_count, 0)
    or (from_lines.order_count is not null and from_rows.order_count is null)

-- All that happens to an order happens to the seller and in the currency of its sale, and a frozen claim is
-- released where it was booked. Refunds and disputes name neither: they are taken from there. A row here
-- charges one seller for another's order, or adds euros to dollars.
with

lines as (
    select
        lines.*,
        claims.line_id is not null as releases_a_frozen_claim,
        claims.seller_id as claimed_of,
        claims.currency as claimed_in,
        claims.order_window as claimed_window
    from {{ ref('int_order_events') }} as lines
    -- Looked up one by one: a join might read all of history.
    left join lateral (
        select * from {{ source('payouts', 'frozen_lines') }} as frozen_lines
        where
            lines.kind = 'dispute_closed'
            and frozen_lines.line_id = 'dispute_opened:' || lines.source_id
        limit 1
    ) as claims on true
    where lines.payout_window >= {{ first_unfrozen_window() }} and lines.kind != 'sale'
),

grounded as (
    select
        lines.line_id,
        lines.seller_id,
        lines.currency,
        lines.order_window,
        case when lines.releases_a_frozen_claim then lines.claimed_of else sales.seller_id end as due_of,
        case when lines.releases_a_frozen_claim then lines.claimed_in else sales.currency end as due_in,
        case
            when lines.releases_a_frozen_claim then lines.claimed_window else sales.order_window
        end as due_window
    from lines
    left join lateral (
        select * from {{ ref('int_order_events') }} as events
        where events.line_id = 'sale:' || lines.order_id and events.unsettled_reason is null
        limit 1
    ) as sales on true
)

select
    line_id,
    seller_id,
    currency,
    due_of,
    due_in
from grounded
where (seller_id, currency, order_window) is distinct from (due_of, due_in, due_window)

-- All that happens to an order happens to the seller and in the currency of its sale. Refunds and disputes
-- name neither: they are taken from the sale. A row here charges one seller for another's order, or adds
-- euros to dollars.
select
    lines.line_id,
    lines.seller_id,
    lines.currency,
    sales.seller_id as sale_of,
    sales.currency as sale_in
from {{ ref('int_order_events') }} as lines
left join {{ ref('int_order_events') }} as sales
    on sales.line_id = 'sale:' || lines.order_id and sales.unsettled_reason is null
where
    lines.payout_window >= {{ first_unfrozen_window() }}
    and lines.kind != 'sale'
    and (
        sales.line_id is null
        or lines.seller_id != sales.seller_id
        or lines.currency != sales.currency
        or lines.order_window != sales.order_window
    )

-- A frozen event keeps the facts it was frozen with, and carries what its raw row says now beside them.
with

sales as (select * from {{ ref('int_order_sales') }}),

raw_events as (select * from {{ ref('int_order_raw_events') }}),

frozen as (
    select frozen_lines.*
    from sales
    {{ looked_up(
        'inner', source('payouts', 'frozen_lines'), 'frozen_lines', 'frozen_lines.order_id = sales.order_id'
    ) }}
),

events as (
    select
        coalesce(frozen.line_id, raw_events.kind || ':' || raw_events.source_id) as line_id,
        coalesce(frozen.order_id, raw_events.order_id) as order_id,
        coalesce(frozen.kind, raw_events.kind) as kind,
        coalesce(frozen.source_id, raw_events.source_id) as source_id,
        coalesce(frozen.seller_id, raw_events.seller_id) as seller_id,
        coalesce(frozen.currency, raw_events.currency) as currency,
        coalesce(frozen.event_at, raw_events.event_at) as event_at,
        coalesce(frozen.order_window, raw_events.order_window) as order_window,
        frozen.home_window as frozen_home_window,
        frozen.payout_window as frozen_payout_window,
        frozen.disputes as frozen_disputes,
        coalesce(frozen.gross, raw_events.gross) as gross,
        coalesce(frozen.fees, raw_events.fees) as fees,
        coalesce(frozen.refunds, raw_events.refunds) as refunds,
        sales.gross as order_gross,
        sales.gross - sales.fees as order_cash,
        coalesce(frozen.source_amount, raw_events.amount) as source_amount,
        raw_events.amount as raw_amount,
        raw_events.control_amount,
        case when frozen.line_id is null then raw_events.unsettled_reason end as unsettled_reason,
        raw_events.loaded_at
    from raw_events
    full outer join frozen on raw_events.kind = frozen.kind and raw_events.source_id = frozen.source_id
    inner join sales on sales.order_id = coalesce(frozen.order_id, raw_events.order_id)
)

select
    line_id,
    order_id,
    kind,
    source_id,
    seller_id,
    currency,
    event_at,
    order_window,
    frozen_home_window,
    frozen_payout_window,
    frozen_disputes,
    gross,
    fees,
    refunds,
    order_gross,
    order_cash,
    source_amount,
    raw_amount,
    control_amount,
    unsettled_reason,
    loaded_at
from events

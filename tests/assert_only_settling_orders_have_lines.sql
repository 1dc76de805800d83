-- An order that is confirmed or fulfilled, captured and bound to a known seller settles, with all that
-- happens to it; any other settles nothing, unless its sale is frozen, or a claim that is released. A row
-- here is either a seller who waits for his money for no reason, or money paid for an order that is none.
with

build as (select started_at from {{ ref('int_builds') }} order by started_at desc limit 1),

events as (
    select
        events.*,
        coalesce(sales.line_id, claims.line_id) is not null as stands_on_a_frozen_line
    from {{ ref('int_order_events') }} as events
    left join {{ source('payouts', 'frozen_lines') }} as sales
        on sales.line_id = 'sale:' || events.order_id
    left join {{ source('payouts', 'frozen_lines') }} as claims
        on events.kind = 'dispute_closed' and claims.line_id = 'dispute_opened:' || events.source_id
    where
        events.payout_window >= {{ first_unfrozen_window() }}
        or (events.unsettled_reason is not null and events.loaded_at >= {{ audited_since() }})
),

orders as (
    select * from {{ source('raw', 'orders') }}
    where captured_at <= {{ as_of() }} and loaded_at < (select build.started_at from build)
),

sellers as (
    select * from {{ source('raw', 'sellers') }}
    where loaded_at < (select build.started_at from build)
)

select
    events.line_id,
    events.unsettled_reason,
    orders.status
from events
left join orders on events.order_id = orders.order_id
left join sellers on orders.seller_id = sellers.seller_id
where
    (events.unsettled_reason is null)
    != (
        events.stands_on_a_frozen_line
        or coalesce(orders.status in ('confirmed', 'fulfilled') and sellers.seller_id is not null, false)
    )

-- An order that is confirmed or fulfilled, captured and bound to a known seller settles, with all that
-- happens to it; any other settles nothing, unless its sale is frozen, or a claim that is released. A row
-- here is either a seller who waits for his money for no reason, or money paid for an order that is none.
with

build as (select started_at from {{ ref('int_builds') }} order by started_at desc limit 1),

events as (
    select * from {{ ref('int_order_events') }}
    where
        payout_window >= {{ first_unfrozen_window() }}
        or (unsettled_reason is not null and loaded_at >= {{ audited_since() }})
)

select
    events.line_id,
    events.unsettled_reason,
    orders.status
from events
-- Looked up one by one: a join might read all of history.
left join lateral (
    select * from {{ source('raw', 'orders') }} as orders
    where orders.order_id = events.order_id
    limit 1
) as orders on true
left join lateral (
    select frozen_lines.line_id
    from {{ source('payouts', 'frozen_lines') }} as frozen_lines
    where frozen_lines.line_id = 'sale:' || events.order_id
    limit 1
) as frozen on true
left join lateral (
    select frozen_lines.line_id
    from {{ source('payouts', 'frozen_lines') }} as frozen_lines
    where events.kind = 'dispute_closed' and frozen_lines.line_id = 'dispute_opened:' || events.source_id
    limit 1
) as frozen_claim on true
left join {{ source('raw', 'sellers') }} as sellers on orders.seller_id = sellers.seller_id
where
    (events.unsettled_reason is null)
    != (
        coalesce(frozen.line_id, frozen_claim.line_id) is not null
        or coalesce(
            orders.status in ('confirmed', 'fulfilled')
            and orders.captured_at <= {{ as_of() }}
            and sellers.seller_id is not null,
            false
        )
    )
    -- What arrived while the build was running is the next one's.
    and coalesce(greatest(orders.loaded_at, sellers.loaded_at) < (select build.started_at from build), true)

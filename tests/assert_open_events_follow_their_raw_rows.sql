-- What is not frozen says what its raw row says today: it changes, moves and disappears with it. The
-- freeze copies these lines: a row here would be committed with an amount, a time or a seller that the
-- platform has corrected, and the correction would have been seen as no difference.
with

build as (select started_at from {{ ref('int_builds') }} order by started_at desc limit 1),

events as (
    select * from {{ ref('int_order_events') }}
    where
        payout_window >= {{ first_unfrozen_window() }}
        or (payout_window < {{ settlement_start() }} and event_at >= {{ audited_since() }})
        or (unsettled_reason is not null and loaded_at >= {{ audited_since() }})
),

-- Raw rows are looked up one by one: a join might read all of history.
compared as (
    select
        events.line_id,
        orders.loaded_at,
        case
            -- Only the second source knows the order: it has no raw row, or none yet.
            when events.unsettled_reason = 'unknown_order'
                then coalesce(orders.captured_at > {{ as_of() }}, orders.order_id is null)
            else
                orders.order_id is not null
                and coalesce(orders.captured_at <= {{ as_of() }}, true)
                and (events.event_at is not distinct from orders.captured_at)
                and (events.seller_id is not distinct from nullif(orders.seller_id, ''))
                and events.currency = orders.currency
                and (
                    events.unsettled_reason is not null
                    or (events.gross = orders.gross_amount and events.fees = orders.fee_amount)
                )
        end as is_faithful
    from events
    left join lateral (
        select * from {{ source('raw', 'orders') }} as orders
        where orders.order_id = events.source_id
        limit 1
    ) as orders on true
    where events.kind = 'sale'
    union all
    select
        events.line_id,
        refunds.loaded_at,
        refunds.refund_id is not null
        and events.order_id = refunds.order_id
        and refunds.refunded_at <= {{ as_of() }}
        and events.event_at = refunds.refunded_at
        and (
            events.unsettled_reason is not null
            or (events.refunds = refunds.amount and events.fees = -refunds.fee_refund_amount)
        ) as is_faithful
    from events
    left join lateral (
        select * from {{ source('raw', 'refunds') }} as refunds
        where refunds.refund_id = events.source_id
        limit 1
    ) as refunds on true
    where events.kind = 'refund'
    union all
    select
        events.line_id,
        disputes.loaded_at,
        disputes.dispute_id is not null
        and events.order_id = disputes.order_id
        and disputes.opened_at <= {{ as_of() }}
        and events.event_at = disputes.opened_at
        and events.source_amount = -disputes.amount as is_faithful
    from events
    left join lateral (
        select * from {{ source('raw', 'disputes') }} as disputes
        where disputes.dispute_id = events.source_id
        limit 1
    ) as disputes on true
    where events.kind = 'dispute_opened'
    union all
    select
        events.line_id,
        disputes.loaded_at,
        disputes.dispute_id is not null
        and disputes.status in ('won', 'withdrawn')
        and disputes.closed_at <= {{ as_of() }}
        and events.event_at = disputes.closed_at as is_faithful
    from events
    left join lateral (
        select * from {{ source('raw', 'disputes') }} as disputes
        where disputes.dispute_id = events.source_id
        limit 1
    ) as disputes on true
    where events.kind = 'dispute_closed'
)

select line_id
from compared
where
    not is_faithful
    -- What arrived while the build was running is the next one's.
    and coalesce(loaded_at < (select build.started_at from build), true)

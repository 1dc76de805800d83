{{
    config(
        materialized='incremental',
        incremental_strategy='replace_touched_orders',
        full_refresh=false,
        post_hook='analyze {{ this }}',
    )
}}

-- What was disputed of orders whose money was committed already, and what the seller was debited for it.
with

touched as (select * from {{ ref('int_touched_orders') }}),

-- Looked up one by one, as a join might read all of history; and not by looked_up, which asks what the build
-- began from: that this one was made is noted by now.
claims as (
    select
        opened.order_id,
        opened.seller_id,
        opened.currency,
        opened.order_window,
        opened.event_at as opened_at,
        -opened.source_amount as amount,
        closed.line_id is not null as is_released,
        -- What a freeze has released stays released; a verdict that is revised later is a break.
        disputes.status = 'open' and closed.line_id is null as is_undecided,
        opened.payout_window > sales.payout_window
        and opened.payout_window >= {{ settlement_start() }} as is_committed
    from touched
    inner join lateral (
        select * from {{ ref('int_order_events') }} as events
        where
            events.order_id = touched.order_id
            and events.kind = 'dispute_opened'
            and events.unsettled_reason is null
        offset 0
    ) as opened on true
    inner join lateral (
        select * from {{ ref('stg_disputes') }} as stated
        where stated.dispute_id = opened.source_id
        offset 0
    ) as disputes on true
    inner join lateral (
        select events.payout_window from {{ ref('int_order_events') }} as events
        where events.line_id = concat('sale:', opened.order_id)
    ) as sales on true
    left join lateral (
        select events.line_id from {{ ref('int_order_events') }} as events
        where
            events.line_id = concat('dispute_closed:', disputes.dispute_id)
            and events.unsettled_reason is null
        limit 1
    ) as closed on true
),

orders as (
    select
        order_id,
        seller_id,
        currency,
        order_window,
        count(case when is_committed then 1 end) as dispute_count,
        sum(case when is_committed then amount else 0 end) as disputed,
        sum(case when is_committed and is_released then amount else 0 end) as released,
        sum(case when is_committed and is_undecided then amount else 0 end) as undecided,
        sum(case when not is_committed and not is_released then amount else 0 end) as claimed_before,
        max(case when is_committed then opened_at end) as last_opened_at
    from claims
    group by order_id, seller_id, currency, order_window
    having count(case when is_committed then 1 end) > 0
)

select
    orders.order_id,
    orders.seller_id,
    orders.currency,
    orders.order_window,
    orders.dispute_count,
    {{ money('orders.disputed') }} as disputed,
    {{ money('orders.released') }} as released,
    {{ money('orders.undecided') }} as undecided,
    {{ money('orders.disputed - orders.released') }} as committed,
    -- What was claimed while the money was not committed has the first call on what is clawed back.
    {{ money('
        least(orders.disputed - orders.released, greatest(0, clawed.amount - orders.claimed_before))
    ') }} as clawed_back,
    orders.last_opened_at
from orders
inner join lateral (
    select coalesce(sum(events.disputes), 0) as amount
    from {{ ref('int_order_events') }} as events
    where
        events.order_id = orders.order_id
        and events.seller_id = orders.seller_id
        and events.currency = orders.currency
        and events.order_window = orders.order_window
        and events.unsettled_reason is null
) as clawed on true

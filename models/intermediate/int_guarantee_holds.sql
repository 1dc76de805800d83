-- What a seller still has of an order in the windows that are frozen or due, while its guarantee runs.
with

orders as (
    select
        order_id,
        guarantee_ends_at
    from {{ ref('stg_orders') }}
    where guarantee_ends_at > {{ as_of() }}
),

due as (select payout_window from {{ ref('int_open_windows') }} where is_due),

events as (
    select * from {{ ref('int_order_events') }}
    where unsettled_reason is null and payout_window >= {{ settlement_start() }}
)

select
    events.order_id,
    events.seller_id,
    events.currency,
    orders.guarantee_ends_at as release_at,
    {{ money('sum(events.gross - events.fees - events.refunds - events.disputes)') }} as amount
from orders
inner join events on orders.order_id = events.order_id
left join due on events.payout_window = due.payout_window
where events.payout_window < {{ first_unfrozen_window() }} or due.payout_window is not null
group by events.order_id, events.seller_id, events.currency, orders.guarantee_ends_at
having sum(events.gross - events.fees - events.refunds - events.disputes) > 0

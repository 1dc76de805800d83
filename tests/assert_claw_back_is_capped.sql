-- What is clawed back of an order is what is claimed in open disputes, and never more than the seller
-- still has of it. A row here debits a seller twice for one order (by refund and by dispute), or leaves a
-- claim unsecured.
with

moved as (
    select order_id from {{ ref('int_order_events') }}
    where payout_window >= {{ first_unfrozen_window() }} and kind != 'sale'
    group by order_id
),

-- Added up one by one: a join might read all of history.
orders as (
    select
        moved.order_id,
        summed.remaining,
        summed.claimed,
        summed.clawed_back
    from moved
    inner join lateral (
        select
            sum(lines.gross - lines.fees - lines.refunds) as remaining,
            -sum(case when lines.kind like 'dispute%' then lines.source_amount else 0 end) as claimed,
            sum(lines.disputes) as clawed_back
        from {{ ref('int_order_events') }} as lines
        where lines.order_id = moved.order_id and lines.unsettled_reason is null
    ) as summed on true
)

select
    order_id,
    remaining,
    claimed,
    clawed_back
from orders
where clawed_back != least(claimed, greatest(0, remaining))

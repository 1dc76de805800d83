-- What each line of the touched orders claws back or releases, so that the seller is never debited twice.
-- What settles nothing moves nothing.
with

timeline as (select * from {{ ref('int_order_timeline') }}),

-- After every event: what of the claims is open, and what the seller still has of the order. Windows come
-- before times, because an event that arrived late goes on from what was frozen.
running as (
    select
        timeline.*,
        order_cash + sum(case when kind = 'refund' then source_amount else 0 end) over so_far as remaining,
        -sum(case when kind in ('dispute_opened', 'dispute_closed') then source_amount else 0 end)
            over so_far as claimed,
        sum(refunds) over so_far as order_refunded,
        row_number() over so_far as position_in_order
    from timeline
    where unsettled_reason is null
    window so_far as (
        partition by order_id
        order by
            payout_window,
            event_at,
            case kind when 'sale' then 1 when 'refund' then 2 when 'dispute_opened' then 3 else 4 end,
            source_id collate "C"
        rows between unbounded preceding and current row
    )
),

targeted as (
    select
        running.*,
        least(claimed, greatest(0, remaining)) as target,
        -- An open line ends where the rule says; frozen ones after it move on by what was booked.
        sum(case when is_frozen then 0 else 1 end) over so_far as open_lines
    from running
    window so_far as (
        partition by order_id order by position_in_order rows between unbounded preceding and current row
    )
),

booked as (
    select
        targeted.*,
        coalesce(max(case when not is_frozen then target end) over since_open, 0)
        + sum(coalesce(frozen_disputes, 0)) over since_open as clawed_back
    from targeted
    window since_open as (
        partition by order_id, open_lines
        order by position_in_order
        rows between unbounded preceding and current row
    )
),

lines as (
    select
        booked.*,
        coalesce(
            frozen_disputes,
            clawed_back
            - coalesce(lag(clawed_back) over (partition by order_id order by position_in_order), 0)
        ) as disputes
    from booked
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
    home_window,
    payout_window,
    is_frozen,
    gross,
    fees,
    refunds,
    disputes,
    order_gross,
    order_refunded,
    source_amount,
    raw_amount,
    control_amount,
    clawed_back,
    unsettled_reason,
    loaded_at
from lines
union all
select
    line_id,
    order_id,
    kind,
    source_id,
    seller_id,
    currency,
    event_at,
    order_window,
    null as home_window,
    null as payout_window,
    false as is_frozen,
    0 as gross,
    0 as fees,
    0 as refunds,
    0 as disputes,
    order_gross,
    null as order_refunded,
    source_amount,
    raw_amount,
    control_amount,
    0 as clawed_back,
    unsettled_reason,
    loaded_at
from timeline
where unsettled_reason is not null

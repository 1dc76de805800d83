-- Which window each event of the touched orders belongs to.
with

happenings as (select * from {{ ref('int_order_happenings') }}),

at_home as (
    select
        happenings.*,
        coalesce(
            frozen_home_window,
            case
                when kind = 'sale' then order_window
                else greatest(
                    order_window,
                    {{ payout_window_of('(' ~ local_date('event_at') ~ ' - ' ~ var('reserve_days') ~ ')') }}
                )
            end
        ) as home_window
    from happenings
),

placed as (
    select
        at_home.*,
        case
            when unsettled_reason is not null then null
            when frozen_payout_window is not null then frozen_payout_window
            -- History stays where it happened; what comes too late goes to the first window still open.
            when home_window < {{ settlement_start() }} then home_window
            else greatest(home_window, {{ first_unfrozen_window() }})
        end as payout_window
    from at_home
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
    frozen_payout_window is not null as is_frozen,
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
from placed

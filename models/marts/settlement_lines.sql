select
    events.line_id,
    events.seller_id,
    events.currency,
    events.order_id,
    events.kind,
    events.event_at,
    events.payout_window,
    events.gross,
    events.fees,
    events.refunds,
    events.disputes,
    {{ money(0) }} as adjustments,
    events.payout_window > events.home_window as is_late,
    frozen_windows.payout_window is not null as is_frozen
from {{ ref('int_order_events') }} as events
left join {{ source('payouts', 'frozen_windows') }} as frozen_windows
    on events.payout_window = frozen_windows.payout_window
where events.unsettled_reason is null
union all
select
    line_id,
    seller_id,
    currency,
    order_id,
    kind,
    event_at,
    payout_window,
    gross,
    fees,
    refunds,
    disputes,
    adjustments,
    false as is_late,
    true as is_frozen
from {{ source('payouts', 'frozen_lines') }}
where kind = 'adjustment'
union all
select
    line_id,
    seller_id,
    currency,
    null as order_id,
    'adjustment' as kind,
    event_at,
    payout_window,
    {{ money(0) }} as gross,
    {{ money(0) }} as fees,
    {{ money(0) }} as refunds,
    {{ money(0) }} as disputes,
    adjustments,
    false as is_late,
    false as is_frozen
from {{ ref('int_adjustment_lines') }}
where payout_window >= {{ first_unfrozen_window() }}

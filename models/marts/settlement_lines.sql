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

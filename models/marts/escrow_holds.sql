select
    hold_number,
    seller_id,
    currency,
    amount,
    reason,
    note,
    order_id,
    payout_number,
    release_at,
    status,
    coalesce(status = 'active' and release_at <= current_timestamp, false) as is_overdue,
    held_by,
    held_at,
    ended_by,
    ended_at,
    ended_because
from {{ source('payouts', 'escrow_holds') }}
union all
select
    concat('guarantee:', order_id) as hold_number,
    seller_id,
    currency,
    amount,
    'guarantee_period' as reason,
    '' as note,
    order_id,
    null as payout_number,
    release_at,
    'active' as status,
    release_at <= current_timestamp as is_overdue,
    null as held_by,
    null as held_at,
    null as ended_by,
    null as ended_at,
    null as ended_because
from {{ ref('int_guarantee_holds') }}

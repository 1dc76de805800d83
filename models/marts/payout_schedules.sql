with

schedules as (
    select
        schedules.*,
        requests.request_number,
        case
            when schedules.status = 'processing' then schedules.next_try_at
            when schedules.status = 'pending' then coalesce(schedules.due_at, orders.guarantee_ends_at)
            else schedules.due_at
        end as its_time
    from {{ source('payouts', 'payout_schedules') }} as schedules
    left join {{ source('payouts', 'payout_requests') }} as requests
        on schedules.schedule_number = requests.schedule_number
    left join {{ ref('stg_orders') }} as orders on schedules.order_id = orders.order_id
)

select
    schedule_number,
    seller_id,
    currency,
    amount,
    trigger_event,
    note,
    order_id,
    its_time as due_at,
    coalesce(status in ('pending', 'processing') and its_time <= current_timestamp, false) as is_due,
    status,
    retry_count,
    last_error,
    next_try_at,
    request_number,
    created_by,
    created_at,
    triggered_by,
    triggered_at,
    ended_by,
    ended_at,
    cancel_reason
from schedules

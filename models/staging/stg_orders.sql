select
    order_id,
    nullif(seller_id, '') as seller_id,
    currency,
    {{ money('gross_amount') }} as gross_amount,
    {{ money('fee_amount') }} as fee_amount,
    status,
    captured_at,
    {{ payout_window_of(local_date('captured_at')) }} as order_window,
    loaded_at,
    guarantee_ends_at
from {{ source('raw', 'orders') }}
-- What lies after the run's as_of does not exist for it.
where captured_at is null or captured_at <= {{ as_of() }}

select
    refund_id,
    order_id,
    {{ money('amount') }} as amount,
    {{ money('fee_refund_amount') }} as fee_refund_amount,
    refunded_at,
    loaded_at
from {{ source('raw', 'refunds') }}
where refunded_at <= {{ as_of() }}

select
    order_id,
    {{ money('amount') }} as amount,
    source,
    loaded_at
from {{ source('raw', 'control_totals') }}

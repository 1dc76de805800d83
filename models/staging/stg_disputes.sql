select
    dispute_id,
    order_id,
    {{ money('amount') }} as amount,
    reason,
    -- A dispute that is closed later is still open for this run.
    case when closed_at > {{ as_of() }} then 'open' else status end as status,
    opened_at,
    case when closed_at <= {{ as_of() }} then closed_at end as closed_at,
    loaded_at
from {{ source('raw', 'disputes') }}
where opened_at <= {{ as_of() }}

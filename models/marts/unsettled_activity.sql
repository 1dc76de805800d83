select
    case kind when 'sale' then 'order' when 'dispute_opened' then 'dispute' else kind end as kind,
    source_id,
    order_id,
    seller_id,
    unsettled_reason as reason
from {{ ref('int_order_events') }}
where unsettled_reason is not null

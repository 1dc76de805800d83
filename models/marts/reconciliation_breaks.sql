with

breaks as (
    select * from {{ ref('int_source_breaks') }}
    union all
    select * from {{ ref('int_book_breaks') }}
    union all
    select * from {{ ref('int_rail_breaks') }}
    union all
    select * from {{ ref('int_manual_breaks') }}
    union all
    select * from {{ ref('int_event_breaks') }}
)

-- Whatever amount a rail names, the list stays readable.
select
    break_type,
    entity,
    seller_id,
    payout_window,
    currency,
    {{ money('least(expected, 9999999999999999.99)') }} as expected,
    {{ money('actual') }} as actual,
    {{ money('actual - least(expected, 9999999999999999.99)') }} as difference,
    detected_at,
    category,
    owner,
    current_timestamp - detected_at as age
from breaks

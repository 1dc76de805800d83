-- What was settled against what the platform says by now, and against a second source.
with

differing as (select * from {{ ref('int_order_events') }} where has_break),

breaks as (
    -- A raw row that changed after its line was frozen: the line stays, the difference stands here.
    select
        'restatement' as break_type,
        line_id as entity,
        restated_amount as expected,
        source_amount as actual,
        differing.*
    from differing
    where restated_amount is not null
    union all
    select
        'control_total' as break_type,
        order_id as entity,
        control_amount as expected,
        coalesce(order_gross, 0) as actual,
        differing.*
    from differing
    where control_amount is not null
    union all
    select
        'refund_above_order' as break_type,
        line_id as entity,
        order_gross as expected,
        order_refunded as actual,
        differing.*
    from differing
    where order_refunded is not null
)

select
    break_type,
    entity,
    seller_id,
    payout_window,
    currency,
    expected,
    actual,
    loaded_at as detected_at,
    'source' as category,
    'finance' as owner
from breaks

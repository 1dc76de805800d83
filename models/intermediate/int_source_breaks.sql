-- What was settled against what the platform says by now, and against a second source.
with

differing as (select * from {{ ref('int_order_events') }} where has_break),

adjusted as (
    select
        source_id as line_id,
        sum(case direction when 'credit' then applied_amount else -applied_amount end) as amount,
        max(proposed_at) as adjusted_at
    from {{ source('payouts', 'adjustments') }}
    where source = 'restatement' and status != 'cancelled'
    group by source_id
),

restated as (
    select
        differing.*,
        coalesce(adjusted.amount, 0) as adjusted_amount,
        adjusted.adjusted_at
    from differing
    left join adjusted on differing.line_id = adjusted.line_id
    where differing.restated_amount is not null
    union all
    -- It was adjusted, and then the raw row changed back.
    select
        events.*,
        adjusted.amount as adjusted_amount,
        adjusted.adjusted_at
    from adjusted
    -- Looked up one by one: a join might read all of history.
    inner join lateral (
        select * from {{ ref('int_order_events') }} as order_events
        where order_events.line_id = adjusted.line_id
        limit 1
    ) as events on events.restated_amount is null
),

breaks as (
    -- A raw row that changed after its line was frozen: the line stays, what no adjustment has made up for
    -- stands here.
    select
        'restatement' as break_type,
        line_id as entity,
        coalesce(restated_amount, source_amount) as expected,
        source_amount + adjusted_amount as actual,
        seller_id,
        payout_window,
        currency,
        greatest(loaded_at, adjusted_at) as detected_at
    from restated
    where coalesce(restated_amount, source_amount) != source_amount + adjusted_amount
    union all
    select
        'control_total' as break_type,
        order_id as entity,
        control_amount as expected,
        coalesce(order_gross, 0) as actual,
        seller_id,
        payout_window,
        currency,
        loaded_at as detected_at
    from differing
    where control_amount is not null
    union all
    select
        'refund_above_order' as break_type,
        line_id as entity,
        order_gross as expected,
        order_refunded as actual,
        seller_id,
        payout_window,
        currency,
        loaded_at as detected_at
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
    detected_at,
    'source' as category,
    'finance' as owner
from breaks

-- What happened to a seller in the 30 and the 7 local days before the run's date, by the time it happened.
{%- set today = local_date(as_of()) %}
{%- set month_began = local_midnight(today ~ ' - 30') %}
{%- set week_began = local_midnight(today ~ ' - 7') %}

with

lines as (
    select * from {{ ref('int_order_events') }}
    where
        unsettled_reason is null
        and event_at >= {{ month_began }}
        and event_at < {{ local_midnight(today) }}
),

-- A dispute counts with its full claim, for the seller whose line it is, and even where its order settles
-- nothing.
disputes as (
    select
        events.seller_id,
        events.currency,
        disputes.amount,
        disputes.opened_at
    from {{ ref('stg_disputes') }} as disputes
    inner join {{ ref('int_order_events') }} as events
        on events.line_id = 'dispute_opened:' || disputes.dispute_id
    inner join {{ ref('stg_sellers') }} as sellers on events.seller_id = sellers.seller_id
    where
        disputes.status not in ('won', 'withdrawn')
        and disputes.opened_at >= {{ month_began }}
        and disputes.opened_at < {{ local_midnight(today) }}
),

happened as (
    select
        seller_id,
        currency,
        case when kind = 'sale' then 1 else 0 end as orders,
        case when kind = 'sale' and event_at >= {{ week_began }} then 1 else 0 end as orders_7d,
        0 as disputes,
        0 as disputes_7d,
        gross,
        case when event_at >= {{ week_began }} then gross else 0 end as gross_7d,
        case when kind = 'sale' then fees else 0 end as fees,
        refunds,
        0 as disputed
    from lines
    union all
    select
        seller_id,
        currency,
        0 as orders,
        0 as orders_7d,
        1 as disputes,
        case when opened_at >= {{ week_began }} then 1 else 0 end as disputes_7d,
        0 as gross,
        0 as gross_7d,
        0 as fees,
        0 as refunds,
        amount as disputed
    from disputes
)

select
    seller_id,
    {{ money('sum(gross)') }} as gross,
    {{ money('sum(fees)') }} as fees,
    {{ money('sum(refunds)') }} as refunds,
    {{ money('sum(disputed)') }} as disputed,
    {{ money('sum(gross_7d)') }} as gross_7d,
    sum(orders) as orders_count,
    sum(orders_7d) as orders_7d,
    sum(disputes) as disputes_count,
    sum(disputes_7d) as disputes_7d,
    array_agg(distinct currency order by currency) as currencies
from happened
group by seller_id

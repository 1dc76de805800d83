-- Health is counted from the same lines that are settled, but for adjustments, which say nothing about how a
-- seller sells; and from every claim that stands. He is paid or stopped by these numbers: a row here is a
-- review that should have been, or should not.
{%- set today = local_date(as_of()) %}
with

lines as (
    select
        seller_id,
        count(case when kind = 'sale' then 1 end) as orders_count,
        sum(gross) as gross,
        sum(case when kind = 'sale' then fees else 0 end) as fees,
        sum(refunds) as refunds
    from {{ ref('settlement_lines') }}
    where
        event_at >= {{ local_midnight(today ~ ' - 30') }}
        and event_at < {{ local_midnight(today) }}
        and kind != 'adjustment'
    group by seller_id
),

-- A claim is its seller's whose line it is, whoever the raw order belongs to now.
claims as (
    select
        events.seller_id,
        count(*) as disputes_count,
        sum(disputes.amount) as disputed
    from {{ source('raw', 'disputes') }} as disputes
    inner join {{ ref('int_order_events') }} as events
        on events.line_id = 'dispute_opened:' || disputes.dispute_id
    inner join {{ source('raw', 'sellers') }} as sellers on events.seller_id = sellers.seller_id
    where
        disputes.opened_at >= {{ local_midnight(today ~ ' - 30') }}
        and disputes.opened_at < {{ local_midnight(today) }}
        and (disputes.status not in ('won', 'withdrawn') or disputes.closed_at > {{ as_of() }})
    group by events.seller_id
)

select
    seller_id,
    health.trailing_30d_gross,
    health.trailing_30d_disputes
from {{ ref('seller_health') }} as health
full outer join lines using (seller_id)
full outer join claims using (seller_id)
where
    health.seller_id is null
    or health.orders_count != coalesce(lines.orders_count, 0)
    or health.trailing_30d_gross != coalesce(lines.gross, 0)
    or health.trailing_30d_fees != coalesce(lines.fees, 0)
    or health.trailing_30d_refunds != coalesce(lines.refunds, 0)
    or health.disputes_count != coalesce(claims.disputes_count, 0)
    or health.trailing_30d_disputes != coalesce(claims.disputed, 0)

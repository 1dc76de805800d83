-- Each raw order, refund and dispute that existed at as_of is a settlement line or stands in
-- unsettled_activity, and each dispute that was won or withdrawn has given its claw-back free. A row here
-- is money that nobody owes, claims or can explain: it left the books without a trace.
with

build as (select started_at from {{ ref('int_builds') }} order by started_at desc limit 1),

expected as (
    select
        'sale' as kind,
        order_id as source_id
    from {{ source('raw', 'orders') }}
    where
        (captured_at is null or captured_at <= {{ as_of() }})
        and (loaded_at >= {{ audited_since() }} or captured_at >= {{ audited_since() }})
        and loaded_at < (select build.started_at from build)
    union all
    select
        'refund' as kind,
        refund_id as source_id
    from {{ source('raw', 'refunds') }}
    where
        refunded_at <= {{ as_of() }}
        and (loaded_at >= {{ audited_since() }} or refunded_at >= {{ audited_since() }})
        and loaded_at < (select build.started_at from build)
    union all
    select
        'dispute_opened' as kind,
        dispute_id as source_id
    from {{ source('raw', 'disputes') }}
    where
        opened_at <= {{ as_of() }}
        and (loaded_at >= {{ audited_since() }} or opened_at >= {{ audited_since() }})
        and loaded_at < (select build.started_at from build)
    union all
    select
        'dispute_closed' as kind,
        disputes.dispute_id as source_id
    from {{ source('raw', 'disputes') }} as disputes
    inner join {{ ref('int_order_events') }} as opened
        on opened.line_id = 'dispute_opened:' || disputes.dispute_id
    where
        disputes.status in ('won', 'withdrawn')
        and opened.unsettled_reason is null
        and disputes.closed_at <= {{ as_of() }}
        and (disputes.loaded_at >= {{ audited_since() }} or disputes.closed_at >= {{ audited_since() }})
        and disputes.loaded_at < (select build.started_at from build)
)

select
    expected.kind,
    expected.source_id
from expected
-- Looked up one by one: a join might read all of history.
left join lateral (
    select events.line_id
    from {{ ref('int_order_events') }} as events
    where events.line_id = expected.kind || ':' || expected.source_id
    limit 1
) as found on true
where found.line_id is null

-- A raw row that was changed after its line was frozen is a break, with the difference that no adjustment
-- makes up for. The frozen line stays, so this list is the only place where the correction is seen: a row
-- here is lost money that nobody will look for.
with

build as (select started_at from {{ ref('int_builds') }} order by started_at desc limit 1),

-- Frozen lines are looked up one by one: a join might read all of history.
restated as (
    select
        frozen_lines.line_id,
        frozen_lines.source_amount,
        case
            when
                orders.status in ('confirmed', 'fulfilled')
                and orders.captured_at <= {{ as_of() }}
                and orders.seller_id = frozen_lines.seller_id
                and orders.currency = frozen_lines.currency
                then orders.gross_amount - orders.fee_amount
            else 0
        end as raw_amount
    from {{ source('raw', 'orders') }} as orders
    inner join lateral (
        select * from {{ source('payouts', 'frozen_lines') }} as frozen_lines
        where frozen_lines.line_id = 'sale:' || orders.order_id
        limit 1
    ) as frozen_lines on true
    where
        orders.loaded_at >= {{ audited_since() }}
        and orders.loaded_at < (select build.started_at from build)
        and frozen_lines.event_at <= {{ as_of() }}
    union all
    select
        frozen_lines.line_id,
        frozen_lines.source_amount,
        case
            when refunds.order_id = frozen_lines.order_id and refunds.refunded_at <= {{ as_of() }}
                then refunds.fee_refund_amount - refunds.amount
            else 0
        end as raw_amount
    from {{ source('raw', 'refunds') }} as refunds
    inner join lateral (
        select * from {{ source('payouts', 'frozen_lines') }} as frozen_lines
        where frozen_lines.line_id = 'refund:' || refunds.refund_id
        limit 1
    ) as frozen_lines on true
    where
        refunds.loaded_at >= {{ audited_since() }}
        and refunds.loaded_at < (select build.started_at from build)
        and frozen_lines.event_at <= {{ as_of() }}
    union all
    select
        frozen_lines.line_id,
        frozen_lines.source_amount,
        case
            when disputes.order_id = frozen_lines.order_id and disputes.opened_at <= {{ as_of() }}
                then -disputes.amount
            else 0
        end as raw_amount
    from {{ source('raw', 'disputes') }} as disputes
    inner join lateral (
        select * from {{ source('payouts', 'frozen_lines') }} as frozen_lines
        where frozen_lines.line_id = 'dispute_opened:' || disputes.dispute_id
        limit 1
    ) as frozen_lines on true
    where
        disputes.loaded_at >= {{ audited_since() }}
        and disputes.loaded_at < (select build.started_at from build)
        and frozen_lines.event_at <= {{ as_of() }}
),

adjusted as (
    select
        source_id as line_id,
        sum(case direction when 'credit' then applied_amount else -applied_amount end) as amount
    from {{ source('payouts', 'adjustments') }}
    where source = 'restatement' and status != 'cancelled'
    group by source_id
)

select
    restated.line_id,
    restated.source_amount,
    restated.raw_amount,
    adjusted.amount as adjusted_amount
from restated
left join adjusted on restated.line_id = adjusted.line_id
left join {{ ref('reconciliation_breaks') }} as breaks
    on
        restated.line_id = breaks.entity
        and breaks.break_type = 'restatement'
        and restated.source_amount + coalesce(adjusted.amount, 0) - restated.raw_amount = breaks.difference
where
    restated.source_amount + coalesce(adjusted.amount, 0) != restated.raw_amount
    and breaks.entity is null

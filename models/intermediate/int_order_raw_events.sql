-- Everything that happened to the touched orders, as the raw rows say now. `amount` is a row's own signed
-- cash; for a dispute its whole claim, whatever of it can be clawed back.
with

sales as (select * from {{ ref('int_order_sales') }}),

frozen as (
    select frozen_lines.*
    from sales
    {{ looked_up(
        'inner', source('payouts', 'frozen_lines'), 'frozen_lines', 'frozen_lines.order_id = sales.order_id'
    ) }}
),

-- A refund or dispute that was frozen with one order stays with it, whichever order its raw row names now.
refunds as (
    select
        sales.order_id as settled_order_id,
        refunds.*
    from sales
    {{ looked_up('inner', ref('stg_refunds'), 'refunds', 'refunds.order_id = sales.order_id') }}
    {{ looked_up(
        'left', source('payouts', 'frozen_lines'), 'elsewhere',
        "elsewhere.line_id = 'refund:' || refunds.refund_id and elsewhere.order_id != refunds.order_id"
    ) }}
    where elsewhere.line_id is null
    union all
    select
        frozen.order_id as settled_order_id,
        refunds.*
    from frozen
    {{ looked_up(
        'inner', ref('stg_refunds'), 'refunds',
        'refunds.refund_id = frozen.source_id and refunds.order_id != frozen.order_id'
    ) }}
    where frozen.kind = 'refund'
),

disputes as (
    select
        sales.order_id as settled_order_id,
        disputes.*
    from sales
    {{ looked_up('inner', ref('stg_disputes'), 'disputes', 'disputes.order_id = sales.order_id') }}
    {{ looked_up(
        'left', source('payouts', 'frozen_lines'), 'elsewhere',
        "elsewhere.line_id = 'dispute_opened:' || disputes.dispute_id and elsewhere.order_id != disputes.order_id"
    ) }}
    where elsewhere.line_id is null
    union all
    select
        frozen.order_id as settled_order_id,
        disputes.*
    from frozen
    {{ looked_up(
        'inner', ref('stg_disputes'), 'disputes',
        'disputes.dispute_id = frozen.source_id and disputes.order_id != frozen.order_id'
    ) }}
    where frozen.kind = 'dispute_opened'
)

select
    'sale' as kind,
    sales.order_id as source_id,
    sales.order_id,
    sales.seller_id,
    sales.currency,
    sales.order_window,
    sales.captured_at as event_at,
    sales.gross,
    sales.fees,
    cast(0 as numeric(18, 2)) as refunds,
    sales.raw_amount as amount,
    control_totals.amount as control_amount,
    sales.unsettled_reason,
    greatest(sales.loaded_at, control_totals.loaded_at) as loaded_at
from sales
{{ looked_up(
    'left', ref('stg_control_totals'), 'control_totals', 'control_totals.order_id = sales.order_id'
) }}
-- An order that only the second source knows is listed too.
where sales.unsettled_reason is distinct from 'unknown_order' or control_totals.order_id is not null
union all
select
    'refund' as kind,
    refunds.refund_id as source_id,
    sales.order_id,
    sales.seller_id,
    sales.currency,
    sales.order_window,
    refunds.refunded_at as event_at,
    0 as gross,
    -refunds.fee_refund_amount as fees,
    refunds.amount as refunds,
    case
        when refunds.order_id = sales.order_id then refunds.fee_refund_amount - refunds.amount else 0
    end as amount,
    null as control_amount,
    sales.unsettled_reason,
    refunds.loaded_at
from sales
inner join refunds on sales.order_id = refunds.settled_order_id
union all
select
    'dispute_opened' as kind,
    disputes.dispute_id as source_id,
    sales.order_id,
    sales.seller_id,
    sales.currency,
    sales.order_window,
    disputes.opened_at as event_at,
    0 as gross,
    0 as fees,
    0 as refunds,
    case when disputes.order_id = sales.order_id then -disputes.amount else 0 end as amount,
    null as control_amount,
    sales.unsettled_reason,
    disputes.loaded_at
from sales
inner join disputes on sales.order_id = disputes.settled_order_id
union all
-- What is closed is the claim as it was opened. A frozen one stays what it was, and is released even if its
-- order settles nothing any more.
select
    'dispute_closed' as kind,
    disputes.dispute_id as source_id,
    sales.order_id,
    coalesce(frozen.seller_id, sales.seller_id) as seller_id,
    coalesce(frozen.currency, sales.currency) as currency,
    coalesce(frozen.order_window, sales.order_window) as order_window,
    disputes.closed_at as event_at,
    0 as gross,
    0 as fees,
    0 as refunds,
    coalesce(-frozen.source_amount, disputes.amount) as amount,
    null as control_amount,
    null as unsettled_reason,
    disputes.loaded_at
from sales
inner join disputes on sales.order_id = disputes.settled_order_id
left join frozen on frozen.line_id = 'dispute_opened:' || disputes.dispute_id
where
    disputes.status in ('won', 'withdrawn')
    and (sales.unsettled_reason is null or frozen.line_id is not null)

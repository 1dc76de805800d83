-- Everything that happened to the touched orders, as the raw rows say now. `amount` is a row's own signed
-- cash; for a dispute its whole claim, whatever of it can be clawed back.
with

sales as (select * from {{ ref('int_order_sales') }}),

refunds as (select * from {{ ref('stg_refunds') }}),

disputes as (
    select
        disputes.*,
        sales.unsettled_reason
    from sales
    inner join {{ ref('stg_disputes') }} as disputes on sales.order_id = disputes.order_id
),

control_totals as (select * from {{ ref('stg_control_totals') }}),

frozen_claims as (
    select
        frozen_lines.source_id as dispute_id,
        -frozen_lines.source_amount as amount
    from sales
    inner join {{ source('payouts', 'frozen_lines') }} as frozen_lines
        on sales.order_id = frozen_lines.order_id
    where frozen_lines.kind = 'dispute_opened'
)

select
    'sale' as kind,
    sales.order_id as source_id,
    sales.order_id,
    sales.captured_at as event_at,
    sales.gross,
    sales.fees,
    cast(0 as numeric(18, 2)) as refunds,
    sales.raw_amount as amount,
    control_totals.amount as control_amount,
    greatest(sales.loaded_at, control_totals.loaded_at) as loaded_at
from sales
left join control_totals on sales.order_id = control_totals.order_id
where sales.unsettled_reason is distinct from 'unknown_order'
union all
select
    'refund' as kind,
    refunds.refund_id as source_id,
    refunds.order_id,
    refunds.refunded_at as event_at,
    0 as gross,
    -refunds.fee_refund_amount as fees,
    refunds.amount as refunds,
    refunds.fee_refund_amount - refunds.amount as amount,
    null as control_amount,
    refunds.loaded_at
from sales
inner join refunds on sales.order_id = refunds.order_id
union all
select
    'dispute_opened' as kind,
    disputes.dispute_id as source_id,
    disputes.order_id,
    disputes.opened_at as event_at,
    0 as gross,
    0 as fees,
    0 as refunds,
    -disputes.amount as amount,
    null as control_amount,
    disputes.loaded_at
from disputes
union all
-- What is closed is the claim as it was opened: a frozen one stays what it was.
select
    'dispute_closed' as kind,
    disputes.dispute_id as source_id,
    disputes.order_id,
    disputes.closed_at as event_at,
    0 as gross,
    0 as fees,
    0 as refunds,
    coalesce(frozen_claims.amount, disputes.amount) as amount,
    null as control_amount,
    disputes.loaded_at
from disputes
left join frozen_claims on disputes.dispute_id = frozen_claims.dispute_id
where disputes.status in ('won', 'withdrawn') and disputes.unsettled_reason is null

-- Everything that happened to the touched orders. A frozen event keeps the facts it was frozen with, and
-- carries what its raw row says now beside them.
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

frozen as (
    select frozen_lines.*
    from sales
    inner join {{ source('payouts', 'frozen_lines') }} as frozen_lines
        on sales.order_id = frozen_lines.order_id
),

-- `amount` is the row's own signed cash; for a dispute its whole claim, whatever can be clawed back.
raw_events as (
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
        coalesce(-opened.source_amount, disputes.amount) as amount,
        null as control_amount,
        disputes.loaded_at
    from disputes
    left join frozen as opened on opened.line_id = 'dispute_opened:' || disputes.dispute_id
    where disputes.status in ('won', 'withdrawn') and disputes.unsettled_reason is null
),

events as (
    select
        coalesce(frozen.line_id, raw_events.kind || ':' || raw_events.source_id) as line_id,
        coalesce(frozen.order_id, raw_events.order_id) as order_id,
        coalesce(frozen.kind, raw_events.kind) as kind,
        coalesce(frozen.source_id, raw_events.source_id) as source_id,
        coalesce(frozen.seller_id, sales.seller_id) as seller_id,
        coalesce(frozen.currency, sales.currency) as currency,
        coalesce(frozen.event_at, raw_events.event_at) as event_at,
        coalesce(frozen.order_window, sales.order_window) as order_window,
        frozen.home_window as frozen_home_window,
        frozen.payout_window as frozen_payout_window,
        frozen.disputes as frozen_disputes,
        frozen.clawed_back as frozen_clawed_back,
        coalesce(frozen.gross, raw_events.gross) as gross,
        coalesce(frozen.fees, raw_events.fees) as fees,
        coalesce(frozen.refunds, raw_events.refunds) as refunds,
        sales.gross as order_gross,
        sales.gross - sales.fees as order_cash,
        coalesce(frozen.source_amount, raw_events.amount) as source_amount,
        raw_events.amount as raw_amount,
        raw_events.control_amount,
        case when frozen.line_id is null then sales.unsettled_reason end as unsettled_reason,
        raw_events.loaded_at
    from raw_events
    full outer join frozen on raw_events.kind = frozen.kind and raw_events.source_id = frozen.source_id
    inner join sales on sales.order_id = coalesce(frozen.order_id, raw_events.order_id)
)

select
    line_id,
    order_id,
    kind,
    source_id,
    seller_id,
    currency,
    event_at,
    order_window,
    frozen_home_window,
    frozen_payout_window,
    frozen_disputes,
    frozen_clawed_back,
    gross,
    fees,
    refunds,
    order_gross,
    order_cash,
    source_amount,
    raw_amount,
    control_amount,
    unsettled_reason,
    loaded_at
from events

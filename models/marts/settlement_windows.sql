-- Three ages of a window: history before this system, frozen and live, and still open.
with

frozen as (
    select
        frozen_rows.*,
        frozen_windows.window_ends_at,
        frozen_windows.reserve_closes_at,
        frozen_windows.frozen_at
    from {{ source('payouts', 'frozen_rows') }} as frozen_rows
    inner join {{ source('payouts', 'frozen_windows') }} as frozen_windows
        on frozen_rows.payout_window = frozen_windows.payout_window
),

payouts as (
    select * from {{ source('payouts', 'payouts') }}
    where request_number is null
),

open_rows as (
    select * from {{ ref('int_window_rows') }}
    where payout_window >= {{ first_unfrozen_window() }}
),

history as (
    select
        seller_id,
        payout_window,
        currency,
        sum(gross) as gross,
        sum(fees) as fees,
        sum(refunds) as refunds,
        sum(disputes) as disputes,
        count(case when kind = 'sale' then 1 end) as order_count
    from {{ ref('int_order_events') }}
    where payout_window < {{ settlement_start() }}
    group by seller_id, payout_window, currency
)

select
    frozen.seller_id,
    frozen.payout_window,
    frozen.gross,
    frozen.fees,
    frozen.refunds,
    frozen.net,
    frozen.rail,
    coalesce(payouts.status, frozen.status) as status,
    frozen.currency,
    frozen.window_ends_at,
    frozen.reserve_closes_at,
    frozen.disputes,
    frozen.adjustments,
    frozen.carry_in,
    frozen.payable,
    frozen.carry_out,
    coalesce(payouts.block_reasons, frozen.block_reasons) as block_reasons,
    payouts.payout_number,
    payouts.failure_reason,
    frozen.order_count,
    frozen.late_line_count,
    frozen.frozen_at,
    frozen.held
from frozen
left join payouts
    on
        frozen.payout_window = payouts.payout_window
        and frozen.seller_id = payouts.seller_id
        and frozen.currency = payouts.currency
union all
select
    seller_id,
    payout_window,
    gross,
    fees,
    refunds,
    net,
    rail,
    status,
    currency,
    window_ends_at,
    reserve_closes_at,
    disputes,
    adjustments,
    carry_in,
    payable,
    carry_out,
    block_reasons,
    null as payout_number,
    null as failure_reason,
    order_count,
    late_line_count,
    null as frozen_at,
    held
from open_rows
union all
select
    seller_id,
    payout_window,
    {{ money('gross') }} as gross,
    {{ money('fees') }} as fees,
    {{ money('refunds') }} as refunds,
    {{ money('gross - fees - refunds') }} as net,
    null as rail,
    'before_start' as status,
    currency,
    {{ local_midnight('payout_window + 7') }} as window_ends_at,
    {{ reserve_closes_at('payout_window') }} as reserve_closes_at,
    {{ money('disputes') }} as disputes,
    {{ money(0) }} as adjustments,
    {{ money(0) }} as carry_in,
    {{ money(0) }} as payable,
    {{ money(0) }} as carry_out,
    cast(array[] as text[]) as block_reasons,
    null as payout_number,
    null as failure_reason,
    order_count,
    0 as late_line_count,
    null as frozen_at,
    {{ money(0) }} as held
from history

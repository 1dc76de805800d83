-- A frozen line stands among the lines as it was frozen, in its window and in no other, and a frozen
-- window has no line beside its frozen ones. What was approved and paid is explained with these lines: a
-- row here is a payout that can no longer be explained, or a line that is about to be paid a second time.
with

frozen as (
    select * from {{ source('payouts', 'frozen_lines') }}
    where payout_window >= {{ first_audited_window() }}
),

-- Of orders as the build has them, of adjustments as they are shown: nothing else is made of those.
standing as (
    select
        line_id,
        payout_window,
        seller_id,
        currency,
        order_id,
        event_at,
        gross,
        fees,
        refunds,
        disputes,
        0 as adjustments,
        source_amount
    from {{ ref('int_order_events') }}
    where
        payout_window >= {{ first_audited_window() }}
        and payout_window between {{ settlement_start() }} and {{ first_unfrozen_window() }} - 1
    union all
    select
        line_id,
        payout_window,
        seller_id,
        currency,
        order_id,
        event_at,
        gross,
        fees,
        refunds,
        disputes,
        adjustments,
        adjustments as source_amount
    from {{ ref('settlement_lines') }}
    where
        kind = 'adjustment'
        and payout_window >= {{ first_audited_window() }}
        and payout_window between {{ settlement_start() }} and {{ first_unfrozen_window() }} - 1
),

open_lines as (
    select
        line_id,
        payout_window
    from {{ ref('int_order_events') }}
    where payout_window >= {{ first_unfrozen_window() }}
    union all
    select
        line_id,
        payout_window
    from {{ ref('int_adjustment_lines') }}
    where payout_window >= {{ first_unfrozen_window() }}
)

select
    line_id,
    frozen.payout_window as frozen_in,
    standing.payout_window as stands_in
from frozen
full outer join standing using (line_id)
where
    (
        frozen.payout_window, frozen.seller_id, frozen.currency, frozen.order_id, frozen.event_at,
        frozen.gross, frozen.fees, frozen.refunds, frozen.disputes, frozen.adjustments, frozen.source_amount
    ) is distinct from (
        standing.payout_window, standing.seller_id, standing.currency, standing.order_id, standing.event_at,
        standing.gross, standing.fees, standing.refunds, standing.disputes, standing.adjustments,
        standing.source_amount
    )
union all
select
    open_lines.line_id,
    frozen_lines.payout_window as frozen_in,
    open_lines.payout_window as stands_in
from open_lines
-- Looked up one by one: a join might read all of history.
inner join lateral (
    select frozen_lines.payout_window
    from {{ source('payouts', 'frozen_lines') }} as frozen_lines
    where frozen_lines.line_id = open_lines.line_id
    limit 1
) as frozen_lines on true

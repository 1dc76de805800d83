-- Every approved carry-forward stands in the first unfrozen window, whole, unless it is deferred or an
-- exception about it is open; nothing else does. The freeze copies these lines: a row here is a credit that a
-- seller waits for, or a deduction that nobody approved.
with

build as (select started_at from {{ ref('int_builds') }} order by started_at desc limit 1),

-- What was asked for or decided while the build was running is the next one's.
exceptions as (
    select
        adjustment_number,
        bool_and(
            decision is not null and decided_at < (select build.started_at from build)
        ) as is_settled,
        bool_or(
            decision is null and requested_at < (select build.started_at from build)
        ) as is_open
    from {{ source('payouts', 'exceptions') }}
    group by adjustment_number
),

adjustments as (
    select
        adjustments.adjustment_number,
        adjustments.currency,
        adjustments.amount,
        adjustments.direction,
        adjustments.class like 'carry_forward%' as is_line,
        adjustments.not_before,
        adjustments.approved_at < (select build.started_at from build)
        and coalesce(exceptions.is_settled, true) as is_certain,
        coalesce(exceptions.is_open, false) as is_open
    from {{ source('payouts', 'adjustments') }} as adjustments
    left join exceptions on adjustments.adjustment_number = exceptions.adjustment_number
    where adjustments.status = 'approved'
),

lines as (
    select * from {{ ref('int_adjustment_lines') }}
    where payout_window >= {{ first_unfrozen_window() }}
),

next_freeze as (
    select {{ first_unfrozen_window() }} as payout_window
)

select
    adjustments.adjustment_number,
    lines.payout_window,
    lines.adjustments
from adjustments
cross join next_freeze
left join lines on adjustments.adjustment_number = lines.adjustment_number
where
    lines.line_id is null
    and adjustments.is_line
    and adjustments.is_certain
    and next_freeze.payout_window < cast('infinity' as date)
    and coalesce(adjustments.not_before <= next_freeze.payout_window, true)
union all
select
    lines.adjustment_number,
    lines.payout_window,
    lines.adjustments
from lines
cross join next_freeze
left join adjustments on lines.adjustment_number = adjustments.adjustment_number
-- It may have been cancelled since the build.
left join {{ source('payouts', 'adjustments') }} as cancelled
    on lines.adjustment_number = cancelled.adjustment_number and cancelled.status = 'cancelled'
where
    cancelled.adjustment_number is null
    and (
        adjustments.adjustment_number is null
        or adjustments.is_open
        or not adjustments.is_line
        or adjustments.not_before > lines.payout_window
        or lines.payout_window != next_freeze.payout_window
        or lines.currency != adjustments.currency
        or abs(lines.adjustments) > adjustments.amount
        or (lines.adjustments > 0) != (adjustments.direction = 'credit')
    )

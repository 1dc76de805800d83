-- What the adjustments of some windows come to, signed as they enter: the frozen ones, and those of the next freeze.
with

entered as (
    select
        adjustment_number,
        payout_window,
        currency,
        case direction when 'credit' then applied_amount else -applied_amount end as amount
    from payouts.adjustments
    where payout_window = any(%(windows)s)
    union all
    select
        adjustment_number,
        payout_window,
        currency,
        adjustments as amount
    from intermediate.int_adjustment_lines
    where
        payout_window = any(%(windows)s)
        and payout_window > coalesce((select max(payout_window) from payouts.frozen_windows), '-infinity')
)

select
    entered.payout_window,
    entered.currency,
    adjustments.class,
    count(*) as adjustments,
    sum(entered.amount) as amount
from entered
inner join payouts.adjustments as adjustments on entered.adjustment_number = adjustments.adjustment_number
group by entered.payout_window, entered.currency, adjustments.class
order by entered.payout_window, entered.currency collate "C", adjustments.class

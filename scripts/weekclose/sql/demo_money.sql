-- Where the frozen money of the newest windows is: the columns after `frozen` add up to it.
select
    summary.payout_window,
    summary.currency,
    sum(summary.payable) as frozen,
    coalesce(sum(summary.payable) filter (where summary.status in ('paid', 'reversed')), 0.00) as paid,
    coalesce(sum(summary.payable) filter (where summary.status = 'failed'), 0.00) as "failed, rolls",
    coalesce(sum(summary.payable) filter (where summary.status = 'returned'), 0.00) as "returned, rolls",
    coalesce(sum(summary.payable) filter (where summary.status = 'blocked'), 0.00) as "blocked, rolls",
    coalesce(sum(summary.payable) filter (where summary.status in ('submitted', 'awaiting_reconciliation')), 0.00)
        as "in transit"
from marts.window_summary as summary
where
    summary.payout_window in (
        select frozen.payout_window from payouts.frozen_windows as frozen
        order by frozen.payout_window desc
        limit 2
    )
group by summary.payout_window, summary.currency
order by summary.payout_window, summary.currency

-- Where the frozen payables of the windows are by now: ready, blocked, in flight, paid, or rolled.
select
    payout_window,
    currency,
    count(*) as payouts,
    sum(amount) as frozen,
    coalesce(sum(amount) filter (where status = 'ready'), 0.00) as ready,
    coalesce(sum(amount) filter (where status = 'blocked'), 0.00) as blocked,
    coalesce(sum(amount) filter (where status in ('submitted', 'awaiting_reconciliation')), 0.00) as in_flight,
    coalesce(sum(amount) filter (where status in ('paid', 'reversed')), 0.00) as paid,
    coalesce(sum(amount) filter (where status in ('failed', 'returned')), 0.00) as rolled,
    count(*) filter (where status = 'submitted' and rail <> 'MANUAL') as unanswered_count
from payouts.payouts
where payout_window = any(%(windows)s) and request_number is null
group by payout_window, currency
order by payout_window, currency collate "C"

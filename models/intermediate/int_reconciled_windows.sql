-- The newest windows, and by their state, however old they are, those that are not finished.
(
    select payout_window
    from {{ source('payouts', 'frozen_windows') }}
    order by payout_window desc
    limit {{ var('audit_days') | int // 7 + 1 }}
)
union
select payout_window
from {{ source('payouts', 'batches') }}
where state in ('submitting', 'submitted', 'rejected')
union
select payout_window
from {{ source('payouts', 'payouts') }}
where status = 'awaiting_reconciliation'

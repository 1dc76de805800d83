-- The rows of a window whose money does not go out as it stands, largest first, with their number and sum per currency.
select
    seller_id,
    currency,
    payable,
    status,
    block_reasons,
    payout_number,
    failure_reason,
    count(*) over (partition by currency) as currency_count,
    sum(payable) over (partition by currency) as currency_payable
from marts.settlement_windows
where
    payout_window = %(window)s
    and status in ('blocked', 'failed', 'returned', 'awaiting_reconciliation')
order by payable desc, seller_id collate "C", currency collate "C"

-- Payouts of the window before that did not arrive: their money is in this window's carry-in.
select
    seller_id,
    currency,
    status,
    payout_number,
    failure_reason,
    cast(100 * payable as bigint) as amount
from marts.settlement_windows
where payout_window = cast(%(window)s as date) - 7 and status in ('failed', 'returned')

-- What is ready to be paid, per currency.
select
    currency,
    sum(amount) as payable
from payouts.payouts
where payout_window = %(window)s and request_number is null and status = 'ready'
group by currency
order by currency

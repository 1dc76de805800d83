-- What requests paid a seller between a window's freeze and the next.
select
    currency,
    payout_number,
    request_number,
    amount,
    status,
    status_changed_at,
    external_reference
from payouts.payouts_of(%(seller)s)
where payout_window = %(window)s and request_number is not null and status <> 'blocked'
order by created_at

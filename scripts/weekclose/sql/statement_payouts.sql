-- Where the payouts of a seller's window went, and when. A day is that of the booking.
select
    currency,
    payout_number,
    destination,
    external_reference,
    coalesce(failure_reason, failure_code) as failure_reason,
    submitted_at,
    case when status in ('paid', 'reversed', 'returned') then paid_at end as paid_at,
    case when status in ('failed', 'returned') then status_changed_at end as came_back_at,
    case when status = 'reversed' then status_changed_at end as reversed_at
from payouts.payouts_of(%(seller)s)
where payout_window = %(window)s and request_number is null

-- Where the payouts of a seller's window went.
select
    currency,
    payout_number,
    destination,
    external_reference
from payouts.payouts
where seller_id = %(seller)s and payout_window = %(window)s

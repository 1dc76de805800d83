-- The payouts of a batch of which a person has accepted that another amount left than was promised.
select distinct resolutions.payout_number
from payouts.resolutions as resolutions
inner join payouts.batch_items as items on resolutions.payout_number = items.payout_number
where items.batch_id = %(batch_id)s and resolutions.verdict = 'accept'

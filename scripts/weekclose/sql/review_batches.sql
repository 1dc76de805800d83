-- The batches of a window, newest generation first.
select
    batch_id,
    generation,
    state,
    content_digest,
    created_at,
    approved_by,
    approved_at,
    rail,
    rail_batch_id,
    rejection
from payouts.batches
where payout_window = %(window)s and request_number is null
order by generation desc

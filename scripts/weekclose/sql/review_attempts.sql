-- Each time that a window's batches were sent, or may have been.
select
    attempts.batch_id,
    attempts.started_at,
    attempts.ended_at,
    attempts.outcome,
    attempts.detail,
    attempts.actor
from payouts.submit_attempts as attempts
inner join payouts.batches on attempts.batch_id = batches.batch_id
where batches.payout_window = %(window)s and batches.request_number is null
order by attempts.attempt_id

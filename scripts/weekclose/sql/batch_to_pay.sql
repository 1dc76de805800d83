-- The batch that is to pay a window or a request, and what the last attempt to send it left behind.
select
    batches.batch_id,
    batches.payout_window,
    batches.request_number,
    batches.generation,
    batches.state,
    batches.content_digest,
    coalesce(batches.idempotency_key, payouts.batch_key(batches)) as idempotency_key,
    batches.rail,
    batches.body,
    batches.rail_batch_id,
    before.batch_id as rejected_batch_id,
    before.rejection,
    attempts.last_id as last_attempt,
    attempts.first_at as first_attempt_at,
    attempts.last_at as last_attempt_at,
    attempts.retry_at,
    batches.resend_ordered_at
from payouts.batches as batches
left join payouts.batches as before
    on batches.paid_with = before.paid_with and batches.generation = before.generation + 1
left join lateral (
    select
        max(attempt_id) as last_id,
        min(started_at) as first_at,
        max(greatest(active_at, ended_at)) as last_at,
        max(retry_at) as retry_at
    from payouts.submit_attempts
    where submit_attempts.batch_id = batches.batch_id
) as attempts on true
where
    batches.batch_id = coalesce(
        %(batch_id)s, (
            select batch_id from payouts.batches
            where paid_with = %(paid_with)s and state <> 'rejected'
        )
    )

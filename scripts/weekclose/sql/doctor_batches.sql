-- Batches that left, or may have left, without an answer that says what became of them.
select
    batches.batch_id,
    coalesce(batches.request_number, batches.payout_window::text) as pays,
    attempts.age,
    attempts.is_going_on
from payouts.batches as batches
cross join lateral (
    select
        current_timestamp - min(started_at) as age,
        -- Who sends says so every few seconds.
        coalesce(bool_or(ended_at is null and active_at > clock_timestamp() - interval '1 minute'), false)
            as is_going_on
    from payouts.submit_attempts
    where submit_attempts.batch_id = batches.batch_id
) as attempts
where batches.state = 'submitting'
order by batches.payout_window, batches.generation

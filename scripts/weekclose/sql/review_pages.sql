-- The newest frozen windows, newest first, each with a text that changes when anything of its page may have.
select
    frozen.payout_window,
    concat_ws(
        ' ', batches.generation, batches.state, batches.content_digest, batches.approved_by, batches.attempts,
        moved.last_moved_at, heard.last_decided_at
    ) as state
from payouts.frozen_windows as frozen
left join lateral (
    select
        batches.generation,
        batches.state,
        batches.content_digest,
        batches.approved_by,
        (
            select count(*) + count(attempts.outcome) from payouts.submit_attempts as attempts
            where attempts.batch_id = batches.batch_id
        ) as attempts
    from payouts.batches
    where batches.payout_window = frozen.payout_window
    order by batches.generation desc
    limit 1
) as batches on true
left join lateral (
    select max(payouts.status_changed_at) as last_moved_at
    from payouts.payouts
    where payouts.payout_window = frozen.payout_window
) as moved on true
left join lateral (
    select max(outcomes.decided_at) as last_decided_at
    from payouts.payouts
    inner join payouts.rail_events as events on payouts.payout_number = events.payout_number
    inner join payouts.event_outcomes as outcomes on events.event_id = outcomes.event_id
    where payouts.payout_window = frozen.payout_window
) as heard on true
order by frozen.payout_window desc
limit 13

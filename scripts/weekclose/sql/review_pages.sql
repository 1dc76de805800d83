-- The newest frozen windows, newest first, each with a text that changes when anything of its page may have.
select
    frozen.payout_window,
    concat_ws(
        ' ', batches.generation, batches.state, batches.content_digest, batches.approved_by, batches.attempts,
        moved.last_moved_at, heard.last_decided_at, done.last_executed, done.last_proof, owed.adjustments,
        owed.open_exceptions
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
    where batches.payout_window = frozen.payout_window and batches.request_number is null
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
left join lateral (
    select
        max(executions.execution_id) as last_executed,
        max(proofs.proof_id) as last_proof
    from payouts.payouts
    inner join payouts.executions as executions on payouts.payout_number = executions.payout_number
    left join payouts.proofs as proofs on executions.execution_id = proofs.execution_id
    where payouts.payout_window = frozen.payout_window
) as done on true
-- What is open beside the sales is on the newest page alone.
left join (
    select
        string_agg(
            adjustments.adjustment_number || adjustments.status || adjustments.applied_amount, ' '
            order by adjustments.adjustment_number collate "C"
        ) as adjustments,
        (
            select string_agg(cast(exceptions.exception_id as text), ' ' order by exceptions.exception_id)
            from payouts.exceptions
            where exceptions.decision is null
        ) as open_exceptions
    from payouts.adjustments
    where adjustments.status in ('proposed', 'approved', 'applied')
) as owed on frozen.payout_window = (select max(payout_window) from payouts.frozen_windows)
order by frozen.payout_window desc
limit 13

-- The windows that are not frozen, and the newest frozen ones with their latest batch and what was tried with it,
-- oldest first.
with

frozen as (
    select
        payout_window,
        window_ends_at,
        reserve_closes_at,
        frozen_at,
        as_of,
        content_digest
    from payouts.frozen_windows
    where cast(%(window)s as date) is null or payout_window = cast(%(window)s as date)
    order by payout_window desc
    limit %(limit)s
),

batches as (
    select distinct on (payout_window) *
    from payouts.batches
    where payout_window in (select frozen.payout_window from frozen) and request_number is null
    order by payout_window, generation desc
)

select
    frozen.payout_window,
    frozen.window_ends_at,
    frozen.reserve_closes_at,
    'frozen' as state,
    frozen.frozen_at,
    frozen.as_of as frozen_as_of,
    coalesce(batches.content_digest, frozen.content_digest) as content_digest,
    batches.batch_id,
    batches.generation,
    batches.state as batch_state,
    batches.approved_by,
    batches.approved_at,
    batches.rail as batch_rail,
    batches.rail_batch_id,
    attempts.first_at as submitted_at,
    attempts.attempt_count,
    attempts.last_at as last_attempt_at,
    attempts.retry_at,
    attempts.is_going_on,
    last_attempt.detail as last_attempt_detail,
    before.batch_id as rejected_batch_id,
    before.rejection,
    clock_timestamp() as read_at
from frozen
left join batches on frozen.payout_window = batches.payout_window
left join payouts.batches as before
    on batches.paid_with = before.paid_with and batches.generation = before.generation + 1
left join lateral (
    select
        count(*) as attempt_count,
        max(attempt_id) as last_id,
        min(started_at) as first_at,
        max(greatest(active_at, ended_at)) as last_at,
        max(retry_at) as retry_at,
        -- Who sends says so every ten seconds.
        coalesce(bool_or(ended_at is null and active_at > clock_timestamp() - interval '1 minute'), false)
            as is_going_on
    from payouts.submit_attempts
    where submit_attempts.batch_id = batches.batch_id
) as attempts on true
left join payouts.submit_attempts as last_attempt on attempts.last_id = last_attempt.attempt_id
union all
select
    payout_window,
    window_ends_at,
    reserve_closes_at,
    case
        when is_due then 'due'
        when window_ends_at <= %(as_of)s then 'reserve open'
        else 'running'
    end as state,
    null as frozen_at,
    null as frozen_as_of,
    null as content_digest,
    null as batch_id,
    null as generation,
    null as batch_state,
    null as approved_by,
    null as approved_at,
    null as batch_rail,
    null as rail_batch_id,
    null as submitted_at,
    null as attempt_count,
    null as last_attempt_at,
    null as retry_at,
    null as is_going_on,
    null as last_attempt_detail,
    null as rejected_batch_id,
    null as rejection,
    null as read_at
from intermediate.int_open_windows
where cast(%(window)s as date) is null or payout_window = cast(%(window)s as date)
order by payout_window

-- The windows that are not frozen, and the newest frozen ones with their latest batch, oldest first.
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
    select distinct on (payout_window)
        payout_window,
        batch_id,
        state,
        content_digest,
        approved_by
    from payouts.batches
    where payout_window in (select frozen.payout_window from frozen)
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
    batches.state as batch_state,
    batches.approved_by
from frozen
left join batches on frozen.payout_window = batches.payout_window
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
    null as batch_state,
    null as approved_by
from intermediate.int_open_windows
where cast(%(window)s as date) is null or payout_window = cast(%(window)s as date)
order by payout_window

-- What people did about single payouts besides approving what leaves, and whether what was kept has stayed.
with

payouts as (select * from {{ source('payouts', 'payouts') }}),

-- A window is the newest one until the next is frozen: what people do about a seller then concerns it.
windows as (
    select
        payout_window,
        frozen_at,
        coalesce(lead(frozen_at) over (order by payout_window), cast('infinity' as timestamptz))
            as next_frozen_at
    from {{ source('payouts', 'frozen_windows') }}
),

departures as (
    select
        items.payout_number,
        attempts.started_at as left_at
    from {{ source('payouts', 'batch_items') }} as items
    inner join {{ source('payouts', 'submit_attempts') }} as attempts on items.batch_id = attempts.batch_id
),

-- An exception keeps the money of each seller that it concerns.
exceptions as (
    select
        exceptions.exception_id,
        sellers.seller_id,
        adjustments.currency,
        adjustments.payout_window,
        exceptions.requested_at,
        coalesce(exceptions.decided_at, cast('infinity' as timestamptz)) as decided_at
    from {{ source('payouts', 'exceptions') }} as exceptions
    inner join {{ source('payouts', 'adjustments') }} as adjustments
        on exceptions.adjustment_number = adjustments.adjustment_number
    cross join
        unnest(array[adjustments.seller_id, adjustments.applied_to, exceptions.to_seller])
            as sellers (seller_id)
    where sellers.seller_id is not null
),

kept as (
    select
        payouts.payout_number,
        holds.held_at as since,
        coalesce(holds.released_at, cast('infinity' as timestamptz)) as until
    from {{ source('payouts', 'holds') }} as holds
    inner join payouts
        on
            holds.seller_id = payouts.seller_id
            and holds.payout_window = payouts.payout_window
            and payouts.request_number is null
    union all
    select
        payouts.payout_number,
        exceptions.requested_at as since,
        exceptions.decided_at as until
    from exceptions
    inner join windows
        on exceptions.requested_at < windows.next_frozen_at and exceptions.decided_at > windows.frozen_at
    inner join payouts
        on
            exceptions.seller_id = payouts.seller_id
            and exceptions.currency = payouts.currency
            and windows.payout_window = payouts.payout_window
            and exceptions.decided_at > payouts.created_at
    left join departures on payouts.payout_number = departures.payout_number
    group by payouts.payout_number, exceptions.exception_id, exceptions.requested_at, exceptions.decided_at
    -- Not one that had left before.
    having coalesce(min(departures.left_at) >= exceptions.requested_at, true)
),

holding as (
    select
        kept.payout_number,
        coalesce(bool_or(departures.left_at >= kept.since and departures.left_at < kept.until), false)
            as has_left
    from kept
    left join departures on kept.payout_number = departures.payout_number
    group by kept.payout_number
),

deeds as (
    select payout_number from holding
    union
    select payouts.payout_number
    from exceptions
    inner join payouts
        on
            exceptions.seller_id = payouts.seller_id
            and exceptions.currency = payouts.currency
            and exceptions.payout_window = payouts.payout_window
    union
    select payouts.payout_number
    from {{ source('payouts', 'clearances') }} as clearances
    inner join windows
        on clearances.cleared_at >= windows.frozen_at and clearances.cleared_at < windows.next_frozen_at
    inner join payouts
        on clearances.seller_id = payouts.seller_id and windows.payout_window = payouts.payout_window
    union
    select payout_number from {{ source('payouts', 'executions') }} where source = 'manual'
    union
    select payout_number from {{ source('payouts', 'resolutions') }}
    union
    select payout_number from {{ source('payouts', 'reversals') }}
)

select
    deeds.payout_number,
    holding.payout_number is not null as was_kept,
    coalesce(holding.has_left, false) as left_while_kept
from deeds
left join holding on deeds.payout_number = holding.payout_number

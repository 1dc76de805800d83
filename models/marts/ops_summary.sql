with

queued as (
    select
        sides.measure,
        sides.state,
        queue.currency,
        queue.amount,
        queue.since
    from {{ ref('payout_queue') }} as queue
    inner join lateral (
        values ('readiness', queue.readiness), ('attention', queue.attention), ('status', queue.status)
    ) as sides (measure, state) on true
    union all
    select
        'holds' as measure,
        'overdue' as state,
        currency,
        amount,
        release_at as since
    from {{ ref('escrow_holds') }}
    where is_overdue
    union all
    select
        'requests' as measure,
        'undecided' as state,
        currency,
        amount,
        requested_at as since
    from {{ source('payouts', 'payout_requests') }}
    where decision is null
    union all
    select
        'schedules' as measure,
        status as state,
        currency,
        amount,
        coalesce(ended_at, created_at) as since
    from {{ source('payouts', 'payout_schedules') }}
    where status in ('pending', 'processing', 'failed')
),

booked as (
    select
        count(*) as in_total,
        min(booked_at) as since
    from {{ source('payouts', 'ledger_transactions') }}
),

booked_lately as (
    select
        count(*) as in_the_last_day,
        min(booked_at) as since
    from {{ source('payouts', 'ledger_transactions') }}
    where booked_at > current_timestamp - interval '24 hours'
)

select
    measure,
    state,
    currency,
    count(*) as item_count,
    {{ money('sum(amount)') }} as amount,
    min(since) as oldest_since,
    greatest(current_timestamp - min(since), interval '0') as oldest_age
from queued
group by measure, state, currency
union all
select
    'ledger_events' as measure,
    'total' as state,
    null as currency,
    in_total as item_count,
    null as amount,
    since as oldest_since,
    current_timestamp - since as oldest_age
from booked
union all
select
    'ledger_events' as measure,
    'last_24_hours' as state,
    null as currency,
    in_the_last_day as item_count,
    null as amount,
    since as oldest_since,
    current_timestamp - since as oldest_age
from booked_lately

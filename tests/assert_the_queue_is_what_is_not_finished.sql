-- Each payout whose money has not arrived and is in no later promise is in the queue once, and each row that
-- a freeze would pay now, with their amounts; nothing else is, and the summary counts all of it.
-- A row here is money that nobody waits for, or that somebody moves twice.
with

-- Paid for good, or the seller's again and taken in by what was promised since.
finished as (
    select payouts.payout_number
    from {{ source('payouts', 'payouts') }} as payouts
    where
        payouts.status in ('paid', 'reversed')
        or 'request_rejected' = any(payouts.block_reasons)
        or (
            payouts.status in ('blocked', 'failed', 'returned')
            and payouts.status_changed_at <= (
                select max(later.frozen_at) from {{ source('payouts', 'frozen_windows') }} as later
                where later.payout_window > payouts.payout_window
            )
        )
        or (
            payouts.status in ('failed', 'returned')
            and exists (
                select from {{ source('payouts', 'payouts') }} as requested
                where
                    requested.request_number is not null
                    and requested.status != 'blocked'
                    and (requested.seller_id, requested.currency) = (payouts.seller_id, payouts.currency)
                    and requested.created_at >= payouts.status_changed_at
            )
        )
),

-- Of open windows only the latest due one pays.
waiting as (
    select
        payout_number,
        seller_id,
        payout_window,
        currency,
        status,
        amount
    from {{ source('payouts', 'payouts') }}
    where payout_number not in (select finished.payout_number from finished)
    union all
    select
        null as payout_number,
        seller_id,
        payout_window,
        currency,
        status,
        payable as amount
    from {{ ref('settlement_windows') }}
    where frozen_at is null and status in ('ready', 'blocked')
),

queued as (
    select
        payout_number,
        seller_id,
        payout_window,
        currency,
        status,
        amount
    from {{ ref('payout_queue') }}
    -- What is not due yet, or all held, promises nothing.
    where status not in ('pending', 'carried_forward')
),

-- Once each: as often here as there.
lost_or_made_up as (
    select
        payout_number,
        seller_id
    from (
        select
            1 as sign,
            waiting.*
        from waiting
        union all
        select
            -1 as sign,
            queued.*
        from queued
    ) as both_sides
    group by payout_number, seller_id, payout_window, currency, status, amount
    having sum(sign) != 0
),

counted as (
    select
        coalesce(sum(case when measure = 'readiness' then item_count end), 0) as by_readiness,
        coalesce(sum(case when measure = 'attention' then item_count end), 0) as by_attention,
        coalesce(sum(case when measure = 'status' then item_count end), 0) as by_status
    from {{ ref('ops_summary') }}
)

select
    'not what is waiting' as wrong,
    coalesce(payout_number, seller_id) as what
from lost_or_made_up
union all
select
    'nobody knows how to go on' as wrong,
    coalesce(payout_number, seller_id) as what
from {{ ref('payout_queue') }}
where attention = 'intervene' and next_action is null or cardinality(coalesce(reasons, '{}')) = 0
union all
select
    'summed up otherwise' as wrong,
    concat(by_readiness, ' ', by_attention, ' ', by_status) as what
from counted
where
    by_readiness != (select count(*) from {{ ref('payout_queue') }})
    or by_attention != by_readiness
    or by_status != by_readiness

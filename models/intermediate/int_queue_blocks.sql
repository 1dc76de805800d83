-- What ends each reason: a command, or time where it is passing. Once the batch has left, nothing of it is
-- decided on: a hold ends when the money rolls, a review waits until then.
with

items as (
    select
        queued.*,
        -- What a shell takes for one word.
        case
            when queued.seller_id ~ '^[A-Za-z0-9_.:@/+=-]+$' then queued.seller_id
            else concat('''', replace(queued.seller_id, '''', '''\'''''), '''')
        end as seller
    from {{ ref('int_queue_items') }} as queued
    where queued.stage = 'blocked'
),

concerned_by_exceptions as (
    select
        concerned.seller_id,
        adjustments.currency,
        exceptions.exception_id
    from {{ source('payouts', 'exceptions') }} as exceptions
    inner join {{ source('payouts', 'adjustments') }} as adjustments
        on exceptions.adjustment_number = adjustments.adjustment_number
    inner join lateral (
        values (adjustments.seller_id), (adjustments.applied_to), (exceptions.to_seller)
    ) as concerned (seller_id) on concerned.seller_id is not null
    where exceptions.decision is null
    group by concerned.seller_id, adjustments.currency, exceptions.exception_id
),

exceptions as (
    select
        seller_id,
        currency,
        string_agg(cast(exception_id as text), ' ' order by exception_id) as ids
    from concerned_by_exceptions
    group by seller_id, currency
),

-- Those that only a person ends.
holds as (
    select
        seller_id,
        currency,
        string_agg(hold_number, ' ' order by hold_number) as numbers
    from {{ source('payouts', 'escrow_holds') }}
    where status = 'active' and release_at is null
    group by seller_id, currency
)

select
    items.item,
    reasons.place,
    reasons.words,
    reasons.is_passing,
    reasons.command
from items
left join exceptions on items.seller_id = exceptions.seller_id and items.currency = exceptions.currency
left join holds on items.seller_id = holds.seller_id and items.currency = holds.currency
inner join lateral (
    values
    (
        1, 'exception_pending', 'an exception of one of its adjustments is not decided: approve or reject',
        false, 'weekclose exception approve ' || exceptions.ids || ' --reason '''''
    ),
    (
        2, 'manual_review', 'the seller''s health asks for a person''s review first', false,
        case when items.is_decidable then 'weekclose clear ' || items.seller || ' --reason ''''' end
    ),
    (
        3, 'on_hold', 'a person put it on hold', not items.is_decidable,
        case
            when items.is_decidable
                then concat(
                    'weekclose release ', items.seller, ' --window ',
                    to_char(items.payout_window, 'YYYY-MM-DD'), ' --reason '''''
                )
        end
    ),
    (
        4, 'held', 'holds keep all of it', holds.numbers is null,
        'weekclose holds release ' || holds.numbers || ' --reason '''''
    ),
    (5, 'seller_inactive', 'the seller''s account is not active', false, 'weekclose load PATH'),
    (6, 'no_rail', 'the seller''s region has no payment rail', false, 'weekclose load PATH'),
    (
        7, 'invalid_wallet', 'the wallet address is missing or not valid for the rail', false,
        'weekclose load PATH'
    ),
    (8, 'currency_mismatch', 'the seller is settled in another currency', false, 'weekclose load PATH'),
    (9, 'wallet_recently_changed', 'the wallet was changed too shortly before the window was due', true, null)
) as reasons (place, reason, words, is_passing, command) on reasons.reason = any(items.block_reasons)

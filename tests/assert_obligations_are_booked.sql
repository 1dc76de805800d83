-- What the ledger has of an obligation is what its history says: all of it from the time it was recognized
-- until it entered a payout, was paid or was dropped, then nothing; and a seller's obligations are the sum of
-- his adjustments'. Mismatches and reversals have happened before anybody approves what follows from them; a
-- dispute's debt is in the balance. A row here is an obligation that is forgotten, or claimed twice.
with

expected as (
    select
        adjustments.adjustment_number,
        adjustments.seller_id,
        adjustments.currency,
        case
            when
                adjustments.source = 'dispute'
                or adjustments.status = 'cancelled'
                or adjustments.settled_at is not null
                or lines.line_id is not null
                or (adjustments.approved_at is null and adjustments.source not in ('mismatch', 'reversal'))
                then 0
            when adjustments.class = 'carry_forward_credit' then adjustments.applied_amount
            else -adjustments.applied_amount
        end as amount
    from {{ source('payouts', 'adjustments') }} as adjustments
    -- Looked up one by one: a join might read all of history.
    left join lateral (
        select frozen_lines.line_id
        from {{ source('payouts', 'frozen_lines') }} as frozen_lines
        where frozen_lines.line_id = 'adjustment:' || adjustments.adjustment_number
        limit 1
    ) as lines on true
),

sellers as (
    select
        seller_id,
        currency,
        sum(amount) as amount
    from expected
    group by seller_id, currency
),

accounts as (
    select * from {{ source('payouts', 'account_balances') }}
    where account = 'seller_obligations'
),

compared as (
    select
        expected.adjustment_number as entity,
        expected.seller_id,
        expected.currency,
        expected.amount as expected,
        booked.amount as booked,
        booked.is_of_the_seller
    from expected
    inner join lateral (
        select
            coalesce(sum(entries.amount), 0) as amount,
            coalesce(
                bool_and(
                    entries.seller_id = expected.seller_id and entries.currency = expected.currency
                ),
                true
            ) as is_of_the_seller
        from {{ source('payouts', 'ledger_entries') }} as entries
        where
            entries.adjustment_number = expected.adjustment_number
            and entries.account = 'seller_obligations'
    ) as booked on true
    union all
    select
        'all' as entity,
        seller_id,
        currency,
        coalesce(sellers.amount, 0) as expected,
        coalesce(accounts.balance, 0) as booked,
        true as is_of_the_seller
    from sellers
    full outer join accounts using (seller_id, currency)
)

select
    entity,
    seller_id,
    currency,
    expected,
    booked
from compared
where expected != booked or not is_of_the_seller

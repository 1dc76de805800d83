-- What went with a batch is what the ledger sent on its way in that batch's name, and a batch that the rail
-- refused gave all of it back. The rail is asked batch by batch, and its receipt is compared with these
-- totals: a row here is a seller who was booked as handed over and was not, or the other way round.
with

items as (
    select
        batches.batch_id,
        payouts.currency,
        sum(payouts.amount) as handed_over,
        sum(case when items.released_at is null then 0 else payouts.amount end) as released
    from {{ source('payouts', 'batches') }} as batches
    inner join {{ source('payouts', 'batch_items') }} as items on batches.batch_id = items.batch_id
    inner join {{ source('payouts', 'payouts') }} as payouts on items.payout_number = payouts.payout_number
    where batches.payout_window >= {{ first_audited_window() }}
    group by batches.batch_id, payouts.currency
),

booked as (
    select
        batches.batch_id,
        moved.currency,
        moved.handed_over,
        moved.released
    from {{ source('payouts', 'batches') }} as batches
    -- Added up one by one: a join might read all of the ledger.
    inner join lateral (
        select
            entries.currency,
            coalesce(sum(entries.amount) filter (where transactions.kind = 'submit'), 0) as handed_over,
            coalesce(-sum(entries.amount) filter (where transactions.kind = 'release'), 0) as released
        from {{ source('payouts', 'ledger_transactions') }} as transactions
        inner join {{ source('payouts', 'ledger_entries') }} as entries
            on transactions.transaction_id = entries.transaction_id
        where
            transactions.kind in ('submit', 'release')
            and transactions.reference = batches.batch_id
            and entries.account = 'payouts_in_transit'
        group by entries.currency
    ) as moved on true
    where batches.payout_window >= {{ first_audited_window() }}
)

select
    batch_id,
    currency,
    items.handed_over,
    booked.handed_over as handed_over_by_ledger,
    items.released,
    booked.released as released_by_ledger
from items
full outer join booked using (batch_id, currency)
where (items.handed_over, items.released) is distinct from (booked.handed_over, booked.released)

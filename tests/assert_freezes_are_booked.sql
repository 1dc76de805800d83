-- A freeze books the cash of each of its rows: what we owe the seller, our fees, and what clears both.
-- Balances come from the ledger, reviews look at the rows: a row here means that a seller is owed
-- something else than was reviewed.
with

freezes as (
    select
        booked.seller_id,
        cast(transactions.reference as date) as payout_window,
        booked.currency,
        booked.payable,
        booked.fees,
        booked.cleared
    from {{ source('payouts', 'ledger_transactions') }} as transactions
    -- Added up one by one: a join might read all of the ledger.
    inner join lateral (
        select
            entries.seller_id,
            entries.currency,
            sum(case when entries.account = 'seller_payable' then entries.amount else 0 end) as payable,
            sum(case when entries.account = 'platform_fees' then entries.amount else 0 end) as fees,
            sum(case when entries.account = 'sales_clearing' then entries.amount else 0 end) as cleared
        from {{ source('payouts', 'ledger_entries') }} as entries
        where entries.transaction_id = transactions.transaction_id
        group by entries.seller_id, entries.currency
    ) as booked on true
    where
        transactions.kind = 'freeze'
        and cast(transactions.reference as date) >= {{ first_audited_window() }}
),

frozen_rows as (
    select * from {{ source('payouts', 'frozen_rows') }}
    where payout_window >= {{ first_audited_window() }}
)

select
    seller_id,
    payout_window,
    currency
from frozen_rows
full outer join freezes using (seller_id, payout_window, currency)
where
    coalesce(frozen_rows.net - frozen_rows.disputes + frozen_rows.adjustments, 0)
    != coalesce(freezes.payable, 0)
    or coalesce(frozen_rows.fees, 0) != coalesce(freezes.fees, 0)
    or coalesce(-frozen_rows.gross + frozen_rows.refunds + frozen_rows.disputes - frozen_rows.adjustments, 0)
    != coalesce(freezes.cleared, 0)

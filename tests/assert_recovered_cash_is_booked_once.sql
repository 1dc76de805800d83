-- Money that came for a receivable is booked once, in full and when it came; for a dispute's debt the
-- seller's balance has it too, for anything else never. A row here is a seller who has paid and still owes,
-- or whose balance was filled up for something that was never taken from it.
with

receivables as (
    select
        adjustment_number,
        class,
        source,
        case when status = 'settled' then applied_amount else 0 end as amount
    from {{ source('payouts', 'adjustments') }}
    where class in ('gross_invoice_fee', 'manual_cash_recovery')
)

select
    receivables.adjustment_number,
    receivables.amount,
    booked.recovered,
    booked.owed
from receivables
inner join lateral (
    select
        coalesce(-sum(entries.amount) filter (where entries.account = 'cash_recovered'), 0) as recovered,
        coalesce(sum(entries.amount) filter (where entries.account = 'seller_payable'), 0) as owed,
        count(*) filter (where entries.account = 'cash_recovered') as booking_count
    from {{ source('payouts', 'ledger_entries') }} as entries
    where entries.adjustment_number = receivables.adjustment_number
) as booked on true
where
    receivables.amount != booked.recovered
    or booked.booking_count != case when receivables.amount = 0 then 0 else 1 end
    or booked.owed != case when receivables.source = 'dispute' then receivables.amount else 0 end

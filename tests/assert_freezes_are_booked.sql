-- A freeze books the cash of each of its rows: what we owe the seller, our fees, what clears both, and what
-- leaves the obligations because it is a line now. Where one seller's row takes over another's obligation, it
-- passes between them through the clearing account. Balances come from the ledger, reviews look at the rows:
-- a row here means that a seller is owed something else than was reviewed.
with

freezes as (
    select
        booked.seller_id,
        cast(transactions.reference as date) as payout_window,
        booked.currency,
        booked.payable,
        booked.fees,
        booked.cleared,
        booked.obligations,
        booked.elsewhere
    from {{ source('payouts', 'ledger_transactions') }} as transactions
    -- Added up one by one: a join might read all of the ledger.
    inner join lateral (
        select
            entries.seller_id,
            entries.currency,
            sum(case when entries.account = 'seller_payable' then entries.amount else 0 end) as payable,
            sum(case when entries.account = 'platform_fees' then entries.amount else 0 end) as fees,
            sum(case when entries.account = 'sales_clearing' then entries.amount else 0 end) as cleared,
            sum(case when entries.account = 'seller_obligations' then entries.amount else 0 end)
                as obligations,
            count(
                case
                    when entries.account not in (
                        'seller_payable', 'platform_fees', 'sales_clearing', 'seller_obligations'
                    ) then 1
                end
            ) as elsewhere
        from {{ source('payouts', 'ledger_entries') }} as entries
        where entries.transaction_id = transactions.transaction_id
        group by entries.seller_id, entries.currency
    ) as booked on true
    where
        transactions.kind = 'freeze'
        and cast(transactions.reference as date) >= {{ first_audited_window() }}
),

adjustment_lines as (
    select
        lines.payout_window,
        lines.seller_id,
        adjustments.seller_id as owed_by,
        lines.currency,
        lines.adjustments as amount
    from {{ source('payouts', 'frozen_lines') }} as lines
    inner join {{ source('payouts', 'adjustments') }} as adjustments
        on lines.source_id = adjustments.adjustment_number
    where lines.kind = 'adjustment' and lines.payout_window >= {{ first_audited_window() }}
),

-- Each seller's side of what was reviewed.
sides as (
    select
        seller_id,
        payout_window,
        currency,
        net - disputes + adjustments as payable,
        fees,
        -gross + refunds + disputes as cleared,
        0 as obligations
    from {{ source('payouts', 'frozen_rows') }}
    where payout_window >= {{ first_audited_window() }}
    union all
    select
        owed_by as seller_id,
        payout_window,
        currency,
        0 as payable,
        0 as fees,
        case when owed_by = seller_id then 0 else amount end as cleared,
        -amount as obligations
    from adjustment_lines
    union all
    select
        seller_id,
        payout_window,
        currency,
        0 as payable,
        0 as fees,
        -amount as cleared,
        0 as obligations
    from adjustment_lines
    where seller_id != owed_by
),

reviewed as (
    select
        seller_id,
        payout_window,
        currency,
        sum(payable) as payable,
        sum(fees) as fees,
        sum(cleared) as cleared,
        sum(obligations) as obligations
    from sides
    group by seller_id, payout_window, currency
)

select
    seller_id,
    payout_window,
    currency
from reviewed
full outer join freezes using (seller_id, payout_window, currency)
where
    coalesce(reviewed.payable, 0) != coalesce(freezes.payable, 0)
    or coalesce(reviewed.fees, 0) != coalesce(freezes.fees, 0)
    or coalesce(reviewed.cleared, 0) != coalesce(freezes.cleared, 0)
    or coalesce(reviewed.obligations, 0) != coalesce(freezes.obligations, 0)
    or freezes.elsewhere > 0

-- What the ledger owes a seller and has not promised is what his frozen rows say: what they began with,
-- plus their cash, less every payout that is ready, on its way or paid, plus what he has paid back of a debt,
-- less what requests have taken, since. Rows and ledger are written by different statements. A row here means
-- that one of the two is wrong, and the next carry_in with it. A payout that failed or came back, or had been
-- paid nevertheless, after the rows looked at here were frozen explains itself.
with

frozen_rows as (
    select
        seller_id,
        currency,
        payout_window,
        carry_in,
        net - disputes + adjustments as cash,
        min(payout_window) over (partition by seller_id, currency) as first_window
    from {{ source('payouts', 'frozen_rows') }}
    where payout_window >= {{ first_audited_window() }}
),

-- From where his rows here count: without one nothing was left of him when they were frozen.
changes as (
    select
        changes.seller_id,
        changes.currency,
        changes.amount,
        changes.changed_at,
        (
            select min(frozen_windows.frozen_at)
            from {{ source('payouts', 'frozen_windows') }} as frozen_windows
            where
                frozen_windows.payout_window
                >= coalesce(min(frozen_rows.first_window), {{ first_audited_window() }})
        ) as counted_since
    from {{ ref('int_balance_changes') }} as changes
    left join frozen_rows
        on changes.seller_id = frozen_rows.seller_id and changes.currency = frozen_rows.currency
    group by
        changes.reference, changes.seller_id, changes.currency, changes.amount, changes.changed_at
),

positions as (
    select
        seller_id,
        currency,
        cash + case when payout_window = first_window then carry_in else 0 end as by_rows,
        0 as by_ledger
    from frozen_rows
    union all
    select
        seller_id,
        currency,
        -amount as by_rows,
        0 as by_ledger
    from {{ source('payouts', 'payouts') }}
    where
        payout_window >= {{ first_audited_window() }}
        and request_number is null
        and status in ('ready', 'submitted', 'paid', 'reversed', 'awaiting_reconciliation')
    union all
    select
        seller_id,
        currency,
        amount as by_rows,
        0 as by_ledger
    from changes
    where changed_at > counted_since
    union all
    select
        seller_id,
        currency,
        0 as by_rows,
        balance as by_ledger
    from {{ source('payouts', 'account_balances') }}
    where account = 'seller_payable' and balance != 0
    union all
    select
        seller_id,
        currency,
        0 as by_rows,
        -amount as by_ledger
    from {{ source('payouts', 'payouts') }}
    where status = 'ready'
),

differences as (
    select
        seller_id,
        currency,
        sum(by_ledger) - sum(by_rows) as difference
    from positions
    group by seller_id, currency
    having sum(by_ledger) != sum(by_rows)
)

select
    differences.seller_id,
    differences.currency,
    differences.difference
from differences
left join lateral (
    select coalesce(sum(payouts.amount), 0) as amount
    from {{ source('payouts', 'payouts') }} as payouts
    where
        payouts.seller_id = differences.seller_id
        and payouts.currency = differences.currency
        and payouts.payout_window < {{ first_audited_window() }}
        and payouts.status in ('blocked', 'failed', 'returned')
        and payouts.status_changed_at >= {{ audited_since() }}
) as unpaid on true
left join lateral (
    select coalesce(sum(late_payments.amount), 0) as amount
    from {{ ref('int_late_payments') }} as late_payments
    where
        late_payments.seller_id = differences.seller_id
        and late_payments.currency = differences.currency
        and late_payments.payout_window < {{ first_audited_window() }}
        and late_payments.status in ('paid', 'reversed', 'awaiting_reconciliation')
        and late_payments.reopened_at >= {{ audited_since() }}
) as late on true
where differences.difference > unpaid.amount or differences.difference < -late.amount

-- The reports say what the books say: of payouts what they promised, and as executed what the ledger has
-- paid; of fees what the ledger has earned with each freeze and invoice; of chargebacks that each cent is
-- recovered, owed or lost. A row here is a report that would be quoted, and is wrong.
with

payouts as (
    select
        payouts.payout_window,
        payouts.currency,
        count(*) as payout_count,
        sum(payouts.amount) as amount,
        sum(paid.amount) as executed_amount
    from {{ source('payouts', 'payouts') }} as payouts
    -- Added up one by one: a join might read all of the ledger.
    inner join lateral (
        select coalesce(sum(entries.amount), 0) as amount
        from {{ source('payouts', 'ledger_entries') }} as entries
        where entries.payout_number = payouts.payout_number and entries.account = 'payouts_paid'
    ) as paid on true
    where payouts.payout_window >= {{ first_audited_window() }}
    group by payouts.payout_window, payouts.currency
),

successes as (
    select
        payout_window,
        currency,
        sum(payout_count) as payout_count,
        sum(amount) as amount,
        sum(executed_amount) as executed_amount
    from {{ ref('payment_success') }}
    where payout_window >= {{ first_audited_window() }}
    group by payout_window, currency
),

-- What every freeze and every invoice has brought.
earned as (
    select
        cast(transactions.reference as date) as payout_window,
        entries.currency,
        entries.amount
    from {{ source('payouts', 'ledger_transactions') }} as transactions
    inner join {{ source('payouts', 'ledger_entries') }} as entries
        on transactions.transaction_id = entries.transaction_id
    where
        transactions.kind = 'freeze'
        and cast(transactions.reference as date) >= {{ first_audited_window() }}
        and entries.account = 'platform_fees'
    union all
    select
        {{ payout_window_of(local_date('adjustments.approved_at')) }} as payout_window,
        entries.currency,
        entries.amount
    from {{ source('payouts', 'adjustments') }} as adjustments
    inner join {{ source('payouts', 'ledger_entries') }} as entries
        on adjustments.adjustment_number = entries.adjustment_number
    where
        {{ payout_window_of(local_date('adjustments.approved_at')) }} >= {{ first_audited_window() }}
        and entries.account = 'platform_fees'
),

fees as (
    select
        payout_window,
        currency,
        sum(amount) as amount
    from earned
    group by payout_window, currency
),

reported_fees as (
    select
        payout_window,
        currency,
        net_fees as amount
    from {{ ref('fee_collection') }}
    where payout_window >= {{ first_audited_window() }}
)

select
    payout_window,
    currency,
    'payment_success' as report
from payouts
full outer join successes using (payout_window, currency)
where
    (payouts.payout_count, payouts.amount, payouts.executed_amount)
    is distinct from (successes.payout_count, successes.amount, successes.executed_amount)
union all
select
    payout_window,
    currency,
    'fee_collection' as report
from fees
full outer join reported_fees using (payout_window, currency)
where coalesce(fees.amount, 0) != coalesce(reported_fees.amount, 0)
union all
select
    order_window as payout_window,
    currency,
    'chargeback_losses' as report
from {{ ref('chargeback_losses') }}
where
    committed != recovered + outstanding + lost
    or committed != disputed - released
    or least(released, undecided, clawed_back, recovered, outstanding, lost) < 0
    or clawed_back > committed
    or undecided > committed

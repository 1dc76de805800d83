with

frozen as (
    select
        seller_id,
        currency,
        count(*) as window_count,
        count(case when status = 'carried_forward' then 1 end) as carried_count,
        count(case when carry_out < 0 then 1 end) as negative_count
    from {{ source('payouts', 'frozen_rows') }}
    group by seller_id, currency
),

executed as (
    select
        payout_number,
        max(executed_at) as executed_at
    from {{ source('payouts', 'executions') }}
    group by payout_number
),

payouts as (
    select
        payouts.*,
        payouts.status in ('paid', 'reversed') as is_paid,
        payouts.status in ('failed', 'returned') as is_failed,
        executed.executed_at,
        extract(epoch from executed.executed_at) - extract(epoch from frozen_windows.window_ends_at)
            as seconds_to_paid
    from {{ source('payouts', 'payouts') }} as payouts
    inner join {{ source('payouts', 'frozen_windows') }} as frozen_windows
        on payouts.payout_window = frozen_windows.payout_window
    left join executed on payouts.payout_number = executed.payout_number
),

outcomes as (
    select
        seller_id,
        currency,
        count(case when is_paid then 1 end) as paid_count,
        sum(case when is_paid then amount else 0 end) as paid_amount,
        count(case when status = 'reversed' then 1 end) as reversed_count,
        count(case when is_failed then 1 end) as failed_count,
        count(case when status = 'blocked' then 1 end) as blocked_count,
        count(
            case when status in ('ready', 'submitted', 'awaiting_reconciliation') then 1 end
        ) as open_count,
        min(case when is_paid then executed_at end) as first_paid_at,
        max(case when is_paid then executed_at end) as last_paid_at,
        percentile_cont(0.5) within group (order by case when is_paid then seconds_to_paid end)
            as median_seconds_to_paid
    from payouts
    group by seller_id, currency
),

debts as (
    select
        seller_id,
        currency,
        sum(case when account = 'seller_payable' then greatest(0, -balance) else 0 end) as in_balance,
        sum(case when account = 'seller_obligations' then greatest(0, -balance) else 0 end) as beside_balance
    from {{ source('payouts', 'account_balances') }}
    where account in ('seller_payable', 'seller_obligations')
    group by seller_id, currency
)

select
    frozen.seller_id,
    frozen.currency,
    frozen.window_count,
    coalesce(outcomes.paid_count, 0) as paid_count,
    coalesce(outcomes.reversed_count, 0) as reversed_count,
    coalesce(outcomes.failed_count, 0) as failed_count,
    coalesce(outcomes.blocked_count, 0) as blocked_count,
    coalesce(outcomes.open_count, 0) as open_count,
    frozen.carried_count,
    frozen.negative_count,
    {{ money('coalesce(outcomes.paid_amount, 0)') }} as paid_amount,
    {{ money('outcomes.paid_amount / nullif(outcomes.paid_count, 0)') }} as average_payout,
    outcomes.first_paid_at,
    outcomes.last_paid_at,
    cast(outcomes.median_seconds_to_paid / 86400.0 as numeric(12, 2)) as median_days_to_paid,
    cast(
        cast(outcomes.failed_count as numeric) / nullif(outcomes.paid_count + outcomes.failed_count, 0)
        as numeric(12, 6)
    ) as failed_rate,
    {{ money('coalesce(debts.in_balance, 0)') }} as debt_in_balance,
    {{ money('coalesce(debts.beside_balance, 0)') }} as debt_beside_balance
from frozen
left join outcomes on frozen.seller_id = outcomes.seller_id and frozen.currency = outcomes.currency
left join debts on frozen.seller_id = debts.seller_id and frozen.currency = debts.currency

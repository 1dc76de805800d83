-- What no rail pays, a person does: nobody but the books themselves can say that it is overdue, or that it
-- was done otherwise than promised.
with

unfinished as (
    select
        payouts.*,
        executions.amount as amount_executed,
        case
            when payouts.status = 'submitted' then 'unexecuted'
            when executions.amount != payouts.amount then 'other_amount'
            else 'undecided'
        end as break_type
    from {{ source('payouts', 'payouts') }} as payouts
    left join lateral (
        select executions.amount
        from {{ source('payouts', 'executions') }} as executions
        where executions.payout_number = payouts.payout_number
        order by executions.execution_id desc
        limit 1
    ) as executions on true
    where payouts.rail = 'MANUAL' and payouts.status in ('submitted', 'awaiting_reconciliation')
)

select
    break_type,
    payout_number as entity,
    seller_id,
    payout_window,
    currency,
    coalesce(amount_executed, 0) as expected,
    amount as actual,
    status_changed_at as detected_at,
    case break_type when 'unexecuted' then 'in_flight' when 'other_amount' then 'amount' else 'outcome' end
        as category,
    case break_type when 'unexecuted' then 'operations' else 'finance' end as owner
from unfinished
where break_type != 'unexecuted' or status_changed_at < current_timestamp - interval '72 hours'

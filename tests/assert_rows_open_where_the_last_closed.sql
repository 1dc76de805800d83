-- A seller's row begins with what his row before left, plus payouts of earlier windows that were not paid
-- after all, less those that had been paid nevertheless; and to the cent what he paid back of a debt, and
-- what requests took, between the two. A row here means that money appeared or vanished between two weeks.
-- Between open rows the build decides and the sum is exact; a payout can fail or come back weeks later, so
-- between frozen rows its money may come, or go, in any later step.
with

windows as (
    select
        *,
        lag(payout_window) over seller_rows as previous_window,
        lag(status) over seller_rows as previous_status,
        lag(frozen_at) over seller_rows as previous_frozen_at,
        lag(payable) over seller_rows as previous_payable,
        lag(carry_out) over seller_rows as previous_carry_out
    from {{ ref('settlement_windows') }}
    where payout_window >= {{ first_audited_window() }} and payout_window >= {{ settlement_start() }}
    window seller_rows as (partition by seller_id, currency order by payout_window)
),

steps as (
    select
        windows.seller_id,
        windows.payout_window,
        windows.currency,
        windows.previous_window,
        windows.previous_frozen_at is null as is_exact,
        windows.carry_in - windows.previous_carry_out - changed.amount - case
            when windows.previous_frozen_at is null and windows.previous_status = 'blocked'
                then windows.previous_payable
            else 0
        end as step
    from windows
    -- Between open rows there is no freeze that it could come after.
    left join lateral (
        select coalesce(sum(changes.amount), 0) as amount
        from {{ ref('int_balance_changes') }} as changes
        where
            changes.seller_id = windows.seller_id
            and changes.currency = windows.currency
            and changes.changed_at > windows.previous_frozen_at
            and coalesce(changes.changed_at <= windows.frozen_at, true)
    ) as changed on true
    where windows.previous_window is not null
)

select
    steps.seller_id,
    steps.payout_window,
    steps.currency,
    steps.step
from steps
left join lateral (
    select coalesce(sum(payouts.amount), 0) as amount
    from {{ source('payouts', 'payouts') }} as payouts
    where
        payouts.seller_id = steps.seller_id
        and payouts.currency = steps.currency
        and payouts.payout_window <= steps.previous_window
        and payouts.request_number is null
        and payouts.status in ('blocked', 'failed', 'returned')
) as unpaid on not steps.is_exact
-- Their money came back, left again, and may have come back once more.
left join lateral (
    select
        coalesce(sum(late_payments.amount), 0) as amount,
        coalesce(
            sum(late_payments.amount) filter (
                where late_payments.status in ('paid', 'reversed', 'awaiting_reconciliation')
            ),
            0
        ) as amount_gone
    from {{ ref('int_late_payments') }} as late_payments
    where
        late_payments.seller_id = steps.seller_id
        and late_payments.currency = steps.currency
        and late_payments.payout_window <= steps.previous_window
) as late on not steps.is_exact
where
    steps.step != 0
    and (
        steps.is_exact
        or steps.step > unpaid.amount + late.amount_gone
        or steps.step < -late.amount
    )
